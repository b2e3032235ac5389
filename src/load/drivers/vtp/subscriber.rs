//! The other end of an author's events: our own subscriber, which records when each arrives.
//!
//! It follows no schedule. It is connected before the load starts (the gate waits for it), answers the broker's
//! questions, and ends when everything that the author's broker accepted has arrived, or nothing has arrived for a
//! while after the author's end. From `ledger` it knows when each event was meant to be sent and when it was: arrivals
//! are recorded like requests, so that the time from author to subscriber is the response time (from the intended
//! instant) and the service time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;

use super::document::{self, Clock, Kind};
use super::ledger::{Arrival, Ledger, Sent};
use crate::account::thread_cpu_ns;
use crate::drivers::Failure;
use crate::drivers::framed::frame;
use crate::drivers::framed::stream::Stream;
use crate::drivers::tcp::{Addresses, of_io};
use crate::tally::Tally;
use crate::{Error, Job, PhaseReport, Report, Rows};
use plan::drivers::vtp::Subscriber;
use vocabulary::rows::MetricRow;
use vocabulary::rows::RequestRow;
use vocabulary::{Outcome, Phase};

/// How often it checks whether the author has ended.
const LOOK: Duration = Duration::from_millis(2);

/// The whole life of a subscriber's thread. `ledger`: what its author reports.
///
/// # Errors
/// When it cannot subscribe. A broker that goes away later is a result: missing events are lost.
pub fn run(job: &Job, subscriber: &Subscriber, ledger: Arc<Ledger>) -> Result<Report, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::Thread(e.to_string())).inspect_err(|_| job.setting.gate.arrive())?;
    runtime.block_on(async {
        let subscribing = subscribe(subscriber);
        let mut abort = job.setting.abort.clone();
        let subscribed = tokio::select! {
            biased;
            subscribed = subscribing => subscribed.map_err(Error::from),
            _ = abort.wait_for(|asked| *asked) => Err(Failure::new(Outcome::Closed, "it was given up").into()),
        };
        job.setting.gate.arrive();
        let (stream, broker) = subscribed?;
        let mut listener = Listener {
            job,
            subscriber,
            ledger,
            broker,
            clock: Clock::default(),
            out: Vec::new(),
            tally: Tally::new(job, 1, true),
            phases: Default::default(),
            duplicates: 0,
            reordered: 0,
            unexpected: 0,
            highest: None,
            last_arrival: None,
            examples: Vec::new(),
        };
        let began = Instant::now();
        let cpu_before = thread_cpu_ns();
        let aborted = tokio::select! {
            biased;
            () = listener.listen(stream) => false,
            _ = abort.wait_for(|asked| *asked) => true,
        };
        Ok(listener.report(aborted, began, cpu_before))
    })
}

/// Connects, and identifies itself. Returns the name of the broker, too.
async fn subscribe(subscriber: &Subscriber) -> Result<(Stream, String), Failure> {
    let from = &subscriber.from;
    let addresses =
        Addresses::resolve(&from.host, from.port).map_err(|e| Failure::new(Outcome::Io, vocabulary::errors::chain(&e)))?;
    let deadline = TokioInstant::now() + subscriber.timeout;
    let doing = format!("subscribing at {}:{}", from.host, from.port);
    let tcp = addresses.connect(deadline).await?;
    tcp.set_nodelay(true).map_err(|e| of_io(&e, &doing))?;
    let mut stream = Stream::new(tcp);
    let framing = document::framing();
    let asked = stream.receive(&framing, Some(deadline), &doing, |asked| match document::kind(asked) {
        Kind::Authenticate => document::origin(asked).map(str::to_owned),
        _ => None,
    });
    let broker = asked
        .await?
        .ok_or_else(|| Failure::new(Outcome::Garbage, format!("{doing}: the broker did not start with `authenticate`")))?;
    let mut out = Vec::new();
    say(&mut out, "authenticate", &broker, &subscriber.ivo, Clock::default().now());
    stream.send(&out, deadline, &doing).await?;
    Ok((stream, broker))
}

/// Makes a frame with a document of the transport.
fn say(out: &mut Vec<u8>, role: &str, origin: &str, response: &str, time: &str) {
    let framing = document::framing();
    let start = frame::begin(&framing, out);
    document::transport(out, role, origin, response, time);
    frame::end(&framing, out, start).expect("a document of the transport is short");
}

struct Listener<'a> {
    job: &'a Job,
    subscriber: &'a Subscriber,
    ledger: Arc<Ledger>,
    broker: String,
    clock: Clock,
    out: Vec<u8>,
    tally: Tally,
    phases: [Option<PhaseReport>; Phase::ALL.len()],
    duplicates: u64,
    reordered: u64,
    unexpected: u64,
    /// The highest pass whose event has arrived.
    highest: Option<u64>,
    last_arrival: Option<Instant>,
    examples: Vec<String>,
}

