//! The scenario as a whole: one file, one question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{
    Abort, Collect, Duration, Expectation, Factor, Fault, Graph, HostRole, Limits, Link, Order, Phases, Reconciles, Scrape, Size,
    Steps, Tap, Target, Text, Workload,
};

/// An experiment: one scenario file that answers one question.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "experiment"))]
pub struct Experiment {
    /// The name of the experiment. It names the folders under `results/` and `graphs/`. Up to 100 letters, digits, `-`, `_` and
    /// `.`, with no `.` at the start.
    #[schemars(extend("examples" = ["blobs-parallel"]))]
    pub experiment: String,
    /// The question that the experiment answers. It is the title of pictures and summaries.
    #[serde(default)]
    #[schemars(extend("x-default" = "empty", "examples" = ["Does it scale?"]))]
    pub question: String,
    /// What is varied: each factor with its levels. A [cell](factors.md#cells) is one level of each factor; the factors may make
    /// at most 10 000 cells. A factor that nothing uses is a mistake.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Factor>", extend("x-default" = "one cell", "examples" = [{"processes": [1, 2]}]))]
    pub factors: serde_json::Map<String, Json>,
    /// Cells to leave out. Each item maps factors to a level or a list of levels; a cell is left out if it matches every
    /// factor of an item.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"proxy": "builtin", "processes": 8}]]))]
    pub exclude: Vec<BTreeMap<String, Json>>,
    /// Cells to add. Each item names exactly one level of every factor. An added cell is executed if all of its levels are
    /// chosen.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"proxy": "nginx", "processes": 1}]]))]
    pub include: Vec<BTreeMap<String, Json>>,
    /// How often each cell is executed, each time with fresh processes. At least 1; all cells together may have at most 1 000 000
    /// repetitions. With 8, ranks alone can reach a verdict over 64 comparisons. `runner plan` warns if the planned number cannot
    /// give any verdict.
    #[serde(default = "eight")]
    #[schemars(extend("examples" = [5]))]
    pub repetitions: u32,
    /// The [order](experiment.md#order) in which repetitions are executed: `interleaved`, `rounds` or `sequential`.
    #[serde(default)]
    #[schemars(extend("examples" = ["rounds"]))]
    pub order: Order,
    /// Where scratch directories are made: `disk` (the temporary directory, or `$RUNNER_SCRATCH`), `memory` (`/dev/shm`), or
    /// `{tmpfs: SIZE}` (a [file system in memory](memory.md) of that size).
    #[serde(default)]
    #[schemars(extend("examples" = ["memory"]))]
    pub scratch: Scratch,
    /// The seed of everything random: the order of repetitions, ids and random bodies.
    #[serde(default)]
    #[schemars(extend("x-default" = "drawn for each run, and recorded", "examples" = [42]))]
    pub seed: Option<u64>,
    /// The folder of a cell under `cells/`, with expressions. It must differ from cell to cell, and no cell may lie inside
    /// another; a relative path of at most 2000 bytes, without `..`. A part of more than 200 bytes is shortened: its start, `~`
    /// and 16 digits of its SHA-1. Control characters become `_`. `/run${repetition}` at the end is allowed and changes nothing:
    /// the folder of a repetition has this name anyway.
    #[serde(default)]
    #[schemars(extend("x-default" = "`factor=level,factor=level`", "examples" = ["${processes}p/${action}"]))]
    pub layout: Option<String>,
    /// The length of the windows in which requests are counted: 10 ms to 10 min.
    #[serde(default)]
    #[schemars(extend("x-default" = "500ms", "examples" = ["100ms"]))]
    pub window: Option<Duration>,
    /// The environment variables that the scenario reads as `${env.NAME}`, and which of them are secret:
    /// [Environment](environment.md).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Variable>", extend("examples" = [{"TOKEN": {"secret": true}}]))]
    pub env: serde_json::Map<String, Json>,
    /// Names for values that are used more than once. A value is evaluated where its name is used, with the names that are known
    /// there: [Expressions](expressions.md#let). A name that nothing uses is a mistake.
    #[serde(default, rename = "let")]
    #[schemars(with = "BTreeMap<String, Json>", extend("examples" = [{"blob_url": "/blobs/u/${id}"}]))]
    pub lets: serde_json::Map<String, Json>,
    /// The roles of machines, for a cell that needs several: [Hosts](hosts.md). Without `--on` all of them are this machine. A name
    /// has letters, digits and `_`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, HostRole>", extend("examples" = [{"server": {}, "clients": {"count": 2}}]))]
    pub hosts: serde_json::Map<String, Json>,
    /// The programs under test and what they need around them: [Targets](targets.md). A name has up to 100 letters, digits, `-`
    /// and `_`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Target>", extend("examples" = [{"server": {"command": ["./server"], "port": 8000}}]))]
    pub targets: serde_json::Map<String, Json>,
    /// Emulated paths between the load and targets, or between targets, with delay, jitter, losses and a rate: [Links](links.md).
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Link>", extend("examples" = [{"wan": {"to": "server", "delay": "50ms"}}]))]
    pub links: serde_json::Map<String, Json>,
    /// How long each phase of a repetition is, for workloads that come and go: [Phases](phases.md).
    #[serde(default)]
    #[schemars(
        with = "Option<Phases>",
        extend(
            "x-default" = "each workload has its own `amount` or `duration`",
            "examples" = [{"before": "5s", "during": "10s", "after": "5s"}]
        )
    )]
    pub phases: Json,
    /// Limits beyond which a repetition is invalid: [Limits](limits.md).
    #[serde(default)]
    #[schemars(extend("x-default" = "see [Limits](limits.md)", "examples" = [{"lag-p99": "5ms"}]))]
    pub limits: Limits,
    /// Things that are broken on purpose while the load runs, each at its time: [Faults](faults.md).
    #[serde(default)]
    #[schemars(with = "Vec<Fault>", extend("examples" = [[{"at": "10s", "kill": "blobs.2", "restart": "2s"}]]))]
    pub faults: Vec<Json>,
    /// When a hopeless repetition is given up before its end: [Abort](abort.md).
    #[serde(default)]
    #[schemars(with = "Option<Abort>", extend("x-default" = "never", "examples" = [{"errors": "> 20%", "for": "5s"}]))]
    pub abort: Json,
    /// The metric that the question is about. [Comparisons](../comparing.md) test it first, and the other metrics only where it
    /// shows a difference.
    #[serde(default)]
    #[schemars(extend(
        "x-default" = "`throughput`; of a search `limit`; otherwise the first figure of a program",
        "examples" = ["response_p99"]
    ))]
    pub primary: Option<String>,
    /// What must hold. Each item passes, fails, or is inconclusive: [Expectations](expectations.md).
    #[serde(default)]
    #[schemars(with = "Vec<Expectation>", extend("examples" = [[{"metric": "errors", "below": "1%"}]]))]
    pub expect: Vec<Json>,
    /// What is recorded besides the windows, and where.
    #[serde(default)]
    #[schemars(extend("examples" = [{"requests": true}]))]
    pub record: Record,
    /// The requests and how they arrive: [Workloads](workloads.md). At least one is needed; all workloads of a cell run at the
    /// same time. A name has up to 100 letters, digits, `-` and `_`.
    #[schemars(
        with = "BTreeMap<String, Workload>",
        extend("examples" = [{
            "clients": {
                "url": "http://127.0.0.1:8000",
                "load": {"closed": {"connections": 8}, "duration": "10s"},
                "steps": [{"get": "/"}]
            }
        }])
    )]
    pub workloads: serde_json::Map<String, Json>,
    /// Steps before the run, a cell, a repetition or the load: [Set-up and clean-up](set-up.md).
    #[serde(default)]
    #[schemars(with = "Steps", extend("examples" = [{"repetition": [{"shell": "cp -r data ${scratch}/data"}]}]))]
    pub set_up: Json,
    /// Steps after the load, a repetition, a cell or the run, also after a failure: [Set-up and clean-up](set-up.md).
    #[serde(default)]
    #[schemars(with = "Steps", extend("examples" = [{"run": [{"command": ["docker", "network", "rm", "bench"]}]}]))]
    pub clean_up: Json,
    /// Figures and tables that are taken after the load, while the targets still run, from files, databases, servers and the
    /// output of commands: [Collect](collect.md). A name differs from those of workloads and has up to 100 letters, digits, `-`
    /// and `_`.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, Collect>",
        extend("examples" = [{"stats": {"get": "http://127.0.0.1:8000/stats", "metrics": {"hits": {"json": "/hits"}}}}])
    )]
    pub collect: serde_json::Map<String, Json>,
    /// Sources that are followed line by line while the load runs: the log of a target, a file, a server that speaks in lines, or
    /// the output of a command: [Taps](taps.md). A name differs from those of workloads and of what is collected.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, Tap>",
        extend("examples" = [{"misses": {"log": "cache", "regex": "miss (?<key>.+)", "metrics": {"misses": {"count": true}}}}])
    )]
    pub taps: serde_json::Map<String, Json>,
    /// What servers say about themselves, fetched at regular times while the load runs: pages in Prometheus's format, OpenMetrics or
    /// JSON, and the statistics of haproxy and nginx: [Scrape](scrape.md). A name differs from those of workloads, of what is
    /// collected and of taps.
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<String, Scrape>",
        extend("examples" = [{"app": {"url": "http://127.0.0.1:8000/metrics", "metrics": {"queue": {"mean": "jobs_waiting"}}}}])
    )]
    pub scrape: serde_json::Map<String, Json>,
    /// How servers count their requests; their counts are compared with what was sent: [Reconcile](reconcile.md). `off` turns it
    /// off.
    #[serde(default)]
    #[schemars(
        with = "Option<Reconciles>",
        extend("x-default" = "servers whose counts `runner` finds on its own", "examples" = ["off"])
    )]
    pub reconcile: Json,
    /// The pictures that answer the question: [Graphs](graphs.md).
    #[serde(default)]
    #[schemars(with = "Vec<Graph>", extend("examples" = [[{"bars": "throughput", "x": "processes"}]]))]
    pub graphs: Vec<Json>,
}

