//! The lean path: HTTP/1.1 over plain TCP, without an allocation per request.
//!
//! `answer` parses answers and knows no socket; this is the loop around it: one `write` and one `read` per request if
//! the answer arrives in one piece. Buffers belong to the thread, not to the connection: incoming bytes are read and
//! consumed before another connection has its turn, so a connection that waits for its answer holds a few hundred
//! bytes.

pub(super) mod answer;

use std::cell::RefCell;
use std::io::IoSlice;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as StdInstant};

use bytes::{Buf as _, Bytes};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use hyper::http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::judge::{self, judge};
use super::request::{self, Step, unfit_header, unfit_in_header};
use super::{RoundTrip, of_io};
use crate::drivers::Failure;
use crate::drivers::cookies::Recipient;
use crate::drivers::judged::Body;
use crate::drivers::socks::Unanswered;
use crate::drivers::transfer::Transfer;
use crate::drivers::values::Values;
use answer::{Answer, AnswerSink, EarlyEnd, Garbage, LastHead};
use plan::Selector;
use vocabulary::Outcome;
use vocabulary::rows::Stage;

/// The header in which a server reports when it had received each tenth of an upload.
const RECEIVED_AT: &str = "x-received-at";
/// How much is read at a time.
const INPUT: usize = 64 << 10;
/// How much is read at a time while more than [`INPUT`] is known to be missing.
const LARGE_INPUT: usize = 256 << 10;
/// Bodies up to this length are copied after their head; longer ones are sent from where they are.
const COPIED: usize = 4 << 10;

/// What all connections of a thread use in turn.
struct Buffers {
    /// The request that is being sent.
    output: Vec<u8>,
    /// What was just read. Empty before the first read.
    input: Vec<u8>,
    /// The head that was read last.
    seen: LastHead,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers { output: Vec::new(), input: Vec::new(), seen: LastHead::new() }) };
}

/// A connection that is written to and read from directly.
pub struct Lean {
    stream: TcpStream,
    host: HeaderValue,
    open: bool,
    /// What a proxy still has to send before the server can answer.
    unanswered: Option<Unanswered>,
    clock: Pin<Box<Sleep>>,
    armed_until: Instant,
    registered: bool,
}

/// A request that is on its way, and its answer.
struct UnderWay<'a> {
    sending: Sending,
    /// Bytes of the request that are not yet written.
    to_go: u64,
    answer: Answer,
    kept: NeededParts<'a>,
    /// When the first and the last bytes of the answer were read.
    first_read: Option<StdInstant>,
    last_read: Option<StdInstant>,
    deadline: Instant,
    /// Where the times of stages are recorded.
    transfer: Option<&'a mut Transfer>,
}

/// The progress of sending a request.
enum Sending {
    Done,
    Partly(Unsent),
    Failed(std::io::Error),
}

/// A request whose sending has started.
struct Begun {
    sending: Sending,
    /// Length of its body, which comes last: while more than that is unwritten, nothing of the body is written.
    length: u64,
    /// Bytes of it that are not yet written.
    to_go: u64,
}

/// The part of a request that the system did not accept at once.
struct Unsent {
    /// What was composed for this request.
    composed: Bytes,
    /// Its body, if that was not worth copying.
    body: Bytes,
}

/// What a step needs from an answer.
struct NeededParts<'a> {
    step: &'a Step,
    headers: HeaderMap,
    body: Option<Body>,
    /// Whether the header in which the server reports the progress of an upload is wanted.
    wants_told: bool,
    told: Option<Vec<u8>>,
    keeps_cookies: bool,
}

/// Why an exchange stopped.
enum ExchangeError {
    Timeout,
    EarlyEnd(EarlyEnd),
    Garbage(Garbage),
    Io(std::io::Error),
}

impl AnswerSink for NeededParts<'_> {
    fn wants_headers(&self, coded: bool, sets_cookies: bool) -> bool {
        self.wants_told
            || coded && self.body.is_some()
            || sets_cookies && self.keeps_cookies
            || self.step.judged.selectors().any(|selector| selector.header().is_some())
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        if self.wants_told && name.eq_ignore_ascii_case(RECEIVED_AT) {
            self.told = Some(value.to_vec());
        }
        let carries = |selector: &Selector| selector.header().is_some_and(|wanted| name.eq_ignore_ascii_case(wanted));
        let wanted = self.step.judged.selectors().any(carries)
            || self.body.is_some() && name.eq_ignore_ascii_case("content-encoding")
            || self.keeps_cookies && name.eq_ignore_ascii_case("set-cookie");
        if wanted && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            self.headers.append(name, value);
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        if let Some(body) = &mut self.body {
            body.keep(bytes);
        }
    }
}

