//! What differs from pass to pass, and the texts into which it is inserted; every protocol of ours has it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::Error;
use crate::schedule::mix;
use plan::{Carry, Draw, DrawnFrom, Part, Template};
use vocabulary::units::in_json;

/// Random bodies are slices of one block of random bytes of this size (and streamed when they are longer).
pub const RANDOM_BLOCK: usize = 1 << 20;

/// A template whose names are places in [`Values`].
pub struct Text(Vec<TextPart>);

enum TextPart {
    Text(String),
    Value(usize),
    /// A value inside of a text of JSON.
    Quoted(usize),
}

impl TextPart {
    fn get<'a>(&'a self, values: &'a Values) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Value(place) => Cow::Borrowed(&values.values[*place]),
            Self::Quoted(place) => {
                let value = &values.values[*place];
                let plain = !value.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\');
                if plain { Cow::Borrowed(value) } else { Cow::Owned(in_json(value)) }
            }
        }
    }
}

impl Text {
    /// Reads a template.
    ///
    /// # Errors
    /// When it inserts what has no value.
    pub fn new(template: &Template, names: &[String], step: &str) -> Result<Self, Error> {
        let parts = template.0.iter().map(|part| match part {
            Part::Text(text) => Ok(TextPart::Text(text.clone())),
            Part::Name(name) => {
                let place = names.iter().position(|n| n == name);
                place
                    .map(TextPart::Value)
                    .ok_or_else(|| Error::Request { step: step.to_owned(), reason: format!("`{name}` has no value here") })
            }
        });
        parts.collect::<Result<_, _>>().map(Self)
    }

    /// The same as JSON: what is inserted stands in its texts.
    pub fn in_json(self) -> Self {
        let quoted = |part| if let TextPart::Value(place) = part { TextPart::Quoted(place) } else { part };
        Self(self.0.into_iter().map(quoted).collect())
    }

    /// Puts a text before it.
    pub fn prepend(&mut self, prefix: &str) {
        if !prefix.is_empty() {
            self.0.insert(0, TextPart::Text(prefix.to_owned()));
            if let [TextPart::Text(a), TextPart::Text(b)] = self.0.as_slice() {
                *self = Self(vec![TextPart::Text(format!("{a}{b}"))]);
            }
        }
    }

    /// The whole text, when it is always the same.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [TextPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the values of a pass inserted.
    pub fn fill(&self, values: &Values) -> String {
        let mut text = String::with_capacity(64);
        for part in &self.0 {
            text.push_str(&part.get(values));
        }
        text
    }

    /// Appends it with its values.
    pub fn write(&self, values: &Values, out: &mut Vec<u8>) {
        for part in &self.0 {
            out.extend_from_slice(part.get(values).as_bytes());
        }
    }
}

/// Names of the values that requests insert, in the order of their places.
pub struct ValueNames {
    names: Vec<String>,
    uses_id: bool,
    uses_pass: bool,
    /// What is drawn for each pass, with its place.
    draws: Arc<[(usize, DrawnFrom)]>,
}

impl ValueNames {
    /// Those of a pass, what is drawn for it, and what its steps carry. `inserted`: the names that its steps insert.
    pub fn new<'a>(carried: impl Iterator<Item = &'a Carry>, inserted: impl Iterator<Item = &'a str>, draws: &[Draw]) -> Self {
        let mut names: Vec<String> = ["id", "pass", "connection"].map(str::to_owned).to_vec();
        for carry in carried {
            if !names.contains(&carry.name) {
                names.push(carry.name.clone());
            }
        }
        let first = names.len();
        names.extend(draws.iter().map(|draw| draw.name.clone()));
        let draws = draws.iter().enumerate().map(|(i, draw)| (first + i, draw.of.clone())).collect();
        let inserted: Vec<&str> = inserted.collect();
        let uses = |name: &str| inserted.contains(&name);
        Self { uses_id: uses("id"), uses_pass: uses("pass"), draws, names }
    }

    /// The same with a name more, which nobody draws, and its place.
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
    /// What nobody inserts is not written anew for every pass.
    uses_id: bool,
    uses_pass: bool,
    draws: Arc<[(usize, DrawnFrom)]>,
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
        Self {
            values,
            uses_id,
            uses_pass,
            draws: Arc::clone(&names.draws),
            seed,
            connection,
            random: mix(seed ^ connection.rotate_left(32)),
        }
    }

    /// Begins a pass: a fresh id, and no carried values.
    pub fn begin_pass(&mut self, pass: u64) {
        // The pair (connection, pass) is unique within a repetition as long as neither passes its half of 64 bits.
        let unique = (self.connection << 40) | (pass & ((1 << 40) - 1));
        let id = mix(unique ^ mix(self.seed));
        for value in &mut self.values[CONNECTION + 1..] {
            value.clear();
        }
        for (place, used) in [(ID, self.uses_id), (PASS, self.uses_pass)] {
            if used {
                self.values[place].clear();
                // Writing into a text cannot fail.
                let _ = if place == ID { write!(self.values[ID], "{id:016x}") } else { write!(self.values[PASS], "{pass}") };
            }
        }
        for (number, (place, urn)) in self.draws.iter().enumerate() {
            // From the pass alone: which connection carries it depends on the answers of others.
            let random = mix(mix(pass ^ mix(self.seed)) ^ mix(number as u64 + 1));
            // Writing into a text cannot fail. The share of values that are too likely by this is as small as 2^-32.
            let _ = match urn {
                DrawnFrom::Range(from, to) => {
                    let of = u128::from(to - from) + 1;
                    write!(self.values[*place], "{}", from + ((u128::from(random) * of) >> 64) as u64)
                }
                DrawnFrom::List(items) => {
                    let item = ((u128::from(random) * items.len() as u128) >> 64) as usize;
                    self.values[*place].write_str(&items[item])
                }
            };
        }
    }

    /// All values by name; `names`: those that they were made for.
    pub fn by_name(self, names: &[String]) -> BTreeMap<String, String> {
        names.iter().cloned().zip(self.values).collect()
    }

    /// Keeps what was carried to a place.
    pub fn carry(&mut self, place: usize, value: String) {
        self.values[place] = value;
    }

    /// Appends so many random bytes, others each time.
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
            Self::new(&ValueNames { names: vec![String::new(); 3], uses_id: true, uses_pass: true, draws: [].into() }, 1, 0)
        }
    }

    #[test]
    fn ids_are_fresh_for_every_pass_of_every_connection() {
        let names = ValueNames { names: vec![String::new(); 3], uses_id: true, uses_pass: true, draws: [].into() };
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
