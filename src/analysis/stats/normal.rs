//! The standard normal distribution, as the bootstrap needs it.
//!
//! `exp` and `ln` of the standard library come from the platform and differ in the last bit between platforms; the
//! `libm` crate computes them in Rust, so that an interval has the same bits everywhere.

use std::f64::consts::SQRT_2;

/// Probability that a standard normal variable is at most `z`: erfc(−z/√2) / 2, accurate in both tails.
///
/// NaN when `z` is NaN.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The `z` that a standard normal variable does not exceed with probability `p`; the inverse of [`normal_cdf`].
///
/// Infinite at 0 and 1, NaN outside [0, 1].
/// Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution", PPND16: about 16 digits.
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    let centred = p - 0.5;
    if centred.abs() <= 0.425 {
        return centred * ratio(&CENTRE, 0.180625 - centred * centred);
    }
    let tail = if centred < 0.0 { p } else { 1.0 - p };
    if tail == 0.0 {
        return f64::INFINITY.copysign(centred);
    }
    let r = (-libm::log(tail)).sqrt();
    let z = if r <= 5.0 { ratio(&TAIL, r - 1.6) } else { ratio(&FAR_TAIL, r - 5.0) };
    z.copysign(centred)
}

/// Numerator and denominator of a rational approximation, each from the constant term upwards.
type Rational = [[f64; 8]; 2];

fn ratio([numerator, denominator]: &Rational, x: f64) -> f64 {
    let polynomial = |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient);
    polynomial(numerator) / polynomial(denominator)
}

// The names a, b; c, d; e, f in the paper. Digits beyond what an f64 holds are dropped.
#[rustfmt::skip]
const CENTRE: Rational = [
    [3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946,
     45921.95393154987, 67265.7709270087, 33430.57558358813, 2509.0809287301227],
    [1.0, 42.31333070160091, 687.1870074920579, 5394.196021424751,
     21213.794301586597, 39307.89580009271, 28729.085735721943, 5226.495278852854],
];
#[rustfmt::skip]
const TAIL: Rational = [
    [1.4234371107496835, 4.630337846156546, 5.769497221460691, 3.6478483247632045,
     1.2704582524523684, 0.2417807251774506, 0.022723844989269184, 0.0007745450142783414],
    [1.0, 2.053191626637759, 1.6763848301838038, 0.6897673349851,
     0.14810397642748008, 0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9],
];
#[rustfmt::skip]
const FAR_TAIL: Rational = [
    [6.657904643501103, 5.463784911164114, 1.7848265399172913, 0.29656057182850487,
     0.026532189526576124, 0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7],
    [1.0, 0.599832206555888, 0.1369298809227358, 0.014875361290850615,
     0.0007868691311456133, 1.8463183175100548e-5, 1.421511758316446e-7, 2.0442631033899397e-15],
];

#[cfg(test)]
mod tests {
    use super::*;

    // [(z, scipy.special.ndtr(z)) for z in ...]     scipy 1.17.1
    #[test]
    fn cdf_agrees_with_scipy() {
        for (z, expected) in [
            (-8.5, 9.47953482220325e-18),
            (-5.0, 2.866515718791933e-7),
            (-1.96, 0.024997895148220435),
            (-0.5, 0.3085375387259869),
            (0.0, 0.5),
            (0.3, 0.6179114221889526),
            (1.0, 0.8413447460685429),
            (2.5, 0.9937903346742238),
            (6.0, 0.9999999990134123),
        ] {
            // The relative error of erfc grows with z² times that of z/√2.
            assert!((normal_cdf(z) - expected).abs() <= 2e-14 * expected, "z = {z}: {:?}", normal_cdf(z));
        }
    }

    // [(p, scipy.special.ndtri(p)) for p in ...]
    #[test]
    fn quantile_agrees_with_scipy() {
        for (p, expected) in [
            (1e-300, -37.0470962993612),
            (1e-20, -9.262340089798409),
            (1e-9, -5.9978070150076865),
            (0.001, -3.090232306167813),
            (0.025, -1.9599639845400545),
            (0.07, -1.4757910281791706),
            (0.3, -0.5244005127080409),
            (0.5, 0.0),
            (0.6, 0.2533471031357997),
            (0.975, 1.959963984540054),
            (0.999999, 4.753424308817087),
        ] {
            assert!((normal_quantile(p) - expected).abs() <= 2e-15 * expected.abs(), "p = {p}: {:?}", normal_quantile(p));
        }
    }

    #[test]
    fn ends_and_outside() {
        assert_eq!((normal_quantile(0.0), normal_quantile(1.0)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    #[test]
    fn quantile_inverts_cdf() {
        for step in -80..=50 {
            let z = f64::from(step) / 10.0;
            assert!((normal_quantile(normal_cdf(z)) - z).abs() < 1e-9, "z = {z}");
        }
    }
}
