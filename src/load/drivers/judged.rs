//! What an answer must contain, and what is carried from it, whatever the protocol.

use std::fmt;

use regex::Regex;

use super::Failure;
use super::values::{Text, Values};
use crate::Error;
use plan::{Carry, Expect, Selector};
use vocabulary::Outcome;

/// How much of a body is kept if it must be examined.
pub const MAX_KEPT: usize = 16 << 20;

/// The body of an answer, as far as it is kept: its first [`MAX_KEPT`] bytes, without a gap.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    /// Whether more arrived than is kept.
    is_cut: bool,
}

/// A body to be judged.
#[derive(Clone, Copy, Debug)]
pub struct KeptBody<'a> {
    /// All of it, or its start.
    pub bytes: &'a [u8],
    /// Whether more arrived than this.
    pub is_cut: bool,
    /// The coding that it had on the wire, for messages.
    pub coding: Coding<'a>,
}

/// The coding of a body on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding<'a> {
    /// Nothing.
    None,
    /// This one, and it was decoded.
    Undone(&'a str),
    /// This one, which cannot be decoded here.
    Unknown(&'a str),
}

impl fmt::Display for Coding<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Undone(names) => write!(out, " (decoded: `content-encoding: {names}`)"),
            Self::Unknown(names) => write!(out, " (`content-encoding: {names}`, which is not decoded)"),
        }
    }
}

impl<'a> KeptBody<'a> {
    /// A complete body that arrived without a coding.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, is_cut: false, coding: Coding::None }
    }
}

impl Body {
    /// In the form in which it is judged.
    pub fn kept(&self) -> KeptBody<'_> {
        KeptBody { bytes: &self.bytes, is_cut: self.is_cut, coding: Coding::None }
    }

    /// The coded body was not complete.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// A body of which nothing has arrived yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn keep(&mut self, bytes: &[u8]) {
        let room = if self.is_cut { 0 } else { MAX_KEPT - self.bytes.len() };
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.is_cut |= bytes.len() > room;
    }
}

/// What is expected of the body of an answer.
pub struct Judged {
    /// Its length in bytes.
    pub length: Option<u64>,
    text: Option<Text>,
    contains: Option<Text>,
    carry: Vec<Carried>,
    /// The step, for messages.
    step: String,
}

/// What is carried from an answer, and to which slot.
struct Carried {
    place: usize,
    name: String,
    selector: Selector,
    /// For [`Selector::Regex`] and [`Selector::RegexOfHeader`].
    pattern: Option<Regex>,
}

