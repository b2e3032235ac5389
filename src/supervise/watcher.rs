//! The watcher: parent of the guard, and what remains when the guard is killed.
//!
//! It is the runner's executable again, and only waits. Runner, watcher and guard are three processes of which any one
//! cleans up when the others are gone:
//!
//! | killed | cleans up |
//! |---|---|
//! | runner | the guard, whose socket is closed |
//! | guard, or guard and runner | the watcher, to which the guard's children fall as it is their next subreaper |
//! | watcher | nobody needs to yet; guard and runner continue |
//! | watcher and guard | the runner, which is a subreaper, too |
//! | watcher and runner | the guard |
//! | all three | the next start, by the run's journal and the marker in the environment of its processes |

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{self, Pid, PidfdFlags};

use super::{descendants, guard, inherit, journal};

/// The hidden argument with which the runner starts itself as watcher.
pub const ARGUMENT: &str = "__watcher";
/// A guard that has not ended this long after the runner hangs, and is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The whole life of the watcher. Standard input is the guard's end of the socket, standard output a pipe that is closed
/// when the runner ends.
pub fn main() -> ExitCode {
    let _ = rustix::thread::set_name(c"runner-watcher");
    inherit::ignore_signals();
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let Some((journal, lock)) = inherit::arguments() else { return ExitCode::FAILURE };
    let Ok(myself) = std::env::current_exe() else { return ExitCode::FAILURE };
    let Ok(runner) = std::io::stdout().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let number = lock.as_raw_fd();
    let mut command = Command::new(myself);
    command.arg(guard::ARGUMENT).arg(&journal).arg(number.to_string()).stdin(Stdio::inherit()).stdout(Stdio::null());
    inherit::hand_down(&mut command, number);
    let started = command.spawn();
    drop(command);
    // Only the guard may hold its end of the socket: the runner notices when it is closed.
    if let Ok(null) = std::fs::File::open("/dev/null") {
        // SAFETY: two numbers of open descriptors.
        let _ = unsafe { libc::dup2(null.as_raw_fd(), 0) };
    }
    if let Ok(child) = started {
        wait(child, &runner);
    }
    // Whatever is left of the guard's children has become ours.
    descendants::kill_all(descendants::reap_all);
    journal::clear(&journal);
    ExitCode::SUCCESS
}

/// Waits for the end of the guard. `runner`: a pipe into which nothing is written, so that the only event is its end.
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
