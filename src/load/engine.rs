//! One generator thread: its clients follow the schedule, every answer is checked and counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::Semaphore;

use super::drivers::{Client, Driver, Exchange, Failure};
use super::ledger::{Ledger, Sent};
use super::pacer::Pacer;
use super::schedule::{Arrival, Next, Part, Random, Schedule};
use super::tally::Tally;
use super::windows::{Ended, Outcome, Phase};
use super::{Error, Job, MetricRow, PhaseReport, Report, Rows};
use crate::plan::{Arrivals, Think};

/// A connection that could not be made is tried again after this, so that a dead server is not hammered.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Connections that are made at a time before the load; more would only overflow the server's accept queue.
const CONNECTING: usize = 128;
/// No longer than this the begin of the load waits for connections, and for each of them.
const CONNECT_PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2));
/// How often progress is told, in passes.
const TELL: u64 = 64;

/// What one generator thread does.
pub struct Share<D> {
    /// Its number.
    pub thread: u64,
    /// Of how many.
    pub threads: u64,
    /// What carries the passes.
    pub driver: Arc<D>,
    /// What all threads have in common.
    pub job: Job,
}

/// What the clients of a thread share.
struct Shared {
    epoch: Instant,
    schedule: RefCell<Option<Schedule>>,
    pacer: Pacer,
    tally: RefCell<Tally>,
    phases: RefCell<[Option<PhaseReport>; Phase::ALL.len()]>,
    examples: RefCell<Vec<(Option<u16>, Outcome, String)>>,
    progress: Arc<AtomicU64>,
    untold: Cell<u64>,
    connects: Cell<u64>,
    /// Who waits for what is sent.
    ledgers: Vec<Arc<Ledger>>,
    workload: u16,
    single_step: bool,
}

impl Shared {
    fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    fn next(&self, now_ns: u64) -> Next {
        self.schedule.borrow_mut().as_mut().map_or(Next::Over, |s| s.next(now_ns))
    }

    fn record(&self, ended: &Ended) {
        self.tally.borrow_mut().record(ended);
    }

    fn pass_ended(&self, arrival: &Arrival, outcome: Outcome, sent_ns: u64, end_ns: u64) {
        let errors = u64::from(outcome.is_error());
        let untold = self.untold.get() + 1;
        self.untold.set(untold % TELL);
        if untold == TELL {
            self.progress.fetch_add(TELL, Ordering::Relaxed);
        }
        let mut phases = self.phases.borrow_mut();
        let fresh = PhaseReport { start_ns: sent_ns, ..PhaseReport::empty(arrival.phase) };
        let phase = phases[arrival.phase as usize].get_or_insert(fresh);
        phase.start_ns = phase.start_ns.min(sent_ns);
        phase.end_ns = phase.end_ns.max(end_ns);
        phase.passes += 1;
        phase.errors += errors;
        phase.named += u64::from(matches!(outcome, Outcome::Named(_)));
    }

    /// Keeps the words of the first failure of each kind.
    fn note(&self, step: Option<u16>, failure: &Failure) {
        let mut examples = self.examples.borrow_mut();
        if !examples.iter().any(|(s, o, _)| *s == step && *o == failure.outcome) {
            examples.push((step, failure.outcome, failure.words.clone()));
        }
    }
}

/// Lets the calling thread run on these processors only.
fn pin(cpus: &[u32]) -> Result<(), Error> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus.iter().filter(|c| (**c as usize) < rustix::thread::CpuSet::MAX_CPU) {
        set.set(*cpu as usize);
    }
    rustix::thread::sched_setaffinity(None, &set).map_err(|e| Error::Thread(format!("it cannot run on processors {cpus:?}: {e}")))
}

/// Tells those who wait for what this thread sends that it has ended, however that came.
struct End<'a>(&'a [Arc<Ledger>]);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|ledger| ledger.author_ends());
    }
}

