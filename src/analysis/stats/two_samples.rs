//! Two samples compared: by which factor they differ, in which interval it may be, and whether it is more than chance.
//!
//! Ranks alone cannot show the obvious: five against five never reach a p below 2/252, however far apart they are. Means
//! alone are misled by one or two extreme values. Together they are as strong as the stronger, up to a factor of two in p,
//! and keep their level as either does: [`combined_p`] of Welch's t on logarithms and the exact Mann-Whitney test; where
//! values belong together by rounds, also of the t of pairs and Wilcoxon's exact signed rank. A component whose smallest
//! possible p is above 0.01 is left out, since it could only weaken the others: Mann-Whitney takes part from 5 values each
//! on, the signed rank from 8 pairs on, and the t of pairs from 5.
//!
//! The interval holds the ratios that the same test does not reject at the level (Casella & Berger 2002, "Statistical
//! Inference", ch. 9.2), so that it excludes 1 exactly when p is at most 1 − level.

use super::combined::combined_p;
use super::ranks::smallest_p;
use super::sample::{SampleError, finite, positive};
use super::shift_ranks::{RankSum, SignedRank};
use super::strata::{Strata, StratifiedRanks};
use super::welch::{MeanTest, logs};

#[cfg(test)]
mod tests;

/// A component that cannot reach this is left out.
const REACHABLE: f64 = 0.01;
/// The minimum number of pairs. Three or four differences of rounded values are too often nearly equal, and t is then huge.
const FEWEST_PAIRS: usize = 5;
/// Halvings of a bracket: its ends are then closer than 10⁻¹⁰ of it.
const HALVINGS: usize = 34;
/// Doublings of a step until the test rejects it; if that never happens, no shift is rejected.
const DOUBLINGS: usize = 64;

/// Two-sided p of each test that took part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Components {
    /// Welch's t on logarithms.
    pub welch: Option<f64>,
    /// Mann-Whitney.
    pub rank_sum: Option<f64>,
    /// Student's t of the pairs' differences of logarithms.
    pub paired_t: Option<f64>,
    /// Wilcoxon's signed rank of the same.
    pub signed_rank: Option<f64>,
}

/// What a comparison of two samples found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoSamples {
    /// The factor from `a` to `b`, without unit; inside the interval.
    pub estimate: f64,
    /// The ratios that the test does not reject; `None` where it could reject none, so that 1 is included.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p of no difference, at most ½.
    pub p: f64,
    /// The p of each test alone.
    pub components: Components,
    /// The smallest p that ranks of samples of these sizes can have, whatever the values.
    pub smallest_rank_p: f64,
}

impl TwoSamples {
    /// Whether a significance below `alpha` could be reached only by relying on logarithms being approximately normal.
    ///
    /// Values with two equally frequent levels are separated by chance as often as 2/4ⁿ, and no test of n values can see
    /// that.
    pub fn rests_on_shape(&self, alpha: f64) -> bool {
        alpha < self.smallest_rank_p
    }
}

/// By which factor values of `b` exceed those of `a`, without unit, and whether that is more than chance.
///
/// `a`, `b`: at least 2 values above zero each, in any order. `pairs`: which value of `a` (its index) belongs to which
/// of `b`, such as repetitions of one round; not every value need have a partner. `level`: of the interval, above 0.5
/// and below 1.
///
/// The p is that of the module's combined test, at most ½. The estimate is the median of all ratios (Hodges & Lehmann 1963)
/// or, with 5 pairs and partners for three quarters of the smaller sample, the pseudo-median of the pairs' ratios. For
/// samples that differ in more than their scale the test may reject that very ratio; the estimate is then the ratio of
/// geometric means, or another one in between, which the test does not reject. Where it rejects all of them, no factor
/// describes the difference, and estimate and interval are those of the component that is most certain of a difference.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for the
/// level; [`SampleError::Pair`].
pub fn compare_two(a: &[f64], b: &[f64], pairs: Option<&[(usize, usize)]>, level: f64) -> Result<TwoSamples, SampleError> {
    compare_two_in(a, b, pairs, None, level)
}

