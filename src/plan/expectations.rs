//! What a scenario expects of its results: `expect:`.
//!
//! `analysis::expectations` decides whether it holds. Bounds are in base units here: nanoseconds, bytes, events
//! per second, shares of 1.

use serde::{Deserialize, Serialize};

use vocabulary::Metric;

/// A condition that must hold in every cell that it applies to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Its name.
    pub name: String,
    /// The value that is examined.
    pub subject: Subject,
    /// The workload; by default the only one, or the first that has such a metric.
    pub workload: Option<String>,
    /// The phase; for a ratio between phases, the numerator.
    pub phase: String,
    /// Whether the scenario names the phase. If not, metrics of targets are examined over the whole load.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub phase_is_said: bool,
    /// The step; `None`: the whole pass.
    pub step: Option<String>,
    /// The target; `None`: all targets together.
    pub target: Option<String>,
    /// Only cells with one of these labels per factor.
    pub only: Vec<(String, Vec<String>)>,
    /// The value must be more than this.
    pub above: Option<Bound>,
    /// The value must be less than this.
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

/// The value that an expectation examines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A metric in a cell.
    Metric(Metric),
    /// A metric in a cell, divided by the same metric in another cell that differs in one factor only.
    Ratio {
        /// The metric of both cells.
        metric: Metric,
        /// The factor in which both differ.
        factor: String,
        /// The level of the numerator.
        level: String,
        /// The level of the denominator.
        over: String,
    },
    /// A metric in the expectation's phase, divided by the same metric in another phase of the same repetition.
    Phases {
        /// The metric of both phases.
        metric: Metric,
        /// The phase of the denominator.
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
