//! From a tree with positions to a typed value, collecting every mistake.
//!
//! serde stops at its first error. So: decode, note the error at its path, cut that branch off, decode again, until
//! what is left has no error. A branch that was cut off is not reported as missing as well.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_path_to_error::Segment;

use super::examples::{self, Hop};
use super::node::{Data, Entry, Node};
use super::reference::flow;
use super::source::{Mistake, SourceFile, Span, nearest, one_of};
use super::syntax::{self, quoted};
use super::types;

/// At most this many mistakes are looked for in one part of a file: each costs another reading of the part.
const MAX_MISTAKES: usize = 60;

/// Reads `node` as a `T`; `None` when anything in it is wrong. Then `mistakes` has grown, or the node was poisoned by
/// an earlier mistake.
pub fn decode<T: DeserializeOwned>(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<T> {
    let before = mistakes.len();
    let value = salvage(file, node, usize::MAX, mistakes);
    value.filter(|_| mistakes.len() == before && !node.is_poisoned())
}

/// Removes from a scenario what has no meaning of its own: keys that start with `x-`, whose values are merged
/// elsewhere.
pub fn without_parts_aside(root: &mut Node) {
    if let Data::Map(entries) = &mut root.data {
        entries.retain(|entry| !entry.key.starts_with("x-"));
    }
}

/// The value at a path, or the last one that exists on the way to it.
fn nearest_node<'a>(mut node: &'a Node, path: &[Step]) -> &'a Node {
    for step in path {
        let next = match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.items().get(*index),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// Like [`decode`], but returns what is left after everything wrong was cut off and everything missing was replaced by
/// an empty value, so that the rest of a file can be checked too.
///
/// Keys without a value are mistakes down to a depth of `nulls`; deeper values are read later, separately.
pub fn salvage<T: DeserializeOwned>(file: &Arc<SourceFile>, node: &Node, nulls: usize, mistakes: &mut Vec<Mistake>) -> Option<T> {
    salvage_noting(file, node, nulls, mistakes, &mut Vec::new())
}

/// Like [`salvage`]; `blind` holds the places where the value is not what was typed.
fn salvage_noting<T: DeserializeOwned>(
    file: &Arc<SourceFile>,
    node: &Node,
    nulls: usize,
    mistakes: &mut Vec<Mistake>,
    blind: &mut Vec<Span>,
) -> Option<T> {
    if matches!(node.data, Data::Poison) {
        blind.extend([node.span, node.head]);
        return None;
    }
    let before = mistakes.len();
    let mut json = node.to_json();
    let mut cut: Vec<Vec<Step>> = Vec::new();
    cut_empty(file, node, nulls, &mut Vec::new(), &mut cut, mistakes);
    for path in &cut {
        let value = nearest_node(node, path);
        blind.extend([value.span, value.head]);
    }
    // From the end, so that the indexes of later cuts stay valid.
    for path in cut.iter().rev() {
        remove(&mut json, path);
    }
    let mut stand_ins: Vec<StandIn> = Vec::new();
    // Keys that are present, but misspelt.
    let mut misspelt: Vec<Vec<Step>> = Vec::new();
    while mistakes.len() - before < MAX_MISTAKES {
        let error = match serde_path_to_error::deserialize::<_, T>(&json) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut path: Vec<Step> = error.path().iter().filter_map(Step::from_segment).collect();
        if error.inner().to_string() == types::AS_TYPED {
            let value = nearest_node(node, &restore(&path, &cut));
            if matches!(value.data, Data::Int(_) | Data::Float(_) | Data::Bool(_)) {
                insert(&mut json, &path, Json::from(value.as_typed(file)))?;
                continue;
            }
        }
        let wording = Wording::of(&error.inner().to_string());
        if let Some(field) = &wording.unknown_key
            && path.last() != Some(&Step::Key(field.clone()))
        {
            path.push(Step::Key(field.clone()));
        }
        let invented = stand_ins.iter().any(|s| path.starts_with(&s.path));
        if let Some(field) = &wording.missing {
            // Lists may have lost items before this one; the tree has not.
            let original = restore(&path, &cut);
            let missing: Vec<Step> = original.iter().cloned().chain([Step::Key(field.clone())]).collect();
            if !invented && !cut.contains(&missing) && !misspelt.contains(&missing) {
                mistakes.push(wording.mistake(std::any::type_name::<T>(), file, node, &original));
            }
            blind.push(nearest_node(node, &original).head);
            path.push(Step::Key(field.clone()));
            insert(&mut json, &path, StandIn::KINDS[0]())?;
            stand_ins.push(StandIn { path, kind: 0 });
        } else if let Some(stand_in) = stand_ins.iter_mut().rev().find(|s| path.starts_with(&s.path)) {
            stand_in.kind += 1;
            insert(&mut json, &stand_in.path, StandIn::KINDS.get(stand_in.kind)?())?;
        } else {
            let original = restore(&path, &cut);
            mistakes.push(wording.mistake(std::any::type_name::<T>(), file, node, &original));
            if let (Some(typed), [parents @ .., _]) = (&wording.unknown_key, original.as_slice())
                && let Some(meant) = nearest(typed, wording.known.iter().map(String::as_str))
            {
                misspelt.push(parents.iter().cloned().chain([Step::Key(meant.to_owned())]).collect());
            }
            if path.is_empty() {
                return None;
            }
            remove(&mut json, &path);
            let value = nearest_node(node, &original);
            blind.extend([value.span, value.head]);
            cut.push(original);
        }
    }
    None
}

/// Reads `node` as a `T` and continues with `check`, even when something in it is wrong: then the mistakes that `check`
/// finds are kept only where none was reported yet, and there is no result.
pub fn decode_and<T: DeserializeOwned, R>(
    file: &Arc<SourceFile>,
    node: &Node,
    mistakes: &mut Vec<Mistake>,
    check: impl FnOnce(T, &mut Vec<Mistake>) -> Option<R>,
) -> Option<R> {
    let before = mistakes.len();
    let mut reported: Vec<Span> = Vec::new();
    let typed = salvage_noting(file, node, usize::MAX, mistakes, &mut reported)?;
    reported.extend(mistakes[before..].iter().map(|m| m.span));
    let read = mistakes.len();
    let checked = check(typed, mistakes);
    if reported.is_empty() {
        return checked;
    }
    let fresh: Vec<Mistake> =
        mistakes.drain(read..).filter(|m| m.file.path != file.path || !reported.iter().any(|s| m.touches(*s))).collect();
    mistakes.extend(fresh);
    None
}

/// Stands for a missing value, so that other missing values are found in the same round.
struct StandIn {
    path: Vec<Step>,
    /// Which of `KINDS` is tried.
    kind: usize,
}

impl StandIn {
    const KINDS: [fn() -> Json; 5] = [
        || Json::Object(serde_json::Map::new()),
        || Json::Array(Vec::new()),
        || Json::from(""),
        || Json::from(0),
        || Json::from(false),
    ];
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

    fn as_hop(&self) -> Hop<'_> {
        match self {
            Self::Key(key) => Hop::Key(key),
            Self::Index(_) => Hop::Item,
        }
    }
}

