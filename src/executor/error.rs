//! Errors that end a repetition early.

use std::path::PathBuf;

/// Why a repetition, or a step outside of it, ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that a target needs is taken.
    #[error("port {port}, which `{target}` needs, is taken{}", holder.as_ref().map_or_else(String::new, |h| format!(" by {h}")))]
    PortTaken {
        /// The port that is not free.
        port: u16,
        /// The target that needs it.
        target: String,
        /// The process that listens there, if it is visible.
        holder: Option<String>,
    },
    /// A port is still taken after its target was stopped.
    #[error("port {port} is still taken after `{target}` was stopped{}", holder.as_ref().map_or_else(String::new, |h| format!(", by {h}")))]
    PortKept {
        /// The port that should be free again.
        port: u16,
        /// The target that was stopped.
        target: String,
        /// The process that listens there, if it is visible.
        holder: Option<String>,
    },
    /// A port cannot be checked.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// A process of a target.
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    /// A link.
    #[error(transparent)]
    Link(#[from] links::Error),
    /// A container that still exists after it was removed.
    #[error("the container {name} could not be removed: {reason}")]
    Container {
        /// Its name.
        name: String,
        /// The engine's message.
        reason: String,
    },
    /// An engine did not do what it was asked to do with a container.
    #[error("the engine refused to {what} the container {name}: {reason}")]
    Engine {
        /// The container.
        name: String,
        /// What was asked for.
        what: String,
        /// The engine's message.
        reason: String,
    },
    /// The process that emulates a link.
    #[error("the helper of link `{link}` does not work: {reason}")]
    LinkHelper {
        /// The name of the link whose helper failed.
        link: String,
        /// How the helper ended, or its message.
        reason: String,
    },
    /// A load could not be prepared or made.
    #[error(transparent)]
    Load(#[from] load::Error),
    /// Results could not be written or read.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// A scratch file.
    #[error("cannot make {} in the scratch directory", path.display())]
    Scratch {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A step of the scenario failed.
    #[error("the {level} step `{step}` failed: {reason}")]
    Action {
        /// `set-up` or `clean-up`, and its level.
        level: &'static str,
        /// The set-up or clean-up step, in words.
        step: String,
        /// How it ended, with the end of its output.
        reason: String,
    },
    /// The set-up of a cell failed, which all its repetitions need.
    #[error("{reason}")]
    CellSetUp {
        /// The step of its set-up that failed, and why.
        reason: String,
    },
    /// Nothing of the experiment listens on the port that the load uses.
    #[error("{error}; {hint}")]
    Refused {
        /// The refused connection.
        error: load::Error,
        /// The port on which nothing listens, and the port that was probably meant.
        hint: String,
    },
    /// A figure could not be collected.
    #[error("`{name}` could not be collected: {reason}")]
    Collect {
        /// The name of the entry of `collect`.
        name: String,
        /// Why nothing could be read.
        reason: String,
    },
    /// A tap cannot be followed.
    #[error("the tap `{name}` cannot be followed: {reason}")]
    Tap {
        /// The name of the tap.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The executable with the fixtures is missing.
    #[error("{0}")]
    Fixtures(String),
    /// Another machine of the repetition failed.
    #[error("{host}: {why}")]
    Elsewhere {
        /// Its name.
        host: String,
        /// Why.
        why: String,
    },
    /// A machine is gone, and cannot be had again.
    #[error("the machine {host} is gone, and cannot be had again: {why}")]
    NoMachine {
        /// Its name.
        host: String,
        /// Why.
        why: String,
    },
    /// Something could not be broken on purpose, or not be undone.
    #[error("the fault `{name}` failed: {reason}")]
    Fault {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// `abort` gave the repetition up.
    #[error("given up because of `abort`: {0}")]
    Hopeless(String),
    /// Whoever directs the machines asked for an end.
    #[error("{0}")]
    Asked(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Whether it makes no sense to continue with the next repetition.
    pub fn ends_the_run(&self) -> bool {
        matches!(
            self,
            Self::Record(_)
                | Self::Fixtures(_)
                | Self::Interrupted
                | Self::NoMachine { .. }
                | Self::Supervise(supervise::Error::GuardGone)
        )
    }
}
