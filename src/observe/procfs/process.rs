//! `/proc/PID/{stat,smaps_rollup,status,io}`.

use super::{entry, number, whole_fields, whole_lines};

/// The content of `/proc/PID/stat`; times are in clock ticks, normally 10 ms each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `R`, `S`, `D`, `Z`, …
    pub state: char,
    /// The parent's pid; 0 when it is outside this pid namespace.
    pub ppid: u32,
    /// The process group; -1 while a process is being taken apart.
    pub pgrp: i32,
    /// Ticks in user mode, all threads, ended ones included.
    pub user_ticks: u64,
    /// Ticks in kernel mode, all threads, ended ones included.
    pub system_ticks: u64,
    /// User ticks of children that ended and were waited for, and of their children.
    pub waited_user_ticks: u64,
    /// Kernel ticks of children that ended and were waited for, and of their children.
    pub waited_system_ticks: u64,
    /// Threads that are alive.
    pub threads: u64,
    /// Ticks from boot to the start of the process: together with the pid it identifies a process for good.
    pub start_ticks: u64,
    /// Resident pages. The kernel adds per-core counters lazily, so this may be some dozen pages off.
    pub rss_pages: u64,
}

impl Stat {
    /// Whether the process has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Reads `/proc/PID/stat`. The command's name may contain blanks and parentheses, so fields are counted from the last `)`.
pub fn stat(text: &[u8]) -> Option<Stat> {
    let name_end = text.iter().rposition(|byte| *byte == b')')?;
    let mut fields = whole_fields(&text[name_end + 1..]);
    let mut field = |skipped: usize| fields.nth(skipped);
    let state = *field(0)?.first()?;
    // The kernel prints waited-for times and the resident size as signed numbers, though they are never below 0.
    let unsigned = |text| number::<i64>(text)?.try_into().ok();
    Some(Stat {
        state: char::from(state),
        ppid: number(field(0)?)?,
        pgrp: number(field(0)?)?,
        user_ticks: number(field(8)?)?,
        system_ticks: number(field(0)?)?,
        waited_user_ticks: unsigned(field(0)?)?,
        waited_system_ticks: unsigned(field(0)?)?,
        threads: number(field(2)?)?,
        start_ticks: number(field(1)?)?,
        rss_pages: unsigned(field(1)?)?,
    })
}

/// The content of `/proc/PID/smaps_rollup`: memory, shared and not shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident memory, shared pages included.
    pub rss_bytes: u64,
    /// Resident memory, each page divided by the number of processes that map it, so that sums over processes are correct.
    pub pss_bytes: u64,
    /// Unwritten pages that nobody else maps.
    pub private_clean_bytes: u64,
    /// Written pages that nobody else maps.
    pub private_dirty_bytes: u64,
}

/// Reads `/proc/PID/smaps_rollup`.
pub fn smaps_rollup(text: &[u8]) -> Option<Memory> {
    let (mut rss, mut pss, mut clean, mut dirty) = (None, None, None, None);
    for (key, value) in whole_lines(text).filter_map(entry) {
        match key {
            b"Rss" => rss = Some(value),
            b"Pss" => pss = Some(value),
            b"Private_Clean" => clean = Some(value),
            b"Private_Dirty" => dirty = Some(value),
            _ => {}
        }
    }
    Some(Memory { rss_bytes: rss?, pss_bytes: pss?, private_clean_bytes: clean?, private_dirty_bytes: dirty? })
}

/// The content of `/proc/PID/status` or `/proc/PID/task/TID/status`. The switches are those of one thread: the file of a
/// process shows its first thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// `VmHWM`, the most that was ever resident; `None` without memory, as for a zombie. Restarts at `exec`.
    pub peak_rss_bytes: Option<u64>,
    /// How often the thread gave up its core to wait.
    pub voluntary_switches: u64,
    /// How often the thread was taken from its core.
    pub involuntary_switches: u64,
}

/// Reads `/proc/PID/status`.
pub fn status(text: &[u8]) -> Option<Status> {
    let (mut peak, mut voluntary, mut involuntary) = (None, None, None);
    for line in whole_lines(text) {
        // Most of the more than fifty lines are not needed: look at the first letter before anything else.
        if !matches!(line.first(), Some(b'V' | b'v' | b'n')) {
            continue;
        }
        match entry(line) {
            Some((b"VmHWM", value)) => peak = Some(value),
            Some((b"voluntary_ctxt_switches", value)) => voluntary = Some(value),
            Some((b"nonvoluntary_ctxt_switches", value)) => involuntary = Some(value),
            _ => {}
        }
    }
    Some(Status { peak_rss_bytes: peak, voluntary_switches: voluntary?, involuntary_switches: involuntary? })
}

