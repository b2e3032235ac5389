use proptest::prelude::*;

use super::super::ranks::{hodges_lehmann, hodges_lehmann_shift, smallest_p};
use super::super::reference::{assert_close, pairs};
use super::*;

/// Two-sided p of a signed rank, from all 2ⁿ signs. Zeros keep their ranks and have no sign.
fn by_all_signs(differences: &[f64]) -> f64 {
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let ranks = doubled_midranks(&sizes).0;
    let signed: Vec<usize> = ranks.iter().zip(differences).filter(|(_, d)| **d != 0.0).map(|(rank, _)| *rank).collect();
    let all: i64 = signed.iter().map(|&rank| rank as i64).sum();
    let observed: i64 = ranks.iter().zip(differences).filter(|(_, d)| **d > 0.0).map(|(&rank, _)| rank as i64).sum();
    let far = (0u32..1 << signed.len()).filter(|signs| {
        let sum: i64 = signed.iter().enumerate().filter(|(i, _)| signs >> i & 1 == 1).map(|(_, &rank)| rank as i64).sum();
        (2 * sum - all).abs() >= (2 * observed - all).abs()
    });
    far.count() as f64 / f64::from(1u32 << signed.len())
}

#[test]
fn rank_sum_at_zero_is_mann_whitney() {
    for (name, a, b) in pairs() {
        let (found, expected) = (RankSum::new(&a, &b).p(0.0), mann_whitney(&a, &b).unwrap());
        // With ties one tail may be empty.
        let least = smallest_p(a.len(), b.len());
        assert!(
            (found / expected.p.max(least) - 1.0).abs() < 1e-11 || a.len() * b.len() > TIED_PAIRS,
            "{name}: {found} {}",
            expected.p
        );
    }
}

#[test]
fn many_ties_are_judged_nearly_as_by_counting() {
    use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::SeedableRng};
    for (seed, levels) in (0..40).flat_map(|seed| [(seed, 2.0), (seed, 3.0), (seed, 8.0), (seed, 30.0)]) {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let shift = 0.012 * seed as f64;
        let mut draw =
            |shift: f64| (super::super::reference::uniform(&mut rng) * (1.0 - shift) * levels + shift * levels).floor();
        let (a, b): (Vec<f64>, Vec<f64>) = (0..45).map(|_| (draw(0.0), draw(shift))).unzip();
        let (found, exact) = (RankSum::new(&a, &b).p(0.0), mann_whitney(&a, &b).unwrap());
        assert!(exact.exact);
        // Three levels have a coarser lattice than their ranks suggest.
        let (least, most) = if levels == 30.0 { (0.995, 1.005) } else { (0.75, 1.35) };
        assert!(exact.p < 1e-5 || (least..most).contains(&(found / exact.p)), "{levels}: {found}, counted {}", exact.p);
    }
}

#[test]
fn far_apart_is_the_smallest_p() {
    for (n, m) in [(5, 5), (30, 7), (100, 100), (70, 80)] {
        let a: Vec<f64> = (0..n).map(f64::from).collect();
        let b: Vec<f64> = (0..m).map(|i| 1000.0 + f64::from(i)).collect();
        assert_close("p", RankSum::new(&a, &b).p(0.0) / smallest_p(n as usize, m as usize), 1.0, 1e-12);
        // Ties within samples do not matter then.
        let tied = RankSum::new(&vec![1.0; n as usize], &vec![2.0; m as usize]).p(0.0);
        assert!(tied >= smallest_p(n as usize, m as usize) * (1.0 - 1e-12) && tied < 1e-3 + smallest_p(n as usize, m as usize));
    }
    assert_eq!(SignedRank::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]).p(0.0), 2.0 / 256.0);
    assert_eq!(SignedRank::new(&[3.0; 8]).p(0.0), 2.0 / 256.0);
    assert_eq!(SignedRank::new(&[0.0; 8]).p(0.0), 1.0);
    assert_eq!(RankSum::new(&[0.0; 50], &[0.0; 50]).p(0.0), 1.0);
}

#[test]
fn many_values_are_approximated() {
    let a: Vec<f64> = (0..150).map(|i| f64::from(i * 37 % 151)).collect();
    let b: Vec<f64> = (0..120).map(|i| f64::from(i * 29 % 121) + 40.5).collect();
    let (found, expected) = (RankSum::new(&a, &b), mann_whitney(&a, &b).unwrap());
    assert_close("p", found.p(0.0) / expected.p, 1.0, 1e-9);
    assert_eq!(found.null.tails.is_none(), !expected.exact);
}

// scipy.stats.wilcoxon(d, method="exact").pvalue     scipy 1.17.1
#[test]
fn signed_rank_agrees_with_scipy() {
    let d = [1.83, -0.5, 1.62, 2.48, -1.68, 1.88, 1.55, 3.06, 1.3];
    assert_close("p", SignedRank::new(&d).p(0.0), 0.0546875, 1e-14);
}

proptest! {
    #[test]
    fn signed_rank_counts_all_signs(values in prop::collection::vec(-4..5i32, 1..11)) {
        let differences: Vec<f64> = values.into_iter().map(f64::from).collect();
        let (found, expected) = (SignedRank::new(&differences).p(0.0), by_all_signs(&differences));
        prop_assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn a_shift_is_a_shift(
        a in prop::collection::vec(0.0..9.0, 1..25), b in prop::collection::vec(0.0..9.0, 1..25), shift in -3.0..3.0,
    ) {
        let moved: Vec<f64> = b.iter().map(|value| value - shift).collect();
        prop_assert_eq!(RankSum::new(&a, &b).p(shift), RankSum::new(&a, &moved).p(0.0));
        let moved: Vec<f64> = a.iter().map(|value| value - shift).collect();
        prop_assert_eq!(SignedRank::new(&a).p(shift), SignedRank::new(&moved).p(0.0));
    }

    #[test]
    fn estimates_are_those_of_the_rank_tests(a in prop::collection::vec(0.0..9.0, 1..25), b in prop::collection::vec(0.0..9.0, 1..25)) {
        assert_close("shift", RankSum::new(&a, &b).estimate(), hodges_lehmann_shift(&a, &b, 0.9).unwrap().estimate, 1e-13);
        assert_close("centre", SignedRank::new(&a).estimate(), hodges_lehmann(&a), 1e-13);
    }
}
