//! What came of the requests: counts, bytes and loss-free histograms per window, phase, step and outcome.
//!
//! Memory does not grow with the number of requests: a window that is over is serialised and sent away, and its
//! histograms are used again.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};

/// A named stretch of a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Recorded, marked, and left out of the statistics.
    WarmUp,
    /// The measurement.
    During,
}

impl Phase {
    /// All phases in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::WarmUp, Self::During];

    /// The word in columns and graphs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::During => "during",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
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
}

impl Outcome {
    /// All outcomes in the order of their numbers.
    pub const ALL: [Self; 12] = [
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
    ];

    /// The word in columns and summaries.
    pub fn name(self) -> &'static str {
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
        }
    }
}

/// One row of `windows.parquet`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Begin of the window, nanoseconds since the epoch of the repetition.
    pub start_ns: u64,
    /// Index of the workload.
    pub workload: u16,
    /// Index of the step; none for the pass as a whole.
    pub step: Option<u16>,
    /// The phase in which the requests began.
    pub phase: Phase,
    /// What became of them.
    pub outcome: Outcome,
    /// How many ended in this window.
    pub count: u64,
    /// Bytes of request bodies.
    pub sent_bytes: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
    /// Completed − sent, HdrHistogram V2 encoding, nanoseconds.
    pub service: Vec<u8>,
    /// Completed − intended, HdrHistogram V2 encoding, nanoseconds.
    pub response: Vec<u8>,
}

/// Times longer than this are recorded as this.
pub const MAX_TIME_NS: u64 = 3_600_000_000_000;

/// A histogram as every part of the program makes it: 1 ns to an hour, 3 significant digits.
pub fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order")
}

struct Cell {
    count: u64,
    sent_bytes: u64,
    received_bytes: u64,
    service: Histogram<u32>,
    response: Histogram<u32>,
}

/// What is known of a request that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Index of the step; none for the pass as a whole.
    pub step: Option<u16>,
    /// The phase in which it began.
    pub phase: Phase,
    /// What became of it.
    pub outcome: Outcome,
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When it was sent.
    pub sent_ns: u64,
    /// When it ended.
    pub completed_ns: u64,
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the response body.
    pub received_bytes: u64,
}

/// The windows of one generator thread.
pub struct Windows {
    workload: u16,
    length_ns: u64,
    current: u64,
    steps: usize,
    cells: Vec<Option<Box<Cell>>>,
    serializer: V2Serializer,
}

impl Windows {
    /// Windows of `length_ns`, for a workload with so many steps.
    pub fn new(workload: u16, steps: usize, length_ns: u64) -> Self {
        let cells = (0..Phase::ALL.len() * (steps + 1) * Outcome::ALL.len()).map(|_| None).collect();
        Self { workload, length_ns, current: 0, steps, cells, serializer: V2Serializer::new() }
    }

    /// Counts a request. Returns the rows of the last window when this one begins another.
    pub fn record(&mut self, ended: &Ended) -> Option<Vec<WindowRow>> {
        let window = ended.completed_ns / self.length_ns;
        let rows = (window > self.current).then(|| self.flush()).filter(|rows| !rows.is_empty());
        self.current = self.current.max(window);
        let step = ended.step.map_or(self.steps, usize::from);
        let index = (ended.phase as usize * (self.steps + 1) + step) * Outcome::ALL.len() + ended.outcome as usize;
        let cell = self.cells[index].get_or_insert_with(|| {
            Box::new(Cell { count: 0, sent_bytes: 0, received_bytes: 0, service: new_histogram(), response: new_histogram() })
        });
        cell.count += 1;
        cell.sent_bytes += ended.sent_bytes;
        cell.received_bytes += ended.received_bytes;
        cell.service.saturating_record(ended.completed_ns.saturating_sub(ended.sent_ns));
        cell.response.saturating_record(ended.completed_ns.saturating_sub(ended.intended_ns));
        rows
    }

    /// The rows of the current window; it is empty afterwards.
    pub fn flush(&mut self) -> Vec<WindowRow> {
        let mut rows = Vec::new();
        for (index, cell) in self.cells.iter_mut().enumerate() {
            let Some(cell) = cell.as_mut().filter(|c| c.count > 0) else { continue };
            let outcome = Outcome::ALL[index % Outcome::ALL.len()];
            let rest = index / Outcome::ALL.len();
            let step = rest % (self.steps + 1);
            let mut encode = |histogram: &mut Histogram<u32>| {
                let mut bytes = Vec::new();
                self.serializer.serialize(histogram, &mut bytes).expect("a vector takes all that is written to it");
                histogram.reset();
                bytes
            };
            rows.push(WindowRow {
                start_ns: self.current * self.length_ns,
                workload: self.workload,
                step: (step < self.steps).then_some(step as u16),
                phase: Phase::ALL[rest / (self.steps + 1)],
                outcome,
                count: std::mem::take(&mut cell.count),
                sent_bytes: std::mem::take(&mut cell.sent_bytes),
                received_bytes: std::mem::take(&mut cell.received_bytes),
                service: encode(&mut cell.service),
                response: encode(&mut cell.response),
            });
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    proptest! {
        /// Nothing is lost and nothing is counted twice, whatever window a request falls into.
        #[test]
        fn every_request_is_in_exactly_one_row(times in proptest::collection::vec((0_u64..5_000_000_000, 1_u64..2_000_000, 0_usize..12), 1..200)) {
            let mut times = times;
            times.sort_unstable();
            let mut windows = Windows::new(0, 2, 500_000_000);
            let mut rows = Vec::new();
            for (at, took, outcome) in &times {
                rows.extend(windows.record(&Ended {
                    step: Some((*took % 2) as u16),
                    phase: Phase::During,
                    outcome: Outcome::ALL[*outcome],
                    intended_ns: *at,
                    sent_ns: *at,
                    completed_ns: at + took,
                    sent_bytes: 1,
                    received_bytes: 2,
                }).unwrap_or_default());
            }
            rows.extend(windows.flush());
            prop_assert_eq!(rows.iter().map(|r| r.count).sum::<u64>(), times.len() as u64);
            prop_assert_eq!(rows.iter().map(|r| r.received_bytes).sum::<u64>(), 2 * times.len() as u64);
            let mut total = 0;
            for row in &rows {
                let histogram: Histogram<u32> = Deserializer::new().deserialize(&mut row.service.as_slice()).unwrap();
                prop_assert_eq!(histogram.len(), row.count);
                total += histogram.len();
            }
            prop_assert_eq!(total, times.len() as u64);
        }
    }
}
