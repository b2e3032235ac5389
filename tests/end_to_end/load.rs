//! Every way in which a load may arrive, as the server at the other end sees it; and `runner load` and `runner doctor`.
//!
//! Durations are short and bounds wide: that times are right is the business of `truth`. Where the schedule says how
//! many requests there are, that number is exact on any machine.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::server::Server;
use crate::support::{Place, connections, files};

/// A cell of a summary by its name.
#[track_caller]
pub fn cell<'a>(summary: &'a Json, name: &str) -> &'a Json {
    let cells = summary["cells"].as_array().unwrap();
    cells.iter().find(|c| c["cell"] == name).unwrap_or_else(|| panic!("no cell {name}: {summary:#}"))
}

/// A step of a workload in a phase of a cell, by their names.
#[track_caller]
pub fn part<'a>(summary: &'a Json, name: &str, workload: &str, phase: &str, step: &str) -> &'a Json {
    let steps = cell(summary, name)["steps"].as_array().unwrap();
    let found = steps.iter().find(|s| s["workload"] == workload && s["phase"] == phase && s["step"] == step);
    found.unwrap_or_else(|| panic!("no {workload} {phase} {step}: {summary:#}"))
}

/// A server that notes when each request came, and its path.
struct Watch {
    server: Server,
    seen: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Watch {
    fn start() -> Self {
        let seen: Arc<Mutex<Vec<(Instant, String)>>> = Arc::default();
        let notes = Arc::clone(&seen);
        let server = Server::start(move |request| {
            notes.lock().unwrap().push((Instant::now(), request.path.clone()));
            (200, String::new(), "hello".to_owned())
        });
        Self { server, seen }
    }

    /// Runs a workload against it; gives when each request of the load came, in milliseconds since the first of them.
    fn run(&self, load: &str, path: &str, args: &[&str]) -> (Vec<(f64, String)>, Json) {
        let place = Place::with(
            &"
experiment: test
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {LOAD}
    steps: [{get: \"GET_PATH\"}]
"
            .replace("SERVER", &self.server.port.to_string())
            .replace("LOAD", load)
            .replace("GET_PATH", path),
        );
        self.seen.lock().unwrap().clear();
        place.run(&[&["run", "test.yaml"], args].concat()).expect(0);
        let mut seen = self.seen.lock().unwrap().clone();
        // The checked pass before the load.
        seen.remove(0);
        seen.sort();
        let first = seen[0].0;
        let since = |(at, path): (Instant, String)| (at.duration_since(first).as_secs_f64() * 1e3, path);
        (seen.into_iter().map(since).collect(), place.summary())
    }
}

// ---- runner load

/// A null server for `runner load`, and its URL.
fn null(place: &mut Place) -> (crate::support::Started, String) {
    let port = place.port(1);
    let mut server = place.start(&["fixture", "null-server", "--port", &port.to_string()]);
    server.until_said("listening on ", 1);
    (server, format!("http://127.0.0.1:{port}/"))
}

fn object(stdout: &str) -> Json {
    serde_json::from_str(stdout).unwrap_or_else(|e| panic!("{e}: {stdout}"))
}

#[test]
fn a_closed_loop_by_hand() {
    let mut place = Place::new();
    let (_server, url) = null(&mut place);
    let outcome = place.run(&["load", &url, "-n", "500", "-c", "3"]).expect(0);
    for part in [url.as_str(), "closed loop on 3 connections", "requests           500", "service", "response", "generator:"] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("ERRORS") && !outcome.stdout.contains("UNSENT"), "{}", outcome.stdout);
    let result = object(&place.run(&["load", &url, "-d", "300ms", "--warm-up", "100ms", "-c", "3", "--json"]).expect(0).stdout);
    assert_eq!((&result["url"], &result["connections"]), (&json!(url), &json!(3)));
    assert_eq!((&result["generator"]["connects"], &result["interrupted"]), (&json!(3), &json!(false)));
    assert_eq!((&result["requests"], &result["errors"]), (&result["ok"], &json!({})));
    let [seconds, rate, ok] = ["seconds", "throughput_per_s", "ok"].map(|key| result[key].as_f64().unwrap());
    assert!((0.2..1.0).contains(&seconds) && (ok / seconds / rate - 1.0).abs() < 1e-6, "{result:#}");
    assert_eq!(place.run(&["load", &url, "-n", "5", "-q"]).expect(0).stdout, "");
}

#[test]
fn an_open_loop_by_hand() {
    let mut place = Place::new();
    let (_server, url) = null(&mut place);
    let outcome = place.run(&["load", &url, "-r", "1000", "-d", "500ms", "-c", "8"]).expect(0);
    assert!(outcome.stdout.contains("open loop, 1000 per second on 8 connections"), "{}", outcome.stdout);
    let run = |words: &[&str]| object(&place.run(&[&["load", &url, "--json", "-c", "8"], words].concat()).expect(0).stdout);
    let even = run(&["-r", "60000/min", "-d", "500ms"]);
    assert_eq!((&even["offered"], &even["ok"], &even["unsent"]), (&json!(500), &json!(500), &json!(0)));
    let poisson = |seed| run(&["-r", "1000", "-d", "500ms", "--poisson", "--seed", seed])["offered"].as_u64().unwrap();
    let counts = ["1", "1", "2", "3"].map(poisson);
    assert!(counts[0] == counts[1] && (counts[2] != counts[0] || counts[3] != counts[0]), "{counts:?}");
    assert!(counts.iter().all(|n| n.abs_diff(500) < 112), "within five standard deviations: {counts:?}");
}

#[test]
fn what_was_not_sent_by_hand_is_said() {
    let mut place = Place::new();
    let port = place.port(1);
    let mut server = place.start(&["fixture", "faulty", "--mode", "silent", "--port", &port.to_string()]);
    server.until_said("listening on ", 1);
    let url = format!("http://127.0.0.1:{port}/");
    let args = ["load", &url, "-c", "2", "-r", "100", "-d", "500ms", "--timeout", "2s"];
    let outcome = place.run(&args).expect(4);
    for part in ["UNSENT              48", "96.00 % of 50 arrivals", "AT THE END           2  under way: 2 open", "SILENCE "] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn requests_by_hand_are_what_was_asked_for() {
    let server = Server::start(|request| match request.method.as_str() {
        "PUT" => (201, String::new(), String::new()),
        _ => (200, String::new(), "hello".to_owned()),
    });
    let mut place = Place::new();
    place.write("body.txt", "from a file");
    let url = format!("http://127.0.0.1:{}/a?b=c", server.port);
    let run = |words: &[&str], code| place.run(&[&["load", &url, "-n", "1", "-c", "1", "--json"], words].concat()).expect(code);
    run(&["-X", "put", "--data", "text", "-H", "X-One: 1", "-H", "x-two:2", "--expect-status", "201"], 0);
    run(&["--data-file", "body.txt"], 0);
    run(&[], 0);
    let wrong = object(&run(&["--expect-status", "201,204"], 4).stdout);
    assert_eq!((&wrong["ok"], &wrong["errors"]), (&json!(0), &json!({"wrong-status": 1})));
    assert!(wrong["examples"][0].as_str().unwrap().contains("GET /a?b=c answered 200 instead of 201"), "{wrong:#}");
    let seen = server.requests();
    let lines: Vec<String> = seen.iter().map(crate::server::Request::line).collect();
    assert_eq!(lines, ["PUT /a?b=c", "POST /a?b=c", "GET /a?b=c", "GET /a?b=c"]);
    assert_eq!((seen[0].body.as_slice(), seen[1].body.as_slice()), (&b"text"[..], &b"from a file"[..]));
    assert_eq!((seen[0].header("x-one"), seen[0].header("x-two")), (Some("1"), Some("2")));
}

#[test]
fn wrong_words_by_hand_are_named() {
    let place = Place::new();
    let url = "http://127.0.0.1:1/";
    for (words, part) in [
        (&["nonsense"][..], "`nonsense` is not a URL"),
        (&["ftp://x/"], "is not a URL"),
        (&[url, "-c", "0"], "0 connections: expected at least one"),
        (&[url, "-c", "2", "-t", "3"], "at least one connection for each"),
        (&[url, "-d", "10"], "`--duration 10`: expected a duration above 0 with its unit"),
        (&[url, "-d", "0s"], "`--duration 0s`"),
        (&[url, "--warm-up", "x"], "`--warm-up x`"),
        (&[url, "--timeout", "5"], "`--timeout 5`"),
        (&[url, "-r", "fast"], "`--rate fast`: expected a rate"),
        (&[url, "-n", "0"], "`--amount 0`: expected at least 1"),
        (&[url, "-n", "1000000000001"], "`--amount 1000000000001`: expected at most 1000000000000"),
        (
            &[url, "-r", "0.00000000001"],
            "`--rate 0.00000000001`: expected a rate from 1 per day (0.042/h) to 100 000 000 per second",
        ),
        (&[url, "-r", "1000000000"], "expected a rate from 1 per day"),
        (&[url, "-r", "1/h", "-n", "10000"], "`--amount 10000`: expected a load of at most 365 days, but this one takes 417"),
        (&[url, "-d", "8761h"], "`--duration 8761h`: the longest time is 365 days"),
        (&[url, "-n", "1", "-d", "1s"], "cannot be used with"),
        (&[url, "--poisson"], "--rate"),
        (&[url, "--streams", "3"], "`--streams` needs `--http2`"),
        (&[url, "-H", "nothing"], "`--header nothing`: expected `name: value`"),
        (&[url, "--expect-status", "99"], "99"),
        (&[url, "-c", "1000000"], "needs 1000000 connections, but this machine allows"),
    ] {
        let outcome = place.run(&[&["load"], words].concat()).expect(2).complains(&["error: ", part]);
        assert!(outcome.stdout.is_empty() && outcome.took < Duration::from_secs(2), "{words:?}: {outcome:?}");
    }
}

/// As many connections as never fit, in a scenario: said before anything is started.
#[test]
fn too_many_connections_are_named_before_the_run() {
    let place = Place::with(
        "
experiment: test
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1000000}, amount: 1000000}
    steps: [{get: /}]
",
    );
    place.run_test().expect(2).complains(&["1000000 connections", "open files", "ulimit -Hn"]);
    assert!(!place.path("results").exists());
}

#[test]
fn a_server_that_is_not_there_gives_errors() {
    let mut place = Place::new();
    let port = place.port(1);
    let url = format!("http://127.0.0.1:{port}/");
    let outcome = place.run(&["load", &url, "-c", "2", "-d", "200ms"]).expect(4);
    assert!(outcome.stdout.contains("refused: connecting to 127.0.0.1"), "{}", outcome.stdout);
    // Each connection tries again every 10 ms and not as fast as it can.
    let result = object(&place.run(&["load", &url, "-c", "2", "-d", "200ms", "--json"]).expect(4).stdout);
    let refused = result["errors"]["refused"].as_u64().unwrap();
    assert!((2..=44).contains(&refused), "{result:#}");
    assert_eq!((&result["ok"], &result["requests"], &result["service_ns"]), (&json!(0), &json!(refused), &Json::Null));
    let open = object(&place.run(&["load", &url, "-c", "2", "-r", "100", "-n", "10", "--json"]).expect(4).stdout);
    assert_eq!((&open["errors"], &open["unsent"]), (&json!({"refused": 10}), &json!(0)));
}

#[test]
fn ctrl_c_prints_what_there_was() {
    for json in [true, false] {
        let mut place = Place::new();
        let (_server, url) = null(&mut place);
        let port = place.port(1);
        let json_or_not: &[&str] = if json { &["--json"] } else { &[] };
        let mut started = place.start(&[&["load", &url, "-c", "3", "-d", "60s"], json_or_not].concat());
        started.until("the load goes on", || (connections(port) == 3).then_some(()));
        std::thread::sleep(Duration::from_millis(200));
        started.signal(Signal::INT);
        let outcome = started.wait_within(Duration::from_secs(5)).expect(130);
        if json {
            let result = object(&outcome.stdout);
            assert_eq!((&result["interrupted"], &result["errors"]), (&json!(true), &json!({})));
            let seconds = result["seconds"].as_f64().unwrap();
            assert!(result["ok"].as_u64().unwrap() > 10 && (0.1..5.0).contains(&seconds), "{result:#}");
        } else {
            assert!(outcome.stdout.contains("INTERRUPTED") && outcome.stdout.contains("service"), "{}", outcome.stdout);
        }
    }
}

/// Where an amount ends is looked for in pieces: requests go on meanwhile, and whoever interrupts is heard.
#[test]
fn an_amount_that_is_far_too_large_stops_nothing() {
    let mut place = Place::new();
    let (_server, url) = null(&mut place);
    let port = place.port(1);
    let endless = ["load", &url, "-c", "4", "-r", "100000000", "-n", "300000000", "--poisson", "--json"];
    let mut started = place.start(&endless);
    started.until("the load goes on", || (connections(port) == 4).then_some(()));
    // The first of those that wait has by now waited longer than the drain.
    std::thread::sleep(Duration::from_millis(2500));
    started.signal(Signal::INT);
    let result = object(&started.wait_within(Duration::from_secs(1)).expect(130).stdout);
    let longest = |result: &Json| result["service_ns"]["max"].as_u64().unwrap();
    assert!(longest(&result) < 500_000_000, "{result:#}");
    for spacing in [&["--poisson"][..], &[]] {
        let args = ["load", &url, "-c", "4", "-r", "100000000", "-n", "50000000", "--json"];
        let outcome = place.run(&[&args, spacing].concat()).expect(0);
        let result = object(&outcome.stdout);
        let number = |key: &str| result[key].as_u64().unwrap();
        assert_eq!((number("offered"), number("requests") + number("unsent")), (50_000_000, 50_000_000), "{result:#}");
        // Half a second, the drain, and the looking.
        assert!(outcome.took < Duration::from_secs(6) && longest(&result) < 500_000_000, "{:?}: {result:#}", outcome.took);
    }
}

#[test]
fn a_load_by_hand_may_be_recorded() {
    let mut place = Place::new();
    let (_server, url) = null(&mut place);
    place.run(&["load", &url, "-d", "200ms", "-c", "2", "--record", "kept"]).expect(0);
    assert!(files(&place.path("kept")).contains(&"windows.parquet".to_owned()));
    let bytes = std::fs::read(place.path("kept/windows.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

// ---- runner doctor

#[test]
fn a_diagnosis_says_what_the_machine_can_do() {
    let place = Place::new();
    let found = object(&place.run(&["doctor", "--json", "--time", "300ms"]).expect(0).stdout);
    let host = &found["machine"]["host"];
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(host["cores"].as_u64().unwrap() >= cores && host["memory_bytes"].as_u64().unwrap() > 1 << 27, "{host}");
    let ports: Vec<u64> = found["machine"]["port_range"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap()).collect();
    assert!(ports.len() == 2 && ports[0] < ports[1] && ports[1] < 65536, "{ports:?}");
    assert!(found["machine"]["connections"].as_u64().unwrap() <= ports[1] - ports[0] + 1);
    let ceiling = |key: &str| found["ceiling"][key].as_f64().unwrap_or_else(|| panic!("{key}: {found:#}"));
    assert!(ceiling("requests_per_s") > 500.0 && ceiling("requests_per_cpu_s") >= ceiling("requests_per_s") * 0.9, "{found:#}");
    assert!((0.0..=1.05).contains(&ceiling("generator_cpu_share")));
    assert!((ceiling("offered_per_s") * 2.0 / ceiling("requests_per_s") - 1.0).abs() < 1e-6);
    assert!(ceiling("lag_p50_ns") <= ceiling("lag_p99_ns"));
    assert!(ceiling("timer_late_p50_ns") <= ceiling("timer_late_p99_ns"));
    assert!(found["warnings"].is_array());
    let watched = &found["machine"]["watched"];
    assert_eq!(watched["cpu_pressure"], json!(std::fs::read("/proc/pressure/cpu").is_ok()), "{watched}");
    assert_eq!(found["missing_programs"], json!({}));
    place.run(&["doctor", "--time", "1ms"]).expect(2).complains(&["`--time 1ms`: expected a duration of at least 100ms"]);
}

#[test]
fn a_diagnosis_names_missing_programs() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("experiments")).unwrap();
    place.write(
        "experiments/one.yaml",
        "
experiment: one
targets: {web: {command: [no-such-program], port: PORT1, needs: no-such-program}}
workloads: {clients: {url: \"http://127.0.0.1:PORT1\", load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}}
",
    );
    let outcome = place.run(&["doctor", "--time", "100ms"]).expect(0);
    for part in
        ["machine ", "limits ", "watched     steal", "ceiling ", "open loop ", "MISSING     no-such-program, needed by one"]
    {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
}

// ---- phases

#[test]
fn phases_are_counted_by_themselves_and_workloads_begin_together() {
    let place = Place::with(
        "
experiment: test
phases: {warm-up: 200ms, before: 300ms, during: 500ms, after: 250ms}
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  light: {url: \"http://127.0.0.1:PORT1\", load: {open: {rate: 200/s}}, steps: [{get: /light}]}
  heavy: {url: \"http://127.0.0.1:PORT1\", load: {open: {rate: 600/s}}, phases: during, steps: [{get: /heavy}]}
  loop: {url: \"http://127.0.0.1:PORT1\", load: {closed: {connections: 1}}, phases: [before, during], steps: [{get: /loop}]}
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    let steps = cell(&summary, "all")["steps"].as_array().unwrap();
    let mut rows: Vec<(String, u64)> = Vec::new();
    for step in steps.iter().filter(|s| s["step"] == "(pass)") {
        assert_eq!(step["errors"], json!({}));
        let name = format!("{} {}", step["workload"].as_str().unwrap(), step["phase"].as_str().unwrap());
        rows.push((name, step["requests"].as_u64().unwrap()));
    }
    rows.sort();
    let expected = ["heavy during", "light after", "light before", "light during", "light warm-up", "loop before", "loop during"];
    assert_eq!(rows.iter().map(|r| r.0.as_str()).collect::<Vec<_>>(), expected);
    let counts: Vec<u64> = rows.iter().take(5).map(|r| r.1).collect();
    assert_eq!(counts, [300, 50, 60, 100, 40]);
    assert!(rows[5].1 > 3 && rows[6].1 > 3, "{rows:?}");
    let rate = part(&summary, "all", "heavy", "during", "(pass)")["throughput_per_s"]["mean"].as_f64().unwrap();
    assert!((400.0..=615.0).contains(&rate), "{rate}");
    // Each phase begins for all at the same instant, that of the timeline.
    let status = place.status("all/run1");
    let at = |phase: &str, ms: u64| {
        let starts = status["phases"].as_array().unwrap().iter().filter(|p| p["phase"] == phase);
        for phase in starts {
            let start = phase["start_ns"].as_u64().unwrap() / 1_000_000;
            let first = status["phases"][0]["start_ns"].as_u64().unwrap() / 1_000_000;
            assert!((ms..ms + 50).contains(&(start + 1 - first)), "{phase} does not begin at {ms} ms: {status:#}");
        }
    };
    for (phase, ms) in [("warm-up", 0), ("before", 200), ("during", 500), ("after", 1000)] {
        at(phase, ms);
    }
}

// ---- closed loops

/// Gaps between the requests of each connection, in milliseconds.
fn gaps(seen: &[(f64, String)]) -> Vec<f64> {
    let paths: BTreeSet<&String> = seen.iter().map(|(_, path)| path).collect();
    let of = |path: &String| seen.iter().filter(|(_, p)| p == path).map(|(at, _)| *at).collect::<Vec<f64>>();
    paths.into_iter().flat_map(|path| of(path).windows(2).map(|w| w[1] - w[0]).collect::<Vec<f64>>()).collect()
}

#[test]
fn think_time_sets_the_rate_of_a_closed_loop() {
    let watch = Watch::start();
    let (constant, _) = watch.run("closed: {connections: 10, think: {constant: 20ms}}, duration: 1s", "/${connection}", &[]);
    // connections / (think + service); the service here is next to nothing, and the machine may be busy.
    assert!((300..=510).contains(&constant.len()), "{}", constant.len());
    let constant = gaps(&constant);
    let shortest = constant.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(shortest > 18.0, "somebody thought {shortest} ms");
    let (random, _) = watch.run("closed: {connections: 10, think: {exponential: 20ms}}, duration: 1s", "/${connection}", &[]);
    assert!((300..=620).contains(&random.len()), "{}", random.len());
    let random = gaps(&random);
    // Of an exponential distribution 39 % are below half of the mean and 5 % above three times the mean.
    let share = |above: bool, limit: f64| random.iter().filter(|g| (**g > limit) == above).count() as f64 / random.len() as f64;
    assert!((0.25..0.5).contains(&share(false, 10.0)), "{random:?}");
    assert!((0.01..0.15).contains(&share(true, 60.0)), "{random:?}");
}

#[test]
fn service_time_slows_a_closed_loop() {
    let place = Place::with(
        "
experiment: test
targets:
  web: {fixture: faulty, args: [--mode, slow, --delay-ms, 30], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 4, think: {constant: 20ms}}, duration: 1s}
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    let whole = part(&summary, "all", "clients", "during", "(pass)");
    // 4 / (20 ms + 30 ms) = 80 per second; never more.
    let ok = whole["ok"].as_u64().unwrap();
    assert!((50..=84).contains(&ok), "{ok}");
    // The think time is not part of the response time.
    assert!(whole["response_ns"]["p50"].as_u64().unwrap() < 48_000_000, "{whole}");
}

#[test]
fn connections_may_begin_one_after_another() {
    let watch = Watch::start();
    let (seen, _) =
        watch.run("closed: {connections: 5, think: {constant: 10ms}, ramp: 500ms}, duration: 800ms", "/${connection}", &[]);
    let first = |n: usize| seen.iter().find(|(_, path)| *path == format!("/{n}")).unwrap_or_else(|| panic!("{n}: {seen:?}")).0;
    let firsts = [0, 1, 2, 3, 4].map(first);
    assert_eq!(firsts[0], 0.0);
    assert!(firsts.windows(2).all(|w| (60.0..220.0).contains(&(w[1] - w[0]))), "{firsts:?}");
    assert!((380.0..700.0).contains(&firsts[4]), "{firsts:?}");
}

/// A server that answers one request, is away for a while, and comes back.
fn away(for_time: Duration) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |stream: TcpStream, with: &[u8]| {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
            if line == "\r\n" && reader.get_mut().write_all(with).is_err() {
                return;
            }
            if line == "\r\n" && with.ends_with(b"bye") {
                return;
            }
            line.clear();
        }
    };
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(listener);
        answer(stream, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbye");
        std::thread::sleep(for_time);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"));
        }
    });
    port
}

/// What was refused is an error of its own; the request after it is not late because of it.
#[test]
fn the_time_in_which_a_server_was_away_is_in_no_later_response() {
    let place = Place::with(
        &"
experiment: test
limits: {errors: 100%}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 2, think: {constant: 20ms}}, duration: 1s}
    steps: [{get: /}]
"
        .replace("SERVER", &away(Duration::from_millis(500)).to_string()),
    );
    place.run_test();
    let summary = place.summary();
    let whole = part(&summary, "all", "clients", "during", "(pass)");
    assert!(whole["errors"]["refused"].as_u64().unwrap() > 2 && whole["ok"].as_u64().unwrap() > 5, "{whole}");
    let [response, service] = ["response_ns", "service_ns"].map(|key| whole[key]["max"].as_u64().unwrap());
    assert!(response < service + 200_000_000, "{whole}");
}

// ---- open loops

/// How many requests came in each stretch of so many milliseconds.
fn by_stretch(seen: &[(f64, String)], ms: f64, stretches: usize) -> Vec<usize> {
    (0..stretches).map(|n| seen.iter().filter(|(at, _)| ((at / ms) as usize) == n).count()).collect()
}

#[test]
fn steps_of_a_rate_come_in_an_order_that_the_seed_draws() {
    let watch = Watch::start();
    let mut orders = BTreeSet::new();
    let run = |seed: &str, shuffled: bool| {
        let load = format!("open: {{steps: {{rates: [50/s, 150/s, 450/s], each: 200ms, shuffled: {shuffled}}}}}");
        let (seen, summary) = watch.run(&load, "/", &["--seed", seed]);
        assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["offered"], 130);
        let counts = by_stretch(&seen, 200.0, 3);
        // To which rate a count is nearest, on a scale of factors; a late start of a stretch moves a few.
        counts
            .into_iter()
            .map(|n| {
                if n < 18 {
                    50
                } else if n < 52 {
                    150
                } else {
                    450
                }
            })
            .collect::<Vec<u32>>()
    };
    assert_eq!(run("1", false), [50, 150, 450]);
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let order = run(seed, true);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [50, 150, 450], "seed {seed}");
        orders.insert(order);
    }
    assert!(orders.len() > 1, "always {orders:?}");
}

