//! Runs as other programs of monitoring know measurements: series of points and histograms with labels, in base units (seconds,
//! bytes, shares of 1), with instants since 1970. `prometheus`, `otlp` and `influx` write them.
//!
//! Over the time of each load: requests, their bytes, what targets use, and series that were scraped, under their own names. Once for
//! each phase: the histograms of times. Once for each repetition: every figure. All of them are in memory at a time.

use std::collections::BTreeMap;
use std::path::Path;

use analysis::Summary;
use analysis::cells::Series as FigureSeries;
use analysis::counts::{Counts, Sum};
use analysis::summary::CellSummary;
use analysis::table::unit;
use extract::exposition::quoted;
use record::read::CellRecord;
use record::rows::{Kind, Value};
use record::{Repetition, RunRecord, Verdict};
use vocabulary::errors::chain;

use super::content::{TAPS, files_in};
use super::rows::{Column, Fault, each_row, may, must};

/// Names with their values, in the order in which they are shown.
pub type Labels = Vec<(String, String)>;

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value that rises and falls.
    Gauge,
    /// A sum that only grows, from the start of its load.
    Counter,
    /// Its server does not say.
    Unknown,
}

/// Points of one thing over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name, without unit: `load_requests`.
    pub name: String,
    /// The unit of its values in UCUM: `s`, `By`, `1`, `By/s`, `1/s`, or the word of a custom metric.
    pub unit: String,
    /// What it is.
    pub shape: Shape,
    /// Whether it was scraped, and keeps the name that its server gave it.
    pub scraped: bool,
    /// What distinguishes it within its repetition.
    pub labels: Labels,
    /// Nanoseconds since 1970, ascending, and the value.
    pub points: Vec<(u64, f64)>,
}

/// The distribution of a time in a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Its name, without unit: `response_time`.
    pub name: &'static str,
    /// What distinguishes it within its repetition.
    pub labels: Labels,
    /// Start and end of the phase, in nanoseconds since 1970.
    pub between: (u64, u64),
    /// How many times there were, by nanoseconds.
    pub counts: Counts,
}

/// Everything of a repetition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Points {
    /// What distinguishes the repetition from all others: experiment, run, cell, factors, repetition, verdict.
    pub of: Labels,
    /// When its load began, in nanoseconds since 1970.
    pub begin_unix_ns: u64,
    /// Series.
    pub series: Vec<Series>,
    /// Histograms.
    pub histograms: Vec<Histogram>,
}

/// Everything of a run, and what could not be read, in words.
pub fn of_run(run: &RunRecord, summary: &Summary) -> (Vec<Points>, Vec<String>) {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    for repetition in &run.repetitions {
        let (points, broken) = of_repetition(run, summary, repetition);
        all.push(points);
        damaged.extend(broken);
    }
    (all, damaged)
}

/// Everything of a repetition, and what could not be read, in words.
pub fn of_repetition(run: &RunRecord, summary: &Summary, repetition: &Repetition) -> (Points, Vec<String>) {
    let (mut points, damaged) = measured(run, repetition);
    let cell = &summary.cells[repetition.cell];
    for series in cell.figures.iter() {
        points.series.extend(figure(cell, series, repetition, points.begin_unix_ns));
    }
    (points, damaged)
}

/// What was measured in a repetition, without its figures; and what could not be read, in words.
pub fn measured(run: &RunRecord, repetition: &Repetition) -> (Points, Vec<String>) {
    let cell = &run.plan.cells[repetition.cell];
    let begin_unix_ns = begun(repetition);
    let mut points = Points { of: labels(run, cell, repetition), begin_unix_ns, ..Points::default() };
    let mut damaged = Vec::new();
    let mut read = |result: Result<(), Fault>| match result {
        Ok(()) => {}
        Err(Fault::Damaged(error)) => damaged.push(chain(&error)),
        Err(Fault::Stop(error)) => damaged.push(chain(&error)),
    };
    let table = |name: &str| Some(repetition.path.join(name)).filter(|path| path.exists());
    if let Some(path) = table("windows.parquet") {
        read(windows(&path, repetition, run.plan.window.as_nanos() as u64, &mut points));
    }
    if let Some(path) = table("resources.parquet") {
        read(resources(&path, &mut points));
    }
    for path in files_in(&repetition.path.join(TAPS), "parquet") {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_scrape =
            |tap: &&record::read::TapRecord| tap.name == name && tap.fields.iter().any(|field| field.name == "selector");
        if cell.taps.iter().any(|tap| is_scrape(&tap)) {
            read(scraped(&path, &name, &mut points));
        }
    }
    (points, damaged)
}

