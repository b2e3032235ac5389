//! The queue of a load's rows that wait to be written, and its limit.

use super::Rows;
use vocabulary::queue;
use vocabulary::rows::{RequestRow, TransferRow, WindowRow};

/// How many bytes of rows may wait. Windows alone need hours to fill this; single requests, which take 12 MiB for a
/// second with 100 000 of them, fill it in 20 s.
const ROOM: usize = 256 << 20;

/// The approximate size of the texts of a transfer.
const TEXTS: usize = 200;

/// The end for generator threads.
pub type Sender = queue::Sender<Rows>;
/// The end for the writer.
pub type Receiver = queue::Receiver<Rows>;

/// A new queue.
pub fn queue() -> (Sender, Receiver) {
    queue::queue(ROOM, size)
}

/// The approximate size of rows in memory.
fn size(rows: &Rows) -> usize {
    let histograms = |row: &WindowRow| {
        [&row.service, &row.response, &row.lag, &row.connect, &row.first_byte].map(Vec::capacity).iter().sum::<usize>()
    };
    size_of::<(usize, Rows)>()
        + match rows {
            Rows::Windows(rows) => rows.iter().map(|row| size_of::<WindowRow>() + histograms(row)).sum(),
            Rows::Requests { rows, .. } => rows.capacity() * size_of::<RequestRow>(),
            Rows::Metric(_) => 0,
            Rows::Transfer(_) => size_of::<TransferRow>() + TEXTS,
        }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;
    use std::time::Duration;

    use super::*;
    use vocabulary::Phase;
    use vocabulary::queue::Sent;
    use vocabulary::rows::MetricRow;

    fn metric(pass: u64) -> Rows {
        Rows::Metric(MetricRow { at_ns: 1, workload: 0, metric: 0, phase: Phase::During, pass, value: 1.0 })
    }

    #[test]
    fn what_finds_no_room_is_told_and_nobody_waits() {
        let one = size(&metric(0));
        let (sender, receiver) = vocabulary::queue::queue(10 * one, size);
        let sent = |rows| sender.send(rows) == Sent::OnItsWay;
        let first: Vec<bool> = (0..15).map(|pass| sent(metric(pass))).collect();
        assert_eq!(first.iter().filter(|sent| **sent).count(), 10);
        assert_eq!(receiver.try_recv(), Ok(metric(0)));
        assert!(sent(metric(20)) && !sent(metric(21)));
        for pass in (1..10).chain([20]) {
            assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(metric(pass)));
        }
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let requests = Rows::Requests { workload: 0, rows: Vec::with_capacity(4096) };
        assert!(!sent(requests), "that is more than there is room for");
        drop(receiver);
        assert!(!sent(metric(0)));
    }
}
