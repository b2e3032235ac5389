//! Messages, as steps of the protocols that have them: what is sent, and what answer is expected.

use std::time::Duration;

use serde::Serialize;

use super::text::as_text;
use super::{Body, Carry, Expect, Template};

/// One step of a pass.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Its name in results.
    pub name: String,
    /// What is sent, if anything.
    pub send: Option<Body>,
    /// Whether a message is waited for.
    pub answer: bool,
    /// The expected message.
    pub expect: Expect,
    /// Values that are kept for later steps.
    pub carry: Vec<Carry>,
    /// How long it may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

impl Message {
    /// The late names that the step inserts; a name may occur several times.
    pub fn names(&self) -> Vec<&str> {
        let body = match &self.send {
            Some(Body::Text(text) | Body::Json(text)) => Some(text),
            _ => None,
        };
        body.into_iter().chain(&self.expect.text).chain(&self.expect.contains).flat_map(Template::names).collect()
    }
}

impl Message {
    /// As `runner plan` prints it.
    pub fn words(&self) -> String {
        let body = match &self.send {
            None => String::new(),
            Some(Body::Empty) => " nothing".to_owned(),
            Some(Body::Text(text) | Body::Json(text)) => format!(" `{}`", text.to_text()),
            Some(Body::File(path)) => format!(" {}", path.display()),
            Some(Body::Random(n)) => format!(" {n} random bytes"),
        };
        let answer = if self.answer { "" } else { ", no answer" };
        let kind = if self.send.is_some() { "send" } else { "receive" };
        let name = if self.name == kind { String::new() } else { format!("{}: ", self.name) };
        format!("{name}{kind}{body}{answer}")
    }
}
