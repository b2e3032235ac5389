//! Messages as steps, for the protocols that have them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::diagnostics::{Diagnostics, refuse};
use super::{requests, steps};
use plan::{Body, Message};
use schema::{Node, types};

impl steps::Step for Message {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }

    fn inserted(&self) -> Vec<&str> {
        self.names()
    }
}

/// One message; `longest`: the most bytes that it may have.
pub(super) fn message(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: Duration,
    in_use: &BTreeSet<String>,
    longest: u64,
) -> Option<Message> {
    let kind = notes.exactly_one(node, "what this step does", &["send", "receive"])?;
    refuse(
        notes,
        node,
        &["get", "head", "put", "post", "patch", "delete", "options", "headers", "body", "outcomes"],
        "it belongs to requests over HTTP, but this is a message",
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
        notes.say(node, "answer", "`receive` already waits for a message", "expected `answer` only beside `send`");
    }
    if !answer && (typed.expect.is_some() || !typed.carry.is_empty()) {
        notes.say(node, "answer", "there is no answer to check", "expected `answer: true`");
    }
    let length = match &send {
        Some(Body::Random(length)) => Some(*length),
        Some(Body::Text(text) | Body::Json(text)) if text.names().next().is_none() => Some(text.to_text().len() as u64),
        _ => None,
    };
    if let Some(length) = length.filter(|length| *length > longest) {
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
    for header in carry.iter().filter(|c| c.selector.header().is_some()) {
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
