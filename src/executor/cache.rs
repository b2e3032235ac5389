//! Directories that set-up steps make once and keep: whether one exists, and that no other run makes it meanwhile.
//!
//! Later runs execute what is kept. So only this user and root may be able to put something there: every part of
//! the path is checked before anything below it is trusted, as `sshd` does with its keys.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use plan::Cache;

/// The advice for a place that cannot be trusted.
const HELP: &str = "or set RUNNER_CACHE to a directory that only you may write to";
/// The number of links in a path that the kernel follows.
const LINKS: usize = 40;

/// How often to check whether another runner has made the directory.
const LOOK: Duration = Duration::from_millis(200);

/// A directory that we may fill: others wait until this value is dropped, and an incomplete directory is then removed.
#[derive(Debug)]
pub(super) struct Claim {
    directory: PathBuf,
    step: String,
    is_complete: bool,
    _lock: File,
}

/// Checks that no other user can put anything into the place of a directory. Parts that do not exist yet are
/// accepted: they are checked again when they are made.
///
/// # Errors
/// In words, the part of the path that is not safe, and what to do.
pub fn check(cache: &Cache) -> Result<(), String> {
    if !cache.has_place() {
        return Err(format!(
            "there is no place for `{}`, which is made once and kept: none of RUNNER_CACHE, XDG_CACHE_HOME and HOME is \
             set to a path that is text; set HOME, {HELP}",
            cache.name
        ));
    }
    check_path(&cache.directory, rustix::process::geteuid().as_raw())
}

/// Checks every part of an absolute path, and of the targets of its links. `us`: the user who has to trust the path.
fn check_path(path: &Path, us: u32) -> Result<(), String> {
    let parts = |path: &Path| path.components().rev().map(|c| c.as_os_str().to_owned()).collect::<Vec<OsString>>();
    // The last part first.
    let (mut rest, mut at, mut links) = (parts(path), PathBuf::new(), 0);
    while let Some(part) = rest.pop() {
        if part == OsStr::new("..") {
            // The part above was checked, and is no longer a link.
            at.pop();
            continue;
        }
        at.push(part);
        let metadata = match at.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("cannot look at {}: {error}", at.display())),
        };
        judge(&Part::of(&metadata), us).map_err(|why| why.said_of(&at))?;
        if metadata.is_symlink() {
            links += 1;
            let to = std::fs::read_link(&at).map_err(|error| format!("cannot look at {}: {error}", at.display()))?;
            if links > LINKS {
                return Err(format!("{} is a link that leads nowhere; remove it, {HELP}", at.display()));
            }
            at.pop();
            rest.extend(parts(&to).into_iter().filter(|part| part != Component::CurDir.as_os_str()));
        }
    }
    Ok(())
}

/// Who may change a part of a path.
#[derive(Clone, Copy, Debug)]
struct Part {
    owner: u32,
    mode: u32,
    is_link: bool,
}

impl Part {
    fn of(metadata: &Metadata) -> Self {
        Self { owner: metadata.uid(), mode: metadata.mode(), is_link: metadata.is_symlink() }
    }
}

/// Why a part of a path cannot be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distrust {
    /// It belongs to this user.
    Owner(u32),
    /// Others may write to it.
    Mode(u32),
}

impl Distrust {
    fn said_of(self, part: &Path) -> String {
        let part = part.display();
        match self {
            Self::Owner(owner) => format!(
                "{part} belongs to user {owner}, who could put there what is executed here; expected it to belong to you or \
                 to root: remove it, {HELP}"
            ),
            Self::Mode(mode) => format!(
                "others may write to {part} (mode {mode:04o}), and could put there what is executed here: `chmod go-w {part}`, \
                 {HELP}"
            ),
        }
    }
}

/// Whether only `us` and root can change the content of a part of a path.
fn judge(part: &Part, us: u32) -> Result<(), Distrust> {
    if part.owner != us && part.owner != 0 {
        return Err(Distrust::Owner(part.owner));
    }
    // The mode of a link means nothing. In a directory such as /tmp everybody may make something, but only its owner may
    // replace it: then the owner of the next part counts.
    let is_shared = part.owner == 0 && part.mode & 0o1000 != 0;
    if part.is_link || is_shared || part.mode & 0o022 == 0 { Ok(()) } else { Err(Distrust::Mode(part.mode & 0o7777)) }
}

/// Whether a directory exists and was completed by its own step.
pub(super) fn is_there(cache: &Cache) -> bool {
    check(cache).is_ok() && is_complete(cache)
}

