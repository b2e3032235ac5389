//! Workloads: what carries them, and the steps of a pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::actions::{self, METHODS, REQUEST_TIMEOUT};
use super::arrivals::{self, Timeline};
use super::load::{Command, Driver, Http, Limit, Load, Phase, Stretch, Trust, Workload, named_outcomes};
use super::pen::{Pen, counted, find_name};
use super::{Arrivals, Body, Draw, Outcome, Step, Template, Url, Urn, taken};
use crate::schema::{Mistake, Node, types};

/// The default time-out of a command that makes the load.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(600);
/// Keys that belong to requests over HTTP.
const OF_HTTP: [&str; 5] = ["socket", "http", "tls", "auth", "headers"];
/// So many redirects are followed where only `trust` is said.
const REDIRECTS: u32 = 10;
/// More requests at a time on one connection than any server takes.
pub const MAX_STREAMS: u32 = 1000;
/// What is known of every command without being looked for.
pub const COMMAND_METRICS: [&str; 2] = ["cpu_s", "wall_s"];

/// Makes a workload of what was typed; `node` is the evaluated YAML of it. Also why its cell is skipped, if so.
pub(super) fn workload(
    pen: &mut Pen<'_>,
    name: &str,
    node: &Node,
    typed: &types::Workload,
    taken: &BTreeSet<String>,
    timeline: Option<&Timeline>,
) -> Option<(Workload, Option<String>)> {
    let before = pen.mistakes.len();
    let kind = pen.exactly_one(node, "what carries this workload", &["url", "framed", "vtp", "command"]);
    let driver = match kind {
        None => {
            // Steps are requests, whether or not it is said where they go.
            if node.get("steps").is_none() {
                pen.exactly_one(node, "what a pass consists of", &["steps"]);
            }
            None
        }
        Some("url") => {
            refuse(pen, node, &["env", "dir", "metrics", "decimal", "exit"], "it belongs to `command`");
            http(pen, node, typed, taken).map(Driver::Http)
        }
        Some("framed") => {
            refuse(pen, node, &["env", "dir", "metrics", "decimal", "exit"], "it belongs to `command`");
            refuse(pen, node, &OF_HTTP, "it belongs to requests over HTTP, which have `url`");
            super::framed::framed(pen, node, typed, taken).map(Driver::Framed)
        }
        Some("vtp") => {
            refuse(pen, node, &["env", "dir", "metrics", "decimal", "exit"], "it belongs to `command`");
            refuse(pen, node, &OF_HTTP, "it belongs to requests, and these are events");
            refuse(pen, node, &["steps"], "it belongs to requests, and these are events");
            refuse(pen, node, &["draw"], "it belongs to requests and messages");
            super::vtp::vtp(pen, node, typed)
        }
        _ => {
            refuse(pen, node, &OF_HTTP, "it belongs to requests, and this is a command");
            refuse(pen, node, &["steps"], "it belongs to requests, and this is a command");
            refuse(pen, node, &["draw"], "it belongs to requests and messages");
            command(pen, node, typed).map(Driver::Command)
        }
    };
    // A subscriber gets its author's phases when all workloads are known.
    let mut load = match driver {
        Some(Driver::Subscriber(_)) => Some(waiting()),
        None if typed.vtp.as_ref().is_some_and(|v| v.from.is_some()) => None,
        _ => arrivals::load(pen, node, typed, timeline),
    };
    if let (Some(Driver::Command(command)), Some(load)) = (&driver, &mut load)
        && typed.load.as_ref().is_some_and(|typed| typed.drain.is_none())
    {
        // A program is not ended because the load is over.
        load.drain = command.timeout;
    }
    let threads = typed.threads.unwrap_or(1);
    let connections = load.as_ref().map_or(u32::MAX, |l| l.arrivals.connections());
    if threads == 0 || connections > 0 && threads > connections {
        pen.say(
            node,
            "threads",
            format!("{} for {}", counted(threads, "thread"), counted(connections, "connection")),
            "expected at least one thread, and at least one connection for each",
        );
    }
    if let (Some(Driver::Command(_)), Some(load)) = (&driver, &load)
        && load.find.is_some()
    {
        pen.say(node, "load", "a search with a command", "expected requests of the runner's own: `url` and `steps`");
    }
    let skipped = super::programs::missing_need(&typed.needs.0);
    (pen.mistakes.len() == before).then_some(())?;
    Some((
        Workload {
            name: name.to_owned(),
            driver: driver?,
            load: load?,
            threads,
            cpus: typed.cpus.clone(),
            needs: typed.needs.0.clone(),
        },
        skipped,
    ))
}

