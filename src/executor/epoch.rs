//! The start of a load.

use std::time::{Duration, Instant};

/// An instant on both clocks: above all, the start of the load.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// By the clock that is never set.
    pub instant: Instant,
    /// Since the start of 1970.
    pub unix: Duration,
}

impl Epoch {
    /// This instant.
    pub fn now() -> Self {
        let instant = Instant::now();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { instant, unix }
    }

    /// Another instant.
    pub fn at(instant: Instant) -> Self {
        let now = Self::now();
        let unix = match instant.checked_duration_since(now.instant) {
            Some(later) => now.unix + later,
            None => now.unix.saturating_sub(now.instant.duration_since(instant)),
        };
        Self { instant, unix }
    }
}
