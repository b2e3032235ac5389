//! Reads `collect:`.

use std::time::Duration;

use super::diagnostics::{Diagnostics, refuse};
use super::programs::{missing_need, missing_program};
use super::{commands, extracted, requests, tls};
use plan::collect::BODY;
use plan::start::fixture_in;
use plan::{Carry, Collect, CollectSource, Invocation, Selector, Step, TableSource, Template};
use schema::source::one_of;
use schema::{Entry, Mistake, Node, types};

/// Fixtures that read what others have written.
const READERS: [&str; 1] = ["vtp-receipts"];
/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Makes an entry from what was typed; `node` is its evaluated YAML. Also returns why its cell is skipped, if so.
pub(super) fn collect(
    notes: &mut Diagnostics<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Collect,
    scenario: &std::path::Path,
) -> Option<(Collect, Option<String>)> {
    let before = notes.mistakes.len();
    let kinds = ["command", "shell", "fixture", "file", "sqlite", "get"];
    let kind = notes.exactly_one(node, "what this is collected from", &kinds)?;
    let mut refuse = |keys: &[&str], why| refuse(notes, node, keys, why);
    match kind {
        "file" | "sqlite" => refuse(&["args", "env", "dir", "timeout"], "it belongs to a command, but this is a file"),
        "get" => refuse(&["args", "env", "dir"], "it belongs to a command, but this is a request"),
        "shell" => refuse(&["args"], "expected the arguments in the command line of `shell` itself"),
        _ => {}
    }
    if kind != "get" {
        refuse(&["auth", "headers", "tls"], "it belongs to a request, which has `get`");
    }
    let source = match kind {
        "get" => {
            let (url, path) = requests::url(notes, node, "get", &typed.get.as_ref()?.0)?;
            let tls = tls::tls(notes, node, &typed.tls, url.tls, "expected `get: https://…`")?;
            let step = Step {
                headers: requests::headers(notes, node, &typed.headers),
                auth: requests::auth(notes, node, typed.auth.as_ref()),
                carry: vec![Carry { name: BODY.to_owned(), selector: Selector::Regex("(?s)^.*$".to_owned()) }],
                ..Step::plain("get", path, typed.timeout.map_or(TIMEOUT, |d| d.0))
            };
            CollectSource::Get { url, tls, step: Box::new(step) }
        }
        "file" => CollectSource::File(commands::path(scenario, &typed.file.as_ref()?.0)),
        "sqlite" => CollectSource::Sqlite(commands::path(scenario, &typed.sqlite.as_ref()?.0)),
        "fixture" => {
            let name = typed.fixture.as_ref()?;
            if !READERS.contains(&name.as_str()) {
                let span = node.get("fixture").map_or(node.head, |n| n.span);
                let mistake = Mistake::new(notes.file, span, format!("no fixture named `{name}` collects anything"));
                let expected = format!("expected {}", one_of(READERS));
                notes.mistakes.push(mistake.expected(expected).did_you_mean(name, READERS));
            }
            let words = [name].into_iter().chain(typed.args.iter().map(|a| &a.0));
            CollectSource::Fixture(invocation(notes, node, typed, words.map(|word| Template::parse(word)).collect()))
        }
        _ => {
            let argv = commands::argv(notes, node, typed.command.as_deref(), typed.shell.as_deref(), &typed.args)?;
            // The name of the program is also the name of the fixture.
            match fixture_in(&argv) {
                Some(words) => CollectSource::Fixture(invocation(notes, node, typed, words.to_vec())),
                None => {
                    let missing = missing_program(&argv[0].to_text(), typed.dir.as_deref());
                    if let Some(missing) = missing.filter(|m| !typed.needs.0.contains(m)) {
                        notes.say_missing(node, "command", &missing);
                    }
                    CollectSource::Command(invocation(notes, node, typed, argv))
                }
            }
        }
    };
    let kinds: &[&str] = if kind == "sqlite" { &["sql", "ratio"] } else { &["regex", "json", "lines", "csv", "ratio"] };
    let metrics = extracted::metrics(notes, node, &typed.metrics, typed.decimal, &[], kinds);
    let table = match (&typed.table, node.get("table")) {
        (Some(typed), Some(part)) => table(notes, part, typed, kind == "sqlite"),
        _ => None,
    };
    if typed.metrics.is_empty() && typed.table.is_none() {
        notes.say(node, "", "nothing is taken from this", "expected `metrics` or `table`");
    }
    let skipped = missing_need(&typed.needs.0);
    (notes.mistakes.len() == before).then_some(())?;
    Some((Collect { name: entry.key.clone(), on: typed.on.clone(), source, metrics, table }, skipped))
}

fn invocation(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Collect, argv: Vec<Template>) -> Invocation {
    Invocation {
        argv,
        dir: commands::folder(notes, node, typed.dir.as_deref()),
        env: commands::environment(notes, node, &typed.env),
        timeout: typed.timeout.map_or(TIMEOUT, |d| d.0),
    }
}

fn table(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::TableSource, database: bool) -> Option<TableSource> {
    let kinds: &[&str] = if database { &["sql"] } else { &["json", "csv"] };
    match notes.exactly_one(node, "the place of the table", kinds)? {
        "json" => {
            let pointer = typed.json.clone()?;
            extracted::check_pointer(notes, node, &pointer);
            Some(TableSource::Json(pointer))
        }
        "csv" => {
            if typed.csv == Some(false) {
                notes.say(node, "csv", "`csv: false` makes no table", "expected `csv: true`");
            }
            Some(TableSource::Csv)
        }
        _ => typed.sql.clone().map(TableSource::Sql),
    }
}
