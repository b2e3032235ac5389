//! The key that connects a request with what other programs report about it.
//!
//! Tables hold the key as a number, which is compared and joined faster than text, and has the same size whatever the text is.

use sha1::{Digest as _, Sha1};

/// Set in the number of a text that is not a number itself.
const OF_TEXT: u64 = 1 << 63;

/// The number of a key. A whole number below 2^63, written in decimal digits, is its own number. For any other text it is the first
/// 63 bits of the SHA-1 of the text (FIPS 180-4), big endian, with the top bit set. So a text never has the number of a number, and
/// two texts have the same number about once in 2^63.
pub fn key_number(text: &str) -> u64 {
    // `parse` would accept a sign, but a text with a sign is a different text.
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = is_number.then(|| text.parse::<u64>().ok()).flatten().filter(|number| *number < OF_TEXT) {
        return number;
    }
    let digest = Sha1::digest(text.as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    first >> 1 | OF_TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_itself() {
        for (text, number) in [("0", 0), ("17", 17), ("007", 7), ("9223372036854775807", (1 << 63) - 1)] {
            assert_eq!(key_number(text), number, "{text}");
        }
    }

    #[test]
    fn any_other_text_is_the_start_of_its_sha_1() {
        // SHA-1 of "" is da39a3ee5e6b4b0d…, of "abc" a9993e364706816a….
        assert_eq!(key_number(""), 0xda39_a3ee_5e6b_4b0d >> 1 | OF_TEXT);
        assert_eq!(key_number("abc"), 0xa999_3e36_4706_816a >> 1 | OF_TEXT);
        for text in ["9223372036854775808", "99999999999999999999", "-1", "+1", "1.0", " 1", "1\n", "١"] {
            assert!(key_number(text) >= OF_TEXT, "{text}");
        }
    }
}
