//! A row from a line: the named groups of a regular expression, each converted to its kind.
//!
//! The time of a match depends only on the length of the line: the `regex` crate does not backtrack, so no line makes it
//! slow.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

use plan::{FieldKind, Tap, TapField, TapSource};
use vocabulary::choices::Decimal;
use vocabulary::key_number;
use vocabulary::rows::TapValue;

use super::numbers::number;
use super::tor;

/// Values of a field that are not of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// How many there were.
    pub count: u64,
    /// The first of them, in words.
    pub first: String,
}

/// What turns the lines of one tap into rows.
#[derive(Debug)]
pub struct LineRule {
    /// None for events of a control port.
    regex: Option<regex::Regex>,
    /// Each field with the number of its group.
    fields: Vec<(TapField, usize)>,
    /// The number of the group that is the key.
    key: Option<usize>,
    /// By the name of the field.
    misfits: BTreeMap<String, Misfits>,
}

/// The fields of a row, and the number of its key.
pub type Fields = (Vec<TapValue>, Option<u64>);

impl LineRule {
    /// Prepares a tap.
    ///
    /// # Errors
    /// When its pattern is not a regular expression.
    pub fn new(tap: &Tap) -> Result<Self, regex::Error> {
        if let TapSource::Control { .. } = tap.source {
            return Ok(Self { regex: None, fields: Vec::new(), key: None, misfits: BTreeMap::new() });
        }
        let regex = regex::Regex::new(&tap.regex)?;
        let group = |name: &str| regex.capture_names().position(|group| group == Some(name));
        let fields = tap.fields.iter().filter_map(|field| Some((field.clone(), group(&field.name)?))).collect();
        let key = tap.join.as_ref().and_then(|join| group(&join.key));
        Ok(Self { regex: Some(regex), fields, key, misfits: BTreeMap::new() })
    }

    /// The fields of a line without its line end; none if the line does not match. `read_unix`: when the line
    /// was read, since 1970, used to complete instants that have no date or no year.
    pub fn fields(&mut self, line: &[u8], read_unix: Duration) -> Option<Fields> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let Some(regex) = &self.regex else { return Some((tor::fields(&line)?, None)) };
        let groups = regex.captures(&line)?;
        let mut values = Vec::with_capacity(self.fields.len());
        for (field, group) in &self.fields {
            values.push(match groups.get(*group) {
                None => TapValue::Absent,
                Some(text) => value(&field.kind, text.as_str(), read_unix).unwrap_or_else(|words| {
                    let misfits = self.misfits.entry(field.name.clone()).or_insert_with(|| Misfits { count: 0, first: words });
                    misfits.count += 1;
                    TapValue::Absent
                }),
            });
        }
        let key = self.key.and_then(|group| groups.get(group)).map(|text| key_number(text.as_str()));
        Some((values, key))
    }

    /// Values that were not of the kind of their field, by the name of the field.
    pub fn misfits(self) -> BTreeMap<String, Misfits> {
        self.misfits
    }
}

/// Converts a text to a kind.
///
/// # Errors
/// Why that is not possible, in words.
fn value(kind: &FieldKind, text: &str, read_unix: Duration) -> Result<TapValue, String> {
    let unix = |scale: f64, unit: &str| {
        let ns = text.trim().parse::<f64>().ok().map(|n| n * scale).filter(|ns| ns.abs() < i64::MAX as f64);
        // A double holds present-day nanoseconds to 0.2 µs only, so whole seconds are handled separately.
        let exact = exact_ns(text.trim(), scale as i64);
        let ns = exact.or(ns.map(|ns| ns as i64));
        ns.map(TapValue::Time).ok_or_else(|| format!("`{}` is not a time in {unit} since 1970", shown(text)))
    };
    match kind {
        FieldKind::Text => Ok(TapValue::Text(text.to_owned())),
        FieldKind::Number => number(text, Decimal::Point).map(TapValue::Number),
        FieldKind::Unix => unix(1e9, "seconds"),
        FieldKind::UnixMs => unix(1e6, "milliseconds"),
        FieldKind::Time(format) => time(format, text, read_unix)
            .and_then(|at| i64::try_from(at.as_nanosecond()).ok())
            .map(TapValue::Time)
            .ok_or_else(|| format!("`{}` is not a time in the format `{format}`", shown(text))),
    }
}

