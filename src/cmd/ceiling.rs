//! What the generator can do on this machine, against a server that does nothing. `doctor` shows it, and shards tell nodes apart by it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command as Program, Stdio};
use std::time::Duration;

use serde::Serialize;

use super::{Stop, fixture, load};
use crate::exit::Exit;
use crate::plan::drivers::http::Http;
use crate::plan::{Arrivals, Expect, Length, Pattern, Segment, Spacing, Step, Template, Url, Workload};
use crate::vocabulary::Phase;

/// Connections used by the measurements.
pub(super) const CONNECTIONS: u32 = 64;
/// How long the ceiling is measured where nodes are told apart by it.
const QUICK: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
pub(super) struct Ceiling {
    /// Closed loop, one generator thread.
    pub requests_per_s: f64,
    pub requests_per_cpu_s: f64,
    pub generator_cpu_share: f64,
    /// Open loop at half of the ceiling.
    pub offered_per_s: f64,
    pub lag_p50_ns: u64,
    pub lag_p99_ns: u64,
    pub timer_late_p50_ns: Option<u64>,
    pub timer_late_p99_ns: Option<u64>,
}

/// A server that is killed when this value is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the null server, on the first processor if there are several; returns its URL.
fn null_server(cores: usize) -> Result<(Server, Url), Stop> {
    use std::os::unix::process::CommandExt as _;
    let failed = |e: &dyn std::fmt::Display| Stop::new(Exit::Failure, format!("the null server cannot be started: {e}"));
    let program = fixture::program().map_err(|m| Stop::new(Exit::Failure, m))?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map_err(|e| failed(&e))?.port();
    let mut command = Program::new(program);
    command.args(["null-server", "--port", &port.to_string()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let own = rustix::process::getpid();
    // SAFETY: two system calls and nothing else.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // The parent may have ended before the line above.
            if rustix::process::getppid() != Some(own) {
                return Err(std::io::Error::other("the parent has ended"));
            }
            if cores > 1 {
                let mut first = rustix::thread::CpuSet::new();
                first.set(0);
                let _ = rustix::thread::sched_setaffinity(None, &first);
            }
            Ok(())
        });
    }
    let server = Server(command.spawn().map_err(|e| failed(&e))?);
    for _ in 0..200 {
        if std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("a constant form");
            return Ok((server, url));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(failed(&"it does not answer"))
}

pub(super) fn measure(cores: usize, time: Duration) -> Result<Ceiling, Stop> {
    let (_server, url) = null_server(cores)?;
    let mut workload = closed_loop(cores, url, time);
    let closed = load::execute(&workload, 1, None, false)?;
    let offered = (closed.throughput_per_s / 2.0).max(1.0);
    workload.load.arrivals = Arrivals::open(CONNECTIONS, Pattern::Rate(offered), Spacing::Poisson);
    let open = load::execute(&workload, 1, None, false)?;
    let lag = open.lag_ns.ok_or_else(|| Stop::new(Exit::Failure, "nothing was answered"))?;
    Ok(Ceiling {
        requests_per_s: closed.throughput_per_s,
        requests_per_cpu_s: closed.generator.requests_per_cpu_s,
        generator_cpu_share: closed.generator.cpu_share,
        offered_per_s: offered,
        lag_p50_ns: lag.p50,
        lag_p99_ns: lag.p99,
        timer_late_p50_ns: open.generator.timer_late_p50_ns,
        timer_late_p99_ns: open.generator.timer_late_p99_ns,
    })
}

/// A closed loop of [`CONNECTIONS`] connections to a server that does nothing, on a processor of its own where there are two.
fn closed_loop(cores: usize, url: Url, time: Duration) -> Workload {
    let step = Step {
        expect: Expect { statuses: vec![200], length: Some(12), ..Expect::default() },
        ..Step::plain("get", Template::parse("/"), crate::plan::step::REQUEST_TIMEOUT)
    };
    let mut workload: Workload = Http::plain(url, vec![step]).once("doctor");
    let segment = |phase, time| Segment { phase, length: Length::Duration(time), active: true };
    workload.load.segments = vec![segment(Phase::WarmUp, time / 10), segment(Phase::During, time)];
    workload.load.arrivals = Arrivals::closed(CONNECTIONS);
    if cores > 1 {
        workload.cpus = vec![1];
    }
    workload
}

/// The ceiling of the generator on this machine, in requests per second, measured quickly; none where that is not possible.
pub(super) fn ceiling() -> Option<f64> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (_server, url) = null_server(cores).ok()?;
    let closed = load::execute(&closed_loop(cores, url, QUICK), 1, None, false).ok()?;
    Some(closed.throughput_per_s)
}
