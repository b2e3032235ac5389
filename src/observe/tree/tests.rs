//! Real process trees, each gone at the end of its test.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

/// A shell script that has said `ready`. Its process group is killed when this is dropped.
pub(in super::super) struct Script {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Script {
    pub(in super::super) fn start(text: &str, marker: &str) -> Self {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("sh")
            .args(["-c", text])
            .env(vocabulary::marker::MARKER, marker)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let output = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut script = Script { child, output };
        script.wait_for("ready");
        script
    }

    pub(in super::super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(in super::super) fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        while line.trim() != word {
            line.clear();
            let read = self.output.read_line(&mut line).expect("the pipe is open");
            assert!(read > 0, "the script ended before it said `{word}`");
        }
    }

    pub(in super::super) fn kill(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.kill();
    }
}

const NESTED: &str = "sleep 30 & sh -c 'sleep 30 & echo ready; wait' & wait";

#[test]
fn a_nested_tree_is_found_parents_first() {
    let script = Script::start(NESTED, "tree/0");
    let found = descendants(script.pid());
    assert_eq!(found.len(), 3, "{found:?}");
    let member = members(script.pid(), None, "tree/0");
    assert_eq!(member[0], script.pid());
    assert_eq!(member[1..], found);
    // The grandchild is the one whose parent is the inner shell, and comes after it.
    let inner = found.iter().position(|pid| !descendants(*pid).is_empty());
    assert_eq!(descendants(found[inner.expect("the inner shell")]), [found[2]]);
}

#[test]
fn a_kernel_without_lists_of_children_gives_the_same_tree() {
    let script = Script::start(NESTED, "tree/1");
    let mut listed = descendants(script.pid());
    let mut scanned = ChildLookup::table().closure([script.pid()]);
    scanned.remove(0);
    listed.sort_unstable();
    scanned.sort_unstable();
    assert_eq!(listed, scanned);
}

#[test]
fn nothing_is_below_a_process_that_does_not_exist() {
    // Pids end at 2^22.
    assert!(descendants(u32::MAX).is_empty());
    assert!(members(u32::MAX, Some(u32::MAX), "tree/2").is_empty());
}

#[test]
fn an_orphan_belongs_to_the_replica_that_it_names() {
    // This test process acts as the guard that adopts orphans. Orphans of other tests come to it, too, and are left alone.
    let me = Some(std::process::id());
    rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).expect("it is allowed");
    let mine = "orphans/3";
    // The inner shell ends at once, so the sleep loses its parent; `cat` keeps the root alive until its end.
    let script = Script::start("sh -c 'sleep 30 & echo ready'; sleep 30", mine);
    let adopted = || {
        let orphans: Vec<u32> = members(u32::MAX, me, mine)
            .into_iter()
            .filter(|pid| *pid != script.pid())
            .filter(|pid| !descendants(script.pid()).contains(pid))
            .collect();
        (orphans.len() == 1).then(|| orphans[0])
    };
    let orphan = (0..100)
        .find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            adopted()
        })
        .expect("the orphan came to the subreaper");
    assert!(!descendants(script.pid()).contains(&orphan));
    assert!(members(script.pid(), me, mine).contains(&orphan));
    assert!(!members(script.pid(), None, mine).contains(&orphan));
    let others = members(script.pid(), me, "orphans/30");
    assert!(!others.contains(&orphan), "3 is not 30");
    drop(script);
    // The subreaper must reap what it adopted.
    let pid = rustix::process::Pid::from_raw(orphan.cast_signed());
    let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
}

#[test]
fn the_list_of_children_is_read_whatever_it_holds() {
    assert_eq!(pids("12 34 \n"), [12, 34]);
    assert_eq!(pids("12 x -3"), [12]);
    assert!(pids("").is_empty());
}
