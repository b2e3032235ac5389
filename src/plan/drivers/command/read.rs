//! How a workload with a program that makes the load itself is read.

use std::time::Duration;

use super::{Reader, http};
use crate::diagnostics::{Diagnostics, refuse};
use crate::programs::missing_program;
use crate::{commands, extracted};
use plan::drivers::command::{Command, METRICS};
use schema::{Node, types};

/// Keys that belong to a program.
const KEYS: [&str; 5] = ["env", "dir", "metrics", "decimal", "exit"];
/// How long it may take by default.
const TIMEOUT: Duration = Duration::from_secs(600);

/// `command:`.
pub const READER: Reader = Reader {
    own: &KEYS,
    read: |notes, typed| {
        refuse(notes, typed.node, &http::KEYS, "it belongs to requests, but this is a command");
        refuse(notes, typed.node, &["steps", "mix"], "it belongs to requests, but this is a command");
        refuse(notes, typed.node, &["draw"], "it belongs to requests and messages");
        command(notes, typed.node, typed.typed).map(Into::into)
    },
    takes: |workload| {
        let metrics = workload.get("metrics").map(Node::entries).unwrap_or_default();
        metrics.iter().map(|entry| entry.key.as_str()).collect()
    },
    // The names are known before it is known whether the program exists.
    brings: |_| METRICS.to_vec(),
    ..Reader::of("command")
};

fn command(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload) -> Option<Command> {
    let argv = commands::argv(notes, node, typed.command.as_deref(), None, &[])?;
    if let Some(missing) = missing_program(&argv[0].to_text(), typed.dir.as_deref()).filter(|m| !typed.needs.0.contains(m)) {
        notes.say_missing(node, "command", &missing);
    }
    let metrics =
        extracted::metrics(notes, node, &typed.metrics, typed.decimal, &METRICS, &["regex", "json", "lines", "csv", "ratio"]);
    let exit = typed.exit.as_ref().map_or_else(|| vec![0], |e| e.0.clone());
    if exit.is_empty() {
        notes.say(node, "exit", "a list without an exit code", "expected at least one, such as `0`");
    }
    Some(Command {
        argv,
        env: commands::environment(notes, node, &typed.env),
        dir: commands::folder(notes, node, typed.dir.as_deref()),
        exit,
        timeout: typed.timeout.map_or(TIMEOUT, |d| d.0),
        metrics,
    })
}
