//! Metrics and tables that are taken from what programs write.

use serde::Serialize;

pub use vocabulary::choices::{Decimal, Pick};
use vocabulary::{Interest, NamedMetric};

/// A metric that is taken from the output of a program, a file or a database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExtractedMetric {
    /// Its name in results, graphs and expectations.
    pub name: String,
    /// Where it comes from.
    pub source: MetricSource,
    /// The decimal mark of its text.
    #[serde(skip_serializing_if = "Decimal::is_point")]
    pub decimal: Decimal,
    /// The factor by which it is multiplied.
    pub times: f64,
    /// Its unit, for graphs; empty if none is given.
    pub unit: String,
}

impl ExtractedMetric {
    /// Its description in a plan.
    pub fn named(&self) -> NamedMetric {
        NamedMetric::new(&self.name, &self.unit, Interest::Question)
    }
}

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricSource {
    /// The first group (or the whole match) of a regular expression in the output.
    Regex(String),
    /// A JSON pointer into the output.
    Json(String),
    /// The number of lines of the output that a regular expression matches.
    Lines(String),
    /// A column of CSV, and the choice among its values.
    Csv(String, Pick),
    /// The first value of the first row of a query.
    Sql(String),
    /// One metric divided by another.
    Ratio(String, String),
}

impl std::fmt::Display for MetricSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Regex(pattern) => write!(f, "regex `{pattern}`"),
            Self::Json(pointer) => write!(f, "JSON `{pointer}`"),
            Self::Lines(pattern) => write!(f, "lines with `{pattern}`"),
            Self::Csv(column, pick) => write!(f, "CSV, {} of `{column}`", pick.name()),
            Self::Sql(query) => write!(f, "query `{query}`"),
            Self::Ratio(above, below) => write!(f, "{above} / {below}"),
        }
    }
}

/// Where a table comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableSource {
    /// A JSON pointer to a list of objects.
    Json(String),
    /// The output is CSV.
    Csv,
    /// All rows of a query.
    Sql(String),
}
