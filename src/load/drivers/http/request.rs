//! What a request is: a step of the plan, made ready once, and the values that differ from pass to pass.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{self, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use super::body::{LongFile, Source};
use crate::load::Error;
use crate::load::drivers::Failure;
use crate::load::schedule::mix;
use crate::load::windows::Outcome;
use crate::plan::{self, Part, Place, Template};

/// Random bodies are slices of one block of random bytes of this size (and streamed when they are longer).
const RANDOM_BLOCK: usize = 1 << 20;
/// Longer files are not kept in memory.
const LONG_FILE: u64 = 1 << 20;

/// One request, ready to be filled in.
pub struct Step {
    pub(super) method: Method,
    pub(super) path: Text,
    pub(super) fixed_path: Option<PathAndQuery>,
    pub(super) headers: HeaderMap,
    /// The same as they stand on the wire.
    pub(super) fixed_head: Vec<u8>,
    pub(super) has_host: bool,
    pub(super) late_headers: Vec<(HeaderName, Text)>,
    pub(super) body: Body,
    /// A file that is sent instead of `body`; never on the lean path.
    pub(super) long_file: Option<LongFile>,
    is_lean: bool,
    pub(super) statuses: Vec<u16>,
    pub(super) length: Option<u64>,
    pub(super) text: Option<Text>,
    pub(super) contains: Option<Text>,
    pub(super) carry: Vec<(usize, Place, Option<regex::Regex>)>,
    pub(super) timeout: Duration,
    pub(super) random: Bytes,
}

pub(super) enum Body {
    Empty,
    Fixed(Bytes),
    Text(Text),
    Random(u64),
}

/// A template whose names are places in [`Values`].
pub(super) struct Text(Vec<TextPart>);

pub(super) enum TextPart {
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

    pub(super) fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [TextPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn fill(&self, values: &Values) -> String {
        let mut text = String::with_capacity(64);
        for part in &self.0 {
            text.push_str(part.get(values));
        }
        text
    }

    pub(super) fn write(&self, values: &Values, out: &mut Vec<u8>) {
        for part in &self.0 {
            out.extend_from_slice(part.get(values).as_bytes());
        }
    }
}

/// Names of the values that requests insert, in the order of their places.
pub struct Names {
    names: Vec<String>,
    uses_id: bool,
    uses_pass: bool,
}

impl Names {
    /// Those of a pass, and what its steps carry.
    pub fn new(steps: &[plan::Step]) -> Self {
        let mut names: Vec<String> = ["id", "pass", "connection"].map(str::to_owned).to_vec();
        for carry in steps.iter().flat_map(|s| &s.carry) {
            if !names.contains(&carry.name) {
                names.push(carry.name.clone());
            }
        }
        let uses = |name: &str| steps.iter().any(|s| s.names().any(|n| n == name));
        Self { uses_id: uses("id"), uses_pass: uses("pass"), names }
    }

