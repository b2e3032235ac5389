//! One generator thread: its clients follow the schedule, every answer is checked and counted.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::account::{Account, UnderWay, ended, without_pauses};
use super::drivers::script::{Script, Then, Turn};
use super::drivers::transfer::Place;
use super::drivers::{Aside, Client, Driver, Exchange};
use super::observer::Begun;
use super::schedule::{Arrival, Next, Presence, Random, Schedule, ThreadSlice};
use super::{Error, Job, Report, Rows, thread};
use plan::{Arrivals, Think};
use vocabulary::rows::{MetricRow, RequestRow};
use vocabulary::units::nanos;
use vocabulary::{Outcome, Phase};

/// What one generator thread does.
pub struct Share<D> {
    /// Number of the thread, from 0.
    pub thread: u64,
    /// How many generator threads share the load.
    pub threads: u64,
    /// Carries the passes.
    pub driver: Arc<D>,
    /// What all threads have in common.
    pub job: Job,
}

/// The whole life of a generator thread.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run on its processors.
pub fn run<D: Driver>(share: &Share<D>) -> Result<Report, Error> {
    let streams = share.driver.streams();
    let clients: Vec<u64> = (0..u64::from(share.job.workload.load.arrivals.connections()) * streams)
        .filter(|n| n / streams % share.threads == share.thread)
        .collect();
    let group = Rc::new(<D::Client as Client>::Group::default());
    let (flow, steps, own) = (&share.job.workload.flow, share.driver.steps(), share.driver.own_steps());
    let script = Rc::new(Script::new(flow, share.driver.names(), steps + own, share.job.seed)?);
    let report = thread::run(&share.job, steps + own, clients.len(), async |account, begin| {
        follow(share, &script, &clients, &group, account, begin).await
    })?;
    share.driver.over(&group, &share.job, &report);
    Ok(Report { traffic: D::Client::traffic(&group), users: D::Client::users(&group), ..report })
}

/// Connects, waits for the other threads, and lets every client follow the schedule to its end: no longer than the
/// drain after the planned end, if there is one, and no shorter either.
async fn follow<D: Driver>(
    share: &Share<D>,
    script: &Rc<Script>,
    numbers: &[u64],
    group: &Rc<<D::Client as Client>::Group>,
    account: &Rc<Account>,
    begin: &thread::Begin,
) -> Result<(), Error> {
    let job = &share.job;
    let load = &job.workload.load;
    let mut clients: Vec<D::Client> = numbers.iter().map(|n| share.driver.client(*n, job.seed, group)).collect();
    let (ramp, stages) = match &load.arrivals {
        Arrivals::Closed { ramp, stages, .. } => (*ramp, stages.as_slice()),
        Arrivals::Open { .. } => (Duration::ZERO, [].as_slice()),
    };
    if ramp.is_zero() && stages.is_empty() {
        let patience = share.driver.patience();
        clients = thread::make_ready(clients, patience, async |client| drop(client.ready().await)).await;
    }
    let origin_ns = thread::together(job, account, begin).await;
    let slice = ThreadSlice::of(share.thread, share.threads, job.seed);
    account.begin(vec![Schedule::new(load, slice, origin_ns)], origin_ns, always_due(load) && !script.has_pauses());
    let (clock, notes) = (Rc::clone(account), Rc::clone(account));
    let phase = Box::new(move || clock.phase_at(clock.pacer.now_ns()));
    D::Client::begins(group, Aside { phase, note: Box::new(move |failure| notes.note(None, failure)) });

    let mut tasks = JoinSet::new();
    let all = u64::from(load.arrivals.connections()) * share.driver.streams();
    for (slot, (number, client)) in numbers.iter().zip(clients).enumerate() {
        let account = Rc::clone(account);
        let (script, place) = (Rc::clone(script), None);
        let mut follower = Follower { slot, client, account, script, measured: first_measured(load), place };
        // What it did before the load belongs to the first phase that is measured.
        follower.record_own(follower.measured);
        let begin_ns = origin_ns.saturating_add(share_of(ramp, *number, all));
        match load.arrivals {
            Arrivals::Closed { think, ref stages, .. } => {
                let presence = Presence::new(stages, origin_ns).map(|presence| (presence, *number));
                let random = Random::new(job.seed, 0x7468_696e_6b00 ^ number.rotate_left(32));
                tasks.spawn_local(follower.closed(begin_ns, think, random, presence));
            }
            Arrivals::Open { .. } => {
                tasks.spawn_local(follower.open());
            }
        }
    }
    thread::to_the_end(account, job, tasks, |now_ns| account.leave_open(now_ns)).await
}

