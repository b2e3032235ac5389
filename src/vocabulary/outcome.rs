//! What may become of a request.

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Answered as expected.
    Ok,
    /// Another status than expected.
    Status,
    /// Another length than expected.
    Length,
    /// Another body than expected.
    Body,
    /// A value to carry was not in the answer.
    Carry,
    /// The answer broke off before its end.
    Incomplete,
    /// The answer is no HTTP.
    Garbage,
    /// The connection was reset.
    Reset,
    /// The connection was closed instead of an answer.
    Closed,
    /// No connection could be made.
    Refused,
    /// No answer within the time-out.
    Timeout,
    /// Another fault of the system's.
    Io,
    /// A command ended with another exit code than expected.
    Exit,
    /// It was refused, with a reason.
    Nak,
    /// It never arrived.
    Lost,
    /// It was under way when the load ended.
    Open,
    /// The proxy on the way refused, or did not speak its protocol.
    Proxy,
    /// One to which the scenario gives a name: its place among those of the workload, below [`Self::MOST_NAMED`].
    Named(u8),
}

impl Outcome {
    /// Those that every workload has.
    const FIXED: [Self; 17] = [
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
    ];
    /// So many a scenario may name in one workload.
    pub const MOST_NAMED: usize = 8;
    /// How many there are.
    pub const COUNT: usize = Self::FIXED.len() + Self::MOST_NAMED;

    /// What the system said, as an outcome.
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

    /// Its number, below [`Self::COUNT`].
    pub fn index(self) -> usize {
        match self {
            Self::Named(place) => Self::FIXED.len() + usize::from(place),
            fixed => Self::FIXED.iter().position(|f| *f == fixed).unwrap_or_default(),
        }
    }

    /// The one with this number.
    pub fn with_index(index: usize) -> Self {
        let named = || Self::Named((index - Self::FIXED.len()) as u8);
        Self::FIXED.get(index).copied().unwrap_or_else(named)
    }

    /// The word in columns and summaries; `named`: those to which the workload gives names.
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
            Self::Named(place) => named.get(usize::from(place)).map_or("named", String::as_str),
        }
    }

    /// The words that no scenario may give to an outcome of its own.
    pub fn reserved_names() -> impl Iterator<Item = &'static str> {
        Self::FIXED.into_iter().map(|outcome| outcome.name(&[]))
    }

    /// Whether its time counts among those of the right answers. That of a request that was never answered does, as a bound
    /// from below: no percentile may become better because nobody answered. A wrong answer's time says nothing.
    pub fn counts_in_times(self) -> bool {
        matches!(self, Self::Ok | Self::Timeout | Self::Lost | Self::Open)
    }

    /// The same of an outcome by its word.
    pub fn word_counts_in_times(word: &str) -> bool {
        Self::FIXED.into_iter().any(|outcome| outcome.counts_in_times() && outcome.name(&[]) == word)
    }

    /// Whether an outcome is an error by its word: neither expected nor one that the scenario names.
    pub fn word_is_error(word: &str) -> bool {
        Self::FIXED.into_iter().any(|outcome| outcome.is_error() && outcome.name(&[]) == word)
    }

    /// Whether it was not as expected. What the scenario names is neither expected nor an error.
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
