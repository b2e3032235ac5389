//! `runner compare`: known numbers, so that every verdict is known; and what cannot be compared.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Place, json, listing};

/// What each kind brings is `${NAME}` plus 0, 1 or 2; the file `numbers` sets these variables.
const NUMBERS: &str = "
experiment: test
question: Which one is it?
factors: {kind: [a, b]}
repetitions: 8
layout: ${kind}
workloads:
  tool:
    command: [sh, -c, '. DIR/numbers; echo $((${kind} + ${repetition} % 3)) 0']
    load: {closed: {connections: 1}, amount: 1}
    metrics: {took: {regex: '^([0-9]+)', unit: s}}
";

/// A place, and a run into `out` for each pair of numbers.
struct Runs {
    place: Place,
    scenario: String,
}

impl Runs {
    fn of(scenario: &str) -> Self {
        Self { place: Place::with(scenario), scenario: scenario.to_owned() }
    }

    /// Executes the experiment with what the shell is to know.
    #[track_caller]
    fn make(&mut self, out: &str, numbers: &str, words: &[&str]) -> PathBuf {
        self.make_or(out, numbers, words, 0)
    }

    #[track_caller]
    fn make_or(&mut self, out: &str, numbers: &str, words: &[&str], code: i32) -> PathBuf {
        self.place.write("numbers", numbers);
        self.place.write("test.yaml", &self.scenario);
        self.place.run(&[&["run", "test.yaml", "--no-graphs", "--quiet", "--out", out], words].concat()).expect(code);
        self.directory(out)
    }

    fn directory(&self, out: &str) -> PathBuf {
        let folder = self.place.path(out).join("test");
        let runs: Vec<String> =
            listing(&folder).into_iter().filter(|name| !name.contains("session") && !name.contains("json")).collect();
        folder.join(&runs[0])
    }

    /// Sessions of the same thing, as they are: what the first run in `out` is held against. The newest run stays the newest.
    fn floor(&self, out: &str) {
        let run = self.directory(out);
        let folder = run.parent().unwrap();
        let sessions: Vec<String> = (1..=8).map(|n| format!("0-session-{n}")).collect();
        for name in &sessions {
            let copied = std::process::Command::new("cp").arg("-r").arg(&run).arg(folder.join(name)).status().unwrap();
            assert!(copied.success());
        }
        let floor = json!({"format": json(&run.join("manifest.json"))["format"], "sessions": sessions});
        std::fs::write(folder.join("floor.json"), floor.to_string()).unwrap();
    }

    fn name(&self, out: &str) -> String {
        self.directory(out).file_name().unwrap().to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn compare(&self, words: &str) -> Outcome {
        self.place.run(&["compare"].into_iter().chain(words.split_whitespace()).collect::<Vec<_>>())
    }

    /// The comparison as scripts read it.
    #[track_caller]
    fn json(&self, words: &str) -> Json {
        let outcome = self.compare(&format!("{words} --format json")).expect(0);
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|e| panic!("{e}: {}", outcome.stdout))
    }
}

/// Levels (or side), metric and verdict of each row.
fn verdicts(comparison: &Json) -> Vec<String> {
    let word = |v: &Json| v.as_str().unwrap().to_owned();
    let rows = comparison["rows"].as_array().unwrap().iter();
    rows.map(|r| {
        let levels: Vec<String> = r["levels"].as_object().unwrap().values().map(word).collect();
        format!("{} {} {}", levels.join(","), word(&r["metric"]), word(&r["verdict"])).trim_start().to_owned()
    })
    .collect()
}

// ---- verdicts

