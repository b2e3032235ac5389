//! The process tree as one look at `/proc` shows it, and signals that cannot reach a stranger.
//!
//! A process that may have ended between the look and the signal is held by a pidfd and checked again: its number may have
//! been given to a stranger meanwhile. The leader of a replica needs no such care as long as the guard does not reap it;
//! neither its number nor that of its group can be given away until then.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use rustix::process::{self, Pid, PidfdFlags, Signal};

use vocabulary::marker::marker_in;

/// One process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    /// When it was started, in ticks since boot: with the pid it identifies the process.
    pub started: u64,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

/// All processes at one instant.
#[derive(Debug, Default)]
pub(super) struct Processes {
    rows: BTreeMap<i32, Row>,
    children: BTreeMap<i32, Vec<i32>>,
    groups: BTreeMap<i32, Vec<i32>>,
}

impl Processes {
    /// Reads `/proc` once.
    pub fn read() -> Self {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        Self::of(pids.filter_map(row))
    }

    fn of(rows: impl Iterator<Item = Row>) -> Self {
        let mut all = Self::default();
        for row in rows {
            // A process that has ended has no children and no longer matters to its group.
            if !row.ended {
                all.children.entry(row.parent).or_default().push(row.pid);
                all.groups.entry(row.group).or_default().push(row.pid);
            }
            all.rows.insert(row.pid, row);
        }
        all
    }

    /// The process with this id, if there is one.
    pub fn get(&self, pid: i32) -> Option<&Row> {
        self.rows.get(&pid)
    }

    /// Everything below a process, without it; processes that have ended are left out.
    pub fn descendants(&self, root: i32) -> Vec<Row> {
        let mut found = BTreeSet::new();
        self.close(&mut found, self.children_of(root).to_vec());
        self.rows_of(found)
    }

    /// Children that have ended and wait to be reaped.
    pub fn ended_children(&self, parent: i32) -> impl Iterator<Item = i32> + '_ {
        self.rows.values().filter(move |row| row.ended && row.parent == parent).map(|row| row.pid)
    }

    /// Living children.
    pub fn children_of(&self, parent: i32) -> &[i32] {
        self.children.get(&parent).map_or(&[], Vec::as_slice)
    }

    /// The processes of a replica: its leader, its process group, `orphans`, and everything below these. Processes that have
    /// ended are left out.
    pub fn tree(&self, leader: i32, orphans: &[i32]) -> Vec<Row> {
        let mut found = BTreeSet::new();
        let group = self.groups.get(&leader).map_or(&[] as &[i32], Vec::as_slice);
        let leader = self.rows.get(&leader).filter(|row| !row.ended).map(|row| row.pid);
        self.close(&mut found, leader.into_iter().chain(group.iter().copied()).chain(orphans.iter().copied()).collect());
        self.rows_of(found)
    }

    fn close(&self, found: &mut BTreeSet<i32>, mut open: Vec<i32>) {
        while let Some(pid) = open.pop() {
            if found.insert(pid) {
                open.extend(self.children_of(pid));
            }
        }
    }

    fn rows_of(&self, pids: BTreeSet<i32>) -> Vec<Row> {
        pids.iter().filter_map(|pid| self.rows.get(pid)).filter(|row| !row.ended).copied().collect()
    }
}

impl Row {
    /// Sends a signal to exactly this process; nothing happens when it is gone.
    pub fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        match process::pidfd_open(pid, PidfdFlags::empty()) {
            // The descriptor holds whichever process has the number now; only then is it certain which one that is.
            Ok(held) => {
                if row(self.pid).is_some_and(|now| now.started == self.started) {
                    let _ = process::pidfd_send_signal(held, signal);
                }
            }
            // Before Linux 5.3 there is no such descriptor.
            Err(rustix::io::Errno::NOSYS) => {
                if row(self.pid).is_some_and(|now| now.started == self.started) {
                    let _ = process::kill_process(pid, signal);
                }
            }
            Err(_) => {}
        }
    }

    /// The name of its program, for messages.
    pub fn name(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).map_or_else(|_| "?".to_owned(), |s| s.trim().to_owned())
    }
}

/// One process as it is now; none when it is gone.
pub(super) fn row(pid: i32) -> Option<Row> {
    // The kernel gives such a file whole to the first read that has room for it: at most some 400 bytes.
    let mut text = [0; 1024];
    let length = std::fs::File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text)).ok()?;
    // Its name may be anything.
    parse(pid, &String::from_utf8_lossy(&text[..length]))
}