/// Which stratum each value of the two samples belongs to.
pub type StrataOf<'a> = Option<(&'a [usize], &'a [usize])>;

/// The same for values of several strata, such as the nodes on which they were measured: the tests of independent samples are then
/// made within strata, by van Elteren's test and a two-way analysis of variance (see the module `strata`). Pairs are within strata
/// already. Without at least two strata that have values of both samples, it is [`compare_two`].
///
/// # Errors
/// See [`compare_two`].
pub fn compare_two_in(
    a: &[f64],
    b: &[f64],
    pairs: Option<&[(usize, usize)]>,
    strata: StrataOf<'_>,
    level: f64,
) -> Result<TwoSamples, SampleError> {
    positive(a, 2)?;
    positive(b, 2)?;
    let alpha = significance(level)?;
    let shifts = Shifts::of_logs(a, b, pairs, strata)?;
    let found = shifts.found(alpha);
    // A value that is not 0 on logarithms may be 1 by rounding.
    let differs = found.p <= alpha;
    let ratio = |log: f64| {
        let ratio = libm::exp(log).clamp(f64::MIN_POSITIVE, f64::MAX);
        match (differs, log > 0.0) {
            (true, true) => ratio.max(1.0 + f64::EPSILON),
            (true, false) => ratio.min(1.0 - f64::EPSILON),
            _ => ratio,
        }
    };
    Ok(TwoSamples {
        estimate: ratio(found.estimate),
        interval: found.interval.map(|(low, high)| (ratio(low), ratio(high))),
        p: found.p,
        components: shifts.components(0.0),
        smallest_rank_p: shifts.smallest_rank_p(),
    })
}

/// What a comparison by ranks alone found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankComparison {
    /// How far `b` is above `a`, in their unit; inside the interval.
    pub estimate: f64,
    /// The shifts that the test does not reject; `None` where it could reject none, so that 0 is included.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p of no difference, at most ½.
    pub p: f64,
    /// The smallest p that samples of these sizes can have, whatever the values.
    pub smallest_p: f64,
}

/// How far values of `b` are above those of `a`, in their unit, by ranks alone: for values that may be 0 or negative, such
/// as shares of errors, and have no logarithms.
///
/// `a`, `b`: at least one value each. `pairs`, `level`: see [`compare_two`]. The exact Mann-Whitney test with ties or,
/// from 8 pairs on, [`combined_p`] of it and of the exact signed rank test. The estimate is the median of all
/// differences or, as in [`compare_two`], the pseudo-median of pairs; where the test rejects that, as it may for many
/// equal values, one that it does not. An interval in terms of a shift says little for values that are mostly 0.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`]; [`SampleError::Share`] for the level; [`SampleError::Pair`];
/// [`SampleError::Undefined`] when a difference is too large for a number.
pub fn compare_two_by_rank(
    a: &[f64],
    b: &[f64],
    pairs: Option<&[(usize, usize)]>,
    level: f64,
) -> Result<RankComparison, SampleError> {
    compare_two_by_rank_in(a, b, pairs, None, level)
}

/// The same within strata, as [`compare_two_in`].
///
/// # Errors
/// See [`compare_two_by_rank`].
pub fn compare_two_by_rank_in(
    a: &[f64],
    b: &[f64],
    pairs: Option<&[(usize, usize)]>,
    strata: StrataOf<'_>,
    level: f64,
) -> Result<RankComparison, SampleError> {
    finite(a, 1)?;
    finite(b, 1)?;
    let alpha = significance(level)?;
    let largest = a.iter().chain(b).fold(0.0, |largest: f64, value| largest.max(value.abs()));
    if largest > f64::MAX / 4.0 {
        return Err(SampleError::Undefined);
    }
    let shifts = Shifts::of_ranks(a, b, pairs, strata)?;
    let found = shifts.found(alpha);
    Ok(RankComparison { estimate: found.estimate, interval: found.interval, p: found.p, smallest_p: shifts.smallest_rank_p() })
}

