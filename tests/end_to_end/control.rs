//! Tor's control port: what it tells as rows, what it is told before passes and in set-up; against one that is not Tor, so that it can
//! refuse, flood and end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::record::rows::{Table, Value};
use serde_json::{Value as Json, json};

use crate::load::part;
use crate::support::{Outcome, Place};

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
        (", cookie: DIR/cookie", b"short", "and a cookie of Tor has 32"),
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
    outcome.expect(4).complains(&["the tap `tor` was away for", "and came back 1 times"]);
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
    let dropped = port.count("DROPGUARDS");
    assert!((1..=2).contains(&dropped), "of the checked pass, and of the load: {dropped}");
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
        [(&[b'B'; 32][..], "refused AUTHENTICATE: 515 Authentication failed"), (b"short", "and a cookie of Tor has 32")]
    {
        let (_, outcome) = run(&scenario(&control, ""), cookie);
        outcome.expect(4).complains(&[words]);
    }
    assert_eq!(port.count("SIGNAL NEWNYM"), 0);
}
