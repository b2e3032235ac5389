//! Control groups as folders: how one is recognized and removed, by whoever clears up.

use std::path::Path;
use std::time::{Duration, Instant};

/// A group whose last process has just ended may be busy for this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether a path is a control group.
pub(super) fn is_group(path: &Path) -> bool {
    path.starts_with("/sys/fs/cgroup") || path.join("cgroup.procs").exists()
}

/// Removes a group and those that its processes made in it; returns whether it is gone. Its files cannot be removed, and need not
/// be.
pub(super) fn remove(path: &Path) -> bool {
    let begun = Instant::now();
    loop {
        let inner = std::fs::read_dir(path).into_iter().flatten().flatten();
        inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| {
            remove(&entry.path());
        });
        match std::fs::remove_dir(path) {
            Ok(()) => return true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return true,
            Err(_) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return false,
        }
    }
}
