//! `reconcile` as it was typed: for targets that do not count in a way that is recognized automatically.

use super::{RequestPaths, owner};
use crate::collect;
use crate::diagnostics::Diagnostics;
use plan::drivers::Asks;
use plan::reconcile::{Counter, Reconcile, Source};
use plan::{Collect, CollectSource, MetricSource, Template};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, Span, decode, types};

/// Where the one metric of a source in `reconcile` can be; such a source has no `metrics`.
const PLACES: [&str; 7] = ["regex", "json", "csv", "sql", "lines", "times", "unit"];
/// The other keys of such a source, as in an entry of `collect`.
const SOURCES: [&str; 13] =
    ["command", "shell", "fixture", "file", "sqlite", "get", "auth", "headers", "args", "env", "dir", "timeout", "needs"];
/// What is known only after the load.
const TOO_LATE: [&str; 2] = ["load_begin", "load_end"];

/// An entry of `reconcile`, evaluated.
pub(crate) struct TypedEntry<'n> {
    pub node: &'n Node,
    pub typed: types::Reconcile,
}

/// The surroundings of an entry in its cell: everything that names in it may refer to.
pub(crate) struct CellContext<'a> {
    /// All targets of the scenario by name, including those that are not in the cell.
    pub targets: &'a [&'a str],
    /// All workloads of the scenario.
    pub workloads: &'a [&'a str],
    /// All entries of `collect`.
    pub collects: &'a [&'a str],
    /// What is collected in the cell.
    pub collected: &'a [Collect],
    /// Where the scenario lies.
    pub scenario: &'a std::path::Path,
}

/// Makes an entry; `None` if its target, or all of its workloads, are not in the cell.
pub(crate) fn read(
    notes: &mut Diagnostics<'_>,
    typed: &TypedEntry<'_>,
    paths: &RequestPaths<'_>,
    context: &CellContext<'_>,
) -> Option<Reconcile> {
    let TypedEntry { node, typed } = typed;
    let before = notes.mistakes.len();
    known(notes, node, "target", "target", std::slice::from_ref(&typed.target), context.targets);
    let named = typed.workload.as_ref().map(|names| names.0.as_slice());
    known(notes, node, "workload", "workload", named.unwrap_or_default(), context.workloads);
    let counter = match node.get("collect") {
        None => None,
        Some(part) => counter(notes, part, typed, context),
    };
    (notes.mistakes.len() == before).then_some(())?;
    let target = paths.targets.iter().position(|t| t.name == typed.target)?;
    let reached = paths.reached.get(&target).cloned().unwrap_or_default();
    let mut from = match named {
        None => reached.from,
        Some(names) => {
            let there = paths.workloads.iter().enumerate().filter(|(_, w)| names.contains(&w.name));
            there.filter_map(|(index, _)| source(paths, &reached.from, target, index)).collect()
        }
    };
    if from.is_empty() {
        // Its workloads may exist in other cells only.
        if named.is_none_or(|names| paths.workloads.iter().any(|w| names.contains(&w.name))) {
            let found = format!("no requests over HTTP are known to reach `{}`", typed.target);
            let key = if named.is_some() { "workload" } else { "target" };
            notes.say(node, key, found, "expected `workload:` with the name of one whose requests do");
        }
        return None;
    }
    steps(notes, node, typed, paths, &mut from);
    let counters = match counter {
        Some(counter) => vec![counter],
        None => paths.counters(target),
    };
    if counters.is_empty() {
        let found = format!("it is not known how `{}` counts its requests", typed.target);
        notes.say(node, "target", found, "expected `collect:` with where its count can be read");
    }
    (notes.mistakes.len() == before).then_some(Reconcile {
        target: typed.target.clone(),
        from,
        through: reached.through,
        counters,
        tolerance: typed.tolerance.map(|t| t.0),
        // A scenario that names the workloads knows that their requests arrive.
        others: reached.others.filter(|_| named.is_none()),
        asked: true,
    })
}

