//! What users do between their requests: pauses, groups, conditions, a mix of kinds of passes, and stages; over every driver that
//! has them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runner::record::{RunRecord, tables};
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::server::Server;
use crate::support::Place;

/// How many requests of a step had an outcome.
fn count(summary: &Json, step: &str, outcome: &str) -> u64 {
    let steps = summary["cells"][0]["steps"].as_array().unwrap();
    let found = steps.iter().find(|s| s["phase"] == "during" && s["step"] == step);
    let counted = |step: &Json| match outcome {
        "ok" | "open" => step[outcome].as_u64(),
        error => step["errors"][error].as_u64(),
    };
    found.and_then(counted).unwrap_or_default()
}

/// The highest response time of a step, in nanoseconds.
fn longest(summary: &Json, step: &str) -> f64 {
    part(summary, "all", "clients", "during", step)["response_ns"]["max"].as_f64().unwrap()
}

/// The paths that a server was asked for, with how often.
fn paths(server: &Server) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    server.requests().into_iter().for_each(|request| *counts.entry(request.path).or_default() += 1);
    counts
}

const MIX: &str = "
experiment: test
record: {requests: true}
seed: 7
limits: {generator-cpu: 100%}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    threads: 2
    HTTP
    load: {closed: {connections: 8}, amount: 400}
    draw: {wish: {from: 1, to: 4}}
    mix: {browse: 3, buy: 1, never: 0}
    steps:
      browse:
        - get: /
        - {repeat: 3, steps: [{pause: 20ms}, {name: item, get: '/items/${wish}'}]}
      buy:
        - {get: /stock, carry: {stock: {json: /stock}}}
        - {pause: {log-normal: {median: 10ms, p95: 15ms}}}
        - {when: {stock: '> 0', wish: '>= 3'}, steps: [{name: order, get: '/order?stock=${stock}'}]}
        - {name: end, get: /end}
        - {pause: {recorded: [1ms, 2ms]}}
      never: [{get: /never}]
";

/// A server whose answers say that 0 to 9 are left.
fn shop() -> Server {
    let asked = std::sync::atomic::AtomicU64::new(0);
    Server::start(move |request| {
        let body = match request.path.as_str() {
            "/stock" => format!("{{\"stock\": {}}}", asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2),
            _ => "hello".to_owned(),
        };
        (200, String::new(), body)
    })
}

/// On both paths of HTTP: kinds have their shares, each is measured by itself, and pauses are part of no time.
#[test]
fn a_mix_is_measured_kind_by_kind_and_without_its_pauses() {
    for http in ["", "http: {redirects: 1}"] {
        let server = shop();
        let place = Place::with(&MIX.replace("SERVER", &server.port.to_string()).replace("HTTP", http));
        let begun = Instant::now();
        place.run_test().expect(0);
        let took = begun.elapsed();
        let summary = place.summary();
        let ok = |step: &str| count(&summary, step, "ok");
        let (browse, buy) = (ok("(browse)"), ok("(buy)"));
        assert_eq!((ok("(pass)"), browse + buy), (400, 400));
        // Five standard deviations around 300.
        assert!(browse.abs_diff(300) < 44, "{browse}");
        assert_eq!([ok("browse/get"), ok("item"), ok("buy/get"), ok("end")], [browse, 3 * browse, buy, buy]);
        assert_eq!(count(&summary, "(never)", "ok") + count(&summary, "never/get", "ok"), 0);
        let seen = paths(&server);
        // One more of each for the checked passes, which execute each kind that occurs.
        assert_eq!((seen["/"], seen["/stock"], seen.get("/never")), (browse + 1, buy + 1, None));
        let orders = ok("order");
        assert!(orders > 0 && orders < buy * 2 / 3, "{orders} of {buy}");
        assert!(seen["/order?stock=1"].abs_diff(orders) <= 1 && !seen.contains_key("/order?stock=0"), "{seen:?}");
        // 60 ms of pauses in each of some 37 passes of a connection are in no time.
        assert!(took > Duration::from_millis(1200), "{took:?}");
        for step in ["(pass)", "(browse)", "(buy)", "item", "end"] {
            let p50 = part(&summary, "all", "clients", "during", step)["response_ns"]["p50"].as_f64().unwrap();
            assert!(p50 < 15e6, "{step}: {p50}");
        }
        assert!(longest(&summary, "(pass)") >= longest(&summary, "(buy)"));
        // Rows say the same.
        let run = RunRecord::open(&place.run_directory("test")).unwrap();
        let rows = tables::read(&run.repetitions[0].path.join("requests.parquet")).unwrap();
        let steps = rows.column("step").unwrap().str().unwrap();
        let rows_of = |name: &str| steps.iter().filter(|step| *step == Some(name)).count() as u64;
        assert_eq!([rows_of("(pass)"), rows_of("(buy)"), rows_of("item")], [400, buy, 3 * browse]);
    }
}

