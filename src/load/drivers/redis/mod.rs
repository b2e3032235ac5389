//! The Redis protocol (RESP) over TCP: one command at a time on each connection, every reply checked.

pub mod resp;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant as TokioInstant;

use super::judged::{Judged, KeptBody, excerpt};
use super::tcp::{Addresses, of_io};
use super::values::{Text, ValueNames, Values};
use super::{Carrier, Checked, Client, Driver, Exchange, Failure, one_pass};
use crate::{Error, Job, Running, start_with};
use plan::Body;
use resp::{First, Reply};
use vocabulary::Outcome;

/// How much is read at a time.
const PIECE: usize = 16 << 10;

/// A workload's commands, prepared once.
pub struct Redis {
    addresses: Addresses,
    /// What each connection sends first, and how many replies that has.
    greeting: (Vec<u8>, usize),
    keep_alive: bool,
    names: ValueNames,
    steps: Vec<Step>,
    timeout: Duration,
}

struct Step {
    name: String,
    words: Vec<Word>,
    nil: Option<bool>,
    judged: Judged,
    timeout: Duration,
}

enum Word {
    Fixed(Vec<u8>),
    Text(Text),
    Random(u64),
}

impl Redis {
    /// Prepares the commands of a workload.
    ///
    /// # Errors
    /// When the host has no address, a file cannot be read, or a command cannot be made.
    pub fn new(redis: &plan::drivers::redis::Redis) -> Result<Self, Error> {
        let carried = redis.steps.iter().flat_map(|s| &s.carry);
        let names = ValueNames::new(carried, redis.steps.iter().flat_map(|s| s.names()), &redis.draws);
        let step = |step: &plan::drivers::redis::Command| {
            let text = |template: &plan::Template| Text::new(template, names.as_slice(), &step.name);
            let word = |word: &Body| -> Result<Word, Error> {
                Ok(match word {
                    Body::Empty => Word::Fixed(Vec::new()),
                    Body::Random(length) => Word::Random(*length),
                    Body::File(path) => {
                        Word::Fixed(std::fs::read(path).map_err(|source| Error::File { path: path.clone(), source })?)
                    }
                    Body::Json(template) => Word::Text(text(template)?.in_json()),
                    Body::Text(template) => Word::Text(text(template)?),
                })
            };
            let judged = Judged::new(&step.name, &step.expect, &step.carry, names.as_slice())?;
            let words = step.words.iter().map(word).collect::<Result<_, Error>>()?;
            Ok(Step { name: step.name.clone(), words, nil: step.nil, judged, timeout: step.timeout })
        };
        let steps: Vec<Step> = redis.steps.iter().map(step).collect::<Result<_, Error>>()?;
        Ok(Self {
            addresses: Addresses::resolve(&redis.to.host, redis.to.port)?,
            greeting: greeting(redis),
            keep_alive: redis.keep_alive,
            timeout: steps.iter().map(|s| s.timeout).max().unwrap_or(plan::step::REQUEST_TIMEOUT),
            names,
            steps,
        })
    }
}

/// `AUTH` and `SELECT`, if requested.
fn greeting(redis: &plan::drivers::redis::Redis) -> (Vec<u8>, usize) {
    let mut commands: Vec<Vec<String>> = Vec::new();
    if let Some(login) = &redis.login {
        let user = login.user.iter().map(plan::Template::to_text);
        commands.push(["AUTH".to_owned()].into_iter().chain(user).chain([login.password.to_text()]).collect());
    }
    if redis.database > 0 {
        commands.push(vec!["SELECT".to_owned(), redis.database.to_string()]);
    }
    let mut out = Vec::new();
    for words in &commands {
        resp::start(&mut out, words.len());
        words.iter().for_each(|word| resp::word(&mut out, word.as_bytes()));
    }
    (out, commands.len())
}

impl Driver for Redis {
    type Client = RedisClient;

    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, _group: &Rc<()>) -> RedisClient {
        let values = Values::new(&self.names, seed, number);
        RedisClient { redis: Arc::clone(self), values, connection: None, connects: 0, out: Vec::new(), word: Vec::new() }
    }
}

/// A connection; after a failure it cannot be used any more.
struct Connection {
    tcp: TcpStream,
    /// Bytes read and not yet consumed.
    buffer: Vec<u8>,
}

