//! The open loop: passes begin when the schedule says so, whatever the answers do.
//!
//! Arrivals that find every client busy wait in the order of their instants. The queue is nothing but the distance
//! between this schedule and the clock: its memory does not grow with its length.

use super::{Arrival, Instants, Next, Part, Timeline};
use crate::plan::{Limit, Load, Pattern, Phase, Spacing, Stretch};

/// The open loop of one thread: every `threads`-th arrival of the workload's.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// What is still to come; the current one is the last.
    stretches: Vec<Stretch>,
    timeline: Timeline,
    /// When the current one began.
    start_ns: u64,
    /// Arrivals of the current one so far, on all threads.
    arrived: u64,
    instants: Instants,
    /// The begin of `instants`.
    zero_ns: u64,
    /// Its next one, not yet given away.
    upcoming_ns: u64,
    /// What follows the warm-up.
    measured: Option<Instants>,
    thread: u64,
    threads: u64,
    pass: u64,
    /// The last arrival of a stretch with an amount, on any thread.
    last_ns: u64,
    /// The next arrival of this thread.
    head: Option<Arrival>,
    /// When the schedule ends, once that was asked for.
    end_ns: Option<u64>,
    drain_ns: u64,
    offered: [u64; Phase::ALL.len()],
}

impl OpenLoop {
    /// The share of one thread of a load that begins at `origin_ns`.
    pub fn new(load: &Load, pattern: &Pattern, spacing: Spacing, part: Part, origin_ns: u64) -> Self {
        let measured = || load.stretches.iter().filter(|s| s.phase != Phase::WarmUp);
        let length_s = measured()
            .map(|s| match (s.limit, pattern) {
                (Limit::Duration(d), _) => d.as_secs_f64(),
                (Limit::Amount(n), Pattern::Ramp { from, to }) => n as f64 * 2.0 / (from + to),
                (Limit::Amount(_), _) => 1.0,
            })
            .sum();
        let measured = Instants::new(pattern, spacing, length_s, part.seed);
        // The warm-up has the rate with which the measurement begins.
        let first = measured.first_rate().map_or_else(|| pattern.clone(), Pattern::Rate);
        let has_warm_up = load.stretches.first().is_some_and(|s| s.phase == Phase::WarmUp);
        let (instants, measured) = if has_warm_up {
            (Instants::new(&first, spacing, length_s, part.seed ^ 1), Some(measured))
        } else {
            (measured, None)
        };
        let mut stretches = load.stretches.clone();
        stretches.reverse();
        let mut open = Self {
            stretches,
            timeline: Timeline::new(&load.stretches, origin_ns),
            start_ns: origin_ns,
            arrived: 0,
            instants,
            zero_ns: origin_ns,
            upcoming_ns: 0,
            measured,
            thread: part.thread,
            threads: part.threads,
            pass: 0,
            last_ns: origin_ns,
            head: None,
            end_ns: None,
            drain_ns: load.drain.as_nanos() as u64,
            offered: [0; Phase::ALL.len()],
        };
        open.upcoming_ns = origin_ns + open.instants.next_ns();
        open.advance();
        open
    }

    /// Goes on to the next stretch, which begins at `start_ns`.
    fn next_stretch(&mut self, start_ns: u64) {
        let over = self.stretches.pop();
        if matches!(over, Some(Stretch { limit: Limit::Amount(_), .. })) {
            self.timeline.over(start_ns);
        }
        (self.start_ns, self.arrived) = (start_ns, 0);
        if over.is_some_and(|s| s.phase == Phase::WarmUp)
            && let Some(measured) = self.measured.take()
        {
            (self.instants, self.zero_ns) = (measured, start_ns);
            self.upcoming_ns = start_ns + self.instants.next_ns();
        }
    }

