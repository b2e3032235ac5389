//! The ground floor: words that all floors share, and code that knows nothing about experiments.
//!
//! - `phase`, `outcome`, `quantile`, `metric`: the vocabulary of results. `metric` holds the one catalogue.
//! - `rows`: what load and observation report, and what is recorded.
//! - `choices`: fixed choices of the scenario language that mean the same on every floor.
//! - `shard`: the part of a run that is executed by itself.
//! - `units`: sizes, durations and rates as users write them.
//! - `words`: lists of names in a sentence, the name that was probably meant, and texts of other programs made safe to show.
//! - `columns`: how wide a text is on a terminal, and how it is broken into lines.
//! - `live`: the state of a run in progress.
//! - `errors`: how a chain of errors is reported.
//! - `file_names`: names of files, made from text that may be too long for a file name.
//! - `key`: the number that connects a request with what other programs report about it.
//! - `marker`, `queue`: how processes of ours are recognized, and the bounded queue to the recorder.

pub mod choices;
pub mod columns;
pub mod digest;
pub mod errors;
pub mod file_names;
pub mod key;
pub mod live;
pub mod marker;
pub mod metric;
pub mod outcome;
pub mod phase;
pub mod quantile;
pub mod queue;
pub mod rows;
pub mod shard;
pub mod units;
pub mod words;

pub use key::key_number;
pub use live::Live;
pub use metric::{Better, Exists, Interest, Metric, NamedMetric, Scope, Unit};
pub use outcome::Outcome;
pub use phase::Phase;
pub use quantile::{Quantile, Time};
pub use shard::Shard;

/// Work of another floor that is awaited. It is boxed, so that it is compiled where it is written, not again in every crate that
/// awaits it.
pub type Task<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;
