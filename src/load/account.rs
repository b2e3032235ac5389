//! The account of one generator thread: which passes are under way, what happened to those that ended, and the report
//! at the end. It does not know who carries the passes, or how many at a time share a connection.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::drivers::Exchange;
use super::drivers::Failure;
use super::observer::Observer;
use super::pacer::Pacer;
use super::schedule::{Next, Schedule};
use super::silence::Watch;
use super::tally::Tally;
use super::{Job, Late, PhaseReport, Report};
use plan::{Arrivals, Draw, DrawnFrom, Length, Load};
use vocabulary::choices::DrawnPer;
use vocabulary::rows::RequestRow;
use vocabulary::units::nanos;
use vocabulary::{Outcome, Phase};

/// How often to check whether the end of a load is known.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is reported, in passes.
const TELL: u64 = 64;

/// A pass that is under way, or the connecting before one.
#[derive(Clone, Copy)]
pub(super) struct UnderWay {
    /// The phase in which it was meant to start.
    pub phase: Phase,
    /// When it was meant to start, nanoseconds since the epoch.
    pub intended_ns: u64,
    /// When it started.
    pub sent_ns: u64,
    /// The step that is under way.
    pub step: u16,
    /// When this step started.
    pub step_ns: u64,
    /// The row of its kind, if there is a mix.
    pub kind: Option<u16>,
    /// The pauses between its steps so far.
    pub paused_ns: u64,
    /// Whether it is in a pause: nothing of it is under way then.
    pub pauses: bool,
}

impl UnderWay {
    /// A pass of a phase that is meant to start at `intended_ns`, and does at `sent_ns`.
    pub fn begun(phase: Phase, intended_ns: u64, sent_ns: u64) -> Self {
        Self { phase, intended_ns, sent_ns, step: 0, step_ns: sent_ns, kind: None, paused_ns: 0, pauses: false }
    }
}

/// The end of a load. Whatever is counted later belongs to none of its times.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    at_ns: u64,
    at: Instant,
    cpu_ns: u64,
}

/// What everything that carries passes on a thread shares.
pub(super) struct Account {
    /// Instant from which times are counted.
    pub epoch: Instant,
    /// The schedule that all follow, or one for each; none before the load. Phases are those of the first one, and the
    /// same in all.
    schedules: RefCell<Vec<Schedule>>,
    /// Wakes them.
    pub pacer: Pacer,
    /// Recorded results.
    pub tally: RefCell<Tally>,
    phases: RefCell<[Option<PhaseReport>; Phase::ALL.len()]>,
    /// Start, end and phase of the segment in which the last pass ended.
    span: Cell<(u64, u64, Phase)>,
    late: RefCell<Vec<Late>>,
    /// Whether a window was sent since that was last asked.
    flushed: Cell<bool>,
    /// When the load was over, and what the thread had used by then.
    ending: Cell<Option<Ending>>,
    /// The pass of each client that carries one at a time, by its number; `None` while it is idle.
    pub under_way: RefCell<Vec<Option<UnderWay>>>,
    /// When nothing was answered.
    pub watch: RefCell<Watch>,
    /// When a client first found that the amount was used up.
    pub idle_from_ns: Cell<Option<u64>>,
    examples: RefCell<Vec<(Option<u16>, Outcome, String)>>,
    progress: Arc<AtomicU64>,
    untold: Cell<u64>,
    /// By phase, passes that were taken from the schedule and never sent.
    unsent: RefCell<[u64; Phase::ALL.len()]>,
    /// Connections opened by what has ended.
    pub connects: Cell<u64>,
    /// Waits for what is sent.
    pub observers: Vec<Arc<dyn Observer>>,
    /// Index of the workload.
    pub workload: u16,
    /// Whether a pass has one step, which is then the pass.
    pub single_step: bool,
    /// Whether a pass under way occupies its connection, so that nothing else can be sent on it.
    holds_connections: bool,
    /// Whether the load ends with an amount.
    by_amount: bool,
    /// How many passes there are rows for, and when somebody asked for more.
    enough_for: u64,
    ran_out_ns: Cell<Option<u64>>,
}