impl Lean {
    /// Starts to speak on a stream.
    pub fn new(stream: TcpStream, host: HeaderValue, timeout: Duration) -> Self {
        let armed_until = Instant::now() + timeout;
        let clock = Box::pin(tokio::time::sleep_until(armed_until));
        Self { stream, host, open: true, unanswered: None, clock, armed_until, registered: false }
    }

    /// The same on a stream on which a proxy still has to report that it is connected: the first request does not wait
    /// for that.
    pub fn before(self, unanswered: Option<Unanswered>) -> Self {
        Self { unanswered, ..self }
    }

    /// Whether a request can be sent. Costs no system call while the server has sent nothing.
    pub fn is_open(&mut self) -> bool {
        if self.open && self.unanswered.is_none() {
            let mut probe = [0; 1];
            // Anything unexpected, including the end of the stream, makes the connection unfit for another request.
            self.open = matches!(self.stream.try_read(&mut probe), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
        }
        self.open
    }

    /// Sends the request of a step, reads the answer to its end and checks it. Its time-out counts from `begin`.
    pub async fn exchange(
        &mut self,
        begin: StdInstant,
        step: &Step,
        values: &mut Values,
        mut transfer: Option<&mut Transfer>,
    ) -> RoundTrip {
        let deadline = Instant::from_std(begin) + step.timeout;
        let Begun { sending, length, to_go } = match self.send(step, values, transfer.as_deref_mut()) {
            Ok(sent) => sent,
            Err(failure) => return RoundTrip { usable: true, ..RoundTrip::broken(None, failure) },
        };
        if let Some(unanswered) = self.unanswered.take() {
            self.open = false;
            let stream = &mut self.stream;
            let reading = async {
                match transfer.as_deref_mut() {
                    Some(transfer) => unanswered.read(stream, deadline, transfer).await,
                    None => unanswered.read(stream, deadline, &mut Transfer::default()).await,
                }
            };
            // Rare parts are boxed: each of many connections contains an exchange.
            if let Err(failure) = Box::pin(reading).await {
                return RoundTrip { sent_bytes: length.saturating_sub(to_go), ..RoundTrip::broken(None, failure) };
            }
        }
        let wants_told = transfer.is_some() && length > 0;
        // Only an answer that is read to its end leaves the connection fit for the next request.
        self.open = false;
        let mut way = UnderWay {
            sending,
            to_go,
            answer: Answer::new(step.method == hyper::Method::HEAD),
            kept: NeededParts {
                step,
                headers: HeaderMap::new(),
                body: step.needs_body().then(Body::new),
                wants_told,
                told: None,
                keeps_cookies: values.cookies.is_some(),
            },
            first_read: None,
            last_read: None,
            deadline,
            transfer,
        };
        let ended = std::future::poll_fn(|cx| self.poll_under_way(cx, &mut way)).await;
        let UnderWay { answer, kept, first_read, last_read, transfer, to_go, .. } = way;
        let sent_bytes = length.saturating_sub(to_go);
        if let (Some(transfer), Some(told)) = (transfer, &kept.told) {
            transfer.told(told);
        }
        let received_bytes = answer.received();
        let (completed, result) = match ended {
            Ok(sent) => {
                self.open = sent && answer.keeps_alive();
                let got = judge::Answer {
                    status: answer.status(),
                    received_bytes,
                    body: kept.body.as_ref().map(Body::kept),
                    headers: &kept.headers,
                };
                keep_cookies(step, self.host.as_bytes(), &kept.headers, values);
                (last_read, judge(step, &got, values))
            }
            Err(broken) => (None, Err(broken.into_failure(step, values, answer.has_begun()))),
        };
        let completed = completed.unwrap_or_else(StdInstant::now);
        let (status, usable) = (answer.status(), self.open);
        RoundTrip { first_byte: first_read, completed, sent_bytes, received_bytes, status, usable, result }
    }

    /// Composes the request and sends as much of it as the system accepts at once.
    fn send(&self, step: &Step, values: &mut Values, transfer: Option<&mut Transfer>) -> Result<Begun, Failure> {
        BUFFERS.with_borrow_mut(|buffers| {
            let out = &mut buffers.output;
            let (length, body) = self.compose(step, values, out)?;
            let sent = match &body {
                None => self.stream.try_write(out),
                Some(body) => self.stream.try_write_vectored(&[IoSlice::new(out), IoSlice::new(body)]),
            };
            let whole = out.len() + body.as_ref().map_or(0, Bytes::len);
            let sent = match sent {
                Ok(sent) => sent,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(error) => return Ok(Begun { sending: Sending::Failed(error), length, to_go: whole as u64 }),
            };
            let to_go = (whole - sent) as u64;
            if let Some(transfer) = transfer {
                transfer.upload = length;
                transfer.wrote(sent as u64, to_go);
            }
            if to_go == 0 {
                return Ok(Begun { sending: Sending::Done, length, to_go });
            }
            let mut unsent = Unsent { composed: Bytes::copy_from_slice(out), body: body.unwrap_or_default() };
            unsent.advance(sent);
            Ok(Begun { sending: Sending::Partly(unsent), length, to_go })
        })
    }

    /// Writes the request into `out`. Returns the length of its body, and the body itself if it was not copied.
    fn compose(&self, step: &Step, values: &mut Values, out: &mut Vec<u8>) -> Result<(u64, Option<Bytes>), Failure> {
        out.clear();
        out.extend_from_slice(step.method.as_str().as_bytes());
        out.push(b' ');
        let path_at = out.len();
        step.write_path(values, out)?;
        let path = path_at..out.len();
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if !step.has_host {
            out.extend_from_slice(b"host: ");
            out.extend_from_slice(self.host.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&step.fixed_head);
        if let Some(jar) = &mut values.cookies {
            // The path was checked: it is ASCII.
            let path = std::str::from_utf8(&out[path]).unwrap_or("/");
            let line = jar.line(Recipient { tls: false, host: step.cookie_host(self.host.as_bytes()), path });
            if !line.is_empty() {
                out.extend_from_slice(b"cookie: ");
                out.extend_from_slice(line.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        for (name, value) in &step.late_headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            let value_at = out.len();
            value.write(values, out);
            if let Some(byte) = unfit_in_header(&out[value_at..]) {
                return Err(unfit_header(name, value, byte));
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(match &step.body {
            request::Body::Empty if matches!(step.method.as_str(), "PUT" | "POST" | "PATCH") => finish(out, &Bytes::new(), 0..0),
            request::Body::Empty => {
                out.extend_from_slice(b"\r\n");
                (0, None)
            }
            request::Body::Fixed(bytes) => finish(out, bytes, 0..bytes.len()),
            request::Body::Text(text) => {
                let text = Bytes::from(text.fill(values));
                finish(out, &text, 0..text.len())
            }
            request::Body::Random(length) => {
                let length = *length as usize;
                let spare = step.random.len() - length;
                let start = (values.next_random() % (spare as u64 + 1)) as usize;
                finish(out, &step.random, start..start + length)
            }
        })
    }

    /// Sends the rest of the request and reads the answer. Returns whether all of the request was sent.
    ///
    /// Both happen as soon as they can: a server may answer before it has read everything, and one that sends a long
    /// answer meanwhile may stop reading until that is read.
    fn poll_under_way(&mut self, cx: &mut Context<'_>, way: &mut UnderWay<'_>) -> Poll<Result<bool, ExchangeError>> {
        loop {
            if let Sending::Partly(unsent) = &mut way.sending {
                let before = way.to_go;
                let polled = self.poll_unsent(cx, unsent);
                way.to_go = unsent.len() as u64;
                if let Some(transfer) = &mut way.transfer {
                    transfer.wrote(before - way.to_go, way.to_go);
                }
                match polled {
                    Poll::Ready(Ok(())) => way.sending = Sending::Done,
                    Poll::Ready(Err(error)) => way.sending = Sending::Failed(error),
                    Poll::Pending => {}
                }
            }
            if way.answer.is_whole() {
                match way.sending {
                    Sending::Done => return Poll::Ready(Ok(true)),
                    Sending::Failed(_) => return Poll::Ready(Ok(false)),
                    Sending::Partly(_) if self.timed_out(cx, way.deadline) => return Poll::Ready(Ok(false)),
                    Sending::Partly(_) => return Poll::Pending,
                }
            }
            let polled = self.poll_answer(cx, way);
            // An early answer explains the end of the connection better than the end itself.
            if let Sending::Failed(error) = &mut way.sending
                && !way.answer.has_begun()
                && !matches!(polled, Poll::Ready(Ok(()) | Err(ExchangeError::Garbage(_))))
            {
                let error = std::mem::replace(error, std::io::ErrorKind::BrokenPipe.into());
                return Poll::Ready(Err(ExchangeError::Io(error)));
            }
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending if self.timed_out(cx, way.deadline) => return Poll::Ready(Err(ExchangeError::Timeout)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Sends as much of the rest as the system accepts.
    fn poll_unsent(&mut self, cx: &mut Context<'_>, unsent: &mut Unsent) -> Poll<std::io::Result<()>> {
        while unsent.len() > 0 {
            let slices = [IoSlice::new(&unsent.composed), IoSlice::new(&unsent.body)];
            match ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                sent => unsent.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, into the buffer of the thread, and consumes the bytes.
    fn poll_answer(&mut self, cx: &mut Context<'_>, way: &mut UnderWay<'_>) -> Poll<Result<(), ExchangeError>> {
        BUFFERS.with_borrow_mut(|buffers| {
            let size = if way.answer.missing() > INPUT as u64 { LARGE_INPUT } else { INPUT };
            if buffers.input.len() < size {
                buffers.input.resize(size, 0);
            }
            let mut buffer = ReadBuf::new(&mut buffers.input[..size]);
            // A read that does not fill the buffer also tells tokio that the socket is empty: there is no second `read`
            // in vain.
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)).map_err(ExchangeError::Io)?;
            if buffer.filled().is_empty() {
                return Poll::Ready(way.answer.end().map_err(ExchangeError::EarlyEnd));
            }
            let now = StdInstant::now();
            if way.first_read.is_none()
                && let Some(transfer) = &mut way.transfer
            {
                transfer.over_at(Stage::DataResponse, now);
            }
            way.first_read.get_or_insert(now);
            way.last_read = Some(now);
            let fed = way.answer.feed(buffer.filled(), &mut buffers.seen, &mut way.kept).map_err(ExchangeError::Garbage);
            if let Some(transfer) = &mut way.transfer {
                transfer.read_bytes += buffer.filled().len() as u64;
                transfer.body(way.answer.received(), way.answer.length(), now);
            }
            Poll::Ready(fed)
        })
    }

    /// One timer per connection, set again only when it fires: a request costs no timer operation.
    fn timed_out(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        // A task that has used up its turn is polled again at once; the timer would not even answer it now.
        if !tokio::task::coop::has_budget_remaining() {
            return Instant::now() >= deadline;
        }
        if deadline < self.armed_until {
            self.arm(deadline);
        }
        while !self.registered || self.clock.is_elapsed() {
            if self.clock.as_mut().poll(cx).is_pending() {
                // The waker is always that of the one task that owns this connection.
                self.registered = true;
                return false;
            }
            if Instant::now() >= deadline {
                return true;
            }
            self.arm(deadline);
        }
        false
    }

    fn arm(&mut self, deadline: Instant) {
        self.armed_until = deadline;
        self.clock.as_mut().reset(deadline);
        self.registered = false;
    }
}

impl Unsent {
    fn len(&self) -> usize {
        self.composed.len() + self.body.len()
    }

    fn advance(&mut self, sent: usize) {
        let composed = sent.min(self.composed.len());
        self.composed.advance(composed);
        self.body.advance(sent - composed);
    }
}

impl ExchangeError {
    /// The failure in words; `begun`: whether a part of the answer had arrived.
    fn into_failure(self, step: &Step, values: &Values, begun: bool) -> Failure {
        let label = step.label(values);
        match self {
            Self::Timeout => {
                let what = if begun { "whole answer" } else { "answer" };
                Failure::new(Outcome::Timeout, format!("{label}: no {what} within {:?}", step.timeout))
            }
            Self::EarlyEnd(EarlyEnd::Before) => {
                Failure::new(Outcome::Closed, format!("{label}: the connection was closed instead of an answer"))
            }
            Self::EarlyEnd(EarlyEnd::Within) => Failure::new(Outcome::Incomplete, format!("{label}: the answer broke off")),
            Self::Garbage(garbage) => Failure::new(Outcome::Garbage, format!("{label}: {garbage}")),
            Self::Io(error) => of_io(&error, &label),
        }
    }
}

/// Keeps the cookies that an answer sets.
fn keep_cookies(step: &Step, host: &[u8], headers: &HeaderMap, values: &mut Values) {
    if values.cookies.is_none() || !headers.contains_key(SET_COOKIE) {
        return;
    }
    let path = step.path(values).ok();
    let path = path.as_ref().map_or("/", PathAndQuery::as_str);
    values.take_cookies(headers, Recipient { tls: false, host: step.cookie_host(host), path });
}

/// Ends a head, and puts a short body after it. Returns the length of the body, and a long body itself.
fn finish(out: &mut Vec<u8>, block: &Bytes, range: Range<usize>) -> (u64, Option<Bytes>) {
    let length = range.len() as u64;
    let mut digits = [0; 20];
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(decimal(length, &mut digits));
    out.extend_from_slice(b"\r\n\r\n");
    if range.len() > COPIED {
        return (length, Some(block.slice(range)));
    }
    out.extend_from_slice(&block[range]);
    (length, None)
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::step;
    use super::super::scripted::{CHUNKED, EARLY, OK, UNTIL_CLOSED, WRONG, answer_each, run};
    use super::*;
    use std::cell::Cell;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Serves one connection: each request is answered with the next of `answers`, byte by byte when `slowly`.
    fn exchanges(answers: Vec<&'static str>, slowly: bool) -> Vec<Result<u64, Outcome>> {
        run(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let count = answers.len();
            let server = async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                answer_each(&mut stream, answers, slowly, &Cell::new(0)).await;
            };
            let client = async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut lean = Lean::new(stream, HeaderValue::from_static("x"), Duration::from_secs(5));
                let step = step("GET");
                let mut values = Values::for_tests();
                let mut results = Vec::new();
                for _ in 0..count {
                    let result = lean.exchange(StdInstant::now(), &step, &mut values, None).await;
                    results.push(result.result.map(|()| result.received_bytes).map_err(|f| f.outcome));
                    if !lean.is_open() {
                        break;
                    }
                }
                results
            };
            tokio::join!(server, client).1
        })
    }

    #[test]
    fn answers_of_every_form_are_read_to_their_end() {
        for slowly in [false, true] {
            let results = exchanges(vec![OK, CHUNKED, EARLY, OK, UNTIL_CLOSED], slowly);
            assert_eq!(results, [Ok(5), Ok(15), Ok(2), Ok(5), Ok(12)], "slowly: {slowly}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_own_outcome() {
        let more = [
            ("HTTP/1.1 103 Early Hints\r\n\r\n", Outcome::Closed),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Outcome::Garbage),
        ];
        for (answer, outcome) in WRONG.into_iter().chain(more) {
            assert_eq!(exchanges(vec![answer], false), [Err(outcome)], "{answer:?}");
        }
    }

    fn put(length: u64, timeout: Duration) -> Step {
        let step = plan::Step {
            body: match length {
                ..=LONG => plan::Body::Random(length),
                _ => plan::Body::Text(plan::Template::parse(&"x".repeat(length as usize))),
            },
            ..plan::Step::plain("PUT", plan::Template::parse("/"), timeout)
        };
        Step::new(&step, "", &[], &[]).unwrap()
    }

    /// One exchange with a server that does what `serve` says, and whether another one could follow.
    fn exchange_with<F: Future<Output = ()>>(step: Step, serve: impl FnOnce(TcpStream) -> F) -> (RoundTrip, bool) {
        run(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = async move { serve(listener.accept().await.unwrap().0).await };
            let client = async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut lean = Lean::new(stream, HeaderValue::from_static("x"), step.timeout);
                let round_trip = lean.exchange(StdInstant::now(), &step, &mut Values::for_tests(), None).await;
                let open = lean.is_open();
                (round_trip, open)
            };
            tokio::join!(server, client).1
        })
    }

    /// Reads a request up to the end of its head; returns how much of the body came with it.
    async fn read_head(stream: &mut TcpStream) -> usize {
        let mut request = Vec::new();
        loop {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            if let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") {
                return request.len() - end - 4;
            }
        }
    }

    const LONG: u64 = 1_000_000;
    const HI: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
    /// More than the system accepts while nobody reads.
    const ENDLESS: u64 = 40_000_000;

    #[test]
    fn a_long_body_is_sent_whole() {
        for length in [0, 1, COPIED as u64, COPIED as u64 + 1, LONG] {
            let serve = |mut stream: TcpStream| async move {
                let mut missing = length as usize - read_head(&mut stream).await;
                let mut space = vec![0; 10_000];
                while missing > 0 {
                    missing -= stream.read(&mut space).await.unwrap();
                    tokio::task::yield_now().await;
                }
                stream.write_all(HI).await.unwrap();
                std::future::pending::<()>().await;
            };
            let serve = |stream| async move {
                // The client is done when this is not.
                let _ = tokio::time::timeout(Duration::from_millis(100), serve(stream)).await;
            };
            let (round_trip, open) = exchange_with(put(length, Duration::from_secs(5)), serve);
            assert!(round_trip.result.is_ok() && round_trip.usable && open, "{:?}", round_trip.result);
            assert_eq!((round_trip.sent_bytes, round_trip.received_bytes), (length, 2));
            assert_eq!(round_trip.first_byte, Some(round_trip.completed), "one read, one instant");
        }
    }

    #[test]
    fn an_early_answer_is_kept() {
        let serve = |mut stream: TcpStream| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            // Unread bytes turn this end into a reset.
        };
        let (round_trip, open) = exchange_with(put(ENDLESS, Duration::from_secs(5)), serve);
        // The reset may overtake the answer; then it is what is reported.
        let outcome = round_trip.result.unwrap_err().outcome;
        assert!(matches!(outcome, Outcome::Status | Outcome::Reset), "{outcome:?}");
        assert!(!round_trip.usable && !open);
    }

    #[test]
    fn who_answers_while_it_reads_is_listened_to() {
        let serve = |mut stream: TcpStream| async move {
            let mut missing = ENDLESS as usize - read_head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", ENDLESS).as_bytes()).await.unwrap();
            // More than fits in between: it is only sent if it is read meanwhile.
            stream.write_all(&vec![b'x'; ENDLESS as usize]).await.unwrap();
            let mut space = vec![0; 100_000];
            while missing > 0 {
                missing -= stream.read(&mut space).await.unwrap();
            }
        };
        let (round_trip, _) = exchange_with(put(ENDLESS, Duration::from_secs(5)), serve);
        assert!(round_trip.result.is_ok() && round_trip.usable, "{:?}", round_trip.result);
        assert_eq!(round_trip.received_bytes, ENDLESS);
        assert!(round_trip.first_byte.unwrap() < round_trip.completed);
    }

    #[test]
    fn a_server_that_reads_nothing_or_says_nothing_times_out() {
        for length in [0, ENDLESS] {
            let serve = |mut stream: TcpStream| async move {
                read_head(&mut stream).await;
                let _ = tokio::time::timeout(Duration::from_millis(200), std::future::pending::<()>()).await;
            };
            let (round_trip, open) = exchange_with(put(length, Duration::from_millis(20)), serve);
            assert_eq!(round_trip.result.unwrap_err().outcome, Outcome::Timeout);
            assert!(round_trip.first_byte.is_none() && !round_trip.usable && !open);
        }
    }

    #[test]
    fn an_endless_answer_times_out() {
        let serve = |mut stream: TcpStream| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while stream.write_all(&[b'x'; 100_000]).await.is_ok() {}
        };
        let (round_trip, open) = exchange_with(put(0, Duration::from_millis(50)), serve);
        assert_eq!(round_trip.result.unwrap_err().outcome, Outcome::Timeout);
        assert!(round_trip.first_byte.is_some() && !open);
    }

    #[test]
    fn what_comes_behind_an_answer_closes_the_connection() {
        let serve = |mut stream: TcpStream| async move {
            read_head(&mut stream).await;
            stream.write_all(HI).await.unwrap();
            stream.write_all(HI).await.unwrap();
        };
        let (round_trip, open) = exchange_with(put(0, Duration::from_secs(5)), serve);
        // Either it arrived with the answer, or it is noticed before the next request.
        assert!(round_trip.result.is_err_and(|f| f.outcome == Outcome::Garbage) || !open);
    }

    /// What a connection holds in user space while it is idle or waits: it owns no buffer.
    #[test]
    fn a_connection_is_small() {
        run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut lean = Lean::new(stream, HeaderValue::from_static("x"), Duration::from_secs(5));
            let (step, mut values) = (step("GET"), Values::for_tests());
            let exchange = size_of_val(&lean.exchange(StdInstant::now(), &step, &mut values, None));
            let clock = size_of::<Sleep>();
            assert!(size_of::<Lean>() + clock + exchange < 2048, "{} + {clock} + {exchange}", size_of::<Lean>());
        });
    }
}
