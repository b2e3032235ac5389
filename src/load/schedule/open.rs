//! The open loop: passes start when the schedule says so, whatever the answers do.
//!
//! Arrivals that find every client busy wait in the order of their instants. The queue is just the distance between
//! this schedule and the clock: its memory does not grow with its length, and neither does the work of a call. For
//! evenly spaced arrivals, the end and the number left are computed; those of a Poisson process must be drawn one by
//! one, which is done in pieces, between which the generator does its work.

use std::ops::Range;
use std::time::Duration;

use super::{Arrival, Instants, Next, ThreadSlice, Timeline};
use plan::{Length, Load, Pattern, Segment, Spacing};
use vocabulary::Phase;
use vocabulary::units::nanos;

/// The most arrivals that one call examines, besides those that it gives away: some tens of microseconds.
const PIECE: usize = 2048;
/// How long the passes of an amount may wait after the last one was due, at least.
const LEAST_DRAIN: Duration = Duration::from_secs(1);

/// All arrivals of a load in order, whichever thread takes them.
#[derive(Clone, Debug)]
struct Walk {
    /// Segments still to come; the current one is the last.
    segments: Vec<Segment>,
    timeline: Timeline,
    /// When the current one started.
    start_ns: u64,
    /// Arrivals of the current one so far.
    arrived: u64,
    instants: Instants,
    /// The start of `instants`.
    zero_ns: u64,
    /// How much later than their segments arrivals start.
    stagger_ns: u64,
    /// Its next one, not yet given away.
    upcoming_ns: u64,
    /// The segments after the warm-up.
    measured: Option<Instants>,
    pass: u64,
    /// The end of the finished segments: of one with a duration, its end; of one with an amount, its last arrival.
    over_ns: u64,
}

impl Walk {
    fn new(load: &Load, pattern: &Pattern, spacing: Spacing, slice: ThreadSlice, origin_ns: u64) -> Self {
        let ThreadSlice { seed, stagger_ns, .. } = slice;
        let measured = || load.segments.iter().filter(|s| s.phase != Phase::WarmUp);
        let length_s = measured()
            .map(|s| match (s.length, pattern) {
                (Length::Duration(d), _) => d.as_secs_f64(),
                (Length::Amount(n), Pattern::Ramp { from, to }) => n as f64 * 2.0 / (from + to),
                (Length::Amount(_), _) => 1.0,
            })
            .sum();
        let measured = Instants::new(pattern, spacing, length_s, seed);
        // The warm-up has the rate with which the measurement starts.
        let first = measured.first_rate().map_or_else(|| pattern.clone(), Pattern::Rate);
        let has_warm_up = load.segments.first().is_some_and(|s| s.phase == Phase::WarmUp) && !measured.is_log();
        let (instants, measured) =
            if has_warm_up { (Instants::new(&first, spacing, length_s, seed ^ 1), Some(measured)) } else { (measured, None) };
        let mut segments = load.segments.clone();
        segments.reverse();
        let mut walk = Self {
            segments,
            timeline: Timeline::new(&load.segments, origin_ns),
            start_ns: origin_ns,
            arrived: 0,
            instants,
            zero_ns: origin_ns.saturating_add(stagger_ns),
            stagger_ns,
            upcoming_ns: 0,
            measured,
            pass: 0,
            over_ns: origin_ns,
        };
        walk.draw(1);
        walk
    }

    /// Makes the `n`-th instant from here the upcoming one.
    fn draw(&mut self, n: u64) {
        self.upcoming_ns = self.zero_ns.saturating_add(self.instants.nth_ns(n));
    }

    /// Continues with the next segment, which starts at `start_ns`.
    fn next_segment(&mut self, start_ns: u64) {
        let over = self.segments.pop();
        match over.map(|s| s.length) {
            Some(Length::Amount(_)) => self.timeline.over(start_ns),
            _ => self.over_ns = start_ns,
        }
        (self.start_ns, self.arrived) = (start_ns, 0);
        if over.is_some_and(|s| s.phase == Phase::WarmUp)
            && let Some(measured) = self.measured.take()
        {
            (self.instants, self.zero_ns) = (measured, start_ns.saturating_add(self.stagger_ns));
            self.draw(1);
        }
    }

