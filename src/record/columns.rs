//! Frames made of columns, and the names behind the numbers in rows.

use polars::prelude::*;

/// The names behind the numbers in the rows of one workload, or of what is collected.
#[derive(Clone, Debug)]
pub struct WorkloadNames {
    /// The name of the workload itself.
    pub workload: String,
    /// The names of its steps, in the order of a pass, and of the kinds of passes.
    pub steps: Vec<String>,
    /// Whether a pass is its only step, and so has no rows of its own.
    pub single: bool,
    /// The outcomes that it names.
    pub outcomes: Vec<String>,
    /// The names of the metrics that its command reports.
    pub metrics: Vec<String>,
}

/// A column of values, such as a `Vec` of numbers, texts or options of them.
pub fn column<T, P>(name: &str, values: P) -> Column
where
    P: AsRef<T>,
    T: ?Sized,
    Series: NamedFrom<P, T>,
{
    Series::new(name.into(), values).into()
}

#[allow(clippy::expect_used, reason = "it cannot fail, for the reason in its message")]
pub(super) fn frame(height: usize, columns: Vec<Column>) -> DataFrame {
    DataFrame::new(height, columns).expect("all columns are made from the same rows")
}
