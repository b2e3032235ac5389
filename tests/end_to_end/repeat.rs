//! `runner repeat`: rounds over all cells, when it ends, and what it says of stability.
//!
//! The numbers come from `echo`, so that every interval, trend and outlier is known before it is measured.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Place, json, listing};

/// Three cells; NUMBER is an expression of the shell.
const NUMBERS: &str = "
experiment: test
question: How stable is a number?
factors: {kind: [a, b, c]}
layout: ${kind}
workloads:
  tool:
    command: [sh, -c, 'echo took $((NUMBER))']
    load: {closed: {connections: 1}, amount: 1}
    metrics: {took: {regex: 'took ([0-9]+)', unit: s}}
";

fn numbers(number: &str) -> Place {
    Place::with(&NUMBERS.replace("NUMBER", number))
}

/// Repeats one of the three cells.
#[track_caller]
fn one(place: &Place, words: &str) -> Outcome {
    let all = ["repeat test.yaml --metric took --no-graphs --set kind=a --seed 1", words].join(" ");
    place.run(&all.split_whitespace().collect::<Vec<_>>())
}

/// What the summary says of the stability of the one cell.
#[track_caller]
fn stability(place: &Place) -> Json {
    let all = place.summary()["cells"][0]["stability"].clone();
    assert_eq!(all.as_array().map(Vec::len), Some(1), "one workload: {all}");
    all[0].clone()
}

fn repetitions(place: &Place) -> usize {
    listing(&place.run_directory("test").join("cells/a")).len()
}

// ---- rounds

#[test]
fn every_round_holds_every_cell_once_in_an_order_of_its_own() {
    let place = numbers("7");
    let rounds = |seed: &str| {
        let outcome = place.run(&["repeat", "test.yaml", "-n", "6", "--seed", seed, "--json", "--no-graphs"]).expect(0);
        let events = outcome.events();
        let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
        let round = ["repetition-begins", "repetition-ends"].repeat(3).into_iter().chain(["round-ends"]);
        let expected: Vec<&str> =
            ["run-begins"].into_iter().chain(round.collect::<Vec<_>>().repeat(6)).chain(["run-ends"]).collect();
        assert_eq!(kinds, expected);
        let ends: Vec<&Json> = events.iter().filter(|e| e["event"] == "round-ends").map(|e| &e["round"]).collect();
        assert_eq!(ends, [1, 2, 3, 4, 5, 6]);
        let begun = events.iter().filter(|e| e["event"] == "repetition-begins");
        let turns: Vec<(String, u64)> =
            begun.map(|e| (e["cell"].as_str().unwrap().to_owned(), e["repetition"].as_u64().unwrap())).collect();
        // The order is the one in which they were really executed.
        let directory = place.path(events[0]["directory"].as_str().unwrap());
        let started = |(cell, n): &(String, u64)| {
            let (_, level) = cell.split_once('=').unwrap();
            let status = json(&directory.join(format!("cells/{level}/run{n}/status.json")));
            status["started_at"].as_str().unwrap().trim_end_matches('Z').to_owned()
        };
        assert!(turns.iter().map(started).is_sorted(), "{turns:?}");
        turns.chunks(3).map(<[_]>::to_vec).collect::<Vec<_>>()
    };
    let [first, again, other] = ["7", "7", "8"].map(rounds);
    assert_eq!(first, again, "a seed decides the order");
    assert_ne!(first, other);
    for (index, round) in first.iter().enumerate() {
        let cells: BTreeSet<&str> = round.iter().map(|(cell, _)| cell.as_str()).collect();
        assert_eq!(cells, BTreeSet::from(["kind=a", "kind=b", "kind=c"]));
        assert!(round.iter().all(|(_, n)| *n == index as u64 + 1), "round after round: {round:?}");
    }
    let orders: BTreeSet<Vec<&str>> = first.iter().map(|round| round.iter().map(|(c, _)| c.as_str()).collect()).collect();
    assert!(orders.len() > 1, "rounds are shuffled each by itself: {orders:?}");
}

