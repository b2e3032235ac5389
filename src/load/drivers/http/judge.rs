//! Whether an answer is the expected one, and what is carried from it.

use hyper::header::HeaderMap;

use super::request::{Step, Values};
use crate::load::drivers::Failure;
use crate::load::windows::Outcome;
use crate::plan::Place;

/// What came back.
pub(super) struct Answer<'a> {
    pub status: u16,
    pub received_bytes: u64,
    /// The body, where the step needs it.
    pub body: Option<&'a [u8]>,
    pub headers: &'a HeaderMap,
}

/// Checks an answer and takes what is to be carried.
pub(super) fn judge(step: &Step, answer: &Answer<'_>, values: &mut Values) -> Result<(), Failure> {
    let status = answer.status;
    let expected = if step.statuses.is_empty() { (200..300).contains(&status) } else { step.statuses.contains(&status) };
    if !expected {
        let words: Vec<String> = step.statuses.iter().map(u16::to_string).collect();
        let wanted = if words.is_empty() { "2xx".to_owned() } else { words.join(" or ") };
        return Err(Failure::new(Outcome::Status, format!("{} answered {status} instead of {wanted}", step.label(values))));
    }
    if let Some(length) = step.length
        && length != answer.received_bytes
    {
        let words = format!("{} answered {} bytes instead of {length}", step.label(values), answer.received_bytes);
        return Err(Failure::new(Outcome::Length, words));
    }
    if answer.body.is_some() || !step.carry.is_empty() {
        check(step, answer.body.unwrap_or_default(), answer.headers, values)?;
    }
    Ok(())
}

/// Checks what is in the body and takes what is to be carried.
fn check(step: &Step, body: &[u8], headers: &HeaderMap, values: &mut Values) -> Result<(), Failure> {
    let label = |values: &Values| step.label(values);
    if let Some(text) = &step.text
        && text.fill(values).as_bytes() != body
    {
        return Err(Failure::new(
            Outcome::Body,
            format!("{} answered another body than expected: {}", label(values), excerpt(body)),
        ));
    }
    if let Some(part) = &step.contains {
        let part = part.fill(values);
        let there = part.is_empty() || body.windows(part.len()).any(|w| w == part.as_bytes());
        if !there {
            return Err(Failure::new(Outcome::Body, format!("{} answered without `{part}`: {}", label(values), excerpt(body))));
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
                return Err(Failure::new(Outcome::Carry, format!("{}: nothing to carry in {}", label(values), excerpt(body))));
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
