//! Paths whose delay, loss and rate are emulated.

use schemars::JsonSchema;

use crate::types::{BitRate, Duration, LinkMechanism, Names, Share};

/// A path whose delay, loss and rate are emulated, and measured before each repetition.
///
/// What stands here is added from `from` towards `to`; in the other direction nothing is, unless `back` says so. So the
/// round trip is `delay` longer.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Only in cells in which this is true.
    #[serde(default)]
    pub when: Option<bool>,
    /// The target at the near side; the load by default.
    #[serde(default)]
    pub from: Option<String>,
    /// The targets at the far side. They share a network of their own, in which each finds the others at `127.0.0.1`.
    pub to: Names,
    /// How long each packet is held back.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// By how much the delay varies, more or less.
    #[serde(default)]
    pub jitter: Option<Duration>,
    /// The share of packets that are lost.
    #[serde(default)]
    pub loss: Option<Share>,
    /// How many bits per second go through.
    #[serde(default)]
    pub rate: Option<BitRate>,
    /// The same for the other direction.
    #[serde(default)]
    pub back: LinkShape,
    /// How it is made; `auto` by default: the first of `netem`, `nfqueue`, `relay` that works.
    #[serde(default)]
    pub mechanism: LinkMechanism,
    /// How far what is measured may be from what is asked; beyond that the repetition is invalid.
    #[serde(default)]
    pub tolerance: LinkTolerance,
}

/// One direction of a link.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkShape {
    /// How long each packet is held back.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// By how much the delay varies, more or less.
    #[serde(default)]
    pub jitter: Option<Duration>,
    /// The share of packets that are lost.
    #[serde(default)]
    pub loss: Option<Share>,
    /// How many bits per second go through.
    #[serde(default)]
    pub rate: Option<BitRate>,
}

/// How far a link may be from what is asked.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LinkTolerance {
    /// Of the median round trip; by default 1 ms, or 2 % where that is more.
    #[serde(default)]
    pub delay: Option<Duration>,
    /// Of the share of lost packets; by default a tenth of it, at least 0.1 %.
    #[serde(default)]
    pub loss: Option<Share>,
    /// Of the rate, as a share of it; 10 % by default.
    #[serde(default)]
    pub rate: Option<Share>,
}
