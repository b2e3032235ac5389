//! All generator threads of a repetition start at the same instant, when each has its connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// Where threads wait for each other.
#[derive(Debug)]
pub struct Gate {
    missing: AtomicUsize,
    opened: watch::Sender<Option<Instant>>,
}

impl Gate {
    /// A gate for this many threads.
    pub fn new(threads: usize) -> Self {
        Self { missing: AtomicUsize::new(threads), opened: watch::Sender::new(None) }
    }

    /// One thread has arrived, or never will. The last one opens the gate.
    pub fn arrive(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.opened.send_replace(Some(Instant::now()));
        }
    }

    /// Waits until the gate opens; returns the instant, the same for all.
    pub async fn opened(&self) -> Instant {
        let mut opened = self.opened.subscribe();
        let instant = opened.wait_for(Option::is_some).await.ok().and_then(|i| *i);
        instant.unwrap_or_else(Instant::now)
    }
}
