//! What each part of a scenario may say, as serde types. Unknown keys are mistakes everywhere.
//!
//! These types are read *after* `${…}` was evaluated, so they hold plain values; the JSON Schema
//! (see `json_schema`) allows an expression wherever a value may stand.

mod scalars;
pub mod workload;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

pub use scalars::*;
pub use vocabulary::choices::*;
pub use workload::*;

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

/// User and password, for HTTP's basic authentication.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Auth {
    /// Who.
    pub user: Text,
    /// What only they know: `${env.PASSWORD}`.
    pub password: Text,
}

/// Levels of a factor, for the JSON Schema; read by hand in `plan::factors`.
#[derive(JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[allow(dead_code)]
pub enum Factor {
    /// All levels, all of them executed by default.
    Levels(Vec<Json>),
    /// All levels, and those that are executed by default.
    Chosen {
        /// All levels.
        levels: Vec<Json>,
        /// The levels executed without `--set`.
        default: Vec<Json>,
    },
    /// Whole numbers from one to another.
    Range {
        /// The first level.
        from: f64,
        /// The last level, inclusive.
        to: f64,
        /// What is added from level to level; 1 when neither this nor `factor` is given.
        step: Option<f64>,
        /// By what each level is multiplied to give the next.
        factor: Option<f64>,
    },
    /// Revisions of a git repository: each is checked out and built once, and reached as `${<factor>.dir}`;
    /// `${<factor>.commit}` and `${<factor>.name}` are its commit and its name.
    Revisions {
        /// A folder in the repository, seen from the scenario's; `.` is the repository in which the scenario is.
        git: String,
        /// Branches, tags, commits, and `+dirty` for the working tree with what is not committed.
        of: Vec<String>,
        /// A program and its arguments, executed once in each checkout.
        build: Option<Vec<Json>>,
        /// How long that may take; an hour by default.
        timeout: Option<Duration>,
        /// The revisions measured without `--set`; all by default.
        default: Option<Vec<String>>,
    },
}

/// Something under test or around it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A server that ships with runner. `--port` is added when the target has a port.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A program and its arguments. No shell.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// A container, started through `docker` or `podman`, whichever engine answers.
    #[serde(default)]
    pub container: Option<Container>,
    /// `http://host:port` of something that already runs; it is neither started nor watched.
    #[serde(default)]
    pub address: Option<String>,
    /// How many processes. Each knows its `${replica}`, counted from 1.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// The port on which it listens.
    #[serde(default)]
    pub port: Option<Port>,
    /// Further ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, Port>,
    /// Arguments after those of `fixture` or `command`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment variables, added to the runner's own.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory.
    #[serde(default)]
    pub dir: Option<String>,
    /// Files made in the scratch directory from templates: name to template file.
    #[serde(default)]
    pub render: BTreeMap<String, String>,
    /// Programs without which cells with this target are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// Targets that must be ready before this one is started.
    #[serde(default)]
    pub after: Names,
    /// How to know that it is ready. By default: its port accepts connections.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Processors on which it may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// Limits of resources that differ from those that the shell gave.
    #[serde(default)]
    pub rlimits: ResourceLimits,
}

/// Limits of resources, as `ulimit -S` sets them; see setrlimit(2). A higher one than the hard limit needs the right to raise it.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ResourceLimits {
    /// Open files.
    #[serde(default)]
    pub open_files: Option<ResourceLimit>,
    /// Processes and threads of its user.
    #[serde(default)]
    pub processes: Option<ResourceLimit>,
    /// Bytes of memory that may be locked.
    #[serde(default)]
    pub memory_locked: Option<ResourceLimit>,
    /// Bytes of address space.
    #[serde(default)]
    pub address_space: Option<ResourceLimit>,
    /// Bytes of data.
    #[serde(default)]
    pub data: Option<ResourceLimit>,
    /// Bytes of the stack of the first thread.
    #[serde(default)]
    pub stack: Option<ResourceLimit>,
    /// Bytes of a core file.
    #[serde(default)]
    pub core: Option<ResourceLimit>,
    /// Bytes of a file that it writes.
    #[serde(default)]
    pub file_size: Option<ResourceLimit>,
}

/// A container. Its image must be there; none is fetched.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// Name of the image.
    pub image: Text,
    /// Arguments after the image.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment variables inside.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Ports that are published on this machine's loopback, such as `8098:8098`: the one here, the one inside.
    #[serde(default)]
    pub ports: Vec<Text>,
    /// Directories of this machine that are seen inside, such as `/here:/inside`.
    #[serde(default)]
    pub volumes: Vec<Text>,
    /// The engine's network in which it runs, such as `host`.
    #[serde(default)]
    pub network: Option<Text>,
}

