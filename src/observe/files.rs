//! Opens the files that are read: a file that cannot be opened for lack of descriptors or memory has not disappeared.
//!
//! Most code that reads `/proc` takes a failure for the end of a process, which it usually is. Failures with other causes are
//! counted here, per thread, and samples made from such readings are marked as incomplete.

use std::cell::Cell;
use std::fs::{self, File, ReadDir};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;

thread_local! {
    static REFUSED_OPENS: Cell<u64> = const { Cell::new(0) };
    static OPEN: Cell<usize> = const { Cell::new(0) };
    static MOST_OPEN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Limits how many files this thread holds open: other parts of this process need descriptors, too.
pub(super) fn keep_open_at_most(files: usize) {
    MOST_OPEN.set(files);
}

/// A file that stays open.
#[derive(Debug)]
pub(super) struct OpenFile(pub File);

impl OpenFile {
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        if OPEN.get() >= MOST_OPEN.get() {
            return counted(Err(Errno::MFILE.into()));
        }
        let file = open(path)?;
        OPEN.set(OPEN.get() + 1);
        Ok(Self(file))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}

/// How often this thread could not open something that may have existed.
pub(super) fn refused_opens() -> u64 {
    REFUSED_OPENS.get()
}

fn counted<T>(result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result
        && matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
    {
        REFUSED_OPENS.set(REFUSED_OPENS.get() + 1);
    }
    result
}

pub(super) fn open(path: impl AsRef<Path>) -> io::Result<File> {
    counted(File::open(path))
}

pub(super) fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(io::Error::other)
}

pub(super) fn list(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    counted(fs::read_dir(path))
}
