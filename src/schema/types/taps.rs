//! What is followed while the load runs.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use crate::types::{Names, Text};

/// A source that is followed while the load runs, line by line: exactly one of `log`, `file`, `tcp`, `control`, `command` and
/// `shell`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "taps"))]
pub struct Tap {
    /// The source is followed only in cells in which this is true.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${n > 1}"]))]
    pub when: Option<bool>,
    /// The [role](hosts.md) of the machine on which the source is followed.
    #[serde(default)]
    #[schemars(extend("x-default" = "this machine; with `log` that of the target", "examples" = ["server"]))]
    pub on: Option<String>,
    /// A target: the output and the error output of all its replicas, from their start. In cells without the target there is
    /// no tap either. `runner` must start the target itself.
    #[serde(default)]
    #[schemars(extend("examples" = ["server"]))]
    pub log: Option<String>,
    /// A file, followed by its name as `tail -F` does: it may appear later, be truncated or be replaced. What it holds
    /// before the targets start is skipped, unless it is in `${scratch}`.
    #[serde(default)]
    #[schemars(extend("examples" = ["${scratch}/access.log"]))]
    pub file: Option<Text>,
    /// A server that speaks in lines, as `host:port`. `runner` connects to it when the targets are ready, sends the lines of
    /// `send`, and reads.
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:9051"]))]
    pub tcp: Option<Text>,
    /// With `tcp`: the lines that are sent first. Each is ended with CR LF, unless it ends with a line feed itself.
    #[serde(default)]
    #[schemars(extend("examples" = [["AUTHENTICATE \"\"", "SETEVENTS CIRC"]]))]
    pub send: Vec<Text>,
    /// Tor's control port, as `host:port` or `unix:PATH`. Each event is a row with
    /// [fields of its own](tor-control.md#rows-of-events); the tap has neither `regex` nor `types`.
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:9051"]))]
    pub control: Option<Text>,
    /// With `control`: the file with the cookie that Tor asks for (`control_auth_cookie` in its DataDirectory).
    #[serde(default)]
    #[schemars(extend("examples" = ["${kept}/tor/control_auth_cookie"]))]
    pub cookie: Option<Text>,
    /// With `control`: the events that are rows, by their names in Tor's protocol. By default they are `CIRC`, `CIRC_MINOR`,
    /// `STREAM`, `GUARD`, `BUILDTIMEOUT_SET` and `HS_DESC`.
    #[serde(default)]
    #[schemars(extend("x-default" = "those of circuits and streams", "examples" = [["CIRC", "STREAM"]]))]
    pub events: Vec<String>,
    /// A program and its arguments, whose output is read. It is started when the targets are ready and ended after the load
    /// (SIGTERM, and SIGKILL a second later). Its output is kept in `logs/tap-<name>.out` and `.err`.
    #[serde(default)]
    #[schemars(extend("examples" = [["vmstat", "-n", "1"]]))]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`, whose output is read. It is started when the targets are ready and ended after the load
    /// (SIGTERM, and SIGKILL a second later). Its output is kept in `logs/tap-<name>.out` and `.err`.
    #[serde(default)]
    #[schemars(extend("examples" = ["vmstat -n 1"]))]
    pub shell: Option<String>,
    /// Arguments after those of `command`. `shell` has them in its command line.
    #[serde(default)]
    #[schemars(extend("examples" = [["-n", "1"]]))]
    pub args: Vec<Text>,
    /// Environment variables of `command` or `shell`, added to those of `runner`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"LC_ALL": "C"}]))]
    pub env: BTreeMap<String, Text>,
    /// Working directory of `command` or `shell`.
    #[serde(default)]
    #[schemars(extend("x-default" = "the folder of the scenario", "examples" = ["${scratch}"]))]
    pub dir: Option<String>,
    /// Programs that the tap needs: one name or a list. Where one of them is missing, cells with this tap are skipped with a
    /// warning.
    #[serde(default)]
    #[schemars(extend("examples" = ["vmstat"]))]
    pub needs: Names,
    /// The regular expression of rows, which every tap but one with `control` needs. A line that it matches is a row,
    /// and each named group, `(?<name>…)`, is a field of the row. The time that matching takes grows with the length of
    /// the line and with nothing else, whatever the pattern or the line.
    #[serde(default)]
    #[schemars(extend("examples" = ["handled (?<id>\\S+), queue (?<queue>\\d+)"]))]
    pub regex: Option<String>,
    /// The types of fields that are not texts: `number` (with a decimal point), `{time: FORMAT}` as of `strftime`, `unix` or
    /// `unix-ms` (seconds or milliseconds since 1970). A time stamp without an offset is in UTC; one without a year or a date
    /// is the nearest to the time when the line was read.
    #[serde(default)]
    #[schemars(extend("x-default" = "`text`", "examples" = [{"queue": "number"}]))]
    pub types: BTreeMap<String, FieldType>,
    /// The workload whose requests the rows belong to, and the field that is the key of a request. Requests of this workload
    /// are then recorded as rows, as with `record: {requests: true}`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"workload": "typing", "key": "id"}]))]
    pub join: Option<TapJoin>,
    /// Figures that are made of the rows, one value for each phase of a repetition: the name of each, and how it is made. A
    /// name starts with a lower-case letter and consists of lower-case letters, digits and `_`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"queue_mean": {"mean": "queue"}}]))]
    pub metrics: BTreeMap<String, TapMetric>,
    /// Whether a repetition is invalid in which the source ended early or lines were lost. With `false` it counts, and both
    /// are reported.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub required: bool,
}

