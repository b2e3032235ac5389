//! Files that are whole or absent.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::Error;

/// Writes a file under a temporary name, syncs it and renames it into place.
///
/// # Errors
/// [`Error::Write`]; then nothing has changed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        // A bare name has an empty parent.
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        failed(error)
    })
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes directories.
///
/// # Errors
/// [`Error::Write`].
pub fn make_directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// As JSON that people can read, with a line break at its end.
pub fn json_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("our own types always make JSON");
    bytes.push(b'\n');
    bytes
}

/// Reads a JSON file.
///
/// # Errors
/// [`Error::Read`], [`Error::Damaged`], and [`Error::Version`] when its `format` is not one that is known.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let damaged = |source| Error::Damaged { path: path.to_owned(), source };
    // The version first, on its own: another version may have another form.
    let found = serde_json::from_slice::<Format>(&bytes).map_err(damaged)?.format.and_then(|f| f.as_u64()).unwrap_or(0);
    if !(u64::from(super::OLDEST_FORMAT)..=u64::from(super::FORMAT)).contains(&found) {
        return Err(Error::Version { path: path.to_owned(), found });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// What every JSON file of a run has.
#[derive(serde::Deserialize)]
struct Format {
    format: Option<serde_json::Value>,
}
