//! A proxy on the way.

use schemars::JsonSchema;

use crate::types::{Isolate, SocksVersion};

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
}
