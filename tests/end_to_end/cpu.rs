//! The study of CPU pools: the same server in Rust and in Python, real workers, and what becomes of a run when one is killed.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::support::{Place, Process, root};

/// The same step as in the experiments, so that it is executed once for all of them.
const TWISTED: &str = "
set-up:
  cell:
    - cache: twisted
      shell: python3 -m venv \"$CACHE\" && \"$CACHE/bin/pip\" install --quiet --disable-pip-version-check Twisted==26.10.0 klein==24.8.0 ampoule==24.10.0
      timeout: 10m
targets:
  server:
    port: PORT1
    dir: ROOT/fixtures/python
    command: [\"${cache.twisted}/bin/python\", cpu_server.py, --port, 'PORT1', --work, processes, --pool, 'POOL']
    env: {FIB: 'NUMBER'}
    ready: {timeout: 60s}
";

const RUST: &str = "
targets:
  server: {fixture: cpu-server, port: PORT1, args: [--work, processes, --pool, 'POOL'], env: {FIB: 'NUMBER'}}
";

const LOAD: &str = "
experiment: test
layout: all
limits: {errors: 50%, silence: 100%}
phases: {before: 3s, during: 2s}
workloads:
  heavy:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 3}}
    steps: [{get: /, expect: {text: 'answer is >>> ANSWER'}}]
  easy:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1, think: {constant: 5ms}}}
    steps: [{get: /hi, expect: {text: 'easy!'}}]
collect:
  pool: {get: 'http://127.0.0.1:PORT1/stats', metrics: {died: {json: /died}, started: {json: /started}, failed: {json: /failed}}}
";

fn place(server: &str, pool: &str, fib: &str, answer: &str) -> Place {
    let text = format!("{LOAD}{server}").replace("POOL", pool).replace("NUMBER", fib).replace("ANSWER", answer);
    Place::with(&text.replace("ROOT", &root().display().to_string()))
}

/// What the server says of itself; nothing while it does not.
fn stats(port: u16) -> Option<Json> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET /stats HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

/// A worker is killed while it computes: its request fails, another worker takes its place, and all of that is in the record.
fn a_worker_is_killed(server: &str, fib: &str, answer: &str) {
    let mut place = place(server, "2..2", fib, answer);
    let port = place.port(1);
    let mut run = place.start(&["run", "test.yaml", "--no-graphs"]);
    let worker = run.until("workers compute", || {
        let stats = stats(port)?;
        // One that computes right now: of one that waits for its next task no request would fail.
        let computes = |pid: &i64| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
        };
        let pid = stats["pids"].as_array()?.iter().filter_map(Json::as_i64).find(computes)?;
        (stats["answered"].as_u64()? > 5).then_some(pid)
    });
    Process { pid: i32::try_from(worker).unwrap(), command: String::new() }.signal(Signal::KILL);
    let outcome = run.wait_within(std::time::Duration::from_secs(60)).expect(0);
    assert!(outcome.stdout.contains("ERRORS: 1 of"), "{}", outcome.stdout);
    let summary = place.summary();
    let cell = &summary["cells"][0];
    let metric = |name: &str| {
        let found = cell["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["value"]["mean"].clone()
    };
    assert_eq!((metric("died"), metric("failed")), (json!(1.0), json!(1.0)));
    assert_eq!(metric("started"), json!(3.0), "another worker took its place");
    let step = |workload: &str, phase: &str| {
        let mut steps = cell["steps"].as_array().unwrap().iter();
        steps.find(|s| s["workload"] == workload && s["phase"] == phase && s["step"] == "(pass)").unwrap().clone()
    };
    assert_eq!(step("heavy", "before")["errors"], json!({"wrong-status": 1}));
    let during = step("heavy", "during");
    assert!(during["ok"].as_u64() > Some(3) && during["errors"] == json!({}), "service goes on: {during}");
    assert_eq!(step("easy", "before")["errors"], json!({}), "the easy request does not notice");
    let words = place.status("all/run1")["errors"][0].as_str().unwrap().to_owned();
    assert!(words.contains("GET / answered 500"), "{words}");
    let log = place.run_directory("test").join("cells/all/run1/logs/server-1.err");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains(&worker.to_string()) && log.contains("signal 9"), "{log}");
}

