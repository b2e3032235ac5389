//! From a run on disk to its results: a pure function of the directory.
//!
//! In reading order: `frames` scans the tables of repetitions into polars frames; `measured` is what is known about some
//! repetitions, and `windows`, `counts`, `replicas` and `steadiness` are the steps between frames that polars does not have.
//! `taps` evaluates the rows of taps, and `stages` shows where the time of requests is spent between them; `figures` makes one
//! row per metric and repetition, `cells` combines them over repetitions, `requests` makes them exact where there are raw rows,
//! and `summarize` turns them, with `shape`, into a `summary`, or the part of it that a `Detail` requests. `values` finds them
//! by name; `stability`, `expectations`, `decisions` and `compare` draw conclusions from them, and `question` is what a run
//! compares. `table` is the file of figures,
//! `text` the table for people, which `grid` fits into a terminal, `overview` the same as data, `kinds` that of a mix, `notes` what went wrong,
//! `report` the summary for continuous integration, and `curves` what graphs need beyond the figures.
//! `stats` works on plain slices. Repetitions, not requests, are the sample; percentiles come from merged histograms and are
//! never averaged within a repetition.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod cells;
pub mod compare;
mod cores;
pub mod counts;
pub mod curves;
pub mod decisions;
pub mod detail;
pub mod estimate;
pub mod expectations;
mod figures;
mod frames;
pub mod gaps;
pub mod grid;
pub mod history;
mod kinds;
mod measured;
pub mod nodes;
pub mod notes;
pub mod overview;
pub mod question;
pub mod recovery;
mod replicas;
pub mod report;
mod requests;
mod scraped;
mod shape;
pub mod stability;
mod stages;
pub mod stats;
pub mod steadiness;
pub mod summarize;
pub mod summary;
pub mod table;
mod taps;
pub mod text;
pub mod times;
pub mod values;
pub mod windows;

#[cfg(test)]
mod tests;

pub use detail::Detail;
pub use summarize::{samples, summarize};
pub use summary::Summary;

/// What can go wrong when a run is aggregated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the run.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// A table has other columns than expected.
    #[error("the table {} cannot be aggregated", path.display())]
    Table {
        /// The table that could not be read.
        path: std::path::PathBuf,
        /// Why polars could not read or compute it.
        source: polars::error::PolarsError,
    },
    /// Figures cannot be computed from tables that can be read: a bug in this program.
    #[error("the figures of a cell cannot be computed")]
    Figures(#[from] polars::error::PolarsError),
}
