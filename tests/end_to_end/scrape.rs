//! Pages that are fetched while the load runs, whatever their server does with them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::http::nginx;
use crate::support::{Place, files};

/// A server under load.
const LOAD: &str = r#"
experiment: test
layout: all
repetitions: 1
limits: {errors: 100%}
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1, think: {constant: 10ms}}, duration: 2s}
    steps: [{get: /}]
"#;

/// What a server does with a request: how many there were before with this path, and when the server began.
type Answer = Box<dyn Fn(&mut TcpStream, u64, Duration) + Send + Sync>;

/// A server with some pages; returns its port.
fn pages(all: Vec<(&'static str, Answer)>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let begun = Instant::now();
    std::thread::spawn(move || {
        let all: &'static BTreeMap<&str, Answer> = Box::leak(Box::new(all.into_iter().collect()));
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            let count = counts.entry(path.clone()).or_default();
            let (nth, since) = (*count, begun.elapsed());
            *count += 1;
            std::thread::spawn(move || match all.get(path.as_str()) {
                Some(answer) => answer(&mut stream, nth, since),
                None => said(&mut stream, "404 Not Found", "text/plain", "no\n"),
            });
        }
    });
    port
}

/// Sends a whole answer; a client that has gone is none of our business.
fn said(stream: &mut TcpStream, status: &str, kind: &str, body: &str) {
    let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{kind}content-length: {}\r\n\r\n{body}", body.len());
}

fn text(make: impl Fn(u64, Duration) -> String + Send + Sync + 'static) -> Answer {
    Box::new(move |stream, nth, since| said(stream, "200 OK", "text/plain; version=0.0.4", &make(nth, since)))
}

fn status(place: &Place, name: &str) -> Json {
    let status = place.status("all/run1");
    let found = status["taps"].as_array().unwrap().iter().find(|t| t["tap"] == name).cloned();
    found.unwrap_or_else(|| panic!("no {name}: {status:#}"))["scrapes"].clone()
}

/// The value of a metric in the measured phase.
fn value(summary: &Json, of: &str, name: &str) -> Option<f64> {
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["metric"] == name && m["workload"] == of && m["phase"] == "during");
    found.map(|m| m["value"]["values"][0].as_f64().unwrap())
}

#[track_caller]
fn about(summary: &Json, of: &str, name: &str, low: f64, high: f64) {
    let found = value(summary, of, name).unwrap_or_else(|| panic!("no {name} of {of}: {:#}", summary["cells"][0]["metrics"]));
    assert!((low..=high).contains(&found), "{name} of {of} is {found}, expected {low} to {high}");
}

