//! The graphs of the scenario as elements of a page, each with the table behind it.

use analysis::Summary;
use plot::compose::{self, NamedFigure};
use plot::{Figure, SvgOptions};
use rayon::prelude::*;
use record::RunRecord;

use crate::Error;
use crate::view::{Chart, Table};

/// The graphs of a run. `letter`: of the run, where there are several.
pub fn charts(run: &RunRecord, summary: &Summary, letter: &str) -> Result<Vec<Chart>, Error> {
    let figures = compose::figures(run, summary)?;
    let charts = figures.par_iter().enumerate().map(|(number, (file, figure)): (usize, &NamedFigure)| {
        let plot::Table { header, rows } = plot::table(figure);
        Ok(Chart {
            id: format!("g{}{number}", letter.to_lowercase()),
            file: file.clone(),
            run: letter.to_owned(),
            title: figure.title.clone(),
            subtitle: figure.subtitle.clone(),
            note: figure.note.clone().unwrap_or_default(),
            picture: picture(figure)?,
            table: Table { title: String::new(), header, rows },
        })
    });
    charts.collect()
}

fn picture(figure: &Figure) -> Result<String, Error> {
    Ok(plot::svg(figure, SvgOptions::PAGE)?)
}