/// From `/proc/PID/stat`.
fn parse(pid: i32, stat: &str) -> Option<Row> {
    // The name is in parentheses and may itself contain parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // A process whose first thread has ended is shown as a zombie while its other threads live: it has more than one thread
    // then.
    let ended = matches!(*fields.first()?, "Z" | "X" | "x") && number(17).is_none_or(|threads| threads <= 1);
    let signed = |at: usize| fields.get(at)?.parse::<i32>().ok();
    Some(Row { pid, parent: signed(1)?, group: signed(2)?, started: number(19).unwrap_or_default(), ended })
}

/// The marker of a process; none without one, or when its environment may not be read.
pub(super) fn marker_of(pid: i32) -> Option<String> {
    marker_in(&std::fs::read(format!("/proc/{pid}/environ")).ok()?)
}

/// All processes whose marker `is_ours`.
pub(super) fn marked(is_ours: impl Fn(&str) -> bool) -> Vec<Row> {
    let me = process::getpid().as_raw_nonzero().get();
    let all = Processes::read();
    let others = all.rows.values().filter(|row| row.pid != me && !row.ended);
    others.filter(|row| marker_of(row.pid).is_some_and(|marker| is_ours(&marker))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_whatever_it_calls_itself() {
        let mine = process::getpid().as_raw_nonzero().get();
        let before = row(mine).unwrap();
        std::fs::write("/proc/self/comm", b"\xff) Z 1").unwrap();
        assert_eq!(row(mine), Some(before));
    }

    /// `/proc/PID/stat` with this state, parent, group, number of threads and start.
    fn stat(state: &str, parent: i32, group: i32, threads: u32, started: u64) -> String {
        let between = "0 ".repeat(14);
        format!("7 (a) b) {state} {parent} {group} {between}{threads} 0 {started} 0")
    }

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        let expected = Row { pid: 7, parent: 3, group: 5, started: 99, ended: false };
        assert_eq!(parse(7, &stat("S", 3, 5, 1, 99)), Some(expected));
        assert_eq!(parse(7, "7 (x"), None);
    }

    #[test]
    fn a_zombie_is_gone_only_when_no_thread_is_left() {
        let ended = |state, threads| parse(7, &stat(state, 3, 5, threads, 1)).unwrap().ended;
        assert!(ended("Z", 1));
        assert!(ended("X", 0));
        assert!(!ended("Z", 2));
        assert!(!ended("S", 1));
    }

    #[test]
    fn the_field_of_the_kernel_is_the_one_that_is_read() {
        let me = process::getpid().as_raw_nonzero().get();
        let (here, behind) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || behind.recv());
        let text = std::fs::read_to_string(format!("/proc/{me}/stat")).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        let threads = std::fs::read_dir(format!("/proc/{me}/task")).unwrap().count();
        assert!(fields[17].parse::<usize>().unwrap().abs_diff(threads) <= 2, "{} {threads}", fields[17]);
        drop(here);
        let _ = thread.join();
        assert_eq!(row(me).unwrap().parent, process::getppid().unwrap().as_raw_nonzero().get());
    }

    #[test]
    fn a_tree_is_its_descendants_its_group_and_its_orphans() {
        let living = |pid, parent, group| Row { pid, parent, group, started: 1, ended: false };
        let ended = |pid, parent, group| Row { ended: true, ..living(pid, parent, group) };
        let rows = [
            living(10, 1, 10),
            living(11, 10, 10),
            living(12, 11, 12),
            living(13, 1, 10),
            living(14, 1, 14),
            living(15, 14, 14),
            living(16, 1, 16),
            ended(17, 1, 10),
        ];
        let processes = Processes::of(rows.into_iter());
        let pids = |rows: Vec<Row>| rows.iter().map(|row| row.pid).collect::<Vec<_>>();
        assert_eq!(pids(processes.tree(10, &[])), [10, 11, 12, 13]);
        assert_eq!(pids(processes.tree(10, &[14])), [10, 11, 12, 13, 14, 15]);
        assert_eq!(pids(processes.tree(17, &[])), [] as [i32; 0]);
        assert_eq!(pids(processes.descendants(1)), [10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(processes.ended_children(1).collect::<Vec<_>>(), [17]);
    }

    #[test]
    fn who_has_the_number_of_another_gets_no_signal_of_his() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pid = child.id() as i32;
        let found = row(pid).unwrap();
        Row { started: found.started - 1, ..found }.signal(Signal::KILL);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(child.try_wait().unwrap().is_none(), "a stranger was ended");
        found.signal(Signal::KILL);
        assert!(!child.wait().unwrap().success());
    }
}
