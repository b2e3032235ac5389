//! Files that cross the channel in pieces, below a folder of the receiver.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::SyncSender;

use serde::Serialize;

use super::frame::{Frame, Outgoing, PIECE};
use super::message::FileHead;

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is.
    pub from: PathBuf,
    /// What the receiver calls it.
    pub name: PathBuf,
}

/// Sends a file; `announce`: makes the message that comes before it.
pub(crate) fn send<M: Serialize>(file: &File, to: &SyncSender<Outgoing>, announce: impl FnOnce(FileHead) -> M) -> io::Result<()> {
    let mut from = std::fs::File::open(&file.from)?;
    let metadata = from.metadata()?;
    let bytes = metadata.len();
    let mode = metadata.permissions().mode() & 0o777;
    let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the other end is gone");
    let head = announce(FileHead { path: file.name.clone(), bytes, mode });
    to.send(Outgoing::Frame(Frame::message(&head))).map_err(|_| gone())?;
    let mut left = bytes;
    while left > 0 {
        let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
        // A file that has become shorter meanwhile is not what was announced.
        from.read_exact(&mut piece)?;
        left -= piece.len() as u64;
        to.send(Outgoing::Frame(Frame::Piece(piece))).map_err(|_| gone())?;
    }
    Ok(())
}

/// The files of a folder and of those in it, with their paths below it; links are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_below(directory: &Path) -> io::Result<Vec<File>> {
    fn below(folder: &Path, name: &Path, found: &mut Vec<File>) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (from, name, kind) = (entry.path(), name.join(entry.file_name()), entry.file_type()?);
            if kind.is_dir() {
                below(&from, &name, found)?;
            } else if kind.is_file() {
                found.push(File { from, name });
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    below(directory, Path::new(""), &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A file that arrives.
#[derive(Debug)]
pub(crate) struct Incoming {
    file: std::fs::File,
    left: u64,
}

impl Incoming {
    /// Starts a file below `folder`; a full path is taken as one below it.
    pub(crate) fn start(folder: &Path, head: &FileHead) -> io::Result<Self> {
        let mut path = folder.to_owned();
        for part in head.path.components() {
            match part {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) => path.push(name),
                Component::ParentDir | Component::Prefix(_) => {
                    let words = format!("the file {} leaves its folder", head.path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
                }
            }
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        // A key that only its user may read stays one.
        file.set_permissions(std::fs::Permissions::from_mode(head.mode & 0o777))?;
        Ok(Self { file, left: head.bytes })
    }

    /// Takes a piece.
    pub(crate) fn add(&mut self, piece: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a file is longer than announced"))?;
        self.file.write_all(piece)
    }

    /// Whether all of it is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let head = |path: &str| FileHead { path: path.into(), bytes: 2, mode: 0o750 };
        assert!(Incoming::start(folder.path(), &head("../x")).unwrap_err().to_string().contains("leaves its folder"));
        let mut file = Incoming::start(folder.path(), &head("/a/b/c.sh")).unwrap();
        assert!(!file.is_whole());
        file.add(b"ok").unwrap();
        assert!(file.is_whole() && file.add(b"!").is_err());
        let written = folder.path().join("a/b/c.sh");
        assert_eq!(std::fs::read(&written).unwrap(), b"ok");
        assert_eq!(written.metadata().unwrap().permissions().mode() & 0o777, 0o750);
    }
}