#[test]
fn people_get_a_line_per_round() {
    let place = numbers("7");
    let outcome = place.run(&["repeat", "test.yaml", "-n", "5", "--metric", "took", "--no-graphs"]).expect(0);
    let rounds: Vec<&str> = outcome.stderr.lines().filter(|l| l.starts_with("round ")).collect();
    assert_eq!(rounds.len(), 5, "{}", outcome.stderr);
    assert!(
        rounds[0].starts_with("round 1: ") && rounds[4].contains("median 7.00 s ±0.0 % (5 repetitions), the least certain: "),
        "{rounds:#?}"
    );
    assert!(outcome.stdout.contains("stability of took over rounds"), "{}", outcome.stdout);
    for line in outcome.stdout.lines().chain(outcome.stderr.lines()).filter(|l| !l.contains("results in")) {
        assert!(line.chars().count() <= 100, "{line}");
    }

    let place = numbers("7");
    let outcome = place.run(&["repeat", "test.yaml", "-n", "2", "--quiet", "--no-graphs"]).expect(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
}

#[test]
fn every_file_is_repeated() {
    let mut place = numbers("7");
    place.write("second.yaml", &NUMBERS.replace("NUMBER", "8").replace("experiment: test", "experiment: second"));
    let words = ["repeat", "test.yaml", "second.yaml", "-n", "5", "--metric", "took", "--set", "kind=a,b", "--no-graphs"];
    place.run(&words).expect(0);
    for (experiment, median) in [("test", 7.0), ("second", 8.0)] {
        let summary = json(&place.run_directory(experiment).join("summary.json"));
        for cell in 0..2 {
            assert_eq!(summary["cells"][cell]["stability"][0]["median"], median, "{experiment}");
        }
    }
}

// ---- the end

#[test]
fn it_ends_when_every_interval_is_narrow() {
    let place = numbers("7");
    let outcome = one(&place, "-n 50 --until 2% --least 12").expect(0);
    assert_eq!(repetitions(&place), 12, "not before --least, and not after it");
    outcome.complains(&[
        "ended before round 13: every mean is known to ±2",
        "with 95 % confidence, corrected for having looked",
        "known well enough: 1 of 1",
        "mean 7.00 s ±0.0 % (12 repetitions)",
    ]);
    let repetitions = &place.summary()["cells"][0]["repetitions"];
    assert_eq!((&repetitions["planned"], &repetitions["valid"]), (&json!(12), &json!(12)), "nothing is missing");
}

#[test]
fn a_cell_that_is_never_valid_is_not_waited_for() {
    let place = numbers("$(test ${kind} = b && echo -1 || echo 7)");
    let outcome =
        place.run(&["repeat", "test.yaml", "-n", "50", "--until", "2%", "--metric", "took", "--set", "kind=a,b", "--no-graphs"]);
    outcome.complains(&["ended before round 6: no repetition of `kind=b` is valid, so more rounds would not decide anything"]);
}

#[test]
fn one_cell_that_is_not_narrow_keeps_all_going() {
    // 7, 7, 7, …, but 1, 1001, 1, … in one cell.
    let place = numbers("$(test ${kind} = b && echo 1 + ${repetition} % 2 \\* 1000 || echo 7)");
    let words = ["repeat", "test.yaml", "-n", "12", "--until", "2%", "--least", "10", "--metric", "took", "--no-graphs"];
    let outcome = place.run(&words).expect(0);
    for kind in ["a", "b", "c"] {
        assert_eq!(listing(&place.run_directory("test").join("cells").join(kind)).len(), 12, "{kind}");
    }
    assert!(!outcome.stderr.contains("ended before"), "{}", outcome.stderr);
    outcome.complains(&["known well enough: 2 of 3"]);
}

#[test]
fn an_aim_that_was_not_reached_is_said() {
    let place = numbers("1 + ${repetition} % 2 * 1000");
    let outcome = one(&place, "-n 10 --until 1% --least 10").expect(0);
    let (_, end) = outcome.stderr.split_once("round 10:").expect("ten rounds are done");
    let (_, end) = end.split_once('\n').expect("that line ends");
    assert!(end.contains("1") && end.contains('%'), "nothing behind the last round says that ±1 % was not reached:\n{end}");
}

#[test]
fn it_ends_in_time() {
    let place = Place::with(&NUMBERS.replace("NUMBER", "7)); sleep 0.1; : $((1"));
    let outcome = one(&place, "--for 1s").expect(0);
    let done = repetitions(&place);
    assert!((1..=9).contains(&done), "{done} repetitions of 0.1 s in 1 s");
    let outcome = outcome.complains(&["would not end within 1"]);
    assert!(outcome.took < Duration::from_secs(10), "{:?}", outcome.took);
}

#[test]
fn how_many_there_will_be_is_not_said_where_it_is_not_known() {
    let place = numbers("7");
    let outcome = one(&place, "--for 100ms").expect(0);
    assert!(!outcome.stderr.contains("10000"), "nobody asked for so many:\n{}", outcome.stderr);
}

#[test]
fn it_ends_in_time_or_after_so_many() {
    // A round is always executed, however short the time is.
    let place = numbers("7");
    one(&place, "--for 1ms").expect(0).complains(&["ended before round 2"]);
    assert_eq!(repetitions(&place), 1);

    // -n is the most of them.
    let place = numbers("7");
    let outcome = one(&place, "--for 1h -n 3").expect(0);
    assert_eq!(repetitions(&place), 3);
    assert!(!outcome.stderr.contains("ended before"), "{}", outcome.stderr);
}

#[test]
fn an_early_end_is_no_error_in_reports() {
    let place = numbers("7");
    let junit = place.path("junit.xml");
    one(&place, &format!("-n 50 --until 2% --least 10 --junit {}", junit.display())).expect(0);
    let text = std::fs::read_to_string(junit).unwrap();
    assert!(text.contains("errors=\"0\"") && !text.contains("<error"), "{text}");
}

#[test]
fn scripts_are_told_why_it_ended() {
    let place = numbers("7");
    let outcome = one(&place, "-n 50 --until 2% --least 10 --json").expect(0);
    let events = outcome.events();
    let last = events.last().unwrap().to_string();
    assert!(last.contains("every mean is known to ±2 %"), "{last}");
    let round = &events[events.len() - 2];
    assert_eq!((&round["event"], &round["round"], &round["metric"]), (&json!("round-ends"), &json!(10), &json!("took")));
    let figure = json!({"cell": "kind=a", "workload": "tool", "n": 10, "mean": 7.0, "half_width_share": 0.0});
    assert_eq!(round["figures"], json!([figure]));
}

#[test]
fn options_that_make_no_sense_are_mistakes() {
    let place = numbers("7");
    for (words, parts) in [
        ("", ["how often", "`-n 100`, `--until 2%`, `--until decided` or `--for 30m`"]),
        ("--until 0%", ["`--until 0%`", "above 0"]),
        ("--until 2", ["`--until 2`", "as `2%`"]),
        ("--until=-1%", ["`--until -1%`", "above 0"]),
        ("-n 5 --least 1", ["`--least 1`", "at least 2"]),
        ("-n 5 --until 2%", ["`-n 5`", "10 rounds of `--least`"]),
        ("-n 3 --until 2% --least 4", ["`--least 4`", "expected at least 10"]),
        ("-n 11 --until 2% --least 12", ["`-n 11`", "12 rounds of `--least`"]),
        ("-n 0", ["0", "at least 1"]),
        ("-n many", ["many", "--repetitions"]),
        ("--for soon", ["`--for soon`", "as `30m`"]),
        ("--for 0s", ["`--for 0s`", "as `30m`"]),
        ("-n 5 --metric nonsense", ["no metric `nonsense`", "expected one"]),
        ("-n 5 --metric tok", ["no metric `tok`", "did you mean `took`?"]),
        ("-n 5 --metric througput", ["no metric `througput`", "did you mean `throughput`?"]),
    ] {
        let words: Vec<&str> = ["repeat", "test.yaml"].into_iter().chain(words.split_whitespace()).collect();
        place.run(&words).expect(2).complains(&parts);
        assert!(!place.path("results").exists(), "{words:?}");
    }
}

#[test]
fn a_metric_that_no_workload_has_is_a_mistake() {
    // Nothing searches for a rate here.
    let place = numbers("7");
    place
        .run(&["repeat", "test.yaml", "-n", "5", "--metric", "limit", "--no-graphs"])
        .expect(2)
        .complains(&["no metric `limit`"]);
}

#[test]
fn what_nobody_typed_is_not_named() {
    // There is no `-n 100` here; that many are only what is done where nothing is said.
    let place = numbers("7");
    let outcome = place.run(&["repeat", "test.yaml", "--until", "2%", "--least", "200"]).expect(2).complains(&["`--least 200`"]);
    assert!(!outcome.stderr.contains("`-n 100`"), "{}", outcome.stderr);
}

// ---- stability

#[test]
fn the_summary_says_how_stable_it_is() {
    // 101, 102, 100, 101, …
    let place = numbers("100 + ${repetition} % 3");
    let outcome = one(&place, "-n 9").expect(0);
    let summary = place.summary();
    assert_eq!((&summary["repeated"], &summary["stability_of"]), (&json!(true), &json!("took")));
    let s = stability(&place);
    assert_eq!((&s["workload"], &s["n"], &s["median"], &s["outliers"]), (&json!("tool"), &json!(9), &json!(101.0), &json!([])));
    let [low, high] = [0, 1].map(|i| s["median_interval"][i].as_f64().unwrap());
    assert!((100.0..=101.0).contains(&low) && (101.0..=102.0).contains(&high), "{s:#}");
    let share = |key: &str| s[key].as_f64().unwrap_or_else(|| panic!("{key} in {s:#}"));
    // The deviations are 0, 1 and -1 in turn: their root mean square with n - 1 is √(6/8).
    assert!((share("coefficient_of_variation") - 0.75_f64.sqrt() / 101.0).abs() < 1e-12, "{s:#}");
    assert!(share("drift_p") > 0.05 && share("drift_tau").abs() < 0.5 && share("lag1_autocorrelation") < 0.0, "{s:#}");
    assert!(outcome.stdout.contains("stability of took") && !outcome.stdout.contains("drifts"), "{}", outcome.stdout);
    // The run is judged again from its directory, and with the same words.
    let again = place.run(&["summarize", place.run_directory("test").to_str().unwrap()]).expect(0);
    assert_eq!(again.stdout.trim(), outcome.stdout.trim());
    assert_eq!(stability(&place), s);
}

#[test]
fn a_drift_is_found() {
    let place = numbers("100 + 10 * ${repetition}");
    let outcome = one(&place, "-n 10").expect(0);
    let s = stability(&place);
    assert!((s["drift_tau"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{s:#}");
    assert!(s["drift_p"].as_f64().unwrap() < 0.001, "{s:#}");
    // From 110 to 200.
    assert!((s["drift_share"].as_f64().unwrap() - 90.0 / 110.0).abs() < 1e-9, "{s:#}");
    assert!(s["effective_repetitions"].as_f64().unwrap() < 10.0, "{s:#}");
    for part in ["drifts, +81.8 % from first to last round", "successive rounds are alike"] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn outliers_are_marked_and_counted() {
    let place = numbers("100 + ${repetition} % 3 + 500 * (${repetition} == 6)");
    let outcome = one(&place, "-n 10").expect(0);
    let s = stability(&place);
    assert_eq!((&s["outliers"], &s["n"]), (&json!([6]), &json!(10)));
    assert!(outcome.stdout.contains("far from the others, but counted: #6"), "{}", outcome.stdout);
    let took = place.summary()["cells"][0]["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "took").cloned();
    let values: Vec<f64> = serde_json::from_value(took.unwrap()["value"]["values"].clone()).unwrap();
    assert_eq!(values.len(), 10);
    assert!(values.contains(&600.0), "{values:?}");
}

#[test]
fn first_rounds_that_differ_are_said() {
    let place = numbers("100 + ${repetition} % 3 + 300 * (${repetition} <= 4)");
    let outcome = one(&place, "-n 20").expect(0);
    assert_eq!(stability(&place)["warm_up_rounds"], 4);
    assert!(outcome.stdout.contains("the first 4 rounds differ from the others"), "{}", outcome.stdout);
}

#[test]
fn one_round_says_nothing_of_stability() {
    let place = numbers("7");
    let outcome = place.run(&["repeat", "test.yaml", "-n", "1", "--metric", "took"]).expect(0);
    let summary = place.summary();
    for cell in 0..3 {
        assert_eq!(
            (&summary["cells"][cell]["repetitions"]["valid"], &summary["cells"][cell]["stability"]),
            (&json!(1), &json!([]))
        );
    }
    assert!(!outcome.stdout.contains("NaN") && !outcome.stdout.contains("inf"), "{}", outcome.stdout);
}

#[test]
fn what_never_varies_is_no_trouble() {
    for number in ["7", "0"] {
        let place = numbers(number);
        let outcome = place.run(&["repeat", "test.yaml", "-n", "6", "--metric", "took", "--set", "kind=a"]).expect(0);
        let s = stability(&place);
        for key in ["coefficient_of_variation", "drift_tau", "drift_share", "lag1_autocorrelation", "warm_up_rounds"] {
            assert_eq!(s[key].as_f64(), Some(0.0), "{key} of {number}: {s:#}");
        }
        assert_eq!(
            (&s["drift_p"], &s["lag1_p"], &s["effective_repetitions"]),
            (&json!(1.0), &json!(1.0), &json!(6.0)),
            "{number}"
        );
        for word in ["NaN", "inf", "drifts", "alike", "differ from"] {
            assert!(!outcome.stdout.contains(word), "`{word}` of {number}:\n{}", outcome.stdout);
        }
    }
}

#[test]
fn what_is_always_0_is_narrow_enough() {
    let place = numbers("0");
    one(&place, "-n 20 --until 2%").expect(0).complains(&["ended before round 11"]);
    assert_eq!(repetitions(&place), 10);
}

#[test]
fn what_does_not_count_is_left_out() {
    let place = numbers("7 + ${repetition} / (${repetition} - 3)");
    let outcome = one(&place, "-n 8").expect(4).complains(&["#3  INVALID: 1 of 1 passes of `tool`"]);
    let s = stability(&place);
    assert_eq!((&s["n"], &place.summary()["cells"][0]["repetitions"]["invalid"]), (&json!(7), &json!(1)));
    assert!(outcome.stderr.contains("(7 repetitions)"), "{}", outcome.stderr);
    assert_eq!(repetitions(&place), 8, "it stays on disk");
}

#[test]
fn each_cell_gets_a_picture_of_its_rounds() {
    let place = numbers("100 + ${repetition} % 3");
    place.run(&["repeat", "test.yaml", "-n", "5", "--metric", "took", "--graphs", "pictures", "--no-report"]).expect(0);
    let run = place.run_directory("test");
    let folder: PathBuf = place.path("pictures/test").join(run.file_name().unwrap());
    let expected = ["a", "b", "c"].map(|kind| format!("took-rounds-kind={kind}.png"));
    assert_eq!(listing(&folder), expected);
    for name in expected {
        assert!(std::fs::read(folder.join(&name)).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    assert!(!place.path("graphs").exists());
}

// ---- until decided, and sessions

/// `b` is half as much again as `a`; `c` is the same, with other noise.
const DECIDABLE: &str =
    "$(test ${kind} = b && echo 150 || echo 100) + ${repetition} * $(test ${kind} = a && echo 37 % 5 || echo 53 % 7)";

#[test]
fn rounds_go_on_until_every_comparison_is_decided() {
    let place = numbers(DECIDABLE);
    let outcome =
        place.run(&["repeat", "test.yaml", "--metric", "took", "--until", "decided", "--no-graphs", "--seed", "1"]).expect(0);
    assert!(outcome.flat().contains("took by kind, corrected for looking after several rounds"), "{}", outcome.stdout);
    let summary = place.summary();
    let decided = summary["decisions"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        decided.iter().map(|d| (d["level"].as_str().unwrap(), d["verdict"].as_str().unwrap_or("none"))).collect();
    assert_eq!(told, [("b", "slower"), ("c", "same")], "{decided:#?}");
    let rounds: Vec<u64> = decided.iter().map(|d| d["rounds"].as_u64().unwrap()).collect();
    assert_eq!(rounds[0], 5, "half as much again is seen at the first look");
    assert_eq!(repetitions(&place) as u64, rounds[1], "it ends with the last decision");
    let text = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(text.contains("kind=b (tool): slower than a (1.5"), "{text}");
    assert!(text.contains("every comparison is decided"), "{text}");
    // The summary is a function of the directory.
    let again = place.run(&["summarize", "results", "--json"]).expect(0);
    let again: Json = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(again["decisions"], summary["decisions"]);
}

#[test]
fn what_cannot_be_decided_is_said() {
    let place = numbers(DECIDABLE);
    let words = ["repeat", "test.yaml", "--metric", "took", "--until", "decided", "--no-graphs"];
    let outcome = place.run(&[&words[..], &["-n", "5", "--set", "kind=a,c", "--threshold", "0.1%"]].concat()).expect(0);
    assert!(outcome.stderr.contains("1 of 1 comparisons were not decided in 5 rounds"), "{}", outcome.stderr);
    for (rest, parts) in [
        (&["--set", "kind=a"][..], ["no factor has several", "--until decided"]),
        (&["--by", "knd"], ["`--by knd`", "`kind`"]),
        (&["--baseline", "z"], ["`--baseline z`", "`a`, `b`, `c`"]),
        (&["--threshold", "much"], ["`--threshold much`", "expected a percentage"]),
        (&["-n", "4"], ["expected at least 5", "first look"]),
    ] {
        place.run(&[&words[..], rest].concat()).expect(2).complains(&parts);
    }
    place.run(&["repeat", "test.yaml", "-n", "5", "--by", "kind"]).expect(2).complains(&["--until decided"]);
}

#[test]
fn sessions_are_runs_of_their_own_and_stand_together() {
    let place = numbers("100 + ${repetition} % 3");
    let words = ["repeat", "test.yaml", "-n", "5", "--set", "kind=a", "--sessions", "3", "--pause", "10ms", "--no-graphs"];
    let outcome = place.run(&words).expect(0);
    let folder = place.path("results/test");
    let runs = listing(&folder);
    assert_eq!(runs.len(), 3);
    let said =
        outcome.stderr.lines().find(|l| l.starts_with("3 sessions of test: ")).unwrap_or_else(|| panic!("{}", outcome.stderr));
    let sides = said.trim_start_matches("3 sessions of test: ").to_owned();
    assert_eq!(sides.matches(',').count(), 2, "{sides}");
    // What was said can be compared as it is.
    let (one, rest) = sides.split_once(',').unwrap();
    place.run(&["compare", one, rest]).expect(0);
}

#[test]
fn an_experiment_against_itself_is_the_floor_of_its_runs() {
    let place = numbers("100 + ${repetition} % 3");
    let outcome = place.run(&["doctor", "--same", "test.yaml", "--for", "1ms", "-n", "6", "--set", "kind=a"]).expect(0);
    for part in ["an experiment against itself", "within a run", "took tool kind=a", "floor.json"] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
    let folder = place.path("results/test");
    let floor = json(&folder.join("floor.json"));
    let sessions: Vec<&str> = floor["sessions"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    assert_eq!(sessions.len(), 3, "at least three, whatever the time");
    let mut made = Vec::new();
    for _ in 0..2 {
        let before = listing(&folder);
        place.run(&["run", "test.yaml", "--set", "kind=a", "--repetitions", "6", "--no-graphs", "--quiet"]).expect(0);
        made.extend(listing(&folder).into_iter().filter(|name| !before.contains(name)));
    }
    let paths: Vec<String> = made.iter().map(|run| format!("results/test/{run}")).collect();
    let outcome = place.run(&["compare", &paths[0], &paths[1], "--format", "json"]).expect(0);
    let comparison: Json = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(comparison["floor_sessions"], 3);
    assert_eq!(comparison["rows"][0]["verdict"], "no-difference-shown", "{comparison:#}");
    place.run(&["doctor", "--same", "test.yaml", "--for", "soon"]).expect(2).complains(&["`--for soon`", "expected a time"]);
}
