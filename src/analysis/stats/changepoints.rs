//! Where a series changes its level or its spread.
//!
//! Two methods: [`e_divisive`] assumes nothing about the distribution and tests whether a change is significant; [`pelt`]
//! assumes normal values between changes, needs no test, is faster for long series and sees a change of spread at a constant
//! level, which the former hardly does.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::descriptive::mean;
use super::sample::{SampleError, finite, share, shuffle};

#[cfg(test)]
mod tests;

/// Where the distribution of a series changes: the positions at which a new segment starts, ascending; empty when there is
/// no change.
///
/// `series`: in the order of time, independent within a segment. `min_segment`: values in a segment, at least 2.
/// `significance`: in (0, 1), of each change. `permutations`: at least 1/`significance` − 1. `seed`: the same seed gives
/// the same changes.
///
/// Matteson & James 2014, "A nonparametric approach for multiple change point analysis of multivariate data", with α = 1:
/// the segment and the place in it with the largest energy distance (Székely & Rizzo 2005) between the values before and a
/// stretch of the values after is tested by shuffling values within segments, until no place is significant. The shuffling
/// ends as soon as significance is out of reach (Besag & Clifford 1991, "Sequential Monte Carlo p-values"), which changes no
/// decision. Time per permutation is O(Σ l²) over segment lengths l; memory is O(n).
///
/// # Errors
/// [`SampleError::NotFinite`]; [`SampleError::Share`]; [`SampleError::TooFewResamples`]. A series too short for two
/// segments has no change, which is not an error.
pub fn e_divisive(
    series: &[f64],
    min_segment: usize,
    significance: f64,
    permutations: usize,
    seed: u64,
) -> Result<Vec<usize>, SampleError> {
    finite(series, 0)?;
    share("significance", significance)?;
    // Rounded up, except for the error of the division: 1/0.05 − 1 is 19.
    let needed = (1.0 / significance - 1.0 - 1e-9).ceil() as usize;
    if permutations < needed {
        return Err(SampleError::TooFewResamples { found: permutations, needed });
    }
    // How many shuffles may reach the observed distance: (hits + 1) / (permutations + 1) is at most the significance.
    let most_hits = (significance * (permutations + 1) as f64 + 1e-9) as usize - 1;

    let mut search = Search::new(series.len(), min_segment.max(2));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut shuffled = series.to_vec();
    // Ends of segments, and the best place in each; a segment keeps its best place until it is divided.
    let mut segments = vec![(series.len(), search.best(series, f64::INFINITY))];
    while let Some(chosen) = (0..segments.len()).max_by(|&i, &j| segments[i].1.distance.total_cmp(&segments[j].1.distance)) {
        let from = if chosen == 0 { 0 } else { segments[chosen - 1].0 };
        let (to, best) = segments[chosen];
        // The distance between equal values consists of rounding errors.
        let scale = series[from..to].iter().fold(0.0f64, |scale, value| scale.max((value - series[from]).abs()));
        if best.distance <= 1e-12 * scale {
            break;
        }
        // Sums in another order are rounded differently.
        let reach = best.distance * (1.0 - 1e-9);
        let mut hits = 0;
        for _ in 0..permutations {
            let mut start = 0;
            let mut hit = false;
            for &(end, _) in &segments {
                shuffle(&mut shuffled[start..end], &mut rng);
                hit = hit || search.best(&shuffled[start..end], reach).distance >= reach;
                start = end;
            }
            hits += usize::from(hit);
            if hits > most_hits {
                break;
            }
        }
        if hits > most_hits {
            break;
        }
        let at = from + best.at;
        segments[chosen] = (to, search.best(&series[at..to], f64::INFINITY));
        segments.insert(chosen, (at, search.best(&series[from..at], f64::INFINITY)));
    }
    segments.pop();
    Ok(segments.into_iter().map(|(end, _)| end).collect())
}

/// The place in a stretch with the largest scaled energy distance; a distance of 0 where no place has a positive one.
#[derive(Clone, Copy)]
struct Best {
    distance: f64,
    at: usize,
}

/// Space for the sums of one stretch, reused for all.
struct Search {
    min_segment: usize,
    /// L(m) / (m − 1): L sums the distances of all pairs within the first m values.
    left: Vec<f64>,
    /// R(m): the distances of all pairs of values from the m-th to the current end.
    right: Vec<f64>,
    /// 1 / (len − i), so that the divisors of ascending places are in ascending order.
    inverse: Vec<f64>,
}

impl Search {
    fn new(len: usize, min_segment: usize) -> Self {
        let inverse = (0..len).map(|i| 1.0 / (len - i) as f64).collect();
        Self { min_segment, left: vec![0.0; len + 1], right: vec![0.0; len], inverse }
    }

    /// The best place for a division of `values`, or the first that reaches `enough`.
    ///
    /// The distance between m values and the n after them, k = m + n, is Q = 2/k · (B − n·L/(m−1) − m·R/(n−1)), where B sums
    /// the distances from one side to the other. With T = L + B + R, the sum over all pairs, that is 2/k · (T −
    /// (k−1)·(L/(m−1) + R/(n−1))): for one end, only the last bracket depends on the place.
    fn best(&mut self, values: &[f64], enough: f64) -> Best {
        let shortest = self.min_segment;
        let mut best = Best { distance: 0.0, at: 0 };
        if values.len() < 2 * shortest {
            return best;
        }
        self.right[..values.len()].fill(0.0);
        let mut total = 0.0;
        for (last, &value) in values.iter().enumerate() {
            total += add_distances(&mut self.right[..last], &values[..last], value);
            let end = last + 1;
            self.left[end] = total / last.max(1) as f64;
            if end < 2 * shortest {
                continue;
            }
            let places = shortest..end - shortest + 1;
            // 1 / (n − 1) for n = end − place.
            let first = self.inverse.len() - (end - shortest - 1);
            let left = &self.left[places.clone()];
            let right = &self.right[places];
            let inverse = &self.inverse[first..][..left.len()];
            let least = least_sum(left, right, inverse);
            let distance = 2.0 / end as f64 * (total - last as f64 * least);
            if distance > best.distance {
                let at = (0..left.len()).find(|&at| left[at] + right[at] * inverse[at] == least);
                best = Best { distance, at: shortest + at.expect("the least is one of them") };
                if distance >= enough {
                    return best;
                }
            }
        }
        best
    }
}

