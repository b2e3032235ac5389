//! What each part of a scenario may say, as serde types. Unknown keys are mistakes everywhere.
//!
//! These types are read *after* `${…}` was evaluated, so they hold plain values; the JSON Schema
//! (see `json_schema`) allows an expression wherever a value may stand.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration as StdDuration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::units;

/// An experiment: one file, one question.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Experiment {
    /// Its name; also the folder's name under `results/` and `graphs/`.
    pub experiment: String,
    /// The question that it answers; the title of every graph.
    #[serde(default)]
    pub question: String,
    /// The varied dimensions. A cell is one level of each.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Factor>")]
    pub factors: serde_json::Map<String, Json>,
    /// Cells to leave out: all those that match one of these maps from factor to level(s).
    #[serde(default)]
    pub exclude: Vec<BTreeMap<String, Json>>,
    /// Cells to add: each names a level of every factor.
    #[serde(default)]
    pub include: Vec<BTreeMap<String, Json>>,
    /// How often each cell is executed, every time with fresh processes.
    #[serde(default = "one")]
    pub repetitions: u32,
    /// In which order repetitions are executed.
    #[serde(default)]
    pub order: Order,
    /// Where scratch directories are made.
    #[serde(default)]
    pub scratch: Scratch,
    /// Seed of everything random. Without one, each run draws its own and records it.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Folder of a cell below `cells/`, such as `${processes}p/${action}`.
    #[serde(default)]
    pub layout: Option<String>,
    /// Length of the windows in which requests are counted. 500 ms by default.
    #[serde(default)]
    pub window: Option<Duration>,
    /// Names for what is used more than once. Evaluated where they are used.
    #[serde(default, rename = "let")]
    #[schemars(with = "BTreeMap<String, Json>")]
    pub lets: serde_json::Map<String, Json>,
    /// What is under test, and what stands around it.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Target>")]
    pub targets: serde_json::Map<String, Json>,
    /// The requests and how they arrive.
    #[schemars(with = "BTreeMap<String, Workload>")]
    pub workloads: serde_json::Map<String, Json>,
    /// What is done before.
    #[serde(default)]
    #[schemars(with = "Steps")]
    pub set_up: Json,
    /// What is done afterwards, also after a failure.
    #[serde(default)]
    #[schemars(with = "Steps")]
    pub clean_up: Json,
    /// The pictures that answer the question.
    #[serde(default)]
    #[schemars(with = "Vec<Graph>")]
    pub graphs: Vec<Json>,
}

fn one() -> u32 {
    1
}

/// The order of repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Round after round over all cells, each round shuffled: slow changes of the machine meet all cells alike.
    #[default]
    Interleaved,
    /// Round after round, in the order of the file.
    Rounds,
    /// All repetitions of a cell, then the next cell.
    Sequential,
}

/// Where scratch directories are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scratch {
    /// In the system's temporary directory, or in `$RUNNER_SCRATCH`.
    #[default]
    Disk,
    /// In memory (`/dev/shm`), so that files cost the same in every repetition.
    Memory,
}

/// Levels of a factor, for the JSON Schema; read by hand in `plan::factors`.
#[derive(JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
#[allow(dead_code)]
pub enum Factor {
    /// All levels, all of them executed by default.
    Levels(Vec<Json>),
    /// All levels, and those that are executed by default.
    Chosen {
        /// All levels.
        levels: Vec<Json>,
        /// The levels executed without `--set`.
        default: Vec<Json>,
    },
    /// Whole numbers from one to another.
    Range {
        /// The first level.
        from: f64,
        /// The last level, inclusive.
        to: f64,
        /// What is added from level to level; 1 when neither this nor `factor` is given.
        step: Option<f64>,
        /// By what each level is multiplied to give the next.
        factor: Option<f64>,
    },
}

/// Something under test or around it.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// A server that ships with runner. `--port` is added when the target has a port.
    #[serde(default)]
    pub fixture: Option<String>,
    /// A program and its arguments. No shell.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// `http://host:port` of something that already runs; it is neither started nor watched.
    #[serde(default)]
    pub address: Option<String>,
    /// How many processes. Each knows its `${replica}`, counted from 1.
    #[serde(default)]
    pub replicas: Option<u32>,
    /// The port on which it listens.
    #[serde(default)]
    pub port: Option<Port>,
    /// Further ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, Port>,
    /// Arguments after those of `fixture` or `command`.
    #[serde(default)]
    pub args: Vec<Text>,
    /// Environment variables, added to the runner's own.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Working directory.
    #[serde(default)]
    pub dir: Option<String>,
    /// Files made in the scratch directory from templates: name to template file.
    #[serde(default)]
    pub render: BTreeMap<String, String>,
    /// Programs without which cells with this target are skipped, loudly.
    #[serde(default)]
    pub needs: Names,
    /// Targets that must be ready before this one is started.
    #[serde(default)]
    pub after: Names,
    /// How to know that it is ready. By default: its port accepts connections.
    #[serde(default)]
    pub ready: Option<Ready>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Processors on which it may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
}