/// What is to be filled in later.
fn waiting() -> Load {
    let arrivals = Arrivals::closed(1);
    Load { arrivals, stretches: Vec::new(), drain: Duration::ZERO, find: None, auto_warm_up: false }
}

pub(super) fn refuse(pen: &mut Pen<'_>, node: &Node, keys: &[&str], why: &str) {
    for key in keys {
        if let Some(entry) = node.entry(key) {
            pen.mistakes
                .push(Mistake::new(pen.file, entry.key_span, format!("`{key}` does not belong here")).expected(why.to_owned()));
        }
    }
}

/// A workload of one pass on one connection: what set-up and clean-up requests are.
pub fn single(name: &str, http: Http) -> Workload {
    let during = Stretch { phase: Phase::During, limit: Limit::Amount(1), active: true };
    let load =
        Load { arrivals: Arrivals::closed(1), stretches: vec![during], drain: Duration::ZERO, find: None, auto_warm_up: false };
    Workload { name: name.to_owned(), driver: Driver::Http(http), load, threads: 1, cpus: Vec::new(), needs: Vec::new() }
}

impl Http {
    /// Plain HTTP/1.1 with keep-alive to one URL.
    pub fn plain(url: Url, steps: Vec<Step>) -> Self {
        Self {
            urls: vec![url],
            socket: None,
            version: 1,
            streams: 1,
            keep_alive: true,
            redirects: 0,
            trusted: Vec::new(),
            trust: Trust::System,
            draws: Vec::new(),
            steps,
        }
    }
}

fn http(pen: &mut Pen<'_>, node: &Node, typed: &types::Workload, taken: &BTreeSet<String>) -> Option<Http> {
    let mut urls = Vec::new();
    for (i, url) in typed.url.0.iter().enumerate() {
        let Some(url) = pen.fixed(node, "url", url) else { continue };
        match Url::parse(&url) {
            Ok(url) => urls.push(url),
            Err(expected) => {
                let span = node.get("url").map_or(node.head, |n| n.items().get(i).unwrap_or(n).span);
                pen.mistakes.push(Mistake::new(pen.file, span, format!("`{url}` is not a URL for a load")).expected(expected));
            }
        }
    }
    if typed.url.0.is_empty() {
        pen.say(node, "url", "this workload has no URL", "expected `url: http://host:port`");
    }
    if pen.exactly_one(node, "what a pass consists of", &["steps"]).is_some() && typed.steps.is_empty() {
        pen.say(node, "steps", "a pass without steps", "expected at least one request, such as `[{get: /}]`");
    }
    let version = typed.http.version.map_or(1, |v| v.0);
    let streams = typed.http.streams.unwrap_or(1);
    let keep_alive = typed.http.keep_alive.unwrap_or(true);
    if let Some(part) = node.get("http") {
        if version == 1 && streams != 1 {
            pen.say(part, "streams", "several streams with HTTP/1.1", "expected `version: 2` beside it");
        }
        if streams == 0 || streams > MAX_STREAMS {
            pen.say(part, "streams", counted(streams, "stream"), format!("expected 1 to {MAX_STREAMS} streams"));
        }
        if version == 2 && !keep_alive {
            pen.say(
                part,
                "keep-alive",
                "HTTP/2 with one request per connection",
                "expected `version: 1`, or no `keep-alive: false`",
            );
        }
    }
    let mut trust = Trust::System;
    if let Some(part) = node.get("tls") {
        if !urls.is_empty() && urls.iter().all(|u| !u.tls) {
            pen.say(node, "tls", "no URL of this workload uses TLS", "expected `url: https://…`");
        }
        trust = match (&typed.tls.ca, typed.tls.verify) {
            (Some(_), Some(false)) => {
                pen.say(
                    part,
                    "verify",
                    "certificates that are named and not verified",
                    "expected either `ca` or `verify: false`",
                );
                Trust::Anybody
            }
            (_, Some(false)) => Trust::Anybody,
            (Some(name), _) => {
                let name = pen.fixed(part, "ca", name)?;
                let found = actions::find_file(&pen.file.path, &name).filter(|p| p.is_file());
                if found.is_none() {
                    let expected = "expected a file, seen from the scenario's folder or one above it";
                    pen.say(part, "ca", format!("there is no file `{name}`"), expected);
                }
                Trust::Ca(found?)
            }
            (None, _) => Trust::System,
        };
    }
    let draws = draws(pen, node, &typed.draw, taken);
    let taken = &taken.iter().chain(typed.draw.keys()).cloned().collect();
    let mut steps = steps(pen, node, typed, taken);
    steps.iter_mut().for_each(Step::mark_secrets);
    let named = named_outcomes(&steps).len();
    if named > Outcome::MOST_NAMED {
        let most = Outcome::MOST_NAMED;
        pen.say(node, "steps", format!("{named} outcomes with names"), format!("expected at most {most} in one workload"));
    }
    Some(Http {
        urls,
        socket: typed.socket.as_deref().map(Template::parse),
        version,
        streams,
        keep_alive,
        redirects: typed.http.redirects.as_ref().map_or(0, |r| r.most.unwrap_or(REDIRECTS)),
        trusted: trusted(pen, node, typed.http.redirects.as_ref()),
        trust,
        draws,
        steps,
    })
}

