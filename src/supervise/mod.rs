//! Targets as child processes that cannot outlive the runner.
//!
//! A small guard process (this executable, started again) owns everything that runs. It is the subreaper of all descendants,
//! so nothing escapes by forking twice, and it holds one end of a socket: when the other end closes – the runner ended,
//! crashed or was killed – it kills what is left and undoes what the run's journal lists. A second process, the watcher,
//! does the same when the guard is killed. `protocol` is what runner and guard say to each other, `guard` the process,
//! `lifecycle` its decisions, `spawn` how it starts a process, `processes` its view of `/proc`, `descendants` the end of all
//! that are left, `cgroup` the limits of replicas, `journal` the list of things to undo, `watcher` the second process, `inherit` what the three pass
//! on to each other, `client` the runner's side; `probe` finds out when a replica is ready.
//!
//! Order and meaning of targets belong to the executor; their resource usage to `observe`.

pub mod cgroup;
pub mod client;
mod descendants;
mod group_files;
pub mod guard;
mod inherit;
pub mod journal;
pub mod lifecycle;
pub mod probe;
mod processes;
pub mod protocol;
pub mod spawn;
pub mod watcher;

pub use cgroup::Cgroup;
pub use client::{Guard, Process, ProcessSpec};
pub use protocol::Exit;
pub use vocabulary::marker::Kind;

use std::path::PathBuf;

/// What can go wrong with a process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guard process could not be started.
    #[error("cannot start the guard process {}", path.display())]
    Guard {
        /// This executable.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The list of things to undo could not be written, so nothing that needs undoing may be made.
    #[error("cannot write the list of things to undo at the end: {0}")]
    Journal(String),
    /// The guard ended while it was still needed.
    #[error("the guard process ended unexpectedly; everything that it owned was killed")]
    GuardGone,
    /// A program could not be started.
    #[error("cannot start `{program}`: {reason}")]
    Spawn {
        /// The command line.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// What a replica may use could not be limited.
    #[error("the resources of {name} cannot be limited: {reason}")]
    Resources {
        /// Target and replica.
        name: String,
        /// What the system said.
        reason: String,
    },
    /// The kernel killed a process of a replica that exceeded its memory limit.
    #[error("{name} was killed by the kernel{}: it exceeded its memory limit of {limit}{}", if *early { " before it was ready" } else { "" }, log_tail(tail))]
    OutOfMemory {
        /// Target and replica.
        name: String,
        /// The limit.
        limit: String,
        /// Whether it had not been ready yet.
        early: bool,
        /// The last lines of its log.
        tail: Vec<String>,
    },
    /// A replica ended before it was ready.
    #[error("{name} {exit} before it was ready{}{}", foreground(*exit), log_tail(tail))]
    EndedEarly {
        /// Which replica of which target it is.
        name: String,
        /// Its exit code or the signal that ended it.
        exit: Exit,
        /// The last lines of its log.
        tail: Vec<String>,
    },
    /// A replica did not become ready in time.
    #[error("{name} was not ready within {}: {reason}{}{}", vocabulary::units::exact_duration(*timeout), longer(*timeout), tail.as_deref().map(log_tail).unwrap_or_default())]
    NotReady {
        /// Target and replica.
        name: String,
        /// How long it was given.
        timeout: std::time::Duration,
        /// The kind of reason: the same whenever it happens again, whatever else the words say.
        kind: String,
        /// What the last probe found.
        reason: String,
        /// The last lines of its log; none if it has no log, because it was not started here.
        tail: Option<Vec<String>>,
    },
    /// A replica ended while it was needed.
    #[error("{name} {exit} while it was needed{}{}", foreground(*exit), log_tail(tail))]
    Died {
        /// Target and replica.
        name: String,
        /// Its exit code or the signal that ended it.
        exit: Exit,
        /// The last lines of its log.
        tail: Vec<String>,
    },
}

/// The most common mistake, where a program has ended without an error.
fn foreground(exit: Exit) -> &'static str {
    match exit {
        Exit::Code(0) => "; a target must stay in the foreground: expected an option such as `--foreground` or `--no-daemon`",
        _ => "",
    }
}

/// How to wait longer.
fn longer(timeout: std::time::Duration) -> String {
    let more = (timeout * 2).max(std::time::Duration::from_secs(60));
    format!("; `ready: {{timeout: {}}}` waits longer", vocabulary::units::exact_duration(more))
}

/// Of a replica that was started, and so has a log.
fn log_tail(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; its log is empty".to_owned();
    }
    format!("; the end of its log:\n    | {}", lines.join("\n    | "))
}