/// What `/proc/PID/io` contains about storage (not about sockets, pipes or the page cache).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Io {
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes that are meant to go to storage.
    pub written_bytes: u64,
}

/// Reads `/proc/PID/io`. The kernel includes children that were waited for.
pub fn io(text: &[u8]) -> Option<Io> {
    let (mut read, mut written) = (None, None);
    for (key, value) in whole_lines(text).filter_map(entry) {
        match key {
            b"read_bytes" => read = Some(value),
            b"write_bytes" => written = Some(value),
            _ => {}
        }
    }
    Some(Io { read_bytes: read?, written_bytes: written? })
}

#[cfg(test)]
mod tests {
    use super::{super::assert_cut_text_gives_nothing_or_the_same as assert_cuts, *};

    const STAT: &[u8] =
        b"4321 (a b) (c) S 17 4320 4300 0 -1 4194560 900 800 7 6 125 34 56 78 20 0 9 0 123456 1000000 2048 18446744073709551615 1 1 0\n";

    #[test]
    fn stat_with_blanks_and_parentheses_in_the_name() {
        assert_eq!(
            stat(STAT),
            Some(Stat {
                state: 'S',
                ppid: 17,
                pgrp: 4320,
                user_ticks: 125,
                system_ticks: 34,
                waited_user_ticks: 56,
                waited_system_ticks: 78,
                threads: 9,
                start_ticks: 123_456,
                rss_pages: 2048,
            })
        );
        let mut odd = STAT.to_vec();
        odd[7] = 0xff;
        assert_eq!(stat(&odd), stat(STAT), "a name need not be UTF-8");
    }

    #[test]
    fn stat_of_a_zombie() {
        let zombie = b"9 (sh) Z 1 9 9 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0 18446744073709551615 0\n";
        assert!(stat(zombie).is_some_and(|stat| stat.is_zombie() && stat.rss_pages == 0));
    }

    #[test]
    fn malformed_text_gives_none() {
        for text in [&b""[..], b"1", b"1 (x", b"1 (x)", b"1 (x) S", b"1 (x) S a b c", b")))((("] {
            assert_eq!(stat(text), None);
        }
        assert_eq!(smaps_rollup(b"Rss: 12 kB\nPss: many kB\n"), None);
        assert_eq!(status(b"Name:\tx\nVmHWM:\t1 kB\n"), None);
        assert_eq!(io(b"read_bytes: -1\nwrite_bytes: 0\n"), None);
    }

    const ROLLUP: &[u8] = b"561bbfbff000-7ffd663e8000 ---p 00000000 00:00 0      [rollup]\n\
        Rss:                1640 kB\nPss:                 283 kB\nPss_Dirty:           112 kB\n\
        Private_Clean:        48 kB\nPrivate_Dirty:       112 kB\nLocked:                0 kB\n";

    #[test]
    fn rollup_in_bytes() {
        assert_eq!(
            smaps_rollup(ROLLUP),
            Some(Memory {
                rss_bytes: 1640 * 1024,
                pss_bytes: 283 * 1024,
                private_clean_bytes: 48 * 1024,
                private_dirty_bytes: 112 * 1024,
            })
        );
    }

    const STATUS: &[u8] = b"Name:\tsl eep\nVmPeak:\t 9 kB\nVmHWM:\t    1820 kB\nThreads:\t1\n\
        voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";

    #[test]
    fn status_with_and_without_memory() {
        let expected = Status { peak_rss_bytes: Some(1820 * 1024), voluntary_switches: 12, involuntary_switches: 3 };
        assert_eq!(status(STATUS), Some(expected));
        let zombie = b"Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(status(zombie), Some(Status { peak_rss_bytes: None, ..expected }));
    }

    const IO: &[u8] = b"rchar: 6976\nwchar: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n";

    #[test]
    fn io_of_storage_only() {
        assert_eq!(io(IO), Some(Io { read_bytes: 4096, written_bytes: 8192 }));
    }

    #[test]
    fn cut_text_gives_nothing_or_the_same() {
        assert_cuts(STAT, stat);
        assert_cuts(ROLLUP, smaps_rollup);
        assert_cuts(STATUS, status);
        assert_cuts(IO, io);
    }
}
