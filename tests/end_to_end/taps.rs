//! What is followed while the load runs, whatever its source does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};

use crate::support::{Place, files};

/// A server under load, and a program that says 50 lines a second. Before them it says five of its own.
const TARGETS: &str = r#"
experiment: test
layout: all
repetitions: 1
limits: {errors: 100%}
window: 100ms
targets:
  web: {fixture: null-server, port: PORT1}
  talker:
    replicas: 2
    ready: {log: "start 5"}
    command: [sh, -c, 'printf "start 1\nstart 2\r\nstart \000 3\nstart \377 4\n"; echo start 5 >&2; i=0; while :; do i=$((i+1)); echo "item $i took 2.5 ms"; sleep 0.02; done']
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, duration: 1s}
    steps: [{get: /}]
"#;

/// The value of a metric in each repetition that counts.
fn values(summary: &Json, tap: &str, name: &str) -> Vec<f64> {
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["metric"] == name && m["workload"] == tap && m["phase"] == "during");
    let found = found.unwrap_or_else(|| panic!("no {name} of {tap}: {metrics:?}"));
    found["value"]["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// What the status says of a tap.
fn status(place: &Place, tap: &str) -> Json {
    let status = place.status("all/run1");
    let found = status["taps"].as_array().unwrap().iter().find(|t| t["tap"] == tap).cloned();
    found.unwrap_or_else(|| panic!("no {tap}: {status:#}"))
}

/// A server that waits for a line and then says some, each with a pause; it closes the connection behind them, or keeps it for as
/// long as the client does. Returns what it was told.
fn line_server(lines: &'static [&'static str], closes: bool) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut told = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reader.read_line(&mut told).unwrap();
        for line in lines {
            stream.write_all(line.as_bytes()).unwrap();
        }
        if !closes {
            // The client goes at the end of the repetition.
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|length| length > 0) {}
            told += &rest;
        }
        told
    };
    (port, std::thread::spawn(serve))
}

