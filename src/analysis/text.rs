//! The summary as a table that a person reads.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::summary::{CellSummary, Estimate, StepSummary, Summary};
use crate::record::tables::WHOLE;
use crate::units::{human_bytes, human_duration, significant};

/// The table with what was skipped, failed or wrong below it.
pub fn table(summary: &Summary) -> String {
    // Only what differs between executed cells needs a column.
    let executed = || summary.cells.iter().filter(|c| !c.steps.is_empty());
    let differs = |factor: &str| executed().map(|c| c.levels.get(factor)).collect::<std::collections::BTreeSet<_>>().len() > 1;
    let varied: Vec<&str> = summary.factors.iter().map(|(name, _)| name.as_str()).filter(|name| differs(name)).collect();
    let several_workloads = summary
        .cells
        .iter()
        .any(|c| c.steps.iter().map(|s| s.workload.as_str()).collect::<std::collections::BTreeSet<_>>().len() > 1);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut header: Vec<String> = varied.iter().map(|n| (*n).to_owned()).collect();
    if several_workloads {
        header.push("workload".to_owned());
    }
    header.extend(["per second", "95 %", "p50", "p99", "PSS", "CPU"].map(str::to_owned));
    table.set_header(header);
    for cell in &summary.cells {
        for step in cell.steps.iter().filter(|s| s.step == WHOLE && s.phase == "during") {
            table.add_row(row(cell, step, &varied, several_workloads));
        }
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index >= varied.len() + usize::from(several_workloads) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        column.set_padding((if index == 0 { 0 } else { 1 }, 0));
    }
    let mut text = format!("{}  {}\n", summary.experiment, summary.run);
    if !summary.question.is_empty() {
        text += &format!("{}\n", summary.question);
    }
    text.push('\n');
    let has_rows = summary.cells.iter().any(|c| !c.steps.is_empty());
    if has_rows {
        let rendered = table.trim_fmt();
        let rule = "─".repeat(rendered.lines().map(|l| l.chars().count()).max().unwrap_or_default());
        for (number, line) in rendered.lines().enumerate() {
            text += &format!("{line}\n");
            if number == 0 {
                text += &format!("{rule}\n");
            }
        }
        text += "\nper second: mean over repetitions; 95 %: the farther end of its bootstrap interval\n";
        text += "p50, p99: response times of passes; PSS, CPU: of all targets, peak and mean\n";
    }
    text += &notes(summary);
    text
}

fn row(cell: &CellSummary, step: &StepSummary, varied: &[&str], several_workloads: bool) -> Vec<Cell> {
    let mut row: Vec<Cell> = varied.iter().map(|f| Cell::new(cell.levels.get(*f).map_or("", String::as_str))).collect();
    if several_workloads {
        row.push(Cell::new(&step.workload));
    }
    let time = |ns: Option<u64>| ns.map_or_else(|| "–".to_owned(), |ns| human_duration(ns as f64));
    let sum = |of: fn(&super::summary::TargetSummary) -> Option<&Estimate>| {
        let values: Vec<f64> = cell.targets.iter().filter_map(|t| of(t).map(|e| e.mean)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>())
    };
    row.push(Cell::new(step.throughput_per_s.as_ref().map_or_else(|| "–".to_owned(), |e| significant(e.mean))));
    row.push(Cell::new(step.throughput_per_s.as_ref().map_or_else(String::new, |e| {
        match e.mean_interval {
            // The interval of two values is the two values.
            Some((low, high)) if e.n > 2 => format!("±{:.0} %", (1.0 - low / e.mean).max(high / e.mean - 1.0) * 100.0),
            _ => format!("n={}", e.n),
        }
    })));
    row.push(Cell::new(time(step.response_ns.map(|t| t.p50))));
    row.push(Cell::new(time(step.response_ns.map(|t| t.p99))));
    row.push(Cell::new(sum(|t| t.pss_bytes.as_ref()).map_or_else(|| "–".to_owned(), human_bytes)));
    row.push(Cell::new(sum(|t| t.cpu_cores.as_ref()).map_or_else(|| "–".to_owned(), significant)));
    row
}

/// What was skipped, failed, invalid or answered wrongly: never in silence.
pub fn notes(summary: &Summary) -> String {
    let mut text = String::new();
    let mut skipped: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for reason in summary.cells.iter().filter_map(|c| c.skipped.as_deref()) {
        *skipped.entry(reason).or_default() += 1;
    }
    for (reason, count) in skipped {
        text += &format!("SKIPPED: {count} of {} cells, because {reason}\n", summary.cells.len());
    }
    for cell in &summary.cells {
        let r = &cell.repetitions;
        let missing = r.planned.saturating_sub(r.valid + r.invalid + r.failed);
        for (word, count) in [("FAILED", r.failed), ("INVALID", r.invalid), ("MISSING", missing)] {
            if count > 0 {
                text += &format!("{word}: {count} of {} repetitions of {}\n", r.planned, cell.cell);
            }
        }
        for (number, reason) in r.reasons.iter().take(3) {
            text += &format!("  repetition {number}: {reason}\n");
        }
        if r.reasons.len() > 3 {
            text += &format!("  and {} more\n", r.reasons.len() - 3);
        }
        let wrong: u64 = cell.steps.iter().filter(|s| s.step == WHOLE).flat_map(|s| s.errors.values()).sum();
        if wrong > 0 {
            let all: u64 = cell.steps.iter().filter(|s| s.step == WHOLE).map(|s| s.requests).sum();
            text += &format!("ERRORS: {wrong} of {all} passes of {} were not answered as expected\n", cell.cell);
            text += &r.errors.iter().take(3).map(|e| format!("  {e}\n")).collect::<String>();
        }
    }
    for what in &summary.damaged {
        text += &format!("DAMAGED: {what}\n");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
