//! What carries a pass: one file per protocol.
//!
//! A protocol has a folder of its name here with two types: a [`Driver`] that holds what all connections of a workload
//! share, made once from the plan, and a [`Client`] that carries one pass at a time. Neither knows of schedules, phases or
//! windows: the engine calls [`Client::ready`] while there is time, [`Client::begin_pass`] and [`Client::exchange`] for each
//! step when there is not, and takes all times from the [`Exchange`]s. The noun of the plan is a [`Carrier`], which starts
//! them; [`carrier`] is the list. `docs/architecture.md` has the recipe.

pub mod command;
mod content;
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

use super::{Error, Job, Observer, Report, Running, Traffic};
use vocabulary::words::harmless;
use vocabulary::{Outcome, Phase, Task};

/// A checked pass before the load.
pub type Checked<'a> = Task<'a, Result<(), Error>>;

/// What the noun of a protocol can do here.
pub trait Carrier {
    /// Starts the generator threads of a job, whose driver it is.
    ///
    /// # Errors
    /// When nothing can be sent as asked, a file or host cannot be found, or a thread cannot be started.
    fn start(&self, job: &Job) -> Result<Running, Error>;

    /// One pass through the steps, every answer checked; nothing is recorded.
    fn verify(&self, seed: u64) -> Checked<'_>;

    /// Of a follower: what its leader is to tell of its passes.
    fn observer(&self, _leader: &Job) -> Option<Arc<dyn Observer>> {
        None
    }
}

/// Another run begins, to which it means nothing what control ports were told in one before.
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
    /// One of those that carry its passes.
    type Client: Client;

    /// How many steps a pass has.
    fn steps(&self) -> usize;

    /// A thread is over: what its clients know beside their exchanges is sent.
    fn over(&self, _group: &<Self::Client as Client>::Group, _job: &Job, _report: &Report) {}

    /// How many clients share a connection; they are on the same thread and have neighbouring numbers.
    fn streams(&self) -> u64 {
        1
    }

    /// Makes client `number`, which is its own on all threads. Connects nothing yet.
    ///
    /// `group` is what the clients of one thread share; it is `Default` at the start of the thread.
    fn client(self: &Arc<Self>, number: u64, seed: u64, group: &std::rc::Rc<<Self::Client as Client>::Group>) -> Self::Client;
}

/// What carries one pass at a time: a connection, a stream of one, a process.
pub trait Client: 'static {
    /// What clients of one generator thread share, such as buffers.
    type Group: Default;

    /// Does what can be done before a pass begins, such as connecting. Called when nobody waits for it, and only then;
    /// a client that is not ready when its pass begins makes itself so in its first exchange.
    ///
    /// # Errors
    /// What kept it from becoming ready.
    fn ready(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// Before the load, with what the clients of a thread may ask and tell while none of their passes is under way.
    fn begins(_group: &Self::Group, _aside: Aside) {}

    /// What is to be done while nothing is due, such as answering pings: it never ends, and is dropped when a pass is due.
    fn idle(&mut self) -> impl Future<Output = Infallible> {
        std::future::pending()
    }

    /// A pass begins; `pass` is its number in the workload.
    fn begin_pass(&mut self, pass: u64);

    /// Carries a step of the pass and judges its answer.
    fn exchange(&mut self, step: usize) -> impl Future<Output = Exchange>;

    /// How many connections it opened so far.
    fn connects(&self) -> u64;

    /// How often [`Client::ready`] had something to do that took time.
    fn made_ready(&self) -> u64 {
        self.connects()
    }

    /// The transfer that was under way when whoever waited for it gave it up, where its stages are noted.
    fn left(&mut self) -> Option<Box<transfer::Transfer>> {
        None
    }

    /// The requests that the clients of a thread have written so far; nothing where that is not counted.
    fn traffic(_group: &Self::Group) -> Traffic {
        Traffic::default()
    }
}

/// What clients may ask and tell beside their exchanges.
pub struct Aside {
    /// The phase that it is now.
    pub phase: Box<dyn Fn() -> Phase>,
    /// Keeps the words of something that befell no pass.
    pub note: Box<dyn Fn(&Failure)>,
}

/// One pass on a connection that no load has; what is wrong with its answers is the error.
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

/// One step, carried.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the work on it began: connecting, where that was needed, or else writing the request.
    pub sent: Instant,
    /// How long connecting took, where that was needed.
    pub connect: Option<Duration>,
    /// When the first byte of the answer was there.
    pub first_byte: Option<Instant>,
    /// When the last byte was there, or what kept it from coming was known.
    pub completed: Instant,
    /// Bytes of the request body.
    pub sent_bytes: u64,
    /// Bytes of the answer's body.
    pub received_bytes: u64,
    /// Metrics that it brought, in an order that the driver says; mostly none.
    pub metrics: Vec<f64>,
    /// What was noted of it stage by stage, where that is asked for.
    pub transfer: Option<Box<transfer::Transfer>>,
    /// Whether it was answered as expected.
    pub result: Result<(), Failure>,
}

impl Exchange {
    /// One that begins now, and of which nothing else is known.
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
    /// What a checked pass came to.
    fn from(Failure { outcome, words }: Failure) -> Self {
        Self::Verify { outcome, words }
    }
}

/// An exchange that did not come out as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    /// As what the exchange is counted.
    pub outcome: Outcome,
    /// What happened, for people.
    pub words: String,
}

impl Failure {
    /// A failure in words, made harmless: servers are quoted in them.
    pub fn new(outcome: Outcome, words: impl Into<String>) -> Self {
        let words = words.into();
        let words = match harmless(&words) {
            Cow::Borrowed(_) => words,
            Cow::Owned(harmless) => harmless,
        };
        Self { outcome, words }
    }
}
