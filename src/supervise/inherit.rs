//! What runner, watcher and guard pass on when one starts the next: arguments, a descriptor, and signals that do not end
//! them.

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::io::FdFlags;

/// What watcher and guard are given on their command line, besides the hidden argument: the journal, and the descriptor that
/// holds its lock.
pub(super) fn arguments() -> Option<(PathBuf, OwnedFd)> {
    let mut arguments = std::env::args_os().skip(2);
    let journal = PathBuf::from(arguments.next()?);
    let number: i32 = arguments.next()?.to_str()?.parse().ok()?;
    // SAFETY: the runner left this descriptor open for us, and nothing else here knows of it.
    let lock = (number > 2).then(|| unsafe { OwnedFd::from_raw_fd(number) })?;
    // Processes that we start must not inherit it.
    rustix::io::fcntl_setfd(&lock, FdFlags::CLOEXEC).ok()?;
    Some((journal, lock))
}

/// A service manager that ends us sends its signal to all processes at once; we live as long as we are needed. A handler is
/// not inherited by a program, so whatever we start has the default signal handling.
pub(super) fn ignore_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM] {
        // SAFETY: the handler does nothing; zeros are a valid `sigaction`; the pointers are to live variables or null.
        unsafe {
            let mut before: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut before) == 0 && before.sa_sigaction == libc::SIG_DFL {
                let mut with: libc::sigaction = std::mem::zeroed();
                with.sa_sigaction = nothing as *const () as usize;
                with.sa_flags = libc::SA_RESTART;
                libc::sigaction(signal, &raw const with, std::ptr::null_mut());
            }
        }
    }
}

/// Keeps a descriptor open through the exec of what a command starts; it must outlive that.
pub(super) fn hand_down(command: &mut Command, fd: i32) {
    let before_exec = move || {
        // SAFETY: one system call on a number; a descriptor that is not open is rejected.
        match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec one system call is made.
    unsafe { command.pre_exec(before_exec) };
}
