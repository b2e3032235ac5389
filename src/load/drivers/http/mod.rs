//! HTTP/1.1 and HTTP/2, every answer checked.
//!
//! `request` is what a request is, `judge` what its answer must be; two paths carry it. `lean` writes and parses HTTP/1.1
//! by itself and costs two thirds of the processor time; it takes workloads whose bodies fit into memory, over plain TCP.
//! `general` is hyper: HTTP/2, TLS, Unix sockets, redirects, bodies of any length. Both report the same outcomes and pass
//! the same tests.

mod general;
mod judge;
mod lean;
mod request;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use tokio::net::TcpStream;

use super::{Client, Driver, Exchange, Failure};
use crate::load::Error;
use crate::load::windows::Outcome;
use crate::plan;
use request::{Names, Step, Values};

/// Bodies that must be looked into may be this long.
const MAX_KEPT: usize = 16 << 20;

/// A workload's requests, made ready once and shared by all clients.
pub struct Http {
    steps: Vec<Step>,
    /// Addresses, with the `host` header for each.
    addresses: Vec<(SocketAddr, HeaderValue)>,
    names: Names,
    keep_alive: bool,
    /// Whether the lean path takes it.
    lean: bool,
    /// The longest time-out of a step.
    timeout: Duration,
}

impl Http {
    /// Makes the requests of a workload ready.
    ///
    /// # Errors
    /// When a host has no address, a file cannot be read, or a request would be invalid.
    pub fn new(http: &plan::Http) -> Result<Self, Error> {
        use std::net::ToSocketAddrs as _;
        let mut addresses = Vec::new();
        for url in &http.urls {
            let resolve = |source| Error::Resolve { host: url.host.clone(), source };
            let mut found = (url.host.as_str(), url.port).to_socket_addrs().map_err(resolve)?;
            let address = found.next().ok_or_else(|| resolve(std::io::Error::other("it has no address")))?;
            let host = HeaderValue::from_str(&url.authority())
                .map_err(|e| Error::Request { step: url.to_string(), reason: e.to_string() })?;
            addresses.push((address, host));
        }
        let prefix = http.urls.first().map_or("", |u| u.path.as_str());
        let names = Names::new(&http.steps);
        let steps: Vec<Step> = http.steps.iter().map(|s| Step::new(s, prefix, names.as_slice())).collect::<Result<_, _>>()?;
        let lean = steps.iter().all(Step::is_lean);
        let timeout = steps.iter().map(|s| s.timeout).max().unwrap_or(plan::actions::REQUEST_TIMEOUT);
        Ok(Self { steps, addresses, names, keep_alive: http.keep_alive, lean, timeout })
    }
}

impl Driver for Http {
    type Client = HttpClient;

    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, _group: &Rc<()>) -> HttpClient {
        HttpClient {
            http: Arc::clone(self),
            number,
            values: Values::new(&self.names, seed, number),
            connection: None,
            connects: 0,
        }
    }
}

/// A connection with at most one request on it, made anew when it is lost.
pub struct HttpClient {
    http: Arc<Http>,
    number: u64,
    values: Values,
    connection: Option<Connection>,
    connects: u64,
}

enum Connection {
    Lean(Box<lean::Lean>),
    General(Box<general::General>),
}

/// A request that was sent, and what came of it.
struct Carried {
    /// When the first byte of the answer was there.
    first_byte: Option<Instant>,
    /// When the last byte was there, or what kept it from coming was known.
    completed: Instant,
    sent_bytes: u64,
    received_bytes: u64,
    /// Whether another request can follow on the connection.
    usable: bool,
    result: Result<(), Failure>,
}

impl Carried {
    /// An exchange that broke off.
    fn broken(first_byte: Option<Instant>, failure: Failure) -> Self {
        let completed = Instant::now();
        Self { first_byte, completed, sent_bytes: 0, received_bytes: 0, usable: false, result: Err(failure) }
    }
}

/// What the system said, as an outcome.
fn of_io(error: &std::io::Error, doing: &str) -> Failure {
    use std::io::ErrorKind;
    let outcome = match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => Outcome::Reset,
        ErrorKind::UnexpectedEof => Outcome::Incomplete,
        ErrorKind::TimedOut => Outcome::Timeout,
        _ => Outcome::Io,
    };
    Failure::new(outcome, format!("{doing}: {error}"))
}

