//! How users fared, besides what their steps show: how often they logged in, and which cookies were not kept.

/// The most different reasons that are kept.
const REASONS: usize = 5;

/// How the users of a load fared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// How often a user logged in, the first time and again.
    pub log_ins: u64,
    /// How often a user logged in again, because an answer asked for it.
    pub again: u64,
    /// How often a user could not log in.
    pub failed: u64,
    /// Users that no longer log in again, because it was in vain too often.
    pub given_up: u64,
    /// Cookies that were not kept.
    pub cookies_refused: u64,
    /// Why, in words: the first of each kind.
    pub reasons: Vec<String>,
}

impl Users {
    /// A cookie was not kept.
    pub fn refuse_cookie(&mut self, why: String) {
        self.cookies_refused += 1;
        self.keep(why);
    }

    fn keep(&mut self, why: String) {
        if self.reasons.len() < REASONS && !self.reasons.contains(&why) {
            self.reasons.push(why);
        }
    }

    /// Adds those of another thread.
    pub fn merge(&mut self, other: &Self) {
        self.log_ins += other.log_ins;
        self.again += other.again;
        self.failed += other.failed;
        self.given_up += other.given_up;
        self.cookies_refused += other.cookies_refused;
        other.reasons.iter().for_each(|why| self.keep(why.clone()));
    }
}
