//! Metrics of messages besides their times: shares, counts and handshakes, of all threads of a workload together.

use std::collections::BTreeMap;
use std::sync::Mutex;

use hdrhistogram::Histogram;

use crate::{Job, Rows};
use plan::drivers::websocket::{HANDSHAKES, SHARES, told as names};
use vocabulary::Phase;
use vocabulary::rows::{MetricRow, new_histogram};
use vocabulary::units::nanos;

/// Messages of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Messages {
    /// Messages that were sent.
    pub sent: u64,
    /// Messages that were not answered by the end of the drain.
    pub lost: u64,
    /// First answers to each message.
    pub answered: u64,
    /// Answers among them that arrived after the answer to a later message.
    pub out_of_order: u64,
    /// Answers to messages that were answered already.
    pub duplicates: u64,
    /// Messages that were not expected.
    pub unexpected: u64,
    /// Messages that may arrive unasked.
    pub pushes: u64,
}

/// What one thread has seen.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// By phase.
    pub messages: BTreeMap<Phase, Messages>,
    /// How long handshakes took, in nanoseconds.
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

    /// The metrics that the plan names, in its order; `matched`: whether answers are matched.
    fn rows(&self, matched: bool, workload: u16, at_ns: u64) -> Vec<MetricRow> {
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64 * 100.0;
        let mut rows = Vec::new();
        for (phase, one) in &self.messages {
            let value = |name: &str| match name {
                "lost" => Some(share(one.lost, one.sent)),
                "out_of_order" => Some(share(one.out_of_order, one.answered)),
                "duplicates" => Some(one.duplicates as f64),
                "unexpected" => Some(one.unexpected as f64),
                "pushes" => Some(one.pushes as f64),
                // Handshakes belong to no phase; they are reported in the measurement.
                _ if *phase != Phase::During || self.handshakes.is_empty() => None,
                _ => {
                    let (_, share) = HANDSHAKES.iter().find(|(handshake, _)| *handshake == name)?;
                    Some(self.handshakes.value_at_quantile(*share) as f64)
                }
            };
            let values = names(matched).enumerate().filter_map(|(at, (name, ..))| Some((at as u16, value(name)?)));
            rows.extend(values.map(|(metric, value)| MetricRow { at_ns, workload, metric, phase: *phase, pass: 0, value }));
        }
        rows
    }
}

/// Where the threads of a workload combine what they have seen.
#[derive(Debug, Default)]
pub(super) struct Together(Mutex<(Told, u32)>);

impl Together {
    /// Adds what a thread has seen. The last one sends the metrics of all.
    pub fn add(&self, told: &Told, job: &Job) {
        let mut all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.0.add(told);
        all.1 += 1;
        if all.1 == job.workload.threads {
            let matched = job.workload.protocol().has_many_under_way();
            for row in all.0.rows(matched, job.index, nanos(job.setting.epoch.elapsed())) {
                // There is room for a handful of rows, or the receiver is gone.
                let _ = job.setting.rows.send(Rows::Metric(row));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_have_seen_is_told_as_the_plan_names_it() {
        let mut told = Told::default();
        *told.of(Phase::During) =
            Messages { sent: 100, lost: 1, answered: 50, out_of_order: 2, pushes: 3, ..Messages::default() };
        told.handshakes.record(1_000_000).unwrap();
        told.add(&told.clone());
        assert_eq!(told.rows(true, 7, 5).iter().map(|row| row.value).collect::<Vec<_>>()[..5], [1.0, 4.0, 0.0, 0.0, 6.0]);
        // Without `match` messages are not counted, and none is answered twice.
        assert_eq!(told.rows(false, 7, 5).iter().map(|row| row.value).collect::<Vec<_>>()[..2], [0.0, 6.0]);
        for (matched, count) in [(true, 8), (false, 5)] {
            let rows = told.rows(matched, 7, 5);
            assert_eq!(rows.len(), count);
            assert!(rows.iter().enumerate().all(|(at, row)| usize::from(row.metric) == at && row.phase == Phase::During));
        }
        assert_eq!(told.shares()[&(Phase::During, "out_of_order")], (4, 100));
    }
}
