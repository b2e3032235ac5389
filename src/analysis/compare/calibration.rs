//! Is what a comparison says right? Simulated on recorded real repetitions.
//!
//! `tests/data/calibration.json` holds the throughput of 200 real repetitions of two servers, from
//! `experiments/calibration.yaml`: one whose spread is known, and one whose spread is the machine's. Samples are drawn
//! from it with replacement.

use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::Deserialize;

use super::{Verdict, samples};
use crate::record::Metric;

#[derive(Deserialize)]
struct Recorded {
    fixtures: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    name: String,
    throughput_per_s: Vec<f64>,
}

fn fixtures() -> Vec<Fixture> {
    let recorded: Recorded = serde_json::from_str(include_str!("../../../tests/data/calibration.json")).unwrap();
    assert!(recorded.fixtures.len() >= 2 && recorded.fixtures.iter().all(|f| f.throughput_per_s.len() >= 200));
    recorded.fixtures
}

const THRESHOLD: f64 = 0.05;
const COMPARISONS: usize = 200;

/// Two samples of `n` repetitions, drawn with replacement, the second one slowed by a share.
fn draw(rng: &mut Xoshiro256PlusPlus, recorded: &[f64], n: usize, slowed: f64) -> (Vec<f64>, Vec<f64>) {
    let mut one = |slowed: f64| (0..n).map(|_| recorded.choose(rng).expect("it is not empty") * (1.0 - slowed)).collect();
    (one(0.0), one(slowed))
}

fn differs(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::NoDifferenceShown | Verdict::TooFewRepetitions)
}

#[test]
fn the_same_fixture_twice_is_called_different_in_at_most_5_percent() {
    for fixture in fixtures() {
        for n in [5, 10, 20, 40] {
            // No threshold either: then every difference counts that is significant.
            for threshold in [0.0, 0.01, THRESHOLD] {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
                let wrong = (0..COMPARISONS)
                    .filter(|_| {
                        let (a, b) = draw(&mut rng, &fixture.throughput_per_s, n, 0.0);
                        differs(samples(Metric::Throughput, "", &a, &b, threshold).verdict)
                    })
                    .count();
                println!("{} n={n} threshold={threshold}: {wrong} of {COMPARISONS}", fixture.name);
                assert!(wrong <= COMPARISONS / 20, "{} n={n} threshold={threshold}: {wrong} of {COMPARISONS}", fixture.name);
            }
        }
    }
}

#[test]
fn a_fixture_slowed_by_5_percent_is_called_slower_in_at_least_90_percent_with_as_many_repetitions_as_recommended() {
    for fixture in fixtures() {
        // The spread of `plain` asks for a thousand repetitions, which takes its time.
        let pilots: &[usize] = if fixture.name == "as-is" { &[5, 10, 20] } else { &[10] };
        for pilot in pilots.iter().copied() {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
            let (mut slower, mut faster, mut recommended) = (0, 0, Vec::new());
            for _ in 0..COMPARISONS {
                let (a, b) = draw(&mut rng, &fixture.throughput_per_s, pilot, 0.05);
                let first = samples(Metric::Throughput, "", &a, &b, THRESHOLD);
                // What the tool says: these many do, or so many more.
                let n = pilot + first.more.unwrap_or(0);
                recommended.push(n);
                let verdict = if first.more.is_none() {
                    first.verdict
                } else {
                    let (a, b) = draw(&mut rng, &fixture.throughput_per_s, n, 0.05);
                    samples(Metric::Throughput, "", &a, &b, THRESHOLD).verdict
                };
                slower += usize::from(verdict == Verdict::Slower);
                faster += usize::from(verdict == Verdict::Faster);
            }
            recommended.sort_unstable();
            println!(
                "{} pilot={pilot}: slower {slower} of {COMPARISONS}, faster {faster}; recommended {} to {}, median {}",
                fixture.name,
                recommended[0],
                recommended[COMPARISONS - 1],
                recommended[COMPARISONS / 2]
            );
            assert!(slower * 10 >= COMPARISONS * 9, "{} pilot={pilot}: {slower} of {COMPARISONS}", fixture.name);
            assert_eq!(faster, 0, "{} pilot={pilot}", fixture.name);
        }
    }
}
