//! What is known about each cell while a run is repeated: the median so far, and how wide its interval is.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::analysis::decisions::{self, Decided, Sample};
use crate::analysis::stability::half_width;
use crate::analysis::stats::{self, UntilError, mean_interval_until};
use crate::analysis::values::{self, Selection};
use crate::analysis::{self, estimate, summarize};
use crate::plan::{Decide, Repeat};
use crate::record::{Repetition, RunRecord, Status, Verdict};
use crate::vocabulary::Metric;

/// The values of all repetitions so far.
pub(super) struct Known {
    run: RunRecord,
    repeat: Repeat,
    /// By cell and workload.
    values: BTreeMap<(usize, String), MetricSoFar>,
}

/// A mean is never known with fewer rounds, see [`mean_interval_until`].
pub(super) const FEWEST: usize = 10;

/// What is known about one metric of a workload in a cell.
struct MetricSoFar {
    /// By number of the repetition.
    values: Vec<(u32, f64)>,
    /// The median; with `--until ±h` the geometric mean, to which the target precision applies.
    centre: f64,
    /// How far its interval reaches, as a share of the value.
    half_width: Option<f64>,
    /// Whether the mean is known as well as `--until` asks.
    reached: bool,
    /// Whether the mean would be known if successive values were not alike.
    dependent: bool,
    unit: String,
}

impl Known {
    /// `directory`: of the run; existing repetitions count.
    pub(super) fn open(directory: &Path, repeat: &Repeat) -> Result<Self, crate::record::Error> {
        let mut run = RunRecord::open(directory)?;
        let there = std::mem::take(&mut run.repetitions);
        let mut known = Self { run, repeat: repeat.clone(), values: BTreeMap::new() };
        for repetition in there {
            known.take(&repetition);
        }
        Ok(known)
    }

    /// Called when a repetition ended.
    pub(super) fn add(&mut self, cell: usize, status: &Status) {
        let folder = self.run.path.join("cells").join(&self.run.plan.cells[cell].path);
        let path = folder.join(format!("run{}", status.repetition));
        self.take(&Repetition { path, cell, status: status.clone() });
    }

    fn take(&mut self, repetition: &Repetition) {
        if repetition.status.verdict != Verdict::Valid {
            return;
        }
        let record = &self.run.plan.cells[repetition.cell];
        // The summary reports what cannot be read.
        let Ok((summary, _)) = summarize::cell(&self.run, record, &[repetition]) else { return };
        let metric = &self.repeat.metric;
        let whole = [String::new()];
        let names: Vec<String> = record.workloads.iter().map(|w| w.name.clone()).collect();
        for workload in if metric.is_resource() { whole.as_slice() } else { &names } {
            let part = Selection { workload: Some(workload.as_str()).filter(|w| !w.is_empty()), ..Selection::default() };
            let Some(value) = values::of_cell(&summary, metric, &part).first().copied() else { continue };
            let known = self.values.entry((repetition.cell, workload.clone())).or_insert_with(|| MetricSoFar {
                values: Vec::new(),
                centre: value,
                half_width: None,
                reached: false,
                dependent: false,
                unit: analysis::values::unit_of(&summary, metric),
            });
            known.values.push((repetition.status.repetition, value));
            known.look(self.repeat.until);
        }
    }

    fn metric(&self) -> &Metric {
        &self.repeat.metric
    }

    /// With `--until decided`: how many comparisons are decided so far, and of how many.
    pub(super) fn decisions(&self) -> Option<(&Decide, Vec<Decided>)> {
        let decide = self.repeat.decide.as_ref()?;
        let sample = |((cell, workload), known): (&(usize, String), &MetricSoFar)| Sample {
            levels: self.run.plan.cells[*cell].levels.iter().cloned().collect(),
            workload: workload.clone(),
            values: known.values.clone(),
        };
        let samples: Vec<Sample> = self.values.iter().map(sample).collect();
        let unit = self.values.values().next().map_or("", |known| known.unit.as_str());
        Some((decide, decisions::of(&samples, self.metric(), unit, decide, self.run.plan.repetitions)))
    }

    /// What is known about a cell, in words: `median 1234/s ±2.1 %`; with `--until ±h`, `mean 1234/s ±2.1 %`.
    pub(super) fn of_cell(&self, cell: usize) -> String {
        let mine: Vec<(&String, &MetricSoFar)> =
            self.values.iter().filter(|((c, _), _)| *c == cell).map(|((_, workload), known)| (workload, known)).collect();
        let several = mine.len() > 1;
        let words = |(workload, known): &(&String, &MetricSoFar)| {
            let name = if several { format!("{workload} ") } else { String::new() };
            format!("{name}{}", self.words(known))
        };
        mine.iter().map(words).collect::<Vec<_>>().join(", ")
    }

