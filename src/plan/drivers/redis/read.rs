//! How commands to a Redis server are read from a scenario.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Reader, http};
use crate::diagnostics::{Diagnostics, refuse};
use crate::{requests, steps, values};
use plan::drivers::redis::{Command, LONGEST, Login, Redis};
use plan::step::REQUEST_TIMEOUT;
use plan::{Body, Expect, Template};
use schema::types::workload::redis as typed;
use schema::{Node, types};

/// Commands that are answered by as many replies as they have words, or by replies without end.
const SEVERAL_REPLIES: [&str; 9] =
    ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "MONITOR", "SYNC", "PSYNC"];

/// `redis:`.
pub const READER: Reader = Reader {
    read: |notes, typed| {
        refuse(notes, typed.node, &http::KEYS, "it belongs to requests over HTTP, which have `url`");
        redis(notes, typed.node, typed.typed, typed.in_use).map(Into::into)
    },
    check_steps: steps::check::<typed::RedisStep>,
    ..Reader::of("redis")
};

/// Makes a workload of commands; `node` is that of the workload.
fn redis(notes: &mut Diagnostics<'_>, node: &Node, workload: &types::Workload, in_use: &BTreeSet<String>) -> Option<Redis> {
    let (part, said) = (node.get("redis")?, workload.redis.as_ref()?);
    let to = requests::address(notes, part, "to", &said.to);
    let password = said.password.as_ref().map(|text| Template::parse(&text.0));
    let user = said.user.as_ref().map(|text| Template::parse(&text.0));
    if user.is_some() && password.is_none() {
        notes.say(part, "user", "a user without a password", "expected `password` beside it");
    }
    for (key, template) in [("user", &user), ("password", &password)] {
        let late = template.iter().flat_map(Template::names).find(|name| !name.starts_with("env."));
        if let Some(name) = late {
            let expected = "expected only values known in advance, and secrets of `env`";
            notes.say(part, key, format!("`{name}` is not known yet when a connection is made"), expected);
        }
    }
    if notes.key_of_workload(node, &["steps"]).is_some() && workload.steps.is_empty() {
        notes.say(node, "steps", "a pass without steps", "expected at least one command, such as `[{get: key}]`");
    }
    let timeout = workload.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let draws = values::draws(notes, node, &workload.draw, in_use);
    let in_use = &in_use.iter().chain(workload.draw.keys()).cloned().collect();
    let steps = steps::read(notes, node, values::drawn(&workload.draw, &draws), |notes, item, step: &typed::RedisStep| {
        command_of(notes, item, step, timeout, in_use)
    });
    Some(Redis {
        to: to?,
        database: said.database.unwrap_or(0),
        login: password.map(|password| Login { user, password }),
        keep_alive: said.keep_alive.unwrap_or(true),
        draws,
        steps,
    })
}

fn command_of(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    step: &typed::RedisStep,
    timeout: Duration,
    in_use: &BTreeSet<String>,
) -> Option<Command> {
    let text = |word: &types::Text| Body::Text(Template::parse(&word.0));
    let kind = notes.exactly_one(node, "the command of this step", &["get", "set", "command"])?;
    if kind != "set" {
        refuse(notes, node, &["value"], "it belongs to `set`");
    }
    let words = match kind {
        "get" => vec![Body::Text(Template::parse("GET")), text(step.get.as_ref()?)],
        "set" => {
            let Some(value) = node.get("value") else {
                let expected = "expected `value` beside it, such as `value: {random: 100B}`";
                notes.say(node, "set", "a `set` without a value", expected);
                return None;
            };
            vec![Body::Text(Template::parse("SET")), text(step.set.as_ref()?), content(notes, value, step.value.as_ref()?)?]
        }
        _ => {
            let node = node.get("command")?;
            let typed = &step.command.as_ref()?.0;
            // Fewer are left if one could not be read, which was reported.
            if typed.len() != node.items().len() {
                return None;
            }
            let words = node.items().iter().zip(typed).map(|(node, word)| match word {
                typed::Word::Text(word) => Some(text(word)),
                typed::Word::Body(body) => content(notes, node, body),
            });
            let words = words.collect::<Vec<_>>().into_iter().collect::<Option<Vec<Body>>>()?;
            if words.is_empty() {
                notes.say(node, "", "this command is empty", "expected its words, such as `[INCR, counter]`");
                return None;
            }
            refuse_without_reply(notes, node, &words);
            words
        }
    };
    let name = match &step.name {
        Some(name) => notes.fixed(node, "name", name)?,
        None => match &words[0] {
            Body::Text(first) if kind == "command" => first.to_text().to_ascii_lowercase(),
            _ => kind.to_owned(),
        },
    };
    let expect = step.expect.clone().unwrap_or_default();
    let nil = expect.nil.or((kind == "get").then_some(false));
    if nil == Some(true) && (expect.length.is_some() || expect.text.is_some() || expect.contains.is_some()) {
        let part = node.get("expect").unwrap_or(node);
        notes.say(part, "nil", "nil has no content", "expected either `nil: true`, or `length`, `text` and `contains`");
    }
    let carry = requests::carry(notes, node, &step.carry, in_use);
    for header in carry.iter().filter(|c| c.selector.header().is_some()) {
        if let Some(entry) = node.get("carry").and_then(|n| n.entry(&header.name)) {
            notes.say(&entry.value, "header", "a reply has no headers", "expected `json` or `regex`");
        }
    }
    let expect = Expect {
        length: expect.length.map(|l| l.0.0),
        text: expect.text.as_ref().map(|t| Template::parse(&t.0)),
        contains: expect.contains.as_ref().map(|t| Template::parse(&t.0)),
        ..Expect::default()
    };
    Some(Command { name, words, expect, nil, carry, timeout: step.timeout.map_or(timeout, |d| d.0) })
}

/// The content of a word, which must not be longer than a server accepts.
fn content(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Body) -> Option<Body> {
    let body = requests::body(notes, node, typed)?;
    if matches!(body, Body::Random(length) if length > LONGEST) {
        notes.say(node, "random", "a word of more than 512 MiB", "expected at most `512MiB`, which is what servers accept");
    }
    Some(body)
}

/// Notes a command that is not answered by one reply: later replies would be matched to the wrong commands.
fn refuse_without_reply(notes: &mut Diagnostics<'_>, node: &Node, words: &[Body]) {
    let word = |number: usize| match words.get(number) {
        Some(Body::Text(text)) => text.to_text().to_ascii_uppercase(),
        _ => String::new(),
    };
    let (first, second) = (word(0), word(1));
    let command = match (first.as_str(), second.as_str()) {
        ("CLIENT", "REPLY") => "CLIENT REPLY",
        (first, _) => match SEVERAL_REPLIES.iter().find(|name| **name == first) {
            Some(name) => name,
            None => return,
        },
    };
    let found = format!("`{command}` is not answered by one reply");
    notes.say(node, "", found, "expected only commands that are: each reply is matched to its command");
}

impl steps::Step for Command {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }

    fn inserted(&self) -> Vec<&str> {
        self.names()
    }
}
