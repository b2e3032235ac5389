//! Two samples compared within strata: repetitions on several nodes, of which each executed whole rounds. What a node does to both
//! sides alike cancels out, however much nodes differ.
//!
//! Ranks by van Elteren 1960, "On the combination of independent two-sample tests of Wilcoxon": the rank sums of the strata, each
//! weighted with the reciprocal of its size plus one, which is locally the most powerful where all strata have the same shift.
//! Means by the two-way analysis of variance without interaction (Scheffé 1959, "The Analysis of Variance", ch. 4): the strata's
//! differences of means, weighted with the harmonic mean of the sizes, and the spread of each side within its strata, with the
//! degrees of freedom of Satterthwaite 1946.

use super::descriptive::{mean, median};
use super::normal::normal_cdf;
use super::shift_ranks::RankSum;
use super::welch::MeanTest;

/// The values of both sides in a stratum.
type Sides = (Vec<f64>, Vec<f64>);

/// The strata that have values of both sides.
#[derive(Clone, Debug)]
pub(super) struct Strata(Vec<Sides>);

impl Strata {
    /// `of_a`, `of_b`: the stratum of each value. None where there is nothing to set apart: fewer than two strata have both sides.
    pub fn new(a: &[f64], b: &[f64], of_a: &[usize], of_b: &[usize]) -> Option<Self> {
        let mut names: Vec<usize> = of_a.to_vec();
        names.sort_unstable();
        names.dedup();
        let of = |values: &[f64], strata: &[usize], name: usize| -> Vec<f64> {
            values.iter().zip(strata).filter(|(_, stratum)| **stratum == name).map(|(value, _)| *value).collect()
        };
        let both = names.into_iter().map(|name| (of(a, of_a, name), of(b, of_b, name)));
        let both: Vec<_> = both.filter(|(a, b)| !a.is_empty() && !b.is_empty()).collect();
        (both.len() > 1).then_some(Self(both))
    }

    fn sizes(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.0.iter().map(|(a, b)| (a.len() as f64, b.len() as f64))
    }

    /// The test of means; none where a side has no more values than strata, so that its spread is not known.
    pub fn means(&self) -> Option<MeanTest> {
        let weight = |n: f64, m: f64| n * m / (n + m);
        let all: f64 = self.sizes().map(|(n, m)| weight(n, m)).sum();
        let estimate: f64 =
            self.0.iter().zip(self.sizes()).map(|((a, b), (n, m))| weight(n, m) / all * (mean(b) - mean(a))).sum();
        // The squares around the mean of each stratum, and their degrees of freedom.
        let within = |side: fn(&Sides) -> &Vec<f64>| {
            let squares = |values: &Vec<f64>| values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>();
            let freedom = self.0.iter().map(|one| side(one).len() as f64 - 1.0).sum::<f64>();
            (freedom > 0.0).then(|| (self.0.iter().map(|one| squares(side(one))).sum::<f64>() / freedom, freedom))
        };
        let (a, b) = (within(|(a, _)| a)?, within(|(_, b)| b)?);
        let part = |of: fn((f64, f64)) -> f64| self.sizes().map(|(n, m)| (weight(n, m) / all).powi(2) / of((n, m))).sum::<f64>();
        let (of_a, of_b) = (part(|(n, _)| n) * a.0, part(|(_, m)| m) * b.0);
        let count = |of: fn((f64, f64)) -> f64| self.sizes().map(of).sum::<f64>();
        let freedom = (of_a + of_b).powi(2) / (of_a.powi(2) / a.1 + of_b.powi(2) / b.1);
        Some(MeanTest::of_error(estimate, (of_a + of_b).sqrt(), freedom, (count(|(n, _)| n), count(|(_, m)| m))))
    }
}

/// Van Elteren's test for any shift.
#[derive(Clone, Debug)]
pub(super) struct StratifiedRanks {
    strata: Vec<Stratum>,
    deviation: f64,
    /// The smallest p that values of these sizes can have.
    pub smallest_p: f64,
    estimate: f64,
}

#[derive(Clone, Debug)]
struct Stratum {
    ranks: RankSum,
    weight: f64,
    middle: f64,
}

impl StratifiedRanks {
    pub fn new(strata: &Strata) -> Self {
        let (mut all, mut variance, mut ways) = (Vec::new(), 0.0, 0.0);
        let mut differences = Vec::new();
        for (a, b) in &strata.0 {
            let (n, m) = (a.len() as f64, b.len() as f64);
            let weight = 1.0 / (n + m + 1.0);
            variance += weight * weight * n * m * (n + m + 1.0) / 12.0;
            // The logarithm of in how many ways the values of a stratum are divided into sides.
            ways += (1..=a.len()).map(|k| libm::log((m + k as f64) / k as f64)).sum::<f64>();
            all.push(Stratum { ranks: RankSum::new(a, b), weight, middle: n * m / 2.0 });
            differences.extend(a.iter().flat_map(|from| b.iter().map(move |to| to - from)));
        }
        let smallest_p = (2.0 * libm::exp(-ways)).min(1.0);
        Self { strata: all, deviation: variance.sqrt(), smallest_p, estimate: median(&differences) }
    }

    /// How far the weighted sum of ranks is from its middle, if `b` were `shift` above `a`.
    fn distance(&self, shift: f64) -> f64 {
        self.strata.iter().map(|one| one.weight * (one.ranks.above(shift) - one.middle)).sum()
    }

