//! One loop that watches the sockets of all connected clients of a generator thread, and lets each go on when there is
//! something for it: no task, no waker and no timer per client.
//!
//! A request costs the system what it must, one `write` and one `read`, with one `epoll_wait` for all that is ready; the
//! rest is what this adds (`docs/measuring.md` has the numbers). Whatever is not "send, receive, judge, next" is done by
//! the [`Follower`] of the client, in a task: it connects and logs in, and gives the client back. Both make the same of a
//! pass, because both leave that to [`Pass`] and [`Account`].
//!
//! While there is much to do the loop waits in its own `epoll`, and lets the other tasks of the thread have a turn every
//! [`TURN`]. Otherwise it waits where they do, so that their timers are exact.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinError, JoinSet};

use super::Error;
use super::account::Account;
use super::drivers::script::Then;
use super::drivers::{Client, Exchange, Readiness, Started};
use super::follower::{Follower, Pace};
use super::pacer::Call;
use super::pass::Pass;
use super::schedule::{Arrival, Next};
use super::thread::Followers;

/// How long the other tasks of the thread wait at most while there is much to do here.
const TURN: Duration = Duration::from_millis(1);
/// The same while some of them carry passes.
const SHORT_TURN: Duration = Duration::from_micros(50);
/// Events that are taken at a time.
const EVENTS: usize = 256;
/// After so many events in a row that were at most [`TURN`] apart there is much to do.
const BUSY: u32 = 4;
/// The number of the pacer's timer; no client has it.
const TIMER: u64 = u64::MAX;

/// A client that is connected.
struct Connected<C: Client> {
    follower: Follower<C>,
    /// What it carries.
    pass: Option<Pass>,
    step: usize,
    /// Whether it has carried a pass on this connection. A server that closes each connection at once costs a pass each time; if it did
    /// not, nothing would be recorded of it, and nothing would end.
    has_begun: bool,
}

/// The clients of a thread: those that are connected, and the tasks of the others.
pub(super) struct Clients<C: Client> {
    account: Rc<Account>,
    epoll: Rc<OwnedFd>,
    /// The same among what the runtime watches; only while there is not much to do, because it costs the system a little for each event.
    watched: Option<AsyncFd<Rc<OwnedFd>>>,
    /// By slot.
    connected: Vec<Option<Box<Connected<C>>>>,
    /// How many are connected.
    here: usize,
    tasks: JoinSet<Option<Follower<C>>>,
    /// Whether arrivals follow a schedule.
    is_open_loop: bool,
    /// Those that are free, although no event says so.
    free: Vec<(usize, Option<u64>)>,
    /// Those that have more to read, although no event says so: others have their turn before that.
    again: Vec<usize>,
    /// When the next time-out may be over.
    look_at: Option<Instant>,
}

