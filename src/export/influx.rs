//! Runs in InfluxDB's line protocol: a line for each instant of each part, with nanoseconds since 1970.
//!
//! Measurements have the prefix `runner_`, what distinguishes rows are tags. A histogram is one line, whose fields are the counts up to
//! each bound in seconds, `sum` and `count`, as Telegraf writes Prometheus's histograms.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::points::{Labels, Points, Series, Shape};
use super::prometheus::{buckets, named, sum_s};

/// The lines of some runs.
pub fn lines(all: &[Points]) -> String {
    let mut text = String::new();
    for points in all {
        // Figures of one part and instant are one line.
        let mut rows: BTreeMap<(String, String, u64), Vec<(String, f64)>> = BTreeMap::new();
        for series in &points.series {
            let (measurement, field) = place(series);
            let tags = tags(&points.of, &series.labels);
            for (at, value) in &series.points {
                rows.entry((measurement.clone(), tags.clone(), *at)).or_default().push((field.clone(), *value));
            }
        }
        for ((measurement, tags, at), fields) in rows {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{}={value}", escaped(name))).collect();
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{}{tags} {} {at}", measurement_name(&measurement), fields.join(","));
        }
        for histogram in &points.histograms {
            let (counts, tags) = (&histogram.counts, tags(&points.of, &histogram.labels));
            let bounds = buckets(counts).into_iter().map(|(bound, count)| format!("{}={count}i", bound as f64 / 1e9));
            let bounds: Vec<String> = bounds.chain([format!("+Inf={}i", counts.len())]).collect();
            let (sum, count, at) = (sum_s(counts), counts.len(), histogram.between.1);
            let _ = writeln!(text, "runner_{}_seconds{tags} {},sum={sum},count={count}i {at}", histogram.name, bounds.join(","));
        }
    }
    text
}

/// The measurement and the field of a series.
fn place(series: &Series) -> (String, String) {
    let unit = match series.unit.as_str() {
        "" => String::new(),
        "1" => "_ratio".to_owned(),
        "s" => "_seconds".to_owned(),
        "By" => "_bytes".to_owned(),
        "By/s" => "_bytes_per_second".to_owned(),
        "1/s" => "_per_second".to_owned(),
        other => format!("_{}", named(other)),
    };
    let field = format!("{}{unit}", named(&series.name));
    match series.shape {
        _ if series.scraped => (series.name.clone(), "value".to_owned()),
        _ if series.name.starts_with("target_") => ("runner_targets".to_owned(), field.trim_start_matches("target_").to_owned()),
        Shape::Counter => ("runner_load".to_owned(), field.trim_start_matches("load_").to_owned()),
        Shape::Gauge | Shape::Unknown => ("runner_figures".to_owned(), field),
    }
}

/// Tags in the order of their names, as InfluxDB prefers them; empty ones do not exist.
fn tags(of: &Labels, own: &Labels) -> String {
    let mut all: BTreeMap<&str, &str> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    all.extend(of.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    all.iter()
        .filter(|(_, value)| !value.is_empty())
        .fold(String::new(), |text, (name, value)| format!("{text},{}={}", escaped(name), escaped(value)))
}

/// The name or value of a tag, or the name of a field. A backslash before a comma, or at the end, would be read as one of ours.
fn escaped(text: &str) -> String {
    let clean = text.replace(['\n', '\r'], " ").replace('\\', "/");
    clean.replace(',', "\\,").replace('=', "\\=").replace(' ', "\\ ")
}

/// The name of a measurement, in which an equals sign is allowed.
fn measurement_name(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('\\', "/").replace(',', "\\,").replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_tag_is_escaped() {
        assert_eq!(escaped("a b,c=d\ne\\"), r"a\ b\,c\=d\ e/");
        let labels: Labels = vec![("z".to_owned(), "1".to_owned()), ("a".to_owned(), String::new())];
        assert_eq!(tags(&labels, &vec![("b".to_owned(), "2".to_owned())]), ",b=2,z=1");
    }
}
