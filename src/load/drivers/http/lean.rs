//! The lean path: HTTP/1.1 over TCP, without an allocation per request but those of TLS.
//!
//! `compose` writes requests, and `answer` parses answers and knows no socket; `wire` is the socket, whoever watches it, and
//! `line` is the socket with the session on it, if there is one. This is the loop around them: one `write` and one `read` per
//! request if the answer arrives in one piece. Buffers belong to the thread, not to the connection: incoming bytes are read
//! and consumed before another connection has its turn, so a connection that waits for its answer holds a few hundred bytes.

pub(super) mod answer;
pub(super) mod compose;
mod line;
mod wire;

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant as StdInstant};

use bytes::{Buf as _, Bytes};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use hyper::http::uri::PathAndQuery;
use tls::Session;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::judge::{self, judge};
use super::request::Step;
use super::{RoundTrip, of_io};
use crate::drivers::cookies::Recipient;
use crate::drivers::judged::Body;
use crate::drivers::socks::Unanswered;
use crate::drivers::transfer::Transfer;
use crate::drivers::values::Values;
use crate::drivers::{Failure, Readiness};
use answer::{Answer, AnswerSink, EarlyEnd, Garbage, LastHead};
use compose::compose;
use line::Line;
use plan::Selector;
use vocabulary::Outcome;
use vocabulary::rows::Stage;

/// The header in which a server reports when it had received each tenth of an upload.
const RECEIVED_AT: &str = "x-received-at";
/// How much is read at a time.
const INPUT: usize = 64 << 10;
/// How much is read at a time while more than [`INPUT`] is known to be missing.
const LARGE_INPUT: usize = 256 << 10;

/// What all connections of a thread use in turn.
struct Buffers {
    /// The request that is being sent.
    output: Vec<u8>,
    /// What was just read. Empty before the first read.
    input: Vec<u8>,
    /// The head that was read last.
    seen: LastHead,
}

/// Headers of an answer of which none are needed.
static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers { output: Vec::new(), input: Vec::new(), seen: LastHead::new() }) };
}

/// A connection that is written to and read from directly.
pub struct Lean {
    line: Line,
    host: HeaderValue,
    open: bool,
    /// What a proxy still has to send before the server can answer.
    unanswered: Option<Unanswered>,
    /// The number of its server, among those of the workload.
    server: usize,
    /// What is under way, or was.
    way: UnderWay,
    is_under_way: bool,
}

/// A request that is on its way, and its answer.
///
/// It stays where it is from one request to the next.
struct UnderWay {
    sending: Sending,
    /// Length of its body.
    length: u64,
    /// Bytes of the request that are not yet written.
    to_go: u64,
    answer: Answer,
    kept: Kept,
    /// When the first and the last bytes of the answer were read.
    first_read: Option<StdInstant>,
    last_read: Option<StdInstant>,
    deadline: Instant,
}

/// The progress of sending a request.
enum Sending {
    Done,
    Partly(Unsent),
    Failed(std::io::Error),
}

/// The part of a request that the system did not accept at once.
struct Unsent {
    /// What was composed for this request.
    composed: Bytes,
    /// Its body, if that was not worth copying.
    body: Bytes,
}

/// What is kept of an answer.
#[derive(Default)]
struct Kept {
    headers: Option<HeaderMap>,
    body: Option<Body>,
    /// Whether the header in which the server reports the progress of an upload is wanted.
    wants_told: bool,
    told: Option<Vec<u8>>,
    keeps_cookies: bool,
}

