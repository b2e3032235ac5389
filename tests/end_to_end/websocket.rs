//! Messages over a websocket: one at a time, and many under way; against servers that do it rightly, and against ones that do not.

use std::time::Duration;

use runner::record::tables;
use serde_json::{Value as Json, json};

use crate::http::{certificates, installed, nginx};
use crate::load::part;
use crate::support::{Outcome, Place};

/// A scenario with a server of ours and one typist or several; `more`: keys of the workload.
pub fn scenario(fixture: &str, args: &str, websocket: &str, more: &str) -> String {
    format!(
        "experiment: test
limits: {{errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}}
targets:
  server: {{fixture: {fixture}, port: PORT1, args: [{args}], ready: {{tcp: PORT1}}}}
workloads:
  typists:
    websocket: {{url: 'ws://127.0.0.1:PORT1/keys/'{websocket}}}
{more}
"
    )
}

/// One message at a time.
fn in_turn(fixture: &str, args: &str, more: &str) -> String {
    scenario(fixture, args, "", &format!("    load: {{closed: {{connections: 1}}, amount: 12}}\n    timeout: 1s\n{more}"))
}

const KEY: &str = r#"    steps: [{send: {text: '{"id": ${pass}, "key": "a"}'}, expect: {contains: '"id": ${pass}'}}]"#;
/// As the terminal writes it.
const TERSE: &str = r#"    steps: [{send: {text: '{"id": ${pass}, "key": "a"}'}, expect: {text: '{"id":${pass},"key":"a"}'}}]"#;

/// Many under way, on one connection at 100 per second.
fn matched(fixture: &str, args: &str, seconds: f64, more: &str) -> String {
    let load =
        format!("    load: {{open: {{per: connection, rate: 100/s, connections: 1}}, duration: {seconds}s, drain: 500ms}}");
    scenario(fixture, args, ", match: {json: /id}", &format!("{load}\n    timeout: 1s\n{more}"))
}

pub fn during(summary: &Json, workload: &str) -> Json {
    part(summary, "all", workload, "during", "(pass)").clone()
}

/// A metric that the workload brings.
pub fn brought(summary: &Json, metric: &str) -> f64 {
    let metrics = summary["cells"][0]["metrics"].as_array().expect("a list");
    let found = metrics.iter().find(|m| m["metric"] == metric && m["phase"] == "during");
    found.unwrap_or_else(|| panic!("no {metric} in {metrics:#?}"))["value"]["median"].as_f64().expect("a number")
}

fn run(scenario: &str) -> (Place, Outcome) {
    let place = Place::with(scenario);
    let outcome = place.run_test();
    (place, outcome)
}

#[test]
fn messages_and_answers_follow_each_other() {
    let steps = r#"    draw: {letter: {of: [a, b, c]}}
    steps:
      - {send: {text: '{"id": ${pass}, "key": "${letter}"}'}, expect: {contains: '"key":"${letter}"'}, carry: {echoed: {json: /id}}}
      - {name: again, send: {text: '{"id": ${echoed}, "key": "x"}'}, expect: {text: '{"id":${echoed},"key":"x"}'}}
      - {name: bytes, send: {random: 300B}, expect: {length: 300B}}"#;
    let more = format!("    load: {{closed: {{connections: 3}}, amount: 90}}\n{steps}");
    let (place, outcome) = run(&scenario("terminal", "", "", &more));
    outcome.expect(0);
    let summary = place.summary();
    for step in ["send", "again", "bytes", "(pass)"] {
        let found = part(&summary, "all", "typists", "during", step);
        assert_eq!((&found["ok"], &found["errors"]), (&json!(90), &json!({})), "{step}");
    }
    assert_eq!(place.status("all/run1")["generator"]["connects"], 3);
}

#[test]
fn a_connection_for_each_pass_is_one() {
    let more = format!("    load: {{closed: {{connections: 2}}, amount: 30}}\n{TERSE}");
    let (place, outcome) = run(&scenario("terminal", "", ", keep-alive: false", &more));
    outcome.expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 30);
    assert_eq!(place.status("all/run1")["generator"]["connects"], 30);
    assert!(during(&place.summary(), "typists")["connect_ns"]["p50"].as_f64().unwrap() > 10_000.0);
}

