//! What Tor is told before passes: commands from time to time, and circuits over relays that the scenario names.
//!
//! A connection of its own sends commands: on one that does both, events come 40 ms late. With a path another one listens to streams, on
//! a thread of its own, and attaches each that is ours to its circuit; all others it leaves to Tor.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Failure;
use crate::control::Control;
use plan::Template;
use plan::socks::Steering;
use vocabulary::Outcome;

/// How long a command may take, and a circuit until it is built.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the thread that listens looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// A circuit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circuit(u64);

/// Tells Tor what is to be told.
pub struct Controller {
    address: String,
    cookie: Option<PathBuf>,
    /// Commands, and after how long they are due again.
    commands: Vec<(Vec<String>, Option<Duration>)>,
    path: Vec<String>,
    told: Mutex<Told>,
    streams: Option<Arc<Streams>>,
}

/// What was told so far.
struct Told {
    connection: Option<Control>,
    /// When each of the commands was sent last.
    at: Vec<Option<Instant>>,
}

/// Circuits and streams, as far as they are ours.
#[derive(Default)]
struct Streams {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    /// Circuits by their number: whether they are built, or why they never will be.
    circuits: BTreeMap<u64, Result<(), String>>,
    /// By the port from which it comes, the circuit of a stream.
    ports: BTreeMap<u16, u64>,
    /// Why nobody listens any more.
    ended: Option<String>,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change is complete before anything could panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Makes ready what is told; nothing is connected yet.
    pub fn new(steering: &Steering) -> Self {
        let texts = |templates: &[Template]| templates.iter().map(Template::to_text).collect::<Vec<String>>();
        Self {
            address: steering.port.address.to_text(),
            cookie: steering.port.cookie.as_ref().map(|cookie| PathBuf::from(cookie.to_text())),
            commands: steering.before_pass.iter().map(|c| (texts(&c.send), c.each)).collect(),
            path: texts(&steering.path),
            told: Mutex::new(Told { connection: None, at: vec![None; steering.before_pass.len()] }),
            streams: (!steering.path.is_empty()).then(Arc::default),
        }
    }

    /// Whether there is a circuit for each pass.
    pub fn has_path(&self) -> bool {
        self.streams.is_some()
    }

