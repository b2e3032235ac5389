//! A file in memory that goes on on disk when there is no room left: what is recorded is never lost.

use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where recording goes on, and whether it does.
#[derive(Clone, Debug)]
pub struct Spill {
    /// A directory on disk.
    pub directory: PathBuf,
    /// Whether some file is there.
    pub happened: Arc<AtomicBool>,
}

impl Spill {
    /// Into a directory that need not be there yet.
    pub fn into(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), happened: Arc::default() }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct SpillFile {
    file: File,
    path: PathBuf,
    spill: Option<Spill>,
}

impl SpillFile {
    /// Creates it at `path`; where that is full, on disk at once.
    ///
    /// # Errors
    /// What the system said.
    pub fn create(path: &Path, spill: Option<Spill>) -> io::Result<Self> {
        match File::options().read(true).write(true).create(true).truncate(true).open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned(), spill }),
            Err(error) => match &spill {
                Some(there) if is_full(&error) => {
                    let to = there.directory.join(path.file_name().unwrap_or_default());
                    std::fs::create_dir_all(&there.directory)?;
                    there.happened.store(true, Ordering::Relaxed);
                    Ok(Self { file: File::create(&to)?, path: to, spill: None })
                }
                _ => Err(error),
            },
        }
    }

    /// Where it is by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes what is written so far to disk, and goes on there.
    fn move_to(&mut self, spill: &Spill) -> io::Result<()> {
        std::fs::create_dir_all(&spill.directory)?;
        let to = spill.directory.join(self.path.file_name().unwrap_or_default());
        let mut on_disk = File::create(&to)?;
        self.file.rewind()?;
        io::copy(&mut self.file, &mut on_disk)?;
        // What is free in memory again is others' to use.
        let _ = std::fs::remove_file(&self.path);
        (self.file, self.path) = (on_disk, to);
        spill.happened.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Write for SpillFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes) {
            Err(error) if is_full(&error) => match self.spill.take() {
                Some(spill) => {
                    self.move_to(&spill)?;
                    self.file.write(bytes)
                }
                None => Err(error),
            },
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
