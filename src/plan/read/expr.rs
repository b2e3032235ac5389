//! `${…}`: expressions over names, evaluated in place, keeping type and position.
//!
//! A value that is a single `${…}` takes the type of its result; inside longer text the result is printed. Some names
//! get their value only later (`scratch` when a repetition starts, `id` with every pass); they stay in the text as
//! `${name}` and are filled in by `Template` when their value is known. `$${` stands for the characters `${`.

mod path;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value as Json;

use super::environment::{self, Variable};
use path::{Path, PathStep};
use plan::template::{Piece, closing_brace, encoded_name, pieces};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, SourceFile, Span};
use vocabulary::units;

/// The most values that one scope may grow to; more is a bomb made with `let`.
const MAX_RESOLVED: usize = 200_000;

/// More letters than this are a file, not a part of a scenario.
const MAX_LETTERS: u64 = 1 << 20;

/// The expression engine: strict about unknown names, bounded in what it computes.
pub fn environment() -> Environment<'static> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(100_000));
    env.set_recursion_limit(50);
    // Levels such as `100ms` are texts; these functions give their numbers.
    env.add_function("seconds", |value: minijinja::Value| {
        let duration = units::parse_duration(&value.to_string());
        duration.map(|d| d.as_secs_f64()).ok_or_else(|| no_quantity(&value, "a duration such as `100ms`"))
    });
    env.add_function("bytes", |value: minijinja::Value| {
        let size = units::Bytes::parse(&value.to_string());
        size.map(|s| s.0).ok_or_else(|| no_quantity(&value, "a size such as `10KiB`"))
    });
    // A text that a database cannot shrink by finding repetitions in it.
    env.add_function("letters", |value: minijinja::Value| {
        let length = units::Bytes::parse(&value.to_string()).ok_or_else(|| no_quantity(&value, "a size such as `10KiB`"))?.0;
        if length > MAX_LETTERS {
            let words = format!("`{value}` is more than the {MAX_LETTERS} letters that an expression may make");
            return Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, words));
        }
        Ok(letters(length as usize))
    });
    // Like Jinja's own filter, but for a text that is one part of a path: `/` is encoded, too.
    env.add_filter("urlencode", |value: minijinja::Value| urlencode(&value.to_string()));
    env
}

/// Percent-encodes a text. The marks of late names in a rendered file are replaced by those of encoded values.
pub(super) fn urlencode(text: &str) -> String {
    let mut encoded = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\u{1}') {
        encoded += &units::in_url(before);
        match behind.split_once('\u{1}') {
            Some((number, behind)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
                encoded += &format!("\u{1}{number}%\u{1}");
                rest = behind;
            }
            _ => {
                encoded += "%01";
                rest = behind;
            }
        }
    }
    encoded + &units::in_url(rest)
}

/// Letters and digits in an order without a pattern, the same every time: base 36 of SplitMix64 (Steele, Lea & Flood 2014).
fn letters(length: usize) -> String {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = 0_u64;
    let mut letter = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        char::from(DIGITS[((bits ^ bits >> 31) % 36) as usize])
    };
    (0..length).map(|_| letter()).collect()
}

fn no_quantity(value: &minijinja::Value, expected: &str) -> minijinja::Error {
    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("`{value}` is not {expected}"))
}

/// A node as expressions and templates see it.
pub fn value_of(node: &Node) -> minijinja::Value {
    minijinja::Value::from(minijinja::value::Serde(node.to_json()))
}

/// What is known at one place of the file, and what was read from it.
pub struct Scope<'a> {
    /// The file, for mistakes.
    pub file: &'a Arc<SourceFile>,
    /// The expression engine.
    pub env: &'a Environment<'static>,
    /// `let:` of the file.
    pub lets: &'a [Entry],
    /// Names with their values here.
    pub values: BTreeMap<String, Node>,
    /// Names whose value is known later, and when.
    pub late: BTreeMap<String, &'static str>,
    /// Environment variables.
    pub environment: &'a environment::Environment,
    /// Variables that are needed here and not set.
    pub unset: RefCell<BTreeSet<String>>,
    /// Names that exist only elsewhere, and where.
    pub elsewhere: &'a BTreeMap<String, &'static str>,
    /// All names that were read, for the mistake "nothing reads this".
    pub used: &'a RefCell<BTreeSet<String>>,
    /// Values made so far.
    pub spent: Cell<usize>,
}

