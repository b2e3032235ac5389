//! The agent's end of the channel: two threads at its standard input and output, so that a busy agent still answers.

use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc as later, watch};

use super::clock::Clock;
use super::files::{self, File, Incoming};
use super::frame::{self, Frame, Outgoing, PREFACE};
use super::message::{Ended, Lifetimes, PROTOCOL, Passed, Scenario, Seen, Sent, ShardWork, ToAgent, ToController};
use super::{LEASE, WORD};

/// How many frames may wait to be written.
const WAITING: usize = 64;

/// What the controller asks for.
#[derive(Debug)]
pub enum Order {
    /// To be ready for a scenario.
    Scenario(Box<Scenario>),
    /// To execute whole rounds.
    Shard(Box<ShardWork>),
    /// To execute a repetition: its cell by index, its number, and what set-up steps have found.
    Execute(usize, u32, BTreeMap<String, String>),
    /// To stop targets.
    EndLifetimes(Lifetimes),
    /// To end.
    Stop,
}

/// The repetition fails because of another machine, or the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The machine; none: the user.
    pub host: Option<String>,
    /// Why.
    pub why: String,
}

/// The agent's end.
#[derive(Debug)]
pub struct Post {
    out: SyncSender<Outgoing>,
    orders: tokio::sync::Mutex<later::UnboundedReceiver<Order>>,
    shared: Arc<Shared>,
    passed: watch::Receiver<BTreeMap<u32, Passed>>,
    abandoned: watch::Receiver<Option<Abandoned>>,
    /// The agent's clock.
    pub clock: Clock,
}

/// What is told while a repetition is under way, whenever something is said anyway.
#[derive(Default)]
struct Told {
    /// The passes of the current repetition.
    passes: Arc<AtomicU64>,
    /// What was seen of it since the last call.
    seen: Option<Box<dyn FnMut() -> Seen + Send>>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("passes", &self.passes).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    told: Mutex<Told>,
    passed: watch::Sender<BTreeMap<u32, Passed>>,
    abandoned: watch::Sender<Option<Abandoned>>,
    /// Where files of the scenario go.
    inbox: PathBuf,
    begun: Instant,
    /// When the controller said something, in milliseconds since `begun`.
    heard_ms: AtomicU64,
}