/// A path whose delay, loss and rate are emulated, and measured before each repetition.
///
/// What stands here is added from `from` towards `to`; in the other direction nothing is, unless `back` says so. So the
/// round trip is `delay` longer.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// The target at the near side; the load by default.
    #[serde(default)]
    pub from: Option<String>,
    /// The targets at the far side. They share a network of their own, in which each finds the others at `127.0.0.1`.
    pub to: Names,
    /// How long each packet is held back.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// By how much the delay varies, more or less.
    #[serde(default)]
    pub jitter: Option<Duration>,
    /// The share of packets that are lost.
    #[serde(default)]
    pub loss: Option<Share>,
    /// How many bits per second go through.
    #[serde(default)]
    pub rate: Option<BitRate>,
    /// The same for the other direction.
    #[serde(default)]
    pub back: LinkShape,
    /// How it is made; `auto` by default: the first of `netem`, `nfqueue`, `relay` that works.
    #[serde(default)]
    pub mechanism: LinkMechanism,
    /// How far what is measured may be from what is asked; beyond that the repetition is invalid.
    #[serde(default)]
    pub tolerance: LinkTolerance,
}

/// One direction of a link.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkShape {
    /// How long each packet is held back.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// By how much the delay varies, more or less.
    #[serde(default)]
    pub jitter: Option<Duration>,
    /// The share of packets that are lost.
    #[serde(default)]
    pub loss: Option<Share>,
    /// How many bits per second go through.
    #[serde(default)]
    pub rate: Option<BitRate>,
}

/// How far a link may be from what is asked.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkTolerance {
    /// Of the median round trip; by default 1 ms, or 2 % where that is more.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// Of the share of lost packets; by default a tenth of it, at least 0.1 %.
    #[serde(default)]
    pub loss: Option<Share>,
    /// Of the rate, as a share of it; 10 % by default.
    #[serde(default)]
    pub rate: Option<Share>,
}

/// How to know that a target is ready: exactly one probe.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// This port accepts connections.
    #[serde(default)]
    pub tcp: Option<Port>,
    /// `GET` of this path (or URL) answers with a status below 400.
    #[serde(default)]
    pub http: Option<String>,
    /// A line of its output matches this regular expression.
    #[serde(default)]
    pub log: Option<String>,
    /// This command ends with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// How long to wait; 10 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// How a target is stopped.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stop {
    /// The first signal; `TERM` by default.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// How long it may take before it is killed; 5 s by default.
    #[serde(default)]
    pub grace: Option<Duration>,
}

/// Steps at each level.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steps {
    /// Once, before the first or after the last repetition. Factors are not known here.
    #[serde(default)]
    pub run: Vec<Action>,
    /// Before the first and after the last repetition of a cell.
    #[serde(default)]
    pub cell: Vec<Action>,
    /// Before the targets of a repetition are started, or after they are stopped.
    #[serde(default)]
    pub repetition: Vec<Action>,
    /// Directly before or after the load, while the targets run.
    #[serde(default)]
    pub load: Vec<Action>,
}

/// What is collected after the load: exactly one of `command`, `shell`, `fixture`, `file`, `sqlite`, `get`, and what is taken from it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Collect {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A program and its arguments; it must end with exit code 0. `${load_begin}` and `${load_end}` are the first request
    /// and the last answer of the load, in seconds since 1970.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// A program that ships with runner.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A file.
    #[serde(default)]
    pub file: Option<Text>,
    /// An SQLite database; it is opened for reading only.
    #[serde(default)]
    pub sqlite: Option<Text>,
    /// The answer to `GET` of a URL; its status must be 2xx.
    #[serde(default)]
    pub get: Option<Text>,
    /// User and password of the request.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Arguments after those of `command` or `fixture`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// How long the command or request may take; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Programs without which cells that collect this are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// Figures, one value per repetition: name to place.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricSource>,
    /// The decimal mark of all of `metrics`, where they are texts; each may say its own. A point by default.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// A table that is kept beside the repetition's other tables, as `collected/<name>.csv`.
    #[serde(default)]
    pub table: Option<TableSource>,
}

/// What `reconcile` may be, for the JSON Schema; read by hand in `plan::build::cells`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum Reconciles {
    /// One server.
    One(Reconcile),
    /// Several servers.
    Several(Vec<Reconcile>),
    /// Nothing is compared.
    Off(Off),
}

/// No.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(dead_code)]
pub enum Off {
    /// No.
    Off,
}

/// A server whose own count of requests is held against what was sent to it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reconcile {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// The target that counts.
    pub target: String,
    /// Where the count is read, before and after the load: a figure of `collect` by its name (`name`, or `name.metric`), or a
    /// source of its own with the place of the figure, such as `{get: http://127.0.0.1:8000/stats, json: /requests}`. Not
    /// needed for what counts by itself: fixtures, haproxy with a `stats socket`, nginx with `stub_status`.
    #[serde(default)]
    #[schemars(with = "Option<CountSource>")]
    pub collect: Option<Json>,
    /// The workloads whose requests are counted; by default those whose URL leads to the target.
    #[serde(default)]
    pub workload: Option<Names>,
    /// The steps whose requests are counted; all by default.
    #[serde(default)]
    pub steps: Names,
    /// By how much the two may differ: a number of requests, or a share of them; by default as `limits` have it.
    #[serde(default)]
    pub tolerance: Option<CountTolerance>,
}

