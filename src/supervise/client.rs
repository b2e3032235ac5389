//! The runner's side of the guard.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};

use super::journal::{self, Journal};
use super::protocol::{Event, Exit, Request, Spawn};
use super::{Error, descendants, inherit, watcher};
use vocabulary::Task;
use vocabulary::choices::{Resource, Signal};
use vocabulary::marker::{Kind, MARKER, marker};

/// The guard process and everything that it owns.
#[derive(Debug)]
pub struct Guard {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    shared: Arc<Mutex<Shared>>,
    next_id: AtomicU64,
    pid: u32,
    journal: Journal,
    /// The limits that processes get unless they ask for others.
    limits: Vec<(Resource, Option<u64>)>,
    /// Held only for its `Drop`, which waits for watcher and guard, so that nothing is left when the runner has ended.
    _watched: Arc<Mutex<Watchers>>,
}

/// Watcher and guard, as processes.
#[derive(Debug)]
struct Watchers {
    watcher: std::process::Child,
    /// The guard: a child of the watcher, or of this process if the watcher was killed.
    guard: Option<OwnedFd>,
    /// Closed when this process ends, which tells the watcher that the runner is gone.
    _pipe: std::io::PipeReader,
    journal: PathBuf,
}

impl Watchers {
    /// Waits until both have ended, but no longer than this. If they were killed before they cleaned up, this process does
    /// it.
    fn clear_up(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(1);
        while Instant::now() < deadline && self.are_there() {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        if self.journal.exists() {
            descendants::kill_all(|| ());
            journal::clear(&self.journal);
        }
    }

    fn are_there(&mut self) -> bool {
        matches!(self.watcher.try_wait(), Ok(None)) || self.guard.as_ref().is_some_and(|guard| !has_ended(guard))
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        // The sockets are closed by now, or will be when the runtime ends; both need some milliseconds.
        self.clear_up(Duration::from_secs(12));
    }
}

fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let now = Duration::ZERO.try_into().ok();
    poll(&mut fds, now.as_ref()).is_ok_and(|ready| ready > 0)
}

#[derive(Debug, Default)]
struct Shared {
    slots: HashMap<u64, Slot>,
    swept: Vec<oneshot::Sender<Vec<(u32, String)>>>,
    /// Who waits for signals to be sent, in the order of the requests.
    signalled: VecDeque<oneshot::Sender<()>>,
    /// Processes whose starter gave up before it had their process id, and how they are stopped.
    abandoned: Vec<(u64, (Signal, Duration))>,
    /// The guard has ended.
    gone: bool,
    /// It was asked to end, as it is no longer needed.
    closing: bool,
    /// Waits for its first message, which brings its process id.
    ready: Option<oneshot::Sender<u32>>,
}

#[derive(Debug)]
struct Slot {
    started: Option<oneshot::Sender<Result<u32, String>>>,
    exit: watch::Sender<Option<(Exit, u64)>>,
    stopped: watch::Sender<Option<bool>>,
}

/// A spawn that waits for the guard's answer. When it is given up meanwhile, as on Ctrl-C, the process is abandoned.
struct Waiting<'g> {
    guard: &'g Guard,
    id: u64,
    /// None: nobody waits any more.
    stop: Option<(Signal, Duration)>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let abandoned = self.stop.map(|stop| (self.id, stop));
        self.guard.shared().abandoned.extend(abandoned);
    }
}

/// A process that the guard started. A clone is the same process.
#[derive(Clone, Debug)]
pub struct Process {
    id: u64,
    /// Its process id.
    pub pid: u32,
    /// When its start was requested.
    pub asked_at: Instant,
    exit: watch::Receiver<Option<(Exit, u64)>>,
    stopped: watch::Receiver<Option<bool>>,
}

