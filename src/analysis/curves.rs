//! What graphs need beyond the summary: values over time and whole distributions.

use std::collections::BTreeMap;

use super::counts::Sum;
use super::summary::StepSummary;
use super::tables::{self, ReplicaRows};
use super::windows::{Decoded, NamedRow, Row};
use super::{Error, stats, summary};
use record::{Repetition, RunRecord};
use vocabulary::Phase;
use vocabulary::{Metric, Time};

/// Points of one repetition: seconds since the start of the load, value.
pub type Line = Vec<(f64, f64)>;

/// Samples of replicas that lie closer together than this belong to one instant.
const SAME_INSTANT_NS: i64 = 20_000_000;

/// What a line shows.
#[derive(Clone, Debug, PartialEq)]
pub enum LinePart {
    /// A step of a workload, or of all of them where there is none.
    Step(Option<String>, String),
    /// The sum of some targets.
    Targets(Vec<String>),
}

/// A metric over the time of a repetition: one line for each of `parts`, whose table is read once.
///
/// `parts`: targets for what belongs to them, else steps; others have an empty line. `window_s`: length of a window.
///
/// # Errors
/// When the table is missing or damaged.
pub fn lines(repetition: &Repetition, parts: &[LinePart], metric: &Metric, window_s: f64) -> Result<Vec<Line>, Error> {
    if metric.is_resource() {
        let rows = tables::resources(repetition, std::slice::from_ref(metric))?;
        let replicas = |target: &String| rows.iter().filter(|((name, _), _)| name == target).map(|(_, rows)| rows).collect();
        let line = |part: &LinePart| match part {
            LinePart::Targets(targets) => resource(&targets.iter().map(replicas).collect::<Vec<_>>(), metric),
            LinePart::Step(..) => Line::new(),
        };
        return Ok(parts.iter().map(line).collect());
    }
    let times = if let Metric::Time(time, _) = metric { vec![*time] } else { Vec::new() };
    let decoded = tables::read_times(repetition, &times)?;
    let line = |part: &LinePart| match part {
        LinePart::Step(workload, step) => windows(repetition, &decoded, workload.as_deref(), step, metric, window_s),
        LinePart::Targets(_) => Ok(Line::new()),
    };
    parts.iter().map(line).collect()
}

/// A resource of targets over the time of a repetition, summed over them and their replicas.
///
/// Points lie where samples were taken; between them a replica has its last value. Of several targets each counts from its
/// first sample, by which all of its replicas were read, to its last one. `cpu` is what was used from one
/// sample to the next, in processors, drawn as a step.
fn resource(targets: &[Vec<&ReplicaRows>], metric: &Metric) -> Line {
    let mine = || targets.iter().flatten();
    let mut instants: Vec<i64> = mine().flat_map(|r| r.at_ns.iter().copied()).collect();
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
        let last = |rows: &&ReplicaRows| {
            let end = rows.at_ns.partition_point(|t| *t <= ns);
            (0..end).rev().find_map(|i| column(rows, i))
        };
        let there = targets.iter().filter(|replicas| replicas.iter().any(|rows| held_until(rows) >= ns));
        let values: Vec<u64> = there.filter_map(|replicas| replicas.iter().map(last).sum::<Option<u64>>()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<u64>() as f64)
    };
    let seconds = |ns: i64| ns as f64 / 1e9;
    if *metric == Metric::Cpu {
        let used = |from: i64, to: i64| mine().map(|r| r.cpu_at(to) - r.cpu_at(from)).sum::<f64>() / (to - from) as f64;
        return grid.windows(2).flat_map(|w| [w[0], w[1]].map(|ns| (seconds(ns), used(w[0], w[1])))).collect();
    }
    let value = |ns: i64| match metric {
        Metric::Pss => at(&|r, i| r.pss_bytes[i], ns),
        Metric::Rss => at(&|r, i| Some(r.rss_bytes[i]), ns),
        Metric::Threads => at(&|r, i| Some(r.threads[i]), ns),
        Metric::OpenFiles => at(&|r, i| Some(r.open_files[i]), ns),
        _ => None,
    };
    grid.iter().filter_map(|ns| Some((seconds(*ns), value(*ns)?))).collect()
}

/// Until when the last value of a replica is taken for its value: as long as its samples lay apart.
fn held_until(rows: &ReplicaRows) -> i64 {
    let [.., before, last] = rows.at_ns.as_slice() else { return rows.at_ns.last().map_or(i64::MIN, |at| at + SAME_INSTANT_NS) };
    last + (last - before).max(SAME_INSTANT_NS)
}

/// What the windows of a step hold.
#[derive(Default)]
struct Window<'d> {
    requests: u64,
    ok: u64,
    errors: u64,
    bytes: u64,
    timed: Vec<&'d Row>,
}

