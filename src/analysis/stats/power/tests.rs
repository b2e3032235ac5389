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
