//! What is known about requests: about each one, about those of a window, and about the metrics that they reported.

use hdrhistogram::Histogram;

use super::super::{Outcome, Phase};

/// One row of `windows.parquet`. Histograms are in HdrHistogram's V2 encoding, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Start of the window, nanoseconds since the epoch of the repetition.
    pub start_ns: u64,
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step; `None` for the whole pass.
    pub step: Option<u16>,
    /// The phase of the intended start of the requests.
    pub phase: Phase,
    /// The phase in which they ended; [`Phase::Drain`] after the last phase.
    pub completed_in: Phase,
    /// The outcome of the requests.
    pub outcome: Outcome,
    /// The number of requests that ended in this window.
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
    /// Connecting, for the requests that had to; empty if none had.
    pub connect: Vec<u8>,
    /// First byte of the answer − sent, for the requests that had an answer; empty if none had.
    pub first_byte: Vec<u8>,
}

/// Longer times are recorded as this time.
pub const MAX_TIME_NS: u64 = 3_600_000_000_000;

/// A histogram of the form that every part of the program uses: 1 ns to an hour, 3 significant digits.
pub fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order")
}

/// What is known about a request that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Index of the step; `None` for the whole pass.
    pub step: Option<u16>,
    /// The phase of its intended start.
    pub phase: Phase,
    /// The phase that its end is counted in, see `load::schedule::Timeline::completed_in`.
    pub completed_in: Phase,
    /// The outcome of the request.
    pub outcome: Outcome,
    /// Its intended start.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When the answer was complete, or the request had failed.
    pub completed_ns: u64,
    /// How long connecting took, if that was needed.
    pub connect_ns: Option<u64>,
    /// When the first byte of the answer arrived.
    pub first_byte_ns: Option<u64>,
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the response body.
    pub received_bytes: u64,
    /// The key of its answer, if answers are matched, as a number made by [`crate::key_number`].
    pub key: Option<u64>,
}

/// A value of a metric that a workload reported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricRow {
    /// When it was reported, nanoseconds since the epoch.
    pub at_ns: u64,
    /// Index of the workload.
    pub workload: u16,
    /// Index of the metric; in the order in which its protocol names them.
    pub metric: u16,
    /// The phase of its pass.
    pub phase: Phase,
    /// Number of the pass that reported it.
    pub pass: u64,
    /// The value, in the unit of the metric.
    pub value: f64,
}
