//! Two samples compared by order alone: whether one is usually above the other, and by how much.
//!
//! Ranks assume nothing about the shape of a distribution, and one extreme repetition weighs no more than any other. Tests
//! are exact where counting is cheap: with five repetitions an asymptotic approximation does not apply.
//!
//! The estimate and interval belong to the test: an interval excludes "no difference" when the test rejects it.

use super::normal::{normal_cdf, normal_quantile};
use super::sample::{SampleError, binomial, doubled_midranks, finite, positive, share};

#[cfg(test)]
mod tests;

/// Up to this many pairs the distribution is counted, with at most n²m²/4 additions: some ten milliseconds at the limit and
/// microseconds for 20 repetitions.
pub(super) const EXACT_PAIRS: usize = 10_000;

/// What the Mann-Whitney test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// Number of pairs whose value of `a` is above that of `b`, ties counted half: 0 to n·m.
    pub u: f64,
    /// Two-sided p: the probability, if both samples are from one population, of a `u` at least as far from n·m/2.
    pub p: f64,
    /// Whether `p` was counted rather than approximated.
    pub exact: bool,
}

/// Whether values of one sample are usually above those of the other; two-sided.
///
/// `a`, `b`: at least one value each, in any order; sizes may differ.
/// Mann & Whitney 1947, "On a test of whether one of two random variables is stochastically larger than the other".
/// Up to 10 000 pairs p is exact, even with ties: the permutation distribution of the midrank sum (Streitberg & Röhmel 1986,
/// "Exact distributions for permutation and rank tests"), which need not be symmetric, so that both tails are counted.
/// Above, the normal approximation, corrected for ties and continuity.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`]; the index counts within its sample.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Result<RankTest, SampleError> {
    finite(a, 1)?;
    finite(b, 1)?;
    let (n, m) = (a.len(), b.len());
    let (ranks, ties) = doubled_midranks(&[a, b].concat());
    let sum: usize = ranks[..n].iter().sum();
    let pairs = n as f64 * m as f64;
    let u = (sum - n * (n + 1)) as f64 / 2.0;
    // Of twice the rank sum, which is a whole number.
    let distance = sum.abs_diff(n * (n + m + 1));

    if n * m > EXACT_PAIRS {
        let size = (n + m) as f64;
        let variance = pairs / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)));
        let z = ((u - pairs / 2.0).abs() - 0.5) / variance.sqrt();
        // All values are equal: there is no variance and no difference.
        let p = if variance > 0.0 { (2.0 * normal_cdf(-z)).min(1.0) } else { 1.0 };
        return Ok(RankTest { u, p, exact: false });
    }
    let p = if distance == 0 {
        1.0
    } else {
        let mut ascending = ranks;
        ascending.sort_unstable();
        // Either sample's rank sum determines the other's, at the same distance; the smaller sample is less work.
        let lower = tail(&ascending, n.min(m), distance);
        let top = ascending[n + m - 1];
        ascending.reverse();
        ascending.iter_mut().for_each(|rank| *rank = top - *rank);
        (lower + tail(&ascending, n.min(m), distance)).min(1.0)
    };
    Ok(RankTest { u, p, exact: true })
}

/// The smallest two-sided p that [`mann_whitney`] can find for samples of `n` and `m` values: 2 / C(n + m, n).
///
/// No significance below it can ever be reached; 1 when a sample is empty.
pub fn smallest_p(n: usize, m: usize) -> f64 {
    (2.0 / binomial(n + m, n)).min(1.0)
}

/// How far one sample is above the other, in their unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Median of all differences `b − a`.
    pub estimate: f64,
    /// Lower end of the interval; `None` when the samples are too small for the level.
    pub low: Option<f64>,
    /// Upper end, present together with `low`.
    pub high: Option<f64>,
    /// Confidence level of the interval, at least the requested one; without an interval, the highest that these sizes
    /// allow.
    pub level_reached: f64,
}