impl Account {
    /// An empty one for a thread that carries this many passes at a time.
    pub fn new(job: &Job, pacer: Pacer, steps: usize, at_a_time: usize) -> Self {
        let single_step = steps == 1 && job.workload.flow.is_one_step();
        Self {
            epoch: job.setting.epoch,
            schedules: RefCell::default(),
            pacer,
            tally: RefCell::new(Tally::new(job, steps + job.workload.flow.rows().len(), single_step)),
            phases: RefCell::default(),
            span: Cell::new((0, 0, Phase::Drain)),
            late: RefCell::default(),
            flushed: Cell::new(false),
            ending: Cell::new(None),
            under_way: RefCell::new(vec![None; at_a_time]),
            watch: RefCell::new(Watch::new(false, 0)),
            idle_from_ns: Cell::new(None),
            examples: RefCell::default(),
            progress: Arc::clone(&job.setting.progress),
            untold: Cell::new(0),
            unsent: RefCell::default(),
            connects: Cell::new(0),
            observers: job.observers.clone(),
            workload: job.index,
            single_step,
            holds_connections: !job.workload.protocol().has_many_under_way(),
            enough_for: enough_for(job.workload.protocol().draws()),
            ran_out_ns: Cell::new(None),
            by_amount: job.workload.load.segments.last().is_some_and(|s| matches!(s.length, Length::Amount(_))),
        }
    }

