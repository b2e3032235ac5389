//! Commands to a server that speaks Redis' protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Body, Carry};
use crate::types::{Size, Text, Timeout, text_as_typed};

/// Commands to a server that speaks Redis' protocol (RESP).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Redis {
    /// `host:port`.
    pub to: String,
    /// The data base that each connection selects; 0 by default.
    #[serde(default)]
    pub database: Option<u32>,
    /// The user that each connection says it is; with `password`.
    #[serde(default)]
    pub user: Option<Text>,
    /// The password with which each connection begins.
    #[serde(default)]
    pub password: Option<Text>,
    /// Whether a connection is used for more than one pass; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
}

/// With `redis`, one command: exactly one of `get`, `set`, `command`. A reply that is an error is always one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisStep {
    /// Name in results and graphs; the command by default.
    #[serde(default)]
    pub name: Option<String>,
    /// `GET` of a key, which must be there.
    #[serde(default)]
    pub get: Option<Text>,
    /// `SET` of a key.
    #[serde(default)]
    pub set: Option<Text>,
    /// With `set`: what it is set to.
    #[serde(default)]
    pub value: Option<Body>,
    /// Any command, word by word, such as `[INCR, counter]`; a word may also be a body, such as `{random: 100B}`.
    #[serde(default)]
    pub command: Option<Words>,
    /// What the reply must be; anything but an error by default.
    #[serde(default)]
    pub expect: Option<RedisExpect>,
    /// Values taken from the reply, for the steps behind: name to place.
    #[serde(default)]
    pub carry: BTreeMap<String, Carry>,
    /// How long this command may take.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// What a reply must be. Of a list the items count, each on a line of its own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedisExpect {
    /// Whether it must be nil (`true`) or must not (`false`, the default of `get`).
    #[serde(default)]
    pub nil: Option<bool>,
    /// Of this length.
    #[serde(default)]
    pub length: Option<Size>,
    /// Exactly this.
    #[serde(default)]
    pub text: Option<Text>,
    /// With this text somewhere in it.
    #[serde(default)]
    pub contains: Option<Text>,
}

/// The words of a command.
#[derive(Clone, Debug)]
pub struct Words(pub Vec<Word>);

/// A word of a command.
#[derive(Clone, Debug)]
pub enum Word {
    /// As it was typed.
    Text(Text),
    /// Content of one of the kinds that a body has.
    Body(Body),
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the words of a command in a list")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                let words = text.split_whitespace().collect::<Vec<_>>().join(", ");
                let help = if words.is_empty() { String::new() } else { format!("||write `[{words}]`") };
                Err(E::custom(format!("the text \"{text}\" does not fit here||expected the words of a command in a list{help}")))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Words, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(Words)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a body such as `{random: 100B}`")
            }
            text_as_typed!(|text| Word::Text(Text(text)));
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Word, A::Error> {
                Body::deserialize(MapAccessDeserializer::new(map)).map(Word::Body)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Words {
    fn schema_name() -> Cow<'static, str> {
        "Words".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (text, body) = (generator.subschema_for::<Text>(), generator.subschema_for::<Body>());
        json_schema!({"type": "array", "items": {"anyOf": [text, body]}, "description": "the words of a command"})
    }
}
