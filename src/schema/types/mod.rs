//! What each part of a scenario may say, as serde types. Unknown keys are mistakes everywhere.
//!
//! These types are read *after* `${…}` was evaluated, so they hold plain values; the JSON Schema
//! (see `json_schema`) allows an expression wherever a value may stand.

mod actions;
mod collect;
mod expectations;
mod experiment;
mod extracted;
mod factors;
mod faults;
mod graphs;
mod hosts;
mod limits;
mod links;
mod reconcile;
mod scalars;
mod scrape;
mod taps;
mod targets;
pub mod workload;

pub use actions::*;
pub use collect::*;
pub use expectations::*;
pub use experiment::*;
pub use extracted::*;
pub use factors::*;
pub use faults::*;
pub use graphs::*;
pub use hosts::*;
pub use limits::*;
pub use links::*;
pub use reconcile::*;
pub use scalars::*;
pub use scrape::*;
pub use taps::*;
pub use targets::*;
pub use vocabulary::choices::*;
pub use workload::*;