/// The whole life of a generator thread.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run where it should.
pub fn run<D: Driver>(share: &Share<D>) -> Result<Report, Error> {
    let broken = |e: std::io::Error| Error::Thread(e.to_string());
    let job = &share.job;
    let _end = End(&job.ledgers);
    let prepared = pin(&job.workload.cpus).and_then(|()| {
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).map_err(broken)
    });
    let runtime = prepared.inspect_err(|_| job.gate.arrive())?;
    let streams = share.driver.streams();
    let clients: Vec<u64> = (0..u64::from(job.workload.load.arrivals.connections()) * streams)
        .filter(|n| n / streams % share.threads == share.thread)
        .collect();
    let pacer = {
        let _inside = runtime.enter();
        Pacer::new(job.epoch, clients.len()).map_err(broken).inspect_err(|_| job.gate.arrive())?
    };
    let shared = Rc::new(Shared {
        epoch: job.epoch,
        schedule: RefCell::new(None),
        pacer,
        tally: RefCell::new(Tally::new(job, share.driver.steps())),
        phases: RefCell::default(),
        examples: RefCell::default(),
        progress: Arc::clone(&job.progress),
        untold: Cell::new(0),
        connects: Cell::new(0),
        ledgers: job.ledgers.clone(),
        workload: job.index,
        single_step: share.driver.steps() == 1,
    });
    let begin = Cell::new((job.epoch, 0));
    let group = Rc::new(<D::Client as Client>::Group::default());
    let aborted = runtime.block_on(async {
        let mut abort = job.abort.clone();
        let load = follow(share, &clients, &group, &shared, &begin);
        tokio::select! {
            biased;
            done = load => done.map(|()| false),
            // An error means that nobody can ask for an end any more; then nobody waits for one either.
            _ = abort.wait_for(|asked| *asked) => Ok(true),
        }
    })?;
    let (began, cpu_before) = begin.get();
    Ok(Report { traffic: D::Client::traffic(&group), ..report(&shared, aborted, began, cpu_before) })
}

