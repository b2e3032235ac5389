//! Pressure, frequency and throttling from start to end of a load, and what invalidates a repetition.

use std::time::Instant;

use plan::Limits;
use record::status::WatchedStatus;
use vocabulary::rows::{CoreTimes, HostPressure, HostSample, Pressure};
use vocabulary::units::percent;

/// The kernel counts processors' time in steps of 10 ms: over a shorter time a core's work is not known precisely enough.
const SHORTEST_NS: u64 = 50_000_000;

/// Counts at one instant.
#[derive(Clone, Copy, Debug)]
struct Counts {
    at: Instant,
    pressure: HostPressure,
    core_throttles: Option<u64>,
    package_throttles: Option<u64>,
}

/// What is watched, since the latest start.
#[derive(Debug, Default)]
pub(super) struct Watch {
    latest: Option<(Counts, Vec<CoreTimes>)>,
    pace: Pace,
    begin: Option<Counts>,
    end: Option<(Counts, Pace)>,
}

/// Frequencies of working cores.
#[derive(Clone, Debug, Default)]
struct Pace {
    /// The times of each core at the last reading of its frequency.
    before: Vec<CoreTimes>,
    /// Work times frequency, and work times the highest frequency.
    done: f64,
    possible: f64,
    lowest: Option<f64>,
}

impl Pace {
    /// Weights a core's frequency by its work since the last reading: the low frequency of an idle core does no harm.
    fn core(&mut self, core: &CoreTimes) {
        let (Some(hz), Some(max)) = (core.clock.frequency_hz, core.clock.frequency_max_hz) else { return };
        let Some(before) = self.before.iter_mut().find(|b| b.core == core.core) else {
            self.before.push(*core);
            return;
        };
        let busy = |c: &CoreTimes| c.user_ns + c.system_ns;
        let all = |c: &CoreTimes| busy(c) + c.idle_ns + c.iowait_ns + c.steal_ns;
        let (worked, passed) = (busy(core).saturating_sub(busy(before)), all(core).saturating_sub(all(before)));
        if passed < SHORTEST_NS {
            return;
        }
        *before = *core;
        self.done += worked as f64 * hz as f64;
        self.possible += worked as f64 * max as f64;
        if worked * 2 >= passed {
            let share = hz as f64 / max as f64;
            self.lowest = Some(self.lowest.map_or(share, |lowest| lowest.min(share)));
        }
    }
}

impl Watch {
    pub(super) fn host(&mut self, sample: &HostSample) {
        if self.begin.is_some() {
            sample.cores.iter().for_each(|core| self.pace.core(core));
        }
        let throttles = || sample.cores.iter().filter_map(|c| c.clock.throttles);
        let counts = Counts {
            at: sample.at,
            pressure: sample.pressure,
            core_throttles: throttles().next().is_some().then(|| throttles().sum()),
            package_throttles: sample.package_throttles,
        };
        self.latest = Some((counts, sample.cores.clone()));
    }

    pub(super) fn begin(&mut self) {
        self.begin = self.latest.as_ref().map(|(counts, _)| *counts);
        let before = self.latest.as_ref().map(|(_, cores)| cores.clone()).unwrap_or_default();
        self.pace = Pace { before, ..Pace::default() };
    }

    pub(super) fn end(&mut self) {
        self.end = self.latest.as_ref().map(|(counts, _)| (*counts, self.pace.clone()));
    }

    /// What was observed from start to end.
    pub(super) fn watched(&self) -> WatchedStatus {
        let (Some(begin), Some((end, pace))) = (&self.begin, &self.end) else { return WatchedStatus::default() };
        let passed_us = end.at.saturating_duration_since(begin.at).as_micros() as f64;
        let pressure = |of: fn(&HostPressure) -> Option<Pressure>, total: fn(Pressure) -> Option<u64>| {
            let us = of(&end.pressure).and_then(total)?.saturating_sub(of(&begin.pressure).and_then(total)?);
            // The kernel's clock and ours differ by a little.
            (passed_us > 0.0).then(|| (us as f64 / passed_us).min(1.0))
        };
        let since = |of: fn(&Counts) -> Option<u64>| Some(of(end)?.saturating_sub(of(begin)?));
        WatchedStatus {
            cpu_pressure_some_share: pressure(|p| p.cpu, |p| Some(p.some_us)),
            memory_pressure_some_share: pressure(|p| p.memory, |p| Some(p.some_us)),
            memory_pressure_full_share: pressure(|p| p.memory, |p| p.full_us),
            io_pressure_some_share: pressure(|p| p.io, |p| Some(p.some_us)),
            io_pressure_full_share: pressure(|p| p.io, |p| p.full_us),
            frequency_mean_share: (pace.possible > 0.0).then(|| pace.done / pace.possible),
            frequency_lowest_share: pace.lowest,
            core_throttles: since(|c| c.core_throttles),
            package_throttles: since(|c| c.package_throttles),
        }
    }
}

