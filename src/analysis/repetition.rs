//! One repetition: everything that the summary wants of its tables, each of which is read once.

use std::collections::BTreeMap;

use super::Detail;
use super::steadiness::{self, Steady};
use super::windows::{Decoded, Merged, StepKey, load_bounds, phase_bounds};
use super::{Error, tables};
use record::Repetition;
use record::read::{CellRecord, Named};
use record::tables::WHOLE;

/// What a repetition says.
pub(super) struct RepetitionResults {
    /// What the windows of each phase add up to.
    pub windows: Result<Merged, Error>,
    /// Each workload that should be steady.
    pub steadiness: Vec<(String, Steady)>,
    /// Each target during the load; none when there was no load.
    pub targets: Result<Option<Vec<TargetResults>>, Error>,
    /// What commands brought: by workload, phase and name the mean over executions.
    pub metrics: Result<BTreeMap<StepKey, f64>, Error>,
}

/// A target during the load and in each phase of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TargetResults {
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
    /// Processor time for each right answer, in nanoseconds; none where nobody was answered.
    pub cpu_per_request_ns: Option<f64>,
    /// Context switches for each.
    pub switches_per_request: Option<f64>,
    /// Bytes read from and written to storage for each.
    pub io_per_request_bytes: Option<f64>,
}

/// Reads the tables of a repetition of a cell. `targets`: those of which results are wanted, in this order.
pub(super) fn results(
    repetition: &Repetition,
    cell: &CellRecord,
    targets: &[Named],
    window_ns: u64,
    detail: &Detail,
) -> RepetitionResults {
    let mut steadiness = Vec::new();
    let windows = tables::read_times(repetition, &detail.times).and_then(|decoded| {
        let (found, merged) = merged(repetition, &decoded, cell, window_ns, detail)?;
        steadiness = found;
        Ok(merged)
    });
    let phases = windows.as_ref().map_or(&repetition.status.phases, |merged| &merged.phases);
    let bounds = load_bounds(phases);
    let answers = |phase: Option<&str>| windows.as_ref().map_or(0, |merged| answers(merged, cell, phase));
    let phases = phase_bounds(phases);
    let of_all = |rows: &_, bounds| targets.iter().map(|t| target(rows, &t.name, bounds, &phases, &answers)).collect();
    let targets = match detail.resources.as_slice() {
        [] => Ok(None),
        wanted => tables::resources(repetition, wanted).map(|rows| bounds.map(|bounds| of_all(&rows, bounds))),
    };
    RepetitionResults { windows, steadiness, targets, metrics: tables::metrics(repetition) }
}

/// What the workloads of a repetition show, and its phases: where the scenario leaves the warm-up to us, it reaches to the
/// steady state.
fn merged(
    repetition: &Repetition,
    decoded: &Decoded,
    cell: &CellRecord,
    window_ns: u64,
    detail: &Detail,
) -> Result<(Vec<(String, Steady)>, Merged), Error> {
    let steadiness = steadiness::of_repetition(repetition, decoded, cell, window_ns, detail.steadiness)?;
    let merged = decoded.merge(&cuts(&steadiness, cell))?;
    Ok((steadiness, merged))
}

/// By workload that is warmed up by itself where its steady state begins, see [`Decoded::merge`].
pub(super) fn cuts(steadiness: &[(String, Steady)], cell: &CellRecord) -> BTreeMap<String, u64> {
    let auto = |workload: &str| cell.workloads.iter().any(|w| w.name == workload && w.is_warmed_up_by_itself());
    let begins = steadiness.iter().filter(|(workload, _)| auto(workload));
    begins.filter_map(|(workload, steady)| Some((workload.clone(), steady.steady_from_ns?))).collect()
}

/// Right answers in a phase, or in all but the warm-up: of passes that go to targets, each once.
fn answers(merged: &Merged, cell: &CellRecord, phase: Option<&str>) -> u64 {
    let follows = |workload: &str| cell.workloads.iter().any(|w| w.name == workload && w.follows.is_some());
    let mine = merged.steps.iter().filter(|((workload, of, step), _)| {
        step == WHOLE && !follows(workload) && phase.map_or(of != "warm-up" && of != "drain", |phase| phase == of)
    });
    mine.map(|(_, step)| step.completed.ok).sum()
}

