//! Values that are far from the rest, to be marked; never to be dropped silently.

use super::descriptive::{mean, quantile};

/// A normal distribution's outer fence, in standard deviations from its centre: 7 · 0.6745.
const FENCE: f64 = 4.721_428_251_372_572;

/// Which values are far from the rest: their positions in `sample`, ascending.
///
/// Tukey 1977, "Exploratory Data Analysis", ch. 2: those "far out", more than three interquartile distances beyond the
/// quartiles (type 7). Chosen over the modified z-score of Iglewicz & Hoaglin 1993 with its limit of 3.5, which marks too
/// many values with the few repetitions that are usual here: of normal samples of 5, 10 and 20 it marks a value in 20, 12
/// and 10 of 100, the fences in 13, 5 and 2; of lognormal ones (σ = 0.5) of 20 in 44 against 19 (simulated). The price: two
/// extreme values hide each other among fewer than 9, where they might as well be called a second level.
///
/// When half of the values are equal, the interquartile distance may be 0; the mean distance from the median / 0.7979 then
/// takes the place of a standard deviation, and the fence is where it is for normal values, at 4.72 of them. So one step of
/// a coarse clock is not an outlier when it is common, but is when it happened once in twenty.
///
/// Fewer than 4 values have no outliers. Values that are not finite always are.
pub fn outliers(sample: &[f64]) -> Vec<usize> {
    let mut sorted: Vec<f64> = sample.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let limits = (sorted.len() >= 4).then(|| limits(&sorted));
    let apart = |value: f64| !value.is_finite() || limits.is_some_and(|(low, high)| value < low || value > high);
    (0..sample.len()).filter(|&index| apart(sample[index])).collect()
}

/// The lowest and highest value that is not an outlier.
fn limits(sorted: &[f64]) -> (f64, f64) {
    let [low, centre, high] = [0.25, 0.5, 0.75].map(|q| quantile(sorted, q));
    if low < high {
        return (low - 3.0 * (high - low), high + 3.0 * (high - low));
    }
    let distances: Vec<f64> = sorted.iter().map(|value| (value - centre).abs()).collect();
    let reach = FENCE * mean(&distances) / 0.797_884_560_802_865_4;
    (centre - reach, centre + reach)
}

#[cfg(test)]
mod tests {
    use super::super::reference::{numbers, pairs, python, samples};
    use super::*;

    /// The fences of NumPy's quartiles; nothing is compared where those are equal.
    #[test]
    fn agrees_with_numpy() {
        let (python, samples) = (python(), samples());
        let expected = python["outliers"].as_object().unwrap();
        let found = |name: &str, values: &[f64]| {
            let expected: Vec<usize> = numbers(&expected[name]).into_iter().map(|at| at as usize).collect();
            assert_eq!(outliers(values), expected, "{name}");
        };
        for (name, values) in samples["series"].as_object().unwrap().iter().filter(|(name, _)| expected.contains_key(*name)) {
            found(name, &numbers(values));
        }
        for (name, a, b) in pairs().into_iter().filter(|(name, ..)| expected.contains_key(name)) {
            found(&name, &[a, b].concat());
        }
        assert!(expected.len() >= 30 && expected.values().any(|at| at != &serde_json::json!([])));
    }

    #[test]
    fn one_of_few_and_two_of_more() {
        assert_eq!(outliers(&[10.1, 10.4, 60.0, 9.9, 10.2]), [2]);
        assert_eq!(outliers(&[50.0, 10.1, 10.4, 9.9, 10.2, 60.0, 10.0, 10.3, 9.8, 10.2]), [0, 5]);
        assert_eq!(outliers(&[10.1, 10.4, 9.9, 10.2, 10.0]), [0usize; 0]);
    }

    #[test]
    fn a_coarse_clock() {
        assert_eq!(outliers(&[5.0; 20]), [0usize; 0]);
        assert_eq!(outliers(&[5.0, 5.0, 5.0, 6.0, 5.0, 5.0, 4.0, 5.0, 6.0, 5.0]), [0usize; 0]);
        let mut once = [5.0; 20];
        once[7] = 6.0;
        assert_eq!(outliers(&once), [7]);
    }

    #[test]
    fn few_and_not_finite() {
        assert_eq!(outliers(&[]), [0usize; 0]);
        assert_eq!(outliers(&[1.0, 1.0, 100.0]), [0usize; 0]);
        assert_eq!(outliers(&[1.0, f64::NAN, f64::INFINITY]), [1, 2]);
    }
}
