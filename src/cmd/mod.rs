//! One file per subcommand: short stories over the layers.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

mod again;
mod agent;
mod beside;
mod brought;
mod ceiling;
mod check;
mod cluster;
mod compare;
mod doctor;
mod estimate;
mod execute;
mod explain;
mod export;
mod fixture;
mod graph;
mod hosts;
mod init;
mod known;
mod latest;
mod list;
mod load;
mod manual;
mod measure;
mod measuring;
mod merge;
mod next;
mod open_files;
mod plan;
mod prepare;
mod progress;
mod report;
mod reports;
mod resume;
mod run;
mod serve;
mod summarize;
mod telemetry;

use std::io::IsTerminal as _;
use std::path::Path;

use crate::cli::{Choice, Cli, Command};
use crate::exit::Exit;
use crate::plan::Plan;
use crate::plan_read::Rejection;
use crate::plan_read::{Document, Options};
use crate::schema::Mistake;
use crate::vocabulary::errors::{chain, show, tell};
use crate::vocabulary::key_number;
use crate::vocabulary::words::harmless;

/// Where experiments are looked for, and written.
const EXPERIMENTS: &str = "experiments";

/// How a subcommand may end early: a message that was not yet printed, and its exit code.
#[derive(Debug)]
pub struct Stop {
    /// What to print after `error: `; empty when everything was said.
    pub message: String,
    /// How the program ends.
    pub exit: Exit,
}

impl Stop {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), exit }
    }

    /// From an error with its chain of causes.
    fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self::new(exit, chain(error))
    }
}

/// How wide the terminal behind a stream is. What goes elsewhere, to a file or a pipe, is always equally wide.
fn columns_of(stream: impl std::os::fd::AsFd) -> usize {
    let columns = rustix::termios::tcgetwinsize(stream).map(|size| usize::from(size.ws_col));
    // A terminal that does not know its size says 0.
    columns.ok().filter(|columns| *columns > 0).unwrap_or(vocabulary::columns::WIDTH)
}

