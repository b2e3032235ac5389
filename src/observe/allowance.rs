//! What the expensive readings may cost: an account of processor time. Pure; the caller measures.
//!
//! A reading is allowed while there is credit, and its cost is known only afterwards, so the account may go into debt; then
//! nothing is allowed until the debt is earned back. In the long run no more is spent than was earned, and no estimates are
//! needed.

/// An account in nanoseconds of processor time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    balance_ns: i64,
    most_ns: i64,
}

impl Allowance {
    /// An empty account that saves up to `most_ns`, so that a long pause does not end in a burst.
    pub(super) fn new(most_ns: u64) -> Self {
        Self { balance_ns: 0, most_ns: signed(most_ns) }
    }

    /// Adds `ns` and returns what exceeds the limit of the account.
    pub(super) fn earn(&mut self, ns: u64) -> u64 {
        let sum = self.balance_ns.saturating_add(signed(ns));
        self.balance_ns = sum.min(self.most_ns);
        (sum - self.balance_ns).unsigned_abs()
    }

    pub(super) fn spend(&mut self, ns: u64) {
        self.balance_ns = self.balance_ns.saturating_sub(signed(ns));
    }

    pub(super) fn in_credit(&self) -> bool {
        self.balance_ns > 0
    }
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spending_never_exceeds_earning_by_more_than_one_reading() {
        for cost in [1, 50, 99, 100, 101, 333, 20_000] {
            let mut account = Allowance::new(500);
            let (mut earned, mut spent) = (0, 0);
            for _ in 0..10_000 {
                account.earn(100);
                earned += 100;
                while account.in_credit() {
                    account.spend(cost);
                    spent += cost;
                }
                assert!(spent < earned + cost, "cost {cost}");
            }
            assert!(spent + 500 + cost >= earned, "cost {cost}: credit is used");
        }
    }

    #[test]
    fn what_an_account_cannot_hold_is_returned() {
        let mut account = Allowance::new(100);
        assert_eq!(account.earn(70), 0);
        assert_eq!(account.earn(70), 40);
        account.spend(150);
        assert!(!account.in_credit());
        assert_eq!(account.earn(50), 0);
        assert!(!account.in_credit(), "nothing is not credit");
        assert_eq!(account.earn(u64::MAX), i64::MAX.unsigned_abs() - 100);
    }
}
