use proptest::prelude::*;

use super::super::reference::{assert_close, pairs, python, r, series};
use super::*;

#[test]
fn mann_whitney_agrees_with_scipy_and_with_coin() {
    let (python, r) = (python(), r());
    let (mut untied, mut tied, mut approximate) = (0, 0, 0);
    for (name, a, b) in pairs() {
        let found = mann_whitney(&a, &b).unwrap();
        let scipy = &python["mann_whitney"][&name];
        assert_eq!(found.u, scipy["u"].as_f64().unwrap(), "{name}");
        if !found.exact {
            assert_close(&name, found.p / scipy["asymptotic"].as_f64().unwrap(), 1.0, 1e-12);
            approximate += 1;
            continue;
        }
        if let Some(exact) = scipy["exact"].as_f64() {
            assert_close(&name, found.p / exact, 1.0, 1e-11);
            untied += 1;
        }
        // With ties, too.
        if let Some(exact) = r["mann_whitney"][&name].as_f64() {
            assert_close(&name, found.p / exact, 1.0, 1e-10);
            tied += 1;
        }
    }
    assert_eq!((untied, tied, approximate), (10, 18, 2));
}

#[test]
fn equal_values_say_nothing() {
    for sizes in [(1, 1), (5, 8), (150, 150)] {
        assert_eq!(mann_whitney(&vec![7.0; sizes.0], &vec![7.0; sizes.1]).unwrap().p, 1.0);
    }
    // 0 and −0 are one value.
    assert_eq!(mann_whitney(&[0.0, 0.0], &[-0.0, -0.0]).unwrap(), RankTest { u: 2.0, p: 1.0, exact: true });
}

#[test]
fn smallest_p_is_reached_by_samples_that_do_not_overlap() {
    assert_eq!([smallest_p(3, 3), smallest_p(4, 4), smallest_p(5, 5)], [0.1, 2.0 / 70.0, 2.0 / 252.0]);
    assert_eq!([smallest_p(0, 5), smallest_p(1, 1), smallest_p(1, 39)], [1.0, 1.0, 0.05]);
    for (n, m) in [(1, 4), (3, 3), (6, 9), (30, 7)] {
        let a: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let b: Vec<f64> = (0..m).map(|i| 100.0 + i as f64).collect();
        assert_close("p", mann_whitney(&a, &b).unwrap().p / smallest_p(n, m), 1.0, 1e-13);
    }
}

#[test]
fn shift_agrees_with_r() {
    let r = r();
    let mut intervals = 0;
    for (name, a, b) in pairs() {
        let estimate = hodges_lehmann_shift(&a, &b, 0.95).unwrap().estimate;
        assert_close(&name, estimate, r["median_difference"][&name].as_f64().unwrap(), 1e-12);
        let Some(levels) = r["shift"][&name].as_object() else { continue };
        for (level, expected) in levels {
            let level: f64 = level.parse().unwrap();
            let found = hodges_lehmann_shift(&a, &b, level).unwrap();
            assert_eq!(found.low.is_some(), smallest_p(a.len(), b.len()) <= (1.0 - level) * 1.000001, "{name} {level}");
            // Where there is no such interval, R warns and gives a narrower one.
            let (Some(low), Some(high)) = (found.low, found.high) else {
                assert!(found.level_reached < level);
                continue;
            };
            // Where the level is reached to the last digit, R takes the next wider interval.
            if found.level_reached > level + 1e-12 {
                assert_close(&name, low, expected["low"].as_f64().unwrap(), 1e-12);
                assert_close(&name, high, expected["high"].as_f64().unwrap(), 1e-12);
            }
            assert!(found.level_reached >= level - 1e-12, "{name} {level}: {found:?}");
            intervals += 1;
        }
    }
    assert_eq!(intervals, 26);
}

#[test]
fn ratio_is_r_s_shift_of_logarithms() {
    let r = r();
    for (name, a, b) in pairs() {
        let Some(levels) = r["log_shift"][&name].as_object() else { continue };
        for (level, expected) in levels {
            let level: f64 = level.parse().unwrap();
            let found = hodges_lehmann_ratio(&a, &b, level).unwrap();
            let expected = |end: &str| libm::exp(expected[end].as_f64().unwrap());
            assert_close(&name, found.estimate, expected("estimate"), 1e-12);
            if let Some((low, high)) = found.interval.filter(|_| found.level_reached > level + 1e-12) {
                assert_close(&name, low, expected("low"), 1e-12);
                assert_close(&name, high, expected("high"), 1e-12);
            }
        }
    }
}

#[test]
fn pseudo_median_agrees_with_r() {
    let r = r();
    for (name, series) in series() {
        assert_close(&name, hodges_lehmann(&series), r["pseudo_median"][&name].as_f64().unwrap(), 1e-13);
    }
    assert!(hodges_lehmann(&[]).is_nan() && hodges_lehmann(&[1.0, f64::NAN]).is_nan());
}

