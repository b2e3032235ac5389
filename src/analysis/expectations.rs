//! Whether what a scenario expects holds: judged by the 95 % interval, never by the point estimate.
//!
//! An expectation holds when the whole interval is on the right side of its bound, and fails when the whole interval is on
//! the wrong side. Otherwise, and where there are too few repetitions for an interval, it is inconclusive.
//!
//! For a metric this is the BCa interval of the median; for a ratio between levels that of `compare`. Phases of one
//! repetition belong together: for a ratio between phases it is again the BCa interval of the median, of the ratio within
//! each repetition.

use serde::Serialize;

use super::compare::{self, Rounds};
use super::estimate::estimate;
use super::summary::CellSummary;
use super::values::{self, Selection, unit_of};
use record::{Expectation, Subject};
use vocabulary::Metric;
use vocabulary::metric::{NOT_RECOVERED, RECOVERY};

/// With fewer repetitions, an interval from resamples says little: 3 values have only 10 different resamples.
pub const FEWEST: usize = 5;

/// Whether an expectation holds in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The expectation's name.
    pub expectation: String,
    /// The cell; for a ratio, the one in the numerator.
    pub cell: String,
    /// Whether it holds, does not hold, or is inconclusive.
    pub outcome: Outcome,
    /// The measured value: the median, or the ratio.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// The finding in words, with the bound.
    pub words: String,
}

/// The result of an expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The measurement shows that it holds.
    Pass,
    /// The cell was not executed on this machine.
    Skipped,
    /// Neither is certain.
    Inconclusive,
    /// It does not hold.
    Fail,
}

impl Outcome {
    /// The word for reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

/// Judges every cell that each expectation applies to. `rounds`: how repetitions belong together.
pub fn judge(expectations: &[Expectation], cells: &[CellSummary], rounds: &Rounds) -> Vec<Finding> {
    let mut findings = Vec::new();
    for expectation in expectations {
        let before = findings.len();
        for cell in cells.iter().filter(|c| fits(c, expectation)) {
            match &expectation.subject {
                Subject::Metric(metric) => findings.push(of_metric(expectation, metric, cell)),
                Subject::Ratio { metric, factor, level, over } => {
                    if cell.levels.get(factor) == Some(level) {
                        findings.push(of_ratio(expectation, metric, cell, other(cells, cell, factor, over), (over, rounds)));
                    }
                }
                Subject::Phases { metric, over } => findings.push(of_phases(expectation, metric, cell, over)),
            }
        }
        if findings.len() == before {
            findings.push(Finding {
                outcome: Outcome::Skipped,
                words: "this run has none of the cells that it applies to".to_owned(),
                ..empty(expectation, "")
            });
        }
    }
    findings
}

fn fits(cell: &CellSummary, expectation: &Expectation) -> bool {
    // Where a fault does not exist, nothing is expected of it.
    let is_about_faults =
        matches!(&expectation.subject, Subject::Metric(metric) if [RECOVERY, NOT_RECOVERED].contains(&metric.name()));
    let has_it = || expectation.workload.as_ref().map_or(!cell.faults.is_empty(), |name| cell.faults.contains(name));
    if is_about_faults && cell.skipped.is_none() && !has_it() {
        return false;
    }
    expectation.only.iter().all(|(factor, labels)| cell.levels.get(factor).is_some_and(|l| labels.contains(l)))
}

/// The cell that differs only in one factor.
fn other<'c>(cells: &'c [CellSummary], cell: &CellSummary, factor: &str, over: &str) -> Option<&'c CellSummary> {
    cells.iter().find(|c| {
        c.levels.get(factor).is_some_and(|l| l == over)
            && c.levels.iter().filter(|(f, _)| *f != factor).eq(cell.levels.iter().filter(|(f, _)| *f != factor))
    })
}

fn empty(expectation: &Expectation, cell: &str) -> Finding {
    Finding {
        expectation: expectation.name.clone(),
        cell: cell.to_owned(),
        outcome: Outcome::Inconclusive,
        value: None,
        interval: None,
        words: String::new(),
    }
}

