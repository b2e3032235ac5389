//! Why a request cannot be answered.

use std::io;

use vocabulary::errors::chain;

/// Why something does not exist.
#[derive(Clone, Debug)]
pub(super) enum Absent {
    /// There is nothing of this kind, which is not an error.
    Nothing(&'static str),
    /// The request is not possible; the words are for the client.
    Wrong(String),
    /// The answer could not be made; the words are for the operator.
    Failed(String),
}

pub(super) const NO_SUCH_RUN: Absent = Absent::Nothing("there is no run with this name\n");
pub(super) const NO_RUN: Absent = Absent::Nothing("there is no run yet\n");
const NO_TRANSFERS: Absent = Absent::Nothing("there are no transfers yet: `stages: true` records them\n");

impl From<io::Error> for Absent {
    fn from(error: io::Error) -> Self {
        Self::Failed(chain(&error))
    }
}

impl From<export::Error> for Absent {
    fn from(error: export::Error) -> Self {
        match error {
            export::Error::NoTransfers { .. } => NO_TRANSFERS,
            error => Self::Failed(chain(&error)),
        }
    }
}
