//! Workloads: what carries them, how their passes arrive, and on how many threads.

use std::collections::BTreeSet;

use super::arrivals::{self, Timeline};
use super::diagnostics::{Diagnostics, counted, refuse};
use super::drivers::{READERS, TypedWorkload};
use super::processors;
use super::programs::missing_need;
use super::values;
use plan::{Arrivals, Load, Workload};
use schema::{Node, types};

/// Makes a workload from what was typed; `node` is its evaluated YAML. Also returns why its cell is skipped, if so.
pub(super) fn workload(
    notes: &mut Diagnostics<'_>,
    name: &str,
    node: &Node,
    typed: &types::Workload,
    in_use: &BTreeSet<String>,
    timeline: Option<&Timeline>,
) -> Option<(Workload, Option<String>)> {
    let before = notes.mistakes.len();
    let keys: Vec<&str> = READERS.iter().map(|reader| reader.key).collect();
    let kind = notes.key_of_workload(node, &keys);
    let reader = kind.and_then(|kind| READERS.iter().find(|reader| reader.key == kind));
    let driver = reader.and_then(|reader| {
        for other in READERS.iter().filter(|other| other.key != reader.key) {
            refuse(notes, node, other.own, &format!("it belongs to `{}`", other.key));
        }
        (reader.read)(notes, &TypedWorkload { node, typed, in_use })
    });
    if driver.is_none() {
        // Mistakes in its steps are reported now, and not only when the rest is fixed.
        let meant = reader.or_else(|| READERS.iter().find(|reader| node.get(reader.key).is_some()));
        (meant.unwrap_or(&READERS[0]).check_steps)(notes, node);
    }
    if reader.is_none() && node.get("steps").is_none() {
        // Steps are requests, whether or not their server is given.
        notes.key_of_workload(node, &["steps"]);
    }
    let protocol = driver.as_ref().map(|driver| driver.protocol());
    let mut load = match protocol {
        // It gets the phases of the workload that it follows when all are known.
        Some(protocol) if protocol.follows().is_some() => Some(Load::unset()),
        None if READERS.iter().any(|reader| (reader.follows)(typed)) => None,
        _ => {
            let brought = protocol.map(|protocol| protocol.metrics()).unwrap_or_default();
            arrivals::load(notes, node, typed, timeline, &brought)
        }
    };
    if protocol.is_some_and(|protocol| !protocol.has_many_under_way())
        && let Some(Load { arrivals: Arrivals::Open { per_connection: Some(_), .. }, .. }) = &load
    {
        let part = node.get("load").and_then(|load| load.get("open").or_else(|| load.get("find"))).unwrap_or(node);
        let who: Vec<&str> = READERS.iter().map(|reader| reader.many_under_way).filter(|who| !who.is_empty()).collect();
        let expected = format!("expected {}", who.join(", or "));
        notes.say(part, "per", "`per: connection` needs connections that do not wait for answers", expected);
    }
    if let (Some(drain), Some(load)) = (protocol.and_then(|p| p.drain()), &mut load)
        && typed.load.as_ref().is_some_and(|typed| typed.drain.is_none())
    {
        load.drain = drain;
    }
    if let (Some(protocol), Some(load)) = (protocol, &load) {
        let users = u64::from(load.arrivals.connections()) * protocol.users_per_connection();
        values::check_enough(notes, node, protocol.draws(), load, users);
    }
    let threads = typed.threads.unwrap_or(1);
    let connections = load.as_ref().map_or(u32::MAX, |l| l.arrivals.connections());
    if threads == 0 || connections > 0 && threads > connections {
        notes.say(
            node,
            "threads",
            format!("{} for {}", counted(threads, "thread"), counted(connections, "connection")),
            "expected at least one thread, and at least one connection for each",
        );
    }
    if protocol.is_some_and(|p| p.is_program()) && load.as_ref().is_some_and(|load| load.find.is_some()) {
        notes.say(
            node,
            "load",
            "`find` cannot be used with `command`",
            "expected requests that runner sends itself: `url` and `steps`",
        );
    }
    processors::check(notes, node, &typed.cpus);
    let skipped = missing_need(&typed.needs.0);
    (notes.mistakes.len() == before).then_some(())?;
    Some((
        Workload {
            name: name.to_owned(),
            on: typed.on.clone(),
            driver: driver?,
            load: load?,
            threads,
            cpus: typed.cpus.clone(),
            needs: typed.needs.0.clone(),
        },
        skipped,
    ))
}