impl Post {
    /// Opens the channel and introduces the agent. `inbox`: where files of the scenario go. `gone`: what to do when the controller is
    /// gone, with the reason; it does not return, and the agent's guard clears up.
    pub fn open(
        from: impl Read + Send + 'static,
        to: impl Write + Send + 'static,
        clock: Clock,
        inbox: &Path,
        gone: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let (out, outgoing) = mpsc::sync_channel(WAITING);
        let (give, orders) = later::unbounded_channel();
        let (passes_to, passed) = watch::channel(BTreeMap::new());
        let (abandon, abandoned) = watch::channel(None);
        let shared = Arc::new(Shared {
            told: Mutex::default(),
            passed: passes_to,
            abandoned: abandon,
            inbox: inbox.to_owned(),
            begun: Instant::now(),
            heard_ms: AtomicU64::new(0),
        });
        let gone = Arc::new(gone);
        let (for_reader, for_writer) = (Arc::clone(&shared), Arc::clone(&shared));
        let (end_of_input, end_of_output, end_of_lease) = (Arc::clone(&gone), Arc::clone(&gone), gone);
        let answers = out.clone();
        std::thread::spawn(move || {
            let why = read(&mut BufReader::new(from), &for_reader, clock, &answers, &give);
            end_of_input(&why);
        });
        std::thread::spawn(move || {
            let why = write(&mut BufWriter::new(to), &for_writer, clock, &outgoing);
            end_of_output(&why);
        });
        // What blocks the other threads does not block this one.
        let of_lease = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            while let Some(shared) = of_lease.upgrade() {
                let heard = Duration::from_millis(shared.heard_ms.load(Ordering::Relaxed));
                if shared.begun.elapsed().saturating_sub(heard) > LEASE {
                    return end_of_lease(&format!("the controller has said nothing for {} s", LEASE.as_secs()));
                }
                drop(shared);
                std::thread::sleep(WORD / 4);
            }
        });
        Self { out, orders: tokio::sync::Mutex::new(orders), shared, passed, abandoned, clock }
    }

    /// Says something. If the controller is gone, the agent is about to end.
    pub fn say(&self, message: &ToController) {
        let _ = self.out.send(Outgoing::Frame(Frame::message(message)));
    }

    /// The next order; none when the controller is gone.
    pub async fn order(&self) -> Option<Order> {
        self.orders.lock().await.recv().await
    }

    /// A repetition starts: `passes` counts those of its load, and `seen` returns what was seen since its last call.
    pub fn begin(&self, passes: &Arc<AtomicU64>, seen: impl FnMut() -> Seen + Send + 'static) {
        let told = Told { passes: Arc::clone(passes), seen: Some(Box::new(seen)) };
        *self.shared.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// Waits at a point until all machines are there; `sent`: what was sent to servers that
    /// count; `span`: from the first to the last request; `found`: what set-up steps have found here.
    ///
    /// # Errors
    /// The reason when the repetition fails meanwhile.
    pub async fn reach(
        &self,
        point: u32,
        sent: Vec<Sent>,
        span: Option<(u64, u64)>,
        found: BTreeMap<String, String>,
    ) -> Result<Passed, Abandoned> {
        self.say(&ToController::Reached { point, sent, span, found });
        let mut passed = self.passed.clone();
        tokio::select! {
            biased;
            abandoned = self.abandoned() => Err(abandoned),
            passed = passed.wait_for(|passed| passed.contains_key(&point)) => match passed {
                Ok(passed) => Ok(passed[&point].clone()),
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Waits until the repetition fails because of another machine or the user.
    pub async fn abandoned(&self) -> Abandoned {
        let mut abandoned = self.abandoned.clone();
        match abandoned.wait_for(Option::is_some).await.ok().and_then(|abandoned| abandoned.clone()) {
            Some(abandoned) => abandoned,
            None => std::future::pending().await,
        }
    }

    /// Sends files of results, each below `folder`, and then that `path` has arrived whole there.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn arrived(&self, files: &[File], folder: PathBuf, path: PathBuf) -> std::io::Result<()> {
        for file in files {
            files::send(file, &self.out, ToController::File)?;
        }
        self.say(&ToController::Arrived { folder, path });
        Ok(())
    }

    /// Sends the files of a repetition, and that it has ended.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn end(&self, files: &[File], ended: Ended) -> std::io::Result<()> {
        for file in files {
            files::send(file, &self.out, ToController::File)?;
        }
        self.say(&ToController::Ended(ended));
        Ok(())
    }
}

/// Reads until the controller is gone; returns why.
fn read(
    from: &mut impl Read,
    shared: &Shared,
    clock: Clock,
    answers: &SyncSender<Outgoing>,
    orders: &later::UnboundedSender<Order>,
) -> String {
    let mut file: Option<Incoming> = None;
    loop {
        let frame = match frame::read(from) {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the controller has ended".to_owned(),
            Err(error) => return format!("the controller cannot be heard: {error}"),
        };
        let now_ns = clock.now_ns();
        shared.heard_ms.store(shared.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        let message = match frame {
            Frame::Piece(piece) => {
                if let Some(Err(error)) = file.as_mut().map(|file| file.add(&piece)) {
                    return format!("cannot write a file of the scenario: {error}");
                }
                // A program that is open for writing cannot be started.
                if file.as_ref().is_some_and(Incoming::is_whole) {
                    file = None;
                }
                continue;
            }
            Frame::Message(bytes) => serde_json::from_slice::<ToAgent>(&bytes),
        };
        let order = match message {
            Err(error) => return format!("the controller said something unknown: {error}"),
            Ok(ToAgent::File(head)) => {
                file = match Incoming::start(&shared.inbox, &head) {
                    Ok(file) => Some(file),
                    Err(error) => return format!("cannot write {}: {error}", head.path.display()),
                };
                continue;
            }
            Ok(ToAgent::Alive) => continue,
            Ok(ToAgent::Clock { asked_ns }) => {
                if answers.send(Outgoing::Time { asked_ns, received_ns: now_ns }).is_err() {
                    return "nothing can be said any more".to_owned();
                }
                continue;
            }
            Ok(ToAgent::Passed(passed)) => {
                shared.passed.send_modify(|all| drop(all.insert(passed.point, passed)));
                continue;
            }
            Ok(ToAgent::Abandon { host, why }) => {
                shared.abandoned.send_replace(Some(Abandoned { host, why }));
                continue;
            }
            Ok(ToAgent::Scenario(scenario)) => Order::Scenario(scenario),
            Ok(ToAgent::Shard(work)) => Order::Shard(work),
            Ok(ToAgent::Execute { cell, repetition, found }) => {
                // What was said of another repetition does not concern this one.
                shared.passed.send_replace(BTreeMap::new());
                shared.abandoned.send_replace(None);
                Order::Execute(cell, repetition, found)
            }
            Ok(ToAgent::EndLifetimes(over)) => Order::EndLifetimes(over),
            Ok(ToAgent::Stop) => Order::Stop,
        };
        if orders.send(order).is_err() {
            return "the agent has ended".to_owned();
        }
    }
}

/// Writes until the controller is gone; returns why.
fn write(to: &mut impl Write, shared: &Shared, clock: Clock, outgoing: &Receiver<Outgoing>) -> String {
    let failed = |error: std::io::Error| format!("the controller cannot be spoken to: {error}");
    if let Err(error) = writeln!(to, "{PREFACE} {PROTOCOL}").and_then(|()| to.flush()) {
        return failed(error);
    }
    loop {
        let frame = match outgoing.recv_timeout(WORD / 2) {
            Ok(Outgoing::Frame(frame)) => frame,
            Ok(Outgoing::Time { asked_ns, received_ns }) => {
                Frame::message(&ToController::Clock { asked_ns, received_ns, answered_ns: clock.now_ns() })
            }
            Ok(Outgoing::AskTime) | Err(RecvTimeoutError::Timeout) => {
                let mut told = shared.told.lock().unwrap_or_else(PoisonError::into_inner);
                let passes = told.passes.load(Ordering::Relaxed);
                let seen = told.seen.as_mut().map(|seen| seen()).unwrap_or_default();
                drop(told);
                Frame::message(&ToController::Alive { passes, seen })
            }
            Err(RecvTimeoutError::Disconnected) => return "the agent has ended".to_owned(),
        };
        if let Err(error) = frame::write(to, &frame).and_then(|()| to.flush()) {
            return failed(error);
        }
    }
}
