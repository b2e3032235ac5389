//! The results of one experiment over HTTP, while they are made.
//!
//! Serving is a process of its own: this executable, started again. Threads beside those that measure would do for the pages, but
//! not for what they are made of: an export uses the pools of threads of its libraries, takes memory, and may fall over, and all of
//! that would be the measuring process's. A process can be put behind everything else as a whole (`politeness`), can give up root
//! while the measuring keeps it (the crate `privileges`), and is gone when its parent is: it holds one end of a socket and ends when the
//! other end closes, however that comes about. (The signal at a parent's death is sent when the *thread* ends that started it, and
//! is forgotten when the user changes.)
//!
//! In reading order: [`start`] binds and starts the process, `child` is what it does; `connections` takes connections, so many and
//! no more; `answers` knows the paths; `store` keeps what was made until the results change, and has one thing made at a time;
//! `results` says which runs there are, `make` makes of them what is asked for, `page` what people read; `archive` holds files
//! without names.
//!
//! Nothing here joins a path with what a client said: names are looked up among those that are there.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
mod archive;
mod child;
mod connections;
mod make;
mod page;
mod politeness;
mod results;
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

use serde_json::Value as Json;

pub use child::main;

/// The hidden argument with which the serving process is started.
pub const ARGUMENT: &str = "__serve";

/// How long the process may take until it serves.
const START: Duration = Duration::from_secs(60);
/// How long whoever served at an address before may take to be gone.
const PREDECESSOR: Duration = Duration::from_secs(5);
/// How long it may take to end.
const END: Duration = Duration::from_secs(5);

/// What is served, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of an experiment, in which its runs are, or that of one run. It has to be there; runs may come later.
    pub results: PathBuf,
    /// Where it listens; with port 0 the system chooses one.
    pub listen: SocketAddr,
    /// Whether others than this machine may be served.
    pub is_public: bool,
    /// The user that the serving process becomes once the address is taken; needs root.
    pub user: Option<String>,
    /// Who measured, in the files of Tor's measurements: letters, digits and `-`.
    pub source: export::Source,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that others can reach, without leave.
    #[error("{0} can be reached from other machines: give --public if that is meant, or listen on 127.0.0.1")]
    Public(SocketAddr),
    /// There is no such directory.
    #[error("cannot serve {}: expected the directory of an experiment, such as results/NAME", path.display())]
    Results {
        /// What was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The address cannot be taken.
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
    /// It refuses to serve.
    #[error("{0}")]
    Refused(String),
    /// It ended, or said nothing.
    #[error("the process that serves ended before it served, or did not start within {} s", START.as_secs())]
    Silent,
}

impl Error {
    /// Whether something that was given is wrong, rather than something that was done.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Public(_) | Self::Results { .. } | Self::Refused(_))
    }
}

/// The process that serves. It ends when this is dropped, or when the process that holds it ends.
#[derive(Debug)]
pub struct Handle {
    address: SocketAddr,
    child: Child,
    /// Open as long as it is to serve.
    control: UnixStream,
}

/// Takes the address, starts the process that serves there, and waits until it does.
///
/// # Errors
/// See [`Error`]. Then nothing serves.
pub fn start(options: &Options) -> Result<Handle, Error> {
    let Options { results, listen, is_public, user, source } = options;
    if !is_public && !listen.ip().is_loopback() {
        return Err(Error::Public(*listen));
    }
    let unreadable = |source| Error::Results { path: results.clone(), source };
    let folder = results.canonicalize().map_err(unreadable)?;
    std::fs::read_dir(&folder).map_err(unreadable)?;
    let busy = |source| Error::Bind { address: *listen, source };
    // Taken before anything is given up: a port below 1024 may be root's.
    let listener = bind(*listen).map_err(busy)?;
    let address = listener.local_addr().map_err(busy)?;
    let (ours, theirs) = UnixStream::pair().map_err(Error::Start)?;
    let mut command = Command::new(std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()));
    command.arg(ARGUMENT).arg(folder).arg(source.name()).args(user);
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::from(OwnedFd::from(theirs)));
    // A Ctrl-C is for the process that measures, which ends this one when it has ended itself.
    command.process_group(0);
    if user.is_some() {
        // What root was told is not for whom it becomes.
        let temporary = std::env::var_os("TMPDIR");
        command.env_clear().envs(temporary.map(|folder| ("TMPDIR", folder)));
    }
    // The pools of threads of the libraries: what serving does on several cores is taken from what is measured.
    command.env("RAYON_NUM_THREADS", "1").env("POLARS_MAX_THREADS", "1");
    let child = command.spawn().map_err(Error::Start)?;
    drop(command); // closes our copies of its ends
    let mut handle = Handle { address, child, control: ours };
    handle.wait_until_it_serves()?;
    Ok(handle)
}

/// Listens. Who served there for somebody who was killed ends a moment later, and is waited for.
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
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the process ended; none while it serves. Who asks now and then can tell, or start it anew.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        // Where somebody else has waited for it, nobody knows how.
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
