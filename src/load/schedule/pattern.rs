//! Instants of an open loop: from a rate that may change and a spacing to a sequence of times.
//!
//! A rate r(t) is turned into its integral Λ(t), the number of arrivals expected by t. Evenly spaced arrivals lie at Λ
//! = 0, 1, 2, …; those of a Poisson process at the partial sums of exponential gaps of mean 1 (time-rescaling: Çinlar,
//! *Introduction to Stochastic Processes*, 1975, ch. 4), keys at those of the gaps from `typed`. Λ is inverted exactly,
//! piece by piece.

use std::sync::Arc;

use super::Random;
use super::typed::Hand;
use plan::replay::LogRequests;
use plan::{Pattern, Spacing, Stage};
use vocabulary::units::nanos;

/// A stretch of time in which the rate is a straight line.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its start in seconds.
    start_s: f64,
    /// Arrivals expected before it.
    before: f64,
    /// Rate at its start, per second.
    rate: f64,
    /// Change of the rate, per second.
    slope: f64,
}

impl Piece {
    fn expected_by(&self, at_s: f64) -> f64 {
        let t = at_s - self.start_s;
        self.before + self.rate * t + self.slope * t * t / 2.0
    }

    /// The inverse of `expected_by`, in the form of the quadratic formula that does not cancel.
    fn when(&self, expected: f64) -> f64 {
        let n = expected - self.before;
        // Also where the rate starts at 0.
        if n <= 0.0 {
            return self.start_s;
        }
        let root = (self.rate * self.rate + 2.0 * self.slope * n).max(0.0).sqrt();
        self.start_s + 2.0 * n / (self.rate + root)
    }
}

/// The instants at which passes are meant to start, in nanoseconds from the start of the pattern, ascending and without
/// end.
#[derive(Clone, Debug)]
pub struct Instants(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Rates { pieces: Vec<Piece>, current: usize, expected: f64, first: bool, spacing: Spacing, random: Random, hand: Hand },
    Periodic { every_ns: u64, jitter_ns: u64, number: u64, random: Random },
    Log(Box<Log>),
}

/// The instants of a log.
#[derive(Clone, Debug)]
struct Log {
    log: Arc<LogRequests>,
    next: usize,
    /// Where instants are drawn: how many requests of the current second are left, and the share of it that is over.
    left: u64,
    after: f64,
    random: Random,
}

impl Log {
    fn next_ns(&mut self) -> u64 {
        let Some(at_ns) = self.log.at_ns.get(self.next).copied() else { return u64::MAX };
        let late = if self.log.within_ns == 0 { 0 } else { self.draw(at_ns) };
        self.next += 1;
        at_ns.saturating_add(late)
    }

    /// The next of `left` instants that are drawn uniformly and come in their order: the smallest of so many (Bentley & Saxe,
    /// *Generating sorted lists of random numbers*, 1980).
    fn draw(&mut self, at_ns: u64) -> u64 {
        if self.left == 0 {
            self.left = self.log.at_ns[self.next..].iter().take_while(|at| **at == at_ns).count() as u64;
            self.after = 0.0;
        }
        let least = libm::exp(-self.random.exponential() / self.left.max(1) as f64);
        self.after = 1.0 - (1.0 - self.after) * least;
        self.left = self.left.saturating_sub(1);
        (self.after * self.log.within_ns as f64) as u64
    }
}

