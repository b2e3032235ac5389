//! What the command line asks of a scenario, and why there may be no plan.

use std::collections::BTreeMap;

use plan::Repeat;
use schema::Mistake;

/// What the command line changes in a scenario.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--set factor=level,…`
    pub settings: Vec<String>,
    /// `--repetitions N`
    pub repetitions: Option<u32>,
    /// `--seed N`
    pub seed: Option<u64>,
    /// The options of `repeat`.
    pub repeat: Option<Repeat>,
    /// The commits that revisions meant before, by factor and label; others are looked up.
    pub commits: BTreeMap<(String, String), String>,
    /// Whether uncommitted changes are written to the repository, as a commit that can be checked out.
    pub keeps_snapshots: bool,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Rejection {
    /// Mistakes in the file.
    Mistakes(Vec<Mistake>),
    /// An option that does not fit the file.
    Option(String),
}
