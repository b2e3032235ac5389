use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::changepoints::pelt;
use super::super::reference::normal;
use super::*;

/// Windows of response times in ms: `levels` with this many windows each, and normal noise of 0.2.
fn windows(levels: &[(usize, f64)], seed: u64) -> Vec<f64> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    levels.iter().flat_map(|&(count, level)| vec![level; count]).map(|level| level + 0.2 * normal(&mut rng)).collect()
}

fn class(series: &[f64]) -> (Class, Option<usize>) {
    let found = classify(series, Better::Lower, 0.02, 1).unwrap();
    (found.class, found.steady_from)
}

/// In how many of 100 series the verdict is the expected one, within a window.
fn hits(levels: &[(usize, f64)], expected: (Class, Option<usize>)) -> usize {
    let hit = |seed| {
        let (class, from) = class(&windows(levels, seed));
        let near = match (from, expected.1) {
            (Some(from), Some(expected)) => from.abs_diff(expected) <= 1,
            (from, expected) => from == expected,
        };
        class == expected.0 && near
    };
    (0..100).filter(|&seed| hit(seed)).count()
}

#[test]
fn the_four_classes() {
    for (levels, expected) in [
        (&[(20, 10.0)][..], (Class::Flat, Some(0))),
        (&[(60, 10.0)], (Class::Flat, Some(0))),
        (&[(7, 12.0), (13, 10.0)], (Class::WarmUp, Some(7))),
        (&[(5, 14.0), (5, 12.0), (20, 10.0)], (Class::WarmUp, Some(10))),
        (&[(3, 12.0), (9, 10.0)], (Class::WarmUp, Some(3))),
        (&[(2, 13.0), (8, 10.0)], (Class::WarmUp, Some(2))),
        (&[(1, 15.0), (19, 10.0)], (Class::WarmUp, Some(1))),
        (&[(10, 10.0), (15, 12.0)], (Class::SlowDown, Some(10))),
        // Slower, then faster, but never again as fast as before.
        (&[(10, 10.0), (10, 14.0), (20, 12.0)], (Class::SlowDown, Some(20))),
        // A bump on the way is a warm-up: nothing was faster than the end.
        (&[(10, 10.0), (10, 14.0), (20, 10.0)], (Class::WarmUp, Some(20))),
        (&[(26, 10.0), (4, 12.0)], (Class::NoSteadyState, None)),
        (&[(16, 10.0), (16, 11.0), (8, 12.0)], (Class::NoSteadyState, None)),
    ] {
        let hits = hits(levels, expected);
        assert!(hits >= 90, "{levels:?}: {expected:?} in {hits} of 100");
    }
}

#[test]
fn a_series_too_short_for_the_change_it_has() {
    // 5 against 5 is close to the limit of what shuffling can detect.
    let hits = hits(&[(5, 12.0), (5, 10.0)], (Class::WarmUp, Some(5)));
    assert!(hits >= 60, "{hits}");
}

#[test]
fn higher_is_better_mirrors_lower() {
    let series = windows(&[(8, 12.0), (16, 10.0)], 3);
    assert_eq!(classify(&series, Better::Lower, 0.02, 1).unwrap().class, Class::WarmUp);
    assert_eq!(classify(&series, Better::Higher, 0.02, 1).unwrap().class, Class::SlowDown);
}

#[test]
fn one_or_two_wild_windows_change_nothing() {
    for (levels, expected) in
        [(&[(30, 10.0)][..], (Class::Flat, Some(0))), (&[(10, 12.0), (20, 10.0)], (Class::WarmUp, Some(10)))]
    {
        for wild in [&[20][..], &[15, 16], &[18, 25], &[29], &[6, 22]] {
            let same = (0..50).filter(|&seed| {
                let mut series = windows(levels, seed);
                for &at in wild {
                    series[at] *= 3.0;
                }
                class(&series) == expected
            });
            let same = same.count();
            assert!(same >= 43, "{levels:?} with {wild:?}: {same} of 50");
        }
    }
}

