//! How the guard starts a process: everything that must be in place before its first instruction, between fork and exec.

use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{self, Pid, Resource, Rlimit, Signal};

use super::protocol::Spawn;

/// Starts a process in its own group and returns its pid. The caller reaps it.
///
/// # Errors
/// What the system says.
pub(super) fn spawn(spawn: &Spawn) -> std::io::Result<Pid> {
    let (program, args) = spawn.argv.split_first().ok_or_else(|| std::io::Error::other("an empty command"))?;
    // What a program prints may be secret: other users must not read it.
    let open = |path: &PathBuf| OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    let guard = process::getpid();
    let cpus = spawn.cpus.clone();
    let open_namespace = |path: &PathBuf| {
        let named = |e: std::io::Error| std::io::Error::new(e.kind(), format!("network namespace {}: {e}", path.display()));
        std::fs::File::open(path).map_err(named)
    };
    let namespace = spawn.namespace.as_ref().map(open_namespace).transpose()?;
    let enter = |group: &PathBuf| {
        let path = group.join("cgroup.procs");
        let named = |e: std::io::Error| std::io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        OpenOptions::new().write(true).open(&path).map_err(named)
    };
    let cgroups = spawn.cgroups.iter().map(enter).collect::<Result<Vec<_>, _>>()?;
    let memory_node = spawn.memory_node;
    let mut limits = Vec::new();
    for (limited, soft) in &spawn.limits {
        let resource = resource(*limited);
        let own = process::getrlimit(resource);
        let maximum = match own.maximum {
            // Only a privileged process may raise its limit; whether we may is tried, and undone.
            Some(allowed) if soft.is_none_or(|soft| soft > allowed) => {
                if process::setrlimit(resource, Rlimit { current: own.current, maximum: *soft }).is_err() {
                    return Err(std::io::Error::other(format!(
                        "the limit `{}` cannot be raised beyond {allowed} here",
                        limited.name()
                    )));
                }
                let _ = process::setrlimit(resource, own);
                *soft
            }
            allowed => allowed,
        };
        limits.push((resource, Rlimit { current: *soft, maximum }));
    }
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
        // If the guard itself is killed, its direct children end at once and need not wait for the watcher. (The kernel
        // forgets this for a program that changes its user; then the watcher ends it.)
        process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if process::getppid() != Some(guard) {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        for group in &cgroups {
            // The process that writes it.
            rustix::io::write(group, b"0")?;
        }
        if let Some(node) = memory_node {
            bind_memory(node)?;
        }
        if let Some(namespace) = &namespace {
            enter_namespace(namespace)?;
        }
        for (resource, limit) in &limits {
            process::setrlimit(*resource, *limit)?;
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
    // SAFETY: between fork and exec only system calls are made; the allocation-free loops touch the stack.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn()?;
    // Dropping `child` neither waits for it nor ends it.
    Ok(Pid::from_raw(child.id() as i32).expect("a child's process id is not zero"))
}

/// A resource as the system knows it.
fn resource(limited: vocabulary::choices::Resource) -> Resource {
    match limited {
        vocabulary::choices::Resource::OpenFiles => Resource::Nofile,
        vocabulary::choices::Resource::Processes => Resource::Nproc,
        vocabulary::choices::Resource::MemoryLocked => Resource::Memlock,
        vocabulary::choices::Resource::AddressSpace => Resource::As,
        vocabulary::choices::Resource::Data => Resource::Data,
        vocabulary::choices::Resource::Stack => Resource::Stack,
        vocabulary::choices::Resource::Core => Resource::Core,
        vocabulary::choices::Resource::FileSize => Resource::Fsize,
    }
}

/// The calling thread, and what it executes, uses the memory of one node: one system call.
fn bind_memory(node: u32) -> std::io::Result<()> {
    const MPOL_BIND: libc::c_int = 2;
    const WORDS: usize = 16;
    let mut mask = [0_u64; WORDS];
    match mask.get_mut(node as usize / 64) {
        Some(word) => *word |= 1 << (node % 64),
        None => return Err(std::io::ErrorKind::InvalidInput.into()),
    }
    // SAFETY: the mask is as long as the call is told, in bits.
    let set = unsafe { libc::syscall(libc::SYS_set_mempolicy, MPOL_BIND, mask.as_ptr(), WORDS * 64) };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Moves the calling thread into a network namespace: one system call.
pub(super) fn enter_namespace(namespace: &std::fs::File) -> std::io::Result<()> {
    let kind = rustix::thread::LinkNameSpaceType::Network;
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?)
}
