//! Whether an answer is the expected one, and what is carried from it.

use hyper::header::HeaderMap;

use super::coding::{codings, decode};
use super::request::Step;
use crate::drivers::Failure;
use crate::drivers::judged::{Coding, KeptBody, found_in};
use crate::drivers::values::Values;
use vocabulary::Outcome;

/// The answer.
pub(super) struct Answer<'a> {
    pub status: u16,
    pub received_bytes: u64,
    /// The body as it arrived, if the step needs it.
    pub body: Option<KeptBody<'a>>,
    /// The headers that the step needs, including `content-encoding` if it needs the body.
    pub headers: &'a HeaderMap,
}

/// Checks an answer and takes the values to carry.
pub(super) fn judge(step: &Step, answer: &Answer<'_>, values: &mut Values) -> Result<(), Failure> {
    let status = answer.status;
    let expected = if step.statuses.is_empty() { (200..300).contains(&status) } else { step.statuses.contains(&status) };
    if let Some((_, outcome)) = step.named.iter().find(|(named, _)| *named == status && !expected) {
        // The words are only needed for an error.
        return Err(Failure::new(*outcome, String::new()));
    }
    if !expected {
        let words: Vec<String> = step.statuses.iter().map(u16::to_string).collect();
        let wanted = if words.is_empty() { "2xx".to_owned() } else { words.join(" or ") };
        return Err(Failure::new(Outcome::Status, format!("{} answered {status} instead of {wanted}", step.label(values))));
    }
    let header = |name: &str, pattern: Option<&regex::Regex>| {
        let mut values = answer.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        match pattern {
            None => values.next().map(str::to_owned),
            Some(pattern) => values.find_map(|value| found_in(pattern, value)),
        }
    };
    let coded = answer.body.filter(|body| !body.bytes.is_empty()).and_then(|body| Some((body, codings(answer.headers)?)));
    let Some((coded, names)) = coded else {
        return step.judged.check(answer.received_bytes, answer.body, header, |values| step.label(values), values);
    };
    let decoded = decode(coded, &names).map_err(|reason| {
        let words =
            format!("{} answered with a body that is not valid `content-encoding: {names}`: {reason}", step.label(values));
        Failure::new(Outcome::Body, words)
    })?;
    let body = match &decoded {
        Some(decoded) => KeptBody { coding: Coding::Undone(&names), ..decoded.kept() },
        None => KeptBody { coding: Coding::Unknown(&names), ..coded },
    };
    step.judged.check(answer.received_bytes, Some(body), header, |values| step.label(values), values)
}