#[test]
fn the_unit_says_what_is_better() {
    let mut runs = Runs::of(&NUMBERS.replace(
        "metrics: {took: {regex: '^([0-9]+)', unit: s}}",
        "metrics: {took: {regex: '^([0-9]+)', unit: s}, rate: {regex: '^([0-9]+)', unit: 1/s}, size: {regex: '^([0-9]+)', unit: pieces}}",
    ));
    runs.make("low", "a=100 b=100", &[]);
    runs.make("high", "a=100 b=200", &[]);
    runs.floor("low");
    runs.floor("high");
    let same = ["a rate no-difference-shown", "a size no-difference-shown", "a took no-difference-shown"];
    let up = runs.json("low high");
    assert_eq!(verdicts(&up), [same.as_slice(), &["b rate faster", "b size higher", "b took slower"]].concat());
    let down = runs.json("high low");
    assert_eq!(verdicts(&down), [same.as_slice(), &["b rate slower", "b size lower", "b took faster"]].concat());

    let row = &up["rows"][5];
    assert_eq!(
        (&row["baseline_n"], &row["n"], &row["unit"], &row["workload"]),
        (&json!(8), &json!(8), &json!("s"), &json!("tool"))
    );
    assert_eq!(
        (&row["baseline_median"], &row["median"], &row["side"]),
        (&json!(101.0), &json!(201.0), &json!(runs.name("high")))
    );
    let ratio = row["ratio"].as_f64().unwrap();
    let [low, high] = [0, 1].map(|i| row["ratio_interval"][i].as_f64().unwrap());
    assert!(low <= ratio && ratio <= high && (1.95..2.0).contains(&low) && (1.98..2.05).contains(&high), "{row:#}");
    let [p, corrected] = ["p", "p_corrected"].map(|key| row[key].as_f64().unwrap());
    assert!(p > 0.0 && p < corrected && corrected < 0.05, "{row:#}");
    assert_eq!((&up["corrected_over"], &up["threshold"], &up["by"]), (&json!(2), &json!(0.05), &Json::Null));
    assert_eq!((&up["baseline"], &up["factors"]), (&json!(runs.name("low")), &json!(["kind"])));
    assert_eq!(up["differences"], json!([]), "nothing but the numbers differs");

    let text = runs.compare("low high").expect(0).stdout;
    for part in ["101 s", "201 s", "101 pieces", "3 no difference shown, 1 faster, 1 higher, 1 slower"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn too_few_repetitions_are_said_with_how_many_more() {
    // From 100 to 160 in both, in another order, and shifted by 10.
    let mut runs = Runs::of(&NUMBERS.replace("${repetition} % 3", "${kind} * ${repetition} * 37 % 61"));
    runs.make("one", "a=100 b=110", &[]);
    let comparison = runs.json("one --by kind");
    assert_eq!(verdicts(&comparison), ["took too-few-repetitions"]);
    let row = &comparison["rows"][0];
    let [seen, threshold] = ["more_for_seen", "more_for_threshold"].map(|key| row[key].as_u64().unwrap());
    assert!((1..=threshold).contains(&seen) && (8..10_000).contains(&threshold), "{row:#}");
    let text = runs.compare("one --by kind").expect(0).stdout;
    let words = if seen == threshold { format!("too few, +{seen}") } else { format!("too few, +{seen}/+{threshold}") };
    assert!(text.contains(&words) && text.contains("more repetitions of each"), "{text}");
    // A wider threshold needs fewer.
    let fewer = runs.json("one --by kind --threshold 20%")["rows"][0]["more_for_threshold"].as_u64().unwrap_or_default();
    assert!(fewer < threshold, "{fewer} for 20 %, {threshold} for 5 %");
}

#[test]
fn a_difference_within_the_threshold_does_not_matter() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &["--set", "kind=a"]);
    runs.make("two", "a=103 b=103", &["--set", "kind=a"]);
    runs.floor("one");
    let verdict = |words: &str| verdicts(&runs.json(&format!("one two {words}")));
    assert_eq!(verdict(""), ["a took no-difference-shown"], "3 % of 5 %");
    assert_eq!(verdict("--threshold 10%"), ["a took no-difference-shown"]);
    assert_eq!(verdict("--threshold 1%"), ["a took slower"]);
    assert_eq!(verdict("--threshold 0%"), ["a took slower"]);
    for wrong in ["5", "-5%", "100%", "much"] {
        runs.compare(&format!("one two --threshold={wrong}")).expect(2).complains(&[wrong, "expected a percentage such as `5%`"]);
    }
}

