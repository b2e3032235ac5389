//! `summary.json`. Keys carry units; times are nanoseconds, sizes bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cells::Figures;
use record::Decide;
use record::tables::WHOLE;
use vocabulary::Interest;

pub use super::decisions::Decided;
pub use super::estimate::Estimate;
pub use super::expectations::Finding;
pub use super::gaps::GapSummary;
pub use super::nodes::NodeSummary;
pub use super::stability::Stability;
pub use super::stages::Stage;
pub use super::steadiness::Steadiness;
pub use super::times::{Times, at};

/// The results of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Version of the format.
    pub format: u32,
    /// Name of the experiment.
    pub experiment: String,
    /// The question that the experiment is meant to answer.
    pub question: String,
    /// Name of the run.
    pub run: String,
    /// Seed of the run.
    pub seed: u64,
    /// The machine, in one line.
    pub machine: String,
    /// Factors and their levels, in the order of the file.
    pub factors: Vec<(String, Vec<String>)>,
    /// Whether the run was repeated to see how stable it is.
    pub repeated: bool,
    /// The metric whose stability was examined.
    pub stability_of: String,
    /// One entry per cell.
    pub cells: Vec<CellSummary>,
    /// What repeating was meant to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide: Option<Decide>,
    /// What it has decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decided>,
    /// What the scenario expects, and whether it holds.
    pub expectations: Vec<Finding>,
    /// When nothing was measured although it should have been; for `measure`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapSummary>,
    /// The nodes that executed its rounds, for a run that was merged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSummary>,
    /// How these nodes differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_differences: Vec<String>,
    /// What could not be read.
    pub damaged: Vec<String>,
}

/// The results of one cell over its repetitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CellSummary {
    /// Name of the cell, made of its levels.
    pub cell: String,
    /// The level of each factor, by name of the factor.
    pub levels: BTreeMap<String, String>,
    /// Why it was not executed, if so.
    pub skipped: Option<String>,
    /// The outcomes of its repetitions.
    pub repetitions: Repetitions,
    /// Each step in each phase, and the pass as a whole.
    pub steps: Vec<StepSummary>,
    /// What commands reported.
    pub metrics: Vec<MetricSummary>,
    /// The names of what was broken on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    /// The highest rates that searches found.
    pub limits: Vec<SearchSummary>,
    /// Each target, during the load.
    pub targets: Vec<TargetSummary>,
    /// The load generator.
    pub generator: Option<GeneratorSummary>,
    /// How much of the logs of targets was cut, in bytes, by target; over all repetitions that count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logs_cut: BTreeMap<String, u64>,
    /// How often a request was sent again because the server had said that it had not processed it; over all repetitions
    /// that count.
    #[serde(skip_serializing_if = "never")]
    pub sent_again: u64,
    /// How many repetitions were executed again, as a machine was lost, and the first reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executed_again: Option<(usize, String)>,
    /// What else used the processors meanwhile, in words, if that was much.
    pub busy: Option<String>,
    /// Whether each workload was steady within its repetitions.
    pub steadiness: Vec<Steadiness>,
    /// How the loads of valid repetitions went, apart from their results: their length, and what was open, silent or idle in
    /// them.
    pub loads: Vec<LoadSummary>,
    /// How stable each workload is from repetition to repetition, if there are enough of them.
    pub stability: Vec<Stability>,
    /// Where servers counted something other than what was sent, in words, if that was accepted; and counts that could not be
    /// read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<String>,
    /// What went wrong with taps, in words: lines that were lost, sources that ended early, values that do not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taps: Vec<String>,
    /// Where the time of requests is spent between the taps that saw them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// The figures that everything above is made of; they are written to a separate table.
    #[serde(skip)]
    pub figures: Figures,
}

/// The load of a workload in one phase, over the repetitions that count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LoadSummary {
    /// Name of the workload.
    pub workload: String,
    /// Name of the phase.
    pub phase: String,
    /// Its length in seconds: the median.
    pub seconds: f64,
    /// The minimum length for steadiness, in seconds: ten windows, and at least a second.
    pub least_seconds: f64,
    /// Whether it is too short to say whether it was steady, and says little about its throughput.
    pub is_short: bool,
    /// Passes that were under way, or waited to be sent, when it ended, by their later outcomes; over all repetitions.
    pub at_end: BTreeMap<String, u64>,
    /// The longest time that one of these had waited, in nanoseconds: a lower bound where it is still open.
    pub at_end_longest_ns: u64,
    /// The longest silence in a repetition: no pass was answered as expected although passes were due.
    pub silence_ns: u64,
    /// How long, at the end of an amount, fewer connections were busy than requested: the median.
    pub tail_ns: Option<u64>,
}