/// The instant since 1970 at which a load began; of a repetition without one, when the repetition started.
fn begun(repetition: &Repetition) -> u64 {
    let text = std::fs::read_to_string(repetition.path.join("events.jsonl")).unwrap_or_default();
    let began = text.lines().filter(|line| line.contains("load-begins")).find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).ok()?;
        (event["event"] == "load-begins").then(|| event["unix_ns"].as_u64())?
    });
    let started =
        || repetition.status.started_at.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_nanosecond()).ok());
    began.or_else(started).unwrap_or_default()
}

/// What distinguishes a repetition.
fn labels(run: &RunRecord, cell: &CellRecord, repetition: &Repetition) -> Labels {
    let verdict = match &repetition.status.verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid { .. } => "invalid",
        Verdict::Failed { .. } => "failed",
    };
    let own = [
        ("experiment", run.plan.experiment.clone()),
        ("run", run.name.clone()),
        ("cell", cell.id.clone()),
        ("repetition", repetition.status.repetition.to_string()),
        ("verdict", verdict.to_owned()),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    own.into_iter().chain(cell.levels.iter().map(|(factor, level)| (format!("factor_{factor}"), level.clone()))).collect()
}

/// Labels without those that are empty.
fn some<'l>(all: impl IntoIterator<Item = (&'l str, &'l str)>) -> Labels {
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The value of a figure in a repetition, at the end of its phase.
fn figure(cell: &CellSummary, series: &FigureSeries, repetition: &Repetition, begin_unix_ns: u64) -> Option<Series> {
    let number = repetition.status.repetition;
    let (_, value) = series.values.iter().chain(&series.uncounted).find(|(found, _)| *found == number)?;
    let part = &series.part;
    let phases = repetition.status.phases.iter().filter(|phase| {
        (part.phase.is_empty() || phase.phase == part.phase) && (part.workload.is_empty() || phase.workload == part.workload)
    });
    let phases: Vec<_> = phases.collect();
    // What is collected and scraped belongs to no workload.
    let all = repetition.status.phases.iter().filter(|phase| part.phase.is_empty() || phase.phase == part.phase);
    let end = phases.iter().map(|phase| phase.end_ns).max().or_else(|| all.map(|phase| phase.end_ns).max()).unwrap_or_default();
    let (unit, value) = base(unit(cell, series).unwrap_or_default(), *value);
    // The requests of each outcome are one metric.
    let (name, outcome) = series.metric.split_once(':').unwrap_or((&series.metric, ""));
    let labels = some([
        ("workload", &*part.workload),
        ("target", &part.target),
        ("phase", &part.phase),
        ("step", &part.step),
        ("outcome", outcome.trim()),
    ]);
    let points = vec![(begin_unix_ns + end, value)];
    value.is_finite().then(|| Series { name: name.to_owned(), unit, shape: Shape::Gauge, scraped: false, labels, points })
}

/// A value in the base unit, and the unit in UCUM.
fn base(unit: &str, value: f64) -> (String, f64) {
    let (unit, factor) = match unit {
        "ns" => ("s", 1e-9),
        "us" | "µs" => ("s", 1e-6),
        "ms" => ("s", 1e-3),
        "share" => ("1", 1.0),
        "%" => ("1", 0.01),
        "B" => ("By", 1.0),
        "KiB" => ("By", 1024.0),
        "MiB" => ("By", 1_048_576.0),
        "B/s" => ("By/s", 1.0),
        other => (other, 1.0),
    };
    (unit.to_owned(), value * factor)
}

/// The columns of windows that are read here.
const WINDOWS: [Column; 10] = [
    must("window_start_ns", Kind::Integer),
    must("workload", Kind::Text),
    must("step", Kind::Text),
    must("phase", Kind::Text),
    must("outcome", Kind::Text),
    must("requests", Kind::Integer),
    must("sent_bytes", Kind::Integer),
    must("received_bytes", Kind::Integer),
    may("service_ns_hdr", Kind::Bytes),
    may("response_ns_hdr", Kind::Bytes),
];

/// Workload, step, phase, outcome.
type Part = [String; 4];

