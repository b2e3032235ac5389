//! What a workload may say: its driver, how requests arrive, and its steps.

pub mod redis;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::{
    Auth, ByteOrder, Decimal, Duration, ExitCodes, HttpVersion, Names, Percent, Pick, Rate, RateRange, Share, Size, Spacing,
    Statuses, Text, Times, WarmUpLength,
};

/// Requests and how they arrive: over HTTP (`url` and `steps`), messages over TCP (`framed` and `steps`), events of the
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
    pub timeout: Option<Duration>,
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

/// How HTTP is spoken.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    /// `1` (HTTP/1.1, the default) or `2`.
    #[serde(default)]
    pub version: Option<HttpVersion>,
    /// Requests at a time on one connection; only with version 2. 1 by default.
    #[serde(default)]
    pub streams: Option<u32>,
    /// Whether a connection is used for more than one request; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
    /// How many redirects are followed; 0 by default: a redirect is an answer like any other.
    #[serde(default)]
    pub redirects: Option<Redirects>,
}

/// Which redirects are followed: a number of them, or a map.
#[derive(Clone, Debug)]
pub struct Redirects {
    /// How many.
    pub most: Option<u32>,
    /// The origins that may know what is secret.
    pub trust: Vec<String>,
}

/// Which redirects are followed, and who is trusted.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RedirectsTo {
    /// How many; 10 by default.
    #[serde(default)]
    pub most: Option<u32>,
    /// Origins, such as `https://other:8443`, to which credentials and secrets are sent too.
    #[serde(default)]
    pub trust: Names,
}

impl<'de> serde::Deserialize<'de> for Redirects {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = Redirects;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("how many redirects are followed, or `most` and `trust`")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Redirects, E> {
                let most = u32::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))?;
                Ok(Redirects { most: Some(most), trust: Vec::new() })
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Redirects, E> {
                self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Redirects, A::Error> {
                let typed = RedirectsTo::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Redirects { most: typed.most, trust: typed.trust.0 })
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Redirects {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Redirects".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let to = generator.subschema_for::<RedirectsTo>();
        schemars::json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, to]})
    }
}

/// How TLS is spoken.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// A file with the certificates (PEM) of those who may vouch for the server, instead of the system's.
    #[serde(default)]
    pub ca: Option<String>,
    /// `false` takes any certificate from anybody.
    #[serde(default)]
    pub verify: Option<bool>,
}

/// Messages over TCP, each a frame.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Framed {
    /// `host:port`.
    pub to: String,
    /// How frames are told apart.
    pub frame: Framing,
    /// Whether a connection is used for more than one pass; true by default.
    #[serde(default)]
    pub keep_alive: Option<bool>,
}

/// How frames are told apart: exactly one of `length`, `delimiter`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Framing {
    /// Each begins with its length, in so many bytes: 1 to 8.
    #[serde(default)]
    pub length: Option<u8>,
    /// The order of these bytes; `big` by default.
    #[serde(default)]
    pub order: Option<ByteOrder>,
    /// Each ends with this text, such as `"\n"`.
    #[serde(default)]
    pub delimiter: Option<String>,
    /// The longest answer that is taken; 16 MiB by default.
    #[serde(default)]
    pub max: Option<Size>,
}

/// Events of the VOEvent Transport Protocol: exactly one of `to`, `from`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vtp {
    /// `host:port` at which a broker takes events from authors. Each pass sends one event over a connection of its own.
    #[serde(default)]
    pub to: Option<String>,
    /// `host:port` at which a broker sends events to subscribers. All that `of` sends is waited for; it has no `load`.
    #[serde(default)]
    pub from: Option<String>,
    /// With `from`: the workload whose events are waited for. Not needed where there is only one with `to`.
    #[serde(default)]
    pub of: Option<String>,
    /// With `from`: how long after the last arrival what is missing counts as lost; 5 s by default.
    #[serde(default)]
    pub wait: Option<Duration>,
    /// Who speaks, such as `ivo://authority/name`. Events are called `<ivo>#<id>`.
    #[serde(default)]
    pub ivo: Option<String>,
    /// With `to`: the event, with `${ivorn}` where its identifier belongs. The smallest valid one by default.
    #[serde(default)]
    pub event: Option<Text>,
    /// With `to`: events are made this long by a comment at their end.
    #[serde(default)]
    pub size: Option<Size>,
}

