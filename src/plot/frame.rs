//! Everything around the data: title, legend, axes, grid and small print.
//!
//! The words take the space that they need at the top and the bottom of the page; the rest in the middle is for the data.

use super::canvas::Canvas;
use super::group::{Across, Group};
use super::legend::{self, Entry};
use super::palette::{AXIS, Colour, FAINT_GRID, GRID, INK, PAPER, SOFT_INK};
use super::scale::{Scale, Tick};
use super::shapes::{Align, Rect, Turn};
use super::text::Style;
use super::{Error, Figure};

/// Numbers and names along the axes.
pub(super) const TICK: Style = Style::regular(16.0);
const TITLE: Style = Style::bold(26.0);
const SUBTITLE: Style = Style::regular(18.0);
const LABEL: Style = Style::regular(17.0);
const NOTE: Style = Style::regular(15.0);
const NO_DATA: Style = Style::regular(24.0);

/// Distance of everything from the edge of the picture.
const MARGIN: f64 = 24.0;
/// Room on the right for the half of a tick label that extends beyond the axis.
const RIGHT: f64 = 48.0;
/// Distance between the data and a label.
pub(super) const GAP: f64 = 8.0;

/// Height that `Frame::x_axis` needs below the data.
pub(super) fn x_axis_height() -> f64 {
    GAP + TICK.line_height()
}

/// The page after the words have been drawn.
pub(super) struct Frame<'a, 'b> {
    pub canvas: &'a Canvas<'b>,
    /// From left to right the width of the data; from top to bottom the room for the data and for the labels directly above
    /// and below it.
    pub area: Rect,
    y_scale: &'a Scale,
    /// The lines of the y label, none longer than the area is high.
    y_label: Vec<String>,
}

impl<'a, 'b> Frame<'a, 'b> {
    /// Draws title, subtitle, legend, x label and note.
    pub fn new(canvas: &'a Canvas<'b>, figure: &Figure, entries: &[Entry], y_scale: &'a Scale) -> Result<Self, Error> {
        // From the top down.
        let page = canvas.width - 2.0 * MARGIN;
        // Without a title the page has its own space above.
        let mut top = if canvas.has_words { MARGIN } else { 0.0 };
        let head = [("title", &figure.title, TITLE, INK), ("subtitle", &figure.subtitle, SUBTITLE, SOFT_INK)];
        for (class, text, style, colour) in head.into_iter().filter(|_| canvas.has_words) {
            canvas.group(&Group::Words(class), || {
                for line in style.wrap(text, page, 3) {
                    let at = (MARGIN, top + style.line_height() / 2.0);
                    canvas.text(&line, at, style, colour, Align::Left, Turn::None)?;
                    top += style.line_height();
                }
                Ok(())
            })?;
            top += 4.0;
        }
        top = legend::draw(canvas, entries, (MARGIN, top + 6.0), page)? + 16.0;

        // From the bottom up.
        let mut bottom = canvas.height - MARGIN + 6.0;
        let note = figure.note.as_deref().filter(|_| canvas.has_words).unwrap_or("");
        canvas.group(&Group::Words("note"), || {
            for line in NOTE.wrap(note, page, 3).iter().rev() {
                bottom -= NOTE.line_height();
                let at = (MARGIN, bottom + NOTE.line_height() / 2.0);
                canvas.text(line, at, NOTE, SOFT_INK, Align::Left, Turn::None)?;
            }
            Ok(())
        })?;
        bottom -= 8.0;
        let x_label = LABEL.wrap(&figure.x_label, page - 100.0, 2);
        let x_label_bottom = bottom;
        bottom -= LABEL.line_height() * x_label.len() as f64 + GAP;
        let bottom = bottom.max(top + 100.0);

        // From the left to the right.
        let ticks = y_scale.ticks();
        let widest = ticks.iter().map(|tick| TICK.width(&tick.label)).fold(0.0, f64::max);
        let y_label = LABEL.wrap(&figure.y_label, bottom - top, 2);
        let left = MARGIN + LABEL.line_height() * y_label.len() as f64 + GAP + widest + GAP;
        let right = canvas.width - RIGHT;

        canvas.group(&Group::Words("label-x"), || {
            for (i, line) in x_label.iter().rev().enumerate() {
                let half = LABEL.width(line) / 2.0;
                let middle = ((left + right) / 2.0).min(canvas.width - MARGIN - half);
                let at = (middle, x_label_bottom - LABEL.line_height() * (i as f64 + 0.5));
                canvas.text(line, at, LABEL, INK, Align::Centre, Turn::None)?;
            }
            Ok(())
        })?;
        let area = Rect { left, top, right, bottom };
        Ok(Frame { canvas, area, y_scale, y_label })
    }

