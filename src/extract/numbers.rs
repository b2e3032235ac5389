//! Numbers as programs print them for people: with separated thousands, with a suffix for thousands, and with the decimal mark
//! of a country.
//!
//! `0,01` read without its comma is a hundred times too large, and the mistake goes unnoticed. So a separator counts only
//! where it can be nothing else; anything ambiguous is not a number, with a message that says why.

use vocabulary::choices::Decimal;

/// How much of a text an error shows.
const SHOWN: usize = 60;

/// Separators of thousands that programs use for nothing else: the no-break spaces, wide and narrow.
const SPACES: [char; 2] = ['\u{a0}', '\u{202f}'];

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It contains something that cannot be part of a number.
    Other,
    /// A separator of thousands that is not between groups of three digits.
    Groups,
    /// Its last character is such a separator: most likely punctuation.
    AtTheEnd,
    /// Thousands are separated, but the first digit is 0.
    LeadingZero,
    /// Thousands are separated, but there is an exponent: such numbers have one digit before their decimal mark.
    Exponent,
}

/// Reads `text` as a number. `decimal`: its decimal mark; the other one of point and comma may separate thousands.
///
/// # Errors
/// In words: the text, what is wrong with it, and what to do about it.
pub(super) fn number(text: &str, decimal: Decimal) -> Result<f64, String> {
    let fault = match read(text, decimal) {
        Ok(number) => return Ok(number),
        Err(fault) => fault,
    };
    let text = text.trim();
    if text.is_empty() {
        return Err("an empty text is not a number".to_owned());
    }
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    let group = match decimal {
        Decimal::Point => "comma",
        Decimal::Comma => "point",
    };
    let why = match fault {
        Fault::Other => String::new(),
        Fault::Groups => format!(": a {group} counts only between groups of three digits"),
        Fault::AtTheEnd => format!(": it ends with a {group}; match it without that"),
        Fault::LeadingZero => format!(": a {group} separates thousands, and such a number does not start with 0"),
        Fault::Exponent => format!(": a {group} separates thousands, and such a number has no exponent"),
    };
    let hint = match decimal {
        _ if fault == Fault::AtTheEnd || read(text, decimal.other()).is_err() => "",
        Decimal::Point if text.contains(',') => "; write `decimal: comma` if the comma is a decimal mark",
        Decimal::Point => "; write `decimal: comma` if the point separates thousands",
        Decimal::Comma if text.contains('.') => "; write `decimal: point` if the point is a decimal mark",
        Decimal::Comma => "; write `decimal: point` if the comma separates thousands",
    };
    Err(format!("`{shown}{more}` is not a number{why}{hint}"))
}

fn read(text: &str, decimal: Decimal) -> Result<f64, Fault> {
    let (mark, group) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let text = text.trim();
    if text.ends_with(group) {
        return Err(Fault::AtTheEnd);
    }
    let units = [('k', 1e3), ('K', 1e3), ('M', 1e6), ('G', 1e9)];
    let unit = units.iter().find_map(|(unit, factor)| text.strip_suffix(*unit).map(|rest| (rest.trim_end(), *factor)));
    let (text, factor) = unit.unwrap_or((text, 1.0));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let (digits, exponent) = match digits.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = digits.split_once(mark).unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let separator = whole.chars().find(|c| *c == group || SPACES.contains(c));
    let whole = match separator {
        None => whole.to_owned(),
        Some(separator) => joined(whole, separator, exponent.is_some())?,
    };
    // A separator of thousands after the decimal mark is also in the wrong place.
    if fraction.contains(group) {
        return Err(Fault::Groups);
    }
    let exponent = exponent.unwrap_or("0");
    let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.len() + fraction.len() == 0 || power.is_empty() || ![&whole, fraction, power].into_iter().all(is_digits) {
        return Err(Fault::Other);
    }
    let number: f64 = format!("{sign}{whole}.{fraction}e{exponent}").parse().map_err(|_| Fault::Other)?;
    let number = number * factor;
    if number.is_finite() { Ok(number) } else { Err(Fault::Other) }
}

