//! The summary of a run.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::Error;
use super::stats;
use super::summary::{
    CellSummary, Estimate, GeneratorSummary, Repetitions, StepRepetition, StepSummary, Summary, TargetSummary, Times,
};
use super::tables::{self, StepKey, StepRows, wide_histogram};
use crate::record::read::CellRecord;
use crate::record::{FORMAT, Repetition, RunRecord, Verdict};

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
        cells.push(summarize_cell(run, cell, &repetitions, &mut damaged));
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
        cells,
        damaged,
    })
}

fn summarize_cell(run: &RunRecord, cell: &CellRecord, all: &[&Repetition], damaged: &mut Vec<String>) -> CellSummary {
    let mut repetitions = Repetitions { planned: run.plan.repetitions, ..Repetitions::default() };
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
        generator: generator(&rows),
        targets,
    }
}

/// Nanoseconds of a phase of a repetition.
fn phase_bounds(repetition: &Repetition, workload: &str, phase: &str) -> Option<(u64, u64)> {
    let found = repetition.status.phases.iter().find(|p| p.workload == workload && p.phase == phase)?;
    Some((found.start_ns, found.end_ns))
}

fn steps(cell: &CellRecord, rows: &[(&Repetition, BTreeMap<StepKey, StepRows>)]) -> Vec<StepSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        let whole = crate::record::tables::WHOLE.to_owned();
        let names: Vec<String> = [whole].into_iter().chain(workload.steps.iter().map(|s| s.name.clone())).collect();
        for phase in ["during", "warm-up"] {
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
    let (mut service, mut response) = (wide_histogram(), wide_histogram());
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut sent_bytes, mut received_bytes) = (0, 0);
    let mut by_repetition = Vec::new();
    for (repetition, steps) in rows {
        let Some(step) = steps.get(key) else { continue };
        let Some((start, end)) = phase_bounds(repetition, &key.0, &key.1) else { continue };
        for (outcome, count) in &step.outcomes {
            *outcomes.entry(outcome.clone()).or_default() += count;
        }
        sent_bytes += step.sent_bytes;
        received_bytes += step.received_bytes;
        let same = "both have the same bounds";
        service.add(&step.service).expect(same);
        response.add(&step.response).expect(same);
        let ok = step.outcomes.get("ok").copied().unwrap_or_default();
        by_repetition.push(StepRepetition {
            repetition: repetition.status.repetition,
            requests: step.outcomes.values().sum(),
            ok,
            throughput_per_s: ok as f64 / (end.saturating_sub(start).max(1) as f64 / 1e9),
            service_ns: times(&step.service),
            response_ns: times(&step.response),
        });
    }
    if by_repetition.is_empty() {
        return None;
    }
    let throughput: Vec<f64> = by_repetition.iter().map(|r| r.throughput_per_s).collect();
    let requests = outcomes.values().sum();
    let ok = outcomes.remove("ok").unwrap_or_default();
    Some(StepSummary {
        workload: key.0.clone(),
        phase: key.1.clone(),
        step: key.2.clone(),
        requests,
        ok,
        errors: outcomes,
        sent_bytes,
        received_bytes,
        throughput_per_s: estimate(&throughput),
        service_ns: times(&service),
        response_ns: times(&response),
        by_repetition,
    })
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

/// From the first request of any workload's measurement to its last answer.
pub fn load_bounds(repetition: &Repetition) -> Option<(i64, i64)> {
    let during = repetition.status.phases.iter().filter(|p| p.phase == "during");
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
    for target in &cell.targets {
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
            watched: statuses().flatten().any(|t| t.pid.is_some()),
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
