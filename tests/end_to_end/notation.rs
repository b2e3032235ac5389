//! How a scenario may be written: merge keys, numbers as texts, other spellings, and where its programs and files are found.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use crate::support::Place;

#[track_caller]
fn plan(place: &Place) -> Json {
    let outcome = place.run(&["plan", "test.yaml", "--json"]).expect(0);
    serde_json::from_str(&outcome.stdout).expect("a plan is JSON")
}

#[test]
fn merge_keys_take_over_what_is_not_said() {
    let place = Place::with(
        "
experiment: test
x-load: &load {duration: 2s, closed: {connections: 2}}
x-short: &short {duration: 1s, drain: 3s}
workloads:
  long: {url: 'http://127.0.0.1:8000', load: {<<: *load}, steps: [{get: /}]}
  short: {url: 'http://127.0.0.1:8000', load: {<<: [*short, *load], drain: 5s}, steps: [{get: /}]}
",
    );
    let written: Json = serde_json::from_str(
        &Place::with(
            "
experiment: test
workloads:
  long: {url: 'http://127.0.0.1:8000', load: {duration: 2s, closed: {connections: 2}}, steps: [{get: /}]}
  short: {url: 'http://127.0.0.1:8000', load: {duration: 1s, drain: 5s, closed: {connections: 2}}, steps: [{get: /}]}
",
        )
        .run(&["plan", "test.yaml", "--json"])
        .expect(0)
        .stdout,
    )
    .expect("a plan is JSON");
    assert_eq!(plan(&place)["cells"], written["cells"]);
}

#[test]
fn numbers_are_texts_as_they_were_typed() {
    let place = Place::with(
        "
experiment: test
workloads:
  tool:
    command: [echo, 1.10, 1e1, 010, 0x1F, True, 1.0, 7, '${repetition}']
    env: {VERSION: 3.10}
    load: {closed: {connections: 1}, amount: 1e1}
",
    );
    let plan = plan(&place).to_string();
    for typed in ["\"1.10\"", "\"1e1\"", "\"010\"", "\"0x1F\"", "\"True\"", "\"1.0\"", "\"7\"", "\"3.10\"", "\"amount\":10"] {
        assert!(plan.contains(typed), "{typed} is not in {plan}");
    }
}

#[test]
fn another_spelling_is_read_with_a_note() {
    let scenario = |lag: &str, metric: &str| {
        format!(
            "
experiment: test
limits: {{{lag}: 5ms}}
primary: {metric}
workloads:
  clients: {{url: 'http://127.0.0.1:8000', load: {{open: {{rate: 10/s, connections: 2}}, duration: 1s}}, steps: [{{get: /}}]}}
expect: [{{metric: {metric}, below: 1s}}]
"
        )
    };
    let old = Place::with(&scenario("lag_p99", "response-p99.9"));
    let said = old.run(&["check", "test.yaml"]).expect(0).stdout;
    for note in ["test.yaml:3:10: `lag_p99` is read as `lag-p99`", "test.yaml:4:10: `response-p99.9` is read as `response_p999`"]
    {
        assert!(said.contains(note), "{note} is not in {said}");
    }
    let new = Place::with(&scenario("lag-p99", "response_p999"));
    let said = new.run(&["check", "test.yaml"]).expect(0).stdout;
    assert!(!said.contains("note:"), "{said}");
    for key in ["limits", "primary"] {
        assert_eq!(plan(&old)[key], plan(&new)[key]);
    }
}

