//! `runner export`: what stands in the database and in the files is what was recorded, and what the summary says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::record::tables;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::{Value as Json, json};

use crate::server::Server;
use crate::support::{Place, copy, json as read_json, listing, python_of_tables, root};

/// Runs that are kept: that of this version, and of older ones, with commands and targets.
const KEPT: [&str; 3] = [
    "results/blobs-parallel/20261129T013913Z-5025",
    "tests/data/results/format-2/20261122T053326Z-e9ba",
    "tests/data/results/format-1/blobs-parallel/20261122T000858Z-823c",
];

/// The database `r.db` of a place, to be read only.
pub fn open(place: &Place) -> Connection {
    Connection::open_with_flags(place.path("r.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// All rows of a query.
#[track_caller]
pub fn rows<T>(database: &Connection, query: &str, of: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    database.prepare(query).unwrap().query_map([], of).unwrap().map(Result::unwrap).collect()
}

/// The only value of a query.
#[track_caller]
pub fn one<T: FromSql>(database: &Connection, query: &str) -> T {
    database.query_row(query, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Exports runs into `r.db`.
#[track_caller]
pub fn export(place: &Place, runs: &[&Path]) -> String {
    let runs = runs.iter().map(|run| run.to_str().unwrap());
    let words: Vec<&str> = ["export", "sqlite"].into_iter().chain(runs).chain(["-o", "r.db"]).collect();
    place.run(&words).expect(0).stderr
}

fn near(found: Option<f64>, expected: &Json) -> bool {
    found == expected.as_f64()
}

// ---- the summary

#[test]
fn the_views_say_what_the_summary_says() {
    let place = Place::new();
    let kept = KEPT.map(|run| root().join(run));
    export(&place, &kept.each_ref().map(PathBuf::as_path));
    let database = open(&place);
    let mut compared = BTreeMap::<&str, usize>::new();
    for run in &kept {
        let summary = read_json(&run.join("summary.json"));
        let name = summary["run"].as_str().unwrap();
        for cell in summary["cells"].as_array().unwrap() {
            let id = cell["cell"].as_str().unwrap();
            for step in cell["steps"].as_array().unwrap() {
                let [workload, phase, name_of_step] = ["workload", "phase", "step"].map(|key| step[key].as_str().unwrap());
                let query = "SELECT throughput_per_s, throughput_low_per_s, throughput_high_per_s, response_p50_ns, response_p99_ns, \
                             service_p99_ns, repetitions FROM steps WHERE run = ? AND cell = ? AND workload = ? AND phase = ? AND step = ?";
                let found: Vec<Option<f64>> = database
                    .query_row(query, [name, id, workload, phase, name_of_step], |row| (0..7).map(|at| row.get(at)).collect())
                    .unwrap_or_else(|error| panic!("{id} {workload} {phase} {name_of_step}: {error}"));
                let throughput = &step["throughput_per_s"];
                let interval = &throughput["median_interval"];
                let expected = [
                    &throughput["median"],
                    &interval[0],
                    &interval[1],
                    &step["response_ns"]["p50"],
                    &step["response_ns"]["p99"],
                    &step["service_ns"]["p99"],
                    &throughput["n"],
                ];
                for (found, expected) in found.iter().zip(expected) {
                    assert!(near(*found, expected), "{id} {name_of_step}: {found:?} and {expected}");
                }
                *compared.entry("steps").or_default() += 1;
                for one in step["by_repetition"].as_array().unwrap().iter().filter(|_| name_of_step == "(pass)") {
                    let query = format!(
                        "SELECT throughput_per_s, response_p99_ns FROM repetitions_over_time
                         WHERE run = ? AND cell = ? AND workload = ? AND phase = ? AND repetition = {}",
                        one["repetition"]
                    );
                    let found: [Option<f64>; 2] =
                        database.query_row(&query, [name, id, workload, phase], |row| Ok([row.get(0)?, row.get(1)?])).unwrap();
                    assert!(
                        near(found[0], &one["throughput_per_s"]) && near(found[1], &one["response_ns"]["p99"]),
                        "{id}: {one}"
                    );
                    *compared.entry("repetitions_over_time").or_default() += 1;
                }
            }
            for target in cell["targets"].as_array().unwrap() {
                let parts = target["phases"].as_array().into_iter().flatten().chain([target]);
                for part in parts.filter(|part| !part["pss_bytes"].is_null()) {
                    let query = "SELECT pss_bytes, pss_low_bytes, pss_high_bytes, rss_bytes FROM memory_by_target
                                 WHERE run = ?1 AND cell = ?2 AND target = ?3 AND phase IS ?4";
                    let (target, phase) = (target["target"].as_str(), part["phase"].as_str());
                    let found: Vec<Option<f64>> = database
                        .query_row(query, [Some(name), Some(id), target, phase], |row| (0..4).map(|at| row.get(at)).collect())
                        .unwrap();
                    let pss = &part["pss_bytes"];
                    let expected =
                        [&pss["median"], &pss["median_interval"][0], &pss["median_interval"][1], &part["rss_bytes"]["median"]];
                    assert!(found.iter().zip(expected).all(|(found, expected)| near(*found, expected)), "{found:?} {part}");
                    *compared.entry("memory_by_target").or_default() += 1;
                }
            }
            let repetitions = &cell["repetitions"];
            let query =
                "SELECT planned, valid, invalid, failed, skipped FROM cells JOIN runs USING (run_id) WHERE run = ? AND cell = ?";
            let found = database.query_row(query, [name, id], |row| {
                let counts = [row.get::<_, u32>(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
                Ok((counts, row.get::<_, Option<String>>(4)?))
            });
            let expected = ["planned", "valid", "invalid", "failed"].map(|key| repetitions[key].as_u64().unwrap() as u32);
            assert_eq!(found.unwrap(), (expected, cell["skipped"].as_str().map(str::to_owned)));
        }
        // The fastest is the one with the largest median, and each place is taken in that order.
        let query = format!("SELECT workload || phase, place, throughput_per_s, cell FROM fastest_cells WHERE run = '{name}'");
        let found = rows(&database, &query, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, f64>(2)?, row.get::<_, String>(3)?))
        });
        assert!(found.len() > 1);
        for pair in found.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            assert!(pair[0].1 < pair[1].1 && pair[0].2 > pair[1].2 || pair[0].2 == pair[1].2, "{pair:?}");
        }
        // Every cell stands once under each of its factors.
        let query = format!("SELECT COUNT(*) FROM by_level WHERE run = '{name}' AND step = '(pass)' AND phase = 'during'");
        let cells: i64 =
            one(&database, &format!("SELECT COUNT(*) FROM steps WHERE run = '{name}' AND step = '(pass)' AND phase = 'during'"));
        assert_eq!(one::<i64>(&database, &query), cells * summary["factors"].as_array().unwrap().len() as i64);
        // All figures, and nothing else.
        let figures = runner::analysis::summarize(&runner::record::RunRecord::open(run).unwrap()).unwrap();
        let expected: usize =
            figures.cells.iter().flat_map(|c| c.figures.iter()).map(|s| s.values.len() + s.uncounted.len()).sum();
        assert_eq!(one::<i64>(&database, &format!("SELECT COUNT(*) FROM named_figures WHERE run = '{name}'")), expected as i64);
    }
    assert!(compared.len() == 3 && compared.values().all(|count| *count > 10), "{compared:?}");
    assert_eq!(one::<String>(&database, "PRAGMA integrity_check"), "ok");
    assert!(rows(&database, "PRAGMA foreign_key_check", |_| Ok(())).is_empty());
}

// ---- what was recorded

/// A level and a step whose names have everything in them that means something somewhere.
const LABEL: &str = "x, \"y\"\n../ü → 語";

const SCENARIO: &str = r#"
experiment: test
question: Is "quoted", or not?
layout: all
repetitions: 2
window: 100ms
record: {requests: true}
limits: {errors: 100%, generator-cpu: 100%}
factors:
  label: ["x, \"y\"\n../ü → 語"]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    threads: 2
    # How much is recorded does not depend on how fast this machine is.
    load: {closed: {connections: 4, think: {constant: 500us}}, duration: 1s}
    steps:
      - {get: /, name: "x, \"y\"\n../ü → 語"}
      - {get: /second, expect: {status: 200}, outcomes: {conflict: 409}}
  tool:
    command: [sh, -c, "echo 17", "${label}"]
    load: {closed: {connections: 1}, amount: 3}
    metrics: {n: {regex: '([0-9]+)'}}
collect:
  rows:
    command: [printf, 't,ms,ms\n1,10,"a ""b"",\nc"\n2,,\n']
    metrics: {worst: {csv: {column: t, pick: max}}}
    table: {csv: true}
"#;

/// What a tap has followed stands in the database and in the files, row by row, as it was recorded.
#[test]
fn the_rows_of_taps_are_those_that_were_recorded() {
    let place = Place::with(
        r#"
experiment: test
limits: {silence: 100%, open: 100%}
layout: all
repetitions: 2
targets:
  web: {fixture: null-server, port: PORT1}
  talker:
    replicas: 2
    command: [sh, -c, 'i=0; while :; do i=$((i+1)); echo "item \"$i\", ü took $i.5 ms"; sleep 0.02; done']
    ready: {log: item}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, duration: 1s}, steps: [{get: /}]}
taps:
  items: {log: talker, regex: '^item (?<what>.*) took (?<ms>\S+) ms$', types: {ms: number}}
  odd: {log: talker, regex: '^item "(?<n>\d*[13579])"', types: {n: number}}
"#,
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let run = place.run_directory("test");
    export(&place, &[&run]);
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0);
    let database = open(&place);
    let mut count = 0;
    for (repetition, number) in [(1, "run1"), (2, "run2")] {
        let folder = run.join("cells/all").join(number).join("taps");
        let items = tables::read(&folder.join("items.parquet")).unwrap();
        let column = |name: &str| items.column(name).unwrap();
        let (at, replica) = (column("at_ns").i64().unwrap(), column("replica").u32().unwrap());
        let (what, ms) = (column("what").str().unwrap(), column("ms").f64().unwrap());
        let recorded: Vec<(i64, u32, String, f64)> = (0..items.height())
            .map(|row| (at.get(row).unwrap(), replica.get(row).unwrap(), what.get(row).unwrap().to_owned(), ms.get(row).unwrap()))
            .collect();
        assert!(recorded.len() >= 20 && recorded.iter().any(|row| row.2 == "\"7\", ü" && row.3 == 7.5), "{recorded:?}");
        let query = format!(
            "SELECT at_ns, fields ->> '$.replica', fields ->> '$.what', fields ->> '$.ms' FROM taps \
             JOIN repetitions USING (repetition_id) WHERE tap = 'items' AND repetition = {repetition} ORDER BY row"
        );
        let exported = rows(&database, &query, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, String>(2)?, row.get::<_, f64>(3)?))
        });
        assert_eq!(exported, recorded);
        count += items.height() + tables::read(&folder.join("odd.parquet")).unwrap().height();
    }
    assert_eq!(one::<u32>(&database, "SELECT COUNT(*) FROM taps") as usize, count);
    let csv = std::fs::read_to_string(place.path("csv/taps.csv")).unwrap();
    assert_eq!(csv.lines().count(), count + 1, "a line for each row, and one that names the columns");
}

