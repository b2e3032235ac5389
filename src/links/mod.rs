//! Link emulation: make a link, measure it, undo it.
//!
//! The path of the data, with `netem` and `nfqueue` (all addresses of a link are one /29 of 198.18.0.0/15, RFC 2544):
//!
//! ```text
//!   near side: the runner's own namespace, or that of `from`        .1  rl<run>-<n>
//!     │  veth                                                        │
//!   middle namespace: forwards                                      .2  near    ← qdiscs here shape `back`
//!     │  both directions are shaped where packets leave it          .5  far     ← qdiscs here shape `forward`
//!     │  veth                                                        │
//!   far namespace: the targets of `to`, with a loopback of their own .6  link<n>
//! ```
//!
//! With `netem` the qdiscs are netem (delay, jitter, loss) and in it TBF (rate). With `nfqueue` a helper in the middle
//! namespace ([`holder`]) holds packets back or drops them as they are forwarded, and only TBF limits the rate. With `relay`
//! there is no namespace: a helper ([`relay`]) forwards TCP connections from its own ports on 127.0.0.1.
//!
//! Why there is a middle namespace: a packet that waits in its sender's own stack still counts as unsent there, and TCP
//! sends no more than about 1 ms' worth of such bytes (TCP small queues); after a hop the packet is in flight. Losses in the
//! middle are real losses, not failed sends that the sender notices. And whatever targets do in their namespace, the
//! emulation is in another one.
//!
//! [`machines()`] makes namespaces that stand for whole machines; no link leads there.
//!
//! [`names`] chooses the names before anything is made, [`choice`] finds out which mechanism works here, [`mod@make`] makes
//! the link, [`mod@change`] changes it while it is used, [`mod@measure`] measures what it is really like, [`namespace`] undoes it. Nothing here knows the lifecycle of
//! targets: helpers are started and ended by the caller.

pub mod change;
pub mod choice;
mod commands;
mod control;
pub mod holder;
pub mod machines;
pub mod make;
pub mod measure;
pub mod names;
pub mod namespace;
mod nfqueue;
pub mod relay;
mod rules;
mod shape_text;
mod shaping;
#[cfg(test)]
mod tests;

pub use change::change;
pub use choice::{Choice, Rejected, choose, choose_all};
pub use machines::{Machine, lay, lift, machines, make_machines};
pub use make::{Helper, Made, make};
pub use measure::{Measured, measure};
pub use names::{LinkNames, topology};
pub use namespace::{enter, undo};

use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a helper when the first argument is the hidden one of a helper; the other arguments are for the helper.
pub fn helper(args: &[String]) -> Option<ExitCode> {
    let (name, rest) = args.split_first()?;
    match name.as_str() {
        holder::ARGUMENT => Some(holder::main(rest)),
        relay::ARGUMENT => Some(relay::main(rest)),
        _ => None,
    }
}

/// What can go wrong with a link.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Targets cannot be arranged in namespaces as the links require.
    #[error("link `{link}` leads from `{target}` to the namespace in which `{target}` itself runs")]
    ToItself {
        /// The link whose two ends are the same.
        link: String,
        /// The target on both sides.
        target: String,
    },
    /// None of the allowed mechanisms works here.
    #[error("link `{link}` cannot be emulated here:{}", list(reasons))]
    NoMechanism {
        /// The link that cannot be made here.
        link: String,
        /// What was tried, and why it does not work.
        reasons: Vec<Rejected>,
    },
    /// A relay combined with other mechanisms.
    #[error(
        "link `{link}` works only as a relay, but `{other}` needs namespaces; \
         targets cannot be on both sides: use one kind for all links"
    )]
    Mixed {
        /// The link that can only be a relay.
        link: String,
        /// The one that cannot be a relay.
        other: String,
    },
    /// A program that is needed is not installed.
    #[error("`{program}` is not installed, or not in PATH")]
    Missing {
        /// The program that is not installed.
        program: String,
    },
    /// A program failed.
    #[error("`{command}` failed: {text}")]
    Command {
        /// The command line, with its input.
        command: String,
        /// What it printed, or how it ended.
        text: String,
    },
    /// A namespace could not be made, entered or removed.
    #[error("cannot {what} the network namespace {}", path.display())]
    Namespace {
        /// The operation that failed, for the message.
        what: &'static str,
        /// The file that stands for the namespace.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A kernel setting could not be written or read.
    #[error("cannot access {}", path.display())]
    Setting {
        /// The file that stands for the setting.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Every network of the range is in use.
    #[error("no free network in 198.18.0.0/15 is left for link `{link}`")]
    NoNetwork {
        /// The link for which no addresses are left.
        link: String,
    },
    /// A packet queue could not be opened.
    #[error("cannot open packet queue {queue}")]
    Queue {
        /// The number of the queue.
        queue: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// The helper did not report that it is ready.
    #[error("the helper of link `{link}` should have announced itself with `{expected}`, but said `{line}`")]
    NotReady {
        /// The link that the helper belongs to.
        link: String,
        /// The line that the helper should have written.
        expected: String,
        /// The line that the helper wrote.
        line: String,
    },
    /// A link could not be changed while it was used.
    #[error("cannot change link `{link}`")]
    Change {
        /// The link that stayed as it was.
        link: String,
        /// What the helper, or the system, said.
        source: std::io::Error,
    },
    /// The measurement itself failed, which says nothing about the link.
    #[error("cannot measure link `{link}`: {what}")]
    Measure {
        /// The link that was measured.
        link: String,
        /// The operation that failed, for the message.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// No packet came back.
    #[error("no packet sent through link `{link}` came back within {}", vocabulary::units::exact_duration(*waited))]
    Silent {
        /// The link through which nothing came back.
        link: String,
        /// How long the measurement waited.
        waited: std::time::Duration,
    },
}

impl Error {
    /// With the system's message: for a list of reasons, where no chain of errors is printed.
    fn in_words(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

fn list(reasons: &[Rejected]) -> String {
    reasons.iter().map(|r| format!("\n  {}: {}", r.mechanism.name(), r.reason)).collect()
}
