//! What graphs need beyond the summary: values over time and whole distributions.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::cores::{on_a_thread, on_all_cores};
use super::counts::Sum;
use super::replicas::{Replica, Samples, replicas};
use super::summary::StepSummary;
use super::windows::{Windows, lists};
use super::{frames, stats, summary, taps};
use record::read::CellRecord;
use record::{Repetition, RunRecord};
use vocabulary::{Metric, Phase, Time};

/// Points of one repetition: seconds since the start of the load, value.
pub type Line = Vec<(f64, f64)>;

/// Samples of replicas that are closer together than this belong to one instant.
const SAME_INSTANT_NS: i64 = 20_000_000;

/// What a line shows.
#[derive(Clone, Debug, PartialEq)]
pub enum LinePart {
    /// A step of one workload, or of all workloads where none is given.
    Step(Option<String>, String),
    /// The sum of some targets.
    Targets(Vec<String>),
    /// A tap.
    Tap(String),
}

/// How many repetitions' tables are in memory at a time, on each core.
const AT_A_TIME: usize = 16;

/// A metric over time in repetitions of a cell: for each of `parts` one line per repetition; a repetition whose table is
/// damaged has no line.
///
/// `parts`: targets for metrics of targets, taps for metrics of taps, else steps; other parts have an empty line.
/// `window_s`: length of a window.
pub fn lines(
    cell: &CellRecord,
    repetitions: &[&Repetition],
    parts: &[LinePart],
    metric: &Metric,
    window_s: f64,
) -> Vec<Vec<Line>> {
    lines_of_each(cell, repetitions, parts, std::slice::from_ref(metric), window_s).pop().unwrap_or_default()
}

/// Like [`lines`], for several metrics: for each of `metrics`, for each repetition, a line for each of `parts`. Each table is
/// read once, whatever the number of metrics.
pub fn lines_of_each(
    cell: &CellRecord,
    repetitions: &[&Repetition],
    parts: &[LinePart],
    metrics: &[Metric],
    window_s: f64,
) -> Vec<Vec<Vec<Line>>> {
    let (resources, others): (Vec<&Metric>, Vec<&Metric>) = metrics.iter().partition(|metric| metric.is_resource());
    let (named, steps): (Vec<&Metric>, Vec<&Metric>) = others.into_iter().partition(|metric| metric.is_named());
    let owned = |metrics: &[&Metric]| metrics.iter().map(|metric| (*metric).clone()).collect::<Vec<Metric>>();
    let (resources, steps) = (owned(&resources), owned(&steps));
    let some = |some: &[&Repetition]| -> Vec<(Metric, Vec<Vec<Line>>)> {
        let mut found = Vec::new();
        if !resources.is_empty() {
            found.extend(resources.iter().cloned().zip(of_targets(some, parts, &resources)));
        }
        if !steps.is_empty() {
            // If polars cannot compute something from tables that are not damaged, there is no line, as for damaged tables.
            let none = || vec![vec![Vec::new(); some.len()]; steps.len()];
            found.extend(steps.iter().cloned().zip(of_steps(some, parts, &steps, window_s).unwrap_or_else(|_| none())));
        }
        found.extend(named.iter().map(|metric| {
            let name = metric.name();
            ((*metric).clone(), some.iter().map(|repetition| of_taps(cell, repetition, parts, name, window_s)).collect())
        }));
        found
    };
    let pieces: Vec<&[&Repetition]> = repetitions.chunks(AT_A_TIME).collect();
    let found = on_a_thread(|| on_all_cores(&pieces, |piece| some(piece)));
    let of = |metric: &Metric| {
        found.iter().flatten().filter(|(one, _)| one == metric).flat_map(|(_, lines)| lines.iter().cloned()).collect()
    };
    metrics.iter().map(of).collect()
}

