//! Examples for a place where something of another kind was typed: an example says more than "expected a map".
//!
//! The examples are those of the reference, which are beside each key in its type.

use std::sync::LazyLock;

use serde_json::Value as Json;

use super::reference::{Block, Holds, Key, ROOT, Reference, flow};
use super::syntax::quoted;

/// What was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    List,
    Text,
}

use Kind::{List, Map, Text};

impl Kind {
    fn is_of(self, value: &Json) -> bool {
        match self {
            Map => value.is_object(),
            List => value.is_array(),
            Text => value.is_string(),
        }
    }
}

/// A step on the way to a value: into a map, or into a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop<'a> {
    Key(&'a str),
    Item,
}

/// The language as the reference explains it.
static REFERENCE: LazyLock<Reference> = LazyLock::new(Reference::generate);

/// The block that a type of this name reads, or each item of a list of which it reads: `Workload` of `…::types::workload::Workload`.
pub(super) fn block_of(name: &str) -> (Option<&'static Block>, Holds) {
    let (name, holds) = match name.strip_prefix("alloc::vec::Vec<").and_then(|inner| inner.strip_suffix('>')) {
        Some(inner) => (inner, Holds::List),
        None => (name, Holds::One),
    };
    (REFERENCE.block(name.rsplit("::").next().unwrap_or(name)), holds)
}

/// A value in the reference.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// The key that holds it, if there is one.
    key: Option<&'a Key>,
    /// How many steps it lies below the value of the key: 0, or 1 for an item of its list or a named value.
    below: usize,
    /// The block that it may be.
    block: Option<&'a Block>,
    /// How it holds one.
    holds: Holds,
}