impl Connection {
    async fn send(&mut self, bytes: &[u8], deadline: TokioInstant, doing: &str) -> Result<(), Failure> {
        // Usually everything is accepted at once, and no timer is needed.
        let written = match self.tcp.try_write(bytes) {
            Ok(written) => written,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(of_io(&error, doing)),
        };
        if written == bytes.len() {
            return Ok(());
        }
        match tokio::time::timeout_at(deadline, self.tcp.write_all(&bytes[written..])).await {
            Ok(written) => written.map_err(|e| of_io(&e, doing)),
            Err(_) => Err(Failure::new(Outcome::Timeout, format!("{doing}: it could not be sent within the time-out"))),
        }
    }

    /// Waits for a reply, and passes it to `take`.
    async fn receive<T>(
        &mut self,
        deadline: TokioInstant,
        doing: &str,
        take: impl FnOnce(Reply<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut needed = 1;
        loop {
            if self.buffer.len() >= needed {
                let garbage = |words: String| Failure::new(Outcome::Garbage, format!("{doing}: this is not Redis: {words}"));
                match resp::first(&self.buffer).map_err(garbage)? {
                    First::Whole(reply, end) => {
                        let taken = take(reply);
                        self.buffer.drain(..end);
                        return taken;
                    }
                    First::More(least) => needed = least,
                }
            }
            self.buffer.reserve((needed - self.buffer.len()).clamp(PIECE, 1 << 20));
            match tokio::time::timeout_at(deadline, self.tcp.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{doing}: no reply within the time-out"))),
                Ok(Ok(0)) if self.buffer.is_empty() => {
                    return Err(Failure::new(Outcome::Closed, format!("{doing}: the connection was closed instead")));
                }
                Ok(Ok(0)) => {
                    let words = format!("{doing}: the connection was closed after {} bytes of a reply", self.buffer.len());
                    return Err(Failure::new(Outcome::Incomplete, words));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(of_io(&error, doing)),
            }
        }
    }

    /// What has arrived without a command.
    fn between(&mut self) -> Between {
        if self.buffer.is_empty() {
            match self.tcp.try_read_buf(&mut self.buffer) {
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Between::Nothing,
                Ok(0) | Err(_) => return Between::End,
                Ok(_) => {}
            }
        }
        Between::Reply
    }

    /// An unexpected reply: it would be unknown which command the next one belongs to.
    fn unasked(&self, doing: &str) -> Failure {
        let start = &self.buffer[..self.buffer.len().min(PIECE)];
        Failure::new(Outcome::Garbage, format!("{doing}: an unexpected reply: {}", excerpt(start)))
    }
}

/// What arrives on a connection between two commands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    /// It was closed or failed.
    End,
    Reply,
}

/// A connection with one command at a time on it; made again when it is lost.
pub struct RedisClient {
    redis: Arc<Redis>,
    values: Values,
    connection: Option<Connection>,
    connects: u64,
    out: Vec<u8>,
    word: Vec<u8>,
}

impl RedisClient {
    async fn connect(&mut self, deadline: TokioInstant) -> Result<(), Failure> {
        let redis = Arc::clone(&self.redis);
        let tcp = redis.addresses.connect(deadline).await?;
        tcp.set_nodelay(true).map_err(|e| of_io(&e, "connecting"))?;
        self.connects += 1;
        let mut connection = Connection { tcp, buffer: Vec::new() };
        let (greeting, replies) = &redis.greeting;
        if *replies > 0 {
            connection.send(greeting, deadline, "connecting").await?;
        }
        for _ in 0..*replies {
            let said = |reply: Reply<'_>| match reply {
                Reply::Error(words) => Err(Failure::new(Outcome::Nak, format!("connecting: the server says {}", excerpt(words)))),
                _ => Ok(()),
            };
            connection.receive(deadline, "connecting", said).await?;
        }
        if !connection.buffer.is_empty() {
            return Err(connection.unasked("connecting"));
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Makes the command of a step in `out`; returns how many bytes its words have.
    fn compose(&mut self, step: &Step) -> u64 {
        self.out.clear();
        resp::start(&mut self.out, step.words.len());
        let mut bytes = 0;
        for word in &step.words {
            let length = match word {
                Word::Fixed(fixed) => {
                    resp::word(&mut self.out, fixed);
                    fixed.len()
                }
                Word::Text(text) => {
                    self.word.clear();
                    text.write(&self.values, &mut self.word);
                    resp::word(&mut self.out, &self.word);
                    self.word.len()
                }
                Word::Random(length) => {
                    resp::word_start(&mut self.out, *length as usize);
                    self.values.write_random(*length, &mut self.out);
                    resp::word_end(&mut self.out);
                    *length as usize
                }
            };
            bytes += length as u64;
        }
        bytes
    }

    async fn carry(&mut self, number: usize, exchange: &mut Exchange) -> Result<(), Failure> {
        let redis = Arc::clone(&self.redis);
        let step = &redis.steps[number];
        let deadline = TokioInstant::from_std(exchange.sent) + step.timeout;
        match self.connection.as_mut().map(Connection::between) {
            Some(Between::Reply) => return Err(self.drop_unasked(&step.name)),
            // Between two passes a server may close an idle connection.
            Some(Between::End) if number == 0 => self.connection = None,
            Some(Between::End | Between::Nothing) | None => {}
        }
        if self.connection.is_none() {
            self.connect(deadline).await?;
            exchange.connect = Some(exchange.sent.elapsed());
        }
        exchange.sent_bytes = self.compose(step);
        let Some(connection) = &mut self.connection else { return Err(Failure::new(Outcome::Closed, "there is no connection")) };
        connection.send(&self.out, deadline, &step.name).await?;
        let values = &mut self.values;
        let judge = |reply: Reply<'_>| Ok(judge(step, &reply, values));
        let (length, result) = connection.receive(deadline, &step.name, judge).await?;
        exchange.received_bytes = length;
        exchange.completed = Instant::now();
        exchange.first_byte = Some(exchange.completed);
        // A second reply to one command would be taken for the reply to the next.
        if !connection.buffer.is_empty() {
            return Err(self.drop_unasked(&step.name));
        }
        result
    }

    fn drop_unasked(&mut self, doing: &str) -> Failure {
        let connection = self.connection.take();
        connection.map_or_else(|| Failure::new(Outcome::Garbage, doing), |c| c.unasked(doing))
    }
}

/// The length of a reply, and whether it is what the step expects.
fn judge(step: &Step, reply: &Reply<'_>, values: &mut Values) -> (u64, Result<(), Failure>) {
    let bytes: &[u8] = match reply {
        Reply::Error(words) => {
            let words = format!("{}: the server says {}", step.name, excerpt(words));
            return (0, Err(Failure::new(Outcome::Nak, words)));
        }
        Reply::Nil if step.nil == Some(false) => {
            return (0, Err(Failure::new(Outcome::Body, format!("{} was answered nil", step.name))));
        }
        Reply::Nil => &[],
        Reply::Value(bytes) => bytes,
        Reply::List { items, error: None } => items,
        Reply::List { items, error: Some(words) } => {
            let words = format!("{}: the server says {} in a list", step.name, excerpt(words));
            return (items.len() as u64, Err(Failure::new(Outcome::Nak, words)));
        }
    };
    if step.nil == Some(true) && *reply != Reply::Nil {
        let words = format!("{} was answered {} instead of nil", step.name, excerpt(bytes));
        return (bytes.len() as u64, Err(Failure::new(Outcome::Body, words)));
    }
    let (length, name) = (bytes.len() as u64, |_: &Values| step.name.clone());
    let kept = step.judged.needs_body().then_some(KeptBody::whole(bytes));
    (length, step.judged.check(length, kept, |_, _| None, name, values))
}

impl Client for RedisClient {
    type Group = ();

