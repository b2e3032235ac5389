//! Which of two is faster, by how much, and can it be told?
//!
//! Repetitions are the sample. For each cell, workload and metric: the ratio of Hodges and Lehmann (the median of all
//! ratios between a repetition of the one and a repetition of the other) with its 95 % interval, and the p of the
//! Mann-Whitney test, corrected by Holm over all rows of the comparison. Interval and test are two sides of one thing,
//! so they cannot contradict each other, which an interval for the ratio of medians and a rank test could. Both medians
//! stand beside the ratio.
//!
//! The verdict: *faster* (slower, …) when the corrected p is below 0.01 and the interval reaches beyond the threshold, so
//! that the difference may matter; *no difference shown* when the whole interval lies within the threshold, so that a
//! difference that matters is ruled out; *too few repetitions* otherwise. How many more would do is Noether's formula.

#[cfg(test)]
mod calibration;
mod circumstances;
pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use super::expectations::unit_of;
use super::figures::{self, Direction, Part, direction};
use super::summary::{CellSummary, Summary};
use super::{stability, stats};
use crate::record::{Metric, Quantile, RunRecord, Time};

pub use circumstances::differences;

/// Below this corrected p a difference is called one: a false alarm in a hundred comparisons of equal things. With the
/// customary 0.05 it would be one in twenty, and repetitions are cheap.
const SIGNIFICANT: f64 = 0.01;
const LEVEL: f64 = 0.95;
/// How often the recommended number of repetitions should show a difference of the threshold's size.
const POWER: f64 = 0.95;
/// What is compared where nothing is named.
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
    #[error("{0} has no repetition that counts, so there is nothing to compare")]
    Empty(String),
    #[error("the runs have no cell in common")]
    NoCell,
    #[error("there is no factor `{name}` in {run}: expected {known}")]
    Factor { name: String, run: String, known: String },
    #[error("the factor `{factor}` has no level `{level}` in {run}: expected {known}")]
    Level { factor: String, level: String, run: String, known: String },
    #[error("the factor `{factor}` has only the level `{level}` in {run}: there is nothing to compare with")]
    OneLevel { factor: String, level: String, run: String },
    #[error("no cell has the metric `{0}`")]
    Metric(String),
}

/// What is compared with what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Name of the experiment.
    pub experiment: String,
    /// What everything is compared with: a run, or a level of `by`.
    pub baseline: String,
    /// The factor whose levels are compared; none between runs.
    pub by: Option<String>,
    /// A difference that is smaller does not matter, as a share.
    pub threshold: f64,
    /// Over how many rows p was corrected.
    pub corrected_over: usize,
    /// In what the runs differ besides: machine, kernel, programs, plan. Nothing where levels of one run are compared.
    pub differences: Vec<String>,
    /// Factors that differ between rows.
    pub factors: Vec<String>,
    /// Each cell, workload and metric.
    pub rows: Vec<Row>,
    /// What could not be compared, or speaks against independent repetitions.
    pub notes: Vec<String>,
}

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
    /// Its unit, where a command brought it.
    pub unit: String,
    /// Repetitions of the baseline.
    pub baseline_n: usize,
    /// Their median.
    pub baseline_median: f64,
    /// Repetitions of the other.
    pub n: usize,
    /// Their median.
    pub median: f64,
    /// The other over the baseline (Hodges and Lehmann); none where a value is not above 0.
    pub ratio: Option<f64>,
    /// Its 95 % interval; none where there are too few repetitions for one.
    pub ratio_interval: Option<(f64, f64)>,
    /// Mann and Whitney's, two-sided.
    pub p: f64,
    /// The same after Holm's correction.
    pub p_corrected: f64,
    /// What that means.
    pub verdict: Verdict,
    /// With too few repetitions: how many more of each would show a difference of the threshold's size.
    pub more: Option<usize>,
}

/// The verdict of a comparison, seen from the other side than the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Verdict {
    Faster,
    Slower,
    /// Of a resource.
    Less,
    /// Of a resource.
    More,
    /// Of a figure whose meaning is not known.
    Higher,
    /// Of a figure whose meaning is not known.
    Lower,
    NoDifferenceShown,
    TooFewRepetitions,
}

impl Verdict {
    /// In words.
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
        }
    }
}

/// What to compare, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// A difference that is smaller does not matter.
    pub threshold: f64,
    /// Only these metrics.
    pub metrics: Vec<Metric>,
}

