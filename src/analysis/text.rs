//! The summary as a table for people.

use super::grid::{Grid, Kind};
use super::notes::notes;
use super::summary::{CellSummary, Estimate, MetricSummary, Stability, StepSummary, Summary};
use super::values;
use vocabulary::columns::{WIDTH, wrap};
use vocabulary::units::{human_bytes, human_duration, significant};
use vocabulary::{Interest, Metric};

/// What was skipped, failed or wrong, and below it, where it stays visible, the table. No line is wider than [`WIDTH`], except
/// for the output of programs.
pub fn table(summary: &Summary) -> String {
    // Only what differs between executed cells gets a column.
    let varied = summary.varied_among(|cell| !cell.steps.is_empty());
    let several_workloads = summary
        .cells
        .iter()
        .any(|c| c.steps.iter().map(|s| s.workload.as_str()).collect::<std::collections::BTreeSet<_>>().len() > 1);
    // A command that reports metrics of its own has a table of its own.
    let rows = |cell: &'_ CellSummary| {
        cell.steps.iter().filter(|s| s.has_row() && !values::brings(cell, &s.workload)).cloned().collect::<Vec<StepSummary>>()
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
    let mut table = Grid::new(columns.header());
    for (cell, steps) in &every {
        for step in steps {
            table.add(row(cell, step, &columns));
        }
    }
    let mut text = format!("{}  {}\n", summary.experiment, summary.run);
    if !summary.question.is_empty() {
        text += &wrap(&summary.question, WIDTH, 0);
    }
    text += &notes(summary, WIDTH);
    if !table.is_empty() {
        text += &format!("\n{}\n{}", table.text(), legend(&table));
    }
    text += &results(summary, &columns);
    if summary.repeated {
        text += &stability(summary, &columns.varied);
    }
    if let Some(decide) = &summary.decide {
        if !summary.decisions.is_empty() {
            let title = format!("{} by {}, corrected for looking after several rounds", summary.stability_of, decide.by);
            text += &format!("\n{}", wrap(&title, WIDTH, 0));
        }
        text += &summary.decisions.iter().map(|d| wrap(&format!("  {}", d.words(decide)), WIDTH, 2)).collect::<String>();
    }
    text + &expectations(summary)
}

/// What the shown columns mean.
fn legend(table: &Grid) -> String {
    let mut text = String::from("medians over repetitions; 95 %: the farther end of the bootstrap interval\n");
    text += "p50, p99: response times of passes";
    text += match (table.shows(PSS), table.shows(CPU)) {
        (true, true) => "; PSS, CPU: of all targets, peak and mean\n",
        (true, false) => "; PSS: of all targets, peak\n",
        (false, true) => "; CPU: of all targets, mean\n",
        (false, false) => "\n",
    };
    if table.shows(LAG) {
        text += "lag: p99 of how late passes were sent; it is part of their response times\n";
    }
    if table.shows(UNSENT) {
        text += "unsent: share of arrivals that were never sent; response times do not include them\n";
    }
    wrap(&text, WIDTH, 2)
}

/// Headers that the legend explains.
const PSS: &str = "PSS";
const CPU: &str = "CPU";
const LAG: &str = "lag";
const UNSENT: &str = "unsent";

