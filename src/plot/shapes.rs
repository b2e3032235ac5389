//! Nouns of drawing that every kind of picture shares.
//!
//! Coordinates are pixels of the finished picture, as `f64`, from the top left corner.

/// A rectangle with `left <= right` and `top <= bottom`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    pub fn height(self) -> f64 {
        self.bottom - self.top
    }
}

/// Which part of a text is at the given point. Vertically a line is always centred on its capital letters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Direction of reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// From left to right.
    None,
    /// From bottom to top.
    Up,
}

/// Patterns that distinguish bars and lines when there are more series than colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pattern {
    Plain,
    /// Diagonal stripes in bars, dashes in lines.
    Stripes,
    /// Crossing stripes in bars, dots in lines.
    Checks,
}
