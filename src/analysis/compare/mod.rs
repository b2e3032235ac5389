//! Which of two is faster, by how much, and is the difference significant?
//!
//! Repetitions are the sample. For each cell, workload and metric: the ratio of Hodges and Lehmann (the median of all ratios
//! between a repetition of one side and a repetition of the other) with its 95 % interval, and the p of a combined test:
//! Welch's on logarithms and ranks, within a run of rounds also the pairs of each round (`stats::compare_two`). Interval and
//! test are two views of the same thing, so they cannot contradict each other. Both medians are shown next to the ratio,
//! which need not be equal to their ratio.
//!
//! Many rows: the primary metric of each comparison is tested first and shares the level only with the other primaries; the
//! other metrics of a comparison are tested only where its primary is significant (`stats::gate`).
//!
//! Runs made at different times are sessions, and sessions differ even when nothing changed: two single runs prove nothing
//! without the floor of the machine, see `sessions`.
//!
//! The verdict: *faster* (slower, …) when the corrected p is below 0.01 and one end of the interval lies beyond the threshold, so
//! that the difference may matter; *no difference shown* when the whole interval is within the threshold, so that a
//! difference that matters is ruled out; *too few repetitions* otherwise, with how many more would be enough.

#[cfg(test)]
mod calibration;
mod case;
mod circumstances;
mod judge;
mod sessions;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use super::summary::{CellSummary, Summary};
use record::RunRecord;
use vocabulary::{Better, Metric, Quantile, Time};

pub use circumstances::differences;
use judge::{Pair, judge};
pub use judge::{Rounds, decided, ratio, samples};

/// A difference is significant if its corrected p is below this: one false alarm in a hundred comparisons of equal things.
/// With the customary 0.05 it would be one in twenty, and repetitions are cheap.
pub const SIGNIFICANT: f64 = 0.01;
const LEVEL: f64 = 0.95;
/// The probability with which the recommended number of repetitions should show a difference as large as the threshold.
const POWER: f64 = 0.95;
/// By default, a difference within ± this share does not matter.
pub const THRESHOLD: f64 = 0.05;
/// With fewer repetitions of each, no difference is significant: two values say nothing about their spread.
pub const FEWEST: usize = 3;
/// The metrics that are compared if none is named.
const METRICS: [Metric; 4] =
    [Metric::Throughput, Metric::Time(Time::Response, Quantile::P50), Metric::Time(Time::Response, Quantile::P99), Metric::Pss];

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("{first} is a run of `{one}` and {second} one of `{other}`: runs of different experiments cannot be compared")]
    Experiments { first: String, one: String, second: String, other: String },
    #[error("{0} is given twice: a run does not differ from itself")]
    Same(String),
    #[error(
        "{0} has no repetition that counts, so there is nothing to compare; a folder means its newest run: name an older one, such as `results/NAME/RUN`"
    )]
    Empty(String),
    #[error("the runs have no cell in common")]
    NoCell,
    #[error("there is no factor `{name}` in {run}: expected {known}")]
    Factor { name: String, run: String, known: String },
    #[error("the factor `{factor}` has no level `{level}` in {run}: expected {known}")]
    Level { factor: String, level: String, run: String, known: String },
    #[error("the factor `{factor}` has only the level `{level}` in {run}: there is nothing to compare it with")]
    OneLevel { factor: String, level: String, run: String },
    #[error("no cell has a step `{name}`: expected {known}")]
    Step { name: String, known: String },
    #[error("no cell has the metric `{0}`")]
    Metric(String),
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the experiment.
    pub experiment: String,
    /// What everything else is compared with: a run, or a level of `by`.
    pub baseline: String,
    /// The factor whose levels are compared; none between runs.
    pub by: Option<String>,
    /// The step, or kind of passes, whose throughput and times are compared; none: passes as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// A smaller difference does not matter; a share.
    pub threshold: f64,
    /// Over how many comparisons p was corrected: one primary metric each, with the other metrics tested after it.
    pub corrected_over: usize,
    /// How many sessions of the baseline measured the floor of this machine. None within a run.
    pub floor_sessions: Option<usize>,
    /// How the circumstances of the runs differ: machine, kernel, programs, plan. Empty if levels of one run are
    /// compared.
    pub differences: Vec<String>,
    /// The nodes within which the levels are compared; empty for a run that was executed as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Factors that differ between rows.
    pub factors: Vec<String>,
    /// Each cell, workload and metric.
    pub rows: Vec<Row>,
    /// What could not be compared, or contradicts independent repetitions.
    pub notes: Vec<String>,
    /// What should have been compared and is missing: a check that ignored it would pass.
    pub missing: Vec<String>,
}

