//! One generator thread: its connections follow the schedule, every answer is checked and counted.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::drivers::http::{Connection, Failure, Prepared, Values};
use super::schedule::{Arrival, ClosedLoop};
use super::windows::{Ended, Outcome, WindowRow, Windows};
use super::{Error, Job, PhaseReport, Report};
use crate::plan;

/// A connection that could not be made is tried again after this, so that a dead server is not hammered.
const CONNECT_PAUSE: Duration = Duration::from_millis(10);

/// What one generator thread does.
pub struct Share {
    /// Its number.
    pub thread: u64,
    /// Of how many.
    pub threads: u64,
    /// The requests.
    pub prepared: Arc<Prepared>,
    /// What all threads have in common.
    pub job: Job,
}

/// What the connections of a thread share.
struct Shared {
    epoch: Instant,
    schedule: RefCell<ClosedLoop>,
    windows: RefCell<Windows>,
    rows: Sender<Vec<WindowRow>>,
    phases: RefCell<Vec<PhaseReport>>,
    examples: RefCell<Vec<(Option<u16>, Outcome, String)>>,
    progress: Arc<AtomicU64>,
    connects: Cell<u64>,
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    fn record(&self, ended: &Ended) {
        if let Some(rows) = self.windows.borrow_mut().record(ended) {
            // Nobody listens any more only when the repetition was given up.
            let _ = self.rows.send(rows);
        }
    }

