//! One process: its open `/proc/PID/stat` and its last reading.
//!
//! The open file is also its identity: it belongs to the process, not to its pid, and fails for good once the process is
//! reaped. Other files that are opened by pid count only if this file can be read afterwards: so a pid that was given to another
//! process is never read by mistake. One descriptor per process, as hundreds may be watched.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

use rustix::io::Errno;

use super::{
    cpu_account::{Account, Cpu},
    files::{self, OpenFile},
    procfs::process::{self, Io, Stat},
    tree,
};

/// One member of a replica's tree.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The latest reading.
    pub(super) stat: Stat,
    pub(super) account: Account,
    pub(super) io: Io,
    pub(super) peak_rss_bytes: u64,
    pub(super) open_files: u64,
    stat_file: OpenFile,
    switches: Switches,
}

/// Context switches, which the kernel counts per thread.
#[derive(Debug, Default)]
struct Switches {
    living: HashMap<u32, [u64; 2]>,
    ended: [u64; 2],
}

/// Whether a process can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It lives, or is a zombie.
    Here,
    /// It was reaped; the last reading remains.
    Gone,
}

impl Process {
    /// Opens and reads a process; `None` when it is gone.
    pub(super) fn open(pid: u32, ns_per_tick: u64, buffer: &mut [u8]) -> Option<Self> {
        let stat_file = OpenFile::open(format!("/proc/{pid}/stat")).ok()?;
        let stat = process::stat(read(&stat_file.0, buffer).ok()?)?;
        let mut process = Self {
            pid,
            stat,
            account: Account::default(),
            io: Io::default(),
            peak_rss_bytes: 0,
            open_files: 0,
            stat_file,
            switches: Switches::default(),
        };
        let (own, waited) = process.times(ns_per_tick, buffer)?;
        process.account = Account::open(own, waited);
        Some(process)
    }

    /// The cheap readings: state, times, threads, resident size.
    pub(super) fn refresh(&mut self, ns_per_tick: u64, buffer: &mut [u8]) -> Presence {
        let Some((own, waited)) = self.times(ns_per_tick, buffer) else {
            return Presence::Gone;
        };
        self.account.update(own, waited);
        Presence::Here
    }

    /// Reads `stat` and the process's clock: own and waited-for time.
    fn times(&mut self, ns_per_tick: u64, buffer: &mut [u8]) -> Option<(Cpu, Cpu)> {
        // The clock is read by pid. As `stat` is read after it, and only from the right process, the clock was the right
        // one, too.
        let clock_ns = cpu_clock_ns(self.pid);
        self.stat = process::stat(read(&self.stat_file.0, buffer).ok()?)?;
        let ns = |ticks: u64| ticks.saturating_mul(ns_per_tick);
        let stat = &self.stat;
        let total_ns = clock_ns.unwrap_or_else(|| ns(stat.user_ticks + stat.system_ticks));
        let own = self.account.own().advance(total_ns, ns(stat.system_ticks));
        let waited = Cpu { user_ns: ns(stat.waited_user_ticks), system_ns: ns(stat.waited_system_ticks) };
        Some((own, waited))
    }

    /// The current threads. Rarely needs a read: most processes have one thread, as the latest reading shows.
    pub(super) fn threads(&self) -> Vec<u32> {
        if self.stat.threads == 1 { vec![self.pid] } else { tree::threads(self.pid) }
    }

    /// The readings that are too expensive for every tick: storage, peak, open files, context switches of `threads`.
    pub(super) fn survey(&mut self, threads: &[u32], buffer: &mut [u8]) {
        // The permission to read some of these may be missing; the process is then watched without them.
        let io = self.part("io", buffer).ok().and_then(process::io);
        let Some(first_thread) = self.part("status", buffer).ok().and_then(process::status) else {
            return;
        };
        let open_files = open_files(&format!("/proc/{}/fd", self.pid));
        let seen: Vec<(u32, process::Status)> = threads
            .iter()
            .filter_map(|thread| {
                if *thread == self.pid {
                    return Some((*thread, first_thread));
                }
                let text = self.part(&format!("task/{thread}/status"), buffer).ok()?;
                Some((*thread, process::status(text)?))
            })
            .collect();
        if !self.is_there() {
            return;
        }
        self.io = io.unwrap_or(self.io);
        self.peak_rss_bytes = first_thread.peak_rss_bytes.unwrap_or(0);
        self.open_files = open_files;
        self.switches.see_all(seen);
    }