fn part(expectation: &Expectation) -> Selection<'_> {
    Selection {
        workload: expectation.workload.as_deref(),
        phase: Some(expectation.phase.as_str()).filter(|_| expectation.phase_is_said || !expectation.subject.is_resource()),
        step: expectation.step.as_deref(),
        target: expectation.target.as_deref(),
    }
}

/// Why a cell cannot be judged at all.
fn unusable(cell: &CellSummary, values: &[f64]) -> Option<(Outcome, String)> {
    if let Some(reason) = &cell.skipped {
        return Some((Outcome::Skipped, format!("not executed: {reason}")));
    }
    if cell.repetitions.valid == 0 {
        return Some((Outcome::Inconclusive, "no valid repetition".to_owned()));
    }
    if values.is_empty() {
        return Some((Outcome::Inconclusive, "this cell has no such figure".to_owned()));
    }
    None
}

fn of_metric(expectation: &Expectation, metric: &Metric, cell: &CellSummary) -> Finding {
    let unit = unit_of(cell, metric);
    let values = values::of_cell(cell, metric, &part(expectation));
    if let Some((outcome, mut words)) = unusable(cell, &values) {
        let kind = expectation.step.as_deref().and_then(|step| step.strip_prefix('(')?.strip_suffix(')'));
        if let Some(kind) = kind.filter(|_| cell.skipped.is_none() && cell.repetitions.valid > 0) {
            words = format!("no pass of this cell was of the kind `{kind}`");
        }
        return Finding { outcome, words, ..empty(expectation, &cell.cell) };
    }
    let known = values::estimate_of(cell, metric, &part(expectation));
    let Some(estimate) = known.or_else(|| estimate(&values)) else { return empty(expectation, &cell.cell) };
    let say = |v: f64| metric.human(&unit, v);
    if values.len() < FEWEST {
        let words = format!("median {}, but {}", say(estimate.median), too_few(values.len()));
        return Finding { value: Some(estimate.median), words, ..empty(expectation, &cell.cell) };
    }
    if let Some(words) = not_recovered(expectation, metric, cell) {
        return Finding { outcome: Outcome::Fail, value: Some(estimate.median), words, ..empty(expectation, &cell.cell) };
    }
    let unit = if matches!(metric, Metric::Named(_)) { unit.as_str() } else { "" };
    bounded(expectation, &cell.cell, estimate.median, estimate.median_interval, ("median", unit), &say)
}

/// A lower bound is below nothing: a recovery time with repetitions that had not recovered cannot be below a bound.
fn not_recovered(expectation: &Expectation, metric: &Metric, cell: &CellSummary) -> Option<String> {
    if metric.name() != RECOVERY || expectation.below.is_none() {
        return None;
    }
    let shares = values::of_cell(cell, &Metric::named(NOT_RECOVERED), &part(expectation));
    let count = shares.iter().filter(|share| **share > 0.0).count();
    (count > 0).then(|| {
        format!(
            "in {count} of {} repetitions the load had not recovered when it ended, or when the next fault began",
            shares.len()
        )
    })
}

fn of_ratio(
    expectation: &Expectation,
    metric: &Metric,
    cell: &CellSummary,
    over: Option<&CellSummary>,
    (level, rounds): (&str, &Rounds),
) -> Finding {
    let Some(over) = over else {
        let words = format!("this run has no cell with `{level}` to compare with");
        return Finding { outcome: Outcome::Skipped, words, ..empty(expectation, &cell.cell) };
    };
    let (above, below) = (values::of_cell(cell, metric, &part(expectation)), values::of_cell(over, metric, &part(expectation)));
    for (cell_of, values) in [(cell, &above), (over, &below)] {
        if let Some((outcome, words)) = unusable(cell_of, values) {
            return Finding { outcome, words: format!("{}: {words}", cell_of.cell), ..empty(expectation, &cell.cell) };
        }
    }
    let few = above.len().min(below.len()) < FEWEST;
    let numbered = |cell: &CellSummary| values::by_repetition(cell, metric, &part(expectation));
    match compare::ratio(&numbered(over), &numbered(cell), rounds) {
        Some((ratio, Some(interval))) if !few => {
            bounded(expectation, &cell.cell, ratio, Some(interval), ("ratio", ""), &vocabulary::units::significant)
        }
        Some((ratio, _)) => {
            let words = format!(
                "ratio {}, but {} and {} repetitions are too few for an interval",
                vocabulary::units::significant(ratio),
                above.len(),
                below.len()
            );
            Finding { value: Some(ratio), words, ..empty(expectation, &cell.cell) }
        }
        None => {
            let words = "a value is not above 0: there is no ratio".to_owned();
            Finding { words, ..empty(expectation, &cell.cell) }
        }
    }
}

