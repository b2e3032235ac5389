//! The watcher: parent of the guard, and all that is left when the guard is killed.
//!
//! It is the runner's executable once more and does nothing but wait. Runner, watcher and guard are three processes of which any one clears up
//! when the others are gone:
//!
//! | killed | clears up |
//! |---|---|
//! | runner | the guard, whose socket is closed |
//! | guard, or guard and runner | the watcher, to which the guard's children fall as it is their next subreaper |
//! | watcher | nobody needs to yet; the guard and the runner go on |
//! | watcher and guard | the runner, which is a subreaper, too |
//! | watcher and runner | the guard |
//! | all three | the next start, by the run's journal and the marker in the environment of its processes |

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::FdFlags;
use rustix::process::{self, Pid, PidfdFlags};

use super::{guard, journal};

/// The hidden argument with which the runner starts itself as watcher.
pub const ARGUMENT: &str = "__watcher";
/// A guard that has not ended so long after the runner hangs, and is ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// What watcher and guard are given on their command line, besides what they are called: the journal, and the descriptor
/// that holds its lock.
pub(super) fn arguments() -> Option<(PathBuf, OwnedFd)> {
    let mut arguments = std::env::args_os().skip(2);
    let journal = PathBuf::from(arguments.next()?);
    let number: i32 = arguments.next()?.to_str()?.parse().ok()?;
    // SAFETY: the runner left this descriptor open for us, and nothing else here knows of it.
    let lock = (number > 2).then(|| unsafe { OwnedFd::from_raw_fd(number) })?;
    // What we start has nothing to do with it.
    rustix::io::fcntl_setfd(&lock, FdFlags::CLOEXEC).ok()?;
    Some((journal, lock))
}

/// A service manager that ends us sends its signal to everybody at once; we live as long as we are needed. What a program
/// inherits is not a handler, so whatever we start has the signals as they were.
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

/// Lets a descriptor live through the exec of what a command starts; it must outlive that.
pub(super) fn hand_down(command: &mut Command, fd: i32) {
    let before_exec = move || {
        // SAFETY: one system call on a number; a descriptor that is not open is refused.
        match unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec one system call is made.
    unsafe { command.pre_exec(before_exec) };
}

/// The whole life of the watcher. Standard input is the guard's end of the socket, standard output a pipe that is closed with
/// the runner.
pub fn main() -> ExitCode {
    let _ = rustix::thread::set_name(c"runner-watcher");
    ignore_signals();
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let Some((journal, lock)) = arguments() else { return ExitCode::FAILURE };
    let Ok(myself) = std::env::current_exe() else { return ExitCode::FAILURE };
    let Ok(runner) = std::io::stdout().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let number = lock.as_raw_fd();
    let mut command = Command::new(myself);
    command.arg(guard::ARGUMENT).arg(&journal).arg(number.to_string()).stdin(Stdio::inherit()).stdout(Stdio::null());
    hand_down(&mut command, number);
    let started = command.spawn();
    drop(command);
    // The guard's end of the socket must be held by nobody else: its closing is what the runner notices.
    if let Ok(null) = std::fs::File::open("/dev/null") {
        // SAFETY: two numbers of open descriptors.
        let _ = unsafe { libc::dup2(null.as_raw_fd(), 0) };
    }
    if let Ok(child) = started {
        wait(child, &runner);
    }
    // Whatever is left of the guard's children has fallen to us.
    guard::kill_descendants(guard::reap_all);
    journal::clear(&journal);
    ExitCode::SUCCESS
}

/// Waits for the end of the guard. `runner`: a pipe into which nothing is written, so that all that can happen to it is its end.
fn wait(mut guard: Child, runner: &OwnedFd) {
    let held = Pid::from_raw(guard.id() as i32).and_then(|pid| process::pidfd_open(pid, PidfdFlags::empty()).ok());
    let mut alone: Option<Instant> = None;
    while matches!(guard.try_wait(), Ok(None)) {
        let mut fds: Vec<PollFd<'_>> = held.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        if alone.is_none() {
            fds.push(PollFd::new(runner, PollFlags::empty()));
        }
        let pause = Duration::from_millis(500).try_into().ok();
        let _ = poll(&mut fds, pause.as_ref());
        let is_closed = fds.last().is_some_and(|fd| fd.revents().intersects(PollFlags::ERR | PollFlags::HUP));
        if alone.is_none() && is_closed {
            alone = Some(Instant::now());
        }
        if alone.is_some_and(|since| since.elapsed() > PATIENCE) {
            let _ = guard.kill();
        }
    }
}
