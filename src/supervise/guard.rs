//! The guard process: starts, reaps and stops processes on the runner's request, and cleans up when the runner is gone.
//!
//! It is the runner's executable, started again by the `watcher` with [`ARGUMENT`] and a socket as standard input; its own
//! session keeps the terminal's Ctrl-C away. One thread, one `poll`. It sends nothing but [`Event`]s, and all its decisions
//! come from `lifecycle`.
//!
//! The leader of a replica is not reaped before its stop is complete: as long as it is a zombie, no other process can get
//! its number or that of its group, and signals to them reach no stranger.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{self, Pid, PidfdFlags, Signal};

use super::lifecycle::{Action, Stopping};
use super::processes::{Processes, Row, marker_of};
use super::protocol::{Event, Exit, Request};
use super::{descendants, inherit, journal, spawn};
use vocabulary::marker::MARKER;

/// The hidden argument with which the watcher starts the guard.
pub const ARGUMENT: &str = "__guard";

/// How often a tree is looked at that gets a signal.
const SIGNALS: usize = 10;

/// A process that was started.
struct Ward {
    /// Its leader; not reaped before it is removed.
    pid: Pid,
    /// None once the leader has ended.
    pidfd: Option<OwnedFd>,
    marker: String,
    signal: i32,
    exited: bool,
    /// Whether it stands still, on request.
    paused: bool,
    stopping: Option<Stopping>,
}

