//! `runner summarize`.

use std::path::{Path, PathBuf};

use super::{Stop, print, reports};
use crate::analysis::{self, Summary};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::{self, json_bytes, write_whole};
use crate::record::{Error, RunRecord, read as results};
use crate::vocabulary::Metric;
use crate::vocabulary::errors::{chain, tell};

/// Aggregates runs into summary.json and a table.
pub(super) fn summarize(args: &cli::Summarize) -> Result<Exit, Stop> {
    let mut summaries = Vec::new();
    for run in runs(&args.paths)? {
        let (_, summary) = read(&run)?;
        if args.json {
            print(&String::from_utf8_lossy(&json_bytes(&summary)));
        } else {
            print(&format!("{}\n", analysis::text::table(&summary)));
        }
        // What was asked for is told first: it does not depend on whether it can be kept, too.
        save_if_allowed(&run, &summary)?;
        summaries.push(summary);
    }
    summaries.iter().try_for_each(|s| reports::append(&args.reports, s))?;
    reports::write(&args.reports, &summaries)?;
    // Invalid repetitions are a matter of the run that made them; what is expected is judged here.
    let judged = |exit| summaries.iter().any(|s| reports::expected(s) == exit);
    Ok([Exit::Expectation, Exit::Inconclusive].into_iter().find(|exit| judged(*exit)).unwrap_or(Exit::Success))
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

/// Reads of a run what each repetition says of some metrics, for those who need nothing besides.
pub(super) fn read_samples(run: &Path, metrics: impl FnOnce(&RunRecord) -> Vec<Metric>) -> Result<(RunRecord, Summary), Stop> {
    read_by(run, |record| analysis::samples(record, &metrics(record)))
}

/// Reads a run, aggregates it, and keeps its summary.json. Where it may not be kept, that is said, and nothing is lost: it is
/// made of what is there, whenever somebody asks.
pub(super) fn aggregate(run: &Path) -> Result<(RunRecord, Summary), Stop> {
    let (record, summary) = read(run)?;
    save_if_allowed(run, &summary)?;
    Ok((record, summary))
}

/// Keeps summary.json; says so where it may not be written, and stops where something else is wrong.
fn save_if_allowed(run: &Path, summary: &Summary) -> Result<(), Stop> {
    let Err(error) = keep(run, summary) else { return Ok(()) };
    if !error.is_forbidden() {
        return Err(Stop::from_error(Exit::Failure, &error));
    }
    tell(format_args!("warning: {}; the summary is not kept there, everything else is as ever", chain(&error)));
    Ok(())
}

/// Writes summary.json, unless it is there as it would be written.
pub(super) fn keep(run: &Path, summary: &Summary) -> Result<(), Error> {
    let (path, bytes) = (run.join("summary.json"), json_bytes(summary));
    if files::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    write_whole(&path, &bytes)
}
