//! Is a statistic of two samples different by more than chance? The samples' labels are shuffled to see what chance does.
//!
//! For statistics that ranks do not cover, such as a 90th percentile or a coefficient of variation.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::sample::{SampleError, below, binomial, finite};

#[cfg(test)]
mod tests;

/// What the permutation test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PermutationTest {
    /// Two-sided p: how often a random division of all values has a difference at least as large.
    pub p: f64,
    /// Whether all divisions were tried, rather than some at random.
    pub exact: bool,
}

/// Whether `statistic` of `a` and of `b` differ by more than chance; two-sided.
///
/// `a`, `b`: at least one value each, in any order, exchangeable if there is no difference. `statistic` must not depend on
/// order; it receives values in ascending order, so `|sorted| quantile(sorted, 0.9)` is a valid statistic. `resamples`: at
/// least 1. `seed`: matters only when the test is not exact.
///
/// All C(n + m, n) divisions are tried when they are at most `resamples` (Fisher 1935, "The Design of Experiments",
/// ch. 3; Pitman 1937). Otherwise `resamples` of them, at random, with the observed one counted among them: (hits + 1) /
/// (resamples + 1), which is never 0 (Phipson & Smyth 2010, "Permutation p-values should never be zero"). Differences equal
/// to the observed one count, and equal is up to the rounding of a sum of n + m terms.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::TooFewResamples`]; [`SampleError::Undefined`] when
/// `statistic` is not finite.
pub fn permutation_test(
    a: &[f64],
    b: &[f64],
    statistic: fn(&[f64]) -> f64,
    resamples: usize,
    seed: u64,
) -> Result<PermutationTest, SampleError> {
    finite(a, 1)?;
    finite(b, 1)?;
    if resamples == 0 {
        return Err(SampleError::TooFewResamples { found: 0, needed: 1 });
    }
    let mut division = Division::new(a, b, statistic);
    let observed = {
        let (mut a, mut b) = (a.to_vec(), b.to_vec());
        a.sort_unstable_by(f64::total_cmp);
        b.sort_unstable_by(f64::total_cmp);
        difference(statistic(&a), statistic(&b), a.len() + b.len())?
    };

    let all = binomial(a.len() + b.len(), a.len());
    if all <= resamples as f64 {
        let mut chosen: Vec<usize> = (0..a.len()).collect();
        let (mut hits, mut tried) = (0usize, 0usize);
        loop {
            hits += usize::from(division.of(chosen.iter().copied())?.reaches(observed));
            tried += 1;
            if !next_combination(&mut chosen, a.len() + b.len()) {
                return Ok(PermutationTest { p: hits as f64 / tried as f64, exact: true });
            }
        }
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut chosen = Vec::with_capacity(a.len());
    let mut hits = 0usize;
    for _ in 0..resamples {
        // Selection sampling (Fan, Muller & Rezucha 1962; Knuth's algorithm S): positions are generated in ascending order.
        chosen.clear();
        for position in 0..a.len() + b.len() {
            if below(&mut rng, a.len() + b.len() - position) < a.len() - chosen.len() {
                chosen.push(position);
            }
        }
        hits += usize::from(division.of(chosen.iter().copied())?.reaches(observed));
    }
    Ok(PermutationTest { p: (hits + 1) as f64 / (resamples + 1) as f64, exact: false })
}

/// |statistic(a) − statistic(b)| and how much of it may be rounding.
#[derive(Clone, Copy)]
struct Difference {
    value: f64,
    rounding: f64,
}

impl Difference {
    fn reaches(self, observed: Self) -> bool {
        self.value >= observed.value - self.rounding.max(observed.rounding)
    }
}

fn difference(a: f64, b: f64, len: usize) -> Result<Difference, SampleError> {
    let value = (a - b).abs();
    // Higham 2002, "Accuracy and Stability of Numerical Algorithms", ch. 4.2.
    let rounding = len as f64 * f64::EPSILON * a.abs().max(b.abs());
    if value.is_finite() { Ok(Difference { value, rounding }) } else { Err(SampleError::Undefined) }
}

/// All values, and the space for dividing them in two.
struct Division {
    sorted: Vec<f64>,
    a: Vec<f64>,
    b: Vec<f64>,
    statistic: fn(&[f64]) -> f64,
}

impl Division {
    fn new(a: &[f64], b: &[f64], statistic: fn(&[f64]) -> f64) -> Self {
        let mut sorted = [a, b].concat();
        sorted.sort_unstable_by(f64::total_cmp);
        Self { sorted, a: Vec::with_capacity(a.len()), b: Vec::with_capacity(b.len()), statistic }
    }

    /// The difference when `a` has the values at the positions `chosen`, which ascend.
    fn of(&mut self, chosen: impl Iterator<Item = usize>) -> Result<Difference, SampleError> {
        self.a.clear();
        self.b.clear();
        let mut from = 0;
        for position in chosen {
            self.b.extend_from_slice(&self.sorted[from..position]);
            self.a.push(self.sorted[position]);
            from = position + 1;
        }
        self.b.extend_from_slice(&self.sorted[from..]);
        difference((self.statistic)(&self.a), (self.statistic)(&self.b), self.sorted.len())
    }
}

/// The next choice of ascending positions below `len`, in lexicographic order; false after the last.
fn next_combination(chosen: &mut [usize], len: usize) -> bool {
    let count = chosen.len();
    let Some(at) = (0..count).rfind(|&at| chosen[at] < len - count + at) else { return false };
    let first = chosen[at] + 1;
    for (offset, position) in chosen[at..].iter_mut().enumerate() {
        *position = first + offset;
    }
    true
}
