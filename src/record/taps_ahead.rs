//! Rows of a tap of a repetition that is still running, durable within a second: rows that exist nowhere else, because they were
//! read from a connection. Like `ahead` for transfers, with one file per tap.
//!
//! Instants count from the creation of the file; the start of the load is a line of its own.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::durable::Durable;
use super::files::json_line;
use super::taps::{LoadStart, MOST_ROWS, TapTable};
use super::{Error, status::TapStatus};
use plan::Tap;
use vocabulary::rows::{TapRow, TapValue};

/// How many bytes of a tap are kept here per repetition, so that a port that floods does not fill the disk.
const MOST_BYTES: u64 = 512 << 20;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    tap: String,
}

/// The other lines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// The start of the load: how long after the creation of the file, and the time since 1970.
    Start {
        after_ns: u64,
        unix_ns: u64,
    },
    Row {
        after_ns: u64,
        replica: Option<u32>,
        join_key: Option<u64>,
        values: Vec<Value>,
    },
}

/// A value of a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Value {
    Absent,
    Text(String),
    Number(f64),
    Time(i64),
}

impl From<&TapValue> for Value {
    fn from(value: &TapValue) -> Self {
        match value {
            TapValue::Text(text) => Self::Text(text.clone()),
            // JSON has no other numbers.
            TapValue::Number(number) if number.is_finite() => Self::Number(*number),
            TapValue::Time(time) => Self::Time(*time),
            TapValue::Number(_) | TapValue::Absent => Self::Absent,
        }
    }
}

impl From<Value> for TapValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Absent => Self::Absent,
            Value::Text(text) => Self::Text(text),
            Value::Number(number) => Self::Number(number),
            Value::Time(time) => Self::Time(time),
        }
    }
}

/// The name of the file of a tap, by the index of the tap in its cell.
pub(super) fn name(repetition: u32, tap: usize) -> String {
    format!(".run{repetition}-tap{tap}.jsonl")
}

/// The files of a repetition in the folder of its cell, which has this many taps; some of the files may not exist.
pub(super) fn files(folder: &Path, repetition: u32, taps: usize) -> impl Iterator<Item = PathBuf> {
    (0..taps).map(move |tap| folder.join(name(repetition, tap)))
}

/// Removes these files: their content exists elsewhere, or is not needed.
pub(super) fn remove(folder: &Path, repetition: u32, taps: usize) {
    for file in files(folder, repetition, taps) {
        let _ = std::fs::remove_file(file);
    }
}

/// The file of a tap while it is being written.
#[derive(Debug)]
pub struct TapAhead {
    lines: Durable,
    begun: Instant,
    rows: u64,
}

impl TapAhead {
    /// Starts the file of a tap of this name. If that fails, it is retried like every later write.
    pub fn new(path: &Path, tap: &str) -> Self {
        let head = json_line(&Head { tap: tap.to_owned() });
        Self { lines: Durable::begin(path, "rows of taps", head), begun: Instant::now(), rows: 0 }
    }

    /// Records the start of the load.
    pub fn set_start(&mut self, start: LoadStart) {
        let unix_ns = start.unix.as_nanos() as u64;
        self.lines.add(&json_line(&Line::Start { after_ns: self.after_ns(start.instant), unix_ns }), Instant::now());
    }

    /// Adds a row, which [`TapAhead::tick`] makes durable; a row for which there is no room here is only in the table.
    pub fn add(&mut self, row: &TapRow, now: Instant) {
        if self.rows >= MOST_ROWS || self.lines.bytes() >= MOST_BYTES {
            return;
        }
        self.rows += 1;
        let values = row.values.iter().map(Into::into).collect();
        let line = Line::Row { after_ns: self.after_ns(row.at), replica: row.replica, join_key: row.join_key, values };
        self.lines.add(&json_line(&line), now);
    }

    /// Makes durable what has waited long enough. Call this several times a second.
    pub fn tick(&mut self, now: Instant) {
        self.lines.tick(now);
    }

