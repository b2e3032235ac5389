//! The load engine: a schedule says when, a script says what, a driver says how, and the engine records the results.
//!
//! `schedule` is pure (instants and budgets), and so is `script` (what a pass does next); `drivers` speak a protocol each,
//! `engine` starts the clients of one thread, which follow the schedule: each in a task (`follower`), or all that are
//! connected in one loop (`direct`). `pass` is what they carry, whoever does, `pacer` wakes them at exact instants, `windows` counts, `tally` hands results over through the
//! `queue`, `silence` notices when nothing is answered, `search` tries rates. A workload may follow another one instead
//! of a schedule, as its `observer`; `traffic` counts what was written to the wire. A generator thread shares nothing
//! with another: it has its own runtime, connections, share of the schedule and histograms, and sends finished windows
//! as messages; `gate` lets all start together. This module starts the threads.
//!
//! It knows nothing about targets, files or experiments.

mod account;
pub mod control;
mod direct;
pub mod drivers;
pub mod engine;
mod follower;
pub mod gate;
pub mod observer;
mod pacer;
pub mod page;
mod pass;
pub mod queue;
pub mod schedule;
pub mod search;
pub mod silence;
mod tally;
mod thread;
pub mod traffic;
mod users;
pub mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::watch;

pub use drivers::command::{Launch, Launched, Launcher};
pub use drivers::http::MAX_KEPT;
pub use gate::Gate;
pub use observer::Observer;
pub use search::Trial;
use silence::{Quiet, Silence};
pub use traffic::Traffic;
pub use users::Users;
use vocabulary::rows::{MetricRow, RequestRow, TransferRow, WindowRow, new_histogram};
use vocabulary::{Outcome, Phase, Task};
pub use windows::Totals;

/// Why a load cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that a request sends cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file that could not be read.
        path: std::path::PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The host has no address.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The host as the scenario names it.
        host: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The steps cannot be made into requests.
    #[error("step `{step}` makes no valid request: {reason}")]
    Request {
        /// Name of the step.
        step: String,
        /// Why it cannot be made into a request.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(tls::Error),
    /// A generator thread could not be started, or failed.
    #[error("a generator thread failed: {0}")]
    Thread(String),
    /// The checked pass before the load was answered wrongly.
    #[error("the checked pass before the load failed: {words}")]
    Verify {
        /// The outcome that it would have been counted as.
        outcome: Outcome,
        /// What was wrong.
        words: String,
    },
}

/// What all workloads of a repetition have in common.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Seed of the repetition; each workload derives its own from it.
    pub seed: u64,
    /// Instant from which all times are counted.
    pub epoch: Instant,
    /// Length of a window.
    pub window: Duration,
    /// Whether each request is recorded, too.
    pub requests: bool,
    /// Where finished windows go.
    pub rows: queue::Sender,
    /// Starts the programs of a command workload.
    pub launcher: Launcher,
    /// Which part of each workload is made here; the rest is made on other machines.
    pub part: Part,
    /// Where the threads of all workloads wait for each other.
    pub gate: Arc<Gate>,
    /// Passes that ended so far, for progress displays.
    pub progress: Arc<AtomicU64>,
    /// Becomes `true` when the load is to be abandoned.
    pub abort: watch::Receiver<bool>,
}

impl Setting {
    /// That of a workload with so many generator threads, by itself and from now on. No program is started for it.
    pub fn alone(threads: usize, rows: queue::Sender, abort: watch::Receiver<bool>) -> Self {
        Self {
            seed: 1,
            epoch: Instant::now(),
            window: Duration::from_secs(1),
            requests: false,
            rows,
            launcher: tokio::sync::mpsc::unbounded_channel().0,
            part: Part::WHOLE,
            gate: Arc::new(Gate::new(threads)),
            progress: Arc::default(),
            abort,
        }
    }
}

/// One of several machines that make a load together: arrivals, passes and connections are dealt out to the generator threads of all
/// of them in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number among them, from 0.
    pub index: u64,
    /// How many they are.
    pub of: u64,
}

impl Part {
    /// The whole load.
    pub const WHOLE: Self = Self { index: 0, of: 1 };
}

