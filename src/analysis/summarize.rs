//! The summary of a run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::stats;
use super::summary::{
    CellSummary, Estimate, GeneratorSummary, LimitSummary, MetricSummary, Repetitions, StepRepetition, StepSummary, Summary,
    TargetSummary, Times,
};
use super::tables::{self, StepKey, StepRows};
use super::{Error, expectations, stability};
use crate::record::read::{CellRecord, DriverRecord, Named};
use crate::record::status::PhaseStatus;
use crate::record::{FORMAT, Metric, Repetition, RunRecord, Verdict};

/// Resamples of each bootstrap.
const RESAMPLES: usize = 10_000;
/// Its seed: the same run gives the same intervals everywhere.
const SEED: u64 = 1;

/// Aggregates a run. Tables that cannot be read are named in `damaged`; the rest is aggregated.
///
/// # Errors
/// None at present; what is damaged is data.
pub fn summarize(run: &RunRecord) -> Result<Summary, Error> {
    let mut damaged = run.damaged.clone();
    let mut cells = Vec::new();
    for (index, cell) in run.plan.cells.iter().enumerate() {
        let repetitions: Vec<&Repetition> = run.repetitions.iter().filter(|r| r.cell == index).collect();
        cells.push(self::cell(run, cell, &repetitions, &mut damaged));
    }
    let metric = run.plan.repeat.as_ref().map_or(Metric::Throughput, |r| r.metric);
    for cell in &mut cells {
        cell.stability = stability::of_cell(cell, metric);
    }
    let host = &run.manifest.host;
    Ok(Summary {
        format: FORMAT,
        experiment: run.plan.experiment.clone(),
        question: run.plan.question.clone(),
        run: run.name.clone(),
        seed: run.plan.seed,
        machine: format!(
            "{} cores ({}), {}, {}, kernel {}",
            host.cores,
            host.processor,
            crate::units::human_bytes(host.memory_bytes as f64),
            host.system,
            host.kernel
        ),
        factors: run.plan.factors.iter().map(|f| (f.name.clone(), f.levels.iter().map(|l| l.label.clone()).collect())).collect(),
        repeated: run.plan.repeat.is_some(),
        stability_of: metric.name().to_owned(),
        expectations: expectations::judge(&run.plan.expect, &cells),
        cells,
        damaged,
    })
}

/// The summary of a cell from some of its repetitions.
pub fn cell(run: &RunRecord, cell: &CellRecord, all: &[&Repetition], damaged: &mut Vec<String>) -> CellSummary {
    // What was repeated until something was known has as many as there are.
    let open_end = run.plan.repeat.as_ref().is_some_and(|r| r.until.is_some() || r.budget_s.is_some());
    let rounds = || run.repetitions.iter().map(|r| r.status.repetition).max().unwrap_or_default();
    let planned = if open_end { rounds() } else { run.plan.repetitions };
    let mut repetitions = Repetitions { planned, ..Repetitions::default() };
    if cell.skipped.is_some() {
        repetitions.planned = 0;
    }
    let mut valid = Vec::new();
    for repetition in all {
        let status = &repetition.status;
        for error in &status.errors {
            if !repetitions.errors.contains(error) && repetitions.errors.len() < 10 {
                repetitions.errors.push(error.clone());
            }
        }
        match &status.verdict {
            Verdict::Valid => {
                repetitions.valid += 1;
                repetitions.counted.push(status.repetition);
                valid.push(*repetition);
            }
            Verdict::Invalid { reasons } => {
                repetitions.invalid += 1;
                repetitions.reasons.extend(reasons.iter().map(|r| (status.repetition, r.clone())));
            }
            Verdict::Failed { reason } => {
                repetitions.failed += 1;
                repetitions.reasons.push((status.repetition, reason.clone()));
            }
        }
    }
    let mut rows: Vec<(&Repetition, BTreeMap<StepKey, StepRows>)> = Vec::new();
    for repetition in &valid {
        match tables::steps(repetition) {
            Ok(steps) => rows.push((repetition, steps)),
            Err(error) => damaged.push(crate::errors::chain(&error)),
        }
    }
    let targets = targets(cell, &valid, damaged);
    CellSummary {
        cell: cell.id.clone(),
        levels: cell.levels.iter().cloned().collect(),
        skipped: cell.skipped.clone(),
        repetitions,
        steps: steps(cell, &rows),
        metrics: metrics(cell, &valid, damaged),
        limits: limits(cell, &valid),
        generator: generator(&rows),
        targets,
        busy: busy(&valid),
        stability: Vec::new(),
    }
}

