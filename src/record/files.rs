//! Files that are whole or absent, and of which it is known when they are durable.
//!
//! A results directory may come from somebody else, so nothing is written through a link that lies in it, and what is read
//! must be a file: a pipe or a device would be read for ever.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Error;

/// Writes a file under a temporary name, syncs it and renames it into place. What is there under that name is replaced; of a
/// link that is the link, not what it leads to.
///
/// # Errors
/// [`Error::Write`]; then nothing has changed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Two that write the same file at a time do not write into each other's.
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let write = || -> io::Result<()> {
        // What a process of this number left. What comes back after that is somebody's link, and is not written through.
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

/// The folder in which something is; a bare name has an empty parent.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes all that is in a folder durable: every file below it, and the names in every folder. A file that is durable already
/// costs next to nothing.
///
/// # Errors
/// [`Error::Write`], with what could not be made durable.
pub fn sync_below(folder: &Path) -> Result<(), Error> {
    let failed = |path: &Path, source| Error::Write { path: path.to_owned(), source };
    for entry in std::fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let entry = entry.map_err(|e| failed(folder, e))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(|e| failed(folder, e))?);
        if kind.is_dir() {
            sync_below(&path)?;
        } else if kind.is_file() {
            File::open(&path).and_then(|file| file.sync_all()).map_err(|e| failed(&path, e))?;
        }
        // Of a link or a socket that a target made there is nothing but its name.
    }
    sync_directory(folder).map_err(|e| failed(folder, e))
}

/// Makes directories whose names are durable: what is durable in a folder without a name is lost all the same.
///
/// # Errors
/// [`Error::Write`].
pub fn make_directory(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let is_new = |part: &&Path| !part.as_os_str().is_empty() && !part.exists();
    let made: Vec<&Path> = path.ancestors().take_while(is_new).collect();
    std::fs::create_dir_all(path).map_err(failed)?;
    // A folder in which something may be made, but which may not be read, cannot be opened: its names are the system's matter.
    let sync = |part: &Path| match sync_directory(folder_of(part)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    };
    made.into_iter().try_for_each(sync).map_err(failed)
}

/// Opens a file to be read.
///
/// # Errors
/// What the system says; also of what is there and is not a file.
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

/// As JSON that people can read, with a line break at its end.
#[allow(clippy::expect_used, reason = "what goes in is ours: it has no path, and no map whose keys are not texts")]
pub fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own types always make JSON");
    bytes.push(b'\n');
    bytes
}

/// As JSON on one line, with its end.
#[allow(clippy::expect_used, reason = "what goes in is ours: it has no path, and no map whose keys are not texts")]
pub fn json_line<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("our own types always make JSON");
    bytes.push(b'\n');
    bytes
}

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Read`], [`Error::Damaged`], and [`Error::Version`] when its `format` is not one that is known.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = read(path)?;
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    // The version first, on its own: another version may have another form.
    let found = serde_json::from_slice::<Format>(&bytes).map_err(damaged)?.format.and_then(|f| f.as_u64()).unwrap_or(0);
    let newest = if path.ends_with("plan.json") { super::PLAN_FORMAT } else { super::FORMAT };
    if !(u64::from(super::OLDEST_FORMAT)..=u64::from(newest)).contains(&found) {
        return Err(Error::Version { path: path.to_owned(), found, newest });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// What every JSON file of a run has.
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
