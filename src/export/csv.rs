//! Runs as files of CSV (RFC 4180), one for each table of the schema: `windows.csv` and its like.
//!
//! What has no value is empty, and an empty text is `""`. The files are written into a folder beside the one that was asked
//! for, which then takes its place: whoever looks sees the export before, or this one. What is not runner's is never replaced.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use record::files::{json_bytes, make_directory, sync_below, sync_directory};
use record::rows::Value;
use record::{RunRecord, write::is_at_work};

use super::run::{Ids, State, Told};
use super::tables::{Table, columns};
use super::{Done, Error, Exported, Sink, content};

/// The file by which a folder is known to be an export.
const MARK: &str = "export.json";
/// What it says.
const MADE_BY: &str = "runner export csv";

/// Writes runs into a folder that is new, empty, or an earlier export. Returns what became of each.
///
/// # Errors
/// [`Error::NotOurs`] where something else is in the folder; [`Error::WriteFile`]; those of reading and aggregating a run. Then
/// the folder is as it was.
pub fn export(runs: impl IntoIterator<Item = Result<RunRecord, Error>>, folder: &Path) -> Result<Vec<Exported>, Error> {
    // What a link leads to is replaced, not the link.
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    may_be_replaced(&folder)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    let partial = Partial(parent.join(name));
    // What a process of this number left behind.
    let _ = std::fs::remove_dir_all(&partial.0);
    std::fs::create_dir(&partial.0).map_err(|error| failed(&partial.0, error))?;
    let mut files = Files::create(&partial.0)?;
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
    let mark = serde_json::json!({"made_by": MADE_BY, "schema": super::sqlite::VERSION, "files": names});
    let path = partial.0.join(MARK);
    std::fs::write(&path, json_bytes(&mark)).map_err(|error| failed(&path, error))?;
    sync_below(&partial.0)?;
    take_place(&partial.0, &folder)?;
    let _ = sync_directory(parent);
    Ok(exported)
}

fn file_of(table: Table) -> String {
    format!("{}.csv", table.name())
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let full = matches!(source.kind(), StorageFull | QuotaExceeded);
    Error::WriteFile { path: path.to_owned(), full, source }
}

/// A folder that is removed at the end, with whatever is in it.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a folder is not there, empty, or an export with nothing else in it.
fn may_be_replaced(folder: &Path) -> Result<(), Error> {
    let refuse = |is: String| {
        let expected = "a new or empty directory, or one that `runner export csv` made";
        Err(Error::NotOurs { path: folder.to_owned(), is, expected })
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return refuse("is not a directory".to_owned()),
        Err(source) => return Err(record::Error::Read { path: folder.to_owned(), source }.into()),
    };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mark: serde_json::Value =
        std::fs::read(folder.join(MARK)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let ours: Vec<&str> = match mark["made_by"].as_str() {
        Some(MADE_BY) => {
            mark["files"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).chain([MARK]).collect()
        }
        _ => Vec::new(),
    };
    match names.iter().find(|name| !ours.contains(&name.as_str())) {
        Some(other) => refuse(format!("holds `{}`", other.escape_debug())),
        None => Ok(()),
    }
}

/// Puts a folder in the place of another, which is then where it was.
fn take_place(from: &Path, to: &Path) -> Result<(), Error> {
    // What has come there since is somebody's.
    may_be_replaced(to)?;
    let exchanged = renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE);
    match exchanged {
        Ok(()) => Ok(()),
        // It is not there, or the file system cannot do both at once: then an empty folder is replaced, and a full one moved away.
        Err(_) => {
            let aside = from.with_extension("old");
            let _ = std::fs::rename(to, &aside);
            let renamed = std::fs::rename(from, to);
            match &renamed {
                Ok(()) => drop(std::fs::remove_dir_all(&aside)),
                Err(_) => drop(std::fs::rename(&aside, to)),
            }
            renamed.map_err(|error| failed(to, error))
        }
    }
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

/// A record of RFC 4180, its line break included.
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

/// An empty text is quoted, which tells it from no text.
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

    #[test]
    fn only_what_is_ours_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let ours = || may_be_replaced(path).is_ok();
        assert!(ours() && may_be_replaced(&path.join("not there")).is_ok());
        std::fs::write(path.join("runs.csv"), "mine").unwrap();
        assert!(!ours());
        std::fs::write(path.join(MARK), r#"{"made_by": "runner export csv", "files": ["runs.csv"]}"#).unwrap();
        assert!(ours());
        std::fs::write(path.join("notes.txt"), "mine").unwrap();
        let said = may_be_replaced(path).unwrap_err().to_string();
        assert!(said.contains("holds `notes.txt`") && said.contains("--out"), "{said}");
        assert!(may_be_replaced(&path.join("notes.txt")).unwrap_err().to_string().contains("is not a directory"));
    }

    #[test]
    fn a_folder_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let make = |name: &str, text: &str| {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join(MARK), format!(r#"{{"made_by": "{MADE_BY}", "files": [], "text": "{text}"}}"#))
                .unwrap();
        };
        make("new", "first");
        take_place(&path("new"), &path("out")).unwrap();
        make("new", "second");
        take_place(&path("new"), &path("out")).unwrap();
        assert!(std::fs::read_to_string(path("out").join(MARK)).unwrap().contains("second"));
    }
}
