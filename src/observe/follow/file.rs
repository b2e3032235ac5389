//! A file that is followed by its name, as `tail -F` does: it may appear later, become shorter, and be replaced.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// A file and the position up to which it was read.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    /// The file that had the name when it was last looked up, and its device and number.
    open: Option<(File, (u64, u64))>,
    /// What exists at the first look is older than the experiment, and skipped.
    skip_first: bool,
    /// Whether it ever existed.
    pub appeared: bool,
}

/// The result of one look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This many bytes were read; there may be more.
    Read(usize),
    /// The next bytes belong to another file, or to the same one from its start.
    Anew,
    /// There is nothing new.
    Nothing,
}

impl Followed {
    /// `skip_first`: whether to skip the content of a file that exists at once.
    pub fn new(path: PathBuf, skip_first: bool) -> Self {
        Self { path, open: None, skip_first, appeared: false }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much of it has not been read yet.
    pub fn unread(&self) -> u64 {
        let Some((mut file, _)) = self.open.as_ref().map(|(file, id)| (file, id)) else {
            return std::fs::metadata(&self.path).map_or(0, |there| there.len());
        };
        let at = file.stream_position().unwrap_or_default();
        file.metadata().map_or(0, |there| there.len().saturating_sub(at))
    }

    /// Continues reading.
    ///
    /// # Errors
    /// What the system said; a missing file is not an error.
    pub fn look(&mut self, buffer: &mut [u8]) -> io::Result<Look> {
        let Some((file, id)) = &mut self.open else { return self.open() };
        let there = file.metadata()?.len();
        if there < file.stream_position()? {
            file.seek(SeekFrom::Start(0))?;
            return Ok(Look::Anew);
        }
        match file.read(buffer)? {
            // A file that is replaced has been written to its end.
            0 if std::fs::metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) != *id) => self.open(),
            0 => Ok(Look::Nothing),
            read => Ok(Look::Read(read)),
        }
    }

    fn open(&mut self) -> io::Result<Look> {
        let skip = std::mem::take(&mut self.skip_first);
        // Opening a pipe would wait for a writer.
        let opened = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(&self.path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Look::Nothing),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        if skip {
            file.seek(SeekFrom::End(0))?;
        }
        self.appeared = true;
        self.open = Some((file, (metadata.dev(), metadata.ino())));
        Ok(Look::Anew)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Everything that is new.
    fn read(file: &mut Followed) -> String {
        let (mut all, mut buffer) = (Vec::new(), [0; 7]);
        loop {
            match file.look(&mut buffer).unwrap() {
                Look::Read(length) => all.extend_from_slice(&buffer[..length]),
                Look::Anew => all.extend_from_slice(b"|"),
                Look::Nothing => return String::from_utf8(all).unwrap(),
            }
        }
    }

    fn append(path: &Path, text: &str) {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn a_file_appears_grows_is_truncated_rotated_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut file = Followed::new(path.clone(), true);
        assert_eq!((read(&mut file).as_str(), file.appeared), ("", false));
        append(&path, "what came later is new\n");
        assert_eq!((read(&mut file).as_str(), file.appeared), ("|what came later is new\n", true));
        append(&path, "more\n");
        assert_eq!(read(&mut file), "more\n");
        std::fs::write(&path, "short\n").unwrap();
        assert_eq!(read(&mut file), "|short\n");
        append(&path, "last of the old\n");
        std::fs::rename(&path, folder.path().join("log.1")).unwrap();
        assert_eq!(read(&mut file), "last of the old\n");
        append(&folder.path().join("log.1"), "even later\n");
        append(&path, "first of the new\n");
        assert_eq!(read(&mut file), "even later\n|first of the new\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(&mut file), "");
    }

    #[test]
    fn what_is_older_is_skipped_where_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        append(&path, "old\n");
        let (mut skipping, mut whole) = (Followed::new(path.clone(), true), Followed::new(path.clone(), false));
        assert_eq!([read(&mut skipping), read(&mut whole)], ["|", "|old\n"]);
        append(&path, "new\n");
        assert_eq!([read(&mut skipping), read(&mut whole)], ["new\n", "new\n"]);
    }

    #[test]
    fn what_is_no_file_is_an_error_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = Followed::new(folder.path().to_owned(), false).look(&mut [0; 8]).unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(Followed::new(pipe, false).look(&mut [0; 8]).is_err());
    }
}
