//! The scenario as a whole: one file, one question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{
    Collect, Duration, Expectation, Factor, Graph, Limits, Link, Order, Phases, Reconciles, Size, Steps, Tap, Target, Text,
    Workload,
};

/// An experiment: one file, one question.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// Its name; also the folder's name under `results/` and `graphs/`.
    pub experiment: String,
    /// The question that it answers; the title of every graph.
    #[serde(default)]
    pub question: String,
    /// The varied dimensions. A cell is one level of each.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Factor>")]
    pub factors: serde_json::Map<String, Json>,
    /// Cells to leave out: all those that match one of these maps from factor to level(s).
    #[serde(default)]
    pub exclude: Vec<BTreeMap<String, Json>>,
    /// Cells to add: each names a level of every factor.
    #[serde(default)]
    pub include: Vec<BTreeMap<String, Json>>,
    /// How often each cell is executed, every time with fresh processes; eight times by default, with which ranks alone
    /// reach a verdict over 64 comparisons.
    #[serde(default = "eight")]
    pub repetitions: u32,
    /// In which order repetitions are executed.
    #[serde(default)]
    pub order: Order,
    /// Where scratch directories are made.
    #[serde(default)]
    pub scratch: Scratch,
    /// Seed of everything random. Without one, each run draws its own and records it.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Folder of a cell below `cells/`, such as `${processes}p/${action}`.
    #[serde(default)]
    pub layout: Option<String>,
    /// Length of the windows in which requests are counted. 500 ms by default.
    #[serde(default)]
    pub window: Option<Duration>,
    /// Environment variables that `${env.NAME}` reads.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Variable>")]
    pub env: serde_json::Map<String, Json>,
    /// Names for what is used more than once. Evaluated where they are used.
    #[serde(default, rename = "let")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub lets: serde_json::Map<String, Json>,
    /// What is under test, and what stands around it.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Target>")]
    pub targets: serde_json::Map<String, Json>,
    /// What is emulated between the load and targets, or between targets: delay, loss, rate.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Link>")]
    pub links: serde_json::Map<String, Json>,
    /// How long each phase of a repetition is, where workloads come and go. Without it a workload has its own `amount` or `duration`.
    #[serde(default)]
    #[schemars(with = "Option<Phases>")]
    pub phases: Json,
    /// Limits beyond which a repetition is invalid.
    #[serde(default)]
    pub limits: Limits,
    /// The metric that is the question: comparisons ask it first, and all others only where it has an answer. By default
    /// `throughput`, `limit` for a search, or the first figure that a program brings.
    #[serde(default)]
    pub primary: Option<String>,
    /// What must hold: a run passes, fails, or cannot tell.
    #[serde(default)]
    #[schemars(with = "Vec<Expectation>")]
    pub expect: Vec<Json>,
    /// What is recorded beside the windows.
    #[serde(default)]
    pub record: Record,
    /// The requests and how they arrive.
    #[schemars(with = "BTreeMap<String, Workload>")]
    pub workloads: serde_json::Map<String, Json>,
    /// What is done before.
    #[serde(default)]
    #[schemars(with = "Steps")]
    pub set_up: Json,
    /// What is done afterwards, also after a failure.
    #[serde(default)]
    #[schemars(with = "Steps")]
    pub clean_up: Json,
    /// What is collected after the load, while the targets still run: figures and tables out of files, databases and the
    /// output of commands.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Collect>")]
    pub collect: serde_json::Map<String, Json>,
    /// What is followed while the load runs, line by line, as rows: the log of a target, a file, a server that speaks in lines, the
    /// output of a command.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Tap>")]
    pub taps: serde_json::Map<String, Json>,
    /// How servers count their requests, where that is not known by itself: their count is held against what was sent.
    /// `off`: nothing is.
    #[serde(default)]
    #[schemars(with = "Option<Reconciles>")]
    pub reconcile: Json,
    /// The pictures that answer the question.
    #[serde(default)]
    #[schemars(with = "Vec<Graph>")]
    pub graphs: Vec<Json>,
}

fn eight() -> u32 {
    8
}

/// Where scratch directories are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scratch {
    /// In the system's temporary directory, or in `$RUNNER_SCRATCH`.
    #[default]
    Disk,
    /// In memory (`/dev/shm`), so that files cost the same in every repetition.
    Memory,
    /// In a file system in memory of its own, of at most this size.
    Tmpfs(Size),
}

/// An environment variable. Where it is not set, and has no default, cells that need it are skipped, loudly.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variable {
    /// Its value where it is not set.
    #[serde(default)]
    pub default: Option<Text>,
    /// Whether it must not be written down: it can be inserted, but not be computed with.
    #[serde(default)]
    pub secret: bool,
}

/// What is recorded beside the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// Also one row per request and per pass, in `requests.parquet`: percentiles are then exact, and each request can be
    /// looked at. A row takes 20 to 30 bytes on disk.
    #[serde(default)]
    pub requests: bool,
    /// Everything is recorded in a file system in memory of this size first, and moved to the results when a repetition
    /// ends: no disk is written to during the load. When it is full, recording goes on on disk and the repetition does
    /// not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<Size>,
}
