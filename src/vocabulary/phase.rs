//! The named parts of a repetition.

use serde::Serialize;

/// A named part of a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Phase {
    /// Recorded, marked, and left out of the statistics.
    WarmUp,
    /// Before the event that is studied.
    Before,
    /// The measurement.
    During,
    /// After it.
    After,
    /// After the last phase, while passes that are under way or have waited come to their end; no pass starts in it.
    Drain,
    /// Trials of a search for a limit.
    Search,
}

impl Phase {
    /// All phases in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::WarmUp, Self::Before, Self::During, Self::After, Self::Drain, Self::Search];
    /// The phases in which passes start, in the same order.
    pub const WITH_PASSES: [Self; 5] = [Self::WarmUp, Self::Before, Self::During, Self::After, Self::Search];

    /// The word in YAML, columns and graphs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
            Self::Drain => "drain",
            Self::Search => "search",
        }
    }
}