/// Records the branches in which a mistake was reported, and reports those in which nothing was typed.
fn cut_empty(
    file: &Arc<SourceFile>,
    node: &Node,
    nulls: usize,
    path: &mut Vec<Step>,
    cut: &mut Vec<Vec<Step>>,
    mistakes: &mut Vec<Mistake>,
) {
    match &node.data {
        Data::Poison => cut.push(path.clone()),
        Data::List(items) => {
            for (i, item) in items.iter().enumerate() {
                path.push(Step::Index(i));
                if matches!(item.data, Data::Null) && nulls > 0 {
                    mistakes.push(Mistake::new(file, item.span, "an item without a value").expected("expected a value"));
                    cut.push(path.clone());
                }
                cut_empty(file, item, nulls.saturating_sub(1), path, cut, mistakes);
                path.pop();
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                // `body: {json: null}` means what it says.
                let meant = entry.key == "json" && path.last() == Some(&Step::Key("body".to_owned()));
                path.push(Step::Key(entry.key.clone()));
                if matches!(entry.value.data, Data::Null) && nulls > 0 && !meant {
                    let word = entry.key.split([' ', '=', ':']).next().unwrap_or_default();
                    let mistake = match entry.key[word.len()..].chars().next() {
                        // `{amount:10}`
                        Some(':') if !entry.key.ends_with(':') && !entry.key[word.len() + 1..].starts_with('/') => {
                            let value = &entry.key[word.len() + 1..];
                            Mistake::new(file, entry.key_span, format!("no space after the colon of `{word}`"))
                                .expected(format!("expected `{word}: {value}`"))
                        }
                        // `{amount 10}`, which is not also missed
                        Some(' ' | '=') if !word.is_empty() => {
                            let mut meant = path.clone();
                            meant.pop();
                            meant.push(Step::Key(word.to_owned()));
                            cut.push(meant);
                            Mistake::new(file, entry.key_span, format!("no colon in `{}`", entry.key))
                                .expected(format!("expected `{}`", syntax::with_colon(&entry.key)))
                        }
                        _ => Mistake::new(file, entry.value.span, format!("the key `{}` has no value", entry.key))
                            .expected("expected a value, or no such key"),
                    };
                    mistakes.push(mistake);
                    cut.push(path.clone());
                }
                if !meant {
                    cut_empty(file, &entry.value, nulls.saturating_sub(1), path, cut, mistakes);
                }
                path.pop();
            }
        }
        _ => {}
    }
}

