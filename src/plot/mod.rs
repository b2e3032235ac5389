//! Turns figures into pictures.
//!
//! [`Figure`] says what is shown, as plain data; [`render`] draws it and returns the bytes of a PNG file, [`svg()`] draws it as
//! an element for a page, and [`table()`] gives it in rows of text. The same figure always gives the same bytes: fonts are
//! embedded, and nothing depends on the system or on chance.
//!
//! In reading order: `figure` is the model; `bars`, `stack`, `lines`, `trend`, `rounds` and `quantiles` draw one kind of data
//! each, inside the words and axes of `frame` and `legend`; `scale`, `number`, `text` and `palette` are pure helpers. All draw
//! `shapes` on a `canvas` and say what their shapes stand for (`group`). What a canvas is made of is known below it: `pixels` with
//! `stroke`, and `svg` with `simplify`. `compose` chooses the numbers that a graph of a scenario shows; it is the only module
//! that knows summaries. Where a picture is stored is decided elsewhere.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

mod bars;
mod canvas;
pub mod compose;
mod figure;
mod frame;
mod group;
mod legend;
mod lines;
mod number;
mod palette;
mod pixels;
mod quantiles;
mod rounds;
mod scale;
mod shapes;
mod simplify;
mod stack;
mod stroke;
mod svg;
mod table;
mod text;
mod trend;

use plotters::prelude::{BitMapBackend, DrawingAreaErrorKind, DrawingBackend};

pub use figure::{
    Bar, BarSeries, Data, Figure, LevelPositions, LineSeries, Phase, QuantileSeries, RoundPoint, RoundSeries, TrendPoint,
    TrendSeries,
};
pub use svg::{SvgOptions, SvgPlace, svg, svg_style};
pub use table::{Table, table};

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A shape could not be drawn into memory.
    #[error("cannot draw the figure")]
    Draw(#[from] DrawingAreaErrorKind<<BitMapBackend<'static> as DrawingBackend>::ErrorType>),
    /// The finished picture could not be written as PNG.
    #[error("cannot encode the figure as PNG")]
    Encode(#[from] png::EncodingError),
}

/// Draws a figure and returns it as the bytes of a PNG file, 1200 × 800 pixels.
///
/// Values that are not finite are left out; a figure without any value says "no data" inside its axes.
///
/// # Errors
/// Only when the drawing library or the encoder fails; no data can make it fail.
pub fn render(figure: &Figure) -> Result<Vec<u8>, Error> {
    pixels::picture(|canvas| draw(canvas, figure))
}

/// Draws a figure on any canvas.
fn draw(canvas: &canvas::Canvas<'_>, figure: &Figure) -> Result<(), Error> {
    match &figure.data {
        Data::Bars { groups, series, reference, log } => {
            bars::draw(canvas, figure, &bars::Bars { groups, series, reference: *reference, log: *log })
        }
        Data::Stack { groups, parts } => stack::draw(canvas, figure, groups, parts),
        Data::Lines { series, phases, log } => lines::draw(canvas, figure, series, phases, *log),
        Data::Trend { levels, places, series, model, log } => {
            trend::draw(canvas, figure, &trend::Trend { levels, places, series, model: model.as_deref(), log: *log })
        }
        Data::Rounds { series, log } => rounds::draw(canvas, figure, series, *log),
        Data::Quantiles { series } => quantiles::draw(canvas, figure, series),
    }
}

#[cfg(test)]
mod tests;
