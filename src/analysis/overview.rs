//! The table of cells as data: which columns there are, and the words and values in them. A page can sort and copy it; `text`
//! lays it out for a terminal.

use std::collections::BTreeSet;

use super::summary::{CellSummary, Estimate, StepSummary, Summary};
use super::values;
use vocabulary::units::{human_bytes, human_duration, significant};
use vocabulary::{Interest, Metric};

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// What it means, in words.
    pub words: String,
    /// What it shows.
    pub shows: Shows,
    /// The unit of the values; empty for names and counts.
    pub unit: String,
}

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// A factor, the workload or the phase: names, on the left.
    Name,
    /// A metric that a command reports, or its interval.
    Result,
    /// A figure of passes.
    Passes,
    /// How late passes were sent.
    Lag,
    /// Arrivals that were never sent.
    Unsent,
    /// Passes that were not answered as expected.
    Errors,
    /// Memory of targets.
    Pss,
    /// Processors that targets used.
    Cpu,
    /// How many repetitions count.
    Valid,
}

impl Shows {
    /// Whether it holds names.
    pub fn is_name(self) -> bool {
        self == Self::Name
    }
}

/// The entry of a row in a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// In words; `–` where there is nothing.
    pub text: String,
    /// In base units; none for names and where there is nothing.
    pub value: Option<f64>,
}

/// A row: one workload of a cell in one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Index of the cell in the summary.
    pub cell: usize,
    /// Whether its workload reports metrics of its own, so that its passes are not what matters.
    pub is_result: bool,
    /// The entries, in the order of the columns.
    pub entries: Vec<Entry>,
}

/// The table of cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Names first.
    pub columns: Vec<Column>,
    /// The executed cells in the order of the scenario.
    pub rows: Vec<Row>,
}

/// The factors that differ between cells that were measured: only these appear in columns and names.
pub fn varied(summary: &Summary) -> Vec<&str> {
    summary.varied_among(|cell| cell.repetitions.valid > 0)
}

/// The short name of a cell: the levels of the factors that differ, or its whole name where none does.
pub fn short_name(cell: &CellSummary, varied: &[&str]) -> String {
    let levels: Vec<&str> = varied.iter().filter_map(|f| cell.levels.get(*f)).map(String::as_str).collect();
    match (levels.is_empty(), cell.cell.is_empty()) {
        (false, _) => levels.join(" "),
        (true, false) => cell.cell.clone(),
        (true, true) => "the only cell".to_owned(),
    }
}

/// A level in a sentence. A number or a truth value says nothing without the name of its factor.
pub fn telling(factor: &str, level: &str) -> String {
    let is_bare = level.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if is_bare || matches!(level, "true" | "false" | "none" | "null" | "") {
        format!("{factor}={level}")
    } else {
        level.to_owned()
    }
}

/// The short name of a cell in a sentence: `haproxy, processes=2`.
pub fn telling_name(cell: &CellSummary, varied: &[&str]) -> String {
    let levels: Vec<String> = varied.iter().filter_map(|factor| Some(telling(factor, cell.levels.get(*factor)?))).collect();
    if levels.is_empty() { short_name(cell, varied) } else { levels.join(", ") }
}

/// The table of cells of a run.
pub fn overview(summary: &Summary) -> Overview {
    let varied = varied(summary);
    let own = result_columns(summary);
    let all = || summary.cells.iter().flat_map(|c| c.steps.iter().filter(|s| s.has_row()).map(move |s| (c, s)));
    let workloads: BTreeSet<&str> = all().map(|(_, s)| s.workload.as_str()).collect();
    let has = Has {
        workload: workloads.len() > 1,
        phase: all().any(|(_, s)| s.phase != "during"),
        // What a command measures matters, not how long the command took.
        passes: all().any(|(c, s)| !values::brings(c, &s.workload)),
        lag: all().any(|(_, s)| s.lag_ns.is_some_and(|l| l.max > 0)),
        unsent: all().any(|(_, s)| s.unsent > 0),
        errors: all().any(|(_, s)| s.unanswered() > 0),
    };
    let mut rows = Vec::new();
    for (index, cell) in summary.cells.iter().enumerate() {
        let names: Vec<Entry> = varied.iter().map(|f| name(cell.levels.get(*f).map_or("", String::as_str))).collect();
        let steps: Vec<&StepSummary> = cell.steps.iter().filter(|s| s.has_row()).collect();
        for step in &steps {
            let mut entries = names.clone();
            entries.extend(has.workload.then(|| name(&step.workload)));
            entries.extend(has.phase.then(|| name(&step.phase)));
            entries.extend(brought(cell, step, &own));
            if has.passes {
                entries.extend(passes(step, values::brings(cell, &step.workload)));
            }
            entries.extend(behind(step, &has));
            entries.extend(resources(cell, has.phase.then_some(step.phase.as_str())));
            entries.push(counted(cell));
            rows.push(Row { cell: index, is_result: values::brings(cell, &step.workload), entries });
        }
    }
    Overview { columns: columns(&varied, &own, &has), rows }
}

/// Which columns there are besides the factors.
struct Has {
    workload: bool,
    phase: bool,
    passes: bool,
    lag: bool,
    unsent: bool,
    errors: bool,
}

