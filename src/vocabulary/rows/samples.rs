//! What the sampler reads about processes and the host. Counters are totals since the start of the process or the host; the
//! reader computes differences.

use std::sync::Arc;
use std::time::Instant;

/// A replica's whole process tree at one instant.
///
/// When all its processes are gone, samples continue with `processes: 0` and the last totals, until the replica is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSample {
    /// When it was read: the actual time, not the planned one.
    pub at: Instant,
    /// Name of the target.
    pub target: Arc<str>,
    /// Number of the replica.
    pub replica: u32,
    /// Living processes; zombies are not counted.
    pub processes: u32,
    /// Threads of all processes of the tree.
    pub threads: u64,
    /// Proportional set size, the figure to use for comparing memory. `None` if it was not read this time, because this would have
    /// cost more than the sampler may use, or if it may not be read (a process of another user).
    pub pss_bytes: Option<u64>,
    /// Sum of resident sizes; counts shared pages once per process.
    pub rss_bytes: u64,
    /// Sum of each living process's own peak of resident size (`VmHWM`): exact for one process, an upper bound of the tree's peak
    /// for several. The peak of a process is gone when it ends, and `exec` starts a new one, so take the maximum over time.
    pub peak_rss_bytes: u64,
    /// Time in user mode of the tree, ended processes included; never decreases. See the module `cpu_account` for what is lost.
    pub cpu_user_ns: u64,
    /// Time in kernel mode, with the same rules. The sum of both is exact to the microsecond, their proportion to a clock tick.
    pub cpu_system_ns: u64,
    /// Open file descriptors. This, the fields below and the peak are read every fifth tick or less often, and repeated in between.
    pub open_files: u64,
    /// Times that a thread gave up its core to wait. Threads that came and went between two readings are missing.
    pub voluntary_switches: u64,
    /// Times that a thread was taken from its core, with the same gaps.
    pub involuntary_switches: u64,
    /// Bytes fetched from storage. Ended processes count if their parent waited for them or they had been read before.
    /// 0 for processes of another user, whose counts are hidden.
    pub read_bytes: u64,
    /// Bytes to be written to storage, with the same rules.
    pub written_bytes: u64,
    /// Whether the whole tree was read. If descriptors or memory were missing, some processes are not in these numbers, and
    /// the proportional set size is `None`.
    pub complete: bool,
}

/// The host at one instant, read at every tick, or less often if a host with many cores makes this too expensive.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSample {
    /// When it was read.
    pub at: Instant,
    /// Each core that is switched on, ascending.
    pub cores: Vec<CoreTimes>,
    /// Memory that the kernel manages.
    pub mem_total_bytes: u64,
    /// Memory available without swapping, by the kernel's estimate.
    pub mem_available_bytes: u64,
    /// Mean over one minute of tasks that ran, were ready to, or waited for storage.
    pub load_1min: f64,
    /// How long work was held up.
    pub pressure: HostPressure,
    /// How often whole packages were throttled, all packages together; `None` if the kernel does not count this.
    pub package_throttles: Option<u64>,
}

/// How long work was held up since boot; `None` if the kernel does not record this.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostPressure {
    /// Time in which tasks waited for a core.
    pub cpu: Option<Pressure>,
    /// Time in which tasks waited for memory: it was reclaimed, or fetched again.
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
    /// Interrupts alone. No process owns them: those of a network load are caused by the load.
    pub interrupt_ns: u64,
    /// Idle.
    pub idle_ns: u64,
    /// Idle while waiting for storage; according to the kernel's documentation this is a rough number.
    pub iowait_ns: u64,
    /// Wanted to run, but the hypervisor ran something else.
    pub steal_ns: u64,
    /// How fast it runs.
    pub clock: CoreClock,
}

/// How fast a core runs; `None` if the kernel does not report it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoreClock {
    /// Its frequency; also `None` if it was not read this time: with many cores, each sample reads only some.
    pub frequency_hz: Option<u64>,
    /// Its highest possible frequency, turbo included; with the same gaps.
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
