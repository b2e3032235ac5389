//! What can be seen of a repetition from outside.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::live::Feed;

/// The stage in which the load is made.
pub(super) const LOAD: &str = "load";

/// What can be observed of a repetition while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// The current stage.
    pub stage: Cell<&'static str>,
    /// Passes that ended, of all workloads.
    pub passes: Arc<AtomicU64>,
    /// Passes in all, if known.
    pub expected: Cell<Option<u64>>,
    /// How long the load takes, where that is known.
    pub planned: Cell<Option<Duration>>,
    /// When the load began.
    pub load_began: Cell<Option<Instant>>,
    /// What load and targets do.
    pub live: Arc<Feed>,
}

impl Progress {
    /// The share of the load that is over by `now`, from 0 to 1; none outside of the load, and where its length is not known.
    pub fn share(&self, now: Instant) -> Option<f64> {
        if self.stage.get() != LOAD {
            return None;
        }
        let passes = self.expected.get().map(|n| load::passes(&self.passes) as f64 / n.max(1) as f64);
        let time = || {
            let (planned, began) = (self.planned.get()?, self.load_began.get()?);
            Some(now.saturating_duration_since(began).as_secs_f64() / planned.as_secs_f64())
        };
        passes.or_else(time).map(|share| share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_load_is_that_of_its_passes_or_of_its_time() {
        let (progress, began) = (Progress::default(), Instant::now());
        let share = |ms: u64| progress.share(began + Duration::from_millis(ms));
        progress.planned.set(Some(Duration::from_secs(2)));
        progress.load_began.set(Some(began));
        assert_eq!(share(500), None, "nothing is sent yet");
        progress.stage.set(LOAD);
        assert_eq!((share(500), share(3000)), (Some(0.25), Some(1.0)));
        progress.expected.set(Some(10));
        progress.passes.store(4, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(share(500), Some(0.4));
        progress.stage.set("record");
        assert_eq!(share(500), None);
    }
}
