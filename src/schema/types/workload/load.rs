//! How requests arrive, how many or how long, and in which phases.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Deserialize;

use crate::types::{Duration, Per, Percent, Rate, RateRange, Spacing, Text, WarmUpLength};

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
    /// What a connection waits from the end of a pass to the start of the next.
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
    /// `connection`: each connection has a schedule of its own, and the rate and `amount` are those of one. Only with
    /// `websocket` and `match`.
    #[serde(default)]
    pub per: Option<Per>,
    /// With `per`: from the first connection's start to the last one's; one interval of the rate by default.
    #[serde(default)]
    pub stagger: Option<Duration>,
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
    /// `connection`: the rate is that of each connection.
    #[serde(default)]
    pub per: Option<Per>,
}

/// What comes before the measurement: an amount or a duration, or `auto`.
#[derive(Clone, Debug)]
pub enum WarmUp {
    /// Whatever was before the steady state.
    Auto,
    /// As long as this says.
    Until(WarmUpEnd),
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