/// A metric that a command reported in one phase: the mean over its executions, one value per repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricSummary {
    /// Name of the workload.
    pub workload: String,
    /// Name of the phase.
    pub phase: String,
    /// Name of the metric.
    pub metric: String,
    /// Unit of the metric; empty for plain numbers.
    pub unit: String,
    /// Estimate over the repetitions that have a value.
    pub value: Estimate,
    /// How interesting it is: whether it appears in tables.
    #[serde(skip)]
    pub interest: Interest,
}

/// The highest rate that held, per second, one value per repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SearchSummary {
    /// Name of the workload.
    pub workload: String,
    /// Over the repetitions in which at least the lowest rate held.
    pub rate_per_s: Option<Estimate>,
    /// Repetitions in which not even the lowest rate held.
    pub below_range: u32,
    /// Repetitions in which even the highest rate held.
    pub above_range: u32,
    /// Trials of all repetitions.
    pub trials: usize,
    /// What did not hold: the first reasons.
    pub reasons: Vec<String>,
}

/// The outcomes of the repetitions of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Repetitions {
    /// How many there should be, without those that are too old to be summarized.
    pub planned: u32,
    /// How many of them are valid, and so count in everything else.
    pub valid: u32,
    /// The numbers of those that count.
    pub counted: Vec<u32>,
    /// How many were completed but do not count.
    pub invalid: u32,
    /// How many were not completed.
    pub failed: u32,
    /// How many are so old that only their transfers were kept; they appear nowhere else in a summary.
    #[serde(skip_serializing_if = "is_none_of_them")]
    pub compacted: u32,
    /// Why they do not count: number of the repetition and reason.
    pub reasons: Vec<(u32, String)>,
    /// The numbers of those that were not completed.
    #[serde(skip)]
    pub failures: Vec<u32>,
    /// The message of the first failed request of each kind.
    pub errors: Vec<String>,
    /// Loads that ended early because their rows had run out, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ended_early: Vec<String>,
}

impl Repetitions {
    /// How many of them were never executed.
    pub fn missing(&self) -> u32 {
        self.planned.saturating_sub(self.valid + self.invalid + self.failed)
    }
}

impl Summary {
    /// The factors of which several levels were executed, in the order of the file.
    pub fn varied(&self) -> Vec<&str> {
        self.varied_among(|cell| cell.skipped.is_none())
    }

    /// The factors that have several levels in the selected cells, in the order of the file.
    pub fn varied_among(&self, is_meant: impl Fn(&CellSummary) -> bool) -> Vec<&str> {
        let meant = || self.cells.iter().filter(|cell| is_meant(cell));
        let levels = |factor: &str| meant().filter_map(|cell| cell.levels.get(factor)).collect::<BTreeSet<_>>().len();
        self.factors.iter().map(|(name, _)| name.as_str()).filter(|name| levels(name) > 1).collect()
    }
}

impl StepSummary {
    /// Whether it has a row in tables of cells: a pass as a whole, in a phase that was measured.
    pub fn has_row(&self) -> bool {
        self.step == WHOLE && !matches!(self.phase.as_str(), "warm-up" | "search")
    }

    /// Whether it is one kind of passes of a mix, in a phase that was measured.
    pub fn is_kind(&self) -> bool {
        // Names of steps have no parentheses.
        self.step != WHOLE && self.step.starts_with('(') && !matches!(self.phase.as_str(), "warm-up" | "search")
    }

