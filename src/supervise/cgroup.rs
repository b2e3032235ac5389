//! The control groups of a replica: made with its limits before it starts, read while it runs, removed when it is gone.
//!
//! Where groups can be made is `plan::cgroups`'s business. A group is in the journal before it exists, so that it is removed
//! whoever dies. A replica enters its groups between fork and exec: no instruction of it is executed outside.

use std::path::PathBuf;

use super::{Error, Guard, group_files};
use plan::cgroups::{Controller, Parent, Resources, Version, parent};
use vocabulary::units::human_bytes;

/// The kernel hands out time in periods of this length.
const PERIOD_US: u64 = 100_000;

/// The groups of a replica: one in version 2, one for each controller in version 1.
#[derive(Debug)]
pub struct Cgroup {
    groups: Vec<Group>,
    /// Its limits.
    pub resources: Resources,
    /// Whether the groups are ours.
    is_ours: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    controller: Controller,
    version: Version,
    path: PathBuf,
}

/// What groups have counted since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How long it had work to do and no time left in its period, in nanoseconds; summed over its processors.
    pub throttled_ns: Option<u64>,
    /// How often it needed memory beyond its limit, and others of its pages had to go first.
    pub limit_hits: Option<u64>,
    /// How many of its processes the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
}

impl Counts {
    /// What was counted since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before.unwrap_or_default()));
        Self {
            throttled_ns: since(self.throttled_ns, before.throttled_ns),
            limit_hits: since(self.limit_hits, before.limit_hits),
            oom_kills: since(self.oom_kills, before.oom_kills),
        }
    }

    /// Together with what others have counted.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| if a.is_none() { b } else { Some(a? + b.unwrap_or_default()) };
        Self {
            throttled_ns: sum(self.throttled_ns, other.throttled_ns),
            limit_hits: sum(self.limit_hits, other.limit_hits),
            oom_kills: sum(self.oom_kills, other.oom_kills),
        }
    }
}

impl Cgroup {
    /// Makes the groups of a replica, with its limits, which are read back. `name`: target and replica.
    ///
    /// # Errors
    /// [`Error::Resources`] when a group cannot be made, or the kernel has another limit than was asked for; [`Error::Journal`].
    pub fn make(guard: &Guard, name: &str, resources: Resources) -> Result<Self, Error> {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let failed = |reason: String| Error::Resources { name: name.to_owned(), reason };
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut made = Self { groups: Vec::new(), resources, is_ours: true };
        let found = resources.controllers().map(|controller| Ok((controller, parent(controller)?)));
        let found = found.collect::<Result<Vec<_>, &str>>().map_err(|reason| failed(reason.to_owned()))?;
        // A process is in one group of version 2. Where the nearest places differ, the outer one has all controllers: what a group
        // hands down it has got from the groups above it.
        let of_two = found.iter().map(|(_, parent)| *parent).filter(|parent| parent.version == Version::Two);
        let outer = of_two.min_by_key(|parent| parent.path.components().count());
        for (controller, parent) in found {
            let Parent { version, path } = outer.filter(|_| parent.version == Version::Two).unwrap_or(parent);
            let path = path.join(format!("runner-{}-{number}", guard.run()));
            if !made.groups.iter().any(|group| group.path == path) {
                guard.adopt(&path)?;
                std::fs::create_dir(&path).map_err(|error| failed(format!("cannot make {}: {error}", path.display())))?;
            }
            let group = Group { controller, version: *version, path };
            let limited = group.limit(&resources);
            made.groups.push(group);
            if let Err(reason) = limited {
                made.remove(guard)?;
                return Err(failed(reason));
            }
        }
        Ok(made)
    }

    /// The groups of a process that somebody else limits, such as a container's; only for reading.
    pub fn of_process(pid: u32, resources: Resources) -> Self {
        let own = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let group = |controller: Controller| {
            let found = plan::cgroups::places(controller, &mounts, &own);
            let (version, path) =
                found.into_iter().find(|(version, path)| path.join(controller.limit_file(*version)).exists())?;
            Some(Group { controller, version, path })
        };
        Self { groups: resources.controllers().filter_map(group).collect(), resources, is_ours: false }
    }

