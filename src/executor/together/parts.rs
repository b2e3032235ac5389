//! One result of the parts that machines have recorded of a repetition.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use hosts::{Ended, Offset};
use plan::Plan;
use plan::order::{Turn, seed_of};
use record::files::read_json;
use record::status::{
    GeneratorStatus, HostPart, HostStatus, ObserverStatus, PhaseStatus, RanOut, StartStatus, Status, Timings, UsersStatus,
    Verdict, WatchedStatus,
};
use record::{FORMAT, RepetitionWriter};
use vocabulary::units::{human_duration, percent};

use crate::error::Error;
use crate::network::Network;

/// What one machine has recorded.
#[derive(Debug)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Option<String>,
    /// An identity that two agents on one machine share.
    pub machine: String,
    /// Where its files are.
    pub folder: PathBuf,
    /// How it ended.
    pub ended: Ended,
    /// Its clock before the load.
    pub before: Option<Offset>,
    /// Its clock after the load.
    pub after: Option<Offset>,
    /// When the load was to start, by the controller's clock.
    pub start_ns: i64,
}

/// How a repetition came about.
pub(super) struct Attempts<'a> {
    /// Which machine brought it down, and why.
    pub broken: Option<(String, String)>,
    /// Why earlier attempts came to nothing.
    pub lost: &'a [String],
    /// When the last attempt began.
    pub begun: Instant,
}

/// Joins tables, logs and events of all machines, and makes the repetition durable.
pub(super) fn join(
    plan: &Plan,
    turn: Turn,
    parts: &[Recorded],
    network: &Network,
    attempts: Attempts<'_>,
    writer: &mut RepetitionWriter,
) -> Result<Status, Error> {
    let Attempts { mut broken, lost, begun } = attempts;
    let mut found = Vec::new();
    let mut events: Vec<Value> = Vec::new();
    for part in parts {
        let status = match read_json::<Status>(&part.folder.join("status.json")) {
            Ok(status) => status,
            Err(error) => {
                // Never one machine less: what it did is not known.
                let why = part.ended.broken.clone().unwrap_or_else(|| vocabulary::errors::chain(&error));
                broken.get_or_insert((part.name.clone(), why));
                continue;
            }
        };
        let lines = std::fs::read_to_string(part.folder.join("events.jsonl")).unwrap_or_default();
        for line in lines.lines() {
            if let Ok(Value::Object(mut event)) = serde_json::from_str(line) {
                event.insert("host".to_owned(), part.name.clone().into());
                events.push(event.into());
            }
        }
        found.push((part, status));
    }
    events.sort_by_key(|event| event["at_ns"].as_i64());
    let folders: Vec<(&str, PathBuf)> = found.iter().map(|(part, _)| (part.name.as_str(), part.folder.clone())).collect();
    record::parts::join(&folders, writer.directory())?;
    for part in parts {
        let _ = std::fs::remove_dir_all(&part.folder);
    }
    let mut status = Status { attempts: lost.to_vec(), ..joined(plan, turn, &found, network, broken) };
    status.timings.total_ns = begun.elapsed().as_nanos() as u64;
    let timings = &mut status.timings;
    let told_apart = timings.steps_ns + timings.target_start_ns + timings.load_ns + timings.target_stop_ns;
    timings.overhead_ns = timings.total_ns.saturating_sub(told_apart);
    writer.finish(&events, &status)?;
    Ok(status)
}

