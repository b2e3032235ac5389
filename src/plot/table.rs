//! The data of a figure as a table, for those who cannot see the picture and those who want the numbers.
//!
//! Numbers have the form and the unit of the axes. What a picture shows in thousands of points has a row for each stretch of
//! time or for each quantile that people ask for.

use super::figure::{Bar, BarSeries, Data, Figure, LineSeries, QuantileSeries, RoundSeries, TrendSeries};
use super::number::{single, tick_labels};
use super::scale::{drawable, nice_step};
use super::svg::unit;

/// Rows of text under a header; all rows are as long as the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What is in each column, with its unit.
    pub header: Vec<String>,
    /// From the top down.
    pub rows: Vec<Vec<String>>,
}

/// What stands where nothing was measured.
const ABSENT: &str = "not measured";
/// About how many rows the time of a load has.
const STRETCHES: usize = 20;
/// The quantiles that have a row, as far as the distribution has them.
const QUANTILES: [f64; 9] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999];

/// The numbers that a figure shows: a column for each series, and in each row the x value first.
///
/// - bars, stacks and trends: a row for each group or level, with intervals in brackets, and a column for each model;
/// - rounds: a row for each round, then the medians;
/// - lines over time: about 20 stretches of equal length, each with the median of all points in it;
/// - distributions: a row for each of the usual quantiles that has a value.
pub fn table(figure: &Figure) -> Table {
    match &figure.data {
        Data::Bars { groups, series, .. } => bars(figure, groups, series),
        Data::Stack { groups, parts } => {
            let value = |group: usize| parts.iter().map(move |(_, values)| values.get(group).copied().flatten());
            let row = |(i, group): (usize, &String)| first(group, value(i).map(number));
            of(figure, &figure.x_label, &[], groups.iter().enumerate().map(row).collect())
        }
        Data::Lines { series, .. } => lines(figure, series),
        Data::Trend { levels, series, model, .. } => trend(figure, levels, series, model.as_deref()),
        Data::Rounds { series, .. } => rounds(figure, series),
        Data::Quantiles { series } => quantiles(figure, series),
    }
}

/// A table with a column for each series, and some more.
fn of(figure: &Figure, x: &str, more: &[String], rows: Vec<Vec<String>>) -> Table {
    let unit = unit(&figure.y_label);
    let nameless = if figure.y_label.is_empty() { "value" } else { &figure.y_label };
    let column = |name: &str| match (name.trim(), unit) {
        ("", _) => nameless.to_owned(),
        (name, "") => name.to_owned(),
        (name, unit) => format!("{name} ({unit})"),
    };
    let names = figure.series_names();
    let header = std::iter::once(x.to_owned()).chain(names.into_iter().map(column)).chain(more.iter().cloned()).collect();
    Table { header, rows }
}

fn first(x: &str, rest: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(x.to_owned()).chain(rest).collect()
}

fn number(value: Option<f64>) -> String {
    value.and_then(drawable).map_or_else(|| ABSENT.to_owned(), single)
}

/// A value with its interval, if it has one.
fn with_interval(value: f64, low: f64, high: f64) -> String {
    let interval = drawable(low).zip(drawable(high)).filter(|(low, high)| low != high && drawable(value).is_some());
    let interval = interval.map_or(String::new(), |(low, high)| format!(" ({} to {})", single(low), single(high)));
    format!("{}{interval}", number(Some(value)))
}

fn bars(figure: &Figure, groups: &[String], series: &[BarSeries]) -> Table {
    let cell = |bar: Option<&Bar>| bar.map_or_else(|| ABSENT.to_owned(), |bar| with_interval(bar.value, bar.low, bar.high));
    let row =
        |(i, group): (usize, &String)| first(group, series.iter().map(|one| cell(one.bars.get(i).and_then(Option::as_ref))));
    of(figure, &figure.x_label, &[], groups.iter().enumerate().map(row).collect())
}

fn trend(figure: &Figure, levels: &[String], series: &[TrendSeries], model: Option<&str>) -> Table {
    let cell = |one: &TrendSeries, level: usize| {
        let point = one.points.iter().find(|point| point.level == level);
        // A value that was not requested is not missing.
        point.map_or(String::new(), |point| with_interval(point.value, point.low, point.high))
    };
    let modelled: Vec<&TrendSeries> = series.iter().filter(|one| model.is_some() && !one.model.is_empty()).collect();
    let expected = |one: &TrendSeries, level: usize| {
        let value = one.model.iter().find(|(at, _)| *at == level).and_then(|(_, value)| drawable(*value));
        value.map_or(String::new(), single)
    };
    let row = |(i, level): (usize, &String)| {
        first(level, series.iter().map(|one| cell(one, i)).chain(modelled.iter().map(|one| expected(one, i))))
    };
    let name = |one: &&TrendSeries| format!("{}, {}", one.name, model.unwrap_or_default());
    let more: Vec<String> = modelled.iter().map(name).map(|name| name.trim_start_matches(", ").to_owned()).collect();
    of(figure, &figure.x_label, &more, levels.iter().enumerate().map(row).collect())
}

