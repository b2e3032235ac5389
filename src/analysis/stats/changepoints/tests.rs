use proptest::prelude::*;

use super::super::reference::{assert_close, normal, numbers, python, series};
use super::*;

/// The best place agrees with the definition, written out with double sums in Python.
#[test]
fn best_place_agrees_with_the_definition() {
    let python = python();
    for (name, series) in series().into_iter().filter(|(_, series)| series.len() <= 60) {
        let expected = numbers(&python["best_division"][&name]);
        let found = Search::new(series.len(), 3).best(&series, f64::INFINITY);
        assert_close(&name, found.distance, expected[0], 1e-12);
        if expected[0] > 0.0 {
            assert_eq!(found.at, expected[1] as usize, "{name}");
        }
    }
}

/// signal-processing-algorithms looks only at stretches up to the end, which hides the bump from it.
#[test]
fn changes_agree_with_another_program() {
    let python = python();
    let found_with = |name: &str, shortest| {
        let (_, series) = series().into_iter().find(|(other, _)| other == name).unwrap();
        e_divisive(&series, shortest, 0.01, 999, 1).unwrap()
    };
    let found = |name| found_with(name, 3);
    for name in ["equal", "noise_60", "noise_100", "step_20", "three_levels_60"] {
        let expected: Vec<usize> = numbers(&python["e_divisive"][name]).into_iter().map(|at| at as usize).collect();
        assert_eq!(found(name), expected, "{name}");
    }
    assert_eq!(found("bump_30"), [12, 20]);
    // The change in the middle is one of spread alone.
    assert_eq!(found_with("steps_400", 30), [100, 200, 300]);
}

#[test]
fn false_changes_are_as_rare_as_asked_for() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    for significance in [0.05, 0.2] {
        let false_changes = (0..1000).filter(|&seed| {
            let series: Vec<f64> = (0..20).map(|_| normal(&mut rng)).collect();
            !e_divisive(&series, 2, significance, 99, seed).unwrap().is_empty()
        });
        let share = false_changes.count() as f64 / 1000.0;
        assert!((share - significance).abs() < 4.0 * (significance * (1.0 - significance) / 1000.0).sqrt(), "{share}");
    }
}

#[test]
fn what_cannot_be_judged() {
    assert!(matches!(e_divisive(&[1.0, f64::NAN], 2, 0.05, 99, 1), Err(SampleError::NotFinite { index: 1, .. })));
    assert!(matches!(e_divisive(&[1.0], 2, 0.0, 99, 1), Err(SampleError::Share { .. })));
    assert_eq!(e_divisive(&[1.0], 2, 0.01, 98, 1), Err(SampleError::TooFewResamples { found: 98, needed: 99 }));
    assert_eq!(e_divisive(&[1.0], 2, 0.05, 19, 1), Ok(vec![]));
    assert_eq!(e_divisive(&[], 2, 0.05, 19, 1), Ok(vec![]));
    // Equal values except for rounding: 0.1 + 0.2 is not 0.3.
    assert_eq!(e_divisive(&[1e9 + 0.3; 30], 2, 0.05, 19, 1), Ok(vec![]));
}

/// ruptures finds the best division for each number of changes by brute force; the best of these is PELT's.
#[test]
fn pelt_agrees_with_ruptures() {
    let python = python();
    let mut compared = 0;
    for (name, series) in series() {
        let Some(cases) = python["pelt"][&name].as_object() else { continue };
        for (case, expected) in cases {
            let (shortest, factor) = case.split_once(' ').unwrap();
            let penalty = factor.parse::<f64>().unwrap() * libm::log(series.len() as f64);
            let expected: Vec<usize> = numbers(expected).into_iter().map(|at| at as usize).collect();
            assert_eq!(pelt(&series, penalty, shortest.parse().unwrap()), expected, "{name} {case}");
            compared += 1;
        }
    }
    assert!(compared >= 40, "{compared}");
}

#[test]
fn pelt_without_changes() {
    assert_eq!(pelt(&[5.0; 50], 10.0, 2), [0usize; 0]);
    assert_eq!(pelt(&[], 10.0, 2), [0usize; 0]);
    assert_eq!(pelt(&[1.0, 2.0, f64::NAN, 3.0], 10.0, 2), [0usize; 0]);
    // Two levels without any spread.
    let levels: Vec<f64> = (0..20).map(|at| if at < 8 { 1.0 } else { 2.0 }).collect();
    assert_eq!(pelt(&levels, 10.0, 2), [8]);
}

proptest! {
    /// Four at a time or one at a time.
    #[test]
    fn sums_of_distances(values in prop::collection::vec((0..50i32).prop_map(f64::from), 0..20), value in 0..50i32) {
        let mut sums = vec![1000.0; values.len()];
        let total = add_distances(&mut sums, &values, f64::from(value));
        for from in 0..values.len() {
            let expected: f64 = values[from..].iter().map(|other| (other - f64::from(value)).abs()).sum();
            prop_assert_eq!(sums[from], 1000.0 + expected);
        }
        prop_assert_eq!(total, values.iter().map(|other| (other - f64::from(value)).abs()).sum::<f64>());
        let (left, inverse) = (&values[..], vec![0.5; values.len()]);
        let least = left.iter().zip(&sums).map(|(left, right)| left + right * 0.5).fold(f64::INFINITY, f64::min);
        prop_assert_eq!(least_sum(left, &sums, &inverse), least);
    }

    #[test]
    fn segments_are_long_enough(
        series in prop::collection::vec((0..6i32).prop_map(f64::from), 0..50), shortest in 2usize..8, seed: u64,
    ) {
        for changes in [e_divisive(&series, shortest, 0.3, 19, seed).unwrap(), pelt(&series, 2.0, shortest)] {
            let ends = changes.iter().copied().chain([series.len()]);
            let mut from = 0;
            for to in ends {
                prop_assert!(to - from >= shortest || changes.is_empty());
                from = to;
            }
        }
    }

    /// Unit and offset do not matter: a power of two and a shift of whole numbers do not change rounding.
    #[test]
    fn unit_does_not_matter(series in prop::collection::vec((0..20i32).prop_map(f64::from), 10..30), seed: u64) {
        let other: Vec<f64> = series.iter().map(|value| 1024.0 * value + 4096.0).collect();
        prop_assert_eq!(e_divisive(&series, 2, 0.2, 39, seed), e_divisive(&other, 2, 0.2, 39, seed));
    }
}
