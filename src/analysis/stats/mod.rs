//! Numbers that say what was measured and how far to believe it: centre, spread, quantiles and bootstrap intervals.
//!
//! Plain slices go in and plain values come out; nothing here knows of tables, units or files. Every function keeps
//! the unit of its input, except [`coefficient_of_variation`] and [`bootstrap_ratio`], whose results have none.
//!
//! Where a description is not defined (the mean of nothing, the spread of one value) it is NaN, as IEEE 754 has it for
//! 0/0, so that every description can be handed to the bootstrap as its `fn(&[f64]) -> f64`. The bootstrap itself
//! never returns NaN: it says what is wrong as an [`Error`].
//!
//! Left out on purpose: hypothesis tests and p-values. An interval answers "by how much" as well as "whether".

mod bootstrap;
mod descriptive;
mod normal;

pub use bootstrap::{Error, Interval, bootstrap_bca, bootstrap_ratio};
pub use descriptive::{coefficient_of_variation, mean, median, observed_quantile, quantile, standard_deviation};
