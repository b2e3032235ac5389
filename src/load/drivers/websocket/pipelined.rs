//! Many messages of a connection under way at a time: each is sent when it is due, whatever happened to the earlier
//! ones, and answers are matched by their keys.
//!
//! A connection is one task. It waits for due messages and for incoming ones, and while the other side does not read
//! (back pressure) it continues to read; messages that become due then wait in the schedule, not in memory, and their
//! wait is lag.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant as TokioInstant;
use tokio_websockets::Message;

use super::connection::{Received, Socket};
use super::matching::{Answer, Sent, Waiting};
use super::told::{Messages, Told};
use super::{Step, Websocket};
use crate::account::{Account, ended};
use crate::drivers::judged::excerpt;
use crate::drivers::values::Values;
use crate::drivers::{Driver as _, Failure};
use crate::schedule::{Arrival, Next, Schedule, ThreadSlice};
use crate::{Error, Job, Report, Running, start_threads, thread};
use plan::Arrivals;
use vocabulary::rows::RequestRow;
use vocabulary::units::nanos;
use vocabulary::{Outcome, Phase};

/// Starts the generator threads.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn start(websocket: &Arc<Websocket>, job: &Job) -> Result<Running, Error> {
    start_threads(job, |thread| {
        let (websocket, job) = (Arc::clone(websocket), job.clone());
        move || run(&websocket, &job, thread)
    })
}

/// The whole life of a generator thread, which is `thread.0` of `thread.1`.
fn run(websocket: &Arc<Websocket>, job: &Job, thread: (u64, u64)) -> Result<Report, Error> {
    let all = u64::from(job.workload.load.arrivals.connections());
    let numbers: Vec<u64> = (0..all).filter(|number| number % thread.1 == thread.0).collect();
    let told = Rc::new(RefCell::new(Told::default()));
    let report = thread::run(job, websocket.steps(), numbers.len(), async |account, begin| {
        let slots = numbers.iter().map(|_| Slot::default()).collect();
        let shared = Shared {
            websocket: Arc::clone(websocket),
            account: Rc::clone(account),
            slots: RefCell::new(slots),
            told: Rc::clone(&told),
            connections: all,
            per_connection: match job.workload.load.arrivals {
                Arrivals::Open { per_connection, .. } => per_connection,
                Arrivals::Closed { .. } => None,
            },
        };
        follow(&Rc::new(shared), job, &numbers, thread, begin).await
    })?;
    let told = told.borrow();
    websocket.together.add(&told, job);
    Ok(Report { shares: told.shares(), ..report })
}

/// What the connections of a thread share.
struct Shared {
    websocket: Arc<Websocket>,
    account: Rc<Account>,
    /// What is under way on each connection.
    slots: RefCell<Vec<Slot>>,
    told: Rc<RefCell<Told>>,
    /// Connections of all threads.
    connections: u64,
    /// If each connection has its own schedule: the time within which they start.
    per_connection: Option<Duration>,
}

/// What is under way on a connection.
#[derive(Default)]
struct Slot {
    waiting: Waiting,
    /// The message that is being written, and its key.
    writing: Option<(Option<u64>, Sent)>,
}

