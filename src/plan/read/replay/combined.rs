//! Access logs in the common and the combined format of Apache and nginx:
//! `host ident user [time] "GET /path HTTP/1.1" status bytes "referer" "agent"`.

use std::borrow::Cow;

use super::{Body, Collector, Logged, Why, times};

/// Reads all lines.
pub(super) fn read(content: &[u8], all: &mut Collector) {
    // Most lines have the time of the line before.
    let mut last: (&[u8], u64) = (b"", 0);
    for line in lines(content) {
        match line_of(line, &mut last) {
            Some(Ok(logged)) => all.take(logged),
            Some(Err(why)) => all.leave_out(why),
            None => all.strange(line),
        }
    }
}

/// The lines that are not empty.
pub(super) fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = &rest[(end + 1).min(rest.len())..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
    .filter(|line| !line.is_empty())
}

/// A line; `None` if it is not one of this format.
fn line_of<'a>(line: &'a [u8], last: &mut (&'a [u8], u64)) -> Option<Result<Logged<'a>, Why>> {
    // The user may contain a bracket; the time is the first pair that contains one.
    let mut from = 0;
    let (at_ns, rest) = loop {
        let open = from + memchr::memchr(b'[', &line[from..])?;
        let close = open + memchr::memchr(b']', &line[open..])?;
        let text = &line[open + 1..close];
        if text == last.0 && !text.is_empty() {
            break (last.1, &line[close + 1..]);
        }
        if let Some(at_ns) = times::combined(text) {
            *last = (text, at_ns);
            break (at_ns, &line[close + 1..]);
        }
        from = open + 1;
    };
    let quoted = &rest[memchr::memchr(b'"', rest)? + 1..];
    let mut end = memchr::memchr(b'"', quoted)?;
    // A quotation mark inside is escaped.
    while quoted[..end].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1 {
        end += 1 + memchr::memchr(b'"', &quoted[end + 1..])?;
    }
    let (request, rest) = (&quoted[..end], &quoted[end + 1..]);
    let status = rest.trim_ascii_start();
    let status = status.get(..3)?.iter().try_fold(0_u16, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u16::from(b - b'0')))?;
    Some(request_of(request).map(|(method, target)| Logged { at_ns, method, target, status, body: Body::Unknown }))
}

/// Method and target of `GET /path HTTP/1.1`.
pub(super) fn request_of(request: &[u8]) -> Result<(&[u8], Cow<'_, [u8]>), Why> {
    let end = memchr::memchr(b' ', request).ok_or(Why::NoRequest)?;
    let (method, rest) = (&request[..end], &request[end + 1..]);
    let target = match memchr::memrchr(b' ', rest) {
        Some(space) if rest[space + 1..].starts_with(b"HTTP/") => &rest[..space],
        _ => rest,
    };
    if !method.iter().all(u8::is_ascii_uppercase) || target.is_empty() {
        return Err(Why::NoRequest);
    }
    Ok((method, if target.contains(&b'\\') { Cow::Owned(unescaped(target)) } else { Cow::Borrowed(target) }))
}

/// Takes back what servers do to unusual bytes: `\x22`, `\"`, `\\`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return plain,
            [b'\\', b'x', one, two, rest @ ..] if digit(*one).is_some() && digit(*two).is_some() => {
                plain.push(digit(*one).unwrap_or_default() << 4 | digit(*two).unwrap_or_default());
                rest
            }
            [b'\\', byte @ (b'"' | b'\\'), rest @ ..] | [byte, rest @ ..] => {
                plain.push(*byte);
                rest
            }
        };
    }
}
