//! Descriptions of one sample by one number. They do not resample; the bootstrap tells how accurate they are.

use std::borrow::Cow;

/// Arithmetic mean of `values`, in their unit.
///
/// The sum is over distances from the first value: the mean of equal values is exactly that value, which a plain sum of
/// decimals such as 0.1 does not give.
///
/// NaN when `values` is empty or contains a NaN.
pub fn mean(values: &[f64]) -> f64 {
    let Some(&origin) = values.first() else { return f64::NAN };
    origin + values.iter().map(|value| value - origin).sum::<f64>() / values.len() as f64
}

/// Median of `values`, in any order, in their unit: the middle value, or half-way between the middle two.
///
/// The same as [`quantile`] at 0.5. Sorted input, which the bootstrap provides, is read in place; other input is copied.
///
/// NaN when `values` is empty or contains a NaN.
pub fn median(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = Cow::Borrowed(values);
    if !values.is_sorted() {
        values.to_mut().sort_unstable_by(f64::total_cmp);
    }
    quantile(&values, 0.5)
}

/// Standard deviation of the population that `values` was drawn from, in their unit.
///
/// Divides by n − 1 (Bessel's correction). Two passes, the second with the correction for a rounded mean of Chan,
/// Golub & LeVeque 1983, "Algorithms for computing the sample variance"; exactly zero for equal values.
///
/// NaN when there are fewer than two values or one of them is NaN.
pub fn standard_deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let count = values.len() as f64;
    let centre = mean(values);
    let (sum, squares) = values.iter().map(|value| value - centre).fold((0.0, 0.0), |(s, q), d| (s + d, q + d * d));
    ((squares - sum * sum / count) / (count - 1.0)).sqrt()
}

/// Standard deviation as a share of the mean's magnitude, without unit: 0.05 is a spread of 5 %.
///
/// Only meaningful for quantities with a true zero, such as durations, sizes and rates.
///
/// NaN when there are fewer than two values or their mean is zero.
pub fn coefficient_of_variation(values: &[f64]) -> f64 {
    let centre = mean(values);
    if centre == 0.0 { f64::NAN } else { standard_deviation(values) / centre.abs() }
}

/// Quantile of a few values, in their unit, interpolated between the two neighbours.
///
/// `sorted`: ascending. `q`: in [0, 1]; 0 is the smallest value, 1 the largest.
/// Hyndman & Fan 1996, "Sample quantiles in statistical packages", type 7: the default of R and NumPy. For repetitions,
/// where there are few values and the gap between two is not itself of interest; for requests see [`observed_quantile`].
///
/// NaN when `sorted` is empty or `q` is outside [0, 1].
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    debug_assert!(sorted.is_sorted(), "quantile of values that are not in ascending order");
    if sorted.is_empty() || !(0.0..=1.0).contains(&q) {
        return f64::NAN;
    }
    let last = sorted.len() - 1;
    let position = last as f64 * q;
    let below = (position as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    let share = position - below as f64;
    // Between equal neighbours, infinite ones too, there is nothing to interpolate.
    if share == 0.0 || low == high { low } else { (low + share * (high - low)).min(high) }
}

