//! What a pass does besides its steps: pauses, groups, conditions, kinds of passes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use crate::types::{Duration, Text};

/// The steps of a workload: a list, or with `mix` a list for each kind of pass.
#[derive(Clone, Debug)]
pub enum PassSteps {
    /// Those of every pass.
    List(Vec<Json>),
    /// Those of each kind of pass.
    Kinds(BTreeMap<String, Json>),
}

impl Default for PassSteps {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl PassSteps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items there are: steps, pauses and groups, or kinds.
    pub fn len(&self) -> usize {
        match self {
            Self::List(steps) => steps.len(),
            Self::Kinds(kinds) => kinds.len(),
        }
    }
}

impl<'de> Deserialize<'de> for PassSteps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = PassSteps;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of steps, or with `mix` a list for each kind of pass")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<PassSteps, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(items)).map(PassSteps::List)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PassSteps, A::Error> {
                BTreeMap::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(PassSteps::Kinds)
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// An item of `steps` that is not a request, message or command: a pause.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "behaviour"))]
pub struct PauseItem {
    /// How long nothing is sent before the next step: a duration, or a distribution. A pause is part of no step's time, and
    /// not of the pass's.
    #[schemars(extend("examples" = ["1s", {"log-normal": {"median": "2s", "sigma": 0.8}}]))]
    pub pause: Pause,
}

/// PassSteps that belong together: repeated, or left out of passes in which a condition does not hold. It needs `repeat`, `when` or
/// both.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "behaviour"))]
pub struct GroupItem {
    /// How often the steps of the group are executed, one round after the other: at least once.
    #[serde(default)]
    #[schemars(extend("x-default" = "1", "examples" = [3]))]
    pub repeat: Option<u32>,
    /// The group is left out of a pass in which this does not hold: see [Conditions](behaviour.md#conditions).
    #[serde(default)]
    #[schemars(extend("x-default" = "always", "examples" = [{"stock": "> 0"}]))]
    pub when: Option<When>,
    /// The steps of the group: as in `steps` of the workload, pauses and groups included.
    #[schemars(with = "Vec<super::AnyStep>", extend("examples" = [[{"get": "/items/${item}"}, {"pause": "1s"}]]))]
    pub steps: Vec<Json>,
}

