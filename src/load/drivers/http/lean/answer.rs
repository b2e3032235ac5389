//! Answers of HTTP/1, read as they come: pure, no socket and no clock.
//!
//! An [`Answer`] is fed with pieces of any size and says when it is whole; how it was cut into pieces makes no
//! difference. It takes bodies by length, in chunks and until the end of the connection, skips 1xx answers and knows that
//! HEAD, 204 and 304 have no body. Where an answer could be understood in two ways it is [`Garbage`]: one that is counted
//! must not have been guessed. Nothing is copied but a head that comes in several pieces.
//!
//! It uses nothing of this crate, so that `fuzz` can take it as it is.

use std::fmt;
use std::mem::MaybeUninit;

/// The longest head of an answer; also the longest sum of its trailers.
pub const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 96;
/// The longest line that begins a chunk, extensions included.
const MAX_CHUNK_LINE: u16 = 1024;

/// Takes what is to be kept of an answer.
pub trait Keep {
    /// A header of the answer itself, not of a 1xx answer before it. Trailers are not told.
    fn header(&mut self, name: &str, value: &[u8]);
    /// Bytes of the body, in order.
    fn body(&mut self, bytes: &[u8]);
}

/// Why something is not an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// The head is no HTTP, or says two different things.
    Head(String),
    /// The head is longer than [`MAX_HEAD`].
    LongHead,
    /// The chunks of the body, or the trailers behind them, are damaged.
    Chunks,
    /// So many bytes stand behind the end of the answer.
    Behind(usize),
}

impl fmt::Display for Garbage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(reason) => write!(out, "the answer is no HTTP: {reason}"),
            Self::LongHead => write!(out, "the head of the answer is longer than {MAX_HEAD} bytes"),
            Self::Chunks => write!(out, "the chunks of the answer are damaged"),
            Self::Behind(n) => write!(out, "{n} bytes that nobody asked for stand behind the answer"),
        }
    }
}

/// Where the stream ended instead of bringing the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the answer.
    Before,
    /// Within it.
    Within,
}

/// One answer, as far as it has come.
#[derive(Debug)]
pub struct Answer {
    state: State,
    /// Whether there is no body whatever the head says.
    bodiless: bool,
    keep_alive: bool,
    status: u16,
    received: u64,
    /// The part of a head that has come; empty otherwise.
    head: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// So many bytes of the body are missing.
    Length(u64),
    UntilClosed,
    /// In the line that begins a chunk.
    Size {
        size: u64,
        at: SizeAt,
        line: u16,
    },
    /// So many bytes of a chunk are missing.
    Chunk(u64),
    /// Behind a chunk.
    ChunkEnd {
        cr: bool,
    },
    /// Behind the last chunk.
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

/// What a head says of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body: State,
    keep_alive: bool,
}

impl Answer {
    /// The answer to a request that was just sent; `head_only` for HEAD.
    pub fn new(head_only: bool) -> Self {
        Self { state: State::Head, bodiless: head_only, keep_alive: false, status: 0, received: 0, head: Vec::new() }
    }

    /// Its status; 0 until the head is there.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// How many bytes of the body have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether the connection can carry another request once this is whole.
    pub fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether all of it is there.
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether a part of it is there; 1xx answers before it do not count.
    pub fn has_begun(&self) -> bool {
        self.state != State::Head || !self.head.is_empty()
    }

