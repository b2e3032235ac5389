//! What differs from pass to pass, and the texts into which it is inserted; used by every protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderMap, SET_COOKIE};

use super::cookies::{Jar, Recipient};
use super::drawn;
use crate::Error;
use crate::schedule::mix;
use plan::{Carry, Draw, DrawnFrom, Part, Template};
use vocabulary::units::{in_json, in_url};

/// Random bodies are slices of one block of random bytes of this size (and streamed when they are longer).
pub const RANDOM_BLOCK: usize = 1 << 20;

/// A template whose names are slots in [`Values`].
pub struct Text {
    parts: Vec<TextPart>,
    /// As it was typed, for messages: inserted values may be secret.
    source: String,
}

enum TextPart {
    Text(String),
    Value(usize),
    /// A value as one part of a URL.
    Encoded(usize),
    /// A value inside a text of JSON.
    Quoted(usize),
    /// A value that is all of a text of JSON, or keeps the type that it had in the JSON from which it was carried.
    Json(usize),
}

impl TextPart {
    /// The slot of its value.
    fn place(&self) -> Option<usize> {
        match self {
            Self::Text(_) => None,
            Self::Value(place) | Self::Encoded(place) | Self::Quoted(place) | Self::Json(place) => Some(*place),
        }
    }

    fn get<'a>(&'a self, values: &'a Values) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Value(place) => Cow::Borrowed(&values.values[*place]),
            Self::Quoted(place) => {
                let value = &values.values[*place];
                let plain = !value.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\');
                if plain { Cow::Borrowed(value) } else { Cow::Owned(in_json(value)) }
            }
            Self::Encoded(place) => Cow::Owned(in_url(&values.values[*place])),
            Self::Json(place) if values.is_json[*place] => Cow::Borrowed(&values.values[*place]),
            Self::Json(place) => Cow::Owned(format!("\"{}\"", in_json(&values.values[*place]))),
        }
    }
}

impl Text {
    /// Reads a template.
    ///
    /// # Errors
    /// When it inserts a name without a value.
    pub fn new(template: &Template, names: &[String], step: &str) -> Result<Self, Error> {
        let place = |name: &String| {
            let place = names.iter().position(|n| n == name);
            place.ok_or_else(|| Error::Request { step: step.to_owned(), reason: format!("`{name}` has no value here") })
        };
        let parts = template.0.iter().map(|part| match part {
            Part::Text(text) => Ok(TextPart::Text(text.clone())),
            Part::Name(name) => place(name).map(TextPart::Value),
            Part::Encoded(name) => place(name).map(TextPart::Encoded),
        });
        Ok(Self { parts: parts.collect::<Result<_, Error>>()?, source: template.to_text() })
    }

    /// The same as JSON: values are inserted into its texts. A value that is a whole text there keeps the type of the
    /// place from which it was carried, except in names of fields, which are texts.
    pub fn in_json(mut self) -> Self {
        for at in 0..self.parts.len() {
            let TextPart::Value(place) = self.parts[at] else { continue };
            let begins = at > 0 && matches!(&self.parts[at - 1], TextPart::Text(before) if opens_text(before));
            let ends = matches!(self.parts.get(at + 1), Some(TextPart::Text(after)) if after.starts_with('"') && !after.starts_with("\":"));
            self.parts[at] = if begins && ends { TextPart::Json(place) } else { TextPart::Quoted(place) };
            if begins && ends {
                if let TextPart::Text(before) = &mut self.parts[at - 1] {
                    before.pop();
                }
                if let TextPart::Text(after) = &mut self.parts[at + 1] {
                    after.remove(0);
                }
            }
        }
        self
    }

    /// As it was typed, without inserted values.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Puts a text before it.
    pub fn prepend(&mut self, prefix: &str) {
        if !prefix.is_empty() {
            self.source.insert_str(0, prefix);
            self.parts.insert(0, TextPart::Text(prefix.to_owned()));
            if let [TextPart::Text(a), TextPart::Text(b)] = self.parts.as_slice() {
                self.parts = vec![TextPart::Text(format!("{a}{b}"))];
            }
        }
    }

    /// The whole text, when it is always the same.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TextPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the values of a pass inserted.
    pub fn fill(&self, values: &Values) -> String {
        let mut text = String::with_capacity(64);
        for part in &self.parts {
            text.push_str(&part.get(values));
        }
        text
    }

