//! HTTP/1.1 and HTTP/2, every answer checked.
//!
//! `request` is a request, `judge` checks its answer, after `coding` has decoded it; two paths carry it. `lean` writes
//! and parses HTTP/1.1 itself and costs two fifths of the processor time; it takes workloads whose bodies fit into memory, over
//! TCP with TLS or without, and whoever watches many sockets can drive it ([`Direct`]). `general` is hyper: HTTP/2, Unix sockets, redirects, bodies of any length; `chain`
//! follows redirects over it, `shared` has its HTTP/2 connections, `body` its request bodies. Both report the same
//! outcomes and pass the same tests. `connect` makes connections, `redirect` knows where a redirect leads.
//!
//! Requests that were on a connection when it broke have failed, and are counted as failed. The one exception are
//! requests that an HTTP/2 server says it did not process when it ends a connection gracefully: these are sent again,
//! with the wait in their time, and counted.

mod body;
mod chain;
mod coding;
pub(in crate::drivers) mod connect;
#[cfg(test)]
pub(crate) mod faults;
mod general;
mod judge;
mod lean;
mod redirect;
mod replayed;
pub(in crate::drivers) mod request;
#[cfg(test)]
mod scripted;
mod shared;

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::Instant as TokioInstant;

use super::socks::Proxy;
use super::steering::{Circuit, Controller};
use super::tcp::of_io;
use super::transfer::{Kept, Left, Transfer};
use super::values::{ValueNames, Values};
use super::{Carrier, Checked, Client, Direct, Driver, Exchange, Failure, Readiness, Started, checked_pass};
pub use crate::drivers::judged::MAX_KEPT;
use crate::drivers::script::Script;
use crate::traffic::RequestCounter;
use crate::{Error, Job, Running, Traffic, Users, start_with};
use connect::Server;
use plan::drivers::http::named_outcomes;
use replayed::Replayed;
use request::Step;
use shared::{Group, Shared};
use tls::Tls;
use vocabulary::Outcome;
use vocabulary::choices::Cookies;

/// A workload's requests, prepared once and shared by all clients.
pub struct Http {
    /// The steps of a pass, and behind them those of a user.
    steps: Vec<Step>,
    /// How many of them are of a pass.
    of_pass: usize,
    /// At which statuses a user logs in again.
    relogin: Vec<u16>,
    cookies: Cookies,
    servers: Vec<Server>,
    names: ValueNames,
    http2: bool,
    /// Clients per connection.
    streams: u64,
    keep_alive: bool,
    /// The proxy of its connections.
    proxy: Option<Arc<Proxy>>,
    /// Whether each request is recorded stage by stage.
    stages: bool,
    redirects: u32,
    /// Origins that may receive secrets.
    trusted: Vec<plan::Url>,
    /// Whether the lean path takes it.
    lean: bool,
    /// Why there is none, in case a redirect asks for it.
    tls: Result<Tls, String>,
    /// The longest time-out of a step.
    timeout: Duration,
    /// The log whose requests are sent.
    replay: Option<Replayed>,
}

