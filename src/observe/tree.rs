//! Which processes belong to a replica.
//!
//! The tree below a pid comes from `/proc/PID/task/*/children`, or from a look at every process where the kernel has no such
//! file. A process that lost its parent is no longer below the root; it becomes a child of the nearest subreaper, here
//! called the adopter. Such an orphan is recognised by its [`marker`](vocabulary::marker) in the environment with which it
//! was started. A program that clears its environment *and* leaves its parent before the first look is therefore missed.
//!
//! All answers are snapshots of something that changes: a pid may have ended, or be new, a moment later.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::OnceLock,
};

use super::{files, procfs};
use vocabulary::marker::marker_in;

/// All processes below `root`, without it, parents before their children.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = ChildLookup::now().closure([root]);
    found.remove(0);
    found
}

/// The processes of a replica: `root` if it still exists, everything below it, and children of `adopter` that carry
/// `marker`, with everything below them. Parents come before their children.
pub fn members(root: u32, adopter: Option<u32>, marker: &str) -> Vec<u32> {
    let lookup = ChildLookup::now();
    let root = Path::new("/proc").join(root.to_string()).exists().then_some(root);
    let orphans = adopter.map(|adopter| lookup.children(adopter)).unwrap_or_default();
    let orphans = orphans.into_iter().filter(|pid| marker_of(*pid).as_deref() == Some(marker));
    lookup.closure(root.into_iter().chain(orphans))
}

/// All pids of this pid namespace, in the order of the directory.
pub(super) fn all_processes() -> Vec<u32> {
    numbers_in("/proc")
}

/// The threads of a process; empty when it is gone.
pub(super) fn threads(pid: u32) -> Vec<u32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

fn numbers_in(directory: &str) -> Vec<u32> {
    let Ok(entries) = files::list(directory) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The marker of a process; `None` without one, or when its environment may not be read.
pub(super) fn marker_of(pid: u32) -> Option<String> {
    marker_in(&files::read(format!("/proc/{pid}/environ")).ok()?)
}

/// A way to look up the children of a process, valid for one walk.
pub(super) enum ChildLookup {
    /// The kernel lists the children of each thread.
    Files,
    /// The children of all processes, collected at once.
    Table(HashMap<u32, Vec<u32>>),
}

impl ChildLookup {
    pub(super) fn now() -> Self {
        static LISTED: OnceLock<bool> = OnceLock::new();
        if *LISTED.get_or_init(|| Path::new("/proc/thread-self/children").exists()) {
            ChildLookup::Files
        } else {
            ChildLookup::table()
        }
    }

    fn table() -> Self {
        let mut table: HashMap<u32, Vec<u32>> = HashMap::new();
        for pid in all_processes() {
            let stat = files::read(format!("/proc/{pid}/stat")).ok();
            if let Some(stat) = stat.and_then(|text| procfs::process::stat(&text)) {
                table.entry(stat.ppid).or_default().push(pid);
            }
        }
        ChildLookup::Table(table)
    }

    /// The children of `pid`. While children come and go the kernel may leave one out; the next look has it.
    pub(super) fn children(&self, pid: u32) -> Vec<u32> {
        match self {
            ChildLookup::Files => self.children_of(pid, &threads(pid)),
            ChildLookup::Table(_) => self.children_of(pid, &[]),
        }
    }

    /// The same for a process whose threads are known already: each thread has separate children.
    pub(super) fn children_of(&self, pid: u32, threads: &[u32]) -> Vec<u32> {
        match self {
            ChildLookup::Files => threads
                .iter()
                .filter_map(|thread| files::read_to_string(format!("/proc/{pid}/task/{thread}/children")).ok())
                .flat_map(|text| pids(&text))
                .collect(),
            ChildLookup::Table(table) => table.get(&pid).cloned().unwrap_or_default(),
        }
    }

    /// The seeds and everything below them, each pid once, the seeds first in their order, then parents before their
    /// children.
    pub(super) fn closure(&self, seeds: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut seen = HashSet::new();
        let mut found: Vec<u32> = seeds.into_iter().filter(|pid| seen.insert(*pid)).collect();
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            next += 1;
            found.extend(self.children(pid).into_iter().filter(|child| seen.insert(*child)));
        }
        found
    }
}

fn pids(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
pub(super) mod tests;