/// 1 − level. The combined p is at most ½: a level below it would reject everything.
fn significance(level: f64) -> Result<f64, SampleError> {
    if level > 0.5 && level < 1.0 { Ok(1.0 - level) } else { Err(SampleError::Share { what: "confidence level", value: level }) }
}

/// Two-sided p of a shift.
type PValue<'a> = Box<dyn Fn(f64) -> f64 + 'a>;

/// What a search found, in terms of shifts.
struct Found {
    estimate: f64,
    interval: Option<(f64, f64)>,
    p: f64,
}

/// The rank test of two samples: of all values, or within strata.
enum Ranks {
    Whole(RankSum),
    Within(StratifiedRanks),
}

impl Ranks {
    fn p(&self, shift: f64) -> f64 {
        match self {
            Self::Whole(test) => test.p(shift),
            Self::Within(test) => test.p(shift),
        }
    }

    fn estimate(&self) -> f64 {
        match self {
            Self::Whole(test) => test.estimate(),
            Self::Within(test) => test.estimate(),
        }
    }

    fn side(&self) -> f64 {
        match self {
            Self::Whole(test) => test.side(),
            Self::Within(test) => test.side(),
        }
    }
}

/// The tests of two samples, which can be evaluated for any shift.
pub(super) struct Shifts {
    welch: Option<MeanTest>,
    paired_t: Option<MeanTest>,
    /// For the estimate, even where it takes no part in p.
    rank_sum: Ranks,
    rank_sum_counts: bool,
    /// The same for pairs; absent with too few pairs for an estimate.
    signed_rank: Option<SignedRank>,
    signed_rank_counts: bool,
    /// The smallest p that the ranks of both samples can have.
    smallest_p: f64,
    /// How many values the smaller sample has.
    smaller: usize,
    pairs: usize,
    /// Of the order of magnitude by which values differ; above 0.
    step: f64,
}

impl Shifts {
    /// Of the logarithms of `a` and `b`, which are above zero and at least 2 each.
    pub fn of_logs(a: &[f64], b: &[f64], pairs: Option<&[(usize, usize)]>, strata: StrataOf<'_>) -> Result<Self, SampleError> {
        let (a, b) = (logs(a), logs(b));
        let differences = differences(&a, &b, pairs.unwrap_or_default())?;
        let within = strata.and_then(|(of_a, of_b)| Strata::new(&a, &b, of_a, of_b));
        let both = Self::of_both(&a, &b, &differences, within.as_ref());
        Ok(Self {
            welch: match &within {
                None => Some(MeanTest::independent(&a, &b)),
                Some(strata) => strata.means(),
            },
            rank_sum_counts: both.smallest_p <= REACHABLE,
            paired_t: (differences.len() >= FEWEST_PAIRS).then(|| MeanTest::paired(&differences)),
            ..both
        }
        .with_one_test())
    }

    fn of_ranks(a: &[f64], b: &[f64], pairs: Option<&[(usize, usize)]>, strata: StrataOf<'_>) -> Result<Self, SampleError> {
        let differences = differences(a, b, pairs.unwrap_or_default())?;
        let within = strata.and_then(|(of_a, of_b)| Strata::new(a, b, of_a, of_b));
        Ok(Self::of_both(a, b, &differences, within.as_ref()))
    }

    /// Where no other test can be made, such as for one value of each sample in each stratum, ranks count, however few.
    fn with_one_test(self) -> Self {
        let none = self.welch.is_none() && self.paired_t.is_none() && self.counted_signed_rank().is_none();
        Self { rank_sum_counts: self.rank_sum_counts || none, ..self }
    }

