//! How messages over TCP are read from a scenario.

use std::collections::BTreeSet;

use super::{Reader, http};
use crate::diagnostics::{Diagnostics, refuse};
use crate::{messages, requests, socks, steps, values};
use plan::drivers::framed::{Bounds, Framed, Framing};
use plan::step::REQUEST_TIMEOUT;
use schema::{Node, types};

/// The longest answer that is accepted by default.
const MAX_FRAME: u64 = 16 << 20;

/// `framed:`.
pub const READER: Reader = Reader {
    read: |notes, typed| {
        let others: Vec<&str> = http::KEYS.into_iter().filter(|key| !http::SHARED.contains(key)).collect();
        refuse(notes, typed.node, &others, "it belongs to requests over HTTP, which have `url`");
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
    if notes.key_of_workload(node, &["steps"]).is_some() && typed.steps.is_empty() {
        notes.say(node, "steps", "a pass without steps", "expected at least one message, such as `[{send: {text: hello}}]`");
    }
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let draws = values::draws(notes, node, &typed.draw, in_use);
    let in_use = &in_use.iter().chain(typed.draw.keys()).cloned().collect();
    let longest = framing.as_ref().map_or(u64::MAX, Framing::longest);
    let steps = steps::read(notes, node, values::drawn(&typed.draw, &draws), |notes, item, typed: &types::Step| {
        messages::message(notes, item, typed, timeout, in_use, longest)
    });
    let socks = socks::socks(notes, node, typed.socks.as_ref());
    if socks.as_ref().is_some_and(|s| s.control.is_some())
        && let Some(part) = node.get("socks")
    {
        notes.say(part, "control", "a workload with `framed` cannot use a control port", "expected it with `url`");
    }
    if socks.as_ref().is_some_and(|s| s.optimistic)
        && let Some(part) = node.get("socks")
    {
        notes.say(part, "optimistic", "a message that is sent before the proxy is connected", "expected it with `url`");
    }
    let stages = typed.stages.unwrap_or_default();
    let keep_alive = said.keep_alive.unwrap_or(!stages);
    if stages && keep_alive {
        let expected = "expected `keep-alive: false`, or no such key: each transfer has its own connection";
        notes.say(part, "keep-alive", "`stages` with a connection that is kept", expected);
    }
    Some(Framed { to: to?, socks, framing: framing?, keep_alive, stages, draws, steps })
}