#[test]
fn known_levels() {
    // Hollander, Wolfe & Chicken 2014, table A.6: 5 and 5 values reach 1 − 2 · 4/252, 1 − 2 · 1/252.
    let a = [1.0, 2.0, 3.0, 4.0, 5.0];
    assert_close("0.95", hodges_lehmann_shift(&a, &a, 0.95).unwrap().level_reached, 1.0 - 8.0 / 252.0, 1e-14);
    assert_close("0.99", hodges_lehmann_shift(&a, &a, 0.99).unwrap().level_reached, 1.0 - 2.0 / 252.0, 1e-14);
    let none = hodges_lehmann_shift(&a, &a, 0.995).unwrap();
    assert_eq!((none.low, none.high, none.level_reached), (None, None, 1.0 - smallest_p(5, 5)));
    // 1 − 0.9 is not quite 0.1.
    assert!(hodges_lehmann_shift(&a[..3], &a[..3], 0.9).unwrap().low.is_some());
}

#[test]
fn approximate_interval_continues_the_exact_one() {
    // Just below the limit and just above it.
    let sample = |n: usize| (0..n).map(|i| libm::sqrt(i as f64)).collect::<Vec<_>>();
    let exact = hodges_lehmann_shift(&sample(100), &sample(100), 0.95).unwrap();
    let approximate = hodges_lehmann_shift(&sample(100), &sample(101), 0.95).unwrap();
    let width = |shift: Shift| shift.high.unwrap() - shift.low.unwrap();
    assert_close("width", width(approximate) / width(exact), 1.0, 0.01);
    assert!((0.95..0.951).contains(&approximate.level_reached), "{approximate:?}");
}

#[test]
fn what_cannot_be_judged() {
    use SampleError::*;
    assert_eq!(mann_whitney(&[], &[1.0]), Err(TooFew { found: 0, needed: 1 }));
    assert!(matches!(mann_whitney(&[1.0], &[1.0, f64::NAN]), Err(NotFinite { index: 1, .. })));
    assert!(matches!(hodges_lehmann_shift(&[1.0], &[f64::INFINITY], 0.9), Err(NotFinite { index: 0, .. })));
    assert!(matches!(hodges_lehmann_shift(&[1.0], &[2.0], 95.0), Err(Share { .. })));
    assert_eq!(hodges_lehmann_shift(&[-1e308], &[1e308], 0.9), Err(Undefined));
    assert_eq!(hodges_lehmann_ratio(&[1.0], &[0.0], 0.9), Err(NotPositive { index: 0, value: 0.0 }));
    assert_eq!(hodges_lehmann_ratio(&[1e300], &[1e-300], 0.9), Err(Undefined));
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec((1..40i32).prop_map(|tenths| f64::from(tenths) / 10.0), 1..9)
}

proptest! {
    /// By trying every division of all values.
    #[test]
    fn p_is_the_share_of_divisions_at_least_as_far(a in sample(), b in sample()) {
        let (ranks, _) = doubled_midranks(&[a.clone(), b.clone()].concat());
        let mean = a.len() * (ranks.len() + 1);
        let observed = ranks[..a.len()].iter().sum::<usize>().abs_diff(mean);
        let (mut far, mut all) = (0.0, 0.0);
        for division in (0u32..1 << ranks.len()).filter(|division| division.count_ones() as usize == a.len()) {
            let sum: usize = ranks.iter().enumerate().filter(|(index, _)| division >> index & 1 == 1).map(|(_, rank)| rank).sum();
            far += f64::from(u8::from(sum.abs_diff(mean) >= observed));
            all += 1.0;
        }
        assert_close("p", mann_whitney(&a, &b).unwrap().p, far / all, 1e-12);
    }

    #[test]
    fn exchanged_samples_mirror(a in sample(), b in sample()) {
        let (one, other) = (mann_whitney(&a, &b).unwrap(), mann_whitney(&b, &a).unwrap());
        prop_assert_eq!(one.p, other.p);
        prop_assert_eq!(one.u + other.u, (a.len() * b.len()) as f64);
        let (one, other) = (hodges_lehmann_shift(&a, &b, 0.8).unwrap(), hodges_lehmann_shift(&b, &a, 0.8).unwrap());
        assert_close("estimate", one.estimate, -other.estimate, 1e-12);
        prop_assert_eq!(one.low, other.high.map(|high| -high));
    }

    /// Without ties, the interval contains "no difference" exactly when the test does not reject it.
    #[test]
    fn interval_and_test_agree(
        a in prop::collection::vec(0.0..1.0, 3..12), b in prop::collection::vec(0.2..1.4, 3..12), level in 0.5..0.99,
    ) {
        let p = mann_whitney(&a, &b).unwrap().p;
        let shift = hodges_lehmann_shift(&a, &b, level).unwrap();
        if let (Some(low), Some(high)) = (shift.low, shift.high) {
            prop_assert!(low <= shift.estimate && shift.estimate <= high);
            prop_assert_eq!(low <= 0.0 && 0.0 <= high, p > 1.0 - level);
        } else {
            prop_assert!(p > 1.0 - level);
        }
    }
}
