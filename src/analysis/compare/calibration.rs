//! Are the results of a comparison correct? Tested with recorded real repetitions.
//!
//! `tests/data/calibration.json` contains the throughput of 200 real repetitions of two servers, from
//! `experiments/calibration.yaml`: one whose spread is known, and one whose spread is the machine's, where successive values
//! depend on each other. They are used in order of time, as in real runs: values drawn with replacement would be
//! independent, and hide the effects of time.

use serde::Deserialize;

use super::judge::of_sessions;
use super::{Verdict, samples};
use vocabulary::Metric;

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
/// Sessions of the floor.
const FLOOR: usize = 4;

/// From `at` on, `n` rounds of two: each round is two successive repetitions, which alternate in going first; the second
/// side is slowed by a share.
fn interleaved(recorded: &[f64], at: usize, n: usize, slowed: f64) -> (Vec<f64>, Vec<f64>) {
    let round = |round: usize| {
        let (first, second) = (recorded[at + 2 * round], recorded[at + 2 * round + 1]);
        if round.is_multiple_of(2) { (first, second) } else { (second, first) }
    };
    (0..n).map(round).map(|(a, b)| (a, b * (1.0 - slowed))).unzip()
}

#[test]
fn interleaved_the_same_fixture_is_called_different_in_at_most_1_percent() {
    for fixture in fixtures() {
        for n in [5, 10, 20, 40] {
            for threshold in [0.0, THRESHOLD] {
                let starts = 0..=fixture.throughput_per_s.len() - 2 * n;
                let all = starts.clone().count();
                let wrong = starts
                    .filter(|at| {
                        let (a, b) = interleaved(&fixture.throughput_per_s, *at, n, 0.0);
                        samples(&Metric::Throughput, "", &a, &b, true, threshold).verdict.is_difference()
                    })
                    .count();
                println!("{} n={n} threshold={threshold}: {wrong} of {all}", fixture.name);
                // Windows overlap: one lucky stretch is counted several times.
                assert!(wrong * 50 <= all, "{} n={n} threshold={threshold}: {wrong} of {all}", fixture.name);
            }
        }
    }
}

#[test]
fn in_time_order_blocks_of_the_same_fixture_are_never_called_different() {
    for (fixture, length) in fixtures().iter().flat_map(|f| [10, 20].map(|length| (f, length))) {
        let blocks: Vec<Vec<f64>> = fixture.throughput_per_s.chunks(length).map(<[f64]>::to_vec).collect();
        let (mut within, mut with_floor, mut without, mut pairs, mut floors) = (0, 0, 0, 0, 0);
        for first in 0..blocks.len() {
            for second in first + 1..blocks.len() {
                pairs += 1;
                let [a, b] = [&blocks[first], &blocks[second]];
                // As if they were repetitions of one run, which they are not.
                within += usize::from(samples(&Metric::Throughput, "", a, b, false, THRESHOLD).verdict.is_difference());
                let sides = [std::slice::from_ref(a), std::slice::from_ref(b)];
                let alone = of_sessions(&Metric::Throughput, sides, &[], THRESHOLD);
                without += usize::from(alone.verdict != Verdict::CannotTell);
                // Sessions that were made before.
                if first >= FLOOR {
                    let told = of_sessions(&Metric::Throughput, sides, &blocks[first - FLOOR..first], THRESHOLD);
                    with_floor += usize::from(told.verdict.is_difference());
                    floors += 1;
                    assert_ne!(told.verdict, Verdict::CannotTell);
                }
            }
        }
        println!(
            "{}, blocks of {length}: of {pairs} pairs {within} as if within a run; of {floors} with a floor {with_floor}",
            fixture.name
        );
        assert_eq!(without, 0, "{}: one session each, and no floor", fixture.name);
        assert!(with_floor * 100 <= floors, "{}: {with_floor} of {floors} with a floor", fixture.name);
        // This is why runs are compared as sessions.
        assert!(fixture.name != "plain" || within * 5 > pairs, "{within} of {pairs}");
    }
}

#[test]
fn a_fixture_slowed_by_5_percent_is_called_slower_in_at_least_90_percent_with_as_many_repetitions_as_recommended() {
    for fixture in fixtures() {
        let recorded = &fixture.throughput_per_s;
        let rounds = recorded.len() / 2;
        for pilot in [5, 10, 20] {
            let (mut slower, mut faster, mut same, mut too_many, mut recommended) = (0, 0, 0, 0, Vec::new());
            for at in 0..=recorded.len() - 2 * pilot {
                let (a, b) = interleaved(recorded, at, pilot, 0.05);
                let first = samples(&Metric::Throughput, "", &a, &b, true, THRESHOLD);
                // The tool's answer: this many are enough, or this many more are needed.
                let n = pilot + first.more_for_threshold.unwrap_or(0);
                recommended.push(n);
                let verdict = if first.more_for_threshold.is_none() {
                    first.verdict
                } else if n <= rounds {
                    // Around the position of the pilot, as far as was recorded.
                    let (a, b) = interleaved(recorded, at.min(recorded.len() - 2 * n), n, 0.05);
                    samples(&Metric::Throughput, "", &a, &b, true, THRESHOLD).verdict
                } else {
                    too_many += 1;
                    continue;
                };
                slower += usize::from(verdict == Verdict::Slower);
                faster += usize::from(verdict == Verdict::Faster);
                same += usize::from(verdict == Verdict::NoDifferenceShown);
            }
            recommended.sort_unstable();
            let all = recommended.len() - too_many;
            println!(
                "{} pilot={pilot}: slower {slower} of {all}, faster {faster}, the same {same}; recommended {} to {}, median {}, \
                 {too_many} more than were recorded",
                fixture.name,
                recommended[0],
                recommended[recommended.len() - 1],
                recommended[recommended.len() / 2]
            );
            // Where most pilots ask for more rounds than were recorded, the others are those that looked steadier than the
            // series is.
            let testable = too_many * 2 < recommended.len();
            assert!(!testable || slower * 10 >= all * 9, "{} pilot={pilot}: {slower} of {all}", fixture.name);
            assert!(testable || fixture.name == "plain");
            // 5 % slower is just beyond the threshold: one in forty may be called *same*.
            assert!(
                faster == 0 && same * 40 <= all.max(40),
                "{} pilot={pilot}: faster {faster}, the same {same} of {all}",
                fixture.name
            );
            assert!(fixture.name != "as-is" || too_many == 0, "{too_many} pilots ask for more than {rounds} rounds");
        }
    }
}