    /// The names themselves.
    pub fn as_slice(&self) -> &[String] {
        &self.names
    }
}

/// What differs from pass to pass on one connection: id, numbers, carried values, random bytes.
pub struct Values {
    pub(super) values: Vec<String>,
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

impl Values {
    /// The values of connection number `connection`.
    pub fn new(names: &Names, seed: u64, connection: u64) -> Self {
        let (uses_id, uses_pass) = (names.uses_id, names.uses_pass);
        let mut values = vec![String::new(); names.names.len()];
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

    pub(super) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.random)
    }
}

/// The block of which random bodies are slices; made once.
pub(super) fn random_block() -> Bytes {
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

impl Step {
    /// Makes a step ready; `prefix` stands before its path.
    ///
    /// # Errors
    /// When it would be no valid request, or a body cannot be read.
    pub(super) fn new(step: &plan::Step, prefix: &str, names: &[String]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: step.name.clone(), reason };
        let text = |template: &Template| Text::new(template, names, &step.name);
        let mut path = text(&step.path)?;
        if !prefix.is_empty() {
            path.0.insert(0, TextPart::Text(prefix.to_owned()));
            if let [TextPart::Text(a), TextPart::Text(b)] = path.0.as_slice() {
                path = Text(vec![TextPart::Text(format!("{a}{b}"))]);
            }
        }
        let parse = |p: &str| p.parse::<PathAndQuery>().map_err(|e| invalid(format!("path `{p}`: {e}")));
        let fixed_path = path.fixed().map(parse).transpose()?;
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
            plan::Body::Text(template) => {
                let text = text(template)?;
                match text.fixed() {
                    Some(fixed) => Body::Fixed(Bytes::copy_from_slice(fixed.as_bytes())),
                    None => Body::Text(text),
                }
            }
            plan::Body::File(path) => {
                let failed = |source| Error::File { path: path.clone(), source };
                // Opened and not only looked at: a file that may not be read is known before the load.
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
        let framed_by_hand = ["content-length", "transfer-encoding", "connection", "expect", "host"]
            .iter()
            .any(|name| headers.contains_key(*name) || late_headers.iter().any(|(n, _)| n.as_str() == *name));
        let short = match &body {
            Body::Random(length) => *length < RANDOM_BLOCK as u64,
            Body::Fixed(bytes) => bytes.len() < 2 * RANDOM_BLOCK,
            Body::Empty => long_file.is_none(),
            Body::Text(_) => true,
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
            fixed_path,
            fixed_head: headers
                .iter()
                .flat_map(|(n, v)| [n.as_str().as_bytes(), b": ", v.as_bytes(), b"\r\n"].concat())
                .collect(),
            has_host: headers.contains_key(HOST),
            headers,
            late_headers,
            body,
            long_file,
            is_lean: short && !framed_by_hand,
            statuses: step.expect.statuses.clone(),
            length: step.expect.length,
            text: step.expect.text.as_ref().map(text).transpose()?,
            contains: step.expect.contains.as_ref().map(text).transpose()?,
            carry,
            timeout: step.timeout,
            random: random_block(),
        })
    }

    /// The same as the only request on its connection, which it says to the server.
    pub(super) fn closing(mut self) -> Self {
        if !self.headers.contains_key(header::CONNECTION) {
            self.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            self.fixed_head.extend_from_slice(b"connection: close\r\n");
        }
        self
    }

    /// Whether its body fits into memory and is framed by runner itself.
    pub(super) fn is_lean(&self) -> bool {
        self.is_lean
    }

    /// The path and query of this request.
    ///
    /// # Errors
    /// When what was inserted makes it invalid.
    pub(super) fn path(&self, values: &Values) -> Result<PathAndQuery, Failure> {
        if let Some(path) = &self.fixed_path {
            return Ok(path.clone());
        }
        let path = self.path.fill(values);
        path.parse().map_err(|e| unsent(format!("the path `{path}` is invalid: {e}")))
    }

    /// The headers of this request, without those that are made of its body and its server.
    ///
    /// # Errors
    /// When what was inserted makes one invalid.
    pub(super) fn headers(&self, values: &Values) -> Result<HeaderMap, Failure> {
        let mut headers = self.headers.clone();
        for (name, value) in &self.late_headers {
            let text = value.fill(values);
            let value = HeaderValue::from_str(&text).map_err(|_| unsent(format!("the header {name} cannot be `{text}`")))?;
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }

    /// The body of this request; the next one's random bytes are others.
    pub(super) fn source(&self, values: &mut Values) -> Source<'_> {
        match (&self.long_file, &self.body) {
            (Some(file), _) => Source::File(file),
            (None, Body::Empty) => Source::Empty,
            (None, Body::Fixed(bytes)) => Source::Once(bytes.clone()),
            (None, Body::Text(text)) => Source::Once(text.fill(values).into()),
            (None, Body::Random(n)) => Source::random(*n, &self.random, values.next_random()),
        }
    }

    pub(super) fn needs_body(&self) -> bool {
        self.text.is_some()
            || self.contains.is_some()
            || self.carry.iter().any(|(_, place, _)| !matches!(place, Place::Header(_)))
    }

    /// The request in words, for messages.
    pub(super) fn label(&self, values: &Values) -> String {
        format!("{} {}", self.method, self.path.fill(values))
    }
}

/// A request that cannot be made: what it inserts does not fit.
fn unsent(words: String) -> Failure {
    Failure::new(Outcome::Carry, words)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Values {
        pub(in super::super) fn for_tests() -> Self {
            Self::new(&Names { names: vec![String::new(); 3], uses_id: true, uses_pass: true }, 1, 0)
        }
    }

    /// A request for `/` that expects any 2xx.
    pub(in super::super) fn step(method: &str) -> Step {
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
        let names = Names { names: vec![String::new(); 3], uses_id: true, uses_pass: true };
        let mut seen = std::collections::HashSet::new();
        for connection in 0..50 {
            let mut values = Values::new(&names, 42, connection);
            for pass in 0..200 {
                values.begin_pass(pass);
                assert_eq!(values.values[ID].len(), 16);
                assert!(seen.insert(values.values[ID].clone()));
            }
        }
    }
}
