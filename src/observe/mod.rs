//! What the targets and the host do while they are measured: memory, processor time, threads, files, ports.
//!
//! In reading order:
//! - [`procfs`]: pure parsers of `/proc` and `/sys` text; no file is opened there.
//! - [`tree`]: which processes belong to a replica, orphans included.
//! - [`ports`]: whether a port is free, and who holds it if not.
//! - [`sample`]: the messages that leave this module.
//! - [`sampler`]: one thread that reads everything on a fixed grid of instants and sends the messages. It uses `replica`
//!   (one process tree), `process` (one process), `cpu_account` (processor time that never runs backwards), `allowance`
//!   (what the expensive readings may cost), `host` and `sensors` (frequency and throttling of its cores).
//! - [`own`]: what threads of this process use.
//! - [`follow`]: one thread that reads sources of lines, such as logs, as they are written.
//!
//! What it leaves out: it does not start, signal or reap processes, writes no file, draws no conclusions, and knows nothing
//! of load or phases. It does not use cgroups, because a container may have no writable one, and it does not use hardware
//! counters, because many virtual machines have none. It reads only its own network and pid namespace.

mod allowance;
mod cpu_account;
mod files;
pub mod follow;
mod host;
mod outbox;
pub mod own;
pub mod ports;
mod process;
pub mod procfs;
mod replica;
pub mod sample;
pub mod sampler;
mod sensors;
pub mod tree;

use std::{io, net::SocketAddr};

pub use follow::{Follower, Origin, Piece, Pieces, SourceReport};
pub use host::{HostSources, host_sources};
pub use outbox::{Inbox, Outbox, outbox};
pub use ports::{Holder, holder, is_free};
pub use replica::Watched;
pub use sample::Observation;
pub use sampler::{Sampler, SamplerReport, Settings};

/// Why something could not be observed.
///
/// A process that vanishes between two readings is normal, and therefore not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Binding failed, and not because the address is in use.
    #[error("cannot bind {address} to find out whether it is free")]
    Bind {
        /// The address that was tried.
        address: SocketAddr,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
    /// The operating system refused to start another thread.
    #[error("cannot start the thread that observes or follows the targets")]
    Thread {
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
}