/// How to know that a target is ready: exactly one probe.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ready {
    /// This port accepts connections.
    #[serde(default)]
    pub tcp: Option<Port>,
    /// `GET` of this path (or URL) answers with a status below 400.
    #[serde(default)]
    pub http: Option<String>,
    /// A line of its output matches this regular expression.
    #[serde(default)]
    pub log: Option<String>,
    /// This command ends with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// How long to wait; 10 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// How a target is stopped.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stop {
    /// The first signal; `TERM` by default.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// How long it may take before it is killed; 5 s by default.
    #[serde(default)]
    pub grace: Option<Duration>,
}

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Signal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Kill,
}

/// Steps at each level.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steps {
    /// Once, before the first or after the last repetition. Factors are not known here.
    #[serde(default)]
    pub run: Vec<Action>,
    /// Before the first and after the last repetition of a cell.
    #[serde(default)]
    pub cell: Vec<Action>,
    /// Before the targets of a repetition are started, or after they are stopped.
    #[serde(default)]
    pub repetition: Vec<Action>,
    /// Directly before or after the load, while the targets run.
    #[serde(default)]
    pub load: Vec<Action>,
}

/// One set-up or clean-up step: a command or a request.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// A program and its arguments; it must end with exit code 0.
    #[serde(default)]
    pub command: Option<Vec<Text>>,
    /// A command line for `sh -c`.
    #[serde(default)]
    pub shell: Option<String>,
    /// Working directory of the command.
    #[serde(default)]
    pub dir: Option<String>,
    /// Environment of the command.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// `GET` of a URL.
    #[serde(default)]
    pub get: Option<Text>,
    /// `PUT` to a URL.
    #[serde(default)]
    pub put: Option<Text>,
    /// `POST` to a URL.
    #[serde(default)]
    pub post: Option<Text>,
    /// `DELETE` of a URL.
    #[serde(default)]
    pub delete: Option<Text>,
    /// Headers of the request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Body of the request.
    #[serde(default)]
    pub body: Option<Body>,
    /// What the answer must be; status 2xx by default.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// How long it may take; 60 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// Requests and how they arrive.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Workload {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// `http://host:port`, or a list of them: connections are dealt out in turn.
    pub url: Names,
    /// How requests arrive.
    pub load: Load,
    /// The requests of one pass. Each is measured by itself, and the pass as a whole.
    pub steps: Vec<Step>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// How long a request may take; 30 s by default.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// Generator threads; 1 by default.
    #[serde(default)]
    pub threads: Option<u32>,
    /// Processors on which the generator may run.
    #[serde(default)]
    pub cpus: Vec<u32>,
}

/// How requests arrive, and how many or how long.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// Arrivals follow completions.
    pub closed: Closed,
    /// How many passes in all.
    #[serde(default)]
    pub amount: Option<u64>,
    /// How long.
    #[serde(default)]
    pub duration: Option<Duration>,
    /// What comes before the measurement; recorded, marked, and left out of the statistics.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
}

/// A closed loop.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Closed {
    /// Connections, each with one request at a time.
    pub connections: u32,
}

/// What comes before the measurement: an amount or a duration.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WarmUp {
    /// How many passes.
    #[serde(default)]
    pub amount: Option<u64>,
    /// How long.
    #[serde(default)]
    pub duration: Option<Duration>,
}

/// One request: exactly one method with its path.
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
    /// Headers of this request.
    #[serde(default)]
    pub headers: BTreeMap<String, Text>,
    /// Body of this request.
    #[serde(default)]
    pub body: Option<Body>,
    /// What the answer must be; anything else is an error. Status 2xx by default.
    #[serde(default)]
    pub expect: Option<Expect>,
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
    /// A JSON pointer (RFC 6901) into the body, as `/rev`.
    #[serde(default)]
    pub json: Option<String>,
    /// The value of a header.
    #[serde(default)]
    pub header: Option<String>,
    /// The first group (or the whole match) of a regular expression in the body.
    #[serde(default)]
    pub regex: Option<String>,
}

