//! The tables of a repetition that are exported as they are, row by row.

use std::path::Path;

use record::files;
use record::rows::{Kind, Piece, Table as Rows, Value};
use serde_json::{Map, Value as Json};

use super::tables::Table;
use super::{Error, Sink};

/// Why a table is not written completely.
#[derive(Debug)]
pub(super) enum Fault {
    /// It cannot be read: it is left out, and the rest is written.
    Damaged(record::Error),
    /// Nothing more can be written.
    Stop(Error),
}

impl From<record::Error> for Fault {
    fn from(error: record::Error) -> Self {
        Self::Damaged(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Stop(error)
    }
}

/// What is expected of a column.
pub(super) struct Column {
    pub name: &'static str,
    kind: Kind,
    /// Whether a row may have no value, and a table of an older version no such column.
    optional: bool,
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: false }
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, optional: true }
}

/// A whole number of a record. Numbers beyond a signed 64-bit integer do not occur in our records, and become the largest one.
pub(super) fn whole(number: u64) -> Value<'static> {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn number(row: usize) -> Value<'static> {
    whole(row as u64 + 1)
}

pub(super) fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

pub(super) fn truth(truth: bool) -> Value<'static> {
    Value::Integer(truth.into())
}

pub(super) fn real(number: Option<f64>) -> Value<'static> {
    number.map_or(Value::Null, Value::Real)
}

pub(super) fn optional(number: Option<u64>) -> Value<'static> {
    number.map_or(Value::Null, whole)
}

/// A table whose columns are as expected, read piece by piece.
pub(super) struct Checked<'c> {
    pub table: Rows,
    columns: &'c [Column],
}

impl<'c> Checked<'c> {
    pub fn open(path: &Path, columns: &'c [Column]) -> Result<Self, Fault> {
        Ok(Self { table: Rows::open(path)?, columns })
    }

    /// A piece, with its columns in the expected order.
    pub fn piece(&self, number: usize) -> Result<Piece, Fault> {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let piece = self.table.piece(number, &names)?;
        for (at, column) in self.columns.iter().enumerate() {
            let wrong = match piece.kind(at) {
                None if !column.optional => format!("there is no column `{}`", column.name),
                Some(kind) if kind != column.kind => {
                    format!("the column `{}` is of kind {kind:?}, expected {:?}", column.name, column.kind)
                }
                _ => continue,
            };
            return Err(self.table.wrong(wrong).into());
        }
        Ok(piece)
    }

    /// The values of a row.
    pub fn values<'p>(&self, piece: &'p Piece, row: usize) -> Result<Vec<Value<'p>>, Fault> {
        let value = |(at, column): (usize, &Column)| match piece.value(at, row) {
            Value::Null if !column.optional => {
                Err(self.table.wrong(format!("the column `{}` has no value in a row", column.name)).into())
            }
            value => Ok(value),
        };
        self.columns.iter().enumerate().map(value).collect()
    }
}

use Kind::{Integer, Real, Text};

/// `metrics.parquet`, in the order of the table `metrics`.
const METRICS: [Column; 6] = [
    must("at_ns", Integer),
    must("workload", Text),
    must("phase", Text),
    must("pass", Integer),
    must("metric", Text),
    may("value", Real),
];

/// `resources.parquet`, in the order of the table `resources`.
const RESOURCES: [Column; 17] = [
    must("at_ns", Integer),
    must("target", Text),
    must("replica", Integer),
    may("processes", Integer),
    may("threads", Integer),
    may("pss_bytes", Integer),
    may("rss_bytes", Integer),
    may("peak_rss_bytes", Integer),
    may("cpu_user_ns", Integer),
    may("cpu_system_ns", Integer),
    may("open_files", Integer),
    may("voluntary_switches", Integer),
    may("involuntary_switches", Integer),
    may("read_bytes", Integer),
    may("written_bytes", Integer),
    may("complete", Integer),
    may("host", Text),
];

/// `host.parquet`, in the order of the table `host`.
const HOST: [Column; 21] = [
    must("at_ns", Integer),
    must("core", Integer),
    may("user_ns", Integer),
    may("system_ns", Integer),
    may("idle_ns", Integer),
    may("iowait_ns", Integer),
    may("steal_ns", Integer),
    may("memory_total_bytes", Integer),
    may("memory_available_bytes", Integer),
    may("load_1min", Real),
    may("cpu_pressure_some_us", Integer),
    may("cpu_pressure_full_us", Integer),
    may("memory_pressure_some_us", Integer),
    may("memory_pressure_full_us", Integer),
    may("io_pressure_some_us", Integer),
    may("io_pressure_full_us", Integer),
    may("frequency_hz", Integer),
    may("frequency_max_hz", Integer),
    may("core_throttles", Integer),
    may("package_throttles", Integer),
    may("host", Text),
];

/// `requests.parquet`: the first eight columns of the table `requests`.
const REQUESTS: [Column; 12] = [
    must("workload", Text),
    must("step", Text),
    must("phase", Text),
    must("outcome", Text),
    must("intended_ns", Integer),
    must("sent_ns", Integer),
    may("first_byte_ns", Integer),
    must("completed_ns", Integer),
    must("sent_bytes", Integer),
    must("received_bytes", Integer),
    may("key", Integer),
    may("host", Text),
];

pub(super) fn metrics(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    copy(path, &METRICS, Table::Metrics, repetition, sink)
}

pub(super) fn resources(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    copy(path, &RESOURCES, Table::Resources, repetition, sink)
}

pub(super) fn host(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    copy(path, &HOST, Table::Host, repetition, sink)
}

