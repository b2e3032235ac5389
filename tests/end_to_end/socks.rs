//! Requests through a SOCKS proxy, and what is known of them stage by stage.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
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
    // The request wakes the proxy and the server, and the answer the proxy again: twice as many are woken.
    near(&between(&table, "data_request_ns", "data_response_ns"), 40.0, within + 2.0 * waking());
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
        ("--how, refuse-method", "none of the authentication methods", "AUTH"),
        ("--how, wrong-version", "instead of", "PROXY"),
        ("--how, short-method", "after 1 bytes of saying how to authenticate", "PROXY"),
        ("--how, silent-method", "did not say how to authenticate within the time-out", "TIMEOUT"),
        ("--how, short-reply", "bytes of saying whether it is connected", "PROXY"),
        ("--how, silent-reply", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, late-reply, --delay-reply, 600ms", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, garbage", "it answered with version 255 instead of 5", "PROXY"),
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

/// With user names, which is another conversation: nobody is known, and a way that wants no name is none.
#[test]
fn each_way_to_fail_with_a_name_has_its_words() {
    for (proxy, words, error) in [
        ("--how, auth-refused", "it does not accept the user name (status 1)", "AUTH"),
        ("--how, refuse-method", "none of the authentication methods", "AUTH"),
        ("--how, garbage", "it answered with version 255 instead of 5", "PROXY"),
    ] {
        fails(&format!("--healthy, 2, {proxy}"), ", isolate: pass", &[words], error);
    }
}

/// The same with SOCKS 4a, which has a reply and nothing before it.
#[test]
fn each_way_to_fail_has_its_words_in_socks_4a() {
    for (proxy, words, error) in [
        ("--how, refuse-method", "it refused: rejected or failed (91)", "PROXY"),
        ("--how, auth-refused", "it refused: rejected or failed (91)", "PROXY"),
        ("--how, reply, --code, 5", "it refused: rejected or failed (91)", "PROXY"),
        ("--how, wrong-version", "its answer starts with 5 instead of 0", "PROXY"),
        ("--how, garbage", "its answer starts with 255 instead of 0", "PROXY"),
        ("--how, short-method", "after 1 bytes of saying whether it is connected", "PROXY"),
        ("--how, short-reply", "after 4 bytes of saying whether it is connected", "PROXY"),
        ("--how, silent-method", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, silent-reply", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, late-reply, --delay-reply, 600ms", "did not say whether it is connected within the time-out", "TIMEOUT"),
        ("--how, close-after, --bytes, 1000", "broke off", "READ"),
        ("--how, reset", "", "READ"),
    ] {
        fails(&format!("--healthy, 1, {proxy}"), ", version: 4a", &[words], error);
    }
}

/// Two passes through a proxy that fails: each has the error and the words.
fn fails(proxy: &str, socks: &str, words: &[&str], error: &str) {
    let more =
        "    stages: true\n    timeout: 300ms\n    load: {closed: {connections: 1}, amount: 2}\n    steps: [{get: /1MiB}]\n";
    let (place, _) = run(&scenario(proxy, "", socks, more));
    let table = transfers(&place);
    let (errors, said) = (texts(&table, "error"), texts(&table, "words"));
    // With a connection of its own for each pass it may be that the first one was made ready while the proxy was still well.
    let failed: Vec<(&str, String)> =
        errors.iter().zip(said).filter_map(|(error, said)| Some((error.as_deref()?, said.unwrap_or_default()))).collect();
    assert!(!failed.is_empty(), "{proxy}: {errors:?}");
    for (found, said) in failed {
        assert!(found == error && words.iter().all(|words| said.contains(words)), "{proxy}: {found} {said}");
    }
}

// ---- a proxy that says what it is told to say, connection by connection

/// What a proxy says on a connection, in the order in which it is asked; where it has nothing to say any more it closes.
#[derive(Clone)]
struct Says {
    /// SOCKS 5: how to authenticate.
    method: Vec<u8>,
    /// What becomes of a user name, where one is said.
    login: Vec<u8>,
    reply: Vec<u8>,
    /// Whether the reply waits for the request of HTTP, and the server's answer comes with it.
    at_once: bool,
}

/// A short answer of a server.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

impl Says {
    /// Over SOCKS 5, without a name.
    fn reply(reply: &[u8]) -> Self {
        Self { method: vec![5, 0], login: vec![1, 0], reply: reply.to_vec(), at_once: false }
    }

    /// Speaks with one client up to the end; none where it has closed first.
    fn speak(&self, stream: &mut TcpStream) -> Option<()> {
        let mut first = [0];
        stream.read_exact(&mut first).ok()?;
        let granted = if first[0] == 5 { self.greet(stream)? } else { self.read_4(stream)? };
        if self.at_once {
            read_head(stream)?;
            return stream.write_all(&[&self.reply[..], ANSWER].concat()).ok();
        }
        stream.write_all(&self.reply).ok()?;
        // A complete reply that grants it; the shortest has a name without letters.
        let is_complete = self.reply.len() >= 8 || self.reply.get(3..5) == Some(&[3, 0]);
        if self.reply.starts_with(granted) && is_complete {
            read_head(stream)?;
            stream.write_all(ANSWER).ok()?;
        }
        Some(())
    }