/// A picture: exactly one of `bars`, `ratio`, `lines`, `quantiles`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Graph {
    /// Grouped bars of this metric: the mean over repetitions with its 95 % interval.
    #[serde(default)]
    pub bars: Option<String>,
    /// Bars of this metric as a ratio to the `baseline` level of `series`.
    #[serde(default)]
    pub ratio: Option<String>,
    /// This metric over the time of a repetition.
    #[serde(default)]
    pub lines: Option<String>,
    /// The distribution of `response` or `service` time.
    #[serde(default)]
    pub quantiles: Option<String>,
    /// Factor (or `time`, or `step`) along the x axis.
    #[serde(default)]
    pub x: Option<String>,
    /// Factor (or `target`, or `step`) that gives the colours.
    #[serde(default)]
    pub series: Option<String>,
    /// Factors of which each level gets a picture of its own.
    #[serde(default)]
    pub facet: Names,
    /// The level of `series` to which `ratio` compares.
    #[serde(default)]
    pub baseline: Option<Json>,
    /// Only cells with these levels.
    #[serde(default, rename = "where")]
    pub only: BTreeMap<String, Json>,
    /// Only this step of the passes; the pass as a whole by default.
    #[serde(default)]
    pub step: Option<String>,
    /// Only this workload, where there are several.
    #[serde(default)]
    pub workload: Option<String>,
    /// A title of its own.
    #[serde(default)]
    pub title: Option<String>,
}

// ---- scalars with a notation of their own

/// Reads a scalar from text or a number, saying what was expected.
macro_rules! scalar {
    ($name:ident, $inner:ty, $expecting:literal, $schema:tt, |$text:ident| $from_text:expr, |$number:ident| $from_number:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct V;
                impl Visitor<'_> for V {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, $text: &str) -> Result<$name, E> {
                        let value: Option<$inner> = $from_text;
                        value.map($name).ok_or_else(|| {
                            let help = hint($text).map_or_else(String::new, |hint| format!("||{hint}"));
                            E::custom(format!("the text \"{}\" does not fit here||expected {}{help}", $text, $expecting))
                        })
                    }
                    fn visit_i64<E: de::Error>(self, $number: i64) -> Result<$name, E> {
                        let value: Option<$inner> = $from_number;
                        value.map($name).ok_or_else(|| {
                            E::custom(format!("the number {} does not fit here||expected {}", $number, $expecting))
                        })
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
                    }
                }
                deserializer.deserialize_any(V)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// Help for a notation that is nearly right.
fn hint(text: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    match &text[number.len()..] {
        "KB" | "K" | "k" | "kb" | "Kb" if !number.is_empty() => {
            let (number, unit) = (number.trim(), &text[number.len()..]);
            Some(format!("`{unit}` is ambiguous: write `{number}kB` for 1000 bytes each or `{number}KiB` for 1024"))
        }
        _ => None,
    }
}

/// A duration such as `500ms`, `2s`, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub StdDuration);
scalar!(
    Duration, StdDuration, "a duration with its unit, as `500ms`, `2s` or `1m30s`",
    {"type": ["string", "integer"], "description": "a duration with its unit, as 500ms, 2s or 1m30s"},
    |text| units::parse_duration(text),
    |number| (number == 0).then_some(StdDuration::ZERO)
);

/// A size such as `10KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub units::Bytes);
scalar!(
    Size, units::Bytes, "a size in bytes, as `512`, `10KiB` or `5MB`",
    {"type": ["string", "integer"], "description": "a size in bytes, as 512, 10KiB or 5MB"},
    |text| units::Bytes::parse(text),
    |number| u64::try_from(number).ok().map(units::Bytes)
);

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);
scalar!(
    Port, u16, "a port from 1 to 65535",
    {"type": ["integer", "string"], "description": "a port from 1 to 65535"},
    |text| text.parse().ok().filter(|p| *p > 0),
    |number| u16::try_from(number).ok().filter(|p| *p > 0)
);

/// A text; numbers and booleans are taken as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Text, E> {
                Ok(Text(v.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Text, E> {
                Ok(Text(v.to_string()))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

/// An HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);
scalar!(
    Status, u16, "a status from 100 to 599",
    {"type": "integer", "minimum": 100, "maximum": 599, "description": "a status from 100 to 599"},
    |text| text.parse().ok().filter(|s| (100..600).contains(s)),
    |number| u16::try_from(number).ok().filter(|s| (100..600).contains(s))
);

/// One item or a list of them, with what one item is called.
struct OneOrMany<T>(&'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{0}, or a list of them", self.0)
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::StrDeserializer::new(v))?])
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::U64Deserializer::new(v))?])
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Vec<T>, E> {
        Ok(vec![T::deserialize(de::value::I64Deserializer::new(v))?])
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Vec<T>, A::Error> {
        Err(de::Error::invalid_type(de::Unexpected::Map, &self))
    }
}

/// A name, or a list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany("a name", PhantomData)).map(Self)
    }
}

impl JsonSchema for Names {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Names".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
    }
}

/// A status, or a list of statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses(pub Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let statuses: Vec<Status> = deserializer.deserialize_any(OneOrMany("a status from 100 to 599", PhantomData))?;
        Ok(Self(statuses.into_iter().map(|s| s.0).collect()))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Statuses".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}}
        ]})
    }
}
