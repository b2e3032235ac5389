//! The state of a run in progress at one instant. Plain values: the code that shows them, on a terminal or elsewhere, does not
//! need to know how they were found.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::units::nanos;

/// A run at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Live {
    /// Repetitions that have ended, including those of earlier invocations.
    pub done: u64,
    /// How many there will be; none if that is not known.
    pub of: Option<u64>,
    /// Those of this invocation that failed.
    pub failed: u64,
    /// Those of this invocation that do not count for another reason.
    pub invalid: u64,
    /// Since the run started.
    #[serde(rename = "elapsed_ns", serialize_with = "as_ns")]
    pub elapsed: Duration,
    /// The time until the run ends; none if it cannot be estimated.
    #[serde(rename = "left_ns", serialize_with = "option_as_ns")]
    pub left: Option<Duration>,
    /// What is being done: a stage of the repetition, or a step around repetitions.
    pub stage: String,
    /// For how long it has been done.
    #[serde(rename = "stage_elapsed_ns", serialize_with = "as_ns")]
    pub stage_elapsed: Duration,
    /// The repetition that is under way; none before the first one and between two.
    pub repetition: Option<LiveRepetition>,
}

/// The repetition that is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveRepetition {
    /// Levels of its cell, as its name has them.
    pub cell: String,
    /// Its number.
    pub number: u32,
    /// Share of its load that is over, from 0 to 1; none outside the load, and if its length is not known.
    pub share: Option<f64>,
    /// What its load and its targets do.
    pub figures: LiveFigures,
}

/// What is seen of a load and of the targets, over the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveFigures {
    /// Each workload of the cell.
    pub workloads: Vec<LiveWorkload>,
    /// Each target with all of its replicas, in the order in which they were first seen; also programs that make the load.
    pub targets: Vec<LiveTarget>,
    /// Processor time of the generator's threads per time, in cores.
    pub generator_cores: Option<f64>,
}

/// What is seen of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveWorkload {
    /// Its name.
    pub name: String,
    /// Passes that ended per second, right or not; none before a window is over.
    pub passes_per_s: Option<f64>,
    /// Median of response times, in nanoseconds.
    pub response_p50_ns: Option<u64>,
    /// 99 % of response times are no longer than this, in nanoseconds.
    pub response_p99_ns: Option<u64>,
    /// Passes of the whole load, without its warm-up, that ended.
    pub passes: u64,
    /// Those of them that were errors.
    pub errors: u64,
}

/// What a target uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LiveTarget {
    /// Its name.
    pub name: String,
    /// Processor time of all its replicas per time, in cores; none before two samples.
    pub cpu_cores: Option<f64>,
    /// Proportional set size of all its replicas, in bytes; none where it cannot be read.
    pub pss_bytes: Option<u64>,
}

fn as_ns<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(nanos(*time))
}

#[allow(clippy::ref_option, reason = "serde requires it")]
fn option_as_ns<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(nanos).serialize(serializer)
}