impl Scope<'_> {
    /// Evaluates something where the number of a replica is known.
    pub(crate) fn with_replica<T>(&mut self, at: Span, number: u32, f: impl FnOnce(&Self) -> T) -> T {
        self.values.insert("replica".to_owned(), Node::new(at, Data::Int(i64::from(number))));
        let result = f(self);
        self.values.remove("replica");
        result
    }

    /// `node` with every expression in it evaluated. Wrong values are reported and poisoned.
    pub fn resolve(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Node {
        self.resolve_in(node, &mut Vec::new(), mistakes)
    }

    fn resolve_in(&self, node: &Node, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Node {
        if self.spent.get() > MAX_RESOLVED {
            return node.with(Data::Poison); // It was reported; continuing would never end.
        }
        let data = match &node.data {
            Data::Text(text) if text.contains("${") => return self.text(node, text, stack, mistakes),
            Data::List(items) => Data::List(items.iter().map(|i| self.resolve_in(i, stack, mistakes)).collect()),
            Data::Map(entries) => Data::Map(
                entries.iter().map(|e| Entry { value: self.resolve_in(&e.value, stack, mistakes), ..e.clone() }).collect(),
            ),
            other => other.clone(),
        };
        node.with(data)
    }

    fn text(&self, node: &Node, text: &str, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Node {
        let poison = node.with(Data::Poison);
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(offset) => {
                mistakes.push(
                    Mistake::new(self.file, expression_span(self.file, node.span, text, offset), "`${` without its `}`")
                        .expected("expected `${expression}`")
                        .help("write `$${` for the characters `${` themselves"),
                );
                return poison;
            }
        };
        if let [Piece::Expression(source, offset)] = pieces.as_slice() {
            let span = expression_span(self.file, node.span, text, *offset);
            return self.expression(source, span, stack, mistakes).unwrap_or(poison);
        }
        let mut result = String::new();
        let mut sound = true;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => result.push_str(&text.replace("${", "$${")),
                Piece::Expression(source, offset) => {
                    let span = expression_span(self.file, node.span, text, *offset);
                    match self.expression(source, span, stack, mistakes).map(|n| n.data) {
                        Some(Data::Text(text)) => result.push_str(&text),
                        Some(Data::Int(i)) => result.push_str(&i.to_string()),
                        Some(Data::Float(f)) => result.push_str(&f.to_string()),
                        Some(Data::Bool(b)) => result.push_str(&b.to_string()),
                        Some(Data::Poison) | None => sound = false,
                        Some(other) => {
                            let what = Node::new(span, other).describe();
                            mistakes.push(
                                Mistake::new(self.file, span, format!("`{source}` is {what}"))
                                    .expected("expected a text or a number, because it is part of a text"),
                            );
                            sound = false;
                        }
                    }
                }
            }
        }
        if sound { Node::text(node.span, result) } else { poison }
    }

    fn expression(&self, source: &str, span: Span, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        if self.late.contains_key(source) || self.is_column(source) {
            self.used.borrow_mut().insert(source.to_owned());
            return Some(Node::text(span, format!("${{{source}}}")));
        }
        if let Some(name) = source.strip_prefix("env.").filter(|n| n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            return self.variable(name, span, mistakes);
        }
        if let Some(path) = Path::parse(source) {
            return self.path(&path, span, stack, mistakes);
        }
        if let Some(name) = encoded_name(source).filter(|name| self.is_late(name)) {
            let inserted = self.expression(name, span, stack, mistakes)?;
            return Some(inserted.with(Data::Text(format!("${{{name}|urlencode}}"))));
        }
        match self.computed(source, span, stack, mistakes)? {
            Ok(json) => self.spend(Node::from_json(&whole(json), span), span, mistakes),
            Err(error) => {
                mistakes.push(
                    Mistake::new(self.file, span, format!("`{source}` cannot be computed: {}", detail(&error)))
                        .expected("expected an expression that has a value in every cell"),
                );
                None
            }
        }
    }

    /// Whether a name stays in the text until its value is known.
    fn is_late(&self, name: &str) -> bool {
        let variable = name.strip_prefix("env.").and_then(|name| self.environment.get(name));
        self.late.contains_key(name) || self.is_column(name) || matches!(variable, Some(Variable::Secret(_)))
    }

    /// Whether a name means a column of rows, of which passes draw; which columns there are is known to the reader of steps.
    fn is_column(&self, name: &str) -> bool {
        let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        name.split_once('.').is_some_and(|(row, column)| is_name(column) && self.late.contains_key(&format!("{row}.*")))
    }

    /// An environment variable; `None` if it is not set.
    fn variable(&self, name: &str, span: Span, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        let note_unset = || self.unset.borrow_mut().insert(name.to_owned());
        self.used.borrow_mut().insert(format!("env.{name}"));
        match self.environment.get(name) {
            Some(Variable::Known(value)) => Some(Node::text(span, value.replace("${", "$${"))),
            Some(Variable::Unset) => {
                note_unset();
                None
            }
            Some(Variable::Secret(value)) => {
                if value.is_none() {
                    note_unset();
                }
                Some(Node::text(span, format!("${{env.{name}}}")))
            }
            None => {
                let known: Vec<&str> = self.environment.names().collect();
                mistakes.push(
                    Mistake::new(self.file, word_in(self.file, span, name), format!("no variable `{name}` is declared"))
                        .expected(format!("expected it at the top of the file: `env: {{{name}: {{}}}}`"))
                        .did_you_mean(name, known),
                );
                None
            }
        }
    }

    /// Handles the use of variables in a computation. Returns whether all of them have a value.
    fn variables_read(&self, names: &[String], span: Span, mistakes: &mut Vec<Mistake>) -> bool {
        let mut sound = true;
        for name in names {
            let known = self.variable(name, span, mistakes).is_some();
            let secret = matches!(self.environment.get(name), Some(Variable::Secret(_)));
            if secret {
                mistakes.push(
                    Mistake::new(self.file, word_in(self.file, span, name), format!("`env.{name}` is secret")).expected(format!(
                        "expected `${{env.{name}}}` by itself: it can be inserted, but not used in a computation"
                    )),
                );
            }
            sound &= known && !secret;
        }
        sound
    }

    /// The number that an expression has here; `None` if the arithmetic has no result, such as a division by zero. A
    /// result that is not a number is a mistake.
    pub fn number(&self, source: &str, span: Span, mistakes: &mut Vec<Mistake>) -> Option<f64> {
        let before = mistakes.len();
        let value = match Path::parse(source) {
            Some(_) => self.expression(source, span, &mut Vec::new(), mistakes)?.to_json(),
            None => match self.computed(source, span, &mut Vec::new(), mistakes)? {
                Ok(json) => json,
                // This is what the engine says about arithmetic without a result, as opposed to operands that are not
                // numbers.
                Err(error) if detail(&error).starts_with("unable to calculate") => return None,
                Err(error) => {
                    mistakes.push(
                        Mistake::new(self.file, span, format!("`{source}` cannot be computed: {}", detail(&error)))
                            .expected("expected an expression of numbers"),
                    );
                    Json::Null
                }
            },
        };
        if mistakes.len() == before && !value.is_number() && !value.is_null() {
            let what = Node::from_json(&value, span).describe();
            mistakes.push(Mistake::new(self.file, span, format!("`{source}` is {what}")).expected("expected a number"));
        }
        if mistakes.len() > before
            && let Some(last) = mistakes.last_mut().filter(|m| m.help.is_none())
        {
            last.help = self.text_read_as_number(source);
        }
        value.as_f64().filter(|number| number.is_finite())
    }

    /// What to do about the first quantity in an expression that is used as a text.
    fn text_read_as_number(&self, source: &str) -> Option<String> {
        let mut words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.find_map(|word| {
            let text = self.values.get(word)?.as_text()?;
            let function = match (units::parse_duration(text), units::Bytes::parse(text)) {
                (Some(_), _) => "seconds",
                (None, Some(_)) => "bytes",
                (None, None) => return None,
            };
            let is_read = source.contains(&format!("{function}({word})"));
            (!is_read).then(|| format!("`{word}` is a text such as `{text}`; its number is `{function}({word})`"))
        })
    }

    /// The value of an expression that is more than a path, or why it has none; `None` when mistakes were noted.
    fn computed(
        &self,
        source: &str,
        span: Span,
        stack: &mut Vec<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Result<Json, minijinja::Error>> {
        let compiled = match self.env.compile_expression(source) {
            Ok(compiled) => compiled,
            Err(error) => {
                // The engine counts positions in the expression; in the file it may be written differently.
                let at = error.range().and_then(|range| {
                    let start = span.start + self.file.text.get(span.start..span.end)?.find(source)?;
                    let end = (start + range.end).min(start + source.len());
                    (start + range.start < end).then_some(Span { start: start + range.start, end })
                });
                // Some expressions are written without `${…}`.
                let is_inside = self.file.text.get(span.start..span.end).is_some_and(|text| text.contains("${"));
                mistakes.push(
                    Mistake::new(self.file, at.unwrap_or(span), format!("`{source}` is not an expression: {}", detail(&error)))
                        .expected(match is_inside {
                            true => "expected an expression, such as `${8000 + replica}` or `${proxy == \"haproxy\"}`",
                            false => "expected an expression, such as `connections / 2`",
                        }),
                );
                return None;
            }
        };
        let mut context = BTreeMap::new();
        let mut names: Vec<String> = compiled.undeclared_variables(false).into_iter().collect();
        names.sort();
        let mut sound = true;
        let mut environment = None;
        for name in names {
            if self.is_builtin(&name) {
                continue;
            }
            if name == "env" {
                let read = environment.insert(environment::Read::new(self.environment, |_| None));
                context.insert(name, minijinja::Value::from_dyn_object(Arc::clone(read)));
                continue;
            }
            if let Some(when) = self.late.get(&name) {
                mistakes.push(
                    Mistake::new(self.file, word_in(self.file, span, &name), format!("`{name}` is known only {when}"))
                        .expected(format!("expected `${{{name}}}` by itself: it can be inserted, but not used in a computation")),
                );
                sound = false;
                continue;
            }
            match self.name(&name, span, stack, mistakes).filter(|n| !n.is_poisoned()) {
                Some(value) if mentions(&value, "${env.") => {
                    mistakes.push(
                        Mistake::new(self.file, word_in(self.file, span, &name), format!("`{name}` holds a secret"))
                            .expected("expected it by itself: it can be inserted, but not used in a computation"),
                    );
                    sound = false;
                }
                Some(value) => {
                    context.insert(name, value_of(&value));
                }
                None => sound = false,
            }
        }
        if !sound {
            return None;
        }
        let result = compiled.eval(&context);
        if !self.variables_read(&environment.map(|e| e.names()).unwrap_or_default(), span, mistakes) {
            return None;
        }
        Some(result.and_then(|value| {
            if value.is_undefined() {
                return Err(minijinja::Error::new(minijinja::ErrorKind::UndefinedError, "it has no value"));
            }
            serde_json::to_value(&value).map_err(|e| minijinja::Error::new(minijinja::ErrorKind::BadSerialization, e.to_string()))
        }))
    }

    fn spend(&self, node: Node, span: Span, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        let before = self.spent.get();
        self.spent.set(before + node.count());
        if self.spent.get() <= MAX_RESOLVED {
            return Some(node);
        }
        if before <= MAX_RESOLVED {
            mistakes.push(
                Mistake::new(self.file, span, format!("expressions here grow to more than {MAX_RESOLVED} values"))
                    .expected("expected fewer references to references"),
            );
        }
        None
    }

    fn is_builtin(&self, name: &str) -> bool {
        !self.values.contains_key(name)
            && !self.late.contains_key(name)
            && !self.lets.iter().any(|e| e.key == name)
            && self.env.globals().any(|(global, _)| global == name)
    }

    /// The value of a name: of this scope, or of `let:`, evaluated here.
    fn name(&self, name: &str, span: Span, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        if let Some(value) = self.values.get(name) {
            self.used.borrow_mut().insert(name.to_owned());
            return self.spend(value.clone(), span, mistakes);
        }
        if let Some(entry) = self.lets.iter().find(|e| e.key == name) {
            self.used.borrow_mut().insert(name.to_owned());
            if stack.iter().any(|n| n == name) {
                // Whichever of its names a cycle is entered by, it is reported from the one that comes first.
                let mut ring: Vec<&str> = stack.iter().skip_while(|n| *n != name).map(String::as_str).collect();
                let first = self.lets.iter().find(|e| ring.contains(&e.key.as_str())).unwrap_or(entry);
                let turn = ring.iter().position(|n| *n == first.key).unwrap_or(0);
                ring.rotate_left(turn);
                ring.push(&first.key);
                mistakes.push(
                    Mistake::new(
                        self.file,
                        first.key_span,
                        format!("`{}` is defined in terms of itself: {}", first.key, ring.join(" → ")),
                    )
                    .expected("expected a definition that ends"),
                );
                return None;
            }
            stack.push(name.to_owned());
            let value = self.resolve_in(&entry.value, stack, mistakes);
            stack.pop();
            return self.spend(value, span, mistakes);
        }
        let mistake = Mistake::new(self.file, word_in(self.file, span, name), format!("there is no name `{name}` here"));
        mistakes.push(match self.elsewhere.get(name) {
            Some(place) => mistake.expected(format!("`{name}` is known only {place}")),
            None => mistake.expected(format!("expected {}", one_of(self.known()))).did_you_mean(name, self.known()),
        });
        None
    }

    fn known(&self) -> Vec<&str> {
        let names = self.values.keys().chain(self.lets.iter().map(|e| &e.key)).chain(self.late.keys());
        names.map(String::as_str).filter(|n| !n.starts_with('_')).collect()
    }

    /// Follows `name.key[expression]` through the tree, so that the value found keeps its own position.
    ///
    /// Poisoned values were reported in their place, and are not reported as missing here.
    ///
    /// In a map only the chosen value needs its environment variables: those of the others may be unset.
    fn path(&self, path: &Path, span: Span, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        let before = self.unset.borrow().clone();
        let found = self.follow(path, span, stack, mistakes);
        if path.steps.is_empty() || *self.unset.borrow() == before {
            return found;
        }
        let inserts = |name: &String| {
            let inserted = [format!("${{env.{name}}}"), format!("${{env.{name}|urlencode}}")];
            found.as_ref().is_some_and(|node| inserted.iter().any(|text| mentions(node, text)))
        };
        let is_broken = found.as_ref().is_none_or(Node::is_poisoned);
        self.unset.borrow_mut().retain(|name| {
            let is_secret = matches!(self.environment.get(name), Some(Variable::Secret(_)));
            before.contains(name) || if is_secret { inserts(name) } else { is_broken }
        });
        found
    }

    fn follow(&self, path: &Path, span: Span, stack: &mut Vec<String>, mistakes: &mut Vec<Mistake>) -> Option<Node> {
        let mut node = self.name(&path.root, span, stack, mistakes)?;
        let mut so_far = path.root.clone();
        for step in &path.steps {
            if matches!(node.data, Data::Poison) {
                return None;
            }
            let key = match step {
                PathStep::Key(key) => Node::text(span, key.clone()),
                PathStep::Index(source) => self.expression(source, span, stack, mistakes)?,
            };
            let next = match (&node.data, &key.data) {
                (Data::Map(_), _) => {
                    let key = scalar_text(&key);
                    node.get(&key).cloned()
                }
                (Data::Poison, _) => return None,
                (Data::List(items), Data::Int(i)) => {
                    let index = if *i < 0 { *i + items.len() as i64 } else { *i };
                    usize::try_from(index).ok().and_then(|i| items.get(i)).cloned()
                }
                _ => None,
            };
            let Some(next) = next else {
                let key = scalar_text(&key);
                let keys: Vec<&str> = node.entries().iter().map(|e| e.key.as_str()).collect();
                let place = match step {
                    PathStep::Key(key) => word_in(self.file, span, key),
                    PathStep::Index(source) => word_in(self.file, span, source),
                };
                let mistake = Mistake::new(self.file, place, format!("`{so_far}` has no `{key}`"));
                mistakes.push(if let Data::List(items) = &node.data {
                    mistake.expected(match items.len() {
                        0 => format!("`{so_far}` is an empty list"),
                        n => format!("expected a number from 0 to {}, because `{so_far}` is a list", n - 1),
                    })
                } else if keys.is_empty() {
                    mistake.expected(format!("`{so_far}` is {}", node.describe()))
                } else {
                    mistake
                        .expected(format!("expected {}", one_of(keys.iter().copied())))
                        .did_you_mean(&key, keys.iter().copied())
                });
                return None;
            };
            so_far = format!("{so_far}.{}", scalar_text(&key));
            node = next;
        }
        (!matches!(node.data, Data::Poison)).then_some(node)
    }
}