fn target(
    rows: &BTreeMap<(String, u32), tables::ReplicaRows>,
    name: &str,
    load: (i64, i64),
    phases: &[(&'static str, (i64, i64))],
    answers: &dyn Fn(Option<&str>) -> u64,
) -> TargetResults {
    let mine: Vec<&tables::ReplicaRows> = rows.iter().filter(|((target, _), _)| target == name).map(|(_, rows)| rows).collect();
    let in_phase = |(phase, (from, to)): &(&'static str, (i64, i64))| {
        // A command that ended before has nothing any more; a short phase without a sample is as the one before it.
        let there: Vec<&tables::ReplicaRows> =
            mine.iter().copied().filter(|rows| rows.at_ns.last().is_some_and(|last| last >= from)).collect();
        // What it used is known from its clock, there or not.
        let used = resources(&mine, *from, *to);
        let there = Resources { cpu_cores: used.cpu_cores, ..resources(&there, *from, *to) };
        (*phase, with_costs(there, &mine, (*from, *to), answers(Some(phase))))
    };
    let whole = with_costs(resources(&mine, load.0, load.1), &mine, load, answers(None));
    TargetResults { load: whole, phases: phases.iter().map(in_phase).collect() }
}

/// What was used for each of so many right answers.
fn with_costs(of: Resources, replicas: &[&tables::ReplicaRows], (from, to): (i64, i64), answers: u64) -> Resources {
    if replicas.is_empty() || answers == 0 {
        return of;
    }
    let used = |column: fn(&tables::ReplicaRows) -> &[u64]| {
        let there = replicas.iter().filter(|rows| !column(rows).is_empty());
        let all = there.clone().map(|rows| rows.used_at(column(rows), to) - rows.used_at(column(rows), from)).sum::<f64>();
        (there.count() > 0).then_some(all / answers as f64)
    };
    Resources {
        cpu_per_request_ns: used(|r| &r.cpu_ns),
        switches_per_request: used(|r| &r.switches),
        io_per_request_bytes: used(|r| &r.io_bytes),
        ..of
    }
}

/// Peaks between two instants, and the mean of the processor time.
fn resources(replicas: &[&tables::ReplicaRows], from: i64, to: i64) -> Resources {
    let peak = |column: fn(&tables::ReplicaRows, usize) -> Option<u64>| {
        let peaks: Vec<u64> = replicas.iter().filter_map(|rows| rows.peak(column, from, to)).collect();
        (!peaks.is_empty()).then(|| peaks.iter().sum::<u64>() as f64)
    };
    let cpu = || replicas.iter().map(|rows| rows.cpu_at(to) - rows.cpu_at(from)).sum::<f64>() / (to - from) as f64;
    Resources {
        pss_bytes: peak(|r, i| *r.pss_bytes.get(i)?),
        rss_bytes: peak(|r, i| r.rss_bytes.get(i).copied()),
        threads: peak(|r, i| r.threads.get(i).copied()),
        open_files: peak(|r, i| r.open_files.get(i).copied()),
        cpu_cores: replicas.iter().any(|rows| !rows.cpu_ns.is_empty()).then(cpu),
        ..Resources::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples at these instants; of each resource so much, and a tenth of it as processor time.
    fn replica(samples: &[(i64, u64)]) -> tables::ReplicaRows {
        let values: Vec<u64> = samples.iter().map(|(_, value)| *value).collect();
        tables::ReplicaRows {
            at_ns: samples.iter().map(|(at, _)| *at).collect(),
            pss_bytes: values.iter().map(|v| Some(*v)).collect(),
            rss_bytes: values.clone(),
            cpu_ns: samples.iter().map(|(at, _)| (*at).max(0) as u64 / 10).collect(),
            threads: values.clone(),
            open_files: values,
            ..tables::ReplicaRows::default()
        }
    }

    #[test]
    fn a_phase_has_its_own_peaks_and_its_share_of_the_processors() {
        let phases = [("before", (0, 1000)), ("during", (1000, 2000)), ("after", (2000, 2050))];
        let server = |replica_number| {
            (("server".to_owned(), replica_number), replica(&[(0, 5), (500, 7), (1500, 90), (1900, 80), (2100, 6)]))
        };
        // It makes the load in one phase only.
        let tool = (("tool".to_owned(), 0), replica(&[(1010, 30), (1980, 40)]));
        let rows = BTreeMap::from([server(0), server(1), tool]);
        let none = |_: Option<&str>| 0;
        let found = target(&rows, "server", (0, 2050), &phases, &none);
        // A tenth of the time on each of two replicas, for a hundred answers.
        let costs = target(&rows, "server", (0, 2050), &phases, &|_| 100);
        assert!((costs.load.cpu_per_request_ns.unwrap() - 4.1).abs() < 1e-9, "{costs:?}");
        assert!((costs.phases[0].1.cpu_per_request_ns.unwrap() - 2.0).abs() < 1e-9, "{costs:?}");
        assert_eq!((found.load.cpu_per_request_ns, costs.load.switches_per_request), (None, None));
        assert_eq!(found.load.pss_bytes, Some(180.0));
        let pss: Vec<_> = found.phases.iter().map(|(name, r)| (*name, r.pss_bytes)).collect();
        // No sample lies in the last one: it is as at its start.
        assert_eq!(pss, [("before", Some(14.0)), ("during", Some(180.0)), ("after", Some(160.0))]);
        for (_, resources) in &found.phases {
            assert_eq!([resources.rss_bytes, resources.threads, resources.open_files], [resources.pss_bytes; 3]);
            assert!((resources.cpu_cores.unwrap() - 0.2).abs() < 1e-9, "{resources:?}");
        }
        let tool = target(&rows, "tool", (0, 2050), &phases, &none);
        let pss: Vec<_> = tool.phases.iter().map(|(_, r)| r.pss_bytes).collect();
        assert_eq!(pss, [None, Some(40.0), None]);
        let cpu: Vec<_> = tool.phases.iter().map(|(_, r)| r.cpu_cores).collect();
        assert_eq!((cpu[0], cpu[2]), (Some(0.0), Some(0.0)));
        let none = target(&rows, "elsewhere", (0, 2050), &phases, &none);
        assert!(none.phases.iter().all(|(_, r)| *r == Resources::default()), "{none:?}");
    }

    #[test]
    fn one_phase_is_the_whole_load() {
        let rows = BTreeMap::from([(("server".to_owned(), 0), replica(&[(-10, 5), (500, 7), (900, 6), (1100, 8)]))]);
        let found = target(&rows, "server", (0, 1000), &[("during", (0, 1000))], &|_| 7);
        assert_eq!(found.phases, [("during", found.load)]);
    }
}
