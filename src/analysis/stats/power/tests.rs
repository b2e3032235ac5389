use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::ranks::mann_whitney;
use super::super::reference::{assert_close, normal, python, uniform};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Shape {
    Normal,
    Lognormal,
    Bimodal,
}

/// A duration around 100 with a spread of about `spread`, a share.
fn draw(shape: Shape, spread: f64, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let z = normal(rng);
    match shape {
        Shape::Normal => 100.0 * (1.0 + spread * z).max(0.01),
        Shape::Lognormal => 100.0 * libm::exp(spread * z),
        // Two thirds on one level, one third on another two and a half standard deviations above.
        Shape::Bimodal => {
            let slow = f64::from(u8::from(uniform(rng) < 1.0 / 3.0));
            100.0 * (1.0 + spread * (2.0 * slow + 0.4 * z)).max(0.01)
        }
    }
}

fn sample(shape: Shape, spread: f64, len: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    (0..len).map(|_| draw(shape, spread, rng)).collect()
}

/// Share of experiments with `n` repetitions of each variant that find the effect.
fn reached(shape: Shape, spread: f64, effect: f64, n: usize, rounds: usize, rng: &mut Xoshiro256PlusPlus) -> f64 {
    let found = (0..rounds).filter(|_| {
        let a = sample(shape, spread, n, rng);
        let b: Vec<f64> = sample(shape, spread, n, rng).iter().map(|value| value * (1.0 + effect)).collect();
        mann_whitney(&a, &b).unwrap().p <= 0.05
    });
    found.count() as f64 / rounds as f64
}

/// The smallest size that has the power, to 10 %.
fn ideal(shape: Shape, spread: f64, effect: f64, rng: &mut Xoshiro256PlusPlus) -> usize {
    let mut n = 4;
    while reached(shape, spread, effect, n, 8 * PILOTS, rng) < 0.95 {
        n += (n / 10).max(1);
    }
    n
}

/// Without optimization, a tenth as much in the same time.
const PILOTS: usize = if cfg!(debug_assertions) { 10 } else { 60 };

/// The power that the recommended numbers reach, on average over pilots, and how far they are above what is needed.
#[test]
fn recommended_repetitions_have_the_power() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    for shape in [Shape::Normal, Shape::Lognormal, Shape::Bimodal] {
        for (spread, effect) in [(0.05, 0.05), (0.2, 0.3)] {
            let ideal = ideal(shape, spread, effect, &mut rng);
            for pilot in [5, 10, 20] {
                let mut recommended: Vec<f64> = Vec::new();
                let mut power = 0.0;
                for _ in 0..PILOTS {
                    let (a, b) = (sample(shape, spread, pilot, &mut rng), sample(shape, spread, pilot, &mut rng));
                    let n = repetitions_needed(&a, &b, effect, 0.05, 0.95).unwrap();
                    power += reached(shape, spread, effect, n.min(400), 10, &mut rng) / PILOTS as f64;
                    recommended.push(n as f64);
                }
                let factor = median(&recommended) / ideal as f64;
                println!(
                    "{shape:?} {spread} {effect} pilot {pilot}: power {power:.3} n {} ideal {ideal} {factor}",
                    median(&recommended)
                );
                assert!(power >= 0.9, "{shape:?}, {spread}, {effect}, pilots of {pilot}: power {power}");
                assert!((0.7..3.0).contains(&factor), "{shape:?}, {spread}, {effect}, pilots of {pilot}: {factor} of {ideal}");
            }
        }
    }
}

#[test]
fn widening_agrees_with_chi_squared() {
    let python = python();
    for (freedom, percentile) in python["chi2_20_percent"].as_object().unwrap() {
        let nu: f64 = freedom.parse().unwrap();
        assert_close(freedom, widening(nu), (nu / percentile.as_f64().unwrap()).sqrt(), 5e-3);
    }
}

