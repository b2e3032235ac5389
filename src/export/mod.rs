//! Runs in the formats of other programs: an SQLite database, CSV files, what programs of monitoring read, and the files of Tor's
//! measurements.
//!
//! In reading order: `tables` are the tables with their columns, which `schema.sql` and `views.sql` define for every format;
//! `run` reads a run row by row, `rows` and `windows` read the tables of its repetitions; `sqlite` and `csv` write the rows.
//! `content` finds out whether a run has changed since it was written, and `folder` replaces directories as a whole. `analysis`
//! defines what the numbers mean, and only the percentiles of windows are computed here.
//!
//! `transfers` are the rows of transfers, `circuits` makes circuits and streams from the events of a control port
//! (`circuit_tables` writes them row by row), and `measured` joins both; `torperf` and `onionperf` write the result. `recent`
//! reads the transfers of a stretch of time.
//!
//! Rows are processed one after the other: memory grows with the figures of a run, as for its summary, and not with its
//! windows, samples or requests.
//!
//! `points` are series and histograms with labels, for programs of monitoring: `prometheus`, `otlp` and `influx` write them.
//!
//! To add a format, add a file here with a function that takes directories of runs; one that has tables implements [`Sink`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod circuit_tables;
mod circuits;
mod content;
pub mod csv;
mod folder;
pub mod influx;
mod measured;
pub mod onionperf;
pub mod otlp;
pub mod points;
pub mod prometheus;
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

/// Receives the rows of tables.
pub trait Sink {
    /// Writes a row; its values are those of the table's columns, in their order.
    ///
    /// # Errors
    /// Whatever prevents it from being written.
    fn insert(&mut self, table: Table, row: &[Value<'_>]) -> Result<(), Error>;

    /// Sets a mark: what is written from here on may be taken back. Marks are not nested.
    ///
    /// # Errors
    /// Those of [`Sink::insert`].
    fn mark(&mut self) -> Result<(), Error>;

    /// Keeps what was written since the mark.
    ///
    /// # Errors
    /// Those of [`Sink::insert`].
    fn keep(&mut self) -> Result<(), Error>;

    /// Removes what was written since the mark.
    ///
    /// # Errors
    /// Those of [`Sink::insert`].
    fn take_back(&mut self) -> Result<(), Error>;
}

/// What was done with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is new.
    Added,
    /// It existed, and has changed since.
    Updated,
    /// It existed, unchanged.
    Unchanged,
}

/// What was done with a run, and its state.
#[derive(Clone, Debug)]
pub struct Exported {
    /// Name of its experiment, and of the run: time and id.
    pub name: String,
    /// What was done.
    pub done: Done,
    /// Repetitions that the export contains now.
    pub repetitions: usize,
    /// Whether there may be more of them later.
    pub state: State,
    /// What could not be read, and is missing in the export.
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
    #[error("{} {is}, and runner overwrites only its own exports: expected {expected}; give another path with --out", path.display())]
    NotOurs {
        /// The path that was given.
        path: PathBuf,
        /// What is there, in words that continue a sentence after the path.
        is: String,
        /// What may be there.
        expected: &'static str,
    },
    /// A database that a runner of another version made.
    #[error(
        "{} has schema version {found}; this runner writes version {}: use a runner that writes that version, or export into another file",
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
    #[error("{} has another run called {name}, which started at {there} and not at {here}: export this one into another file", path.display())]
    OtherRun {
        /// The database.
        path: PathBuf,
        /// Experiment and run.
        name: String,
        /// When the run in the database started.
        there: String,
        /// When this run started.
        here: String,
    },
    /// Another program is writing to the database.
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
    #[error("{} was removed or replaced during the export: nothing of {name} was written; export it again", path.display())]
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
    /// A run has several values where there can only be one.
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
    /// The tables of this program are not as it expects them: a bug in this program.
    #[error("the schema of the export is not valid")]
    Schema(#[source] rusqlite::Error),
}

impl Error {
    /// Whether the input is wrong, rather than something that was done with it.
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
