//! Numbers that describe what was measured and how certain it is: centre, spread, quantiles and intervals; whether samples
//! differ and by how much; whether a series drifts, changes or settles; how many repetitions are needed.
//!
//! Functions take plain slices and return plain values; nothing here knows of tables, units or files. Every function keeps
//! the unit of its input, except where its documentation says that the result has none.
//!
//! Where a description is not defined (the mean of nothing, the spread of one value) it is NaN, as in IEEE 754 for 0/0, so
//! that every description can be passed to the bootstrap as its `fn(&[f64]) -> f64`. Intervals and tests never return NaN:
//! they report what is wrong as an [`Error`] (the bootstrap) or a [`SampleError`] (all others).
//!
//! The same input and seed give the same bits on every machine: sums run in a fixed order, and logarithms and the like
//! come from `libm`, not from the platform.
//!
//! Left out on purpose: tests that rely on normal values alone. Student's t is used together with ranks, and contributes to
//! a p that both find together.

mod bootstrap;
mod changepoints;
mod combined;
mod dependence;
mod descriptive;
mod gate;
mod holm;
mod looks;
mod normal;
mod outliers;
mod permutation;
mod power;
mod ranks;
#[cfg(test)]
mod reference;
mod sample;
mod sessions;
mod shift_ranks;
mod steady;
mod strata;
mod student;
mod trend;
mod two_samples;
mod welch;

pub use bootstrap::{Error, Interval, bootstrap_bca, bootstrap_bca_each, bootstrap_ratio};
pub use changepoints::{e_divisive, pelt};
pub use combined::combined_p;
pub use dependence::{DependentRatio, SerialDependence, dependent_ratio, serial_dependence};
pub use descriptive::{coefficient_of_variation, mean, median, observed_quantile, quantile, standard_deviation};
pub use gate::{Family, gate};
pub use holm::holm;
pub use looks::{Decision, Look, MeanInterval, UntilError, decide, looks, mean_interval_until, safe_t};
pub use outliers::outliers;
pub use permutation::{PermutationTest, permutation_test};
pub use power::{
    RepetitionsNeeded, repetitions_after_pilot, repetitions_for_difference, repetitions_for_same, repetitions_needed,
};
pub use ranks::{RankTest, Ratio, Shift, hodges_lehmann, hodges_lehmann_ratio, hodges_lehmann_shift, mann_whitney, smallest_p};
pub use sample::SampleError;
pub use sessions::{Session, SessionComparison, compare_sessions, one_session, several_sessions, smallest_ratio};
pub use steady::{Better, Class, Segment, Steadiness, classify, warm_up_rounds};
pub use student::{Student, chi_squared_quantile, student_cdf, student_quantile, student_two_sided};
pub use trend::{Lag1, RankCorrelation, Trend, autocorrelation, effective_sample_size, kendall, lag1, spearman, theil_sen};
pub use two_samples::{
    Components, RankComparison, TwoSamples, compare_two, compare_two_by_rank, compare_two_by_rank_in, compare_two_in,
};
pub use welch::{MeanRatio, paired_t, welch};
