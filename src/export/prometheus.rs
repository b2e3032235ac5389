//! Runs as OpenMetrics text with time stamps, which `promtool tsdb create-blocks-from openmetrics` takes.
//!
//! Names follow Prometheus's conventions: the prefix `runner_`, base units as suffix, `_total` for counters. Series that were scraped
//! keep their names. Histograms have classic buckets, in steps of 1, 2 and 5: the text formats have no native ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use analysis::counts::Counts;

use super::points::{Histogram, Labels, Points, Series, Shape};

/// The upper bounds of buckets in nanoseconds, from 1 µs to 1000 s.
const BOUNDS: [u64; 28] = {
    let mut bounds = [0; 28];
    let (mut at, mut decade) = (0, 1_000);
    while at < 28 {
        bounds[at] = decade * [1, 2, 5][at % 3];
        at += 1;
        if at % 3 == 0 {
            decade *= 10;
        }
    }
    bounds
};

/// How many times are at most as long as each bound.
pub(super) fn buckets(counts: &Counts) -> Vec<(u64, u64)> {
    let mut values = counts.values().peekable();
    let mut below = 0;
    let mut upto = |bound: u64| {
        while let Some((_, count)) = values.next_if(|(ns, _)| *ns <= bound) {
            below += count;
        }
        (bound, below)
    };
    BOUNDS.into_iter().map(&mut upto).collect()
}

/// The sum of the times, in seconds.
pub(super) fn sum_s(counts: &Counts) -> f64 {
    counts.mean().unwrap_or_default() * counts.len() as f64 / 1e9
}

/// A family of metrics: its type, and its lines.
#[derive(Default)]
struct Family {
    kind: &'static str,
    unit: &'static str,
    lines: String,
}

/// The text of some runs.
pub fn text(all: &[Points]) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for points in all {
        for series in &points.series {
            add(&mut families, &points.of, series);
        }
        for histogram in &points.histograms {
            add_histogram(&mut families, &points.of, histogram);
        }
    }
    let mut text = String::new();
    for (name, Family { kind, unit, lines }) in families {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(text, "# UNIT {name} {unit}");
        }
        text += &lines;
    }
    text + "# EOF\n"
}

fn add(families: &mut BTreeMap<String, Family>, of: &Labels, series: &Series) {
    let suffix = suffix(&series.unit);
    let own = || with_suffix(&format!("runner_{}", named(&series.name)), &suffix.0);
    let theirs = named(&series.name);
    let (mut name, mut kind, mut end) = match (series.scraped, series.shape) {
        (false, Shape::Counter) => (own(), "counter", "_total"),
        (false, _) => (own(), "gauge", ""),
        (true, Shape::Gauge) => (theirs.clone(), "gauge", ""),
        // In OpenMetrics the name of a counter ends so; others, such as buckets, keep their names and have no type.
        (true, Shape::Counter) if theirs.ends_with("_total") => {
            (theirs.trim_end_matches("_total").to_owned(), "counter", "_total")
        }
        (true, _) => (theirs.clone(), "unknown", ""),
    };
    // Another series of this name may be something else.
    let is_taken = |name: &str, kind: &str| families.get(name).is_some_and(|family| family.kind != kind);
    if is_taken(&name, kind) {
        (name, kind, end) = match end {
            "" => (format!("{name}_{kind}"), kind, ""),
            end => (format!("{name}{end}"), "unknown", ""),
        };
    }
    // A unit is the end of its name.
    let unit = if series.scraped || !name.ends_with(suffix.1) { "" } else { suffix.1 };
    let family = families.entry(name.clone()).or_insert_with(|| Family { kind, unit, lines: String::new() });
    let labels = shown(of, &series.labels, None);
    for (at, value) in &series.points {
        let _ = writeln!(family.lines, "{name}{end}{labels} {value} {}", seconds(*at));
    }
}

fn add_histogram(families: &mut BTreeMap<String, Family>, of: &Labels, histogram: &Histogram) {
    let name = format!("runner_{}_seconds", histogram.name);
    let family =
        families.entry(name.clone()).or_insert_with(|| Family { kind: "histogram", unit: "seconds", lines: String::new() });
    let at = seconds(histogram.between.1);
    let count = histogram.counts.len();
    let bounds = buckets(&histogram.counts).into_iter().map(|(bound, count)| (bound_text(bound), count));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), count)]) {
        let labels = shown(of, &histogram.labels, Some(&bound));
        let _ = writeln!(family.lines, "{name}_bucket{labels} {count} {at}");
    }
    let labels = shown(of, &histogram.labels, None);
    let _ = writeln!(family.lines, "{name}_sum{labels} {} {at}", sum_s(&histogram.counts));
    let _ = writeln!(family.lines, "{name}_count{labels} {count} {at}");
}

