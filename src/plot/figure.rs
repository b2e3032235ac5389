//! What a figure shows, as plain data.
//!
//! Nothing here knows of pixels, colours or fonts; the caller decides what is compared with what, scales the values and
//! names the units in the labels. Values that are not finite are allowed everywhere and are not drawn.

use super::scale::drawable;

/// One picture: the words around it and the data inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What is shown, in one sentence; long titles are wrapped.
    pub title: String,
    /// The question that the figure answers, or the facet that it shows; may be empty.
    pub subtitle: String,
    /// The horizontal axis with its unit, e.g. `time (s)`; may be empty.
    pub x_label: String,
    /// The vertical axis with its unit, e.g. `memory (MiB)`; may be empty.
    pub y_label: String,
    /// Small print at the bottom: what a bar, an interval or a line stands for.
    pub note: Option<String>,
    /// The marks between the axes.
    pub data: Data,
}

impl Figure {
    /// The names of what has colours, in the order of its data.
    pub fn series_names(&self) -> Vec<&str> {
        fn names<T>(all: &[T], name: fn(&T) -> &str) -> Vec<&str> {
            all.iter().map(name).collect()
        }
        match &self.data {
            Data::Bars { series, .. } => names(series, |one| &one.name),
            Data::Stack { parts, .. } => names(parts, |(name, _)| name),
            Data::Lines { series, .. } => names(series, |one| &one.name),
            Data::Trend { series, .. } => names(series, |one| &one.name),
            Data::Rounds { series, .. } => names(series, |one| &one.name),
            Data::Quantiles { series } => names(series, |one| &one.name),
        }
    }
}

/// The kinds of picture.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Grouped bars: one group for each x value, in it one bar for each series.
    Bars {
        /// Names of the x values, left to right.
        groups: Vec<String>,
        /// The bars of each series, in the order of `groups`.
        series: Vec<BarSeries>,
        /// A dashed horizontal line in the unit of the y axis, e.g. ratio 1.
        reference: Option<f64>,
        /// Whether the y axis is logarithmic; otherwise it starts at zero. Bars then stand on its lower edge.
        log: bool,
    },
    /// Stacked bars: one for each x value, made of one part for each series.
    Stack {
        /// Names of the x values, left to right.
        groups: Vec<String>,
        /// The parts, from the bottom up, each with its height in the order of `groups`; `None` where nothing was measured.
        parts: Vec<(String, Vec<Option<f64>>)>,
    },
    /// Values over time.
    Lines {
        /// What is compared; each series has one colour.
        series: Vec<LineSeries>,
        /// Named stretches of time, shown behind the lines.
        phases: Vec<Phase>,
        /// Whether the y axis is logarithmic; otherwise it starts at zero.
        log: bool,
    },
    /// Means over the levels of a factor, joined by lines, with their intervals.
    Trend {
        /// Names of the levels, left to right.
        levels: Vec<String>,
        /// The positions of the levels along the x axis.
        places: LevelPositions,
        /// What is compared; each series has one colour.
        series: Vec<TrendSeries>,
        /// The name of the dashed lines of the series in the legend.
        model: Option<String>,
        /// Whether the y axis is logarithmic; otherwise it starts at zero.
        log: bool,
    },
    /// Each repetition by its round; the y axis does not start at zero.
    Rounds {
        /// What is compared; each series has one colour.
        series: Vec<RoundSeries>,
        /// Whether the y axis is logarithmic.
        log: bool,
    },
    /// Quantile curves. The x axis is log10(1 / (1 − q)), so that every further
    /// nine of the quantile takes the same width; the y axis is logarithmic.
    Quantiles {
        /// What is compared; each series is one curve.
        series: Vec<QuantileSeries>,
    },
}