/// What a step needs from an answer, and where that is kept.
struct NeededParts<'a> {
    step: &'a Step,
    kept: &'a mut Kept,
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
        self.kept.wants_told
            || coded && self.kept.body.is_some()
            || sets_cookies && self.kept.keeps_cookies
            || self.step.judged.selectors().any(|selector| selector.header().is_some())
    }

    fn header(&mut self, name: &str, value: &[u8]) {
        if self.kept.wants_told && name.eq_ignore_ascii_case(RECEIVED_AT) {
            self.kept.told = Some(value.to_vec());
        }
        let carries = |selector: &Selector| selector.header().is_some_and(|wanted| name.eq_ignore_ascii_case(wanted));
        let wanted = self.step.judged.selectors().any(carries)
            || self.kept.body.is_some() && name.eq_ignore_ascii_case("content-encoding")
            || self.kept.keeps_cookies && name.eq_ignore_ascii_case("set-cookie");
        if wanted && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            self.kept.headers.get_or_insert_default().append(name, value);
        }
    }

    fn body(&mut self, bytes: &[u8]) {
        if let Some(body) = &mut self.kept.body {
            body.keep(bytes);
        }
    }
}

impl Lean {
    /// Starts to speak on a stream, with TLS if there is a session.
    pub fn new((stream, session): (TcpStream, Option<Session>), server: usize, host: HeaderValue, timeout: Duration) -> Self {
        let line = Line::new(stream, session, timeout);
        Self { line, host, open: true, unanswered: None, server, way: UnderWay::none(), is_under_way: false }
    }

    /// The same on a stream on which a proxy still has to report that it is connected: the first request does not wait
    /// for that.
    pub fn before(self, unanswered: Option<Unanswered>) -> Self {
        Self { unanswered, ..self }
    }

    /// Whether a request can be sent. Costs no system call while the server has sent nothing.
    #[inline(always)]
    pub fn is_open(&mut self) -> bool {
        if self.open && self.unanswered.is_none() {
            // Anything unexpected, including the end of the stream, makes the connection unfit for another request.
            self.open = self.line.is_silent();
        }
        self.open
    }

    /// Hands its socket to a loop that watches it from now on. Returns whether that is so.
    pub fn detach(&mut self) -> bool {
        self.unanswered.is_none() && self.line.detach()
    }

    /// Whether a loop watches its socket.
    pub fn is_detached(&self) -> bool {
        self.line.is_detached()
    }

