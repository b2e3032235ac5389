use proptest::prelude::*;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::reference::{assert_close, normal, uniform};
use super::*;

const A: [f64; 5] = [100.0, 102.0, 98.0, 101.0, 99.0];
const B: [f64; 5] = [104.0, 107.0, 103.0, 108.0, 105.0];

fn in_order(n: usize) -> Vec<(usize, usize)> {
    (0..n).map(|i| (i, i)).collect()
}

// Welch: scipy.stats.ttest_ind(y, x, equal_var=False); ranks: scipy.stats.mannwhitneyu(y, x, method="exact"); pairs:
// scipy.stats.ttest_rel(y, x); together: np.arctan2(1, np.mean(1 / np.tan(np.pi * np.minimum(p, 0.5)))) / np.pi; the interval:
// scipy.optimize.brentq of the combined p of y - theta less 0.05, on both sides of np.median(y[:, None] - x)
//                                                                                          scipy 1.17.1, numpy 2.4.6
#[test]
fn agrees_with_scipy() {
    let found = compare_two(&A, &B, None, 0.95).unwrap();
    assert_close("welch", found.components.welch.unwrap() / 0.0018343151, 1.0, 1e-7);
    assert_close("ranks", found.components.rank_sum.unwrap(), 2.0 / 252.0, 1e-14);
    assert_eq!((found.components.paired_t, found.components.signed_rank), (None, None));
    assert_close("p", found.p / 0.0029799595, 1.0, 1e-7);
    assert_close("estimate", found.estimate, 1.051020, 1e-6);
    let (low, high) = found.interval.unwrap();
    assert_close("low", low, 1.025945, 1e-6);
    assert_close("high", high, 1.082704, 1e-6);
    assert!(found.rests_on_shape(0.001) && !found.rests_on_shape(0.01));

    let found = compare_two(&A, &B, Some(&in_order(5)), 0.95).unwrap();
    assert_close("pairs", found.components.paired_t.unwrap() / 0.00038804621, 1.0, 1e-7);
    assert_eq!(found.components.signed_rank, None);
    assert_close("p", found.p / 0.0009236024, 1.0, 1e-7);

    let found = compare_two(&A, &[4040.0, 3998.4, 3920.0, 4120.8, 3920.4], None, 0.95).unwrap();
    assert_close("p", found.p / 3.25876e-16, 1.0, 5e-6);
}

#[test]
fn who_takes_part() {
    let values: Vec<f64> = (1..=20).map(f64::from).collect();
    let part = |n: usize, m: usize, pairs: usize| {
        let found = compare_two(&values[..n], &values[..m], Some(&in_order(pairs)), 0.95).unwrap().components;
        [found.welch, found.rank_sum, found.paired_t, found.signed_rank].map(|p| p.is_some())
    };
    assert_eq!(part(2, 2, 2), [true, false, false, false]);
    assert_eq!(part(4, 4, 4), [true, false, false, false]);
    assert_eq!(part(5, 5, 0), [true, true, false, false]);
    assert_eq!(part(4, 6, 4), [true, true, false, false]);
    assert_eq!(part(5, 9, 5), [true, true, true, false]);
    assert_eq!(part(7, 7, 7), [true, true, true, false]);
    assert_eq!(part(8, 8, 8), [true, true, true, true]);
}

#[test]
fn the_estimate_is_the_median_of_ratios_for_few_values_too() {
    let found = compare_two(&[1.0, 2.0, 4.0], &[2.0, 4.0, 9.0], None, 0.95).unwrap();
    assert_close("estimate", found.estimate, 2.0, 1e-14);
    // np.exp(np.median([(x + y) / 2 for i, x in enumerate(d) for y in d[i:]])), d = np.log([1.1, 1.2, 1.3, 1.4, 1.5])
    let (a, b) = ([1.0, 20.0, 400.0, 8000.0, 1e5], [1.1, 24.0, 520.0, 11200.0, 1.5e5]);
    let found = compare_two(&a, &b, Some(&in_order(5)), 0.95).unwrap();
    assert_close("pairs", found.estimate, 1.296148139681572, 1e-13);
}

