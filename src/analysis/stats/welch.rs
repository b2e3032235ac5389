//! Ratios of means: Student's t for logarithms of two samples, independent or in pairs.
//!
//! Measured values are above zero and vary by shares, so that their logarithms are closer to normal than the values, and a
//! difference of means of logarithms is a ratio. With five repetitions, only a test that relies on that shape can reach a
//! significance below that of ranks, 2/252; see [`compare_two`](super::compare_two) for one that does not rely on it alone.
//!
//! # Values that do not vary
//!
//! Counts are often the same in every repetition, and t is then 0/0 or infinite: nothing is known about the spread. Equal
//! constants have p = 1. For different constants p is the largest probability, over all populations, with which two samples
//! of one population turn out as one constant each, and different ones: the population then has two equally frequent values
//! (for equal sizes), and p = 2 / 4ⁿ: 0.002 for 5 repetitions of each, 3·10⁻⁵ for 8. Nothing is assumed about the shape. For
//! pairs that all differ by the same amount it is 2 / 2ⁿ, the chance that all differ in one direction.

use super::descriptive::{mean, standard_deviation};
use super::sample::{SampleError, positive, share};
use super::student::Student;

#[cfg(test)]
mod tests;

/// Values whose logarithms differ by less are equal: those of the largest numbers are rounded by some 10⁻¹³.
pub(super) const ROUNDING: f64 = 1e-12;

/// Ratio of two geometric means, and whether it differs from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanRatio {
    /// Geometric mean of `b` over that of `a`, without unit.
    pub ratio: f64,
    /// Lower and upper end of the interval; `None` where values do not vary and are too few for the level.
    pub interval: Option<(f64, f64)>,
    /// Student's t; infinite for constants that differ.
    pub t: f64,
    /// Degrees of freedom, in general not a whole number.
    pub freedom: f64,
    /// Two-sided p of a `t` at least as far from 0 if there were no difference.
    pub p: f64,
}

/// By which factor the geometric mean of `b` exceeds that of `a`, for independent samples.
///
/// `a`, `b`: at least 2 values above zero each, in any order; sizes and spreads may differ. `level`: in (0, 1).
/// Welch 1947, "The generalization of 'Student's' problem when several different population variances are involved", on
/// logarithms, with the degrees of freedom of Satterthwaite 1946. For values that do not vary see the module.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for the
/// level.
pub fn welch(a: &[f64], b: &[f64], level: f64) -> Result<MeanRatio, SampleError> {
    positive(a, 2)?;
    positive(b, 2)?;
    share("confidence level", level)?;
    Ok(MeanTest::independent(&logs(a), &logs(b)).ratio(level))
}

/// By which factor the geometric mean of `b` exceeds that of `a`, where each value of `a` belongs to the one of `b` at the
/// same position, as repetitions of one round do.
///
/// `a`, `b`: the same number of values, at least 2, above zero. `level`: in (0, 1).
/// "Student" (Gosset) 1908, "The probable error of a mean", of the differences of logarithms. What affects both values of a
/// round cancels out. For pairs that all differ by the same amount see the module.
///
/// # Errors
/// [`SampleError::TooFew`], [`SampleError::NotFinite`], [`SampleError::NotPositive`]; [`SampleError::Share`] for the
/// level; [`SampleError::Pair`] when the lengths differ.
pub fn paired_t(a: &[f64], b: &[f64], level: f64) -> Result<MeanRatio, SampleError> {
    positive(a, 2)?;
    positive(b, 2)?;
    share("confidence level", level)?;
    if a.len() != b.len() {
        return Err(SampleError::Pair { index: a.len().min(b.len()) });
    }
    let differences: Vec<f64> = logs(a).iter().zip(logs(b)).map(|(a, b)| b - a).collect();
    Ok(MeanTest::paired(&differences).ratio(level))
}

