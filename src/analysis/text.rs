//! The summary as a table that a person reads.

use std::collections::BTreeSet;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::summary::{CellSummary, Estimate, MetricSummary, Stability, StepSummary, Summary, TargetSummary};
use super::values;
use record::tables::WHOLE;
use vocabulary::units::{human_bytes, human_duration, significant};
use vocabulary::{Interest, Metric, Outcome};

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
    let shown = |s: &&StepSummary| s.step == WHOLE && !matches!(s.phase.as_str(), "warm-up" | "search");
    // What a command does stands in a table of its own, where it brings metrics of its own.
    let brings =
        |cell: &CellSummary, workload: &str| cell.metrics.iter().any(|m| m.workload == workload && values::is_own(cell, m));
    let rows = |cell: &CellSummary| -> Vec<StepSummary> {
        cell.steps.iter().filter(shown).filter(|s| !brings(cell, &s.workload)).cloned().collect()
    };
    let every: Vec<(&CellSummary, Vec<StepSummary>)> = summary.cells.iter().map(|c| (c, rows(c))).collect();
    let all = || every.iter().flat_map(|(_, steps)| steps);
    let columns = Columns {
        varied,
        workload: several_workloads,
        phase: all().any(|s| s.phase != "during"),
        lag: all().any(|s| s.lag_ns.is_some_and(|l| l.max > 0)),
        unsent: all().any(|s| s.unsent > 0),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.header());
    for (cell, steps) in &every {
        for step in steps {
            table.add_row(row(cell, step, &columns));
        }
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        if index >= columns.names() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        column.set_padding((if index == 0 { 0 } else { 1 }, 0));
    }
    let mut text = format!("{}  {}\n", summary.experiment, summary.run);
    if !summary.question.is_empty() {
        text += &format!("{}\n", summary.question);
    }
    text.push('\n');
    if all().next().is_some() {
        let rendered = table.trim_fmt();
        let rule = "─".repeat(rendered.lines().map(|l| l.chars().count()).max().unwrap_or_default());
        for (number, line) in rendered.lines().enumerate() {
            text += &format!("{line}\n");
            if number == 0 {
                text += &format!("{rule}\n");
            }
        }
        text += "\nall figures: medians over repetitions; 95 %: the farther end of the bootstrap interval\n";
        text += "p50, p99: response times of passes; PSS, CPU: of all targets, peak and mean\n";
        if columns.lag {
            text += "lag: p99 of how late passes were sent; it is part of their response times\n";
        }
        if columns.unsent {
            text += "unsent: share of arrivals that were never sent; no response time knows of them\n";
        }
    }
    text += &results(summary, &columns);
    if summary.repeated {
        text += &stability(summary, &columns.varied);
    }
    if let Some(decide) = &summary.decide {
        if !summary.decisions.is_empty() {
            text += &format!("\n{} by {}, looks paid for\n", summary.stability_of, decide.by);
        }
        text += &summary.decisions.iter().map(|d| format!("  {}\n", d.words(decide))).collect::<String>();
    }
    text += &expectations(summary);
    text += &notes(summary);
    text
}

