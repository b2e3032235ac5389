//! A generator thread: its own runtime, the processors on which it may run, and its end, however it comes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::LocalOptions;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::account::{Account, thread_cpu_ns};
use super::observer::Observer;
use super::pacer::Pacer;
use super::{Error, Job, Report};

/// A failed connection attempt is repeated after this time, so that a dead server is not flooded.
pub(super) const CONNECT_PAUSE: Duration = Duration::from_millis(10);
/// Connections made at a time before the load; more would only overflow the server's accept queue.
const CONNECTING: usize = 128;
/// The longest time that the start of the load waits for connections, and for each of them.
const CONNECT_PATIENCE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(2));

/// How much longer for each of them if it does more than connect, such as log in.
const READY_PATIENCE: Duration = Duration::from_millis(20);

/// The start of the load as one thread saw it, and what the thread had used by then.
pub(super) struct Begin(Cell<(Instant, u64)>);

impl Begin {
    /// It starts now.
    pub fn now(&self) {
        self.0.set((Instant::now(), thread_cpu_ns()));
    }
}

/// Restricts the calling thread to these processors.
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

/// Tells those that wait for the results of this thread that it has ended, however that happened.
struct End<'a>(&'a [Arc<dyn Observer>]);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|observer| observer.ends());
    }
}

/// The whole life of a generator thread that carries `at_a_time` passes of `steps` steps. `follow`: what it does until
/// the load is over; it waits for the others at the gate.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run on its processors; and the errors of `follow`.
pub(super) fn run(
    job: &Job,
    steps: usize,
    at_a_time: usize,
    follow: impl AsyncFnOnce(&Rc<Account>, &Begin) -> Result<(), Error>,
) -> Result<Report, Error> {
    let broken = |e: std::io::Error| Error::Thread(e.to_string());
    let _end = End(&job.observers);
    let prepared = pin(&job.workload.cpus).and_then(|()| {
        tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).map_err(broken)
    });
    let runtime = prepared.inspect_err(|_| job.setting.gate.arrive())?;
    let pacer = {
        let _inside = runtime.enter();
        Pacer::new(job.setting.epoch, at_a_time).map_err(broken).inspect_err(|_| job.setting.gate.arrive())?
    };
    let account = Rc::new(Account::new(job, pacer, steps, at_a_time));
    let begin = Begin(Cell::new((job.setting.epoch, 0)));
    let aborted = runtime.block_on(async {
        let mut abort = job.setting.abort.clone();
        let load = follow(&account, &begin);
        tokio::select! {
            biased;
            done = load => done.map(|()| false),
            // On an error nobody can request an end any more, so nobody waits for one either.
            _ = abort.wait_for(|asked| *asked) => Ok(true),
        }
    })?;
    let (began, cpu_before) = begin.0.get();
    Ok(account.report(aborted, began, cpu_before))
}

/// Waits for the other threads at the gate; returns when the load starts, in nanoseconds since the epoch.
pub(super) async fn together(job: &Job, account: &Account, begin: &Begin) -> u64 {
    job.setting.gate.arrive();
    let origin = job.setting.gate.opened().await;
    begin.now();
    account.ns(origin)
}

/// Makes as many clients ready before the load as possible; the others do so when their first pass is due.
///
/// `more`: how long one of them may take besides connecting.
pub(super) async fn make_ready<C: 'static>(all: Vec<C>, more: Duration, ready: impl AsyncFn(&mut C) + Copy + 'static) -> Vec<C> {
    let (least, mut each) = CONNECT_PATIENCE;
    if !more.is_zero() {
        each += READY_PATIENCE;
    }
    let patience = tokio::time::Instant::now() + least + more + each * all.len() as u32;
    let places = Rc::new(Semaphore::new(CONNECTING));
    let connecting: Vec<_> = all
        .into_iter()
        .map(|mut one| {
            let places = Rc::clone(&places);
            tokio::task::spawn_local(async move {
                let Ok(_place) = places.acquire().await else { return one };
                // A failure here will happen again when it matters, and is counted then.
                let _ = tokio::time::timeout_at(patience, ready(&mut one)).await;
                one
            })
        })
        .collect();
    let mut all = Vec::with_capacity(connecting.len());
    for task in connecting {
        all.push(task.await.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic())));
    }
    all
}

/// What follows the schedules of a thread.
pub(super) trait Followers {
    /// Waits until all have ended.
    ///
    /// # Errors
    /// When one of them panics, or cannot be followed.
    async fn all_ended(&mut self) -> Result<(), Error>;

    /// Abandons whatever is under way.
    async fn abandon(self);
}

impl Followers for JoinSet<()> {
    async fn all_ended(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.join_next().await {
            ended.map_err(|e| Error::Thread(e.to_string()))?;
        }
        Ok(())
    }

    async fn abandon(mut self) {
        self.shutdown().await;
    }
}

/// Lets them follow their schedules to the end: no longer than the drain after the planned end, if there is one, and
/// no shorter either. `leave`: handles what is still under way then.
///
/// # Errors
/// When a task panics, or the timer fails.
pub(super) async fn to_the_end(
    account: &Account,
    job: &Job,
    mut followers: impl Followers,
    leave: impl FnOnce(u64),
) -> Result<(), Error> {
    let ended = async {
        followers.all_ended().await?;
        // A thread with nothing left to send still waits for the end: a phase lasts as long as planned.
        if let Some(end_ns) = account.planned_end_ns().filter(|_| !account.has_run_out()) {
            account.until(end_ns).await;
        }
        Ok::<bool, Error>(true)
    };
    let all_ended = tokio::select! {
        biased;
        ended = ended => ended?,
        () = account.drained(&job.workload.load) => false,
        () = account.hand_over(job.setting.window) => return Err(Error::Thread("its clock broke".to_owned())),
        () = account.pacer.run(|now_ns| account.next(now_ns)) => return Err(Error::Thread("its timer broke".to_owned())),
    };
    if !all_ended {
        leave(account.pacer.now_ns());
        followers.abandon().await;
    }
    account.end();
    // Counting millions of arrivals that nobody took may take a while; a request to end is noticed meanwhile.
    while account.give_up() {
        tokio::task::yield_now().await;
    }
    Ok(())
}
