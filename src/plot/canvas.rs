//! What a picture is drawn on, and the few shapes that a figure needs.
//!
//! Coordinates are pixels of the finished picture, as `f64`, from the top left corner. The meaning of the shapes is not known
//! here; what a group of them stands for is said in passing, for pictures that can keep it.

use super::Error;
use super::group::Group;
use super::palette::Colour;
use super::shapes::{Align, Pattern, Rect, Turn};
use super::stroke::Point;
use super::text::Style;

/// A kind of picture: how each shape gets into it.
pub(super) trait Paper {
    /// A filled rectangle; its edges are whole numbers.
    fn rect(&self, rect: Rect, colour: Colour) -> Result<(), Error>;
    /// Stripes over a rectangle; nothing for the plain pattern.
    fn hatch(&self, rect: Rect, pattern: Pattern, colour: Colour) -> Result<(), Error>;
    /// A line with round ends and corners; a single point is a disc, as wide as the line.
    fn line(&self, points: &[Point], width: f64, colour: Colour) -> Result<(), Error>;
    /// The same line in pieces: lengths of a piece, without its round ends, and of the gap to the next.
    fn dashes(&self, points: &[Point], width: f64, colour: Colour, lengths: (f64, f64)) -> Result<(), Error>;
    /// A filled circle with an outline of one pixel inside `radius`.
    fn dot(&self, centre: Point, radius: f64, fill: Colour, rim: Colour) -> Result<(), Error>;
    /// One line of text.
    fn text(&self, text: &str, at: Point, style: Style, colour: Colour, align: Align, turn: Turn) -> Result<(), Error>;
    /// What the shapes until the matching `close` stand for.
    fn open(&self, _group: &Group<'_>) {}
    /// The end of the group that was opened last.
    fn close(&self, _group: &Group<'_>) {}
}

/// The picture while it is being drawn.
pub(super) struct Canvas<'a> {
    pub width: f64,
    pub height: f64,
    /// Whether title, subtitle and small print are part of the picture.
    pub has_words: bool,
    paper: &'a dyn Paper,
}

impl<'a> Canvas<'a> {
    pub fn new((width, height): (u32, u32), has_words: bool, paper: &'a dyn Paper) -> Self {
        Canvas { width: f64::from(width), height: f64::from(height), has_words, paper }
    }
}

impl Canvas<'_> {
    /// A filled rectangle whose edges are on whole pixels, at least one pixel wide and high.
    pub fn rect(&self, rect: Rect, colour: Colour) -> Result<(), Error> {
        let [left, top, right, bottom] = [rect.left, rect.top, rect.right, rect.bottom].map(f64::round);
        self.paper.rect(Rect { left, top, right: right.max(left + 1.0), bottom: bottom.max(top + 1.0) }, colour)
    }

    /// Stripes over a rectangle; nothing for the plain pattern.
    pub fn hatch(&self, rect: Rect, pattern: Pattern, colour: Colour) -> Result<(), Error> {
        self.paper.hatch(rect, pattern, colour)
    }

    /// A line through `points` with round ends and corners; a single point is a disc.
    pub fn line(&self, points: &[Point], width: f64, colour: Colour) -> Result<(), Error> {
        self.paper.line(points, width, colour)
    }

    /// A line with gaps: dashes for stripes, dots for checks.
    pub fn patterned(&self, points: &[Point], width: f64, colour: Colour, pattern: Pattern) -> Result<(), Error> {
        match pattern {
            Pattern::Plain => self.paper.line(points, width, colour),
            Pattern::Stripes => self.paper.dashes(points, width, colour, (8.0, 6.0 + width)),
            Pattern::Checks => self.paper.dashes(points, width, colour, (0.5, 5.5 + width)),
        }
    }

    /// A filled circle with an outline of one pixel.
    pub fn dot(&self, centre: Point, radius: f64, fill: Colour, rim: Colour) -> Result<(), Error> {
        self.paper.dot(centre, radius, fill, rim)
    }

    /// One line of text at `point`.
    pub fn text(&self, text: &str, at: Point, style: Style, colour: Colour, align: Align, turn: Turn) -> Result<(), Error> {
        self.paper.text(text, at, style, colour, align, turn)
    }

    /// Draws what belongs together.
    pub fn group(&self, group: &Group<'_>, draw: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        self.paper.open(group);
        let drawn = draw();
        self.paper.close(group);
        drawn
    }
}
