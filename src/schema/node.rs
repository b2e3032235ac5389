//! The YAML document as a tree in which every value knows its position.
//!
//! Two parsers make it: `serde_yaml` says what each scalar is and refuses duplicate keys; the event parser of `saphyr`
//! says where it is. Their results are walked side by side. Neither serde nor the rest of the program sees positions.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_yaml::Value;

use super::source::{Mistake, SourceFile, Span};
use super::syntax;

/// Values in a document after its aliases are expanded; more is a YAML bomb.
const MAX_NODES: usize = 100_000;
/// Nesting of a document; more is not a scenario.
const MAX_DEPTH: usize = 64;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it was typed; for a map or a list over several lines, something short that represents it.
    pub span: Span,
    /// Where to point when something is missing in it: its key, or itself.
    pub head: Span,
    /// Its value: a scalar, a list or a map.
    pub data: Data,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// `~`, or nothing
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: 1}`, in the order typed
    Map(Vec<Entry>),
    /// A value in which a mistake was already reported.
    Poison,
}

/// One key of a map with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A value with its position.
    pub fn new(span: Span, data: Data) -> Self {
        Self { span, head: span, data }
    }

    /// A node of a text.
    pub fn text(span: Span, text: impl Into<String>) -> Self {
        Self::new(span, Data::Text(text.into()))
    }

    /// The same place with another value.
    #[must_use]
    pub fn with(&self, data: Data) -> Self {
        Self { data, ..*self }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|e| e.key == key).map(|e| &e.value)
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `true` when a mistake was reported somewhere inside.
    pub fn is_poisoned(&self) -> bool {
        match &self.data {
            Data::Poison => true,
            Data::List(items) => items.iter().any(Self::is_poisoned),
            Data::Map(entries) => entries.iter().any(|e| e.value.is_poisoned()),
            _ => false,
        }
    }

    /// A number or a boolean as it was typed in its file: `1.10`, `0x1F`. A computed value is printed.
    pub fn as_typed(&self, file: &SourceFile) -> String {
        let typed = file.text.get(self.span.start..self.span.end).unwrap_or_default();
        let is_this = serde_yaml::from_str::<Value>(typed).is_ok_and(|value| scalar(&value, typed).as_ref() == Some(&self.data));
        if is_this { typed.to_owned() } else { self.to_json().to_string() }
    }

    /// The number of values in it, itself included.
    pub fn count(&self) -> usize {
        1 + match &self.data {
            Data::List(items) => items.iter().map(Self::count).sum(),
            Data::Map(entries) => entries.iter().map(|e| e.value.count()).sum(),
            _ => 0,
        }
    }

    /// As JSON, for serde and for expressions. Poisoned values become null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.data {
            Data::Null | Data::Poison => Json::Null,
            Data::Bool(b) => Json::Bool(*b),
            Data::Int(i) => Json::from(*i),
            Data::Float(f) => Json::from(*f),
            Data::Text(s) => Json::from(s.as_str()),
            Data::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Data::Map(entries) => Json::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
        }
    }

    /// From JSON, with every value at `span`.
    pub fn from_json(json: &serde_json::Value, span: Span) -> Self {
        use serde_json::Value as Json;
        let data = match json {
            Json::Null => Data::Null,
            Json::Bool(b) => Data::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Data::Float(n.as_f64().unwrap_or(f64::NAN)), Data::Int),
            Json::String(s) => Data::Text(s.clone()),
            Json::Array(items) => Data::List(items.iter().map(|i| Self::from_json(i, span)).collect()),
            Json::Object(map) => Data::Map(
                map.iter()
                    .map(|(key, value)| Entry { key: key.clone(), key_span: span, value: Self::from_json(value, span) })
                    .collect(),
            ),
        };
        Self::new(span, data)
    }

    /// Its kind, for messages: `the text "abc"`, `a list`.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null => "an empty value".to_owned(),
            Data::Bool(b) => format!("`{b}`"),
            Data::Int(i) => format!("the number {i}"),
            Data::Float(f) => format!("the number {f:?}"),
            Data::Text(s) if s.chars().count() > 40 => format!("the text \"{}…\"", s.chars().take(40).collect::<String>()),
            Data::Text(s) => format!("the text \"{s}\""),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a map".to_owned(),
            Data::Poison => "a mistake".to_owned(),
        }
    }
}

/// The parsed tree of a file.
///
/// # Errors
/// The mistake because of which the text is not one YAML document of sensible size with text keys.
pub fn parse(file: &Arc<SourceFile>) -> Result<Node, Box<Mistake>> {
    let marked = Marks::new(file).document()?;
    let value: Value = serde_yaml::from_str(&file.text).map_err(|e| from_yaml(file, &e))?;
    let mut root = join(file, &value, &marked).map_err(Box::new)?;
    root.head = root.entries().first().map_or(root.span, |e| e.key_span);
    Ok(root)
}

fn from_yaml(file: &Arc<SourceFile>, error: &serde_yaml::Error) -> Box<Mistake> {
    let start = error.location().map_or(0, |l| l.index());
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let span = word_at(file, start);
    Box::new(match message.strip_prefix("duplicate entry with key ") {
        Some(key) => Mistake::new(file, span, format!("the key {} appears twice in this map", key.replace('"', "`")))
            .expected("expected every key once"),
        None => syntax::explain(file, start, &message),
    })
}