#[test]
fn counters_gauges_and_histograms_become_figures_over_time() {
    let app = |_: u64, since: Duration| {
        let ms = since.as_millis() as u64;
        format!(
            "# TYPE requests_total counter\nrequests_total{{code=\"200\"}} {}\nrequests_total{{code=\"500\"}} {}\n\
             # TYPE jobs gauge\njobs{{q=\"a\"}} 3\njobs{{q=\"b\"}} 4\n\
             # TYPE wait_seconds histogram\nwait_seconds_bucket{{le=\"0.1\"}} {0}\nwait_seconds_bucket{{le=\"0.2\"}} {2}\n\
             wait_seconds_bucket{{le=\"+Inf\"}} {2}\nwait_seconds_sum {3}\nwait_seconds_count {2}\nunused 1\n",
            ms / 10,
            ms / 100,
            ms / 5,
            ms as f64 / 50.0
        )
    };
    let open: Answer = Box::new(|stream, _, _| {
        let body = "# TYPE up_time_seconds gauge\n# UNIT up_time_seconds seconds\nup_time_seconds 5 # {a=\"b\"} 1\n# EOF\n";
        said(stream, "200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", body);
    });
    let stats: Answer = Box::new(|stream, _, since| {
        let body = format!("{{\"queue\": {{\"length\": 12}}, \"done\": {}}}", since.as_millis() / 10);
        said(stream, "200 OK", "application/json", &body);
    });
    let port = pages(vec![("/metrics", text(app)), ("/open", open), ("/stats", stats)]);
    let scrape = r#"
scrape:
  app:
    url: http://127.0.0.1:SERVER/metrics
    every: 100ms
    series: ['{__name__=~"un.*"}']
    metrics:
      good: {rate: 'requests_total{code=~"2.."}'}
      all: {rate: requests_total}
      failed: {increase: 'requests_total{code!="200"}'}
      failed_share: {rate: 'requests_total{code="500"}', per: requests_total, times: 100, unit: "%"}
      jobs: {mean: jobs}
      longest_queue: {max: jobs, over: max}
      wait_p50: {histogram: wait_seconds, at: p50}
      wait_p99: {histogram: wait_seconds, at: p99, times: 1000, unit: ms}
      wait_mean: {histogram: wait_seconds, at: mean}
  open: {url: "http://127.0.0.1:SERVER/open", every: 100ms, metrics: {up_time: {last: up_time_seconds}}}
  stats:
    json: http://127.0.0.1:SERVER/stats
    every: 100ms
    metrics: {queue: {mean: /queue/length}, done: {rate: /done}}
graphs:
  - {lines: good}
  - {bars: wait_p99, x: phase}
expect:
  - {metric: jobs, of: app, below: 8}
"#;
    let place = Place::with(&format!("{LOAD}window: 100ms\n{}", scrape.replace("SERVER", &port.to_string())));
    let plan = place.run(&["plan", "test.yaml"]).expect(0).stdout;
    for words in [
        "scrape app: Prometheus or OpenMetrics from http://127.0.0.1:",
        "every 100ms",
        "wait_p50: p50 of the histogram `wait_seconds` (s)",
    ] {
        assert!(plan.contains(words), "{words}: {plan}");
    }
    let outcome = place.run_test().expect(5);
    assert!(outcome.stdout.contains("INCONCLUSIVE: jobs of app"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("TAP:"), "{}", outcome.stdout);
    place.assert_cleared(crate::support::CLEARED);

    let summary = place.summary();
    about(&summary, "app", "good", 97.0, 103.0);
    about(&summary, "app", "all", 107.0, 113.0);
    about(&summary, "app", "failed", 18.0, 22.0);
    about(&summary, "app", "failed_share", 8.0, 10.2);
    about(&summary, "app", "jobs", 7.0, 7.0);
    about(&summary, "app", "longest_queue", 4.0, 4.0);
    // Half of what was observed is below 0.1, and the other half between 0.1 and 0.2.
    about(&summary, "app", "wait_p50", 0.097, 0.103);
    about(&summary, "app", "wait_p99", 190.0, 199.0);
    about(&summary, "app", "wait_mean", 0.097, 0.103);
    about(&summary, "open", "up_time", 5.0, 5.0);
    about(&summary, "stats", "queue", 12.0, 12.0);
    about(&summary, "stats", "done", 97.0, 103.0);
    let unit = |name: &str| {
        let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
        metrics.iter().find(|m| m["metric"] == name).unwrap()["unit"].as_str().unwrap().to_owned()
    };
    assert_eq!(["good", "wait_p50", "up_time", "jobs"].map(unit), ["1/s", "s", "s", ""]);

    let app = status(&place, "app");
    let asked = app["asked"].as_u64().unwrap();
    // Two seconds, a scrape at the start and at the end, and some before.
    assert!((20..=40).contains(&asked) && app["failed"] == 0, "{app}");
    // The rows of a scrape have one time, and series that nothing wants are left out.
    place.run(&["export", "csv", "results", "-o", "csv"]).expect(0);
    let taps = std::fs::read_to_string(place.path("csv/taps.csv")).unwrap();
    assert!(taps.contains("requests_total{code=") && taps.contains("unused") && !taps.contains("/queue\""), "{}", &taps[..2000]);
    assert!(files(&place.run_directory("test").join("cells/all/run1")).iter().any(|name| name.ends_with("taps/app.parquet")));
    let pictures = files(&place.path("graphs"));
    for name in ["good", "wait_p99"] {
        assert!(pictures.iter().any(|picture| picture.contains(name)), "{name}: {pictures:?}");
    }
}

#[test]
fn whatever_a_page_does_is_counted_and_said() {
    let all: Vec<(&str, Answer)> = vec![
        ("/hangs", Box::new(|_, _, _| std::thread::sleep(Duration::from_secs(20)))),
        (
            "/trickles",
            Box::new(|stream, _, _| {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n");
                while stream.write_all(b"4\r\na 1\n\r\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }),
        ),
        (
            "/huge",
            Box::new(|stream, _, _| {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 104857600\r\n\r\n");
                let piece = "a 1\n".repeat(16384);
                while stream.write_all(piece.as_bytes()).is_ok() {}
            }),
        ),
        (
            "/endless",
            Box::new(|stream, _, _| {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n");
                let piece = "a 1\n".repeat(16384);
                while stream.write_all(piece.as_bytes()).is_ok() {}
            }),
        ),
        ("/nan", text(|_, _| "queue{q=\"a\"} NaN\nqueue{q=\"b\"} +Inf\nqueue{q=\"c\"} 5\n".to_owned())),
        ("/html", Box::new(|stream, _, _| said(stream, "200 OK", "text/html", "queue 1\n"))),
        (
            "/truncated",
            Box::new(|stream, _, _| {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nqueue 1\n");
            }),
        ),
        (
            "/cut",
            Box::new(|stream, _, _| {
                let _ = write!(stream, "HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nqueue 1\nother 12");
            }),
        ),
        (
            "/binary",
            Box::new(|stream, _, _| {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nqueue \xff\xfe\n");
            }),
        ),
        // From the fourth scrape on, and in every second one.
        (
            "/late",
            text(|nth, _| if nth < 4 || nth % 2 == 1 { "other 1\n".to_owned() } else { format!("n_total {nth}\nother 1\n") }),
        ),
        ("/twice", text(|_, _| "queue{a=\"1\",b=\"2\"} 5\nqueue{b=\"2\",a=\"1\"} 9\n".to_owned())),
        // Grows by 100 and starts again in each fourth scrape.
        ("/resets", text(|nth, _| format!("# TYPE n_total counter\nn_total {}\n", 1000 + nth % 4 * 100))),
        ("/renamed", text(|_, _| "queue_length 5\n".to_owned())),
        ("/json", Box::new(|stream, _, _| said(stream, "200 OK", "application/json", "{\"a\": {\"b\": \"much\"}, \"c\": 1}"))),
        ("/no-json", Box::new(|stream, _, _| said(stream, "200 OK", "application/json", "{\"a\": 1"))),
    ];
    let port = pages(all);
    let queue = "metrics: {queue: {mean: queue}}";
    let entries = [
        ("hangs", queue),
        ("trickles", queue),
        ("huge", queue),
        ("endless", queue),
        ("nan", queue),
        ("html", queue),
        ("truncated", queue),
        ("cut", queue),
        ("binary", queue),
        ("missing", queue),
        ("late", "metrics: {n: {increase: n_total}}"),
        ("twice", queue),
        ("resets", "metrics: {n: {increase: n_total}}"),
        ("renamed", queue),
    ];
    let mut scrape = "scrape:\n".to_owned();
    for (name, rest) in entries {
        scrape += &format!("  {name}: {{url: \"http://127.0.0.1:{port}/{name}\", every: 200ms, timeout: 100ms, {rest}}}\n");
    }
    scrape += &format!(
        "  json: {{json: \"http://127.0.0.1:{port}/json\", every: 200ms, metrics: {{b: {{mean: /a/b}}, c: {{mean: /c}}, d: {{mean: /d}}}}}}\n"
    );
    scrape += &format!("  no-json: {{json: \"http://127.0.0.1:{port}/no-json\", every: 200ms, metrics: {{a: {{mean: /a}}}}}}\n");
    scrape += "  refused: {url: \"http://127.0.0.1:PORT2/metrics\", every: 200ms, metrics: {queue: {mean: queue}}}\n";
    let place = Place::with(&format!("{LOAD}{scrape}"));
    let begun = Instant::now();
    let outcome = place.run_test().expect(0);
    assert!(begun.elapsed() < Duration::from_secs(12), "nothing waits for pages that do not come: {:?}", begun.elapsed());
    let summary = place.summary();

    let failure = |name: &str| {
        let found = status(&place, name);
        assert_eq!(found["answered"], 0, "{name}: {found}");
        assert!(found["failed"].as_u64().unwrap() >= 10, "{name}: {found}");
        assert_eq!(value(&summary, name, "queue"), None, "{name}");
        found["first_failure"].as_str().unwrap().to_owned()
    };
    assert_eq!(failure("hangs"), "no whole answer within 100ms");
    assert_eq!(failure("trickles"), "no whole answer within 100ms");
    assert_eq!(failure("huge"), "the page is larger than 8.00 MiB, the `limit`");
    let endless = failure("endless");
    assert!(endless.contains("larger than") || endless.contains("within 100ms"), "{endless}");
    assert_eq!(failure("html"), "the content type is `text/html`, expected `text/plain` or `application/openmetrics-text`");
    let truncated = failure("truncated");
    assert!(truncated.starts_with("the page broke off after 8 bytes"), "{truncated}");
    assert_eq!(failure("cut"), "the page is cut off: its last line does not end");
    assert_eq!(failure("binary"), "the page is not UTF-8 at byte 6");
    assert_eq!(failure("missing"), "the status is 404, expected 200");
    let refused = failure("refused");
    assert!(refused.starts_with("cannot connect to 127.0.0.1:") && refused.contains("refused"), "{refused}");
    let found = failure("no-json");
    assert!(found.starts_with("the page is not JSON: EOF while parsing"), "{found}");

    let notes = |name: &str| status(&place, name)["notes"].to_string();
    about(&summary, "nan", "queue", 5.0, 5.0);
    assert!(notes("nan").contains("was NaN, which no figure includes") && notes("nan").contains("was inf"), "{}", notes("nan"));
    about(&summary, "twice", "queue", 5.0, 5.0);
    assert!(notes("twice").contains("is twice on the page"), "{}", notes("twice"));
    assert!(notes("renamed").contains("no page had `queue`; it has `queue_length`"), "{}", notes("renamed"));
    about(&summary, "json", "c", 1.0, 1.0);
    assert_eq!((value(&summary, "json", "b"), value(&summary, "json", "d")), (None, None));
    assert!(notes("json").contains("much") && notes("json").contains("at `/a/b` is not a number"), "{}", notes("json"));
    assert!(notes("json").contains("the page has nothing at `/d`"), "{}", notes("json"));
    // A series that appears late has started from 0, and grows on where it is missing in between.
    let asked = status(&place, "late")["asked"].as_u64().unwrap();
    let last = (asked - 1) / 2 * 2;
    about(&summary, "late", "n", last as f64 - 2.0, last as f64);
    // Each restart gives 1000, and each other scrape 100.
    let resets = status(&place, "resets");
    assert!(resets["resets"].as_u64().unwrap() >= 2, "{resets}");
    about(&summary, "resets", "n", 2400.0, 5000.0);

    // All of it is said.
    assert!(outcome.stdout.contains("TAP: `cut`: "), "{}", outcome.stdout);
    let told = summary["cells"][0]["taps"].to_string();
    for words in [
        "`hangs`: ",
        "scrapes failed: no whole answer within 100ms",
        "`resets`: counters started again",
        "`renamed`: no page had `queue`; it has `queue_length`",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn missing_scrapes_make_a_repetition_invalid_where_they_are_required() {
    let port = pages(vec![(
        "/flaky",
        Box::new(|stream: &mut TcpStream, nth, _| {
            if nth == 5 {
                return std::thread::sleep(Duration::from_secs(1));
            }
            said(stream, "200 OK", "text/plain", "queue 1\n");
        }),
    )]);
    let scrape = format!("scrape: {{flaky: {{url: \"http://127.0.0.1:{port}/flaky\", every: 200ms, required: true}}}}\n");
    let place = Place::with(&format!("{LOAD}{scrape}"));
    let outcome = place.run_test().expect(4);
    let found = status(&place, "flaky");
    assert_eq!((&found["failed"], &found["late"]), (&1.into(), &0.into()), "{found}");
    assert!(outcome.flat().contains("`flaky`: 1 of"), "{}", outcome.flat());
}

#[test]
fn a_scrape_that_would_be_late_is_skipped_and_counted() {
    let port = pages(vec![("/slow", text(|_, _| "queue 1\n".to_owned()))]);
    let scrape = format!(
        "scrape: {{slow: {{url: \"http://127.0.0.1:{port}/slow\", every: 100ms, metrics: {{queue: {{mean: queue}}}}}}}}\n"
    );
    // The runner itself stands still for a while.
    let place = Place::with(&format!("{LOAD}{scrape}").replace("duration: 2s", "duration: 4s"));
    let started = place.start(&["run", "test.yaml"]);
    place.process("null-server");
    std::thread::sleep(Duration::from_millis(1500));
    started.signal(rustix::process::Signal::STOP);
    std::thread::sleep(Duration::from_millis(700));
    started.signal(rustix::process::Signal::CONT);
    started.wait();
    let found = status(&place, "slow");
    let late = found["late"].as_u64().unwrap();
    assert!((4..=8).contains(&late), "{found}");
}

fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("-v").output().is_ok();
    if !found {
        eprintln!("SKIPPED: {program} is not installed (tests/needs.sh installs it)");
    }
    found
}

#[test]
fn nginx_tells_of_itself() {
    if !installed("nginx") {
        return;
    }
    let mut place =
        nginx("server { listen 127.0.0.1:PORT1; location / { return 200 hello; } location = /status { stub_status; } }");
    let scenario = LOAD.replace(
        "{fixture: null-server, port: PORT1}",
        "{command: [nginx, -p, DIR, -e, DIR/error.log, -c, DIR/nginx.conf], port: PORT1, stop: {signal: QUIT}}",
    );
    let scenario = scenario.replace("think: {constant: 10ms}", "think: {constant: 5ms}");
    place.write(
        "test.yaml",
        &format!(
            "{scenario}scrape: {{web: {{nginx: \"http://127.0.0.1:PORT1/status\", every: 100ms}}}}
reconcile: {{target: web, collect: {{get: \"http://127.0.0.1:PORT1/status\", regex: 'requests\\s+\\d+ \\d+ (\\d+)'}}}}\n"
        ),
    );
    place.run_test().expect(0);
    let summary = place.summary();
    let sent = place.status("all/run1")["reconciled"][0].clone();
    let rate = value(&summary, "web", "requests").unwrap();
    // Its own requests for the page are counted, too: ten a second.
    let passes = summary["cells"][0]["steps"][0]["throughput_per_s"]["median"]
        .as_f64()
        .unwrap_or_else(|| panic!("{:#}", summary["cells"][0]["steps"][0]));
    assert!((rate - passes - 10.0).abs() < 0.05 * rate, "{rate} {passes}");
    about(&summary, "web", "active", 1.5, 3.0);
    assert!(sent["others"].as_str().unwrap().contains("`scrape` fetches `web` from it"), "{sent}");
}

#[test]
fn haproxy_tells_of_itself_in_three_ways() {
    if !installed("haproxy") {
        return;
    }
    let mut place = Place::new();
    place.write(
        "haproxy.cfg",
        "
global
  stats socket DIR/haproxy.sock level operator
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
frontend web
  bind 127.0.0.1:PORT2
  default_backend app
backend app
  server one 127.0.0.1:PORT1
  server two 127.0.0.1:PORT4 check inter 100ms fall 1
frontend stats
  bind 127.0.0.1:PORT3
  stats enable
  stats uri /stats
  http-request use-service prometheus-exporter if { path /metrics }
",
    );
    let scenario = LOAD.replace(
        "workloads:",
        "  proxy: {after: web, command: [haproxy, -db, -f, DIR/haproxy.cfg], ready: {tcp: PORT2}}\nworkloads:",
    );
    let scenario = scenario.replace("url: http://127.0.0.1:PORT1", "url: http://127.0.0.1:PORT2");
    let scrape = r#"
scrape:
  csv: {haproxy: "http://127.0.0.1:PORT3/stats;csv", every: 100ms}
  socket: {haproxy: DIR/haproxy.sock, every: 100ms, metrics: {sessions_per_s: {rate: 'req_tot{proxy="web",server="FRONTEND"}'}}}
  exporter:
    url: http://127.0.0.1:PORT3/metrics
    every: 100ms
    metrics:
      frontend_requests: {rate: 'haproxy_frontend_http_requests_total{proxy="web"}'}
      ok: {rate: 'haproxy_server_http_responses_total{proxy="app",code="2xx"}'}
"#;
    place.write("test.yaml", &format!("{scenario}{scrape}"));
    place.run_test().expect(0);
    let summary = place.summary();
    let passes = summary["cells"][0]["steps"][0]["throughput_per_s"]["median"].as_f64().unwrap();
    let near = |of: &str, name: &str| about(&summary, of, name, passes * 0.93, passes * 1.07);
    near("socket", "sessions_per_s");
    near("exporter", "frontend_requests");
    // Also those for the statistics themselves: ten a second, of each kind.
    about(&summary, "csv", "requests", passes * 0.93 + 20.0, passes * 1.07 + 20.0);
    // The second server is not there.
    about(&summary, "csv", "servers_up", 1.0, 1.0);
    about(&summary, "csv", "responses_5xx", 0.0, passes);
    assert_eq!(status(&place, "exporter")["failed"], 0);
}
