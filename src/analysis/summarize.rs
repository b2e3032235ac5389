//! The summary of a run, made of the figures of its cells.
//!
//! Cells, and repetitions in them, are spread over all cores. Of a repetition only its figures stay; its distributions go into
//! the sums of its cell, some repetitions at a time. What is added up over rows are integers, and figures are kept in the order
//! of the repetitions: the summary is the same bytes, however many cores there are.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::cells::{Figures, Part, Series};
use super::cores::{on_a_thread, on_all_cores};
use super::detail::Detail;
use super::estimate::Estimates;
use super::figures::{
    self, GENERATOR_CPU, GENERATOR_RATE, OF_OUTCOME, OFFERED_PASSES, RECEIVED_BYTES, REQUESTS, SENT_BYTES, UNSENT_PASSES,
};
use super::measured::Measured;
use super::requests::{self, StepTimes};
use super::stats;
use super::steadiness::{self, Steadiness, Steady};
use super::summary::{
    AllTimes, CellSummary, Decided, GeneratorSummary, LoadSummary, MetricSummary, Repetitions, SearchSummary, StepRepetition,
    StepSummary, Summary, TargetPhase, TargetSummary, Times,
};
use super::times::medians;
use super::windows::{DistributionSums, StepKey, load_bounds, phase_bounds};
use super::{Error, expectations, stability};
use record::read::{CellRecord, Named};
use record::status::PhaseStatus;
use record::tables::WHOLE;
use record::{FORMAT, Repetition, RunRecord, Verdict};
use vocabulary::rows::FEWEST_WINDOWS;
use vocabulary::{Interest, Metric, Outcome, Phase, Quantile, Time};

/// Repetitions whose tables are in memory at a time, for each cell that is worked on.
const AT_A_TIME: usize = 64;

/// Aggregates a run. Tables that cannot be read are named in `damaged`; the rest is aggregated.
///
/// # Errors
/// [`Error::Figures`], which is a fault of this program: what is damaged is data.
pub fn summarize(run: &RunRecord) -> Result<Summary, Error> {
    on_a_thread(|| of_detail(run, &Detail::whole()))
}

/// What each repetition of a run says of some metrics. Other values, and whatever is said over repetitions, are absent.
///
/// # Errors
/// As [`summarize`].
pub fn samples(run: &RunRecord, metrics: &[Metric]) -> Result<Summary, Error> {
    on_a_thread(|| of_detail(run, &Detail::samples(metrics, run.plan.limits.steady_state)))
}