impl Http {
    /// Prepares the requests of a workload.
    ///
    /// # Errors
    /// When a host has no address, a file cannot be read, a request would be invalid, or no certificate is trusted.
    pub fn new(http: &plan::drivers::http::Http) -> Result<Self, Error> {
        let socket = http.socket.as_ref().map(|s| PathBuf::from(s.to_text()));
        let proxy = http.socks.as_ref().map(Proxy::new).transpose()?.map(Arc::new);
        let server = |url| Server::new(url, socket.as_deref(), proxy.as_ref());
        let servers: Vec<Server> = http.urls.iter().map(server).collect::<Result<_, _>>()?;
        let prefix = http.urls.first().map_or("", |u| u.path.as_str());
        let inserted = http.all_steps().flat_map(plan::Step::names);
        let [of_user, of_pass] = [&http.user, &http.steps].map(|steps| steps.iter().flat_map(|s| &s.carry));
        let names = ValueNames::of_users(of_user, of_pass, inserted, &http.draws);
        let outcomes = named_outcomes(&http.steps);
        let http2 = http.version == 2;
        let step = |s| Step::new(s, prefix, names.as_slice(), &outcomes);
        let step = |s| step(s).map(|step| if http.keep_alive { step } else { step.closing() });
        let step = |s| step(s).and_then(|step| if http.stages { step.kept_whole() } else { Ok(step) });
        let mut steps: Vec<Step> = http.all_steps().map(step).collect::<Result<_, _>>()?;
        let secret = http.urls.iter().any(|u| u.tls);
        let tls = match (secret || http.redirects > 0).then(|| Tls::new(&http.tls, http2)) {
            Some(Err(error)) if secret => return Err(Error::Tls(error)),
            // Only a redirect could need it.
            Some(tls) => tls.map_err(|e| vocabulary::errors::chain(&e)),
            None => Err("no URL uses TLS".to_owned()),
        };
        let replay = http.replay.as_ref().map(|replay| Replayed::new(replay, prefix));
        // Stages are recorded of what the socket says, not of what a session makes of it.
        let is_plain = !secret || (proxy.is_none() && !http.stages);
        let lean = is_plain
            && !http2
            && socket.is_none()
            && http.redirects == 0
            && steps.iter().all(Step::is_lean)
            && replay.as_ref().is_none_or(Replayed::is_lean);
        if lean {
            let hosts = servers.iter().map(|server| &server.host);
            steps.iter_mut().for_each(|step| lean::compose::in_advance(step, hosts.clone(), &names));
        }
        Ok(Self {
            lean,
            timeout: steps.iter().map(|s| s.timeout).max().unwrap_or(plan::step::REQUEST_TIMEOUT),
            steps,
            of_pass: http.steps.len(),
            relogin: http.relogin.clone(),
            cookies: http.cookies,
            servers,
            names,
            http2,
            streams: if http2 { u64::from(http.streams).max(1) } else { 1 },
            keep_alive: http.keep_alive,
            proxy,
            stages: http.stages,
            redirects: http.redirects,
            trusted: http.trusted.clone(),
            tls,
            replay,
        })
    }
}

impl Http {
    /// What is sent to the proxy's control port before passes, if anything.
    fn controller(&self) -> Option<&Arc<Controller>> {
        self.proxy.as_ref()?.controller.as_ref()
    }

    /// Whether a connected client needs nothing but its socket.
    fn is_direct(&self) -> bool {
        let plain = self.lean && self.keep_alive && !self.stages && self.proxy.is_none();
        plain && self.replay.is_none() && self.relogin.is_empty()
    }

    /// Whether each pass uses its own circuit.
    fn is_steered(&self) -> bool {
        self.controller().is_some_and(|controller| controller.has_path())
    }

    /// Whether each pass has its own connection, whatever keep-alive says.
    fn isolates_passes(&self) -> bool {
        self.proxy.as_ref().is_some_and(|proxy| proxy.isolates_passes())
    }
}

impl Driver for Http {
    type Client = HttpClient;

    fn steps(&self) -> usize {
        self.of_pass
    }

    fn own_steps(&self) -> usize {
        self.steps.len() - self.of_pass
    }

    fn patience(&self) -> Duration {
        self.steps[self.of_pass..].iter().map(|step| step.timeout).sum()
    }

    fn names(&self) -> &[String] {
        self.names.as_slice()
    }

    fn streams(&self) -> u64 {
        self.streams
    }

    fn client(self: &Arc<Self>, number: u64, seed: u64, group: &Rc<Group>) -> HttpClient {
        let mut values = Values::new(&self.names, seed, number);
        values.cookies = (!self.cookies.is_none()).then(Box::default);
        HttpClient {
            http: Arc::clone(self),
            number,
            values,
            user: (self.own_steps() > 0).then(Box::default),
            status: 0,
            step: 0,
            sent: Instant::now(),
            group: Rc::clone(group),
            replayed: None,
            pass: 0,
            shared: self.http2.then(|| group.connection(number / self.streams)),
            counter: group.counter(HttpClient::address(self, number), self.steps.len()),
            connection: None,
            connects: 0,
            prepared: false,
            preparations: 0,
            circuit: None,
            left: Left::default(),
        }
    }
}

