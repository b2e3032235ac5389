//! CSV with a header: a metric from a column, and tables made from JSON.

use serde_json::Value as Json;

use super::number as number_of;
use vocabulary::choices::{Decimal, Pick};

/// A metric from a column.
pub(super) fn number(text: &str, column: &str, pick: Pick, decimal: Decimal) -> Result<f64, String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator(text)).trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?.clone();
    let at = headers.iter().position(|h| h == column).ok_or_else(|| {
        let known: Vec<String> = headers.iter().map(|h| format!("`{h}`")).collect();
        format!("there is no column `{column}`; the columns are {}", known.join(", "))
    })?;
    let mut values = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|e| e.to_string())?;
        let value = row.get(at).unwrap_or_default();
        let line = row.position().map_or(0, csv::Position::line);
        let value = || number_of(value, decimal).map_err(|why| format!("line {line} of the CSV: {why}"));
        values.push(if pick == Pick::Count { 0.0 } else { value()? });
    }
    if pick == Pick::Count {
        return Ok(values.len() as f64);
    }
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Err(format!("the column `{column}` has no rows"));
    };
    let sum: f64 = values.iter().sum();
    Ok(match pick {
        Pick::First => *first,
        Pick::Last => *last,
        Pick::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        Pick::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Pick::Mean => sum / values.len() as f64,
        Pick::Sum | Pick::Count => sum,
    })
}

/// The separator of the columns: semicolons if the header contains some and no comma, as in files whose decimal mark is the
/// comma.
fn separator(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    if header.contains(';') && !header.contains(',') { b';' } else { b',' }
}

/// The text itself, if it is CSV.
pub(super) fn checked(text: &str) -> Result<String, String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(separator(text)).from_reader(text.as_bytes());
    reader.headers().map_err(|e| e.to_string())?;
    for row in reader.records() {
        row.map_err(|e| e.to_string())?;
    }
    Ok(text.to_owned())
}

/// A list of flat objects as CSV, with the columns in the order in which they first occur.
pub(super) fn of_json(json: &Json) -> Result<String, String> {
    let rows = json.as_array().ok_or("this is not a list of objects")?;
    let mut columns: Vec<&str> = Vec::new();
    for row in rows {
        let row = row.as_object().ok_or("this is not a list of objects")?;
        for name in row.keys() {
            if !columns.contains(&name.as_str()) {
                columns.push(name);
            }
        }
    }
    let text = |value: Option<&Json>| match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let rows = rows.iter().map(|row| columns.iter().map(|c| text(row.get(*c))).collect::<Vec<_>>());
    write(&columns, rows)
}

/// Writes a table.
pub(super) fn write<R: AsRef<[String]>>(columns: &[&str], rows: impl Iterator<Item = R>) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns).map_err(|e| e.to_string())?;
    for row in rows {
        writer.write_record(row.as_ref()).map_err(|e| e.to_string())?;
    }
    let bytes = writer.into_inner().map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| e.to_string())
}