/// One workload of one repetition.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is sent; late names are filled in, except for those of passes.
    pub workload: Arc<plan::Workload>,
    /// Its index among the workloads of the repetition.
    pub index: u16,
    /// Seed of schedule, ids and random bodies.
    pub seed: u64,
    /// What it has in common with the other workloads.
    pub setting: Setting,
    /// The workloads that follow it, which are notified of its passes.
    pub observers: Vec<Arc<dyn Observer>>,
    /// What it learns about the workload that it follows; `None` unless it is a follower.
    pub observes: Option<Arc<dyn Observer>>,
}

impl Job {
    /// A workload that neither follows another nor is followed; see [`link_followers`]. `index`: its index among the
    /// workloads of the repetition, all of which have this setting.
    pub fn new(workload: Arc<plan::Workload>, index: u16, setting: &Setting) -> Self {
        let seed = setting.seed ^ u64::from(index) << 48;
        Self { workload, index, seed, setting: setting.clone(), observers: Vec::new(), observes: None }
    }

    /// The same with another workload, a seed derived from its own, and a gate for nobody else: a trial of a search.
    fn trial(&self, workload: plan::Workload, number: u64) -> Self {
        let gate = Arc::new(Gate::new(workload.threads as usize));
        Self {
            workload: Arc::new(workload),
            seed: schedule::mix(self.seed ^ number),
            setting: Setting { gate, ..self.setting.clone() },
            ..self.clone()
        }
    }
}

/// Lets followers observe the passes of the workloads that they follow. `jobs`: all of a repetition.
pub fn link_followers(jobs: &mut [Job]) {
    for at in 0..jobs.len() {
        let workload = Arc::clone(&jobs[at].workload);
        let Some(leader) = workload.protocol().follows() else { continue };
        let Some(leader) = jobs.iter().position(|job| job.workload.name == leader) else { continue };
        let Some(observer) = drivers::carrier(&workload.driver).observer(&jobs[leader]) else { continue };
        jobs[leader].observers.push(Arc::clone(&observer));
        jobs[at].observes = Some(observer);
    }
}

/// What generator threads record.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Finished windows.
    Windows(Vec<WindowRow>),
    /// Requests and passes that ended, if the job asks for them.
    Requests {
        /// Index of the workload.
        workload: u16,
        /// In the order in which they ended; a pass of one step is the same as that step.
        rows: Vec<RequestRow>,
    },
    /// A metric reported by a command.
    Metric(MetricRow),
    /// A transfer that ended, if its stages are recorded.
    Transfer(Box<TransferRow>),
}

/// The result of a load after its end. Times are nanoseconds since the epoch.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each phase that had a pass or should have had one.
    pub phases: Vec<PhaseReport>,
    /// The times of each phase's passes.
    pub totals: Vec<(Phase, Totals)>,
    /// What was under way at the end of a phase that no other phase follows.
    pub late: Vec<Late>,
    /// By generator thread, the stretches in which nothing was answered correctly.
    pub quiet: Vec<Vec<Quiet>>,
    /// Processor time of the generator threads since the gate opened.
    pub generator_cpu_ns: u64,
    /// How long they have existed since then, summed.
    pub generator_wall_ns: u64,
    /// Connections that the generator opened.
    pub connects: u64,
    /// How late the generator's timers went off.
    pub timer_late: Histogram<u32>,
    /// Windows that could not be handed over for recording.
    pub dropped_windows: u64,
    /// The first error of each kind, in words.
    pub examples: Vec<String>,
    /// The trials of a search.
    pub trials: Vec<Trial>,
    /// Whether it was abandoned.
    pub aborted: bool,
    /// The requests that were written, in all phases.
    pub traffic: Traffic,
    /// How its users fared.
    pub users: Users,
    /// When the rows of which each may be drawn once had run out, if they did.
    pub ran_out_ns: Option<u64>,
    /// By phase and name of a metric in percent that the protocol adds: how many, and out of how many.
    pub shares: BTreeMap<(Phase, &'static str), (u64, u64)>,
}

