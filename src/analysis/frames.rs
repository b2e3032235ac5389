//! The tables of some repetitions of a cell: one frame per kind, in which every row has the number of its repetition.
//!
//! Only the columns that are needed are read, each once. Damaged tables – no table, a missing column, another type, an
//! impossible number – are named and left out of the frame; the tables of the other repetitions are in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use polars::prelude::*;

use super::Error;
use super::cores::on_all_cores;
use record::read::TapRecord;
use record::{FieldKind, Repetition, TapField, tables};
use vocabulary::{Metric, Time};

/// A frame, and what could not be put into it.
pub struct Scanned {
    /// The rows of all repetitions, in order, with a column `repetition` (u32) before those of the table.
    pub frame: DataFrame,
    /// The number of each repetition whose table is damaged, and the damage.
    pub damaged: Vec<(u32, Error)>,
}

/// What is expected of a column.
struct Expected<'n> {
    name: &'n str,
    of: DataType,
    /// The largest value that it can have; beyond it a table is damaged, and up to it no sum over all rows overflows.
    most: Option<u64>,
    missing: Missing,
}

/// The meaning of a missing column, or of a row without a value.
enum Missing {
    /// The table is damaged.
    Damage,
    /// Some rows have no value.
    Values,
    /// The table is older than the column; the values of this other column are used.
    SameAs(&'static str),
    /// The table is older than the column, and has no values for it.
    Older,
}

impl<'n> Expected<'n> {
    fn new(name: &'n str, of: DataType, missing: Missing) -> Self {
        Self { name, of, most: None, missing }
    }
}

/// Every window starts before this: about a hundred years.
const MOST_NS: u64 = 1 << 62;
/// No window transfers this many bytes.
const MOST_BYTES: u64 = 1 << 43;
/// No replica uses this much of anything, in bytes, nanoseconds or counts.
const MOST: u64 = 1 << 53;

/// The column of a time: its histogram, encoded.
pub fn histogram(time: Time) -> &'static str {
    match time {
        Time::Service => "service_ns_hdr",
        Time::Response => "response_ns_hdr",
        Time::Lag => "lag_ns_hdr",
        Time::Connect => "connect_ns_hdr",
        Time::FirstByte => "first_byte_ns_hdr",
    }
}

/// `windows.parquet`: one row per window, workload, step, phase of the start, phase of the end, and outcome, with the
/// histograms of `times`.
pub fn windows(repetitions: &[&Repetition], times: &[Time]) -> Scanned {
    let text = |name| Expected::new(name, DataType::String, Missing::Damage);
    let number = |name, most| Expected { most: Some(most), ..Expected::new(name, DataType::UInt64, Missing::Damage) };
    // Before format 5 a request counted in the phase in which it started; format 1 had two of the times.
    let mut columns = vec![
        number("window_start_ns", MOST_NS),
        text("workload"),
        text("step"),
        text("phase"),
        Expected::new("completed_in", DataType::String, Missing::SameAs("phase")),
        text("outcome"),
        number("requests", u64::from(u32::MAX)),
        number("sent_bytes", MOST_BYTES),
        number("received_bytes", MOST_BYTES),
    ];
    columns.extend(times.iter().map(|time| {
        let missing = if matches!(time, Time::Service | Time::Response) { Missing::Damage } else { Missing::Older };
        Expected::new(histogram(*time), DataType::Binary, missing)
    }));
    scan(repetitions, "windows.parquet", &columns)
}

/// `resources.parquet`: one row per sample and replica, with the columns that `metrics` need.
pub fn resources(repetitions: &[&Repetition], metrics: &[Metric]) -> Scanned {
    let mut columns = vec![
        Expected::new("at_ns", DataType::Int64, Missing::Damage),
        Expected::new("target", DataType::String, Missing::Damage),
        Expected::new("replica", DataType::UInt32, Missing::Damage),
    ];
    for name in metrics.iter().flat_map(|metric| resource_columns(metric)) {
        if columns.iter().all(|column| column.name != *name) {
            let missing = if *name == "pss_bytes" { Missing::Values } else { Missing::Damage };
            columns.push(Expected { most: Some(MOST), ..Expected::new(name, DataType::UInt64, missing) });
        }
    }
    scan(repetitions, "resources.parquet", &columns)
}

/// The columns of `resources.parquet` that a metric of targets is made of.
pub fn resource_columns(metric: &Metric) -> &'static [&'static str] {
    match metric {
        Metric::Pss => &["pss_bytes"],
        Metric::Rss => &["rss_bytes"],
        Metric::Threads => &["threads"],
        Metric::OpenFiles => &["open_files"],
        Metric::Cpu | Metric::CpuPerRequest => &["cpu_user_ns", "cpu_system_ns"],
        Metric::SwitchesPerRequest => &["voluntary_switches", "involuntary_switches"],
        Metric::IoPerRequest => &["read_bytes", "written_bytes"],
        _ => &[],
    }
}

