//! Messages over TCP: a protocol of which the scenario says how its messages are told apart, and what they are.

pub mod frame;
pub mod stream;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;

use super::content::Content;
use super::judged::{Judged, KeptBody};
use super::socks::Proxy;
use super::tcp::{Addresses, of_io};
use super::transfer::Transfer;
use super::values::{ValueNames, Values};
use super::{Carrier, Checked, Client, Driver, Exchange, Failure, one_pass};
use crate::{Error, Job, Running, start_with};
use plan::drivers::framed::{Bounds, Framing};
use stream::Stream;
use vocabulary::Outcome;

/// A workload's messages, made ready once.
pub struct Framed {
    addresses: Addresses,
    /// Through whom, and to which host and port.
    proxy: Option<(Arc<Proxy>, String, u16)>,
    framing: Framing,
    keep_alive: bool,
    names: ValueNames,
    steps: Vec<Step>,
    timeout: Duration,
}

struct Step {
    name: String,
    send: Option<Content>,
    answer: bool,
    judged: Judged,
    timeout: Duration,
}

impl Framed {
    /// Makes the messages of a workload ready.
    ///
    /// # Errors
    /// When the host has no address, a file cannot be read, or a message cannot be made.
    pub fn new(framed: &plan::drivers::framed::Framed) -> Result<Self, Error> {
        let carried = framed.steps.iter().flat_map(|s| &s.carry);
        let names = ValueNames::new(carried, framed.steps.iter().flat_map(|s| s.names()), &framed.draws);
        let step = |step: &plan::Message| {
            let send = step.send.as_ref().map(|body| Content::new(body, names.as_slice(), &step.name)).transpose()?;
            let judged = Judged::new(&step.name, &step.expect, &step.carry, names.as_slice())?;
            Ok(Step { name: step.name.clone(), send, answer: step.answer, judged, timeout: step.timeout })
        };
        let steps: Vec<Step> = framed.steps.iter().map(step).collect::<Result<_, Error>>()?;
        let to = &framed.to;
        let proxy = framed.socks.as_ref().map(Proxy::new).transpose()?;
        // A name behind a proxy is resolved by it.
        let reached = framed.socks.as_ref().map_or(to, |socks| &socks.address);
        Ok(Self {
            addresses: Addresses::resolve(&reached.host, reached.port)?,
            proxy: proxy.map(|proxy| (Arc::new(proxy), to.host.clone(), to.port)),
            framing: framed.framing.clone(),
            keep_alive: framed.keep_alive,
            timeout: steps.iter().map(|s| s.timeout).max().unwrap_or(plan::step::REQUEST_TIMEOUT),
            names,
            steps,
        })
    }
}

impl Framed {
    /// Whether each pass has a connection of its own, whatever is said of keep-alive.
    fn isolates_passes(&self) -> bool {
        self.proxy.as_ref().is_some_and(|(proxy, ..)| proxy.isolates_passes())
    }
}

impl Driver for Framed {
    type Client = FramedClient;

    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, _group: &Rc<()>) -> FramedClient {
        let values = Values::new(&self.names, seed, number);
        FramedClient { framed: Arc::clone(self), values, stream: None, connects: 0, out: Vec::new() }
    }
}

/// A connection with one message at a time on it; made anew when it is lost.
pub struct FramedClient {
    framed: Arc<Framed>,
    values: Values,
    stream: Option<Stream>,
    connects: u64,
    out: Vec<u8>,
}

impl FramedClient {
    async fn connect(&mut self, deadline: TokioInstant) -> Result<(), Failure> {
        let tcp = match &self.framed.proxy {
            Some((proxy, host, port)) => {
                let mut transfer = Transfer::default();
                let (mut tcp, unanswered) = proxy.connect(host, *port, None, deadline, &mut transfer).await?;
                if let Some(unanswered) = unanswered {
                    unanswered.read(&mut tcp, deadline, &mut transfer).await?;
                }
                tcp
            }
            None => self.framed.addresses.connect(deadline).await?,
        };
        tcp.set_nodelay(true).map_err(|e| of_io(&e, "connecting"))?;
        self.connects += 1;
        self.stream = Some(Stream::new(tcp));
        Ok(())
    }