/// Puts a value at a path whose parents exist; `None` when they do not.
fn insert(json: &mut Json, path: &[Step], value: Json) -> Option<()> {
    let mut at = json;
    for (i, step) in path.iter().enumerate() {
        at = match step {
            Step::Key(key) if i + 1 == path.len() => at.as_object_mut()?.entry(key.clone()).or_insert(Json::Null),
            Step::Key(key) => at.get_mut(key.as_str())?,
            Step::Index(index) => at.get_mut(*index)?,
        };
    }
    *at = value;
    Some(())
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

/// The path in the whole tree for a path in the tree without the branches that were cut.
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

/// serde's message, split into its parts.
struct Wording {
    found: String,
    expected: Option<String>,
    help: Option<String>,
    unknown_key: Option<String>,
    missing: Option<String>,
    known: Vec<String>,
}

impl Wording {
    fn of(message: &str) -> Self {
        let mut wording =
            Self { found: message.to_owned(), expected: None, help: None, unknown_key: None, missing: None, known: Vec::new() };
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
            wording.expected = Some(format!("expected `{name}:` in here"));
            wording.missing = Some(name);
        } else if let Some((_, expected)) = message
            .strip_prefix("invalid type: ")
            .or(message.strip_prefix("invalid value: "))
            .and_then(|m| m.split_once(", expected "))
        {
            wording.found = "@".to_owned(); // worded in terms of YAML, see `mistake`
            wording.expected = Some(format!("expected {}", plain_type(expected)));
        } else if let Some((found, rest)) = message.split_once("||") {
            let (expected, help) = rest.split_once("||").map_or((rest, None), |(e, h)| (e, Some(h.to_owned())));
            wording.found = found.to_owned();
            wording.expected = Some(expected.to_owned());
            wording.help = help;
        }
        wording
    }

    /// `T`: what is read from `root`.
    fn mistake(&self, of: &str, file: &Arc<SourceFile>, root: &Node, path: &[Step]) -> Mistake {
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
        if self.missing.is_some() {
            span = node.head;
        }
        let found = if self.found == "@" { format!("{} does not fit here", node.describe()) } else { self.found.clone() };
        let mut mistake = Mistake::new(file, span, found);
        mistake.expected.clone_from(&self.expected);
        mistake.help.clone_from(&self.help);
        match &node.data {
            Data::Int(number) if *number > 0 && self.expected.as_deref().is_some_and(|e| e.ends_with(NATURAL)) => {
                mistake = mistake.expected("expected a smaller number");
            }
            Data::Int(_) | Data::Float(_) | Data::Bool(_) if self.expected.as_deref() == Some(EXPECTED_TEXT) => {
                mistake = mistake.help(format!("in quotes it is a text: \"{}\"", node.to_json()));
            }
            _ => {}
        }
        match (&self.unknown_key, node.as_text()) {
            (Some(name), _) => match path {
                [.., Step::Key(inner), Step::Key(_)] if is_beside(inner, name) => {
                    mistake.help(format!("`{name}` belongs beside `{inner}`: `load: {{{inner}: {{…}}, {name}: …}}`"))
                }
                _ => self.unknown(mistake, name),
            },
            (None, Some(text)) if !self.known.is_empty() => mistake.did_you_mean(text, self.known.iter().map(String::as_str)),
            // A workload and a probe have `command`, and no `shell`.
            _ => self.with_example(of, mistake, node, path, path.len() == 1 && root.get("load").is_none()),
        }
    }

    /// An unknown key; it may be one without its colon, such as `steps [{get`.
    fn unknown(&self, mistake: Mistake, name: &str) -> Mistake {
        let word = name.split([' ', ':']).next().unwrap_or_default();
        if word.len() < name.len() && self.known.iter().any(|known| known == word) {
            let Mistake { file, span, .. } = &mistake;
            let what = if name[word.len()..].starts_with(':') { "space after the colon of" } else { "colon after" };
            return Mistake::new(file, *span, format!("no {what} `{word}`")).expected(format!("expected `{word}: …`"));
        }
        mistake.did_you_mean(name, self.known.iter().map(String::as_str))
    }

    /// Adds an example where a map, a list or a text was expected and something else was found.
    fn with_example(&self, of: &str, mistake: Mistake, node: &Node, path: &[Step], has_shell: bool) -> Mistake {
        let Some(expected) = self.expected.as_deref().filter(|_| self.found == "@") else { return mistake };
        let steps: Vec<Hop<'_>> = path.iter().map(Step::as_hop).collect();
        let such_as = |kind| {
            let typed = as_in_file(&mistake.file, node).or(node.as_text());
            let example = examples::of(examples::block_of(of), &steps, kind, typed, has_shell)?;
            Some(format!("{expected}, such as {example}"))
        };
        let better = match expected {
            EXPECTED_MAP => such_as(examples::Kind::Map),
            EXPECTED_LIST => {
                let expected = such_as(examples::Kind::List);
                let begins = |first: &&Entry| {
                    let before = mistake.file.text.get(..first.key_span.start).unwrap_or_default();
                    let line = before.rsplit('\n').next().unwrap_or_default();
                    line.trim().is_empty() && syntax::BEGINS_AN_ITEM.contains(&first.key.as_str())
                };
                let first = node.entries().first().filter(begins);
                return match (expected, first) {
                    (Some(expected), Some(first)) => {
                        let help = format!("`- ` is missing before `{}`", first.key);
                        mistake.expected(expected).help(help)
                    }
                    (Some(expected), None) => mistake.expected(expected),
                    (None, _) => mistake,
                };
            }
            EXPECTED_TEXT if matches!(node.data, Data::Map(_) | Data::List(_)) => {
                in_quotes(&mistake.file, node, path).or_else(|| such_as(examples::Kind::Text))
            }
            EXPECTED_WORD_OR_MAP => {
                let words = examples::words_at(examples::block_of(of), &steps);
                (!words.is_empty()).then(|| format!("expected {}", one_of(words)))
            }
            NATURAL_EXPECTED | "expected a number" | "expected a whole number" => {
                return match number_help(node) {
                    Some(help) => mistake.help(help),
                    None => mistake,
                };
            }
            _ => None,
        };
        match better {
            Some(expected) => mistake.expected(expected),
            None => mistake,
        }
    }
}

