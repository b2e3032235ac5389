//! The rows that a tap makes from lines.

use std::time::Instant;

/// A line that matched.
#[derive(Clone, Debug, PartialEq)]
pub struct TapRow {
    /// When the end of the line was read.
    pub at: Instant,
    /// The replica that wrote it; `None` if the source has no replicas.
    pub replica: Option<u32>,
    /// The number of the key by which it is joined; `None` if the tap has no key, or the line has none.
    pub join_key: Option<u64>,
    /// One for each field of the tap, in its order.
    pub values: Vec<TapValue>,
}

/// A field of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum TapValue {
    /// The group took no part in the match, or is not of the expected type.
    Absent,
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
    /// An instant by the clock of the program that wrote the line, in nanoseconds since 1970.
    Time(i64),
}
