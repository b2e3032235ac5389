//! Proxies that speak SOCKS: whom connections go through, and how they are kept apart there.

use std::fmt;

use serde::Serialize;

use super::url::Address;
pub use vocabulary::choices::Isolate;

/// A proxy that connections go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Socks {
    /// Where it listens.
    pub address: Address,
    /// The version of its protocol.
    pub version: SocksVersion,
    /// What is kept apart from what else goes through it, by a fresh user name.
    pub isolate: Isolate,
    /// Whether the request is sent before the proxy says that it is connected.
    pub optimistic: bool,
}

/// The version of the protocol. Names are resolved by the proxy in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SocksVersion {
    /// SOCKS 5 (RFC 1928), with user name and password (RFC 1929) where something is kept apart.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// SOCKS 4 with its extension for names.
    #[serde(rename = "4a")]
    V4a,
}

impl fmt::Display for Socks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self.version {
            SocksVersion::V5 => "5",
            SocksVersion::V4a => "4a",
        };
        write!(f, "through SOCKS {version} at {}", self.address)?;
        match self.isolate {
            Isolate::None => {}
            Isolate::Pass => f.write_str(", each pass by itself")?,
            Isolate::Connection => f.write_str(", each connection by itself")?,
        }
        if self.optimistic { f.write_str(", optimistic") } else { Ok(()) }
    }
}
