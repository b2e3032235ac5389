use super::super::descriptive::{mean, median, quantile};
use super::super::reference::{assert_close, pairs, python};
use super::*;

fn p90(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.9)
}

#[test]
fn exact_p_agrees_with_scipy() {
    let python = python();
    let expected = python["permutation"].as_object().unwrap();
    assert!(expected.len() >= 8);
    for (name, a, b) in pairs() {
        let Some(expected) = expected.get(&name) else { continue };
        for (statistic, function) in [("mean", mean as fn(&[f64]) -> f64), ("median", median), ("p90", p90)] {
            let found = permutation_test(&a, &b, function, 10_000, 1).unwrap();
            assert!(found.exact);
            assert_close(&format!("{name} {statistic}"), found.p, expected[statistic].as_f64().unwrap(), 1e-12);
        }
    }
}

#[test]
fn sampled_p_agrees_with_scipy() {
    let python = python();
    for (name, a, b) in pairs() {
        let Some(expected) = python["permutation_sampled"][&name].as_f64() else { continue };
        let found = permutation_test(&a, &b, mean, 20_000, 1).unwrap();
        // Five standard deviations of the difference, one run being ten times as long as the other.
        let deviation = (expected * (1.0 - expected) * (1.0 / 20_000.0 + 1.0 / 200_000.0)).sqrt();
        assert!(!found.exact && (found.p - expected).abs() <= 5.0 * deviation + 1.0 / 20_000.0, "{name}: {found:?}, {expected}");
    }
}

#[test]
fn exact_when_there_are_no_more_divisions_than_resamples() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
    assert_eq!(permutation_test(&a, &b, mean, 252, 1).unwrap(), PermutationTest { p: 2.0 / 252.0, exact: true });
    let sampled = permutation_test(&a, &b, mean, 251, 1).unwrap();
    assert!(!sampled.exact && sampled.p >= 1.0 / 252.0);
    assert_eq!(permutation_test(&a, &b, mean, 251, 1), permutation_test(&a, &b, mean, 251, 1));
}

#[test]
fn order_does_not_matter_and_equal_samples_have_p_1() {
    let (a, b) = ([3.0, 1.0, 2.5, 9.0, 4.0], [2.0, 8.0, 7.0, 7.5, 6.0]);
    let (mut x, mut y) = (a, b);
    x.reverse();
    y.reverse();
    assert_eq!(permutation_test(&a, &b, p90, 99, 7), permutation_test(&x, &y, p90, 99, 7));
    // 0.1 + 0.2 + 0.3 in another order is another number.
    let same = [0.1, 0.2, 0.3, 0.7];
    assert_eq!(permutation_test(&same, &same, mean, 1000, 1).unwrap().p, 1.0);
}

#[test]
fn what_cannot_be_judged() {
    assert!(matches!(permutation_test(&[], &[1.0], mean, 10, 1), Err(SampleError::TooFew { .. })));
    assert!(matches!(permutation_test(&[f64::NAN], &[1.0], mean, 10, 1), Err(SampleError::NotFinite { .. })));
    assert!(matches!(permutation_test(&[1.0], &[1.0], mean, 0, 1), Err(SampleError::TooFewResamples { .. })));
    assert_eq!(permutation_test(&[1.0], &[2.0], |_| f64::NAN, 10, 1), Err(SampleError::Undefined));
}
