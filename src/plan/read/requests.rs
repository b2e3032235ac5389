//! Requests: from what was typed to what will be sent. Code shared by requests and messages is here, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::commands::find_file;
use super::diagnostics::{Diagnostics, find_name};
use super::values::nameable;
use plan::url::Address;
use plan::{Auth, Body, Carry, Expect, NamedOutcome, Part, Selector, Template, Url, cache};
use schema::{Mistake, Node, types};
use vocabulary::{Metric, Outcome};

pub(super) const METHODS: [&str; 7] = ["get", "head", "put", "post", "patch", "delete", "options"];

/// Whether it is a token, as names of headers and subprotocols are (RFC 9110, 5.6.2).
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn headers(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Text>,
) -> Vec<(String, Template)> {
    for entry in node.get("headers").map(Node::entries).unwrap_or_default() {
        if !is_token(&entry.key) {
            notes.mistakes.push(
                Mistake::new(notes.file, entry.key_span, format!("`{}` cannot be the name of a header", entry.key))
                    .expected("expected letters, digits and `-`"),
            );
        }
        if entry.key.eq_ignore_ascii_case("expect") {
            notes.mistakes.push(
                Mistake::new(
                    notes.file,
                    entry.key_span,
                    "`expect` asks the server to announce when it wants the body, and runner does not wait for that",
                )
                .expected("leave the header out: a body is sent immediately after its head"),
            );
        }
        if entry.value.as_text().is_some_and(|v| v.contains(['\n', '\r'])) {
            notes
                .mistakes
                .push(Mistake::new(notes.file, entry.value.span, "a header with a line break").expected("expected one line"));
        }
    }
    typed.iter().map(|(name, value)| (name.to_ascii_lowercase(), Template::parse(&value.0))).collect()
}

/// User and password. Parts that are not known before the load could not be masked.
pub(super) fn auth(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&types::Auth>) -> Option<Auth> {
    let typed = typed?;
    let auth = Auth { user: Template::parse(&typed.user.0), password: Template::parse(&typed.password.0) };
    if let Some(name) = auth.user.names().chain(auth.password.names()).find(|name| !name.starts_with("env.")) {
        let part = node.get("auth").unwrap_or(node);
        let span = find_name(notes.file, part, name).unwrap_or(part.span);
        let mistake = Mistake::new(notes.file, span, format!("`{name}` is not known yet when `auth` is needed"));
        notes.mistakes.push(mistake.expected("expected only values known in advance, and secrets of `env`"));
    }
    if auth.user.to_text().contains(':') && auth.user.names().next().is_none() {
        let part = node.get("auth").unwrap_or(node);
        notes.say(part, "user", "a user with a colon", "leave it out: a colon separates user and password");
    }
    Some(auth)
}

pub(super) fn body(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Body) -> Option<Body> {
    match notes.exactly_one(node, "the kind of body", &["text", "file", "random", "json"])? {
        "text" => Some(Body::Text(Template::parse(&typed.text.as_ref()?.0))),
        "random" => Some(Body::Random(typed.random?.0.0)),
        "json" => Some(Body::Json(Template::parse(&typed.json.as_ref()?.to_string()))),
        _ => {
            let name = &notes.fixed(node, "file", typed.file.as_ref()?)?;
            let kept = cache::is_inside(name).then(|| PathBuf::from(name));
            let found = kept.or_else(|| find_file(&notes.file.path, name).filter(|p| p.is_file()));
            if found.is_none() {
                notes.say(
                    node,
                    "file",
                    format!("there is no file `{name}`"),
                    "expected a file, relative to the scenario's folder or one above it",
                );
            }
            Some(Body::File(found?))
        }
    }
}

pub(super) fn expect(notes: &mut Diagnostics<'_>, node: Option<&Node>, typed: Option<&types::Expect>) -> Expect {
    let (Some(node), Some(typed)) = (node, typed) else { return Expect::default() };
    Expect {
        statuses: statuses(notes, node, typed.status.as_ref()),
        length: typed.length.map(|l| l.0.0),
        text: typed.text.as_ref().map(|t| Template::parse(&t.0)),
        contains: typed.contains.as_ref().map(|t| Template::parse(&t.0)),
    }
}

/// The statuses that `status` lists; `None` if it is missing.
pub(super) fn statuses(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&types::Statuses>) -> Vec<u16> {
    if typed.is_some_and(|typed| typed.0.is_empty()) {
        notes.say(node, "status", "a list without a status", "expected at least one status");
    }
    typed.cloned().unwrap_or_default().0
}

