//! How messages over a websocket are read from a scenario.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reader;
use crate::diagnostics::{Diagnostics, refuse};
use crate::{commands, messages, requests, steps, tls, values};
use plan::drivers::websocket::{KEY, Matching, Websocket, told};
use plan::step::REQUEST_TIMEOUT;
use plan::template::Part;
use plan::{Body, Message, Url};
use schema::{Node, types};

/// Headers that the handshake sets itself.
const OWN_HEADERS: [&str; 7] = [
    "host",
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
];

/// `websocket:`.
pub const READER: Reader = Reader {
    read: |notes, typed| {
        refuse(notes, typed.node, &["socket", "http"], "it belongs to requests over HTTP; `websocket` has its own `socket`");
        refuse(notes, typed.node, &["socks", "stages"], "it belongs to requests over HTTP, which have `url`");
        websocket(notes, typed.node, typed.typed, typed.in_use).map(Into::into)
    },
    brings: |workloads| {
        let mut websockets = workloads.iter().filter_map(|entry| entry.value.get("websocket")).peekable();
        if websockets.peek().is_none() {
            return Vec::new();
        }
        told(websockets.any(|one| one.get("match").is_some())).map(|(name, ..)| name).collect()
    },
    many_under_way: "a `websocket` with `match`, such as `match: {json: /id}`",
    inserts: |workload| {
        let typed = workload.get("websocket").is_some_and(|websocket| websocket.get("text").is_some());
        if typed { vec![KEY] } else { Vec::new() }
    },
    ..Reader::of("websocket")
};

/// Makes a workload of messages; `node` is that of the workload.
fn websocket(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, in_use: &BTreeSet<String>) -> Option<Websocket> {
    let (part, said) = (node.get("websocket")?, typed.websocket.as_ref()?);
    let address = address(notes, part, &said.url);
    let secret = address.as_ref().is_none_or(|(url, _)| url.tls);
    let tls = tls::tls(notes, node, &typed.tls, secret, "expected `url: wss://…` in `websocket`");
    let headers = requests::headers(notes, node, &typed.headers);
    for (name, _) in headers.iter().filter(|(name, _)| OWN_HEADERS.contains(&name.as_str())) {
        let why =
            if name == "sec-websocket-protocol" { "expected `subprotocols`" } else { "expected none: it is the handshake's own" };
        notes.say(node, "headers", format!("the header `{name}` cannot be chosen"), why);
    }
    if notes.key_of_workload(node, &["steps"]).is_some() && typed.steps.is_empty() {
        notes.say(node, "steps", "a pass without steps", "expected at least one message, such as `[{send: {text: hello}}]`");
    }
    for name in said.subprotocols.iter().filter(|name| !requests::is_token(name)) {
        let expected = "expected letters, digits and signs such as `-` and `.`";
        notes.say(part, "subprotocols", format!("`{name}` cannot be the name of a subprotocol"), expected);
    }
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let open = opening(notes, part, &said.open, timeout);
    let text = match &said.text {
        Some(text) => {
            let text = notes.fixed(part, "text", &text.0);
            if text.as_deref() == Some("") {
                notes.say(part, "text", "an empty text", "expected at least one character");
            }
            if in_use.contains(KEY) {
                let expected = "expected a factor or `let` of another name: `${key}` is the next character of `text`";
                notes.say(part, "text", format!("`{KEY}` is already something else"), expected);
            }
            text
        }
        None => None,
    };
    let draws = values::draws(notes, node, &typed.draw, in_use);
    let keys = said.text.as_ref().map(|_| KEY.to_owned());
    let in_use = &in_use.iter().chain(typed.draw.keys()).cloned().chain(keys.clone()).collect();
    let known = values::drawn(&typed.draw, &draws).into_iter().chain(keys);
    let steps = steps::read(notes, node, known, |notes, item, typed: &types::Step| {
        messages::message(notes, item, typed, timeout, in_use, u64::MAX)
    });
    if let Some(pattern) = &said.pushes {
        requests::regex(notes, part, "pushes", pattern);
    }
    let matching = said.matching.as_ref().and_then(|typed| matching(notes, part, typed));
    if let Some(matching) = &matching {
        matched(notes, node, typed, matching, &steps);
    }
    if said.matching.is_some() && matching.is_none() {
        return None;
    }
    not_as_text(notes, node, said, &steps);
    let (url, path) = address?;
    Some(Websocket {
        url,
        path,
        socket: said.socket.as_deref().map(|socket| commands::path(&notes.file.path, socket)),
        tls: tls?,
        subprotocols: said.subprotocols.clone(),
        headers,
        auth: requests::auth(notes, node, typed.auth.as_ref()),
        open,
        matching,
        pushes: said.pushes.clone(),
        text,
        binary: said.binary,
        keep_alive: said.keep_alive.unwrap_or(true),
        draws,
        steps,
    })
}