/// The rounds after which `repeat --until` gives up, unless it is told otherwise.
pub const MOST_ROUNDS: u32 = 100;

/// One comparison of two samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What is compared with the baseline: a run, or a level.
    pub side: String,
    /// Levels of the cell; without the factor whose levels are compared.
    pub levels: BTreeMap<String, String>,
    /// Name of the workload; empty for what belongs to targets.
    pub workload: String,
    /// Name of the metric.
    pub metric: String,
    /// Its unit, if a command reported it.
    pub unit: String,
    /// Whether it is the primary metric: the others are tested only where it is significant.
    pub primary: bool,
    /// Whether it was tested: it is the primary metric, or that is significant. The corrected p of a metric that was not
    /// tested is at least that of its primary.
    pub asked: bool,
    /// Repetitions of the baseline.
    pub baseline_n: usize,
    /// Median of the baseline over its repetitions.
    pub baseline_median: f64,
    /// Repetitions of the other.
    pub n: usize,
    /// Median of the other over its repetitions.
    pub median: f64,
    /// Number of pairs from the same round.
    pub pairs: usize,
    /// Between runs: the numbers of sessions of the baseline and of the other.
    pub sessions: Option<(usize, usize)>,
    /// The other over the baseline: Hodges and Lehmann's ratio within a run, the ratio of geometric means between sessions;
    /// none if a value is not above 0.
    pub ratio: Option<f64>,
    /// Its 95 % interval; none if there are too few repetitions for one.
    pub ratio_interval: Option<(f64, f64)>,
    /// The p of the combined test, two-sided; none between single sessions, which prove nothing.
    pub p: Option<f64>,
    /// The ratio within each node, in the order of [`Comparison::nodes`]; none where a node lacks values of one side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_node: Vec<Option<f64>>,
    /// The same after correction.
    pub p_corrected: Option<f64>,
    /// Whether the verdict depends on the shape of the distribution: ranks alone cannot reach such a p with so few
    /// repetitions.
    pub rests_on_shape: bool,
    /// The conclusion from the numbers above.
    pub verdict: Verdict,
    /// With too few repetitions: how many more of each would show a difference as large as the one observed.
    pub more_for_seen: Option<usize>,
    /// The same for a difference as large as the threshold.
    pub more_for_threshold: Option<usize>,
}

impl Row {
    /// How many repetitions of each side would decide it, if that is known: with too few repetitions.
    pub fn needed(&self) -> Option<usize> {
        let more = self.more_for_seen.into_iter().chain(self.more_for_threshold).min()?;
        Some(self.n.min(self.baseline_n) + more)
    }
}

/// The verdict of a comparison, from the point of view of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Verdict {
    Faster,
    Slower,
    /// Less of a resource is used, which is neither better nor worse by itself.
    Less,
    /// More of a resource is used.
    More,
    /// A metric whose meaning is unknown is higher.
    Higher,
    /// A metric whose meaning is unknown is lower.
    Lower,
    NoDifferenceShown,
    TooFewRepetitions,
    /// One session of each, and no floor: a change cannot be distinguished from a difference between days.
    CannotTell,
    /// It differs if tested alone, but the primary metric, which has to be significant first, does not.
    BehindPrimary,
}

impl Verdict {
    /// The verdict on a significant difference. `unit`: that of a metric that a command reported; `rises`: whether the other
    /// side is higher.
    pub fn of_difference(metric: &Metric, unit: &str, rises: bool) -> Self {
        match (metric.better(unit), rises) {
            (Better::Unknown, true) => Self::Higher,
            (Better::Unknown, false) => Self::Lower,
            (_, true) if metric.is_amount() => Self::More,
            (_, false) if metric.is_amount() => Self::Less,
            (Better::More, true) | (Better::Less, false) => Self::Faster,
            (Better::More, false) | (Better::Less, true) => Self::Slower,
        }
    }

    /// The verdict as shown in reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Less => "less",
            Self::More => "more",
            Self::Higher => "higher",
            Self::Lower => "lower",
            Self::NoDifferenceShown => "no difference shown",
            Self::TooFewRepetitions => "too few repetitions",
            Self::CannotTell => "not decidable from one session each",
            Self::BehindPrimary => "primary metric not significant",
        }
    }
}

