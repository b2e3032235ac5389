//! Answers of HTTP/1, parsed as they arrive: pure, no socket and no clock.
//!
//! An [`Answer`] is fed with pieces of any size and says when it is complete; how it was cut into pieces makes no
//! difference. It accepts bodies by length, in chunks and until the end of the connection, skips 1xx answers and knows
//! that HEAD, 204 and 304 have no body. An answer that could be understood in two ways is [`Garbage`]: no counted
//! answer must be a guess. Nothing is copied except a head that arrives in several pieces.
//!
//! It uses nothing of this crate, so that `fuzz` can include it as it is.

// Included beside this file by whatever uses it, be it this crate or `fuzz`.
#[path = "framing.rs"]
pub mod framing;

use std::borrow::Cow;
use std::fmt;
use std::mem::MaybeUninit;

use framing::{Framing, framing, tokens};

/// The longest head of an answer; also the longest sum of its trailers.
pub const MAX_HEAD: usize = 16 << 10;
/// The most headers of an answer; as many as hyper accepts.
pub const MAX_HEADERS: usize = 100;
/// The longest line that starts a chunk, extensions included.
pub const MAX_CHUNK_LINE: u16 = 1024;

/// Receives the parts of an answer that are kept.
pub trait AnswerSink {
    /// Whether it wants headers; `coded`: whether one of them says that the body has a content coding; `sets_cookies`: whether one
    /// of them sets a cookie.
    fn wants_headers(&self, coded: bool, sets_cookies: bool) -> bool;
    /// A header of the answer itself, not of a 1xx answer before it. Trailers are not passed on.
    fn header(&mut self, name: &str, value: &[u8]);
    /// Bytes of the body, in order.
    fn body(&mut self, bytes: &[u8]);
}

/// Why something is not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// The head is not HTTP, or contradicts itself.
    Head(String),
    /// The head is longer than [`MAX_HEAD`].
    LongHead,
    /// The head has more than [`MAX_HEADERS`].
    ManyHeaders,
    /// The chunks of the body, or the trailers after them, are damaged.
    Chunks,
    /// The line that starts a chunk is longer than [`MAX_CHUNK_LINE`].
    LongChunkLine,
    /// The trailers after the body are longer than [`MAX_HEAD`].
    LongTrailers,
    /// This many bytes follow the end of the answer.
    Behind(usize),
}

impl fmt::Display for Garbage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(reason) => write!(out, "the answer is not HTTP: {reason}"),
            Self::LongHead => write!(out, "the head of the answer is longer than {MAX_HEAD} bytes"),
            Self::ManyHeaders => write!(out, "the head of the answer has more than {MAX_HEADERS} headers"),
            Self::Chunks => write!(out, "the chunks of the answer are damaged"),
            Self::LongChunkLine => {
                write!(out, "a line that starts a chunk of the answer is longer than {MAX_CHUNK_LINE} bytes")
            }
            Self::LongTrailers => write!(out, "the trailers of the answer are longer than {MAX_HEAD} bytes"),
            Self::Behind(n) => write!(out, "{n} unexpected bytes after the answer"),
        }
    }
}

/// Where the stream ended instead of delivering the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyEnd {
    /// Before the first byte of the answer.
    Before,
    /// After the start of the answer.
    Within,
}