pub(super) fn copy(path: &Path, columns: &[Column], table: Table, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    each_row(path, columns, |row, values| {
        let mut all = vec![Value::Integer(repetition), number(row)];
        all.extend(values);
        Ok(sink.insert(table, &all)?)
    })
}

pub(super) fn requests(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    each_row(path, &REQUESTS, |row, values| {
        let since = |begin: usize| match (&values[7], &values[begin]) {
            (Value::Integer(end), Value::Integer(begin)) => Value::Integer(end.saturating_sub(*begin)),
            _ => Value::Null,
        };
        let mut all = vec![Value::Integer(repetition), number(row)];
        all.extend(&values[..8]);
        all.extend([since(5), since(4), values[8], values[9], values[10], values[11]]);
        Ok(sink.insert(Table::Requests, &all)?)
    })
}

/// Calls `each` with the number of each row, from 0, and its values.
pub(super) fn each_row(
    path: &Path,
    columns: &[Column],
    mut each: impl FnMut(usize, Vec<Value<'_>>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let checked = Checked::open(path, columns)?;
    let mut first = 0;
    for at in 0..checked.table.pieces() {
        let piece = checked.piece(at)?;
        for row in 0..piece.height() {
            each(first + row, checked.values(&piece, row)?)?;
        }
        first += piece.height();
    }
    Ok(())
}

/// The column with the time at which a row of a tap was read.
const AT: &str = "at_ns";

/// A table of a tap: when each row was read, and its other columns as JSON.
pub(super) fn tap(path: &Path, name: &str, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    let table = Rows::open(path)?;
    let fields: Vec<&str> = table.columns().iter().map(String::as_str).filter(|name| *name != AT).collect();
    let columns: Vec<&str> = [AT].into_iter().chain(fields.iter().copied()).collect();
    let mut first = 0;
    for at in 0..table.pieces() {
        let piece = table.piece(at, &columns)?;
        if !matches!(piece.kind(0), None | Some(Integer)) {
            return Err(table.wrong(format!("the column `{AT}` does not contain whole numbers")).into());
        }
        if piece.kind(0).is_none() && piece.height() > 0 {
            return Err(table.wrong(format!("there is no column `{AT}`")).into());
        }
        for row in 0..piece.height() {
            let object: Map<String, Json> =
                fields.iter().enumerate().map(|(at, name)| ((*name).to_owned(), json(piece.value(at + 1, row)))).collect();
            let object = Json::Object(object).to_string();
            let values =
                [Value::Integer(repetition), Value::Text(name), number(first + row), piece.value(0, row), Value::Text(&object)];
            sink.insert(Table::Taps, &values)?;
        }
        first += piece.height();
    }
    Ok(())
}

/// JSON has no bytes and no infinite numbers: these are null.
fn json(value: Value<'_>) -> Json {
    match value {
        Value::Null | Value::Bytes(_) => Json::Null,
        Value::Integer(number) => number.into(),
        Value::Real(number) => number.into(),
        Value::Text(text) => text.into(),
    }
}

/// A table that was collected, as CSV: each row as JSON. Columns of the same name are distinguished by a number.
pub(super) fn collected(path: &Path, name: &str, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    let unread = |source| record::Error::Read { path: path.to_owned(), source };
    let damaged = |error: csv::Error| unread(std::io::Error::other(error));
    let head = {
        use std::io::{BufRead as _, Read as _};
        let mut head = Vec::new();
        std::io::BufReader::new(files::open(path).map_err(unread)?).take(1 << 16).read_until(b'\n', &mut head).map_err(unread)?;
        head
    };
    // The same rule as for figures: semicolons if the header has some and no comma.
    let separator = if head.contains(&b';') && !head.contains(&b',') { b';' } else { b',' };
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(files::open(path).map_err(unread)?);
    let mut names: Vec<String> = Vec::new();
    for header in reader.byte_headers().map_err(damaged)? {
        let header = String::from_utf8_lossy(header).into_owned();
        let free =
            (1..).map(|n| if n == 1 { header.clone() } else { format!("{header}_{n}") }).find(|name| !names.contains(name));
        names.extend(free);
    }
    let mut record = csv::ByteRecord::new();
    let mut row = 0;
    while reader.read_byte_record(&mut record).map_err(damaged)? {
        let field = |(name, text): (&String, &[u8])| (name.clone(), Json::from(String::from_utf8_lossy(text)));
        let object = Json::Object(names.iter().zip(&record).map(field).collect()).to_string();
        sink.insert(Table::Collected, &[Value::Integer(repetition), Value::Text(name), number(row), Value::Text(&object)])?;
        row += 1;
    }
    Ok(())
}

/// `events.jsonl`: when, what, and the rest as JSON.
pub(super) fn events(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    use std::io::BufRead as _;
    let unread = |source| record::Error::Read { path: path.to_owned(), source };
    let lines = std::io::BufReader::new(files::open(path).map_err(unread)?).lines();
    for (row, line) in lines.enumerate() {
        let line = line.map_err(unread)?;
        let wrong = |words: &str| unread(std::io::Error::other(format!("line {}: {words}", row + 1)));
        let mut fields: Map<String, Json> = serde_json::from_str(&line).map_err(|error| wrong(&error.to_string()))?;
        let at = fields.shift_remove(AT).and_then(|at| at.as_i64()).ok_or_else(|| wrong("expected a whole number as `at_ns`"))?;
        let event = fields.shift_remove("event").ok_or_else(|| wrong("expected an `event`"))?;
        let event = event.as_str().ok_or_else(|| wrong("expected a text as `event`"))?;
        let fields = Json::Object(fields).to_string();
        let values = [Value::Integer(repetition), number(row), Value::Integer(at), Value::Text(event), Value::Text(&fields)];
        sink.insert(Table::Events, &values)?;
    }
    Ok(())
}
