//! The results of experiments over HTTP, while they are being made.
//!
//! Serving runs in a separate process: this executable, started again. Threads in the measuring process would be enough
//! for the pages, but not for their content: an export uses the thread pools of its libraries, takes memory, and may crash,
//! and all of that would affect measuring. A process can be given the lowest priority as a whole (`politeness`), can give up
//! root while the measuring process keeps it (the crate `privileges`), and ends with its parent: it holds one end of a
//! socket and ends when the other end closes, whatever the cause. (The signal at a parent's death is sent when the
//! *thread* ends that started it, and is forgotten when the user changes.)
//!
//! In reading order: [`start`] binds and starts the process, `child` is the process itself; `connections` accepts a limited
//! number of connections; `answers` knows the paths; `site` finds the experiments; `store` keeps the answers of an experiment
//! until its results change, and makes one answer at a time; `results` finds the runs, `make` turns them into answers – with
//! `comparison` and `history` – and `page` makes the pages for people; `metrics`, `live` and `files` answer without a store;
//! `absent` says why something does not exist, and `archive` holds files without names.
//!
//! Nothing here joins a path with client input: names are looked up among the existing ones, and a file of a run is opened by
//! the kernel below that run and through no link.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod absent;
mod answers;
mod archive;
mod chart;
mod child;
mod comparison;
mod connections;
mod files;
mod history;
mod live;
mod make;
mod metrics;
mod page;
mod politeness;
mod query;
mod results;
mod site;
mod store;
mod temporary;

use std::io::{self, BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use privileges::passed;
use serde_json::Value as Json;

pub use child::main;

/// The hidden argument with which the serving process is started.
pub const ARGUMENT: &str = "__serve";

/// The argument that allows requests from other machines.
const PUBLIC: &str = "public";

/// How long the process may take to start serving.
const START: Duration = Duration::from_secs(60);
/// How long a previous server at the same address may take to end.
const PREDECESSOR: Duration = Duration::from_secs(5);
/// How long the process may take to end.
const END: Duration = Duration::from_secs(5);

/// What is served, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of an experiment, which contains its runs, that of one run, or one that contains experiments. It has to
    /// exist; runs may be added later.
    pub results: PathBuf,
    /// The address at which it listens; with port 0 the system chooses one.
    pub listen: SocketAddr,
    /// Whether other machines may be served.
    pub is_public: bool,
    /// The user that the serving process becomes once the address is bound; needs root.
    pub user: Option<String>,
    /// Who measured, for the files of Tor's measurements: letters, digits and `-`.
    pub source: export::Source,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that other machines can reach, without permission to serve them.
    #[error("{0} can be reached from other machines: use --public if that is intended, or listen on 127.0.0.1")]
    Public(SocketAddr),
    /// The directory does not exist.
    #[error("cannot serve {}: expected a directory of results, such as results or results/NAME", path.display())]
    Results {
        /// What was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The process cannot be started.
    #[error("cannot start the process that serves")]
    Start(#[source] std::io::Error),
    /// The process refuses to serve.
    #[error("{0}")]
    Refused(String),
    /// The process ended, or reported nothing.
    #[error("the process that serves ended before it was ready, or was not ready within {} s", START.as_secs())]
    Silent,
}

impl Error {
    /// Whether the input is wrong, rather than something that was done with it.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Public(_) | Self::Results { .. } | Self::Refused(_))
    }
}

/// The process that serves. It ends when this is dropped, or when the process that holds it ends.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    child: Child,
    /// Open as long as the process is to serve.
    control: UnixStream,
}

/// Binds the address, starts the process that serves there, and waits until it is ready.
///
/// # Errors
/// See [`Error`]. Nothing is served then.
pub fn start(options: &Options) -> Result<Handle, Error> {
    let Options { results, listen, is_public, user, source } = options;
    let passed = passed::listener().map_err(Error::Refused)?;
    // The program that made the socket has decided who can reach it.
    if passed.is_none() && !is_public && !listen.ip().is_loopback() {
        return Err(Error::Public(*listen));
    }
    let unreadable = |source| Error::Results { path: results.clone(), source };
    let folder = results.canonicalize().map_err(unreadable)?;
    std::fs::read_dir(&folder).map_err(unreadable)?;
    let busy = |source| Error::Bind { address: *listen, source };
    // Bound before any rights are given up: a port below 1024 may need root.
    let listener = passed.map_or_else(|| bind(*listen), Ok).map_err(busy)?;
    let address = listener.local_addr().map_err(busy)?;
    let (ours, theirs) = UnixStream::pair().map_err(Error::Start)?;
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()));
    let who = if *is_public || !address.ip().is_loopback() { PUBLIC } else { "local" };
    command.arg(ARGUMENT).arg(folder).arg(source.name()).arg(who).args(user);
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::from(OwnedFd::from(theirs)));
    // A Ctrl-C is for the measuring process, which ends this one when it has ended itself.
    command.process_group(0);
    if user.is_some() {
        // Environment variables meant for root are not passed to the user that it becomes.
        let temporary = std::env::var_os("TMPDIR");
        command.env_clear().envs(temporary.map(|folder| ("TMPDIR", folder)));
    }
    // Limits the thread pools of the libraries: cores that serving uses are taken from what is measured.
    command.env("RAYON_NUM_THREADS", "1").env("POLARS_MAX_THREADS", "1");
    let child = command.spawn().map_err(Error::Start)?;
    drop(command); // closes our copies of its ends
    let mut handle = Handle { address, child, control: ours };
    handle.wait_until_it_serves()?;
    Ok(handle)
}

/// Listens. A previous server, of a process that was killed, ends a moment later, and is waited for.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let deadline = Instant::now() + PREDECESSOR;
    loop {
        match TcpListener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            bound => return bound,
        }
    }
}

impl Handle {
    /// The address at which it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the process ended; none while it is serving. A caller that checks regularly can report the end or restart the process.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // If another part of the program has waited for it, its status is unknown.
        self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()))
    }

    fn wait_until_it_serves(&mut self) -> Result<(), Error> {
        self.control.set_read_timeout(Some(START)).map_err(Error::Start)?;
        let mut line = String::new();
        let read = BufReader::new(&self.control).read_line(&mut line);
        let said: Json = read.ok().and_then(|_| serde_json::from_str(&line).ok()).unwrap_or_default();
        match (said["serves"].as_bool(), said["refused"].as_str()) {
            (Some(true), _) => Ok(()),
            (_, Some(words)) => Err(Error::Refused(words.to_owned())),
            _ => Err(Error::Silent),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let deadline = Instant::now() + END;
        while self.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
