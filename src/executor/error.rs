//! What can end a repetition before its time.

use std::path::PathBuf;

/// Why a repetition, or a step beside it, came to an early end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that a target needs is taken.
    #[error("port {port}, which `{target}` needs, is taken{}", holder.as_ref().map_or_else(String::new, |h| format!(" by {h}")))]
    PortTaken {
        /// The port that is not free.
        port: u16,
        /// The target that needs it.
        target: String,
        /// The process that listens there, where it can be seen.
        holder: Option<String>,
    },
    /// A port is still taken after its target was stopped.
    #[error("port {port} is still taken after `{target}` was stopped{}", holder.as_ref().map_or_else(String::new, |h| format!(", by {h}")))]
    PortKept {
        /// The port that should be free again.
        port: u16,
        /// The target that was stopped.
        target: String,
        /// The process that listens there, where it can be seen.
        holder: Option<String>,
    },
    /// A port cannot be looked at.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// A process of a target.
    #[error(transparent)]
    Supervise(#[from] supervise::Error),
    /// A link.
    #[error(transparent)]
    Link(#[from] links::Error),
    /// A container that is still there after it was told to go.
    #[error("the container {name} could not be removed: {reason}")]
    Container {
        /// Its name.
        name: String,
        /// What the engine said.
        reason: String,
    },
    /// The process that emulates a link.
    #[error("the helper of link `{link}` does not work: {reason}")]
    LinkHelper {
        /// The name of the link whose helper failed.
        link: String,
        /// How the helper ended, or what it said.
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
        /// What the system said.
        source: std::io::Error,
    },
    /// A step of the scenario's own failed.
    #[error("the {level} step `{step}` failed: {reason}")]
    Action {
        /// `set-up` or `clean-up`, and its level.
        level: &'static str,
        /// The set-up or clean-up step, in words.
        step: String,
        /// How it ended, with the end of what it wrote.
        reason: String,
    },
    /// What all repetitions of a cell need could not be made.
    #[error("{reason}")]
    CellSetUp {
        /// Which step of its set-up failed, and why.
        reason: String,
    },
    /// Nobody of the experiment listens where the load asks.
    #[error("{error}; {hint}")]
    Refused {
        /// What was refused.
        error: load::Error,
        /// Where nobody listens, and who does.
        hint: String,
    },
    /// What should be collected is not there.
    #[error("`{name}` could not be collected: {reason}")]
    Collect {
        /// The name of the entry of `collect`.
        name: String,
        /// Why nothing could be read.
        reason: String,
    },
    /// What a tap asks for cannot be followed, whatever its source says.
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
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Whether going on with the next repetition makes no sense.
    pub fn ends_the_run(&self) -> bool {
        matches!(self, Self::Record(_) | Self::Fixtures(_) | Self::Interrupted | Self::Supervise(supervise::Error::GuardGone))
    }
}