/// Where a count is read, for the JSON Schema; read by hand in `plan::reconcile`.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub enum CountSource {
    /// A figure of `collect`: `name`, or `name.metric`.
    Name(String),
    /// What an entry of `collect` has, and the place of the figure beside it: `regex`, `json`, `csv`, `sql` or `lines`.
    Own(BTreeMap<String, Json>),
}

/// Where a table stands: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TableSource {
    /// A JSON pointer to a list of objects in the output.
    #[serde(default)]
    pub json: Option<String>,
    /// `true`: the output itself is CSV with a header.
    #[serde(default)]
    pub csv: Option<bool>,
    /// All rows of a query.
    #[serde(default)]
    pub sql: Option<String>,
}

/// One set-up or clean-up step: a command or a request.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A name for what this command makes once and keeps for later runs: a directory, `$CACHE` to the command and
    /// `${cache.<name>}` elsewhere. It is made again when the command has changed.
    #[serde(default)]
    pub cache: Option<String>,
    /// A program and its arguments; it must end with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// `GET` of a URL.
    #[serde(default)]
    pub get: Option<Text>,
    /// `PUT` to a URL.
    #[serde(default)]
    pub put: Option<Text>,
    /// `POST` to a URL.
    #[serde(default)]
    pub post: Option<Text>,
    /// `DELETE` of a URL.
    #[serde(default)]
    pub delete: Option<Text>,
    /// User and password of the request.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// How often the request is sent, one after the other; `${pass}` counts from 0. Once by default.
    #[serde(default)]
    pub times: Option<u64>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Body of the request.
    #[serde(default)]
    pub body: Option<Body>,
    /// What the answer must be; status 2xx by default.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// How long it may take; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// What must hold: a metric, or the ratio of a metric between two levels of a factor or between two phases, above or below a
/// bound. Further keys are factors with the level or levels of the cells that are meant; with `ratio` one of them is
/// `4 over 1`, or `phase` is `during over before`.
/// For the JSON Schema; read by hand in `plan::expectations`.
#[derive(JsonSchema)]
#[allow(dead_code)]
pub struct Expectation {
    /// A metric, as in graphs.
    pub metric: Option<String>,
    /// A metric of which two cells are compared.
    pub ratio: Option<String>,
    /// Of which workload, where there are several.
    pub of: Option<String>,
    /// In which phase; `during` by default, and of what belongs to targets the whole load. With `ratio` also two of them:
    /// `during over before`.
    pub phase: Option<String>,
    /// Of which step; of the passes by default.
    pub step: Option<String>,
    /// Of which target, where it is a resource; of all together by default.
    pub target: Option<String>,
    /// It must be more than this, in the metric's unit: `1000/s`, `20ms`, `64MiB`, `1%`, a number.
    pub above: Option<Json>,
    /// It must be less than this.
    pub below: Option<Json>,
    /// What to call it in reports.
    pub name: Option<String>,
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// From zero, the default.
    Linear,
    /// Logarithmic: equal ratios are equal distances.
    Log,
}

/// A picture: exactly one of `bars`, `ratio`, `lines`, `rounds`, `quantiles`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Graph {
    /// Grouped bars of this metric: the mean over repetitions with its 95 % interval.
    #[serde(default)]
    pub bars: Option<String>,
    /// Bars of this metric as a ratio to the `baseline` level of `series`.
    #[serde(default)]
    pub ratio: Option<String>,
    /// This metric over the time of a repetition; with a factor as `x` its mean over that, with its 95 % interval.
    #[serde(default)]
    pub lines: Option<String>,
    /// This metric of each repetition by its round.
    #[serde(default)]
    pub rounds: Option<String>,
    /// The distribution of `response` or `service` time.
    #[serde(default)]
    pub quantiles: Option<String>,
    /// Factor (or `time`, or `step`) along the x axis.
    #[serde(default)]
    pub x: Option<String>,
    /// The y axis of `lines` over a factor.
    #[serde(default)]
    pub y: Option<Axis>,
    /// An expression over the factors that tells what `lines` over a factor should be, in the unit of the y axis:
    /// `connections / (2 * seconds(rtt))`. It is drawn as a dashed line.
    #[serde(default)]
    pub model: Option<Text>,
    /// Factor (or `target`, or `step`) that gives the colours.
    #[serde(default)]
    pub series: Option<String>,
    /// Factors of which each level gets a picture of its own.
    #[serde(default)]
    pub facet: Names,
    /// The level of `series` to which `ratio` compares; with `series: phase` a phase.
    #[serde(default)]
    pub baseline: Option<Json>,
    /// Only cells with these levels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, Json>,
    /// Only this step of the passes; the pass as a whole by default.
    #[serde(default)]
    pub step: Option<String>,
    /// Only this workload, where there are several.
    #[serde(default)]
    pub workload: Option<String>,
    /// A title of its own.
    #[serde(default)]
    pub title: Option<String>,
}
