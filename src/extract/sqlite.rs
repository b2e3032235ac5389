//! Queries to an SQLite database, which is opened read-only and may be in use meanwhile.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use vocabulary::choices::Decimal;

/// How long to wait for another program that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

fn open(path: &Path) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| format!("{}: {e}", path.display()))?;
    connection.busy_timeout(PATIENCE).map_err(|e| e.to_string())?;
    Ok(connection)
}

/// The first column of the first row; `decimal` is the decimal mark if it is a text.
pub(super) fn number(path: &Path, query: &str, decimal: Decimal) -> Result<f64, String> {
    let connection = open(path)?;
    let value = connection.query_row(query, [], |row| {
        Ok(match row.get_ref(0)? {
            ValueRef::Integer(number) => Ok(number as f64),
            ValueRef::Real(number) => Ok(number),
            ValueRef::Text(text) => super::number(&String::from_utf8_lossy(text), decimal),
            ValueRef::Null => Err(format!("`{query}` returns nothing")),
            ValueRef::Blob(_) => Err(format!("`{query}` returns bytes, not a number")),
        })
    });
    value.map_err(|e| e.to_string())?
}

/// All rows, as CSV with a header.
pub(super) fn table(path: &Path, query: &str) -> Result<String, String> {
    let connection = open(path)?;
    let mut statement = connection.prepare(query).map_err(|e| e.to_string())?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([]).map_err(|e| e.to_string())?;
    let mut found: Vec<Vec<String>> = Vec::new();
    while let Some(row) = rows.next().map_err(|e| e.to_string())? {
        let text = |at| match row.get_ref(at) {
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Real(number)) => number.to_string(),
            Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Ok(ValueRef::Blob(bytes)) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            Ok(ValueRef::Null) | Err(_) => String::new(),
        };
        found.push((0..columns.len()).map(text).collect());
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    super::csv::write(&columns, found.iter())
}
