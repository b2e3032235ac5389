//! Does a series drift, and do neighbouring values resemble each other? Either invalidates conclusions that assume
//! independent values.
//!
//! `series` is always in the order of time, one value per equal step. If all values are equal, there is no trend and no
//! correlation: 0 with p = 1 where both are returned, NaN where only the number is.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::descriptive::{mean, median};
use super::normal::normal_cdf;
use super::sample::{SampleError, doubled_midranks, finite, shuffle};

#[cfg(test)]
mod tests;

/// Kendall's p is counted up to this length: 100! is still a number, and the count takes 0.1 ms.
const KENDALL_EXACT: usize = 100;
/// Spearman's p is counted up to this length, where the t distribution takes over.
const SPEARMAN_EXACT: usize = 9;
/// All orders of up to this many values are tried for the correlation of neighbours: 40 320.
const LAG1_EXACT: usize = 8;
/// Above that, at most this many random orders.
const LAG1_ORDERS: u32 = 1999;
/// The search stops after this many orders that are at least as far from the mean as the series.
const LAG1_HITS: u32 = 50;

/// What the Mann-Kendall test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// From −1, always falling, to 1, always rising (τ-b: ties count for neither).
    pub tau: f64,
    /// Two-sided p of a `tau` at least as far from 0 if all orders were equally likely.
    pub p: f64,
    /// Whether `p` was counted rather than approximated.
    pub exact: bool,
}

/// Whether a series rises or falls with time, straight or not; two-sided.
///
/// `series`: at least 3 values. Mann 1945, "Nonparametric tests against trend"; Kendall 1975, "Rank Correlation
/// Methods", with his variance for ties and continuity correction. Without ties and up to 100 values p is exact.
/// Time is O(n²).
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`].
pub fn kendall(series: &[f64]) -> Result<Trend, SampleError> {
    finite(series, 3)?;
    let n = series.len();
    let (mut rising, mut falling) = (0usize, 0usize);
    for (at, &earlier) in series.iter().enumerate() {
        for &later in &series[at + 1..] {
            rising += usize::from(later > earlier);
            falling += usize::from(later < earlier);
        }
    }
    let score = rising as f64 - falling as f64;
    let pairs = (n * (n - 1) / 2) as f64;
    if rising + falling == 0 {
        return Ok(Trend { tau: 0.0, p: 1.0, exact: true });
    }
    // Time has no ties, so τ-b's denominator is the root of all pairs times untied pairs.
    let tau = score / (pairs.sqrt() * ((rising + falling) as f64).sqrt());
    if rising + falling == n * (n - 1) / 2 && n <= KENDALL_EXACT {
        return Ok(Trend { tau, p: inversions_tail(n, rising.min(falling)), exact: true });
    }
    let size = n as f64;
    let tied: f64 = equal_counts(series).map(|t| t * (t - 1.0) * (2.0 * t + 5.0)).sum();
    let variance = (size * (size - 1.0) * (2.0 * size + 5.0) - tied) / 18.0;
    let z = (score.abs() - 1.0).max(0.0) / variance.sqrt();
    Ok(Trend { tau, p: (2.0 * normal_cdf(-z)).min(1.0), exact: false })
}

/// Sizes of the groups of equal values.
fn equal_counts(series: &[f64]) -> impl Iterator<Item = f64> {
    let mut sorted = series.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let sizes: Vec<f64> = sorted.chunk_by(|a, b| a == b).map(|group| group.len() as f64).collect();
    sizes.into_iter()
}

/// Twice the share of the orders of `n` things with at most `most` inversions, at most 1; `most` is at most half of all.
///
/// Orders of i + 1 things come from those of i by putting the last after any of the others: the counts are sums over windows
/// of i + 1 counts (MacMahon's Mahonian numbers; Kendall 1938, "A new measure of rank correlation").
fn inversions_tail(n: usize, most: usize) -> f64 {
    let mut counts = vec![0.0; most + 1];
    counts[0] = 1.0;
    let mut next = vec![0.0; most + 1];
    let mut orders = 1.0;
    for things in 2..=n {
        orders *= things as f64;
        let mut window = 0.0;
        for at in 0..=most {
            window += counts[at];
            if at >= things {
                window -= counts[at - things];
            }
            next[at] = window;
        }
        std::mem::swap(&mut counts, &mut next);
    }
    (2.0 * counts.iter().sum::<f64>() / orders).min(1.0)
}

/// What Spearman's test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankCorrelation {
    /// Correlation of ranks with time, from −1 to 1.
    pub rho: f64,
    /// Two-sided p of a `rho` at least as far from 0 if all orders were equally likely.
    pub p: f64,
    /// Whether `p` was counted rather than approximated.
    pub exact: bool,
}

/// Whether a series rises or falls with time, straight or not; two-sided.
///
/// `series`: at least 3 values. Spearman 1904, "The proof and measurement of association between two things".
/// Up to 9 values p is exact, even with ties; above, it is that of Student's t with n − 2 degrees of freedom (Kendall 1975,
/// ch. 5). [`kendall`] stays exact for longer; this test gives more weight to far moves.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`].
pub fn spearman(series: &[f64]) -> Result<RankCorrelation, SampleError> {
    finite(series, 3)?;
    let n = series.len();
    let (ranks, ties) = doubled_midranks(series);
    let products: usize = ranks.iter().enumerate().map(|(time, rank)| (time + 1) * rank).sum();
    let size = n as f64;
    // Σ (time − mean)(rank − mean), doubled as the ranks are; the sums of squares are cube/12 and (cube − ties)/12.
    let centred = products as f64 - size * (size + 1.0) * (size + 1.0) / 2.0;
    let cube = size * size * size - size;
    if ties == cube {
        return Ok(RankCorrelation { rho: 0.0, p: 1.0, exact: true });
    }
    let rho = (6.0 * centred / (cube.sqrt() * (cube - ties).sqrt())).clamp(-1.0, 1.0);
    let (p, exact) = if n <= SPEARMAN_EXACT {
        (products_tail(&ranks, products), true)
    } else {
        (student_two_sided(rho * ((size - 2.0) / ((1.0 - rho) * (1.0 + rho))).sqrt(), n - 2), false)
    };
    Ok(RankCorrelation { rho, p, exact })
}