#[test]
fn a_rate_may_change_steadily() {
    let watch = Watch::start();
    let (seen, summary) = watch.run("open: {ramp: {from: 20/s, to: 380/s}}, duration: 1s", "/", &[]);
    assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["offered"], 200);
    // The integral of the rate over each quarter: 16.25, 38.75, 61.25, 83.75.
    for (count, expected) in by_stretch(&seen, 250.0, 4).into_iter().zip([16, 39, 61, 84]) {
        assert!(count.abs_diff(expected) <= 9, "{count} instead of {expected}: {seen:?}");
    }
}

#[test]
fn periodic_arrivals_keep_to_their_slots() {
    let watch = Watch::start();
    // The distance of each arrival from the start of its slot, and how far these are apart.
    let spread = |jitter: &str| {
        let (seen, summary) = watch.run(&format!("open: {{every: 50ms{jitter}}}, duration: 1s"), "/", &[]);
        assert_eq!(part(&summary, "all", "clients", "during", "(pass)")["requests"], 20);
        let offsets: Vec<f64> = seen.iter().enumerate().map(|(n, (at, _))| at - n as f64 * 50.0).collect();
        let (low, high) = offsets.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), o| (l.min(*o), h.max(*o)));
        high - low
    };
    let [regular, irregular] = ["", ", jitter: 40ms"].map(spread);
    assert!(regular < 15.0, "{regular} ms");
    assert!((20.0..55.0).contains(&irregular), "{irregular} ms");
}

