//! Requests through a SOCKS proxy, and what is known of them stage by stage.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use runner::record::rows::{Table, Value};
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::support::{Outcome, Place};

/// A proxy, a server behind it and a workload; `proxy` are arguments of the former, `server` of the latter.
fn scenario(proxy: &str, server: &str, socks: &str, more: &str) -> String {
    format!(
        "experiment: test
limits: {{errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}}
targets:
  server: {{fixture: random-data, port: PORT1, args: [{server}]}}
  proxy: {{fixture: socks, port: PORT2, args: [--log, {proxy}], ready: {{log: listening}}}}
workloads:
  downloads:
    url: http://localhost:PORT1
    socks: {{address: '127.0.0.1:PORT2'{socks}}}
{more}
"
    )
}

const FIVE: &str = "    load: {closed: {connections: 1}, amount: 5}\n    steps: [{get: /50KiB, expect: {length: 50KiB}}]\n";

fn run(scenario: &str) -> (Place, Outcome) {
    let place = Place::with(scenario);
    let outcome = place.run_test();
    (place, outcome)
}

fn during(summary: &Json) -> Json {
    part(summary, "all", "downloads", "during", "(pass)").clone()
}

/// The transfers of the only repetition.
fn transfers(place: &Place) -> Table {
    Table::open(&place.run_directory("test").join("cells/all/run1/transfers.parquet")).expect("transfers")
}

