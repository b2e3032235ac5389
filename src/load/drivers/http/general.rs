//! The general path: hyper, with bodies streamed in both directions. Takes what the lean path does not.
//!
//! With HTTP/1.1, connection and request are polled by one task: nothing is spawned and nothing wakes another task
//! while a request is handled. An HTTP/2 connection is shared (see `shared`) and has its own task.

use std::cell::Cell;
use std::error::Error as _;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::http::response;
use hyper::{Request, Response, Version};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant as TokioInstant, Sleep};

use super::body::Outgoing;
use super::connect::Stream;
use super::lean::answer::MAX_HEADERS;
use super::lean::answer::framing::framing;
use super::of_io;
use crate::drivers::Failure;
use crate::drivers::judged::Body;
use vocabulary::Outcome;

/// The most that is read at a time with HTTP/1.1, and the longest head. An idle connection holds at most this.
const INPUT: usize = 64 << 10;

/// A connection that hyper drives, or a client's share in one.
pub(super) struct General {
    http_version: HttpVersion,
    clock: Clock,
}

enum HttpVersion {
    Http1 {
        sender: http1::SendRequest<Outgoing>,
        connection: Pin<Box<http1::Connection<TokioIo<Stream>, Outgoing>>>,
        /// How the connection ended, once it has.
        ended: Option<Result<(), hyper::Error>>,
        /// Whether something was read since this was last cleared.
        heard: Rc<Cell<bool>>,
    },
    Http2(http2::SendRequest<Outgoing>),
}

/// The options of an exchange, apart from its request.
pub(super) struct ExchangeOptions<'a> {
    /// Whether the body of the answer is examined.
    pub keep: bool,
    /// Whether there can be no body, because HEAD was requested.
    pub head_only: bool,
    pub deadline: TokioInstant,
    /// For messages: the time-out, and what was requested.
    pub timeout: std::time::Duration,
    pub label: &'a dyn Fn() -> String,
}

/// The result of a request.
pub(super) struct Received {
    /// When the head of the answer was complete.
    pub first_byte: Option<Instant>,
    /// When the last byte arrived, or the reason why it would not was known.
    pub completed: Instant,
    /// Bytes of the body.
    pub bytes: u64,
    /// The answer, and its body if that was requested.
    pub answer: Result<(response::Parts, Option<Body>), Failure>,
    /// Whether another request can follow.
    pub usable: bool,
    /// The request, if nothing of it was sent because the connection was over before.
    pub unsent: Option<Request<Outgoing>>,
    /// Whether the server has said that it did not process the request, because it ends the connection gracefully.
    pub not_taken: bool,
}

impl Received {
    /// A request that could not be sent.
    pub fn failed(failure: Failure) -> Self {
        Self {
            first_byte: None,
            completed: Instant::now(),
            bytes: 0,
            answer: Err(failure),
            usable: false,
            unsent: None,
            not_taken: false,
        }
    }
}

