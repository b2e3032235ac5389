//! What starting something in a repetition needs to know.

use std::path::{Path, PathBuf};

use plan::Late;
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
    /// Where logs go.
    pub logs: PathBuf,
    /// The fixtures' executable.
    pub fixtures: &'a Path,
}
