//! The values of a cell by name of the metric: what graphs, comparisons and expectations take from a summary.
//!
//! All values are in base units: nanoseconds, bytes, events per second, shares of 1, numbers.

use std::collections::BTreeMap;

use super::summary::{CellSummary, Estimate, MetricSummary, Resources, StepRepetition, TargetSummary, at};
use record::tables::WHOLE;
use vocabulary::{Interest, Metric, Time};

/// Which part of a cell is meant, where that is said; of several that fit the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Only this workload.
    pub workload: Option<&'a str>,
    /// This phase; when there is none, `during` for what belongs to requests, the whole load for what belongs to targets.
    pub phase: Option<&'a str>,
    /// This step; the pass as a whole when there is none.
    pub step: Option<&'a str>,
    /// Only this target; the sum of all when there is none.
    pub target: Option<&'a str>,
}

/// A metric of a cell: the number of each valid repetition that has it, and its value.
///
/// Empty when the cell has no such value.
pub fn by_repetition(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Vec<(u32, f64)> {
    let numbered = |values: &[f64]| -> Vec<(u32, f64)> {
        // Where a repetition has no such value, it is not known which one.
        let all = values.len() == cell.repetitions.counted.len();
        let number = |i: usize| if all { cell.repetitions.counted[i] } else { i as u32 + 1 };
        values.iter().enumerate().map(|(i, v)| (number(i), *v)).collect()
    };
    if metric.is_resource() {
        return match selection.phase {
            None => numbered(&resource(cell, metric, selection.target)),
            Some(phase) => resource_in(cell, metric, selection.target, phase),
        };
    }
    let mine = |name: &str| selection.workload.is_none_or(|w| w == name);
    let phase = selection.phase.unwrap_or("during");
    if let Metric::Named(_) = metric {
        let found = cell.metrics.iter().find(|m| m.metric == metric.name() && m.phase == phase && mine(&m.workload));
        return found.map_or_else(Vec::new, |m| m.repetitions.iter().copied().zip(m.value.values.iter().copied()).collect());
    }
    if *metric == Metric::Limit {
        let found = cell.limits.iter().find(|l| mine(&l.workload)).and_then(|l| l.rate_per_s.as_ref());
        return found.map_or_else(Vec::new, |e| numbered(&e.values));
    }
    let name = selection.step.unwrap_or(WHOLE);
    let Some(step) = cell.steps.iter().find(|s| s.step == name && s.phase == phase && mine(&s.workload)) else {
        return Vec::new();
    };
    step.by_repetition.iter().filter_map(|r| Some((r.repetition, request(r, metric)?))).collect()
}

/// A metric in one part of a cell divided by the same in another, for each repetition that has both: its number and the
/// ratio.
///
/// # Errors
/// The number of a repetition in which the metric is 0 below the line: without it the others would say something else.
pub fn ratios(cell: &CellSummary, metric: &Metric, above: &Selection<'_>, below: &Selection<'_>) -> Result<Vec<(u32, f64)>, u32> {
    let below: BTreeMap<u32, f64> = by_repetition(cell, metric, below).into_iter().collect();
    let ratio = |(number, value): (u32, f64)| {
        let ratio = |base: &f64| if *base == 0.0 { Err(number) } else { Ok((number, value / base)) };
        below.get(&number).map(ratio)
    };
    by_repetition(cell, metric, above).into_iter().filter_map(ratio).collect()
}

/// Names of all that has metrics in a cell: workloads, and what was collected.
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

/// Whether a metric is what its workload is about, and so of more interest than its passes: not what is brought anyway, and
/// not the shares of outcomes, which are told beside the passes.
pub fn is_own(cell: &CellSummary, metric: &MetricSummary) -> bool {
    let is_outcome = cell.steps.iter().any(|s| s.workload == metric.workload && s.named.contains_key(&metric.metric));
    metric.interest == Interest::Question && !is_outcome
}

/// The values of [`by_repetition`] alone.
pub fn of_cell(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Vec<f64> {
    by_repetition(cell, metric, selection).into_iter().map(|(_, v)| v).collect()
}

/// The estimate that the summary has of a metric already, if it has one: what is drawn by chance is drawn once.
pub fn estimate_of(cell: &CellSummary, metric: &Metric, selection: &Selection<'_>) -> Option<Estimate> {
    let mine = |name: &str| selection.workload.is_none_or(|w| w == name);
    if *metric != Metric::Throughput || selection.target.is_some() {
        return None;
    }
    let (step, phase) = (selection.step.unwrap_or(WHOLE), selection.phase.unwrap_or("during"));
    let found = cell.steps.iter().find(|s| s.step == step && s.phase == phase && mine(&s.workload));
    found.and_then(|s| s.throughput_per_s.clone())
}

/// A resource of one target or of all together, one value per valid repetition.
fn resource(cell: &CellSummary, metric: &Metric, target: Option<&str>) -> Vec<f64> {
    let of = |t: &TargetSummary| -> Option<Estimate> {
        match metric {
            Metric::Pss => t.pss_bytes.clone(),
            Metric::Rss => t.rss_bytes.clone(),
            Metric::Cpu => t.cpu_cores.clone(),
            Metric::Threads => t.threads.clone(),
            Metric::OpenFiles => t.open_files.clone(),
            Metric::CpuPerRequest => t.cpu_per_request_ns.clone(),
            Metric::SwitchesPerRequest => t.switches_per_request.clone(),
            Metric::IoPerRequest => t.io_per_request_bytes.clone(),
            _ => t.start_up_ns.clone(),
        }
    };
    let mut sums: Vec<f64> = Vec::new();
    for target in cell.targets.iter().filter(|t| target.is_none_or(|name| name == t.target)) {
        let Some(estimate) = of(target) else { continue };
        if sums.is_empty() {
            sums = estimate.values;
        } else {
            for (sum, value) in sums.iter_mut().zip(&estimate.values) {
                *sum += value;
            }
        }
    }
    sums
}

/// A resource of one target or of all together in one phase: the number of each repetition in which it is known of all
/// targets that have it at all, and its value.
fn resource_in(cell: &CellSummary, metric: &Metric, target: Option<&str>, phase: &str) -> Vec<(u32, f64)> {
    let of = |r: &Resources| match metric {
        Metric::Pss => r.pss_bytes,
        Metric::Rss => r.rss_bytes,
        Metric::Cpu => r.cpu_cores,
        Metric::Threads => r.threads,
        Metric::OpenFiles => r.open_files,
        Metric::CpuPerRequest => r.cpu_per_request_ns,
        Metric::SwitchesPerRequest => r.switches_per_request,
        Metric::IoPerRequest => r.io_per_request_bytes,
        // Getting ready belongs to no phase.
        _ => None,
    };
    let mine = cell.targets.iter().filter(|t| target.is_none_or(|name| name == t.target));
    let phases = mine.filter_map(|t| t.phases.iter().find(|p| p.phase == phase));
    let by_target: Vec<BTreeMap<u32, f64>> = phases
        .map(|p| p.by_repetition.iter().filter_map(|(number, r)| Some((*number, of(r)?))).collect())
        .filter(|values: &BTreeMap<u32, f64>| !values.is_empty())
        .collect();
    let Some((first, others)) = by_target.split_first() else { return Vec::new() };
    let sum = |(number, value): (&u32, &f64)| {
        others.iter().try_fold(*value, |sum, values| Some(sum + values.get(number)?)).map(|sum| (*number, sum))
    };
    first.iter().filter_map(sum).collect()
}

/// A metric of requests in one repetition.
fn request(repetition: &StepRepetition, metric: &Metric) -> Option<f64> {
    let r = repetition;
    let share = |of: u64| Some(of as f64 / (r.requests + r.unsent).max(1) as f64);
    match metric {
        Metric::Throughput => Some(r.throughput_per_s),
        Metric::ThroughputStdev => r.throughput_stdev_per_s,
        Metric::Duration => Some(r.seconds * 1e9),
        // What was asked for and not answered as expected, and its parts.
        Metric::Errors => share(r.requests - r.ok - r.named + r.unsent),
        Metric::Wrong => share(r.requests - r.ok - r.named - r.open),
        Metric::Unsent => share(r.unsent),
        Metric::Open => share(r.open),
        Metric::Offered => Some(r.offered as f64 / r.seconds),
        Metric::Upload => Some(r.upload_bytes_per_s),
        Metric::Download => Some(r.download_bytes_per_s),
        Metric::Time(time, q) => {
            let times = match time {
                Time::Service => r.service_ns,
                Time::Response => r.response_ns,
                Time::Lag => r.lag_ns,
                Time::Connect => r.connect_ns,
                Time::FirstByte => r.first_byte_ns,
            };
            times.map(|t| at(&t, *q))
        }
        _ => None,
    }
}

/// The unit of a metric that is brought.
pub fn unit_of(cell: &CellSummary, metric: &Metric) -> String {
    cell.metrics.iter().find(|m| m.metric == metric.name()).map_or_else(String::new, |m| m.unit.clone())
}
