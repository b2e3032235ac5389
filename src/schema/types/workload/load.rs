//! How requests arrive, how many or how long, and in which phases.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Deserialize;

use super::Replay;
use crate::types::{Duration, Per, Percent, Rate, RateOrNone, RateRange, Spacing, Text, WarmUpLength};

/// How passes arrive, and how many or for how long: exactly one of `closed`, `open`, `replay` and `find`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Load {
    /// A closed loop: arrivals follow completions. A connection starts its next pass when the last one has ended.
    #[serde(default)]
    #[schemars(extend("examples" = [{"connections": 10}]))]
    pub closed: Option<Closed>,
    /// An open loop: arrivals follow a schedule, whatever the answers do.
    #[serde(default)]
    #[schemars(extend("examples" = [{"rate": "500/s", "arrivals": "poisson"}]))]
    pub open: Option<Open>,
    /// An open loop whose requests and instants are those of a log, over HTTP. The log says how long it is, unless `amount`,
    /// `duration` or `phases` end it earlier. See [Replay](replay.md).
    #[serde(default)]
    #[schemars(extend("examples" = [{"log": "access.log", "format": "combined", "speed": 2}]))]
    pub replay: Option<Replay>,
    /// A search for the highest rate that holds. It has no `amount` and no `duration`, and cannot be used with `command` or
    /// `phases`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"rate": "100..20000", "while": {"response_p99": "< 50ms", "errors": "< 0.1%"}}]))]
    pub find: Option<Find>,
    /// How many passes in all. `closed` and `open` need exactly one of `amount` and `duration`, unless `phases`, or `steps` or
    /// `stages` of the load, say how long it is. With `per: connection` it is the amount of each connection.
    #[serde(default)]
    #[schemars(extend("examples" = [1000]))]
    pub amount: Option<u64>,
    /// How long the load is. `closed` and `open` need exactly one of `amount` and `duration`, unless `phases`, or `steps` or
    /// `stages` of the load, say how long it is.
    #[serde(default)]
    #[schemars(extend("examples" = ["10s"]))]
    pub duration: Option<Duration>,
    /// What comes before the measurement: `{amount: …}`, `{duration: …}` or `auto`. It is recorded, marked, and left out of
    /// the statistics. `auto` leaves out the windows before the load became [steady](limits.md#steady); it needs at least 10
    /// windows.
    #[serde(default)]
    #[schemars(extend("examples" = [{"duration": "2s"}]))]
    pub warm_up: Option<WarmUp>,
    /// How much longer passes may take that are under way when a load with a duration ends. In an open loop it also holds for
    /// passes that wait to be sent. A pass that is not sent by then counts as unsent, and one that is not answered by then as
    /// open, with the time that it had waited. A closed loop with an `amount` has no drain; in an open one, passes that wait are
    /// sent for at least 1 s after the last one was due, and all answers are awaited.
    #[serde(default)]
    #[schemars(extend("x-default" = "1s; of a `command` its `timeout`", "examples" = ["0s"]))]
    pub drain: Option<Duration>,
}

/// A closed loop: each connection starts a pass when its last one has ended.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Closed {
    /// How many connections, each with one pass at a time: 1 to 1 000 000. It needs this or `stages`.
    #[serde(default)]
    #[schemars(extend("examples" = [10]))]
    pub connections: Option<u32>,
    /// How many connections over time, stage by stage: see [Stages](load.md#stages). The stages say how long the load is: it has
    /// neither `amount` nor `duration`.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"to": 100, "for": "30s"}, {"connections": 100, "for": "1m"}, {"to": 0, "for": "10s"}]]))]
    pub stages: Option<Vec<ConnectionStage>>,
    /// How long a connection waits from the end of a pass to the start of the next: `{constant: 1s}` or `{exponential: 1s}`.
    #[serde(default)]
    #[schemars(extend("x-default" = "no wait", "examples" = [{"exponential": "1s"}]))]
    pub think: Option<Think>,
    /// The time from the start of the first connection to the start of the last one.
    #[serde(default)]
    #[schemars(extend("x-default" = "0s", "examples" = ["5s"]))]
    pub ramp: Option<Duration>,
}

