//! Which pixels a line covers, and how it is cut into dashes.
//!
//! Pure geometry in pixels of any size; colour and blending are not known here.

pub(super) type Point = (f64, f64);

/// The covered pixels of one line, within the smallest rectangle that contains the line.
pub(super) struct Mask {
    left: usize,
    top: usize,
    width: usize,
    covered: Vec<bool>,
}

impl Mask {
    /// A line `width` wide through `points`, with round ends and corners; a single point gives a disc. Anything outside of
    /// `size` (width, height) is left out.
    pub fn line(points: &[Point], width: f64, size: (u32, u32)) -> Self {
        let radius = width / 2.0;
        let span = |values: &mut dyn Iterator<Item = f64>, limit: u32| {
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
            let edge = |v: f64| v.clamp(0.0, f64::from(limit)) as usize;
            (edge((low - radius).floor()), edge((high + radius).ceil()))
        };
        let (left, right) = span(&mut points.iter().map(|p| p.0), size.0);
        let (top, bottom) = span(&mut points.iter().map(|p| p.1), size.1);
        let (width, height) = (right.saturating_sub(left), bottom.saturating_sub(top));
        let mut mask = Mask { left, top, width, covered: vec![false; width * height] };
        for (i, from) in points.iter().enumerate() {
            if i == 0 || i + 1 < points.len() {
                mask.stretch(*from, *points.get(i + 1).unwrap_or(from), radius);
            }
        }
        mask
    }

    /// The covered pixels, each once.
    pub fn pixels(&self) -> impl Iterator<Item = (i32, i32)> {
        // A thin line covers little of its rectangle: empty parts are skipped in pieces.
        const PIECE: usize = 64;
        let pieces = self.covered.chunks(PIECE).enumerate().filter(|(_, piece)| piece.iter().fold(false, |any, one| any | one));
        let of = |(at, piece): (usize, &'_ [bool])| -> Vec<usize> {
            piece.iter().enumerate().filter(|(_, covered)| **covered).map(|(i, _)| at * PIECE + i).collect()
        };
        pieces.flat_map(of).map(|i| ((self.left + i % self.width) as i32, (self.top + i / self.width) as i32))
    }

    /// Marks all pixels that are at most `radius` from the segment between two points.
    fn stretch(&mut self, from: Point, to: Point, radius: f64) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy);
        let inside = |v: f64, low: usize, size: usize| v.clamp(low as f64, (low + size) as f64) as usize;
        let rows = self.covered.len().checked_div(self.width).unwrap_or(0);
        let first = inside((from.1.min(to.1) - radius).floor(), self.top, rows);
        let last = inside((from.1.max(to.1) + radius).ceil(), self.top, rows);
        for row in first..last {
            let y = row as f64 + 0.5;
            // Only the pixels near the line in this row need to be checked.
            let (mut left, mut right) = (from.0.min(to.0) - radius, from.0.max(to.0) + radius);
            if dy.abs() > 1e-9 {
                let (middle, reach) = (from.0 + (y - from.1) * dx / dy, radius * length / dy.abs());
                (left, right) = (left.max(middle - reach), right.min(middle + reach));
            }
            let left = inside(left.floor(), self.left, self.width);
            let right = inside(right.ceil(), self.left, self.width);
            for column in left..right {
                let x = column as f64 + 0.5;
                let along = if length > 0.0 {
                    (((x - from.0) * dx + (y - from.1) * dy) / (length * length)).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let (near_x, near_y) = (from.0 + along * dx, from.1 + along * dy);
                if is_within((x - near_x, y - near_y), radius) {
                    self.covered[(row - self.top) * self.width + column - self.left] = true;
                }
            }
        }
    }
}

/// Whether a vector is at most `radius` long. Usually its square is enough; where rounding might decide, the length itself
/// is computed, which takes four times as long.
fn is_within((dx, dy): Point, radius: f64) -> bool {
    let (square, limit) = (dx * dx + dy * dy, radius * radius);
    if (square - limit).abs() > 1e-9 * limit { square < limit } else { dx.hypot(dy) <= radius }
}

/// Cuts a line into dashes; `dash` and `gap` are lengths along it, greater than zero.
pub(super) fn dashes(points: &[Point], dash: f64, gap: f64) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, dash);
    for pair in points.windows(2) {
        let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
        let length = (to_x - x).hypot(to_y - y);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let at = (x + (to_x - x) * done / length, y + (to_y - y) * done / length);
            piece.push(at);
            let finished = std::mem::replace(&mut piece, vec![at]);
            if drawing {
                pieces.push(finished);
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length - done;
        piece.push((to_x, to_y));
    }
    if drawing && !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_covers_its_width_once() {
        let mask = Mask::line(&[(2.0, 5.0), (12.0, 5.0), (2.0, 5.0)], 2.0, (20, 20));
        let rows: Vec<i32> = mask.pixels().filter(|p| p.0 == 6).map(|p| p.1).collect();
        assert_eq!(rows, [4, 5]);
    }

    #[test]
    fn a_single_point_is_a_disc() {
        let count = Mask::line(&[(10.0, 10.0)], 10.0, (20, 20)).pixels().count();
        assert!((70..90).contains(&count), "{count}");
    }

    #[test]
    fn nothing_outside_the_picture_and_nothing_from_nothing() {
        let mask = Mask::line(&[(-50.0, -80.0), (90.0, 70.0)], 3.0, (20, 20));
        assert!(mask.pixels().all(|(x, y)| (0..20).contains(&x) && (0..20).contains(&y)));
        assert_eq!(Mask::line(&[], 3.0, (20, 20)).pixels().count(), 0);
        assert_eq!(Mask::line(&[(-9.0, -9.0)], 3.0, (20, 20)).pixels().count(), 0);
    }

    #[test]
    fn dashes_go_on_around_corners() {
        let pieces = dashes(&[(0.0, 0.0), (3.0, 0.0), (3.0, 5.0)], 4.0, 2.0);
        assert_eq!(pieces, [vec![(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)], vec![(3.0, 3.0), (3.0, 5.0)]]);
    }
}
