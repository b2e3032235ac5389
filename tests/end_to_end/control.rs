//! Tor's control port: what it tells as rows, what it is told before passes and in set-up; against one that is not Tor, so that it can
//! refuse, flood and end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use runner::record::rows::{Table, Value};
use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::support::{Outcome, Place, eventually};

/// A control port that knows a cookie of 32 times `A`, and writes down what it is told.
struct Port {
    address: String,
    told: Arc<Mutex<Vec<String>>>,
}

impl Port {
    /// One that does `then` on a connection which has asked for events.
    fn new(then: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (noted, then) = (Arc::clone(&told), Arc::new(then));
        std::thread::spawn(move || {
            for stream in listener.incoming().take(100).flatten() {
                let (noted, then) = (Arc::clone(&noted), Arc::clone(&then));
                std::thread::spawn(move || serve(stream, &noted, &*then));
            }
        });
        Self { address, told }
    }

    /// How often a command was told.
    fn count(&self, command: &str) -> usize {
        self.told.lock().expect("nobody panicked").iter().filter(|told| *told == command).count()
    }
}

fn serve(mut stream: TcpStream, noted: &Mutex<Vec<String>>, then: &dyn Fn(&mut TcpStream)) {
    // Otherwise what follows an answer waits for its acknowledgement, which is longer than these loads.
    stream.set_nodelay(true).expect("a connection");
    let lines = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut is_known = false;
    for line in lines.lines().map_while(Result::ok) {
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("AUTHENTICATE", cookie) => {
                is_known = cookie == "41".repeat(32);
                let wrong = "515 Authentication failed: Authentication cookie did not match expected value.\r\n";
                if is_known { "250 OK\r\n" } else { wrong }
            }
            _ if !is_known => "514 Authentication required.\r\n",
            ("GETINFO", "circuit-status") => "250+circuit-status=\r\n3 BUILT PURPOSE=GENERAL\r\n.\r\n250 OK\r\n",
            ("NONSENSE", _) => "510 Unrecognized command \"NONSENSE\"\r\n",
            _ => "250 OK\r\n",
        };
        noted.lock().expect("nobody panicked").push(line.clone());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        if line == "GETINFO circuit-status" {
            then(&mut stream);
        }
    }
}

/// Downloads through a proxy; `more` stands beside them, `control` is that of the proxy.
fn scenario(control: &str, more: &str) -> String {
    format!(
        "experiment: test
targets:
  server: {{fixture: random-data, port: PORT1}}
  proxy: {{fixture: socks, port: PORT2}}
workloads:
  downloads:
    url: http://127.0.0.1:PORT1
    socks: {{address: '127.0.0.1:PORT2'{control}}}
    load: {{closed: {{connections: 1}}, amount: 5}}
    steps: [{{get: /50KiB, expect: {{length: 50KiB}}}}]
{more}
"
    )
}

fn run(scenario: &str, cookie: &[u8]) -> (Place, Outcome) {
    let place = Place::with(scenario);
    std::fs::write(place.path("cookie"), cookie).expect("a file");
    let outcome = place.run_test();
    (place, outcome)
}

const COOKIE: &[u8] = &[b'A'; 32];

