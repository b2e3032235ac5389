//! Real links: namespaces, packets, processes. What this machine does not permit is skipped with a message.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::namespace::enter;
use super::*;
use plan::links::{Link, Mechanism, Shape, Tolerance};

const MS: Duration = Duration::from_millis(1);
const BUDGET: Duration = Duration::from_secs(6);

pub(super) fn link(forward: Shape, back: Shape) -> Link {
    let mut tolerance = Tolerance::for_shapes(&forward, &back);
    tolerance.delay = tolerance.delay.max(slack());
    if slack() > MS {
        tolerance.rate = 0.5;
    }
    Link {
        name: "wan".into(),
        from: None,
        to: vec!["server".into()],
        forward,
        back,
        mechanism: Mechanism::Auto,
        tolerance,
        ports: vec![8000],
        changes: plan::links::Changes::Never,
    }
}

pub(super) fn names_of_one() -> LinkNames {
    topology(&[link(Shape::default(), Shape::default())], "1").expect("one link is a topology").remove(0)
}

/// How late an instant may be: 1 ms, or as many as the environment says, for slow machines such as an emulated one.
fn slack() -> Duration {
    std::env::var("RUNNER_TEST_SLACK_MS").ok().and_then(|ms| ms.parse().ok()).map_or(MS, Duration::from_millis)
}

/// Runs something up to five times, until it takes as long as it should: on a busy machine processes wait.
fn timed(expected: Duration, mut action: impl FnMut() -> Duration) {
    let mut found = Vec::new();
    for _ in 0..5 {
        let took = action();
        assert!(took >= expected, "{took:?}, expected {expected:?}");
        found.push(took);
        if took < expected + 2 * slack() {
            return;
        }
    }
    panic!("{found:?}, expected {expected:?}");
}

fn delay(ms: u32) -> Shape {
    Shape { delay: ms * MS, ..Shape::default() }
}

/// Stands for the id of a run.
fn own_id() -> String {
    std::process::id().to_string()
}

/// Links that are undone in the order that the caller of this module must keep, even if a test fails.
struct Cell {
    links: Vec<Link>,
    made: Vec<Made>,
    helpers: Vec<Child>,
    names: Vec<LinkNames>,
}

impl Cell {
    fn new(links: Vec<Link>, mechanism: Mechanism) -> Self {
        Self::of(&own_id(), links, mechanism)
    }

    fn of(run: &str, links: Vec<Link>, mechanism: Mechanism) -> Self {
        let names = topology(&links, run).unwrap();
        let mut cell = Self { links, made: Vec::new(), helpers: Vec::new(), names };
        for (link, names) in cell.links.iter().zip(&cell.names) {
            let start = Instant::now();
            let mut made = make(link, names, mechanism, 7).unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)));
            eprintln!("made in {:?}", start.elapsed());
            for helper in made.helpers.clone() {
                let (child, line) = start_helper(&helper);
                cell.helpers.push(child);
                made.ready(&line).unwrap();
            }
            cell.made.push(made);
        }
        cell
    }

    fn measure(&self, at: usize) -> Measured {
        let start = Instant::now();
        let measured = measure(&self.made[at], &self.links[at], BUDGET).unwrap();
        let rules = self.made[at].rules.unwrap_or("no rules");
        eprintln!("{:?} in {:?}, {rules}: {measured:?}", self.links[at].forward, start.elapsed());
        measured
    }

    /// Measures until the link is as requested: an instant that comes late on a busy machine is not the link's fault.
    fn check(&self, at: usize) -> Measured {
        let mut measured = self.measure(at);
        for _ in 0..4 {
            if measured.against(&self.links[at]).is_empty() {
                break;
            }
            measured = self.measure(at);
        }
        assert_eq!(measured.against(&self.links[at]), Vec::<String>::new());
        measured
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        for child in &mut self.helpers {
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in self.names.iter().flat_map(LinkNames::namespaces) {
            undo(namespace).unwrap();
            undo(namespace).unwrap();
        }
        // The kernel takes its time to destroy a namespace without a name.
        let gone = |names: &LinkNames| !std::path::Path::new(&format!("/sys/class/net/{}", names.near_device)).exists();
        let until = Instant::now() + Duration::from_secs(10);
        while !self.names.iter().all(gone) && Instant::now() < until {
            std::thread::sleep(10 * MS);
        }
        if !std::thread::panicking() {
            assert!(self.names.iter().all(gone), "an interface is left");
            assert!(self.names.iter().flat_map(LinkNames::namespaces).all(|n| !names::path(n).exists()), "a namespace is left");
        }
    }
}

