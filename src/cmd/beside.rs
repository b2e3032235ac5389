//! The graphs of a run that has ended, and the page beside them.

use std::path::{Path, PathBuf};

use super::{Stop, graph};
use crate::analysis::compare::ReadRun;
use crate::cli;
use crate::exit::Exit;
use crate::plot::compose::Pictures;
use crate::record::files::{make_directory, write_whole};
use crate::report;
use crate::vocabulary::errors::tell;

/// What is left of a run among the graphs.
#[derive(Default)]
pub(super) struct Beside {
    /// The graphs, and what of them could not be drawn.
    pub drawn: graph::Drawn,
    /// Its page.
    pub page: Option<PathBuf>,
}

impl Beside {
    /// How many graphs are where; none without graphs.
    pub(super) fn graphs_in(&self) -> Option<String> {
        let folder = self.drawn.files.first()?.parent()?;
        let count = self.drawn.files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "png")).count();
        Some(format!("{count} {} in {}", if count == 1 { "graph" } else { "graphs" }, folder.display()))
    }

    /// Where the page is.
    pub(super) fn report_in(&self) -> Option<String> {
        self.page.as_ref().map(|page| format!("report in {}", page.display()))
    }
}

/// Draws the graphs of a run and, if it `has_page`, writes the page beside them. Nothing is drawn of a run without repetitions,
/// nor where `output` says so.
pub(super) fn draw(run: &ReadRun, output: &cli::Output, has_page: bool) -> Result<Beside, Stop> {
    let (record, summary) = run;
    if output.no_graphs || record.repetitions.is_empty() {
        return Ok(Beside::default());
    }
    let composed = graph::compose(record, summary)?;
    let drawn = graph::draw(&composed, summary, &output.graphs, output.svg)?;
    let page = if has_page && !output.no_report { report(run, &composed, &output.graphs)? } else { None };
    Ok(Beside { drawn, page })
}

/// Writes the page of a run beside its graphs, and returns its path. Where it cannot be written because that is not allowed,
/// this is said, and nothing is lost: the page can be made again at any time.
pub(super) fn report(run: &ReadRun, pictures: &Pictures, graphs: &Path) -> Result<Option<PathBuf>, Stop> {
    if run.0.repetitions.is_empty() {
        return Ok(None);
    }
    let failed = |error: &dyn std::error::Error| Stop::from_error(Exit::Failure, error);
    let text = report::alone(run, Some(pictures)).map_err(|e| failed(&e))?;
    let folder = graphs.join(&run.1.experiment).join(&run.1.run);
    let path = folder.join("report.html");
    match make_directory(&folder).and_then(|()| write_whole(&path, text.as_bytes())) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.is_forbidden() => {
            tell(format_args!("warning: {}; there is no report", crate::vocabulary::errors::chain(&error)));
            Ok(None)
        }
        Err(error) => Err(failed(&error)),
    }
}