/// The digits of `1,234,567` without the separators.
fn joined(whole: &str, separator: char, exponent: bool) -> Result<String, Fault> {
    let groups: Vec<&str> = whole.split(separator).collect();
    if !groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_digit())) {
        // `1.234,5x` cannot be a number with any choice of separators; two separators in one number may be.
        let separators = |c: char| c.is_ascii_digit() || c == '.' || c == ',' || SPACES.contains(&c);
        return Err(if whole.chars().all(separators) { Fault::Groups } else { Fault::Other });
    }
    if !(1..=3).contains(&groups[0].len()) || groups[1..].iter().any(|g| g.len() != 3) {
        return Err(Fault::Groups);
    }
    if groups[0].starts_with('0') {
        return Err(Fault::LeadingZero);
    }
    if exponent {
        return Err(Fault::Exponent);
    }
    Ok(groups.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POINT: Decimal = Decimal::Point;
    const COMMA: Decimal = Decimal::Comma;

    #[test]
    fn numbers_are_read_as_programs_print_them() {
        for (text, value) in [
            ("7", 7.0),
            (" 7 \n", 7.0),
            ("-2", -2.0),
            ("+2.5", 2.5),
            ("1e3", 1000.0),
            ("1.5E-2", 0.015),
            ("1.5e+2", 150.0),
            (".5", 0.5),
            ("1.", 1.0),
            ("3.2k", 3200.0),
            ("3.2 k", 3200.0),
            ("1M", 1e6),
            ("2G", 2e9),
            ("1,234", 1234.0),
            ("1,234.5", 1234.5),
            ("-1,234.5", -1234.5),
            ("12,345,678", 12_345_678.0),
            ("100,000", 100_000.0),
            ("1,234k", 1_234_000.0),
            ("1\u{202f}234\u{202f}567.5", 1_234_567.5),
            ("0.001", 0.001),
            ("007", 7.0),
        ] {
            assert_eq!(number(text, POINT), Ok(value), "{text}");
        }
    }

    #[test]
    fn a_comma_that_may_be_a_decimal_mark_is_never_dropped() {
        let hint = "; write `decimal: comma` if the comma is a decimal mark";
        for (text, why) in [
            ("0,01", ": a comma counts only between groups of three digits"),
            ("1,5", ": a comma counts only between groups of three digits"),
            (",5", ": a comma counts only between groups of three digits"),
            ("-1,5", ": a comma counts only between groups of three digits"),
            ("1234,567", ": a comma counts only between groups of three digits"),
            ("1,2345", ": a comma counts only between groups of three digits"),
            ("1,5k", ": a comma counts only between groups of three digits"),
            ("1,5e3", ": a comma counts only between groups of three digits"),
            ("1.234,5", ": a comma counts only between groups of three digits"),
            // Three digits after the comma, and still not thousands: both would have been read as thousands.
            ("0,375", ": a comma separates thousands, and such a number does not start with 0"),
            ("1,234e-03", ": a comma separates thousands, and such a number has no exponent"),
        ] {
            assert_eq!(number(text, POINT), Err(format!("`{text}` is not a number{why}{hint}")), "{text}");
        }
        for (text, why) in [
            ("12,34,5", ": a comma counts only between groups of three digits"),
            ("1,234,56", ": a comma counts only between groups of three digits"),
            ("1,,234", ": a comma counts only between groups of three digits"),
            ("1,234.5,6", ": a comma counts only between groups of three digits"),
            ("1,", ": it ends with a comma; match it without that"),
            ("1.5,", ": it ends with a comma; match it without that"),
            ("1 234", ""),
            ("1_000", ""),
            ("1.2.3", ""),
            ("--1", ""),
            ("- 1", ""),
            ("1e", ""),
            ("e3", ""),
            (".", ""),
            ("k", ""),
            ("0x10", ""),
            ("12%", ""),
            ("NaN", ""),
            ("inf", ""),
            ("1e999", ""),
            ("1,234x", ""),
        ] {
            assert_eq!(number(text, POINT), Err(format!("`{text}` is not a number{why}")), "{text}");
        }
        assert_eq!(number(" ", POINT).unwrap_err(), "an empty text is not a number");
        let grouped = "`1.234.567` is not a number; write `decimal: comma` if the point separates thousands";
        assert_eq!(number("1.234.567", POINT).unwrap_err(), grouped);
        let long = number(&"x".repeat(1000), POINT).unwrap_err();
        assert!(long.len() < 100 && long.contains("x…`"), "{long}");
    }

    #[test]
    fn whoever_means_the_comma_says_so() {
        for (text, value) in [
            ("0,01", 0.01),
            ("1,5", 1.5),
            (",5", 0.5),
            ("1,234", 1.234),
            ("1.234,5", 1234.5),
            ("1.234", 1234.0),
            ("-3,2k", -3200.0),
            ("1,5e3", 1500.0),
            ("1\u{a0}234,5", 1234.5),
            ("42", 42.0),
        ] {
            assert_eq!(number(text, COMMA), Ok(value), "{text}");
        }
        let why = "a point counts only between groups of three digits; write `decimal: point` if the point is a decimal mark";
        for text in ["1.5", "0.01", "1,234.5"] {
            assert_eq!(number(text, COMMA), Err(format!("`{text}` is not a number: {why}")), "{text}");
        }
        let commas = "`12,345,678` is not a number; write `decimal: point` if the comma separates thousands";
        assert_eq!(number("12,345,678", COMMA).unwrap_err(), commas);
    }

    proptest! {
        /// `decimal: comma` swaps point and comma, and changes nothing else.
        #[test]
        fn both_marks_obey_the_same_rules(text in "[-+]?[0-9.,]{0,9}(e-?[0-9]{1,2})?[kM]?") {
            let swap = |c| match c { '.' => ',', ',' => '.', other => other };
            let swapped: String = text.chars().map(swap).collect();
            prop_assert_eq!(read(&text, POINT), read(&swapped, COMMA));
        }

        /// A text with two decimals is the same number with the given mark, and not a number with the other.
        #[test]
        fn what_was_printed_is_read_back(number in -1e9f64..1e9) {
            let text = format!("{number:.2}");
            prop_assert_eq!(super::number(&text, POINT).unwrap(), text.parse::<f64>().unwrap());
            prop_assert_eq!(super::number(&text.replace('.', ","), COMMA).unwrap(), text.parse::<f64>().unwrap());
            prop_assert!(super::number(&text.replace('.', ","), POINT).is_err());
        }

        #[test]
        fn no_text_is_a_panic(text in any::<String>()) {
            for decimal in [POINT, COMMA] {
                let _ = number(&text, decimal);
            }
        }
    }
}