impl Judged {
    /// Prepares what a step of this name expects. `names`: those of its values.
    ///
    /// # Errors
    /// When a text inserts a name without a value, or a pattern is not a regular expression.
    pub fn new(step: &str, expect: &Expect, carry: &[Carry], names: &[String]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: step.to_owned(), reason };
        let text = |template| Text::new(template, names, step);
        let carry = carry.iter().map(|c| {
            let place = names.iter().position(|n| *n == c.name);
            let place = place.ok_or_else(|| invalid(format!("`{}` has no place", c.name)))?;
            let pattern = match &c.selector {
                Selector::Regex(pattern) | Selector::RegexOfHeader { pattern, .. } => {
                    Some(Regex::new(pattern).map_err(|e| invalid(e.to_string()))?)
                }
                Selector::Json(_) | Selector::Header(_) => None,
            };
            Ok(Carried { place, name: c.name.clone(), selector: c.selector.clone(), pattern })
        });
        Ok(Self {
            length: expect.length,
            text: expect.text.as_ref().map(text).transpose()?,
            contains: expect.contains.as_ref().map(text).transpose()?,
            carry: carry.collect::<Result<_, Error>>()?,
            step: step.to_owned(),
        })
    }

    /// Where a carried value is found.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.carry.iter().map(|carried| &carried.selector)
    }

    /// Whether the body must be kept to be judged.
    pub fn needs_body(&self) -> bool {
        self.text.is_some() || self.contains.is_some() || self.selectors().any(|selector| selector.header().is_none())
    }

    /// Checks an answer and takes the values to carry.
    ///
    /// `length` in bytes; `body`: if it was kept; `header`: the first value of a header, or what a pattern finds in the first one
    /// that it matches, if there are any; `label`: the request, for messages.
    ///
    /// # Errors
    /// What differs from what was expected.
    pub fn check(
        &self,
        length: u64,
        body: Option<KeptBody<'_>>,
        header: impl Fn(&str, Option<&Regex>) -> Option<String>,
        label: impl Fn(&Values) -> String,
        values: &mut Values,
    ) -> Result<(), Failure> {
        if let Some(expected) = self.length.filter(|expected| *expected != length) {
            let words = format!("{} answered {length} bytes instead of {expected}", label(values));
            return Err(Failure::new(Outcome::Length, words));
        }
        if body.is_none() && self.carry.is_empty() {
            return Ok(());
        }
        let KeptBody { bytes: body, is_cut, coding } = body.unwrap_or(KeptBody::whole(&[]));
        // Nobody knows how a cut body continues: only what was found whole in it is certain.
        let unknown = |outcome, what: &str, values: &Values| {
            let label = label(values);
            let words = match coding {
                Coding::Undone(names) => {
                    format!(
                        "{label} answered {length} bytes of `content-encoding: {names}`, but at most {MAX_KEPT} decoded ones are kept: {what}"
                    )
                }
                Coding::None | Coding::Unknown(_) => {
                    format!("{label} answered {length} bytes, of which at most {MAX_KEPT} are kept: {what}")
                }
            };
            Failure::new(outcome, words)
        };
        if let Some(text) = &self.text {
            if is_cut {
                return Err(unknown(Outcome::Body, "it cannot be compared with what was expected", values));
            }
            if text.fill(values).as_bytes() != body {
                // As typed: what is carried may be a secret.
                let expected = excerpt(text.source().as_bytes());
                let words =
                    format!("{} answered with an unexpected body: {}{coding}, expected {expected}", label(values), excerpt(body));
                return Err(Failure::new(Outcome::Body, words));
            }
        }
        if let Some(part) = &self.contains {
            let part = part.fill(values);
            let there = part.is_empty() || body.windows(part.len()).any(|w| w == part.as_bytes());
            if !there && is_cut {
                return Err(unknown(Outcome::Body, &format!("`{part}` is not in these"), values));
            }
            if !there {
                return Err(Failure::new(
                    Outcome::Body,
                    format!("{} answered without `{part}`: {}{coding}", label(values), excerpt(body)),
                ));
            }
        }
        self.take(body, is_cut, header, values).map_err(|missing| match missing {
            Missing::Cut(what) => unknown(Outcome::Carry, what, values),
            // What the answer contains instead may be a secret, and is not shown.
            Missing::At(name, place) => {
                let words =
                    format!("{}: nothing to carry as `{name}` from the step `{}`: {place}{coding}", label(values), self.step);
                Failure::new(Outcome::Carry, words)
            }
        })
    }

    /// Takes the values to carry.
    fn take(
        &self,
        body: &[u8],
        is_cut: bool,
        header: impl Fn(&str, Option<&Regex>) -> Option<String>,
        values: &mut Values,
    ) -> Result<(), Missing<'_>> {
        let mut json = None;
        for Carried { place, name, selector, pattern } in &self.carry {
            match selector {
                Selector::Header(wanted) => match header(wanted, None) {
                    Some(found) => values.carry(*place, found),
                    None => return Err(Missing::At(name, format!("it has no header `{wanted}`"))),
                },
                Selector::RegexOfHeader { header: wanted, pattern: source } => match header(wanted, pattern.as_ref()) {
                    Some(found) => values.carry(*place, found),
                    None => return Err(Missing::At(name, format!("no header `{wanted}` of it matches `{source}`"))),
                },
                Selector::Json(_) if is_cut => return Err(Missing::Cut("JSON that is cut cannot be read")),
                Selector::Json(pointer) => {
                    let read = json.get_or_insert_with(|| serde_json::from_slice::<serde_json::Value>(body));
                    match read {
                        Ok(json) => match json.pointer(pointer) {
                            Some(found) => values.carry_json(*place, found),
                            None => return Err(Missing::At(name, format!("its JSON has nothing at `{pointer}`"))),
                        },
                        Err(_) if body.is_empty() => {
                            return Err(Missing::At(name, "it is empty, but JSON was expected".to_owned()));
                        }
                        Err(error) => return Err(Missing::At(name, format!("it is not valid JSON: {error}"))),
                    }
                }
                Selector::Regex(source) => {
                    let text = String::from_utf8_lossy(body);
                    let found = pattern.as_ref().and_then(|p| p.captures(&text));
                    // A match that reaches the cut might continue after it.
                    if is_cut && found.as_ref().is_none_or(|c| c.get_match().end() == text.len()) {
                        return Err(Missing::Cut("the value to carry is not complete in these"));
                    }
                    let found = found.map(|c| c.get(1).or_else(|| c.get(0)).map_or_else(String::new, |m| m.as_str().to_owned()));
                    match found {
                        Some(found) => values.carry(*place, found),
                        None => return Err(Missing::At(name, format!("nothing in it matches `{source}`"))),
                    }
                }
            }
        }
        Ok(())
    }
}

/// What is carried of a text in which a pattern is looked for: its first group, or the whole match.
pub fn found_in(pattern: &Regex, text: &str) -> Option<String> {
    let found = pattern.captures(text)?;
    found.get(1).or_else(|| found.get(0)).map(|found| found.as_str().to_owned())
}

/// Why something is not carried.
enum Missing<'a> {
    /// More arrived than is kept, so this cannot be known.
    Cut(&'a str),
    /// The value of this name is not where it was looked for.
    At(&'a str, String),
}

/// The start of a body, for messages.
pub fn excerpt(body: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(&body[..body.len().min(80)]).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.len() > 80 { format!("`{text}…`") } else { format!("`{text}`") }
}