/// Share of the orders of `ranks` for which Σ time · rank is at least as far from its mean as `observed`.
///
/// Orders are counted together by which ranks come first and by their sum so far: 2ⁿ sets instead of n! orders.
fn products_tail(ranks: &[usize], observed: usize) -> f64 {
    let n = ranks.len();
    let mut ascending = ranks.to_vec();
    ascending.sort_unstable();
    let highest: usize = ascending.iter().enumerate().map(|(time, rank)| (time + 1) * rank).sum();
    let width = highest + 1;
    let mut counts = vec![0u32; width << n];
    counts[0] = 1;
    for set in 0..1usize << n {
        let time = set.count_ones() as usize + 1;
        for (index, rank) in ranks.iter().enumerate().filter(|(index, _)| set & (1 << index) == 0) {
            let (this, larger) = counts.split_at_mut((set | 1 << index) * width);
            let from = &this[set * width..][..width - time * rank];
            for (to, from) in larger[time * rank..width].iter_mut().zip(from) {
                *to += from;
            }
        }
    }
    // Twice the mean of Σ time · doubled rank is n(n + 1)², a whole number.
    let mean = n * (n + 1) * (n + 1);
    let distance = (2 * observed).abs_diff(mean);
    let all = &counts[width * ((1 << n) - 1)..];
    let far: u32 = all.iter().enumerate().filter(|(sum, _)| (2 * sum).abs_diff(mean) >= distance).map(|(_, count)| count).sum();
    f64::from(far) / f64::from(all.iter().sum::<u32>())
}

/// Probability that Student's t with `freedom` degrees is at least as far from 0 as `t`.
///
/// The finite sums for whole degrees of freedom of Abramowitz & Stegun 1964, 26.7.3 and 26.7.4. They give the probability
/// inside, so that a p below 10⁻¹⁵ is returned as 0.
fn student_two_sided(t: f64, freedom: usize) -> f64 {
    let t = t.abs();
    if t.is_infinite() {
        return 0.0;
    }
    let degrees = freedom as f64;
    let cosine2 = degrees / (degrees + t * t);
    let sine = t / (degrees + t * t).sqrt();
    let odd = freedom % 2 == 1;
    let (mut term, mut sum) = if odd { (cosine2.sqrt(), 0.0) } else { (1.0, 0.0) };
    let mut step = if odd { 1 } else { 0 };
    while step + 2 <= freedom {
        sum += term;
        step += 2;
        term *= cosine2 * (step - 1) as f64 / step as f64;
    }
    let inside = if odd { std::f64::consts::FRAC_2_PI * (libm::atan(t / degrees.sqrt()) + sine * sum) } else { sine * sum };
    (1.0 - inside).clamp(0.0, 1.0)
}

/// Median of the slopes between all pairs of values, in their unit per step of time.
///
/// Theil 1950; Sen 1968, "Estimates of the regression coefficient based on Kendall's tau". A quarter of the values may be
/// extreme. Time O(n² log n), memory O(n²).
///
/// NaN when there are fewer than two values or one of them is NaN.
pub fn theil_sen(series: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(series.len() * series.len().saturating_sub(1) / 2);
    for (at, &earlier) in series.iter().enumerate() {
        slopes.extend(series[at + 1..].iter().enumerate().map(|(steps, later)| (later - earlier) / (steps + 1) as f64));
    }
    median(&slopes)
}

