//! What is known of the cells of a run while it goes on: set-ups that failed, targets that are never ready.

use std::collections::{BTreeMap, BTreeSet};

use crate::executor::Error;
use crate::plan::{Action, Cache};
use crate::record::status::NeverReady;

/// After this many repetitions of a cell whose target was never ready for the same reason, the rest of the cell fails
/// at once.
const HOPELESS: u32 = 3;

/// The state of the cells of a run.
#[derive(Default)]
pub(super) struct Cells {
    /// Repetitions still to be executed, by cell.
    pub(super) turns_left: BTreeMap<usize, u32>,
    /// Cells whose set-up was run or attempted, and whose clean-up is still due.
    pub(super) begun: BTreeSet<usize>,
    /// Cells whose set-up failed: their repetitions would be meaningless. Other cells continue.
    pub(super) failed_set_ups: BTreeMap<usize, FailedSetUp>,
    /// How often a target of a cell did not become ready.
    pub(super) never_ready: BTreeMap<usize, NeverReadySoFar>,
    /// Why the clean-up of a cell failed: the first failure.
    pub(super) unclean: Option<Error>,
    /// Why a repetition could not be written: the first failure.
    pub(super) unwritten: Option<Error>,
}

/// How often in a row a target of a cell did not become ready for the same reason.
#[derive(Default)]
pub(super) struct NeverReadySoFar {
    last: Option<NeverReady>,
    times: u32,
}

impl NeverReadySoFar {
    /// Records how a repetition ended.
    pub(super) fn add(&mut self, never_ready: Option<NeverReady>) {
        // A repetition that was not even tried says nothing new.
        if never_ready.is_none() && self.hopeless().is_some() {
            return;
        }
        self.times = match &never_ready {
            None => 0,
            Some(now) if self.last.as_ref().is_some_and(|last| last.is_as(now)) => self.times + 1,
            Some(_) => 1,
        };
        self.last = never_ready;
    }

    /// Why no further repetition of the cell is tried, if that is so.
    pub(super) fn hopeless(&self) -> Option<String> {
        let NeverReady { target, reason, .. } = self.last.as_ref().filter(|_| self.times >= HOPELESS)?;
        Some(format!("not tried any more: {target} was not ready in {HOPELESS} repetitions of this cell: {reason}"))
    }
}

/// The failed set-up of a cell.
#[derive(Clone)]
pub(super) struct FailedSetUp {
    pub(super) reason: String,
    /// What the failed step should have made for other cells, too.
    cache: Option<Cache>,
}

impl FailedSetUp {
    pub(super) fn new(error: &Error, steps: &[Action]) -> Self {
        let failed = |action: &&Action| matches!(error, Error::Action { step, .. } if *step == action.to_string());
        let cache = steps.iter().find(failed).and_then(Action::cache).cloned();
        Self { reason: crate::vocabulary::errors::chain(error), cache }
    }

    /// Whether these steps would fail for the same reason.
    pub(super) fn would_fail_too(&self, steps: &[Action]) -> bool {
        self.cache.is_some() && steps.iter().any(|s| s.cache() == self.cache.as_ref())
    }
}
