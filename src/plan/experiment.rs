//! An experiment as it will be executed: its cells, and the settings of all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::text::{as_optional_text, as_text};
use super::{
    Abort, Action, Checkout, Collect, Expectation, Factor, Fault, Faults, Graph, Link, Reconcile, Role, Secrets, Tap, Target,
    Workload,
};
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
    /// Other notes from reading it, one line each.
    #[serde(skip)]
    pub notes: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// Order of the repetitions.
    pub order: Order,
    /// The place of scratch directories.
    pub scratch: Scratch,
    /// Repetitions of each cell.
    pub repetitions: u32,
    /// Length of the windows in which requests are counted.
    #[serde(serialize_with = "as_text")]
    pub window: Duration,
    /// Limits beyond which a repetition is invalid.
    pub limits: Limits,
    /// When a hopeless repetition is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort: Option<Abort>,
    /// What is recorded beside the windows.
    pub record: Record,
    /// Environment variables that the scenario reads: `***` for a secret, `None` if a variable is not set.
    pub environment: BTreeMap<String, Option<String>>,
    /// Their secret values.
    #[serde(skip)]
    pub secrets: Secrets,
    /// The roles of machines; empty if everything is done on this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Role>,
    /// The files that the scenario names and that were found here.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Names of the values that set-up steps find.
    #[serde(skip)]
    pub found: Vec<String>,
    /// All factors with the chosen levels.
    pub factors: Vec<Factor>,
    /// Set-up steps that are executed once, before everything else.
    pub set_up: Vec<Action>,
    /// Clean-up steps that are executed once, at the end.
    pub clean_up: Vec<Action>,
    /// The cells, in the order of the file.
    pub cells: Vec<Cell>,
    /// The pictures.
    pub graphs: Vec<Graph>,
    /// The expectations.
    pub expect: Vec<Expectation>,
    /// The metric that the question is about, if the scenario names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<Metric>,
    /// How long repeating continues, if requested.
    pub repeat: Option<Repeat>,
}

impl Plan {
    /// The experiment with its question, if it has one.
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

/// How long `repeat` continues. `repetitions` of the plan is the maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// The metric whose stability is examined.
    pub metric: Metric,
    /// The precision at which repeating ends: half of the width of the interval of every cell's mean, as a share of the mean.
    pub until: Option<f64>,
    /// The minimum number of repetitions of each cell.
    pub least: u32,
    /// No new round starts when this time is used up, in seconds.
    pub budget_s: Option<f64>,
    /// Until each level of a factor differs significantly from its baseline, or both are the same within a threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide: Option<Decide>,
    /// Until the user ends it: `measure`, which has no last round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub endless: bool,
}

/// What repeating has to decide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decide {
    /// The factor whose levels are compared.
    pub by: String,
    /// The level with which the others are compared.
    pub baseline: String,
    /// A smaller difference does not matter, as a share.
    pub threshold: f64,
}

impl Repeat {
    /// Whether the number of rounds is not known beforehand.
    pub fn is_open_ended(&self) -> bool {
        self.endless || self.until.is_some() || self.budget_s.is_some() || self.decide.is_some()
    }
}

/// Limits beyond which a repetition is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// Processor time of a generator thread, as a share of the time.
    pub generator_cpu: f64,
    /// Share of a workload's requests in a phase that may be answered wrongly or not at all.
    pub errors: f64,
    /// Share of a phase in which no pass was answered correctly while passes were due.
    pub silence: f64,
    /// Share of the connections' time that was held by long passes still open at the end.
    pub open: f64,
    /// Share of the processors' time that the hypervisor may take.
    pub host_steal: Option<f64>,
    /// Share of the processors' time that programs outside of the experiment may use.
    pub host_load: Option<f64>,
    /// Whether every measurement must become steady.
    pub steady_state: bool,
    /// How far apart the load may start on several machines; none where there is only one.
    #[serde(serialize_with = "as_optional_text", skip_serializing_if = "Option::is_none")]
    pub start_skew: Option<Duration>,
    /// 99th percentile of the schedule lag of an open loop.
    #[serde(serialize_with = "as_optional_text")]
    pub lag_p99: Option<Duration>,
    /// Share of the load's time in which some task may be ready and have no core.
    pub host_pressure_cpu: Option<f64>,
    /// Share of the load's time in which all tasks may wait for memory.
    pub host_pressure_memory: Option<f64>,
    /// Share of the load's time in which all tasks may wait for storage.
    pub host_pressure_io: Option<f64>,
    /// The least frequency of working cores, as a share of their highest.
    pub host_frequency: Option<f64>,
    /// How often cores and packages may be throttled; `None`: any number of times.
    pub host_throttled: Option<u64>,
    /// Share by which a server's count of requests may differ from what was sent.
    pub reconcile: f64,
}