/// Follows a path from what a type reads.
fn find<'a>((block, holds): (Option<&'a Block>, Holds), path: &[Hop<'_>]) -> Place<'a> {
    let mut place = Place { key: None, below: 0, block, holds };
    for step in path {
        place = match (step, place.holds) {
            // A name that the scenario gives, or an item.
            (Hop::Key(_), Holds::Named) | (Hop::Item, _) => Place { below: place.below + 1, holds: Holds::One, ..place },
            (Hop::Key(name), _) => {
                let key = place.block.and_then(|block| block.keys.iter().find(|key| key.name == *name));
                let block = key.and_then(|key| key.blocks.first()).and_then(|name| REFERENCE.block(name));
                Place { key, below: 0, block, holds: key.map_or(Holds::One, |key| key.holds) }
            }
        };
    }
    place
}

/// An example for the value at a path: `` `load: {…}` ``, or without a key a possible item of a list. `typed`: the text
/// that does not fit; the words of a command line make a list. `has_shell`: whether `shell` may be used instead of
/// `command`.
pub(super) fn of(
    from: (Option<&'static Block>, Holds),
    path: &[Hop<'_>],
    kind: Kind,
    typed: Option<&str>,
    has_shell: bool,
) -> Option<String> {
    if let Some(Hop::Key("command")) = path.last()
        && kind == List
        && let Some(line) = typed.filter(|line| !line.contains(['"', '\'', '\\', '\n']) && !line.replace("${", "").contains('$'))
    {
        let words: Vec<String> = words(line).iter().map(|word| in_a_list(word)).collect();
        let shell = if has_shell { "shell: …" } else { "command: [sh, -c, …]" };
        return Some(format!("`command: [{}]`; for a shell command line use `{shell}`", words.join(", ")));
    }
    let place = find(from, path);
    let inside = |value: &Json| match value {
        Json::Array(items) => items.first().cloned(),
        Json::Object(entries) => entries.values().next().cloned(),
        _ => None,
    };
    match place.key {
        Some(key) if place.below == 0 => {
            let value = key.values.iter().find(|value| kind.is_of(value))?;
            Some(format!("`{}: {}`", key.name, flow(value)))
        }
        Some(key) => {
            let value = key.values.iter().filter_map(inside).find(|value| kind.is_of(value))?;
            (place.below == 1).then(|| format!("`{}`", flow(&value)))
        }
        // All that a type reads, seen from the root.
        None => {
            let name = &place.block?.name;
            // Steps of every protocol are in one list.
            let holds = |key: &&Key| {
                let is_one = |block: &String| block == name || block == "AnyStep" && name.ends_with("Step");
                key.holds != Holds::One && key.blocks.iter().any(is_one)
            };
            let first = REFERENCE.block(ROOT).into_iter().chain(REFERENCE.blocks());
            let key = first.flat_map(|block| &block.keys).find(holds)?;
            let is_whole_list = place.holds == Holds::List && kind == List;
            let value = match is_whole_list {
                true => key.values.iter().find(|value| kind.is_of(value)).cloned(),
                false => key.values.iter().filter_map(inside).find(|value| kind.is_of(value)),
            };
            Some(format!("`{}`", flow(&value?)))
        }
    }
}

/// The words of a choice at a path, such as `poisson` and `step: …`.
pub(super) fn words_at(from: (Option<&'static Block>, Holds), path: &[Hop<'_>]) -> Vec<&'static str> {
    find(from, path).block.into_iter().flat_map(|block| &block.words).map(|(word, _)| word.as_str()).collect()
}

/// For keys in the same column as the key that they belong to: the kind of that key's value.
pub(super) struct Children {
    block: Option<&'static Block>,
    holds: Holds,
}

impl Children {
    /// Those of the whole scenario.
    pub(super) fn of_scenario() -> Self {
        Self { block: REFERENCE.block(ROOT), holds: Holds::One }
    }

    /// Those of the value of a key.
    pub(super) fn below(&self, key: &str) -> Self {
        let place = find((self.block, self.holds), &[Hop::Key(key)]);
        Self { block: place.block, holds: place.holds }
    }

    /// Whether a map of this kind may have a key of this name; names that the scenario gives are not known.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.holds == Holds::One && self.block.is_some_and(|block| block.keys.iter().any(|known| known.name == key))
    }

    /// Whether the scenario gives the names of its keys.
    pub(super) fn are_named(&self) -> bool {
        self.holds == Holds::Named
    }
}

/// The words of a command line; the blanks inside an expression do not separate any.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut depth, mut is_new) = (0_usize, true);
    for c in line.chars() {
        if c.is_whitespace() && depth == 0 {
            is_new = true;
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match words.last_mut().filter(|_| !is_new) {
            Some(word) => word.push(c),
            None => words.push(c.to_string()),
        }
        is_new = false;
    }
    words
}

/// A word as it is typed between brackets.
fn in_a_list(word: &str) -> String {
    let begins = word.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-'));
    let is_plain = begins && !word.contains([',', '[', ']', '{', '}', '#']) && !word.ends_with(':') && word != "-";
    if is_plain { word.to_owned() } else { quoted(word) }
}

#[cfg(test)]
mod tests {
    use super::super::types;
    use super::super::{SourceFile, node};
    use super::*;

    fn example<T>(path: &[&str], kind: Kind) -> Option<String> {
        let path: Vec<Hop<'_>> = path.iter().map(|step| if *step == "-" { Hop::Item } else { Hop::Key(step) }).collect();
        of(block_of(std::any::type_name::<T>()), &path, kind, None, true)
    }

    #[test]
    fn what_is_a_map_or_a_list_has_an_example() {
        let all = [
            example::<types::Experiment>(&["collect"], Map),
            example::<types::Experiment>(&["links"], Map),
            example::<types::Experiment>(&["taps"], Map),
            example::<types::Experiment>(&["scrape"], Map),
            example::<types::Experiment>(&["phases"], Map),
            example::<types::Experiment>(&["set-up"], Map),
            example::<types::Experiment>(&["set-up", "run"], List),
            example::<types::Experiment>(&["expect"], List),
            example::<types::Experiment>(&["graphs", "-"], Map),
            example::<types::Collect>(&[], Map),
            example::<types::Link>(&[], Map),
            example::<types::Tap>(&[], Map),
            example::<types::Target>(&[], Map),
            example::<types::Workload>(&[], Map),
            example::<Vec<types::Action>>(&["-"], Map),
            example::<types::Target>(&["container"], Map),
            example::<types::Target>(&["render"], Map),
            example::<types::Target>(&["rlimits"], Map),
            example::<types::Target>(&["args"], List),
            example::<types::Target>(&["command", "-"], Text),
            example::<types::Workload>(&["metrics"], Map),
            example::<types::Workload>(&["metrics", "requests"], Map),
            example::<types::Workload>(&["draw"], Map),
            example::<types::Workload>(&["load"], Map),
            example::<types::Workload>(&["load", "find"], Map),
            example::<types::Workload>(&["load", "closed", "think"], Map),
            example::<types::Workload>(&["steps"], List),
            example::<types::Workload>(&["steps", "-"], Map),
            example::<types::Step>(&[], Map),
            example::<Vec<types::Action>>(&[], List),
            example::<types::Step>(&["carry"], Map),
            example::<types::Step>(&["carry", "v"], Map),
            example::<types::Step>(&["outcomes"], Map),
            example::<types::Step>(&["body"], Map),
        ];
        let missing: Vec<usize> = all.iter().enumerate().filter(|(_, e)| e.is_none()).map(|(index, _)| index).collect();
        assert!(missing.is_empty(), "{missing:?} in {all:#?}");
        for text in all.into_iter().flatten() {
            let inner = text.trim_matches('`');
            assert!(node::parse(&SourceFile::inline("x.yaml", &format!("- {inner}\n"))).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_command_line_is_split() {
        let typed =
            of(block_of(std::any::type_name::<types::Target>()), &[Hop::Key("command")], List, Some("python3 -m x {a}"), true);
        let expected = "`command: [python3, -m, x, \"{a}\"]`; for a shell command line use `shell: …`";
        assert_eq!(typed.as_deref(), Some(expected));
    }

    #[test]
    fn the_words_of_a_choice_are_known() {
        assert!(words_at(block_of(std::any::type_name::<types::Experiment>()), &[Hop::Key("scratch")]).len() >= 2);
        let arrivals = [Hop::Key("load"), Hop::Key("open"), Hop::Key("arrivals")];
        assert!(words_at(block_of(std::any::type_name::<types::Workload>()), &arrivals).contains(&"poisson"));
    }
}