/// For each metric and repetition a line for each part.
fn of_targets(repetitions: &[&Repetition], parts: &[LinePart], metrics: &[Metric]) -> Vec<Vec<Vec<Line>>> {
    let frames::Scanned { frame, damaged } = frames::resources(repetitions, metrics);
    let all = replicas(frame).unwrap_or_default();
    let of = |repetition: &&Repetition, metric: &Metric| {
        let number = repetition.status.repetition;
        if damaged.iter().any(|(damaged, _)| *damaged == number) {
            return Vec::new();
        }
        let mine = |target: &String| -> Vec<&Samples> {
            let is_mine = |r: &&Replica| r.repetition == number && r.target == *target;
            all.iter().filter(is_mine).map(|r| &r.samples).collect()
        };
        let line = |part: &LinePart| match part {
            LinePart::Targets(targets) => resource(&targets.iter().map(mine).collect::<Vec<_>>(), metric),
            LinePart::Step(..) | LinePart::Tap(_) => Line::new(),
        };
        parts.iter().map(line).collect()
    };
    metrics.iter().map(|metric| repetitions.iter().map(|repetition| of(repetition, metric)).collect()).collect()
}

/// A metric of taps over the windows of a repetition.
fn of_taps(cell: &CellRecord, repetition: &Repetition, parts: &[LinePart], metric: &str, window_s: f64) -> Vec<Line> {
    let line = |part: &LinePart| {
        let name = if let LinePart::Tap(name) = part { Some(name) } else { None };
        let found = cell.taps.iter().find(|tap| Some(&tap.name) == name);
        match found.and_then(|tap| Some((tap, tap.metrics.iter().find(|m| m.name == metric)?))) {
            Some((tap, metric)) => taps::line(cell, tap, repetition, metric, window_s),
            None => Ok(Line::new()),
        }
    };
    // A repetition whose table is damaged has no line.
    parts.iter().map(line).collect::<Result<Vec<Line>, _>>().unwrap_or_default()
}

/// For each metric and repetition a line for each part.
fn of_steps(
    repetitions: &[&Repetition],
    parts: &[LinePart],
    metrics: &[Metric],
    window_s: f64,
) -> PolarsResult<Vec<Vec<Vec<Line>>>> {
    let mut times: Vec<Time> = Vec::new();
    for metric in metrics {
        if let Metric::Time(time, _) = metric
            && !times.contains(time)
        {
            times.push(*time);
        }
    }
    let frames::Scanned { frame, damaged } = frames::windows(repetitions, &times);
    let windows = Windows::new(frame)?;
    let is_damaged = |repetition: &&Repetition| damaged.iter().any(|(number, _)| *number == repetition.status.repetition);
    let mut lines: Vec<Vec<Vec<Line>>> = vec![vec![Vec::new(); repetitions.len()]; metrics.len()];
    let mut has_no_line: Vec<bool> = repetitions.iter().map(is_damaged).collect();
    for part in parts {
        let LinePart::Step(workload, step) = part else {
            lines.iter_mut().flatten().for_each(|lines| lines.push(Line::new()));
            continue;
        };
        let found = of_step(repetitions, &windows, (workload.as_deref(), step), metrics, window_s)?;
        for (lines, found) in lines.iter_mut().zip(found) {
            for ((lines, has_no_line), found) in lines.iter_mut().zip(&mut has_no_line).zip(found) {
                match found {
                    Ok(line) => lines.push(line),
                    Err(_) => *has_no_line = true,
                }
            }
        }
    }
    for lines in &mut lines {
        lines.iter_mut().zip(&has_no_line).filter(|(_, has_no_line)| **has_no_line).for_each(|(lines, _)| lines.clear());
    }
    Ok(lines)
}