/// One answer, as far as it has arrived.
#[derive(Debug)]
pub struct Answer {
    state: State,
    /// Whether there is no body whatever the head says.
    bodiless: bool,
    keep_alive: bool,
    status: u16,
    received: u64,
    /// The length of the body, if the head states it.
    length: Option<u64>,
    /// The part of a head that has arrived; empty otherwise.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// This many bytes of the body are missing.
    Length(u64),
    UntilClosed,
    /// In the line that starts a chunk.
    Size {
        size: u64,
        at: SizeAt,
        line: u16,
    },
    /// This many bytes of a chunk are missing.
    Chunk(u64),
    /// After a chunk.
    ChunkEnd {
        cr: bool,
    },
    /// After the last chunk.
    Trailers {
        at: TrailerAt,
        length: u16,
    },
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeAt {
    Begin,
    Digits,
    Blank,
    Extension,
    LineFeed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TrailerAt {
    Begin,
    Name,
    Value,
    LineFeed,
    LastLineFeed,
}

/// The head that was read last. A server usually sends the same head again, and the same bytes mean the same: input
/// that starts with all of its bytes need not be parsed again.
#[derive(Debug)]
pub struct LastHead {
    text: Vec<u8>,
    bodiless: bool,
    /// `None` as long as there is no `text`.
    head: Option<Head>,
}

/// What a head says about its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: State,
    keep_alive: bool,
    /// Whether the body has a content coding.
    coded: bool,
    /// Whether a cookie is set.
    sets_cookies: bool,
}

impl Answer {
    /// The answer to a request that was just sent; `head_only` for HEAD.
    pub fn new(head_only: bool) -> Self {
        Self {
            state: State::Head,
            bodiless: head_only,
            keep_alive: false,
            status: 0,
            received: 0,
            length: None,
            head: Vec::new(),
        }
    }

    /// The same for another request on the same connection.
    #[inline(always)]
    pub fn await_another(&mut self, head_only: bool) {
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        *self = Self { head, ..Self::new(head_only) };
    }

    /// Its status; 0 until the head is complete.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How many bytes of the body have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The length of the body, if it is known.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the connection can carry another request after this answer.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether it is complete.
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether a part of it has arrived; 1xx answers before it do not count.
    pub fn has_begun(&self) -> bool {
        self.state != State::Head || !self.head.is_empty()
    }

