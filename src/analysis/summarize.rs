//! The summary of a run, made from the figures of its cells.
//!
//! Cells, and repetitions in them, are spread over all cores. Of a repetition only its figures are kept; its distributions
//! are added to the sums of its cell, some repetitions at a time. What is added up over rows are integers, and figures are
//! kept in the order of the repetitions: the summary has the same bytes, however many cores there are.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::cells::{Figures, Series};
use super::compare::Rounds;
use super::cores::{on_a_thread, on_all_cores};
use super::detail::Detail;
use super::estimate::Estimates;
use super::figures::{self, REQUESTS, step_names};
use super::measured::Measured;
use super::requests::{self, StepTimes};
use super::shape;
use super::stages::{self, Stage};
use super::steadiness::{self, Steadiness, Steady};
use super::summary::{AllTimes, CellSummary, Decided, Repetitions, Summary};
use super::windows::{DistributionSums, StepKey, load_bounds, phase_bounds};
use super::{Error, expectations, stability};
use record::read::CellRecord;
use record::{FORMAT, Repetition, RunRecord, Verdict};
use vocabulary::{Metric, Phase};

/// How many repetitions' tables are in memory at a time, for each cell in progress.
const AT_A_TIME: usize = 64;

/// Aggregates a run. Tables that cannot be read are named in `damaged`; the rest is aggregated.
///
/// # Errors
/// [`Error::Figures`], which is a bug in this program: damaged tables are data.
pub fn summarize(run: &RunRecord) -> Result<Summary, Error> {
    on_a_thread(|| of_detail(run, &Detail::whole()))
}

/// The values of some metrics in each repetition of a run. Other values, and anything over repetitions, are absent.
///
/// # Errors
/// See [`summarize`].
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
    // A table that is read for two reasons counts as damaged once.
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
            true => expectations::judge(&run.plan.expect, &cells, &Rounds::of(run)),
            false => Vec::new(),
        },
        cells,
        gaps: super::gaps::summarize(&run.gaps),
        nodes: super::nodes::of(run),
        node_differences: super::nodes::differences(run),
        damaged,
    })
}

/// What repeating was meant to decide.
fn decisions(run: &RunRecord, cells: &[CellSummary]) -> Vec<Decided> {
    let repeat = run.plan.repeat.as_ref();
    let found = repeat.and_then(|repeat| Some((&repeat.metric, repeat.decide.as_ref()?)));
    let of = |(metric, decide)| super::decisions::of_cells(cells, metric, decide, run.plan.repetitions);
    found.map(of).unwrap_or_default()
}

/// The summary of a cell from some of its repetitions, and which of their tables are damaged.
///
/// # Errors
/// See [`summarize`].
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
    // Repetitions that do not count are shown next to those that do. Their files may be in any state.
    if detail.over_repetitions {
        for some in others.chunks(AT_A_TIME) {
            let measured = Measured::read(cell, some, window_ns, detail)?;
            sums.frames.push(figures::figures(&measured, detail)?);
            // A failed repetition may have left anything; a completed repetition has left readable tables.
            let failed = some.iter().filter(|r| matches!(r.status.verdict, Verdict::Failed { .. }));
            let failed: Vec<u32> = failed.map(|r| r.status.repetition).collect();
            sums.name_damage(measured.damaged, &failed);
            sums.excluded.extend(some.iter().map(|r| (r.status.repetition, excluded(&r.status.verdict))));
        }
    }
    let CellSums { frames, excluded, counted: valid, steadiness, mut times, phases, stages, damaged } = sums;
    let rows: Vec<LazyFrame> = frames.into_iter().map(DataFrame::lazy).collect();
    let mut figures = match rows.is_empty() {
        true => Figures::default(),
        false => Figures::new(concat(rows, UnionArgs::default())?, excluded)?,
    };
    let units =
        |s: &Series| ((s.part.workload.clone(), s.metric.clone()), shape::brought_as(cell, &s.part.workload, &s.metric).0);
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
    let between_machines = shape::known_between_machines(&valid).filter(|_| !cell.taps.is_empty());
    let mut estimates = Estimates::new(detail.over_repetitions);
    let watched = shape::watched(cell);
    let summary = CellSummary {
        faults: cell.faults.list.iter().map(|fault| fault.name.clone()).collect(),
        cell: cell.id.clone(),
        levels: cell.levels.iter().cloned().collect(),
        skipped: cell.skipped.clone(),
        repetitions,
        steps: steps.into_iter().map(|step| shape::step_summary(cell, &figures, step, &mut estimates)).collect(),
        metrics: shape::metrics(cell, &figures, &mut estimates),
        limits: shape::limits(cell, &valid, &figures, &mut estimates),
        targets: shape::targets(cell, &watched, &valid, &phases, &figures, &mut estimates),
        generator: shape::generator(&figures, &mut estimates),
        logs_cut: shape::logs_cut(&valid),
        sent_again: valid.iter().map(|repetition| repetition.status.generator.sent_again).sum(),
        executed_again: shape::executed_again(all.iter().copied()),
        busy: shape::busy(&valid),
        steadiness,
        loads: shape::loads(cell, &valid, window_ns),
        stability: Vec::new(),
        counts: shape::counts(&valid),
        taps: shape::taps(&valid).into_iter().chain(between_machines).collect(),
        stages: stages::of_cell(&stages),
        figures,
    };
    Ok((summary, damaged.into_iter().flatten().chain(requests).collect()))
}