/// The origins to which a redirect may take what is secret.
fn trusted(pen: &mut Pen<'_>, node: &Node, typed: Option<&types::Redirects>) -> Vec<Url> {
    let part = node.get("http").and_then(|http| http.get("redirects")).unwrap_or(node);
    let mut trusted = Vec::new();
    for (i, origin) in typed.iter().flat_map(|typed| &typed.trust).enumerate() {
        let Some(origin) = pen.fixed(part, "trust", origin) else { continue };
        match Url::parse(&origin) {
            Ok(url) if url.path.is_empty() => trusted.push(url),
            wrong => {
                let span = part.get("trust").map_or(part.head, |n| n.items().get(i).unwrap_or(n).span);
                let found = if wrong.is_ok() { "has a path" } else { "is not one" };
                let mistake = Mistake::new(pen.file, span, format!("an origin is asked for, and `{origin}` {found}"));
                pen.mistakes.push(mistake.expected("expected scheme, host and port, such as `https://other:8443`"));
            }
        }
    }
    trusted
}

/// Values that are drawn for each pass.
pub(super) fn draws(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Draw>,
    taken: &BTreeSet<String>,
) -> Vec<Draw> {
    let mut draws = Vec::new();
    for (name, typed) in typed {
        let Some(entry) = node.get("draw").and_then(|n| n.entry(name)) else { continue };
        actions::nameable(pen, entry, taken);
        let of = match pen.exactly_one(&entry.value, "what this value is drawn of", &["to", "of"]) {
            Some("to") => {
                let (from, to) = (typed.from.unwrap_or(0), typed.to.unwrap_or(0));
                if from > to {
                    pen.say(&entry.value, "to", format!("no number from {from} to {to}"), "expected the largest number here");
                }
                Urn::Range(from, to)
            }
            Some(_) => {
                if typed.from.is_some() {
                    refuse(pen, &entry.value, &["from"], "it belongs to `to`");
                }
                let items = typed.of.iter().flatten().filter_map(|text| pen.fixed(&entry.value, "of", &text.0));
                let list: Vec<String> = items.collect();
                if typed.of.as_ref().is_none_or(Vec::is_empty) {
                    pen.say(&entry.value, "of", "a list without an item", "expected at least one");
                }
                Urn::List(list)
            }
            None => continue,
        };
        draws.push(Draw { name: name.clone(), of });
    }
    draws
}

fn command(pen: &mut Pen<'_>, node: &Node, typed: &types::Workload) -> Option<Command> {
    let argv = actions::argv(pen, node, typed.command.as_deref(), None, &[])?;
    if let Some(missing) = super::programs::missing_program(&argv[0].to_text(), None).filter(|m| !typed.needs.0.contains(m)) {
        pen.say_missing(node, "command", &missing);
    }
    let metrics =
        taken::metrics(pen, node, &typed.metrics, typed.decimal, &COMMAND_METRICS, &["regex", "json", "lines", "csv", "ratio"]);
    let exit = typed.exit.as_ref().map_or_else(|| vec![0], |e| e.0.clone());
    if exit.is_empty() {
        pen.say(node, "exit", "a list without an exit code", "expected at least one, such as `0`");
    }
    Some(Command {
        argv,
        env: actions::environment(pen, node, &typed.env),
        dir: actions::folder(pen, node, typed.dir.as_deref()),
        exit,
        timeout: typed.timeout.map_or(COMMAND_TIMEOUT, |d| d.0),
        metrics,
    })
}

