//! Runs as OpenTelemetry metrics in OTLP/JSON: a line for each repetition, each an `ExportMetricsServiceRequest`, as OpenTelemetry's
//! file exporter writes them and `otlpjsonfile` reads them; and as the body of a request to `/v1/metrics`.
//!
//! The specification lets a receiver of OTLP over HTTP be spoken to in JSON. That needs nothing but `serde_json`, whereas protobuf would
//! bring `opentelemetry-proto` and `prost` for the same content; so no feature has to be switched on, and nothing is linked.
//!
//! Histograms are exponential ones, at the finest scale at which they have at most 160 buckets, as OpenTelemetry's own SDKs have them.
//! A histogram is that of its phase (delta), a counter counts from the start of its load (cumulative).

use serde_json::{Value as Json, json};

use analysis::counts::Counts;

use super::points::{Histogram, Labels, Points, Series, Shape};
use super::prometheus::sum_s;

/// The most buckets of a histogram.
const MOST_BUCKETS: i64 = 160;
/// The finest scale: 2^(1/1024), as fine as the times are recorded.
const FINEST: i32 = 10;
/// The temporalities of OTLP.
const DELTA: u8 = 1;
const CUMULATIVE: u8 = 2;

/// The lines of some runs.
pub fn lines(all: &[Points]) -> String {
    all.iter().map(|points| request(points).to_string() + "\n").collect()
}

/// A request with everything of a repetition.
pub fn request(points: &Points) -> Json {
    let mut metrics: Vec<(String, String, &'static str, Vec<Json>)> = Vec::new();
    let mut add = |name: String, unit: String, kind: &'static str, mut data: Vec<Json>| match metrics
        .iter_mut()
        .find(|(other, its, of, _)| *other == name && *its == unit && *of == kind)
    {
        Some((.., all)) => all.append(&mut data),
        None => metrics.push((name, unit, kind, data)),
    };
    for series in &points.series {
        let kind = if series.shape == Shape::Counter { "sum" } else { "gauge" };
        let name = if series.scraped {
            instrument(&series.name)
        } else {
            // What belongs to the load and to targets has a name space of its own.
            let is_inside = ["load_", "target_"].iter().any(|start| series.name.starts_with(start));
            format!("runner.{}", if is_inside { series.name.replacen('_', ".", 1) } else { instrument(&series.name) })
        };
        let unit = if series.unit.is_empty() { "1" } else { &series.unit };
        add(name, unit.to_owned(), kind, of_series(series, points.begin_unix_ns));
    }
    for histogram in &points.histograms {
        add(format!("runner.{}", histogram.name), "s".to_owned(), "exponentialHistogram", vec![of_histogram(histogram)]);
    }
    let metrics = metrics.into_iter().map(|(name, unit, kind, data)| {
        let data = match kind {
            "sum" => json!({"dataPoints": data, "aggregationTemporality": CUMULATIVE, "isMonotonic": true}),
            "exponentialHistogram" => json!({"dataPoints": data, "aggregationTemporality": DELTA}),
            _ => json!({"dataPoints": data}),
        };
        json!({"name": name, "unit": unit, kind: data})
    });
    envelope(&points.of, metrics.collect())
}

/// A request with these metrics. `of`: what distinguishes them from those of other runs.
pub fn envelope(of: &Labels, metrics: Vec<Json>) -> Json {
    let own = of.iter().map(|(name, value)| (format!("runner.{}", name.replacen('_', ".", 1)), value.clone()));
    let of: Labels = std::iter::once(("service.name".to_owned(), "runner".to_owned())).chain(own).collect();
    let scope = json!({"name": "runner", "version": env!("CARGO_PKG_VERSION")});
    json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(&of)},
        "scopeMetrics": [{"scope": scope, "metrics": metrics}],
    }]})
}

/// A gauge with one value of now.
pub fn gauge(name: &str, unit: &str, labels: &Labels, unix_ns: u64, value: f64) -> Json {
    let point = json!({"attributes": attributes(labels), "timeUnixNano": unix_ns.to_string(), "asDouble": value});
    json!({"name": format!("runner.{name}"), "unit": unit, "gauge": {"dataPoints": [point]}})
}

/// A counter with one value of now. `since`: when it was 0.
pub fn counter(name: &str, labels: &Labels, (since, unix_ns): (u64, u64), value: u64) -> Json {
    let point = json!({
        "attributes": attributes(labels),
        "startTimeUnixNano": since.to_string(),
        "timeUnixNano": unix_ns.to_string(),
        "asInt": value.to_string(),
    });
    let sum = json!({"dataPoints": [point], "aggregationTemporality": CUMULATIVE, "isMonotonic": true});
    json!({"name": format!("runner.{name}"), "unit": "1", "sum": sum})
}

fn attributes(labels: &Labels) -> Vec<Json> {
    labels.iter().map(|(name, value)| json!({"key": name, "value": {"stringValue": value}})).collect()
}

