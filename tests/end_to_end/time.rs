//! Metrics that know time: what a load with a duration is divided by, what is open at its end, when nobody is answered, and
//! how long it lasts.

use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::support::Place;

/// Answers at once, but as its argument says: `hang N` lets request N wait for 25 s, `die S` answers nothing more after S
/// seconds, `close S` closes everything then and goes on as a process, `slow N MS` takes MS milliseconds for request N.
const SERVER: &str = r#"
import socket, sys, threading, time
port, how, arguments, begin = int(sys.argv[1]), sys.argv[2], [float(a) for a in sys.argv[3:]], time.time()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", port))
listener.listen(64)
lock, asked, all = threading.Lock(), [0], []
def over(): return time.time() - begin > arguments[0]
def serve(c):
    try:
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                some = c.recv(4096)
                if not some: return
                data += some
            with lock:
                asked[0] += 1
                n = asked[0]
            if how == "hang" and n == arguments[0]: time.sleep(25)
            if how == "slow" and n == arguments[0]: time.sleep(arguments[1] / 1000)
            if how == "die" and over(): time.sleep(60)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except OSError: pass
def close():
    time.sleep(arguments[0])
    for s in [listener, *all]:
        try: s.shutdown(socket.SHUT_RDWR)
        except OSError: pass
        s.close()
    time.sleep(60)
if how == "close": threading.Thread(target=close).start()
while True:
    try: c, _ = listener.accept()
    except OSError: break
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    all.append(c)
    threading.Thread(target=serve, args=(c,), daemon=True).start()
"#;

/// A scenario with that server.
fn place(how: &str, rest: &str) -> Place {
    let how: Vec<String> = how.split(' ').map(|word| format!("\"{word}\"")).collect();
    let mut place = Place::with(&format!(
        "experiment: test\ntargets: {{web: {{command: [python3, DIR/server.py, \"PORT1\", {}], port: PORT1}}}}\n{rest}",
        how.join(", ")
    ));
    place.write("server.py", SERVER);
    place
}

fn load(arrivals: &str) -> String {
    format!(
        "workloads: {{clients: {{url: \"http://127.0.0.1:PORT1\", timeout: 30s, load: {{{arrivals}}}, steps: [{{get: /}}]}}}}\n"
    )
}

fn passes<'s>(summary: &'s Json, phase: &str) -> &'s Json {
    let steps = summary["cells"][0]["steps"].as_array().unwrap();
    steps.iter().find(|s| s["step"] == "(pass)" && s["phase"] == phase).unwrap_or_else(|| panic!("{summary:#}"))
}

fn phase<'s>(status: &'s Json, name: &str) -> &'s Json {
    status["phases"].as_array().unwrap().iter().find(|p| p["phase"] == name).unwrap_or_else(|| panic!("{status:#}"))
}

fn throughput(summary: &Json, phase: &str) -> f64 {
    passes(summary, phase)["throughput_per_s"]["median"].as_f64().unwrap()
}

