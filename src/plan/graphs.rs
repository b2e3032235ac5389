//! The pictures that a scenario asks for.

use serde::{Deserialize, Serialize};

use vocabulary::choices::Axis;
use vocabulary::{Metric, Time};

/// A picture, or one per level of its facets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The kind of picture, and the metric that it shows.
    pub shape: Shape,
    /// Factor (or `time`, or `step`) along the x axis.
    pub x: Option<String>,
    /// Factor (or `target`, or `step`) whose levels have different colours.
    pub series: Option<String>,
    /// Factors whose levels each get a separate picture.
    pub facet: Vec<String>,
    /// Only cells with one of these labels per factor.
    pub only: Vec<(String, Vec<String>)>,
    /// Only this step; `None`: the whole pass.
    pub step: Option<String>,
    /// Only this workload.
    pub workload: Option<String>,
    /// The scale of the y axis, if given; otherwise the values decide.
    #[serde(default)]
    pub y: Option<Axis>,
    /// The title, if given.
    pub title: Option<String>,
}

/// What a picture shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Grouped bars with intervals.
    Bars(Metric),
    /// Bars of several stacked metrics.
    Stack(Vec<Metric>),
    /// Bars as a ratio to a level of the series.
    Ratio(Metric, String),
    /// Over the time of a repetition.
    Lines(Metric),
    /// Means over the levels of a factor, joined by lines.
    Trend {
        /// The metric whose mean is drawn.
        metric: Metric,
        /// The values that it should have.
        #[serde(default)]
        model: Option<Model>,
    },
    /// Each repetition by its round.
    Rounds(Metric),
    /// The same of several metrics of one workload.
    RoundsOf(Vec<Metric>),
    /// The distribution of a time.
    Quantiles(Time),
}

/// What a metric should be, computed from the levels of each cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The expression, as typed.
    pub expression: String,
    /// Its value by the name of the cell, in the unit of the picture. Cells without a value are missing.
    pub values: Vec<(String, f64)>,
}

impl Shape {
    /// The metric that is drawn; a distribution has none, and a stack or several rounds have more than one.
    pub fn metric(&self) -> Option<&Metric> {
        match self {
            Self::Bars(m) | Self::Ratio(m, _) | Self::Lines(m) | Self::Rounds(m) | Self::Trend { metric: m, .. } => Some(m),
            Self::Stack(_) | Self::RoundsOf(_) | Self::Quantiles(_) => None,
        }
    }
}

impl Graph {
    /// The model that is drawn, if there is one.
    pub fn model_mut(&mut self) -> Option<&mut Model> {
        if let Shape::Trend { model, .. } = &mut self.shape { model.as_mut() } else { None }
    }

    /// The picture of a metric by round, one per cell.
    pub fn rounds(metric: Metric) -> Self {
        let (x, series, facet, only) = (None, None, Vec::new(), Vec::new());
        Self { shape: Shape::Rounds(metric), x, series, facet, only, step: None, workload: None, y: None, title: None }
    }
}