/// A connection, or a stream of one, with at most one request on it; made again when it is lost.
pub struct HttpClient {
    http: Arc<Http>,
    number: u64,
    values: Values,
    /// The request of a log that is under way, if one is replayed.
    replayed: Option<Box<Step>>,
    /// The number of the pass.
    pass: u64,
    /// The HTTP/2 connection that it shares with others.
    shared: Option<Rc<Shared>>,
    connection: Option<Connection>,
    connects: u64,
    /// Whether the control port was told what the next pass needs.
    prepared: bool,
    preparations: u64,
    /// The circuit of the pass, if the scenario chooses it.
    circuit: Option<Circuit>,
    /// What was under way when it was abandoned.
    left: Left,
    /// Where the requests that it sends are counted.
    counter: Rc<RequestCounter>,
    /// The user, if there are steps with which users begin. It stays when its connection is closed.
    user: Option<Box<User>>,
    /// The status of the last answer; 0 if there was none.
    status: u16,
    /// The step that was started last without a task, and when.
    step: usize,
    sent: Instant,
    group: Rc<Group>,
}

/// How often in a row a user logs in again although this did not help.
const MOST_IN_VAIN: u32 = 3;

/// A user who logs in.
#[derive(Default)]
struct User {
    is_logged_in: bool,
    /// How often it has tried to.
    log_ins: u64,
    /// How often in a row it has logged in again, and the next answer asked for that once more.
    in_vain: u32,
    /// What it has executed since the engine last asked.
    done: Vec<(usize, Exchange)>,
}

enum Connection {
    Lean(Box<lean::Lean>),
    General(Box<general::General>),
}

/// A request that was sent, and its result.
struct RoundTrip {
    /// When the first byte of the answer arrived.
    first_byte: Option<Instant>,
    /// When the last byte arrived, or the reason why it would not was known.
    completed: Instant,
    sent_bytes: u64,
    received_bytes: u64,
    /// The status of the answer; 0 if there was none.
    status: u16,
    /// Whether another request can follow on the connection.
    usable: bool,
    result: Result<(), Failure>,
}

impl RoundTrip {
    /// An exchange that stopped early.
    fn broken(first_byte: Option<Instant>, failure: Failure) -> Self {
        let completed = Instant::now();
        Self { first_byte, completed, sent_bytes: 0, received_bytes: 0, status: 0, usable: false, result: Err(failure) }
    }
}

impl Connection {
    /// Whether a request can be sent; this also notices a connection that the server has closed meanwhile.
    fn is_open(&mut self) -> bool {
        match self {
            Self::Lean(lean) => lean.is_open(),
            Self::General(general) => general.is_open(),
        }
    }
}

impl HttpClient {
    /// The index of its address; addresses are dealt out in turn, connection by connection.
    fn address(http: &Http, number: u64) -> usize {
        (number / http.streams % http.servers.len() as u64) as usize
    }

    /// The server of its connection.
    fn server(http: &Http, number: u64) -> &Server {
        &http.servers[Self::address(http, number)]
    }

    async fn connect(&mut self, deadline: TokioInstant, transfer: &mut Transfer) -> Result<(), Failure> {
        let http = &self.http;
        let server = Self::server(http, self.number);
        let (connects, circuit) = (&mut self.connects, self.circuit);
        self.connection = Some(if let Some(shared) = &self.shared {
            let connect = async {
                let stream = server.open(&http.tls, circuit, deadline, connects).await?;
                shared::begin(stream, http.streams as u32, deadline).await
            };
            Connection::General(Box::new(general::General::http2(shared.get(deadline, connect).await?)))
        } else if http.lean {
            let (stream, unanswered) = server.tcp_noting(circuit, deadline, connects, transfer).await?;
            let spoken = server.agree(&http.tls, stream, deadline).await?;
            let lean = lean::Lean::new(spoken, Self::address(http, self.number), server.host.clone(), http.timeout);
            Connection::Lean(Box::new(lean.before(unanswered)))
        } else {
            let stream = server.open(&http.tls, circuit, deadline, connects).await?;
            Connection::General(Box::new(general::General::http1(stream).await?))
        });
        Ok(())
    }