    /// An instant, in nanoseconds since the epoch.
    pub fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }

    /// The load starts, with one schedule for all or one for each. `always_due`: whether a pass is due whenever a
    /// client is free.
    pub fn begin(&self, schedules: Vec<Schedule>, origin_ns: u64, always_due: bool) {
        *self.schedules.borrow_mut() = schedules;
        *self.watch.borrow_mut() = Watch::new(always_due, origin_ns);
    }

    /// What a free client is to do at `now_ns`, if there is one schedule for all.
    pub fn next(&self, now_ns: u64) -> Next {
        self.next_of(0, now_ns)
    }

    /// What the schedule with this number has to do at `now_ns`.
    #[inline(always)]
    pub fn next_of(&self, schedule: usize, now_ns: u64) -> Next {
        if self.ran_out_ns.get().is_some() {
            return Next::Over;
        }
        match self.schedules.borrow_mut().get_mut(schedule).map_or(Next::Over, |s| s.next(now_ns)) {
            Next::Begin(arrival) if arrival.pass >= self.enough_for => {
                self.ran_out_ns.set(Some(now_ns));
                // What was known of the segment said that it lasts longer.
                self.span.set((0, 0, Phase::Drain));
                Next::Over
            }
            next => next,
        }
    }

    /// What is known of a step that was carried out; `times`: a row with its phase and its instants.
    #[inline(always)]
    pub fn row_of(&self, step: usize, exchange: &Exchange, times: RequestRow) -> RequestRow {
        RequestRow {
            outcome: exchange.result.as_ref().err().map_or(Outcome::Ok, |failure| failure.outcome),
            connect_ns: exchange.connect.map(|took| took.as_nanos() as u64),
            // Most answers arrive in one piece.
            first_byte_ns: exchange.first_byte.map(|at| if at == exchange.completed { times.completed_ns } else { self.ns(at) }),
            sent_bytes: exchange.sent_bytes,
            received_bytes: exchange.received_bytes,
            step: Some(step as u16),
            ..times
        }
    }

    /// Whether there are no rows left for further passes.
    pub fn has_run_out(&self) -> bool {
        self.ran_out_ns.get().is_some()
    }

    /// A pass of a phase was due, and never sent.
    pub fn unsent(&self, phase: Phase) {
        self.unsent.borrow_mut()[phase as usize] += 1;
    }

    /// The load is over now, whatever is counted later.
    pub fn end(&self) {
        self.ending.set(Some(self.ending()));
    }

    fn ending(&self) -> Ending {
        Ending { at_ns: self.pacer.now_ns(), at: Instant::now(), cpu_ns: thread_cpu_ns() }
    }

    /// Looks for the end of schedules, as far as that matters now; a bounded piece of work. Returns whether it could
    /// continue immediately.
    fn look_ahead(&self) -> bool {
        let now_ns = self.pacer.now_ns();
        self.schedules.borrow_mut().iter_mut().fold(false, |further, schedule| schedule.look_ahead(now_ns) | further)
    }

    /// Ends the schedules; a bounded piece of the work of counting the arrivals that nobody took. Returns whether there
    /// is more.
    pub fn give_up(&self) -> bool {
        self.schedules.borrow_mut().iter_mut().any(Schedule::give_up)
    }

    /// By phase, how many arrivals there were and how many of them nobody took; empty if no schedule requests any.
    fn offered_and_unsent(&self) -> BTreeMap<Phase, (u64, u64)> {
        let mut all: BTreeMap<Phase, (u64, u64)> = BTreeMap::new();
        for (phase, offered, unsent) in self.schedules.borrow_mut().iter_mut().flat_map(Schedule::offered_and_unsent) {
            let sum = all.entry(phase).or_default();
            *sum = (sum.0 + offered, sum.1 + unsent);
        }
        all
    }

    /// Records a request, or a pass, that ended.
    #[inline(always)]
    pub fn record(&self, ended: &RequestRow) {
        if self.tally.borrow_mut().record(ended) {
            self.flushed.set(true);
        }
    }

    /// Whether a window was sent since this was last asked, which takes a while.
    pub fn has_flushed(&self) -> bool {
        self.flushed.replace(false)
    }

    /// The phase in which a pass of `phase` that ends at `at_ns` counts as completed.
    #[inline(always)]
    pub fn completed_in(&self, phase: Phase, at_ns: u64) -> Phase {
        // Nearly all passes end in the phase in which they started, and in the same segment of time as the previous
        // one.
        let (begin_ns, end_ns, now) = self.span.get();
        if now == phase && begin_ns <= at_ns && at_ns < end_ns {
            return phase;
        }
        let schedules = self.schedules.borrow();
        let Some(timeline) = schedules.first().map(Schedule::timeline) else { return phase };
        let until_ns = self.ran_out_ns.get().unwrap_or(u64::MAX);
        if let Some((begin_ns, end_ns, now)) = timeline.span_at(at_ns) {
            self.span.set((begin_ns, end_ns.min(until_ns), now));
        }
        timeline.completed_until(until_ns, phase, at_ns)
    }

    /// The phase at an instant, for events that belong to no pass.
    pub fn phase_at(&self, at_ns: u64) -> Phase {
        match self.completed_in(Phase::Drain, at_ns) {
            Phase::Drain if self.by_amount => Phase::During,
            phase => phase,
        }
    }

    /// The instant until which the load lasts, if its last phase has a duration.
    pub fn planned_end_ns(&self) -> Option<u64> {
        self.schedules.borrow().first().and_then(|s| s.timeline().planned_end_ns())
    }

    /// Whether no more passes start.
    pub fn is_used_up(&self) -> bool {
        self.has_run_out() || self.schedules.borrow().iter().all(Schedule::is_used_up)
    }

    /// A connection is being made, so that a pass can start.
    pub fn connecting(&self, slot: usize, since_ns: u64) {
        let phase = self.completed_in(Phase::Drain, since_ns);
        if phase != Phase::Drain {
            self.under_way.borrow_mut()[slot] = Some(UnderWay::begun(phase, since_ns, since_ns));
        }
    }

    /// A client starts a pass.
    #[inline(always)]
    pub fn begins(&self, slot: usize, pass: UnderWay) {
        self.under_way.borrow_mut()[slot] = Some(pass);
        self.watch.borrow_mut().begins(pass.intended_ns);
    }

    /// The pass of a client pauses from `at_ns` on: nothing is owed to it meanwhile. `answered`: whether that was a right answer.
    pub fn pauses(&self, slot: usize, at_ns: u64, answered: bool) {
        if let Some(pass) = &mut self.under_way.borrow_mut()[slot] {
            pass.pauses = true;
        }
        let mut watch = self.watch.borrow_mut();
        if answered { watch.ends(false, at_ns) } else { watch.rests(at_ns) }
    }

    /// It goes on after a pause of `paused_ns`, with a step that is meant to start at `due_ns`.
    pub fn goes_on(&self, slot: usize, paused_ns: u64, due_ns: u64) {
        if let Some(pass) = &mut self.under_way.borrow_mut()[slot] {
            (pass.pauses, pass.paused_ns) = (false, pass.paused_ns.saturating_add(paused_ns));
        }
        self.watch.borrow_mut().begins(due_ns);
    }

    /// A step of the pass of a client starts.
    pub fn steps(&self, slot: usize, step: usize, at_ns: u64) {
        if let Some(pass) = &mut self.under_way.borrow_mut()[slot] {
            (pass.step, pass.step_ns) = (step as u16, at_ns);
        }
    }

    fn late(&self, ended: &RequestRow) {
        let mut late = self.late.borrow_mut();
        let at = late.iter().position(|l| l.phase == ended.phase).unwrap_or_else(|| {
            late.push(Late::empty(ended.phase));
            late.len() - 1
        });
        let end_ns = self.schedules.borrow().first().and_then(|s| s.timeline().end_of(ended.phase));
        let end_ns = end_ns.into_iter().chain(self.ran_out_ns.get()).min();
        late[at].add(ended, end_ns.unwrap_or(ended.completed_ns), self.holds_connections);
    }

    /// The pass of a client has ended; `ended`: the pass as a whole.
    pub fn pass_ended(&self, slot: usize, ended: &RequestRow) {
        self.paused_pass_ended(slot, ended, 0);
    }

    /// The same for a pass with pauses; `ended`: as it was, pauses included.
    pub fn paused_pass_ended(&self, slot: usize, ended: &RequestRow, paused_ns: u64) {
        self.under_way.borrow_mut()[slot] = None;
        self.ends_after(ended, paused_ns);
    }

    /// A pass has ended that shared its connection with others, or was tracked separately from it.
    pub fn ends(&self, ended: &RequestRow) {
        self.ends_after(ended, 0);
    }

    #[inline(always)]
    fn ends_after(&self, ended: &RequestRow, paused_ns: u64) {
        let RequestRow { phase, outcome, sent_ns, completed_ns: end_ns, .. } = *ended;
        self.watch.borrow_mut().ends(outcome.is_error(), end_ns);
        if ended.completed_in == Phase::Drain {
            self.late(&without_pauses(ended, paused_ns));
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

    /// The load is over: passes under way stay open, with the time that they have waited.
    pub fn leave_open(&self, at_ns: u64) {
        // A pass that pauses waits for nobody: it is neither open nor an error.
        for pass in self.under_way.take().into_iter().flatten().filter(|pass| !pass.pauses) {
            let open = RequestRow {
                phase: pass.phase,
                completed_in: Phase::Drain,
                outcome: Outcome::Open,
                ..ended(pass.phase, pass.intended_ns, pass.sent_ns, at_ns)
            };
            let is_first = pass.step_ns == pass.sent_ns;
            let step = RequestRow { step: Some(pass.step), sent_ns: pass.step_ns, ..open };
            let step = RequestRow { intended_ns: if is_first { pass.intended_ns } else { pass.step_ns }, ..step };
            self.record(&step);
            let open = without_pauses(&open, pass.paused_ns);
            if !self.single_step {
                self.record(&open);
            }
            if pass.kind.is_some() {
                self.record(&RequestRow { step: pass.kind, ..open });
            }
            self.late(&open);
            let mut phases = self.phases.borrow_mut();
            let fresh = PhaseReport { start_ns: pass.sent_ns, ..PhaseReport::empty(pass.phase) };
            phases[pass.phase as usize].get_or_insert(fresh).open += 1;
        }
    }

    /// Waits until the drain after the planned end is over; forever if the load ends with an amount. Then it only looks
    /// for the end of the schedules, so that busy clients find it known.
    pub async fn drained(&self, load: &Load) {
        if !load.segments.last().is_some_and(|s| matches!(s.length, Length::Duration(_))) {
            if matches!(load.arrivals, Arrivals::Closed { .. }) {
                std::future::pending::<()>().await;
            }
            loop {
                match self.look_ahead() {
                    true => tokio::task::yield_now().await,
                    false => tokio::time::sleep(LOOK).await,
                }
            }
        }
        loop {
            match self.planned_end_ns() {
                Some(end_ns) => return self.until(end_ns.saturating_add(nanos(load.drain))).await,
                // An amount that is not yet used up.
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Sends each window soon after its end, for ever: the next pass may end much later.
    pub async fn hand_over(&self, window: Duration) {
        loop {
            tokio::time::sleep(window).await;
            self.tally.borrow_mut().over(self.pacer.now_ns());
        }
    }

    /// Waits for an instant, with a resolution of one millisecond.
    pub async fn until(&self, at_ns: u64) {
        match self.epoch.checked_add(Duration::from_nanos(at_ns)) {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            // The clock has no such instant.
            None => std::future::pending().await,
        }
    }

    /// Keeps the description of the first failure of each kind.
    pub fn note(&self, step: Option<u16>, failure: &Failure) {
        let mut examples = self.examples.borrow_mut();
        if !examples.iter().any(|(s, o, _)| *s == step && *o == failure.outcome) {
            examples.push((step, failure.outcome, failure.words.clone()));
        }
    }

    /// The report of the thread. `began`, `cpu_before`: when the load started, and what the thread had used by then.
    pub fn report(&self, aborted: bool, began: Instant, cpu_before: u64) -> Report {
        self.tally.borrow_mut().flush();
        self.progress.fetch_add(self.untold.get(), Ordering::Relaxed);
        let mut phases = *self.phases.borrow();
        let ending = self.ending.take().unwrap_or_else(|| self.ending());
        // Whatever the schedule asked for after the last row was never meant to be sent.
        let asked = if aborted || self.has_run_out() { BTreeMap::new() } else { self.offered_and_unsent() };
        for (phase, (offered, unsent)) in asked {
            let report = phases[phase as usize].get_or_insert(PhaseReport::empty(phase));
            (report.offered, report.unsent) = (offered, unsent + self.unsent.borrow()[phase as usize]);
        }
        let schedules = self.schedules.borrow();
        let mut end_ns = ending.at_ns;
        if let Some(timeline) = schedules.first().filter(|_| !aborted).map(Schedule::timeline) {
            // A phase with a duration has that length, whenever its first pass started and its last one ended.
            for (phase, start_ns, end_ns) in timeline.bounds() {
                let report = phases[phase as usize].get_or_insert(PhaseReport::empty(phase));
                (report.start_ns, report.end_ns, report.planned_ns) = (start_ns, end_ns, Some(end_ns - start_ns));
            }
            if let Some(out_ns) = self.ran_out_ns.get() {
                end_at(&mut phases, out_ns);
            }
            end_ns = timeline.planned_end_ns().unwrap_or(end_ns);
            end_ns = self.ran_out_ns.get().map_or(end_ns, |out_ns| end_ns.min(out_ns));
            if timeline.planned_end_ns().is_none()
                && let Some(last) = phases.iter_mut().flatten().filter(|p| p.passes > 0).max_by_key(|p| p.end_ns)
            {
                last.idle_from_ns = self.idle_from_ns.get();
            }
        }
        for report in phases.iter_mut().flatten() {
            report.offered = report.offered.max(report.passes + report.open);
        }
        let examples =
            self.examples.borrow().iter().map(|(_, outcome, words)| format!("{}: {words}", outcome.name(&[]))).collect();
        Report {
            phases: phases.into_iter().flatten().collect(),
            totals: self.tally.borrow().totals(),
            late: self.late.take(),
            quiet: vec![self.watch.replace(Watch::new(false, end_ns)).finish(end_ns)],
            generator_cpu_ns: ending.cpu_ns.saturating_sub(cpu_before),
            generator_wall_ns: nanos(ending.at.saturating_duration_since(began)),
            connects: self.connects.get(),
            timer_late: self.pacer.late(),
            dropped_windows: self.tally.borrow().dropped(),
            examples,
            aborted,
            ran_out_ns: self.ran_out_ns.get(),
            ..Report::empty()
        }
    }
}

/// A pass as if it had had no pauses: its start is later by as much, so that the times between its instants are those of its
/// steps.
pub(super) fn without_pauses(pass: &RequestRow, paused_ns: u64) -> RequestRow {
    let later = |ns: u64| ns.saturating_add(paused_ns).min(pass.completed_ns);
    RequestRow {
        intended_ns: later(pass.intended_ns),
        sent_ns: later(pass.sent_ns),
        first_byte_ns: pass.first_byte_ns.map(later),
        ..*pass
    }
}

/// How many passes the rows of which each is drawn at most once are enough for.
fn enough_for(draws: &[Draw]) -> u64 {
    let of = |draw: &Draw| match &draw.of {
        DrawnFrom::Rows(drawn) if drawn.per == DrawnPer::Pass => drawn.enough_for(),
        DrawnFrom::Rows(_) | DrawnFrom::Range(..) | DrawnFrom::List(_) => u64::MAX,
    };
    draws.iter().map(of).min().unwrap_or(u64::MAX)
}

/// Lets phases end early: those that would begin later did not happen.
fn end_at(phases: &mut [Option<PhaseReport>], at_ns: u64) {
    for slot in phases {
        let Some(phase) = slot else { continue };
        if phase.start_ns >= at_ns && phase.passes == 0 {
            *slot = None;
        } else if phase.end_ns > at_ns && phase.planned_ns.is_some() {
            phase.end_ns = at_ns.max(phase.start_ns + 1);
            phase.planned_ns = Some(phase.end_ns - phase.start_ns);
        }
    }
}

/// Processor time of the calling thread so far.
pub(super) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A pass that ended correctly in the phase in which it started, with nothing else known about it.
pub(super) fn ended(phase: Phase, intended_ns: u64, sent_ns: u64, completed_ns: u64) -> RequestRow {
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
        key: None,
    }
}
