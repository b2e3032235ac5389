//! Answers that have a name, values that are drawn, requests that are sent again and again, and set-up that fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::server::Server;
use crate::support::{Place, json as read};

#[test]
fn a_conflict_is_neither_a_success_nor_an_error() {
    let count = AtomicU64::new(0);
    // Every fourth update comes too late.
    let server = Server::start(move |request| match request.method.as_str() {
        "PUT" if count.fetch_add(1, Ordering::Relaxed) % 4 == 3 => (409, String::new(), "conflict".to_owned()),
        "PUT" => (201, String::new(), "{\"rev\":\"2\"}".to_owned()),
        _ => (200, String::new(), "{\"rev\":\"1\"}".to_owned()),
    });
    let place = Place::with(
        &"
experiment: test
layout: all
repetitions: 2
record: {requests: true}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 1}, amount: 101}
    steps:
      - {get: /doc, carry: {rev: {json: /rev}}}
      - {put: /doc, body: {json: {rev: '${rev}'}}, expect: {status: 201}, outcomes: {conflict: 409, gone: [404, 410]}}
      - {name: look, get: /after}
expect: [{metric: conflict, above: 20, below: 30}, {metric: errors, below: 1%}]
graphs: [{bars: conflict, x: step}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    let outcome = place.run_test().expect(5);
    assert!(outcome.stdout.contains("per second"), "the table of passes is there, too: {}", outcome.stdout);
    assert!(outcome.stdout.contains("CONFLICT: 51 of 202 passes of clients"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("ERRORS"), "{}", outcome.stdout);
    // An interval needs five repetitions; the values are there.
    let summary = place.summary();
    let cell = &summary["cells"][0];
    assert_eq!(cell["repetitions"]["valid"], 2);
    let step = |name: &str| cell["steps"].as_array().unwrap().iter().find(|s| s["step"] == name).unwrap().clone();
    let (whole, put, look) = (step("(pass)"), step("put"), step("look"));
    assert_eq!(
        (&whole["requests"], &whole["ok"], &whole["named"]),
        (&json!(202), &json!(151), &json!({"conflict": 51, "gone": 0}))
    );
    assert_eq!((&put["named"], &put["errors"]), (&json!({"conflict": 51, "gone": 0}), &json!({})));
    // A pass ends with it.
    assert_eq!(look["requests"], 151);
    let share = cell["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "conflict").unwrap();
    assert_eq!((&share["unit"], &share["workload"]), (&json!("%"), &json!("clients")));
    assert!(cell["metrics"].as_array().unwrap().iter().any(|m| m["metric"] == "gone" && m["value"]["mean"] == 0.0));
    let phases = &place.status("all/run1")["phases"][0];
    assert_eq!((&phases["passes"], &phases["errors"]), (&json!(101), &json!(0)));
    assert!(place.path("graphs/test").is_dir());
    // Passes are compared all the same.
    place.run(&["run", "test.yaml", "--no-graphs", "--quiet"]).expect(5);
    let runs = crate::support::listing(&place.path("results/test"));
    let runs: Vec<String> = runs.iter().map(|run| format!("results/test/{run}")).collect();
    let compared = place.run(&["compare", &runs[0], &runs[1]]).stdout;
    assert!(compared.contains("throughput") && compared.contains("response_p99"), "{compared}");
}

#[test]
fn values_are_drawn_and_set_up_requests_are_sent_so_many_times() {
    let server = Server::friendly();
    let place = Place::with(
        &"
experiment: test
seed: 7
factors: {documents: [20]}
set-up:
  load: [{put: 'http://127.0.0.1:SERVER/doc-${pass}', times: '${documents}', body: {text: '${letters(100)} ${pass}'}}]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    draw: {doc: {to: '${documents - 1}'}, word: {of: [one, two]}}
    load: {closed: {connections: 2}, amount: 400}
    steps: [{get: '/doc-${doc}?${word}', expect: {text: hello}}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let requests = server.requests();
    let (puts, gets): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.method == "PUT");
    let paths: Vec<String> = puts.iter().map(|r| r.path.clone()).collect();
    assert_eq!(paths, (0..20).map(|n| format!("/doc-{n}")).collect::<Vec<_>>());
    let bodies: BTreeSet<&[u8]> = puts.iter().map(|r| &r.body[..]).collect();
    assert!(bodies.len() == 20 && bodies.iter().all(|b| b.len() > 101), "each is another one");
    let asked: BTreeSet<&str> = gets.iter().map(|r| r.path.as_str()).collect();
    assert_eq!(gets.len(), 401);
    // All 40 pairs; that one of them is missing after 400 passes happens in one seed of 600.
    assert_eq!(asked.len(), 40, "{asked:?}");
}

#[test]
fn a_cell_whose_set_up_fails_is_failed_and_the_others_go_on() {
    let mut place = Place::new();
    place.write(
        "test.yaml",
        "
experiment: test
factors: {kind: [good, bad, worse]}
layout: ${kind}
repetitions: 2
set-up:
  cell:
    - when: ${kind != \"good\"}
      cache: half
      shell: echo tried >> DIR/tries; echo part > $CACHE/part; test -e DIR/registry && echo whole > $CACHE/whole
clean-up: {cell: [{shell: 'echo ${kind} >> DIR/cleaned; test ${kind} = good -o -e DIR/registry'}]}
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /, headers: {cache: '${\"-\" if kind == \"good\" else cache.half}'}}]
",
    );
    let run = |code| {
        let mut command = place.runner();
        command.args(["run", "test.yaml", "--no-graphs"]).env("RUNNER_CACHE", place.path("cache"));
        crate::support::Started::spawn(&mut command).wait().expect(code)
    };
    // What could not be made cannot be removed either; that is told at the end, and keeps no other cell from its turn.
    let outcome = run(1).complains(&["the clean-up, cell step"]);
    let said = outcome.flat();
    assert!(said.contains("FAILED 4 of 6: ") && said.contains(" kind=bad #1 #2 kind=worse #1 #2"), "{said}");
    assert!(said.contains("the set-up, cell step `sh -c"), "{said}");
    for (repetition, verdict) in
        [("good/run2", "valid"), ("bad/run1", "failed"), ("bad/run2", "failed"), ("worse/run1", "failed")]
    {
        assert_eq!(place.status(repetition)["verdict"]["is"], verdict, "{repetition}");
    }
    // What could not be installed is not tried again by the other cell, and nothing of it is kept.
    assert_eq!(place.lines("tries"), ["tried"]);
    let kept = |name: &str| crate::support::files(&place.path("cache")).iter().any(|f| f.ends_with(name));
    assert!(!kept("part") && !kept("whole"));
    let mut cleaned = place.lines("cleaned");
    cleaned.sort();
    assert_eq!(cleaned, ["bad", "good", "worse"]);
    // When the registry is back it goes on where it was.
    std::fs::write(place.path("registry"), "").unwrap();
    std::fs::rename(place.path("results"), place.path("before")).unwrap();
    run(0);
    assert!(kept("part") && kept("whole"));
    assert_eq!(place.lines("tries").len(), 2);
}

#[test]
fn what_a_server_says_of_itself_is_collected_and_must_be_there() {
    let server = Server::start(|request| match request.path.as_str() {
        "/stats" => (200, String::new(), "{\"died\": 3, \"rows\": [{\"a\": 1}]}".to_owned()),
        "/gone" => (404, String::new(), "not here".to_owned()),
        _ => (200, String::new(), "hello".to_owned()),
    });
    let text = "
experiment: test
layout: all
workloads:
  clients: {url: 'http://127.0.0.1:SERVER', load: {closed: {connections: 1}, amount: 5}, steps: [{get: /}]}
collect:
  pool:
    get: http://127.0.0.1:SERVER/PATH
    headers: {accept: application/json}
    metrics: {died: {json: /died}}
    table: {json: /rows}
"
    .replace("SERVER", &server.port.to_string());
    let place = Place::with(&text.replace("PATH", "stats"));
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    assert_eq!(place.summary()["cells"][0]["metrics"][0]["value"]["values"], json!([3.0]));
    let table = place.run_directory("test").join("cells/all/run1/collected/pool.csv");
    assert_eq!(std::fs::read_to_string(table).unwrap(), "a\n1\n");
    let asked = server.requests().into_iter().find(|r| r.path == "/stats").unwrap();
    assert_eq!(asked.header("accept"), Some("application/json"));
    let place = Place::with(&text.replace("PATH", "gone"));
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(4);
    let status = read(&place.run_directory("test").join("cells/all/run1/status.json"));
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("`pool` could not be collected: GET /gone answered 404 instead of 2xx"), "{reason}");
}
