//! Messages over TCP: any protocol whose messages are frames, by what the scenario says of them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::actions::{self, REQUEST_TIMEOUT};
use super::pen::Pen;
use super::{Body, Carry, Draw, Expect, Template, Url, as_text, workloads};
pub use crate::schema::types::ByteOrder;
use crate::schema::{Node, types};

/// The longest answer that is taken, where nothing else is said.
const MAX_FRAME: u64 = 16 << 20;

/// A workload of messages over TCP.
#[derive(Clone, Debug, Serialize)]
pub struct Framed {
    /// Whom to connect to.
    pub to: Address,
    /// How messages are told apart.
    pub framing: Framing,
    /// Whether a connection is used for more than one pass.
    pub keep_alive: bool,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The messages of one pass.
    pub steps: Vec<Message>,
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How messages are told apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Framing {
    /// Where one ends.
    pub bounds: Bounds,
    /// The longest answer that is taken, in bytes.
    pub max: u64,
}

/// Where a message ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bounds {
    /// Its length stands before it.
    Length {
        /// In so many bytes, 1 to 8.
        bytes: u8,
        /// In this order.
        order: ByteOrder,
    },
    /// This stands behind it.
    Delimiter(String),
}

impl Framing {
    /// The most bytes that a message may have to be sent.
    pub fn longest(&self) -> u64 {
        match self.bounds {
            Bounds::Length { bytes, .. } if bytes < 8 => (1 << (8 * u32::from(bytes))) - 1,
            _ => u64::MAX,
        }
    }
}

/// One step of a pass.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Its name in results.
    pub name: String,
    /// What is sent, if anything.
    pub send: Option<Body>,
    /// Whether a message is waited for.
    pub answer: bool,
    /// What it must be.
    pub expect: Expect,
    /// What is kept for the steps behind.
    pub carry: Vec<Carry>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

impl Message {
    /// The late names that it inserts, some of them several times.
    pub fn names(&self) -> Vec<&str> {
        let body = match &self.send {
            Some(Body::Text(text) | Body::Json(text)) => Some(text),
            _ => None,
        };
        body.into_iter().chain(&self.expect.text).chain(&self.expect.contains).flat_map(Template::names).collect()
    }
}

/// Reads `host:port`.
pub(super) fn address(pen: &mut Pen<'_>, node: &Node, key: &str, text: &str) -> Option<Address> {
    let text = pen.fixed(node, key, text)?;
    let parsed = Url::parse(&format!("http://{text}")).ok().filter(|url| url.path.is_empty() && text.contains(':'));
    match parsed {
        Some(url) => Some(Address { host: url.host, port: url.port }),
        None => {
            pen.say(node, key, format!("`{text}` is not an address"), "expected `host:port`, such as `127.0.0.1:8098`");
            None
        }
    }
}

fn framing(pen: &mut Pen<'_>, node: &Node, typed: &types::Framing) -> Option<Framing> {
    let bounds = match pen.exactly_one(node, "where a frame ends", &["length", "delimiter"])? {
        "length" => {
            let bytes = typed.length?;
            if !(1..=8).contains(&bytes) {
                pen.say(node, "length", format!("a length of {bytes} bytes"), "expected 1 to 8 bytes");
                return None;
            }
            Bounds::Length { bytes, order: typed.order.unwrap_or_default() }
        }
        _ => {
            if typed.order.is_some() {
                pen.say(node, "order", "an order of bytes without a length", "expected `length` beside it");
            }
            let delimiter = typed.delimiter.clone()?;
            if delimiter.is_empty() {
                pen.say(node, "delimiter", "an empty delimiter", "expected at least one character, such as `\"\\n\"`");
                return None;
            }
            Bounds::Delimiter(delimiter)
        }
    };
    let framing = Framing { bounds, max: typed.max.map_or(MAX_FRAME, |m| m.0.0) };
    Some(framing)
}