/// The run of characters at an offset that are not white space.
fn word_at(file: &SourceFile, start: usize) -> Span {
    let start = start.min(file.text.len());
    let end = file.text.get(start..).map_or(start, |rest| start + rest.find(char::is_whitespace).unwrap_or(rest.len()));
    Span { start, end: end.max(start) }
}

/// The shape of the document with positions only.
#[derive(Clone, Debug)]
struct Mark {
    span: Span,
    kind: Kind,
    count: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Scalar,
    List(Vec<Arc<Mark>>),
    Map(Vec<(Arc<Mark>, Arc<Mark>)>),
}

struct Marks<'a> {
    file: &'a Arc<SourceFile>,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Arc<Mark>>,
    /// Byte offset of each character, only for text that is not ASCII.
    offsets: Option<Vec<usize>>,
    /// Values so far, aliases expanded.
    total: usize,
}

impl<'a> Marks<'a> {
    fn new(file: &'a Arc<SourceFile>) -> Self {
        let offsets =
            (!file.text.is_ascii()).then(|| file.text.char_indices().map(|(i, _)| i).chain([file.text.len()]).collect());
        let parser = Parser::new_from_str(&file.text);
        Self { file, parser, anchors: HashMap::new(), offsets, total: 0 }
    }

    fn byte(&self, index: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.file.text.len()),
            None => index.min(self.file.text.len()),
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Box<Mistake>> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = Span { start: self.byte(span.start.index()), end: self.byte(span.end.index()) };
                Ok((event, span))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span { start: self.file.text.len(), end: self.file.text.len() })),
        }
    }

    fn syntax(&self, error: &ScanError) -> Box<Mistake> {
        Box::new(syntax::explain(self.file, self.byte(error.marker().index()), error.info()))
    }

    fn document(mut self) -> Result<Arc<Mark>, Box<Mistake>> {
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd => {
                    return Err(Box::new(
                        Mistake::new(self.file, Span::default(), "the file is empty")
                            .expected("expected an experiment, starting with `experiment: <name>`"),
                    ));
                }
                event => {
                    let root = self.value(event, span, 0)?;
                    loop {
                        let (event, span) = self.next()?;
                        match event {
                            Event::StreamEnd => return Ok(root),
                            Event::DocumentEnd => {}
                            _ => {
                                return Err(Box::new(
                                    Mistake::new(self.file, word_at(self.file, span.start), "a second document starts here")
                                        .expected("expected one experiment per file"),
                                ));
                            }
                        }
                    }
                }
            }
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Arc<Mark>, Box<Mistake>> {
        if depth > MAX_DEPTH {
            return Err(Box::new(
                Mistake::new(self.file, span, format!("nested more than {MAX_DEPTH} deep"))
                    .expected("expected a flatter document"),
            ));
        }
        let (anchor, mark) = match event {
            Event::Alias(id) => {
                let Some(mark) = self.anchors.get(&id).cloned() else {
                    return Err(Box::new(
                        Mistake::new(self.file, word_at(self.file, span.start), "an alias inside its own anchor")
                            .expected("expected an alias of something that is complete"),
                    ));
                };
                self.spend(mark.count, span)?;
                return Ok(Arc::new(Mark { span, ..(*mark).clone() }));
            }
            Event::Scalar(_, _, anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                (anchor, Mark { span, kind: Kind::Scalar, count: 1 })
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end.end,
                        (event, span) => items.push(self.value(event, span, depth + 1)?),
                    }
                };
                let count = 1 + items.iter().map(|m| m.count).sum::<usize>();
                let short = self.short(span.start, end, items.first().map(|m| m.span), items.last().map(|m| m.span));
                (anchor, Mark { span: short, kind: Kind::List(items), count })
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(tag.is_some(), span)?;
                let mut entries: Vec<(Arc<Mark>, Arc<Mark>)> = Vec::new();
                let mut seen: HashMap<String, usize> = HashMap::new();
                let mut has_null = false;
                let end = loop {
                    match self.next()? {
                        (Event::MappingEnd, end) => break end.end,
                        (event, span) => {
                            // YAML treats two of them as the same key, however they are spelled.
                            if is_null(&event) && std::mem::replace(&mut has_null, true) {
                                let key = key_text(self.file, &Value::Null, span);
                                return Err(Box::new(key.expect_err("a key that is null is always a mistake")));
                            }
                            if let Event::Scalar(text, ..) = &event
                                && let Some(first) = seen.insert(text.to_string(), span.start)
                            {
                                return Err(self.twice(text, span, first));
                            }
                            let key = self.value(event, span, depth + 1)?;
                            let (event, span) = self.next()?;
                            entries.push((key, self.value(event, span, depth + 1)?));
                        }
                    }
                };
                let count = 1 + entries.iter().map(|(k, v)| k.count + v.count).sum::<usize>();
                let (first, last) = (entries.first().map(|(k, _)| k.span), entries.last().map(|(_, v)| v.span));
                (anchor, Mark { span: self.short(span.start, end, first, last), kind: Kind::Map(entries), count })
            }
            _ => {
                return Err(Box::new(Mistake::new(self.file, span, "the document ends too early").expected("expected a value")));
            }
        };
        self.spend(1, span)?;
        let mark = Arc::new(mark);
        if anchor > 0 {
            self.anchors.insert(anchor, Arc::clone(&mark));
        }
        Ok(mark)
    }

    fn twice(&self, key: &str, span: Span, first: usize) -> Box<Mistake> {
        let line = self.file.line_column(first).0;
        let mistake = Mistake::new(self.file, span, format!("the key `{key}` appears twice in this map"))
            .expected(format!("expected every key once; the first one is in line {line}"));
        // A block of keys has one on each line.
        let mistake = match self.file.line_column(span.start).0 == line {
            true => mistake.help("is a `}` missing before it?"),
            false => mistake,
        };
        Box::new(if key == MERGE { mistake.help("to merge several maps, use a list: `<<: [*one, *other]`") } else { mistake })
    }

    /// What represents a map or a list: all of it if it is on one line, otherwise its start.
    fn short(&self, start: usize, end: usize, first: Option<Span>, last: Option<Span>) -> Span {
        let flow = self.file.text[start..].starts_with(['[', '{']);
        // The end of an indented block is only noticed at the text that follows it.
        let end = if flow { end } else { last.map_or(start, |l| l.end).max(start) };
        match first {
            Some(first) if self.file.text[start..end].contains('\n') => {
                if flow {
                    Span { start, end: start + 1 }
                } else {
                    first
                }
            }
            _ => Span { start, end },
        }
    }

    fn no_tag(&self, tagged: bool, span: Span) -> Result<(), Box<Mistake>> {
        if !tagged {
            return Ok(());
        }
        Err(Box::new(
            Mistake::new(self.file, word_at(self.file, span.start), "a YAML tag (`!…`)")
                .expected("expected a plain value; tags have no meaning here"),
        ))
    }

    fn spend(&mut self, count: usize, span: Span) -> Result<(), Box<Mistake>> {
        self.total = self.total.saturating_add(count);
        if self.total <= MAX_NODES {
            return Ok(());
        }
        Err(Box::new(
            Mistake::new(
                self.file,
                word_at(self.file, span.start),
                format!("the document grows to more than {MAX_NODES} values"),
            )
            .expected("expected a smaller document, or fewer aliases of aliases"),
        ))
    }
}

