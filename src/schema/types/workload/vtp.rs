//! Events of the VOEvent Transport Protocol.

use schemars::JsonSchema;

use crate::types::{Duration, Size, Text};

/// Events of the VOEvent Transport Protocol: exactly one of `to` (an author) and `from` (a subscriber).
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "vtp"))]
pub struct Vtp {
    /// The workload is an author: `host:port` at which a broker takes events. Each pass sends one event over its own
    /// connection, in the steps `connect`, `send` and `answer`. A nak is the outcome `nak`, with its reason.
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:8098"]))]
    pub to: Option<String>,
    /// The workload is a subscriber: `host:port` at which a broker sends events. It waits for all events of the author and
    /// has no `load`. Each arrival is a request of the step `event`.
    #[serde(default)]
    #[schemars(extend("examples" = ["127.0.0.1:8099"]))]
    pub from: Option<String>,
    /// With `from`: the workload whose events the subscriber waits for.
    #[serde(default)]
    #[schemars(extend("x-default" = "the only author", "examples" = ["author"]))]
    pub of: Option<String>,
    /// With `from`: how long after the last arrival a missing event counts as lost. Percentiles contain it with the time that
    /// it had been missing by then.
    #[serde(default)]
    #[schemars(extend("x-default" = "5s", "examples" = ["10s"]))]
    pub wait: Option<Duration>,
    /// The identifier of the author or subscriber, `ivo://authority/name` without `#`. Events are called `<ivo>#<id>`.
    #[serde(default)]
    #[schemars(extend(
        "x-default" = "`ivo://runner.test/author` or `…/subscriber`",
        "examples" = ["ivo://example.org/telescope"]
    ))]
    pub ivo: Option<String>,
    /// With `to`: the event, with `${ivorn}` where its identifier belongs. `${pass}`, `${connection}`, `${repetition}` and
    /// `${scratch}` can be inserted as well.
    #[serde(default)]
    #[schemars(extend(
        "x-default" = "the smallest valid event",
        "examples" = [
            "<v:VOEvent xmlns:v=\"http://www.ivoa.net/xml/VOEvent/v2.0\" ivorn=\"${ivorn}\" role=\"test\" version=\"2.0\"/>"
        ]
    ))]
    pub event: Option<Text>,
    /// With `to`: the length of each event, reached by a comment at its end. At most 99999 bytes, the most that brokers
    /// accept.
    #[serde(default)]
    #[schemars(extend("examples" = ["10kB"]))]
    pub size: Option<Size>,
}
