//! `runner graph`.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::summarize::{aggregate, runs};
use super::{Stop, print_data};
use crate::analysis::Summary;
use crate::cli;
use crate::exit::Exit;
use crate::plot;
use crate::plot::compose::Pictures;
use crate::record::RunRecord;
use crate::record::files::{make_directory, write_whole};
use crate::vocabulary::errors::tell;

/// Draws the graphs of runs.
pub(super) fn graph(args: &cli::Graph) -> Result<Exit, Stop> {
    for run in runs(&args.paths)? {
        let (record, summary) = aggregate(&run)?;
        let pictures = compose(&record, &summary)?;
        let drawn = draw(&pictures, &summary, &args.out, args.svg)?;
        for path in &drawn.files {
            print_data(&format!("{}\n", path.display()));
        }
        drawn.left_out.iter().for_each(tell);
        if drawn.files.is_empty() {
            let why = if drawn.left_out.is_empty() { ": its scenario has no `graphs`" } else { "" };
            tell(format_args!("nothing was drawn of {}{why}", run.display()));
        }
    }
    Ok(Exit::Success)
}

/// What was drawn, and what was not.
#[derive(Default)]
pub(super) struct Drawn {
    /// In the order of the scenario.
    pub files: Vec<PathBuf>,
    /// A line for each reason why graphs were left out.
    pub left_out: Vec<String>,
}

/// What all graphs of a run are made of.
pub(super) fn compose(record: &RunRecord, summary: &Summary) -> Result<Pictures, Stop> {
    plot::compose::figures(record, summary).map_err(|e| Stop::from_error(Exit::Failure, &e))
}

/// Draws all graphs of a run into `<out>/<experiment>/<run>/`: each as PNG, and with `has_svg` as SVG beside it.
pub(super) fn draw(pictures: &Pictures, summary: &Summary, out: &Path, has_svg: bool) -> Result<Drawn, Stop> {
    let failed = |error: &dyn std::error::Error| Stop::from_error(Exit::Failure, error);
    let folder = out.join(&summary.experiment).join(&summary.run);
    // Drawn on all cores, in any order; the returned list is in the order of the scenario.
    let files = pictures.figures.par_iter().map(|(name, figure)| {
        let mut contents = vec![("png", plot::render(figure).map_err(|e| failed(&e))?)];
        if has_svg {
            contents.push(("svg", plot::svg(figure, plot::SvgOptions::FILE).map_err(|e| failed(&e))?.into_bytes()));
        }
        let mut paths = Vec::new();
        for (extension, bytes) in contents {
            let path = folder.join(format!("{name}.{extension}"));
            make_directory(&folder).and_then(|()| write_whole(&path, &bytes)).map_err(|e| failed(&e))?;
            paths.push(path);
        }
        Ok(paths)
    });
    let files: Vec<Vec<PathBuf>> = files.collect::<Result<_, Stop>>()?;
    Ok(Drawn { files: files.concat(), left_out: pictures.left_out_words() })
}