/// Whether YAML reads a scalar as a null.
fn is_null(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, ..) => matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
        _ => false,
    }
}

/// What a scalar is, if it is a boolean or a number that fits. `1e3` is the whole number 1000; a point makes it a
/// fraction.
fn scalar(value: &Value, typed: &str) -> Option<Data> {
    match value {
        Value::Bool(b) => Some(Data::Bool(*b)),
        Value::Number(n) if n.is_i64() => n.as_i64().map(Data::Int),
        Value::Number(n) if n.is_u64() => None,
        Value::Number(n) => {
            let float = n.as_f64().filter(|float| float.is_finite())?;
            // Up to 2^53 a float holds every whole number.
            let is_whole = !typed.contains('.') && float.fract() == 0.0 && float.abs() <= (1_u64 << 53) as f64;
            Some(if is_whole { Data::Int(float as i64) } else { Data::Float(float) })
        }
        _ => None,
    }
}

/// A key as it was typed: a number or a boolean can be a name, too.
fn key_text(file: &Arc<SourceFile>, key: &Value, span: Span) -> Result<String, Mistake> {
    let typed = file.text.get(span.start..span.end).unwrap_or_default();
    match key {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(typed.to_owned()),
        Value::Null if !typed.starts_with(['~', 'n', 'N']) => {
            Err(Mistake::new(file, span, "a colon without a key").expected("expected a name before it"))
        }
        Value::Null => Err(Mistake::new(file, span, format!("the key `{typed}`, which YAML reads as no value at all"))
            .expected(format!("expected another name, or quotes: `\"{typed}\"`"))),
        _ => {
            let mistake = Mistake::new(file, span, "this key is not a text").expected("expected a name as key");
            let is_template = typed.starts_with('{') && file.text[..span.start].ends_with('{');
            Err(if is_template {
                mistake.help("an expression has a dollar sign, and needs quotes: `\"${name}\"`")
            } else {
                mistake
            })
        }
    }
}

