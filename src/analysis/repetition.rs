//! One repetition: everything that the summary wants of its tables, each of which is read once.

use std::collections::BTreeMap;

use super::steadiness::{self, Steady};
use super::windows::{Decoded, Merged, StepKey, load_bounds, phase_bounds};
use super::{Error, tables};
use crate::record::read::{CellRecord, Named};
use crate::record::tables::WHOLE;
use crate::record::{Metric, Repetition};

/// What a repetition says.
pub(super) struct Figures {
    /// Its phases.
    pub windows: Result<Merged, Error>,
    /// Each workload that should be steady.
    pub steadiness: Vec<(String, Steady)>,
    /// Each target during the load; none when there was no load.
    pub targets: Result<Option<Vec<TargetFigures>>, Error>,
    /// What commands brought: by workload, phase and name the mean over executions.
    pub metrics: Result<BTreeMap<StepKey, f64>, Error>,
}

/// A target during the load and in each phase of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TargetFigures {
    pub load: Resources,
    /// By name of the phase, in the order of time.
    pub phases: Vec<(&'static str, Resources)>,
}

/// A target over some time, summed over its replicas; none where it was not watched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Resources {
    /// Sum of the replicas' largest proportional set sizes.
    pub pss_bytes: Option<f64>,
    /// Sum of their largest resident set sizes.
    pub rss_bytes: Option<f64>,
    /// Processor seconds per second, on average.
    pub cpu_cores: Option<f64>,
    /// Sum of their most threads.
    pub threads: Option<f64>,
    /// Sum of their most open files.
    pub open_files: Option<f64>,
}

/// Reads the tables of a repetition of a cell. `targets`: those of which figures are wanted, in this order.
pub(super) fn figures(repetition: &Repetition, cell: &CellRecord, targets: &[Named], window_ns: u64) -> Figures {
    let mut steadiness = Vec::new();
    let windows = tables::read(repetition).and_then(|decoded| {
        let (found, merged) = merged(repetition, &decoded, cell, window_ns)?;
        steadiness = found;
        Ok(merged)
    });
    let phases = windows.as_ref().map_or(&repetition.status.phases, |merged| &merged.phases);
    let bounds = load_bounds(phases);
    let wanted = [Metric::Pss, Metric::Rss, Metric::Cpu, Metric::Threads, Metric::OpenFiles];
    let resources = tables::resources(repetition, &wanted);
    let phases = phase_bounds(phases);
    let targets =
        resources.map(|rows| bounds.map(|bounds| targets.iter().map(|t| target(&rows, &t.name, bounds, &phases)).collect()));
    Figures { windows, steadiness, targets, metrics: tables::metrics(repetition) }
}

/// What the workloads of a repetition show, and its phases: where the scenario leaves the warm-up to us, it reaches to the
/// steady state.
fn merged(
    repetition: &Repetition,
    decoded: &Decoded,
    cell: &CellRecord,
    window_ns: u64,
) -> Result<(Vec<(String, Steady)>, Merged), Error> {
    let steadiness = steadiness::of_repetition(repetition, decoded, cell, window_ns)?;
    let merged = decoded.merge(&cuts(&steadiness, cell))?;
    Ok((steadiness, merged))
}

/// By workload that is warmed up by itself where its steady state begins, see [`Decoded::merge`].
pub(super) fn cuts(steadiness: &[(String, Steady)], cell: &CellRecord) -> BTreeMap<String, u64> {
    let auto = |workload: &str| cell.workloads.iter().any(|w| w.name == workload && w.is_warmed_up_by_itself());
    let begins = steadiness.iter().filter(|(workload, _)| auto(workload));
    begins.filter_map(|(workload, steady)| Some((workload.clone(), steady.steady_from_ns?))).collect()
}

fn target(
    rows: &BTreeMap<(String, u32), tables::ReplicaRows>,
    name: &str,
    load: (i64, i64),
    phases: &[(&'static str, (i64, i64))],
) -> TargetFigures {
    let mine: Vec<&tables::ReplicaRows> = rows.iter().filter(|((target, _), _)| target == name).map(|(_, rows)| rows).collect();
    let in_phase = |(phase, (from, to)): &(&'static str, (i64, i64))| {
        // A command that ended before has nothing any more; a short phase without a sample is as the one before it.
        let there: Vec<&tables::ReplicaRows> =
            mine.iter().copied().filter(|rows| rows.at_ns.last().is_some_and(|last| last >= from)).collect();
        // What it used is known from its clock, there or not.
        (*phase, Resources { cpu_cores: resources(&mine, *from, *to).cpu_cores, ..resources(&there, *from, *to) })
    };
    TargetFigures { load: resources(&mine, load.0, load.1), phases: phases.iter().map(in_phase).collect() }
}

/// Peaks between two instants, and the mean of the processor time.
fn resources(replicas: &[&tables::ReplicaRows], from: i64, to: i64) -> Resources {
    let peak = |column: fn(&tables::ReplicaRows, usize) -> Option<u64>| {
        let peaks: Vec<u64> = replicas.iter().filter_map(|rows| rows.peak(column, from, to)).collect();
        (!peaks.is_empty()).then(|| peaks.iter().sum::<u64>() as f64)
    };
    let cpu = || replicas.iter().map(|rows| rows.cpu_at(to) - rows.cpu_at(from)).sum::<f64>() / (to - from) as f64;
    Resources {
        pss_bytes: peak(|r, i| r.pss_bytes[i]),
        rss_bytes: peak(|r, i| Some(r.rss_bytes[i])),
        threads: peak(|r, i| Some(r.threads[i])),
        open_files: peak(|r, i| Some(r.open_files[i])),
        cpu_cores: (!replicas.is_empty()).then(cpu),
    }
}

/// Share of a processor that a generator thread used, and requests per second of its processor time; none where neither
/// is known.
pub(super) fn generator(repetition: &Repetition, merged: &Merged) -> Option<(f64, f64)> {
    let generator = repetition.status.generator;
    if generator.cpu_ns == 0 || generator.wall_ns == 0 {
        return None;
    }
    let single = merged.steps.iter().filter(|((_, _, step), _)| step != WHOLE);
    let requests: u64 = single.flat_map(|(_, rows)| rows.outcomes.values()).sum();
    Some((generator.cpu_ns as f64 / generator.wall_ns as f64, requests as f64 / (generator.cpu_ns as f64 / 1e9)))
}
