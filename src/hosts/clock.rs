//! Two machines' clocks, compared by exchanges of four time stamps.
//!
//! The offset of an exchange and the bound of its error are those of NTP: D. Mills et al., RFC 5905, section 8. Of several
//! exchanges the one with the shortest way counts, since a way that is longer than others was held up in one direction.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// A machine's clock that is never set, in nanoseconds; optionally made wrong, for tests.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// By how much it is ahead.
    offset_ns: i64,
    /// By how much it is fast, as a share.
    fast: f64,
    /// One instant by the machine's clock, in both of its forms: so what is far apart by one is as far apart by the other.
    begun: (Instant, i64),
}

impl Default for Clock {
    fn default() -> Self {
        Self::wrong(Duration::ZERO, 0.0)
    }
}

fn monotonic_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

impl Clock {
    /// A clock that is `ahead` of the machine's and faster by the share `fast`.
    pub fn wrong(ahead: Duration, fast: f64) -> Self {
        Self { offset_ns: i64::try_from(ahead.as_nanos()).unwrap_or(i64::MAX), fast, begun: (Instant::now(), monotonic_ns()) }
    }

    /// This instant.
    pub fn now_ns(&self) -> i64 {
        let real = monotonic_ns();
        real + self.offset_ns + ((real - self.begun.1) as f64 * self.fast) as i64
    }

    /// The instant at which this clock shows `at_ns`.
    pub fn instant(&self, at_ns: i64) -> Instant {
        let (instant, begun_ns) = self.begun;
        // What the clock has shown since then, without what it shows too much of.
        let shown = at_ns - begun_ns - self.offset_ns;
        let away = if self.fast == 0.0 { shown } else { (shown as f64 / (1.0 + self.fast)) as i64 };
        let length = Duration::from_nanos(away.unsigned_abs());
        if away < 0 { instant.checked_sub(length).unwrap_or(instant) } else { instant + length }
    }
}

/// One exchange: a question and its answer, stamped by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the question left, by our clock.
    pub asked_ns: i64,
    /// When it arrived, by theirs.
    pub received_ns: i64,
    /// When the answer left, by theirs.
    pub answered_ns: i64,
    /// When it arrived, by ours.
    pub heard_ns: i64,
}

impl Exchange {
    /// By how much their clock is ahead of ours, if both ways took the same time.
    fn offset_ns(&self) -> i64 {
        ((self.received_ns - self.asked_ns) + (self.answered_ns - self.heard_ns)) / 2
    }

    /// How long both ways took together.
    fn way_ns(&self) -> i64 {
        ((self.heard_ns - self.asked_ns) - (self.answered_ns - self.received_ns)).max(0)
    }
}

/// By how much another clock is ahead of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Nanoseconds.
    pub offset_ns: i64,
    /// The truth is at most this far away from it: half of the way there and back.
    pub bound_ns: u64,
    /// How long the way there and back took.
    pub way_ns: u64,
    /// When it was found, by our clock.
    pub at_ns: i64,
}

impl Offset {
    /// What some exchanges say; none without any.
    pub fn of<'e>(exchanges: impl IntoIterator<Item = &'e Exchange>) -> Option<Self> {
        let best = exchanges.into_iter().min_by_key(|exchange| exchange.way_ns())?;
        let way_ns = best.way_ns().unsigned_abs();
        Some(Self { offset_ns: best.offset_ns(), bound_ns: way_ns.div_ceil(2), way_ns, at_ns: best.heard_ns })
    }

    /// Between two of them, at an instant of our clock: the clocks part evenly.
    pub fn between(before: &Self, after: &Self, at_ns: i64) -> f64 {
        let length = (after.at_ns - before.at_ns) as f64;
        let share = if length > 0.0 { ((at_ns - before.at_ns) as f64 / length).clamp(0.0, 1.0) } else { 0.0 };
        before.offset_ns as f64 + share * (after.offset_ns - before.offset_ns) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_truth_is_within_the_bound(
            ahead in -1_000_000_000_i64..1_000_000_000,
            ways in proptest::collection::vec((0_i64..5_000_000, 0_i64..5_000_000, 0_i64..1_000_000), 1..20),
        ) {
            let exchanges: Vec<Exchange> = ways.iter().enumerate().map(|(n, (there, back, held))| {
                let asked_ns = n as i64 * 20_000_000;
                let received_ns = asked_ns + there + ahead;
                let answered_ns = received_ns + held;
                Exchange { asked_ns, received_ns, answered_ns, heard_ns: answered_ns - ahead + back }
            }).collect();
            let found = Offset::of(&exchanges).unwrap();
            prop_assert!(found.offset_ns.abs_diff(ahead) <= found.bound_ns, "{found:?}");
            let shortest = ways.iter().map(|(there, back, _)| there + back).min().unwrap();
            prop_assert_eq!(found.way_ns, shortest as u64);
        }
    }

    #[test]
    fn a_wrong_clock_shows_an_instant_when_it_says_so() {
        let clock = Clock::wrong(Duration::from_millis(500), 200e-6);
        let shown_ns = clock.now_ns();
        assert!(shown_ns - monotonic_ns() > 499_000_000);
        let instant = clock.instant(shown_ns + 1_000_000_000);
        let away = instant.duration_since(Instant::now());
        assert!(away < Duration::from_millis(1000) && away > Duration::from_millis(990), "{away:?}");
        assert!(clock.instant(shown_ns - 1_000_000) < Instant::now());
        let right = Clock::default();
        let apart = right.instant(shown_ns + 1_234_567).duration_since(right.instant(shown_ns));
        assert_eq!(apart.as_nanos(), 1_234_567);
    }

    #[test]
    fn clocks_part_evenly_between_two_comparisons() {
        let at = |at_ns, offset_ns| Offset { offset_ns, bound_ns: 10, way_ns: 20, at_ns };
        assert_eq!(Offset::between(&at(0, 100), &at(1000, 300), 500), 200.0);
        assert_eq!(Offset::between(&at(0, 100), &at(0, 300), 500), 100.0);
    }
}