/// So are metrics that a protocol brings, wherever one may stand.
#[test]
fn another_spelling_of_what_a_protocol_brings_is_read_with_a_note() {
    let scenario = |out_of_order: &str, handshake: &str| {
        format!(
            "
experiment: test
primary: {handshake}
workloads:
  typists:
    websocket: {{url: 'ws://127.0.0.1:8000/', match: order}}
    load: {{find: {{per: connection, rate: 10..20/s, while: {{lost: '0', {out_of_order}: '0'}}}}}}
    steps: [{{send: {{text: a}}}}]
expect: [{{metric: {handshake}, below: 1000}}]
graphs: [{{bars: {out_of_order}, x: workload}}]
"
        )
    };
    let old = Place::with(&scenario("out-of-order", "handshake-p99"));
    let said = old.run(&["check", "test.yaml"]).expect(0).stdout;
    for note in [
        "test.yaml:3:10: `handshake-p99` is read as `handshake_p99`, which is how it is spelled here",
        "test.yaml:7:71: `out-of-order` is read as `out_of_order`",
        "test.yaml:9:19: `handshake-p99` is read as",
        "test.yaml:10:17: `out-of-order` is read as",
    ] {
        assert!(said.contains(note), "{note} is not in {said}");
    }
    let new = Place::with(&scenario("out_of_order", "handshake_p99"));
    assert!(!new.run(&["check", "test.yaml"]).expect(0).stdout.contains("note:"));
    for key in ["primary", "expect", "graphs"] {
        assert_eq!(plan(&old)[key], plan(&new)[key]);
    }
}

/// A scenario in a folder below, whose program lies beside it, checked and executed from above and from beside it.
#[test]
fn programs_are_found_from_the_folder_of_the_scenario() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("below")).unwrap();
    let tool = place.write_as_is("below/tool.sh", "#!/bin/sh\necho \"$1\" >> \"$2\"\n");
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let scenario = "
experiment: test
workloads:
  tool:
    command: [./tool.sh, here, DIR/began]
    load: {closed: {connections: 1}, amount: 1}
";
    place.write("below/test.yaml", scenario);
    place.run(&["run", "below/test.yaml", "--no-graphs"]).expect(0);
    let beside = place.runner().current_dir(place.path("below")).args(["run", "test.yaml", "--no-graphs"]).output().unwrap();
    assert_eq!(beside.status.code(), Some(0), "{beside:?}");
    assert!(place.lines("began").len() >= 2, "{:?}", place.lines("began"));

    // An argument is the program's own matter, and found where the program runs: in the scenario's folder.
    place.write("below/test.yaml", &scenario.replace("./tool.sh, here", "sh, tool.sh, there"));
    place.run(&["run", "below/test.yaml", "--no-graphs"]).expect(0);
    assert!(place.lines("began").iter().any(|line| line == "there"));
    // What lies above it is not found, and `check` says so.
    place.write_as_is("above.sh", "exit 0\n");
    for (written, span) in [
        ("command: [sh, ./above.sh]", true),
        ("command: [sh, above.sh, DIR/began]", true),
        ("command: [./tool.sh, --config=above.sh, DIR/began]", true),
        ("command: [./tool.sh, start-router, above.sh, DIR/began]", true),
        ("env: {CONFIG: above.sh}\n    command: [./tool.sh, x, DIR/began]", true),
        ("command: [./tool.sh, --output, above.sh, DIR/began]", false),
    ] {
        place.write("below/test.yaml", &scenario.replace("command: [./tool.sh, here, DIR/began]", written));
        let outcome = place.run(&["check", "below/test.yaml"]);
        match span {
            true => drop(outcome.expect(2).complains(&["above.sh` is above the scenario's folder", "expected `dir: ..`"])),
            false => drop(outcome.expect(0)),
        }
    }
}

/// Options are read as scenarios are: with a note.
#[test]
fn another_spelling_in_an_option_is_read_with_a_note() {
    let place = Place::with(
        "
experiment: test
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {open: {rate: 50/s, connections: 2}, duration: 100ms}, steps: [{get: /}]}
",
    );
    let note = "note: --metric: `lag-p99` is read as `lag_p99`, which is how it is spelled here";
    place.run(&["repeat", "test.yaml", "-n", "2", "--no-graphs", "--metric", "lag-p99"]).expect(0).complains(&[note]);
    let runs = place.run_directory("test").display().to_string();
    place.run(&["compare", &runs, &runs, "--metric", "lag-p99"]).complains(&[note]);
}