/// Answers to which the scenario gives names.
pub(super) fn outcomes(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Step) -> Vec<NamedOutcome> {
    let entries = node.get("outcomes").map(Node::entries).unwrap_or_default();
    let mut made: Vec<NamedOutcome> = Vec::new();
    for (name, statuses) in &typed.outcomes {
        let Some(entry) = entries.iter().find(|e| e.key == *name) else { continue };
        let mut say = |found: String, expected: &str| {
            notes.mistakes.push(Mistake::new(notes.file, entry.key_span, found).expected(expected));
        };
        let named_well = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !named_well {
            say(format!("`{name}` cannot be the name of an outcome"), "expected lower-case letters, digits, `-` and `_`");
        } else if Outcome::reserved_names().any(|reserved| reserved == name) {
            say(format!("`{name}` is an outcome that every workload has"), "expected another name");
        } else if Metric::find(name).is_some() {
            say(format!("`{name}` cannot be the name of an outcome"), "it already is a metric");
        }
        if statuses.0.is_empty() {
            say(format!("the outcome `{name}` has no status"), "expected at least one, such as `409`");
        }
        let expected = typed.expect.as_ref().and_then(|e| e.status.as_ref());
        let as_expected = |status: &u16| match expected {
            Some(expected) => expected.0.contains(status),
            None => (200..300).contains(status),
        };
        if let Some(status) = statuses.0.iter().find(|status| as_expected(status)) {
            say(format!("the status {status} is already expected"), "expected a status that `expect` does not have");
        } else if let Some((status, other)) =
            statuses.0.iter().find_map(|s| Some((s, made.iter().find(|o| o.statuses.contains(s))?)))
        {
            say(format!("the status {status} already means `{}`", other.name), "expected one outcome for each status");
        }
        made.push(NamedOutcome { name: name.clone(), statuses: statuses.0.clone() });
    }
    made
}

pub(super) fn carry(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Carry>,
    in_use: &BTreeSet<String>,
) -> Vec<Carry> {
    let mut carried = Vec::new();
    for (name, carry) in typed {
        let Some(entry) = node.get("carry").and_then(|n| n.entry(name)) else { continue };
        nameable(notes, entry, in_use);
        // A pattern may look in a header.
        let places: &[&str] = match entry.value.get("header").is_some() && entry.value.get("json").is_none() {
            true => &["json", "header"],
            false => &["json", "header", "regex"],
        };
        let header = carry.header.as_ref().map(|h| h.to_ascii_lowercase());
        let selector = match notes.exactly_one(&entry.value, "the place of the carried value", places) {
            Some("header") if carry.regex.is_some() => {
                header.zip(carry.regex.clone()).map(|(header, pattern)| Selector::RegexOfHeader { header, pattern })
            }
            Some("json") => carry.json.clone().map(Selector::Json),
            Some("header") => header.map(Selector::Header),
            Some(_) => carry.regex.clone().map(Selector::Regex),
            None => None,
        };
        match &selector {
            Some(Selector::Json(pointer)) if !pointer.is_empty() && !pointer.starts_with('/') => {
                notes.say(
                    &entry.value,
                    "json",
                    format!("`{pointer}` is not a JSON pointer"),
                    "expected a path such as `/rev` or `/rows/0/id`",
                );
            }
            Some(Selector::Regex(pattern) | Selector::RegexOfHeader { pattern, .. }) => {
                regex(notes, &entry.value, "regex", pattern)
            }
            _ => {}
        }
        if let Some(selector) = selector {
            carried.push(Carry { name: name.clone(), selector });
        }
    }
    carried
}

pub(super) fn regex(notes: &mut Diagnostics<'_>, node: &Node, key: &str, pattern: &str) {
    if let Err(error) = regex::Regex::new(pattern) {
        let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        notes.say(node, key, format!("`{pattern}` is not a regular expression: {reason}"), "expected a regular expression");
    }
}

/// The URL of a single request: the server, and the path.
pub(super) fn url(notes: &mut Diagnostics<'_>, node: &Node, key: &str, text: &str) -> Option<(Url, Template)> {
    let parts = plan::url::split(text);
    if parts.is_some_and(|(_, authority, _)| authority.contains("${")) {
        notes.fixed(node, key, text)?;
    }
    // Values inserted late are checked when they are known.
    match Url::parse(&without_names(text)) {
        Ok(url) => {
            let path = parts.map_or("", |(_, _, path)| path);
            let slash = if path.starts_with('/') { "" } else { "/" };
            Some((url.origin(), Template::parse(&format!("{slash}{path}"))))
        }
        Err(expected) => {
            notes.say(node, key, format!("`{text}` is not a URL"), expected);
            None
        }
    }
}

/// Notes parts of a path, known only in part, that could never be sent.
pub(super) fn check_path(notes: &mut Diagnostics<'_>, node: &Node, key: &str, path: &str) {
    if let Err(unsendable) = plan::url::sent(&without_names(path)) {
        notes.say(node, key, format!("the path `{path}` {}", unsendable.found()), unsendable.expected());
    }
}

/// The text with a digit in place of each late name.
fn without_names(text: &str) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Name(_) | Part::Encoded(_) => "0".to_owned(),
    };
    Template::parse(text).0.iter().map(part).collect()
}

/// Reads `host:port`.
pub(super) fn address(notes: &mut Diagnostics<'_>, node: &Node, key: &str, text: &str) -> Option<Address> {
    let text = notes.fixed(node, key, text)?;
    let said = |expected| notes.say(node, key, format!("`{text}` is not an address"), expected);
    Address::parse(&text).map_err(said).ok()
}