/// More than this share of the processors' time is much.
const MUCH: f64 = 0.1;

/// Who else used the processors during the load of valid repetitions, where that was much in the median.
fn busy(valid: &[&Repetition]) -> Option<String> {
    let hosts: Vec<_> = valid.iter().filter_map(|r| r.status.host).collect();
    let share = |of: fn(&crate::record::status::HostStatus) -> f64| stats::median(&hosts.iter().map(of).collect::<Vec<_>>());
    let (others, steal) = (share(|h| h.others_share), share(|h| h.steal_share));
    let words = [(others, "other programs used"), (steal, "the hypervisor took")]
        .map(|(share, who)| (share > MUCH).then(|| format!("{who} {:.0} % of the processors' time", share * 100.0)));
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| format!("{} during the load (median over repetitions)", words.join(", ")))
}

/// A phase of a workload in a repetition.
fn phase<'r>(repetition: &'r Repetition, workload: &str, phase: &str) -> Option<&'r PhaseStatus> {
    repetition.status.phases.iter().find(|p| p.workload == workload && p.phase == phase)
}

fn steps(cell: &CellRecord, rows: &[(&Repetition, BTreeMap<StepKey, StepRows>)]) -> Vec<StepSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        let whole = crate::record::tables::WHOLE.to_owned();
        let names: Vec<String> = [whole].into_iter().chain(workload.steps()).collect();
        for phase in ["before", "during", "after", "search", "warm-up"] {
            for name in &names {
                let key = (workload.name.clone(), phase.to_owned(), name.clone());
                if let Some(summary) = step(&key, rows) {
                    summaries.push(summary);
                }
            }
        }
    }
    summaries
}

fn step(key: &StepKey, rows: &[(&Repetition, BTreeMap<StepKey, StepRows>)]) -> Option<StepSummary> {
    let mut merged = StepRows::empty();
    let mut by_repetition = Vec::new();
    for (repetition, steps) in rows {
        let Some(phase) = phase(repetition, &key.0, &key.1) else { continue };
        // Where nothing was sent at all there are no rows, and what was offered counts nevertheless.
        let none = StepRows::empty();
        let step = match steps.get(key) {
            Some(step) => step,
            None if phase.unsent > 0 => &none,
            None => continue,
        };
        for (outcome, count) in &step.outcomes {
            *merged.outcomes.entry(outcome.clone()).or_default() += count;
        }
        merged.sent_bytes += step.sent_bytes;
        merged.received_bytes += step.received_bytes;
        for (sum, part) in [
            (&mut merged.service, &step.service),
            (&mut merged.response, &step.response),
            (&mut merged.lag, &step.lag),
            (&mut merged.connect, &step.connect),
            (&mut merged.first_byte, &step.first_byte),
        ] {
            sum.add(part).expect("both have the same bounds");
        }
        let ok = step.outcomes.get("ok").copied().unwrap_or_default();
        let seconds = phase.end_ns.saturating_sub(phase.start_ns).max(1) as f64 / 1e9;
        by_repetition.push(StepRepetition {
            repetition: repetition.status.repetition,
            requests: step.outcomes.values().sum(),
            ok,
            offered: phase.offered,
            unsent: phase.unsent,
            seconds,
            throughput_per_s: ok as f64 / seconds,
            upload_bytes_per_s: step.sent_bytes as f64 / seconds,
            download_bytes_per_s: step.received_bytes as f64 / seconds,
            service_ns: times(&step.service),
            response_ns: times(&step.response),
            lag_ns: times(&step.lag),
            connect_ns: times(&step.connect),
            first_byte_ns: times(&step.first_byte),
        });
    }
    if by_repetition.is_empty() {
        return None;
    }
    let estimated = |of: fn(&StepRepetition) -> f64| estimate(&by_repetition.iter().map(of).collect::<Vec<f64>>());
    let moved = |bytes: u64, of: fn(&StepRepetition) -> f64| (bytes > 0).then(|| estimated(of)).flatten();
    let mut outcomes = merged.outcomes;
    let requests = outcomes.values().sum();
    let ok = outcomes.remove("ok").unwrap_or_default();
    Some(StepSummary {
        workload: key.0.clone(),
        phase: key.1.clone(),
        step: key.2.clone(),
        requests,
        ok,
        errors: outcomes,
        sent_bytes: merged.sent_bytes,
        received_bytes: merged.received_bytes,
        offered: by_repetition.iter().map(|r| r.offered).sum(),
        unsent: by_repetition.iter().map(|r| r.unsent).sum(),
        throughput_per_s: estimated(|r| r.throughput_per_s),
        upload_bytes_per_s: moved(merged.sent_bytes, |r| r.upload_bytes_per_s),
        download_bytes_per_s: moved(merged.received_bytes, |r| r.download_bytes_per_s),
        service_ns: times(&merged.service),
        response_ns: times(&merged.response),
        lag_ns: times(&merged.lag),
        connect_ns: times(&merged.connect),
        first_byte_ns: times(&merged.first_byte),
        by_repetition,
    })
}