    fn greet(&self, stream: &mut TcpStream) -> Option<&'static [u8]> {
        let mut count = [0];
        stream.read_exact(&mut count).ok()?;
        stream.read_exact(&mut vec![0; usize::from(count[0])]).ok()?;
        stream.write_all(&self.method).ok()?;
        match self.method[..] {
            [5, 0] => {}
            [5, 2] => {
                let mut length = [0; 2];
                stream.read_exact(&mut length).ok()?;
                stream.read_exact(&mut vec![0; usize::from(length[1])]).ok()?;
                stream.read_exact(&mut length[..1]).ok()?;
                stream.read_exact(&mut vec![0; usize::from(length[0])]).ok()?;
                stream.write_all(&self.login).ok()?;
                (self.login == [1, 0]).then_some(())?;
            }
            _ => return None,
        }
        let mut head = [0; 5];
        stream.read_exact(&mut head).ok()?;
        let rest = match head[3] {
            1 => 3 + 2,
            3 => usize::from(head[4]) + 2,
            _ => 15 + 2,
        };
        stream.read_exact(&mut vec![0; rest]).ok()?;
        Some(&[5, 0])
    }

    fn read_4(&self, stream: &mut TcpStream) -> Option<&'static [u8]> {
        let mut head = [0; 7];
        stream.read_exact(&mut head).ok()?;
        read_to(stream, b"\0")?;
        if head[3..6] == [0, 0, 0] {
            read_to(stream, b"\0")?;
        }
        Some(&[0, 90])
    }
}

/// Reads up to some bytes.
fn read_to(stream: &mut TcpStream, end: &[u8]) -> Option<()> {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(end) {
        stream.read_exact(&mut byte).ok()?;
        seen.push(byte[0]);
    }
    Some(())
}

fn read_head(stream: &mut TcpStream) -> Option<()> {
    read_to(stream, b"\r\n\r\n")
}

/// Goes through all of `says`, one for each connection, the first for the first two as well; what became of each that a transfer had:
/// its outcome, its words and the code of the proxy. `socks`: the keys of the workload's proxy beside its address.
fn what_became(says: Vec<Says>, socks: &str) -> Vec<(String, String, Option<f64>)> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let all = says.len();
    let asked: Arc<Mutex<BTreeMap<u16, usize>>> = Arc::default();
    let noted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let at = number.saturating_sub(2) % says.len();
            let peer = stream.peer_addr().map_or(0, |peer| peer.port());
            noted.lock().expect("nobody panicked").insert(peer, at);
            let (says, mut stream) = (says[at].clone(), stream);
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let _ = says.speak(&mut stream);
                // At what is still unread the kernel would reset it.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    let scenario = format!(
        "experiment: test
limits: {{errors: 100%, open: 100%, silence: 100%, generator-cpu: 100%}}
targets:
  server: {{fixture: random-data, port: PORT1}}
workloads:
  downloads:
    url: http://localhost:PORT1
    socks: {{address: '127.0.0.1:{port}'{socks}}}
    http: {{keep-alive: false}}
    stages: true
    timeout: 2s
    load: {{closed: {{connections: 1}}, amount: {}}}
    steps: [{{get: /x, expect: {{length: 5B}}}}]
",
        all + 3
    );
    let (place, _) = run(&scenario);
    let table = transfers(&place);
    let (outcomes, words, locals) = (texts(&table, "outcome"), texts(&table, "words"), texts(&table, "local"));
    let codes = numbers(&table, "proxy_code");
    let mut found: Vec<Option<(String, String, Option<f64>)>> = vec![None; all];
    for (at, local) in locals.iter().enumerate() {
        let Some(port) = local.as_deref().and_then(|local| local.rsplit(':').next()?.parse::<u16>().ok()) else { continue };
        let asked = asked.lock().expect("nobody panicked");
        let said = words[at].clone().unwrap_or_default();
        found[asked[&port]] = Some((outcomes[at].clone().unwrap_or_default(), said, codes[at]));
    }
    found.into_iter().enumerate().map(|(at, found)| found.unwrap_or_else(|| panic!("nobody asked number {at}"))).collect()
}

