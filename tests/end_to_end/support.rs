//! A place of its own for each test: a folder, ports, a mark on every process that comes from it, and patience.
//!
//! Tests run at the same time and in processes of their own, so nothing here may be shared by name: ports are reserved
//! among all tests, and what a runner leaves behind is found by a variable in its environment that every child inherits.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;
use tempfile::TempDir;

/// Nothing here takes this long unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long all that a killed runner leaves behind may take to go.
pub const CLEARED: Duration = Duration::from_secs(3);

/// The variable by which processes of a test are known.
const MARK: &str = "RUNNER_TEST_PLACE";

/// The executable under test. A package that only holds these tests names it in `RUNNER_BIN`.
fn binary() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_runner").map(PathBuf::from);
    built.or_else(|| std::env::var_os("RUNNER_BIN").map(PathBuf::from)).expect("cargo builds the binary for these tests")
}

/// A Python with pandas, pyarrow and duckdb, which the tests of tables share.
pub fn python_of_tables() -> Option<PathBuf> {
    python_with("python-of-tables", &["pandas", "pyarrow", "duckdb"], "import pandas, pyarrow, duckdb")
}

/// A Python with these packages, which is installed once, from where pip takes packages. None where this machine has no `venv`; where
/// it has one, whatever keeps it from being installed fails the test.
pub fn python_with(name: &str, packages: &[&str], imports: &str) -> Option<PathBuf> {
    let run = |program: &Path, args: &[&str]| {
        Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()))
    };
    let system = Path::new("/usr/bin/python3");
    let has_venv =
        Command::new(system).args(["-c", "import venv, ensurepip"]).output().is_ok_and(|output| output.status.success());
    if !has_venv {
        eprintln!("SKIPPED: python3-venv is not installed (tests/needs.sh installs it)");
        return None;
    }
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Tests run at the same time, in processes of their own.
    let lock = std::fs::File::create(place.with_extension("lock")).expect("the folder for temporary files can be written to");
    lock.lock().expect("a file can be locked");
    let python = place.join("bin/python");
    let imports = ["-c", imports];
    if !python.exists() || !run(&python, &imports).status.success() {
        let made = run(system, &["-m", "venv", "--clear", place.to_str().expect("the path is text")]);
        assert!(made.status.success(), "{made:?}");
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        let installed = run(&python, &[&install[..], packages].concat());
        assert!(installed.status.success(), "{installed:?}");
    }
    Some(python)
}

/// Of the repository: asked when a test runs, since two clones may share one build folder.
pub fn root() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"))
}

/// The executable, to be run anywhere.
pub fn runner() -> Command {
    let mut command = Command::new(binary());
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Asks until there is an answer.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask)
}