impl General {
    /// Starts to speak HTTP/1.1 on a stream.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn http1(stream: Stream) -> Result<Self, Failure> {
        let heard = stream.heard();
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(INPUT)
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| of_hyper(&e, "connecting", Stage::Head { heard: false }))?;
        let http_version = HttpVersion::Http1 { sender, connection: Box::pin(connection), ended: None, heard };
        Ok(Self { http_version, clock: Clock::new() })
    }

    /// Takes a share of an HTTP/2 connection.
    pub fn http2(sender: http2::SendRequest<Outgoing>) -> Self {
        Self { http_version: HttpVersion::Http2(sender), clock: Clock::new() }
    }

    /// Whether a request can be sent; this also notices a connection that the server has closed meanwhile.
    pub fn is_open(&mut self) -> bool {
        match &mut self.http_version {
            HttpVersion::Http1 { sender, connection, ended, .. } => {
                // Nobody waits for an idle connection: what its server sent meanwhile is examined now. The waker may do
                // nothing, because every exchange brings its own.
                drive(connection.as_mut(), ended, &mut Context::from_waker(Waker::noop()));
                ended.is_none() && !sender.is_closed()
            }
            HttpVersion::Http2(sender) => !sender.is_closed(),
        }
    }

    /// Sends a request and reads the answer to its end.
    pub async fn exchange(&mut self, request: Request<Outgoing>, options: &ExchangeOptions<'_>) -> Received {
        let mut received = Received::failed(Failure::new(Outcome::Closed, String::new()));
        let clock = &mut self.clock;
        match &mut self.http_version {
            HttpVersion::Http1 { sender, connection, ended, heard } => {
                heard.set(false);
                let answer = std::pin::pin!(sender.try_send_request(request));
                let mut driven = Driven { connection: Some((connection.as_mut(), ended)), clock, deadline: options.deadline };
                received.answer = receive(answer, &mut driven, options, heard, &mut received).await;
                received.completed = Instant::now();
                // Lets the connection finish the exchange, and notices a server that closes it or sends more than it
                // should.
                if received.answer.is_ok() {
                    driven.settle().await;
                    if let Some(Err(error)) = ended
                        && is_unasked(error)
                    {
                        let words = format!("{}: unexpected bytes after the answer", (options.label)());
                        received.answer = Err(Failure::new(Outcome::Garbage, words));
                    }
                    // A server may answer before it has read the whole request; then no other request can follow.
                    received.usable = ended.is_none() && sender.is_ready();
                }
            }
            HttpVersion::Http2(sender) => {
                let answer = std::pin::pin!(sender.try_send_request(request));
                let mut driven = Driven { connection: None, clock, deadline: options.deadline };
                received.answer = receive(answer, &mut driven, options, &Cell::new(false), &mut received).await;
                received.completed = Instant::now();
                // What happens to one stream does not concern the others.
                received.usable = !sender.is_closed();
            }
        }
        received
    }
}

async fn receive(
    mut answer: Pin<&mut impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>>>,
    driven: &mut Driven<'_>,
    options: &ExchangeOptions<'_>,
    heard: &Cell<bool>,
    received: &mut Received,
) -> Result<(response::Parts, Option<Body>), Failure> {
    let label = options.label;
    let fail = |outcome, words: String| Err(Failure::new(outcome, format!("{}: {words}", label())));
    let response = match driven.until(|cx| answer.as_mut().poll(cx)).await {
        Ok(Ok(response)) => response,
        Ok(Err(mut error)) => {
            received.unsent = error.take_message();
            received.not_taken = is_not_taken(error.error());
            return Err(of_hyper(error.error(), &label(), Stage::Head { heard: heard.get() }));
        }
        Err(Interrupted::Timeout) => return fail(Outcome::Timeout, format!("no answer within {:?}", options.timeout)),
        Err(Interrupted::RequestRow) => {
            return fail(Outcome::Closed, "the connection was closed instead of an answer".to_owned());
        }
    };
    received.first_byte = Some(Instant::now());
    let (head, mut body) = response.into_parts();
    // hyper guesses where a careful client does not. HTTP/2 has its own frames.
    if head.version <= Version::HTTP_11 {
        let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        if let Err(reason) = framing(head.version == Version::HTTP_11, head.status.as_u16(), options.head_only, headers) {
            return fail(Outcome::Garbage, format!("the answer is not HTTP: {reason}"));
        }
    }
    let mut kept = options.keep.then(Body::new);
    while !body.is_end_stream() {
        match driven.until(|cx| Pin::new(&mut body as &mut Incoming).poll_frame(cx)).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => {
                let Some(data) = frame.data_ref() else { continue };
                received.bytes += data.len() as u64;
                if let Some(kept) = &mut kept {
                    kept.keep(data);
                }
            }
            Ok(Some(Err(error))) => return Err(of_hyper(&error, &label(), Stage::Body)),
            Err(Interrupted::Timeout) => return fail(Outcome::Timeout, format!("no whole answer within {:?}", options.timeout)),
            Err(Interrupted::RequestRow) => {
                return fail(Outcome::Incomplete, format!("the answer broke off after {} bytes", received.bytes));
            }
        }
    }
    Ok((head, kept))
}

