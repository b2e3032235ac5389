//! A log that is replayed as a load.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::types::{Duration, LogFormat, Names, Size, Spread};

/// A log whose requests are sent again, at its instants and whatever the answers do.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "replay"))]
pub struct Replay {
    /// The log, also compressed with gzip. It is looked for from the folder of the scenario upwards.
    #[schemars(extend("examples" = ["access.log"]))]
    pub log: String,
    /// What is in the log: `combined` (Apache's and nginx's common and combined format), `json` (one object on each line) or
    /// `har` (an HTTP archive, as browsers save it).
    #[schemars(extend("examples" = ["combined"]))]
    pub format: LogFormat,
    /// How many times as fast as in the log requests arrive: more than 0, at most 1 000 000.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [2]))]
    pub speed: Option<f64>,
    /// Where in its second a request is sent whose time has no fraction: `evenly` gives the requests of a second equal
    /// distances, and `random` draws their instants from the seed. Their order is that of the log.
    #[serde(default)]
    #[schemars(extend("x-default" = "evenly", "examples" = ["random"]))]
    pub spread: Option<Spread>,
    /// Longer stretches of the log without a request are shortened to this. It counts before `speed`.
    #[serde(default)]
    #[schemars(extend("x-default" = "none is shortened", "examples" = ["10s"]))]
    pub longest_gap: Option<Duration>,
    /// Where in each object the parts of a request are, with `format: json`.
    #[serde(default)]
    #[schemars(extend("x-default" = "`/time`, `/method`, `/path` and `/status`", "examples" = [{"time": "/ts", "path": "/request/uri"}]))]
    pub fields: Option<LogFields>,
    /// What is sent as the body of a `POST`, `PUT` or `PATCH` whose body is not in the log. `random`: random bytes, as many as the
    /// log says the body had; `{random: 1KiB}`: the same, and this many where the log does not say it. Without `body` such
    /// requests are left out and counted.
    #[serde(default)]
    #[schemars(extend("x-default" = "such requests are left out", "examples" = ["random", {"random": "1KiB"}]))]
    pub body: Option<LogBody>,
    /// The hosts whose requests are replayed, where the log has full URLs: one or a list. Requests to others are left out and
    /// counted.
    #[serde(default)]
    #[schemars(extend("x-default" = "the host of the first request", "examples" = ["shop.example"]))]
    pub hosts: Names,
    /// Patterns of paths, without their queries, under which requests are measured: the first that fits counts, `*` stands for
    /// any characters. What fits none is measured as `other`. At most 64.
    #[serde(default)]
    #[schemars(extend("x-default" = "the first part of the path, the 15 most frequent ones", "examples" = [["/items/*", "/cart*"]]))]
    pub paths: Names,
    /// `logged`: an answer must have the status that the log has for its request. A logged 304 or 206 also stands for 200, because
    /// a replay sends neither conditions nor ranges.
    #[serde(default)]
    #[schemars(extend("x-default" = "a status of 2xx or 3xx", "examples" = ["logged"]))]
    pub expect: Option<LogExpect>,
    /// How many connections, 1 to 1 000 000: the most requests at a time, as in an open loop.
    #[serde(default)]
    #[schemars(extend("x-default" = "64", "examples" = [1000]))]
    pub connections: Option<u32>,
}

/// Where in the objects of a log the parts of a request are: JSON pointers (RFC 6901).
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "replay"))]
pub struct LogFields {
    /// When the request was made: a time such as `2026-11-30T10:00:00.25Z`, that of a combined log, or a number of seconds since
    /// 1970 (from 100 000 000 000 on milliseconds, and so on for micro- and nanoseconds).
    #[serde(default)]
    #[schemars(extend("x-default" = "/time", "examples" = ["/ts"]))]
    pub time: Option<String>,
    /// The method.
    #[serde(default)]
    #[schemars(extend("x-default" = "/method", "examples" = ["/request/method"]))]
    pub method: Option<String>,
    /// The path with its query, or a full URL.
    #[serde(default)]
    #[schemars(extend("x-default" = "/path", "examples" = ["/request/uri"]))]
    pub path: Option<String>,
    /// Method, path and version in one text, such as `GET /cart HTTP/1.1`, instead of `method` and `path`.
    #[serde(default)]
    #[schemars(extend("x-default" = "method and path stand apart", "examples" = ["/request"]))]
    pub request: Option<String>,
    /// The status of the answer.
    #[serde(default)]
    #[schemars(extend("x-default" = "/status", "examples" = ["/response/status"]))]
    pub status: Option<String>,
    /// How many bytes the body of the request had.
    #[serde(default)]
    #[schemars(extend("x-default" = "the log does not say it", "examples" = ["/request_length"]))]
    pub body: Option<String>,
}

/// What is sent where the log lacks a body.
#[derive(Clone, Copy, Debug)]
pub struct LogBody {
    /// How many random bytes where the log does not say how long it was.
    pub otherwise: Option<Size>,
}

impl<'de> Deserialize<'de> for LogBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = LogBody;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`random`, or a size such as `{random: 1KiB}`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<LogBody, E> {
                match text {
                    "random" => Ok(LogBody { otherwise: None }),
                    _ => Err(E::custom(format!(
                        "the text \"{text}\" does not fit here||expected `random`, or a size such as `{{random: 1KiB}}`"
                    ))),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LogBody, A::Error> {
                let sized = SizedBody::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(LogBody { otherwise: Some(sized.random) })
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for LogBody {
    fn schema_name() -> Cow<'static, str> {
        "LogBody".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sized = generator.subschema_for::<SizedBody>();
        json_schema!({
            "anyOf": [{"const": "random"}, sized],
            "description": "What is sent where the log lacks a body.",
            "examples": ["random", {"random": "1KiB"}]
        })
    }
}

/// Random bytes as the body of requests of whose body the log says nothing.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "replay"))]
pub struct SizedBody {
    /// How many bytes are sent where the log does not say how many there were.
    #[schemars(extend("examples" = ["1KiB"]))]
    pub random: Size,
}

/// What the answers of a replay must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogExpect {
    /// The status of the log.
    Logged,
}
