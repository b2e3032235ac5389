//! A generator thread: a runtime of its own, the processors on which it may run, and its end, however that comes.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::LocalOptions;

use super::account::{Account, thread_cpu_ns};
use super::observer::Observer;
use super::pacer::Pacer;
use super::{Error, Job, Report};

/// When the load began, as one thread saw it, and what the thread had used by then.
pub(super) struct Begin(Cell<(Instant, u64)>);

impl Begin {
    /// It begins now.
    pub fn now(&self) {
        self.0.set((Instant::now(), thread_cpu_ns()));
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

/// The whole life of a generator thread that carries `at_a_time` passes of `steps` steps. `follow`: what it does until the load
/// is over; it waits for the others at the gate.
///
/// # Errors
/// When its runtime or timer cannot be made, or it cannot run where it should; and what `follow` says.
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
            // An error means that nobody can ask for an end any more; then nobody waits for one either.
            _ = abort.wait_for(|asked| *asked) => Ok(true),
        }
    })?;
    let (began, cpu_before) = begin.0.get();
    Ok(account.report(aborted, began, cpu_before))
}
