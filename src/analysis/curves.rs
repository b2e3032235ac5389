//! What graphs need beyond the summary: values over time and whole distributions.

use hdrhistogram::Histogram;

use super::tables::{self, StepKey, wide_histogram};
use super::{Error, summarize};
use crate::record::{Metric, Repetition, RunRecord, Time};

/// Points of one repetition: seconds since the begin of the load, value.
pub type Line = Vec<(f64, f64)>;

/// Samples of replicas that lie closer together than this belong to one instant.
const SAME_INSTANT_NS: i64 = 20_000_000;

/// A resource of a target over the time of a repetition, summed over its replicas.
///
/// Points lie where samples were taken; between them a replica has its last value. `cpu` is what was used from one
/// sample to the next, in processors, drawn as a step.
///
/// # Errors
/// When the table is missing or damaged.
pub fn resource(repetition: &Repetition, target: &str, metric: Metric) -> Result<Line, Error> {
    let rows = tables::resources(repetition)?;
    let mine: Vec<_> = rows.iter().filter(|((name, _), _)| name == target).map(|(_, rows)| rows).collect();
    let mut instants: Vec<i64> = mine.iter().flat_map(|r| r.at_ns.iter().copied()).collect();
    instants.sort_unstable();
    // The last sample of each cluster: by then every replica was read.
    let mut grid: Vec<i64> = Vec::new();
    for at in instants {
        match grid.last_mut() {
            Some(last) if at - *last < SAME_INSTANT_NS => *last = at,
            _ => grid.push(at),
        }
    }
    let at = |column: &dyn Fn(&tables::ReplicaRows, usize) -> Option<u64>, ns: i64| -> Option<f64> {
        let values: Option<Vec<u64>> = mine
            .iter()
            .map(|rows| {
                let end = rows.at_ns.partition_point(|t| *t <= ns);
                (0..end).rev().find_map(|i| column(rows, i))
            })
            .collect();
        values.map(|v| v.iter().sum::<u64>() as f64)
    };
    let seconds = |ns: i64| ns as f64 / 1e9;
    if metric == Metric::Cpu {
        let used = |from: i64, to: i64| mine.iter().map(|r| r.cpu_at(to) - r.cpu_at(from)).sum::<f64>() / (to - from) as f64;
        return Ok(grid.windows(2).flat_map(|w| [w[0], w[1]].map(|ns| (seconds(ns), used(w[0], w[1])))).collect());
    }
    let value = |ns: i64| match metric {
        Metric::Pss => at(&|r, i| r.pss_bytes[i], ns),
        Metric::Rss => at(&|r, i| Some(r.rss_bytes[i]), ns),
        Metric::Threads => at(&|r, i| Some(r.threads[i]), ns),
        Metric::OpenFiles => at(&|r, i| Some(r.open_files[i]), ns),
        _ => None,
    };
    Ok(grid.iter().filter_map(|ns| Some((seconds(*ns), value(*ns)?))).collect())
}

/// A figure of a step over the windows of a repetition.
///
/// # Errors
/// When the table is missing or damaged.
pub fn windows(
    repetition: &Repetition,
    workload: Option<&str>,
    step: &str,
    metric: Metric,
    window_s: f64,
) -> Result<Line, Error> {
    use hdrhistogram::serialization::Deserializer;
    use std::collections::BTreeMap;
    let path = repetition.path.join("windows.parquet");
    let frame = crate::record::tables::read(&path)?;
    let table = |source| Error::Table { path: path.clone(), source };
    let text = |name: &str| frame.column(name).and_then(|c| c.str().cloned()).map_err(table);
    let number = |name: &str| frame.column(name).and_then(|c| c.u64().cloned()).map_err(table);
    let (workloads, steps, outcomes) = (text("workload")?, text("step")?, text("outcome")?);
    let (starts, counts) = (number("window_start_ns")?, number("requests")?);
    let times = match metric {
        Metric::Time(time, _) => format!("{}_ns_hdr", time.name()),
        _ => "response_ns_hdr".to_owned(),
    };
    let times = times.as_str();
    let bytes = match metric {
        Metric::Upload => number("sent_bytes")?,
        _ => number("received_bytes")?,
    };
    let histograms = frame.column(times).and_then(|c| c.binary().cloned()).map_err(table)?;
    let mut sums: BTreeMap<u64, (u64, u64, Histogram<u64>, u64)> = BTreeMap::new();
    let mut decoder = Deserializer::new();
    for row in 0..frame.height() {
        let other_workload = workload.is_some_and(|w| workloads.get(row) != Some(w));
        if other_workload || steps.get(row) != Some(step) {
            continue;
        }
        let entry = sums.entry(starts.get(row).unwrap_or_default()).or_insert_with(|| (0, 0, wide_histogram(), 0));
        let count = counts.get(row).unwrap_or_default();
        entry.0 += count;
        entry.3 += bytes.get(row).unwrap_or_default();
        if outcomes.get(row) == Some("ok") {
            entry.1 += count;
            if let Ok(histogram) = decoder.deserialize::<u64, _>(&mut histograms.get(row).unwrap_or_default()) {
                let _ = entry.2.add(histogram);
            }
        }
    }
    // The last window is only as long as the load was in it; a sliver of one says nothing of a rate.
    let phases = repetition.status.phases.iter().filter(|p| workload.is_none_or(|w| w == p.workload));
    let end_s = phases.map(|p| p.end_ns).max().unwrap_or_default() as f64 / 1e9;
    let covered = |start_s: f64| (end_s - start_s).clamp(0.0, window_s);
    sums.retain(|start, _| covered(*start as f64 / 1e9) >= window_s / 5.0);
    let value = |start_s: f64, (all, ok, histogram, bytes): &(u64, u64, Histogram<u64>, u64)| match metric {
        Metric::Throughput => Some(*ok as f64 / covered(start_s)),
        Metric::Errors => Some((all - ok) as f64 / (*all).max(1) as f64 * 100.0),
        Metric::Upload | Metric::Download => Some(*bytes as f64 / covered(start_s)),
        Metric::Time(_, quantile) => summarize::times(histogram).map(|t| super::summary::at(&t, quantile)),
        _ => None,
    };
    let point = |start_s: f64, sum| Some((start_s + covered(start_s) / 2.0, value(start_s, sum)?));
    Ok(sums.iter().filter_map(|(start, sum)| point(*start as f64 / 1e9, sum)).collect())
}

/// The distribution of a time over all valid repetitions of cells: (quantile, nanoseconds), one point per recorded value.
///
/// # Errors
/// When a table is missing or damaged.
pub fn distribution(repetitions: &[&Repetition], key: &StepKey, time: Time) -> Result<Vec<(f64, f64)>, Error> {
    let mut sum = wide_histogram();
    for repetition in repetitions {
        if let Some(rows) = tables::steps(repetition)?.get(key) {
            sum.add(rows.time(time)).expect("both have the same bounds");
        }
    }
    let total = sum.len();
    let mut points = Vec::new();
    let mut below = 0;
    for value in sum.iter_recorded() {
        points.push((below as f64 / total as f64, value.value_iterated_to() as f64));
        below += value.count_since_last_iteration();
        points.push(((below as f64 - 0.5) / total as f64, value.value_iterated_to() as f64));
    }
    Ok(points)
}

/// The repetitions of a cell that count.
pub fn valid(run: &RunRecord, cell: usize) -> Vec<&Repetition> {
    run.repetitions.iter().filter(|r| r.cell == cell && r.status.verdict == crate::record::Verdict::Valid).collect()
}
