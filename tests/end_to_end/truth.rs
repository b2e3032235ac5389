//! What is measured is what happened: percentiles against closed forms, and counts against the server's own.
//!
//! These are the quick versions; `benches/truth.py` compares to one per cent, which takes minutes and an idle machine.
//! Time that a busy machine takes from a server or a generator is part of the truth, but not of the formula. So a test
//! that compares times may try three times, and is wide enough for one process to wait for another's time slice: 5 ms.
//! What is counted is compared once, and exactly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::load::{cell, part};
use crate::support::{Place, Started, connections};

/// Tries until it is as it should be, three times.
#[track_caller]
fn attempt(mut once: impl FnMut() -> Result<(), String>) {
    let mut wrong = Vec::new();
    for _ in 0..3 {
        match once() {
            Ok(()) => return,
            Err(difference) => wrong.push(difference),
        }
    }
    panic!("three times: {wrong:#?}");
}

/// Compares measured quantiles, in nanoseconds, with theory; what is below 0 by theory waits for nothing.
fn differences(times: &Json, theory_ms: impl Fn(f64) -> f64, limit_ms: f64) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)] {
        let measured = times[name].as_f64().unwrap() / 1e6;
        let theory = theory_ms(quantile).max(0.0);
        if (measured - theory).abs() > limit_ms {
            wrong.push(format!("{name} is {measured:.1} ms instead of {theory:.1} ms"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

/// A server that stands still for the last fifth of each second. 1001 arrivals in two seconds meet it in 1001 different
/// phases, 1 ms apart. Two connections are far too few for the 100 arrivals of a stall, of which 98 wait in the generator.
#[test]
fn a_stall_is_measured_as_its_formula_says() {
    attempt(|| {
        let place = Place::with(
            "
experiment: test
factors: {connections: [150, 8, 2]}
targets:
  stall: {fixture: stall, args: [--period, 1s, --stall, 200ms], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 500.5/s, connections: \"${connections}\"}, duration: 2s, drain: 5s}
    steps: [{get: /}]
",
        );
        place.run_test().expect(0);
        let summary = place.summary();
        for connections in [150, 8, 2] {
            let whole = part(&summary, &format!("connections={connections}"), "clients", "during", "(pass)");
            let counts = ["offered", "requests", "ok", "unsent"].map(|key| whole[key].as_u64().unwrap());
            assert_eq!(counts, [1001, 1001, 1001, 0], "{connections} connections");
            let formula = |q| 200.0 - (1.0 - q) * 1000.0;
            differences(&whole["response_ns"], formula, 5.0).map_err(|e| format!("{connections} connections: {e}"))?;
            // What few connections cannot see of it is in the service time of the others, and only there.
            let hidden = whole["service_ns"]["p95"].as_u64().unwrap() < 50_000_000;
            assert_eq!(hidden, connections != 150, "{connections} connections: {}", whole["service_ns"]);
        }
        Ok(())
    });
}

/// One stall of a length that only this test knows. P(R > x) = (D - x)/T for a stall of D in T.
#[test]
fn a_server_that_is_stopped_is_seen_in_every_percentile() {
    attempt(|| {
        let mut place = Place::with(
            "
experiment: test
limits: {silence: 100%, open: 100%}
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 100/s, connections: 16}, duration: 12s, drain: 5s}
    steps: [{get: /}]
",
        );
        let port = place.port(1);
        let mut started = place.start(&["run", "test.yaml"]);
        started.until("the load goes on", || (connections(port) == 16).then_some(()));
        std::thread::sleep(Duration::from_millis(500));
        let server = place.process("runner-fixtures null-server");
        let stopped = Instant::now();
        server.signal(Signal::STOP);
        std::thread::sleep(Duration::from_secs(6));
        server.signal(Signal::CONT);
        let stop_ms = stopped.elapsed().as_secs_f64() * 1e3;
        started.wait().expect(0);
        let summary = place.summary();
        let whole = part(&summary, "all", "clients", "during", "(pass)");
        assert_eq!((&whole["ok"], &whole["unsent"], &whole["errors"]), (&json!(1200), &json!(0), &json!({})));
        // One per cent of the stall: arrivals are 10 ms apart, and 600 requests that waited are answered one after another.
        differences(&whole["response_ns"], |q| stop_ms - (1.0 - q) * 12_000.0, 60.0)
    });
}

/// Eight queues at half their capacity: the mean response time is twice the mean service time.
///
/// The standard error after n requests is 3.0/√n of the mean (see `experiments/truth-queue.yaml`), 2.9 % here; 15 % are
/// five of them. Evenly spaced arrivals would be 37 % too short (D/M/1), the service alone 50 %.
#[test]
fn a_queue_is_measured_as_theory_says() {
    attempt(|| {
        let numbers = 1..=8;
        let target = |n| format!("  q{n}: {{fixture: queue, args: [--mean, 2ms, --seed, \"{n}\"], port: PORT{n}}}\n");
        let workload = |n| {
            format!(
                "  c{n}: {{url: \"http://127.0.0.1:PORT{n}\", steps: [{{get: /}}],
       load: {{open: {{rate: 250/s, arrivals: poisson}}, duration: 5500ms, warm-up: {{duration: 300ms}}, drain: 5s}}}}\n"
            )
        };
        let [targets, workloads] = [numbers.clone().map(target).collect::<String>(), numbers.map(workload).collect()];
        let place = Place::with(&format!("experiment: test\ntargets:\n{targets}workloads:\n{workloads}"));
        place.run_test().expect(0);
        let summary = place.summary();
        let (mut requests, mut sum_ms) = (0.0, 0.0);
        for n in 1..=8 {
            let whole = part(&summary, "all", &format!("c{n}"), "during", "(pass)");
            assert_eq!((&whole["errors"], &whole["unsent"], &whole["requests"]), (&json!({}), &json!(0), &whole["offered"]));
            let ok = whole["ok"].as_f64().unwrap();
            requests += ok;
            sum_ms += ok * whole["response_ns"]["mean"].as_f64().unwrap() / 1e6;
        }
        // As many as a Poisson process has, within five of its standard deviations.
        assert!((requests - 11_000.0).abs() < 5.0 * 11_000.0_f64.sqrt(), "{requests}");
        let mean_ms = sum_ms / requests;
        if (mean_ms / 4.0 - 1.0).abs() < 0.15 { Ok(()) } else { Err(format!("{mean_ms} ms instead of 4 ms")) }
    });
}

/// 100 arrivals, of which two find a connection, and their answer never comes.
#[test]
fn what_was_never_sent_is_said() {
    let place = Place::with(
        "
experiment: test
limits: {errors: 100%}
targets:
  mute: {fixture: faulty, args: [--mode, silent, --healthy, 1], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    timeout: 2s
    load: {open: {rate: 100/s, connections: 2}, duration: 1s, drain: 200ms}
    steps: [{get: /}]
",
    );
    let outcome = place.run_test();
    let summary = place.summary();
    for step in ["(pass)", "get"] {
        let step = part(&summary, "all", "clients", "during", step);
        let counts = ["offered", "requests", "unsent", "ok"].map(|key| step[key].as_u64().unwrap());
        // Two were sent, and are open when the drain is over.
        assert_eq!((counts, &step["errors"], &step["open"]), ([100, 2, 98, 0], &json!({}), &json!(2)));
    }
    let phase = &place.status("all/run1")["phases"][0];
    assert_eq!(["offered", "passes", "unsent", "errors", "open"].map(|key| phase[key].as_u64().unwrap()), [100, 0, 98, 0, 2]);
    let said = outcome.stdout.to_lowercase();
    assert!(said.contains("unsent") && said.contains("98"), "{}", outcome.stdout);
}

/// A fixture of its own, which outlives runs.
struct Counting {
    started: Started,
    address: String,
}

impl Counting {
    fn start(place: &Place) -> Self {
        let mut started = place.start(&["fixture", "null-server", "--port", "0"]);
        started.until_said("listening on ", 1);
        let address = started.said()[0].trim_end().rsplit(' ').next().unwrap().to_owned();
        Self { started, address }
    }

    /// How many requests it has answered.
    fn count(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(b"GET /count HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.rsplit("\r\n\r\n").next().unwrap();
        body.trim().parse().unwrap_or_else(|_| panic!("{answer}"))
    }

    fn stop(self) {
        self.started.signal(Signal::TERM);
        self.started.wait().expect(0);
    }
}

/// Requests of all phases of a cell, the pass as a whole.
fn requests(summary: &Json, name: &str) -> u64 {
    let steps = cell(summary, name)["steps"].as_array().unwrap();
    steps.iter().filter(|s| s["step"] == "(pass)").map(|s| s["requests"].as_u64().unwrap()).sum()
}

#[test]
fn the_server_counts_as_many_requests_as_the_generator() {
    let place = Place::new();
    let server = Counting::start(&place);
    let scenario = "
experiment: test
repetitions: 1
factors: {case: [amount, time, even, poisson, crowded]}
layout: ${case}
let:
  loads:
    amount: {closed: {connections: 8}, amount: 5001, warm-up: {amount: 101}}
    time: {closed: {connections: 8}, duration: 300ms, warm-up: {duration: 100ms}}
    even: {open: {rate: 2000/s}, duration: 300ms, warm-up: {duration: 100ms}}
    poisson: {open: {rate: 2000/s, arrivals: poisson}, amount: 999, warm-up: {amount: 9}}
    crowded: {open: {rate: 200000/s, connections: 2}, duration: 200ms, drain: 100ms}
workloads:
  clients:
    url: http://ADDRESS
    threads: 2
    load: ${loads[case]}
    steps: [{get: /}]
limits: {generator-cpu: 100%, errors: 100%}
"
    .replace("ADDRESS", &server.address);
    std::fs::write(place.path("test.yaml"), scenario).unwrap();
    let mut counted = server.count();
    for case in ["amount", "time", "even", "poisson", "crowded"] {
        place.run(&["run", "test.yaml", "--out", case, "--set", &format!("case={case}")]).expect(0);
        let run = place.path(case).join("test");
        let run = run.join(&crate::support::listing(&run)[0]);
        let summary = crate::support::json(&run.join("summary.json"));
        let now = server.count();
        // One checked pass before the load.
        assert_eq!(requests(&summary, &format!("case={case}")) + 1, now - counted, "{case}");
        let during = part(&summary, &format!("case={case}"), "clients", "during", "(pass)");
        let [offered, sent, ok, unsent] = ["offered", "requests", "ok", "unsent"].map(|key| during[key].as_u64().unwrap());
        // What is sent at the very end of the drain may be open.
        let open = during["open"].as_u64().unwrap();
        assert_eq!((offered, sent), (sent + unsent, ok + open), "{case}");
        assert!(open == 0 || case == "crowded", "{case}: {open} open");
        match case {
            "amount" => assert_eq!(sent, 5001),
            "even" => assert_eq!(sent, 600),
            "poisson" => assert_eq!(sent, 999),
            "crowded" => assert!(offered == 40_000 && unsent > 0, "{offered} offered, {unsent} unsent"),
            _ => assert!(sent > 8),
        }
        counted = now;
    }
    server.stop();
}

#[test]
fn a_load_by_hand_is_counted_as_the_server_does() {
    let place = Place::new();
    let server = Counting::start(&place);
    let url = format!("http://{}/", server.address);
    for (words, expected) in
        [(&["-n", "3001"][..], Some(3001)), (&["-d", "300ms"], None), (&["-d", "300ms", "-r", "3000"], Some(900))]
    {
        let before = server.count();
        let args = [&["load", &url, "--json", "-c", "8", "-t", "2"], words].concat();
        let result: Json = serde_json::from_str(&place.run(&args).expect(0).stdout).unwrap();
        let count = server.count() - before;
        assert_eq!(
            (&result["requests"], &result["ok"], &result["errors"]),
            (&json!(count), &json!(count), &json!({})),
            "{words:?}"
        );
        assert!(expected.is_none_or(|n| n == count), "{count} instead of {expected:?}");
    }
    server.stop();
}

/// What the unruly server does with its requests, in turn, and the outcome that this is.
const WAYS: [&str; 7] = ["ok", "wrong-status", "reset", "ok", "closed", "timeout", "short-body"];

/// A server that does something else with every request, after it has read it, and counts what it did.
struct Unruly {
    port: u16,
    did: Arc<[AtomicU64; WAYS.len()]>,
}

impl Unruly {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let did: Arc<[AtomicU64; WAYS.len()]> = Arc::default();
        let (counts, number) = (Arc::clone(&did), Arc::new(AtomicU64::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (counts, number) = (Arc::clone(&counts), Arc::clone(&number));
                std::thread::spawn(move || misbehave(stream, &*counts, &number));
            }
        });
        Self { port, did }
    }

    /// How often it did what is this outcome.
    fn did(&self, outcome: &str) -> u64 {
        WAYS.iter().zip(&*self.did).filter(|(way, _)| **way == outcome).map(|(_, n)| n.load(Ordering::SeqCst)).sum()
    }
}

fn misbehave(stream: TcpStream, did: &[AtomicU64], number: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = 0;
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line)? {
                0 => return Ok(()),
                2 => break,
                _ => head += 1,
            }
        }
        assert!(head > 0);
        let turn = number.fetch_add(1, Ordering::SeqCst) as usize % WAYS.len();
        did[turn].fetch_add(1, Ordering::SeqCst);
        let socket = stream.get_mut();
        match (turn, WAYS[turn]) {
            // The connection ends after this answer, which is said: nothing is lost by it.
            (3, _) => {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")?;
                return Ok(());
            }
            (_, "ok") => socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")?,
            (_, "wrong-status") => socket.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")?,
            (_, "short-body") => {
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")?;
                return Ok(());
            }
            (_, "reset") => {
                rustix::net::sockopt::set_socket_linger(&*socket, Some(Duration::ZERO))?;
                return Ok(());
            }
            // Reads on until its client has had enough.
            (_, "timeout") => {
                while stream.read(&mut [0; 64])? > 0 {}
                return Ok(());
            }
            _ => return Ok(()),
        }
    }
}