    /// Makes the frame of a step in `out`.
    fn compose(&mut self, step: usize) -> Result<u64, Failure> {
        let framed = &self.framed;
        self.out.clear();
        let Some(content) = &framed.steps[step].send else { return Ok(0) };
        let start = frame::begin(&framed.framing, &mut self.out);
        let before = self.out.len();
        content.write(&mut self.values, &mut self.out);
        // Random bytes may be anything, also what ends a message.
        if let (Content::Random(_), Bounds::Delimiter(delimiter)) = (content, &framed.framing.bounds) {
            let first = delimiter.as_bytes()[0];
            let other = if first == b'.' { b'-' } else { b'.' };
            self.out[before..].iter_mut().filter(|b| **b == first).for_each(|b| *b = other);
        }
        let length = (self.out.len() - before) as u64;
        frame::end(&framed.framing, &mut self.out, start).map_err(|words| Failure::new(Outcome::Carry, words))?;
        Ok(length)
    }

    async fn carry(&mut self, step: usize, exchange: &mut Exchange) -> Result<(), Failure> {
        let framed = Arc::clone(&self.framed);
        let (number, step) = (step, &framed.steps[step]);
        let deadline = TokioInstant::from_std(exchange.sent) + step.timeout;
        if number == 0 && self.stream.as_ref().is_some_and(|s| !s.is_open()) {
            self.stream = None;
        }
        if self.stream.is_none() {
            self.connect(deadline).await?;
            exchange.connect = Some(exchange.sent.elapsed());
        }
        exchange.sent_bytes = self.compose(number)?;
        let Some(stream) = &mut self.stream else { return Err(Failure::new(Outcome::Closed, "there is no connection")) };
        if step.send.is_some() {
            stream.send(&self.out, deadline, &step.name).await?;
        }
        if step.answer {
            let (judged, values) = (&step.judged, &mut self.values);
            let label = |_: &Values| step.name.clone();
            let judge = |message: &[u8]| {
                let length = message.len() as u64;
                (
                    length,
                    judged.check(
                        length,
                        judged.needs_body().then_some(KeptBody { bytes: message, is_cut: false }),
                        |_| None,
                        label,
                        values,
                    ),
                )
            };
            let (length, result) = stream.receive(&framed.framing, Some(deadline), &step.name, judge).await?;
            exchange.received_bytes = length;
            exchange.completed = Instant::now();
            exchange.first_byte = Some(exchange.completed);
            result?;
        }
        Ok(())
    }
}

impl Client for FramedClient {
    type Group = ();

    async fn ready(&mut self) -> Result<(), Failure> {
        if !self.framed.keep_alive || self.framed.isolates_passes() || self.stream.as_ref().is_some_and(Stream::is_open) {
            return Ok(());
        }
        self.stream = None;
        let deadline = TokioInstant::now() + self.framed.timeout;
        self.connect(deadline).await
    }

    fn begin_pass(&mut self, pass: u64) {
        self.values.begin_pass(pass);
        if self.framed.isolates_passes() {
            self.stream = None;
        }
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let mut exchange = Exchange::begun(Instant::now());
        exchange.result = self.carry(step, &mut exchange).await;
        if exchange.first_byte.is_none() {
            exchange.completed = Instant::now();
        }
        // After a failure it is not known what the next message on the connection would answer.
        if exchange.result.is_err() || !self.framed.keep_alive && step + 1 == self.framed.steps.len() {
            self.stream = None;
        }
        exchange
    }

    fn connects(&self) -> u64 {
        self.connects
    }
}

impl Carrier for plan::drivers::framed::Framed {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        start_with(&Arc::new(Framed::new(self)?), job)
    }

    fn verify(&self, seed: u64) -> Checked<'_> {
        Box::pin(async move { one_pass(&Arc::new(Framed::new(self)?), seed).await })
    }
}
