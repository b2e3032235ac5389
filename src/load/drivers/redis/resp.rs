//! The Redis serialization protocol, version 2: commands are written, replies are read. Pure.
//!
//! A reply is read when it is complete: for the common ones, which are one line or one bulk, the first line tells when
//! that is; a list is scanned again when more of it has arrived.

use crate::drivers::decimal::decimal;
use plan::drivers::redis::LONGEST;

/// Lists nested deeper than this are not accepted.
const DEEPEST: usize = 32;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A text, a number in digits, or bytes.
    Value(&'a [u8]),
    /// The items of a list, each on its own line; nil is empty.
    List {
        /// The number of items, including those of inner lists.
        items: Vec<u8>,
        /// The first item that is an error, as `EXEC` returns them.
        error: Option<&'a [u8]>,
    },
    /// An error, in the server's words.
    Error(&'a [u8]),
    /// There is no value.
    Nil,
}

/// What is at the start of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// A reply, and where it ends.
    Whole(Reply<'a>, usize),
    /// The start of one. At least this many bytes are needed in all, as far as that is known.
    More(usize),
}

/// Appends a command: the number of words, then each.
pub fn start(out: &mut Vec<u8>, words: usize) {
    out.push(b'*');
    number(out, words);
}

/// Appends a word.
pub fn word(out: &mut Vec<u8>, bytes: &[u8]) {
    word_start(out, bytes.len());
    out.extend_from_slice(bytes);
    word_end(out);
}

/// Appends what precedes a word of this length.
pub fn word_start(out: &mut Vec<u8>, length: usize) {
    out.push(b'$');
    number(out, length);
}

/// Appends what follows a word.
pub fn word_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

fn number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(decimal(number as u64, &mut [0; 20]));
    word_end(out);
}

/// Reads the first reply.
///
/// # Errors
/// In words, why it is not one.
pub fn first(bytes: &[u8]) -> Result<First<'_>, String> {
    let Some(Line { kind, text: line, after }) = line(bytes)? else { return Ok(First::More(bytes.len() + 1)) };
    Ok(match kind {
        b'+' | b':' => First::Whole(Reply::Value(line), after),
        b'-' => First::Whole(Reply::Error(line), after),
        b'$' => match bulk(bytes, line, after)? {
            Bulk::Nil => First::Whole(Reply::Nil, after),
            Bulk::Bytes(bytes, end) => First::Whole(Reply::Value(bytes), end),
            Bulk::More(needed) => First::More(needed),
        },
        b'*' if length(line)?.is_none() => First::Whole(Reply::Nil, after),
        b'*' => {
            let (mut items, mut error) = (Vec::new(), None);
            match list(bytes, 0, &mut items, &mut error, 0)? {
                Ok(end) => First::Whole(Reply::List { items, error }, end),
                Err(needed) => First::More(needed),
            }
        }
        other => return Err(format!("a reply starts with `{}`", (other as char).escape_default())),
    })
}

/// The line that starts every reply.
struct Line<'a> {
    kind: u8,
    text: &'a [u8],
    /// Where it ends, after CR LF.
    after: usize,
}

/// The first line; `None` if it is incomplete.
fn line(bytes: &[u8]) -> Result<Option<Line<'_>>, String> {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
        return if bytes.len() > 64 << 10 { Err("a line has no end".to_owned()) } else { Ok(None) };
    };
    match &bytes[..end] {
        [kind, text @ .., b'\r'] => Ok(Some(Line { kind: *kind, text, after: end + 1 })),
        _ => Err("a line does not end with CR LF".to_owned()),
    }
}

/// A length; -1 means none.
fn length(line: &[u8]) -> Result<Option<usize>, String> {
    let text = std::str::from_utf8(line).unwrap_or_default();
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(length) if (0..=LONGEST as i64).contains(&length) => Ok(Some(length as usize)),
        _ => Err(format!("`{}` is not a length", text.escape_debug())),
    }
}

enum Bulk<'a> {
    Nil,
    Bytes(&'a [u8], usize),
    More(usize),
}

fn bulk<'a>(bytes: &'a [u8], line: &[u8], after: usize) -> Result<Bulk<'a>, String> {
    let Some(length) = length(line)? else { return Ok(Bulk::Nil) };
    let end = after + length;
    match bytes.get(end..end + 2) {
        Some(b"\r\n") => Ok(Bulk::Bytes(&bytes[after..end], end + 2)),
        Some(_) => Err("bytes do not end where their length says".to_owned()),
        None => Ok(Bulk::More(end + 2)),
    }
}