/// Server, and path with query.
fn address(notes: &mut Diagnostics<'_>, node: &Node, text: &str) -> Option<(Url, String)> {
    let text = notes.fixed(node, "url", text)?;
    // Both schemes correspond to those of HTTP (RFC 6455, 3).
    let scheme = plan::url::split(&text).map(|(scheme, ..)| scheme.to_ascii_lowercase());
    let parsed = match scheme.as_deref() {
        Some("ws" | "wss") => Url::parse(&format!("http{}", &text["ws".len()..])),
        _ => Err("expected `ws://host:port/path` or `wss://…`"),
    };
    let said = |expected: &str| {
        let expected = expected.replace("`http://", "`ws://").replace("`https://", "`wss://");
        notes.say(node, "url", format!("`{text}` is not a URL of a websocket"), expected);
    };
    let url = parsed.map_err(said).ok()?;
    let path = url.request_path().to_owned();
    Some((url.origin(), path))
}

/// The messages with which each connection starts.
fn opening(notes: &mut Diagnostics<'_>, part: &Node, typed: &[types::Opening], timeout: Duration) -> Vec<Message> {
    let mut messages = Vec::new();
    let nodes = part.get("open").map(Node::items).unwrap_or_default();
    for (number, (typed, node)) in typed.iter().zip(nodes).enumerate() {
        let send = match (&typed.send, node.get("send")) {
            (Some(body), Some(node)) => requests::body(notes, node, body),
            _ => None,
        };
        if typed.send.is_none() && typed.expect.is_none() {
            notes.say(node, "", "a message that is neither sent nor expected", "expected `send`, `expect` or both");
        }
        let expect = requests::expect(notes, node.get("expect"), typed.expect.as_ref());
        if let Some(expect) = node.get("expect").filter(|e| e.get("status").is_some()) {
            notes.say(expect, "status", "a message has no status", "expected `length`, `text` or `contains`");
        }
        let answer = typed.expect.is_some() || typed.send.is_none();
        let message = Message { name: format!("open-{}", number + 1), send, answer, expect, carry: Vec::new(), timeout };
        for name in message.names().into_iter().filter(|name| !name.starts_with("env.") && *name != "connection") {
            let expected = "expected only values known in advance, `connection`, and secrets of `env`";
            notes.say(node, "", format!("`{name}` is not known yet when a connection is made"), expected);
        }
        messages.push(message);
    }
    messages
}

fn matching(notes: &mut Diagnostics<'_>, part: &Node, typed: &types::Match) -> Option<Matching> {
    let types::Match::Key(typed) = typed else { return Some(Matching::Order) };
    let node = part.get("match")?;
    match notes.exactly_one(node, "the place of the key", &["json", "regex"])? {
        "json" => {
            let pointer = typed.json.clone()?;
            if !pointer.is_empty() && !pointer.starts_with('/') {
                notes.say(node, "json", format!("`{pointer}` is not a JSON pointer"), "expected a path such as `/id`");
                return None;
            }
            Some(Matching::Json(pointer))
        }
        _ => {
            let pattern = typed.regex.clone()?;
            requests::regex(notes, node, "regex", &pattern);
            regex::Regex::new(&pattern).is_ok().then_some(Matching::Regex(pattern))
        }
    }
}

/// Random bytes cannot be sent as text.
fn not_as_text(notes: &mut Diagnostics<'_>, node: &Node, said: &types::Websocket, steps: &[Message]) {
    if said.binary == Some(false) && steps.iter().any(|step| matches!(step.send, Some(Body::Random(_)))) {
        let part = node.get("websocket").unwrap_or(node);
        notes.say(part, "binary", "random bytes are not text", "expected no `binary: false` where random bytes are sent");
    }
}