/// The place of scratch directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scratch {
    /// In the system's temporary directory, or in `$RUNNER_SCRATCH`.
    #[default]
    Disk,
    /// In memory (`/dev/shm`), so that files cost the same in every repetition.
    Memory,
    /// In a separate file system in memory, of at most this many bytes.
    Tmpfs(u64),
}

/// What is recorded beside the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Additionally one row per request and per pass.
    pub requests: bool,
    /// The size in bytes of a file system in memory, in which everything is recorded first.
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

/// One chosen level per factor, and what this means.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Its levels in a row, which is its name in results.
    pub id: CellId,
    /// Factor and label of the level, in the order of the file.
    pub levels: Vec<(String, String)>,
    /// Its folder below `cells/`.
    pub path: PathBuf,
    /// Why it is not executed on this machine, if so.
    pub skipped: Option<String>,
    /// Targets in the order in which they are started.
    pub targets: Vec<Target>,
    /// The links emulated between targets, and between targets and the load.
    pub links: Vec<Link>,
    /// What is broken on purpose while the load runs.
    #[serde(skip_serializing_if = "Faults::is_empty")]
    pub faults: Faults,
    /// The workloads, which all run at once.
    pub workloads: Vec<Workload>,
    /// What is collected after the load.
    pub collect: Vec<Collect>,
    /// The taps that are followed while the load runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<Tap>,
    /// Set-up steps.
    pub set_up: Steps,
    /// Clean-up steps.
    pub clean_up: Steps,
    /// The counts of servers, to compare with what was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reconcile: Vec<Reconcile>,
}

impl Cell {
    /// What of the cell belongs to machines with a role; none: to the machine of the run itself. Workloads, what is collected and
    /// counts of servers keep their places in the cell, so that rows of all machines have the same numbers: see
    /// [`Workload::on`] and [`Collect::on`].
    #[must_use]
    pub fn of_host(&self, role: Option<&str>) -> Self {
        let is_here = |on: &Option<String>| on.as_deref() == role;
        let of_target = |name: &str| self.targets.iter().any(|target| target.name == name && is_here(&target.on));
        let of_here = |fault: &Fault| fault.action.victim().is_some_and(|victim| of_target(&victim.target));
        let steps = |steps: &Steps| Steps {
            // Steps around repetitions are done once, by whoever directs the run.
            cell: Vec::new(),
            repetition: Action::all_of_host(&steps.repetition, role),
            load: Action::all_of_host(&steps.load, role),
        };
        Self {
            targets: self.targets.iter().filter(|target| is_here(&target.on)).cloned().collect(),
            // They lie between machines, and are made by whoever directs the run.
            links: Vec::new(),
            taps: self.taps.iter().filter(|tap| is_here(&tap.on)).cloned().collect(),
            faults: Faults {
                list: self.faults.list.iter().filter(|fault| of_here(fault)).cloned().collect(),
                ..self.faults.clone()
            },
            set_up: steps(&self.set_up),
            clean_up: steps(&self.clean_up),
            ..self.clone()
        }
    }

    /// Whether machines with a role have anything to do in a repetition of the cell; none: the machine of the run itself.
    pub fn needs_host(&self, role: Option<&str>) -> bool {
        let own = self.of_host(role);
        let steps = [&own.set_up, &own.clean_up].into_iter().any(|s| !s.repetition.is_empty() || !s.load.is_empty());
        let on = self.workloads.iter().map(|w| &w.on).chain(self.collect.iter().map(|c| &c.on));
        !own.targets.is_empty() || !own.taps.is_empty() || steps || on.into_iter().any(|on| on.as_deref() == role)
    }

    /// The connections of all its workloads together.
    pub fn connections(&self) -> u64 {
        self.workloads.iter().map(|w| u64::from(w.load.arrivals.connections())).sum()
    }
}

/// Set-up or clean-up steps of a cell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steps {
    /// Once per cell.
    pub cell: Vec<Action>,
    /// Per repetition, while the targets do not run.
    pub repetition: Vec<Action>,
    /// Per repetition, while the targets run.
    pub load: Vec<Action>,
}
