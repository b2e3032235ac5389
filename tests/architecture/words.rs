//! Where the name of a protocol stands.

use crate::rust::Source;

/// Places outside the protocol's own where its name stands in code or in a string. `at_home`: whether a file may have it.
pub fn leaks(protocol: &str, sources: &[Source], at_home: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !at_home(&source.file)) {
        for (word, line) in &source.words {
            if parts(word).any(|part| part == protocol) {
                found.push(format!(
                    "{}:{line}: `{word}`: only the places of `{protocol}` and the lists of protocols know of it",
                    source.file
                ));
            }
        }
    }
    found
}

/// The words of a name: `VtpDriver` and `vtp_driver` are `vtp` and `driver`.
fn parts(name: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    let mut before = 'A';
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && before.is_lowercase() {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| letter != '_') {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_is_named_whatever_its_spelling() {
        let text = "// vtp\nuse plan::drivers::vtp;\nstruct VtpBroker;\nconst A: &str = \"vtp-broker\";\nfn send_vtp() {}\nfn evtp() {}\n\
                    #[cfg(test)]\nmod tests { fn vtp() {} }\n";
        let sources = [Source::read("a.rs", text, false), Source::read("vtp.rs", text, false)];
        let found = leaks("vtp", &sources, |file| file == "vtp.rs");
        let places: Vec<&str> = found.iter().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(places, ["a.rs:2", "a.rs:3", "a.rs:4", "a.rs:5"]);
    }
}
