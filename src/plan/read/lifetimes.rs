//! `lifetime` of targets: what a target that outlives a repetition may not depend on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::diagnostics::{Diagnostics, find_name};
use super::factors::Levels;
use super::levels::Factor;
use plan::{Cell, Replica, Target, containers, secrets};
use schema::{Entry, Mistake, Node, SourceFile, Span};
use vocabulary::choices::Lifetime;

/// Notes what in a replica differs between repetitions, if the replica outlives one.
pub(super) fn names_known(notes: &mut Diagnostics<'_>, node: &Node, lifetime: Lifetime, replica: &Replica) {
    if lifetime.is_repetition() {
        return;
    }
    let is_known = |name: &str| name == "kept" || name == containers::NAME || secrets::is_secret(name);
    let mut told: Vec<String> = Vec::new();
    for (name, file) in replica.late_names().filter(|(name, _)| !is_known(name)) {
        if told.contains(&name) {
            continue;
        }
        let of_file = file.and_then(|file| node.get("render")?.entry(file)).map(|entry| entry.value.span);
        let span = of_file.or_else(|| find_name(notes.file, node, &name)).unwrap_or(node.head);
        let found = format!("`{name}` differs from repetition to repetition, but this target outlives them");
        let expected = match name.as_str() {
            "scratch" => "expected `kept`, the directory of the run",
            _ => "expected something that stays the same, or `lifetime: repetition`",
        };
        notes.mistakes.push(Mistake::new(notes.file, span, found).expected(expected));
        told.push(name);
    }
}

/// A target must live at least as long as those that wait for it.
pub(super) fn order_possible(file: &Arc<SourceFile>, entries: &[Entry], targets: &[Target], mistakes: &mut Vec<Mistake>) {
    for target in targets {
        let before = targets.iter().filter(|other| target.after.contains(&other.name));
        for other in before.filter(|other| other.is_started() && other.lifetime < target.lifetime) {
            let found = format!("`{}` outlives `{}`, which it waits for", target.name, other.name);
            let expected = format!("expected `lifetime: {}` in `{}`, too", word(target.lifetime), other.name);
            mistakes.push(Mistake::new(file, place(entries, &target.name, "after"), found).expected(expected));
        }
    }
}

/// What the targets of a cell amount to, for comparison with those of others.
pub(super) struct CellTargets<'a> {
    levels: &'a Levels,
    id: String,
    targets: Vec<Resolved>,
}

struct Resolved {
    name: String,
    lifetime: Lifetime,
    /// All of it.
    json: String,
    ports: Vec<u16>,
}

impl<'a> CellTargets<'a> {
    pub fn new(levels: &'a Levels, cell: &Cell) -> Self {
        let resolved = |target: &Target| Resolved {
            name: target.name.clone(),
            lifetime: target.lifetime,
            json: serde_json::to_string(target).unwrap_or_default(),
            ports: target.replicas.iter().flat_map(|r| r.ports.clone()).collect(),
        };
        Self { levels, id: cell.id.0.clone(), targets: cell.targets.iter().map(resolved).collect() }
    }

    fn get(&self, name: &str) -> Option<&Resolved> {
        self.targets.iter().find(|target| target.name == name)
    }
}

/// A target that lives for the run must be the same in all cells, and have its ports to itself.
pub(super) fn across_cells(
    file: &Arc<SourceFile>,
    factors: &[Factor],
    entries: &[Entry],
    cells: &[CellTargets<'_>],
    mistakes: &mut Vec<Mistake>,
) {
    let of_run = |name: &str| cells.iter().filter_map(|c| c.get(name)).find(|t| t.lifetime == Lifetime::Run);
    for entry in entries {
        let Some(of_run) = of_run(&entry.key) else { continue };
        if let Some((factor, [one, other])) = difference(factors, cells, &entry.key) {
            let found = format!("`{}` lives for the run, but depends on `{factor}`", entry.key);
            let expected = format!("expected the same target in every cell; in `{one}` and `{other}` it differs");
            mistakes.push(Mistake::new(file, place(entries, &entry.key, "lifetime"), found).expected(expected));
            continue;
        }
        // In a cell without it, it still listens.
        let others = cells.iter().filter(|c| c.get(&entry.key).is_none()).flat_map(|c| &c.targets);
        let shared = others.filter_map(|t| Some((t, *t.ports.iter().find(|port| of_run.ports.contains(port))?)));
        let mut told = Vec::new();
        for (other, port) in shared {
            if !told.contains(&&other.name) {
                let found = format!("port {port} of `{}` is also that of `{}`, which lives for the run", other.name, entry.key);
                let expected = "expected another port: it is taken in cells without that target, too";
                mistakes.push(Mistake::new(file, place(entries, &other.name, "port"), found).expected(expected));
                told.push(&other.name);
            }
        }
    }
}

/// The factor on which a target depends, and two cells in which it differs.
fn difference<'c>(factors: &[Factor], cells: &'c [CellTargets<'_>], name: &str) -> Option<(String, [&'c str; 2])> {
    let there: Vec<(&CellTargets<'_>, &str)> = cells.iter().filter_map(|c| Some((c, c.get(name)?.json.as_str()))).collect();
    let ((first, json), rest) = there.split_first()?;
    let (other, _) = rest.iter().find(|(_, other)| other != json)?;
    for (at, factor) in factors.iter().enumerate() {
        let mut same: BTreeMap<Vec<usize>, (&CellTargets<'_>, &str)> = BTreeMap::new();
        for (cell, json) in &there {
            let mut others = cell.levels.to_vec();
            others[at] = 0;
            let (known, known_json) = same.entry(others).or_insert((cell, json));
            if known_json != json {
                return Some((factor.name.clone(), [&known.id, &cell.id]));
            }
        }
    }
    let at = first.levels.iter().zip(other.levels.iter()).position(|(a, b)| a != b)?;
    Some((factors[at].name.clone(), [&first.id, &other.id]))
}

/// The position of a key of a target, or of the target.
fn place(entries: &[Entry], name: &str, key: &str) -> Span {
    let entry = entries.iter().find(|e| e.key == name);
    entry.map_or_else(Span::default, |e| e.value.get(key).map_or(e.key_span, |node| node.span))
}

/// As it is typed.
fn word(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Repetition => "repetition",
        Lifetime::Cell => "cell",
        Lifetime::Run => "run",
    }
}