/// How long a connection waits between two passes: exactly one of `constant` and `exponential`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Think {
    /// Always this long.
    #[serde(default)]
    #[schemars(extend("examples" = ["1s"]))]
    pub constant: Option<Duration>,
    /// At random, exponentially distributed with this mean.
    #[serde(default)]
    #[schemars(extend("examples" = ["1s"]))]
    pub exponential: Option<Duration>,
}

/// A stage of a closed loop: exactly one of `to` and `connections`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct ConnectionStage {
    /// The number of connections at the end of the stage. It changes steadily from that at the end of the stage before, or from
    /// 0.
    #[serde(default)]
    #[schemars(extend("examples" = [100]))]
    pub to: Option<u32>,
    /// The number of connections in all of the stage.
    #[serde(default)]
    #[schemars(extend("examples" = [100]))]
    pub connections: Option<u32>,
    /// How long the stage is.
    #[serde(rename = "for")]
    #[schemars(extend("examples" = ["30s"]))]
    pub length: Duration,
}

/// A stage of an open loop: exactly one of `to` and `rate`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct RateStage {
    /// The rate at the end of the stage, also `0`. It changes steadily from that at the end of the stage before, or from 0.
    #[serde(default)]
    #[schemars(extend("examples" = ["500/s"]))]
    pub to: Option<RateOrNone>,
    /// The rate in all of the stage, also `0`.
    #[serde(default)]
    #[schemars(extend("examples" = ["500/s"]))]
    pub rate: Option<RateOrNone>,
    /// How long the stage is.
    #[serde(rename = "for")]
    #[schemars(extend("examples" = ["30s"]))]
    pub length: Duration,
}

/// An open loop, whose passes follow a schedule: exactly one of `rate`, `ramp`, `steps`, `stages` and `every`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Open {
    /// A constant rate: passes per time, from 1 per day (`0.042/h`) to 100 000 000 per second.
    #[serde(default)]
    #[schemars(extend("examples" = ["500/s"]))]
    pub rate: Option<Rate>,
    /// A rate that rises or falls steadily over the load.
    #[serde(default)]
    #[schemars(extend("examples" = [{"from": "10/s", "to": "1000/s"}]))]
    pub ramp: Option<Ramp>,
    /// One rate after the other. The steps say how long the load is: it has neither `amount` nor `duration`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"rates": [100, 200, 400], "each": "10s"}]))]
    pub steps: Option<RateSteps>,
    /// Rates that rise, hold and fall, stage by stage: see [Stages](load.md#stages). The stages say how long the load is: it has
    /// neither `amount` nor `duration`.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"to": "500/s", "for": "30s"}, {"rate": "500/s", "for": "1m"}, {"to": 0, "for": "30s"}]]))]
    pub stages: Option<Vec<RateStage>>,
    /// One pass in each stretch of this length. `arrivals` cannot be used with it.
    #[serde(default)]
    #[schemars(extend("examples" = ["100ms"]))]
    pub every: Option<Duration>,
    /// With `every`: each pass is late by a random part of this time, which is at most that of `every`.
    #[serde(default)]
    #[schemars(extend("x-default" = "0s", "examples" = ["50ms"]))]
    pub jitter: Option<Duration>,
    /// How passes are spaced: evenly (`constant`), at random with exponential gaps (`poisson`), or as the keys of a person
    /// who types (`typed`: see [websocket](websocket.md#typed-arrivals)).
    #[serde(default)]
    #[schemars(extend("x-default" = "constant", "examples" = ["poisson"]))]
    pub arrivals: Option<Spacing>,
    /// How many connections, 1 to 1 000 000: the most passes at a time. Arrivals that find all of them busy wait, and the
    /// wait counts. A connection of a websocket with `match` has any number of passes.
    #[serde(default)]
    #[schemars(extend("x-default" = "64", "examples" = [1000]))]
    pub connections: Option<u32>,
    /// `connection`: each connection has its own schedule, and the rate and `amount` are those of one connection. It needs a
    /// websocket with `match`.
    #[serde(default)]
    #[schemars(extend("x-default" = "one schedule for all", "examples" = ["connection"]))]
    pub per: Option<Per>,
    /// With `per`: the time from the start of the first connection's schedule to the start of the last one's.
    #[serde(default)]
    #[schemars(extend("x-default" = "one interval of the rate", "examples" = ["2s"]))]
    pub stagger: Option<Duration>,
}

