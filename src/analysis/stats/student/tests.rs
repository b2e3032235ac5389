use proptest::prelude::*;

use super::*;

/// With many degrees of freedom, x is close to 1 and loses digits.
fn precision(freedom: f64) -> f64 {
    2e-12_f64.max(1e-15 * freedom)
}

fn close(what: impl std::fmt::Debug, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{what:?}: found {found:?}, expected {expected:?}");
}

// [betainc(nu / 2, 1 / 2, 0, nu / (nu + t * t), regularized=True) for t, nu in ...]     mpmath 1.3, 40 digits
#[test]
fn tails_agree_with_mpmath() {
    for (t, freedom, expected) in [
        (0.3, 1.0, 0.8144528418445153),
        (4.657612, 7.650086, 0.0018343155435405407),
        (1.5, 2.5, 0.24783645308629626),
        (0.01, 50.0, 0.9920610813671429),
        (2.0, 198.0, 0.04686688360148828),
        (12.0, 198.0, 2.749309211067574e-25),
        (40.0, 8.0, 1.6785718879145792e-10),
        (-40.0, 7.4, 6.411845208693702e-10),
        (1e4, 7.4, 1.1717988679390711e-27),
        (300.0, 20.0, 5.163597374745147e-38),
        (1.8, 1e5, 0.07186365096666134),
        (9.0, 1e5, 2.295409005023157e-19),
        (1e30, 1.0, 6.3661977236758135e-31),
        (1e200, 1.0, 6.3661977236758134e-201),
    ] {
        close((t, freedom), student_two_sided(t, freedom), expected, precision(freedom));
        close((t, freedom), student_cdf(-t.abs(), freedom), expected / 2.0, precision(freedom));
        close((t, freedom), student_cdf(t.abs(), freedom), 1.0 - expected / 2.0, precision(freedom));
    }
    assert_eq!([student_two_sided(0.0, 3.0), student_two_sided(f64::INFINITY, 3.0), student_cdf(0.0, 9.0)], [1.0, 0.0, 0.5]);
    assert!(student_two_sided(f64::NAN, 3.0).is_nan() && student_two_sided(1.0, f64::NAN).is_nan());
}

// [scipy.stats.t.ppf(p, nu) for p, nu in ...], the last digits by findroot of mpmath     scipy 1.17.1
#[test]
fn quantiles_agree_with_scipy() {
    for (p, freedom, expected) in [
        (1e-12, 1.0, -318309886183.79065),
        (0.001, 1.0, -318.30883898555044),
        (0.975, 1.0, 12.706204736174694),
        (0.995, 1.7, 13.453612659922467),
        (0.6, 2.2, 0.28539154588830395),
        (0.995, 5.0, 4.032142983555227),
        (0.9, 8.0, 1.396815309743865),
        (0.2, 30.5, -0.8535654816406546),
        (0.985, 9.0, 2.573803977546803),
        (0.999999, 198.0, 4.89879370661623),
        (0.975, 1e6, 1.9599663568141066),
    ] {
        close((p, freedom), student_quantile(p, freedom), expected, precision(freedom));
    }
    // Next to the middle, p itself has few digits.
    close("middle", student_quantile(0.50001, 3.0), 2.720699046786482e-5, 1e-10);
    assert_eq!(student_quantile(0.5, 4.0), 0.0);
    assert_eq!([student_quantile(0.0, 4.0), student_quantile(1.0, 4.0)], [f64::NEG_INFINITY, f64::INFINITY]);
    assert!(student_quantile(1.1, 4.0).is_nan() && student_quantile(f64::NAN, 4.0).is_nan());
}

// [scipy.stats.chi2.ppf(p, nu) for p, nu in ...], the last digits by findroot of mpmath     scipy 1.17.1
#[test]
fn chi_squared_agrees_with_scipy() {
    for (p, freedom, expected) in [
        (0.2, 4.0, 1.6487766180659693),
        (0.2, 8.0, 4.5935736120561685),
        (0.2, 18.0, 12.856953096411939),
        (0.2, 7.4, 4.128784042245604),
        (0.001, 1.0, 1.57079714926249e-6),
        (1e-6, 3.0, 0.00024181048720124283),
        (0.5, 2.0, 1.3862943611198906),
        (0.975, 5.0, 12.832501994030025),
        (0.2, 198.0, 181.08731514854804),
        (0.999, 300.0, 381.4252485204115),
        (0.2, 1.0, 0.06418475466730159),
        (0.05, 0.5, 8.437150840525984e-6),
    ] {
        close((p, freedom), chi_squared_quantile(p, freedom), expected, 1e-12);
    }
    assert_eq!([chi_squared_quantile(0.0, 4.0), chi_squared_quantile(1.0, 4.0)], [0.0, f64::INFINITY]);
    assert!(chi_squared_quantile(-0.1, 4.0).is_nan() && chi_squared_quantile(0.2, 0.0).is_nan());
}

#[test]
fn with_many_degrees_it_is_normal() {
    for z in [0.1, 1.0, 2.5, 6.0] {
        close(z, student_two_sided(z, 1e9), 2.0 * super::super::normal::normal_cdf(-z), 1e-6);
    }
}

proptest! {
    #[test]
    fn quantile_inverts_the_tail(exponent in -25.0..-0.31, freedom in 1.0..300.0) {
        let tail = libm::pow(10.0, exponent);
        let found = student_cdf(student_quantile(tail, freedom), freedom);
        prop_assert!((found - tail).abs() <= 1e-10 * tail, "{tail} {freedom}: {found}");
    }

    #[test]
    fn chi_squared_inverts(p in 0.001..0.999, freedom in 0.5..400.0) {
        let found = gamma_below(freedom / 2.0, chi_squared_quantile(p, freedom) / 2.0);
        prop_assert!((found - p).abs() <= 1e-11 * p, "{p} {freedom}: {found}");
    }

    #[test]
    fn farther_is_rarer(t in 0.0..60.0, step in 0.0..5.0, freedom in 1.0..300.0) {
        let (near, far) = (student_two_sided(t, freedom), student_two_sided(t + step, freedom));
        prop_assert!((0.0..=1.0).contains(&near) && far <= near * (1.0 + 1e-12));
    }
}