/// `metrics.parquet`: one row per metric and execution of a command, or per metric and thing that was collected. A
/// repetition without any has no such table.
pub fn metrics(repetitions: &[&Repetition]) -> Scanned {
    let text = |name| Expected::new(name, DataType::String, Missing::Damage);
    let value = Expected::new("value", DataType::Float64, Missing::Values);
    let there: Vec<&Repetition> = repetitions.iter().copied().filter(|r| r.path.join("metrics.parquet").exists()).collect();
    scan(&there, "metrics.parquet", &[text("workload"), text("phase"), text("metric"), value])
}

/// The tables for the taps of one repetition; each table is read when it is first needed, and kept.
pub struct Tapped<'r> {
    pub repetition: &'r Repetition,
    /// By the names of the taps.
    taps: RefCell<BTreeMap<String, DataFrame>>,
    /// By the names of the workloads.
    requests: RefCell<BTreeMap<String, DataFrame>>,
}

impl<'r> Tapped<'r> {
    pub fn new(repetition: &'r Repetition) -> Self {
        Self { repetition, taps: RefCell::default(), requests: RefCell::default() }
    }

    /// Whether a tap should have rows. In a repetition that failed early it has none.
    pub fn has(&self, tap: &TapRecord) -> bool {
        self.repetition.status.taps.iter().any(|status| status.tap == tap.name)
    }

    /// The file with the rows of a tap.
    pub fn path(&self, tap: &TapRecord) -> PathBuf {
        tap_path(self.repetition, &tap.name)
    }

    /// See [`tap`].
    pub fn rows(&self, of: &TapRecord) -> Result<DataFrame, Error> {
        kept(&self.taps, &of.name, || tap(self.repetition, of))
    }

    /// See [`keyed_requests`].
    pub fn requests(&self, workload: &str) -> Result<DataFrame, Error> {
        kept(&self.requests, workload, || keyed_requests(self.repetition, workload))
    }
}

fn kept(
    frames: &RefCell<BTreeMap<String, DataFrame>>,
    name: &str,
    read: impl FnOnce() -> Result<DataFrame, Error>,
) -> Result<DataFrame, Error> {
    if let Some(frame) = frames.borrow().get(name) {
        return Ok(frame.clone());
    }
    let frame = read()?;
    frames.borrow_mut().insert(name.to_owned(), frame.clone());
    Ok(frame)
}

/// `taps/<name>.parquet` of one repetition, with the columns that the tap's metrics need: `at_ns`, `join_key` where it is
/// joined, and fields; ascending by `at_ns`, with rows that were read together in the order in which they were written.
///
/// # Errors
/// When it is damaged.
fn tap(repetition: &Repetition, tap: &TapRecord) -> Result<DataFrame, Error> {
    let mut columns = vec![Expected::new("at_ns", DataType::Int64, Missing::Damage)];
    if tap.join.is_some() {
        columns.push(Expected::new("join_key", DataType::UInt64, Missing::Values));
    }
    let used = |field: &&TapField| tap.metrics.iter().any(|metric| metric.figure.fields().contains(&field.name.as_str()));
    columns.extend(tap.fields.iter().filter(used).map(|field| {
        let of = match field.kind {
            FieldKind::Text => DataType::String,
            FieldKind::Number => DataType::Float64,
            FieldKind::Unix | FieldKind::UnixMs | FieldKind::Time(_) => DataType::Int64,
        };
        Expected::new(&field.name, of, Missing::Values)
    }));
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let path = tap_path(repetition, &tap.name);
    let found = tables::read_columns(&path, &names)?;
    let whole = || {
        let columns = conforming(&found, &columns)?;
        let options = SortMultipleOptions::default().with_maintain_order(true);
        DataFrame::new(found.height(), columns)?.sort(["at_ns"], options)
    };
    whole().map_err(|source| Error::Table { path, source })
}

fn tap_path(repetition: &Repetition, tap: &str) -> PathBuf {
    repetition.path.join("taps").join(format!("{tap}.parquet"))
}

