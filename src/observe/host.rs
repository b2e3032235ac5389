//! The host's numbers, from files that stay open.

use std::{fs::File, os::unix::fs::FileExt, time::Instant};

use super::{
    procfs::host::{self, CoreTicks},
    sample::{CoreTimes, HostSample},
};

/// The files of the host that could be opened.
#[derive(Debug)]
pub(super) struct Host {
    stat: Option<File>,
    meminfo: Option<File>,
    loadavg: Option<File>,
    pressure: Option<File>,
    ns_per_tick: u64,
}

impl Host {
    pub(super) fn open(ns_per_tick: u64) -> Self {
        Self {
            stat: File::open("/proc/stat").ok(),
            meminfo: File::open("/proc/meminfo").ok(),
            loadavg: File::open("/proc/loadavg").ok(),
            pressure: File::open("/proc/pressure/cpu").ok(),
            ns_per_tick,
        }
    }

    /// Reads everything once; `None` where `/proc` is not mounted as it should be.
    ///
    /// `buffer` bounds the number of cores: 64 KiB hold 700.
    pub(super) fn read(&self, buffer: &mut [u8]) -> Option<HostSample> {
        let at = Instant::now();
        let mut cores: Vec<CoreTimes> = Vec::new();
        cores.extend(host::cores(text(self.stat.as_ref(), buffer)?).map(|ticks| core_times(&ticks, self.ns_per_tick)));
        let memory = host::meminfo(text(self.meminfo.as_ref(), buffer)?)?;
        let load_1min = host::load_1min(text(self.loadavg.as_ref(), buffer)?)?;
        let pressure = text(self.pressure.as_ref(), buffer).and_then(host::pressure_some_us);
        Some(HostSample {
            at,
            cores,
            mem_total_bytes: memory.total_bytes,
            mem_available_bytes: memory.available_bytes,
            load_1min,
            cpu_pressure_some_us: pressure,
        })
    }
}

/// Reads a file of `/proc` anew from its beginning.
fn text<'b>(file: Option<&File>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let read = file?.read_at(buffer, 0).ok()?;
    Some(&buffer[..read])
}

fn core_times(ticks: &CoreTicks, ns_per_tick: u64) -> CoreTimes {
    let ns = |ticks: u64| ticks.saturating_mul(ns_per_tick);
    CoreTimes {
        core: ticks.core,
        user_ns: ns(ticks.user + ticks.nice),
        system_ns: ns(ticks.system + ticks.irq + ticks.softirq),
        interrupt_ns: ns(ticks.irq + ticks.softirq),
        idle_ns: ns(ticks.idle),
        iowait_ns: ns(ticks.iowait),
        steal_ns: ns(ticks.steal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_cores_and_memory() {
        let host = Host::open(10_000_000);
        let mut buffer = vec![0; 64 * 1024];
        let first = host.read(&mut buffer).expect("/proc is mounted");
        assert!(!first.cores.is_empty());
        assert!(first.cores.iter().any(|core| core.idle_ns + core.user_ns > 0));
        assert!(first.mem_available_bytes <= first.mem_total_bytes);
        assert!(first.load_1min >= 0.0);
        let second = host.read(&mut buffer).expect("/proc is mounted");
        assert!(second.at >= first.at);
        assert!(second.cpu_pressure_some_us >= first.cpu_pressure_some_us);
    }

    #[test]
    fn kinds_of_time_that_belong_together_are_added() {
        let ticks = CoreTicks { core: 3, user: 1, nice: 10, system: 2, idle: 4, iowait: 5, irq: 20, softirq: 200, steal: 6 };
        assert_eq!(
            core_times(&ticks, 10),
            CoreTimes { core: 3, user_ns: 110, system_ns: 2220, interrupt_ns: 2200, idle_ns: 40, iowait_ns: 50, steal_ns: 60 }
        );
    }
}
