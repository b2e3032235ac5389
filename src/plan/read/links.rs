//! Reads `links:` of a scenario.

use serde_json::json;

use super::diagnostics::Diagnostics;
use plan::links::{Changes, Link, Mechanism, Shape, Tolerance, is_local, late_name};
use plan::{Start, Target, Workload};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, Span, types};

/// Makes a link from what was typed. `targets`: those of the cell; `known`: those of all cells. `None` also if nothing
/// on its far side is in this cell.
pub(super) fn link(
    notes: &mut Diagnostics<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Link,
    targets: &[Target],
    known: &[String],
) -> Option<Link> {
    let before = notes.mistakes.len();
    let there = |name: &str| targets.iter().any(|t| t.name == name);
    let named = typed.to.0.iter().map(|name| ("to", name)).chain(typed.from.iter().map(|name| ("from", name)));
    for (key, name) in named {
        if !known.contains(name) {
            let part = node.get(key).unwrap_or(node);
            let span = part.items().iter().find(|i| i.as_text() == Some(name)).unwrap_or(part).span;
            let known = || known.iter().map(String::as_str);
            let mistake = Mistake::new(notes.file, span, format!("there is no target `{name}`"))
                .expected(format!("expected {}", one_of(known())))
                .did_you_mean(name, known());
            notes.mistakes.push(mistake);
        } else if targets.iter().any(|t| t.name == *name && !t.is_started()) {
            let expected = "expected a target that runner starts: it must run in its own network";
            notes.say(node, key, format!("`{name}` already runs, elsewhere"), expected);
        } else if targets.iter().any(|t| t.name == *name && t.replicas.iter().any(|r| matches!(r.start, Start::Container { .. })))
        {
            let expected = "expected a process: the network of a container is its engine's";
            notes.say(node, key, format!("`{name}` is a container"), expected);
        } else if key == "to" && targets.iter().any(|t| t.name == *name && !t.lifetime.is_repetition()) {
            let expected = "expected a target with `lifetime: repetition`: a link is made anew for each";
            notes.say(node, key, format!("`{name}` lives longer than the link"), expected);
        }
    }
    if typed.to.0.is_empty() {
        notes.say(node, "to", "a link that leads nowhere", "expected a target, such as `to: server`");
    }
    if let Some(from) = typed.from.as_ref().filter(|from| typed.to.0.contains(from)) {
        notes.say(node, "from", format!("a link from `{from}` to itself"), "expected another target, or the load (no `from`)");
    }
    let own = types::LinkShape { delay: typed.delay, jitter: typed.jitter, loss: typed.loss, rate: typed.rate };
    let forward = shape(notes, node, &own, typed.mechanism);
    let back = match node.get("back") {
        Some(node) => shape(notes, node, &typed.back, typed.mechanism),
        None => Shape::default(),
    };
    let default = Tolerance::for_shapes(&forward, &back);
    let tolerance = Tolerance {
        delay: typed.tolerance.delay.map_or(default.delay, |d| d.0),
        loss: typed.tolerance.loss.map_or(default.loss, |s| s.0),
        rate: typed.tolerance.rate.map_or(default.rate, |s| s.0),
    };
    (notes.mistakes.len() == before).then_some(())?;
    let to: Vec<String> = typed.to.0.iter().filter(|name| there(name)).cloned().collect();
    if to.is_empty() || typed.from.as_ref().is_some_and(|from| !there(from)) {
        return None;
    }
    let far = targets.iter().filter(|t| to.contains(&t.name));
    let mut ports: Vec<u16> = far.flat_map(|t| t.replicas.iter().flat_map(|r| r.ports.clone())).collect();
    ports.dedup();
    Some(Link {
        name: entry.key.clone(),
        from: typed.from.clone(),
        to,
        forward,
        back,
        mechanism: typed.mechanism,
        tolerance,
        ports,
        changes: Changes::Never,
    })
}

fn shape(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::LinkShape, mechanism: Mechanism) -> Shape {
    let delay = typed.delay.map_or_else(Default::default, |d| d.0);
    let jitter = typed.jitter.map_or_else(Default::default, |d| d.0);
    if jitter > delay {
        let expected = "expected at most the delay: packets do not arrive before they were sent";
        notes.say(node, "jitter", "a jitter that is longer than the delay", expected);
    }
    let loss = typed.loss.map_or(0.0, |l| l.0);
    if loss >= 1.0 {
        notes.say(node, "loss", "a link that loses everything", "expected less than 100%");
    }
    if loss > 0.0 && mechanism == Mechanism::Relay {
        let expected = "expected `mechanism: netem` or `nfqueue`, which handle packets";
        notes.say(node, "loss", "a relay forwards connections, which lose nothing", expected);
    }
    Shape { delay, jitter, loss, rate_bits_per_s: typed.rate.map(|r| r.0) }
}

/// The same where machines have addresses of their own, which are known beforehand. `far`: the address of a link's first target, and
/// its port.
pub(super) fn between_machines(links: &[Entry], far: impl Fn(&Entry) -> Option<(String, u16)>) -> Node {
    let entry = |entry: &Entry| {
        let (host, port) = far(entry)?;
        let value = json!({"host": host, "port": port, "address": format!("{host}:{port}")});
        Some(Entry { key: entry.key.clone(), key_span: entry.key_span, value: Node::from_json(&value, entry.key_span) })
    };
    Node::new(Span::default(), Data::Map(links.iter().filter_map(entry).collect()))
}

/// `links` as expressions see it: addresses that are known when the links are made.
pub(super) fn as_value(links: &[Entry]) -> Node {
    let entry = |entry: &Entry| {
        let part = |what: &str| format!("${{{}}}", late_name(&entry.key, what));
        let value = json!({"host": part("host"), "port": part("port"), "address": format!("{}:{}", part("host"), part("port"))});
        Entry { key: entry.key.clone(), key_span: entry.key_span, value: Node::from_json(&value, entry.key_span) }
    };
    Node::new(Span::default(), Data::Map(links.iter().map(entry).collect()))
}

/// A target that the load reaches through a link must be reached by exactly one link from the load.
pub(super) fn reachable(notes: &mut Diagnostics<'_>, links: &[Link], workloads: &[Workload], nodes: &[&Node], section: &Node) {
    for (index, link) in links.iter().enumerate().filter(|(_, l)| l.from.is_none()) {
        for target in &link.to {
            if let Some(other) = links[..index].iter().find(|l| l.from.is_none() && l.to.contains(target)) {
                let found = format!("the links `{}` and `{}` both lead from the load to `{target}`", other.name, link.name);
                let span = section.entry(&link.name).map_or(section.span, |e| e.key_span);
                notes.mistakes.push(Mistake::new(notes.file, span, found).expected("expected one way to each target"));
            }
        }
    }
    for (workload, node) in workloads.iter().zip(nodes) {
        for (host, port) in workload.protocol().addresses().into_iter().filter(|(host, _)| is_local(host)) {
            let far: Vec<&Link> = links.iter().filter(|l| l.ports.contains(&port)).collect();
            if !far.is_empty() && far.iter().all(|l| l.from.is_some()) {
                let found = format!("no link leads from the load to {host}:{port}");
                let expected = format!("expected a link without `from` to it, beside `{}`", far[0].name);
                notes.mistakes.push(Mistake::new(notes.file, node.head, found).expected(expected));
            }
        }
    }
}
