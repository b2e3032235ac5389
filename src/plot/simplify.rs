//! Fewer points for a line that looks the same.
//!
//! Pure geometry in pixels.

use super::stroke::Point;

/// How far a line may be from what it stands for, in pixels.
const TOLERANCE: f64 = 0.3;

/// The points of a line that a picture can show: of those in one column of pixels the first, the lowest, the highest and the
/// last (Jugel et al. 2014, "M4"), and of these the ones without which the line would be elsewhere (Douglas and Peucker 1973).
pub(super) fn simplified(points: &[Point]) -> Vec<Point> {
    straightened(&columns(points))
}

/// At most four points for each column of pixels, in their order.
fn columns(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let lowest = (0..column.len()).min_by(by_height).unwrap_or(0);
        let highest = (0..column.len()).max_by(by_height).unwrap_or(0);
        let mut chosen = [0, lowest, highest, column.len() - 1].to_vec();
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|i| column[i]));
    }
    kept
}

/// The points that are further than `TOLERANCE` from the line through the others.
fn straightened(points: &[Point]) -> Vec<Point> {
    let Some(last) = points.len().checked_sub(1) else { return Vec::new() };
    let mut keep = vec![false; points.len()];
    keep[0] = true;
    keep[last] = true;
    let mut stretches = vec![(0, last)];
    while let Some((from, to)) = stretches.pop() {
        let inner = (from + 1)..to;
        let away = |i: &usize| distance(points[*i], points[from], points[to]);
        let Some(furthest) = inner.max_by(|a, b| away(a).total_cmp(&away(b))) else { continue };
        if away(&furthest) > TOLERANCE {
            keep[furthest] = true;
            stretches.extend([(from, furthest), (furthest, to)]);
        }
    }
    points.iter().zip(keep).filter(|(_, keep)| *keep).map(|(point, _)| *point).collect()
}

/// From a point to the segment between two others.
fn distance(point: Point, from: Point, to: Point) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let square = dx * dx + dy * dy;
    let along = if square > 0.0 { ((point.0 - from.0) * dx + (point.1 - from.1) * dy) / square } else { 0.0 };
    let along = along.clamp(0.0, 1.0);
    (point.0 - from.0 - along * dx).hypot(point.1 - from.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_its_ends_and_a_corner_stays() {
        let line: Vec<Point> = (0..100).map(|i| (f64::from(i), 2.0 * f64::from(i))).collect();
        assert_eq!(simplified(&line), [(0.0, 0.0), (99.0, 198.0)]);
        assert_eq!(simplified(&[(0.0, 0.0), (5.0, 0.0), (9.0, 0.0), (9.0, 7.0)]), [(0.0, 0.0), (9.0, 0.0), (9.0, 7.0)]);
    }

    #[test]
    fn nothing_is_further_from_the_line_than_a_pixel_can_show() {
        let line: Vec<Point> = (0..20_000).map(|i| (f64::from(i) / 20.0, (f64::from(i) * 0.37).sin() * 50.0)).collect();
        let few = simplified(&line);
        assert!(few.len() <= 4 * 1000, "{}", few.len());
        for point in line {
            let nearest = few.windows(2).map(|pair| distance(point, pair[0], pair[1])).fold(f64::INFINITY, f64::min);
            assert!(nearest < 1.0, "{point:?} {nearest}");
        }
    }

    #[test]
    fn a_peak_of_one_point_survives() {
        let mut line: Vec<Point> = (0..1000).map(|i| (f64::from(i) / 100.0, 5.0)).collect();
        line[555].1 = -90.0;
        assert!(simplified(&line).contains(&(5.55, -90.0)));
    }

    #[test]
    fn few_points_are_all_there() {
        assert_eq!(simplified(&[]), []);
        assert_eq!(simplified(&[(1.0, 2.0)]), [(1.0, 2.0)]);
        assert_eq!(simplified(&[(1.0, 2.0), (1.0, 2.0)]), [(1.0, 2.0), (1.0, 2.0)]);
    }
}
