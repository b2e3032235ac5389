//! Quantities as people write them: sizes and durations. Parsing and printing are inverses.
//!
//! Knows nothing of YAML; `schema` calls it and adds the position of a mistake.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

/// A number of bytes, written `512`, `10KiB`, `1.5MiB`, `2 GB`.
///
/// `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Splits `12.5 MiB` into its number and its unit: the one rule for numbers, wherever a unit may follow. `1e1` is 10; `None` if it is
/// not a number, or begins with a 0 before another digit.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let (digits, unit) = split_number(text.trim());
    // To some programs `010` is 8.
    if begins_with_zero(&digits) {
        return None;
    }
    Some((digits.parse().ok()?, unit.trim()))
}

/// The number at the start of a text, without `_` between its digits, and what follows it.
fn split_number(text: &str) -> (String, &str) {
    let is_digit = |c: char| c.is_ascii_digit();
    let mut end = text.find(|c: char| !is_digit(c) && c != '.' && c != '_').unwrap_or(text.len());
    // An exponent has digits: the `e` of a unit has none.
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']).filter(|_| end > 0) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let length = digits.find(|c: char| !is_digit(c)).unwrap_or(digits.len());
        if length > 0 {
            end = text.len() - digits.len() + length;
        }
    }
    (text[..end].replace('_', ""), &text[end..])
}

