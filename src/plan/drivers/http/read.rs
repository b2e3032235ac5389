//! How requests over HTTP are read from a scenario.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Reader;
use crate::diagnostics::{Diagnostics, counted, find_name, refuse};
use crate::{commands, replay, requests, socks, steps, tls, values};
use plan::drivers::http::{Http, MAX_STREAMS, TRANSFER_METRICS, named_outcomes};
use plan::step::REQUEST_TIMEOUT;
use plan::{Body, Draw, Replay, SecretParts, Socks, Step, Template, Url};
use schema::{Mistake, Node, types};
use vocabulary::Outcome;

/// Keys that belong to requests over HTTP.
pub const KEYS: [&str; 7] = ["socket", "http", "tls", "auth", "headers", "socks", "stages"];
/// Keys that belong to users.
pub const OF_USERS: [&str; 3] = ["user", "relogin", "cookies"];
/// Those that other protocols over TCP have, too.
pub const SHARED: [&str; 2] = ["socks", "stages"];
/// How many redirects are followed if only `trust` is given.
const REDIRECTS: u32 = 10;

/// `url:`.
pub const READER: Reader = Reader {
    read: |notes, typed| http(notes, typed.node, typed.typed, typed.in_use).map(Into::into),
    brings: |workloads| {
        let staged = |entry: &schema::Entry| entry.value.get("stages").is_some();
        if workloads.iter().any(staged) { TRANSFER_METRICS.to_vec() } else { Vec::new() }
    },
    own: &OF_USERS,
    ..Reader::of("url")
};

fn http(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, in_use: &BTreeSet<String>) -> Option<Http> {
    let mut urls = Vec::new();
    for (i, url) in typed.url.0.iter().enumerate() {
        let Some(url) = notes.fixed(node, "url", url) else { continue };
        match Url::parse_base(&url) {
            Ok(url) => urls.push(url),
            Err(expected) => {
                let span = node.get("url").map_or(node.head, |n| n.items().get(i).unwrap_or(n).span);
                notes
                    .mistakes
                    .push(Mistake::new(notes.file, span, format!("`{url}` is not a URL for a load")).expected(expected));
            }
        }
    }
    if typed.url.0.is_empty() {
        notes.say(node, "url", "this workload has no URL", "expected `url: http://host:port`");
    }
    if let [first, others @ ..] = urls.as_slice()
        && let Some(other) = others.iter().find(|other| other.path != first.path)
    {
        let found = format!("{first} and {other} have different paths");
        notes.say(node, "url", found, "expected one path in all of them, or none: the path of a step follows it");
    }
    let is_replay = node.get("load").is_some_and(|load| load.get("replay").is_some());
    if is_replay {
        refuse(notes, node, &["steps", "mix", "draw", "user", "relogin", "cookies"], "a replay sends the requests of its log");
    } else if notes.key_of_workload(node, &["steps"]).is_some() && typed.steps.is_empty() {
        notes.say(node, "steps", "a pass without steps", "expected at least one request, such as `[{get: /}]`");
    }
    let version = typed.http.version.map_or(1, |v| v.0);
    let streams = typed.http.streams.unwrap_or(1);
    let stages = typed.stages.unwrap_or_default();
    let keep_alive = typed.http.keep_alive.unwrap_or(!stages);
    let socks = socks::socks(notes, node, typed.socks.as_ref());
    check_way(notes, node, typed, socks.as_ref(), urls.iter().any(|url| url.tls));
    if let Some(part) = node.get("http") {
        if version == 1 && streams != 1 {
            notes.say(part, "streams", "several streams with HTTP/1.1", "expected `version: 2` beside it");
        }
        if streams == 0 || streams > MAX_STREAMS {
            notes.say(part, "streams", counted(streams, "stream"), format!("expected 1 to {MAX_STREAMS} streams"));
        }
        if version == 2 && typed.http.keep_alive == Some(false) {
            notes.say(
                part,
                "keep-alive",
                "HTTP/2 with one request per connection",
                "expected `version: 1`, or no `keep-alive: false`",
            );
        }
    }
    let uses_tls = urls.is_empty() || urls.iter().any(|u| u.tls);
    let tls = tls::tls(notes, node, &typed.tls, uses_tls, "expected `url: https://…`")?;
    let draws = values::draws(notes, node, &typed.draw, in_use);
    let in_use = &in_use.iter().chain(typed.draw.keys()).cloned().collect();
    let replay = if is_replay { Some(replay::read(notes, node, typed)?) } else { None };
    let (mut user, mut steps) = match &replay {
        Some(replay) => (Vec::new(), replayed(notes, node, typed, replay)),
        None => self::steps(notes, node, typed, in_use, &draws),
    };
    steps.iter_mut().chain(&mut user).for_each(Step::mark_secrets);
    check_users(notes, node, typed, &user, &steps);
    let named = named_outcomes(&steps).len();
    if named > Outcome::MOST_NAMED {
        let most = Outcome::MOST_NAMED;
        notes.say(node, "steps", format!("{named} outcomes with names"), format!("expected at most {most} in one workload"));
    }
    Some(Http {
        urls,
        socket: typed.socket.as_deref().map(|socket| commands::path(&notes.file.path, socket)),
        version,
        streams,
        keep_alive,
        redirects: typed.http.redirects.as_ref().map_or(0, |r| r.most.unwrap_or(REDIRECTS)),
        trusted: trusted(notes, node, typed.http.redirects.as_ref()),
        tls,
        socks,
        stages,
        draws,
        user,
        relogin: requests::statuses(notes, node, typed.relogin.as_ref()),
        cookies: typed.cookies,
        steps,
        replay,
    })
}

