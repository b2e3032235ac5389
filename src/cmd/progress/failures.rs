//! Why repetitions do not count: each reason is told once, and counted.

use crate::record::Verdict;
use crate::vocabulary::words::alike;

/// After so many equal failures in a row the run stops, unless it is asked to keep going.
pub(in crate::cmd) const MOST_IN_A_ROW: u32 = 10;

/// The reasons so far.
#[derive(Debug, Default)]
pub(in crate::cmd) struct Failures {
    known: Vec<(String, u32)>,
    /// The reason for which the last repetitions failed, and how many they are.
    in_a_row: Option<(String, u32)>,
}

/// What is new about how a repetition ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cmd) enum Heard {
    /// It counts.
    Nothing,
    /// The first for this reason.
    First,
    /// So many have ended for this reason, this one included.
    Again(u32),
}

impl Failures {
    /// Takes in how a repetition ended.
    pub(in crate::cmd) fn add(&mut self, verdict: &Verdict) -> Heard {
        let words = match verdict {
            Verdict::Valid => {
                self.in_a_row = None;
                return Heard::Nothing;
            }
            Verdict::Invalid { reasons } => {
                self.in_a_row = None;
                reasons.join("; ")
            }
            Verdict::Failed { reason } => {
                self.in_a_row = Some(match self.in_a_row.take() {
                    Some((last, times)) if alike(&last, reason) => (last, times + 1),
                    _ => (reason.clone(), 1),
                });
                reason.clone()
            }
        };
        match self.known.iter_mut().find(|(known, _)| alike(known, &words)) {
            Some((_, times)) => {
                *times += 1;
                Heard::Again(*times)
            }
            None => {
                self.known.push((words, 1));
                Heard::First
            }
        }
    }

    /// The reason for which the last [`MOST_IN_A_ROW`] repetitions failed, if there is one.
    pub(in crate::cmd) fn too_many(&self) -> Option<&str> {
        self.in_a_row.as_ref().filter(|(_, times)| *times >= MOST_IN_A_ROW).map(|(reason, _)| reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: &str) -> Verdict {
        Verdict::Failed { reason: reason.to_owned() }
    }

    #[test]
    fn a_reason_is_new_once_and_ten_in_a_row_are_too_many() {
        let mut failures = Failures::default();
        assert_eq!(failures.add(&failed("port 8001 is taken by pid 1 (python3)")), Heard::First);
        assert_eq!(failures.add(&Verdict::Invalid { reasons: vec!["busy".to_owned()] }), Heard::First);
        for times in 2..=10 {
            assert_eq!(failures.too_many(), None);
            assert_eq!(failures.add(&failed("port 8002 is taken by pid 23 (python3)")), Heard::Again(times));
        }
        assert_eq!(failures.too_many(), None, "one between them was invalid");
        failures.add(&failed("port 8002 is taken by pid 23 (python3)"));
        assert_eq!(failures.too_many(), Some("port 8002 is taken by pid 23 (python3)"));
        assert_eq!(failures.add(&failed("another reason")), Heard::First);
        assert_eq!(failures.too_many(), None);
        (0..20).for_each(|_| {
            failures.add(&failed("another reason"));
            failures.add(&Verdict::Valid);
        });
        assert_eq!(failures.too_many(), None);
    }
}
