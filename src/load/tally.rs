//! What one thread records: windows, and requests if they are wanted, and sends to the writer.

use super::queue::Sender;
use super::windows::{Totals, Windows};
use super::{Job, Rows};
use vocabulary::Phase;
use vocabulary::queue::Sent;
use vocabulary::rows::RequestRow;

/// How many requests are sent to the writer at a time. Memory for them is allocated once: no request waits for more.
const REQUESTS: usize = 4096;

/// The record of one thread. Memory does not grow with the number of requests.
pub(super) struct Tally {
    windows: Windows,
    /// Requests that ended, if they are wanted.
    requests: Option<Vec<RequestRow>>,
    rows: Sender,
    workload: u16,
    dropped: u64,
}

impl Tally {
    /// An empty one, for a workload with this many steps and kinds of passes; `single`: whether a pass is its only step.
    pub fn new(job: &Job, steps: usize, single: bool) -> Self {
        Self {
            windows: Windows::new(job.index, steps, single, job.setting.window.as_nanos() as u64),
            requests: job.setting.requests.then(|| Vec::with_capacity(REQUESTS)),
            rows: job.setting.rows.clone(),
            workload: job.index,
            dropped: 0,
        }
    }

    /// Counts a request. Returns whether it was the first one of another window.
    #[inline(always)]
    pub fn record(&mut self, ended: &RequestRow) -> bool {
        if let Some(requests) = &mut self.requests {
            requests.push(*ended);
            if requests.len() == REQUESTS {
                let rows = std::mem::replace(requests, Vec::with_capacity(REQUESTS));
                self.send(Rows::Requests { workload: self.workload, rows });
            }
        }
        let rows = self.windows.record(ended);
        let is_first = rows.is_some();
        if let Some(rows) = rows {
            self.send(Rows::Windows(rows));
        }
        is_first
    }

    /// Sends the last window if it is over.
    pub fn over(&mut self, now_ns: u64) {
        if let Some(rows) = self.windows.over(now_ns) {
            self.send(Rows::Windows(rows));
        }
    }

    /// Sends rows to the writer.
    pub fn send(&mut self, rows: Rows) {
        // There is no room if the writer does not keep up, and no receiver if the repetition was abandoned.
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
}
