//! The graphs of the scenario as elements of a page.

use analysis::Summary;
use base64::Engine as _;
use plot::compose::{self, NamedFigure};
use rayon::prelude::*;
use record::RunRecord;

use crate::Error;
use crate::view::{Chart, Table};

/// The graphs of a run. `letter`: of the run, where there are several; `first`: number of the first chart.
pub fn charts(run: &RunRecord, summary: &Summary, letter: &str) -> Result<Vec<Chart>, Error> {
    let figures = compose::figures(run, summary)?;
    let charts = figures.par_iter().enumerate().map(|(number, (file, figure)): (usize, &NamedFigure)| {
        let png = plot::render(figure)?;
        let data = base64::engine::general_purpose::STANDARD.encode(&png);
        Ok(Chart {
            id: format!("g{}{number}", letter.to_lowercase()),
            file: file.clone(),
            run: letter.to_owned(),
            title: figure.title.clone(),
            subtitle: figure.subtitle.clone(),
            note: figure.note.clone().unwrap_or_default(),
            picture: format!("<img alt=\"\" src=\"data:image/png;base64,{data}\"/>"),
            table: Table::default(),
        })
    });
    charts.collect()
}