#[test]
fn a_straggler_stretches_nothing_and_is_told() {
    let place = place("hang 200", &load("closed: {connections: 4}, duration: 2s"));
    let begun = Instant::now();
    let outcome = place.run_test().expect(4);
    assert!(begun.elapsed().as_secs() < 10, "nobody waits for it: {:?}", begun.elapsed());
    let status = place.status("all/run1");
    let during = phase(&status, "during");
    assert_eq!((&during["planned_ns"], &during["open"]), (&json!(2_000_000_000_u64), &json!(1)));
    assert_eq!(during["at_end"]["open"], 1);
    let waited = during["at_end_longest_ns"].as_f64().unwrap() / 1e9;
    assert!((1.5..3.5).contains(&waited), "{waited} s");
    assert!(outcome.stdout.contains("that were open at the end of `during` held"), "{}", outcome.stdout);

    // The same where it is accepted: what was completed in two seconds, divided by them.
    let accepted = place_of_accepted();
    let outcome = accepted.run_test().expect(0);
    let (summary, status) = (accepted.summary(), accepted.status("all/run1"));
    let whole = passes(&summary, "during");
    let one = &whole["by_repetition"][0];
    assert_eq!(one["seconds"], 2.0);
    let late: u64 = phase(&status, "during")["at_end"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    let completed = throughput(&summary, "during") * 2.0;
    let ended = one["ok"].as_f64().unwrap();
    assert!(completed <= ended && completed >= ended - late as f64, "{completed} of {ended}, {late} late");
    // No percentile improves by not being answered.
    assert!(whole["response_ns"]["max"].as_f64().unwrap() > 1.5e9, "{whole}");
    assert_eq!(whole["open"], 1);
    let text = &outcome.stdout;
    assert!(text.contains("AT THE END: ") && text.contains("1 open") && outcome.flat().contains("(1 open at the end)"), "{text}");
}

fn place_of_accepted() -> Place {
    place("hang 200", &format!("limits: {{open: 100%}}\n{}", load("closed: {connections: 4}, duration: 2s")))
}

#[test]
fn a_load_of_one_url_does_not_wait_for_stragglers_either() {
    let place = place("hang 200", &load("closed: {connections: 1}, amount: 1"));
    let mut server = std::process::Command::new("python3");
    let mut place_of_port = place;
    let port = place_of_port.port(1).to_string();
    let mut server = server.arg(place_of_port.path("server.py")).args([&port, "hang", "200"]).spawn().unwrap();
    crate::support::eventually("it listens", || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok());
    let begun = Instant::now();
    let outcome = place_of_port.run(&["load", &format!("http://127.0.0.1:{port}/"), "-c", "4", "-d", "2s", "--json"]).expect(0);
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
    let found: Json = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&found["seconds"], &found["open"], &found["at_end"]["open"]), (&json!(2.0), &json!(1), &json!(1)));
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn a_server_that_stands_still_or_closes_makes_the_load_invalid_whatever_the_count() {
    for (how, connections) in [("die 1.2", 4), ("die 1.2", 64), ("close 1.2", 1)] {
        let arrivals = format!("closed: {{connections: {connections}}}, duration: 3s");
        let expect = "expect: [{metric: response_p99, below: 10s}]\nlimits: {errors: 100%, silence: 1%}\n";
        let place = place(how, &format!("{expect}{}", load(&arrivals).replace("timeout: 30s", "timeout: 800ms")));
        let outcome = place.run_test().expect(4);
        assert!(
            outcome.flat().contains("no pass of `clients` was answered as expected although passes were due"),
            "{}",
            outcome.stdout
        );
        let silence = phase(&place.status("all/run1"), "during")["silence_ns"].as_f64().unwrap() / 1e9;
        assert!((0.8..2.9).contains(&silence), "{how}: {silence} s");
    }
}