/// A metric of a step over the windows of a repetition.
fn windows(
    repetition: &Repetition,
    decoded: &Decoded,
    workload: Option<&str>,
    step: &str,
    metric: &Metric,
    window_s: f64,
) -> Result<Line, Error> {
    let mut sums: BTreeMap<u64, Window> = BTreeMap::new();
    for NamedRow { key, ended, ok, error, row } in decoded.rows() {
        // What ended behind the last phase belongs to no window of it.
        if workload.is_some_and(|w| w != key.0) || key.2 != step || ended.1 == Phase::Drain.name() {
            continue;
        }
        let window = sums.entry(row.start_ns).or_default();
        window.requests += row.requests;
        window.bytes += if *metric == Metric::Upload { row.sent_bytes } else { row.received_bytes };
        window.timed.push(row);
        window.errors += if error { row.requests } else { 0 };
        if ok {
            window.ok += row.requests;
        }
    }
    // The first and the last window are only as long as the load was in them; a sliver of one says nothing of a rate.
    let phases = || repetition.status.phases.iter().filter(|p| workload.is_none_or(|w| w == p.workload));
    let end_s = phases().map(|p| p.end_ns).max().unwrap_or_default() as f64 / 1e9;
    let begin_s = phases().map(|p| p.start_ns).min().unwrap_or_default() as f64 / 1e9;
    let covered = |start_s: f64| ((start_s + window_s).min(end_s) - start_s.max(begin_s)).clamp(0.0, window_s);
    sums.retain(|start, _| covered(*start as f64 / 1e9) >= window_s / 5.0);
    let value = |start_s: f64, window: &Window| -> Result<Option<f64>, Error> {
        Ok(match metric {
            Metric::Throughput => Some(window.ok as f64 / covered(start_s)),
            Metric::Errors => Some(window.errors as f64 / window.requests.max(1) as f64),
            Metric::Upload | Metric::Download => Some(window.bytes as f64 / covered(start_s)),
            Metric::Time(time, quantile) => {
                let times = decoded.distribution(window.timed.iter().copied(), *time)?.times();
                times.map(|t| summary::at(&t, *quantile))
            }
            _ => None,
        })
    };
    let mut line = Line::new();
    for (start_ns, window) in &sums {
        let start_s = *start_ns as f64 / 1e9;
        line.extend(value(start_s, window)?.map(|value| (start_s.max(begin_s) + covered(start_s) / 2.0, value)));
    }
    Ok(line)
}

/// Fewer lines than this stand for themselves, and so do lines of fewer points: between these too much would be guessed.
const LINES_WITH_MIDDLE: usize = 3;
const POINTS_WITH_MIDDLE: usize = 8;

/// The median of lines over time, at the instants of the longest, where more than half of them have a value; empty when
/// there are fewer than three, or fewer than eight points. Between its points a line is taken for straight.
pub fn middle(lines: &[Line]) -> Line {
    let Some(longest) = lines.iter().max_by_key(|line| line.len()) else {
        return Line::new();
    };
    if lines.len() < LINES_WITH_MIDDLE || longest.len() < POINTS_WITH_MIDDLE {
        return Line::new();
    }
    let median = |at: &f64| {
        let values: Vec<f64> = lines.iter().filter_map(|line| value_at(line, *at)).collect();
        (values.len() * 2 > lines.len()).then(|| (*at, stats::median(&values)))
    };
    longest.iter().map(|(at, _)| at).filter_map(median).collect()
}

/// The value of a line at an instant; none before it begins and after it has ended, but for half the distance of its points.
fn value_at(line: &Line, at: f64) -> Option<f64> {
    let [first, .., last] = line.as_slice() else { return None };
    let reach = (last.0 - first.0) / (line.len() - 1) as f64 / 2.0;
    let next = line.partition_point(|(time, _)| *time <= at);
    match (next.checked_sub(1).map(|i| line[i]), line.get(next)) {
        (None, Some(next)) => (next.0 - at <= reach).then_some(next.1),
        (Some(before), None) => (at - before.0 <= reach).then_some(before.1),
        (Some(before), Some(next)) => Some(before.1 + (next.1 - before.1) * (at - before.0) / (next.0 - before.0)),
        (None, None) => None,
    }
}

/// The distribution of a time over steps: (quantile, nanoseconds), two points per recorded value.
pub fn distribution(steps: &[&StepSummary], time: Time) -> Vec<(f64, f64)> {
    let mut sum = Sum::default();
    steps.iter().for_each(|step| sum.add(step.distributions.of(time)));
    let counts = sum.take();
    let total = counts.len() as f64;
    let mut points = Vec::new();
    let mut below = 0;
    for (ns, count) in counts.values() {
        points.push((below as f64 / total, ns as f64));
        below += count;
        points.push(((below as f64 - 0.5) / total, ns as f64));
    }
    points
}

/// The repetitions of a cell that count: `numbers` are those of the summary.
pub fn counted<'r>(run: &'r RunRecord, cell: usize, numbers: &[u32]) -> Vec<&'r Repetition> {
    run.repetitions.iter().filter(|r| r.cell == cell && numbers.contains(&r.status.repetition)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_lines_is_their_median_where_most_of_them_are() {
        let line = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (0.25 + i as f64 * 0.5, *v)).collect::<Line>();
        let (a, b, c) = (line(&[1.0, 1.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0]), line(&[2.0, 3.0, 7.0]), line(&[30.0, 2.0]));
        assert_eq!(middle(&[a.clone(), b.clone(), c]), [(0.25, 2.0), (0.75, 2.0), (1.25, 4.0)]);
        assert_eq!(middle(&[a.clone(), b.clone()]), [], "two are seen at a glance");
        assert_eq!(middle(&[b.clone(), b.clone(), b.clone()]), [], "three points are no course");
        // Samples that lie elsewhere are read between them.
        let shifted: Line = b.iter().map(|(at, v)| (at + 0.25, *v)).collect();
        assert_eq!(middle(&[a, b, shifted])[1], (0.75, 2.5));
    }
}
