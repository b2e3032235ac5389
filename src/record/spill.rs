//! A file that always finds room: one in memory continues on disk when memory is full, and one on a full disk waits if the
//! caller is patient. What was recorded is never lost.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vocabulary::errors::tell;

/// How many bytes may wait in memory for a full disk: days of windows and samples.
const ROOM: usize = 256 << 20;
/// How soon writing to a full disk is retried.
const AGAIN: Duration = Duration::from_secs(1);

/// Where recording continues when there is no room, and whether it did.
#[derive(Clone, Debug, Default)]
pub struct Spill {
    /// A directory on disk, for files that start in memory.
    pub directory: Option<PathBuf>,
    /// Whether some file had to move there.
    pub happened: Arc<AtomicBool>,
    /// Waiting in memory for a full disk, if that is wanted.
    pub patience: Option<Arc<Patience>>,
}

impl Spill {
    /// Continues in a directory that need not exist yet.
    pub fn into(directory: &Path) -> Self {
        Self { directory: Some(directory.to_owned()), ..Self::default() }
    }
}

/// What waits in memory for a full disk.
#[derive(Debug, Default)]
pub struct Patience {
    waiting: AtomicUsize,
    given_up: AtomicBool,
    told: AtomicBool,
}

impl Patience {
    /// Stops waiting: from now on it is an error if there is no room.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether there is room for this many more bytes; if so, takes it.
    fn takes(&self, bytes: usize) -> bool {
        let fits = !self.is_given_up() && self.waiting.load(Ordering::Relaxed) + bytes <= ROOM;
        if fits {
            self.waiting.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn wrote(&self, bytes: usize) {
        if self.waiting.fetch_sub(bytes, Ordering::Relaxed) == bytes && self.told.swap(false, Ordering::Relaxed) {
            tell("the disk has room again; no part of the tables was lost");
        }
    }

    fn tell_of(&self, path: &Path, error: &io::Error) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tell(format_args!("warning: cannot write {}: {error}; tables wait in memory; writing is retried", path.display()));
        }
    }
}

/// A file that is being written; a clone is the same file.
#[derive(Clone, Debug)]
pub struct SpillFile(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// None while there is no room even for its name.
    file: Option<File>,
    path: PathBuf,
    spill: Spill,
    /// What follows the end of the file.
    waiting: Vec<u8>,
    tried: Option<Instant>,
}

impl SpillFile {
    /// Creates the file at `path`; if there is no room, on disk at once.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(path: &Path, spill: Option<Spill>) -> io::Result<Self> {
        let mut inner =
            Inner { file: None, path: path.to_owned(), spill: spill.unwrap_or_default(), waiting: Vec::new(), tried: None };
        match inner.open() {
            Err(error) if is_full(&error) && inner.spill.patience.is_some() => inner.put_off(&error),
            opened => opened?,
        }
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Where it is now.
    pub fn path(&self) -> PathBuf {
        self.inner().path.clone()
    }

    /// Waits until all of it is written, and makes it durable.
    ///
    /// # Errors
    /// What the system said; for a full disk, only if the caller is not patient.
    pub fn settle(&self) -> io::Result<()> {
        loop {
            let mut inner = self.inner();
            inner.tried = None;
            match inner.write_waiting() {
                Ok(()) => {}
                Err(error) if is_full(&error) && !inner.is_impatient() => {
                    inner.put_off(&error);
                    drop(inner);
                    std::thread::sleep(AGAIN);
                    continue;
                }
                Err(error) => return Err(error),
            }
            return match &inner.file {
                Some(file) => file.sync_all(),
                None => Ok(()),
            };
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open(&mut self) -> io::Result<()> {
        let created = File::options().read(true).write(true).create(true).truncate(true).open(&self.path);
        match (created, self.spill.directory.take()) {
            (Err(error), Some(there)) if is_full(&error) => {
                let to = there.join(self.path.file_name().unwrap_or_default());
                std::fs::create_dir_all(&there)?;
                self.spill.happened.store(true, Ordering::Relaxed);
                self.path = to;
                self.open()
            }
            (created, there) => {
                (self.file, self.spill.directory) = (Some(created?), there);
                Ok(())
            }
        }
    }

    /// Writes a part of something; if there is no room in memory, it continues on disk.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.open()?;
        }
        let Some(file) = &mut self.file else { return Ok(0) };
        match file.write(bytes) {
            Err(error) if is_full(&error) && self.spill.directory.is_some() => {
                self.move_to_disk()?;
                self.write_some(bytes)
            }
            written => written,
        }
    }