#[test]
fn an_open_loop_over_connections_that_wait_hands_messages_to_those_that_are_free() {
    let more = format!("    load: {{open: {{rate: 200/s, connections: 8}}, duration: 1s}}\n{TERSE}");
    let (place, outcome) = run(&scenario("terminal", "--work, 30ms", "", &more));
    outcome.expect(0);
    let found = during(&place.summary(), "typists");
    assert_eq!((&found["requests"], &found["ok"], &found["unsent"]), (&json!(200), &json!(200), &json!(0)));
    assert!(found["service_ns"]["p50"].as_f64().unwrap() >= 30e6);
}

/// With one key in 20 ms and 30 ms of work for each, message k waits for k times 10 ms: the last of 1000 takes 10 s. The server is
/// done with one in 30 ms, so that the wait grows by 10 ms in that time: by a third of a second per second.
#[test]
fn a_strict_server_falls_behind_as_arithmetic_has_it() {
    let load = "    load: {open: {per: connection, rate: 50/s, connections: 1}, duration: 20s, drain: 15s}";
    let more = format!("{load}\n{TERSE}\nrecord: {{requests: true}}");
    let place = Place::with(&scenario("terminal", "--work, 30ms", ", match: {json: /id}", &more));
    place.start(&["run", "test.yaml"]).wait_within(Duration::from_secs(90)).expect(0);
    let summary = place.summary();
    let found = during(&summary, "typists");
    assert_eq!((&found["requests"], &found["ok"]), (&json!(1000), &json!(1000)));
    // Nobody was waited for: each left when it was due.
    assert!(found["lag_ns"]["p99"].as_f64().unwrap() < 20e6, "{}", found["lag_ns"]);
    let near = |what: &str, found: f64, expected: f64| {
        let ratio = found / expected;
        println!("{what}: {found} is {ratio} of {expected}");
        assert!((0.98..1.02).contains(&ratio), "{what}: {found} is {ratio} of {expected}");
    };
    let expected = |k: f64| 30e6 + (k - 1.0) * 10e6;
    near("p50", found["response_ns"]["p50"].as_f64().unwrap(), expected(500.0));
    near("max", found["response_ns"]["max"].as_f64().unwrap(), expected(1000.0));
    let rows = tables::read(&place.run_directory("test").join("cells/all/run1/requests.parquet")).unwrap();
    let column = |name: &str| rows.column(name).unwrap().u64().unwrap();
    let waits: Vec<(f64, f64)> = (column("intended_ns").iter().zip(column("completed_ns").iter()))
        .filter_map(|(intended, completed)| Some((completed? as f64, (completed? - intended?) as f64)))
        .collect();
    assert!(waits.len() >= 1000);
    near("growth", slope(&waits), 1.0 / 3.0);
    assert_eq!((brought(&summary, "out_of_order"), brought(&summary, "lost")), (0.0, 0.0));
    assert!(brought(&summary, "handshake_p50") > 10_000.0);
}

/// By how much the second grows with the first: least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (together, alone) = points
        .iter()
        .fold((0.0, 0.0), |(together, alone), point| (together + (point.0 - x) * (point.1 - y), alone + (point.0 - x).powi(2)));
    together / alone
}

#[test]
fn a_server_that_takes_them_at_once_is_as_fast_as_its_work_and_reorders() {
    let load = "    load: {open: {per: connection, rate: 50/s, connections: 4, arrivals: typed}, duration: 3s, drain: 2s}";
    let server = "--work, 30ms, --jitter, 30ms, --order, slight";
    let (place, outcome) = run(&scenario("terminal", server, ", match: {json: /id}", &format!("{load}\n{TERSE}")));
    outcome.expect(0);
    let summary = place.summary();
    let found = during(&summary, "typists");
    assert_eq!(found["errors"], json!({}));
    assert!((30e6..90e6).contains(&found["response_ns"]["p50"].as_f64().unwrap()), "{}", found["response_ns"]);
    let out_of_order = brought(&summary, "out_of_order");
    assert!((1.0..70.0).contains(&out_of_order), "{out_of_order}");
}