/// Connects, waits for the other threads, and lets every connection follow its schedule to the end, or to the end of
/// the drain.
async fn follow(
    shared: &Rc<Shared>,
    job: &Job,
    numbers: &[u64],
    (thread, threads): (u64, u64),
    begin: &thread::Begin,
) -> Result<(), Error> {
    let (account, load) = (&shared.account, &job.workload.load);
    let connection = |(slot, number): (usize, &u64)| Connection {
        slot,
        number: *number,
        shared: Rc::clone(shared),
        values: Values::new(&shared.websocket.names, job.seed, *number),
        socket: None,
        opened: 0,
        typed: 0,
    };
    let begun = TokioInstant::now();
    let connections =
        thread::make_ready(numbers.iter().enumerate().map(connection).collect(), Duration::ZERO, async |one: &mut Connection| {
            // What kept it from being connected is reported when a message is due.
            drop(one.connect().await);
        })
        .await;
    let missing = connections.iter().filter(|connection| connection.socket.is_none()).count();
    if missing > 0 {
        let took = vocabulary::units::human_duration(begun.elapsed().as_nanos() as f64);
        let words = format!("{missing} of {} connections could not be made in the {took} before the load", numbers.len());
        account.note(None, &Failure::new(Outcome::Timeout, words));
    }
    let origin_ns = thread::together(job, account, begin).await;
    let of = |slice| Schedule::new(load, slice, origin_ns);
    let schedules = match shared.per_connection {
        None => vec![of(ThreadSlice::of(thread, threads, job.seed))],
        Some(within) => {
            let slice = |number| ThreadSlice::of_connection(number, shared.connections, job.seed, nanos(within));
            numbers.iter().map(|number| of(slice(*number))).collect()
        }
    };
    account.begin(schedules, origin_ns, false);

    let mut tasks = JoinSet::new();
    for connection in connections {
        tasks.spawn_local(connection.follow());
    }
    thread::to_the_end(account, job, tasks, |now_ns| shared.count_lost(now_ns)).await
}

impl Shared {
    fn tell(&self, phase: Phase, count: impl FnOnce(&mut Messages)) {
        count(self.told.borrow_mut().of(phase));
    }

    /// Records the result of a message.
    fn record(&self, key: Option<u64>, sent: &Sent, outcome: Outcome, at_ns: u64, received_bytes: u64) {
        let completed_in = if outcome == Outcome::Lost { Phase::Drain } else { self.account.completed_in(sent.phase, at_ns) };
        let row = RequestRow {
            step: Some(0),
            completed_in,
            outcome,
            connect_ns: sent.connect_ns,
            sent_bytes: sent.bytes,
            received_bytes,
            key,
            ..ended(sent.phase, sent.intended_ns, sent.sent_ns, at_ns)
        };
        self.account.record(&row);
        self.account.ends(&row);
    }

    /// The drain is over: an unanswered message is lost, and an unwritten one was not sent.
    fn count_lost(&self, at_ns: u64) {
        let mut words = None;
        for slot in self.slots.borrow_mut().iter_mut() {
            if let Some((_, sent)) = slot.writing.take() {
                self.account.unsent(sent.phase);
                self.tell(sent.phase, |messages| messages.sent -= 1);
            }
            for (key, sent) in slot.waiting.take() {
                self.record(key, &sent, Outcome::Lost, at_ns, 0);
                self.tell(sent.phase, |messages| messages.lost += 1);
                words.get_or_insert_with(|| {
                    let waited = vocabulary::units::human_duration(at_ns.saturating_sub(sent.sent_ns) as f64);
                    format!("a message was not answered by the end of the drain, {waited} after it was sent")
                });
            }
        }
        if let Some(words) = words {
            self.account.note(None, &Failure::new(Outcome::Lost, words));
        }
    }
}

/// One connection.
struct Connection {
    slot: usize,
    number: u64,
    shared: Rc<Shared>,
    values: Values,
    socket: Option<Socket>,
    /// Connections that were opened so far.
    opened: u64,
    /// Messages that were due so far.
    typed: u64,
}

impl Drop for Connection {
    /// However it ends, its connections are counted.
    fn drop(&mut self) {
        let connects = &self.shared.account.connects;
        connects.set(connects.get() + self.opened);
    }
}

/// What woke a connection.
enum Woken {
    Due(Option<Arrival>),
    Received(Result<Received, Failure>),
}

/// The result of writing.
enum Wrote {
    All(Result<(), Failure>),
    Received(Result<Received, Failure>),
}

impl Connection {
    async fn connect(&mut self) -> Result<Duration, Failure> {
        let websocket = Arc::clone(&self.shared.websocket);
        let begun = TokioInstant::now();
        let shared = Rc::clone(&self.shared);
        let socket = websocket.open(&mut self.values, begun + websocket.timeout, &mut self.opened, &shared.told).await?;
        self.socket = Some(socket);
        Ok(begun.elapsed())
    }

