//! How Tor's control port is read.

use super::diagnostics::{Diagnostics, refuse};
use super::{commands, requests};
pub(super) use plan::control::{EVENTS, FIELDS, USUAL_EVENTS};
use plan::{Action, ControlPort, Template};
use schema::{Node, types};

/// A control port: `key` of `node` is its address.
pub(super) fn port(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    key: &str,
    address: &types::Text,
    cookie: Option<&types::Text>,
) -> Option<ControlPort> {
    let address = Template::parse(&address.0);
    // Unix sockets are written as Tor writes them.
    let (is_fixed, text) = (address.names().next().is_none(), address.to_text());
    if is_fixed && text.strip_prefix("unix:").is_none_or(str::is_empty) {
        requests::address(notes, node, key, &text)?;
    }
    Some(ControlPort { address, cookie: cookie.map(|cookie| commands::path(&notes.file.path, &cookie.0)) })
}

/// Each text is sent as one line: anything after a line break would be another command, whose answer nobody waits for.
pub(super) fn single_commands(notes: &mut Diagnostics<'_>, node: &Node, key: &str, texts: &[types::Text]) {
    for text in texts.iter().filter(|text| text.0.chars().any(char::is_control)) {
        let found = format!("`{}` is more than one line", text.0.escape_debug());
        notes.say(node, key, found, "expected each command as a separate text");
    }
}

/// A step that sends commands.
pub(super) fn action(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Action,
    timeout: std::time::Duration,
) -> Option<Action> {
    let others = ["dir", "env", "cache", "auth", "times", "headers", "body", "expect", "tls"];
    refuse(
        notes,
        node,
        &others,
        "these are commands to Tor: expected only `cookie`, `send`, `answer`, `timeout` beside `control`",
    );
    if typed.send.is_empty() {
        notes.say(node, "send", "no commands", "expected some, such as `send: [SIGNAL NEWNYM]`");
    }
    single_commands(notes, node, "send", &typed.send);
    if let Some(pattern) = &typed.answer {
        requests::regex(notes, node, "answer", pattern);
    }
    let port = port(notes, node, "control", typed.control.as_ref()?, typed.cookie.as_ref())?;
    let send = typed.send.iter().map(|line| Template::parse(&line.0)).collect();
    Some(Action::Control { port, send, expect: typed.answer.clone(), timeout })
}