/// What commands brought, one value per repetition.
fn metrics(cell: &CellRecord, valid: &[&Repetition], damaged: &mut Vec<String>) -> Vec<MetricSummary> {
    let mut found: BTreeMap<(String, String, String), Vec<f64>> = BTreeMap::new();
    for repetition in valid {
        match tables::metrics(repetition) {
            Ok(rows) => rows.into_iter().for_each(|(key, value)| found.entry(key).or_default().push(value)),
            Err(error) => damaged.push(crate::errors::chain(&error)),
        }
    }
    let unit = |workload: &str, metric: &str| {
        let driver = cell.workloads.iter().find(|w| w.name == workload).and_then(|w| w.driver.as_ref());
        match driver {
            Some(DriverRecord::Command { metrics }) => metrics.iter().find(|m| m.name == metric).map(|m| m.unit.clone()),
            _ => None,
        }
        .unwrap_or_else(|| if metric.ends_with("_s") { "s".to_owned() } else { String::new() })
    };
    let summaries = found.into_iter().filter_map(|((workload, phase, metric), values)| {
        Some(MetricSummary { unit: unit(&workload, &metric), value: estimate(&values)?, workload, phase, metric })
    });
    summaries.collect()
}

/// The highest rates that searches found.
fn limits(cell: &CellRecord, valid: &[&Repetition]) -> Vec<LimitSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        let (mut rates, mut below_range, mut above_range, mut trials) = (Vec::new(), 0, 0, 0);
        let mut reasons = Vec::new();
        for repetition in valid {
            let mine: Vec<_> = repetition.status.trials.iter().filter(|t| t.workload == workload.name).collect();
            if mine.is_empty() {
                continue;
            }
            trials += mine.len();
            reasons.extend(mine.iter().flat_map(|t| t.reasons.iter().map(|r| format!("{:.0} per second: {r}", t.rate_per_s))));
            let held = mine.iter().filter(|t| t.reasons.is_empty()).map(|t| t.rate_per_s).fold(f64::NAN, f64::max);
            let highest = mine.iter().map(|t| t.rate_per_s).fold(0.0, f64::max);
            if held.is_nan() {
                below_range += 1;
            } else {
                // Nothing above it was tried: the range ended there.
                above_range += u32::from(held >= highest);
                rates.push(held);
            }
        }
        if trials > 0 {
            reasons.truncate(5);
            let rate_per_s = estimate(&rates);
            summaries.push(LimitSummary {
                workload: workload.name.clone(),
                rate_per_s,
                below_range,
                above_range,
                trials,
                reasons,
            });
        }
    }
    summaries
}

/// Mean and percentiles of a histogram; none when it is empty.
pub fn times(histogram: &Histogram<u64>) -> Option<Times> {
    if histogram.is_empty() {
        return None;
    }
    let q = |q| histogram.value_at_quantile(q);
    Some(Times {
        mean: histogram.mean(),
        p50: q(0.5),
        p90: q(0.9),
        p95: q(0.95),
        p99: q(0.99),
        p99_9: q(0.999),
        max: histogram.max(),
    })
}