/// Connects, waits for the others, and lets every client follow the schedule to its end.
async fn follow<D: Driver>(
    share: &Share<D>,
    numbers: &[u64],
    group: &Rc<<D::Client as Client>::Group>,
    shared: &Rc<Shared>,
    begin: &Cell<(Instant, u64)>,
) -> Result<(), Error> {
    let job = &share.job;
    let load = &job.workload.load;
    let mut clients: Vec<D::Client> = numbers.iter().map(|n| share.driver.client(*n, job.seed, group)).collect();
    let ramp = match load.arrivals {
        Arrivals::Closed { ramp, .. } => ramp,
        Arrivals::Open { .. } => Duration::ZERO,
    };
    if ramp.is_zero() {
        clients = connect(clients).await;
    }
    job.gate.arrive();
    let origin = job.gate.opened().await;
    begin.set((Instant::now(), thread_cpu_ns()));
    let origin_ns = shared.ns(origin);
    let part = Part { thread: share.thread, threads: share.threads, seed: job.seed };
    *shared.schedule.borrow_mut() = Some(Schedule::new(load, part, origin_ns));

    let mut tasks = Vec::new();
    let all = u64::from(load.arrivals.connections()) * share.driver.streams();
    for (slot, (number, client)) in numbers.iter().zip(clients).enumerate() {
        let shared = Rc::clone(shared);
        let follower = Follower { slot, client, shared };
        let begin_ns = origin_ns + ramp.as_nanos() as u64 * number / (all - 1).max(1);
        tasks.push(match load.arrivals {
            Arrivals::Closed { think, .. } => {
                let random = Random::new(job.seed, 0x7468_696e_6b00 ^ number.rotate_left(32));
                tokio::task::spawn_local(follower.closed(begin_ns, think, random))
            }
            Arrivals::Open { .. } => tokio::task::spawn_local(follower.open()),
        });
    }
    let ended = async {
        for task in tasks {
            task.await.map_err(|e| Error::Thread(e.to_string()))?;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = ended => ended,
        () = shared.pacer.run(|now_ns| shared.next(now_ns)) => Err(Error::Thread("its timer broke".to_owned())),
    }
}

/// Connects as many clients as can be before the load; the others do so in their first exchange.
async fn connect<C: Client>(clients: Vec<C>) -> Vec<C> {
    let (least, each) = CONNECT_PATIENCE;
    let patience = tokio::time::Instant::now() + least + each * clients.len() as u32;
    let places = Rc::new(Semaphore::new(CONNECTING));
    let connecting: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let places = Rc::clone(&places);
            tokio::task::spawn_local(async move {
                let Ok(_place) = places.acquire().await else { return client };
                // What fails here fails again when it matters, and is counted then.
                let _ = tokio::time::timeout_at(patience, client.ready()).await;
                client
            })
        })
        .collect();
    let mut clients = Vec::with_capacity(connecting.len());
    for task in connecting {
        clients.push(task.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    clients
}

fn report(shared: &Shared, aborted: bool, began: Instant, cpu_before: u64) -> Report {
    shared.tally.borrow_mut().flush();
    shared.progress.fetch_add(shared.untold.get(), Ordering::Relaxed);
    let mut phases = *shared.phases.borrow();
    if let Some(Schedule::Open(open)) = shared.schedule.borrow_mut().as_mut().filter(|_| !aborted) {
        for (phase, offered, unsent) in open.offered_and_unsent() {
            let report = phases[phase as usize].get_or_insert(PhaseReport::empty(phase));
            (report.offered, report.unsent) = (offered, unsent);
        }
        // Passes come from the begin to the end of their phase, also where the first and the last lie inside of it.
        for (phase, start_ns, end_ns) in open.bounds() {
            if let Some(report) = &mut phases[*phase as usize] {
                report.start_ns = report.start_ns.min(*start_ns);
                report.end_ns = report.end_ns.max(*end_ns);
            }
        }
    }
    for report in phases.iter_mut().flatten() {
        report.offered = report.offered.max(report.passes);
    }
    let examples = shared.examples.borrow().iter().map(|(_, outcome, words)| format!("{}: {words}", outcome.name(&[]))).collect();
    Report {
        phases: phases.into_iter().flatten().collect(),
        totals: shared.tally.borrow().totals(),
        generator_cpu_ns: thread_cpu_ns().saturating_sub(cpu_before),
        generator_wall_ns: began.elapsed().as_nanos() as u64,
        connects: shared.connects.get(),
        timer_late: shared.pacer.late(),
        dropped_windows: shared.tally.borrow().dropped(),
        examples,
        aborted,
        ..Report::empty()
    }
}

/// Processor time of the calling thread so far.
pub(super) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One client, following the schedule.
struct Follower<C> {
    slot: usize,
    client: C,
    shared: Rc<Shared>,
}

impl<C: Client> Follower<C> {
    /// A closed loop: the client is made ready, and its next pass begins.
    async fn closed(mut self, begin_ns: u64, think: Think, mut random: Random) {
        let shared = Rc::clone(&self.shared);
        let mut free_ns = begin_ns;
        // When the pass before ended, while nothing was waited for since.
        let mut ended_ns = None;
        loop {
            if ended_ns.is_none() {
                shared.pacer.until(self.slot, free_ns).await;
            }
            let connects = self.client.connects();
            // The connection is made before its next pass begins; a server's accept queue is not the request's time.
            let ready = self.client.ready().await;
            let now_ns = match ended_ns.take() {
                Some(ended_ns) if self.client.connects() == connects => ended_ns,
                _ => shared.pacer.now_ns(),
            };
            let arrival = match shared.next(now_ns) {
                Next::Begin(arrival) => arrival,
                Next::At(at_ns) => {
                    free_ns = at_ns;
                    continue;
                }
                Next::Over => break,
            };
            if let Err(failure) = ready {
                shared.note(None, &failure);
                let failed = Ended { outcome: failure.outcome, ..ended(None, &arrival, now_ns, now_ns, now_ns) };
                // A pass of one step is recorded as that step.
                shared.record(&Ended { step: shared.single_step.then_some(0), ..failed });
                shared.pass_ended(&arrival, failure.outcome, now_ns, now_ns);
                free_ns = now_ns + CONNECT_PAUSE.as_nanos() as u64;
                continue;
            }
            // Without think time the next pass is meant to begin as soon as this one ends, which is when it does.
            let intended_ns = if think == Think::None { None } else { Some(free_ns.max(begin_ns)) };
            let end_ns = self.pass(&arrival, intended_ns).await;
            free_ns = match think {
                Think::None => {
                    ended_ns = Some(end_ns);
                    0
                }
                Think::Constant(d) => end_ns + d.as_nanos() as u64,
                Think::Exponential(mean) => end_ns + (random.exponential() * mean.as_nanos() as f64) as u64,
            };
        }
        self.leave();
    }

    /// An open loop: what is due begins at once; otherwise the client makes itself ready and waits for an arrival.
    async fn open(mut self) {
        let shared = Rc::clone(&self.shared);
        loop {
            let arrival = match shared.next(shared.pacer.now_ns()) {
                Next::Begin(arrival) => arrival,
                Next::Over => break,
                Next::At(_) => {
                    let _ = self.client.ready().await;
                    match shared.next(shared.pacer.now_ns()) {
                        Next::Begin(arrival) => arrival,
                        Next::Over => break,
                        Next::At(at_ns) => match shared.pacer.arrival(self.slot, at_ns).await {
                            Some(arrival) => arrival,
                            None => break,
                        },
                    }
                }
            };
            self.pass(&arrival, Some(arrival.intended_ns)).await;
        }
        self.leave();
    }

    fn leave(&self) {
        self.shared.connects.set(self.shared.connects.get() + self.client.connects());
    }

    /// One pass through the steps; returns when it ended. A step that fails ends the pass: what follows would ask for
    /// what is not there. Without `intended_ns` it is meant to begin when it begins.
    async fn pass(&mut self, arrival: &Arrival, intended_ns: Option<u64>) -> u64 {
        let shared = Rc::clone(&self.shared);
        self.client.begin_pass(arrival.pass);
        if !shared.ledgers.is_empty() {
            let sent_ns = shared.pacer.now_ns();
            let intended_ns = intended_ns.unwrap_or(sent_ns);
            let sent = Sent { intended_ns, sent_ns, phase: arrival.phase, failed: false };
            shared.ledgers.iter().for_each(|ledger| ledger.begins(arrival.pass, sent));
        }
        let mut whole: Option<Ended> = None;
        for step in 0.. {
            let exchange = self.client.exchange(step).await;
            let (sent_ns, completed_ns) = (shared.ns(exchange.sent), shared.ns(exchange.completed));
            // A later step is meant to begin when the one before it has ended.
            let intended = whole.as_ref().map_or(intended_ns.unwrap_or(sent_ns), |w| w.completed_ns.min(sent_ns));
            let one = Ended {
                outcome: exchange.result.as_ref().err().map_or(Outcome::Ok, |f| f.outcome),
                connect_ns: exchange.connect.map(|c| c.as_nanos() as u64),
                first_byte_ns: exchange.first_byte.map(|at| shared.ns(at)),
                sent_bytes: exchange.sent_bytes,
                received_bytes: exchange.received_bytes,
                ..ended(Some(step as u16), arrival, intended, sent_ns, completed_ns)
            };
            if let Err(failure) = &exchange.result
                && failure.outcome.is_error()
            {
                shared.note(one.step, failure);
            }
            shared.record(&one);
            self.send_metrics(arrival, &exchange, completed_ns);
            let whole = match &mut whole {
                None => whole.insert(Ended { step: None, ..one }),
                Some(whole) => {
                    whole.completed_ns = completed_ns;
                    whole.outcome = one.outcome;
                    whole.connect_ns = match (whole.connect_ns, one.connect_ns) {
                        (None, None) => None,
                        (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
                    };
                    whole.sent_bytes += one.sent_bytes;
                    whole.received_bytes += one.received_bytes;
                    whole
                }
            };
            if one.outcome == Outcome::Ok && step + 1 < shared.tally.borrow().steps() {
                continue;
            }
            if !shared.single_step {
                shared.record(whole);
            }
            shared.pass_ended(arrival, whole.outcome, whole.sent_ns, whole.completed_ns);
            if whole.outcome != Outcome::Ok {
                shared.ledgers.iter().for_each(|ledger| ledger.fails(arrival.pass));
            }
            return whole.completed_ns;
        }
        unreachable!("a pass ends with its last step")
    }

    fn send_metrics(&self, arrival: &Arrival, exchange: &Exchange, at_ns: u64) {
        for (metric, value) in exchange.metrics.iter().enumerate() {
            self.shared.tally.borrow_mut().send(Rows::Metric(MetricRow {
                at_ns,
                workload: self.shared.workload,
                metric: metric as u16,
                phase: arrival.phase,
                pass: arrival.pass,
                value: *value,
            }));
        }
    }
}

fn ended(step: Option<u16>, arrival: &Arrival, intended_ns: u64, sent_ns: u64, completed_ns: u64) -> Ended {
    Ended {
        step,
        phase: arrival.phase,
        outcome: Outcome::Ok,
        intended_ns,
        sent_ns,
        completed_ns,
        connect_ns: None,
        first_byte_ns: None,
        sent_bytes: 0,
        received_bytes: 0,
    }
}
