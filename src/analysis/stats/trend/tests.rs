use proptest::prelude::*;

use super::super::reference::{assert_close, numbers, python, r, series};
use super::*;

#[test]
fn kendall_agrees_with_scipy_and_pymannkendall() {
    let python = python();
    let mut exact = 0;
    for (name, series) in series() {
        let (found, expected) = (kendall(&series).unwrap(), &python["kendall"][&name]);
        assert_close(&name, found.tau, expected["tau"].as_f64().unwrap(), 1e-13);
        assert_close(&name, found.p, expected["p"].as_f64().unwrap(), 1e-12);
        exact += usize::from(found.exact);
    }
    assert!(exact >= 10);
}

#[test]
fn spearman_agrees_with_scipy() {
    let python = python();
    for (name, series) in series() {
        let (found, expected) = (spearman(&series).unwrap(), &python["spearman"][&name]);
        assert_close(&name, found.rho, expected["rho"].as_f64().unwrap(), 1e-13);
        assert_close(&name, found.p, expected["p"].as_f64().unwrap(), 1e-13);
    }
}

#[test]
fn theil_sen_agrees_with_scipy() {
    let python = python();
    for (name, series) in series() {
        assert_close(&name, theil_sen(&series), python["theil_sen"][&name].as_f64().unwrap(), 1e-13);
    }
    assert!(theil_sen(&[1.0]).is_nan() && theil_sen(&[]).is_nan() && theil_sen(&[1.0, f64::NAN]).is_nan());
}

#[test]
fn autocorrelation_agrees_with_r() {
    let r = r();
    for (name, series) in series() {
        if r["autocorrelation"][&name].is_null() {
            assert!(autocorrelation(&series, 1).is_nan(), "{name}");
            continue;
        }
        for (lag, expected) in numbers(&r["autocorrelation"][&name]).into_iter().enumerate() {
            assert_close(&name, autocorrelation(&series, lag), expected, 1e-13);
        }
    }
    assert!(autocorrelation(&[1.0, 2.0], 2).is_nan());
}

#[test]
fn lag1_agrees_with_all_orders_or_many() {
    let python = python();
    for (name, series) in series().into_iter().filter(|(_, series)| series.len() >= 4) {
        let (found, expected) = (lag1(&series).unwrap(), &python["lag1"][&name]);
        if expected.is_null() {
            assert_eq!(found, Lag1 { r: 0.0, p: 1.0 }, "{name}");
            continue;
        }
        assert_close(&name, found.r, expected["r"].as_f64().unwrap(), 1e-13);
        let p = expected["p"].as_f64().unwrap();
        if series.len() <= LAG1_EXACT {
            assert_close(&name, found.p, p, 1e-12);
        } else {
            // Five standard deviations, whichever way the search ended.
            let deviation = (p / f64::from(LAG1_HITS).sqrt()).max((p / f64::from(LAG1_ORDERS)).sqrt());
            assert!((found.p - p).abs() <= 5.0 * deviation + 1.0 / 2000.0, "{name}: {found:?}, {p}");
        }
    }
}

#[test]
fn effective_sample_size_agrees_with_mcmc() {
    let r = r();
    for (name, series) in series() {
        let (n, expected) = (series.len() as f64, r["effective_sample_size"][&name].as_f64().unwrap_or(f64::INFINITY));
        let found = effective_sample_size(&series);
        // The variance is 0, and the size "Inf", or negative by rounding for values that alternate.
        let expected = if expected <= 0.0 { n } else { expected.clamp(1.0, n) };
        assert_close(&name, found, expected, 1e-12);
    }
    assert!(effective_sample_size(&[]).is_nan());
    assert_eq!(effective_sample_size(&[4.0]), 1.0);
}

#[test]
fn what_cannot_be_judged() {
    use SampleError::*;
    assert_eq!(kendall(&[1.0, 2.0]), Err(TooFew { found: 2, needed: 3 }));
    assert_eq!(spearman(&[]), Err(TooFew { found: 0, needed: 3 }));
    assert_eq!(lag1(&[1.0; 3]), Err(TooFew { found: 3, needed: 4 }));
    assert!(matches!(kendall(&[1.0, 2.0, f64::NAN]), Err(NotFinite { index: 2, .. })));
}

proptest! {
    #[test]
    fn reversed_time_reverses_the_sign(series in prop::collection::vec((0..30i32).prop_map(f64::from), 4..40)) {
        let reversed: Vec<f64> = series.iter().rev().copied().collect();
        let (one, other) = (kendall(&series).unwrap(), kendall(&reversed).unwrap());
        prop_assert_eq!((one.tau, one.p), (-other.tau, other.p));
        let (one, other) = (spearman(&series).unwrap(), spearman(&reversed).unwrap());
        assert_close("rho", one.rho, -other.rho, 1e-13);
        assert_close("p", one.p, other.p, 1e-12);
        assert_close("slope", theil_sen(&series), -theil_sen(&reversed), 1e-13);
        assert_close("r", lag1(&series).unwrap().r, lag1(&reversed).unwrap().r, 1e-12);
    }

    #[test]
    fn results_stay_in_their_range(series in prop::collection::vec(-1e6..1e6, 4..60)) {
        let n = series.len() as f64;
        for p in [kendall(&series).unwrap().p, spearman(&series).unwrap().p, lag1(&series).unwrap().p] {
            prop_assert!((0.0..=1.0).contains(&p));
        }
        prop_assert!((1.0..=n).contains(&effective_sample_size(&series)));
    }
}