#[test]
fn values_that_do_not_vary() {
    let same = compare_two(&[5.0; 8], &[5.0; 8], Some(&in_order(8)), 0.95).unwrap();
    assert_eq!((same.estimate, same.p), (1.0, 0.5));
    let (low, high) = same.interval.unwrap();
    assert!(low <= 1.0 && 1.0 <= high && high - low < 1e-8);
    let different = compare_two(&[1024.0; 8], &[2048.0; 8], None, 0.95).unwrap();
    assert!(different.p > 3e-5 && different.p < 1e-4, "{different:?}");
    let (low, high) = different.interval.unwrap();
    assert!((low - 2.0).abs() < 1e-8 && (high - 2.0).abs() < 1e-8 && low <= different.estimate && different.estimate <= high);
    // Two of each cannot show anything.
    let few = compare_two(&[4.0; 2], &[8.0; 2], None, 0.95).unwrap();
    assert_eq!((few.interval, few.p > 0.05), (None, true));
}

/// The mean and the median of differences are far apart, and the test of each rejects the other.
#[test]
fn a_difference_that_no_factor_describes() {
    let a: Vec<f64> = (0..100).map(|i| if i < 60 { 1.0 } else { 2.0 } + f64::from(i) * 1e-4).collect();
    let b: Vec<f64> = (0..100).map(|i| if i < 15 { 1.0 } else { 2.0 } + f64::from(i) * 1e-4).collect();
    for (a, b) in [(&a, &b), (&b, &a)] {
        let found = compare_two(a, b, None, 0.95).unwrap();
        let (low, high) = found.interval.unwrap();
        assert!(found.p < 1e-6 && low <= found.estimate && found.estimate <= high);
        assert_eq!(low > 1.0, found.estimate > 1.0);
        assert!(low > 1.0 || high < 1.0);
    }
}

#[test]
fn zeros_have_ranks() {
    let none = [0.0; 10];
    let some = [0.0, 0.0, 0.0, 0.01, 0.02, 0.01, 0.03, 0.02, 0.05, 0.01];
    let found = compare_two_by_rank(&none, &some, None, 0.95).unwrap();
    // scipy.stats.permutation_test((none, some), lambda x, y: mannwhitneyu(x, y).statistic): 2 C(13, 10) / C(20, 10)
    assert_close("p", found.p, 2.0 * 286.0 / 184756.0, 1e-12);
    let (low, high) = found.interval.unwrap();
    assert!(0.0 < low && low <= found.estimate && found.estimate <= high && high < 0.06, "{found:?}");
    let same = compare_two_by_rank(&none, &none, None, 0.95).unwrap();
    assert_eq!((same.estimate, same.p), (0.0, 0.5));
    assert!(matches!(compare_two_by_rank(&none, &[f64::MAX], None, 0.95), Err(SampleError::Undefined)));
}

#[test]
fn what_cannot_be_judged() {
    use SampleError::*;
    assert_eq!(compare_two(&A[..1], &B, None, 0.95), Err(TooFew { found: 1, needed: 2 }));
    assert!(matches!(compare_two(&A, &[1.0, 0.0], None, 0.95), Err(NotPositive { index: 1, .. })));
    assert!(matches!(compare_two(&A, &B, None, 0.3), Err(Share { .. })));
    assert!(matches!(compare_two_by_rank(&A, &[f64::NAN], None, 0.95), Err(NotFinite { .. })));
    for pairs in [[(0, 0), (0, 1)], [(0, 1), (1, 1)], [(0, 0), (5, 1)]] {
        assert_eq!(compare_two(&A, &B, Some(&pairs), 0.95), Err(Pair { index: 1 }));
    }
}

/// What affects both values of a round hides the difference from all tests but those of pairs.
#[test]
fn pairs_decide_the_estimate() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    let (a, b): (Vec<f64>, Vec<f64>) = (0..12)
        .map(|_| {
            let round = spread(0.5, &mut rng);
            (round * spread(0.001, &mut rng), 1.05 * round * spread(0.001, &mut rng))
        })
        .unzip();
    let alone = compare_two(&a, &b, None, 0.95).unwrap();
    assert!(alone.p > 0.3);
    // One repetition of each is missing, of different rounds.
    let pairs: Vec<(usize, usize)> = (1..11).map(|round| (round, round - 1)).collect();
    let found = compare_two(&a[..11], &b[1..], Some(&pairs), 0.95).unwrap();
    assert!(found.p < 1e-6 && (found.estimate - 1.05).abs() < 0.002, "{found:?}");
    let (low, high) = found.interval.unwrap();
    assert!(low > 1.045 && high < 1.055, "{found:?}");
    // The ranks of pairs alone.
    let ranks = compare_two_by_rank(&a[..11], &b[1..], Some(&pairs), 0.95).unwrap();
    assert!(ranks.p < 0.01 && ranks.interval.unwrap().0 > 0.0 && ranks.smallest_p < 0.002, "{ranks:?}");
}