/// The most that hyper accepts for the extensions of all chunks of an answer, and for its trailers.
const HYPER_LIMIT: usize = 16 << 10;
/// The most that the headers of an answer may take over HTTP/2, counting their names and 32 bytes for each (RFC 9113,
/// 6.5.2).
pub(super) const MAX_HEADER_LIST: u32 = 16 << 10;

/// The stage of an exchange when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the head of the answer was complete; `heard`: whether a part of it had arrived.
    Head {
        heard: bool,
    },
    Body,
}

impl Stage {
    /// A connection that was closed now.
    fn closed(self, what: &str) -> Failure {
        match self {
            Self::Head { heard: false } => {
                Failure::new(Outcome::Closed, format!("{what}: the connection was closed instead of an answer"))
            }
            Self::Head { heard: true } | Self::Body => Failure::new(Outcome::Incomplete, format!("{what}: the answer broke off")),
        }
    }
}

/// Whether a server said that it had not processed this request. It does so gracefully with GOAWAY: the request's
/// stream is after the last one that it says it has processed (RFC 9113, 6.8), or was never opened; for streams before
/// that one h2 reports other errors, whatever becomes of them. And it does so with REFUSED_STREAM, which concerns a
/// single stream (8.7).
fn is_not_taken(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            let ends = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            let refuses = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (ends || refuses);
        }
        source = inner.source();
    }
    false
}

/// hyper's error, as an outcome.
pub(super) fn of_hyper(error: &hyper::Error, what: &str, stage: Stage) -> Failure {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            return of_h2(error, what, stage);
        }
        if let Some(error) = inner.downcast_ref::<std::io::Error>() {
            return of_io_in(error, what, stage);
        }
        source = inner.source();
    }
    match () {
        () if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => stage.closed(what),
        () if stage == Stage::Body => Failure::new(Outcome::Incomplete, format!("{what}: {error}")),
        () if error.is_parse_too_large() => {
            let words =
                format!("{what}: the head of the answer is longer than {INPUT} bytes, or has more than {MAX_HEADERS} headers");
            Failure::new(Outcome::Garbage, words)
        }
        () => Failure::new(Outcome::Garbage, format!("{what}: the answer is not HTTP: {error}")),
    }
}

/// The error of the system, or of hyper on its behalf.
fn of_io_in(error: &std::io::Error, what: &str, stage: Stage) -> Failure {
    use std::io::ErrorKind;
    match error.kind() {
        _ if error.raw_os_error().is_some() => of_io(error, what),
        // h2 reports the end of a connection as a broken pipe.
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => stage.closed(what),
        // Damaged chunks.
        ErrorKind::InvalidInput | ErrorKind::InvalidData if !is_tls(error) => {
            // hyper does not mention its own limit.
            let limit =
                if error.to_string().ends_with("over limit") { format!(" of {HYPER_LIMIT} bytes") } else { String::new() };
            Failure::new(Outcome::Garbage, format!("{what}: the answer is not HTTP: {error}{limit}"))
        }
        _ => of_io(error, what),
    }
}

fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>())
}

