//! How long the body of an answer is, according to its head (RFC 9112, 6.3): pure, and the same for both HTTP paths.
//!
//! It uses nothing of this crate, like `answer`.

/// Where the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Nothing,
    /// With the last chunk.
    Chunked,
    /// After this many bytes.
    Length(u64),
    /// With the connection.
    UntilClosed,
}

/// The framing of an answer.
///
/// `http_1_1`: whether it has that version and not an earlier one; `bodiless`: whether HEAD was requested; `headers`:
/// all of them, in order.
///
/// Anything ambiguous is an error, although HTTP allows a client to guess in some cases: above all a `content-length`
/// beside a `transfer-encoding`, where another reader on the way may believe the other one (9112, 11.2). Where no body
/// follows whatever the head says (6.3, rule 1) nothing can be misunderstood.
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
        // The lengths of the names that matter; most headers are ruled out by them.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => {
                // Several equal values count as one (6.3, rule 5), whether on one line or on several.
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
                    // Nothing can be applied to chunks, least of all chunks.
                    if coding == Some(true) {
                        return Err("a transfer-encoding after `chunked`".to_owned());
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