    fn pass_ended(&self, arrival: &Arrival, outcome: Outcome, sent_ns: u64, end_ns: u64) {
        let errors = u64::from(outcome != Outcome::Ok);
        self.progress.fetch_add(1, Ordering::Relaxed);
        let mut phases = self.phases.borrow_mut();
        match phases.iter_mut().find(|p| p.phase == arrival.phase) {
            Some(phase) => {
                phase.start_ns = phase.start_ns.min(sent_ns);
                phase.end_ns = phase.end_ns.max(end_ns);
                phase.passes += 1;
                phase.errors += errors;
            }
            None => phases.push(PhaseReport { phase: arrival.phase, start_ns: sent_ns, end_ns, passes: 1, errors }),
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

/// The whole life of a generator thread.
///
/// # Errors
/// When its runtime cannot be made.
pub fn run(share: Share) -> Result<Report, Error> {
    if !share.job.workload.cpus.is_empty() {
        let mut set = rustix::thread::CpuSet::new();
        for cpu in share.job.workload.cpus.iter().filter(|c| (**c as usize) < rustix::thread::CpuSet::MAX_CPU) {
            set.set(*cpu as usize);
        }
        rustix::thread::sched_setaffinity(None, &set)
            .map_err(|e| Error::Thread(format!("it cannot run on processors {:?}: {e}", share.job.workload.cpus)))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| Error::Thread(e.to_string()))?;
    let started = Instant::now();
    let cpu_before = thread_cpu_ns();
    let plan::Arrivals::Closed { connections } = share.job.workload.arrivals;
    let window_ns = share.job.window.as_nanos() as u64;
    let shared = Rc::new(Shared {
        epoch: share.job.epoch,
        schedule: RefCell::new(ClosedLoop::new(
            share.job.workload.warm_up,
            share.job.workload.limit,
            share.thread,
            share.threads,
        )),
        windows: RefCell::new(Windows::new(share.job.index, share.prepared.steps.len(), window_ns)),
        rows: share.job.rows.clone(),
        phases: RefCell::default(),
        examples: RefCell::default(),
        progress: Arc::clone(&share.job.progress),
        connects: Cell::new(0),
    });
    let aborted = runtime.block_on(async {
        let local = LocalSet::new();
        let mut tasks = Vec::new();
        for number in (0..u64::from(connections)).filter(|n| n % share.threads == share.thread) {
            let prepared = Arc::clone(&share.prepared);
            tasks.push(local.spawn_local(follow(Rc::clone(&shared), prepared, number, share.job.seed)));
        }
        let mut abort = share.job.abort.clone();
        let all = async {
            for task in tasks {
                task.await.map_err(|e| Error::Thread(e.to_string()))?;
            }
            Ok(false)
        };
        local
            .run_until(async {
                tokio::select! {
                    biased;
                    done = all => done,
                    // An error means that nobody can ask for an end any more; then nobody waits for one either.
                    _ = abort.wait_for(|asked| *asked) => Ok(true),
                }
            })
            .await
    })?;
    let rows = shared.windows.borrow_mut().flush();
    let _ = shared.rows.send(rows);
    let examples = shared.examples.borrow().iter().map(|(_, outcome, words)| format!("{}: {words}", outcome.name())).collect();
    let phases = shared.phases.borrow().clone();
    Ok(Report {
        phases,
        generator_cpu_ns: thread_cpu_ns() - cpu_before,
        generator_wall_ns: started.elapsed().as_nanos() as u64,
        connects: shared.connects.get(),
        examples,
        aborted,
    })
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// One connection of a closed loop.
async fn follow(shared: Rc<Shared>, prepared: Arc<Prepared>, number: u64, seed: u64) {
    let mut values = Values::new(&prepared, seed, number);
    let mut connection: Option<Connection> = None;
    loop {
        // The connection is made before its next pass begins; a server's accept queue is not the request's time.
        if connection.as_mut().is_none_or(|c| !c.is_open()) {
            shared.connects.set(shared.connects.get() + 1);
            match Connection::open(&prepared, number).await {
                Ok(open) => connection = Some(open),
                Err(failure) => {
                    connection = None;
                    let Some(arrival) = shared.schedule.borrow_mut().next(shared.now_ns()) else { return };
                    shared.note(None, &failure);
                    let end = shared.now_ns();
                    shared.record(&ended(None, &arrival, failure.outcome, arrival.intended_ns, arrival.intended_ns, end));
                    shared.pass_ended(&arrival, failure.outcome, arrival.intended_ns, end);
                    tokio::time::sleep(CONNECT_PAUSE).await;
                    continue;
                }
            }
        }
        let Some(arrival) = shared.schedule.borrow_mut().next(shared.now_ns()) else { return };
        values.begin_pass(arrival.pass);
        pass(&shared, &prepared, &mut connection, &mut values, &arrival, number).await;
    }
}

fn ended(step: Option<u16>, arrival: &Arrival, outcome: Outcome, intended_ns: u64, sent_ns: u64, completed_ns: u64) -> Ended {
    Ended { step, phase: arrival.phase, outcome, intended_ns, sent_ns, completed_ns, sent_bytes: 0, received_bytes: 0 }
}

/// One pass through the steps. A step that fails ends the pass: what follows would ask for what is not there.
async fn pass(
    shared: &Shared,
    prepared: &Prepared,
    connection: &mut Option<Connection>,
    values: &mut Values,
    arrival: &Arrival,
    number: u64,
) {
    let first_sent = shared.now_ns();
    let mut intended = arrival.intended_ns;
    let mut sent = first_sent;
    let mut outcome = Outcome::Ok;
    let (mut sent_bytes, mut received_bytes) = (0, 0);
    for (number_of_step, step) in prepared.steps.iter().enumerate() {
        let index = Some(number_of_step as u16);
        // The first step's connection was looked at just before the pass.
        let usable = connection.as_mut().is_some_and(|c| number_of_step == 0 || c.is_open());
        let exchange = match connection.take().filter(|_| usable) {
            Some(open) => Ok(open),
            None => {
                shared.connects.set(shared.connects.get() + 1);
                Connection::open(prepared, number).await
            }
        };
        let result = match exchange {
            Ok(mut open) => {
                let result = open.exchange(step, values).await;
                if result.as_ref().map_or_else(|f| f.connection_usable, |_| true) {
                    *connection = Some(open);
                }
                result
            }
            Err(failure) => Err(failure),
        };
        let completed = shared.now_ns();
        let mut row = ended(index, arrival, Outcome::Ok, intended, sent, completed);
        match result {
            Ok(done) => {
                (row.sent_bytes, row.received_bytes) = (done.sent_bytes, done.received_bytes);
                sent_bytes += done.sent_bytes;
                received_bytes += done.received_bytes;
            }
            Err(failure) => {
                shared.note(index, &failure);
                row.outcome = failure.outcome;
                outcome = failure.outcome;
            }
        }
        shared.record(&row);
        (intended, sent) = (completed, completed);
        if outcome != Outcome::Ok {
            break;
        }
    }
    let mut row = ended(None, arrival, outcome, arrival.intended_ns, first_sent, sent);
    (row.sent_bytes, row.received_bytes) = (sent_bytes, received_bytes);
    shared.record(&row);
    shared.pass_ended(arrival, outcome, first_sent, sent);
}

/// One pass whose answers are checked and not counted.
pub(super) async fn verify(prepared: Arc<Prepared>, seed: u64) -> Result<(), Error> {
    // A connection number that no load has, so that its ids are its own.
    let number = u64::from(u32::MAX);
    let mut values = Values::new(&prepared, seed, number);
    values.begin_pass(0);
    for url in 0..prepared.addresses.len() as u64 {
        let mut connection = Connection::open(&prepared, url).await.map_err(|f| Error::Verify(f.words))?;
        if url > 0 {
            continue; // It answers; the steps are checked once.
        }
        for step in &prepared.steps {
            if !connection.is_open() {
                connection = Connection::open(&prepared, url).await.map_err(|f| Error::Verify(f.words))?;
            }
            connection.exchange(step, &mut values).await.map_err(|f| Error::Verify(f.words))?;
        }
    }
    Ok(())
}
