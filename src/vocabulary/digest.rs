//! What a file contained, in a few characters: a later run can tell whether it still does.

use sha1::{Digest as _, Sha1};

/// What every digest starts with.
pub const PREFIX: &str = "sha1:";

/// Takes in what was read, piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Digest(Sha1);

impl Digest {
    /// Adds bytes. Where one piece ends and the next one starts makes no difference.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// [`PREFIX`] and the hexadecimal SHA-1 (FIPS 180-4) of all bytes.
    pub fn text(self) -> String {
        self.0.finalize().iter().fold(PREFIX.to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sha_1_of_all_pieces() {
        let mut digest = Digest::default();
        digest.add(b"a");
        digest.add(b"bc");
        assert_eq!(digest.text(), "sha1:a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