/// A process to start.
#[derive(Debug)]
pub struct ProcessSpec<'a> {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// Where its output goes.
    pub stdout: &'a Path,
    /// Where its error output goes.
    pub stderr: &'a Path,
    /// Processors on which it may run.
    pub cpus: &'a [u32],
    /// File of the network namespace in which it runs; the runner's own when there is none.
    pub namespace: Option<&'a Path>,
    /// Control groups that it enters.
    pub cgroups: Vec<PathBuf>,
    /// The node whose memory it uses.
    pub memory_node: Option<u32>,
    /// Soft limits of resources that differ from those inherited from the shell; none: unlimited.
    pub limits: &'a [(Resource, Option<u64>)],
    /// How [`Guard::end_abandoned`] stops it: the signal, and the time that it then has. None: it is killed by the next sweep.
    pub stop: Option<(Signal, Duration)>,
}

impl<'a> ProcessSpec<'a> {
    /// A process that shares directory, processors, network and limits with the runner. `logs`: the files for output and
    /// error output.
    pub fn new(argv: Vec<String>, env: Vec<(String, String)>, logs: [&'a Path; 2]) -> Self {
        let [stdout, stderr] = logs;
        Self {
            argv,
            env,
            dir: None,
            stdout,
            stderr,
            cpus: &[],
            namespace: None,
            cgroups: Vec::new(),
            memory_node: None,
            limits: &[],
            stop: None,
        }
    }
}

impl Guard {
    /// Starts the guard, and the watcher as its parent. `open_files`: the soft limit of the processes that it starts; none:
    /// unlimited.
    ///
    /// # Errors
    /// [`Error::Guard`], [`Error::Journal`].
    pub fn start(open_files: Option<u64>) -> Task<'static, Result<Self, Error>> {
        Box::pin(async move {
            let path = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
            let failed = |source| Error::Guard { path: path.clone(), source };
            // If watcher and guard are killed, the processes that they owned become our children, and we end them.
            let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
            let journal = Journal::create(&fresh_run()).map_err(Error::Journal)?;
            let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
            let (pipe, closed_with_us) = std::io::pipe().map_err(failed)?;
            let lock = journal.lock().as_raw_fd();
            let mut command = Command::new(&path);
            command.arg(watcher::ARGUMENT).arg(journal.path()).arg(lock.to_string());
            command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(closed_with_us));
            // SAFETY: `setsid` is a system call without side effects on memory.
            unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
            inherit::hand_down(&mut command, lock);
            let watcher = command.spawn().map_err(failed)?;
            drop(command); // closes our copies of their ends
            ours.set_nonblocking(true).map_err(failed)?;
            let socket = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
            let (reader, writer) = socket.into_split();
            let (to, ready) = oneshot::channel();
            let shared = Arc::new(Mutex::new(Shared { ready: Some(to), ..Shared::default() }));
            let watched =
                Arc::new(Mutex::new(Watchers { watcher, guard: None, _pipe: pipe, journal: journal.path().to_owned() }));
            tokio::spawn(listen(reader, Arc::clone(&shared), Arc::clone(&watched)));
            let pid = ready.await.map_err(|_| Error::GuardGone)?;
            let held = rustix::process::Pid::from_raw(pid as i32)
                .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
            watched.lock().unwrap_or_else(PoisonError::into_inner).guard = held;
            Ok(Self {
                writer: tokio::sync::Mutex::new(writer),
                shared,
                next_id: AtomicU64::new(1),
                pid,
                journal,
                limits: vec![(Resource::OpenFiles, open_files)],
                _watched: watched,
            })
        })
    }

    /// The id of this run: sixteen hexadecimal digits, different for every run on every machine.
    pub fn run(&self) -> &str {
        &self.journal.run
    }

    /// The environment entry by which a process is recognised, whatever its parent.
    pub fn marker(&self, kind: Kind, name: &str, number: u32) -> (String, String) {
        (MARKER.to_owned(), marker(kind, name, number, self.run()))
    }

    /// The guard's process id; orphans of targets become its children.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether watcher and guard have ended.
    pub fn is_gone(&self) -> bool {
        self.shared().gone
    }

    async fn say(&self, request: &Request) -> Result<(), Error> {
        let mut line = serde_json::to_vec(request).expect("a request is always JSON");
        line.push(b'\n');
        self.writer.lock().await.write_all(&line).await.map_err(|_| Error::GuardGone)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds this lock")
    }

    /// Starts a process in its own process group.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the program cannot be executed, [`Error::GuardGone`].
    pub fn spawn<'f>(&'f self, process: ProcessSpec<'f>) -> Task<'f, Result<Process, Error>> {
        Box::pin(async move {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            let program = process.argv.join(" ");
            let (started, starting) = oneshot::channel();
            let (exit_to, exit) = watch::channel(None);
            let (stopped_to, stopped) = watch::channel(None);
            {
                let mut shared = self.shared();
                if shared.gone {
                    return Err(Error::GuardGone);
                }
                shared.slots.insert(id, Slot { started: Some(started), exit: exit_to, stopped: stopped_to });
            }
            let asked_at = Instant::now();
            let dir = process.dir.clone();
            self.say(&Request::Spawn(Box::new(Spawn {
                id,
                argv: process.argv,
                env: process.env,
                dir: process.dir,
                stdout: process.stdout.to_owned(),
                stderr: process.stderr.to_owned(),
                cpus: process.cpus.to_vec(),
                namespace: process.namespace.map(Path::to_owned),
                cgroups: process.cgroups,
                memory_node: process.memory_node,
                limits: self
                    .limits
                    .iter()
                    .filter(|(name, _)| !process.limits.iter().any(|(other, _)| other == name))
                    .chain(process.limits)
                    .cloned()
                    .collect(),
            })))
            .await?;
            let mut waiting = Waiting { guard: self, id, stop: process.stop };
            let answer = starting.await;
            waiting.stop = None;
            drop(waiting);
            match answer {
                Ok(Ok(pid)) => Ok(Process { id, pid, asked_at, exit, stopped }),
                Ok(Err(reason)) => {
                    self.shared().slots.remove(&id);
                    // The system reports the same error for a program that does not exist.
                    let missing = dir.filter(|dir| !dir.is_dir()).map(|dir| format!("there is no directory {}", dir.display()));
                    let forbidden =
                        reason.contains("os error 13").then(|| format!("{reason}; is it executable? `chmod +x` makes it so"));
                    Err(Error::Spawn { program, reason: missing.or(forbidden).unwrap_or(reason) })
                }
                Err(_) => Err(Error::GuardGone),
            }
        })
    }

    /// Stops a process and its whole tree: signal, grace, kill. Returns whether it had to be killed.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub fn stop<'f>(&'f self, process: &'f Process, signal: Signal, grace: Duration) -> Task<'f, Result<bool, Error>> {
        Box::pin(self.stop_by_id(process.id, process.stopped.clone(), signal, grace))
    }

    /// Sends a signal to a process, or to its whole tree; returns when it was sent. Nothing happens where the process is gone.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub fn signal<'f>(&'f self, process: &'f Process, signal: i32, whole: bool) -> Task<'f, Result<(), Error>> {
        Box::pin(async move {
            let (to, sent) = oneshot::channel();
            let mut line =
                serde_json::to_vec(&Request::Signal { id: process.id, signal, whole }).expect("a request is always JSON");
            line.push(b'\n');
            {
                // Answers come in the order of requests: nobody may come between the two lines.
                let mut writer = self.writer.lock().await;
                self.shared().signalled.push_back(to);
                writer.write_all(&line).await.map_err(|_| Error::GuardGone)?;
            }
            sent.await.map_err(|_| Error::GuardGone)
        })
    }

    /// Stops the processes that were asked for with a way to stop them, and whose starter gave up before it knew whether they
    /// had started: they get their signal and their time, as all others do. Returns when all have ended.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub fn end_abandoned(&self) -> Task<'_, Result<(), Error>> {
        Box::pin(async move {
            let all = {
                let mut shared = self.shared();
                let all = std::mem::take(&mut shared.abandoned);
                let known = |(id, stop)| Some((id, stop, shared.slots.get(&id)?.stopped.subscribe()));
                all.into_iter().filter_map(known).collect::<Vec<_>>()
            };
            for (id, (signal, grace), stopped) in all {
                self.stop_by_id(id, stopped, signal, grace).await?;
            }
            Ok(())
        })
    }

    async fn stop_by_id(
        &self,
        id: u64,
        mut stopped: watch::Receiver<Option<bool>>,
        signal: Signal,
        grace: Duration,
    ) -> Result<bool, Error> {
        self.say(&Request::Stop { id, signal: signal.number(), grace_ms: grace.as_millis() as u64 }).await?;
        let killed = stopped.wait_for(Option::is_some).await.map_err(|_| Error::GuardGone)?.unwrap_or_default();
        self.shared().slots.remove(&id);
        Ok(killed)
    }

    /// Kills everything that is left, except `spared`; returns process ids and names. An empty list proves that nothing else
    /// of ours was running.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub fn sweep(&self, spared: &[&Process]) -> Task<'_, Result<Vec<(u32, String)>, Error>> {
        let spared = spared.iter().map(|process| process.id).collect();
        Box::pin(async move {
            let (to, from) = oneshot::channel();
            self.shared().swept.push(to);
            self.say(&Request::Sweep { spared }).await?;
            // It takes 10 s at most; a guard that is silent for longer was stopped, or hangs.
            let swept = tokio::time::timeout(Duration::from_secs(20), from).await;
            swept.map_err(|_| Error::GuardGone)?.map_err(|_| Error::GuardGone)
        })
    }

    /// Makes sure that a directory, file or mount is removed when the runner ends, however it ends. Call this before
    /// creating it.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn adopt(&self, path: &Path) -> Result<(), Error> {
        self.journal.adopt(path).map_err(|e| self.unwritten(&e))
    }

    /// Makes sure that a command is executed if the runner ends before it cancels the command with [`Guard::done`].
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn undo_by(&self, argv: &[String]) -> Result<(), Error> {
        self.journal.undo(argv).map_err(|e| self.unwritten(&e))
    }

    /// Cancels [`Guard::undo_by`].
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn done(&self, argv: &[String]) -> Result<(), Error> {
        self.journal.done(argv).map_err(|e| self.unwritten(&e))
    }

    /// Cancels [`Guard::adopt`].
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn release(&self, path: &Path) -> Result<(), Error> {
        self.journal.release(path).map_err(|e| self.unwritten(&e))
    }

    fn unwritten(&self, error: &std::io::Error) -> Error {
        Error::Journal(format!("{}: {error}", self.journal.path().display()))
    }

    /// Executes a command to its end, and ends what it leaves in the background. Returns how it ended; none when it took too
    /// long.
    ///
    /// # Errors
    /// As [`Guard::spawn`].
    pub fn run_to_end<'f>(&'f self, process: ProcessSpec<'f>, patience: Duration) -> Task<'f, Result<Option<Exit>, Error>> {
        Box::pin(async move {
            let process = self.spawn(process).await?;
            let exit = tokio::time::timeout(patience, process.wait()).await;
            self.stop(&process, Signal::Kill, Duration::ZERO).await?;
            exit.ok().transpose()
        })
    }

    /// Like [`Guard::run_to_end`], but also returns what the command printed.
    ///
    /// # Errors
    /// As [`Guard::spawn`].
    pub fn ask(&self, argv: Vec<String>, patience: Duration) -> Task<'_, Result<Answer, Error>> {
        Box::pin(async move {
            let program = argv.join(" ");
            let failed = |error: std::io::Error| Error::Spawn { program: program.clone(), reason: error.to_string() };
            let [mut out, mut err] = [memory_file().map_err(failed)?, memory_file().map_err(failed)?];
            let path = |file: &std::fs::File| PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
            let (stdout, stderr) = (path(&out), path(&err));
            let name = argv.first().cloned().unwrap_or_default();
            let env = vec![self.marker(Kind::Step, &name, 0)];
            let exit = self.run_to_end(ProcessSpec::new(argv, env, [&stdout, &stderr]), patience).await?;
            let text = |file: &mut std::fs::File| {
                use std::io::{Read as _, Seek as _, SeekFrom};
                let mut bytes = Vec::new();
                let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(MAX_ANSWER).read_to_end(&mut bytes));
                read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
            };
            let (stdout, stderr) = (text(&mut out).map_err(failed)?, text(&mut err).map_err(failed)?);
            Ok(Answer { exit, stdout, stderr })
        })
    }
}

