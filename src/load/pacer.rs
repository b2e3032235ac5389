//! Waking clients at exact instants, on one generator thread.
//!
//! tokio's timers have a resolution of 1 ms; arrivals need microseconds. One `timerfd` per thread serves all of them. A
//! client waits for an instant of its own (think time, ramp, phase) or, in an open loop, for any arrival: then it is
//! idle, and arrivals are handed to idle clients in turn.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::task::{Poll, Waker};
use std::time::Instant;

use hdrhistogram::Histogram;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

use super::schedule::{Arrival, Next};
use vocabulary::rows::new_histogram;

/// Wakes an idle client.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    /// Nothing is due; or the instant that it waited for is there.
    Waiting,
    /// This pass is due.
    Arrival(Arrival),
    /// Nothing is due any more.
    Over,
}

struct Slot {
    waker: Option<Waker>,
    call: Call,
    due: bool,
    /// Whether it has no task, and is called by its number.
    is_called: bool,
}

/// The clock of one generator thread.
pub struct Pacer {
    epoch: Instant,
    /// The kernel's monotonic clock at the epoch.
    zero_ns: u64,
    timer: AsyncFd<OwnedFd>,
    /// The instant that the timer is set for.
    armed_ns: Cell<u64>,
    instants: RefCell<BinaryHeap<Reverse<(u64, usize)>>>,
    idle: RefCell<VecDeque<usize>>,
    slots: RefCell<Vec<Slot>>,
    /// Clients without a task for which something is due.
    called: RefCell<VecDeque<usize>>,
    /// Whoever waits for one of them.
    caller: RefCell<Option<Waker>>,
    late: RefCell<Histogram<u32>>,
}