/// A bound in seconds, in the only spelling that OpenMetrics allows ("Canonical Numbers").
fn bound_text(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match ns {
        0..100_000 => {
            let text = format!("{seconds:e}");
            text.split_once("e-").map_or(text.clone(), |(number, power)| format!("{number}e-{power:0>2}"))
        }
        _ if seconds.fract() == 0.0 => format!("{seconds}.0"),
        _ => seconds.to_string(),
    }
}

/// What a unit adds to a name, and the unit itself as OpenMetrics has it: the end of the name.
fn suffix(unit: &str) -> (String, &'static str) {
    match unit {
        "" => (String::new(), ""),
        "1" => ("ratio".to_owned(), "ratio"),
        "s" => ("seconds".to_owned(), "seconds"),
        "By" => ("bytes".to_owned(), "bytes"),
        "By/s" => ("bytes_per_second".to_owned(), "bytes_per_second"),
        "1/s" => ("per_second".to_owned(), "per_second"),
        other => (named(other), ""),
    }
}

fn with_suffix(name: &str, suffix: &str) -> String {
    let says_it = name.ends_with(&format!("_{suffix}")) || suffix == "per_second" && name.contains("_per_");
    if suffix.is_empty() || says_it { name.to_owned() } else { format!("{name}_{suffix}") }
}

/// A name with nothing in it that names may not have.
pub(super) fn named(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(clean).collect();
    let name = name.trim_matches('_');
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name.to_owned() }
}

/// Labels in braces. A label of a scraped series that is also one of ours is called `exported_…`, as Prometheus does.
fn shown(of: &Labels, own: &Labels, le: Option<&str>) -> String {
    let mut text = String::from("{");
    let mut put = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let comma = if text.len() > 1 { "," } else { "" };
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    };
    for (name, value) in of {
        put(&named(name), value);
    }
    for (name, value) in own {
        let is_taken = of.iter().any(|(other, _)| other == name);
        put(&format!("{}{}", if is_taken { "exported_" } else { "" }, named(name)), value);
    }
    if let Some(le) = le {
        put("le", le);
    }
    text.push('}');
    text
}

/// An instant in seconds since 1970, exact.
fn seconds(unix_ns: u64) -> String {
    format!("{}.{:09}", unix_ns / 1_000_000_000, unix_ns % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::counts::Sum;

    #[test]
    fn bounds_are_those_that_people_expect() {
        assert_eq!(BOUNDS[..4], [1_000, 2_000, 5_000, 10_000]);
        assert_eq!(BOUNDS[27], 1_000_000_000_000);
        assert_eq!([0, 5, 6, 17, 18, 27].map(|at| bound_text(BOUNDS[at])), ["1e-06", "5e-05", "0.0001", "0.5", "1.0", "1000.0"]);
    }

    #[test]
    fn names_labels_and_instants_are_as_prometheus_wants_them() {
        assert_eq!(named("outcome: not found"), "outcome__not_found");
        assert_eq!(named("5xx"), "_5xx");
        assert_eq!(with_suffix("runner_queue_seconds", "seconds"), "runner_queue_seconds");
        assert_eq!(with_suffix("runner_requests_per_cpu_s", "per_second"), "runner_requests_per_cpu_s");
        assert_eq!(with_suffix("runner_errors", "ratio"), "runner_errors_ratio");
        assert_eq!(seconds(1_500_000_000), "1.500000000");
        let labels = |all: &[(&str, &str)]| all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Labels>();
        let told = shown(&labels(&[("cell", "a\"b")]), &labels(&[("cell", "c"), ("x-y", "d\n")]), Some("+Inf"));
        assert_eq!(told, r#"{cell="a\"b",exported_cell="c",x_y="d\n",le="+Inf"}"#);
    }

    #[test]
    fn scraped_series_keep_their_names_and_what_they_are() {
        let series = |name: &str, shape| {
            let (name, unit, labels) = (name.to_owned(), String::new(), Labels::new());
            Series { name, unit, shape, scraped: true, labels, points: vec![(1_000_000_000, 2.0)] }
        };
        let all =
            [("q_total", Shape::Counter), ("q", Shape::Gauge), ("w_bucket", Shape::Counter), ("/queue/length", Shape::Unknown)];
        let points = Points { series: all.map(|(name, shape)| series(name, shape)).into(), ..Points::default() };
        let expected = [
            "q counter",
            "q_total",
            "q_gauge gauge",
            "q_gauge",
            "queue_length unknown",
            "queue_length",
            "w_bucket unknown",
            "w_bucket",
        ];
        let line = |(at, word): (usize, &&str)| match at % 2 {
            0 => format!("# TYPE {word}\n"),
            _ => format!("{word}{{}} 2 1.000000000\n"),
        };
        assert_eq!(text(&[points]), expected.iter().enumerate().map(line).collect::<String>() + "# EOF\n");
    }

    #[test]
    fn no_time_is_lost_between_buckets() {
        let counts = Sum::default().take();
        assert_eq!(buckets(&counts).last(), Some(&(1_000_000_000_000, 0)));
    }
}
