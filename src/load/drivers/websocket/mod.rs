//! Messages over a websocket: one at a time on each connection, with the client in this file, or many under way, in
//! `pipelined`.

mod connection;
mod matching;
mod pipelined;
mod told;

use std::cell::{OnceCell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;
use tokio_websockets::Message;

use super::content::Content;
use super::judged::{Judged, KeptBody, excerpt};
use super::values::{ValueNames, Values};
use super::{Aside, Carrier, Checked, Client, Driver, Exchange, Failure, one_pass};
use crate::{Error, Job, Report, Running, start_with};
use connection::{Connector, Received, Socket};
use matching::{Matcher, NoKey};
use plan::drivers::websocket::KEY;
use plan::{Body, Template};
use told::{Messages, Together, Told};
use vocabulary::Outcome;
use vocabulary::units::nanos;

/// A workload's messages, prepared once.
pub struct Websocket {
    connector: Connector,
    opening: Vec<Step>,
    steps: Vec<Step>,
    keep_alive: bool,
    names: ValueNames,
    /// The characters that are typed, and the slot of the next one among the values.
    keys: Option<(Vec<String>, usize)>,
    /// How answers are matched; `None` if they come in order, or are waited for.
    matcher: Option<Matcher>,
    pushes: Option<regex::bytes::Regex>,
    timeout: Duration,
    together: Together,
}

struct Step {
    name: String,
    send: Option<Content>,
    binary: bool,
    answer: bool,
    judged: Judged,
    /// Whether what is expected differs from pass to pass.
    expects_values: bool,
    timeout: Duration,
}

impl Websocket {
    /// Prepares the messages of a workload.
    ///
    /// # Errors
    /// When the host has no address, a file or certificate cannot be read, or a message cannot be made.
    pub fn new(websocket: &plan::drivers::websocket::Websocket) -> Result<Self, Error> {
        let carried = websocket.steps.iter().flat_map(|s| &s.carry);
        let names = ValueNames::new(carried, websocket.steps.iter().flat_map(|s| s.names()), &websocket.draws);
        let (names, place) = names.with(KEY);
        let keys = websocket.text.as_ref().map(|text| (text.chars().map(String::from).collect(), place));
        let step = |step: &plan::Message| Step::new(step, names.as_slice(), websocket.binary);
        let steps: Vec<Step> = websocket.steps.iter().map(step).collect::<Result<_, Error>>()?;
        let invalid = |e: regex::Error| Error::Request { step: "pushes".to_owned(), reason: e.to_string() };
        Ok(Self {
            connector: Connector::new(websocket)?,
            opening: websocket.open.iter().map(step).collect::<Result<_, Error>>()?,
            keep_alive: websocket.keep_alive,
            keys,
            matcher: websocket.matching.as_ref().map(Matcher::new).transpose()?.flatten(),
            pushes: websocket.pushes.as_deref().map(regex::bytes::Regex::new).transpose().map_err(invalid)?,
            timeout: steps.iter().map(|s| s.timeout).max().unwrap_or(plan::step::REQUEST_TIMEOUT),
            together: Together::default(),
            names,
            steps,
        })
    }

    /// A connection whose first messages have been exchanged; adds to `opened` as soon as there is one. The duration of
    /// its handshake goes to `told`.
    async fn open(
        &self,
        values: &mut Values,
        deadline: TokioInstant,
        opened: &mut u64,
        told: &RefCell<Told>,
    ) -> Result<Socket, Failure> {
        let (mut socket, took) = self.connector.open(deadline, opened).await?;
        told.borrow_mut().handshakes.saturating_record(nanos(took));
        for step in &self.opening {
            if let Some(message) = step.compose(values) {
                socket.send(message, deadline).await?;
            }
            if step.answer {
                let mut message = socket.receive(deadline).await?;
                // Messages pushed before the load belong to no phase.
                while self.is_push(message.as_payload()) {
                    message = socket.receive(deadline).await?;
                }
                step.judge(message.as_payload(), values)?;
            }
        }
        Ok(socket)
    }

    /// The key of a message; `None` if answers are not matched by key.
    ///
    /// # Errors
    /// When it should have one.
    fn key(&self, message: &[u8]) -> Result<Option<u64>, NoKey> {
        self.matcher.as_ref().map(|matcher| matcher.key(message).ok_or(NoKey)).transpose()
    }

    /// Whether it is a message that may arrive unasked.
    fn is_push(&self, message: &[u8]) -> bool {
        self.pushes.as_ref().is_some_and(|pattern| pattern.is_match(message))
    }

    /// Makes the values of a pass, which is message `number` of its connection.
    fn begin_pass(&self, values: &mut Values, pass: u64, number: u64) {
        values.begin_pass(pass);
        if let Some((keys, place)) = &self.keys {
            values.carry(*place, keys[(number % keys.len() as u64) as usize].clone());
        }
    }
}

impl Step {
    fn new(step: &plan::Message, names: &[String], binary: Option<bool>) -> Result<Self, Error> {
        let need_not_be_text = matches!(step.send, Some(Body::Random(_) | Body::File(_)));
        let expected = step.expect.text.iter().chain(&step.expect.contains);
        Ok(Self {
            name: step.name.clone(),
            send: step.send.as_ref().map(|body| Content::new(body, names, &step.name)).transpose()?,
            binary: binary.unwrap_or(need_not_be_text),
            answer: step.answer,
            judged: Judged::new(&step.name, &step.expect, &step.carry, names)?,
            expects_values: expected.flat_map(Template::names).next().is_some(),
            timeout: step.timeout,
        })
    }

    /// The message, if there is one to send.
    fn compose(&self, values: &mut Values) -> Option<Message> {
        let mut content = Vec::with_capacity(64);
        self.send.as_ref()?.write(values, &mut content);
        if self.binary {
            return Some(Message::binary(content));
        }
        // Only files and random bytes can be anything but text; if they are to be sent as text, they are sent as far as
        // they are text.
        Some(Message::text(String::from_utf8(content).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())))
    }

    /// Checks an answer.
    fn judge(&self, message: &[u8], values: &mut Values) -> Result<(), Failure> {
        let body = self.judged.needs_body().then_some(KeptBody::whole(message));
        let label = |_: &Values| format!("`{}`", self.name);
        self.judged.check(message.len() as u64, body, |_, _| None, label, values)
    }
}

