//! Text in the columns of a terminal: how wide it is, and how it is broken into lines.
//!
//! A number is never broken, and stays with its unit, so that no line starts with half of a number.

use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

/// The largest width of tables and sentences, whatever the terminal: they are read in logs and mails, too.
pub const WIDTH: usize = 80;

/// Units that stay with the number before them.
pub(crate) const UNITS: [&str; 18] =
    ["%", "ns", "µs", "ms", "s", "min", "h", "d", "B", "KiB", "MiB", "GiB", "TiB", "/s", "KiB/s", "MiB/s", "GiB/s", "percent"];

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A text padded with spaces on the right to this many columns; a longer text is returned as it is.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// As much of a text as fits; if something is left out, the last column shows `…`.
pub fn shorten(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&kept) + c.width().unwrap_or_default() >= columns {
            break;
        }
        kept.push(c);
    }
    if columns == 0 { String::new() } else { format!("{}…", kept.trim_end()) }
}

/// The lines of a text, none wider than `columns`; all but the first of each line of the text start with `indent` spaces.
///
/// Lines are broken at spaces. A word that is too wide is broken after a character such as `/`, `,` or `=`, or anywhere if there
/// is none or a piece is wider than a whole line.
pub fn wrap(text: &str, columns: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let words = line.trim_start_matches(' ');
        let margin = (line.len() - words.len()).min(columns / 2);
        let indent = " ".repeat((margin + indent).min(columns / 2));
        let mut current = " ".repeat(margin);
        let mut is_empty = true;
        for word in unbroken(words.trim_end()) {
            let gap = usize::from(!is_empty);
            if width(&current) + gap + width(word) <= columns {
                current += &format!("{}{word}", " ".repeat(gap));
                is_empty = false;
                continue;
            }
            if !is_empty {
                lines.push(std::mem::replace(&mut current, indent.clone()));
            }
            // It cannot get narrower than one piece.
            let mut pieces = pieces(word, columns.saturating_sub(width(&indent)).max(1)).into_iter().peekable();
            while let Some(piece) = pieces.next() {
                current += &piece;
                if pieces.peek().is_some() {
                    lines.push(std::mem::replace(&mut current, indent.clone()));
                }
            }
            is_empty = false;
        }
        lines.push(current);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// The lines of a text in a table cell of this many columns; nothing is indented.
pub fn cell_lines(text: &str, columns: usize) -> Vec<String> {
    wrap(text, columns.max(1), 0).lines().map(str::to_owned).collect()
}

/// The width of the widest piece of a text that is broken only if there is no room for it.
pub fn widest_piece(text: &str) -> usize {
    text.lines().flat_map(unbroken).flat_map(breakable).map(width).max().unwrap_or_default()
}

/// The words of a line; a number and its unit are one word.
fn unbroken(line: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut start = 0;
    for (at, _) in line.match_indices(' ') {
        let (before, after) = (&line[start..at], line[at + 1..].split(' ').next().unwrap_or_default());
        let is_number = before.rsplit(' ').next().is_some_and(|word| word.ends_with(|c: char| c.is_ascii_digit()));
        let bare = after.trim_end_matches([',', ';', '.', ')', ':']);
        let goes_on = UNITS.contains(&bare) || bare.len() == 3 && bare.bytes().all(|b| b.is_ascii_digit());
        if !(is_number && goes_on) {
            found.push(before);
            start = at + 1;
        }
    }
    found.push(&line[start..]);
    found.retain(|word| !word.is_empty());
    found
}

/// The parts between which a word may be broken: after punctuation that joins names.
fn breakable(word: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let chars: Vec<(usize, char)> = word.char_indices().collect();
    for pair in chars.windows(2) {
        let ((_, c), (next_at, next)) = (pair[0], pair[1]);
        let joins = matches!(c, '/' | ',' | '=' | ';' | '_' | '-' | '&' | '?') || c == '.' && next.is_alphabetic();
        // `-5` and `1,000` are numbers.
        let in_number = next.is_ascii_digit() && matches!(c, '-' | ',');
        if joins && !in_number && !matches!(next, '/' | '=' | ' ') {
            found.push(&word[start..next_at]);
            start = next_at;
        }
    }
    found.push(&word[start..]);
    found
}

/// A word in pieces that fit: as many of its parts in each as there is room for.
fn pieces(word: &str, columns: usize) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in breakable(word) {
        let last = found.last_mut().expect("there is one from the start");
        if width(last) + width(part) <= columns {
            *last += part;
            continue;
        }
        if !last.is_empty() {
            found.push(String::new());
        }
        let mut rest = part;
        loop {
            let (piece, behind) = split_at_width(rest, columns);
            *found.last_mut().expect("there is one from the start") += piece;
            rest = behind;
            if rest.is_empty() {
                break;
            }
            found.push(String::new());
        }
    }
    found
}

/// The longest start of a text that fits, at least one character, and the rest.
fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or_default();
        if taken > columns && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_stays_with_its_unit_and_lines_are_indented() {
        let text = "SHORT: all loads took 700 ms; steadiness needs at least 5.00 s of a load\n  next";
        assert_eq!(
            wrap(text, 24, 2),
            "SHORT: all loads took\n  700 ms; steadiness\n  needs at least 5.00 s\n  of a load\n  next\n"
        );
        assert_eq!(cell_lines("12 345 678 MiB", 14), ["12 345 678 MiB"]);
    }

    #[test]
    fn a_long_name_is_broken_where_names_are_joined() {
        assert_eq!(cell_lines("processes=4,proxy=haproxy", 12), ["processes=4,", "proxy=", "haproxy"]);
        assert_eq!(cell_lines("https://example.test/a/b", 14), ["https://", "example.test/", "a/b"]);
        assert_eq!(cell_lines("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(widest_piece("size=1000KiB after"), 7);
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abcde…");
        assert_eq!(shorten("日本語", 5), "日本…");
        assert_eq!([0, 1, 2].map(|columns| shorten("日本語", columns)), ["", "…", "…"]);
        assert_eq!(pad("日本", 6), "日本  ");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_wide(text in "[a-z0-9=/, -]{0,120}", columns in 4_usize..40) {
            let wrapped = wrap(&text, columns, 2);
            for line in wrapped.lines() {
                prop_assert!(width(line) <= columns, "{line:?}");
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&wrapped), letters(&text));
        }
    }
}