#[test]
fn without_spread_every_value_is_above() {
    // p′ = 1: (1.95996 + 1.64485)² / (6 · 0.25) = 8.66.
    assert_eq!(repetitions_needed(&[5.0; 3], &[7.0; 3], 0.01, 0.05, 0.95), Ok(9));
}

#[test]
fn more_for_less() {
    let (a, b) = ([100.0, 103.0, 98.0, 101.5, 99.2], [201.0, 196.0, 204.5, 199.0, 200.2]);
    let needed = |effect, alpha, power| repetitions_needed(&a, &b, effect, alpha, power).unwrap();
    assert!(needed(0.01, 0.05, 0.95) > needed(0.02, 0.05, 0.95));
    assert!(needed(0.02, 0.01, 0.95) > needed(0.02, 0.05, 0.95));
    assert!(needed(0.02, 0.05, 0.95) > needed(0.02, 0.05, 0.8));
    // However large the effect, significance itself needs some.
    assert!(smallest_p(needed(10.0, 0.001, 0.5), needed(10.0, 0.001, 0.5)) <= 0.001);
    assert_eq!(repetitions_needed(&[5.0; 3], &[7.0; 3], 1e-9, 0.05, 0.5).unwrap(), needed(1e9, 0.05, 0.5));
}

#[test]
fn what_cannot_be_judged() {
    use SampleError::*;
    let fine = [1.0, 2.0, 3.0];
    assert_eq!(repetitions_needed(&fine[..2], &fine, 0.1, 0.05, 0.9), Err(TooFew { found: 2, needed: 3 }));
    assert!(matches!(repetitions_needed(&fine, &[1.0, 2.0, 0.0], 0.1, 0.05, 0.9), Err(NotPositive { index: 2, .. })));
    assert!(matches!(repetitions_needed(&fine, &fine, 0.0, 0.05, 0.9), Err(Effect { .. })));
    assert!(matches!(repetitions_needed(&fine, &fine, 0.1, 5.0, 0.9), Err(Share { what: "alpha", .. })));
    assert!(matches!(repetitions_needed(&fine, &fine, 0.1, 0.05, 1.0), Err(Share { what: "power", .. })));
}

// The smallest n for which d >= (t.ppf(1 - alpha / 2, 2 * n - 2) + t.ppf(power, 2 * n - 2)) * s * np.sqrt(2 / n), and
// np.sqrt(nu / chi2.ppf(0.2, nu)) for nu = 2 * n - 2     scipy 1.17.1
#[test]
fn repetitions_agree_with_scipy() {
    let step = libm::log1p(0.05);
    for (alpha, expected) in [(0.01, 33), (0.01 / 8.0, 45), (0.01 / 32.0, 53)] {
        assert_eq!(repetitions_for_difference(0.05, step, alpha, 0.9), Ok(expected));
    }
    assert_eq!([0.9, 0.95].map(|power| repetitions_for_same(0.05, step, power)), [Ok(29), Ok(34)]);
    for (pilot, expected) in [(3.0, 1.557575), (5.0, 1.319683), (10.0, 1.183225)] {
        assert_close("factor", pilot_factor(2.0 * pilot - 2.0), expected, 5e-7);
    }
    let spread = 0.05 * pilot_factor(8.0);
    assert_eq!(repetitions_for_difference(spread, step, 0.01, 0.9), Ok(56));
    assert_eq!(repetitions_for_difference(spread, step, 0.01 / 32.0, 0.9), Ok(91));
}

#[test]
fn a_pilot_tells_all_three() {
    // Five values whose logarithms have a standard deviation of 0.05, around 1 and around 1.5.
    let of = |factor: f64| -> Vec<f64> {
        [-2.0, -1.0, 0.0, 1.0, 2.0].map(|step: f64| factor * libm::exp(0.05 * step / 2.5f64.sqrt())).to_vec()
    };
    let found = repetitions_after_pilot(&of(1.0), &of(1.5), 0.05, 0.01, 0.9).unwrap();
    assert_eq!((found.for_threshold, found.for_effect < 6), (56, true));
    // No effect was seen: the threshold's numbers are used.
    let alike = repetitions_after_pilot(&of(1.0), &of(1.0), 0.05, 0.01, 0.9).unwrap();
    assert_eq!(alike, RepetitionsNeeded { for_effect: 56, ..found });
    // Values that do not vary: 2 / 4ⁿ falls below 0.01 with 4.
    let constant = repetitions_after_pilot(&[5.0; 3], &[7.0; 3], 0.05, 0.01, 0.9).unwrap();
    assert_eq!(constant, RepetitionsNeeded { for_threshold: 4, for_effect: 4, for_same: 3 });
    assert_eq!(repetitions_for_difference(1.0, 1e-12, 0.01, 0.9), Ok(usize::MAX));
}