#[test]
fn what_never_varies_can_be_compared() {
    let mut runs = Runs::of(&NUMBERS.replace("+ ${repetition} % 3", ""));
    for (out, numbers, verdict, ratio) in [
        ("same", "a=100 b=100", "no-difference-shown", json!(1.0)),
        ("twice", "a=100 b=200", "slower", json!(2.0)),
        ("nothing", "a=0 b=0", "no-difference-shown", Json::Null),
        ("more", "a=0 b=100", "slower", Json::Null),
        ("less", "a=100 b=0", "faster", Json::Null),
    ] {
        runs.make(out, numbers, &[]);
        let words = format!("{out} --by kind");
        let comparison = runs.json(&words);
        assert_eq!(verdicts(&comparison), [format!("took {verdict}")], "{words}");
        // A sum of logarithms need not be exact.
        let found = &comparison["rows"][0]["ratio"];
        let near = |a: &Json, b: &Json| a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| (a - b).abs() < 1e-9);
        assert!(found == &ratio || near(found, &ratio), "{words}: {found}");
        let text = runs.compare(&words).expect(0).stdout;
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}

#[test]
fn one_repetition_proves_nothing() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=900", &["-n", "1"]);
    let comparison = runs.json("one --by kind");
    assert_eq!(verdicts(&comparison), ["took too-few-repetitions"]);
    let row = &comparison["rows"][0];
    assert!(row["p"].as_f64().unwrap() >= 0.5 && row["ratio_interval"].is_null(), "{row:#}");
    let text = runs.compare("one --by kind").expect(0).stdout;
    // Somebody who reads this wants to know what to do.
    assert!(text.contains("too few, +"), "how many would do is not said:\n{text}");
}

#[test]
fn one_run_of_each_says_nothing_without_a_floor_and_several_sessions_do() {
    let mut runs = Runs::of(NUMBERS);
    for (out, numbers) in [("one", "a=100"), ("two", "a=200"), ("three", "a=101"), ("four", "a=202"), ("five", "a=99")] {
        runs.make(out, numbers, &["--set", "kind=a"]);
    }
    let comparison = runs.json("one two");
    assert_eq!(verdicts(&comparison), ["a took cannot-tell"]);
    let row = &comparison["rows"][0];
    assert_eq!((&row["p"], &row["ratio_interval"], &row["sessions"]), (&Json::Null, &Json::Null, &json!([1, 1])));
    let text = runs.compare("one two").expect(0).stdout;
    assert!(text.contains("cannot tell") && text.contains("runner doctor --same FILE"), "{text}");
    runs.compare("one two --fail-on-slower").expect(5);
    // Commas join the sessions of one side.
    let comparison = runs.json("one,three,five two,four");
    assert_eq!(verdicts(&comparison), ["a took slower"]);
    assert_eq!(comparison["rows"][0]["sessions"], json!([3, 2]));
    assert_eq!(verdicts(&runs.json("two,four one,three,five")), ["a took faster"]);
    runs.compare("one,three one").expect(2).complains(&["given twice"]);
    // With a floor one of each does.
    runs.floor("one");
    let comparison = runs.json("one two");
    assert_eq!((&comparison["floor_sessions"], verdicts(&comparison)[0].as_str()), (&json!(8), "a took slower"));
    let text = runs.compare("one three").expect(0).stdout;
    assert!(text.contains("no difference") && text.contains("the floor: 8 sessions"), "{text}");
    // One that was made on another machine stands for nothing here.
    let other = runs.directory("one").parent().unwrap().join("0-session-3/manifest.json");
    let mut manifest = json(&other);
    manifest["host"]["kernel"] = json!("another");
    std::fs::write(&other, manifest.to_string()).unwrap();
    assert!(runs.compare("one two").expect(0).stdout.contains("1 of 8 sessions of the floor were made on another machine"));
}