impl Pacer {
    /// A pacer for this many clients. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the system has no timer left.
    pub fn new(epoch: Instant, clients: usize) -> std::io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let since = epoch.elapsed().as_nanos() as u64;
        let slots = (0..clients).map(|_| Slot { waker: None, call: Call::Waiting, due: false, is_called: false }).collect();
        Ok(Self {
            epoch,
            zero_ns: (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64).saturating_sub(since),
            // SAFETY: an `OwnedFd` is open, and nobody else's, for as long as it exists.
            timer: unsafe { AsyncFd::register_with_interest(timer, tokio::io::Interest::READABLE)? },
            armed_ns: Cell::new(u64::MAX),
            instants: RefCell::default(),
            idle: RefCell::default(),
            slots: RefCell::new(slots),
            called: RefCell::default(),
            caller: RefCell::default(),
            late: RefCell::new(new_histogram()),
        })
    }

    /// Nanoseconds since the epoch.
    pub fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Sets the timer, unless it goes off earlier anyway.
    fn arm(&self, at_ns: u64) {
        if at_ns >= self.armed_ns.get() {
            return;
        }
        self.armed_ns.set(at_ns);
        let at = self.zero_ns.saturating_add(at_ns);
        let value = Timespec { tv_sec: (at / 1_000_000_000) as i64, tv_nsec: (at % 1_000_000_000) as i64 };
        let timer = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        // It can only fail for a descriptor that is not a timer or an invalid instant.
        let _ = timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &timer);
    }

    /// Waits for an instant.
    pub async fn until(&self, client: usize, at_ns: u64) {
        if at_ns <= self.now_ns() {
            return;
        }
        self.wait_until(client, at_ns, false);
        poll_fn(|cx| {
            let slot = &mut self.slots.borrow_mut()[client];
            if slot.due {
                return Poll::Ready(());
            }
            slot.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for an arrival that nobody else takes; the next one is due at `at_ns`. `None` when the schedule is over.
    pub async fn arrival(&self, client: usize, at_ns: u64) -> Option<Arrival> {
        self.wait_for_arrival(client, at_ns, false);
        poll_fn(|cx| {
            let slot = &mut self.slots.borrow_mut()[client];
            match slot.call {
                Call::Arrival(arrival) => Poll::Ready(Some(arrival)),
                Call::Over => Poll::Ready(None),
                Call::Waiting => {
                    slot.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// An instant for which a client starts to wait; `is_called`: without a task.
    pub fn wait_until(&self, client: usize, at_ns: u64, is_called: bool) {
        let slot = &mut self.slots.borrow_mut()[client];
        (slot.due, slot.call, slot.is_called) = (false, Call::Waiting, is_called);
        self.instants.borrow_mut().push(Reverse((at_ns, client)));
        self.arm(at_ns);
    }

    /// A client starts to wait for an arrival that nobody else takes; the next one is due at `at_ns`.
    pub fn wait_for_arrival(&self, client: usize, at_ns: u64, is_called: bool) {
        let slot = &mut self.slots.borrow_mut()[client];
        (slot.call, slot.is_called) = (Call::Waiting, is_called);
        self.idle.borrow_mut().push_back(client);
        self.arm(at_ns);
    }

    /// A client does not wait for arrivals any more. Returns whether it did.
    pub fn forget(&self, client: usize) -> bool {
        let mut idle = self.idle.borrow_mut();
        let place = idle.iter().position(|other| *other == client);
        place.and_then(|place| idle.remove(place)).is_some()
    }

    /// The next client without a task for which something is due.
    pub fn take_called(&self) -> Option<(usize, Call)> {
        let client = self.called.borrow_mut().pop_front()?;
        Some((client, self.slots.borrow()[client].call))
    }

    /// Waits until there is one.
    pub async fn calls(&self) {
        poll_fn(|cx| {
            if !self.called.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.caller.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self, client: usize, change: impl FnOnce(&mut Slot)) {
        let slot = &mut self.slots.borrow_mut()[client];
        change(slot);
        if slot.is_called {
            self.called.borrow_mut().push_back(client);
            if let Some(caller) = self.caller.take() {
                caller.wake();
            }
        } else if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// The timer, for whoever watches it, too; it is readable when [`Pacer::tick`] is due.
    pub fn timer(&self) -> &OwnedFd {
        self.timer.get_ref()
    }

    /// Hands out what is due, if the timer has gone off.
    pub fn tick(&self, next: impl Fn(u64) -> Next) {
        let mut expirations = [0; 8];
        // It was set again while it went off, or somebody else has read it: then there is nothing to read, and the next time counts.
        if rustix::io::read(self.timer.get_ref(), &mut expirations).is_err() {
            return;
        }
        let now_ns = self.now_ns();
        self.late.borrow_mut().saturating_record(now_ns.saturating_sub(self.armed_ns.replace(u64::MAX)));
        self.dispatch(now_ns, &next);
    }

    /// Hands out what is due at `now_ns`, and sets the timer for the next arrival.
    fn dispatch(&self, now_ns: u64, next: &impl Fn(u64) -> Next) {
        loop {
            let first = self.instants.borrow().peek().copied();
            let Some(Reverse((at_ns, client))) = first else { break };
            if at_ns > now_ns {
                self.arm(at_ns);
                break;
            }
            self.instants.borrow_mut().pop();
            self.wake(client, |slot| slot.due = true);
        }
        loop {
            let first = self.idle.borrow().front().copied();
            let Some(client) = first else { break };
            let call = match next(now_ns) {
                Next::At(at_ns) => {
                    self.arm(at_ns);
                    break;
                }
                Next::Begin(arrival) => Call::Arrival(arrival),
                Next::Over => Call::Over,
            };
            self.idle.borrow_mut().pop_front();
            self.wake(client, |slot| slot.call = call);
        }
    }

    /// Wakes clients forever; `next` is the schedule of the open loop.
    pub async fn run(&self, next: impl Fn(u64) -> Next) {
        loop {
            let Ok(mut ready) = self.timer.readable().await else { return };
            ready.clear_ready();
            self.tick(&next);
        }
    }

    /// How late the timer went off, in nanoseconds.
    pub fn late(&self) -> Histogram<u32> {
        self.late.borrow().clone()
    }
}