/// Everything in a column.
fn column<T>(table: &Table, column: &str, of: impl Fn(Value<'_>) -> T) -> Vec<T> {
    let pieces = (0..table.pieces()).map(|piece| table.piece(piece, &[column]).expect("a readable table"));
    pieces.flat_map(|piece| (0..piece.height()).map(|row| of(piece.value(0, row))).collect::<Vec<T>>()).collect()
}

fn numbers(table: &Table, name: &str) -> Vec<Option<f64>> {
    column(table, name, |value| if let Value::Integer(number) = value { Some(number as f64) } else { None })
}

/// Milliseconds from one instant of each transfer to another.
fn between(table: &Table, from: &str, to: &str) -> Vec<f64> {
    let both = numbers(table, from).into_iter().zip(numbers(table, to));
    both.map(|(from, to)| (to.expect("an instant") - from.expect("an instant")) / 1e6).collect()
}

fn texts(table: &Table, name: &str) -> Vec<Option<String>> {
    column(table, name, |value| if let Value::Text(text) = value { Some(text.to_owned()) } else { None })
}

/// Whether most are near to what they should be: a machine that is taken away now and then makes some late.
fn near(values: &[f64], expected: f64, within: f64) {
    let mut off: Vec<f64> = values.iter().map(|value| value - expected).collect();
    off.sort_by(f64::total_cmp);
    let median = off[off.len() / 2];
    assert!(median.abs() <= within && off[0] > -within, "{values:?}, expected {expected} to {within}");
}

/// What the proxy wrote of requests: version, user and target of each.
fn asked(place: &Place) -> Vec<(String, String, String)> {
    let log = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/logs/proxy-1.out")).expect("a log");
    let of = |line: &str, key: &str| {
        let at = line.find(&format!("{key}=")).unwrap_or_else(|| panic!("no {key} in {line}")) + key.len() + 1;
        line[at..].split_whitespace().next().unwrap_or_default().to_owned()
    };
    let requests = log.lines().filter(|line| line.starts_with("request "));
    requests.map(|line| (of(line, "version"), of(line, "user"), of(line, "target"))).collect()
}

#[test]
fn requests_go_through_the_proxy_which_resolves_names() {
    let (place, outcome) = run(&scenario("", "", "", FIVE));
    outcome.expect(0);
    let found = during(&place.summary());
    assert_eq!((&found["ok"], &found["requests"]), (&json!(5), &json!(5)));
    let asked = asked(&place);
    // The checked pass, and one connection for all five.
    assert!(asked.iter().all(|(version, user, target)| version == "5" && user == "-" && target.starts_with("localhost:")));
    assert!((2..=3).contains(&asked.len()), "{asked:?}");
    assert!(!place.run_directory("test").join("cells/all/run1/transfers.parquet").exists(), "nobody asked for stages");
}

#[test]
fn what_is_isolated_has_a_name_of_its_own() {
    for (version, isolate, names) in [("5", "pass", 5), ("4a", "pass", 5), ("5", "connection", 1), ("4a", "none", 0)] {
        let socks = format!(", version: {version}, isolate: {isolate}");
        let (place, outcome) = run(&scenario("", "", &socks, FIVE));
        outcome.expect(0);
        let asked = asked(&place);
        let mut users: Vec<&String> = asked.iter().map(|(_, user, _)| user).filter(|user| *user != "-").collect();
        let all = users.len();
        users.sort();
        users.dedup();
        assert_eq!(users.len(), all, "no name twice: {asked:?}");
        // Beside the checked pass.
        assert!(asked.iter().all(|(found, ..)| version.starts_with(found)) && users.len() >= names, "{isolate}: {asked:?}");
        assert!(names == 5 || users.len() <= 2 * names + 1, "{asked:?}");
    }
}

/// By how many milliseconds a thread that sleeps for a while wakes up late, mostly.
fn waking() -> f64 {
    let late = |_| {
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        start.elapsed().as_secs_f64() * 1e3 - 5.0
    };
    let mut late: Vec<f64> = (0..21).map(late).collect();
    late.sort_by(f64::total_cmp);
    late[10]
}

/// Known delays in each stage: 10 ms until the proxy chooses, 20 ms until it is connected, 40 ms until the first byte.
#[test]
fn stages_are_as_long_as_the_proxy_makes_them() {
    let proxy = "--delay-method, 10ms, --delay-reply, 20ms, --delay-data, 40ms";
    let more = "    stages: true\n    load: {closed: {connections: 1}, amount: 15}\n    steps: [{get: /50KiB, expect: {length: 50KiB}}]\n";
    let (place, outcome) = run(&scenario(proxy, "", ", isolate: pass", more));
    outcome.expect(0);
    let table = transfers(&place);
    assert_eq!(numbers(&table, "pass").len(), 15);
    // Half a millisecond, of which a machine that wakes nobody late needs next to nothing. The proxy is woken by its timer, and then
    // wakes the client: what that takes here belongs to neither stamp.
    let within = 0.4 + 2.0 * waking();
    near(&between(&table, "start_ns", "connect_ns"), 0.0, 0.5);
    near(&between(&table, "connect_ns", "negotiate_ns"), 10.0, within);
    near(&between(&table, "request_ns", "response_ns"), 20.0, within);
    near(&between(&table, "data_request_ns", "data_response_ns"), 40.0, within);
    let order =
        ["start", "socket", "connect", "negotiate", "request", "response", "data_request", "data_response", "perc0", "perc100"];
    for pair in order.windows(2) {
        let [from, to] = [pair[0], pair[1]].map(|name| format!("{name}_ns"));
        assert!(between(&table, &from, &to).iter().all(|ms| *ms >= 0.0), "{from} before {to}");
    }
    assert_eq!(numbers(&table, "file_bytes"), vec![Some(51_200.0); 15]);
    assert_eq!(numbers(&table, "bytes51200_ns"), numbers(&table, "perc100_ns"));
    // What the proxy said, 2 + 2 + 10 bytes, and a head are read, too.
    assert!(numbers(&table, "read_bytes").iter().all(|read| (51_250.0..51_600.0).contains(&read.unwrap())));
    let summary = place.summary();
    let metrics = summary["cells"][0]["metrics"].as_array().expect("a list");
    let stage = |name: &str| {
        let found = metrics.iter().find(|m| m["metric"] == name && m["phase"] == "during").unwrap_or_else(|| panic!("no {name}"));
        found["value"]["median"].as_f64().expect("a number")
    };
    assert!((20.0..25.0).contains(&stage("stage_response")) && (40.0..46.0).contains(&stage("stage_data_response")));
    assert!((70.0..80.0).contains(&stage("perc100")));
}

#[test]
fn tenths_of_a_body_are_there_when_a_server_that_paces_its_bytes_sends_them() {
    let more =
        "    stages: true\n    load: {closed: {connections: 1}, amount: 3}\n    steps: [{get: /1MiB, expect: {length: 1MiB}}]\n";
    let (place, outcome) = run(&scenario("", "--rate, 1MiB", "", more));
    outcome.expect(0);
    let table = transfers(&place);
    for percent in [10, 50, 100] {
        // A megabyte in a second.
        near(&between(&table, "perc0_ns", &format!("perc{percent}_ns")), 10.0 * f64::from(percent), 10.0);
    }
}

#[test]
fn an_upload_is_over_when_it_is_answered_and_the_server_says_what_it_had_when() {
    let more = "    stages: true\n    load: {closed: {connections: 1}, amount: 3}\n    steps: [{post: /, body: {random: 5MiB}, expect: {contains: '5242880'}}]\n";
    let (place, outcome) = run(&scenario("--each-way, 5ms", "", "", more));
    outcome.expect(0);
    let table = transfers(&place);
    assert_eq!(numbers(&table, "file_bytes"), vec![Some(5_242_880.0); 3]);
    assert!(numbers(&table, "written_bytes").iter().all(|written| (5_242_880.0..5_244_000.0).contains(&written.unwrap())));
    for (from, to) in [("start_ns", "perc0_ns"), ("perc0_ns", "perc50_ns"), ("perc50_ns", "perc100_ns"), ("perc100_ns", "end_ns")]
    {
        assert!(between(&table, from, to).iter().all(|ms| *ms >= 0.0), "{from} before {to}");
    }
}

/// With optimistic data the request does not wait for the proxy's answer: the first byte comes earlier by that.
#[test]
fn optimistic_data_saves_the_wait_for_the_proxy() {
    let first_byte = |optimistic: bool| {
        let socks = format!(", optimistic: {optimistic}");
        let more = "    stages: true\n    load: {closed: {connections: 1}, amount: 9}\n    steps: [{get: /50KiB, expect: {length: 50KiB}}]\n";
        let (place, outcome) = run(&scenario("--delay-reply, 30ms", "--delay, 20ms", &socks, more));
        outcome.expect(0);
        let table = transfers(&place);
        let written = between(&table, "response_ns", "data_request_ns");
        assert!(written.iter().all(|ms| (*ms < 0.0) == optimistic), "{written:?}");
        between(&table, "start_ns", "data_response_ns")
    };
    near(&first_byte(false), 50.0, 3.0);
    let optimistic = first_byte(true);
    assert!(optimistic.iter().all(|ms| *ms > 29.0), "not before the proxy has answered: {optimistic:?}");
}

#[test]
fn each_way_to_fail_has_its_words() {
    let kinds = [
        ("--how, refuse-method", "none of the ways to authenticate", "PROXY"),
        ("--how, wrong-version", "and not with", "PROXY"),
        ("--how, short-method", "after 1 bytes of saying how to authenticate", "PROXY"),
        ("--how, silent-method", "did not say how to authenticate within the time-out", "TIMEOUT"),
        ("--how, short-reply", "bytes of saying whether it is connected", "PROXY"),
        ("--how, silent-reply", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, reply, --code, 4", "the host cannot be reached (0x04)", "PROXY"),
        ("--how, reply, --code, 240", "the descriptor of the onion service cannot be found (0xf0)", "PROXY"),
        ("--how, close-after, --bytes, 1000", "broke off", "READ"),
        ("--how, reset", "", "READ"),
    ];
    for (proxy, words, error) in kinds {
        let more =
            "    stages: true\n    timeout: 300ms\n    load: {closed: {connections: 1}, amount: 2}\n    steps: [{get: /1MiB}]\n";
        // The checked pass works.
        let (place, _) = run(&scenario(&format!("--healthy, 1, {proxy}"), "", "", more));
        let table = transfers(&place);
        assert_eq!(numbers(&table, "pass").len(), 2, "{proxy}");
        for (found, said) in texts(&table, "error").into_iter().zip(texts(&table, "words")) {
            let said = said.expect("words");
            assert!(found.as_deref() == Some(error) && said.contains(words), "{proxy}: {found:?} {said}");
        }
    }
}

/// The proxy ends after each byte of what it has to say: whatever is missing, it is its fault, and told so.
#[test]
fn a_proxy_that_ends_after_each_byte() {
    for bytes in 0..14 {
        let proxy = format!("--healthy, 2, --how, close-at, --bytes, {bytes}");
        let more =
            "    stages: true\n    timeout: 2s\n    load: {closed: {connections: 1}, amount: 1}\n    steps: [{get: /50KiB}]\n";
        let (place, _) = run(&scenario(&proxy, "", ", isolate: pass", more));
        let table = transfers(&place);
        assert_eq!(texts(&table, "outcome"), [Some("proxy".to_owned())], "after {bytes} bytes");
    }
}

#[test]
fn frames_go_through_a_proxy_too() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(8).flatten() {
            std::thread::spawn(move || {
                let (mut stream, mut buffer) = (stream, [0; 64]);
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..read]);
                }
            });
        }
    });
    let scenario = format!(
        "experiment: test
targets:
  proxy: {{fixture: socks, port: PORT1, args: [--log], ready: {{log: listening}}}}
workloads:
  downloads:
    framed: {{to: 'localhost:{port}', frame: {{delimiter: \"\\n\"}}}}
    socks: {{address: '127.0.0.1:PORT1', isolate: pass}}
    load: {{closed: {{connections: 1}}, amount: 3}}
    steps: [{{send: {{text: hello}}, expect: {{text: hello}}}}]
"
    );
    let (place, outcome) = run(&scenario);
    outcome.expect(0);
    assert_eq!(during(&place.summary())["ok"], 3);
    assert!(asked(&place).len() >= 3);
}

/// A server of frames with four bytes of length: it answers each after 20 ms with so many bytes, in two halves 30 ms apart.
fn halves(length: u32) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(100).flatten() {
            std::thread::spawn(move || {
                let (mut stream, mut buffer) = (stream, [0; 64]);
                let message = [&length.to_be_bytes()[..], &vec![b'x'; length as usize]].concat();
                while let Ok(1..) = stream.read(&mut buffer) {
                    std::thread::sleep(Duration::from_millis(20));
                    let (first, second) = message.split_at(4 + length as usize / 2);
                    let _ = stream.write_all(first);
                    std::thread::sleep(Duration::from_millis(30));
                    let _ = stream.write_all(second);
                }
            });
        }
    });
    port
}

