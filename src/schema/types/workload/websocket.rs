//! Messages over a websocket.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Body, Expect};
use crate::types::Text;

/// Messages over a websocket (RFC 6455): where the server is, how each connection starts, and how answers are matched.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "websocket"))]
pub struct Websocket {
    /// The server with the path: `ws://host:port/path` or `wss://…`. `tls` of the workload says how TLS is spoken.
    #[schemars(extend("examples" = ["ws://127.0.0.1:8000/terminal"]))]
    pub url: String,
    /// A Unix socket to connect to. `url` then only says what the `host` header and the path are.
    #[serde(default)]
    #[schemars(extend("examples" = ["${scratch}/app.sock"]))]
    pub socket: Option<String>,
    /// The subprotocols that are offered, the preferred one first. The server must choose one of them.
    #[serde(default)]
    #[schemars(extend("x-default" = "none are offered", "examples" = [["chat.v2", "chat.v1"]]))]
    pub subprotocols: Vec<String>,
    /// The messages with which each connection starts, such as a login. They are checked, and count as part of connecting.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"send": {"text": "hello"}, "expect": {"contains": "welcome"}}]]))]
    pub open: Vec<Opening>,
    /// How an answer is known to belong to a message: `order`, `{json: …}` or `{regex: …}`. With `match` many messages
    /// of a connection are under way at a time, as an open loop schedules them. See [With
    /// match](websocket.md#with-match).
    #[serde(default, rename = "match")]
    #[schemars(extend("x-default" = "a connection waits for each answer", "examples" = [{"json": "/id"}]))]
    pub matching: Option<Match>,
    /// Messages that the server may send unasked: those in which this regular expression matches. They are counted in
    /// the metric `pushes`, and do not answer any message.
    #[serde(default)]
    #[schemars(extend("examples" = ["^\\{\"push\""]))]
    pub pushes: Option<String>,
    /// The text that is typed: `${key}` in a step is its next character on each connection. After the last character it
    /// starts again.
    #[serde(default)]
    #[schemars(extend("examples" = ["the quick brown fox "]))]
    pub text: Option<Text>,
    /// Whether messages are sent as binary ones. Random bytes cannot be sent with `false`.
    #[serde(default)]
    #[schemars(extend("x-default" = "`true` for random bytes and files", "examples" = [true]))]
    pub binary: Option<bool>,
    /// Whether a connection is used for more than one pass. `match` needs `true`.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = [false]))]
    pub keep_alive: Option<bool>,
}

/// A message with which a connection starts, and what must come back: `send`, `expect` or both.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "websocket"))]
pub struct Opening {
    /// The message that is sent.
    #[serde(default)]
    #[schemars(extend("x-default" = "nothing is sent", "examples" = [{"text": "hello"}]))]
    pub send: Option<Body>,
    /// What the answer must be, by `length`, `text` or `contains`.
    #[serde(default)]
    #[schemars(extend("x-default" = "no answer is waited for", "examples" = [{"contains": "welcome"}]))]
    pub expect: Option<Expect>,
}

/// How an answer is known to belong to a message: `order`, or exactly one of `json`, `regex`.
#[derive(Clone, Debug)]
pub enum Match {
    /// The first answer belongs to the first message, and so on.
    Order,
    /// By a key that is in both.
    Key(MatchKey),
}

/// Where the key is found by which an answer is matched to its message: exactly one of `json` and `regex`, for both of
/// them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "websocket"))]
pub struct MatchKey {
    /// The value at this JSON pointer (RFC 6901).
    #[serde(default)]
    #[schemars(extend("examples" = ["/id"]))]
    pub json: Option<String>,
    /// What this regular expression finds: its first group, or the whole match.
    #[serde(default)]
    #[schemars(extend("examples" = ["id=(\\d+)"]))]
    pub regex: Option<String>,
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::{self, MapAccess, Visitor, value::MapAccessDeserializer};
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Match;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`order`, or the place of a key, such as `{json: /id}`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Match, E> {
                if text == "order" {
                    return Ok(Match::Order);
                }
                let expected = "expected `order`, or the place of a key, such as `{json: /id}`";
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
            "description": "How an answer is known to belong to a message: by a key in both, or by their order.",
            "examples": [{"json": "/id"}, "order"]
        })
    }
}
