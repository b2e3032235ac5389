//! How many repetitions are needed to see a difference of a given size, estimated from a few that were made.

use super::combined::combined_p;
use super::descriptive::{mean, median, standard_deviation};
use super::normal::{normal_cdf, normal_quantile};
use super::ranks::smallest_p;
use super::sample::{SampleError, positive, share};
use super::student::{Student, chi_squared_quantile};
use super::welch::{constant_p, logs};

#[cfg(test)]
mod tests;

/// Repetitions of each of two variants with which a two-sided Mann-Whitney test at `alpha` finds a relative
/// difference of `effect` with probability `power`.
///
/// `a`, `b`: pilot repetitions, at least 3 each and above zero; their levels may differ. `effect`: above 0, 0.05 for 5
/// %. `alpha`, `power`: in (0, 1), such as 0.05 and 0.95.
///
/// Noether 1987, "Sample size determination for some common nonparametric tests": n = (z₁₋α/₂ + z_power)² / 6(p′ − ½)²
/// for each of two samples of one size, where p′ is the probability that a value times 1 + `effect` is above another.
/// p′ comes from all pairs of pilot values of the same variant, without assuming a shape, and smoothed, since few
/// values have no ratio in a narrow range. A pilot of a few may look steadier than it is: its spread is taken to be the
/// upper 80 % confidence limit of what it shows (Browne 1995, "On the use of a pilot sample for sample size determination"),
/// with χ² after Wilson & Hilferty 1931. Never below the size whose [`smallest_p`] allows `alpha`; a huge number, up to
/// `usize::MAX`, when hardly any number is enough.
///
/// For a power of 0.95, the number reaches 0.95 to 0.99 on average over pilots of 5 to 20 (simulated): it is between 1.3 and
/// 2 times what would be enough if the distribution were known, and larger for smaller pilots.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for
/// `alpha` and `power`, [`SampleError::Effect`] for `effect`.
pub fn repetitions_needed(a: &[f64], b: &[f64], effect: f64, alpha: f64, power: f64) -> Result<usize, SampleError> {
    positive(a, 3)?;
    positive(b, 3)?;
    share("alpha", alpha)?;
    share("power", power)?;
    if !(effect.is_finite() && effect > 0.0) {
        return Err(SampleError::Effect { what: "effect", value: effect });
    }
    let fewest = (1..).find(|&n| smallest_p(n, n) <= alpha).expect("2 / C(2n, n) falls below every alpha above 0");
    let freedom = (a.len() + b.len() - 2) as f64;
    let excess = above(a, b, libm::log1p(effect) / widening(freedom)) - 0.5;
    let z = normal_quantile(1.0 - alpha / 2.0) + normal_quantile(power);
    let needed = (z * z / (6.0 * excess * excess)).ceil();
    // Casts saturate; a power below alpha/2 needs nothing.
    Ok(if z > 0.0 { (needed as usize).max(fewest) } else { fewest })
}

/// Fewer repetitions are never recommended: two say nothing about the spread.
const FEWEST: usize = 3;
/// From this many on, t is normal to all digits that matter.
const MANY: usize = 1_000_000;

/// How many repetitions of each variant a verdict needs, estimated from a pilot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepetitionsNeeded {
    /// To find a difference as large as the threshold.
    pub for_threshold: usize,
    /// To find a difference as large as the pilot shows, minus what may be luck; at least as large as the threshold.
    pub for_effect: usize,
    /// To show that the difference is within the threshold, if there is none.
    pub for_same: usize,
}

/// Repetitions of each of two variants with which a comparison of logarithms reaches its verdict with probability
/// `power`.
///
/// `a`, `b`: pilot repetitions, at least 2 each and above zero. `threshold`: above 0, 0.05 for 5 %. `alpha`: the level
/// of the row after correction, such as 0.01 / 32. `power`: such as 0.9.
///
/// See [`repetitions_for_difference`] and [`repetitions_for_same`]. The pilot's spread is taken to be the upper 80 %
/// confidence limit of what it shows (Browne 1995, "On the use of a pilot sample for sample size determination"): the factor
/// is √(ν / χ²₀.₂) for ν = n + m − 2 degrees of freedom, 1.32 for two pilots of 5. The effect seen is reduced by 0.89
/// standard errors, since a pilot whose effect is too large by luck would ask for too few. For a power of 0.9, the numbers
/// reach 0.89 to 1.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for
/// `alpha` and `power`, [`SampleError::Effect`] for `threshold`.
pub fn repetitions_after_pilot(
    a: &[f64],
    b: &[f64],
    threshold: f64,
    alpha: f64,
    power: f64,
) -> Result<RepetitionsNeeded, SampleError> {
    positive(a, 2)?;
    positive(b, 2)?;
    let step = log_effect("threshold", threshold)?;
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (a, b) = (logs(a), logs(b));
    let [va, vb] = [&a, &b].map(|logs| standard_deviation(logs) * standard_deviation(logs));
    let freedom = n + m - 2.0;
    let spread = ((va * (n - 1.0) + vb * (m - 1.0)) / freedom).sqrt() * pilot_factor(freedom);
    let seen = (mean(&b) - mean(&a)).abs() - 0.89 * (va / n + vb / m).sqrt();
    Ok(RepetitionsNeeded {
        for_threshold: repetitions_for_difference(spread, step, alpha, power)?,
        for_effect: repetitions_for_difference(spread, seen.max(step), alpha, power)?,
        for_same: repetitions_for_same(spread, step, power)?,
    })
}

