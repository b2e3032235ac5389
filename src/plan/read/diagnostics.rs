//! How mistakes are noted while a plan is made.

use std::sync::Arc;

use super::expr::{expression_span, word_in};
use plan::Template;
use plan::template::{Piece, encoded_name, pieces};
use schema::source::{all_of, one_of};
use schema::{Mistake, Node, SourceFile, Span};

/// What checks need to point at a mistake.
pub(super) struct Diagnostics<'a> {
    pub file: &'a Arc<SourceFile>,
    pub mistakes: &'a mut Vec<Mistake>,
}

impl Diagnostics<'_> {
    /// Notes a mistake at a value in `node`, or at its name if the value is missing.
    pub fn say(&mut self, node: &Node, key: &str, found: impl Into<String>, expected: impl Into<String>) {
        let span = node.get(key).map_or(node.head, |n| n.span);
        self.mistakes.push(Mistake::new(self.file, span, found).expected(expected));
    }

    /// Notes that a program is missing.
    pub fn say_missing(&mut self, node: &Node, key: &str, program: &str) {
        let command = node.get(key).unwrap_or(node);
        let span = command.items().first().map_or(command.span, |n| n.span);
        self.mistakes.push(match program.contains(' ') {
            // `["python3 -m http.server"]`
            true => Mistake::new(self.file, span, format!("one text with spaces, and there is no program `{program}`"))
                .expected(format!("expected it split: `{}`", program.split_whitespace().collect::<Vec<_>>().join(", "))),
            false => Mistake::new(self.file, span, format!("the program `{program}` is not installed"))
                .expected("expected a program on PATH, or a path to one"),
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
        let there: Vec<&str> = keys.iter().copied().filter(|k| node.get(k).is_some()).collect();
        match there.as_slice() {
            [one] => Some(one),
            // It is probably present but misspelt, which was reported.
            [] if node.entries().iter().any(|e| self.mistakes.iter().any(|m| m.span == e.key_span)) => None,
            [] => {
                self.say(node, "", format!("{what} is missing"), format!("expected {}", one_of(keys.iter().copied())));
                None
            }
            [_, second, ..] => {
                let entry = node.entry(second).map_or(node.span, |e| e.key_span);
                self.mistakes.push(
                    Mistake::new(
                        self.file,
                        entry,
                        format!("{what} is given more than once, by {}", all_of(there.iter().copied())),
                    )
                    .expected("expected only one of them"),
                );
                None
            }
        }
    }
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
