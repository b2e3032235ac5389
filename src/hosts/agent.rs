//! The controller's end of the channel to one agent: its process, and three threads at its streams.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc as later;

use super::clock::{Clock, Exchange, Offset};
use super::files::{self, File, Incoming};
use super::frame::{self, Frame, Outgoing};
use super::message::{FileHead, PROTOCOL, ToAgent, ToController};
use super::{Error, LEASE, WORD};

/// How many frames may wait to be written.
const WAITING: usize = 64;
/// How many exchanges of time stamps a comparison of clocks has.
pub const EXCHANGES: usize = 8;
/// So many lines of its error output are kept.
const LINES: usize = 20;

/// How an agent is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The name of its machine, for messages and results.
    pub name: String,
    /// How long its first word is waited for.
    pub patience: Duration,
}

/// What an agent has said, or what became of it.
#[derive(Debug)]
pub enum Event {
    /// A message.
    Said(ToController),
    /// Another exchange of time stamps is complete.
    Compared,
    /// The channel has ended.
    Gone(String),
}

/// One agent, as the controller sees it.
#[derive(Debug)]
pub struct Agent {
    /// By which events are known.
    pub number: u64,
    child: Child,
    out: SyncSender<Outgoing>,
    shared: Arc<Shared>,
    events: Events,
}

/// Where events go, each with the number of its agent.
pub type Events = later::UnboundedSender<(u64, Event)>;

#[derive(Debug)]
struct Shared {
    exchanges: Mutex<Vec<Exchange>>,
    /// Where files of a repetition go.
    inbox: Mutex<Option<PathBuf>>,
    errors: Mutex<VecDeque<String>>,
    begun: Instant,
    /// How long the first word is waited for.
    patience: Duration,
    /// When the agent last said something; none while it is being logged in to.
    heard: Mutex<Option<Instant>>,
    is_told: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// Starts an agent. What it says arrives at `events`, with `number`, which no other agent has had.
    ///
    /// # Errors
    /// [`Error::Start`].
    pub fn start(launch: &Launch, number: u64, events: &Events) -> Result<Self, Error> {
        let command = || launch.argv.join(" ");
        let mut child = Command::new(&launch.argv[0])
            .args(&launch.argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the controller, which then decides.
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start { command: command(), source })?;
        let (Some(to), Some(from), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err(Error::Gone(format!("{} has no streams", launch.name)));
        };
        let (out, outgoing) = mpsc::sync_channel(WAITING);
        let shared = Arc::new(Shared::new(launch.patience));
        let clock = Clock::default();
        let (of_errors, to_errors) = (Arc::clone(&shared), events.clone());
        let listening = std::thread::spawn(move || {
            for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
                let words = String::from_utf8_lossy(&line).trim_end().to_owned();
                // Once the agent speaks, what is written there is a word for the user.
                if locked(&of_errors.heard).is_some() {
                    let _ = to_errors.send((number, Event::Said(ToController::Tell { words })));
                    continue;
                }
                let mut lines = locked(&of_errors.errors);
                lines.push_back(words);
                while lines.len() > LINES {
                    lines.pop_front();
                }
            }
        });
        let (of_reader, to_reader) = (Arc::clone(&shared), events.clone());
        std::thread::spawn(move || {
            let why = read(&mut BufReader::new(from), &of_reader, clock, number, &to_reader);
            // Its last words say why.
            let begun = Instant::now();
            while !listening.is_finished() && begun.elapsed() < WORD {
                std::thread::sleep(Duration::from_millis(5));
            }
            of_reader.gone(number, why, &to_reader);
        });
        let (of_writer, to_writer) = (Arc::clone(&shared), events.clone());
        std::thread::spawn(move || {
            if let Some(why) = write(&mut BufWriter::new(to), clock, &outgoing) {
                // The reader knows better what it was.
                std::thread::sleep(WORD);
                of_writer.gone(number, why, &to_writer);
            }
        });
        // What blocks the other threads does not block this one.
        let (of_lease, to_lease) = (Arc::downgrade(&shared), events.clone());
        std::thread::spawn(move || {
            while let Some(shared) = of_lease.upgrade().filter(|shared| !shared.is_told.load(Ordering::Acquire)) {
                if let Some(silence) = shared.silence() {
                    return shared.gone(number, format!("no word for {} s", silence.as_secs()), &to_lease);
                }
                drop(shared);
                std::thread::sleep(WORD / 4);
            }
        });
        Ok(Self { number, child, out, shared, events: events.clone() })
    }

    /// Says something. Of an agent that is gone, an event says so.
    pub fn say(&self, message: &ToAgent) {
        let _ = self.out.send(Outgoing::Frame(Frame::message(message)));
    }

    /// Sends files, and then a message that needs them, without waiting until they are there. If a file cannot be read, the channel
    /// ends.
    pub fn send(&self, files: Vec<File>, then: &ToAgent) {
        let (out, then) = (self.out.clone(), Frame::message(then));
        let (shared, events, number) = (Arc::clone(&self.shared), self.events.clone(), self.number);
        std::thread::spawn(move || {
            for file in files {
                if let Err(error) = files::send(&file, &out, ToAgent::File) {
                    return shared.gone(number, format!("cannot send {}: {error}", file.from.display()), &events);
                }
            }
            let _ = out.send(Outgoing::Frame(then));
        });
    }

    /// Where files of the next repetition go.
    pub fn receive_into(&self, folder: Option<&Path>) {
        *locked(&self.shared.inbox) = folder.map(Path::to_owned);
    }

    /// Forgets earlier exchanges of time stamps, and makes [`EXCHANGES`] new ones, one behind the other, so that they take about as
    /// long as one. Each is an [`Event::Compared`].
    pub fn compare_clocks(&self) {
        locked(&self.shared.exchanges).clear();
        for _ in 0..EXCHANGES {
            // A channel that is full carries an agent that is about to be gone.
            let _ = self.out.try_send(Outgoing::AskTime);
        }
    }

    /// By how much the agent's clock is ahead of the controller's, once clocks were compared.
    pub fn offset(&self) -> Option<Offset> {
        self.shared.offset()
    }

    /// What it has written to its error output, the last lines.
    pub fn errors(&self) -> String {
        locked(&self.shared.errors).iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Ends the channel, and waits until its program has ended, for a moment; then it is killed. What runs on the machine is cleared
    /// up there. Returns how the program ended, if it did so by itself.
    pub fn end(mut self, patience: Duration) -> Option<ExitStatus> {
        // Nobody wants to be told.
        self.shared.is_told.store(true, Ordering::Release);
        // The writer ends, and with it the agent's input.
        drop(self.out);
        let begun = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(2)),
                _ => break,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Shared {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            exchanges: Mutex::default(),
            inbox: Mutex::default(),
            errors: Mutex::default(),
            begun: Instant::now(),
            heard: Mutex::default(),
            is_told: AtomicBool::new(false),
        }
    }

    /// What complete exchanges of time stamps say.
    fn offset(&self) -> Option<Offset> {
        let exchanges = locked(&self.exchanges);
        Some(&*exchanges).filter(|exchanges| exchanges.len() >= EXCHANGES).and_then(Offset::of)
    }

    /// For how long nothing was heard, if that is too long.
    fn silence(&self) -> Option<Duration> {
        let heard = *locked(&self.heard);
        let (since, patience) = heard.map_or((self.begun, self.patience), |heard| (heard, LEASE));
        (since.elapsed() > patience).then_some(patience)
    }

    /// Reports the end of the channel, once.
    fn gone(&self, number: u64, why: String, events: &Events) {
        if !self.is_told.swap(true, Ordering::AcqRel) {
            let _ = events.send((number, Event::Gone(why)));
        }
    }
}

