//! What is collected after the load: figures and tables out of files, databases and the output of commands.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::pen::Pen;
use super::programs::{missing_need, missing_program};
use super::start::fixture_in;
use super::taken::{self, TableSource, TakenMetric};
use super::{Carry, Invocation, Place, Step, Template, Url, actions};
use crate::schema::source::one_of;
use crate::schema::{Entry, Mistake, Node, types};

/// Fixtures that read what others have written.
const READERS: [&str; 1] = ["vtp-receipts"];
/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the body of an answer is called as a carried value.
pub const BODY: &str = "body";

/// Something that is collected.
#[derive(Clone, Debug, Serialize)]
pub struct Collect {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: CollectSource,
    /// Figures, one value each per repetition.
    pub metrics: Vec<TakenMetric>,
    /// A table.
    pub table: Option<TableSource>,
}

/// Where it comes from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CollectSource {
    /// What a command prints.
    Command(Invocation),
    /// What a fixture prints; its name stands in the place of the program.
    Fixture(Invocation),
    /// A file.
    File(Template),
    /// An SQLite database.
    Sqlite(Template),
    /// What a request is answered.
    Get {
        /// Where, without the path.
        url: Url,
        /// The request; it carries [`BODY`].
        step: Box<Step>,
    },
}

impl CollectSource {
    /// Its request, if it is one.
    pub fn request(&self) -> Option<&Step> {
        match self {
            Self::Get { step, .. } => Some(step),
            _ => None,
        }
    }
}

/// Makes an entry of what was typed; `node` is its evaluated YAML. Also why its cell is skipped, if so.
pub(super) fn collect(
    pen: &mut Pen<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Collect,
    scenario: &std::path::Path,
) -> Option<(Collect, Option<String>)> {
    let before = pen.mistakes.len();
    let kinds = ["command", "shell", "fixture", "file", "sqlite", "get"];
    let kind = pen.exactly_one(node, "what this is collected from", &kinds)?;
    let mut refuse = |keys: &[&str], why| super::workloads::refuse(pen, node, keys, why);
    match kind {
        "file" | "sqlite" => refuse(&["args", "env", "dir", "timeout"], "it belongs to a command, and this is a file"),
        "get" => refuse(&["args", "env", "dir"], "it belongs to a command, and this is a request"),
        "shell" => refuse(&["args"], "expected the arguments in the command line of `shell` itself"),
        _ => {}
    }
    if kind != "get" {
        refuse(&["auth", "headers"], "it belongs to a request, which has `get`");
    }
    let source = match kind {
        "get" => {
            let (url, path) = actions::url(pen, node, "get", &typed.get.as_ref()?.0)?;
            let step = Step {
                headers: actions::headers(pen, node, &typed.headers),
                auth: actions::auth(pen, node, typed.auth.as_ref()),
                carry: vec![Carry { name: BODY.to_owned(), place: Place::Regex("(?s)^.*$".to_owned()) }],
                ..Step::plain("get", path, typed.timeout.map_or(TIMEOUT, |d| d.0))
            };
            CollectSource::Get { url, step: Box::new(step) }
        }
        "file" => CollectSource::File(file(&typed.file.as_ref()?.0, scenario)),
        "sqlite" => CollectSource::Sqlite(file(&typed.sqlite.as_ref()?.0, scenario)),
        "fixture" => {
            let name = typed.fixture.as_ref()?;
            if !READERS.contains(&name.as_str()) {
                let span = node.get("fixture").map_or(node.head, |n| n.span);
                let mistake = Mistake::new(pen.file, span, format!("no fixture called `{name}` collects anything"));
                let expected = format!("expected {}", one_of(READERS));
                pen.mistakes.push(mistake.expected(expected).did_you_mean(name, READERS));
            }
            let words = [name].into_iter().chain(typed.args.iter().map(|a| &a.0));
            CollectSource::Fixture(invocation(pen, node, typed, words.map(|word| Template::parse(word)).collect()))
        }
        _ => {
            let argv = actions::argv(pen, node, typed.command.as_deref(), typed.shell.as_deref(), &typed.args)?;
            // A fixture that is called by the name of its program is one, too.
            match fixture_in(&argv) {
                Some(words) => CollectSource::Fixture(invocation(pen, node, typed, words.to_vec())),
                None => {
                    let missing = missing_program(&argv[0].to_text(), typed.dir.as_deref());
                    if let Some(missing) = missing.filter(|m| !typed.needs.0.contains(m)) {
                        pen.say_missing(node, "command", &missing);
                    }
                    CollectSource::Command(invocation(pen, node, typed, argv))
                }
            }
        }
    };
    let kinds: &[&str] = if kind == "sqlite" { &["sql", "ratio"] } else { &["regex", "json", "lines", "csv", "ratio"] };
    let metrics = taken::metrics(pen, node, &typed.metrics, typed.decimal, &[], kinds);
    let table = match (&typed.table, node.get("table")) {
        (Some(typed), Some(part)) => table(pen, part, typed, kind == "sqlite"),
        _ => None,
    };
    if typed.metrics.is_empty() && typed.table.is_none() {
        pen.say(node, "", "nothing is taken from this", "expected `metrics` or `table`");
    }
    let skipped = missing_need(&typed.needs.0);
    (pen.mistakes.len() == before).then_some(())?;
    Some((Collect { name: entry.key.clone(), source, metrics, table }, skipped))
}

fn invocation(pen: &mut Pen<'_>, node: &Node, typed: &types::Collect, argv: Vec<Template>) -> Invocation {
    Invocation {
        argv,
        dir: actions::folder(pen, node, typed.dir.as_deref()),
        env: actions::environment(pen, node, &typed.env),
        timeout: typed.timeout.map_or(TIMEOUT, |d| d.0),
    }
}

/// A file that stands beside the scenario, or one that the experiment makes.
fn file(text: &str, scenario: &std::path::Path) -> Template {
    let found: Option<PathBuf> = (!text.contains("${")).then(|| actions::find_file(scenario, text)).flatten();
    Template::parse(&found.map_or_else(|| text.to_owned(), |path| path.display().to_string()))
}

fn table(pen: &mut Pen<'_>, node: &Node, typed: &types::TableSource, database: bool) -> Option<TableSource> {
    let kinds: &[&str] = if database { &["sql"] } else { &["json", "csv"] };
    match pen.exactly_one(node, "where the table stands", kinds)? {
        "json" => {
            let pointer = typed.json.clone()?;
            taken::check_pointer(pen, node, &pointer);
            Some(TableSource::Json(pointer))
        }
        "csv" => {
            if typed.csv == Some(false) {
                pen.say(node, "csv", "a table that is none", "expected `csv: true`");
            }
            Some(TableSource::Csv)
        }
        _ => typed.sql.clone().map(TableSource::Sql),
    }
}