/// A rate that rises or falls steadily over the load.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Ramp {
    /// The rate at the start; it may be `0`.
    #[schemars(extend("examples" = ["10/s"]))]
    pub from: RateOrNone,
    /// The rate at the end; it may be `0`.
    #[schemars(extend("examples" = ["1000/s"]))]
    pub to: RateOrNone,
}

/// Rates that are held one after the other.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct RateSteps {
    /// The rates, in order: at least one.
    #[schemars(extend("examples" = [[100, 200, 400]]))]
    pub rates: Vec<Rate>,
    /// How long each rate is held.
    #[schemars(extend("examples" = ["10s"]))]
    pub each: Duration,
    /// Whether the rates come in an order that is drawn from the seed, so that an effect of time is not mistaken for
    /// one of the rate.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub shuffled: bool,
}

/// A search for the highest rate that holds.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct Find {
    /// The lowest and the highest rate of the search.
    #[schemars(extend("examples" = ["100..20000"]))]
    pub rate: RateRange,
    /// What must be true of a rate that holds: metrics with their bounds, at least one. `errors` is the share that was wrong,
    /// unsent or open. The times are `response_`, `service_` and `lag_` with `p50`, `p90`, `p95`, `p99`, `p999` or `max`. A
    /// websocket with `match` also has `lost` and `out_of_order`, for which `0` is a bound too.
    #[serde(rename = "while")]
    #[schemars(extend("examples" = [{"response_p99": "< 50ms", "errors": "< 0.1%"}]))]
    pub conditions: BTreeMap<String, Text>,
    /// How long each rate is tried: at least 100 ms.
    #[serde(default)]
    #[schemars(extend("x-default" = "5s", "examples" = ["10s"]))]
    pub trial: Option<Duration>,
    /// How close to each other the highest rate that holds and the lowest that fails must be: 0.1 % to 100 %.
    #[serde(default)]
    #[schemars(extend("x-default" = "5%", "examples" = ["2%"]))]
    pub precision: Option<Percent>,
    /// How passes are spaced: `constant`, `poisson` or `typed`, as in an open loop.
    #[serde(default)]
    #[schemars(extend("x-default" = "constant", "examples" = ["poisson"]))]
    pub arrivals: Option<Spacing>,
    /// How many connections, as in an open loop.
    #[serde(default)]
    #[schemars(extend("x-default" = "64", "examples" = [1000]))]
    pub connections: Option<u32>,
    /// `connection`: each connection has its own schedule, and the rate is that of one connection. It needs a websocket with
    /// `match`.
    #[serde(default)]
    #[schemars(extend("x-default" = "one schedule for all", "examples" = ["connection"]))]
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
        schemars::json_schema!({
            "anyOf": [{"const": "auto"}, end],
            "description": "What comes before the measurement: a number of passes, a time, or `auto`.",
            "examples": ["auto", {"duration": "2s"}]
        })
    }
}

/// How long a warm-up is: exactly one of `amount` and `duration`.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "load"))]
pub struct WarmUpEnd {
    /// How many passes the warm-up has. A websocket with `match` needs a `duration` instead.
    #[serde(default)]
    #[schemars(extend("examples" = [100]))]
    pub amount: Option<u64>,
    /// How long the warm-up is.
    #[serde(default)]
    #[schemars(extend("examples" = ["2s"]))]
    pub duration: Option<Duration>,
}

/// How long each phase of a repetition is, in the order `warm-up`, `before`, `during`, `after`. Only `during` is required.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "phases"))]
pub struct Phases {
    /// The phase that is recorded, marked, and left out of the statistics. `auto` takes the windows of `during` before
    /// the load became steady as the warm-up; a phase `before` cannot be used with it.
    #[serde(default)]
    #[schemars(extend("x-default" = "no such phase", "examples" = ["2s"]))]
    pub warm_up: Option<WarmUpLength>,
    /// The phase before the one of interest.
    #[serde(default)]
    #[schemars(extend("x-default" = "no such phase", "examples" = ["5s"]))]
    pub before: Option<Duration>,
    /// The phase of interest. It is required.
    #[schemars(extend("examples" = ["10s"]))]
    pub during: Option<Duration>,
    /// The phase after the one of interest.
    #[serde(default)]
    #[schemars(extend("x-default" = "no such phase", "examples" = ["5s"]))]
    pub after: Option<Duration>,
}