/// A name as instruments may have it: a letter, and then letters, digits, `_`, `.`, `-` and `/`.
fn instrument(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "_.-/".contains(c) { c } else { '.' };
    let name: String = name.chars().map(clean).collect();
    name.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).trim_end_matches('.').to_owned()
}

fn of_series(series: &Series, load_begins: u64) -> Vec<Json> {
    let attributes = attributes(&series.labels);
    // When the counter of a server was 0 is not known; one that fell has started again.
    let first = series.points.first().map_or(load_begins, |(at, _)| *at);
    let (mut since, mut last) = (if series.scraped { first } else { load_begins }, f64::NEG_INFINITY);
    let point = |(at, value): &(u64, f64)| {
        let mut point = json!({"attributes": attributes, "timeUnixNano": at.to_string(), "asDouble": value});
        if series.shape == Shape::Counter {
            since = if *value < last { *at } else { since };
            last = *value;
            point["startTimeUnixNano"] = since.to_string().into();
        }
        point
    };
    series.points.iter().filter(|(_, value)| value.is_finite()).map(point).collect()
}

fn of_histogram(histogram: &Histogram) -> Json {
    let counts = &histogram.counts;
    let (scale, offset, buckets, zero) = exponential(counts);
    let bucket_counts: Vec<String> = buckets.iter().map(u64::to_string).collect();
    let mut point = json!({
        "attributes": attributes(&histogram.labels),
        "startTimeUnixNano": histogram.between.0.to_string(),
        "timeUnixNano": histogram.between.1.to_string(),
        "count": counts.len().to_string(),
        "sum": sum_s(counts),
        "scale": scale,
        "zeroCount": zero.to_string(),
        "positive": {"offset": offset, "bucketCounts": bucket_counts},
    });
    let mut values = counts.values();
    if let Some((least, _)) = values.next() {
        point["min"] = json!(least as f64 / 1e9);
        point["max"] = json!(values.next_back().map_or(least, |(most, _)| most) as f64 / 1e9);
    }
    point
}

/// Scale, index of the first bucket, counts, and how many are 0. The bucket with index i holds seconds above base^i and up to
/// base^(i + 1), where base = 2^(2^-scale) (OpenTelemetry's data model, "Exponential Histogram").
fn exponential(counts: &Counts) -> (i32, i64, Vec<u64>, u64) {
    let index = |ns: u64, scale: i32| ((ns as f64 / 1e9).log2() * 2_f64.powi(scale)).ceil() as i64 - 1;
    let mut values = counts.values().filter(|(ns, _)| *ns > 0);
    let Some((least, _)) = values.next() else { return (0, 0, Vec::new(), counts.len()) };
    let most = values.next_back().map_or(least, |(most, _)| most);
    let fits = |scale: &i32| index(most, *scale) - index(least, *scale) < MOST_BUCKETS;
    let scale = (-10..=FINEST).rev().find(fits).unwrap_or(-10);
    let offset = index(least, scale);
    let mut buckets = vec![0; (index(most, scale) - offset + 1) as usize];
    let mut zero = 0;
    for (ns, count) in counts.values() {
        match ns {
            0 => zero += count,
            ns => buckets[(index(ns, scale) - offset) as usize] += count,
        }
    }
    (scale, offset, buckets, zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::counts::Sum;
    use hdrhistogram::serialization::{Serializer as _, V2Serializer};
    use vocabulary::rows::new_histogram;

    fn counts(times: &[u64]) -> Counts {
        let mut histogram = new_histogram();
        times.iter().for_each(|ns| histogram.record(*ns).unwrap());
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        let mut sum = Sum::default();
        sum.add_encoded(&bytes).unwrap();
        sum.take()
    }

    #[test]
    fn names_are_those_of_instruments() {
        assert_eq!(["/queue/length", "a:b", "jobs_total"].map(instrument), ["queue/length", "a.b", "jobs_total"]);
    }

    #[test]
    fn every_time_is_in_the_bucket_whose_bounds_hold_it() {
        for times in [vec![1_000_000_000], vec![1, 10_u64.pow(12)], (1..1000).map(|n| n * 1_000_000).collect()] {
            let counts = counts(&times);
            let (scale, offset, buckets, zero) = exponential(&counts);
            assert!(buckets.len() as i64 <= MOST_BUCKETS && zero == 0);
            assert_eq!(buckets.iter().sum::<u64>(), times.len() as u64);
            let base = 2_f64.powf(2_f64.powi(-scale));
            for (at, _) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
                let (low, high) = (base.powi((offset + at as i64) as i32), base.powi((offset + at as i64 + 1) as i32));
                let inside =
                    counts.values().any(|(ns, _)| ns as f64 / 1e9 > low * 0.999_999 && ns as f64 / 1e9 <= high * 1.000_001);
                assert!(inside, "{times:?} {scale} {low} {high}");
            }
        }
        assert_eq!(exponential(&counts(&[1_000_000_000])).0, FINEST);
        assert_eq!(exponential(&counts(&[])), (0, 0, Vec::new(), 0));
    }
}