/// Every name must be that of something.
fn known(notes: &mut Diagnostics<'_>, node: &Node, key: &str, what: &str, names: &[String], all: &[&str]) {
    for name in names.iter().filter(|name| !all.contains(&name.as_str())) {
        let part = node.get(key);
        let item = part.and_then(|n| n.items().iter().find(|i| i.as_text() == Some(name)));
        let span = item.or(part).map_or(node.head, |n| n.span);
        let mistake = Mistake::new(notes.file, span, format!("there is no {what} `{name}`"));
        notes.mistakes.push(match all {
            [] => mistake.expected(format!("this experiment has no {what}")),
            all => mistake.expected(format!("expected {}", one_of(all.iter().copied()))).did_you_mean(name, all.iter().copied()),
        });
    }
}

/// The requests of a named workload: those to the target, or all of them if none is known to go there.
fn source(paths: &RequestPaths<'_>, reached: &[Source], target: usize, workload: usize) -> Option<Source> {
    let protocol = paths.workloads[workload].protocol();
    if !matches!(protocol.asks(), Asks::Addresses | Asks::Socket) {
        return None;
    }
    let all = protocol.addresses();
    let known = reached.iter().find(|s| s.workload == workload).cloned();
    let direct = |(host, port): (&str, u16)| owner(paths.targets, host, port) == Some(target);
    let addresses = known.map_or_else(
        || {
            let some: Vec<usize> = (0..all.len()).filter(|a| direct(all[*a])).collect();
            if some.is_empty() { (0..all.len()).collect() } else { some }
        },
        |known| known.addresses,
    );
    Some(Source { workload, addresses, steps: Vec::new() })
}

/// Keeps only the requests of the named steps.
fn steps(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Reconcile, paths: &RequestPaths<'_>, from: &mut Vec<Source>) {
    if typed.steps.0.is_empty() {
        return;
    }
    let names = |source: &Source| paths.workloads[source.workload].protocol().steps();
    let all: Vec<String> = from.iter().flat_map(names).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    known(notes, node, "steps", "step", &typed.steps.0, &all);
    for source in from.iter_mut() {
        let names = names(source);
        source.steps = (0..names.len()).filter(|s| typed.steps.0.contains(&names[*s])).collect();
    }
    from.retain(|source| !source.steps.is_empty());
}

/// Where the count is read: a metric of `collect` by name, or a source of its own.
fn counter(notes: &mut Diagnostics<'_>, part: &Node, typed: &types::Reconcile, context: &CellContext<'_>) -> Option<Counter> {
    let (collect, metric) = match part.as_text() {
        Some(name) => referred(notes, part, name, context)?,
        None => (own(notes, part, typed, context)?, 0),
    };
    if let Some(late) = names(&collect.source).find(|name| TOO_LATE.contains(name)) {
        let mistake = Mistake::new(
            notes.file,
            part.span,
            format!("`{}` needs `{late}`, but is also read before the load", collect.name.trim_start_matches("reconcile-")),
        );
        notes.mistakes.push(mistake.expected("expected a count that can be read at any time"));
        return None;
    }
    if matches!(collect.metrics[metric].source, MetricSource::Ratio(..)) {
        let mistake = Mistake::new(notes.file, part.span, format!("`{}` is a ratio", collect.metrics[metric].name));
        notes.mistakes.push(mistake.expected("expected a number of requests"));
        return None;
    }
    Some(Counter::Collected { collect: Box::new(Collect { table: None, ..collect }), metric })
}

