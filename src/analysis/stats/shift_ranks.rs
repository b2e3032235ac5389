//! Rank tests that can be evaluated for any shift, fast: for the interval of [`compare_two`](super::compare_two), which
//! needs some eighty evaluations, and for the hundreds of comparisons of a large experiment.
//!
//! Null distributions without ties depend only on sizes, and are counted once per process. At a shift of 0 ties are handled
//! as they are: exactly for small samples, and for large ones by stretching the distance to what it would be without ties.
//! At any other shift, values of different samples are equal only by accident; equal values within a sample then make p a
//! little too large, never too small.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::normal::normal_cdf;
use super::ranks::{EXACT_PAIRS, gcd, mann_whitney, smallest_p, tail_counts};
use super::sample::doubled_midranks;

#[cfg(test)]
mod tests;

/// With ties, p is counted up to this many pairs, some milliseconds at the limit.
const TIED_PAIRS: usize = 1600;
/// The distribution of the signed rank is counted up to this many pairs; the number of its cases is below 2²⁰¹.
const SIGNED_EXACT: usize = 200;
/// With ties or zeros, it is counted up to this many.
const SIGNED_TIED: usize = 60;

/// Two-sided tails of a symmetric statistic of whole numbers from 0: entry k is the probability of a value at least as
/// far from the middle as k.
type Tails = Arc<[f64]>;

fn cached<K: Ord>(cache: &Mutex<BTreeMap<K, Tails>>, key: K, count: impl FnOnce() -> Vec<f64>) -> Tails {
    // A table that was made is complete: a panic elsewhere does not damage it.
    if let Some(found) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return found.clone();
    }
    // Counted outside the lock: others need not wait, and making the same table twice does no harm.
    let counts = count();
    let mut below = 0.0;
    let all: f64 = counts.iter().sum();
    let tails: Tails = counts[..counts.len().div_ceil(2)]
        .iter()
        .map(|count| {
            below += count;
            (2.0 * below / all).min(1.0)
        })
        .collect();
    cache.lock().unwrap_or_else(PoisonError::into_inner).insert(key, tails.clone());
    tails
}

/// Of the number of pairs in which one of two samples is above the other, without ties.
fn rank_sum_tails(n: usize, m: usize) -> Tails {
    static CACHE: Mutex<BTreeMap<(usize, usize), Tails>> = Mutex::new(BTreeMap::new());
    let (n, m) = (n.min(m), n.max(m));
    cached(&CACHE, (n, m), || {
        let ranks: Vec<usize> = (0..n + m).collect();
        mirrored(tail_counts(&ranks, n, n * m / 2), n * m)
    })
}

/// Of the sum of the ranks of positive differences, without ties.
fn signed_rank_tails(n: usize) -> Tails {
    static CACHE: Mutex<BTreeMap<usize, Tails>> = Mutex::new(BTreeMap::new());
    cached(&CACHE, n, || signed_counts(&(1..=n).collect::<Vec<usize>>()))
}

/// The upper half of a symmetric distribution from 0 to `highest`, whose lower half is given.
fn mirrored(mut lower: Vec<f64>, highest: usize) -> Vec<f64> {
    for value in highest / 2 + 1..=highest {
        lower.push(lower[highest - value]);
    }
    lower
}