    /// What was due and not answered as expected: wrong, never sent, open at the end.
    pub fn unanswered(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.unsent + self.open
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn never(times: &u64) -> bool {
    *times == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_none_of_them(number: &u32) -> bool {
    *number == 0
}

/// One step of a workload in one phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepSummary {
    /// Name of the workload.
    pub workload: String,
    /// Name of the phase.
    pub phase: String,
    /// Name of the step; `(pass)` is the pass as a whole.
    pub step: String,
    /// Requests that ended.
    pub requests: u64,
    /// Those that were answered as expected.
    pub ok: u64,
    /// Those with an outcome that the scenario names, by name: neither expected nor errors.
    pub named: BTreeMap<String, u64>,
    /// All others, by kind.
    pub errors: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub sent_bytes: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
    /// Passes of this workload and phase that were offered.
    pub offered: u64,
    /// Those of them that were never sent: they are not in the percentiles below.
    pub unsent: u64,
    /// Requests that had not ended when the load was over; in the percentiles they count with the time that they had waited
    /// by then.
    pub open: u64,
    /// Correct answers per second.
    pub throughput_per_s: Option<Estimate>,
    /// Bytes of request bodies per second.
    pub upload_bytes_per_s: Option<Estimate>,
    /// Bytes of response bodies per second.
    pub download_bytes_per_s: Option<Estimate>,
    /// Completed − sent, of correct answers and of requests that were never answered: for each metric the median over
    /// repetitions.
    pub service_ns: Option<Times>,
    /// Completed − intended, in the same way.
    pub response_ns: Option<Times>,
    /// Sent − intended, in the same way.
    pub lag_ns: Option<Times>,
    /// Time to connect, of requests that had to connect, in the same way.
    pub connect_ns: Option<Times>,
    /// First byte of the answer − sent, in the same way.
    pub first_byte_ns: Option<Times>,
    /// The same times of all repetitions' requests taken together.
    pub all_requests: AllTimes,
    /// Each valid repetition by itself.
    pub by_repetition: Vec<StepRepetition>,
    /// All times of correct answers, merged over all repetitions: for graphs; too much for a file that people read.
    #[serde(skip)]
    pub distributions: super::windows::Distributions,
}

/// Times of requests taken together, whatever repetition they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AllTimes {
    /// Completed − sent.
    pub service_ns: Option<Times>,
    /// Completed − intended.
    pub response_ns: Option<Times>,
    /// Sent − intended.
    pub lag_ns: Option<Times>,
    /// Time to connect, of requests that had to connect.
    pub connect_ns: Option<Times>,
    /// First byte of the answer − sent.
    pub first_byte_ns: Option<Times>,
}

/// One step in one repetition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRepetition {
    /// Number of the repetition.
    pub repetition: u32,
    /// Requests that ended.
    pub requests: u64,
    /// Those that were answered as expected.
    pub ok: u64,
    /// Those with an outcome that the scenario names.
    pub named: u64,
    /// Passes of this workload and phase that were offered.
    pub offered: u64,
    /// Those of them that were never sent.
    pub unsent: u64,
    /// Requests that had not ended when the load was over.
    pub open: u64,
    /// The length of the phase: as planned, or from its first request to its last answer where it had an amount.
    pub seconds: f64,
    /// Correct answers that came in the phase, per second.
    pub throughput_per_s: f64,
    /// Standard deviation (n − 1) of that over the windows that are completely in the phase; none with fewer than two.
    pub throughput_stdev_per_s: Option<f64>,
    /// Bytes of request bodies per second.
    pub upload_bytes_per_s: f64,
    /// Bytes of response bodies per second.
    pub download_bytes_per_s: f64,
    /// Completed − sent.
    pub service_ns: Option<Times>,
    /// Completed − intended.
    pub response_ns: Option<Times>,
    /// Sent − intended.
    pub lag_ns: Option<Times>,
    /// Time to connect, of requests that had to connect.
    pub connect_ns: Option<Times>,
    /// First byte of the answer − sent.
    pub first_byte_ns: Option<Times>,
}

/// One target during the load, summed over its replicas.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetSummary {
    /// Name of the target.
    pub target: String,
    /// How many replicas.
    pub replicas: u32,
    /// Whether it is watched; a target that runs elsewhere is not.
    pub watched: bool,
    /// How often one of them ended under load and was started again, over all valid repetitions.
    #[serde(skip_serializing_if = "is_zero")]
    pub deaths: u32,
    /// From start to ready, for the slowest replica.
    pub start_up_ns: Option<Estimate>,
    /// Largest proportional set size during the load.
    pub pss_bytes: Option<Estimate>,
    /// Largest resident set size during the load.
    pub rss_bytes: Option<Estimate>,
    /// Processor seconds per second.
    pub cpu_cores: Option<Estimate>,
    /// The most threads that were alive at the same time.
    pub threads: Option<Estimate>,
    /// Most open files.
    pub open_files: Option<Estimate>,
    /// Processor time per correct answer.
    pub cpu_per_request_ns: Option<Estimate>,
    /// Context switches per correct answer.
    pub switches_per_request: Option<Estimate>,
    /// Bytes read from and written to storage per correct answer.
    pub io_per_request_bytes: Option<Estimate>,
    /// The same by phase, in order of time. A single phase is the whole load, and is not written a second time.
    #[serde(skip_serializing_if = "is_single")]
    pub phases: Vec<TargetPhase>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde requires it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_single(phases: &[TargetPhase]) -> bool {
    phases.len() <= 1
}

/// One target in one phase, from the earliest start of that phase to its latest end over workloads; summed over its
/// replicas.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetPhase {
    /// Name of the phase.
    pub phase: String,
    /// Largest proportional set size in it.
    pub pss_bytes: Option<Estimate>,
    /// Largest resident set size in it.
    pub rss_bytes: Option<Estimate>,
    /// Processor seconds per second of the phase.
    pub cpu_cores: Option<Estimate>,
    /// The most threads that were alive at the same time.
    pub threads: Option<Estimate>,
    /// Most open files.
    pub open_files: Option<Estimate>,
    /// Processor time per correct answer.
    pub cpu_per_request_ns: Option<Estimate>,
    /// Context switches per correct answer.
    pub switches_per_request: Option<Estimate>,
    /// Bytes read from and written to storage per correct answer.
    pub io_per_request_bytes: Option<Estimate>,
}

/// The load generator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GeneratorSummary {
    /// Its threads' processor seconds per second and thread; near 1 it is the bottleneck.
    pub cpu_share: Estimate,
    /// Requests per second of its processor time.
    pub requests_per_cpu_s: Estimate,
}