fn is_complete(cache: &Cache) -> bool {
    std::fs::read_to_string(cache.directory.join(".step")).is_ok_and(|step| step == cache.step)
}

/// Claims an empty directory to fill; `None` if it already exists, is complete, and is still `sound`.
///
/// # Errors
/// In words, when the directory cannot be made.
pub(super) async fn claim(cache: &Cache, sound: impl Fn() -> bool) -> Result<Option<Claim>, String> {
    let directory = &cache.directory;
    let failed = |doing: &str, e: &std::io::Error| format!("cannot {doing} {}: {e}", directory.display());
    let base = directory.parent().unwrap_or(directory);
    check(cache)?;
    // Whatever the umask is, no other user may write to it; servers that give up their rights may read what is kept.
    let make = |recursive, path: &Path| std::fs::DirBuilder::new().recursive(recursive).mode(0o755).create(path);
    make(true, base).map_err(|e| failed("make a directory for", &e))?;
    // A part that did not exist a moment ago may have been made by another user.
    check(cache)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
    let lock = options.open(directory.with_extension("lock")).map_err(|e| failed("lock", &e))?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK).await,
            // A file system without locks: assume that there is no other run.
            Err(TryLockError::Error(_)) => break,
        }
    }
    if is_complete(cache) && sound() {
        return Ok(None);
    }
    // An incomplete directory, or one made by another step.
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(|e| failed("remove", &e))?;
    }
    make(false, directory).map_err(|e| failed("make", &e))?;
    Ok(Some(Claim { directory: directory.clone(), step: cache.step.clone(), is_complete: false, _lock: lock }))
}

impl Claim {
    /// Records that the directory is complete: from now on it is kept.
    ///
    /// # Errors
    /// In words, when this cannot be written.
    pub fn complete(mut self) -> Result<(), String> {
        let path = self.directory.join(".step");
        std::fs::write(&path, &self.step).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        self.is_complete = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_complete {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const US: u32 = 1000;

    #[test]
    fn only_we_and_root_may_write() {
        let judged = |owner, mode, is_link| judge(&Part { owner, mode, is_link }, US);
        for (owner, mode) in [(US, 0o700), (US, 0o755), (0, 0o755), (0, 0o1777), (0, 0o1775)] {
            assert_eq!(judged(owner, mode, false), Ok(()), "{owner} {mode:o}");
        }
        assert_eq!(judged(1001, 0o700, false), Err(Distrust::Owner(1001)));
        assert_eq!(judged(1001, 0o1777, false), Err(Distrust::Owner(1001)));
        for (owner, mode) in [(US, 0o775), (US, 0o757), (0, 0o777), (US, 0o1777)] {
            assert_eq!(judged(owner, mode, false), Err(Distrust::Mode(mode)), "{owner} {mode:o}");
        }
        // Every link has the mode 0777; only its owner matters.
        assert_eq!(judged(US, 0o777, true), Ok(()));
        assert_eq!(judged(1001, 0o777, true), Err(Distrust::Owner(1001)));
    }

    /// A private folder, and the result for a path below it.
    fn said(make: impl FnOnce(&Path)) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path());
        check_path(&folder.path().join("cache/steps/x"), rustix::process::geteuid().as_raw())
    }

    fn open_to_all(path: &Path) {
        std::fs::create_dir_all(path).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }

    #[test]
    fn every_part_is_looked_at() {
        assert_eq!(said(|_| ()), Ok(()));
        assert_eq!(said(|folder| std::fs::create_dir_all(folder.join("cache/steps/x")).unwrap()), Ok(()));
        for part in ["cache", "cache/steps", "cache/steps/x"] {
            let words = said(|folder| open_to_all(&folder.join(part))).unwrap_err();
            assert!(words.contains(&format!("{part} (mode 0777)")) && words.contains("chmod go-w"), "{words}");
        }
    }

    #[test]
    fn what_a_link_leads_to_is_looked_at_too() {
        let linked = |to: &'static str| {
            said(move |folder| {
                open_to_all(&folder.join("open"));
                std::fs::create_dir_all(folder.join("ours")).unwrap();
                symlink(to, folder.join("cache")).unwrap();
            })
        };
        assert_eq!(linked("ours"), Ok(()));
        assert_eq!(linked("./ours/../ours"), Ok(()));
        for to in ["open", "ours/../open", "./open/below"] {
            assert!(linked(to).unwrap_err().contains("open (mode 0777)"), "{to}");
        }
        assert!(linked("cache").unwrap_err().contains("leads nowhere"));
    }
}
