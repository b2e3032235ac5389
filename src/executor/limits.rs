//! Whether a completed repetition counts.

use super::host::HostUse;
use load::{PhaseReport, Report};
use plan::{Arrivals, Cell, Limits, Workload};
use record::status::ObserverStatus;
use vocabulary::Phase;
use vocabulary::units::{human_duration, percent};

/// A shorter load does not show the share of a processor.
const SHORTEST_NS: u64 = 50_000_000;

/// The kernel counts processors' time in steps of 10 ms: below this time a share means nothing.
pub const SHORTEST_HOST_NS: u64 = 500_000_000;

/// The limits in a cell: what a fault breaks, or a limit of memory slows down, is a result, and has a limit only where the scenario sets one.
pub fn of_cell(limits: &Limits, cell: &Cell) -> Limits {
    let free = cell.faults.unlimited;
    let of = |is_free: bool, limit: f64| if is_free { 1.0 } else { limit };
    let is_limited = cell.targets.iter().any(|target| target.resources.memory.is_some());
    Limits {
        errors: of(free.errors, limits.errors),
        silence: of(free.silence, limits.silence),
        open: of(free.open, limits.open),
        // Who is limited waits for memory, and that is what was asked for.
        host_pressure_memory: limits.host_pressure_memory.or(is_limited.then_some(1.0)),
        ..*limits
    }
}

/// Why a repetition does not count; empty if it does. `reports`: each workload with the report of its generator; `host`: `None`
/// if the load was too short to know; `machines`: how many share each workload.
pub fn reasons(limits: &Limits, reports: &[(&Workload, &Report)], machines: u64, host: Option<&HostUse>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(host) = host {
        for (limit, share, who) in [
            (limits.host_steal, host.steal_share, "the hypervisor took"),
            (limits.host_load, host.others_share, "programs outside the experiment used"),
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
            reasons.push(saturated(workload, share, limits.generator_cpu));
        }
        for phase in report.phases.iter().filter(|p| !matches!(p.phase, Phase::WarmUp | Phase::Search)) {
            reasons.extend(unanswered(limits, workload, machines, report, phase));
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
            // A pass that was never sent is later than any limit.
            for phase in report.phases.iter().filter(|p| p.phase != Phase::WarmUp && p.unsent > p.offered / 100) {
                reasons.push(format!(
                    "{} of {} arrivals of `{name}` in `{}` were never sent, the limit is 1 %",
                    phase.unsent,
                    phase.offered,
                    phase.phase.name(),
                ));
            }
        }
        if report.dropped_windows > 0 {
            reasons
                .push(format!("recording could not keep up: {} batches of rows of `{name}` were lost", report.dropped_windows));
        }
    }
    reasons
}

/// A longer time without a sample is not the delay of a busy machine.
const LONGEST_GAP_NS: u64 = 1_000_000_000;

/// Why the measurements of targets cannot be trusted.
pub(super) fn unseen(observer: &ObserverStatus) -> Option<String> {
    if observer.longest_gap_ns > LONGEST_GAP_NS && observer.longest_gap_ns > observer.wall_ns / 10 {
        return Some(format!(
            "for {} targets and host were not sampled, so memory and other peaks may have been missed: runner stood still (stopped, or \
             its machine was), or the samples took too long; `record` can make them rarer",
            human_duration(observer.longest_gap_ns as f64)
        ));
    }
    (observer.incomplete_samples > 0).then(|| {
        format!(
            "{} of {} samples of targets and host are not complete, so memory and other peaks may have been missed: file \
             descriptors or memory were missing; raise the limit on open files (`ulimit -Hn`), or use fewer connections and processes",
            observer.incomplete_samples, observer.samples
        )
    })
}

/// The generator was saturated, with advice on what to do.
fn saturated(workload: &Workload, share: f64, limit: f64) -> String {
    let threads = workload.threads;
    let of = match threads {
        1 => "its thread".to_owned(),
        n => format!("its {n} threads"),
    };
    let slower = match workload.load.arrivals {
        Arrivals::Closed { .. } => "slow it by `think`",
        Arrivals::Open { .. } => "lower its rate",
    };
    let name = &workload.name;
    format!(
        "the generator of `{name}` used {:.0} % of {of}, the limit is {}: give it `threads: {}` or `cpus`, or {slower}; \
         `limits: {{generator-cpu: {:.0}%}}` accepts it",
        share * 100.0,
        percent(limit),
        threads + 1,
        (share * 100.0).ceil()
    )
}

