//! Reads the directory of a run. Only `summary.json` in it is ever changed.
//!
//! The directory may come from anybody: a name in it that could lead out of the directory, or out of where graphs are
//! written, makes the whole record unreadable, so that later code need not check. Links are followed for reading, as a run
//! may be kept in several places; nothing is written through one (`files`, `write`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;
use serde::Deserialize;

use super::files::read_json;
use super::gaps::{self, Gap};
use super::manifest::{Manifest, Part};
use super::names::{is_inside, is_name};
use super::status::Status;
use super::{Error, Expectation, Graph, Repeat, TapField, TapJoin, TapMetric, older};
use vocabulary::{Metric, NamedMetric};

/// The parts of `plan.json` that analysis needs.
#[derive(Clone, Debug, Deserialize)]
pub struct PlanRecord {
    /// Name of the experiment.
    pub experiment: String,
    /// The question that it answers; the title of graphs.
    pub question: String,
    /// The file of the scenario; none in records that were made by hand.
    #[serde(default)]
    pub source: String,
    /// The seed of everything random in it.
    pub seed: u64,
    /// Repetitions of each cell.
    pub repetitions: u32,
    /// The order of repetitions; none in records that were made by hand.
    #[serde(default)]
    order: String,
    /// The metric that answers the question; none before format 5, and where the scenario names none.
    #[serde(default)]
    pub primary: Option<Metric>,
    /// Length of a window.
    #[serde(deserialize_with = "window")]
    pub window: Duration,
    /// Factors with their levels.
    pub factors: Vec<FactorRecord>,
    /// All cells, including those that were skipped.
    pub cells: Vec<CellRecord>,
    /// The pictures that `graph` draws.
    #[serde(deserialize_with = "older::graphs")]
    pub graphs: Vec<Graph>,
    /// Expectations; empty in formats 1 and 2.
    #[serde(default)]
    pub expect: Vec<Expectation>,
    /// How long repeating continued.
    #[serde(default)]
    pub repeat: Option<Repeat>,
    /// Limits on which repetitions count.
    #[serde(default)]
    pub limits: LimitsRecord,
}

impl PlanRecord {
    /// Whether repetitions with the same number were executed in one round over all cells.
    pub fn is_in_rounds(&self) -> bool {
        matches!(self.order.as_str(), "interleaved" | "rounds")
    }

    /// Checks every name in it. `path`: the file that contains them.
    fn check_names(&self, path: &Path) -> Result<(), Error> {
        let wrong = |what, name: &str| {
            let name = name.to_owned();
            move |why| Error::Name { path: path.to_owned(), what, name, why }
        };
        let name = |what, text: &str| is_name(text).map_err(wrong(what, text));
        name("the experiment", &self.experiment)?;
        self.factors.iter().try_for_each(|factor| name("the factor", &factor.name))?;
        for cell in &self.cells {
            is_inside(&cell.path).map_err(wrong("the folder of a cell", &cell.path.to_string_lossy()))?;
            cell.targets.iter().try_for_each(|target| name("the target", &target.name))?;
            cell.collect.iter().try_for_each(|collected| name("the collected", &collected.name))?;
            for tap in &cell.taps {
                name("the tap", &tap.name)?;
                tap.metrics.iter().try_for_each(|metric| name("the metric", &metric.name))?;
            }
            for workload in &cell.workloads {
                name("the workload", &workload.name)?;
                workload.outcomes.iter().try_for_each(|outcome| name("the outcome", outcome))?;
            }
            let brought = cell.workloads.iter().flat_map(|w| &w.metrics).map(|m| m.name.as_str());
            let collected = cell.collect.iter().flat_map(|c| &c.metrics).map(|m| m.name.as_str());
            brought.chain(collected).try_for_each(|metric| name("the metric", metric))?;
        }
        Ok(())
    }
}

/// The limits that analysis applies by itself.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct LimitsRecord {
    /// Whether every measurement must become steady.
    #[serde(default)]
    pub steady_state: bool,
}

/// A factor.
#[derive(Clone, Debug, Deserialize)]
pub struct FactorRecord {
    /// Its name.
    pub name: String,
    /// Its levels.
    pub levels: Vec<LevelRecord>,
}

/// A level.
#[derive(Clone, Debug, Deserialize)]
pub struct LevelRecord {
    /// Its label.
    pub label: String,
}

