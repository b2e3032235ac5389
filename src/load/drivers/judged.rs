//! What an answer must hold, and what is carried from it, whatever protocol brought it.

use super::Failure;
use super::values::{Text, Values};
use crate::Error;
use plan::{Carry, Expect, Selector};
use vocabulary::Outcome;

/// So much of a body that must be looked into is kept.
pub const MAX_KEPT: usize = 16 << 20;

/// The body of an answer, as far as it is kept: its first [`MAX_KEPT`] bytes, without a hole.
#[derive(Debug, Default)]
pub struct Body {
    bytes: Vec<u8>,
    /// Whether more came than is kept.
    is_cut: bool,
}

/// A body to be judged.
#[derive(Clone, Copy, Debug)]
pub struct KeptBody<'a> {
    /// All of it, or its start.
    pub bytes: &'a [u8],
    /// Whether more came than this.
    pub is_cut: bool,
}

impl Body {
    /// As it is to be judged.
    pub fn kept(&self) -> KeptBody<'_> {
        KeptBody { bytes: &self.bytes, is_cut: self.is_cut }
    }

    /// A body of which nothing has come yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what comes next.
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
    carry: Vec<(usize, Selector, Option<regex::Regex>)>,
}

impl Judged {
    /// Makes ready what a step of this name expects. `names`: those of its values.
    ///
    /// # Errors
    /// When a text inserts what has no value, or a pattern is not a regular expression.
    pub fn new(step: &str, expect: &Expect, carry: &[Carry], names: &[String]) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Request { step: step.to_owned(), reason };
        let text = |template| Text::new(template, names, step);
        let carry = carry.iter().map(|c| {
            let place = names.iter().position(|n| *n == c.name);
            let place = place.ok_or_else(|| invalid(format!("`{}` has no place", c.name)))?;
            let pattern = match &c.selector {
                Selector::Regex(pattern) => Some(regex::Regex::new(pattern).map_err(|e| invalid(e.to_string()))?),
                _ => None,
            };
            Ok((place, c.selector.clone(), pattern))
        });
        Ok(Self {
            length: expect.length,
            text: expect.text.as_ref().map(text).transpose()?,
            contains: expect.contains.as_ref().map(text).transpose()?,
            carry: carry.collect::<Result<_, Error>>()?,
        })
    }

    /// Where what is carried stands.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.carry.iter().map(|(_, selector, _)| selector)
    }

    /// Whether the body must be kept to be judged.
    pub fn needs_body(&self) -> bool {
        self.text.is_some()
            || self.contains.is_some()
            || self.selectors().any(|selector| !matches!(selector, Selector::Header(_)))
    }

    /// Checks an answer and takes what is to be carried.
    ///
    /// `length` in bytes; `body`: where it was kept; `header`: the value of a header, where there are any; `label`: what
    /// was asked, for messages.
    ///
    /// # Errors
    /// What differs from what was expected.
    pub fn check<'a>(
        &self,
        length: u64,
        body: Option<KeptBody<'_>>,
        header: impl Fn(&str) -> Option<&'a str>,
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
        let KeptBody { bytes: body, is_cut } = body.unwrap_or(KeptBody { bytes: &[], is_cut: false });
        // Of what is cut nobody knows how it goes on: only what was found whole in it is there.
        let unknown = |outcome, what: &str, values: &Values| {
            let label = label(values);
            Failure::new(outcome, format!("{label} answered {length} bytes, of which no more than {MAX_KEPT} are kept: {what}"))
        };
        if let Some(text) = &self.text {
            if is_cut {
                return Err(unknown(Outcome::Body, "it cannot be compared with what was expected", values));
            }
            if text.fill(values).as_bytes() != body {
                let words = format!("{} answered another body than expected: {}", label(values), excerpt(body));
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
                    format!("{} answered without `{part}`: {}", label(values), excerpt(body)),
                ));
            }
        }
        let json = self.carry.iter().any(|(_, selector, _)| matches!(selector, Selector::Json(_)));
        if json && is_cut {
            return Err(unknown(Outcome::Carry, "JSON that is cut cannot be read", values));
        }
        let json = json.then(|| serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default());
        for (index, selector, pattern) in &self.carry {
            let found = match selector {
                Selector::Header(name) => header(name).map(str::to_owned),
                Selector::Json(pointer) => json.as_ref().and_then(|j| j.pointer(pointer)).map(|v| match v {
                    serde_json::Value::String(s) => s.clone(),
                    other => other.to_string(),
                }),
                Selector::Regex(_) => {
                    let text = String::from_utf8_lossy(body);
                    let found = pattern.as_ref().and_then(|p| p.captures(&text));
                    // What matches up to the cut might go on behind it.
                    if is_cut && found.as_ref().is_none_or(|c| c.get_match().end() == text.len()) {
                        return Err(unknown(Outcome::Carry, "what is to be carried is not whole in these", values));
                    }
                    found.map(|c| c.get(1).or_else(|| c.get(0)).map_or_else(String::new, |m| m.as_str().to_owned()))
                }
            };
            match found {
                Some(found) => values.carry(*index, found),
                None => {
                    let words = format!("{}: nothing to carry in {}", label(values), excerpt(body));
                    return Err(Failure::new(Outcome::Carry, words));
                }
            }
        }
        Ok(())
    }
}

/// The start of a body, for messages.
pub fn excerpt(body: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(&body[..body.len().min(80)]).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if body.len() > 80 { format!("`{text}…`") } else { format!("`{text}`") }
}
