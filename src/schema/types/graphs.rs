//! The pictures that answer the question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{Axis, Names, Text};

/// A picture. Exactly one of `bars`, `stack`, `ratio`, `lines`, `rounds` and `quantiles` says what it draws.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "graphs"))]
pub struct Graph {
    /// Grouped bars of this [metric](metrics.md): the median over repetitions, its bootstrap 95 % interval, and a dot for
    /// each repetition. It needs `x`.
    #[serde(default)]
    #[schemars(extend("examples" = ["throughput"]))]
    pub bars: Option<String>,
    /// A bar for each level of `x` that is made of these [metrics](metrics.md), one on the other: their medians over
    /// repetitions. All must have one unit, and their sum should mean something, such as the stages of a request. It needs
    /// `x` and has no `series`.
    #[serde(default)]
    #[schemars(extend("examples" = [["stage_connect", "stage_data_request", "stage_data_response"]]))]
    pub stack: Names,
    /// Bars of this [metric](metrics.md) as a ratio to one level of `series`: the ratio of Hodges and Lehmann with its
    /// interval. With `series: phase` it is the median of the ratios within each repetition. It needs `x`, `series` and
    /// `baseline`.
    #[serde(default)]
    #[schemars(extend("examples" = ["throughput"]))]
    pub ratio: Option<String>,
    /// This [metric](metrics.md) over the time of a repetition. With a factor as `x`: its median over repetitions at each
    /// level, with its 95 % interval, joined by lines.
    #[serde(default)]
    #[schemars(extend("examples" = ["throughput"]))]
    pub lines: Option<String>,
    /// This [metric](metrics.md) of each repetition by its round, with the median and its interval. A ring marks what lies
    /// far from the others. With a list of metrics, such as the quartiles of a time, each metric has its colour, and there is no
    /// `series`. It has no `x`.
    #[serde(default)]
    #[schemars(extend("examples" = ["response_p99"]))]
    pub rounds: Names,
    /// The distribution of a time on a logarithmic axis, all requests of all repetitions merged: `response`, `service`,
    /// `lag`, `connect` or `first_byte`. It has no `x`.
    #[serde(default)]
    #[schemars(extend("examples" = ["response"]))]
    pub quantiles: Option<String>,
    /// What is along the x axis: a factor, `step`, `workload` or `phase`. In `lines` it is a factor or `time`.
    #[serde(default)]
    #[schemars(extend("x-default" = "`time` in `lines`", "examples" = ["action"]))]
    pub x: Option<String>,
    /// The scale of the y axis: `linear`, which starts at 0 except in `rounds`, or `log`. A `stack` is always linear, and
    /// `quantiles` are always logarithmic.
    #[serde(default)]
    #[schemars(extend("x-default" = "`log` where the largest value is more than 100 times the smallest, and all are above 0", "examples" = ["log"]))]
    pub y: Option<Axis>,
    /// What the metric should be: an expression over factors and names of `let`, without `${…}`, in the unit of the y axis.
    /// It is drawn as a dashed line. Only in `lines` over a factor. See [Models](graphs.md#models).
    #[serde(default)]
    #[schemars(extend("examples" = ["connections / seconds(rtt)"]))]
    pub model: Option<Text>,
    /// What gives the colours: a factor, `step`, `workload`, `phase` (not over time), or `target` for metrics of targets,
    /// which are summed over all targets otherwise.
    #[serde(default)]
    #[schemars(extend("x-default" = "over time: `target` or `step`, for a tap `workload`", "examples" = ["processes"]))]
    pub series: Option<String>,
    /// Factors, one or a list, each of whose levels gets its own picture.
    #[serde(default)]
    #[schemars(extend("x-default" = "factors that vary and are not named", "examples" = [["proxy"]]))]
    pub facet: Names,
    /// The level of `series` that is 1 in a `ratio`; with `series: phase` a phase.
    #[serde(default)]
    #[schemars(extend("examples" = [1]))]
    pub baseline: Option<Json>,
    /// Only cells with these levels are drawn: factors with a level or a list of levels.
    #[serde(default, rename = "where")]
    #[schemars(extend("x-default" = "all cells", "examples" = [{"action": ["put", "get"]}]))]
    pub only: BTreeMap<String, Json>,
    /// Only this step is drawn.
    #[serde(default)]
    #[schemars(extend("x-default" = "the pass as a whole", "examples" = ["flag"]))]
    pub step: Option<String>,
    /// Only this workload is drawn.
    #[serde(default)]
    #[schemars(extend("x-default" = "the first that has the step", "examples" = ["readers"]))]
    pub workload: Option<String>,
    /// The title of the picture.
    #[serde(default)]
    #[schemars(extend("x-default" = "the question", "examples" = ["Flags"]))]
    pub title: Option<String>,
}
