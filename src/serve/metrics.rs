//! The figures of the newest run of each experiment, as Prometheus reads them.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use analysis::history;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use vocabulary::Metric;

use super::absent::Absent;
use super::results::name_of;

/// What is offered, where a run has it.
const METRICS: [&str; 6] = ["throughput", "response_p50", "response_p99", "pss", "cpu", "start_up"];

/// To what a figure belongs.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    experiment: String,
    run: String,
    cell: String,
    workload: String,
    target: String,
    phase: String,
    metric: String,
    unit: String,
}

/// The medians of runs, in base units. `newest`: names of experiments and directories of runs; one whose figures cannot be read
/// has none.
///
/// # Errors
/// [`Absent::Failed`]: a bug.
pub(super) fn text(newest: &[(String, PathBuf)]) -> Result<String, Absent> {
    let mut registry = Registry::with_prefix("runner");
    let medians = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    registry.register("median", "Median over the repetitions of the newest run, in base units", medians.clone());
    let counts = Family::<Labels, Gauge>::default();
    registry.register("repetitions", "Repetitions that the median is made of", counts.clone());
    for (experiment, run) in newest {
        for metric in METRICS.map(Metric::by_name) {
            let Ok(found) = history::values(run, &metric) else { continue };
            for series in history::history(std::slice::from_ref(&found), &metric) {
                let Some(point) = series.points.last() else { continue };
                let labels = Labels {
                    experiment: experiment.clone(),
                    run: name_of(run),
                    cell: series.place.cell,
                    workload: series.place.workload,
                    target: series.place.target,
                    phase: series.place.phase,
                    metric: metric.name().to_owned(),
                    unit: found.unit.clone(),
                };
                medians.get_or_create(&labels).set(point.median);
                counts.get_or_create(&labels).set(i64::try_from(point.n).unwrap_or(i64::MAX));
            }
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Absent::Failed(error.to_string()))?;
    Ok(text)
}
