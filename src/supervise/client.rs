//! The runner's side of the guard.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};

use super::protocol::{Event, Exit, Request, Spawn};
use super::{Error, guard};
use crate::plan::Signal;

/// The guard process and everything that it owns.
#[derive(Debug)]
pub struct Guard {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    shared: Arc<Mutex<Shared>>,
    next_id: AtomicU64,
    pid: u32,
    /// Held to be dropped: the guard is waited for, so that nothing is left when the runner has ended.
    _process: GuardProcess,
}

#[derive(Debug)]
struct GuardProcess(std::process::Child);

impl Drop for GuardProcess {
    fn drop(&mut self) {
        // The sockets are closed by now, or are when the runtime ends; the guard needs some milliseconds.
        let deadline = Instant::now() + Duration::from_secs(12);
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    slots: HashMap<u64, Slot>,
    swept: Vec<oneshot::Sender<Vec<(u32, String)>>>,
    /// The guard has ended.
    gone: bool,
    /// It was told to, as nobody needs it any more.
    closing: bool,
}

#[derive(Debug)]
struct Slot {
    started: Option<oneshot::Sender<Result<u32, String>>>,
    exit: watch::Sender<Option<(Exit, u64)>>,
    stopped: watch::Sender<Option<bool>>,
}

/// A process that the guard started.
#[derive(Debug)]
pub struct Process {
    id: u64,
    /// Its process id.
    pub pid: u32,
    /// When it was asked for.
    pub asked_at: Instant,
    exit: watch::Receiver<Option<(Exit, u64)>>,
    stopped: watch::Receiver<Option<bool>>,
}

/// What is started.
#[derive(Debug)]
pub struct What<'a> {
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
}

impl Guard {
    /// Starts the guard. Must be called inside of a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Guard`].
    pub fn start() -> Result<Self, Error> {
        let path = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
        let failed = |source| Error::Guard { path: path.clone(), source };
        // Should the guard be killed, what it owned becomes ours, and we end it.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
        let (ours, theirs) = StdUnixStream::pair().map_err(failed)?;
        let mut command = Command::new(&path);
        command.arg(guard::ARGUMENT).stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        // SAFETY: `setsid` is a system call and nothing else.
        unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
        let process = command.spawn().map_err(failed)?;
        drop(command); // closes our copy of the guard's end of the socket
        ours.set_nonblocking(true).map_err(failed)?;
        let socket = tokio::net::UnixStream::from_std(ours).map_err(failed)?;
        let (reader, writer) = socket.into_split();
        let shared = Arc::new(Mutex::new(Shared::default()));
        tokio::spawn(listen(reader, Arc::clone(&shared)));
        Ok(Self {
            writer: tokio::sync::Mutex::new(writer),
            shared,
            next_id: AtomicU64::new(1),
            pid: process.id(),
            _process: GuardProcess(process),
        })
    }

    /// The guard's process id; orphans of targets become its children.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    async fn say(&self, request: &Request) -> Result<(), Error> {
        let mut line = serde_json::to_vec(request).expect("a request is always JSON");
        line.push(b'\n');
        self.writer.lock().await.write_all(&line).await.map_err(|_| Error::GuardGone)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("nothing panics while it holds this lock")
    }

    /// Starts a process in a process group of its own.
    ///
    /// # Errors
    /// [`Error::Spawn`] when the program cannot be executed, [`Error::GuardGone`].
    pub async fn spawn(&self, what: What<'_>) -> Result<Process, Error> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let program = what.argv.join(" ");
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
        let dir = what.dir.clone();
        self.say(&Request::Spawn(Spawn {
            id,
            argv: what.argv,
            env: what.env,
            dir: what.dir,
            stdout: what.stdout.to_owned(),
            stderr: what.stderr.to_owned(),
            cpus: what.cpus.to_vec(),
            namespace: what.namespace.map(Path::to_owned),
        }))
        .await?;
        match starting.await {
            Ok(Ok(pid)) => Ok(Process { id, pid, asked_at, exit, stopped }),
            Ok(Err(reason)) => {
                self.shared().slots.remove(&id);
                // The system says the same of a program that is not there.
                let missing = dir.filter(|dir| !dir.is_dir()).map(|dir| format!("there is no directory {}", dir.display()));
                Err(Error::Spawn { program, reason: missing.unwrap_or(reason) })
            }
            Err(_) => Err(Error::GuardGone),
        }
    }

    /// Stops a process and its whole tree: signal, grace, kill. Returns whether it had to be killed.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn stop(&self, process: &Process, signal: Signal, grace: Duration) -> Result<bool, Error> {
        let signal = match signal {
            Signal::Term => 15,
            Signal::Int => 2,
            Signal::Quit => 3,
            Signal::Hup => 1,
            Signal::Usr1 => 10,
            Signal::Usr2 => 12,
            Signal::Kill => 9,
        };
        self.say(&Request::Stop { id: process.id, signal, grace_ms: grace.as_millis() as u64 }).await?;
        let mut stopped = process.stopped.clone();
        let killed = stopped.wait_for(Option::is_some).await.map_err(|_| Error::GuardGone)?.unwrap_or_default();
        self.shared().slots.remove(&process.id);
        Ok(killed)
    }

    /// Kills everything that is left; returns process ids and names. The proof that nothing of ours runs is an empty list.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn sweep(&self) -> Result<Vec<(u32, String)>, Error> {
        let (to, from) = oneshot::channel();
        self.shared().swept.push(to);
        self.say(&Request::Sweep).await?;
        from.await.map_err(|_| Error::GuardGone)
    }

    /// Has a directory removed when the runner ends, however it ends.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn adopt(&self, directory: &Path) -> Result<(), Error> {
        self.say(&Request::Adopt(directory.to_owned())).await
    }

    /// Has a command executed when the runner is gone before it took this back with [`Guard::done`].
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn undo_by(&self, argv: &[String]) -> Result<(), Error> {
        self.say(&Request::Undo(argv.to_vec())).await
    }

    /// Takes [`Guard::undo_by`] back.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn done(&self, argv: &[String]) -> Result<(), Error> {
        self.say(&Request::Done(argv.to_vec())).await
    }

    /// Takes [`Guard::adopt`] back.
    ///
    /// # Errors
    /// [`Error::GuardGone`].
    pub async fn release(&self, directory: &Path) -> Result<(), Error> {
        self.say(&Request::Release(directory.to_owned())).await
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared().closing = true;
    }
}

async fn listen(reader: OwnedReadHalf, shared: Arc<Mutex<Shared>>) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        let mut shared = shared.lock().expect("nothing panics while it holds this lock");
        match event {
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
            Event::Swept { left } => {
                for to in std::mem::take(&mut shared.swept) {
                    let _ = to.send(left.clone());
                }
            }
        }
    }
    let mut shared = shared.lock().expect("nothing panics while it holds this lock");
    if !shared.closing {
        // The guard was killed before its time. What it owned has become ours and must not go on.
        guard::kill_descendants(|| ());
    }
    // Dropping the senders wakes everybody who waits.
    shared.gone = true;
    shared.slots.clear();
    shared.swept.clear();
}

impl Process {
    /// How it ended, if it has.
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
