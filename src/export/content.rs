//! Whether a run has changed since it was exported: a hash of every byte from which an export is made.
//!
//! Names and times of files are not included: a copy is the same run, and a repaired run is not. The hash does not protect
//! against deception, and need not: an export is made from whatever exists.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha1::{Digest as _, Sha1};

use record::{Repetition, RunRecord, files};

/// SHA-1 of numbers and bytes, one after the other.
struct Hash(Sha1);

impl Hash {
    fn new() -> Self {
        Self(Sha1::new())
    }

    fn word(&mut self, word: u64) {
        self.0.update(word.to_le_bytes());
    }

    /// Adds bytes, followed by their length, so that neighbouring items cannot be confused.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        self.word(bytes.len() as u64);
    }

    fn finish(self) -> Digest {
        self.0.finalize().into()
    }
}

type Digest = [u8; 20];

/// How many bytes of a file are read at a time.
const CHUNK: u64 = 1 << 18;

/// Adds a file; a file that cannot be read counts as missing.
fn add_file(hash: &mut Hash, path: &Path) {
    let Ok(mut file) = files::open(path) else { return hash.word(u64::MAX) };
    let mut chunk = Vec::with_capacity(CHUNK as usize);
    loop {
        chunk.clear();
        match (&mut file).take(CHUNK).read_to_end(&mut chunk) {
            Ok(0) => return hash.word(1),
            Ok(_) => hash.bytes(&chunk),
            Err(_) => return hash.word(u64::MAX - 1),
        }
    }
}

/// The files in a folder with this extension, sorted; none if the folder does not exist.
pub(super) fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// The folders of taps and of collected tables in a repetition.
pub(super) const TAPS: &str = "taps";
/// See [`TAPS`].
pub(super) const COLLECTED: &str = "collected";

fn of_repetition(repetition: &Repetition) -> Digest {
    let mut hash = Hash::new();
    let folder = &repetition.path;
    let named = ["status.json", "events.jsonl"].map(|name| folder.join(name));
    let tables = files_in(folder, "parquet").into_iter();
    let others = files_in(&folder.join(TAPS), "parquet").into_iter().chain(files_in(&folder.join(COLLECTED), "csv"));
    for file in named.into_iter().chain(tables).chain(others) {
        let inside = file.strip_prefix(folder).unwrap_or(&file);
        hash.bytes(inside.as_os_str().as_encoded_bytes());
        add_file(&mut hash, &file);
    }
    hash.finish()
}

/// The hash of a run, as text. `is_running`: whether the run is still growing.
pub(super) fn of_run(run: &RunRecord, is_running: bool) -> String {
    let mut hash = Hash::new();
    // Another version may export the same run differently.
    hash.bytes(env!("CARGO_PKG_VERSION").as_bytes());
    hash.word(is_running.into());
    for name in ["plan.json", "manifest.json"] {
        add_file(&mut hash, &run.path.join(name));
    }
    let repetitions: Vec<Digest> = run.repetitions.par_iter().map(of_repetition).collect();
    for (repetition, digest) in run.repetitions.iter().zip(repetitions) {
        hash.word(repetition.cell as u64);
        hash.word(repetition.status.repetition.into());
        hash.bytes(&digest);
    }
    hash.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bit_counts_and_so_does_the_length() {
        let of = |bytes: &[u8]| {
            let mut hash = Hash::new();
            hash.bytes(bytes);
            hash.finish()
        };
        let text: Vec<u8> = (0..61).collect();
        let mut found = BTreeSet::from([of(&text)]);
        for bit in 0..text.len() * 8 {
            let mut other = text.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(found.insert(of(&other)), "bit {bit}");
        }
        for zeros in 0..20 {
            assert!(found.insert(of(&vec![0; zeros])), "{zeros} zeros");
        }
    }

    #[test]
    fn a_file_is_its_bytes_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let of = |bytes: Option<&[u8]>| {
            let path = folder.path().join("f");
            let _ = std::fs::remove_file(&path);
            if let Some(bytes) = bytes {
                std::fs::write(&path, bytes).unwrap();
            }
            let mut hash = Hash::new();
            add_file(&mut hash, &path);
            hash.finish()
        };
        let long = vec![7; CHUNK as usize + 1];
        let all = [None, Some(&b""[..]), Some(b"a"), Some(&long), Some(&long[1..])].map(of);
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert_eq!(of(Some(&long)), all[3]);
    }
}
