//! Lists of names in a sentence, the name that was probably meant, and texts of other programs made safe to show.

use std::borrow::Cow;

/// The known name that is so similar to the typed one that it was probably meant.
///
/// Numbers and single letters are similar to everything and never suggested.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let (folded, limit) = (fold(typed), (typed.chars().count() / 3).clamp(1, 3));
    let known: Vec<&str> = known.into_iter().collect();
    // `SIGTERM` for `TERM`, `conn` for `connections`
    let part =
        |name: &&&str| typed.len().min(name.len()) > 2 && **name != typed && (typed.ends_with(**name) || name.starts_with(typed));
    let partly = known.iter().find(part).copied();
    known
        .into_iter()
        .filter(|name| *name != typed && name.chars().count().max(typed.chars().count()) > 2 && name.parse::<f64>().is_err())
        .map(|name| (strsim::damerau_levenshtein(&folded, &fold(name)), name))
        .filter(|(distance, name)| *distance <= limit && *distance < name.chars().count().min(folded.chars().count()).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
        .or(partly.filter(|name| name.parse::<f64>().is_err()))
}

/// `` `a`, `b` and `c` ``
pub fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `` `a`, `b` or `c` ``
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|n| format!("`{n}`")).collect();
    match names.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The first line of a text, and the rest with the end of that line.
pub fn first_line(text: &str) -> (&str, &str) {
    text.split_at(text.find('\n').unwrap_or(text.len()))
}

/// Whether the first lines of two texts are the same except for numbers, such as process ids, ports and times: `1.00 s` and `847 ms`
/// are alike.
pub fn alike(one: &str, other: &str) -> bool {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let is_unit = |word: &str| crate::columns::UNITS.contains(&word.trim_end_matches([',', ';', '.', ')', ':']));
    let plain = |text: &str| {
        let mut words: Vec<String> = Vec::new();
        for word in first_line(text).0.split(' ') {
            // A number with its unit is one thing.
            if words.last().is_some_and(|last| is_number(last)) && is_unit(word) {
                let end = word.trim_start_matches(|c: char| !matches!(c, ',' | ';' | '.' | ')' | ':'));
                *words.last_mut().expect("there is one") = format!("0{end}");
                continue;
            }
            let mut plain = String::new();
            for c in word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }) {
                if !(c == '0' && plain.ends_with('0') || c == '.' && is_number(word)) {
                    plain.push(c);
                }
            }
            words.push(plain);
        }
        words.join(" ")
    };
    one == other || plain(one) == plain(other)
}

/// A text that comes from another program, made safe to show: characters that control a terminal (control characters of both
/// sets, except for line ends and tabs) or change the direction of the text after them become U+FFFD.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.contains(acts) { text.replace(acts, "\u{fffd}").into() } else { text.into() }
}

/// Whether a character has an effect when it is shown, other than those of line ends and tabs.
pub fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
    c.is_control() && !matches!(c, '\n' | '\t') || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A word as a shell reads it.
pub fn in_shell(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_numbers_and_their_units_are_alike() {
        assert!(alike("silent for 1.00 s, at most 1 %", "silent for 847 ms, at most 1 %"));
        assert!(alike("port 8001 is taken by pid 4100 (python3)", "port 8002 is taken by pid 77 (python3)"));
        assert!(!alike("port 8001 is taken", "port 8001 is free") && !alike("1 s", "1 s more"));
        assert!(alike("the same\nand 1", "the same\nand more"));
    }

    #[test]
    fn no_text_of_others_moves_the_cursor_or_turns_the_line() {
        assert_eq!(
            harmless("a\x1b[2J\r\x07\u{9b}31m\u{7f}\u{202e}b\n\tc\u{fc}"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}\u{fffd}b\n\tc\u{fc}"
        );
        assert_eq!(harmless("\u{200e}\u{200f}\u{61c}\u{2066}"), "\u{fffd}".repeat(4));
        assert!(matches!(harmless("`plain` \n"), Cow::Borrowed(_)));
    }

    #[test]
    fn texts_are_alike_that_differ_in_numbers_of_their_first_lines() {
        let one = "port 8001 is taken by pid 4100 (python3)\n  | one";
        assert!(alike(one, "port 81 is taken by pid 9 (python3)\n  | two"));
        assert!(!alike(one, "port 8001 is taken by pid 4100 (python)"));
        assert!(alike("took 1.5 s", "took 15 s") && !alike("took 1.5 s", "took 15 tries"));
        assert_eq!(first_line(one), ("port 8001 is taken by pid 4100 (python3)", "\n  | one"));
        assert_eq!(first_line("one"), ("one", ""));
    }

    #[test]
    fn suggestions_are_near_and_never_numbers() {
        assert_eq!(nearest("prot", ["port", "ports"]), Some("port"));
        assert_eq!(nearest("set_up", ["set-up"]), Some("set-up"));
        assert_eq!(nearest("gt", ["get", "put"]), Some("get"));
        assert_eq!(nearest("SIGTERM", ["INT", "TERM"]), Some("TERM"));
        assert_eq!(nearest("100", ["10", "1000"]), None);
        assert_eq!(nearest("a", ["b", "c"]), None);
    }

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        let words = ["a=1", "", "it's", "$(rm)", "results/a/20260101T000000Z-1", "my runs/it's"].map(in_shell);
        assert_eq!(words, ["a=1", "''", r"'it'\''s'", "'$(rm)'", "results/a/20260101T000000Z-1", r"'my runs/it'\''s'"]);
    }
}