/// A cell.
#[derive(Clone, Debug, Deserialize)]
pub struct CellRecord {
    /// Its name.
    pub id: String,
    /// Factors and labels of its levels.
    pub levels: Vec<(String, String)>,
    /// Its folder below `cells/`.
    pub path: PathBuf,
    /// Why it was not executed.
    pub skipped: Option<String>,
    /// Its workloads.
    pub workloads: Vec<WorkloadRecord>,
    /// Its targets.
    pub targets: Vec<Named>,
    /// What is collected after the load; empty before format 4.
    #[serde(default)]
    pub collect: Vec<CollectRecord>,
    /// What was followed while the load ran; empty if the scenario has no taps, and in older results.
    #[serde(default)]
    pub taps: Vec<TapRecord>,
}

impl CellRecord {
    /// Whether the windows before the steady state of this workload are its warm-up.
    pub fn is_warmed_up_by_itself(&self, workload: &str) -> bool {
        self.workloads.iter().any(|w| w.name == workload && w.is_warmed_up_by_itself())
    }
}

/// A tap: what its rows contain, and which metrics are computed from them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct TapRecord {
    /// Its name; its rows are in `taps/<name>.parquet`.
    pub name: String,
    /// Its fields, each a column.
    pub fields: Vec<TapField>,
    /// What its rows are joined with.
    #[serde(default)]
    pub join: Option<TapJoin>,
    /// The metrics that are computed from them.
    pub metrics: Vec<TapMetric>,
}

/// Something that is collected.
#[derive(Clone, Debug, Deserialize)]
pub struct CollectRecord {
    /// Its name.
    pub name: String,
    /// The metrics that it has.
    pub metrics: Vec<MetricRecord>,
}

/// A workload, whatever its protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WrittenWorkload")]
pub struct WorkloadRecord {
    /// Its name.
    pub name: String,
    /// Names of its steps.
    pub steps: Vec<String>,
    /// How many of them, from the last one back, users execute besides passes.
    pub user_steps: usize,
    /// Its metrics besides times and counts.
    pub metrics: Vec<NamedMetric>,
    /// The outcomes that it names, each once.
    pub outcomes: Vec<String>,
    /// The workload that it follows, where it has no schedule of its own.
    pub follows: Option<String>,
    /// Whether each of its passes is the execution of a program.
    pub is_program: bool,
    /// How its passes arrive; none in format 1.
    pub load: Option<LoadRecord>,
}

/// A workload as written in the file.
#[derive(Deserialize)]
struct WrittenWorkload {
    name: String,
    #[serde(default)]
    steps: Option<Vec<WrittenStep>>,
    #[serde(default)]
    user_steps: usize,
    #[serde(default)]
    metrics: Option<Vec<NamedMetric>>,
    #[serde(default)]
    outcomes: Vec<String>,
    #[serde(default)]
    follows: Option<String>,
    #[serde(default)]
    is_program: bool,
    /// None in format 1, which knew only HTTP.
    #[serde(default)]
    driver: serde_json::Value,
    #[serde(default)]
    load: Option<LoadRecord>,
}

/// A step of a workload: a name, and in format 1 a map with one.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenStep {
    Name(String),
    Map(older::Named),
}

impl TryFrom<WrittenWorkload> for WorkloadRecord {
    type Error = serde_json::Error;

    fn try_from(written: WrittenWorkload) -> Result<Self, serde_json::Error> {
        let WrittenWorkload { name, steps, user_steps, metrics, outcomes, follows, is_program, driver, load } = written;
        let mut workload = Self { name, steps: Vec::new(), user_steps, metrics: Vec::new(), outcomes, follows, is_program, load };
        match (steps, metrics) {
            // From format 6 on, the protocol need not be known here.
            (steps, Some(metrics)) => (workload.steps, workload.metrics) = (names(steps.unwrap_or_default()), metrics),
            (Some(steps), None) => workload.steps = names(steps),
            (None, None) if driver.is_null() => {}
            (None, None) => {
                let driver = older::Driver::deserialize(driver)?;
                workload.steps = driver.steps();
                workload.metrics = driver.metrics();
                workload.outcomes = driver.outcomes();
                workload.follows = driver.follows();
                workload.is_program = driver.is_program();
            }
        }
        Ok(workload)
    }
}

fn names(steps: Vec<WrittenStep>) -> Vec<String> {
    let name = |step| match step {
        WrittenStep::Name(name) => name,
        WrittenStep::Map(named) => named.name,
    };
    steps.into_iter().map(name).collect()
}

