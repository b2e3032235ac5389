//! Runs in an SQLite database: one transaction for each, so that a run is either complete or unchanged.
//!
//! The database is one file (no write-ahead log), which may be copied, and which SQLite 3.37 and later can read.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Statement, Transaction, TransactionBehavior};

use record::RunRecord;
use record::rows::Value;

use super::run::{Ids, State, Told};
use super::tables::{SCHEMA, Table, VIEWS, columns};
use super::{Done, Error, Exported, Sink, content};

/// Version of the schema. Incremented with every change of tables or views.
pub const VERSION: i64 = 4;
/// Marks a database as runner's: `runr`.
const APPLICATION: i64 = 0x7275_6e72;
/// How long to wait for another program that is writing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Size of the page cache in KiB, however large a run is.
const CACHE_KIB: i64 = 65_536;

/// A database of ours, which may not exist yet.
///
/// It is opened again for each run, and created when there is something to write: an export that fails before leaves nothing.
pub struct Database {
    path: PathBuf,
    /// The statement that inserts into each table, by its index.
    inserts: Vec<String>,
}

impl Database {
    /// Examines what exists. Nothing is written yet.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::NotOurs`] if something else is there; [`Error::OtherVersion`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let insert = |(table, columns): (Table, Vec<String>)| {
            let places = vec!["?"; columns.len()].join(", ");
            format!("INSERT INTO {} ({}) VALUES ({places})", table.name(), columns.join(", "))
        };
        let inserts = Table::ALL.into_iter().zip(columns()?).map(insert).collect();
        if path.is_dir() {
            return Err(not_ours(path, "is a directory"));
        }
        if path.exists() {
            Opened::new(path, "")?;
        }
        Ok(Self { path: path.to_owned(), inserts })
    }

    /// Adds a run, or updates it. If it exists unchanged, nothing is written.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Write`], [`Error::Gone`], [`Error::OtherRun`], [`Error::Contradiction`]: the database is
    /// then unchanged. Those of reading and aggregating the run.
    pub fn add(&self, run: &RunRecord) -> Result<Exported, Error> {
        let name = format!("{}/{}", run.plan.experiment, run.name);
        let is_running = record::write::is_at_work(&run.path);
        let content = content::of_run(run, is_running);
        if self.path.exists()
            && let Some(exported) = Opened::new(&self.path, &name)?.unchanged(run, &content)?
        {
            return Ok(exported);
        }
        // The slow part comes first, before anybody else has to wait.
        let summary = analysis::summarize(run)?;
        let told = Told { run, summary: &summary, state: State::of(&summary, is_running), content: &content };
        let is_ours = !self.path.exists();
        let opened = Opened::new(&self.path, &name)?;
        let written = opened.write(&told, &self.inserts);
        if written.is_err() && is_ours && opened.is_in_place() && opened.is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
        written
    }
}

/// An open database, for one run.
struct Opened<'d> {
    path: &'d Path,
    /// The name of the run, for errors.
    name: &'d str,
    connection: Connection,
    /// Device and number of the file.
    file: Option<(u64, u64)>,
}

fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl<'d> Opened<'d> {
    fn new(path: &'d Path, name: &'d str) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // `:memory:` is the name of a file like any other.
        let connection = Connection::open_with_flags(Path::new(".").join(path), flags).map_err(failed)?;
        let opened = Self { path, name, connection, file: file_of(path) };
        opened.connection.busy_timeout(PATIENCE).map_err(failed)?;
        opened.is_new()?;
        opened.connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        opened.connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(failed)?;
        Ok(opened)
    }

    /// Whether the path still refers to this file.
    fn is_in_place(&self) -> bool {
        self.file.is_some() && file_of(self.path) == self.file
    }

    fn is_empty(&self) -> bool {
        std::fs::metadata(self.path).is_ok_and(|file| file.len() == 0)
    }

    /// Whether it is still empty.
    fn is_new(&self) -> Result<bool, Error> {
        let path = self.path;
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let found = number("PRAGMA application_id").and_then(|application| {
            Ok((application, number("PRAGMA user_version")?, number("SELECT COUNT(*) FROM sqlite_schema")?))
        });
        match found {
            Ok((APPLICATION, VERSION, _)) => Ok(false),
            Ok((APPLICATION, found, _)) => Err(Error::OtherVersion { path: path.to_owned(), found }),
            Ok((0, 0, 0)) => Ok(true),
            Ok(_) => Err(not_ours(path, "is a database of another program")),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(not_ours(path, "is not a database")),
            Err(source) => Err(Error::Open { path: path.to_owned(), source }),
        }
    }

    fn write(&self, told: &Told<'_>, inserts: &[String]) -> Result<Exported, Error> {
        let failed = |error| self.failed(error);
        // Without `commit`, nothing is written.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate).map_err(failed)?;
        // Another program that had the lock may have made the tables, or added the same run.
        if self.is_new()? {
            self.connection.pragma_update(None, "application_id", APPLICATION).map_err(failed)?;
            self.connection.pragma_update(None, "user_version", VERSION).map_err(failed)?;
            self.connection.execute_batch(SCHEMA).and_then(|()| self.connection.execute_batch(VIEWS)).map_err(failed)?;
        }
        if let Some(exported) = self.unchanged(told.run, told.content)? {
            return Ok(exported);
        }
        let (done, mut ids) = self.make_room(told.run).map_err(failed)?;
        let prepare = |insert: &String| self.connection.prepare(insert);
        let statements = inserts.iter().map(prepare).collect::<Result<_, _>>().map_err(failed)?;
        let mut rows = Rows { opened: self, statements };
        let damaged = told.to(&mut ids, &mut rows)?;
        drop(rows);
        // SQLite checks that only when it starts to write. What is written into a file that nobody can find any more is lost.
        if !self.is_in_place() {
            return Err(Error::Gone { path: self.path.to_owned(), name: self.name.to_owned() });
        }
        transaction.commit().map_err(failed)?;
        let repetitions = told.run.repetitions.len();
        Ok(Exported { name: self.name.to_owned(), done, repetitions, state: told.state, damaged })
    }

    /// The export of a run with this content; none if the run is missing or has other content.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if another run has its name.
    fn unchanged(&self, run: &RunRecord, content: &str) -> Result<Option<Exported>, Error> {
        if self.is_new()? {
            return Ok(None);
        }
        let query =
            "SELECT seed, started_at, content, state, (SELECT COUNT(*) FROM named_repetitions AS n WHERE n.run_id = runs.run_id)
                     FROM runs WHERE experiment = ?1 AND run = ?2";
        let row = self.connection.query_row(query, [&run.plan.experiment, &run.name], |row| {
            let texts: [String; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
            Ok((texts, row.get::<_, i64>(4)?))
        });
        let Some((texts, repetitions)) = row.optional().map_err(|error| self.failed(error))? else { return Ok(None) };
        let [seed, there, kept, state] = texts;
        let here = &run.manifest.started_at;
        if seed != run.plan.seed.to_string() || there != *here {
            let (path, name) = (self.path.to_owned(), self.name.to_owned());
            return Err(Error::OtherRun { path, name, there, here: here.clone() });
        }
        let state = [State::Whole, State::Incomplete, State::Running].into_iter().find(|s| s.name() == state);
        let Some(state) = state.filter(|_| kept == content) else { return Ok(None) };
        let damaged = || -> rusqlite::Result<Vec<String>> {
            let query = "SELECT words FROM damaged JOIN runs USING (run_id) WHERE experiment = ?1 AND run = ?2 ORDER BY row";
            let mut statement = self.connection.prepare(query)?;
            statement.query_map([&run.plan.experiment, &run.name], |row| row.get(0))?.collect()
        };
        let damaged = damaged().map_err(|error| self.failed(error))?;
        let (name, done) = (self.name.to_owned(), Done::Unchanged);
        Ok(Some(Exported { name, done, repetitions: repetitions as usize, state, damaged }))
    }

    /// Removes the rows of a run, and keeps its number.
    fn make_room(&self, run: &RunRecord) -> rusqlite::Result<(Done, Ids)> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let query = "SELECT run_id FROM runs WHERE experiment = ?1 AND run = ?2";
        let there = self.connection.query_row(query, [&run.plan.experiment, &run.name], |row| row.get::<_, i64>(0)).optional()?;
        if let Some(there) = there {
            self.connection.execute("DELETE FROM runs WHERE run_id = ?1", [there])?;
        }
        let run = match there {
            Some(there) => there,
            None => number("SELECT IFNULL(MAX(run_id), 0) + 1 FROM runs")?,
        };
        let cell = number("SELECT IFNULL(MAX(cell_id), 0) + 1 FROM cells")?;
        let repetition = number("SELECT IFNULL(MAX(repetition_id), 0) + 1 FROM repetitions")?;
        Ok((if there.is_some() { Done::Updated } else { Done::Added }, Ids { run, cell, repetition }))
    }

    /// The error in terms that the user can act on.
    fn failed(&self, source: rusqlite::Error) -> Error {
        let (path, name) = (self.path.to_owned(), self.name.to_owned());
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy { path, name },
            // SQLite detects that, with several error codes.
            _ if !self.is_in_place() => Error::Gone { path, name },
            Some(ErrorCode::ConstraintViolation) => Error::Contradiction { name, source },
            code => Error::Write { path, name, full: code == Some(ErrorCode::DiskFull), source },
        }
    }
}

