//! `runner summarize`.

use std::path::{Path, PathBuf};

use super::{Stop, print, print_data, reports};
use crate::analysis::{self, Summary, table};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::{self, json_bytes, write_whole};
use crate::record::tables::parquet;
use crate::record::{Error, RunRecord, read as results};
use crate::vocabulary::Metric;
use crate::vocabulary::errors::{chain, tell};

/// Aggregates runs into summary.json, figures.parquet and a table.
pub(super) fn summarize(args: &cli::Summarize) -> Result<Exit, Stop> {
    let mut summaries = Vec::new();
    for run in runs(&args.paths)? {
        let (_, summary) = read(&run)?;
        let failed = |error: analysis::Error| Stop::from_error(Exit::Failure, &error);
        print_table(args, &summary).map_err(failed)?;
        // The requested output comes first: it does not depend on whether the summary can be saved.
        told_if_forbidden(keep(&run, &summary))?;
        if args.csv && args.table.is_none() {
            let csv = table::figures(&summary).csv().map_err(|error| failed(error.into()))?;
            told_if_forbidden(write_whole(&run.join("figures.csv"), &csv))?;
        }
        summaries.push(summary);
    }
    summaries.iter().try_for_each(|s| reports::append(&args.reports, s))?;
    reports::write(&args.reports, &summaries)?;
    // Invalid repetitions concern the run that made them; here only expectations are judged.
    let judged = |exit| summaries.iter().any(|s| reports::expected(s) == exit);
    Ok([Exit::Expectation, Exit::Inconclusive].into_iter().find(|exit| judged(*exit)).unwrap_or(Exit::Success))
}

/// Prints the requested parts of a summary.
fn print_table(args: &cli::Summarize, summary: &Summary) -> Result<(), analysis::Error> {
    let printed = match args.table {
        None if args.json => {
            print_data(&String::from_utf8_lossy(&json_bytes(summary)));
            return Ok(());
        }
        None => {
            print(&format!("{}\n", analysis::text::table(summary)));
            return Ok(());
        }
        Some(cli::FigureTable::Figures) => table::figures(summary),
        Some(cli::FigureTable::Cells) => table::cells(summary),
    };
    match args.csv {
        true => print_data(&String::from_utf8_lossy(&printed.csv()?)),
        false => print(&printed.text()?),
    }
    Ok(())
}

/// The runs that paths on the command line mean.
pub(super) fn runs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut runs = Vec::new();
    for path in paths {
        runs.extend(results::find(path).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?);
    }
    Ok(runs)
}

/// Reads a run and aggregates it.
pub(super) fn read(run: &Path) -> Result<(RunRecord, Summary), Stop> {
    read_by(run, analysis::summarize)
}

fn read_by(
    run: &Path,
    aggregate: impl FnOnce(&RunRecord) -> Result<Summary, analysis::Error>,
) -> Result<(RunRecord, Summary), Stop> {
    let record = RunRecord::open(run).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let summary = aggregate(&record).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok((record, summary))
}

/// Reads the values of some metrics of each repetition of a run, and nothing else.
pub(super) fn read_samples(run: &Path, metrics: impl FnOnce(&RunRecord) -> Vec<Metric>) -> Result<(RunRecord, Summary), Stop> {
    read_by(run, |record| analysis::samples(record, &metrics(record)))
}

/// Reads a run, aggregates it, and saves its summary.json. If the summary cannot be saved, this is reported, and nothing is
/// lost: the summary can be made again at any time.
pub(super) fn aggregate(run: &Path) -> Result<(RunRecord, Summary), Stop> {
    let (record, summary) = read(run)?;
    told_if_forbidden(keep(run, &summary))?;
    Ok((record, summary))
}

/// Handles a summary that could not be saved: a warning if writing is not allowed, a stop if something else is wrong.
fn told_if_forbidden(kept: Result<(), Error>) -> Result<(), Stop> {
    let Err(error) = kept else { return Ok(()) };
    if !error.is_forbidden() {
        return Err(Stop::from_error(Exit::Failure, &error));
    }
    tell(format_args!("warning: {}; the summary is not saved there, everything else is unaffected", chain(&error)));
    Ok(())
}

/// Writes summary.json and figures.parquet, unless they already exist with the same content.
pub(super) fn keep(run: &Path, summary: &Summary) -> Result<(), Error> {
    keep_file(&run.join("summary.json"), &json_bytes(summary))?;
    let path = run.join("figures.parquet");
    match parquet(&path, table::figures(summary).frames())? {
        Some(bytes) => keep_file(&path, &bytes),
        // A run without cells has no table.
        None => Ok(()),
    }
}

fn keep_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if files::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_whole(path, bytes)
}