/// Requests and bytes of a part, by the start of their window.
type ByWindow = BTreeMap<i64, [i64; 3]>;

fn windows(path: &Path, repetition: &Repetition, window_ns: u64, points: &mut Points) -> Result<(), Fault> {
    let mut counted: BTreeMap<Part, ByWindow> = BTreeMap::new();
    let mut times: BTreeMap<(Part, usize), Vec<Vec<u8>>> = BTreeMap::new();
    each_row(path, &WINDOWS, |_, values| {
        let text = |at: usize| if let Value::Text(text) = values[at] { text.to_owned() } else { String::new() };
        let number = |at: usize| if let Value::Integer(number) = values[at] { number } else { 0 };
        let part = [text(1), text(2), text(3), text(4)];
        let sums = counted.entry(part.clone()).or_default().entry(number(0)).or_default();
        for (sum, at) in sums.iter_mut().zip(5..) {
            *sum += number(at);
        }
        for (time, at) in [8, 9].into_iter().enumerate() {
            if let Value::Bytes(bytes) = values[at]
                && !bytes.is_empty()
            {
                times.entry((part.clone(), time)).or_default().push(bytes.to_vec());
            }
        }
        Ok(())
    })?;
    let begin = points.begin_unix_ns;
    let at = |ns: i64| begin.saturating_add_signed(ns);
    let of = |[workload, step, phase, outcome]: &Part| {
        some([("workload", workload.as_str()), ("step", step), ("phase", phase), ("outcome", outcome)])
    };
    for (part, windows) in counted {
        for (row, (name, unit)) in [("load_requests", ""), ("load_sent", "By"), ("load_received", "By")].into_iter().enumerate() {
            let mut sum = 0;
            let grown = windows.iter().map(|(start, counts)| {
                sum += counts[row];
                (at(*start) + window_ns, sum as f64)
            });
            let points_of = grown.collect();
            let (name, unit) = (name.to_owned(), unit.to_owned());
            points.series.push(Series {
                name,
                unit,
                shape: Shape::Counter,
                scraped: false,
                labels: of(&part),
                points: points_of,
            });
        }
    }
    let mut sum = Sum::default();
    for ((part, time), all) in times {
        let added = all.iter().try_for_each(|bytes| sum.add_encoded(bytes).map(drop));
        let counts = sum.take();
        added.map_err(|error| {
            let source = std::io::Error::other(format!("a histogram is damaged: {error}"));
            record::Error::Read { path: path.to_owned(), source }
        })?;
        let phase = repetition.status.phases.iter().find(|phase| phase.workload == part[0] && phase.phase == part[2]);
        let between = phase.map_or((0, 0), |phase| (phase.start_ns, phase.end_ns));
        let name = ["service_time", "response_time"][time];
        let between = (begin + between.0, begin + between.1);
        points.histograms.push(Histogram { name, labels: of(&part), between, counts });
    }
    Ok(())
}

/// The columns of resources that are read here.
const RESOURCES: [Column; 9] = [
    must("at_ns", Kind::Integer),
    must("target", Kind::Text),
    must("replica", Kind::Integer),
    may("pss_bytes", Kind::Integer),
    may("rss_bytes", Kind::Integer),
    may("threads", Kind::Integer),
    may("open_files", Kind::Integer),
    may("cpu_user_ns", Kind::Integer),
    may("cpu_system_ns", Kind::Integer),
];
/// What becomes of them: name, unit, shape, divisor, and the mode of processor time.
const USED: [(&str, &str, Shape, f64, &str); 6] = [
    ("target_pss", "By", Shape::Gauge, 1.0, ""),
    ("target_rss", "By", Shape::Gauge, 1.0, ""),
    ("target_threads", "", Shape::Gauge, 1.0, ""),
    ("target_open_files", "", Shape::Gauge, 1.0, ""),
    ("target_cpu", "s", Shape::Counter, 1e9, "user"),
    ("target_cpu", "s", Shape::Counter, 1e9, "system"),
];

