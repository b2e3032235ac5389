//! `runner check` and `runner schema`.

use std::path::{Path, PathBuf};

use super::{Stop, plan_of, print, print_data, read_plan, scenario_files};
use crate::cli;
use crate::exit::Exit;
use crate::plan::links::is_local;
use crate::plan::{Plan, Probe, Role, Target, Workload, factors};
use crate::plan_read::{Here as Place, Options};
use crate::vocabulary::choices::{Lifetime, Order};
use crate::vocabulary::errors::tell;

/// Finds every mistake in every file.
pub(super) fn check(args: &cli::Check) -> Result<Exit, Stop> {
    let everything = [PathBuf::from("experiments")];
    let files = scenario_files(if args.files.is_empty() { &everything } else { &args.files })?;
    let mut exit = Exit::Success;
    for file in &files {
        match read_plan(file, None).and_then(|plan| over_machines(file, &plan.hosts).map(|()| plan)) {
            Ok(plan) => print(&format!("{}: sound, {}\n{}{}", file.display(), size(&plan), skips(&plan), notes(&plan))),
            Err(stop) => {
                tell(format_args!("error: {}\n", stop.message));
                exit = stop.exit;
            }
        }
    }
    Ok(exit)
}

/// Where roles may be machines of their own, there are mistakes that one machine for all of them does not have.
fn over_machines(file: &Path, roles: &[Role]) -> Result<(), Stop> {
    if roles.is_empty() {
        return Ok(());
    }
    // No machine has these addresses (RFC 2544), and none is asked.
    let mut addresses = (0..250u32).flat_map(|a| (1..250u32).map(move |b| format!("198.18.{a}.{b}")));
    let of = |role: &Role| (role.name.clone(), addresses.by_ref().take(role.addresses.len()).collect());
    let hosts = roles.iter().map(of).collect();
    let options = Options { hosts, here: Some(Place { role: None }), ..Options::default() };
    let over = |stop: Stop| Stop::new(stop.exit, format!("over several machines (`--on`): {}", stop.message));
    plan_of(file, &options).map(drop).map_err(over)
}

/// `48 cells x 5 repetitions = 240`
pub(super) fn size(plan: &Plan) -> String {
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let cells = plan.cells.iter().filter(|c| c.skipped.is_none()).count();
    let repetitions = plural(plan.repetitions as usize, "repetition");
    match &plan.repeat {
        Some(repeat) if repeat.is_open_ended() => {
            let budget = repeat.budget_s.map(|s| format!("for {}", crate::vocabulary::units::human_duration(s * 1e9)));
            let until = repeat.until.map(|u| {
                format!(
                    "until every mean of {} is known to ±{} %",
                    repeat.metric.name(),
                    crate::vocabulary::units::plain(u * 100.0)
                )
            });
            let decide = repeat
                .decide
                .as_ref()
                .map(|decide| format!("until every comparison of {} by {} is decided", repeat.metric.name(), decide.by));
            // A time alone is informative enough.
            let says_most = until.is_some() || decide.is_some();
            let most = if says_most { format!("; at most {repetitions} of each") } else { String::new() };
            let ends: Vec<String> = until.into_iter().chain(decide).chain(budget).collect();
            format!("{}, round after round {}{most}", plural(cells, "cell"), ends.join(", or "))
        }
        _ => format!("{} x {repetitions} = {}", plural(cells, "cell"), cells * plan.repetitions as usize),
    }
}

/// One line for each reason why cells are skipped.
pub(super) fn skips(plan: &Plan) -> String {
    let mut reasons: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for reason in plan.cells.iter().filter_map(|c| c.skipped.as_deref()) {
        *reasons.entry(reason).or_default() += 1;
    }
    reasons.iter().map(|(reason, count)| format!("SKIPPED: {count} of {} cells, because {reason}\n", plan.cells.len())).collect()
}

/// Other notes on the plan, one per line.
pub(super) fn notes(plan: &Plan) -> String {
    plan.notes
        .iter()
        .cloned()
        .chain(factors::notes(&plan.factors))
        .chain(lifetimes(plan))
        .chain(nobody_listens(plan))
        .chain(without_probe(plan))
        .chain(replays(plan))
        .chain(faults(plan))
        .map(|note| format!("{note}\n"))
        .collect()
}

