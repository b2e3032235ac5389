//! From values to positions on an axis, and the positions of the ticks.
//!
//! Positions are fractions of the axis: 0 at its start, 1 at its end. Pixels are not known here.

use super::number;

/// Larger values cannot be distinguished from infinity by the arithmetic of an axis.
const LARGEST: f64 = 1e300;

/// A mark on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Fraction of the axis in [0, 1].
    pub at: f64,
    pub label: String,
}

/// One axis with its range.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scale {
    Linear { min: f64, max: f64, step: f64 },
    Log { min: f64, max: f64 },
}

/// The value if it can be drawn; a value that is too small for an axis counts as zero.
pub(super) fn drawable(value: f64) -> Option<f64> {
    match value.abs() {
        size if size < 1.0 / LARGEST => Some(0.0),
        size if size < LARGEST => Some(value),
        _ => None,
    }
}

impl Scale {
    /// A linear axis from zero to a round number that covers all `values`; it extends below zero only if values do.
    pub fn from_zero(values: impl IntoIterator<Item = f64>) -> Self {
        let (min, max) = range(values).unwrap_or((0.0, 0.0));
        let (mut min, mut max) = (min.min(0.0), max.max(0.0));
        if min == max {
            return Scale::Linear { min: 0.0, max: 1.0, step: 0.2 };
        }
        // Room above the highest value, so that its error bar does not touch the frame.
        let room = 0.03 * (max - min);
        max += if max > 0.0 { room } else { 0.0 };
        min -= if min < 0.0 { room } else { 0.0 };
        let step = nice_step((max - min) / 7.0);
        Scale::Linear { min: (min / step).floor() * step, max: (max / step).ceil() * step, step }
    }

    /// A linear axis that covers exactly all `values`; only its ticks are round numbers.
    pub fn tight(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut min, mut max) = range(values).unwrap_or((0.0, 1.0));
        let size = min.abs().max(max.abs());
        if max - min <= 1e-9 * size || max == min {
            let room = if size == 0.0 { 0.5 } else { 0.1 * size };
            (min, max) = (min - room, max + room);
        }
        Scale::Linear { min, max, step: nice_step((max - min) / 10.0) }
    }

    /// A logarithmic axis between numbers of the series 1, 2, 5, 10 that covers all positive `values`. Without any, a linear
    /// axis from zero.
    pub fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|v| *v > 0.0);
        let Some((min, max)) = range(positive).filter(|(min, _)| *min > 0.0) else {
            return Scale::from_zero([]);
        };
        let (mut low, mut high) = (one_two_five(min, -1), one_two_five(max, 1));
        if low >= high {
            (low, high) = (one_two_five(low * 0.9, -1), one_two_five(high * 1.1, 1));
        }
        Scale::Log { min: low, max: high }
    }

    /// The position of a value, as a fraction of the axis; values outside are moved to the edge.
    pub fn place(&self, value: f64) -> f64 {
        let value = if let Scale::Log { min, .. } = *self { value.max(min) } else { value };
        self.position(value).clamp(0.0, 1.0)
    }

    /// The position of a value, which may be outside; not finite for zero and less on a logarithmic axis.
    pub fn position(&self, value: f64) -> f64 {
        match *self {
            Scale::Linear { min, max, .. } => (value - min) / (max - min),
            // Two separate logarithms, because the quotient of the ends can overflow.
            Scale::Log { min, max } => (value.log10() - min.log10()) / (max.log10() - min.log10()),
        }
    }

    /// The marks with a label, ascending.
    pub fn ticks(&self) -> Vec<Tick> {
        let (values, labels) = match *self {
            Scale::Linear { min, max, step } => {
                let values = multiples(min, max, step);
                let labels = number::tick_labels(&values, step);
                (values, labels)
            }
            // Less than half a decade has too few round numbers of the series 1, 2, 5.
            Scale::Log { min, max } if max / min < 4.0 => {
                let step = nice_step((max - min) / 6.0);
                let values = multiples(min, max, step);
                let labels = number::tick_labels(&values, step);
                (values, labels)
            }
            Scale::Log { min, max } => {
                let values = log_ticks(min, max);
                let labels = values.iter().map(|v| number::single(*v)).collect();
                (values, labels)
            }
        };
        let places = values.iter().map(|value| self.place(*value));
        places.zip(labels).map(|(at, label)| Tick { at, label }).collect()
    }

    /// Positions of fainter lines without a label: the whole numbers of each decade.
    pub fn minor(&self) -> Vec<f64> {
        let Scale::Log { min, max } = *self else {
            return Vec::new();
        };
        let decades = exponent(min)..=exponent(max);
        if decades.clone().count() > 8 {
            return Vec::new();
        }
        decades
            .flat_map(|decade| (1..10).map(move |digit| f64::from(digit) * 10f64.powi(decade)))
            .filter(|value| (min..=max).contains(value))
            .map(|value| self.place(value))
            .collect()
    }
}

