//! What a scenario expects of its results: `expect:`.
//!
//! Whether it holds is `analysis::expectations`'s to say. Bounds are in base units here: nanoseconds, bytes, events
//! per second, shares of 1.

use serde::{Deserialize, Serialize};

use vocabulary::Metric;

/// One thing that must hold in every cell that it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What to call it.
    pub name: String,
    /// What is looked at.
    pub subject: Subject,
    /// Of which workload; the only one, or the first that has such a metric.
    pub workload: Option<String>,
    /// In which phase; of a ratio between phases the one above the line.
    pub phase: String,
    /// Whether that was said. Where it was not, what belongs to targets is looked at during the whole load.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub phase_is_said: bool,
    /// Of which step; of the pass as a whole when there is none.
    pub step: Option<String>,
    /// Of which target; of all together when there is none.
    pub target: Option<String>,
    /// Only cells with one of these labels per factor.
    pub only: Vec<(String, Vec<String>)>,
    /// It must be more than this.
    pub above: Option<Bound>,
    /// It must be less than this.
    pub below: Option<Bound>,
}

/// A bound of an expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// In base units.
    pub value: f64,
    /// As it was typed.
    pub typed: String,
}

/// What an expectation looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A metric in a cell.
    Metric(Metric),
    /// A metric in a cell, divided by the same in another, which differs in one factor only.
    Ratio {
        /// The metric of both cells.
        metric: Metric,
        /// The factor in which both differ.
        factor: String,
        /// Its level above the line.
        level: String,
        /// Its level below the line.
        over: String,
    },
    /// A metric in the expectation's phase, divided by the same in another phase of the same repetition.
    Phases {
        /// The metric of both phases.
        metric: Metric,
        /// The phase below the line.
        over: String,
    },
}

impl Subject {
    /// Whether it belongs to targets rather than to requests.
    pub fn is_resource(&self) -> bool {
        match self {
            Self::Metric(metric) | Self::Ratio { metric, .. } | Self::Phases { metric, .. } => metric.is_resource(),
        }
    }
}
