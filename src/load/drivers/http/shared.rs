//! What the clients of a generator thread share: HTTP/2 connections, and the count of what they send.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::body::Outgoing;
use super::connect::Stream;
use super::general::{MAX_HEADER_LIST, Stage, of_hyper};
use crate::drivers::Failure;
use crate::traffic::RequestCounter;
use crate::{Traffic, Users};
use vocabulary::Outcome;

/// How much of one answer the server may send ahead; long downloads are slow when this is less than the data in flight.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection together.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Reset streams are remembered for a second, because frames of theirs may still arrive; a server that is too slow for
/// the time-out causes many of them.
const RESET_STREAMS: usize = 1 << 14;

/// What the clients of one generator thread share.
#[derive(Default)]
pub struct Group {
    connections: RefCell<BTreeMap<u64, Rc<Shared>>>,
    /// By the index of the address.
    counter: RefCell<BTreeMap<usize, Rc<RequestCounter>>>,
    users: RefCell<Users>,
}

impl Group {
    /// The connection with this number.
    pub(super) fn connection(&self, number: u64) -> Rc<Shared> {
        Rc::clone(self.connections.borrow_mut().entry(number).or_default())
    }

    /// The count of requests sent to an address, by step.
    pub(super) fn counter(&self, address: usize, steps: usize) -> Rc<RequestCounter> {
        Rc::clone(self.counter.borrow_mut().entry(address).or_insert_with(|| Rc::new(RequestCounter::new(steps))))
    }

    /// Counts something about users.
    pub(super) fn count_users(&self, count: impl FnOnce(&mut Users)) {
        count(&mut self.users.borrow_mut());
    }

    /// How its users fared so far.
    pub(super) fn users(&self) -> Users {
        self.users.borrow().clone()
    }

    /// What was sent so far.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        self.counter.borrow().iter().for_each(|(address, counter)| counter.add_to(*address, &mut traffic));
        traffic
    }
}

/// A connection of several clients, made when the first of them needs it, and again when it is lost.
#[derive(Default)]
pub(super) struct Shared {
    sender: RefCell<Option<SendRequest<Outgoing>>>,
    /// Its holder connects; the others wait.
    turn: Mutex<()>,
    /// The number of failed attempts so far, and how the last one failed.
    failures: Cell<u64>,
    failure: RefCell<Option<Failure>>,
}

impl Shared {
    /// The connection, if it is there.
    pub fn open(&self) -> Option<SendRequest<Outgoing>> {
        self.sender.borrow().as_ref().filter(|s| !s.is_closed()).cloned()
    }

    /// The connection; one client makes it with `connect`, and the others wait for that one.
    ///
    /// # Errors
    /// What kept it from being made, whoever tried.
    pub async fn get(
        &self,
        deadline: Instant,
        connect: impl Future<Output = Result<SendRequest<Outgoing>, Failure>>,
    ) -> Result<SendRequest<Outgoing>, Failure> {
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let before = self.failures.get();
        let Ok(_turn) = tokio::time::timeout_at(deadline, self.turn.lock()).await else {
            return Err(Failure::new(Outcome::Timeout, "waiting for the connection took longer than the time-out"));
        };
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        // An attempt that just failed is not repeated; but its time-out may have been shorter.
        if self.failures.get() > before
            && let Some(failure) = self.failure.borrow().as_ref().filter(|f| f.outcome != Outcome::Timeout)
        {
            return Err(failure.clone());
        }
        let connected = connect.await;
        match &connected {
            Ok(sender) => *self.sender.borrow_mut() = Some(sender.clone()),
            Err(failure) => {
                self.failures.set(self.failures.get() + 1);
                *self.failure.borrow_mut() = Some(failure.clone());
            }
        }
        connected
    }
}

/// Lets a spawned task stay on its thread.
#[derive(Clone, Copy)]
struct ThisThread;

impl<F: Future + 'static> hyper::rt::Executor<F> for ThisThread {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Starts to speak HTTP/2 on a stream; a separate task drives the connection until nobody can send on it any more.
///
/// # Errors
/// The failure as it is recorded.
pub(super) async fn begin(stream: Stream, streams: u32, deadline: Instant) -> Result<SendRequest<Outgoing>, Failure> {
    let mut builder = http2::Builder::new(ThisThread);
    builder
        .adaptive_window(false)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(streams).min(CONNECTION_WINDOW))
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(None);
    let beginning = builder.handshake(TokioIo::new(stream));
    let (sender, connection) = match tokio::time::timeout_at(deadline, beginning).await {
        Ok(begun) => begun.map_err(|e| of_hyper(&e, "connecting", Stage::Head { heard: false }))?,
        Err(_) => return Err(Failure::new(Outcome::Timeout, "starting HTTP/2 took longer than the time-out")),
    };
    // Its end is reported to the requests on it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}
