//! What runner and guard say to each other: one JSON object per line.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use vocabulary::choices::Resource;

/// From the runner.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Start a process.
    Spawn(Box<Spawn>),
    /// Stop a process and its whole tree: signal, grace, kill.
    Stop {
        /// As chosen in [`Spawn`].
        id: u64,
        /// The first signal's number.
        signal: i32,
        /// How long before it is killed.
        grace_ms: u64,
    },
    /// Send a signal to a process.
    Signal {
        /// As chosen in [`Spawn`].
        id: u64,
        /// The signal's number.
        signal: i32,
        /// Whether its whole tree gets the signal.
        whole: bool,
    },
    /// Kill everything that is left, and say what that was.
    Sweep {
        /// Processes that stay, with their trees, as chosen in [`Spawn`].
        spared: Vec<u64>,
    },
}

/// A process to start.
#[derive(Debug, Serialize, Deserialize)]
pub struct Spawn {
    /// Chosen by the runner; later events about the process carry it, too.
    pub id: u64,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub dir: Option<PathBuf>,
    /// File to which its output is appended.
    pub stdout: PathBuf,
    /// File to which its error output is appended.
    pub stderr: PathBuf,
    /// Processors on which it may run; all when empty.
    pub cpus: Vec<u32>,
    /// File of the network namespace in which it runs; the runner's own when there is none.
    pub namespace: Option<PathBuf>,
    /// Control groups that it enters.
    pub cgroups: Vec<PathBuf>,
    /// The node whose memory it uses.
    pub memory_node: Option<u32>,
    /// Soft limits of resources; none: unlimited. Others are inherited.
    pub limits: Vec<(Resource, Option<u64>)>,
}

/// From the guard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The guard has started.
    Ready {
        /// Its process id.
        pid: u32,
    },
    /// A process runs.
    Started {
        /// As chosen by the runner.
        id: u64,
        /// Its process id.
        pid: u32,
    },
    /// A process could not be started.
    Failed {
        /// As chosen by the runner.
        id: u64,
        /// What the system said.
        reason: String,
    },
    /// A process ended by itself or was stopped; other processes of its tree may still exist.
    Exited {
        /// As chosen by the runner.
        id: u64,
        /// Its exit code or the signal that ended it.
        exit: Exit,
        /// Processor time of it and of all children that it waited for.
        cpu_ns: u64,
    },
    /// A process that was asked to stop is gone, with its whole tree.
    Stopped {
        /// As chosen by the runner.
        id: u64,
        /// Whether it had to be killed.
        killed: bool,
    },
    /// A signal was sent, or there is nobody left to get it.
    Signalled,
    /// Everything is gone except what was spared.
    Swept {
        /// What had to be killed: process id and name.
        left: Vec<(u32, String)>,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => {
                let name = match signal {
                    1 => "SIGHUP",
                    2 => "SIGINT",
                    3 => "SIGQUIT",
                    4 => "SIGILL",
                    6 => "SIGABRT",
                    7 => "SIGBUS",
                    8 => "SIGFPE",
                    9 => "SIGKILL",
                    11 => "SIGSEGV",
                    13 => "SIGPIPE",
                    15 => "SIGTERM",
                    _ => return write!(f, "was killed by signal {signal}"),
                };
                write!(f, "was killed by {name}")
            }
        }
    }
}
