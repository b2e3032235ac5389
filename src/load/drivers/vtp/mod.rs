//! The VOEvent Transport Protocol: an author sends each event over its own connection, and is told whether the broker
//! accepts it (ack) or refuses it (nak). A pass has three steps, which are its stages: connect, send, answer.
//!
//! The other end, the `subscriber`, follows no schedule but its author, whose passes it observes in a `ledger`.

pub mod document;
mod ledger;
mod subscriber;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;

use super::framed::frame;
use super::framed::stream::Stream;
use super::judged::excerpt;
use super::tcp::Addresses;
use super::{Carrier, Checked, Client, Driver, Exchange, Failure};
use crate::{Error, Job, Observer, Running, spawn, start_with};
use document::{Identity, Kind};
use ledger::Ledger;
use plan::drivers::framed::Framing;
use plan::drivers::vtp::STAGES;
use plan::{self, Part};
use vocabulary::Outcome;

/// What all events of a workload have in common.
pub struct Author {
    addresses: Addresses,
    framing: Framing,
    ivo: String,
    event: Vec<Piece>,
    size: usize,
    timeout: Duration,
}

enum Piece {
    Text(String),
    Ivorn,
    Pass,
    Connection,
}

impl Author {
    /// Prepares the events of a workload.
    ///
    /// # Errors
    /// When the host has no address, or an event inserts a name without a value.
    pub fn new(author: &plan::drivers::vtp::Author) -> Result<Self, Error> {
        let piece = |part: &Part| match part {
            Part::Text(text) => Ok(Piece::Text(text.clone())),
            // None of the three needs encoding in an event, which is not a URL.
            Part::Name(name) | Part::Encoded(name) => match name.as_str() {
                "ivorn" => Ok(Piece::Ivorn),
                "pass" => Ok(Piece::Pass),
                "connection" => Ok(Piece::Connection),
                _ => Err(Error::Request { step: STAGES[1].to_owned(), reason: format!("`{name}` has no value here") }),
            },
        };
        Ok(Self {
            addresses: Addresses::resolve(&author.to.host, author.to.port)?,
            framing: document::framing(),
            ivo: author.ivo.clone(),
            event: author.event.0.iter().map(piece).collect::<Result<_, _>>()?,
            size: author.size.unwrap_or_default() as usize,
            timeout: author.timeout,
        })
    }
}

impl Driver for Author {
    type Client = AuthorClient;

    fn steps(&self) -> usize {
        STAGES.len()
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, _group: &Rc<()>) -> AuthorClient {
        AuthorClient {
            author: Arc::clone(self),
            number,
            identity: Identity::new(&self.ivo, seed),
            pass: 0,
            stream: None,
            leaving: None,
            connects: 0,
            out: Vec::new(),
        }
    }
}

/// One event at a time.
pub struct AuthorClient {
    author: Arc<Author>,
    number: u64,
    identity: Identity,
    pass: u64,
    stream: Option<Stream>,
    /// The connection of the previous event.
    leaving: Option<Stream>,
    connects: u64,
    out: Vec<u8>,
}

