//! What a group of shapes stands for: a series, a value, an axis.
//!
//! A picture of pixels ignores it. In SVG it becomes classes and data attributes, which scripts of a page read.

use super::scale::Scale;
use super::shapes::Rect;

/// A group of shapes.
#[derive(Debug)]
pub(super) enum Group<'a> {
    /// Words around the data, by their class: `title`, `subtitle`, `note`.
    Words(&'static str),
    /// An entry of the legend, and the number of its series if it stands for one.
    Legend(Option<usize>),
    /// Numbers, names and grid of an axis, by their class: `axis-x`, `axis-y`.
    Axis(&'static str),
    /// What lies between the axes.
    Plot(Rect, Across<'a>, &'a Scale),
    /// Shapes of one value, or of one line.
    Mark(Mark<'a>),
}

/// The x axis of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Across<'a> {
    /// Names of levels; each mark says which.
    Names,
    /// Numbers.
    Scale(&'a Scale),
    /// Quantiles q by log10(1 / (1 − q)), from 0 to this number.
    Nines(f64),
}

/// One value or line, as it is shown when a reader points at it.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark<'a> {
    /// Its class, such as `bar`.
    pub kind: &'static str,
    /// The number of its series.
    pub series: Option<usize>,
    /// Where it stands on the x axis.
    pub x: Option<&'a str>,
    /// Its value, in the unit of the y axis.
    pub y: Option<f64>,
    /// The ends of its interval, in the same unit.
    pub interval: Option<(f64, f64)>,
    /// Which of several lines of a series.
    pub line: Option<&'a str>,
}

impl<'a> Mark<'a> {
    /// A mark of one of the series.
    pub fn of(series: usize, kind: &'static str) -> Self {
        Mark { kind, series: Some(series), ..Mark::default() }
    }

    /// A mark that belongs to no series.
    pub fn alone(kind: &'static str) -> Self {
        Mark { kind, ..Mark::default() }
    }

    pub fn at(self, x: &'a str) -> Self {
        Mark { x: Some(x), ..self }
    }

    pub fn value(self, y: f64) -> Self {
        Mark { y: Some(y), ..self }
    }

    pub fn between(self, low: f64, high: f64) -> Self {
        Mark { interval: Some((low, high)), ..self }
    }

    pub fn line(self, line: &'a str) -> Self {
        Mark { line: Some(line), ..self }
    }
}
