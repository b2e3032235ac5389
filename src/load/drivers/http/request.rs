//! What a request is: a step of the plan, prepared once.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use super::body::{LongFile, Source};
use crate::Error;
use crate::drivers::Failure;
use crate::drivers::judged::Judged;
use crate::drivers::values::{RANDOM_BLOCK, Text, Values, random_block};
use plan::url::{is_sent_as_it_stands, sent};
use plan::{self, Template};
use vocabulary::Outcome;

/// Why a request cannot be recorded stage by stage.
const FRAMED: &str = "with `stages: true` runner itself sets the length of a body: expected no headers such as `content-length`";

/// Longer files are not kept in memory.
const LONG_FILE: u64 = 1 << 20;

/// Headers that identify the client, whatever their values.
const PRIVATE: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];

/// One request, ready to be filled in.
pub struct Step {
    pub(super) method: Method,
    pub(super) path: Text,
    pub(super) fixed_path: Option<PathAndQuery>,
    pub(super) headers: HeaderMap,
    /// The same as bytes on the wire.
    pub(super) fixed_head: Vec<u8>,
    pub(super) has_host: bool,
    /// The host to which its own `host` header says that it goes.
    host_named: Option<String>,
    pub(super) late_headers: Vec<(HeaderName, Text)>,
    pub(super) body: Body,
    /// A file that is sent instead of `body`; never on the lean path.
    pub(super) long_file: Option<LongFile>,
    is_lean: bool,
    framed_by_hand: bool,
    /// Headers that are only for the origin named by the scenario.
    pub(super) private_headers: Vec<HeaderName>,
    /// Whether the same is true for the body.
    pub(super) private_body: bool,
    pub(super) statuses: Vec<u16>,
    /// Without `statuses`, whether redirects are as good as any 2xx.
    pub(super) takes_redirects: bool,
    /// Statuses that belong to a named outcome.
    pub(super) named: Vec<(u16, Outcome)>,
    pub(super) judged: Judged,
    pub(super) timeout: Duration,
    pub(super) random: Bytes,
    /// Whether the scenario sets the type of the body.
    has_own_type: bool,
    /// Where in `fixed_head` the type of a replayed body starts, once there was one.
    typed_head: Option<usize>,
    /// The whole request by the number of its server, on the lean path; empty if it differs from pass to pass.
    pub(super) wholes: Vec<Whole>,
}

/// A request that is the same each time, as bytes on the wire.
pub(super) struct Whole {
    pub bytes: Box<[u8]>,
    pub body_length: u64,
}

pub(super) enum Body {
    Empty,
    Fixed(Bytes),
    Text(Text),
    Random(u64),
}

