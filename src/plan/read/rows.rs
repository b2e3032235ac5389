//! Files of rows, of which workloads draw: CSV, JSON lines and Parquet, read as a whole, so that every mistake in them is
//! found before anything starts.
//!
//! What reads Parquet is handed in ([`set_parquet_reader`]): its library is known to floors above this one only.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::commands::find_file;
use super::diagnostics::Diagnostics;
use plan::Rows;
use schema::{Mistake, Node};
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Reads a Parquet file; the error is in words.
pub type ParquetReader = fn(&Path) -> Result<Rows, String>;

static PARQUET: OnceLock<ParquetReader> = OnceLock::new();

/// Hands in what reads Parquet; only the first one counts.
pub fn set_parquet_reader(reader: ParquetReader) {
    let _ = PARQUET.set(reader);
}

/// What is wrong with a file: what was found, and what was expected.
type Wrong = (String, String);

thread_local! {
    /// The files that were read since [`forget`]: many cells may draw from one.
    static READ: RefCell<BTreeMap<PathBuf, Result<Arc<Rows>, Wrong>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Another plan is made.
pub(super) fn forget() {
    READ.take();
}

/// The rows of the file that `rows` names in an entry of `draw`.
pub(super) fn read(notes: &mut Diagnostics<'_>, node: &Node, name: &str) -> Option<Arc<Rows>> {
    let name = notes.fixed(node, "rows", name)?;
    let Some(path) = find_file(&notes.file.path, &name).filter(|path| path.is_file()) else {
        let expected = "expected a file that exists before the run, relative to the scenario's folder or one above it";
        notes.say(node, "rows", format!("there is no file `{name}`"), expected);
        return None;
    };
    let known = READ.with_borrow(|read| read.get(&path).cloned());
    let rows = known.unwrap_or_else(|| {
        let rows = of_file(&path, &name).map(Arc::new);
        READ.with_borrow_mut(|read| read.insert(path, rows.clone()));
        rows
    });
    rows.map_err(|(found, expected)| {
        let span = node.get("rows").map_or(node.head, |n| n.span);
        notes.mistakes.push(Mistake::new(notes.file, span, found).expected(expected));
    })
    .ok()
}

fn of_file(path: &Path, name: &str) -> Result<Rows, Wrong> {
    let unreadable =
        |error: &dyn std::fmt::Display| (format!("{name} cannot be read: {error}"), "expected a file of rows".to_owned());
    let length = path.metadata().map_err(|e| unreadable(&e))?.len();
    if length > Rows::MOST_BYTES {
        return Err((format!("{name} has {length} bytes"), format!("expected at most {}", Rows::MOST_BYTES)));
    }
    let bytes = || std::fs::read(path).map_err(|e| unreadable(&e));
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let rows = match extension.as_str() {
        "csv" => of_csv(path, name, &bytes()?)?,
        "jsonl" | "ndjson" => of_json_lines(path, name, &bytes()?)?,
        "parquet" => {
            let reader = PARQUET.get().ok_or_else(|| unreadable(&"nothing here reads Parquet"))?;
            let rows = reader(path).map_err(|error| unreadable(&error))?;
            check_columns(name, &rows.columns)?;
            rows
        }
        _ => {
            let expected = "expected `.csv`, `.jsonl`, `.ndjson` or `.parquet`: the end of the name says what the file is";
            return Err((format!("the name of {name} does not say how its rows are written"), expected.to_owned()));
        }
    };
    if rows.count() == 0 {
        return Err((format!("{name} has no row"), "expected at least one, below the names of the columns".to_owned()));
    }
    Ok(rows.complete())
}

/// Names of columns are names of values.
fn check_columns(name: &str, columns: &[String]) -> Result<(), Wrong> {
    let is_name = |column: &str| {
        column.starts_with(|c: char| c.is_ascii_alphabetic()) && column.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    for (at, column) in columns.iter().enumerate() {
        if !is_name(column) {
            let column = plan::step::shortened(column);
            let expected = "expected letters, digits and `_`, separated by commas in CSV: each column is a value of this name";
            return Err((format!("{name}: {column} cannot be the name of a column"), expected.to_owned()));
        }
        if columns[..at].contains(column) {
            return Err((format!("{name} has two columns `{column}`"), "expected a different name for each".to_owned()));
        }
    }
    Ok(())
}

/// A value of a line, as text.
fn as_utf8<'v>(name: &str, line: u64, value: &'v [u8]) -> Result<&'v str, Wrong> {
    std::str::from_utf8(value).map_err(|_| (format!("line {line} of {name} is not UTF-8"), "expected text in UTF-8".to_owned()))
}