/// Natural logarithms, with the same bits on every machine.
pub(super) fn logs(values: &[f64]) -> Vec<f64> {
    values.iter().map(|&value| libm::log(value)).collect()
}

/// p of `n` equal values against `m` equal values of another kind; see the module.
pub(super) fn constant_p(n: f64, m: f64) -> f64 {
    // The largest qⁿ(1 − q)ᵐ over q, twice: which value is whose.
    2.0 * libm::exp(n * libm::log(n / (n + m)) + m * libm::log(m / (n + m)))
}

/// A test of means that can be evaluated for any shift.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanTest {
    /// The shift that the data show.
    pub estimate: f64,
    error: f64,
    freedom: f64,
    student: Student,
    /// Where nothing varies: p of every other shift.
    constant: Option<f64>,
}

impl MeanTest {
    /// Of logarithms, at least 2 each.
    pub fn independent(a: &[f64], b: &[f64]) -> Self {
        let (n, m) = (a.len() as f64, b.len() as f64);
        let [sa, sb] = [a, b].map(standard_deviation);
        let estimate = mean(b) - mean(a);
        if sa <= ROUNDING && sb <= ROUNDING {
            return Self::constant(estimate, n + m - 2.0, constant_p(n, m));
        }
        let (va, vb) = (sa * sa / n, sb * sb / m);
        let variance = va + vb;
        let (ra, rb) = (va / variance, vb / variance);
        let freedom = 1.0 / (ra * ra / (n - 1.0) + rb * rb / (m - 1.0));
        Self { estimate, error: variance.sqrt(), freedom, student: Student::new(freedom), constant: None }
    }

    /// Of a difference whose standard error and degrees of freedom are known. `sizes`: of the samples, for values that do not vary.
    pub fn of_error(estimate: f64, error: f64, freedom: f64, sizes: (f64, f64)) -> Self {
        if error <= ROUNDING {
            return Self::constant(estimate, sizes.0 + sizes.1 - 2.0, constant_p(sizes.0, sizes.1));
        }
        Self { estimate, error, freedom, student: Student::new(freedom), constant: None }
    }

    /// Of differences of logarithms, at least 2.
    pub fn paired(differences: &[f64]) -> Self {
        let (n, s) = (differences.len() as f64, standard_deviation(differences));
        let (estimate, freedom) = (mean(differences), n - 1.0);
        if s <= ROUNDING {
            return Self::constant(estimate, freedom, 2.0 * libm::exp(-n * std::f64::consts::LN_2));
        }
        Self { estimate, error: s / n.sqrt(), freedom, student: Student::new(freedom), constant: None }
    }

    fn constant(estimate: f64, freedom: f64, p: f64) -> Self {
        Self { estimate, error: 0.0, freedom, student: Student::new(freedom), constant: Some(p.min(1.0)) }
    }

    /// Two-sided p if `b` were `shift` above `a`.
    pub fn p(&self, shift: f64) -> f64 {
        match self.constant {
            Some(_) if self.is_at(shift) => 1.0,
            Some(p) => p,
            None => self.student.two_sided((self.estimate - shift) / self.error),
        }
    }

    fn is_at(&self, shift: f64) -> bool {
        (self.estimate - shift).abs() <= ROUNDING
    }

    fn ratio(&self, level: f64) -> MeanRatio {
        let ratio = libm::exp(self.estimate);
        let (interval, t) = match self.constant {
            Some(p) => {
                let t = if self.is_at(0.0) { 0.0 } else { f64::INFINITY.copysign(self.estimate) };
                ((p <= 1.0 - level).then_some((ratio, ratio)), t)
            }
            None => {
                let half = self.student.quantile(0.5 + level / 2.0) * self.error;
                let ends = (libm::exp(self.estimate - half), libm::exp(self.estimate + half));
                (Some(ends), self.estimate / self.error)
            }
        };
        MeanRatio { ratio, interval, t, freedom: self.freedom, p: self.p(0.0) }
    }
}