    /// Draws the horizontal grid and the y axis beside `plot`, the place of the data.
    pub fn y_axis(&self, plot: Rect) -> Result<(), Error> {
        self.canvas.group(&Group::Words("label-y"), || {
            for (i, line) in self.y_label.iter().enumerate() {
                // A label that is taller than the data extends beside the labels above or below.
                let half = LABEL.width(line) / 2.0;
                let middle = ((plot.top + plot.bottom) / 2.0).min(self.area.bottom - half).max(self.area.top + half);
                let x = MARGIN + LABEL.line_height() * (i as f64 + 0.5);
                self.canvas.text(line, (x, middle), LABEL, INK, Align::Centre, Turn::Up)?;
            }
            Ok(())
        })?;
        self.canvas.group(&Group::Axis("axis-y"), || self.levels(plot))
    }

    /// Draws the horizontal grid and the numbers beside it.
    fn levels(&self, plot: Rect) -> Result<(), Error> {
        for at in self.y_scale.minor() {
            self.level(plot, at, FAINT_GRID)?;
        }
        let mut last_label = f64::INFINITY;
        for Tick { at, label } in self.y_scale.ticks() {
            self.level(plot, at, GRID)?;
            let y = plot.bottom - at * plot.height();
            if last_label - y >= TICK.line_height() {
                let place = (plot.left - GAP, y);
                self.canvas.text(&label, place, TICK, SOFT_INK, Align::Right, Turn::None)?;
                last_label = y;
            }
        }
        Ok(())
    }

    /// Draws vertical grid lines and the numbers below; numbers without room are left out.
    pub fn x_axis(&self, plot: Rect, ticks: &[Tick]) -> Result<(), Error> {
        self.canvas.group(&Group::Axis("axis-x"), || self.columns(plot, ticks))
    }

    fn columns(&self, plot: Rect, ticks: &[Tick]) -> Result<(), Error> {
        let mut free = f64::NEG_INFINITY;
        for Tick { at, label } in ticks {
            let x = plot.left + at * plot.width();
            let line = Rect { left: x, right: x + 1.0, ..plot };
            self.canvas.rect(line, GRID)?;
            let half = TICK.width(label) / 2.0;
            // A wide label at the end is moved back onto the page.
            let x = x.min(self.canvas.width - MARGIN / 2.0 - half);
            if x - half >= free {
                let place = (x, plot.bottom + GAP + TICK.line_height() / 2.0);
                self.canvas.text(label, place, TICK, SOFT_INK, Align::Centre, Turn::None)?;
                free = x + half + 10.0;
            }
        }
        Ok(())
    }

    /// Draws what lies between the axes.
    pub fn plot(&self, plot: Rect, across: Across<'_>, draw: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.canvas.group(&Group::Plot(plot, across, self.y_scale), draw)
    }

    /// Draws the edges of the plot; after the data, so that nothing covers them.
    pub fn edges(&self, plot: Rect) -> Result<(), Error> {
        let floor = plot.bottom.round();
        self.canvas.group(&Group::Axis("edges"), || {
            self.canvas.rect(Rect { top: floor, bottom: floor + 1.0, ..plot }, AXIS)?;
            self.canvas.rect(Rect { right: plot.left + 1.0, ..plot }, AXIS)
        })
    }

    /// Writes in the middle of the plot that there is nothing to show.
    pub fn no_data(&self, plot: Rect) -> Result<(), Error> {
        let middle = ((plot.left + plot.right) / 2.0, (plot.top + plot.bottom) / 2.0);
        let half = (NO_DATA.width("no data") / 2.0 + 16.0, 22.0);
        let paper = Rect { left: middle.0 - half.0, top: middle.1 - half.1, right: middle.0 + half.0, bottom: middle.1 + half.1 };
        self.canvas.rect(paper, PAPER)?;
        self.canvas.text("no data", middle, NO_DATA, AXIS, Align::Centre, Turn::None)
    }

    /// A thin horizontal line across the plot.
    fn level(&self, plot: Rect, at: f64, colour: Colour) -> Result<(), Error> {
        let y = plot.bottom - at * plot.height();
        self.canvas.rect(Rect { top: y, bottom: y + 1.0, ..plot }, colour)
    }
}