impl AuthorClient {
    fn compose(&mut self) -> Result<u64, Failure> {
        const COMMENT: (&[u8], &[u8]) = (b"<!--", b"-->");
        let (author, out) = (&self.author, &mut self.out);
        out.clear();
        let start = frame::begin(&author.framing, out);
        let begin = out.len();
        for piece in &author.event {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Ivorn => out.extend_from_slice(self.identity.of(self.pass).as_bytes()),
                Piece::Pass => out.extend_from_slice(self.pass.to_string().as_bytes()),
                Piece::Connection => out.extend_from_slice(self.number.to_string().as_bytes()),
            }
        }
        if let Some(room) = (author.size + begin).checked_sub(out.len() + COMMENT.0.len() + COMMENT.1.len()) {
            out.extend_from_slice(COMMENT.0);
            out.resize(out.len() + room, b'.');
            out.extend_from_slice(COMMENT.1);
        }
        let length = (out.len() - begin) as u64;
        frame::end(&author.framing, out, start).map_err(|words| Failure::new(Outcome::Carry, words))?;
        Ok(length)
    }

    async fn carry(&mut self, step: usize, exchange: &mut Exchange) -> Result<(), Failure> {
        let deadline = TokioInstant::from_std(exchange.sent) + self.author.timeout;
        if step == 0 {
            // The rest of an event that failed.
            self.stream = None;
            let tcp = self.author.addresses.connect(deadline).await?;
            self.connects += 1;
            self.stream = Some(Stream::new(tcp));
            exchange.completed = Instant::now();
            exchange.connect = Some(exchange.completed - exchange.sent);
            return Ok(());
        }
        if step == 1 {
            exchange.sent_bytes = self.compose()?;
        }
        let Some(stream) = &mut self.stream else { return Err(Failure::new(Outcome::Closed, "there is no connection")) };
        if step == 1 {
            stream.send(&self.out, deadline, "sending the event").await?;
            exchange.completed = Instant::now();
            return Ok(());
        }
        let doing = "waiting for the broker's answer";
        let (length, answer) =
            stream.receive(&self.author.framing, Some(deadline), doing, |answer| (answer.len(), judge(answer))).await?;
        exchange.completed = Instant::now();
        exchange.first_byte = Some(exchange.completed);
        exchange.received_bytes = length as u64;
        // When the next event is answered, the broker has most likely closed the connection of this one.
        if let Some(before) = std::mem::replace(&mut self.leaving, self.stream.take()) {
            before.leave();
        }
        answer
    }
}

fn judge(answer: &[u8]) -> Result<(), Failure> {
    match document::kind(answer) {
        Kind::Ack => Ok(()),
        Kind::Nak(reason) => Err(Failure::new(Outcome::Nak, format!("the broker refused an event: {reason}"))),
        _ => Err(Failure::new(Outcome::Garbage, format!("the broker answered neither ack nor nak: {}", excerpt(answer)))),
    }
}

impl Client for AuthorClient {
    type Group = ();

    async fn ready(&mut self) -> Result<(), Failure> {
        // Connecting is part of sending an event.
        Ok(())
    }

    fn begin_pass(&mut self, pass: u64) {
        self.pass = pass;
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let mut exchange = Exchange::begun(Instant::now());
        exchange.result = self.carry(step, &mut exchange).await;
        if exchange.result.is_err() {
            // The broker's answer already has its time stamp.
            if exchange.first_byte.is_none() {
                exchange.completed = Instant::now();
            }
            self.stream = None;
        }
        exchange
    }

    fn connects(&self) -> u64 {
        self.connects
    }
}

impl Carrier for plan::drivers::vtp::Author {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        start_with(&Arc::new(Author::new(self)?), job)
    }

    /// Checks only whether the broker accepts connections: it would count an event.
    fn verify<'a>(&'a self, _flow: &'a plan::Flow, _seed: u64) -> Checked<'a> {
        Box::pin(async {
            let author = Author::new(self)?;
            let deadline = TokioInstant::now() + author.timeout;
            author.addresses.connect(deadline).await.map(drop).map_err(Error::from)
        })
    }
}

impl Carrier for plan::drivers::vtp::Subscriber {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        let nobody = || Error::Thread("it follows no workload".to_owned());
        let observer: Arc<dyn std::any::Any + Send + Sync> = job.observes.clone().ok_or_else(nobody)?;
        let ledger = observer.downcast::<Ledger>().map_err(|_| nobody())?;
        let (job, subscriber) = (job.clone(), self.clone());
        let life = move || subscriber::run(&job, &subscriber, ledger);
        Ok(Running { threads: vec![spawn("subscriber".to_owned(), life)?] })
    }

    /// It subscribes before the load starts; that is its check.
    fn verify<'a>(&'a self, _flow: &'a plan::Flow, _seed: u64) -> Checked<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn observer(&self, leader: &Job) -> Option<Arc<dyn Observer>> {
        let plan::Driver::Author(author) = &leader.workload.driver else { return None };
        let identity = Identity::new(&author.ivo, leader.seed);
        Some(Arc::new(Ledger::new(identity, leader.workload.threads as usize)))
    }
}
