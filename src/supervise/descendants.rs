//! Ending all descendants of a process; whichever of runner, watcher and guard outlives the others does it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{self, Signal};

use super::processes::{Processes, Row};

/// Kills every descendant of this process until none is left, or for 10 s; returns those that existed.
pub(super) fn kill_all(mut reap: impl FnMut()) -> Vec<(u32, String)> {
    kill(|| {
        reap();
        Processes::read().descendants(own_pid())
    })
}

/// Kills every process that `look` finds until it finds none, or for 10 s; returns those that existed.
pub(super) fn kill(mut look: impl FnMut() -> Vec<Row>) -> Vec<(u32, String)> {
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    // One look takes time, and a process that loses its parent meanwhile may be missed: two looks in a row must find
    // nothing.
    let mut empty = 0;
    while empty < 2 && Instant::now() < deadline {
        let left = look();
        empty = if left.is_empty() { empty + 1 } else { 0 };
        for row in &left {
            found.entry(row.pid as u32).or_insert_with(|| row.name());
            row.signal(Signal::KILL);
        }
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    found.into_iter().collect()
}

/// Reaps all children that have ended.
pub(super) fn reap_all() {
    // SAFETY: no pointer is given.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// The id of this process.
pub(super) fn own_pid() -> i32 {
    process::getpid().as_raw_nonzero().get()
}