/// What must hold where messages do not wait for their answers.
fn matched(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, matching: &Matching, steps: &[Message]) {
    let part = node.get("websocket").unwrap_or(node);
    let load = typed.load.as_ref();
    if load.is_some_and(|load| load.closed.is_some()) {
        let expected = "expected `open` or `find` in `load`; without `match` a connection waits for each answer";
        notes.say(part, "match", "`match` cannot be used with a closed loop, which waits for each answer", expected);
    }
    if typed.steps.len() > 1 {
        let expected = "expected one message: a pass is that and its answer";
        notes.say(node, "steps", format!("`match` takes one step, but there are {}", typed.steps.len()), expected);
    }
    if typed.websocket.as_ref().and_then(|w| w.keep_alive) == Some(false) {
        let expected = "expected connections that are kept: many messages are under way on each";
        notes.say(part, "keep-alive", "`keep-alive: false` cannot be used with `match`", expected);
    }
    if let Some(warm_up) = node.get("load").and_then(|load| load.get("warm-up")).filter(|w| w.get("amount").is_some()) {
        let expected = "expected `duration`: with an amount, each connection would end its warm-up at a different time";
        notes.say(warm_up, "amount", "a warm-up with an amount cannot be used with `match`", expected);
    }
    let [step] = steps else { return };
    let item = node.get("steps").and_then(|n| n.items().first()).unwrap_or(node);
    let Some(body) = &step.send else {
        notes.say(
            item,
            "receive",
            "`receive` cannot be used with `match`",
            "expected `send`: with `match`, a pass is one message and its answer",
        );
        return;
    };
    if !step.answer {
        notes.say(item, "answer", "`answer: false` cannot be used with `match`", "expected an answer: it is what is matched");
    }
    if !step.carry.is_empty() {
        notes.say(
            item,
            "carry",
            "`carry` cannot be used with `match`",
            "expected nothing to carry: no step waits for the answer",
        );
    }
    key_is_there(notes, part, matching, body);
}

/// The key by which answers are matched must be in each message, and differ from message to message.
fn key_is_there(notes: &mut Diagnostics<'_>, part: &Node, matching: &Matching, body: &Body) {
    let (Body::Text(template) | Body::Json(template)) = body else {
        // The content of files and random bytes is not known here.
        if *matching != Matching::Order {
            let expected = "expected `text` or `json` in `send`, or `match: order`";
            notes.say(part, "match", "random bytes and files have no key to match by", expected);
        }
        return;
    };
    let node = part.get("match").unwrap_or(part);
    // Two possible messages, in which every inserted value differs.
    let sample = |number: u32| {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(_) | Part::Encoded(_) => number.to_string(),
        };
        template.0.iter().map(text).collect::<String>()
    };
    let found = |message: &str| match matching {
        Matching::Order => None,
        Matching::Json(pointer) => {
            let json: Option<serde_json::Value> = serde_json::from_str(message).ok();
            json.and_then(|json| json.pointer(pointer).map(ToString::to_string))
        }
        Matching::Regex(pattern) => {
            let found = regex::Regex::new(pattern).ok()?;
            let found = found.captures(message)?;
            found.get(1).or_else(|| found.get(0)).map(|m| m.as_str().to_owned())
        }
    };
    let (key, what) = match matching {
        Matching::Order => return,
        Matching::Json(pointer) => ("json", format!("nothing at `{pointer}`")),
        Matching::Regex(pattern) => ("regex", format!("nothing that fits `{pattern}`")),
    };
    match (found(&sample(10)), found(&sample(11))) {
        (Some(one), Some(other)) if one == other => {
            let expected = "expected a value that differs from message to message, such as `${id}` or `${pass}`";
            notes.say(node, key, format!("every message would have the key `{one}`"), expected);
        }
        (Some(_), Some(_)) => {}
        _ => {
            let expected = format!("expected a message such as `{}`", r#"{"id": ${pass}}"#);
            notes.say(node, key, format!("the messages of `steps` have {what}"), expected);
        }
    }
}
