//! Which server's own count of requests is held against what was sent to it, and where that count is read.
//!
//! A workload's requests go to the target that owns the port of its URL, and from a proxy to the targets behind it, where the
//! proxy's command line or configuration says which these are. What counts by itself is known without a word in the
//! scenario: the fixtures, haproxy where its configuration has a `stats socket`, nginx where it has `stub_status`. Of
//! anything else the scenario says how it counts, in `reconcile`. Here is decided what is compared; the numbers are read
//! and judged in `executor::reconcile`.

use serde::Serialize;

use super::{Collect, Step, Template, Url};
pub use vocabulary::choices::Allowed;

/// The environment variable with that path.
pub const COUNT_VARIABLE: &str = "COUNT_SOCKET";

/// A count that is held against what was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Reconcile {
    /// The target that counts.
    pub target: String,
    /// Whose requests reach it.
    pub from: Vec<Source>,
    /// The proxies on the way, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<String>,
    /// Where the count is read; several, as of replicas, are summed.
    pub counters: Vec<Counter>,
    /// By how much the two may differ; as `limits` have it when absent.
    pub tolerance: Option<Allowed>,
    /// Why more may arrive than was sent; then only what is missing is told.
    pub others: Option<String>,
    /// Whether the scenario asks for it: then a count that cannot be read is an error.
    pub asked: bool,
}

impl Reconcile {
    /// The requests by which counts are read, where the scenario says which these are.
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
    /// Its place among the workloads of the cell.
    pub workload: usize,
    /// Those of its addresses that are meant, by their places.
    pub addresses: Vec<usize>,
    /// Those of its steps that are meant, by their places; all when empty.
    pub steps: Vec<usize>,
}

/// Where a count is read.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counter {
    /// A fixture's socket: whoever connects is told.
    Fixture(Template),
    /// haproxy's stats socket.
    Haproxy {
        /// Path of a Unix socket, or `host:port`.
        socket: Template,
        /// The frontends that are asked.
        frontends: Vec<String>,
    },
    /// nginx' page `stub_status`.
    Nginx {
        /// Where nginx listens with its page.
        url: Url,
        /// A Unix socket to connect to instead.
        socket: Option<Template>,
        /// The request; it carries the body.
        step: Box<Step>,
    },
    /// What the scenario says.
    Collected {
        /// How it is collected.
        collect: Box<Collect>,
        /// Which of its metrics it is.
        metric: usize,
    },
}

/// The name of the socket on which a fixture tells its count, in the scratch directory. Short, as such paths must be.
pub fn count_socket(target: &str, replica: u32) -> String {
    format!("count-{target}-{replica}")
}
