//! A file that lists what has to be undone when a run has ended: whichever process outlives the others reads it and undoes
//! it.
//!
//! A run has one journal, `<run id>.journal` in a directory that only its user may enter. Each line is an entry that was
//! written before the thing that it names was made; another entry cancels it. Runner, watcher and guard hold a lock on the
//! file as long as they live, and the file is removed when nothing is left: a journal without a lock belongs to a run that
//! died with all three, and the next start clears it ([`sweep`]).
//!
//! The directory is the first usable one of: `/run/runner` (root), `$XDG_RUNTIME_DIR/runner`, `runner-<uid>` in `/dev/shm`
//! and in the directory for temporary files. It is local to this machine and rarely outlives a reboot; neither do processes
//! and namespaces.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{self, Signal};
use serde::{Deserialize, Serialize};

use super::group_files;
use super::processes::{Row, marked};
use vocabulary::marker::run_of;

/// How long an undoing command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Entry {
    /// The runner: its pid, for people.
    Runner(u32),
    /// Remove this directory, file or mount.
    Adopt(PathBuf),
    /// This was removed.
    Release(PathBuf),
    /// Execute this command.
    Undo(Vec<String>),
    /// This was done.
    Done(Vec<String>),
}

/// What is left to undo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Left {
    runner: Option<u32>,
    paths: Vec<PathBuf>,
    commands: Vec<Vec<String>>,
}

impl Left {
    /// Replays entries; a line that was cut short by the end of its writer is ignored.
    fn of(text: &str) -> Self {
        let mut left = Self::default();
        for entry in text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()) {
            match entry {
                Entry::Runner(pid) => left.runner = Some(pid),
                Entry::Adopt(path) => left.paths.push(path),
                Entry::Release(path) => left.paths.retain(|known| *known != path),
                Entry::Undo(argv) => left.commands.push(argv),
                Entry::Done(argv) => left.commands.retain(|known| *known != argv),
            }
        }
        left
    }
}

/// The journal of the current run.
#[derive(Debug)]
pub struct Journal {
    /// The run's id: part of every marker and of every name that is made.
    pub run: String,
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

impl Journal {
    /// Makes the journal of a run and locks it.
    ///
    /// # Errors
    /// When no directory is usable, in words.
    pub fn create(run: &str) -> Result<Self, String> {
        let mut refused = Vec::new();
        for directory in directories() {
            match make_directory(&directory).and_then(|()| Self::create_in(&directory, run)) {
                Ok(journal) => return Ok(journal),
                Err(error) => refused.push(format!("{}: {error}", directory.display())),
            }
        }
        Err(format!("found no private directory for the list of things to undo: {}", refused.join("; ")))
    }

    fn create_in(directory: &Path, run: &str) -> std::io::Result<Self> {
        let path = directory.join(format!("{run}.journal"));
        let file = loop {
            let file = OpenOptions::new().create_new(true).append(true).read(true).mode(0o600).open(&path)?;
            flock(file.as_fd(), FlockOperation::LockExclusive)?;
            // Before it was locked, another start may have swept it away as a dead run's: that looks the same.
            if file.metadata()?.nlink() > 0 {
                break file;
            }
        };
        let journal = Self { run: run.to_owned(), path, file };
        journal.write(&Entry::Runner(std::process::id()))?;
        Ok(journal)
    }

    /// The file in which the journal is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor that holds the lock as long as it is open anywhere.
    pub fn lock(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn write(&self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(std::io::Error::other)?;
        line.push(b'\n');
        // One call, so that lines of several threads do not mix.
        (&self.file).write_all(&line)
    }

    /// Makes sure that a directory, file or mount is removed when the run ends, however it ends. Call this before creating
    /// it.
    ///
    /// # Errors
    /// What the system says.
    pub fn adopt(&self, path: &Path) -> std::io::Result<()> {
        self.write(&Entry::Adopt(path.to_owned()))
    }

    /// Cancels [`Journal::adopt`].
    ///
    /// # Errors
    /// What the system says.
    pub fn release(&self, path: &Path) -> std::io::Result<()> {
        self.write(&Entry::Release(path.to_owned()))
    }

    /// Makes sure that a command is executed when the run ends, however it ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn undo(&self, argv: &[String]) -> std::io::Result<()> {
        self.write(&Entry::Undo(argv.to_vec()))
    }