/// A text with expressions as it was typed, without its quotes.
fn as_in_file<'f>(file: &'f SourceFile, node: &Node) -> Option<&'f str> {
    node.as_text()?;
    let typed = file.text.get(node.span.start..node.span.end)?.trim();
    let bare = ['"', '\''].iter().find_map(|quote| typed.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(typed);
    bare.contains("${").then_some(bare)
}

/// The words of a command line that was typed as one text; expressions stay as they were typed.
pub fn words_as_typed(file: &SourceFile, node: &Node) -> Vec<String> {
    examples::words(as_in_file(file, node).or(node.as_text()).unwrap_or_default())
}

/// Whether a key belongs beside the part of a load in which it was typed.
fn is_beside(part: &str, key: &str) -> bool {
    matches!(part, "closed" | "open") && matches!(key, "amount" | "duration" | "warm-up" | "drain")
}

/// What to do with a text where a number is expected, if it is nearly a number.
pub fn number_help(node: &Node) -> Option<String> {
    let text = node.as_text()?;
    let is_number = || text.parse::<f64>().is_ok();
    types::without_zeros(text).or_else(|| is_number().then(|| format!("without quotes it is a number: {text}")))
}

/// What to expect of a map or a list where a text was expected: `accept: text` in a list of words, or words where a
/// shell reads a line.
fn in_quotes(file: &SourceFile, node: &Node, path: &[Step]) -> Option<String> {
    let typed = file.text.get(node.span.start..node.span.end).unwrap_or_default();
    match (&node.data, path.last()) {
        (Data::Map(entries), Some(Step::Index(_))) if entries.len() == 1 && !typed.contains('\n') && !typed.starts_with('{') => {
            Some(format!("expected it in quotes: `{}`", quoted(typed)))
        }
        (Data::List(items), Some(Step::Key(key))) if key == "shell" => {
            let words: Option<Vec<&str>> = items.iter().map(Node::as_text).collect();
            let line = words.filter(|words| !words.is_empty()).map_or_else(|| "…".to_owned(), |words| words.join(" "));
            Some(format!(
                "expected a text, such as `shell: {}`; a list of words goes into `command: […]`",
                flow(&Json::from(line))
            ))
        }
        _ => None,
    }
}