/// Where in the output of a command, in a file or a database a figure stands, or what it is made of: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetricSource {
    /// The first group (or the whole match) of a regular expression in the output, a number.
    #[serde(default)]
    pub regex: Option<String>,
    /// A JSON pointer (RFC 6901) into the output, such as `/requests/average`.
    #[serde(default)]
    pub json: Option<String>,
    /// A column of output that is CSV with a header, and which of its values.
    #[serde(default)]
    pub csv: Option<CsvSource>,
    /// How many lines of the output this regular expression matches.
    #[serde(default)]
    pub lines: Option<String>,
    /// A query whose first row begins with the number; only where `sqlite` is collected.
    #[serde(default)]
    pub sql: Option<String>,
    /// `[a, b]`: the metric a divided by the metric b. `cpu_s` and `wall_s` are known of every command.
    #[serde(default)]
    pub ratio: Option<Vec<String>>,
    /// The decimal mark of the number, where it is a text; a point by default. The other of point and comma then separates
    /// thousands, and counts only between groups of three digits.
    #[serde(default)]
    pub decimal: Option<Decimal>,
    /// By what the number is multiplied; 1 by default.
    #[serde(default)]
    pub times: Option<f64>,
    /// Its unit, for graphs: `1/s`, `ms`, …
    #[serde(default)]
    pub unit: Option<String>,
}

/// A column of CSV.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CsvSource {
    /// Its name in the header.
    pub column: String,
    /// Which of its values; the last by default.
    #[serde(default)]
    pub pick: Option<Pick>,
}

/// How requests arrive, and how many or how long: exactly one of `closed`, `open`, `find`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Arrivals follow completions.
    #[serde(default)]
    pub closed: Option<Closed>,
    /// Arrivals follow a schedule, whatever the answers do.
    #[serde(default)]
    pub open: Option<Open>,
    /// The highest rate that holds is searched.
    #[serde(default)]
    pub find: Option<Find>,
    /// How many passes in all.
    #[serde(default)]
    pub amount: Option<u64>,
    /// How long.
    #[serde(default)]
    pub duration: Option<Duration>,
    /// What comes before the measurement; recorded, marked, and left out of the statistics. `auto`: all windows before
    /// the load became steady.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
    /// How long passes may still take that are under way when a load with a duration ends, and, in an open loop, those that
    /// wait to be sent; 1 s by default, for a command as long as it may take. What was not sent by then is counted as
    /// unsent; what was not answered by then is told as open, with the time that it had waited.
    #[serde(default)]
    pub drain: Option<Duration>,
}

/// A closed loop.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Closed {
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// What a connection waits from the end of a pass to the begin of the next.
    #[serde(default)]
    pub think: Option<Think>,
    /// From the first connection's begin to the last one's.
    #[serde(default)]
    pub ramp: Option<Duration>,
}

/// A think time: exactly one kind.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Think {
    /// Always this long.
    #[serde(default)]
    pub constant: Option<Duration>,
    /// Exponentially distributed with this mean.
    #[serde(default)]
    pub exponential: Option<Duration>,
}

/// An open loop: exactly one of `rate`, `ramp`, `steps`, `every`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Open {
    /// Passes per time, such as `500/s`.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// A rate that changes steadily.
    #[serde(default)]
    pub ramp: Option<Ramp>,
    /// One rate after the other.
    #[serde(default)]
    pub steps: Option<RateSteps>,
    /// One pass in each such time.
    #[serde(default)]
    pub every: Option<Duration>,
    /// With `every`: each pass is late by a random part of this, at most `every`.
    #[serde(default)]
    pub jitter: Option<Duration>,
    /// How passes are spaced at a rate; evenly by default.
    #[serde(default)]
    pub arrivals: Option<Spacing>,
    /// Connections: the most requests at a time. Arrivals that find all of them busy wait, and the wait counts. 64 by default.
    #[serde(default)]
    pub connections: Option<u32>,
}

/// A rate that changes steadily over the measurement.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ramp {
    /// At its begin.
    pub from: Rate,
    /// At its end.
    pub to: Rate,
}

/// One rate after the other.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RateSteps {
    /// The rates.
    pub rates: Vec<Rate>,
    /// How long each of them holds.
    pub each: Duration,
    /// In an order that the seed draws, so that time and rate are not confused.
    #[serde(default)]
    pub shuffled: bool,
}

/// The search for the highest rate that holds.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Find {
    /// From which rate to which, such as `100..20000`.
    pub rate: RateRange,
    /// What must be true at a rate that holds, such as `{response_p99: "< 50ms", errors: "< 0.1%"}`.
    #[serde(rename = "while")]
    pub conditions: BTreeMap<String, Text>,
    /// How long each rate is tried; 5 s by default.
    #[serde(default)]
    pub trial: Option<Duration>,
    /// How closely the limit is searched; 5 % by default.
    #[serde(default)]
    pub precision: Option<Percent>,
    /// How passes are spaced; evenly by default.
    #[serde(default)]
    pub arrivals: Option<Spacing>,
    /// Connections; 64 by default.
    #[serde(default)]
    pub connections: Option<u32>,
}