    fn words(&self, known: &MetricSoFar) -> String {
        let width = known.half_width.map_or_else(String::new, |w| match w {
            ..1.0 => format!(" ±{:.1} %", w * 100.0),
            _ => " ±>100 %".to_owned(),
        });
        format!("{} {}{width}", self.centre(), self.metric().human(&known.unit, known.centre))
    }

    fn centre(&self) -> &'static str {
        if self.repeat.until.is_some() { "mean" } else { "median" }
    }

    /// A cell that is executed and about which nothing is known yet.
    pub(super) fn cell_without_value(&self) -> Option<&str> {
        let mut executed = self.run.plan.cells.iter().enumerate().filter(|(_, c)| c.skipped.is_none());
        executed.find(|(at, _)| !self.values.keys().any(|(c, _)| c == at)).map(|(_, cell)| cell.id.as_str())
    }

    /// The cells, the widest interval first: the name and what is known.
    pub(super) fn widest(&self) -> Vec<(String, String)> {
        let mut all: Vec<(&(usize, String), &MetricSoFar)> = self.values.iter().collect();
        all.sort_by(|(_, a), (_, b)| b.half_width.unwrap_or(f64::INFINITY).total_cmp(&a.half_width.unwrap_or(f64::INFINITY)));
        let several = |cell: usize| self.values.keys().filter(|(c, _)| *c == cell).count() > 1;
        all.into_iter()
            .map(|((cell, workload), known)| {
                let id = self.run.plan.cells[*cell].id.clone();
                let name = if several(*cell) { format!("{id} {workload}") } else { id };
                (name, format!("{} ({})", self.words(known), repetitions(known.values.len())))
            })
            .collect()
    }

    /// With `--until ±h`: how many means are known this well, of how many; and how many would be if their successive rounds were
    /// not alike.
    pub(super) fn count_narrow(&self) -> Option<(usize, usize, usize)> {
        self.repeat.until?;
        let count = |of: fn(&MetricSoFar) -> bool| self.values.values().filter(|k| of(k)).count();
        Some((count(|k| k.reached), self.values.len(), count(|k| k.dependent)))
    }

    /// Whether everything is known that `--until` requires.
    pub(super) fn is_enough(&self) -> bool {
        if self.cell_without_value().is_some() {
            return false;
        }
        if let Some((_, decided)) = self.decisions() {
            return !decided.is_empty() && decided.iter().all(|d| d.verdict.is_some());
        }
        let enough = |k: &MetricSoFar| k.values.len() >= self.repeat.least as usize && k.reached;
        self.repeat.until.is_some() && self.values.values().all(enough)
    }

    /// The same for scripts.
    pub(super) fn json(&self, round: u32) -> Value {
        let figures: Vec<Value> = self
            .values
            .iter()
            .map(|((cell, workload), known)| {
                json!({"cell": self.run.plan.cells[*cell].id, "workload": workload, "n": known.values.len(),
                    self.centre(): known.centre, "half_width_share": known.half_width})
            })
            .collect();
        json!({"event": "round-ends", "round": round, "metric": self.metric().name(), "figures": figures})
    }
}

impl MetricSoFar {
    /// Updates what is known by now.
    fn look(&mut self, until: Option<f64>) {
        let values: Vec<f64> = self.values.iter().map(|(_, v)| *v).collect();
        let Some(until) = until else {
            if let Some(estimate) = estimate::estimate(&values) {
                self.centre = estimate.median;
                // The interval of two or three values is only their range.
                self.half_width = half_width(estimate.median, estimate.median_interval).filter(|_| estimate.n > 3);
            }
            return;
        };
        let logs: Vec<f64> = values.iter().map(|v| v.ln()).collect();
        self.centre = if values.iter().all(|v| *v > 0.0) { stats::mean(&logs).exp() } else { stats::mean(&values) };
        self.half_width = None;
        // A value that never varies is known, even if it is 0.
        if values.iter().all(|v| v.to_bits() == values[0].to_bits()) {
            (self.centre, self.half_width, self.reached) =
                (values[0], Some(0.0).filter(|_| values.len() > 3), values.len() >= FEWEST);
            return;
        }
        match mean_interval_until(&values, until) {
            Ok(found) => {
                self.half_width =
                    Some((found.high / found.mean - 1.0).max(1.0 - found.low / found.mean)).filter(|_| values.len() > 3);
                (self.reached, self.dependent) = (found.reached, false);
            }
            Err(UntilError::Dependent(_)) => (self.reached, self.dependent) = (false, true),
            Err(UntilError::Sample(_)) => {}
        }
    }
}

fn repetitions(count: usize) -> String {
    format!("{count} {}", if count == 1 { "repetition" } else { "repetitions" })
}

/// Levels without their factors, which are the same in every line.
pub(super) fn levels(cell: &str) -> String {
    cell.split(',').map(|part| part.split_once('=').map_or(part, |(_, level)| level)).collect::<Vec<_>>().join(" ")
}