/// Keys come every 20 ms, and each takes 30 ms and up to 30 ms more, evenly: one comes behind the next where its own part of that
/// is larger by 20 ms, so for (1/3)²/2 = 1/18 of all.
#[test]
fn as_many_answers_are_out_of_order_as_arithmetic_has_it() {
    let load = "    load: {open: {per: connection, rate: 50/s, connections: 10}, duration: 4s, drain: 2s}";
    let server = "--work, 30ms, --jitter, 30ms, --order, slight";
    let (place, outcome) = run(&scenario("terminal", server, ", match: {json: /id}", &format!("{load}\n{TERSE}")));
    outcome.expect(0);
    let found = brought(&place.summary(), "out_of_order");
    // Of 2000 the standard error is 0.5 %; a machine that is late now and then makes a few more.
    assert!((3.5..8.0).contains(&found), "{found} %, expected 5.6 %");
}

#[test]
fn a_text_is_typed_key_by_key_on_each_connection() {
    // What is echoed is what was sent, quotes and all.
    let steps =
        "    steps: [{send: {json: {id: '${pass}', key: '${key}'}}, expect: {text: '{\"id\":\"${pass}\",\"key\":\"${key}\"}'}}]";
    let load = "    load: {open: {per: connection, rate: 200/s, connections: 3}, amount: 30, drain: 2s}";
    let (place, outcome) =
        run(&scenario("websocket-echo", "", ", match: {json: /id}, text: 'abü '", &format!("{load}\n{steps}")));
    outcome.expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 90);
}

#[test]
fn answers_without_a_key_are_matched_by_their_order() {
    let load = "    load: {open: {per: connection, rate: 100/s, connections: 2}, duration: 1s, drain: 2s}";
    let steps = "    steps: [{send: {random: 40B}, expect: {length: 40B}}]";
    let (place, outcome) = run(&scenario("websocket-echo", "", ", match: order", &format!("{load}\n{steps}")));
    outcome.expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 200);
}

#[test]
fn all_connections_may_share_a_schedule() {
    let load = "    load: {open: {rate: 400/s, connections: 4, arrivals: poisson}, duration: 1s, drain: 2s}\n    threads: 2";
    let (place, outcome) = run(&scenario(
        "terminal",
        "--work, 20ms, --order, slight",
        ", match: {regex: '\"id\": ?([0-9]+)'}",
        &format!("{load}\n{TERSE}"),
    ));
    outcome.expect(0);
    let found = during(&place.summary(), "typists");
    let requests = found["requests"].as_u64().unwrap();
    assert!((300..500).contains(&requests) && found["ok"] == requests, "{found}");
}

/// What each way of failing is called, where one message is under way and where many are. A server does nothing wrong with the
/// first message, or the first connection: that is the checked pass.
#[test]
fn faults_have_words() {
    let cases = [
        ("http-only", "wrong-status", "answered the handshake with 200 instead of 101"),
        ("forbidden", "wrong-status", "answered the handshake with 403 instead of 101"),
        ("silent", "timeout", "did not answer the handshake within the time-out"),
        ("wrong-accept", "garbage", "a wrong `Sec-WebSocket-Accept`"),
        ("close-mid-message", "short-body", "closed the connection in the middle of a message"),
        ("huge-frame", "garbage", "sends a message of 1073741824 bytes, but at most 16777216 are accepted"),
        ("half-utf8", "garbage", "broke the rules of websockets (RFC 6455): invalid utf-8"),
        ("masked", "garbage", "unexpected masked frame"),
        ("garbage", "garbage", "broke the rules of websockets (RFC 6455)"),
        ("reset", "reset", "reset"),
        ("bad-fragment", "garbage", "broke the rules of websockets (RFC 6455): invalid opcode"),
        ("reserved-bits", "garbage", "broke the rules of websockets (RFC 6455): invalid extension"),
        ("unknown-opcode", "garbage", "broke the rules of websockets (RFC 6455): invalid opcode"),
        ("long-control", "garbage", "broke the rules of websockets (RFC 6455): invalid payload length"),
        ("no-upgrade", "garbage", "answered the handshake with 101 without `Upgrade: websocket`"),
        ("no-connection", "garbage", "answered the handshake with 101 without `Connection: Upgrade`"),
        ("slow-handshake", "timeout", "did not answer the handshake within the time-out"),
        ("short-close", "garbage", "broke the rules of websockets (RFC 6455): invalid payload length"),
        ("bad-close-code", "garbage", "broke the rules of websockets (RFC 6455): invalid close code"),
        ("reserved-close-code", "garbage", "broke the rules of websockets (RFC 6455): invalid close code"),
        ("half-utf8-close", "garbage", "broke the rules of websockets (RFC 6455): invalid utf-8"),
        ("fragmented-control", "garbage", "broke the rules of websockets (RFC 6455): fragmented control frame"),
        ("interleaved", "garbage", "broke the rules of websockets (RFC 6455): invalid opcode"),
        ("top-bit-length", "garbage", "sends a message of 9223372036854775"),
        ("long-length", "garbage", "broke the rules of websockets (RFC 6455): invalid payload length"),
        ("half-utf8-fragments", "garbage", "broke the rules of websockets (RFC 6455): invalid utf-8"),
    ];
    for (how, outcome, words) in cases {
        let args = format!("--how, {how}, --healthy, '1'");
        // Connecting has a second.
        let patient = matched("faulty-websocket", &args, 0.3, KEY).replace("drain: 500ms", "drain: 1500ms");
        for scenario in [in_turn("faulty-websocket", &args, KEY), patient] {
            let (place, ended) = run(&scenario);
            let found = during(&place.summary(), "typists");
            let errors = found["errors"].as_object().unwrap();
            assert!(errors.get(outcome).is_some_and(|n| n.as_u64() > Some(0)), "{how}: {found}\n{}", ended.stderr);
            assert_eq!(found["ok"], 0, "{how}: {found}");
            let status = place.status("all/run1").to_string();
            assert!(status.contains(words), "{how}: {words} is not in {status}");
        }
    }
}

