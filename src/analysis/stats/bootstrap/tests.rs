use proptest::prelude::*;

use super::super::{coefficient_of_variation, median, standard_deviation};
use super::*;

const EVEN: [f64; 12] = [101.2, 99.8, 103.5, 98.7, 100.4, 102.9, 97.6, 100.9, 104.1, 99.3, 101.8, 100.1];
const OTHER: [f64; 10] = [88.1, 91.6, 86.9, 90.2, 93.8, 89.5, 87.7, 92.4, 90.9, 85.3];
const SKEWED: [f64; 15] = [0.12, 0.31, 0.47, 0.58, 0.66, 0.91, 1.04, 1.3, 1.72, 2.05, 2.9, 4.4, 7.6, 11.3, 25.9];

type Statistic = fn(&[f64]) -> f64;

/// What SciPy found for one end: the mean over its runs, and the standard deviation between them.
type End = (f64, f64);

fn assert_close(found: Interval, (low, high): (End, End)) {
    // Our run has as many resamples as each of theirs, so it is as far from their mean as they are. Five standard deviations
    // and not two: there are many ends, and means of data with one decimal move in steps.
    let near = |found: f64, (expected, deviation): End| (found - expected).abs() <= 5.0 * deviation;
    assert!(near(found.low, low) && near(found.high, high), "found {found:?}, expected {low:?} and {high:?}");
}