const BECOME: &str = "RUNNER_TEST_BECOMES_HELPER";

/// Starts this executable again as a helper: it does not have its own command line, so a test acts as the helper.
fn start_helper(helper: &Helper) -> (Child, String) {
    let mut command = become_helper(&helper.argv);
    if let Some(namespace) = helper.namespace.clone() {
        // SAFETY: two system calls, nothing else.
        unsafe { command.pre_exec(move || enter(&namespace)) };
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let line = output.lines().map_while(Result::ok).find_map(|l| l.find(helper.ready).map(|at| l[at..].to_owned()));
    (child, line.expect("the helper announces itself"))
}

fn become_helper(argv: &[String]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let name = format!("{}::becomes_a_helper", module_path!().split_once("::").unwrap().1);
    command.args(["--exact", &name, "--ignored", "--nocapture", "--test-threads=1"]).env(BECOME, argv.join("\n"));
    command
}

#[test]
#[ignore = "not a test: what the others start"]
fn becomes_a_helper() {
    let Ok(text) = std::env::var(BECOME) else { return };
    let args: Vec<String> = text.split('\n').map(str::to_owned).collect();
    match args[0].as_str() {
        // Makes a link, and waits to be killed.
        "make" => {
            let names = topology(&[link(delay(1), delay(1))], &std::process::id().to_string()).unwrap();
            let mechanism = if args[1] == "netem" { Mechanism::Netem } else { Mechanism::Nfqueue };
            let made = make(&link(delay(1), delay(1)), &names[0], mechanism, 1).unwrap();
            println!("\nmade {}", names[0].near_device);
            loop {
                std::thread::sleep(Duration::from_secs(1));
                assert!(made.namespace.is_some());
            }
        }
        "choose" => match choose(Mechanism::Auto, &link(Shape { loss: 0.1, ..delay(1) }, delay(1)), &own_id()) {
            Ok(choice) => println!("\nchoice {choice:?}"),
            Err(error) => println!("\n{error}"),
        },
        _ => {
            helper(&args);
        }
    }
}

/// The mechanisms with namespaces that work here; the others are printed.
fn networks() -> Vec<Mechanism> {
    let all = [Mechanism::Netem, Mechanism::Nfqueue].into_iter();
    let start = Instant::now();
    let works = all.filter(|mechanism| match choose(*mechanism, &link(delay(1), delay(1)), &own_id()) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("SKIPPED, NOT TESTED HERE: {error}");
            false
        }
    });
    let works = works.collect();
    eprintln!("chosen in {:?}", start.elapsed());
    works
}