#[test]
fn a_server_that_closes_says_why_and_is_connected_to_again() {
    let (place, _) = run(&matched("faulty-websocket", "--how, close-code", 0.5, KEY));
    let status = place.status("all/run1");
    assert!(status.to_string().contains("closed the connection with code 1011 ("), "{status}");
    assert!(status["generator"]["connects"].as_u64().unwrap() >= 10, "{status}");
    assert!(during(&place.summary(), "typists")["ok"].as_u64().unwrap() >= 30);
    // Between two passes nothing is lost by it.
    let (place, outcome) = run(&in_turn("faulty-websocket", "--how, close-code", KEY));
    outcome.expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 12);
    // Whether it connects once more behind the last pass depends on who is first to know.
    let connects = place.status("all/run1")["generator"]["connects"].as_u64().unwrap();
    assert!((4..=5).contains(&connects), "{connects}");
}

/// Fragments with a ping between them, fragments that are cut inside a character, a pong that answers nothing, and an answer to the
/// handshake that takes a while.
#[test]
fn what_is_unusual_and_allowed_is_no_fault() {
    // A character of three bytes.
    let steps = KEY.replace("\"a\"", "\"€\"").replace("expect: {contains: '\"id\": ${pass}'}", "expect: {contains: '€'}");
    assert_eq!(steps.matches('€').count(), 2);
    for how in ["fragments", "split-character", "stray-pong", "slow-handshake, --delay, 300ms"] {
        let args = format!("--how, {how}");
        for scenario in [in_turn("faulty-websocket", &args, &steps), matched("faulty-websocket", &args, 0.3, &steps)] {
            let (place, ended) = run(&scenario);
            ended.expect(0);
            let found = during(&place.summary(), "typists");
            assert_eq!((&found["errors"], &found["ok"]), (&json!({}), &found["requests"]), "{how}");
            if how.contains("300ms") {
                assert!(brought(&place.summary(), "handshake_p50") >= 300e6);
            }
        }
    }
}

/// Where a length takes one byte more, and one byte less.
#[test]
fn payloads_of_all_lengths_come_back() {
    let steps = ["125B", "126B", "65535B", "65536B"]
        .map(|length| format!("{{send: {{random: {length}}}, expect: {{length: {length}}}}}"));
    let (place, outcome) = run(&in_turn("websocket-echo", "", &format!("    steps: [{}]", steps.join(", "))));
    outcome.expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 12);
    for step in steps {
        let load = "    load: {open: {per: connection, rate: 100/s, connections: 1}, amount: 10, drain: 2s}";
        let (place, outcome) = run(&scenario("websocket-echo", "", ", match: order", &format!("{load}\n    steps: [{step}]")));
        outcome.expect(0);
        assert_eq!(during(&place.summary(), "typists")["ok"], 10, "{step}");
    }
}