#[test]
fn events_are_rows_with_fields_of_their_own() {
    let port = Port::new(|stream| {
        let events = "650 CIRC 7 LAUNCHED PURPOSE=GENERAL TIME_CREATED=2026-11-29T15:34:49.515453\r\n\
                      650 STREAM 22 SUCCEEDED 7 127.0.0.1:80 SOCKS_USERNAME=\"a b\"\r\n\
                      650 SOMETHING new\r\n";
        let _ = stream.write_all(events.as_bytes());
    });
    let tap = format!("taps: {{tor: {{control: '{}', cookie: DIR/cookie, required: true}}}}", port.address);
    let (place, outcome) = run(&scenario("", &tap), COOKIE);
    outcome.expect(0);
    let table = Table::open(&place.run_directory("test").join("cells/all/run1/taps/tor.parquet")).expect("rows");
    let piece = table.piece(0, &["event", "id", "circuit", "status", "socks_username", "line"]).expect("a readable table");
    let row = |row| (0..6).map(|column| piece.value(column, row)).collect::<Vec<_>>();
    use Value::{Null, Real, Text};
    let first = [Text("CIRC"), Real(3.0), Null, Text("BUILT"), Null, Text("CIRC 3 BUILT PURPOSE=GENERAL")];
    assert_eq!(row(0), first, "what was there already");
    assert_eq!(row(1)[..4], [Text("CIRC"), Real(7.0), Null, Text("LAUNCHED")]);
    assert_eq!(row(2)[..5], [Text("STREAM"), Real(22.0), Real(7.0), Text("SUCCEEDED"), Text("a b")]);
    assert_eq!(piece.height(), 4, "an event that nobody knows is one, too");
    assert_eq!(port.count("SETEVENTS CIRC CIRC_MINOR STREAM GUARD BUILDTIMEOUT_SET HS_DESC"), 1);
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let port = Port::new(|_| ());
    let tap = |more: &str| format!("taps: {{tor: {{control: '{}'{more}, required: true}}}}", port.address);
    for (more, cookie, words) in [
        (", cookie: DIR/cookie", &[b'B'; 32][..], "refused AUTHENTICATE: 515 Authentication failed"),
        (", cookie: DIR/cookie", b"short", "but a Tor cookie has 32"),
        (", cookie: DIR/nowhere", COOKIE, "cannot read the cookie"),
        ("", COOKIE, "expected `cookie: FILE`"),
    ] {
        let (_, outcome) = run(&scenario("", &tap(more)), cookie);
        outcome.expect(4).complains(&["the tap `tor` ended early", words]);
    }
}

