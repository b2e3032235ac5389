//! The lean path: HTTP/1.1 with bodies that fit into memory, written and parsed without an allocation per request.
//!
//! One `write` and one `read` per request where the answer comes in one piece; heads are parsed by `httparse`. It takes
//! bodies by length, in chunks and until the end of the connection, skips 1xx answers, knows that HEAD, 204 and 304
//! have no body, and treats bytes that nobody asked for as garbage.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as StdInstant};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::judge::{Answer, judge};
use super::request::{Body, Step, Values};
use super::{Carried, MAX_KEPT, of_io};
use crate::load::drivers::Failure;
use crate::load::windows::Outcome;
use crate::plan::Place;

/// The input buffer; also the longest head of an answer.
const INPUT: usize = 16 << 10;
/// The input buffer grows to this when a body is long.
const LARGE_INPUT: usize = 256 << 10;
const MAX_HEADERS: usize = 96;

/// A connection that is written to and read from directly.
pub struct Lean {
    stream: TcpStream,
    host: HeaderValue,
    output: Vec<u8>,
    /// Bytes that were read and not yet used are `input[start..end]`.
    input: Box<[u8]>,
    start: usize,
    end: usize,
    open: bool,
    /// When the first and the last bytes of the answer were read.
    first_read: Option<StdInstant>,
    last_read: Option<StdInstant>,
    clock: Pin<Box<Sleep>>,
    armed_until: Instant,
    registered: bool,
}

/// What a head says of its answer.
struct Head {
    status: u16,
    length: Length,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(u64),
    Chunked,
    UntilClosed,
}

enum ReadError {
    Timeout,
    Closed,
    Io(std::io::Error),
}

impl Lean {
    /// Begins to speak on a stream.
    pub fn new(stream: TcpStream, host: HeaderValue, timeout: Duration) -> Self {
        let armed_until = Instant::now() + timeout;
        Self {
            stream,
            host,
            output: Vec::with_capacity(512),
            input: vec![0; INPUT].into(),
            start: 0,
            end: 0,
            open: true,
            first_read: None,
            last_read: None,
            clock: Box::pin(tokio::time::sleep_until(armed_until)),
            armed_until,
            registered: false,
        }
    }

    /// Whether a request can be sent. Costs no system call while the server has sent nothing.
    pub fn is_open(&mut self) -> bool {
        if self.open && self.start == self.end {
            let mut probe = [0; 1];
            // What comes unasked, be it the end of the stream, makes the connection unfit for another request.
            self.open = matches!(self.stream.try_read(&mut probe), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock);
        }
        self.open
    }

