//! The load engine: a schedule says when, a driver says how, the engine records what came of it.
//!
//! `schedule` is pure (budgets and instants), `windows` counts, `drivers` speak a protocol, `engine` follows the
//! schedule on one thread. A generator thread shares nothing with another: it has its own runtime, connections,
//! share of the amount and histograms, and sends finished windows as messages. This module starts the threads.
//!
//! It knows nothing of targets, files or experiments.

pub mod drivers;
pub mod engine;
pub mod schedule;
pub mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::plan;
pub use windows::{Outcome, Phase, WindowRow};

/// What can keep a load from being made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that a request sends cannot be read.
    #[error("cannot read the body {}", path.display())]
    Body {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The host has no address.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// As typed.
        host: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The steps cannot be turned into requests.
    #[error("step `{step}` makes no valid request: {reason}")]
    Request {
        /// Its name.
        step: String,
        /// What is wrong.
        reason: String,
    },
    /// A generator thread could not be started, or broke.
    #[error("a generator thread failed: {0}")]
    Thread(String),
    /// The checked pass before the load was answered wrongly.
    #[error("the checked pass before the load failed: {0}")]
    Verify(String),
}

/// One workload of one repetition.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is sent; late names but those of passes are filled in.
    pub workload: Arc<plan::Workload>,
    /// Its place among the workloads of the repetition.
    pub index: u16,
    /// Instant that all times count from.
    pub epoch: Instant,
    /// Length of a window.
    pub window: Duration,
    /// Seed of ids and random bodies.
    pub seed: u64,
    /// Where finished windows go.
    pub rows: Sender<Vec<WindowRow>>,
    /// Passes that ended so far, for whoever watches.
    pub progress: Arc<AtomicU64>,
    /// Becomes `true` when the load is to be given up.
    pub abort: watch::Receiver<bool>,
}

/// What a load was, after its end. Times are nanoseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Each phase that had a pass.
    pub phases: Vec<PhaseReport>,
    /// Processor time of the generator threads.
    pub generator_cpu_ns: u64,
    /// How long they were there, summed.
    pub generator_wall_ns: u64,
    /// Connections opened.
    pub connects: u64,
    /// The first error of each kind, in words.
    pub examples: Vec<String>,
    /// Whether it was given up.
    pub aborted: bool,
}

/// One phase of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseReport {
    /// Which.
    pub phase: Phase,
    /// When its first request was sent.
    pub start_ns: u64,
    /// When its last answer was complete.
    pub end_ns: u64,
    /// Passes that ended, rightly or not.
    pub passes: u64,
    /// Those that did not end rightly.
    pub errors: u64,
}

impl Report {
    /// Adds what another thread did.
    fn merge(&mut self, other: Self) {
        for theirs in other.phases {
            match self.phases.iter_mut().find(|p| p.phase == theirs.phase) {
                Some(ours) => {
                    ours.start_ns = ours.start_ns.min(theirs.start_ns);
                    ours.end_ns = ours.end_ns.max(theirs.end_ns);
                    ours.passes += theirs.passes;
                    ours.errors += theirs.errors;
                }
                None => self.phases.push(theirs),
            }
        }
        self.phases.sort_by_key(|p| p.start_ns);
        self.generator_cpu_ns += other.generator_cpu_ns;
        self.generator_wall_ns += other.generator_wall_ns;
        self.connects += other.connects;
        for example in other.examples {
            if !self.examples.contains(&example) && self.examples.len() < 20 {
                self.examples.push(example);
            }
        }
        self.aborted |= other.aborted;
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<Result<Report, Error>>>,
}

/// Starts the generator threads of a job.
///
/// # Errors
/// When the steps make no requests, a body or host cannot be found, or a thread cannot be started.
pub fn start(job: &Job) -> Result<Running, Error> {
    let prepared = Arc::new(drivers::http::Prepared::new(&job.workload)?);
    let threads = u64::from(job.workload.threads);
    let mut running = Running { threads: Vec::new() };
    for thread in 0..threads {
        let share = engine::Share { thread, threads, prepared: Arc::clone(&prepared), job: job.clone() };
        let handle = std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || engine::run(share))
            .map_err(|e| Error::Thread(e.to_string()))?;
        running.threads.push(handle);
    }
    Ok(running)
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
        let mut report = Report::default();
        for thread in self.threads {
            report.merge(thread.join().map_err(|_| Error::Thread("it panicked".to_owned()))??);
        }
        Ok(report)
    }
}

/// One pass through the steps of a workload, every answer checked; nothing is recorded.
///
/// # Errors
/// [`Error::Verify`] with what was wrong.
pub async fn verify(workload: &plan::Workload, seed: u64) -> Result<(), Error> {
    let prepared = Arc::new(drivers::http::Prepared::new(workload)?);
    engine::verify(prepared, seed).await
}

/// A counter that several loads of one repetition may share.
pub fn passes(progress: &AtomicU64) -> u64 {
    progress.load(Ordering::Relaxed)
}