    /// Makes durable now whatever is waiting.
    pub fn flush(&mut self) {
        self.lines.flush();
    }

    fn after_ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.begun).as_nanos() as u64
    }
}

/// Makes the table of a tap from its file. `taps`: those of the cell. None if the file belongs to none of them.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`], [`Error::WriteTable`].
pub(super) fn salvage(file: &Path, taps: &[Tap], directory: &Path) -> Result<Option<TapStatus>, Error> {
    let unreadable = |source| Error::Read { path: file.to_owned(), source };
    let mut lines = std::io::BufReader::new(std::fs::File::open(file).map_err(unreadable)?);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        lines.read_until(b'\n', line).map_err(unreadable)
    };
    next(&mut line)?;
    let head = serde_json::from_slice::<Head>(&line).ok();
    let Some(tap) = head.and_then(|head| taps.iter().find(|tap| tap.name == head.tap)) else { return Ok(None) };
    let mut table = TapTable::new(directory, None, &tap.name, &tap.fields);
    // Any instant will do: only differences are written.
    let begun = Instant::now();
    let at = |after_ns| begun + Duration::from_nanos(after_ns);
    while next(&mut line)? > 0 {
        let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok());
        match whole {
            Some(Line::Start { after_ns, unix_ns }) => {
                table.set_start(LoadStart { instant: at(after_ns), unix: Duration::from_nanos(unix_ns) });
            }
            Some(Line::Row { after_ns, replica, join_key, values }) => {
                let values = values.into_iter().map(Into::into).collect();
                table.add(TapRow { at: at(after_ns), replica, join_key, values })?;
            }
            // The last line, which was being written.
            None => {}
        }
    }
    table.finish()?;
    let mut status = TapStatus { tap: tap.name.clone(), ..TapStatus::default() };
    (status.rows, status.dropped) = (table.rows, table.dropped);
    Ok(Some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let others = [".run7-ahead.jsonl", ".run7-partial", "run7", ".run7-tapx.jsonl", ".runx-tap1.jsonl", ".run17-tap0.jsonl"];
        for file in [name(7, 0), name(7, 3)].iter().map(String::as_str).chain(others) {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let there = files(folder.path(), 7, 4).filter(|file| file.exists());
        assert_eq!(there.collect::<Vec<_>>(), [folder.path().join(name(7, 0)), folder.path().join(name(7, 3))]);
        remove(folder.path(), 7, 4);
        assert!(others.iter().all(|file| folder.path().join(file).exists()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), others.len());
    }

    #[test]
    fn lines_are_read_as_they_were_written_and_what_floods_ends_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name(7, 0));
        let mut ahead = TapAhead::new(&path, "tor");
        let now = Instant::now();
        let values =
            vec![TapValue::Text("a\n\"b\"".to_owned()), TapValue::Number(1.5), TapValue::Number(f64::NAN), TapValue::Time(-3)];
        ahead.add(&TapRow { at: now, replica: Some(2), join_key: None, values }, now);
        ahead.set_start(LoadStart { instant: now + Duration::from_secs(1), unix: Duration::from_secs(5) });
        ahead.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], r#"{"tap":"tor"}"#);
        let Line::Row { replica, values, .. } = serde_json::from_str(lines[1]).unwrap() else { panic!("{text}") };
        let values: Vec<TapValue> = values.into_iter().map(Into::into).collect();
        assert_eq!(replica, Some(2));
        assert_eq!(values[..2], [TapValue::Text("a\n\"b\"".to_owned()), TapValue::Number(1.5)]);
        assert_eq!(values[2..], [TapValue::Absent, TapValue::Time(-3)]);
        let Line::Start { after_ns, unix_ns } = serde_json::from_str(lines[2]).unwrap() else { panic!("{text}") };
        assert!(after_ns >= 1_000_000_000 && unix_ns == 5_000_000_000, "{text}");
        // Nothing is written beyond the limit.
        ahead.rows = MOST_ROWS;
        ahead.add(&TapRow { at: now, replica: None, join_key: None, values: Vec::new() }, now);
        ahead.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
