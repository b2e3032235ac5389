//! Kinds of passes as a table: how each part of a mix fared, below the table of cells, which has all passes together.

use std::collections::BTreeSet;

use super::grid::{Grid, Kind};
use super::overview::spread;
use super::summary::{CellSummary, StepSummary, Summary, Times};
use vocabulary::units::{count, human_duration, significant};

/// The kinds of passes of a run.
pub(crate) struct Kinds {
    /// Headings, and whether numbers stand below them.
    pub columns: Vec<(String, bool)>,
    /// Their entries; `–` where there is nothing.
    pub rows: Vec<Vec<String>>,
}

/// A row for each kind of pass in each cell and phase; none where no workload has a mix. `varied`: the factors that differ.
pub(crate) fn kinds(summary: &Summary, varied: &[&str]) -> Option<Kinds> {
    let found: Vec<(&CellSummary, &StepSummary)> = summary
        .cells
        .iter()
        .flat_map(|cell| cell.steps.iter().filter(|step| step.is_kind()).map(move |step| (cell, step)))
        .collect();
    if found.is_empty() {
        return None;
    }
    let several = found.iter().map(|(_, step)| step.workload.as_str()).collect::<BTreeSet<_>>().len() > 1;
    let phases = found.iter().any(|(_, step)| step.phase != "during");
    let errors = found.iter().any(|(_, step)| step.unanswered() > 0);
    let names = varied.iter().copied().chain(several.then_some("workload")).chain(phases.then_some("phase")).chain(["kind"]);
    let numbers = ["per second", "95 %", "passes", "share"].into_iter().chain(errors.then_some("errors")).chain(["p50", "p99"]);
    let columns = names.map(|name| (name.to_owned(), false)).chain(numbers.map(|name| (name.to_owned(), true))).collect();
    let row = |(cell, step): &(&CellSummary, &StepSummary)| {
        let none = || "–".to_owned();
        let time = |of: fn(&Times) -> u64| step.response_ns.as_ref().map_or_else(none, |times| human_duration(of(times) as f64));
        let together =
            cell.steps.iter().filter(|other| other.is_kind() && (&other.workload, &other.phase) == (&step.workload, &step.phase));
        let all: u64 = together.map(|other| other.requests).sum();
        let mut row: Vec<String> = varied.iter().map(|factor| cell.levels.get(*factor).cloned().unwrap_or_default()).collect();
        row.extend(several.then(|| step.workload.clone()));
        row.extend(phases.then(|| step.phase.clone()));
        row.push(step.step.trim_matches(['(', ')']).to_owned());
        row.push(step.throughput_per_s.as_ref().map_or_else(none, |rate| significant(rate.median)));
        row.push(step.throughput_per_s.as_ref().map_or_else(none, spread));
        row.push(count(step.requests));
        row.push(format!("{:.1} %", step.requests as f64 * 100.0 / all.max(1) as f64));
        row.extend(errors.then(|| count(step.unanswered())));
        row.extend([time(|times| times.p50), time(|times| times.p99)]);
        row
    };
    Some(Kinds { columns, rows: found.iter().map(row).collect() })
}

/// The table for a terminal; empty where no workload has a mix.
pub(super) fn text(summary: &Summary, varied: &[&str]) -> String {
    let Some(Kinds { columns, rows }) = kinds(summary, varied) else { return String::new() };
    let kind = |is_number| if is_number { Kind::Number } else { Kind::Words };
    let mut table = Grid::new(columns.into_iter().map(|(name, is_number)| (name, kind(is_number))));
    rows.into_iter().for_each(|row| table.add(row));
    format!("\nkinds of passes\n{}", table.text())
}