/// The requests of a workload that have a key, from `requests.parquet` of one repetition: for each key, `join_key`,
/// `intended_ns`, `sent_ns`, `first_byte_ns` and `completed_ns` of the first request that was sent. Empty if requests
/// have no keys.
///
/// # Errors
/// When it is damaged, or missing.
fn keyed_requests(repetition: &Repetition, workload: &str) -> Result<DataFrame, Error> {
    let path = repetition.path.join("requests.parquet");
    let number = |name, missing| Expected::new(name, DataType::UInt64, missing);
    let columns = [
        Expected::new("workload", DataType::String, Missing::Damage),
        Expected::new("step", DataType::String, Missing::Damage),
        number("key", Missing::Older),
        number("intended_ns", Missing::Damage),
        number("sent_ns", Missing::Damage),
        number("first_byte_ns", Missing::Values),
        number("completed_ns", Missing::Damage),
    ];
    let names = columns.each_ref().map(|column| column.name);
    let times = ["intended_ns", "sent_ns", "first_byte_ns", "completed_ns"];
    let kept = |frame: &DataFrame| -> PolarsResult<DataFrame> {
        let frame = DataFrame::new(frame.height(), conforming(frame, &columns)?)?;
        // A pass has the key of its request, and is not a separate request.
        let mine = col("workload").eq(lit(workload)).and(col("step").neq(lit(tables::WHOLE))).and(col("key").is_not_null());
        let signed = times.map(|name| col(name).cast(DataType::Int64));
        frame
            .lazy()
            .filter(mine)
            .select([col("key").alias("join_key")].into_iter().chain(signed).collect::<Vec<Expr>>())
            .collect()
    };
    let first = |pieces: Vec<PolarsResult<DataFrame>>| -> PolarsResult<DataFrame> {
        let pieces = pieces.into_iter().map(|piece| piece.map(DataFrame::lazy)).collect::<PolarsResult<Vec<LazyFrame>>>()?;
        if pieces.is_empty() {
            let empty = |name: &str| Column::new_empty(name.into(), &DataType::Int64);
            let key = Column::new_empty("join_key".into(), &DataType::UInt64);
            return DataFrame::new(0, [key].into_iter().chain(times.map(empty)).collect());
        }
        let options = SortMultipleOptions::default().with_maintain_order(true);
        let sorted = concat(pieces, UnionArgs::default())?.sort(["sent_ns"], options);
        sorted.group_by_stable([col("join_key")]).agg(times.map(|name| col(name).first())).collect()
    };
    let pieces = tables::read_pieces(&path, &names, kept)?;
    first(pieces).map_err(|source| Error::Table { path, source })
}

/// Reads the table of each repetition, many at a time, and concatenates them.
fn scan(repetitions: &[&Repetition], file: &str, columns: &[Expected<'_>]) -> Scanned {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let read = |repetition: &&Repetition| -> Result<DataFrame, Error> {
        let path = repetition.path.join(file);
        let found = tables::read_columns(&path, &names)?;
        let frame = conforming(&found, columns).and_then(|frame| with_repetition(frame, repetition.status.repetition));
        frame.map_err(|source| Error::Table { path, source })
    };
    let tables = on_all_cores(repetitions, read);
    let mut frame = with_repetition(columns.iter().map(|c| Column::new_empty(c.name.into(), &c.of)).collect(), 0)
        .expect("columns without rows are of one length");
    let mut damaged = Vec::new();
    for (repetition, table) in repetitions.iter().zip(tables) {
        match table {
            Ok(table) => {
                frame.vstack_mut(&table).expect("each table has just got the same columns");
            }
            Err(error) => damaged.push((repetition.status.repetition, error)),
        }
    }
    frame.rechunk_mut();
    Scanned { frame, damaged }
}

fn with_repetition(mut columns: Vec<Column>, number: u32) -> PolarsResult<DataFrame> {
    let height = columns.first().map_or(0, Column::len);
    columns.insert(0, Column::new_scalar("repetition".into(), Scalar::from(number), height));
    DataFrame::new(height, columns)
}

/// The columns of a table as they are expected, in this order.
fn conforming(table: &DataFrame, columns: &[Expected<'_>]) -> PolarsResult<Vec<Column>> {
    let wrong = |words: String| PolarsError::ComputeError(words.into());
    let one = |expected: &Expected<'_>| {
        let name = expected.name;
        let found = match (table.column(name), &expected.missing) {
            (Ok(found), _) => found.clone(),
            (Err(_), Missing::SameAs(other)) => table.column(other)?.clone().with_name(name.into()),
            (Err(_), Missing::Older) => Column::full_null(name.into(), table.height(), &expected.of),
            (Err(error), _) => return Err(error),
        };
        if *found.dtype() != expected.of {
            return Err(wrong(format!("the column `{name}` has the type {}, expected {}", found.dtype(), expected.of)));
        }
        if matches!(expected.missing, Missing::Damage | Missing::SameAs(_)) && found.null_count() > 0 {
            return Err(wrong(format!("the column `{name}` has no value in {} rows", found.null_count())));
        }
        if let Some(most) = expected.most
            && let Some(largest) = found.u64()?.max().filter(|largest| *largest > most)
        {
            return Err(wrong(format!("the column `{name}` holds {largest}, which is larger than any valid value")));
        }
        Ok(found)
    };
    let mut found: Vec<Column> = columns.iter().map(one).collect::<PolarsResult<_>>()?;
    // Identical columns are kept once: where nothing waits, response times are the service times.
    for at in 1..found.len() {
        let same = found[..at].iter().find(|other| *other.dtype() == DataType::Binary && is_same(other, &found[at]));
        if let Some(same) = same.cloned() {
            found[at] = same.with_name(found[at].name().clone());
        }
    }
    Ok(found)
}

/// Whether two columns of bytes are identical.
fn is_same(one: &Column, other: &Column) -> bool {
    let (Ok(one), Ok(other)) = (one.binary(), other.binary()) else { return false };
    one.iter().eq(other.iter())
}
