//! Watches the passes of another workload.
//!
//! A workload that follows another one gives it an observer, which the other's threads notify of each pass. What the
//! follower does with that is up to its protocol.

use std::any::Any;
use std::fmt::Debug;

use vocabulary::Phase;

/// A pass that is about to be sent. Times are nanoseconds since the epoch of the repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When sending it started.
    pub sent_ns: u64,
    /// The phase in which the pass counts.
    pub phase: Phase,
}

/// Notified of the passes of a workload by each of its threads. It is called while requests are handled: it must not
/// wait.
pub trait Observer: Any + Debug + Send + Sync {
    /// A pass starts: its effects may be seen from now on.
    fn begins(&self, pass: u64, begun: Begun);

    /// A pass has failed: its effects are not missed.
    fn fails(&self, pass: u64);

    /// One thread has ended.
    fn ends(&self);
}
