//! All exit codes. They are documented in docs/exit-codes.md.

use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done and everything is valid.
    Success,
    /// Something outside a repetition went wrong, such as a results directory that cannot be written or a full disk.
    Failure,
    /// The scenario or the command line is wrong; nothing was started.
    InvalidInput,
    /// Something that the scenario expects does not hold.
    Expectation,
    /// Repetitions failed or are invalid; the others are on disk.
    Repetitions,
    /// It cannot be decided whether what the scenario expects holds.
    Inconclusive,
    /// Ended by Ctrl-C or SIGTERM; what was completed is on disk.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees. If several apply, precedence is failure, expectation, repetitions, inconclusive.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::InvalidInput => 2,
            Self::Expectation => 3,
            Self::Repetitions => 4,
            Self::Inconclusive => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
