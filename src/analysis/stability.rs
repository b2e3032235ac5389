//! How stable a metric is from repetition to repetition: spread, drift, dependence of successive rounds, a different first
//! stretch, outliers.
//!
//! Nothing is removed here: anomalies are marked, and every repetition remains in all other numbers.

use serde::Serialize;

use super::estimate::estimate;
use super::stats;
use super::summary::CellSummary;
use super::values::{self, Selection};
use vocabulary::Metric;

/// Fewer repetitions than this cannot show a trend: with 4 the smallest p of Kendall's test is 0.083.
const FEWEST: usize = 5;
/// Below this p a trend or a dependence is significant.
pub const SIGNIFICANT: f64 = 0.05;
/// Seed of permutations.
const SEED: u64 = 1;

/// One metric of one workload over the rounds of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// Name of the workload.
    pub workload: String,
    /// Repetitions that count.
    pub n: usize,
    /// Median of the repetitions.
    pub median: f64,
    /// Its 95 % interval.
    pub median_interval: Option<(f64, f64)>,
    /// Standard deviation over mean.
    pub coefficient_of_variation: f64,
    /// Kendall's rank correlation between value and round: 1 always rises, −1 always falls.
    pub drift_tau: f64,
    /// How often chance alone gives a correlation this far from 0.
    pub drift_p: f64,
    /// Theil and Sen's slope over all rounds, as a share of where the line starts.
    pub drift_share: f64,
    /// Correlation between successive repetitions.
    pub lag1_autocorrelation: f64,
    /// How often chance alone gives a correlation this far from 0.
    pub lag1_p: f64,
    /// How many independent repetitions would say as much about the mean.
    pub effective_repetitions: f64,
    /// How many first rounds differ from all others.
    pub warm_up_rounds: usize,
    /// Numbers of the repetitions that are far from the others; they still count.
    pub outliers: Vec<u32>,
}

impl Stability {
    /// How far the interval reaches, to its farther end, as a share of the median.
    pub fn half_width(&self) -> Option<f64> {
        half_width(self.median, self.median_interval)
    }

    /// What suggests that the repetitions are not independent draws from one distribution, in words.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.drift_p < SIGNIFICANT {
            let up = if self.drift_share >= 0.0 { "+" } else { "−" };
            warnings.push(format!(
                "drifts, {up}{:.1} % from first to last round (p {})",
                self.drift_share.abs() * 100.0,
                p(self.drift_p)
            ));
        }
        if self.lag1_p < SIGNIFICANT {
            let how = if self.lag1_autocorrelation < 0.0 { "successive rounds alternate" } else { "successive rounds are alike" };
            warnings.push(format!("{how} (r {:.2}, p {})", self.lag1_autocorrelation, p(self.lag1_p)));
        }
        if self.warm_up_rounds > 0 {
            warnings.push(match self.warm_up_rounds {
                1 => "the first round differs from the others".to_owned(),
                n => format!("the first {n} rounds differ from the others"),
            });
        }
        if !self.outliers.is_empty() {
            let numbers: Vec<String> = self.outliers.iter().map(|n| format!("#{n}")).collect();
            warnings.push(format!("far from the others, but counted: {}", numbers.join(" ")));
        }
        warnings
    }
}

/// A p value in words.
pub fn p(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{}", (p * 10_000.0).round() / 10_000.0) }
}

/// How far an interval reaches, to its farther end, as a share of the value that it belongs to.
pub fn half_width(centre: f64, interval: Option<(f64, f64)>) -> Option<f64> {
    let (low, high) = interval?;
    // If the value is always 0, the interval is as narrow as possible.
    if low == high {
        return Some(0.0);
    }
    (centre != 0.0).then(|| (high - centre).max(centre - low) / centre.abs())
}

/// The stability of `metric` in each workload of a cell; empty with fewer than five repetitions.
pub fn of_cell(cell: &CellSummary, metric: &Metric) -> Vec<Stability> {
    let mut names = values::workloads(cell);
    // Metrics of targets are the same for all workloads.
    names.truncate(if metric.is_resource() { 1 } else { names.len() });
    names.into_iter().filter_map(|workload| of_workload(cell, metric, workload)).collect()
}

fn of_workload(cell: &CellSummary, metric: &Metric, workload: &str) -> Option<Stability> {
    let part = Selection { workload: Some(workload), ..Selection::default() };
    let numbered = values::by_repetition(cell, metric, &part);
    if numbered.len() < FEWEST {
        return None;
    }
    let values: Vec<f64> = numbered.iter().map(|(_, v)| *v).collect();
    let estimate = values::estimate_of(cell, metric, &part).or_else(|| estimate(&values))?;
    let trend = stats::kendall(&values).ok()?;
    let memory = stats::lag1(&values).ok()?;
    let slope = stats::theil_sen(&values);
    let whole = slope * (values.len() - 1) as f64;
    let outliers = stats::outliers(&values);
    Some(Stability {
        workload: workload.to_owned(),
        n: values.len(),
        median: estimate.median,
        median_interval: estimate.median_interval,
        coefficient_of_variation: finite(stats::coefficient_of_variation(&values)),
        drift_tau: trend.tau,
        drift_p: trend.p,
        drift_share: drift(estimate.median, whole),
        lag1_autocorrelation: memory.r,
        lag1_p: memory.p,
        effective_repetitions: stats::effective_sample_size(&values),
        warm_up_rounds: stats::warm_up_rounds(&values, SEED),
        outliers: outliers.into_iter().map(|i| numbered[i].0).collect(),
    })
}

/// How far a series goes from its first to its last round along a line through its median, as a share of where it starts: it cannot
/// lose more than all of it. `whole`: the difference between the ends of the line.
pub fn drift(median: f64, whole: f64) -> f64 {
    let start = median - whole / 2.0;
    // A line that starts at 0 or below says nothing of shares.
    if start > 0.0 { (whole / start).max(-1.0) } else { finite(whole / median) }
}

/// Zero where the divisor is 0: if all values are 0, there is no spread.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}