/// Correlation of a series with itself `lag` steps later, without unit, in [−1, 1].
///
/// Σ (xₜ − x̄)(xₜ₊ₗₐ₉ − x̄) / Σ (xₜ − x̄)²: Box & Jenkins 1970, "Time Series Analysis", ch. 2, with the divisor n for both
/// sums; R's `acf`. 1 at lag 0.
///
/// NaN when `lag` is not below the length, or when the values are equal or one is NaN.
pub fn autocorrelation(series: &[f64], lag: usize) -> f64 {
    if lag >= series.len() {
        return f64::NAN;
    }
    let centre = mean(series);
    let squares: f64 = series.iter().map(|value| (value - centre) * (value - centre)).sum();
    if squares == 0.0 {
        return f64::NAN;
    }
    let products: f64 = series.iter().zip(&series[lag..]).map(|(now, then)| (now - centre) * (then - centre)).sum();
    products / squares
}

/// What the test of neighbours found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag1 {
    /// [`autocorrelation`] at lag 1. Independent values have −1/n on average, not 0.
    pub r: f64,
    /// Two-sided p of an `r` at least as far from −1/n if all orders were equally likely.
    pub p: f64,
}

/// Whether neighbours in a series resemble each other, or avoid each other, more than by chance; two-sided.
///
/// `series`: at least 4 values. Wald & Wolfowitz 1943, "An exact test for randomness in the non-parametric case based on
/// serial correlation": r is compared with that of other orders of these very values, whatever their distribution. Up
/// to 8 values all orders are tried; beyond, up to 1999 random ones, always the same, until 50 have reached the distance
/// (Besag & Clifford 1991, "Sequential Monte Carlo p-values"): a p near 0.05 has a standard error of 0.007. Their normal
/// approximation would take a single extreme value at either end for a correlation.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`].
pub fn lag1(series: &[f64]) -> Result<Lag1, SampleError> {
    finite(series, 4)?;
    let r = autocorrelation(series, 1);
    if !r.is_finite() {
        return Ok(Lag1 { r: 0.0, p: 1.0 });
    }
    let centre = mean(series);
    let mut centred: Vec<f64> = series.iter().map(|value| value - centre).collect();
    let squares: f64 = centred.iter().map(|value| value * value).sum();
    // The mean over all orders.
    let expected = -1.0 / series.len() as f64;
    // Other orders of the same products differ by rounding.
    let distance = (r - expected).abs() - 1e-12;
    let far = |order: &[f64]| {
        let products: f64 = order.windows(2).map(|pair| pair[0] * pair[1]).sum();
        (products / squares - expected).abs() >= distance
    };
    let (mut hits, mut tried) = (0u32, 0u32);
    if series.len() <= LAG1_EXACT {
        each_order(&mut centred, &mut |order| {
            hits += u32::from(far(order));
            tried += 1;
        });
        return Ok(Lag1 { r, p: f64::from(hits) / f64::from(tried) });
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    while tried < LAG1_ORDERS {
        shuffle(&mut centred, &mut rng);
        hits += u32::from(far(&centred));
        tried += 1;
        if hits == LAG1_HITS {
            return Ok(Lag1 { r, p: f64::from(hits) / f64::from(tried) });
        }
    }
    Ok(Lag1 { r, p: f64::from(hits + 1) / f64::from(tried + 1) })
}

/// Calls `visit` with every order of `values` (Heap 1963, "Permutations by interchanges").
fn each_order(values: &mut [f64], visit: &mut impl FnMut(&[f64])) {
    let mut turns = vec![0; values.len()];
    visit(values);
    let mut at = 1;
    while at < values.len() {
        if turns[at] < at {
            values.swap(if at % 2 == 0 { 0 } else { turns[at] }, at);
            visit(values);
            turns[at] += 1;
            at = 1;
        } else {
            turns[at] = 0;
            at += 1;
        }
    }
}

/// How many independent values would tell as much about the mean as this series does, in [1, n].
///
/// Geyer 1992, "Practical Markov chain Monte Carlo": n / (2 Σ Γₖ − 1), where Γₖ = ρ₂ₖ + ρ₂ₖ₊₁ are summed while they are
/// positive and are never above the one before (the initial monotone sequence). Series whose values avoid each other
/// would tell more than n; they are counted as n. Equal values count as n too. Time is O(n²) at worst.
///
/// NaN when `series` is empty or holds a NaN.
pub fn effective_sample_size(series: &[f64]) -> f64 {
    let n = series.len() as f64;
    if series.is_empty() || series.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let centre = mean(series);
    let squares: f64 = series.iter().map(|value| (value - centre) * (value - centre)).sum();
    if squares == 0.0 {
        return n;
    }
    let correlation = |lag: usize| {
        let later = &series[lag.min(series.len())..];
        series.iter().zip(later).map(|(now, then)| (now - centre) * (then - centre)).sum::<f64>() / squares
    };
    let (mut sum, mut last) = (0.0, f64::INFINITY);
    for lag in (0..series.len()).step_by(2) {
        let pair = correlation(lag) + correlation(lag + 1);
        if pair <= 0.0 {
            break;
        }
        last = pair.min(last);
        sum += last;
    }
    // Not positive when the values alternate: the mean is then known better than from n independent values.
    let inflation = 2.0 * sum - 1.0;
    if inflation <= 1.0 { n } else { (n / inflation).max(1.0) }
}