impl Data {
    /// Whether there is anything to see between the axes.
    pub fn has_values(&self) -> bool {
        let there = |value: &f64| drawable(*value).is_some();
        match self {
            Data::Bars { series, .. } => series.iter().flat_map(|one| &one.bars).flatten().any(|bar| there(&bar.value)),
            Data::Stack { parts, .. } => parts.iter().flat_map(|(_, values)| values).flatten().any(there),
            Data::Lines { series, .. } => series.iter().flat_map(|one| &one.lines).flatten().any(|(_, value)| there(value)),
            Data::Trend { series, .. } => series.iter().flat_map(|one| &one.points).any(|point| there(&point.value)),
            Data::Rounds { series, .. } => series.iter().flat_map(|one| &one.points).any(|point| there(&point.value)),
            Data::Quantiles { series } => series.iter().flat_map(|one| &one.points).any(|(_, value)| there(value)),
        }
    }

    /// The name of the kind of picture, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Data::Bars { .. } => "bars",
            Data::Stack { .. } => "stack",
            Data::Lines { .. } => "lines",
            Data::Trend { .. } => "trend",
            Data::Rounds { .. } => "rounds",
            Data::Quantiles { .. } => "quantiles",
        }
    }
}

/// The bars of one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct BarSeries {
    /// The name in the legend.
    pub name: String,
    /// One entry for each group. `None` where nothing was measured: it is drawn as a cross, because an absent bar would look
    /// like zero. A list that is too short is filled with `None`.
    pub bars: Vec<Option<Bar>>,
}

/// One bar with its uncertainty, all in the unit of the y axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// The height of the bar.
    pub value: f64,
    /// Lower end of the error bar.
    pub low: f64,
    /// Upper end of the error bar.
    pub high: f64,
    /// Single repetitions, drawn as small dots, left to right in this order.
    pub points: Vec<f64>,
}

/// The lines of one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct LineSeries {
    /// The name in the legend.
    pub name: String,
    /// One line for each repetition, each a list of (seconds, value) in the order
    /// of time. A value that is not finite interrupts its line.
    pub lines: Vec<Vec<(f64, f64)>>,
    /// The median of all lines, drawn over them; empty if each line is shown separately.
    pub middle: Vec<(f64, f64)>,
}

/// The positions of levels along the x axis.
#[derive(Debug, Clone, PartialEq)]
pub enum LevelPositions {
    /// At equal distances.
    Even,
    /// By a number for each level, ascending.
    Linear(Vec<f64>),
    /// By the logarithm of a positive number for each level, ascending.
    Log(Vec<f64>),
}

/// The means of one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct TrendSeries {
    /// The name in the legend.
    pub name: String,
    /// From left to right. A level that was not requested has no point, and the line passes over it.
    pub points: Vec<TrendPoint>,
    /// What the values should be: index of the level, value. A value that is not finite interrupts the dashed line.
    pub model: Vec<(usize, f64)>,
}

/// One mean with its uncertainty, in the unit of the y axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrendPoint {
    /// Index of the level.
    pub level: usize,
    /// The mean. NaN where nothing was measured: that interrupts the line and is drawn as a cross.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// The repetitions of one colour.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundSeries {
    /// The name in the legend.
    pub name: String,
    /// In the order of rounds.
    pub points: Vec<RoundPoint>,
    /// A dashed line.
    pub median: Option<f64>,
    /// A shaded stripe.
    pub interval: Option<(f64, f64)>,
}

/// The value of one repetition, drawn as a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundPoint {
    /// Its number, from 1.
    pub round: u32,
    /// The value, in the unit of the y axis.
    pub value: f64,
    /// Whether it is marked as far from the others.
    pub outlier: bool,
}

/// A stretch of time with a name, e.g. warm-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// The name above the stretch.
    pub name: String,
    /// Start in seconds, on the time axis of the lines.
    pub start: f64,
    /// End in seconds; a phase that ends before it starts is not drawn.
    pub end: f64,
    /// Whether the phase of interest, which is highlighted among the others.
    pub marked: bool,
    /// Whether it is a fault: a stretch of a colour of its own over the phases, or a line where it is over at once.
    pub fault: bool,
}

/// One quantile curve.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileSeries {
    /// The name in the legend.
    pub name: String,
    /// Pairs (q, value) in the order of q. Points with q outside [0, 1) are not drawn; values of zero and less are on the
    /// lower edge of the log axis.
    pub points: Vec<(f64, f64)>,
}
