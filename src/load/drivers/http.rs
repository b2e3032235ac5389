//! HTTP/1.1 over hyper, keep-alive, every answer checked.
//!
//! Connection and request are polled by one task: nothing is spawned and nothing wakes another task on the way of
//! a request. Bodies are streamed and counted; they are kept only where a check or a carried value needs them.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant as TokioInstant, Sleep};

use crate::load::Error;
use crate::load::windows::Outcome;
use crate::plan::{self, Part, Place, Template};

/// Random bodies are slices of one block of random bytes of this size (and streamed when they are longer).
const RANDOM_BLOCK: usize = 1 << 20;
/// Bodies that must be looked into may be this long.
const MAX_KEPT: usize = 16 << 20;

/// A workload's requests, made ready once and shared by all connections.
pub struct Prepared {
    /// The steps of a pass.
    pub steps: Vec<Step>,
    /// Addresses, with the `Host` header for each.
    pub addresses: Vec<(SocketAddr, HeaderValue)>,
    /// Prefix of all paths.
    names: Vec<String>,
    random: Bytes,
}

/// One request, ready to be filled in.
pub struct Step {
    method: Method,
    path: Text,
    fixed_uri: Option<Uri>,
    headers: HeaderMap,
    late_headers: Vec<(HeaderName, Text)>,
    body: Body,
    statuses: Vec<u16>,
    length: Option<u64>,
    text: Option<Text>,
    contains: Option<Text>,
    carry: Vec<(usize, Place, Option<regex::Regex>)>,
    timeout: Duration,
    random: Bytes,
}

enum Body {
    Empty,
    Fixed(Bytes),
    Text(Text),
    Random(u64),
}

/// A template whose names are places in [`Values`].
struct Text(Vec<TextPart>);

enum TextPart {
    Text(String),
    Value(usize),
}

impl Text {
    fn new(template: &Template, names: &[String], step: &str) -> Result<Self, Error> {
        let parts = template.0.iter().map(|part| match part {
            Part::Text(text) => Ok(TextPart::Text(text.clone())),
            Part::Name(name) => {
                let place = names.iter().position(|n| n == name);
                place
                    .map(TextPart::Value)
                    .ok_or_else(|| Error::Request { step: step.to_owned(), reason: format!("`{name}` has no value here") })
            }
        });
        parts.collect::<Result<_, _>>().map(Self)
    }

    fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [TextPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    fn fill(&self, values: &Values) -> String {
        let mut text = String::with_capacity(64);
        for part in &self.0 {
            text.push_str(match part {
                TextPart::Text(text) => text,
                TextPart::Value(place) => &values.values[*place],
            });
        }
        text
    }
}

/// What differs from pass to pass on one connection: id, numbers, carried values, random bytes.
pub struct Values {
    values: Vec<String>,
    seed: u64,
    connection: u64,
    random: u64,
}

const ID: usize = 0;
const PASS: usize = 1;
const CONNECTION: usize = 2;

/// One round of SplitMix64 (Steele, Lea & Flood 2014): a bijection, so different inputs never collide.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Values {
    /// The values of connection number `connection`.
    pub fn new(prepared: &Prepared, seed: u64, connection: u64) -> Self {
        let mut values = vec![String::new(); prepared.names.len()];
        values[CONNECTION] = connection.to_string();
        Self { values, seed, connection, random: mix(seed ^ connection.rotate_left(32)) }
    }

    /// Begins a pass: a fresh id, and no carried values.
    pub fn begin_pass(&mut self, pass: u64) {
        // The pair (connection, pass) is unique within a repetition as long as neither passes its half of 64 bits.
        let unique = (self.connection << 40) | (pass & ((1 << 40) - 1));
        let id = mix(unique ^ mix(self.seed));
        for value in &mut self.values[..CONNECTION] {
            value.clear();
        }
        for value in &mut self.values[CONNECTION + 1..] {
            value.clear();
        }
        let _ = write!(self.values[ID], "{id:016x}");
        let _ = write!(self.values[PASS], "{pass}");
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.random)
    }
}

fn random_block() -> Bytes {
    let mut block = Vec::with_capacity(RANDOM_BLOCK);
    let mut state = 0x243F_6A88_85A3_08D3_u64;
    while block.len() < RANDOM_BLOCK {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        block.extend_from_slice(&mix(state).to_le_bytes());
    }
    block.into()
}

