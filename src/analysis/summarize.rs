//! The summary of a run.
//!
//! Cells and their repetitions are spread over all cores. Of a repetition only its results stay; its distributions go
//! into the sums of its cell, a few repetitions at a time. What is added up are integers, and results are kept in the order
//! of the repetitions: the summary is the same bytes, however many cores there are.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::detail::Detail;
use super::estimate::Estimates;
use super::repetition::{self, RepetitionResults, Resources};
use super::requests;
use super::stats;
use super::steadiness::{self, Steadiness, Steady};
use super::summary::{
    AllTimes, CellSummary, Decided, GeneratorSummary, LoadSummary, MetricSummary, Repetitions, SearchSummary, StepRepetition,
    StepSummary, Summary, TargetPhase, TargetSummary, Times,
};
use super::times::medians;
use super::windows::{DistributionSums, StepCounts, StepKey};
use super::{Error, expectations, stability};
use record::read::{CellRecord, Named};
use record::status::PhaseStatus;
use record::tables::WHOLE;
use record::{FORMAT, Repetition, RunRecord, Verdict};
use vocabulary::rows::FEWEST_WINDOWS;
use vocabulary::{Interest, Metric};
use vocabulary::{Outcome, Phase};

/// Repetitions whose distributions are in memory at a time, for each cell that is worked on.
const AT_A_TIME: usize = 16;

/// Aggregates a run. Tables that cannot be read are named in `damaged`; the rest is aggregated.
///
/// # Errors
/// None at present; what is damaged is data.
pub fn summarize(run: &RunRecord) -> Result<Summary, Error> {
    of_detail(run, &Detail::whole())
}

/// What each repetition of a run says of some metrics. Other values, and whatever is said over repetitions, are absent.
///
/// # Errors
/// As [`summarize`].
pub fn samples(run: &RunRecord, metrics: &[Metric]) -> Result<Summary, Error> {
    of_detail(run, &Detail::samples(metrics, run.plan.limits.steady_state))
}

fn of_detail(run: &RunRecord, detail: &Detail) -> Result<Summary, Error> {
    let mut by_cell: Vec<Vec<&Repetition>> = vec![Vec::new(); run.plan.cells.len()];
    for repetition in &run.repetitions {
        by_cell[repetition.cell].push(repetition);
    }
    let summarized: Vec<(CellSummary, Vec<String>)> =
        run.plan.cells.par_iter().zip(&by_cell).map(|(cell, repetitions)| of_cell(run, cell, repetitions, detail)).collect();
    let (mut cells, of_cells): (Vec<CellSummary>, Vec<Vec<String>>) = summarized.into_iter().unzip();
    let metric = run.plan.repeat.as_ref().map_or(&Metric::Throughput, |r| &r.metric);
    if detail.over_repetitions {
        cells.par_iter_mut().for_each(|cell| cell.stability = stability::of_cell(cell, metric));
    }
    // A table that is read for two reasons is damaged once.
    let mut damaged = run.damaged.clone();
    for words in of_cells.into_iter().flatten() {
        if !damaged.contains(&words) {
            damaged.push(words);
        }
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
            vocabulary::units::human_bytes(host.memory_bytes as f64),
            host.system,
            host.kernel
        ),
        factors: run.plan.factors.iter().map(|f| (f.name.clone(), f.levels.iter().map(|l| l.label.clone()).collect())).collect(),
        repeated: run.plan.repeat.is_some(),
        stability_of: metric.name().to_owned(),
        decide: run.plan.repeat.as_ref().and_then(|r| r.decide.clone()),
        decisions: if detail.over_repetitions { decisions(run, &cells) } else { Vec::new() },
        expectations: match detail.over_repetitions {
            true => expectations::judge(&run.plan.expect, &cells, run.plan.is_in_rounds()),
            false => Vec::new(),
        },
        cells,
        damaged,
    })
}