    /// Two-sided p if `b` were `shift` above `a`: the normal approximation with half of the smallest step as the correction for
    /// continuity, and not below what can occur at all.
    pub fn p(&self, shift: f64) -> f64 {
        let step = self.strata.iter().map(|one| one.weight).fold(f64::INFINITY, f64::min);
        let distance = (self.distance(shift).abs() - step / 2.0).max(0.0);
        (2.0 * normal_cdf(-distance / self.deviation)).clamp(self.smallest_p, 1.0)
    }

    /// Median of all differences `b − a` within strata: the estimate of Hodges and Lehmann 1963, with pairs of one stratum only.
    pub fn estimate(&self) -> f64 {
        self.estimate
    }

    /// On which side of `a` the values of `b` are: −1, 0 or 1.
    pub fn side(&self) -> f64 {
        let distance = self.distance(0.0);
        if distance == 0.0 { 0.0 } else { distance.signum() }
    }
}

#[cfg(test)]
mod tests {
    use rand_xoshiro::Xoshiro256PlusPlus;
    use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

    use super::*;
    use crate::stats::{compare_two, compare_two_in};

    /// Values of three nodes of which each is slower than the one before by a fifth: `shift` is what `b` is above `a` on all of them.
    fn nodes(seed: u64, each: usize, shift: f64) -> (Vec<f64>, Vec<f64>, Vec<usize>) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        // The sum of twelve: nearly normal, with a deviation of 2 %.
        let mut noise =
            || 1.0 + 0.02 * ((0..12).map(|_| (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64).sum::<f64>() - 6.0);
        let (mut a, mut b, mut of) = (Vec::new(), Vec::new(), Vec::new());
        for node in 0..3_usize {
            let level = 100.0 * 0.8_f64.powi(node as i32);
            for _ in 0..each {
                a.push(level * noise());
                b.push(level * (1.0 + shift) * noise());
                of.push(node);
            }
        }
        (a, b, of)
    }

    #[test]
    fn what_nodes_hide_is_seen_within_them() {
        let (a, b, of) = nodes(1, 5, 0.05);
        let mixed = compare_two(&a, &b, None, 0.95).unwrap();
        let within = compare_two_in(&a, &b, None, Some((&of, &of)), 0.95).unwrap();
        assert!(mixed.p > 0.05, "{mixed:?}");
        assert!(within.p < 0.001 && (within.estimate - 1.05).abs() < 0.02, "{within:?}");
        let (low, high) = within.interval.unwrap();
        assert!(low > 1.0 && high < 1.08 && low < 1.05, "{within:?}");
    }

    #[test]
    fn equal_things_on_unequal_nodes_are_called_different_as_rarely_as_is_said() {
        let (mut ranks, mut combined) = (0, 0);
        const TIMES: u64 = 1000;
        for seed in 0..TIMES {
            let (a, b, of) = nodes(1000 + seed, 4, 0.0);
            let found = compare_two_in(&a, &b, None, Some((&of, &of)), 0.95).unwrap();
            ranks += u32::from(found.components.rank_sum.unwrap() < 0.05);
            combined += u32::from(found.p < 0.05);
        }
        // Of 1000 at a level of 5 %: 50 with a deviation of 7.
        assert!((25..=75).contains(&ranks) && (25..=75).contains(&combined), "{ranks} {combined}");
    }

    // library(coin); wilcox_test(y ~ g | s), and its Z without correction: Σ w(U − nm/2) / √Σ w² nm(N+1)/12, by hand
    #[test]
    fn the_statistic_is_that_of_van_elteren() {
        let strata = Strata::new(&[1.0, 2.0, 11.0, 12.0], &[3.0, 4.0, 10.0, 13.0], &[0, 0, 1, 1], &[0, 0, 1, 1]).unwrap();
        let test = StratifiedRanks::new(&strata);
        // U is 4 of 4 in the first stratum and 2 of 4 in the second; each has weight 1/5 and variance 4·5/12.
        assert!((test.distance(0.0) - 0.4).abs() < 1e-12);
        assert!((test.deviation - (2.0_f64 / 25.0 * 20.0 / 12.0).sqrt()).abs() < 1e-12);
        assert!((test.smallest_p - 2.0 / 36.0).abs() < 1e-12);
        assert_eq!(test.side(), 1.0);
    }

    #[test]
    fn one_node_is_no_stratum_and_single_values_have_no_spread() {
        assert!(Strata::new(&[1.0, 2.0], &[3.0, 4.0], &[0, 0], &[0, 0]).is_none());
        assert!(Strata::new(&[1.0, 2.0], &[3.0, 4.0], &[0, 1], &[2, 3]).is_none());
        let strata = Strata::new(&[1.0, 2.0], &[3.0, 4.0], &[0, 1], &[0, 1]).unwrap();
        assert!(strata.means().is_none());
    }

    #[test]
    fn means_without_spread_are_judged_as_constants() {
        let (a, b, of) = (vec![1.0, 1.0, 2.0, 2.0], vec![1.5, 1.5, 2.5, 2.5], vec![0, 0, 1, 1]);
        let test = Strata::new(&a, &b, &of, &of).unwrap().means().unwrap();
        assert_eq!((test.estimate, test.p(0.5)), (0.5, 1.0));
        assert!(test.p(0.0) < 0.05, "{}", test.p(0.0));
    }
}