    /// Sends the control port what the next pass needs, once.
    async fn prepare(&mut self) -> Result<(), Failure> {
        let Some(controller) = self.http.controller() else { return Ok(()) };
        if !self.prepared {
            let preparing = Box::pin(controller.prepare(self.circuit.take()));
            (self.circuit, self.prepared) = (preparing.await?, true);
            self.preparations += 1;
        }
        Ok(())
    }

    /// Compares the result of an exchange with what Tor says about the circuit that it was to use.
    async fn judge(&self, circuit: Circuit, round_trip: RoundTrip) -> RoundTrip {
        let Some(controller) = self.http.controller() else { return round_trip };
        let RoundTrip { result, usable, .. } = round_trip;
        let result = Box::pin(controller.judge(circuit, result)).await;
        RoundTrip { usable: usable && result.is_ok(), result, ..round_trip }
    }

    fn is_connected(&mut self) -> bool {
        self.connection.as_mut().is_some_and(Connection::is_open)
    }

    /// Connects if that is needed; the time that this took is added to `connect`.
    async fn connect_if_needed(
        &mut self,
        deadline: TokioInstant,
        connect: &mut Option<Duration>,
        transfer: &mut Transfer,
    ) -> Result<(), Failure> {
        if self.is_connected() {
            return Ok(());
        }
        self.connection = None;
        if let Some(sender) = self.shared.as_ref().and_then(|s| s.open()) {
            // Another client has made it.
            self.connection = Some(Connection::General(Box::new(general::General::http2(sender))));
            return Ok(());
        }
        let begun = Instant::now();
        self.connect(deadline, transfer).await?;
        *connect = Some(connect.unwrap_or_default() + begun.elapsed());
        Ok(())
    }

    /// The connection, if it is a lean one.
    fn lean_connection(&self) -> Option<&lean::Lean> {
        match &self.connection {
            Some(Connection::Lean(lean)) => Some(lean),
            _ => None,
        }
    }

    /// A step on the lean path.
    async fn lean(
        &mut self,
        number: usize,
        sent: Instant,
        connect: &mut Option<Duration>,
        mut transfer: Option<&mut Transfer>,
    ) -> RoundTrip {
        // Rare parts are boxed: each of many connections has room for the rest.
        if !self.is_connected() {
            let deadline = TokioInstant::from_std(sent) + self.http.steps[number].timeout;
            let connecting = async {
                match transfer.as_deref_mut() {
                    Some(transfer) => self.connect_if_needed(deadline, connect, transfer).await,
                    None => self.connect_if_needed(deadline, connect, &mut Transfer::default()).await,
                }
            };
            if let Err(failure) = Box::pin(connecting).await {
                return RoundTrip::broken(None, failure);
            }
        }
        let step = self.replayed.as_deref().unwrap_or(&self.http.steps[number]);
        let Some(Connection::Lean(lean)) = &mut self.connection else {
            return RoundTrip::broken(None, Failure::new(Outcome::Closed, "there is no connection"));
        };
        self.counter.count_sent(number);
        let round_trip = lean.exchange(sent, step, &mut self.values, transfer).await;
        self.count(number, &round_trip);
        round_trip
    }

    /// Counts what became of a request that was sent.
    #[inline(always)]
    fn count(&self, step: usize, round_trip: &RoundTrip) {
        match &round_trip.result {
            _ if round_trip.first_byte.is_some() => self.counter.count_answered(step),
            // The request could not be made.
            Err(failure) if failure.outcome == Outcome::Carry => self.counter.uncount_sent(step),
            _ => {}
        }
    }

