//! The figures of a cell over its repetitions.
//!
//! polars combines the figures of one metric of one part; a row of that is a [`Series`]: a value for each repetition that
//! has one. Everything that is reported about a cell – estimates, summary, graphs, expectations, comparisons – is based on
//! these.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::figures::COLUMNS;
use super::windows::texts;

/// What figures belong to. Fields are empty if a metric does not belong to such a thing: start-up belongs to no phase, a
/// resource to no workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Name of the workload.
    pub workload: String,
    /// Name of the target.
    pub target: String,
    /// Name of the phase; for a resource, empty means the whole load.
    pub phase: String,
    /// Name of the step; `(pass)` is the pass as a whole.
    pub step: String,
}

impl Part {
    /// Whether it contains what commands reported, or what was collected; such parts have only a phase and a workload.
    pub fn is_brought(&self) -> bool {
        self.step.is_empty() && self.target.is_empty() && !self.phase.is_empty()
    }
}

/// The value of a repetition among those of a metric, which are in ascending order of the repetitions' numbers.
pub fn value_of(values: &[(u32, f64)], repetition: u32) -> Option<f64> {
    values.binary_search_by_key(&repetition, |(number, _)| *number).ok().map(|at| values[at].1)
}

/// The figures of one metric of one part of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What they belong to.
    pub part: Part,
    /// Name of the metric.
    pub metric: String,
    /// Number and value of each repetition that counts and has a value, ascending by number.
    pub values: Vec<(u32, f64)>,
    /// The same for repetitions that do not count.
    pub uncounted: Vec<(u32, f64)>,
}

/// All figures of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Ascending by part and metric, each once.
    series: Vec<Series>,
    /// Why repetitions do not count, by their number.
    pub excluded: BTreeMap<u32, String>,
    /// The units of the metrics that commands reported or that were collected, by workload and metric.
    pub units: BTreeMap<(String, String), String>,
}

impl Figures {
    /// Combines figures, such as those that `figures::figures` makes. `excluded`: repetitions that do not count.
    ///
    /// # Errors
    /// When a column is missing or has another type.
    pub(super) fn new(rows: LazyFrame, excluded: BTreeMap<u32, String>) -> PolarsResult<Self> {
        let keys: Vec<Expr> = COLUMNS[1..6].iter().map(|name| col(*name)).collect();
        let frame = rows.group_by_stable(keys).agg([col("repetition"), col("value")]).collect()?;
        let [workloads, targets, phases, steps, metrics] = texts(&frame, ["workload", "target", "phase", "step", "metric"])?;
        let (repetitions, values) = (frame.column("repetition")?.list()?, frame.column("value")?.list()?);
        let mut series = Vec::with_capacity(frame.height());
        for at in 0..frame.height() {
            let text = |column: &StringChunked| column.get(at).unwrap_or_default().to_owned();
            let part = Part { workload: text(workloads), target: text(targets), phase: text(phases), step: text(steps) };
            let [repetitions, values] = [repetitions, values].map(|list| list.get_as_series(at).unwrap_or_default());
            let mut all: Vec<(u32, f64)> =
                repetitions.u32()?.into_no_null_iter().zip(values.f64()?.into_no_null_iter()).collect();
            all.sort_by_key(|(number, _)| *number);
            let (uncounted, values) = all.into_iter().partition(|(number, _)| excluded.contains_key(number));
            series.push(Series { part, metric: text(metrics), values, uncounted });
        }
        series.sort_by(|a, b| (&a.part, &a.metric).cmp(&(&b.part, &b.metric)));
        Ok(Self { series, excluded, units: BTreeMap::new() })
    }

    /// All figures, ascending by part and metric.
    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        self.series.iter()
    }

    /// The figures that commands reported and that were collected, including the shares of named outcomes.
    pub fn brought(&self) -> impl Iterator<Item = &Series> {
        self.series.iter().filter(|s| s.part.is_brought())
    }

    /// The figures of one part.
    pub fn of_part(&self, part: &Part) -> &[Series] {
        let first = self.series.partition_point(|s| s.part < *part);
        let count = self.series[first..].partition_point(|s| s.part == *part);
        &self.series[first..first + count]
    }

    /// The values of a metric of one part; empty if it has none.
    pub fn values(&self, part: &Part, metric: &str) -> &[(u32, f64)] {
        let mine = self.of_part(part);
        mine.binary_search_by(|s| s.metric.as_str().cmp(metric)).map_or(&[], |at| &mine[at].values)
    }

    /// The same without the numbers of the repetitions.
    pub fn plain(&self, part: &Part, metric: &str) -> Vec<f64> {
        self.values(part, metric).iter().map(|(_, value)| *value).collect()
    }

    /// Replaces the value of a repetition that counts, or removes it.
    pub fn set(&mut self, part: &Part, metric: &str, repetition: u32, value: Option<f64>) {
        let place = self.series.binary_search_by(|s| (&s.part, s.metric.as_str()).cmp(&(part, metric)));
        let at = place.unwrap_or_else(|at| {
            self.series.insert(at, Series { part: part.clone(), metric: metric.to_owned(), ..Series::default() });
            at
        });
        let values = &mut self.series[at].values;
        match (values.binary_search_by_key(&repetition, |(number, _)| *number), value) {
            (Ok(at), Some(value)) => values[at].1 = value,
            (Err(at), Some(value)) => values.insert(at, (repetition, value)),
            (Ok(at), None) => drop(values.remove(at)),
            (Err(_), None) => {}
        }
    }
}