impl Prepared {
    /// Makes the requests of a workload ready.
    ///
    /// # Errors
    /// When a host has no address, a body cannot be read, or a request would be invalid.
    pub fn new(workload: &plan::Workload) -> Result<Self, Error> {
        use std::net::ToSocketAddrs as _;
        let mut names: Vec<String> = ["id", "pass", "connection"].map(str::to_owned).to_vec();
        for carry in workload.steps.iter().flat_map(|s| &s.carry) {
            if !names.contains(&carry.name) {
                names.push(carry.name.clone());
            }
        }
        let mut addresses = Vec::new();
        for url in &workload.urls {
            let resolve = |source| Error::Resolve { host: url.host.clone(), source };
            let mut found = (url.host.as_str(), url.port).to_socket_addrs().map_err(resolve)?;
            let address = found.next().ok_or_else(|| resolve(std::io::Error::other("it has no address")))?;
            let host = HeaderValue::from_str(&url.authority())
                .map_err(|e| Error::Request { step: url.to_string(), reason: e.to_string() })?;
            addresses.push((address, host));
        }
        let random = random_block();
        let prefix = workload.urls.first().map_or("", |u| u.path.as_str());
        let steps = workload.steps.iter().map(|s| Step::new(s, prefix, &names, &random)).collect::<Result<_, _>>()?;
        Ok(Self { steps, addresses, names, random })
    }
}

impl Step {
    fn new(step: &plan::Step, prefix: &str, names: &[String], random: &Bytes) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: step.name.clone(), reason };
        let text = |template: &Template| Text::new(template, names, &step.name);
        let mut path = text(&step.path)?;
        if !prefix.is_empty() {
            path.0.insert(0, TextPart::Text(prefix.to_owned()));
            if let [TextPart::Text(a), TextPart::Text(b)] = path.0.as_slice() {
                path = Text(vec![TextPart::Text(format!("{a}{b}"))]);
            }
        }
        let fixed_uri = path.fixed().map(|p| p.parse::<Uri>().map_err(|e| invalid(format!("path `{p}`: {e}")))).transpose()?;
        let mut headers = HeaderMap::new();
        let mut late_headers = Vec::new();
        for (name, value) in &step.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|e| invalid(e.to_string()))?;
            let value = text(value)?;
            match value.fixed() {
                Some(fixed) => {
                    headers.insert(name, HeaderValue::from_str(fixed).map_err(|e| invalid(e.to_string()))?);
                }
                None => late_headers.push((name, value)),
            }
        }
        let body = match &step.body {
            plan::Body::Empty => Body::Empty,
            plan::Body::Random(n) => Body::Random(*n),
            plan::Body::Text(template) => {
                let text = text(template)?;
                match text.fixed() {
                    Some(fixed) => Body::Fixed(Bytes::copy_from_slice(fixed.as_bytes())),
                    None => Body::Text(text),
                }
            }
            plan::Body::File(path) => {
                Body::Fixed(std::fs::read(path).map_err(|source| Error::Body { path: path.clone(), source })?.into())
            }
        };
        let carry = step
            .carry
            .iter()
            .map(|c| {
                let place = names.iter().position(|n| *n == c.name).unwrap_or(ID);
                let pattern = match &c.place {
                    Place::Regex(pattern) => Some(regex::Regex::new(pattern).map_err(|e| invalid(e.to_string()))?),
                    _ => None,
                };
                Ok((place, c.place.clone(), pattern))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            method: Method::from_bytes(step.method.as_bytes()).map_err(|e| invalid(e.to_string()))?,
            path,
            fixed_uri,
            headers,
            late_headers,
            body,
            statuses: step.expect.statuses.clone(),
            length: step.expect.length,
            text: step.expect.text.as_ref().map(text).transpose()?,
            contains: step.expect.contains.as_ref().map(text).transpose()?,
            carry,
            timeout: step.timeout,
            random: random.clone(),
        })
    }

    fn needs_body(&self) -> bool {
        self.text.is_some()
            || self.contains.is_some()
            || self.carry.iter().any(|(_, place, _)| !matches!(place, Place::Header(_)))
    }

    fn request(&self, host: &HeaderValue, values: &mut Values) -> Result<(Request<Outgoing>, u64), Failure> {
        let uri = match &self.fixed_uri {
            Some(uri) => uri.clone(),
            None => {
                let path = self.path.fill(values);
                Uri::try_from(path.as_str()).map_err(|e| Failure::unsent(format!("the path `{path}` is invalid: {e}")))?
            }
        };
        let body = match &self.body {
            Body::Empty => Outgoing::Empty,
            Body::Fixed(bytes) => Outgoing::Once(bytes.clone()),
            Body::Text(text) => Outgoing::Once(text.fill(values).into()),
            Body::Random(n) => Outgoing::random(*n, &self.random, values.next_random()),
        };
        let size = body.size();
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if !headers.contains_key(HOST) {
            headers.insert(HOST, host.clone());
        }
        for (name, value) in &self.late_headers {
            let text = value.fill(values);
            let value =
                HeaderValue::from_str(&text).map_err(|_| Failure::unsent(format!("the header {name} cannot be `{text}`")))?;
            headers.insert(name.clone(), value);
        }
        Ok((request, size))
    }
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