/// What is sent at once needs no leave.
#[test]
fn a_load_refuses_a_header_that_nobody_waits_for() {
    let outcome = Place::new().run(&["load", "http://127.0.0.1:9", "-H", "Expect: 100-continue", "-n", "1"]);
    outcome.expect(2).complains(&["`--header Expect: 100-continue`", "runner does not wait for that"]);
}

/// Names of files and levels are cleaned where they become words, on pipes as on terminals; what programs read is as it is.
#[test]
fn names_that_a_terminal_obeys_are_made_harmless() {
    let place = Place::new();
    place.write_as_is("odd\u{1b}[2J.yaml", "experiment: x\nworkloads: 5\n");
    let outcome = place.run(&["check", "odd\u{1b}[2J.yaml"]).expect(2);
    assert!(!outcome.stderr.contains('\u{1b}') && outcome.stderr.contains("odd\u{fffd}[2J.yaml"), "{}", outcome.stderr);
    let place = Place::with(
        "
experiment: test
factors: {kind: [\"a\\u001b[2J\\u202e\", b]}
workloads:
  tool: {command: ['true', '${kind}'], load: {closed: {connections: 1}, amount: 1}}
",
    );
    let outcome = place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let words = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(words.contains("a\u{fffd}[2J\u{fffd}") && !words.contains(['\u{1b}', '\u{202e}']), "{words}");
    let runs = place.run_directory("test").display().to_string();
    let text = place.run(&["compare", &runs, "--by", "kind", "--format", "markdown"]).expect(0).stdout;
    assert!(text.contains("a\u{fffd}\\[2J\u{fffd}") && !text.contains(['\u{1b}', '\u{202e}']), "{text}");
    let json = place.run(&["compare", &runs, "--by", "kind", "--format", "json"]).expect(0).stdout;
    assert!(json.contains("a\\u001b[2J\u{202e}"), "{json}");
}

/// Whatever a scenario starts runs in its folder, from wherever runner is called.
#[test]
fn everything_that_a_scenario_starts_runs_in_its_folder() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("below")).unwrap();
    place.write_as_is("below/config", "hello\n");
    place.write_as_is("below/tool.sh", "cat config >/dev/null && echo \"$1 $CONFIG\" >> \"$2\"\n");
    let scenario = "
experiment: test
set-up:
  run: [{shell: 'sh tool.sh run DIR/seen'}]
  repetition: [{command: [sh, -c, 'sh tool.sh repetition DIR/seen']}]
targets:
  server:
    shell: sh tool.sh target DIR/seen && exec sleep 100
    env: {CONFIG: config}
    ready: {command: [sh, tool.sh, probe, DIR/seen]}
workloads:
  tool:
    # A load that is over at once would end the tap before it has done anything.
    command: [sh, -c, 'sh tool.sh workload DIR/seen; until grep -q tap DIR/seen; do sleep 0.01; done']
    load: {closed: {connections: 1}, amount: 1}
collect:
  command: {shell: sh tool.sh collect DIR/seen && echo 1, metrics: {one: {regex: '(1)'}}}
taps:
  tap: {shell: 'sh tool.sh tap DIR/seen; echo line; exec sleep 100', regex: '(?<x>.*)'}
clean-up:
  run: [{shell: sh tool.sh clean-up DIR/seen}]
";
    place.write("below/test.yaml", scenario);
    place.run(&["run", "below/test.yaml", "--no-graphs"]).expect(0);
    let mut seen = place.lines("seen");
    seen.sort();
    seen.dedup();
    let all = ["clean-up ", "collect ", "probe ", "repetition ", "run ", "tap ", "target config", "workload "];
    assert_eq!(seen, all);
    // Files that are read by runner, too.
    let scenario = "
experiment: test
workloads:
  tool: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
set-up:
  repetition: [{shell: 'echo 7 > made'}]
collect:
  made: {file: made, metrics: {seven: {regex: '(7)'}}}
";
    place.write("below/test.yaml", scenario);
    place.run(&["run", "below/test.yaml", "--no-graphs"]).expect(0);
    assert_eq!(place.lines("below/made"), ["7"]);
}