impl<C: Client> Clients<C> {
    /// None yet, of so many.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new(account: &Rc<Account>, count: usize, is_open_loop: bool) -> Result<Self, Error> {
        let broken = |error: rustix::io::Errno| Error::Thread(format!("its connections cannot be watched: {error}"));
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(broken)?;
        let timer = account.pacer.timer();
        epoll::add(&epoll, timer, EventData::new_u64(TIMER), EventFlags::IN | EventFlags::ET).map_err(broken)?;
        Ok(Self {
            account: Rc::clone(account),
            epoll: Rc::new(epoll),
            watched: None,
            connected: (0..count).map(|_| None).collect(),
            here: 0,
            tasks: JoinSet::new(),
            is_open_loop,
            free: Vec::new(),
            again: Vec::new(),
            look_at: None,
        })
    }

    /// Adds a client with a task of its own.
    pub fn spawn(&mut self, task: impl Future<Output = Option<Follower<C>>> + 'static) {
        self.tasks.spawn_local(task);
    }

    /// Adds a client that is connected, and free from `begin_ns` on.
    pub fn add(&mut self, follower: Follower<C>, begin_ns: u64) {
        if let Some(slot) = self.watch(follower, begin_ns) {
            if begin_ns > self.account.pacer.now_ns() {
                self.account.pacer.wait_until(slot, begin_ns, true);
            } else {
                self.free.push((slot, None));
            }
        }
    }

    /// Waits until something happens, where the other tasks of the thread wait.
    async fn idle(&mut self) -> Result<(), Error> {
        let watched = match self.watched.take() {
            Some(watched) => watched,
            // SAFETY: an `OwnedFd` is open, and nobody else's, for as long as it exists.
            None => unsafe { AsyncFd::register_with_interest(Rc::clone(&self.epoll), Interest::READABLE) }
                .map_err(|error| Error::Thread(error.to_string()))?,
        };
        let look_at = self.look_at;
        let late = async {
            match look_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next() => Some(ended),
            () = self.account.pacer.calls() => None,
            readable = watched.readable() => {
                // All that is there is taken before it is asked again.
                readable.map_err(|error| Error::Thread(error.to_string()))?.clear_ready();
                None
            }
            () = late => None,
        };
        self.watched = Some(watched);
        ended.map_or(Ok(()), |ended| self.take_back(ended))
    }

    /// A task has ended: with its client, if that is connected now.
    fn take_back(&mut self, ended: Result<Option<Follower<C>>, JoinError>) -> Result<(), Error> {
        if let Some(follower) = ended.map_err(|e| Error::Thread(e.to_string()))?
            && let Some(slot) = self.watch(follower, 0)
        {
            self.free.push((slot, None));
        }
        Ok(())
    }

    /// Watches the socket of a client, which begins at `begin_ns`. Returns its slot, unless that cannot be done.
    fn watch(&mut self, mut follower: Follower<C>, begin_ns: u64) -> Option<usize> {
        let slot = follower.slot;
        let socket = follower.client.direct().and_then(|direct| {
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, direct.socket()?, EventData::new_u64(slot as u64), flags).ok()
        });
        if socket.is_none() {
            // A task can still carry its passes.
            if let Some(direct) = follower.client.direct() {
                direct.lose();
            }
            follower.is_awaited = false;
            self.leave(follower, None, begin_ns);
            return None;
        }
        self.connected[slot] = Some(Box::new(Connected { follower, pass: None, step: 0, has_begun: false }));
        self.here += 1;
        Some(slot)
    }

    /// Gives a client a task, until it is connected again; with the pass that it carries, if there is one.
    fn leave(&mut self, follower: Follower<C>, pass: Option<Pass>, begin_ns: u64) {
        if self.is_open_loop {
            self.tasks.spawn_local(follower.open(pass));
        } else {
            self.tasks.spawn_local(follower.closed(Pace::without_pauses(begin_ns), pass));
        }
    }

    /// A connection is lost.
    fn lost(&mut self, slot: usize) {
        if let Some(connected) = self.connected[slot].take() {
            self.here -= 1;
            let Connected { follower, pass, .. } = *connected;
            self.leave(follower, pass, 0);
        }
    }

    fn is_open(&mut self, slot: usize) -> bool {
        let Some(connected) = &mut self.connected[slot] else { return false };
        connected.follower.client.direct().is_some_and(|direct| direct.is_open())
    }

    fn go_on_with_called(&mut self) {
        while let Some((slot, call)) = self.account.pacer.take_called() {
            self.called(slot, call);
        }
    }

    fn go_on_with_free(&mut self) {
        for (slot, ended_ns) in std::mem::take(&mut self.free) {
            self.is_free(slot, ended_ns, None);
        }
    }

    /// Something has happened to what is watched.
    fn happened(&mut self, event: epoll::Event) {
        // The field of a packed structure cannot be borrowed.
        let (data, flags) = (event.data, event.flags);
        let slot = data.u64();
        if slot == TIMER {
            let account = Rc::clone(&self.account);
            return account.pacer.tick(|now_ns| account.next(now_ns));
        }
        let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let what =
            Readiness { readable: flags.contains(EventFlags::IN), writable: flags.contains(EventFlags::OUT), ended, late: false };
        self.go_on(slot as usize, what);
    }

    /// A client goes on with its step, if it carries one. All that a request costs here is done within this, and
    /// `benches/instructions.py` counts it.
    #[inline(never)]
    fn go_on(&mut self, slot: usize, what: Readiness) {
        // An event may have been on its way when its connection was lost.
        let Some(connected) = self.connected.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(direct) = connected.follower.client.direct() else { return };
        let Some(exchange) = direct.go_on(what) else {
            // Whoever is idle has time to connect again before the next arrival.
            let is_lost = connected.pass.is_none() && connected.has_begun && what.ended && !direct.is_open();
            if is_lost && self.is_open_loop && self.account.pacer.forget(slot) {
                self.lost(slot);
            } else if connected.pass.is_some() && direct.has_more() {
                self.again.push(slot);
            }
            return;
        };
        if let Some(pass) = &mut connected.pass {
            // The next request is written within the half microsecond that a request takes in user space (docs/measuring.md): no reason
            // to look at the clock again.
            let read_at = exchange.result.is_ok().then_some(exchange.completed);
            connected.follower.end_step(pass, connected.step, exchange);
            if let Some(end_ns) = self.turn(slot, false, read_at) {
                self.is_free(slot, Some(end_ns), read_at);
            }
        }
    }

    /// What a client that waited is to do.
    fn called(&mut self, slot: usize, call: Call) {
        match call {
            Call::Waiting => self.is_free(slot, None, None),
            Call::Over => self.over(slot),
            Call::Arrival(arrival) => self.begin(slot, &arrival, false, None),
        }
    }

    /// A client is free. `ended_ns`: the end of its last pass, if nothing was waited for since.
    fn is_free(&mut self, slot: usize, ended_ns: Option<u64>, read_at: Option<Instant>) {
        let is_open = self.is_open(slot);
        if !is_open && self.connected[slot].as_ref().is_some_and(|connected| connected.has_begun) {
            return self.lost(slot);
        }
        let account = Rc::clone(&self.account);
        let now_ns = ended_ns.filter(|_| !self.is_open_loop).unwrap_or_else(|| account.pacer.now_ns());
        match account.next(now_ns) {
            Next::Begin(arrival) => self.begin(slot, &arrival, is_open, read_at.filter(|_| !self.is_open_loop)),
            Next::At(at_ns) => {
                account.under_way.borrow_mut()[slot] = None;
                if self.is_open_loop {
                    account.pacer.wait_for_arrival(slot, at_ns, true);
                } else {
                    account.pacer.wait_until(slot, at_ns, true);
                }
            }
            Next::Over => {
                if !self.is_open_loop {
                    account.idle_from_ns.set(account.idle_from_ns.get().or(Some(now_ns)));
                }
                self.over(slot);
            }
        }
    }

    /// A pass begins; `is_open`: whether the connection is known to be.
    fn begin(&mut self, slot: usize, arrival: &Arrival, is_open: bool, read_at: Option<Instant>) {
        let Some(connected) = &mut self.connected[slot] else { return };
        let intended_ns = self.is_open_loop.then_some(arrival.intended_ns);
        connected.pass = Some(connected.follower.begin_pass(arrival, intended_ns).begun_at(read_at));
        connected.has_begun = true;
        // It may end at once, and so may the next one: others have their turn before that.
        if let Some(end_ns) = self.turn(slot, is_open, read_at) {
            self.free.push((slot, Some(end_ns)));
        }
    }

    /// There is nothing more to do for a client.
    fn over(&mut self, slot: usize) {
        if let Some(mut connected) = self.connected[slot].take() {
            self.here -= 1;
            connected.follower.record_own(connected.follower.phase_now());
            self.account.under_way.borrow_mut()[slot] = None;
        }
    }

    /// The pass of a client goes on until it waits for its socket, or has ended. `is_open`: whether the connection is known to be.
    /// Returns its end then, in nanoseconds since the epoch.
    fn turn(&mut self, slot: usize, mut is_open: bool, mut read_at: Option<Instant>) -> Option<u64> {
        loop {
            let Connected { follower, pass: place, step, .. } = self.connected[slot].as_deref_mut()?;
            let pass = place.as_mut()?;
            let turn = pass.turn(&follower.script, follower.client.values());
            let exchange = match turn.then {
                Then::Step(number) => {
                    if !is_open && !follower.client.direct().is_some_and(|direct| direct.is_open()) {
                        // Whoever has the client connects again, within the time of the step.
                        pass.postpone(turn);
                        self.lost(slot);
                        return None;
                    }
                    is_open = false;
                    *step = number;
                    follower.begin_step(pass, number, false);
                    match follower.client.direct()?.start(number, read_at.take().filter(|_| !self.account.has_flushed())) {
                        Started::Ended(exchange) => exchange,
                        Started::Until(deadline) => {
                            if self.look_at.is_none_or(|at| deadline < at) {
                                self.look_at = Some(deadline);
                            }
                            return None;
                        }
                    }
                }
                Then::Unknown(number, failure) => {
                    *step = number;
                    follower.begin_step(pass, number, false);
                    Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) }
                }
                Then::End => {
                    let pass = place.take()?;
                    return Some(follower.end_pass(pass, 0).end_ns);
                }
            };
            follower.end_step(pass, *step, exchange);
        }
    }

    /// Ends the steps whose time is over, and notes when to look again.
    fn look_for_time_outs(&mut self, now: Instant) {
        self.look_at = None;
        let mut next: Option<Instant> = None;
        for slot in 0..self.connected.len() {
            let Some(connected) = &mut self.connected[slot] else { continue };
            match connected.follower.client.direct().and_then(|direct| direct.deadline()) {
                Some(deadline) if deadline <= now => self.go_on(slot, Readiness { late: true, ..Readiness::default() }),
                Some(deadline) => next = next.into_iter().chain([deadline]).min(),
                None => {}
            }
        }
        // What was started meanwhile may end earlier.
        self.look_at = self.look_at.into_iter().chain(next).min();
    }
}