/// Adds to each of `sums` the distances of `value` from all values from that place on, and returns the sum of all.
fn add_distances(sums: &mut [f64], values: &[f64], value: f64) -> f64 {
    let mut carried = 0.0;
    // Four at a time: only one addition in four waits for the previous one. This is most of the time of `e_divisive`.
    let (mut sums, mut values) = (sums.rchunks_exact_mut(4), values.rchunks_exact(4));
    for (sums, values) in sums.by_ref().zip(values.by_ref()) {
        let distances = [0, 1, 2, 3].map(|at| (values[at] - value).abs());
        let (front, back) = (distances[0] + distances[1], distances[2] + distances[3]);
        sums[3] += carried + distances[3];
        sums[2] += carried + back;
        sums[1] += carried + (distances[1] + back);
        carried += front + back;
        sums[0] += carried;
    }
    for (sum, other) in sums.into_remainder().iter_mut().zip(values.remainder()).rev() {
        carried += (other - value).abs();
        *sum += carried;
    }
    carried
}

/// The least of `left + right · inverse`.
fn least_sum(left: &[f64], right: &[f64], inverse: &[f64]) -> f64 {
    let lesser = |one: f64, other: f64| if one < other { one } else { other };
    let mut least = [f64::INFINITY; 4];
    let fours = left.len() / 4 * 4;
    for ((left, right), inverse) in left.chunks_exact(4).zip(right.chunks_exact(4)).zip(inverse.chunks_exact(4)) {
        for at in 0..4 {
            least[at] = lesser(left[at] + right[at] * inverse[at], least[at]);
        }
    }
    for at in fours..left.len() {
        least[0] = lesser(left[at] + right[at] * inverse[at], least[0]);
    }
    lesser(lesser(least[0], least[1]), lesser(least[2], least[3]))
}

/// Where mean or variance of a series change: the positions at which a new segment starts, ascending.
///
/// `series`: in the order of time, normal within a segment. `penalty`: what one change must gain in −2 log-likelihood,
/// such as 3·ln(n) (BIC, three parameters for each change) or more. `min_segment`: values in a segment, at least 2.
///
/// Killick, Fearnhead & Eckley 2012, "Optimal detection of changepoints with a linear computational cost": the exact
/// optimum, by dynamic programming that forgets places which can no longer be the last change. Time is O(n) when changes are
/// spread over the series, O(n²) at worst. A variance below 10⁻¹² of the whole counts as that much, so that equal neighbours
/// have a finite likelihood.
///
/// Empty when `series` has no change, is too short for two segments, or contains a value that is not finite.
pub fn pelt(series: &[f64], penalty: f64, min_segment: usize) -> Vec<usize> {
    let (n, shortest) = (series.len(), min_segment.max(2));
    if n < 2 * shortest || penalty.is_nan() || series.iter().any(|value| !value.is_finite()) {
        return Vec::new();
    }
    // Distances from the mean: sums of squares of large values would hide their spread.
    let centre = mean(series);
    let mut sums = vec![(0.0, 0.0); n + 1];
    for (at, value) in series.iter().enumerate() {
        let value = value - centre;
        sums[at + 1] = (sums[at].0 + value, sums[at].1 + value * value);
    }
    let floor = 1e-12 * sums[n].1 / n as f64;
    if floor == 0.0 {
        return Vec::new();
    }
    let cost = |from: usize, to: usize| {
        let len = (to - from) as f64;
        let (sum, squares) = (sums[to].0 - sums[from].0, sums[to].1 - sums[from].1);
        let variance = ((squares - sum * sum / len) / len).max(0.0);
        // The least over all variances not below the floor, so that dividing a segment never costs.
        len * (libm::log(2.0 * std::f64::consts::PI * variance.max(floor)) + variance / variance.max(floor))
    };
    // The least cost of the series up to each place, and the last change on the way there.
    let mut least = vec![(f64::INFINITY, 0); n + 1];
    least[0] = (-penalty, 0);
    // Places that may be the last change, each with the end from which on it cannot: for ends after `to`, `to` itself is a
    // better place than `from`, but only once a segment fits in between.
    let mut candidates = vec![(0, usize::MAX)];
    for to in shortest..=n {
        if to >= 2 * shortest {
            candidates.push((to - shortest, usize::MAX));
        }
        candidates.retain(|&(_, until)| to < until);
        for &(from, _) in &candidates {
            let total = least[from].0 + cost(from, to) + penalty;
            if total < least[to].0 {
                least[to] = (total, from);
            }
        }
        let limit = least[to].0;
        for (from, until) in &mut candidates {
            if *until == usize::MAX && least[*from].0 + cost(*from, to) > limit {
                *until = to + shortest;
            }
        }
    }
    let mut changes = Vec::new();
    let mut at = least[n].1;
    while at > 0 {
        changes.push(at);
        at = least[at].1;
    }
    changes.reverse();
    changes
}