    /// Carries out a step of a pass or of a user.
    async fn carry_out(&mut self, step: usize) -> Exchange {
        let sent = Instant::now();
        let mut connect = None;
        let mut transfer = self.http.stages.then(|| {
            let server = Self::server(&self.http, self.number);
            Kept::begun(server.url.authority(), self.http.steps[step].judged.length, &self.left)
        });
        // Done now if there was no time for it before.
        let prepared = self.prepare().await;
        let round_trip = match (prepared, self.http.lean) {
            (Err(failure), _) => RoundTrip::broken(None, failure),
            (Ok(()), true) => self.lean(step, sent, &mut connect, transfer.as_mut().and_then(Kept::noted)).await,
            (Ok(()), false) => Box::pin(self.chain(step, sent, &mut connect)).await,
        };
        let round_trip = match self.circuit {
            Some(circuit) => self.judge(circuit, round_trip).await,
            None => round_trip,
        };
        let transfer = transfer.and_then(Kept::ended);
        let metrics = transfer.as_ref().map_or_else(Vec::new, |transfer| transfer.metrics(sent, &round_trip.result));
        Exchange { connect, metrics, transfer, ..self.carried_out(step, sent, round_trip) }
    }

    /// A request has been answered, or will not be.
    #[inline(always)]
    fn carried_out(&mut self, step: usize, sent: Instant, round_trip: RoundTrip) -> Exchange {
        if !round_trip.usable || !self.http.keep_alive {
            self.connection = None;
        }
        self.status = round_trip.status;
        if !self.values.cookies_refused.is_empty() {
            self.refuse_cookies(step);
        }
        Exchange {
            first_byte: round_trip.first_byte,
            completed: round_trip.completed,
            sent_bytes: round_trip.sent_bytes,
            received_bytes: round_trip.received_bytes,
            result: round_trip.result,
            ..Exchange::begun(sent)
        }
    }

    /// Whether the user must log in before anything else.
    fn must_log_in(&self) -> bool {
        self.user.as_ref().is_some_and(|user| !user.is_logged_in)
    }

    /// Executes the steps of the user, each recorded by itself.
    async fn log_in(&mut self) -> Result<(), Failure> {
        let Some(user) = &mut self.user else { return Ok(()) };
        let id = self.values.log_in(user.log_ins);
        user.log_ins += 1;
        let mut result = Ok(());
        for step in self.http.of_pass..self.http.steps.len() {
            let exchange = self.carry_out(step).await;
            if let Err(failure) = &exchange.result {
                let words = format!("the user could not log in: {}", failure.words);
                result = Err(Failure { outcome: Outcome::LogIn, words });
            }
            let Some(user) = &mut self.user else { break };
            user.done.push((step, exchange));
            if result.is_err() {
                break;
            }
        }
        self.values.logged_in(id);
        if let Some(user) = &mut self.user {
            user.is_logged_in = result.is_ok();
        }
        self.group.count_users(|users| {
            users.log_ins += u64::from(result.is_ok());
            users.failed += u64::from(result.is_err());
        });
        result
    }

    /// Whether an answer says that the user must log in again, and it has not done so in vain too often.
    fn is_asked_to_log_in(&self, exchange: &Exchange) -> bool {
        let is_error = exchange.result.as_ref().is_err_and(|failure| failure.outcome.is_error());
        is_error && self.http.relogin.contains(&self.status) && self.user.as_ref().is_some_and(|user| user.in_vain < MOST_IN_VAIN)
    }