    /// The segment of the upcoming arrival, and its end if it has a duration. `None` after the last one.
    fn settle(&mut self) -> Option<(Segment, Option<u64>)> {
        while let Some(segment) = self.segments.last().copied() {
            match segment.length {
                Length::Duration(length) => {
                    let end_ns = self.start_ns.saturating_add(nanos(length));
                    if self.upcoming_ns >= end_ns {
                        self.next_segment(end_ns);
                    } else if !segment.active {
                        self.instants.skip_to(end_ns.saturating_sub(self.zero_ns));
                        self.draw(1);
                    } else {
                        return Some((segment, Some(end_ns)));
                    }
                }
                Length::Amount(amount) if self.arrived >= amount => self.next_segment(self.upcoming_ns),
                Length::Amount(_) => return Some((segment, None)),
            }
        }
        None
    }

    /// The next arrival.
    fn next(&mut self) -> Option<Arrival> {
        #[cfg(test)]
        tests::STEPS.with(|steps| steps.set(steps.get() + 1));
        let (segment, end_ns) = self.settle()?;
        if end_ns.is_none() {
            self.over_ns = self.upcoming_ns;
        }
        let arrival = Arrival { intended_ns: self.upcoming_ns, phase: segment.phase, pass: self.pass };
        self.draw(1);
        self.arrived += 1;
        self.pass += 1;
        Some(arrival)
    }

    /// Skips all remaining arrivals of a segment without examining each: their phase and their passes. Only for even
    /// spacing.
    fn leap(&mut self) -> Option<(Phase, Range<u64>)> {
        let (segment, end_ns) = self.settle()?;
        let left = match (segment.length, end_ns) {
            (Length::Amount(amount), _) => amount - self.arrived,
            // The upcoming one, and those after it.
            (_, end_ns) => 1 + self.instants.before(end_ns.unwrap_or(u64::MAX).saturating_sub(self.zero_ns)),
        };
        if left > 1 {
            self.draw(left - 1);
        }
        if end_ns.is_none() {
            self.over_ns = self.upcoming_ns;
        }
        self.draw(1);
        let first = self.pass;
        self.arrived = self.arrived.saturating_add(left);
        self.pass = first.saturating_add(left);
        Some((segment.phase, first..self.pass))
    }

    /// A piece of the rest: one arrival, or as many as can be computed at once.
    fn piece(&mut self) -> Option<(Phase, Range<u64>)> {
        match self.instants.is_even() {
            true => self.leap(),
            false => self.next().map(|arrival| (arrival.phase, arrival.pass..arrival.pass + 1)),
        }
    }

    /// When the last segment ends, as far as that can be known without examining arrivals.
    fn end_ns(&self) -> Option<u64> {
        if self.segments.is_empty() {
            return Some(self.over_ns);
        }
        self.segments.iter().rev().try_fold(self.start_ns, |start_ns, segment| match segment.length {
            Length::Duration(length) => Some(start_ns.saturating_add(nanos(length))),
            Length::Amount(_) => None,
        })
    }
}

/// The open loop of one thread: every `threads`-th arrival of the workload.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    walk: Walk,
    thread: u64,
    threads: u64,
    /// The next arrival of this thread.
    head: Option<Arrival>,
    /// Another walk over the same arrivals, which is ahead and looks for their end.
    ahead: Option<Box<Walk>>,
    /// When the schedule ends, once that is known.
    end_ns: Option<u64>,
    drain_ns: u64,
    offered: [u64; Phase::ALL.len()],
    unsent: [u64; Phase::ALL.len()],
}

impl OpenLoop {
    /// The share of one thread of a load that starts at `origin_ns`.
    pub fn new(load: &Load, pattern: &Pattern, spacing: Spacing, slice: ThreadSlice, origin_ns: u64) -> Self {
        // The last pass of an amount is the end of the load, and is sent a little after it was due.
        let ends_with_pass = load.segments.last().is_some_and(|segment| matches!(segment.length, Length::Amount(_)));
        let drain = if ends_with_pass { load.drain.max(LEAST_DRAIN) } else { load.drain };
        let mut open = Self {
            walk: Walk::new(load, pattern, spacing, slice, origin_ns),
            thread: slice.thread,
            threads: slice.threads,
            head: None,
            ahead: None,
            end_ns: None,
            drain_ns: nanos(drain),
            offered: [0; Phase::ALL.len()],
            unsent: [0; Phase::ALL.len()],
        };
        open.advance();
        open
    }