    /// The directories that a process must enter.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.groups.iter().map(|group| group.path.clone()).collect();
        paths.dedup();
        paths
    }

    /// The kernel's interface: that of the memory where there are two.
    pub fn version(&self) -> Option<Version> {
        self.groups.last().map(|group| group.version)
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for group in &self.groups {
            let read = |file: &str| std::fs::read_to_string(group.path.join(file)).unwrap_or_default();
            match (group.controller, group.version) {
                (Controller::Cpu, Version::Two) => {
                    counts.throttled_ns = value(&read("cpu.stat"), "throttled_usec").map(|us| us * 1000)
                }
                (Controller::Cpu, Version::One) => counts.throttled_ns = value(&read("cpu.stat"), "throttled_time"),
                (Controller::Memory, Version::Two) => {
                    let events = read("memory.events");
                    (counts.limit_hits, counts.oom_kills) = (value(&events, "max"), value(&events, "oom_kill"));
                }
                (Controller::Memory, Version::One) => {
                    // Where the kernel counts swap, memory and swap together meet their limit first.
                    let hits = |file: &str| read(file).trim().parse::<u64>().ok();
                    let sum = hits("memory.failcnt").map(|n| n + hits("memory.memsw.failcnt").unwrap_or_default());
                    // Newer kernels have the files and count nothing: a 0 says nothing.
                    counts.limit_hits = sum.filter(|n| *n > 0);
                    counts.oom_kills = value(&read("memory.oom_control"), "oom_kill");
                }
            }
        }
        counts
    }

    /// The memory limit in words, if the kernel killed a process of the replica because of it.
    pub fn out_of_memory(&self) -> Option<String> {
        let limit = self.resources.memory?;
        (self.counts().oom_kills? > 0).then(|| human_bytes(limit as f64))
    }

    /// Removes the groups, whose processes are gone.
    ///
    /// # Errors
    /// [`Error::Journal`]. A group that cannot be removed stays in the journal.
    pub fn remove(&self, guard: &Guard) -> Result<(), Error> {
        if !self.is_ours {
            return Ok(());
        }
        for path in self.paths() {
            if group_files::remove(&path) {
                guard.release(&path)?;
            }
        }
        Ok(())
    }
}

impl Group {
    /// Sets the limit of its controller, and reads it back.
    fn limit(&self, resources: &Resources) -> Result<(), String> {
        let write = |file: &str, text: String| {
            let path = self.path.join(file);
            std::fs::write(&path, &text).map_err(|error| format!("cannot write {text} to {}: {error}", path.display()))
        };
        match (self.controller, self.version) {
            (Controller::Cpu, version) => {
                let quota = quota_us(resources.cpu.unwrap_or_default());
                match version {
                    Version::Two => {
                        write("cpu.max", format!("{quota} {PERIOD_US}"))?;
                        self.is("cpu.max", &format!("{quota} {PERIOD_US}"))
                    }
                    Version::One => {
                        write("cpu.cfs_period_us", PERIOD_US.to_string())?;
                        write("cpu.cfs_quota_us", quota.to_string())?;
                        self.is("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                        self.is("cpu.cfs_quota_us", &quota.to_string())
                    }
                }
            }
            (Controller::Memory, version) => {
                // The kernel counts whole pages.
                let bytes = whole_pages(resources.memory.unwrap_or_default(), rustix::param::page_size() as u64);
                let file = Controller::Memory.limit_file(version);
                write(file, bytes.to_string())?;
                self.is(file, &bytes.to_string())?;
                // Where the kernel has swap, the limit includes it; elsewhere there is no such file.
                let (swap, most) = match version {
                    Version::Two => ("memory.swap.max", 0),
                    Version::One => ("memory.memsw.limit_in_bytes", bytes),
                };
                if self.path.join(swap).exists() {
                    write(swap, most.to_string())?;
                    self.is(swap, &most.to_string())?;
                }
                Ok(())
            }
        }
    }

    fn is(&self, file: &str, wanted: &str) -> Result<(), String> {
        let path = self.path.join(file);
        let found = std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        match found.trim() {
            found if found == wanted => Ok(()),
            found => Err(format!("{} is {found} although {wanted} was written to it", path.display())),
        }
    }
}

/// The time in each period, in microseconds; the kernel gives at least a millisecond.
fn quota_us(processors: f64) -> u64 {
    ((processors * PERIOD_US as f64).round() as u64).max(1000)
}

fn whole_pages(bytes: u64, page: u64) -> u64 {
    (bytes / page * page).max(page)
}

/// A number of a file with a name and a number in each line.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once(' ').filter(|(key, _)| *key == name)?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_name() {
        let stat = "nr_periods 10\nnr_throttled 4\nthrottled_time 123456789\n";
        assert_eq!(value(stat, "throttled_time"), Some(123_456_789));
        assert_eq!(value("usage_usec 1\nthrottled_usec 25\n", "throttled_usec"), Some(25));
        let events = "low 0\nhigh 0\nmax 31\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!((value(events, "max"), value(events, "oom_kill"), value(events, "nothing")), (Some(31), Some(1), None));
    }

    #[test]
    fn limits_are_those_that_the_kernel_can_have() {
        assert_eq!((quota_us(1.5), quota_us(0.01), quota_us(0.000_1)), (150_000, 1000, 1000));
        assert_eq!((whole_pages(10_000, 4096), whole_pages(8192, 4096), whole_pages(1, 4096)), (8192, 8192, 4096));
    }

    #[test]
    fn counts_since_an_instant_need_no_count_before() {
        let now = Counts { throttled_ns: Some(30), limit_hits: None, oom_kills: Some(2) };
        let before = Counts { throttled_ns: Some(10), limit_hits: Some(3), oom_kills: None };
        assert_eq!(now.since(&before), Counts { throttled_ns: Some(20), limit_hits: None, oom_kills: Some(2) });
        assert_eq!(now.and(&before), Counts { throttled_ns: Some(40), limit_hits: Some(3), oom_kills: Some(2) });
    }
}
