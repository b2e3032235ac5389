//! What is collected after the load.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Auth, Decimal, MetricSource, Names, TableSource, Text, Timeout, Tls};

/// What is collected after the load: exactly one of `command`, `shell`, `fixture`, `file`, `sqlite`, `get`, and what is taken from it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Collect {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A program and its arguments; it must end with exit code 0. `${load_begin}` and `${load_end}` are the first request
    /// and the last answer of the load, in seconds since 1970.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// A program that ships with runner.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A file.
    #[serde(default)]
    pub file: Option<Text>,
    /// An SQLite database; it is opened for reading only.
    #[serde(default)]
    pub sqlite: Option<Text>,
    /// The answer to `GET` of a URL; its status must be 2xx.
    #[serde(default)]
    pub get: Option<Text>,
    /// User and password of the request.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How TLS is spoken with `https://`.
    #[serde(default)]
    pub tls: Tls,
    /// Arguments after those of `command` or `fixture`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// How long the command or request may take; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// Programs without which cells that collect this are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// Figures, one value per repetition: name to place.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricSource>,
    /// The decimal mark of all of `metrics`, where they are texts; each may say its own. A point by default.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// A table that is kept beside the repetition's other tables, as `collected/<name>.csv`.
    #[serde(default)]
    pub table: Option<TableSource>,
}
