//! The figures of runs for services that follow figures over commits: Bencher's metric format, and the lists of
//! github-action-benchmark (`customBiggerIsBetter`, `customSmallerIsBetter`).
//!
//! For each cell: what its program reports, or else the rate and the response times of passes, as in `compare`; and the memory
//! of targets. Values are medians over repetitions in base units, with the ends of the 95 % interval. Metrics for which more is
//! neither better nor worse are left out.

use analysis::Summary;
use analysis::estimate::estimate;
use analysis::overview::{short_name, varied};
use analysis::summary::{CellSummary, Estimate};
use analysis::values::{self, Selection};
use serde_json::{Map, Value as Json, json};
use vocabulary::units::plain;
use vocabulary::{Better, Metric, Quantile, Time};

/// A figure to be tracked.
struct Tracked {
    /// Experiment, cell and workload.
    benchmark: String,
    metric: Metric,
    unit: String,
    better: Better,
    estimate: Estimate,
}

/// Bencher's metric format: benchmark, measure, and its value with both ends of the interval.
pub fn bencher(summaries: &[Summary]) -> Json {
    let mut benchmarks = Map::new();
    for one in summaries.iter().flat_map(tracked) {
        let mut value = json!({"value": one.estimate.median});
        if let Some((low, high)) = one.estimate.median_interval {
            value["lower_value"] = json!(low);
            value["upper_value"] = json!(high);
        }
        let measures = benchmarks.entry(one.benchmark).or_insert_with(|| json!({}));
        measures[one.metric.name()] = value;
    }
    Json::Object(benchmarks)
}

/// The list of github-action-benchmark: figures for which more is better, or those for which less is.
pub fn benchmark_action(summaries: &[Summary], better: Better) -> Json {
    let entry = |one: Tracked| {
        let half = one.estimate.median_interval.map(|(low, high)| (high - low) / 2.0);
        let n = one.estimate.n;
        json!({
            "name": format!("{} {}", one.benchmark, one.metric.name()),
            "unit": one.unit,
            "value": one.estimate.median,
            "range": half.map_or_else(|| "unknown".to_owned(), |half| format!("± {}", plain(half))),
            "extra": format!("median of {n} repetitions with its 95 % interval"),
        })
    };
    summaries.iter().flat_map(tracked).filter(|one| one.better == better).map(entry).collect()
}

/// The figures of a run.
fn tracked(summary: &Summary) -> Vec<Tracked> {
    let varied = varied(summary);
    let mut found = Vec::new();
    for cell in summary.cells.iter().filter(|c| c.repetitions.valid > 0) {
        let name = short_name(cell, &varied);
        let names = values::workloads(cell);
        for workload in &names {
            let of = if names.len() > 1 { format!(" {workload}") } else { String::new() };
            let benchmark = format!("{} {name}{of}", summary.experiment);
            found.extend(metrics(cell, workload).into_iter().filter_map(|metric| one(cell, &benchmark, metric, Some(workload))));
        }
        found.extend(one(cell, &format!("{} {name}", summary.experiment), Metric::Pss, None));
    }
    found
}

/// What a workload is about.
fn metrics(cell: &CellSummary, workload: &str) -> Vec<Metric> {
    if cell.limits.iter().any(|l| l.workload == workload) {
        return vec![Metric::Limit];
    }
    let brought = cell.metrics.iter().filter(|m| m.workload == workload && m.phase == "during" && values::is_own(cell, m));
    let own: Vec<Metric> = brought.map(|m| Metric::named(&m.metric)).collect();
    let time = |quantile| Metric::Time(Time::Response, quantile);
    if own.is_empty() { vec![Metric::Throughput, time(Quantile::P50), time(Quantile::P99)] } else { own }
}

fn one(cell: &CellSummary, benchmark: &str, metric: Metric, workload: Option<&str>) -> Option<Tracked> {
    let part = Selection { workload, ..Selection::default() };
    let known = values::estimate_of(cell, &metric, &part);
    let estimate = known.or_else(|| estimate(&values::of_cell(cell, &metric, &part)))?;
    let brought = values::unit_of(cell, &metric);
    let better = metric.better(&brought);
    let unit = if metric.is_named() { brought } else { metric.unit().base().to_owned() };
    (better != Better::Unknown).then(|| Tracked { benchmark: benchmark.to_owned(), metric, unit, better, estimate })
}
