//! How many requests were written to the wire, and how many of them were answered: what a server's own count is
//! compared with.
//!
//! Not the same as passes: a pass that stops at its second step has sent two requests, one whose connection was refused
//! none. Counted as it happens, so that requests still under way at the end of a load are known, too: they were sent
//! and not answered, as far as the generator knows, and the server may or may not have seen them.

use std::cell::Cell;

/// Requests of one step to one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that were written, completely or in part.
    pub sent: u64,
    /// Requests among them whose answer arrived, at least its first byte.
    pub answered: u64,
}

/// Requests that a load has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By address, in the order of the workload's URLs, and by step. Empty where the driver does not count.
    pub addresses: Vec<Vec<Requests>>,
    /// Those that followed a redirect to another server.
    pub elsewhere: u64,
    /// How often a request was sent again because the server had said that it did not accept it. Each request is
    /// counted once above.
    pub sent_again: u64,
}

impl Traffic {
    /// Adds what another thread has sent.
    pub fn merge(&mut self, other: &Self) {
        for (address, steps) in other.addresses.iter().enumerate() {
            for (step, requests) in steps.iter().enumerate() {
                self.add(address, step, *requests);
            }
        }
        self.elsewhere += other.elsewhere;
        self.sent_again += other.sent_again;
    }

    /// Adds requests of a step to an address.
    pub fn add(&mut self, address: usize, step: usize, requests: Requests) {
        if self.addresses.len() <= address {
            self.addresses.resize_with(address + 1, Vec::new);
        }
        let steps = &mut self.addresses[address];
        if steps.len() <= step {
            steps.resize_with(step + 1, Requests::default);
        }
        steps[step].sent += requests.sent;
        steps[step].answered += requests.answered;
    }
}

/// The requests of one generator thread to one address, counted by all its clients.
#[derive(Debug)]
pub struct RequestCounter {
    steps: Box<[Cell<Requests>]>,
    elsewhere: Cell<u64>,
    sent_again: Cell<u64>,
}

impl RequestCounter {
    /// None yet, of this many steps.
    pub fn new(steps: usize) -> Self {
        Self { steps: (0..steps).map(|_| Cell::default()).collect(), elsewhere: Cell::new(0), sent_again: Cell::new(0) }
    }

    /// A request of a step is about to be written.
    pub fn count_sent(&self, step: usize) {
        let cell = &self.steps[step];
        cell.set(Requests { sent: cell.get().sent + 1, ..cell.get() });
    }

    /// It was not written after all.
    pub fn uncount_sent(&self, step: usize) {
        let cell = &self.steps[step];
        cell.set(Requests { sent: cell.get().sent - 1, ..cell.get() });
    }

    /// It was written and not accepted, and will be written again.
    pub fn count_again(&self, step: usize) {
        self.uncount_sent(step);
        self.sent_again.set(self.sent_again.get() + 1);
    }

    /// Its answer arrived, or started to arrive.
    pub fn count_answered(&self, step: usize) {
        let cell = &self.steps[step];
        cell.set(Requests { answered: cell.get().answered + 1, ..cell.get() });
    }

    /// A request goes to another server.
    pub fn count_elsewhere(&self) {
        self.elsewhere.set(self.elsewhere.get() + 1);
    }

    /// Adds it to the report of the thread.
    pub fn add_to(&self, address: usize, traffic: &mut Traffic) {
        for (step, requests) in self.steps.iter().enumerate() {
            traffic.add(address, step, requests.get());
        }
        traffic.elsewhere += self.elsewhere.get();
        traffic.sent_again += self.sent_again.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_added_by_address_and_step() {
        let [first, second] = [RequestCounter::new(2), RequestCounter::new(2)];
        first.count_sent(0);
        first.count_answered(0);
        first.count_sent(1);
        second.count_sent(1);
        second.count_answered(1);
        second.count_sent(0);
        second.uncount_sent(0);
        second.count_elsewhere();
        second.count_sent(0);
        second.count_again(0);
        let (mut sum, mut other) = (Traffic::default(), Traffic::default());
        first.add_to(0, &mut sum);
        second.add_to(1, &mut other);
        sum.merge(&other);
        sum.merge(&other);
        let requests = |sent, answered| Requests { sent, answered };
        assert_eq!(sum.addresses, [vec![requests(1, 1), requests(1, 0)], vec![requests(0, 0), requests(2, 2)]]);
        assert_eq!((sum.elsewhere, sum.sent_again), (2, 2));
    }
}