impl Step {
    /// Prepares a step; `prefix` comes before its path, `outcomes` are those that the workload names.
    ///
    /// # Errors
    /// When the request would not be valid, or a body cannot be read.
    pub(super) fn new(step: &plan::Step, prefix: &str, names: &[String], outcomes: &[String]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: step.name.clone(), reason };
        let text = |template: &Template| Text::new(template, names, &step.name);
        let mut path = text(&step.path)?;
        path.prepend(prefix);
        let fixed_path = path.fixed().map(in_request).transpose().map_err(&invalid)?;
        if let Some(fixed) = &fixed_path {
            path = Text::new(&Template(vec![plan::Part::Text(fixed.as_str().to_owned())]), names, &step.name)?;
        }
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
        let mut long_file = None;
        let body = match &step.body {
            plan::Body::Empty => Body::Empty,
            plan::Body::Random(n) => Body::Random(*n),
            plan::Body::Text(template) | plan::Body::Json(template) => {
                let text = text(template)?;
                let text = if matches!(step.body, plan::Body::Json(_)) { text.in_json() } else { text };
                match text.fixed() {
                    Some(fixed) => Body::Fixed(Bytes::copy_from_slice(fixed.as_bytes())),
                    None => Body::Text(text),
                }
            }
            plan::Body::File(path) => {
                let failed = |source| Error::File { path: path.clone(), source };
                // Opened and not only looked up: an unreadable file is found before the load.
                let file = std::fs::File::open(path).map_err(failed)?;
                let length = file.metadata().map_err(failed)?.len();
                if length > LONG_FILE {
                    long_file = Some(LongFile { path: path.clone(), length });
                    Body::Empty
                } else {
                    Body::Fixed(std::fs::read(path).map_err(failed)?.into())
                }
            }
        };
        let framed_by_hand = ["content-length", "transfer-encoding", "connection", "host"]
            .iter()
            .any(|name| headers.contains_key(*name) || late_headers.iter().any(|(n, _)| n.as_str() == *name));
        let short = match &body {
            Body::Random(length) => *length < RANDOM_BLOCK as u64,
            Body::Fixed(bytes) => bytes.len() < 2 * RANDOM_BLOCK,
            Body::Empty => long_file.is_none(),
            Body::Text(_) => true,
        };
        Ok(Self {
            method: Method::from_bytes(step.method.as_bytes()).map_err(|e| invalid(e.to_string()))?,
            path,
            fixed_path,
            fixed_head: headers
                .iter()
                .flat_map(|(n, v)| [n.as_str().as_bytes(), b": ", v.as_bytes(), b"\r\n"].concat())
                .collect(),
            has_host: headers.contains_key(HOST),
            host_named: headers.get(HOST).and_then(|host| host.to_str().ok()).map(|host| without_port(host).to_owned()),
            headers,
            late_headers,
            body,
            long_file,
            is_lean: short && !framed_by_hand,
            framed_by_hand,
            private_headers: PRIVATE
                .into_iter()
                .chain(step.secret.headers.iter().map(String::as_str))
                .map(|name| HeaderName::from_bytes(name.as_bytes()).map_err(|e| invalid(e.to_string())))
                .collect::<Result<_, _>>()?,
            private_body: step.secret.body,
            statuses: step.expect.statuses.clone(),
            takes_redirects: false,
            named: step.outcomes.iter().flat_map(|o| named(o, outcomes)).collect(),
            judged: Judged::new(&step.name, &step.expect, &step.carry, names)?,
            timeout: step.timeout,
            random: random_block(),
            has_own_type: step.headers.iter().any(|(name, _)| name == "content-type"),
            typed_head: None,
            wholes: Vec::new(),
        })
    }

    /// The same with nothing of its own: a request of a log fills it, again and again.
    pub(super) fn for_replay(&self) -> Self {
        Self {
            method: Method::GET,
            path: Text::fixed_text(String::new()),
            fixed_path: None,
            headers: self.headers.clone(),
            fixed_head: self.fixed_head.clone(),
            has_host: self.has_host,
            host_named: self.host_named.clone(),
            late_headers: self.late_headers.clone(),
            body: Body::Empty,
            long_file: None,
            is_lean: self.is_lean,
            framed_by_hand: self.framed_by_hand,
            private_headers: self.private_headers.clone(),
            private_body: false,
            statuses: Vec::new(),
            takes_redirects: true,
            named: Vec::new(),
            judged: Judged::nothing(),
            timeout: self.timeout,
            random: self.random.clone(),
            has_own_type: self.has_own_type,
            typed_head: None,
            wholes: Vec::new(),
        }
    }

    /// Sets path and query of a request of a log, which can be sent as they stand.
    ///
    /// # Errors
    /// When they cannot, after all.
    pub(super) fn set_path(&mut self, prefix: &str, path: &[u8]) -> Result<(), Failure> {
        let path = std::str::from_utf8(path).map_err(|_| unsent("a path that is not text".to_owned()))?;
        self.path.set(prefix, path);
        Ok(())
    }

    /// Sets the body of a request of a log: this one, of this type, or so many random bytes.
    pub(super) fn set_body(&mut self, body: Option<&Bytes>, random: u64, kind: Option<&str>) {
        self.body = match (body, random) {
            (Some(body), _) => Body::Fixed(body.clone()),
            (None, 0) => Body::Empty,
            (None, length) => Body::Random(length),
        };
        if self.has_own_type {
            return;
        }
        if self.typed_head.is_some() || kind.is_some() {
            let end = *self.typed_head.get_or_insert(self.fixed_head.len());
            self.fixed_head.truncate(end);
            self.headers.remove(header::CONTENT_TYPE);
        }
        if let Some(value) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
            self.fixed_head.extend_from_slice(&[b"content-type: ", value.as_bytes(), b"\r\n"].concat());
            self.headers.insert(header::CONTENT_TYPE, value);
        }
    }

    /// The same as the only request on its connection, which it announces to the server.
    pub(super) fn closing(mut self) -> Self {
        if !self.headers.contains_key(header::CONNECTION) {
            self.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            self.fixed_head.extend_from_slice(b"connection: close\r\n");
        }
        self
    }

    /// The same with a body that is completely in memory, however long it is: the lean path sends a request that is
    /// recorded stage by stage piece by piece. Long random bytes are then the same in every request.
    ///
    /// # Errors
    /// When a file cannot be read, or the step itself sets where its body ends.
    pub(super) fn kept_whole(mut self) -> Result<Self, Error> {
        if let Some(file) = self.long_file.take() {
            let read = std::fs::read(&file.path).map_err(|source| Error::File { path: file.path, source })?;
            self.body = Body::Fixed(read.into());
        }
        if let Body::Random(length) = self.body
            && length >= RANDOM_BLOCK as u64
        {
            let mut bytes = Vec::new();
            while (bytes.len() as u64) < length {
                let missing = (length - bytes.len() as u64).min(RANDOM_BLOCK as u64) as usize;
                // A whole block is repeated: no compression on a network looks back that far.
                bytes.extend_from_slice(&self.random[..missing]);
            }
            self.body = Body::Fixed(bytes.into());
        }
        self.is_lean = !self.framed_by_hand;
        if self.is_lean { Ok(self) } else { Err(Error::Request { step: self.method.to_string(), reason: FRAMED.to_owned() }) }
    }

    /// Whether no value is inserted into it, and its body is not random.
    pub(super) fn is_the_same_each_time(&self) -> bool {
        self.fixed_path.is_some() && self.late_headers.is_empty() && matches!(self.body, Body::Empty | Body::Fixed(_))
    }

    /// Whether nothing but the status and the length of its answer matters.
    pub(super) fn is_judged_at_once(&self) -> bool {
        !self.needs_body() && self.judged.selectors().next().is_none()
    }

    /// Whether its body fits into memory and is framed by runner itself.
    pub(super) fn is_lean(&self) -> bool {
        self.is_lean
    }

    /// The path and query of this request.
    ///
    /// # Errors
    /// When an inserted value makes it invalid.
    pub(super) fn path(&self, values: &Values) -> Result<PathAndQuery, Failure> {
        if let Some(path) = &self.fixed_path {
            return Ok(path.clone());
        }
        let path = self.path.fill(values);
        // An inserted value may be secret, and is not shown.
        unfit_in_path(path.as_bytes()).map_or(Ok(()), |byte| Err(self.unfit_path(byte)))?;
        in_request(&path).map_err(unsent)
    }

    /// Appends the same to a request that is composed by hand.
    ///
    /// # Errors
    /// When an inserted value makes it invalid.
    pub(super) fn write_path(&self, values: &Values, out: &mut Vec<u8>) -> Result<(), Failure> {
        let at = out.len();
        self.path.write(values, out);
        if self.fixed_path.is_none() && !is_sent_as_it_stands(&out[at..]) {
            out.truncate(at);
            out.extend_from_slice(self.path(values)?.as_str().as_bytes());
        }
        Ok(())
    }

    /// The headers of this request, except those made from its body and its server.
    ///
    /// # Errors
    /// When an inserted value makes one invalid.
    pub(super) fn headers(&self, values: &Values) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        for (name, value) in &self.late_headers {
            let text = value.fill(values);
            unfit_in_header(text.as_bytes()).map_or(Ok(()), |byte| Err(unfit_header(name, value, byte)))?;
            let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| unfit_header(name, value, b' '))?;
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    /// A path that cannot be sent because of a byte that was inserted.
    fn unfit_path(&self, byte: u8) -> Failure {
        let source = self.path.source();
        unsent(format!(
            "the path `{source}` cannot be sent: the inserted value contains {}; expected `${{… | urlencode}}`",
            named_byte(byte)
        ))
    }

    /// The body of this request; random bytes differ in the next one.
    pub(super) fn source(&self, values: &mut Values) -> Source<'_> {
        match (&self.long_file, &self.body) {
            (Some(file), _) => Source::File(file),
            (None, Body::Empty) => Source::Empty,
            (None, Body::Fixed(bytes)) => Source::Once(bytes.clone()),
            (None, Body::Text(text)) => Source::Once(text.fill(values).into()),
            (None, Body::Random(n)) => Source::random(*n, &self.random, values.next_random()),
        }
    }

    /// The host whose cookies it sends. `host`: the `host` header, unless the step has its own.
    pub(super) fn cookie_host<'a>(&'a self, host: &'a [u8]) -> &'a str {
        self.host_named.as_deref().unwrap_or_else(|| without_port(std::str::from_utf8(host).unwrap_or_default()))
    }

    pub(super) fn needs_body(&self) -> bool {
        self.judged.needs_body()
    }

    /// The request in words, as it was typed.
    pub(super) fn typed(&self) -> String {
        format!("{} {}", self.method, self.path.source())
    }

    /// The request in words, for messages. A value from an answer may be a secret: its name is shown instead.
    pub(super) fn label(&self, values: &Values) -> String {
        format!("{} {}", self.method, self.path.told(values))
    }
}