/// Asks until there is an answer, but no longer than this.
pub fn within<T>(time: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {time:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A folder with what belongs to one test.
pub struct Place {
    folder: TempDir,
    ports: Vec<(u16, UnixListener)>,
}

impl Place {
    /// An empty folder; in memory where there is such a place, as a busy disk may take seconds to sync a file.
    pub fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("test-runner-");
        let folder = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).expect("a folder for temporary files");
        Self { folder, ports: Vec::new() }
    }

    /// A place with this scenario in `test.yaml`; see [`Self::write`].
    pub fn with(scenario: &str) -> Self {
        let mut place = Self::new();
        place.write("test.yaml", scenario);
        place
    }

    /// The path of something in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file. `DIR` stands for the folder, `PORT1` to `PORT9` for ports of this test, `RUNNER` for the executable.
    pub fn write(&mut self, name: &str, text: &str) -> PathBuf {
        let mut text = text.replace("DIR", &self.folder.path().display().to_string());
        text = text.replace("RUNNER", &binary().display().to_string());
        for number in 1..=9 {
            let word = format!("PORT{number}");
            if text.contains(&word) {
                text = text.replace(&word, &self.port(number).to_string());
            }
        }
        // Most tests look at one repetition; what a scenario has without a word is a test of its own.
        let top_level = |key: &str| text.lines().any(|line| line.starts_with(key));
        if name.ends_with(".yaml") && top_level("experiment:") && top_level("workloads:") && !top_level("repetitions:") {
            text += "\nrepetitions: 1\n";
        }
        self.write_as_is(name, &text)
    }

    /// Writes a file of which nothing is replaced.
    pub fn write_as_is(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        path
    }

    /// A port by its number, from 1: free when it was chosen, and chosen by no other test.
    ///
    /// Not from the range out of which the kernel takes the ports of outgoing connections: tests make many of those.
    /// A name among the abstract sockets is a reservation that ends with the test, however it ends.
    pub fn port(&mut self, number: usize) -> u16 {
        while self.ports.len() < number {
            let first = std::process::id() as u16 % 997 * 10;
            let found = (0..10_000_u16).map(|i| 20_000 + (first + i) % 10_000).find_map(|port| {
                let name = SocketAddr::from_abstract_name(format!("runner-test-port-{port}")).expect("a short name");
                let reserved = UnixListener::bind_addr(&name).ok()?;
                is_free(port).then_some((port, reserved))
            });
            self.ports.push(found.expect("one of ten thousand ports is free"));
        }
        self.ports[number - 1].0
    }

    /// The executable with this place as working directory, scratch directory and mark.
    pub fn runner(&self) -> Command {
        let mut command = runner();
        command.current_dir(self.folder.path()).env("RUNNER_SCRATCH", self.path("scratch")).env(MARK, self.folder.path());
        command
    }

    /// Executes a command line to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.start(args).wait()
    }

    /// Executes `runner run test.yaml` to its end.
    pub fn run_test(&self) -> Outcome {
        self.run(&["run", "test.yaml"])
    }

    /// Begins to execute a command line.
    pub fn start(&self, args: &[&str]) -> Started {
        Started::spawn(self.runner().args(args))
    }

    /// The directory of the one run of an experiment, whose name is given.
    pub fn run_directory(&self, experiment: &str) -> PathBuf {
        let runs = listing(&self.path("results").join(experiment));
        assert_eq!(runs.len(), 1, "one run is expected: {runs:?}");
        self.path("results").join(experiment).join(&runs[0])
    }

    /// `summary.json` of the one run of the experiment `test`.
    pub fn summary(&self) -> Json {
        json(&self.run_directory("test").join("summary.json"))
    }

    /// `status.json` of a repetition of the one run of the experiment `test`.
    pub fn status(&self, repetition: &str) -> Json {
        json(&self.run_directory("test").join("cells").join(repetition).join("status.json"))
    }

    /// What the steps and targets of the scenario wrote into a file of the folder, line by line; nothing before it is there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// All processes that come from this place, the guard included; zombies do not count.
    pub fn processes(&self) -> Vec<Process> {
        let mark = format!("{MARK}={}", self.folder.path().display());
        let entries = std::fs::read_dir("/proc").expect("this is Linux");
        let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let ours = |pid: &i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
        };
        pids.filter(ours)
            .map(|pid| {
                let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words = words.split(|b| *b == 0).map(String::from_utf8_lossy);
                Process { pid, command: words.collect::<Vec<_>>().join(" ").trim_end().to_owned() }
            })
            .collect()
    }

    /// Waits for a process whose command line contains this.
    pub fn process(&self, part: &str) -> Process {
        eventually(part, || self.processes().into_iter().find(|p| p.command.contains(part)))
    }

    /// Waits until no process is left, all ports are free and no scratch directory is there.
    #[track_caller]
    pub fn assert_cleared(&self, time: Duration) {
        let deadline = Instant::now() + time;
        loop {
            let processes = self.processes();
            let taken: Vec<u16> = self.ports.iter().map(|p| p.0).filter(|p| !is_free(*p)).collect();
            let scratch = listing(&self.path("scratch"));
            if processes.is_empty() && taken.is_empty() && scratch.is_empty() {
                return;
            }
            let left = format!("left behind: {processes:#?}, ports {taken:?}, scratch directories {scratch:?}");
            assert!(Instant::now() < deadline, "after {time:?} {left}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Place {
    /// A test that fails leaves nothing running either.
    fn drop(&mut self) {
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for process in processes {
                process.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A process as `/proc` shows it.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    pub command: String,
}

impl Process {
    /// The process with this in its command line that started it, or started who did.
    #[track_caller]
    pub fn ancestor(&self, part: &str) -> Self {
        let read = |pid: i32, name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("it runs");
        let mut pid = self.pid;
        loop {
            // The name before it may hold anything, blanks and brackets too.
            let stat = read(pid, "stat");
            let behind = stat.rsplit(") ").next().unwrap_or_default();
            pid = behind.split(' ').nth(1).and_then(|parent| parent.parse().ok()).expect("proc(5) has it there");
            assert!(pid > 1, "nothing with {part:?} started {}", self.command);
            let command = read(pid, "cmdline").replace('\0', " ");
            if command.contains(part) {
                return Self { pid, command };
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        // It may have ended meanwhile.
        let _ = kill_process(Pid::from_raw(self.pid).expect("no process has number 0"), signal);
    }
}

/// A command that runs.
pub struct Started {
    child: Child,
    begun: Instant,
    output: [Arc<Mutex<String>>; 2],
    readers: Vec<JoinHandle<()>>,
}

impl Started {
    /// Starts a command and collects what it says.
    pub fn spawn(command: &mut Command) -> Self {
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary was built");
        let output: [Arc<Mutex<String>>; 2] = Default::default();
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(child.stderr.take().expect("piped"))];
        let readers = streams.into_iter().zip(output.clone()).map(|(from, to)| std::thread::spawn(move || collect(from, &to)));
        Self { child, begun, readers: readers.collect(), output }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is our own child, and not waited for yet");
    }

    /// What it said so far: standard output and standard error.
    pub fn said(&self) -> [String; 2] {
        self.output.each_ref().map(|text| text.lock().expect("no reader panics").clone())
    }

    /// Asks until there is an answer; when the command has ended there will be none.
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        eventually(what, || {
            let answer = ask();
            let ended = if answer.is_none() { self.child.try_wait().expect("it is our own child") } else { None };
            assert!(ended.is_none(), "it ended before {what}: {:#?}", self.said());
            answer
        })
    }

    /// Waits until its standard output contains this so many times.
    pub fn until_said(&mut self, part: &str, times: usize) {
        let stdout = Arc::clone(&self.output[0]);
        let count = || stdout.lock().expect("no reader panics").matches(part).count();
        self.until(part, || (count() >= times).then_some(()));
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(self) -> Outcome {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end, and until nobody holds its output any more.
    #[track_caller]
    pub fn wait_within(mut self, time: Duration) -> Outcome {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our own child") {
                break status;
            }
            if since.elapsed() > time {
                let _ = self.child.kill();
                panic!("it did not end within {time:?}: {:#?}", self.said());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = self.begun.elapsed();
        eventually("its output is closed", || self.readers.iter().all(JoinHandle::is_finished).then_some(()));
        let [stdout, stderr] = self.said();
        Outcome { code: status.code(), stdout, stderr, took }
    }
}

fn collect(mut from: impl Read, to: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        to.lock().expect("nobody panics while holding it").push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Outcome {
    /// Its exit code must be this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Its standard error must contain each of these.
    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        }
        self
    }

    /// Its standard output in one line: a sentence may be broken anywhere.
    pub fn flat(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The events of `--json`.
    #[track_caller]
    pub fn events(&self) -> Vec<Json> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

/// Reads a JSON file.
#[track_caller]
pub fn json(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names in a folder, sorted; none when it is not there.
pub fn listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// All files below a folder, by their paths from there, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for name in listing(folder) {
        if folder.join(&name).is_dir() {
            found.extend(files(&folder.join(&name)).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Whether a server could listen on a port of this host.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// How many connections a server on a port of this host has.
pub fn connections(port: u16) -> usize {
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    // `0: 0100007F:1F90 0100007F:9C40 01 …`: the local address, the remote one, and 1 for an established connection
    let ours = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}"))) && fields.get(3) == Some(&"01")
    };
    sockets.lines().filter(ours).count()
}

/// Copies a folder with all that is below it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// Lets a process that is started have so many open files, as `ulimit -Sn` and `ulimit -Hn` do.
pub fn limit_open_files(command: &mut Command, soft: u64, hard: u64) {
    // SAFETY: one system call between fork and exec.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, move || {
            let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
}

/// What git says in a folder, whatever the user of this machine has told it.
pub fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=T", "-c", "user.email=t@localhost"]).args(words);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").stdin(Stdio::null());
    let output = command.output().expect("git is installed where this is tested");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}
