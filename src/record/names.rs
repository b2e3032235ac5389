//! Names in a record, checked before a path is made of them.
//!
//! A record may come from anybody. A name that becomes part of a path must not lead out of the folder in which it belongs.
//! Labels of levels, cells and steps may be any text and are not checked: file names are made of them only after everything
//! that has a meaning in a path was replaced.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

/// Longer names cannot be names of files.
const LONGEST: usize = 255;

/// Checks that a text can be the name of a file or folder; else says what is wrong with it.
///
/// # Errors
/// In words that continue a sentence after the name.
pub fn is_name(text: &str) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("contains control characters");
    }
    if text.is_empty() {
        return Err("is empty");
    }
    if text.contains('/') {
        return Err("is a path, but a name is expected");
    }
    if text.starts_with('.') {
        return Err("starts with a dot");
    }
    if text.len() > LONGEST { Err("is too long for a name") } else { Ok(()) }
}

/// Checks that a path stays below the folder in which it belongs; else says what is wrong with it.
///
/// # Errors
/// In words that continue a sentence after the path.
pub fn is_inside(path: &Path) -> Result<(), &'static str> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err("contains a zero byte");
    }
    if path.as_os_str().is_empty() {
        return Err("is empty");
    }
    if path.is_absolute() {
        return Err("is an absolute path, but a path below the results directory is expected");
    }
    // A leading `./` is a component too, others are not.
    let stays = path.components().all(|c| matches!(c, Component::Normal(_)));
    if stays { Ok(()) } else { Err("leaves the results directory") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_leads_elsewhere_is_not_a_name() {
        for name in ["", ".", "..", "../x", "/etc", "a/b", "a/", ".hidden", "a\0b", "a\x1b[2J", "a\nb", &"x".repeat(256)] {
            assert!(is_name(name).is_err(), "{name:?}");
        }
        for name in ["blobs-parallel", "20261122T000858Z-823c", "a b", "…", "a..b"] {
            assert_eq!(is_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_not_inside() {
        for path in ["", ".", "..", "a/../..", "a/../b", "/etc", "./a", "a\0b"] {
            assert!(is_inside(Path::new(path)).is_err(), "{path:?}");
        }
        for path in ["processes=1/proxy=builtin", "100ms/4c", "all", "a//b", "body=a\nb"] {
            assert_eq!(is_inside(Path::new(path)), Ok(()), "{path:?}");
        }
    }

    proptest! {
        /// Whatever is accepted stays in its folder.
        #[test]
        fn a_name_is_one_step_down(text in "[a./\\x00-\\x20]{0,6}|\\PC{0,6}") {
            let base = Path::new("/base");
            if is_name(&text).is_ok() {
                let joined = base.join(&text);
                prop_assert_eq!(joined.parent(), Some(base));
            }
            if is_inside(Path::new(&text)).is_ok() {
                let joined = base.join(&text);
                prop_assert!(joined.starts_with(base) && joined != base);
                prop_assert!(joined.components().all(|c| c != Component::ParentDir));
            }
        }
    }
}
