//! Requests and set-up steps: from what was typed to what will be sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::expr::Part;
use super::pen::Pen;
use super::{Action, Auth, Body, Carry, Expect, Invocation, NamedOutcome, Outcome, Place, Step, Template, Url};
use crate::marker::MARKER;
use crate::schema::{Entry, Mistake, Node, types};

/// Finds a file that a scenario names: from the scenario's folder upwards, so that it does not matter from where runner is called.
pub(super) fn find_file(scenario: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.is_absolute() {
        return name.exists().then(|| name.to_owned());
    }
    let folder = scenario.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    folder.ancestors().map(|a| a.join(name)).find(|p| p.exists())
}

pub(super) const METHODS: [&str; 7] = ["get", "head", "put", "post", "patch", "delete", "options"];

/// The default time-out of a request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const ACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// A set-up request that is sent more often than this is a load.
const MOST_TIMES: u64 = 1_000_000;

fn valid_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn headers(pen: &mut Pen<'_>, node: &Node, typed: &BTreeMap<String, types::Text>) -> Vec<(String, Template)> {
    for entry in node.get("headers").map(Node::entries).unwrap_or_default() {
        if !valid_header(&entry.key) {
            pen.mistakes.push(
                Mistake::new(pen.file, entry.key_span, format!("`{}` cannot be the name of a header", entry.key))
                    .expected("expected letters, digits and `-`"),
            );
        }
        if entry.value.as_text().is_some_and(|v| v.contains(['\n', '\r'])) {
            pen.mistakes
                .push(Mistake::new(pen.file, entry.value.span, "a header with a line break").expected("expected one line"));
        }
    }
    typed.iter().map(|(name, value)| (name.to_ascii_lowercase(), Template::parse(&value.0))).collect()
}

/// Who asks. What of it is not known before the load could not be masked.
pub(super) fn auth(pen: &mut Pen<'_>, node: &Node, typed: Option<&types::Auth>) -> Option<Auth> {
    let typed = typed?;
    let auth = Auth { user: Template::parse(&typed.user.0), password: Template::parse(&typed.password.0) };
    if let Some(name) = auth.user.names().chain(auth.password.names()).find(|name| !name.starts_with("env.")) {
        let part = node.get("auth").unwrap_or(node);
        let span = super::pen::find_name(pen.file, part, name).unwrap_or(part.span);
        let mistake = Mistake::new(pen.file, span, format!("`{name}` is not known yet when `auth` is needed"));
        pen.mistakes.push(mistake.expected("expected only what is known beforehand, and secrets of `env`"));
    }
    if auth.user.to_text().contains(':') && auth.user.names().next().is_none() {
        let part = node.get("auth").unwrap_or(node);
        pen.say(part, "user", "a user with a colon", "expected none: it parts user and password");
    }
    Some(auth)
}

pub(super) fn body(pen: &mut Pen<'_>, node: &Node, typed: &types::Body) -> Option<Body> {
    match pen.exactly_one(node, "the kind of body", &["text", "file", "random", "json"])? {
        "text" => Some(Body::Text(Template::parse(&typed.text.as_ref()?.0))),
        "random" => Some(Body::Random(typed.random?.0.0)),
        "json" => Some(Body::Json(Template::parse(&typed.json.as_ref()?.to_string()))),
        _ => {
            let name = &pen.fixed(node, "file", typed.file.as_ref()?)?;
            let kept = super::cache::is_inside(name).then(|| PathBuf::from(name));
            let found = kept.or_else(|| find_file(&pen.file.path, name).filter(|p| p.is_file()));
            if found.is_none() {
                pen.say(
                    node,
                    "file",
                    format!("there is no file `{name}`"),
                    "expected a file, seen from the scenario's folder or one above it",
                );
            }
            Some(Body::File(found?))
        }
    }
}

pub(super) fn expect(pen: &mut Pen<'_>, node: Option<&Node>, typed: Option<&types::Expect>) -> Expect {
    let (Some(node), Some(typed)) = (node, typed) else { return Expect::default() };
    if typed.status.as_ref().is_some_and(|s| s.0.is_empty()) {
        pen.say(node, "status", "a list without a status", "expected at least one status");
    }
    let statuses = typed.status.clone().unwrap_or_default().0;
    Expect {
        statuses,
        length: typed.length.map(|l| l.0.0),
        text: typed.text.as_ref().map(|t| Template::parse(&t.0)),
        contains: typed.contains.as_ref().map(|t| Template::parse(&t.0)),
    }
}