fn eight() -> u32 {
    8
}

/// Where scratch directories are made: `disk`, `memory`, or `{tmpfs: SIZE}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scratch {
    /// In the system's temporary directory, or in `$RUNNER_SCRATCH`.
    #[default]
    Disk,
    /// In memory (`/dev/shm`), where files cost the same in every repetition.
    Memory,
    /// In a file system in memory, at most as large as this size.
    #[schemars(extend("examples" = [{"tmpfs": "256MiB"}]))]
    Tmpfs(Size),
}

/// An environment variable that a scenario reads. Where it has no value and no default, cells that need it are skipped with a
/// warning.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "environment"))]
pub struct Variable {
    /// The value if the variable is not set, or is empty. A secret cannot have one.
    #[serde(default)]
    #[schemars(extend("x-default" = "cells that need the variable are skipped", "examples" = ["http://127.0.0.1:5984"]))]
    pub default: Option<Text>,
    /// Whether the value is written nowhere. A secret can be inserted, but an expression cannot compute with it.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub secret: bool,
}

/// What is recorded besides the windows, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "experiment"))]
pub struct Record {
    /// Whether each request and each pass is recorded as a row of [`requests.parquet`](../results.md#requestsparquet).
    /// Percentiles are then exact, and you can look at each request. A row takes 20 to 30 bytes on disk.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub requests: bool,
    /// The size of a [file system in memory](memory.md) in which everything is recorded first. The results are moved to disk when
    /// a repetition ends, so nothing is written to disk during the load. If it is full, recording continues on disk and the
    /// repetition is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "recorded on disk", "examples" = ["64MiB"]))]
    pub tmpfs: Option<Size>,
}
