//! The windows of a repetition: the rows of all generator threads merged, and percentiles of their histograms.
//!
//! Percentiles cannot be combined, so they are computed here. A thread may write a window long after another thread has; so
//! the pieces of the table are searched for the earliest window after each of them, and windows that start before that are
//! complete. Only incomplete ones are in memory.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::counts::Sum;
use record::rows::{Kind, Table as Rows, Value};
use vocabulary::Outcome;

use super::Sink;
use super::rows::{Checked, Column, Fault, may, must, number, whole};
use super::tables::Table;

/// Histograms of a window: service, response, lag, connect, first byte.
const TIMES: usize = 5;
const START: &str = "window_start_ns";

/// `windows.parquet`. Before format 5 a request counted in the phase in which it started; format 1 had two of the times.
const COLUMNS: [Column; 9 + TIMES] = [
    must(START, Kind::Integer),
    must("workload", Kind::Text),
    must("step", Kind::Text),
    must("phase", Kind::Text),
    may("completed_in", Kind::Text),
    must("outcome", Kind::Text),
    must("requests", Kind::Integer),
    must("sent_bytes", Kind::Integer),
    must("received_bytes", Kind::Integer),
    may("service_ns_hdr", Kind::Bytes),
    may("response_ns_hdr", Kind::Bytes),
    may("lag_ns_hdr", Kind::Bytes),
    may("connect_ns_hdr", Kind::Bytes),
    may("first_byte_ns_hdr", Kind::Bytes),
];

/// Start, workload, step, phase, phase of the end, outcome.
type Key = (i64, String, String, String, String, String);

/// What the threads have written about a window.
#[derive(Default)]
struct Window {
    requests: i64,
    sent_bytes: i64,
    received_bytes: i64,
    /// For each time, the encoded histograms of the threads that had one.
    times: [Vec<Vec<u8>>; TIMES],
}

pub(super) fn write(path: &Path, repetition: i64, sink: &mut dyn Sink) -> Result<(), Fault> {
    let checked = Checked::open(path, &COLUMNS)?;
    let table = &checked.table;
    let later = earliest_later(table)?;
    let mut open: BTreeMap<Key, Window> = BTreeMap::new();
    let mut told = Told { sum: Sum::default(), repetition, row: 0 };
    for (at, later) in later.iter().enumerate() {
        let piece = checked.piece(at)?;
        for row in 0..piece.height() {
            let values = checked.values(&piece, row)?;
            let (key, window) = read(&values).ok_or_else(|| table.wrong("a row has values of other kinds".to_owned()))?;
            open.entry(key).or_default().add(window);
        }
        // Windows that start at `later` or after it may still get a row.
        let incomplete = match later {
            Some(later) => open.split_off(&(*later, String::new(), String::new(), String::new(), String::new(), String::new())),
            None => BTreeMap::new(),
        };
        for (key, window) in std::mem::replace(&mut open, incomplete) {
            told.tell(&key, window, table, sink)?;
        }
    }
    Ok(())
}

/// For each piece the earliest window in all later pieces; none for the last piece.
fn earliest_later(table: &Rows) -> Result<Vec<Option<i64>>, Fault> {
    let earliest = |at: usize| -> Result<Option<i64>, Fault> {
        let piece = table.piece(at, &[START])?;
        let start = |row: usize| match piece.value(0, row) {
            Value::Integer(start) => Some(start),
            _ => None,
        };
        Ok((0..piece.height()).filter_map(start).min())
    };
    let mut later = vec![None; table.pieces()];
    for at in (1..table.pieces()).rev() {
        later[at - 1] = [later[at], earliest(at)?].into_iter().flatten().min();
    }
    Ok(later)
}

fn read(values: &[Value<'_>]) -> Option<(Key, Window)> {
    let text = |at: usize| match values[at] {
        Value::Text(text) => Some(text.to_owned()),
        _ => None,
    };
    let count = |at: usize| match values[at] {
        Value::Integer(count) => Some(count),
        _ => None,
    };
    let key = (count(0)?, text(1)?, text(2)?, text(3)?, text(4).or_else(|| text(3))?, text(5)?);
    let histogram = |at: usize| match values[9 + at] {
        Value::Bytes(bytes) if !bytes.is_empty() => vec![bytes.to_vec()],
        _ => Vec::new(),
    };
    let times = std::array::from_fn(histogram);
    Some((key, Window { requests: count(6)?, sent_bytes: count(7)?, received_bytes: count(8)?, times }))
}

impl Window {
    fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        for (mine, others) in self.times.iter_mut().zip(other.times) {
            mine.extend(others);
        }
    }
}

struct Told {
    sum: Sum,
    repetition: i64,
    /// How many were written.
    row: usize,
}

