//! Where metrics and tables are found in the output of programs: for workloads that are commands, and for `collect`.

use schemars::JsonSchema;

use crate::types::{Decimal, Pick};

/// Where a figure is found in the output of a command, in a file, an answer or a database: exactly one of `regex`,
/// `json`, `csv`, `lines`, `sql` and `ratio`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "command"))]
pub struct MetricSource {
    /// The number that this regular expression finds: its first group, or the whole match. Of a command, the output and the
    /// error output are searched.
    #[serde(default)]
    #[schemars(extend("examples" = ["([0-9]+) requests in"]))]
    pub regex: Option<String>,
    /// The number at this JSON pointer (RFC 6901) in the output.
    #[serde(default)]
    #[schemars(extend("examples" = ["/summary/requestsPerSec"]))]
    pub json: Option<String>,
    /// A column of output that is CSV with a header, and which of its values counts.
    #[serde(default)]
    #[schemars(extend("examples" = [{"column": "ms", "pick": "max"}]))]
    pub csv: Option<CsvSource>,
    /// The number of lines of the output that this regular expression matches.
    #[serde(default)]
    #[schemars(extend("examples" = ["^GET "]))]
    pub lines: Option<String>,
    /// A query of the database: the first column of its first row is the number. Only with `sqlite`.
    #[serde(default)]
    #[schemars(extend("examples" = ["select count(*) from event"]))]
    pub sql: Option<String>,
    /// One metric divided by another: `[a, b]` is a / b. Neither can be a ratio itself. A command also has `cpu_s` and
    /// `wall_s`.
    #[serde(default)]
    #[schemars(extend("examples" = [["requests", "cpu_s"]]))]
    pub ratio: Option<Vec<String>>,
    /// The decimal mark of the number, where it is a text: `point` or `comma`. The other one separates thousands, and may
    /// stand only between groups of three digits. A `ratio` has none. See [Numbers](../numbers.md).
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the command or entry, else `point`", "examples" = ["comma"]))]
    pub decimal: Option<Decimal>,
    /// The factor by which the number is multiplied.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [1000]))]
    pub times: Option<f64>,
    /// The unit of the figure, for graphs. A time (`s`, `ms`, `us`, `ns`) counts as better where it is less, a rate (`…/s`)
    /// where it is more.
    #[serde(default)]
    #[schemars(extend("x-default" = "no unit", "examples" = ["1/s"]))]
    pub unit: Option<String>,
}

/// A column of CSV with a header, and which of its values counts.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "command"))]
pub struct CsvSource {
    /// The name of the column in the header.
    #[schemars(extend("examples" = ["ms"]))]
    pub column: String,
    /// Which of the values counts: `first`, `last`, `min`, `max`, `mean`, `sum`, or `count`, which is how many there are.
    #[serde(default)]
    #[schemars(extend("x-default" = "last", "examples" = ["max"]))]
    pub pick: Option<Pick>,
}

/// Where a table is found in what is collected: exactly one of `csv`, `json` and `sql`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "collect"))]
pub struct TableSource {
    /// A JSON pointer (RFC 6901) to a list of objects, each of which is a row.
    #[serde(default)]
    #[schemars(extend("examples" = ["/rows"]))]
    pub json: Option<String>,
    /// `true`: what is collected is CSV with a header, and is kept as it is.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub csv: Option<bool>,
    /// A query, all of whose rows are the table. Only with `sqlite`.
    #[serde(default)]
    #[schemars(extend("examples" = ["select * from event"]))]
    pub sql: Option<String>,
}
