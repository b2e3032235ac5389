//! Logs with one JSON object on each line, whose fields are found by JSON pointers.
//!
//! Only what the pointers name is kept of a line: the rest is skipped without being built.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::combined::{lines, request_of};
use super::{Body, Collector, Logged, Why, times};
use crate::diagnostics::{Diagnostics, refuse};
use plan::replay::LogFormat;
use schema::{Node, types};

/// The fields of a line, by their places in [`Fields`].
const TIME: usize = 0;
const METHOD: usize = 1;
const PATH: usize = 2;
const REQUEST: usize = 3;
const STATUS: usize = 4;
const BODY: usize = 5;
const FIELDS: usize = 6;

/// Where fields are: a tree of them, and their keys and pointers.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Place, [Option<(&'static str, String)>; FIELDS]);

/// What is wanted at a place, and below it.
#[derive(Clone, Debug, Default)]
struct Place {
    fields: Vec<usize>,
    below: Vec<(String, Place)>,
}

impl Place {
    fn add(&mut self, pointer: &str, field: usize) {
        let mut place = self;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let at = place.below.iter().position(|(name, _)| *name == part).unwrap_or_else(|| {
                place.below.push((part, Self::default()));
                place.below.len() - 1
            });
            place = &mut place.below[at].1;
        }
        place.fields.push(field);
    }
}

impl Fields {
    /// The fields of a replay; `None` if its log has another format.
    pub fn read(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Replay) -> Option<Self> {
        if typed.format != LogFormat::Json {
            refuse(notes, node, &["fields"], "only a log of JSON (`format: json`) has fields");
            return None;
        }
        let none = types::LogFields::default();
        let named = typed.fields.as_ref().unwrap_or(&none);
        if let Some(part) = node.get("fields").filter(|_| named.request.is_some()) {
            refuse(notes, part, &["method", "path"], "`request` has the method and the path");
        }
        let (mut root, mut pointers) = (Place::default(), [const { None }; FIELDS]);
        let apart = named.request.is_none();
        let fields = [
            (TIME, "time", &named.time, Some("/time")),
            (METHOD, "method", &named.method, Some("/method").filter(|_| apart)),
            (PATH, "path", &named.path, Some("/path").filter(|_| apart)),
            (REQUEST, "request", &named.request, None),
            (STATUS, "status", &named.status, Some("/status")),
            (BODY, "body", &named.body, None),
        ];
        for (field, key, pointer, default) in fields {
            let Some(pointer) = pointer.as_deref().or(default) else { continue };
            if !pointer.starts_with('/') {
                let part = node.get("fields").unwrap_or(node);
                notes.say(
                    part,
                    key,
                    format!("`{pointer}` is not a JSON pointer"),
                    "expected a path such as `/time` or `/request/uri`",
                );
                continue;
            }
            root.add(pointer, field);
            pointers[field] = Some((key, pointer.to_owned()));
        }
        Some(Self(root, pointers))
    }

    /// What every request needs and a line does not have, in words.
    fn missing(&self, found: &Found<'_>) -> Option<String> {
        let needed = [TIME, METHOD, PATH, REQUEST].into_iter().filter(|field| found[*field].is_none());
        let missing: Vec<String> =
            needed.filter_map(|field| self.1[field].as_ref()).map(|(key, pointer)| format!("`{pointer}` for `{key}`")).collect();
        (!missing.is_empty()).then(|| format!("its first line has nothing at {}", one_after_another(&missing)))
    }
}

/// A value that may be a field.
#[derive(Clone, Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
}

type Found<'a> = [Option<Value<'a>>; FIELDS];

/// Reads all lines.
pub(super) fn read(content: &[u8], fields: &Fields, all: &mut Collector) {
    for line in lines(content) {
        let mut found: Found<'_> = Default::default();
        let mut json = serde_json::Deserializer::from_slice(line);
        let whole = Seed { place: &fields.0, found: &mut found }.deserialize(&mut json).and_then(|()| json.end());
        let is_json = whole.is_ok() && line.trim_ascii_start().starts_with(b"{");
        match whole.ok().and_then(|()| logged(&found)) {
            Some(Ok(logged)) => all.take(logged),
            Some(Err(why)) => all.leave_out(why),
            None if is_json => all.lacking(line, || fields.missing(&found)),
            None => all.strange(line),
        }
    }
}

fn one_after_another(texts: &[String]) -> String {
    match texts {
        [first @ .., last] if !first.is_empty() => format!("{}, nor at {last}", first.join(", nor at ")),
        _ => texts.concat(),
    }
}

/// A line as a request; `None` if it has no time, or lacks what a request needs.
fn logged<'a>(found: &'a Found<'_>) -> Option<Result<Logged<'a>, Why>> {
    let text = |field: usize| match &found[field] {
        Some(Value::Text(text)) => Some(text.as_ref()),
        _ => None,
    };
    let number = |field: usize| match &found[field] {
        Some(Value::Number(number)) => Some(*number),
        Some(Value::Text(text)) => text.trim().parse().ok(),
        None => None,
    };
    let at_ns = match found[TIME].as_ref()? {
        Value::Text(text) => times::any_time(text)?,
        Value::Number(number) => times::since_1970(*number)?,
    };
    let (method, target) = match (text(METHOD), text(PATH), text(REQUEST)) {
        (_, _, Some(request)) => match request_of(request.as_bytes()) {
            Ok(request) => request,
            Err(why) => return Some(Err(why)),
        },
        (Some(method), Some(path), None) => (method.as_bytes(), Cow::Borrowed(path.as_bytes())),
        _ => return None,
    };
    let status = number(STATUS).filter(|status| (0.0..1000.0).contains(status)).map_or(0, |status| status as u16);
    let body = number(BODY).filter(|length| *length >= 0.0).map_or(Body::Unknown, |length| Body::Length(length as u64));
    Some(Ok(Logged { at_ns, method, target, status, body }))
}

/// Reads a value of JSON as far as something in it is wanted.
struct Seed<'p, 'f, 'de> {
    place: &'p Place,
    found: &'f mut Found<'de>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Seed<'_, '_, 'de> {
    fn keep(&mut self, value: Value<'de>) {
        for field in &self.place.fields {
            self.found[*field] = Some(value.clone());
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_borrowed_str<E>(mut self, text: &'de str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Borrowed(text)));
        Ok(())
    }
    fn visit_str<E>(mut self, text: &str) -> Result<(), E> {
        self.keep(Value::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }
    fn visit_f64<E>(mut self, number: f64) -> Result<(), E> {
        self.keep(Value::Number(number));
        Ok(())
    }
    fn visit_i64<E>(mut self, number: i64) -> Result<(), E> {
        self.keep(Value::Number(number as f64));
        Ok(())
    }
    fn visit_u64<E>(mut self, number: u64) -> Result<(), E> {
        self.keep(Value::Number(number as f64));
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match self.place.below.iter().find(|(name, _)| *name == key.0) {
                Some((_, place)) => map.next_value_seed(Seed { place, found: &mut *self.found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for number in 0_usize.. {
            let place = self.place.below.iter().find(|(name, _)| name.parse() == Ok(number));
            let more = match place {
                Some((_, place)) => items.next_element_seed(Seed { place, found: &mut *self.found })?.is_some(),
                None => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }
}

/// The name of a field, without a copy where that is possible.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