fn steps(pen: &mut Pen<'_>, node: &Node, typed: &types::Workload, taken: &BTreeSet<String>) -> Vec<Step> {
    let common = actions::headers(pen, node, &typed.headers);
    let auth = actions::auth(pen, node, typed.auth.as_ref());
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let mut steps: Vec<Step> = Vec::new();
    let mut carried: BTreeSet<String> = typed.draw.keys().cloned().collect();
    let items = node.get("steps").map(Node::items).unwrap_or_default();
    // Where one could not be read at all, it is not known any more which is which.
    let readable = if items.len() == typed.steps.len() { typed.steps.as_slice() } else { &[] };
    for (item, typed) in items.iter().zip(readable) {
        let step = self::step(pen, item, typed, timeout, taken);
        let carries = item.get("carry").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.clone());
        let Some(mut step) = step else {
            carried.extend(carries);
            continue;
        };
        for (name, value) in &common {
            if !step.headers.iter().any(|(n, _)| n == name) {
                step.headers.push((name.clone(), value.clone()));
            }
        }
        step.auth.clone_from(&auth);
        names_in_time(pen, item, step.names(), &carried);
        carried.extend(carries);
        step.name = own_name(pen, item, typed, &step.name, |n| steps.iter().any(|s| s.name == n));
        steps.push(step);
    }
    steps
}

fn step(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: std::time::Duration,
    taken: &BTreeSet<String>,
) -> Option<Step> {
    let method = pen.exactly_one(node, "the method of this step", &METHODS)?;
    let path = [&typed.get, &typed.head, &typed.put, &typed.post, &typed.patch, &typed.delete, &typed.options]
        .into_iter()
        .flatten()
        .next()?;
    if !path.0.starts_with('/') {
        pen.say(
            node,
            method,
            format!("the path `{}` does not start with `/`", path.0),
            "expected a path, such as `/blobs/${id}`; the host stands in `url`",
        );
    } else if path.0.replace("${", "").contains(|c: char| c.is_whitespace() || c.is_control()) {
        pen.say(node, method, format!("the path `{}` contains white space", path.0), "expected it written as `%20`");
    }
    let body = match (&typed.body, node.get("body")) {
        (Some(typed), Some(node)) => actions::body(pen, node, typed)?,
        _ => Body::Empty,
    };
    let name = match &typed.name {
        Some(name) => pen.fixed(node, "name", name)?,
        None => method.to_owned(),
    };
    Some(Step {
        name,
        method: method.to_ascii_uppercase(),
        path: super::Template::parse(&path.0),
        headers: actions::headers(pen, node, &typed.headers),
        auth: None,
        body,
        expect: actions::expect(pen, node.get("expect"), typed.expect.as_ref()),
        outcomes: actions::outcomes(pen, node, typed),
        carry: actions::carry(pen, node, &typed.carry, taken),
        timeout: typed.timeout.map_or(timeout, |d| d.0),
        secret: super::SecretParts::default(),
    })
}

/// The name of a step that no other has: `get`, `get-2`, …; one that was typed must be so already.
pub(super) fn own_name(pen: &mut Pen<'_>, node: &Node, typed: &types::Step, name: &str, taken: impl Fn(&str) -> bool) -> String {
    if let Some(named) = typed.name.as_ref().filter(|named| taken(named)) {
        pen.say(node, "name", format!("two steps are named `{named}`"), "expected a name of its own for each step");
    }
    (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}-{i}") }).find(|n| !taken(n)).unwrap_or_default()
}

/// Every carried value that a step uses must come from a step before it.
pub(super) fn names_in_time<'a>(
    pen: &mut Pen<'_>,
    node: &Node,
    names: impl Iterator<Item = &'a str>,
    carried: &BTreeSet<String>,
) {
    let known = ["id", "pass", "connection", "scratch", "repetition"];
    let names: BTreeSet<&str> = names.collect();
    for name in names {
        if !known.contains(&name) && !name.contains('.') && !carried.contains(name) {
            let span = find_name(pen.file, node, name).unwrap_or(node.head);
            pen.mistakes.push(
                Mistake::new(pen.file, span, format!("`{name}` is used before it is carried"))
                    .expected("expected `carry` in a step before this one"),
            );
        }
    }
}