/// What repeating was to decide.
fn decisions(run: &RunRecord, cells: &[CellSummary]) -> Vec<Decided> {
    let repeat = run.plan.repeat.as_ref();
    let found = repeat.and_then(|repeat| Some((&repeat.metric, repeat.decide.as_ref()?)));
    let of = |(metric, decide)| super::decisions::of_cells(cells, metric, decide, run.plan.repetitions);
    found.map(of).unwrap_or_default()
}

/// The summary of a cell from some of its repetitions, and which of their tables are damaged.
pub fn cell(run: &RunRecord, cell: &CellRecord, all: &[&Repetition]) -> (CellSummary, Vec<String>) {
    of_cell(run, cell, all, &Detail::whole())
}

fn of_cell(run: &RunRecord, cell: &CellRecord, all: &[&Repetition], detail: &Detail) -> (CellSummary, Vec<String>) {
    // What was repeated until something was known has as many as there are.
    let open_end = run.plan.repeat.as_ref().is_some_and(record::Repeat::is_open_ended);
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
    let watched = watched(cell);
    let window_ns = run.plan.window.as_nanos() as u64;
    let mut sums = CellSums::new(cell, detail);
    let mut steadiness: Vec<Steadiness> = Vec::new();
    let completed = std::mem::take(&mut valid);
    for some in completed.chunks(AT_A_TIME) {
        let read: Vec<RepetitionResults> =
            some.par_iter().map(|r| repetition::results(r, cell, &watched, window_ns, detail)).collect();
        for (repetition, results) in some.iter().zip(read) {
            let reasons = steadiness::reasons(&results.steadiness, cell, run.plan.limits.steady_state);
            note(&mut steadiness, cell, &results.steadiness);
            let number = repetition.status.repetition;
            if reasons.is_empty() {
                repetitions.valid += 1;
                repetitions.counted.push(number);
                sums.add(repetition, results, window_ns);
                valid.push(*repetition);
            } else {
                repetitions.invalid += 1;
                repetitions.reasons.extend(reasons.into_iter().map(|reason| (number, reason)));
            }
        }
    }
    let mut estimates = Estimates::new(detail.over_repetitions);
    let mut steps: Vec<StepSummary> = sums.steps.into_iter().filter_map(|(key, step)| step.finish(key, &mut estimates)).collect();
    let requests = requests::refine(&mut steps, &valid, cell, window_ns);
    steps.iter_mut().for_each(over_repetitions);
    let summary = CellSummary {
        cell: cell.id.clone(),
        levels: cell.levels.iter().cloned().collect(),
        skipped: cell.skipped.clone(),
        repetitions,
        steps,
        metrics: metrics(cell, sums.metrics, &mut estimates),
        limits: limits(cell, &valid, &mut estimates),
        targets: targets(cell, &watched, &valid, &sums.targets, &mut estimates),
        generator: generator(&sums.generator, &mut estimates),
        busy: busy(&valid),
        steadiness,
        loads: loads(cell, &valid, window_ns),
        stability: Vec::new(),
        counts: counts(&valid),
    };
    let [windows, resources, commands] = sums.damaged;
    (summary, windows.into_iter().chain(resources).chain(commands).chain(requests).collect())
}

/// Adds what the workloads of a repetition show.
fn note(steadiness: &mut Vec<Steadiness>, cell: &CellRecord, found: &[(String, Steady)]) {
    for (workload, steady) in found {
        let at = steadiness.iter().position(|s| s.workload == *workload).unwrap_or_else(|| {
            let auto_warm_up = cell.workloads.iter().any(|w| w.name == *workload && w.is_warmed_up_by_itself());
            steadiness.push(Steadiness { workload: workload.clone(), auto_warm_up, by_repetition: Vec::new() });
            steadiness.len() - 1
        });
        steadiness[at].by_repetition.push(*steady);
    }
}

