//! One generator thread: its clients follow the schedule, every answer is checked and counted.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::drivers::{Client, Driver, Exchange, Failure};
use super::observer::{Begun, Observer};
use super::pacer::Pacer;
use super::schedule::{Arrival, Next, Random, Schedule, ThreadSlice};
use super::silence::Watch;
use super::tally::Tally;

use super::{Error, Job, Late, PhaseReport, Report, Rows};
use plan::{Arrivals, Length, Think};
use vocabulary::rows::{MetricRow, RequestRow};
use vocabulary::units::nanos;
use vocabulary::{Outcome, Phase};

/// A connection that could not be made is tried again after this, so that a dead server is not hammered.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Connections that are made at a time before the load; more would only overflow the server's accept queue.
const CONNECTING: usize = 128;
/// No longer than this the start of the load waits for connections, and for each of them.
const CONNECT_PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2));
/// How often it is looked whether the end of a load is known.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is told, in passes.
const TELL: u64 = 64;

/// What one generator thread does.
pub struct Share<D> {
    /// Number of the thread, from 0.
    pub thread: u64,
    /// How many generator threads share the load.
    pub threads: u64,
    /// What carries the passes.
    pub driver: Arc<D>,
    /// What all threads have in common.
    pub job: Job,
}

/// A pass that is under way, or the connecting before one.
#[derive(Clone, Copy)]
struct UnderWay {
    phase: Phase,
    intended_ns: u64,
    sent_ns: u64,
    /// The step that is under way, and when it began.
    step: u16,
    step_ns: u64,
}

/// The end of a load. What is counted afterwards belongs to none of its times.
#[derive(Clone, Copy)]
struct Ending {
    at_ns: u64,
    at: Instant,
    cpu_ns: u64,
}

/// What the clients of a thread share.
struct Shared {
    epoch: Instant,
    schedule: RefCell<Option<Schedule>>,
    pacer: Pacer,
    tally: RefCell<Tally>,
    phases: RefCell<[Option<PhaseReport>; Phase::ALL.len()]>,
    /// Start, end and phase of the segment in which a pass ended last.
    span: Cell<(u64, u64, Phase)>,
    late: RefCell<Vec<Late>>,
    /// When the load was over, and what the thread had used by then.
    ending: Cell<Option<Ending>>,
    /// The pass of each client, by its number; none while it is idle.
    under_way: RefCell<Vec<Option<UnderWay>>>,
    watch: RefCell<Watch>,
    /// When a client first found that the amount is used up.
    idle_from_ns: Cell<Option<u64>>,
    examples: RefCell<Vec<(Option<u16>, Outcome, String)>>,
    progress: Arc<AtomicU64>,
    untold: Cell<u64>,
    connects: Cell<u64>,
    /// Who waits for what is sent.
    observers: Vec<Arc<dyn Observer>>,
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

    fn ending(&self) -> Ending {
        Ending { at_ns: self.pacer.now_ns(), at: Instant::now(), cpu_ns: thread_cpu_ns() }
    }

    fn look_ahead(&self) -> bool {
        let now_ns = self.pacer.now_ns();
        self.schedule.borrow_mut().as_mut().is_some_and(|s| s.look_ahead(now_ns))
    }

    fn give_up(&self) -> bool {
        self.schedule.borrow_mut().as_mut().is_some_and(Schedule::give_up)
    }

    fn record(&self, ended: &RequestRow) {
        self.tally.borrow_mut().record(ended);
    }

    /// The phase to which a pass of `phase` that ends at `at_ns` counts as completed.
    fn completed_in(&self, phase: Phase, at_ns: u64) -> Phase {
        // Nearly all passes end in the phase in which they began, and in the same segment of time as the one before.
        let (begin_ns, end_ns, now) = self.span.get();
        if now == phase && begin_ns <= at_ns && at_ns < end_ns {
            return phase;
        }
        if let Some(span) = self.schedule.borrow().as_ref().and_then(|s| s.timeline().span_at(at_ns)) {
            self.span.set(span);
        }
        self.schedule.borrow().as_ref().map_or(phase, |s| s.timeline().completed_in(phase, at_ns))
    }

    fn planned_end_ns(&self) -> Option<u64> {
        self.schedule.borrow().as_ref().and_then(|s| s.timeline().planned_end_ns())
    }