impl Driver for Websocket {
    type Client = WebsocketClient;

    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, group: &Rc<Group>) -> WebsocketClient {
        let values = Values::new(&self.names, seed, number);
        WebsocketClient {
            websocket: Arc::clone(self),
            group: Rc::clone(group),
            values,
            socket: None,
            early: None,
            connects: 0,
            passes: 0,
        }
    }

    fn over(&self, group: &Group, job: &Job, report: &Report) {
        let mut told = group.told.borrow_mut();
        // Reported even if nothing arrived unasked.
        for phase in &report.phases {
            told.of(phase.phase);
        }
        self.together.add(&told, job);
    }
}

/// What the connections of a thread share.
#[derive(Default)]
pub struct Group {
    told: RefCell<Told>,
    /// None before the load.
    aside: OnceCell<Aside>,
}

impl Group {
    /// Counts what arrived unasked. What arrives before the load belongs to no phase.
    fn tell(&self, count: impl FnOnce(&mut Messages)) {
        if let Some(aside) = self.aside.get() {
            count(self.told.borrow_mut().of((aside.phase)()));
        }
    }

    fn note(&self, failure: &Failure) {
        if let Some(aside) = self.aside.get() {
            (aside.note)(failure);
        }
    }
}

/// A connection with one message at a time on it; made again when it is lost.
pub struct WebsocketClient {
    websocket: Arc<Websocket>,
    group: Rc<Group>,
    values: Values,
    socket: Option<Socket>,
    /// A message that arrived while no pass was under way, and may be what the next one waits for.
    early: Option<Message>,
    connects: u64,
    /// Passes so far.
    passes: u64,
}

impl WebsocketClient {
    /// Handles what arrives while no pass is under way: pings are answered, pushes are counted, and the end is noticed.
    /// Any other message was not expected, and the connection is abandoned, because the next messages on it may be as
    /// late; if pushes may arrive, or a pass starts by waiting, the message is kept for the next pass.
    fn take_what_comes(&mut self, cx: &mut Context<'_>) {
        let may_be_early =
            self.websocket.pushes.is_some() || self.websocket.steps.first().is_some_and(|step| step.send.is_none());
        while let (Some(socket), None) = (&mut self.socket, &self.early) {
            let Poll::Ready(received) = socket.poll_received(cx) else { return };
            match received {
                Ok(Received::Control) => {}
                Ok(Received::Message(message)) if self.websocket.is_push(message.as_payload()) => {
                    self.group.tell(|messages| messages.pushes += 1);
                }
                Ok(Received::Message(message)) if may_be_early => self.early = Some(message),
                Ok(Received::Message(message)) => {
                    self.group.tell(|messages| messages.unexpected += 1);
                    let words = format!("an unexpected message between two passes: {}", excerpt(message.as_payload()));
                    self.group.note(&Failure::new(Outcome::Garbage, words));
                    self.socket = None;
                }
                Err(failure) => {
                    self.group.note(&failure);
                    self.socket = None;
                }
            }
        }
    }

