//! The directory of a run while it is being made.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::files::{json_bytes, make_directory, read_json, sync_below, sync_directory, write_whole};
use super::manifest::Manifest;
use super::spill::Spill;
use super::status::Status;
use super::{Error, PLAN_FORMAT};
use super::{ahead, taps_ahead};
use plan::order::Turn;
use plan::{Cell, Plan, Secrets};

/// The directory of a run, locked: no other runner writes to it meanwhile.
#[derive(Debug)]
pub struct RunDirectory {
    /// The directory of the run.
    pub path: PathBuf,
    /// Its name: time and id.
    pub name: String,
    /// Secrets, which must not be written.
    pub(super) secrets: Secrets,
    /// The lock is the kernel's (flock) and ends with the process, however the process ends.
    lock: File,
}

/// Whether a runner is writing to the directory of a run. It may have ended, or started, by the time that this is known.
pub fn is_at_work(path: &Path) -> bool {
    // Shared, and released at once: several may ask at a time, and only the writer keeps the lock.
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Which process holds the lock on a directory, according to `/proc/locks`; it may be gone by now.
fn holder(directory: &File) -> Option<String> {
    let inode = directory.metadata().ok()?.ino();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, inode))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("{} with process id {pid}", if name.is_empty() { "a process" } else { name.trim() }))
}

/// The process id in a line of `/proc/locks`, if the line is about a lock on a whole file with this number. The device is
/// not compared: some file systems show another one there.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = words.iter().position(|word| *word == "FLOCK")?;
    let [pid, file] = [words.get(kind + 3)?, words.get(kind + 4)?];
    let number = file.rsplit(':').next()?.parse::<u64>().ok()?;
    // A line with an arrow is about a process that waits.
    (number == inode && !words.contains(&"->")).then(|| pid.parse().ok())?
}

/// Locks a directory for a single writer, until the file is dropped or the process ends.
///
/// # Errors
/// [`Error::Locked`] when another runner has it; [`Error::Read`].
pub fn lock(path: &Path) -> Result<File, Error> {
    let file = File::open(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_owned(), holder: holder(&file) }),
        // A file system without locks: the directory is not protected.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

impl RunDirectory {
    /// Makes a new directory `<out>/<experiment>/<UTC time>-<id>` with the experiment as typed, the plan and the manifest.
    ///
    /// # Errors
    /// [`Error::Write`]; nothing is ever overwritten.
    pub fn create(out: &Path, plan: &Plan, manifest: &Manifest) -> Result<Self, Error> {
        let (secrets, text) = (&plan.secrets, &plan.text);
        let (parent, seed) = (out.join(&plan.experiment), plan.seed);
        let plan = plan_json(plan)?;
        make_directory(&parent)?;
        let (name, path) = loop {
            let name = name_of_run(&parent, seed);
            let path = parent.join(&name);
            match std::fs::create_dir(&path) {
                Ok(()) => break (name, path),
                // Another runner was faster.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Write { path, source }),
            }
        };
        let lock = lock(&path)?;
        sync_directory(&parent).map_err(|source| Error::Write { path: parent, source })?;
        write_whole(&path.join("experiment.yaml"), text.as_bytes())?;
        write_whole(&path.join("plan.json"), &json_bytes(&plan))?;
        write_whole(&path.join("manifest.json"), &json_bytes(&masked(manifest, secrets)))?;
        Ok(Self { path, name, secrets: secrets.clone(), lock })
    }