    /// Finds the next arrival of this thread.
    fn advance(&mut self) {
        self.head = None;
        while let Some(arrival) = self.walk.next() {
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

    /// Whether nothing more is sent, because the end and the drain after it are over.
    fn is_over(&mut self, now_ns: u64) -> bool {
        self.look_ahead(now_ns);
        self.waits(now_ns) && self.end_ns.is_some_and(|end_ns| end_ns.saturating_add(self.drain_ns) < now_ns)
    }

    /// Whether an arrival has waited longer than the drain: only then can the end be that long ago.
    fn waits(&self, now_ns: u64) -> bool {
        self.head.is_some_and(|head| head.intended_ns.saturating_add(self.drain_ns) < now_ns)
    }

    /// Looks for the end of the schedule: no further than matters at `now_ns`, and at a bounded number of arrivals.
    /// Returns whether it could continue immediately; the caller lets others have their turn before that.
    pub fn look_ahead(&mut self, now_ns: u64) -> bool {
        if self.end_ns.is_some() || !self.waits(now_ns) {
            return false;
        }
        self.end_ns = self.walk.end_ns();
        let ahead = self.ahead.get_or_insert_with(|| Box::new(self.walk.clone()));
        if ahead.pass < self.walk.pass {
            **ahead = self.walk.clone();
        }
        for _ in 0..PIECE {
            // If an amount is used up, the segment is over with its last arrival and not with the next one that would
            // have followed.
            ahead.settle();
            self.end_ns = self.end_ns.or_else(|| ahead.end_ns());
            if self.end_ns.is_some() {
                self.ahead = None;
                return false;
            }
            // A segment that ends later is not over.
            if ahead.upcoming_ns.saturating_add(self.drain_ns) >= now_ns {
                return false;
            }
            ahead.piece();
        }
        true
    }

    /// The times of the phases, as far as they are known.
    pub fn timeline(&self) -> &Timeline {
        &self.walk.timeline
    }

    /// Whether no more passes start, even if a client is free.
    pub fn is_used_up(&self) -> bool {
        self.head.is_none()
    }

    /// Ends the schedule: counts a bounded number of the arrivals that nobody took as unsent. Returns whether there are
    /// more.
    pub fn give_up(&mut self) -> bool {
        if let Some(head) = self.head.take() {
            self.unsent[head.phase as usize] += 1;
        }
        for _ in 0..PIECE {
            // How many are left of an amount is known, whenever they were meant to be.
            let counted = match self.walk.segments[..] {
                [Segment { phase, length: Length::Amount(amount), .. }] => {
                    let first = self.walk.pass;
                    self.walk.pass = first.saturating_add(amount.saturating_sub(self.walk.arrived));
                    self.walk.segments.clear();
                    Some((phase, first..self.walk.pass))
                }
                _ => self.walk.piece(),
            };
            let Some((phase, passes)) = counted else { return false };
            let own = self.own_before(passes.end) - self.own_before(passes.start);
            self.offered[phase as usize] += own;
            self.unsent[phase as usize] += own;
        }
        true
    }

    /// How many of the passes before `pass` belong to this thread.
    fn own_before(&self, pass: u64) -> u64 {
        pass / self.threads + u64::from(pass % self.threads > self.thread)
    }

    /// By phase, how many arrivals there were and how many of them nobody took. Ends the schedule.
    pub fn offered_and_unsent(&mut self) -> Vec<(Phase, u64, u64)> {
        while self.give_up() {}
        let rows = Phase::ALL.into_iter().map(|p| (p, self.offered[p as usize], self.unsent[p as usize]));
        rows.filter(|(_, offered, _)| *offered > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::Arrivals;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    thread_local! {
        /// How many arrivals were examined.
        pub(super) static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    fn load(segments: Vec<Segment>) -> Load {
        Load { arrivals: Arrivals::closed(1), segments, drain: Duration::from_secs(1), find: None, auto_warm_up: false }
    }

    fn segment(phase: Phase, length: Length) -> Segment {
        Segment { phase, length, active: true }
    }

    fn schedule(segments: Vec<Segment>, rate: f64, spacing: Spacing, thread: u64, threads: u64) -> OpenLoop {
        OpenLoop::new(&load(segments), &Pattern::Rate(rate), spacing, ThreadSlice::of(thread, threads, 5), 0)
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

    fn seconds(n: u64) -> Length {
        Length::Duration(Duration::from_secs(n))
    }

    #[test]
    fn phases_follow_each_other_and_inactive_ones_have_no_arrivals() {
        let segments = vec![
            segment(Phase::WarmUp, seconds(1)),
            segment(Phase::Before, seconds(1)),
            Segment { phase: Phase::During, length: seconds(2), active: false },
            segment(Phase::After, seconds(1)),
        ];
        let all = drained(schedule(segments, 100.0, Spacing::Constant, 0, 1));
        let count = |phase| all.iter().filter(|a| a.phase == phase).count();
        assert_eq!([Phase::WarmUp, Phase::Before, Phase::During, Phase::After].map(count), [100, 100, 0, 100]);
        assert!(all.iter().filter(|a| a.phase == Phase::After).all(|a| (4 * S..5 * S).contains(&a.intended_ns)));
    }

    proptest! {
        /// However many threads share a schedule, together they make exactly the arrivals of one.
        #[test]
        fn threads_share_without_loss(rate in 10.0_f64..5000.0, threads in 1_u64..6, poisson in any::<bool>(), amount in 1_u64..500) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            for length in [Length::Amount(amount), seconds(1)] {
                let segments = vec![segment(Phase::WarmUp, Length::Amount(7)), segment(Phase::During, length)];
                let whole = drained(schedule(segments.clone(), rate, spacing, 0, 1));
                let mut parts: Vec<Arrival> =
                    (0..threads).flat_map(|t| drained(schedule(segments.clone(), rate, spacing, t, threads))).collect();
                parts.sort_by_key(|a| a.pass);
                prop_assert_eq!(&parts, &whole);
                prop_assert!(whole.is_sorted_by_key(|a| a.intended_ns));
                if length == Length::Amount(amount) {
                    prop_assert_eq!(whole.len() as u64, amount + 7);
                }
            }
        }

        /// Whatever is taken and whenever: taken and unsent are together what was offered.
        #[test]
        fn nothing_is_dropped_in_silence(steps in proptest::collection::vec(1_u64..300_000_000, 1..60)) {
            let mut schedule = schedule(vec![segment(Phase::During, seconds(3))], 50.0, Spacing::Poisson, 0, 1);
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

    /// The end before it was looked for in pieces: that of a walk over all arrivals.
    fn walked_end(load: &Load, spacing: Spacing) -> u64 {
        let mut walk = Walk::new(load, &Pattern::Rate(RATE), spacing, ThreadSlice::of(0, 1, 5), 0);
        while walk.next().is_some() {}
        walk.over_ns
    }

    const RATE: f64 = 1000.0;

    fn lengths() -> impl Strategy<Value = Length> {
        prop_oneof![
            (1_u64..6000).prop_map(Length::Amount),
            (1_u64..6000).prop_map(|ms| Length::Duration(Duration::from_millis(ms)))
        ]
    }

    proptest! {
        /// Whether found in pieces or computed, the end and the numbers are those of a walk over all arrivals.
        #[test]
        fn the_end_is_that_of_a_walk(warm_up in lengths(), during in lengths(), poisson in any::<bool>(), threads in 1_u64..4, taken in 0_usize..20) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let segments = vec![segment(Phase::WarmUp, warm_up), segment(Phase::During, during)];
            let end_ns = walked_end(&load(segments.clone()), spacing);
            let (mut offered, mut unsent) = (0, 0);
            for thread in 0..threads {
                let mut schedule = schedule(segments.clone(), RATE, spacing, thread, threads);
                let mut all = drained(schedule.clone()).len() as u64;
                for _ in 0..taken {
                    all -= u64::from(matches!(schedule.next(100 * S), Next::Begin(_)));
                }
                let mut calls = 0;
                while schedule.look_ahead(end_ns + 2 * S) { calls += 1; }
                prop_assert!(calls < 10);
                if schedule.head.is_some_and(|h| h.intended_ns < end_ns) {
                    prop_assert_eq!(schedule.end_ns, Some(end_ns));
                    prop_assert!(schedule.clone().next(end_ns + S + 1) == Next::Over);
                    prop_assert!(schedule.clone().next(end_ns + S) != Next::Over);
                }
                let rows = schedule.offered_and_unsent();
                offered += rows.iter().map(|(_, offered, _)| offered).sum::<u64>();
                unsent += rows.iter().map(|(.., unsent)| unsent).sum::<u64>();
                prop_assert_eq!(rows.iter().map(|(.., unsent)| unsent).sum::<u64>(), all);
            }
            let whole = drained(OpenLoop::new(&load(segments), &Pattern::Rate(RATE), spacing, ThreadSlice::of(0, 1, 5), 0));
            prop_assert_eq!(offered, whole.len() as u64);
            prop_assert!(unsent <= offered);
        }

        /// However much is left and however late it is, a call examines no more arrivals than a piece.
        #[test]
        fn the_work_of_a_call_is_bounded(amount in 1_u64..=1_000_000_000_000, late_s in 0_u64..1000, poisson in any::<bool>(), warm in any::<bool>()) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let warm_up = segment(Phase::WarmUp, if warm { Length::Amount(amount) } else { seconds(1000) });
            let mut schedule = schedule(vec![warm_up, segment(Phase::During, Length::Amount(amount))], 1e9, spacing, 0, 1);
            let steps = || STEPS.with(std::cell::Cell::take);
            for call in 0..20 {
                steps();
                schedule.next(late_s * S + call);
                let looked = steps();
                prop_assert!(looked <= PIECE + 1, "{looked}");
                schedule.look_ahead(late_s * S + call);
                prop_assert!(steps() <= PIECE);
                schedule.clone().give_up();
                prop_assert!(steps() <= PIECE);
            }
            if !poisson {
                let rows = schedule.offered_and_unsent();
                prop_assert!(steps() <= PIECE);
                prop_assert_eq!(rows.last().map(|(_, offered, _)| *offered), Some(amount));
            }
        }

        /// At the limits of numbers a schedule continues or ends; it never goes back.
        #[test]
        fn nothing_wraps(rate in prop_oneof![Just(1e-300), Just(1e-11), Just(1e9), Just(f64::MAX)], amount in prop_oneof![Just(3), Just(u64::MAX)],
            time in prop_oneof![Just(Duration::from_nanos(1)), Just(Duration::MAX)], origin in prop_oneof![Just(0), Just(u64::MAX)], poisson in any::<bool>(), late in any::<bool>()) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            for lengths in [[Length::Amount(amount), Length::Duration(time)], [Length::Duration(time), Length::Amount(amount)]] {
                let segments = lengths.into_iter().zip([Phase::WarmUp, Phase::During]).map(|(length, phase)| segment(phase, length)).collect();
                let load = Load { drain: Duration::MAX, ..load(segments) };
                let mut schedule = OpenLoop::new(&load, &Pattern::Rate(rate), spacing, ThreadSlice::of(0, 3, 5), origin);
                let (mut now, mut last) = (if late { u64::MAX } else { origin }, 0);
                for _ in 0..100 {
                    match schedule.next(now) {
                        Next::Begin(arrival) => {
                            prop_assert!(arrival.intended_ns >= last && arrival.intended_ns >= origin);
                            last = arrival.intended_ns;
                        }
                        Next::At(at) => { prop_assert!(at > now); now = at }
                        Next::Over => break,
                    }
                }
                schedule.give_up();
            }
        }
    }

    #[test]
    fn the_end_of_a_warm_up_with_an_amount_is_not_the_end() {
        let segments = vec![segment(Phase::WarmUp, Length::Amount(10)), segment(Phase::During, seconds(60))];
        for spacing in [Spacing::Constant, Spacing::Poisson] {
            // No client was free for 20 s; the measurement continues anyway.
            let mut schedule = schedule(segments.clone(), 10.0, spacing, 0, 1);
            assert!(matches!(schedule.next(20 * S), Next::Begin(Arrival { pass: 0, .. })));
        }
    }

    #[test]
    fn what_waits_is_sent_during_the_drain_and_unsent_after_it() {
        let make = || schedule(vec![segment(Phase::During, seconds(2))], 10.0, Spacing::Constant, 0, 1);
        let mut late = make();
        assert!(matches!(late.next(2 * S + S / 2), Next::Begin(Arrival { intended_ns: 0, .. })));
        let mut too_late = make();
        assert_eq!(too_late.next(3 * S + 1), Next::Over);
        assert_eq!(too_late.offered_and_unsent(), [(Phase::During, 20, 20)]);
        // With an amount the last arrival is the end.
        let mut amount = schedule(vec![segment(Phase::During, Length::Amount(5))], 10.0, Spacing::Constant, 0, 1);
        assert!(matches!(amount.next(S), Next::Begin(_)));
        assert_eq!(amount.next(S + S / 2), Next::Over);
        assert_eq!(amount.offered_and_unsent(), [(Phase::During, 5, 4)]);
        // It is itself sent, however soon the load is to end.
        let load = Load { drain: Duration::ZERO, ..load(vec![segment(Phase::During, Length::Amount(1))]) };
        let mut last = OpenLoop::new(&load, &Pattern::Rate(10.0), Spacing::Constant, ThreadSlice::of(0, 1, 5), 0);
        assert!(matches!(last.next(S / 1000), Next::Begin(_)));
    }
}