/// Passes that were under way, or waiting to be sent, when their phase ended and no other phase of their workload
/// followed.
#[derive(Clone, Debug)]
pub struct Late {
    /// The phase in which they were meant to be sent.
    pub phase: Phase,
    /// Their outcomes at the end of the drain.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How long they had been on a connection at the end of their phase, in nanoseconds.
    pub held: Histogram<u32>,
    /// The longest time from an intended start until then.
    pub longest_ns: u64,
}

impl Late {
    /// For a phase in which nothing was late.
    fn empty(phase: Phase) -> Self {
        Self { phase, outcomes: BTreeMap::new(), held: new_histogram(), longest_ns: 0 }
    }

    /// Adds one of a phase that ended at `end_ns`; `holds`: whether nothing else could be sent on its connection
    /// meanwhile.
    fn add(&mut self, ended: &RequestRow, end_ns: u64, holds: bool) {
        *self.outcomes.entry(ended.outcome).or_default() += 1;
        if holds {
            self.held.saturating_record(ended.completed_ns.min(end_ns).saturating_sub(ended.sent_ns));
        }
        self.longest_ns = self.longest_ns.max(ended.completed_ns.saturating_sub(ended.intended_ns));
    }

    /// Those that were still not answered at the end of the drain.
    pub fn open(&self) -> u64 {
        self.outcomes.get(&Outcome::Open).copied().unwrap_or_default()
    }

    /// The connection time of passes that had been there for at least `least_ns`.
    pub fn held_longer_than(&self, least_ns: u64) -> u64 {
        let long = self.held.iter_recorded().filter(|value| value.value_iterated_to() >= least_ns);
        long.map(|value| value.value_iterated_to().saturating_mul(value.count_at_value().into())).fold(0, u64::saturating_add)
    }
}

/// One phase of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseReport {
    /// The phase that is reported.
    pub phase: Phase,
    /// Its start: as planned if it has a duration, otherwise when its first request was sent.
    pub start_ns: u64,
    /// Its end: as planned if it has a duration, otherwise when its last answer was complete.
    pub end_ns: u64,
    /// Its duration, if it has one.
    pub planned_ns: Option<u64>,
    /// Passes that the schedule requested.
    pub offered: u64,
    /// Those that were never sent.
    pub unsent: u64,
    /// Passes that ended, correctly or not.
    pub passes: u64,
    /// Those that did not end correctly.
    pub errors: u64,
    /// Those with an outcome that the scenario names.
    pub named: u64,
    /// Correct answers that arrived in it, whenever their passes started.
    pub completed: u64,
    /// Passes that were sent and had not ended when the load was over.
    pub open: u64,
    /// Since when fewer passes were under way than connections could have carried, because the amount was used up.
    /// `None` in an open loop and in a phase with a duration.
    pub idle_from_ns: Option<u64>,
}

impl PhaseReport {
    /// A phase in which nothing has happened.
    pub fn empty(phase: Phase) -> Self {
        Self {
            phase,
            start_ns: u64::MAX,
            end_ns: 0,
            planned_ns: None,
            offered: 0,
            unsent: 0,
            passes: 0,
            errors: 0,
            named: 0,
            completed: 0,
            open: 0,
            idle_from_ns: None,
        }
    }

    /// The number of requested passes; for a follower, which has no schedule, the number that it waited for.
    pub fn asked(&self) -> u64 {
        self.offered.max(self.passes + self.open + self.unsent)
    }

    /// Share of the requested passes that were not answered correctly: errors, unsent, and open at the end.
    pub fn unanswered_share(&self) -> f64 {
        (self.errors + self.unsent + self.open) as f64 / self.asked().max(1) as f64
    }

    /// How long its end was, during which fewer passes were under way than requested.
    pub fn tail_ns(&self) -> Option<u64> {
        self.idle_from_ns.map(|from| self.end_ns.saturating_sub(from))
    }
}