    /// Tells Tor what is due, and has a circuit made where there is a path. `last`: the circuit that is not needed any more.
    ///
    /// # Errors
    /// [`Outcome::Proxy`], in words.
    pub async fn prepare(self: &Arc<Self>, last: Option<Circuit>) -> Result<Option<Circuit>, Failure> {
        if !self.is_due() {
            return Ok(None);
        }
        let controller = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || controller.tell(last)).await;
        let prepared = prepared.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        prepared.map_err(|words| Failure::new(Outcome::Proxy, words))
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self) -> bool {
        let told = self.lock();
        self.streams.is_some() || self.commands.iter().zip(&told.at).any(|((_, each), at)| due(*each, *at))
    }

    fn tell(&self, last: Option<Circuit>) -> Result<Option<Circuit>, String> {
        let mut told = self.lock();
        let said = self.say(&mut told, last);
        if said.is_err() {
            // Tor may have ended, and have been started again.
            told.connection = None;
        }
        drop(told);
        let Some(number) = said? else { return Ok(None) };
        self.wait_for(number).map(|()| Some(Circuit(number)))
    }

    /// Sends what is due. Returns the number of a new circuit.
    fn say(&self, told: &mut Told, last: Option<Circuit>) -> Result<Option<u64>, String> {
        let Told { connection, at } = told;
        let control = match connection {
            Some(control) => control,
            None => {
                let mut control = Control::connect(&self.address, self.cookie.as_deref(), TIMEOUT)?;
                if let Some(streams) = &self.streams {
                    self.listen(streams)?;
                    control.ask("SETCONF __LeaveStreamsUnattached=1")?;
                }
                connection.insert(control)
            }
        };
        for ((commands, each), at) in self.commands.iter().zip(at) {
            if due(*each, *at) {
                for command in commands {
                    control.ask(command)?;
                }
                *at = Some(Instant::now());
            }
        }
        let Some(streams) = &self.streams else { return Ok(None) };
        if let Some(Circuit(last)) = last {
            // One that is gone already need not be closed.
            let _ = control.ask(&format!("CLOSECIRCUIT {last} IfUnused"));
            streams.lock().circuits.remove(&last);
        }
        let answer = control.ask(&format!("EXTENDCIRCUIT 0 {}", self.path.join(",")))?;
        let number = answer.iter().find_map(|line| line.strip_prefix("EXTENDED ")?.trim().parse().ok());
        number.map(Some).ok_or_else(|| format!("{} did not say which circuit it extends: {}", self.address, answer.join(" / ")))
    }

    /// Starts to listen to circuits and streams.
    fn listen(&self, streams: &Arc<Streams>) -> Result<(), String> {
        let mut events = Control::connect(&self.address, self.cookie.as_deref(), TIMEOUT)?;
        events.ask("SETEVENTS CIRC STREAM")?;
        let attacher = Control::connect(&self.address, self.cookie.as_deref(), TIMEOUT)?;
        *streams.lock() = Known::default();
        let listening = Arc::downgrade(streams);
        let thread = std::thread::Builder::new().name("streams".to_owned());
        let spawned = thread.spawn(move || attach(events, attacher, &listening));
        spawned.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// Waits until a circuit is built.
    fn wait_for(&self, number: u64) -> Result<(), String> {
        let Some(streams) = &self.streams else { return Ok(()) };
        let failed = |reason: &str| Err(format!("the circuit over {} was not built: {reason}", self.path.join(", ")));
        let until = Instant::now() + TIMEOUT;
        let mut known = streams.lock();
        loop {
            match (known.circuits.get(&number), &known.ended) {
                (Some(Ok(())), _) => return Ok(()),
                (Some(Err(reason)), _) | (None, Some(reason)) => return failed(reason),
                (None, None) => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return failed(&format!("nothing was told of it within {TIMEOUT:?}"));
            }
            known = streams.changed.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next stream from this port goes over this circuit.
    pub fn expect(&self, port: u16, circuit: Circuit) {
        if let Some(streams) = &self.streams {
            streams.lock().ports.insert(port, circuit.0);
        }
    }
}

impl Drop for Controller {
    /// Tor chooses again by itself.
    fn drop(&mut self) {
        let connection = self.lock().connection.take();
        if let (Some(_), Some(mut control)) = (&self.streams, connection) {
            let _ = control.ask("RESETCONF __LeaveStreamsUnattached");
        }
    }
}

/// Whether commands are due again.
fn due(each: Option<Duration>, at: Option<Instant>) -> bool {
    match (each, at) {
        (Some(each), Some(at)) => at.elapsed() >= each,
        _ => true,
    }
}

/// Listens until nobody wants it any more, or Tor ends.
fn attach(mut events: Control, mut attacher: Control, streams: &Weak<Streams>) {
    loop {
        let told = events.told(LOOK);
        let Some(streams) = streams.upgrade() else { return };
        let line = match told {
            Ok(Some(line)) => line,
            Ok(None) => continue,
            Err(error) => {
                streams.lock().ended = Some(format!("Tor has closed its control connection: {error}"));
                streams.changed.notify_all();
                return;
            }
        };
        let Some(event) = extract::tor::Event::of_line(&line) else { continue };
        let Some(id) = event.id() else { continue };
        match (event.kind.as_str(), event.status()) {
            ("CIRC", Some("BUILT")) => drop(streams.lock().circuits.insert(id, Ok(()))),
            ("CIRC", Some("FAILED" | "CLOSED")) => {
                let reason = event.get("REMOTE_REASON").or(event.get("REASON")).unwrap_or("no reason is told");
                streams.lock().circuits.insert(id, Err(reason.to_owned()));
            }
            ("STREAM", Some("NEW" | "DETACHED")) => {
                let port = event.get("SOURCE_ADDR").and_then(|source| source.rsplit_once(':')?.1.parse::<u16>().ok());
                let circuit = port.and_then(|port| streams.lock().ports.remove(&port)).unwrap_or(0);
                // A stream that has ended meanwhile is not there any more.
                let _ = attacher.ask(&format!("ATTACHSTREAM {id} {circuit}"));
            }
            _ => continue,
        }
        streams.changed.notify_all();
    }
}