/// A run in which some requests fail and some are answered with a conflict.
pub fn recorded() -> (Place, PathBuf) {
    // The checked pass of a repetition is the first on a connection of its own, and never one of those that fail.
    let server = Server::start(|request| {
        let status = match (request.path.as_str(), request.before % 50) {
            ("/second", 47 | 49) => 500,
            ("/second", 43 | 45) => 409,
            _ => 200,
        };
        (status, String::new(), "hello".to_owned())
    });
    let place = Place::with(&SCENARIO.replace("SERVER", &server.port.to_string()));
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let run = place.run_directory("test");
    (place, run)
}

#[test]
fn the_rows_are_those_that_were_recorded() {
    let (place, run) = recorded();
    // A table that has when its rows came, and texts and numbers, with a name that no tap can have: those are tested below.
    let repetition = run.join("cells/all/run1");
    std::fs::create_dir(repetition.join("taps")).unwrap();
    let mut frame = tables::read(&repetition.join("metrics.parquet")).unwrap();
    frame.rename("metric", "say \"x\"".into()).unwrap();
    let path = repetition.join("taps/log.parquet");
    std::fs::write(&path, tables::parquet(&path, [Ok(frame)]).unwrap().unwrap()).unwrap();
    export(&place, &[&run]);
    let database = open(&place);

    // Each window once, whichever threads told of it; together they are what the rows of requests count.
    let keys = "repetition_id, window_start_ns, workload, step, phase, completed_in, outcome";
    assert_eq!(
        one::<u32>(&database, &format!("SELECT COUNT(*) FROM (SELECT DISTINCT {keys} FROM windows)")),
        one::<u32>(&database, "SELECT COUNT(*) FROM windows")
    );
    let counted = |table: &str, count: &str| -> BTreeMap<String, i64> {
        let key = "repetition_id || '|' || workload || '|' || step || '|' || phase || '|' || outcome";
        let query = format!("SELECT {key}, {count} FROM {table} WHERE workload = 'clients' GROUP BY 1");
        rows(&database, &query, |row| Ok((row.get(0)?, row.get(1)?))).into_iter().collect()
    };
    let (of_windows, of_requests) = (counted("windows", "SUM(requests)"), counted("requests", "COUNT(*)"));
    assert_eq!(of_windows, of_requests);
    for (outcome, kind) in [("ok", "ok"), ("wrong-status", "error"), ("conflict", "named")] {
        let query = format!("SELECT DISTINCT kind FROM windows WHERE outcome = '{outcome}'");
        assert_eq!(rows(&database, &query, |row| row.get::<_, String>(0)), [kind]);
    }
    // The percentiles of a window are those of its requests, to the three digits of the histograms.
    let query = "SELECT repetition_id, window_start_ns, step, phase, outcome, requests, response_p50_ns, response_p99_ns, response_max_ns,
                 response_mean_ns, first_bytes, completed_in FROM windows WHERE workload = 'clients' AND kind = 'ok'";
    let windows = rows(&database, query, |row| {
        let texts: [String; 4] = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(11)?];
        let numbers: Vec<i64> = [0, 1, 5, 6, 7, 8, 9, 10].iter().map(|at| row.get(*at)).collect::<Result<_, _>>()?;
        Ok((texts, numbers))
    });
    let mut compared = 0;
    for ([step, phase, outcome, completed_in], numbers) in &windows {
        let [repetition, start, requests, p50, p99, max, mean, first_bytes] = numbers[..] else { panic!("{numbers:?}") };
        // What ended behind the load counts in the last window of it.
        if completed_in == "drain" {
            continue;
        }
        let mut statement = database
            .prepare("SELECT response_ns FROM requests WHERE repetition_id = ? AND workload = 'clients' AND step = ? AND phase = ? AND outcome = ? AND completed_ns >= ? AND completed_ns < ? ORDER BY 1")
            .unwrap();
        let found =
            statement.query_map((repetition, step, phase, outcome, start, start + 100_000_000), |row| row.get::<_, i64>(0));
        let found: Vec<i64> = found.unwrap().map(Result::unwrap).collect();
        if found.len() as i64 != requests {
            continue;
        }
        let at = |share: f64| found[((share * found.len() as f64).ceil() as usize).max(1) - 1];
        for (exact, told) in [(at(0.5), p50), (at(0.99), p99), (at(1.0), max)] {
            assert!(exact <= told && told - exact <= told / 512, "{exact} {told} of {requests}");
        }
        let exact = found.iter().sum::<i64>() / requests;
        assert!((exact - mean).abs() <= exact / 500, "{exact} {mean}");
        assert!(first_bytes <= requests);
        compared += 1;
    }
    assert!(compared >= 20, "{compared} of {} windows", windows.len());

    // Errors over time, added up, are those of the summary; the slowest request is the slowest.
    let summary = place.summary();
    let errors: i64 = summary["cells"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["step"] != "(pass)")
        .flat_map(|step| step["errors"].as_object().unwrap().values())
        .map(|count| count.as_i64().unwrap())
        .sum();
    assert!(errors > 0);
    assert_eq!(one::<i64>(&database, "SELECT SUM(requests) FROM errors_over_time WHERE step <> '(pass)'"), errors);
    let slowest = rows(&database, "SELECT response_ns FROM slowest_requests LIMIT 3", |row| row.get::<_, i64>(0));
    let all = rows(
        &database,
        "SELECT completed_ns - intended_ns FROM requests WHERE step <> '(pass)' ORDER BY 1 DESC LIMIT 3",
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(slowest, all);

    // The other tables, as they were written.
    assert_eq!(rows(&database, "SELECT value FROM metrics WHERE metric = 'n'", |row| row.get::<_, f64>(0)), [17.0; 6]);
    let collected = rows(&database, "SELECT fields FROM collected WHERE name = 'rows' ORDER BY repetition_id, row", |row| {
        row.get::<_, String>(0)
    });
    let expected = [json!({"t": "1", "ms": "10", "ms_2": "a \"b\",\nc"}), json!({"t": "2", "ms": "", "ms_2": ""})];
    let collected: Vec<Json> = collected.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(collected, [expected.clone(), expected].concat());
    let tapped = |from: &str| {
        rows(&database, from, |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, f64>(2)?, row.get::<_, i64>(3)?))
        })
    };
    let written = tapped("SELECT at_ns, metric, value, pass FROM metrics WHERE repetition_id = 1 ORDER BY row");
    let query = r#"SELECT at_ns, fields ->> '$."say \"x\""', fields ->> 'value', fields ->> 'pass' FROM taps WHERE tap = 'log' ORDER BY row"#;
    assert_eq!(tapped(query), written);
    // Three executions with three metrics, and what was collected.
    assert_eq!(written.len(), 10);
    let events: BTreeSet<String> = rows(&database, "SELECT event FROM events", |row| row.get(0)).into_iter().collect();
    assert!(events.contains("load-begins") && events.contains("load-ends"), "{events:?}");
    assert!(one::<u32>(&database, "SELECT COUNT(*) FROM host") > 0);

    // Names come back as they are, also where there is no rusqlite.
    let script = "import sqlite3, json\nd = sqlite3.connect('r.db')\nprint(json.dumps([d.execute('SELECT level FROM cell_levels').fetchall(), \
                  d.execute('SELECT DISTINCT step FROM requests ORDER BY 1').fetchall(), d.execute('SELECT question FROM runs').fetchall(), \
                  d.execute('PRAGMA integrity_check').fetchall()]))";
    let output = Command::new("/usr/bin/python3").args(["-c", script]).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found, json!([[[LABEL]], [["(pass)"], ["command"], ["get"], [LABEL]], [["Is \"quoted\", or not?"]], [["ok"]]]));

    // The same as CSV, value by value.
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0);
    let compare = "