    /// Finds the next arrival of this thread.
    fn advance(&mut self) {
        self.head = None;
        while let Some(stretch) = self.stretches.last().copied() {
            match stretch.limit {
                Limit::Duration(length) => {
                    let end = self.start_ns + length.as_nanos() as u64;
                    if self.upcoming_ns >= end {
                        self.next_stretch(end);
                        continue;
                    }
                    if !stretch.active {
                        self.instants.skip_to(end - self.zero_ns);
                        self.upcoming_ns = self.zero_ns + self.instants.next_ns();
                        continue;
                    }
                }
                Limit::Amount(amount) => {
                    if self.arrived >= amount {
                        self.next_stretch(self.upcoming_ns);
                        continue;
                    }
                    self.last_ns = self.upcoming_ns;
                }
            }
            let arrival = Arrival { intended_ns: self.upcoming_ns, phase: stretch.phase, pass: self.pass };
            self.upcoming_ns = self.zero_ns + self.instants.next_ns();
            self.arrived += 1;
            self.pass += 1;
            if arrival.pass % self.threads == self.thread {
                self.offered[arrival.phase as usize] += 1;
                self.head = Some(arrival);
                return;
            }
        }
    }

    /// What a client does that is free at `now_ns`.
    pub fn next(&mut self, now_ns: u64) -> Next {
        let Some(head) = self.head else { return Next::Over };
        if head.intended_ns > now_ns {
            return Next::At(head.intended_ns);
        }
        if self.is_over(now_ns) {
            return Next::Over;
        }
        self.advance();
        Next::Begin(head)
    }

    /// Whether nothing is sent any more, because the end and the drain behind it are over.
    fn is_over(&mut self, now_ns: u64) -> bool {
        // As long as the queue is shorter than the drain, the end cannot be over for that long.
        let waited = self.head.is_some_and(|h| h.intended_ns + self.drain_ns < now_ns);
        waited && now_ns > self.end_ns() + self.drain_ns
    }

    /// When the schedule ends: the end of its last stretch, or its last arrival where that has an amount.
    pub fn end_ns(&mut self) -> u64 {
        if let Some(end) = self.end_ns {
            return end;
        }
        let known: Option<u64> = self.stretches.iter().rev().try_fold(self.start_ns, |start, s| match s.limit {
            Limit::Duration(d) => Some(start + d.as_nanos() as u64),
            Limit::Amount(_) => None,
        });
        let end = known.unwrap_or_else(|| {
            let mut rest = self.clone();
            while rest.head.is_some() {
                rest.advance();
            }
            rest.last_ns
        });
        *self.end_ns.insert(end)
    }

    /// When which phase is, as far as that is known.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Whether no pass begins any more, whenever a client is free.
    pub fn is_used_up(&self) -> bool {
        self.head.is_none()
    }