    /// Opens the directory of a run to resume it. Whatever was being written when the run ended is removed, and a repetition
    /// whose status cannot be read is moved aside as `run<N>.damaged`, so that it can be executed again.
    ///
    /// Returns the existing repetitions, and what was moved aside.
    ///
    /// # Errors
    /// [`Error::Locked`] when another runner is writing there; [`Error::Read`], [`Error::Write`].
    pub fn reopen(path: &Path, plan: &Plan) -> Result<(Self, BTreeSet<Turn>, Vec<PathBuf>), Error> {
        let lock = lock(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (mut done, mut aside) = (BTreeSet::new(), Vec::new());
        for (index, cell) in plan.cells.iter().enumerate() {
            let folder = path.join("cells").join(&cell.path);
            if let Some(link) = folder.ancestors().take_while(|part| *part != path).find(|part| part.is_symlink()) {
                return Err(Error::Link { path: link.to_owned() });
            }
            let mut entries: Vec<PathBuf> = match std::fs::read_dir(&folder) {
                Ok(entries) => entries.flatten().map(|e| e.path()).collect(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(Error::Read { path: folder, source }),
            };
            entries.sort();
            for entry in entries {
                let file_name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if let Some(number) = file_name.strip_prefix(".run").and_then(|name| name.strip_suffix("-partial")) {
                    // Salvaged repetitions may have logs there.
                    if number.parse().is_ok_and(|number| folder.join(ahead::name(number)).exists()) {
                        continue;
                    }
                    std::fs::remove_dir_all(&entry).map_err(|source| Error::Write { path: entry, source })?;
                    continue;
                }
                let Some(repetition) = file_name.strip_prefix("run").and_then(|n| n.parse().ok()) else { continue };
                if read_json::<Status>(&entry.join("status.json")).is_ok() {
                    done.insert(Turn { cell: index, repetition });
                } else {
                    let mut to = entry.with_extension("damaged");
                    for number in 2.. {
                        if !to.exists() {
                            break;
                        }
                        to = entry.with_extension(format!("damaged{number}"));
                    }
                    let moved = std::fs::rename(&entry, &to).and_then(|()| sync_directory(&folder));
                    moved.map_err(|source| Error::Write { path: entry, source })?;
                    aside.push(to);
                }
            }
        }
        Ok((Self { path: path.to_owned(), name, secrets: plan.secrets.clone(), lock }, done, aside))
    }

    /// Writes the manifest again.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        write_whole(&self.path.join("manifest.json"), &json_bytes(&masked(manifest, &self.secrets)))
    }

    /// Masks secrets in what set-up and clean-up steps around repetitions have printed into a folder of the run, and below
    /// it.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn mask_logs(&self, folder: &Path) -> Result<(), Error> {
        mask(&self.secrets, folder)
    }

    /// Refuses to continue when this directory is no longer at its path: what would be written there now would be lost, or
    /// create half a run in a new directory.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn is_there(&self) -> Result<(), Error> {
        let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let ours = self.lock.metadata().map(of);
        match (self.path.metadata().map(of), ours) {
            (Ok(there), Ok(ours)) if there == ours => Ok(()),
            // If it cannot be examined, the next write reports that.
            (Err(error), _) if error.kind() != std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(Error::Gone { path: self.path.clone() }),
        }
    }

    /// Starts writing a repetition. `memory`: a directory in which it is recorded first.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn repetition(&self, cell: &Cell, repetition: u32, memory: Option<&Path>) -> Result<RepetitionWriter, Error> {
        self.is_there()?;
        let parent = self.path.join("cells").join(&cell.path);
        make_directory(&parent)?;
        let partial = parent.join(format!(".run{repetition}-partial"));
        let memory = memory.map(|memory| memory.join(format!("run{repetition}")));
        make_directory(&memory.as_ref().unwrap_or(&partial).join("logs"))?;
        let whole = parent.join(format!("run{repetition}"));
        let ahead = parent.join(ahead::name(repetition));
        let (run, secrets) = (self.path.clone(), self.secrets.clone());
        let taps = cell.taps.len();
        Ok(RepetitionWriter { run, partial, memory, whole, ahead, repetition, taps, secrets, done: false })
    }
}

/// A name for a run that starts now, which no run in this folder has: time and id.
pub fn name_of_run(parent: &Path, seed: u64) -> String {
    let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut id = seed ^ u64::from(std::process::id()).wrapping_mul(0x9E37_79B9);
    loop {
        let name = format!("{time}-{:04x}", (id ^ (id >> 16) ^ (id >> 32)) & 0xffff);
        if !parent.join(&name).exists() {
            return name;
        }
        id = id.wrapping_add(1);
    }
}

fn mask(secrets: &Secrets, folder: &Path) -> Result<(), Error> {
    secrets.mask_directory(folder).map_err(|(path, source)| Error::Write { path, source })?;
    readable(folder)
}

/// Logs could be read only by us while they might contain a secret; from now on they are like any other result.
fn readable(folder: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok()).unwrap_or(0o022);
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => readable(&path)?,
            Ok(kind) if kind.is_file() => {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666 & !umask))
                    .map_err(|source| Error::Write { path, source })?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn masked(manifest: &Manifest, secrets: &Secrets) -> Manifest {
    manifest.clone().with_words(|word| secrets.mask(word).into_owned())
}

/// A plan as written to `plan.json`.
///
/// # Errors
/// [`Error::Plan`] when it contains a path that is not UTF-8.
pub fn plan_json(plan: &Plan) -> Result<serde_json::Value, Error> {
    let mut json = serde_json::to_value(plan).map_err(Error::Plan)?;
    if let serde_json::Value::Object(map) = &mut json {
        map.shift_insert(0, "format".to_owned(), PLAN_FORMAT.into());
    }
    Ok(json)
}

