//! Messages over TCP: how they are read.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Reader, http};
use crate::diagnostics::{Diagnostics, refuse};
use crate::{requests, steps, values};
use plan::drivers::framed::{Bounds, Framed, Framing, Message};
use plan::step::REQUEST_TIMEOUT;
use plan::{Body, Selector};
use schema::{Node, types};

/// The longest answer that is taken, where nothing else is said.
const MAX_FRAME: u64 = 16 << 20;

/// `framed:`.
pub const READER: Reader = Reader {
    read: |notes, typed| {
        refuse(notes, typed.node, &http::KEYS, "it belongs to requests over HTTP, which have `url`");
        framed(notes, typed.node, typed.typed, typed.in_use).map(Into::into)
    },
    ..Reader::of("framed")
};

fn framing(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Framing) -> Option<Framing> {
    let bounds = match notes.exactly_one(node, "where a frame ends", &["length", "delimiter"])? {
        "length" => {
            let bytes = typed.length?;
            if !(1..=8).contains(&bytes) {
                notes.say(node, "length", format!("a length of {bytes} bytes"), "expected 1 to 8 bytes");
                return None;
            }
            Bounds::Length { bytes, order: typed.order.unwrap_or_default() }
        }
        _ => {
            if typed.order.is_some() {
                notes.say(node, "order", "an order of bytes without a length", "expected `length` beside it");
            }
            let delimiter = typed.delimiter.clone()?;
            if delimiter.is_empty() {
                notes.say(node, "delimiter", "an empty delimiter", "expected at least one character, such as `\"\\n\"`");
                return None;
            }
            Bounds::Delimiter(delimiter)
        }
    };
    let framing = Framing { bounds, max: typed.max.map_or(MAX_FRAME, |m| m.0.0) };
    Some(framing)
}

/// Makes a workload of messages; `node` is that of the workload.
fn framed(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, in_use: &BTreeSet<String>) -> Option<Framed> {
    let (part, said) = (node.get("framed")?, typed.framed.as_ref()?);
    let to = requests::address(notes, part, "to", &said.to);
    let framing = part.get("frame").and_then(|node| framing(notes, node, &said.frame));
    if notes.exactly_one(node, "what a pass consists of", &["steps"]).is_some() && typed.steps.is_empty() {
        notes.say(node, "steps", "a pass without steps", "expected at least one message, such as `[{send: {text: hello}}]`");
    }
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let draws = values::draws(notes, node, &typed.draw, in_use);
    let in_use = &in_use.iter().chain(typed.draw.keys()).cloned().collect();
    let steps = steps::read(notes, node, typed.draw.keys().cloned(), |notes, item, typed: &types::Step| {
        message(notes, item, typed, timeout, in_use, framing.as_ref())
    });
    Some(Framed { to: to?, framing: framing?, keep_alive: said.keep_alive.unwrap_or(true), draws, steps })
}

impl steps::Step for Message {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }

    fn inserted(&self) -> Vec<&str> {
        self.names()
    }
}

/// One message; `framing`: how its end is told, where the scenario says that.
pub fn message(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: Duration,
    in_use: &BTreeSet<String>,
    framing: Option<&Framing>,
) -> Option<Message> {
    let kind = notes.exactly_one(node, "what this step does", &["send", "receive"])?;
    refuse(
        notes,
        node,
        &["get", "head", "put", "post", "patch", "delete", "options", "headers", "body", "outcomes"],
        "it belongs to requests over HTTP, and this is a message",
    );
    let send = match (&typed.send, node.get("send")) {
        (Some(typed), Some(node)) => Some(requests::body(notes, node, typed)?),
        _ => None,
    };
    if kind == "receive" && typed.receive == Some(false) {
        notes.say(node, "receive", "a step that does nothing", "expected `receive: true`");
    }
    let answer = typed.answer.unwrap_or(true);
    if kind == "receive" && typed.answer.is_some() {
        notes.say(node, "answer", "`receive` is a wait for a message already", "expected `answer` only beside `send`");
    }
    if !answer && (typed.expect.is_some() || !typed.carry.is_empty()) {
        notes.say(node, "answer", "nothing can be expected of an answer that does not come", "expected `answer: true`");
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
        notes.say(
            node,
            "send",
            format!("a message of {length} bytes"),
            format!("expected at most {longest}, the longest that `length` allows"),
        );
    }
    if node.get("expect").is_some_and(|e| e.get("status").is_some()) {
        notes.say(node.get("expect")?, "status", "a message has no status", "expected `length`, `text` or `contains`");
    }
    let carry = requests::carry(notes, node, &typed.carry, in_use);
    for header in carry.iter().filter(|c| matches!(c.selector, Selector::Header(_))) {
        if let Some(entry) = node.get("carry").and_then(|n| n.entry(&header.name)) {
            notes.say(&entry.value, "header", "a message has no headers", "expected `json` or `regex`");
        }
    }
    let name = match &typed.name {
        Some(name) => notes.fixed(node, "name", name)?,
        None => kind.to_owned(),
    };
    let expect = requests::expect(notes, node.get("expect"), typed.expect.as_ref());
    Some(Message { name, send, answer, expect, carry, timeout: typed.timeout.map_or(timeout, |d| d.0) })
}
