//! The messages of the sampler.

use vocabulary::rows::{HostSample, ProcessSample};

/// One message of the sampler.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// A replica's process tree.
    Process(ProcessSample),
    /// A sample of the host.
    Host(HostSample),
}