/// A path and query in the form that every version of HTTP sends.
///
/// # Errors
/// In words, why they cannot be sent.
pub(in crate::drivers) fn in_request(path: &str) -> Result<PathAndQuery, String> {
    let sent = sent(path).map_err(|unsendable| {
        let (found, expected) = (unsendable.found(), unsendable.expected());
        format!("the path `{path}` {found}; {expected}")
    })?;
    sent.parse().map_err(|e| format!("the path `{path}` is invalid: {e}"))
}

/// A host without its port. An address of IPv6 stands in brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

/// The statuses of a named outcome, and its number.
fn named(outcome: &plan::NamedOutcome, outcomes: &[String]) -> impl Iterator<Item = (u16, Outcome)> {
    let place = outcomes.iter().position(|name| *name == outcome.name).unwrap_or_default() as u8;
    outcome.statuses.iter().map(move |status| (*status, Outcome::Named(place)))
}

/// A byte that cannot be in a path.
fn unfit_in_path(path: &[u8]) -> Option<u8> {
    path.iter().copied().find(|byte| *byte <= b' ' || matches!(*byte, b'#' | 0x7f))
}

/// A byte that cannot be in a header (RFC 9110, 5.5).
pub(super) fn unfit_in_header(value: &[u8]) -> Option<u8> {
    value.iter().copied().find(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
}

/// A header that cannot be sent because of a byte that was inserted.
pub(super) fn unfit_header(name: &HeaderName, value: &Text, byte: u8) -> Failure {
    unsent(format!("the header `{name}: {}` cannot be sent: the inserted value contains {}", value.source(), named_byte(byte)))
}

/// Its name for people.
fn named_byte(byte: u8) -> String {
    match byte {
        b' ' => "a space".to_owned(),
        b'#' => "`#`, after which nothing is ever sent".to_owned(),
        b'\r' | b'\n' => "a line break".to_owned(),
        other => format!("the control character U+{other:04X}"),
    }
}

/// A request that cannot be made, because an inserted value does not fit.
pub(super) fn unsent(words: String) -> Failure {
    Failure::new(Outcome::Carry, words)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request for `/` that expects any 2xx.
    pub(in super::super) fn step(method: &str) -> Step {
        let step = plan::Step::plain(method, Template::parse("/"), Duration::from_secs(5));
        Step::new(&step, "", &[], &[]).unwrap()
    }
}