    fn take_what_came(&mut self) {
        self.take_what_comes(&mut Context::from_waker(Waker::noop()));
    }

    async fn open(&mut self, deadline: TokioInstant) -> Result<(), Failure> {
        let (websocket, group) = (Arc::clone(&self.websocket), Rc::clone(&self.group));
        self.early = None;
        self.socket = Some(websocket.open(&mut self.values, deadline, &mut self.connects, &group.told).await?);
        Ok(())
    }

    async fn carry(&mut self, number: usize, exchange: &mut Exchange) -> Result<(), Failure> {
        let websocket = Arc::clone(&self.websocket);
        let step = &websocket.steps[number];
        let deadline = TokioInstant::from_std(exchange.sent) + step.timeout;
        // What has arrived between two passes was not expected.
        if number == 0 {
            self.take_what_came();
        }
        if self.socket.is_none() {
            if number > 0 {
                return Err(Failure::new(Outcome::Closed, "the connection was lost between two steps"));
            }
            self.open(deadline).await?;
            exchange.connect = Some(exchange.sent.elapsed());
        }
        let Some(socket) = &mut self.socket else { return Err(Failure::new(Outcome::Closed, "there is no connection")) };
        let mut key = None;
        if let Some(message) = step.compose(&mut self.values) {
            exchange.sent_bytes = message.as_payload().len() as u64;
            key = websocket.key(message.as_payload()).ok().flatten();
            socket.send(message, deadline).await?;
        }
        if step.answer {
            exchange.received_bytes = self.answer(step, key, deadline).await?;
            exchange.first_byte = Some(Instant::now());
        }
        Ok(())
    }

    /// Waits for an answer, and judges it; returns its length. `key`: what it must match, used in the checked pass of
    /// matched messages.
    async fn answer(&mut self, step: &Step, key: Option<u64>, deadline: TokioInstant) -> Result<u64, Failure> {
        let websocket = Arc::clone(&self.websocket);
        loop {
            let message = match (self.early.take(), &mut self.socket) {
                (Some(message), _) => message,
                (None, Some(socket)) => socket.receive(deadline).await?,
                (None, None) => return Err(Failure::new(Outcome::Closed, "there is no connection")),
            };
            let content: &[u8] = message.as_payload();
            if websocket.is_push(content) {
                self.group.tell(|messages| messages.pushes += 1);
                continue;
            }
            if key.is_some() && websocket.key(content).ok().flatten() != key {
                let words = format!("`{}`: the answer does not have the key of the message: {}", step.name, excerpt(content));
                return Err(Failure::new(Outcome::Garbage, words));
            }
            step.judge(content, &mut self.values)?;
            return Ok(content.len() as u64);
        }
    }
}

impl Client for WebsocketClient {
    type Group = Group;

    async fn ready(&mut self) -> Result<(), Failure> {
        if !self.websocket.keep_alive {
            return Ok(());
        }
        self.take_what_came();
        if self.socket.is_none() {
            self.open(TokioInstant::now() + self.websocket.timeout).await?;
        }
        Ok(())
    }

    fn begins(group: &Group, aside: Aside) {
        let _ = group.aside.set(aside);
    }

    async fn idle(&mut self) -> Infallible {
        poll_fn(|cx| {
            self.take_what_comes(cx);
            Poll::Pending
        })
        .await
    }

    fn begin_pass(&mut self, pass: u64) {
        self.websocket.begin_pass(&mut self.values, pass, self.passes);
        self.passes += 1;
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let mut exchange = Exchange::begun(Instant::now());
        exchange.result = self.carry(step, &mut exchange).await;
        exchange.completed = exchange.first_byte.unwrap_or_else(Instant::now);
        let last = step + 1 == self.websocket.steps.len();
        // After a failure it is not known which message the next answer on the connection would belong to.
        if exchange.result.is_err() || !self.websocket.keep_alive && last {
            self.socket = None;
        }
        exchange
    }

    fn connects(&self) -> u64 {
        self.connects
    }
}

impl Carrier for plan::drivers::websocket::Websocket {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        let websocket = Arc::new(Websocket::new(self)?);
        if self.matching.is_some() { pipelined::start(&websocket, job) } else { start_with(&websocket, job) }
    }

    fn verify(&self, seed: u64) -> Checked<'_> {
        Box::pin(async move { one_pass(&Arc::new(Websocket::new(self)?), seed).await })
    }
}