    fn of_both(a: &[f64], b: &[f64], differences: &[f64], strata: Option<&Strata>) -> Self {
        let range = |values: &[f64]| {
            values.iter().fold(f64::NEG_INFINITY, |high, &v| high.max(v))
                - values.iter().fold(f64::INFINITY, |low, &v| low.min(v))
        };
        let largest = a.iter().chain(b).fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let spread = range(a) + range(b);
        let (rank_sum, smallest_p) = match strata.map(StratifiedRanks::new) {
            Some(test) => {
                let smallest_p = test.smallest_p;
                (Ranks::Within(test), smallest_p)
            }
            None => (Ranks::Whole(RankSum::new(a, b)), smallest_p(a.len(), b.len())),
        };
        Self {
            welch: None,
            paired_t: None,
            rank_sum,
            rank_sum_counts: true,
            signed_rank: (differences.len() >= FEWEST_PAIRS).then(|| SignedRank::new(differences)),
            signed_rank_counts: signed_smallest(differences.len()) <= REACHABLE,
            smallest_p,
            smaller: a.len().min(b.len()),
            pairs: differences.len(),
            step: if spread > 0.0 { spread / 8.0 } else { 1e-9 * if largest > 0.0 { largest } else { 1.0 } },
        }
    }

    /// Two-sided p if `b` were `shift` above `a`, from each test.
    fn components(&self, shift: f64) -> Components {
        Components {
            welch: self.welch.as_ref().map(|test| test.p(shift)),
            rank_sum: self.rank_sum_counts.then(|| self.rank_sum.p(shift)),
            paired_t: self.paired_t.as_ref().map(|test| test.p(shift)),
            signed_rank: self.counted_signed_rank().map(|test| test.p(shift)),
        }
    }

    fn counted_signed_rank(&self) -> Option<&SignedRank> {
        self.signed_rank.as_ref().filter(|_| self.signed_rank_counts)
    }

    /// The same, combined.
    pub fn p(&self, shift: f64) -> f64 {
        let Components { welch, rank_sum, paired_t, signed_rank } = self.components(shift);
        combined_p(&[welch, rank_sum, paired_t, signed_rank].map(|p| p.unwrap_or(f64::NAN)))
    }

    /// The smallest p of ranks, whether or not they take part.
    fn smallest_rank_p(&self) -> f64 {
        self.smallest_p.min(signed_smallest(self.pairs))
    }

    /// Shifts that the data show, in order of preference.
    fn centres(&self) -> Vec<f64> {
        let rank_sum = Some(self.rank_sum.estimate());
        let signed = self.signed_rank.as_ref().map(SignedRank::estimate);
        let mostly_paired = 4 * self.pairs >= 3 * self.smaller;
        let [first, second] = if mostly_paired { [signed, rank_sum] } else { [rank_sum, signed] };
        let means = [&self.paired_t, &self.welch].map(|test| test.as_ref().map(|test| test.estimate));
        [first, second, means[0], means[1]].into_iter().flatten().collect()
    }

    /// The shift to report; see [`compare_two`]. Not necessarily accepted.
    pub fn estimate(&self, alpha: f64) -> f64 {
        let centres = self.centres();
        self.accepted(&centres, alpha).unwrap_or_else(|| self.surest().0)
    }

    /// The first of `centres` that the test does not reject, or the best one between them.
    fn accepted(&self, centres: &[f64], alpha: f64) -> Option<f64> {
        if let Some(&centre) = centres.iter().find(|&&centre| self.p(centre) > alpha) {
            return Some(centre);
        }
        let low = centres.iter().copied().fold(f64::INFINITY, f64::min);
        let high = centres.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let between = (1..32).map(|part| low + (high - low) * f64::from(part) / 32.0).chain([0.0]);
        let best = between.map(|shift| (shift, self.p(shift))).reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.filter(|&(_, p)| p > alpha).map(|(shift, _)| shift)
    }