fn add(rows: &mut Rows, name: &str, value: &str) -> Result<(), Wrong> {
    let fits = rows.push(value);
    fits.then_some(())
        .ok_or_else(|| (format!("the values of {name} are too long"), format!("expected at most {} bytes", Rows::MOST_BYTES)))
}

/// Comma-separated values (RFC 4180); the first line has the names.
fn of_csv(path: &Path, name: &str, bytes: &[u8]) -> Result<Rows, Wrong> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(bytes);
    let mut record = csv::ByteRecord::new();
    let mut rows: Option<Rows> = None;
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err((format!("{name} cannot be read: {error}"), "expected comma-separated values".to_owned())),
        }
        // Empty lines before it are skipped, and its position is before them.
        let (line, start) = record.position().map_or((line, 0), |at| (at.line(), at.byte() as usize));
        let skipped = bytes[start..].iter().take_while(|byte| matches!(**byte, b'\r' | b'\n'));
        let line = line + skipped.filter(|byte| **byte == b'\n').count() as u64;
        if reader.position().byte() as usize >= bytes.len() && is_unclosed(&bytes[start..]) {
            let expected = "expected `\"` behind the value; one that belongs to a value is doubled";
            return Err((format!("a quotation mark in line {line} of {name} is never closed"), expected.to_owned()));
        }
        let Some(rows) = &mut rows else {
            let columns = record.iter().map(|value| as_utf8(name, line, value).map(|v| v.trim().to_owned()));
            let columns: Vec<String> = columns.collect::<Result<_, _>>()?;
            check_columns(name, &columns)?;
            rows = Some(Rows::new(path.to_owned(), columns));
            continue;
        };
        let (found, expected) = (record.len(), rows.columns.len());
        if found != expected {
            let names = rows.columns.join(", ");
            return Err((
                format!(
                    "line {line} of {name} has {found} value{}, but there are {expected} columns",
                    if found == 1 { "" } else { "s" }
                ),
                format!("expected one value for each of {names}; a value with commas stands in quotation marks"),
            ));
        }
        for value in &record {
            add(rows, name, as_utf8(name, line, value)?)?;
        }
    }
    rows.ok_or_else(|| {
        (format!("{name} is empty"), "expected a line with the names of the columns, and rows below it".to_owned())
    })
}

/// Whether the last record of a file ends within quotation marks.
fn is_unclosed(record: &[u8]) -> bool {
    let (mut starts, mut quoted) = (true, false);
    for byte in record {
        match byte {
            b'"' if starts || quoted => (starts, quoted) = (quoted, !quoted),
            b',' | b'\r' | b'\n' if !quoted => starts = true,
            _ => starts = false,
        }
    }
    quoted
}

/// An object of JSON on each line; those of the first are the columns.
fn of_json_lines(path: &Path, name: &str, bytes: &[u8]) -> Result<Rows, Wrong> {
    let mut rows: Option<Rows> = None;
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let number = at as u64 + 1;
        let line = as_utf8(name, number, line)?;
        if line.trim().is_empty() {
            continue;
        }
        let expected = || "expected one object of JSON on each line, with the same names in all of them".to_owned();
        let object: Object<'_> = serde_json::from_str(line).map_err(|e| {
            // Its own place in the line says little.
            let why = e.to_string();
            let why = why.split(" at line ").next().unwrap_or_default();
            (format!("line {number} of {name} is not an object of JSON: {why}"), expected())
        })?;
        if rows.is_none() {
            let columns: Vec<String> = object.0.iter().map(|(name, _)| name.clone().into_owned()).collect();
            check_columns(name, &columns)?;
            rows = Some(Rows::new(path.to_owned(), columns));
        }
        let Some(rows) = &mut rows else { continue };
        if let Some(missing) = rows.columns.iter().find(|column| object.get(column).is_none()) {
            return Err((format!("line {number} of {name} has no `{missing}`"), expected()));
        }
        if let Some((more, _)) = object.0.iter().find(|(key, _)| !rows.columns.iter().any(|column| column == key)) {
            return Err((format!("line {number} of {name} has `{more}`, which the first one has not"), expected()));
        }
        for at in 0..rows.columns.len() {
            let value = object.get(&rows.columns[at]).unwrap_or_default();
            // What is not a text stands in requests as it stands in the file: a price keeps its zeros, and a long number its digits.
            match value.as_bytes().first() {
                Some(b'"') => add(rows, name, &serde_json::from_str::<Cow<'_, str>>(value).unwrap_or_default())?,
                Some(b'n') => add(rows, name, "")?,
                _ => add(rows, name, value)?,
            }
        }
    }
    rows.ok_or_else(|| (format!("{name} has no row"), "expected one object of JSON on each line".to_owned()))
}