/// Limits beyond which a repetition is invalid.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Processor time of a generator thread per time; 95 % by default. A generator without spare time measures itself.
    #[serde(default)]
    pub generator_cpu: Option<Percent>,
    /// 99th percentile of the schedule lag in an open loop; no limit by default.
    #[serde(default)]
    pub lag_p99: Option<Duration>,
    /// Share of what was asked for that may be answered wrongly or not at all (errors, unsent and open at the end), in each
    /// phase behind the warm-up; 1 % by default.
    #[serde(default)]
    pub errors: Option<Share>,
    /// Share of a phase in which nobody was answered rightly while passes were due; by default 1 %, or as much as `errors` accepts. A stretch counts when it
    /// is longer than 250 ms and than twenty times the median response time.
    #[serde(default)]
    pub silence: Option<Share>,
    /// Share of a load's time on its connections that passes held which were open at its end and had taken longer than
    /// 250 ms and twenty times the median; by default 1 %, or as much as `errors` accepts.
    #[serde(default)]
    pub open: Option<Share>,
    /// Share of the processors' time that the hypervisor may take away during the load; no limit by default.
    #[serde(default)]
    pub host_steal: Option<Share>,
    /// Share of the processors' time that programs outside of the experiment may use during the load; no limit by default.
    #[serde(default)]
    pub host_load: Option<Share>,
    /// Whether the measurement must become steady.
    #[serde(default)]
    pub steady_state: bool,
    /// Share of the load's time in which some task may be ready and have no core; no limit by default.
    #[serde(default)]
    pub host_pressure_cpu: Option<Share>,
    /// Share of the load's time in which all tasks that are not idle may wait for memory; 10 % by default.
    #[serde(default)]
    pub host_pressure_memory: Option<Share>,
    /// Share of the load's time in which all tasks that are not idle may wait for storage; no limit by default.
    #[serde(default)]
    pub host_pressure_io: Option<Share>,
    /// The least frequency of the cores while they work, as a share of their highest; no limit by default.
    #[serde(default)]
    pub host_frequency: Option<Percent>,
    /// How often the processors may be throttled during the load, or `any`; not once by default.
    #[serde(default)]
    pub host_throttled: Option<Times>,
    /// Share by which a server's own count of requests may differ from what was sent to it; 0 % by default.
    #[serde(default)]
    pub reconcile: Option<Share>,
}

/// What is recorded beside the windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Record {
    /// Also one row per request and per pass, in `requests.parquet`: percentiles are then exact, and each request can be
    /// looked at. A row takes 20 to 30 bytes on disk.
    #[serde(default)]
    pub requests: bool,
    /// Everything is recorded in a file system in memory of this size first, and moved to the results when a repetition
    /// ends: no disk is written to during the load. When it is full, recording goes on on disk and the repetition does
    /// not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tmpfs: Option<Size>,
}

/// The phases of a repetition, in this order.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phases {
    /// Recorded, marked, and left out of the statistics. `auto`: the windows of `during` before the load became steady.
    #[serde(default)]
    pub warm_up: Option<WarmUpLength>,
    /// Before what is of interest.
    #[serde(default)]
    pub before: Option<Duration>,
    /// What is of interest.
    pub during: Option<Duration>,
    /// After it.
    #[serde(default)]
    pub after: Option<Duration>,
}

/// What comes before the measurement: an amount or a duration, or `auto`.
#[derive(Clone, Debug)]
pub enum WarmUp {
    /// Whatever was before the steady state.
    Auto,
    /// As long as this says.
    Until(WarmUpEnd),
}

/// The end of a warm-up: exactly one of both.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WarmUpEnd {
    /// How many passes.
    #[serde(default)]
    pub amount: Option<u64>,
    /// How long.
    #[serde(default)]
    pub duration: Option<Duration>,
}

impl<'de> serde::Deserialize<'de> for WarmUp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = WarmUp;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`auto`, or `amount` or `duration`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WarmUp, E> {
                if text == "auto" {
                    return Ok(WarmUp::Auto);
                }
                let hint = if vocabulary::units::parse_duration(text).is_some() {
                    format!("||write `warm-up: {{duration: {text}}}`")
                } else {
                    String::new()
                };
                Err(E::custom(format!("the text \"{text}\" does not fit here||expected `auto`, or `amount` or `duration`{hint}")))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<WarmUp, A::Error> {
                WarmUpEnd::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(WarmUp::Until)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for WarmUp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WarmUp".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let end = generator.subschema_for::<WarmUpEnd>();
        schemars::json_schema!({"anyOf": [{"const": "auto"}, end]})
    }
}

/// One step, as the protocol has it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is asked for: each protocol reads its own")]
enum AnyStep {
    Request(Step),
    Redis(redis::RedisStep),
}

/// One request: exactly one method with its path; with `framed` exactly one of `send`, `receive`.
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
    /// With `framed`: a message that is sent.
    #[serde(default)]
    pub send: Option<Body>,
    /// With `framed`: `true` waits for a message without sending one.
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
    pub timeout: Option<Duration>,
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
