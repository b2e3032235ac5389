//! What is told of messages beside their times: shares, counts and handshakes, of all threads of a workload together.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hdrhistogram::Histogram;

use plan::drivers::websocket::{HANDSHAKES, SHARES};
use vocabulary::Phase;
use vocabulary::rows::{MetricRow, new_histogram};

/// Messages of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    /// Those that were sent.
    pub sent: u64,
    /// Those that were not answered by the end of the drain.
    pub lost: u64,
    /// Answers that came, the first to each message.
    pub answered: u64,
    /// Those of them before which a later message was answered.
    pub out_of_order: u64,
    /// Answers to what was answered already.
    pub duplicates: u64,
    /// Messages that nobody asked for.
    pub unexpected: u64,
    /// Messages that may come without being asked for.
    pub pushes: u64,
}

/// What one thread has seen.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// By phase.
    pub messages: BTreeMap<Phase, Messages>,
    /// How long it took until a connection could be used, in nanoseconds.
    pub handshakes: Histogram<u32>,
}

impl Default for Told {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), handshakes: new_histogram() }
    }
}

impl Told {
    /// Messages of a phase.
    pub fn of(&mut self, phase: Phase) -> &mut Messages {
        self.messages.entry(phase).or_default()
    }

    fn add(&mut self, other: &Self) {
        for (phase, theirs) in &other.messages {
            let ours = self.of(*phase);
            ours.sent += theirs.sent;
            ours.lost += theirs.lost;
            ours.answered += theirs.answered;
            ours.out_of_order += theirs.out_of_order;
            ours.duplicates += theirs.duplicates;
            ours.unexpected += theirs.unexpected;
            ours.pushes += theirs.pushes;
        }
        self.handshakes.add(&other.handshakes).expect("both have the same bounds");
    }

    /// How many of how many, by phase and name.
    pub fn shares(&self) -> BTreeMap<(Phase, &'static str), (u64, u64)> {
        let [(lost, _), (out_of_order, _)] = SHARES;
        let of = |(phase, one): (&Phase, &Messages)| {
            [((*phase, lost), (one.lost, one.sent)), ((*phase, out_of_order), (one.out_of_order, one.answered))]
        };
        self.messages.iter().flat_map(of).collect()
    }

    /// The metrics, in the order in which the plan names them.
    fn rows(&self, workload: u16, at_ns: u64) -> Vec<MetricRow> {
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64 * 100.0;
        let mut rows = Vec::new();
        for (phase, one) in &self.messages {
            let values = [
                share(one.lost, one.sent),
                share(one.out_of_order, one.answered),
                one.duplicates as f64,
                one.unexpected as f64,
                one.pushes as f64,
            ];
            // What connecting took belongs to no phase; it is told in that of the measurement.
            let handshakes = HANDSHAKES.map(|(_, share)| self.handshakes.value_at_quantile(share) as f64);
            let measured = *phase == Phase::During && !self.handshakes.is_empty();
            let handshakes = handshakes.into_iter().filter(|_| measured);
            for (metric, value) in values.into_iter().chain(handshakes).enumerate() {
                rows.push(MetricRow { at_ns, workload, metric: metric as u16, phase: *phase, pass: 0, value });
            }
        }
        rows
    }
}

/// Where the threads of a workload put together what they have seen.
#[derive(Debug)]
pub(super) struct Together {
    told: Mutex<Told>,
    missing: AtomicUsize,
}

impl Together {
    /// Of so many threads.
    pub fn new(threads: usize) -> Self {
        Self { told: Mutex::default(), missing: AtomicUsize::new(threads) }
    }

    /// Adds what a thread has seen. The last one gets the metrics of all, at `at_ns`.
    pub fn add(&self, told: &Told, workload: u16, at_ns: u64) -> Vec<MetricRow> {
        let mut all = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.add(told);
        let last = self.missing.fetch_sub(1, Ordering::AcqRel) == 1;
        if last { all.rows(workload, at_ns) } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_thread_tells_of_all() {
        let mut told = Told::default();
        *told.of(Phase::During) =
            Messages { sent: 100, lost: 1, answered: 50, out_of_order: 2, pushes: 3, ..Messages::default() };
        told.handshakes.record(1_000_000).unwrap();
        let together = Together::new(2);
        assert_eq!(together.add(&told, 7, 5), []);
        let rows = together.add(&told, 7, 5);
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        assert_eq!(values[..5], [1.0, 4.0, 0.0, 0.0, 6.0]);
        assert_eq!(values.len(), 8);
        assert!(rows.iter().enumerate().all(|(at, row)| usize::from(row.metric) == at && row.phase == Phase::During));
        assert_eq!(told.shares()[&(Phase::During, "out_of_order")], (2, 50));
    }
}