    /// Cancels [`Journal::undo`].
    ///
    /// # Errors
    /// What the system says.
    pub fn done(&self, argv: &[String]) -> std::io::Result<()> {
        self.write(&Entry::Done(argv.to_vec()))
    }
}

/// Undoes what a journal lists, each entry regardless of the others, and removes the journal. Nothing happens if the journal
/// no longer exists. Returns what was undone, in words.
pub(super) fn clear(path: &Path) -> Vec<String> {
    let Ok(text) = std::fs::read_to_string(path) else { return Vec::new() };
    let left = Left::of(&text);
    let mut undone = Vec::new();
    for argv in left.commands.iter().rev() {
        if execute(argv) {
            undone.push(format!("`{}`", argv.join(" ")));
        }
    }
    let mut all_gone = true;
    // What was made last may be inside what was made before.
    for path in left.paths.iter().rev() {
        let was_there = path.symlink_metadata().is_ok();
        match remove(path) {
            true if was_there => undone.push(path.display().to_string()),
            true => {}
            false => all_gone = false,
        }
    }
    // What could not be removed now may be removed at the next start.
    if all_gone {
        let _ = std::fs::remove_file(path);
    }
    undone
}

/// Executes a command to its end, for no longer than the time limit; returns whether it succeeded.
fn execute(argv: &[String]) -> bool {
    let Some((program, args)) = argv.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(status)) => return status.success(),
            // Another process has reaped it; how it ended is not known.
            Err(_) => return true,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// Removes a directory with everything in it, a mount if it is one, or a mounted file such as a network namespace. Returns
/// whether it is gone.
///
/// What is mounted below is unmounted and not emptied: it may be somebody's files that a target has bound into its own root.
/// Where unmounting is not possible, nothing is removed.
pub fn remove(path: &Path) -> bool {
    if group_files::is_group(path) {
        return group_files::remove(path);
    }
    let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
    // The last mount first, as it may be inside or on top of another; what was mounted twice is removed twice.
    for mount in mounts_below(path).iter().rev() {
        let _ = rustix::mount::unmount(mount, flags);
    }
    if !mounts_below(path).is_empty() {
        return false;
    }
    if std::fs::remove_file(path).is_err() {
        let _ = std::fs::remove_dir_all(path);
    }
    path.symlink_metadata().is_err()
}

/// The mount points at or below a path, in the order in which they were mounted.
fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read("/proc/self/mountinfo") else { return Vec::new() };
    // Mount points have no links in them.
    let path = match (path.parent().and_then(|parent| parent.canonicalize().ok()), path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    };
    let points = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points
        .map(|point| PathBuf::from(std::ffi::OsString::from_vec(unescaped(point))))
        .filter(|point| point.starts_with(&path))
        .collect()
}

/// The kernel writes blanks and similar characters as a backslash and three octal digits.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut found = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let number = || u8::from_str_radix(std::str::from_utf8(behind.get(..3)?).ok()?, 8).ok();
        match (*first == b'\\').then(number).flatten() {
            Some(byte) => {
                found.push(byte);
                rest = &behind[3..];
            }
            None => {
                found.push(*first);
                rest = behind;
            }
        }
    }
    found
}

/// Cleans up after runs that died together with their watchers; returns what was found, one line per run.
pub fn sweep() -> Vec<String> {
    directories().iter().filter(|directory| is_ours(directory).is_ok()).flat_map(|directory| sweep_in(directory)).collect()
}

fn sweep_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "journal"));
    paths.filter_map(|path| sweep_one(&path)).collect()
}

fn sweep_one(path: &Path) -> Option<String> {
    let run = path.file_stem()?.to_str()?.to_owned();
    let _lock = claim(path)?;
    let left = Left::of(&std::fs::read_to_string(path).ok()?);
    let mut found: Vec<String> = kill_run(&run).iter().map(|(pid, name)| format!("process {pid} ({name})")).collect();
    found.extend(clear(path));
    let who = left.runner.map_or_else(|| run.clone(), |pid| format!("{run} (process {pid})"));
    (!found.is_empty()).then(|| format!("run {who} ended without cleaning up; removed what it left behind: {}", found.join(", ")))
}

/// Locks a journal that nobody has.
fn claim(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    // A locked journal belongs to a living run, or another sweep is working on it.
    flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).ok()?;
    // Where another sweep has removed it meanwhile, its name may belong to a journal that is new.
    (file.metadata().ok()?.nlink() > 0).then_some(file)
}

/// Kills the processes of a run, which carry its id in their environment; returns them.
pub(super) fn kill_run(run: &str) -> Vec<(u32, String)> {
    let mut killed = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found: Vec<Row> = marked(|marker| run_of(marker) == Some(run));
        if found.is_empty() || Instant::now() > deadline {
            return killed;
        }
        for row in found {
            if !killed.iter().any(|(pid, _)| *pid == row.pid as u32) {
                killed.push((row.pid as u32, row.name()));
            }
            row.signal(Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where journals may be, best first.
fn directories() -> Vec<PathBuf> {
    let uid = process::getuid().as_raw();
    let mut all = Vec::new();
    if uid == 0 {
        all.push(PathBuf::from("/run/runner"));
    }
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute()) {
        all.push(PathBuf::from(runtime).join("runner"));
    }
    let own = format!("runner-{uid}");
    all.push(Path::new("/dev/shm").join(&own));
    all.push(std::env::temp_dir().join(own));
    all
}

/// Makes a directory that no other user may enter; an existing one must already be closed to others.
fn make_directory(path: &Path) -> std::io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => is_ours(path),
    }
}