#[test]
fn a_gate_lets_nothing_through_that_broke() {
    let mut runs = Runs::of(&NUMBERS.replace("echo ", "test -z \"$fails\" || exit 3; echo "));
    runs.scenario = runs.scenario.replace(". DIR/numbers", "kind=${kind}; . DIR/numbers");
    runs.make("one", "a=100 b=100", &[]);
    runs.floor("one");
    runs.make_or("broken", "a=100 b=100; test $kind = a || fails=yes", &[], 4);
    runs.make("less", "a=100 b=100", &["--set", "kind=a"]);
    runs.make("same", "a=100 b=100", &[]);
    for (words, code) in [("one broken", 4), ("one less", 4), ("one same", 0), ("broken --by kind", 4)] {
        let words = format!("{words} --fail-on-slower");
        let outcome = runs.compare(&words);
        assert_eq!(outcome.code, Some(code), "{words}\n{}{}", outcome.stdout, outcome.stderr);
    }
    let comparison = runs.json("one broken");
    assert_eq!(comparison["missing"], json!(["kind=b has no repetition that counts"]));
}

// ---- what is compared

#[test]
fn three_runs_are_compared_with_the_first() {
    let mut runs = Runs::of(NUMBERS);
    for (out, numbers) in [("one", "a=100 b=100"), ("two", "a=200 b=100"), ("three", "a=100 b=50")] {
        runs.make(out, numbers, &[]);
    }
    runs.floor("one");
    let comparison = runs.json("one two three");
    let side = |i: usize| comparison["rows"][i]["side"].as_str().unwrap().to_owned();
    assert_eq!([0, 1, 2, 3].map(side), ["two", "two", "three", "three"].map(|out| runs.name(out)));
    let expected = ["a took slower", "b took no-difference-shown", "a took no-difference-shown", "b took faster"];
    assert_eq!(verdicts(&comparison), expected);
    assert_eq!(comparison["corrected_over"], 4, "a primary metric for each");
    let text = runs.compare("one two three").expect(0).stdout;
    for out in ["one", "two", "three"] {
        assert!(text.contains(&runs.name(out)), "{text}");
    }
}

#[test]
fn levels_of_one_run_are_compared() {
    let mut runs = Runs::of(
        &NUMBERS
            .replace("kind: [a, b]", "kind: [a, b, c], other: [x, y]")
            .replace("layout: ${kind}", "")
            .replace(". DIR", ": ${other}; . DIR"),
    );
    runs.make("results", "a=100 b=200 c=100", &["--set", "other=x,y"]);
    let comparison = runs.json("results --by kind");
    assert_eq!((&comparison["by"], &comparison["baseline"]), (&json!("kind"), &json!("a")));
    let sides: Vec<&str> = comparison["rows"].as_array().unwrap().iter().map(|r| r["side"].as_str().unwrap()).collect();
    assert_eq!(sides.iter().filter(|s| **s == "b").count(), 2, "{sides:?}");
    for row in comparison["rows"].as_array().unwrap() {
        let verdict = if row["side"] == "b" { "slower" } else { "no-difference-shown" };
        assert_eq!(row["verdict"], verdict, "{row:#}");
        assert_eq!(row["levels"].as_object().unwrap().keys().collect::<Vec<_>>(), ["other"]);
    }
    let comparison = runs.json("results --by kind --baseline b");
    assert_eq!(comparison["baseline"], "b");
    assert!(comparison["rows"].as_array().unwrap().iter().all(|r| r["verdict"] == "faster"), "{comparison:#}");

    for (words, parts) in [
        ("results --by knd", ["no factor `knd`", "`kind`, `other`"]),
        ("results --by kind --baseline z", ["no level `z`", "`a`, `b`, `c`"]),
        ("results results --by kind", ["within one run", "2 are given"]),
        ("results --baseline a", ["one run alone cannot be compared", "`--by`: `kind` or `other`"]),
        ("results results --baseline a", ["`--baseline` names a level", "the first is the baseline"]),
        ("results --by other --metric nonsense", ["no cell has the metric", "`nonsense`"]),
    ] {
        runs.compare(words).expect(2).complains(&parts);
    }
    runs.make("few", "a=100", &["--set", "kind=a"]);
    runs.compare("few --by kind").expect(2).complains(&["only the level `a`", &runs.name("few")]);
}

