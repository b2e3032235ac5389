//! Values of passes: drawn values, carried values, and the names of steps.

use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::{Diagnostics, refuse};
use super::names::RESERVED;
use plan::{Draw, DrawnFrom};
use schema::{Entry, Mistake, Node, types};

/// Values that are drawn for each pass.
pub(super) fn draws(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Draw>,
    in_use: &BTreeSet<String>,
) -> Vec<Draw> {
    let mut draws = Vec::new();
    for (name, typed) in typed {
        let Some(entry) = node.get("draw").and_then(|n| n.entry(name)) else { continue };
        nameable(notes, entry, in_use);
        let of = match notes.exactly_one(&entry.value, "what this value is drawn from", &["to", "of"]) {
            Some("to") => {
                let (from, to) = (typed.from.unwrap_or(0), typed.to.unwrap_or(0));
                if from > to {
                    notes.say(&entry.value, "to", format!("no number from {from} to {to}"), "expected the largest number here");
                }
                DrawnFrom::Range(from, to)
            }
            Some(_) => {
                if typed.from.is_some() {
                    refuse(notes, &entry.value, &["from"], "it belongs to `to`");
                }
                let items = typed.of.iter().flatten().filter_map(|text| notes.fixed(&entry.value, "of", &text.0));
                let list: Vec<String> = items.collect();
                if typed.of.as_ref().is_none_or(Vec::is_empty) {
                    notes.say(&entry.value, "of", "an empty list", "expected at least one");
                }
                DrawnFrom::List(list)
            }
            None => continue,
        };
        draws.push(Draw { name: name.clone(), of });
    }
    draws
}

/// A value of passes needs a name that expressions can use and nothing else has.
pub(super) fn nameable(notes: &mut Diagnostics<'_>, entry: &Entry, in_use: &BTreeSet<String>) {
    let name = &entry.key;
    let nameable =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !nameable {
        notes.mistakes.push(
            Mistake::new(notes.file, entry.key_span, format!("`{name}` cannot be the name of a value"))
                .expected("expected letters, digits and `_`, so that expressions can use it"),
        );
    } else if in_use.contains(name) || RESERVED.iter().any(|(r, _)| r == name) {
        notes.mistakes.push(
            Mistake::new(notes.file, entry.key_span, format!("`{name}` is already something else"))
                .expected("expected a name that no factor and no `let` has"),
        );
    }
}
