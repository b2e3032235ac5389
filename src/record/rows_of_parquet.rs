//! Rows of a Parquet file that somebody else wrote, as workloads draw them.

use std::fs::File;
use std::path::Path;

use polars::prelude::*;
use polars_io::SerReader as _;
use polars_io::parquet::read::ParquetReader;

use plan::Rows;

/// Reads all columns as texts; a value that is missing is empty.
///
/// # Errors
/// In words, what is wrong with the file.
pub fn read(path: &Path) -> Result<Rows, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let frame = ParquetReader::new(file).finish().map_err(|error| error.to_string())?;
    let names = frame.get_column_names().iter().map(|name| name.to_string()).collect();
    let as_text = |column: &Column| {
        let text = column.cast(&DataType::String).map_err(|error| error.to_string())?;
        Ok(text.str().map_err(|error| format!("the column {} is not text: {error}", column.name()))?.rechunk().into_owned())
    };
    let columns: Vec<StringChunked> = frame.columns().iter().map(as_text).collect::<Result<_, String>>()?;
    let mut rows = Rows::new(path.to_owned(), names);
    for row in 0..frame.height() {
        for column in &columns {
            if !rows.push(column.get(row).unwrap_or_default()) {
                return Err(format!("its values have more than {} bytes", Rows::MOST_BYTES));
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars_io::parquet::write::ParquetWriter;

    #[test]
    fn columns_become_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.parquet");
        let mut frame = DataFrame::new(
            2,
            vec![
                Column::new("name".into(), ["ann", "böb"]),
                Column::new("age".into(), [Some(31_i64), None]),
                Column::new("rate".into(), [0.5_f64, 2.0]),
            ],
        )
        .unwrap();
        ParquetWriter::new(File::create(&path).unwrap()).finish(&mut frame).unwrap();
        let rows = read(&path).unwrap();
        assert_eq!((rows.columns.clone(), rows.count()), (["name", "age", "rate"].map(str::to_owned).to_vec(), 2));
        assert_eq!((rows.value(0, 0), rows.value(0, 1), rows.value(1, 0), rows.value(1, 1)), ("ann", "31", "böb", ""));
        assert_eq!(rows.value(0, 2), "0.5");
        std::fs::write(&path, "name,age\n").unwrap();
        assert!(read(&path).is_err());
    }
}