#[test]
fn cells_that_only_one_run_has_are_named() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("both", "a=100 b=100", &[]);
    runs.make("first", "a=100", &["--set", "kind=a"]);
    runs.make("second", "b=100", &["--set", "kind=b"]);
    let text = runs.compare("both first").expect(0).stdout;
    assert!(text.contains(&format!("kind=b is not in {}", runs.name("first"))), "{text}");
    let text = runs.compare("first both").expect(0).stdout;
    assert!(text.contains(&format!("kind=b is not in {}", runs.name("first"))), "{text}");
    runs.compare("first second").expect(2).complains(&["no cell in common"]);
}

#[test]
fn what_else_differs_is_named() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    runs.scenario = NUMBERS.replace("amount: 1}", "amount: 2}").replace("repetitions: 8", "repetitions: 9");
    let two = runs.make("two", "a=100 b=100", &[]);
    let mut manifest = json(&two.join("manifest.json"));
    manifest["host"]["kernel"] = json!("1.2.3-other");
    manifest["programs"] = json!({"haproxy": "HAProxy version 9"});
    std::fs::write(two.join("manifest.json"), manifest.to_string()).unwrap();
    let text = runs.compare("one two").expect(0).stdout;
    for part in [
        "DIFFERS: kernel: ",
        "→ 1.2.3-other",
        "DIFFERS: program haproxy: none → HAProxy version 9",
        "DIFFERS: plan, cells/kind=a/workloads/tool",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!text.contains("seed") && !text.contains("repetitions: 8"), "these differ in every run:\n{text}");
    assert!(runs.compare("one two --format markdown").expect(0).stdout.contains("- **differs:** kernel: "));
}

#[test]
fn a_drift_is_noted() {
    let mut runs = Runs::of(&NUMBERS.replace("% 3", "* 10"));
    for out in ["one", "two"] {
        runs.place.write("numbers", "a=100");
        let words = ["repeat", "test.yaml", "-n", "8", "--metric", "took", "--out", out, "--set", "kind=a", "--no-graphs", "-q"];
        runs.place.run(&words).expect(0);
    }
    let text = runs.compare("one two").expect(0).stdout;
    assert!(text.contains("NOTE: took of kind=a drifts, +"), "{text}");
}

#[test]
fn metrics_may_be_named() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    runs.make("two", "a=100 b=200", &[]);
    runs.floor("one");
    let comparison = runs.json("one two --metric errors,took");
    let expected =
        ["a errors no-difference-shown", "a took no-difference-shown", "b errors no-difference-shown", "b took slower"];
    assert_eq!(verdicts(&comparison), expected);
    runs.compare("one two --metric nonsense").expect(2).complains(&["no cell has the metric `nonsense`"]);
}

/// What a tap makes of a log is compared like any other metric.
#[test]
fn metrics_of_a_tap_are_compared() {
    let mut runs = Runs::of(
        r#"
experiment: test
repetitions: 8
layout: all
targets:
  web: {fixture: null-server, port: PORT1}
  talker:
    command: [sh, -c, '. DIR/numbers; while :; do echo "item took $((a + ${repetition} % 3)) ms"; sleep 0.02; done']
    ready: {log: item}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, duration: 200ms}, steps: [{get: /}]}
taps:
  items: {log: talker, regex: '^item took (?<ms>\d+) ms$', types: {ms: number}, metrics: {item: {mean: ms, unit: ms}}}