#[test]
fn frames_have_stages_too() {
    let port = halves(100_000);
    let scenario = format!(
        "experiment: test
targets:
  proxy: {{fixture: socks, port: PORT1, args: [--delay-reply, 20ms], ready: {{log: listening}}}}
workloads:
  downloads:
    framed: {{to: 'localhost:{port}', frame: {{length: 4}}}}
    socks: {{address: '127.0.0.1:PORT1', isolate: pass}}
    stages: true
    load: {{closed: {{connections: 1}}, amount: 15}}
    steps: [{{send: {{text: please}}, expect: {{length: 100000}}}}]
graphs:
  - {{bars: stage_data_response, x: workload}}
"
    );
    let (place, outcome) = run(&scenario);
    outcome.expect(0);
    let table = transfers(&place);
    assert_eq!(numbers(&table, "pass").len(), 15);
    near(&between(&table, "request_ns", "response_ns"), 20.0, 1.0);
    near(&between(&table, "data_request_ns", "data_response_ns"), 20.0, 1.0);
    // A first half that was late is nearer to the second one.
    near(&between(&table, "perc50_ns", "perc100_ns"), 30.0, 5.0);
    assert_eq!(numbers(&table, "file_bytes"), vec![Some(100_000.0); 15]);
    // 2 + 2 + 10 bytes of the proxy are read as well, and the length.
    let read = numbers(&table, "read_bytes");
    assert!(read.iter().all(|read| (100_010.0..100_040.0).contains(&read.unwrap())), "{read:?}");
    let found = place.summary()["cells"][0]["metrics"].as_array().expect("a list").clone();
    assert!(found.iter().any(|m| m["metric"] == "stage_data_response"));
}