    /// Writes the request into `output`; returns the length of its body.
    fn compose(&mut self, step: &Step, values: &mut Values) -> Result<u64, Failure> {
        let out = &mut self.output;
        out.clear();
        out.extend_from_slice(step.method.as_str().as_bytes());
        out.push(b' ');
        let path_at = out.len();
        step.path.write(values, out);
        if out[path_at..].iter().any(|b| *b <= b' ' || *b == 0x7f) {
            return Err(unsent(format!("the path `{}` is invalid: it contains white space", step.path.fill(values))));
        }
        out.extend_from_slice(b" HTTP/1.1\r\n");
        if !step.has_host {
            out.extend_from_slice(b"host: ");
            out.extend_from_slice(self.host.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&step.fixed_head);
        for (name, value) in &step.late_headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            let value_at = out.len();
            value.write(values, out);
            if out[value_at..].iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) {
                return Err(unsent(format!("the header {name} cannot be `{}`", value.fill(values))));
            }
            out.extend_from_slice(b"\r\n");
        }
        let finish = |out: &mut Vec<u8>, body: &[u8]| {
            let mut digits = [0; 20];
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(decimal(body.len() as u64, &mut digits));
            out.extend_from_slice(b"\r\n\r\n");
            out.extend_from_slice(body);
            body.len() as u64
        };
        Ok(match &step.body {
            Body::Empty if matches!(step.method.as_str(), "PUT" | "POST" | "PATCH") => finish(out, &[]),
            Body::Empty => {
                out.extend_from_slice(b"\r\n");
                0
            }
            Body::Fixed(bytes) => finish(out, bytes),
            Body::Text(text) => finish(out, text.fill(values).as_bytes()),
            Body::Random(length) => {
                let length = *length as usize;
                let spare = step.random.len() - length;
                let start = (values.next_random() % (spare as u64 + 1)) as usize;
                finish(out, &step.random[start..start + length])
            }
        })
    }

    /// Sends the request of a step, reads the answer to its end and checks it.
    pub async fn exchange(&mut self, step: &Step, values: &mut Values) -> Carried {
        self.last_read = None;
        self.first_read = None;
        let sent_bytes = match self.compose(step, values) {
            Ok(sent_bytes) => sent_bytes,
            Err(failure) => return Carried { usable: true, ..Carried::broken(None, failure) },
        };
        let mut received_bytes = 0;
        let result = self.carry(step, values, &mut received_bytes).await;
        let completed = self.last_read.filter(|_| self.open || result.is_ok()).unwrap_or_else(StdInstant::now);
        Carried { first_byte: self.first_read, completed, sent_bytes, received_bytes, usable: self.open, result }
    }

    /// The exchange itself.
    async fn carry(&mut self, step: &Step, values: &mut Values, received_bytes: &mut u64) -> Result<(), Failure> {
        let deadline = Instant::now() + step.timeout;
        // Only an answer that is read to its end leaves the connection fit for the next request.
        self.open = false;
        let words = |error: ReadError, what: &str| match error {
            ReadError::Timeout => {
                Failure::new(Outcome::Timeout, format!("{}: no {what} within {:?}", step.label(values), step.timeout))
            }
            ReadError::Closed if what == "answer" => {
                Failure::new(Outcome::Closed, format!("{}: the connection was closed instead of an answer", step.label(values)))
            }
            ReadError::Closed => Failure::new(Outcome::Incomplete, format!("{}: the answer broke off", step.label(values))),
            ReadError::Io(error) => of_io(&error, &step.label(values)),
        };
        self.write(deadline).await.map_err(|e| words(e, "answer"))?;
        let mut headers = HeaderMap::new();
        let head = loop {
            let parsed = parse_head(&self.input[self.start..self.end], step, &mut headers);
            match parsed {
                Ok(Some((used, head))) => {
                    self.start += used;
                    if (100..200).contains(&head.status) && head.status != 101 {
                        headers.clear();
                        continue;
                    }
                    break head;
                }
                Ok(None) if self.end - self.start >= INPUT => {
                    return Err(Failure::new(
                        Outcome::Garbage,
                        format!("{}: the head of the answer is longer than {INPUT} bytes", step.label(values)),
                    ));
                }
                Ok(None) => {
                    let broken = self.end > self.start;
                    self.fill(deadline).await.map_err(|e| words(e, if broken { "whole answer" } else { "answer" }))?;
                }
                Err(reason) => {
                    return Err(Failure::new(
                        Outcome::Garbage,
                        format!("{}: the answer is no HTTP: {reason}", step.label(values)),
                    ));
                }
            }
        };
        let mut kept = step.needs_body().then(Vec::new);
        *received_bytes = match head.length {
            Length::Known(length) => self.take(length, &mut kept, deadline).await.map_err(|e| words(e, "whole answer"))?,
            Length::Chunked => match self.chunks(&mut kept, deadline).await {
                Ok(length) => length,
                Err(ChunkError::Read(error)) => return Err(words(error, "whole answer")),
                Err(ChunkError::Garbage) => {
                    return Err(Failure::new(
                        Outcome::Garbage,
                        format!("{}: the chunks of the answer are damaged", step.label(values)),
                    ));
                }
            },
            Length::UntilClosed => self.rest(&mut kept, deadline).await.map_err(|e| words(e, "whole answer"))?,
        };
        if self.start < self.end {
            let extra = self.end - self.start;
            return Err(Failure::new(
                Outcome::Garbage,
                format!("{}: {extra} bytes that nobody asked for stand behind the answer", step.label(values)),
            ));
        }
        (self.start, self.end) = (0, 0);
        self.open = head.keep_alive;
        let answer = Answer { status: head.status, received_bytes: *received_bytes, body: kept.as_deref(), headers: &headers };
        judge(step, &answer, values)
    }

    /// Writes `output`. Should the server answer and close before it has read everything, its answer is kept.
    async fn write(&mut self, deadline: Instant) -> Result<(), ReadError> {
        let mut written = 0;
        std::future::poll_fn(|cx| {
            while written < self.output.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &self.output[written..]) {
                    Poll::Ready(Ok(n)) => written += n,
                    Poll::Ready(Err(error)) => {
                        // An early answer explains the end of the connection better than the end itself.
                        let early = self.end > self.start || matches!(self.poll_fill(cx), Poll::Ready(Ok(())));
                        return Poll::Ready(if early { Ok(()) } else { Err(ReadError::Io(error)) });
                    }
                    Poll::Pending => {
                        return if self.timed_out(cx, deadline) { Poll::Ready(Err(ReadError::Timeout)) } else { Poll::Pending };
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Reads at least one byte more into `input`.
    async fn fill(&mut self, deadline: Instant) -> Result<(), ReadError> {
        std::future::poll_fn(|cx| match self.poll_fill(cx) {
            Poll::Pending if self.timed_out(cx, deadline) => Poll::Ready(Err(ReadError::Timeout)),
            polled => polled,
        })
        .await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut buffer = ReadBuf::new(&mut self.input[self.end..]);
        // A read that does not fill the buffer also tells tokio that the socket is empty: no second `read` finds nothing.
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Err(ReadError::Closed)),
            Poll::Ready(Ok(())) => {
                self.end += buffer.filled().len();
                let now = StdInstant::now();
                self.first_read.get_or_insert(now);
                self.last_read = Some(now);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(ReadError::Io(error))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// One timer per connection, armed anew only when it fires: a request costs no timer operation.
    fn timed_out(&mut self, cx: &mut Context<'_>, deadline: Instant) -> bool {
        if deadline < self.armed_until {
            self.armed_until = deadline;
            self.clock.as_mut().reset(deadline);
            self.registered = false;
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
            self.armed_until = deadline;
            self.clock.as_mut().reset(deadline);
            self.registered = false;
        }
        false
    }

    /// Reads `length` bytes of a body.
    async fn take(&mut self, length: u64, kept: &mut Option<Vec<u8>>, deadline: Instant) -> Result<u64, ReadError> {
        let mut left = length;
        loop {
            let here = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            keep(kept, &self.input[self.start..self.start + here]);
            self.start += here;
            left -= here as u64;
            if left == 0 {
                return Ok(length);
            }
            if left > INPUT as u64 && self.input.len() == INPUT {
                self.input = vec![0; LARGE_INPUT].into();
                (self.start, self.end) = (0, 0);
            }
            self.fill(deadline).await?;
        }
    }

    /// Reads a body that ends with its connection.
    async fn rest(&mut self, kept: &mut Option<Vec<u8>>, deadline: Instant) -> Result<u64, ReadError> {
        let mut length = 0;
        loop {
            keep(kept, &self.input[self.start..self.end]);
            length += (self.end - self.start) as u64;
            self.start = self.end;
            match self.fill(deadline).await {
                Ok(()) => {}
                Err(ReadError::Closed) => return Ok(length),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads a body in chunks, with its trailers.
    async fn chunks(&mut self, kept: &mut Option<Vec<u8>>, deadline: Instant) -> Result<u64, ChunkError> {
        let mut length = 0;
        loop {
            let line = self.line(deadline).await?;
            let size = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(size).ok().and_then(|s| u64::from_str_radix(s, 16).ok()).ok_or(ChunkError::Garbage)?;
            if size == 0 {
                // Trailers, up to an empty line.
                while !self.line(deadline).await?.is_empty() {}
                return Ok(length);
            }
            length += self.take(size, kept, deadline).await.map_err(ChunkError::Read)?;
            if !self.line(deadline).await?.is_empty() {
                return Err(ChunkError::Garbage);
            }
        }
    }

    /// A line without its end.
    async fn line(&mut self, deadline: Instant) -> Result<Vec<u8>, ChunkError> {
        loop {
            let unread = &self.input[self.start..self.end];
            if let Some(end) = unread.iter().position(|b| *b == b'\n') {
                let line = unread[..end].strip_suffix(b"\r").ok_or(ChunkError::Garbage)?.to_vec();
                self.start += end + 1;
                return Ok(line);
            }
            if unread.len() > 1024 {
                return Err(ChunkError::Garbage);
            }
            self.fill(deadline).await.map_err(ChunkError::Read)?;
        }
    }
}

/// A request that cannot be made: what it inserts does not fit.
fn unsent(words: String) -> Failure {
    Failure::new(Outcome::Carry, words)
}

enum ChunkError {
    Read(ReadError),
    Garbage,
}

fn keep(kept: &mut Option<Vec<u8>>, bytes: &[u8]) {
    if let Some(kept) = kept
        && kept.len() + bytes.len() <= MAX_KEPT
    {
        kept.extend_from_slice(bytes);
    }
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

/// Reads a head: none while it is incomplete, an error when it is no HTTP.
fn parse_head(input: &[u8], step: &Step, kept: &mut HeaderMap) -> Result<Option<(usize, Head)>, String> {
    let mut space = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let used = match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut space) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let status = response.code.unwrap_or_default();
    let mut length = None;
    let mut chunked = false;
    let mut keep_alive = response.version == Some(1);
    for header in response.headers.iter() {
        let name = header.name;
        if name.len() == 14 && name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value).unwrap_or_default().trim();
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let value: u64 = text.parse().ok().filter(|_| plain).ok_or_else(|| format!("content-length `{text}`"))?;
            if length.is_some_and(|before| before != value) {
                return Err("two different content-lengths".to_owned());
            }
            length = Some(value);
        } else if name.len() == 17 && name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = header.value.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
        } else if name.len() == 10 && name.eq_ignore_ascii_case("connection") {
            let value = header.value.to_ascii_lowercase();
            for token in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                match token {
                    b"close" => keep_alive = false,
                    b"keep-alive" => keep_alive = true,
                    _ => {}
                }
            }
        }
        if step.carry.iter().any(|(_, place, _)| matches!(place, Place::Header(wanted) if name.eq_ignore_ascii_case(wanted)))
            && let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(header.value))
        {
            kept.append(name, value);
        }
    }
    let length = match length {
        _ if step.method == hyper::Method::HEAD || matches!(status, 100..=199 | 204 | 304) => Length::Known(0),
        _ if chunked => Length::Chunked,
        Some(length) => Length::Known(length),
        None => {
            keep_alive = false;
            Length::UntilClosed
        }
    };
    Ok(Some((used, Head { status, length, keep_alive })))
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::step;
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn head(method: &str, text: &str) -> Result<Option<(usize, u16, Length, bool)>, String> {
        let parsed = parse_head(text.as_bytes(), &step(method), &mut HeaderMap::new());
        parsed.map(|p| p.map(|(used, head)| (used, head.status, head.length, head.keep_alive)))
    }

    #[test]
    fn heads_say_how_long_their_bodies_are() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello";
        assert_eq!(head("GET", text).unwrap(), Some((39, 200, Length::Known(12), true)));
        assert_eq!(head("HEAD", text).unwrap().unwrap().2, Length::Known(0));
        assert_eq!(head("GET", "HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().2, Length::Known(0));
        assert_eq!(
            head("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n").unwrap().unwrap().2,
            Length::Chunked
        );
        let old = head("GET", "HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap();
        assert_eq!((old.2, old.3), (Length::UntilClosed, false));
        assert!(!head("GET", "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n").unwrap().unwrap().3);
        assert_eq!(head("GET", "HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
        for garbage in [
            "HELLO\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ] {
            assert!(head("GET", garbage).is_err(), "{garbage}");
        }
    }

    /// Serves one connection: each request is answered with the next of `answers`, byte by byte when `slowly`.
    fn exchanges(answers: Vec<&'static str>, slowly: bool) -> Vec<Result<u64, Outcome>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let count = answers.len();
            let server = async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut request = [0; 4096];
                for answer in answers {
                    if stream.read(&mut request).await.unwrap_or(0) == 0 {
                        return;
                    }
                    if slowly {
                        for byte in answer.as_bytes() {
                            let _ = stream.write_all(&[*byte]).await;
                            tokio::task::yield_now().await;
                        }
                    } else {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            };
            let client = async move {
                let stream = TcpStream::connect(address).await.unwrap();
                let mut lean = Lean::new(stream, HeaderValue::from_static("x"), Duration::from_secs(5));
                let step = step("GET");
                let mut values = Values::for_tests();
                let mut results = Vec::new();
                for _ in 0..count {
                    let result = lean.exchange(&step, &mut values).await;
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
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\ntrailer: 1\r\n\r\n";
        let early = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
        let until_closed = "HTTP/1.1 200 OK\r\n\r\nall the rest";
        for slowly in [false, true] {
            let results = exchanges(vec![ok, chunked, early, ok, until_closed], slowly);
            assert_eq!(results, [Ok(5), Ok(15), Ok(2), Ok(5), Ok(12)], "slowly: {slowly}");
        }
    }

    #[test]
    fn what_is_wrong_has_its_own_outcome() {
        let cases = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", Outcome::Incomplete),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", Outcome::Incomplete),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", Outcome::Garbage),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more", Outcome::Garbage),
            ("220 smtp.example ESMTP\r\n", Outcome::Garbage),
            ("HTTP/1.1 200 O", Outcome::Incomplete),
            ("", Outcome::Closed),
            ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", Outcome::Status),
        ];
        for (answer, outcome) in cases {
            assert_eq!(exchanges(vec![answer], false), [Err(outcome)], "{answer:?}");
        }
    }
}