/// Whether any text in a node has a part.
fn mentions(node: &Node, part: &str) -> bool {
    let inside = node.items().iter().chain(node.entries().iter().map(|e| &e.value));
    node.as_text().is_some_and(|text| text.contains(part)) || inside.into_iter().any(|n| mentions(n, part))
}

/// Where the `${` at `offset` of a scalar's text, with the rest of the expression, is in the file.
///
/// In the file the scalar may have quotes, escapes and line breaks, but it has as many `${` as its text.
pub(super) fn expression_span(file: &SourceFile, span: Span, text: &str, offset: usize) -> Span {
    let source = file.text.get(span.start..span.end).unwrap_or_default();
    let number = text[..offset].matches("${").count();
    let Some((start, _)) = source.match_indices("${").nth(number) else { return span };
    let line = source[start..].lines().next().unwrap_or_default();
    let length = closing_brace(&line[2..]).map_or_else(|| line.trim_end_matches(['"', '\'']).len(), |i| 2 + i + 1);
    Span { start: span.start + start, end: span.start + start + length }
}

/// Where a word is inside a stretch of the file; the whole stretch if it is not found.
pub(super) fn word_in(file: &SourceFile, span: Span, word: &str) -> Span {
    let source = file.text.get(span.start..span.end).unwrap_or_default();
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let alone = |i: &usize| !source[..*i].ends_with(part) && !source[i + word.len()..].starts_with(part);
    match source.match_indices(word).map(|(i, _)| i).find(alone) {
        Some(i) if !word.is_empty() => Span { start: span.start + i, end: span.start + i + word.len() },
        _ => span,
    }
}