/// Answers to which the scenario gives names.
pub(super) fn outcomes(pen: &mut Pen<'_>, node: &Node, typed: &types::Step) -> Vec<NamedOutcome> {
    let entries = node.get("outcomes").map(Node::entries).unwrap_or_default();
    let mut made: Vec<NamedOutcome> = Vec::new();
    for (name, statuses) in &typed.outcomes {
        let Some(entry) = entries.iter().find(|e| e.key == *name) else { continue };
        let mut say = |found: String, expected: &str| {
            pen.mistakes.push(Mistake::new(pen.file, entry.key_span, found).expected(expected));
        };
        let named_well = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !named_well {
            say(format!("`{name}` cannot be the name of an outcome"), "expected small letters, digits, `-` and `_`");
        } else if Outcome::taken().any(|taken| taken == name) {
            say(format!("`{name}` is an outcome that every workload has"), "expected a name of its own");
        } else if super::Metric::all().any(|(metric, _)| metric == name) {
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
            say(format!("the status {status} is expected already"), "expected a status that `expect` does not have");
        } else if let Some((status, other)) =
            statuses.0.iter().find_map(|s| Some((s, made.iter().find(|o| o.statuses.contains(s))?)))
        {
            say(format!("the status {status} means `{}` already", other.name), "expected one outcome for each status");
        }
        made.push(NamedOutcome { name: name.clone(), statuses: statuses.0.clone() });
    }
    made
}

pub(super) fn carry(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Carry>,
    taken: &BTreeSet<String>,
) -> Vec<Carry> {
    let mut carried = Vec::new();
    for (name, place) in typed {
        let Some(entry) = node.get("carry").and_then(|n| n.entry(name)) else { continue };
        nameable(pen, entry, taken);
        let place = match pen.exactly_one(&entry.value, "the place of the carried value", &["json", "header", "regex"]) {
            Some("json") => place.json.clone().map(Place::Json),
            Some("header") => place.header.as_ref().map(|h| Place::Header(h.to_ascii_lowercase())),
            Some(_) => place.regex.clone().map(Place::Regex),
            None => None,
        };
        match &place {
            Some(Place::Json(pointer)) if !pointer.is_empty() && !pointer.starts_with('/') => {
                pen.say(
                    &entry.value,
                    "json",
                    format!("`{pointer}` is not a JSON pointer"),
                    "expected a path as `/rev` or `/rows/0/id`",
                );
            }
            Some(Place::Regex(pattern)) => regex(pen, &entry.value, "regex", pattern),
            _ => {}
        }
        if let Some(place) = place {
            carried.push(Carry { name: name.clone(), place });
        }
    }
    carried
}

/// A value of passes must have a name that expressions can use and nothing else has.
pub(super) fn nameable(pen: &mut Pen<'_>, entry: &Entry, taken: &BTreeSet<String>) {
    let name = &entry.key;
    let nameable =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !nameable {
        pen.mistakes.push(
            Mistake::new(pen.file, entry.key_span, format!("`{name}` cannot be the name of a value"))
                .expected("expected letters, digits and `_`, so that expressions can use it"),
        );
    } else if taken.contains(name) || super::factors::RESERVED.iter().any(|(r, _)| r == name) {
        pen.mistakes.push(
            Mistake::new(pen.file, entry.key_span, format!("`{name}` is already something else"))
                .expected("expected a name that no factor and no `let` has"),
        );
    }
}

pub(super) fn regex(pen: &mut Pen<'_>, node: &Node, key: &str, pattern: &str) {
    if let Err(error) = regex::Regex::new(pattern) {
        let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        pen.say(node, key, format!("`{pattern}` is not a regular expression: {reason}"), "expected a regular expression");
    }
}