/// Compares runs with the first of them.
///
/// # Errors
/// When they are of different experiments or have nothing in common, or one has no valid repetition.
pub fn runs(runs: &[(RunRecord, Summary)], options: &Options) -> Result<Comparison, Error> {
    let ((base, baseline), others) = runs.split_first().expect("the command line asks for at least two");
    usable(baseline)?;
    let mut pairs = Vec::new();
    let mut comparison = Comparison { baseline: baseline.run.clone(), by: None, ..empty(baseline, options) };
    comparison.notes.extend(damaged(baseline));
    for (index, (record, other)) in others.iter().enumerate() {
        if other.experiment != baseline.experiment {
            return Err(Error::Experiments {
                first: baseline.run.clone(),
                one: baseline.experiment.clone(),
                second: other.run.clone(),
                other: other.experiment.clone(),
            });
        }
        if other.run == baseline.run || others[..index].iter().any(|(_, o)| o.run == other.run) {
            return Err(Error::Same(other.run.clone()));
        }
        usable(other)?;
        comparison.notes.extend(damaged(other));
        for difference in differences(base, record) {
            let whose = if others.len() > 1 { format!("{}: ", other.run) } else { String::new() };
            comparison.differences.push(format!("{whose}{difference}"));
        }
        for cell in &baseline.cells {
            match other.cells.iter().find(|c| c.levels == cell.levels) {
                Some(theirs) => pairs.push((cell, theirs, other.run.clone(), cell.levels.clone())),
                None => comparison.notes.push(format!("{} is not in {}", name(cell), other.run)),
            }
        }
        let missing = other.cells.iter().filter(|c| !baseline.cells.iter().any(|b| b.levels == c.levels));
        comparison.notes.extend(missing.map(|c| format!("{} is not in {}", name(c), baseline.run)));
    }
    if pairs.is_empty() {
        return Err(Error::NoCell);
    }
    judge(comparison, &pairs, options)
}

/// Compares the levels of a factor within a run with one of them; with the first one when none is named.
///
/// # Errors
/// When there is no such factor or level, or no valid repetition.
pub fn levels(summary: &Summary, by: &str, baseline: Option<&str>, options: &Options) -> Result<Comparison, Error> {
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
    let mut comparison = Comparison { baseline: base.to_owned(), by: Some(by.to_owned()), ..empty(summary, options) };
    comparison.notes.extend(damaged(summary));
    for cell in summary.cells.iter().filter(|c| c.levels.get(by).is_some_and(|l| l != base)) {
        let rest: BTreeMap<String, String> = others(cell);
        let mine = summary.cells.iter().find(|c| c.levels.get(by).is_some_and(|l| l == base) && others(c) == rest);
        match mine {
            Some(base) => pairs.push((base, cell, cell.levels[by].clone(), rest)),
            None => comparison.notes.push(format!("there is no cell with {by}={base} to compare {} with", name(cell))),
        }
    }
    if pairs.is_empty() {
        return Err(Error::NoCell);
    }
    judge(comparison, &pairs, options)
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
        threshold: options.threshold,
        corrected_over: 0,
        differences: Vec::new(),
        factors: Vec::new(),
        rows: Vec::new(),
        notes: Vec::new(),
    }
}

/// Baseline, other, what the other is called, and the levels that both have.
type Pair<'a> = (&'a CellSummary, &'a CellSummary, String, BTreeMap<String, String>);