/// What the end of the load breaks off is there as far as it came.
#[test]
fn what_is_open_at_the_end_has_a_row() {
    let more = "    stages: true
    load: {open: {rate: 2/s, connections: 4}, duration: 1s, drain: 200ms}
    steps: [{get: /1MiB, expect: {length: 1MiB}}]
";
    let (place, outcome) = run(&scenario("", "--rate, 200KiB", ", isolate: pass", more));
    outcome.expect(0);
    let table = transfers(&place);
    let outcomes: Vec<String> = texts(&table, "outcome").into_iter().flatten().collect();
    assert_eq!(outcomes, ["open", "open"]);
    assert_eq!(texts(&table, "error"), [None, None]);
    let received = numbers(&table, "body_read_bytes");
    assert!(received.iter().all(|received| (50_000.0..400_000.0).contains(&received.unwrap())), "{received:?}");
    assert_eq!(numbers(&table, "file_bytes"), vec![Some(1_048_576.0); 2]);
    let mut passes = numbers(&table, "pass");
    passes.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    assert_eq!(passes, [Some(0.0), Some(1.0)]);
    assert!(numbers(&table, "perc100_ns").iter().all(Option::is_none));
    assert!(between(&table, "data_response_ns", "end_ns").iter().all(|ms| *ms > 100.0));
    let phase = during(&place.summary());
    assert_eq!(phase["open"], 2, "{phase}");
    // No format that others read has a word for it.
    let run = place.run_directory("test");
    place
        .run(&["export", "onionperf", run.to_str().unwrap(), "-o", "exported"])
        .complains(&["2 transfers open when the load ended"]);
}