/// The passes of a phase that were requested and not answered, by count and by time.
fn unanswered(limits: &Limits, workload: &Workload, machines: u64, report: &Report, phase: &PhaseReport) -> Vec<String> {
    let mut reasons = Vec::new();
    let (name, word) = (&workload.name, phase.phase.name());
    if phase.unanswered_share() > limits.errors {
        let parts = [(phase.errors, "answered wrongly"), (phase.unsent, "never sent"), (phase.open, "open at the end")];
        let parts: Vec<String> = parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        // The first of them says more than their number.
        let example = report.examples.first().filter(|_| phase.errors > 0);
        let example =
            example.and_then(|words| words.lines().next()).map_or_else(String::new, |words| format!("; for example {words}"));
        reasons.push(format!(
            "{} of {} passes of `{name}` in `{word}` were not answered as expected ({}), the limit is {}{example}",
            phase.errors + phase.unsent + phase.open,
            phase.asked(),
            parts.join(", "),
            percent(limits.errors)
        ));
    }
    let length_ns = phase.end_ns.saturating_sub(phase.start_ns).max(1) as f64;
    let silence = report.silence_of(phase);
    let share = silence.total_ns as f64 / length_ns;
    if share > limits.silence {
        reasons.push(format!(
            "for {} of {} in `{word}` ({:.1} %) no pass of `{name}` was answered as expected although passes were due, the longest \
             stretch was {} from {} on; the limit is {}, `limits: {{silence: …}}` accepts more",
            human_duration(silence.total_ns as f64),
            human_duration(length_ns),
            share * 100.0,
            human_duration(silence.longest_ns as f64),
            human_duration(silence.longest_from_ns as f64),
            percent(limits.silence)
        ));
    }
    if let (Some(late), Some(planned_ns)) = (report.late_of(phase.phase), phase.planned_ns) {
        let connections = f64::from(workload.load.arrivals.connections()) / machines as f64;
        let held = late.held_longer_than(report.long_ns(phase.phase)) as f64;
        let share = (held / (planned_ns.max(1) as f64 * connections)).min(1.0);
        if share > limits.open {
            reasons.push(format!(
                "passes of `{name}` that were open at the end of `{word}` held {:.1} % of the time on its connections, the longest \
                 waited {}; the limit is {}, `limits: {{open: …}}` accepts more",
                share * 100.0,
                human_duration(late.longest_ns as f64),
                percent(limits.open)
            ));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Url;
    use plan::drivers::http::Http;

    fn workload() -> Workload {
        Http::plain(Url::parse("http://127.0.0.1:1").unwrap(), Vec::new()).once("clients")
    }

    #[test]
    fn a_saturated_generator_is_told_what_to_do() {
        let words = saturated(&workload(), 0.96, 0.95);
        assert_eq!(
            words,
            "the generator of `clients` used 96 % of its thread, the limit is 95 %: give it `threads: 2` or `cpus`, or slow it by \
             `think`; `limits: {generator-cpu: 96%}` accepts it"
        );
        let several = Workload { threads: 3, ..workload() };
        assert!(saturated(&several, 1.0, 0.95).contains("of its 3 threads, the limit is 95 %: give it `threads: 4`"));
    }

    #[test]
    fn rows_that_were_lost_make_a_repetition_invalid() {
        let (workload, report) = (workload(), Report { dropped_windows: 3, ..Report::empty() });
        let told = reasons(&crate::watched::tests::limits(), &[(&workload, &report)], 1, None);
        assert_eq!(told, ["recording could not keep up: 3 batches of rows of `clients` were lost"]);
    }

    #[test]
    fn what_is_asked_for_and_not_answered_has_its_parts() {
        let limits = Limits { errors: 0.1, silence: 1.0, open: 1.0, ..crate::watched::tests::limits() };
        let phase = PhaseReport {
            end_ns: 1_000_000_000,
            start_ns: 0,
            offered: 100,
            unsent: 5,
            passes: 90,
            errors: 3,
            open: 5,
            ..PhaseReport::empty(Phase::During)
        };
        let words = unanswered(&limits, &workload(), 1, &Report::empty(), &phase);
        assert_eq!(
            words,
            [
                "13 of 100 passes of `clients` in `during` were not answered as expected (3 answered wrongly, 5 never sent, 5 open at \
              the end), the limit is 10 %"
            ]
        );
        let said = Report { examples: vec!["wrong-status: GET / answered 500 instead of 200".to_owned()], ..Report::empty() };
        let words = unanswered(&limits, &workload(), 1, &said, &phase);
        assert!(words[0].ends_with("is 10 %; for example wrong-status: GET / answered 500 instead of 200"), "{words:?}");
        assert!(unanswered(&limits, &workload(), 1, &Report::empty(), &PhaseReport { unsent: 0, ..phase }).is_empty());
    }
}
