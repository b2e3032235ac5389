//! From a tree with positions to a typed value, collecting every mistake.
//!
//! serde stops at its first error. So: decode, note the error at its path, cut that branch off, decode
//! again, until nothing is wrong with what is left. A branch that was cut is not missed a second time.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_path_to_error::Segment;

use super::node::{Data, Node};
use super::source::{Mistake, SourceFile, one_of};

/// Reads `node` as a `T`; `None` when anything in it is wrong, and then `mistakes` has grown
/// (or the node was poisoned by an earlier mistake).
pub fn decode<T: DeserializeOwned>(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<T> {
    let mut json = node.to_json();
    let mut cut: Vec<Vec<Step>> = Vec::new();
    cut_poison(node, &mut Vec::new(), &mut cut);
    for path in cut.clone() {
        remove(&mut json, &path);
    }
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&json) {
            Ok(value) => return cut.is_empty().then_some(value),
            Err(error) => error,
        };
        let mut path: Vec<Step> = error.path().iter().filter_map(Step::from_segment).collect();
        let wording = Wording::of(&error.inner().to_string());
        if let Some(field) = &wording.unknown_key
            && path.last() != Some(&Step::Key(field.clone()))
        {
            path.push(Step::Key(field.clone()));
        }
        // Lists may have lost items before this one; the tree has not.
        let original = restore(&path, &cut);
        let excused = wording.missing.as_ref().is_some_and(|field| {
            cut.iter()
                .any(|c| c.len() == original.len() + 1 && c.starts_with(&original) && c.last() == Some(&Step::Key(field.clone())))
        });
        if !excused {
            mistakes.push(wording.mistake(file, node, &original));
        }
        if path.is_empty() {
            return None;
        }
        remove(&mut json, &path);
        cut.push(original);
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn from_segment(segment: &Segment) -> Option<Self> {
        match segment {
            Segment::Seq { index } => Some(Self::Index(*index)),
            Segment::Map { key } => Some(Self::Key(key.clone())),
            Segment::Enum { variant } => Some(Self::Key(variant.clone())),
            Segment::Unknown => None,
        }
    }
}

fn cut_poison(node: &Node, path: &mut Vec<Step>, cut: &mut Vec<Vec<Step>>) {
    match &node.data {
        Data::Poison => cut.push(path.clone()),
        Data::List(items) => {
            // From the end, so that the indexes of what is cut later stay what they are.
            for (i, item) in items.iter().enumerate().rev() {
                path.push(Step::Index(i));
                cut_poison(item, path, cut);
                path.pop();
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                path.push(Step::Key(entry.key.clone()));
                cut_poison(&entry.value, path, cut);
                path.pop();
            }
        }
        _ => {}
    }
}

