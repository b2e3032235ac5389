//! How long `runner graph`, `runner report` and `runner compare` take for large runs, and how time and memory grow with them.
//!
//! ```text
//! cargo bench --bench analysis                       25, 100 and 400 repetitions of 48 cells, one of one, 10 million raw rows
//! cargo bench --bench analysis -- 100                100 repetitions only, then the others
//! TMPDIR=/dev/shm cargo bench --bench analysis       without a disk, which the writing waits for
//! ```
//!
//! A run directory is written through the record API by a process of its own (see `written`), so that the memory of
//! the measured process is its own: the kernel counts what a child had before its exec. Then the built binary
//! summarizes, compares, draws and reports it, `RUNS` times after one that warms the page cache; printed are the medians of wall time,
//! processor time and the largest resident set, all from `wait4`. Machines differ, and the speed of a shared one changes by the
//! minute: beside each command stands how its wall time compares with a fixed piece of work that this process does in turn
//! with it (see [`fixed_work`]).

mod written;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// Rows of the repetition that has one for each request.
const ROWS: u64 = 10_000_000;
/// What is compared: eight metrics.
const METRICS: &str = "throughput,response_p50,response_p90,response_p99,response_max,errors,pss,cpu";
/// Measured executions of each command.
const RUNS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [what, out, number] = arguments.as_slice() {
        match what.as_str() {
            "write" => return written::run(Path::new(out), written::CELLS, number.parse().expect("a number of repetitions")),
            "write-one" => return written::run(Path::new(out), 1, number.parse().expect("a number of repetitions")),
            "write-rows" => return written::run_with_rows(Path::new(out), number.parse().expect("a number of rows")),
            _ => {}
        }
    }
    let wanted: Vec<u32> = arguments.iter().filter_map(|a| a.parse().ok()).collect();
    let wanted = if wanted.is_empty() { vec![25, 100, 400] } else { wanted };
    println!(
        "{:>12}  {:10}  {:>9}  {:>9}  {:>9}  {:>16}  {:>10}",
        "repetitions", "command", "wall", "CPU", "peak RSS", "wall/repetition", "fixed work"
    );
    for repetitions in wanted {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let run = write(folder.path(), "write", u64::from(repetitions));
        for command in ["summarize", "compare", "graph", "report"] {
            measure(
                command,
                &run,
                &format!("{} x {repetitions}", written::CELLS),
                u64::from(repetitions) * written::CELLS as u64,
            );
        }
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let run = write(folder.path(), "write-one", 1);
    measure("summarize", &run, "1 x 1", 1);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let run = write(folder.path(), "write-rows", ROWS);
    measure("summarize", &run, &format!("{} M rows", ROWS / 1_000_000), 1);
}

/// Executes a command several times and prints the medians of what it used.
fn measure(command: &str, run: &Path, what: &str, repetitions: u64) {
    let graphs = tempfile::tempdir().expect("a temporary directory");
    let both = |_| (execute(command, run, graphs.path()), fixed_work());
    let measured: Vec<(Used, Duration)> = (0..=RUNS).map(both).skip(1).collect();
    let median = |of: fn(&(Used, Duration)) -> f64| {
        let mut values: Vec<f64> = measured.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let wall = median(|(used, _)| used.wall.as_secs_f64());
    println!(
        "{what:>12}  {command:10}  {wall:>7.3} s  {:>7.3} s  {:>5.0} MiB  {:>13.0} us  {:>8.2} x",
        median(|(used, _)| used.cpu.as_secs_f64()),
        median(|(used, _)| used.peak_bytes as f64 / 1_048_576.0),
        wall * 1e6 / repetitions as f64,
        median(|(used, fixed)| used.wall.as_secs_f64() / fixed.as_secs_f64()),
    );
}

/// How long it takes to sort 50 000 numbers two hundred times on each core at once: half a second of the processor alone, in
/// so little memory that the peak of what is started afterwards does not show it.
fn fixed_work() -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for seed in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(move || {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed as u64);
                let mut numbers = vec![0_u64; 50_000];
                for _ in 0..200 {
                    numbers.fill_with(|| rng.next_u64());
                    numbers.sort_unstable();
                    std::hint::black_box(&numbers);
                }
            });
        }
    });
    begin.elapsed()
}

/// Writes a run and returns its directory.
fn write(folder: &Path, what: &str, number: u64) -> PathBuf {
    let myself = std::env::current_exe().expect("a running program has a file");
    let begin = Instant::now();
    let output = Command::new(myself)
        .args([Path::new(what), folder, Path::new(&number.to_string())])
        .stderr(Stdio::inherit())
        .output()
        .expect("the bench starts itself");
    assert!(output.status.success(), "the run could not be written");
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    eprintln!("written in {:.0} s: {}", begin.elapsed().as_secs_f64(), path.display());
    path
}

struct Used {
    wall: Duration,
    cpu: Duration,
    peak_bytes: u64,
}

fn execute(command: &str, run: &Path, graphs: &Path) -> Used {
    let begin = Instant::now();
    let mut runner = Command::new(env!("CARGO_BIN_EXE_runner"));
    runner.arg(command).arg(run).stdout(Stdio::null());
    match command {
        "graph" => runner.arg("--out").arg(graphs),
        "report" => runner.arg("--out").arg(graphs.join("report.html")),
        "compare" => runner.args(["--by", "processes", "--metric", METRICS]),
        _ => &mut runner,
    };
    #[expect(clippy::zombie_processes, reason = "`wait4` below waits, and says what was used")]
    let child = runner.spawn().expect("the built binary starts");
    let pid = i32::try_from(child.id()).expect("a process id is a positive i32");
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`, which holds numbers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live variables; the child is waited for nowhere else.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let wall = begin.elapsed();
    assert!(waited == pid && status == 0, "`runner {command}` failed");
    let time = |t: libc::timeval| Duration::from_micros(t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64);
    Used { wall, cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_bytes: usage.ru_maxrss as u64 * 1024 }
}