/// What the requests of each group of paths have in common.
fn replayed(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, replay: &Replay) -> Vec<Step> {
    let headers = requests::headers(notes, node, &typed.headers);
    let late =
        headers.iter().flat_map(|(_, value)| value.names()).find(|name| !name.starts_with("env.") && *name != "connection");
    if let Some(name) = late {
        let expected = "expected only values known in advance, `connection`, and secrets of `env`";
        notes.say(node, "headers", format!("`{name}` is not a value of a replay"), expected);
    }
    let auth = requests::auth(notes, node, typed.auth.as_ref());
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let step = |name: &String| Step {
        name: name.clone(),
        headers: headers.clone(),
        auth: auth.clone(),
        ..Step::plain("get", Template::parse("/"), timeout)
    };
    replay.steps.iter().map(step).collect()
}

/// Notes what cannot be combined with users and their cookies.
fn check_users(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, user: &[Step], steps: &[Step]) {
    let has_user = node.get("user").is_some();
    if has_user && typed.user.is_empty() {
        notes.say(node, "user", "a user without steps", "expected at least one request, such as `[{post: /login}]`");
    }
    for item in node.get("user").map(Node::items).unwrap_or_default() {
        let why = "a user begins with requests, one after the other: pauses, groups and conditions belong to `steps`";
        refuse(notes, item, &["pause", "repeat", "when", "steps"], why);
    }
    if node.get("relogin").is_some() && !has_user {
        let expected = "expected `user` beside it: the steps with which a user logs in";
        notes.say(node, "relogin", "nobody can log in again without having logged in", expected);
    }
    if typed.stages == Some(true) && has_user {
        notes.say(node, "user", "users whose requests are recorded stage by stage", "expected no `stages: true`");
    }
    let all = node.get("user").into_iter().chain(node.get("steps")).flat_map(Node::items).chain([node]);
    if !typed.cookies.is_none() && user.iter().chain(steps).any(|step| step.headers.iter().any(|(name, _)| name == "cookie")) {
        for headers in all.filter_map(|item| item.get("headers")) {
            if let Some(entry) = headers.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case("cookie")) {
                let mistake = Mistake::new(notes.file, entry.key_span, "a header `cookie` beside cookies that are kept");
                notes.mistakes.push(mistake.expected("expected one of both: `cookies` sends the ones that servers have set"));
            }
        }
    }
}

/// Notes what cannot be combined with a proxy, or with requests that are recorded stage by stage; `secret`: whether a
/// URL uses TLS.
fn check_way(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, socks: Option<&Socks>, secret: bool) {
    let two = typed.http.version.is_some_and(|v| v.0 == 2);
    let redirects = typed.http.redirects.as_ref().is_some_and(|r| r.most != Some(0));
    let plain = "expected `http://` with HTTP/1.1 and without redirects";
    if let Some(part) = node.get("socks") {
        if typed.socket.is_some() {
            notes.say(node, "socket", "a socket and a proxy", "expected one of `socket` and `socks`");
        }
        if socks.is_some_and(|s| s.optimistic) && (two || secret || redirects) {
            notes.say(part, "optimistic", "a request that is sent before the proxy is connected", plain);
        }
    }
    if typed.stages == Some(true) {
        if two || secret || redirects || typed.socket.is_some() {
            notes.say(node, "stages", "`stages` needs plain HTTP over TCP", plain);
        }
        if let Some(part) = node.get("http").filter(|_| typed.http.keep_alive == Some(true)) {
            notes.say(
                part,
                "keep-alive",
                "requests whose stages are recorded cannot share a connection",
                "expected no `keep-alive: true`",
            );
        }
    }
}

