//! What the sampler reads of processes and of the host. Counters are totals since the start of what they count; differences
//! are the reader's business.

use std::sync::Arc;
use std::time::Instant;

/// A replica's whole process tree at one instant.
///
/// When all its processes are gone, samples go on with `processes: 0` and the last totals, until the replica is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSample {
    /// When it was read: the real time, not the grid's.
    pub at: Instant,
    /// Name of the target.
    pub target: Arc<str>,
    /// Number of the replica.
    pub replica: u32,
    /// Living processes; zombies are not counted.
    pub processes: u32,
    /// Threads of all processes of the tree.
    pub threads: u64,
    /// Proportional set size, the memory to compare. `None` when it was not read this time, because it would have cost more than
    /// the sampler may use, or when it may not be read (a process of another user).
    pub pss_bytes: Option<u64>,
    /// Sum of resident sizes; counts shared pages once per process.
    pub rss_bytes: u64,
    /// Sum of each living process's own peak of resident size (`VmHWM`): exact for one process, an upper bound of the tree's peak
    /// for several. A process that ends takes its peak along, and `exec` starts a new one, so take the maximum over time.
    pub peak_rss_bytes: u64,
    /// Time in user mode of the tree, ended processes included; never decreases. See the module `cpu_account` for what is lost.
    pub cpu_user_ns: u64,
    /// Time in kernel mode, likewise. The sum of both is exact to the microsecond, their proportion to a clock tick.
    pub cpu_system_ns: u64,
    /// Open file descriptors. This, the fields below and the peak are read every fifth tick or less often, and repeated between.
    pub open_files: u64,
    /// Times that a thread gave up its core to wait. Threads that came and went between two readings are missing.
    pub voluntary_switches: u64,
    /// Times that a thread was taken from its core, likewise.
    pub involuntary_switches: u64,
    /// Bytes fetched from storage, by ended processes too, as far as their parent waited for them or they had been read before.
    /// 0 for processes of another user, who hide it.
    pub read_bytes: u64,
    /// Bytes that are to go to storage, likewise.
    pub written_bytes: u64,
    /// Whether all of the tree was read. Where descriptors or memory were missing some processes are not in these numbers, and
    /// the proportional set size is `None`.
    pub complete: bool,
}

/// The host at one instant. Comes with every tick, or less often when a host with many cores makes it too expensive.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSample {
    /// When it was read.
    pub at: Instant,
    /// Each core that is switched on, ascending.
    pub cores: Vec<CoreTimes>,
    /// Memory that the kernel manages.
    pub mem_total_bytes: u64,
    /// What could be had without swapping, by the kernel's estimate.
    pub mem_available_bytes: u64,
    /// Mean over one minute of tasks that ran, were ready to, or waited for storage.
    pub load_1min: f64,
    /// How long work was held up.
    pub pressure: HostPressure,
    /// How often whole packages were throttled, all of them together; `None` where the kernel does not count it.
    pub package_throttles: Option<u64>,
}

/// How long work was held up since boot; `None` where the kernel does not keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostPressure {
    /// For want of a core.
    pub cpu: Option<Pressure>,
    /// For want of memory: it was reclaimed, or fetched again.
    pub memory: Option<Pressure>,
    /// Time in which tasks waited for storage.
    pub io: Option<Pressure>,
}

/// What one core did since boot, in steps of a clock tick (normally 10 ms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreTimes {
    /// The core's number.
    pub core: u32,
    /// User mode, at any priority.
    pub user_ns: u64,
    /// Kernel mode, interrupts included.
    pub system_ns: u64,
    /// Interrupts alone. No process owns them: those of a network load are due to it.
    pub interrupt_ns: u64,
    /// Nothing to do.
    pub idle_ns: u64,
    /// Nothing to do while storage was awaited; the kernel says itself that it is a rough number.
    pub iowait_ns: u64,
    /// Wanted to run, but the hypervisor ran something else.
    pub steal_ns: u64,
    /// How fast it runs.
    pub clock: CoreClock,
}

/// How fast a core runs; `None` where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoreClock {
    /// Its frequency; also `None` when it was not read this time, as of many cores only some are.
    pub frequency_hz: Option<u64>,
    /// The highest that it can have, turbo included; likewise.
    pub frequency_max_hz: Option<u64>,
    /// How often it was throttled since boot.
    pub throttles: Option<u64>,
}

/// Time since boot in which work was held up, from a file of `/proc/pressure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Microseconds in which some task was ready, and waited.
    pub some_us: u64,
    /// Microseconds in which all tasks that were not idle waited; `None` in older kernels for the processors.
    pub full_us: Option<u64>,
}
