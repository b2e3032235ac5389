//! `expect:`: what holds, what does not, and what cannot be told; exit codes, JUnit XML and Markdown.
//!
//! Numbers come from `echo`, so that every interval is known.

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Place};

/// Three cells, whose values are 101, 102, 100, … and twice that; `absent` needs a program that is not there.
const NUMBERS: &str = "
experiment: test
question: Is it \"fast\" <enough> & good | sound?
factors: {kind: [low, high, absent]}
repetitions: 6
layout: ${kind}
targets: {none: {when: \"${kind == 'absent'}\", command: [no-such-program], needs: no-such-program}}
workloads:
  tool:
    command: [sh, -c, 'echo $(($(test ${kind} = low && echo 100 || echo 200) + ${repetition} % 3))']
    load: {closed: {connections: 1}, amount: 1}
    metrics: {took: {regex: '([0-9]+)', unit: s}}
expect:
";

fn expecting(lines: &[&str]) -> Place {
    let list: String = lines.iter().map(|line| format!("  - {line}\n")).collect();
    Place::with(&format!("{NUMBERS}{list}"))
}

#[track_caller]
fn run(place: &Place, words: &str) -> Outcome {
    let words: Vec<&str> = ["run", "test.yaml", "--no-graphs"].into_iter().chain(words.split_whitespace()).collect();
    place.run(&words)
}

/// Cell and outcome of each finding.
fn outcomes(summary: &Json) -> Vec<String> {
    let findings = summary["expectations"].as_array().unwrap().iter();
    findings.map(|f| format!("{} {}", f["cell"].as_str().unwrap(), f["outcome"].as_str().unwrap())).collect()
}

/// What Python's parser makes of a file: every element in its order with its attributes, text as the attribute `text`.
#[track_caller]
fn xml(place: &Place, name: &str) -> Vec<(String, Json)> {
    let program = "
import json, sys, xml.etree.ElementTree as tree
for e in tree.parse(sys.argv[1]).iter():
    text = (e.text or '').strip()
    print(json.dumps([e.tag, dict(e.attrib, **({'text': text} if text else {}))]))
";
    let output = std::process::Command::new("python3").args(["-c", program]).arg(place.path(name)).output();
    let output = output.expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn python_is_missing() -> bool {
    let missing = std::process::Command::new("python3").arg("--version").output().is_err();
    if missing {
        println!("SKIPPED: python3 is not installed, which reads the XML");
    }
    missing
}

// ---- outcomes

#[test]
fn what_holds_passes() {
    let place = expecting(&[
        "{metric: took, below: 150, kind: low}",
        "{metric: took, above: 150, below: 250, kind: high}",
        "{metric: took, above: 99, kind: [low, high]}",
        "{ratio: took, kind: high over low, above: 1.9, below: 2.1}",
        "{metric: errors, below: 1%}",
        "{metric: throughput, above: 0.001/s}",
        "{metric: response_p99, below: 30s}",
    ]);
    let outcome = run(&place, "").expect(0);
    let expected = [
        ["kind=low pass", "kind=high pass", "kind=low pass", "kind=high pass", "kind=high pass"].as_slice(),
        &["kind=low pass", "kind=high pass", "kind=absent skipped"].repeat(3),
    ];
    assert_eq!(outcomes(&place.summary()), expected.concat());
    let summary = place.summary();
    let first = &summary["expectations"][0];
    assert_eq!((&first["value"], &first["expectation"]), (&json!(101.0), &json!("took kind low below 150")));
    let ratio = &summary["expectations"][4];
    assert!((1.9..2.1).contains(&ratio["value"].as_f64().unwrap()), "{ratio:#}");
    assert!(outcome.stdout.contains("pass: took kind low below 150 [kind=low]"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("median 101 s (95 %: 100 s to 102 s), expected below 150 s"), "{}", outcome.stdout);
}

#[test]
fn what_does_not_hold_fails() {
    for (line, words) in [
        ("{metric: took, below: 99, kind: low}", "median 101 s (95 %: 100 s to 102 s), expected below 99"),
        ("{metric: took, above: 150, kind: low}", "expected above 150 s"),
        ("{metric: took, above: 90, below: 95, kind: low}", "expected above 90 s, expected below 95 s"),
        ("{ratio: took, kind: high over low, below: 1.5}", "expected below 1.5"),
        ("{metric: response_p50, below: 1ns, kind: low}", "expected below 1"),
        ("{name: too slow, metric: took, below: 99, kind: low}", "FAIL: too slow [kind=low]"),
    ] {
        let place = expecting(&[line]);
        let outcome = run(&place, "").expect(3);
        assert_eq!(place.summary()["expectations"][0]["outcome"], "fail");
        assert!(outcome.stdout.contains("FAIL") && outcome.stdout.contains(words), "`{words}` of {line}:\n{}", outcome.stdout);
    }
}

#[test]
fn what_cannot_be_told_is_inconclusive() {
    for (line, words, parts) in [
        // The interval goes from 100 to 102.
        ("{metric: took, below: 101.5, kind: low}", "", ["expected below 10", "100 s to 102 s"]),
        ("{metric: took, above: 101, kind: low}", "", ["expected above 101", "100 s to 102 s"]),
        ("{metric: took, below: 150, kind: low}", "-n 4", ["4 repetitions are too few", "expected at least 5"]),
        ("{metric: took, below: 150, kind: low}", "-n 1", ["1 repetition", "too few"]),
        ("{ratio: took, kind: high over low, below: 9}", "-n 1", ["too few for an interval", "1 and 1"]),
        ("{metric: connect_p50, below: 1s, kind: low}", "", ["no such figure", ""]),
        ("{metric: limit, above: 1/s, kind: low}", "", ["no such figure", ""]),
        ("{metric: took, below: 150, phase: warm-up, kind: low}", "", ["no such figure", ""]),
    ] {
        let place = expecting(&[line]);
        let outcome = run(&place, words).expect(5);
        assert_eq!(place.summary()["expectations"][0]["outcome"], "inconclusive", "{line}");
        for part in parts {
            assert!(outcome.flat().contains(part), "`{part}` of {line} {words}:\n{}", outcome.stdout);
        }
        assert!(outcome.stdout.contains("INCONCLUSIVE: "), "{}", outcome.stdout);
    }
}

#[test]
fn what_was_skipped_fails_nothing() {
    let place = expecting(&["{metric: took, below: 1, kind: absent}", "{ratio: took, kind: absent over low, below: 0.1}"]);
    let outcome = run(&place, "").expect(0);
    assert_eq!(outcomes(&place.summary()), ["kind=absent skipped", "kind=absent skipped"]);
    assert!(outcome.stdout.contains("no-such-program is not installed"), "{}", outcome.stdout);
}

#[test]
fn what_was_not_chosen_fails_nothing() {
    for (line, words) in [
        ("{metric: took, below: 150, kind: low}", "none of the cells that it applies to"),
        ("{ratio: took, kind: high over low, above: 1.5}", "no cell with `low`"),
    ] {
        let place = expecting(&[line]);
        let outcome = run(&place, "--set kind=high").expect(0);
        assert_eq!(place.summary()["expectations"][0]["outcome"], "skipped", "{line}");
        assert!(outcome.stdout.contains(words), "`{words}` of {line}:\n{}", outcome.stdout);
    }
}

#[test]
fn bounds_have_the_units_of_their_metric() {
    // A server that waits 20 ms before each answer.
    let mut place = Place::new();
    place.write(
        "test.yaml",
        "
experiment: test
repetitions: 5
targets:
  web: {fixture: faulty, args: [--mode, slow, --delay-ms, 20], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /}]
expect:
  - {metric: response_p50, above: 20ms}
  - {metric: service_p50, above: 0.02s, below: 60s, step: get}
  - {metric: throughput, below: 50/s}
  - {metric: throughput, below: 3000/min}
  - {metric: pss, below: 4GiB, target: web}
  - {metric: download, below: 1MiB/s}
  - {metric: errors, below: 0.5%, of: clients}
  - {metric: cpu, below: 100}
  - {metric: start_up, below: 1min}
  - {metric: response_p50, below: 20ms}
",
    );
    run(&place, "").expect(3);
    let summary = place.summary();
    let found = outcomes(&summary);
    assert_eq!(found[..9], ["all pass"; 9], "{:#}", summary["expectations"]);
    assert_eq!(found[9], "all fail");
    assert!(summary["expectations"][0]["value"].as_f64().unwrap() > 20e6, "nanoseconds");
}

#[test]
fn a_step_that_is_not_there_is_a_mistake() {
    let place = Place::with(
        "
experiment: test
workloads:
  clients:
    url: http://127.0.0.1:8000
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /}, {name: write, put: /x, body: {text: x}}]
expect:
  - {metric: response_p99, below: 20ms, step: get}
  - {metric: response_p99, below: 20ms, step: put}
",
    );
    place.run(&["check", "test.yaml"]).expect(2).complains(&["test.yaml:10:", "a step `put`", "`get`"]);
}

// ---- exit codes

/// A failing one, a repetition that does not count, and one that cannot be told: any of them.
fn mixture(fails: bool, invalid: bool, unsure: bool) -> Place {
    let lines = [
        fails.then_some("{metric: took, below: 99, kind: low}"),
        unsure.then_some("{metric: took, below: 101.5, kind: low}"),
        Some("{metric: took, below: 1000}"),
    ];
    let scenario: String = lines.into_iter().flatten().map(|line| format!("  - {line}\n")).collect();
    let number = if invalid { "/ (${repetition} - 6)" } else { "" };
    Place::with(&format!("{NUMBERS}{scenario}").replace("${repetition} % 3", &format!("${{repetition}} % 3 + 0 {number}")))
}

#[test]
fn the_worst_decides_the_exit_code() {
    for (fails, invalid, unsure, code) in [
        (false, false, false, 0),
        (false, false, true, 5),
        (false, true, false, 4),
        (true, false, true, 3),
        (true, true, true, 3),
    ] {
        let place = mixture(fails, invalid, unsure);
        run(&place, "--quiet").expect(code);
        // Invalid repetitions are a matter of the run that made them; what is expected is judged again.
        let again = place.run(&["summarize"]);
        let judged = if fails {
            3
        } else if unsure {
            5
        } else {
            0
        };
        assert_eq!(again.code, Some(judged), "{fails} {invalid} {unsure}: {}", again.stdout);
    }
}

#[test]
fn what_does_not_count_hides_nothing_that_cannot_be_told() {
    let place = mixture(false, true, true);
    run(&place, "--quiet").expect(4);
    place.run(&["summarize"]).expect(5);
}

#[test]
fn the_worst_of_several_files_decides() {
    let mut place = mixture(false, false, true);
    let second = std::fs::read_to_string(place.path("test.yaml")).unwrap().replace("experiment: test", "experiment: second");
    place.write("second.yaml", &second.replace("101.5", "99"));
    place.run(&["run", "second.yaml", "test.yaml", "--no-graphs", "--quiet"]).expect(3);
    place.run(&["run", "test.yaml", "second.yaml", "--no-graphs", "--quiet"]).expect(3);
    place.run(&["summarize"]).expect(3);
    place.run(&["summarize", "results/test"]).expect(5);
}

#[test]
fn repeat_judges_too() {
    let place = mixture(true, false, false);
    place.run(&["repeat", "test.yaml", "-n", "5", "--no-graphs", "--quiet"]).expect(3);
}

// ---- reports

#[test]
fn reports_may_stand_in_the_working_directory() {
    let place = expecting(&["{metric: took, below: 99, kind: low}"]);
    run(&place, "--quiet --junit junit.xml --markdown summary.md").expect(3);
    assert!(place.path("junit.xml").is_file() && place.path("summary.md").is_file());
}

#[test]
fn junit_is_xml_with_counts() {
    if python_is_missing() {
        return;
    }
    let place = expecting(&[
        "{name: 'a < b & \"c\" ]]> \\x07', metric: took, below: 99, kind: low}",
        "{metric: took, below: 101.5, kind: low}",
        "{metric: took, below: 1000}",
    ]);
    std::fs::create_dir(place.path("out")).unwrap();
    run(&place, "--quiet --junit out/junit.xml").expect(3);
    let elements = xml(&place, "out/junit.xml");
    let counts = |tag: &str| {
        let (_, attributes) = elements.iter().find(|(t, _)| t == tag).unwrap();
        ["tests", "failures", "errors", "skipped"].map(|key| attributes[key].as_str().unwrap().parse::<usize>().unwrap())
    };
    // Five findings, and the repetitions of three cells; one cell is skipped, and so is what is expected of it.
    assert_eq!((counts("testsuites"), counts("testsuite")), ([8, 1, 1, 2], [8, 1, 1, 2]));
    let count = |tag: &str| elements.iter().filter(|(t, _)| t == tag).count();
    assert_eq!(["testcase", "failure", "error", "skipped"].map(count), [8, 1, 1, 2]);
    let case = |part: &str| {
        let found = elements.iter().position(|(t, a)| t == "testcase" && a["name"].as_str().unwrap().contains(part));
        found.unwrap_or_else(|| panic!("{part} is not in {elements:#?}"))
    };
    let failed = case("a < b & \"c\" ]]> ");
    assert_eq!(elements[failed].1["classname"], "test.expect");
    let (tag, attributes) = &elements[failed + 1];
    assert!(tag == "failure" && attributes["message"].as_str().unwrap().contains("median 101 s"), "{attributes}");
    let unsure = &elements[case("took kind low below 101.5") + 1];
    assert!(unsure.0 == "error" && unsure.1["message"].as_str().unwrap().starts_with("inconclusive: "), "{unsure:?}");
    let absent = &elements[case("repetitions of kind=absent") + 1];
    assert!(absent.0 == "skipped" && absent.1["message"].as_str().unwrap().contains("no-such-program"), "{absent:?}");
    // `summarize` writes the same; what was there is replaced.
    let first = std::fs::read(place.path("out/junit.xml")).unwrap();
    place.run(&["summarize", "--junit", "out/junit.xml"]).expect(3);
    assert_eq!(std::fs::read(place.path("out/junit.xml")).unwrap(), first);
}

#[test]
fn junit_tells_of_repetitions_that_do_not_count() {
    if python_is_missing() {
        return;
    }
    let place = mixture(false, true, false);
    std::fs::create_dir(place.path("out")).unwrap();
    run(&place, "--quiet --junit out/junit.xml").expect(4);
    let elements = xml(&place, "out/junit.xml");
    let errors: Vec<&Json> = elements.iter().filter(|(t, _)| t == "error").map(|(_, a)| &a["message"]).collect();
    assert_eq!(errors, [&json!("5 of 6 repetitions valid, 1 invalid, 0 failed"); 2]);
    let said: Vec<&str> = elements.iter().filter(|(t, _)| t == "system-out").map(|(_, a)| a["text"].as_str().unwrap()).collect();
    assert!(said.iter().any(|text| text.contains("repetition 6: 1 of 1 passes of `tool`")), "{said:#?}");
}

#[test]
fn reports_of_several_files_hold_all_of_them() {
    if python_is_missing() {
        return;
    }
    let mut place = expecting(&["{metric: took, below: 1000}"]);
    let second = std::fs::read_to_string(place.path("test.yaml")).unwrap().replace("experiment: test", "experiment: second");
    place.write("second.yaml", &second);
    std::fs::create_dir(place.path("out")).unwrap();
    let words = "run test.yaml second.yaml --no-graphs --quiet --junit out/junit.xml --markdown out/summary.md";
    place.run(&words.split(' ').collect::<Vec<_>>()).expect(0);
    let text = std::fs::read_to_string(place.path("out/summary.md")).unwrap();
    assert!(text.contains("## test\n") && text.contains("## second\n"), "{text}");
    let suites = xml(&place, "out/junit.xml").into_iter().filter(|(t, _)| t == "testsuite");
    let names: Vec<String> = suites.map(|(_, a)| a["name"].as_str().unwrap().split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["test", "second"]);
}

#[test]
fn markdown_is_appended() {
    let mut place = expecting(&["{name: a | b, metric: took, below: 99, kind: low}", "{metric: took, below: 1000}"]);
    std::fs::create_dir(place.path("out")).unwrap();
    place.write("out/summary.md", "what another step said\n\n");
    run(&place, "--quiet --markdown out/summary.md").expect(3);
    let once = std::fs::read_to_string(place.path("out/summary.md")).unwrap();
    assert!(once.starts_with("what another step said\n\n## test\n"), "{once}");
    for part in
        ["❌ **fail**", "✅ pass", "➖ skipped", "a \\| b", "median 101 s", "good \\| sound?", "no-such-program is not installed"]
    {
        assert!(once.contains(part), "`{part}` is not in:\n{once}");
    }
    for table in once.split("\n\n").filter(|t| t.starts_with('|')) {
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        let wanted = columns(table.lines().next().unwrap());
        assert!(table.lines().take_while(|l| !l.is_empty()).all(|l| columns(l) == wanted), "{table}");
    }
    place.run(&["summarize", "--markdown", "out/summary.md"]).expect(3);
    let twice = std::fs::read_to_string(place.path("out/summary.md")).unwrap();
    let (_, block) = once.split_once("\n\n").unwrap();
    assert_eq!(twice, format!("{once}{block}"), "the same again, behind what was there");
}

#[test]
fn a_report_that_cannot_be_written_costs_no_result() {
    for option in ["--junit", "--markdown"] {
        let place = expecting(&["{metric: took, below: 1000}"]);
        run(&place, &format!("--quiet {option} no/such/folder/report"))
            .expect(1)
            .complains(&["cannot write no/such/folder/report"]);
        assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], 6);
    }
}

#[test]
fn the_table_shows_what_was_typed() {
    // Three digits are enough for a measurement; a bound is exact.
    let place = expecting(&["{metric: took, below: 101.5, kind: low}", "{metric: took, above: 1234.5, kind: low}"]);
    let outcome = run(&place, "").expect(3);
    for part in ["expected below 101.5 s", "expected above 1234.5 s"] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
    for line in outcome.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
