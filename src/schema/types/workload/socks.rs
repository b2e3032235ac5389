//! A proxy on the way.

use schemars::JsonSchema;

use crate::types::{Duration, Isolate, SocksVersion, Text};

/// A SOCKS proxy, such as Tor, through which connections go. The proxy resolves host names; `runner` does not.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "socks"))]
pub struct Socks {
    /// The proxy, as `host:port`.
    #[schemars(extend("examples" = ["127.0.0.1:9050"]))]
    pub address: String,
    /// The version of SOCKS: `5` (RFC 1928) or `4a`.
    #[serde(default)]
    #[schemars(extend("x-default" = "5", "examples" = ["4a"]))]
    pub version: Option<SocksVersion>,
    /// What gets a fresh user name at the proxy, and so, with Tor, its own circuit: nothing (`none`), each `pass`, or each
    /// `connection`. With `pass`, each pass also has its own connection.
    #[serde(default)]
    #[schemars(extend("x-default" = "none", "examples" = ["pass"]))]
    pub isolate: Option<Isolate>,
    /// Whether the request is sent before the proxy says that it is connected. It needs `url` with plain HTTP/1.1, without
    /// redirects.
    #[serde(default)]
    #[schemars(extend("x-default" = "false", "examples" = [true]))]
    pub optimistic: Option<bool>,
    /// Commands to Tor before passes, and the path of their circuits: see [Tor's control port](tor-control.md). It needs
    /// `url`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"address": "127.0.0.1:9051", "before-pass": [{"send": ["SIGNAL NEWNYM"]}]}]))]
    pub control: Option<Steering>,
}

/// Commands that Tor gets at its control port before passes, and the path of the passes' circuits. At least one of
/// `before-pass` and `path` is needed.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "tor-control"))]
pub struct Steering {
    /// The control port, as `host:port` or `unix:PATH`.
    #[schemars(extend("examples" = ["127.0.0.1:9051"]))]
    pub address: Text,
    /// The file with the cookie that Tor asks for: `control_auth_cookie` in its DataDirectory.
    #[serde(default)]
    #[schemars(extend("examples" = ["${kept}/tor/control_auth_cookie"]))]
    pub cookie: Option<Text>,
    /// Commands that are sent before each pass, or from time to time. They are sent while no pass waits for them, where there
    /// is time between passes, and then count in no time of a request.
    #[serde(default)]
    #[schemars(extend("examples" = [[{"send": ["SIGNAL NEWNYM"], "each": "5min"}]]))]
    pub before_pass: Vec<Commands>,
    /// Relays, by nickname or fingerprint: each pass goes over its own circuit of these relays, which is built and attached
    /// before the pass. Tor then leaves all streams to `runner` (`__LeaveStreamsUnattached`), and `runner` lets Tor choose
    /// for those of other programs.
    /// A pass that Tor sends over another circuit has failed.
    #[serde(default)]
    #[schemars(extend("examples" = [["first", "second", "third"]]))]
    pub path: Vec<Text>,
}

/// Commands that Tor gets before a pass.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("x-page" = "tor-control"))]
pub struct Commands {
    /// The commands, at least one, each a text without line breaks. A command that Tor refuses fails the pass with the
    /// outcome `proxy`.
    #[schemars(extend("examples" = [["SIGNAL NEWNYM"]]))]
    pub send: Vec<Text>,
    /// How much time must have passed since the commands were sent last to this control port, by whichever workload or repetition
    /// of the run. Before a pass that comes earlier they are not sent.
    #[serde(default)]
    #[schemars(extend("x-default" = "before each pass", "examples" = ["5min"]))]
    pub each: Option<Duration>,
}
