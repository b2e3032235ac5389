//! Which stage a repetition is in, and how long each stage took.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::live::Feed;
use record::status::Timings;

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
        if self.stage.get() != Stage::Load.word() {
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

/// A part of a repetition that is timed, or shown to whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    SetUp,
    LayLinks,
    Start,
    SetUpLoad,
    Verify,
    Load,
    Collect,
    EndLoad,
    CleanUpLoad,
    StopTargets,
    CleanUp,
    Record,
}

impl Stage {
    /// The word for it in the progress; short stages use the name of their neighbour.
    pub fn word(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::LayLinks => "links",
            Self::Start | Self::SetUpLoad => "start",
            Self::Verify => "verify",
            Self::Load | Self::Collect => "load",
            Self::EndLoad | Self::CleanUpLoad | Self::StopTargets | Self::CleanUp => "stop",
            Self::Record => "record",
        }
    }

    /// The sum to which its time is added; stages without one are part of the overhead.
    fn sum(self, timings: &mut Timings) -> Option<&mut u64> {
        match self {
            Self::SetUp | Self::LayLinks | Self::SetUpLoad | Self::Collect | Self::CleanUpLoad | Self::CleanUp => {
                Some(&mut timings.steps_ns)
            }
            Self::Start => Some(&mut timings.target_start_ns),
            Self::Load => Some(&mut timings.load_ns),
            Self::StopTargets => Some(&mut timings.target_stop_ns),
            Self::Record => Some(&mut timings.record_ns),
            Self::Verify | Self::EndLoad => None,
        }
    }
}

/// A stage in progress.
#[derive(Debug)]
#[must_use]
pub(super) struct Stopwatch {
    stage: Stage,
    start: Instant,
}

impl Stopwatch {
    /// Enters a stage, and shows it in the progress.
    pub fn start(stage: Stage, progress: &Progress) -> Self {
        progress.stage.set(stage.word());
        Self { stage, start: Instant::now() }
    }

    /// Leaves the stage, and adds its time to the right sum.
    pub fn stop(self, timings: &mut Timings) {
        let elapsed = ns_since(self.start);
        if let Some(sum) = self.stage.sum(timings) {
            *sum += elapsed;
        }
    }
}

/// Nanoseconds since an instant.
pub(super) fn ns_since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_told_and_its_time_goes_to_its_sum() {
        let (progress, mut timings) = (Progress::default(), Timings::default());
        for (stage, word) in [(Stage::SetUpLoad, "start"), (Stage::Verify, "verify"), (Stage::Load, "load")] {
            let stopwatch = Stopwatch::start(stage, &progress);
            assert_eq!(progress.stage.get(), word);
            let early = Stopwatch { start: stopwatch.start - std::time::Duration::from_secs(1), ..stopwatch };
            early.stop(&mut timings);
        }
        assert!(timings.steps_ns >= 1_000_000_000 && timings.load_ns >= 1_000_000_000, "{timings:?}");
        assert_eq!((timings.target_start_ns, timings.target_stop_ns, timings.record_ns), (0, 0, 0));
    }

    #[test]
    fn the_share_of_a_load_is_that_of_its_passes_or_of_its_time() {
        let (progress, began) = (Progress::default(), Instant::now());
        let share = |ms: u64| progress.share(began + Duration::from_millis(ms));
        progress.planned.set(Some(Duration::from_secs(2)));
        progress.load_began.set(Some(began));
        assert_eq!(share(500), None, "nothing is sent yet");
        progress.stage.set(Stage::Load.word());
        assert_eq!((share(500), share(3000)), (Some(0.25), Some(1.0)));
        progress.expected.set(Some(10));
        progress.passes.store(4, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(share(500), Some(0.4));
        progress.stage.set(Stage::Record.word());
        assert_eq!(share(500), None);
    }
}