#[test]
fn one_that_ends_is_told_and_one_that_floods_is_bounded() {
    let port = Port::new(|stream| {
        for n in 0..200_000 {
            if writeln!(stream, "650 CIRC_BW ID={n} READ=0 WRITTEN=0\r").is_err() {
                return;
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let tap = format!("taps: {{tor: {{control: '{}', cookie: DIR/cookie, events: [CIRC_BW]}}}}", port.address);
    let more = format!("{tap}\nclean-up: {{load: [{{shell: sleep 2}}]}}");
    let (place, outcome) = run(&scenario("", &more), COOKIE);
    outcome.expect(0);
    let status = place.status("all/run1");
    let tap = &status["taps"][0];
    assert!(tap["rows"].as_u64().expect("a number") > 10_000, "{tap}");
    assert_eq!(part(&place.summary(), "all", "downloads", "during", "(pass)")["ok"], json!(5));
}

/// The scenario, over so many seconds.
fn during(seconds: u32, more: &str) -> String {
    let open = format!("open: {{rate: 10/s, connections: 1}}, duration: {seconds}s");
    scenario("", more).replace("closed: {connections: 1}, amount: 5", &open)
}

/// It ends twice while the load goes on, and comes back.
#[test]
fn one_that_ends_and_comes_back_is_followed_again() {
    let connection = AtomicUsize::new(0);
    let port = Port::new(move |stream| {
        let number = connection.fetch_add(1, Ordering::Relaxed);
        let _ = stream.write_all(format!("650 CIRC {} LAUNCHED\r\n", 10 + number).as_bytes());
        if number < 2 {
            std::thread::sleep(Duration::from_millis(200));
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let tap = format!("taps: {{tor: {{control: '{}', cookie: DIR/cookie}}}}", port.address);
    let (place, outcome) = run(&during(2, &tap), COOKIE);
    outcome.expect(0);
    let tap = &place.status("all/run1")["taps"][0];
    assert_eq!((&tap["interruptions"], &tap["ended"]), (&json!(2), &Json::Null), "{tap}");
    let away = tap["away_ns"].as_u64().expect("a number");
    assert!((100_000_000..1_000_000_000).contains(&away), "{tap}");
    let table = Table::open(&place.run_directory("test").join("cells/all/run1/taps/tor.parquet")).expect("rows");
    let piece = table.piece(0, &["id"]).expect("a readable table");
    let ids: Vec<String> = (0..piece.height()).map(|row| format!("{:?}", piece.value(0, row))).collect();
    // Each time what is there already, and what is new.
    assert_eq!(ids, [3, 10, 3, 11, 3, 12].map(|id| format!("Real({id}.0)")));
    let said = place.run(&["summarize", place.run_directory("test").to_str().expect("a path")]).expect(0).stdout;
    assert!(said.contains("`tor` was away 2 times"), "{said}");
}

#[test]
fn one_that_must_be_there_all_the_time_may_not_come_back() {
    let connection = AtomicUsize::new(0);
    let port = Port::new(move |stream| {
        if connection.fetch_add(1, Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(200));
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let tap = format!("taps: {{tor: {{control: '{}', cookie: DIR/cookie, required: true}}}}", port.address);
    let (_, outcome) = run(&during(1, &tap), COOKIE);
    outcome.expect(4).complains(&["the tap `tor` was unavailable for", "and came back 1 times"]);
}

#[test]
fn commands_are_set_up_and_one_that_is_refused_fails_the_repetition() {
    let port = Port::new(|_| ());
    let steps = |send: &str, answer: &str| {
        let step = format!("{{control: '{}', cookie: DIR/cookie, send: [{send}]{answer}}}", port.address);
        format!("set-up: {{load: [{step}]}}")
    };
    let (_, outcome) = run(&scenario("", &steps("SETCONF EntryNodes=a StrictNodes=1, DROPGUARDS", "")), COOKIE);
    outcome.expect(0);
    assert_eq!((port.count("SETCONF EntryNodes=a StrictNodes=1"), port.count("DROPGUARDS")), (1, 1));
    let (_, outcome) = run(&scenario("", &steps("NONSENSE", "")), COOKIE);
    outcome.expect(4).complains(&["refused NONSENSE: 510 Unrecognized command"]);
    let (_, outcome) = run(&scenario("", &steps("GETINFO x", ", answer: PROGRESS=100")), COOKIE);
    outcome.expect(4).complains(&["no line of the last answer matches `PROGRESS=100`: OK"]);
}

#[test]
fn commands_are_sent_before_passes_as_often_as_they_are_due() {
    let port = Port::new(|_| ());
    let control = format!(
        ", control: {{address: '{}', cookie: DIR/cookie, before-pass: [{{send: [SIGNAL NEWNYM]}}, {{send: [DROPGUARDS], each: 1h}}]}}",
        port.address
    );
    let (place, outcome) = run(&scenario(&control, ""), COOKIE);
    outcome.expect(0);
    assert_eq!(part(&place.summary(), "all", "downloads", "during", "(pass)")["ok"], json!(5));
    // Before the checked pass, too; behind the last pass the connection is made ready once more.
    let newnym = port.count("SIGNAL NEWNYM");
    assert!((6..=8).contains(&newnym), "{newnym}");
    assert_eq!(port.count("DROPGUARDS"), 1, "by the checked pass, and not again by the load");
    // Nobody waited for that: it is in no time of a request.
    let place = Place::with(&scenario(&control.replace("SIGNAL NEWNYM", "NONSENSE"), ""));
    std::fs::write(place.path("cookie"), COOKIE).expect("a file");
    place.run_test().expect(4).complains(&["refused NONSENSE"]);
}

#[test]
fn a_wrong_cookie_of_the_one_that_steers_is_told_before_the_load() {
    let port = Port::new(|_| ());
    let control =
        format!(", control: {{address: '{}', cookie: DIR/cookie, before-pass: [{{send: [SIGNAL NEWNYM]}}]}}", port.address);
    for (cookie, words) in
        [(&[b'B'; 32][..], "refused AUTHENTICATE: 515 Authentication failed"), (b"short", "but a Tor cookie has 32")]
    {
        let (_, outcome) = run(&scenario(&control, ""), cookie);
        outcome.expect(4).complains(&[words]);
    }
    assert_eq!(port.count("SIGNAL NEWNYM"), 0);
}

/// Three workloads and three repetitions speak to one Tor, and so do their checked passes.
#[test]
fn what_is_due_once_an_hour_is_sent_once_in_a_run() {
    let port = Port::new(|_| ());
    let control = format!(
        ", control: {{address: '{}', cookie: DIR/cookie, before-pass: [{{send: [DROPGUARDS], each: 1h}}]}}",
        port.address
    );
    let mut text = scenario(&control, "");
    let workload = text[text.find("  downloads:").expect("a workload")..].trim_end().to_owned();
    for name in ["more", "most"] {
        writeln!(text, "{}", workload.replace("downloads:", &format!("{name}:"))).expect("a text");
    }
    let place = Place::with(&text);
    std::fs::write(place.path("cookie"), COOKIE).expect("a file");
    place.run(&["run", "test.yaml", "--no-graphs", "-n", "3"]).expect(0);
    let summary = place.summary();
    for name in ["downloads", "more", "most"] {
        assert_eq!(part(&summary, "all", name, "during", "(pass)")["ok"], json!(15), "{name}");
    }
    assert_eq!(port.count("DROPGUARDS"), 1);
    // The next run knows nothing of it.
    place.run_test().expect(0);
    assert_eq!(port.count("DROPGUARDS"), 2);
}

// ---- streams and circuits

/// What becomes of a stream that is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes over its circuit.
    Goes,
    /// It goes, and nobody says so.
    GoesSilently,
    /// It goes over another circuit.
    GoesElsewhere,
    /// It is detached from the circuit.
    Detached,
    /// It is not attached.
    Refused,
    /// Its circuit is closed, and it is detached.
    CircuitCloses,
}

/// Where a stream stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stream {
    Waiting {
        attached: u32,
    },
    /// Over this circuit; 0 where nobody says so.
    Gone(u64),
    Closed,
}

#[derive(Default)]
struct Known {
    told: Vec<String>,
    events: Vec<TcpStream>,
    circuits: u64,
    streams: BTreeMap<u64, Stream>,
    /// Whether it leaves streams to others.
    is_left: bool,
}

/// A SOCKS port with a control port that leaves streams to whoever controls it, as Tor does with `__LeaveStreamsUnattached`. What
/// becomes of a stream depends on its number, from 1, and on how often it was attached, from 1.
struct Tor {
    socks: String,
    control: String,
    known: Arc<(Mutex<Known>, Condvar)>,
}

impl Tor {
    fn new(fate: impl Fn(u64, u32) -> Fate + Send + Sync + 'static) -> Self {
        Self::that_lets_in(fate, |_| true)
    }

    /// One that takes no way to authenticate from the streams that `lets_in` does not know.
    fn that_lets_in(
        fate: impl Fn(u64, u32) -> Fate + Send + Sync + 'static,
        lets_in: impl Fn(u64) -> bool + Send + Sync + 'static,
    ) -> Self {
        let known: Arc<(Mutex<Known>, Condvar)> = Arc::default();
        let (fate, lets_in) = (Arc::new(fate), Arc::new(lets_in));
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let (socks, control) = (listen(), listen());
        let address = |listener: &TcpListener| listener.local_addr().expect("an address").to_string();
        let tor = Self { socks: address(&socks), control: address(&control), known: Arc::clone(&known) };
        let of_control = Arc::clone(&known);
        std::thread::spawn(move || {
            for stream in control.incoming().flatten() {
                let (known, fate) = (Arc::clone(&of_control), Arc::clone(&fate));
                std::thread::spawn(move || obey(stream, &known, &*fate));
            }
        });
        std::thread::spawn(move || {
            for (number, stream) in (1..).zip(socks.incoming().flatten()) {
                let (known, lets_in) = (Arc::clone(&known), Arc::clone(&lets_in));
                std::thread::spawn(move || carry(stream, number, &known, lets_in(number)));
            }
        });
        tor
    }

    /// The commands that begin so.
    fn told(&self, start: &str) -> Vec<String> {
        let told = self.known.0.lock().expect("nobody panicked").told.clone();
        told.into_iter().filter(|told| told.starts_with(start)).collect()
    }
}

fn tell(known: &mut Known, event: &str) {
    known.events.retain_mut(|stream| stream.write_all(format!("650 {event}\r\n").as_bytes()).is_ok());
}

/// The path of every circuit.
fn path() -> String {
    ["A", "B", "C"].map(|relay| format!("${}~relay{relay}", relay.repeat(40))).join(",")
}

/// A connection to the control port.
fn obey(mut stream: TcpStream, shared: &(Mutex<Known>, Condvar), fate: &dyn Fn(u64, u32) -> Fate) {
    const TARGET: &str = "127.0.0.1:80";
    stream.set_nodelay(true).expect("a connection");
    let lines = BufReader::new(stream.try_clone().expect("a second handle"));
    for line in lines.lines().map_while(Result::ok) {
        let mut known = shared.0.lock().expect("nobody panicked");
        known.told.push(line.clone());
        let words: Vec<&str> = line.split(' ').collect();
        let mut events = Vec::new();
        let mut answer = "250 OK".to_owned();
        match words[..] {
            ["EXTENDCIRCUIT", "0", _] => {
                known.circuits += 1;
                let circuit = known.circuits;
                answer = format!("250 EXTENDED {circuit}");
                events.push(format!("CIRC {circuit} LAUNCHED PURPOSE=GENERAL"));
                let path = path();
                for end in path.match_indices(',').map(|(at, _)| at).chain([path.len()]) {
                    events.push(format!("CIRC {circuit} EXTENDED {} PURPOSE=GENERAL", &path[..end]));
                }
                events.push(format!("CIRC {circuit} BUILT {path} PURPOSE=GENERAL"));
            }
            ["ATTACHSTREAM", id, circuit] => {
                let (id, circuit): (u64, u64) = (id.parse().expect("a number"), circuit.parse().expect("a number"));
                match known.streams.get_mut(&id) {
                    Some(Stream::Waiting { attached }) => {
                        *attached += 1;
                        let fate = fate(id, *attached);
                        // With 0 Tor chooses.
                        let over = match fate {
                            Fate::GoesElsewhere => 999,
                            _ if circuit == 0 => 998,
                            _ => circuit,
                        };
                        match fate {
                            Fate::Refused => answer = "551 Can't attach stream to non-open origin circuit".to_owned(),
                            Fate::CircuitCloses => {
                                events.push(format!("CIRC {circuit} CLOSED {} PURPOSE=GENERAL REASON=DESTROYED", path()));
                                events.push(format!("STREAM {id} DETACHED {circuit} {TARGET} REASON=DESTROY"));
                            }
                            Fate::Detached => {
                                events.push(format!("STREAM {id} SENTCONNECT {circuit} {TARGET}"));
                                events.push(format!("STREAM {id} DETACHED {circuit} {TARGET} REASON=TIMEOUT"));
                            }
                            Fate::Goes | Fate::GoesElsewhere | Fate::GoesSilently => {
                                let said = if fate == Fate::GoesSilently { 0 } else { over };
                                known.streams.insert(id, Stream::Gone(said));
                                if fate != Fate::GoesSilently {
                                    events.push(format!("STREAM {id} SENTCONNECT {over} {TARGET}"));
                                    events.push(format!("STREAM {id} SUCCEEDED {over} {TARGET}"));
                                }
                            }
                        }
                    }
                    _ => answer = "552 Unknown stream".to_owned(),
                }
            }
            ["CLOSESTREAM", id, _] => {
                let id: u64 = id.parse().expect("a number");
                known.streams.insert(id, Stream::Closed);
                events.push(format!("STREAM {id} CLOSED 0 {TARGET} REASON=MISC"));
            }
            ["SETCONF", "__LeaveStreamsUnattached=1"] => known.is_left = true,
            ["RESETCONF", "__LeaveStreamsUnattached"] => known.is_left = false,
            ["SETEVENTS", ..] => known.events.push(stream.try_clone().expect("a second handle")),
            _ => {}
        }
        if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
            return;
        }
        events.iter().for_each(|event| tell(&mut known, event));
        shared.1.notify_all();
    }
}

/// A connection to the SOCKS port, version 5 without a user name.
fn carry(mut client: TcpStream, id: u64, shared: &(Mutex<Known>, Condvar), is_let_in: bool) -> Option<()> {
    client.set_nodelay(true).ok()?;
    client.read_exact(&mut [0; 3]).ok()?;
    if !is_let_in {
        return client.write_all(&[5, 0xff]).ok();
    }
    client.write_all(&[5, 0]).ok()?;
    let mut request = [0; 10];
    client.read_exact(&mut request).ok()?;
    let port = u16::from_be_bytes([request[8], request[9]]);
    let source = client.peer_addr().ok()?;
    let circuit = {
        let mut known = shared.0.lock().expect("nobody panicked");
        let chosen = if known.is_left { Stream::Waiting { attached: 0 } } else { Stream::Gone(997) };
        known.streams.insert(id, chosen);
        tell(&mut known, &format!("STREAM {id} NEW 0 127.0.0.1:{port} SOURCE_ADDR={source} PURPOSE=USER"));
        let waits = |known: &mut Known| matches!(known.streams[&id], Stream::Waiting { .. });
        let known = shared.1.wait_while(known, waits).expect("nobody panicked");
        if let Stream::Gone(circuit) = known.streams[&id] { Some(circuit) } else { None }
    };
    let Some(circuit) = circuit else {
        client.write_all(&[5, 1, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
        return client.shutdown(Shutdown::Both).ok();
    };
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    if circuit > 0 {
        let mut known = shared.0.lock().expect("nobody panicked");
        tell(&mut known, &format!("STREAM {id} CLOSED {circuit} 127.0.0.1:{port} REASON=DONE"));
    }
    Some(())
}

/// Five downloads, each over the same three relays, through a Tor that is not one.
fn over_a_path(tor: &Tor, more: &str) -> String {
    format!(
        "experiment: test
limits: {{errors: 100%, open: 100%, silence: 100%}}
targets: {{server: {{fixture: random-data, port: PORT1}}}}
workloads:
  downloads:
    url: http://127.0.0.1:PORT1
    stages: true
    socks: {{address: '{}', control: {{address: '{}', path: [first, second, third]}}}}
    load: {{closed: {{connections: 1}}, amount: 5}}
    steps: [{{get: /50KiB, expect: {{length: 50KiB}}}}]
{more}
",
        tor.socks, tor.control
    )
}

/// What became of the passes, all streams but that of the checked pass having this fate.
fn passes(fate: impl Fn(u32) -> Fate + Send + Sync + 'static) -> (Tor, Json, String) {
    let tor = Tor::new(move |stream, attached| if stream == 1 { Fate::Goes } else { fate(attached) });
    let place = Place::with(&over_a_path(&tor, ""));
    place.run_test().expect(0);
    let passes = part(&place.summary(), "all", "downloads", "during", "(pass)").clone();
    let errors = place.status("all/run1")["errors"].to_string();
    (tor, passes, errors)
}

#[test]
fn every_pass_goes_over_a_circuit_of_its_own_over_these_relays() {
    let (tor, passes, errors) = passes(|_| Fate::Goes);
    assert_eq!(passes["ok"], json!(5), "{errors}");
    let attached = tor.told("ATTACHSTREAM");
    let circuits: BTreeSet<&str> = attached.iter().filter_map(|told| told.split(' ').nth(2)).collect();
    assert!(attached.len() == 6 && circuits.len() == 6 && !circuits.contains("0"), "{attached:?}");
    let extended = tor.told("EXTENDCIRCUIT");
    assert!(extended.len() >= 6 && extended.iter().all(|told| told == "EXTENDCIRCUIT 0 first,second,third"), "{extended:?}");
    assert!(!tor.told("SETCONF __LeaveStreamsUnattached=1").is_empty());
    eventually("Tor chooses by itself again", || (!tor.told("RESETCONF __LeaveStreamsUnattached").is_empty()).then_some(()));
}

/// An event of that says nothing of where the stream comes from: it is known by its number.
#[test]
fn a_stream_that_is_detached_is_attached_to_its_circuit_again() {
    let (tor, passes, errors) = passes(|attached| if attached < 3 { Fate::Detached } else { Fate::Goes });
    assert_eq!(passes["ok"], json!(5), "{errors}");
    let attached = tor.told("ATTACHSTREAM");
    assert_eq!(attached.len(), 1 + 3 * 5, "{attached:?}");
    assert!(attached[1..].chunks(3).all(|same| same.iter().all(|told| *told == same[0])), "{attached:?}");
    assert!(attached.iter().all(|told| !told.ends_with(" 0")), "{attached:?}");
}

#[test]
fn a_pass_that_does_not_go_over_its_circuit_has_failed() {
    for (fate, words, closed) in [
        (Fate::Detached, "Tor detached it from its circuit 3 times: TIMEOUT", 5),
        (Fate::CircuitCloses, "Tor detached it from its circuit 1 times: DESTROY", 5),
        (Fate::Refused, "refused ATTACHSTREAM: 551 Can't attach stream to non-open origin circuit", 5),
        (Fate::GoesElsewhere, "Tor sent it over its circuit 999 instead", 5),
    ] {
        let (tor, passes, errors) = passes(move |_| fate);
        assert_eq!((&passes["errors"]["proxy"], &passes["ok"]), (&json!(5), &json!(0)), "{fate:?}: {passes} {errors}");
        assert!(errors.contains(words), "{fate:?}: {errors}");
        assert_eq!(tor.told("CLOSESTREAM").len(), closed, "{fate:?}");
        let chosen = tor.told("ATTACHSTREAM").into_iter().filter(|told| told.ends_with(" 0")).count();
        assert_eq!(chosen, 0, "{fate:?}: none is left to Tor");
    }
    // One of which nobody says where it went is not taken for one that went there.
    let tor = Tor::new(|stream, _| if stream == 1 { Fate::Goes } else { Fate::GoesSilently });
    let place = Place::with(&over_a_path(&tor, "").replace("amount: 5", "amount: 1"));
    place.run_test().expect(0);
    let passes = part(&place.summary(), "all", "downloads", "during", "(pass)").clone();
    let errors = place.status("all/run1")["errors"].to_string();
    assert!(passes["errors"]["proxy"] == json!(1) && errors.contains("over which circuit it went"), "{passes} {errors}");
}

#[test]
fn a_proxy_that_takes_no_way_to_authenticate_is_an_error_of_its_own() {
    let tor = Tor::that_lets_in(|_, _| Fate::Goes, |stream| stream == 1);
    let place = Place::with(&over_a_path(&tor, ""));
    place.run_test().expect(0);
    assert_eq!(part(&place.summary(), "all", "downloads", "during", "(pass)")["errors"]["proxy"], json!(5));
    let table = Table::open(&place.run_directory("test").join("cells/all/run1/transfers.parquet")).expect("rows");
    let piece = table.piece(0, &["error"]).expect("a readable table");
    assert!((0..5).all(|row| piece.value(0, row) == Value::Text("AUTH")), "{:?}", piece.value(0, 0));
}

/// Whoever reads the run of a day that was broken off finds the circuits of its transfers.
#[test]
fn what_a_control_port_told_before_a_kill_is_joined_to_its_transfers() {
    let tor = Tor::new(|_, _| Fate::Goes);
    let tap = format!("taps: {{tor: {{control: '{}'}}}}", tor.control);
    let load = "open: {rate: 20/s, connections: 4}, duration: 1h";
    let place = Place::with(&over_a_path(&tor, &tap).replace("closed: {connections: 1}, amount: 5", load));
    let mut started = place.start(&["measure", "test.yaml", "--no-graphs", "--quiet"]);
    let closed = |tor: &Tor| {
        let known = tor.known.0.lock().expect("nobody panicked");
        known.streams.values().filter(|stream| matches!(stream, Stream::Gone(_))).count()
    };
    started.until("there are transfers", || (closed(&tor) > 80).then_some(()));
    let before = closed(&tor);
    std::thread::sleep(Duration::from_secs(1));
    started.signal(Signal::KILL);
    let _ = started.wait();
    eventually("nothing of it is left", || place.processes().is_empty().then_some(()));
    let run = place.run_directory("test");
    place.run(&["resume", run.to_str().expect("a path")]).expect(0);
    let repetition = run.join("cells/all/run1");
    let left = crate::support::listing(&run.join("cells/all"));
    assert_eq!(left, ["run1"], "what was kept ahead is in it");
    let status = place.status("all/run1");
    let table = Table::open(&repetition.join("taps/tor.parquet")).expect("what the tap read");
    let rows: usize = (0..table.pieces()).map(|piece| table.piece(piece, &["line"]).expect("a readable table").height()).sum();
    assert_eq!(status["taps"][0]["rows"].as_u64(), Some(rows as u64), "{}", status["taps"]);
    // All but the checked pass, and what ended in the last moment.
    place.run(&["export", "torperf", run.to_str().expect("a path"), "-o", "out"]).expect(0);
    let name = crate::support::listing(&place.path("out")).into_iter().find(|name| name.ends_with(".tpf")).expect("a file");
    let text = std::fs::read_to_string(place.path("out").join(name)).expect("a file");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert!(lines.len() >= before - 2, "{} lines of {before} streams", lines.len());
    let joined = lines.iter().filter(|line| line.contains(" CIRC_ID=") || line.starts_with("CIRC_ID=")).count();
    assert!(joined + 8 >= lines.len(), "{joined} of {} are joined: {:?}", lines.len(), lines.last());
    assert!(joined >= before - 8, "{joined} of {before}");
    assert!(lines[0].contains(&format!("PATH=${}", "A".repeat(40))), "{}", lines[0]);
    place.assert_cleared(crate::support::CLEARED);
}
