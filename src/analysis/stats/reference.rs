//! What the tests share: samples and the results of other programs for them (`tests/data/stats`, with the scripts that made
//! it), and random numbers.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;
use serde_json::Value;

use super::normal::normal_quantile;

pub fn samples() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/stats/samples.json")).unwrap()
}

pub fn python() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/stats/python.json")).unwrap()
}

pub fn r() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/stats/r.json")).unwrap()
}

/// R writes a single value without brackets.
pub fn numbers(value: &Value) -> Vec<f64> {
    match value.as_array() {
        Some(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
        None => vec![value.as_f64().unwrap()],
    }
}

/// Name and values of every series.
pub fn series() -> Vec<(String, Vec<f64>)> {
    samples()["series"].as_object().unwrap().iter().map(|(name, values)| (name.clone(), numbers(values))).collect()
}

/// Name and values of every pair of samples.
pub fn pairs() -> Vec<(String, Vec<f64>, Vec<f64>)> {
    let samples = samples();
    let pairs = samples["pairs"].as_object().unwrap();
    pairs.iter().map(|(name, pair)| (name.clone(), numbers(&pair[0]), numbers(&pair[1]))).collect()
}

/// Asserts equality to a relative `tolerance`, or an absolute one below 1.
pub fn assert_close(name: &str, found: f64, expected: f64, tolerance: f64) {
    let difference = (found - expected).abs();
    assert!(difference <= tolerance * expected.abs().max(1.0), "{name}: found {found:?}, expected {expected:?}");
}

/// A random number in (0, 1).
pub fn uniform(rng: &mut Xoshiro256PlusPlus) -> f64 {
    ((rng.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// A random number from the standard normal distribution, by inversion.
pub fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    normal_quantile(uniform(rng))
}
