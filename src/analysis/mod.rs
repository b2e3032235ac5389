//! From a run on disk to what it says: a pure function of the directory.
//!
//! In reading order: `tables` reads a repetition with polars, `windows` is what it found of the requests, `counts` a
//! distribution of times; `repetition` holds the results of one repetition, `requests` exact percentiles where there are raw
//! rows, `summarize` the summary of all, or as much of it as a `Detail` asks for; `summary` is its form. `values` are those in it by name; `steadiness`,
//! `stability`, `expectations`, `decisions` and `compare` are what is concluded. `text` is the table for people, `report` that for
//! continuous integration, `curves` what graphs need beyond the summary. `stats` works on plain slices.
//! Repetitions, not requests, are the sample; percentiles come from merged histograms and are never averaged within a repetition.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::panic))]

pub mod compare;
pub mod counts;
pub mod curves;
pub mod decisions;
pub mod detail;
pub mod estimate;
pub mod expectations;
mod repetition;
pub mod report;
mod requests;
pub mod stability;
pub mod stats;
pub mod steadiness;
pub mod summarize;
pub mod summary;
pub mod tables;
pub mod text;
pub mod times;
pub mod values;
pub mod windows;

#[cfg(test)]
mod tests;

pub use detail::Detail;
pub use summarize::{samples, summarize};
pub use summary::Summary;

/// What can go wrong in aggregating.
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
}
