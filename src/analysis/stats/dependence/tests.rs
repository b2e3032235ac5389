use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;

use super::super::reference::{assert_close, normal};
use super::super::welch::welch;
use super::*;

/// Throughput of 200 rounds of one server, in the order of time.
fn recorded() -> Vec<f64> {
    let text = include_str!("../../../../tests/data/calibration.json");
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    let plain = all["fixtures"].as_array().unwrap().iter().find(|fixture| fixture["name"] == "plain").unwrap();
    super::super::reference::numbers(&plain["throughput_per_s"])
}

// x, y = np.log(plain[:20]), np.log(plain[20:40]), centred; phi = (20 * r + 1) / 16; v = 1 + 2 * sum((1 - k / 20) * phi ** k);
// 2 * t.sf(d / se, df)     scipy 1.17.1
#[test]
fn agrees_with_scipy() {
    let plain = recorded();
    let (a, b) = (&plain[..20], &plain[20..40]);
    let found = dependent_ratio(a, b, 0.95).unwrap();
    assert_close("phi", found.phi, 0.732503, 1e-6);
    assert_close("inflation", found.inflation, 5.455045, 2e-7);
    assert_close("freedom", found.freedom, 5.332662, 1e-6);
    assert_close("p", found.p, 0.52150531, 1e-8);
    assert_close("independent", welch(a, b, 0.95).unwrap().p, 0.075162744, 1e-8);
    assert!(found.interval.0 < 1.0 && found.interval.1 > 1.0);
    let ((pa, sa), (pb, sb)) = (sums(&logs(a)), sums(&logs(b)));
    assert_close("r", (pa + pb) / (sa + sb), 0.536002, 1e-6);
}

fn series(phi: f64, n: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    let mut last = normal(rng);
    let step = (1.0 - phi * phi).sqrt();
    (0..n)
        .map(|_| {
            last = phi * last + step * normal(rng);
            libm::exp(0.05 * last)
        })
        .collect()
}

#[test]
fn false_differences_are_fewer_than_if_rounds_were_independent() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(31);
    let rounds = if cfg!(debug_assertions) { 400 } else { 8000 };
    for (phi, most) in [(0.0, 0.012), (0.3, 0.022), (0.7, 0.032), (0.9, 0.055)] {
        let (mut found, mut independent) = (0, 0);
        for _ in 0..rounds {
            let (a, b) = (series(phi, 20, &mut rng), series(phi, 20, &mut rng));
            found += u32::from(dependent_ratio(&a, &b, 0.95).unwrap().p <= 0.01);
            independent += u32::from(welch(&a, &b, 0.95).unwrap().p <= 0.01);
        }
        let [found, independent] = [found, independent].map(|count| f64::from(count) / f64::from(rounds));
        println!("phi {phi}: {found}, independent {independent}");
        assert!(cfg!(debug_assertions) || found < most, "{phi}: {found}");
        assert!(phi == 0.0 || independent > 0.03);
    }
}

#[test]
fn worth_is_what_the_variance_of_the_mean_says() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(32);
    for (phi, low, high) in [(0.0, 150.0, 200.0), (0.5, 55.0, 85.0), (0.8, 15.0, 32.0)] {
        let worth = (0..50).map(|_| serial_dependence(&series(phi, 200, &mut rng)).unwrap().worth).sum::<f64>() / 50.0;
        println!("phi {phi}: {worth}");
        assert!((low..=high).contains(&worth), "{phi}: {worth}");
    }
}

#[test]
fn the_ends_of_the_range() {
    assert_eq!(serial_dependence(&[3.0; 7]).unwrap(), SerialDependence { phi: 0.0, inflation: 1.0, worth: 7.0 });
    let up: Vec<f64> = (0..30).map(f64::from).collect();
    let rising = serial_dependence(&up).unwrap();
    assert!(rising.phi == STRONGEST && rising.worth >= 1.0 && rising.worth < 2.0, "{rising:?}");
    let zigzag: Vec<f64> = (0..30).map(|i| f64::from(i % 2)).collect();
    assert_eq!(serial_dependence(&zigzag).unwrap().worth, 30.0);
    assert_eq!(serial_dependence(&[1.0; 4]), Err(SampleError::TooFew { found: 4, needed: 5 }));
    let constant = dependent_ratio(&[2.0; 5], &[3.0; 8], 0.95).unwrap();
    assert!(constant.p > 0.0 && constant.p < 0.01 && constant.ratio == constant.interval.0);
    assert_eq!(dependent_ratio(&[2.0; 5], &[2.0; 8], 0.95).unwrap().p, 1.0);
    // Five values that rise: hardly one value each, and still a number.
    let few = dependent_ratio(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 3.0, 4.0, 5.0, 6.0], 0.95).unwrap();
    assert!((0.0..=1.0).contains(&few.p) && few.freedom == 1.0);
}