/// A reply of SOCKS 5 with this code, and an address of four bytes.
fn coded(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[test]
fn each_code_of_a_proxy_has_its_words() {
    let words = [
        (1, "general failure"),
        (2, "its rules do not allow it"),
        (3, "the network cannot be reached"),
        (4, "the host cannot be reached"),
        (5, "the server refused the connection"),
        (6, "it took too long"),
        (7, "it does not know this command"),
        (8, "it does not know this kind of address"),
        (0xf0, "the descriptor of the onion service cannot be found"),
        (0xf1, "the descriptor of the onion service is not valid"),
        (0xf2, "the introduction to the onion service failed"),
        (0xf3, "the rendezvous with the onion service failed"),
        (0xf4, "the onion service requires client authentication"),
        (0xf5, "the onion service does not accept the client's authentication"),
        (0xf6, "the onion address is not valid"),
        (0xf7, "the introduction to the onion service took too long"),
        (9, "an unknown reason"),
        (0xff, "an unknown reason"),
    ];
    let well = std::iter::once(Says::reply(&coded(0)));
    let found = what_became(well.chain(words.iter().map(|(code, _)| Says::reply(&coded(*code)))).collect(), "");
    assert_eq!(found[0].0, "ok");
    for ((code, words), (outcome, said, found)) in words.iter().zip(&found[1..]) {
        assert_eq!((outcome.as_str(), *found), ("proxy", Some(f64::from(*code))), "{said}");
        assert!(said.ends_with(&format!("it refused: {words} ({code:#04x})")), "{said}");
    }
    let refused = |code: u8| Says::reply(&[0, code, 0, 0, 0, 0, 0, 0]);
    let found = what_became([90, 91, 92, 93, 94].map(refused).to_vec(), ", version: 4a");
    let words = ["rejected or failed", "it cannot ask who we are", "it was told about another user", "an unknown reason"];
    assert_eq!(found[0].0, "ok");
    for ((outcome, said, code), (number, words)) in found[1..].iter().zip((91..).zip(words)) {
        assert_eq!((outcome.as_str(), *code), ("proxy", Some(f64::from(number))), "{said}");
        assert!(said.ends_with(&format!("it refused: {words} ({number})")), "{said}");
    }
}

/// Whatever address the proxy says that it is connected from, what is behind it is the server's, even where it comes at once.
#[test]
fn answers_of_any_length_are_read_to_the_byte() {
    let name = |length: u8| [&[5, 0, 0, 3, length], &vec![b'a'; usize::from(length)][..], &[1, 2]].concat();
    let long = [vec![5, 0, 0, 4], vec![7; 16], vec![1, 2]].concat();
    let replies = [coded(0), long, name(0), name(1), name(255)];
    let says = |at_once: bool| replies.iter().map(|reply| Says { at_once, ..Says::reply(reply) }).collect::<Vec<_>>();
    for (at_once, socks) in [(false, ""), (true, ", optimistic: true")] {
        for (number, (outcome, said, _)) in what_became(says(at_once), socks).into_iter().enumerate() {
            assert_eq!(outcome, "ok", "reply {number}, {socks}: {said}");
        }
    }
    let four = Says { at_once: true, ..Says::reply(&[0, 90, 1, 2, 3, 4, 5, 6]) };
    assert_eq!(what_became(vec![four], ", version: 4a, optimistic: true")[0].0, "ok");
    // A kind of address that there is not.
    let found = what_became(vec![Says::reply(&coded(0)), Says::reply(&[5, 0, 0, 2, 0, 0, 0, 0, 0, 0])], "");
    assert!(found[1].0 == "proxy" && found[1].1.contains("an address of the unknown kind 2"), "{found:?}");
}

#[test]
fn ways_to_authenticate_that_were_not_offered_are_refused() {
    let with = |method: &[u8]| Says { method: method.to_vec(), ..Says::reply(&coded(0)) };
    let found = what_became(vec![with(&[5, 0]), with(&[5, 2]), with(&[5, 1]), with(&[5, 0xff])], "");
    assert_eq!(found[0].0, "ok");
    for ((outcome, said, _), words) in found[1..].iter().zip([
        "the authentication method 2",
        "the authentication method 1",
        "none of the authentication methods",
    ]) {
        assert!(outcome == "proxy" && said.contains(words), "{said}");
    }
    // A proxy that wants no name tells nobody apart: what was to be kept apart is not sent.
    let with = |method: &[u8], login: &[u8]| Says { method: method.to_vec(), login: login.to_vec(), ..Says::reply(&coded(0)) };
    let says =
        vec![with(&[5, 2], &[1, 0]), with(&[5, 0], &[1, 0]), with(&[5, 2], &[1, 1]), with(&[5, 2], &[1]), with(&[5, 2], &[])];
    let found = what_became(says, ", isolate: pass");
    assert_eq!(found[0].0, "ok", "{found:?}");
    let words = [
        "it chose the authentication method 0, which was not offered",
        "it does not accept the user name (status 1)",
        "after 1 bytes of saying whether it accepts the user name",
        "instead of saying whether it accepts the user name",
    ];
    for ((outcome, said, _), words) in found[1..].iter().zip(words) {
        assert!(outcome == "proxy" && said.contains(words), "{said}");
    }
}

#[test]
fn a_proxy_of_version_4a_that_ends_after_each_byte() {
    let whole = [0, 90, 0, 0, 0, 0, 0, 0];
    let says = (0..8).map(|length| Says::reply(&whole[..length]));
    let found = what_became(std::iter::once(Says::reply(&whole)).chain(says).collect(), ", version: 4a");
    assert_eq!(found[0].0, "ok");
    for (bytes, (outcome, said, _)) in found[1..].iter().enumerate() {
        let words = if bytes == 0 { "instead of saying".to_owned() } else { format!("after {bytes} bytes of saying") };
        assert!(outcome == "proxy" && said.contains(&format!("{words} whether it is connected")), "{said}");
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