/// The status of all parts together.
fn joined(plan: &Plan, turn: Turn, found: &[(&Recorded, Status)], network: &Network, broken: Option<(String, String)>) -> Status {
    let statuses = || found.iter().map(|(_, status)| status);
    let hosts: Vec<HostPart> = found.iter().map(|(part, status)| host_part(part, status)).collect();
    let start = start(found.iter().map(|(part, _)| *part), &hosts);
    let mut reasons: Vec<String> = network.reasons();
    let mut failed = broken.map(|(host, why)| format!("{host}: {why}"));
    for (part, status) in found {
        match &status.verdict {
            Verdict::Valid => {}
            Verdict::Invalid { reasons: own } => reasons.extend(own.iter().map(|reason| format!("{}: {reason}", part.name))),
            Verdict::Failed { reason } => {
                failed.get_or_insert_with(|| format!("{}: {reason}", part.name));
            }
        }
    }
    let host = worst(found);
    if let (Some(host), Some(limit)) = (&host, plan.limits.host_load)
        && host.others_share > limit
    {
        reasons.push(format!(
            "programs outside the experiment used {:.1} % of the processors' time of a machine during the load, the limit is {}",
            host.others_share * 100.0,
            percent(limit)
        ));
    }
    if let (Some(start), Some(limit)) = (start, plan.limits.start_skew)
        && u128::from(start.skew_ns.saturating_sub(start.bound_ns)) > limit.as_nanos()
    {
        reasons.push(format!(
            "the load started {} apart on its machines (known within {}), the limit is {}: `limits: {{start-skew: …}}` accepts more",
            human_duration(start.skew_ns as f64),
            human_duration(start.bound_ns as f64),
            human_duration(limit.as_nanos() as f64)
        ));
    }
    let verdict = match (failed, reasons.is_empty()) {
        (Some(reason), _) => Verdict::Failed { reason },
        (None, true) => Verdict::Valid,
        (None, false) => Verdict::Invalid { reasons },
    };
    let errors = statuses().flat_map(|status| status.errors.clone());
    let mut distinct: Vec<String> = Vec::new();
    errors.for_each(|error| {
        if !distinct.contains(&error) {
            distinct.push(error);
        }
    });
    Status {
        format: FORMAT,
        cell: plan.cells[turn.cell].id.0.clone(),
        repetition: turn.repetition,
        seed: seed_of(plan.seed, turn),
        started_at: statuses().map(|status| status.started_at.clone()).min().unwrap_or_else(record::manifest::now),
        verdict,
        phases: phases(found.iter().map(|(_, status)| status.phases.as_slice())),
        trials: statuses().flat_map(|status| status.trials.clone()).collect(),
        targets: statuses().flat_map(|status| status.targets.clone()).collect(),
        generator: generator(statuses().map(|status| status.generator)),
        observer: observer(statuses().map(|status| status.observer)),
        host,
        links: network.status(),
        timings: timings(statuses().map(|status| status.timings)),
        errors: distinct,
        left_behind: found
            .iter()
            .flat_map(|(part, status)| status.left_behind.iter().map(|left| format!("{left} on {}", part.name)))
            .collect(),
        reconciled: statuses().flat_map(|status| status.reconciled.clone()).collect(),
        taps: statuses().flat_map(|status| status.taps.clone()).collect(),
        cut_short: None,
        never_ready: statuses().find_map(|status| status.never_ready.clone()),
        start,
        users: users(statuses().flat_map(|status| &status.users)),
        ran_out: ran_out(statuses().flat_map(|status| &status.ran_out)),
        hosts,
        attempts: Vec::new(),
        compacted_at: None,
    }
}

/// The users of each workload, on all machines that make it.
fn users<'s>(parts: impl Iterator<Item = &'s UsersStatus>) -> Vec<UsersStatus> {
    let mut all: Vec<UsersStatus> = Vec::new();
    for part in parts {
        match all.iter_mut().find(|one| one.workload == part.workload) {
            Some(one) => one.add(part),
            None => all.push(part.clone()),
        }
    }
    all
}

/// The last machine on which rows ran out, for each workload.
fn ran_out<'s>(parts: impl Iterator<Item = &'s RanOut>) -> Vec<RanOut> {
    let mut all: Vec<RanOut> = Vec::new();
    for part in parts {
        match all.iter_mut().find(|one| one.workload == part.workload) {
            Some(one) if one.at_ns < part.at_ns => *one = part.clone(),
            Some(_) => {}
            None => all.push(part.clone()),
        }
    }
    all
}

