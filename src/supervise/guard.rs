//! The guard process: starts, reaps and stops what the runner asks for, and clears up when the runner is gone.
//!
//! It is the runner's executable, started again with [`ARGUMENT`] and a socket as standard input; a session of
//! its own keeps the terminal's Ctrl-C away. One thread, one `poll`. It says nothing but [`Event`]s and decides
//! nothing but what `lifecycle` tells it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{self, Pid, PidfdFlags, Signal};

use super::lifecycle::{Action, Stopping};
use super::protocol::{Event, Exit, MARKER, Request, Spawn};

/// The hidden argument with which the runner starts itself as guard.
pub const ARGUMENT: &str = "__guard";

/// A process that was started.
struct Ward {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    marker: String,
    signal: i32,
    exited: bool,
    stopping: Option<Stopping>,
}

struct State {
    socket: UnixStream,
    wards: BTreeMap<u64, Ward>,
    scratch: Vec<PathBuf>,
    /// Commands that undo what is not a process of ours, such as containers.
    undo: Vec<Vec<String>>,
    input: Vec<u8>,
}

/// The whole life of the guard; returns when the runner is gone and nothing is left.
pub fn main() -> ExitCode {
    // The name under which it appears in `ps`.
    let _ = rustix::thread::set_name(c"runner-guard");
    let _ = process::set_child_subreaper(Some(process::getpid()));
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().expect("standard input is open"));
    let _ = socket.set_nonblocking(true);
    let mut state = State { socket, wards: BTreeMap::new(), scratch: Vec::new(), undo: Vec::new(), input: Vec::new() };
    while state.turn() {}
    state.clear_up();
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
        self.reap();
        self.read()
    }

    /// Moves every process that is being stopped; returns how long nothing needs to be done.
    fn advance(&mut self) -> Duration {
        // Orphans that end without a pidfd of ours are reaped at least so often.
        let mut timeout = Duration::from_millis(500);
        if self.wards.values().all(|w| w.stopping.is_none()) {
            return timeout;
        }
        let mut processes = Processes::read();
        let now = Instant::now();
        let mut done = Vec::new();
        for (id, ward) in &mut self.wards {
            let Some(stopping) = &mut ward.stopping else { continue };
            loop {
                let tree = processes.tree(ward.pid, &ward.marker);
                let alive = !ward.exited || !tree.is_empty();
                match stopping.next(now, alive) {
                    Action::Signal => {
                        if let Some(signal) = Signal::from_named_raw(ward.signal) {
                            let _ = process::kill_process_group(ward.pid, signal);
                            // What has left the group, as daemons do, would wait for the whole grace and then be killed.
                            for pid in tree.into_iter().filter(|pid| !processes.is_in_group(*pid, ward.pid)) {
                                let _ = process::kill_process(pid, signal);
                            }
                        }
                    }
                    Action::Kill => {
                        let _ = process::kill_process_group(ward.pid, Signal::KILL);
                        for pid in tree {
                            let _ = process::kill_process(pid, Signal::KILL);
                        }
                        processes = Processes::read();
                    }
                    Action::Wait(time) => {
                        timeout = timeout.min(time);
                        break;
                    }
                    Action::Done { killed } => {
                        done.push((*id, killed));
                        break;
                    }
                }
            }
        }
        for (id, killed) in done {
            self.wards.remove(&id);
            self.say(&Event::Stopped { id, killed });
        }
        timeout
    }

    fn reap(&mut self) {
        while let Some((pid, exit, cpu_ns)) = wait_any() {
            let ward = self.wards.iter_mut().find(|(_, w)| w.pid == pid);
            if let (Some(exit), Some((id, ward))) = (exit, ward) {
                ward.exited = true;
                ward.pidfd = None;
                let id = *id;
                self.say(&Event::Exited { id, exit, cpu_ns });
            }
        }
    }

    /// Reads and handles what the runner has said; `false` when it is gone.
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
        // Also the last words of a runner that is gone: they may name a directory to remove.
        while let Some(end) = self.input.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            if let Ok(request) = serde_json::from_slice(&line) {
                self.handle(request);
            }
        }
        open
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Spawn(spawn) => {
                let id = spawn.id;
                match start(&spawn) {
                    Ok(ward) => {
                        let pid = ward.pid.as_raw_nonzero().get() as u32;
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
            Request::Sweep => {
                let left = self.kill_all();
                self.say(&Event::Swept { left });
            }
            Request::Adopt(path) => self.scratch.push(path),
            Request::Release(path) => self.scratch.retain(|p| *p != path),
            Request::Undo(argv) => self.undo.push(argv),
            Request::Done(argv) => self.undo.retain(|a| *a != argv),
        }
    }

    fn say(&mut self, event: &Event) {
        let mut line = serde_json::to_vec(event).expect("an event is always JSON");
        line.push(b'\n');
        // The socket does not block; a runner that reads nothing for so long is as good as gone.
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

    /// Kills every descendant until none is left; returns those that were there.
    fn kill_all(&mut self) -> Vec<(u32, String)> {
        let found = kill_descendants(|| self.reap());
        self.wards.clear();
        found
    }

    fn clear_up(&mut self) {
        self.kill_all();
        for argv in &self.undo {
            if let Some((program, args)) = argv.split_first() {
                let mut command = Command::new(program);
                command.args(args).stdin(std::process::Stdio::null());
                command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
                let _ = command.status();
            }
        }
        // What was made last may lie inside of what was made before.
        self.scratch.iter().rev().for_each(|path| remove(path));
    }
}

/// Removes a directory with all that is in it, a mount if it is one, or a mounted file, as network namespaces are.
pub fn remove(path: &Path) {
    let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
    if std::fs::remove_file(path).is_err() {
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Kills every descendant of this process until none is left, or for 10 s; returns those that were there.
pub(super) fn kill_descendants(mut reap: impl FnMut()) -> Vec<(u32, String)> {
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    // One look takes time, and whoever loses its parent meanwhile is seen nowhere in it: two must find nothing.
    let mut empty = 0;
    while empty < 2 && Instant::now() < deadline {
        reap();
        let left = Processes::read().descendants(process::getpid());
        empty = if left.is_empty() { empty + 1 } else { 0 };
        for pid in &left {
            let raw = pid.as_raw_nonzero().get() as u32;
            found.entry(raw).or_insert_with(|| name_of(raw));
            let _ = process::kill_process(*pid, Signal::KILL);
        }
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    found.into_iter().collect()
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(|_| "?".to_owned(), |s| s.trim().to_owned())
}

fn start(spawn: &Spawn) -> std::io::Result<Ward> {
    let (program, args) = spawn.argv.split_first().ok_or_else(|| std::io::Error::other("an empty command"))?;
    let open = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path);
    let guard = process::getpid();
    let cpus = spawn.cpus.clone();
    let open_namespace = |path: &PathBuf| {
        let named = |e: std::io::Error| std::io::Error::new(e.kind(), format!("network namespace {}: {e}", path.display()));
        std::fs::File::open(path).map_err(named)
    };
    let namespace = spawn.namespace.as_ref().map(open_namespace).transpose()?;
    let mut command = Command::new(program);
    command
        .args(args)
        .envs(spawn.env.iter().map(|(k, v)| (k, v)))
        .stdin(std::process::Stdio::null())
        .stdout(open(&spawn.stdout)?)
        .stderr(open(&spawn.stderr)?)
        .process_group(0);
    if let Some(dir) = &spawn.dir {
        command.current_dir(dir);
    }
    let before_exec = move || {
        // Should the guard itself be killed, at least its direct children end with it.
        process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if process::getppid() != Some(guard) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        if let Some(namespace) = &namespace {
            enter(namespace)?;
        }
        if !cpus.is_empty() {
            let mut set = rustix::thread::CpuSet::new();
            for cpu in &cpus {
                if (*cpu as usize) < rustix::thread::CpuSet::MAX_CPU {
                    set.set(*cpu as usize);
                }
            }
            rustix::thread::sched_setaffinity(None, &set)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; the one allocation-free loop touches the stack.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn()?;
    let pid = Pid::from_raw(child.id() as i32).expect("a child's process id is not zero");
    let marker = spawn.env.iter().find(|(k, _)| k == MARKER).map(|(_, v)| format!("{MARKER}={v}")).unwrap_or_default();
    // The child is reaped by `State::reap`; dropping `child` neither waits for it nor ends it.
    Ok(Ward {
        pid,
        pidfd: process::pidfd_open(pid, PidfdFlags::empty()).ok(),
        marker,
        signal: Signal::TERM.as_raw(),
        exited: false,
        stopping: None,
    })
}

/// Moves the calling thread into a network namespace: one system call.
pub(super) fn enter(namespace: &std::fs::File) -> std::io::Result<()> {
    let kind = rustix::thread::LinkNameSpaceType::Network;
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?)
}

/// Who is whose child, as one look at `/proc` shows it. Zombies do not count.
struct Processes {
    /// pid, parent, process group
    rows: Vec<(i32, i32, i32)>,
}

impl Processes {
    fn read() -> Self {
        let mut rows = Vec::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat"))
                && let Some((parent, group)) = parent_and_group(&stat)
            {
                rows.push((pid, parent, group));
            }
        }
        Self { rows }
    }

    fn descendants(&self, root: Pid) -> Vec<Pid> {
        let mut known = vec![root.as_raw_nonzero().get()];
        let mut at = 0;
        while at < known.len() {
            let parent = known[at];
            known.extend(self.rows.iter().filter(|r| r.1 == parent).map(|r| r.0));
            at += 1;
        }
        known.into_iter().skip(1).filter_map(Pid::from_raw).collect()
    }

    fn is_in_group(&self, pid: Pid, group: Pid) -> bool {
        let [pid, group] = [pid, group].map(|p| p.as_raw_nonzero().get());
        self.rows.iter().any(|r| r.0 == pid && r.2 == group)
    }

    /// All processes that belong to a ward: its descendants, its process group, and orphans that carry its marker.
    fn tree(&self, root: Pid, marker: &str) -> Vec<Pid> {
        let raw = root.as_raw_nonzero().get();
        let guard = process::getpid().as_raw_nonzero().get();
        let marked = |pid: i32| {
            !marker.is_empty()
                && std::fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|e| e.split(|b| *b == 0).any(|v| v == marker.as_bytes()))
        };
        let mut tree: Vec<Pid> = Vec::new();
        for (pid, parent, group) in &self.rows {
            let belongs = *pid == raw || *group == raw || (*parent == guard && marked(*pid));
            if belongs && let Some(pid) = Pid::from_raw(*pid) {
                tree.push(pid);
                tree.extend(self.descendants(pid));
            }
        }
        tree.sort_by_key(|p| p.as_raw_nonzero());
        tree.dedup();
        tree
    }
}

/// Parent and process group from `/proc/PID/stat`; none for a zombie.
fn parent_and_group(stat: &str) -> Option<(i32, i32)> {
    // The name stands in parentheses and may contain both of them.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some((parent, group))
}

/// Reaps a child that has ended: its id, how it ended, and the processor time of it and of all children it waited for.
fn wait_any() -> Option<(Pid, Option<Exit>, u64)> {
    let mut status = 0;
    // SAFETY: zeros are a valid `rusage`; both pointers are valid for the whole call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    let pid = Pid::from_raw(pid.max(0))?;
    let nanos = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    let code = libc::WIFEXITED(status).then(|| Exit::Code(libc::WEXITSTATUS(status)));
    let exit = code.or_else(|| libc::WIFSIGNALED(status).then(|| Exit::Signal(libc::WTERMSIG(status))));
    Some((pid, exit, nanos(usage.ru_utime) + nanos(usage.ru_stime)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_hides_nothing() {
        assert_eq!(parent_and_group("7 (a) b) S 3 5 6 0"), Some((3, 5)));
        assert_eq!(parent_and_group("7 (x) Z 3 5 6 0"), None);
        assert_eq!(parent_and_group("7 (x"), None);
    }

    #[test]
    fn a_tree_is_its_descendants_and_its_group() {
        let processes = Processes { rows: vec![(10, 1, 10), (11, 10, 10), (12, 11, 12), (13, 1, 10), (14, 1, 14)] };
        let raw: Vec<i32> = processes.tree(Pid::from_raw(10).unwrap(), "").iter().map(|p| p.as_raw_nonzero().get()).collect();
        assert_eq!(raw, [10, 11, 12, 13]);
    }
}
