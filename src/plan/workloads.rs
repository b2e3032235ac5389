//! Workloads: the load and the steps of a pass.

use std::collections::BTreeSet;

use super::actions::{self, METHODS, Pen, REQUEST_TIMEOUT};
use super::{Arrivals, Body, Limit, Step, Url, Workload};
use crate::schema::{Mistake, Node, types};

/// More connections than this in one workload are a typing error on any machine.
const MAX_CONNECTIONS: u32 = 1_000_000;

/// Makes a workload of what was typed; `node` is the evaluated YAML of it.
pub(super) fn workload(
    pen: &mut Pen<'_>,
    name: &str,
    node: &Node,
    typed: &types::Workload,
    taken: &BTreeSet<String>,
) -> Option<Workload> {
    let before = pen.mistakes.len();
    let mut urls = Vec::new();
    for (i, url) in typed.url.0.iter().enumerate() {
        let Some(url) = pen.fixed(node, "url", url) else { continue };
        match Url::parse(&url) {
            Ok(url) => urls.push(url),
            Err(expected) => {
                let span = node.get("url").map_or(node.head, |n| n.items().get(i).unwrap_or(n).span);
                pen.mistakes.push(Mistake::new(pen.file, span, format!("`{url}` is no URL for a load")).expected(expected));
            }
        }
    }
    if typed.url.0.is_empty() {
        pen.say(node, "url", "this workload has no URL", "expected `url: http://host:port`");
    }
    let load = node.get("load")?;
    let limit = limit(pen, load, "the end of the load", typed.load.amount, typed.load.duration);
    let warm_up = match (&typed.load.warm_up, load.get("warm-up")) {
        (Some(warm_up), Some(node)) => self::limit(pen, node, "the end of the warm-up", warm_up.amount, warm_up.duration),
        _ => None,
    };
    let connections = typed.load.closed.connections;
    if connections == 0 || connections > MAX_CONNECTIONS {
        let closed = load.get("closed").unwrap_or(load);
        pen.say(
            closed,
            "connections",
            format!("{} cannot carry a load", counted(connections, "connection")),
            format!("expected 1 to {MAX_CONNECTIONS} connections"),
        );
    }
    let threads = typed.threads.unwrap_or(1);
    if threads == 0 || connections > 0 && threads > connections {
        pen.say(
            node,
            "threads",
            format!("{} for {}", counted(threads, "thread"), counted(connections, "connection")),
            "expected at least one thread, and at least one connection for each",
        );
    }
    if typed.steps.is_empty() {
        pen.say(node, "steps", "a pass without steps", "expected at least one request, as `[{get: /}]`");
    }
    let common = actions::headers(pen, node, &typed.headers);
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let mut steps: Vec<Step> = Vec::new();
    let mut carried: BTreeSet<String> = BTreeSet::new();
    let items = node.get("steps").map(Node::items).unwrap_or_default();
    // Where one could not be read at all, it is not known any more which is which.
    let readable = if items.len() == typed.steps.len() { typed.steps.as_slice() } else { &[] };
    for (item, typed) in items.iter().zip(readable) {
        let step = self::step(pen, item, typed, timeout, taken);
        let carries = item.get("carry").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.clone());
        let Some(mut step) = step else {
            carried.extend(carries);
            continue;
        };
        for (name, value) in &common {
            if !step.headers.iter().any(|(n, _)| n == name) {
                step.headers.push((name.clone(), value.clone()));
            }
        }
        names_in_time(pen, item, &step, &carried);
        carried.extend(carries);
        if let Some(named) = typed.name.as_ref().filter(|n| steps.iter().any(|s| s.name == **n)) {
            pen.say(item, "name", format!("two steps are named `{named}`"), "expected a name of its own for each step");
        }
        step.name = distinct(&step.name, &steps);
        steps.push(step);
    }
    (pen.mistakes.len() == before).then(|| Workload {
        name: name.to_owned(),
        urls,
        arrivals: Arrivals::Closed { connections },
        limit: limit.unwrap_or(Limit::Amount(1)),
        warm_up,
        steps,
        threads,
        cpus: typed.cpus.clone(),
    })
}

fn counted(number: u32, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

fn limit(pen: &mut Pen<'_>, node: &Node, what: &str, amount: Option<u64>, duration: Option<types::Duration>) -> Option<Limit> {
    match pen.exactly_one(node, what, &["amount", "duration"])? {
        "amount" => {
            if amount == Some(0) {
                pen.say(node, "amount", "an amount of 0", "expected at least 1");
            }
            amount.map(Limit::Amount)
        }
        _ => {
            if duration.is_some_and(|d| d.0.is_zero()) {
                pen.say(node, "duration", "a duration of 0", "expected a time, as `10s`");
            }
            duration.map(|d| Limit::Duration(d.0))
        }
    }
}

fn step(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: std::time::Duration,
    taken: &BTreeSet<String>,
) -> Option<Step> {
    let method = pen.exactly_one(node, "the method of this step", &METHODS)?;
    let path = [&typed.get, &typed.head, &typed.put, &typed.post, &typed.patch, &typed.delete, &typed.options]
        .into_iter()
        .flatten()
        .next()?;
    if !path.0.starts_with('/') {
        pen.say(
            node,
            method,
            format!("the path `{}` does not start with `/`", path.0),
            "expected a path, as `/blobs/${id}`; the host stands in `url`",
        );
    } else if path.0.replace("${", "").contains(|c: char| c.is_whitespace() || c.is_control()) {
        pen.say(node, method, format!("the path `{}` contains white space", path.0), "expected it written as `%20`");
    }
    let body = match (&typed.body, node.get("body")) {
        (Some(typed), Some(node)) => actions::body(pen, node, typed)?,
        _ => Body::Empty,
    };
    let name = match &typed.name {
        Some(name) => pen.fixed(node, "name", name)?,
        None => method.to_owned(),
    };
    Some(Step {
        name,
        method: method.to_ascii_uppercase(),
        path: super::Template::parse(&path.0),
        headers: actions::headers(pen, node, &typed.headers),
        body,
        expect: actions::expect(pen, node.get("expect"), typed.expect.as_ref()),
        carry: actions::carry(pen, node, &typed.carry, taken),
        timeout: typed.timeout.map_or(timeout, |d| d.0),
    })
}

/// `get`, `get-2`, …
fn distinct(name: &str, steps: &[Step]) -> String {
    let taken = |n: &str| steps.iter().any(|s| s.name == n);
    (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}-{i}") }).find(|n| !taken(n)).unwrap_or_default()
}

/// Every carried value that a step uses must come from a step before it.
fn names_in_time(pen: &mut Pen<'_>, node: &Node, step: &Step, carried: &BTreeSet<String>) {
    let known = ["id", "pass", "connection", "scratch", "repetition"];
    let names: BTreeSet<&str> = step.names().collect();
    for name in names {
        if !known.contains(&name) && !carried.contains(name) {
            let span = actions::find_name(pen.file, node, name).unwrap_or(node.head);
            pen.mistakes.push(
                Mistake::new(pen.file, span, format!("`{name}` is used before it is carried"))
                    .expected("expected `carry` in a step before this one"),
            );
        }
    }
}