/// The nanoseconds of a decimal number in a unit of this many nanoseconds; none if the number has another form.
fn exact_ns(text: &str, unit_ns: i64) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = format!("{fraction:0<9}").parse::<i64>().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(unit_ns)?.checked_add(part.checked_mul(unit_ns)? / 1_000_000_000)
}

/// A time stamp; in UTC if it has no offset. Without a year, or without a date, the instant nearest to when it was read.
fn time(format: &str, text: &str, read_unix: Duration) -> Option<Timestamp> {
    let parsed = jiff::fmt::strtime::parse(format, text.trim()).ok()?;
    if let Some(timestamp) = parsed.timestamp() {
        return Some(timestamp);
    }
    let offset = parsed.offset().unwrap_or(Offset::UTC).to_time_zone();
    let read = Timestamp::from_duration(jiff::SignedDuration::try_from(read_unix).ok()?).ok()?;
    let of_day = parsed.to_time().ok()?;
    let with_date = |date: jiff::civil::Date| date.at_time(of_day, &offset);
    if let Ok(date) = parsed.to_date() {
        return with_date(date);
    }
    let today = read.to_zoned(offset.clone()).date();
    let candidates: Vec<jiff::civil::Date> = match (parsed.month(), parsed.day()) {
        (None, None) => [today.yesterday(), Ok(today), today.tomorrow()].into_iter().flatten().collect(),
        _ => (-1..=1).filter_map(|years| of_year(&parsed, today.year() + years)).collect(),
    };
    let distance = |at: &Timestamp| at.duration_until(read).unsigned_abs();
    candidates.into_iter().filter_map(with_date).min_by_key(distance)
}

trait AtTime {
    /// The instant of this time on this date.
    fn at_time(self, time: jiff::civil::Time, zone: &TimeZone) -> Option<Timestamp>;
}

impl AtTime for jiff::civil::Date {
    fn at_time(self, time: jiff::civil::Time, zone: &TimeZone) -> Option<Timestamp> {
        Some(self.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp())
    }
}

fn of_year(parsed: &BrokenDownTime, year: i16) -> Option<jiff::civil::Date> {
    jiff::civil::Date::new(year, parsed.month()?, parsed.day()?).ok()
}

