//! Directories that set-up steps make once and keep: whether one is there, and that nobody else makes it meanwhile.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use crate::plan::Cache;

/// How often it is looked whether another runner has made it.
const LOOK: Duration = Duration::from_millis(200);

/// A directory that is being made; others wait until this is gone.
#[derive(Debug)]
pub(super) struct Kept {
    directory: PathBuf,
    step: String,
    done: bool,
    _lock: File,
}

/// Whether a directory is there, made by its step to the end.
pub(super) fn is_there(cache: &Cache) -> bool {
    std::fs::read_to_string(cache.directory.join(".step")).is_ok_and(|step| step == cache.step)
}

/// An empty directory to be filled; none when it is there already, whole, and is still `sound`.
///
/// # Errors
/// In words, when there can be no such directory.
pub(super) async fn begin(cache: &Cache, sound: impl Fn() -> bool) -> Result<Option<Kept>, String> {
    let directory = &cache.directory;
    let failed = |doing: &str, e: &std::io::Error| format!("cannot {doing} {}: {e}", directory.display());
    let base = directory.parent().unwrap_or(directory);
    std::fs::create_dir_all(base).map_err(|e| failed("make a directory for", &e))?;
    let lock = File::create(directory.with_extension("lock")).map_err(|e| failed("lock", &e))?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
            // A file system without locks: as if nobody else were there.
            Err(TryLockError::Error(_)) => break,
        }
    }
    if is_there(cache) && sound() {
        return Ok(None);
    }
    // Half of one, or one that another step made.
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(|e| failed("remove", &e))?;
    }
    std::fs::create_dir(directory).map_err(|e| failed("make", &e))?;
    Ok(Some(Kept { directory: directory.clone(), step: cache.step.clone(), done: false, _lock: lock }))
}

impl Kept {
    /// It is whole.
    ///
    /// # Errors
    /// In words, when that cannot be noted.
    pub fn whole(mut self) -> Result<(), String> {
        let path = self.directory.join(".step");
        std::fs::write(&path, &self.step).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}