/// Whether a directory is really one, ours, and closed to others: a stranger's could contain commands for us to execute.
fn is_ours(path: &Path) -> std::io::Result<()> {
    let found = path.symlink_metadata()?;
    if !found.is_dir() || found.uid() != process::getuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(std::io::Error::other("expected a directory of this user that is closed to others (mode 0700)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_is_not_undone() {
        let lines = [
            "{\"runner\":7}",
            "{\"adopt\":\"/a\"}",
            "{\"adopt\":\"/a/b\"}",
            "{\"undo\":[\"x\",\"1\"]}",
            "{\"undo\":[\"x\",\"2\"]}",
            "{\"done\":[\"x\",\"1\"]}",
            "{\"release\":\"/a/b\"}",
            "{\"adopt\":\"/c",
        ];
        let left = Left::of(&lines.join("\n"));
        assert_eq!(left.runner, Some(7));
        assert_eq!(left.paths, [PathBuf::from("/a")]);
        assert_eq!(left.commands, [["x", "2"]]);
    }

    /// Sweeping while others start must take nothing away from them.
    #[test]
    fn a_journal_that_is_being_made_is_not_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sweep = || {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
                        // As `sweep_one`, without its search for processes.
                        if let Some(_lock) = claim(&entry.path()) {
                            clear(&entry.path());
                        }
                    }
                }
            };
            (0..4).for_each(|_| drop(scope.spawn(sweep)));
            let missing = (0..20_000).filter(|number| {
                let journal = Journal::create_in(folder.path(), &format!("run{number}")).unwrap();
                let is_there = journal.path().exists();
                clear(journal.path());
                !is_there
            });
            let missing = missing.count();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(missing, 0);
        });
    }

    #[test]
    fn each_part_is_undone_whatever_became_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("scratch/deep")).unwrap();
        std::fs::write(at("file"), "x").unwrap();
        std::fs::write(at("target"), "kept").unwrap();
        std::os::unix::fs::symlink(at("target"), at("link")).unwrap();
        let journal = Journal::create_in(folder.path(), "run").unwrap();
        for name in ["scratch", "never-made", "file", "link"] {
            journal.adopt(&at(name)).unwrap();
        }
        journal.undo(&["no-such-program-at-all".to_owned()]).unwrap();
        journal.undo(&["false".to_owned()]).unwrap();
        journal.undo(&["touch".to_owned(), at("undone").display().to_string()]).unwrap();
        let undone = clear(journal.path());
        assert!(at("undone").exists());
        for name in ["scratch", "file", "link", "run.journal"] {
            assert!(at(name).symlink_metadata().is_err(), "{name} is still there");
        }
        assert_eq!(std::fs::read_to_string(at("target")).unwrap(), "kept", "a link is removed, not what it leads to");
        assert_eq!(undone.len(), 4, "{undone:?}");
        assert!(clear(journal.path()).is_empty());
    }

    #[test]
    fn a_journal_that_somebody_holds_is_left_alone_and_an_orphan_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        std::fs::create_dir(&left).unwrap();
        let journal = Journal::create_in(folder.path(), "0123abcd0123abcd").unwrap();
        journal.adopt(&left).unwrap();
        assert!(sweep_in(folder.path()).is_empty());
        assert!(left.exists());
        drop(journal);
        // A child that another thread has just forked may hold a copy of the lock until it executes its program.
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut said = Vec::new();
        while said.is_empty() && Instant::now() < deadline {
            said = sweep_in(folder.path());
        }
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("0123abcd0123abcd") && said[0].contains("left"), "{said:?}");
        assert!(!left.exists());
        assert!(sweep_in(folder.path()).is_empty());
    }

    #[test]
    fn mount_points_are_told_with_their_blanks() {
        assert_eq!(unescaped(b"/a\\040b\\134c\\0"), b"/a b\\c\\0");
    }

    #[test]
    fn what_is_mounted_below_is_unmounted_and_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("precious")).unwrap();
        std::fs::write(at("precious/file"), "kept").unwrap();
        std::fs::create_dir_all(at("scratch/a root")).unwrap();
        if rustix::mount::mount_bind(at("precious"), at("scratch/a root")).is_err() {
            eprintln!("NOT TESTED: mounting is not allowed here");
            return;
        }
        assert_eq!(mounts_below(&at("scratch")).len(), 1);
        assert!(remove(&at("scratch")));
        assert_eq!(std::fs::read_to_string(at("precious/file")).unwrap(), "kept");
        assert!(!at("scratch").exists() && mounts_below(folder.path()).is_empty());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runner");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(make_directory(&path).is_err());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(make_directory(&link).is_err());
    }
}
