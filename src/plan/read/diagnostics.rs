//! How mistakes are noted while a plan is made.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::expr::{expression_span, word_in};
use plan::Template;
use plan::template::{Piece, encoded_name, pieces};
use schema::decode::words_as_typed;
use schema::source::{all_of, one_of};
use schema::{Entry, Mistake, Node, SourceFile, Span};

/// What checks need to point at a mistake.
pub(super) struct Diagnostics<'a> {
    pub file: &'a Arc<SourceFile>,
    pub mistakes: &'a mut Vec<Mistake>,
    /// Whether what is read is done on this machine, where its programs can be looked for.
    pub is_here: bool,
    /// Names of values that set-up steps find.
    pub found: BTreeSet<String>,
}

impl<'a> Diagnostics<'a> {
    /// For something that is done on this machine.
    pub fn new(file: &'a Arc<SourceFile>, mistakes: &'a mut Vec<Mistake>) -> Self {
        Self { file, mistakes, is_here: true, found: BTreeSet::new() }
    }

    /// The same, for something that is done on this machine only if `is_here`.
    #[must_use]
    pub fn here(self, is_here: bool) -> Self {
        Self { is_here, ..self }
    }

    /// The same, where these values were found by set-up steps.
    #[must_use]
    pub fn knowing(self, found: &BTreeSet<String>) -> Self {
        Self { found: found.clone(), ..self }
    }

    /// Notes a mistake at a value in `node`, or at its name if the value is missing.
    pub fn say(&mut self, node: &Node, key: &str, found: impl Into<String>, expected: impl Into<String>) {
        let span = node.get(key).map_or(node.head, |n| n.span);
        self.mistakes.push(Mistake::new(self.file, span, found).expected(expected));
    }

    /// Notes that a program is missing, if it is needed on this machine.
    pub fn say_missing(&mut self, node: &Node, key: &str, program: &str) {
        if !self.is_here {
            return;
        }
        let command = node.get(key).unwrap_or(node);
        let span = command.items().first().map_or(command.span, |n| n.span);
        self.mistakes.push(match program.contains(' ') {
            // `["python3 -m http.server"]`
            true => Mistake::new(self.file, span, format!("one text with spaces, and there is no program `{program}`")).expected(
                format!(
                    "expected it split: `{}`",
                    words_as_typed(self.file, command.items().first().unwrap_or(command)).join(", ")
                ),
            ),
            false => {
                // A path is said as it was typed, not as it was found.
                let typed = self.file.text.get(span.start..span.end).unwrap_or_default().trim_matches(['"', '\'']);
                let is_it = !typed.is_empty() && program.ends_with(typed.trim_start_matches("./"));
                let (found, expected) = missing(program, if is_it { typed } else { program });
                Mistake::new(self.file, span, found).expected(expected)
            }
        });
    }

    /// A text that must be known before anything starts: late names in it are a mistake.
    pub fn fixed(&mut self, node: &Node, key: &str, text: &str) -> Option<String> {
        let template = Template::parse(text);
        if let Some(name) = template.names().next() {
            let span = find_name(self.file, node.get(key).unwrap_or(node), name).unwrap_or(node.head);
            let mistake = Mistake::new(self.file, span, format!("`{name}` is not known yet when `{key}` is needed"));
            self.mistakes.push(mistake.expected(match name.starts_with("env.") {
                true => "expected a variable that is not secret, because the plan records this value",
                false => "expected only factors, names in `let` and other values known in advance",
            }));
            return None;
        }
        Some(template.to_text())
    }

