//! The general path: hyper, with bodies streamed in both directions. Takes what the lean path does not.
//!
//! Connection and request are polled by one task: nothing is spawned and nothing wakes another task on the way of
//! a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant as TokioInstant, Sleep};

use super::judge::{Answer, judge};
use super::request::{Body, Step, Values};
use super::{Carried, MAX_KEPT, of_io};
use crate::load::drivers::Failure;
use crate::load::windows::Outcome;

/// A connection that hyper drives.
pub struct General {
    sender: http1::SendRequest<Outgoing>,
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, Outgoing>>>,
    ended: bool,
    host: HeaderValue,
    clock: Pin<Box<Sleep>>,
    armed_until: TokioInstant,
}

impl General {
    /// Begins to speak on a stream.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn open(stream: TcpStream, host: HeaderValue, timeout: Duration) -> Result<Self, Failure> {
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|e| of_hyper(&e, "connecting", false))?;
        let armed_until = TokioInstant::now() + timeout;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            ended: false,
            host,
            clock: Box::pin(tokio::time::sleep_until(armed_until)),
            armed_until,
        })
    }

    /// Whether a request can be sent; a connection that the server has closed meanwhile is noticed here.
    pub fn is_open(&self) -> bool {
        !self.ended && !self.sender.is_closed()
    }

    /// Sends the request of a step, reads the answer to its end and checks it.
    pub async fn exchange(&mut self, step: &Step, values: &mut Values) -> Carried {
        let (request, sent_bytes) = match request(step, &self.host, values) {
            Ok(made) => made,
            Err(failure) => return Carried { usable: true, ..Carried::broken(None, failure) },
        };
        let mut carried =
            Carried { sent_bytes, usable: true, ..Carried::broken(None, Failure::new(Outcome::Closed, String::new())) };
        let (outcome, whole) = self.carry(step, values, request, &mut carried).await;
        carried.completed = Instant::now();
        carried.usable = whole;
        carried.result = outcome;
        carried
    }

    /// The exchange itself; also whether the answer was read to its end.
    async fn carry(
        &mut self,
        step: &Step,
        values: &mut Values,
        request: Request<Outgoing>,
        carried: &mut Carried,
    ) -> (Result<(), Failure>, bool) {
        match self.receive(step, values, request, carried).await {
            Err(failure) => (Err(failure), false),
            Ok((head, kept)) => {
                let answer = Answer {
                    status: head.status.as_u16(),
                    received_bytes: carried.received_bytes,
                    body: kept.as_deref(),
                    headers: &head.headers,
                };
                (judge(step, &answer, values), true)
            }
        }
    }

    async fn receive(
        &mut self,
        step: &Step,
        values: &Values,
        request: Request<Outgoing>,
        carried: &mut Carried,
    ) -> Result<(hyper::http::response::Parts, Option<Vec<u8>>), Failure> {
        let deadline = TokioInstant::now() + step.timeout;
        let label = || format!("{} {}", step.method, step.path.fill(values));
        let mut answer = std::pin::pin!(self.sender.send_request(request));
        let mut driven = Driven {
            connection: self.connection.as_mut(),
            ended: &mut self.ended,
            clock: self.clock.as_mut(),
            armed_until: &mut self.armed_until,
            deadline,
        };
        let response = match driven.until(|cx| answer.as_mut().poll(cx)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(of_hyper(&error, &label(), false)),
            Err(Interrupted::Timeout) => {
                return Err(Failure::new(Outcome::Timeout, format!("{}: no answer within {:?}", label(), step.timeout)));
            }
            Err(Interrupted::Ended) => {
                return Err(Failure::new(
                    Outcome::Closed,
                    format!("{}: the connection was closed instead of an answer", label()),
                ));
            }
        };
        carried.first_byte = Some(Instant::now());
        let (head, mut body) = response.into_parts();
        let mut kept = step.needs_body().then(Vec::new);
        while !body.is_end_stream() {
            let frame = driven.until(|cx| Pin::new(&mut body as &mut Incoming).poll_frame(cx)).await;
            match frame {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    let Some(data) = frame.data_ref() else { continue };
                    carried.received_bytes += data.len() as u64;
                    if let Some(kept) = &mut kept
                        && kept.len() + data.len() <= MAX_KEPT
                    {
                        kept.extend_from_slice(data);
                    }
                }
                Ok(Some(Err(error))) => return Err(of_hyper(&error, &label(), true)),
                Err(Interrupted::Timeout) => {
                    return Err(Failure::new(
                        Outcome::Timeout,
                        format!("{}: no whole answer within {:?}", label(), step.timeout),
                    ));
                }
                Err(Interrupted::Ended) => {
                    return Err(Failure::new(
                        Outcome::Incomplete,
                        format!("{}: the answer broke off after {} bytes", label(), carried.received_bytes),
                    ));
                }
            }
        }
        // Lets the connection finish the exchange, and notice a server that closes.
        driven.settle().await;
        Ok((head, kept))
    }
}

/// A request that cannot be made: what it inserts does not fit.
fn unsent(words: String) -> Failure {
    Failure::new(Outcome::Carry, words)
}