/// What the loads of a cell were besides their results.
fn loads(cell: &CellRecord, valid: &[&Repetition], window_ns: u64) -> Vec<LoadSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        for phase in Phase::ALL.iter().filter(|p| !matches!(p, Phase::WarmUp | Phase::Search)) {
            let mine = |p: &&PhaseStatus| p.workload == workload.name && p.phase == phase.name();
            let found: Vec<&PhaseStatus> = valid.iter().filter_map(|r| r.status.phases.iter().find(mine)).collect();
            if found.is_empty() {
                continue;
            }
            let seconds = stats::median(&found.iter().map(|p| p.seconds()).collect::<Vec<f64>>());
            let tails: Vec<f64> = found.iter().filter_map(|p| p.tail_ns).map(|ns| ns as f64).collect();
            let mut at_end: BTreeMap<String, u64> = BTreeMap::new();
            for (outcome, count) in found.iter().flat_map(|p| &p.at_end) {
                *at_end.entry(outcome.clone()).or_default() += count;
            }
            let shortest_s = (window_ns as f64 / 1e9 * f64::from(FEWEST_WINDOWS)).max(SHORTEST_S);
            summaries.push(LoadSummary {
                workload: workload.name.clone(),
                phase: phase.name().to_owned(),
                seconds,
                least_seconds: shortest_s,
                // A program's own load is as long as it makes it; it is not known.
                is_short: !workload.is_program && seconds < shortest_s,
                at_end,
                at_end_longest_ns: found.iter().map(|p| p.at_end_longest_ns).max().unwrap_or_default(),
                silence_ns: found.iter().map(|p| p.silence_ns).max().unwrap_or_default(),
                tail_ns: (!tails.is_empty()).then(|| stats::median(&tails) as u64),
            });
        }
    }
    summaries
}

/// A load shorter than this says little, whatever its windows.
const SHORTEST_S: f64 = 1.0;

/// More than this share of the processors' time is much.
const MUCH: f64 = 0.1;