impl Connection {
    /// Connects; addresses are dealt out in turn.
    async fn open(http: &Http, number: u64) -> Result<Self, Failure> {
        let (address, host) = &http.addresses[(number % http.addresses.len() as u64) as usize];
        let doing = || format!("connecting to {address}");
        let stream = match tokio::time::timeout(http.timeout, TcpStream::connect(address)).await {
            Ok(stream) => stream.map_err(|e| of_io(&e, &doing()))?,
            Err(_) => return Err(Failure::new(Outcome::Timeout, format!("{} took longer than the time-out", doing()))),
        };
        stream.set_nodelay(true).map_err(|e| of_io(&e, &doing()))?;
        if http.lean {
            return Ok(Self::Lean(Box::new(lean::Lean::new(stream, host.clone(), http.timeout))));
        }
        let general = general::General::open(stream, host.clone(), http.timeout).await?;
        Ok(Self::General(Box::new(general)))
    }

    /// Whether a request can be sent; a connection that the server has closed meanwhile is noticed here.
    fn is_open(&mut self) -> bool {
        match self {
            Self::Lean(lean) => lean.is_open(),
            Self::General(general) => general.is_open(),
        }
    }
}

impl HttpClient {
    async fn connect(&mut self) -> Result<(), Failure> {
        self.connects += 1;
        self.connection = Some(Connection::open(&self.http, self.number).await?);
        Ok(())
    }

    fn is_connected(&mut self) -> bool {
        self.connection.as_mut().is_some_and(Connection::is_open)
    }
}

impl Client for HttpClient {
    type Group = ();

    async fn ready(&mut self) -> Result<(), Failure> {
        // Where each request has a connection of its own, connecting is part of the request.
        if !self.http.keep_alive || self.is_connected() {
            return Ok(());
        }
        self.connection = None;
        self.connect().await
    }

    fn begin_pass(&mut self, pass: u64) {
        self.values.begin_pass(pass);
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        let sent = Instant::now();
        let mut connect = None;
        if !self.is_connected() {
            self.connection = None;
            let connected = self.connect().await;
            connect = Some(sent.elapsed());
            if let Err(failure) = connected {
                return Exchange {
                    sent,
                    connect: None,
                    first_byte: None,
                    completed: Instant::now(),
                    sent_bytes: 0,
                    received_bytes: 0,
                    metrics: Vec::new(),
                    result: Err(failure),
                };
            }
        }
        let step = &self.http.steps[step];
        let carried = match &mut self.connection {
            Some(Connection::Lean(lean)) => lean.exchange(step, &mut self.values).await,
            Some(Connection::General(general)) => general.exchange(step, &mut self.values).await,
            None => Carried::broken(None, Failure::new(Outcome::Closed, "there is no connection")),
        };
        if !carried.usable || !self.http.keep_alive {
            self.connection = None;
        }
        Exchange {
            sent,
            connect,
            first_byte: carried.first_byte,
            completed: carried.completed,
            sent_bytes: carried.sent_bytes,
            received_bytes: carried.received_bytes,
            metrics: Vec::new(),
            result: carried.result,
        }
    }

    fn connects(&self) -> u64 {
        self.connects
    }
}

/// One pass whose answers are checked and not counted; the other addresses must accept a connection.
///
/// # Errors
/// [`Error::Verify`] with what was wrong.
pub async fn verify(http: &Arc<Http>, seed: u64) -> Result<(), Error> {
    // Numbers that no load has, so that its ids are its own.
    let first = u64::from(u32::MAX) / http.addresses.len() as u64 * http.addresses.len() as u64;
    for address in 0..http.addresses.len() as u64 {
        let mut client = http.client(first + address, seed, &Rc::default());
        client.connect().await.map_err(|f| Error::Verify(f.words))?;
        if address > 0 {
            continue; // It answers; the steps are checked once.
        }
        client.begin_pass(0);
        for step in 0..http.steps.len() {
            client.exchange(step).await.result.map_err(|f| Error::Verify(f.words))?;
        }
    }
    Ok(())
}
