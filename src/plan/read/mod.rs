//! From a scenario to a plan, or to all of its mistakes. Here `git` resolves revisions to commits; nothing is checked
//! out.
//!
//! `experiment` tells the story; `cells` is the part of it that happens in every cell, with the expressions of `expr`. Every
//! other module reads the block of its name. Only these modules read `schema`.

mod actions;
mod arrivals;
mod cells;
mod collect;
mod commands;
mod containers;
mod control;
mod diagnostics;
mod drivers;
pub mod environment;
mod expectations;
mod experiment;
pub mod expr;
mod extracted;
mod factors;
mod files;
mod graphs;
mod hosts;
mod levels;
mod lifetimes;
mod links;
mod messages;
mod names;
pub mod options;
mod probes;
mod processors;
mod programs;
#[cfg(test)]
mod properties;
mod reconcile;
mod rendered;
mod repository;
mod requests;
mod revisions;
pub mod rows;
mod socks;
mod spelling;
mod steps;
mod taps;
mod targets;
mod tls;
mod values;
mod workloads;

pub use arrivals::{amount_fits, fits};
pub use experiment::{Document, build};
pub use files::normal;
pub use options::{Here, Options, Rejection};
pub use targets::FIXTURES;