/// In how many ways some of `ranks` sum to 0, 1, …
fn signed_counts(ranks: &[usize]) -> Vec<f64> {
    let mut counts = vec![0.0; ranks.iter().sum::<usize>() + 1];
    counts[0] = 1.0;
    let mut highest = 0;
    for &rank in ranks {
        highest += rank;
        for sum in (rank..=highest).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    counts
}

/// The distribution of a symmetric statistic if there is no difference.
#[derive(Clone, Debug)]
struct Null {
    middle: f64,
    deviation: f64,
    tails: Option<Tails>,
}

impl Null {
    /// p of a value at `distance` from the middle. Between two whole values it is interpolated; where nothing is counted,
    /// the normal approximation with its correction for continuity.
    fn p(&self, distance: f64) -> f64 {
        let Some(tails) = &self.tails else {
            return (2.0 * normal_cdf((0.5 - distance) / self.deviation)).min(1.0);
        };
        let position = (self.middle - distance).max(0.0);
        let below = position as usize;
        let Some(&low) = tails.get(below) else { return 1.0 };
        let high = tails.get(below + 1).copied().unwrap_or(1.0);
        low + (high - low) * (position - below as f64)
    }

    /// p of a tied value, at a `distance` from its own middle with its own `deviation`, where values are `step` apart.
    fn p_tied(&self, distance: f64, deviation: f64, step: f64) -> f64 {
        // Nothing varies, or the value is the one next to the middle.
        if deviation == 0.0 || distance < step / 2.0 {
            return 1.0;
        }
        // From the middle between two values to the middle between two values.
        self.p((distance - step / 2.0) * self.deviation / deviation + 0.5)
    }
}

/// Mann & Whitney's test of two samples, one of which is shifted.
#[derive(Clone, Debug)]
pub(super) struct RankSum {
    a: Vec<f64>,
    b: Vec<f64>,
    null: Null,
    /// p at a shift of 0, where it differs from the table.
    tied: Option<f64>,
}

impl RankSum {
    /// Of at least one finite value each.
    pub fn new(a: &[f64], b: &[f64]) -> Self {
        let (n, m) = (a.len(), b.len());
        let [mut a, mut b] = [a.to_vec(), b.to_vec()];
        a.sort_unstable_by(f64::total_cmp);
        b.sort_unstable_by(f64::total_cmp);
        let (pairs, size) = (n as f64 * m as f64, (n + m) as f64);
        let null = Null {
            middle: pairs / 2.0,
            deviation: (pairs * (size + 1.0) / 12.0).sqrt(),
            tails: (n * m <= EXACT_PAIRS).then(|| rank_sum_tails(n, m)),
        };
        let mut test = Self { a, b, null, tied: None };
        test.tied = test.tied_p();
        test
    }

    fn tied_p(&self) -> Option<f64> {
        let (n, m) = (self.a.len(), self.b.len());
        let (ranks, ties) = doubled_midranks(&[&self.a[..], &self.b].concat());
        if ties == 0.0 {
            return None;
        }
        if n * m <= TIED_PAIRS {
            let counted = mann_whitney(&self.a, &self.b).expect("finite values, at least one each").p;
            // With ties one tail may be empty, and p half as large as at any other shift.
            return Some(counted.max(smallest_p(n, m)));
        }
        let size = (n + m) as f64;
        let variance = n as f64 * m as f64 / 12.0 * (size + 1.0 - ties / (size * (size - 1.0)));
        // Of doubled ranks; the number of pairs moves by half as much.
        let step = ranks.iter().fold(0, |step, &rank| gcd(rank.abs_diff(ranks[0]), step)) as f64 / 2.0;
        Some(self.null.p_tied((self.above(0.0) - self.null.middle).abs(), variance.max(0.0).sqrt(), step))
    }

    /// Number of pairs in which the value of `b`, minus `shift`, is above that of `a`; ties count half.
    pub fn above(&self, shift: f64) -> f64 {
        let (mut below, mut to_equal, mut above) = (0, 0, 0);
        for value in &self.b {
            let value = value - shift;
            while below < self.a.len() && self.a[below] < value {
                below += 1;
            }
            to_equal = to_equal.max(below);
            while to_equal < self.a.len() && self.a[to_equal] == value {
                to_equal += 1;
            }
            // Twice: below counts as two, equal as one.
            above += below + to_equal;
        }
        above as f64 / 2.0
    }

    /// Two-sided p if `b` were `shift` above `a`.
    pub fn p(&self, shift: f64) -> f64 {
        match self.tied {
            Some(p) if shift == 0.0 => p,
            _ => self.null.p((self.above(shift) - self.null.middle).abs()),
        }
    }

    /// Median of all differences `b − a` (Hodges & Lehmann 1963).
    pub fn estimate(&self) -> f64 {
        let mut differences = Vec::with_capacity(self.a.len() * self.b.len());
        for from in &self.a {
            differences.extend(self.b.iter().map(|to| to - from));
        }
        middle(&mut differences)
    }

    /// On which side of `a` the sample `b` is by this test: −1, 0 or 1.
    pub fn side(&self) -> f64 {
        side(self.above(0.0) - self.null.middle)
    }
}

/// Wilcoxon's signed rank test of differences that are shifted.
#[derive(Clone, Debug)]
pub(super) struct SignedRank {
    differences: Vec<f64>,
    null: Null,
    tied: Option<f64>,
}

impl SignedRank {
    /// Of at least one finite difference.
    ///
    /// Wilcoxon 1945, "Individual comparisons by ranking methods"; differences of 0 have ranks and no sign (Pratt 1959,
    /// "Remarks on zeros and ties in the Wilcoxon signed rank procedures").
    pub fn new(differences: &[f64]) -> Self {
        let mut differences = differences.to_vec();
        differences.sort_unstable_by(f64::total_cmp);
        let n = differences.len();
        let size = n as f64;
        let null = Null {
            middle: size * (size + 1.0) / 4.0,
            deviation: (size * (size + 1.0) * (2.0 * size + 1.0) / 24.0).sqrt(),
            tails: (n <= SIGNED_EXACT).then(|| signed_rank_tails(n)),
        };
        let mut test = Self { differences, null, tied: None };
        test.tied = test.tied_p();
        test
    }

    fn tied_p(&self) -> Option<f64> {
        let sizes: Vec<f64> = self.differences.iter().map(|difference| difference.abs()).collect();
        let (doubled, ties) = doubled_midranks(&sizes);
        if ties == 0.0 && !sizes.contains(&0.0) {
            return None;
        }
        let signed = || self.differences.iter().zip(&doubled).filter(|(difference, _)| **difference != 0.0);
        let ranks: Vec<usize> = signed().map(|(_, &rank)| rank).collect();
        let all: usize = ranks.iter().sum();
        let positive: usize = signed().filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum();
        // Of doubled ranks, and doubled again: whole numbers.
        let distance = (2 * positive).abs_diff(all);
        if self.differences.len() <= SIGNED_TIED {
            let counts = signed_counts(&ranks);
            let far = counts.iter().enumerate().filter(|(sum, _)| (2 * sum).abs_diff(all) >= distance);
            return Some(far.map(|(_, count)| count).sum::<f64>() / counts.iter().sum::<f64>());
        }
        let step = ranks.iter().fold(0, |step, &rank| gcd(rank, step)) as f64 / 2.0;
        let variance: f64 = ranks.iter().map(|&rank| rank as f64 * rank as f64 / 16.0).sum();
        Some(self.null.p_tied(distance as f64 / 4.0, variance.sqrt(), step))
    }

    /// Sum of the ranks of differences above `shift`, in order of their distance from it; those equal to it count half.
    fn positive(&self, shift: f64) -> f64 {
        let split = self.differences.partition_point(|difference| *difference < shift);
        let (below, above) = self.differences.split_at(split);
        let (mut down, mut up) = (below.iter().rev().peekable(), above.iter().peekable());
        let (mut ranked, mut sum) = (0.0, 0.0);
        loop {
            let [low, high] =
                [down.peek().map(|d| shift - **d), up.peek().map(|d| **d - shift)].map(|d| d.unwrap_or(f64::INFINITY));
            let size = low.min(high);
            if size == f64::INFINITY {
                return sum;
            }
            let (mut negative, mut positive) = (0.0, 0.0);
            while down.next_if(|d| shift - **d == size).is_some() {
                negative += 1.0;
            }
            while up.next_if(|d| **d - shift == size).is_some() {
                positive += 1.0;
            }
            let group = negative + positive;
            let rank = ranked + (group + 1.0) / 2.0;
            sum += rank * if size == 0.0 { group / 2.0 } else { positive };
            ranked += group;
        }
    }

    /// Two-sided p if differences were symmetric about `shift`.
    pub fn p(&self, shift: f64) -> f64 {
        match self.tied {
            Some(p) if shift == 0.0 => p,
            _ => self.null.p((self.positive(shift) - self.null.middle).abs()),
        }
    }

    /// Median of the means of all pairs of differences (Hodges & Lehmann 1963).
    pub fn estimate(&self) -> f64 {
        super::ranks::hodges_lehmann(&self.differences)
    }

    /// On which side of 0 the differences are by this test: −1, 0 or 1.
    pub fn side(&self) -> f64 {
        side(self.positive(0.0) - self.null.middle)
    }
}

fn side(distance: f64) -> f64 {
    if distance == 0.0 { 0.0 } else { distance.signum() }
}

/// The median, of at least one value.
fn middle(values: &mut [f64]) -> f64 {
    let at = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut high, _) = values.select_nth_unstable_by(at, f64::total_cmp);
    if !even {
        return high;
    }
    let low = below.iter().copied().max_by(f64::total_cmp).expect("an even number of values is at least two");
    if low == high { low } else { low + (high - low) / 2.0 }
}
