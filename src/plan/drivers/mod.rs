//! The protocols that carry workloads: what everybody asks of one, and the list of them.
//!
//! A protocol has a folder of its name here: the noun and what it answers in `mod.rs`, and in `read.rs` how it is read,
//! which belongs to the readers (`plan::read::drivers`). `docs/architecture.md` has the recipe.

pub mod command;
pub mod framed;
pub mod http;
pub mod redis;
pub mod vtp;
pub mod websocket;

use std::time::Duration;

use serde::Serialize;

use super::{Auth, Late};
use vocabulary::NamedMetric;

/// What is asked of every protocol about a workload that it carries.
pub trait Protocol {
    /// Names of the steps of a pass, in their order.
    fn steps(&self) -> Vec<String>;

    /// What it brings beside times and counts, in the order in which it is recorded.
    fn metrics(&self) -> Vec<NamedMetric> {
        Vec::new()
    }

    /// The outcomes to which the scenario gives names, in the order of their numbers.
    fn outcomes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whatever it connects to, as far as that is known.
    fn addresses(&self) -> Vec<(&str, u16)>;

    /// Host and port of all that, to be led elsewhere: the far side of a link is reached at another address.
    fn addresses_mut(&mut self) -> Vec<(&mut String, &mut u16)>;

    /// How often a pass goes to the other side and back, at least.
    fn round_trips(&self) -> u32;

    /// Fills in late names; those of passes stay open.
    fn fill(&mut self, late: &Late<'_>);

    /// The workload that it follows, where it has no schedule of its own.
    fn follows(&self) -> Option<&str> {
        None
    }

    /// Whether a connection sends without waiting for what it has asked before.
    fn has_many_under_way(&self) -> bool {
        false
    }

    /// Whether each pass is the execution of a program, which is watched like a target.
    fn is_program(&self) -> bool {
        false
    }

    /// How long what is under way at the end of the load may take, where the scenario does not say it and it is not the usual.
    fn drain(&self) -> Option<Duration> {
        None
    }

    /// Whose requests over HTTP it sends, for those who count them.
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
    /// Over a socket, of which it is not known who listens.
    Socket,
    /// That is not known: to anybody.
    Anybody,
    /// It sends requests to nobody.
    Nobody,
}

/// A workload in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Behind the arrivals, on the same line; of a follower instead of them.
    pub to: String,
    /// What else is told of it, a line each.
    pub lines: Vec<String>,
}

/// Makes the list of protocols: the type that holds any of them, and the way to what each answers.
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
            /// What its protocol answers.
            pub fn protocol(&self) -> &dyn Protocol {
                match self {
                    $(Self::$variant(noun) => noun,)*
                }
            }

            /// The same, to fill in what is late.
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
    /// A program that makes the load by itself.
    Command(command::Command),
}

/// A connection in every pass costs a round trip.
pub(crate) fn connecting(keep_alive: bool) -> u32 {
    u32::from(!keep_alive)
}
