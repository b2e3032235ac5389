//! Rows of tables as plain values, for code that writes them in another form and needs no data frames.
//!
//! A table is read piece by piece, as it was written: memory use does not grow with it. The reader says which columns it
//! expects.

use std::path::{Path, PathBuf};

use polars::prelude::*;

use super::Error;
use super::tables::Pieces;

/// The value of one row in one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'v> {
    /// No value.
    Null,
    /// A whole number, or a truth value as 1 and 0.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text, which may contain anything.
    Text(&'v str),
    /// Bytes, such as an encoded histogram.
    Bytes(&'v [u8]),
}

/// The kind of values in a column, the same for all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`Value::Integer`]
    Integer,
    /// [`Value::Real`]
    Real,
    /// [`Value::Text`]
    Text,
    /// [`Value::Bytes`]
    Bytes,
}

/// Columns of keys, as defined by `vocabulary::key_number`: they are read as signed numbers of the same bits, so that keys
/// made from texts are negative.
const KEYS: [&str; 2] = ["key", "join_key"];

/// A table of a repetition, open for reading.
pub struct Table {
    path: PathBuf,
    pieces: Pieces,
}

impl Table {
    /// Opens a table; none of its rows is read yet.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::ReadTable`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { path: path.to_owned(), pieces: Pieces::open(path)? })
    }

    /// The names of its columns, in order.
    pub fn columns(&self) -> &[String] {
        &self.pieces.columns
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Reads columns of a piece, in this order. Columns that the table does not have contain nothing.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::ReadTable`] if the table is damaged, has a column of a type that runner never writes, or
    /// has numbers larger than a signed integer of 64 bits.
    pub fn piece(&self, number: usize, columns: &[&str]) -> Result<Piece, Error> {
        let frame = self.pieces.read(number, columns)?;
        let typed = |name: &&str| frame.column(name).map_or(Ok(Typed::Absent), typed);
        let columns = columns.iter().map(typed).collect::<PolarsResult<_>>();
        Ok(Piece { height: frame.height(), columns: columns.map_err(|source| self.damaged(source))? })
    }

    /// The error of a damaged table, in words that continue a sentence after its name.
    pub fn wrong(&self, words: String) -> Error {
        self.damaged(PolarsError::ComputeError(words.into()))
    }

    fn damaged(&self, source: PolarsError) -> Error {
        Error::ReadTable { path: self.path.clone(), source }
    }
}

/// Some rows of a table.
pub struct Piece {
    height: usize,
    columns: Vec<Typed>,
}

enum Typed {
    Absent,
    Signed(Int64Chunked),
    Real(Float64Chunked),
    Truth(BooleanChunked),
    Text(StringChunked),
    Bytes(BinaryChunked),
}

fn typed(column: &Column) -> PolarsResult<Typed> {
    Ok(match column.dtype() {
        DataType::Int64 => Typed::Signed(column.i64()?.rechunk().into_owned()),
        DataType::UInt32 => Typed::Signed(column.u32()?.iter().map(|number| number.map(i64::from)).collect()),
        // A key is not a quantity but 64 bits, which fit into a signed number, too.
        DataType::UInt64 if KEYS.contains(&column.name().as_str()) => {
            Typed::Signed(column.u64()?.iter().map(|number| number.map(u64::cast_signed)).collect())
        }
        DataType::UInt64 => {
            let most = column.u64()?.iter().flatten().max().unwrap_or_default();
            if i64::try_from(most).is_err() {
                let words = format!("the column `{}` holds {most}, which is larger than any valid value", column.name());
                return Err(PolarsError::ComputeError(words.into()));
            }
            Typed::Signed(column.u64()?.iter().map(|number| number.map(|n| n as i64)).collect())
        }
        DataType::Float64 => Typed::Real(column.f64()?.rechunk().into_owned()),
        DataType::Boolean => Typed::Truth(column.bool()?.rechunk().into_owned()),
        DataType::String => Typed::Text(column.str()?.rechunk().into_owned()),
        DataType::Binary => Typed::Bytes(column.binary()?.rechunk().into_owned()),
        other => {
            let words = format!("the column `{}` has the type {other}, which runner never writes", column.name());
            return Err(PolarsError::ComputeError(words.into()));
        }
    })
}

impl Piece {
    /// How many rows it has.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The kind of a column, by its position among the requested ones; none if the table does not have it.
    pub fn kind(&self, column: usize) -> Option<Kind> {
        match &self.columns[column] {
            Typed::Absent => None,
            Typed::Signed(_) | Typed::Truth(_) => Some(Kind::Integer),
            Typed::Real(_) => Some(Kind::Real),
            Typed::Text(_) => Some(Kind::Text),
            Typed::Bytes(_) => Some(Kind::Bytes),
        }
    }

    /// A value, by the position of its column among the requested ones, and by its row, below [`Self::height`].
    pub fn value(&self, column: usize, row: usize) -> Value<'_> {
        match &self.columns[column] {
            Typed::Absent => Value::Null,
            Typed::Signed(values) => values.get(row).map_or(Value::Null, Value::Integer),
            Typed::Real(values) => values.get(row).map_or(Value::Null, Value::Real),
            Typed::Truth(values) => values.get(row).map_or(Value::Null, |truth| Value::Integer(truth.into())),
            Typed::Text(values) => values.get(row).map_or(Value::Null, Value::Text),
            Typed::Bytes(values) => values.get(row).map_or(Value::Null, Value::Bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::{column, parquet};
    use super::*;

    /// A table of two pieces with these columns in each.
    fn table(columns: Vec<Column>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        let frame = DataFrame::new(columns[0].len(), columns).unwrap();
        let bytes = parquet(&path, [Ok(frame.clone()), Ok(frame)]).unwrap().unwrap();
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn every_type_of_a_run_comes_back_and_what_is_not_there_is_nothing() {
        let (_folder, path) = table(vec![
            column("u64", vec![Some(1_u64), None]),
            column("i64", vec![-1_i64, 2]),
            column("u32", vec![3_u32, 4]),
            column("f64", vec![0.5, f64::INFINITY]),
            column("bool", vec![true, false]),
            column("text", vec![Some("a\0b"), None]),
            column("bytes", vec![&b"xy"[..], &[]]),
        ]);
        let table = Table::open(&path).unwrap();
        assert_eq!((table.columns().len(), table.pieces()), (7, 2));
        let piece = table.piece(1, &["bytes", "nowhere", "u64", "i64", "u32", "f64", "bool", "text"]).unwrap();
        let row = |row| (0..8).map(|column| piece.value(column, row)).collect::<Vec<_>>();
        use Value::{Bytes, Integer, Null, Real, Text};
        let first = [Bytes(b"xy"), Null, Integer(1), Integer(-1), Integer(3), Real(0.5), Integer(1), Text("a\0b")];
        assert_eq!(row(0), first);
        let second = [Bytes(b""), Null, Null, Integer(2), Integer(4), Real(f64::INFINITY), Integer(0), Null];
        assert_eq!(row(1), second);
        assert_eq!((piece.height(), piece.kind(1), piece.kind(7)), (2, None, Some(Kind::Text)));
    }

    #[test]
    fn what_no_table_of_a_run_holds_is_named() {
        let (_folder, path) = table(vec![column("n", vec![u64::MAX]), column("small", vec![1_i32])]);
        let table = Table::open(&path).unwrap();
        let said = |name: &str| vocabulary::errors::chain(&table.piece(0, &[name]).err().unwrap());
        assert!(said("n").contains("the column `n` holds 18446744073709551615"), "{}", said("n"));
        assert!(said("small").contains("`small` has the type i32"), "{}", said("small"));
        std::fs::write(&path, "PAR1 and nothing else").unwrap();
        assert!(Table::open(&path).is_err());
    }
}
