//! When passes begin. Pure: time comes in as an argument, nothing is read or awaited.

use crate::plan::Limit;

use super::windows::Phase;

/// A pass that is to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it was meant to begin, in nanoseconds since the epoch.
    pub intended_ns: u64,
    /// To which phase it belongs.
    pub phase: Phase,
    /// Its number, from 0; different on all threads.
    pub pass: u64,
}

/// The closed loop: a pass begins when its connection is free, until the budget of the phase is used up.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    stretches: Vec<Stretch>,
    pass: u64,
    /// Passes of all threads have different numbers.
    stride: u64,
}

#[derive(Clone, Debug)]
struct Stretch {
    phase: Phase,
    budget: Budget,
}

#[derive(Clone, Debug)]
enum Budget {
    Passes(u64),
    Time { length_ns: u64, until_ns: Option<u64> },
}

impl ClosedLoop {
    /// The share of thread `thread` of `threads`: amounts are divided, durations are not.
    pub fn new(warm_up: Option<Limit>, during: Limit, thread: u64, threads: u64) -> Self {
        let stretch = |phase, limit| Stretch {
            phase,
            budget: match limit {
                Limit::Amount(n) => Budget::Passes(n / threads + u64::from(thread < n % threads)),
                Limit::Duration(d) => Budget::Time { length_ns: d.as_nanos() as u64, until_ns: None },
            },
        };
        let mut stretches: Vec<Stretch> = warm_up.map(|limit| stretch(Phase::WarmUp, limit)).into_iter().collect();
        stretches.push(stretch(Phase::During, during));
        stretches.reverse(); // the current one is the last
        Self { stretches, pass: thread, stride: threads }
    }

    /// The next pass of a connection that is free at `now_ns`; none when the load is over.
    pub fn next(&mut self, now_ns: u64) -> Option<Arrival> {
        loop {
            let stretch = self.stretches.last_mut()?;
            let open = match &mut stretch.budget {
                Budget::Passes(left) => {
                    let open = *left > 0;
                    *left = left.saturating_sub(1);
                    open
                }
                Budget::Time { length_ns, until_ns } => now_ns < *until_ns.get_or_insert(now_ns + *length_ns),
            };
            if open {
                let arrival = Arrival { intended_ns: now_ns, phase: stretch.phase, pass: self.pass };
                self.pass += self.stride;
                return Some(arrival);
            }
            self.stretches.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// However an amount is divided among threads, exactly that many passes begin, warm-up first, never back in time.
        #[test]
        fn amounts_are_kept(warm in 0_u64..50, amount in 1_u64..500, threads in 1_u64..8) {
            let mut counts = [0_u64; 2];
            for thread in 0..threads {
                let mut schedule = ClosedLoop::new(Some(Limit::Amount(warm)), Limit::Amount(amount), thread, threads);
                let (mut now, mut last, mut measuring) = (0, 0, false);
                while let Some(arrival) = schedule.next(now) {
                    prop_assert!(arrival.intended_ns >= last);
                    last = arrival.intended_ns;
                    measuring |= arrival.phase == Phase::During;
                    prop_assert_eq!(measuring, arrival.phase == Phase::During);
                    counts[usize::from(measuring)] += 1;
                    now += 7;
                }
                prop_assert!(schedule.next(now).is_none());
            }
            prop_assert_eq!(counts, [warm, amount]);
        }

        #[test]
        fn durations_begin_with_their_first_pass(warm_ms in 1_u64..50, during_ms in 1_u64..50, start in 0_u64..1_000_000) {
            let ms = Duration::from_millis;
            let mut schedule = ClosedLoop::new(Some(Limit::Duration(ms(warm_ms))), Limit::Duration(ms(during_ms)), 0, 1);
            let (mut now, mut end) = (start, start);
            while let Some(arrival) = schedule.next(now) {
                end = arrival.intended_ns;
                now += 100_000;
            }
            let total = (warm_ms + during_ms) * 1_000_000;
            prop_assert!(end - start < total + 200_000 && end - start + 200_000 >= total);
        }
    }
}
