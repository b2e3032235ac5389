//! All generator threads of a repetition start at the same instant, when each has its connections.
//!
//! Where other machines take part in the load, the gate is held: whoever directs them says when it opens, once all threads of all
//! machines have arrived.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// Where threads wait for each other.
#[derive(Debug)]
pub struct Gate {
    missing: AtomicUsize,
    /// Whether somebody else opens it.
    is_held: bool,
    full: watch::Sender<bool>,
    opened: watch::Sender<Option<Instant>>,
}

impl Gate {
    /// A gate for this many threads.
    pub fn new(threads: usize) -> Self {
        Self {
            missing: AtomicUsize::new(threads),
            is_held: false,
            full: watch::Sender::new(threads == 0),
            opened: watch::Sender::new(None),
        }
    }

    /// A gate that stays closed until [`Gate::open`].
    pub fn held(threads: usize) -> Self {
        Self { is_held: true, ..Self::new(threads) }
    }

    /// One thread has arrived, or never will. The last one opens the gate, unless it is held.
    pub fn arrive(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.full.send_replace(true);
            if !self.is_held {
                self.open(Instant::now());
            }
        }
    }

    /// Waits until all threads have arrived.
    pub async fn full(&self) {
        let mut full = self.full.subscribe();
        // The sender is a part of this.
        let _ = full.wait_for(|full| *full).await;
    }

    /// Opens it. The load starts at this instant, which may still be to come.
    pub fn open(&self, at: Instant) {
        self.opened.send_replace(Some(at));
    }

    /// Waits until the gate opens; returns the instant, the same for all.
    pub async fn opened(&self) -> Instant {
        let mut opened = self.opened.subscribe();
        let instant = opened.wait_for(Option::is_some).await.ok().and_then(|i| *i);
        instant.unwrap_or_else(Instant::now)
    }
}
