//! Paths whose delay, loss and rate are emulated.

use schemars::JsonSchema;

use crate::types::{BitRate, Duration, LinkMechanism, Names, Share};

/// A path whose delay, jitter, losses and rate are emulated, and measured before each repetition.
///
/// `delay`, `jitter`, `loss` and `rate` apply to the direction from `from` to `to`; `back` holds those of the other direction. So
/// the round trip is `delay` plus `back.delay` longer.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "links"))]
pub struct Link {
    /// Whether the link exists in a cell: an expression that gives `true` or `false`.
    #[serde(default)]
    #[schemars(extend("x-default" = "true", "examples" = ["${rtt > 0}"]))]
    pub when: Option<bool>,
    /// The target at the near side.
    #[serde(default)]
    #[schemars(extend("x-default" = "the load", "examples" = ["broker"]))]
    pub from: Option<String>,
    /// One or more targets at the far side. They share one network, in which each finds the others at 127.0.0.1.
    #[schemars(extend("examples" = [["broker", "cache"]]))]
    pub to: Names,
    /// How long each packet towards the far side is held back.
    #[serde(default)]
    #[schemars(extend("examples" = ["100ms"]))]
    pub delay: Option<Duration>,
    /// How much the delay towards the far side varies: evenly from `delay` minus this to `delay` plus this, so at most `delay`.
    /// Packets keep their order.
    #[serde(default)]
    #[schemars(extend("examples" = ["10ms"]))]
    pub jitter: Option<Duration>,
    /// The share of packets towards the far side that are lost, each independently of the others. Less than 100 %; not possible
    /// with `mechanism: relay`.
    #[serde(default)]
    #[schemars(extend("x-default" = "0%", "examples" = ["1%"]))]
    pub loss: Option<Share>,
    /// How many bits per second pass towards the far side, Ethernet headers included.
    #[serde(default)]
    #[schemars(extend("x-default" = "unlimited", "examples" = ["20Mbit/s"]))]
    pub rate: Option<BitRate>,
    /// Delay, jitter, losses and rate of the other direction, towards the near side.
    #[serde(default)]
    #[schemars(extend("examples" = [{"delay": "1ms"}]))]
    pub back: LinkShape,
    /// How the link is made: `auto` (the first of the others that works on this machine), `netem`, `nfqueue` or `relay`. See
    /// [Mechanisms](links.md#mechanisms).
    #[serde(default)]
    #[schemars(extend("examples" = ["netem"]))]
    pub mechanism: LinkMechanism,
    /// How far the measured link may be from the scenario. Beyond that the repetition is invalid.
    #[serde(default)]
    #[schemars(extend("x-default" = "see [Tolerance](links.md#tolerance)", "examples" = [{"delay": "2ms"}]))]
    pub tolerance: LinkTolerance,
}

/// Delay, jitter, losses and rate of one direction of a link.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "links"))]
pub struct LinkShape {
    /// How long each packet is held back.
    #[serde(default)]
    #[schemars(extend("examples" = ["1ms"]))]
    pub delay: Option<Duration>,
    /// How much the delay varies: evenly from `delay` minus this to `delay` plus this, so at most `delay`. Packets keep their
    /// order.
    #[serde(default)]
    #[schemars(extend("examples" = ["200us"]))]
    pub jitter: Option<Duration>,
    /// The share of packets that are lost, each independently of the others. Less than 100 %; not possible with
    /// `mechanism: relay`.
    #[serde(default)]
    #[schemars(extend("x-default" = "0%", "examples" = ["0.5%"]))]
    pub loss: Option<Share>,
    /// How many bits per second pass, Ethernet headers included.
    #[serde(default)]
    #[schemars(extend("x-default" = "unlimited", "examples" = ["100Mbit/s"]))]
    pub rate: Option<BitRate>,
}

/// How far a measured link may be from what the scenario says. Beyond that the repetition is invalid.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "links"))]
pub struct LinkTolerance {
    /// How far the median round trip may be from the delays of both directions together.
    #[serde(default)]
    #[schemars(extend("x-default" = "1 ms, or 2 % of the round trip where that is more", "examples" = ["2ms"]))]
    pub delay: Option<Duration>,
    /// How far the share of lost packets may be from `loss`, in percentage points.
    #[serde(default)]
    #[schemars(extend("x-default" = "a tenth of the larger `loss`, at least 0.1 %", "examples" = ["0.5%"]))]
    pub loss: Option<Share>,
    /// How far the rate may be from `rate`, as a share of it.
    #[serde(default)]
    #[schemars(extend("x-default" = "10 %", "examples" = ["5%"]))]
    pub rate: Option<Share>,
}