/// The type of a field of a tap's rows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FieldType {
    /// A text, as it was written.
    Text,
    /// A number with a decimal point.
    Number,
    /// An instant in seconds since 1970, which may have a fraction.
    Unix,
    /// An instant in milliseconds since 1970, which may have a fraction.
    UnixMs,
    /// An instant in this format of `strftime`, such as `%Y-%m-%dT%H:%M:%S.%f`; in UTC where it has no offset.
    Time(String),
}

/// The requests with which the rows of a tap are joined: those of a workload with the same key.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "taps"))]
pub struct TapJoin {
    /// The workload whose requests the rows belong to.
    #[schemars(extend("examples" = ["typing"]))]
    pub workload: String,
    /// The named group of `regex` that is the key of the request.
    #[schemars(extend("examples" = ["id"]))]
    pub key: String,
}

/// A figure that is made of a tap's rows in each phase: exactly one of `count`, `rate`, `gap`, `sum`, `mean`, `max`, `since`,
/// `until` and `from`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "taps"))]
pub struct TapMetric {
    /// `true`: the number of rows.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub count: Option<bool>,
    /// `true`: the number of rows per second.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub rate: Option<bool>,
    /// The time between neighbouring rows: the point of its distribution (`mean`, `stdev`, `p50`, `p90`, `p95`, `p99`,
    /// `p999`, `max`). A gap belongs to the phase in which it ended. After the last row there is no gap: `rate` shows that no
    /// more rows came.
    #[serde(default)]
    #[schemars(extend("examples" = ["p99"]))]
    pub gap: Option<String>,
    /// With `gap` and `from`: the field whose values are kept apart, such as the number of a connection. Neighbours are then rows with
    /// the same value.
    #[serde(default)]
    #[schemars(extend("x-default" = "all rows together", "examples" = ["connection"]))]
    pub by: Option<String>,
    /// The sum of this field, which must be a number.
    #[serde(default)]
    #[schemars(extend("examples" = ["bytes"]))]
    pub sum: Option<String>,
    /// The mean of this field, which must be a number.
    #[serde(default)]
    #[schemars(extend("examples" = ["queue"]))]
    pub mean: Option<String>,
    /// The largest value of this field, which must be a number.
    #[serde(default)]
    #[schemars(extend("examples" = ["queue"]))]
    pub max: Option<String>,
    /// The time from a moment to the row: from `intended`, `sent`, `first-byte` or `completed` of the request with the row's
    /// key, or from the first row of another tap with this key, by the name of that tap. It needs `join`.
    #[serde(default)]
    #[schemars(extend("examples" = ["sent"]))]
    pub since: Option<String>,
    /// The time from the row to a moment: to `intended`, `sent`, `first-byte` or `completed` of the request with the row's
    /// key, or to the first row of another tap with this key, by the name of that tap. It needs `join`.
    #[serde(default)]
    #[schemars(extend("examples" = ["completed"]))]
    pub until: Option<String>,
    /// The time from a row that has these values in these fields to the next row that `to` describes. The newest row of `from`
    /// counts, and it counts once. The fields are compared as texts.
    #[serde(default)]
    #[schemars(extend("examples" = [{"event": "HS_DESC", "status": "REQUESTED"}]))]
    pub from: BTreeMap<String, Text>,
    /// The row at which the time from the row of `from` ends: fields with their values. Only with `from`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"event": "HS_DESC", "status": "RECEIVED"}]))]
    pub to: BTreeMap<String, Text>,
    /// The point of the distribution of `since`, `until` or `from`: `mean`, `stdev`, `p25`, `p50`, `p75`, `p90`, `p95`, `p99`, `p999`
    /// or `max`.
    #[serde(default)]
    #[schemars(extend("x-default" = "p50", "examples" = ["p99"]))]
    pub at: Option<String>,
    /// The factor by which the value is multiplied.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [1000]))]
    pub times: Option<f64>,
    /// The unit of the metric. Of a time (`gap`, `since`, `until`) it is `ms`, `s`, `us` or `ns`, and the value is given in
    /// it. Other metrics can have any unit.
    #[serde(default)]
    #[schemars(extend("x-default" = "`ms` of a time, `1/s` of `rate`", "examples" = ["us"]))]
    pub unit: Option<String>,
}