    fn is_used_up(&self) -> bool {
        self.schedule.borrow().as_ref().is_none_or(Schedule::is_used_up)
    }

    /// A connection is made, so that a pass can begin.
    fn connecting(&self, slot: usize, since_ns: u64) {
        let phase = self.completed_in(Phase::Drain, since_ns);
        if phase != Phase::Drain {
            let pass = UnderWay { phase, intended_ns: since_ns, sent_ns: since_ns, step: 0, step_ns: since_ns };
            self.under_way.borrow_mut()[slot] = Some(pass);
        }
    }

    fn begins(&self, slot: usize, pass: UnderWay) {
        self.under_way.borrow_mut()[slot] = Some(pass);
        self.watch.borrow_mut().begins(pass.intended_ns);
    }

    fn late(&self, ended: &RequestRow) {
        let mut late = self.late.borrow_mut();
        let at = late.iter().position(|l| l.phase == ended.phase).unwrap_or_else(|| {
            late.push(Late::empty(ended.phase));
            late.len() - 1
        });
        let timeline = self.schedule.borrow();
        let end_ns = timeline.as_ref().and_then(|s| s.timeline().end_of(ended.phase));
        late[at].add(ended, end_ns.unwrap_or(ended.completed_ns));
    }

    /// `ended`: the pass as a whole.
    fn pass_ended(&self, slot: usize, ended: &RequestRow) {
        let RequestRow { phase, outcome, sent_ns, completed_ns: end_ns, .. } = *ended;
        self.under_way.borrow_mut()[slot] = None;
        self.watch.borrow_mut().ends(outcome.is_error(), end_ns);
        if ended.completed_in == Phase::Drain {
            self.late(ended);
        }
        let errors = u64::from(outcome.is_error());
        let untold = self.untold.get() + 1;
        self.untold.set(untold % TELL);
        if untold == TELL {
            self.progress.fetch_add(TELL, Ordering::Relaxed);
        }
        let mut phases = self.phases.borrow_mut();
        if outcome == Outcome::Ok && ended.completed_in != Phase::Drain {
            let fresh = PhaseReport::empty(ended.completed_in);
            phases[ended.completed_in as usize].get_or_insert(fresh).completed += 1;
        }
        let fresh = PhaseReport { start_ns: sent_ns, ..PhaseReport::empty(phase) };
        let phase = phases[phase as usize].get_or_insert(fresh);
        phase.start_ns = phase.start_ns.min(sent_ns);
        phase.end_ns = phase.end_ns.max(end_ns);
        phase.passes += 1;
        phase.errors += errors;
        phase.named += u64::from(matches!(outcome, Outcome::Named(_)));
    }

    /// The load is over: whatever is under way stays open, with the time that it has waited.
    fn leave_open(&self, at_ns: u64) {
        for pass in self.under_way.take().into_iter().flatten() {
            let open = RequestRow {
                phase: pass.phase,
                completed_in: Phase::Drain,
                outcome: Outcome::Open,
                ..ended(pass.phase, pass.intended_ns, pass.sent_ns, at_ns)
            };
            let since = if pass.step == 0 { pass.sent_ns } else { pass.step_ns };
            let step = RequestRow { step: Some(pass.step), sent_ns: since, ..open };
            let step = RequestRow { intended_ns: if pass.step == 0 { pass.intended_ns } else { since }, ..step };
            self.record(&step);
            if !self.single_step {
                self.record(&open);
            }
            self.late(&open);
            let mut phases = self.phases.borrow_mut();
            let fresh = PhaseReport { start_ns: pass.sent_ns, ..PhaseReport::empty(pass.phase) };
            phases[pass.phase as usize].get_or_insert(fresh).open += 1;
        }
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
struct End<'a>(&'a [Arc<dyn Observer>]);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|observer| observer.ends());
    }
}

