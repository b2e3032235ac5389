//! What carries a pass: one folder or file per protocol.
//!
//! A protocol has a folder of its name here with two types: a [`Driver`] that holds what all connections of a workload
//! share, made once from the plan, and a [`Client`] that carries one pass at a time. Neither knows about schedules,
//! phases or windows: the engine calls [`Client::ready`] while there is time, [`Client::begin_pass`] and
//! [`Client::exchange`] for each step when there is not, and takes all times from the [`Exchange`]s. The noun of the
//! plan is a [`Carrier`], which starts them; [`carrier`] is the list. `docs/architecture.md` has the recipe.

pub mod command;
mod content;
mod cookies;
mod decimal;
mod drawn;
pub mod framed;
pub mod http;
mod judged;
pub mod redis;
pub(crate) mod script;
mod socks;
mod steering;
pub mod tcp;
pub mod transfer;
pub(crate) mod values;
pub mod vtp;
pub mod websocket;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Error, Job, Observer, Report, Running, Traffic, Users};
use script::{Script, Then, Walk};
use vocabulary::words::harmless;
use vocabulary::{Outcome, Phase, Task};

/// A checked pass before the load.
pub type Checked<'a> = Task<'a, Result<(), Error>>;

/// What the noun of a protocol can do here.
pub trait Carrier {
    /// Starts the generator threads of a job that it carries.
    ///
    /// # Errors
    /// When something cannot be sent as requested, a file or host cannot be found, or a thread cannot be started.
    fn start(&self, job: &Job) -> Result<Running, Error>;

    /// One pass of each kind that occurs, every answer checked; nothing is recorded, and nothing waits for pauses.
    fn verify<'a>(&'a self, flow: &'a plan::Flow, seed: u64) -> Checked<'a>;

    /// For a follower: what its leader is to report about its passes.
    fn observer(&self, _leader: &Job) -> Option<Arc<dyn Observer>> {
        None
    }
}

/// Another run starts: what control ports were told in an earlier one no longer matters.
pub(super) fn forget_control_ports() {
    steering::forget();
}

/// The list of protocols.
pub fn carrier(driver: &plan::Driver) -> &dyn Carrier {
    match driver {
        plan::Driver::Http(noun) => noun,
        plan::Driver::Framed(noun) => noun,
        plan::Driver::Author(noun) => noun,
        plan::Driver::Subscriber(noun) => noun,
        plan::Driver::Redis(noun) => noun,
        plan::Driver::Websocket(noun) => noun,
        plan::Driver::Command(noun) => noun,
    }
}

/// What all clients of a workload share. Made once, read only.
pub trait Driver: Send + Sync + 'static {
    /// A client that carries passes.
    type Client: Client;

    /// How many steps there are.
    fn steps(&self) -> usize;

    /// The names of the values of its passes, in the order of their slots.
    fn names(&self) -> &[String] {
        &[]
    }

    /// How many further steps clients execute on their own, besides passes. Their numbers follow those of a pass.
    fn own_steps(&self) -> usize {
        0
    }

    /// How long making a client ready may take besides connecting.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// A thread ends: sends what its clients know besides their exchanges.
    fn over(&self, _group: &<Self::Client as Client>::Group, _job: &Job, _report: &Report) {}

    /// How many clients share a connection; they are on the same thread and have consecutive numbers.
    fn streams(&self) -> u64 {
        1
    }

    /// Makes client `number`, which is unique across threads. Does not connect yet.
    ///
    /// `group` is what the clients of one thread share; it is `Default` at the start of the thread.
    fn client(self: &Arc<Self>, number: u64, seed: u64, group: &std::rc::Rc<<Self::Client as Client>::Group>) -> Self::Client;
}

/// Carries one pass at a time: a connection, a stream of one, a process.
pub trait Client: 'static {
    /// What clients of one generator thread share, such as buffers.
    type Group: Default;

    /// Does what can be done before a pass starts, such as connecting. Called only when nobody waits for it; a client
    /// that is not ready when its pass starts makes itself ready in its first exchange.
    ///
    /// # Errors
    /// What kept it from becoming ready.
    fn ready(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// Called before the load, with what the clients of a thread may query and report while none of their passes is
    /// under way.
    fn begins(_group: &Self::Group, _aside: Aside) {}

    /// What to do while nothing is due, such as answering pings: it never ends, and is dropped when a pass is due.
    fn idle(&mut self) -> impl Future<Output = Infallible> {
        std::future::pending()
    }

    /// A pass starts; `pass` is its number in the workload.
    fn begin_pass(&mut self, pass: u64);

    /// The pass has ended.
    fn end_pass(&mut self) {}

    /// The values of the pass that is under way, if it has any.
    fn values(&self) -> Option<&values::Values> {
        None
    }

    /// Carries a step of the pass and judges its answer.
    fn exchange(&mut self, step: usize) -> impl Future<Output = Exchange>;

    /// What it has executed on its own since this was last asked, by the numbers of the steps.
    fn own(&mut self) -> Vec<(usize, Exchange)> {
        Vec::new()
    }

    /// Lets a loop watch its socket from now on, instead of a task: only if it is connected, and whatever its steps do is to send
    /// and to receive there. Returns whether that is so; then [`Client::direct`] is there until the connection is lost.
    fn detach(&mut self) -> bool {
        false
    }

    /// The same client as whoever watches its socket sees it.
    fn direct(&mut self) -> Option<&mut dyn Direct> {
        None
    }

    /// How many connections it opened so far.
    fn connects(&self) -> u64;

    /// How often [`Client::ready`] had to do something that took time.
    fn made_ready(&self) -> u64 {
        self.connects()
    }

    /// The transfer that was under way when it was abandoned, if its stages are recorded.
    fn left(&mut self) -> Option<Box<transfer::Transfer>> {
        None
    }

    /// How the users of a thread fared; nothing where there are none.
    fn users(_group: &Self::Group) -> Users {
        Users::default()
    }

    /// The requests that the clients of a thread have written so far; empty if that is not counted.
    fn traffic(_group: &Self::Group) -> Traffic {
        Traffic::default()
    }
}