    /// The text for messages: with drawn values and counters, and with the names of values carried from answers.
    pub fn told(&self, values: &Values) -> String {
        let told = |part: &TextPart| match part.place().and_then(|place| values.carried_name(place)) {
            Some(name) => format!("${{{name}}}"),
            None => part.get(values).into_owned(),
        };
        self.parts.iter().map(told).collect()
    }

    /// Appends it with its values.
    pub fn write(&self, values: &Values, out: &mut Vec<u8>) {
        for part in &self.parts {
            out.extend_from_slice(part.get(values).as_bytes());
        }
    }
}

/// Whether a text of JSON starts at the end of what comes before it; a quotation mark inside one is escaped.
fn opens_text(before: &str) -> bool {
    before.strip_suffix('"').is_some_and(|rest| !rest.ends_with('\\'))
}

/// Names of the values that requests insert, in the order of their slots.
pub struct ValueNames {
    names: Vec<String>,
    uses_id: bool,
    uses_pass: bool,
    shared: Arc<Shared>,
}

/// What the values of all connections have in common.
#[derive(Default)]
struct Shared {
    /// Those that steps carry, with their slots.
    carried: Vec<(usize, String)>,
    /// What is drawn for each pass.
    draws: Vec<Drawn>,
    /// What is drawn for each user.
    user_draws: Vec<Drawn>,
    /// The slots whose values outlive a pass; what is added to the names later comes behind them.
    lasting: Range<usize>,
}

/// Something that is drawn.
struct Drawn {
    of: DrawnFrom,
    /// Its slot; of a row, those of the columns that are inserted, with their numbers.
    slots: Vec<(usize, usize)>,
    /// Which of the draws it is, for the seed.
    number: u64,
}

impl Drawn {
    /// Writes what the pass or user `number` draws.
    fn draw(&self, number: u64, connection: u64, seed: u64, values: &mut [String]) {
        // From the number alone: which connection carries a pass depends on the answers of others.
        let random = || mix(mix(number ^ mix(seed)) ^ mix(self.number + 1));
        // Writing into a text cannot fail. The bias of this is at most 2^-32.
        let slot = self.slots.first().map_or(0, |(slot, _)| *slot);
        let _ = match &self.of {
            DrawnFrom::Range(from, to) => {
                let of = u128::from(to - from) + 1;
                write!(values[slot], "{}", from + ((u128::from(random()) * of) >> 64) as u64)
            }
            DrawnFrom::List(items) => {
                let item = ((u128::from(random()) * items.len() as u128) >> 64) as usize;
                values[slot].write_str(&items[item])
            }
            DrawnFrom::Rows(drawn) => {
                let row = drawn::row(drawn, number, connection, seed);
                self.slots.iter().for_each(|(slot, column)| values[*slot].push_str(drawn.rows.value(row, *column)));
                Ok(())
            }
        };
    }
}

