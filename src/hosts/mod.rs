//! The channel between a controller and the agents on its machines.
//!
//! An agent is `runner` on another machine. It is spoken to over its standard input and output and nothing else: it listens on no
//! port, and whoever starts it (`ssh`, `srun`) decides who may. `message` is what is said, `frame` how it is written, `clock`
//! compares two machines' clocks, `agent` is the controller's end of the channel, `post` the agent's end.
//!
//! Either end that hears nothing for [`LEASE`] takes the other for gone. An agent then ends at once, and its guard clears up as
//! after `kill -9`; the controller fails the repetition and names the machine.
//!
//! Not known here: what a repetition is, and what its points mean at which all machines wait for each other.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent;
pub mod clock;
mod files;
mod frame;
pub mod message;
pub mod post;

use std::time::Duration;

pub use agent::{Agent, Event, Launch};
pub use clock::{Clock, Offset};
pub use files::{File, files_below};
pub use message::{
    Ended, Here, Lifetimes, Passed, Scenario, Seen, SeenProcess, SeenWindow, Sent, ShardWork, ToAgent, ToController,
};
pub use post::{Abandoned, Order, Post};

/// After so long without a word from the other end, it is gone.
pub const LEASE: Duration = Duration::from_secs(10);
/// How long a log-in may take before an agent says its first word.
pub const LOG_IN: Duration = Duration::from_secs(30);
/// Either end says something at least so often.
const WORD: Duration = Duration::from_secs(1);

/// What can go wrong with the channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An agent's program cannot be started.
    #[error("cannot start `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The channel has ended or was silent for too long.
    #[error("{0}")]
    Gone(String),
}