/// Smallest and largest drawable value.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter_map(drawable)
        .fold(None, |range, v| Some(range.map_or((v, v), |(a, b): (f64, f64)| (a.min(v), b.max(v)))))
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `rough`, which is positive.
pub(super) fn nice_step(rough: f64) -> f64 {
    one_two_five(rough, 1)
}

/// The neighbour of a positive value in the series 1, 2, 5, 10 …: the next one up or down (`direction` 1 or −1), or the
/// value itself if it is one of them.
fn one_two_five(value: f64, direction: i32) -> f64 {
    let decade = 10f64.powi(exponent(value));
    let digits = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * decade);
    let found = if direction > 0 {
        digits.iter().find(|digit| **digit >= value * (1.0 - 1e-9))
    } else {
        digits.iter().rev().find(|digit| **digit <= value * (1.0 + 1e-9))
    };
    // Rounding in the logarithm can leave the decade only by a tiny amount.
    *found.unwrap_or(&decade)
}

fn exponent(value: f64) -> i32 {
    (value.log10() + 1e-12).floor() as i32
}

/// Multiples of `step` within the range; at most a hundred.
fn multiples(min: f64, max: f64, step: f64) -> Vec<f64> {
    let first = (min / step - 1e-6).ceil();
    let count = ((max / step + 1e-6).floor() - first).clamp(0.0, 100.0) as u32;
    (0..=count).map(|i| (first + f64::from(i)) * step).collect()
}

/// 1, 2, 5 in each decade for up to three and a half decades, otherwise powers of ten, thinned to about ten.
fn log_ticks(min: f64, max: f64) -> Vec<f64> {
    let (first, last) = (exponent(min), exponent(max));
    let fine = max.log10() - min.log10() <= 3.5;
    let every = ((last - first) / 10 + 1) as usize;
    let digits: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
    (first..=last)
        .step_by(every)
        .flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)))
        .filter(|value| *value >= min * 0.999 && *value <= max * 1.001)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn bars_start_at_zero_and_end_on_a_nice_number() {
        let scale = Scale::from_zero([3.0, 9.4]);
        assert_eq!(labels(&scale), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(scale.place(0.0), 0.0);
        assert_eq!(scale.place(10.0), 1.0);
    }

    #[test]
    fn negative_values_extend_the_axis_below_zero() {
        let scale = Scale::from_zero([-3.0, 5.0]);
        assert!(scale.place(-3.0) > 0.0 && scale.place(-3.0) < scale.place(0.0));
    }

    #[test]
    fn log_axis_ends_on_round_numbers() {
        assert_eq!(Scale::log([0.3, 70.0]), Scale::Log { min: 0.2, max: 100.0 });
        let scale = Scale::log([0.3, 7000.0]);
        assert_eq!(labels(&scale), ["1", "10", "100", "1000", "10\u{202f}000"]);
        let narrow = labels(&Scale::log([110.0, 190.0]));
        assert!(narrow.len() > 4, "{narrow:?}");
    }

    #[test]
    fn every_scale_has_ticks_in_order_within_the_axis() {
        let cases: [&[f64]; 9] = [
            &[],
            &[0.0],
            &[f64::NAN, f64::INFINITY],
            &[1e299, -1e299],
            &[5e-324, 1e-310],
            &[1e-250, 1e250],
            &[1e17, 1e17 + 16.0],
            &[-7.0],
            &[5.0],
        ];
        for values in cases {
            let own = || values.iter().copied();
            for scale in [Scale::from_zero(own()), Scale::tight(own()), Scale::log(own())] {
                let ticks = scale.ticks();
                assert!((2..=20).contains(&ticks.len()), "{values:?} {scale:?} {ticks:?}");
                assert!(ticks.is_sorted_by(|a, b| a.at < b.at), "{values:?} {ticks:?}");
                assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
                assert!(ticks.iter().all(|tick| tick.label.chars().count() < 16), "{ticks:?}");
            }
        }
    }
}
