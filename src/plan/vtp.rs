//! The VOEvent Transport Protocol: authors that send events to a broker, subscribers that receive them from it.

use std::time::Duration;

use serde::Serialize;

use super::actions::REQUEST_TIMEOUT;
use super::framed::{Address, address};
use super::load::{Driver, Workload};
use super::pen::Pen;
use super::{Template, as_text};
use crate::schema::source::one_of;
use crate::schema::{Mistake, Node, types};

/// The stages of an event at its author, which are the steps of a pass: connected, sent, answered.
pub const STAGES: [&str; 3] = ["connect", "send", "answer"];
/// The only step of a subscriber: an event has arrived.
pub const ARRIVAL: &str = "event";
/// What a subscriber counts beside arrivals, in the order in which it is recorded.
pub const ARRIVAL_METRICS: [&str; 4] = ["lost", "duplicates", "reordered", "unexpected"];
/// How long after the last arrival what is missing counts as lost.
const WAIT: Duration = Duration::from_secs(5);
/// The smallest valid event.
const EVENT: &str = r#"<v:VOEvent xmlns:v="http://www.ivoa.net/xml/VOEvent/v2.0" ivorn="${ivorn}" role="test" version="2.0"/>"#;
/// Brokers close the connection without a word when an event is longer.
pub const MAX_EVENT: u64 = 99_999;

/// A workload that sends events.
#[derive(Clone, Debug, Serialize)]
pub struct Author {
    /// Where the broker takes them.
    pub to: Address,
    /// Whose events they are.
    pub ivo: String,
    /// An event; `${ivorn}` is its identifier.
    pub event: Template,
    /// How long it is made, in bytes.
    pub size: Option<u64>,
    /// How long each stage may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// A workload that receives events.
#[derive(Clone, Debug, Serialize)]
pub struct Subscriber {
    /// Where the broker sends them.
    pub from: Address,
    /// The workload that sends them.
    pub of: String,
    /// Who receives them.
    pub ivo: String,
    /// How long after the last arrival what is missing counts as lost.
    #[serde(serialize_with = "as_text")]
    pub wait: Duration,
    /// How long connecting and authenticating may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// Makes a workload of events; `node` is that of the workload.
pub(super) fn vtp(pen: &mut Pen<'_>, node: &Node, typed: &types::Workload) -> Option<Driver> {
    let (part, said) = (node.get("vtp")?, typed.vtp.as_ref()?);
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    match pen.exactly_one(part, "what becomes of the events", &["to", "from"])? {
        "to" => {
            super::workloads::refuse(pen, part, &["of", "wait"], "it belongs to a subscriber, which has `from`");
            let to = address(pen, part, "to", said.to.as_deref()?);
            let ivo = ivo(pen, part, said.ivo.as_deref(), "ivo://runner.test/author");
            let event = Template::parse(said.event.as_ref().map_or(EVENT, |e| &e.0));
            if !event.names().any(|n| n == "ivorn") {
                let expected = "expected `${ivorn}` in it, so that events can be told apart";
                pen.say(part, "event", "an event without its identifier", expected);
            }
            if let Some(name) = event.names().find(|n| !["ivorn", "pass", "connection", "scratch", "repetition"].contains(n)) {
                let expected = "expected `${ivorn}`, `${pass}`, `${connection}`, `${repetition}`";
                pen.say(part, "event", format!("`{name}` is not known when an event is sent"), expected);
            }
            let size = said.size.map(|s| s.0.0);
            if size.is_some_and(|size| size > MAX_EVENT) {
                let expected = format!("expected at most {MAX_EVENT} bytes: brokers take no more");
                pen.say(part, "size", format!("an event of {} bytes", size.unwrap_or_default()), expected);
            }
            Some(Driver::Author(Author { to: to?, ivo: ivo?, event, size, timeout }))
        }
        _ => {
            super::workloads::refuse(pen, part, &["event", "size"], "it belongs to an author, which has `to`");
            super::workloads::refuse(
                pen,
                node,
                &["load", "phases", "threads"],
                "a subscriber has no load of its own: it receives what the author sends",
            );
            let from = address(pen, part, "from", said.from.as_deref()?);
            let ivo = ivo(pen, part, said.ivo.as_deref(), "ivo://runner.test/subscriber")?;
            let of = match &said.of {
                Some(of) => pen.fixed(part, "of", of)?,
                None => String::new(),
            };
            let wait = said.wait.map_or(WAIT, |d| d.0);
            Some(Driver::Subscriber(Subscriber { from: from?, of, ivo, wait, timeout }))
        }
    }
}

fn ivo(pen: &mut Pen<'_>, node: &Node, typed: Option<&str>, default: &str) -> Option<String> {
    let text = pen.fixed(node, "ivo", typed.unwrap_or(default))?;
    let rest = text.strip_prefix("ivo://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let valid = |c: char| c.is_alphanumeric() || "_-.~*'()+/".contains(c);
    let starts = authority.starts_with(|c: char| c.is_ascii_alphanumeric());
    if authority.len() < 3 || !starts || !rest.chars().all(valid) {
        pen.say(node, "ivo", format!("`{text}` is no IVOA identifier"), "expected `ivo://authority/name`, without `#`");
        return None;
    }
    Some(text)
}

/// Subscribers have the phases of those whose events they wait for. `nodes`: each workload's part of the file.
pub(super) fn connect(pen: &mut Pen<'_>, workloads: &mut [Workload], nodes: &[&Node]) {
    let authors: Vec<(String, super::Load)> =
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
                let arrivals = super::Arrivals::closed(1);
                workload.load = super::Load { arrivals, find: None, auto_warm_up: false, ..load.clone() };
            }
            None if authors.is_empty() => {
                pen.say(part, "from", "nobody sends events", "expected a workload with `vtp: {to: …}` beside this one");
            }
            None if subscriber.of.is_empty() => {
                let expected = format!("expected `of: …`, one of {}", one_of(known()));
                pen.say(part, "from", "several workloads send events", expected);
            }
            None => {
                let span = part.get("of").map_or(part.head, |n| n.span);
                let mistake = Mistake::new(pen.file, span, format!("no workload `{}` sends events", subscriber.of))
                    .expected(format!("expected {}", one_of(known())))
                    .did_you_mean(&subscriber.of, known());
                pen.mistakes.push(mistake);
            }
        }
    }
}