impl Report {
    /// For a load that did nothing.
    pub fn empty() -> Self {
        Self {
            phases: Vec::new(),
            totals: Vec::new(),
            late: Vec::new(),
            quiet: Vec::new(),
            generator_cpu_ns: 0,
            generator_wall_ns: 0,
            connects: 0,
            timer_late: new_histogram(),
            dropped_windows: 0,
            examples: Vec::new(),
            trials: Vec::new(),
            aborted: false,
            traffic: Traffic::default(),
            users: Users::default(),
            ran_out_ns: None,
            shares: BTreeMap::new(),
        }
    }

    /// Adds the result of another thread.
    pub fn merge(&mut self, other: Self) {
        for theirs in other.phases {
            match self.phases.iter_mut().find(|p| p.phase == theirs.phase) {
                Some(ours) => {
                    ours.start_ns = ours.start_ns.min(theirs.start_ns);
                    ours.end_ns = ours.end_ns.max(theirs.end_ns);
                    ours.offered += theirs.offered;
                    ours.unsent += theirs.unsent;
                    ours.passes += theirs.passes;
                    ours.errors += theirs.errors;
                    ours.named += theirs.named;
                    ours.completed += theirs.completed;
                    ours.open += theirs.open;
                    ours.planned_ns = ours.planned_ns.max(theirs.planned_ns);
                    ours.idle_from_ns = ours.idle_from_ns.into_iter().chain(theirs.idle_from_ns).min();
                }
                None => self.phases.push(theirs),
            }
        }
        self.phases.sort_by_key(|p| p.phase);
        for (phase, theirs) in other.totals {
            match self.totals.iter_mut().find(|(p, _)| *p == phase) {
                Some((_, ours)) => ours.add(&theirs),
                None => self.totals.push((phase, theirs)),
            }
        }
        for theirs in other.late {
            match self.late.iter_mut().find(|l| l.phase == theirs.phase) {
                Some(ours) => {
                    for (outcome, count) in theirs.outcomes {
                        *ours.outcomes.entry(outcome).or_default() += count;
                    }
                    ours.held.add(&theirs.held).expect("both have the same bounds");
                    ours.longest_ns = ours.longest_ns.max(theirs.longest_ns);
                }
                None => self.late.push(theirs),
            }
        }
        self.quiet.extend(other.quiet);
        self.generator_cpu_ns += other.generator_cpu_ns;
        self.generator_wall_ns += other.generator_wall_ns;
        self.connects += other.connects;
        self.timer_late.add(&other.timer_late).expect("both have the same bounds");
        self.dropped_windows += other.dropped_windows;
        for example in other.examples {
            if !self.examples.contains(&example) && self.examples.len() < 20 {
                self.examples.push(example);
            }
        }
        self.trials.extend(other.trials);
        self.aborted |= other.aborted;
        self.traffic.merge(&other.traffic);
        self.users.merge(&other.users);
        self.ran_out_ns = self.ran_out_ns.max(other.ran_out_ns);
        for (key, (part, all)) in other.shares {
            let ours = self.shares.entry(key).or_default();
            *ours = (ours.0 + part, ours.1 + all);
        }
    }

    /// The times of a phase's passes.
    pub fn totals_of(&self, phase: Phase) -> Option<&Totals> {
        self.totals.iter().find(|(p, _)| *p == phase).map(|(_, t)| t)
    }

    /// What was under way at the end of a phase that no other phase follows.
    pub fn late_of(&self, phase: Phase) -> Option<&Late> {
        self.late.iter().find(|l| l.phase == phase)
    }

    /// From which length on a stretch without an answer, or a pass that is open at the end, counts as long in a phase.
    pub fn long_ns(&self, phase: Phase) -> u64 {
        silence::least(self.totals_of(phase).and_then(Totals::usual_ns).unwrap_or_default())
    }

    /// The silence of a phase; zero if it was not watched.
    pub fn silence_of(&self, phase: &PhaseReport) -> Silence {
        if self.quiet.is_empty() {
            return Silence::default();
        }
        silence::of(&self.quiet, phase.start_ns, phase.end_ns, self.long_ns(phase.phase))
    }

    /// How many passes the schedule requested in all phases, and how many of those were never sent.
    pub fn offered_and_unsent(&self) -> (u64, u64) {
        self.phases.iter().fold((0, 0), |(o, u), p| (o + p.offered, u + p.unsent))
    }
}