/// Executes a command line.
pub fn main(cli: Cli) -> Exit {
    // The readers of scenarios do not know polars.
    crate::plan_read::rows::set_parquet_reader(crate::record::rows_of_parquet::read);
    let result = match cli.command {
        Command::Check(args) => check::check(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::List(args) => list::list(&args),
        Command::Init(args) => init::init(&args),
        Command::Schema => check::schema(),
        Command::Explain(args) => explain::explain(&args),
        Command::Fixture(args) => fixture::fixture(&args),
        Command::Run(args) => run::run(&args),
        Command::Repeat(args) => run::repeat(&args),
        Command::Measure(args) => measure::measure(&args),
        Command::Agent(args) => agent::agent(&args),
        Command::Resume(args) => resume::resume(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Summarize(args) => summarize::summarize(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::Report(args) => report::report(&args),
        Command::Export(args) => export::export(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Load(args) => load::load(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Latest(args) => latest::latest(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    result.unwrap_or_else(|stop| {
        if !stop.message.is_empty() {
            tell(format_args!("error: {}", stop.message));
        }
        stop.exit
    })
}

/// Prints text for people to standard output. Labels may come from anybody, and output that goes to a file or a pager
/// may still reach a terminal later.
pub(crate) fn print(text: &str) {
    write_out(&harmless(text));
}

/// Prints data for programs, unchanged; no terminal reads it.
pub(crate) fn print_data(text: &str) {
    if std::io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

/// Writes to standard output; a reader that has gone away (`runner list | head`) ends the program quietly.
fn write_out(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough; this changes neither what is done nor how it ends.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return;
        }
        tell(format_args!("error: cannot write to standard output: {error}"));
        std::process::exit(Exit::Failure.code().into());
    }
}

/// Refuses a path that is not UTF-8 if it will be written down: in a plan, an event, the command line of a target. A
/// lossy conversion would name another path.
pub(crate) fn require_utf8_path(what: &str, path: &Path) -> Result<(), Stop> {
    if path.to_str().is_some() {
        return Ok(());
    }
    let shown = path.display();
    let words = format!("{what}, {shown}, is not valid UTF-8 and cannot be written down; expected a path that is text");
    Err(Stop::new(Exit::InvalidInput, words))
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Prints mistakes as `check` does, and counts them.
fn report(path: &Path, mistakes: &[Mistake]) -> Stop {
    let text = crate::schema::source::render_all(mistakes, colour());
    show(text.strip_suffix('\n').unwrap_or(&text));
    let plural = if mistakes.len() == 1 { "mistake" } else { "mistakes" };
    Stop::new(Exit::InvalidInput, format!("{} has {} {plural}; nothing was started", path.display(), mistakes.len()))
}

/// Reads a scenario and makes its plan, or reports everything that is wrong with it.
pub(crate) fn read_plan(path: &Path, choice: Option<&Choice>) -> Result<Plan, Stop> {
    let options = choice.map_or_else(Options::default, |c| Options {
        settings: c.settings.clone(),
        repetitions: c.repetitions,
        seed: c.seed,
        ..Options::default()
    });
    plan_of(path, &options)
}

/// The same with all options.
fn plan_of(path: &Path, options: &Options) -> Result<Plan, Stop> {
    require_utf8_path("the scenario", path)?;
    plan_from(path, Document::read(path).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?, options)
}

/// The same for a shard. Where neither the file nor the options give a seed, it is made of both, so that all shards have the same
/// without speaking to each other.
fn plan_of_shard(path: &Path, options: &Options) -> Result<Plan, Stop> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let typed = format!("{}\n{:?}\n{text}", options.settings.join("\n"), options.repetitions);
    let document = Document::read(path).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    plan_seeded(path, document, options, key_number(&typed) & LARGEST_SEED)
}

/// The same from a document that was read, or could not be.
fn plan_from(path: &Path, document: Result<Document, Box<Mistake>>, options: &Options) -> Result<Plan, Stop> {
    plan_seeded(path, document, options, fresh_seed())
}

fn plan_seeded(path: &Path, document: Result<Document, Box<Mistake>>, options: &Options, seed: u64) -> Result<Plan, Stop> {
    let document = document.map_err(|mistake| report(path, &[*mistake]))?;
    crate::plan_read::build(&document, options, seed).map_err(|rejection| match rejection {
        Rejection::Mistakes(mistakes) => report(path, &mistakes),
        Rejection::Option(message) => Stop::new(Exit::InvalidInput, message),
    })
}

/// All plans, or every reason why there is none: each but the last is printed.
fn report_all(plans: impl Iterator<Item = Result<Plan, Stop>>) -> Result<Vec<Plan>, Stop> {
    let (mut made, mut stopped) = (Vec::new(), None);
    for plan in plans {
        match plan {
            Ok(plan) => made.push(plan),
            Err(stop) => {
                if let Some(Stop { message, .. }) = stopped.replace(stop) {
                    tell(format_args!("error: {message}"));
                }
            }
        }
    }
    stopped.map_or(Ok(made), Err)
}

/// Every reader of JSON has whole numbers up to this one.
const LARGEST_SEED: u64 = (1 << 53) - 1;

/// A seed that no other run has.
fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32)) & LARGEST_SEED
}

/// The scenario files among paths; folders are searched, not deeply.
fn scenario_files(paths: &[std::path::PathBuf]) -> Result<Vec<std::path::PathBuf>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        if path == Path::new(EXPERIMENTS) && !path.exists() {
            let words = "there is no folder experiments here; name files, or make one with `runner init`";
            return Err(Stop::new(Exit::InvalidInput, words.to_owned()));
        }
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries =
            std::fs::read_dir(path).map_err(|e| Stop::new(Exit::InvalidInput, format!("cannot read {}: {e}", path.display())))?;
        let mut found: Vec<_> =
            entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "yaml" || e == "yml")).collect();
        found.sort();
        if found.is_empty() {
            return Err(Stop::new(Exit::InvalidInput, format!("there is no scenario file (*.yaml) in {}", path.display())));
        }
        files.extend(found);
    }
    Ok(files)
}
