//! Stretches in which nothing was answered correctly although passes were due.
//!
//! A count of errors says little about time: a server that stalls for the second half of a load gets only a handful of
//! requests in it. Each generator thread records its own stretches; what counts is when all of them are silent at once,
//! and passes are due at one of them at least.

/// Shorter stretches are not recorded: memory is bounded by the length of the load.
pub const LEAST_NS: u64 = 250_000_000;
/// A stretch counts if it is this many times as long as the median response time.
const TIMES_USUAL: u64 = 20;

/// A stretch without a correct answer on one thread. Instants are nanoseconds since the epoch of the repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Its start: the last correct answer, or when the first pass was due.
    pub from_ns: u64,
    /// Its end: the next correct answer, the next pass that became due, or the end of the load.
    pub to_ns: u64,
    /// Whether passes were due, or there was nothing to do.
    pub due: bool,
}

/// The watch of one thread.
#[derive(Debug)]
pub(super) struct Watch {
    /// In a closed loop without think time a pass is always due.
    always: bool,
    under_way: u32,
    /// Since when nothing was answered correctly.
    from_ns: u64,
    due: bool,
    quiet: Vec<Quiet>,
}

impl Watch {
    /// A watch that starts at `at_ns`.
    pub fn new(always: bool, at_ns: u64) -> Self {
        Self { always, under_way: 0, from_ns: at_ns, due: always, quiet: Vec::new() }
    }

    fn next(&mut self, at_ns: u64, due: bool) {
        if at_ns.saturating_sub(self.from_ns) >= LEAST_NS {
            self.quiet.push(Quiet { from_ns: self.from_ns, to_ns: at_ns, due: self.due });
        }
        (self.from_ns, self.due) = (at_ns, due);
    }

    /// A pass starts that was meant to start at `intended_ns`.
    pub fn begins(&mut self, intended_ns: u64) {
        self.under_way += 1;
        if !self.due {
            self.next(intended_ns.max(self.from_ns), true);
        }
    }

    /// A pass ends. A failed pass does not end a stretch, even if nothing else is due.
    pub fn ends(&mut self, is_error: bool, at_ns: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        if !is_error {
            self.next(at_ns.max(self.from_ns), self.always || self.under_way > 0);
        }
    }

    /// A pass pauses before anything of it was answered: nothing more is due than what others wait for.
    pub fn rests(&mut self, at_ns: u64) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 && !self.always && self.due {
            self.next(at_ns.max(self.from_ns), false);
        }
    }

    /// The end of the load.
    pub fn finish(mut self, at_ns: u64) -> Vec<Quiet> {
        self.next(at_ns.max(self.from_ns), false);
        self.quiet
    }
}

/// The silence of a phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    /// Its total length, in nanoseconds.
    pub total_ns: u64,
    /// Length of the longest silent stretch, in nanoseconds.
    pub longest_ns: u64,
    /// When the longest silent stretch started.
    pub longest_from_ns: u64,
}

/// The shortest stretch that counts if half of the passes are answered within `median_ns`.
pub fn least(median_ns: u64) -> u64 {
    median_ns.saturating_mul(TIMES_USUAL).max(LEAST_NS)
}

/// The silence from `from_ns` to `to_ns` on all threads, in stretches of at least `least_ns`.
///
/// `threads`: the stretches of each thread, ascending and disjoint.
pub fn of(threads: &[Vec<Quiet>], from_ns: u64, to_ns: u64, least_ns: u64) -> Silence {
    // At each instant: how many threads are silent, and on how many of them passes are due.
    let mut changes: Vec<(u64, i64, i64)> = Vec::new();
    for quiet in threads.iter().flatten() {
        let (from, to) = (quiet.from_ns.max(from_ns), quiet.to_ns.min(to_ns));
        if from < to {
            changes.push((from, 1, i64::from(quiet.due)));
            changes.push((to, -1, -i64::from(quiet.due)));
        }
    }
    // Where one stretch of a thread ends and its next one starts there was an answer: ends come first.
    changes.sort_unstable();
    let (mut quiet, mut due, mut begin, mut silence) = (0, 0, None, Silence::default());
    for (now, more_quiet, more_due) in changes {
        (quiet, due) = (quiet + more_quiet, due + more_due);
        let silent = quiet == threads.len() as i64 && due > 0;
        match (begin, silent) {
            (None, true) => begin = Some(now),
            (Some(from), false) => {
                let length = now - from;
                if length >= least_ns {
                    silence.total_ns += length;
                    if length > silence.longest_ns {
                        (silence.longest_ns, silence.longest_from_ns) = (length, from);
                    }
                }
                begin = None;
            }
            _ => {}
        }
    }
    silence
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_stands_still_is_silent_and_what_has_nothing_to_do_is_not() {
        let mut watch = Watch::new(false, 0);
        watch.begins(400 * MS);
        watch.ends(false, 401 * MS);
        // Nothing is due for two seconds; then a pass hangs, and the next one fails.
        watch.begins(2401 * MS);
        watch.ends(true, 3000 * MS);
        watch.begins(3500 * MS);
        watch.ends(false, 3600 * MS);
        let quiet = watch.finish(3700 * MS);
        let ms = |q: &Quiet| (q.from_ns / MS, q.to_ns / MS, q.due);
        assert_eq!(quiet.iter().map(ms).collect::<Vec<_>>(), [(0, 400, false), (401, 2401, false), (2401, 3600, true)]);
        let silence = of(&[quiet], 0, 3700 * MS, LEAST_NS);
        assert_eq!((silence.total_ns / MS, silence.longest_from_ns / MS), (1199, 2401));
    }

    #[test]
    fn a_closed_loop_that_is_never_answered_is_silent_to_its_end() {
        let mut watch = Watch::new(true, 0);
        for pass in 0..100 {
            watch.begins(pass * MS);
            watch.ends(false, (pass + 1) * MS);
        }
        watch.begins(100 * MS);
        let quiet = watch.finish(1000 * MS);
        assert_eq!(of(std::slice::from_ref(&quiet), 0, 1000 * MS, least(MS)).total_ns, 900 * MS);
        // The same where a pass usually takes this long.
        assert_eq!(of(std::slice::from_ref(&quiet), 0, 1000 * MS, least(50 * MS)), Silence::default());
        // And where another thread gets answers meanwhile.
        assert_eq!(of(&[quiet, Vec::new()], 0, 1000 * MS, LEAST_NS), Silence::default());
    }

    #[test]
    fn slow_answers_one_behind_the_other_are_no_silence() {
        let mut watch = Watch::new(true, 0);
        for pass in 0..10 {
            watch.begins(pass * 300 * MS);
            watch.ends(false, (pass + 1) * 300 * MS);
        }
        assert_eq!(of(&[watch.finish(3000 * MS)], 0, 3000 * MS, 301 * MS), Silence::default());
    }

    proptest! {
        /// However threads share them, never more than the phase is silent, and one more silent thread changes nothing.
        #[test]
        fn silence_fits_into_the_phase(lengths in proptest::collection::vec((1_u64..2000, any::<bool>()), 0..20), to in 1_u64..10_000) {
            let mut quiet = Vec::new();
            let mut at = 0;
            for (length, due) in lengths {
                quiet.push(Quiet { from_ns: at * MS, to_ns: (at + length) * MS, due });
                at += length + 1;
            }
            let found = of(&[quiet.clone()], 0, to * MS, LEAST_NS);
            prop_assert!(found.total_ns <= to * MS && found.longest_ns <= found.total_ns);
            prop_assert_eq!(of(&[quiet.clone(), quiet], 0, to * MS, LEAST_NS), found);
        }
    }
}
