//! The channel for samples, with a limit on how many may wait for the recorder.

use super::Observation;
use vocabulary::queue;

/// How many samples may wait, some 100 MB: those of ten replicas for hours, those of a thousand for almost a minute.
const ROOM: usize = 500_000;

/// The sampler's end.
pub type Outbox = queue::Sender<Observation>;
/// The recorder's end.
pub type Inbox = queue::Receiver<Observation>;

/// A new channel.
pub fn outbox() -> (Outbox, Inbox) {
    queue::queue(ROOM, |_| 1)
}
