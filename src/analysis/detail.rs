//! How much of a run is aggregated: everything, or only what samples of some metrics need.

use vocabulary::metric::catalogue;
use vocabulary::{Exists, Metric, Scope, Time};

/// The parts of a run that are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// Metrics over repetitions: intervals, the distributions of all requests, stability, decisions, expectations.
    pub over_repetitions: bool,
    /// Whether to check every workload for steadiness, and not only those whose warm-up ends by itself.
    pub steadiness: bool,
    /// Times for which the percentiles of each repetition are wanted; others are treated as absent.
    pub times: Vec<Time>,
    /// Resources of targets, likewise.
    pub resources: Vec<Metric>,
    /// Whether the spread of throughput over windows is wanted.
    pub throughput_stdev: bool,
    /// Whether the figures of taps are wanted.
    pub taps: bool,
}

impl Detail {
    /// Everything that a summary contains.
    pub fn whole() -> Self {
        let of_targets = catalogue().iter().filter(|row| row.scope == Scope::Target && row.exists.contains(&Exists::InPhases));
        Self {
            over_repetitions: true,
            steadiness: true,
            times: Time::ALL.map(|(_, time)| time).to_vec(),
            resources: of_targets.map(|row| row.metric.clone()).collect(),
            throughput_stdev: true,
            taps: true,
        }
    }

    /// The times of requests, and nothing else.
    pub fn times() -> Self {
        let times = Time::ALL.map(|(_, time)| time).to_vec();
        Self { over_repetitions: false, steadiness: false, times, resources: Vec::new(), throughput_stdev: false, taps: false }
    }

    /// The values of these metrics in each repetition, and nothing over repetitions. `steady_state`: whether a repetition
    /// that was not steady does not count; the same repetitions count as in the whole summary.
    pub fn samples(metrics: &[Metric], steady_state: bool) -> Self {
        // Steadiness is judged by response times.
        let mut times = vec![Time::Response];
        for metric in metrics {
            if let Metric::Time(time, _) = metric
                && !times.contains(time)
            {
                times.push(*time);
            }
        }
        let resources = metrics.iter().filter(|m| m.is_resource()).cloned().collect();
        let throughput_stdev = metrics.contains(&Metric::ThroughputStdev);
        let taps = metrics.iter().any(Metric::is_named);
        Self { over_repetitions: false, steadiness: steady_state, times, resources, throughput_stdev, taps }
    }
}