/// An exchange that was answered as expected.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the response body.
    pub received_bytes: u64,
}

/// An exchange that was not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its kind.
    pub outcome: Outcome,
    /// What happened, for people.
    pub words: String,
    /// Whether the answer was read to its end, so that the connection can go on.
    pub connection_usable: bool,
}

impl Failure {
    fn new(outcome: Outcome, words: String) -> Self {
        Self { outcome, words, connection_usable: false }
    }

    fn wrong(outcome: Outcome, words: String) -> Self {
        Self { outcome, words, connection_usable: true }
    }

    fn unsent(words: String) -> Self {
        Self::wrong(Outcome::Carry, words)
    }

    fn of_io(error: &std::io::Error, doing: &str) -> Self {
        use std::io::ErrorKind;
        let outcome = match error.kind() {
            ErrorKind::ConnectionRefused => Outcome::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Outcome::Reset,
            ErrorKind::UnexpectedEof => Outcome::Incomplete,
            ErrorKind::TimedOut => Outcome::Timeout,
            _ => Outcome::Io,
        };
        Self::new(outcome, format!("{doing}: {error}"))
    }

    fn of_hyper(error: &hyper::Error, what: &str, in_body: bool) -> Self {
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                return Self::of_io(io, what);
            }
            source = inner.source();
        }
        let outcome = match () {
            () if error.is_parse() => Outcome::Garbage,
            () if in_body => Outcome::Incomplete,
            () if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => Outcome::Closed,
            () => Outcome::Garbage,
        };
        Self::new(outcome, format!("{what}: {error}"))
    }
}

/// An open connection with at most one request on it.
pub struct Connection {
    sender: http1::SendRequest<Outgoing>,
    connection: Pin<Box<http1::Connection<TokioIo<TcpStream>, Outgoing>>>,
    ended: bool,
    host: HeaderValue,
    clock: Pin<Box<Sleep>>,
    armed_until: TokioInstant,
}

impl Connection {
    /// Opens connection number `number`; addresses are dealt out in turn.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn open(prepared: &Prepared, number: u64) -> Result<Self, Failure> {
        let (address, host) = &prepared.addresses[(number % prepared.addresses.len() as u64) as usize];
        let timeout = prepared.steps.iter().map(|s| s.timeout).max().unwrap_or(plan::actions::REQUEST_TIMEOUT);
        let doing = || format!("connecting to {address}");
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(stream) => stream.map_err(|e| Failure::of_io(&e, &doing()))?,
            Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{} took longer than the time-out", doing()))),
        };
        stream.set_nodelay(true).map_err(|e| Failure::of_io(&e, &doing()))?;
        let (sender, connection) =
            http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(|e| Failure::of_hyper(&e, &doing(), false))?;
        let armed_until = TokioInstant::now() + timeout;
        let _ = &prepared.random;
        Ok(Self {
            sender,
            connection: Box::pin(connection),
            ended: false,
            host: host.clone(),
            clock: Box::pin(tokio::time::sleep_until(armed_until)),
            armed_until,
        })
    }

    /// Whether a request can be sent; a connection that the server has closed meanwhile is noticed here.
    pub fn is_open(&self) -> bool {
        !self.ended && !self.sender.is_closed()
    }

    /// Sends the request of a step, reads the answer to its end and checks it.
    ///
    /// # Errors
    /// What was wrong, as it is recorded.
    pub async fn exchange(&mut self, step: &Step, values: &mut Values) -> Result<Done, Failure> {
        let (request, sent_bytes) = step.request(&self.host, values)?;
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
            Ok(Err(error)) => return Err(Failure::of_hyper(&error, &label(), false)),
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
        let (head, mut body) = response.into_parts();
        let mut kept = step.needs_body().then(Vec::new);
        let mut received_bytes = 0;
        while !body.is_end_stream() {
            let frame = driven.until(|cx| Pin::new(&mut body as &mut Incoming).poll_frame(cx)).await;
            match frame {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    let Some(data) = frame.data_ref() else { continue };
                    received_bytes += data.len() as u64;
                    if let Some(kept) = &mut kept
                        && kept.len() + data.len() <= MAX_KEPT
                    {
                        kept.extend_from_slice(data);
                    }
                }
                Ok(Some(Err(error))) => return Err(Failure::of_hyper(&error, &label(), true)),
                Err(Interrupted::Timeout) => {
                    return Err(Failure::new(
                        Outcome::Timeout,
                        format!("{}: no whole answer within {:?}", label(), step.timeout),
                    ));
                }
                Err(Interrupted::Ended) => {
                    return Err(Failure::new(
                        Outcome::Incomplete,
                        format!("{}: the answer broke off after {received_bytes} bytes", label()),
                    ));
                }
            }
        }
        // Lets the connection finish the exchange, and notice a server that closes.
        driven.settle().await;

        let status = head.status.as_u16();
        let expected = if step.statuses.is_empty() { (200..300).contains(&status) } else { step.statuses.contains(&status) };
        if !expected {
            let wanted = if step.statuses.is_empty() {
                "2xx".to_owned()
            } else {
                format!("{:?}", step.statuses).trim_matches(['[', ']']).to_owned()
            };
            return Err(Failure::wrong(Outcome::Status, format!("{} answered {status} instead of {wanted}", label())));
        }
        if let Some(length) = step.length
            && length != received_bytes
        {
            return Err(Failure::wrong(
                Outcome::Length,
                format!("{} answered {received_bytes} bytes instead of {length}", label()),
            ));
        }
        if let Some(kept) = &kept {
            self::check(step, kept, &head.headers, values)?;
        } else if !step.carry.is_empty() {
            self::check(step, &[], &head.headers, values)?;
        }
        Ok(Done { sent_bytes, received_bytes })
    }
}