fn request(step: &Step, host: &HeaderValue, values: &mut Values) -> Result<(Request<Outgoing>, u64), Failure> {
    let uri = match &step.fixed_uri {
        Some(uri) => uri.clone(),
        None => {
            let path = step.path.fill(values);
            Uri::try_from(path.as_str()).map_err(|e| unsent(format!("the path `{path}` is invalid: {e}")))?
        }
    };
    let body = match &step.body {
        Body::Empty => Outgoing::Empty,
        Body::Fixed(bytes) => Outgoing::Once(bytes.clone()),
        Body::Text(text) => Outgoing::Once(text.fill(values).into()),
        Body::Random(n) => Outgoing::random(*n, &step.random, values.next_random()),
    };
    let size = body.size();
    let mut request = Request::new(body);
    *request.method_mut() = step.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.clone_from(&step.headers);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, host.clone());
    }
    for (name, value) in &step.late_headers {
        let text = value.fill(values);
        let value = HeaderValue::from_str(&text).map_err(|_| unsent(format!("the header {name} cannot be `{text}`")))?;
        headers.insert(name.clone(), value);
    }
    Ok((request, size))
}

fn of_hyper(error: &hyper::Error, what: &str, in_body: bool) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return of_io(io, what);
        }
        source = inner.source();
    }
    let outcome = match () {
        () if error.is_parse() => Outcome::Garbage,
        () if in_body => Outcome::Incomplete,
        () if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => Outcome::Closed,
        () => Outcome::Garbage,
    };
    Failure::new(outcome, format!("{what}: {error}"))
}

/// A request body.
enum Outgoing {
    Empty,
    Once(Bytes),
    Blocks { left: u64, block: Bytes },
}

impl Outgoing {
    fn random(length: u64, block: &Bytes, random: u64) -> Self {
        let len = block.len() as u64;
        if length < len {
            let start = (random % (len - length + 1)) as usize;
            Self::Once(block.slice(start..start + length as usize))
        } else {
            Self::Blocks { left: length, block: block.clone() }
        }
    }

    fn size(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Once(bytes) => bytes.len() as u64,
            Self::Blocks { left, .. } => *left,
        }
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        Poll::Ready(match this {
            Self::Empty => None,
            Self::Once(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Self::Blocks { left, block } => {
                let take = (*left).min(block.len() as u64);
                *left -= take;
                (take > 0).then(|| Ok(Frame::data(block.slice(..take as usize))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.size())
    }
}

enum Interrupted {
    Timeout,
    Ended,
}

/// The connection, driven while something on it is awaited.
struct Driven<'a> {
    connection: Pin<&'a mut http1::Connection<TokioIo<TcpStream>, Outgoing>>,
    ended: &'a mut bool,
    clock: Pin<&'a mut Sleep>,
    armed_until: &'a mut TokioInstant,
    deadline: TokioInstant,
}

impl Driven<'_> {
    /// Drives the connection until `poll` is ready.
    ///
    /// Only the connection can make it ready, and it is polled right here: `poll` gets a waker that does nothing.
    async fn until<T>(&mut self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Interrupted> {
        let mut quiet = Context::from_waker(Waker::noop());
        std::future::poll_fn(|cx| {
            if let Poll::Ready(value) = poll(&mut quiet) {
                return Poll::Ready(Ok(value));
            }
            self.drive(cx);
            if let Poll::Ready(value) = poll(&mut quiet) {
                return Poll::Ready(Ok(value));
            }
            if *self.ended {
                return Poll::Ready(Err(Interrupted::Ended));
            }
            if self.timed_out(cx) { Poll::Ready(Err(Interrupted::Timeout)) } else { Poll::Pending }
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        if !*self.ended && self.connection.as_mut().poll(cx).is_ready() {
            *self.ended = true;
        }
    }

    async fn settle(&mut self) {
        std::future::poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// One timer per connection, armed anew only when it fires: a request costs no timer operation.
    fn timed_out(&mut self, cx: &mut Context<'_>) -> bool {
        if self.deadline < *self.armed_until {
            *self.armed_until = self.deadline;
            self.clock.as_mut().reset(self.deadline);
        }
        loop {
            if self.clock.as_mut().poll(cx).is_pending() {
                return false;
            }
            if TokioInstant::now() >= self.deadline {
                return true;
            }
            *self.armed_until = self.deadline;
            self.clock.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::random_block;
    use super::*;

    #[test]
    fn a_random_body_has_its_length_and_differs() {
        let block = random_block();
        let body = |length, random| match Outgoing::random(length, &block, random) {
            Outgoing::Once(bytes) => bytes,
            _ => panic!("a short body is one piece"),
        };
        assert_eq!(body(10_240, 1).len(), 10_240);
        assert_ne!(body(10_240, 1), body(10_240, 2));
        let mut long = Outgoing::random(5 << 20, &block, 3);
        let mut total = 0;
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut long).poll_frame(&mut cx) {
            total += frame.into_data().map_or(0, |d| d.len());
        }
        assert_eq!(total, 5 << 20);
    }
}