/// If a tenth of the time passes with every task waiting for memory, swapping is measured. Tasks wait for processors
/// wherever those are saturated, and for storage wherever something is made durable: these have no default limit.
const MEMORY: f64 = 0.1;

/// Why a repetition does not count, as far as the host was watched. A limit that the scenario sets and that cannot be
/// watched here is also a reason; a default limit is not.
pub(super) fn reasons(limits: &Limits, watched: &WatchedStatus) -> Vec<String> {
    let usual = watched.memory_pressure_full_share.map(|_| MEMORY);
    let memory = limits.host_pressure_memory.or(usual);
    let shares = [
        (
            ("host-pressure-cpu", limits.host_pressure_cpu, watched.cpu_pressure_some_share),
            "some task was ready and had no processor",
            "offer less load, or give targets and generators separate processors (`cpus`)",
        ),
        (
            ("host-pressure-memory", memory, watched.memory_pressure_full_share),
            "all tasks that were not idle waited for memory",
            "let the programs that run at a time use less memory",
        ),
        (
            ("host-pressure-io", limits.host_pressure_io, watched.io_pressure_full_share),
            "all tasks that were not idle waited for storage",
            "write less, or to memory (`scratch: memory`, `record: {tmpfs: …}`)",
        ),
    ];
    let mut reasons = Vec::new();
    let unseen = |key: &str| {
        format!(
            "what `{key}` limits could not be watched: the kernel does not report it here, or the load was too short (`runner doctor` \
         says which); leave it out"
        )
    };
    for ((key, limit, share), what, cure) in shares {
        match (limit, share) {
            (Some(limit), Some(share)) if share > limit => reasons.push(format!(
                "{what} in {:.1} % of the load's time, the limit is {}: {cure}; a higher `{key}` accepts it",
                share * 100.0,
                percent(limit)
            )),
            (Some(_), None) => reasons.push(unseen(key)),
            _ => {}
        }
    }
    match (limits.host_frequency, watched.frequency_mean_share) {
        (Some(limit), Some(share)) if share < limit => reasons.push(format!(
            "working cores ran at {:.1} % of their highest frequency, the limit is {}: set the governor `performance`, cool \
             the machine, or switch turbo off; a lower `host-frequency` accepts it",
            share * 100.0,
            percent(limit)
        )),
        (Some(_), None) => reasons.push(unseen("host-frequency")),
        _ => {}
    }
    let throttles = watched.core_throttles.unwrap_or(0) + watched.package_throttles.unwrap_or(0);
    if let Some(limit) = limits.host_throttled.filter(|limit| throttles > *limit) {
        reasons.push(format!(
            "the processors were throttled {throttles} times during the load because they were too hot, the limit is {limit}: \
             cool the machine, or use less of it at a time; `host-throttled: any` accepts it"
        ));
    }
    reasons
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use vocabulary::rows::CoreClock;

    /// A host of two cores after `ms` milliseconds: the work of each core, its share of 4 GHz, and how often it was throttled.
    fn host(start: Instant, ms: u64, cores: [(u64, f64, u64); 2], pressure: HostPressure) -> HostSample {
        let core = |core: u32, (worked_ms, share, throttles): (u64, f64, u64)| CoreTimes {
            core,
            user_ns: worked_ms * 1_000_000,
            system_ns: 0,
            interrupt_ns: 0,
            idle_ns: (ms - worked_ms) * 1_000_000,
            iowait_ns: 0,
            steal_ns: 0,
            clock: CoreClock {
                frequency_hz: Some((share * 4e9) as u64),
                frequency_max_hz: Some(4_000_000_000),
                throttles: Some(throttles),
            },
        };
        HostSample {
            at: start + Duration::from_millis(ms),
            cores: vec![core(0, cores[0]), core(1, cores[1])],
            mem_total_bytes: 0,
            mem_available_bytes: 0,
            load_1min: 0.0,
            pressure,
            package_throttles: Some(cores[0].2),
        }
    }

    fn pressed(us: u64) -> HostPressure {
        let pressure = Some(Pressure { some_us: 2 * us, full_us: Some(us) });
        HostPressure { cpu: Some(Pressure { some_us: us, full_us: None }), memory: pressure, io: pressure }
    }

    pub fn limits() -> Limits {
        Limits {
            start_skew: None,
            silence: 0.01,
            open: 0.01,
            reconcile: 0.0,
            generator_cpu: 1.0,
            errors: 1.0,
            host_steal: None,
            host_load: None,
            steady_state: false,
            lag_p99: None,
            host_pressure_cpu: None,
            host_pressure_memory: None,
            host_pressure_io: None,
            host_frequency: None,
            host_throttled: Some(0),
        }
    }

    fn watched() -> WatchedStatus {
        let start = Instant::now();
        let mut watch = Watch::default();
        // Before the load a core works slowly, and is throttled.
        watch.host(&host(start, 0, [(0, 0.2, 0), (0, 0.2, 0)], pressed(0)));
        watch.host(&host(start, 1000, [(1000, 0.2, 5), (0, 0.2, 0)], pressed(1_000_000)));
        watch.begin();
        // One core works at full speed, then at half; the other idles slowly, then works a little.
        watch.host(&host(start, 1100, [(1100, 1.0, 5), (0, 0.2, 0)], pressed(1_020_000)));
        watch.host(&host(start, 1200, [(1200, 0.5, 7), (50, 0.8, 1)], pressed(1_040_000)));
        watch.end();
        // What happens after the load does not matter.
        watch.host(&host(start, 2000, [(2000, 0.1, 90), (800, 0.1, 90)], pressed(1_800_000)));
        watch.watched()
    }

    #[test]
    fn the_load_is_what_counts() {
        let found = watched();
        let share = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?}");
        share(found.cpu_pressure_some_share, 0.2);
        share(found.memory_pressure_some_share, 0.4);
        share(found.memory_pressure_full_share, 0.2);
        share(found.io_pressure_full_share, 0.2);
        share(found.frequency_mean_share, (100.0 * 1.0 + 100.0 * 0.5 + 50.0 * 0.8) / 250.0);
        share(found.frequency_lowest_share, 0.5);
        assert_eq!((found.core_throttles, found.package_throttles), (Some(3), Some(2)));
    }

    #[test]
    fn beyond_a_limit_the_reason_says_what_and_how_much_and_what_to_do() {
        insta::assert_snapshot!(reasons(&limits(), &watched()).join("\n"), @r"
        all tasks that were not idle waited for memory in 20.0 % of the load's time, the limit is 10 %: let the programs that run at a time use less memory; a higher `host-pressure-memory` accepts it
        the processors were throttled 5 times during the load because they were too hot, the limit is 0: cool the machine, or use less of it at a time; `host-throttled: any` accepts it
        ");
        let all = Limits {
            host_pressure_cpu: Some(0.15),
            host_pressure_io: Some(0.05),
            host_frequency: Some(0.9),
            host_throttled: Some(4),
            ..limits()
        };
        insta::assert_snapshot!(reasons(&all, &watched()).join("\n"), @r"
        some task was ready and had no processor in 20.0 % of the load's time, the limit is 15 %: offer less load, or give targets and generators separate processors (`cpus`); a higher `host-pressure-cpu` accepts it
        all tasks that were not idle waited for memory in 20.0 % of the load's time, the limit is 10 %: let the programs that run at a time use less memory; a higher `host-pressure-memory` accepts it
        all tasks that were not idle waited for storage in 20.0 % of the load's time, the limit is 5 %: write less, or to memory (`scratch: memory`, `record: {tmpfs: …}`); a higher `host-pressure-io` accepts it
        working cores ran at 76.0 % of their highest frequency, the limit is 90 %: set the governor `performance`, cool the machine, or switch turbo off; a lower `host-frequency` accepts it
        the processors were throttled 5 times during the load because they were too hot, the limit is 4: cool the machine, or use less of it at a time; `host-throttled: any` accepts it
        ");
        let accepted = Limits {
            host_pressure_cpu: Some(1.0),
            host_pressure_memory: Some(1.0),
            host_pressure_io: Some(0.2),
            host_frequency: Some(0.7),
            host_throttled: None,
            ..all
        };
        assert!(reasons(&accepted, &watched()).is_empty());
    }

    #[test]
    fn what_is_not_told_is_no_reason_unless_it_was_asked_for() {
        let nothing = WatchedStatus::default();
        assert!(reasons(&limits(), &nothing).is_empty());
        let asked = Limits { host_frequency: Some(0.9), host_pressure_io: Some(0.1), ..limits() };
        insta::assert_snapshot!(reasons(&asked, &nothing).join("\n"), @r"
        what `host-pressure-io` limits could not be watched: the kernel does not report it here, or the load was too short (`runner doctor` says which); leave it out
        what `host-frequency` limits could not be watched: the kernel does not report it here, or the load was too short (`runner doctor` says which); leave it out
        ");
        assert_eq!(Watch::default().watched(), nothing);
    }

    #[test]
    fn a_frequency_that_is_read_now_and_then_counts_for_the_time_between() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let none = HostPressure::default();
        watch.host(&host(start, 1000, [(0, 1.0, 0), (0, 1.0, 0)], none));
        watch.begin();
        for (ms, share) in [(1100, Some(1.0)), (1200, None), (1300, None), (1400, Some(0.5))] {
            let mut sample = host(start, ms, [(ms - 1000, share.unwrap_or(0.0), 0), (0, 1.0, 0)], none);
            if share.is_none() {
                sample.cores[0].clock.frequency_hz = None;
            }
            watch.host(&sample);
        }
        watch.end();
        assert_eq!(watch.watched().frequency_mean_share, Some((100.0 + 300.0 * 0.5) / 400.0));
    }
}
