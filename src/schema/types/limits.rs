//! Beyond what a repetition does not count.

use schemars::JsonSchema;

use crate::types::{Duration, Percent, Share, Times};

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