/// Reads the list that starts at `at`, appends its items, and keeps the first that is an error. Returns where it ends,
/// or how many bytes are needed.
fn list<'a>(
    bytes: &'a [u8],
    at: usize,
    items: &mut Vec<u8>,
    error: &mut Option<&'a [u8]>,
    depth: usize,
) -> Result<Result<usize, usize>, String> {
    if depth > DEEPEST {
        return Err("lists are nested too deeply".to_owned());
    }
    let Some(head) = line(&bytes[at..])? else { return Ok(Err(bytes.len() + 1)) };
    let mut at = at + head.after;
    for _ in 0..length(head.text)?.unwrap_or(0) {
        let Some(Line { kind, text, after }) = line(&bytes[at..])? else { return Ok(Err(bytes.len() + 1)) };
        let mut add = |item: &[u8]| {
            items.extend_from_slice(item);
            items.push(b'\n');
        };
        match kind {
            b'+' | b':' | b'-' => {
                if kind == b'-' {
                    error.get_or_insert(text);
                }
                add(text);
                at += after;
            }
            b'$' => match bulk(&bytes[at..], text, after)? {
                Bulk::Nil => {
                    add(b"");
                    at += after;
                }
                Bulk::Bytes(item, end) => {
                    add(item);
                    at += end;
                }
                Bulk::More(needed) => return Ok(Err(at + needed)),
            },
            b'*' => match list(bytes, at, items, error, depth + 1)? {
                Ok(end) => at = end,
                Err(needed) => return Ok(Err(needed)),
            },
            other => return Err(format!("an item of a list starts with `{}`", (other as char).escape_default())),
        }
    }
    Ok(Ok(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(bytes: &[u8]) -> (Reply<'_>, usize) {
        match first(bytes) {
            Ok(First::Whole(reply, end)) => (reply, end),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replies_are_told_apart() {
        assert_eq!(whole(b"+OK\r\n+more"), (Reply::Value(b"OK"), 5));
        assert_eq!(whole(b":-12\r\n"), (Reply::Value(b"-12"), 6));
        assert_eq!(whole(b"-ERR no such\r\n"), (Reply::Error(b"ERR no such"), 14));
        assert_eq!(whole(b"$5\r\na\r\nbc\r\n:"), (Reply::Value(b"a\r\nbc"), 11));
        assert_eq!(whole(b"$0\r\n\r\n"), (Reply::Value(b""), 6));
        assert_eq!(whole(b"$-1\r\n"), (Reply::Nil, 5));
        assert_eq!(whole(b"*-1\r\n"), (Reply::Nil, 5));
        let nested = b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+b\r\n";
        assert_eq!(whole(nested), (Reply::List { items: b"a\n1\n\nb\n".to_vec(), error: None }, nested.len()));
        let failed = b"*3\r\n+OK\r\n*1\r\n-ERR a\r\n-ERR b\r\n";
        assert_eq!(whole(failed), (Reply::List { items: b"OK\nERR a\nERR b\n".to_vec(), error: Some(b"ERR a") }, failed.len()));
    }

    #[test]
    fn what_is_not_a_reply_is_refused() {
        for wrong in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"+OK\n", b"$x\r\n", b"$2\r\nabc\r\n", b"*1\r\n!\r\n", b"$99999999999\r\n"]
        {
            assert!(first(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(first(&b"*1\r\n".repeat(DEEPEST + 3)).is_err());
    }

    proptest! {
        #[test]
        fn a_command_is_read_back_as_a_list(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6)) {
            let mut out = Vec::new();
            start(&mut out, words.len());
            words.iter().for_each(|w| word(&mut out, w));
            let joined: Vec<u8> = words.iter().flat_map(|w| w.iter().copied().chain([b'\n'])).collect();
            prop_assert_eq!(first(&out), Ok(First::Whole(Reply::List { items: joined, error: None }, out.len())));
        }

        #[test]
        fn a_part_of_a_reply_asks_for_more(cut in 0_usize..29) {
            let bytes = b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+b\r\n";
            match first(&bytes[..cut.min(bytes.len() - 1)]) {
                Ok(First::More(needed)) => prop_assert!(needed > cut.min(bytes.len() - 1) && needed <= bytes.len()),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = first(&bytes);
        }
    }
}
