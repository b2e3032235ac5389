//! How events of the VOEvent Transport Protocol are read from a scenario.

use std::time::Duration;

use super::{Reader, http};
use crate::diagnostics::{Diagnostics, refuse};
use crate::requests;
use plan::drivers::vtp::{ARRIVAL_METRICS, Author, MAX_EVENT, Subscriber};
use plan::step::REQUEST_TIMEOUT;
use plan::{Arrivals, Driver, Load, Template, Workload};
use schema::source::one_of;
use schema::{Mistake, Node, types};

/// How long after the last arrival a missing event counts as lost.
const WAIT: Duration = Duration::from_secs(5);
/// The smallest valid event.
const EVENT: &str = r#"<v:VOEvent xmlns:v="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="${ivorn}" role="test" version="2.0"/>"#;

/// `vtp:`.
pub const READER: Reader = Reader {
    read: |notes, typed| {
        refuse(notes, typed.node, &http::KEYS, "it belongs to requests, but these are events");
        refuse(notes, typed.node, &["steps", "mix"], "it belongs to requests, but these are events");
        refuse(notes, typed.node, &["draw"], "it belongs to requests and messages");
        vtp(notes, typed.node, typed.typed)
    },
    brings: |workloads| {
        let subscribes = |workload: &Node| workload.get("vtp").is_some_and(|vtp| vtp.get("from").is_some());
        let subscribed = workloads.iter().any(|entry| subscribes(&entry.value));
        ARRIVAL_METRICS.into_iter().map(|(name, _)| name).filter(|_| subscribed).collect()
    },
    follows: |typed| typed.vtp.as_ref().is_some_and(|vtp| vtp.from.is_some()),
    join,
    ..Reader::of("vtp")
};

/// Makes a workload of events; `node` is that of the workload.
fn vtp(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload) -> Option<Driver> {
    let (part, said) = (node.get("vtp")?, typed.vtp.as_ref()?);
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    match notes.exactly_one(part, "whether events are sent or received", &["to", "from"])? {
        "to" => {
            refuse(notes, part, &["of", "wait"], "it belongs to a subscriber, which has `from`");
            let to = requests::address(notes, part, "to", said.to.as_deref()?);
            let ivo = ivo(notes, part, said.ivo.as_deref(), "ivo://runner.test/author");
            let event = Template::parse(said.event.as_ref().map_or(EVENT, |e| &e.0));
            if !event.names().any(|n| n == "ivorn") {
                let expected = "expected `${ivorn}` in it, so that events can be distinguished";
                notes.say(part, "event", "an event without its identifier", expected);
            }
            if let Some(name) = event.names().find(|n| !["ivorn", "pass", "connection", "scratch", "repetition"].contains(n)) {
                let expected = "expected `${ivorn}`, `${pass}`, `${connection}`, `${repetition}`";
                notes.say(part, "event", format!("`{name}` is not known when an event is sent"), expected);
            }
            let size = said.size.map(|s| s.0.0);
            if size.is_some_and(|size| size > MAX_EVENT) {
                let expected = format!("expected at most {MAX_EVENT} bytes, the most that brokers accept");
                notes.say(part, "size", format!("an event of {} bytes", size.unwrap_or_default()), expected);
            }
            Some(Driver::Author(Author { to: to?, ivo: ivo?, event, size, timeout }))
        }
        _ => {
            refuse(notes, part, &["event", "size"], "it belongs to an author, which has `to`");
            refuse(
                notes,
                node,
                &["load", "phases", "threads"],
                "a subscriber has no load of its own: it receives what the author sends",
            );
            let from = requests::address(notes, part, "from", said.from.as_deref()?);
            let ivo = ivo(notes, part, said.ivo.as_deref(), "ivo://runner.test/subscriber")?;
            let of = match &said.of {
                Some(of) => notes.fixed(part, "of", of)?,
                None => String::new(),
            };
            let wait = said.wait.map_or(WAIT, |d| d.0);
            Some(Driver::Subscriber(Subscriber { from: from?, of, ivo, wait, timeout }))
        }
    }
}

fn ivo(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&str>, default: &str) -> Option<String> {
    let text = notes.fixed(node, "ivo", typed.unwrap_or(default))?;
    let rest = text.strip_prefix("ivo://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let valid = |c: char| c.is_alphanumeric() || "_-.~*'()+/".contains(c);
    let starts = authority.starts_with(|c: char| c.is_ascii_alphanumeric());
    if authority.len() < 3 || !starts || !rest.chars().all(valid) {
        notes.say(node, "ivo", format!("`{text}` is not an IVOA identifier"), "expected `ivo://authority/name`, without `#`");
        return None;
    }
    Some(text)
}

/// Subscribers have the phases of the workload whose events they wait for. `nodes`: each workload's part of the file.
fn join(notes: &mut Diagnostics<'_>, workloads: &mut [Workload], nodes: &[&Node]) {
    let authors: Vec<(String, Load)> =
        workloads.iter().filter(|w| matches!(w.driver, Driver::Author(_))).map(|w| (w.name.clone(), w.load.clone())).collect();
    let known = || authors.iter().map(|(name, _)| name.as_str());
    for (workload, node) in workloads.iter_mut().zip(nodes) {
        let Driver::Subscriber(subscriber) = &mut workload.driver else { continue };
        let part = node.get("vtp").unwrap_or(node);
        let found = match subscriber.of.as_str() {
            "" if authors.len() == 1 => authors.first(),
            name => authors.iter().find(|(author, _)| author == name),
        };
        match found {
            Some((name, load)) => {
                subscriber.of.clone_from(name);
                let arrivals = Arrivals::closed(1);
                workload.load = Load { arrivals, find: None, auto_warm_up: false, ..load.clone() };
            }
            None if authors.is_empty() => {
                notes.say(part, "from", "no workload sends events", "expected a workload with `vtp: {to: …}` beside this one");
            }
            None if subscriber.of.is_empty() => {
                let expected = format!("expected `of: …`, one of {}", one_of(known()));
                notes.say(part, "from", "several workloads send events", expected);
            }
            None => {
                let span = part.get("of").map_or(part.head, |n| n.span);
                let mistake = Mistake::new(notes.file, span, format!("no workload `{}` sends events", subscriber.of))
                    .expected(format!("expected {}", one_of(known())))
                    .did_you_mean(&subscriber.of, known());
                notes.mistakes.push(mistake);
            }
        }
    }
}
