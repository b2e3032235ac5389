//! The protocols that carry workloads: the questions that each must answer, and the list of them.
//!
//! A protocol has a folder of its name here: the noun and its answers in `mod.rs`, and in `read.rs` how it is read,
//! which belongs to the readers (`plan::read::drivers`). `docs/architecture.md` has the recipe.

pub mod command;
pub mod framed;
pub mod http;
pub mod redis;
pub mod vtp;
pub mod websocket;

use std::time::Duration;

use serde::Serialize;

use super::{Auth, Draw, Late};
use vocabulary::NamedMetric;

/// What every protocol must tell about a workload that it carries.
pub trait Protocol {
    /// Names of the steps of a pass, in their order.
    fn steps(&self) -> Vec<String>;

    /// Its metrics besides times and counts, in the order in which they are recorded.
    fn metrics(&self) -> Vec<NamedMetric> {
        Vec::new()
    }

    /// The outcomes named by the scenario, in the order of their numbers.
    fn outcomes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Everything that it connects to, as far as that is known.
    fn addresses(&self) -> Vec<(&str, u16)>;

    /// Hosts and ports of all of these, so that they can be replaced: the far side of a link has another address.
    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)>;

    /// How many round trips a pass takes, at least.
    fn round_trips(&self) -> u32;

    /// Fills in late names; those of passes stay open.
    fn fill(&mut self, late: &Late<'_>);

    /// The workload that it follows, if it has no schedule of its own.
    fn follows(&self) -> Option<&str> {
        None
    }

    /// Whether a connection sends without waiting for the answer to what it sent before.
    fn has_many_under_way(&self) -> bool {
        false
    }

    /// Whether each pass is the execution of a program, which is watched like a target.
    fn is_program(&self) -> bool {
        false
    }

    /// How long passes that are under way at the end of the load may take, if the scenario does not say and the default
    /// does not fit.
    fn drain(&self) -> Option<Duration> {
        None
    }

    /// How many of the steps, from the last one back, users execute besides passes.
    fn user_steps(&self) -> usize {
        0
    }

    /// How many users there are on each connection.
    fn users_per_connection(&self) -> u64 {
        1
    }

    /// What its passes draw.
    fn draws(&self) -> &[Draw] {
        &[]
    }

    /// To whom it sends requests over HTTP, for comparison with servers' counts.
    fn asks(&self) -> Asks;

    /// Users and passwords in its requests.
    fn credentials(&self) -> Vec<&Auth> {
        Vec::new()
    }

    /// How `runner plan` prints it.
    fn description(&self) -> Description;
}

/// To whom a workload sends requests over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// To its addresses, in their order.
    Addresses,
    /// Over a socket whose listener is unknown.
    Socket,
    /// Unknown: to anybody.
    Anybody,
    /// To nobody.
    Nobody,
}

/// A workload in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Comes after the arrivals, on the same line; for a follower instead of them.
    pub to: String,
    /// Further details, one per line.
    pub lines: Vec<String>,
}

/// Makes the list of protocols: the type that holds any of them, and the dispatch to their answers.
macro_rules! protocols {
    ($($(#[$doc:meta])* $variant:ident($noun:ty),)*) => {
        /// The protocol that carries a workload.
        #[derive(Clone, Debug, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(clippy::large_enum_variant, reason = "a plan has a few of them, and each is made once")]
        pub enum Driver {
            $($(#[$doc])* $variant($noun),)*
        }

        impl Driver {
            /// The answers of its protocol.
            pub fn protocol(&self) -> &dyn Protocol {
                match self {
                    $(Self::$variant(noun) => noun,)*
                }
            }

            /// The same, to fill in late names.
            pub fn protocol_mut(&mut self) -> &mut dyn Protocol {
                match self {
                    $(Self::$variant(noun) => noun,)*
                }
            }
        }

        $(
            impl From<$noun> for Driver {
                fn from(noun: $noun) -> Self {
                    Self::$variant(noun)
                }
            }
        )*
    };
}

protocols! {
    /// HTTP/1.1 or HTTP/2.
    Http(http::Http),
    /// Messages over TCP.
    Framed(framed::Framed),
    /// Events that are sent to a broker.
    Author(vtp::Author),
    /// Events that are received from one.
    Subscriber(vtp::Subscriber),
    /// Commands to a server that speaks Redis' protocol.
    Redis(redis::Redis),
    /// Messages over a websocket.
    Websocket(websocket::Websocket),
    /// A program that makes the load itself.
    Command(command::Command),
}

/// A connection for every pass costs a round trip.
pub(crate) fn connecting(keep_alive: bool) -> u32 {
    u32::from(!keep_alive)
}