#[test]
fn answers_that_come_twice_or_never_or_unasked_or_late_are_told_apart() {
    let of = |how: &str| {
        let (place, _) = run(&matched("faulty-websocket", &format!("--how, {how}, --healthy, '1'"), 1.0, KEY));
        (during(&place.summary(), "typists"), place.summary())
    };
    let (found, summary) = of("duplicate");
    assert_eq!((found["ok"].as_u64(), brought(&summary, "duplicates")), (Some(100), 100.0));
    let (found, summary) = of("lose");
    assert_eq!((found["ok"].as_u64(), &found["errors"], brought(&summary, "lost")), (Some(90), &json!({"lost": 10}), 10.0));
    // What was never answered had waited to the end of the drain: it is in the percentiles.
    assert!(found["response_ns"]["max"].as_f64().unwrap() > 500e6, "{}", found["response_ns"]);
    let (found, summary) = of("reorder");
    assert_eq!((found["ok"].as_u64(), brought(&summary, "out_of_order")), (Some(100), 50.0));
    let (found, summary) = of("wrong-key");
    assert_eq!((found["ok"].as_u64(), brought(&summary, "unexpected")), (Some(0), 100.0));
    assert_eq!(found["errors"], json!({"lost": 100}));
}

#[test]
fn pushes_are_counted_where_the_scenario_knows_them_and_unexpected_otherwise() {
    let load = "    load: {open: {per: connection, rate: 50/s, connections: 1}, duration: 1s, drain: 1s}";
    let server = "--push, 100ms";
    let (place, outcome) =
        run(&scenario("terminal", server, ", match: {json: /id}, pushes: '\"push\"'", &format!("{load}\n{TERSE}")));
    outcome.expect(0);
    let summary = place.summary();
    assert!((7.0..=11.0).contains(&brought(&summary, "pushes")), "{}", brought(&summary, "pushes"));
    assert_eq!(brought(&summary, "unexpected"), 0.0);
    let (place, _) = run(&scenario("terminal", server, ", match: {json: /id}", &format!("{load}\n{TERSE}")));
    assert!((7.0..=11.0).contains(&brought(&place.summary(), "unexpected")));
    // One message at a time: the answer is the next message that is not a push.
    let (place, outcome) = run(&scenario(
        "terminal",
        "--push, 5ms, --work, 12ms",
        ", pushes: '\"push\"'",
        &format!("    load: {{closed: {{connections: 1}}, amount: 40}}\n{TERSE}"),
    ));
    outcome.expect(0);
    let summary = place.summary();
    assert_eq!(during(&summary, "typists")["ok"], 40);
    // 40 times 12 ms at least, with one in 5 ms.
    assert!((60.0..1000.0).contains(&brought(&summary, "pushes")), "{}", brought(&summary, "pushes"));
    assert_eq!(brought(&summary, "unexpected"), 0.0);
    assert!(brought(&summary, "handshake_p50") > 10_000.0);
    // Also those that come while nobody waits for anything: ten times 100 ms, with one in 20 ms.
    let (place, outcome) = run(&scenario(
        "terminal",
        "--push, 20ms",
        ", pushes: '\"push\"'",
        &format!("    load: {{closed: {{connections: 1, think: {{constant: 100ms}}}}, amount: 10}}\n{TERSE}"),
    ));
    outcome.expect(0);
    let pushes = brought(&place.summary(), "pushes");
    assert!((30.0..=60.0).contains(&pushes), "{pushes}");
}

/// What the other side does not read fills its buffers and ours; the rest waits in the schedule, and at the end it was never sent.
#[test]
fn a_server_that_does_not_read_leaves_messages_unsent() {
    let load = "    load: {open: {per: connection, rate: 2000/s, connections: 1}, duration: 2s, drain: 300ms}";
    let steps = "    steps: [{send: {random: 20KiB}}]";
    let (place, _) =
        run(&scenario("faulty-websocket", "--how, stop-reading, --healthy, '1'", ", match: order", &format!("{load}\n{steps}")));
    let found = during(&place.summary(), "typists");
    let number = |key: &str| found[key].as_u64().unwrap();
    assert_eq!(number("offered"), 4000);
    assert!(number("unsent") > 1000, "{found}");
    assert_eq!(number("unsent") + number("requests"), 4000, "{found}");
}

