//! A row of a comparison with the samples that it is based on.

use std::collections::BTreeMap;

use super::{Row, Verdict};
use crate::stats;
use vocabulary::Metric;

/// A row with its samples.
pub(super) struct Case {
    pub row: Row,
    pub metric: Metric,
    /// The names of the two cells.
    pub names: [String; 2],
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub pairs: Vec<(usize, usize)>,
    /// The smallest p that its test can give.
    pub smallest_p: f64,
}

impl Row {
    pub(super) fn empty() -> Self {
        Self {
            side: String::new(),
            levels: BTreeMap::new(),
            workload: String::new(),
            metric: String::new(),
            unit: String::new(),
            primary: false,
            asked: true,
            baseline_n: 0,
            baseline_median: f64::NAN,
            n: 0,
            median: f64::NAN,
            pairs: 0,
            sessions: None,
            ratio: None,
            ratio_interval: None,
            p: None,
            p_corrected: None,
            by_node: Vec::new(),
            rests_on_shape: false,
            verdict: Verdict::TooFewRepetitions,
            more_for_seen: None,
            more_for_threshold: None,
        }
    }

    /// Adds the sizes and medians of both samples.
    pub(super) fn with(self, a: &[f64], b: &[f64]) -> Self {
        Self { baseline_n: a.len(), baseline_median: stats::median(a), n: b.len(), median: stats::median(b), ..self }
    }
}

impl Case {
    /// A row that is judged by its own p.
    pub(super) fn new(row: Row, metric: &Metric, a: Vec<f64>, b: Vec<f64>, smallest_p: f64) -> Self {
        Self { row, metric: metric.clone(), names: Default::default(), a, b, pairs: Vec::new(), smallest_p }
    }
}
