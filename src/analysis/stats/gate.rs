//! Many metrics of several comparisons: one metric is the question, and the others are tested only where the first is
//! significant.
//!
//! Over 4 comparisons of 8 metrics each, Holm's correction compares every row with a level of a thirty-second. Most of these
//! rows are not the reason for measuring. With a primary metric, its rows share the level only among themselves.

use super::holm::holm;

/// The tests of one comparison, such as of two variants in one cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// p of the primary metric.
    pub primary: f64,
    /// p of all others, in any order.
    pub others: Vec<f64>,
}

/// Adjusted p values such that the chance of even one false rejection among all tests of all families stays below the
/// significance that they are then compared with; in the order of `families` and of their `others`.
///
/// With P families at significance α: a primary is rejected at α / P (Bonferroni); the others of a family only if its
/// primary is, by [`holm`] at α / P among them. Comparing the adjusted p with α gives exactly these decisions, for any α.
/// Gatekeeping as a graph after Bretz, Maurer, Brannath & Posch 2009, "A graphical approach to sequentially rejective
/// multiple test procedures", where each family keeps its share of α. Holm among the primaries could not be combined with
/// that: a family's share would be spent twice.
///
/// A NaN stands for a test that was not made: it stays NaN and does not count. If the primary is NaN, its others cannot be
/// tested, and are 1.
pub fn gate(families: &[Family]) -> Vec<Family> {
    let asked = families.iter().filter(|family| !family.primary.is_nan()).count() as f64;
    families
        .iter()
        .map(|family| {
            let primary = (family.primary * asked).min(1.0);
            let primary = if family.primary.is_nan() { f64::NAN } else { primary };
            let behind = if primary.is_nan() { 1.0 } else { primary };
            // A NaN on the left of `max` would be swallowed.
            let adjust = |p: f64| if p.is_nan() { p } else { (p * asked).min(1.0).max(behind) };
            Family { primary, others: holm(&family.others).into_iter().map(adjust).collect() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::SeedableRng;

    use super::super::normal::normal_cdf;
    use super::super::reference::normal;
    use super::*;

    /// What is rejected at `alpha`, step by step as the procedure is described.
    fn decided(families: &[Family], alpha: f64) -> Vec<(bool, Vec<bool>)> {
        let share = alpha / families.len() as f64;
        families
            .iter()
            .map(|family| {
                let primary = family.primary < share;
                let mut others = vec![false; family.others.len()];
                let mut order: Vec<usize> = (0..others.len()).collect();
                order.sort_by(|&i, &j| family.others[i].total_cmp(&family.others[j]));
                for (step, &index) in order.iter().enumerate() {
                    if !primary || family.others[index] >= share / (others.len() - step) as f64 {
                        break;
                    }
                    others[index] = true;
                }
                (primary, others)
            })
            .collect()
    }

    #[test]
    fn known_values() {
        let found =
            gate(&[Family { primary: 0.001, others: vec![0.004, 0.0001, 0.5] }, Family { primary: 0.3, others: vec![1e-9] }]);
        assert_eq!(found[0].primary, 0.002);
        assert_eq!(found[0].others, [0.016, 0.002, 1.0]);
        assert_eq!((found[1].primary, &found[1].others[..]), (0.6, &[0.6][..]));
        assert!(gate(&[]).is_empty());
    }

    #[test]
    fn a_test_that_was_not_made_does_not_count() {
        let found =
            gate(&[Family { primary: f64::NAN, others: vec![1e-9] }, Family { primary: 0.01, others: vec![f64::NAN, 0.02] }]);
        assert!(found[0].primary.is_nan() && found[1].others[0].is_nan());
        assert_eq!((found[0].others[0], found[1].primary, found[1].others[1]), (1.0, 0.01, 0.02));
    }

    /// Rows of a family are correlated, some with true differences.
    #[test]
    fn one_false_rejection_is_as_rare_as_asked() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(12);
        let (rounds, alpha) = (if cfg!(debug_assertions) { 4000 } else { 40_000 }, 0.05);
        for rho in [0.0, 0.5f64] {
            for true_primaries in [0, 2, 4] {
                let wrong = (0..rounds).filter(|_| {
                    let mut real = Vec::new();
                    let families: Vec<Family> = (0..4)
                        .map(|family| {
                            let common = normal(&mut rng);
                            let mut p = |effect: f64| {
                                let z: f64 = rho.sqrt() * common + (1.0 - rho).sqrt() * normal(&mut rng) + effect;
                                2.0 * normal_cdf(-z.abs())
                            };
                            let primary = p(if family < true_primaries { 4.0 } else { 0.0 });
                            real.push(family < true_primaries);
                            Family { primary, others: (0..7).map(|_| p(0.0)).collect() }
                        })
                        .collect();
                    let found = gate(&families);
                    let false_one = |(family, real): (&Family, &bool)| {
                        (!real && family.primary < alpha) || family.others.iter().any(|p| *p < alpha)
                    };
                    found.iter().zip(&real).any(false_one)
                });
                let share = wrong.count() as f64 / f64::from(rounds);
                println!("rho {rho}, {true_primaries} true: {share}");
                // Three standard deviations.
                assert!(share <= alpha + 3.0 * (alpha * (1.0 - alpha) / f64::from(rounds)).sqrt(), "{share}");
                assert!(rho > 0.0 || share > 0.8 * alpha * (0.8 + 0.2 * f64::from(true_primaries == 0)), "spent: {share}");
            }
        }
    }

    fn families() -> impl Strategy<Value = Vec<Family>> {
        let p = || (-6.0..=0.0).prop_map(|exponent| libm::pow(10.0, exponent));
        let family = (p(), prop::collection::vec(p(), 0..9)).prop_map(|(primary, others)| Family { primary, others });
        prop::collection::vec(family, 1..9)
    }

    proptest! {
        #[test]
        fn adjusted_p_decides_as_the_procedure(families in families(), exponent in -4.0..-0.4) {
            let alpha = libm::pow(10.0, exponent);
            let found: Vec<(bool, Vec<bool>)> = gate(&families)
                .iter()
                .map(|family| (family.primary < alpha, family.others.iter().map(|p| *p < alpha).collect()))
                .collect();
            prop_assert_eq!(found, decided(&families, alpha));
        }

        #[test]
        fn adjusted_p_is_larger_and_keeps_the_order(families in families()) {
            for (before, after) in families.iter().zip(gate(&families)) {
                prop_assert!(before.primary <= after.primary && after.primary <= 1.0);
                for (i, (p, adjusted)) in before.others.iter().zip(&after.others).enumerate() {
                    prop_assert!(p <= adjusted && after.primary <= *adjusted && *adjusted <= 1.0);
                    for (q, other) in before.others.iter().zip(&after.others).skip(i) {
                        prop_assert!((p <= q) == (adjusted <= other) || adjusted == other);
                    }
                }
            }
        }

        #[test]
        fn a_smaller_p_never_hurts(families in families(), which in 0usize..9, factor in 0.0..1.0) {
            let mut smaller = families.clone();
            let index = which % families.len();
            smaller[index].primary *= factor;
            for (before, after) in gate(&families).iter().zip(gate(&smaller)) {
                prop_assert!(after.primary <= before.primary);
                prop_assert!(after.others.iter().zip(&before.others).all(|(after, before)| after <= before));
            }
        }
    }
}
