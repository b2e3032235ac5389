//! Which stage a repetition is in, and how long each stage took.

use std::time::Instant;

use crate::progress::{LOAD, Progress};
use record::status::Timings;

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
            Self::Load | Self::Collect => LOAD,
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
}