impl ValueNames {
    /// The values of a pass, what is drawn for it, and what its steps carry. `inserted`: the names that its steps
    /// insert.
    pub fn new<'a>(carried: impl Iterator<Item = &'a Carry>, inserted: impl Iterator<Item = &'a str>, draws: &[Draw]) -> Self {
        Self::of_users([].iter(), carried, inserted, draws)
    }

    /// The same for users, who have values of their own: what their steps carry, here `lasting`, outlives passes.
    pub fn of_users<'a>(
        lasting: impl Iterator<Item = &'a Carry>,
        carried: impl Iterator<Item = &'a Carry>,
        inserted: impl Iterator<Item = &'a str>,
        draws: &[Draw],
    ) -> Self {
        let inserted: Vec<&str> = inserted.collect();
        let mut names: Vec<String> = ["id", "pass", "connection"].map(str::to_owned).to_vec();
        let mut shared = Shared::default();
        let mut carry = |name: &str, names: &mut Vec<String>| {
            shared.carried.push((names.len(), name.to_owned()));
            names.push(name.to_owned());
        };
        let mut of_users: Vec<&str> = Vec::new();
        for name in lasting.map(|carry| carry.name.as_str()) {
            if !of_users.contains(&name) {
                of_users.push(name);
            }
        }
        for Carry { name, .. } in carried {
            // A step may find a value of its user anew; it lasts, too.
            if !names.contains(name) && !of_users.contains(&name.as_str()) {
                carry(name, &mut names);
            }
        }
        let draw = |(number, draw): (usize, &Draw), names: &mut Vec<String>| {
            let first = names.len();
            let mut slots = Vec::new();
            for (column, name) in draw.names().into_iter().enumerate() {
                // A row may have many columns, of which few are used.
                if !matches!(draw.of, DrawnFrom::Rows(_)) || inserted.contains(&name.as_str()) {
                    slots.push((first + slots.len(), column));
                    names.push(name);
                }
            }
            Drawn { of: draw.of.clone(), slots, number: number as u64 }
        };
        let of_pass = |(_, draw): &(usize, &Draw)| !draw.is_of_user();
        let draws_of_pass: Vec<Drawn> = draws.iter().enumerate().filter(of_pass).map(|one| draw(one, &mut names)).collect();
        let lasting = names.len();
        of_users.into_iter().for_each(|name| carry(name, &mut names));
        let draws_of_user = draws.iter().enumerate().filter(|one| !of_pass(one)).map(|one| draw(one, &mut names)).collect();
        (shared.draws, shared.user_draws, shared.lasting) = (draws_of_pass, draws_of_user, lasting..names.len());
        let uses = |name: &str| inserted.contains(&name);
        Self { uses_id: uses("id"), uses_pass: uses("pass"), shared: Arc::new(shared), names }
    }

    /// The same with one more name, which is not drawn, and its slot. It is forgotten with each pass.
    pub fn with(mut self, name: &str) -> (Self, usize) {
        self.names.push(name.to_owned());
        let place = self.names.len() - 1;
        (self, place)
    }

    /// The names themselves.
    pub fn as_slice(&self) -> &[String] {
        &self.names
    }
}

/// What differs from pass to pass on one connection: id, numbers, carried values, random bytes.
pub struct Values {
    values: Vec<String>,
    shared: Arc<Shared>,
    /// The cookies of the user or of the pass, if they are kept.
    pub cookies: Option<Box<Jar>>,
    /// Why cookies were not kept, since somebody last asked.
    pub cookies_refused: Vec<String>,
    /// Which of them are JSON rather than text: numbers, booleans, lists and the like, as they were carried.
    is_json: Vec<bool>,
    /// Values that nothing inserts are not written again for every pass.
    uses_id: bool,
    uses_pass: bool,
    seed: u64,
    connection: u64,
    random: u64,
}

const ID: usize = 0;
const PASS: usize = 1;
const CONNECTION: usize = 2;

impl Values {
    /// The values of connection number `connection`.
    pub fn new(names: &ValueNames, seed: u64, connection: u64) -> Self {
        let (uses_id, uses_pass) = (names.uses_id, names.uses_pass);
        let mut values = vec![String::new(); names.names.len()];
        values[CONNECTION] = connection.to_string();
        names.shared.user_draws.iter().for_each(|drawn| drawn.draw(connection, connection, seed, &mut values));
        Self {
            is_json: vec![false; values.len()],
            values,
            shared: Arc::clone(&names.shared),
            cookies: None,
            cookies_refused: Vec::new(),
            uses_id,
            uses_pass,
            seed,
            connection,
            random: mix(seed ^ connection.rotate_left(32)),
        }
    }

    /// The name of a value, if it is one that steps carry.
    fn carried_name(&self, place: usize) -> Option<&str> {
        self.shared.carried.iter().find(|(at, _)| *at == place).map(|(_, name)| name.as_str())
    }

    /// Starts a pass: a fresh id, and no carried values but those of the user.
    pub fn begin_pass(&mut self, pass: u64) {
        let Range { start, end } = self.shared.lasting;
        for at in (CONNECTION + 1..start).chain(end..self.values.len()) {
            self.values[at].clear();
            self.is_json[at] = false;
        }
        if self.uses_id {
            self.new_id(pass);
        }
        if self.uses_pass {
            self.values[PASS].clear();
            // Writing into a text cannot fail.
            let _ = write!(self.values[PASS], "{pass}");
        }
        let Self { shared, values, connection, seed, .. } = self;
        shared.draws.iter().for_each(|drawn| drawn.draw(pass, *connection, *seed, values));
    }

    /// A fresh id. `number`: of the pass, or another number below 2^40 that none has.
    fn new_id(&mut self, number: u64) {
        // The pair (connection, pass) is unique within a repetition as long as neither exceeds its half of 64 bits.
        let unique = (self.connection << 40) | (number & ((1 << 40) - 1));
        let id = mix(unique ^ mix(self.seed));
        self.values[ID].clear();
        // Writing into a text cannot fail.
        let _ = write!(self.values[ID], "{id:016x}");
    }