    /// The least number of missing bytes, if it is known.
    pub fn missing(&self) -> u64 {
        match self.state {
            State::Length(n) | State::Chunk(n) => n,
            _ => 0,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they do not form an answer, or form more than one. Nothing can be fed after that.
    pub fn feed(&mut self, input: &[u8], seen: &mut LastHead, keep: &mut impl AnswerSink) -> Result<(), Garbage> {
        if self.is_like_the_last(input, seen, keep) {
            return Ok(());
        }
        let mut at = 0;
        if self.state == State::Head {
            match self.feed_head(input, seen, keep)? {
                Some(used) => at = used,
                None => return Ok(()),
            }
        }
        while at < input.len() {
            let rest = &input[at..];
            at += match self.state {
                State::Length(missing) => {
                    let left = self.take(rest, missing, keep);
                    self.state = if left == 0 { State::Whole } else { State::Length(left) };
                    (missing - left) as usize
                }
                State::UntilClosed => {
                    self.take(rest, u64::MAX, keep);
                    rest.len()
                }
                State::Chunk(missing) => {
                    let left = self.take(rest, missing, keep);
                    self.state = if left == 0 { State::ChunkEnd { cr: false } } else { State::Chunk(left) };
                    (missing - left) as usize
                }
                State::Whole => return Err(Garbage::Behind(rest.len())),
                // No head follows a head.
                State::Head => return Err(Garbage::Chunks),
                between => {
                    self.state = between_chunks(between, rest[0])?;
                    1
                }
            };
        }
        Ok(())
    }

    /// Takes an answer whose head is the same as the last one's, if its body is all of the rest: nearly all are like that.
    #[inline(always)]
    fn is_like_the_last(&mut self, input: &[u8], seen: &LastHead, keep: &mut impl AnswerSink) -> bool {
        if self.state == State::Head
            && self.head.is_empty()
            && let Some((used, head)) = seen.seen_again(input, self.bodiless, keep)
            && head.body == State::Length((input.len() - used) as u64)
        {
            self.begin(&head, used);
            self.take(&input[used..], u64::MAX, keep);
            self.state = State::Whole;
            return true;
        }
        false
    }

    /// The stream has ended. This is correct if it ends the body.
    ///
    /// # Errors
    /// Where it ended otherwise.
    pub fn end(&mut self) -> Result<(), EarlyEnd> {
        match self.state {
            State::UntilClosed | State::Whole => {
                self.state = State::Whole;
                Ok(())
            }
            _ if self.has_begun() => Err(EarlyEnd::Within),
            _ => Err(EarlyEnd::Before),
        }
    }

    /// Takes at most `missing` bytes of the body; returns how many are missing then.
    fn take(&mut self, rest: &[u8], missing: u64, keep: &mut impl AnswerSink) -> u64 {
        let here = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
        keep.body(&rest[..here]);
        self.received += here as u64;
        missing - here as u64
    }

    /// Reads heads up to that of the answer itself; returns how much of `input` they used.
    fn feed_head(&mut self, input: &[u8], seen: &mut LastHead, keep: &mut impl AnswerSink) -> Result<Option<usize>, Garbage> {
        let mut at = 0;
        if !self.head.is_empty() {
            let held = self.head.len();
            self.head.extend_from_slice(&input[..input.len().min(MAX_HEAD - held)]);
            let head = std::mem::take(&mut self.head);
            match parse_head(&head, self.bodiless, keep)? {
                // It was incomplete without the bytes of `input`, so it ends within them.
                Some((used, head)) => at = self.begin(&head, used.saturating_sub(held)),
                None => {
                    self.head = head;
                    return Ok(None);
                }
            }
        }
        while self.state == State::Head {
            let rest = &input[at..];
            match seen.read_head(&rest[..rest.len().min(MAX_HEAD)], self.bodiless, keep)? {
                Some((used, head)) => at += self.begin(&head, used),
                None => {
                    self.head.extend_from_slice(rest);
                    return Ok(None);
                }
            }
        }
        Ok(Some(at))
    }

    /// Applies what a head says, unless it is only an interim one. Returns `used`.
    fn begin(&mut self, head: &Head, used: usize) -> usize {
        if !head.is_interim() {
            (self.status, self.keep_alive, self.state) = (head.status, head.keep_alive, head.body);
            self.length = match head.body {
                State::Length(length) => Some(length),
                State::Whole => Some(0),
                _ => None,
            };
        }
        used
    }
}

impl Head {
    /// 101 is not one: nothing that follows would be HTTP.
    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

impl LastHead {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { text: Vec::new(), bodiless: false, head: None }
    }

    /// The result of parsing the same bytes earlier, if nobody needs more of them.
    fn seen_again(&self, input: &[u8], bodiless: bool, keep: &impl AnswerSink) -> Option<(usize, Head)> {
        let head = self.head?;
        let is_enough = self.bodiless == bodiless && !keep.wants_headers(head.coded, head.sets_cookies);
        (is_enough && input.starts_with(&self.text)).then_some((self.text.len(), head))
    }

    /// [`parse_head`], or its earlier result for the same bytes.
    fn read_head(&mut self, input: &[u8], bodiless: bool, keep: &mut impl AnswerSink) -> Result<Option<(usize, Head)>, Garbage> {
        if let Some(seen) = self.seen_again(input, bodiless, keep) {
            return Ok(Some(seen));
        }
        let parsed = parse_head(input, bodiless, keep)?;
        if let Some((used, head)) = parsed
            && !head.is_interim()
        {
            self.text.clear();
            self.text.extend_from_slice(&input[..used]);
            (self.bodiless, self.head) = (bodiless, Some(head));
        }
        Ok(parsed)
    }
}

/// Reads a head: `None` while it is incomplete. `input` has at most [`MAX_HEAD`] bytes.
fn parse_head(input: &[u8], bodiless: bool, keep: &mut impl AnswerSink) -> Result<Option<(usize, Head)>, Garbage> {
    let wrong = |reason: &str| Err(Garbage::Head(reason.to_owned()));
    // httparse would skip it; but there is no empty line before an answer that follows another one.
    if matches!(input.first(), Some(b'\r' | b'\n')) {
        return wrong("an empty line instead of a status");
    }
    let mut space = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    // A user agent has to accept them (RFC 9112, 5.2), and `unfolded` does.
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let used = match config.parse_response_with_uninit_headers(&mut response, input, &mut space) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if input.len() >= MAX_HEAD => return Err(Garbage::LongHead),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Garbage::ManyHeaders),
        Err(error) => return wrong(&error.to_string()),
    };
    let status = response.code.unwrap_or_default();
    let http_1_1 = response.version == Some(1);
    let headers = || response.headers.iter().map(|header| (header.name, header.value));
    let (mut keep_alive, mut close) = (http_1_1, false);
    for (_, value) in headers().filter(|(name, _)| name.eq_ignore_ascii_case("connection")) {
        for token in tokens(value) {
            close |= token.eq_ignore_ascii_case(b"close");
            keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    let body = match framing(http_1_1, status, bodiless, headers()).map_err(Garbage::Head)? {
        Framing::Nothing | Framing::Length(0) => State::Whole,
        Framing::Length(length) => State::Length(length),
        Framing::Chunked => State::Size { size: 0, at: SizeAt::Begin, line: 0 },
        Framing::UntilClosed => {
            close = true;
            State::UntilClosed
        }
    };
    // The lengths of names distinguish most headers.
    let coded = headers().any(|(name, _)| name.len() == 16 && name.eq_ignore_ascii_case("content-encoding"));
    let sets_cookies = headers().any(|(name, _)| name.len() == 10 && name.eq_ignore_ascii_case("set-cookie"));
    let head = Head { status, body, keep_alive: keep_alive && !close && status != 101, coded, sets_cookies };
    if !head.is_interim() {
        for header in response.headers.iter() {
            keep.header(header.name, &unfolded(header.value));
        }
    }
    Ok(Some((used, head)))
}

/// A value in which each line break, with the white space around it, is one space (RFC 9112, 5.2), as on the general
/// path.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    match value.contains(&b'\n') {
        false => Cow::Borrowed(value),
        true => Cow::Owned(value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b' ')),
    }
}

