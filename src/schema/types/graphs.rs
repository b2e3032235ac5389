//! The pictures that answer the question.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::types::{Names, Text};

/// A picture: exactly one of `bars`, `stack`, `ratio`, `lines`, `rounds`, `quantiles`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Graph {
    /// Grouped bars of this metric: the mean over repetitions with its 95 % interval.
    #[serde(default)]
    pub bars: Option<String>,
    /// Bars made of these metrics, one on the other: their medians over repetitions.
    #[serde(default)]
    pub stack: Names,
    /// Bars of this metric as a ratio to the `baseline` level of `series`.
    #[serde(default)]
    pub ratio: Option<String>,
    /// This metric over the time of a repetition; with a factor as `x` its mean over that, with its 95 % interval.
    #[serde(default)]
    pub lines: Option<String>,
    /// This metric of each repetition by its round; of several metrics, such as the quartiles of a time, each has a colour.
    #[serde(default)]
    pub rounds: Names,
    /// The distribution of `response` or `service` time.
    #[serde(default)]
    pub quantiles: Option<String>,
    /// Factor (or `time`, or `step`) along the x axis.
    #[serde(default)]
    pub x: Option<String>,
    /// The y axis of `lines` over a factor.
    #[serde(default)]
    pub y: Option<Axis>,
    /// An expression over the factors that tells what `lines` over a factor should be, in the unit of the y axis:
    /// `connections / (2 * seconds(rtt))`. It is drawn as a dashed line.
    #[serde(default)]
    pub model: Option<Text>,
    /// Factor (or `target`, or `step`) that gives the colours.
    #[serde(default)]
    pub series: Option<String>,
    /// Factors of which each level gets a picture of its own.
    #[serde(default)]
    pub facet: Names,
    /// The level of `series` to which `ratio` compares; with `series: phase` a phase.
    #[serde(default)]
    pub baseline: Option<Json>,
    /// Only cells with these levels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, Json>,
    /// Only this step of the passes; the pass as a whole by default.
    #[serde(default)]
    pub step: Option<String>,
    /// Only this workload, where there are several.
    #[serde(default)]
    pub workload: Option<String>,
    /// A title of its own.
    #[serde(default)]
    pub title: Option<String>,
}

/// How values are placed on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// From zero, the default.
    Linear,
    /// Logarithmic: equal ratios are equal distances.
    Log,
}
