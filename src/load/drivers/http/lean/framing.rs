//! How long the body of an answer is, by what its head says (RFC 9112, 6.3): pure, and the same for both HTTP paths.
//!
//! It uses nothing of this crate, as `answer` does not.

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Nothing,
    /// With the last chunk.
    Chunked,
    /// After so many bytes.
    Length(u64),
    /// With the connection.
    UntilClosed,
}

/// The framing of an answer.
///
/// `http_1_1`: whether it is in that version and not in an earlier one; `bodiless`: whether HEAD was asked for; `headers`:
/// all of them, in order.
///
/// What can be understood in two ways is an error, although HTTP lets a client guess at some of it: a `content-length`
/// beside a `transfer-encoding` above all, of which another reader on the way may believe the other one (9112, 11.2). Where
/// no body follows whatever the head says (6.3, rule 1) nothing can be misunderstood.
///
/// # Errors
/// What is wrong with it.
pub fn framing<'h>(
    http_1_1: bool,
    status: u16,
    bodiless: bool,
    headers: impl Iterator<Item = (&'h str, &'h [u8])>,
) -> Result<Framing, String> {
    if bodiless || matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Nothing);
    }
    let mut length = None;
    let mut coding = None;
    for (name, value) in headers {
        // The lengths of names that matter; most headers are told apart by that.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => {
                // Several are as good as one where all are the same (6.3, rule 5), be it in one line or in several.
                for part in value.split(|b| *b == b',') {
                    let number = decimal(part.trim_ascii());
                    if number.is_none() || length.is_some() && length != number {
                        let reason = if number.is_none() { "content-length" } else { "a second and different content-length" };
                        return Err(format!("{reason} `{}`", String::from_utf8_lossy(value)));
                    }
                    length = number;
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                for token in tokens(value) {
                    // Nothing can be applied to what is in chunks already, chunks least of all.
                    if coding == Some(true) {
                        return Err("a transfer-encoding behind `chunked`".to_owned());
                    }
                    coding = Some(token.eq_ignore_ascii_case(b"chunked"));
                }
                if coding.is_none() {
                    return Err("an empty transfer-encoding".to_owned());
                }
            }
            _ => {}
        }
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err("both a content-length and a transfer-encoding".to_owned()),
        (Some(_), None) if !http_1_1 => Err("a transfer-encoding in HTTP/1.0".to_owned()),
        (Some(true), None) => Ok(Framing::Chunked),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (Some(false) | None, None) => Ok(Framing::UntilClosed),
    }
}

/// The parts of a list, without empty ones.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A number of digits and nothing else.
fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, b: &u8| b.is_ascii_digit().then(|| number.checked_mul(10)?.checked_add(u64::from(b - b'0')))?;
    (!text.is_empty()).then(|| text.iter().try_fold(0, digit))?
}
