//! The experiment as it will run: defaults filled, expressions evaluated, cells expanded, seeds fixed.
//!
//! Nouns only: nothing in them can be invalid, and no later floor checks them again. `plan_read` makes them from a
//! scenario, or finds all its mistakes. Only the late names of a [`Template`] are still open in a plan: `${scratch}`
//! and `${repetition}` until a repetition starts, `${id}` and carried values until a request is made.

pub mod action;
pub mod cache;
pub mod collect;
pub mod containers;
pub mod control;
pub mod drivers;
pub mod expectations;
pub mod experiment;
pub mod extracted;
pub mod factors;
pub mod git;
pub mod graphs;
pub mod hosts;
pub mod links;
pub mod load;
pub mod message;
pub mod order;
pub mod programs;
pub mod reconcile;
pub mod revisions;
pub mod rows;
pub mod secrets;
pub mod socks;
pub mod start;
pub mod step;
pub mod taps;
pub mod target;
pub mod template;
mod text;
pub mod tls;
pub mod url;
pub mod workload;

pub use action::{Action, Invocation};
pub use cache::Cache;
pub use collect::{Collect, CollectSource};
pub use control::ControlPort;
pub use drivers::{Driver, Protocol};
pub use expectations::{Expectation, Subject};
pub use experiment::{Cell, CellId, Decide, Limits, Plan, Record, Repeat, Scratch, Steps};
pub use extracted::{ExtractedMetric, MetricSource, TableSource};
pub use factors::{Factor, Level};
pub use graphs::{Graph, Model, Shape};
pub use hosts::Role;
pub use links::Link;
pub use load::{Arrivals, Condition, Find, Length, Load, Pattern, Segment, Spacing, Think};
pub use message::Message;
pub use reconcile::Reconcile;
pub use revisions::{Checkout, Revisions};
pub use rows::Rows;
pub use secrets::{Auth, Secrets};
pub use socks::{Socks, SocksVersion};
pub use start::Start;
pub use step::{Body, Carry, Draw, DrawnFrom, DrawnRow, Expect, NamedOutcome, SecretParts, Selector, Step};
pub use taps::{FieldKind, Moment, Tap, TapField, TapFigure, TapJoin, TapMetric, TapSource};
pub use target::{Probe, RenderedFile, Replica, SentLine, Target};
pub use template::{Late, Part, Template};
pub use tls::Tls;
pub use url::Url;
pub use workload::Workload;
