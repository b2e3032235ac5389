//! A run, row by row: what it is, what was planned, its results, and then one repetition after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;

use analysis::cells::Series;
use analysis::estimate::{Estimate, estimate};
use analysis::expectations::Outcome;
use analysis::summary::CellSummary;
use analysis::{Summary, table::unit};
use record::rows::Value;
use record::status::{PhaseStatus, ReconciledStatus, Status, TargetStatus, TrialStatus};
use record::{Repetition, RunRecord, Verdict};
use vocabulary::errors::chain;

use super::content::{COLLECTED, TAPS, files_in};
use super::rows::{self, Fault, number, optional, real, text, truth, whole};
use super::tables::Table;
use super::{Error, Sink, circuit_tables, transfers, windows};

/// Whether there may be more of a run later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Every planned repetition exists.
    Whole,
    /// Some are missing or cannot be read, and no runner is working on them.
    Incomplete,
    /// A runner was working in its directory.
    Running,
}

impl State {
    /// The word for it in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Incomplete => "incomplete",
            Self::Running => "running",
        }
    }

    pub(super) fn of(summary: &Summary, is_running: bool) -> Self {
        let is_missing = |cell: &CellSummary| {
            let found = &cell.repetitions;
            found.valid + found.invalid + found.failed < found.planned
        };
        match is_running {
            true => Self::Running,
            false if summary.cells.iter().any(is_missing) => Self::Incomplete,
            false => Self::Whole,
        }
    }
}

/// The next free numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    pub run: i64,
    pub cell: i64,
    pub repetition: i64,
}

fn next(id: &mut i64) -> i64 {
    *id += 1;
    *id - 1
}

/// What is known about a run before its rows are written.
pub(super) struct Told<'r> {
    pub run: &'r RunRecord,
    pub summary: &'r Summary,
    pub state: State,
    pub content: &'r str,
}