fn columns(varied: &[&str], own: &[ResultColumn], has: &Has) -> Vec<Column> {
    let column = |name: &str, words: &str, shows, unit: &str| Column {
        name: name.to_owned(),
        words: words.to_owned(),
        shows,
        unit: unit.to_owned(),
    };
    let name = |name: &str, words: &str| column(name, words, Shows::Name, "");
    let figure = |shows, name: &str, unit: &str, words: &str| column(name, words, shows, unit);
    let mut columns: Vec<Column> = varied.iter().map(|factor| name(factor, "a factor")).collect();
    columns.extend(has.workload.then(|| name("workload", "the workload that sent the passes")));
    columns.extend(has.phase.then(|| name("phase", "the part of the load")));
    for own in own {
        let ResultColumn { metric, unit, .. } = own;
        let of = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
        let words = format!("{}{of}, median over repetitions", metric.replace('_', " "));
        columns.push(figure(Shows::Result, &own.name(), unit, &words));
        columns.push(figure(Shows::Result, "95 %", "share", "farther end of the 95 % interval of the median"));
    }
    if has.passes {
        columns.push(figure(
            Shows::Passes,
            "per second",
            "1/s",
            "passes answered as expected per second, median over repetitions",
        ));
        columns.push(figure(Shows::Passes, "95 %", "share", "farther end of the 95 % interval of the median"));
        columns.push(figure(Shows::Passes, "p50", "ns", "response time of passes, median"));
        columns.push(figure(Shows::Passes, "p99", "ns", "response time of passes, 99th percentile"));
    }
    columns.extend(has.lag.then(|| figure(Shows::Lag, "lag", "ns", "99th percentile of how late passes were sent")));
    columns.extend(has.unsent.then(|| figure(Shows::Unsent, "unsent", "share", "share of arrivals that were never sent")));
    columns.extend(has.errors.then(|| figure(Shows::Errors, "errors", "", "passes that were not answered as expected")));
    columns.push(figure(Shows::Pss, "PSS", "bytes", "memory of all targets, peak"));
    columns.push(figure(Shows::Cpu, "CPU", "cores", "processors that all targets used, mean"));
    columns.push(figure(Shows::Valid, "valid", "", "repetitions that count, of those that were planned"));
    columns
}

fn name(text: &str) -> Entry {
    Entry { text: text.to_owned(), value: None }
}

fn figure(value: Option<f64>, words: impl Fn(f64) -> String) -> Entry {
    Entry { text: value.map_or_else(|| "–".to_owned(), words), value }
}

fn median(estimate: Option<&Estimate>) -> Option<f64> {
    estimate.map(|e| e.median)
}

/// The farther end of an interval, in words and as a share of the median.
fn interval(estimate: Option<&Estimate>) -> Entry {
    let value = estimate.and_then(|e| super::stability::half_width(e.median, e.median_interval));
    Entry { text: estimate.map_or_else(|| "–".to_owned(), spread), value }
}

/// The metrics of commands, taps and collected files.
fn brought(cell: &CellSummary, step: &StepSummary, own: &[ResultColumn]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for column in own {
        let mine = |m: &&super::summary::MetricSummary| {
            m.metric == column.metric && m.phase == step.phase && column.of.as_ref().is_none_or(|of| *of == m.workload)
        };
        let found = cell.metrics.iter().find(mine).map(|m| &m.value);
        entries.push(figure(median(found), significant));
        entries.push(interval(found));
    }
    entries
}

fn passes(step: &StepSummary, is_run_time: bool) -> Vec<Entry> {
    if is_run_time {
        return vec![figure(None, significant); 4];
    }
    let rate = step.throughput_per_s.as_ref();
    let time = |of: fn(&super::summary::Times) -> u64| figure(step.response_ns.as_ref().map(|t| of(t) as f64), human_duration);
    vec![figure(median(rate), significant), interval(rate), time(|t| t.p50), time(|t| t.p99)]
}

fn behind(step: &StepSummary, has: &Has) -> Vec<Entry> {
    let share = |value: f64| format!("{:.2} %", value * 100.0);
    let mut entries = Vec::new();
    entries.extend(has.lag.then(|| figure(step.lag_ns.map(|t| t.p99 as f64), human_duration)));
    entries.extend(has.unsent.then(|| figure(Some(step.unsent as f64 / step.offered.max(1) as f64), share)));
    entries.extend(has.errors.then(|| figure(Some(step.unanswered() as f64), |n| vocabulary::units::count(n as u64))));
    entries
}

/// Memory and processors of all targets: sums of their medians; `phase`: of one phase, else of the whole load.
fn resources(cell: &CellSummary, phase: Option<&str>) -> [Entry; 2] {
    let sum = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>());
    let of_phase =
        |phase: &str| cell.targets.iter().flat_map(|t| &t.phases).filter(move |p| p.phase == phase).collect::<Vec<_>>();
    let (pss, cpu) = match phase.map(of_phase) {
        Some(phases) => (
            phases.iter().filter_map(|p| median(p.pss_bytes.as_ref())).collect(),
            phases.iter().filter_map(|p| median(p.cpu_cores.as_ref())).collect(),
        ),
        None => (
            cell.targets.iter().filter_map(|t| median(t.pss_bytes.as_ref())).collect(),
            cell.targets.iter().filter_map(|t| median(t.cpu_cores.as_ref())).collect(),
        ),
    };
    [figure(sum(pss), human_bytes), figure(sum(cpu), |cpu| Metric::Cpu.human("", cpu))]
}

fn counted(cell: &CellSummary) -> Entry {
    let r = &cell.repetitions;
    Entry { text: format!("{} of {}", r.valid, r.planned), value: Some(f64::from(r.valid)) }
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