    /// A user logs in for the `number`-th time, maybe amidst a pass: another id, until [`Self::logged_in`] returns the one that
    /// this returns.
    pub fn log_in(&mut self, number: u64) -> String {
        let id = std::mem::take(&mut self.values[ID]);
        if self.uses_id {
            self.new_id((1 << 40) - 1 - number);
        }
        id
    }

    /// The log-in is over.
    pub fn logged_in(&mut self, id: String) {
        self.values[ID] = id;
    }

    /// Keeps the cookies that an answer sets.
    pub fn take_cookies(&mut self, headers: &HeaderMap, from: Recipient<'_>) {
        let Some(jar) = &mut self.cookies else { return };
        for text in headers.get_all(SET_COOKIE) {
            if let Err(why) = jar.take(text.as_bytes(), from) {
                self.cookies_refused.push(why);
            }
        }
    }

    /// All values by name; `names`: those that they were made for.
    pub fn by_name(self, names: &[String]) -> BTreeMap<String, String> {
        names.iter().cloned().zip(self.values).collect()
    }

    /// Stores a carried value in its slot.
    pub fn carry(&mut self, place: usize, value: String) {
        (self.values[place], self.is_json[place]) = (value, false);
    }

    /// The same for a value of JSON, which keeps its type where it is again a whole value of JSON.
    pub fn carry_json(&mut self, place: usize, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.carry(place, text.clone()),
            other => (self.values[place], self.is_json[place]) = (other.to_string(), true),
        }
    }

    /// Appends this many random bytes, different ones each time.
    pub fn write_random(&mut self, length: u64, out: &mut Vec<u8>) {
        let (block, mut left) = (random_block(), length as usize);
        let mut at = self.next_random() as usize % RANDOM_BLOCK;
        while left > 0 {
            let piece = left.min(RANDOM_BLOCK - at);
            out.extend_from_slice(&block[at..at + piece]);
            (left, at) = (left - piece, 0);
        }
    }

    /// The next random number of this connection.
    pub fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.random)
    }
}

/// The block of which random bodies are slices; made once.
pub fn random_block() -> Bytes {
    static BLOCK: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    BLOCK.get_or_init(make_random_block).clone()
}

