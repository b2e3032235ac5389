//! The tables of one repetition that several machines have recorded, joined into one.
//!
//! All machines count time from the same instant and windows on the same grid, so rows are put one after the other and nothing is
//! computed. In `resources.parquet`, `host.parquet` and `requests.parquet` a column says which machine a row is from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use polars::prelude::*;

use super::Error;
use super::tables::{parquet, read};

/// Tables in which samples of different machines must be told apart.
const BY_HOST: [&str; 3] = ["resources.parquet", "host.parquet", "requests.parquet"];
/// Tables of which each machine has the rows of its own passes.
const SHARED: [&str; 3] = ["windows.parquet", "metrics.parquet", "transfers.parquet"];
/// Folders with a file for each tap, target or step. Each machine counts its own steps, so two may have a file of the same name.
const FOLDERS: [&str; 3] = ["taps", "collected", "logs"];

/// Joins what machines have recorded in their folders, each with its name, into the folder of the repetition. What was joined is
/// removed from theirs.
///
/// # Errors
/// [`Error::ReadTable`], [`Error::WriteTable`], [`Error::Read`], [`Error::Write`].
pub fn join(parts: &[(&str, PathBuf)], into: &Path) -> Result<(), Error> {
    for name in BY_HOST.into_iter().chain(SHARED) {
        let there: Vec<_> = parts.iter().filter(|(_, folder)| folder.join(name).exists()).collect();
        let path = into.join(name);
        let frames = there.iter().map(|(host, folder)| {
            let mut frame = read(&folder.join(name))?;
            if BY_HOST.contains(&name) {
                let hosts = Column::new_scalar("host".into(), Scalar::from(PlSmallStr::from(*host)), frame.height());
                frame.with_column(hosts).map_err(|source| Error::WriteTable { path: path.clone(), source })?;
            }
            Ok(frame)
        });
        let frames = frames.collect::<Result<Vec<DataFrame>, Error>>()?;
        if let Some(bytes) = parquet(&path, frames.into_iter().map(Ok))? {
            std::fs::write(&path, bytes).map_err(|source| Error::Write { path, source })?;
        }
    }
    for folder in FOLDERS {
        let mut files: BTreeMap<String, Vec<(&str, PathBuf)>> = BTreeMap::new();
        for (host, from) in parts {
            for entry in std::fs::read_dir(from.join(folder)).into_iter().flatten().flatten() {
                files.entry(entry.file_name().to_string_lossy().into_owned()).or_default().push((host, entry.path()));
            }
        }
        if !files.is_empty() {
            super::files::make_directory(&into.join(folder))?;
        }
        for (name, places) in &files {
            for (host, from) in places {
                let to = into.join(folder).join(match name.rsplit_once('.') {
                    _ if places.len() == 1 => name.clone(),
                    Some((stem, end)) => format!("{stem}-{host}.{end}"),
                    None => format!("{name}-{host}"),
                });
                std::fs::rename(from, &to).map_err(|source| Error::Write { path: to, source })?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(at: &[i64]) -> DataFrame {
        DataFrame::new(at.len(), vec![Column::new("at_ns".into(), at)]).unwrap()
    }

    fn part(folder: &Path, host: &str, at: &[i64]) -> PathBuf {
        let folder = folder.join(host);
        std::fs::create_dir_all(folder.join("logs")).unwrap();
        for name in ["host.parquet", "windows.parquet"] {
            let bytes = parquet(Path::new(name), [Ok(frame(at))]).unwrap().unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        std::fs::write(folder.join("logs/set-up-1.out"), host).unwrap();
        std::fs::write(folder.join(format!("logs/{host}.err")), host).unwrap();
        folder
    }

    #[test]
    fn rows_of_all_machines_are_there_and_samples_say_whose_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let parts = [("a", part(folder.path(), "a", &[1, 2])), ("b", part(folder.path(), "b", &[1]))];
        let whole = folder.path().join("whole");
        std::fs::create_dir(&whole).unwrap();
        join(&parts, &whole).unwrap();
        let hosts = read(&whole.join("host.parquet")).unwrap();
        let told: Vec<&str> = hosts.column("host").unwrap().str().unwrap().iter().flatten().collect();
        assert_eq!(told, ["a", "a", "b"]);
        let windows = read(&whole.join("windows.parquet")).unwrap();
        assert_eq!((windows.height(), windows.width()), (3, 1));
        assert!(!whole.join("requests.parquet").exists());
        let log = |name: &str| std::fs::read_to_string(whole.join("logs").join(name)).unwrap();
        assert_eq!((log("set-up-1-a.out"), log("set-up-1-b.out"), log("b.err")), ("a".into(), "b".into(), "b".into()));
    }
}
