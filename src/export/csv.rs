//! Runs as CSV files (RFC 4180), one for each table of the schema, such as `windows.csv`.
//!
//! A missing value is empty, and an empty text is `""`.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use record::rows::Value;
use record::{RunRecord, write::is_at_work};

use super::folder::{Folder, Kind, failed};
use super::run::{Ids, State, Told};
use super::tables::{Table, columns};
use super::{Done, Error, Exported, Sink, content};

const KIND: Kind =
    Kind { made_by: "runner export csv", expected: "a new or empty directory, or one that `runner export csv` made" };

/// Writes runs into a folder that is new, empty, or an earlier export. Returns what was done with each.
///
/// # Errors
/// [`Error::NotOurs`] if something else is in the folder; [`Error::WriteFile`]; those of reading and aggregating a run. The
/// folder is then unchanged.
pub fn export(runs: impl IntoIterator<Item = Result<RunRecord, Error>>, folder: &Path) -> Result<Vec<Exported>, Error> {
    let folder = Folder::begin(folder, KIND)?;
    let mut files = Files::create(folder.path())?;
    let mut ids = Ids { run: 1, cell: 1, repetition: 1 };
    let mut exported = Vec::new();
    for run in runs {
        let run = run?;
        let is_running = is_at_work(&run.path);
        let content = content::of_run(&run, is_running);
        let summary = analysis::summarize(&run)?;
        let state = State::of(&summary, is_running);
        let damaged = Told { run: &run, summary: &summary, state, content: &content }.to(&mut ids, &mut files)?;
        let name = format!("{}/{}", run.plan.experiment, run.name);
        exported.push(Exported { name, done: Done::Added, repetitions: run.repetitions.len(), state, damaged });
    }
    files.finish()?;
    let names: Vec<String> = Table::ALL.iter().map(|table| file_of(*table)).collect();
    folder.finish(&names, serde_json::json!({"schema": super::sqlite::VERSION}))?;
    Ok(exported)
}

fn file_of(table: Table) -> String {
    format!("{}.csv", table.name())
}

/// A file for each table, by its index.
struct Files {
    files: Vec<(PathBuf, BufWriter<File>)>,
    /// How long each is.
    lengths: Vec<u64>,
    /// The same at the mark.
    marked: Vec<u64>,
    line: Vec<u8>,
}

impl Files {
    fn create(folder: &Path) -> Result<Self, Error> {
        let mut files = Self { files: Vec::new(), lengths: Vec::new(), marked: Vec::new(), line: Vec::new() };
        for (table, columns) in Table::ALL.into_iter().zip(columns()?) {
            let path = folder.join(file_of(table));
            let file = File::create_new(&path).map_err(|error| failed(&path, error))?;
            files.files.push((path, BufWriter::new(file)));
            files.lengths.push(0);
            files.insert(table, &columns.iter().map(|name| Value::Text(name)).collect::<Vec<_>>())?;
        }
        Ok(files)
    }

    fn finish(self) -> Result<(), Error> {
        self.files.into_iter().try_for_each(|(path, mut file)| file.flush().map_err(|error| failed(&path, error)))
    }
}

/// A record of RFC 4180, including its line break.
fn record(row: &[Value<'_>], line: &mut Vec<u8>) {
    for (at, value) in row.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        // Writing to memory does not fail.
        let _ = match value {
            Value::Null => Ok(()),
            Value::Integer(number) => write!(line, "{number}"),
            Value::Real(number) if number.is_nan() => Ok(()),
            Value::Real(number) => write!(line, "{number}"),
            Value::Text(text) => {
                field(text, line);
                Ok(())
            }
            Value::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(line, "{byte:02x}")),
        };
    }
    line.extend(b"\r\n");
}

/// An empty text is quoted, to distinguish it from a missing one.
fn field(text: &str, line: &mut Vec<u8>) {
    let plain = !text.is_empty() && !text.contains([',', '"', '\n', '\r']);
    if plain {
        return line.extend(text.as_bytes());
    }
    line.push(b'"');
    for byte in text.bytes() {
        line.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
    }
    line.push(b'"');
}

impl Sink for Files {
    fn insert(&mut self, table: Table, row: &[Value<'_>]) -> Result<(), Error> {
        self.line.clear();
        record(row, &mut self.line);
        let (path, file) = &mut self.files[table.index()];
        file.write_all(&self.line).map_err(|error| failed(path, error))?;
        self.lengths[table.index()] += self.line.len() as u64;
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Error> {
        self.marked.clone_from(&self.lengths);
        Ok(())
    }

    fn keep(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Error> {
        for (((path, file), length), marked) in self.files.iter_mut().zip(&mut self.lengths).zip(&self.marked) {
            if length != marked {
                let cut = file
                    .flush()
                    .and_then(|()| file.get_ref().set_len(*marked))
                    .and_then(|()| file.seek(SeekFrom::Start(*marked)));
                cut.map_err(|error| failed(path, error))?;
                *length = *marked;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was() {
        let texts = ["", "plain", "a,b", "say \"x\"", "\"", "two\nlines", "cr\r", "../x", "ünï → 語", "'", "=1+1", " spaced "];
        let mut line = Vec::new();
        record(&texts.map(Value::Text), &mut line);
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_slice());
        let read: Vec<String> = reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(read, texts);
    }

    #[test]
    fn nothing_is_empty_and_no_text_is_quoted() {
        let mut line = Vec::new();
        record(
            &[
                Value::Null,
                Value::Text(""),
                Value::Integer(i64::MIN),
                Value::Real(0.1),
                Value::Real(f64::NAN),
                Value::Real(f64::INFINITY),
                Value::Bytes(b"\x00\xff"),
            ],
            &mut line,
        );
        assert_eq!(String::from_utf8(line).unwrap(), ",\"\",-9223372036854775808,0.1,,inf,00ff\r\n");
    }

    #[test]
    fn what_was_written_since_the_mark_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::create(folder.path()).unwrap();
        let row = [Value::Integer(1), Value::Text("f"), Value::Text("kept")];
        files.insert(Table::CellLevels, &row).unwrap();
        files.mark().unwrap();
        for _ in 0..10_000 {
            files.insert(Table::CellLevels, &[Value::Integer(2), Value::Text("f"), Value::Text("gone")]).unwrap();
        }
        files.take_back().unwrap();
        files.insert(Table::CellLevels, &row).unwrap();
        files.finish().unwrap();
        let text = std::fs::read_to_string(folder.path().join("cell_levels.csv")).unwrap();
        assert_eq!(text, "cell_id,factor,level\r\n1,f,kept\r\n1,f,kept\r\n");
    }
}
