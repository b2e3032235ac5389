//! As much of Rust as is needed to tell what a file imports: comments and strings are blanked, code of tests is set apart,
//! and what is left are words and `::`.

use std::collections::{BTreeMap, BTreeSet};

/// A file of Rust.
pub struct Source {
    /// Its path from the top of the project, with `/`.
    pub file: String,
    /// Code that is shipped.
    pub main: Code,
    /// Code that only tests see.
    pub tests: Code,
    /// Modules that it declares for tests only, in files of their own.
    pub test_modules: BTreeSet<String>,
    /// The words of shipped code and of its strings, with their lines: all but comments.
    pub words: Vec<(String, usize)>,
}

/// What a piece of code says of names.
#[derive(Default)]
pub struct Code {
    /// Modules that it declares.
    pub modules: BTreeSet<String>,
    /// What `use` lines import.
    pub uses: Vec<Use>,
    /// Other paths of at least two names.
    pub paths: Vec<Path>,
}

/// A name that a `use` line brings; of a group there is one for each name.
pub struct Use {
    /// From where.
    pub path: Path,
    /// As what, or `*`.
    pub name: String,
}

/// A path, such as `crate::drivers::http`.
pub struct Path {
    /// Its names.
    pub names: Vec<String>,
    /// The line where it begins, from one.
    pub line: usize,
}

impl Code {
    /// What each name stands for that a `use` line brings.
    pub fn imported(&self) -> BTreeMap<&str, &[String]> {
        self.uses.iter().map(|u| (u.name.as_str(), u.path.names.as_slice())).collect()
    }
}

impl Source {
    /// Reads a file; `only_tests` where all of it is code of tests.
    pub fn read(file: &str, text: &str, only_tests: bool) -> Self {
        let file = file.to_owned();
        let code = blank(text, true);
        if only_tests {
            let (tests, test_modules, words) = (Code::read(&code), BTreeSet::new(), Vec::new());
            return Self { file, main: Code::default(), tests, test_modules, words };
        }
        let (cut, test_modules) = spans_of_tests(&code);
        // Blanks what is inside of those spans, or what is not.
        let keep = |text: &str, inside: bool| {
            let mut bytes = text.as_bytes().to_vec();
            let mut from = 0;
            for span in &cut {
                clear(&mut bytes[if inside { from..span.start } else { span.clone() }]);
                from = span.end;
            }
            if inside {
                clear(&mut bytes[from..]);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let main = Code::read(&keep(&code, false));
        let tests = Code::read(&keep(&code, true));
        let words = words(&keep(&blank(text, false), false));
        Self { file, main, tests, test_modules, words }
    }
}

/// Blanks comments, and strings and characters too where that is asked; every byte and line stays where it is.
fn blank(text: &str, strings: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let (end, hide) = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => (end_of_line(bytes, at), true),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (end_of_comment(bytes, at), true),
            b'"' => (end_of_string(bytes, at), strings),
            b'r' if !follows_word(bytes, at) && raw_hashes(bytes, at).is_some() => (end_of_raw(bytes, at), strings),
            b'\'' => (end_of_char(bytes, at), strings),
            _ => (at + 1, false),
        };
        let end = end.clamp(at + 1, bytes.len());
        if hide {
            clear(&mut out[at..end]);
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Makes all of it spaces, but for the ends of lines.
fn clear(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn end_of_comment(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// How many `#` a raw string has that begins here; nothing where none does.
fn raw_hashes(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    (bytes.get(at + 1 + hashes) == Some(&b'"')).then_some(hashes)
}

fn end_of_raw(bytes: &[u8], at: usize) -> usize {
    let hashes = raw_hashes(bytes, at).unwrap_or_default();
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let start = at + hashes + 2;
    bytes[start..].windows(end.len()).position(|w| w == end).map_or(bytes.len(), |n| start + n + end.len())
}

/// The end of a character, or of the `'` of a lifetime.
fn end_of_char(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        let rest = at + 3;
        return bytes.get(rest..).and_then(|b| b.iter().position(|b| *b == b'\'')).map_or(bytes.len(), |n| rest + n + 1);
    }
    // A character has up to four bytes; a lifetime has no `'` behind it.
    let width = match bytes.get(at + 1) {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    if bytes.get(at + 1 + width) == Some(&b'\'') { at + width + 2 } else { at + 1 }
}

/// Whether the letter here continues a word. `br"…"` and `cr"…"` are found as the strings that they are.
fn follows_word(bytes: &[u8], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).and_then(|i| bytes.get(i)).is_some_and(|b| is_word(*b));
    before(1) && (before(2) || !matches!(bytes[at - 1], b'b' | b'c'))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where items with `#[cfg(test)]` stand, and the modules among them that are files of their own.
fn spans_of_tests(code: &str) -> (Vec<std::ops::Range<usize>>, BTreeSet<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut spans, mut modules, mut from) = (Vec::new(), BTreeSet::new(), 0);
    while let Some(start) = code[from..].find(MARK).map(|n| from + n) {
        let item = start + MARK.len();
        let end = end_of_item(code.as_bytes(), item);
        let text: Vec<&str> = code[item..end].split_whitespace().collect();
        if let Some(name) = text.iter().skip_while(|w| **w != "mod").nth(1).and_then(|name| name.strip_suffix(';')) {
            modules.insert(name.to_owned());
        }
        spans.push(start..end);
        from = end;
    }
    (spans, modules)
}

/// The end of an item: its `;`, or the brace that closes it.
fn end_of_item(code: &[u8], start: usize) -> usize {
    let is_use = code[start..].trim_ascii_start().starts_with(b"use ");
    let mut depth = 0;
    for (at, byte) in code.iter().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' => {
                depth -= 1;
                if depth == 0 && !is_use {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The words of a text with their lines.
fn words(text: &str) -> Vec<(String, usize)> {
    tokens(text)
        .into_iter()
        .filter(|(token, _)| token.bytes().all(is_word))
        .map(|(token, line)| (token.to_owned(), line))
        .collect()
}

/// Words, `::`, and all else as single characters; each with its line.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let bytes = code.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let end = match bytes[at] {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            byte if is_word(byte) => at + bytes[at..].iter().take_while(|b| is_word(**b)).count(),
            b':' if bytes.get(at + 1) == Some(&b':') => at + 2,
            _ => at + 1,
        };
        tokens.push((&code[at..end], line));
        at = end;
    }
    tokens
}

impl Code {
    /// Reads blanked code.
    fn read(code: &str) -> Self {
        let tokens = tokens(code);
        let mut found = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            let (token, line) = tokens[at];
            let next = tokens.get(at + 1).map_or("", |t| t.0);
            let before = at.checked_sub(1).map_or("", |i| tokens[i].0);
            if token == "use" && next != "<" {
                let mut tree = Tree { tokens: &tokens, at: at + 1, found: &mut found.uses };
                tree.read(Vec::new());
                at = tree.at;
            } else if token == "mod" && tokens.get(at + 2).is_some_and(|t| t.0 == ";" || t.0 == "{") {
                found.modules.insert(next.to_owned());
                at += 2;
            } else if token.bytes().all(is_word) && next == "::" && before != "::" {
                let mut names = vec![token.to_owned()];
                at += 1;
                while tokens.get(at).is_some_and(|t| t.0 == "::") && tokens.get(at + 1).is_some_and(|t| t.0.bytes().all(is_word))
                {
                    names.push(tokens[at + 1].0.to_owned());
                    at += 2;
                }
                found.paths.push(Path { names, line });
            } else {
                at += 1;
            }
        }
        found
    }
}

/// Reads what stands behind `use`.
struct Tree<'a> {
    tokens: &'a [(&'a str, usize)],
    at: usize,
    found: &'a mut Vec<Use>,
}

