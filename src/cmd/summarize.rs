//! `runner summarize`.

use std::path::{Path, PathBuf};

use super::{Stop, print, reports};
use crate::analysis::{self, Summary};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::{json_bytes, write_whole};
use crate::record::{Metric, RunRecord, read as results};

/// Aggregates runs into summary.json and a table.
pub(super) fn summarize(args: &cli::Summarize) -> Result<Exit, Stop> {
    let mut summaries = Vec::new();
    for run in runs(&args.paths)? {
        let (_, summary) = aggregate(&run)?;
        if args.json {
            print(&String::from_utf8_lossy(&json_bytes(&summary)));
        } else {
            print(&format!("{}\n", analysis::text::table(&summary)));
        }
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
    let record = RunRecord::open(run).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let summary = analysis::summarize(&record).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok((record, summary))
}

/// Reads of a run what each repetition says of some metrics, for those who need nothing besides.
pub(super) fn read_samples(run: &Path, metrics: impl FnOnce(&RunRecord) -> Vec<Metric>) -> Result<(RunRecord, Summary), Stop> {
    let record = RunRecord::open(run).map_err(|e| Stop::from_error(Exit::InvalidInput, &e))?;
    let summary = analysis::samples(&record, &metrics(&record)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok((record, summary))
}

/// Reads a run, aggregates it, and writes its summary.json.
pub(super) fn aggregate(run: &Path) -> Result<(RunRecord, Summary), Stop> {
    let (record, summary) = read(run)?;
    write_whole(&run.join("summary.json"), &json_bytes(&summary)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Ok((record, summary))
}
