//! Which runs exist, whether anything has changed, and what of them may be shown.
//!
//! Clients are strangers, so nothing is read through a link: it could lead anywhere. Repetitions get their names when they
//! are complete, so what is being written is not visible.

use std::collections::BTreeMap;
use std::fs::{DirEntry, FileType};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use record::files::read_json;
use record::manifest::Manifest;
use record::{Repetition, RunRecord};
use serde::Serialize;
use sha1::{Digest as _, Sha1};
use vocabulary::errors::chain;

/// How deep the folders of cells may be nested.
const DEEPEST: usize = 64;

/// The state of the results as one number: it changes whenever anything was added, removed or changed.
pub(super) type Signature = [u8; 20];

/// The directory of an experiment, or of a run.
#[derive(Debug)]
pub(super) struct Results(PathBuf);

/// The runs from which an answer is made. An experiment may have thousands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Needs {
    /// All of them, with their repetitions.
    All,
    /// This many of the newest, with their repetitions.
    Newest(usize),
    /// Those with these names, with their repetitions.
    Named(Vec<String>),
    /// No repetitions: only the heads of the runs.
    Heads,
}

/// The head of a run: name, start, commit, branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Head {
    /// Its name.
    pub run: String,
    /// Its directory.
    #[serde(skip)]
    pub path: PathBuf,
    /// When it started, UTC.
    pub started_at: String,
    /// The commit of the checkout, and whether something was changed.
    pub commit: Option<(String, bool)>,
    /// The branch of the checkout, if known.
    pub branch: Option<String>,
}

/// An experiment in a directory of them.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Experiment {
    /// Its name.
    pub name: String,
    /// How many runs it has.
    pub runs: usize,
    /// The name of the newest.
    pub newest: String,
}

/// Heads of runs as they were read, with the state of their manifests: the head of a run never changes, unless the run is
/// resumed.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<String, (Signature, Option<Head>)>);

/// What can be shown.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// The runs of one experiment, newest last.
    pub runs: Vec<RunRecord>,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