fn of_detail(run: &RunRecord, detail: &Detail) -> Result<Summary, Error> {
    let mut by_cell: Vec<Vec<&Repetition>> = vec![Vec::new(); run.plan.cells.len()];
    for repetition in &run.repetitions {
        by_cell[repetition.cell].push(repetition);
    }
    let of_cell = |(cell, repetitions): (&CellRecord, &Vec<&Repetition>)| of_cell(run, cell, repetitions, detail);
    let of_cells: Vec<(&CellRecord, &Vec<&Repetition>)> = run.plan.cells.iter().zip(&by_cell).collect();
    let summarized: Vec<(CellSummary, Vec<String>)> =
        on_all_cores(&of_cells, |of| of_cell(*of)).into_iter().collect::<Result<_, Error>>()?;
    let (mut cells, of_cells): (Vec<CellSummary>, Vec<Vec<String>>) = summarized.into_iter().unzip();
    let metric = run.plan.repeat.as_ref().map_or(&Metric::Throughput, |r| &r.metric);
    if detail.over_repetitions {
        let found = on_all_cores(&cells, |cell| stability::of_cell(cell, metric));
        cells.iter_mut().zip(found).for_each(|(cell, found)| cell.stability = found);
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
///
/// # Errors
/// As [`summarize`].
pub fn cell(run: &RunRecord, cell: &CellRecord, all: &[&Repetition]) -> Result<(CellSummary, Vec<String>), Error> {
    on_a_thread(|| of_cell(run, cell, all, &Detail::whole()))
}

fn of_cell(
    run: &RunRecord,
    cell: &CellRecord,
    all: &[&Repetition],
    detail: &Detail,
) -> Result<(CellSummary, Vec<String>), Error> {
    let window_ns = run.plan.window.as_nanos() as u64;
    let (mut repetitions, completed, others) = by_verdict(run, cell, all);
    let mut sums = CellSums::default();
    for some in completed.chunks(AT_A_TIME) {
        let measured = Measured::read(cell, some, window_ns, detail)?;
        sums.frames.push(figures::figures(&measured, detail)?);
        let mut unsteady = Vec::new();
        for repetition in some {
            let number = repetition.status.repetition;
            let found = &measured.steadiness[&number];
            let reasons = steadiness::reasons(found, cell, run.plan.limits.steady_state);
            note(&mut sums.steadiness, cell, found);
            if reasons.is_empty() {
                repetitions.valid += 1;
                repetitions.counted.push(number);
                sums.counted.push(*repetition);
            } else {
                repetitions.invalid += 1;
                sums.excluded.insert(number, reasons.join("; "));
                repetitions.reasons.extend(reasons.into_iter().map(|reason| (number, reason)));
                unsteady.push(number);
            }
        }
        sums.add(measured, &unsteady, detail);
    }
    // What does not count is told beside what does. What it left may be in any state.
    if detail.over_repetitions {
        for some in others.chunks(AT_A_TIME) {
            let measured = Measured::read(cell, some, window_ns, detail)?;
            sums.frames.push(figures::figures(&measured, detail)?);
            // One that failed may have left anything; one that was completed left what can be read.
            let failed = some.iter().filter(|r| matches!(r.status.verdict, Verdict::Failed { .. }));
            let failed: Vec<u32> = failed.map(|r| r.status.repetition).collect();
            sums.name_damage(measured.damaged, &failed);
            sums.excluded.extend(some.iter().map(|r| (r.status.repetition, excluded(&r.status.verdict))));
        }
    }
    let CellSums { frames, excluded, counted: valid, steadiness, mut times, phases, damaged } = sums;
    let rows: Vec<LazyFrame> = frames.into_iter().map(DataFrame::lazy).collect();
    let mut figures = match rows.is_empty() {
        true => Figures::default(),
        false => Figures::new(concat(rows, UnionArgs::default())?, excluded)?,
    };
    let units = |s: &Series| ((s.part.workload.clone(), s.metric.clone()), brought_as(cell, &s.part.workload, &s.metric).0);
    figures.units = figures.brought().map(units).collect();
    let mut steps: Vec<StepTimes> = step_keys(cell)
        .map(|key| StepTimes { distributions: times.remove(&key).unwrap_or_default().finish(), key, all: AllTimes::default() })
        .filter(|step| !figures.values(&step.part(), REQUESTS).is_empty())
        .collect();
    for step in &mut steps {
        let [service_ns, response_ns, lag_ns, connect_ns, first_byte_ns] = step.distributions.times();
        step.all = AllTimes { service_ns, response_ns, lag_ns, connect_ns, first_byte_ns };
    }
    let requests = requests::refine(&mut figures, &mut steps, &valid, cell, window_ns);
    let mut estimates = Estimates::new(detail.over_repetitions);
    let watched = watched(cell);
    let summary = CellSummary {
        cell: cell.id.clone(),
        levels: cell.levels.iter().cloned().collect(),
        skipped: cell.skipped.clone(),
        repetitions,
        steps: steps.into_iter().map(|step| step_summary(cell, &figures, step, &mut estimates)).collect(),
        metrics: metrics(cell, &figures, &mut estimates),
        limits: limits(cell, &valid, &figures, &mut estimates),
        targets: targets(cell, &watched, &valid, &phases, &figures, &mut estimates),
        generator: generator(&figures, &mut estimates),
        busy: busy(&valid),
        steadiness,
        loads: loads(cell, &valid, window_ns),
        stability: Vec::new(),
        counts: counts(&valid),
        figures,
    };
    let [windows, resources, commands] = damaged;
    Ok((summary, windows.into_iter().chain(resources).chain(commands).chain(requests).collect()))
}

/// What became of the repetitions of a cell so far, those that were completed and may count, and the others.
fn by_verdict<'r>(
    run: &RunRecord,
    cell: &CellRecord,
    all: &[&'r Repetition],
) -> (Repetitions, Vec<&'r Repetition>, Vec<&'r Repetition>) {
    // What was repeated until something was known has as many as there are.
    let open_end = run.plan.repeat.as_ref().is_some_and(record::Repeat::is_open_ended);
    let rounds = || run.repetitions.iter().map(|r| r.status.repetition).max().unwrap_or_default();
    let planned = if open_end { rounds() } else { run.plan.repetitions };
    let mut repetitions = Repetitions { planned, ..Repetitions::default() };
    if cell.skipped.is_some() {
        repetitions.planned = 0;
    }
    let (mut completed, mut others) = (Vec::new(), Vec::new());
    for repetition in all {
        let status = &repetition.status;
        for error in &status.errors {
            if !repetitions.errors.contains(error) && repetitions.errors.len() < 10 {
                repetitions.errors.push(error.clone());
            }
        }
        match &status.verdict {
            Verdict::Valid => {
                completed.push(*repetition);
                continue;
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
        others.push(*repetition);
    }
    (repetitions, completed, others)
}

/// Why a repetition with this verdict does not count, in words.
fn excluded(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid => String::new(),
        Verdict::Invalid { reasons } if reasons.is_empty() => "invalid".to_owned(),
        Verdict::Invalid { reasons } => reasons.join("; "),
        Verdict::Failed { reason } => format!("failed: {reason}"),
    }
}

/// The steps of a cell in the order in which they are shown.
fn step_keys(cell: &CellRecord) -> impl Iterator<Item = StepKey> {
    cell.workloads.iter().flat_map(|workload| {
        let mut names: Vec<&str> = vec![WHOLE];
        workload.steps.iter().for_each(|step| {
            if !names.contains(&step.as_str()) {
                names.push(step)
            }
        });
        let phases = [Phase::Before, Phase::During, Phase::After, Phase::Search, Phase::WarmUp];
        let key = move |phase: Phase, name: &str| (workload.name.clone(), phase.name().to_owned(), name.to_owned());
        phases.into_iter().flat_map(move |phase| names.clone().into_iter().map(move |name| key(phase, name)))
    })
}

/// What the repetitions of a cell leave behind.
#[derive(Default)]
struct CellSums<'r> {
    frames: Vec<DataFrame>,
    /// Why repetitions do not count.
    excluded: BTreeMap<u32, String>,
    counted: Vec<&'r Repetition>,
    steadiness: Vec<Steadiness>,
    /// Distributions of all requests, by step.
    times: BTreeMap<StepKey, DistributionSums>,
    /// Phases in which targets were watched.
    phases: Vec<&'static str>,
    /// Windows, resources, metrics.
    damaged: [Vec<String>; 3],
}

impl CellSums<'_> {
    /// Names what is damaged of all repetitions but those in `without`.
    fn name_damage(&mut self, damaged: [Vec<(u32, Error)>; 3], without: &[u32]) {
        for (words, damaged) in self.damaged.iter_mut().zip(damaged) {
            let named = damaged.iter().filter(|(number, _)| !without.contains(number));
            words.extend(named.map(|(_, error)| vocabulary::errors::chain(error)));
        }
    }

    /// Adds repetitions but those in `unsteady`, which do not count.
    fn add(&mut self, measured: Measured<'_>, unsteady: &[u32], detail: &Detail) {
        self.name_damage(measured.damaged, &[]);
        for (number, steps) in measured.distributions.iter().filter(|(number, _)| !unsteady.contains(number)) {
            if detail.over_repetitions && !measured.without_windows.contains(number) {
                for (key, distributions) in steps {
                    self.times.entry(key.clone()).or_default().add(distributions);
                }
            }
        }
        let watched = |number: &u32| !unsteady.contains(number) && !measured.without_samples.contains(number);
        for (_, phases) in measured.phases.iter().filter(|(number, _)| !detail.resources.is_empty() && watched(number)) {
            if load_bounds(phases).is_some() {
                self.phases.extend(phase_bounds(phases).into_iter().map(|(phase, _)| phase));
            }
        }
        self.phases = Phase::ALL.map(Phase::name).into_iter().filter(|phase| self.phases.contains(phase)).collect();
    }
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

/// One step of a workload in one phase.
fn step_summary(cell: &CellRecord, figures: &Figures, times: StepTimes, estimates: &mut Estimates) -> StepSummary {
    let part = times.part();
    let named = cell.workloads.iter().filter(|w| w.name == part.workload).flat_map(|w| &w.outcomes);
    let named: Vec<String> = named.cloned().collect();
    let sum = |metric: &str| figures.values(&part, metric).iter().map(|(_, value)| *value as u64).sum::<u64>();
    let count = |outcome: &str| sum(&format!("{OF_OUTCOME}{outcome}"));
    let mut estimated = |metric: Metric| {
        let values: Vec<f64> = figures.values(&part, metric.name()).iter().map(|(_, value)| *value).collect();
        estimates.of(&values)
    };
    let throughput_per_s = estimated(Metric::Throughput);
    let (sent_bytes, received_bytes) = (sum(SENT_BYTES), sum(RECEIVED_BYTES));
    let upload_bytes_per_s = (sent_bytes > 0).then(|| estimated(Metric::Upload)).flatten();
    let download_bytes_per_s = (received_bytes > 0).then(|| estimated(Metric::Download)).flatten();
    let open = Outcome::Open.name(&[]);
    let outcomes = figures.of_part(&part).iter().filter(|s| !s.values.is_empty());
    let all = |values: &[(u32, f64)]| values.iter().map(|(_, value)| *value as u64).sum::<u64>();
    let outcomes = outcomes.filter_map(|s| Some((s.metric.strip_prefix(OF_OUTCOME)?.to_owned(), all(&s.values))));
    let is_error = |outcome: &String| outcome != "ok" && outcome != open && !named.contains(outcome);
    let by_repetition = by_repetition(figures, &part, &named);
    let median = |of: fn(&StepRepetition) -> Option<Times>| medians(&by_repetition.iter().filter_map(of).collect::<Vec<Times>>());
    StepSummary {
        requests: sum(REQUESTS),
        ok: count("ok"),
        named: named.iter().map(|name| (name.clone(), count(name))).collect(),
        errors: outcomes.filter(|(outcome, _)| is_error(outcome)).collect(),
        sent_bytes,
        received_bytes,
        offered: sum(OFFERED_PASSES),
        unsent: sum(UNSENT_PASSES),
        open: count(open),
        throughput_per_s,
        upload_bytes_per_s,
        download_bytes_per_s,
        service_ns: median(|r| r.service_ns),
        response_ns: median(|r| r.response_ns),
        lag_ns: median(|r| r.lag_ns),
        connect_ns: median(|r| r.connect_ns),
        first_byte_ns: median(|r| r.first_byte_ns),
        all_requests: times.all,
        by_repetition,
        distributions: times.distributions,
        workload: part.workload,
        phase: part.phase,
        step: part.step,
    }
}

/// A step in each repetition that counts. `named`: outcomes for which the scenario has names.
fn by_repetition(figures: &Figures, part: &Part, named: &[String]) -> Vec<StepRepetition> {
    // Each metric is looked for once, and then has its values by number of the repetition.
    let of_name = |metric: &str| ByNumber(figures.values(part, metric));
    let of = |metric: Metric| of_name(metric.name());
    let outcome = |name: &str| of_name(&format!("{OF_OUTCOME}{name}"));
    let (requests, ok, open) = (of_name(REQUESTS), outcome("ok"), outcome(Outcome::Open.name(&[])));
    let named: Vec<ByNumber<'_>> = named.iter().map(|name| outcome(name)).collect();
    let (offered, unsent) = (of_name(OFFERED_PASSES), of_name(UNSENT_PASSES));
    let (duration, throughput, spread) = (of(Metric::Duration), of(Metric::Throughput), of(Metric::ThroughputStdev));
    let (upload, download) = (of(Metric::Upload), of(Metric::Download));
    let times = |time: Time| Quantile::ALL.map(|(_, _, quantile)| of(Metric::Time(time, quantile)));
    let [service, response, lag, connect, first_byte] =
        [Time::Service, Time::Response, Time::Lag, Time::Connect, Time::FirstByte].map(times);
    let one = |number: u32| {
        let times = |of: &[ByNumber<'_>; Quantile::ALL.len()]| {
            let [mean, standard_deviation, p50, p90, p95, p99, p99_9, max] = of.each_ref().map(|values| values.at(number));
            let ns = |value: Option<f64>| value.map(|ns| ns as u64);
            Some(Times {
                mean: mean?,
                standard_deviation: standard_deviation?,
                p50: ns(p50)?,
                p90: ns(p90)?,
                p95: ns(p95)?,
                p99: ns(p99)?,
                p99_9: ns(p99_9)?,
                max: ns(max)?,
            })
        };
        StepRepetition {
            repetition: number,
            requests: requests.count(number),
            ok: ok.count(number),
            named: named.iter().map(|of| of.count(number)).sum(),
            offered: offered.count(number),
            unsent: unsent.count(number),
            open: open.count(number),
            seconds: duration.at(number).unwrap_or_default() / 1e9,
            throughput_per_s: throughput.at(number).unwrap_or_default(),
            throughput_stdev_per_s: spread.at(number),
            upload_bytes_per_s: upload.at(number).unwrap_or_default(),
            download_bytes_per_s: download.at(number).unwrap_or_default(),
            service_ns: times(&service),
            response_ns: times(&response),
            lag_ns: times(&lag),
            connect_ns: times(&connect),
            first_byte_ns: times(&first_byte),
        }
    };
    requests.0.iter().map(|(number, _)| one(*number)).collect()
}

/// Values of one metric, ascending by the number of the repetition.
struct ByNumber<'f>(&'f [(u32, f64)]);

impl ByNumber<'_> {
    fn at(&self, number: u32) -> Option<f64> {
        self.0.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| self.0[at].1)
    }

    fn count(&self, number: u32) -> u64 {
        self.at(number).unwrap_or_default() as u64
    }
}