/// A resource of targets over time in a repetition, summed over the targets and their replicas.
///
/// There is a point for each time at which samples were taken; between samples a replica keeps its last value. Each target
/// counts from its first sample at which all of its replicas had been read, to its last one. `cpu` is what was used from one
/// sample to the next, in processors, drawn as a step.
fn resource(targets: &[Vec<&Samples>], metric: &Metric) -> Line {
    let mine = || targets.iter().flatten();
    let mut instants: Vec<i64> = mine().flat_map(|r| r.at_ns.iter().copied()).collect();
    instants.sort_unstable();
    // The last sample of each cluster: by then every replica had been read.
    let mut grid: Vec<i64> = Vec::new();
    for at in instants {
        match grid.last_mut() {
            Some(last) if at - *last < SAME_INSTANT_NS => *last = at,
            _ => grid.push(at),
        }
    }
    let at = |column: fn(&Samples) -> &[Option<u64>], ns: i64| -> Option<f64> {
        let last = |samples: &&Samples| {
            let end = samples.at_ns.partition_point(|t| *t <= ns);
            column(samples)[..end].iter().rev().flatten().next().copied()
        };
        let there = targets.iter().filter(|replicas| replicas.iter().any(|samples| held_until(samples) >= ns));
        let values: Vec<u64> = there.filter_map(|replicas| replicas.iter().map(last).sum::<Option<u64>>()).collect();
        (!values.is_empty()).then(|| values.iter().sum::<u64>() as f64)
    };
    let seconds = |ns: i64| ns as f64 / 1e9;
    if *metric == Metric::Cpu {
        let used = |from: i64, to: i64| {
            let used = mine().map(|s| s.used_at(&s.cpu_ns, to) - s.used_at(&s.cpu_ns, from));
            used.sum::<f64>() / (to - from) as f64
        };
        return grid.windows(2).flat_map(|w| [w[0], w[1]].map(|ns| (seconds(ns), used(w[0], w[1])))).collect();
    }
    let value = |ns: i64| match metric {
        Metric::Pss => at(|s| &s.pss_bytes, ns),
        Metric::Rss => at(|s| &s.rss_bytes, ns),
        Metric::Threads => at(|s| &s.threads, ns),
        Metric::OpenFiles => at(|s| &s.open_files, ns),
        _ => None,
    };
    grid.iter().filter_map(|ns| Some((seconds(*ns), value(*ns)?))).collect()
}

/// Until when the last value of a replica counts as its value: for as long as its last two samples were apart.
fn held_until(samples: &Samples) -> i64 {
    let [.., before, last] = samples.at_ns.as_slice() else {
        return samples.at_ns.last().map_or(i64::MIN, |at| at + SAME_INSTANT_NS);
    };
    last + (last - before).max(SAME_INSTANT_NS)
}

/// Metrics of a step over the windows of each repetition: for each metric a line for each repetition.
fn of_step(
    repetitions: &[&Repetition],
    windows: &Windows,
    (workload, step): (Option<&str>, &str),
    metrics: &[Metric],
    window_s: f64,
) -> PolarsResult<Vec<Vec<PolarsResult<Line>>>> {
    // What ended after the last phase belongs to no window.
    let ended = col("step").eq(lit(step)).and(col("completed_in").neq(lit(Phase::Drain.name())));
    let mine = workload.map_or(lit(true), |name| col("workload").eq(lit(name)));
    let requests = |of: &str| col("requests").filter(col(of)).sum().alias(of);
    let sum = |column: &str| col(column).sum();
    let by_window = windows
        .lazy()
        .filter(ended.and(mine))
        .group_by_stable([col("repetition"), col("window_start_ns")])
        .agg([sum("requests"), requests("ok"), requests("error"), sum("sent_bytes"), sum("received_bytes"), col("row")])
        .sort(["repetition", "window_start_ns"], SortMultipleOptions::default())
        .collect()?;
    let number = |name: &str| by_window.column(name)?.u64();
    let numbers = by_window.column("repetition")?.u32()?;
    let starts = number("window_start_ns")?;
    let (sent, received) = (number("sent_bytes")?, number("received_bytes")?);
    let (all, ok, errors) = (number("requests")?, number("ok")?, number("error")?);
    let rows = lists(&by_window)?;
    let window_ns = ((window_s * 1e9).round() as u64).max(1);
    let line = |repetition: &&Repetition, metric: &Metric| -> PolarsResult<Line> {
        // The first and the last window are only as long as the load was in them; a very short piece of a window says
        // nothing about a rate.
        let phases = || repetition.status.phases.iter().filter(|p| workload.is_none_or(|w| w == p.workload));
        let end_s = phases().map(|p| p.end_ns).max().unwrap_or_default() as f64 / 1e9;
        let begin_s = phases().map(|p| p.start_ns).min().unwrap_or_default() as f64 / 1e9;
        let covered = |start_s: f64| ((start_s + window_s).min(end_s) - start_s.max(begin_s)).clamp(0.0, window_s);
        // A window in which nothing ended has no row: nothing per second is 0, and there are no times. Behind the last phase nothing
        // is expected.
        let nothing = match metric {
            Metric::Throughput | Metric::Upload | Metric::Download => 0.0,
            _ => f64::NAN,
        };
        let first_ns = phases().map(|p| p.start_ns).min().unwrap_or_default() / window_ns * window_ns;
        let last_ns = phases().filter(|p| p.phase != Phase::Drain.name()).map(|p| p.end_ns).max().unwrap_or_default();
        let expected = (first_ns..last_ns).step_by(window_ns as usize);
        let mut values: BTreeMap<u64, f64> = expected.map(|start_ns| (start_ns, nothing)).collect();
        for at in (0..by_window.height()).filter(|at| numbers.get(*at) == Some(repetition.status.repetition)) {
            let of = |column: &UInt64Chunked| column.get(at).unwrap_or_default() as f64;
            let start_s = of(starts) / 1e9;
            let value = match metric {
                Metric::Throughput => Some(of(ok) / covered(start_s)),
                Metric::Errors => Some(of(errors) / of(all).max(1.0)),
                Metric::Upload => Some(of(sent) / covered(start_s)),
                Metric::Download => Some(of(received) / covered(start_s)),
                Metric::Time(time, quantile) => {
                    windows.distribution(&rows[at], *time)?.times().map(|times| summary::at(&times, *quantile))
                }
                _ => None,
            };
            values.insert(starts.get(at).unwrap_or_default(), value.unwrap_or(f64::NAN));
        }
        // What was never measured at all is no line.
        if values.values().all(|value| value.is_nan()) {
            return Ok(Line::new());
        }
        let long_enough = values.into_iter().map(|(start_ns, value)| (start_ns as f64 / 1e9, value));
        let long_enough = long_enough.filter(|(start_s, _)| covered(*start_s) >= window_s / 5.0);
        Ok(long_enough.map(|(start_s, value)| (start_s.max(begin_s) + covered(start_s) / 2.0, value)).collect())
    };
    Ok(metrics.iter().map(|metric| repetitions.iter().map(|repetition| line(repetition, metric)).collect()).collect())
}