/// Share of p at most 1 % among comparisons of `n` pairs of values from `draw`.
fn found(n: usize, rounds: usize, pairs: bool, seed: u64, mut draw: impl FnMut(&mut Xoshiro256PlusPlus) -> (f64, f64)) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let pairs = if pairs { in_order(n) } else { Vec::new() };
    let hits = (0..rounds).filter(|_| {
        let (a, b): (Vec<f64>, Vec<f64>) = (0..n).map(|_| draw(&mut rng)).unzip();
        Shifts::of_logs(&a, &b, Some(&pairs), None).unwrap().p(0.0) <= 0.01
    });
    hits.count() as f64 / rounds as f64
}

const ROUNDS: usize = if cfg!(debug_assertions) { 2000 } else { 20_000 };

fn spread(cv: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    libm::exp(cv * normal(rng))
}

/// One standard deviation of a share of 1 % is 0.07 % here.
#[test]
fn false_positives_are_rare_whatever_the_shape() {
    let least = if cfg!(debug_assertions) { 0.0 } else { 0.003 };
    for (n, seed) in [(5, 1), (8, 2)] {
        let alike = found(n, ROUNDS, false, seed, |rng| (spread(0.05, rng), spread(0.05, rng)));
        let mode = |rng: &mut Xoshiro256PlusPlus| spread(0.01, rng) * if uniform(rng) < 0.5 { 1.0 } else { 1.1 };
        let modes = found(n, ROUNDS, false, seed, |rng| (mode(rng), mode(rng)));
        let wild = |rng: &mut Xoshiro256PlusPlus| spread(0.05, rng) * if uniform(rng) < 0.05 { 3.0 } else { 1.0 };
        let wilds = found(n, ROUNDS, false, seed, |rng| (wild(rng), wild(rng)));
        let uneven = found(n, ROUNDS, false, seed, |rng| (spread(0.02, rng), spread(0.1, rng)));
        println!("n {n}: normal {alike}, two modes {modes}, outliers {wilds}, uneven {uneven}");
        assert!(alike > least && alike < 0.0125, "{alike}");
        assert!(modes < 0.0125 && wilds < 0.0125, "{modes} {wilds}");
        assert!(uneven < 0.022, "{uneven}");
    }
}

#[test]
fn power_is_that_of_the_better_component() {
    for (n, effect, from, to) in [(5, 1.1, 0.30, 0.39), (8, 1.1, 0.71, 0.81), (5, 1.5, 0.99, 1.0)] {
        let share = found(n, ROUNDS / 4, false, 5, |rng| (spread(0.05, rng), effect * spread(0.05, rng)));
        println!("n {n} effect {effect}: {share}");
        assert!((from..=to).contains(&share), "{n} {effect}: {share}");
    }
    let wild = |rng: &mut Xoshiro256PlusPlus| spread(0.05, rng) * if uniform(rng) < 0.05 { 3.0 } else { 1.0 };
    let share = found(20, ROUNDS / 10, false, 6, |rng| (wild(rng), 1.1 * wild(rng)));
    assert!(share > 0.9, "outliers: {share}");
}

#[test]
fn rounds_help_where_they_matter_and_hardly_harm_elsewhere() {
    let round = |rho: f64, effect: f64, rng: &mut Xoshiro256PlusPlus| {
        let (common, one, other) = (normal(rng), normal(rng), normal(rng));
        let (shared, own) = (rho.sqrt(), (1.0 - rho).sqrt());
        let value = |own_part: f64| libm::exp(0.05 * (shared * common + own * own_part));
        (value(one), effect * value(other))
    };
    for (rho, low, high) in [(0.0, 0.68, 0.79), (0.3, 0.76, 0.86), (0.7, 0.97, 1.0)] {
        let false_ones = found(8, ROUNDS, true, 7, |rng| round(rho, 1.0, rng));
        let power = found(8, ROUNDS / 4, true, 8, |rng| round(rho, 1.1, rng));
        println!("rho {rho}: {false_ones}, {power}");
        assert!(false_ones < 0.0115, "{rho}: {false_ones}");
        assert!((low..=high).contains(&power), "{rho}: {power}");
    }
}

#[test]
fn intervals_cover() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
    for (n, pairs) in [(5, false), (8, true), (20, false)] {
        let pairs = if pairs { in_order(n) } else { Vec::new() };
        let rounds = ROUNDS / 10;
        let covered = (0..rounds).filter(|_| {
            let (a, b): (Vec<f64>, Vec<f64>) = (0..n).map(|_| (spread(0.05, &mut rng), 1.2 * spread(0.05, &mut rng))).unzip();
            let (low, high) = compare_two(&a, &b, Some(&pairs), 0.95).unwrap().interval.unwrap();
            low <= 1.2 && 1.2 <= high
        });
        let covered = covered.count() as f64 / rounds as f64;
        println!("n {n}: {covered}");
        assert!((0.935..0.985).contains(&covered), "{n}: {covered}");
    }
}

