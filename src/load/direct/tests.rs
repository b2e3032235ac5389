//! Whether tasks and the loop make the same of what servers do.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use proptest::prelude::*;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::*;
use crate::drivers::http::faults::tls::served;
use crate::{Job, Rows, Setting};
use plan::drivers::http::Http;
use plan::{Arrivals, Length, Template, Url};

/// What a server does with a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Closes the connection as soon as it is made, whatever is sent; not one after the other.
    Refuses,
    /// Sends a body without end.
    Endless,
    /// Sends this, at once.
    Whole(&'static str),
    /// Sends this byte by byte.
    Slowly(&'static str),
    /// Sends this, and closes.
    Last(&'static str),
    /// Sends this, and ends the connection as somebody between the two would: TLS is not told of it.
    Cut(&'static str),
    /// Sends nothing until the client has closed.
    Nothing,
}

/// Who carries the passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Loop,
    Task,
    /// A task, with a connection of hyper's.
    Hyper,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const ACTS: [Act; 17] = [
    Act::Whole(OK),
    Act::Whole(OK),
    Act::Whole("HTTP/1.1 200 OK\r\nage: 1\r\ncontent-length: 2\r\n\r\nhi"),
    Act::Whole(CHUNKED),
    Act::Whole("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
    Act::Whole("HTTP/1.1 204 No Content\r\n\r\n"),
    Act::Whole("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    Act::Whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more"),
    Act::Slowly(OK),
    Act::Slowly(CHUNKED),
    Act::Last("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"),
    Act::Last("HTTP/1.1 200 OK\r\n\r\nall the rest"),
    Act::Last("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
    Act::Last(""),
    Act::Cut("HTTP/1.1 200 OK\r\n\r\nall that there is"),
    Act::Cut("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
    Act::Cut(""),
];

/// A server that does this with one request after the other, whatever connection they come on.
struct Server {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(mut acts: Vec<Act>, is_secret: bool) -> Self {
        let session = is_secret.then(|| served(&["http/1.1"]));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, over) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let is_over = Arc::clone(&over);
        acts.reverse();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                if matches!(acts.last(), Some(Act::Refuses)) {
                    continue;
                }
                stream.set_nodelay(true).unwrap();
                let socket = stream.try_clone().unwrap();
                match &session {
                    None => serve(stream, &socket, |_| {}, &mut acts),
                    Some(config) => {
                        let session = ServerConnection::new(Arc::clone(config)).unwrap();
                        let say_end = |stream: &mut StreamOwned<ServerConnection, TcpStream>| {
                            stream.conn.send_close_notify();
                            let _ = stream.flush();
                        };
                        serve(StreamOwned::new(session, stream), &socket, say_end, &mut acts);
                    }
                }
            }
        });
        Self { port, over, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve<S: Read + Write>(mut stream: S, socket: &TcpStream, say_end: impl Fn(&mut S), acts: &mut Vec<Act>) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        let mut say = |text: &str| drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
        match acts.pop().unwrap_or(Act::Whole(OK)) {
            Act::Whole(text) => say(text),
            Act::Slowly(text) => text.split_inclusive(|_| true).for_each(say),
            Act::Last(text) => {
                say(text);
                say_end(&mut stream);
                let _ = socket.shutdown(Shutdown::Write);
            }
            Act::Cut(text) => {
                say(text);
                let _ = socket.shutdown(Shutdown::Write);
            }
            Act::Endless => {
                say("HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
            }
            Act::Nothing | Act::Refuses => {}
        }
    }
}

/// How many, bytes sent and received, and in a closed loop whether a time to connect was recorded: in an open loop there may have been
/// time for that before.
type Sums = (u64, u64, u64, bool);

/// What is left of a load if all times are left out.
#[derive(Debug, PartialEq)]
struct Result {
    /// By step (none: the pass) and outcome.
    rows: BTreeMap<(Option<u16>, String), Sums>,
    connects: u64,
    traffic: crate::Traffic,
    examples: Vec<String>,
}

/// A load on one connection.
fn result_of(acts: &[Act], steps: u16, passes: u64, rate: Option<f64>, timeout: Duration, by_task: bool) -> Result {
    let carrier = if by_task { Carrier::Task } else { Carrier::Loop };
    result_over("http", acts, steps, passes, rate, timeout, carrier)
}

fn result_over(
    scheme: &str,
    acts: &[Act],
    steps: u16,
    passes: u64,
    rate: Option<f64>,
    timeout: Duration,
    carrier: Carrier,
) -> Result {
    let server = Server::start(acts.to_vec(), scheme == "https");
    let url = Url::parse(&format!("{scheme}://127.0.0.1:{}", server.port)).unwrap();
    let step = plan::Step::plain("GET", Template::parse("/"), timeout);
    let http = Http::plain(url, vec![step; usize::from(steps)]);
    // Who might have to log in again needs a task.
    let relogin = if carrier == Carrier::Loop { Vec::new() } else { vec![418] };
    // Redirects are followed by hyper's connections only.
    let redirects = u32::from(carrier == Carrier::Hyper);
    let tls = plan::Tls { trust: plan::tls::Trust::Anybody, ..plan::Tls::default() };
    let mut workload = Http { relogin, redirects, tls, ..http }.once("requests");
    workload.load.segments[0].length = Length::Amount(passes);
    if let Some(rate) = rate {
        workload.load.arrivals = Arrivals::open(1, plan::Pattern::Rate(rate), vocabulary::choices::Spacing::Constant);
        workload.load.drain = Duration::from_secs(10);
    }
    let (rows, received) = crate::queue::queue();
    let (_abort, asked) = tokio::sync::watch::channel(false);
    let setting = Setting::alone(1, rows, asked);
    let running = crate::start(&Job::new(Arc::new(workload), 0, &setting)).unwrap();
    drop(setting);
    let mut report = running.join().unwrap();
    let mut rows: BTreeMap<_, Sums> = BTreeMap::new();
    while let Ok(sent) = received.try_recv() {
        let Rows::Windows(windows) = sent else { continue };
        for row in windows {
            let sum = rows.entry((row.step, row.outcome.name(&[]).to_owned())).or_default();
            *sum = (
                sum.0 + row.count,
                sum.1 + row.sent_bytes,
                sum.2 + row.received_bytes,
                sum.3 || rate.is_none() && !row.connect.is_empty(),
            );
        }
    }
    report.examples.iter_mut().for_each(|example| *example = example.replace(&server.port.to_string(), "PORT"));
    Result { rows, connects: report.connects, traffic: report.traffic, examples: report.examples }
}

const PATIENT: Duration = Duration::from_secs(10);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a server does, whoever carries the passes makes the same of it.
    #[test]
    fn tasks_and_the_loop_make_the_same_of_it(
        acts in prop::collection::vec(prop::sample::select(&ACTS[..]), 1..14), steps in 1_u16..4, rate in prop::option::of(Just(2000.0))
    ) {
        let passes = acts.len() as u64;
        let [by_loop, by_task] = [false, true].map(|by_task| result_of(&acts, steps, passes, rate, PATIENT, by_task));
        prop_assert_eq!(by_loop, by_task);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// The same over TLS, where the outcomes are those of hyper's connections, too.
    #[test]
    fn the_same_is_made_of_it_over_tls(
        acts in prop::collection::vec(prop::sample::select(&ACTS[..]), 1..10), steps in 1_u16..4, rate in prop::option::of(Just(2000.0))
    ) {
        let passes = acts.len() as u64;
        let result = |carrier| result_over("https", &acts, steps, passes, rate, PATIENT, carrier);
        let by_loop = result(Carrier::Loop);
        let counts = |result: &Result| result.rows.iter().map(|(key, row)| (key.clone(), row.0)).collect::<BTreeMap<_, _>>();
        prop_assert_eq!(counts(&by_loop), counts(&result(Carrier::Hyper)));
        prop_assert_eq!(by_loop, result(Carrier::Task));
    }
}

#[test]
fn who_does_not_answer_in_time_is_given_up_and_asked_again_elsewhere() {
    let acts = [Act::Whole(OK), Act::Nothing, Act::Whole(OK), Act::Nothing];
    for rate in [None, Some(100.0)] {
        let result = |by_task| result_of(&acts, 1, 6, rate, Duration::from_millis(500), by_task);
        let by_loop = result(false);
        let counts = |outcome: &str| by_loop.rows.get(&(Some(0), outcome.to_owned())).map(|row| row.0);
        assert_eq!((counts("ok"), counts("timeout"), by_loop.connects), (Some(4), Some(2), 3), "{by_loop:?}");
        assert_eq!(by_loop, result(true));
    }
}

/// Each connection costs a pass, and no pass is without one: the load ends.
#[test]
fn a_server_that_closes_each_connection_at_once_is_asked_no_more_often_than_there_are_passes() {
    for rate in [None, Some(200.0)] {
        for by_task in [false, true] {
            let result = result_of(&[Act::Refuses], 1, 30, rate, PATIENT, by_task);
            let passes: u64 = result.rows.iter().filter(|(key, _)| key.0.is_none()).map(|(_, row)| row.0).sum();
            let ok = result.rows.get(&(None, "ok".to_owned())).map_or(0, |row| row.0);
            // A client of a closed loop connects before each pass, and once more within it if that was in vain.
            assert!((passes, ok) == (30, 0) && result.connects <= 62, "by task: {by_task}, {rate:?}: {result:?}");
        }
    }
}

#[test]
fn an_answer_without_end_has_a_time_out_and_others_are_not_kept_waiting() {
    for by_task in [false, true] {
        let begun = Instant::now();
        let result = result_of(&[Act::Endless, Act::Whole(OK)], 1, 2, None, Duration::from_millis(500), by_task);
        let counts: Vec<_> =
            result.rows.iter().filter(|(key, _)| key.0.is_none()).map(|(key, row)| (key.1.as_str(), row.0)).collect();
        assert_eq!(counts, [("ok", 1), ("timeout", 1)], "by task: {by_task}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_connection_that_is_closed_while_it_is_idle_is_made_again_and_nothing_fails() {
    let acts = [Act::Last(OK), Act::Whole(OK), Act::Last(OK)];
    let result = |by_task| result_of(&acts, 1, 5, Some(20.0), PATIENT, by_task);
    let by_loop = result(false);
    assert_eq!((by_loop.connects, by_loop.examples.as_slice()), (3, [].as_slice()));
    assert_eq!(by_loop, result(true));
}
