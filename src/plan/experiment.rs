//! An experiment as it will be executed: its cells, and what holds for all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{as_optional_text, as_text};
use super::{Action, Checkout, Collect, Expectation, Factor, Graph, Link, Reconcile, Secrets, Tap, Target, Workload};
use vocabulary::Metric;
use vocabulary::choices::Order;

/// An experiment, ready to be executed.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Name of the experiment.
    pub experiment: String,
    /// The question that it answers.
    pub question: String,
    /// The file from which it was read.
    pub source: PathBuf,
    /// The file's text, as typed.
    #[serde(skip)]
    pub text: String,
    /// What else was noticed when it was read, a line each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Order of the repetitions.
    pub order: Order,
    /// Where scratch directories are made.
    pub scratch: Scratch,
    /// Repetitions of each cell.
    pub repetitions: u32,
    /// Length of the windows in which requests are counted.
    #[serde(serialize_with = "as_text")]
    pub window: Duration,
    /// Beyond which a repetition is invalid.
    pub limits: Limits,
    /// What is recorded beside the windows.
    pub record: Record,
    /// Environment variables that the scenario reads: `***` for a secret, none where it is not set.
    pub environment: BTreeMap<String, Option<String>>,
    /// Their secret values.
    #[serde(skip)]
    pub secrets: Secrets,
    /// All factors with the levels chosen.
    pub factors: Vec<Factor>,
    /// What is done once, before and after everything else.
    pub set_up: Vec<Action>,
    /// What is done once, at the end.
    pub clean_up: Vec<Action>,
    /// The cells, in the order of the file.
    pub cells: Vec<Cell>,
    /// The pictures.
    pub graphs: Vec<Graph>,
    /// What must hold.
    pub expect: Vec<Expectation>,
    /// The metric that is the question, where the scenario names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Metric>,
    /// How long repeating goes on, where it was asked for.
    pub repeat: Option<Repeat>,
}

impl Plan {
    /// The experiment with its question, where it has one.
    pub fn title(&self) -> String {
        match self.question.as_str() {
            "" => self.experiment.clone(),
            question => format!("{}: {question}", self.experiment),
        }
    }

    /// The revisions that its cells need, each once.
    pub fn checkouts(&self) -> Vec<&Checkout> {
        let mut found: Vec<&Checkout> = Vec::new();
        let steps = self.cells.iter().filter(|c| c.skipped.is_none()).flat_map(|c| &c.set_up.cell);
        for checkout in steps.filter_map(Action::checkout) {
            if !found.contains(&checkout) {
                found.push(checkout);
            }
        }
        found
    }
}

/// How long `repeat` goes on. `repetitions` of the plan is the most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The metric whose stability is in question.
    pub metric: Metric,
    /// Until the mean of every cell is known to so much: half of its interval's width, as a share of it.
    pub until: Option<f64>,
    /// Not before so many repetitions of each cell.
    pub least: u32,
    /// No new round when this time is used up, in seconds.
    pub budget_s: Option<f64>,
    /// Until each level of a factor is told from its baseline, or both are the same within a threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<Decide>,
    /// Until somebody ends it: `measure`, whose rounds have no last one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
}

/// What is to be decided by repeating.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decide {
    /// The factor whose levels are compared.
    pub by: String,
    /// The level with which the others are.
    pub baseline: String,
    /// A difference that is smaller does not matter, as a share.
    pub threshold: f64,
}

impl Repeat {
    /// Whether it is not known beforehand how many rounds there will be.
    pub fn is_open_ended(&self) -> bool {
        self.endless || self.until.is_some() || self.budget_s.is_some() || self.decide.is_some()
    }
}

/// Limits beyond which a repetition is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Processor time of a generator thread per time.
    pub generator_cpu: f64,
    /// Share of what was asked of a workload in a phase that may be answered wrongly or not at all.
    pub errors: f64,
    /// Share of a phase in which nobody was answered rightly while passes were due.
    pub silence: f64,
    /// Share of the time on connections that long passes held which were open at the end.
    pub open: f64,
    /// Share of the processors' time that the hypervisor may take.
    pub host_steal: Option<f64>,
    /// Share of the processors' time that programs outside of the experiment may use.
    pub host_load: Option<f64>,
    /// Whether every measurement must become steady.
    pub steady_state: bool,
    /// 99th percentile of the schedule lag of an open loop.
    #[serde(serialize_with = "as_optional_text")]
    pub lag_p99: Option<Duration>,
    /// Share of the load's time in which some task may be ready and have no core.
    pub host_pressure_cpu: Option<f64>,
    /// Share of it in which all tasks may wait for memory.
    pub host_pressure_memory: f64,
    /// Share of it in which all tasks may wait for storage.
    pub host_pressure_io: Option<f64>,
    /// The least frequency of working cores, as a share of their highest.
    pub host_frequency: Option<f64>,
    /// How often cores and packages may be throttled; any number of times when there is none.
    pub host_throttled: Option<u64>,
    /// Share by which a server's count of requests may differ from what was sent.
    pub reconcile: f64,
}

/// Where scratch directories are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scratch {
    /// In the system's temporary directory, or in `$RUNNER_SCRATCH`.
    #[default]
    Disk,
    /// In memory (`/dev/shm`), so that files cost the same in every repetition.
    Memory,
    /// In a file system in memory of its own, of at most so many bytes.
    Tmpfs(u64),
}

/// What is recorded beside the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Also one row per request and per pass.
    pub requests: bool,
    /// So many bytes of a file system in memory, in which everything is recorded first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<u64>,
}

/// The name of a cell: its levels, `processes=2,proxy=builtin`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CellId(pub String);

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One level chosen per factor, and what that means.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its levels in a row; what results call it.
    pub id: CellId,
    /// Factor and label of the level, in the order of the file.
    pub levels: Vec<(String, String)>,
    /// Its folder below `cells/`.
    pub path: PathBuf,
    /// Why it is not executed on this machine.
    pub skipped: Option<String>,
    /// Targets in the order in which they are started.
    pub targets: Vec<Target>,
    /// What is emulated between them, and between them and the load.
    pub links: Vec<Link>,
    /// What makes the load; all of them at once.
    pub workloads: Vec<Workload>,
    /// What is collected after the load.
    pub collect: Vec<Collect>,
    /// What is followed while the load runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<Tap>,
    /// Steps before.
    pub set_up: Steps,
    /// Steps afterwards.
    pub clean_up: Steps,
    /// What servers count, to be held against what was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reconcile: Vec<Reconcile>,
}

impl Cell {
    /// Connections of all its workloads together.
    pub fn connections(&self) -> u64 {
        self.workloads.iter().map(|w| u64::from(w.load.arrivals.connections())).sum()
    }
}

/// Set-up or clean-up steps of a cell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steps {
    /// Once per cell.
    pub cell: Vec<Action>,
    /// Per repetition, without targets.
    pub repetition: Vec<Action>,
    /// Per repetition, while the targets run.
    pub load: Vec<Action>,
}