#[test]
fn logs_files_servers_and_commands_are_followed() {
    let (port, server) = line_server(&["650 CIRC 1 BUILT\r\n", "650 CIRC 2 FAI", "LED\r\n", "250 OK\r\n"], false);
    let taps = r#"
  writer:
    command: [sh, -c, 'sleep 0.1; i=0; while :; do i=$((i+1)); echo "$i $(date -u +%s.%N)" >> "${scratch}/app.log"; [ $i = 15 ] && mv "${scratch}/app.log" "${scratch}/app.log.1"; sleep 0.02; done']
taps:
  items:
    log: talker
    regex: '^item (?<id>\d+) took (?<ms>\S+) ms$'
    types: {ms: number}
    metrics:
      items: {count: true}
      items_per_s: {rate: true}
      pause: {gap: p50}
      ms: {mean: ms, unit: ms}
      ms_sum: {sum: ms, times: 2}
  starts: {log: talker, regex: '^start (?<what>.*) ?(?<n>\d)$', types: {n: number}}
  numbers:
    file: "${scratch}/app.log"
    regex: '^(?<n>\d+) (?<at>\S+)$'
    types: {n: number, at: unix}
    metrics: {highest: {max: n}}
  events: {tcp: "127.0.0.1:SERVER", send: [SETEVENTS CIRC], regex: '^650 CIRC (?<id>\d+) (?<what>\w+)$'}
  ticks:
    command: [sh, -c, 'while :; do echo tick; sleep 0.02; done']
    regex: tick
    metrics: {ticks: {count: true}}
expect:
  - {metric: items, of: items, above: 10}
graphs:
  - {lines: items_per_s}
  - {lines: pause, workload: items}
  - {bars: ticks, x: workload}
"#;
    let (writer, taps) = taps.split_once("taps:").unwrap();
    let scenario = TARGETS.replace("\nworkloads:", &format!("{}\nworkloads:", writer.trim_end()));
    let place = Place::with(&format!("{scenario}taps:{}", taps.replace("SERVER", &port.to_string())));
    let plan = place.run(&["plan", "test.yaml"]).expect(0).stdout;
    assert!(plan.contains("tap items: log of talker") && plan.contains("pause: p50 of the time between rows (ms)"), "{plan}");
    let outcome = place.run_test().expect(5);
    assert!(outcome.stdout.contains("INCONCLUSIVE: items of items above 10"), "one repetition is too few: {}", outcome.stdout);
    assert!(!outcome.stdout.contains("TAP:"), "{}", outcome.stdout);
    assert_eq!(server.join().unwrap(), "SETEVENTS CIRC\r\n");
    place.assert_cleared(crate::support::CLEARED);

    let summary = place.summary();
    let items = values(&summary, "items", "items")[0];
    // Two replicas, and a second in which each says fifty at most.
    assert!(items > 10.0 && items <= 101.0, "{items}");
    assert_eq!(values(&summary, "items", "items_per_s"), [items]);
    assert_eq!((values(&summary, "items", "ms"), values(&summary, "items", "ms_sum")), (vec![2.5], vec![items * 5.0]));
    let pause = values(&summary, "items", "pause")[0];
    assert!(pause > 0.0 && pause < 1000.0, "{pause}");
    assert!(values(&summary, "numbers", "highest")[0] > 15.0, "it is followed beyond its rotation");
    assert!(values(&summary, "ticks", "ticks")[0] > 5.0);

    let starts = status(&place, "starts");
    assert_eq!((&starts["rows"], starts.get("dropped")), (&json!(10), None), "five of each replica: {starts}");
    assert_eq!(status(&place, "events")["rows"], 2);
    assert_eq!(status(&place, "events")["unmatched"], 1);
    let clock = &status(&place, "numbers")["clocks"]["at"];
    let (least, median) = (clock["least_ns"].as_i64().unwrap(), clock["median_ns"].as_i64().unwrap());
    // Both clocks are one: a line is read behind its stamp, and soon.
    assert!(-1_000_000 < least && least <= median && median < 5_000_000_000, "{clock}");

    let run = place.run_directory("test").join("cells/all/run1/taps");
    let table = runner::record::tables::read(&run.join("starts.parquet")).unwrap();
    let (at, what) = (table.column("at_ns").unwrap().i64().unwrap(), table.column("what").unwrap().str().unwrap());
    assert!(at.iter().flatten().min().unwrap() < 0, "the targets are ready, and say so, before the load");
    let mut said: Vec<&str> = what.iter().flatten().map(str::trim_end).collect();
    said.sort_unstable();
    assert_eq!(said, ["", "", "", "", "", "", "\0", "\0", "\u{fffd}", "\u{fffd}"]);
    let replicas: Vec<Option<u32>> = table.column("replica").unwrap().u32().unwrap().iter().collect();
    assert_eq!([1, 2].map(|n| replicas.iter().filter(|r| **r == Some(n)).count()), [5, 5]);
    let drawn = files(&place.path("graphs/test"));
    assert!(
        ["items_per_s-lines", "pause-lines", "ticks-bars"].iter().all(|name| drawn.iter().any(|f| f.contains(name))),
        "{drawn:?}"
    );
}

#[test]
fn a_source_that_ends_early_is_named_and_counts_only_where_it_is_required() {
    for (source, words) in [
        ("tcp: \"127.0.0.1:SERVER\", send: [HELLO]", "the other side has closed the connection"),
        ("tcp: \"127.0.0.1:PORT9\"", "cannot connect to 127.0.0.1:PORT9: Connection refused"),
        ("file: \"${scratch}/never\"", "it never appeared"),
        ("file: \"${scratch}\"", "it is not a regular file"),
        ("command: [sh, -c, 'echo tick; exit 3']", "the command ended with exit code 3"),
    ] {
        for required in [false, true] {
            let (port, server) = line_server(&["tick\r\n"], true);
            let mut place = Place::new();
            let scenario = format!("{TARGETS}taps:\n  one: {{{source}, regex: tick, required: {required}}}\n");
            place.write("test.yaml", &scenario.replace("SERVER", &port.to_string()));
            let words = words.replace("PORT9", &place.port(9).to_string());
            let outcome = place.run_test().expect(if required { 4 } else { 0 });
            let found = status(&place, "one");
            assert!(found["ended"].as_str().unwrap().starts_with(&words), "{found}");
            let says_something = source.contains("SERVER") || source.contains("command");
            assert_eq!(found["rows"], u64::from(says_something), "{source}");
            let verdict = place.status("all/run1")["verdict"].clone();
            match required {
                true => {
                    let reason = format!("the tap `one` ended early: {words}");
                    let reasons = verdict["reasons"].as_array().unwrap();
                    assert!(reasons.iter().any(|r| r.as_str().unwrap().starts_with(&reason)), "{verdict}");
                }
                false => {
                    assert_eq!(verdict["is"], "valid");
                    assert!(outcome.stdout.contains("TAP: `one` ended early in 1 of 1 repetitions"), "{}", outcome.stdout);
                }
            }
            place.assert_cleared(crate::support::CLEARED);
            // One that nobody connects to is let go.
            if source.contains("SERVER") {
                assert_eq!(server.join().unwrap(), "HELLO\r\n");
            }
        }
    }
}

