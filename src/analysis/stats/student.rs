//! Student's t and χ² distributions, as needed for tests and numbers of repetitions.
//!
//! Tails are computed directly and not as 1 − something: a p of 10⁻³⁰ has as many correct digits as one of 0.3. Degrees of
//! freedom need not be whole.

use std::f64::consts::PI;

use super::normal::normal_quantile;

#[cfg(test)]
mod tests;

/// Student's t distribution with some degrees of freedom: whatever does not depend on t is computed once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Student {
    freedom: f64,
    /// Γ((ν + 1) / 2) / (Γ(ν / 2) √π).
    constant: f64,
}

impl Student {
    /// `freedom`: degrees of freedom, above 0, whole or not.
    pub fn new(freedom: f64) -> Self {
        Self { freedom, constant: gamma_ratio(freedom / 2.0) / PI.sqrt() }
    }

    /// Probability that t is at least as far from 0 as `t`: the p of a two-sided test.
    ///
    /// Iₓ(ν/2, ½) with x = ν / (ν + t²), Abramowitz & Stegun 1964, "Handbook of Mathematical Functions", 26.7.1, by the
    /// continued fraction of the incomplete beta function (26.5.8; modified Lentz, as in Press et al. 2007, "Numerical
    /// Recipes", ch. 6.4). NaN when `t` or the degrees of freedom are NaN.
    pub fn two_sided(&self, t: f64) -> f64 {
        let nu = self.freedom;
        let t = t.abs();
        if t.is_nan() || nu.is_nan() {
            return f64::NAN;
        }
        // t² would overflow beyond; with one degree of freedom p is then still 2 / (π t).
        if t > 1e150 {
            return if t.is_infinite() {
                0.0
            } else {
                (2.0 * self.constant / nu * libm::exp(nu * libm::log(nu.sqrt() / t))).min(1.0)
            };
        }
        let squared = t * t;
        let (x, rest) = (nu / (nu + squared), squared / (nu + squared));
        // xᵃ (1 − x)ᵇ / B(a, b)
        let front = libm::exp(-nu / 2.0 * libm::log1p(squared / nu)) * rest.sqrt() * self.constant;
        let (a, b) = (nu / 2.0, 0.5);
        if x < (a + 1.0) / (a + b + 2.0) {
            (front * beta_fraction(a, b, x) / a).min(1.0)
        } else {
            (1.0 - front * beta_fraction(b, a, rest) / b).max(0.0)
        }
    }

    /// The `t` that is not exceeded with probability `p`; infinite at 0 and 1, NaN outside.
    ///
    /// Newton's method on the logarithms of t and of the tail, kept between bounds; on t itself near the middle.
    pub fn quantile(&self, p: f64) -> f64 {
        if !(0.0..=1.0).contains(&p) || self.freedom.is_nan() {
            return f64::NAN;
        }
        let tail = 2.0 * p.min(1.0 - p);
        let sign = if p < 0.5 { -1.0 } else { 1.0 };
        if tail == 0.0 {
            return sign * f64::INFINITY;
        }
        if tail == 1.0 {
            return 0.0;
        }
        let (mut low, mut high) = (0.0, normal_quantile(tail / 2.0).abs().max(1.0));
        while self.two_sided(high) > tail {
            low = high;
            high *= 2.0;
        }
        let mut t = if tail > 0.3 { 0.0 } else { high };
        for _ in 0..200 {
            let found = self.two_sided(t);
            if found > tail {
                low = t
            } else {
                high = t
            }
            let density = 2.0 * self.density(t);
            let step = if tail > 0.3 {
                t + (found - tail) / density
            } else {
                t * libm::exp(libm::log(found / tail) * found / (t * density))
            };
            let next = if step > low && step < high { step } else { low + (high - low) / 2.0 };
            if (next - t).abs() <= 1e-15 * t {
                return sign * next;
            }
            t = next;
        }
        sign * t
    }

    fn density(&self, t: f64) -> f64 {
        let nu = self.freedom;
        self.constant / nu.sqrt() * libm::exp(-(nu + 1.0) / 2.0 * libm::log1p(t * t / nu))
    }
}