/// The repetitions of a cell so far: those that were completed and may count, and the others.
fn by_verdict<'r>(
    run: &RunRecord,
    cell: &CellRecord,
    all: &[&'r Repetition],
) -> (Repetitions, Vec<&'r Repetition>, Vec<&'r Repetition>) {
    // A cell that was repeated until something was known has as many repetitions as exist.
    let open_end = run.plan.repeat.as_ref().is_some_and(record::Repeat::is_open_ended);
    let rounds = || run.repetitions.iter().map(|r| r.status.repetition).max().unwrap_or_default();
    let planned = if open_end { rounds() } else { run.rounds() };
    let mut repetitions = Repetitions { planned, ..Repetitions::default() };
    if cell.skipped.is_some() {
        repetitions.planned = 0;
    }
    let (mut completed, mut others) = (Vec::new(), Vec::new());
    for repetition in all {
        let status = &repetition.status;
        if status.compacted_at.is_some() {
            repetitions.compacted += 1;
            repetitions.planned = repetitions.planned.saturating_sub(1);
            continue;
        }
        for error in &status.errors {
            if !repetitions.errors.contains(error) && repetitions.errors.len() < 10 {
                repetitions.errors.push(error.clone());
            }
        }
        repetitions.ended_early.extend(status.ran_out.iter().map(|one| one.words.clone()));
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
                repetitions.failures.push(status.repetition);
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
        let names = step_names(workload);
        let phases = [Phase::Before, Phase::During, Phase::After, Phase::Search, Phase::WarmUp];
        let key = move |phase: Phase, name: &str| (workload.name.clone(), phase.name().to_owned(), name.to_owned());
        phases.into_iter().flat_map(move |phase| names.clone().into_iter().map(move |name| key(phase, name)))
    })
}

/// What the repetitions of a cell contribute.
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
    /// Of each repetition that counts.
    stages: Vec<Vec<Stage>>,
    /// Windows, resources, metrics, taps.
    damaged: [Vec<String>; 4],
}

impl CellSums<'_> {
    /// Names what is damaged, in all repetitions except those in `without`.
    fn name_damage(&mut self, damaged: [Vec<(u32, Error)>; 4], without: &[u32]) {
        for (words, damaged) in self.damaged.iter_mut().zip(damaged) {
            let named = damaged.iter().filter(|(number, _)| !without.contains(number));
            words.extend(named.map(|(_, error)| vocabulary::errors::chain(error)));
        }
    }

    /// Adds repetitions, except those in `unsteady`, which do not count.
    fn add(&mut self, measured: Measured<'_>, unsteady: &[u32], detail: &Detail) {
        self.name_damage(measured.damaged, &[]);
        let counted = measured.distributions.iter().filter(|(number, _)| !unsteady.contains(number));
        for (_, steps) in counted.filter(|_| detail.over_repetitions) {
            for (key, distributions) in steps {
                self.times.entry(key.clone()).or_default().add(distributions);
            }
        }
        let is_counted = |number: &u32| !unsteady.contains(number);
        self.stages.extend(measured.stages.into_iter().filter(|(number, _)| is_counted(number)).map(|(_, stages)| stages));
        let watched = |number: &u32| !unsteady.contains(number) && !measured.without_samples.contains(number);
        for (_, phases) in measured.phases.iter().filter(|(number, _)| !detail.resources.is_empty() && watched(number)) {
            if load_bounds(phases).is_some() {
                self.phases.extend(phase_bounds(phases).into_iter().map(|(phase, _)| phase));
            }
        }
        self.phases = Phase::ALL.map(Phase::name).into_iter().filter(|phase| self.phases.contains(phase)).collect();
    }
}

/// Adds the steadiness of the workloads of a repetition.
fn note(steadiness: &mut Vec<Steadiness>, cell: &CellRecord, found: &[(String, Steady)]) {
    for (workload, steady) in found {
        let at = steadiness.iter().position(|s| s.workload == *workload).unwrap_or_else(|| {
            let auto_warm_up = cell.is_warmed_up_by_itself(workload);
            steadiness.push(Steadiness { workload: workload.clone(), auto_warm_up, by_repetition: Vec::new() });
            steadiness.len() - 1
        });
        steadiness[at].by_repetition.push(*steady);
    }
}
