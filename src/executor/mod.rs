//! One repetition from set-up to tear-down; the only place that knows the order of its parts.
//!
//! scratch directory → set-up → links, each measured → ports free → targets in order, each ready → set-up of the load → verify →
//! what servers counted until now → load (warm-up, during) → what they counted now → collect → clean-up of the load →
//! targets stopped in reverse → links undone → proof that nothing is left → clean-up → result made durable.
//!
//! `repetition` tells that story. `targets` starts and stops, `launches` starts programs that make the load, `actions` are
//! the scenario's own steps (`kept` what they keep for later runs, `checkout` revisions that are built), `late` fills in what
//! is only known now, `collect` takes figures when the load is over, `reconcile` holds what servers counted against what was
//! sent, `recorder` takes in what load and observation report, `containers` are what an engine runs for us, `network` makes
//! and undoes links, `memory` are file systems in memory, `host` who used the processors meanwhile, `watched` what held them
//! up or slowed them down, `versions` asks programs what they are, `limits` says whether it counts, `interrupt` is Ctrl-C.
//! Which repetition comes when says `plan::order`, and `cmd::execute` goes by it.

pub mod actions;
pub mod checkout;
mod collect;
mod containers;
pub mod host;
pub mod interrupt;
pub mod kept;
pub mod late;
pub mod launches;
pub mod limits;
pub mod memory;
mod network;
mod reconcile;
pub mod recorder;
pub mod repetition;
pub mod targets;
pub mod versions;
mod watched;

use std::path::PathBuf;

pub use interrupt::Interrupt;
pub use repetition::{Executor, Progress};

/// What ends a repetition before its time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that a target needs is taken.
    #[error("port {port}, which `{target}` needs, is taken{}", holder.as_ref().map_or_else(String::new, |h| format!(" by {h}")))]
    PortTaken {
        /// The port.
        port: u16,
        /// The target.
        target: String,
        /// Who holds it.
        holder: Option<String>,
    },
    /// A port is still taken after its target was stopped.
    #[error("port {port} is still taken after `{target}` was stopped{}", holder.as_ref().map_or_else(String::new, |h| format!(", by {h}")))]
    PortKept {
        /// The port.
        port: u16,
        /// The target.
        target: String,
        /// Who holds it.
        holder: Option<String>,
    },
    /// A port cannot be looked at.
    #[error(transparent)]
    Observe(#[from] crate::observe::Error),
    /// A process of a target.
    #[error(transparent)]
    Supervise(#[from] crate::supervise::Error),
    /// A link.
    #[error(transparent)]
    Link(#[from] crate::links::Error),
    /// A container that does not go.
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
        /// The link.
        link: String,
        /// What happened.
        reason: String,
    },
    /// The load.
    #[error(transparent)]
    Load(#[from] crate::load::Error),
    /// The results.
    #[error(transparent)]
    Record(#[from] crate::record::Error),
    /// A scratch file.
    #[error("cannot make {} in the scratch directory", path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A step of the scenario's own failed.
    #[error("the {level} step `{step}` failed: {reason}")]
    Action {
        /// `set-up` or `clean-up`, and its level.
        level: &'static str,
        /// The step.
        step: String,
        /// What happened.
        reason: String,
    },
    /// What all repetitions of a cell need could not be made.
    #[error("{reason}")]
    CellSetUp {
        /// Which step of its set-up failed, and why.
        reason: String,
    },
    /// What should be collected is not there.
    #[error("`{name}` could not be collected: {reason}")]
    Collect {
        /// Its name.
        name: String,
        /// What happened.
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
        matches!(
            self,
            Self::Record(_) | Self::Fixtures(_) | Self::Interrupted | Self::Supervise(crate::supervise::Error::GuardGone)
        )
    }
}