fn scalar_text(node: &Node) -> String {
    match &node.data {
        Data::Text(text) => text.clone(),
        Data::Int(i) => i.to_string(),
        Data::Float(f) => f.to_string(),
        Data::Bool(b) => b.to_string(),
        _ => node.describe(),
    }
}

/// A result without a fraction is a whole number: `8 / 2` may be a port.
fn whole(json: Json) -> Json {
    match json.as_f64() {
        Some(f) if json.is_f64() && f.fract() == 0.0 && f.abs() < 9e15 => Json::from(f as i64),
        _ => json,
    }
}

fn detail(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Template;
    use schema::node;

    fn eval(lets: &str, text: &str) -> Result<Json, Vec<String>> {
        let file = SourceFile::inline("x.yaml", lets);
        let tree = node::parse(&file).unwrap();
        let env = environment();
        let used = RefCell::default();
        let elsewhere = BTreeMap::new();
        let span = Span::default();
        let mut scope = Scope {
            file: &file,
            env: &env,
            lets: tree.entries(),
            values: BTreeMap::new(),
            late: BTreeMap::from([("id".to_owned(), "while the load runs")]),
            environment: &environment::Environment::default(),
            unset: RefCell::default(),
            elsewhere: &elsewhere,
            used: &used,
            spent: Cell::new(0),
        };
        scope.values.insert("replica".to_owned(), Node::new(span, Data::Int(3)));
        let mut mistakes = Vec::new();
        let node = scope.resolve(&Node::text(span, text), &mut mistakes);
        if mistakes.is_empty() { Ok(node.to_json()) } else { Err(mistakes.into_iter().map(|m| m.found).collect()) }
    }

    #[test]
    fn one_expression_keeps_its_type() {
        assert_eq!(eval("a: 1", "${8000 + replica}").unwrap(), Json::from(8003));
        assert_eq!(eval("a: 1", "${replica == 3}").unwrap(), Json::from(true));
        assert_eq!(eval("a: [1, {b: x}]", "${a[1].b}").unwrap(), Json::from("x"));
        assert_eq!(eval("a: 1", "p${replica}/x").unwrap(), Json::from("p3/x"));
        assert_eq!(eval("a: 1", "${8 / 2}").unwrap(), Json::from(4));
        assert_eq!(eval("a: {x: 1}", "${a}").unwrap(), serde_json::json!({"x": 1}));
    }

    #[test]
    fn quantities_become_numbers() {
        assert_eq!(eval("rtt: 100ms", "${seconds(rtt) * 2}").unwrap(), serde_json::json!(0.2));
        assert_eq!(eval("a: 1", "${seconds(0) + seconds('1m30s')}").unwrap(), Json::from(90));
        assert_eq!(eval("size: 10KiB", "${bytes(size) // bytes(512)}").unwrap(), Json::from(20));
        assert!(eval("a: 1", "${seconds(5)}").unwrap_err()[0].contains("`5` is not a duration"));
        let text = eval("size: 1KiB", "${letters(size)}").unwrap();
        let text = text.as_str().unwrap();
        assert!(text.len() == 1024 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        // At most, a compressor would find half of this text twice.
        let pieces: BTreeSet<&str> = (0..1020).map(|i| &text[i..i + 4]).collect();
        assert!(pieces.len() > 1000);
        assert_eq!(eval("a: 1", "${[{'x': letters(2)}] * 2}").unwrap().as_array().map(Vec::len), Some(2));
        assert!(eval("a: 1", "${letters('1GiB')}").unwrap_err()[0].contains("may make"));
        // A name of the scenario takes precedence.
        assert_eq!(eval("seconds: 3", "${seconds + 1}").unwrap(), Json::from(4));
    }

    #[test]
    fn late_names_stay_in_the_text_also_through_let() {
        assert_eq!(eval("url: /blobs/${id}", "${url}").unwrap(), Json::from("/blobs/${id}"));
        assert_eq!(eval("url: /blobs/${id}", "${url}?x").unwrap(), Json::from("/blobs/${id}?x"));
        assert_eq!(eval("a: 1", "/x/${ id|urlencode }").unwrap(), Json::from("/x/${id|urlencode}"));
        assert_eq!(eval("a: b c/d", "/x/${a | urlencode}").unwrap(), Json::from("/x/b%20c%2Fd"));
        assert_eq!(urlencode("a b\u{1}3\u{1}\u{1}x"), "a%20b\u{1}3%\u{1}%01x");
        assert!(eval("a: 1", "${id ~ 'x'}").unwrap_err()[0].contains("known only while the load runs"));
    }

    #[test]
    fn an_escaped_expression_is_text_to_the_end() {
        assert_eq!(eval("a: 1", "$${id}-${replica}").unwrap(), Json::from("$${id}-3"));
        let text = Template::parse("$${id}-${id}");
        assert_eq!(text.names().collect::<Vec<_>>(), ["id"]);
        assert_eq!(text.fill(&BTreeMap::from([("id", "7".to_owned())])).to_text(), "${id}-7");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (lets, text, part) in [
            ("a: 1", "${b}", "there is no name `b`"),
            ("a: {size: 1}", "${a.sze}", "`a` has no `sze`"),
            ("a: 1", "${1 +}", "is not an expression"),
            ("a: 1", "${", "without its `}`"),
            ("a: x", "${a - 1}", "cannot be computed"),
            ("a: ${b}\nb: ${a}", "${a}", "defined in terms of itself"),
            ("a: [1]", "x${a}", "is a list"),
        ] {
            let found = eval(lets, text).unwrap_err();
            assert!(found[0].contains(part), "{text}: {found:?}");
        }
    }

    #[test]
    fn a_bomb_made_of_let_is_bounded() {
        let mut lets = String::from("a0: [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..9 {
            let item = format!("\"${{a{}}}\"", i - 1);
            lets += &format!("a{i}: [{}]\n", [item.as_str(); 10].join(", "));
        }
        assert!(eval(&lets, "${a8}").unwrap_err()[0].contains("grow to more than"));
    }
}