/// The members of an object in their order, each value as it is written.
struct Object<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'a> Object<'a> {
    /// The value of this name.
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de> serde::Deserialize<'de> for Object<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de str)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    match members.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, last)) => *last = value.get(),
                        None => members.push((name, value.get())),
                    }
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The name of a member, without a copy where that is possible.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &Rows) -> Vec<Vec<&str>> {
        (0..rows.count()).map(|row| (0..rows.columns.len()).map(|column| rows.value(row, column)).collect()).collect()
    }

    #[test]
    fn csv_is_read_as_rfc_4180_says() {
        let text = "\u{feff}name, password\r\nann,\"a,b\"\r\n\r\n\"b\"\"ob\",\"two\nlines\"\r\ncarl,\r\n";
        let rows = of_csv(Path::new("u.csv"), "u.csv", text.as_bytes()).unwrap();
        assert_eq!(rows.columns, ["name", "password"]);
        assert_eq!(table(&rows), [["ann", "a,b"], ["b\"ob", "two\nlines"], ["carl", ""]]);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let of = |text: &[u8]| of_csv(Path::new("u.csv"), "u.csv", text).unwrap_err().0;
        assert_eq!(of(b"a,b\n1,2\n\n1,2,3\n"), "line 4 of u.csv has 3 values, but there are 2 columns");
        assert_eq!(of(b"a,b\n\"x\ny\",2\n1\n"), "line 4 of u.csv has 1 value, but there are 2 columns");
        assert_eq!(of(b"a,b\n1,2\n3,\"4\n5,6\n"), "a quotation mark in line 3 of u.csv is never closed");
        assert!(of_csv(Path::new("u.csv"), "u.csv", b"a,b\n1,5\" disk\n").is_ok());
        assert!(of_csv(Path::new("u.csv"), "u.csv", b"a,b\n1,\"x\"\"\"\n").is_ok());
        assert_eq!(of(b"a,b\n1,\xff\n"), "line 2 of u.csv is not UTF-8");
        assert_eq!(of(b"a,a\n"), "u.csv has two columns `a`");
        assert_eq!(of(b"a;b\n1;2\n"), "u.csv: `a;b` cannot be the name of a column");
        assert_eq!(of(b""), "u.csv is empty");
        let of = |text: &str| of_json_lines(Path::new("u.jsonl"), "u.jsonl", text.as_bytes()).unwrap_err().0;
        assert_eq!(of("{\"a\": 1}\n\n{\"b\": 2}\n"), "line 3 of u.jsonl has no `a`");
        assert_eq!(of("{\"a\": 1}\n{\"a\": 2, \"b\": 2}\n"), "line 2 of u.jsonl has `b`, which the first one has not");
        assert!(of("{\"a\": 1}\n[2]\n").starts_with("line 2 of u.jsonl is not an object of JSON: "));
    }

    #[test]
    fn json_lines_keep_what_they_contain() {
        let text =
            "{\"a\": \"x\\ny\", \"b\": 1.50}\n{\"b\": null, \"a\": [1, \"y\"]}\n{\"a\": 12345678901234567890123, \"b\": 1E2}\n";
        let rows = of_json_lines(Path::new("u.jsonl"), "u.jsonl", text.as_bytes()).unwrap();
        assert_eq!(table(&rows), [["x\ny", "1.50"], ["[1, \"y\"]", ""], ["12345678901234567890123", "1E2"]]);
    }
}