/// Mean and median of a figure over repetitions, with intervals; none without repetitions.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    let interval = |statistic| {
        let interval = stats::bootstrap_bca(values, statistic, 0.95, RESAMPLES, SEED);
        interval.ok().map(|i| (i.low, i.high))
    };
    Some(Estimate {
        n: values.len(),
        mean: stats::mean(values),
        mean_interval: interval(stats::mean),
        median: stats::median(values),
        median_interval: interval(stats::median),
        standard_deviation: (values.len() > 1).then(|| stats::standard_deviation(values)),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        values: values.to_vec(),
    })
}

/// From the first request of any workload behind its warm-up to the last answer.
pub fn load_bounds(repetition: &Repetition) -> Option<(i64, i64)> {
    let during = repetition.status.phases.iter().filter(|p| p.phase != "warm-up");
    let (start, end) = during.fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
    (start < end).then_some((start as i64, end as i64))
}

fn targets(cell: &CellRecord, valid: &[&Repetition], damaged: &mut Vec<String>) -> Vec<TargetSummary> {
    let mut samples = Vec::new();
    for repetition in valid {
        match tables::resources(repetition) {
            Ok(rows) => samples.extend(load_bounds(repetition).map(|bounds| (bounds, rows))),
            Err(error) => damaged.push(crate::errors::chain(&error)),
        }
    }
    let mut summaries = Vec::new();
    // A program that makes the load is watched like a target.
    let commands = cell.workloads.iter().filter(|w| matches!(w.driver, Some(DriverRecord::Command { .. })));
    let commands: Vec<Named> = commands.map(|w| Named { name: w.name.clone() }).collect();
    for target in cell.targets.iter().chain(&commands) {
        let statuses = || valid.iter().map(|r| r.status.targets.iter().filter(|t| t.target == target.name));
        let start_up: Vec<f64> = statuses().filter_map(|t| t.filter_map(|t| t.start_up_ns).max()).map(|ns| ns as f64).collect();
        let peak = |column: fn(&tables::ReplicaRows, usize) -> Option<u64>| {
            let per_repetition: Vec<f64> = samples
                .iter()
                .filter_map(|((from, to), rows)| {
                    let peaks: Vec<u64> = rows
                        .iter()
                        .filter(|((name, _), _)| *name == target.name)
                        .filter_map(|(_, rows)| rows.peak(column, *from, *to))
                        .collect();
                    (!peaks.is_empty()).then(|| peaks.iter().sum::<u64>() as f64)
                })
                .collect();
            estimate(&per_repetition)
        };
        let cpu: Vec<f64> = samples
            .iter()
            .filter_map(|((from, to), rows)| {
                let mine: Vec<f64> = rows
                    .iter()
                    .filter(|((name, _), _)| *name == target.name)
                    .map(|(_, rows)| rows.cpu_at(*to) - rows.cpu_at(*from))
                    .collect();
                (!mine.is_empty()).then(|| mine.iter().sum::<f64>() / (to - from) as f64)
            })
            .collect();
        summaries.push(TargetSummary {
            target: target.name.clone(),
            replicas: statuses().map(|t| t.count() as u32).max().unwrap_or_default(),
            watched: statuses().flatten().any(|t| t.pid.is_some()) || commands.iter().any(|c| c.name == target.name),
            start_up_ns: estimate(&start_up),
            pss_bytes: peak(|r, i| r.pss_bytes[i]),
            rss_bytes: peak(|r, i| Some(r.rss_bytes[i])),
            cpu_cores: estimate(&cpu),
            threads: peak(|r, i| Some(r.threads[i])),
            open_files: peak(|r, i| Some(r.open_files[i])),
        });
    }
    summaries
}

fn generator(rows: &[(&Repetition, BTreeMap<StepKey, StepRows>)]) -> Option<GeneratorSummary> {
    let mut share = Vec::new();
    let mut rate = Vec::new();
    for (repetition, steps) in rows {
        let generator = repetition.status.generator;
        if generator.cpu_ns == 0 || generator.wall_ns == 0 {
            continue;
        }
        let single = steps.iter().filter(|((_, _, step), _)| step != crate::record::tables::WHOLE);
        let requests: u64 = single.flat_map(|(_, rows)| rows.outcomes.values()).sum();
        share.push(generator.cpu_ns as f64 / generator.wall_ns as f64);
        rate.push(requests as f64 / (generator.cpu_ns as f64 / 1e9));
    }
    Some(GeneratorSummary { cpu_share: estimate(&share)?, requests_per_cpu_s: estimate(&rate)? })
}