/// The kind of a message.
enum Message {
    Event(Option<String>),
    Asks(&'static str),
    Nothing,
}

impl Listener<'_> {
    /// Receives events until all have arrived, or the rest is lost.
    async fn listen(&mut self, mut stream: Stream) {
        let framing = document::framing();
        let ended = loop {
            // While nothing arrives, it checks whether the author has ended; an incomplete message is kept.
            let mut receiving =
                Box::pin(stream.receive(&framing, None, "waiting for events", |message| match document::kind(message) {
                    Kind::Other => Message::Event(document::ivorn(message).map(str::to_owned)),
                    Kind::IAmAlive => Message::Asks("iamalive"),
                    Kind::Authenticate => Message::Asks("authenticate"),
                    _ => Message::Nothing,
                }));
            let received = loop {
                tokio::select! {
                    biased;
                    received = &mut receiving => break Some(received),
                    () = tokio::time::sleep(LOOK) => if self.is_over() { break None },
                }
            };
            drop(receiving);
            let Some(received) = received else { break None };
            let at = Instant::now();
            self.out.clear();
            match received {
                Ok(Message::Event(ivorn)) => {
                    let ivorn = ivorn.unwrap_or_default();
                    self.arrives(&ivorn, at);
                    say(&mut self.out, "ack", &ivorn, &self.subscriber.ivo, self.clock.now());
                }
                Ok(Message::Asks(role)) => say(&mut self.out, role, &self.broker, &self.subscriber.ivo, self.clock.now()),
                Ok(Message::Nothing) => continue,
                Err(failure) => break Some(failure),
            }
            let deadline = TokioInstant::now() + self.subscriber.timeout;
            if let Err(failure) = stream.send(&self.out, deadline, "answering the broker").await {
                break Some(failure);
            }
            if self.ledger.has_ended() && self.is_over() {
                break None;
            }
        };
        if let Some(failure) = ended {
            self.examples.push(format!("{}: {}", failure.outcome.name(&[]), failure.words));
            // Events sent from now on are lost; how many is known when the author has ended.
            while !self.ledger.has_ended() {
                tokio::time::sleep(LOOK).await;
            }
        }
        self.count_lost();
    }

    /// Whether nothing more has to be waited for.
    fn is_over(&mut self) -> bool {
        if !self.ledger.has_ended() {
            return false;
        }
        let since = *self.last_arrival.get_or_insert_with(Instant::now);
        self.ledger.is_complete() || since.elapsed() >= self.subscriber.wait
    }

    fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.job.setting.epoch).as_nanos() as u64
    }

    fn arrives(&mut self, ivorn: &str, at: Instant) {
        self.last_arrival = Some(at);
        let Some(pass) = self.ledger.identity.pass(ivorn) else {
            self.unexpected += 1;
            return;
        };
        match self.ledger.arrives(pass) {
            Arrival::First(sent) => {
                // As RFC 4737 defines it: an event is reordered if a later one has already arrived.
                self.reordered += u64::from(self.highest.is_some_and(|highest| pass < highest));
                self.highest = self.highest.max(Some(pass));
                self.record(sent, self.ns(at), Outcome::Ok);
            }
            Arrival::Again => self.duplicates += 1,
            Arrival::Unknown => self.unexpected += 1,
        }
    }

    fn record(&mut self, sent: Sent, at_ns: u64, outcome: Outcome) {
        let ended = RequestRow {
            step: Some(0),
            phase: sent.phase,
            // It has no phases of its own: what its author sent in a phase belongs to that phase.
            completed_in: sent.phase,
            outcome,
            intended_ns: sent.intended_ns,
            sent_ns: sent.sent_ns,
            completed_ns: at_ns,
            connect_ns: None,
            first_byte_ns: None,
            sent_bytes: 0,
            received_bytes: 0,
            key: None,
        };
        let phase = self.phases[sent.phase as usize].get_or_insert(PhaseReport::empty(sent.phase));
        phase.start_ns = phase.start_ns.min(sent.sent_ns);
        // Nothing was requested: it has no schedule.
        phase.passes += 1;
        match outcome {
            Outcome::Ok => {
                phase.end_ns = phase.end_ns.max(at_ns);
                phase.completed += 1;
            }
            _ => phase.errors += 1,
        }
        self.tally.record(&ended);
    }

    fn count_lost(&mut self) {
        let missing = self.ledger.missing();
        let at_ns = self.ns(Instant::now());
        for (_, sent) in &missing {
            self.record(*sent, at_ns, Outcome::Lost);
        }
        // A phase of which nothing has arrived ends here.
        for phase in self.phases.iter_mut().flatten().filter(|p| p.end_ns == 0) {
            phase.end_ns = at_ns;
        }
        if let Some((pass, _)) = missing.first() {
            let first = self.ledger.identity.of(*pass);
            let words = format!("{} events that the broker accepted did not arrive, `{first}` was the first", missing.len());
            self.examples.push(format!("{}: {words}", Outcome::Lost.name(&[])));
        }
        let counts = [missing.len() as u64, self.duplicates, self.reordered, self.unexpected];
        for (metric, value) in counts.into_iter().enumerate() {
            let (workload, metric) = (self.job.index, metric as u16);
            self.tally.send(Rows::Metric(MetricRow {
                at_ns,
                workload,
                metric,
                phase: Phase::During,
                pass: 0,
                value: value as f64,
            }));
        }
    }

    fn report(mut self, aborted: bool, began: Instant, cpu_before: u64) -> Report {
        self.tally.flush();
        Report {
            phases: self.phases.into_iter().flatten().collect(),
            totals: self.tally.totals(),
            generator_cpu_ns: thread_cpu_ns().saturating_sub(cpu_before),
            generator_wall_ns: began.elapsed().as_nanos() as u64,
            connects: 1,
            dropped_windows: self.tally.dropped(),
            examples: self.examples,
            aborted,
            ..Report::empty()
        }
    }
}
