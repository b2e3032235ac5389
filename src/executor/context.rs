//! What starting something in a repetition needs to know.

use std::path::{Path, PathBuf};

use plan::{Late, Target};
use supervise::Guard;

/// Where a repetition takes place, and who owns what it starts.
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
    /// Where logs go.
    pub logs: PathBuf,
    /// The fixtures' executable.
    pub fixtures: &'a Path,
    /// The targets of its cell.
    pub targets: &'a [Target],
}

impl Context<'_> {
    /// Where files of a target are.
    pub fn directory_of(&self, target: &Target) -> &Path {
        if target.lifetime.is_repetition() { &self.scratch } else { &self.kept }
    }
}