fn remove(json: &mut Json, path: &[Step]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = json;
    for step in parents {
        let next = match step {
            Step::Key(key) => at.get_mut(key.as_str()),
            Step::Index(index) => at.get_mut(*index),
        };
        let Some(next) = next else { return };
        at = next;
    }
    match (last, at) {
        (Step::Key(key), Json::Object(map)) => {
            map.shift_remove(key);
        }
        (Step::Index(index), Json::Array(items)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => {}
    }
}

/// The path in the whole tree of a path in the tree without the branches that were cut.
fn restore(path: &[Step], cut: &[Vec<Step>]) -> Vec<Step> {
    let mut original: Vec<Step> = Vec::new();
    for step in path {
        let step = match step {
            Step::Key(_) => step.clone(),
            Step::Index(index) => {
                let mut gone: Vec<usize> = cut
                    .iter()
                    .filter(|c| c.len() == original.len() + 1 && c.starts_with(&original))
                    .filter_map(|c| match c.last() {
                        Some(Step::Index(i)) => Some(*i),
                        _ => None,
                    })
                    .collect();
                gone.sort_unstable();
                let mut index = *index;
                for i in gone {
                    if i <= index {
                        index += 1;
                    }
                }
                Step::Index(index)
            }
        };
        original.push(step);
    }
    original
}

/// serde's message, taken apart.
struct Wording {
    found: String,
    expected: Option<String>,
    unknown_key: Option<String>,
    missing: Option<String>,
    known: Vec<String>,
}

impl Wording {
    fn of(message: &str) -> Self {
        let mut wording = Self { found: message.to_owned(), expected: None, unknown_key: None, missing: None, known: Vec::new() };
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let (name, known) = quoted_then_list(rest);
            wording.found = format!("unknown key `{name}`");
            wording.expected = Some(format!("expected {}", one_of(known.iter().map(String::as_str))));
            wording.unknown_key = Some(name);
            wording.known = known;
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            let (name, known) = quoted_then_list(rest);
            wording.found = format!("unknown value `{name}`");
            wording.expected = Some(format!("expected {}", one_of(known.iter().map(String::as_str))));
            wording.known = known;
        } else if let Some(rest) = message.strip_prefix("missing field ") {
            let name = rest.trim_matches('`').to_owned();
            wording.found = format!("the key `{name}` is missing");
            wording.expected = Some(format!("expected a key `{name}` here"));
            wording.missing = Some(name);
        } else if let Some((_, expected)) = message
            .strip_prefix("invalid type: ")
            .or(message.strip_prefix("invalid value: "))
            .and_then(|m| m.split_once(", expected "))
        {
            wording.found = "@".to_owned(); // said with the words of YAML, see `mistake`
            wording.expected = Some(format!("expected {}", plain_type(expected)));
        } else if let Some((found, expected)) = message.split_once("||") {
            wording.found = found.to_owned();
            wording.expected = Some(expected.to_owned());
        }
        wording
    }

    fn mistake(&self, file: &Arc<SourceFile>, root: &Node, path: &[Step]) -> Mistake {
        let mut node = root;
        let mut span = root.span;
        for (i, step) in path.iter().enumerate() {
            let next = match step {
                Step::Key(key) => {
                    let entry = node.entry(key);
                    if i + 1 == path.len()
                        && self.unknown_key.as_ref() == Some(key)
                        && let Some(entry) = entry
                    {
                        span = entry.key_span;
                        break;
                    }
                    entry.map(|e| &e.value)
                }
                Step::Index(index) => node.items().get(*index),
            };
            let Some(next) = next else { break };
            node = next;
            span = node.span;
        }
        let found = if self.found == "@" { format!("{} does not fit here", node.describe()) } else { self.found.clone() };
        let mut mistake = Mistake::new(file, span, found);
        mistake.expected.clone_from(&self.expected);
        match (&self.unknown_key, node.as_text()) {
            (Some(name), _) => mistake.did_you_mean(name, self.known.iter().map(String::as_str)),
            (None, Some(text)) if !self.known.is_empty() => mistake.did_you_mean(text, self.known.iter().map(String::as_str)),
            _ => mistake,
        }
    }
}

/// `` `name`, expected one of `a`, `b` `` or `` `name`, there are no fields ``
fn quoted_then_list(text: &str) -> (String, Vec<String>) {
    let mut quoted = text.split('`').skip(1).step_by(2).map(str::to_owned);
    (quoted.next().unwrap_or_default(), quoted.collect())
}

fn plain_type(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a map (`key: value`)".to_owned(),
        other if other.starts_with("struct ") => "a map (`key: value`)".to_owned(),
        other if other.contains("enum ") => "one of the known words".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Part {
        rate: u32,
        #[serde(default)]
        names: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Whole {
        #[allow(dead_code)]
        parts: Vec<Part>,
    }

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let file = SourceFile::inline("x.yaml", text);
        let node = super::super::node::parse(&file).unwrap();
        let mut mistakes = Vec::new();
        let value = decode::<Whole>(&file, &node, &mut mistakes);
        assert_eq!(value.is_none(), !mistakes.is_empty());
        mistakes.iter().map(|m| (file.line_column(m.span.start).0, m.found.clone())).collect()
    }

    #[test]
    fn every_mistake_is_found_in_its_line() {
        let text = "parts:\n- {rate: fast}\n- {rte: 3}\n- {rate: 1, names: [a, [b], c, {}]}\nprts: 1\n";
        let found = mistakes(text);
        let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
        for line in [2, 3, 4, 5] {
            assert!(lines.contains(&line), "{line} in {found:?}");
        }
        assert_eq!(lines.iter().filter(|l| **l == 4).count(), 2, "{found:?}");
    }

    #[test]
    fn a_wrong_value_is_not_also_a_missing_one() {
        let found = mistakes("parts:\n- {rate: fast}\n");
        assert_eq!(found, [(2, "the text \"fast\" does not fit here".to_owned())]);
    }

    #[test]
    fn nothing_wrong_is_no_mistake() {
        assert!(mistakes("parts: [{rate: 3, names: [x]}]").is_empty());
    }
}