/// How stable each cell is from round to round, with anything unusual below.
fn stability(summary: &Summary, varied: &[&str]) -> String {
    let rows: Vec<(&CellSummary, &Stability)> =
        summary.cells.iter().flat_map(|c| c.stability.iter().map(move |s| (c, s))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let several = rows.iter().map(|(_, s)| s.workload.as_str()).collect::<std::collections::BTreeSet<_>>().len() > 1;
    // Only what differs between cells is part of the name.
    let name = |cell: &CellSummary, s: &Stability| -> String {
        let levels = varied.iter().filter_map(|f| cell.levels.get(*f)).map(String::as_str);
        levels.chain(several.then_some(s.workload.as_str())).collect::<Vec<_>>().join(" ")
    };
    let numbers = ["n", "median", "±", "CV", "drift", "p", "lag-1 r", "n eff"].map(|name| (name.to_owned(), Kind::Number));
    let mut table = Grid::new(numbers.into_iter().chain([("cell".to_owned(), Kind::Words)]));
    let metric = Metric::by_name(&summary.stability_of);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (cell, s) in &rows {
        let unit = super::values::unit_of(cell, &metric);
        table.add(vec![
            s.n.to_string(),
            metric.human(&unit, s.median),
            s.half_width().map_or_else(|| "–".to_owned(), percent),
            percent(s.coefficient_of_variation),
            format!("{:+.1} %", s.drift_share * 100.0),
            super::stability::p(s.drift_p),
            // Nothing is called −0.
            format!("{:.2}", (s.lag1_autocorrelation * 100.0).round() / 100.0 + 0.0),
            format!("{:.0}", s.effective_repetitions),
            name(cell, s),
        ]);
    }
    let mut text = format!("\nstability of {} over rounds\n{}", summary.stability_of, table.text());
    let legend = "±: farther end of the 95 % interval of the median; drift: first to last round (slope of Theil and Sen), \
                  p: Kendall's test; lag-1 r: correlation of successive rounds; n eff: how many independent repetitions would \
                  say as much";
    text += &wrap(legend, WIDTH, 0);
    for (cell, s) in rows {
        for warning in s.warnings() {
            let name = name(cell, s);
            let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
            text += &wrap(&format!("  {name}{warning}"), WIDTH, 2);
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
        text += &wrap(&format!("{word}: {}{cell}", finding.expectation), WIDTH, 2);
        text += &wrap(&format!("  {}", finding.words), WIDTH, 2);
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// Which columns there are: only what differs gets one.
struct Columns<'a> {
    varied: Vec<&'a str>,
    workload: bool,
    phase: bool,
    lag: bool,
    unsent: bool,
}

impl Columns<'_> {
    fn header(&self) -> impl Iterator<Item = (String, Kind)> {
        let optional = |there: bool, name: &'static str| there.then_some(name);
        let names = self.varied.iter().copied().chain(optional(self.workload, "workload")).chain(optional(self.phase, "phase"));
        let numbers = ["per second", "95 %", "p50", "p99"].into_iter();
        let numbers = numbers.chain(optional(self.lag, LAG)).chain(optional(self.unsent, UNSENT)).chain([PSS, CPU]);
        let of = |kind| move |name: &str| (name.to_owned(), kind);
        names.map(of(Kind::Words)).chain(numbers.map(of(Kind::Number)))
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

fn row(cell: &CellSummary, step: &StepSummary, columns: &Columns<'_>) -> Vec<String> {
    let mut row: Vec<String> = columns.varied.iter().map(|f| cell.levels.get(*f).cloned().unwrap_or_default()).collect();
    if columns.workload {
        row.push(step.workload.clone());
    }
    if columns.phase {
        row.push(step.phase.clone());
    }
    let none = || "–".to_owned();
    let time = |ns: Option<u64>| ns.map_or_else(none, |ns| human_duration(ns as f64));
    let sum = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>());
    let median = |estimate: &Option<Estimate>| estimate.as_ref().map(|e| e.median);
    // If the table has phases, each row belongs to one.
    let phases = || cell.targets.iter().flat_map(|t| &t.phases).filter(|p| p.phase == step.phase);
    let (pss, cpu) = if columns.phase {
        let pss = phases().filter_map(|p| median(&p.pss_bytes)).collect();
        (sum(pss), sum(phases().filter_map(|p| median(&p.cpu_cores)).collect()))
    } else {
        let pss = cell.targets.iter().filter_map(|t| median(&t.pss_bytes)).collect();
        (sum(pss), sum(cell.targets.iter().filter_map(|t| median(&t.cpu_cores)).collect()))
    };
    row.push(step.throughput_per_s.as_ref().map_or_else(none, |e| significant(e.median)));
    row.push(step.throughput_per_s.as_ref().map_or_else(String::new, spread));
    row.push(time(step.response_ns.map(|t| t.p50)));
    row.push(time(step.response_ns.map(|t| t.p99)));
    if columns.lag {
        row.push(time(step.lag_ns.map(|t| t.p99)));
    }
    if columns.unsent {
        row.push(format!("{:.2} %", step.unsent as f64 / step.offered.max(1) as f64 * 100.0));
    }
    row.push(pss.map_or_else(none, human_bytes));
    row.push(cpu.map_or_else(none, significant));
    row
}

/// What commands reported and searches found, below the table.
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
            text += &wrap(&format!("limit of {}, {}: {found} ({} trials)", limit.workload, cell.cell, limit.trials), WIDTH, 2);
            for (count, what) in [
                (limit.below_range, "not even the lowest rate held"),
                (limit.above_range, "even the highest rate held: the limit is above the range"),
            ] {
                if count > 0 {
                    text += &format!("  {what} in {count} of {} repetitions\n", cell.repetitions.valid);
                }
            }
            if let Some(reason) = limit.reasons.first() {
                text += &wrap(&format!("  did not hold: {reason}"), WIDTH, 2);
            }
        }
    }
    text + &metrics(summary, &columns.varied)
}

