//! The ground floor: words that all floors share, and what knows nothing of experiments.
//!
//! - `phase`, `outcome`, `quantile`, `metric`: the vocabulary of results. `metric` holds the one catalogue.
//! - `rows`: what load and observation report, and what is recorded.
//! - `choices`: fixed choices of the scenario language that mean the same on every floor.
//! - `units`: sizes, durations and rates as people write them.
//! - `words`: lists of names in a sentence, the name that was probably meant, and texts of others as they may be shown.
//! - `errors`: how a chain of errors is said.
//! - `file_names`: names of files, made of what may be too long for one.
//! - `key`: by what number a request and what others say of it find each other.
//! - `marker`, `queue`: by what processes of ours are known, and the bounded way to whoever records.

pub mod choices;
pub mod errors;
pub mod file_names;
pub mod key;
pub mod marker;
pub mod metric;
pub mod outcome;
pub mod phase;
pub mod quantile;
pub mod queue;
pub mod rows;
pub mod units;
pub mod words;

pub use key::key_number;
pub use metric::{Better, Exists, Interest, Metric, NamedMetric, Scope, Unit};
pub use outcome::Outcome;
pub use phase::Phase;
pub use quantile::{Quantile, Time};

/// Work of another floor that is waited for. Boxed, so that it is compiled where it is written, and not once more by everybody
/// who waits for it.
pub type Task<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;
