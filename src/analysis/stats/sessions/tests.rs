use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::reference::{assert_close, normal};
use super::*;

fn means(values: &[f64]) -> Vec<Session> {
    values.iter().map(|&value| Session::of_mean(value).unwrap()).collect()
}

fn floor() -> Vec<Session> {
    means(&[1000.0, 1030.0, 985.0, 1010.0, 1022.0])
}

// x = np.log([1000, 1030, 985, 1010, 1022, 1005]); s = x.std(ddof=1); t = (np.log(1120) - x.mean()) / (s * np.sqrt(1 + 1 / 6))
// 2 * scipy.stats.t.sf(t, 5); np.exp(np.log(1120) - x.mean() ± scipy.stats.t.ppf(0.975, 5) * s * np.sqrt(1 + 1 / 6))
//                                                                                          scipy 1.17.1
#[test]
fn one_session_agrees_with_scipy() {
    let found = compare_sessions(&floor(), &means(&[1005.0]), &means(&[1120.0]), 0.95).unwrap();
    assert_close("s", found.spread, 0.01589737, 1e-8);
    assert_close("t", found.t, 6.103539, 1e-6);
    assert_eq!(found.freedom, 5.0);
    assert_close("p", found.p / 0.0017098316, 1.0, 5e-8);
    assert_close("ratio", found.ratio, 1.110494, 1e-6);
    let (low, high) = found.interval.unwrap();
    assert_close("low", low, 1.062543, 1e-6);
    assert_close("high", high, 1.160608, 1e-6);
    assert!(found.smallest_ratio(0.01) < found.ratio && found.smallest_ratio(0.001) > found.ratio);
    assert_close("smallest", found.smallest_ratio(0.01), smallest_ratio(found.spread, 5, 0.01), 1e-13);
}

// s = sqrt of the sum of squares about the three means, over 6; t = d / s, since √(1/2 + 1/2) = 1
// alone: scipy.stats.ttest_ind(np.log([1100, 1150]), np.log([1000, 1040])).pvalue     scipy 1.17.1
#[test]
fn several_sessions_agree_with_scipy() {
    let (a, b) = (means(&[1000.0, 1040.0]), means(&[1100.0, 1150.0]));
    let found = compare_sessions(&floor(), &a, &b, 0.95).unwrap();
    assert_close("t", found.t, 4.375191, 1e-6);
    assert_eq!(found.freedom, 6.0);
    assert_close("p", found.p / 0.0046925694, 1.0, 5e-8);
    let alone = compare_sessions(&[], &a, &b, 0.95).unwrap();
    assert_close("alone", alone.p, 0.08068428, 1e-8);
}

#[test]
fn smallest_ratios() {
    for (sessions, expected) in [(3, 1.22), (5, 1.14), (10, 1.10)] {
        assert_close("ratio", smallest_ratio(0.03, sessions, 0.01), expected, 0.005);
    }
    assert!(smallest_ratio(0.03, 0, 0.01).is_nan());
}

#[test]
fn nothing_says_how_sessions_differ() {
    let one = means(&[1000.0]);
    let none = compare_sessions(&[], &one, &one, 0.95);
    assert_eq!(none, Err(SampleError::TooFewSessions { found: 1, needed: 2 }));
    assert!(compare_sessions(&floor(), &[], &one, 0.95).is_err());
    // Two sessions of one side are enough.
    assert_eq!(compare_sessions(&[], &means(&[1000.0, 1010.0]), &one, 0.95).unwrap().freedom, 1.0);
    assert!(matches!(compare_sessions(&floor(), &one, &one, 95.0), Err(SampleError::Share { .. })));
    assert!(Session::of(&[1.0]).is_err() && Session::of_mean(0.0).is_err() && Session::of(&[1.0, -1.0]).is_err());
}

#[test]
fn sessions_that_do_not_vary() {
    let floor = means(&[8.0; 5]);
    let same = one_session(&floor, floor[0], floor[0], 0.95).unwrap();
    assert_eq!((same.p, same.ratio, same.t, same.smallest_ratio(0.01)), (1.0, 1.0, 0.0, 1.0));
    let other = one_session(&floor, floor[0], means(&[16.0])[0], 0.95).unwrap();
    // 2 · (6/7)⁶ / 7
    assert_close("p", other.p, 2.0 * (6.0f64 / 7.0).powi(6) / 7.0, 1e-13);
    assert_eq!((other.t, other.interval), (f64::INFINITY, None));
}

/// Repetitions that spread more than sessions do set a lower limit.
#[test]
fn luck_does_not_narrow_the_floor() {
    let wide = |centre: f64| Session::of(&[centre * 0.9, centre * 1.1, centre, centre * 0.95, centre * 1.05]).unwrap();
    let floor: Vec<Session> = [1000.0, 1001.0, 999.0].map(wide).to_vec();
    let found = one_session(&floor, wide(1000.5), wide(1020.0), 0.95).unwrap();
    let narrow = one_session(&means(&[1000.0, 1001.0, 999.0]), means(&[1000.5])[0], means(&[1020.0])[0], 0.95).unwrap();
    assert!(found.spread > 0.03 && found.p > 0.5, "{found:?}");
    assert!(narrow.spread < 0.001 && narrow.p < 0.01, "{narrow:?}");
}

/// Share of p at most 1 %: sessions that are `apart`, with `n` repetitions that spread 5 %.
fn found(apart: f64, n: usize, floor: usize, sides: usize, effect: f64, seed: u64) -> f64 {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let rounds = if cfg!(debug_assertions) { 1000 } else { 10_000 };
    let session = |effect: f64, rng: &mut Xoshiro256PlusPlus| {
        let level = apart * normal(rng);
        let values: Vec<f64> = (0..n).map(|_| effect * libm::exp(level + 0.05 * normal(rng))).collect();
        Session::of(&values).unwrap()
    };
    let hits = (0..rounds).filter(|_| {
        let floor: Vec<Session> = (0..floor).map(|_| session(1.0, &mut rng)).collect();
        let a: Vec<Session> = (0..sides).map(|_| session(1.0, &mut rng)).collect();
        let b: Vec<Session> = (0..sides).map(|_| session(effect, &mut rng)).collect();
        compare_sessions(&floor, &a, &b, 0.95).unwrap().p <= 0.01
    });
    hits.count() as f64 / f64::from(rounds)
}

#[test]
fn equal_sessions_are_rarely_called_different() {
    for (apart, n, floor, sides) in
        [(0.01, 10, 5, 1), (0.03, 10, 3, 1), (0.03, 50, 5, 1), (0.1, 5, 10, 1), (0.03, 10, 0, 3), (0.03, 10, 5, 2)]
    {
        let share = found(apart, n, floor, sides, 1.0, 61);
        println!("apart {apart}, n {n}, floor {floor}, {sides} a side: {share}");
        assert!(share < 0.0135, "{apart} {n} {floor} {sides}: {share}");
    }
}

#[test]
fn differences_are_found_as_far_as_sessions_allow() {
    // A little less where repetitions spread, too.
    for (apart, floor, sides, low, high) in
        [(0.01, 5, 1, 0.55, 0.8), (0.03, 0, 5, 0.68, 0.88), (0.03, 5, 3, 0.45, 0.62), (0.03, 5, 2, 0.22, 0.36)]
    {
        let share = found(apart, 10, floor, sides, 1.1, 62);
        println!("apart {apart}, floor {floor}, {sides} a side: {share}");
        assert!((low..=high).contains(&share), "{apart} {floor} {sides}: {share}");
    }
}