/// The whole life of a generator thread.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run where it should.
pub fn run<D: Driver>(share: &Share<D>) -> Result<Report, Error> {
    let broken = |e: std::io::Error| Error::Thread(e.to_string());
    let job = &share.job;
    let _end = End(&job.observers);
    let prepared = pin(&job.workload.cpus).and_then(|()| {
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).map_err(broken)
    });
    let runtime = prepared.inspect_err(|_| job.setting.gate.arrive())?;
    let streams = share.driver.streams();
    let clients: Vec<u64> = (0..u64::from(job.workload.load.arrivals.connections()) * streams)
        .filter(|n| n / streams % share.threads == share.thread)
        .collect();
    let pacer = {
        let _inside = runtime.enter();
        Pacer::new(job.setting.epoch, clients.len()).map_err(broken).inspect_err(|_| job.setting.gate.arrive())?
    };
    let shared = Rc::new(Shared {
        epoch: job.setting.epoch,
        schedule: RefCell::new(None),
        pacer,
        tally: RefCell::new(Tally::new(job, share.driver.steps())),
        phases: RefCell::default(),
        span: Cell::new((0, 0, Phase::Drain)),
        late: RefCell::default(),
        ending: Cell::new(None),
        under_way: RefCell::new(vec![None; clients.len()]),
        watch: RefCell::new(Watch::new(false, 0)),
        idle_from_ns: Cell::new(None),
        examples: RefCell::default(),
        progress: Arc::clone(&job.setting.progress),
        untold: Cell::new(0),
        connects: Cell::new(0),
        observers: job.observers.clone(),
        workload: job.index,
        single_step: share.driver.steps() == 1,
    });
    let begin = Cell::new((job.setting.epoch, 0));
    let group = Rc::new(<D::Client as Client>::Group::default());
    let aborted = runtime.block_on(async {
        let mut abort = job.setting.abort.clone();
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

/// Connects, waits for the others, and lets every client follow the schedule to its end: no longer than the drain behind
/// the planned one, where there is one, and no shorter either.
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
    job.setting.gate.arrive();
    let origin = job.setting.gate.opened().await;
    begin.set((Instant::now(), thread_cpu_ns()));
    let origin_ns = shared.ns(origin);
    let slice = ThreadSlice { thread: share.thread, threads: share.threads, seed: job.seed };
    *shared.schedule.borrow_mut() = Some(Schedule::new(load, slice, origin_ns));
    *shared.watch.borrow_mut() = Watch::new(always_due(load), origin_ns);

    let mut tasks = JoinSet::new();
    let all = u64::from(load.arrivals.connections()) * share.driver.streams();
    for (slot, (number, client)) in numbers.iter().zip(clients).enumerate() {
        let shared = Rc::clone(shared);
        let follower = Follower { slot, client, shared };
        let begin_ns = origin_ns.saturating_add(share_of(ramp, *number, all));
        match load.arrivals {
            Arrivals::Closed { think, .. } => {
                let random = Random::new(job.seed, 0x7468_696e_6b00 ^ number.rotate_left(32));
                tasks.spawn_local(follower.closed(begin_ns, think, random));
            }
            Arrivals::Open { .. } => {
                tasks.spawn_local(follower.open());
            }
        }
    }
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|e| Error::Thread(e.to_string()))?;
        }
        // Who has nothing more to send waits for the end all the same: a phase lasts as long as planned.
        if let Some(end_ns) = shared.planned_end_ns() {
            until(shared, end_ns).await;
        }
        Ok(true)
    };
    let all_ended = tokio::select! {
        biased;
        ended = ended => ended?,
        () = drained(shared, load) => false,
        () = shared.pacer.run(|now_ns| shared.next(now_ns)) => return Err(Error::Thread("its timer broke".to_owned())),
    };
    if !all_ended {
        shared.leave_open(shared.pacer.now_ns());
        tasks.shutdown().await;
    }
    shared.ending.set(Some(shared.ending()));
    // Of millions it may take a while to count those that nobody took; whoever asks for an end is heard meanwhile.
    while shared.give_up() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// When client `number` of `all` begins within the ramp: the first at its start, the last at its end.
