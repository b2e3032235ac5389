//! Keeping out of the way: serving gets only the processor and disk time that no other process wants, and is killed first when
//! memory runs out.
//!
//! None of this needs privileges, and none of it is undone. If the system refuses something, pages are served anyway.

/// `IOPRIO_WHO_PROCESS`, and the class in which nothing is read or written while any other process does.
const PROCESS: libc::c_int = 1;
const IDLE: libc::c_int = 3 << 13;

/// Gives this process the lowest priority. It still has one thread, and what it starts later inherits this.
pub(super) fn stand_back() {
    // SAFETY: zeros are a valid parameter, whose priority must be 0 here; the pointer is valid for the whole call. The other
    // calls take only numbers.
    unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        if libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) != 0 {
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        }
        libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, IDLE);
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Closes every descriptor except the three that were meant for us: the parent may have others open.
pub(super) fn close_the_rest() {
    // SAFETY: this process has not opened anything itself yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