#[test]
fn a_step_that_is_repeated_is_not_the_pass() {
    let server = Server::friendly();
    let place = Place::with(&format!(
        "
experiment: test
record: {{requests: true}}
limits: {{generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
    load: {{open: {{rate: 200/s}}, amount: 50}}
    steps: [{{repeat: 4, steps: [{{get: /}}]}}]
",
        server.port
    ));
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!([count(&summary, "(pass)", "ok"), count(&summary, "get", "ok")], [50, 200]);
    let run = RunRecord::open(&place.run_directory("test")).unwrap();
    let rows = tables::read(&run.repetitions[0].path.join("requests.parquet")).unwrap();
    assert_eq!(rows.height(), 250);
}

#[test]
fn the_first_failure_ends_a_pass_and_its_kind() {
    // All is well in the checked passes.
    let asked = [const { std::sync::atomic::AtomicU64::new(0) }; 2];
    let server = Server::start(move |request| {
        let before = asked[usize::from(request.path == "/bad")].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match request.path.as_str() {
            "/bad" => (if before < 5 { 200 } else { 500 }, String::new(), String::new()),
            _ => (200, String::new(), format!("{{\"n\": \"{}\"}}", if before == 0 { "2" } else { "x" })),
        }
    });
    let place = Place::with(&format!(
        "
experiment: test
seed: 3
limits: {{errors: 100%, generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
    load: {{closed: {{connections: 2}}, amount: 100}}
    mix: {{bad: 1, odd: 1}}
    steps:
      bad: [{{repeat: 5, steps: [{{name: bad, get: /bad}}]}}]
      odd: [{{get: /, carry: {{n: {{json: /n}}}}}}, {{name: more, when: {{n: '> 1'}}, get: /more}}]
",
        server.port
    ));
    place.run_test();
    let summary = place.summary();
    let bad = count(&summary, "(bad)", "wrong-status");
    assert!(bad > 25 && bad < 75, "{bad}");
    assert_eq!(count(&summary, "bad", "wrong-status"), bad);
    // A value that cannot be compared ends the pass in the step that would have followed.
    assert_eq!([count(&summary, "(odd)", "nothing-to-carry"), count(&summary, "more", "nothing-to-carry")], [100 - bad; 2]);
    assert_eq!(paths(&server)["/more"], 1);
}

#[test]
fn a_kind_of_passes_is_shown_and_compared() {
    let server = Server::friendly();
    let place = Place::with(&format!(
        "
experiment: test
factors: {{share: [1, 2]}}
repetitions: 2
limits: {{generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
    load: {{closed: {{connections: 2}}, amount: 60}}
    mix: {{browse: \"${{share}}\", buy: 1, never: 0}}
    steps: {{browse: [{{get: /}}], buy: [{{name: order, get: /order}}], never: [{{get: /never}}]}}
expect:
  - {{metric: throughput, step: (never), above: 1/s}}
  - {{metric: errors, step: (pass), below: 1%}}
",
        server.port
    ));
    let shown = place.run_test().stdout;
    let kinds = shown.split("kinds of passes\n").nth(1).unwrap();
    for kind in ["browse", "buy"] {
        assert!(kinds.lines().filter(|line| line.contains(&format!(" {kind} "))).count() == 2, "{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(shown.contains("no pass of this cell was of the kind `never`"), "{shown}");
    let run = place.run_directory("test");
    let compare = |step: &str| place.run(&["compare", run.to_str().unwrap(), "--step", step]);
    for step in ["buy", "(buy)"] {
        let text = compare(step).expect(0).flat();
        assert!(text.contains("`(buy)`") && text.contains("throughput"), "{text}");
    }
    assert!(compare("order").expect(0).flat().contains("`order`"));
    compare("ordre").expect(2).complains(&["no cell has a step `ordre`", "`order`"]);
}

/// A server in trouble is not asked more often than one that answers.
#[test]
fn the_pause_at_the_end_is_made_after_a_failure() {
    let before = std::sync::atomic::AtomicU64::new(0);
    let server = Server::start(move |_| {
        let is_checked_pass = before.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        (if is_checked_pass { 200 } else { 500 }, String::new(), String::new())
    });
    let place = Place::with(&format!(
        "
experiment: test
limits: {{errors: 100%, generator-cpu: 100%, silence: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
    load: {{closed: {{connections: 2}}, duration: 1s}}
    steps: [{{get: /}}, {{pause: 100ms}}, {{pause: 200ms}}]
",
        server.port
    ));
    place.run_test();
    let asked = server.requests().len();
    assert!((7..=10).contains(&asked), "{asked} requests of two users within a second");
}

/// A user who thinks when the load ends waits for nobody.
#[test]
fn what_pauses_at_the_end_is_not_open() {
    let server = Server::friendly();
    let place = Place::with(&format!(
        "
experiment: test
limits: {{generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{}
    load: {{closed: {{connections: 20}}, duration: 2s, drain: 100ms}}
    mix: {{short: 1, long: 1}}
    steps:
      short: [{{get: /}}, {{pause: 50ms}}, {{name: second, get: /}}]
      long: [{{name: third, get: /}}, {{pause: {{recorded: [1ms, 1h]}}}}, {{name: fourth, get: /}}]
",
        server.port
    ));
    place.run_test().expect(0);
    let summary = place.summary();
    let ok = |step: &str| count(&summary, step, "ok");
    assert_eq!(count(&summary, "(pass)", "open") + count(&summary, "(long)", "open"), 0);
    // All connections end up in a long pause.
    assert_eq!(ok("third") - ok("fourth"), 20);
    assert_eq!(summary["cells"][0]["repetitions"]["valid"], json!(1), "{:#}", summary["cells"][0]["repetitions"]);
}

#[test]
fn commands_and_messages_have_the_same_behaviour() {
    let mut place = Place::new();
    place.write(
        "test.yaml",
        "
experiment: test
targets:
  redis: {command: [redis-server, --port, 'PORT1', --save, ''], port: PORT1, needs: redis-server}
workloads:
  clients:
    redis: {to: '127.0.0.1:PORT1'}
    load: {closed: {connections: 3}, amount: 60}
    draw: {n: {from: 1, to: 2}}
    mix: {write: 1, count: 1}
    steps:
      write: [{set: 'k', value: {text: v}}, {pause: 5ms}, {repeat: 2, steps: [{get: 'k'}]}]
      count: [{command: [INCR, c]}, {when: {n: 2}, name: again, command: [INCR, d]}]
",
    );
    let outcome = place.run_test();
    if outcome.stderr.contains("redis-server is not installed") {
        return;
    }
    outcome.expect(0);
    let summary = place.summary();
    let ok = |step: &str| count(&summary, step, "ok");
    assert_eq!(ok("(write)") + ok("(count)"), 60);
    assert_eq!([ok("write/get"), ok("write/set")], [2 * ok("(write)"), ok("(write)")]);
    assert!(ok("again") > 0 && ok("again") < ok("count/incr"));
}

/// Connections that come and go, and a rate that rises from and falls to 0.
#[test]
fn stages_are_followed() {
    let server = Server::friendly();
    let place = Place::with(&format!(
        "
experiment: test
window: 250ms
limits: {{generator-cpu: 100%}}
workloads:
  clients:
    url: http://127.0.0.1:{port}
    load: {{open: {{stages: [{{to: 200/s, for: 1s}}, {{rate: 0, for: 500ms}}, {{rate: 100/s, for: 500ms}}, {{to: 0, for: 1s}}]}}}}
    steps: [{{get: /}}]
  users:
    url: http://127.0.0.1:{port}
    load: {{closed: {{stages: [{{to: 4, for: 1s}}, {{connections: 4, for: 1s}}, {{to: 0, for: 1s}}], think: {{constant: 50ms}}}}}}
    steps: [{{get: /users}}]
",
        port = server.port
    ));
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["ok"], 100 + 50 + 50);
    // The number of connections is rounded up: 2.5 on average in the first and last second, four in the one between. Each sends 20
    // times a second or less, and once when it comes.
    let users = part(&summary, "all", "users", "during", "(pass)")["ok"].as_u64().unwrap();
    assert!((110..=184).contains(&users), "{users}");
}
