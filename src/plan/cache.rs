//! What a set-up step makes once and keeps for later runs: a directory whose name is made from the step's content.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// A directory that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cache {
    /// Its name in expressions.
    pub name: String,
    /// The path of the directory. A file `.step` in it says what made it, and that it is complete.
    pub directory: PathBuf,
    /// The step that makes it, in words.
    pub step: String,
}

/// The path used if there is no place for such directories. It is below a file that is not a directory, so that no user can
/// create it and put something there.
const NOWHERE: &str = "/dev/null/runner-cache";

/// The folder of such directories: `$RUNNER_CACHE`, or the user's cache. A folder that everybody may write to is not
/// accepted, because what is kept there is executed.
pub fn base() -> PathBuf {
    // The path is used in command lines, so it must be text.
    let set = |name: &str| std::env::var_os(name).and_then(|v| v.into_string().ok()).filter(|v| !v.is_empty()).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let base = set("RUNNER_CACHE").or_else(|| user().map(|c| c.join("runner/steps")));
    let base = base.unwrap_or_else(|| PathBuf::from(NOWHERE));
    std::path::absolute(&base).unwrap_or(base)
}

impl Cache {
    /// Whether there is a place for the directory.
    pub fn has_place(&self) -> bool {
        !self.directory.starts_with(NOWHERE)
    }
}

/// Whether a program or a folder is made by a step.
pub fn is_inside(program: &str) -> bool {
    Path::new(program).starts_with(base())
}

/// The directory of a step. `step`: everything that determines its content, in words.
pub fn of_step(name: &str, step: String) -> Cache {
    Cache { name: name.to_owned(), directory: base().join(format!("{name}-{:016x}", fnv(step.as_bytes()))), step }
}

/// The directory in which a commit is checked out and built. `repository`: the folder of its objects.
pub fn of_commit(repository: &Path, commit: &str, build: &[String]) -> Cache {
    let step = format!("{commit} of {} {build:?}", repository.display());
    Cache { name: "git".to_owned(), directory: base().join(format!("git-{:016x}", fnv(step.as_bytes()))), step }
}

/// FNV-1a (Fowler, Noll & Vo), 64 bits: the same on every machine and in every version.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_checkout_is_named_by_repository_commit_and_build() {
        let of = |repository: &str, commit: &str, build: &[&str]| {
            let build: Vec<String> = build.iter().map(|w| (*w).to_owned()).collect();
            of_commit(repository.as_ref(), commit, &build)
        };
        let first = of("/r/.git", "ab", &["make", "all"]);
        assert_eq!(first, of("/r/.git", "ab", &["make", "all"]));
        for other in
            [of("/s/.git", "ab", &["make", "all"]), of("/r/.git", "cd", &["make", "all"]), of("/r/.git", "ab", &["make all"])]
        {
            assert_ne!(first.directory, other.directory);
        }
    }
}