fn judge(mut comparison: Comparison, pairs: &[Pair<'_>], options: &Options) -> Result<Comparison, Error> {
    let mut cases = Vec::new();
    for (base, other, side, levels) in pairs {
        let skipped = [base, other].into_iter().find_map(|c| c.skipped.as_ref().map(|reason| (name(c), reason)));
        if let Some((cell, reason)) = skipped {
            comparison.notes.push(format!("{cell} was skipped, because {reason}"));
            continue;
        }
        if let Some(cell) = [base, other].into_iter().find(|c| c.repetitions.valid == 0) {
            comparison.notes.push(format!("{} has no repetition that counts", name(cell)));
            continue;
        }
        for (metric, workload) in figures_of(base, other, &options.metrics) {
            let part = Part { workload: workload.as_deref(), ..Part::default() };
            let (a, b) = (figures::values(base, metric, &part), figures::values(other, metric, &part));
            // What neither has is no loss: a workload that only connects has no response times.
            if a.is_empty() || b.is_empty() {
                if a.is_empty() != b.is_empty() {
                    let which = if a.is_empty() { name(base) } else { name(other) };
                    comparison.notes.push(format!("{which} has no {}", metric.name()));
                }
                continue;
            }
            let row = row(side, levels, workload.unwrap_or_default(), metric, unit_of(base, metric), &a, &b);
            cases.push(Case { row, metric, names: [name(base).to_owned(), name(other).to_owned()], a, b });
        }
    }
    let missing = options.metrics.iter().find(|m| !cases.iter().any(|c| c.metric == **m));
    if cases.is_empty() || missing.is_some() {
        return Err(Error::Metric(missing.map_or("throughput", |m| m.name()).to_owned()));
    }
    notes_on_independence(&mut comparison, &cases, pairs);
    comparison.corrected_over = cases.len();
    comparison.rows = judged(cases, options.threshold);
    let differs = |factor: &&String| {
        let labels: std::collections::BTreeSet<_> = comparison.rows.iter().map(|r| r.levels.get(*factor)).collect();
        labels.len() > 1
    };
    let all: Vec<String> = comparison.rows.first().map(|r| r.levels.keys().cloned().collect()).unwrap_or_default();
    comparison.factors = all.iter().filter(differs).cloned().collect();
    Ok(comparison)
}

/// Notes samples that drift or remember, of all samples so many that chance alone gives one in twenty comparisons: p is
/// too small for these, since their repetitions are not independent.
fn notes_on_independence(comparison: &mut Comparison, cases: &[Case], pairs: &[Pair<'_>]) {
    let level = stability::SIGNIFICANT / (2 * cases.len()) as f64;
    let sides = comparison.by.is_none() && pairs.len() > 1;
    for case in cases {
        for (sample, cell, run) in [(&case.a, &case.names[0], &comparison.baseline), (&case.b, &case.names[1], &case.row.side)] {
            let mut words = Vec::new();
            if let Ok(trend) = stats::kendall(sample)
                && trend.p < level
            {
                let share = stats::theil_sen(sample) * (sample.len() - 1) as f64 / stats::median(sample);
                words.push(format!("drifts, {:+.1} % from first to last round", share * 100.0));
            }
            if let Ok(memory) = stats::lag1(sample)
                && memory.p < level
            {
                words.push(format!("is alike in successive rounds (r {:.2})", memory.r));
            }
            let run = if sides { format!(" in {run}") } else { String::new() };
            let note =
                format!("{} of {cell}{run} {}: its repetitions are not independent", case.metric.name(), words.join(" and "));
            if !words.is_empty() && !comparison.notes.contains(&note) {
                comparison.notes.push(note);
            }
        }
    }
}

/// Corrects p over all cases, and gives each its verdict.
fn judged(cases: Vec<Case>, threshold: f64) -> Vec<Row> {
    let corrected = stats::holm(&cases.iter().map(|c| c.row.p).collect::<Vec<f64>>());
    let count = cases.len();
    let judge = |(mut case, p): (Case, f64)| {
        case.row.p_corrected = p;
        case.row.verdict = case.verdict(threshold);
        if case.row.verdict == Verdict::TooFewRepetitions {
            case.row.more = case.more(threshold, SIGNIFICANT / count as f64);
        }
        case.row
    };
    cases.into_iter().zip(corrected).map(judge).collect()
}

/// The other over the baseline: the ratio of Hodges and Lehmann with its 95 % interval, which has one where there are enough
/// repetitions. None where a value is not above 0.
pub fn ratio(baseline: &[f64], other: &[f64]) -> Option<(f64, Option<(f64, f64)>)> {
    let found = stats::hodges_lehmann_ratio(baseline, other, LEVEL).ok()?;
    Some((found.estimate, found.interval))
}

/// What is compared between two cells: each metric, with its workload where it has one.
fn figures_of(base: &CellSummary, other: &CellSummary, wanted: &[Metric]) -> Vec<(Metric, Option<String>)> {
    let mut found = Vec::new();
    for workload in figures::workloads(base) {
        let brought: Vec<Metric> = base
            .metrics
            .iter()
            .filter(|m| m.workload == workload && m.phase == "during")
            .map(|m| Metric::Command(crate::plan::graphs::Name::new(&m.metric)))
            .collect();
        let own: Vec<Metric> = brought.into_iter().filter(|m| figures::is_own(base, workload, m.name())).collect();
        let searched = [base, other].into_iter().all(|c| c.limits.iter().any(|l| l.workload == workload));
        let metrics: Vec<Metric> = match (wanted.is_empty(), searched, own.is_empty()) {
            (false, ..) => wanted.iter().copied().filter(|m| !m.is_resource()).collect(),
            (true, true, _) => vec![Metric::Limit],
            // What a program measures is of interest, not how long it took.
            (true, false, false) => own,
            (true, false, true) => METRICS.into_iter().filter(|m| !m.is_resource()).collect(),
        };
        found.extend(metrics.into_iter().map(|m| (m, Some(workload.to_owned()))));
    }
    let resources = if wanted.is_empty() { METRICS.to_vec() } else { wanted.to_vec() };
    found.extend(resources.into_iter().filter(|m| m.is_resource()).map(|m| (m, None)));
    found
}

fn row(
    side: &str,
    levels: &BTreeMap<String, String>,
    workload: String,
    metric: Metric,
    unit: String,
    a: &[f64],
    b: &[f64],
) -> Row {
    let ratio = stats::hodges_lehmann_ratio(a, b, LEVEL).ok();
    Row {
        side: side.to_owned(),
        levels: levels.clone(),
        workload,
        metric: metric.name().to_owned(),
        unit,
        baseline_n: a.len(),
        baseline_median: stats::median(a),
        n: b.len(),
        median: stats::median(b),
        ratio: ratio.as_ref().map(|r| r.estimate),
        ratio_interval: ratio.and_then(|r| r.interval),
        p: stats::mann_whitney(a, b).map_or(1.0, |t| t.p),
        p_corrected: 1.0,
        verdict: Verdict::TooFewRepetitions,
        more: None,
    }
}

/// Whether a ratio's whole interval lies where a difference does not matter.
fn within(interval: (f64, f64), threshold: f64) -> bool {
    interval.0 > 1.0 / (1.0 + threshold) && interval.1 < 1.0 + threshold
}

/// Compares two samples of a metric by themselves: a comparison of one row.
pub fn samples(metric: Metric, unit: &str, baseline: &[f64], other: &[f64], threshold: f64) -> Row {
    let row = row("", &BTreeMap::new(), String::new(), metric, unit.to_owned(), baseline, other);
    judged(vec![Case { row, metric, names: Default::default(), a: baseline.to_vec(), b: other.to_vec() }], threshold).remove(0)
}

/// A row with its samples.
struct Case {
    row: Row,
    metric: Metric,
    /// Of the cells.
    names: [String; 2],
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Case {
    fn verdict(&self, threshold: f64) -> Verdict {
        let (row, metric) = (&self.row, self.metric);
        let inside = row.ratio_interval.is_some_and(|interval| within(interval, threshold));
        // Values of 0 on both sides have no ratio and no difference.
        let zeros = || row.n.min(row.baseline_n) > 1 && self.a.iter().chain(&self.b).all(|v| *v == 0.0);
        if inside || zeros() {
            return Verdict::NoDifferenceShown;
        }
        if row.p_corrected >= SIGNIFICANT {
            return Verdict::TooFewRepetitions;
        }
        let rises = row.ratio.map_or(row.median > row.baseline_median, |r| r > 1.0);
        let is_share = matches!(metric, Metric::Errors | Metric::Wrong | Metric::Unsent | Metric::Open);
        match (direction(metric, &row.unit), rises) {
            (Direction::Unknown, true) => Verdict::Higher,
            (Direction::Unknown, false) => Verdict::Lower,
            (_, rises) if is_share || (metric.is_resource() && metric != Metric::StartUp) => {
                if rises {
                    Verdict::More
                } else {
                    Verdict::Less
                }
            }
            (Direction::More, true) | (Direction::Less, false) => Verdict::Faster,
            _ => Verdict::Slower,
        }
    }

    /// How many more repetitions of each would do; none where that cannot be told.
    fn more(&self, threshold: f64, alpha: f64) -> Option<usize> {
        let there = self.a.len().min(self.b.len());
        // Of fewer than three values the spread is not known: as many as any test needs.
        let least = (there + 1..1000).find(|n| stats::smallest_p(*n, *n) < alpha)?;
        let needed = if there < 3 { least } else { stats::repetitions_needed(&self.a, &self.b, threshold, alpha, POWER).ok()? };
        // As many as that are there, and the interval is still too wide: its width shrinks with the root of their number.
        let wide = self.row.ratio_interval.map_or(0.0, |(low, high)| {
            let half = (high - low) / 2.0;
            (there as f64 * (half / threshold) * (half / threshold)).ceil()
        });
        Some(needed.max(wide as usize).saturating_sub(there).max(1))
    }
}