    async fn ready(&mut self) -> Result<(), Failure> {
        // A reply that is already there is reported by the next command.
        let between = self.connection.as_mut().map(Connection::between);
        if !self.redis.keep_alive || matches!(between, Some(Between::Nothing | Between::Reply)) {
            return Ok(());
        }
        self.connection = None;
        let deadline = TokioInstant::now() + self.redis.timeout;
        self.connect(deadline).await
    }

    fn begin_pass(&mut self, pass: u64) {
        self.values.begin_pass(pass);
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let mut exchange = Exchange::begun(Instant::now());
        exchange.result = self.carry(step, &mut exchange).await;
        if exchange.first_byte.is_none() {
            exchange.completed = Instant::now();
            // After a partial or missing reply, the next bytes on the connection would not match their command.
            self.connection = None;
        }
        if !self.redis.keep_alive && (step + 1 == self.redis.steps.len() || exchange.result.is_err()) {
            self.connection = None;
        }
        exchange
    }

    fn connects(&self) -> u64 {
        self.connects
    }
}

impl Carrier for plan::drivers::redis::Redis {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        start_with(&Arc::new(Redis::new(self)?), job)
    }

    fn verify(&self, seed: u64) -> Checked<'_> {
        Box::pin(async move { one_pass(&Arc::new(Redis::new(self)?), seed).await })
    }
}
