//! Which servers' counts of requests are compared with what was sent, and where these counts are read.
//!
//! A workload's requests go to the target that owns the port of its URL, and from a proxy to the targets behind it, if the
//! proxy's command line or configuration names them. Some servers are compared without an entry in the scenario: the
//! fixtures, haproxy if its configuration has a `stats socket`, and nginx if it has `stub_status`. For all others, `reconcile`
//! in the scenario says how they count. This module decides what is compared; `executor::reconcile` reads and judges the
//! numbers.

use serde::Serialize;

use super::{Collect, Step, Template, Url};
pub use vocabulary::choices::Allowed;

/// The environment variable with that path.
pub const COUNT_VARIABLE: &str = "COUNT_SOCKET";

/// A count that is compared with what was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Reconcile {
    /// The target that counts.
    pub target: String,
    /// The workloads whose requests reach it.
    pub from: Vec<Source>,
    /// The proxies on the way, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// The sources of the count; several, such as those of replicas, are summed.
    pub counters: Vec<Counter>,
    /// By how much the two counts may differ; if absent, the value in `limits` applies.
    pub tolerance: Option<Allowed>,
    /// Why more may arrive than was sent, if so; then only missing requests are reported.
    pub others: Option<String>,
    /// Whether the scenario asks for the comparison: then a count that cannot be read is an error.
    pub asked: bool,
}

impl Reconcile {
    /// The requests that read counts, if the scenario defines them.
    pub fn requests(&self) -> impl Iterator<Item = &Step> {
        self.counters.iter().filter_map(|counter| match counter {
            Counter::Collected { collect, .. } => collect.source.request(),
            Counter::Fixture(_) | Counter::Haproxy { .. } | Counter::Nginx { .. } => None,
        })
    }
}

/// Requests of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its index among the workloads of the cell.
    pub workload: usize,
    /// The indices of those of its addresses that count.
    pub addresses: Vec<usize>,
    /// The indices of those of its steps that count; all if empty.
    pub steps: Vec<usize>,
}

/// Where a count is read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counter {
    /// A fixture's socket, which sends the count to every client that connects.
    Fixture(Template),
    /// haproxy's stats socket.
    Haproxy {
        /// Path of a Unix socket, or `host:port`.
        socket: Template,
        /// The frontends whose counts are read.
        frontends: Vec<String>,
    },
    /// nginx's `stub_status` page.
    Nginx {
        /// The address of the page.
        url: Url,
        /// A Unix socket to connect to instead.
        socket: Option<Template>,
        /// The request; it carries the body.
        step: Box<Step>,
    },
    /// A source given by the scenario.
    Collected {
        /// How it is collected.
        collect: Box<Collect>,
        /// The index of the metric.
        metric: usize,
    },
}

/// The name of the socket on which a fixture reports its count, in the scratch directory. Short, because such paths must be.
pub fn count_socket(target: &str, replica: u32) -> String {
    format!("count-{target}-{replica}")
}
