//! What is followed while the load runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Names, Text};

/// A source that is followed while the load runs, line by line: exactly one of `log`, `file`, `tcp`, `control`, `command`,
/// `shell`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tap {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// The output and the error output of all replicas of this target.
    #[serde(default)]
    pub log: Option<String>,
    /// A file: it may appear later, be truncated and be replaced by another one.
    #[serde(default)]
    pub file: Option<Text>,
    /// `host:port` of a server that speaks in lines. It is connected to when the targets are ready.
    #[serde(default)]
    pub tcp: Option<Text>,
    /// Lines that are sent to it first.
    #[serde(default)]
    pub send: Vec<Text>,
    /// Tor's control port, as `host:port` or `unix:PATH`. Each event is a row, with the fields that events have.
    #[serde(default)]
    pub control: Option<Text>,
    /// With `control`: the file with the cookie that one must know.
    #[serde(default)]
    pub cookie: Option<Text>,
    /// With `control`: which events; those of circuits, streams, guards, time-outs and onion services by default.
    #[serde(default)]
    pub events: Vec<String>,
    /// A program and its arguments, whose output is read. It is started when the targets are ready and ended behind the load.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`, likewise.
    #[serde(default)]
    pub shell: Option<String>,
    /// Arguments after those of `command`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// Programs without which cells that have this are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// A line that it matches is a row, of which each named group is a field: `handled (?<id>\S+) in (?<took>[0-9.]+) ms`. Needed by all
    /// but `control`.
    #[serde(default)]
    pub regex: Option<String>,
    /// What fields are that are not texts.
    #[serde(default)]
    pub types: BTreeMap<String, FieldType>,
    /// The workload whose requests have the same keys as the rows.
    #[serde(default)]
    pub join: Option<TapJoin>,
    /// Figures that are made of the rows, one value for each phase of a repetition.
    #[serde(default)]
    pub metrics: BTreeMap<String, TapMetric>,
    /// Whether a repetition in which the source ends early, or lines are lost, is invalid. It counts otherwise, and both are told.
    #[serde(default)]
    pub required: bool,
}

/// What a field is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldType {
    /// As it was written.
    Text,
    /// A number with a decimal point.
    Number,
    /// An instant in seconds since 1970, which may have a fraction.
    Unix,
    /// An instant in milliseconds since 1970, likewise.
    UnixMs,
    /// An instant in this format of `strftime`, such as `%Y-%m-%dT%H:%M:%S.%f`; in UTC where it has no offset.
    Time(String),
}

/// With what the rows of a tap are joined.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TapJoin {
    /// The workload.
    pub workload: String,
    /// The group of `regex` that is the key of the request.
    pub key: String,
}

/// What is made of the rows in each phase: exactly one of `count`, `rate`, `gap`, `sum`, `mean`, `max`, `since`, `until`, `from`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TapMetric {
    /// `true`: how many there are.
    #[serde(default)]
    pub count: Option<bool>,
    /// `true`: how many there are per second.
    #[serde(default)]
    pub rate: Option<bool>,
    /// The time between neighbouring rows: which point of its distribution.
    #[serde(default)]
    pub gap: Option<String>,
    /// The field by which neighbours are told apart, such as the number of a connection; only with `gap` and `from`.
    #[serde(default)]
    pub by: Option<String>,
    /// The sum of this field.
    #[serde(default)]
    pub sum: Option<String>,
    /// The mean of this field.
    #[serde(default)]
    pub mean: Option<String>,
    /// The largest value of this field.
    #[serde(default)]
    pub max: Option<String>,
    /// The time from `intended`, `sent`, `first-byte` or `completed` of the request with the same key, or from the row of another tap
    /// with the same key, to the row.
    #[serde(default)]
    pub since: Option<String>,
    /// The time from the row to such an instant.
    #[serde(default)]
    pub until: Option<String>,
    /// The time from a row that has these values in these fields to the next one that `to` describes. The newest such row counts, and
    /// counts once.
    #[serde(default)]
    #[schemars(extend("examples" = [{"event": "HS_DESC", "status": "REQUESTED"}]))]
    pub from: BTreeMap<String, Text>,
    /// The row at which the time from the row of `from` ends, likewise; only with `from`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"event": "HS_DESC", "status": "RECEIVED"}]))]
    pub to: BTreeMap<String, Text>,
    /// Which point of the distribution of `since`, `until` or `from`.
    #[serde(default)]
    #[schemars(extend("x-default" = "`p50`"))]
    pub at: Option<String>,
    /// By what the value is multiplied; 1 by default.
    #[serde(default)]
    pub times: Option<f64>,
    /// Its unit. Times are in `ms`, or in `s`, `us` or `ns` where this says so.
    #[serde(default)]
    pub unit: Option<String>,
}
