//! `runner export`.

use std::path::{Path, PathBuf};

use super::{Stop, summarize};
use crate::cli;
use crate::exit::Exit;
use crate::export::{Done, Error, Exported, State, csv, sqlite};
use crate::record::RunRecord;
use crate::vocabulary::errors::tell;

/// Writes runs in the form of another program.
pub(super) fn export(args: &cli::Export) -> Result<Exit, Stop> {
    match args {
        cli::Export::Sqlite(args) => {
            let runs = runs(&args.paths)?;
            let database = sqlite::Database::open(&args.out).map_err(|error| stop(&error))?;
            for run in runs {
                let exported = open(&run).and_then(|run| database.add(&run)).map_err(|error| stop(&error))?;
                say(&exported);
            }
        }
        cli::Export::Csv(args) => {
            let exported = csv::export(runs(&args.paths)?.iter().map(|run| open(run)), &args.out);
            exported.map_err(|error| stop(&error))?.iter().for_each(say);
        }
    }
    Ok(Exit::Success)
}

fn open(run: &Path) -> Result<RunRecord, Error> {
    Ok(RunRecord::open(run)?)
}

/// The runs that are meant, each once.
fn runs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut runs: Vec<PathBuf> = Vec::new();
    for run in summarize::runs(paths)? {
        let is_same = |other: &PathBuf| other.canonicalize().ok() == run.canonicalize().ok();
        if !runs.iter().any(is_same) {
            runs.push(run);
        }
    }
    Ok(runs)
}

fn stop(error: &Error) -> Stop {
    let exit = if error.is_input() { Exit::InvalidInput } else { Exit::Failure };
    Stop::from_error(exit, error)
}

/// Says what became of a run, and what of it is not there.
fn say(exported: &Exported) {
    let Exported { name, done, repetitions, state, damaged } = exported;
    let plural = if *repetitions == 1 { "repetition" } else { "repetitions" };
    let done = match done {
        Done::Added => "exported",
        Done::Updated => "brought up to date",
        Done::Unchanged => "unchanged",
    };
    tell(format_args!("{name}: {done}, {repetitions} {plural}"));
    match state {
        State::Whole => {}
        State::Incomplete => {
            tell(format_args!("warning: {name} is incomplete: what is there was exported; `runner resume` goes on with it"))
        }
        State::Running => tell(format_args!(
            "warning: {name} is still running: the repetitions that had ended were exported; export it again when it is done"
        )),
    }
    damaged.iter().for_each(|words| tell(format_args!("warning: {words}; what cannot be read is not exported")));
}
