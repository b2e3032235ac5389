//! The way of samples to whoever records them. It has a bound: while a disk stands still, memory does not grow without end,
//! and the sampler does not wait. What finds no room is lost and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::Observation;

/// So many samples may wait, some 100 MB: those of ten replicas for hours, those of a thousand for almost a minute.
const ROOM: usize = 500_000;

/// The sampler's end.
#[derive(Debug)]
pub struct Outbox {
    samples: mpsc::Sender<Observation>,
    waiting: Arc<AtomicUsize>,
    room: usize,
}

/// The recorder's end.
#[derive(Debug)]
pub struct Inbox {
    samples: mpsc::Receiver<Observation>,
    waiting: Arc<AtomicUsize>,
}

/// A new way.
pub fn outbox() -> (Outbox, Inbox) {
    with_room(ROOM)
}

fn with_room(room: usize) -> (Outbox, Inbox) {
    let (to, samples) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Outbox { samples: to, waiting: Arc::clone(&waiting), room }, Inbox { samples, waiting })
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    OnItsWay,
    Lost,
    /// Nobody listens any more.
    Over,
}

impl Outbox {
    pub(super) fn send(&self, sample: Observation) -> Sent {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.room {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Sent::Lost;
        }
        if self.samples.send(sample).is_ok() { Sent::OnItsWay } else { Sent::Over }
    }
}

impl Inbox {
    /// The next sample, if it is there.
    ///
    /// # Errors
    /// When there is none, or nobody sends any more.
    pub fn try_recv(&self) -> Result<Observation, TryRecvError> {
        self.samples.try_recv().inspect(|_| self.taken())
    }

    /// The next sample.
    ///
    /// # Errors
    /// When none comes in this time, or nobody sends any more.
    pub fn recv_timeout(&self, time: Duration) -> Result<Observation, RecvTimeoutError> {
        self.samples.recv_timeout(time).inspect(|_| self.taken())
    }

    fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{HostPressure, HostSample};

    #[test]
    fn what_finds_no_room_is_lost_and_nobody_waits() {
        let sample = || {
            Observation::Host(HostSample {
                at: std::time::Instant::now(),
                cores: Vec::new(),
                mem_total_bytes: 0,
                mem_available_bytes: 0,
                load_1min: 0.0,
                pressure: HostPressure::default(),
                package_throttles: None,
            })
        };
        let (outbox, inbox) = with_room(2);
        assert_eq!(
            [outbox.send(sample()), outbox.send(sample()), outbox.send(sample())],
            [Sent::OnItsWay, Sent::OnItsWay, Sent::Lost]
        );
        inbox.try_recv().unwrap();
        assert_eq!([outbox.send(sample()), outbox.send(sample())], [Sent::OnItsWay, Sent::Lost]);
        drop(inbox);
        let (outbox, inbox) = with_room(1);
        drop(inbox);
        assert_eq!(outbox.send(sample()), Sent::Over);
    }
}
