//! Standing back: serving gets what nobody else wants of processors and disks, and is the first to go when memory runs out.
//!
//! None of it needs rights, and none of it is undone. What the system refuses is left as it is: pages are served anyway.

/// `IOPRIO_WHO_PROCESS`, and the class in which nothing is read or written while anybody else does.
const PROCESS: libc::c_int = 1;
const IDLE: libc::c_int = 3 << 13;

/// Puts this process behind all others. It has one thread still, and what it starts later inherits this.
pub(super) fn stand_back() {
    // SAFETY: zeros are a valid parameter, whose priority must be 0 here; the pointer is valid for the whole call. The others take numbers
    // only.
    unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        if libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        }
        libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, IDLE);
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Closes every descriptor but the three that were meant for us: whoever started this process may have others open.
pub(super) fn close_the_rest() {
    // SAFETY: this process has opened nothing by itself yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