#[test]
fn a_killed_worker_of_the_rust_server_is_counted_and_service_goes_on() {
    a_worker_is_killed(RUST, "34", "5702887");
}

#[test]
fn a_killed_worker_of_the_twisted_server_is_counted_and_service_goes_on() {
    a_worker_is_killed(TWISTED, "26", "121393");
}

/// What is wrong with the server's settings is the reason of the failed repetition, in the server's own words.
fn settings_are_refused(server: &str) {
    for (pool, fib, words) in [
        ("2..2", "abc", "FIB is \"abc\": expected a whole number from 1 to 45"),
        ("4..2", "20", "the least (4) is more than the most (2)"),
    ] {
        let place = place(server, pool, fib, "1");
        place.run(&["run", "test.yaml", "--no-graphs"]).expect(4);
        let status = place.status("all/run1");
        let reason = status["verdict"]["reason"].as_str().unwrap();
        assert!(reason.contains(words) && reason.contains("exit code 2"), "{reason}");
    }
}

#[test]
fn the_rust_server_refuses_wrong_settings() {
    settings_are_refused(RUST);
}

#[test]
fn the_twisted_server_refuses_wrong_settings() {
    settings_are_refused(TWISTED);
}

#[test]
fn an_easy_request_with_another_answer_is_an_error_and_not_a_fast_success() {
    let answered = std::sync::atomic::AtomicU64::new(0);
    let server = crate::server::Server::start(move |_| {
        let first = answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 10;
        (200, String::new(), if first { "easy!" } else { "busy!" }.to_owned())
    });
    let place = Place::with(
        &"
experiment: test
layout: all
workloads:
  easy: {url: 'http://127.0.0.1:SERVER', load: {closed: {connections: 1}, amount: 100}, steps: [{get: /hi, expect: {text: 'easy!'}}]}
"
        .replace("SERVER", &server.port.to_string()),
    );
    let outcome = place.run(&["run", "test.yaml", "--no-graphs"]).expect(4);
    assert!(outcome.stdout.contains("INVALID 1 of 1: "), "{}", outcome.stdout);
    let status = place.status("all/run1");
    // One of the ten was the checked pass.
    assert_eq!((&status["phases"][0]["passes"], &status["phases"][0]["errors"]), (&json!(100), &json!(91)));
    assert!(status["errors"][0].as_str().unwrap().contains("wrong-body: GET /hi answered with an unexpected body: `busy!`"));
}

#[test]
fn a_server_that_accepts_and_never_answers_gives_time_outs() {
    let place = Place::with(
        "
experiment: test
layout: all
limits: {errors: 100%}
targets: {server: {fixture: faulty, port: PORT1, args: [--mode, silent, --healthy, '5']}}
workloads:
  easy: {url: 'http://127.0.0.1:PORT1', timeout: 100ms, load: {closed: {connections: 1}, amount: 10}, steps: [{get: /hi}]}
",
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let summary = place.summary();
    let whole = &summary["cells"][0]["steps"][0];
    assert_eq!((&whole["ok"], &whole["errors"]), (&json!(4), &json!({"timeout": 6})));
}

#[test]
fn where_python_is_missing_its_cells_are_skipped_and_the_others_run() {
    let place = Place::new();
    let mut command = place.runner();
    let experiment = std::fs::read_to_string(root().join("experiments/cpu-baseline.yaml")).unwrap();
    let experiment = experiment.replace("needs: python3", "needs: python-that-is-not-there");
    let experiment = experiment.replace("dir: fixtures/python", &format!("dir: {}/fixtures/python", root().display()));
    std::fs::write(place.path("cpu-baseline.yaml"), experiment).unwrap();
    command.args(["check", "cpu-baseline.yaml"]);
    let said = crate::support::Started::spawn(&mut command).wait().expect(0).stdout;
    assert!(said.contains("SKIPPED: 3 of 6 cells, because python-that-is-not-there is not installed"), "{said}");
}