/// The effect of one byte on a state that is neither in the head nor in the body: sizes of chunks, line ends and
/// trailers.
///
/// Lines end with CR LF and nothing less, and contain no other control character.
///
/// # Errors
/// Why no such byte can follow.
fn between_chunks(state: State, byte: u8) -> Result<State, Garbage> {
    let printable = byte == b'\t' || byte >= b' ' && byte != 0x7f;
    match state {
        State::Size { size, at, line } => {
            if line >= MAX_CHUNK_LINE {
                return Err(Garbage::LongChunkLine);
            }
            let line = line + 1;
            let next = |at| Ok(State::Size { size, at, line });
            match (at, byte) {
                (SizeAt::Begin | SizeAt::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = (byte as char).to_digit(16).map(u64::from);
                    let size = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit)).ok_or(Garbage::Chunks)?;
                    Ok(State::Size { size, at: SizeAt::Digits, line })
                }
                (SizeAt::Begin, _) => Err(Garbage::Chunks),
                (SizeAt::LineFeed, b'\n') if size == 0 => Ok(State::Trailers { at: TrailerAt::Begin, length: 0 }),
                (SizeAt::LineFeed, b'\n') => Ok(State::Chunk(size)),
                (SizeAt::LineFeed, _) => Err(Garbage::Chunks),
                (_, b'\r') => next(SizeAt::LineFeed),
                (SizeAt::Digits | SizeAt::Blank, b' ' | b'\t') => next(SizeAt::Blank),
                (SizeAt::Digits | SizeAt::Blank, b';') => next(SizeAt::Extension),
                (SizeAt::Extension, _) if printable => next(SizeAt::Extension),
                _ => Err(Garbage::Chunks),
            }
        }
        State::ChunkEnd { cr: false } if byte == b'\r' => Ok(State::ChunkEnd { cr: true }),
        State::ChunkEnd { cr: true } if byte == b'\n' => Ok(State::Size { size: 0, at: SizeAt::Begin, line: 0 }),
        State::Trailers { at, length } => {
            if usize::from(length) >= MAX_HEAD {
                return Err(Garbage::LongTrailers);
            }
            let length = length + 1;
            let next = |at| Ok(State::Trailers { at, length });
            match (at, byte) {
                (TrailerAt::Begin, b'\r') => next(TrailerAt::LastLineFeed),
                (TrailerAt::LastLineFeed, b'\n') => Ok(State::Whole),
                (TrailerAt::LineFeed, b'\n') => next(TrailerAt::Begin),
                (TrailerAt::Name, b':') => next(TrailerAt::Value),
                (TrailerAt::Begin | TrailerAt::Name, _) if byte.is_ascii_graphic() && byte != b':' => next(TrailerAt::Name),
                (TrailerAt::Value, b'\r') => next(TrailerAt::LineFeed),
                (TrailerAt::Value, _) if printable => next(TrailerAt::Value),
                _ => Err(Garbage::Chunks),
            }
        }
        _ => Err(Garbage::Chunks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default, Debug, PartialEq)]
    struct Collected {
        without_headers: bool,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    }

    impl AnswerSink for Collected {
        fn wants_headers(&self, _coded: bool, _sets_cookies: bool) -> bool {
            !self.without_headers
        }

        fn header(&mut self, name: &str, value: &[u8]) {
            if self.without_headers {
                return;
            }
            self.headers.push((name.to_owned(), value.to_vec()));
        }

        fn body(&mut self, bytes: &[u8]) {
            self.body.extend_from_slice(bytes);
        }
    }

    /// Feeds `text` in pieces that end at `cuts`.
    fn feed(head_only: bool, text: &[u8], cuts: &[usize]) -> (Result<(), Garbage>, Answer, Collected) {
        let (mut answer, mut kept) = (Answer::new(head_only), Collected::default());
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (text.len() + 1)).chain([text.len()]).collect();
        cuts.sort_unstable();
        let mut at = 0;
        for cut in cuts {
            let fed = answer.feed(&text[at..cut], &mut LastHead::new(), &mut kept);
            at = cut;
            if fed.is_err() {
                return (fed, answer, kept);
            }
        }
        (Ok(()), answer, kept)
    }

    /// The result for a text, however it was cut.
    #[derive(Debug, PartialEq)]
    struct Outcome {
        fed: Result<(), Garbage>,
        ended: Result<(), EarlyEnd>,
        status: u16,
        received: u64,
        keeps_alive: bool,
        whole: bool,
        kept: Collected,
    }

    fn outcome(head_only: bool, text: &[u8], cuts: &[usize]) -> Outcome {
        let (fed, mut answer, kept) = feed(head_only, text, cuts);
        // How many bytes are seen after an answer depends on the cuts.
        let fed = fed.map_err(|g| if matches!(g, Garbage::Behind(_)) { Garbage::Behind(1) } else { g });
        let ended = if fed.is_ok() { answer.end() } else { Ok(()) };
        Outcome {
            fed,
            ended,
            status: answer.status(),
            received: answer.received(),
            keeps_alive: answer.keeps_alive(),
            whole: answer.is_whole(),
            kept,
        }
    }

    fn head(method: &str, text: &str) -> Result<Option<(u16, State, bool)>, Garbage> {
        let (fed, answer, _) = feed(method == "HEAD", text.as_bytes(), &[]);
        fed.map(|()| (answer.state != State::Head).then_some((answer.status, answer.state, answer.keep_alive)))
    }

    #[test]
    fn heads_say_how_long_their_bodies_are() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello";
        assert_eq!(head("GET", text).unwrap(), Some((200, State::Length(7), true)));
        for length in ["content-length: 12, 12", "content-length: 12\r\ncontent-length: 12"] {
            assert_eq!(head("GET", &format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n")).unwrap().unwrap().1, State::Length(12));
        }
        for bodiless in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"] {
            assert_eq!(head("GET", bodiless).unwrap().unwrap().1, State::Whole, "{bodiless}");
        }
        let both = "content-length: 12\r\ntransfer-encoding: chunked";
        for bodiless in ["content-length: 12", "transfer-encoding: chunked", both, "content-length: x", "x: y"] {
            let text = format!("HTTP/1.1 200 OK\r\n{bodiless}\r\n\r\n");
            assert_eq!(head("HEAD", &text).unwrap(), Some((200, State::Whole, true)));
        }
        let chunked = State::Size { size: 0, at: SizeAt::Begin, line: 0 };
        for coding in ["transfer-encoding: gzip, Chunked", "transfer-encoding: gzip\r\ntransfer-encoding: chunked,"] {
            assert_eq!(head("GET", &format!("HTTP/1.1 200 OK\r\n{coding}\r\n\r\n")).unwrap().unwrap().1, chunked);
        }
        let until_closed = Some((200, State::UntilClosed, false));
        for open in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\nconnection: keep-alive\r\n\r\n"] {
            assert_eq!(head("GET", open).unwrap(), until_closed);
        }
        assert_eq!(head("GET", "HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
    }

    #[test]
    fn a_connection_lives_on_when_both_sides_know_it() {
        for (version, connection, alive) in [
            ("1.1", "x", true),
            ("1.0", "x", false),
            ("1.0", "Keep-Alive", true),
            ("1.1", "Close", false),
            ("1.1", "upgrade , close", false),
            ("1.1", "close, keep-alive", false),
        ] {
            let text = format!("HTTP/{version} 200 OK\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(head("GET", &text).unwrap().unwrap().2, alive, "{text}");
        }
        assert!(!head("GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap().unwrap().2);
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_garbage() {
        let chunked = "transfer-encoding: chunked\r\n";
        for (head, rest) in [
            ("HELLO\r\n", ""),
            ("220 smtp.example ESMTP\r\n", ""),
            ("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n", ""),
            ("HTTP/2 200 OK\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length:\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1,\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n", ""),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n 2\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length : 1\r\n", "x"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: gzip\r\n", "hello"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n", ""),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n", ""),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", ""),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n", ""),
            ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ] {
            let text = format!("{head}\r\n{rest}");
            assert!(matches!(feed(false, text.as_bytes(), &[]).0, Err(Garbage::Head(_))), "{text:?}");
        }
        for chunks in [
            "\r\n",
            "+5\r\nhello",
            "-5\r\nhello",
            " 5\r\nhello",
            "0x5\r\nhello",
            "5\nhello",
            "5\r\rhello",
            "5 5\r\nhello",
            "g\r\n",
            "5\r\nhello!\r\n",
            "5\r\nhello\n",
            "5\r\nhello5\r\n",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "5;a\nb\r\nhello",
            "5;a\rb\r\nhello",
            "5;\0\r\nhello",
            "0\n",
            "0\r\n\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\na:b\n\r\n",
            "0\r\na: b\r\n c\r\n\r\n",
            "0\r\na: b\r\n\rx",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{chunked}\r\n{chunks}");
            assert_eq!(feed(false, text.as_bytes(), &[]).0, Err(Garbage::Chunks), "{chunks:?}");
        }
    }

    #[test]
    fn chunks_may_be_written_in_several_ways() {
        for chunks in [
            "5\r\nhello\r\n0\r\n\r\n",
            "5;x=\"y\tz\"\r\nhello\r\n0;last\r\n\r\n",
            "2 \t;x\r\nhe\r\n003\r\nllo\r\n000\r\ntrailer: 1\r\nother:\r\n\r\n",
            "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            let (fed, answer, kept) = feed(false, text.as_bytes(), &[]);
            assert_eq!((fed, answer.is_whole(), answer.received(), kept.body.as_slice()), (Ok(()), true, 5, &b"hello"[..]));
            let behind = feed(false, format!("{text}HTTP").as_bytes(), &[]).0;
            assert_eq!(behind, Err(Garbage::Behind(4)));
        }
        let huge = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
        assert_eq!(feed(false, huge.as_bytes(), &[]).1.missing(), u64::MAX - 3);
    }

    #[test]
    fn a_header_in_several_lines_is_one_with_blanks() {
        let text = "HTTP/1.1 200 OK\r\nx: a\r\n  b\r\n\tc\r\ncontent-length:\r\n 2\r\n\r\nhi";
        for cuts in [vec![], (0..text.len()).collect()] {
            let (fed, answer, kept) = feed(false, text.as_bytes(), &cuts);
            assert_eq!((fed, answer.is_whole(), answer.received()), (Ok(()), true, 2));
            let value = String::from_utf8(kept.headers[0].1.clone()).unwrap();
            assert_eq!(value.split_ascii_whitespace().collect::<Vec<_>>(), ["a", "b", "c"]);
            assert!(!value.contains(['\r', '\n']), "{value:?}");
        }
    }

    #[test]
    fn nothing_grows_without_end() {
        let begin = "HTTP/1.1 200 OK\r\n";
        let long = |end: &str, length: usize| {
            let fill = length - begin.len() - "x: ".len() - end.len();
            format!("{begin}x: {}{end}", "y".repeat(fill))
        };
        assert_eq!(feed(true, long("\r\n\r\n", MAX_HEAD).as_bytes(), &[]).0, Ok(()));
        for (text, cuts) in [
            (long("\r\n\r\n", MAX_HEAD + 1), vec![]),
            (long("\r\n\r\n", MAX_HEAD + 1), vec![100, MAX_HEAD]),
            (long("", MAX_HEAD), vec![5000]),
            (long("\r\n\r\n", 3 * MAX_HEAD), vec![MAX_HEAD - 1]),
        ] {
            assert_eq!(feed(true, text.as_bytes(), &cuts).0, Err(Garbage::LongHead), "{} {cuts:?}", text.len());
        }
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let line = format!("{chunked}5;{}", "x".repeat(2000));
        let trailers = format!("{chunked}0\r\n{}", "a: b\r\n".repeat(MAX_HEAD));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(feed(false, line.as_bytes(), &[]).0, Err(Garbage::LongChunkLine));
        assert_eq!(feed(false, trailers.as_bytes(), &[]).0, Err(Garbage::LongTrailers));
        assert_eq!(feed(false, many.as_bytes(), &[]).0, Err(Garbage::ManyHeaders));
        let most = format!("HTTP/1.1 204 No\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS));
        assert_eq!(feed(false, most.as_bytes(), &[]).0, Ok(()));
        // Memory held for a head is released with its end.
        assert_eq!(feed(false, b"HTTP/1.1 200 OK\r\n\r\n", &[7]).1.head.capacity(), 0);
    }

    #[test]
    fn an_end_is_well_only_where_the_answer_ends() {
        let head = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\n";
        let interim = head.find("HTTP/1.1 200").unwrap();
        for body in ["content-length: 5\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n\r\n"] {
            let text = format!("{head}{body}");
            for cut in 0..text.len() {
                let (fed, mut answer, _) = feed(false, &text.as_bytes()[..cut], &[]);
                let expected = if cut == 0 || cut == interim { EarlyEnd::Before } else { EarlyEnd::Within };
                assert_eq!((fed, answer.end()), (Ok(()), Err(expected)), "{:?}", &text[..cut]);
            }
            assert_eq!(feed(false, text.as_bytes(), &[]).1.end(), Ok(()));
        }
        let (_, mut answer, kept) = feed(false, b"HTTP/1.1 200 OK\r\n\r\nall the rest", &[]);
        assert!(!answer.is_whole());
        assert_eq!((answer.end(), answer.is_whole(), answer.received(), kept.body.len()), (Ok(()), true, 12, 12));
    }

    /// A valid answer, and its body.
    fn valid() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let body = proptest::collection::vec(any::<u8>(), 0..200);
        let chunk = (1_usize..40, "(;[a-z]{1,4}(=\"[ -!#-~]{0,4}\")?){0,2}", any::<bool>());
        let headers = proptest::collection::vec(("x-[a-z]{0,8}", "[!-~]{0,20}"), 0..5);
        (0_usize..3, headers, body, 0_u8..3, proptest::collection::vec(chunk, 1..6)).prop_map(
            |(interim, headers, body, kind, chunks)| {
                let mut text = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(interim);
                text.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
                for (name, value) in &headers {
                    text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                if kind == 2 {
                    text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                    let mut rest = body.as_slice();
                    for (size, extension, upper) in chunks.iter().cycle() {
                        let size = (*size).min(rest.len());
                        let size_text = if *upper { format!("{size:X}") } else { format!("0{size:x}") };
                        text.extend_from_slice(format!("{size_text}{extension}\r\n").as_bytes());
                        if size == 0 {
                            break;
                        }
                        text.extend_from_slice(&rest[..size]);
                        text.extend_from_slice(b"\r\n");
                        rest = &rest[size..];
                    }
                    for (name, value) in &headers {
                        text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                    }
                    text.extend_from_slice(b"\r\n");
                } else {
                    let length = if kind == 1 { format!("content-length: {}\r\n", body.len()) } else { String::new() };
                    text.extend_from_slice(length.as_bytes());
                    text.extend_from_slice(b"\r\n");
                    text.extend_from_slice(&body);
                }
                (text, body)
            },
        )
    }

    proptest! {
        #[test]
        fn a_valid_answer_is_read_however_it_is_cut((text, body) in valid(), cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
            let whole = outcome(false, &text, &[]);
            prop_assert_eq!((&whole.fed, whole.ended, whole.status), (&Ok(()), Ok(()), 200));
            prop_assert_eq!((&whole.kept.body, whole.received), (&body, body.len() as u64));
            prop_assert_eq!(&outcome(false, &text, &cuts), &whole);
            let every: Vec<usize> = (0..text.len()).collect();
            prop_assert_eq!(&outcome(false, &text, &every), &whole);
        }

        /// Having seen one head makes no difference to the next, be it the same, longer, shorter or damaged.
        #[test]
        fn what_was_seen_before_makes_no_difference(
            (first, _) in valid(),
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..3),
            heads: (bool, bool),
            cut: usize,
        ) {
            let mut second = first.clone();
            for (at, byte) in damage {
                let at = at % second.len();
                second[at] = byte;
            }
            second.truncate(cut % (2 * second.len()));
            let read = |head_only: bool, text: &[u8], seen: &mut LastHead| {
                let (mut answer, mut kept) = (Answer::new(head_only), Collected { without_headers: true, ..Collected::default() });
                let fed = answer.feed(text, seen, &mut kept);
                (fed, answer.end(), answer.status(), answer.received(), answer.keeps_alive(), kept)
            };
            let mut seen = LastHead::new();
            let _ = read(heads.0, &first, &mut seen);
            prop_assert_eq!(read(heads.1, &second, &mut seen), read(heads.1, &second, &mut LastHead::new()));
            prop_assert_eq!(read(heads.0, &first, &mut seen), read(heads.0, &first, &mut LastHead::new()));
        }

        /// Also if it is damaged.
        #[test]
        fn a_damaged_answer_is_the_same_however_it_is_cut(
            (mut text, _) in valid(),
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
            head_only: bool,
            cuts in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            for (at, byte) in damage {
                let at = at % text.len();
                text[at] = byte;
            }
            prop_assert_eq!(outcome(head_only, &text, &cuts), outcome(head_only, &text, &[]));
        }
    }
}
