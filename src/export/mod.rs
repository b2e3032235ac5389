//! Runs in the forms of other programs: an SQLite database, files of CSV, and those of Tor's measurements.
//!
//! In reading order: `tables` are the tables with their columns, which `schema.sql` and `views.sql` define for every format;
//! `run` tells of a run row by row, `rows` and `windows` of the tables of its repetitions; `sqlite` and `csv` write the rows
//! down. `content` says whether a run has changed since it was written, and `folder` replaces directories as a whole. What the
//! numbers mean is `analysis`'s, and nothing is computed here but the percentiles of windows.
//!
//! `transfers` are the rows of transfers, `circuits` makes circuits and streams of what a control port said meanwhile
//! (`circuit_tables` tells of them row by row), and `measured` joins both; `torperf` and `onionperf` write down what comes of it. `recent` tells of those of a time.
//!
//! Rows go through one after the other: memory grows with the figures of a run, as that of its summary does, and not with its
//! windows, samples or requests.
//!
//! A further format is a file here with a function that takes directories of runs; one that has tables implements [`Sink`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod circuit_tables;
mod circuits;
mod content;
pub mod csv;
mod folder;
mod measured;
pub mod onionperf;
pub mod recent;
mod rows;
mod run;
pub mod sqlite;
mod tables;
pub mod torperf;
pub mod trackers;
mod transfers;
mod windows;

use std::path::PathBuf;

pub use measured::{Source, Translated};
pub use run::State;
pub use tables::Table;

use record::rows::Value;

/// Where the rows of tables go.
pub trait Sink {
    /// Writes a row; its values are those of the table's columns, in their order.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn insert(&mut self, table: Table, row: &[Value<'_>]) -> Result<(), Error>;

    /// What is written from here on may be taken back. Marks do not lie within each other.
    ///
    /// # Errors
    /// As [`Sink::insert`].
    fn mark(&mut self) -> Result<(), Error>;

    /// What was written since the mark stays.
    ///
    /// # Errors
    /// As [`Sink::insert`].
    fn keep(&mut self) -> Result<(), Error>;

    /// What was written since the mark was never there.
    ///
    /// # Errors
    /// As [`Sink::insert`].
    fn take_back(&mut self) -> Result<(), Error>;
}

/// What was done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was not there before.
    Added,
    /// It was there, and has changed since.
    Updated,
    /// It was there as it is.
    Unchanged,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Name of its experiment, and its own: time and id.
    pub name: String,
    /// What was done.
    pub done: Done,
    /// Repetitions that are there now.
    pub repetitions: usize,
    /// Whether there may be more of them one day.
    pub state: State,
    /// What could not be read, and is not there.
    pub damaged: Vec<String>,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A run cannot be read.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// It cannot be aggregated.
    #[error(transparent)]
    Analysis(#[from] analysis::Error),
    /// There is something else where the export should go.
    #[error("{} {is}, and runner overwrites nothing that is not its own: expected {expected}; give another path with --out", path.display())]
    NotOurs {
        /// The path that was given.
        path: PathBuf,
        /// What is there, in words that go on after the path.
        is: String,
        /// What may be there.
        expected: &'static str,
    },
    /// A database that a runner of another version made.
    #[error(
        "{} has schema version {found}; this runner writes version {}: use a runner that writes that one, or export into another file",
        path.display(),
        sqlite::VERSION
    )]
    OtherVersion {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
    },
    /// Two runs with one name.
    #[error("{} has another run called {name}, which began at {there} and not at {here}: export this one into another file", path.display())]
    OtherRun {
        /// The database.
        path: PathBuf,
        /// Experiment and run.
        name: String,
        /// When the run began that is there.
        there: String,
        /// When this one did.
        here: String,
    },
    /// Somebody else writes to the database.
    #[error(
        "another program is writing to {}: nothing of {name} was written; export it again when that program is done",
        path.display()
    )]
    Busy {
        /// The database.
        path: PathBuf,
        /// Experiment and run.
        name: String,
    },
    /// The database was removed or replaced while a run was written.
    #[error("{} was removed or replaced meanwhile: nothing of {name} was written; export it again", path.display())]
    Gone {
        /// The database.
        path: PathBuf,
        /// Experiment and run.
        name: String,
    },
    /// The database cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A run cannot be written to the database.
    #[error("cannot write to {}{}; nothing of {name} was written", path.display(), if *full { ": the disk is full" } else { "" })]
    Write {
        /// The database.
        path: PathBuf,
        /// Experiment and run.
        name: String,
        /// Whether there is no room.
        full: bool,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A run says two things of what can only be one.
    #[error(
        "the record of {name} contradicts itself and is not exported: it has two values where there can be one, or none where one is expected"
    )]
    Contradiction {
        /// Experiment and run.
        name: String,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}{}; nothing was exported", path.display(), if *full { ": the disk is full" } else { "" })]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Whether there is no room.
        full: bool,
        /// What the system says.
        source: std::io::Error,
    },
    /// A run in which no transfer was recorded stage by stage.
    #[error("{}: this run has no transfers: `stages: true` records them", path.display())]
    NoTransfers {
        /// The run.
        path: PathBuf,
    },
    /// The tables of this program are not as it expects them: a fault of its own.
    #[error("the schema of the export is not valid")]
    Schema(#[source] rusqlite::Error),
}

impl Error {
    /// Whether something that was given is wrong, rather than something that was done.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Record(error) => !matches!(error, record::Error::Write { .. }),
            Self::NotOurs { .. }
            | Self::OtherVersion { .. }
            | Self::OtherRun { .. }
            | Self::Contradiction { .. }
            | Self::NoTransfers { .. } => true,
            _ => false,
        }
    }
}
