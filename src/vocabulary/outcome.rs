//! The possible outcomes of a request.

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Answered as expected.
    Ok,
    /// A different status than expected.
    Status,
    /// A different length than expected.
    Length,
    /// A different body than expected.
    Body,
    /// A value to carry was not in the answer.
    Carry,
    /// The answer broke off before its end.
    Incomplete,
    /// The answer is not HTTP.
    Garbage,
    /// The connection was reset.
    Reset,
    /// The connection was closed instead of an answer.
    Closed,
    /// No connection could be made.
    Refused,
    /// No answer within the time-out.
    Timeout,
    /// Another error reported by the operating system.
    Io,
    /// A command ended with a different exit code than expected.
    Exit,
    /// The request was refused, with a reason.
    Nak,
    /// The message never arrived.
    Lost,
    /// The request was under way when the load ended.
    Open,
    /// The proxy refused the request, or did not speak its protocol.
    Proxy,
    /// The user could not log in, so that nothing was sent.
    LogIn,
    /// An outcome that the scenario names: its index among those of the workload, below [`Self::MOST_NAMED`].
    Named(u8),
}

impl Outcome {
    /// The outcomes that every workload has.
    const FIXED: [Self; 18] = [
        Self::Ok,
        Self::Status,
        Self::Length,
        Self::Body,
        Self::Carry,
        Self::Incomplete,
        Self::Garbage,
        Self::Reset,
        Self::Closed,
        Self::Refused,
        Self::Timeout,
        Self::Io,
        Self::Exit,
        Self::Nak,
        Self::Lost,
        Self::Open,
        Self::Proxy,
        Self::LogIn,
    ];
    /// How many outcomes a scenario may name in one workload.
    pub const MOST_NAMED: usize = 8;
    /// The number of all outcomes.
    pub const COUNT: usize = Self::FIXED.len() + Self::MOST_NAMED;

    /// An error of the operating system as an outcome.
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Self::Reset,
            ErrorKind::UnexpectedEof => Self::Incomplete,
            ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Io,
        }
    }

    /// The number of the outcome, below [`Self::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Self::Named(place) => Self::FIXED.len() + usize::from(place),
            fixed => Self::FIXED.iter().position(|f| *f == fixed).unwrap_or_default(),
        }
    }

    /// The outcome with this number.
    pub fn with_index(index: usize) -> Self {
        let named = || Self::Named((index - Self::FIXED.len()) as u8);
        Self::FIXED.get(index).copied().unwrap_or_else(named)
    }

    /// The word in columns and summaries; `named`: the outcomes that the workload names.
    pub fn name(self, named: &[String]) -> &str {
        match self {
            Self::Ok => "ok",
            Self::Status => "wrong-status",
            Self::Length => "wrong-length",
            Self::Body => "wrong-body",
            Self::Carry => "nothing-to-carry",
            Self::Incomplete => "short-body",
            Self::Garbage => "garbage",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Io => "io-error",
            Self::Exit => "wrong-exit",
            Self::Nak => "nak",
            Self::Lost => "lost",
            Self::Open => "open",
            Self::Proxy => "proxy",
            Self::LogIn => "no-log-in",
            Self::Named(place) => named.get(usize::from(place)).map_or("named", String::as_str),
        }
    }

    /// The words that a scenario may not use for its own outcomes.
    pub fn reserved_names() -> impl Iterator<Item = &'static str> {
        Self::FIXED.into_iter().map(|outcome| outcome.name(&[]))
    }

    /// Whether the time of a request with this outcome counts among those of the correct answers. The time of a request that was
    /// never answered counts, as a lower bound: no percentile may improve because a server did not answer. The time of a wrong
    /// answer means nothing.
    pub fn counts_in_times(self) -> bool {
        matches!(self, Self::Ok | Self::Timeout | Self::Lost | Self::Open)
    }

    /// The same for an outcome given by its word.
    pub fn word_counts_in_times(word: &str) -> bool {
        Self::fixed(word).is_some_and(Self::counts_in_times)
    }

    /// Whether an outcome, given by its word, is an error: neither expected nor named by the scenario.
    pub fn word_is_error(word: &str) -> bool {
        Self::fixed(word).is_some_and(Self::is_error)
    }

    /// Whether an outcome, given by its word, is that of an answer; see [`Self::is_answer`].
    pub fn word_is_answer(word: &str) -> bool {
        Self::fixed(word).is_none_or(Self::is_answer)
    }

    /// The outcome with this word, unless a scenario has named it.
    fn fixed(word: &str) -> Option<Self> {
        Self::FIXED.into_iter().find(|outcome| outcome.name(&[]) == word)
    }

    /// Whether a server has answered: a failed connection, a time-out and an error of this machine are not answers.
    pub fn is_answer(self) -> bool {
        !matches!(
            self,
            Self::Reset | Self::Closed | Self::Refused | Self::Timeout | Self::Io | Self::Lost | Self::Proxy | Self::LogIn
        )
    }

    /// Whether the outcome is an error. An outcome that the scenario names is neither expected nor an error.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Ok | Self::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_number_and_a_word() {
        for index in 0..Outcome::COUNT {
            assert_eq!(Outcome::with_index(index).index(), index);
        }
        let words: std::collections::BTreeSet<&str> = Outcome::reserved_names().collect();
        assert_eq!(words.len(), Outcome::FIXED.len());
        assert_eq!(Outcome::Named(1).name(&["a".to_owned(), "conflict".to_owned()]), "conflict");
        assert!(["ok", "timeout", "lost", "open"].into_iter().all(Outcome::word_counts_in_times));
        assert!(Outcome::word_is_error("timeout") && !Outcome::word_is_error("ok") && !Outcome::word_is_error("conflict"));
        assert!(!Outcome::word_counts_in_times("refused") && !Outcome::word_counts_in_times("conflict"));
        assert!(Outcome::Status.is_error() && !Outcome::Named(0).is_error() && !Outcome::Ok.is_error());
    }
}
