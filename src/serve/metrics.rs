//! The figures of the newest run of each experiment, in the format of Prometheus.

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use analysis::{history, stats};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use vocabulary::Metric;

use super::absent::Absent;
use super::results::name_of;

/// The metrics that are offered, if a run has them.
const METRICS: [&str; 6] = ["throughput", "response_p50", "response_p99", "pss", "cpu", "start_up"];

/// What a figure belongs to.
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

/// The medians of runs, in base units. `newest`: names of experiments and directories of runs; a run whose figures cannot be
/// read has none.
///
/// # Errors
/// [`Absent::Failed`]: a bug.
pub(super) fn text(newest: &[(String, PathBuf)]) -> Result<String, Absent> {
    let mut registry = Registry::with_prefix("runner");
    let medians = Family::<Labels, Gauge<f64, AtomicU64>>::default();
    registry.register("median", "Median over the repetitions of the newest run, in base units", medians.clone());
    let counts = Family::<Labels, Gauge>::default();
    registry.register("repetitions", "Number of repetitions over which the median is computed", counts.clone());
    for (experiment, run) in newest {
        let Ok(figures) = history::Figures::read(run) else { continue };
        for metric in METRICS.map(Metric::by_name) {
            let Ok(found) = figures.values(&metric) else { continue };
            for (place, values) in found.places {
                let labels = Labels {
                    experiment: experiment.clone(),
                    run: name_of(run),
                    cell: place.cell,
                    workload: place.workload,
                    target: place.target,
                    phase: place.phase,
                    metric: metric.name().to_owned(),
                    unit: found.unit.clone(),
                };
                medians.get_or_create(&labels).set(stats::median(&values));
                counts.get_or_create(&labels).set(i64::try_from(values.len()).unwrap_or(i64::MAX));
            }
        }
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Absent::Failed(error.to_string()))?;
    Ok(text)
}
