//! Reports for continuous integration: JUnit XML, and Markdown as GitHub shows it.

use std::io::Write as _;
use std::path::Path;

use super::Stop;
use crate::analysis::{Summary, report};
use crate::cli;
use crate::exit::Exit;
use crate::record::files::write_whole;

/// Writes what is asked for.
pub(super) fn write(reports: &cli::Reports, summaries: &[&Summary]) -> Result<(), Stop> {
    if let Some(path) = &reports.junit {
        write_whole(path, &report::junit(summaries)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    }
    if let Some(path) = &reports.markdown {
        let text: String = summaries.iter().map(|s| report::markdown(s)).collect();
        append(path, &text).map_err(|e| Stop::new(Exit::Failure, format!("cannot write {}: {e}", path.display())))?;
    }
    Ok(())
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}