/// Instants are measured, and names are those of this process: one test at a time, even where each has its own process.
fn alone() -> std::fs::File {
    let lock = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_delay_of_100_ms_in_one_direction_is_a_round_trip_of_100_ms() {
    let _alone = alone();
    for mechanism in networks() {
        let cell = Cell::new(vec![link(delay(100), Shape::default())], mechanism);
        let measured = cell.check(0);
        assert_eq!((measured.forward.lost, measured.back.lost), (0, 0));
        assert!(!measured.congestion_control.is_empty());
    }
}

#[test]
fn delays_of_both_directions_add_up() {
    let _alone = alone();
    for mechanism in networks() {
        Cell::new(vec![link(delay(30), delay(20))], mechanism).check(0);
    }
}

#[test]
fn jitter_loss_and_rate_are_as_asked() {
    let _alone = alone();
    let jitter = Shape { jitter: 10 * MS, ..delay(20) };
    let loss = Shape { loss: 0.2, ..delay(5) };
    let rate = Shape { rate_bits_per_s: Some(20e6), ..delay(5) };
    let all = Shape { jitter: MS, loss: 0.05, rate_bits_per_s: Some(5e6), ..delay(10) };
    for mechanism in networks() {
        let measured = Cell::new(vec![link(jitter, Shape::default())], mechanism).check(0);
        assert!(measured.rtt_min_ns > 9_900_000 && measured.rtt_min_ns < 18_000_000, "{measured:?}");
        assert!(measured.rtt_max_ns > 22_000_000, "{measured:?}");
        let measured = Cell::new(vec![link(loss, delay(5))], mechanism).check(0);
        assert_eq!(measured.back.lost, 0);
        Cell::new(vec![link(rate, rate)], mechanism).check(0);
        Cell::new(vec![link(all, all)], mechanism).check(0);
    }
}

#[test]
fn a_link_is_out_of_specification_when_it_is() {
    let _alone = alone();
    for mechanism in networks() {
        let cell = Cell::new(vec![link(delay(10), delay(10))], mechanism);
        let asked = link(delay(10), delay(110));
        let reasons = cell.measure(0).against(&asked);
        assert_eq!(reasons.len(), 1, "{reasons:?}");
    }
}

#[test]
fn two_links_at_once_and_one_behind_the_other() {
    let _alone = alone();
    let between = |name: &str, from: Option<&str>, to: &str, ms| Link {
        name: name.into(),
        from: from.map(Into::into),
        to: vec![to.into()],
        ..link(delay(ms), Shape::default())
    };
    for mechanism in networks() {
        let links = vec![
            between("one", None, "broker", 10),
            between("two", Some("broker"), "subscriber", 30),
            between("three", None, "subscriber", 50),
        ];
        let cell = Cell::new(links, mechanism);
        std::thread::scope(|scope| {
            let threads = [0, 1, 2].map(|at| {
                scope.spawn({
                    let cell = &cell;
                    move || cell.measure(at)
                })
            });
            for (thread, link) in threads.into_iter().zip(&cell.links) {
                let measured = thread.join().unwrap();
                assert!(u128::from(measured.rtt_min_ns) >= link.round_trip().as_nanos(), "{measured:?}");
            }
        });
        (0..3).for_each(|at| drop(cell.check(at)));
        // Another run, of a process that is alive.
        let other = Cell::of(&std::os::unix::process::parent_id().to_string(), vec![link(delay(5), delay(5))], mechanism);
        other.check(0);
        assert!(other.made[0].host != cell.made[0].host);
    }
}

/// Bytes per second over TCP from the near side to the far one.
fn tcp_bulk(made: &Made, length: Duration) -> f64 {
    let listener = namespace::inside(Some(&made.names.far), || TcpListener::bind((made.host, 0))).unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 1 << 20];
        // The first half is slow start.
        let start = Instant::now();
        let (mut bytes, mut first, mut last) = (0, None, start);
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            last = Instant::now();
            match first {
                None if start.elapsed() > length / 2 => first = Some(last),
                Some(_) => bytes += n,
                None => {}
            }
        }
        bytes as f64 / (last - first.unwrap_or(start)).as_secs_f64()
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let block = vec![0; 1 << 20];
    let start = Instant::now();
    while start.elapsed() < length {
        stream.write_all(&block).unwrap();
    }
    drop(stream);
    sink.join().unwrap()
}

#[test]
#[ignore = "speed: says how much the helper carries"]
fn two_gigabits_per_second_pass_a_delay_of_1_ms() {
    let _alone = alone();
    for mechanism in networks() {
        for (forward, back) in [(delay(1), Shape::default()), (delay(1), delay(1)), (delay(50), delay(50))] {
            let cell = Cell::new(vec![link(forward, back)], mechanism);
            let rate = tcp_bulk(&cell.made[0], Duration::from_secs(4)) * 8.0;
            eprintln!("{mechanism:?} {:?} + {:?}: {:.2} Gbit/s", forward.delay, back.delay, rate / 1e9);
            assert!(rate > 2e9 || forward.delay > MS);
        }
        // As if packets could be lost: each packet is sent on its own.
        let single = Shape { loss: 1e-9, ..delay(1) };
        let rate = |made: &Made| tcp_bulk(made, Duration::from_secs(4)) * 8.0;
        let found = rate(&Cell::new(vec![link(single, Shape::default())], mechanism).made[0]);
        eprintln!("{mechanism:?} single packets: {:.2} Gbit/s", found / 1e9);
        let narrow = Shape { rate_bits_per_s: Some(20e6), ..delay(20) };
        let found = rate(&Cell::new(vec![link(narrow, delay(20))], mechanism).made[0]);
        eprintln!("{mechanism:?} 20 Mbit/s, 40 ms: {:.2} Mbit/s", found / 1e6);
    }
}