/// How passes arrive, as far as analysis needs to know.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadRecord {
    /// What they follow, as in `plan.json`.
    #[serde(default)]
    arrivals: serde_json::Value,
    /// The search, if it is one.
    #[serde(default)]
    find: Option<serde_json::Value>,
    /// Whether the windows before the steady state are the warm-up.
    #[serde(default)]
    pub auto_warm_up: bool,
}

impl LoadRecord {
    /// Whether the load is the same all the time: no search, no ramp, no steps.
    pub fn is_stationary(&self) -> bool {
        let changes = |key| self.arrivals.pointer(&format!("/open/pattern/{key}")).is_some();
        self.find.is_none() && !changes("ramp") && !changes("steps")
    }
}

/// A metric that is collected.
#[derive(Clone, Debug, Deserialize)]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
}

impl WorkloadRecord {
    /// Whether the windows before its steady state are its warm-up.
    pub fn is_warmed_up_by_itself(&self) -> bool {
        self.load.as_ref().is_some_and(|load| load.auto_warm_up)
    }
}

/// Something with a name.
#[derive(Clone, Debug, Deserialize)]
pub struct Named {
    /// The only part of it that is read.
    pub name: String,
}

/// A repetition on disk.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// The directory with its tables and its `status.json`.
    pub path: PathBuf,
    /// Index of its cell in the plan.
    pub cell: usize,
    /// How it ended.
    pub status: Status,
}

/// A run on disk.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The directory of the run, which contains everything of it.
    pub path: PathBuf,
    /// Its name: time and id.
    pub name: String,
    /// The plan.
    pub plan: PlanRecord,
    /// The plan as written in the file.
    pub raw_plan: serde_json::Value,
    /// The circumstances.
    pub manifest: Manifest,
    /// All existing repetitions, by cell and number.
    pub repetitions: Vec<Repetition>,
    /// When nothing was measured although it should have been; only for `measure`.
    pub gaps: Vec<Gap>,
    /// What could not be read, in words; everything else is present.
    pub damaged: Vec<String>,
}

/// Reads the length of a window, which determines the size of sums and lists.
fn window<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let window = vocabulary::units::parse_duration(&text).filter(|window| WINDOWS.contains(window));
    window.ok_or_else(|| {
        serde::de::Error::custom(format_args!("the window `{}` is not a time from 1ms to 1h", text.escape_debug()))
    })
}

/// How long a window may be.
const WINDOWS: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// The longest load that a scenario may have, and its drain.
const LONGEST_NS: u64 = 2 * 366 * 86_400 * 1_000_000_000;
/// A month of windows of 100 ms.
const MOST_WINDOWS: u64 = 30_000_000;

impl RunRecord {
    /// Reads plan, manifest and the status of every repetition.
    ///
    /// A repetition that cannot be read is named in `damaged` and left out.
    ///
    /// # Errors
    /// [`Error::NoRun`], [`Error::Name`], and the errors of [`read_json`] for plan and manifest.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !is_run(path)? {
            return Err(Error::NoRun { path: path.to_owned() });
        }
        let raw_plan: serde_json::Value = read_json(&path.join("plan.json"))?;
        let damaged_plan = |source| Error::Damaged { path: path.join("plan.json"), source };
        let plan = PlanRecord::deserialize(&raw_plan).map_err(damaged_plan)?;
        plan.check_names(&path.join("plan.json"))?;
        let manifest: Manifest = read_json(&path.join("manifest.json"))?;
        let (mut numbered, mut damaged) = (Vec::new(), Vec::new());
        for (cell, record) in plan.cells.iter().enumerate() {
            let folder = path.join("cells").join(&record.path);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => Some(entries),
                // Nothing of this cell was executed.
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => {
                    damaged.push(format!("cannot read {}: {error}", folder.display()));
                    None
                }
            };
            let mut numbers: Vec<u32> = entries
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|e| e.file_name().to_str()?.strip_prefix("run")?.parse().ok())
                .collect();
            numbers.sort_unstable();
            numbered.extend(numbers.into_iter().map(|number| (cell, folder.join(format!("run{number}")))));
        }
        // In any order, on all cores; results are ordered by name.
        let read = |(cell, path): (usize, PathBuf)| match read_json::<Status>(&path.join("status.json")) {
            // A sum or a list of windows over such a time would take more memory than any machine has.
            Ok(status)
                if status
                    .phases
                    .iter()
                    .any(|p| p.end_ns > LONGEST_NS || p.end_ns / plan.window.as_nanos() as u64 > MOST_WINDOWS) =>
            {
                Err(format!("{} is damaged: a phase ends later than is possible", path.join("status.json").display()))
            }
            Ok(status) => Ok(Repetition { path, cell, status }),
            Err(error) => Err(vocabulary::errors::chain(&error)),
        };
        let found: Vec<Result<Repetition, String>> = numbered.into_par_iter().map(read).collect();
        let mut repetitions = Vec::new();
        for one in found {
            match one {
                // A copy would count twice.
                Ok(repetition)
                    if repetitions
                        .iter()
                        .rev()
                        .take_while(|r: &&Repetition| r.cell == repetition.cell)
                        .any(|r| r.status.repetition == repetition.status.repetition) =>
                {
                    let (path, number) = (repetition.path.join("status.json"), repetition.status.repetition);
                    damaged
                        .push(format!("{} says that it is repetition {number}, but another one says the same", path.display()));
                }
                Ok(repetition) => repetitions.push(repetition),
                Err(words) => damaged.push(words),
            }
        }
        let absolute = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let gaps = gaps::read(path).unwrap_or_else(|error| {
            damaged.push(vocabulary::errors::chain(&error));
            Vec::new()
        });
        Ok(Self { path: path.to_owned(), name, plan, raw_plan, manifest, repetitions, gaps, damaged })
    }
}

