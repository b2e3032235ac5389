//! Set-up and clean-up steps.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::commands::locate;
use super::diagnostics::{Diagnostics, find_name, refuse};
use super::programs::missing_program;
use super::{commands, control, requests, tls};
use plan::{Action, Body, Cache, Invocation, Step, Template, cache};
use schema::{Mistake, Node, types};

/// How long a step may take by default.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A file larger than this is data that a step works on, and not part of what it does.
const MOST_CONTENT: u64 = 1 << 20;
/// A set-up request that is sent more often than this is a load.
const MOST_TIMES: u64 = 1_000_000;

/// A set-up or clean-up step.
pub(super) fn action(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Action,
    in_use: &BTreeSet<String>,
) -> Option<Action> {
    let kinds = ["command", "shell", "get", "put", "post", "delete", "control"];
    let kind = notes.exactly_one(node, "what this step does", &kinds)?;
    let timeout = typed.timeout.map_or(TIMEOUT, |d| d.0);
    if kind == "control" {
        return control::action(notes, node, typed, timeout);
    }
    refuse(notes, node, &["cookie", "send", "answer"], "it belongs to `control`");
    if let Some(entry) = node.entry("carry").filter(|_| typed.on.is_some()) {
        let mistake = Mistake::new(notes.file, entry.key_span, "a value that is found on another machine");
        notes.mistakes.push(mistake.expected("expected no `on`: what is found on this machine is known to all of them"));
    }
    if matches!(kind, "command" | "shell") {
        for key in ["auth", "headers", "body", "expect", "carry", "times", "tls"] {
            if let Some(entry) = node.entry(key) {
                notes.mistakes.push(
                    Mistake::new(notes.file, entry.key_span, format!("`{key}` belongs to a request, but this is a command"))
                        .expected("expected only `command` or `shell`, `dir`, `env`, `timeout`, `cache`"),
                );
            }
        }
        let argv = commands::argv(notes, node, typed.command.as_deref(), typed.shell.as_deref(), &[])?;
        if let Some(name) = argv.iter().flat_map(Template::names).find(|name| *name == "pass") {
            let span = find_name(notes.file, node, name).unwrap_or(node.head);
            let mistake = Mistake::new(notes.file, span, format!("`{name}` has no value in a command"));
            notes.mistakes.push(mistake.expected("expected it only in a request"));
        }
        let missing = missing_program(&argv[0].to_text(), typed.dir.as_deref());
        if let Some(missing) = missing {
            notes.say_missing(node, "command", &missing);
        }
        return Some(Action::Command {
            invocation: Invocation {
                argv,
                dir: commands::folder(notes, node, typed.dir.as_deref()),
                env: commands::environment(notes, node, &typed.env),
                timeout,
            },
            cache: typed.cache.as_ref().map(|name| kept(&notes.file.path, name, typed)),
        });
    }
    for key in ["dir", "env", "cache"] {
        if let Some(entry) = node.entry(key) {
            notes.mistakes.push(
                Mistake::new(notes.file, entry.key_span, format!("`{key}` belongs to a command, but this is a request"))
                    .expected(
                        "expected only the method, `auth`, `headers`, `body`, `expect`, `carry`, `times`, `timeout`, `tls`",
                    ),
            );
        }
    }
    let target = [&typed.get, &typed.put, &typed.post, &typed.delete].into_iter().flatten().next()?;
    let (url, path) = requests::url(notes, node, kind, &target.0)?;
    let tls = tls::tls(notes, node, &typed.tls, url.tls, format!("expected `{kind}: https://…`"))?;
    let body = match (&typed.body, node.get("body")) {
        (Some(typed), Some(node)) => requests::body(notes, node, typed)?,
        _ => Body::Empty,
    };
    let times = typed.times.unwrap_or(1);
    if !(1..=MOST_TIMES).contains(&times) {
        notes.say(node, "times", format!("{times} times"), format!("expected 1 to {MOST_TIMES}"));
    }
    let step = Step {
        headers: requests::headers(notes, node, &typed.headers),
        auth: requests::auth(notes, node, typed.auth.as_ref()),
        body,
        expect: requests::expect(notes, node.get("expect"), typed.expect.as_ref()),
        carry: requests::carry(notes, node, &typed.carry, in_use),
        ..Step::plain(kind, path, timeout)
    };
    Some(Action::Request { step: Box::new(step), url, tls, times })
}

/// Notes values that a step uses before a set-up step has found them, and adds what it finds itself to the `known` ones. `found`:
/// all that set-up steps find.
pub(super) fn check_found(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    action: Option<&Action>,
    found: &BTreeSet<String>,
    known: &mut BTreeSet<String>,
) {
    let names: BTreeSet<&str> = match action {
        Some(Action::Request { step, .. }) => step.names().collect(),
        Some(Action::Command { invocation, .. }) => {
            let env = invocation.env.iter().map(|(_, value)| value);
            invocation.argv.iter().chain(&invocation.dir).chain(env).flat_map(Template::names).collect()
        }
        Some(Action::Control { send, .. }) => send.iter().flat_map(Template::names).collect(),
        Some(Action::Checkout(_) | Action::On { .. }) | None => BTreeSet::new(),
    };
    for name in names.into_iter().filter(|name| found.contains(*name) && !known.contains(*name)) {
        let span = find_name(notes.file, node, name).unwrap_or(node.head);
        let mistake = Mistake::new(notes.file, span, format!("`{name}` is used before it is carried"));
        notes.mistakes.push(mistake.expected("expected `carry` in a set-up step before this one"));
    }
    known.extend(node.get("carry").map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.clone()));
}

/// The directory that a step makes and keeps. The content of files that it names, such as a script or a list of
/// requirements, is part of its identity: when they have changed, the result is a different one. `scenario`: the file
/// that contains the step.
pub(super) fn kept(scenario: &Path, name: &str, typed: &types::Action) -> Cache {
    let words: Vec<&str> = typed.command.iter().flatten().map(|t| t.0.as_str()).collect();
    let env: Vec<String> = typed.env.iter().map(|(k, v)| format!("{k}={}", v.0)).collect();
    let shell = typed.shell.as_deref().unwrap_or_default();
    let dir = typed.dir.as_deref().unwrap_or_default();
    let mut step = format!("{words:?} {shell:?} {env:?} {dir:?}");
    let files: BTreeSet<&str> =
        words.into_iter().chain(shell.split_whitespace()).map(|word| word.trim_matches(['"', '\''])).collect();
    for file in files {
        if let Some(content) = content(scenario, dir, file) {
            step += &format!(" {file}: {:016x}", cache::fnv(&content));
        }
    }
    cache::of_step(name, step)
}

/// The content of a file that a step names, seen from where it is executed; `None` if it is not a file, or a large one.
fn content(scenario: &Path, dir: &str, file: &str) -> Option<Vec<u8>> {
    // A bare word is a program or an option unless the scenario sets the folder and has such a file in it: otherwise a
    // step that writes `made` would change its own identity.
    if file.contains("${") || dir.contains("${") || dir.is_empty() && !file.contains(['/', '.']) {
        return None;
    }
    let path = match dir {
        // A program with `/` may lie above.
        "" if file.contains('/') => locate(scenario, file),
        "" => locate(scenario, ".").map(|dir| dir.join(file)),
        dir => locate(scenario, dir).map(|dir| dir.join(file)),
    };
    let path = path.filter(|path| path.metadata().is_ok_and(|there| there.is_file() && there.len() <= MOST_CONTENT))?;
    std::fs::read(path).ok()
}
