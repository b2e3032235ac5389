//! What every method here requires of its input, and how it reports that the input is not suitable.

/// Why a sample or a series cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum SampleError {
    /// Too few values for any answer.
    #[error("found {found} value(s), expected at least {needed}: add repetitions")]
    TooFew { found: usize, needed: usize },
    /// Sessions cannot be separated from what they compare.
    #[error(
        "found {found} session(s) per side, expected at least {needed}: repeat in further sessions, or measure the floor of this machine"
    )]
    TooFewSessions { found: usize, needed: usize },
    /// Too few windows for a statement about the course of a run.
    #[error("found {found} window(s), expected at least {needed}: measure longer, or use shorter windows")]
    TooShort { found: usize, needed: usize },
    /// NaN or infinite input.
    #[error("value {index} (from 0) is {value}, expected a finite number")]
    NotFinite { index: usize, value: f64 },
    /// Zero or a negative number where only ratios make sense.
    #[error("value {index} (from 0) is {value}, expected a number above 0: compare differences instead of ratios")]
    NotPositive { index: usize, value: f64 },
    /// A probability outside (0, 1), such as 95 for 95 %.
    #[error("{what} is {value}, expected a share between 0 and 1 such as 0.05 or 0.95")]
    Share { what: &'static str, value: f64 },
    /// An effect or a tolerance that is not a share, or not above zero.
    #[error("{what} is {value}, expected a finite share such as 0.05 for 5 %")]
    Effect { what: &'static str, value: f64 },
    /// Not enough resamples for the smallest p that was requested.
    #[error("{found} resamples are too few, expected at least {needed}")]
    TooFewResamples { found: usize, needed: usize },
    /// Pairs that do not belong to the samples.
    #[error("pair {index} (from 0) names a value that does not exist, or one of an earlier pair: expected each at most once")]
    Pair { index: usize },
    /// The result, or the statistic of a resample, is NaN or infinite.
    #[error("the statistic is not a finite number for the sample or one of its resamples")]
    Undefined,
}

/// Rejects fewer than `needed` values, NaN and infinities.
pub(super) fn finite(sample: &[f64], needed: usize) -> Result<(), SampleError> {
    if sample.len() < needed {
        return Err(SampleError::TooFew { found: sample.len(), needed });
    }
    match sample.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(SampleError::NotFinite { index, value: sample[index] }),
        None => Ok(()),
    }
}

/// Rejects what [`finite`] rejects, zero and negative values.
pub(super) fn positive(sample: &[f64], needed: usize) -> Result<(), SampleError> {
    finite(sample, needed)?;
    match sample.iter().position(|&value| value <= 0.0) {
        Some(index) => Err(SampleError::NotPositive { index, value: sample[index] }),
        None => Ok(()),
    }
}

/// Rejects a probability outside (0, 1).
pub(super) fn share(what: &'static str, value: f64) -> Result<(), SampleError> {
    if value > 0.0 && value < 1.0 { Ok(()) } else { Err(SampleError::Share { what, value }) }
}

/// A whole number below `bound`, which is at least 1.
///
/// The high word of a product, after Lemire 2019, "Fast random integer generation in an interval", without its
/// rejection step: the bias is below `bound` / 2⁶⁴. Written out, since libraries may change how they draw.
pub(super) fn below(rng: &mut impl rand_xoshiro::rand_core::Rng, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// Puts `values` in random order (Fisher & Yates 1938; Durstenfeld 1964).
pub(super) fn shuffle(values: &mut [f64], rng: &mut impl rand_xoshiro::rand_core::Rng) {
    for last in (1..values.len()).rev() {
        values.swap(last, below(rng, last + 1));
    }
}

/// Number of ways to choose `k` of `n`, up to rounding; infinite where an `f64` cannot hold it.
pub(super) fn binomial(n: usize, k: usize) -> f64 {
    let k = k.min(n - k);
    // Each factor is the integer C(n − k + i, i), exact as long as it is below 2⁵³.
    (1..=k).fold(1.0, |product, i| product * (n - k + i) as f64 / i as f64)
}

/// Twice the midrank of each value, in input order, and Σ(t³ − t) over groups of t equal values.
///
/// Doubled, the ranks of ties are whole numbers: their sums compare without rounding.
pub(super) fn doubled_midranks(values: &[f64]) -> (Vec<usize>, f64) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0; values.len()];
    let mut ties = 0.0;
    let mut from = 0;
    // 0 and −0 are equal, so groups are found by `==`; in total order they are neighbours.
    for group in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let to = from + group.len();
        for &index in group {
            ranks[index] = from + to + 1;
        }
        let size = group.len() as f64;
        ties += size * size * size - size;
        from = to;
    }
    (ranks, ties)
}