    /// By phase, how many arrivals there were and how many of them nobody took. Ends the schedule.
    pub fn offered_and_unsent(&mut self) -> Vec<(Phase, u64, u64)> {
        let mut unsent = [0; Phase::ALL.len()];
        while let Some(head) = self.head {
            unsent[head.phase as usize] += 1;
            self.advance();
        }
        let rows = Phase::ALL.into_iter().map(|p| (p, self.offered[p as usize], unsent[p as usize]));
        rows.filter(|(_, offered, _)| *offered > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrivals;
    use proptest::prelude::*;
    use std::time::Duration;

    const S: u64 = 1_000_000_000;

    fn load(stretches: Vec<Stretch>) -> Load {
        Load { arrivals: Arrivals::closed(1), stretches, drain: Duration::from_secs(1), find: None, auto_warm_up: false }
    }

    fn stretch(phase: Phase, limit: Limit) -> Stretch {
        Stretch { phase, limit, active: true }
    }

    fn schedule(stretches: Vec<Stretch>, rate: f64, spacing: Spacing, thread: u64, threads: u64) -> OpenLoop {
        OpenLoop::new(&load(stretches), &Pattern::Rate(rate), spacing, Part { thread, threads, seed: 5 }, 0)
    }

    /// All arrivals, taken as soon as they are due.
    fn drained(mut schedule: OpenLoop) -> Vec<Arrival> {
        let mut now = 0;
        let mut all = Vec::new();
        loop {
            match schedule.next(now) {
                Next::Begin(arrival) => all.push(arrival),
                Next::At(at) => now = at,
                Next::Over => return all,
            }
        }
    }

    fn seconds(n: u64) -> Limit {
        Limit::Duration(Duration::from_secs(n))
    }

    #[test]
    fn phases_follow_each_other_and_inactive_ones_have_no_arrivals() {
        let stretches = vec![
            stretch(Phase::WarmUp, seconds(1)),
            stretch(Phase::Before, seconds(1)),
            Stretch { phase: Phase::During, limit: seconds(2), active: false },
            stretch(Phase::After, seconds(1)),
        ];
        let all = drained(schedule(stretches, 100.0, Spacing::Constant, 0, 1));
        let count = |phase| all.iter().filter(|a| a.phase == phase).count();
        assert_eq!([Phase::WarmUp, Phase::Before, Phase::During, Phase::After].map(count), [100, 100, 0, 100]);
        assert!(all.iter().filter(|a| a.phase == Phase::After).all(|a| (4 * S..5 * S).contains(&a.intended_ns)));
    }

    proptest! {
        /// However many threads share a schedule, together they make exactly the arrivals of one.
        #[test]
        fn threads_share_without_loss(rate in 10.0_f64..5000.0, threads in 1_u64..6, poisson in any::<bool>(), amount in 1_u64..500) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            for limit in [Limit::Amount(amount), seconds(1)] {
                let stretches = vec![stretch(Phase::WarmUp, Limit::Amount(7)), stretch(Phase::During, limit)];
                let whole = drained(schedule(stretches.clone(), rate, spacing, 0, 1));
                let mut parts: Vec<Arrival> =
                    (0..threads).flat_map(|t| drained(schedule(stretches.clone(), rate, spacing, t, threads))).collect();
                parts.sort_by_key(|a| a.pass);
                prop_assert_eq!(&parts, &whole);
                prop_assert!(whole.is_sorted_by_key(|a| a.intended_ns));
                if limit == Limit::Amount(amount) {
                    prop_assert_eq!(whole.len() as u64, amount + 7);
                }
            }
        }

        /// Whatever is taken and whenever: taken and unsent are together what was offered.
        #[test]
        fn nothing_is_dropped_in_silence(steps in proptest::collection::vec(1_u64..300_000_000, 1..60)) {
            let mut schedule = schedule(vec![stretch(Phase::During, seconds(3))], 50.0, Spacing::Poisson, 0, 1);
            let all = drained(schedule.clone()).len() as u64;
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += u64::from(matches!(schedule.next(now), Next::Begin(_)));
            }
            let rows = schedule.offered_and_unsent();
            prop_assert_eq!(rows.iter().map(|(_, offered, _)| offered).sum::<u64>(), all);
            prop_assert_eq!(rows.iter().map(|(_, _, unsent)| unsent).sum::<u64>(), all - taken);
        }
    }

    #[test]
    fn what_waits_is_sent_during_the_drain_and_unsent_after_it() {
        let make = || schedule(vec![stretch(Phase::During, seconds(2))], 10.0, Spacing::Constant, 0, 1);
        let mut late = make();
        assert!(matches!(late.next(2 * S + S / 2), Next::Begin(Arrival { intended_ns: 0, .. })));
        let mut too_late = make();
        assert_eq!(too_late.next(3 * S + 1), Next::Over);
        assert_eq!(too_late.offered_and_unsent(), [(Phase::During, 20, 20)]);
        // With an amount the last arrival is the end.
        let mut amount = schedule(vec![stretch(Phase::During, Limit::Amount(5))], 10.0, Spacing::Constant, 0, 1);
        assert_eq!(amount.end_ns(), 4 * S / 10);
        assert!(matches!(amount.next(S), Next::Begin(_)));
        assert_eq!(amount.next(S + S / 2), Next::Over);
        assert_eq!(amount.offered_and_unsent(), [(Phase::During, 5, 4)]);
    }
}
