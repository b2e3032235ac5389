//! What a workload may say: what carries it, how requests arrive, and its steps.
//!
//! What belongs to one protocol has a file of its own beside this one; here stands what steps of all of them share.

mod framed;
mod http;
mod load;
pub mod redis;
mod socks;
mod vtp;
mod websocket;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::types::{Decimal, ExitCodes, MetricSource, Names, Size, Statuses, Text, Timeout};

pub use framed::*;
pub use http::*;
pub use load::*;
pub use socks::*;
pub use vtp::*;
pub use websocket::*;

/// Requests and how they arrive: over HTTP (`url` and `steps`), messages over a websocket (`websocket` and `steps`) or over TCP (`framed` and `steps`), events of the
/// VOEvent Transport Protocol (`vtp`), commands to a Redis server (`redis` and `steps`), or a program of its own (`command`).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// `http://host:port` or `https://…`, or a list of them: connections are dealt out in turn.
    #[serde(default)]
    pub url: Names,
    /// A Unix socket to connect to; `url` then only says what the `host` header is.
    #[serde(default)]
    pub socket: Option<String>,
    /// How HTTP is spoken.
    #[serde(default)]
    pub http: Http,
    /// How TLS is spoken with `https://`.
    #[serde(default)]
    pub tls: Tls,
    /// With `url` and `framed`: a proxy through which connections go.
    #[serde(default)]
    pub socks: Option<Socks>,
    /// With `url`: whether each request is recorded stage by stage, from the socket to the last byte; false by default. Each then has a
    /// connection of its own.
    #[serde(default)]
    pub stages: Option<bool>,
    /// Messages over a websocket. What they are stands in `steps`, such as `{send: {text: …}}`.
    #[serde(default)]
    pub websocket: Option<Websocket>,
    /// Messages over TCP: how they are told apart. What they are stands in `steps`, such as `{send: {text: …}}`.
    #[serde(default)]
    pub framed: Option<Framed>,
    /// Events of the VOEvent Transport Protocol: sent by an author (`to`), or received by a subscriber (`from`).
    #[serde(default)]
    pub vtp: Option<Vtp>,
    /// Commands to a server that speaks Redis' protocol. What they are stands in `steps`, such as `{get: key}`.
    #[serde(default)]
    pub redis: Option<redis::Redis>,
    /// A program and its arguments that makes the load by itself. Each pass is one execution of it. No shell.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// Environment variables of `command`, added to the runner's own.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory of `command`.
    #[serde(default)]
    pub dir: Option<String>,
    /// Programs without which cells with this workload are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// What is taken from the output of `command`: name to place.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricSource>,
    /// The decimal mark of all of `metrics`, where they are texts; each may say its own. A point by default.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// How `command` must end; exit code 0 by default.
    #[serde(default)]
    pub exit: Option<ExitCodes>,
    /// How requests arrive.
    #[serde(default)]
    #[schemars(required)]
    pub load: Option<Load>,
    /// The phases of the repetition in which this workload is there; all by default.
    #[serde(default)]
    pub phases: Option<Names>,
    /// Values that are drawn anew for each pass, from the seed: name to what they are drawn of.
    #[serde(default)]
    pub draw: BTreeMap<String, Draw>,
    /// The requests of one pass. Each is measured by itself, and the pass as a whole.
    #[serde(default)]
    #[schemars(with = "Vec<AnyStep>")]
    pub steps: Vec<Json>,
    /// User and password of every request.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How long a request may take; 30 s by default. For `command`: 10 min.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// Generator threads; 1 by default.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Processors on which the generator, or `command`, may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
}

/// What a value is drawn of: whole numbers (`from`, `to`), or the items of a list (`of`).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Draw {
    /// The smallest number; 0 by default.
    #[serde(default)]
    pub from: Option<u64>,
    /// The largest number.
    #[serde(default)]
    pub to: Option<u64>,
    /// These texts.
    #[serde(default)]
    pub of: Option<Vec<Text>>,
}

/// One step, as the protocol has it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant, reason = "only its schema is asked for: each protocol reads its own")]
enum AnyStep {
    Request(Step),
    Redis(redis::RedisStep),
}

/// One request: exactly one method with its path; with `framed` and `websocket` exactly one of `send`, `receive`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Name in results and graphs; the method by default.
    #[serde(default)]
    pub name: Option<String>,
    /// `GET` of a path.
    #[serde(default)]
    pub get: Option<Text>,
    /// `HEAD` of a path.
    #[serde(default)]
    pub head: Option<Text>,
    /// `PUT` to a path.
    #[serde(default)]
    pub put: Option<Text>,
    /// `POST` to a path.
    #[serde(default)]
    pub post: Option<Text>,
    /// `PATCH` of a path.
    #[serde(default)]
    pub patch: Option<Text>,
    /// `DELETE` of a path.
    #[serde(default)]
    pub delete: Option<Text>,
    /// `OPTIONS` of a path.
    #[serde(default)]
    pub options: Option<Text>,
    /// With `framed` and `websocket`: a message that is sent.
    #[serde(default)]
    pub send: Option<Body>,
    /// With `framed` and `websocket`: `true` waits for a message without sending one.
    #[serde(default)]
    pub receive: Option<bool>,
    /// With `send`: whether a message comes back; true by default.
    #[serde(default)]
    pub answer: Option<bool>,
    /// Headers of this request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Body of this request.
    #[serde(default)]
    pub body: Option<Body>,
    /// What the answer must be; anything else is an error. Status 2xx by default.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// Answers that are neither expected nor errors, counted by themselves: name to status. They end the pass.
    #[serde(default)]
    pub outcomes: BTreeMap<String, Statuses>,
    /// Values taken from the answer, for the steps behind: name to place.
    #[serde(default)]
    pub carry: BTreeMap<String, Carry>,
    /// How long this request may take.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// A request body: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Body {
    /// This text.
    #[serde(default)]
    pub text: Option<Text>,
    /// The content of a file.
    #[serde(default)]
    pub file: Option<String>,
    /// So many random bytes, others in every request.
    #[serde(default)]
    pub random: Option<Size>,
    /// This value as JSON.
    #[serde(default, deserialize_with = "also_null")]
    pub json: Option<Json>,
}

/// `json: null` is a body, not the lack of one.
fn also_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// What an answer must be.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// One of these statuses.
    #[serde(default)]
    pub status: Option<Statuses>,
    /// A body of this length.
    #[serde(default)]
    pub length: Option<Size>,
    /// Exactly this body.
    #[serde(default)]
    pub text: Option<Text>,
    /// This text somewhere in the body.
    #[serde(default)]
    pub contains: Option<Text>,
}

/// Where in an answer a carried value stands: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Carry {
    /// A JSON pointer (RFC 6901) into the body, such as `/rev`.
    #[serde(default)]
    pub json: Option<String>,
    /// The value of a header.
    #[serde(default)]
    pub header: Option<String>,
    /// The first group (or the whole match) of a regular expression in the body.
    #[serde(default)]
    pub regex: Option<String>,
}