// Expected values, with scipy 1.17.1 and numpy 2.4.6:
//
//     def bca(data, statistic, level):
//         runs = np.array([tuple(stats.bootstrap(data, statistic, n_resamples=100_000, batch=20_000,
//             confidence_level=level, method="BCa", rng=np.random.default_rng(seed)).confidence_interval)
//             for seed in range(40)])
//         return runs.mean(0), runs.std(0, ddof=1)
//     def sd(x, axis): return np.std(x, axis=axis, ddof=1)
//     bca((EVEN,), np.mean, 0.9); ...; bca((SKEWED,), sd, 0.95)
//
// A median is one of few values, the same in all runs: only rounding is allowed for.
#[test]
fn bca_agrees_with_scipy() {
    type Case = (&'static [f64], Statistic, f64, (End, End));
    let cases: [Case; 9] = [
        (&EVEN, mean, 0.9, ((99.989375, 0.0046), (101.7741667, 0.0037))),
        (&EVEN, mean, 0.95, ((99.83013052, 0.0049), (101.9511702, 0.0058))),
        (&EVEN, mean, 0.99, ((99.52887181, 0.0089), (102.2913049, 0.009))),
        (&EVEN, median, 0.95, ((99.55, 1e-12), (102.35, 1e-12))),
        (&SKEWED, mean, 0.8, ((2.451836219, 0.0092), (7.380042571, 0.025))),
        (&SKEWED, mean, 0.95, ((1.856922587, 0.0072), (9.80567362, 0.06))),
        (&SKEWED, mean, 0.99, ((1.504833459, 0.0076), (12.59345445, 0.29))),
        (&SKEWED, median, 0.9, ((0.66, 1e-12), (2.9, 1e-12))),
        (&SKEWED, standard_deviation, 0.95, ((2.736720223, 0.0067), (12.03542779, 0.036))),
    ];
    for (sample, statistic, level, expected) in cases {
        assert_close(bootstrap_bca(sample, statistic, level, 100_000, 1).unwrap(), expected);
    }
}

//     def ratio_mean(a, b, axis): return np.mean(a, axis=axis) / np.mean(b, axis=axis)
//     def ratio_median(a, b, axis): return np.median(a, axis=axis) / np.median(b, axis=axis)
//     bca((EVEN, OTHER), ratio_mean, 0.95); ...
#[test]
fn ratio_agrees_with_scipy() {
    type Case = (&'static [f64], &'static [f64], Statistic, (End, End));
    let cases: [Case; 4] = [
        (&EVEN, &OTHER, mean, ((1.102948888, 0.0001), (1.148596378, 0.00013))),
        (&SKEWED, &OTHER, mean, ((0.0207126873, 8.7e-5), (0.1095407586, 0.00067))),
        (&EVEN, &SKEWED, mean, ((9.922016808, 0.066), (53.03840277, 0.18))),
        (&EVEN, &OTHER, median, ((1.091558648, 0.00035), (1.153005284, 6.2e-5))),
    ];
    for (a, b, statistic, expected) in cases {
        assert_close(bootstrap_ratio(a, b, statistic, 0.95, 100_000, 1).unwrap(), expected);
    }
}

// The bits themselves: they change only when the method changes, and then every stored interval changes, too.
#[test]
fn the_bits_are_fixed() {
    let one = bootstrap_bca(&SKEWED, mean, 0.95, 10_000, 42).unwrap();
    let two = bootstrap_ratio(&EVEN, &SKEWED, mean, 0.95, 10_000, 42).unwrap();
    assert_eq!(
        [one.low, one.high, two.low, two.high].map(f64::to_bits),
        [4610848348896696992, 4621680034530901059, 4621714399278516927, 4632603084245089508],
        "{one:?} {two:?}"
    );
}

#[test]
fn one_value_is_too_few() {
    assert_eq!(bootstrap_bca(&[], mean, 0.95, 1000, 1), Err(Error::TooFew { found: 0 }));
    assert_eq!(bootstrap_bca(&[3.0], mean, 0.95, 1000, 1), Err(Error::TooFew { found: 1 }));
    assert_eq!(bootstrap_ratio(&EVEN, &[3.0], mean, 0.95, 1000, 1), Err(Error::TooFew { found: 1 }));
}

#[test]
fn equal_values_give_an_interval_of_no_width() {
    for statistic in [mean, median] {
        assert_eq!(bootstrap_bca(&[0.1; 7], statistic, 0.95, 1000, 1), Ok(Interval { low: 0.1, high: 0.1 }));
    }
    assert_eq!(bootstrap_ratio(&[0.3; 3], &[0.2; 4], mean, 0.95, 1000, 1), Ok(Interval { low: 0.3 / 0.2, high: 0.3 / 0.2 }));
}

#[test]
fn a_jackknife_that_never_moves_leaves_the_percentile_interval() {
    // Without any one value, the middle of 1 1 2 2 2 3 3 is still 2; a resample's median need not be.
    let sample = [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0];
    assert_eq!(acceleration(&[Resampler::new(&sample).unwrap().influence(median)]), None);
    assert_eq!(bootstrap_bca(&sample, median, 0.95, 10_000, 1), Ok(Interval { low: 1.0, high: 3.0 }));
}

#[test]
fn resamples_all_to_one_side_leave_the_percentile_interval() {
    assert_eq!(corrected(1.0, &[2.0, 3.0, 4.0], 0.0, 3, 0.025), None);
    assert_eq!(corrected(9.0, &[2.0, 3.0, 4.0], 0.0, 3, 0.025), None);
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    assert!(matches!(bootstrap_bca(&[1.0, f64::NAN], mean, 0.95, 1000, 1), Err(Error::NotFinite { index: 1, .. })));
    assert!(matches!(bootstrap_bca(&[f64::INFINITY, 1.0], mean, 0.95, 1000, 1), Err(Error::NotFinite { index: 0, .. })));
    for level in [0.0, 1.0, 95.0, -0.1] {
        assert_eq!(bootstrap_bca(&EVEN, mean, level, 1000, 1), Err(Error::Level { level }));
    }
    assert!(matches!(bootstrap_bca(&EVEN, mean, f64::NAN, 1000, 1), Err(Error::Level { .. })));
    assert_eq!(
        bootstrap_bca(&EVEN, mean, 0.95, 39, 1).unwrap_err().to_string(),
        "39 resamples leave the tails empty at confidence level 0.95, expected at least 40"
    );
    assert!(bootstrap_bca(&EVEN, mean, 0.95, 40, 1).is_ok());
    assert_eq!(bootstrap_bca(&[-1.0, 1.0], coefficient_of_variation, 0.95, 1000, 1), Err(Error::Undefined));
}

#[test]
fn a_denominator_that_may_be_zero_is_an_error() {
    for b in [&[0.0, 0.0][..], &[0.0, 0.0, 1.0], &[-1.0, 3.0, 4.0]] {
        assert_eq!(bootstrap_ratio(&EVEN, b, mean, 0.95, 1000, 1), Err(Error::DenominatorMayBeZero));
    }
    // A denominator that is negative throughout is fine.
    assert!(bootstrap_ratio(&EVEN, &OTHER.map(|value| -value), mean, 0.95, 1000, 1).unwrap().high < 0.0);
}

/// Share of 2 000 normal samples of size `n` whose 95 % interval for the mean holds the population's.
fn coverage(n: usize) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let mut deviate = || normal_quantile(((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64);
    let inside = (0..2000u64)
        .filter(|&seed| {
            let sample: Vec<f64> = (0..n).map(|_| 10.0 + deviate()).collect();
            let interval = bootstrap_bca(&sample, mean, 0.95, 500, seed).unwrap();
            interval.low <= 10.0 && 10.0 <= interval.high
        })
        .count();
    inside as f64 / 2000.0
}

// What theory expects is less than 95 %, see the module's documentation: P(|t₍ₙ₋₁₎| < 1.96 √((n−1)/n)).
//
//     1 - 2 * stats.t.sf(1.959964 * np.sqrt((n - 1) / n), n - 1)     0.9287 for 20, 0.8455 for 5
//
// The acceleration, itself estimated, costs up to a point more. The standard error of the simulation is 0.6 and 0.8.
#[test]
fn coverage_is_what_theory_expects() {
    let (of_20, of_5) = (coverage(20), coverage(5));
    assert!((of_20 - 0.9287).abs() < 0.02, "n = 20: {of_20}");
    assert!((of_5 - 0.8455).abs() < 0.03, "n = 5: {of_5}");
}

/// How often an interval of the median, which is used everywhere, contains the true one.
#[test]
fn an_interval_of_the_median_holds_it_about_as_often_as_it_says() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for n in [5, 8, 20] {
        let cases = 1000;
        let inside = (0..cases)
            .filter(|seed| {
                let sample: Vec<f64> = (0..n).map(|_| 100.0 + super::super::reference::normal(&mut rng)).collect();
                let interval = bootstrap_bca(&sample, median, 0.95, 2000, *seed).unwrap();
                interval.low <= 100.0 && 100.0 <= interval.high
            })
            .count();
        println!("{n} values: {inside} of {cases}");
        assert!((900..=970).contains(&inside), "{n} values: {inside} of {cases}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn symmetric_data_have_their_centre_inside(
        centre in -1e3..1e3, distances in prop::collection::vec(1e-3..1e3, 2..15), seed: u64,
    ) {
        let sample: Vec<f64> = distances.iter().flat_map(|distance| [centre - distance, centre + distance]).collect();
        for statistic in [mean, median] {
            let interval = bootstrap_bca(&sample, statistic, 0.95, 500, seed).unwrap();
            prop_assert!(interval.low <= centre && centre <= interval.high, "{interval:?}");
        }
    }

    #[test]
    fn scaling_the_data_scales_the_interval(
        sample in prop::collection::vec(1.0..1e3, 2..30), factor in 1e-6..1e6, seed: u64,
    ) {
        let scaled: Vec<f64> = sample.iter().map(|value| value * factor).collect();
        let times = |interval: Interval, factor: f64| Interval { low: interval.low * factor, high: interval.high * factor };
        let same = |one: Interval, two: Interval, unit: f64| {
            (one.low - two.low).abs() <= 1e-9 * unit && (one.high - two.high).abs() <= 1e-9 * unit
        };
        for statistic in [mean, median, standard_deviation] {
            let interval = bootstrap_bca(&sample, statistic, 0.9, 500, seed).unwrap();
            let of_scaled = bootstrap_bca(&scaled, statistic, 0.9, 500, seed).unwrap();
            prop_assert!(same(times(interval, factor), of_scaled, factor * 1e3), "{interval:?} {of_scaled:?}");
        }
        // A factor common to both samples of a ratio cancels.
        let ratio = bootstrap_ratio(&sample, &OTHER, mean, 0.9, 500, seed).unwrap();
        let of_scaled = bootstrap_ratio(&scaled, &OTHER.map(|value| value * factor), mean, 0.9, 500, seed).unwrap();
        prop_assert!(same(ratio, of_scaled, ratio.high), "{ratio:?} {of_scaled:?}");
    }

    #[test]
    fn the_same_values_in_any_order_give_the_same_bits(
        (sample, shuffled) in prop::collection::vec(-1e3..1e3, 2..30).prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        seed: u64,
    ) {
        let interval = bootstrap_bca(&sample, mean, 0.95, 500, seed).unwrap();
        prop_assert!(interval.low <= interval.high);
        prop_assert_eq!(bootstrap_bca(&sample, mean, 0.95, 500, seed).unwrap(), interval);
        prop_assert_eq!(bootstrap_bca(&shuffled, mean, 0.95, 500, seed).unwrap(), interval);
    }

    #[test]
    fn a_resample_holds_only_values_of_the_sample_and_ascends(sample in prop::collection::vec(-1e3..1e3, 2..30), seed: u64) {
        let mut resampler = Resampler::new(&sample).unwrap();
        let resample = resampler.draw(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        prop_assert_eq!(resample.len(), sample.len());
        prop_assert!(resample.is_sorted());
        prop_assert!(resample.iter().all(|value| sample.contains(value)));
    }
}
