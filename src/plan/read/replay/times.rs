//! Time stamps of logs, as nanoseconds since 1970. Read by hand: a log of a million lines has as many of them.

const SECOND_NS: u64 = 1_000_000_000;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Hinnant, *chrono-compatible low-level date algorithms*,
/// 2021).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A whole number of decimal digits.
fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// A date and a time of day with an offset in seconds, if all are possible.
fn instant(date: [i64; 3], time: [i64; 3], offset: i64) -> Option<u64> {
    let ([year, month, day], [hour, minute, second]) = (date, time);
    // A leap second is the first of the next minute.
    let possible = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    possible.then_some(u64::try_from(seconds).ok()?.checked_mul(SECOND_NS)?)
}

/// `+0100`, `-07:00` or `Z`, in seconds.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = match zone.split_first()? {
        (b'Z' | b'z', []) => return Some(0),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        4 => rest.split_at(2),
        5 if rest[2] == b':' => (&rest[..2], &rest[3..]),
        _ => return None,
    };
    Some(sign * (number(hours)? * 3600 + number(minutes)? * 60))
}

/// `10/Oct/2000:13:55:36 -0700`: the time of a combined log.
pub(super) fn combined(text: &[u8]) -> Option<u64> {
    const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let well_formed =
        text.len() >= 22 && (text[2], text[6], text[11], text[14], text[17], text[20]) == (b'/', b'/', b':', b':', b':', b' ');
    if !well_formed {
        return None;
    }
    let month = MONTHS.iter().position(|month| *month == &text[3..6])? as i64 + 1;
    let date = [number(&text[7..11])?, month, number(&text[..2])?];
    let time = [number(&text[12..14])?, number(&text[15..17])?, number(&text[18..20])?];
    instant(date, time, offset(&text[21..])?)
}

/// `2026-11-30T10:00:00.25Z` (RFC 3339).
pub(super) fn rfc3339(text: &[u8]) -> Option<u64> {
    let well_formed = text.len() >= 20
        && (text[4], text[7], text[13], text[16]) == (b'-', b'-', b':', b':')
        && matches!(text[10], b'T' | b't' | b' ');
    if !well_formed {
        return None;
    }
    let date = [number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?];
    let time = [number(&text[11..13])?, number(&text[14..16])?, number(&text[17..19])?];
    let mut rest = &text[19..];
    let mut fraction = 0;
    if rest.first() == Some(&b'.') {
        let digits = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut unit = SECOND_NS;
        for digit in rest[1..=digits].iter().take(9) {
            unit /= 10;
            fraction += u64::from(digit - b'0') * unit;
        }
        rest = &rest[1 + digits..];
    }
    Some(instant(date, time, offset(rest)?)? + fraction)
}

/// A number of seconds since 1970, or from certain sizes on of milli-, micro- or nanoseconds.
pub(super) fn since_1970(number: f64) -> Option<u64> {
    let per_second = match number {
        n if n < 0.0 || !n.is_finite() => return None,
        n if n < 1e11 => 1.0,
        n if n < 1e14 => 1e3,
        n if n < 1e17 => 1e6,
        n if n < 1.8e19 => 1e9,
        _ => return None,
    };
    // Whole seconds apart: the fraction of a double of this size has some hundred nanoseconds.
    let seconds = (number / per_second).floor();
    let rest = ((number - seconds * per_second) / per_second * 1e9).round().clamp(0.0, 999_999_999.0);
    Some(seconds as u64 * SECOND_NS + rest as u64)
}

/// Any of these in a text.
pub(super) fn any_time(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let bytes = text.as_bytes();
    let exact = || {
        // `1700000000.123` of nginx, whose digits are known exactly.
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if seconds.is_empty() || seconds.len() > 10 || !plain(seconds) || !plain(fraction) {
            return None;
        }
        let fraction: u64 = format!("{fraction:0<9}")[..9].parse().ok()?;
        Some(seconds.parse::<u64>().ok()? * SECOND_NS + fraction)
    };
    rfc3339(bytes).or_else(|| combined(bytes)).or_else(exact).or_else(|| since_1970(text.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_all_notations_are_read() {
        let at = 971_211_336 * SECOND_NS;
        assert_eq!(combined(b"10/Oct/2000:13:55:36 -0700"), Some(at));
        assert_eq!(combined(b"10/Oct/2000:20:55:36 +0000"), Some(at));
        assert_eq!(rfc3339(b"2000-10-10T20:55:36Z"), Some(at));
        assert_eq!(rfc3339(b"2000-10-10T22:55:36.25+02:00"), Some(at + SECOND_NS / 4));
        assert_eq!(any_time("971211336.123"), Some(at + 123_000_000));
        assert_eq!(any_time("[10/Oct/2000:13:55:36 -0700]"), Some(at));
        assert_eq!(since_1970(971_211_336.5), Some(at + SECOND_NS / 2));
        assert_eq!(since_1970(971_211_336_250.0), Some(at + SECOND_NS / 4));
        assert_eq!(since_1970(971_211_336_250_000.0), Some(at + SECOND_NS / 4));
        for strange in ["", "now", "10/Okt/2000:13:55:36 -0700", "10/Oct/2000:13:55:36", "32/Oct/2000:13:55:36 +0000", "-1"] {
            assert_eq!(any_time(strange), None, "{strange}");
        }
        assert_eq!(rfc3339(b"2000-13-10T20:55:36Z"), None);
        assert_eq!(rfc3339(b"2000-10-10T20:55:36.Z"), None);
    }

    proptest! {
        /// As another implementation has it.
        #[test]
        fn dates_are_those_of_the_calendar(seconds in 0_i64..4_000_000_000, nanos in 0_i32..1_000_000_000) {
            let at = jiff::Timestamp::new(seconds, nanos).unwrap();
            let expected = seconds as u64 * SECOND_NS + nanos as u64;
            prop_assert_eq!(rfc3339(at.to_string().as_bytes()), Some(expected));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0_u8..=255, 0..40)) {
            let _ = (combined(&bytes), rfc3339(&bytes));
            let _ = any_time(&String::from_utf8_lossy(&bytes));
        }
    }
}