    async fn follow(mut self) {
        let shared = Rc::clone(&self.shared);
        loop {
            let mut due = pin!(due(&shared, self.slot, self.number));
            let arrival = loop {
                match self.wait(due.as_mut()).await {
                    Woken::Due(arrival) => break arrival,
                    Woken::Received(received) => self.take(received),
                }
            };
            let Some(arrival) = arrival else { break };
            self.send(&arrival).await;
        }
        // Nothing more is due. Outstanding answers may still arrive, and duplicates are counted.
        let mut end = pin!(async {
            if let Some(end_ns) = shared.account.planned_end_ns() {
                shared.account.until(end_ns).await;
            }
            None
        });
        let mut over = false;
        while self.socket.is_some() && !(over && shared.slots.borrow()[self.slot].waiting.is_empty()) {
            let never = pin!(std::future::pending());
            let woken = if over { self.wait(never).await } else { self.wait(end.as_mut()).await };
            match woken {
                Woken::Due(_) => over = true,
                Woken::Received(received) => self.take(received),
            }
        }
        drop(self.socket.take());
    }

    /// Waits for due messages and for incoming ones, whichever is first.
    async fn wait(&mut self, mut due: Pin<&mut impl Future<Output = Option<Arrival>>>) -> Woken {
        poll_fn(|cx| {
            if let Some(socket) = &mut self.socket
                && let Poll::Ready(received) = socket.poll_received(cx)
            {
                return Poll::Ready(Woken::Received(received));
            }
            due.as_mut().poll(cx).map(Woken::Due)
        })
        .await
    }

    /// Sends the message that is due, and handles what arrives meanwhile.
    async fn send(&mut self, arrival: &Arrival) {
        let shared = Rc::clone(&self.shared);
        let (websocket, account) = (&shared.websocket, &shared.account);
        let step = &websocket.steps[0];
        let number = self.typed;
        self.typed += 1;
        let begun_ns = account.pacer.now_ns();
        account.watch.borrow_mut().begins(arrival.intended_ns);
        shared.tell(arrival.phase, |messages| messages.sent += 1);
        let mut sent = Sent {
            pass: arrival.pass,
            number,
            phase: arrival.phase,
            intended_ns: arrival.intended_ns,
            sent_ns: begun_ns,
            connect_ns: None,
            bytes: 0,
        };
        if self.socket.is_none() {
            // Until the connection exists the message is not sent, whatever ends that.
            shared.slots.borrow_mut()[self.slot].writing = Some((None, sent));
            let connected = self.connect().await;
            shared.slots.borrow_mut()[self.slot].writing = None;
            match connected {
                Ok(took) => {
                    sent.connect_ns = Some(nanos(took));
                    sent.sent_ns = account.pacer.now_ns();
                }
                Err(failure) => {
                    account.note(Some(0), &failure);
                    shared.record(None, &sent, failure.outcome, account.pacer.now_ns(), 0);
                    tokio::time::sleep(thread::CONNECT_PAUSE).await;
                    return;
                }
            }
        }
        websocket.begin_pass(&mut self.values, arrival.pass, number);
        let message = step.compose(&mut self.values).unwrap_or_else(|| Message::text(String::new()));
        sent.bytes = message.as_payload().len() as u64;
        let Ok(key) = websocket.key(message.as_payload()) else {
            let words = format!("`{}`: the message has no key to match its answer by", step.name);
            let failure = Failure::new(Outcome::Carry, words);
            account.note(Some(0), &failure);
            shared.record(None, &sent, failure.outcome, account.pacer.now_ns(), 0);
            return;
        };
        shared.slots.borrow_mut()[self.slot].writing = Some((key, sent));
        if let Some(Err(failure)) = self.socket.as_mut().map(|socket| socket.put(message)) {
            return self.lose(&failure);
        }
        let mut waited = false;
        while let Some(socket) = &mut self.socket {
            let wrote = poll_fn(|cx| {
                if let Poll::Ready(all) = socket.poll_sent(cx) {
                    return Poll::Ready(Wrote::All(all));
                }
                waited = true;
                socket.poll_received(cx).map(Wrote::Received)
            });
            match wrote.await {
                Wrote::All(Ok(())) => {
                    if waited {
                        sent.sent_ns = account.pacer.now_ns();
                    }
                    let slot = &mut shared.slots.borrow_mut()[self.slot];
                    slot.writing = None;
                    slot.waiting.sent(key, sent);
                    return;
                }
                Wrote::All(Err(failure)) => self.lose(&failure),
                Wrote::Received(received) => self.take(received),
            }
        }
    }

