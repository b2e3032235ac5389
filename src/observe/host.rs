//! The host's numbers, from files that stay open.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{
    procfs::{
        host::{self, CoreTicks},
        sensors,
    },
    sensors::Sensors,
};

use vocabulary::rows::{CoreClock, CoreTimes, HostPressure, HostSample};

/// The files of the host that could be opened.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
    stat: Option<File>,
    meminfo: Option<File>,
    loadavg: Option<File>,
    /// Pressure of processors, memory, storage.
    pressure: [Option<File>; 3],
    sensors: Sensors,
    /// The cores whose sensors are open.
    cores: Vec<u32>,
    ns_per_tick: u64,
}

impl Host {
    /// Opens what exists below `root`, which is `/` except in tests.
    pub(super) fn open(root: &Path, ns_per_tick: u64) -> Self {
        let open = |name: &str| File::open(root.join("proc").join(name)).ok();
        Self {
            root: root.to_owned(),
            stat: open("stat"),
            meminfo: open("meminfo"),
            loadavg: open("loadavg"),
            pressure: ["pressure/cpu", "pressure/memory", "pressure/io"].map(open),
            sensors: Sensors::default(),
            cores: Vec::new(),
            ns_per_tick,
        }
    }

    /// Reads everything once, except that only some of many sensors are read unless the sample is to be `whole`; `None` if
    /// `/proc` is not mounted as it should be.
    ///
    /// `buffer` bounds the number of cores: 64 KiB hold 700.
    pub(super) fn read(&mut self, buffer: &mut [u8], mut whole: bool) -> Option<HostSample> {
        let at = Instant::now();
        let mut cores: Vec<CoreTimes> = Vec::with_capacity(self.cores.len());
        cores.extend(host::cores(text(self.stat.as_ref(), buffer)?).map(|ticks| core_times(&ticks, self.ns_per_tick)));
        let memory = host::meminfo(text(self.meminfo.as_ref(), buffer)?)?;
        let load_1min = host::load_1min(text(self.loadavg.as_ref(), buffer)?)?;
        let [cpu, memory_pressure, io] =
            self.pressure.each_ref().map(|file| text(file.as_ref(), buffer).and_then(sensors::pressure));
        // A core that is switched off makes its files disappear, and one that is switched on brings new ones.
        if !self.cores.iter().copied().eq(cores.iter().map(|c| c.core)) {
            self.cores = cores.iter().map(|c| c.core).collect();
            self.sensors = Sensors::open(&self.root, self.cores.iter().copied());
            whole = true;
        }
        let package_throttles = self.sensors.read(&mut cores, buffer, whole);
        Some(HostSample {
            at,
            cores,
            mem_total_bytes: memory.total_bytes,
            mem_available_bytes: memory.available_bytes,
            load_1min,
            pressure: HostPressure { cpu, memory: memory_pressure, io },
            package_throttles,
        })
    }
}

/// What the kernel reports about the host in addition to times and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSources {
    /// Cores that are switched on.
    pub cores: usize,
    /// Those of them whose frequency, and its highest value, can be read.
    pub frequency: usize,
    /// Those of them whose throttling is counted.
    pub throttles: usize,
    /// Whether throttling of whole packages is counted.
    pub package_throttles: bool,
    /// Whether there is pressure of the processors, of memory and of storage.
    pub pressure: [bool; 3],
}

/// What the kernel reports below `root`, which is `/` except in tests; `None` where `/proc` does not exist.
pub fn host_sources(root: &Path) -> Option<HostSources> {
    let sample = Host::open(root, 1).read(&mut vec![0; 64 * 1024], true)?;
    let count = |has: fn(&CoreClock) -> bool| sample.cores.iter().filter(|c| has(&c.clock)).count();
    let HostPressure { cpu, memory, io } = sample.pressure;
    Some(HostSources {
        cores: sample.cores.len(),
        frequency: count(|c| c.frequency_hz.is_some() && c.frequency_max_hz.is_some()),
        throttles: count(|c| c.throttles.is_some()),
        package_throttles: sample.package_throttles.is_some(),
        pressure: [cpu, memory, io].map(|p| p.is_some()),
    })
}

/// Reads a file of `/proc` again from its start.
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
        clock: CoreClock::default(),
    }
}

#[cfg(test)]
mod tests;