#[test]
fn an_open_loop_may_have_an_amount() {
    let watch = Watch::start();
    let (seen, summary) = watch.run("open: {rate: 1000/s, arrivals: poisson}, amount: 300, warm-up: {amount: 30}", "/", &[]);
    assert_eq!(seen.len(), 330);
    let [offered, ok] = ["offered", "ok"].map(|key| part(&summary, "all", "clients", "during", "(pass)")[key].as_u64().unwrap());
    assert_eq!([offered, ok], [300, 300]);
    let seconds = part(&summary, "all", "clients", "during", "(pass)")["by_repetition"][0]["seconds"].as_f64().unwrap();
    // 300 gaps of 1 ms: within five standard deviations, and a busy machine.
    assert!((0.2..0.8).contains(&seconds), "{seconds} s");
}

// ---- commands

/// Runs a scenario whose one workload is this command, which stands in a YAML list.
fn command(argv: &str, rest: &str, code: i32) -> (Place, Json) {
    let place = Place::with(
        &"
experiment: test
limits: {errors: 100%}
workloads:
  tool:
    command: ARGV
    REST
"
        .replace("ARGV", argv)
        .replace("REST", rest),
    );
    place.run_test().expect(code);
    let summary = place.summary();
    (place, summary)
}

/// A metric that a command brought.
#[track_caller]
fn metric(summary: &Json, name: &str) -> f64 {
    let metrics = cell(summary, "all")["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["metric"] == name).unwrap_or_else(|| panic!("no {name}: {metrics:#?}"));
    assert_eq!((&found["workload"], &found["phase"]), (&json!("tool"), &json!("during")));
    found["value"]["mean"].as_f64().unwrap()
}

#[test]
fn a_program_may_make_the_load() {
    if std::process::Command::new("wrk").arg("--version").output().is_err() {
        println!("SKIPPED: wrk is not installed");
        return;
    }
    let place = Place::with(
        "
experiment: test
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  tool:
    command: [wrk, -t1, -c4, -d1s, \"http://127.0.0.1:PORT1/\"]
    load: {closed: {connections: 1}, amount: 2}
    metrics:
      rate: {regex: \"Requests/sec: +([0-9.]+)\", unit: 1/s}
      n: {regex: \"([0-9]+) requests in\"}
      per_cpu_s: {ratio: [n, cpu_s], unit: 1/s}
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(part(&summary, "all", "tool", "during", "command")["ok"], 2);
    let [rate, n, cpu_s, wall_s, per_cpu_s] = ["rate", "n", "cpu_s", "wall_s", "per_cpu_s"].map(|name| metric(&summary, name));
    assert!(rate > 100.0 && n > 100.0 && (1.0..3.0).contains(&wall_s), "{rate} {n} {wall_s}");
    assert!(cpu_s > 0.0 && per_cpu_s > rate * 0.8, "{cpu_s} {per_cpu_s}");
}

#[test]
fn figures_of_a_command_come_from_its_output() {
    let argv = "[sh, -c, 'echo \"figures: {\\\"all\\\": {\\\"n\\\": \"$((${pass} + 40))\"}, \\\"text\\\": \\\"1,500\\\"}\"; echo took 2.5k >&2']";
    let rest = "load: {closed: {connections: 1}, amount: 3, warm-up: {amount: 2}}
    metrics:
      n: {json: /all/n, times: 10, unit: pieces}
      text: {json: /text}
      took: {regex: 'took ([0-9.]+k)'}
      share: {ratio: [n, took]}";
    let (_place, summary) = command(argv, rest, 0);
    // Passes 0 and 1 are the warm-up: (42 + 43 + 44) / 3, times 10.
    assert_eq!(["n", "text", "took"].map(|name| metric(&summary, name)), [430.0, 1500.0, 2500.0]);
    assert!((metric(&summary, "share") - 430.0 / 2500.0).abs() < 1e-9);
    let n = cell(&summary, "all")["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "n").unwrap();
    assert_eq!(n["unit"], "pieces");
}

#[test]
fn a_command_that_ends_wrongly_is_an_error() {
    let (_place, summary) =
        command("[sh, -c, 'echo it is no use >&2; exit 3']", "load: {closed: {connections: 1}, amount: 2}", 0);
    let whole = part(&summary, "all", "tool", "during", "command");
    assert_eq!((&whole["ok"], &whole["errors"], &whole["service_ns"]), (&json!(0), &json!({"wrong-exit": 2}), &Json::Null));
    let words = cell(&summary, "all")["repetitions"]["errors"].to_string();
    assert!(words.contains("exit code 3") && words.contains("it is no use"), "{words}");
    assert_eq!(cell(&summary, "all")["metrics"], json!([]), "what failed has no figures");

    let (_place, summary) = command("[sh, -c, 'exit 3']", "exit: [0, 3]\n    load: {closed: {connections: 1}, amount: 2}", 0);
    assert_eq!(part(&summary, "all", "tool", "during", "command")["ok"], 2);

    let rest = "metrics: {n: {regex: '([0-9]+) requests'}}\n    load: {closed: {connections: 1}, amount: 2}";
    let (_place, summary) = command("[sh, -c, 'echo none at all']", rest, 0);
    let whole = part(&summary, "all", "tool", "during", "command");
    assert_eq!((&whole["ok"], &whole["errors"]), (&json!(0), &json!({"nothing-to-carry": 2})));
    let words = cell(&summary, "all")["repetitions"]["errors"].to_string();
    assert!(words.contains("the metric `n`: nothing matches"), "{words}");
}

#[test]
fn a_command_that_takes_too_long_is_killed() {
    // It does not listen, has a child that does not either, and one that has escaped.
    let argv = "[sh, -c, \"trap '' TERM; sleep 71 & setsid sleep 72 & sleep 73\"]";
    let (place, summary) = command(argv, "timeout: 300ms\n    load: {closed: {connections: 1}, amount: 2}", 0);
    let whole = part(&summary, "all", "tool", "during", "command");
    assert_eq!((&whole["ok"], &whole["errors"]), (&json!(0), &json!({"timeout": 2})));
    let words = cell(&summary, "all")["repetitions"]["errors"].to_string();
    assert!(words.contains("took longer than 300ms and was killed"), "{words}");
    let seconds = whole["by_repetition"][0]["seconds"].as_f64().unwrap();
    assert!((0.6..5.0).contains(&seconds), "{seconds} s");
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn two_commands_may_run_at_a_time() {
    let argv = "[sh, -c, 'echo begin >> DIR/order; sleep 0.2; echo end >> DIR/order']";
    let (place, summary) = command(argv, "load: {closed: {connections: 2}, amount: 6}", 0);
    assert_eq!(part(&summary, "all", "tool", "during", "command")["ok"], 6);
    let (mut now, mut most) = (0, 0);
    for line in place.lines("order") {
        now += if line == "begin" { 1 } else { -1 };
        most = most.max(now);
    }
    assert_eq!((now, most), (0, 2));
    let seconds = part(&summary, "all", "tool", "during", "command")["by_repetition"][0]["seconds"].as_f64().unwrap();
    assert!((0.55..1.15).contains(&seconds), "six times 0.2 s, two at a time, took {seconds} s");
}

/// The processor time of a child's child, compared with what the shell says of it.
#[test]
fn processor_time_of_a_command_includes_its_children() {
    let burn = "i=0; while [ $$i -lt 300000 ]; do i=$$((i + 1)); done";
    let argv = format!("[sh, -c, 'sh -c \"{}\"; times']", burn.replace("$$", "\\$"));
    let rest = "load: {closed: {connections: 1}, amount: 1}
    metrics: {child: {regex: '\\n0m([0-9.]+)s'}}";
    let (_place, summary) = command(&argv, rest, 0);
    let [child, cpu_s, wall_s] = ["child", "cpu_s", "wall_s"].map(|name| metric(&summary, name));
    assert!(child > 0.03, "the child burned {child} s");
    assert!((child - 0.02..child + 0.2).contains(&cpu_s), "{cpu_s} s instead of {child} s");
    assert!(cpu_s < wall_s + 0.02, "{cpu_s} s of processor time in {wall_s} s");
}

#[test]
fn ctrl_c_kills_a_command() {
    let place = Place::with(
        "
experiment: test
workloads:
  tool:
    command: [sh, -c, \"trap '' TERM; sleep 74 & wait\"]
    load: {closed: {connections: 1}, amount: 2}
",
    );
    let started = place.start(&["run", "test.yaml"]);
    place.process("sleep 74");
    started.signal(Signal::INT);
    started.wait_within(Duration::from_secs(15)).expect(130);
    place.assert_cleared(Duration::ZERO);
}

// ---- the search for a limit

fn find(target: &str, find: &str) -> (Json, Json) {
    let place = Place::with(
        &"
experiment: test
targets:
  web: {TARGET, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {find: {FIND}}
    steps: [{get: /}]
"
        .replace("TARGET", target)
        .replace("FIND", find),
    );
    let outcome = place.run_test().expect(0);
    assert!(outcome.stdout.to_lowercase().contains("limit"), "{}", outcome.stdout);
    let summary = place.summary();
    // Where no rate failed, the limit may be anywhere above.
    let limit = &cell(&summary, "all")["limits"][0];
    if !limit["rate_per_s"].is_null() {
        let bound = if limit["above_range"] == json!(0) { "at most " } else { "at least " };
        assert!(outcome.stdout.contains(bound) && outcome.stderr.contains(bound), "{} {}", outcome.stdout, outcome.stderr);
    }
    (limit.clone(), place.status("all/run1")["trials"].clone())
}

/// A server that needs 2 ms for each request can do 500 per second, and no more for as long as a trial lasts.
#[test]
fn the_limit_of_a_server_is_found() {
    let (limit, trials) = find(
        "fixture: queue, args: [--mean, 2ms]",
        "rate: 100..3000, while: {response_p99: \"< 200ms\", errors: \"< 1%\"}, trial: 500ms, precision: 20%",
    );
    assert_eq!((&limit["workload"], &limit["below_range"], &limit["above_range"]), (&json!("clients"), &json!(0), &json!(0)));
    let found = limit["rate_per_s"]["mean"].as_f64().unwrap();
    assert!((200.0..900.0).contains(&found), "{limit:#}");
    let trials = trials.as_array().unwrap();
    assert_eq!(limit["trials"], trials.len());
    let rates = |held: bool| {
        let of = trials.iter().filter(move |t| (t["reasons"] == json!([])) == held);
        of.map(|t| t["rate_per_s"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    assert!(rates(true).contains(&100.0) && rates(false).iter().filter(|r| **r == 3000.0).count() == 2, "{trials:#?}");
    let lowest_failed = rates(false).into_iter().filter(|r| *r > found).fold(f64::INFINITY, f64::min);
    assert!(lowest_failed / found < 1.21, "{found} held and {lowest_failed} failed");
    let reasons = limit["reasons"].to_string();
    assert!(reasons.contains("3000 per second: response_p99 < 200ms: "), "{reasons}");
}

#[test]
fn a_limit_outside_of_the_range_is_said_to_be_there() {
    let (below, trials) = find("fixture: null-server", "rate: 100..200, while: {response_p99: \"< 1us\"}, trial: 100ms");
    assert_eq!((&below["below_range"], &below["rate_per_s"], &below["trials"]), (&json!(1), &Json::Null, &json!(2)));
    assert!(trials.as_array().unwrap().iter().all(|t| t["rate_per_s"] == 100.0), "{trials:#}");
    // Where nothing is answered rightly no response time exists, and none is below a limit.
    let (below, _) = find(
        "fixture: faulty, args: [--mode, status-500, --healthy, 1]",
        "rate: 100..200, while: {response_p99: \"< 1s\"}, trial: 100ms",
    );
    assert_eq!((&below["below_range"], &below["rate_per_s"]), (&json!(1), &Json::Null));
    let (above, trials) = find("fixture: null-server", "rate: 100..200, while: {response_p99: \"< 10s\"}, trial: 100ms");
    assert_eq!((&above["above_range"], &above["rate_per_s"]["mean"]), (&json!(1), &json!(200.0)));
    assert_eq!(trials.as_array().unwrap().len(), 2, "{trials:#}");
}

// ---- limits

fn invalid(scenario: &str, part: &str) {
    let place = Place::with(scenario);
    let outcome = place.run_test().expect(4);
    let verdict = &place.status("all/run1")["verdict"];
    assert_eq!(verdict["is"], "invalid", "{verdict}");
    let reasons: Vec<&str> = verdict["reasons"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
    let reason = reasons.iter().find(|r| r.contains(part)).unwrap_or_else(|| panic!("`{part}` is in none of {reasons:?}"));
    assert!(outcome.stderr.contains(part) || outcome.stdout.contains(part), "{outcome:?}");
    let summary = place.summary();
    let repetitions = &cell(&summary, "all")["repetitions"];
    assert_eq!((&repetitions["invalid"], &repetitions["valid"]), (&json!(1), &json!(0)));
    assert_eq!(cell(&summary, "all")["steps"], json!([]), "what is invalid is not averaged");
    assert!(repetitions["reasons"].as_array().unwrap().contains(&json!([1, reason])), "{repetitions}");
}

#[test]
fn a_saturated_generator_makes_a_repetition_invalid() {
    let scenario = "
experiment: test
limits: {generator-cpu: 1%}
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 8}, duration: 300ms}
    steps: [{get: /}]
";
    invalid(scenario, "% of its thread, the limit is 1 %: give it `threads: 2` or `cpus`, or slow it by `think`");
    let place = Place::with(&scenario.replace("1%", "100%"));
    place.run_test().expect(0);
}

#[test]
fn arrivals_that_are_late_make_a_repetition_invalid() {
    let scenario = "
experiment: test
limits: {lag-p99: 100ms}
targets:
  web: {fixture: faulty, args: [--mode, slow, --delay-ms, 50], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 100/s, connections: 1}, duration: 500ms}
    steps: [{get: /}]
";
    invalid(scenario, "the schedule lag of `clients` in `during` was ");
    let place = Place::with(&scenario.replace("connections: 1", "connections: 50"));
    place.run_test().expect(0);
}
