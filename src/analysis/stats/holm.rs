//! Several comparisons at once: of twenty tests at 0.05, one is expected to find a "difference" where there is none.

/// p-values adjusted so that the chance of even one false rejection among all of them stays below the significance that they
/// are then compared with; in the order of `p`.
///
/// Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of k is multiplied by k − i + 1,
/// never smaller than the previous one, at most 1. Needs no independence.
///
/// A NaN stands for a test that was not made: it stays NaN and does not count, as in R's `p.adjust`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&index| !p[index].is_nan()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut highest: f64 = 0.0;
    for (smaller, &index) in order.iter().enumerate() {
        highest = highest.max(p[index] * (order.len() - smaller) as f64);
        adjusted[index] = highest.min(1.0);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::super::reference::{assert_close, numbers, r, samples};
    use super::*;

    #[test]
    fn agrees_with_r() {
        let (samples, r) = (samples(), r());
        for (name, p) in samples["p_values"].as_object().unwrap() {
            let (found, expected) = (holm(&numbers(p)), numbers(&r["holm"][name]));
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(expected) {
                assert_close(name, *found, expected, 1e-14);
            }
        }
    }

    // p.adjust(c(0.01, NA, 0.04, 0.03), "holm")     R 4.2.2
    #[test]
    fn a_test_that_was_not_made_does_not_count() {
        let found = holm(&[0.01, f64::NAN, 0.04, 0.03]);
        assert!(found[1].is_nan());
        assert_eq!([found[0], found[2], found[3]], [0.03, 0.06, 0.06]);
    }
}
