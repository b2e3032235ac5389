//! A proxy on the way.

use schemars::JsonSchema;

use crate::types::{Duration, Isolate, SocksVersion, Text};

/// A proxy that speaks SOCKS, through which connections go. It resolves the names of hosts.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Socks {
    /// `host:port`.
    pub address: String,
    /// `5` (the default) or `4a`.
    #[serde(default)]
    pub version: Option<SocksVersion>,
    /// What has a user name of its own there, and so, with Tor, a circuit of its own: `none` (the default), `pass` or `connection`.
    #[serde(default)]
    pub isolate: Option<Isolate>,
    /// Whether the request is sent before the proxy says that it is connected; false by default.
    #[serde(default)]
    pub optimistic: Option<bool>,
    /// What Tor is told before passes.
    #[serde(default)]
    pub control: Option<Steering>,
}

/// What Tor is told before passes, at its control port.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Steering {
    /// `host:port` of the control port.
    pub address: Text,
    /// The file with the cookie that one must know.
    #[serde(default)]
    pub cookie: Option<Text>,
    /// Commands before each pass, or from time to time.
    #[serde(default)]
    pub before_pass: Vec<Commands>,
    /// Relays, by nickname or fingerprint, of a circuit that is made for each pass. A pass that Tor sends over another one has failed.
    #[serde(default)]
    pub path: Vec<Text>,
}

/// Commands before a pass.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Commands {
    /// Such as `SIGNAL NEWNYM`; each must be answered well.
    pub send: Vec<Text>,
    /// Only before a pass for which so much time has passed since they were sent last to this control port, by whichever workload or
    /// repetition of the run.
    #[serde(default)]
    pub each: Option<Duration>,
}