    /// The shift of the component with the smallest p, and how it judges others. Its shift is not 0 where its p is
    /// below 1.
    fn surest(&self) -> (f64, PValue<'_>) {
        // A median may be 0 where a test sees a difference, as with many equal values: then the smallest shift that counts
        // is used.
        let beside = |centre: f64, side: f64| if centre == 0.0 { side * self.step * 1e-9 } else { centre };
        let mut all: Vec<(f64, f64, PValue<'_>)> = Vec::new();
        for test in [self.welch, self.paired_t].into_iter().flatten() {
            all.push((test.p(0.0), test.estimate, Box::new(move |shift| test.p(shift))));
        }
        if self.rank_sum_counts {
            let test = &self.rank_sum;
            all.push((test.p(0.0), beside(test.estimate(), test.side()), Box::new(|shift| test.p(shift))));
        }
        if let Some(test) = self.counted_signed_rank() {
            all.push((test.p(0.0), beside(test.estimate(), test.side()), Box::new(|shift| test.p(shift))));
        }
        let surest = all.into_iter().min_by(|one, other| one.0.total_cmp(&other.0)).expect("at least one test takes part");
        (surest.1, surest.2)
    }

    fn found(&self, alpha: f64) -> Found {
        let p = self.p(0.0);
        let (estimate, interval) = match self.accepted(&self.centres(), alpha) {
            Some(estimate) => (estimate, self.around(estimate, alpha, p > alpha, &|shift| self.p(shift))),
            // The combined p is never below the smallest: if it rejects 0, so does the most certain component.
            None => {
                let (estimate, judge) = self.surest();
                (estimate, self.around(estimate, alpha, false, &judge).or(Some((estimate, estimate))))
            }
        };
        Found { estimate, interval, p }
    }

    /// The shifts around `estimate` that `p` does not reject, including exactly 0 if `with_zero`.
    fn around(&self, estimate: f64, alpha: f64, with_zero: bool, p: &dyn Fn(f64) -> f64) -> Option<(f64, f64)> {
        let end = |side: f64| {
            // In units of `side`: outwards is up.
            let accepted = |shift: f64| p(side * shift) > alpha;
            let from = side * estimate;
            let mut inside = if with_zero { from.max(0.0) } else { from };
            let mut outside = (!with_zero && from < 0.0).then_some(0.0);
            let mut step = self.step;
            for _ in 0..DOUBLINGS {
                if outside.is_some() {
                    break;
                }
                let next = inside + step;
                if accepted(next) {
                    inside = next
                } else {
                    outside = Some(next)
                }
                step *= 2.0;
            }
            let mut outside = outside?;
            for _ in 0..HALVINGS {
                let middle = inside + (outside - inside) / 2.0;
                if accepted(middle) { inside = middle } else { outside = middle }
            }
            Some(side * inside)
        };
        Some((end(-1.0)?, end(1.0)?))
    }
}

/// The smallest two-sided p of a signed rank test.
fn signed_smallest(pairs: usize) -> f64 {
    libm::ldexp(2.0, -(pairs.min(2000) as i32)).min(1.0)
}

/// Of each pair, `b − a`.
fn differences(a: &[f64], b: &[f64], pairs: &[(usize, usize)]) -> Result<Vec<f64>, SampleError> {
    let (mut of_a, mut of_b) = (vec![false; a.len()], vec![false; b.len()]);
    let mut differences = Vec::with_capacity(pairs.len());
    for (index, &(one, other)) in pairs.iter().enumerate() {
        match (of_a.get_mut(one), of_b.get_mut(other)) {
            (Some(one @ false), Some(other @ false)) => (*one, *other) = (true, true),
            _ => return Err(SampleError::Pair { index }),
        }
        differences.push(b[other] - a[one]);
    }
    Ok(differences)
}
