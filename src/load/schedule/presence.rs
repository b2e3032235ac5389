//! When a connection of a closed loop is in use, where their number changes over time. Pure.

use plan::Stage;
use vocabulary::units::nanos;

/// How many connections are in use over time.
#[derive(Clone, Debug)]
pub struct Presence {
    stages: Vec<Stage>,
    origin_ns: u64,
}

impl Presence {
    /// Stages of a load that starts at `origin_ns`; `None` if all connections are always in use.
    pub fn new(stages: &[Stage], origin_ns: u64) -> Option<Self> {
        (!stages.is_empty()).then(|| Self { stages: stages.to_vec(), origin_ns })
    }

    /// The first instant from `now_ns` on at which connection `number` is in use, counted from 0: while more than `number`
    /// connections are. `None` if it is never again.
    pub fn from(&self, number: u64, now_ns: u64) -> Option<u64> {
        let number = number as f64;
        let mut start_ns = self.origin_ns;
        for Stage { from, to, length } in &self.stages {
            let length_ns = nanos(*length);
            let end_ns = start_ns.saturating_add(length_ns);
            if now_ns < end_ns {
                let at_ns = now_ns.max(start_ns);
                let share = (at_ns - start_ns) as f64 / length_ns.max(1) as f64;
                if from + (to - from) * share > number {
                    return Some(at_ns);
                }
                if *to > number && to > from {
                    let crosses = (number - from).max(0.0) / (to - from);
                    return Some(at_ns.max(start_ns.saturating_add((crosses * length_ns as f64) as u64)).min(end_ns));
                }
            }
            start_ns = end_ns;
        }
        let last = self.stages.last().map_or(0.0, |stage| stage.to);
        (last > number).then(|| now_ns.max(start_ns))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn stages(all: &[(f64, f64, u64)]) -> Presence {
        let stage = |(from, to, s): &(f64, f64, u64)| Stage { from: *from, to: *to, length: Duration::from_secs(*s) };
        Presence::new(&all.iter().map(stage).collect::<Vec<_>>(), 5 * S).unwrap()
    }

    #[test]
    fn connections_come_and_go_in_their_order() {
        let presence = stages(&[(0.0, 10.0, 10), (10.0, 10.0, 5), (10.0, 0.0, 10), (0.0, 0.0, 5), (4.0, 4.0, 1)]);
        assert_eq!(presence.from(0, 5 * S), Some(5 * S));
        assert_eq!(presence.from(3, 5 * S), Some(8 * S));
        assert_eq!(presence.from(3, 9 * S), Some(9 * S));
        assert_eq!(presence.from(9, 0), Some(14 * S));
        // Connection 3 leaves when 3 are left: after 7 of the 10 s of the third stage; and comes again in the last.
        assert_eq!(presence.from(3, 26 * S + S / 2), Some(26 * S + S / 2));
        assert_eq!(presence.from(3, 27 * S + 1), Some(35 * S));
        assert_eq!(presence.from(3, 60 * S), Some(60 * S));
        assert_eq!(presence.from(9, 27 * S), None);
        assert_eq!(presence.from(10, 0), None);
        assert!(Presence::new(&[], 0).is_none());
    }

    proptest! {
        /// At every instant as many connections are in use as the stages say, rounded up.
        #[test]
        fn as_many_are_in_use_as_the_stages_say(all in proptest::collection::vec((0_u32..20, 0_u32..20, 1_u64..9), 1..5), at in 0_u64..40_000) {
            let all: Vec<(f64, f64, u64)> = all.into_iter().map(|(from, to, s)| (f64::from(from), f64::from(to), s)).collect();
            let presence = stages(&all);
            // Not at an instant at which one comes or goes.
            let now_ns = 5 * S + at * 1_000_000 + 333_333;
            let (mut start, mut expected) = (5 * S, all.last().unwrap().1);
            for (from, to, s) in &all {
                if now_ns >= start && now_ns < start + s * S {
                    expected = from + (to - from) * (now_ns - start) as f64 / (s * S) as f64;
                }
                start += s * S;
            }
            let used = (0..25).filter(|number| presence.from(*number, now_ns) == Some(now_ns)).count();
            prop_assert_eq!(used, expected.ceil() as usize, "{}", expected);
        }
    }
}
