//! The closed loop: a pass starts when its connection is free, until the budget of the phase is used up.

use super::{Arrival, Next, ThreadSlice, Timeline};
use plan::{Length, Segment};
use vocabulary::Phase;
use vocabulary::units::nanos;

/// The closed loop of one thread.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// Segments still to come; the current one is the last.
    segments: Vec<Budgeted>,
    timeline: Timeline,
    /// When the current one started.
    start_ns: u64,
    pass: u64,
    /// Numbers of passes differ on all threads.
    stride: u64,
}

#[derive(Clone, Debug)]
struct Budgeted {
    phase: Phase,
    active: bool,
    budget: Budget,
}

#[derive(Clone, Copy, Debug)]
enum Budget {
    Passes(u64),
    Time(u64),
}

impl ClosedLoop {
    /// The share of one thread: amounts are divided, durations are not.
    pub fn new(segments: &[Segment], slice: ThreadSlice, origin_ns: u64) -> Self {
        let budgeted = |segment: &Segment| Budgeted {
            phase: segment.phase,
            active: segment.active,
            budget: match segment.length {
                Length::Amount(n) => Budget::Passes(n / slice.threads + u64::from(slice.thread < n % slice.threads)),
                Length::Duration(d) => Budget::Time(nanos(d)),
            },
        };
        let timeline = Timeline::new(segments, origin_ns);
        let segments = segments.iter().rev().map(budgeted).collect();
        Self { segments, timeline, start_ns: origin_ns, pass: slice.thread, stride: slice.threads }
    }

    /// What a connection does that is free at `now_ns`.
    #[inline(always)]
    pub fn next(&mut self, now_ns: u64) -> Next {
        loop {
            let Some(segment) = self.segments.last_mut() else { return Next::Over };
            let over_ns = match &mut segment.budget {
                Budget::Passes(0) => {
                    self.timeline.over(now_ns);
                    now_ns
                }
                Budget::Passes(left) => {
                    *left -= 1;
                    return Next::Begin(self.begin(now_ns));
                }
                Budget::Time(length) => {
                    let until = self.start_ns.saturating_add(*length);
                    if now_ns < until {
                        return if segment.active { Next::Begin(self.begin(now_ns)) } else { Next::At(until) };
                    }
                    until
                }
            };
            self.start_ns = over_ns;
            self.segments.pop();
        }
    }

    /// The times of the phases, as far as they are known.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether no more passes start, even if a connection is free.
    pub fn is_used_up(&self) -> bool {
        self.segments.iter().all(|s| matches!(s.budget, Budget::Passes(0)))
    }

    fn begin(&mut self, now_ns: u64) -> Arrival {
        let phase = self.segments.last().map_or(Phase::During, |s| s.phase);
        let arrival = Arrival { intended_ns: now_ns, phase, pass: self.pass };
        self.pass += self.stride;
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn segment(phase: Phase, length: Length) -> Segment {
        Segment { phase, length, active: true }
    }

    fn slice(thread: u64, threads: u64) -> ThreadSlice {
        ThreadSlice::of(thread, threads, 1)
    }

    proptest! {
        /// However an amount is divided among threads, exactly that many passes start, warm-up first, never back in
        /// time.
        #[test]
        fn amounts_are_kept(warm in 0_u64..50, amount in 1_u64..500, threads in 1_u64..8) {
            let mut counts = [0_u64; 2];
            let mut passes = std::collections::BTreeSet::new();
            let segments = [segment(Phase::WarmUp, Length::Amount(warm)), segment(Phase::During, Length::Amount(amount))];
            for thread in 0..threads {
                let mut schedule = ClosedLoop::new(&segments, slice(thread, threads), 0);
                let (mut now, mut last, mut measuring) = (0, 0, false);
                while let Next::Begin(arrival) = schedule.next(now) {
                    prop_assert!(arrival.intended_ns >= last);
                    last = arrival.intended_ns;
                    measuring |= arrival.phase == Phase::During;
                    prop_assert_eq!(measuring, arrival.phase == Phase::During);
                    prop_assert!(passes.insert(arrival.pass));
                    counts[usize::from(measuring)] += 1;
                    now += 7;
                }
                prop_assert_eq!(schedule.next(now), Next::Over);
            }
            prop_assert_eq!(counts, [warm, amount]);
        }

        #[test]
        fn durations_follow_each_other_from_the_origin(warm_ms in 1_u64..50, during_ms in 1_u64..50, origin in 0_u64..1_000_000) {
            let ms = |n| Length::Duration(Duration::from_millis(n));
            let segments = [segment(Phase::WarmUp, ms(warm_ms)), segment(Phase::During, ms(during_ms))];
            let mut schedule = ClosedLoop::new(&segments, slice(0, 1), origin);
            let mut now = origin;
            while let Next::Begin(arrival) = schedule.next(now) {
                prop_assert_eq!(arrival.phase == Phase::WarmUp, now < origin + warm_ms * 1_000_000);
                now += 100_000;
            }
            let total = (warm_ms + during_ms) * 1_000_000;
            prop_assert!(now >= origin + total && now < origin + total + 100_000);
        }
    }

    #[test]
    fn a_phase_in_which_it_is_not_active_is_waited_out() {
        let s = |n| Length::Duration(Duration::from_secs(n));
        let inactive = |phase, n| Segment { phase, length: s(n), active: false };
        let segments = [inactive(Phase::Before, 1), segment(Phase::During, s(2)), inactive(Phase::After, 1)];
        let mut schedule = ClosedLoop::new(&segments, slice(0, 1), 0);
        assert_eq!(schedule.next(10), Next::At(1_000_000_000));
        assert!(matches!(schedule.next(1_000_000_000), Next::Begin(Arrival { phase: Phase::During, .. })));
        assert_eq!(schedule.next(3_000_000_000), Next::At(4_000_000_000));
        assert_eq!(schedule.next(4_000_000_000), Next::Over);
    }
}
