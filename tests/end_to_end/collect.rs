//! What is collected after the load: metrics and tables, and that they are citizens like the others.

use serde_json::{Value as Json, json};

use crate::support::{Place, files, listing};

const TARGET: &str = "
experiment: test
layout: all
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 20}
    steps: [{get: /}]
";

fn values(summary: &Json, name: &str) -> Json {
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["metric"] == name).unwrap_or_else(|| panic!("no {name}: {metrics:?}"));
    found["value"]["values"].clone()
}

#[test]
fn figures_and_tables_come_from_files_databases_and_commands() {
    let mut place = Place::new();
    let database = place.path("events.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch("create table e (at real, who text); insert into e values (1.5, 'a'), (4.0, 'b')").unwrap();
    drop(connection);
    place.write("log.txt", "begin\nhandled 17 events in 2.5 s\nend\n");
    place.write("rows.csv", "t,ms\n1,10\n2,30\n");
    place.write(
        "test.yaml",
        &(TARGET.to_owned()
            + "
repetitions: 2
collect:
  log:
    file: DIR/log.txt
    metrics:
      handled: {regex: 'handled (\\d+) events', unit: events}
      took: {regex: 'in ([0-9.]+) s', times: 1000, unit: ms}
      per_s: {ratio: [handled, took], times: 1000, unit: 1/s}
  rows: {file: DIR/rows.csv, metrics: {worst: {csv: {column: ms, pick: max}, unit: ms}}, table: {csv: true}}
  database:
    sqlite: DIR/events.db
    metrics: {last: {sql: select max(at) from e, unit: s}}
    table: {sql: select who from e order by at}
  command:
    command: [printf, '{\"begin\":%s,\"end\":%s,\"x\":[1]}', \"${load_begin}\", \"${load_end}\"]
    metrics: {began: {json: /begin, unit: s}, x: {json: /x/0}}
expect:
  - {metric: worst, of: rows, below: 31}
graphs:
  - {bars: worst, x: step}
  - {rounds: took}
"),
    );
    let outcome = place.run_test().expect(5);
    let summary = place.summary();
    assert_eq!(values(&summary, "handled"), json!([17.0, 17.0]));
    assert_eq!(values(&summary, "took"), json!([2500.0, 2500.0]));
    assert_eq!(values(&summary, "per_s"), json!([6.8, 6.8]));
    assert_eq!(values(&summary, "worst"), json!([30.0, 30.0]));
    assert_eq!(values(&summary, "last"), json!([4.0, 4.0]));
    assert_eq!(values(&summary, "x"), json!([1.0, 1.0]));
    let began = values(&summary, "began")[0].as_f64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(now - began < 60.0 && began < now, "{began} and {now}");
    let kept = place.run_directory("test").join("cells/all/run2/collected");
    assert_eq!(std::fs::read_to_string(kept.join("rows.csv")).unwrap(), "t,ms\n1,10\n2,30\n");
    assert_eq!(std::fs::read_to_string(kept.join("database.csv")).unwrap(), "who\na\nb\n");
    assert!(outcome.stdout.contains("INCONCLUSIVE: worst of rows below 31"), "two are too few: {}", outcome.stdout);
    let graphs = place.path("graphs/test");
    let drawn = files(&graphs);
    assert!(drawn.iter().any(|f| f.contains("worst")) && drawn.iter().any(|f| f.contains("took")), "{drawn:?}");
    // Runs are compared by them, too.
    place.run(&["run", "test.yaml", "--quiet"]).expect(5);
    let runs = listing(&place.path("results/test"));
    let [a, b] = [0, 1].map(|i| format!("results/test/{}", runs[i]));
    let compared = place.run(&["compare", &a, &b, "--metric", "took"]).expect(0);
    assert!(compared.stdout.contains("took"), "{}", compared.stdout);
}

#[test]
fn what_cannot_be_collected_fails_the_repetition_and_keeps_the_rest() {
    for (collect, words) in [
        ("{file: DIR/none.txt, metrics: {x: {regex: a}}}", "none.txt"),
        ("{shell: echo nothing, metrics: {x: {regex: 'y=(.*)'}}}", "the metric `x`: nothing matches `y=(.*)`"),
        ("{shell: 'echo oh dear >&2; exit 3', metrics: {x: {regex: a}}}", "oh dear"),
        ("{shell: sleep 10, timeout: 200ms, metrics: {x: {regex: a}}}", "took longer than 200ms"),
        ("{sqlite: DIR/none.db, metrics: {x: {sql: select 1}}}", "none.db"),
        ("{shell: 'echo \"a;b\"', table: {json: /x}}", "it is not valid JSON: expected value at line 1 column 1"),
    ] {
        let place = Place::with(&format!("{TARGET}collect:\n  thing: {collect}\n"));
        place.run_test().expect(4).complains(&["`thing` could not be collected", words]);
        // The load was measured all the same.
        assert!(place.run_directory("test").join("cells/all/run1/windows.parquet").exists(), "{collect}");
        assert_eq!(place.status("all/run1")["phases"][0]["passes"], 20, "{collect}");
    }
}

/// What a program says whose numbers have a decimal comma (`LC_NUMERIC=de_DE`), and a table of it.
const COMMAS: &str = "
experiment: test
layout: all
limits: {errors: 100%}
workloads:
  w:
    command: [printf, \"took 0,01 s, mem 1,5 MB, n 1.234,5\\n\"]
    load: {closed: {connections: 1}, amount: 2}
    metrics: {took_s: {regex: \"took ([0-9,.]+)\"}, mem: {regex: \"mem ([0-9,.]+)\"}, n: {regex: \"n ([0-9,.]+)\"}}
collect:
  c: {file: DIR/decimal-comma.csv, metrics: {mean: {csv: {column: ms, pick: mean}}}}
";
const COMMA_TABLE: &str = "name,ms\na,\"0,5\"\nb,\"0,25\"\n";

#[test]
fn a_decimal_comma_is_named_unless_it_is_meant() {
    let mut place = Place::with(COMMAS);
    place.write("decimal-comma.csv", COMMA_TABLE);
    let hint = "`0,5` is not a number: a comma counts only between groups of three digits; \
                write `decimal: comma` if the comma is a decimal mark";
    place.run_test().expect(4).complains(&["`c` could not be collected: the metric `mean`: line 2 of the CSV", hint]);
    let status = place.status("all/run1");
    assert_eq!(status["phases"][0]["errors"], 2, "{status:#}");
    let words = status["errors"].to_string();
    assert!(words.contains("the metric `mem`: `1,5` is not a number"), "{words}");

    let mut place = Place::with(
        &COMMAS
            .replace(", metrics: {mean", ", decimal: comma, metrics: {mean")
            .replace("    metrics: {took_s", "    decimal: comma\n    metrics: {took_s"),
    );
    place.write("decimal-comma.csv", COMMA_TABLE);
    place.run_test().expect(0);
    let summary = place.summary();
    for (name, value) in [("took_s", 0.01), ("mem", 1.5), ("n", 1234.5), ("mean", 0.375)] {
        assert_eq!(values(&summary, name), json!([value]), "{name}");
    }
}

#[test]
fn what_a_step_makes_once_is_kept_until_the_step_changes() {
    let mut place = Place::new();
    let step = "
set-up:
  cell:
    - {cache: thing, shell: 'echo made >> DIR/made; echo WORD > $CACHE/word'}
collect:
  word: {file: \"${cache.thing}/word\", metrics: {x: {regex: '([0-9]+)'}}}
";
    let run = |place: &mut Place, word: &str, code: i32| {
        place.write("test.yaml", &(TARGET.to_owned() + &step.replace("WORD", word)));
        let mut command = place.runner();
        command.env("RUNNER_CACHE", place.path("cache")).args(["run", "test.yaml", "--quiet"]);
        assert_eq!(command.output().unwrap().status.code(), Some(code), "{word}");
        place.lines("made").len()
    };
    assert_eq!(run(&mut place, "17", 0), 1);
    assert_eq!(run(&mut place, "17", 0), 1, "it was there already");
    assert_eq!(run(&mut place, "18", 0), 2, "another step makes another thing");
    // What failed half-way is not taken for whole: the repetitions of this cell are failed ones.
    assert_eq!(run(&mut place, "19; exit 1", 4), 3);
    assert_eq!(run(&mut place, "19; exit 1", 4), 4);
    // What stands in a file that it names belongs to it.
    std::fs::create_dir(place.path("make")).unwrap();
    place.write("make/number.sh", "echo 20");
    let by_file = "20; cd DIR && sh make/number.sh";
    assert_eq!([0; 2].map(|code| run(&mut place, by_file, code)), [5, 5]);
    place.write("make/number.sh", "echo 21");
    assert_eq!(run(&mut place, by_file, 0), 6);
}
