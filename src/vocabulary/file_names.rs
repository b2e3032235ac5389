//! Names of files made from text that users wrote, which may be of any length.

use sha1::{Digest as _, Sha1};

/// The longest name that is made, in bytes. File systems allow 255, and files written beside it have longer names.
pub const LONGEST: usize = 200;

/// A name of at most [`LONGEST`] bytes. A longer name is cut to its start, `~`, and the first 16 digits of its SHA-1 (FIPS 180-4),
/// so that two long names with the same start remain different.
pub fn fitting(name: &str) -> String {
    if name.len() <= LONGEST { name.to_owned() } else { marked(name, name) }
}

/// The start of a name, `~`, and digits that distinguish it from others: those of the text from which the name was made.
pub fn marked(name: &str, of: &str) -> String {
    let digest = Sha1::digest(of.as_bytes());
    let digits: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let start = name.floor_char_boundary(LONGEST - 1 - digits.len());
    format!("{}~{digits}", &name[..start])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_fits_stays_and_a_longer_one_keeps_its_start() {
        let fits = "x".repeat(LONGEST);
        assert_eq!(fitting(&fits), fits);
        let [one, other] = ["a", "b"].map(|end| fitting(&format!("url={}{end}", "segment/".repeat(40))));
        assert!(one.len() == LONGEST && one.starts_with("url=segment/segment/") && one != other, "{one} {other}");
        // SHA-1 of "abc" is a9993e364706816a….
        assert_eq!(marked("a_c", "abc"), "a_c~a9993e364706816a");
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_fits(name in "\\PC{0,300}") {
            let fitted = fitting(&name);
            prop_assert!(fitted.len() <= LONGEST);
            prop_assert_eq!(fitted == name, name.len() <= LONGEST);
        }
    }
}
