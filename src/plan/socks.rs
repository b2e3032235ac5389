//! SOCKS proxies: which proxy connections go through, and how they are isolated there.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::text::as_text;
use super::url::Address;
use super::{ControlPort, Late, Template};
pub use vocabulary::choices::Isolate;
use vocabulary::units::exact_duration;

/// A proxy that connections go through.
#[derive(Clone, Debug, Serialize)]
pub struct Socks {
    /// The address on which it listens.
    pub address: Address,
    /// The version of its protocol.
    pub version: SocksVersion,
    /// What is isolated from other traffic through the proxy, by a fresh user name.
    pub isolate: Isolate,
    /// Whether the request is sent before the proxy reports that it is connected.
    pub optimistic: bool,
    /// Commands sent to Tor before passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<Steering>,
}

impl Socks {
    /// Fills in late names.
    pub fn fill(&mut self, late: &Late<'_>) {
        let Some(control) = &mut self.control else { return };
        let fill = |template: &mut Template| *template = template.fill(late);
        fill(&mut control.port.address);
        control.port.cookie.iter_mut().for_each(fill);
        control.before_pass.iter_mut().flat_map(|c| &mut c.send).for_each(fill);
        control.path.iter_mut().for_each(fill);
    }
}

/// Commands sent to Tor before passes.
#[derive(Clone, Debug, Serialize)]
pub struct Steering {
    /// Its control port.
    pub port: ControlPort,
    /// Commands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_pass: Vec<Commands>,
    /// Relays of a circuit that is made for each pass; Tor chooses if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Template>,
}

/// Commands before a pass.
#[derive(Clone, Debug, Serialize)]
pub struct Commands {
    /// The commands, one after the other.
    pub send: Vec<Template>,
    /// The commands are sent only if at least this time has passed since they were last sent.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_text")]
    pub each: Option<Duration>,
}

#[allow(clippy::ref_option, reason = "serde asks for it")]
fn optional_text<S: Serializer>(each: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match each {
        Some(each) => as_text(each, serializer),
        None => serializer.serialize_none(),
    }
}

/// The version of the protocol. Names are resolved by the proxy in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum SocksVersion {
    /// SOCKS 5 (RFC 1928), with user name and password (RFC 1929) if something is isolated.
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
            Isolate::Pass => f.write_str(", each pass isolated")?,
            Isolate::Connection => f.write_str(", each connection isolated")?,
        }
        if self.optimistic {
            f.write_str(", optimistic")?;
        }
        let Some(control) = &self.control else { return Ok(()) };
        for Commands { send, each } in &control.before_pass {
            let send: Vec<String> = send.iter().map(Template::to_text).collect();
            let each = each.map_or_else(String::new, |each| format!(" each {}", exact_duration(each)));
            write!(f, ", {} before passes{each}", send.join(" and "))?;
        }
        let path: Vec<String> = control.path.iter().map(Template::to_text).collect();
        if path.is_empty() { Ok(()) } else { write!(f, ", over {}", path.join(", ")) }
    }
}
