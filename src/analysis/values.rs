//! The values of a cell by name of the metric: what graphs, comparisons and expectations take from a summary.
//!
//! All values are in base units: nanoseconds, bytes, events per second, shares of 1, counts.

use std::collections::BTreeMap;

use super::cells::{Part, value_of};
use super::summary::{CellSummary, Estimate, MetricSummary};
use record::tables::WHOLE;
use vocabulary::{Interest, Metric};

/// Which part of a cell is meant, as far as that is given; the first of several that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Only this workload.
    pub workload: Option<&'a str>,
    /// This phase; when none is given, `during` for metrics of requests, the whole load for metrics of targets.
    pub phase: Option<&'a str>,
    /// This step; the pass as a whole when none is given.
    pub step: Option<&'a str>,
    /// Only this target; the sum of all when none is given.
    pub target: Option<&'a str>,
}

/// A metric of a cell: the number of each valid repetition that has it, and its value.
///
/// Empty when the cell has no such value.
pub fn by_repetition(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Vec<(u32, f64)> {
    if metric.is_resource() {
        return of_targets(cell, metric, selection.target, selection.phase.unwrap_or_default());
    }
    part_of(cell, metric, selection).map_or_else(Vec::new, |part| cell.figures.values(&part, metric.name()).to_vec())
}

/// The part that the figures of a metric of requests belong to; the first of several that fit.
fn part_of(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Option<Part> {
    let mine = |name: &str| selection.workload.is_none_or(|w| w == name);
    let phase = selection.phase.unwrap_or("during");
    match metric {
        Metric::Named(_) => {
            let found = cell.metrics.iter().find(|m| m.metric == metric.name() && m.phase == phase && mine(&m.workload))?;
            Some(Part { workload: found.workload.clone(), phase: found.phase.clone(), ..Part::default() })
        }
        Metric::Limit => {
            let found = cell.limits.iter().find(|l| mine(&l.workload))?;
            Some(Part { workload: found.workload.clone(), ..Part::default() })
        }
        _ => {
            let name = selection.step.unwrap_or(WHOLE);
            let found = cell.steps.iter().find(|s| s.step == name && s.phase == phase && mine(&s.workload))?;
            let (workload, phase, step) = (found.workload.clone(), found.phase.clone(), found.step.clone());
            Some(Part { workload, phase, step, ..Part::default() })
        }
    }
}

/// A metric in one part of a cell divided by the same in another, for each repetition that has both: its number and the
/// ratio.
///
/// # Errors
/// The number of a repetition in which the divisor is 0: without this repetition the others would give a different answer.
pub fn ratios(cell: &CellSummary, metric: &Metric, above: &Selection<'_>, below: &Selection<'_>) -> Result<Vec<(u32, f64)>, u32> {
    let below: BTreeMap<u32, f64> = by_repetition(cell, metric, below).into_iter().collect();
    let ratio = |(number, value): (u32, f64)| {
        let ratio = |base: &f64| if *base == 0.0 { Err(number) } else { Ok((number, value / base)) };
        below.get(&number).map(ratio)
    };
    by_repetition(cell, metric, above).into_iter().filter_map(ratio).collect()
}

/// Names of everything that has metrics in a cell: workloads, and what was collected.
pub fn workloads(cell: &CellSummary) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    let searched = cell.limits.iter().map(|l| l.workload.as_str());
    let brought = cell.metrics.iter().map(|m| m.workload.as_str());
    for name in cell.steps.iter().map(|s| s.workload.as_str()).chain(searched).chain(brought) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whether a metric is what its workload is about, and so more interesting than its passes: not metrics that always exist,
/// and not the shares of outcomes, which are shown with the passes.
pub fn is_own(cell: &CellSummary, metric: &MetricSummary) -> bool {
    let is_outcome = cell.steps.iter().any(|s| s.workload == metric.workload && s.named.contains_key(&metric.metric));
    metric.interest == Interest::Question && !is_outcome
}

/// The values of [`by_repetition`] alone.
pub fn of_cell(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Vec<f64> {
    by_repetition(cell, metric, selection).into_iter().map(|(_, v)| v).collect()
}

/// Whether a workload reports metrics of its own: these matter, and not how long its passes took.
pub fn brings(cell: &CellSummary, workload: &str) -> bool {
    cell.metrics.iter().any(|metric| metric.workload == workload && is_own(cell, metric))
}

/// The estimate that the summary already has of a metric, if it has one: resamples are drawn only once.
pub fn estimate_of(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Option<Estimate> {
    let mine = |name: &str| selection.workload.is_none_or(|w| w == name);
    if selection.target.is_some() {
        return None;
    }
    let phase = selection.phase.unwrap_or("during");
    match metric {
        Metric::Throughput => {
            let step = selection.step.unwrap_or(WHOLE);
            let found = cell.steps.iter().find(|s| s.step == step && s.phase == phase && mine(&s.workload));
            found.and_then(|s| s.throughput_per_s.clone())
        }
        Metric::Named(name) => {
            let found = cell.metrics.iter().find(|m| m.metric == **name && m.phase == phase && mine(&m.workload));
            found.map(|m| m.value.clone())
        }
        Metric::Limit => cell.limits.iter().find(|l| mine(&l.workload)).and_then(|l| l.rate_per_s.clone()),
        // There is no estimate for the sum of several targets.
        Metric::Pss | Metric::Cpu | Metric::StartUp if selection.phase.is_none() => match (cell.targets.as_slice(), metric) {
            ([target], Metric::Pss) => target.pss_bytes.clone(),
            ([target], Metric::Cpu) => target.cpu_cores.clone(),
            ([target], _) => target.start_up_ns.clone(),
            _ => None,
        },
        _ => None,
    }
}

/// A resource of one target or of all together in one phase, or in the whole load where the phase is empty: the number of
/// each repetition in which it is known for all targets that have it at all, and its value.
fn of_targets(cell: &CellSummary, metric: &Metric, target: Option<&str>, phase: &str) -> Vec<(u32, f64)> {
    let part = |name: &str| Part { target: name.to_owned(), phase: phase.to_owned(), ..Part::default() };
    let mine = cell.targets.iter().filter(|t| target.is_none_or(|name| name == t.target));
    let by_target: Vec<&[(u32, f64)]> =
        mine.map(|t| cell.figures.values(&part(&t.target), metric.name())).filter(|values| !values.is_empty()).collect();
    let Some((first, others)) = by_target.split_first() else { return Vec::new() };
    let sum = |(number, value): &(u32, f64)| {
        others.iter().try_fold(*value, |sum, values| Some(sum + value_of(values, *number)?)).map(|sum| (*number, sum))
    };
    first.iter().filter_map(sum).collect()
}

/// The unit of a metric that is not in the catalogue.
pub fn unit_of(cell: &CellSummary, metric: &Metric) -> String {
    cell.metrics.iter().find(|m| m.metric == metric.name()).map_or_else(String::new, |m| m.unit.clone())
}