fn share_of(ramp: Duration, number: u64, all: u64) -> u64 {
    let share = ramp.as_nanos().saturating_mul(u128::from(number)) / u128::from(all.saturating_sub(1).max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Whether a pass is due whenever a client is free.
fn always_due(load: &plan::Load) -> bool {
    matches!(load.arrivals, Arrivals::Closed { think: Think::None, .. })
}

async fn until(shared: &Shared, at_ns: u64) {
    match shared.epoch.checked_add(Duration::from_nanos(at_ns)) {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        // The clock has no such instant.
        None => std::future::pending().await,
    }
}

/// Waits until the drain behind the planned end is over; for ever where the load ends with an amount. Then it only looks
/// where the schedule ends, so that clients that are not free find it known.
async fn drained(shared: &Shared, load: &plan::Load) {
    if !load.segments.last().is_some_and(|s| matches!(s.length, Length::Duration(_))) {
        if matches!(load.arrivals, Arrivals::Closed { .. }) {
            std::future::pending::<()>().await;
        }
        loop {
            match shared.look_ahead() {
                true => tokio::task::yield_now().await,
                false => tokio::time::sleep(LOOK).await,
            }
        }
    }
    loop {
        match shared.planned_end_ns() {
            Some(end_ns) => return until(shared, end_ns.saturating_add(nanos(load.drain))).await,
            // An amount is not yet used up.
            None => tokio::time::sleep(LOOK).await,
        }
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
    let ending = shared.ending.take().unwrap_or_else(|| shared.ending());
    let mut schedule = shared.schedule.borrow_mut();
    if let Some(Schedule::Open(open)) = schedule.as_mut().filter(|_| !aborted) {
        for (phase, offered, unsent) in open.offered_and_unsent() {
            let report = phases[phase as usize].get_or_insert(PhaseReport::empty(phase));
            (report.offered, report.unsent) = (offered, unsent);
        }
    }
    let mut end_ns = ending.at_ns;
    if let Some(timeline) = schedule.as_ref().filter(|_| !aborted).map(Schedule::timeline) {
        // A phase with a duration lasts as long as that, whenever its first pass began and its last one ended.
        for (phase, start_ns, end_ns) in timeline.bounds() {
            let report = phases[phase as usize].get_or_insert(PhaseReport::empty(phase));
            (report.start_ns, report.end_ns, report.planned_ns) = (start_ns, end_ns, Some(end_ns - start_ns));
        }
        end_ns = timeline.planned_end_ns().unwrap_or(end_ns);
        if timeline.planned_end_ns().is_none()
            && let Some(last) = phases.iter_mut().flatten().filter(|p| p.passes > 0).max_by_key(|p| p.end_ns)
        {
            last.idle_from_ns = shared.idle_from_ns.get();
        }
    }
    for report in phases.iter_mut().flatten() {
        report.offered = report.offered.max(report.passes + report.open);
    }
    let examples = shared.examples.borrow().iter().map(|(_, outcome, words)| format!("{}: {words}", outcome.name(&[]))).collect();
    Report {
        phases: phases.into_iter().flatten().collect(),
        totals: shared.tally.borrow().totals(),
        late: shared.late.take(),
        quiet: vec![shared.watch.replace(Watch::new(false, end_ns)).finish(end_ns)],
        generator_cpu_ns: ending.cpu_ns.saturating_sub(cpu_before),
        generator_wall_ns: nanos(ending.at.saturating_duration_since(began)),
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
struct Follower<C: Client> {
    slot: usize,
    client: C,
    shared: Rc<Shared>,
}

impl<C> Drop for Follower<C>
where
    C: Client,
{
    /// However it ends, its connections are counted.
    fn drop(&mut self) {
        self.shared.connects.set(self.shared.connects.get() + self.client.connects());
    }
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
            let ready = {
                let mut ready = pin!(self.client.ready());
                match poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx))).await {
                    Poll::Ready(ready) => ready,
                    Poll::Pending => {
                        shared.connecting(self.slot, shared.pacer.now_ns());
                        ready.await
                    }
                }
            };
            let now_ns = match ended_ns.take() {
                Some(ended_ns) if self.client.connects() == connects => ended_ns,
                _ => shared.pacer.now_ns(),
            };
            let arrival = match shared.next(now_ns) {
                Next::Begin(arrival) => arrival,
                Next::At(at_ns) => {
                    shared.under_way.borrow_mut()[self.slot] = None;
                    free_ns = at_ns;
                    continue;
                }
                Next::Over => {
                    shared.idle_from_ns.set(shared.idle_from_ns.get().or(Some(now_ns)));
                    break;
                }
            };
            if let Err(failure) = ready {
                shared.note(None, &failure);
                let completed_in = shared.completed_in(arrival.phase, now_ns);
                let failed =
                    RequestRow { completed_in, outcome: failure.outcome, ..ended(arrival.phase, now_ns, now_ns, now_ns) };
                // A pass of one step is recorded as that step.
                shared.record(&RequestRow { step: shared.single_step.then_some(0), ..failed });
                shared.watch.borrow_mut().begins(now_ns);
                shared.pass_ended(self.slot, &failed);
                free_ns = now_ns.saturating_add(nanos(CONNECT_PAUSE));
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
                Think::Constant(d) => end_ns.saturating_add(nanos(d)),
                Think::Exponential(mean) => end_ns.saturating_add((random.exponential() * mean.as_nanos() as f64) as u64),
            };
            // Nobody thinks about what will never be sent.
            if think != Think::None && shared.is_used_up() {
                shared.idle_from_ns.set(shared.idle_from_ns.get().or(Some(end_ns)));
                break;
            }
            free_ns = shared.planned_end_ns().map_or(free_ns, |end_ns| free_ns.min(end_ns));
        }
        shared.under_way.borrow_mut()[self.slot] = None;
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
    }

    /// One pass through the steps; returns when it ended. A step that fails ends the pass: what follows would ask for
    /// what is not there. Without `intended_ns` it is meant to begin when it begins.
    async fn pass(&mut self, arrival: &Arrival, intended_ns: Option<u64>) -> u64 {
        let shared = Rc::clone(&self.shared);
        self.client.begin_pass(arrival.pass);
        // Of a closed loop without think time the pass begins where it is meant to.
        let (intended, begun_ns) =
            intended_ns.map_or((arrival.intended_ns, arrival.intended_ns), |at| (at, shared.pacer.now_ns()));
        let begun = UnderWay { phase: arrival.phase, intended_ns: intended, sent_ns: begun_ns, step: 0, step_ns: begun_ns };
        shared.begins(self.slot, begun);
        if !shared.observers.is_empty() {
            let sent_ns = shared.pacer.now_ns();
            let intended_ns = intended_ns.unwrap_or(sent_ns);
            let begun = Begun { intended_ns, sent_ns, phase: arrival.phase };
            shared.observers.iter().for_each(|observer| observer.begins(arrival.pass, begun));
        }
        let mut whole: Option<RequestRow> = None;
        for step in 0.. {
            let exchange = self.client.exchange(step).await;
            let (sent_ns, completed_ns) = (shared.ns(exchange.sent), shared.ns(exchange.completed));
            // A later step is meant to begin when the one before it has ended.
            let intended = whole.as_ref().map_or(intended_ns.unwrap_or(sent_ns), |w| w.completed_ns.min(sent_ns));
            let one = RequestRow {
                outcome: exchange.result.as_ref().err().map_or(Outcome::Ok, |f| f.outcome),
                connect_ns: exchange.connect.map(|c| c.as_nanos() as u64),
                first_byte_ns: exchange.first_byte.map(|at| shared.ns(at)),
                sent_bytes: exchange.sent_bytes,
                received_bytes: exchange.received_bytes,
                step: Some(step as u16),
                completed_in: shared.completed_in(arrival.phase, completed_ns),
                ..ended(arrival.phase, intended, sent_ns, completed_ns)
            };
            if let Err(failure) = &exchange.result
                && failure.outcome.is_error()
            {
                shared.note(one.step, failure);
            }
            shared.record(&one);
            self.send_metrics(arrival, &exchange, completed_ns);
            let whole = match &mut whole {
                None => whole.insert(RequestRow { step: None, ..one }),
                Some(whole) => {
                    whole.completed_ns = completed_ns;
                    whole.completed_in = one.completed_in;
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
                if let Some(pass) = &mut shared.under_way.borrow_mut()[self.slot] {
                    (pass.step, pass.step_ns) = (step as u16 + 1, completed_ns);
                }
                continue;
            }
            if !shared.single_step {
                shared.record(whole);
            }
            shared.pass_ended(self.slot, whole);
            if whole.outcome != Outcome::Ok {
                shared.observers.iter().for_each(|observer| observer.fails(arrival.pass));
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

fn ended(phase: Phase, intended_ns: u64, sent_ns: u64, completed_ns: u64) -> RequestRow {
    RequestRow {
        step: None,
        phase,
        completed_in: phase,
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