    /// The socket, if a loop watches it.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.line.socket()
    }

    /// Sends the request of a step, reads the answer to its end and checks it. Its time-out counts from `begin`.
    pub async fn exchange(
        &mut self,
        begin: StdInstant,
        step: &Step,
        values: &mut Values,
        mut transfer: Option<&mut Transfer>,
    ) -> RoundTrip {
        if let Err(failure) = self.begin(begin, step, values, transfer.as_deref_mut()) {
            return RoundTrip { usable: true, ..RoundTrip::broken(None, failure) };
        }
        if let Some(unanswered) = self.unanswered.take()
            && let Some(stream) = self.line.stream()
        {
            let deadline = self.way.deadline;
            let reading = async {
                match transfer.as_deref_mut() {
                    Some(transfer) => unanswered.read(stream, deadline, transfer).await,
                    None => unanswered.read(stream, deadline, &mut Transfer::default()).await,
                }
            };
            // Rare parts are boxed: each of many connections contains an exchange.
            if let Err(failure) = Box::pin(reading).await {
                return RoundTrip { sent_bytes: self.way.sent_bytes(), ..RoundTrip::broken(None, failure) };
            }
        }
        let Self { way, line, .. } = self;
        let ended = std::future::poll_fn(|cx| way.poll(cx, line, step, transfer.as_deref_mut())).await;
        self.end(ended, step, values, transfer)
    }

    /// Starts the same without a task. Returns when its time-out is over.
    ///
    /// # Errors
    /// The result, if the request cannot be made.
    #[inline(always)]
    pub fn start(&mut self, begin: StdInstant, step: &Step, values: &mut Values) -> Result<Instant, RoundTrip> {
        if let Err(failure) = self.begin(begin, step, values, None) {
            return Err(RoundTrip { usable: true, ..RoundTrip::broken(None, failure) });
        }
        if matches!(self.way.sending, Sending::Failed(_))
            && let Poll::Ready(ended) = self.poll_detached(step)
        {
            return Err(self.end(ended, step, values, None));
        }
        // The answer takes a while, and there is an event when it comes.
        self.is_under_way = true;
        Ok(self.way.deadline)
    }

    /// Goes on after something has happened to its socket, or its time is over. Returns the result once it is known.
    #[inline(always)]
    pub fn go_on(&mut self, what: Readiness, step: &Step, values: &mut Values) -> Option<RoundTrip> {
        self.line.happened(what);
        if !self.is_under_way {
            return None;
        }
        match self.poll_detached(step) {
            Poll::Pending => None,
            Poll::Ready(ended) => {
                self.is_under_way = false;
                Some(self.end(ended, step, values, None))
            }
        }
    }

    /// What is under way goes on as far as it can: whoever watches the socket says when that is further.
    #[inline(always)]
    fn poll_detached(&mut self, step: &Step) -> Poll<Result<bool, ExchangeError>> {
        self.way.poll(&mut Context::from_waker(Waker::noop()), &mut self.line, step, None)
    }

    /// Whether there may be more to read than the last event said.
    pub fn has_more(&self) -> bool {
        self.is_under_way && self.line.has_more()
    }

    /// When the time-out of what is under way is over.
    pub fn deadline(&self) -> Option<Instant> {
        self.is_under_way.then_some(self.way.deadline)
    }

    /// Sends the request of a step, as much of it as is accepted at once.
    #[inline(always)]
    fn begin(
        &mut self,
        begin: StdInstant,
        step: &Step,
        values: &mut Values,
        transfer: Option<&mut Transfer>,
    ) -> Result<(), Failure> {
        let wants_told = transfer.is_some();
        (self.way.sending, self.way.length, self.way.to_go) = (Sending::Done, 0, 0);
        self.send(step, values, transfer)?;
        // Only an answer that is read to its end leaves the connection fit for the next request.
        self.open = false;
        let way = &mut self.way;
        way.answer.await_another(step.method == hyper::Method::HEAD);
        // The rest of it is empty: `end` has seen to that, and what never ended leaves no open connection.
        way.kept.body = step.needs_body().then(Body::new);
        way.kept.wants_told = wants_told && way.length > 0;
        way.kept.keeps_cookies = values.cookies.is_some();
        (way.first_read, way.last_read) = (None, None);
        way.deadline = Instant::from_std(begin) + step.timeout;
        Ok(())
    }

    /// Judges how it ended. `ended`: whether all of the request was sent.
    #[inline(always)]
    fn end(
        &mut self,
        ended: Result<bool, ExchangeError>,
        step: &Step,
        values: &mut Values,
        transfer: Option<&mut Transfer>,
    ) -> RoundTrip {
        let UnderWay { answer, kept, first_read, last_read, .. } = &self.way;
        let sent_bytes = self.way.sent_bytes();
        if let (Some(transfer), Some(told)) = (transfer, &kept.told) {
            transfer.told(told);
        }
        let received_bytes = answer.received();
        let (completed, result) = match ended {
            Ok(sent) => {
                self.open = sent && answer.keeps_alive();
                let headers = kept.headers.as_ref().unwrap_or(&NONE);
                let got =
                    judge::Answer { status: answer.status(), received_bytes, body: kept.body.as_ref().map(Body::kept), headers };
                keep_cookies(step, (self.line.is_secret(), self.host.as_bytes()), headers, values);
                (*last_read, judge(step, &got, values))
            }
            Err(broken) => (None, Err(broken.into_failure(step, values, answer.has_begun()))),
        };
        let completed = completed.unwrap_or_else(StdInstant::now);
        let (status, usable, first_byte) = (answer.status(), self.open, *first_read);
        // An idle connection keeps nothing of its last answer.
        self.way.kept = Kept::default();
        RoundTrip { first_byte, completed, sent_bytes, received_bytes, status, usable, result }
    }

    /// Composes the request and sends as much of it as the system accepts at once.
    fn send(&mut self, step: &Step, values: &mut Values, transfer: Option<&mut Transfer>) -> Result<(), Failure> {
        if let (Some(whole), None) = (step.wholes.get(self.server), &values.cookies) {
            let sent = self.line.try_write(&whole.bytes, None);
            self.way.sent(sent, &whole.bytes, whole.body_length, None, transfer);
            return Ok(());
        }
        BUFFERS.with_borrow_mut(|buffers| {
            let (length, body) = compose(step, (self.line.is_secret(), &self.host), values, &mut buffers.output)?;
            let sent = self.line.try_write(&buffers.output, body.as_deref());
            self.way.sent(sent, &buffers.output, length, body, transfer);
            Ok(())
        })
    }
}