/// Reads until the agent is gone; returns why.
fn read(from: &mut BufReader<impl Read>, shared: &Shared, clock: Clock, number: u64, events: &Events) -> String {
    match frame::preface(from) {
        Ok(PROTOCOL) => {}
        Ok(other) => return format!("another version of runner answers (protocol {other} instead of {PROTOCOL})"),
        Err(error) => {
            let said = error.to_string();
            return if said.is_empty() { "it ended before it said anything".to_owned() } else { said };
        }
    }
    let mut file: Option<Incoming> = None;
    loop {
        let frame = match frame::read(from) {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the agent has ended".to_owned(),
            Err(error) => return format!("the agent cannot be heard: {error}"),
        };
        let heard_ns = clock.now_ns();
        *locked(&shared.heard) = Some(Instant::now());
        let message = match frame {
            Frame::Piece(piece) => {
                if let Some(Err(error)) = file.as_mut().map(|file| file.add(&piece)) {
                    return format!("cannot write what it sends: {error}");
                }
                if file.as_ref().is_some_and(Incoming::is_whole) {
                    file = None;
                }
                continue;
            }
            Frame::Message(bytes) => match serde_json::from_slice::<ToController>(&bytes) {
                Ok(message) => message,
                Err(error) => return format!("the agent said something unknown: {error}"),
            },
        };
        let event = match message {
            ToController::Clock { asked_ns, received_ns, answered_ns } => {
                let mut exchanges = locked(&shared.exchanges);
                exchanges.push(Exchange { asked_ns, received_ns, answered_ns, heard_ns });
                Event::Compared
            }
            ToController::File(head) => match receive(shared, &head) {
                Ok(started) => {
                    file = started;
                    continue;
                }
                Err(error) => return format!("cannot write {}: {error}", head.path.display()),
            },
            message => Event::Said(message),
        };
        if events.send((number, event)).is_err() {
            return "nobody listens any more".to_owned();
        }
    }
}

fn receive(shared: &Shared, head: &FileHead) -> std::io::Result<Option<Incoming>> {
    let inbox = locked(&shared.inbox).clone();
    // A repetition that nobody waits for any more.
    inbox.map(|folder| Incoming::start(&folder, head)).transpose()
}

/// Writes until the agent is gone; returns why, or nothing when the controller has ended the channel.
fn write(to: &mut impl Write, clock: Clock, outgoing: &Receiver<Outgoing>) -> Option<String> {
    loop {
        let frame = match outgoing.recv_timeout(WORD) {
            Ok(Outgoing::Frame(frame)) => frame,
            Ok(Outgoing::AskTime | Outgoing::Time { .. }) => Frame::message(&ToAgent::Clock { asked_ns: clock.now_ns() }),
            Err(RecvTimeoutError::Timeout) => Frame::message(&ToAgent::Alive),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        if let Err(error) = frame::write(to, &frame).and_then(|()| to.flush()) {
            return Some(format!("the agent cannot be spoken to: {error}"));
        }
    }
}
