//! The limits beyond which a repetition does not count.

use schemars::JsonSchema;

use crate::types::{Duration, Percent, Share, Times};

/// Limits beyond which a repetition is invalid: it stays on disk with its reason, and out of the statistics.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "limits"))]
pub struct Limits {
    /// The largest share of their time that the generator's threads may use. A generator without spare time measures itself
    /// and not the server. The reason says what to do: more `threads`, `cpus`, `think` or a lower rate.
    #[serde(default)]
    #[schemars(extend("x-default" = "95%", "examples" = ["80%"]))]
    pub generator_cpu: Option<Percent>,
    /// How far apart the load may start on several [hosts](hosts.md), beyond what their clocks leave open.
    #[serde(default)]
    #[schemars(extend("x-default" = "20ms", "examples" = ["5ms"]))]
    pub start_skew: Option<Duration>,
    /// The longest 99th percentile of the schedule lag in an open loop, in any phase after the warm-up. With this limit a
    /// repetition is also invalid when more than 1 % of the arrivals of a phase were never sent.
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["5ms"]))]
    pub lag_p99: Option<Duration>,
    /// The largest share of the passes that were due and not answered as expected: wrong, unsent and open together, in
    /// any phase after the warm-up.
    #[serde(default)]
    #[schemars(extend("x-default" = "1%", "examples" = ["5%"]))]
    pub errors: Option<Share>,
    /// The largest share of a phase in which no pass was answered as expected although passes were due. A stretch counts when
    /// it is longer than 250 ms and than 20 times the median response time.
    #[serde(default)]
    #[schemars(extend("x-default" = "1%, or as much as `errors` where that is more", "examples" = ["5%"]))]
    pub silence: Option<Share>,
    /// The largest share of the load's time on its connections that open passes held: those that were under way at the end of
    /// a load with a duration, and had taken longer than 250 ms and than 20 times the median response time.
    #[serde(default)]
    #[schemars(extend("x-default" = "1%, or as much as `errors` where that is more", "examples" = ["5%"]))]
    pub open: Option<Share>,
    /// The largest share of the processors' time that the hypervisor may take during the load.
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["2%"]))]
    pub host_steal: Option<Share>,
    /// The largest share of the processors' time that programs other than targets and `runner` may use during the load.
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["10%"]))]
    pub host_load: Option<Share>,
    /// Whether the load must have a [steady state](limits.md#steady). With `true` a repetition without one is invalid, and so
    /// is one that is too short to tell.
    #[serde(default)]
    #[schemars(extend("examples" = [true]))]
    pub steady_state: bool,
    /// The largest share of the load's time in which some task was ready and had no core: see
    /// [Watching the machine](../watching.md#limits).
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["20%"]))]
    pub host_pressure_cpu: Option<Share>,
    /// The largest share of the load's time in which all tasks that were not idle waited for memory.
    #[serde(default)]
    #[schemars(extend("x-default" = "10%", "examples" = ["1%"]))]
    pub host_pressure_memory: Option<Share>,
    /// The largest share of the load's time in which all tasks that were not idle waited for storage.
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["20%"]))]
    pub host_pressure_io: Option<Share>,
    /// The least mean frequency of the cores while they work, as a share of their highest frequency.
    #[serde(default)]
    #[schemars(extend("x-default" = "no limit", "examples" = ["95%"]))]
    pub host_frequency: Option<Percent>,
    /// How often cores and packages of cores may be throttled during the load: a number, or `any`.
    #[serde(default)]
    #[schemars(extend("x-default" = "0", "examples" = ["any"]))]
    pub host_throttled: Option<Times>,
    /// The largest share by which a server's own count of requests may differ from what was sent to it: see
    /// [What the server saw](../reconcile.md).
    #[serde(default)]
    #[schemars(extend("x-default" = "0%", "examples" = ["1%"]))]
    pub reconcile: Option<Share>,
}
