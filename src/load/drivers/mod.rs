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
mod drawn;
pub mod framed;
pub mod http;
mod judged;
pub mod redis;
mod socks;
mod steering;
pub mod tcp;
pub mod transfer;
mod values;
pub mod vtp;
pub mod websocket;

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Error, Job, Observer, Report, Running, Traffic, Users};
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

    /// One pass through the steps, every answer checked; nothing is recorded.
    fn verify(&self, seed: u64) -> Checked<'_>;

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

    /// How many steps a pass has.
    fn steps(&self) -> usize;

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

    /// Carries a step of the pass and judges its answer.
    fn exchange(&mut self, step: usize) -> impl Future<Output = Exchange>;

    /// What it has executed on its own since this was last asked, by the numbers of the steps.
    fn own(&mut self) -> Vec<(usize, Exchange)> {
        Vec::new()
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

/// What clients may query and report besides their exchanges.
pub struct Aside {
    /// The current phase.
    pub phase: Box<dyn Fn() -> Phase>,
    /// Keeps the description of an event that belongs to no pass.
    pub note: Box<dyn Fn(&Failure)>,
}

/// One pass on a connection that no load uses; what is wrong with its answers is the error.
///
/// # Errors
/// [`Error::Verify`].
async fn one_pass<D: Driver>(driver: &Arc<D>, seed: u64) -> Result<(), Error> {
    // A number that no connection of a load has.
    let mut client = driver.client((1 << 24) - 1, seed, &std::rc::Rc::default());
    client.begin_pass(0);
    for step in 0..driver.steps() {
        client.exchange(step).await.result.map_err(Error::from)?;
    }
    Ok(())
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