/// The power that the numbers reach: the combined test with as many repetitions, and all pilots of 5 together.
#[test]
fn repetitions_have_the_power_of_the_combined_test() {
    use super::super::two_samples::Shifts;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(21);
    let rounds = if cfg!(debug_assertions) { 200 } else { 2000 };
    let reached = |n: usize, effect: f64, alpha: f64, rng: &mut Xoshiro256PlusPlus| {
        let a = sample(Shape::Lognormal, 0.05, n, rng);
        let b: Vec<f64> = sample(Shape::Lognormal, 0.05, n, rng).iter().map(|value| value * effect).collect();
        Shifts::of_logs(&a, &b, None, None).unwrap().p(0.0) <= alpha
    };
    for (alpha, n) in [(0.01, 33), (0.01 / 32.0, 53)] {
        let power = (0..rounds).filter(|_| reached(n, 1.05, alpha, &mut rng)).count() as f64 / f64::from(rounds);
        println!("known spread, n {n}: {power}");
        assert!((0.86..0.94).contains(&power), "{power}");
    }
    let mut power = [0.0; 2];
    for _ in 0..rounds {
        let a = sample(Shape::Lognormal, 0.05, 5, &mut rng);
        let b: Vec<f64> = sample(Shape::Lognormal, 0.05, 5, &mut rng).iter().map(|value| value * 1.1).collect();
        let needed = repetitions_after_pilot(&a, &b, 0.05, 0.01, 0.9).unwrap();
        power[0] += f64::from(u8::from(reached(needed.for_threshold, 1.05, 0.01, &mut rng))) / f64::from(rounds);
        power[1] += f64::from(u8::from(reached(needed.for_effect, 1.1, 0.01, &mut rng))) / f64::from(rounds);
    }
    let same = (0..rounds).filter(|_| {
        let (a, b) = (sample(Shape::Lognormal, 0.05, 29, &mut rng), sample(Shape::Lognormal, 0.05, 29, &mut rng));
        let shifts = Shifts::of_logs(&a, &b, None, None).unwrap();
        [-1.0, 1.0].into_iter().all(|side| shifts.p(side * libm::log1p(0.05)) <= 0.05)
    });
    let same = same.count() as f64 / f64::from(rounds);
    println!("same: {same}");
    assert!((0.86..0.94).contains(&same), "{same}");
    println!("pilots of 5: {power:?}");
    assert!(power[0] > 0.9 && power[1] > 0.87, "{power:?}");
}

#[test]
fn what_cannot_be_planned() {
    use SampleError::*;
    let fine = [1.0, 2.0];
    assert_eq!(repetitions_after_pilot(&fine[..1], &fine, 0.1, 0.05, 0.9), Err(TooFew { found: 1, needed: 2 }));
    assert!(matches!(repetitions_after_pilot(&fine, &fine, 0.0, 0.05, 0.9), Err(Effect { what: "threshold", .. })));
    assert!(matches!(repetitions_after_pilot(&fine, &fine, 0.1, 5.0, 0.9), Err(Share { what: "alpha", .. })));
    assert!(matches!(repetitions_for_same(0.05, 0.1, 1.0), Err(Share { what: "power", .. })));
    assert!(matches!(repetitions_for_difference(f64::NAN, 0.1, 0.01, 0.9), Err(Effect { what: "spread", .. })));
}
