//! `live.json`: the current state of a run, for programs that show its progress. It is replaced once a second, not synced, and
//! removed when the run has ended: it is not a result.

use std::path::Path;

use vocabulary::live::Live;

use super::Error;

/// The file, in the directory of the run.
pub const NAME: &str = "live.json";

/// Replaces the file; a reader always finds a complete one, new or old.
///
/// # Errors
/// [`Error::Write`]. Only the view of the progress is affected.
pub fn write(run: &Path, live: &Live) -> Result<(), Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let (partial, path) = (run.join(".live.json.new"), run.join(NAME));
    let text = serde_json::to_vec(live).map_err(|error| failed(&path)(error.into()))?;
    std::fs::write(&partial, text).map_err(failed(&partial))?;
    std::fs::rename(&partial, &path).map_err(failed(&path))
}

/// Removes the file, if it exists.
pub fn remove(run: &Path) {
    // Readers ignore a file that is old.
    let _ = std::fs::remove_file(run.join(NAME));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_written_in_nanoseconds() {
        let folder = tempfile::tempdir().unwrap();
        let live = Live {
            done: 3,
            of: Some(8),
            elapsed: Duration::from_secs(2),
            left: Some(Duration::from_millis(5)),
            ..Live::default()
        };
        write(folder.path(), &live).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join(NAME)).unwrap()).unwrap();
        assert_eq!(
            (&read["done"], &read["of"], &read["elapsed_ns"], &read["left_ns"]),
            (&3.into(), &8.into(), &2_000_000_000_u64.into(), &5_000_000.into())
        );
        assert!(read["repetition"].is_null());
        remove(folder.path());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