impl Results {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directories of runs by name; names start with the time.
    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        if is_run(&self.0) {
            return Ok(vec![self.0.clone()]);
        }
        let runs = sorted(&self.0)?.into_iter().filter(|(_, kind)| kind.is_dir()).map(|(entry, _)| entry.path());
        Ok(runs.filter(|folder| is_run(folder)).collect())
    }

    /// Whether there is a run in it, or it is one.
    pub fn has_runs(&self) -> bool {
        is_run(&self.0) || self.any_run().unwrap_or(false)
    }

    /// Whether a directory in it is a run; it looks no further than the first.
    fn any_run(&self) -> io::Result<bool> {
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() && is_run(&entry.path()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of the runs, newest last.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.paths()?.iter().map(|path| name_of(path)).collect())
    }

    /// The directory of the newest run.
    pub fn newest(&self) -> Option<PathBuf> {
        if is_run(&self.0) {
            return Some(self.0.clone());
        }
        // Of thousands of entries, most are not looked at.
        let entries = sorted(&self.0).ok()?.into_iter().rev().filter(|(_, kind)| kind.is_dir());
        entries.map(|(entry, _)| entry.path()).find(|folder| is_run(folder))
    }

    /// The directory of the run of this name, which is looked up among the existing ones.
    pub fn run(&self, name: &str) -> Option<PathBuf> {
        self.paths().ok()?.into_iter().find(|path| name_of(path) == name)
    }

    /// The directories that `needs` selects.
    fn needed(&self, needs: &Needs) -> io::Result<Vec<PathBuf>> {
        let mut paths = self.paths()?;
        match needs {
            Needs::All => {}
            Needs::Newest(most) => drop(paths.drain(..paths.len().saturating_sub(*most))),
            Needs::Named(names) => paths.retain(|path| names.contains(&name_of(path))),
            Needs::Heads => paths.clear(),
        }
        Ok(paths)
    }

    /// Looks at names, numbers and times of the existing files, as far as they are used; nothing is read.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn signature(&self, needs: &Needs) -> io::Result<Signature> {
        let mut hash = Sha1::new();
        for run in self.needed(needs)? {
            hash.update(run.as_os_str().as_encoded_bytes());
            for name in ["plan.json", "manifest.json", "summary.json"] {
                add(&mut hash, &run.join(name));
            }
            add_cells(&mut hash, &run.join("cells"), DEEPEST);
        }
        if *needs == Needs::Heads {
            for run in self.paths()? {
                hash.update(run.as_os_str().as_encoded_bytes());
                for name in ["manifest.json", "figures.parquet"] {
                    add(&mut hash, &run.join(name));
                }
            }
        }
        Ok(hash.finalize().into())
    }

    /// The head of each run, newest last; runs without a readable manifest are left out.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn heads(&self, known: &mut Heads) -> io::Result<Vec<Head>> {
        let mut current = BTreeMap::new();
        let mut heads = Vec::new();
        for path in self.paths()? {
            let name = name_of(&path);
            let mut hash = Sha1::new();
            add(&mut hash, &path.join("manifest.json"));
            let state: Signature = hash.finalize().into();
            let head = match known.0.remove(&name) {
                Some((of, head)) if of == state => head,
                _ => head(&path),
            };
            heads.extend(head.clone());
            current.insert(name, (state, head));
        }
        known.0 = current;
        Ok(heads)
    }

    /// Opens the runs that belong to the experiment of the newest one.
    ///
    /// # Errors
    /// What the system says about the directory.
    pub fn open(&self, needs: &Needs) -> io::Result<Runs> {
        let mut found = Runs::default();
        for path in self.needed(needs)? {
            let is_link = |name: &str| path.join(name).symlink_metadata().is_ok_and(|m| m.is_symlink());
            if ["manifest.json", "cells"].into_iter().any(is_link) {
                found.notes.push(format!("{}: a part of it is a link, which is not followed", name_of(&path)));
                continue;
            }
            match RunRecord::open(&path) {
                Ok(mut run) => {
                    let all = run.repetitions.len();
                    run.repetitions.retain(|repetition| !has_links(&run.path, repetition));
                    if run.repetitions.len() < all {
                        let count = all - run.repetitions.len();
                        found.notes.push(format!("{}: {count} of its repetitions have links, which are not followed", run.name));
                    }
                    found.notes.extend(run.damaged.iter().map(|words| format!("{}: {words}", run.name)));
                    found.runs.push(run);
                }
                Err(error) => found.notes.push(format!("{}: {}", name_of(&path), chain(&error))),
            }
        }
        if let Some(newest) = found.runs.last().map(|run| run.plan.experiment.clone()) {
            let (same, others): (Vec<_>, Vec<_>) = found.runs.into_iter().partition(|run| run.plan.experiment == newest);
            found.notes.extend(others.iter().map(|run| format!("{}: it belongs to another experiment", run.name)));
            found.runs = same;
        }
        Ok(found)
    }

    /// Tries to read what will be read later: the directory, and the plan and a repetition of the newest run.
    ///
    /// # Errors
    /// What cannot be read, and what the system says about it.
    pub fn try_to_read(&self) -> Result<(), (PathBuf, io::Error)> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| (path, error)
        };
        std::fs::read_dir(&self.0).map_err(failed(&self.0))?;
        let Some(run) = self.paths().map_err(failed(&self.0))?.pop() else { return Ok(()) };
        let read = |path: &Path| std::fs::File::open(path).map(drop).map_err(failed(path));
        read(&run.join("plan.json"))?;
        read(&run.join("manifest.json"))?;
        let Some(repetition) = RunRecord::open(&run).ok().and_then(|mut run| run.repetitions.pop()) else {
            let cells = run.join("cells");
            return if cells.exists() { std::fs::read_dir(&cells).map(drop).map_err(failed(&cells)) } else { Ok(()) };
        };
        for (entry, kind) in sorted(&repetition.path).map_err(failed(&repetition.path))? {
            if kind.is_file() {
                read(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a directory is the directory of a run.
fn is_run(folder: &Path) -> bool {
    match folder.join("plan.json").symlink_metadata() {
        Ok(plan) => plan.is_file(),
        // A directory that may not be read is different from an empty one.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// The content of the manifest, unless it is a link.
fn head(path: &Path) -> Option<Head> {
    let manifest = path.join("manifest.json");
    if !manifest.symlink_metadata().ok()?.is_file() {
        return None;
    }
    let Manifest { started_at, git, .. } = read_json(&manifest).ok()?;
    let branch = git.as_ref().and_then(|git| git.branch.clone());
    let commit = git.map(|git| (git.commit, git.changed));
    Some(Head { run: name_of(path), path: path.to_owned(), started_at, commit, branch })
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The entries of a folder, by name.
pub(super) fn sorted(folder: &Path) -> io::Result<Vec<(DirEntry, FileType)>> {
    let mut found = std::fs::read_dir(folder)?
        .map(|entry| entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind))))
        .collect::<io::Result<Vec<_>>>()?;
    found.sort_by_key(|(entry, _)| entry.file_name());
    Ok(found)
}

/// Adds number, size and time of a file or folder; a missing one differs from any existing one.
fn add(hash: &mut Sha1, path: &Path) {
    let Ok(found) = path.symlink_metadata() else { return hash.update([0]) };
    hash.update([1, u8::from(found.is_symlink())]);
    hash.update(found.ino().to_le_bytes());
    hash.update(found.len().to_le_bytes());
    hash.update(found.mtime().to_le_bytes());
    hash.update(found.mtime_nsec().to_le_bytes());
}

/// Adds the names and numbers of repetitions. The content of a repetition does not change.
fn add_cells(hash: &mut Sha1, folder: &Path, depth: usize) {
    let Ok(entries) = sorted(folder) else { return hash.update([2]) };
    for (entry, kind) in entries {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        // A repetition that is being written has a name that starts with a dot.
        if name.starts_with(b".") {
            continue;
        }
        hash.update(name);
        hash.update([3, u8::from(kind.is_symlink()), u8::from(kind.is_dir())]);
        hash.update(entry.ino().to_le_bytes());
        let is_repetition = name.strip_prefix(b"run").is_some_and(|number| number.iter().all(u8::is_ascii_digit));
        if kind.is_dir() && !is_repetition && depth > 0 {
            add_cells(hash, &entry.path(), depth - 1);
        }
    }
    hash.update([4]);
}

/// Whether a repetition, a folder above it in its run, or a part of it that is read is a link.
fn has_links(run: &Path, repetition: &Repetition) -> bool {
    let above = repetition.path.ancestors().take_while(|folder| *folder != run);
    let inside = ["", "taps", "collected"].map(|name| repetition.path.join(name));
    above.into_iter().any(Path::is_symlink)
        || inside.iter().any(|folder| sorted(folder).is_ok_and(|all| all.iter().any(|(_, kind)| kind.is_symlink())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const KEPT: &str = "../../tests/data/results/format-2/20261122T053326Z-e9ba";

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap().flatten() {
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to.join(entry.file_name())),
                false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }

    /// A folder with a run in it.
    fn experiment() -> (tempfile::TempDir, PathBuf, Results) {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("20261122T053326Z-e9ba");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT), &run);
        let results = Results::new(folder.path().to_owned());
        (folder, run, results)
    }

    #[test]
    fn whatever_changes_is_noticed_and_what_is_half_written_is_not() {
        let (folder, run, results) = experiment();
        let first = results.signature(&Needs::All).unwrap();
        assert_eq!(first, results.signature(&Needs::All).unwrap());
        let cell = run.join("cells/open");
        std::fs::create_dir(cell.join(".run9-partial")).unwrap();
        assert_eq!(first, results.signature(&Needs::All).unwrap());
        std::fs::rename(cell.join(".run9-partial"), cell.join("run9")).unwrap();
        let second = results.signature(&Needs::All).unwrap();
        assert_ne!(first, second);
        copy(&run, &folder.path().join("20261123T000000Z-0000"));
        assert_ne!(second, results.signature(&Needs::All).unwrap());
    }

    #[test]
    fn nothing_is_read_through_links() {
        let (folder, run, results) = experiment();
        let whole = results.open(&Needs::All).unwrap();
        assert!(whole.notes.is_empty() && whole.runs.len() == 1, "{:?}", whole.notes);
        let all = whole.runs[0].repetitions.len();
        // A run that is a link.
        symlink(&run, folder.path().join("20261124T000000Z-0000")).unwrap();
        assert_eq!(results.open(&Needs::All).unwrap().runs.len(), 1);
        // A file of a repetition.
        let table = run.join("cells/open/run1/transfers.parquet");
        symlink("/etc/passwd", &table).unwrap();
        let found = results.open(&Needs::All).unwrap();
        assert_eq!((found.runs[0].repetitions.len(), found.notes.len()), (all - 1, 1));
        std::fs::remove_file(table).unwrap();
        // The folder of a cell.
        std::fs::rename(run.join("cells/open"), run.join("elsewhere")).unwrap();
        symlink("../elsewhere", run.join("cells/open")).unwrap();
        let found = results.open(&Needs::All).unwrap();
        assert!(found.runs[0].repetitions.iter().all(|r| !r.path.starts_with(run.join("cells/open"))), "{:?}", found.notes);
        // All of its cells.
        std::fs::rename(run.join("cells"), folder.path().join("cells")).unwrap();
        symlink("../cells", run.join("cells")).unwrap();
        assert!(results.open(&Needs::All).unwrap().runs.is_empty());
    }

    #[test]
    fn runs_of_other_experiments_are_left_out() {
        let (folder, run, results) = experiment();
        let other = folder.path().join("20201122T053326Z-0000");
        copy(&run, &other);
        let plan = std::fs::read_to_string(other.join("plan.json")).unwrap();
        let experiment = results.open(&Needs::All).unwrap().runs[0].plan.experiment.clone();
        let renamed = plan.replacen(&format!("\"experiment\": \"{experiment}\""), "\"experiment\": \"other\"", 1);
        assert_ne!(plan, renamed);
        std::fs::write(other.join("plan.json"), renamed).unwrap();
        let found = results.open(&Needs::All).unwrap();
        assert_eq!(found.runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(), ["20261122T053326Z-e9ba"]);
        assert!(found.notes[0].contains("another experiment"), "{:?}", found.notes);
    }
}