/// What to compare, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// A smaller difference does not matter.
    pub threshold: f64,
    /// Only these metrics.
    pub metrics: Vec<Metric>,
    /// The primary metric; else the scenario's, or what each workload is mainly about where the scenario names none.
    pub primary: Option<Metric>,
    /// Throughput and times of this step or kind of passes, instead of those of passes as a whole.
    pub step: Option<String>,
}

impl Options {
    /// The usual metrics, where a difference within ± `threshold`, a share, does not matter.
    pub fn usual(threshold: f64) -> Self {
        Self { threshold, metrics: Vec::new(), primary: None, step: None }
    }

    /// What has to be read of a run to compare it: what is named, or else what is compared by default.
    pub fn needs(&self, run: &RunRecord) -> Vec<Metric> {
        let asked = if self.metrics.is_empty() { METRICS.as_slice() } else { &self.metrics };
        asked.iter().chain(&self.primary).chain(&run.plan.primary).cloned().collect()
    }
}

/// A run as it was read, at least as far as [`Options::needs`] requires.
pub type ReadRun = (RunRecord, Summary);

/// Compares sessions with those of the first side. `sides`: at least one run each; `floor`: other runs of the same
/// experiment that were made to measure how much sessions differ.
///
/// # Errors
/// When they are of different experiments or have nothing in common, or one has no valid repetition.
pub fn runs(sides: &[Vec<ReadRun>], floor: &[ReadRun], options: &Options) -> Result<Comparison, Error> {
    let (baseline, others) = sides.split_first().expect("the command line asks for at least two");
    let (base, first) = &baseline[0];
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut comparison = Comparison { baseline: side_name(baseline), by: None, ..empty(first, options) };
    let mut seen: Vec<&str> = Vec::new();
    for (record, summary) in sides.iter().flatten() {
        if summary.experiment != first.experiment {
            return Err(Error::Experiments {
                first: first.run.clone(),
                one: first.experiment.clone(),
                second: summary.run.clone(),
                other: summary.experiment.clone(),
            });
        }
        if seen.contains(&summary.run.as_str()) {
            return Err(Error::Same(summary.run.clone()));
        }
        seen.push(&summary.run);
        usable(summary)?;
        comparison.notes.extend(damaged(summary));
        for difference in differences(base, record) {
            let whose = if sides.iter().map(Vec::len).sum::<usize>() > 2 { format!("{}: ", summary.run) } else { String::new() };
            comparison.differences.push(format!("{whose}{difference}"));
        }
    }
    let primary = options.primary.clone().or_else(|| base.plan.primary.clone());
    let floor: Vec<&ReadRun> = floor.iter().filter(|(_, s)| !seen.contains(&s.run.as_str())).collect();
    let floor = floor.into_iter().map(|(_, s)| s).collect();
    let floor = sessions::usable_floor(first, floor, &mut comparison.notes);
    comparison.floor_sessions = Some(floor.len());
    // Sessions are compared as wholes.
    let rounds = Rounds::default();
    for other in others {
        let side = side_name(other);
        let summaries = baseline.iter().chain(other).map(|(_, summary)| summary);
        let mut cells: Vec<&CellSummary> = Vec::new();
        for cell in summaries.clone().flat_map(|s| &s.cells) {
            if !cells.iter().any(|c| c.levels == cell.levels) {
                cells.push(cell);
            }
        }
        for cell in cells {
            let of = |summary: &'_ Summary| summary.cells.iter().position(|c| c.levels == cell.levels);
            let lacking: Vec<String> =
                summaries.clone().filter(|s| of(s).is_none()).map(|s| format!("{} is not in {}", name(cell), s.run)).collect();
            if !lacking.is_empty() {
                comparison.notes.extend(lacking.iter().cloned());
                comparison.missing.extend(lacking);
                continue;
            }
            let base: Vec<&CellSummary> = baseline.iter().filter_map(|(_, s)| Some(&s.cells[of(s)?])).collect();
            let theirs: Vec<&CellSummary> = other.iter().filter_map(|(_, s)| Some(&s.cells[of(s)?])).collect();
            let floor: Vec<&CellSummary> = floor.iter().filter_map(|s| Some(&s.cells[of(s)?])).collect();
            pairs.push(Pair { base, other: theirs, floor, side: side.clone(), levels: cell.levels.clone(), rounds: &rounds });
        }
    }
    if pairs.is_empty() {
        return Err(Error::NoCell);
    }
    judge(comparison, &pairs, options, primary)
}