#[test]
fn a_flood_is_bounded_and_what_is_lost_is_told() {
    // Three million lines as fast as they can be written, more than are kept, and then a line of 32 MiB. Targets are stopped when
    // all of it is written.
    let flood = "yes 'a line that matches' | head -n 3000000; head -c 33554432 /dev/zero; touch DIR/flooded; exec sleep 60";
    let flooding = TARGETS.replace("  talker:\n", &format!("  flood: {{command: [sh, -c, \"{flood}\"]}}\n  talker:\n"));
    let place = Place::with(&format!(
        "{flooding}clean-up: {{load: [{{shell: 'until [ -e DIR/flooded ]; do sleep 0.05; done'}}]}}\ntaps:\n  lines: {{log: flood, regex: matches, metrics: {{lines: {{count: true}}}}}}\n  items: {{log: talker, regex: item, metrics: {{items: {{count: true}}}}}}\n"
    ));
    let outcome = place.run_test().expect(0);
    let found = status(&place, "lines");
    let number = |key: &str| found[key].as_u64().unwrap_or_default();
    let told = number("rows") + number("unmatched") + number("dropped");
    assert_eq!((told, number("cut")), (3_000_001, 1), "every line is a row, or told: {found}");
    assert!(number("dropped") >= 1_000_000 && number("unmatched") <= 1, "{found}");
    assert!(outcome.stdout.contains("TAP: `lines` lost"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("of 3000001 lines"), "{}", outcome.stdout);
    // The load went on, and so did what others said.
    assert!(values(&place.summary(), "items", "items")[0] > 5.0);
    assert!(place.status("all/run1")["phases"][0]["passes"].as_u64().unwrap() > 100);
}

#[test]
fn what_a_target_said_before_it_was_killed_is_there() {
    let dying =
        TARGETS.replace("  talker:\n", "  dying: {command: [sh, -c, 'sleep 0.5; echo last words 17; kill -9 $$']}\n  talker:\n");
    let taps = "taps:\n  words: {log: dying, regex: 'last words (?<n>\\d+)', types: {n: number}}\n";
    let place = Place::with(&format!("{dying}{taps}"));
    place.run_test().expect(4).complains(&["dying was killed by SIGKILL"]);
    assert_eq!(status(&place, "words"), json!({"tap": "words", "rows": 1, "unmatched": 0}));
    let table = place.run_directory("test").join("cells/all/run1/taps/words.parquet");
    assert_eq!(runner::record::tables::read(&table).unwrap().height(), 1);
    place.assert_cleared(crate::support::CLEARED);
}

#[test]
fn values_that_are_no_numbers_are_counted_and_lines_that_do_not_match_are_told() {
    let place = Place::with(&format!(
        "{TARGETS}taps:
  starts: {{log: talker, regex: '^start (?<n>.*)$', types: {{n: number}}}}
  stamps: {{log: talker, regex: '^item (?<id>\\d+)', types: {{id: {{time: '%H:%M:%S'}}}}}}
  none: {{log: talker, regex: '^nothing is like this'}}
"
    ));
    let outcome = place.run_test().expect(0);
    let starts = status(&place, "starts");
    assert_eq!((&starts["rows"], &starts["misfits"]["n"]["count"]), (&json!(10), &json!(4)), "{starts}");
    let stamps = status(&place, "stamps");
    assert_eq!(stamps["misfits"]["id"]["count"], stamps["rows"]);
    assert_eq!(stamps["misfits"]["id"]["first"], "`1` is not a time in the format `%H:%M:%S`");
    for words in ["TAP: `n` of `starts` is not of the expected kind in 4 rows", "TAP: `none` has no rows: none of"] {
        assert!(outcome.stdout.contains(words), "{words}: {}", outcome.stdout);
    }
}

#[test]
fn a_joined_tap_records_requests_and_counts_rows_without_a_partner() {
    let place = Place::with(&format!(
        "{TARGETS}taps:
  items:
    log: talker
    regex: '^item (?<id>\\d+)'
    join: {{workload: clients, key: id}}
    metrics: {{n: {{count: true}}, way: {{since: sent, at: p99}}, rest: {{until: completed}}}}
"
    ));
    let outcome = place.run_test().expect(0);
    assert!(place.run_directory("test").join("cells/all/run1/requests.parquet").exists());
    // Requests of this workload have no keys, and so no row has a partner.
    let summary = place.summary();
    assert_eq!(values(&summary, "items", "unjoined"), values(&summary, "items", "n"));
    assert!(outcome.stdout.contains("unjoined"), "{}", outcome.stdout);
    let table = place.run_directory("test").join("cells/all/run1/taps/items.parquet");
    let table = runner::record::tables::read(&table).unwrap();
    assert_eq!(table.column("join_key").unwrap().u64().unwrap().get(0), Some(1));
}

#[test]
fn what_is_secret_is_in_no_row() {
    let scenario = TARGETS.replace("experiment: test\n", "experiment: test\nenv: {TOKEN: {secret: true}}\n");
    let place = Place::with(&format!(
        "{scenario}taps:
  told: {{command: [sh, -c, 'echo \"token is $TOKEN\"; exec sleep 60'], env: {{TOKEN: '${{env.TOKEN}}'}}, regex: 'token is (?<what>.*)'}}
"
    ));
    let mut command = place.runner();
    let output = command.env("TOKEN", "hunter2-is-secret").args(["run", "test.yaml", "--quiet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let run = place.run_directory("test").join("cells/all/run1");
    let table = runner::record::tables::read(&run.join("taps/told.parquet")).unwrap();
    assert_eq!(table.column("what").unwrap().str().unwrap().get(0), Some("***"));
    let bytes = std::fs::read(run.join("taps/told.parquet")).unwrap();
    assert!(!bytes.windows(17).any(|part| part == b"hunter2-is-secret"));
}

/// From a row to the next one of another kind: of each by itself where that is said, the newest that began it, and each once.
#[test]
fn the_time_between_rows_of_two_kinds_is_a_figure() {
    let talker = r#"    command: [sh, -c, 'echo start 5 >&2; while :; do
        echo "ask a"; echo "ask b"; sleep 0.03; echo "got b"; sleep 0.05; echo "got a"; echo "got a"; sleep 0.02; echo "ask a"; sleep 0.2; done']"#;
    let line = TARGETS.lines().find(|line| line.contains("command: [sh, -c, 'printf")).unwrap();
    let scenario = TARGETS.replace(line, talker).replace("replicas: 2", "replicas: 1");
    let taps = r#"taps:
  steps:
    log: talker
    regex: '^(?<what>ask|got) (?<who>\S+)$'
    metrics:
      of_each: {from: {what: ask}, to: {what: got}, by: who, at: max}
      of_b: {from: {what: ask, who: b}, to: {what: got, who: b}}
      of_any: {from: {what: ask}, to: {what: got}}
      never: {from: {what: ask}, to: {what: lost}}
graphs:
  - {stack: [of_b, of_each], x: workload}
"#;
    let place = Place::with(&format!("{scenario}{taps}"));
    let plan = place.run(&["plan", "test.yaml"]).expect(0).stdout;
    assert!(plan.contains("of_each: max of the time from ask to got of one `who` (ms)"), "{plan}");
    place.run_test().expect(0);
    let summary = place.summary();
    let value = |name: &str| values(&summary, "steps", name)[0];
    // 80 ms until `a` is answered: the `ask a` of the round before is not meant, since a newer one came. A machine may be slower.
    assert!((80.0..150.0).contains(&value("of_each")), "{}", value("of_each"));
    assert!((30.0..80.0).contains(&value("of_b")), "{}", value("of_b"));
    assert!((30.0..80.0).contains(&value("of_any")), "{}", value("of_any"));
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| metric["metric"] != "never"), "nothing was ever lost");
    assert!(files(&place.path("graphs/test")).iter().any(|file| file.contains("of_b-stack")));
}
