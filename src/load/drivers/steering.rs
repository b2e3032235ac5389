//! Commands to Tor before passes: commands from time to time, and circuits over relays that the scenario names.
//!
//! A separate connection sends commands: on a connection that does both, events arrive 40 ms late. With a path another
//! connection listens to streams, on its own thread, and attaches each of our streams to its circuit; all others it
//! leaves to Tor. A pass over a path counts only if Tor itself says that its streams used that circuit.
//!
//! There is one Tor, however many workloads, checked passes and repetitions speak to it: what a control port was told
//! is remembered here for as long as a run lasts ([`forget`] starts the next one), whoever told it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::Failure;
use crate::control::{Control, blocking};
use extract::tor::Event;
use plan::Template;
use plan::socks::Steering;
use vocabulary::Outcome;

/// How long a command may take, and building a circuit.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the listening thread checks whether it is still needed.
const LOOK: Duration = Duration::from_millis(200);
/// How long Tor may take to say which circuit an answered stream used.
const CONFIRMED: Duration = Duration::from_secs(5);
/// How often a stream is attached to its circuit before it is abandoned. Tor makes as many attempts.
const ATTEMPTS: u32 = 3;
/// How many circuits of others are remembered.
const MOST_CIRCUITS: usize = 4096;
/// How many control ports, and commands of each, are remembered.
const MOST_REMEMBERED: usize = 1024;

/// A circuit of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circuit {
    /// The connection to Tor that it belongs to: numbers start again with each Tor.
    of: u64,
    number: u64,
}

/// Sends commands to Tor.
pub struct Controller {
    port: Arc<Port>,
    cookie: Option<PathBuf>,
    /// Commands, and the time after which they are due again.
    commands: Vec<(Vec<String>, Option<Duration>)>,
    path: Vec<String>,
}

/// A control port, for all that speak to it.
struct Port {
    address: String,
    /// Held while commands are sent. The other locks are held for a moment only: senders of requests may look at them.
    connection: Mutex<Option<Control>>,
    /// When commands were sent last, if that matters.
    at: Mutex<BTreeMap<Vec<String>, Instant>>,
    /// The listener, if anybody has a path.
    streams: Mutex<Option<Arc<Streams>>>,
    /// How many speak to it, and how many of these have a path.
    users: AtomicUsize,
    steering: AtomicUsize,
}

/// The control ports of a run, by their address.
static PORTS: Mutex<BTreeMap<String, Arc<Port>>> = Mutex::new(BTreeMap::new());

/// Another run starts: what control ports were told before no longer matters.
pub fn forget() {
    lock(&PORTS).clear();
}

/// Locks data that is consistent after every change, so that no panic has left it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Port {
    fn of(address: &str) -> Arc<Self> {
        let mut ports = lock(&PORTS);
        if ports.len() >= MOST_REMEMBERED {
            // Addresses may contain a scratch directory, which differs in each repetition.
            ports.retain(|_, port| Arc::strong_count(port) > 1);
        }
        let new = || Self {
            address: address.to_owned(),
            connection: Mutex::default(),
            at: Mutex::default(),
            streams: Mutex::default(),
            users: AtomicUsize::new(0),
            steering: AtomicUsize::new(0),
        };
        Arc::clone(ports.entry(address.to_owned()).or_insert_with(|| Arc::new(new())))
    }
}

/// Circuits and streams of one connection to Tor, as far as they are ours.
struct Streams {
    number: u64,
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Default)]
struct Known {
    /// Circuits by their number: whether they are built, or why they never will be.
    circuits: BTreeMap<u64, Result<(), String>>,
    /// By source port, the circuit of a stream that Tor has not seen yet.
    ports: BTreeMap<u16, u64>,
    /// Streams of ours by their number.
    ours: BTreeMap<u64, Ours>,
    /// What happened to the streams of our circuits.
    carried: BTreeMap<u64, Carried>,
    /// Why nobody listens any more.
    ended: Option<String>,
}

/// A stream of ours.
#[derive(Clone, Copy)]
struct Ours {
    circuit: u64,
    /// How often it was attached.
    attached: u32,
    /// Whether Tor has said that it used its circuit.
    succeeded: bool,
}