/// How stable each cell is from round to round; what is odd stands below.
fn stability(summary: &Summary, varied: &[&str]) -> String {
    let rows: Vec<(&CellSummary, &Stability)> =
        summary.cells.iter().flat_map(|c| c.stability.iter().map(move |s| (c, s))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let several = rows.iter().map(|(_, s)| s.workload.as_str()).collect::<std::collections::BTreeSet<_>>().len() > 1;
    // Only what differs between cells is a name.
    let name = |cell: &CellSummary, s: &Stability| -> String {
        let levels = varied.iter().filter_map(|f| cell.levels.get(*f)).map(String::as_str);
        levels.chain(several.then_some(s.workload.as_str())).collect::<Vec<_>>().join(" ")
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["n", "median", "±", "CV", "drift", "p", "lag-1 r", "n eff", "cell"]);
    let metric = Metric::by_name(&summary.stability_of);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (cell, s) in &rows {
        let unit = super::values::unit_of(cell, &metric);
        table.add_row([
            s.n.to_string(),
            metric.human(&unit, s.median),
            s.half_width().map_or_else(|| "–".to_owned(), percent),
            percent(s.coefficient_of_variation),
            format!("{:+.1} %", s.drift_share * 100.0),
            super::stability::p(s.drift_p),
            format!("{:.2}", s.lag1_autocorrelation),
            format!("{:.0}", s.effective_repetitions),
            name(cell, s),
        ]);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if index < 8 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let rendered: String = table.trim_fmt().lines().map(|l| format!("{}\n", l.trim_end())).collect();
    let mut text = format!("\nstability of {} over rounds\n{rendered}", summary.stability_of);
    text += "±: farther end of the 95 % interval of the median; drift: first to last round (Theil\n";
    text += "and Sen), p: Kendall's test; lag-1 r: correlation of successive rounds; n eff: so\n";
    text += "many independent repetitions would say as much\n";
    for (cell, s) in rows {
        for warning in s.warnings() {
            let name = name(cell, s);
            text += &format!("  {}{warning}\n", if name.is_empty() { String::new() } else { format!("{name}: ") });
        }
    }
    text
}

/// What the scenario expects, and whether it holds.
fn expectations(summary: &Summary) -> String {
    use super::expectations::Outcome;
    let mut text = String::new();
    for finding in &summary.expectations {
        let word = match finding.outcome {
            Outcome::Pass => "pass",
            Outcome::Skipped => "skipped",
            Outcome::Inconclusive => "INCONCLUSIVE",
            Outcome::Fail => "FAIL",
        };
        let cell = if finding.cell.is_empty() { String::new() } else { format!(" [{}]", finding.cell) };
        text += &format!("{word}: {}{cell}\n  {}\n", finding.expectation, finding.words);
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Which columns there are: only what differs needs one.
struct Columns<'a> {
    varied: Vec<&'a str>,
    workload: bool,
    phase: bool,
    lag: bool,
    unsent: bool,
}

impl Columns<'_> {
    /// How many of them are names, on the left.
    fn names(&self) -> usize {
        self.varied.len() + usize::from(self.workload) + usize::from(self.phase)
    }

    fn header(&self) -> Vec<String> {
        let optional = |there: bool, name: &'static str| there.then_some(name);
        let mut header: Vec<&str> = self.varied.clone();
        header.extend(optional(self.workload, "workload"));
        header.extend(optional(self.phase, "phase"));
        header.extend(["per second", "95 %", "p50", "p99"]);
        header.extend(optional(self.lag, "lag"));
        header.extend(optional(self.unsent, "unsent"));
        header.extend(["PSS", "CPU"]);
        header.into_iter().map(str::to_owned).collect()
    }
}

/// How far the interval of a median reaches: `±5 %`, or how few values there are.
pub(crate) fn spread(estimate: &Estimate) -> String {
    match estimate.median_interval {
        // The interval of two values is the two values.
        Some((low, high)) if low == high => "±0 %".to_owned(),
        Some(_) if estimate.median == 0.0 => "–".to_owned(),
        Some((low, high)) if estimate.n > 2 => {
            format!("±{:.0} %", (1.0 - low / estimate.median).max(high / estimate.median - 1.0) * 100.0)
        }
        _ => format!("n={}", estimate.n),
    }
}

fn row(cell: &CellSummary, step: &StepSummary, columns: &Columns<'_>) -> Vec<Cell> {
    let mut row: Vec<Cell> = columns.varied.iter().map(|f| Cell::new(cell.levels.get(*f).map_or("", String::as_str))).collect();
    if columns.workload {
        row.push(Cell::new(&step.workload));
    }
    if columns.phase {
        row.push(Cell::new(&step.phase));
    }
    let none = || "–".to_owned();
    let time = |ns: Option<u64>| ns.map_or_else(none, |ns| human_duration(ns as f64));
    let sum = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>());
    let median = |estimate: &Option<Estimate>| estimate.as_ref().map(|e| e.median);
    // Where the table has phases, each row is of its own.
    let phases = || cell.targets.iter().flat_map(|t| &t.phases).filter(|p| p.phase == step.phase);
    let (pss, cpu) = if columns.phase {
        let pss = phases().filter_map(|p| median(&p.pss_bytes)).collect();
        (sum(pss), sum(phases().filter_map(|p| median(&p.cpu_cores)).collect()))
    } else {
        let pss = cell.targets.iter().filter_map(|t| median(&t.pss_bytes)).collect();
        (sum(pss), sum(cell.targets.iter().filter_map(|t| median(&t.cpu_cores)).collect()))
    };
    row.push(Cell::new(step.throughput_per_s.as_ref().map_or_else(none, |e| significant(e.median))));
    row.push(Cell::new(step.throughput_per_s.as_ref().map_or_else(String::new, spread)));
    row.push(Cell::new(time(step.response_ns.map(|t| t.p50))));
    row.push(Cell::new(time(step.response_ns.map(|t| t.p99))));
    if columns.lag {
        row.push(Cell::new(time(step.lag_ns.map(|t| t.p99))));
    }
    if columns.unsent {
        row.push(Cell::new(format!("{:.2} %", step.unsent as f64 / step.offered.max(1) as f64 * 100.0)));
    }
    row.push(Cell::new(pss.map_or_else(none, human_bytes)));
    row.push(Cell::new(cpu.map_or_else(none, significant)));
    row
}

/// What commands brought and searches found, below the table.
fn results(summary: &Summary, columns: &Columns<'_>) -> String {
    let mut text = String::new();
    for cell in &summary.cells {
        for limit in &cell.limits {
            let found = match &limit.rate_per_s {
                Some(rate) => format!("at most {} per second {}", significant(rate.median), spread(rate)),
                None => "none of the rates".to_owned(),
            };
            if text.is_empty() {
                text += "\n";
            }
            text += &format!("limit of {}, {}: {found} ({} trials)\n", limit.workload, cell.cell, limit.trials);
            for (count, what) in [
                (limit.below_range, "not even the lowest rate held"),
                (limit.above_range, "even the highest rate held: the limit is above the range"),
            ] {
                if count > 0 {
                    text += &format!("  {what} in {count} of {} repetitions\n", cell.repetitions.valid);
                }
            }
            if let Some(reason) = limit.reasons.first() {
                text += &format!("  did not hold: {reason}\n");
            }
        }
    }
    text + &metrics(summary, &columns.varied)
}

/// More columns than this do not stand beside each other.
const COLUMNS_BESIDE: usize = 5;

/// What commands and taps brought and what was collected: a row for each cell, a column for each metric.
fn metrics(summary: &Summary, varied: &[&str]) -> String {
    let mut text = String::new();
    for columns in result_columns(summary).chunks(COLUMNS_BESIDE) {
        text += &results_table(summary, varied, columns);
    }
    if !text.is_empty() {
        text += "\nmedians over repetitions, with the farther end of the 95 % interval\n";
    }
    text
}

/// The metrics that have a column among the results.
pub(crate) fn result_columns(summary: &Summary) -> Vec<ResultColumn> {
    let mut columns: Vec<ResultColumn> = Vec::new();
    let metrics = || summary.cells.iter().flat_map(|c| &c.metrics).filter(|m| m.phase == "during");
    // What is there anyway interests only where nothing else is; a fault where there was one.
    let only_anyway = metrics().all(|m| m.interest == Interest::Anyway);
    let faulty = |name: &str| metrics().any(|m| m.metric == name && m.value.max > 0.0);
    // In one cell two may bring what has the same name.
    let is_twice = |cell: &CellSummary, name: &str| {
        let mine = || cell.metrics.iter().filter(|m| m.phase == "during" && m.metric == name);
        mine().any(|one| mine().any(|other| other.workload != one.workload))
    };
    for metric in metrics() {
        let shown = match metric.interest {
            Interest::Question => true,
            Interest::Anyway => only_anyway,
            Interest::Fault => faulty(&metric.metric),
            Interest::Recorded => false,
        };
        let of = summary.cells.iter().any(|cell| is_twice(cell, &metric.metric)).then(|| metric.workload.clone());
        let column = ResultColumn { of, metric: metric.metric.clone(), unit: metric.unit.clone() };
        if shown && !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// A metric in the table of results.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResultColumn {
    /// Who brings it, where others bring one of the same name.
    pub of: Option<String>,
    /// Its name.
    pub metric: String,
    /// Its unit; empty for plain numbers.
    pub unit: String,
}

impl ResultColumn {
    /// What stands above the column.
    pub fn name(&self) -> String {
        self.of.as_ref().map_or_else(|| self.metric.clone(), |of| format!("{of}.{}", self.metric))
    }
}

/// One table of results.
fn results_table(summary: &Summary, varied: &[&str], columns: &[ResultColumn]) -> String {
    let during = |c: &CellSummary| c.metrics.iter().filter(|m| m.phase == "during").cloned().collect::<Vec<_>>();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let header = columns.iter().map(|column| {
        let name = column.name();
        if column.unit.is_empty() { name } else { format!("{name}\n{}", column.unit) }
    });
    table.set_header(varied.iter().map(|v| (*v).to_owned()).chain(header));
    for cell in summary.cells.iter().filter(|c| !c.metrics.is_empty()) {
        let found = during(cell);
        let mut row: Vec<String> = varied.iter().map(|f| cell.levels.get(*f).cloned().unwrap_or_default()).collect();
        for ResultColumn { of, metric, .. } in columns {
            let mine = |m: &&MetricSummary| m.metric == *metric && of.as_ref().is_none_or(|of| *of == m.workload);
            let value = found.iter().find(mine).map(|m| &m.value);
            row.push(value.map_or_else(|| "–".to_owned(), |v| format!("{} {}", significant(v.median), spread(v))));
        }
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        if index >= varied.len() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("\n{}\n", table.trim_fmt())
}

/// What a load was besides its results, where that matters.
fn loads(cell: &CellSummary) -> String {
    let mut text = String::new();
    for load in &cell.loads {
        let of = format!("{} in {} [{}]", load.workload, load.phase, cell.cell);
        let open: u64 = load.at_end.values().sum();
        // Passes that end as they should, and soon, are under way at the end of every load.
        if open > load.at_end.get("ok").copied().unwrap_or_default() || load.at_end_longest_ns > LONG_AT_END_NS {
            let outcomes: Vec<String> = load.at_end.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
            let longest = human_duration(load.at_end_longest_ns as f64);
            let outcomes = outcomes.join(", ");
            text += &format!("AT THE END: {open} passes under way or waiting ({outcomes}), for {longest} at most, of {of}\n");
        }
        if load.silence_ns > 0 {
            let silence = human_duration(load.silence_ns as f64);
            text +=
                &format!("SILENCE: up to {silence} in a repetition without a right answer although passes were due, of {of}\n");
        }
        if let Some(tail_ns) = load.tail_ns.filter(|ns| *ns as f64 > LONG_TAIL * load.seconds * 1e9) {
            let (tail, all) = (human_duration(tail_ns as f64), human_duration(load.seconds * 1e9));
            text += &format!("TAIL: for the last {tail} of {all} fewer connections were busy than asked for, of {of}\n");
        }
    }
    text
}

/// Passes that took longer than this at the end of a load are told even where all of them were answered.
const LONG_AT_END_NS: u64 = 250_000_000;
/// A tail that is a larger share of a load than this is told.
const LONG_TAIL: f64 = 0.1;

/// Loads that are too short to say much.
fn short(summary: &Summary) -> String {
    let loads = || summary.cells.iter().flat_map(|c| &c.loads);
    let short: Vec<f64> = loads().filter(|l| l.is_short).map(|l| l.seconds).collect();
    let Some(shortest) = short.iter().copied().reduce(f64::min) else { return String::new() };
    let longest = short.iter().copied().fold(0.0, f64::max);
    let words = |seconds: f64| human_duration(seconds * 1e9);
    let range =
        if words(shortest) == words(longest) { words(shortest) } else { format!("{} to {}", words(shortest), words(longest)) };
    let of = if short.len() == loads().count() { "all".to_owned() } else { format!("{} of {}", short.len(), loads().count()) };
    let least = words(loads().map(|l| l.least_seconds).fold(0.0, f64::max));
    format!("SHORT: {of} loads took {range}; in less than {least} (ten windows) steadiness is not testable\n")
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
    text += &summary.gaps.iter().map(|gaps| format!("{}\n", gaps.words())).collect::<String>();
    for cell in &summary.cells {
        let r = &cell.repetitions;
        let missing = r.planned.saturating_sub(r.valid + r.invalid + r.failed);
        for (word, count) in [("FAILED", r.failed), ("INVALID", r.invalid), ("MISSING", missing)] {
            if count > 0 {
                text += &format!("{word}: {count} of {} repetitions of {}\n", r.planned, cell.cell);
            }
        }
        for steadiness in &cell.steadiness {
            let (word, auto) = match steadiness.auto_warm_up {
                true => ("WARM-UP", ", what was before is left out"),
                false => ("NOT STEADY", ""),
            };
            if let Some(warning) = steadiness.warning() {
                text += &format!("{word}: {warning}{auto} [{}]\n", cell.cell);
            }
        }
        text += &loads(cell);
        for (target, bytes) in &cell.logs_cut {
            let cut = human_bytes(*bytes as f64);
            text += &format!("LOG: {cut} of the logs of {target} were cut, as log-limit says [{}]\n", cell.cell);
        }
        if cell.sent_again > 0 {
            let requests = if cell.sent_again == 1 { "request" } else { "requests" };
            text += &format!(
                "SENT AGAIN: {} {requests} that the server had said (GOAWAY) it did not take [{}]\n",
                cell.sent_again, cell.cell
            );
        }
        if let Some(busy) = &cell.busy {
            text += &format!("BUSY: {busy} [{}]\n", cell.cell);
        }
        for target in cell.targets.iter().filter(|target| target.deaths > 0) {
            let times = if target.deaths == 1 { "once".to_owned() } else { format!("{} times", target.deaths) };
            text += &format!("DEATHS: {} ended {times} under load and was started again [{}]\n", target.target, cell.cell);
        }
        if r.compacted > 0 {
            let whole = "they have their transfers, and are in no figure";
            text += &format!("COMPACTED: {} repetitions of {} by their age: {whole}\n", r.compacted, cell.cell);
        }
        for count in &cell.counts {
            text += &format!("COUNTS: {count} [{}]\n", cell.cell);
        }
        for stages in super::stages::words(&cell.stages) {
            text += &format!("STAGES: {stages} [{}]\n", cell.cell);
        }
        for tap in &cell.taps {
            text += &format!("TAP: {tap} [{}]\n", cell.cell);
        }
        if r.valid > 0 && cell.steps.is_empty() {
            text += &format!("NOTHING: no pass began in {}\n", cell.cell);
        }
        // What a build has said is long, and the same for all.
        let same = r.reasons.first().is_some_and(|(_, first)| first.contains('\n') && r.reasons.iter().all(|(_, r)| r == first));
        let shown = if same { 1 } else { 3 };
        for (number, reason) in r.reasons.iter().take(shown) {
            text += &format!("  repetition {number}: {reason}\n");
        }
        if r.reasons.len() > shown {
            let why = if same { ", for the same reason" } else { "" };
            text += &format!("  and {} more{why}\n", r.reasons.len() - shown);
        }
        // Of repetitions that do not count nothing else is left that says what was wrong.
        if r.valid == 0 {
            text += &r.errors.iter().take(3).map(|e| format!("  {e}\n")).collect::<String>();
        }
        for step in cell.steps.iter().filter(|s| s.step == WHOLE && s.phase != "warm-up") {
            for (outcome, count) in step.named.iter().filter(|(_, count)| **count > 0) {
                let share = significant(*count as f64 / step.requests as f64 * 100.0);
                let of = format!("{count} of {} passes of {} ({share} %)", step.requests, step.workload);
                text += &format!("{}: {of} in {} [{}]\n", outcome.to_uppercase(), step.phase, cell.cell);
            }
        }
        let sum = |of: fn(&StepSummary) -> u64| cell.steps.iter().filter(|s| s.step == WHOLE).map(of).sum::<u64>();
        let parts = [
            (
                sum(|s| s.errors.iter().filter(|(outcome, _)| Outcome::word_is_answer(outcome)).map(|(_, n)| n).sum()),
                "answered wrongly",
            ),
            (
                sum(|s| s.errors.iter().filter(|(outcome, _)| !Outcome::word_is_answer(outcome)).map(|(_, n)| n).sum()),
                "failed without an answer",
            ),
            (sum(|s| s.unsent), "never sent"),
            (sum(|s| s.open), "open at the end"),
        ];
        let wrong: u64 = parts.iter().map(|(n, _)| n).sum();
        if wrong > 0 {
            let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            let (all, parts) = (sum(|s| s.requests + s.unsent), parts.join(", "));
            text += &format!("ERRORS: {wrong} of {all} passes of {} were not answered as expected ({parts})\n", cell.cell);
            text += &r.errors.iter().take(3).map(|e| format!("  {e}\n")).collect::<String>();
        }
    }
    text += &short(summary);
    let elsewhere = |t: &&TargetSummary| t.replicas > 0 && !t.watched;
    let unwatched: BTreeSet<&str> =
        summary.cells.iter().flat_map(|c| &c.targets).filter(elsewhere).map(|t| t.target.as_str()).collect();
    for target in unwatched {
        text += &format!("NOT WATCHED: {target} is only an address; its memory and processors are not known\n");
    }
    for what in &summary.damaged {
        text += &format!("DAMAGED: {what}\n");
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}