impl<C: Client> Followers for Clients<C> {
    async fn all_ended(&mut self) -> Result<(), Error> {
        let mut events = Vec::with_capacity(EVENTS);
        let (mut last_turn, mut last_events, mut in_a_row) = (Instant::now(), Instant::now(), 0);
        loop {
            while let Some(ended) = self.tasks.try_join_next() {
                self.take_back(ended)?;
            }
            self.go_on_with_called();
            self.go_on_with_free();
            if self.here == 0 {
                match self.tasks.join_next().await {
                    Some(ended) => self.take_back(ended)?,
                    None => return Ok(()),
                }
                continue;
            }
            let is_busy = in_a_row >= BUSY && self.tasks.is_empty();
            if is_busy {
                self.watched = None;
            }
            let is_waiting = self.free.is_empty() && self.again.is_empty();
            let patience = if is_busy && is_waiting { TURN } else { Duration::ZERO };
            wait(&self.epoll, patience, &mut events)?;
            let now = Instant::now();
            let is_idle = events.is_empty() && is_waiting;
            let again = std::mem::take(&mut self.again);
            for event in events.drain(..) {
                self.happened(event);
            }
            for slot in again {
                self.go_on(slot, Readiness::default());
            }
            self.go_on_with_called();
            if self.look_at.is_some_and(|at| at <= now) {
                self.look_for_time_outs(now);
            }
            if is_idle && self.free.is_empty() && self.again.is_empty() {
                in_a_row = 0;
                self.idle().await?;
                continue;
            }
            in_a_row = if now.saturating_duration_since(last_events) <= TURN { in_a_row + 1 } else { 0 };
            last_events = now;
            let turn = if self.tasks.is_empty() { TURN } else { SHORT_TURN };
            if now.saturating_duration_since(last_turn) >= turn {
                last_turn = now;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn abandon(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Takes what has happened, or waits for it. There is room for [`EVENTS`].
fn wait(epoll: &OwnedFd, patience: Duration, events: &mut Vec<epoll::Event>) -> Result<(), Error> {
    let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    match epoll::wait(epoll, spare_capacity(events), Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(Error::Thread(format!("its connections cannot be watched: {error}"))),
    }
}

#[cfg(test)]
mod tests;
