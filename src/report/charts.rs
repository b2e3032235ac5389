//! The graphs of the scenario as elements of a page, each with the table behind it.

use analysis::Summary;
use plot::compose::{self, NamedFigure, Pictures};
use plot::{Figure, SvgOptions};
use rayon::prelude::*;
use record::RunRecord;

use crate::Error;
use crate::view::{Chart, Table};

/// The graphs of a run, and which of them were not drawn, in words. `letter`: of the run, if there are several; `composed`:
/// the figures, if they have been composed already.
pub fn charts(
    run: &RunRecord,
    summary: &Summary,
    letter: &str,
    composed: Option<&Pictures>,
) -> Result<(Vec<Chart>, Vec<String>), Error> {
    let own;
    let pictures = match composed {
        Some(known) => known,
        None => {
            own = compose::figures(run, summary)?;
            &own
        }
    };
    let charts = pictures.figures.par_iter().enumerate().map(|(number, (file, figure)): (usize, &NamedFigure)| {
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
    Ok((charts.collect::<Result<_, Error>>()?, pictures.left_out_words()))
}

fn picture(figure: &Figure) -> Result<String, Error> {
    Ok(plot::svg(figure, SvgOptions::PAGE)?)
}