#[test]
fn nothing_is_double_and_nothing_lost_whatever_the_server_does() {
    for load in ["closed: {connections: 8}, amount: 401", "open: {rate: 400/s, connections: 64}, duration: 1s"] {
        let server = Unruly::start();
        let place = Place::with(
            &"
experiment: test
limits: {errors: 100%}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    threads: 2
    timeout: 300ms
    load: {LOAD}
    steps: [{get: /}]
"
            .replace("SERVER", &server.port.to_string())
            .replace("LOAD", load),
        );
        place.run_test();
        let summary = place.summary();
        let whole = part(&summary, "all", "clients", "during", "(pass)");
        for outcome in ["wrong-status", "reset", "closed", "timeout", "short-body"] {
            assert_eq!(whole["errors"][outcome], server.did(outcome), "{load}: {outcome} of {}", whole["errors"]);
        }
        assert_eq!(whole["errors"].as_object().unwrap().len(), 5, "{load}: {}", whole["errors"]);
        // The checked pass, which was the first, and right.
        assert_eq!(whole["ok"].as_u64().unwrap() + 1, server.did("ok"), "{load}");
        let [offered, sent, unsent] = ["offered", "requests", "unsent"].map(|key| whole[key].as_u64().unwrap());
        let expected = if load.starts_with("closed") { 401 } else { 400 };
        assert_eq!((offered, sent, unsent), (expected, expected, 0), "{load}");
    }
}