/// A client whose steps need nothing but its socket, and no task: whoever watches the socket lets it go on.
pub trait Direct {
    /// Its socket.
    fn socket(&self) -> Option<BorrowedFd<'_>>;

    /// Whether a step can be started; this also notices a connection that the server has closed meanwhile.
    fn is_open(&mut self) -> bool;

    /// Starts a step. `read_at`: when the last answer was read, if nothing else was done since; a step that is sent as it stands
    /// starts then.
    fn start(&mut self, step: usize, read_at: Option<Instant>) -> Started;

    /// Something has happened to the socket, or the time-out is over. Returns the result of the step once it is known.
    fn go_on(&mut self, what: Readiness) -> Option<Exchange>;

    /// Whether there may be more to read, so that the step is to go on without another event.
    fn has_more(&self) -> bool;

    /// When the time-out of the step is over, if one is under way.
    fn deadline(&self) -> Option<Instant>;

    /// Gives the socket up: it cannot be watched.
    fn lose(&mut self);
}

/// A step that was started.
pub enum Started {
    /// It is under way, and its time-out is over at this instant.
    Until(Instant),
    /// Its result was known at once.
    Ended(Exchange),
}

/// What is known of a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readiness {
    /// There may be something to read.
    pub readable: bool,
    /// Something may be written.
    pub writable: bool,
    /// The other side has ended it, or it is broken: reading says which.
    pub ended: bool,
    /// The time-out of what is under way is over.
    pub late: bool,
}

impl Readiness {
    /// Adds what has happened meanwhile.
    pub fn add(&mut self, more: Self) {
        self.readable |= more.readable;
        self.writable |= more.writable;
        self.ended |= more.ended;
        self.late = more.late;
    }
}

/// What clients may query and report besides their exchanges.
pub struct Aside {
    /// The current phase.
    pub phase: Box<dyn Fn() -> Phase>,
    /// Keeps the description of an event that belongs to no pass.
    pub note: Box<dyn Fn(&Failure)>,
}

/// A pass of each kind on a connection that no load uses; what is wrong with its answers is the error.
///
/// # Errors
/// [`Error::Verify`].
async fn one_pass<D: Driver>(driver: &Arc<D>, flow: &plan::Flow, seed: u64) -> Result<(), Error> {
    // A number that no connection of a load has.
    let mut client = driver.client((1 << 24) - 1, seed, &std::rc::Rc::default());
    let script = Script::new(flow, driver.names(), driver.steps(), seed)?;
    for kind in script.occurring() {
        checked_pass(&mut client, &script, script.begin_as(kind, 0)).await?;
    }
    Ok(())
}

/// A pass without pauses, whose answers are checked. Returns how many bytes its last answer had.
///
/// # Errors
/// [`Error::Verify`].
async fn checked_pass<C: Client>(client: &mut C, script: &Script, mut walk: Walk) -> Result<u64, Error> {
    let mut received = 0;
    client.begin_pass(walk.pass());
    loop {
        let step = match script.next(&mut walk, client.values()).then {
            Then::Step(step) => step,
            Then::Unknown(_, failure) => return Err(failure.into()),
            Then::End => break,
        };
        let exchange = client.exchange(step).await;
        received = exchange.received_bytes;
        match exchange.result {
            Ok(()) => {}
            Err(failure) if failure.outcome.is_error() => return Err(failure.into()),
            // Later steps would ask for things that do not exist.
            Err(_) => break,
        }
    }
    client.end_pass();
    Ok(received)
}

/// The result of carrying one step.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the work on it started: connecting, if that was needed, otherwise writing the request.
    pub sent: Instant,
    /// How long connecting took, if that was needed.
    pub connect: Option<Duration>,
    /// When the first byte of the answer arrived.
    pub first_byte: Option<Instant>,
    /// When the last byte arrived, or the reason why it would not was known.
    pub completed: Instant,
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub received_bytes: u64,
    /// Metrics that it reported, in an order defined by the driver; usually none.
    pub metrics: Vec<f64>,
    /// Its stages, if they are recorded.
    pub transfer: Option<Box<transfer::Transfer>>,
    /// Whether it was answered as expected.
    pub result: Result<(), Failure>,
}

impl Exchange {
    /// One that starts now, with nothing else known about it.
    pub fn begun(sent: Instant) -> Self {
        Self {
            sent,
            connect: None,
            first_byte: None,
            completed: sent,
            sent_bytes: 0,
            received_bytes: 0,
            metrics: Vec::new(),
            transfer: None,
            result: Ok(()),
        }
    }
}

impl From<Failure> for Error {
    /// The result of a checked pass.
    fn from(Failure { outcome, words }: Failure) -> Self {
        Self::Verify { outcome, words }
    }
}

/// An exchange that did not end as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The outcome that the exchange is counted as.
    pub outcome: Outcome,
    /// What happened, for people.
    pub words: String,
}

impl Failure {
    /// A failure in words, made harmless, because they quote servers.
    pub fn new(outcome: Outcome, words: impl Into<String>) -> Self {
        let words = words.into();
        let words = match harmless(&words) {
            Cow::Borrowed(_) => words,
            Cow::Owned(harmless) => harmless,
        };
        Self { outcome, words }
    }
}