/// A repetition that is being written, under a temporary name.
#[derive(Debug)]
pub struct RepetitionWriter {
    /// The directory of the run.
    run: PathBuf,
    partial: PathBuf,
    /// Where it is recorded before it is moved to `partial`.
    memory: Option<PathBuf>,
    whole: PathBuf,
    /// Where its transfers may be kept before it is complete.
    ahead: PathBuf,
    repetition: u32,
    /// How many taps its cell has.
    taps: usize,
    secrets: Secrets,
    done: bool,
}

impl RepetitionWriter {
    /// Where its files are made.
    pub fn directory(&self) -> &Path {
        self.memory.as_deref().unwrap_or(&self.partial)
    }

    /// Where recording continues when there is no room in memory; none if it is on disk anyway.
    pub fn spill(&self) -> Spill {
        self.memory.as_ref().map_or_else(Spill::default, |_| Spill::into(&self.partial))
    }

    /// Where its transfers can be kept until it is complete; see [`ahead::Ahead`].
    pub fn ahead(&self) -> &Path {
        &self.ahead
    }

    /// Where the rows of a tap can be kept until then, by the index of the tap; see [`taps_ahead::TapAhead`].
    pub fn tap_ahead(&self, tap: usize) -> PathBuf {
        self.ahead.with_file_name(taps_ahead::name(self.repetition, tap))
    }

    /// Where logs are made.
    pub fn logs(&self) -> PathBuf {
        self.directory().join("logs")
    }

    /// Writes events and status, makes everything durable, and then gives the repetition its name: whenever the name exists,
    /// even after a power failure, everything that belongs to the repetition exists, too.
    ///
    /// # Errors
    /// [`Error::Write`]; the repetition then does not exist, and every other one is unchanged. You may try again.
    pub fn finish(&mut self, events: &[serde_json::Value], status: &Status) -> Result<PathBuf, Error> {
        if let Some(memory) = &self.memory {
            // A directory that was removed meanwhile is not created again.
            if !self.run.is_dir() {
                return Err(Error::Gone { path: self.run.clone() });
            }
            move_into(memory, &self.partial)?;
        }
        // Nothing is read before the folder has its name, so these files need no temporary names.
        let write = |name: &str, bytes: &[u8]| {
            let path = self.partial.join(name);
            std::fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
        };
        let lines: String = events.iter().map(|e| format!("{e}\n")).collect();
        write("events.jsonl", lines.as_bytes())?;
        // An empty log is removed.
        for log in std::fs::read_dir(self.partial.join("logs")).into_iter().flatten().flatten() {
            if log.metadata().is_ok_and(|m| m.len() == 0) {
                let _ = std::fs::remove_file(log.path());
            }
        }
        for folder in ["logs", "collected"] {
            mask(&self.secrets, &self.partial.join(folder))?;
        }
        write("status.json", &json_bytes(status))?;
        sync_below(&self.partial)?;
        let failed = |source| Error::Write { path: self.whole.clone(), source };
        std::fs::rename(&self.partial, &self.whole).map_err(failed)?;
        self.done = true;
        sync_directory(self.whole.parent().unwrap_or(Path::new("."))).map_err(failed)?;
        // What was kept separately is now part of it. If this fails, the next start sees that the repetition is complete.
        self.forget_ahead();
        Ok(self.whole.clone())
    }

    /// Removes what was kept separately: nothing is lost.
    pub fn forget_ahead(&self) {
        if !self.ahead.exists() {
            return;
        }
        // Without the file of the transfers nobody would look for the others.
        taps_ahead::remove(self.ahead.parent().unwrap_or(Path::new(".")), self.repetition, self.taps);
        let _ = std::fs::remove_file(&self.ahead);
    }
}

/// Copies a directory to disk; files that are already there, because there was no room in memory, stay.
fn move_into(from: &Path, to: &Path) -> Result<(), Error> {
    make_directory(to)?;
    for entry in std::fs::read_dir(from).map_err(|source| Error::Read { path: from.to_owned(), source })?.flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            move_into(&path, &to)?;
            continue;
        }
        std::fs::copy(&path, &to).map_err(|source| Error::Write { path: to.clone(), source })?;
    }
    Ok(())
}

impl Drop for RepetitionWriter {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            let _ = std::fs::remove_dir_all(memory);
        }
        if !self.done {
            let _ = std::fs::remove_dir_all(&self.partial);
        }
    }
}