/// A metric in one phase over that in another, repetition by repetition.
fn of_phases(expectation: &Expectation, metric: &Metric, cell: &CellSummary, over: &str) -> Finding {
    let above = part(expectation);
    let below = Selection { phase: Some(over), ..above };
    for part in [&above, &below] {
        if let Some((outcome, words)) = unusable(cell, &values::of_cell(cell, metric, part)) {
            let phase = part.phase.unwrap_or_default();
            let words = if outcome == Outcome::Skipped { words } else { format!("{phase}: {words}") };
            return Finding { outcome, words, ..empty(expectation, &cell.cell) };
        }
    }
    let ratios = match values::ratios(cell, metric, &above, &below) {
        Ok(ratios) => ratios.into_iter().map(|(_, ratio)| ratio).collect::<Vec<f64>>(),
        Err(repetition) => {
            let words = format!("{over}: it is 0 in repetition {repetition}, so there is no ratio");
            return Finding { words, ..empty(expectation, &cell.cell) };
        }
    };
    let Some(estimate) = estimate(&ratios) else {
        let words = "no repetition has both phases".to_owned();
        return Finding { words, ..empty(expectation, &cell.cell) };
    };
    let say = vocabulary::units::significant;
    if ratios.len() < FEWEST {
        let words = format!("ratio {}, but {}", say(estimate.median), too_few(ratios.len()));
        return Finding { value: Some(estimate.median), words, ..empty(expectation, &cell.cell) };
    }
    bounded(expectation, &cell.cell, estimate.median, estimate.median_interval, ("ratio", ""), &say)
}

fn too_few(repetitions: usize) -> String {
    let is = if repetitions == 1 { "repetition is" } else { "repetitions are" };
    format!("{repetitions} {is} too few for an interval: expected at least {FEWEST}")
}

/// Judges an interval by the bounds. `what`: the name of the value, and the unit in which its bounds are given if they have
/// none.
fn bounded(
    expectation: &Expectation,
    cell: &str,
    value: f64,
    interval: Option<(f64, f64)>,
    (what, unit): (&str, &str),
    say: &dyn Fn(f64) -> String,
) -> Finding {
    let (low, high) = interval.unwrap_or((value, value));
    let above = expectation.above.as_ref().map(|bound| (low > bound.value, high <= bound.value));
    let below = expectation.below.as_ref().map(|bound| (high < bound.value, low >= bound.value));
    let bounds: Vec<(bool, bool)> = above.into_iter().chain(below).collect();
    let outcome = if bounds.iter().any(|(_, fails)| *fails) {
        Outcome::Fail
    } else if bounds.iter().all(|(holds, _)| *holds) {
        Outcome::Pass
    } else {
        Outcome::Inconclusive
    };
    let mut words = format!("{what} {} (95 %: {} to {})", say(value), say(low), say(high));
    for (word, bound) in [("above", &expectation.above), ("below", &expectation.below)] {
        if let Some(bound) = bound {
            // A bound may have been typed with its unit.
            let has_unit = bound.typed.ends_with(|c: char| c.is_alphabetic() || c == '%');
            let unit = if unit.is_empty() || has_unit { String::new() } else { format!(" {unit}") };
            words += &format!(", expected {word} {}{unit}", bound.typed);
        }
    }
    Finding { outcome, value: Some(value), interval, words, ..empty(expectation, cell) }
}
