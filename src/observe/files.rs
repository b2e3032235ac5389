//! Opening what is read: a file that cannot be opened for want of descriptors or memory is not one that is gone.
//!
//! Most of what reads `/proc` takes a failure for the end of a process, as it mostly is. Where it is ours, it is counted here,
//! by thread, and whoever makes a sample of what was read says that it is not complete.

use std::cell::Cell;
use std::fs::{self, File, ReadDir};
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;

thread_local! {
    static STARVED: Cell<u64> = const { Cell::new(0) };
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST_HELD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Has this thread hold no more files open than this: others of this process need descriptors, too.
pub(super) fn hold_at_most(files: usize) {
    MOST_HELD.set(files);
}

/// A file that stays open.
#[derive(Debug)]
pub(super) struct Held(pub File);

impl Held {
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        if HELD.get() >= MOST_HELD.get() {
            return noted(Err(Errno::MFILE.into()));
        }
        let file = open(path)?;
        HELD.set(HELD.get() + 1);
        Ok(Self(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.set(HELD.get().saturating_sub(1));
    }
}

/// How often this thread could not open something that may have been there.
pub(super) fn starved() -> u64 {
    STARVED.get()
}

fn noted<T>(result: io::Result<T>) -> io::Result<T> {
    if let Err(error) = &result
        && matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
    {
        STARVED.set(STARVED.get() + 1);
    }
    result
}

pub(super) fn open(path: impl AsRef<Path>) -> io::Result<File> {
    noted(File::open(path))
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
    noted(fs::read_dir(path))
}