/// 48 cells of 8 metrics, with whole numbers among them.
#[test]
fn hundreds_of_comparisons_are_fast() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(10);
    let samples: Vec<(Vec<f64>, Vec<f64>)> = (0..384)
        .map(|case| {
            let round = |value: f64| if case % 4 == 0 { value.round() } else { value };
            (0..100).map(|_| (round(100.0 * spread(0.05, &mut rng)), round(101.0 * spread(0.05, &mut rng)))).unzip()
        })
        .collect();
    let pairs = in_order(100);
    let started = std::time::Instant::now();
    for (a, b) in &samples {
        assert!(compare_two(a, b, Some(&pairs), 0.95).unwrap().interval.is_some());
    }
    let took = started.elapsed();
    println!("{took:?}");
    // Ten times what it takes on a quiet machine.
    assert!(cfg!(debug_assertions) || took.as_secs_f64() < 3.0, "{took:?}");
}

fn agrees(p: f64, estimate: f64, interval: Option<(f64, f64)>, none: f64, level: f64) -> Result<(), TestCaseError> {
    prop_assert!((0.0..=0.5).contains(&p), "p {p}");
    prop_assert!(estimate.is_finite());
    match interval {
        Some((low, high)) => {
            prop_assert!(low <= estimate && estimate <= high, "{low} {estimate} {high}");
            prop_assert!(low.is_finite() && high.is_finite());
            prop_assert_eq!(low <= none && none <= high, p > 1.0 - level, "{} to {}, p {}", low, high, p);
        }
        None => prop_assert!(p > 1.0 - level),
    }
    Ok(())
}

/// Samples of all kinds: continuous, whole numbers with ties, constants, two modes, with an extreme value.
fn sample() -> impl Strategy<Value = Vec<f64>> {
    let values = prop_oneof![
        prop::collection::vec(90.0..110.0, 2..61),
        prop::collection::vec((1..6i32).prop_map(f64::from), 2..61),
        prop::collection::vec((1..3i32).prop_map(f64::from), 2..61),
        (1..4i32, 2usize..61).prop_map(|(value, len)| vec![f64::from(value); len]),
        prop::collection::vec(prop_oneof![9 => 1.0..1.1, 1 => 5.0..50.0], 2..61),
        prop::collection::vec(1e-300..1e300, 2..20),
    ];
    (values, prop_oneof![Just(1.0), Just(2.0), 0.5..2.0]).prop_map(|(values, factor)| values.iter().map(|v| v * factor).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 256 } else { 2000 }))]

    #[test]
    fn interval_and_p_never_contradict(a in sample(), b in sample(), paired in 0usize..61, level in prop_oneof![Just(0.95), Just(0.99), 0.51..0.9999]) {
        let pairs = in_order(paired.min(a.len()).min(b.len()));
        for pairs in [None, Some(&pairs[..])] {
            let found = compare_two(&a, &b, pairs, level).unwrap();
            agrees(found.p, found.estimate, found.interval, 1.0, level)?;
            prop_assert!(found.estimate > 0.0);
            let ranks = compare_two_by_rank(&a, &b, pairs, level).unwrap();
            agrees(ranks.p, ranks.estimate, ranks.interval, 0.0, level)?;
        }
    }

    #[test]
    fn two_modes_against_two_modes(
        a in (2usize..61, 0usize..61), b in (2usize..61, 0usize..61), jitter in prop_oneof![Just(0.0), Just(1e-3)],
    ) {
        let of = |(len, upper): (usize, usize)| -> Vec<f64> {
            (0..len).map(|i| if i < upper { 2.0 } else { 1.0 } + jitter * (i * 7 % 11) as f64).collect()
        };
        let found = compare_two(&of(a), &of(b), None, 0.95).unwrap();
        agrees(found.p, found.estimate, found.interval, 1.0, 0.95)?;
    }

    #[test]
    fn sides_are_alike(a in sample(), b in sample()) {
        let (one, other) = (compare_two(&a, &b, None, 0.95).unwrap(), compare_two(&b, &a, None, 0.95).unwrap());
        prop_assert!((one.p - other.p).abs() <= 1e-9 * one.p, "{} {}", one.p, other.p);
    }
}
