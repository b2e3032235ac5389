//! `runner graph`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::summarize::{aggregate, runs};
use super::{Stop, print_data};
use crate::analysis::Summary;
use crate::cli;
use crate::exit::Exit;
use crate::plot;
use crate::record::RunRecord;
use crate::record::files::{make_directory, write_whole};

/// Draws the graphs of runs.
pub(super) fn graph(args: &cli::Graph) -> Result<Exit, Stop> {
    for run in runs(&args.paths)? {
        let (record, summary) = aggregate(&run)?;
        for path in draw(&record, &summary, &args.out)? {
            print_data(&format!("{}\n", path.display()));
        }
    }
    Ok(Exit::Success)
}

/// Draws all graphs of a run into `<out>/<experiment>/<run>/`; returns the files.
pub(super) fn draw(record: &RunRecord, summary: &Summary, out: &Path) -> Result<Vec<PathBuf>, Stop> {
    let figures = plot::compose::figures(record, summary).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    let folder = out.join(&summary.experiment).join(&summary.run);
    // Drawn on all cores, in any order; the returned list is in the order of the scenario.
    let files = figures.par_iter().map(|(name, figure)| {
        let png = plot::render(figure).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        let path = folder.join(format!("{name}.png"));
        let written = make_directory(&folder).and_then(|()| write_whole(&path, &png));
        written.map_err(|e| Stop::from_error(Exit::Failure, &e))?;
        Ok(path)
    });
    files.collect()
}