impl Told<'_> {
    /// Writes all of it. Returns what could not be read, in words; these tables have no rows.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn to(&self, ids: &mut Ids, sink: &mut dyn Sink) -> Result<Vec<String>, Error> {
        let run_id = next(&mut ids.run);
        self.run_itself(run_id, sink)?;
        let mut cells = Vec::new();
        for (position, (record, cell)) in self.run.plan.cells.iter().zip(&self.summary.cells).enumerate() {
            let cell_id = next(&mut ids.cell);
            let found = &cell.repetitions;
            let count = |count: u32| Value::Integer(count.into());
            sink.insert(
                Table::Cells,
                &[
                    Value::Integer(cell_id),
                    Value::Integer(run_id),
                    number(position),
                    Value::Text(&cell.cell),
                    Value::Text(&record.path.to_string_lossy()),
                    text(cell.skipped.as_deref()),
                    count(found.planned),
                    count(found.valid),
                    count(found.invalid),
                    count(found.failed),
                ],
            )?;
            for (factor, level) in &record.levels {
                sink.insert(Table::CellLevels, &[Value::Integer(cell_id), Value::Text(factor), Value::Text(level)])?;
            }
            estimates(cell_id, cell, sink)?;
            cells.push(cell_id);
        }
        let mut damaged = self.summary.damaged.clone();
        let mut numbers: BTreeMap<(usize, u32), i64> = BTreeMap::new();
        for repetition in &self.run.repetitions {
            let id = next(&mut ids.repetition);
            numbers.insert((repetition.cell, repetition.status.repetition), id);
            let cell = &self.summary.cells[repetition.cell];
            status(id, cells[repetition.cell], cell, &repetition.status, sink)?;
            tables(id, repetition, &mut damaged, sink)?;
        }
        for (at, cell) in self.summary.cells.iter().enumerate() {
            for (row, series) in cell.figures.iter().enumerate() {
                let unit = unit(cell, series);
                for (repetition, value) in series.values.iter().chain(&series.uncounted) {
                    let Some(id) = numbers.get(&(at, *repetition)) else { continue };
                    let mut values = vec![Value::Integer(*id), number(row)];
                    values.extend(part(series));
                    values.extend([Value::Real(*value), text(unit)]);
                    sink.insert(Table::Figures, &values)?;
                }
            }
        }
        for (row, words) in damaged.iter().enumerate() {
            sink.insert(Table::Damaged, &[Value::Integer(run_id), number(row), Value::Text(words)])?;
        }
        Ok(damaged)
    }

    fn run_itself(&self, run_id: i64, sink: &mut dyn Sink) -> Result<(), Error> {
        let (plan, manifest) = (&self.run.plan, &self.run.manifest);
        let (host, git) = (&manifest.host, manifest.git.as_ref());
        let all = serde_json::to_string(manifest).unwrap_or_default();
        sink.insert(
            Table::Runs,
            &[
                Value::Integer(run_id),
                Value::Text(&plan.experiment),
                Value::Text(&self.run.name),
                Value::Text(&plan.question),
                Value::Text(self.state.name()),
                Value::Text(&manifest.started_at),
                Value::Text(&plan.seed.to_string()),
                whole(plan.window.as_nanos() as u64),
                Value::Integer(plan.repetitions.into()),
                text(plan.primary.as_ref().map(vocabulary::Metric::name)),
                Value::Text(&manifest.runner),
                Value::Text(&host.system),
                Value::Text(&host.kernel),
                Value::Text(&host.processor),
                whole(host.cores as u64),
                whole(host.memory_bytes),
                text(git.map(|git| git.commit.as_str())),
                git.map_or(Value::Null, |git| truth(git.changed)),
                Value::Text(&all),
                Value::Text(self.content),
            ],
        )?;
        for (factor_at, factor) in plan.factors.iter().enumerate() {
            for (level_at, level) in factor.levels.iter().enumerate() {
                let names = [number(factor_at), number(level_at), Value::Text(&factor.name), Value::Text(&level.label)];
                sink.insert(Table::Levels, &[&[Value::Integer(run_id)], &names[..]].concat())?;
            }
        }
        for (row, found) in self.summary.expectations.iter().enumerate() {
            let outcome = match found.outcome {
                Outcome::Pass => "pass",
                Outcome::Skipped => "skipped",
                Outcome::Inconclusive => "inconclusive",
                Outcome::Fail => "fail",
            };
            let values = [
                Value::Integer(run_id),
                number(row),
                Value::Text(&found.expectation),
                Value::Text(&found.cell),
                Value::Text(outcome),
                real(found.value),
                real(found.interval.map(|(low, _)| low)),
                real(found.interval.map(|(_, high)| high)),
                Value::Text(&found.words),
            ];
            sink.insert(Table::Expectations, &values)?;
        }
        Ok(())
    }
}

/// Workload, target, phase, step and metric of figures; null if they do not apply.
fn part(series: &Series) -> [Value<'_>; 5] {
    let part = &series.part;
    let [workload, target, phase, step] = [&part.workload, &part.target, &part.phase, &part.step]
        .map(|name| if name.is_empty() { Value::Null } else { Value::Text(name) });
    [workload, target, phase, step, Value::Text(&series.metric)]
}