#[test]
fn tcp_passes_with_the_delay_of_the_link() {
    let _alone = alone();
    for mechanism in networks() {
        let cell = Cell::new(vec![link(delay(20), delay(10))], mechanism);
        let made = &cell.made[0];
        let listener = namespace::inside(Some(&made.names.far), || TcpListener::bind((made.host, 8000))).unwrap().unwrap();
        timed(30 * MS, || {
            let start = Instant::now();
            let near = TcpStream::connect((made.host, made.ports[&8000])).unwrap();
            let elapsed = start.elapsed();
            assert_eq!(listener.accept().unwrap().1, near.local_addr().unwrap());
            assert_eq!(near.local_addr().unwrap().ip(), made.near_host);
            elapsed
        });
    }
}

#[test]
fn a_maker_that_is_killed_leaves_what_can_be_undone_by_name() {
    let _alone = alone();
    for mechanism in networks() {
        let mut child = become_helper(&["make".into(), mechanism.name().into()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let device = lines.filter_map(|l| l.strip_prefix("made ").map(str::to_owned)).next().expect("it makes a link");
        let device = std::path::PathBuf::from("/sys/class/net").join(device);
        assert!(device.exists());
        let ours = format!("runner-{}-", child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        let entries = std::fs::read_dir(names::DIRECTORY).unwrap();
        let left: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let left: Vec<String> = left.into_iter().filter(|name| name.starts_with(&ours)).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        left.iter().for_each(|name| undo(name).unwrap());
        let until = Instant::now() + Duration::from_secs(10);
        while device.exists() && Instant::now() < until {
            std::thread::sleep(10 * MS);
        }
        assert!(!device.exists());
    }
}

#[test]
fn what_is_missing_here_is_told() {
    let mut command = become_helper(&["choose".into()]);
    let without_rights = || {
        for capability in 0..64 {
            // SAFETY: one system call, which takes a right away from what is executed next.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: system calls, nothing else.
    unsafe { command.pre_exec(without_rights) };
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    for words in ["netem: ", "nfqueue: ", "it needs root", "relay: a relay forwards bytes"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    if networks().is_empty() {
        return;
    }
    let said = String::from_utf8(become_helper(&["choose".into()]).env("PATH", "/nonexistent").output().unwrap().stdout).unwrap();
    assert!(said.contains("netem: `ip` is not installed, or not in PATH"), "{said}");
}

mod relayed {
    use super::*;

    fn relayed(forward: Shape, back: Shape, port: u16) -> Cell {
        Cell::new(vec![Link { ports: vec![port], ..link(forward, back) }], Mechanism::Relay)
    }

    fn server() -> (TcpListener, u16) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn client(cell: &Cell) -> TcpStream {
        let made = &cell.made[0];
        let stream = TcpStream::connect((made.host, *made.ports.values().next().unwrap())).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    #[test]
    fn an_echo_takes_the_delay() {
        let _alone = alone();
        let cell = relayed(delay(30), delay(20), 8000);
        cell.check(0);
        let jitter = Shape { jitter: 5 * MS, ..delay(10) };
        relayed(jitter, Shape::default(), 8000).check(0);
        let rate = Shape { rate_bits_per_s: Some(20e6), ..delay(5) };
        relayed(rate, Shape { rate_bits_per_s: Some(2e6), ..delay(5) }, 8000).check(0);
    }

    #[test]
    fn the_first_answer_comes_after_two_round_trips() {
        let _alone = alone();
        let (listener, port) = server();
        let cell = relayed(delay(20), delay(10), port);
        timed(60 * MS, || {
            let start = Instant::now();
            let mut near = client(&cell);
            near.write_all(b"x").unwrap();
            let (mut far, _) = listener.accept().unwrap();
            assert!(start.elapsed() >= 20 * MS);
            far.read_exact(&mut [0]).unwrap();
            assert!(start.elapsed() >= 50 * MS);
            far.write_all(b"y").unwrap();
            near.read_exact(&mut [0]).unwrap();
            start.elapsed()
        });
    }

    #[test]
    fn a_half_close_passes_and_the_other_half_stays_open() {
        let _alone = alone();
        let (listener, port) = server();
        let cell = relayed(delay(5), delay(5), port);
        let mut near = client(&cell);
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let sent = data.clone();
        let mut writer = near.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut far, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        assert!(received == data);
        far.write_all(b"thanks").unwrap();
        drop(far);
        let mut answer = String::new();
        near.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "thanks");
        writer.join().unwrap();
    }

    #[test]
    fn refused_and_reset_connections_are_passed_on_after_their_delay() {
        let _alone = alone();
        let (listener, port) = server();
        let cell = relayed(delay(20), delay(10), port);
        let mut near = client(&cell);
        let (far, _) = listener.accept().unwrap();
        rustix::net::sockopt::set_socket_linger(&far, Some(Duration::ZERO)).unwrap();
        drop(far);
        let error = near.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        drop(listener);
        timed(30 * MS, || {
            let start = Instant::now();
            let error = client(&cell).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            start.elapsed()
        });
    }

    #[test]
    fn a_reader_that_does_not_read_slows_its_sender() {
        let _alone = alone();
        let (listener, port) = server();
        let cell = relayed(delay(1), delay(1), port);
        let mut near = client(&cell);
        let (far, _) = listener.accept().unwrap();
        near.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let block = vec![0; 1 << 20];
        let mut sent = 0;
        while let Ok(n) = near.write(&block) {
            sent += n;
            assert!(sent < 256 << 20, "nothing stops it");
        }
        drop(far);
    }

    #[test]
    fn a_thousand_connections_take_the_same_delay() {
        let _alone = alone();
        let (listener, port) = server();
        // Two more for each are the relay's own.
        let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        limit.current = limit.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let cell = relayed(delay(50), delay(50), port);
        let echo = std::thread::spawn(move || {
            let mut streams: Vec<TcpStream> = (0..1000).map(|_| listener.accept().unwrap().0).collect();
            let mut byte = [0];
            while streams.iter_mut().all(|s| s.read_exact(&mut byte).and_then(|()| s.write_all(&byte)).is_ok()) {}
        });
        let mut streams: Vec<TcpStream> = (0..1000).map(|_| client(&cell)).collect();
        for round in 0..3 {
            let start = Instant::now();
            for (i, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&[i as u8]).unwrap();
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_eq!(byte[0], i as u8);
            }
            let elapsed = start.elapsed();
            eprintln!("1000 echoes at once, 100 ms: {elapsed:?}");
            assert!(elapsed >= 100 * MS && (round == 0 || elapsed < 1000 * slack()), "{elapsed:?}");
        }
        drop(streams);
        echo.join().unwrap();
    }

    #[test]
    #[ignore = "speed: says how much a relay carries"]
    fn a_relay_carries_a_gigabit() {
        let _alone = alone();
        let (listener, port) = server();
        let cell = relayed(delay(1), delay(1), port);
        let sink = std::thread::spawn(move || {
            let (mut far, _) = listener.accept().unwrap();
            let mut buffer = vec![0; 1 << 20];
            let mut bytes = 0;
            while let Ok(n @ 1..) = far.read(&mut buffer) {
                bytes += n;
            }
            bytes
        });
        let mut near = client(&cell);
        let block = vec![0; 1 << 20];
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            near.write_all(&block).unwrap();
        }
        drop(near);
        let bytes = sink.join().unwrap();
        eprintln!("relay, 2 ms: {:.2} Gbit/s", bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9);
    }
}
