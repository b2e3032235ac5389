//! Limits on processors and memory, and whether this machine lets us set them.
//!
//! The kernel has two interfaces for control groups. In version 2 there is one hierarchy for all controllers; in version 1 each
//! controller has its own. A machine may be hybrid: version 2 without the controllers, which are in version 1. Each controller is
//! therefore looked for by itself, and in version 2 first. A group is made below the one in which runner itself is, or below the
//! nearest of its ancestors that allows it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Serialize;

/// What each replica of a target may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Resources {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// Bytes of memory, swap included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Resources {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The controllers that are needed.
    pub fn controllers(&self) -> impl Iterator<Item = Controller> {
        let both = [(Controller::Cpu, self.cpu.is_some()), (Controller::Memory, self.memory.is_some())];
        both.into_iter().filter(|(_, needed)| *needed).map(|(controller, _)| controller)
    }
}

/// A part of the kernel that limits something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// The time of processors.
    Cpu,
    /// Memory.
    Memory,
}

impl Controller {
    /// The kernel's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }

    /// The file of a group that has its limit.
    pub fn limit_file(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Cpu, Version::Two) => "cpu.max",
            (Self::Cpu, Version::One) => "cpu.cfs_quota_us",
            (Self::Memory, Version::Two) => "memory.max",
            (Self::Memory, Version::One) => "memory.limit_in_bytes",
        }
    }
}

/// The kernel's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller.
    One,
    /// One hierarchy for all.
    Two,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::One { "cgroup v1" } else { "cgroup v2" })
    }
}

/// Where groups with a controller can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The kernel's interface.
    pub version: Version,
    /// The directory of the group below which others can be made.
    pub path: PathBuf,
}

/// Where groups with a controller can be made on this machine; tried once.
///
/// # Errors
/// Why they cannot, in words.
pub fn parent(controller: Controller) -> Result<&'static Parent, &'static str> {
    static FOUND: [OnceLock<Result<Parent, String>>; 2] = [OnceLock::new(), OnceLock::new()];
    let found = FOUND[controller as usize].get_or_init(|| {
        let read = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        find(controller, &places(controller, &read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    });
    found.as_ref().map_err(String::as_str)
}

/// Why a target with these limits cannot be executed here; `None` if it can.
pub fn missing(target: &str, resources: &Resources) -> Option<String> {
    for controller in resources.controllers() {
        if let Err(reason) = parent(controller) {
            return Some(format!("the {} of `{target}` cannot be limited here: {reason}", controller.name()));
        }
    }
    beyond(target, resources)
}

/// Why a limit would have no effect on this machine.
pub fn beyond(target: &str, resources: &Resources) -> Option<String> {
    let processors = std::thread::available_parallelism().map_or(usize::MAX, std::num::NonZero::get);
    if let Some(cpu) = resources.cpu.filter(|cpu| *cpu > processors as f64) {
        return Some(format!("`{target}` may use {cpu} processors, and this machine has {processors}"));
    }
    let total = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total =
        total.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())? << 10;
    let human = |bytes: u64| vocabulary::units::human_bytes(bytes as f64);
    let memory = resources.memory.filter(|memory| *memory > total)?;
    Some(format!("`{target}` may use {} of memory, and this machine has {}", human(memory), human(total)))
}

/// The groups in which we are, or in which our ancestors are, version 2 first: the nearest first, up to the mount point.
pub fn places(controller: Controller, mounts: &str, own: &str) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    for wanted in [Version::Two, Version::One] {
        for (version, root, point) in mounts.lines().filter_map(|line| mount(line, controller)).filter(|m| m.0 == wanted) {
            let path = own.lines().find_map(|line| own_path(line, controller, version)).unwrap_or("/");
            // A path outside of what is mounted, as in a container, cannot be reached.
            let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            let inside: PathBuf =
                if inside.components().any(|c| c.as_os_str() == "..") { PathBuf::new() } else { inside.to_owned() };
            found.extend(inside.ancestors().map(|part| (version, Path::new(point).join(part))));
        }
    }
    found
}

/// Version, root and mount point of a line of `/proc/self/mountinfo` that may have the controller.
fn mount(line: &str, controller: Controller) -> Option<(Version, &str, &str)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let version = match kind.next()? {
        "cgroup2" => return Some((Version::Two, root, point)),
        "cgroup" => Version::One,
        _ => return None,
    };
    let options = kind.nth(1)?;
    options.split(',').any(|option| option == controller.name()).then_some((version, root, point))
}

/// Our own path in the hierarchy that a line of `/proc/self/cgroup` tells of.
fn own_path(line: &str, controller: Controller, version: Version) -> Option<&str> {
    let mut parts = line.splitn(3, ':');
    let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let is_it = match version {
        Version::Two => number == "0" && controllers.is_empty(),
        Version::One => controllers.split(',').any(|name| name == controller.name()),
    };
    is_it.then_some(path)
}

