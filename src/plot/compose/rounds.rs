//! Repetitions by round.

use std::collections::BTreeSet;

use super::{Composer, PARTS, Selection, choose, level_label};
use crate::{Data, Figure, RoundPoint, RoundSeries};
use analysis::estimate::estimate;
use analysis::stats;
use analysis::summary::CellSummary;
use analysis::values;
use vocabulary::Metric;

impl Composer<'_> {
    /// A metric of each repetition; without `series`, one series for each workload.
    pub(super) fn rounds(&self, metric: &Metric) -> Option<Figure> {
        let by = self.graph.series.as_deref().or((!metric.is_resource()).then_some("workload"));
        let mut series = Vec::new();
        // What was collected belongs to no workload that sends requests.
        let collected = || self.cells().flat_map(|(_, c)| &c.metrics).filter(|m| m.metric == metric.name());
        let mut levels = match metric {
            Metric::Named(_) if by == Some("workload") => {
                collected().map(|m| m.workload.clone()).collect::<BTreeSet<String>>().into_iter().collect()
            }
            _ => self.axis(by),
        };
        if let (Some("workload"), Some(only)) = (by, &self.graph.workload) {
            levels.retain(|level| level == only);
        }
        for level in levels {
            let mut part = Selection { workload: self.graph.workload.as_deref(), ..Selection::default() };
            choose(&mut part, by, &level);
            let fits = |factor: &str, levels: &std::collections::BTreeMap<String, String>| levels.get(factor) == Some(&level);
            let chosen = |c: &CellSummary| by.is_none_or(|b| PARTS.contains(&b) || fits(b, &c.levels));
            let Some((_, cell)) = self.cells().find(|(_, c)| chosen(c)) else { continue };
            part.step = part.step.or(self.graph.step.as_deref());
            let name = match by {
                Some(factor) if !PARTS.contains(&factor) => level_label(factor, &level),
                _ => level.clone(),
            };
            series.extend(one(cell, metric, &part, name));
        }
        self.by_round(metric, series)
    }

    /// Several metrics of each repetition, each with a colour. Without `workload` those of the first one that has them.
    pub(super) fn rounds_of(&self, metrics: &[Metric]) -> Option<Figure> {
        let part =
            Selection { workload: self.graph.workload.as_deref(), step: self.graph.step.as_deref(), ..Selection::default() };
        let of = |metric: &Metric| {
            let (_, cell) = self.cells().find(|(_, cell)| !values::by_repetition(cell, metric, &part).is_empty())?;
            one(cell, metric, &part, metric.words())
        };
        self.by_round(metrics.first()?, metrics.iter().filter_map(of).collect())
    }

    fn by_round(&self, metric: &Metric, series: Vec<RoundSeries>) -> Option<Figure> {
        if series.is_empty() {
            return None;
        }
        let n = series.iter().map(|s| s.points.len()).max().unwrap_or_default();
        let log = self.is_log(series.iter().flat_map(|one| &one.points).map(|point| point.value));
        let axis = if log { "the y axis is logarithmic" } else { "the axis does not start at 0" };
        let note = format!(
            "{n} valid repetitions; dashes: their median, shaded: its bootstrap (BCa) 95 % interval; {axis}; run {}",
            self.summary.run
        );
        let unit = self.unit(metric);
        Some(self.frame(&format!("{} by round", metric.words()), &unit, "round".to_owned(), Data::Rounds { series, log }, note))
    }
}

/// A metric of a cell, one point for each repetition that has it; none where none has.
fn one(cell: &CellSummary, metric: &Metric, part: &Selection<'_>, name: String) -> Option<RoundSeries> {
    let (_, scale) = metric.axis();
    let numbered = values::by_repetition(cell, metric, part);
    let values: Vec<f64> = numbered.iter().map(|(_, v)| v * scale).collect();
    let known = values::estimate_of(cell, metric, part).filter(|_| scale == 1.0);
    let estimate = known.or_else(|| estimate(&values))?;
    let outliers = stats::outliers(&values);
    let points = numbered.iter().zip(&values).enumerate();
    let point = |(i, ((round, _), value)): (usize, (&(u32, f64), &f64))| RoundPoint {
        round: *round,
        value: *value,
        outlier: outliers.contains(&i),
    };
    Some(RoundSeries {
        name,
        points: points.map(point).collect(),
        median: Some(estimate.median),
        interval: estimate.median_interval,
    })
}
