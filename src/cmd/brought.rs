//! What is brought to other machines, and by which names both ends know it.

use sha1::{Digest as _, Sha1};

use super::Stop;
use crate::exit::Exit;

/// Where the bundled programs are sent, below the folder for files.
pub(super) const BROUGHT_FIXTURES: &str = ".runner/runner-fixtures";
/// Where results of an earlier try of a shard are sent, below the folder for files.
pub(super) const EARLIER: &str = ".earlier";

/// The SHA-1 of this executable: only the same program understands what agents say.
pub(super) fn own_hash() -> Result<String, Stop> {
    let failed = |e: std::io::Error| Stop::new(Exit::Failure, format!("cannot read the executable of runner itself: {e}"));
    let path = std::env::current_exe().map_err(failed)?;
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut hash = Sha1::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut piece).map_err(failed)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
