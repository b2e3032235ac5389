//! What an author has sent and a subscriber waits for: how one observes the other.
//!
//! Each subscriber has its own ledger. The author's threads write into it when a pass starts and when it has failed;
//! the subscriber removes what has arrived. A lock is taken for each event, for the time of one table lookup.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::document::Identity;
use crate::observer::{Begun, Observer};
use vocabulary::Phase;

/// An event that was sent. Times are nanoseconds since the epoch of the repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When it was meant to be sent.
    pub intended_ns: u64,
    /// When sending it started.
    pub sent_ns: u64,
    /// The phase of its pass.
    pub phase: Phase,
    /// Whether the broker did not accept it, as far as the author knows.
    pub failed: bool,
}

/// The result of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was waited for.
    First(Sent),
    /// It had arrived before.
    Again,
    /// Nobody has sent it; or it was sent by a pass that failed earlier than the last 65 536 failures.
    Unknown,
}

/// How many failed passes are remembered, in case their events arrive anyway; a broker that accepts nothing must not
/// fill the memory. At a thousand failures per second this is more than a minute.
const FAILED: usize = 1 << 16;

/// Events on their way from one author to one subscriber.
#[derive(Debug)]
pub struct Ledger {
    /// The names of the author's events.
    pub identity: Identity,
    events: Mutex<Events>,
    /// Threads of the author that may still send.
    authors: AtomicUsize,
}

#[derive(Debug, Default)]
struct Events {
    on_their_way: HashMap<u64, Sent>,
    /// Passes that failed, in this order. Some of their events may have arrived since.
    failed: VecDeque<u64>,
    /// One bit for each pass whose event has arrived.
    arrived: Vec<u64>,
}

impl Ledger {
    /// An empty one, for an author with this many threads.
    pub fn new(identity: Identity, threads: usize) -> Self {
        Self { identity, events: Mutex::default(), authors: AtomicUsize::new(threads) }
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The event of a pass has arrived.
    pub fn arrives(&self, pass: u64) -> Arrival {
        let mut events = self.events();
        let (word, bit) = ((pass / 64) as usize, 1 << (pass % 64));
        if let Some(sent) = events.on_their_way.remove(&pass) {
            if events.arrived.len() <= word {
                events.arrived.resize(word + 1, 0);
            }
            events.arrived[word] |= bit;
            return Arrival::First(sent);
        }
        match events.arrived.get(word) {
            Some(bits) if bits & bit != 0 => Arrival::Again,
            _ => Arrival::Unknown,
        }
    }

    /// Whether nothing more is sent and everything that the broker accepted has arrived.
    pub fn is_complete(&self) -> bool {
        self.has_ended() && self.events().on_their_way.values().all(|sent| sent.failed)
    }

    /// Whether nothing more is sent.
    pub fn has_ended(&self) -> bool {
        self.authors.load(Ordering::Acquire) == 0
    }

    /// Events that the broker accepted and that have not arrived, in the order of passes.
    pub fn missing(&self) -> Vec<(u64, Sent)> {
        let events = self.events();
        let mut missing: Vec<_> = events.on_their_way.iter().filter(|(_, s)| !s.failed).map(|(p, s)| (*p, *s)).collect();
        missing.sort_unstable_by_key(|(pass, _)| *pass);
        missing
    }
}

impl Observer for Ledger {
    /// Its event may arrive from now on.
    fn begins(&self, pass: u64, begun: Begun) {
        let Begun { intended_ns, sent_ns, phase } = begun;
        self.events().on_their_way.insert(pass, Sent { intended_ns, sent_ns, phase, failed: false });
    }

    /// The broker did not accept its event, as far as the author knows; it is not missed if it does not arrive.
    fn fails(&self, pass: u64) {
        let mut events = self.events();
        let Some(sent) = events.on_their_way.get_mut(&pass) else { return };
        sent.failed = true;
        events.failed.push_back(pass);
        if events.failed.len() > FAILED
            && let Some(oldest) = events.failed.pop_front()
        {
            events.on_their_way.remove(&oldest);
        }
    }

    fn ends(&self) {
        self.authors.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Begun = Begun { intended_ns: 1, sent_ns: 2, phase: Phase::During };
    const SENT: Sent = Sent { intended_ns: 1, sent_ns: 2, phase: Phase::During, failed: false };

    fn ledger(threads: usize) -> Ledger {
        Ledger::new(Identity::new("ivo://lab.test/x", 1), threads)
    }

    #[test]
    fn memory_does_not_grow_with_failures() {
        let ledger = ledger(1);
        ledger.begins(0, BEGUN);
        for pass in 1..10 * FAILED as u64 {
            ledger.begins(pass, BEGUN);
            ledger.fails(pass);
        }
        let events = ledger.events();
        assert_eq!((events.on_their_way.len(), events.failed.len(), events.arrived.len()), (FAILED + 1, FAILED, 0));
        assert!(events.on_their_way.capacity() < 4 * FAILED && events.failed.capacity() < 4 * FAILED);
        drop(events);
        assert_eq!(ledger.missing(), [(0, SENT)]);
        // The last ones are remembered, the first ones are not.
        assert_eq!(ledger.arrives(10 * FAILED as u64 - 1), Arrival::First(Sent { failed: true, ..SENT }));
        assert_eq!(ledger.arrives(1), Arrival::Unknown);
        assert_eq!(ledger.arrives(0), Arrival::First(SENT));
    }

    #[test]
    fn what_was_taken_is_waited_for() {
        let ledger = ledger(2);
        for pass in [0, 3, 64, 1000] {
            ledger.begins(pass, BEGUN);
        }
        ledger.fails(3);
        assert_eq!(ledger.arrives(64), Arrival::First(SENT));
        assert_eq!(ledger.arrives(64), Arrival::Again);
        assert_eq!(ledger.arrives(65), Arrival::Unknown);
        ledger.ends();
        assert!(!ledger.has_ended());
        ledger.ends();
        assert!(ledger.has_ended() && !ledger.is_complete());
        assert_eq!(ledger.missing(), [(0, SENT), (1000, SENT)]);
        ledger.arrives(0);
        ledger.arrives(1000);
        assert!(ledger.is_complete());
        // The author was not told that the broker accepted it, but it did.
        assert_eq!(ledger.arrives(3), Arrival::First(Sent { failed: true, ..SENT }));
    }
}