/// `name`, or `name.metric`.
fn referred(notes: &mut Diagnostics<'_>, part: &Node, text: &str, context: &CellContext<'_>) -> Option<(Collect, usize)> {
    let (name, metric) = text.split_once('.').map_or((text, None), |(name, metric)| (name, Some(metric)));
    let mut say = |found: String, wrong: &str, all: Vec<&str>| {
        let mistake = Mistake::new(notes.file, part.span, found);
        notes.mistakes.push(match all.is_empty() {
            true => mistake.expected("expected its own source, such as `{get: http://…, json: /requests}`"),
            false => mistake.expected(format!("expected {}", one_of(all.iter().copied()))).did_you_mean(wrong, all),
        });
    };
    if !context.collects.contains(&name) {
        say(format!("`collect` has no entry `{name}`"), name, context.collects.to_vec());
        return None;
    }
    let collect = context.collected.iter().find(|c| c.name == name)?;
    let metrics: Vec<&str> = collect.metrics.iter().map(|m| m.name.as_str()).collect();
    let place = match metric {
        Some(metric) => metrics.iter().position(|m| *m == metric),
        None => (metrics.len() == 1).then_some(0),
    };
    if place.is_none() {
        let full = |m: &&str| format!("{name}.{m}");
        let all: Vec<String> = metrics.iter().map(full).collect();
        let found = match metric {
            Some(metric) => format!("`{name}` has no metric `{metric}`"),
            None => format!("`{name}` has {} metrics", metrics.len()),
        };
        say(found, text, all.iter().map(String::as_str).collect());
    }
    Some((Collect { name: format!("reconcile-{}", collect.name), ..collect.clone() }, place?))
}

/// A source of its own: like an entry of `collect`, with the place of the one metric beside it.
fn own(notes: &mut Diagnostics<'_>, part: &Node, typed: &types::Reconcile, context: &CellContext<'_>) -> Option<Collect> {
    if !matches!(part.data, Data::Map(_)) {
        let found = format!("{} does not fit here", part.describe());
        let expected = "expected the name of a figure of `collect`, or a source such as `{get: http://…, json: /requests}`";
        notes.mistakes.push(Mistake::new(notes.file, part.span, found).expected(expected));
        return None;
    }
    if let Some(entry) = part.entries().iter().find(|e| ["metrics", "table", "when"].contains(&e.key.as_str())) {
        let mistake = Mistake::new(notes.file, entry.key_span, format!("`{}` does not belong here", entry.key));
        notes
            .mistakes
            .push(mistake.expected(format!("expected the place of the count, by {}", one_of(PLACES[..5].iter().copied()))));
        return None;
    }
    let (places, rest): (Vec<Entry>, Vec<Entry>) = part.entries().iter().cloned().partition(|e| PLACES.contains(&e.key.as_str()));
    let known = || SOURCES.iter().chain(&PLACES).copied();
    if let Some(entry) = rest.iter().find(|e| !SOURCES.contains(&e.key.as_str())) {
        let mistake = Mistake::new(notes.file, entry.key_span, format!("unknown key `{}`", entry.key));
        notes.mistakes.push(mistake.expected(format!("expected {}", one_of(known()))).did_you_mean(&entry.key, known()));
        return None;
    }
    if places.is_empty() {
        notes.say(part, "", "the place of the count is missing", format!("expected {}", one_of(PLACES[..5].iter().copied())));
        return None;
    }
    let span: Span = places[0].key_span;
    let metric = Entry { key: "requests".to_owned(), key_span: span, value: part.with(Data::Map(places)) };
    let metrics = Entry { key: "metrics".to_owned(), key_span: span, value: Node::new(span, Data::Map(vec![metric])) };
    let whole = part.with(Data::Map(rest.into_iter().chain([metrics]).collect()));
    let file = notes.file;
    let name = Entry { key: format!("reconcile-{}", typed.target), key_span: part.span, value: Node::new(part.span, Data::Null) };
    decode::decode_and(file, &whole, notes.mistakes, |typed: types::Collect, mistakes| {
        collect::collect(&mut Diagnostics::new(file, mistakes), &name, &whole, &typed, context.scenario)
            .map(|(collect, _)| collect)
    })
}

/// The late names in a source.
fn names(source: &CollectSource) -> Box<dyn Iterator<Item = &str> + '_> {
    match source {
        CollectSource::Command(command) | CollectSource::Fixture(command) => {
            let env = command.env.iter().map(|(_, value)| value);
            Box::new(command.argv.iter().chain(env).chain(&command.dir).flat_map(Template::names))
        }
        CollectSource::File(path) | CollectSource::Sqlite(path) => Box::new(path.names()),
        CollectSource::Get { step, .. } => Box::new(step.names()),
    }
}