/// Each metric over the repetitions that count.
fn estimates(cell_id: i64, cell: &CellSummary, sink: &mut dyn Sink) -> Result<(), Error> {
    let series: Vec<&Series> = cell.figures.iter().filter(|series| !series.values.is_empty()).collect();
    // Intervals take most of the time, and many series are the same: where nothing waits, response times are the service times.
    let bits = |series: &&Series| series.values.iter().map(|(_, value)| value.to_bits()).collect::<Vec<u64>>();
    let different: BTreeSet<Vec<u64>> = series.iter().map(bits).collect();
    let different: Vec<Vec<u64>> = different.into_iter().collect();
    let of = |bits: &Vec<u64>| estimate(&bits.iter().map(|bits| f64::from_bits(*bits)).collect::<Vec<f64>>());
    let found: Vec<Option<Estimate>> = different.par_iter().map(of).collect();
    let of = |series: &Series| found[different.binary_search(&bits(&series)).ok()?].as_ref();
    let found = series.into_iter().filter_map(|series| Some((series, of(series)?)));
    for (row, (series, found)) in found.enumerate() {
        let (low, high) = (|(low, _): (f64, f64)| low, |(_, high): (f64, f64)| high);
        let mut values = vec![Value::Integer(cell_id), number(row)];
        values.extend(part(series));
        values.extend([
            whole(found.n as u64),
            Value::Real(found.mean),
            real(found.mean_interval.map(low)),
            real(found.mean_interval.map(high)),
            Value::Real(found.median),
            real(found.median_interval.map(low)),
            real(found.median_interval.map(high)),
            real(found.standard_deviation),
            Value::Real(found.min),
            Value::Real(found.max),
            text(unit(cell, series)),
        ]);
        sink.insert(Table::Estimates, &values)?;
    }
    Ok(())
}

/// The content of `status.json`.
fn status(id: i64, cell_id: i64, cell: &CellSummary, status: &Status, sink: &mut dyn Sink) -> Result<(), Error> {
    let (timings, generator) = (&status.timings, &status.generator);
    let counts = cell.repetitions.counted.contains(&status.repetition);
    let mut values = vec![
        Value::Integer(id),
        Value::Integer(cell_id),
        Value::Integer(status.repetition.into()),
        Value::Text(&status.started_at),
    ];
    let seed = status.seed.to_string();
    values.extend([Value::Text(&seed), Value::Text(status.verdict.word()), truth(counts)]);
    values.push(text(cell.figures.excluded.get(&status.repetition).map(String::as_str)));
    values.extend(
        [
            timings.total_ns,
            timings.steps_ns,
            timings.target_start_ns,
            timings.ready_to_first_request_ns,
            timings.load_ns,
            timings.target_stop_ns,
            timings.record_ns,
            timings.overhead_ns,
            generator.cpu_ns,
            generator.wall_ns,
            generator.connects,
        ]
        .map(whole),
    );
    values.extend([generator.timer_late_p50_ns, generator.timer_late_p99_ns, generator.timer_late_max_ns].map(optional));
    values.push(whole(generator.dropped_windows));
    values.extend([status.host.map(|host| host.steal_share), status.host.map(|host| host.others_share)].map(real));
    sink.insert(Table::Repetitions, &values)?;
    let mut part =
        |table: Table, row: usize, own: &[Value<'_>]| sink.insert(table, &[&[Value::Integer(id), number(row)], own].concat());
    for (row, phase) in status.phases.iter().enumerate() {
        part(Table::Phases, row, &of_phase(phase))?;
    }
    for (row, trial) in status.trials.iter().enumerate() {
        let TrialStatus { workload, rate_per_s, start_ns, end_ns, reasons } = trial;
        let words = serde_json::Value::from(reasons.clone()).to_string();
        let held = truth(reasons.is_empty());
        let own = [Value::Text(workload), Value::Real(*rate_per_s), whole(*start_ns), whole(*end_ns), held, Value::Text(&words)];
        part(Table::Trials, row, &own)?;
    }
    for (row, replica) in status.targets.iter().enumerate() {
        let TargetStatus { target, replica, pid, start_up_ns, ended, killed, .. } = replica;
        let (replica, pid) = (Value::Integer((*replica).into()), optional(pid.map(u64::from)));
        let own = [Value::Text(target), replica, pid, optional(*start_up_ns), text(ended.as_deref()), truth(*killed)];
        part(Table::Replicas, row, &own)?;
    }
    for (row, reconciled) in status.reconciled.iter().enumerate() {
        let ReconciledStatus { target, workloads: _, sent, unanswered, elsewhere, seen, unread, others } = reconciled;
        let [sent, unanswered, elsewhere] = [sent, unanswered, elsewhere].map(|n| whole(*n));
        let words = [unread, others].map(|words| text(words.as_deref()));
        let own = [Value::Text(target), sent, unanswered, elsewhere, optional(*seen), words[0], words[1]];
        part(Table::Reconciled, row, &own)?;
    }
    for (row, link) in status.links.iter().enumerate() {
        let measured = link.measured.to_string();
        let own = [&link.link, &link.mechanism, &link.host, &measured].map(|word| Value::Text(word));
        part(Table::Links, row, &own)?;
    }
    for (row, words) in status.errors.iter().enumerate() {
        part(Table::FirstErrors, row, &[Value::Text(words)])?;
    }
    Ok(())
}

fn of_phase(phase: &PhaseStatus) -> Vec<Value<'_>> {
    let mut values = vec![Value::Text(&phase.workload), Value::Text(&phase.phase), whole(phase.start_ns), whole(phase.end_ns)];
    values.push(optional(phase.planned_ns));
    let counts = [phase.offered, phase.unsent, phase.passes, phase.errors, phase.named, phase.completed, phase.open];
    values.extend(counts.map(whole));
    values.extend([whole(phase.at_end_longest_ns), whole(phase.silence_ns), optional(phase.tail_ns)]);
    values
}

