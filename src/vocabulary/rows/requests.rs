//! What is known of requests: of each, of those of a window, and of what they brought.

use hdrhistogram::Histogram;

use super::super::{Outcome, Phase};

/// One row of `windows.parquet`. Histograms are in HdrHistogram's V2 encoding, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Start of the window, nanoseconds since the epoch of the repetition.
    pub start_ns: u64,
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step; none for the pass as a whole.
    pub step: Option<u16>,
    /// The phase in which the requests were meant to begin.
    pub phase: Phase,
    /// The phase in which they ended; [`Phase::Drain`] behind the last one.
    pub completed_in: Phase,
    /// What became of them.
    pub outcome: Outcome,
    /// How many ended in this window.
    pub count: u64,
    /// Bytes of request bodies.
    pub sent_bytes: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
    /// Completed − sent.
    pub service: Vec<u8>,
    /// Completed − intended.
    pub response: Vec<u8>,
    /// Sent − intended.
    pub lag: Vec<u8>,
    /// Connecting, of those that had to; empty when none had.
    pub connect: Vec<u8>,
    /// First byte of the answer − sent, of those that had one; empty when none had.
    pub first_byte: Vec<u8>,
}

/// Times longer than this are recorded as this.
pub const MAX_TIME_NS: u64 = 3_600_000_000_000;

/// A histogram as every part of the program makes it: 1 ns to an hour, 3 significant digits.
pub fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order")
}

/// What is known of a request that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Index of the step; none for the pass as a whole.
    pub step: Option<u16>,
    /// The phase in which it was meant to begin.
    pub phase: Phase,
    /// The phase to which its end counts, see `load::schedule::Timeline::completed_in`.
    pub completed_in: Phase,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When the answer was complete, or the request had failed.
    pub completed_ns: u64,
    /// How long connecting took, where that was needed.
    pub connect_ns: Option<u64>,
    /// When the first byte of the answer was there.
    pub first_byte_ns: Option<u64>,
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the response body.
    pub received_bytes: u64,
    /// By what its answer was known, where answers are matched, as [`crate::key_number`] says it.
    pub key: Option<u64>,
}

/// A value of a metric that a workload brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRow {
    /// When, nanoseconds since the epoch.
    pub at_ns: u64,
    /// Index of the workload.
    pub workload: u16,
    /// Index of the metric; in the order in which its protocol names them.
    pub metric: u16,
    /// The phase of its pass.
    pub phase: Phase,
    /// Number of the pass that brought it.
    pub pass: u64,
    /// The value, in the unit of the metric.
    pub value: f64,
}
