//! How many independent rounds a sample is worth when its successive rounds are alike.
//!
//! For notes and for plans, not for verdicts: twenty rounds cannot distinguish slow drift from a difference, and with real
//! series whose memory is longer than one round, no method that uses only these series keeps its level.

use super::descriptive::mean;
use super::sample::{SampleError, positive, share};
use super::student::Student;
use super::welch::logs;

#[cfg(test)]
mod tests;

/// The formulas divide by n − 4.
const FEWEST: usize = 5;
/// A series that is closer to a random walk has no meaningful mean.
const STRONGEST: f64 = 0.98;

/// How strongly a series depends on its last value, and what that costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SerialDependence {
    /// Correlation of successive values, corrected for the bias of short series; in [0, 0.98].
    pub phi: f64,
    /// How many times larger the variance of the mean is than for independent values; at least 1.
    pub inflation: f64,
    /// How many independent values would tell as much about the mean: n / `inflation`.
    pub worth: f64,
}

/// How many independent values a series of dependent ones is worth, if each depends on the previous one.
///
/// `series`: in the order of time, at least 5 finite values. A first-order autoregression (Bayley & Hammersley 1946,
/// "The 'effective' number of independent observations in an autocorrelated time series"): v = 1 + 2 Σ (1 − k/n) φᵏ,
/// with φ = (n r + 1) / (n − 4) between 0 and 0.98, where r is the correlation of neighbours: short series show too
/// little of it (Kendall 1954, "Note on bias in the estimation of autocorrelation"; Marriott & Pope 1954). Equal values
/// are taken to be independent.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`].
pub fn serial_dependence(series: &[f64]) -> Result<SerialDependence, SampleError> {
    super::sample::finite(series, FEWEST)?;
    let n = series.len() as f64;
    let (products, squares) = sums(series);
    let phi = corrected(products, squares, n);
    let inflation = inflation(phi, series.len());
    Ok(SerialDependence { phi, inflation, worth: n / inflation })
}

/// Ratio of two geometric means of dependent series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DependentRatio {
    /// Geometric mean of `b` over that of `a`, without unit.
    pub ratio: f64,
    /// Lower and upper end of the interval.
    pub interval: (f64, f64),
    /// Correlation of successive values, as in [`SerialDependence::phi`], from both.
    pub phi: f64,
    /// How many times larger the variance of a mean is, averaged over both.
    pub inflation: f64,
    /// Degrees of freedom.
    pub freedom: f64,
    /// Two-sided p, more realistic than that of independent values and still too small for long memories.
    pub p: f64,
}

/// By which factor the geometric mean of `b` exceeds that of `a`, for series whose values depend on the previous one.
///
/// `a`, `b`: in the order of time, at least 5 values above zero each, from two separate stretches of time. `level`: in
/// (0, 1).
///
/// Student's t of logarithms with the variance of [`serial_dependence`], one φ from both series: s² is the mean square about each
/// mean over 1 − v/n, at least 0.02, the share of the variance that a sample of n shows (Law & Kelton 2000, "Simulation
/// Modeling and Analysis", ch. 4.4); the error is √(s² (v/n + v/m)), with n/v + m/v − 2 degrees of freedom, at least 1.
/// Simulated with 20 values of each at a level of 1 %: false positives 0.7 % at φ 0, 2 % at 0.7, 4 % at 0.9, where
/// independence claims 29 and 59 %.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for the
/// level.
pub fn dependent_ratio(a: &[f64], b: &[f64], level: f64) -> Result<DependentRatio, SampleError> {
    positive(a, FEWEST)?;
    positive(b, FEWEST)?;
    share("confidence level", level)?;
    let (a, b) = (logs(a), logs(b));
    let (n, m) = (a.len() as f64, b.len() as f64);
    let ((pa, sa), (pb, sb)) = (sums(&a), sums(&b));
    let phi = corrected(pa + pb, sa + sb, (n + m) / 2.0);
    let (va, vb) = (inflation(phi, a.len()), inflation(phi, b.len()));
    let shown = |v: f64, n: f64| (1.0 - v / n).max(0.02);
    // The mean of both, as if each were one series.
    let square = (sa / n / shown(va, n) + sb / m / shown(vb, m)) / 2.0;
    let error = (square * (va / n + vb / m)).sqrt();
    let freedom = (n / va + m / vb - 2.0).max(1.0);
    let difference = mean(&b) - mean(&a);
    let student = Student::new(freedom);
    let p = match error > 0.0 {
        true => student.two_sided(difference / error),
        false if difference.abs() <= super::welch::ROUNDING => 1.0,
        false => super::welch::constant_p(n, m),
    };
    let half = student.quantile(0.5 + level / 2.0) * error;
    Ok(DependentRatio {
        ratio: libm::exp(difference),
        interval: (libm::exp(difference - half), libm::exp(difference + half)),
        phi,
        inflation: (va + vb) / 2.0,
        freedom,
        p,
    })
}

/// Σ xₜ xₜ₋₁ and Σ x² of the centred series.
fn sums(series: &[f64]) -> (f64, f64) {
    let centre = mean(series);
    let products = series.windows(2).map(|pair| (pair[0] - centre) * (pair[1] - centre)).sum();
    (products, series.iter().map(|value| (value - centre) * (value - centre)).sum())
}

/// φ, corrected for the bias of series of `n` values.
fn corrected(products: f64, squares: f64, n: f64) -> f64 {
    if squares == 0.0 { 0.0 } else { ((n * products / squares + 1.0) / (n - 4.0)).clamp(0.0, STRONGEST) }
}

/// Variance of a mean of n values, as a multiple of that of independent ones.
fn inflation(phi: f64, n: usize) -> f64 {
    let mut power = 1.0;
    let mut sum = 0.0;
    for lag in 1..n {
        power *= phi;
        sum += (1.0 - lag as f64 / n as f64) * power;
    }
    1.0 + 2.0 * sum
}