/// Makes a workload of messages; `node` is that of the workload.
pub(super) fn framed(pen: &mut Pen<'_>, node: &Node, typed: &types::Workload, taken: &BTreeSet<String>) -> Option<Framed> {
    let (part, said) = (node.get("framed")?, typed.framed.as_ref()?);
    let to = address(pen, part, "to", &said.to);
    let framing = part.get("frame").and_then(|node| framing(pen, node, &said.frame));
    if pen.exactly_one(node, "what a pass consists of", &["steps"]).is_some() && typed.steps.is_empty() {
        pen.say(node, "steps", "a pass without steps", "expected at least one message, such as `[{send: {text: hello}}]`");
    }
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let items = node.get("steps").map(Node::items).unwrap_or_default();
    let readable = if items.len() == typed.steps.len() { typed.steps.as_slice() } else { &[] };
    let draws = workloads::draws(pen, node, &typed.draw, taken);
    let taken = &taken.iter().chain(typed.draw.keys()).cloned().collect();
    let (mut steps, mut carried): (Vec<Message>, BTreeSet<String>) = (Vec::new(), typed.draw.keys().cloned().collect());
    for (item, typed) in items.iter().zip(readable) {
        let Some(mut message) = message(pen, item, typed, timeout, taken, framing.as_ref()) else { continue };
        workloads::names_in_time(pen, item, message.names().into_iter(), &carried);
        carried.extend(message.carry.iter().map(|c| c.name.clone()));
        message.name = workloads::own_name(pen, item, typed, &message.name, |n| steps.iter().any(|s| s.name == n));
        steps.push(message);
    }
    Some(Framed { to: to?, framing: framing?, keep_alive: said.keep_alive.unwrap_or(true), draws, steps })
}

fn message(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: Duration,
    taken: &BTreeSet<String>,
    framing: Option<&Framing>,
) -> Option<Message> {
    let kind = pen.exactly_one(node, "what this step does", &["send", "receive"])?;
    workloads::refuse(
        pen,
        node,
        &["get", "head", "put", "post", "patch", "delete", "options", "headers", "body", "outcomes"],
        "it belongs to requests over HTTP, and this is a message",
    );
    let send = match (&typed.send, node.get("send")) {
        (Some(typed), Some(node)) => Some(actions::body(pen, node, typed)?),
        _ => None,
    };
    if kind == "receive" && typed.receive == Some(false) {
        pen.say(node, "receive", "a step that does nothing", "expected `receive: true`");
    }
    let answer = typed.answer.unwrap_or(true);
    if kind == "receive" && typed.answer.is_some() {
        pen.say(node, "answer", "`receive` is a wait for a message already", "expected `answer` only beside `send`");
    }
    if !answer && (typed.expect.is_some() || !typed.carry.is_empty()) {
        pen.say(node, "answer", "nothing can be expected of an answer that does not come", "expected `answer: true`");
    }
    let length = match &send {
        Some(Body::Random(length)) => Some(*length),
        Some(Body::Text(text) | Body::Json(text)) if text.names().next().is_none() => Some(text.to_text().len() as u64),
        _ => None,
    };
    if let (Some(framing), Some(length)) = (framing, length)
        && length > framing.longest()
    {
        let longest = framing.longest();
        pen.say(node, "send", format!("a message of {length} bytes"), format!("expected at most {longest}, as `length` allows"));
    }
    if node.get("expect").is_some_and(|e| e.get("status").is_some()) {
        pen.say(node.get("expect")?, "status", "a message has no status", "expected `length`, `text` or `contains`");
    }
    let carry = actions::carry(pen, node, &typed.carry, taken);
    for header in carry.iter().filter(|c| matches!(c.place, super::Place::Header(_))) {
        if let Some(entry) = node.get("carry").and_then(|n| n.entry(&header.name)) {
            pen.say(&entry.value, "header", "a message has no headers", "expected `json` or `regex`");
        }
    }
    let name = match &typed.name {
        Some(name) => pen.fixed(node, "name", name)?,
        None => kind.to_owned(),
    };
    let expect = actions::expect(pen, node.get("expect"), typed.expect.as_ref());
    Some(Message { name, send, answer, expect, carry, timeout: typed.timeout.map_or(timeout, |d| d.0) })
}