fn rounds(figure: &Figure, series: &[RoundSeries]) -> Table {
    let mut numbers: Vec<u32> = series.iter().flat_map(|one| one.points.iter().map(|point| point.round)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let cell = |one: &RoundSeries, round: u32| {
        let point = one.points.iter().find(|point| point.round == round);
        let far = if point.is_some_and(|point| point.outlier) { ", far from the others" } else { "" };
        format!("{}{far}", number(point.map(|point| point.value)))
    };
    let row = |round: u32| first(&round.to_string(), series.iter().map(|one| cell(one, round)));
    let median = |one: &RoundSeries| {
        let (low, high) = one.interval.unwrap_or((f64::NAN, f64::NAN));
        one.median.map_or_else(|| ABSENT.to_owned(), |median| with_interval(median, low, high))
    };
    let rows = numbers.into_iter().map(row).chain([first("median", series.iter().map(median))]).collect();
    of(figure, &figure.x_label, &[], rows)
}

fn quantiles(figure: &Figure, series: &[QuantileSeries]) -> Table {
    // The smallest value that is not below the share q: the first point that reaches it.
    let value = |one: &QuantileSeries, q: f64| {
        let reached = one.points.iter().find(|(at, value)| *at >= q && drawable(*value).is_some());
        reached.map(|(_, value)| *value)
    };
    let asked = QUANTILES.into_iter().filter(|q| series.iter().any(|one| value(one, *q).is_some()));
    let name = |q: f64| format!("{} %", single(q * 100.0));
    let row = |q: f64| first(&name(q), series.iter().map(|one| value(one, q).map_or(String::new(), single)));
    of(figure, &figure.x_label, &[], asked.map(row).collect())
}

fn lines(figure: &Figure, series: &[LineSeries]) -> Table {
    let points = |one: &LineSeries| -> Vec<(f64, f64)> {
        let drawn = |(time, value): &(f64, f64)| Some((drawable(*time)?, drawable(*value)?));
        one.lines.iter().flatten().filter_map(drawn).collect()
    };
    let all: Vec<Vec<(f64, f64)>> = series.iter().map(points).collect();
    let longest = series.iter().flat_map(|one| &one.lines).map(Vec::len).max().unwrap_or(0);
    let edges = stretches(all.iter().flatten().map(|(time, _)| *time), longest);
    let names = tick_labels(&edges, edges.get(1).map_or(1.0, |second| second - edges[0]));
    let last = edges.len().saturating_sub(2);
    let row = |i: usize| {
        // The last stretch contains its end.
        let inside = |time: f64| time >= edges[i] && (time < edges[i + 1] || i == last);
        let median = |points: &Vec<(f64, f64)>| {
            let mut found: Vec<f64> = points.iter().filter(|(time, _)| inside(*time)).map(|(_, value)| *value).collect();
            found.sort_by(f64::total_cmp);
            let half = found.len() / 2;
            let middle = |upper: f64| if found.len() % 2 == 1 { upper } else { f64::midpoint(found[half - 1], upper) };
            number(found.get(half).copied().map(middle))
        };
        first(&format!("{} to {}", names[i], names[i + 1]), all.iter().map(median))
    };
    of(figure, &figure.x_label, &[], (0..edges.len().saturating_sub(1)).map(row).collect())
}

/// Round numbers that divide all times into about `STRETCHES` parts, and not into more than a line of `longest` points has.
fn stretches(times: impl Iterator<Item = f64>, longest: usize) -> Vec<f64> {
    let (start, end) = times.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), t| (low.min(t), high.max(t)));
    if start > end {
        return Vec::new();
    }
    let parts = longest.saturating_sub(1).clamp(1, STRETCHES) as f64;
    // Times that are all the same still get a stretch.
    let step = nice_step(((end - start) / parts).max(1e-9 * start.abs().max(end.abs())).max(1e-9));
    let from = (start / step).floor();
    let count = ((end / step).ceil() - from).clamp(1.0, 2.0 * STRETCHES as f64) as u32;
    (0..=count).map(|i| (from + f64::from(i)) * step).collect()
}
