//! From a run on disk to what it says: a pure function of the directory.
//!
//! `tables` gathers rows of all repetitions with polars, `summarize` makes the summary of them, `summary` is its form,
//! `figures` the values in it by name, `stability`, `expectations` and `compare` what is concluded from them,
//! `text` the table for people, `curves` what graphs need beyond the summary. `stats` works on plain slices.
//! Repetitions, not requests, are the sample; percentiles come from merged histograms and are never averaged within a repetition.

pub mod compare;
pub mod curves;
pub mod expectations;
pub mod figures;
pub mod report;
pub mod stability;
pub mod stats;
pub mod summarize;
pub mod summary;
pub mod tables;
pub mod text;

pub use summarize::summarize;
pub use summary::Summary;

/// What can go wrong in aggregating.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the run.
    #[error(transparent)]
    Record(#[from] crate::record::Error),
    /// A table has other columns than expected.
    #[error("the table {} cannot be aggregated", path.display())]
    Table {
        /// Which.
        path: std::path::PathBuf,
        /// What polars said.
        source: polars::error::PolarsError,
    },
}