fn host_part(part: &Recorded, status: &Status) -> HostPart {
    let before = part.before;
    let after = part.after.or(before);
    let start_late_ns = match (before, after) {
        // What the clock was off when the load started is known better afterwards.
        (Some(before), Some(after)) => {
            let agreed = before.offset_ns as f64;
            let (late, truth) = (part.ended.late_ns as f64, Offset::between(&before, &after, part.start_ns));
            (late + agreed - truth) as i64
        }
        _ => 0,
    };
    HostPart {
        name: part.name.clone(),
        role: part.role.clone(),
        offset_before_ns: before.map_or(0, |offset| offset.offset_ns),
        offset_after_ns: after.map_or(0, |offset| offset.offset_ns),
        offset_bound_ns: bound_ns(part),
        start_late_ns,
        generator: status.generator,
        observer: status.observer,
        host: status.host,
        timings: status.timings,
    }
}

/// How far a machine's clock may be from what was found.
fn bound_ns(part: &Recorded) -> u64 {
    let bounds = [part.before, part.after].into_iter().flatten().map(|offset| offset.bound_ns);
    bounds.max().unwrap_or_default()
}

/// How far apart the machines have started; none without a start.
fn start<'p>(parts: impl Iterator<Item = &'p Recorded>, hosts: &[HostPart]) -> Option<StartStatus> {
    // Those that only have targets start nothing.
    let mut bounds = Vec::new();
    let mut lates = Vec::new();
    for (part, host) in parts.zip(hosts) {
        if part.start_ns != 0 && part.before.is_some() && host.generator.wall_ns > 0 {
            bounds.push(bound_ns(part));
            lates.push(host.start_late_ns);
        }
    }
    if bounds.is_empty() {
        return None;
    }
    bounds.sort_unstable();
    let late = || lates.iter().copied();
    let skew_ns = late().max().unwrap_or_default().abs_diff(late().min().unwrap_or_default());
    // Two clocks are off by at most the sum of their bounds.
    Some(StartStatus { skew_ns, bound_ns: bounds.iter().rev().take(2).sum() })
}

/// Phases of the same workload are one: their counts are added, and they last from the first start to the last end.
fn phases<'s>(all: impl Iterator<Item = &'s [PhaseStatus]>) -> Vec<PhaseStatus> {
    let mut joined: Vec<PhaseStatus> = Vec::new();
    for theirs in all.flatten() {
        let Some(ours) = joined.iter_mut().find(|ours| ours.workload == theirs.workload && ours.phase == theirs.phase) else {
            joined.push(theirs.clone());
            continue;
        };
        // Since when one of them had less to do than connections.
        let idle = |phase: &PhaseStatus| phase.tail_ns.map(|tail_ns| phase.end_ns.saturating_sub(tail_ns));
        let idle_from = idle(ours).into_iter().chain(idle(theirs)).min();
        ours.start_ns = ours.start_ns.min(theirs.start_ns);
        ours.end_ns = ours.end_ns.max(theirs.end_ns);
        ours.planned_ns = ours.planned_ns.max(theirs.planned_ns);
        ours.offered += theirs.offered;
        ours.unsent += theirs.unsent;
        ours.passes += theirs.passes;
        ours.errors += theirs.errors;
        ours.named += theirs.named;
        ours.completed += theirs.completed;
        ours.open += theirs.open;
        for (outcome, count) in &theirs.at_end {
            *ours.at_end.entry(outcome.clone()).or_default() += count;
        }
        ours.at_end_longest_ns = ours.at_end_longest_ns.max(theirs.at_end_longest_ns);
        // While one machine heard nothing, another may have been answered: this is the longest that one of them heard nothing.
        ours.silence_ns = ours.silence_ns.max(theirs.silence_ns);
        ours.tail_ns = idle_from.map(|from| ours.end_ns.saturating_sub(from));
    }
    joined
}

