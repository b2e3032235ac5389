//! Messages over a websocket.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Body, Expect};
use crate::types::Text;

/// Messages over a websocket (RFC 6455). What they are stands in `steps`, such as `{send: {text: hello}}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Websocket {
    /// `ws://host:port/path` or `wss://…`.
    pub url: String,
    /// A Unix socket to connect to; `url` then only says what the `host` header and the path are.
    #[serde(default)]
    pub socket: Option<String>,
    /// Subprotocols that are offered, the most wanted first; the server must choose one of them.
    #[serde(default)]
    pub subprotocols: Vec<String>,
    /// Messages with which each connection begins, such as a log-in; they are checked, and in no measure but that of connecting.
    #[serde(default)]
    pub open: Vec<Opening>,
    /// How an answer is known to belong to what was sent. With it many messages of a connection are under way at a time, as the
    /// schedule of an open loop says; without it a connection waits for each answer.
    #[serde(default, rename = "match")]
    pub matching: Option<Match>,
    /// Messages that may come without being asked for: those in which this regular expression matches. They are counted in the metric `pushes`.
    #[serde(default)]
    pub pushes: Option<String>,
    /// The keys that are typed: `${key}` is the next character of this text, from its start again behind its end.
    #[serde(default)]
    pub text: Option<Text>,
    /// Whether messages are sent as binary ones; true where they are random or of a file, else false.
    #[serde(default)]
    pub binary: Option<bool>,
    /// Whether a connection is used for more than one pass; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
}

/// A message with which a connection begins, and what must come back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Opening {
    /// What is sent; nothing where only a message is waited for.
    #[serde(default)]
    pub send: Option<Body>,
    /// What the answer must be; where it is not said, none is waited for, unless nothing is sent.
    #[serde(default)]
    pub expect: Option<Expect>,
}

/// How an answer is known to belong to a message: `order`, or exactly one of `json`, `regex`.
#[derive(Clone, Debug)]
pub enum Match {
    /// The first answer belongs to the first message, and so on.
    Order,
    /// By a key that stands in both.
    Key(MatchKey),
}

/// Where the key of a message stands, and of its answer: exactly one kind.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MatchKey {
    /// A JSON pointer (RFC 6901), such as `/id`.
    #[serde(default)]
    pub json: Option<String>,
    /// The first group (or the whole match) of a regular expression.
    #[serde(default)]
    pub regex: Option<String>,
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Match;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`order`, or where a key stands, such as `{json: /id}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Match, E> {
                if text == "order" {
                    return Ok(Match::Order);
                }
                let expected = "expected `order`, or where a key stands, such as `{json: /id}`";
                Err(E::custom(format!("the text \"{text}\" does not fit here||{expected}")))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Match, A::Error> {
                MatchKey::deserialize(MapAccessDeserializer::new(map)).map(Match::Key)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Match {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Match".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let key = generator.subschema_for::<MatchKey>();
        schemars::json_schema!({
            "anyOf": [{"const": "order"}, key],
            "description": "how an answer is known to belong to a message"
        })
    }
}