/// The name of several sessions of the same thing.
fn side_name(side: &[ReadRun]) -> String {
    let first = &side[0].1.run;
    if side.len() == 1 { first.clone() } else { format!("{first} and {} more", side.len() - 1) }
}

/// Compares the levels of a factor within a run with one of them; with the first one where none is named.
///
/// # Errors
/// When the factor or the level does not exist, or there is no valid repetition.
pub fn levels((record, summary): &ReadRun, by: &str, baseline: Option<&str>, options: &Options) -> Result<Comparison, Error> {
    usable(summary)?;
    let known = |names: &mut dyn Iterator<Item = &String>| names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let Some((_, labels)) = summary.factors.iter().find(|(name, _)| name == by) else {
        let names = known(&mut summary.factors.iter().map(|(n, _)| n));
        let names = if names.is_empty() { "none, this experiment has no factors".to_owned() } else { names };
        return Err(Error::Factor { name: by.to_owned(), run: summary.run.clone(), known: names });
    };
    let base = baseline.unwrap_or_else(|| labels.first().map_or("", String::as_str));
    if !labels.iter().any(|l| l == base) {
        let known = known(&mut labels.iter());
        return Err(Error::Level { factor: by.to_owned(), level: base.to_owned(), run: summary.run.clone(), known });
    }
    if labels.len() == 1 {
        return Err(Error::OneLevel { factor: by.to_owned(), level: base.to_owned(), run: summary.run.clone() });
    }
    let others = |c: &CellSummary| c.levels.iter().filter(|(f, _)| *f != by).map(|(f, l)| (f.clone(), l.clone())).collect();
    let mut pairs = Vec::new();
    let rounds = Rounds::of(record);
    let mut comparison = Comparison { baseline: base.to_owned(), by: Some(by.to_owned()), ..empty(summary, options) };
    comparison.nodes = record.nodes().into_iter().map(str::to_owned).collect();
    comparison.notes.extend(damaged(summary));
    for cell in summary.cells.iter().filter(|c| c.levels.get(by).is_some_and(|l| l != base)) {
        let rest: BTreeMap<String, String> = others(cell);
        let mine = summary.cells.iter().find(|c| c.levels.get(by).is_some_and(|l| l == base) && others(c) == rest);
        match mine {
            Some(base) => pairs.push(Pair {
                base: vec![base],
                other: vec![cell],
                floor: Vec::new(),
                side: cell.levels[by].clone(),
                levels: rest,
                rounds: &rounds,
            }),
            None => {
                let words = format!("there is no cell with {by}={base} to compare {} with", name(cell));
                comparison.notes.push(words.clone());
                comparison.missing.push(words);
            }
        }
    }
    if pairs.is_empty() {
        return Err(Error::NoCell);
    }
    if !record.plan.is_in_rounds() {
        comparison.notes.push(
            "the levels were measured one after the other: changes over time cannot be separated from the difference between levels; \
             `order: interleaved` avoids that"
                .to_owned(),
        );
    }
    let primary = options.primary.clone().or_else(|| record.plan.primary.clone());
    judge(comparison, &pairs, options, primary)
}

fn name(cell: &CellSummary) -> &str {
    if cell.cell.is_empty() { "the only cell" } else { &cell.cell }
}

/// What could not be read of a run.
fn damaged(summary: &Summary) -> impl Iterator<Item = String> + '_ {
    summary.damaged.iter().map(|what| format!("DAMAGED, and left out: {what}"))
}

fn usable(summary: &Summary) -> Result<(), Error> {
    if summary.cells.iter().all(|c| c.repetitions.valid == 0) { Err(Error::Empty(summary.run.clone())) } else { Ok(()) }
}

fn empty(summary: &Summary, options: &Options) -> Comparison {
    Comparison {
        experiment: summary.experiment.clone(),
        baseline: String::new(),
        by: None,
        step: None,
        threshold: options.threshold,
        corrected_over: 0,
        floor_sessions: None,
        differences: Vec::new(),
        nodes: Vec::new(),
        factors: Vec::new(),
        rows: Vec::new(),
        notes: Vec::new(),
        missing: Vec::new(),
    }
}
