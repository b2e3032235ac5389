//! Messages over TCP: the scenario says how the protocol separates its messages, and what they are.

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
use super::transfer::{Kept, Left, Transfer};
use super::values::{ValueNames, Values};
use super::{Carrier, Checked, Client, Driver, Exchange, Failure, one_pass};
use crate::{Error, Job, Running, start_with};
use plan::drivers::framed::{Bounds, Framing};
use stream::Stream;
use vocabulary::Outcome;
use vocabulary::rows::Stage;

/// A workload's messages, prepared once.
pub struct Framed {
    addresses: Addresses,
    /// The proxy, and the host and port behind it.
    proxy: Option<(Arc<Proxy>, String, u16)>,
    framing: Framing,
    keep_alive: bool,
    /// What identifies its transfers, if their stages are recorded.
    stages: Option<String>,
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
    /// Prepares the messages of a workload.
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
        // Behind a proxy, the proxy resolves the name.
        let reached = framed.socks.as_ref().map_or(to, |socks| &socks.address);
        Ok(Self {
            addresses: Addresses::resolve(&reached.host, reached.port)?,
            proxy: proxy.map(|proxy| (Arc::new(proxy), to.host.clone(), to.port)),
            framing: framed.framing.clone(),
            keep_alive: framed.keep_alive,
            stages: framed.stages.then(|| to.to_string()),
            timeout: steps.iter().map(|s| s.timeout).max().unwrap_or(plan::step::REQUEST_TIMEOUT),
            names,
            steps,
        })
    }
}

impl Framed {
    /// Whether each pass has its own connection, whatever keep-alive says.
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
        FramedClient { framed: Arc::clone(self), values, stream: None, connects: 0, out: Vec::new(), left: Left::default() }
    }
}

/// A connection with one message at a time on it; made again when it is lost.
pub struct FramedClient {
    framed: Arc<Framed>,
    values: Values,
    stream: Option<Stream>,
    connects: u64,
    out: Vec<u8>,
    /// What was under way when it was abandoned.
    left: Left,
}

impl FramedClient {
    async fn connect(&mut self, deadline: TokioInstant, transfer: &mut Transfer) -> Result<(), Failure> {
        let tcp = match &self.framed.proxy {
            Some((proxy, host, port)) => {
                let (mut tcp, unanswered) = proxy.connect(host, *port, None, deadline, transfer).await?;
                if let Some(unanswered) = unanswered {
                    unanswered.read(&mut tcp, deadline, transfer).await?;
                }
                tcp
            }
            None => {
                let tcp = self.framed.addresses.connect_noting(deadline, |stage| transfer.over(stage)).await?;
                transfer.local = tcp.local_addr().ok().map(|a| a.to_string());
                tcp
            }
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
        // Random bytes may be anything, including the end of a message.
        if let (Content::Random(_), Bounds::Delimiter(delimiter)) = (content, &framed.framing.bounds) {
            let first = delimiter.as_bytes()[0];
            let other = if first == b'.' { b'-' } else { b'.' };
            self.out[before..].iter_mut().filter(|b| **b == first).for_each(|b| *b = other);
        }
        let length = (self.out.len() - before) as u64;
        frame::end(&framed.framing, &mut self.out, start).map_err(|words| Failure::new(Outcome::Carry, words))?;
        Ok(length)
    }

    async fn carry(&mut self, step: usize, exchange: &mut Exchange, mut noted: Option<&mut Transfer>) -> Result<(), Failure> {
        let framed = Arc::clone(&self.framed);
        let (number, step) = (step, &framed.steps[step]);
        let deadline = TokioInstant::from_std(exchange.sent) + step.timeout;
        if number == 0 && self.stream.as_ref().is_some_and(|s| !s.is_open()) {
            self.stream = None;
        }
        if self.stream.is_none() {
            match noted.as_deref_mut() {
                Some(transfer) => self.connect(deadline, transfer).await?,
                None => Box::pin(async { self.connect(deadline, &mut Transfer::default()).await }).await?,
            }
            exchange.connect = Some(exchange.sent.elapsed());
        }
        let length = self.compose(number)?;
        let Some(stream) = &mut self.stream else { return Err(Failure::new(Outcome::Closed, "there is no connection")) };
        if step.send.is_some() {
            // The length before a message is not part of it; neither is the delimiter after it.
            let before = frame::before(&framed.framing) as u64;
            let (mut written, sent_bytes) = (0, &mut exchange.sent_bytes);
            let wrote = |bytes: usize| {
                written += bytes as u64;
                *sent_bytes = written.saturating_sub(before).min(length);
                if let Some(transfer) = noted.as_deref_mut() {
                    transfer.written_bytes += bytes as u64;
                    transfer.uploaded = *sent_bytes;
                }
            };
            stream.send_noting(&self.out, deadline, &step.name, wrote).await?;
            if let Some(transfer) = noted.as_deref_mut() {
                transfer.over(Stage::DataRequest);
            }
        }
        if step.answer {
            let (judged, values) = (&step.judged, &mut self.values);
            let label = |_: &Values| step.name.clone();
            let judge = |message: &[u8]| {
                let length = message.len() as u64;
                (
                    length,
                    judged.check(length, judged.needs_body().then_some(KeptBody::whole(message)), |_, _| None, label, values),
                )
            };
            let Some(transfer) = noted else {
                let (length, result) = stream.receive(&framed.framing, Some(deadline), &step.name, judge).await?;
                exchange.received_bytes = length;
                exchange.completed = Instant::now();
                exchange.first_byte = Some(exchange.completed);
                return result;
            };
            let mut first = None;
            let note = |read: usize, frame: &[u8]| {
                let now = Instant::now();
                transfer.read_bytes += read as u64;
                if first.is_none() {
                    transfer.over_at(Stage::DataResponse, now);
                    first = Some(now);
                }
                let (received, length) = frame::progress(&framed.framing, frame);
                transfer.body(received, length, now);
            };
            let (length, result) = stream.receive_noting(&framed.framing, Some(deadline), &step.name, note, judge).await?;
            exchange.received_bytes = length;
            exchange.completed = Instant::now();
            exchange.first_byte = Some(first.unwrap_or(exchange.completed));
            // The length of a delimited message is only known now.
            transfer.body(length, Some(length), exchange.completed);
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
        self.connect(deadline, &mut Transfer::default()).await
    }

    fn begin_pass(&mut self, pass: u64) {
        self.values.begin_pass(pass);
        if self.framed.isolates_passes() {
            self.stream = None;
        }
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let mut exchange = Exchange::begun(Instant::now());
        let mut kept = self
            .framed
            .stages
            .as_ref()
            .map(|remote| Kept::begun(remote.clone(), self.framed.steps[step].judged.length, &self.left));
        exchange.result = self.carry(step, &mut exchange, kept.as_mut().and_then(Kept::noted)).await;
        exchange.transfer = kept.and_then(Kept::ended);
        if let Some(transfer) = &exchange.transfer {
            exchange.metrics = transfer.metrics(exchange.sent, &exchange.result);
        }
        if exchange.first_byte.is_none() {
            exchange.completed = Instant::now();
        }
        // After a failure it is not known which message the next answer on the connection would belong to.
        if exchange.result.is_err() || !self.framed.keep_alive && step + 1 == self.framed.steps.len() {
            self.stream = None;
        }
        exchange
    }

    fn connects(&self) -> u64 {
        self.connects
    }

    fn left(&mut self) -> Option<Box<Transfer>> {
        self.left.take()
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
