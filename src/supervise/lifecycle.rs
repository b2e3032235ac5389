//! How a process is stopped, as a pure state machine: signal, grace, kill, until its whole tree is gone.

use std::time::{Duration, Instant};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the first signal.
    Signal,
    /// Look again after this time, or earlier when something ends.
    Wait(Duration),
    /// Kill every process of the tree.
    Kill,
    /// The tree is gone.
    Done {
        /// Whether it had to be killed.
        killed: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asked,
    Signalled { since: Instant },
    Killed { since: Instant },
}

/// A process on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Stopping {
    grace: Duration,
    state: State,
}

/// How often the rest of a tree is checked when there is no event to wait for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A killed process that does not vanish (it hangs in the kernel) is killed again this often.
const KILL_AGAIN: Duration = Duration::from_millis(200);

impl Stopping {
    /// A process that was asked to stop.
    pub fn new(grace: Duration) -> Self {
        Self { grace, state: State::Asked }
    }

    /// The next action. `now`: when the processes were looked at; `alive`: whether any process of the tree existed then.
    ///
    /// Never ends except in `Done`, and reaches it as soon as nothing is alive. The grace counts from
    /// [`Stopping::signalled`]: among a thousand that are stopped together, the last gets its signal later than the first.
    pub fn next(&mut self, now: Instant, alive: bool) -> Action {
        let killed = matches!(self.state, State::Killed { .. });
        if !alive {
            return Action::Done { killed };
        }
        match self.state {
            State::Asked => {
                self.state = State::Signalled { since: now };
                Action::Signal
            }
            // A look from before the signal was sent says nothing of its effect.
            State::Signalled { since } if now.saturating_duration_since(since) < self.grace || now < since => {
                Action::Wait(LOOK_AGAIN.min(self.grace.saturating_sub(now.saturating_duration_since(since))))
            }
            State::Killed { since } if now.saturating_duration_since(since) < KILL_AGAIN => Action::Wait(LOOK_AGAIN),
            State::Signalled { .. } | State::Killed { .. } => {
                self.state = State::Killed { since: now };
                Action::Kill
            }
        }
    }
}

impl Stopping {
    /// Records when the first signal was really sent.
    pub fn signalled(&mut self, at: Instant) {
        if let State::Signalled { since } = &mut self.state {
            *since = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_process_that_listens_is_not_killed() {
        let start = Instant::now();
        let mut stopping = Stopping::new(Duration::from_secs(5));
        assert_eq!(stopping.next(start, true), Action::Signal);
        assert!(matches!(stopping.next(start, true), Action::Wait(_)));
        assert_eq!(stopping.next(start + Duration::from_millis(30), false), Action::Done { killed: false });
    }

    #[test]
    fn a_process_that_does_not_listen_is_killed_after_its_grace() {
        let start = Instant::now();
        let mut stopping = Stopping::new(Duration::from_secs(5));
        stopping.next(start, true);
        assert!(matches!(stopping.next(start + Duration::from_millis(4999), true), Action::Wait(_)));
        assert_eq!(stopping.next(start + Duration::from_secs(5), true), Action::Kill);
        assert_eq!(stopping.next(start + Duration::from_millis(5010), false), Action::Done { killed: true });
    }

    #[test]
    fn the_grace_counts_from_the_signal() {
        let start = Instant::now();
        let mut stopping = Stopping::new(Duration::from_secs(2));
        assert_eq!(stopping.next(start, true), Action::Signal);
        // Its turn came late, after those of many others.
        stopping.signalled(start + Duration::from_secs(5));
        assert!(matches!(stopping.next(start, true), Action::Wait(_)));
        assert!(matches!(stopping.next(start + Duration::from_millis(6990), true), Action::Wait(_)));
        assert_eq!(stopping.next(start + Duration::from_secs(7), true), Action::Kill);
    }

    proptest! {
        /// Whatever the process does, it is signalled first, killed only after its grace, and waited for.
        #[test]
        fn every_stop_ends(grace_ms in 0_u64..300, dies_after_ms in 0_u64..2000, listens in any::<bool>()) {
            let start = Instant::now();
            let mut stopping = Stopping::new(Duration::from_millis(grace_ms));
            let (mut now, mut killed_at, mut signalled) = (start, None, false);
            for _ in 0..10_000 {
                let elapsed = now.duration_since(start).as_millis() as u64;
                let alive = killed_at.is_none() && !(listens && signalled && elapsed >= dies_after_ms);
                match stopping.next(now, alive) {
                    Action::Signal => signalled = true,
                    Action::Kill => {
                        prop_assert!(elapsed >= grace_ms);
                        killed_at = Some(now);
                    }
                    Action::Wait(time) => now += time.max(Duration::from_micros(10)),
                    Action::Done { killed } => {
                        prop_assert_eq!(killed, killed_at.is_some());
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "it never ended");
        }
    }
}