/// Checks what is in the body and takes what is to be carried.
fn check(step: &Step, body: &[u8], headers: &HeaderMap, values: &mut Values) -> Result<(), Failure> {
    let label = |values: &Values| format!("{} {}", step.method, step.path.fill(values));
    if let Some(text) = &step.text
        && text.fill(values).as_bytes() != body
    {
        return Err(Failure::wrong(
            Outcome::Body,
            format!("{} answered another body than expected: {}", label(values), excerpt(body)),
        ));
    }
    if let Some(part) = &step.contains {
        let part = part.fill(values);
        let there = part.is_empty() || body.windows(part.len()).any(|w| w == part.as_bytes());
        if !there {
            return Err(Failure::wrong(Outcome::Body, format!("{} answered without `{part}`: {}", label(values), excerpt(body))));
        }
    }
    let json = step
        .carry
        .iter()
        .any(|(_, place, _)| matches!(place, Place::Json(_)))
        .then(|| serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default());
    for (index, place, pattern) in &step.carry {
        let found = match place {
            Place::Header(name) => headers.get(name.as_str()).and_then(|v| v.to_str().ok()).map(str::to_owned),
            Place::Json(pointer) => json.as_ref().and_then(|j| j.pointer(pointer)).map(|v| match v {
                serde_json::Value::String(s) => s.clone(),
                other => other.to_string(),
            }),
            Place::Regex(_) => pattern.as_ref().and_then(|p| {
                let text = String::from_utf8_lossy(body);
                p.captures(&text).map(|c| c.get(1).or_else(|| c.get(0)).map_or_else(String::new, |m| m.as_str().to_owned()))
            }),
        };
        match found {
            Some(found) => values.values[*index] = found,
            None => {
                return Err(Failure::wrong(Outcome::Carry, format!("{}: nothing to carry in {}", label(values), excerpt(body))));
            }
        }
    }
    Ok(())
}

fn excerpt(body: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(&body[..body.len().min(80)]).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.len() > 80 { format!("`{text}…`") } else { format!("`{text}`") }
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
    use super::*;

    #[test]
    fn ids_are_fresh_for_every_pass_of_every_connection() {
        let prepared = Prepared { steps: Vec::new(), addresses: Vec::new(), names: vec![String::new(); 3], random: Bytes::new() };
        let mut seen = std::collections::HashSet::new();
        for connection in 0..50 {
            let mut values = Values::new(&prepared, 42, connection);
            for pass in 0..200 {
                values.begin_pass(pass);
                assert_eq!(values.values[ID].len(), 16);
                assert!(seen.insert(values.values[ID].clone()));
            }
        }
    }

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