/// What happened to the streams of a circuit.
#[derive(Default)]
struct Carried {
    expected: u32,
    succeeded: u32,
    /// Why one of them did not use it: the first reason.
    lost: Option<String>,
}

impl Known {
    /// A stream of a circuit does not use it.
    fn lose(&mut self, circuit: u64, words: impl FnOnce() -> String) {
        if let Some(carried) = self.carried.get_mut(&circuit) {
            carried.lost.get_or_insert_with(words);
        }
    }

    /// Whether all streams of a circuit used it; `None` as long as that is unknown.
    fn verdict(&self, circuit: u64) -> Option<Result<(), String>> {
        let Some(carried) = self.carried.get(&circuit) else { return Some(Err("its circuit is no longer known".to_owned())) };
        match (&carried.lost, &self.ended) {
            (Some(words), _) => Some(Err(words.clone())),
            _ if carried.succeeded >= carried.expected => Some(Ok(())),
            (None, Some(words)) => Some(Err(words.clone())),
            (None, None) => None,
        }
    }

    /// What is known about a circuit is not needed any more.
    fn forget(&mut self, circuit: u64) {
        self.circuits.remove(&circuit);
        self.carried.remove(&circuit);
        self.ports.retain(|_, of| *of != circuit);
        self.ours.retain(|_, ours| ours.circuit != circuit);
    }

    fn built(&mut self, circuit: u64, how: Result<(), String>) {
        self.circuits.insert(circuit, how);
        // Nobody says when others' circuits are not needed any more. Ours are the newest.
        while self.circuits.len() > MOST_CIRCUITS {
            let oldest = self.circuits.keys().copied().find(|number| !self.carried.contains_key(number));
            let Some(oldest) = oldest else { return };
            self.circuits.remove(&oldest);
        }
    }
}