fn resources(path: &Path, points: &mut Points) -> Result<(), Fault> {
    let mut found: BTreeMap<(String, i64, usize), Vec<(u64, f64)>> = BTreeMap::new();
    let begin = points.begin_unix_ns;
    each_row(path, &RESOURCES, |_, values| {
        let (Value::Integer(at), Value::Text(target), Value::Integer(replica)) = (values[0], values[1], values[2]) else {
            return Ok(());
        };
        for (row, (.., divisor, _)) in USED.iter().enumerate() {
            if let Value::Integer(value) = values[3 + row] {
                let key = (target.to_owned(), replica, row);
                found.entry(key).or_default().push((begin.saturating_add_signed(at), value as f64 / divisor));
            }
        }
        Ok(())
    })?;
    for ((target, replica, row), mut all) in found {
        all.sort_by_key(|(at, _)| *at);
        all.dedup_by_key(|(at, _)| *at);
        let (name, unit, shape, _, mode) = USED[row];
        let labels = some([("target", &*target), ("replica", &replica.to_string()), ("mode", mode)]);
        points.series.push(Series { name: name.to_owned(), unit: unit.to_owned(), shape, scraped: false, labels, points: all });
    }
    Ok(())
}

/// The columns of scraped series that are read here.
const SCRAPED: [Column; 4] =
    [must("at_ns", Kind::Integer), must("series", Kind::Text), may("value", Kind::Real), may("kind", Kind::Text)];

/// What a series is by the words of its server. Of classic histograms and of summaries, buckets, counts and sums only grow.
fn shape(kind: &str, name: &str) -> Shape {
    let grows = || ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
    match kind {
        "counter" => Shape::Counter,
        "gauge" => Shape::Gauge,
        "histogram" | "summary" if grows() => Shape::Counter,
        "summary" => Shape::Gauge,
        _ => Shape::Unknown,
    }
}

/// The series of a page under their own names; those that several selectors have kept once.
fn scraped(path: &Path, scrape: &str, points: &mut Points) -> Result<(), Fault> {
    let mut found: BTreeMap<String, (String, BTreeMap<u64, f64>)> = BTreeMap::new();
    let begin = points.begin_unix_ns;
    each_row(path, &SCRAPED, |_, values| {
        if let (Value::Integer(at), Value::Text(series), Value::Real(value)) = (values[0], values[1], values[2])
            && value.is_finite()
        {
            let (kind, all) = found.entry(series.to_owned()).or_default();
            if let Value::Text(said) = values[3] {
                said.clone_into(kind);
            }
            all.insert(begin.saturating_add_signed(at), value);
        }
        Ok(())
    })?;
    for (series, (kind, all)) in found {
        let (name, labels) = parts(&series);
        let labels = std::iter::once(("scrape".to_owned(), scrape.to_owned())).chain(labels).collect();
        let (shape, unit) = (shape(&kind, &name), String::new());
        points.series.push(Series { name, unit, shape, scraped: true, labels, points: all.into_iter().collect() });
    }
    Ok(())
}

/// The name of a series and its labels, from `name{label="value",…}` as scrapes record it.
fn parts(series: &str) -> (String, Labels) {
    let Some((name, rest)) = series.split_once('{') else { return (series.to_owned(), Labels::new()) };
    let mut labels = Labels::new();
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once('=')
        && let Some((value, after)) = quoted(after)
    {
        labels.push((label.trim_start_matches(',').to_owned(), value.into_owned()));
        rest = after;
    }
    (name.to_owned(), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_taken_apart_as_they_were_put_together() {
        let (name, labels) = parts(r#"http_total{code="200",path="/a\"b\\,c=\"}\n"}"#);
        let expected = [("code", "200"), ("path", "/a\"b\\,c=\"}\n")];
        assert_eq!(name, "http_total");
        assert_eq!(labels, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(parts("/queue/length"), ("/queue/length".to_owned(), Labels::new()));
    }

    #[test]
    fn what_a_server_says_of_a_series_is_kept() {
        let told = [("counter", "a_total"), ("gauge", "b"), ("histogram", "c_bucket"), ("summary", "d"), ("", "e")];
        let shapes = [Shape::Counter, Shape::Gauge, Shape::Counter, Shape::Gauge, Shape::Unknown];
        assert_eq!(told.map(|(kind, name)| shape(kind, name)), shapes);
    }

    #[test]
    fn values_are_in_base_units() {
        assert_eq!(base("ms", 1500.0), ("s".to_owned(), 1.5));
        assert_eq!(base("%", 50.0), ("1".to_owned(), 0.5));
        assert_eq!(base("rows", 3.0), ("rows".to_owned(), 3.0));
    }
}
