//! Which message an answer belongs to. Pure.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Error;
use plan::drivers::websocket::Matching;
use vocabulary::{Phase, key_number};

/// How the key of a message is found.
pub(super) enum Matcher {
    /// At the path of a JSON pointer.
    Json(Vec<String>),
    /// By a regular expression.
    Regex(regex::bytes::Regex),
}

impl Matcher {
    /// Prepares it; `None` if answers come in order.
    ///
    /// # Errors
    /// When a pattern is not a regular expression.
    pub fn new(matching: &Matching) -> Result<Option<Self>, Error> {
        Ok(Some(match matching {
            Matching::Order => return Ok(None),
            // RFC 6901, 4.
            Matching::Json(pointer) => {
                Self::Json(pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
            }
            Matching::Regex(pattern) => {
                let invalid = |e: regex::Error| Error::Request { step: "match".to_owned(), reason: e.to_string() };
                Self::Regex(regex::bytes::Regex::new(pattern).map_err(invalid)?)
            }
        }))
    }

    /// The key of a message; `None` if it has none.
    pub fn key(&self, message: &[u8]) -> Option<u64> {
        match self {
            Self::Json(path) => at(message, path).map(|text| key_number(&text)),
            Self::Regex(pattern) => {
                let found = pattern.captures(message)?;
                let found = found.get(1).or_else(|| found.get(0))?;
                Some(key_number(&String::from_utf8_lossy(found.as_bytes())))
            }
        }
    }
}

/// A message without the key that it should have.
pub(super) struct NoKey;

/// The text or number at a path in JSON; `None` if there is nothing, or the whole is not JSON. Unwanted parts are
/// skipped without keeping them.
fn at(json: &[u8], path: &[String]) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Walk(path).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

struct Walk<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A value that is not a container ends the path, or is not on it.
macro_rules! scalars {
    ($($name:ident: $type:ty,)*) => {
        $(fn $name<E>(self, value: $type) -> Result<Self::Value, E> {
            Ok(self.0.is_empty().then(|| value.to_string()))
        })*
    };
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    scalars! {
        visit_bool: bool,
        visit_i64: i64,
        visit_u64: u64,
        visit_str: &str,
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // As JSON writes it, with a point.
        Ok(serde_json::Number::from_f64(value).filter(|_| self.0.is_empty()).map(|number| number.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0.split_first() {
                Some((first, rest)) if *first == key => found = map.next_value_seed(Walk(rest))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let wanted = self.0.split_first().and_then(|(first, rest)| Some((first.parse::<usize>().ok()?, rest)));
        let mut found = None;
        for number in 0_usize.. {
            match wanted {
                Some((at, rest)) if at == number => match items.next_element_seed(Walk(rest))? {
                    Some(item) => found = item,
                    None => break,
                },
                _ => {
                    if items.next_element::<IgnoredAny>()?.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A message that was sent. Times are nanoseconds since the epoch of the repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Number of its pass.
    pub pass: u64,
    /// Its position among the messages of its connection.
    pub number: u64,
    /// The phase in which it was meant to be sent.
    pub phase: Phase,
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// How long connecting took, if it was necessary.
    pub connect_ns: Option<u64>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To this message; `out_of_order`: a later message was answered before.
    To { sent: Sent, out_of_order: bool },
    /// To a message that was answered already.
    Again,
    /// To no known message.
    Unasked,
}

/// How many answers of a connection are remembered, to recognize duplicates.
const REMEMBERED: usize = 1024;

/// The messages of a connection that are not answered yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By key, with the position in the order of sending.
    first: HashMap<u64, (u64, Sent)>,
    /// Further messages with the same key as an earlier one: they are answered in their order.
    further: HashMap<u64, VecDeque<(u64, Sent)>>,
    /// If answers have no keys.
    in_order: VecDeque<Sent>,
    next: u64,
    /// The latest message that was answered.
    latest: Option<u64>,
    /// Keys of messages that were answered, the oldest first.
    answered: VecDeque<u64>,
}

impl Waiting {
    /// A message is on its way; `key` is `None` if answers come in order.
    pub fn sent(&mut self, key: Option<u64>, sent: Sent) {
        let place = self.next;
        self.next += 1;
        match key {
            None => self.in_order.push_back(sent),
            Some(key) if self.first.contains_key(&key) => self.further.entry(key).or_default().push_back((place, sent)),
            Some(key) => drop(self.first.insert(key, (place, sent))),
        }
    }

    /// An answer arrived; `key` is `None` if answers come in order.
    pub fn answered(&mut self, key: Option<u64>) -> Answer {
        let Some(key) = key else {
            return match self.in_order.pop_front() {
                Some(sent) => Answer::To { sent, out_of_order: false },
                None => Answer::Unasked,
            };
        };
        let Some((place, sent)) = self.first.remove(&key) else {
            return if self.answered.contains(&key) { Answer::Again } else { Answer::Unasked };
        };
        if let Some(further) = self.further.get_mut(&key) {
            if let Some(next) = further.pop_front() {
                self.first.insert(key, next);
            }
            if further.is_empty() {
                self.further.remove(&key);
            }
        }
        if self.answered.len() == REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(key);
        let out_of_order = self.latest.is_some_and(|latest| place < latest);
        self.latest = self.latest.max(Some(place));
        Answer::To { sent, out_of_order }
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.in_order.is_empty()
    }

    /// Removes all unanswered messages, in the order of sending, each with its key.
    pub fn take(&mut self) -> Vec<(Option<u64>, Sent)> {
        let mut all: Vec<(u64, Option<u64>, Sent)> =
            self.first.drain().map(|(key, (place, sent))| (place, Some(key), sent)).collect();
        for (key, further) in self.further.drain() {
            all.extend(further.into_iter().map(|(place, sent)| (place, Some(key), sent)));
        }
        all.sort_unstable_by_key(|(place, ..)| *place);
        let in_order = self.in_order.drain(..).map(|sent| (None, sent));
        all.into_iter().map(|(_, key, sent)| (key, sent)).chain(in_order).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(pass: u64) -> Sent {
        Sent { pass, number: pass, phase: Phase::During, intended_ns: pass, sent_ns: pass, connect_ns: None, bytes: 1 }
    }

    fn json(pointer: &str) -> Matcher {
        Matcher::new(&Matching::Json(pointer.to_owned())).unwrap().unwrap()
    }

    #[test]
    fn a_key_is_found_where_it_stands() {
        let id = json("/id");
        assert_eq!(id.key(br#"{"key": {"id": 9}, "id": 17}"#), Some(17));
        assert_eq!(id.key(br#"{"id": "17"}"#), Some(17));
        assert_eq!(id.key(br#"{"id": "abc"}"#), Some(key_number("abc")));
        assert_eq!(json("/a/1/b~1c").key(br#"{"a": [0, {"b/c": 5}]}"#), Some(5));
        assert_eq!(json("").key(b"5"), Some(5));
        for nothing in
            [&br#"{"id": null}"#[..], br#"{"ID": 1}"#, b"[1]", br#"{"id": {"a": 1}}"#, br#"{"id": 1"#, br#"{"id": 1} x"#, b"\xff"]
        {
            assert_eq!(id.key(nothing), None, "{}", String::from_utf8_lossy(nothing));
        }
        let pattern = Matcher::new(&Matching::Regex("id=([0-9]+)".to_owned())).unwrap().unwrap();
        assert_eq!(pattern.key(b"\xff id=17 id=18"), Some(17));
        assert_eq!(pattern.key(b"id=x"), None);
    }

    #[test]
    fn an_answer_is_out_of_order_when_a_later_one_was_there_before() {
        let mut waiting = Waiting::default();
        (0..4).for_each(|pass| waiting.sent(Some(pass), sent(pass)));
        let to = |pass, out_of_order| Answer::To { sent: sent(pass), out_of_order };
        assert_eq!(waiting.answered(Some(1)), to(1, false));
        assert_eq!(waiting.answered(Some(0)), to(0, true));
        assert_eq!(waiting.answered(Some(0)), Answer::Again);
        assert_eq!(waiting.answered(Some(7)), Answer::Unasked);
        assert_eq!(waiting.answered(Some(3)), to(3, false));
        assert!(!waiting.is_empty());
        assert_eq!(waiting.take(), [(Some(2), sent(2))]);
        assert!(waiting.is_empty());
    }

    #[test]
    fn messages_with_one_key_are_answered_in_their_order() {
        let mut waiting = Waiting::default();
        (0..3).for_each(|pass| waiting.sent(Some(5), sent(pass)));
        waiting.sent(Some(6), sent(3));
        let passes: Vec<u64> = (0..2)
            .filter_map(|_| match waiting.answered(Some(5)) {
                Answer::To { sent, .. } => Some(sent.pass),
                _ => None,
            })
            .collect();
        assert_eq!(passes, [0, 1]);
        assert_eq!(waiting.take().into_iter().map(|(_, sent)| sent.pass).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn without_keys_the_first_answer_is_that_to_the_first_message() {
        let mut waiting = Waiting::default();
        (0..2).for_each(|pass| waiting.sent(None, sent(pass)));
        assert_eq!(waiting.answered(None), Answer::To { sent: sent(0), out_of_order: false });
        assert_eq!(waiting.answered(None), Answer::To { sent: sent(1), out_of_order: false });
        assert_eq!(waiting.answered(None), Answer::Unasked);
    }

    proptest! {
        /// In whatever order answers come, and however often: each message is answered at most once, and what is left
        /// is what was not. The number of those out of order follows the definition.
        #[test]
        fn nothing_is_answered_twice_or_lost(messages in 1_u64..60, answers in proptest::collection::vec(0_u64..70, 0..120)) {
            let mut waiting = Waiting::default();
            (0..messages).for_each(|pass| waiting.sent(Some(pass + 100), sent(pass)));
            let mut came: Vec<u64> = Vec::new();
            for answer in answers {
                match waiting.answered(Some(answer + 100)) {
                    Answer::To { sent, out_of_order } => {
                        prop_assert_eq!(sent.pass, answer);
                        prop_assert_eq!(out_of_order, came.iter().any(|before| *before > answer));
                        prop_assert!(!came.contains(&answer));
                        came.push(answer);
                    }
                    Answer::Again => prop_assert!(came.contains(&answer)),
                    Answer::Unasked => prop_assert!(answer >= messages),
                }
            }
            let left: Vec<u64> = waiting.take().into_iter().map(|(_, sent)| sent.pass).collect();
            let expected: Vec<u64> = (0..messages).filter(|pass| !came.contains(pass)).collect();
            prop_assert_eq!(left, expected);
        }

        /// Reading without keeping anything gives the same result as the whole tree.
        #[test]
        fn a_pointer_means_what_it_means_elsewhere(bytes in r#"[{}\[\]",:0-9ab ]{0,40}"#) {
            for pointer in ["", "/a", "/0", "/a/b", "/1/a"] {
                let tree: Option<serde_json::Value> = serde_json::from_str(&bytes).ok();
                let expected = tree.as_ref().and_then(|tree| tree.pointer(pointer)).and_then(|value| match value {
                    serde_json::Value::String(text) => Some(text.clone()),
                    serde_json::Value::Number(number) => Some(number.to_string()),
                    serde_json::Value::Bool(value) => Some(value.to_string()),
                    _ => None,
                });
                let path: Vec<String> = pointer.split('/').skip(1).map(str::to_owned).collect();
                prop_assert_eq!(at(bytes.as_bytes(), &path), expected, "{} {}", bytes, pointer);
            }
        }
    }
}
