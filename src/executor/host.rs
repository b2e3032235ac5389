//! What was used of the host during a load, and by which programs.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::watched::Watch;
use record::status::WatchedStatus;
use vocabulary::rows::{HostSample, ProcessSample};

/// Shares of the processors' time from start to end of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostUse {
    /// All processors' time, nanoseconds.
    pub time_ns: u64,
    /// Time taken by the hypervisor.
    pub steal_share: f64,
    /// Time used by programs that are neither targets nor runner. Interrupts are not counted for any program.
    pub others_share: f64,
    /// Time used by targets and runner.
    pub ours_share: f64,
    /// Pressure, frequency and throttling.
    pub watched: WatchedStatus,
}

/// Totals of processor time at one instant, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    all: u64,
    busy: u64,
    steal: u64,
    /// Targets, commands and runner itself.
    ours: u64,
}

/// Keeps the latest totals, and those at start and end of the load.
#[derive(Debug, Default)]
pub(super) struct Meter {
    host: Option<Totals>,
    processes: BTreeMap<(Arc<str>, u32), Used>,
    begin: Option<Totals>,
    end: Option<Totals>,
    watch: Watch,
}

/// The time that a replica has used. If its counter starts again, as with each execution of a command, the times add up.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    before: u64,
    last: u64,
}

impl Meter {
    pub(super) fn process(&mut self, sample: &ProcessSample) {
        let used = self.processes.entry((Arc::clone(&sample.target), sample.replica)).or_default();
        let now = sample.cpu_user_ns + sample.cpu_system_ns;
        if now < used.last {
            used.before += used.last;
        }
        used.last = now;
    }

    pub(super) fn host(&mut self, sample: &HostSample) {
        let mut totals = Totals::default();
        for core in &sample.cores {
            let busy = core.user_ns + core.system_ns;
            totals.all += busy + core.idle_ns + core.iowait_ns + core.steal_ns;
            totals.busy += busy - core.interrupt_ns;
            totals.steal += core.steal_ns;
        }
        self.host = Some(totals);
        self.watch.host(sample);
    }

    pub(super) fn begin(&mut self) {
        self.begin = self.now();
        self.watch.begin();
    }

    pub(super) fn end(&mut self) {
        self.end = self.now();
        self.watch.end();
    }

    fn now(&self) -> Option<Totals> {
        let own = clock_gettime(ClockId::ProcessCPUTime);
        let own = own.tv_sec as u64 * 1_000_000_000 + own.tv_nsec as u64;
        let targets: u64 = self.processes.values().map(|u| u.before + u.last).sum();
        self.host.map(|host| Totals { ours: own + targets, ..host })
    }

    pub(super) fn used(&self) -> Option<HostUse> {
        let (begin, end) = (self.begin?, self.end?);
        let time_ns = end.all.saturating_sub(begin.all);
        if time_ns == 0 {
            return None;
        }
        let since = |of: fn(&Totals) -> u64| of(&end).saturating_sub(of(&begin));
        let share = |ns: u64| ns as f64 / time_ns as f64;
        let others = since(|t| t.busy).saturating_sub(since(|t| t.ours));
        let watched = self.watch.watched();
        Some(HostUse {
            time_ns,
            steal_share: share(since(|t| t.steal)),
            others_share: share(others),
            ours_share: share(since(|t| t.ours)),
            watched,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use vocabulary::rows::{CoreClock, CoreTimes, HostPressure};

    fn host(user: u64, idle: u64, steal: u64) -> HostSample {
        let core = |core| CoreTimes {
            core,
            user_ns: user,
            system_ns: 500_000_000,
            interrupt_ns: 500_000_000,
            idle_ns: idle,
            iowait_ns: 0,
            steal_ns: steal,
            clock: CoreClock::default(),
        };
        HostSample {
            at: Instant::now(),
            cores: vec![core(0), core(1)],
            mem_total_bytes: 0,
            mem_available_bytes: 0,
            load_1min: 0.0,
            pressure: HostPressure::default(),
            package_throttles: None,
        }
    }

    #[test]
    fn what_nobody_of_ours_used_is_others() {
        let mut meter = Meter::default();
        meter.host(&host(0, 0, 0));
        meter.begin();
        meter.host(&host(60_000_000_000, 30_000_000_000, 10_000_000_000));
        meter.end();
        let used = meter.used().expect("begin and end were marked");
        assert_eq!(used.time_ns, 200_000_000_000);
        assert_eq!(used.steal_share, 0.1);
        // This process itself has used some time.
        assert!((0.59..=0.6).contains(&used.others_share), "{used:?}");
    }

    #[test]
    fn a_load_without_an_end_says_nothing() {
        let mut meter = Meter::default();
        meter.begin();
        meter.host(&host(1, 1, 0));
        assert_eq!(meter.used(), None);
    }
}