/// The origins that may receive secrets through a redirect.
fn trusted(notes: &mut Diagnostics<'_>, node: &Node, typed: Option<&types::Redirects>) -> Vec<Url> {
    let part = node.get("http").and_then(|http| http.get("redirects")).unwrap_or(node);
    let mut trusted = Vec::new();
    for (i, origin) in typed.iter().flat_map(|typed| &typed.trust).enumerate() {
        let Some(origin) = notes.fixed(part, "trust", origin) else { continue };
        match Url::parse_origin(&origin) {
            Ok(url) => trusted.push(url),
            Err(expected) => {
                let span = part.get("trust").map_or(part.head, |n| n.items().get(i).unwrap_or(n).span);
                let found = if Url::parse(&origin).is_ok() { "has a path" } else { "is not one" };
                let mistake = Mistake::new(notes.file, span, format!("expected an origin, but `{origin}` {found}"));
                notes.mistakes.push(mistake.expected(expected));
            }
        }
    }
    trusted
}

/// The steps of a user, and those of a pass.
fn steps(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Workload,
    in_use: &BTreeSet<String>,
    draws: &[Draw],
) -> (Vec<Step>, Vec<Step>) {
    let common = requests::headers(notes, node, &typed.headers);
    let auth = requests::auth(notes, node, typed.auth.as_ref());
    let timeout = typed.timeout.map_or(REQUEST_TIMEOUT, |d| d.0);
    let make = |notes: &mut Diagnostics<'_>, item: &Node, typed: &types::Step| {
        let mut step = step(notes, item, typed, timeout, in_use)?;
        for (name, value) in &common {
            if !step.headers.iter().any(|(n, _)| n == name) {
                step.headers.push((name.clone(), value.clone()));
            }
        }
        step.auth.clone_from(&auth);
        Some(step)
    };
    let before = steps::Before {
        known: values::drawn_by_users(draws),
        of_passes: values::drawn_by_passes(draws),
        ..steps::Before::default()
    };
    let user = steps::read_after(notes, node.get("user"), before, |notes, item, typed: &types::Step| {
        let step = make(notes, item, typed)?;
        refuse(notes, item, &["outcomes"], "a user is logged in or not: expected only `expect`");
        if step.names().any(|name| name == "pass") {
            let span = find_name(notes.file, item, "pass").unwrap_or(item.head);
            let mistake = Mistake::new(notes.file, span, "`pass` has no value before a user's first pass");
            notes.mistakes.push(mistake.expected("expected it only in `steps`; `${connection}` is the number of a user"));
        }
        Some(step)
    });
    let of_user = user.iter().flat_map(|step| &step.carry).map(|carry| carry.name.clone());
    let typed_there = node.get("user").map(Node::items).unwrap_or_default().iter().filter_map(|item| item.get("carry"));
    let typed_there = typed_there.flat_map(Node::entries).map(|entry| entry.key.clone());
    let known = values::drawn(&typed.draw, draws).into_iter().chain(of_user).chain(typed_there).collect();
    let names = user.iter().map(|step| step.name.clone()).collect();
    let steps = steps::read_after(notes, node.get("steps"), steps::Before { known, names, ..steps::Before::default() }, make);
    (user, steps)
}

impl steps::Step for Step {
    fn name(&mut self) -> &mut String {
        &mut self.name
    }

    fn inserted(&self) -> Vec<&str> {
        self.names().collect()
    }
}

fn step(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Step,
    timeout: Duration,
    in_use: &BTreeSet<String>,
) -> Option<Step> {
    let method = notes.exactly_one(node, "the method of this step", &requests::METHODS)?;
    let path = [&typed.get, &typed.head, &typed.put, &typed.post, &typed.patch, &typed.delete, &typed.options]
        .into_iter()
        .flatten()
        .next()?;
    if !path.0.starts_with('/') {
        notes.say(
            node,
            method,
            format!("the path `{}` does not start with `/`", path.0),
            "expected a path, such as `/blobs/${id}`; the host belongs in `url`",
        );
    } else {
        requests::check_path(notes, node, method, &path.0);
    }
    let body = match (&typed.body, node.get("body")) {
        (Some(typed), Some(node)) => requests::body(notes, node, typed)?,
        _ => Body::Empty,
    };
    let name = match &typed.name {
        Some(name) => notes.fixed(node, "name", name)?,
        None => method.to_owned(),
    };
    Some(Step {
        name,
        method: method.to_ascii_uppercase(),
        path: Template::parse(&path.0),
        headers: requests::headers(notes, node, &typed.headers),
        auth: None,
        body,
        expect: requests::expect(notes, node.get("expect"), typed.expect.as_ref()),
        outcomes: requests::outcomes(notes, node, typed),
        carry: requests::carry(notes, node, &typed.carry, in_use),
        timeout: typed.timeout.map_or(timeout, |d| d.0),
        secret: SecretParts::default(),
    })
}