/// Probability that Student's t with `freedom` degrees is at least as far from 0 as `t`; see [`Student::two_sided`].
pub fn student_two_sided(t: f64, freedom: f64) -> f64 {
    Student::new(freedom).two_sided(t)
}

/// Probability that Student's t with `freedom` degrees is at most `t`, accurate in both tails.
pub fn student_cdf(t: f64, freedom: f64) -> f64 {
    let tail = student_two_sided(t, freedom) / 2.0;
    if t < 0.0 { tail } else { 1.0 - tail }
}

/// The `t` that Student's t with `freedom` degrees does not exceed with probability `p`; see [`Student::quantile`].
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    Student::new(freedom).quantile(p)
}

/// The value that χ² with `freedom` degrees does not exceed with probability `p`; infinite at 1, NaN outside [0, 1].
///
/// Newton's method on the incomplete gamma function (series and continued fraction of Press et al. 2007, ch. 6.2), starting
/// from the approximation of Wilson & Hilferty 1931, "The distribution of chi-square".
pub fn chi_squared_quantile(p: f64, freedom: f64) -> f64 {
    if !((0.0..=1.0).contains(&p) && freedom > 0.0 && freedom.is_finite()) {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let a = freedom / 2.0;
    let ninth = 2.0 / (9.0 * freedom);
    let root = 1.0 - ninth + normal_quantile(p) * ninth.sqrt();
    // For x = χ²/2. Far down the approximation is negative; there P(a, x) is xᵃ / Γ(a + 1).
    let low_end = libm::exp((libm::log(p) + libm::lgamma(a + 1.0)) / a);
    let mut x = if root > 0.2 { freedom * root * root * root / 2.0 } else { low_end };
    let (mut low, mut high) = (0.0, f64::INFINITY);
    for _ in 0..200 {
        let below = gamma_below(a, x);
        if below < p {
            low = x
        } else {
            high = x
        }
        let density = libm::exp((a - 1.0) * libm::log(x) - x - libm::lgamma(a));
        let step = x + (p - below) / density;
        let between = if high.is_finite() { low + (high - low) / 2.0 } else { 2.0 * x };
        let next = if step > low && step < high { step } else { between };
        if (next - x).abs() <= 4.0 * f64::EPSILON * x {
            return 2.0 * next;
        }
        x = next;
    }
    2.0 * x
}

/// Γ(a + ½) / Γ(a).
///
/// The series of its logarithm in 1/a (Tricomi & Erdélyi 1951, "The asymptotic expansion of a ratio of gamma functions")
/// from 20 on, where it has all digits; below, by Γ(a + 1) = a Γ(a). A difference of two log gammas would lose digits.
fn gamma_ratio(a: f64) -> f64 {
    let (mut a, mut below) = (a, 1.0);
    while a < 20.0 {
        below *= a / (a + 0.5);
        a += 1.0;
    }
    let (r, r2) = (1.0 / a, 1.0 / (a * a));
    let series = r * (-1.0 / 8.0 + r2 * (1.0 / 192.0 + r2 * (-1.0 / 640.0 + r2 * (17.0 / 14336.0 - r2 * 31.0 / 18432.0))));
    below * a.sqrt() * libm::exp(series)
}

/// The continued fraction of the incomplete beta function, Abramowitz & Stegun 26.5.8.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let away = |value: f64| if value.abs() < 1e-300 { 1e-300 } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // It takes some √max(a, b) steps.
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    fraction
}

/// P(a, x), the regularized lower incomplete gamma function.
fn gamma_below(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let front = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 {
        let (mut term, mut sum, mut at) = (1.0 / a, 1.0 / a, a);
        while term > sum * f64::EPSILON / 2.0 {
            at += 1.0;
            term *= x / at;
            sum += term;
        }
        return (front * sum).min(1.0);
    }
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for step in 1..100_000 {
        let i = f64::from(step);
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        fraction *= d * c;
        if (d * c - 1.0).abs() <= 2.0 * f64::EPSILON {
            break;
        }
    }
    (1.0 - front * fraction).max(0.0)
}