    /// A file of the process, by its pid.
    fn part<'b>(&self, name: &str, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        read(&files::open(format!("/proc/{}/{name}", self.pid))?, buffer)
    }

    /// Whether the pid is still that of this process.
    fn is_there(&self) -> bool {
        let mut few = [0; 16];
        read(&self.stat_file.0, &mut few).is_ok()
    }

    /// Voluntary and involuntary context switches of all threads that were ever seen.
    pub(super) fn switches(&self) -> [u64; 2] {
        self.switches.living.values().fold(self.switches.ended, add)
    }

    /// Proportional set size: 0 for a process that has ended, `None` when it may not or cannot be read.
    ///
    /// By far the most expensive reading: the kernel walks all mapped pages, and mapping or unmapping memory has to wait
    /// meanwhile.
    pub(super) fn pss_bytes(&mut self, buffer: &mut [u8]) -> Option<u64> {
        let text = if !self.stat.is_zombie() {
            self.part("smaps_rollup", buffer)
        } else if self.stat.threads > 1 {
            // Its first thread has ended and the others have not: the memory belongs to them.
            let other = tree::threads(self.pid).into_iter().find(|thread| *thread != self.pid)?;
            self.part(&format!("task/{other}/smaps_rollup"), buffer)
        } else {
            return Some(0);
        };
        let found = match text {
            Ok(text) => process::smaps_rollup(text).map_or(0, |it| it.pss_bytes),
            Err(error) if vanished(&error) => 0,
            Err(_) => return None,
        };
        // If this process is gone, another one may have the pid; this process has no memory any more.
        Some(if self.is_there() { found } else { 0 })
    }
}

impl Switches {
    fn see_all(&mut self, threads: impl IntoIterator<Item = (u32, process::Status)>) {
        let mut before = std::mem::take(&mut self.living);
        for (thread, status) in threads {
            before.remove(&thread);
            let counts = [status.voluntary_switches, status.involuntary_switches];
            self.living.insert(thread, counts);
        }
        self.ended = before.values().fold(self.ended, add);
    }
}

fn add(a: [u64; 2], b: &[u64; 2]) -> [u64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

fn read<'b>(file: &File, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let read = file.read_at(buffer, 0)?;
    Ok(&buffer[..read])
}

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::SRCH)
}

/// Since Linux 6.2 the size of the directory is the number of open files; before, it is 0 and the entries are counted.
fn open_files(directory: &str) -> u64 {
    match fs::metadata(directory).map(|metadata| metadata.len()) {
        Ok(0) => files::list(directory).map_or(0, |entries| entries.count() as u64),
        Ok(size) => size,
        Err(_) => 0,
    }
}

/// The processor time of all threads of `pid`, ended ones included, to the nanosecond. (`/proc/PID/stat` has clock ticks of
/// 10 ms, `/proc/PID/schedstat` covers one thread only, and a sum over threads costs a file each.) `None` when the process
/// does not exist.
fn cpu_clock_ns(pid: u32) -> Option<u64> {
    // The number of a clock is the pid shifted by three bits, and 0 means the caller. No kernel assigns pids above 2^22.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| (1..=1 << 22).contains(pid))?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls only write through the pointer they are given, which points to a local of the right type.
    let failed = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) != 0 || libc::clock_gettime(clock, &raw mut time) != 0 };
    if failed {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u64::try_from(time.tv_nsec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests;