/// A running load.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<Result<Report, Error>>>,
}

/// What the names of generator threads start with.
pub const THREADS: &str = "load-";

/// How many generator threads of a workload wait at the gate.
pub fn threads(workload: &plan::Workload) -> usize {
    // The trials of a search have gates of their own.
    if workload.load.find.is_some() { 1 } else { workload.threads as usize }
}

/// Starts the generator threads of a job.
///
/// # Errors
/// When the steps make no requests, a file or host cannot be found, or a thread cannot be started.
pub fn start(job: &Job) -> Result<Running, Error> {
    if let Some(find) = &job.workload.load.find {
        let (job, find) = (job.clone(), find.clone());
        let search = move || {
            job.setting.gate.arrive();
            search::run(&job, &find)
        };
        return Ok(Running { threads: vec![spawn("search".to_owned(), search)?] });
    }
    drivers::carrier(&job.workload.driver).start(job)
}

/// Starts the threads of a driver, each with its share of the load.
fn start_with<D: drivers::Driver>(driver: &Arc<D>, job: &Job) -> Result<Running, Error> {
    start_threads(job, |(thread, threads)| {
        let share = engine::Share { thread, threads, driver: Arc::clone(driver), job: job.clone() };
        move || engine::run(&share)
    })
}

/// Starts the threads of a job. `work`: makes the work of one thread from its number and the number of threads, those of other
/// machines included.
fn start_threads<W>(job: &Job, work: impl Fn((u64, u64)) -> W) -> Result<Running, Error>
where
    W: FnOnce() -> Result<Report, Error> + Send + 'static,
{
    let (threads, Part { index, of }) = (u64::from(job.workload.threads), job.setting.part);
    let one = |thread| spawn(format!("{THREADS}{thread}"), work((thread * of + index, threads * of)));
    Ok(Running { threads: (0..threads).map(one).collect::<Result<_, Error>>()? })
}

fn spawn(
    name: String,
    work: impl FnOnce() -> Result<Report, Error> + Send + 'static,
) -> Result<JoinHandle<Result<Report, Error>>, Error> {
    std::thread::Builder::new().name(name).spawn(work).map_err(|e| Error::Thread(e.to_string()))
}

impl Running {
    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end of all threads without blocking the runtime.
    ///
    /// # Errors
    /// The first thread's error.
    pub async fn finish(self) -> Result<Report, Error> {
        while !self.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.join()
    }

    /// Waits for the end of all threads.
    ///
    /// # Errors
    /// The first thread's error.
    pub fn join(self) -> Result<Report, Error> {
        let mut report = Report::empty();
        for thread in self.threads {
            report.merge(thread.join().map_err(|_| Error::Thread("it panicked".to_owned()))??);
        }
        Ok(report)
    }
}

/// One pass through the steps of a workload, every answer checked as far as its protocol allows; nothing is recorded.
///
/// # Errors
/// [`Error::Verify`] with what was wrong.
pub async fn verify(workload: &plan::Workload, seed: u64) -> Result<(), Error> {
    drivers::carrier(&workload.driver).verify(&workload.flow, seed).await
}

/// The values of a pass by name, including carried ones, and the number of bytes of its last answer.
pub type LastPass = (BTreeMap<String, String>, u64);

/// Passes of requests over HTTP one after the other, every answer checked; nothing is recorded. At most [`MAX_KEPT`]
/// bytes of an answer's body are examined.
///
/// # Errors
/// [`Error::Verify`] with what was wrong.
pub fn send_requests(http: &plan::drivers::http::Http, seed: u64, passes: u64) -> Task<'_, Result<LastPass, Error>> {
    Box::pin(async move {
        let flow = plan::Flow::plain(http.steps.len());
        drivers::http::send_requests(&Arc::new(drivers::http::Http::new(http)?), &flow, seed, passes).await
    })
}

/// Another run starts: what control ports were told before no longer matters.
pub fn begin_run() {
    drivers::forget_control_ports();
}

/// A counter that several loads of one repetition may share.
pub fn passes(progress: &AtomicU64) -> u64 {
    progress.load(Ordering::Relaxed)
}