impl Ward {
    fn raw(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

struct State {
    socket: UnixStream,
    wards: BTreeMap<u64, Ward>,
    /// Markers of orphans, by pid and start.
    orphans: BTreeMap<(i32, u64), String>,
    input: Vec<u8>,
}

/// The whole life of the guard; returns when the runner is gone and nothing is left.
pub fn main() -> ExitCode {
    // The name under which it appears in `ps`.
    let _ = rustix::thread::set_name(c"runner-guard");
    inherit::ignore_signals();
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let Some((journal, _lock)) = inherit::arguments() else { return ExitCode::FAILURE };
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let socket = UnixStream::from(socket);
    let _ = socket.set_nonblocking(true);
    let mut state = State { socket, wards: BTreeMap::new(), orphans: BTreeMap::new(), input: Vec::new() };
    state.say(&Event::Ready { pid: std::process::id() });
    while state.turn() {}
    state.kill_all(&[]);
    journal::clear(&journal);
    ExitCode::SUCCESS
}

impl State {
    /// One turn of the loop; `false` when the runner is gone.
    fn turn(&mut self) -> bool {
        let timeout = self.advance();
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        fds.extend(self.wards.values().filter_map(|w| w.pidfd.as_ref()).map(|fd| PollFd::new(fd, PollFlags::IN)));
        let timeout = timeout.try_into().ok();
        let _ = poll(&mut fds, timeout.as_ref());
        self.notice_exits();
        self.reap_orphans();
        self.read()
    }

    /// Takes the next step for every process that is being stopped; returns the time until the next one is due.
    fn advance(&mut self) -> Duration {
        // Orphans that end without a pidfd of ours are reaped at least this often.
        let mut timeout = Duration::from_millis(500);
        if self.wards.values().all(|w| w.stopping.is_none()) {
            return timeout;
        }
        // One look for all, with the time at which it was taken: what was true then counts, whatever the clock says when the
        // last process has its turn.
        let looked = Instant::now();
        let processes = Processes::read();
        let orphans = self.orphans_by_marker(&processes);
        let mut done = Vec::new();
        for (id, ward) in &mut self.wards {
            let leader = ward.raw();
            let Some(stopping) = &mut ward.stopping else { continue };
            let tree = processes.tree(leader, orphans.get(&ward.marker).map_or(&[] as &[i32], Vec::as_slice));
            let alive = !ward.exited || !tree.is_empty();
            match stopping.next(looked, alive) {
                Action::Signal => {
                    if let Some(signal) = Signal::from_named_raw(ward.signal) {
                        end(ward.pid, signal, tree.iter().filter(|row| row.group != leader));
                        // Who stands still would not notice.
                        if std::mem::take(&mut ward.paused) {
                            end(ward.pid, Signal::CONT, tree.iter().filter(|row| row.group != leader));
                        }
                    }
                    stopping.signalled(Instant::now());
                    timeout = timeout.min(Duration::from_millis(5));
                }
                Action::Kill => {
                    end(ward.pid, Signal::KILL, tree.iter());
                    timeout = timeout.min(Duration::from_millis(5));
                }
                Action::Wait(time) => timeout = timeout.min(time),
                Action::Done { killed } => done.push((*id, killed)),
            }
        }
        for (id, killed) in done {
            if let Some(ward) = self.wards.remove(&id) {
                // Only now its number is free for other processes.
                reap(ward.raw());
            }
            self.say(&Event::Stopped { id, killed });
        }
        timeout
    }

    /// Living children that the guard did not start, by their marker: a process that loses its parent becomes our child.
    fn orphans_by_marker(&mut self, processes: &Processes) -> BTreeMap<String, Vec<i32>> {
        let leaders: BTreeSet<i32> = self.wards.values().map(Ward::raw).collect();
        let mut found: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        let mut known = BTreeMap::new();
        for pid in processes.children_of(descendants::own_pid()).iter().filter(|pid| !leaders.contains(pid)) {
            let Some(now) = processes.get(*pid) else { continue };
            let key = (*pid, now.started);
            let marker = self.orphans.remove(&key).or_else(|| marker_of(*pid)).unwrap_or_default();
            // A process without a marker may belong to any replica, so it is killed at the end, with everything else.
            if !marker.is_empty() {
                found.entry(marker.clone()).or_default().push(*pid);
            }
            known.insert(key, marker);
        }
        self.orphans = known;
        found
    }

    /// Reports leaders that have ended, and leaves them unreaped.
    fn notice_exits(&mut self) {
        let mut ended = Vec::new();
        for (id, ward) in self.wards.iter_mut().filter(|(_, w)| !w.exited) {
            if let Some((exit, cpu_ns)) = look_at_end(ward.raw()) {
                ward.exited = true;
                ward.pidfd = None;
                ended.push(Event::Exited { id: *id, exit, cpu_ns });
            }
        }
        ended.iter().for_each(|event| self.say(event));
    }

    /// Reaps children that the guard did not start.
    fn reap_orphans(&self) {
        for pid in children() {
            if !self.wards.values().any(|w| w.raw() == pid) {
                reap(pid);
            }
        }
    }

    /// Reads and handles the runner's requests; `false` when the runner is gone.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let open = loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => break false,
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break true,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
        };
        while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            // The last requests of a runner that is gone no longer start anything.
            if open && let Ok(request) = serde_json::from_slice(&line) {
                self.handle(request);
            }
        }
        open
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Spawn(asked) => {
                let id = asked.id;
                match spawn::spawn(&asked) {
                    Ok(pid) => {
                        let marker = asked.env.into_iter().rev().find(|(k, _)| k == MARKER).map(|(_, v)| v).unwrap_or_default();
                        let ward = Ward {
                            pid,
                            pidfd: process::pidfd_open(pid, PidfdFlags::empty()).ok(),
                            marker,
                            signal: Signal::TERM.as_raw(),
                            exited: false,
                            paused: false,
                            stopping: None,
                        };
                        let pid = ward.raw() as u32;
                        self.wards.insert(id, ward);
                        self.say(&Event::Started { id, pid });
                    }
                    Err(error) => self.say(&Event::Failed { id, reason: error.to_string() }),
                }
            }
            Request::Stop { id, signal, grace_ms } => match self.wards.get_mut(&id) {
                Some(ward) => {
                    ward.signal = signal;
                    ward.stopping = Some(Stopping::new(Duration::from_millis(grace_ms)));
                }
                None => self.say(&Event::Stopped { id, killed: false }),
            },
            Request::Signal { id, signal, whole } => {
                self.signal(id, signal, whole);
                self.say(&Event::Signalled);
            }
            Request::Sweep { spared } => {
                let left = self.kill_all(&spared);
                self.say(&Event::Swept { left });
            }
        }
    }

    /// Sends a signal to a leader or to its whole tree. A tree that is to stand still is looked at until it no longer grows.
    fn signal(&mut self, id: u64, number: i32, whole: bool) {
        let Some(signal) = Signal::from_named_raw(number) else { return };
        let Some(leader) = self.wards.get(&id).map(|ward| ward.pid) else { return };
        if !whole {
            // Its number is reserved as long as it is not reaped.
            let _ = process::kill_process(leader, signal);
            return;
        }
        let mut told = BTreeSet::new();
        for _ in 0..SIGNALS {
            let processes = Processes::read();
            let orphans = self.orphans_by_marker(&processes);
            let Some(ward) = self.wards.get_mut(&id) else { return };
            let tree = processes.tree(ward.raw(), orphans.get(&ward.marker).map_or(&[] as &[i32], Vec::as_slice));
            ward.paused = signal == Signal::STOP;
            let fresh: Vec<&Row> = tree.iter().filter(|row| told.insert((row.pid, row.started))).collect();
            if fresh.is_empty() {
                return;
            }
            fresh.iter().for_each(|row| row.signal(signal));
        }
    }

    fn say(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("an event is always JSON");
        line.push(b'\n');
        // The socket does not block; a runner that reads nothing for that long counts as gone.
        let mut rest = line.as_slice();
        for _ in 0..1000 {
            match self.socket.write(rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Kills every descendant, except those that are `spared` and their trees, until none is left; returns those that
    /// existed.
    fn kill_all(&mut self, spared: &[u64]) -> Vec<(u32, String)> {
        // Leaders stay unreaped, and their numbers so reserved, until everything is dead.
        let found = descendants::kill(|| {
            self.reap_orphans();
            let processes = Processes::read();
            let spared = self.trees(&processes, spared);
            let all = processes.descendants(descendants::own_pid());
            all.into_iter().filter(|row| !spared.contains(&row.pid)).collect()
        });
        if spared.is_empty() {
            self.orphans.clear();
        }
        self.notice_exits();
        let gone: Vec<u64> = self.wards.keys().copied().filter(|id| !spared.contains(id)).collect();
        for ward in gone.iter().filter_map(|id| self.wards.remove(id)) {
            reap(ward.raw());
        }
        found
    }

    /// Processes of the trees of these wards.
    fn trees(&mut self, processes: &Processes, ids: &[u64]) -> BTreeSet<i32> {
        if ids.is_empty() {
            return BTreeSet::new();
        }
        let orphans = self.orphans_by_marker(processes);
        let wards = self.wards.iter().filter(|(id, _)| ids.contains(id)).map(|(_, ward)| ward);
        let tree = |ward: &Ward| processes.tree(ward.raw(), orphans.get(&ward.marker).map_or(&[] as &[i32], Vec::as_slice));
        wards.flat_map(tree).map(|row| row.pid).collect()
    }
}

/// Sends a signal to a group whose leader is ours and not reaped, and to other processes.
fn end<'r>(leader: Pid, signal: Signal, others: impl Iterator<Item = &'r Row>) {
    let _ = process::kill_process_group(leader, signal);
    // Processes that have left the group, as daemons do, would otherwise wait for the whole grace and then be killed.
    others.for_each(|row| row.signal(signal));
}

/// Children of this process, which has one thread; including those that have ended.
fn children() -> Vec<i32> {
    let me = descendants::own_pid();
    match std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        // Not every kernel has this list.
        Err(_) => Processes::read().ended_children(me).collect(),
    }
}

/// Reaps one child, if it has ended.
fn reap(pid: i32) {
    // SAFETY: no pointer is given.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
}

/// How a child ended, and the processor time of it and of all children that it waited for; none while it lives. The child is
/// not reaped.
fn look_at_end(pid: i32) -> Option<(Exit, u64)> {
    // SAFETY: zeros are valid for both; the pointers are valid for the whole call. The C library's `waitid` leaves out the
    // usage; the kernel's does not.
    let (found, info, usage) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let mut usage: libc::rusage = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let found = libc::syscall(libc::SYS_waitid, libc::P_PID, pid, &raw mut info, options, &raw mut usage);
        (found, info, usage)
    };
    // SAFETY: after a success these fields are what the call wrote, or zero.
    let (who, status) = unsafe { (info.si_pid(), info.si_status()) };
    if found != 0 || who != pid {
        return None;
    }
    let nanos = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    let exit = if info.si_code == libc::CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) };
    Some((exit, nanos(usage.ru_utime) + nanos(usage.ru_stime)))
}