    /// Copies to disk what has been written so far, and continues there.
    fn move_to_disk(&mut self) -> io::Result<()> {
        let (Some(file), Some(there)) = (&mut self.file, &self.spill.directory) else { return Ok(()) };
        std::fs::create_dir_all(there)?;
        let to = there.join(self.path.file_name().unwrap_or_default());
        let mut on_disk = File::create(&to)?;
        file.rewind()?;
        if let Err(error) = io::copy(file, &mut on_disk) {
            // It stays where it is, and continues after its end.
            file.seek(io::SeekFrom::End(0))?;
            return Err(error);
        }
        // The memory that was freed is for others to use.
        let _ = std::fs::remove_file(&self.path);
        (self.file, self.path, self.spill.directory) = (Some(on_disk), to, None);
        self.spill.happened.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn is_impatient(&self) -> bool {
        self.spill.patience.as_ref().is_none_or(|patience| patience.is_given_up())
    }

    fn put_off(&mut self, error: &io::Error) {
        self.tried = Some(Instant::now());
        if let Some(patience) = &self.spill.patience {
            patience.tell_of(&self.path, error);
        }
    }

    /// Writes what is waiting, unless that was tried just now.
    fn write_waiting(&mut self) -> io::Result<()> {
        if self.tried.is_some_and(|at| at.elapsed() < AGAIN) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut written = 0;
        let mut result = Ok(());
        while written < waiting.len() && result.is_ok() {
            match self.write_some(&waiting[written..]) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
        }
        if let Some(patience) = self.spill.patience.as_ref().filter(|_| written > 0) {
            patience.wrote(written);
        }
        self.waiting = waiting;
        self.waiting.drain(..written);
        result
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self.waiting.is_empty() && self.tried.is_none() {
            true => self.write_some(bytes),
            false => self.write_waiting().and_then(|()| {
                self.tried = None;
                self.write_some(bytes)
            }),
        };
        match written {
            Err(error) if is_full(&error) && self.spill.patience.as_ref().is_some_and(|p| p.takes(bytes.len())) => {
                if self.tried.is_none_or(|at| at.elapsed() >= AGAIN) {
                    self.put_off(&error);
                }
                self.waiting.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            written => written,
        }
    }
}

impl Write for SpillFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file on a full disk: the system has a device for that.
    fn full(patience: Option<Arc<Patience>>) -> SpillFile {
        let file =
            SpillFile::create(&tempfile::tempdir().unwrap().path().join("gone"), Some(Spill { patience, ..Spill::default() }));
        let file = file.unwrap();
        file.inner().file = Some(File::options().write(true).open("/dev/full").unwrap());
        file
    }

    #[test]
    fn what_finds_no_room_waits_and_nothing_is_lost_or_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let mut file = full(Some(Arc::default()));
        let mut expected = Vec::new();
        for piece in 0..100_u8 {
            let bytes = vec![piece; 1000];
            file.write_all(&bytes).unwrap();
            expected.extend(bytes);
        }
        assert_eq!(file.inner().waiting.len(), 100_000);
        // There is room again.
        file.inner().file = Some(File::create(&path).unwrap());
        file.write_all(b"behind").unwrap();
        expected.extend(b"behind");
        file.settle().unwrap();
        file.write_all(b"!").unwrap();
        expected.extend(b"!");
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        assert_eq!(file.inner().spill.patience.as_ref().unwrap().waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn patience_has_a_bound_and_an_end() {
        let patience: Arc<Patience> = Arc::default();
        let mut file = full(Some(Arc::clone(&patience)));
        patience.waiting.store(ROOM - 10, Ordering::Relaxed);
        file.write_all(b"0123456789").unwrap();
        assert!(is_full(&file.write_all(b"x").unwrap_err()));
        patience.give_up();
        assert!(is_full(&file.settle().unwrap_err()));
        assert!(is_full(&full(None).write_all(b"x").unwrap_err()));
    }
}