"#,
    );
    runs.make("low", "a=100", &[]);
    runs.make("high", "a=200", &[]);
    runs.floor("low");
    runs.floor("high");
    let comparison = runs.json("low high --metric item");
    assert_eq!(verdicts(&comparison), ["item slower"]);
    let row = &comparison["rows"][0];
    assert_eq!(
        (&row["workload"], &row["unit"], &row["baseline_n"], &row["n"]),
        (&json!("items"), &json!("ms"), &json!(8), &json!(8))
    );
    assert_eq!((&row["baseline_median"], &row["median"]), (&json!(101.0), &json!(201.0)), "{row:#}");
    assert_eq!(verdicts(&runs.json("high low --metric item")), ["item faster"]);
}

#[test]
fn every_metric_that_is_named_must_be_there() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100", &["--set", "kind=a"]);
    runs.make("two", "a=200", &["--set", "kind=a"]);
    runs.compare("one two --metric took,nonsense").expect(2).complains(&["no cell has the metric `nonsense`"]);
}

#[test]
fn a_metric_that_is_misspelt_is_guessed() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100", &["--set", "kind=a"]);
    runs.make("two", "a=200", &["--set", "kind=a"]);
    runs.compare("one two --metric p99").expect(2).complains(&["did you mean `response_p99`?"]);
    runs.compare("one two --metric tok").expect(2).complains(&["no cell has the metric `tok`", "did you mean `took`?"]);
}

// ---- how it is printed

#[test]
fn the_same_runs_give_the_same_bytes() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    runs.make("two", "a=100 b=200", &[]);
    runs.floor("one");
    for words in ["one two", "one two --format json", "one two --format markdown", "two --by kind"] {
        let [first, again] = [(); 2].map(|()| runs.compare(words).expect(0));
        assert_eq!(first.stdout, again.stdout, "{words}");
        assert_eq!(first.stderr, "");
    }
    let text = runs.compare("one two --format markdown").expect(0).stdout;
    let table: Vec<&str> = text.lines().filter(|l| l.starts_with('|')).collect();
    assert_eq!(table.len(), 4, "{text}");
    let columns = |line: &str| line.matches('|').count();
    assert!(columns(table[0]) > 5 && table.iter().all(|l| columns(l) == columns(table[0]) && l.ends_with('|')), "{text}");
    assert!(table[1].chars().all(|c| "|-: ".contains(c)) && table[3].contains("**slower**"), "{text}");
    assert!(text.starts_with("### test: "), "{text}");
}

#[test]
fn the_exit_code_is_a_gate_only_on_request() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    runs.make("slow", "a=100 b=200", &[]);
    runs.make("few", "a=100 b=100", &["-n", "1"]);
    runs.floor("one");
    runs.floor("slow");
    for (words, code) in [
        ("one slow", 0),
        ("one slow --fail-on-slower", 3),
        ("slow one --fail-on-slower", 0),
        ("one few", 0),
        ("few one --fail-on-slower", 5),
        ("one slow few --fail-on-slower", 3),
        ("slow --by kind --fail-on-slower", 3),
        ("slow --by kind --baseline b --fail-on-slower --format json", 0),
    ] {
        runs.compare(words).expect(code);
    }
}

/// `--by` has nothing to choose where only one factor has several levels.
#[test]
fn the_only_factor_of_a_run_needs_no_name() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("both", "a=100 b=200", &[]);
    let named = runs.json("both --by kind");
    assert_eq!((runs.json("both"), &named["by"]), (named.clone(), &json!("kind")));
    assert_eq!(runs.json("both --baseline b")["baseline"], "b");
    runs.make("one", "a=100", &["--set", "kind=a"]);
    runs.compare("one").expect(2).complains(&["one run alone cannot be compared", "none of its factors has several levels"]);
}