/// When client `number` of `all` starts within the ramp: the first at its start, the last at its end.
fn share_of(ramp: Duration, number: u64, all: u64) -> u64 {
    let share = ramp.as_nanos().saturating_mul(u128::from(number)) / u128::from(all.saturating_sub(1).max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The first phase that is not the warm-up.
fn first_measured(load: &plan::Load) -> Phase {
    let phases = || load.segments.iter().map(|segment| segment.phase);
    phases().find(|phase| *phase != Phase::WarmUp).or_else(|| phases().next()).unwrap_or(Phase::During)
}

/// Whether a pass is due whenever a client is free.
fn always_due(load: &plan::Load) -> bool {
    matches!(&load.arrivals, Arrivals::Closed { think: Think::None, stages, .. } if stages.is_empty())
}

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
struct Follower<C: Client> {
    slot: usize,
    client: C,
    account: Rc<Account>,
    /// What its passes do.
    script: Rc<Script>,
    /// The first phase that is not the warm-up.
    measured: Phase,
    /// What is under way, as its row would show it.
    place: Option<Place>,
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

/// A pass that has ended.
struct Ended {
    /// The end of its last step.
    end_ns: u64,
    /// The pause after it, for which the client is not free.
    pause_ns: u64,
}

/// Adds a further step to the pass as a whole.
fn add_step(whole: &mut RequestRow, one: &RequestRow) {
    whole.completed_ns = one.completed_ns;
    whole.completed_in = one.completed_in;
    whole.outcome = one.outcome;
    whole.connect_ns = match (whole.connect_ns, one.connect_ns) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
    };
    whole.sent_bytes += one.sent_bytes;
    whole.received_bytes += one.received_bytes;
}

impl<C: Client> Follower<C> {
    /// A closed loop: the client is made ready, and its next pass starts.
    async fn closed(mut self, begin_ns: u64, think: Think, mut random: Random, presence: Option<(Presence, u64)>) {
        let account = Rc::clone(&self.account);
        let mut free_ns = begin_ns;
        // When the previous pass ended, if nothing was waited for since.
        let mut ended_ns = None;
        // Whether it ended with a pause.
        let mut paused = false;
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
    }

    /// An open loop: a due pass starts immediately; otherwise the client makes itself ready and waits for an arrival.
    async fn open(mut self) {
        let account = Rc::clone(&self.account);
        loop {
            let arrival = match account.next(account.pacer.now_ns()) {
                Next::Begin(arrival) => arrival,
                Next::Over => break,
                Next::At(_) => {
                    let _ = self.client.ready().await;
                    self.record_own(self.phase_now());
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
            }
        }
        self.record_own(self.phase_now());
    }

    /// One pass as its script says. A step that fails ends the pass: later steps would ask for things that do not exist.
    /// Without `intended_ns` the intended start is the actual start.
    async fn pass(&mut self, arrival: &Arrival, intended_ns: Option<u64>) -> Ended {
        let account = Rc::clone(&self.account);
        let script = Rc::clone(&self.script);
        let Arrival { pass, phase, .. } = *arrival;
        let mut walk = script.begin(pass);
        let kind = script.row(&walk);
        self.client.begin_pass(pass);
        // In a closed loop without think time the pass starts when it is meant to.
        let (intended, begun_ns) =
            intended_ns.map_or((arrival.intended_ns, arrival.intended_ns), |at| (at, account.pacer.now_ns()));
        account.begins(self.slot, UnderWay { kind, ..UnderWay::begun(phase, intended, begun_ns) });
        if !account.observers.is_empty() {
            let sent_ns = account.pacer.now_ns();
            let intended_ns = intended_ns.unwrap_or(sent_ns);
            let begun = Begun { intended_ns, sent_ns, phase };
            account.observers.iter().for_each(|observer| observer.begins(pass, begun));
        }
        let mut whole: Option<RequestRow> = None;
        // When the next step is meant to start; none: as soon as it does.
        let mut due_ns = intended_ns;
        let (mut paused_ns, mut failed) = (0_u64, false);
        let pause_ns = loop {
            // Its user is as patient at the end as after a pass that was answered.
            if failed {
                break script.last_pauses(&mut walk);
            }
            let Turn { pause_ns, then } = script.next(&mut walk, self.client.values());
            let (step, unknown) = match then {
                Then::Step(step) => (step, None),
                Then::Unknown(step, failure) => (step, Some(failure)),
                // What comes after the last step is not part of the pass.
                Then::End => break pause_ns,
            };
            if pause_ns > 0 {
                let since_ns = whole.as_ref().map_or(intended, |whole| whole.completed_ns);
                let until_ns = since_ns.saturating_add(pause_ns);
                account.pauses(self.slot, since_ns, whole.is_some());
                attended(&mut self.client, account.pacer.until(self.slot, until_ns)).await;
                account.goes_on(self.slot, pause_ns, until_ns);
                if whole.is_some() {
                    paused_ns = paused_ns.saturating_add(pause_ns);
                }
                due_ns = Some(until_ns);
            }
            if whole.is_some() || pause_ns > 0 {
                account.steps(self.slot, step, due_ns.unwrap_or(intended));
            } else if step > 0 {
                account.steps(self.slot, step, begun_ns);
            }
            let meant_ns = due_ns.unwrap_or(intended);
            self.place = Some(Place { workload: account.workload, step: step as u16, pass, phase, intended_ns: meant_ns });
            let mut exchange = match unknown {
                None => self.client.exchange(step).await,
                Some(failure) => Exchange { result: Err(failure), ..Exchange::begun(Instant::now()) },
            };
            let has_waited = self.record_own(phase);
            let (sent_ns, completed_ns) = (account.ns(exchange.sent), account.ns(exchange.completed));
            // A later step is meant to start when the previous one, or the pause after it, has ended. If its user had to log in
            // first, it starts after that.
            let later = |due_ns: u64| if has_waited { sent_ns } else { due_ns.min(sent_ns) };
            let intended = due_ns.map_or(sent_ns, |due_ns| if whole.is_some() { later(due_ns) } else { due_ns });
            let one = RequestRow {
                completed_in: account.completed_in(phase, completed_ns),
                ..account.row_of(step, &exchange, ended(phase, intended, sent_ns, completed_ns))
            };
            if let Err(failure) = &exchange.result
                && failure.outcome.is_error()
            {
                account.note(one.step, failure);
            }
            account.record(&one);
            self.send_metrics(arrival, &exchange, completed_ns);
            if let Some(transfer) = exchange.transfer.take() {
                let place = Place { workload: account.workload, step: step as u16, pass, phase, intended_ns: intended };
                let row = transfer.row(&place, &exchange, |at| account.ns(at));
                account.tally.borrow_mut().send(Rows::Transfer(Box::new(row)));
            }
            match &mut whole {
                None => whole = Some(RequestRow { step: None, ..one }),
                Some(whole) => add_step(whole, &one),
            }
            due_ns = Some(completed_ns);
            failed = one.outcome != Outcome::Ok;
        };
        self.client.end_pass();
        // Every pass has a step: the plan has no others.
        let Some(whole) = whole else {
            account.under_way.borrow_mut()[self.slot] = None;
            return Ended { end_ns: account.pacer.now_ns(), pause_ns };
        };
        let measured = without_pauses(&whole, paused_ns);
        if !account.single_step {
            account.record(&measured);
        }
        if kind.is_some() {
            account.record(&RequestRow { step: kind, ..measured });
        }
        account.paused_pass_ended(self.slot, &whole, paused_ns);
        if whole.outcome != Outcome::Ok {
            account.observers.iter().for_each(|observer| observer.fails(pass));
        }
        Ended { end_ns: whole.completed_ns, pause_ns }
    }

    /// The phase to which something belongs that is of no pass and ends now.
    fn phase_now(&self) -> Phase {
        match self.account.phase_at(self.account.pacer.now_ns()) {
            Phase::Drain => self.measured,
            phase => phase,
        }
    }

    /// Records what the client has executed on its own, each step by itself. Returns whether there was anything.
    fn record_own(&mut self, phase: Phase) -> bool {
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