impl UnderWay {
    /// Nothing.
    fn none() -> Self {
        Self {
            sending: Sending::Done,
            length: 0,
            to_go: 0,
            answer: Answer::new(false),
            kept: Kept::default(),
            first_read: None,
            last_read: None,
            deadline: Instant::now(),
        }
    }

    /// Bytes of the body that are written.
    fn sent_bytes(&self) -> u64 {
        self.length.saturating_sub(self.to_go)
    }

    /// Notes how much of a request was `sent`: what was `composed`, with a body of `length` bytes, or with this one behind it.
    #[inline(always)]
    fn sent(
        &mut self,
        sent: std::io::Result<usize>,
        composed: &[u8],
        length: u64,
        body: Option<Bytes>,
        transfer: Option<&mut Transfer>,
    ) {
        let whole = composed.len() + body.as_ref().map_or(0, Bytes::len);
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                (self.sending, self.length, self.to_go) = (Sending::Failed(error), length, whole as u64);
                return;
            }
        };
        let to_go = (whole - sent) as u64;
        (self.length, self.to_go) = (length, to_go);
        if let Some(transfer) = transfer {
            transfer.upload = length;
            transfer.wrote(sent as u64, to_go);
        }
        if to_go > 0 {
            let mut unsent = Unsent { composed: Bytes::copy_from_slice(composed), body: body.unwrap_or_default() };
            unsent.advance(sent);
            self.sending = Sending::Partly(unsent);
        }
    }

    /// Sends the rest of the request and reads the answer. Returns whether all of the request was sent. `transfer`: where the
    /// times of stages are recorded.
    ///
    /// Both happen as soon as they can: a server may answer before it has read everything, and one that sends a long
    /// answer meanwhile may stop reading until that is read.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        step: &Step,
        mut transfer: Option<&mut Transfer>,
    ) -> Poll<Result<bool, ExchangeError>> {
        loop {
            if let Sending::Partly(unsent) = &mut self.sending {
                let before = self.to_go;
                let polled = unsent.poll(cx, line);
                self.to_go = unsent.len() as u64;
                if let Some(transfer) = &mut transfer {
                    transfer.wrote(before - self.to_go, self.to_go);
                }
                match polled {
                    Poll::Ready(Ok(())) => self.sending = Sending::Done,
                    Poll::Ready(Err(error)) => self.sending = Sending::Failed(error),
                    Poll::Pending => {}
                }
            }
            if self.answer.is_whole() {
                match self.sending {
                    Sending::Done => return Poll::Ready(Ok(true)),
                    Sending::Failed(_) => return Poll::Ready(Ok(false)),
                    Sending::Partly(_) if line.timed_out(cx, self.deadline) => return Poll::Ready(Ok(false)),
                    Sending::Partly(_) => return Poll::Pending,
                }
            }
            let polled = self.poll_answer(cx, line, step, transfer.as_deref_mut());
            // An early answer explains the end of the connection better than the end itself.
            if let Sending::Failed(error) = &mut self.sending
                && !self.answer.has_begun()
                && !matches!(polled, Poll::Ready(Ok(()) | Err(ExchangeError::Garbage(_))))
            {
                let error = std::mem::replace(error, std::io::ErrorKind::BrokenPipe.into());
                return Poll::Ready(Err(ExchangeError::Io(error)));
            }
            match polled {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(broken)) => return Poll::Ready(Err(broken)),
                Poll::Pending if line.timed_out(cx, self.deadline) => return Poll::Ready(Err(ExchangeError::Timeout)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads once, into the buffer of the thread, and consumes the bytes.
    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        line: &mut Line,
        step: &Step,
        mut transfer: Option<&mut Transfer>,
    ) -> Poll<Result<(), ExchangeError>> {
        BUFFERS.with_borrow_mut(|buffers| {
            let size = if self.answer.missing() > INPUT as u64 { LARGE_INPUT } else { INPUT };
            if buffers.input.len() < size {
                buffers.input.resize(size, 0);
            }
            let count = match ready!(line.poll_read(cx, &mut buffers.input[..size])) {
                Ok(count) => count,
                // Whoever ended the connection need not be the server: what lasts until the end may not be whole.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    let end = self.answer.end().map_or_else(|end| end, |()| EarlyEnd::Within);
                    return Poll::Ready(Err(ExchangeError::EarlyEnd(end)));
                }
                Err(error) => return Poll::Ready(Err(ExchangeError::Io(error))),
            };
            if count == 0 {
                return Poll::Ready(self.answer.end().map_err(ExchangeError::EarlyEnd));
            }
            let now = StdInstant::now();
            if self.first_read.is_none()
                && let Some(transfer) = &mut transfer
            {
                transfer.over_at(Stage::DataResponse, now);
            }
            self.first_read.get_or_insert(now);
            self.last_read = Some(now);
            let mut needed = NeededParts { step, kept: &mut self.kept };
            let fed = self.answer.feed(&buffers.input[..count], &mut buffers.seen, &mut needed).map_err(ExchangeError::Garbage);
            if let Some(transfer) = &mut transfer {
                transfer.read_bytes += count as u64;
                transfer.body(self.answer.received(), self.answer.length(), now);
            }
            Poll::Ready(fed)
        })
    }
}
impl Unsent {
    /// Sends as much of the rest as the system accepts.
    fn poll(&mut self, cx: &mut Context<'_>, line: &mut Line) -> Poll<std::io::Result<()>> {
        while self.len() > 0 {
            let sent = {
                let slices = [IoSlice::new(&self.composed), IoSlice::new(&self.body)];
                ready!(line.poll_write(cx, &slices))?
            };
            match sent {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                sent => self.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

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
fn keep_cookies(step: &Step, (tls, host): (bool, &[u8]), headers: &HeaderMap, values: &mut Values) {
    if values.cookies.is_none() || !headers.contains_key(SET_COOKIE) {
        return;
    }
    let path = step.path(values).ok();
    let path = path.as_ref().map_or("/", PathAndQuery::as_str);
    values.take_cookies(headers, Recipient { tls, host: step.cookie_host(host), path });
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::step;
    use super::super::scripted::{CHUNKED, EARLY, OK, UNTIL_CLOSED, WRONG, answer_each, run};
    use super::compose::COPIED;
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
                let mut lean = Lean::new((stream, None), 0, HeaderValue::from_static("x"), Duration::from_secs(5));
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
                let mut lean = Lean::new((stream, None), 0, HeaderValue::from_static("x"), step.timeout);
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
            let mut lean = Lean::new((stream, None), 0, HeaderValue::from_static("x"), Duration::from_secs(5));
            let (step, mut values) = (step("GET"), Values::for_tests());
            let exchange = size_of_val(&lean.exchange(StdInstant::now(), &step, &mut values, None));
            let clock = size_of::<tokio::time::Sleep>();
            assert!(size_of::<Lean>() + clock + exchange < 2048, "{} + {clock} + {exchange}", size_of::<Lean>());
        });
    }
}