/// The unit of what was brought, and how much it interests.
fn brought_as(cell: &CellRecord, workload: &str, metric: &str) -> (String, Interest) {
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
}

/// What commands brought and what was collected, one value per repetition.
fn metrics(cell: &CellRecord, figures: &Figures, estimates: &mut Estimates) -> Vec<MetricSummary> {
    let summary = |series: &Series| {
        let values: Vec<f64> = series.values.iter().map(|(_, value)| *value).collect();
        let (workload, phase, metric) = (series.part.workload.clone(), series.part.phase.clone(), series.metric.clone());
        let ((unit, interest), value) = (brought_as(cell, &workload, &metric), estimates.of(&values)?);
        Some(MetricSummary { unit, value, workload, phase, metric, interest })
    };
    figures.brought().filter_map(summary).collect()
}

/// The highest rates that searches found.
fn limits(cell: &CellRecord, valid: &[&Repetition], figures: &Figures, estimates: &mut Estimates) -> Vec<SearchSummary> {
    let mut summaries = Vec::new();
    for workload in &cell.workloads {
        let (mut below_range, mut above_range, mut trials) = (0, 0, 0);
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
            }
        }
        if trials > 0 {
            reasons.truncate(5);
            let part = Part { workload: workload.name.clone(), ..Part::default() };
            let rates: Vec<f64> = figures.values(&part, Metric::Limit.name()).iter().map(|(_, rate)| *rate).collect();
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
    phases: &[&'static str],
    figures: &Figures,
    estimates: &mut Estimates,
) -> Vec<TargetSummary> {
    // Behind the targets are the programs that make the load.
    let first_command = cell.targets.len();
    let summary = |target: &Named| {
        let statuses = || valid.iter().map(|r| r.status.targets.iter().filter(|t| t.target == target.name));
        let mut of = |phase: &str, metric: Metric| {
            let part = Part { target: target.name.clone(), phase: phase.to_owned(), ..Part::default() };
            let values: Vec<f64> = figures.values(&part, metric.name()).iter().map(|(_, value)| *value).collect();
            estimates.of(&values)
        };
        let in_phase = |phase: &&str| TargetPhase {
            phase: (*phase).to_owned(),
            pss_bytes: of(phase, Metric::Pss),
            rss_bytes: of(phase, Metric::Rss),
            cpu_cores: of(phase, Metric::Cpu),
            threads: of(phase, Metric::Threads),
            open_files: of(phase, Metric::OpenFiles),
            cpu_per_request_ns: of(phase, Metric::CpuPerRequest),
            switches_per_request: of(phase, Metric::SwitchesPerRequest),
            io_per_request_bytes: of(phase, Metric::IoPerRequest),
        };
        TargetSummary {
            target: target.name.clone(),
            replicas: statuses().map(|t| t.count() as u32).max().unwrap_or_default(),
            watched: statuses().flatten().any(|t| t.pid.is_some())
                || watched[first_command..].iter().any(|c| c.name == target.name),
            phases: phases.iter().map(in_phase).collect(),
            pss_bytes: of("", Metric::Pss),
            rss_bytes: of("", Metric::Rss),
            cpu_cores: of("", Metric::Cpu),
            threads: of("", Metric::Threads),
            open_files: of("", Metric::OpenFiles),
            cpu_per_request_ns: of("", Metric::CpuPerRequest),
            switches_per_request: of("", Metric::SwitchesPerRequest),
            io_per_request_bytes: of("", Metric::IoPerRequest),
            start_up_ns: of("", Metric::StartUp),
        }
    };
    watched.iter().map(summary).collect()
}

fn generator(figures: &Figures, estimates: &mut Estimates) -> Option<GeneratorSummary> {
    let mut of = |metric: &str| {
        let values: Vec<f64> = figures.values(&Part::default(), metric).iter().map(|(_, value)| *value).collect();
        estimates.of(&values)
    };
    Some(GeneratorSummary { cpu_share: of(GENERATOR_CPU)?, requests_per_cpu_s: of(GENERATOR_RATE)? })
}