    /// Logs in again, and then carries out the step once more. The first answer is only counted among the requests that were sent:
    /// what the step took is what it takes now.
    async fn exchange_again(&mut self, step: usize) -> Exchange {
        if let Err(failure) = self.log_in().await {
            return Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) };
        }
        let exchange = self.carry_out(step).await;
        let was_in_vain = exchange.result.is_err() && self.http.relogin.contains(&self.status);
        let Some(user) = &mut self.user else { return exchange };
        user.in_vain = if was_in_vain { user.in_vain + 1 } else { 0 };
        let is_given_up = user.in_vain == MOST_IN_VAIN;
        self.group.count_users(|users| {
            users.again += 1;
            users.given_up += u64::from(is_given_up);
        });
        exchange
    }

    /// Reports cookies that were not kept.
    #[cold]
    fn refuse_cookies(&mut self, step: usize) {
        // The query as it was typed says nothing more, and filled in it may be secret.
        let step = self.http.steps[step].typed();
        let step = step.split('?').next().unwrap_or_default();
        let refused = std::mem::take(&mut self.values.cookies_refused);
        self.group.count_users(|users| {
            for why in refused {
                users.refuse_cookie(format!("{step} set a cookie that was not kept: {why}"));
            }
        });
    }
}

impl Client for HttpClient {
    type Group = Group;

    async fn ready(&mut self) -> Result<(), Failure> {
        self.prepare().await?;
        // If each request has its own connection, connecting is part of the request.
        if self.http.keep_alive && !self.http.isolates_passes() && !self.is_connected() {
            self.connection = None;
            let deadline = TokioInstant::now() + self.http.timeout;
            Box::pin(async { self.connect(deadline, &mut Transfer::default()).await }).await?;
        }
        if self.must_log_in() { Box::pin(self.log_in()).await } else { Ok(()) }
    }

    fn begin_pass(&mut self, pass: u64) {
        self.values.begin_pass(pass);
        self.pass = pass;
        if self.http.cookies == Cookies::Pass
            && let Some(jar) = &mut self.values.cookies
        {
            jar.clear();
        }
        if self.http.isolates_passes() {
            self.connection = None;
        }
    }

    fn end_pass(&mut self) {
        self.prepared = false;
    }

    fn values(&self) -> Option<&Values> {
        Some(&self.values)
    }

    async fn exchange(&mut self, step: usize) -> Exchange {
        if let Some(replay) = &self.http.replay
            && let Err(failure) = replay.make(self.pass, &self.http.steps[step], &mut self.replayed)
        {
            return Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) };
        }
        // Rare parts are boxed: each of many connections has room for the rest.
        if self.must_log_in()
            && let Err(failure) = Box::pin(self.log_in()).await
        {
            return Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) };
        }
        let exchange = self.carry_out(step).await;
        if !self.http.relogin.is_empty() && self.is_asked_to_log_in(&exchange) {
            return Box::pin(self.exchange_again(step)).await;
        }
        exchange
    }

    fn detach(&mut self) -> bool {
        if !self.http.is_direct() || self.must_log_in() || !self.is_connected() {
            return false;
        }
        match &mut self.connection {
            Some(Connection::Lean(lean)) => lean.detach(),
            _ => false,
        }
    }

    fn direct(&mut self) -> Option<&mut dyn Direct> {
        self.lean_connection().is_some_and(lean::Lean::is_detached).then_some(self)
    }

    fn own(&mut self) -> Vec<(usize, Exchange)> {
        self.user.as_mut().map_or_else(Vec::new, |user| std::mem::take(&mut user.done))
    }

    fn connects(&self) -> u64 {
        self.connects
    }

    fn left(&mut self) -> Option<Box<Transfer>> {
        self.left.take()
    }

    fn made_ready(&self) -> u64 {
        self.connects + self.preparations + self.user.as_ref().map_or(0, |user| user.log_ins)
    }

    fn users(group: &Group) -> Users {
        group.users()
    }

    fn traffic(group: &Group) -> Traffic {
        group.traffic()
    }
}

