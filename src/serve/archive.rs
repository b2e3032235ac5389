//! Generated files, one after the other in a file without a name: nothing is left when the process ends, and a name is looked
//! up here and never on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

/// How many bytes are copied at a time.
const PIECE: usize = 1 << 16;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub offset: u64,
    pub bytes: u64,
    /// A hash of its bytes, as used in `etag`.
    pub tag: String,
    /// When its content last changed, in seconds since 1970.
    pub modified: i64,
}

/// All files of one kind. No longer written to.
#[derive(Debug)]
pub(super) struct Archive {
    pub file: Arc<File>,
    pub entries: BTreeMap<String, Entry>,
}

/// An archive that is being made.
pub(super) struct Making {
    file: BufWriter<File>,
    at: u64,
    entries: BTreeMap<String, Entry>,
}

impl Making {
    /// `folder`: where the file is made; it loses its name at once.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        let path = folder.join("archive");
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Self { file: BufWriter::with_capacity(PIECE, file), at: 0, entries: BTreeMap::new() })
    }

    /// Adds a file.
    pub fn add(&mut self, name: &str, mut from: impl Read) -> io::Result<()> {
        self.add_by(name, |into| {
            let mut piece = vec![0; PIECE];
            loop {
                match from.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(read) => into.write_all(&piece[..read])?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }

    /// Adds a file that is written by a function.
    pub fn add_by<E: From<io::Error>>(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut hashing = Hashing { into: &mut self.file, hash: Sha1::new(), bytes: 0 };
        write(&mut hashing)?;
        let Hashing { hash, bytes, .. } = hashing;
        let entry = Entry { offset: self.at, bytes, tag: tag(hash), modified: 0 };
        self.at += bytes;
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Completes it. A file that is the same as in `before` keeps its time; one that has changed is newer by at least a
    /// second, since clients do not distinguish parts of seconds.
    pub fn finish(self, before: Option<&Archive>, now: i64) -> io::Result<Archive> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut entries = self.entries;
        for (name, entry) in &mut entries {
            entry.modified = match before.and_then(|before| before.entries.get(name)) {
                Some(old) if old.tag == entry.tag => old.modified,
                Some(old) => now.max(old.modified + 1),
                None => now,
            };
        }
        Ok(Archive { file: Arc::new(file), entries })
    }
}

/// A hash as used in `etag`.
fn tag(hash: Sha1) -> String {
    let digest: [u8; 20] = hash.finalize().into();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Counts and hashes the bytes that pass through.
struct Hashing<'h> {
    into: &'h mut BufWriter<File>,
    hash: Sha1,
    bytes: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.into.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn archive(files: &[(&str, &str)], before: Option<&Archive>, now: i64) -> Archive {
        let folder = tempfile::tempdir().unwrap();
        let mut making = Making::begin(folder.path()).unwrap();
        files.iter().for_each(|(name, text)| making.add(name, text.as_bytes()).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        making.finish(before, now).unwrap()
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let archive = archive(&[("a", "first"), ("b", ""), ("c", "third")], None, 7);
        let read = |name: &str| {
            let entry = &archive.entries[name];
            let mut bytes = vec![0; entry.bytes as usize];
            archive.file.read_exact_at(&mut bytes, entry.offset).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!([read("a"), read("b"), read("c")], ["first", "", "third"]);
    }

    #[test]
    fn what_has_not_changed_keeps_its_age_and_what_has_is_newer() {
        let first = archive(&[("a", "1"), ("b", "1")], None, 7);
        let second = archive(&[("a", "1"), ("b", "2"), ("c", "1")], Some(&first), 7);
        let modified = |name: &str| second.entries[name].modified;
        assert_eq!([modified("a"), modified("b"), modified("c")], [7, 8, 7]);
        assert_eq!(second.entries["a"].tag, first.entries["a"].tag);
        assert_ne!(second.entries["b"].tag, first.entries["b"].tag);
    }
}
