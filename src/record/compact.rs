//! Removes the bulky parts of old repetitions. The totals of a repetition, its transfers, its taps and its events are kept.

use std::path::Path;
use std::time::Duration;

use super::Error;
use super::files::{json_bytes, read_json, sync_directory, write_whole};
use super::manifest::{now, since_1970};
use super::status::Status;

/// Files and folders that are removed.
const BULKY: [&str; 6] = ["windows.parquet", "resources.parquet", "host.parquet", "requests.parquet", "logs", "collected"];

/// Whether something that ended at this time since 1970 is old enough by now.
pub fn is_due(ended: Duration, now: Duration, age: Duration) -> bool {
    now.saturating_sub(ended) > age
}

/// When a repetition ended, since 1970; none if its status does not say so.
pub fn ended(status: &Status) -> Option<Duration> {
    Some(since_1970(&status.started_at)? + Duration::from_nanos(status.timings.total_ns))
}

/// Removes the bulky parts of the repetition in a directory, after its status says so. If the status says so already,
/// removes what was left.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`].
pub fn compact(directory: &Path) -> Result<(), Error> {
    let path = directory.join("status.json");
    let mut status: Status = read_json(&path)?;
    if status.compacted_at.is_none() {
        status.compacted_at = Some(now());
        write_whole(&path, &json_bytes(&status))?;
    }
    for name in BULKY {
        let path = directory.join(name);
        let removed =
            if path.is_dir() && !path.is_symlink() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(Error::Write { path, source }),
            _ => {}
        }
    }
    sync_directory(directory).map_err(|source| Error::Write { path: directory.to_owned(), source })
}
