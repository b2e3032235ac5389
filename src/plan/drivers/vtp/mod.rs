//! The VOEvent Transport Protocol: authors send events to a broker, and subscribers receive them from it.

use std::time::Duration;

use serde::Serialize;

use super::{Asks, Description, Protocol};
use crate::text::as_text;
use crate::url::Address;
use crate::{Late, Template};
use vocabulary::units::exact_duration;
use vocabulary::{Interest, NamedMetric};

/// The stages of an event at its author, which are the steps of a pass: connected, sent, answered.
pub const STAGES: [&str; 3] = ["connect", "send", "answer"];
/// The only step of a subscriber: an event has arrived.
pub const ARRIVAL: &str = "event";
/// What a subscriber counts besides arrivals, in the order in which it is recorded; reordering is normal.
pub const ARRIVAL_METRICS: [(&str, Interest); 4] = [
    ("lost", Interest::Fault),
    ("duplicates", Interest::Fault),
    ("reordered", Interest::Recorded),
    ("unexpected", Interest::Fault),
];
/// Brokers close the connection without an answer when an event is longer.
pub const MAX_EVENT: u64 = 99_999;

/// A workload that sends events.
#[derive(Clone, Debug, Serialize)]
pub struct Author {
    /// Where the broker accepts them.
    pub to: Address,
    /// The author of the events.
    pub ivo: String,
    /// An event; `${ivorn}` is its identifier.
    pub event: Template,
    /// The length of an event, in bytes.
    pub size: Option<u64>,
    /// How long each stage may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// A workload that receives events.
#[derive(Clone, Debug, Serialize)]
pub struct Subscriber {
    /// Where the broker sends them.
    pub from: Address,
    /// The workload that sends them.
    pub of: String,
    /// The subscriber.
    pub ivo: String,
    /// How long after the last arrival a missing event counts as lost.
    #[serde(serialize_with = "as_text")]
    pub wait: Duration,
    /// How long connecting and authenticating may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

impl Protocol for Author {
    fn steps(&self) -> Vec<String> {
        STAGES.map(str::to_owned).to_vec()
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        vec![(&self.to.host, self.to.port)]
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        vec![(&mut self.to.host, &mut self.to.port)]
    }

    fn round_trips(&self) -> u32 {
        // One to connect, and one to be answered.
        2
    }

    fn fill(&mut self, late: &Late<'_>) {
        self.event = self.event.fill(late);
    }

    fn asks(&self) -> Asks {
        Asks::Nobody
    }

    fn description(&self) -> Description {
        let size = self.size.map_or_else(String::new, |n| format!(", {n} bytes"));
        Description {
            to: format!(" to {}, an event per connection", self.to),
            lines: vec![format!("events {}#…{size}", self.ivo)],
        }
    }
}

impl Protocol for Subscriber {
    fn steps(&self) -> Vec<String> {
        vec![ARRIVAL.to_owned()]
    }

    fn metrics(&self) -> Vec<NamedMetric> {
        ARRIVAL_METRICS.map(|(name, interest)| NamedMetric::new(name, "", interest)).to_vec()
    }

    fn addresses(&self) -> Vec<(&str, u16)> {
        vec![(&self.from.host, self.from.port)]
    }

    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)> {
        vec![(&mut self.from.host, &mut self.from.port)]
    }

    fn round_trips(&self) -> u32 {
        0
    }

    fn fill(&mut self, _late: &Late<'_>) {}

    fn follows(&self) -> Option<&str> {
        Some(&self.of)
    }

    fn asks(&self) -> Asks {
        Asks::Nobody
    }

    fn description(&self) -> Description {
        let wait = exact_duration(self.wait);
        Description {
            to: format!("subscribed at {}", self.from),
            lines: vec![format!("waits for the events of {}, {wait} after the last one at most", self.of)],
        }
    }
}