/// What commands and taps reported and what was collected: a row for each cell, a column for each metric.
fn metrics(summary: &Summary, varied: &[&str]) -> String {
    let columns = result_columns(summary);
    if columns.is_empty() {
        return String::new();
    }
    let table = results_table(summary, varied, &columns);
    format!("\n{table}\nmedians over repetitions, with the farther end of the 95 % interval\n")
}

/// The metrics that have a column among the results.
pub(crate) fn result_columns(summary: &Summary) -> Vec<ResultColumn> {
    let mut columns: Vec<ResultColumn> = Vec::new();
    let metrics = || summary.cells.iter().flat_map(|c| &c.metrics).filter(|m| m.phase == "during");
    // A metric that always exists is shown only if there is no other; a fault only if it occurred.
    let only_anyway = metrics().all(|m| m.interest == Interest::Anyway);
    let faulty = |name: &str| metrics().any(|m| m.metric == name && m.value.max > 0.0);
    // In one cell, two workloads may report metrics of the same name.
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
    /// Who reports it, if others report one of the same name.
    pub of: Option<String>,
    /// Its name.
    pub metric: String,
    /// Its unit; empty for plain numbers.
    pub unit: String,
}

impl ResultColumn {
    /// The heading of the column.
    pub fn name(&self) -> String {
        self.of.as_ref().map_or_else(|| self.metric.clone(), |of| format!("{of}.{}", self.metric))
    }
}

/// One table of results.
fn results_table(summary: &Summary, varied: &[&str], columns: &[ResultColumn]) -> String {
    let during = |c: &CellSummary| c.metrics.iter().filter(|m| m.phase == "during").cloned().collect::<Vec<_>>();
    let header = columns.iter().map(|column| {
        let name = column.name();
        (if column.unit.is_empty() { name } else { format!("{name}\n{}", column.unit) }, Kind::Number)
    });
    let mut table = Grid::new(varied.iter().map(|v| ((*v).to_owned(), Kind::Words)).chain(header));
    for cell in summary.cells.iter().filter(|c| !c.metrics.is_empty()) {
        let found = during(cell);
        let mut row: Vec<String> = varied.iter().map(|f| cell.levels.get(*f).cloned().unwrap_or_default()).collect();
        for ResultColumn { of, metric, .. } in columns {
            let mine = |m: &&MetricSummary| m.metric == *metric && of.as_ref().is_none_or(|of| *of == m.workload);
            let value = found.iter().find(mine).map(|m| &m.value);
            row.push(value.map_or_else(|| "–".to_owned(), |v| format!("{} {}", significant(v.median), spread(v))));
        }
        table.add(row);
    }
    table.text()
}