impl RunRecord {
    /// How many rounds were to be executed: of a shard those that belong to it.
    pub fn rounds(&self) -> u32 {
        let shard = self.manifest.choice.as_ref().and_then(|choice| choice.shard);
        shard.map_or(self.plan.repetitions, |shard| shard.count(self.plan.repetitions))
    }

    /// The nodes of which there are rounds, each once, in the order of their names; empty for a run that was not merged.
    pub fn nodes(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.manifest.merged.iter().map(|part| part.host.name.as_str()).collect();
        names.into_iter().collect()
    }

    /// Which of [`Self::nodes`] executed each round, as far as that is known: not of a round that was executed after the merge.
    pub fn node_of_rounds(&self) -> BTreeMap<u32, usize> {
        let nodes = self.nodes();
        let of_part = |part: &'_ Part| {
            let node = nodes.iter().position(|name| *name == part.host.name).unwrap_or_default();
            part.rounds.iter().map(move |round| (*round, node)).collect::<Vec<_>>()
        };
        self.manifest.merged.iter().flat_map(of_part).collect()
    }
}

/// Whether a directory is the directory of a run.
fn is_run(path: &Path) -> Result<bool, Error> {
    let plan = path.join("plan.json");
    match plan.metadata() {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(source) if source.kind() == ErrorKind::PermissionDenied => Err(Error::Read { path: plan, source }),
        Err(_) => Ok(false),
    }
}

/// How many repetitions of a run are complete: folders that have their name. Nothing in them is read.
pub fn count_repetitions(run: &Path) -> usize {
    let mut count = 0;
    let mut folders = vec![run.join("cells")];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            match name.strip_prefix("run").map(str::parse::<u32>) {
                Some(Ok(_)) => count += 1,
                _ if name.starts_with('.') || name.contains(".damaged") => {}
                _ => folders.push(entry.path()),
            }
        }
    }
    count
}

/// The run that started last. Names start with the time of the start in seconds; if two are equal, the one whose plan was
/// written last.
pub fn newest(runs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    runs.max_by_key(|run| {
        let name = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let second = name.split('-').next().unwrap_or_default().to_owned();
        let written = run.join("plan.json").metadata().and_then(|there| there.modified()).ok();
        (second, written, name)
    })
}

/// The runs that a path refers to: itself, or the newest run of each experiment below it.
///
/// # Errors
/// [`Error::NoRun`]; [`Error::Read`] where the directory may not be read.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if is_run(path)? {
        return Ok(vec![path.to_owned()]);
    }
    // A directory that may not be read is different from an empty one.
    if let Err(source) = std::fs::read_dir(path)
        && source.kind() == ErrorKind::PermissionDenied
    {
        return Err(Error::Read { path: path.to_owned(), source });
    }
    let folders = |path: &Path| {
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
        found.sort();
        found
    };
    let newest = |folder: &Path| newest(folders(folder).into_iter().filter(|p| p.join("plan.json").is_file()));
    let runs: Vec<PathBuf> = match newest(path) {
        Some(run) => vec![run],
        None => folders(path).iter().filter_map(|f| newest(f)).collect(),
    };
    if runs.is_empty() { Err(Error::NoRun { path: path.to_owned() }) } else { Ok(runs) }
}
