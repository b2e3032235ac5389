//! What is needed to start a process in a repetition.

use std::path::{Path, PathBuf};

use plan::{Late, Target};
use supervise::Guard;

/// The directories of a repetition, and the owner of its processes.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The owner of processes.
    pub guard: &'a Guard,
    /// Values of late names.
    pub late: Late<'a>,
    /// The scratch directory.
    pub scratch: PathBuf,
    /// The directory of the run, for what outlives repetitions.
    pub kept: PathBuf,
    /// The directory of logs.
    pub logs: PathBuf,
    /// The fixtures' executable.
    pub fixtures: &'a Path,
    /// The targets of its cell.
    pub targets: &'a [Target],
}

impl Context<'_> {
    /// The directory of the files of a target.
    pub fn directory_of(&self, target: &Target) -> &Path {
        if target.lifetime.is_repetition() { &self.scratch } else { &self.kept }
    }
}