#[test]
fn differences_within_the_tolerance_are_none() {
    // Without noise, so that the spread allows nothing.
    let series: Vec<f64> = (0..30).map(|at| if at < 12 { 10.3 } else { 10.0 }).collect();
    assert_eq!(classify(&series, Better::Lower, 0.02, 1).unwrap().class, Class::WarmUp);
    let flat = classify(&series, Better::Lower, 0.04, 1).unwrap();
    assert_eq!((flat.class, flat.steady_from, flat.segments.len()), (Class::Flat, Some(0), 2));
}

#[test]
fn drift_is_not_steady() {
    let series: Vec<f64> = windows(&[(60, 10.0)], 1).iter().enumerate().map(|(at, value)| value + 0.1 * at as f64).collect();
    assert_ne!(class(&series).0, Class::Flat);
}

#[test]
fn segments_are_levels() {
    let found = classify(&windows(&[(10, 12.0), (20, 10.0)], 4), Better::Lower, 0.02, 1).unwrap();
    assert_eq!(found.segments.iter().map(|segment| segment.from).collect::<Vec<_>>(), [0, 10]);
    assert!((found.segments[0].mean - 12.0).abs() < 0.2 && (found.segments[1].mean - 10.0).abs() < 0.2);
    assert_eq!(classify(&[3.0; 10], Better::Lower, 0.0, 1).unwrap().segments, [Segment { from: 0, mean: 3.0 }]);
    // Where the noise is normal, PELT finds the same.
    assert_eq!(pelt(&windows(&[(10, 12.0), (20, 10.0)], 4), 5.0 * libm::log(30.0), 3), [10]);
}

#[test]
fn what_cannot_be_judged() {
    assert_eq!(classify(&[1.0; 9], Better::Lower, 0.02, 1), Err(SampleError::TooShort { found: 9, needed: 10 }));
    assert!(matches!(classify(&[f64::NAN; 10], Better::Lower, 0.02, 1), Err(SampleError::NotFinite { .. })));
    assert!(matches!(classify(&[1.0; 10], Better::Lower, -0.1, 1), Err(SampleError::Effect { .. })));
}

#[test]
fn first_rounds_that_differ() {
    for (levels, expected) in [
        (&[(10, 10.0)][..], 0),
        (&[(30, 10.0)], 0),
        (&[(1, 14.0), (9, 10.0)], 1),
        (&[(1, 8.0), (29, 10.0)], 1),
        (&[(2, 13.0), (8, 10.0)], 2),
        (&[(10, 13.0), (90, 10.0)], 10),
        // More than half: which are the odd ones?
        (&[(20, 13.0), (10, 10.0)], 0),
    ] {
        let same = (0..100).filter(|&seed| warm_up_rounds(&windows(levels, seed), 1).abs_diff(expected) == 0).count();
        assert!(same >= 85, "{levels:?}: {expected} in {same} of 100");
    }
    assert_eq!([warm_up_rounds(&[9.0, 1.0, 1.0, 1.0], 1), warm_up_rounds(&[f64::NAN; 20], 1)], [0, 0]);
    assert_eq!(warm_up_rounds(&[9.0, 1.0, 1.0, 1.0, 1.0], 1), 1);
}

proptest! {
    #[test]
    fn verdicts_are_consistent(series in prop::collection::vec((1..9i32).prop_map(f64::from), 10..50), tolerance in 0.0..0.5) {
        let found = classify(&series, Better::Higher, tolerance, 1).unwrap();
        let starts: Vec<usize> = found.segments.iter().map(|segment| segment.from).collect();
        prop_assert!(starts[0] == 0 && starts.is_sorted_by(|a, b| a < b));
        match (found.class, found.steady_from) {
            (Class::Flat, from) => prop_assert_eq!(from, Some(0)),
            (Class::NoSteadyState, from) => prop_assert_eq!(from, None),
            (_, from) => prop_assert!(from.is_some_and(|from| from > 0 && starts.contains(&from))),
        }
        prop_assert!(warm_up_rounds(&series, 1) <= series.len() / 2);
        // Neither the unit nor the direction matters; powers of two do not change rounding.
        let mirrored: Vec<f64> = series.iter().map(|value| -1024.0 * value).collect();
        let mirrored = classify(&mirrored, Better::Lower, tolerance, 1).unwrap();
        prop_assert_eq!((found.class, found.steady_from), (mirrored.class, mirrored.steady_from));
    }
}
