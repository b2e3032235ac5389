//! How the passes of a workload arrive.

use std::time::Duration;

use serde::Serialize;

use super::text::{as_optional_text, as_text};
pub use vocabulary::choices::Spacing;
use vocabulary::{Metric, Phase};

/// When passes begin, and until when.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Whether they follow completions or a schedule.
    pub arrivals: Arrivals,
    /// Its phases in their order, also those in which it pauses.
    #[serde(rename = "stretches")]
    pub segments: Vec<Segment>,
    /// How long passes that are under way at the end of the last phase, or waited to be sent, may still take. What is then
    /// not answered stays open.
    #[serde(serialize_with = "as_text")]
    pub drain: Duration,
    /// The search for a limit, of which this load is one trial.
    pub find: Option<Find>,
    /// Whether the windows before the steady state are taken for the warm-up, afterwards.
    pub auto_warm_up: bool,
}

impl Load {
    /// One pass at a time and nothing else said: what set-up requests have, and a follower until it is known whom it follows.
    pub fn unset() -> Self {
        Self { arrivals: Arrivals::closed(1), segments: Vec::new(), drain: Duration::ZERO, find: None, auto_warm_up: false }
    }
}

/// What one workload does in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// The phase that its passes are counted in.
    pub phase: Phase,
    /// When it is over.
    #[serde(rename = "limit")]
    pub length: Length,
    /// Whether passes begin in it.
    pub active: bool,
}

/// What arrivals follow.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Completions: each connection begins a pass when its last one has ended.
    Closed {
        /// Connections.
        connections: u32,
        /// What is waited between passes.
        think: Think,
        /// From the first connection's begin to the last one's.
        #[serde(serialize_with = "as_text")]
        ramp: Duration,
    },
    /// A schedule.
    Open {
        /// The most passes at a time.
        connections: u32,
        /// How many passes when.
        pattern: Pattern,
        /// How they are spaced.
        spacing: Spacing,
        /// Where each connection has a schedule of its own: from the first one's start to the last one's.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_text")]
        per_connection: Option<Duration>,
    },
}

impl Arrivals {
    /// A closed loop without think time.
    pub fn closed(connections: u32) -> Self {
        Self::Closed { connections, think: Think::None, ramp: Duration::ZERO }
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

/// What a connection waits from the end of a pass to the start of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Think {
    /// The next pass begins at once.
    None,
    /// Always this long.
    #[serde(serialize_with = "as_text")]
    Constant(Duration),
    /// Exponentially distributed with this mean.
    #[serde(serialize_with = "as_text")]
    Exponential(Duration),
}

/// How many passes when, in passes per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Always as many.
    Rate(f64),
    /// Steadily more or less, over all that is not warm-up.
    Ramp {
        /// At the start; also during warm-up.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// One rate after the other; the first one also during warm-up.
    Steps {
        /// The rates.
        rates: Vec<f64>,
        /// How long each holds.
        #[serde(serialize_with = "as_text")]
        each: Duration,
        /// In an order that the seed draws.
        shuffled: bool,
    },
    /// One pass in each such time.
    Periodic {
        /// The time.
        #[serde(serialize_with = "as_text")]
        every: Duration,
        /// Each pass is late by a random part of this.
        #[serde(serialize_with = "as_text")]
        jitter: Duration,
    },
}

/// When a phase of a workload is over: after so many passes, or so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Length {
    /// As long as so many passes take.
    Amount(u64),
    /// This long, however many passes that are.
    #[serde(serialize_with = "as_text")]
    Duration(Duration),
}

/// The search for the highest rate that holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Find {
    /// The lowest rate, per second.
    pub low: f64,
    /// The highest rate.
    pub high: f64,
    /// How long each rate is tried.
    #[serde(serialize_with = "as_text")]
    pub trial: Duration,
    /// The search ends when what fails is within this share of what holds.
    pub precision: f64,
    /// What must be true at a rate that holds.
    pub conditions: Vec<Condition>,
}

/// A metric that must stay below a bound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// The metric.
    #[serde(rename = "figure")]
    pub metric: Metric,
    /// Nanoseconds for times, a fraction of 1 for errors.
    pub below: f64,
    /// As it was typed, with its name.
    pub words: String,
}