fn not_ours(path: &Path, is: &str) -> Error {
    let expected = "a new file, or a database that `runner export sqlite` made";
    Error::NotOurs { path: path.to_owned(), is: is.to_owned(), expected }
}

/// Receives the rows of a run for the database.
struct Rows<'d> {
    opened: &'d Opened<'d>,
    /// By the index of the table.
    statements: Vec<Statement<'d>>,
}

/// A value for SQLite.
struct Bound<'v>(Value<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(number),
            // SQLite has no NaN, and turns it into null.
            Value::Real(number) => ValueRef::Real(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Rows<'_> {
    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.opened.connection.execute_batch(sql).map_err(|error| self.opened.failed(error))
    }
}

impl Sink for Rows<'_> {
    fn insert(&mut self, table: Table, row: &[Value<'_>]) -> Result<(), Error> {
        let statement = &mut self.statements[table.index()];
        let inserted = (|| {
            for (at, value) in row.iter().enumerate() {
                statement.raw_bind_parameter(at + 1, Bound(*value))?;
            }
            statement.raw_execute()
        })();
        inserted.map(drop).map_err(|error| self.opened.failed(error))
    }

    fn mark(&mut self) -> Result<(), Error> {
        self.execute("SAVEPOINT part")
    }

    fn keep(&mut self) -> Result<(), Error> {
        self.execute("RELEASE part")
    }

    fn take_back(&mut self) -> Result<(), Error> {
        self.execute("ROLLBACK TO part; RELEASE part")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored run, exported by `with` into an empty database.
    fn exported(path: &Path, with: impl FnOnce(&Told<'_>, &[String])) {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/results/format-2/20261122T053326Z-e9ba");
        let run = RunRecord::open(&kept).unwrap();
        let summary = analysis::summarize(&run).unwrap();
        let told = Told { run: &run, summary: &summary, state: State::Whole, content: "" };
        with(&told, &Database::open(path).unwrap().inserts);
    }

    #[test]
    fn what_is_removed_or_replaced_meanwhile_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        exported(&path, |told, inserts| {
            let gone = |opened: Opened<'_>| {
                let said = opened.write(told, inserts).unwrap_err().to_string();
                assert!(said.contains("r.db was removed or replaced during the export: nothing of a/run was written"), "{said}");
            };
            let opened = Opened::new(&path, "a/run").unwrap();
            std::fs::remove_file(&path).unwrap();
            gone(opened);
            assert!(!path.exists());
            let opened = Opened::new(&path, "a/run").unwrap();
            std::fs::rename(&path, folder.path().join("moved.db")).unwrap();
            std::fs::write(&path, "somebody else's").unwrap();
            gone(opened);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody else's");
            std::fs::remove_file(&path).unwrap();
            assert_eq!(Opened::new(&path, "a/run").unwrap().write(told, inserts).unwrap().done, Done::Added);
        });
    }
}
