//! A distribution of times in a few numbers.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::stats;

/// A distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of these times themselves: their sum of squares is divided by their number.
    pub standard_deviation: f64,
    /// First quartile.
    pub p25: u64,
    /// Median.
    pub p50: u64,
    /// Third quartile.
    pub p75: u64,
    /// 90 %.
    pub p90: u64,
    /// 95 %.
    pub p95: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %; in files it has the same name as in metrics.
    #[serde(rename = "p999")]
    pub p99_9: u64,
    /// The longest time.
    pub max: u64,
}

/// Mean, spread and percentiles of a whole histogram; none when it is empty.
pub fn times(histogram: &Histogram<u64>) -> Option<Times> {
    if histogram.is_empty() {
        return None;
    }
    let q = |q| histogram.value_at_quantile(q);
    Some(Times {
        mean: histogram.mean(),
        standard_deviation: histogram.stdev(),
        p25: q(0.25),
        p50: q(0.5),
        p75: q(0.75),
        p90: q(0.9),
        p95: q(0.95),
        p99: q(0.99),
        p99_9: q(0.999),
        max: histogram.max(),
    })
}

/// The median of each value over distributions, such as those of repetitions; none without a distribution.
pub fn medians(all: &[Times]) -> Option<Times> {
    if all.is_empty() {
        return None;
    }
    let of = |time: fn(&Times) -> f64| stats::median(&all.iter().map(time).collect::<Vec<f64>>());
    let ns = |time: fn(&Times) -> f64| of(time).round() as u64;
    Some(Times {
        mean: of(|t| t.mean),
        standard_deviation: of(|t| t.standard_deviation),
        p25: ns(|t| t.p25 as f64),
        p50: ns(|t| t.p50 as f64),
        p75: ns(|t| t.p75 as f64),
        p90: ns(|t| t.p90 as f64),
        p95: ns(|t| t.p95 as f64),
        p99: ns(|t| t.p99 as f64),
        p99_9: ns(|t| t.p99_9 as f64),
        max: ns(|t| t.max as f64),
    })
}

/// One point of a distribution.
pub fn at(times: &Times, quantile: vocabulary::Quantile) -> f64 {
    use vocabulary::Quantile;
    match quantile {
        Quantile::Mean => times.mean,
        Quantile::Stdev => times.standard_deviation,
        Quantile::P25 => times.p25 as f64,
        Quantile::P50 => times.p50 as f64,
        Quantile::P75 => times.p75 as f64,
        Quantile::P90 => times.p90 as f64,
        Quantile::P95 => times.p95 as f64,
        Quantile::P99 => times.p99 as f64,
        Quantile::P999 => times.p99_9 as f64,
        Quantile::Max => times.max as f64,
    }
}
