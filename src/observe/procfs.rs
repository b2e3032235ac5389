//! Pure parsers of `/proc` and `/sys` text: bytes in, numbers out.
//!
//! They take bytes because the name of a process need not be UTF-8. All follow one rule, which their tests check: for text that
//! was cut off anywhere they return nothing, or a complete value – never a number that lost its last digits. Hence a number
//! counts only when something follows it, and a line only when it ends. Opening and reading files is done elsewhere.

pub mod host;
pub mod net;
pub mod process;
pub mod sensors;

/// A number from decimal text; `None` for anything else, overflow included.
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The lines of `text` that are complete, without their line ends.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

/// The fields of `text` that are certainly complete, because a blank or a line end follows them.
fn whole_fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(u8::is_ascii_whitespace)
        .filter(|field| field.last().is_some_and(u8::is_ascii_whitespace))
        .map(<[u8]>::trim_ascii)
        .filter(|field| !field.is_empty())
}

/// The words between blanks.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A line `Key:   123 kB` or `key: 123`, as key and number; kB (1024 bytes, in spite of the name) become bytes.
fn entry(line: &[u8]) -> Option<(&[u8], u64)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (key, rest) = (&line[..colon], &line[colon + 1..]);
    let mut words = words(rest);
    let value: u64 = number(words.next()?)?;
    match words.next() {
        None => Some((key, value)),
        Some(b"kB") => Some((key, value.checked_mul(1024)?)),
        Some(_) => None,
    }
}

/// Checks the rule of this module for one parser and one whole text.
#[cfg(test)]
fn assert_cut_text_gives_nothing_or_the_same<T: PartialEq + std::fmt::Debug>(whole: &[u8], parse: impl Fn(&[u8]) -> Option<T>) {
    let expected = parse(whole);
    assert!(expected.is_some(), "the whole text must be understood");
    for end in 0..whole.len() {
        let found = parse(&whole[..end]);
        assert!(found.is_none() || found == expected, "cut after {end} bytes: {found:?}");
    }
    // Damage in the middle: any result is allowed, but not a panic.
    for position in 0..whole.len() {
        for byte in [b' ', b'\n', b'(', b')', b':', b'-', 0xff] {
            let mut damaged = whole.to_vec();
            damaged[position] = byte;
            let _ = parse(&damaged);
        }
        let _ = parse(&whole[position..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_in_bytes_when_the_text_says_kb() {
        assert_eq!(entry(b"VmHWM:\t    12 kB"), Some((&b"VmHWM"[..], 12 * 1024)));
        assert_eq!(entry(b"read_bytes: 4096"), Some((&b"read_bytes"[..], 4096)));
        assert_eq!(entry(b"Name:\tsleep"), None);
        assert_eq!(entry(b"VmHWM: 1 MB"), None);
        assert_eq!(entry(b"VmHWM: 99999999999999999999 kB"), None);
        assert_eq!(entry(b"VmHWM: 18446744073709551615 kB"), None);
    }

    #[test]
    fn a_field_or_line_without_an_end_is_not_whole() {
        assert_eq!(whole_fields(b"1  22 333").collect::<Vec<_>>(), [&b"1"[..], b"22"]);
        assert_eq!(whole_lines(b"a\nb\nc").collect::<Vec<_>>(), [&b"a"[..], b"b"]);
    }
}