impl Instants {
    /// The instants of a pattern that lasts `length_s`; a ramp ends there, and later instants keep the last rate.
    pub fn new(pattern: &Pattern, spacing: Spacing, length_s: f64, seed: u64) -> Self {
        let mut random = Random::new(seed, 0x61_7272_6976_616c);
        let flat = |start_s, before, rate| Piece { start_s, before, rate, slope: 0.0 };
        let pieces = match pattern {
            Pattern::Periodic { every, jitter } => {
                let (every_ns, jitter_ns) = (nanos(*every), nanos(*jitter));
                return Self(Kind::Periodic { every_ns, jitter_ns, number: 0, random });
            }
            Pattern::Rate(rate) => vec![flat(0.0, 0.0, *rate)],
            Pattern::Ramp { from, to } => {
                let ramp = Piece { start_s: 0.0, before: 0.0, rate: *from, slope: (to - from) / length_s };
                vec![ramp, flat(length_s, ramp.expected_by(length_s), *to)]
            }
            Pattern::Stages(stages) => {
                let (mut start_s, mut before) = (0.0, 0.0);
                let mut pieces = Vec::new();
                for Stage { from, to, length } in stages {
                    let length_s = length.as_secs_f64();
                    let piece = Piece { start_s, before, rate: *from, slope: (to - from) / length_s };
                    (start_s, before) = (start_s + length_s, piece.expected_by(start_s + length_s));
                    pieces.push(piece);
                }
                pieces.push(flat(start_s, before, stages.last().map_or(0.0, |stage| stage.to)));
                pieces
            }
            Pattern::Replay(replay) => {
                let log = Arc::clone(&replay.log_requests);
                return Self(Kind::Log(Box::new(Log { log, next: 0, left: 0, after: 0.0, random })));
            }
            Pattern::Steps { rates, each, shuffled } => {
                let mut rates = rates.clone();
                if *shuffled {
                    // Fisher and Yates.
                    for i in (1..rates.len()).rev() {
                        rates.swap(i, (random.bits() % (i as u64 + 1)) as usize);
                    }
                }
                let mut before = 0.0;
                let mut pieces = Vec::new();
                for (i, rate) in rates.iter().enumerate() {
                    pieces.push(flat(i as f64 * each.as_secs_f64(), before, *rate));
                    before += rate * each.as_secs_f64();
                }
                pieces
            }
        };
        Self(Kind::Rates { pieces, current: 0, expected: 0.0, first: true, spacing, random, hand: Hand::default() })
    }

    /// The next instant.
    pub fn next_ns(&mut self) -> u64 {
        match &mut self.0 {
            Kind::Log(log) => log.next_ns(),
            Kind::Periodic { every_ns, jitter_ns, number, random } => {
                let late = if *jitter_ns == 0 { 0 } else { random.bits() % *jitter_ns };
                let at_ns = number.saturating_mul(*every_ns).saturating_add(late);
                *number = number.saturating_add(1);
                at_ns
            }
            Kind::Rates { pieces, current, expected, first, spacing, random, hand } => {
                let gap = match spacing {
                    Spacing::Poisson => random.exponential(),
                    Spacing::Typed => hand.gap(random),
                    Spacing::Constant if *first => 0.0,
                    Spacing::Constant => 1.0,
                };
                *first = false;
                *expected += gap;
                while pieces.get(*current + 1).is_some_and(|p| p.before <= *expected) {
                    *current += 1;
                }
                // Instants beyond the end of the clock, which covers 584 years, are at its end. A value that is not a
                // number never comes.
                let at_ns = pieces[*current].when(*expected) * 1e9;
                if at_ns.is_nan() { u64::MAX } else { at_ns as u64 }
            }
        }
    }

    /// Whether the positions of arrivals can be computed without examining the earlier ones.
    pub fn is_even(&self) -> bool {
        match &self.0 {
            Kind::Rates { spacing, .. } => *spacing == Spacing::Constant,
            Kind::Periodic { .. } => true,
            Kind::Log(log) => log.log.within_ns == 0,
        }
    }

    /// The `n`-th instant from here; the next one is the first. Takes no longer for a large `n` if spacing is even.
    pub fn nth_ns(&mut self, n: u64) -> u64 {
        let skipped = n.saturating_sub(1);
        match &mut self.0 {
            _ if skipped == 0 => {}
            Kind::Log(log) if log.log.within_ns == 0 => log.next = log.next.saturating_add(skipped as usize),
            Kind::Log(log) => (0..skipped.min(log.log.at_ns.len() as u64)).for_each(|_| {
                log.next_ns();
            }),
            Kind::Periodic { jitter_ns, number, random, .. } => {
                *number = number.saturating_add(skipped);
                if *jitter_ns > 0 {
                    random.skip(skipped);
                }
            }
            Kind::Rates { spacing: Spacing::Poisson | Spacing::Typed, .. } => (0..skipped).for_each(|_| {
                self.next_ns();
            }),
            // Whole numbers, which are exact up to 2^53.
            Kind::Rates { expected, first, .. } => *expected += (skipped - u64::from(std::mem::take(first))) as f64,
        }
        self.next_ns()
    }