/// As much of a text as an error shows.
fn shown(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

/// The current time, since the start of 1970.
pub fn unix_now() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use plan::TapJoin;

    use super::*;

    /// 2026-11-29T10:20:30Z.
    const READ: Duration = Duration::from_secs(1_795_947_630);

    fn rule(regex: &str, fields: &[(&str, FieldKind)], key: Option<&str>) -> LineRule {
        let tap = Tap {
            on: None,
            name: "t".to_owned(),
            source: TapSource::Log("web".to_owned()),
            regex: regex.to_owned(),
            fields: fields.iter().map(|(name, kind)| TapField { name: (*name).to_owned(), kind: kind.clone() }).collect(),
            join: key.map(|key| TapJoin { workload: "w".to_owned(), key: key.to_owned() }),
            metrics: Vec::new(),
            required: false,
        };
        LineRule::new(&tap).unwrap()
    }

    fn text(text: &str) -> TapValue {
        TapValue::Text(text.to_owned())
    }

    #[test]
    fn groups_are_fields_and_what_does_not_match_is_no_row() {
        let fields = [("id", FieldKind::Text), ("ms", FieldKind::Number), ("why", FieldKind::Text)];
        let mut rule = rule(r"handled (?<id>\S+) in (?<ms>\S+) ms(?: because (?<why>.*))?$", &fields, Some("id"));
        let row = rule.fields(b"handled 17 in 2.5 ms\r", READ).unwrap();
        assert_eq!(row, (vec![text("17"), TapValue::Number(2.5), TapValue::Absent], Some(17)));
        let row = rule.fields(b"12:00 handled a\0\xff in 1e3 ms because of \xc3\xa9", READ).unwrap();
        assert_eq!(row.0, [text("a\0\u{fffd}"), TapValue::Number(1000.0), text("of é")]);
        assert_eq!(row.1, Some(key_number("a\0\u{fffd}")));
        for line in [&b""[..], b"handled", b"\r", &[0xff; 100]] {
            assert_eq!(rule.fields(line, READ), None);
        }
        assert_eq!(rule.fields(b"handled 18 in no ms", READ).unwrap().0[1], TapValue::Absent);
        assert_eq!(rule.fields(b"handled 19 in 0,5 ms", READ).unwrap().1, Some(19));
        let misfits = rule.misfits();
        assert_eq!(misfits.keys().collect::<Vec<_>>(), ["ms"]);
        assert_eq!((misfits["ms"].count, misfits["ms"].first.as_str()), (2, "`no` is not a number"));
    }

    #[test]
    fn a_pattern_that_makes_others_slow_is_as_fast_as_any() {
        let mut rule = rule(r"^(?<a>(x+x+)+)y$", &[("a", FieldKind::Text)], None);
        let begun = std::time::Instant::now();
        assert_eq!(rule.fields(&[b'x'; 65_536], READ), None);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn time_stamps_are_read_in_their_format_and_completed() {
        let of = |kind: FieldKind, text: &str| match value(&kind, text, READ) {
            Ok(TapValue::Time(ns)) => Ok(Timestamp::from_nanosecond(ns.into()).unwrap().to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(words) => Err(words),
        };
        let format = |format: &str, text: &str| of(FieldKind::Time(format.to_owned()), text).unwrap();
        assert_eq!(format("%Y-%m-%dT%H:%M:%S.%f", "2026-11-29T10:20:29.123456"), "2026-11-29T10:20:29.123456Z");
        assert_eq!(format("%Y-%m-%d %H:%M:%S%.f %z", "2026-11-29 10:20:29 +0100"), "2026-11-29T09:20:29Z");
        assert_eq!(format("%b %d %H:%M:%S%.f", "Nov 29 10:20:31.001"), "2026-11-29T10:20:31.001Z");
        assert_eq!(format("%b %d %H:%M:%S", "Jan 01 00:00:00"), "2027-01-01T00:00:00Z", "nearer than in this year");
        assert_eq!(format("%H:%M:%S", "22:10:00"), "2026-11-29T22:10:00Z");
        assert_eq!(format("%H:%M:%S", "23:00:00"), "2026-11-28T23:00:00Z", "nearer than on this day");
        assert_eq!(of(FieldKind::Unix, "1795947630.123456789").unwrap(), "2026-11-29T10:20:30.123456789Z");
        assert_eq!(of(FieldKind::UnixMs, "1795947630123.25").unwrap(), "2026-11-29T10:20:30.12325Z");
        assert_eq!(of(FieldKind::Unix, "1.795947630e9").unwrap(), "2026-11-29T10:20:30Z");
        assert_eq!(of(FieldKind::Unix, "soon").unwrap_err(), "`soon` is not a time in seconds since 1970");
        assert_eq!(of(FieldKind::UnixMs, "1e300").unwrap_err(), "`1e300` is not a time in milliseconds since 1970");
        let kind = FieldKind::Time("%H:%M".to_owned());
        assert_eq!(of(kind, "25:00").unwrap_err(), "`25:00` is not a time in the format `%H:%M`");
    }
}