/// How many times there are, and p50, p99, the longest and the mean of them.
type Times = (u64, [Value<'static>; 4]);

impl Told {
    fn tell(&mut self, key: &Key, window: Window, table: &Rows, sink: &mut dyn Sink) -> Result<(), Fault> {
        let (start, workload, step, phase, completed_in, outcome) = key;
        let mut times: [Times; TIMES] = [(0, [Value::Null; 4]); TIMES];
        for at in 0..TIMES {
            // Where nothing waits, response times are the service times.
            times[at] = match window.times[..at].iter().position(|other| *other == window.times[at]) {
                Some(same) => times[same],
                None => self.times(&window.times[at], table)?,
            };
        }
        let kind = match outcome.as_str() {
            "ok" => "ok",
            word if Outcome::word_is_error(word) => "error",
            _ => "named",
        };
        let counts = [window.requests, window.sent_bytes, window.received_bytes].map(Value::Integer);
        let mut row = vec![Value::Integer(self.repetition), number(self.row), Value::Integer(*start)];
        row.extend([workload, step, phase, completed_in, outcome].map(|text| Value::Text(text)));
        row.push(Value::Text(kind));
        row.extend(counts);
        for (at, (count, figures)) in times.into_iter().enumerate() {
            // Every request has the first three times.
            if at > 2 {
                row.push(whole(count));
            }
            row.extend(figures);
        }
        sink.insert(Table::Windows, &row)?;
        self.row += 1;
        Ok(())
    }

    fn times(&mut self, histograms: &[Vec<u8>], table: &Rows) -> Result<Times, Fault> {
        let added = histograms.iter().try_for_each(|bytes| self.sum.add_encoded(bytes).map(drop));
        let counts = self.sum.take();
        added.map_err(|error| table.wrong(format!("a histogram is damaged: {error}")))?;
        let Some(times) = counts.times() else { return Ok((0, [Value::Null; 4])) };
        Ok((counts.len(), [whole(times.p50), whole(times.p99), whole(times.max), whole(times.mean.round() as u64)]))
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    use record::tables::{Tables, WorkloadNames};
    use vocabulary::Phase;
    use vocabulary::rows::{WindowRow, new_histogram};

    use super::super::Error;
    use super::*;

    /// The rows that were written, as text.
    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn insert(&mut self, _: Table, row: &[Value<'_>]) -> Result<(), Error> {
            let value = |value: &Value<'_>| match value {
                Value::Null => "-".to_owned(),
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => (*text).to_owned(),
                other => format!("{other:?}"),
            };
            self.0.push(row.iter().map(value).collect::<Vec<_>>().join(" "));
            Ok(())
        }

        fn mark(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn keep(&mut self) -> Result<(), Error> {
            Ok(())
        }

        fn take_back(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    fn window(number: u64, outcome: Outcome, times: &[u64]) -> WindowRow {
        let mut histogram = new_histogram();
        times.iter().for_each(|ns| histogram.record(*ns).unwrap());
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        WindowRow {
            start_ns: number * 1000,
            workload: 0,
            step: None,
            phase: Phase::During,
            completed_in: Phase::During,
            outcome,
            count: times.len() as u64,
            sent_bytes: 1,
            received_bytes: 2,
            service: bytes.clone(),
            response: bytes,
            lag: Vec::new(),
            connect: Vec::new(),
            first_byte: Vec::new(),
        }
    }

    /// A table of batches of rows, each of which is a piece, or part of one.
    fn told(batches: Vec<Vec<WindowRow>>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = vec!["late".to_owned()];
        let names = WorkloadNames { workload: "w".to_owned(), steps: Vec::new(), single: false, outcomes, metrics: Vec::new() };
        let mut tables = Tables::create(folder.path(), vec![names]).unwrap();
        batches.into_iter().for_each(|rows| tables.windows(rows).unwrap());
        tables.finish().unwrap();
        let path = folder.path().join("windows.parquet");
        let mut lines = Lines::default();
        assert!(write(&path, 7, &mut lines).is_ok());
        lines.0
    }

    /// One thread writes all of its windows before the other writes its first one.
    #[test]
    fn what_two_threads_say_of_a_window_is_one_row() {
        let thread = |ns: u64| (0..1500).map(|number| window(number, Outcome::Ok, &[ns])).collect::<Vec<_>>();
        let (one, other) = (thread(100), thread(300));
        let batches = one.chunks(600).chain(other.chunks(600)).map(<[WindowRow]>::to_vec).collect();
        let lines = told(batches);
        assert_eq!(lines.len(), 1500);
        for (at, line) in lines.iter().enumerate() {
            let times = "100 300 300 200";
            let expected = format!(
                "7 {} {} w (pass) during during ok ok 2 2 4 {times} {times} - - - - 0 - - - - 0 - - - -",
                at + 1,
                at * 1000
            );
            assert_eq!(*line, expected);
        }
    }

    #[test]
    fn outcomes_have_rows_of_their_own_and_a_kind() {
        let lines = told(vec![vec![
            window(0, Outcome::Ok, &[5]),
            window(0, Outcome::Named(0), &[6]),
            window(0, Outcome::Timeout, &[7, 8, 9]),
        ]]);
        let starts: Vec<String> =
            lines.iter().map(|line| line.split(' ').skip(5).take(9).collect::<Vec<_>>().join(" ")).collect();
        let expected =
            ["during during late named 1 1 2 6 6", "during during ok ok 1 1 2 5 5", "during during timeout error 3 1 2 8 9"];
        assert_eq!(starts, expected);
    }

    #[test]
    fn a_histogram_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (steps, outcomes, metrics) = (Vec::new(), Vec::new(), Vec::new());
        let names = WorkloadNames { workload: "w".to_owned(), steps, single: false, outcomes, metrics };
        let mut tables = Tables::create(folder.path(), vec![names]).unwrap();
        let mut row = window(0, Outcome::Ok, &[5]);
        row.service.pop();
        tables.windows(vec![row]).unwrap();
        tables.finish().unwrap();
        let fault = write(&folder.path().join("windows.parquet"), 1, &mut Lines::default()).unwrap_err();
        let Fault::Damaged(error) = fault else { panic!("it is the table that is wrong") };
        let said = vocabulary::errors::chain(&error);
        assert!(said.contains("windows.parquet") && said.contains("a histogram is damaged"), "{said}");
    }
}
