//! Commands to a server that speaks the Redis protocol.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Body, Carry};
use crate::types::{Size, Text, Timeout, text_as_typed};

/// Commands to Redis, Valkey, or another server that speaks their protocol (RESP).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "redis"))]
pub struct Redis {
    /// The server, as `host:port`. Unix sockets and TLS are not supported.
    #[schemars(extend("examples" = ["127.0.0.1:6379"]))]
    pub to: String,
    /// The number of the database that each connection selects.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "examples" = [1]))]
    pub database: Option<u32>,
    /// The user that each connection logs in as; needs `password`.
    #[serde(default)]
    #[schemars(extend("x-default" = "the default user of the server", "examples" = ["load"]))]
    pub user: Option<Text>,
    /// The password with which each connection logs in. A secret of `env` is written nowhere.
    #[serde(default)]
    #[schemars(extend("x-default" = "no login", "examples" = ["${env.REDIS_PASSWORD}"]))]
    pub password: Option<Text>,
    /// Whether a connection is used for more than one pass.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = [false]))]
    pub keep_alive: Option<bool>,
}

/// One command of a pass, with `redis`: exactly one of `get`, `set` and `command`. A reply that is an error always fails the
/// step.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "redis"))]
pub struct RedisStep {
    /// The name of the step in results and graphs. Two steps of a workload cannot have the same one.
    #[serde(default)]
    #[schemars(extend("x-default" = "the command; `get-2` for the second one", "examples" = ["read"]))]
    pub name: Option<String>,
    /// `GET` of this key, which must exist, unless `expect` says otherwise.
    #[serde(default)]
    #[schemars(extend("examples" = ["session:${id}"]))]
    pub get: Option<Text>,
    /// `SET` of this key to `value`.
    #[serde(default)]
    #[schemars(extend("examples" = ["session:${id}"]))]
    pub set: Option<Text>,
    /// With `set`, which needs it: the content to which the key is set, of at most 512 MiB.
    #[serde(default)]
    #[schemars(extend("examples" = [{"random": "1KiB"}]))]
    pub value: Option<Body>,
    /// Any command that is answered by one reply, word by word. A word is a text, a number, or content of the kinds
    /// that a body has, such as `{random: 2KiB}`. `SUBSCRIBE` and the like, `MONITOR`, `SYNC` and `CLIENT REPLY` are
    /// refused.
    #[serde(default)]
    #[schemars(extend("examples" = [["EXPIRE", "session:${id}", 60]]))]
    pub command: Option<Words>,
    /// What the reply must be. Any other reply is an error.
    #[serde(default)]
    #[schemars(extend("x-default" = "anything but an error; of `get` not nil", "examples" = [{"length": "1KiB"}]))]
    pub expect: Option<RedisExpect>,
    /// Values taken from the reply for later steps of the same pass: the name of each, and where it is found (`json` or
    /// `regex`). A later step inserts it as `${name}`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"rev": {"json": "/rev"}}]))]
    pub carry: BTreeMap<String, Carry>,
    /// The command is left out of a pass in which this does not hold: see [Conditions](behaviour.md#conditions).
    #[serde(default)]
    #[schemars(extend("x-default" = "always", "examples" = [{"stock": "> 0"}]))]
    pub when: Option<super::When>,
    /// How long this command may take.
    #[serde(default)]
    #[schemars(extend("x-default" = "that of the workload", "examples" = ["1s"]))]
    pub timeout: Option<Timeout>,
}

/// What a reply must be. A list is read as the text of its items, each on its own line.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "redis"))]
pub struct RedisExpect {
    /// Whether the reply must be nil (`true`) or must not be (`false`). With `true` nothing else can be expected.
    #[serde(default)]
    #[schemars(extend("x-default" = "either is right; of `get` `false`", "examples" = [true]))]
    pub nil: Option<bool>,
    /// The reply has this length.
    #[serde(default)]
    #[schemars(extend("examples" = ["1KiB"]))]
    pub length: Option<Size>,
    /// The reply is exactly this text.
    #[serde(default)]
    #[schemars(extend("examples" = ["OK"]))]
    pub text: Option<Text>,
    /// The reply contains this text.
    #[serde(default)]
    #[schemars(extend("examples" = ["done"]))]
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
        json_schema!({
            "type": "array",
            "items": {"anyOf": [text, body]},
            "description": "The words of a command: each a text, a number, or content such as `{random: 2KiB}`.",
            "examples": [["EXPIRE", "session:${id}", 60]]
        })
    }
}
