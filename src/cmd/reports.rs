//! What is made of summaries: the exit code, and reports for continuous integration (JUnit XML, Markdown as GitHub shows it).

use std::io::Write as _;

use super::Stop;
use crate::analysis::expectations::Outcome;
use crate::analysis::{Summary, report};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::write_whole;

/// Writes the JUnit XML of all runs of an invocation, if requested.
pub(super) fn write(reports: &cli::Reports, summaries: &[Summary]) -> Result<(), Stop> {
    match &reports.junit {
        Some(path) => write_whole(path, &report::junit(summaries)).map_err(|e| Stop::from_error(Exit::Failure, &e)),
        None => Ok(()),
    }
}

/// Appends the Markdown of a run, if requested.
pub(super) fn append(reports: &cli::Reports, summary: &Summary) -> Result<(), Stop> {
    let Some(path) = &reports.markdown else { return Ok(()) };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(report::markdown(summary).as_bytes()))
        .map_err(|e| Stop::new(Exit::Failure, format!("cannot write {}: {e}", path.display())))
}

/// What a summary means for the exit code.
pub(super) fn verdict(summary: &Summary) -> Exit {
    let bad = summary.cells.iter().any(|c| c.repetitions.invalid + c.repetitions.failed > 0);
    match expected(summary) {
        Exit::Expectation => Exit::Expectation,
        _ if bad => Exit::Repetitions,
        other => other,
    }
}

/// What the expectations of a summary alone mean for the exit code.
pub(super) fn expected(summary: &Summary) -> Exit {
    let found = |outcome| summary.expectations.iter().any(|f| f.outcome == outcome);
    match (found(Outcome::Fail), found(Outcome::Inconclusive)) {
        (true, _) => Exit::Expectation,
        (_, true) => Exit::Inconclusive,
        _ => Exit::Success,
    }
}
