//! `runner export`.

use std::path::{Path, PathBuf};

use super::{Stop, print_data, summarize};
use crate::analysis::Summary;
use crate::cli;
use crate::exit::Exit;
use crate::export::{
    Done, Error, Exported, Source, State, Translated, csv, influx, onionperf, otlp, points, prometheus, sqlite, torperf, trackers,
};
use crate::record::RunRecord;
use crate::record::files::{json_bytes, write_whole};
use crate::vocabulary::Better;
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
        cli::Export::Torperf(args) => translate(args, torperf::export)?,
        cli::Export::Onionperf(args) => translate(args, onionperf::export)?,
        cli::Export::Prometheus(args) => write_points(args, prometheus::text)?,
        cli::Export::Otlp(args) => write_points(args, otlp::lines)?,
        cli::Export::Influx(args) => write_points(args, influx::lines)?,
        cli::Export::Bencher(args) => write_figures(args, trackers::bencher)?,
        cli::Export::BenchmarkAction(args) => {
            let better = if args.smaller_is_better { Better::Less } else { Better::More };
            write_figures(&args.figures, |summaries| trackers::benchmark_action(summaries, better))?;
        }
    }
    Ok(Exit::Success)
}

/// Writes the figures of runs as JSON.
fn write_figures(args: &cli::ExportFigures, form: impl Fn(&[Summary]) -> serde_json::Value) -> Result<(), Stop> {
    let read = |run: &PathBuf| summarize::read(run).map(|(_, summary)| summary);
    let summaries = runs(&args.paths)?.iter().map(read).collect::<Result<Vec<Summary>, Stop>>()?;
    let bytes = json_bytes(&form(&summaries));
    match &args.out {
        Some(out) => write_whole(out, &bytes).map_err(|error| Stop::from_error(Exit::Failure, &error)),
        None => {
            print_data(&String::from_utf8_lossy(&bytes));
            Ok(())
        }
    }
}

/// Writes series and histograms of runs.
fn write_points(args: &cli::ExportFigures, form: impl Fn(&[points::Points]) -> String) -> Result<(), Stop> {
    let mut all = Vec::new();
    for path in runs(&args.paths)? {
        let (run, summary) = summarize::read(&path)?;
        let (points, damaged) = points::of_run(&run, &summary);
        all.extend(points);
        damaged.iter().for_each(|words| tell(format_args!("note: {words}")));
    }
    let text = form(&all);
    match &args.out {
        Some(out) => write_whole(out, text.as_bytes()).map_err(|error| Stop::from_error(Exit::Failure, &error)),
        None => {
            print_data(&text);
            Ok(())
        }
    }
}

/// Writes the transfers of runs in one of the forms of Tor's measurements.
fn translate(
    args: &cli::ExportTransfers,
    export: fn(&[RunRecord], &Path, &Source) -> Result<Translated, Error>,
) -> Result<(), Stop> {
    let source = source(args.source.as_deref())?;
    let runs = runs(&args.paths)?;
    let runs = runs.iter().map(|run| open(run)).collect::<Result<Vec<_>, _>>().map_err(|error| stop(&error))?;
    let told = export(&runs, &args.out, &source).map_err(|error| stop(&error))?;
    told.runs.iter().for_each(say);
    say_transfers(&told);
    Ok(())
}

/// The name under which transfers are exported: the one that was given, or that of this host.
pub(super) fn source(given: Option<&str>) -> Result<Source, Stop> {
    let Some(name) = given else { return Ok(Source::cleaned(&rustix::system::uname().nodename().to_string_lossy())) };
    Source::new(name).ok_or_else(|| {
        let words = format!("`{}` is not a valid --source: expected up to 64 letters, digits and `-`", name.escape_debug());
        Stop::new(Exit::InvalidInput, words)
    })
}

/// Reports how many transfers were written, and what the files do not contain.
fn say_transfers(told: &Translated) {
    let number = |count: u64, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let transfers = |count: u64| number(count, "transfer", "transfers");
    let files = number(told.files as u64, "file", "files");
    tell(format_args!("{} of {} in {files}", transfers(told.transfers), told.sources.join(", ")));
    let notes = [
        (told.warm_up, "of the warm-up left out"),
        (told.open, "open when the load ended, left out"),
        (told.uploads, "left out that sent something: the format knows downloads only"),
        (told.too_large, "left out: a number of bytes or a time is larger than the format has room for"),
        (told.invalid, "of repetitions that do not count, which the format cannot express"),
        (told.unknown_size, "of unknown length, written as 0 bytes"),
        (told.without_stream, "without a stream at the control port"),
        (told.without_circuit, "whose circuit started before the control port was read"),
    ];
    for (count, words) in notes {
        if count > 0 {
            tell(format_args!("note: {} {words}", transfers(count)));
        }
    }
    if told.days_without_transfers > 0 {
        let days = number(told.days_without_transfers, "day of a source", "days of a source");
        tell(format_args!("note: {days} with circuits but without transfers left out: OnionPerf cannot read such a day"));
    }
    if told.watched == 0 {
        tell("note: no control port was read, so there are no circuits and streams");
    }
}

fn open(run: &Path) -> Result<RunRecord, Error> {
    Ok(RunRecord::open(run)?)
}

/// The runs to export, each once.
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

/// Reports what was done with a run, and what is missing from it.
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
            tell(format_args!("warning: {name} is incomplete: what exists was exported; `runner resume` continues it"))
        }
        State::Running => tell(format_args!(
            "warning: {name} is still running: the repetitions that had ended were exported; export it again when it is done"
        )),
    }
    damaged.iter().for_each(|words| tell(format_args!("warning: {words}; unreadable parts are not exported")));
}