#[test]
fn nobody_thinks_beyond_the_end_and_a_phase_lasts_as_planned() {
    // Ten users who send once a second for three seconds make thirty passes.
    let scenario = |think: &str, rest: &str| {
        format!(
            "experiment: test\nlimits: {{generator-cpu: 100%}}\ntargets: {{srv: {{fixture: null-server, port: PORT1}}}}\n{rest}\
             workloads: {{clients: {{url: \"http://127.0.0.1:PORT1\", load: {{closed: {{connections: 10, think: {{constant: {think}}}}} DURATION}}, steps: [{{get: /}}]}}}}\n"
        )
    };
    for (think, expected) in [("1s", 10.0), ("1500ms", 20.0 / 3.0), ("10s", 10.0 / 3.0)] {
        let place = Place::with(&scenario(think, "").replace("DURATION", ", duration: 3s"));
        let begun = Instant::now();
        place.run_test().expect(0);
        assert!(begun.elapsed().as_secs_f64() < 6.0, "{think}: {:?}", begun.elapsed());
        let found = throughput(&place.summary(), "during");
        assert!((found - expected).abs() < 1e-6, "{think}: {found} per second");
    }
    let phases = "phases: {before: 2s, during: 2s, after: 2s}\n";
    let place = Place::with(&scenario("1s", phases).replace("DURATION", ""));
    place.run_test().expect(0);
    for name in ["before", "during", "after"] {
        let found = throughput(&place.summary(), name);
        // A pass that begins at the very border may count on either side.
        assert!((4.9..15.1).contains(&found), "{name}: {found} per second");
    }
    let all: f64 = ["before", "during", "after"].iter().map(|name| throughput(&place.summary(), name)).sum();
    assert!((29.0..=31.0).contains(&all), "{all}");
    // Of an amount the last ones do not think either.
    let place = Place::with(&scenario("20s", "").replace("DURATION", ", amount: 10"));
    let begun = Instant::now();
    place.run_test().expect(0);
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn a_rare_arrival_is_waited_for_and_targets_are_watched_meanwhile() {
    let rare = |command: &str| {
        format!(
            "experiment: test\ntargets: {{srv: {command}}}\n\
             workloads: {{clients: {{url: \"http://127.0.0.1:PORT1\", load: {{open: {{rate: 6/min}}, duration: 3s}}, steps: [{{get: /}}]}}}}\n"
        )
    };
    let place = Place::with(&rare("{fixture: null-server, port: PORT1}"));
    place.run_test().expect(0);
    let found = throughput(&place.summary(), "during");
    assert!((found - 1.0 / 3.0).abs() < 1e-9, "{found} per second");
    let status = place.status("all/run1");
    assert!(status["timings"]["load_ns"].as_f64().unwrap() >= 3e9, "{status:#}");

    let dies = "{command: [sh, -c, 'RUNNER fixture null-server --port PORT1 & sleep 1; kill $!'], port: PORT1}";
    let place = Place::with(&rare(dies));
    let outcome = place.run_test().expect(4);
    assert!(outcome.stdout.contains("FAILED 1 of 1: "), "{}", outcome.stdout);
}

#[test]
fn the_tail_of_an_amount_is_told() {
    let place = place("slow 40 900", &format!("limits: {{silence: 100%}}\n{}", load("closed: {connections: 4}, amount: 40")));
    let outcome = place.run_test().expect(0);
    let tail = phase(&place.status("all/run1"), "during")["tail_ns"].as_f64().unwrap() / 1e9;
    assert!((0.7..1.5).contains(&tail), "{tail} s");
    assert!(outcome.stdout.contains("TAIL: for the last "), "{}", outcome.stdout);
    // And it is too short to say whether it was steady.
    assert!(outcome.stdout.contains("SHORT: all loads took "), "{}", outcome.stdout);
}

#[test]
fn errors_are_what_was_asked_for_and_not_answered_rightly() {
    // Two connections and 10 ms a request carry 200 per second, half of what is asked for.
    let place = Place::with(
        "experiment: test\nrepetitions: 5\nlimits: {errors: 100%, silence: 100%, open: 100%}\n\
         targets: {web: {fixture: faulty, args: [--mode, slow, --delay-ms, 10], port: PORT1}}\n\
         workloads: {clients: {url: \"http://127.0.0.1:PORT1\", load: {open: {rate: 400/s, connections: 2}, duration: 1s, drain: 100ms}, steps: [{get: /}]}}\n\
         expect: [{metric: errors, below: 1%}, {metric: wrong, below: 1%}, {metric: unsent, above: 10%}]\n",
    );
    let outcome = place.run_test().expect(3);
    let found: Vec<String> = place.summary()["expectations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| format!("{} {}", f["expectation"].as_str().unwrap(), f["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(found, ["errors below 1% fail", "wrong below 1% pass", "unsent above 10% pass"]);
    assert!(outcome.flat().contains(" never sent") && outcome.stdout.contains("ERRORS: "), "{}", outcome.stdout);
}
