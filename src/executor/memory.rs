//! File systems in memory: a separate mount if this is allowed, otherwise a directory in `/dev/shm`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use record::spill::Spill;
use supervise::journal;
use vocabulary::units::human_bytes;

/// The file system in memory of every Linux, to which all users may write.
const SHARED: &str = "/dev/shm";
/// Less space than this counts as none: files grow by pages.
const PAGE: u64 = 4096;

/// A file system in memory.
#[derive(Debug)]
pub struct Memory {
    /// The folder on which it is mounted.
    pub path: PathBuf,
    /// Whether it is a separate mount, so that its size is enforced.
    pub mounted: bool,
    /// Its requested size in bytes.
    pub size: u64,
}

/// Makes a directory that others may pass through but not list; it must not exist yet.
///
/// # Errors
/// The error of the operating system.
pub fn make_passable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new().mode(0o711).create(path)?;
    // Whatever the umask is: a program that changes its user must reach the files that the scenario gives it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711))
}

impl Memory {
    /// Makes one of `size` bytes at `path`, an empty directory of ours; or, if mounting is not possible, a directory of
    /// that name in `/dev/shm`.
    ///
    /// # Errors
    /// In words, when neither is possible.
    pub fn make(path: &Path, size: u64) -> Result<Self, String> {
        let options = std::ffi::CString::new(format!("size={size},mode=0711")).expect("a number has no zero byte");
        let refused = match mount("runner", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str())) {
            Ok(()) => return Ok(Self { path: path.to_owned(), mounted: true, size }),
            Err(error) => error,
        };
        let why = match refused {
            Errno::PERM | Errno::ACCESS => "mounting is not allowed".to_owned(),
            other => format!("mounting failed: {other}"),
        };
        let neither = |reason: String| format!("there is no tmpfs of {}: {why}, and {reason}", human_bytes(size as f64));
        let free = room(Path::new(SHARED)).ok_or_else(|| neither(format!("there is no {SHARED}")))?;
        if free < size {
            return Err(neither(format!("{SHARED} has only {} left", human_bytes(free as f64))));
        }
        let shared = Path::new(SHARED).join(path.file_name().unwrap_or_default());
        make_passable(&shared).map_err(|e| neither(format!("{} cannot be made: {e}", shared.display())))?;
        Ok(Self { path: shared, mounted: false, size })
    }

    /// The directory that `make` uses if it may not mount; clean-up must know both places.
    pub fn instead_of(path: &Path) -> PathBuf {
        Path::new(SHARED).join(path.file_name().unwrap_or_default())
    }

    /// In words, that the space was used up, if so.
    pub fn was_full(&self, spill: &Spill) -> Option<String> {
        let spilled = spill.happened.load(Ordering::Relaxed);
        let full = room(&self.path).is_some_and(|room| room < PAGE);
        (spilled || full).then(|| {
            let rest = if spilled { "recording continued on disk" } else { "logs may have lost their end" };
            format!("the tmpfs of {} at {} was full: {rest}", human_bytes(self.size as f64), self.path.display())
        })
    }

    /// Removes it with all its content.
    pub fn remove(&self) {
        let _ = journal::remove(&self.path);
    }
}

/// Bytes that may still be written to a file system.
fn room(path: &Path) -> Option<u64> {
    rustix::fs::statvfs(path).ok().map(|s| s.f_bavail * s.f_frsize)
}