    /// Checks that exactly one of several keys is present; returns which.
    pub fn exactly_one<'k>(&mut self, node: &Node, what: &str, keys: &[&'k str]) -> Option<&'k str> {
        let missing = format!("{what} is missing");
        self.one_key(node, keys, &missing, |given| format!("{what} is given more than once, by {given}"))
    }

    /// The same for the keys that say what a workload does.
    pub fn key_of_workload<'k>(&mut self, node: &Node, keys: &[&'k str]) -> Option<&'k str> {
        let missing = format!("this workload has no `{}`", keys[0]);
        self.one_key(node, keys, &missing, |given| format!("this workload has {given}"))
    }

    fn is_said(&self, entry: &Entry) -> bool {
        self.mistakes.iter().any(|m| m.span == entry.key_span)
    }

    fn one_key<'k>(
        &mut self,
        node: &Node,
        keys: &[&'k str],
        missing: &str,
        several: impl FnOnce(&str) -> String,
    ) -> Option<&'k str> {
        let there: Vec<&str> = keys.iter().copied().filter(|k| node.get(k).is_some()).collect();
        match there.as_slice() {
            [one] => Some(one),
            // It is probably present but misspelt, which was reported.
            [] if node.entries().iter().any(|e| self.mistakes.iter().any(|m| m.span == e.key_span)) => None,
            // It is present one level too deep, which was reported.
            [] if node
                .entries()
                .iter()
                .any(|e| keys.iter().any(|key| e.value.entry(key).is_some_and(|deep| self.is_said(deep)))) =>
            {
                None
            }
            [] => {
                self.say(node, "", missing, format!("expected {}", one_of(keys.iter().copied())));
                None
            }
            [_, second, ..] => {
                let entry = node.entry(second).map_or(node.span, |e| e.key_span);
                self.mistakes.push(
                    Mistake::new(self.file, entry, several(&all_of(there.iter().copied()))).expected("expected only one of them"),
                );
                None
            }
        }
    }
}

/// Why a program cannot be started, and what is expected instead. `shown`: what it is called.
fn missing(program: &str, shown: &str) -> (String, String) {
    let path = Path::new(program);
    if program.contains('/') && path.is_dir() {
        return (format!("`{shown}` is a folder"), "expected a path to a program".to_owned());
    }
    if program.contains('/') && path.exists() {
        return (
            format!("`{shown}` exists but is not executable"),
            format!("expected an executable file: `chmod +x {shown}`, or its interpreter before it"),
        );
    }
    let found = match program.contains('/') {
        true => format!("there is no file `{shown}`"),
        false => format!("the program `{shown}` is not installed"),
    };
    (found, "expected a program on PATH, or a path to one".to_owned())
}

/// Notes keys that do not belong to `node`, and where they belong.
pub(super) fn refuse(notes: &mut Diagnostics<'_>, node: &Node, keys: &[&str], why: &str) {
    for key in keys {
        if let Some(entry) = node.entry(key) {
            let mistake = Mistake::new(notes.file, entry.key_span, format!("`{key}` does not belong here"));
            notes.mistakes.push(mistake.expected(why.to_owned()));
        }
    }
}

/// The position of `${name}` in a part of the file, if it was typed there.
pub(super) fn find_name(file: &SourceFile, node: &Node, name: &str) -> Option<Span> {
    if let Some(text) = node.as_text() {
        let pieces = pieces(text).ok()?;
        return pieces.iter().find_map(|piece| match piece {
            Piece::Expression(source, offset) if encoded_name(source).unwrap_or(source) == name => {
                let span = expression_span(file, node.span, text, *offset);
                Some(word_in(file, span, name))
            }
            _ => None,
        });
    }
    let inside = node.items().iter().chain(node.entries().iter().map(|e| &e.value));
    inside.filter_map(|n| find_name(file, n, name)).next()
}

/// A number of things: `1 thread`, `2 threads`.
pub(super) fn counted(number: u32, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Drops the mistakes from index `new` on whose place already has one from index `start` on: another replica or another
/// cell has the same mistake, only with other numbers.
pub(super) fn forget_repeated(mistakes: &mut Vec<Mistake>, start: usize, new: usize) {
    if mistakes.len() == new {
        return;
    }
    let place = |m: &Mistake| (Arc::as_ptr(&m.file), m.span);
    let known: std::collections::HashSet<_> = mistakes[start..new].iter().map(place).collect();
    let fresh: Vec<Mistake> = mistakes.drain(new..).filter(|m| !known.contains(&place(m))).collect();
    mistakes.extend(fresh);
}