#[test]
fn the_table_fits_into_80_columns() {
    let mut runs = Runs::of(NUMBERS);
    for (out, numbers) in [("one", "a=100 b=100"), ("two", "a=200 b=100"), ("three", "a=100 b=50")] {
        runs.make(out, numbers, &[]);
    }
    for words in ["one two", "one --by kind", "one two three"] {
        let text = runs.compare(words).expect(0).stdout;
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{words}: {wide:#?}");
    }
}

// ---- what cannot be compared

#[test]
fn what_does_not_belong_together_is_refused() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    let one = runs.name("one");
    let words = ["run", "second.yaml", "--out", "second", "--quiet", "--no-graphs"];
    runs.place.write("second.yaml", &NUMBERS.replace("experiment: test", "experiment: second"));
    runs.place.run(&words).expect(0);
    runs.compare("one second").expect(2).complains(&["`test`", "`second`", "different experiments cannot be compared"]);
    runs.compare("one one").expect(2).complains(&[&one, "given twice"]);
    runs.compare("one nowhere").expect(2).complains(&["no run in nowhere"]);
    assert_eq!(runs.compare("").code, Some(2));
    // The same run by another path is still the same one.
    runs.compare(&format!("one one/test/../test/{one}")).expect(2).complains(&["given twice"]);
}

#[test]
fn runs_without_a_repetition_that_counts_are_refused() {
    let mut runs = Runs::of(&NUMBERS.replace("echo ", "test -z \"$fails\" || exit 3; echo "));
    runs.make("one", "a=100 b=100", &[]);
    runs.make_or("failures", "a=100 b=100 fails=yes", &[], 4);
    let empty = runs.make("empty", "a=100 b=100", &["-n", "1"]);
    std::fs::remove_dir_all(empty.join("cells")).unwrap();
    for out in ["failures", "empty"] {
        for words in [format!("one {out}"), format!("{out} one"), format!("{out} --by kind")] {
            runs.compare(&words).expect(2).complains(&[
                &runs.name(out),
                "no repetition that counts",
                "a folder means its newest run",
            ]);
        }
    }
    // One cell that has none is noted, and the other one compared.
    runs.scenario = runs.scenario.replace(". DIR/numbers", "kind=${kind}; . DIR/numbers");
    runs.make_or("other", "a=100 b=100; test $kind = a || fails=yes", &[], 4);
    let text = runs.compare("one other").expect(0).stdout;
    assert!(text.contains("MISSING: kind=b has no repetition that counts"), "{text}");
}

#[test]
fn what_is_damaged_is_named_and_the_rest_compared() {
    let mut runs = Runs::of(NUMBERS);
    runs.make("one", "a=100 b=100", &[]);
    let two = runs.make("two", "a=100 b=200", &[]);
    std::fs::write(two.join("cells/a/run3/status.json"), "{").unwrap();
    let tables: Vec<String> = listing(&two.join("cells/b/run5")).into_iter().filter(|f| f.ends_with(".parquet")).collect();
    for table in &tables {
        std::fs::write(two.join("cells/b/run5").join(table), "PAR1 and no more").unwrap();
    }
    assert!(!tables.is_empty());
    runs.floor("one");
    let outcome = runs.compare("one two").expect(0);
    let comparison = runs.json("one two");
    let n = |i: usize| comparison["rows"][i]["n"].as_u64().unwrap();
    assert_eq!((n(0), verdicts(&comparison)[0].as_str()), (7, "a took no-difference-shown"));
    assert_eq!(verdicts(&comparison)[1], "b took slower");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(said.contains("a/run3/status.json"), "the damaged status is not named:\n{said}");
    assert!(said.contains("b/run5/"), "the damaged table is not named:\n{said}");
}

#[test]
fn cells_that_were_skipped_are_noted() {
    let scenario = NUMBERS.replace(
        "workloads:",
        "targets: {missing: {when: \"${kind == 'b'}\", command: [no-such-program], needs: no-such-program}}\nworkloads:",
    );
    let mut runs = Runs::of(&scenario);
    runs.make("one", "a=100 b=100", &[]);
    runs.make("two", "a=100 b=100", &[]);
    runs.floor("one");
    let text = runs.compare("one two").expect(0).stdout;
    assert!(text.contains("NOTE: kind=b was skipped, because no-such-program is not installed"), "{text}");
    let comparison = runs.json("one two");
    assert_eq!(verdicts(&comparison), ["a took no-difference-shown"]);
}