    /// The connection is gone: its unanswered messages failed with it.
    fn lose(&mut self, failure: &Failure) {
        self.socket = None;
        let shared = &self.shared;
        let at_ns = shared.account.pacer.now_ns();
        let gone = {
            let slot = &mut shared.slots.borrow_mut()[self.slot];
            let mut gone = slot.waiting.take();
            gone.extend(slot.writing.take());
            gone
        };
        // Reported even if nothing was under way: it was not expected.
        shared.account.note(Some(0), failure);
        for (key, sent) in gone {
            shared.record(key, &sent, failure.outcome, at_ns, 0);
        }
    }

    /// Handles what arrives.
    fn take(&mut self, received: Result<Received, Failure>) {
        match received {
            Ok(Received::Message(message)) => self.answer(&message),
            Ok(Received::Control) => {}
            Err(failure) => self.lose(&failure),
        }
    }

    fn answer(&mut self, message: &Message) {
        let shared = Rc::clone(&self.shared);
        let websocket = &shared.websocket;
        let at_ns = shared.account.pacer.now_ns();
        let content: &[u8] = message.as_payload();
        if websocket.is_push(content) {
            return shared.tell(shared.account.phase_at(at_ns), |messages| messages.pushes += 1);
        }
        let unexpected = |why: &str| {
            shared.tell(shared.account.phase_at(at_ns), |messages| messages.unexpected += 1);
            let words = format!("an unexpected message {why}: {}", excerpt(content));
            shared.account.note(None, &Failure::new(Outcome::Garbage, words));
        };
        let Ok(key) = websocket.key(content) else { return unexpected("without a key") };
        let answer = shared.slots.borrow_mut()[self.slot].waiting.answered(key);
        match answer {
            Answer::To { sent, out_of_order } => {
                let step: &Step = &websocket.steps[0];
                if step.expects_values {
                    websocket.begin_pass(&mut self.values, sent.pass, sent.number);
                }
                let outcome = match step.judge(content, &mut self.values) {
                    Ok(()) => Outcome::Ok,
                    Err(failure) => {
                        shared.account.note(Some(0), &failure);
                        failure.outcome
                    }
                };
                shared.tell(sent.phase, |messages| {
                    messages.answered += 1;
                    messages.out_of_order += u64::from(out_of_order);
                });
                shared.record(key, &sent, outcome, at_ns, content.len() as u64);
            }
            Answer::Again => shared.tell(shared.account.phase_at(at_ns), |messages| messages.duplicates += 1),
            Answer::Unasked => unexpected("whose key belongs to no waiting message"),
        }
    }
}

/// The next message of a connection, when it is due; `None` when nothing more is due.
async fn due(shared: &Shared, slot: usize, number: u64) -> Option<Arrival> {
    let account = &shared.account;
    let is_own = shared.per_connection.is_some();
    loop {
        match account.next_of(if is_own { slot } else { 0 }, account.pacer.now_ns()) {
            // Each schedule numbers its own messages; the pass numbers go to the connections in turn.
            Next::Begin(arrival) if is_own => {
                return Some(Arrival { pass: arrival.pass.saturating_mul(shared.connections).saturating_add(number), ..arrival });
            }
            Next::Begin(arrival) => return Some(arrival),
            Next::Over => return None,
            Next::At(at_ns) if is_own => account.pacer.until(slot, at_ns).await,
            Next::At(at_ns) => return account.pacer.arrival(slot, at_ns).await,
        }
    }
}