    /// How many of the coming ones lie before an instant. For even spacing this is searched for, not counted.
    pub fn before(&self, at_ns: u64) -> u64 {
        let is_before = |n: u64| self.clone().nth_ns(n) < at_ns;
        let mut above = 1_u64;
        while above < 1 << 62 && is_before(above) {
            above *= 2;
        }
        // The first `below` are before it, number `above` is not.
        let mut below = above / 2;
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if is_before(middle) { below = middle } else { above = middle }
        }
        below
    }

    /// The initial rate; `None` if there is a pass in each stretch of time.
    pub fn first_rate(&self) -> Option<f64> {
        match &self.0 {
            Kind::Rates { pieces, .. } => pieces.first().map(|p| p.rate),
            Kind::Periodic { .. } | Kind::Log(_) => None,
        }
    }

    /// Whether it is one sequence from the start of the load on, warm-up included.
    pub fn is_log(&self) -> bool {
        matches!(self.0, Kind::Log(_))
    }

    /// Skips the instants before another one.
    pub fn skip_to(&mut self, at_ns: u64) {
        match &mut self.0 {
            // A replay runs in all phases, and skips none of its instants.
            Kind::Log(_) => {}
            Kind::Periodic { every_ns, number, .. } => *number = (*number).max(at_ns.div_ceil((*every_ns).max(1))),
            Kind::Rates { pieces, current, expected, first, spacing, .. } => {
                let at_s = at_ns as f64 / 1e9;
                while pieces.get(*current + 1).is_some_and(|p| p.start_s <= at_s) {
                    *current += 1;
                }
                let by = pieces[*current].expected_by(at_s);
                if by > *expected {
                    // A Poisson process has no memory; even spacing keeps its grid.
                    *expected = if *spacing == Spacing::Constant { by.ceil() } else { by };
                    *first = *spacing == Spacing::Constant;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn take(pattern: &Pattern, spacing: Spacing, length_s: f64, seed: u64, n: usize) -> Vec<u64> {
        let mut instants = Instants::new(pattern, spacing, length_s, seed);
        (0..n).map(|_| instants.next_ns()).collect()
    }

    fn patterns() -> impl Strategy<Value = Pattern> {
        prop_oneof![
            (0.1_f64..1e6).prop_map(Pattern::Rate),
            (0.1_f64..1e5, 0.1_f64..1e5).prop_map(|(from, to)| Pattern::Ramp { from, to }),
            (proptest::collection::vec(0.1_f64..1e5, 1..6), 1_u64..5000, any::<bool>())
                .prop_map(|(rates, ms, shuffled)| Pattern::Steps { rates, each: Duration::from_millis(ms), shuffled }),
            proptest::collection::vec((0.0_f64..1e5, 0.0_f64..1e5, 1_u64..5000), 1..6).prop_map(|stages| {
                let stage = |(from, to, ms)| Stage { from, to, length: Duration::from_millis(ms) };
                Pattern::Stages(stages.into_iter().map(stage).collect())
            }),
            (1_u64..1_000_000, 0.0_f64..=1.0).prop_map(|(us, share)| {
                let every = Duration::from_micros(us);
                Pattern::Periodic { every, jitter: every.mul_f64(share) }
            }),
        ]
    }

    proptest! {
        /// Never back in time, the same for the same seed, and skipping gives nothing earlier than requested.
        #[test]
        fn instants_ascend(pattern in patterns(), poisson in any::<bool>(), seed in any::<u64>(), length in 0.1_f64..100.0, skip in 0_u64..10_000_000_000) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let times = take(&pattern, spacing, length, seed, 500);
            prop_assert!(times.is_sorted());
            prop_assert_eq!(&times, &take(&pattern, spacing, length, seed, 500));
            let mut skipped = Instants::new(&pattern, spacing, length, seed);
            skipped.skip_to(skip);
            // Within the rounding of nanoseconds.
            prop_assert!(skipped.next_ns().saturating_add(2) >= skip);
        }

        /// Computed instants of even spacing equal those of walking over it.
        #[test]
        fn leaps_land_where_steps_do(pattern in patterns(), seed in any::<u64>(), length in 0.1_f64..100.0, start in 0_usize..5, n in 1_u64..400) {
            let mut leaps = Instants::new(&pattern, Spacing::Constant, length, seed);
            for _ in 0..start {
                leaps.next_ns();
            }
            let mut steps = leaps.clone();
            let times: Vec<u64> = (0..n + 5).map(|_| steps.next_ns()).collect();
            let at_ns = times[n as usize];
            prop_assert_eq!(leaps.before(at_ns), times.iter().filter(|t| **t < at_ns).count() as u64);
            prop_assert_eq!(leaps.nth_ns(n), times[n as usize - 1]);
            prop_assert_eq!(leaps.next_ns(), at_ns);
        }

        /// Whatever is requested, the clock never goes back and never wraps around.
        #[test]
        fn extremes_saturate(rate in prop_oneof![Just(f64::MIN_POSITIVE), Just(1e-11), Just(1e-3), Just(1e9), Just(f64::MAX)],
            other in prop_oneof![Just(1e-11), Just(1e9)], length in prop_oneof![Just(1e-9), Just(1e9)], kind in 0..4, poisson in any::<bool>()) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let pattern = match kind {
                0 => Pattern::Rate(rate),
                1 => Pattern::Ramp { from: rate, to: other },
                2 => Pattern::Steps { rates: vec![rate, other], each: Duration::MAX, shuffled: false },
                _ => Pattern::Periodic { every: Duration::MAX, jitter: Duration::MAX },
            };
            let mut instants = Instants::new(&pattern, spacing, length, 1);
            let mut times: Vec<u64> = (0..50).map(|_| instants.next_ns()).collect();
            if instants.is_even() {
                times.extend([1 << 20, 1 << 40, 1 << 60, u64::MAX].map(|n| instants.nth_ns(n)));
                instants.before(u64::MAX);
            }
            instants.skip_to(u64::MAX);
            times.push(instants.next_ns());
            prop_assert!(kind == 3 || times.is_sorted(), "{times:?}");
        }

        /// Even spacing at a rate that changes: by any instant as many arrivals as the integral of the rate says.
        #[test]
        fn even_arrivals_follow_the_integral(from in 1.0_f64..1000.0, to in 1.0_f64..1000.0, length in 1.0_f64..20.0) {
            let all = ((from + to) / 2.0 * length) as usize;
            let times = take(&Pattern::Ramp { from, to }, Spacing::Constant, length, 1, all);
            for (k, ns) in times.iter().enumerate() {
                let t = *ns as f64 / 1e9;
                let expected = from * t + (to - from) / length * t * t / 2.0;
                prop_assert!((expected - k as f64).abs() < 1e-3, "{k}: {expected}");
            }
        }
    }

    #[test]
    fn stages_rise_from_0_hold_and_fall_to_0() {
        let stage = |from, to, s| Stage { from, to, length: Duration::from_secs(s) };
        let stages =
            vec![stage(0.0, 100.0, 10), stage(100.0, 100.0, 5), stage(100.0, 0.0, 10), stage(0.0, 0.0, 5), stage(50.0, 50.0, 2)];
        let mut instants = Instants::new(&Pattern::Stages(stages), Spacing::Constant, 1.0, 1);
        let times: Vec<u64> = std::iter::from_fn(|| Some(instants.next_ns())).take_while(|ns| *ns < 32_000_000_000).collect();
        let within = |from: u64, to: u64| times.iter().filter(|ns| (from..to).contains(&(*ns / 1_000_000_000))).count();
        let counts =
            [within(0, 5), within(5, 10), within(10, 15), within(15, 20), within(20, 25), within(25, 30), within(30, 32)];
        let expected = [125, 375, 500, 375, 125, 0, 100];
        assert!(counts.iter().zip(expected).all(|(n, expected)| n.abs_diff(expected) <= 1), "{counts:?}");
        assert_eq!(times[0], 0);
    }

    /// The order statistics of so many uniform instants: the mean of the k-th of n is k / (n + 1).
    #[test]
    fn instants_of_a_log_are_drawn_within_their_second() {
        let at_ns = [0, 0, 0, 0, 3_000_000_000].to_vec();
        let log = Arc::new(LogRequests { at_ns, within_ns: 1_000_000_000, ..LogRequests::default() });
        let mut sums = [0.0; 5];
        for seed in 0..2000 {
            let random = Random::new(seed, 1);
            let mut log = Log { log: Arc::clone(&log), next: 0, left: 0, after: 0.0, random };
            let times: Vec<u64> = (0..5).map(|_| log.next_ns()).collect();
            assert!(times.is_sorted() && times[3] < 1_000_000_000 && (3_000_000_000..4_000_000_000).contains(&times[4]));
            assert_eq!(log.next_ns(), u64::MAX);
            sums.iter_mut().zip(&times).for_each(|(sum, ns)| *sum += *ns as f64 / 1e9 / 2000.0);
        }
        for (k, mean) in sums[..4].iter().enumerate() {
            assert!((mean - (k + 1) as f64 / 5.0).abs() < 0.02, "{sums:?}");
        }
        assert!((sums[4] - 3.5).abs() < 0.03, "{sums:?}");
    }

    #[test]
    fn even_spacing_has_no_drift() {
        let times = take(&Pattern::Rate(3.0), Spacing::Constant, 1.0, 1, 3_000_001);
        assert_eq!(times[3_000_000], 1_000_000_000_000_000);
        assert_eq!(times[1], 333_333_333);
    }

    /// Kolmogorov-Smirnov (Massey 1951): the gaps of a Poisson process are exponential. The critical distance at the 1 %
    /// level for large n is 1.628 / √n.
    #[test]
    fn gaps_of_a_poisson_process_are_exponential() {
        for (seed, rate) in [(1, 10.0), (2, 1000.0), (3, 50_000.0), (4, 1000.0), (5, 1000.0)] {
            let n = 20_000;
            let times = take(&Pattern::Rate(rate), Spacing::Poisson, 1.0, seed, n + 1);
            let mut gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e9).collect();
            gaps.sort_by(f64::total_cmp);
            let distance = gaps
                .iter()
                .enumerate()
                .map(|(i, gap)| {
                    let model = 1.0 - (-gap * rate).exp();
                    (model - i as f64 / n as f64).abs().max(((i + 1) as f64 / n as f64 - model).abs())
                })
                .fold(0.0, f64::max);
            assert!(distance < 1.628 / (n as f64).sqrt(), "seed {seed}, rate {rate}: {distance}");
        }
    }

    /// A Poisson process whose rate changes: by time-rescaling, the integrals between arrivals are exponential.
    #[test]
    fn a_poisson_ramp_rescales_to_exponential_gaps() {
        let (from, to, length) = (100.0, 2000.0, 20.0);
        let n = ((from + to) / 2.0 * length * 0.95) as usize;
        let times = take(&Pattern::Ramp { from, to }, Spacing::Poisson, length, 7, n);
        let integral = |ns: u64| {
            let t = ns as f64 / 1e9;
            from * t + (to - from) / length * t * t / 2.0
        };
        let mut gaps: Vec<f64> = times.windows(2).map(|w| integral(w[1]) - integral(w[0])).collect();
        gaps.sort_by(f64::total_cmp);
        let count = gaps.len() as f64;
        let distance = gaps.iter().enumerate().map(|(i, g)| ((1.0 - (-g).exp()) - i as f64 / count).abs()).fold(0.0, f64::max);
        assert!(distance < 1.628 / count.sqrt(), "{distance}");
    }

    #[test]
    fn shuffled_steps_are_all_there_in_another_order() {
        let rates: Vec<f64> = (1..=8).map(|r| f64::from(r) * 10.0).collect();
        let pattern = Pattern::Steps { rates, each: Duration::from_secs(1), shuffled: true };
        let mut orders = std::collections::BTreeSet::new();
        for seed in 0..5 {
            let times = take(&pattern, Spacing::Constant, 8.0, seed, 360);
            let counts: Vec<usize> = (0..8).map(|s| times.iter().filter(|t| **t / 1_000_000_000 == s).count()).collect();
            let mut sorted = counts.clone();
            sorted.sort_unstable();
            for (count, rate) in sorted.iter().zip([10, 20, 30, 40, 50, 60, 70, 80]) {
                assert!(count.abs_diff(rate) <= 1, "{counts:?}");
            }
            orders.insert(counts);
        }
        assert!(orders.len() > 1);
    }
}