/// Keys in the same column as the key that they belong to. This is valid YAML, and never what was meant: it counts as
/// one mistake. The meaning of these keys is not read.
pub fn misplaced(file: &Arc<SourceFile>, root: &mut Node, mistakes: &mut Vec<Mistake>) {
    let scenario = examples::Children::of_scenario();
    if has_null(root) {
        find_misplaced(file, root, &scenario, mistakes);
    }
    if let Data::Map(sections) = &mut root.data {
        for (section, one) in [("targets", "target"), ("workloads", "workload")] {
            for entry in sections.iter_mut().filter(|entry| entry.key == section) {
                keys_as_names(file, &mut entry.value, &scenario.below(section), one, mistakes);
            }
        }
    }
}

/// Keys of a target or a workload in the column of its name: they are read as names of others.
fn keys_as_names(file: &Arc<SourceFile>, node: &mut Node, all: &examples::Children, one: &str, mistakes: &mut Vec<Mistake>) {
    let Data::Map(entries) = &mut node.data else { return };
    let mut at = 0;
    while at + 1 < entries.len() {
        let named = &entries[at];
        let is_key = |entry: &&Entry| all.below(&named.key).knows(&entry.key);
        let run: Vec<&Entry> = entries[at + 1..].iter().take_while(is_key).collect();
        // A map may well be a target that has the name of a key.
        let is_odd = run.iter().any(|entry| !matches!(entry.value.data, Data::Map(_) | Data::Null | Data::Poison));
        let (Some(inner), Some(first)) = (named.value.entries().first(), run.first().filter(|_| is_odd && !is_key(&named)))
        else {
            at += 1;
            continue;
        };
        let column = |entry: &Entry| file.line_column(entry.key_span.start).1;
        let found = format!("`{}` is read as another {one} here", first.key);
        let expected = match column(inner) > column(named) && column(first) == column(named) {
            true => format!("expected it in column {}, below `{}`", column(inner), named.key),
            false => format!("expected it inside `{}`", named.key),
        };
        mistakes.push(Mistake::new(file, first.key_span, found).expected(expected));
        let count = run.len();
        entries.drain(at + 1..=at + count);
        // What is missing in it was typed.
        entries[at].value.data = Data::Poison;
        at += 1;
    }
}

fn has_null(node: &Node) -> bool {
    matches!(node.data, Data::Null) || node.entries().iter().any(|entry| has_null(&entry.value))
}

fn find_misplaced(file: &Arc<SourceFile>, node: &mut Node, here: &examples::Children, mistakes: &mut Vec<Mistake>) {
    let Data::Map(entries) = &mut node.data else { return };
    let mut at = 0;
    while at < entries.len() {
        let inner = here.below(&entries[at].key);
        let place = |entry: &Entry| file.line_column(entry.key_span.start);
        let (line, column) = place(&entries[at]);
        // What belongs to it: keys that it may have and that mean nothing here, or, if it holds names, every key that
        // holds a map.
        let belongs = |entry: &Entry| {
            let is_key = if inner.are_named() {
                matches!(entry.value.data, Data::Map(_) | Data::Null) && !entry.key.starts_with("x-")
            } else {
                inner.knows(&entry.key)
            };
            is_key && !here.knows(&entry.key) && place(entry).1 == column && place(entry).0 > line
        };
        let following = entries[at + 1..].iter().take_while(|entry| belongs(entry)).count();
        if matches!(entries[at].value.data, Data::Null) && following > 0 {
            let (key, first) = (&entries[at].key, &entries[at + 1]);
            let found = format!("`{}` starts in column {column}, beside `{key}` of line {line}, which has no value", first.key);
            let expected = format!("expected column {}, below `{key}`", column + 2);
            mistakes.push(Mistake::new(file, first.key_span, found).expected(expected));
            entries[at].value.data = Data::Poison;
            entries.drain(at + 1..=at + following);
        }
        find_misplaced(file, &mut entries[at].value, &inner, mistakes);
        at += 1;
    }
}

/// `` `name`, expected one of `a`, `b` `` or `` `name`, there are no fields ``
fn quoted_then_list(text: &str) -> (String, Vec<String>) {
    let mut quoted = text.split('`').skip(1).step_by(2).map(str::to_owned);
    (quoted.next().unwrap_or_default(), quoted.collect())
}

const NATURAL: &str = "a whole number that is not negative";
const NATURAL_EXPECTED: &str = "expected a whole number that is not negative";
const EXPECTED_MAP: &str = "expected a map (`key: value`)";
const EXPECTED_LIST: &str = "expected a list";
const EXPECTED_TEXT: &str = "expected a text";
const EXPECTED_WORD_OR_MAP: &str = "expected a word, or a map (`key: value`)";

fn plain_type(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => NATURAL.to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f64" | "f32" => "a number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a map (`key: value`)".to_owned(),
        "string or map" => "a word, or a map (`key: value`)".to_owned(),
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