import csv, sqlite3
csv.field_size_limit(1 << 30)
d = sqlite3.connect('r.db')
tables = [name for (name,) in d.execute(\"SELECT name FROM sqlite_schema WHERE type = 'table'\")]
for table in tables:
    with open(f'csv/{table}.csv', newline='', encoding='utf-8') as file:
        read = list(csv.reader(file))
    cursor = d.execute(f'SELECT * FROM {table} ORDER BY 1, 2')
    assert read[0] == [column[0] for column in cursor.description], table
    same = lambda value, text: float(text) == value if isinstance(value, float) else text == ('' if value is None else str(value))
    rows = sorted(cursor.fetchall(), key=lambda row: [str(v) for v in row[:3]])
    of_file = sorted(read[1:], key=lambda row: row[:3])
    assert len(rows) == len(of_file), (table, len(rows), len(of_file))
    for row, text in zip(rows, of_file):
        assert all(same(v, t) for v, t in zip(row, text)), (table, row, text)
print(len(tables), 'tables')
";
    let output = Command::new("/usr/bin/python3").args(["-c", compare]).current_dir(place.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "31 tables\n", "{output:?}");
}

// ---- the same twice

/// Every table and row, without the numbers that only this file has.
fn contents(place: &Place) -> Vec<String> {
    let database = open(place);
    let tables = rows(&database, "SELECT name FROM sqlite_schema WHERE type = 'table'", |row| row.get::<_, String>(0));
    let mut all = Vec::new();
    for table in tables {
        let columns = rows(&database, &format!("SELECT name FROM pragma_table_info('{table}')"), |row| row.get::<_, String>(0));
        let columns: Vec<String> =
            columns.iter().filter(|name| !name.ends_with("_id")).map(|name| format!("quote({name})")).collect();
        let mut lines =
            rows(&database, &format!("SELECT {} FROM {table}", columns.join(" || '|' || ")), |row| row.get::<_, String>(0));
        lines.sort();
        all.extend(lines.into_iter().map(|line| format!("{table}: {line}")));
    }
    all
}

#[test]
fn a_run_twice_changes_nothing_and_more_of_it_is_added() {
    let place = Place::new();
    let run = place.path("run/20261122T053326Z-e9ba");
    copy(&root().join(KEPT[1]), &run);
    let other = root().join(KEPT[0]);
    let bytes = || std::fs::read(place.path("r.db")).unwrap();

    // One repetition is missing.
    let moved = place.path("aside");
    std::fs::rename(run.join("cells/open/run2"), &moved).unwrap();
    let said = export(&place, &[&run, &other]);
    assert!(said.contains("format-2/20261122T053326Z-e9ba: exported, 3 repetitions"), "{said}");
    assert!(said.contains("warning: format-2/20261122T053326Z-e9ba is incomplete"), "{said}");
    assert!(said.contains("blobs-parallel/20261129T013913Z-5025: exported, 12 repetitions"), "{said}");
    let first = bytes();
    let said = export(&place, &[&other, &run, &run]);
    assert_eq!(said.matches(": unchanged, ").count(), 2, "{said}");
    assert!(said.contains("is incomplete"), "{said}");
    assert!(bytes() == first, "the same runs have changed the database");
    let state = "SELECT state FROM runs WHERE experiment = 'format-2'";
    assert_eq!(one::<String>(&open(&place), state), "incomplete");

    // It has come, and all that is said over repetitions is said anew.
    std::fs::rename(&moved, run.join("cells/open/run2")).unwrap();
    let said = export(&place, &[&run]);
    assert!(said.contains("brought up to date, 4 repetitions") && !said.contains("warning"), "{said}");
    let database = open(&place);
    assert_eq!(one::<String>(&database, state), "whole");
    assert_eq!(one::<u32>(&database, "SELECT MAX(n) FROM estimates JOIN cells USING (cell_id) WHERE cell = 'kind=open'"), 2);
    assert!(rows(&database, "PRAGMA foreign_key_check", |_| Ok(())).is_empty());
    let updated = contents(&place);
    std::fs::remove_file(place.path("r.db")).unwrap();
    export(&place, &[&run, &other]);
    assert!(contents(&place) == updated, "a run that was brought up to date is as one that was exported at once");

    // A copy elsewhere is the same run; another run of its name is not.
    let elsewhere = place.path("elsewhere/20261122T053326Z-e9ba");
    copy(&run, &elsewhere);
    assert!(export(&place, &[&elsewhere]).contains("unchanged"));
    let manifest = std::fs::read_to_string(elsewhere.join("manifest.json")).unwrap();
    let mut manifest: Json = serde_json::from_str(&manifest).unwrap();
    manifest["started_at"] = json!("2020-01-01T00:00:00Z");
    std::fs::write(elsewhere.join("manifest.json"), manifest.to_string()).unwrap();
    let before = bytes();
    place.run(&["export", "sqlite", elsewhere.to_str().unwrap(), "-o", "r.db"]).expect(2).complains(&[
        "has another run called format-2/20261122T053326Z-e9ba",
        "2020-01-01T00:00:00Z",
        "another file",
    ]);
    assert!(bytes() == before);
}

#[test]
fn csv_twice_gives_the_same_bytes() {
    let place = Place::new();
    let runs = KEPT.map(|run| root().join(run));
    let words = |out| {
        let runs = runs.iter().map(|run| run.to_str().unwrap());
        ["export", "csv"].into_iter().chain(runs).chain(["--out", out]).collect::<Vec<_>>()
    };
    let read = |folder: &str| -> BTreeMap<String, Vec<u8>> {
        listing(&place.path(folder))
            .into_iter()
            .map(|name| (name.clone(), std::fs::read(place.path(folder).join(&name)).unwrap()))
            .collect()
    };
    std::fs::create_dir(place.path("empty")).unwrap();
    place.run(&words("new")).expect(0);
    place.run(&words("empty")).expect(0);
    let first = read("new");
    assert!(first.len() == 32 && first["windows.csv"].len() > 10_000, "{:?}", first.keys());
    assert!(read("empty") == first);
    // Other runs, and these again: it is replaced whole.
    place.run(&["export", "csv", runs[1].to_str().unwrap(), "-o", "new"]).expect(0);
    assert!(read("new")["windows.csv"].len() < first["windows.csv"].len());
    place.run(&words("new")).expect(0);
    assert!(read("new") == first);
    // With any number of threads.
    let mut one = place.runner();
    one.env("RAYON_NUM_THREADS", "1").env("POLARS_MAX_THREADS", "1").args(words("one"));
    assert!(one.output().unwrap().status.success());
    assert!(read("one") == first);
    // Nothing is left beside them.
    assert_eq!(listing(&place.path("")), ["empty", "new", "one"]);
}

// ---- the documentation

#[test]
fn the_documentation_has_the_tables_and_its_questions_are_answered() {
    let docs = std::fs::read_to_string(root().join("docs/results.md")).unwrap();
    let section = docs.split("\n## ").find(|section| section.starts_with("In a database")).expect("the section is there");
    let place = Place::new();
    let run = root().join(KEPT[0]);
    export(&place, &[&run]);
    let database = open(&place);
    for name in rows(&database, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')", |row| row.get::<_, String>(0)) {
        assert!(section.contains(&format!("`{name}`")), "{name} is not in the documentation");
    }
    let questions: Vec<&str> = section.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(questions.len() >= 3);
    for question in questions {
        let found = rows(&database, question.trim().trim_end_matches(';'), |row| row.get_ref(0).map(|_| ()));
        // Of circuits this run has none: torperf_export asks about them.
        assert!(!found.is_empty() || question.contains("circuit_use"), "{question}");
    }
    let script = section.split("```python\n").nth(1).unwrap().split("```").next().unwrap().replace("results.db", "r.db");
    let Some(python) = python_of_tables() else { return };
    let output = Command::new(&python).args(["-c", &script]).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("throughput"), "{script}\n{output:?}");
    // The files, too: what has no value is no value.
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0);
    let script = "import pandas as pd\nf = pd.read_csv('csv/figures.csv')\nassert len(f) > 100 and f.target.isna().any() and f.value.notna().all()\nprint(len(f))";
    let output = Command::new(&python).args(["-c", script]).current_dir(place.path("")).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        one::<u32>(&database, "SELECT COUNT(*) FROM figures").to_string(),
        "{output:?}"
    );
}