    /// How many bytes are missing at least, where that is known.
    pub fn missing(&self) -> u64 {
        match self.state {
            State::Length(n) | State::Chunk(n) => n,
            _ => 0,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they make no answer, or more than one. Nothing can be fed after that.
    pub fn feed(&mut self, input: &[u8], keep: &mut impl Keep) -> Result<(), Garbage> {
        let mut at = 0;
        if self.state == State::Head {
            match self.feed_head(input, keep)? {
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
                    self.state = between_chunks(between, rest[0]).ok_or(Garbage::Chunks)?;
                    1
                }
            };
        }
        Ok(())
    }

    /// The stream has ended. That is well where the body ends with it.
    ///
    /// # Errors
    /// Where it ended otherwise.
    pub fn end(&mut self) -> Result<(), Cut> {
        match self.state {
            State::UntilClosed | State::Whole => {
                self.state = State::Whole;
                Ok(())
            }
            _ if self.has_begun() => Err(Cut::Within),
            _ => Err(Cut::Before),
        }
    }

    /// Takes at most `missing` bytes of the body; returns how many are missing then.
    fn take(&mut self, rest: &[u8], missing: u64, keep: &mut impl Keep) -> u64 {
        let here = rest.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
        keep.body(&rest[..here]);
        self.received += here as u64;
        missing - here as u64
    }

    /// Reads heads up to that of the answer itself; returns how much of `input` they used.
    fn feed_head(&mut self, input: &[u8], keep: &mut impl Keep) -> Result<Option<usize>, Garbage> {
        let mut at = 0;
        if !self.head.is_empty() {
            let held = self.head.len();
            self.head.extend_from_slice(&input[..input.len().min(MAX_HEAD - held)]);
            let head = std::mem::take(&mut self.head);
            match parse_head(&head, self.bodiless, keep)? {
                // It was not whole without the bytes of `input`, so it ends within them.
                Some((used, head)) => at = self.begin(&head, used.saturating_sub(held)),
                None => {
                    self.head = head;
                    return Ok(None);
                }
            }
        }
        while self.state == State::Head {
            let rest = &input[at..];
            match parse_head(&rest[..rest.len().min(MAX_HEAD)], self.bodiless, keep)? {
                Some((used, head)) => at += self.begin(&head, used),
                None => {
                    self.head.extend_from_slice(rest);
                    return Ok(None);
                }
            }
        }
        Ok(Some(at))
    }

    /// Goes by what a head says, unless it is only an interim one. Returns `used`.
    fn begin(&mut self, head: &Head, used: usize) -> usize {
        if !head.is_interim() {
            (self.status, self.keep_alive, self.state) = (head.status, head.keep_alive, head.body);
        }
        used
    }
}

impl Head {
    /// 101 is none: nothing follows that would be HTTP.
    fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Reads a head: none while it is incomplete. `input` has at most [`MAX_HEAD`] bytes.
fn parse_head(input: &[u8], bodiless: bool, keep: &mut impl Keep) -> Result<Option<(usize, Head)>, Garbage> {
    let wrong = |reason: &str| Err(Garbage::Head(reason.to_owned()));
    // httparse would skip it; but an answer that follows another one has none before it.
    if matches!(input.first(), Some(b'\r' | b'\n')) {
        return wrong("an empty line instead of a status");
    }
    let mut space = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let used = match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut space) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if input.len() >= MAX_HEAD => return Err(Garbage::LongHead),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return wrong(&error.to_string()),
    };
    let status = response.code.unwrap_or_default();
    let mut length = None;
    let mut coding = None;
    let (mut keep_alive, mut close) = (response.version == Some(1), false);
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        // The lengths of names that matter; most headers are told apart by that.
        match header.name.len() {
            14 if is("content-length") => {
                let value = decimal(header.value.trim_ascii());
                if value.is_none() || length.is_some() && length != value {
                    let text = String::from_utf8_lossy(header.value);
                    let reason = if value.is_none() { "content-length" } else { "a second and different content-length" };
                    return wrong(&format!("{reason} `{text}`"));
                }
                length = value;
            }
            17 if is("transfer-encoding") => {
                for token in tokens(header.value) {
                    // Nothing can be applied to what is in chunks already, chunks least of all.
                    if coding == Some(true) {
                        return wrong("a transfer-encoding behind `chunked`");
                    }
                    coding = Some(token.eq_ignore_ascii_case(b"chunked"));
                }
                if coding.is_none() {
                    return wrong("an empty transfer-encoding");
                }
            }
            10 if is("connection") => {
                for token in tokens(header.value) {
                    close |= token.eq_ignore_ascii_case(b"close");
                    keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
    }
    if coding.is_some() && length.is_some() {
        return wrong("both a content-length and a transfer-encoding");
    }
    if coding.is_some() && response.version != Some(1) {
        return wrong("a transfer-encoding in HTTP/1.0");
    }
    let body = match (coding, length) {
        _ if bodiless || matches!(status, 100..=199 | 204 | 304) => State::Whole,
        (Some(true), _) => State::Size { size: 0, at: SizeAt::Begin, line: 0 },
        (None, Some(0)) => State::Whole,
        (None, Some(length)) => State::Length(length),
        _ => {
            close = true;
            State::UntilClosed
        }
    };
    let head = Head { status, body, keep_alive: keep_alive && !close && status != 101 };
    if !head.is_interim() {
        for header in response.headers.iter() {
            keep.header(header.name, header.value);
        }
    }
    Ok(Some((used, head)))
}

/// The parts of a list, without empty ones.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A number of digits and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, b: &u8| b.is_ascii_digit().then(|| number.checked_mul(10)?.checked_add(u64::from(b - b'0')))?;
    (!text.is_empty()).then(|| text.iter().try_fold(0, digit))?
}

/// What one byte makes of a state that is neither in the head nor in the body: sizes of chunks, line ends and trailers.
///
/// Lines end with CR LF and nothing less, and no other control character is in them.
fn between_chunks(state: State, byte: u8) -> Option<State> {
    let printable = byte == b'\t' || byte >= b' ' && byte != 0x7f;
    match state {
        State::Size { size, at, line } => {
            let line = (line < MAX_CHUNK_LINE).then_some(line + 1)?;
            let next = |at| Some(State::Size { size, at, line });
            match (at, byte) {
                (SizeAt::Begin | SizeAt::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = (byte as char).to_digit(16)?;
                    let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
                    Some(State::Size { size, at: SizeAt::Digits, line })
                }
                (SizeAt::Begin, _) => None,
                (SizeAt::LineFeed, b'\n') if size == 0 => Some(State::Trailers { at: TrailerAt::Begin, length: 0 }),
                (SizeAt::LineFeed, b'\n') => Some(State::Chunk(size)),
                (SizeAt::LineFeed, _) => None,
                (_, b'\r') => next(SizeAt::LineFeed),
                (SizeAt::Digits | SizeAt::Blank, b' ' | b'\t') => next(SizeAt::Blank),
                (SizeAt::Digits | SizeAt::Blank, b';') => next(SizeAt::Extension),
                (SizeAt::Extension, _) if printable => next(SizeAt::Extension),
                _ => None,
            }
        }
        State::ChunkEnd { cr: false } if byte == b'\r' => Some(State::ChunkEnd { cr: true }),
        State::ChunkEnd { cr: true } if byte == b'\n' => Some(State::Size { size: 0, at: SizeAt::Begin, line: 0 }),
        State::Trailers { at, length } => {
            let length = (usize::from(length) < MAX_HEAD).then_some(length + 1)?;
            let next = |at| Some(State::Trailers { at, length });
            match (at, byte) {
                (TrailerAt::Begin, b'\r') => next(TrailerAt::LastLineFeed),
                (TrailerAt::LastLineFeed, b'\n') => Some(State::Whole),
                (TrailerAt::LineFeed, b'\n') => next(TrailerAt::Begin),
                (TrailerAt::Name, b':') => next(TrailerAt::Value),
                (TrailerAt::Begin | TrailerAt::Name, _) if byte.is_ascii_graphic() && byte != b':' => next(TrailerAt::Name),
                (TrailerAt::Value, b'\r') => next(TrailerAt::LineFeed),
                (TrailerAt::Value, _) if printable => next(TrailerAt::Value),
                _ => None,
            }
        }
        _ => None,
    }
}
