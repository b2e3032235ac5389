//! One client of a generator thread, following the schedule in a task of its own.
//!
//! Where a loop drives the clients that are connected (`direct`), a task has those that are not, and hands them over as
//! soon as they are.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use super::account::{Account, ended};
use super::drivers::script::{Script, Then, Turn};
use super::drivers::transfer::Place;
use super::drivers::{Client, Exchange};
use super::pass::{Ended, Pass};
use super::schedule::{Arrival, Next, Presence, Random};
use super::{Rows, thread};
use plan::Think;
use vocabulary::Phase;
use vocabulary::rows::{MetricRow, RequestRow};
use vocabulary::units::nanos;

/// Waits while a client maintains its connection.
async fn attended<C: Client, T>(client: &mut C, wait: impl Future<Output = T>) -> T {
    let (mut wait, mut idle) = (pin!(wait), pin!(client.idle()));
    poll_fn(|cx| {
        if let Poll::Ready(over) = wait.as_mut().poll(cx) {
            return Poll::Ready(over);
        }
        match idle.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// One client, following the schedule.
pub(super) struct Follower<C: Client> {
    pub slot: usize,
    pub client: C,
    pub account: Rc<Account>,
    /// What its passes do.
    pub script: Rc<Script>,
    /// The first phase that is not the warm-up.
    pub measured: Phase,
    /// What is under way, as its row would show it.
    pub place: Option<Place>,
    /// Whether a loop takes it over as soon as it is connected.
    pub is_awaited: bool,
}

/// How a client of a closed loop paces itself.
pub(super) struct Pace {
    /// When its first pass starts.
    pub begin_ns: u64,
    pub think: Think,
    pub random: Random,
    /// When it takes part, and its number, if that changes.
    pub presence: Option<(Presence, u64)>,
}

impl Pace {
    /// Pass after pass, from `begin_ns` on.
    pub fn without_pauses(begin_ns: u64) -> Self {
        Self { begin_ns, think: Think::None, random: Random::new(0, 0), presence: None }
    }
}

impl<C> Drop for Follower<C>
where
    C: Client,
{
    /// However it ends, its connections are counted, and what was under way is reported.
    fn drop(&mut self) {
        if let (Some(place), Some(transfer)) = (self.place, self.client.left()) {
            let row = transfer.open(&place, Instant::now(), |at| self.account.ns(at));
            self.account.tally.borrow_mut().send(Rows::Transfer(Box::new(row)));
        }
        self.account.connects.set(self.account.connects.get() + self.client.connects());
    }
}

impl<C: Client> Follower<C> {
    /// A closed loop: the client is made ready, and its next pass starts. `under_way`: a pass that has begun already.
    /// Returns the client for the loop that awaits it, or nothing at the end.
    pub async fn closed(mut self, pace: Pace, under_way: Option<Pass>) -> Option<Self> {
        let account = Rc::clone(&self.account);
        let Pace { begin_ns, think, mut random, presence } = pace;
        let mut free_ns = begin_ns;
        // When the previous pass ended, if nothing was waited for since.
        let mut ended_ns = None;
        // Whether it ended with a pause.
        let mut paused = false;
        if let Some(pass) = under_way {
            ended_ns = Some(self.carry(pass).await.end_ns);
        }
        let mut thinks_ns = || match think {
            Think::None => 0,
            Think::Constant(length) => nanos(length),
            Think::Exponential(mean) => (random.exponential() * mean.as_nanos() as f64) as u64,
        };
        loop {
            // Where the number of connections changes, this one may have to wait for its turn, or never have one again.
            if let Some((presence, number)) = &presence {
                let now_ns = account.pacer.now_ns().max(free_ns);
                match presence.from(*number, now_ns) {
                    Some(at_ns) if at_ns <= now_ns => {}
                    Some(at_ns) => (free_ns, ended_ns, paused) = (at_ns, None, true),
                    None => break,
                }
            }
            if ended_ns.is_none() {
                attended(&mut self.client, account.pacer.until(self.slot, free_ns)).await;
            }
            let made_ready = self.client.made_ready();
            // The connection is made before its next pass starts; a server's accept queue is not part of the request's
            // time.
            let ready = {
                let mut ready = pin!(self.client.ready());
                match poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx))).await {
                    Poll::Ready(ready) => ready,
                    Poll::Pending => {
                        account.connecting(self.slot, account.pacer.now_ns());
                        ready.await
                    }
                }
            };
            if ready.is_ok() && self.is_awaited && self.client.detach() {
                self.record_own(self.phase_now());
                return Some(self);
            }
            let now_ns = match ended_ns.take() {
                Some(ended_ns) if self.client.made_ready() == made_ready => ended_ns,
                _ => account.pacer.now_ns(),
            };
            let arrival = match account.next(now_ns) {
                Next::Begin(arrival) => arrival,
                Next::At(at_ns) => {
                    account.under_way.borrow_mut()[self.slot] = None;
                    free_ns = at_ns;
                    continue;
                }
                Next::Over => {
                    self.record_own(self.phase_now());
                    account.idle_from_ns.set(account.idle_from_ns.get().or(Some(now_ns)));
                    break;
                }
            };
            self.record_own(arrival.phase);
            if let Err(failure) = ready {
                account.note(None, &failure);
                let completed_in = account.completed_in(arrival.phase, now_ns);
                let failed =
                    RequestRow { completed_in, outcome: failure.outcome, ..ended(arrival.phase, now_ns, now_ns, now_ns) };
                // A pass of one step is recorded as that step.
                account.record(&RequestRow { step: account.single_step.then_some(0), ..failed });
                let mut walk = self.script.begin(arrival.pass);
                if let Some(kind) = self.script.row(&walk) {
                    account.record(&RequestRow { step: Some(kind), ..failed });
                }
                account.watch.borrow_mut().begins(now_ns);
                account.pass_ended(self.slot, &failed);
                // A user that gets no connection is in no more of a hurry than one that gets an answer.
                let rest_ns = self.script.last_pauses(&mut walk).saturating_add(thinks_ns());
                free_ns = now_ns.saturating_add(rest_ns.max(nanos(thread::CONNECT_PAUSE)));
                free_ns = account.planned_end_ns().map_or(free_ns, |end_ns| free_ns.min(end_ns));
                continue;
            }
            // Without think time the next pass is meant to start as soon as this one ends, and it does.
            let intended_ns = if think == Think::None && !paused { None } else { Some(free_ns.max(begin_ns)) };
            let Ended { end_ns, pause_ns } = self.pass(&arrival, intended_ns).await;
            paused = pause_ns > 0;
            if think == Think::None && !paused {
                (ended_ns, free_ns) = (Some(end_ns), 0);
            } else {
                free_ns = end_ns.saturating_add(pause_ns).saturating_add(thinks_ns());
                // There is no think time before a pass that will never be sent.
                if account.is_used_up() {
                    account.idle_from_ns.set(account.idle_from_ns.get().or(Some(end_ns)));
                    break;
                }
            }
            free_ns = account.planned_end_ns().map_or(free_ns, |end_ns| free_ns.min(end_ns));
        }
        account.under_way.borrow_mut()[self.slot] = None;
        None
    }

    /// An open loop: a due pass starts immediately; otherwise the client makes itself ready and waits for an arrival.
    /// `under_way`: a pass that has begun already. Returns the client for the loop that awaits it, or nothing at the end.
    pub async fn open(mut self, under_way: Option<Pass>) -> Option<Self> {
        let account = Rc::clone(&self.account);
        if let Some(pass) = under_way {
            self.carry(pass).await;
            if self.is_awaited && self.client.detach() {
                return Some(self);
            }
        }
        loop {
            let arrival = match account.next(account.pacer.now_ns()) {
                Next::Begin(arrival) => arrival,
                Next::Over => break,
                Next::At(_) => {
                    let ready = self.client.ready().await;
                    self.record_own(self.phase_now());
                    if ready.is_ok() && self.is_awaited && self.client.detach() {
                        return Some(self);
                    }
                    match account.next(account.pacer.now_ns()) {
                        Next::Begin(arrival) => arrival,
                        Next::Over => break,
                        Next::At(at_ns) => match attended(&mut self.client, account.pacer.arrival(self.slot, at_ns)).await {
                            Some(arrival) => arrival,
                            None => break,
                        },
                    }
                }
            };
            let Ended { end_ns, pause_ns } = self.pass(&arrival, Some(arrival.intended_ns)).await;
            if pause_ns > 0 {
                // The user is busy with the pause, and takes no other pass.
                let until_ns = end_ns.saturating_add(pause_ns);
                attended(&mut self.client, account.pacer.until(self.slot, until_ns)).await;
            } else if self.is_awaited && self.client.detach() {
                return Some(self);
            }
        }
        self.record_own(self.phase_now());
        None
    }

    /// One pass as its script says. Without `intended_ns` the intended start is the actual start.
    async fn pass(&mut self, arrival: &Arrival, intended_ns: Option<u64>) -> Ended {
        let pass = self.begin_pass(arrival, intended_ns);
        self.carry(pass).await
    }

    /// Starts a pass.
    #[inline(always)]
    pub fn begin_pass(&mut self, arrival: &Arrival, intended_ns: Option<u64>) -> Pass {
        self.client.begin_pass(arrival.pass);
        Pass::begin(&self.account, &self.script, self.slot, arrival, intended_ns)
    }

    /// Carries a pass to its end.
    async fn carry(&mut self, mut pass: Pass) -> Ended {
        let account = Rc::clone(&self.account);
        loop {
            let Turn { pause_ns, then } = pass.turn(&self.script, self.client.values());
            let (step, unknown) = match then {
                Then::Step(step) => (step, None),
                Then::Unknown(step, failure) => (step, Some(failure)),
                // What comes after the last step is not part of the pass.
                Then::End => return self.end_pass(pass, pause_ns),
            };
            if pause_ns > 0 {
                let until_ns = pass.pauses(&account, pause_ns);
                attended(&mut self.client, account.pacer.until(self.slot, until_ns)).await;
                pass.goes_on(&account, pause_ns, until_ns);
            }
            self.begin_step(&pass, step, pause_ns > 0);
            let exchange = match unknown {
                None => self.client.exchange(step).await,
                Some(failure) => Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) },
            };
            self.end_step(&mut pass, step, exchange);
        }
    }

    /// A step starts; `has_paused`: after a pause.
    #[inline(always)]
    pub fn begin_step(&mut self, pass: &Pass, step: usize, has_paused: bool) {
        let intended_ns = pass.steps(&self.account, step, has_paused);
        let Arrival { pass, phase, .. } = pass.arrival;
        self.place = Some(Place { workload: self.account.workload, step: step as u16, pass, phase, intended_ns });
    }

    /// A step has ended: all of it is recorded.
    #[inline(always)]
    pub fn end_step(&mut self, pass: &mut Pass, step: usize, mut exchange: Exchange) {
        let has_waited = self.record_own(pass.arrival.phase);
        let account = &self.account;
        let row = pass.step_ended(account, step, &exchange, has_waited);
        self.send_metrics(&pass.arrival, &exchange, row.completed_ns);
        if let (Some(transfer), Some(place)) = (exchange.transfer.take(), self.place) {
            let row = transfer.row(&Place { intended_ns: row.intended_ns, ..place }, &exchange, |at| account.ns(at));
            account.tally.borrow_mut().send(Rows::Transfer(Box::new(row)));
        }
    }

    /// The pass has ended, with a pause of `pause_ns` after it.
    #[inline(always)]
    pub fn end_pass(&mut self, pass: Pass, pause_ns: u64) -> Ended {
        self.client.end_pass();
        pass.end(&self.account, pause_ns)
    }

    /// The phase to which something belongs that is of no pass and ends now.
    pub fn phase_now(&self) -> Phase {
        match self.account.phase_at(self.account.pacer.now_ns()) {
            Phase::Drain => self.measured,
            phase => phase,
        }
    }

    /// Records what the client has executed on its own, each step by itself. Returns whether there was anything.
    pub fn record_own(&mut self, phase: Phase) -> bool {
        let own = self.client.own();
        for (step, exchange) in &own {
            let (sent_ns, completed_ns) = (self.account.ns(exchange.sent), self.account.ns(exchange.completed));
            let row = self.account.row_of(*step, exchange, ended(phase, sent_ns, sent_ns, completed_ns));
            if let Err(failure) = &exchange.result {
                self.account.note(row.step, failure);
            }
            self.account.record(&row);
        }
        !own.is_empty()
    }

    fn send_metrics(&self, arrival: &Arrival, exchange: &Exchange, at_ns: u64) {
        // A value that is not a number is unknown.
        for (metric, value) in exchange.metrics.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            self.account.tally.borrow_mut().send(Rows::Metric(MetricRow {
                at_ns,
                workload: self.account.workload,
                metric: metric as u16,
                phase: arrival.phase,
                pass: arrival.pass,
                value: *value,
            }));
        }
    }
}
