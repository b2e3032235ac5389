//! Messages over TCP: any protocol whose messages are frames that the scenario describes.

use serde::Serialize;

use super::http::transfer_metrics;
use super::{Asks, Description, Protocol};
use crate::url::Address;
use crate::{Draw, Late, Message, Socks};
use vocabulary::NamedMetric;
pub use vocabulary::choices::ByteOrder;

/// A workload of messages over TCP.
#[derive(Clone, Debug, Serialize)]
pub struct Framed {
    /// The server to connect to.
    pub to: Address,
    /// The proxy through which connections go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socks: Option<Socks>,
    /// How messages are separated.
    pub framing: Framing,
    /// Whether a connection is used for more than one pass.
    pub keep_alive: bool,
    /// Whether each stage of a message and its answer is recorded (`transfers.parquet`).
    #[serde(skip_serializing_if = "super::http::is_false")]
    pub stages: bool,
    /// Values that are drawn for each pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<Draw>,
    /// The messages of one pass.
    pub steps: Vec<Message>,
}

/// How messages are separated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Framing {
    /// How the end of a frame is known.
    pub bounds: Bounds,
    /// The longest answer that is accepted, in bytes.
    pub max: u64,
}

/// Where a message ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bounds {
    /// Its length comes before it.
    Length {
        /// A number of this many bytes, 1 to 8.
        bytes: u8,
        /// Which of these bytes comes first.
        order: ByteOrder,
    },
    /// This follows it.
    Delimiter(String),
}

impl Framing {
    /// The most bytes that a message to be sent may have.
    pub fn longest(&self) -> u64 {
        match self.bounds {
            Bounds::Length { bytes, .. } if bytes < 8 => (1 << (8 * u32::from(bytes))) - 1,
            _ => u64::MAX,
        }
    }
}

impl Protocol for Framed {
    fn steps(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.name.clone()).collect()
    }

    fn metrics(&self) -> Vec<NamedMetric> {
        if self.stages { transfer_metrics() } else { Vec::new() }
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        let to = self.socks.as_ref().map_or(&self.to, |socks| &socks.address);
        vec![(&to.host, to.port)]
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        let to = self.socks.as_mut().map_or(&mut self.to, |socks| &mut socks.address);
        vec![(&mut to.host, &mut to.port)]
    }

    fn round_trips(&self) -> u32 {
        self.steps.len() as u32 + super::connecting(self.keep_alive)
    }

    fn fill(&mut self, late: &Late<'_>) {
        self.socks.iter_mut().for_each(|socks| socks.fill(late));
        for step in &mut self.steps {
            if let Some(body) = &mut step.send {
                body.fill(late);
            }
            step.expect.fill(late);
        }
    }

    fn draws(&self) -> &[Draw] {
        &self.draws
    }

    fn asks(&self) -> Asks {
        // Its messages may be HTTP.
        Asks::Anybody
    }

    fn description(&self) -> Description {
        let once = if self.keep_alive { "" } else { ", one pass per connection" };
        let bounds = match &self.framing.bounds {
            Bounds::Length { bytes: 1, .. } => "frames start with a byte of length".to_owned(),
            Bounds::Length { bytes, order: ByteOrder::Big } => format!("frames start with {bytes} bytes of length"),
            Bounds::Length { bytes, order: ByteOrder::Little } => {
                format!("frames start with {bytes} bytes of length, the least significant first")
            }
            Bounds::Delimiter(delimiter) => format!("frames end with {delimiter:?}"),
        };
        let lines = self.draws.iter().map(Draw::words).chain(self.steps.iter().map(Message::words)).collect();
        let socks = self.socks.as_ref().map_or_else(String::new, |s| format!(" {s}"));
        Description { to: format!(" to {}{socks}{once}; {bounds}", self.to), lines }
    }
}
