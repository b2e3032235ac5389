//! The limit on open files: the limit that targets get, and whether connections fit.

use super::Stop;
use crate::exit::Exit;

/// Files that runner itself needs besides connections.
pub(super) const OWN: u64 = 200;

/// The soft limit on open files before we raised it: targets get the limit that the shell had. `None`: unlimited.
pub(super) fn of_the_shell() -> Option<u64> {
    static FIRST: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *FIRST.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Nofile).current)
}

/// Raises the limit on open files as far as allowed; returns it.
pub(super) fn raise() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    of_the_shell();
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    limit.maximum.unwrap_or(u64::MAX)
}

/// Refuses more connections than the limit on open files allows. `others`: other files that are needed.
pub(super) fn require(what: &str, connections: u64, others: u64, allowed: u64) -> Result<(), Stop> {
    if connections + others + OWN <= allowed {
        return Ok(());
    }
    Err(Stop::new(
        Exit::InvalidInput,
        format!(
            "{what} needs {connections} connections, but this machine allows {allowed} open files, \
             of which {} are left for connections (`ulimit -Hn`)",
            allowed.saturating_sub(others + OWN)
        ),
    ))
}
