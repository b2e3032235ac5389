//! Several tests of one hypothesis on the same data, combined into one p.

use std::f64::consts::PI;

/// One p from several that need not be independent, such as those of a test of means and a test of ranks of one sample.
///
/// atan2(1, T) / π with T the mean of cot(π min(pᵢ, ½)): the Cauchy combination of Liu & Xie 2020, "Cauchy combination
/// test: a powerful test with analytic p-value calculation under arbitrary dependency structures", cut at ½ as in Fang,
/// Tang, Park & Tseng 2023, "Heavy-tailed distribution for combining dependent p-values": without the cut, a p near 1
/// would outweigh any small one. The result is nearly the reciprocal of the mean of 1/pᵢ: never below the smallest, at most
/// ½, and k times the smallest when only that one of k is small.
///
/// A NaN stands for a test that was not made, and does not count; NaN when none was made. 0 only where 1/p overflows.
pub fn combined_p(p: &[f64]) -> f64 {
    let made = p.iter().filter(|p| !p.is_nan());
    let count = made.clone().count();
    if count == 0 {
        return f64::NAN;
    }
    // Divided one by one: the sum of large cotangents might overflow. cot(π/2) is 0, which the tangent misses by
    // rounding.
    let cotangent = |&p: &f64| if p >= 0.5 { 0.0 } else { 1.0 / libm::tan(PI * p) / count as f64 };
    libm::atan2(1.0, made.map(cotangent).sum()) / PI
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(p: &[f64], expected: f64, tolerance: f64) {
        let found = combined_p(p);
        assert!((found - expected).abs() <= tolerance * expected, "{p:?}: found {found:?}, expected {expected:?}");
    }

    // np.arctan2(1, np.mean(1 / np.tan(np.pi * np.minimum(p, 0.5)))) / np.pi     numpy 2.4.6
    #[test]
    fn known_values() {
        close(&[0.01, 0.01], 0.01, 1e-13);
        close(&[0.001, 0.2], 0.0019913697, 5e-8);
        close(&[1e-9, 2.0 / 252.0], 1.999999748e-9, 5e-10);
        close(&[0.03, 1.0], 0.0594763149, 5e-9);
        assert_eq!(combined_p(&[0.6, 0.7]), 0.5);
    }

    #[test]
    fn one_alone_is_itself_up_to_the_cut() {
        close(&[0.123], 0.123, 1e-14);
        assert_eq!(combined_p(&[0.9]), 0.5);
        assert_eq!(combined_p(&[0.03, f64::NAN]), combined_p(&[0.03]));
        assert!(combined_p(&[]).is_nan() && combined_p(&[f64::NAN]).is_nan());
    }

    #[test]
    fn the_ends_of_the_range() {
        close(&[1e-300], 1e-300, 1e-13);
        close(&[1e-300, 1.0, 0.5, 0.7], 4e-300, 1e-13);
        close(&[1e-300, 1e-300], 1e-300, 1e-13);
        assert_eq!(combined_p(&[0.0, 1.0]), 0.0);
        assert_eq!(combined_p(&[1.0, 1.0]), 0.5);
    }

    proptest! {
        #[test]
        fn lies_between_the_smallest_and_so_many_times_it(exponents in prop::collection::vec(-300.0..=0.0, 1..5)) {
            let p: Vec<f64> = exponents.iter().map(|exponent| libm::pow(10.0, *exponent)).collect();
            let smallest = p.iter().copied().fold(1.0, f64::min);
            let found = combined_p(&p);
            prop_assert!(found >= smallest.min(0.5) * (1.0 - 1e-12) && found <= 0.5);
            prop_assert!(found <= p.len() as f64 * smallest * (1.0 + 1e-12));
        }
    }
}
