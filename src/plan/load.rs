//! How the passes of a workload arrive.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Replay;
use super::text::{as_optional_text, as_text};
pub use vocabulary::choices::Spacing;
use vocabulary::{Metric, Phase};

/// When passes start, and until when.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Whether they follow completions or a schedule.
    pub arrivals: Arrivals,
    /// Its phases in their order, including those in which it pauses.
    #[serde(rename = "stretches")]
    pub segments: Vec<Segment>,
    /// How long passes that are under way at the end of the last phase, or wait to be sent, may still take. Passes that are
    /// then not answered stay open.
    #[serde(serialize_with = "as_text")]
    pub drain: Duration,
    /// The search for a limit, of which this load is one trial.
    pub find: Option<Find>,
    /// Whether the windows before the steady state are treated as warm-up, afterwards.
    pub auto_warm_up: bool,
}

impl Load {
    /// One pass at a time: used for set-up requests, and for a follower until its leader is known.
    pub fn unset() -> Self {
        Self { arrivals: Arrivals::closed(1), segments: Vec::new(), drain: Duration::ZERO, find: None, auto_warm_up: false }
    }
}

/// What one workload does in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The phase that its passes are counted in.
    pub phase: Phase,
    /// When the phase is over.
    #[serde(rename = "limit")]
    pub length: Length,
    /// Whether passes start in it.
    pub active: bool,
}

/// What arrivals depend on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Completions: each connection starts a pass when its last one has ended.
    Closed {
        /// Connections.
        connections: u32,
        /// The think time between passes.
        think: Think,
        /// The time from the first connection's start to the last one's.
        #[serde(serialize_with = "as_text")]
        ramp: Duration,
        /// How many of the connections are in use over time; all of them if there are no stages.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        stages: Vec<Stage>,
    },
    /// A schedule.
    Open {
        /// The most passes at a time.
        connections: u32,
        /// The rate over time.
        pattern: Pattern,
        /// How they are spaced.
        spacing: Spacing,
        /// If each connection has its own schedule: the time from the first one's start to the last one's.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
        per_connection: Option<Duration>,
    },
}

impl Arrivals {
    /// A closed loop without think time.
    pub fn closed(connections: u32) -> Self {
        Self::Closed { connections, think: Think::None, ramp: Duration::ZERO, stages: Vec::new() }
    }

    /// An open loop of all connections together.
    pub fn open(connections: u32, pattern: Pattern, spacing: Spacing) -> Self {
        Self::Open { connections, pattern, spacing, per_connection: None }
    }

    /// The most passes at a time.
    pub fn connections(&self) -> u32 {
        match self {
            Self::Closed { connections, .. } | Self::Open { connections, .. } => *connections,
        }
    }
}

/// The time that a connection waits from the end of a pass to the start of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Think {
    /// The next pass starts at once.
    None,
    /// Always this long.
    #[serde(serialize_with = "as_text")]
    Constant(Duration),
    /// Exponentially distributed with this mean.
    #[serde(serialize_with = "as_text")]
    Exponential(Duration),
}

/// The rate over time, in passes per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// A constant rate.
    Rate(f64),
    /// A steadily rising or falling rate, over all phases but the warm-up.
    Ramp {
        /// The rate at the start, and during warm-up.
        from: f64,
        /// The rate at the end.
        to: f64,
    },
    /// One rate after the other; the first rate also applies during warm-up.
    Steps {
        /// The rates.
        rates: Vec<f64>,
        /// How long each rate lasts.
        #[serde(serialize_with = "as_text")]
        each: Duration,
        /// In a random order drawn from the seed.
        shuffled: bool,
    },
    /// One stage after the other; the warm-up has the rate with which the first one starts.
    Stages(Vec<Stage>),
    /// The instants of a log.
    #[serde(serialize_with = "shared")]
    Replay(Arc<Replay>),
    /// One pass per interval.
    Periodic {
        /// The interval.
        #[serde(serialize_with = "as_text")]
        every: Duration,
        /// Each pass is delayed by a random part of this time.
        #[serde(serialize_with = "as_text")]
        jitter: Duration,
    },
}

impl Pattern {
    /// The rate at the start, if it is one.
    pub fn first_rate(&self) -> Option<f64> {
        match self {
            Self::Rate(rate) | Self::Ramp { from: rate, .. } => Some(*rate),
            Self::Steps { rates, .. } => rates.first().copied(),
            Self::Stages(stages) => stages.first().map(|stage| stage.from),
            Self::Replay(_) | Self::Periodic { .. } => None,
        }
    }
}

fn shared<S: serde::Serializer>(replay: &Arc<Replay>, serializer: S) -> Result<S::Ok, S::Error> {
    replay.as_ref().serialize(serializer)
}

/// A stretch of a load in which a rate, or the number of connections in use, changes steadily from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// At its start.
    pub from: f64,
    /// At its end.
    pub to: f64,
    /// How long it is.
    #[serde(rename = "for", serialize_with = "as_text")]
    pub length: Duration,
}

/// When a phase of a workload is over: after a number of passes, or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// As long as this number of passes takes.
    Amount(u64),
    /// This long, whatever the number of passes.
    #[serde(serialize_with = "as_text")]
    Duration(Duration),
}

/// The search for the highest rate at which the conditions hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Find {
    /// The lowest rate, per second.
    pub low: f64,
    /// The highest rate.
    pub high: f64,
    /// How long each rate is tried.
    #[serde(serialize_with = "as_text")]
    pub trial: Duration,
    /// The search ends when the lowest failing rate is within this share of the highest holding one.
    pub precision: f64,
    /// The conditions that must hold.
    pub conditions: Vec<Condition>,
}

/// A metric that must stay below a bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// The metric.
    #[serde(rename = "figure")]
    pub metric: Metric,
    /// The bound: nanoseconds for times, a fraction of 1 for errors.
    pub below: f64,
    /// The bound as typed, with the metric's name.
    pub words: String,
}
