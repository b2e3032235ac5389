//! Processor time of a process tree that never runs backwards. Pure.
//!
//! When a process ends, its time disappears from `/proc`. If its parent waits for it, the kernel adds the time to the
//! parent's waited-for time; if the parent ignores its children, or is not part of the tree, the time is lost. So each
//! member's account holds:
//! - `own`: what its threads used, ended ones included;
//! - `waited`: what the kernel reports for children that it waited for, including their children, seen or not;
//! - `ended_children`: the last totals that we saw of its children that ended.
//!
//! Its total is `own + max(waited, waited at first sight + ended_children)`: the kernel's number when the parent waits, ours
//! when it does not. Totals of members that end go to `ended_children` of the parent, or to the tree itself where the parent
//! is not a member.
//!
//! Not counted: the time between the last reading and the end of a process that nothing in the tree waits for (at most one
//! tick of the sampler, usually less: an ended process can still be read until it is reaped), and such processes that
//! started and ended between two looks at the tree.

use std::ops::{Add, AddAssign};

/// User and kernel time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cpu {
    pub(super) user_ns: u64,
    pub(super) system_ns: u64,
}

impl Cpu {
    pub(super) fn sum_ns(self) -> u64 {
        self.user_ns.saturating_add(self.system_ns)
    }

    /// The larger of each part.
    pub(super) fn max(self, other: Self) -> Self {
        Self { user_ns: self.user_ns.max(other.user_ns), system_ns: self.system_ns.max(other.system_ns) }
    }

    /// The next reading of a process: `total_ns` is exact, `system_ns` is known only in clock ticks.
    ///
    /// The parts add up to the total and neither decreases; the kernel solves the same problem in the same way
    /// (`cputime_adjust`).
    pub(super) fn advance(self, total_ns: u64, system_ns: u64) -> Self {
        let total_ns = total_ns.max(self.sum_ns());
        let system_ns = system_ns.clamp(self.system_ns, total_ns - self.user_ns);
        Self { user_ns: total_ns - system_ns, system_ns }
    }
}

impl Add for Cpu {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { user_ns: self.user_ns.saturating_add(other.user_ns), system_ns: self.system_ns.saturating_add(other.system_ns) }
    }
}

impl AddAssign for Cpu {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What one member of the tree used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    own: Cpu,
    waited: Cpu,
    waited_at_first: Cpu,
    ended_children: Cpu,
}

impl Account {
    /// The account of a process at first sight.
    pub(super) fn open(own: Cpu, waited: Cpu) -> Self {
        Self { own, waited, waited_at_first: waited, ended_children: Cpu::default() }
    }

    pub(super) fn own(&self) -> Cpu {
        self.own
    }

    /// A later reading.
    pub(super) fn update(&mut self, own: Cpu, waited: Cpu) {
        self.own = self.own.max(own);
        self.waited = self.waited.max(waited);
    }

    /// A child with the total `total` ended.
    pub(super) fn add_ended_child(&mut self, total: Cpu) {
        self.ended_children += total;
    }

    pub(super) fn total(&self) -> Cpu {
        self.own + self.waited.max(self.waited_at_first + self.ended_children)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(user_ns: u64, system_ns: u64) -> Cpu {
        Cpu { user_ns, system_ns }
    }

    #[test]
    fn the_split_sums_up_and_never_decreases() {
        let mut last = Cpu::default();
        // A total that grows slowly, a system part that jumps by ticks, a reading that went backwards.
        for (total, system) in [(3, 0), (9, 10), (12, 10), (12, 20), (11, 0), (40, 20), (90, 20)] {
            let next = last.advance(total, system);
            assert_eq!(next.sum_ns(), total.max(last.sum_ns()));
            assert!(next.user_ns >= last.user_ns && next.system_ns >= last.system_ns);
            last = next;
        }
        assert_eq!(last, cpu(70, 20), "it converges to the kernel's split");
    }

    #[test]
    fn a_child_that_was_waited_for_counts_once() {
        let mut parent = Account::open(cpu(5, 5), cpu(100, 0));
        let child = Account::open(cpu(30, 3), Cpu::default());
        assert_eq!(parent.total() + child.total(), cpu(135, 8));
        // The child used a little more before it ended; the kernel knows that, we do not.
        parent.add_ended_child(child.total());
        parent.update(cpu(5, 5), cpu(132, 4));
        assert_eq!(parent.total(), cpu(137, 9));
    }

    #[test]
    fn a_child_that_nobody_waited_for_is_not_forgotten() {
        let mut parent = Account::open(cpu(5, 5), cpu(100, 0));
        parent.add_ended_child(cpu(30, 3));
        parent.update(cpu(6, 5), cpu(100, 0));
        assert_eq!(parent.total(), cpu(136, 8));
    }

    #[test]
    fn children_that_were_never_seen_count_when_waited_for() {
        let mut parent = Account::open(cpu(0, 0), cpu(0, 0));
        parent.update(cpu(1, 0), cpu(70, 7));
        assert_eq!(parent.total(), cpu(71, 7));
    }
}
