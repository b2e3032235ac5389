//! `taps/<name>.parquet`: the rows of a tap, written in pieces while a repetition runs.
//!
//! Memory is bounded whatever a source sends: rows are written when they are many or large. Times count from the start of
//! the load, so rows that arrive before it wait, as far as there is room.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polars::prelude::*;

use super::Error;
use super::columns::{column, frame};
use super::spill::Spill;
use super::tables::{Table, since};
use plan::{FieldKind, TapField};
use vocabulary::rows::{TapRow, TapValue};

/// How many rows are written at a time.
const BATCH: usize = 32_768;
/// How many bytes of text in rows are written at a time, however few the rows are.
const BATCH_BYTES: usize = 8 << 20;
/// How many bytes of rows may wait for the load to start.
const WAITING_BYTES: usize = 32 << 20;
/// How many rows of a tap are kept per repetition, so that analysis can hold them in memory.
pub const MOST_ROWS: u64 = 2_000_000;

/// The start of a load, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct LoadStart {
    /// By the clock that stamps rows when they are read.
    pub instant: Instant,
    /// Since the start of 1970.
    pub unix: Duration,
}

/// The table of one tap.
pub struct TapTable {
    path: PathBuf,
    spill: Option<Spill>,
    fields: Vec<TapField>,
    table: Option<Table>,
    waiting: Vec<TapRow>,
    waiting_bytes: usize,
    start: Option<LoadStart>,
    /// Rows that were kept.
    pub rows: u64,
    /// Rows for which there was no room.
    pub dropped: u64,
}

impl std::fmt::Debug for TapTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TapTable").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl TapTable {
    /// A table in the directory of a repetition. No file is created there before the first row is written.
    pub fn new(directory: &Path, spill: Option<&Spill>, name: &str, fields: &[TapField]) -> Self {
        let path = directory.join("taps").join(format!("{name}.parquet"));
        let into = |spill: &Spill| Spill { directory: spill.directory.as_ref().map(|to| to.join("taps")), ..spill.clone() };
        Self {
            path,
            spill: spill.map(into),
            fields: fields.to_vec(),
            table: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            start: None,
            rows: 0,
            dropped: 0,
        }
    }

    /// The start of the load, from which all times count.
    pub fn set_start(&mut self, start: LoadStart) {
        self.start = Some(start);
    }

    /// Adds a row, or counts it where there is no room.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn add(&mut self, row: TapRow) -> Result<(), Error> {
        let bytes = size(&row);
        let is_full = self.start.is_none() && self.waiting_bytes + bytes > WAITING_BYTES;
        if is_full || self.rows >= MOST_ROWS {
            self.dropped += 1;
            return Ok(());
        }
        self.rows += 1;
        self.waiting_bytes += bytes;
        self.waiting.push(row);
        let is_batch = self.waiting.len() >= BATCH || self.waiting_bytes >= BATCH_BYTES;
        if self.start.is_some() && is_batch { self.flush() } else { Ok(()) }
    }

    /// Writes what is left, and syncs. A tap without rows gets a table without rows.
    ///
    /// # Errors
    /// [`Error::Write`], [`Error::WriteTable`].
    pub fn finish(&mut self) -> Result<(), Error> {
        // In a repetition that failed before its load, times count from the first row.
        if self.start.is_none() {
            let instant = self.waiting.first().map_or_else(Instant::now, |row| row.at);
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            self.start = Some(LoadStart { instant, unix: now.saturating_sub(instant.elapsed()) });
        }
        self.flush()?;
        self.table.take().map_or(Ok(()), Table::finish)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let Some(start) = self.start else { return Ok(()) };
        let frame = tap_frame(start, &self.fields, &self.waiting);
        self.waiting.clear();
        self.waiting_bytes = 0;
        let table = match &mut self.table {
            Some(table) => table,
            None => {
                let folder = self.path.parent().unwrap_or(Path::new(""));
                std::fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
                self.table.insert(Table::create(self.path.clone(), self.spill.as_ref(), &frame)?)
            }
        };
        if frame.height() == 0 { Ok(()) } else { table.write(&frame) }
    }
}

/// Roughly how much memory a row takes.
fn size(row: &TapRow) -> usize {
    let text = |value: &TapValue| if let TapValue::Text(text) = value { text.len() } else { 0 };
    size_of::<TapRow>() + row.values.iter().map(|v| size_of::<TapValue>() + text(v)).sum::<usize>()
}