/// The key that merges the keys of other maps.
const MERGE: &str = "<<";

/// The maps that `<<` names: one, or a list of them.
fn bases(file: &Arc<SourceFile>, value: Node) -> Result<Vec<Node>, Mistake> {
    let bases = match value.data {
        Data::List(items) => items,
        _ => vec![value],
    };
    match bases.iter().find(|base| !matches!(base.data, Data::Map(_))) {
        Some(other) => {
            Err(Mistake::new(file, other.span, format!("`{MERGE}` merges the keys of a map, but this is {}", other.describe()))
                .expected("expected a map that has a name, such as `*base`, or a list of them"))
        }
        None => Ok(bases),
    }
}

/// Inserts the entries of other maps among those of a map. The map's own entries take precedence, then those of earlier
/// bases. Each entry keeps its position, so that its mistakes are shown where it was typed.
fn take_over(entries: &mut Vec<Entry>, at: usize, bases: Vec<Node>) {
    let mut taken: Vec<Entry> = Vec::new();
    for base in bases {
        let Data::Map(theirs) = base.data else { continue };
        for entry in theirs {
            if !entries.iter().chain(&taken).any(|known| known.key == entry.key) {
                taken.push(entry);
            }
        }
    }
    entries.splice(at..at, taken);
}

/// Walks the results of both parsers side by side.
fn join(file: &Arc<SourceFile>, value: &Value, mark: &Mark) -> Result<Node, Mistake> {
    let differ = || Mistake::new(file, mark.span, "this YAML can be read in two ways").expected("expected a simpler notation");
    let typed = file.text.get(mark.span.start..mark.span.end).unwrap_or_default();
    let data = match (value, &mark.kind) {
        (Value::Null, _) => Data::Null,
        (Value::Bool(_) | Value::Number(_), _) => scalar(value, typed).ok_or_else(|| {
            Mistake::new(file, mark.span, format!("the number {typed}"))
                .expected("expected a number between -9223372036854775808 and 9223372036854775807")
        })?,
        (Value::String(s), _) => Data::Text(s.clone()),
        (Value::Sequence(values), Kind::List(marks)) if values.len() == marks.len() => {
            Data::List(values.iter().zip(marks).map(|(v, m)| join(file, v, m)).collect::<Result<_, _>>()?)
        }
        (Value::Mapping(values), Kind::Map(marks)) if values.len() == marks.len() => {
            let mut entries = Vec::new();
            // Where the keys of other maps are merged, and those maps.
            let mut merged: Option<(usize, Vec<Node>)> = None;
            for ((key, value), (key_mark, value_mark)) in values.iter().zip(marks) {
                let key_span = key_mark.span;
                let key_text = key_text(file, key, key_span)?;
                let mut value = join(file, value, value_mark)?;
                value.head = key_span;
                // In quotes it is a key like any other.
                if key_text == MERGE && file.text[key_span.start..].starts_with(MERGE) {
                    merged = Some((entries.len(), bases(file, value)?));
                    continue;
                }
                // What starts on another line, or continues there, is best shown by its key.
                let below = file.text.get(key_span.end..value.span.start).is_some_and(|gap| gap.contains('\n'));
                let several =
                    matches!(value.data, Data::List(_) | Data::Map(_)) && (below || value.span.end == value.span.start + 1);
                if several || value.span.start >= value.span.end {
                    value.span = key_span;
                }
                entries.push(Entry { key: key_text, key_span, value });
            }
            if let Some((at, bases)) = merged {
                take_over(&mut entries, at, bases);
            }
            Data::Map(entries)
        }
        _ => return Err(differ()),
    };
    Ok(Node::new(mark.span, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Node, String> {
        parse(&SourceFile::inline("x.yaml", text)).map_err(|m| m.found)
    }

    #[test]
    fn values_know_where_they_stand() {
        let text = "a: [1, zwei]\nb: {c: 'x y'}\n";
        let node = tree(text).unwrap();
        let span = node.get("a").unwrap().items()[1].span;
        assert_eq!(&text[span.start..span.end], "zwei");
        let entry = node.get("b").unwrap().entry("c").unwrap();
        assert_eq!(&text[entry.key_span.start..entry.key_span.end], "c");
        assert_eq!(&text[entry.value.span.start..entry.value.span.end], "'x y'");
    }

    #[test]
    fn positions_are_bytes_also_behind_letters_that_take_several() {
        let text = "a: ümläüt\nb: wert\n";
        let span = tree(text).unwrap().get("b").unwrap().span;
        assert_eq!(&text[span.start..span.end], "wert");
    }

    #[test]
    fn merge_keys_take_over_what_is_not_said_and_keep_positions() {
        let text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {w: 0, <<: [*a, *b], x: 9}\nd: {'<<': 1}\n";
        let node = tree(text).unwrap();
        let said = |key: &str| {
            let entries = node.get(key).unwrap().entries();
            entries.iter().map(|e| (e.key.clone(), e.value.data.clone())).collect::<Vec<_>>()
        };
        let int = |key: &str, value| (key.to_owned(), Data::Int(value));
        assert_eq!(said("c"), [int("w", 0), int("y", 2), int("z", 4), int("x", 9)]);
        assert_eq!(said("d"), [int("<<", 1)], "in quotes it is a key as any other");
        let span = node.get("c").unwrap().get("z").unwrap().span;
        assert_eq!(span.start, text.find("4}").unwrap(), "it stands where it was typed");
        assert!(tree("a: {<<: 1}").unwrap_err().contains("this is the number 1"));
        assert!(tree("a: {<<: [{b: 1}, c]}").unwrap_err().contains("this is the text \"c\""));
    }

    #[test]
    fn numbers_are_those_of_yaml_1_2() {
        for (typed, data) in [
            ("10", Data::Int(10)),
            ("1e1", Data::Int(10)),
            ("0x1F", Data::Int(31)),
            ("1.0", Data::Float(1.0)),
            ("1.10", Data::Float(1.1)),
            ("010", Data::Text("010".to_owned())),
            ("1_000", Data::Text("1_000".to_owned())),
            ("yes", Data::Text("yes".to_owned())),
            ("True", Data::Bool(true)),
        ] {
            let file = SourceFile::inline("x.yaml", &format!("a: {typed}\n"));
            let node = parse(&file).unwrap();
            let node = node.get("a").unwrap();
            assert_eq!(node.data, data, "{typed}");
            if node.as_text().is_none() {
                assert_eq!(node.as_typed(&file), typed);
            }
        }
        assert!(tree("a: 99999999999999999999\nb: 1").is_err() || tree("a: 18446744073709551615").is_err());
    }

    #[test]
    fn keys_are_texts_as_they_were_typed() {
        let node = tree("1e1: a\nTrue: b\n1.10: c\n").unwrap();
        let keys: Vec<&str> = node.entries().iter().map(|e| e.key.as_str()).collect();
        assert_eq!(keys, ["1e1", "True", "1.10"]);
        assert!(tree("null: a").unwrap_err().contains("`null`, which YAML reads as no value"));
    }

    #[test]
    fn a_bomb_is_noticed_before_it_grows() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            text += &format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 9].join(", "));
        }
        assert!(tree(&text).unwrap_err().contains("grows to more than"));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(tree(&"[".repeat(10_000)).is_err());
        let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
        assert!(tree(&deep).unwrap_err().contains("nested"));
    }
}
