//! Events of the VOEvent Transport Protocol.

use schemars::JsonSchema;

use crate::types::{Duration, Size, Text};

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