#[test]
fn the_highest_rate_that_is_answered_in_order_is_searched() {
    let load = "    load: {find: {per: connection, rate: 10..200/s, connections: 2, trial: 1s, precision: 20%, while: {response_p99: '< 200ms', lost: '0', out-of-order: '0'}}}";
    let (place, outcome) = run(&scenario("terminal", "--work, 20ms", ", match: {json: /id}", &format!("{load}\n{TERSE}")));
    let said = outcome.expect(0);
    let note = "`out-of-order` is read as `out_of_order`";
    assert!(said.stdout.contains(note) || said.stderr.contains(note), "{}{}", said.stdout, said.stderr);
    // Strict: 50 per second on each connection, and no more.
    let found = place.summary()["cells"][0]["limits"][0]["rate_per_s"]["median"].as_f64().unwrap();
    assert!((30.0..60.0).contains(&found), "{found}");
    let (place, _) = run(&scenario(
        "terminal",
        "--work, 20ms, --jitter, 40ms, --order, slight",
        ", match: {json: /id}",
        &format!("{load}\n{TERSE}"),
    ));
    let trials = place.status("all/run1")["trials"].to_string();
    assert!(trials.contains("out_of_order 0: "), "{trials}");
}

#[test]
fn each_row_of_a_message_has_its_key() {
    let more = format!("{TERSE}\nrecord: {{requests: true}}");
    let place = Place::with(&matched("terminal", "", 0.2, &more));
    place.run_test().expect(0);
    let rows = tables::read(&place.run_directory("test").join("cells/all/run1/requests.parquet")).unwrap();
    let (keys, steps) = (rows.column("key").unwrap().u64().unwrap(), rows.column("step").unwrap().str().unwrap());
    let of =
        |step| keys.iter().zip(steps.iter()).filter(|(_, s)| *s == Some(step)).filter_map(|(key, _)| key).collect::<Vec<u64>>();
    assert_eq!(of("send"), (0..20).collect::<Vec<u64>>());
    assert_eq!(of("(pass)"), of("send"));
}

/// A server that says what it was asked, in Python: each handshake's line and headers go to its log.
const LISTENER: &str = r#"
import base64, hashlib, os, socket, sys
where = sys.argv[1]
if where.startswith("/"):
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
else:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(where)))
server.listen(64)
print("ready", flush=True)
while True:
    client, _ = server.accept()
    if os.fork():
        client.close()
        continue
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(4096)
        if not part:
            os._exit(0)
        head += part
    print(head.decode(), flush=True)
    key = next(l for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")).split(b":", 1)[1].strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + sys.argv[2].encode().decode("unicode_escape").encode() + b"\r\n\r\n")
    def read(n):
        data = b""
        while len(data) < n:
            part = client.recv(n - len(data))
            if not part:
                os._exit(0)
            data += part
        return data
    while True:
        first, length = read(2)
        length &= 127
        if length == 126:
            length = int.from_bytes(read(2), "big")
        mask = read(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(read(length)))
        print("message", hex(first), data, flush=True)
        if first & 15 == 8:
            os._exit(0)
        client.sendall(bytes([first, len(data)]) + data)
"#;

fn listener(chosen: &str, websocket: &str, more: &str) -> (Place, Outcome) {
    let mut place = Place::new();
    place.write_as_is("listener.py", LISTENER);
    place.write(
        "test.yaml",
        &format!(
            "experiment: test
targets:
  server: {{command: [python3, DIR/listener.py, 'PORT1', '{chosen}'], port: PORT1, ready: {{log: ready}}}}
workloads:
  typists:
    websocket: {{url: 'ws://127.0.0.1:PORT1/a/b/?c=d%20e'{websocket}}}
    load: {{closed: {{connections: 1}}, amount: 3}}
    steps: [{{send: {{text: hello}}, expect: {{text: hello}}}}]
{more}
"
        ),
    );
    let outcome = place.run_test();
    (place, outcome)
}

#[test]
fn a_handshake_says_what_the_scenario_has() {
    let (place, outcome) = listener(
        r"\r\nSec-WebSocket-Protocol: v2.terminal",
        ", subprotocols: [v1.terminal, v2.terminal], open: [{send: {text: login}, expect: {text: login}}]",
        "    headers: {cookie: session=abc, origin: 'http://localhost'}\n    auth: {user: me, password: hush}",
    );
    outcome.expect(0);
    let log = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/logs/server-1.out")).unwrap();
    for line in [
        "GET /a/b/?c=d%20e HTTP/1.1",
        "cookie: session=abc",
        "origin: http://localhost",
        "sec-websocket-protocol: v1.terminal, v2.terminal",
        "message 0x81 b'login'",
        "message 0x81 b'hello'",
    ] {
        assert!(log.contains(line), "{line} is not in {log}");
    }
    assert!(log.to_lowercase().contains("authorization: basic "), "{log}");
}

#[test]
fn what_a_server_chooses_must_have_been_offered() {
    let refused = |chosen: &str, websocket: &str, words: &str| {
        let (_, outcome) = listener(chosen, websocket, "");
        outcome.expect(4).complains(&[words]);
    };
    refused(
        r"\r\nSec-WebSocket-Protocol: other",
        ", subprotocols: [mine]",
        "chose the subprotocol `other`, which was not offered",
    );
    refused("", ", subprotocols: [mine, yours]", "chose no subprotocol, but mine or yours was requested");
    refused(
        r"\r\nSec-WebSocket-Extensions: permessage-deflate",
        "",
        "chose the extension `permessage-deflate`, but none was offered",
    );
}

#[test]
fn it_goes_over_a_unix_socket() {
    let mut place = Place::new();
    place.write_as_is("listener.py", LISTENER);
    place.write(
        "test.yaml",
        "experiment: test
targets:
  server: {command: [python3, DIR/listener.py, '${scratch}/s', ''], ready: {log: ready}}
workloads:
  typists:
    websocket: {url: 'ws://somewhere/x', socket: '${scratch}/s'}
    load: {closed: {connections: 1}, amount: 3}
    steps: [{send: {text: hello}, expect: {text: hello}}]
",
    );
    place.run_test().expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 3);
}