impl Streams {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self { number: NUMBER.fetch_add(1, Ordering::Relaxed), known: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits until `look` finds something, for at most this time.
    fn wait<T>(&self, patience: Duration, look: impl Fn(&Known) -> Option<T>) -> Option<T> {
        let until = Instant::now() + patience;
        let mut known = lock(&self.known);
        loop {
            let found = look(&known);
            let left = until.saturating_duration_since(Instant::now());
            if found.is_some() || left.is_zero() {
                return found;
            }
            known = self.changed.wait_timeout(known, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Controller {
    /// Prepares the commands; does not connect yet.
    pub fn new(steering: &Steering) -> Self {
        let texts = |templates: &[Template]| templates.iter().map(Template::to_text).collect::<Vec<String>>();
        let port = Port::of(&steering.port.address.to_text());
        port.users.fetch_add(1, Ordering::Relaxed);
        if !steering.path.is_empty() {
            port.steering.fetch_add(1, Ordering::Relaxed);
        }
        Self {
            port,
            cookie: steering.port.cookie.as_ref().map(|cookie| PathBuf::from(cookie.to_text())),
            commands: steering.before_pass.iter().map(|c| (texts(&c.send), c.each)).collect(),
            path: texts(&steering.path),
        }
    }

    /// Whether there is a circuit for each pass.
    pub fn has_path(&self) -> bool {
        !self.path.is_empty()
    }

    /// Sends Tor the commands that are due, and has a circuit built if there is a path. `last`: the circuit that is not
    /// needed any more.
    ///
    /// # Errors
    /// [`Outcome::Proxy`], in words.
    pub async fn prepare(self: &Arc<Self>, last: Option<Circuit>) -> Result<Option<Circuit>, Failure> {
        if !self.is_due() {
            return Ok(None);
        }
        let controller = Arc::clone(self);
        blocking(move || controller.tell(last)).await.map_err(|words| Failure::new(Outcome::Proxy, words))
    }

    fn is_due(&self) -> bool {
        self.has_path() || {
            let at = lock(&self.port.at);
            self.commands.iter().any(|(send, each)| due(*each, at.get(send)))
        }
    }

    fn tell(&self, last: Option<Circuit>) -> Result<Option<Circuit>, String> {
        let mut connection = lock(&self.port.connection);
        let said = self.say(&mut connection, last);
        if connection.as_ref().is_none_or(Control::is_broken) {
            // Tor may have ended, and been started again.
            self.disconnect(&mut connection);
        }
        drop(connection);
        let Some((streams, number)) = said? else { return Ok(None) };
        self.wait_for(&streams, number).map(|()| Some(Circuit { of: streams.number, number }))
    }

    fn disconnect(&self, connection: &mut Option<Control>) {
        *connection = None;
        *lock(&self.port.streams) = None;
    }

    /// Sends what is due. Returns the number of a new circuit, and its listener.
    fn say(&self, connection: &mut Option<Control>, last: Option<Circuit>) -> Result<Option<(Arc<Streams>, u64)>, String> {
        let port = &*self.port;
        let listening = lock(&port.streams).clone();
        if listening.is_some_and(|streams| lock(&streams.known).ended.is_some()) {
            self.disconnect(connection);
        }
        let control = match connection {
            Some(control) => control,
            None => connection.insert(Control::connect(&port.address, self.cookie.as_deref(), TIMEOUT)?),
        };
        let streams = self.has_path().then(|| self.listening_by(control)).transpose()?;
        for (send, each) in &self.commands {
            // Another sender may have just sent them.
            let is_due = due(*each, lock(&port.at).get(send));
            if !is_due {
                continue;
            }
            for command in send {
                control.ask(command)?;
            }
            if each.is_some() {
                let mut at = lock(&port.at);
                if at.len() >= MOST_REMEMBERED {
                    at.clear();
                }
                at.insert(send.clone(), Instant::now());
            }
        }
        let Some(streams) = streams else { return Ok(None) };
        if let Some(last) = last.filter(|last| last.of == streams.number) {
            // A circuit that is gone already need not be closed.
            let _ = control.ask(&format!("CLOSECIRCUIT {} IfUnused", last.number));
            lock(&streams.known).forget(last.number);
        }
        let answer = control.ask(&format!("EXTENDCIRCUIT 0 {}", self.path.join(",")))?;
        let number = answer.iter().find_map(|line| line.strip_prefix("EXTENDED ")?.trim().parse::<u64>().ok());
        let number =
            number.ok_or_else(|| format!("{} did not say which circuit it extends: {}", port.address, answer.join(" / ")))?;
        lock(&streams.known).carried.insert(number, Carried::default());
        Ok(Some((streams, number)))
    }

    /// The listener to circuits and streams; starts it if there was none.
    fn listening_by(&self, control: &mut Control) -> Result<Arc<Streams>, String> {
        if let Some(streams) = &*lock(&self.port.streams) {
            return Ok(Arc::clone(streams));
        }
        let streams = Arc::new(Streams::new());
        self.listen(&streams)?;
        control.ask("SETCONF __LeaveStreamsUnattached=1")?;
        *lock(&self.port.streams) = Some(Arc::clone(&streams));
        Ok(streams)
    }

    /// Starts to listen to circuits and streams.
    fn listen(&self, streams: &Arc<Streams>) -> Result<(), String> {
        let connect = || Control::connect(&self.port.address, self.cookie.as_deref(), TIMEOUT);
        let mut events = connect()?;
        events.ask("SETEVENTS CIRC STREAM")?;
        let attacher = connect()?;
        let listening = Arc::downgrade(streams);
        let thread = std::thread::Builder::new().name("streams".to_owned());
        let spawned = thread.spawn(move || attach(events, attacher, &listening));
        spawned.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// Waits until a circuit is built.
    fn wait_for(&self, streams: &Streams, number: u64) -> Result<(), String> {
        let built = streams.wait(TIMEOUT, |known| match (known.circuits.get(&number), &known.ended) {
            (Some(how), _) => Some(how.clone()),
            (None, Some(reason)) => Some(Err(reason.clone())),
            (None, None) => None,
        });
        let built = built.unwrap_or_else(|| Err(format!("Tor reported nothing about it within {TIMEOUT:?}")));
        built.map_err(|reason| {
            lock(&streams.known).forget(number);
            format!("the circuit over {} was not built: {reason}", self.path.join(", "))
        })
    }

    /// The listener of this circuit, unless Tor was reconnected to since it was made.
    fn listening(&self, circuit: Circuit) -> Option<Arc<Streams>> {
        lock(&self.port.streams).clone().filter(|streams| streams.number == circuit.of)
    }

    /// The next stream from this port uses this circuit.
    pub fn expect(&self, port: u16, circuit: Circuit) {
        if let Some(streams) = self.listening(circuit) {
            let mut known = lock(&streams.known);
            known.ports.insert(port, circuit.number);
            if let Some(carried) = known.carried.get_mut(&circuit.number) {
                carried.expected += 1;
            }
        }
    }

    /// The result of an exchange over a circuit: an answered one has still failed if Tor does not say that its stream
    /// used that circuit, and one that the proxy ended says why.
    ///
    /// # Errors
    /// The failure, with [`Outcome::Proxy`] if the circuit is the cause.
    pub async fn judge(&self, circuit: Circuit, result: Result<(), Failure>) -> Result<(), Failure> {
        let lost = |words: &str| {
            let over = self.path.join(", ");
            Failure::new(Outcome::Proxy, format!("the pass did not go over its circuit ({over}): {words}"))
        };
        let Some(streams) = self.listening(circuit) else {
            return result.and(Err(lost("Tor has closed its control connection, or has been restarted")));
        };
        let verdict = lock(&streams.known).verdict(circuit.number);
        match (result, verdict) {
            (Ok(()), Some(verdict)) => verdict.map_err(|words| lost(&words)),
            (Ok(()), None) => {
                let waiting = move || streams.wait(CONFIRMED, |known| known.verdict(circuit.number));
                let silent = || Err(format!("Tor did not say within {CONFIRMED:?} over which circuit it went"));
                blocking(waiting).await.unwrap_or_else(silent).map_err(|words| lost(&words))
            }
            (Err(failure), Some(Err(words))) if is_of_proxy(failure.outcome) => {
                Err(Failure::new(Outcome::Proxy, format!("{}: {words}", failure.words)))
            }
            (Err(failure), _) => Err(failure),
        }
    }
}

impl Drop for Controller {
    /// Once nobody has a path any more, Tor chooses circuits itself again; once nobody is left, the connection is
    /// closed.
    fn drop(&mut self) {
        let mut connection = lock(&self.port.connection);
        let is_last = |count: &AtomicUsize| count.fetch_sub(1, Ordering::Relaxed) == 1;
        if self.has_path()
            && is_last(&self.port.steering)
            && lock(&self.port.streams).take().is_some()
            && let Some(control) = connection.as_mut().filter(|control| !control.is_broken())
        {
            let _ = control.ask("RESETCONF __LeaveStreamsUnattached");
        }
        if is_last(&self.port.users) {
            *connection = None;
        }
    }
}

/// Whether an end of this kind may be caused by the proxy.
fn is_of_proxy(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Proxy | Outcome::Closed | Outcome::Reset | Outcome::Incomplete)
}

/// Whether commands are due again.
fn due(each: Option<Duration>, at: Option<&Instant>) -> bool {
    match (each, at) {
        (Some(each), Some(at)) => at.elapsed() >= each,
        _ => true,
    }
}

/// Listens until nobody needs it any more, or Tor ends.
fn attach(mut events: Control, mut attacher: Control, streams: &Weak<Streams>) {
    loop {
        let told = events.told(LOOK);
        let Some(streams) = streams.upgrade() else { return };
        let told = match told {
            Ok(Some(line)) => Event::of_line(&line).map_or(Ok(()), |event| take(&event, &mut attacher, &streams)),
            Ok(None) => continue,
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &told {
            lock(&streams.known).ended = Some(format!("Tor has closed its control connection: {error}"));
        }
        streams.changed.notify_all();
        if told.is_err() {
            return;
        }
    }
}

/// Does what an event requires.
///
/// # Errors
/// When Tor cannot be reached any more.
fn take(event: &Event, attacher: &mut Control, streams: &Streams) -> Result<(), String> {
    let Some(id) = event.id() else { return Ok(()) };
    match (event.kind.as_str(), event.status()) {
        ("CIRC", Some("BUILT")) => lock(&streams.known).built(id, Ok(())),
        ("CIRC", Some("FAILED" | "CLOSED")) => lock(&streams.known).built(id, Err(reason(event))),
        ("STREAM", Some("NEW")) => {
            let port = event.get("SOURCE_ADDR").and_then(|source| source.rsplit_once(':')?.1.parse::<u16>().ok());
            let circuit = port.and_then(|port| lock(&streams.known).ports.remove(&port));
            match circuit {
                Some(circuit) => {
                    let ours = Ours { circuit, attached: 0, succeeded: false };
                    lock(&streams.known).ours.insert(id, ours);
                    attach_ours(id, attacher, streams)?;
                }
                None => leave(id, attacher)?,
            }
        }
        ("STREAM", Some("DETACHED")) => {
            let (ours, is_built) = {
                let known = lock(&streams.known);
                let ours = known.ours.get(&id).copied();
                (ours, ours.is_some_and(|ours| known.circuits.get(&ours.circuit) == Some(&Ok(()))))
            };
            match ours {
                None => leave(id, attacher)?,
                Some(ours) if ours.attached < ATTEMPTS && is_built => attach_ours(id, attacher, streams)?,
                Some(ours) => {
                    let times = ours.attached;
                    give_up(id, attacher, streams, || {
                        format!("Tor detached it from its circuit {times} times: {}", reason(event))
                    })?;
                }
            }
        }
        ("STREAM", Some(status)) => {
            let Some(ours) = lock(&streams.known).ours.get(&id).copied() else { return Ok(()) };
            let is_over = matches!(status, "FAILED" | "CLOSED");
            match event.circuit() {
                Some(other) if other != ours.circuit => {
                    give_up(id, attacher, streams, || format!("Tor sent it over its circuit {other} instead"))?;
                }
                Some(_) if status == "SUCCEEDED" && !ours.succeeded => {
                    let mut known = lock(&streams.known);
                    known.ours.insert(id, Ours { succeeded: true, ..ours });
                    if let Some(carried) = known.carried.get_mut(&ours.circuit) {
                        carried.succeeded += 1;
                    }
                }
                _ if is_over && !ours.succeeded => {
                    lock(&streams.known).lose(ours.circuit, || format!("Tor ended it: {}", reason(event)));
                }
                _ => {}
            }
            if is_over {
                lock(&streams.known).ours.remove(&id);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Why Tor ended something.
fn reason(event: &Event) -> String {
    event.get("REMOTE_REASON").or(event.get("REASON")).unwrap_or("no reason given").to_owned()
}

/// Lets Tor choose the circuit of somebody else's stream.
fn leave(id: u64, attacher: &mut Control) -> Result<(), String> {
    // A stream that has ended meanwhile does not exist any more; Tor attaches those to directories itself.
    attacher.request(&format!("ATTACHSTREAM {id} 0")).map(drop)
}

/// Attaches a stream to its circuit, again if it was detached; ends it if Tor refuses that.
fn attach_ours(id: u64, attacher: &mut Control, streams: &Streams) -> Result<(), String> {
    let circuit = match lock(&streams.known).ours.get_mut(&id) {
        Some(ours) => {
            ours.attached += 1;
            ours.circuit
        }
        None => return Ok(()),
    };
    match attacher.request(&format!("ATTACHSTREAM {id} {circuit}"))? {
        Ok(_) => Ok(()),
        Err(words) => give_up(id, attacher, streams, || words),
    }
}

/// Ends a stream that does not use its circuit, so that nothing is measured over another one.
fn give_up(id: u64, attacher: &mut Control, streams: &Streams, words: impl FnOnce() -> String) -> Result<(), String> {
    {
        let mut known = lock(&streams.known);
        let Some(ours) = known.ours.remove(&id) else { return Ok(()) };
        // Recorded before Tor ends it, so that a waiting pass can say why.
        known.lose(ours.circuit, words);
    }
    streams.changed.notify_all();
    // 1 is REASON_MISC. A stream that has ended already need not be closed.
    attacher.request(&format!("CLOSESTREAM {id} 1")).map(drop)
}
