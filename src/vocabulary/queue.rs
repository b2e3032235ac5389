//! A bounded queue from the threads that measure to the thread that writes. If the disk stalls, memory does not grow without
//! limit, and measuring threads do not wait. An item that finds no room is lost, and the sender learns this, so that the loss can
//! be reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::time::Duration;

/// What happened to an item that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The item is in the queue.
    OnItsWay,
    /// There was no room.
    Lost,
    /// The receiver is gone.
    Over,
}

/// The end of the threads that measure.
#[derive(Debug)]
pub struct Sender<T> {
    items: mpsc::Sender<(usize, T)>,
    waiting: Arc<AtomicUsize>,
    room: usize,
    size: fn(&T) -> usize,
}

// Not derived: items need not be `Clone`.
impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), waiting: Arc::clone(&self.waiting), room: self.room, size: self.size }
    }
}

/// The end of the thread that writes.
#[derive(Debug)]
pub struct Receiver<T> {
    items: mpsc::Receiver<(usize, T)>,
    waiting: Arc<AtomicUsize>,
}

/// A new queue; items of this total size may wait in it.
pub fn queue<T>(room: usize, size: fn(&T) -> usize) -> (Sender<T>, Receiver<T>) {
    let (sender, items) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Sender { items: sender, waiting: Arc::clone(&waiting), room, size }, Receiver { items, waiting })
}

impl<T> Sender<T> {
    /// Sends an item, unless there is no room.
    pub fn send(&self, item: T) -> Sent {
        let size = (self.size)(&item);
        let sent = if self.waiting.fetch_add(size, Ordering::Relaxed).saturating_add(size) > self.room {
            Sent::Lost
        } else if self.items.send((size, item)).is_err() {
            Sent::Over
        } else {
            return Sent::OnItsWay;
        };
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        sent
    }
}

impl<T> Receiver<T> {
    /// The next item.
    ///
    /// # Errors
    /// When no item arrives within this time, or all senders are gone.
    pub fn recv_timeout(&self, time: Duration) -> Result<T, RecvTimeoutError> {
        self.items.recv_timeout(time).map(|item| self.taken(item))
    }

    /// The next item, if one is waiting.
    ///
    /// # Errors
    /// When no item is waiting, or all senders are gone.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.items.try_recv().map(|item| self.taken(item))
    }

    fn taken(&self, (size, item): (usize, T)) -> T {
        self.waiting.fetch_sub(size, Ordering::Relaxed);
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_told_and_nobody_waits() {
        let (sender, receiver) = queue(20, |size: &usize| *size);
        let sent: Vec<Sent> = (0..15).map(|_| sender.clone().send(2)).collect();
        assert_eq!(sent.iter().filter(|sent| **sent == Sent::OnItsWay).count(), 10);
        assert!(sent[10..].iter().all(|sent| *sent == Sent::Lost));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!([sender.send(2), sender.send(2)], [Sent::OnItsWay, Sent::Lost]);
        for _ in 0..10 {
            assert_eq!(receiver.recv_timeout(Duration::ZERO), Ok(2));
        }
        assert_eq!((receiver.try_recv(), sender.waiting.load(Ordering::Relaxed)), (Err(TryRecvError::Empty), 0));
        assert_eq!(sender.send(21), Sent::Lost, "that is more than there is room for");
        drop(receiver);
        assert_eq!(sender.send(0), Sent::Over);
    }
}