/// Whether a number begins with a 0 before another digit.
fn begins_with_zero(digits: &str) -> bool {
    digits.strip_prefix('0').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

impl Bytes {
    /// Reads a size; `None` if `text` is not a size.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text)?;
        let factor = match unit {
            "" => 1,
            "KB" | "K" | "k" => return None, // 1000 or 1024? The writer must say.
            unit => BYTE_UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        let bytes = number * factor as f64;
        (bytes.fract() == 0.0 && bytes <= u64::MAX as f64 / 2.0).then_some(Self(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, factor) in BYTE_UNITS {
            if self.0 >= factor && self.0.is_multiple_of(factor) && factor > 1 {
                return write!(f, "{}{name}", self.0 / factor);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Reads a rate such as `500/s`, `30/min`, `2.5/s` or `500` (per second), in events per second; `None` if `text` is not a rate above 0.
pub fn parse_rate(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    let per = match unit.trim_start_matches('/').trim() {
        "" if unit.is_empty() => 1.0,
        "s" if unit.starts_with('/') => 1.0,
        "min" | "m" if unit.starts_with('/') => 60.0,
        "h" if unit.starts_with('/') => 3600.0,
        _ => return None,
    };
    Some(number / per).filter(|rate| *rate > 0.0 && rate.is_finite())
}

/// Reads a rate of bits such as `20Mbit/s`, `1Gbit/s` or `500kbit/s`, in bits per second; `None` if `text` is not a rate above 0.
pub fn parse_bit_rate(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    let unit = unit.trim().strip_suffix("bit/s")?;
    let factor = match unit {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    Some(number * factor).filter(|rate| *rate > 0.0 && rate.is_finite())
}

/// Reads a percentage such as `0.1%`, as a fraction of 1; `None` if `text` is not a percentage.
pub fn parse_percent(text: &str) -> Option<f64> {
    let (number, unit) = split_unit(text)?;
    (unit == "%" && number.is_finite()).then_some(number / 100.0)
}

const TIME_UNITS: [(&str, u64); 6] =
    [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// Units that may be written but are never printed; hours are printed instead.
const DAY: (&str, u64) = ("d", 86_400_000_000_000);

/// The longest time that anything here may take: a clock that counts nanoseconds has room for the sum of many such times.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Reads a duration such as `500ms`, `2.5s`, `1m30s`, `90d`; `None` if it is not a duration, or longer than [`LONGEST`].
pub fn parse_duration(text: &str) -> Option<Duration> {
    any_duration(text).filter(|duration| *duration <= LONGEST)
}

/// Whether a text is a valid duration except that it is longer than [`LONGEST`].
pub fn is_too_long(text: &str) -> bool {
    any_duration(text).is_some_and(|duration| duration > LONGEST)
}

/// Reads a duration of any length; more than 584 years count as 584 years.
fn any_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    let mut last = u64::MAX;
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, behind) = split_number(rest);
        // `1m05s` is how clocks show it.
        if last == u64::MAX && begins_with_zero(&digits) {
            return None;
        }
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let number: f64 = digits.parse().ok()?;
        let unit = match behind[..unit_end].trim() {
            "min" => "m",
            "µs" => "us",
            unit => unit,
        };
        let factor = TIME_UNITS.iter().chain([&DAY]).find(|(name, _)| *name == unit)?.1;
        if factor >= last {
            return None; // `1s2m`: units go from the largest to the smallest.
        }
        last = factor;
        total = total.saturating_add((number * factor as f64).round() as u64);
        rest = behind[unit_end..].trim_start();
    }
    Some(Duration::from_nanos(total))
}

/// A duration in nanoseconds, as clocks of this program count; more than 584 years count as 584 years.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Prints a duration so that [`parse_duration`] reads the same one: `1m30s`, `1s500ms`.
pub fn exact_duration(duration: Duration) -> String {
    let mut nanos = nanos(duration);
    if nanos == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (name, factor) in TIME_UNITS {
        if nanos >= factor {
            text += &format!("{}{name}", nanos / factor);
            nanos %= factor;
        }
    }
    text
}

/// Prints a duration with three significant digits for a person: `1.23 ms`, `45.6 s`, `3m 20s`.
pub fn human_duration(nanos: f64) -> String {
    match nanos {
        n if !n.is_finite() => "–".to_owned(),
        n if n < 1e3 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{} µs", significant(n / 1e3)),
        n if n < 1e9 => format!("{} ms", significant(n / 1e6)),
        n if n < 120e9 => format!("{} s", significant(n / 1e9)),
        n if n < 7_200e9 => format!("{}m {:02}s", (n / 60e9) as u64, (n / 1e9) as u64 % 60),
        n => format!("{}h {:02}m", (n / 3_600e9) as u64, (n / 60e9) as u64 % 60),
    }
}

/// Prints a size with three significant digits for a person: `4.13 MiB`.
pub fn human_bytes(bytes: f64) -> String {
    match bytes {
        n if !n.is_finite() => "–".to_owned(),
        n if n < 1024.0 => format!("{n:.0} B"),
        n if n < 1048576.0 => format!("{} KiB", significant(n / 1024.0)),
        n if n < 1073741824.0 => format!("{} MiB", significant(n / 1048576.0)),
        n => format!("{} GiB", significant(n / 1073741824.0)),
    }
}

/// A ratio in words: one near 1 needs its third decimal, a large one does not, and a small one has three digits too.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        r if !r.is_finite() || r >= 10.0 => significant(r),
        r if r >= 0.0995 || r <= 0.0 => format!("{r:.3}"),
        r => {
            let zeros = (-r.log10()).floor().clamp(1.0, 9.0) as usize;
            format!("{r:.*}", zeros + 3)
        }
    }
}

/// Three significant digits without an exponent: `0.123`, `1.23`, `12.3`, `123`, `12 345`.
pub fn significant(number: f64) -> String {
    match number.abs() {
        n if !n.is_finite() => "–".to_owned(),
        n if n >= 99.95 => grouped(number.round()),
        n if n >= 9.995 => format!("{number:.1}"),
        n if n >= 0.9995 || n == 0.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// A number that a person typed or might type: `1`, `0.5`, `101.5`; six significant digits, without trailing zeros.
pub fn plain(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number == 0.0 { "0".to_owned() } else { "–".to_owned() };
    }
    let before = std::iter::successors(Some(number.abs()), |n| Some(n / 10.0)).take_while(|n| *n >= 1.0).count();
    let text = format!("{number:.*}", 6_usize.saturating_sub(before));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number of things: `64`, `12 345`.
pub fn count(number: u64) -> String {
    grouped(number as f64)
}

/// A whole number with a thin gap between thousands: `12 345`.
fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && digits.len() > 4 {
            text.push(' ');
        }
        text.push(digit);
    }
    if number < 0.0 { format!("-{text}") } else { text }
}

/// A text as it appears inside a JSON string.
pub fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// A text as one part of a path, or as a value in a query: all but letters, digits, `-`, `.`, `_` and `~` is percent-encoded
/// (RFC 3986, 2.3).
pub fn in_url(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => {
                // Writing into a text cannot fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

/// A share in words: `1 %`, `0.1 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", plain(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_alike_whatever_their_unit() {
        assert_eq!(parse_duration("1e1s"), Some(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5e-3s"), Some(Duration::from_micros(1500)));
        assert_eq!(parse_percent("1e1%"), Some(0.1));
        assert_eq!((parse_rate("1e1/s"), Bytes::parse("1e1KiB")), (Some(10.0), Some(Bytes(10_240))));
        assert_eq!(parse_bit_rate("1e1Mbit/s"), Some(1e7));
        let refused = [parse_duration("010s").is_none(), parse_percent("010%").is_none(), parse_rate("010/s").is_none()];
        assert_eq!(refused, [true; 3]);
        assert!(Bytes::parse("010KiB").is_none() && parse_bit_rate("010kbit/s").is_none() && parse_duration("00s").is_none());
        assert_eq!(parse_duration("1m05s"), Some(Duration::from_secs(65)), "as clocks show it");
        assert_eq!((parse_percent("0.5%"), parse_percent("0%"), parse_percent("1 %")), (Some(0.005), Some(0.0), Some(0.01)));
        assert!(parse_percent("-1%").is_none() && parse_percent("inf%").is_none() && parse_percent("1e999%").is_none());
        assert!(parse_duration("1es").is_none() && parse_duration("e1s").is_none() && parse_percent("%").is_none());
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(Bytes::parse("10KiB"), Some(Bytes(10240)));
        assert_eq!(Bytes::parse("1.5 MiB"), Some(Bytes(1_572_864)));
        assert_eq!(Bytes::parse("2kB"), Some(Bytes(2000)));
        assert_eq!(Bytes::parse("512"), Some(Bytes(512)));
        for wrong in ["", "KiB", "10 apples", "10KB", "0.3B", "-1B"] {
            assert_eq!(Bytes::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("2.5s"), Some(Duration::from_millis(2500)));
        assert_eq!(parse_duration("100us"), Some(Duration::from_micros(100)));
        for wrong in ["", "5", "s", "1s2m", "1x", "-1s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
            assert!(!is_too_long(wrong), "{wrong}");
        }
        assert_eq!(parse_duration("8760h"), Some(LONGEST));
        let endless = format!("{}h", "9".repeat(400));
        for too_long in ["8761h", "8760h1ns", "9999999999999999h", &endless] {
            assert_eq!(parse_duration(too_long), None, "{too_long}");
            assert!(is_too_long(too_long), "{too_long}");
        }
    }

    #[test]
    fn what_stands_in_a_url_means_nothing_there() {
        assert_eq!(in_url("a/b?c=d&e#f g"), "a%2Fb%3Fc%3Dd%26e%23f%20g");
        assert_eq!(in_url("\u{fc}%\r\n-._~"), "%C3%BC%25%0D%0A-._~");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(
            [1.0, 0.001, 101.5, 0.1 + 0.2, 123_456_789.0, 0.0].map(plain),
            ["1", "0.001", "101.5", "0.3", "123456789", "0"]
        );
        assert_eq!(significant(1234.5), "1235");
        assert_eq!(significant(12345.6), "12 346");
        assert_eq!(significant(0.01234), "0.012");
        assert_eq!(human_duration(1_234_567.0), "1.23 ms");
        assert_eq!(human_duration(200e9), "3m 20s");
        assert_eq!(human_bytes(4.5 * 1048576.0), "4.50 MiB");
    }

    proptest! {
        #[test]
        fn a_printed_size_is_read_back(n in 0..u64::MAX / 4096) {
            prop_assume!(n < 1 << 52);
            prop_assert_eq!(Bytes::parse(&Bytes(n).to_string()), Some(Bytes(n)));
        }

        #[test]
        fn a_printed_duration_is_read_back(n in 0..1_u64 << 52) {
            let duration = Duration::from_nanos(n);
            prop_assert_eq!(parse_duration(&exact_duration(duration)), Some(duration));
        }
    }
}