/// All generators together; of their timers the latest, since quantiles cannot be added.
fn generator(all: impl Iterator<Item = GeneratorStatus>) -> GeneratorStatus {
    all.fold(GeneratorStatus::default(), |sum, one| GeneratorStatus {
        cpu_ns: sum.cpu_ns + one.cpu_ns,
        wall_ns: sum.wall_ns + one.wall_ns,
        connects: sum.connects + one.connects,
        sent_again: sum.sent_again + one.sent_again,
        timer_late_p50_ns: sum.timer_late_p50_ns.max(one.timer_late_p50_ns),
        timer_late_p99_ns: sum.timer_late_p99_ns.max(one.timer_late_p99_ns),
        timer_late_max_ns: sum.timer_late_max_ns.max(one.timer_late_max_ns),
        dropped_windows: sum.dropped_windows + one.dropped_windows,
    })
}

fn observer(all: impl Iterator<Item = ObserverStatus>) -> ObserverStatus {
    all.fold(ObserverStatus::default(), |sum, one| ObserverStatus {
        samples: sum.samples + one.samples,
        cpu_ns: sum.cpu_ns + one.cpu_ns,
        wall_ns: sum.wall_ns + one.wall_ns,
        skipped_ticks: sum.skipped_ticks + one.skipped_ticks,
        incomplete_samples: sum.incomplete_samples + one.incomplete_samples,
        longest_gap_ns: sum.longest_gap_ns.max(one.longest_gap_ns),
    })
}

/// Of each figure of hosts the worst. Agents on one machine take each other for strangers; what they used themselves is taken off.
fn worst(found: &[(&Recorded, Status)]) -> Option<HostStatus> {
    let of = |(part, status): &(&Recorded, Status)| {
        let host = status.host?;
        let beside = found.iter().filter(|(other, _)| other.machine == part.machine && other.name != part.name);
        let beside: f64 = beside.filter_map(|(other, _)| other.ended.ours_ppm).map(|ppm| ppm as f64 / 1e6).sum();
        Some(HostStatus { others_share: (host.others_share - beside).max(0.0), ..host })
    };
    found.iter().filter_map(of).reduce(|a, b| HostStatus {
        steal_share: a.steal_share.max(b.steal_share),
        others_share: a.others_share.max(b.others_share),
        watched: worse(&a.watched, &b.watched),
    })
}

fn worse(a: &WatchedStatus, b: &WatchedStatus) -> WatchedStatus {
    let most = |f: fn(&WatchedStatus) -> Option<f64>| [f(a), f(b)].into_iter().flatten().reduce(f64::max);
    let least = |f: fn(&WatchedStatus) -> Option<f64>| [f(a), f(b)].into_iter().flatten().reduce(f64::min);
    WatchedStatus {
        cpu_pressure_some_share: most(|w| w.cpu_pressure_some_share),
        memory_pressure_some_share: most(|w| w.memory_pressure_some_share),
        memory_pressure_full_share: most(|w| w.memory_pressure_full_share),
        io_pressure_some_share: most(|w| w.io_pressure_some_share),
        io_pressure_full_share: most(|w| w.io_pressure_full_share),
        frequency_mean_share: least(|w| w.frequency_mean_share),
        frequency_lowest_share: least(|w| w.frequency_lowest_share),
        core_throttles: a.core_throttles.max(b.core_throttles),
        package_throttles: a.package_throttles.max(b.package_throttles),
    }
}

