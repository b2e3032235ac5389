//! A directory of files that is replaced as a whole.
//!
//! The files are written into a folder next to the requested one, which then takes its place: readers see either the previous
//! export or this one. Files that runner did not make are never replaced.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use record::files::{json_bytes, make_directory, sync_below, sync_directory};

use super::Error;

/// The file that marks a folder as an export.
const MARK: &str = "export.json";

/// The kind of an export.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The name of the command in its mark.
    pub made_by: &'static str,
    /// What the folder may contain before.
    pub expected: &'static str,
}

/// A folder that is being written.
pub(super) struct Folder {
    kind: Kind,
    folder: PathBuf,
    partial: Partial,
}

impl Folder {
    /// Starts a folder that is new, empty, or an earlier export of this kind.
    ///
    /// # Errors
    /// [`Error::NotOurs`] if something else is in it; [`Error::WriteFile`].
    pub fn begin(folder: &Path, kind: Kind) -> Result<Self, Error> {
        // The target of a link is replaced, not the link.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        may_be_replaced(&folder, kind)?;
        let parent = parent(&folder);
        make_directory(parent)?;
        let mut name = std::ffi::OsString::from(".");
        name.push(folder.file_name().unwrap_or_default());
        name.push(format!(".{}.partial", std::process::id()));
        let partial = Partial(parent.join(name));
        // Left behind by an earlier process with this id.
        let _ = std::fs::remove_dir_all(&partial.0);
        std::fs::create_dir(&partial.0).map_err(|error| failed(&partial.0, error))?;
        Ok(Self { kind, folder, partial })
    }

    /// Where to write its files.
    pub fn path(&self) -> &Path {
        &self.partial.0
    }

    /// Moves it to its place. `names`: of its files; `more`: the other content of its mark.
    ///
    /// # Errors
    /// Those of [`Folder::begin`]; the previous content is then unchanged.
    pub fn finish(self, names: &[String], more: serde_json::Value) -> Result<(), Error> {
        let mut mark = serde_json::json!({"made_by": self.kind.made_by});
        for (key, value) in more.as_object().into_iter().flatten() {
            mark[key] = value.clone();
        }
        mark["files"] = names.into();
        let path = self.path().join(MARK);
        std::fs::write(&path, json_bytes(&mark)).map_err(|error| failed(&path, error))?;
        sync_below(self.path())?;
        take_place(self.path(), &self.folder, self.kind)?;
        let _ = sync_directory(parent(&self.folder));
        Ok(())
    }
}

fn parent(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The error of a file that cannot be written.
pub(super) fn failed(path: &Path, source: std::io::Error) -> Error {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let full = matches!(source.kind(), StorageFull | QuotaExceeded);
    Error::WriteFile { path: path.to_owned(), full, source }
}

/// A folder that is removed at the end, with whatever is in it.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a folder does not exist, is empty, or is an export with nothing else in it.
fn may_be_replaced(folder: &Path, kind: Kind) -> Result<(), Error> {
    let refuse = |is: String| Err(Error::NotOurs { path: folder.to_owned(), is, expected: kind.expected });
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return refuse("is not a directory".to_owned()),
        Err(source) => return Err(record::Error::Read { path: folder.to_owned(), source }.into()),
    };
    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let mark: serde_json::Value =
        std::fs::read(folder.join(MARK)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let ours: Vec<&str> = match mark["made_by"].as_str() {
        Some(made_by) if made_by == kind.made_by => {
            mark["files"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).chain([MARK]).collect()
        }
        _ => Vec::new(),
    };
    match names.iter().find(|name| !ours.contains(&name.as_str())) {
        Some(other) => refuse(format!("contains `{}`", other.escape_debug())),
        None => Ok(()),
    }
}

/// Exchanges a folder with another one.
fn take_place(from: &Path, to: &Path, kind: Kind) -> Result<(), Error> {
    // Files that appeared meanwhile belong to somebody else.
    may_be_replaced(to, kind)?;
    let exchanged = renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE);
    match exchanged {
        Ok(()) => Ok(()),
        // It does not exist, or the file system cannot exchange folders: an empty folder is replaced, and a full one moved away.
        Err(_) => {
            let aside = from.with_extension("old");
            let _ = std::fs::rename(to, &aside);
            let renamed = std::fs::rename(from, to);
            match &renamed {
                Ok(()) => drop(std::fs::remove_dir_all(&aside)),
                Err(_) => drop(std::fs::rename(&aside, to)),
            }
            renamed.map_err(|error| failed(to, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { made_by: "runner export csv", expected: "a new or empty directory" };

    #[test]
    fn only_what_is_ours_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let ours = || may_be_replaced(path, KIND).is_ok();
        assert!(ours() && may_be_replaced(&path.join("not there"), KIND).is_ok());
        std::fs::write(path.join("runs.csv"), "mine").unwrap();
        assert!(!ours());
        std::fs::write(path.join(MARK), r#"{"made_by": "runner export csv", "files": ["runs.csv"]}"#).unwrap();
        assert!(ours());
        assert!(may_be_replaced(path, Kind { made_by: "runner export torperf", ..KIND }).is_err(), "it is another export");
        std::fs::write(path.join("notes.txt"), "mine").unwrap();
        let said = may_be_replaced(path, KIND).unwrap_err().to_string();
        assert!(said.contains("contains `notes.txt`") && said.contains("--out"), "{said}");
        let said = may_be_replaced(&path.join("notes.txt"), KIND).unwrap_err().to_string();
        assert!(said.contains("is not a directory"), "{said}");
    }

    #[test]
    fn a_folder_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        for text in ["first", "second"] {
            let begun = Folder::begin(&out, KIND).unwrap();
            std::fs::write(begun.path().join("a.csv"), text).unwrap();
            begun.finish(&["a.csv".to_owned()], serde_json::json!({"schema": 1})).unwrap();
            assert_eq!(std::fs::read_to_string(out.join("a.csv")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(Folder::begin(&out, KIND).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "an unfinished export leaves nothing");
    }
}
