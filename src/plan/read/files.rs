//! Which files a scenario names, as far as they were found: other machines need them, too.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

thread_local! {
    /// Those that were found since [`forget`]. A plan is made on one thread, and files are looked for in twenty places.
    static FOUND: RefCell<BTreeSet<PathBuf>> = const { RefCell::new(BTreeSet::new()) };
}

/// Another plan is made.
pub(super) fn forget() {
    FOUND.take();
}

/// A file or folder was found.
pub(super) fn note(path: &Path) {
    let path = &normal(path);
    FOUND.with_borrow_mut(|found| {
        if !found.contains(path) {
            found.insert(path.to_owned());
        }
    });
}

/// What was found since [`forget`].
pub(super) fn found() -> Vec<PathBuf> {
    FOUND.take().into_iter().collect()
}

/// A path without `..`, as text: other machines have no links to follow.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_way_up() {
        assert_eq!(normal(Path::new("/a/b/../c/./d")), Path::new("/a/c/d"));
        assert_eq!(normal(Path::new("/../a")), Path::new("/a"));
    }
}
