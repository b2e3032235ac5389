//! Where metrics and tables stand in what programs write: for workloads that are commands, and for what is collected.

use schemars::JsonSchema;

use crate::types::{Decimal, Pick};

/// Where in the output of a command, in a file or a database a figure stands, or what it is made of: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricSource {
    /// The first group (or the whole match) of a regular expression in the output, a number.
    #[serde(default)]
    pub regex: Option<String>,
    /// A JSON pointer (RFC 6901) into the output, such as `/requests/average`.
    #[serde(default)]
    pub json: Option<String>,
    /// A column of output that is CSV with a header, and which of its values.
    #[serde(default)]
    pub csv: Option<CsvSource>,
    /// How many lines of the output this regular expression matches.
    #[serde(default)]
    pub lines: Option<String>,
    /// A query whose first row begins with the number; only where `sqlite` is collected.
    #[serde(default)]
    pub sql: Option<String>,
    /// `[a, b]`: the metric a divided by the metric b. `cpu_s` and `wall_s` are known of every command.
    #[serde(default)]
    pub ratio: Option<Vec<String>>,
    /// The decimal mark of the number, where it is a text; a point by default. The other of point and comma then separates
    /// thousands, and counts only between groups of three digits.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// By what the number is multiplied; 1 by default.
    #[serde(default)]
    pub times: Option<f64>,
    /// Its unit, for graphs: `1/s`, `ms`, …
    #[serde(default)]
    pub unit: Option<String>,
}

/// A column of CSV.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CsvSource {
    /// Its name in the header.
    pub column: String,
    /// Which of its values; the last by default.
    #[serde(default)]
    pub pick: Option<Pick>,
}

/// Where a table stands: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TableSource {
    /// A JSON pointer to a list of objects in the output.
    #[serde(default)]
    pub json: Option<String>,
    /// `true`: the output itself is CSV with a header.
    #[serde(default)]
    pub csv: Option<bool>,
    /// All rows of a query.
    #[serde(default)]
    pub sql: Option<String>,
}