/// What is in logs and cannot be replayed, or not as it is.
fn replays(plan: &Plan) -> Vec<String> {
    let workloads = plan.cells.iter().flat_map(|cell| &cell.workloads);
    once(workloads.filter_map(|workload| workload.flow.replay.as_ref()).flat_map(|replay| replay.notes()))
}

/// Faults that come so early that nothing can be compared with what was before.
fn faults(plan: &Plan) -> Vec<String> {
    once(plan.cells.iter().filter(|cell| cell.skipped.is_none()).flat_map(|cell| {
        let loads = || cell.workloads.iter().map(|workload| (workload.name.as_str(), &workload.load));
        cell.faults.list.iter().filter_map(move |fault| fault.remark(loads(), plan.window))
    }))
}

/// Each note once: what is the same in several cells is one.
fn once(notes: impl Iterator<Item = String>) -> Vec<String> {
    let mut said = Vec::new();
    for note in notes {
        if !said.contains(&note) {
            said.push(note);
        }
    }
    said
}

/// A note on targets that are to be kept for a cell, but rarely can be.
fn lifetimes(plan: &Plan) -> Option<String> {
    let mut cells = plan.cells.iter().filter(|c| c.skipped.is_none());
    if plan.order == Order::Sequential || cells.clone().count() < 2 {
        return None;
    }
    let kept = cells.find_map(|c| c.targets.iter().find(|t| t.lifetime == Lifetime::Cell))?;
    Some(format!(
        "note: `{}` is kept while repetitions of one cell follow each other, which is rare in this order: nearly every repetition starts \
         it again; `order: sequential` keeps it",
        kept.name
    ))
}

/// A note on a workload that sends to a port of this machine which no target has. Where a target does not say its ports, or
/// runs already, nobody can know.
fn nobody_listens(plan: &Plan) -> Option<String> {
    plan.cells.iter().filter(|c| c.skipped.is_none()).find_map(|cell| {
        let ports: Vec<u16> = cell.targets.iter().flat_map(|t| &t.replicas).flat_map(|r| r.ports.iter().copied()).collect();
        let says_its_ports = |t: &Target| t.is_started() && t.replicas.iter().all(|r| !r.ports.is_empty());
        if cell.targets.is_empty() || !cell.targets.iter().all(says_its_ports) {
            return None;
        }
        cell.workloads.iter().find_map(|workload| {
            let addresses = workload.protocol().addresses();
            let (host, port) = addresses.into_iter().find(|(host, port)| is_local(host) && !ports.contains(port))?;
            let known = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let name = &workload.name;
            let have = if ports.len() == 1 { "the target has the port" } else { "the targets have the ports" };
            Some(format!("note: `{name}` sends to {host}:{port}, where no target listens; {have} {known}"))
        })
    })
}

/// A note on a target whose readiness nothing shows, although a workload sends to a port of this machine that no target has:
/// probably its own. Helpers may be without a port.
fn without_probe(plan: &Plan) -> Option<String> {
    plan.cells.iter().filter(|c| c.skipped.is_none()).find_map(|cell| {
        let ports: Vec<u16> = cell.targets.iter().flat_map(|t| &t.replicas).flat_map(|r| r.ports.iter().copied()).collect();
        let is_sent_to = |workload: &Workload| {
            let addresses = workload.protocol().addresses();
            addresses.into_iter().any(|(host, port)| is_local(host) && !ports.contains(&port))
        };
        if !cell.targets.iter().all(Target::is_started) || !cell.workloads.iter().any(is_sent_to) {
            return None;
        }
        let is_bare = |t: &&Target| t.replicas.iter().all(|r| r.ports.is_empty() && matches!(r.ready, Probe::Started));
        let bare = cell.targets.iter().find(is_bare)?;
        let name = &bare.name;
        Some(format!("note: `{name}` has neither `port` nor `ready`, so it counts as ready as soon as it is started"))
    })
}

/// Prints the JSON Schema.
pub(super) fn schema() -> Result<Exit, Stop> {
    let json =
        serde_json::to_string_pretty(&crate::schema::json_schema::generate()).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    print_data(&format!("{json}\n"));
    Ok(Exit::Success)
}
