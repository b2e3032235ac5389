//! The files of a run on disk, written and read.
//!
//! ```text
//! results/<experiment>/<UTC time>-<id>/
//!   experiment.yaml  plan.json  manifest.json
//!   cells/<layout>/run<N>/  windows.parquet  resources.parquet  host.parquet  metrics.parquet  requests.parquet  transfers.parquet  taps/  events.jsonl  status.json  logs/
//!   summary.json
//! ```
//!
//! A run of `measure` also has `gaps.jsonl`, `measuring.json` and, while a repetition is running, its transfers so far
//! (`ahead`) and the rows that its taps have read from connections (`taps_ahead`).
//!
//! A repetition is written under a temporary name, synced and renamed: it exists either whole or not at all. Every file
//! names the version of its format. `analysis` decides what the numbers mean together.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod ahead;
mod columns;
pub mod compact;
pub mod difference;
mod durable;
pub mod files;
pub mod floor;
pub mod gaps;
pub mod live;
pub mod manifest;
pub mod merge;
pub mod names;
mod older;
pub mod parts;
pub mod read;
pub mod rows;
pub mod rows_of_parquet;
mod salvage;
pub mod spill;
pub mod status;
pub mod tables;
pub mod taps;
pub mod taps_ahead;
mod transfers;
pub mod write;

use std::path::{Path, PathBuf};

pub use merge::{MergeError, merge};
pub use plan::{
    Decide, Expectation, FieldKind, Graph, Model, Moment, Repeat, Shape, Subject, TapField, TapFigure, TapJoin, TapMetric,
};
pub use read::{PlanRecord, Repetition, RunRecord};
pub use salvage::Salvaged;
pub use status::{Status, Verdict};
pub use write::{RepetitionWriter, RunDirectory, lock, name_of_run};

/// Version of the directory's format. Raised when an old reader would misunderstand the directory.
///
/// 2: drivers in the plan; lag, connect and first-byte times in the windows; phases with what was offered and unsent.
/// 3: expectations, limits and the start of a steady state in the plan; options in the manifest, so that a run can be
/// resumed; the host in a repetition's status.
/// 4: messages over TCP and events among the drivers; what is collected; links.
/// 5: phases as long as planned, with what was open at their end and how long it was silent; windows say in which phase
/// their requests ended, and count requests that were never answered.
pub const FORMAT: u32 = 5;
/// Version of `plan.json`, which is ahead of the others.
///
/// 6: the plan contains the steps, metrics and outcomes of each protocol; metrics are referred to by name.
pub const PLAN_FORMAT: u32 = 6;
/// The oldest version that can still be read.
pub const OLDEST_FORMAT: u32 = 1;

/// What can go wrong with results on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something cannot be written.
    #[error("cannot write {}{}", path.display(), full_hint(is_full(source)))]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table cannot be written.
    #[error("cannot write the table {}{}", path.display(), full_hint(says_full(source)))]
    WriteTable {
        /// The file of the table.
        path: PathBuf,
        /// Why polars could not write it.
        source: polars::error::PolarsError,
    },
    /// A table cannot be read.
    #[error("cannot read the table {}", path.display())]
    ReadTable {
        /// The file of the table.
        path: PathBuf,
        /// Why polars could not read it.
        source: polars::error::PolarsError,
    },
    /// A JSON file is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A format that this version does not know.
    #[error("{} has format version {found}; this version of runner knows versions {OLDEST_FORMAT} to {newest}", path.display())]
    Version {
        /// The file that has this version.
        path: PathBuf,
        /// The version that it has.
        found: u64,
        /// The newest known version.
        newest: u32,
    },
    /// Another runner is writing to the directory.
    #[error(
        "another runner{} is writing to {}: wait until it ends, or interrupt it",
        holder.as_ref().map_or_else(String::new, |holder| format!(" ({holder})")),
        path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if that can be seen.
        holder: Option<String>,
    },
    /// A name in a record that could point elsewhere.
    #[error("{} has {what} `{}`, which {why}; runner never writes such a name, and refuses to use it", path.display(), name.escape_debug())]
    Name {
        /// The file with the name in it.
        path: PathBuf,
        /// What kind of thing has this name.
        what: &'static str,
        /// The name that cannot be the name of a file.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A folder of a run is a link.
    #[error("{} is a link: a resumed run writes only into its own directory; replace the link with what it points to", path.display())]
    Link {
        /// The folder that is a link.
        path: PathBuf,
    },
    /// A plan with a path that JSON cannot hold.
    #[error("the plan cannot be written as JSON; expected paths that are valid UTF-8")]
    Plan(#[source] serde_json::Error),
    /// The directory of a run no longer exists.
    #[error(
        "the results directory {} was removed or renamed during the run: it cannot be summarized, \
         and nothing was recorded after that",
        path.display()
    )]
    Gone {
        /// Its former path.
        path: PathBuf,
    },
    /// There are no results.
    #[error("there is no run in {}; expected a directory made by `runner run`", path.display())]
    NoRun {
        /// The directory in which a run was looked for.
        path: PathBuf,
    },
}

impl Error {
    /// Whether there is no room left on the disk.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Write { source, .. } => is_full(source),
            Self::WriteTable { path, source } => says_full(source) || is_without_room(path),
            _ => false,
        }
    }
}

impl Error {
    /// Whether the file system rejects the name of what was to be written: a file with another name can be written.
    pub fn is_of_its_name(&self) -> bool {
        use std::io::ErrorKind::{AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, PermissionDenied};
        let of_name = [AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, PermissionDenied];
        matches!(self, Self::Write { source, .. } if of_name.contains(&source.kind()))
    }

    /// Whether this user may not write the file, or nobody may write to this file system, however much room there is.
    pub fn is_forbidden(&self) -> bool {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(self, Self::Write { source, .. } if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem))
    }
}

fn full_hint(full: bool) -> &'static str {
    if full { " (the disk is full; every completed repetition is safe)" } else { "" }
}

/// Whether there is next to no room where a file should be: the Parquet writer reports some errors only as a failure.
fn is_without_room(path: &Path) -> bool {
    const NEXT_TO_NONE: u64 = 256 << 10;
    let there = path.ancestors().skip(1).find(|folder| folder.exists());
    there
        .and_then(|folder| rustix::fs::statvfs(folder).ok())
        .is_some_and(|s| s.f_bavail.saturating_mul(s.f_frsize) < NEXT_TO_NONE)
}

/// polars keeps only the text of an I/O error.
fn says_full(error: &polars::error::PolarsError) -> bool {
    error.to_string().contains("No space left")
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
