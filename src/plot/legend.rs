//! The legend under the title: which mark stands for what.

use super::Error;
use super::canvas::Canvas;
use super::group::Group;
use super::palette::{Colour, INK, PAPER, SOFT_INK, SeriesStyle};
use super::shapes::{Align, Pattern, Rect, Turn};
use super::text::Style;

const TEXT: Style = Style::regular(16.0);
/// Width of a mark and of the space to its text.
const MARK: f64 = 28.0;
const SPACE: f64 = 8.0;
/// Space between two entries in a row.
const APART: f64 = 28.0;
/// More rows would leave too little room for the data.
const MOST_ROWS: usize = 6;
/// Narrower columns would leave too little of the names.
const MOST_COLUMNS: usize = 6;

/// A name with its mark.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub name: String,
    pub mark: Mark,
    /// The number of the series that it stands for.
    pub series: Option<usize>,
}

impl Entry {
    /// One of the series.
    pub fn of(series: usize, name: &str, mark: Mark) -> Self {
        Entry { name: name.to_owned(), mark, series: Some(series) }
    }

    /// Something that belongs to no series, or to each.
    pub fn other(name: impl Into<String>, mark: Mark) -> Self {
        Entry { name: name.into(), mark, series: None }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    Bar(SeriesStyle),
    Line(SeriesStyle),
    /// A line through points.
    Trend(SeriesStyle),
    /// The dashed line of a model; the entry has a separate row where one row is too short.
    Model(Colour),
    /// The dashed line of a reference value.
    Reference,
    /// The cross in place of a bar.
    Absent,
    /// The ring around a point.
    Ring,
}

/// Draws the entries in rows from `corner` (left, top) and returns their lower end. A mark without a name says nothing and is
/// left out.
pub(super) fn draw(canvas: &Canvas, entries: &[Entry], corner: (f64, f64), width: f64) -> Result<f64, Error> {
    let named: Vec<Entry> = entries.iter().filter(|entry| !entry.name.trim().is_empty()).cloned().collect();
    rows(canvas, &named, corner, width)
}

/// One row if they fit, else columns of equal width. With too many rows, names lose their middle; what still does not fit is
/// counted in a last entry.
fn rows(canvas: &Canvas, entries: &[Entry], (left, top): (f64, f64), width: f64) -> Result<f64, Error> {
    if entries.is_empty() {
        return Ok(top);
    }
    let widths: Vec<f64> = entries.iter().map(|e| MARK + SPACE + TEXT.width(&e.name)).collect();
    let row_height = TEXT.line_height() + 3.0;
    let in_one_row = widths.iter().sum::<f64>() + APART * (widths.len() - 1) as f64 <= width;
    if in_one_row {
        let mut x = left;
        for (entry, width) in entries.iter().zip(&widths) {
            draw_entry(canvas, entry, &entry.name, (x, top + row_height / 2.0))?;
            x += width + APART;
        }
        return Ok(top + row_height);
    }
    if let [others @ .., Entry { mark: Mark::Model(_), .. }] = entries
        && !others.is_empty()
    {
        let below = rows(canvas, others, (left, top), width)?;
        return rows(canvas, &entries[others.len()..], (left, below), width);
    }
    let widest = widths.iter().copied().fold(0.0, f64::max).min(width);
    let fitting = (((width + APART) / (widest + APART)) as usize).max(1);
    let columns = fitting.max(entries.len().div_ceil(MOST_ROWS).min(MOST_COLUMNS));
    // No more columns than the rows need, so that the last row is not nearly empty.
    let columns = entries.len().div_ceil(entries.len().div_ceil(columns));
    // Columns are as narrow as their names allow, so that marks and names stay together.
    let column = (widest + APART).min((width + APART) / columns as f64);
    let shown = entries.len().min(columns * MOST_ROWS);
    for (i, entry) in entries[..shown].iter().enumerate() {
        let x = left + column * (i % columns) as f64;
        let y = top + row_height * ((i / columns) as f64 + 0.5);
        if shown < entries.len() && i + 1 == shown {
            let rest = format!("… and {} more", entries.len() - shown + 1);
            canvas.text(&rest, (x, y), TEXT, SOFT_INK, Align::Left, Turn::None)?;
        } else {
            let name = TEXT.shorten_middle(&entry.name, column - APART - MARK - SPACE);
            draw_entry(canvas, entry, &name, (x, y))?;
        }
    }
    Ok(top + row_height * shown.div_ceil(columns) as f64)
}

fn draw_entry(canvas: &Canvas, entry: &Entry, name: &str, at: (f64, f64)) -> Result<(), Error> {
    canvas.group(&Group::Legend(entry.series), || draw_mark(canvas, entry, name, at))
}

fn draw_mark(canvas: &Canvas, entry: &Entry, name: &str, (x, y): (f64, f64)) -> Result<(), Error> {
    let ends = [(x + 1.0, y), (x + MARK - 1.0, y)];
    match entry.mark {
        Mark::Bar(style) => {
            let rect = Rect { left: x, top: y - 8.0, right: x + MARK, bottom: y + 8.0 };
            canvas.rect(rect, style.colour)?;
            canvas.hatch(rect, style.pattern, PAPER)?;
        }
        Mark::Line(style) => canvas.patterned(&ends, 3.0, style.colour, style.pattern)?,
        Mark::Trend(style) => {
            canvas.line(&ends, 3.0, style.colour)?;
            trend_dot(canvas, (x + MARK / 2.0, y), style, 1.0)?;
        }
        Mark::Model(colour) => dashed(canvas, &ends, colour)?,
        Mark::Reference => canvas.patterned(&ends, 1.6, INK, Pattern::Stripes)?,
        Mark::Absent => cross(canvas, (x + MARK / 2.0, y), 5.0, SOFT_INK)?,
        Mark::Ring => canvas.dot((x + MARK / 2.0, y), 7.0, PAPER, INK)?,
    }
    canvas.text(name, (x + MARK + SPACE, y), TEXT, INK, Align::Left, Turn::None)
}

/// The line of a model: broad and pale, so that it is also visible behind measured values that follow it.
pub(super) fn dashed(canvas: &Canvas, points: &[(f64, f64)], colour: Colour) -> Result<(), Error> {
    canvas.patterned(points, 4.5, colour.mix(0.5), Pattern::Stripes)
}

/// The mark of a mean. Lines of models are dashed, so series with the same colour differ in their dots.
pub(super) fn trend_dot(canvas: &Canvas, at: (f64, f64), style: SeriesStyle, size: f64) -> Result<(), Error> {
    canvas.line(&[at], 11.0 * size, PAPER)?;
    canvas.line(&[at], 9.0 * size, style.colour)?;
    match style.pattern {
        Pattern::Plain => Ok(()),
        Pattern::Stripes => canvas.line(&[at], 5.0 * size, PAPER),
        Pattern::Checks => canvas.line(&[at], 4.0 * size, INK),
    }
}

/// The mark of a value that does not exist; `reach` is measured from its centre.
pub(super) fn cross(canvas: &Canvas, (x, y): (f64, f64), reach: f64, colour: Colour) -> Result<(), Error> {
    let (left, right, top, bottom) = (x - reach, x + reach, y - reach, y + reach);
    canvas.line(&[(left, top), (right, bottom)], 1.8, colour)?;
    canvas.line(&[(left, bottom), (right, top)], 1.8, colour)
}