impl Tree<'_> {
    fn token(&self) -> &str {
        self.tokens.get(self.at).map_or(";", |t| t.0)
    }

    /// Reads one tree, whose names follow `prefix`.
    fn read(&mut self, prefix: Vec<String>) {
        let mut names = prefix;
        let line = self.tokens.get(self.at).map_or(0, |t| t.1);
        loop {
            match self.token() {
                ";" | "," | "}" => break,
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.token(), "}" | ";") {
                        self.read(names.clone());
                        if self.token() == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    self.at += 1;
                    let name = self.token().to_owned();
                    self.at += 1;
                    return self.push(names, name, line);
                }
                name => {
                    let name = name.to_owned();
                    // `a::{self}` is `a`; at the begin it is where the file stands.
                    if name != "self" || names.is_empty() {
                        names.push(name);
                    }
                    self.at += 1;
                }
            }
        }
        let name = names.last().cloned().unwrap_or_default();
        self.push(names, name, line);
    }

    fn push(&mut self, mut names: Vec<String>, name: String, line: usize) {
        if name == "*" {
            names.pop();
        }
        self.found.push(Use { path: Path { names, line }, name });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &Code) -> Vec<String> {
        code.uses.iter().map(|u| &u.path).chain(&code.paths).map(|p| format!("{} {}", p.line, p.names.join("::"))).collect()
    }

    #[test]
    fn groups_names_and_other_paths_are_found_with_their_lines() {
        let source = Source::read(
            "a.rs",
            "use load::{self, drivers::{http, tcp as wire}};\n\nfn f() -> plan::Cell { super::g::<u8>(); x.y() }\nmod z;\n",
            false,
        );
        let expected = ["1 load", "1 load::drivers::http", "1 load::drivers::tcp", "3 plan::Cell", "3 super::g"];
        assert_eq!(paths(&source.main), expected);
        assert!(source.main.modules.contains("z"));
        let names: Vec<&str> = source.main.uses.iter().map(|u| u.name.as_str()).collect();
        assert_eq!(names, ["load", "http", "wire"]);
    }

    #[test]
    fn comments_strings_and_characters_import_nothing() {
        let text = "// use a::b;\n/* c::d /* e::f */ g::h */\nconst S: &str = \"i::j \\\" k::l\";\nconst R: &str = r#\"m::n \" o::p\"#;\n\
                    const C: [char; 3] = ['\"', '\\'', 'é'];\nfn f<'a>(x: &'a q::R) {}\nconst B: &[u8] = br\"s::t\";\n";
        let source = Source::read("a.rs", text, false);
        assert_eq!(paths(&source.main), ["6 q::R"]);
    }

    #[test]
    fn code_of_tests_is_set_apart() {
        let text = "use a::b;\n#[cfg(test)]\nmod tests {\n    use c::d;\n    fn f() { if x { e::f() } }\n}\n#[cfg(test)]\nuse g::{h, i};\n\
                    #[cfg(test)]\nmod properties;\nuse j::k;\n";
        let source = Source::read("a.rs", text, false);
        assert_eq!(paths(&source.main), ["1 a::b", "11 j::k"]);
        assert_eq!(paths(&source.tests), ["4 c::d", "8 g::h", "8 g::i", "5 e::f"]);
        assert_eq!(source.test_modules.iter().map(String::as_str).collect::<Vec<_>>(), ["properties"]);
    }

    #[test]
    fn words_are_those_of_code_and_strings_without_comments_and_tests() {
        let text = "// nothing\nconst A: &str = \"b-c\";\n#[cfg(test)]\nmod tests { const D: u8 = 1; }\n";
        let source = Source::read("a.rs", text, false);
        let words: Vec<&str> = source.words.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["const", "A", "str", "b", "c"]);
    }
}