/// Who else used the processors during the load of valid repetitions, where that was much in the median.
fn busy(valid: &[&Repetition]) -> Option<String> {
    let hosts: Vec<_> = valid.iter().filter_map(|r| r.status.host).collect();
    let share = |of: fn(&record::status::HostStatus) -> f64| stats::median(&hosts.iter().map(of).collect::<Vec<_>>());
    let (others, steal) = (share(|h| h.others_share), share(|h| h.steal_share));
    let words = [(others, "other programs used"), (steal, "the hypervisor took")]
        .map(|(share, who)| (share > MUCH).then(|| format!("{who} {:.0} % of the processors' time", share * 100.0)));
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// What servers counted otherwise than was sent to them in valid repetitions, each target once.
fn counts(valid: &[&Repetition]) -> Vec<String> {
    let mut told: BTreeMap<&str, String> = BTreeMap::new();
    for one in valid.iter().flat_map(|r| &r.status.reconciled).filter(|one| !one.fits()) {
        told.entry(&one.target).or_insert_with(|| match (&one.seen, &one.unread) {
            (Some(seen), _) => format!("`{}` counted {seen} requests, and {} were sent to it", one.target, one.sent),
            (None, why) => format!("the count of `{}` could not be read: {}", one.target, why.as_deref().unwrap_or_default()),
        });
    }
    told.into_values().collect()
}

/// Targets, and programs that make the load: these are watched like targets.
fn watched(cell: &CellRecord) -> Vec<Named> {
    let commands = cell.workloads.iter().filter(|w| w.is_program);
    cell.targets.iter().cloned().chain(commands.map(|w| Named { name: w.name.clone() })).collect()
}

/// What the repetitions of a cell add up to.
struct CellSums {
    /// In the order in which they are shown.
    steps: Vec<(StepKey, StepSums)>,
    /// By workload, phase and name, one value per repetition that has it, with its number.
    metrics: BTreeMap<StepKey, Vec<(u32, f64)>>,
    /// Per repetition, which has this number, and per target in the order of [`watched`].
    targets: Vec<(u32, Vec<repetition::TargetResults>)>,
    /// Share of a processor, and requests per second of processor time.
    generator: Vec<(f64, f64)>,
    /// Windows, resources, metrics.
    damaged: [Vec<String>; 3],
}

impl CellSums {
    fn new(cell: &CellRecord, detail: &Detail) -> Self {
        let mut steps = Vec::new();
        for workload in &cell.workloads {
            let whole = WHOLE.to_owned();
            let names: Vec<String> = [whole].into_iter().chain(workload.steps.iter().cloned()).collect();
            for phase in ["before", "during", "after", "search", "warm-up"] {
                let key = |name: &String| (workload.name.clone(), phase.to_owned(), name.clone());
                let sums =
                    || StepSums { named: workload.outcomes.clone(), merges: detail.over_repetitions, ..StepSums::default() };
                steps.extend(names.iter().map(|name| (key(name), sums())));
            }
        }
        Self { steps, metrics: BTreeMap::new(), targets: Vec::new(), generator: Vec::new(), damaged: Default::default() }
    }

    fn add(&mut self, repetition: &Repetition, results: RepetitionResults, window_ns: u64) {
        let words = |error: &Error| vocabulary::errors::chain(error);
        match results.windows {
            Ok(merged) => {
                for (key, sums) in &mut self.steps {
                    // Where nothing was sent at all there are no rows, and what was offered counts nevertheless.
                    let Some(phase) = merged.phase(&key.0, &key.1) else { continue };
                    match merged.steps.get(key) {
                        Some(step) => {
                            sums.add(repetition.status.repetition, phase, step, window_ns);
                            let (workload, phase, name) = key;
                            let shares =
                                sums.named.iter().filter(|_| name == WHOLE).map(|outcome| (outcome, step.share(outcome)));
                            for (outcome, share) in shares {
                                let key = (workload.clone(), phase.clone(), outcome.clone());
                                self.metrics.entry(key).or_default().push((repetition.status.repetition, share * 100.0));
                            }
                        }
                        None if phase.unsent > 0 => {
                            sums.add(repetition.status.repetition, phase, &StepCounts::default(), window_ns);
                        }
                        None => {}
                    }
                }
                self.generator.extend(repetition::generator(repetition, &merged));
            }
            Err(error) => self.damaged[0].push(words(&error)),
        }
        match results.targets {
            Ok(targets) => self.targets.extend(targets.map(|targets| (repetition.status.repetition, targets))),
            Err(error) => self.damaged[1].push(words(&error)),
        }
        match results.metrics {
            Ok(rows) => rows.into_iter().for_each(|(key, value)| {
                self.metrics.entry(key).or_default().push((repetition.status.repetition, value));
            }),
            Err(error) => self.damaged[2].push(words(&error)),
        }
    }
}

/// What a step adds up to.
#[derive(Default)]
struct StepSums {
    /// The outcomes for which the scenario has names.
    named: Vec<String>,
    /// Whether the distributions of all requests are wanted.
    merges: bool,
    outcomes: BTreeMap<String, u64>,
    sent_bytes: u64,
    received_bytes: u64,
    times: DistributionSums,
    by_repetition: Vec<StepRepetition>,
}

impl StepSums {
    fn add(&mut self, repetition: u32, phase: &PhaseStatus, step: &StepCounts, window_ns: u64) {
        for (outcome, count) in &step.outcomes {
            *self.outcomes.entry(outcome.clone()).or_default() += count;
        }
        let completed = step.completed;
        self.sent_bytes += completed.sent_bytes;
        self.received_bytes += completed.received_bytes;
        if self.merges {
            self.times.add(&step.times);
        }
        let count = |outcome: &str| step.outcomes.get(outcome).copied().unwrap_or_default();
        let ok = count("ok");
        let seconds = phase.seconds();
        let [service_ns, response_ns, lag_ns, connect_ns, first_byte_ns] = step.times.times();
        self.by_repetition.push(StepRepetition {
            repetition,
            requests: step.outcomes.values().sum(),
            ok,
            named: self.named.iter().map(|name| count(name)).sum(),
            offered: phase.offered,
            unsent: phase.unsent,
            open: count(Outcome::Open.name(&[])),
            seconds,
            throughput_per_s: completed.ok as f64 / seconds,
            throughput_stdev_per_s: step.throughput_stdev(phase, window_ns),
            upload_bytes_per_s: completed.sent_bytes as f64 / seconds,
            download_bytes_per_s: completed.received_bytes as f64 / seconds,
            service_ns,
            response_ns,
            lag_ns,
            connect_ns,
            first_byte_ns,
        });
    }

    /// None when the step never occurred.
    fn finish(self, (workload, phase, step): StepKey, estimates: &mut Estimates) -> Option<StepSummary> {
        let by_repetition = self.by_repetition;
        if by_repetition.is_empty() {
            return None;
        }
        let mut estimated = |of: fn(&StepRepetition) -> f64| estimates.of(&by_repetition.iter().map(of).collect::<Vec<f64>>());
        let throughput_per_s = estimated(|r| r.throughput_per_s);
        let mut moved = |bytes: u64, of: fn(&StepRepetition) -> f64| (bytes > 0).then(|| estimated(of)).flatten();
        let upload_bytes_per_s = moved(self.sent_bytes, |r| r.upload_bytes_per_s);
        let download_bytes_per_s = moved(self.received_bytes, |r| r.download_bytes_per_s);
        let mut outcomes = self.outcomes;
        let requests = outcomes.values().sum();
        let ok = outcomes.remove("ok").unwrap_or_default();
        let named = self.named.into_iter().map(|name| (outcomes.remove(&name).unwrap_or_default(), name));
        let named = named.map(|(count, name)| (name, count)).collect();
        let open = outcomes.remove(Outcome::Open.name(&[])).unwrap_or_default();
        let distributions = self.times.finish();
        let [service_ns, response_ns, lag_ns, connect_ns, first_byte_ns] = distributions.times();
        Some(StepSummary {
            workload,
            phase,
            step,
            requests,
            ok,
            named,
            errors: outcomes,
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            offered: by_repetition.iter().map(|r| r.offered).sum(),
            unsent: by_repetition.iter().map(|r| r.unsent).sum(),
            open,
            throughput_per_s,
            upload_bytes_per_s,
            download_bytes_per_s,
            service_ns: None,
            response_ns: None,
            lag_ns: None,
            connect_ns: None,
            first_byte_ns: None,
            all_requests: AllTimes { service_ns, response_ns, lag_ns, connect_ns, first_byte_ns },
            by_repetition,
            distributions,
        })
    }
}

/// Of each time the medians over repetitions.
fn over_repetitions(step: &mut StepSummary) {
    let all = &step.by_repetition;
    let median = |of: fn(&StepRepetition) -> Option<Times>| medians(&all.iter().filter_map(of).collect::<Vec<Times>>());
    step.service_ns = median(|r| r.service_ns);
    step.response_ns = median(|r| r.response_ns);
    step.lag_ns = median(|r| r.lag_ns);
    step.connect_ns = median(|r| r.connect_ns);
    step.first_byte_ns = median(|r| r.first_byte_ns);
}

/// What commands brought and what was collected, one value per repetition.
fn metrics(cell: &CellRecord, found: BTreeMap<StepKey, Vec<(u32, f64)>>, estimates: &mut Estimates) -> Vec<MetricSummary> {
    let of_metric = |workload: &str, metric: &str| {
        let collected = cell.collect.iter().filter(|c| c.name == workload).flat_map(|c| &c.metrics);
        if let Some(found) = collected.into_iter().find(|m| m.name == metric) {
            return (found.unit.clone(), Interest::Question);
        }
        let workloads = || cell.workloads.iter().filter(|w| w.name == workload);
        if workloads().any(|w| w.outcomes.iter().any(|name| name == metric)) {
            return ("%".to_owned(), Interest::Question);
        }
        let brought = workloads().flat_map(|w| &w.metrics).find(|m| m.name == metric);
        brought.map_or_else(|| (String::new(), Interest::Question), |m| (m.unit.clone(), m.interest))
    };
    let summaries = found.into_iter().filter_map(|((workload, phase, metric), values)| {
        let (repetitions, values): (Vec<u32>, Vec<f64>) = values.into_iter().unzip();
        let ((unit, interest), value) = (of_metric(&workload, &metric), estimates.of(&values)?);
        Some(MetricSummary { unit, value, workload, phase, metric, repetitions, interest })
    });
    summaries.collect()
}

/// The highest rates that searches found.
fn limits(cell: &CellRecord, valid: &[&Repetition], estimates: &mut Estimates) -> Vec<SearchSummary> {
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
            let rate_per_s = estimates.of(&rates);
            summaries.push(SearchSummary {
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

fn targets(
    cell: &CellRecord,
    watched: &[Named],
    valid: &[&Repetition],
    found: &[(u32, Vec<repetition::TargetResults>)],
    estimates: &mut Estimates,
) -> Vec<TargetSummary> {
    // Behind the targets are the programs that make the load.
    let first_command = cell.targets.len();
    let summary = |(index, target): (usize, &Named)| {
        let statuses = || valid.iter().map(|r| r.status.targets.iter().filter(|t| t.target == target.name));
        let start_up: Vec<f64> = statuses().filter_map(|t| t.filter_map(|t| t.start_up_ns).max()).map(|ns| ns as f64).collect();
        let load: Vec<Resources> = found.iter().map(|(_, targets)| targets[index].load).collect();
        let mut over =
            |all: &[Resources], of: fn(&Resources) -> Option<f64>| estimates.of(&all.iter().filter_map(of).collect::<Vec<f64>>());
        let in_phase = |phase: Phase| {
            let one = |(number, targets): &(u32, Vec<repetition::TargetResults>)| {
                let of_phase = targets[index].phases.iter().find(|(name, _)| *name == phase.name());
                of_phase.map(|(_, resources)| (*number, *resources))
            };
            (phase.name(), found.iter().filter_map(one).collect::<Vec<_>>())
        };
        let by_phase: Vec<(&str, Vec<(u32, Resources)>)> =
            Phase::ALL.into_iter().map(in_phase).filter(|(_, found)| !found.is_empty()).collect();
        let phases = by_phase.into_iter().map(|(phase, by_repetition)| {
            let all: Vec<Resources> = by_repetition.iter().map(|(_, resources)| *resources).collect();
            TargetPhase {
                phase: phase.to_owned(),
                pss_bytes: over(&all, |t| t.pss_bytes),
                rss_bytes: over(&all, |t| t.rss_bytes),
                cpu_cores: over(&all, |t| t.cpu_cores),
                threads: over(&all, |t| t.threads),
                open_files: over(&all, |t| t.open_files),
                cpu_per_request_ns: over(&all, |t| t.cpu_per_request_ns),
                switches_per_request: over(&all, |t| t.switches_per_request),
                io_per_request_bytes: over(&all, |t| t.io_per_request_bytes),
                by_repetition,
            }
        });
        let phases = phases.collect();
        TargetSummary {
            target: target.name.clone(),
            replicas: statuses().map(|t| t.count() as u32).max().unwrap_or_default(),
            watched: statuses().flatten().any(|t| t.pid.is_some())
                || watched[first_command..].iter().any(|c| c.name == target.name),
            pss_bytes: over(&load, |t| t.pss_bytes),
            rss_bytes: over(&load, |t| t.rss_bytes),
            cpu_cores: over(&load, |t| t.cpu_cores),
            threads: over(&load, |t| t.threads),
            open_files: over(&load, |t| t.open_files),
            cpu_per_request_ns: over(&load, |t| t.cpu_per_request_ns),
            switches_per_request: over(&load, |t| t.switches_per_request),
            io_per_request_bytes: over(&load, |t| t.io_per_request_bytes),
            phases,
            start_up_ns: estimates.of(&start_up),
        }
    };
    watched.iter().enumerate().map(summary).collect()
}

fn generator(found: &[(f64, f64)], estimates: &mut Estimates) -> Option<GeneratorSummary> {
    let (share, rate): (Vec<f64>, Vec<f64>) = found.iter().copied().unzip();
    Some(GeneratorSummary { cpu_share: estimates.of(&share)?, requests_per_cpu_s: estimates.of(&rate)? })
}
