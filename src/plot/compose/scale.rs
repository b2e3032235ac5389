//! Which scale the y axis of a graph has.

use super::Composer;
use vocabulary::choices::Axis;

/// If the largest value is more than this many times the smallest, a linear axis shows nothing of the smaller ones: two
/// decades.
const WIDE: f64 = 100.0;

impl Composer<'_> {
    /// Whether the y axis is logarithmic: if the graph says so, or says nothing and the values need it.
    pub(super) fn is_log(&self, values: impl Iterator<Item = f64>) -> bool {
        match self.graph.y {
            Some(axis) => axis == Axis::Log,
            None => is_wide(values),
        }
    }
}

/// Whether finite values, all of them positive, span more than two decades.
fn is_wide(values: impl Iterator<Item = f64>) -> bool {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.filter(|value| value.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    low > 0.0 && high > WIDE * low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(values: &[f64]) -> bool {
        is_wide(values.iter().copied())
    }

    #[test]
    fn more_than_two_decades_are_wide() {
        assert!(wide(&[1.0, 101.0]) && !wide(&[1.0, 100.0]));
        assert!(wide(&[f64::NAN, 2.0, f64::INFINITY, 0.01]));
    }

    #[test]
    fn zero_has_no_place_on_a_logarithmic_axis() {
        assert!(!wide(&[0.0, 1.0, 1000.0]) && !wide(&[-1.0, 1000.0]));
        assert!(!wide(&[]) && !wide(&[f64::NAN]) && !wide(&[5.0]));
    }
}