/// Quantile of many values, in their unit, that is itself one of the values: the smallest value that at least a share `q` of
/// all values does not exceed.
///
/// `sorted`: ascending. `q`: in [0, 1].
/// Inverse empirical CDF (Hyndman & Fan 1996, type 1): every reported response time was observed. Like R's `quantile`, it
/// allows `q · n` four units of rounding, so that 0.07 of 100 values is the 7th and not the 8th.
///
/// NaN when `sorted` is empty or `q` is outside [0, 1].
pub fn observed_quantile(sorted: &[f64], q: f64) -> f64 {
    debug_assert!(sorted.is_sorted(), "quantile of values that are not in ascending order");
    if sorted.is_empty() || !(0.0..=1.0).contains(&q) {
        return f64::NAN;
    }
    let position = sorted.len() as f64 * q;
    let rank = (position - 4.0 * f64::EPSILON * position).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPETITIONS: [f64; 12] = [101.2, 99.8, 103.5, 98.7, 100.4, 102.9, 97.6, 100.9, 104.1, 99.3, 101.8, 100.1];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-13 * expected.abs(), "found {found:?}, expected {expected:?}");
    }

    // x = [101.2, 99.8, 103.5, 98.7, 100.4, 102.9, 97.6, 100.9, 104.1, 99.3, 101.8, 100.1]
    // np.mean(x), np.median(x), np.std(x, ddof=1), scipy.stats.variation(x, ddof=1)     numpy 2.4.6, scipy 1.17.1
    #[test]
    fn agrees_with_numpy() {
        close(mean(&REPETITIONS), 100.85833333333333);
        close(median(&REPETITIONS), 100.65);
        close(standard_deviation(&REPETITIONS), 1.960268225307832);
        close(coefficient_of_variation(&REPETITIONS), 0.019435857806902407);
    }

    // [(q, np.quantile(x, q, method="linear"), np.quantile(x, q, method="inverted_cdf")) for q in ...]
    #[test]
    fn quantiles_agree_with_numpy() {
        let mut sorted = REPETITIONS;
        sorted.sort_by(f64::total_cmp);
        for (q, interpolated, observed) in [
            (0.0, 97.6, 97.6),
            (0.01, 97.72099999999999, 97.6),
            (0.05, 98.205, 97.6),
            (0.25, 99.675, 99.3),
            (0.5, 100.65, 100.4),
            (0.75, 102.075, 101.8),
            (0.9, 103.44, 103.5),
            (0.99, 104.03399999999999, 104.1),
            (1.0, 104.1, 104.1),
        ] {
            close(quantile(&sorted, q), interpolated);
            assert_eq!(observed_quantile(&sorted, q), observed, "q = {q}");
        }
    }

    #[test]
    fn observed_quantile_is_not_moved_by_rounding() {
        let ranks: Vec<f64> = (1..=100).map(f64::from).collect();
        for percent in 1..=100 {
            assert_eq!(observed_quantile(&ranks, f64::from(percent) / 100.0), f64::from(percent));
        }
    }

    #[test]
    fn undefined_is_nan() {
        for undefined in [
            mean(&[]),
            median(&[]),
            median(&[1.0, f64::NAN]),
            standard_deviation(&[1.0]),
            coefficient_of_variation(&[-1.0, 1.0]),
            quantile(&[], 0.5),
            quantile(&[1.0], 1.1),
            quantile(&[1.0], f64::NAN),
            observed_quantile(&[], 0.5),
            observed_quantile(&[1.0], -0.1),
        ] {
            assert!(undefined.is_nan());
        }
    }

    #[test]
    fn a_large_offset_does_not_drown_the_spread() {
        close(standard_deviation(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]), 30f64.sqrt());
    }

    proptest! {
        #[test]
        fn equal_values_have_no_spread(value in -1e12..1e12, count in 2usize..50) {
            let values = vec![value; count];
            prop_assert_eq!((mean(&values), median(&values), standard_deviation(&values)), (value, value, 0.0));
        }

        #[test]
        fn quantiles_ascend_and_stay_within_the_values(
            mut values in prop::collection::vec(-1e6..1e6, 1..60), one in 0.0..=1.0, other in 0.0..=1.0,
        ) {
            values.sort_by(f64::total_cmp);
            let (lower, upper) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(quantile(&values, lower) <= quantile(&values, upper));
            prop_assert!(observed_quantile(&values, lower) <= observed_quantile(&values, upper));
            prop_assert!(values[0] <= quantile(&values, lower) && quantile(&values, upper) <= values[values.len() - 1]);
            prop_assert!(values.contains(&observed_quantile(&values, one)));
        }

        #[test]
        fn median_does_not_depend_on_order(values in prop::collection::vec(-1e6..1e6, 1..60)) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(median(&values), quantile(&sorted, 0.5));
        }
    }
}