fn make_random_block() -> Bytes {
    let mut block = Vec::with_capacity(RANDOM_BLOCK);
    let mut state = 0x243F_6A88_85A3_08D3_u64;
    while block.len() < RANDOM_BLOCK {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        block.extend_from_slice(&mix(state).to_le_bytes());
    }
    block.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Values {
        pub(in crate::drivers) fn for_tests() -> Self {
            Self::new(&ValueNames::new([].iter(), ["id", "pass"].into_iter(), &[]), 1, 0)
        }
    }

    #[test]
    fn ids_are_fresh_for_every_pass_of_every_connection() {
        let names = ValueNames::new([].iter(), ["id", "pass"].into_iter(), &[]);
        let mut seen = std::collections::HashSet::new();
        for connection in 0..50 {
            let mut values = Values::new(&names, 42, connection);
            for pass in 0..200 {
                values.begin_pass(pass);
                assert_eq!(values.values[ID].len(), 16);
                assert!(seen.insert(values.values[ID].clone()));
            }
        }
    }

    #[test]
    fn what_is_carried_from_json_keeps_its_type_in_json() {
        let names = ["id", "pass", "connection", "v"].map(str::to_owned);
        let body = serde_json::json!({"whole": "${v}", "${v}": ["${v}", "<${v}>", "\"${v}\""], "url": "/${v | urlencode}"});
        let text = Text::new(&Template::parse(&body.to_string()), &names, "step").unwrap().in_json();
        let carried = Carry { name: "v".to_owned(), selector: plan::Selector::Json(String::new()) };
        let mut values = Values::new(&ValueNames::new([carried].iter(), [].into_iter(), &[]), 1, 0);
        for value in [
            serde_json::json!("a \"b\"\n"),
            serde_json::json!(""),
            serde_json::json!(12345678901234567890_u64),
            serde_json::json!(1.0),
            serde_json::json!(true),
            serde_json::json!(null),
            serde_json::json!({"a": ["x"]}),
        ] {
            values.carry_json(3, &value);
            let printed = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let expected = serde_json::json!({
                "whole": value,
                printed.clone(): [value, format!("<{printed}>"), format!("\"{printed}\"")],
                "url": format!("/{}", in_url(&printed)),
            });
            let filled = text.fill(&values);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&filled).unwrap_or_else(|e| panic!("{e}: {filled}")), expected);
        }
        values.begin_pass(1);
        values.carry(3, "7".to_owned());
        assert!(text.fill(&values).starts_with(r#"{"whole":"7""#), "what a header or a pattern gave is a text");
    }

    #[test]
    fn what_a_user_has_outlives_passes() {
        let carry = |name: &str| Carry { name: name.to_owned(), selector: plan::Selector::Json(String::new()) };
        let mut rows = plan::Rows::new("u.csv".into(), ["name", "unused", "town"].map(str::to_owned).to_vec());
        ["ann", "-", "Ulm", "bob", "-", "Bonn"].into_iter().for_each(|value| assert!(rows.push(value)));
        let draw = |name: &str, per| {
            let drawn = plan::DrawnRow { rows: Arc::new(rows.clone()), order: Default::default(), per, seed: None };
            Draw { name: name.to_owned(), of: DrawnFrom::Rows(drawn) }
        };
        let draws = [draw("me", vocabulary::choices::DrawnPer::User), draw("it", vocabulary::choices::DrawnPer::Pass)];
        let inserted = ["id", "me.name", "me.town", "it.name", "token", "rev"];
        let (user, pass) = ([carry("token")], [carry("rev"), carry("token")]);
        let names = ValueNames::of_users(user.iter(), pass.iter(), inserted.into_iter(), &draws);
        let (names, key) = names.with("key");
        let place = |name: &str| names.as_slice().iter().position(|n| n == name).unwrap();
        let mut values = Values::new(&names, 1, 3);
        let found =
            |values: &Values| ["me.name", "me.town", "it.name", "token", "rev"].map(|name| values.values[place(name)].clone());
        let id = values.log_in(0);
        assert_ne!(values.values[ID], id);
        values.carry(place("token"), "t1".to_owned());
        values.logged_in(id);
        for pass in 0..3 {
            values.begin_pass(pass);
            let name = if pass % 2 == 0 { "ann" } else { "bob" };
            assert_eq!(found(&values), ["bob", "Bonn", name, if pass < 2 { "t1" } else { "t2" }, ""]);
            assert_eq!(values.values[key], "");
            values.carry(place("rev"), "r".to_owned());
            values.carry(key, "k".to_owned());
            if pass == 1 {
                let before = values.values[ID].clone();
                let id = values.log_in(1);
                values.carry(place("token"), "t2".to_owned());
                values.logged_in(id);
                assert_eq!((values.values[ID].as_str(), values.values[place("rev")].as_str()), (before.as_str(), "r"));
            }
        }
        assert!(!names.as_slice().contains(&"me.unused".to_owned()), "a column that nobody inserts takes no memory");
        assert_eq!(values.carried_name(place("token")), Some("token"));
        assert_eq!(values.carried_name(place("me.name")), None);
    }

    #[test]
    fn values_are_drawn_evenly_anew_for_each_pass_and_again_from_the_same_seed() {
        let draws = [("n", DrawnFrom::Range(5, 14)), ("word", DrawnFrom::List(vec!["a".to_owned(), "b".to_owned()]))];
        let draws = draws.map(|(name, of)| Draw { name: name.to_owned(), of });
        let names = ValueNames::new([].iter(), [].into_iter(), &draws);
        let (n, word) = (CONNECTION + 1, CONNECTION + 2);
        let passes = |seed, connection| {
            let mut values = Values::new(&names, seed, connection);
            (0..10_000_u64).map(move |pass| {
                values.begin_pass(pass);
                (values.values[n].parse::<u64>().unwrap(), values.values[word].clone())
            })
        };
        let mut counts = BTreeMap::new();
        passes(3, 7).for_each(|(n, word)| *counts.entry((n, word)).or_insert(0) += 1);
        assert_eq!(counts.len(), 20);
        assert!(counts.keys().all(|(n, _)| (5..15).contains(n)));
        // 500 expected, with a standard deviation of 22.
        assert!(counts.values().all(|count| (380..620).contains(count)), "{counts:?}");
        assert!(passes(3, 7).eq(passes(3, 0)) && !passes(3, 7).eq(passes(4, 7)));
    }
}