/// When a step or a group is part of a pass.
#[derive(Clone, Debug)]
pub enum When {
    /// In every pass, or in none.
    Known(bool),
    /// In passes in which all of these hold: names of values, and how each is compared.
    Values(BTreeMap<String, Text>),
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = When;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("conditions such as `{stock: \"> 0\"}`, or `true` or `false`")
            }
            fn visit_bool<E: serde::de::Error>(self, known: bool) -> Result<When, E> {
                Ok(When::Known(known))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<When, E> {
                let help = match text.split_once(char::is_whitespace) {
                    Some((name, rest)) if !name.is_empty() => {
                        format!("||write `when: {{{name}: \"{}\"}}`", rest.trim())
                    }
                    _ => String::new(),
                };
                let expected = "conditions such as `{stock: \"> 0\"}`";
                Err(E::custom(format!("the text \"{text}\" does not fit here||expected {expected}{help}")))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<When, A::Error> {
                BTreeMap::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(When::Values)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "When".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Text>();
        json_schema!({
            "anyOf": [
                {"type": "object", "additionalProperties": text},
                {"type": "boolean"},
                {"type": "string", "pattern": "^\\$\\{"}
            ],
            "description": "When a step or group is part of a pass: for each value a comparison (`==`, `!=`, `<`, `<=`, `>`, `>=`), all of which must hold.",
            "examples": [{"stock": "> 0"}]
        })
    }
}

/// How long a pause is: a duration, or a distribution.
#[derive(Clone, Debug)]
pub enum Pause {
    /// Always this long.
    Constant(Duration),
    /// As a distribution says.
    Drawn(Box<DrawnPause>),
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Pause;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `1s`, or a distribution such as `{exponential: 1s}`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Pause, E> {
                Duration::deserialize(serde::de::value::StrDeserializer::new(text)).map(Pause::Constant)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Pause, E> {
                Duration::deserialize(serde::de::value::I64Deserializer::new(number)).map(Pause::Constant)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Pause, E> {
                Duration::deserialize(serde::de::value::U64Deserializer::new(number)).map(Pause::Constant)
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Pause, E> {
                Err(E::custom(format!(
                    "the number {number} does not fit here||expected a duration with its unit, such as `500ms`"
                )))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Pause, A::Error> {
                DrawnPause::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    .map(|drawn| Pause::Drawn(Box::new(drawn)))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Pause {
    fn schema_name() -> Cow<'static, str> {
        "Pause".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (duration, drawn) = (generator.subschema_for::<Duration>(), generator.subschema_for::<DrawnPause>());
        json_schema!({
            "anyOf": [duration, drawn],
            "description": "How long a pause is: a duration, or a distribution.",
            "examples": ["1s", {"exponential": "1s"}]
        })
    }
}

/// The distribution of pauses, drawn from the seed: exactly one of `constant`, `exponential`, `log-normal` and `recorded`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "behaviour"))]
pub struct DrawnPause {
    /// Always this long.
    #[serde(default)]
    #[schemars(extend("examples" = ["1s"]))]
    pub constant: Option<Duration>,
    /// Exponentially distributed with this mean.
    #[serde(default)]
    #[schemars(extend("examples" = ["1s"]))]
    pub exponential: Option<Duration>,
    /// Log-normally distributed, as the pauses of people are: most are short, and a few are very long.
    #[serde(default)]
    #[schemars(extend("examples" = [{"median": "2s", "p95": "15s"}]))]
    pub log_normal: Option<LogNormal>,
    /// As measured: a list of durations, or a file with one duration (or number of seconds) on each line. Each pause is one of
    /// them, drawn with equal chances.
    #[serde(default)]
    #[schemars(extend("examples" = [["800ms", "2s", "1m"], "data/pauses.txt"]))]
    pub recorded: Option<Recorded>,
}

/// A log-normal distribution: its median, and exactly one of `sigma` and `p95`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "behaviour"))]
pub struct LogNormal {
    /// Half of the pauses are shorter.
    #[schemars(extend("examples" = ["2s"]))]
    pub median: Duration,
    /// The standard deviation of the natural logarithm: above 0, at most 5.
    #[serde(default)]
    #[schemars(extend("examples" = [0.8]))]
    pub sigma: Option<f64>,
    /// Of 20 pauses, 19 are shorter. It is longer than the median.
    #[serde(default)]
    #[schemars(extend("examples" = ["15s"]))]
    pub p95: Option<Duration>,
}

/// Measured pauses.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// In the scenario itself.
    List(Vec<Duration>),
    /// In a file.
    File(String),
}

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Recorded;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of durations such as `[800ms, 2s]`, or the name of a file")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Recorded, E> {
                match vocabulary::units::parse_duration(text) {
                    Some(_) => Err(E::custom(format!(
                        "the text \"{text}\" does not fit here||expected a list of durations, or the name of a file||write `[{text}]`"
                    ))),
                    None => Ok(Recorded::File(text.to_owned())),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Recorded, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(items)).map(Recorded::List)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl JsonSchema for Recorded {
    fn schema_name() -> Cow<'static, str> {
        "RecordedPauses".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let duration = generator.subschema_for::<Duration>();
        json_schema!({
            "anyOf": [{"type": "array", "items": duration}, {"type": "string"}],
            "description": "Measured pauses: a list of durations, or the name of a file with one on each line.",
            "examples": [["800ms", "2s"], "data/pauses.txt"]
        })
    }
}

/// The weights of the kinds of passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight(pub f64);

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if !number.is_finite() || number < 0.0 {
            let found = format!("the number {number} does not fit here");
            return Err(D::Error::custom(format!("{found}||expected a weight of 0 or more, such as `70`")));
        }
        Ok(Self(number))
    }
}

impl JsonSchema for Weight {
    fn schema_name() -> Cow<'static, str> {
        "Weight".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0, "description": "a weight of 0 or more, such as 70", "examples": [70]})
    }
}
