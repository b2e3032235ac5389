//! What one thread has to record: windows, requests where they are wanted, and the way to whoever writes them.

use super::queue::Sender;
use super::windows::{Totals, Windows};
use super::{Job, Rows};
use vocabulary::Phase;
use vocabulary::queue::Sent;
use vocabulary::rows::RequestRow;

/// Requests that are sent to be recorded at a time. Memory for so many is taken at once: no request waits for more.
const REQUESTS: usize = 4096;

/// The record of one thread. Memory does not grow with the number of requests.
pub(super) struct Tally {
    windows: Windows,
    /// Requests that ended, where they are wanted.
    requests: Option<Vec<RequestRow>>,
    rows: Sender,
    workload: u16,
    dropped: u64,
}

impl Tally {
    /// An empty one, for a workload with so many steps.
    pub fn new(job: &Job, steps: usize) -> Self {
        Self {
            windows: Windows::new(job.index, steps, job.setting.window.as_nanos() as u64),
            requests: job.setting.requests.then(|| Vec::with_capacity(REQUESTS)),
            rows: job.setting.rows.clone(),
            workload: job.index,
            dropped: 0,
        }
    }

    /// Counts a request.
    pub fn record(&mut self, ended: &RequestRow) {
        if let Some(requests) = &mut self.requests {
            requests.push(*ended);
            if requests.len() == REQUESTS {
                let rows = std::mem::replace(requests, Vec::with_capacity(REQUESTS));
                self.send(Rows::Requests { workload: self.workload, rows });
            }
        }
        if let Some(rows) = self.windows.record(ended) {
            self.send(Rows::Windows(rows));
        }
    }

    /// Sends rows to be recorded.
    pub fn send(&mut self, rows: Rows) {
        // There is no room when whoever writes does not keep up; nobody listens any more when the repetition was given up.
        self.dropped += u64::from(self.rows.send(rows) != Sent::OnItsWay);
    }

    /// Sends what is left.
    pub fn flush(&mut self) {
        let rows = self.windows.flush();
        self.send(Rows::Windows(rows));
        if let Some(rows) = self.requests.take().filter(|rows| !rows.is_empty()) {
            self.send(Rows::Requests { workload: self.workload, rows });
        }
    }

    /// Whole phases so far, without the current window.
    pub fn totals(&self) -> Vec<(Phase, Totals)> {
        self.windows.totals().map(|(phase, totals)| (phase, totals.clone())).collect()
    }

    /// Rows that could not be handed over.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many steps a pass has.
    pub fn steps(&self) -> usize {
        self.windows.steps()
    }
}
