//! HTTP/1.1, keep-alive, every answer checked.
//!
//! What a request is and what its answer must be is known here; two paths carry it. `lean` writes and parses by itself
//! and costs two thirds of the processor time; it takes workloads whose bodies fit into memory. `general` is hyper and
//! streams bodies of any length. Both report the same outcomes and pass the same tests.

mod general;
mod lean;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri};
use tokio::net::TcpStream;

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
    names: Vec<String>,
    uses_id: bool,
    uses_pass: bool,
    /// Whether the lean path takes it.
    lean: bool,
    /// The longest time-out of a step.
    timeout: Duration,
}

/// One request, ready to be filled in.
pub struct Step {
    method: Method,
    path: Text,
    fixed_uri: Option<Uri>,
    headers: HeaderMap,
    /// The same as they stand on the wire.
    fixed_head: Vec<u8>,
    has_host: bool,
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

impl TextPart {
    fn get<'a>(&'a self, values: &'a Values) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Value(place) => &values.values[*place],
        }
    }
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
            text.push_str(part.get(values));
        }
        text
    }

    fn write(&self, values: &Values, out: &mut Vec<u8>) {
        for part in &self.0 {
            out.extend_from_slice(part.get(values).as_bytes());
        }
    }
}

/// What differs from pass to pass on one connection: id, numbers, carried values, random bytes.
pub struct Values {
    values: Vec<String>,
    /// What nobody inserts is not written anew for every pass.
    uses_id: bool,
    uses_pass: bool,
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
        let (uses_id, uses_pass) = (prepared.uses_id, prepared.uses_pass);
        let mut values = vec![String::new(); prepared.names.len()];
        values[CONNECTION] = connection.to_string();
        Self { values, uses_id, uses_pass, seed, connection, random: mix(seed ^ connection.rotate_left(32)) }
    }

    /// Begins a pass: a fresh id, and no carried values.
    pub fn begin_pass(&mut self, pass: u64) {
        // The pair (connection, pass) is unique within a repetition as long as neither passes its half of 64 bits.
        let unique = (self.connection << 40) | (pass & ((1 << 40) - 1));
        let id = mix(unique ^ mix(self.seed));
        for value in &mut self.values[CONNECTION + 1..] {
            value.clear();
        }
        for (place, used) in [(ID, self.uses_id), (PASS, self.uses_pass)] {
            if used {
                self.values[place].clear();
                // Writing into a text cannot fail.
                let _ = if place == ID { write!(self.values[ID], "{id:016x}") } else { write!(self.values[PASS], "{pass}") };
            }
        }
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.random)
    }
}

/// The block of which random bodies are slices; made once.
fn random_block() -> Bytes {
    static BLOCK: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    BLOCK.get_or_init(make_random_block).clone()
}

fn make_random_block() -> Bytes {
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
        let prefix = workload.urls.first().map_or("", |u| u.path.as_str());
        let steps: Vec<Step> = workload.steps.iter().map(|s| Step::new(s, prefix, &names)).collect::<Result<_, _>>()?;
        let uses = |name: &str| workload.steps.iter().any(|s| s.names().any(|n| n == name));
        let (uses_id, uses_pass) = (uses("id"), uses("pass"));
        let lean = steps.iter().all(Step::is_lean);
        let timeout = steps.iter().map(|s| s.timeout).max().unwrap_or(plan::actions::REQUEST_TIMEOUT);
        Ok(Self { steps, addresses, names, uses_id, uses_pass, lean, timeout })
    }
}

impl Step {
    fn new(step: &plan::Step, prefix: &str, names: &[String]) -> Result<Self, Error> {
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
            fixed_head: headers
                .iter()
                .flat_map(|(n, v)| [n.as_str().as_bytes(), b": ", v.as_bytes(), b"\r\n"].concat())
                .collect(),
            has_host: headers.contains_key(HOST),
            headers,
            late_headers,
            body,
            statuses: step.expect.statuses.clone(),
            length: step.expect.length,
            text: step.expect.text.as_ref().map(text).transpose()?,
            contains: step.expect.contains.as_ref().map(text).transpose()?,
            carry,
            timeout: step.timeout,
            random: random_block(),
        })
    }

    /// Whether its body fits into memory and is framed by runner itself.
    fn is_lean(&self) -> bool {
        let short = match &self.body {
            Body::Random(length) => *length < RANDOM_BLOCK as u64,
            Body::Fixed(bytes) => bytes.len() < 2 * RANDOM_BLOCK,
            Body::Empty | Body::Text(_) => true,
        };
        let named = |name: &str| self.headers.contains_key(name) || self.late_headers.iter().any(|(n, _)| n.as_str() == name);
        short && !["content-length", "transfer-encoding", "connection", "expect", "host"].iter().any(|n| named(n))
    }

    fn needs_body(&self) -> bool {
        self.text.is_some()
            || self.contains.is_some()
            || self.carry.iter().any(|(_, place, _)| !matches!(place, Place::Header(_)))
    }

    /// The request in words, for messages.
    fn label(&self, values: &Values) -> String {
        format!("{} {}", self.method, self.path.fill(values))
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
}

