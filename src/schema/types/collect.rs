//! What is collected after the load.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Auth, Decimal, MetricSource, Names, TableSource, Text, Timeout, Tls};

/// A source that is read after the load, while the targets still run, and the figures and the table that are taken from it.
/// It has exactly one of `command`, `shell`, `fixture`, `file`, `sqlite` and `get`, and `metrics`, a `table` or both.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "collect"))]
pub struct Collect {
    /// The entry is collected only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine on which the source is read.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine", "examples" = ["server"]))]
    pub on: Option<String>,
    /// A program and its arguments, without a shell: what it prints is the source. It must end with exit code 0.
    /// `${load_begin}` and `${load_end}` are the first request sent and the last answer, in seconds since 1970.
    #[serde(default)]
    #[schemars(extend("examples" = [["./receipts.py", "--begin", "${load_begin}", "${scratch}/events"]]))]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`: what it prints is the source. It must end with exit code 0. `${load_begin}` and
    /// `${load_end}` are the first request sent and the last answer, in seconds since 1970.
    #[serde(default)]
    #[schemars(extend("examples" = ["grep -c '^GET ' ${scratch}/access.log"]))]
    pub shell: Option<String>,
    /// A bundled program that reads what others have written: `vtp-receipts`. What it prints is the source.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A file, whose content is the source.
    #[serde(default)]
    #[schemars(extend("examples" = ["${scratch}/times.csv"]))]
    pub file: Option<Text>,
    /// An SQLite database, which is opened for reading only. `metrics` and `table` then have `sql`.
    #[serde(default)]
    #[schemars(extend("examples" = ["${scratch}/app.db"]))]
    pub sqlite: Option<Text>,
    /// A URL: the answer to a `GET` request is the source. Its status must be 2xx.
    #[serde(default)]
    #[schemars(extend("examples" = ["http://127.0.0.1:8096/stats"]))]
    pub get: Option<Text>,
    /// With `get`: user and password of the request (HTTP's basic authentication).
    #[serde(default)]
    #[schemars(extend("examples" = [{"user": "me", "password": "${env.PASSWORD}"}]))]
    pub auth: Option<Auth>,
    /// With `get`: headers of the request.
    #[serde(default)]
    #[schemars(extend("examples" = [{"accept": "application/json"}]))]
    pub headers: BTreeMap<String, Text>,
    /// With `get`: how TLS is spoken, where the URL is `https://`.
    #[serde(default)]
    #[schemars(extend("x-default" = "what the system trusts", "examples" = [{"ca": "certs/ca.pem"}]))]
    pub tls: Tls,
    /// Arguments after those of `command` or `fixture`. `shell` has them in its command line.
    #[serde(default)]
    #[schemars(extend("examples" = [["${scratch}/events"]]))]
    pub args: Vec<Text>,
    /// Environment variables of `command`, `shell` or `fixture`, added to those of `runner`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"LC_ALL": "C"}]))]
    pub env: BTreeMap<String, Text>,
    /// Working directory of `command`, `shell` or `fixture`.
    #[serde(default)]
    #[schemars(extend("x-default" = "the folder of the scenario", "examples" = ["${scratch}"]))]
    pub dir: Option<String>,
    /// How long the command or the request may take. A `file` and `sqlite` have no timeout.
    #[serde(default)]
    #[schemars(extend("x-default" = "60s", "examples" = ["5m"]))]
    pub timeout: Option<Timeout>,
    /// Programs that the entry needs: one name or a list. Where one of them is missing, cells that collect it are skipped
    /// with a warning.
    #[serde(default)]
    #[schemars(extend("examples" = ["python3"]))]
    pub needs: Names,
    /// Figures, one value per repetition: the name of each, and where it is found in the source. A name starts with a
    /// lower-case letter and consists of lower-case letters, digits and `_`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"orders": {"json": "/orders"}}]))]
    pub metrics: BTreeMap<String, MetricSource>,
    /// The decimal mark of all `metrics` that are texts: `point` or `comma`. Each metric may name its own.
    /// [Numbers](../numbers.md) says how numbers are read.
    #[serde(default)]
    #[schemars(extend("x-default" = "point", "examples" = ["comma"]))]
    pub decimal: Option<Decimal>,
    /// A table, which is kept as `collected/<name>.csv` beside the other tables of the repetition.
    #[serde(default)]
    #[schemars(extend("examples" = [{"csv": true}]))]
    pub table: Option<TableSource>,
}
