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
    /// The addresses of machines by role, where there are several machines; otherwise all roles are this one.
    pub hosts: BTreeMap<String, Vec<String>>,
    /// The values of environment variables, where the plan is that of another machine; otherwise they are those of this process.
    pub environment: Option<BTreeMap<String, String>>,
    /// What this machine is, where there are several: what is on others is not looked for here.
    pub here: Option<Here>,
    /// Whether uncommitted changes are written to the repository, as a commit that can be checked out.
    pub keeps_snapshots: bool,
}

/// What one of several machines is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// Its role; none: things without a role are done on it.
    pub role: Option<String>,
}

impl Options {
    /// The value of an environment variable, if it is set.
    pub(super) fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        match &self.environment {
            Some(given) => given.get(name).map(Into::into),
            None => std::env::var_os(name),
        }
    }

    /// Whether something with this role is done on this machine.
    pub(super) fn is_here(&self, on: Option<&str>) -> bool {
        self.here.as_ref().is_none_or(|here| here.role.as_deref() == on)
    }
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Rejection {
    /// Mistakes in the file.
    Mistakes(Vec<Mistake>),
    /// An option that does not fit the file.
    Option(String),
}