/// Columns: when it was read, the replica, the number of the key, and each field.
fn tap_frame(start: LoadStart, fields: &[TapField], rows: &[TapRow]) -> DataFrame {
    let mut columns = vec![
        column("at_ns", rows.iter().map(|r| since(start.instant, r.at)).collect::<Vec<i64>>()),
        column("replica", rows.iter().map(|r| r.replica).collect::<Vec<Option<u32>>>()),
        column("join_key", rows.iter().map(|r| r.join_key).collect::<Vec<Option<u64>>>()),
    ];
    let start_ns = start.unix.as_nanos() as i64;
    for (at, field) in fields.iter().enumerate() {
        let values = || rows.iter().map(|row| row.values.get(at).unwrap_or(&TapValue::Absent));
        columns.push(match field.kind {
            FieldKind::Text => {
                let texts = values().map(|value| if let TapValue::Text(text) = value { Some(text.as_str()) } else { None });
                column(&field.name, texts.collect::<Vec<Option<&str>>>())
            }
            FieldKind::Number => {
                let number = |value: &TapValue| if let TapValue::Number(number) = value { Some(*number) } else { None };
                column(&field.name, values().map(number).collect::<Vec<Option<f64>>>())
            }
            FieldKind::Unix | FieldKind::UnixMs | FieldKind::Time(_) => {
                let time = |value: &TapValue| if let TapValue::Time(ns) = value { ns.checked_sub(start_ns) } else { None };
                column(&field.name, values().map(time).collect::<Vec<Option<i64>>>())
            }
        });
    }
    frame(rows.len(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::read;

    fn field(name: &str, kind: FieldKind) -> TapField {
        TapField { name: name.to_owned(), kind }
    }

    #[test]
    fn rows_are_written_as_they_are_and_count_from_the_load() {
        let folder = tempfile::tempdir().unwrap();
        let fields = [field("who", FieldKind::Text), field("n", FieldKind::Number), field("t", FieldKind::Unix)];
        let mut table = TapTable::new(folder.path(), None, "seen", &fields);
        let instant = Instant::now();
        let at = |ms| instant + Duration::from_millis(ms);
        let row = |ms, replica, values| TapRow { at: at(ms), replica, join_key: Some(7), values };
        table
            .add(row(0, Some(2), vec![TapValue::Text("a\0\u{fffd}".to_owned()), TapValue::Absent, TapValue::Time(5_000)]))
            .unwrap();
        table.set_start(LoadStart { instant: at(3), unix: Duration::from_nanos(4_000) });
        table.add(row(4, None, vec![TapValue::Absent, TapValue::Number(1.5), TapValue::Absent])).unwrap();
        table.finish().unwrap();
        let found = read(&folder.path().join("taps/seen.parquet")).unwrap();
        let names: Vec<&str> = found.get_column_names().iter().map(|n| n.as_str()).collect();
        assert_eq!(names, ["at_ns", "replica", "join_key", "who", "n", "t"]);
        let at: Vec<_> = found.column("at_ns").unwrap().i64().unwrap().iter().collect();
        assert_eq!(at, [Some(-3_000_000), Some(1_000_000)]);
        assert_eq!(found.column("replica").unwrap().u32().unwrap().iter().collect::<Vec<_>>(), [Some(2), None]);
        assert_eq!(found.column("who").unwrap().str().unwrap().get(0), Some("a\0\u{fffd}"));
        assert_eq!(found.column("n").unwrap().f64().unwrap().iter().collect::<Vec<_>>(), [None, Some(1.5)]);
        assert_eq!(found.column("t").unwrap().i64().unwrap().iter().collect::<Vec<_>>(), [Some(1_000), None]);
    }

    #[test]
    fn without_rows_there_is_a_table_without_rows() {
        let folder = tempfile::tempdir().unwrap();
        TapTable::new(folder.path(), None, "none", &[field("who", FieldKind::Text)]).finish().unwrap();
        let found = read(&folder.path().join("taps/none.parquet")).unwrap();
        assert_eq!((found.height(), found.width()), (0, 4));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut table = TapTable::new(folder.path(), None, "many", &[field("text", FieldKind::Text)]);
        let row =
            || TapRow { at: Instant::now(), replica: None, join_key: None, values: vec![TapValue::Text("x".repeat(1 << 20))] };
        for _ in 0..40 {
            table.add(row()).unwrap();
        }
        assert_eq!((table.rows, table.dropped), (31, 9), "32 MiB wait for the load to start");
        table.set_start(LoadStart { instant: Instant::now(), unix: Duration::ZERO });
        for _ in 0..40 {
            table.add(row()).unwrap();
            assert!(table.waiting_bytes <= WAITING_BYTES + (2 << 20));
        }
        assert_eq!((table.rows, table.dropped), (71, 9));
        table.rows = MOST_ROWS;
        table.add(row()).unwrap();
        assert_eq!(table.dropped, 10);
        table.finish().unwrap();
        assert_eq!(read(&folder.path().join("taps/many.parquet")).unwrap().height(), 71);
    }
}