fn of_h2(error: &h2::Error, what: &str, stage: Stage) -> Failure {
    let reason = || error.reason().map_or_else(String::new, |r| format!(" ({r:?})"));
    match () {
        () if error.is_io() => match error.get_io() {
            Some(io) => of_io_in(io, what, stage),
            None => stage.closed(what),
        },
        () if error.is_remote() && error.is_reset() => {
            Failure::new(Outcome::Reset, format!("{what}: the server reset the stream{}", reason()))
        }
        () if error.is_remote() && error.is_go_away() && stage == Stage::Body => {
            Failure::new(Outcome::Incomplete, format!("{what}: the answer broke off: the server said GOAWAY{}", reason()))
        }
        () if error.is_remote() && error.is_go_away() => {
            Failure::new(Outcome::Closed, format!("{what}: the server said GOAWAY{} before it took this request", reason()))
        }
        // h2 reports a head that is too long and one that is malformed in the same way.
        () if error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR) && error.is_reset() => {
            let part = if stage == Stage::Body { "trailers" } else { "headers" };
            let words =
                format!("{what}: the answer is not HTTP/2, or its {part} are longer than {MAX_HEADER_LIST} bytes: {error}");
            Failure::new(Outcome::Garbage, words)
        }
        () if stage == Stage::Body => Failure::new(Outcome::Incomplete, format!("{what}: the answer broke off: {error}")),
        () => Failure::new(Outcome::Garbage, format!("{what}: the answer is not HTTP/2: {error}")),
    }
}

/// Whether a connection ended because of unexpected bytes. hyper says so in words only.
fn is_unasked(error: &hyper::Error) -> bool {
    error.to_string().contains("unexpected message")
}

enum Interrupted {
    Timeout,
    RequestRow,
}

/// One timer per connection, set again only when it fires: a request costs no timer operation.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    until: TokioInstant,
}

impl Clock {
    fn new() -> Self {
        let until = TokioInstant::now();
        Self { sleep: Box::pin(tokio::time::sleep_until(until)), until }
    }

    fn is_over(&mut self, cx: &mut Context<'_>, deadline: TokioInstant) -> bool {
        if deadline < self.until {
            self.until = deadline;
            self.sleep.as_mut().reset(deadline);
        }
        loop {
            if self.sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            if TokioInstant::now() >= deadline {
                return true;
            }
            self.until = deadline;
            self.sleep.as_mut().reset(deadline);
        }
    }
}

type Http1<'a> = Pin<&'a mut http1::Connection<TokioIo<Stream>, Outgoing>>;

/// Something awaited on a connection, until its deadline. Only HTTP/1.1 must be driven meanwhile.
struct Driven<'a> {
    connection: Option<(Http1<'a>, &'a mut Option<Result<(), hyper::Error>>)>,
    clock: &'a mut Clock,
    deadline: TokioInstant,
}

impl Driven<'_> {
    /// Waits until `poll` is ready, and drives the connection.
    ///
    /// With HTTP/1.1 only the connection can make it ready, and it is polled right here: `poll` gets a waker that does
    /// nothing.
    async fn until<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Interrupted> {
        std::future::poll_fn(|cx| {
            if let Some((connection, ended)) = &mut self.connection {
                let mut quiet = Context::from_waker(Waker::noop());
                if let Poll::Ready(value) = poll(&mut quiet) {
                    return Poll::Ready(Ok(value));
                }
                drive(connection.as_mut(), ended, cx);
                if let Poll::Ready(value) = poll(&mut quiet) {
                    return Poll::Ready(Ok(value));
                }
                if ended.is_some() {
                    return Poll::Ready(Err(Interrupted::RequestRow));
                }
            } else if let Poll::Ready(value) = poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if self.clock.is_over(cx, self.deadline) { Poll::Ready(Err(Interrupted::Timeout)) } else { Poll::Pending }
        })
        .await
    }

    async fn settle(&mut self) {
        std::future::poll_fn(|cx| {
            if let Some((connection, ended)) = &mut self.connection {
                drive(connection.as_mut(), ended, cx);
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn drive(connection: Http1<'_>, ended: &mut Option<Result<(), hyper::Error>>, cx: &mut Context<'_>) {
    if ended.is_none()
        && let Poll::Ready(how) = connection.poll(cx)
    {
        *ended = Some(how);
    }
}