#[test]
fn it_goes_over_tls() {
    if !installed(&["nginx", "openssl"]) {
        return;
    }
    let mut place = nginx(
        "server {
            listen 127.0.0.1:PORT1 ssl; ssl_certificate DIR/server.pem; ssl_certificate_key DIR/server.key;
            location / { proxy_pass http://127.0.0.1:PORT2; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
        }",
    );
    certificates(&mut place);
    let scenario = |trust: &str| {
        format!(
            "experiment: test
targets:
  terminal: {{fixture: terminal, port: PORT2, ready: {{tcp: PORT2}}}}
  nginx: {{command: [nginx, -c, DIR/nginx.conf, -e, stderr], port: PORT1, ready: {{tcp: PORT1}}}}
workloads:
  typists:
    websocket: {{url: 'wss://localhost:PORT1/keys', match: {{json: /id}}}}
{trust}    load: {{open: {{per: connection, rate: 50/s, connections: 2}}, duration: 1s, drain: 2s}}
{TERSE}
"
        )
    };
    place.write("test.yaml", &scenario("    tls: {ca: DIR/ca.pem}\n"));
    place.run_test().expect(0);
    assert_eq!(during(&place.summary(), "typists")["ok"], 100);
    place.write("test.yaml", &scenario(""));
    place.run_test().expect(4).complains(&["its certificate is not accepted: it was not issued by a trusted authority"]);
}

/// What the server writes about each key is joined with the message by its key: the stage that takes the time is named.
#[test]
fn taps_know_messages_by_their_keys() {
    let load = "    load: {open: {per: connection, rate: 20/s, connections: 2}, duration: 1s, drain: 2s}";
    let tap = |name: &str, metrics: &str| {
        format!(
            "  {name}: {{log: server, regex: '^{name} connection=\\d+ id=(?<id>\\d+)', join: {{workload: typists, key: id}}, metrics: {{{metrics}}}}}\n"
        )
    };
    let taps = tap("received", "to_server: {since: sent}")
        + &tap("handled", "work: {since: received}")
        + &tap("answered", "back: {until: completed}");
    let (place, outcome) =
        run(&scenario("terminal", "--work, 30ms, --log", ", match: {json: /id}", &format!("{load}\n{TERSE}\ntaps:\n{taps}")));
    outcome.expect(0);
    let summary = place.summary();
    assert!((29.0..60.0).contains(&brought(&summary, "work")), "{} ms", brought(&summary, "work"));
    assert!(brought(&summary, "to_server") < 20.0 && brought(&summary, "back") < 20.0);
    let unjoined =
        summary["cells"][0]["metrics"].as_array().unwrap().iter().filter(|m| m["metric"] == "unjoined" && m["phase"] == "during");
    // The checked pass is before the load, and in no phase.
    assert!(unjoined.clone().count() == 3 && unjoined.clone().all(|m| m["value"]["median"] == 0.0), "{summary:#}");
}
