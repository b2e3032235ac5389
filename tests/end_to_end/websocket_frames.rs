//! What goes over a websocket besides messages: a server in Python does one thing by the book, and its log says what the other side
//! did about it.

use std::time::Duration;

use serde_json::json;

use crate::support::{Place, limit_open_files};
use crate::websocket::{brought, during};

/// Each connection has a number, from 1, which begins its lines. The first one is that of the checked pass, and only echoes.
const SERVER: &str = r#"
import base64, hashlib, socket, sys, threading, time
port, case = int(sys.argv[1]), sys.argv[2]
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if case == "pause":
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
server.bind(("127.0.0.1", port))
server.listen(64)
print("ready", flush=True)

class End(Exception):
    pass

class Connection:
    def __init__(self, client, number):
        self.client, self.number, self.rest = client, number, b""

    def say(self, *words):
        sys.stdout.write(" ".join(map(str, (self.number, *words))) + "\n")
        sys.stdout.flush()

    def more(self):
        try:
            part = self.client.recv(1 << 20)
        except OSError as error:
            part = b""
        if not part:
            self.say("end")
            raise End
        self.rest += part

    def read(self, n):
        while len(self.rest) < n:
            self.more()
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def handshake(self):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        key = next(l for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")).split(b":", 1)[1].strip()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")

    def frame(self):
        first, length = self.read(2)
        assert length & 128, "it has to be masked"
        length &= 127
        if length > 125:
            length = int.from_bytes(self.read(2 if length == 126 else 8), "big")
        mask, data = self.read(4), self.read(length)
        key = (mask * (length // 4 + 1))[:length]
        data = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
        if first & 15 > 2:
            self.say("frame", first & 15, data.hex())
        return first & 15, data

    def send(self, first, data):
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        self.client.sendall(bytes([first]) + length + data)

    def echo(self):
        opcode, data = self.frame()
        if opcode == 8:
            # Whoever closed first is answered, and then closes the connection.
            self.send(0x88, data)
            while True:
                self.more()
        self.send(0x80 | opcode, data)
        return data

    def run(self):
        try:
            self.handshake()
            if case.startswith("login"):
                self.frame()
                if case == "login-late":
                    time.sleep(0.5)
                wrong = case == "login-wrong" or case == "login-wrong-later" and self.number > 1
                self.send(0x81, b"go away" if wrong else b"welcome")
            if self.number == 1 and case != "pause" or case.startswith("login"):
                while True:
                    self.echo()
            self.unusual()
        except End:
            pass
        finally:
            self.client.close()

    def unusual(self):
        if case == "close":
            self.echo()
            time.sleep(0.05)
            self.send(0x88, b"\x03\xe9going away")
            sent = time.monotonic()
            while self.frame()[0] != 8:
                pass
            self.say("after", round((time.monotonic() - sent) * 1000), "ms")
            self.more()
        if case.startswith("fault"):
            if case == "fault-later":
                self.echo()
                time.sleep(0.05)
            else:
                self.frame()
            # A continuation of nothing.
            self.send(0x80, b"x")
            while self.frame()[0] != 8:
                pass
            self.more()
        if case == "ping":
            while True:
                self.echo()
                time.sleep(0.05)
                data = bytes(range(100, 225))[self.number:]
                self.send(0x89, data)
                sent = time.monotonic()
                opcode, pong = self.frame()
                if opcode == 8:
                    raise End
                assert opcode == 10
                self.say("pong", "same" if pong == data else "other", round((time.monotonic() - sent) * 1000))
        if case == "pause":
            for number in range(200):
                if number == 50:
                    time.sleep(1)
                opcode, data = self.frame()
                if opcode == 8:
                    raise End
                self.send(0x81, b"ok")
            while True:
                self.frame()

number = 0
while True:
    client, _ = server.accept()
    number += 1
    threading.Thread(target=Connection(client, number).run, daemon=True).start()
"#;

/// What the server does, how messages are known, the load, and further keys of the workload.
fn scripted(case: &str, websocket: &str, load: &str, steps: &str) -> Place {
    let mut place = Place::new();
    place.write_as_is("server.py", SERVER);
    place.write(
        "test.yaml",
        &format!(
            "
experiment: test
limits: {{errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}}
targets:
  server: {{command: [python3, DIR/server.py, 'PORT1', {case}], port: PORT1, ready: {{log: ready}}}}
workloads:
  typists:
    websocket: {{url: 'ws://127.0.0.1:PORT1/'{websocket}}}
    load: {{{load}}}
    timeout: 2s
    steps: [{steps}]
"
        ),
    );
    place
}

const HELLO: &str = "{send: {text: '{\"id\": ${pass}}'}, expect: {contains: '${pass}'}}";
/// One message at a time on a connection, at once and with pauses; and many under way.
const IN_TURN: (&str, &str) = ("", "closed: {connections: 1}, amount: 4");
const THINKING: (&str, &str) = ("", "closed: {connections: 1, think: {constant: 1s}}, amount: 3");
const PACED: (&str, &str) = ("", "open: {rate: 2/s, connections: 1}, amount: 4");
const MATCHED: (&str, &str) = (", match: {json: /id}", "open: {per: connection, rate: 2/s, connections: 1}, amount: 4");

/// The lines that the server said of its connections.
fn said(place: &Place) -> Vec<String> {
    let log = place.run_directory("test").join("cells/all/run1/logs/server-1.out");
    let log = std::fs::read_to_string(log).unwrap();
    log.lines().skip(1).map(str::to_owned).collect()
}

/// RFC 6455, 5.5.1: who gets a close frame and has not sent one sends one, with the code that came.
#[test]
fn a_server_that_closes_gets_its_answer() {
    for (websocket, load) in [THINKING, PACED, MATCHED] {
        let place = scripted("close", websocket, load, HELLO);
        place.run_test().expect(0);
        assert_eq!(during(&place.summary(), "typists")["errors"], json!({}), "{load}");
        let lines = said(&place);
        // Every connection but that of the checked pass, which says goodbye itself.
        assert!(lines.contains(&"1 frame 8 03e8".to_owned()), "{load}: {lines:?}");
        for connection in 2..=3 {
            let of = |rest: &str| lines.iter().position(|line| *line == format!("{connection} {rest}"));
            let (answered, ended) = (of("frame 8 03e9"), of("end"));
            assert!(answered.is_some() && answered < ended, "{load}, {connection}: {lines:?}");
        }
        // It is noticed at once, also while nothing is due: within a fraction of the second that is waited.
        let after = lines.iter().filter_map(|line| line.split_once(" after ")?.1.strip_suffix(" ms")?.parse().ok());
        let after: Vec<u32> = after.collect();
        assert!(after.len() >= 2 && after.iter().all(|ms| *ms < 300), "{load}: {lines:?}");
        let status = place.status("all/run1").to_string();
        assert!(status.contains("closed the connection with code 1001 (going away)"), "{status}");
    }
}

/// RFC 6455, 7.1.7: who finds that the other side breaks the rules says so, with code 1002, before it goes.
#[test]
fn a_server_that_breaks_the_rules_is_told() {
    for (case, (websocket, load)) in
        [("fault-later", THINKING), ("fault-later", MATCHED), ("fault-at-once", IN_TURN), ("fault-at-once", MATCHED)]
    {
        let place = scripted(case, websocket, load, HELLO);
        let outcome = place.run_test();
        let found = during(&place.summary(), "typists");
        if case == "fault-later" {
            outcome.expect(0);
            assert_eq!(found["errors"], json!({}), "{load}");
        } else {
            assert_eq!(found["errors"], json!({"garbage": 4}), "{load}");
        }
        let lines = said(&place);
        let told = lines.iter().filter(|line| line.contains(" frame 8 03ea")).count();
        assert!(told >= 2, "{case}, {load}: {lines:?}");
    }
}

/// Pings are answered with what they carry, and as soon as they come: also while nothing is due.
#[test]
fn pings_are_answered_while_nothing_is_due() {
    for (websocket, load) in [THINKING, PACED, MATCHED] {
        let place = scripted("ping", websocket, load, HELLO);
        place.run_test().expect(0);
        assert_eq!(during(&place.summary(), "typists")["errors"], json!({}), "{load}");
        let lines = said(&place);
        let pongs = lines.iter().filter_map(|line| line.split_once(" pong "));
        let pongs: Vec<(&str, u32)> =
            pongs.map(|(_, told)| told.split_once(' ').unwrap()).map(|(s, ms)| (s, ms.parse().unwrap())).collect();
        assert!(pongs.len() >= 2, "{load}: {lines:?}");
        // It thinks for a second, or has half of one.
        assert!(pongs.iter().all(|(same, ms)| *same == "same" && *ms < 300), "{load}: {lines:?}");
    }
}

/// What the other side does not read fills the buffers; then messages wait until the system takes them, and that is lag.
#[test]
fn the_wait_for_the_send_buffer_is_lag() {
    let load = "open: {per: connection, rate: 100/s, connections: 1}, duration: 2s, drain: 5s";
    let place = scripted("pause", ", match: order", load, "{send: {random: 256KiB}}");
    // With such a lag the repetition does not count.
    place.run_test();
    let found = during(&place.summary(), "typists");
    assert_eq!((&found["ok"], &found["unsent"], &found["offered"]), (&json!(200), &json!(0), &json!(200)), "{found}");
    // It reads nothing for a second, and the buffers hold a part of what is due in that time.
    let lag = found["lag_ns"]["max"].as_f64().unwrap();
    assert!((200e6..1500e6).contains(&lag), "{found}");
    // The lag is in the response time, and not in the service time: there it would be counted as the server's.
    assert!(found["response_ns"]["max"].as_f64().unwrap() >= lag, "{found}");
}

#[test]
fn a_log_in_that_is_answered_wrongly_is_told() {
    let open = ", open: [{send: {text: let me in}, expect: {text: welcome}}]";
    let place = scripted("login-wrong", open, IN_TURN.1, HELLO);
    place.run_test().expect(4).complains(&["`open-1` answered with an unexpected body: `go away`"]);
    // Where only the checked pass is let in, every pass says it.
    for (websocket, load) in [IN_TURN, MATCHED] {
        let place = scripted("login-wrong-later", &format!("{websocket}{open}"), load, HELLO);
        place.run_test();
        let found = during(&place.summary(), "typists");
        assert_eq!((&found["ok"], &found["errors"]), (&json!(0), &json!({"wrong-body": 4})), "{load}");
        let status = place.status("all/run1").to_string();
        assert!(status.contains("`open-1` answered with an unexpected body: `go away`"), "{status}");
    }
}

/// What comes before the handshake and after it belongs to connecting, which is a measure of its own.
#[test]
fn a_handshake_is_measured_without_the_log_in() {
    let open = ", open: [{send: {text: let me in}, expect: {text: welcome}}]";
    for (more, load) in [(", keep-alive: false", IN_TURN.1), MATCHED] {
        let place = scripted("login-late", &format!("{open}{more}"), load, HELLO);
        place.run_test().expect(0);
        let (summary, found) = (place.summary(), during(&place.summary(), "typists"));
        assert_eq!(found["ok"], 4, "{found}");
        let handshake = brought(&summary, "handshake_max");
        assert!((10e3..400e6).contains(&handshake), "{handshake}");
        if load == IN_TURN.1 {
            assert!(found["connect_ns"]["p50"].as_f64().unwrap() >= 500e6, "{found}");
        }
    }
}

/// Connections that do not fit into the limit on open files are named before anything is started.
#[test]
fn typists_that_are_too_many_are_named_before_the_run() {
    let place = Place::with(
        "
experiment: test
targets:
  server: {fixture: terminal, port: PORT1, ready: {tcp: PORT1}}
workloads:
  typists:
    websocket: {url: 'ws://127.0.0.1:PORT1/keys', match: {json: /id}}
    load: {open: {per: connection, rate: 1/s, connections: 20000}, duration: 1s}
    steps: [{send: {text: '{\"id\": ${pass}}'}}]
",
    );
    let mut command = place.runner();
    command.args(["run", "test.yaml"]);
    limit_open_files(&mut command, 10_000, 10_000);
    let outcome = crate::support::Started::spawn(&mut command).wait_within(Duration::from_secs(10)).expect(2);
    outcome.complains(&["needs 20000 connections", "this machine allows 10000 open files", "`ulimit -Hn`"]);
    assert!(!place.path("results").exists());
}
