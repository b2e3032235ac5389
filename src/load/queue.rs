//! The way of rows to whoever writes them. It has a bound: while a disk stands still, memory does not grow without end, and
//! the generator does not wait either. What finds no room is lost, and whoever sends is told, so that it can be said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use super::Rows;
use super::windows::{Ended, WindowRow};

/// So many bytes of rows may wait. Windows alone need hours for that; single requests, of which a second with 100 000 makes
/// 12 MiB, take 20 s.
const ROOM: usize = 256 << 20;

/// The end that generator threads have.
#[derive(Clone, Debug)]
pub struct Sender {
    rows: mpsc::Sender<(usize, Rows)>,
    waiting: Arc<AtomicUsize>,
    room: usize,
}

/// The end of whoever writes.
#[derive(Debug)]
pub struct Receiver {
    rows: mpsc::Receiver<(usize, Rows)>,
    waiting: Arc<AtomicUsize>,
}

/// A new queue.
pub fn queue() -> (Sender, Receiver) {
    with_room(ROOM)
}

fn with_room(room: usize) -> (Sender, Receiver) {
    let (sender, rows) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Sender { rows: sender, waiting: Arc::clone(&waiting), room }, Receiver { rows, waiting })
}

impl Sender {
    /// Sends rows, unless there is no room or nobody who listens. Returns whether they are on their way.
    #[must_use]
    pub fn send(&self, rows: Rows) -> bool {
        let size = size(&rows);
        if self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) <= self.room
            && self.rows.send((size, rows)).is_ok()
        {
            return true;
        }
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

impl Receiver {
    /// The next rows.
    ///
    /// # Errors
    /// When none come in this time, or nobody sends any more.
    pub fn recv_timeout(&self, time: Duration) -> Result<Rows, RecvTimeoutError> {
        self.rows.recv_timeout(time).map(|rows| self.taken(rows))
    }

    /// The next rows, if they are there.
    ///
    /// # Errors
    /// When there are none, or nobody sends any more.
    pub fn try_recv(&self) -> Result<Rows, TryRecvError> {
        self.rows.try_recv().map(|rows| self.taken(rows))
    }

    fn taken(&self, (size, rows): (usize, Rows)) -> Rows {
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        rows
    }
}

/// What rows hold in memory, about.
fn size(rows: &Rows) -> usize {
    let histograms = |row: &WindowRow| {
        [&row.service, &row.response, &row.lag, &row.connect, &row.first_byte].map(Vec::capacity).iter().sum::<usize>()
    };
    size_of::<(usize, Rows)>()
        + match rows {
            Rows::Windows(rows) => rows.iter().map(|row| size_of::<WindowRow>() + histograms(row)).sum(),
            Rows::Requests { rows, .. } => rows.capacity() * size_of::<Ended>(),
            Rows::Metric(_) => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{MetricRow, Phase};

    fn metric(pass: u64) -> Rows {
        Rows::Metric(MetricRow { at_ns: 1, workload: 0, metric: 0, phase: Phase::During, pass, value: 1.0 })
    }

    #[test]
    fn what_finds_no_room_is_told_and_nobody_waits() {
        let one = size(&metric(0));
        let (sender, receiver) = with_room(10 * one);
        let sent: Vec<bool> = (0..15).map(|pass| sender.clone().send(metric(pass))).collect();
        assert_eq!(sent.iter().filter(|sent| **sent).count(), 10);
        assert_eq!(receiver.try_recv(), Ok(metric(0)));
        assert!(sender.send(metric(20)) && !sender.send(metric(21)));
        for pass in (1..10).chain([20]) {
            assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(metric(pass)));
        }
        assert_eq!((receiver.try_recv(), sender.waiting.load(Ordering::Relaxed)), (Err(TryRecvError::Empty), 0));
        let requests = Rows::Requests { workload: 0, rows: Vec::with_capacity(4096) };
        assert!(!sender.send(requests), "that is more than there is room for");
        drop(receiver);
        assert!(!sender.send(metric(0)));
    }
}