/// Repetitions of each of two variants with which a two-sided t test at `alpha` finds a `difference` with probability
/// `power`.
///
/// `spread`: standard deviation of logarithms of one variant, at least 0. `difference`: of logarithms, above 0: ln 1.05
/// for 5 %. `alpha`, `power`: in (0, 1).
///
/// The smallest n with difference ≥ (t₁₋α/₂ + t_power) · spread · √(2 / n), t with 2n − 2 degrees of freedom: the usual
/// approximation of the power of t (Guenther 1981, "Sample size formulas for normal theory t tests"), which for logarithms
/// is also that of [`compare_two`](super::compare_two), where the ranks' share costs almost nothing. Without spread, as many
/// as a test of values that do not vary needs. `usize::MAX` where hardly any number is enough.
///
/// # Errors
/// [`SampleError::Share`] for `alpha` and `power`, [`SampleError::Effect`] for `spread` and `difference`.
pub fn repetitions_for_difference(spread: f64, difference: f64, alpha: f64, power: f64) -> Result<usize, SampleError> {
    share("alpha", alpha)?;
    share("power", power)?;
    if spread == 0.0 {
        // Mann-Whitney takes part once it can give a small enough p.
        let ranks = |n| if smallest_p(n, n) <= 0.01 { smallest_p(n, n) } else { f64::NAN };
        let reaches = |&n: &usize| combined_p(&[constant_p(n as f64, n as f64), ranks(n)]) <= alpha;
        return Ok((FEWEST..).find(reaches).expect("4⁻ⁿ falls below every alpha above 0"));
    }
    needed(spread, difference, 1.0 - alpha / 2.0, power)
}

/// Repetitions of each of two variants with which a 95 % interval of their ratio is within ±`threshold` with probability
/// `power`, if there is no difference.
///
/// Like [`repetitions_for_difference`], with t₀.₉₇₅ + t at (1 + power) / 2: the interval must clear both ends (Schuirmann
/// 1987, "A comparison of the two one-sided tests procedure and the power approach", of which this is the stricter form).
///
/// # Errors
/// [`SampleError::Share`] for `power`, [`SampleError::Effect`] for `spread` and `threshold`.
pub fn repetitions_for_same(spread: f64, threshold: f64, power: f64) -> Result<usize, SampleError> {
    share("power", power)?;
    if spread == 0.0 {
        return Ok(FEWEST);
    }
    needed(spread, threshold, 0.975, (1.0 + power) / 2.0)
}

/// The smallest n with difference ≥ (t_first + t_second) · spread · √(2 / n).
fn needed(spread: f64, difference: f64, first: f64, second: f64) -> Result<usize, SampleError> {
    for (what, value) in [("spread", spread), ("difference", difference)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(SampleError::Effect { what, value });
        }
    }
    let enough = |n: usize| {
        let student = Student::new(2.0 * n as f64 - 2.0);
        difference >= (student.quantile(first) + student.quantile(second)) * spread * (2.0 / n as f64).sqrt()
    };
    let z = (normal_quantile(first) + normal_quantile(second)).max(0.0) * spread / difference;
    // Casts saturate.
    let normal = (2.0 * z * z).ceil() as usize;
    if normal > MANY {
        return Ok(normal);
    }
    // Heavier tails need more, never fewer: the search starts below and doubles, then halves what is left.
    let (mut low, mut high) = (FEWEST - 1, normal.max(FEWEST));
    while !enough(high) {
        (low, high) = (high, 2 * high);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Ok(high)
}

/// The upper 80 % confidence limit of a standard deviation, as a multiple of the one found.
fn pilot_factor(freedom: f64) -> f64 {
    (freedom / chi_squared_quantile(0.2, freedom)).sqrt()
}

fn log_effect(what: &'static str, value: f64) -> Result<f64, SampleError> {
    if value.is_finite() && value > 0.0 { Ok(libm::log1p(value)) } else { Err(SampleError::Effect { what, value }) }
}

/// Approximately the same as [`pilot_factor`].
fn widening(freedom: f64) -> f64 {
    let ninth = 2.0 / (9.0 * freedom);
    // The 20th percentile of χ² / ν.
    let root = 1.0 - ninth + normal_quantile(0.2) * ninth.sqrt();
    1.0 / (root * root * root).sqrt()
}

/// Probability that a value of a variant exceeds another of the same variant when its logarithm grows by `step`.
///
/// Every ordered pair of different repetitions counts, blurred by a normal kernel.
fn above(a: &[f64], b: &[f64], step: f64) -> f64 {
    let mut logs: Vec<f64> = Vec::new();
    for sample in [a, b] {
        for (at, &one) in sample.iter().enumerate() {
            logs.extend(sample.iter().enumerate().filter(|&(other, _)| other != at).map(|(_, &other)| libm::log(other / one)));
        }
    }
    let distances: Vec<f64> = logs.iter().map(|log| log.abs()).collect();
    // Half the width of Silverman 1986, "Density Estimation", eq. 3.28, for as many differences as there are values: the
    // blur adds to the spread, which is widened already.
    let width = 0.45 * median(&distances) / 0.674_489_750_196_081_7 * libm::pow((a.len() + b.len()) as f64, -0.2);
    let vote = |log: &f64| match step - log {
        difference if width > 0.0 => normal_cdf(difference / width),
        0.0 => 0.5,
        difference => f64::from(u8::from(difference > 0.0)),
    };
    logs.iter().map(vote).sum::<f64>() / logs.len() as f64
}