/// What came back.
struct Answer<'a> {
    status: u16,
    received_bytes: u64,
    /// The body, where the step needs it.
    body: Option<&'a [u8]>,
    headers: &'a HeaderMap,
}

/// Checks an answer and takes what is to be carried.
fn judge(step: &Step, answer: &Answer<'_>, values: &mut Values) -> Result<(), Failure> {
    let status = answer.status;
    let expected = if step.statuses.is_empty() { (200..300).contains(&status) } else { step.statuses.contains(&status) };
    if !expected {
        let words: Vec<String> = step.statuses.iter().map(u16::to_string).collect();
        let wanted = if words.is_empty() { "2xx".to_owned() } else { words.join(" or ") };
        return Err(Failure::wrong(Outcome::Status, format!("{} answered {status} instead of {wanted}", step.label(values))));
    }
    if let Some(length) = step.length
        && length != answer.received_bytes
    {
        let words = format!("{} answered {} bytes instead of {length}", step.label(values), answer.received_bytes);
        return Err(Failure::wrong(Outcome::Length, words));
    }
    if answer.body.is_some() || !step.carry.is_empty() {
        check(step, answer.body.unwrap_or_default(), answer.headers, values)?;
    }
    Ok(())
}

/// An open connection with at most one request on it.
pub struct Connection(Path);

enum Path {
    Lean(Box<lean::Lean>),
    General(Box<general::General>),
}

impl Connection {
    /// Opens connection number `number`; addresses are dealt out in turn.
    ///
    /// # Errors
    /// The failure as it is recorded.
    pub async fn open(prepared: &Prepared, number: u64) -> Result<Self, Failure> {
        let (address, host) = &prepared.addresses[(number % prepared.addresses.len() as u64) as usize];
        let doing = || format!("connecting to {address}");
        let stream = match tokio::time::timeout(prepared.timeout, TcpStream::connect(address)).await {
            Ok(stream) => stream.map_err(|e| Failure::of_io(&e, &doing()))?,
            Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{} took longer than the time-out", doing()))),
        };
        stream.set_nodelay(true).map_err(|e| Failure::of_io(&e, &doing()))?;
        if prepared.lean {
            return Ok(Self(Path::Lean(Box::new(lean::Lean::new(stream, host.clone(), prepared.timeout)))));
        }
        let general = general::General::open(stream, host.clone(), prepared.timeout).await?;
        Ok(Self(Path::General(Box::new(general))))
    }

    /// Whether a request can be sent; a connection that the server has closed meanwhile is noticed here.
    pub fn is_open(&mut self) -> bool {
        match &mut self.0 {
            Path::Lean(lean) => lean.is_open(),
            Path::General(general) => general.is_open(),
        }
    }

    /// Sends the request of a step, reads the answer to its end and checks it.
    ///
    /// # Errors
    /// What was wrong, as it is recorded.
    pub async fn exchange(&mut self, step: &Step, values: &mut Values) -> Result<Done, Failure> {
        match &mut self.0 {
            Path::Lean(lean) => lean.exchange(step, values).await,
            Path::General(general) => general.exchange(step, values).await,
        }
    }
}

/// Checks what is in the body and takes what is to be carried.
fn check(step: &Step, body: &[u8], headers: &HeaderMap, values: &mut Values) -> Result<(), Failure> {
    let label = |values: &Values| step.label(values);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        let timeout = Duration::from_secs(1);
        Prepared {
            steps: Vec::new(),
            addresses: Vec::new(),
            names: vec![String::new(); 3],
            uses_id: true,
            uses_pass: true,
            lean: true,
            timeout,
        }
    }

    impl Values {
        pub(super) fn for_tests() -> Self {
            Self::new(&prepared(), 1, 0)
        }
    }

    /// A request for `/` that expects any 2xx.
    pub(super) fn step(method: &str) -> Step {
        let step = plan::Step {
            name: "x".to_owned(),
            method: method.to_owned(),
            path: Template::parse("/"),
            headers: Vec::new(),
            body: plan::Body::Empty,
            expect: plan::Expect::default(),
            carry: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        Step::new(&step, "", &[]).unwrap()
    }

    #[test]
    fn ids_are_fresh_for_every_pass_of_every_connection() {
        let prepared = prepared();
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
}
