//! The segments of a load on the clock, as far as they are known: those with a duration in advance, one with an amount
//! when it is used up.

use plan::{Length, Segment};
use vocabulary::Phase;
use vocabulary::units::nanos;

/// When each segment of a load starts. Instants are nanoseconds since the epoch of the repetition.
#[derive(Clone, Debug)]
pub struct Timeline {
    segments: Vec<Segment>,
    /// Starts, as far as known; after the last segment the end of all.
    begins: Vec<u64>,
}

impl Timeline {
    /// Segments, the first of which starts at `origin_ns`.
    pub fn new(segments: &[Segment], origin_ns: u64) -> Self {
        let mut timeline = Self { segments: segments.to_vec(), begins: vec![origin_ns] };
        timeline.extend();
        timeline
    }

    /// The segment with an amount whose end was not known ends at `at_ns`.
    pub fn over(&mut self, at_ns: u64) {
        if self.begins.len() <= self.segments.len() {
            self.begins.push(at_ns);
            self.extend();
        }
    }

    fn extend(&mut self) {
        while let Some(Segment { length: Length::Duration(length), .. }) = self.segments.get(self.begins.len() - 1) {
            let begin = self.begins[self.begins.len() - 1];
            self.begins.push(begin.saturating_add(nanos(*length)));
        }
    }

    /// The end of the last segment, once it is known.
    pub fn end_ns(&self) -> Option<u64> {
        self.begins.get(self.segments.len()).copied()
    }

    /// The end of the last segment if it has a duration: the instant until which the load lasts, whatever happens.
    pub fn planned_end_ns(&self) -> Option<u64> {
        let by_time = self.segments.last().is_some_and(|s| matches!(s.length, Length::Duration(_)));
        self.end_ns().filter(|_| by_time)
    }

    /// Start, end and phase of the active segment with a duration that contains an instant.
    pub fn span_at(&self, at_ns: u64) -> Option<(u64, u64, Phase)> {
        self.bounds().find(|(_, begin, end)| (*begin..*end).contains(&at_ns)).map(|(phase, begin, end)| (begin, end, phase))
    }

    /// The phase in which a pass of `phase` that ends at `at_ns` counts as completed: the phase at that instant. A
    /// phase with an amount lasts until its last pass has ended, and no other pass counts in it. [`Phase::Drain`] if it
    /// counts in none: after the end, or where this workload is not active.
    pub fn completed_in(&self, phase: Phase, at_ns: u64) -> Phase {
        self.completed_until(u64::MAX, phase, at_ns)
    }

    /// The same for a load that has nothing left to send at `until_ns`, which ends all phases with a duration.
    pub fn completed_until(&self, until_ns: u64, phase: Phase, at_ns: u64) -> Phase {
        let own = self.segments.iter().find(|s| s.phase == phase);
        if own.is_some_and(|s| matches!(s.length, Length::Amount(_))) {
            return phase;
        }
        if at_ns >= until_ns {
            return Phase::Drain;
        }
        // An instant before the first start is impossible; it would count as part of the first segment.
        let segment = self.begins.iter().rposition(|begin| *begin <= at_ns).unwrap_or(0);
        match self.segments.get(segment) {
            Some(Segment { phase: now, length: Length::Duration(_), active: true }) => *now,
            _ => Phase::Drain,
        }
    }

    /// The end of a phase with a duration, once it is known.
    pub fn end_of(&self, phase: Phase) -> Option<u64> {
        self.bounds().find(|(of, ..)| *of == phase).map(|(.., end_ns)| end_ns)
    }

    /// Start and end of the active segments with a duration, as far as known.
    pub fn bounds(&self) -> impl Iterator<Item = (Phase, u64, u64)> {
        let ends = self.begins.iter().skip(1);
        let active = |s: &Segment| s.active && matches!(s.length, Length::Duration(_));
        let segments = self.segments.iter().zip(self.begins.iter().zip(ends)).filter(move |(s, _)| active(s));
        segments.map(|(s, (begin, end))| (s.phase, *begin, *end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn segment(phase: Phase, length: Length) -> Segment {
        Segment { phase, length, active: true }
    }

    fn ms(n: u64) -> Length {
        Length::Duration(Duration::from_millis(n))
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn a_pass_counts_where_it_ends() {
        let inactive = Segment { active: false, ..segment(Phase::During, ms(20)) };
        let timeline = Timeline::new(&[segment(Phase::WarmUp, ms(10)), inactive, segment(Phase::After, ms(5))], 7 * MS);
        assert_eq!(timeline.planned_end_ns(), Some(42 * MS));
        let counts = |at| timeline.completed_in(Phase::WarmUp, at * MS);
        assert_eq!(
            [7, 16, 17, 36, 37, 41, 42].map(counts),
            [Phase::WarmUp, Phase::WarmUp, Phase::Drain, Phase::Drain, Phase::After, Phase::After, Phase::Drain]
        );
        let bounds: Vec<_> = timeline.bounds().collect();
        assert_eq!(bounds, [(Phase::WarmUp, 7 * MS, 17 * MS), (Phase::After, 37 * MS, 42 * MS)]);
        let spans = [6, 7, 16, 17, 41, 42].map(|at| timeline.span_at(at * MS).map(|(.., phase)| phase));
        assert_eq!(spans, [None, Some(Phase::WarmUp), Some(Phase::WarmUp), None, Some(Phase::After), None]);
        assert_eq!((timeline.end_of(Phase::After), timeline.end_of(Phase::During)), (Some(42 * MS), None));
    }

    #[test]
    fn what_ends_when_nothing_is_left_counts_in_no_phase() {
        let timeline = Timeline::new(&[segment(Phase::WarmUp, ms(10)), segment(Phase::During, ms(20))], 0);
        let counts = |phase, at| timeline.completed_until(15 * MS, phase, at * MS);
        assert_eq!(
            [9, 14, 15, 29].map(|at| counts(Phase::WarmUp, at)),
            [Phase::WarmUp, Phase::During, Phase::Drain, Phase::Drain]
        );
        // The last passes of an amount belong to it, however long they take.
        let amount = Timeline::new(&[segment(Phase::During, Length::Amount(5))], 0);
        assert_eq!(amount.completed_until(MS, Phase::During, 2 * MS), Phase::During);
    }

    #[test]
    fn an_amount_ends_when_it_is_used_up() {
        let mut timeline = Timeline::new(&[segment(Phase::WarmUp, Length::Amount(5)), segment(Phase::During, ms(10))], 0);
        assert_eq!((timeline.end_ns(), timeline.bounds().count()), (None, 0));
        timeline.over(3 * MS);
        assert_eq!(timeline.planned_end_ns(), Some(13 * MS));
        // The last passes of the warm-up end in the measurement, and belong to the warm-up.
        assert_eq!(timeline.completed_in(Phase::WarmUp, 4 * MS), Phase::WarmUp);
        assert_eq!(timeline.completed_in(Phase::During, 4 * MS), Phase::During);
        let amount = Timeline::new(&[segment(Phase::WarmUp, ms(10)), segment(Phase::During, Length::Amount(5))], 0);
        assert_eq!(amount.completed_in(Phase::WarmUp, 12 * MS), Phase::Drain);
        assert_eq!((amount.end_ns(), amount.planned_end_ns()), (None, None));
    }
}