/// All machines do their parts at the same time: of each part of the story, the longest.
fn timings(all: impl Iterator<Item = Timings>) -> Timings {
    all.fold(Timings::default(), |a, b| Timings {
        total_ns: a.total_ns.max(b.total_ns),
        steps_ns: a.steps_ns.max(b.steps_ns),
        target_start_ns: a.target_start_ns.max(b.target_start_ns),
        ready_to_first_request_ns: a.ready_to_first_request_ns.max(b.ready_to_first_request_ns),
        load_ns: a.load_ns.max(b.load_ns),
        target_stop_ns: a.target_stop_ns.max(b.target_stop_ns),
        record_ns: a.record_ns.max(b.record_ns),
        overhead_ns: a.overhead_ns.max(b.overhead_ns),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset_ns: i64, bound_ns: u64, at_ns: i64) -> Offset {
        Offset { offset_ns, bound_ns, way_ns: 2 * bound_ns, at_ns }
    }

    fn part(name: &str, late_ns: u64, clocks: [Offset; 2]) -> Recorded {
        Recorded {
            name: name.to_owned(),
            role: None,
            machine: "m".to_owned(),
            folder: PathBuf::new(),
            ended: Ended { late_ns, ..Ended::default() },
            before: Some(clocks[0]),
            after: Some(clocks[1]),
            start_ns: 1_000,
        }
    }

    #[test]
    fn counts_of_a_phase_are_added_and_it_lasts_from_the_first_to_the_last() {
        let phase = |start_ns, end_ns, passes| PhaseStatus {
            workload: "clients".into(),
            phase: "during".into(),
            start_ns,
            end_ns,
            passes,
            silence_ns: passes,
            tail_ns: Some(5),
            at_end: [("open".to_owned(), 1)].into(),
            ..PhaseStatus::default()
        };
        let joined = phases([vec![phase(10, 50, 3)], vec![phase(5, 40, 4)]].iter().map(Vec::as_slice));
        assert_eq!(joined.len(), 1);
        let only = &joined[0];
        assert_eq!((only.start_ns, only.end_ns, only.passes, only.silence_ns, only.at_end["open"]), (5, 50, 7, 4, 2));
        assert_eq!(only.tail_ns, Some(15), "the first of them was idle from 35 on");
    }

    #[test]
    fn the_start_of_a_clock_that_drifted_is_corrected() {
        // Its clock gained 400 ns from 0 to 2000, so it was 200 further ahead at the start than was known: it started 200 early.
        let drifting = part("b", 0, [offset(1_000, 10, 0), offset(1_400, 30, 2_000)]);
        let steady = part("a", 50, [offset(0, 20, 0), offset(0, 20, 2_000)]);
        let loaded = Status { generator: GeneratorStatus { wall_ns: 1, ..GeneratorStatus::default() }, ..empty() };
        let hosts: Vec<HostPart> = [&steady, &drifting].iter().map(|part| host_part(part, &loaded)).collect();
        assert_eq!((hosts[0].start_late_ns, hosts[1].start_late_ns), (50, -200));
        assert_eq!((hosts[1].offset_before_ns, hosts[1].offset_after_ns, hosts[1].offset_bound_ns), (1_000, 1_400, 30));
        let start = start([&steady, &drifting].into_iter(), &hosts).unwrap();
        assert_eq!((start.skew_ns, start.bound_ns), (250, 50));
    }

    #[test]
    fn agents_on_one_machine_are_no_strangers_to_each_other() {
        let used = |others_share| Status {
            host: Some(HostStatus { steal_share: 0.1, others_share, watched: WatchedStatus::default() }),
            ..empty()
        };
        let clocks = [offset(0, 0, 0); 2];
        let ours =
            |name: &str, ppm| Recorded { ended: Ended { ours_ppm: Some(ppm), ..Ended::default() }, ..part(name, 0, clocks) };
        let (a, b) = (ours("a", 300_000), ours("b", 200_000));
        let host = worst(&[(&a, used(0.25)), (&b, used(0.35))]).unwrap();
        assert!((host.others_share - 0.05).abs() < 1e-9, "{host:?}");
        let apart = Recorded { machine: "other".into(), ..b };
        assert!((worst(&[(&a, used(0.25)), (&apart, used(0.35))]).unwrap().others_share - 0.35).abs() < 1e-9);
    }

    fn empty() -> Status {
        Status::of("c".to_owned(), 1, 1, "2026-11-30T00:00:00Z".to_owned(), Verdict::Valid)
    }
}