/// With fewer lines, or lines with fewer points, there is no median: interpolating between the points would be guessing.
const LINES_WITH_MIDDLE: usize = 3;
const POINTS_WITH_MIDDLE: usize = 8;

/// The median of lines over time, at the instants of the longest line, where more than half of the lines have a value; empty
/// when there are fewer than three lines, or fewer than eight points. Between its points a line is taken as straight.
pub fn middle(lines: &[Line]) -> Line {
    let Some(longest) = lines.iter().max_by_key(|line| line.len()) else {
        return Line::new();
    };
    if lines.len() < LINES_WITH_MIDDLE || longest.len() < POINTS_WITH_MIDDLE {
        return Line::new();
    }
    let median = |at: &f64| {
        let values: Vec<f64> = lines.iter().filter_map(|line| value_at(line, *at)).filter(|value| value.is_finite()).collect();
        // Where most lines are interrupted, it is interrupted, too.
        (*at, if values.len() * 2 > lines.len() { stats::median(&values) } else { f64::NAN })
    };
    let mut middle: Line = longest.iter().map(|(at, _)| median(at)).collect();
    let known = |line: &Line, at: usize| line[at].1.is_finite();
    while !middle.is_empty() && !known(&middle, middle.len() - 1) {
        middle.pop();
    }
    let unknown = (0..middle.len()).take_while(|at| !known(&middle, *at)).count();
    middle.drain(..unknown);
    middle
}

/// The value of a line at an instant; none before the line starts and after it has ended, except within half the distance of
/// its points.
fn value_at(line: &Line, at: f64) -> Option<f64> {
    let [first, .., last] = line.as_slice() else { return None };
    let reach = (last.0 - first.0) / (line.len() - 1) as f64 / 2.0;
    let next = line.partition_point(|(time, _)| *time <= at);
    match (next.checked_sub(1).map(|i| line[i]), line.get(next)) {
        (None, Some(next)) => (next.0 - at <= reach).then_some(next.1),
        (Some(before), None) => (at - before.0 <= reach).then_some(before.1),
        // A point itself counts even where the line is interrupted next to it.
        (Some(before), Some(_)) if before.0 >= at => Some(before.1),
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
        assert_eq!(middle(&[a.clone(), b.clone()]), [], "two lines have no median line");
        assert_eq!(middle(&[b.clone(), b.clone(), b.clone()]), [], "three points are too few");
        // Samples at other times are read between them.
        let shifted: Line = b.iter().map(|(at, v)| (at + 0.25, *v)).collect();
        assert_eq!(middle(&[a, b, shifted])[1], (0.75, 2.5));
    }
}