impl Direct for HttpClient {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.lean_connection()?.socket()
    }

    fn is_open(&mut self) -> bool {
        self.is_connected()
    }

    fn start(&mut self, step: usize, read_at: Option<Instant>) -> Started {
        let [this, last] = [step, self.step].map(|step| &self.http.steps[step]);
        // Composing a request, and examining an answer, take a while.
        let is_quick = !this.wholes.is_empty() && last.is_judged_at_once() && self.values.cookies.is_none();
        let sent = read_at.filter(|_| is_quick).unwrap_or_else(Instant::now);
        (self.step, self.sent) = (step, sent);
        let Some(Connection::Lean(lean)) = &mut self.connection else {
            let failure = Failure::new(Outcome::Closed, "there is no connection");
            return Started::Ended(self.carried_out(step, sent, RoundTrip::broken(None, failure)));
        };
        self.counter.count_sent(step);
        match lean.start(sent, &self.http.steps[step], &mut self.values) {
            Ok(deadline) => Started::Until(deadline.into_std()),
            Err(round_trip) => {
                self.count(step, &round_trip);
                Started::Ended(self.carried_out(step, sent, round_trip))
            }
        }
    }

    fn go_on(&mut self, what: Readiness) -> Option<Exchange> {
        let Some(Connection::Lean(lean)) = &mut self.connection else { return None };
        let round_trip = lean.go_on(what, &self.http.steps[self.step], &mut self.values)?;
        self.count(self.step, &round_trip);
        Some(self.carried_out(self.step, self.sent, round_trip))
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.lean_connection()?.deadline()?.into_std())
    }

    fn has_more(&self) -> bool {
        self.lean_connection().is_some_and(lean::Lean::has_more)
    }

    fn lose(&mut self) {
        self.connection = None;
    }
}

impl Carrier for plan::drivers::http::Http {
    fn start(&self, job: &Job) -> Result<Running, Error> {
        start_with(&Arc::new(Http::new(self)?), job)
    }

    fn verify<'a>(&'a self, flow: &'a plan::Flow, seed: u64) -> Checked<'a> {
        Box::pin(async move { send_requests(&Arc::new(Http::new(self)?), flow, seed, 1).await.map(drop) })
    }
}

/// This many passes of each kind one after the other, whose answers are checked and not counted. Returns the values of the last one
/// by name, and the number of bytes of its last answer.
///
/// # Errors
/// [`Error::Verify`] with what was wrong.
pub async fn send_requests(
    http: &Arc<Http>,
    flow: &plan::Flow,
    seed: u64,
    passes: u64,
) -> Result<(BTreeMap<String, String>, u64), Error> {
    let script = Script::new(flow, http.names(), http.steps.len(), seed)?;
    // HTTP/2 connections have tasks of their own, on this thread.
    tokio::task::LocalSet::new().run_until(send_on_this_thread(http, &script, seed, passes)).await
}

async fn send_on_this_thread(
    http: &Arc<Http>,
    script: &Script,
    seed: u64,
    passes: u64,
) -> Result<(BTreeMap<String, String>, u64), Error> {
    let addresses = http.servers.len() as u64;
    // Numbers that no load uses, so that the ids are unique; ids are made from their last 24 bits.
    let first = (1 << 24) / (addresses * http.streams) * addresses - addresses;
    let failed = Error::from;
    let (mut values, mut received) = (BTreeMap::new(), 0);
    for address in 0..addresses {
        let mut client = http.client((first + address) * http.streams, seed, &Rc::default());
        let deadline = TokioInstant::now() + http.timeout;
        let mut transfer = Transfer::default();
        // With a path each pass connects separately: an unsteered one would use any circuit.
        if address > 0 || !http.is_steered() {
            client.connect(deadline, &mut transfer).await.map_err(failed)?;
        }
        if address > 0 {
            continue; // It answers; the steps are checked once.
        }
        // Requests of a log are sent once, when they are due.
        let passes = if http.replay.is_some() { 0 } else { passes };
        for pass in 0..passes {
            for kind in script.occurring() {
                received = checked_pass(&mut client, script, script.begin_as(kind, pass)).await?;
            }
        }
        values = client.values.by_name(http.names.as_slice());
    }
    Ok((values, received))
}