/// At most this much of an answer is read.
const MAX_ANSWER: u64 = 1 << 20;

/// What a command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended; none when it took too long.
    pub exit: Option<Exit>,
    /// Its output.
    pub stdout: String,
    /// Its error output.
    pub stderr: String,
}

/// A file without a name, in memory.
fn memory_file() -> std::io::Result<std::fs::File> {
    Ok(std::fs::File::from(rustix::fs::memfd_create(c"runner", rustix::fs::MemfdFlags::CLOEXEC)?))
}

/// The id of a run: random, so that the names made of it cannot be guessed.
fn fresh_run() -> String {
    let mut bytes = [0_u8; 8];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    if random.is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        bytes = (now ^ u64::from(std::process::id()) << 32).to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(bytes))
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared().closing = true;
    }
}

async fn listen(reader: OwnedReadHalf, shared: Arc<Mutex<Shared>>, watched: Arc<Mutex<Watchers>>) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        let mut shared = shared.lock().expect("nothing panics while it holds this lock");
        match event {
            Event::Ready { pid } => {
                if let Some(ready) = shared.ready.take() {
                    let _ = ready.send(pid);
                }
            }
            Event::Started { id, pid } => {
                if let Some(started) = shared.slots.get_mut(&id).and_then(|s| s.started.take()) {
                    let _ = started.send(Ok(pid));
                }
            }
            Event::Failed { id, reason } => {
                if let Some(started) = shared.slots.get_mut(&id).and_then(|s| s.started.take()) {
                    let _ = started.send(Err(reason));
                }
            }
            Event::Exited { id, exit, cpu_ns } => {
                if let Some(slot) = shared.slots.get(&id) {
                    slot.exit.send_replace(Some((exit, cpu_ns)));
                }
            }
            Event::Stopped { id, killed } => {
                if let Some(slot) = shared.slots.get(&id) {
                    slot.stopped.send_replace(Some(killed));
                }
            }
            Event::Signalled => {
                if let Some(to) = shared.signalled.pop_front() {
                    let _ = to.send(());
                }
            }
            Event::Swept { left } => {
                for to in std::mem::take(&mut shared.swept) {
                    let _ = to.send(left.clone());
                }
            }
        }
    }
    let closing = shared.lock().unwrap_or_else(PoisonError::into_inner).closing;
    if !closing {
        // The guard was killed.
        let clearing = move || watched.lock().unwrap_or_else(PoisonError::into_inner).clear_up(Duration::from_secs(60));
        let _ = tokio::task::spawn_blocking(clearing).await;
    }
    // Dropping the senders wakes everything that waits.
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared.gone = true;
    shared.ready = None;
    shared.slots.clear();
    shared.swept.clear();
    shared.signalled.clear();
}

impl Process {
    /// How it ended, if it has ended.
    pub fn exited(&self) -> Option<Exit> {
        self.exit.borrow().map(|(exit, _)| exit)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn wait(&self) -> Result<Exit, Error> {
        let mut exit = self.exit.clone();
        let exit = *exit.wait_for(Option::is_some).await.map_err(|_| Error::GuardGone)?;
        exit.map(|(exit, _)| exit).ok_or(Error::GuardGone)
    }

    /// Processor time of it and of all children that it waited for, once it has ended.
    pub fn cpu(&self) -> Option<Duration> {
        self.exit.borrow().map(|(_, cpu_ns)| Duration::from_nanos(cpu_ns))
    }
}
