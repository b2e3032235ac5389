//! Files that are either whole or absent, and known to be durable at a known point.
//!
//! A results directory may come from somebody else, so nothing is written through a link in it, and only regular files are
//! read: reading a pipe or a device might never end.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Error;

/// So many threads wait for the disk together.
const AT_ONCE: usize = 8;

/// Writes a file under a temporary name, syncs it and renames it into place. An existing file of that name is replaced; if
/// it is a link, the link itself is replaced, not what it points to.
///
/// # Errors
/// [`Error::Write`]; nothing has changed then.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Two writers of the same file at the same time do not write into each other's temporary file.
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // Removes what an earlier process with this id left. If the name exists again after that, it is somebody's link, and is
        // not written through.
        let _ = std::fs::remove_file(&partial);
        let mut file = File::options().write(true).create_new(true).open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        sync_directory(folder_of(path))
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        failed(error)
    })
}

/// The folder that contains something; the parent of a bare name is empty.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes everything in a folder durable: every file below it, and the names in every folder. A file that is durable already
/// costs next to nothing.
///
/// # Errors
/// [`Error::Write`], naming what could not be made durable.
pub fn sync_below(folder: &Path) -> Result<(), Error> {
    let mut all = Vec::new();
    list_below(folder, &mut all)?;
    let sync = |path: &PathBuf| File::open(path).and_then(|file| file.sync_all());
    at_once(&all, |path| sync(path).map_err(|source| Error::Write { path: path.clone(), source }))
}

/// Adds every file and folder below one, and the folder itself.
fn list_below(folder: &Path, all: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Write { path: folder.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(|source| Error::Write { path: entry.path(), source })?;
        if kind.is_dir() {
            list_below(&entry.path(), all)?;
        } else if kind.is_file() {
            all.push(entry.path());
        }
        // A link or a socket that a target made there has no content besides its name.
    }
    all.push(folder.to_owned());
    Ok(())
}

/// Does something that waits for the disk with each of these, several at a time: the file system then writes once for all that
/// wait, where it would write once for each.
///
/// # Errors
/// The first in the order of the items.
pub(super) fn at_once<T: Sync>(items: &[T], each: impl Fn(&T) -> Result<(), Error> + Sync) -> Result<(), Error> {
    let share = items.len().div_ceil(AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let started: Vec<_> = items.chunks(share).map(|share| scope.spawn(|| share.iter().try_for_each(&each))).collect();
        let ended: Vec<_> = started.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        ended.into_iter().try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Makes directories whose names are durable: durable files in a folder without a durable name are lost nevertheless.
///
/// # Errors
/// [`Error::Write`].
pub fn make_directory(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let is_new = |part: &&Path| !part.as_os_str().is_empty() && !part.exists();
    let made: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    std::fs::create_dir_all(path).map_err(failed)?;
    // A folder in which files may be created but that may not be read cannot be opened: the system has to take care of its
    // names.
    let sync = |part: &Path| match sync_directory(folder_of(part)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    };
    made.into_iter().try_for_each(sync).map_err(failed)
}

/// Opens a file for reading.
///
/// # Errors
/// What the system says; also when the path exists but is not a file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for somebody to write to it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// Reads a file of a record.
///
/// # Errors
/// [`Error::Read`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// As JSON that people can read, with a final line feed.
#[allow(clippy::expect_used, reason = "only our own types are passed: they have no paths, and no maps whose keys are not text")]
pub fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own types always make JSON");
    bytes.push(b'\n');
    bytes
}

/// As JSON on one line, with a final line feed.
#[allow(clippy::expect_used, reason = "only our own types are passed: they have no paths, and no maps whose keys are not text")]
pub fn json_line<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("our own types always make JSON");
    bytes.push(b'\n');
    bytes
}

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Read`], [`Error::Damaged`], and [`Error::Version`] when its `format` is not a known one.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = read(path)?;
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    // The version is read first, on its own: another version may have another form.
    let found = serde_json::from_slice::<Format>(&bytes).map_err(damaged)?.format.and_then(|f| f.as_u64()).unwrap_or(0);
    let newest = if path.ends_with("plan.json") { super::PLAN_FORMAT } else { super::FORMAT };
    if !(u64::from(super::OLDEST_FORMAT)..=u64::from(newest)).contains(&found) {
        return Err(Error::Version { path: path.to_owned(), found, newest });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// What every JSON file of a run contains.
#[derive(serde::Deserialize)]
struct Format {
    format: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let theirs = path("theirs");
        std::fs::write(&theirs, "precious").unwrap();
        for name in ["summary.json", "summary.json.partial", &format!("summary.json.{}.partial", std::process::id())] {
            std::os::unix::fs::symlink(&theirs, path(name)).unwrap();
        }
        write_whole(&path("summary.json"), b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(path("summary.json")).unwrap(), "new");
        assert!(!path("summary.json").is_symlink());
    }

    #[test]
    fn what_is_not_a_file_is_not_read_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("plan.json");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            let error = vocabulary::errors::chain(&read(path).unwrap_err());
            assert!(error.ends_with("it is not a file"), "{error}");
        }
    }

    #[test]
    fn folders_are_made_wherever_they_are_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        std::fs::write(path.join("file"), "x").unwrap();
        std::os::unix::fs::symlink("/nowhere", path.join("link")).unwrap();
        sync_below(folder.path()).unwrap();
    }
}
