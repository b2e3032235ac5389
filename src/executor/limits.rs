//! Whether a repetition that was completed counts.

use super::host::HostUse;
use crate::load::{Phase, Report};
use crate::plan::{Arrivals, Limits, Workload};
use crate::units::human_duration;

/// A load that is shorter than this says nothing about the share of a processor.
const SHORTEST_NS: u64 = 50_000_000;

/// The kernel counts processors' time in steps of 10 ms: below this much of it a share says nothing.
pub const SHORTEST_HOST_NS: u64 = 500_000_000;

/// Why a repetition does not count; empty when it does. `reports`: each workload with what its generator did; `host`: none
/// where the load was too short to say.
pub fn reasons(limits: &Limits, reports: &[(&Workload, &Report)], host: Option<&HostUse>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(host) = host {
        for (limit, share, who) in [
            (limits.host_steal, host.steal_share, "the hypervisor took"),
            (limits.host_load, host.others_share, "programs outside of the experiment used"),
        ] {
            if let Some(limit) = limit.filter(|limit| share > *limit) {
                reasons.push(format!(
                    "{who} {:.1} % of the processors' time during the load, the limit is {}",
                    share * 100.0,
                    percent(limit)
                ));
            }
        }
        reasons.extend(super::watched::reasons(limits, &host.watched));
    }
    for (workload, report) in reports {
        let name = &workload.name;
        let threads = f64::from(workload.threads);
        let share = report.generator_cpu_ns as f64 / report.generator_wall_ns.max(1) as f64;
        if report.generator_wall_ns as f64 / threads >= SHORTEST_NS as f64 && share > limits.generator_cpu {
            reasons.push(format!(
                "the generator of `{name}` was saturated: {:.0} % of the time of its threads was processor time, the limit is {:.0} %",
                share * 100.0,
                limits.generator_cpu * 100.0
            ));
        }
        for phase in report.phases.iter().filter(|p| !matches!(p.phase, Phase::WarmUp | Phase::Search)) {
            let share = phase.errors as f64 / phase.passes.max(1) as f64;
            if share > limits.errors {
                reasons.push(format!(
                    "{} of {} passes of `{name}` in `{}` were not answered as expected, the limit is {}",
                    phase.errors,
                    phase.passes,
                    phase.phase.name(),
                    percent(limits.errors)
                ));
            }
        }
        let is_open = matches!(workload.load.arrivals, Arrivals::Open { .. }) && workload.load.find.is_none();
        if let Some(limit) = limits.lag_p99.filter(|_| is_open) {
            for (phase, totals) in report.totals.iter().filter(|(p, _)| *p != Phase::WarmUp) {
                let lag = totals.lag.value_at_quantile(0.99);
                if u128::from(lag) > limit.as_nanos() {
                    reasons.push(format!(
                        "the schedule lag of `{name}` in `{}` was {} at p99, the limit is {}",
                        phase.name(),
                        human_duration(lag as f64),
                        human_duration(limit.as_nanos() as f64)
                    ));
                }
            }
            // What was never sent is later than any limit.
            for phase in report.phases.iter().filter(|p| p.phase != Phase::WarmUp && p.unsent > p.offered / 100) {
                reasons.push(format!(
                    "{} of {} arrivals of `{name}` in `{}` were never sent, which is more than the 1 % that may lag behind {}",
                    phase.unsent,
                    phase.offered,
                    phase.phase.name(),
                    human_duration(limit.as_nanos() as f64)
                ));
            }
        }
        if report.dropped_windows > 0 {
            reasons.push(format!("{} windows of `{name}` could not be recorded", report.dropped_windows));
        }
    }
    reasons
}

/// A share in words: `1 %`, `0.1 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", crate::units::plain(share * 100.0))
}
