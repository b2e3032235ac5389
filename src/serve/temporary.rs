//! Folders for the duration of an export. At most one exists at a time, so that it can be removed when the process ends in
//! the middle.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(0);
static CURRENT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// A folder for this user alone that is removed at the end, with all its content.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// # Errors
    /// What the system says about the directory for temporary files.
    pub fn new() -> io::Result<Self> {
        loop {
            let name = format!("runner-serve-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            // Anything that already exists, even a link, belongs to somebody else, and is neither used nor followed.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made?;
                    set_current(Some(path.clone()));
                    return Ok(Self(path));
                }
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        set_current(None);
    }
}

fn set_current(path: Option<PathBuf>) {
    if let Ok(mut current) = CURRENT.lock() {
        *current = path;
    }
}

/// Removes what is left of an export that is running while the process ends. The export may make another file meanwhile, so
/// removing is retried.
pub(super) fn clear() {
    for _ in 0..10 {
        let Some(path) = CURRENT.lock().ok().and_then(|current| current.clone()) else { return };
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(std::time::Duration::from_millis(10)),
            _ => return,
        }
    }
}
