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

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::event::epoll::{CreateFlags, EventData, EventFlags};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinError, JoinSet};

use super::Error;
use super::account::Account;
use super::drivers::script::Then;
use super::drivers::{Client, Exchange, Readiness, Started};
use super::follower::{First, Follower, Pace};
use super::pacer::Call;
use super::pass::Pass;
use super::schedule::{Next, Random};
use super::thread::Followers;
use plan::Think;

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
            self.leave(follower, First::Nothing, begin_ns);
            return None;
        }
        self.connected[slot] = Some(Box::new(Connected { follower, pass: None, step: 0, has_begun: false }));
        self.here += 1;
        Some(slot)
    }

    /// Gives a client a task, until it is connected again.
    fn leave(&mut self, follower: Follower<C>, first: First, begin_ns: u64) {
        if self.is_open_loop {
            self.tasks.spawn_local(follower.open(first));
        } else {
            let pace = Pace { begin_ns, think: Think::None, random: Random::new(0, 0), presence: None };
            let pass = match first {
                First::Pass(pass) => Some(*pass),
                First::Arrival(_) | First::Nothing => None,
            };
            self.tasks.spawn_local(follower.closed(pace, pass));
        }
    }

    /// A connection is lost.
    fn lost(&mut self, slot: usize, first: First) {
        if let Some(connected) = self.connected[slot].take() {
            self.here -= 1;
            self.leave(connected.follower, first, 0);
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
                self.lost(slot, First::Nothing);
            } else if connected.pass.is_some() && direct.has_more() {
                self.again.push(slot);
            }
            return;
        };
        if let Some(pass) = &mut connected.pass {
            // Half a microsecond passes until the next request is written (measured): no reason to look at the clock again.
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
            Call::Arrival(arrival) if self.is_open(slot) => {
                if let Some(connected) = &mut self.connected[slot] {
                    connected.pass = Some(connected.follower.begin_pass(&arrival, Some(arrival.intended_ns)));
                    self.begun(slot, true, None);
                }
            }
            Call::Arrival(arrival) => self.lost(slot, First::Arrival(arrival)),
        }
    }

    /// A client is free. `ended_ns`: the end of its last pass, if nothing was waited for since.
    fn is_free(&mut self, slot: usize, ended_ns: Option<u64>, read_at: Option<Instant>) {
        let is_open = self.is_open(slot);
        if !is_open && self.connected[slot].as_ref().is_some_and(|connected| connected.has_begun) {
            return self.lost(slot, First::Nothing);
        }
        let account = Rc::clone(&self.account);
        let now_ns = ended_ns.filter(|_| !self.is_open_loop).unwrap_or_else(|| account.pacer.now_ns());
        match account.next(now_ns) {
            Next::Begin(arrival) => {
                let Some(connected) = &mut self.connected[slot] else { return };
                let intended_ns = self.is_open_loop.then_some(arrival.intended_ns);
                let pass = connected.follower.begin_pass(&arrival, intended_ns);
                connected.pass = Some(if self.is_open_loop { pass } else { pass.begun_at(read_at) });
                self.begun(slot, is_open, read_at.filter(|_| !self.is_open_loop));
            }
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

    /// A pass has begun; `is_open`: whether the connection is known to be.
    fn begun(&mut self, slot: usize, is_open: bool, read_at: Option<Instant>) {
        if let Some(connected) = &mut self.connected[slot] {
            connected.has_begun = true;
        }
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
                        let pass = place.take().map_or(First::Nothing, |pass| First::Pass(Box::new(pass)));
                        self.lost(slot, pass);
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

/// Takes what has happened, or waits for it.
fn wait(epoll: &OwnedFd, patience: Duration, events: &mut Vec<epoll::Event>) -> Result<(), Error> {
    let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS];
    match epoll::wait(epoll, &mut space, Some(&patience)) {
        Ok((happened, _)) => events.extend_from_slice(happened),
        Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(Error::Thread(format!("its connections cannot be watched: {error}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::thread::JoinHandle;

    use proptest::prelude::*;

    use super::*;
    use crate::{Gate, Job, Part, Rows, Setting};
    use plan::drivers::http::Http;
    use plan::{Arrivals, Length, Template, Url};

    /// What a server does with a request.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// Closes the connection as soon as it is made, whatever is sent; not one after the other.
        Refuses,
        /// Sends a body without end.
        Endless,
        /// Sends this, at once.
        Whole(&'static str),
        /// Sends this byte by byte.
        Slowly(&'static str),
        /// Sends this, and closes.
        Last(&'static str),
        /// Sends nothing until the client has closed.
        Nothing,
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const ACTS: [Act; 14] = [
        Act::Whole(OK),
        Act::Whole(OK),
        Act::Whole("HTTP/1.1 200 OK\r\nage: 1\r\ncontent-length: 2\r\n\r\nhi"),
        Act::Whole(CHUNKED),
        Act::Whole("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"),
        Act::Whole("HTTP/1.1 204 No Content\r\n\r\n"),
        Act::Whole("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        Act::Whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more"),
        Act::Slowly(OK),
        Act::Slowly(CHUNKED),
        Act::Last("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"),
        Act::Last("HTTP/1.1 200 OK\r\n\r\nall the rest"),
        Act::Last("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
        Act::Last(""),
    ];

    /// A server that does this with one request after the other, whatever connection they come on.
    struct Server {
        port: u16,
        over: Arc<AtomicBool>,
        thread: Option<JoinHandle<()>>,
    }

    impl Server {
        fn start(mut acts: Vec<Act>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (port, over) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
            let is_over = Arc::clone(&over);
            acts.reverse();
            let thread = std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    if matches!(acts.last(), Some(Act::Refuses)) {
                        continue;
                    }
                    serve(stream, &mut acts);
                }
            });
            Self { port, over, thread: Some(thread) }
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.over.store(true, Ordering::Relaxed);
            drop(TcpStream::connect(("127.0.0.1", self.port)));
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }

    fn serve(mut stream: TcpStream, acts: &mut Vec<Act>) {
        stream.set_nodelay(true).unwrap();
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            match acts.pop().unwrap_or(Act::Whole(OK)) {
                Act::Whole(text) => drop(stream.write_all(text.as_bytes())),
                Act::Slowly(text) => text.bytes().for_each(|byte| {
                    let _ = stream.write_all(&[byte]);
                }),
                Act::Last(text) => {
                    let _ = stream.write_all(text.as_bytes());
                    let _ = stream.shutdown(Shutdown::Write);
                }
                Act::Endless => {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
                }
                Act::Nothing | Act::Refuses => {}
            }
        }
    }

    /// How many, bytes sent and received, and in a closed loop whether a time to connect was recorded: in an open loop there may have been
    /// time for that before.
    type Sums = (u64, u64, u64, bool);

    /// What is left of a load if all times are left out.
    #[derive(Debug, PartialEq)]
    struct Result {
        /// By step (none: the pass) and outcome.
        rows: BTreeMap<(Option<u16>, String), Sums>,
        connects: u64,
        traffic: crate::Traffic,
        examples: Vec<String>,
    }

    /// A load on one connection; `by_task`: a task has it all the time.
    fn result_of(acts: &[Act], steps: u16, passes: u64, rate: Option<f64>, timeout: Duration, by_task: bool) -> Result {
        let server = Server::start(acts.to_vec());
        let url = Url::parse(&format!("http://127.0.0.1:{}", server.port)).unwrap();
        let step = plan::Step::plain("GET", Template::parse("/"), timeout);
        let http = Http::plain(url, vec![step; usize::from(steps)]);
        // Who might have to log in again needs a task.
        let relogin = if by_task { vec![418] } else { Vec::new() };
        let mut workload = Http { relogin, ..http }.once("requests");
        workload.load.segments[0].length = Length::Amount(passes);
        if let Some(rate) = rate {
            workload.load.arrivals = Arrivals::open(1, plan::Pattern::Rate(rate), vocabulary::choices::Spacing::Constant);
            workload.load.drain = Duration::from_secs(10);
        }
        let (rows, received) = crate::queue::queue();
        let (_abort, asked) = tokio::sync::watch::channel(false);
        let setting = Setting {
            seed: 1,
            epoch: Instant::now(),
            window: Duration::from_secs(1),
            requests: false,
            rows,
            launcher: tokio::sync::mpsc::unbounded_channel().0,
            part: Part::WHOLE,
            gate: Arc::new(Gate::new(1)),
            progress: Arc::new(AtomicU64::new(0)),
            abort: asked,
        };
        let running = crate::start(&Job::new(Arc::new(workload), 0, &setting)).unwrap();
        drop(setting);
        let mut report = running.join().unwrap();
        let mut rows: BTreeMap<_, Sums> = BTreeMap::new();
        while let Ok(sent) = received.try_recv() {
            let Rows::Windows(windows) = sent else { continue };
            for row in windows {
                let sum = rows.entry((row.step, row.outcome.name(&[]).to_owned())).or_default();
                *sum = (
                    sum.0 + row.count,
                    sum.1 + row.sent_bytes,
                    sum.2 + row.received_bytes,
                    sum.3 || rate.is_none() && !row.connect.is_empty(),
                );
            }
        }
        report.examples.iter_mut().for_each(|example| *example = example.replace(&server.port.to_string(), "PORT"));
        Result { rows, connects: report.connects, traffic: report.traffic, examples: report.examples }
    }

    const PATIENT: Duration = Duration::from_secs(10);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever a server does, whoever carries the passes makes the same of it.
        #[test]
        fn tasks_and_the_loop_make_the_same_of_it(
            acts in prop::collection::vec(prop::sample::select(&ACTS[..]), 1..14), steps in 1_u16..4, rate in prop::option::of(Just(2000.0))
        ) {
            let passes = acts.len() as u64;
            let [by_loop, by_task] = [false, true].map(|by_task| result_of(&acts, steps, passes, rate, PATIENT, by_task));
            prop_assert_eq!(by_loop, by_task);
        }
    }

    #[test]
    fn who_does_not_answer_in_time_is_given_up_and_asked_again_elsewhere() {
        let acts = [Act::Whole(OK), Act::Nothing, Act::Whole(OK), Act::Nothing];
        for rate in [None, Some(100.0)] {
            let result = |by_task| result_of(&acts, 1, 6, rate, Duration::from_millis(500), by_task);
            let by_loop = result(false);
            let counts = |outcome: &str| by_loop.rows.get(&(Some(0), outcome.to_owned())).map(|row| row.0);
            assert_eq!((counts("ok"), counts("timeout"), by_loop.connects), (Some(4), Some(2), 3), "{by_loop:?}");
            assert_eq!(by_loop, result(true));
        }
    }

    /// Each connection costs a pass, and no pass is without one: the load ends.
    #[test]
    fn a_server_that_closes_each_connection_at_once_is_asked_no_more_often_than_there_are_passes() {
        for rate in [None, Some(200.0)] {
            for by_task in [false, true] {
                let result = result_of(&[Act::Refuses], 1, 30, rate, PATIENT, by_task);
                let passes: u64 = result.rows.iter().filter(|(key, _)| key.0.is_none()).map(|(_, row)| row.0).sum();
                let ok = result.rows.get(&(None, "ok".to_owned())).map_or(0, |row| row.0);
                // A client of a closed loop connects before each pass, and once more within it if that was in vain.
                assert!((passes, ok) == (30, 0) && result.connects <= 62, "by task: {by_task}, {rate:?}: {result:?}");
            }
        }
    }

    #[test]
    fn an_answer_without_end_has_a_time_out_and_others_are_not_kept_waiting() {
        for by_task in [false, true] {
            let begun = Instant::now();
            let result = result_of(&[Act::Endless, Act::Whole(OK)], 1, 2, None, Duration::from_millis(500), by_task);
            let counts: Vec<_> =
                result.rows.iter().filter(|(key, _)| key.0.is_none()).map(|(key, row)| (key.1.as_str(), row.0)).collect();
            assert_eq!(counts, [("ok", 1), ("timeout", 1)], "by task: {by_task}");
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn a_connection_that_is_closed_while_it_is_idle_is_made_again_and_nothing_fails() {
        let acts = [Act::Last(OK), Act::Whole(OK), Act::Last(OK)];
        let result = |by_task| result_of(&acts, 1, 5, Some(20.0), PATIENT, by_task);
        let by_loop = result(false);
        assert_eq!((by_loop.connects, by_loop.examples.as_slice()), (3, [].as_slice()));
        assert_eq!(by_loop, result(true));
    }
}