/// A set-up or clean-up step.
pub(super) fn action(pen: &mut Pen<'_>, node: &Node, typed: &types::Action) -> Option<Action> {
    let kinds = ["command", "shell", "get", "put", "post", "delete"];
    let kind = pen.exactly_one(node, "what this step does", &kinds)?;
    let timeout = typed.timeout.map_or(ACTION_TIMEOUT, |d| d.0);
    if matches!(kind, "command" | "shell") {
        for key in ["auth", "headers", "body", "expect", "times"] {
            if let Some(entry) = node.entry(key) {
                pen.mistakes.push(
                    Mistake::new(pen.file, entry.key_span, format!("`{key}` belongs to a request, and this is a command"))
                        .expected("expected only `command` or `shell`, `dir`, `env`, `timeout`, `cache`"),
                );
            }
        }
        let argv = argv(pen, node, typed.command.as_deref(), typed.shell.as_deref(), &[])?;
        if let Some(name) = argv.iter().flat_map(Template::names).find(|name| *name == "pass") {
            let span = super::pen::find_name(pen.file, node, name).unwrap_or(node.head);
            let mistake = Mistake::new(pen.file, span, format!("`{name}` has no value in a command"));
            pen.mistakes.push(mistake.expected("expected it in a request only"));
        }
        let missing = super::programs::missing_program(&argv[0].to_text(), None);
        if let Some(missing) = missing {
            pen.say_missing(node, "command", &missing);
        }
        return Some(Action::Command {
            invocation: Invocation {
                argv,
                dir: folder(pen, node, typed.dir.as_deref()),
                env: environment(pen, node, &typed.env),
                timeout,
            },
            cache: typed.cache.as_ref().map(|name| super::cache::of(name, typed)),
        });
    }
    for key in ["dir", "env", "cache"] {
        if let Some(entry) = node.entry(key) {
            pen.mistakes.push(
                Mistake::new(pen.file, entry.key_span, format!("`{key}` belongs to a command, and this is a request"))
                    .expected("expected only the method, `auth`, `headers`, `body`, `expect`, `times`, `timeout`"),
            );
        }
    }
    let target = [&typed.get, &typed.put, &typed.post, &typed.delete].into_iter().flatten().next()?;
    let (url, path) = url(pen, node, kind, &target.0)?;
    let body = match (&typed.body, node.get("body")) {
        (Some(typed), Some(node)) => body(pen, node, typed)?,
        _ => Body::Empty,
    };
    let times = typed.times.unwrap_or(1);
    if !(1..=MOST_TIMES).contains(&times) {
        pen.say(node, "times", format!("{times} times"), format!("expected 1 to {MOST_TIMES}"));
    }
    let step = Step {
        headers: headers(pen, node, &typed.headers),
        auth: auth(pen, node, typed.auth.as_ref()),
        body,
        expect: expect(pen, node.get("expect"), typed.expect.as_ref()),
        ..Step::plain(kind, path, timeout)
    };
    Some(Action::Request { step: Box::new(step), url, times })
}

/// A URL of a single request: where, and its path.
pub(super) fn url(pen: &mut Pen<'_>, node: &Node, key: &str, text: &str) -> Option<(Url, Template)> {
    let url = match Url::parse(text) {
        Ok(url) if !url.host.contains("${") => url,
        Ok(_) => {
            pen.fixed(node, key, text)?;
            return None;
        }
        Err(expected) => {
            pen.say(node, key, format!("`{text}` is not a URL"), expected);
            return None;
        }
    };
    let path = Template::parse(if url.path.is_empty() { "/" } else { &url.path });
    Some((Url { path: String::new(), ..url }, path))
}

/// Environment variables of a command.
pub(super) fn environment(pen: &mut Pen<'_>, node: &Node, typed: &BTreeMap<String, types::Text>) -> Vec<(String, Template)> {
    if let Some(entry) = node.get("env").and_then(|env| env.entry(MARKER)) {
        // With another value it could not be found, or would be taken for somebody else.
        let mistake = Mistake::new(pen.file, entry.key_span, format!("`{MARKER}` is how runner knows what it has started"));
        pen.mistakes.push(mistake.expected("expected another name"));
    }
    typed.iter().map(|(name, value)| (name.clone(), Template::parse(&value.0))).collect()
}

/// A working directory: a folder that is there, or one in the scratch directory.
pub(super) fn folder(pen: &mut Pen<'_>, node: &Node, dir: Option<&str>) -> Option<Template> {
    let dir = dir?;
    let template = Template::parse(dir);
    if template.names().next().is_some() || super::cache::is_inside(dir) {
        return Some(template);
    }
    let found = find_file(&pen.file.path, dir).filter(|p| p.is_dir());
    if found.is_none() {
        pen.say(
            node,
            "dir",
            format!("there is no folder `{dir}`"),
            "expected a folder, seen from the scenario's folder or one above it",
        );
    }
    found.map(|p| Template(vec![Part::Text(p.display().to_string())]))
}

/// The command line of `command:` or `shell:` with further arguments.
pub(super) fn argv(
    pen: &mut Pen<'_>,
    node: &Node,
    command: Option<&[types::Text]>,
    shell: Option<&str>,
    args: &[types::Text],
) -> Option<Vec<Template>> {
    let mut argv: Vec<Template> = match (command, shell) {
        (Some([]), _) => {
            pen.say(node, "command", "this command is empty", "expected `[program, argument, …]`");
            return None;
        }
        (Some(command), _) => command.iter().map(|t| Template::parse(&t.0)).collect(),
        (None, Some(shell)) => ["sh", "-c"].into_iter().map(Template::parse).chain([Template::parse(shell)]).collect(),
        (None, None) => return None,
    };
    argv.extend(args.iter().map(|t| Template::parse(&t.0)));
    Some(argv)
}
