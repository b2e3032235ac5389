//! Older forms of `plan.json`.
//!
//! Workloads in formats 1 to 5: the plan only names the protocol, and what that means is known here. Frozen: for protocols
//! that were added later, the plan contains steps, metrics and outcomes.
//!
//! Graphs in formats up to 6: only one shape could have a logarithmic axis.

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::Graph;

use vocabulary::{Interest, NamedMetric};

/// Graphs: a logarithmic axis was an option of the shape, and is now an option of the graph.
pub(super) fn graphs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Graph>, D::Error> {
    let graphs = Vec::<Json>::deserialize(deserializer)?.into_iter().map(|mut graph| {
        if graph.pointer("/shape/trend/log") == Some(&Json::Bool(true)) {
            graph["y"] = "log".into();
        }
        serde_json::from_value(graph)
    });
    graphs.collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

/// The driver of a workload.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Driver {
    /// Requests.
    Http { steps: Vec<Step> },
    /// Messages.
    Framed { steps: Vec<Named> },
    /// Events that are sent.
    Author {},
    /// Events that are received.
    Subscriber { of: Option<String> },
    /// A program.
    Command { metrics: Vec<Taken> },
}

/// A request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Step {
    name: String,
    /// None before format 4.
    #[serde(default)]
    outcomes: Vec<Named>,
}

/// Something with a name.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Named {
    pub name: String,
}

/// A metric that is taken from the output of a program.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Taken {
    name: String,
    unit: String,
}

impl Driver {
    /// Names of its steps.
    pub fn steps(&self) -> Vec<String> {
        match self {
            Self::Http { steps } => steps.iter().map(|s| s.name.clone()).collect(),
            Self::Framed { steps } => steps.iter().map(|s| s.name.clone()).collect(),
            Self::Author {} => ["connect", "send", "answer"].map(str::to_owned).to_vec(),
            Self::Subscriber { .. } => vec!["event".to_owned()],
            Self::Command { .. } => vec!["command".to_owned()],
        }
    }

    /// The metrics that it reports in addition to those of the catalogue.
    pub fn metrics(&self) -> Vec<NamedMetric> {
        match self {
            Self::Http { .. } | Self::Framed { .. } | Self::Author {} => Vec::new(),
            Self::Subscriber { .. } => {
                let counts = [
                    ("lost", Interest::Fault),
                    ("duplicates", Interest::Fault),
                    ("reordered", Interest::Recorded),
                    ("unexpected", Interest::Fault),
                ];
                counts.map(|(name, interest)| NamedMetric::new(name, "", interest)).to_vec()
            }
            Self::Command { metrics } => {
                let own = metrics.iter().map(|m| NamedMetric::new(&m.name, &m.unit, Interest::Question));
                own.chain(["cpu_s", "wall_s"].map(|name| NamedMetric::new(name, "s", Interest::Anyway))).collect()
            }
        }
    }

    /// The outcomes that it names, each once.
    pub fn outcomes(&self) -> Vec<String> {
        let Self::Http { steps } = self else { return Vec::new() };
        let mut names: Vec<String> = Vec::new();
        for outcome in steps.iter().flat_map(|s| &s.outcomes) {
            if !names.contains(&outcome.name) {
                names.push(outcome.name.clone());
            }
        }
        names
    }

    /// The workload that it follows.
    pub fn follows(&self) -> Option<String> {
        match self {
            Self::Subscriber { of } => Some(of.clone().unwrap_or_default()),
            _ => None,
        }
    }

    /// Whether each pass is the execution of a program.
    pub fn is_program(&self) -> bool {
        matches!(self, Self::Command { .. })
    }
}