/// The first place where a group with the controller can be made.
fn find(controller: Controller, places: &[(Version, PathBuf)]) -> Result<Parent, String> {
    let mut refused = None;
    for (version, path) in places {
        match try_at(controller, *version, path) {
            Ok(()) => return Ok(Parent { version: *version, path: path.clone() }),
            // The nearest place says most.
            Err(Some(reason)) => refused = refused.or(Some(reason)),
            Err(None) => {}
        }
    }
    Err(match refused {
        None => format!("no cgroup hierarchy that is mounted has the controller `{}`", controller.name()),
        Some(reason) => format!(
            "{reason}; it needs root or a delegated cgroup, such as that of `systemd-run --user --scope -p Delegate=yes runner run …`"
        ),
    })
}

/// Makes a group and removes it again. The error is `None` where the controller is not there at all.
fn try_at(controller: Controller, version: Version, path: &Path) -> Result<(), Option<String>> {
    if version == Version::Two {
        let has = |file: &str| {
            let text = std::fs::read_to_string(path.join(file)).unwrap_or_default();
            text.split_ascii_whitespace().any(|name| name == controller.name())
        };
        if !has("cgroup.controllers") {
            return Err(None);
        }
        if !has("cgroup.subtree_control") {
            // The kernel allows this only where the group has no processes of its own.
            let control = path.join("cgroup.subtree_control");
            std::fs::write(&control, format!("+{}", controller.name()))
                .map_err(|error| Some(format!("{}: {error}", control.display())))?;
        }
    }
    let group = path.join(format!("runner-probe-{}-{}", std::process::id(), controller.name()));
    std::fs::create_dir(&group).map_err(|error| Some(format!("{}: {error}", path.display())))?;
    let file = group.join(controller.limit_file(version));
    let tried = std::fs::OpenOptions::new().read(true).write(true).open(&file).map(drop);
    let tried = tried.map_err(|error| Some(format!("{}: {error}", file.display())));
    let _ = std::fs::remove_dir(&group);
    tried
}

/// The processors of a node of the machine's memory, as Linux writes them: `0-3,8-11`; `None` if there is no such node.
pub fn node(number: u32) -> Option<String> {
    let path = format!("/sys/devices/system/node/node{number}/cpulist");
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 29 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const HYBRID_OWN: &str = "4:memory:/jobs/7\n1:cpu,cpuacct:/\n0::/\n";

    fn of(controller: Controller, mounts: &str, own: &str) -> Vec<(Version, String)> {
        places(controller, mounts, own).into_iter().map(|(version, path)| (version, path.display().to_string())).collect()
    }

    #[test]
    fn a_hybrid_machine_has_controllers_in_version_1_and_the_nearest_group_comes_first() {
        let two = (Version::Two, "/sys/fs/cgroup/unified/".to_owned());
        let one = |path: &str| (Version::One, format!("/sys/fs/cgroup/memory/{path}"));
        assert_eq!(of(Controller::Memory, HYBRID, HYBRID_OWN), [two.clone(), one("jobs/7"), one("jobs"), one("")]);
        assert_eq!(of(Controller::Cpu, HYBRID, HYBRID_OWN), [two, (Version::One, "/sys/fs/cgroup/cpu/".to_owned())]);
    }

    #[test]
    fn a_unified_machine_has_one_hierarchy_and_a_container_sees_a_part_of_it() {
        let unified = "25 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/user.slice/user-1.slice/x.scope\n";
        let two = |path: &str| (Version::Two, format!("/sys/fs/cgroup/{path}"));
        let found = of(Controller::Cpu, unified, own);
        assert_eq!(found, [two("user.slice/user-1.slice/x.scope"), two("user.slice/user-1.slice"), two("user.slice"), two("")]);
        let inside = "25 1 0:22 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(of(Controller::Cpu, inside, "0::/docker/abc/x\n"), [two("x"), two("")]);
        assert_eq!(of(Controller::Cpu, inside, "0::/../..\n"), [two("")]);
        assert_eq!(of(Controller::Cpu, "25 1 0:22 / / rw - ext4 /dev/sda rw\n", own), []);
    }

    #[test]
    fn what_cannot_be_had_is_explained() {
        let folder = std::env::temp_dir().join(format!("runner-cgroup-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let nowhere = find(Controller::Memory, &[(Version::Two, folder.clone())]).unwrap_err();
        assert_eq!(nowhere, "no cgroup hierarchy that is mounted has the controller `memory`");
        // A directory that is not of the kernel has no files with limits.
        let refused = find(Controller::Memory, &[(Version::One, folder.clone())]).unwrap_err();
        assert!(refused.contains("memory.limit_in_bytes: No such file") && refused.contains("systemd-run"), "{refused}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "the trial is gone");
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_limit_without_effect_is_not_taken_for_one() {
        let much = |cpu, memory| beyond("db", &Resources { cpu, memory });
        assert!(
            much(Some(1e6), None)
                .is_some_and(|words| words.starts_with("`db` may use 1000000 processors, and this machine has "))
        );
        assert!(much(None, Some(1 << 60)).is_some_and(|words| words.contains("of memory, and this machine has ")));
        assert_eq!(much(Some(0.5), Some(1 << 20)), None);
    }
}