/// The tables of a repetition. One that is damaged is named, and no row of it is written.
fn tables(id: i64, repetition: &Repetition, damaged: &mut Vec<String>, sink: &mut dyn Sink) -> Result<(), Error> {
    type Write = fn(&Path, i64, &mut dyn Sink) -> Result<(), Fault>;
    let status = &repetition.status;
    let may_lack = matches!(status.verdict, Verdict::Failed { .. }) || status.compacted_at.is_some();
    // A completed repetition always has these; one that failed may have left fewer, and of an old one fewer may be kept.
    let always: [(&str, Write); 3] =
        [("windows.parquet", windows::write), ("resources.parquet", rows::resources), ("host.parquet", rows::host)];
    let sometimes: [(&str, Write); 4] = [
        ("events.jsonl", rows::events),
        ("requests.parquet", rows::requests),
        ("metrics.parquet", rows::metrics),
        (transfers::FILE, transfers::write),
    ];
    for (name, write) in always.into_iter().chain(sometimes) {
        let path = repetition.path.join(name);
        if path.exists() || !may_lack && always.iter().any(|(other, _)| *other == name) {
            one(&path, damaged, sink, |sink| write(&path, id, sink))?;
        }
    }
    type WriteNamed = fn(&Path, &str, i64, &mut dyn Sink) -> Result<(), Fault>;
    let folders: [(&str, &str, WriteNamed); 2] = [(TAPS, "parquet", rows::tap), (COLLECTED, "csv", rows::collected)];
    for (folder, extension, write) in folders {
        for path in files_in(&repetition.path.join(folder), extension) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            one(&path, damaged, sink, |sink| write(&path, &name, id, sink))?;
        }
    }
    // Damage in these has already been reported.
    let transfers = transfers::read(&repetition.path.join(transfers::FILE)).unwrap_or_default();
    for path in files_in(&repetition.path.join(TAPS), "parquet") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        one(&path, damaged, sink, |sink| circuit_tables::write(&path, &name, &transfers, id, sink))?;
    }
    Ok(())
}

/// Writes a table completely, or not at all.
fn one(
    path: &Path,
    damaged: &mut Vec<String>,
    sink: &mut dyn Sink,
    write: impl FnOnce(&mut dyn Sink) -> Result<(), Fault>,
) -> Result<(), Error> {
    sink.mark()?;
    match write(sink) {
        Ok(()) => sink.keep(),
        Err(Fault::Stop(error)) => Err(error),
        Err(Fault::Damaged(error)) => {
            sink.take_back()?;
            // The summary may have reported it, too.
            let path = path.display().to_string();
            if !damaged.iter().any(|words| words.contains(&path)) {
                damaged.push(chain(&error));
            }
            Ok(())
        }
    }
}
