//! A metric over repetitions: mean and median with their intervals.

use std::collections::HashMap;

use serde::Serialize;

use super::stats;

/// Seed of each bootstrap: the same run gives the same intervals everywhere.
const SEED: u64 = 1;

/// A metric over repetitions, with bootstrap (BCa) 95 % intervals.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// How many repetitions.
    pub n: usize,
    /// Arithmetic mean.
    pub mean: f64,
    /// Its interval; none for a single repetition.
    pub mean_interval: Option<(f64, f64)>,
    /// Median.
    pub median: f64,
    /// Its interval; none for a single repetition.
    pub median_interval: Option<(f64, f64)>,
    /// Standard deviation (n − 1); none for a single repetition.
    pub standard_deviation: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// The value of each repetition, in order.
    pub values: Vec<f64>,
}

/// How many resamples are drawn for an interval of this many values: 10 000 up to 10 values, 2 000 from 50 on, and in
/// between as many as draw 100 000 values.
///
/// Because of the resamples alone, an end of a 95 % interval has a standard error of √(p(1−p)/B)/φ(z_p) standard errors of
/// the statistic: with 2 000 that is 0.06, or 3 % of half the interval, to which the estimated bias adds as much again (the
/// test below measures it). Efron & Tibshirani 1993, ch. 14 and 19.3, use 2 000 for BCa. Few repetitions distort an interval
/// far more, see `stats::bootstrap`; there, resamples cost little, so there are many.
pub fn resamples(values: usize) -> usize {
    (100_000 / values.max(1)).clamp(2_000, 10_000)
}

/// The interval of each statistic of repetitions; none for a single one.
fn intervals<const N: usize>(values: &[f64], statistics: [fn(&[f64]) -> f64; N]) -> [Option<(f64, f64)>; N] {
    // If all values are equal, every resample is the same: there is no need to draw any.
    if values.len() > 1 && values[0].is_finite() && values.iter().all(|v| v.to_bits() == values[0].to_bits()) {
        return [Some((values[0], values[0])); N];
    }
    let found = stats::bootstrap_bca_each(values, statistics, 0.95, resamples(values.len()), SEED);
    found.map_or([None; N], |each| each.map(|interval| interval.ok().map(|i| (i.low, i.high))))
}

/// The interval of the median of repetitions; none for a single one.
pub fn median_interval(values: &[f64]) -> Option<(f64, f64)> {
    let [interval] = intervals(values, [stats::median]);
    interval
}

/// Mean and median of a metric over repetitions, with intervals; none without repetitions.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let without = without_intervals(values)?;
    let [mean_interval, median_interval] = intervals(values, [stats::mean, stats::median]);
    Some(Estimate { mean_interval, median_interval, ..without })
}

/// The same without the intervals, which take most of the time.
fn without_intervals(values: &[f64]) -> Option<Estimate> {
    if values.is_empty() {
        return None;
    }
    Some(Estimate {
        n: values.len(),
        mean: stats::mean(values),
        mean_interval: None,
        median: stats::median(values),
        median_interval: None,
        standard_deviation: (values.len() > 1).then(|| stats::standard_deviation(values)),
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        values: values.to_vec(),
    })
}

/// Estimates so far, by the bits of their values: the pass as a whole is often the same as its only step.
pub(super) struct Estimates {
    known: HashMap<Vec<u64>, Option<Estimate>>,
    with_intervals: bool,
}

impl Estimates {
    pub(super) fn new(with_intervals: bool) -> Self {
        Self { known: HashMap::new(), with_intervals }
    }

    pub(super) fn of(&mut self, values: &[f64]) -> Option<Estimate> {
        if !self.with_intervals {
            return without_intervals(values);
        }
        let bits = values.iter().map(|v| v.to_bits()).collect();
        self.known.entry(bits).or_insert_with(|| estimate(values)).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_values_have_fewer_resamples() {
        assert_eq!([1, 5, 10, 20, 50, 400].map(resamples), [10_000, 10_000, 10_000, 5_000, 2_000, 2_000]);
    }

    /// How far the ends of an interval of 100 skewed values vary with the seed, in half its width.
    #[test]
    fn an_end_varies_by_a_few_percent_of_the_interval() {
        let values: Vec<f64> = (0..100).map(|i| libm::exp(f64::from(i * 37 % 100) / 50.0)).collect();
        let spread = |resamples| {
            let ends = (0..60).map(|seed| stats::bootstrap_bca(&values, stats::mean, 0.95, resamples, seed).unwrap());
            let (low, high): (Vec<f64>, Vec<f64>) = ends.map(|i| (i.low, i.high)).unzip();
            let half = (stats::mean(&high) - stats::mean(&low)) / 2.0;
            stats::standard_deviation(&low).max(stats::standard_deviation(&high)) / half
        };
        let (few, many) = (spread(resamples(100)), spread(10_000));
        println!("2 000 resamples: {few:.3}; 10 000: {many:.3}");
        assert!(few < 0.06 && many < few, "2 000 resamples: {few:.3}; 10 000: {many:.3}");
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        let estimate = estimate(&[0.1; 7]).unwrap();
        assert_eq!((estimate.mean_interval, estimate.median_interval), (Some((0.1, 0.1)), Some((0.1, 0.1))));
        assert_eq!(super::estimate(&[0.1]).unwrap().mean_interval, None);
        assert_eq!(super::estimate(&[f64::NAN; 2]).unwrap().mean_interval, None);
    }
}