/// By how much values of `b` exceed those of `a`, in their unit, for samples that differ in location only.
///
/// `a`, `b`: at least one value each, in any order. `level`: in (0, 1).
/// Hodges & Lehmann 1963, "Estimates of location based on rank tests"; the interval holds every shift that
/// the Mann-Whitney test does not reject (Bauer 1972, "Constructing confidence sets using rank statistics"; Hollander,
/// Wolfe & Chicken 2014, ch. 4.3), exact up to 10 000 pairs and by the normal approximation beyond. With ties its level
/// is at least `level_reached`. Like R's `wilcox.test(b, a, conf.int = TRUE)`, which takes the next wider interval where one
/// has the level to the last digit, and approximates where there are ties. Memory is O(n·m), time O(n·m log n·m).
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::Share`] for the level; [`SampleError::Undefined`]
/// when a difference is too large for a number.
pub fn hodges_lehmann_shift(a: &[f64], b: &[f64], level: f64) -> Result<Shift, SampleError> {
    finite(a, 1)?;
    finite(b, 1)?;
    let compared = pairwise(a, b, level, |a, b| b - a, |low, high| low + (high - low) / 2.0)?;
    let (low, high) = compared.interval.unzip();
    Ok(Shift { estimate: compared.estimate, low, high, level_reached: compared.level_reached })
}

/// How many times one sample is the other, without unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median of all ratios `b / a`.
    pub estimate: f64,
    /// Lower and upper end; `None` when the samples are too small for the level.
    pub interval: Option<(f64, f64)>,
    /// Confidence level of the interval, at least the requested one; without an interval, the highest that these sizes
    /// allow.
    pub level_reached: f64,
}

/// By which factor values of `b` exceed those of `a`, without unit, for samples that differ in scale only.
///
/// `a`, `b`: at least one value above zero each, in any order. `level`: in (0, 1).
/// [`hodges_lehmann_shift`] of the logarithms, transformed back; the tests themselves need no logarithms, as these keep the
/// order, and between the middle two ratios their geometric mean is taken.
///
/// # Errors
/// Those of [`hodges_lehmann_shift`], and [`SampleError::NotPositive`].
pub fn hodges_lehmann_ratio(a: &[f64], b: &[f64], level: f64) -> Result<Ratio, SampleError> {
    positive(a, 1)?;
    positive(b, 1)?;
    let middle = |low: f64, high: f64| if low == high { low } else { low.sqrt() * high.sqrt() };
    let ratio = pairwise(a, b, level, |a, b| b / a, middle)?;
    // Too small for a number is as wrong as too large.
    if ratio.estimate > 0.0 { Ok(ratio) } else { Err(SampleError::Undefined) }
}

/// Centre of a sample, in its unit: the median of the means of all pairs, including each value paired with itself.
///
/// Nearly as precise as the mean for normal values, and as insensitive to a few extreme ones as the median.
/// Hodges & Lehmann 1963; the pseudo-median of R's `wilcox.test`. Memory is O(n²).
///
/// NaN when `sample` is empty or holds a NaN.
pub fn hodges_lehmann(sample: &[f64]) -> f64 {
    if sample.is_empty() || sample.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut means = Vec::with_capacity(sample.len() * (sample.len() + 1) / 2);
    for (index, &one) in sample.iter().enumerate() {
        means.extend(sample[index..].iter().map(|other| if one == *other { one } else { one / 2.0 + other / 2.0 }));
    }
    means.sort_unstable_by(f64::total_cmp);
    middle_of(&means, |low, high| low + (high - low) / 2.0)
}

/// The estimate and interval from all pairs, for any `compare` that grows with `b` and falls with `a`.
fn pairwise(
    a: &[f64],
    b: &[f64],
    level: f64,
    compare: impl Fn(f64, f64) -> f64,
    middle: impl Fn(f64, f64) -> f64,
) -> Result<Ratio, SampleError> {
    share("confidence level", level)?;
    let mut pairs = Vec::with_capacity(a.len() * b.len());
    for &from in a {
        pairs.extend(b.iter().map(|&to| compare(from, to)));
    }
    if !pairs.iter().all(|pair| pair.is_finite()) {
        return Err(SampleError::Undefined);
    }
    // Four order statistics of up to a million pairs: they are selected, not sorted.
    let mut at = |index: usize| *pairs.select_nth_unstable_by(index, f64::total_cmp).1;
    let count = a.len() * b.len();
    let (low, high) = (at((count - 1) / 2), at(count / 2));
    let estimate = if low == high { low } else { middle(low, high) };
    Ok(match cut(a.len(), b.len(), 1.0 - level) {
        Some((cut, level_reached)) => Ratio { estimate, interval: Some((at(cut - 1), at(count - cut))), level_reached },
        None => Ratio { estimate, interval: None, level_reached: 1.0 - smallest_p(a.len(), b.len()) },
    })
}

fn middle_of(sorted: &[f64], middle: impl Fn(f64, f64) -> f64) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    if low == high { low } else { middle(low, high) }
}

/// The interval runs from the `cut`-th smallest pair to the `cut`-th largest: the largest `cut` for which both tails
/// together have at most `alpha`; and the level reached.
fn cut(n: usize, m: usize, alpha: f64) -> Option<(usize, f64)> {
    // 1 − 0.9 is a little less than 0.1, which 3 and 3 values do allow.
    let allowed = alpha * (1.0 + 1e-12) + 1e-15;
    let pairs = n * m;
    if pairs > EXACT_PAIRS {
        let (pairs, size) = (pairs as f64, (n + m) as f64);
        let deviation = (pairs * (size + 1.0) / 12.0).sqrt();
        let cut = (pairs / 2.0 + 0.5 + normal_quantile(alpha / 2.0) * deviation).floor();
        let level_reached = 1.0 - 2.0 * normal_cdf((cut - 0.5 - pairs / 2.0) / deviation);
        // So uneven that the approximation leaves the range, as with 1 against 20 000.
        return (cut >= 1.0 && smallest_p(n, m) <= allowed).then_some((cut as usize, level_reached));
    }
    let ranks: Vec<usize> = (0..n + m).collect();
    let all = binomial(n + m, n);
    let (mut below, mut cut, mut outside) = (0.0, 0, 0.0);
    // At most half the pairs: the ends must not cross.
    for count in tail_counts(&ranks, n.min(m), (pairs - 1) / 2) {
        below += count;
        if 2.0 * below / all > allowed {
            break;
        }
        cut += 1;
        outside = 2.0 * below / all;
    }
    (cut > 0).then_some((cut, 1.0 - outside))
}

/// Probability that the sum of `take` random scores is at least `distance` below its mean; `scores` ascending, doubled.
fn tail(scores: &[usize], take: usize, distance: usize) -> f64 {
    let (all, lowest): (usize, usize) = (scores.iter().sum(), scores[..take].iter().sum());
    // The mean is take · all / N; for doubled midranks, reversed or not, that is a whole number.
    let mean = take * all / scores.len();
    let Some(limit) = mean.checked_sub(lowest + distance) else { return 0.0 };
    // Without ties the doubled ranks are all of the same parity: half the table is empty.
    let step = scores.iter().fold(0, |step, score| gcd(score - scores[0], step)).max(1);
    let scores: Vec<usize> = scores.iter().map(|score| (score - scores[0]) / step).collect();
    tail_counts(&scores, take, limit / step).iter().sum::<f64>() / binomial(scores.len(), take)
}

pub(super) fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// In how many ways `take` of the `scores` have a sum of 0, 1, … `limit` above the smallest possible sum.
///
/// `scores`: ascending. The shift algorithm of Streitberg & Röhmel 1986, on excesses instead of sums: the i-th smallest
/// score that is taken exceeds the i-th smallest of all by a number that is never negative, so that no entry above `limit`
/// needs to be examined.
pub(super) fn tail_counts(scores: &[usize], take: usize, limit: usize) -> Vec<f64> {
    let width = limit + 1;
    // Row k: ways to take k of the scores looked at so far, by excess.
    let mut rows = vec![0.0; (take + 1) * width];
    rows[0] = 1.0;
    let sums: Vec<usize> = std::iter::once(0)
        .chain(scores.iter().scan(0, |sum, score| {
            *sum += score;
            Some(*sum)
        }))
        .collect();
    for (at, score) in scores.iter().enumerate() {
        let left = scores.len() - at - 1;
        for taken in (take.saturating_sub(left).max(1)..=take.min(at + 1)).rev() {
            let shift = score - scores[taken - 1];
            // The least that the scores still to be taken will add.
            let ahead = (sums[at + 1 + take - taken] - sums[at + 1]) - (sums[take] - sums[taken]);
            let Some(room) = limit.checked_sub(shift + ahead) else { continue };
            let highest = (sums[at] - sums[at + 1 - taken]) - sums[taken - 1];
            let len = room.min(highest) + 1;
            let (before, after) = rows.split_at_mut(taken * width);
            let from = &before[(taken - 1) * width..][..len];
            for (to, from) in after[shift..shift + len].iter_mut().zip(from) {
                *to += from;
            }
        }
    }
    rows.split_off(take * width)
}
