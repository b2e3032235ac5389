//! The story of one repetition.
//!
//! `stages` are its parts one by one, `session` is what it has so far, `timing` records how long each part took,
//! `status` is the result.

mod session;
mod stages;
mod status;
mod timing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::session::Session;
use self::status::Conclusion;
use self::timing::{Stage, Stopwatch, ns_since};
use super::actions::Found;
use super::context::Context;
use super::epoch::Epoch;
use super::error::Error;
use super::interrupt::Interrupt;
use super::kept::{Kept, fresh_logs, is_over};
use super::limits;
use super::memory::Memory;
use super::part::{Part, Point};
use super::progress::Progress;
use super::recorder::Recorder;
use super::together::{Conductor, Directed};
use super::{taps, targets};
use hosts::Lifetimes;
use observe::{Sampler, Settings, outbox};
use plan::Late;
use plan::links::Link;
use plan::order::{Turn, seed_of};
use plan::{Cell, Plan, Workload};
use record::ahead::{Ahead, Head};
use record::manifest::now;
use record::spill::Spill;
use record::status::{CutShort, ObserverStatus, Status, Verdict};
use record::tables::WorkloadNames;
use record::{RepetitionWriter, RunDirectory};
use supervise::{Guard, journal};
use vocabulary::Task;

/// How soon a full disk is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);
/// Files that we need besides connections and those used for watching.
const OTHER_FILES: u64 = 100;

/// What is reported about loads to a process that watches over a run.
#[derive(Clone, Copy, Debug)]
pub enum LoadMark {
    /// A load starts.
    Began(Epoch),
    /// Nothing new has been sent since this instant; until now, passes under way were waited for.
    Ended(Epoch, Duration),
}

/// Executes repetitions of one plan.
#[derive(Debug)]
pub struct Executor<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The owner of processes.
    pub guard: &'a Guard,
    /// Where results go.
    pub directory: &'a RunDirectory,
    /// Scratch directories are made below this one.
    pub scratch: &'a Path,
    /// A file system in memory in which repetitions are recorded, if requested.
    pub memory: Option<&'a Memory>,
    /// The fixtures' executable.
    pub fixtures: &'a Path,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Targets that outlive repetitions.
    pub kept: RefCell<Kept>,
    /// The run measures for months: an interrupted repetition keeps what it measured so far, a target that ends is
    /// started again, and runner waits while the disk is full.
    pub measuring: bool,
    /// When loads started and ended, until somebody takes it.
    pub marks: RefCell<Vec<LoadMark>>,
    /// What set-up steps around repetitions have found: those of the run, and those of each cell by index.
    pub found: RefCell<BTreeMap<Option<usize>, Found>>,
    /// Set if this is one of several machines that execute repetitions together.
    pub part: Option<&'a Part<'a>>,
    /// Set if this process directs several machines, and executes nothing itself.
    pub conductor: Option<&'a Conductor>,
}

impl Executor<'_> {
    /// What set-up steps around the repetitions of a cell have found.
    pub fn found_for(&self, cell: usize) -> Found {
        let found = self.found.borrow();
        let all = [None, Some(cell)].into_iter().filter_map(|of| found.get(&of)).flatten();
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Executes a repetition and makes its result durable, whatever happened to it.
    ///
    /// # Errors
    /// Only what ends the run: results that cannot be written, the end of the guard, an interruption. A repetition that
    /// fails otherwise is a result: its status says why.
    pub fn repetition<'f>(&'f self, turn: Turn, progress: &'f Progress) -> Task<'f, Result<Status, Error>> {
        Box::pin(async move {
            if let Some(conductor) = self.conductor {
                let directed = Directed {
                    plan: self.plan,
                    guard: self.guard,
                    directory: self.directory,
                    interrupt: self.interrupt,
                    progress,
                    found: &self.found_for(turn.cell),
                };
                return match conductor.repetition(&directed, turn).await {
                    Err(failed @ (Error::Elsewhere { .. } | Error::Link(_) | Error::LinkHelper { .. })) => {
                        self.record_failed(turn, &failed)
                    }
                    ended => ended,
                };
            }
            let cell = &self.plan.cells[turn.cell];
            let link_names: Vec<String> = cell.links.iter().flat_map(Link::late_names).collect();
            let mut repetition = Repetition::open(self, turn, progress, &link_names)?;
            let measured = tokio::select! {
                biased;
                () = self.interrupt.asked(1) => Err(Error::Interrupted),
                elsewhere = self.abandoned() => Err(elsewhere),
                measured = repetition.measure() => measured,
            };
            self.tell_broken(&measured);
            let torn_down = tokio::select! {
                biased;
                () = self.interrupt.asked(2) => {
                    // "Now" means now: the guard kills everything in one sweep.
                    self.guard.sweep(&[]).await?;
                    Err(Error::Interrupted)
                },
                torn_down = repetition.tear_down(measured.is_ok()) => torn_down,
            };
            self.kept.replace(repetition.session.hand_over());
            repetition.conclude(measured, torn_down).await
        })
    }

    /// Whether something with this role is done by this process.
    fn is_here(&self, on: Option<&str>) -> bool {
        self.part.is_none_or(|part| part.is_here(on))
    }

    /// Waits until another machine brings the repetition down; for ever where there is none.
    async fn abandoned(&self) -> Error {
        match self.part {
            Some(part) => part.abandoned().await,
            None => std::future::pending().await,
        }
    }

    /// Tells the others what went wrong here.
    fn tell_broken(&self, measured: &Result<(), Error>) {
        if let (Some(part), Err(error)) = (self.part, measured)
            // A machine that is wanted back ends, and the others hear that it is gone.
            && !matches!(error, Error::Elsewhere { .. } | Error::Asked(_) | Error::Interrupted)
        {
            let why = self.plan.secrets.mask(&vocabulary::errors::chain(error)).into_owned();
            part.post.say(&hosts::ToController::Broke { why });
        }
    }

    /// The directory of the run for targets that outlive repetitions.
    pub fn kept_directory(&self) -> PathBuf {
        self.scratch.join("kept")
    }

    /// Stops targets whose lifetime is over, in reverse order.
    ///
    /// # Errors
    /// When the guard is gone, something does not stop, or the user no longer wants to wait.
    pub fn end_lifetimes(&self, over: Lifetimes) -> Task<'_, Result<(), Error>> {
        Box::pin(async move {
            if let Some(conductor) = self.conductor {
                return conductor.end_lifetimes(over, self.interrupt).await;
            }
            let mut kept = self.kept.take();
            if kept.running().next().is_none() {
                return Ok(());
            }
            let ended = tokio::select! {
                biased;
                () = self.interrupt.asked(2) => {
                    // "Now" means now.
                    self.guard.sweep(&[]).await?;
                    Err(Error::Interrupted)
                },
                ended = kept.stop(self.guard, |one| is_over(over, one)) => ended,
            };
            self.kept.replace(kept);
            ended
        })
    }

    /// Ends everything that runs between repetitions, except for targets that outlive them.
    ///
    /// # Errors
    /// When the guard is gone.
    pub fn sweep_around_kept(&self) -> Task<'_, Result<(), Error>> {
        Box::pin(async move {
            let kept = self.kept.take();
            let swept = self.guard.sweep(&kept.processes()).await;
            self.kept.replace(kept);
            Ok(swept.map(drop)?)
        })
    }

    /// Records a repetition that was never started, because the set-up of its cell failed.
    ///
    /// # Errors
    /// Results that cannot be written.
    pub fn record_unstarted(&self, turn: Turn, reason: &str) -> Result<Status, Error> {
        self.record_failed(turn, &Error::CellSetUp { reason: reason.to_owned() })
    }

    /// Records a repetition of which there is nothing but why it failed.
    fn record_failed(&self, turn: Turn, why: &Error) -> Result<Status, Error> {
        let mut writer = self.directory.repetition(&self.plan.cells[turn.cell], turn.repetition, None)?;
        let status = Conclusion {
            plan: self.plan,
            turn,
            started_at: now(),
            outcome: Err(why),
            session: &Session::default(),
            observer: ObserverStatus::default(),
            host: None,
            left_behind: Vec::new(),
            machines: 1,
            memory_full: None,
            cut_short: None,
        };
        let status = status.into_status();
        writer.finish(&[], &status)?;
        Ok(status)
    }
}

/// One repetition from its scratch directory to its status.
struct Repetition<'a> {
    executor: &'a Executor<'a>,
    cell: &'a Cell,
    turn: Turn,
    seed: u64,
    begin: Instant,
    started_at: String,
    context: Context<'a>,
    /// Late names that the links define, in the order of their values.
    link_names: &'a [String],
    progress: &'a Progress,
    sampler: Sampler,
    recorder: Recorder,
    session: Session,
    /// Where the logs go of processes that start now and outlive the repetition.
    lasting_logs: PathBuf,
    /// Where recording continues when there is no room left in memory.
    spill: Spill,
    writer: RepetitionWriter,
}

impl<'a> Repetition<'a> {
    /// Starts recording and sampling; nothing of the experiment runs yet.
    fn open(executor: &'a Executor<'a>, turn: Turn, progress: &'a Progress, link_names: &'a [String]) -> Result<Self, Error> {
        let (begin, started_at) = (Instant::now(), now());
        let cell = &executor.plan.cells[turn.cell];
        progress.stage.set(Stage::SetUp.word());
        let scratch = executor.scratch.join(format!("{}-{}", turn.cell, turn.repetition));
        let memory = executor.memory.map(|memory| memory.path.join(turn.cell.to_string()));
        let writer = executor.directory.repetition(cell, turn.repetition, memory.as_deref())?;
        let (to_recorder, observations) = outbox();
        let mut spill = writer.spill();
        let mut ahead = None;
        if executor.measuring {
            spill.patience = Some(Arc::default());
            ahead = Some(Ahead::new(writer.ahead(), &head(executor.plan, turn, &started_at)));
        }
        let (names, live) = (names(cell), Arc::clone(&progress.live));
        live.begin(cell.workloads.iter().map(|one| one.name.clone()), executor.plan.window);
        let recorder = Recorder::start(writer.directory(), spill.clone(), ahead, names, observations, live)?;
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let settings = Settings {
            adopter: Some(executor.guard.pid()),
            most_files: usize::try_from(allowed.saturating_sub(cell.connections() + taps::open_files(cell) + OTHER_FILES))
                .unwrap_or(usize::MAX),
            ..Settings::default()
        };
        let sampler = Sampler::start(Vec::new(), settings, to_recorder).map_err(Error::Observe)?;
        let mut late: Late<'_> = executor.plan.secrets.late().collect();
        let kept = executor.kept_directory();
        late.extend([
            ("scratch", scratch.display().to_string()),
            ("kept", kept.display().to_string()),
            ("repetition", turn.repetition.to_string()),
        ]);
        late.extend(named(&executor.plan.found, executor.found_for(turn.cell)));
        Ok(Self {
            executor,
            cell,
            turn,
            seed: seed_of(executor.plan.seed, turn),
            begin,
            started_at,
            context: Context {
                guard: executor.guard,
                late,
                scratch,
                kept,
                logs: writer.logs(),
                fixtures: executor.fixtures,
                targets: &cell.targets,
            },
            link_names,
            progress,
            sampler,
            recorder,
            session: Session { kept: executor.kept.take(), ..Session::default() },
            lasting_logs: fresh_logs(&executor.directory.path.join("logs")),
            spill,
            writer,
        })
    }

    /// From the scratch directory to the last collected metric.
    async fn measure(&mut self) -> Result<(), Error> {
        self.make_scratch()?;
        self.timed(Stage::StopTargets, Self::stop_ended).await?;
        self.timed(Stage::SetUp, Self::set_up).await?;
        self.reach(Point::SetUp).await?;
        self.timed(Stage::LayLinks, Self::lay_links).await?;
        self.claim_ports()?;
        self.follow_taps()?;
        self.timed(Stage::Start, Self::start).await?;
        self.timed(Stage::Start, Self::connect_taps).await?;
        self.reach(Point::Ready).await?;
        self.timed(Stage::SetUpLoad, Self::set_up_load).await?;
        self.reach(Point::LoadSetUp).await?;
        self.timed(Stage::Verify, Self::verify).await?;
        self.reach(Point::Verified).await?;
        self.timed(Stage::Verify, Self::read_counts).await?;
        let epoch = match self.executor.part {
            Some(part) => Epoch::at(part.instant_of(Point::Epoch).await?),
            None => Epoch::now(),
        };
        self.load_begins(epoch);
        self.timed(Stage::Load, Self::load).await?;
        self.load_ends();
        self.all_alive()?;
        self.reconcile().await?;
        self.timed(Stage::Collect, Self::collect).await?;
        self.reach(Point::Collected).await
    }

    /// Waits for the other machines, if there are any.
    ///
    /// What set-up steps have found on one of them is known on all of them afterwards.
    async fn reach(&mut self, point: Point) -> Result<(), Error> {
        let Some(part) = self.executor.part else { return Ok(()) };
        let found = std::mem::take(&mut self.session.found);
        let passed = tokio::select! {
            biased;
            // Others would find that nobody answers.
            died = targets::death(&self.session.running) => return Err(died),
            passed = part.reach(point, found) => passed?,
        };
        self.context.late.extend(named(&self.executor.plan.found, passed.found));
        Ok(())
    }

    /// Ends load and targets, proves that nothing is left, and cleans up. Returns what had been left behind.
    async fn tear_down(&mut self, is_complete: bool) -> Result<Vec<String>, Error> {
        // An abandoned load took time, too.
        if let (0, Some(epoch)) = (self.session.timings.load_ns, self.session.epoch) {
            self.session.timings.load_ns = ns_since(epoch.instant);
        }
        // Whatever goes wrong here, the rest is still done; the first error is reported.
        let mut result = self.timed(Stage::EndLoad, Self::end_load).await;
        self.load_over();
        result = result.and(self.end_faults().await);
        result = result.and(self.timed(Stage::EndLoad, Self::end_taps).await);
        if self.session.clean_up_load {
            result = result.and(self.timed(Stage::CleanUpLoad, Self::clean_up_load).await);
        }
        // The clean-up of another machine may need the targets of this one.
        if is_complete {
            self.executor.tell_broken(&result);
            if result.is_ok() {
                result = self.reach(Point::LoadCleanedUp).await;
            }
        }
        let stopped = self.timed(Stage::StopTargets, Self::stop_targets).await;
        result = result.and(self.session.network.undo(self.context.guard).await);
        let left_behind = self.sweep().await?;
        stopped?;
        result = result.and(self.check_ports_again());
        match self.take_over_logs() {
            // They are still where they were written, and are moved when there is room: no measurement waits for that.
            Err(Error::Record(error)) if self.executor.measuring && error.is_disk_full() => {}
            taken => result = result.and(taken),
        }
        result.and(self.timed(Stage::CleanUp, Self::clean_up).await).map(|()| left_behind)
    }

    /// Makes the result durable, whatever it is.
    async fn conclude(self, measured: Result<(), Error>, torn_down: Result<Vec<String>, Error>) -> Result<Status, Error> {
        let Self {
            executor, turn, begin, started_at, context, progress, sampler, recorder, mut session, spill, mut writer, ..
        } = self;
        let observer = sampler.stop();
        if !journal::remove(&context.scratch) {
            vocabulary::errors::tell(format_args!(
                "warning: {} could not be removed: something is mounted or kept in it",
                context.scratch.display()
            ));
        }
        let (outcome, left_behind) = merged(measured, torn_down);
        // What our own death broke was not measured: it is missing, and `resume` executes it again.
        let outcome = if executor.guard.is_gone() { Err(supervise::Error::GuardGone.into()) } else { outcome };
        // A measurement of months keeps what was measured until the user asked for an end.
        let asked = executor.measuring && executor.interrupt.count() > 0 && session.epoch.is_some();
        let is_cut = asked && matches!(&outcome, Err(error) if !error.ends_the_run() || matches!(error, Error::Interrupted));
        let breaks = |error: &Error| {
            matches!(error, Error::Interrupted | Error::Supervise(supervise::Error::GuardGone) | Error::Record(_))
        };
        let outcome = match outcome {
            Err(error) if breaks(&error) && !is_cut => {
                drop(recorder);
                if session.epoch.is_none() {
                    // Nothing is lost with it.
                    writer.forget_ahead();
                }
                drop(session);
                return Err(error);
            }
            outcome => outcome,
        };

        let recording = Stopwatch::start(Stage::Record, progress);
        let written = {
            let mut finishing = std::pin::pin!(recorder.finish());
            tokio::select! {
                biased;
                written = &mut finishing => written,
                () = executor.interrupt.asked(1) => {
                    // A full disk is no longer waited for.
                    spill.patience.iter().for_each(|patience| patience.give_up());
                    finishing.await
                },
            }
        };
        session.tap_report = session.taps.finish(&executor.plan.cells[turn.cell])?;
        recording.stop(&mut session.timings);
        let timings = &mut session.timings;
        timings.total_ns = ns_since(begin);
        let told_apart = timings.steps_ns + timings.target_start_ns + timings.load_ns + timings.target_stop_ns;
        timings.overhead_ns = timings.total_ns.saturating_sub(told_apart);
        let host = written?.filter(|h| h.time_ns >= limits::SHORTEST_HOST_NS);
        if let Some(part) = executor.part {
            part.ended.replace(hosts::Ended {
                late_ns: session.late.as_nanos() as u64,
                ours_ppm: host.as_ref().map(|host| (host.ours_share * 1e6) as u64),
                broken: None,
            });
        }
        let status = Conclusion {
            plan: executor.plan,
            turn,
            started_at,
            outcome: outcome.as_ref().copied(),
            session: &session,
            observer: ObserverStatus {
                samples: observer.samples,
                cpu_ns: observer.cpu_ns,
                wall_ns: observer.elapsed_ns,
                skipped_ticks: observer.skipped_ticks,
                incomplete_samples: observer.incomplete_samples,
                longest_gap_ns: observer.longest_gap_ns,
            },
            host,
            left_behind,
            machines: executor.part.map_or(1, |part| part.of),
            memory_full: executor.memory.and_then(|memory| memory.was_full(&spill)),
            cut_short: is_cut.then_some(CutShort::Interrupted),
        };
        let status = status.into_status();
        // A signal to all processes may reach a target first: a repetition broken by that is missing, too.
        if executor.interrupt.count() > 0 && status.verdict != Verdict::Valid && !is_cut {
            return Err(Error::Interrupted);
        }
        let events = session.events.since(session.epoch);
        let mut told = false;
        while let Err(error) = writer.finish(&events, &status) {
            if !executor.measuring || !error.is_disk_full() || executor.interrupt.count() > 0 {
                return Err(error.into());
            }
            if !std::mem::replace(&mut told, true) {
                let words = vocabulary::errors::chain(&error);
                vocabulary::errors::tell(format_args!("warning: {words}; the repetition waits for free space"));
            }
            tokio::select! { () = executor.interrupt.asked(1) => {}, () = tokio::time::sleep(FULL_AGAIN) => {} }
        }
        match outcome {
            Err(error) if error.ends_the_run() && !is_cut => Err(error),
            _ => Ok(status),
        }
    }

    /// Executes one part of the story: shows it in the progress, and adds its time to the right sum, whatever the
    /// outcome.
    async fn timed<T>(&mut self, stage: Stage, part: impl AsyncFnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        let stopwatch = Stopwatch::start(stage, self.progress);
        let done = part(self).await;
        stopwatch.stop(&mut self.session.timings);
        done
    }
}

/// What was found, by the names of the plan.
fn named(names: &[String], mut found: Found) -> impl Iterator<Item = (&str, String)> {
    names.iter().filter_map(move |name| Some((name.as_str(), found.remove(name)?)))
}

/// Combines the results of measuring and tearing down, and what had been left behind.
fn merged(measured: Result<(), Error>, torn_down: Result<Vec<String>, Error>) -> (Result<(), Error>, Vec<String>) {
    match torn_down {
        // That nothing can be executed any more matters more than what failed because of it.
        Err(error) if error.ends_the_run() => (Err(error), Vec::new()),
        Err(error) => (measured.and(Err(error)), Vec::new()),
        Ok(left_behind) => (measured, left_behind),
    }
}

/// What is known of a repetition at its start.
fn head(plan: &Plan, turn: Turn, started_at: &str) -> Head {
    let cell = &plan.cells[turn.cell];
    Head {
        format: record::FORMAT,
        cell: cell.id.0.clone(),
        repetition: turn.repetition,
        seed: seed_of(plan.seed, turn),
        started_at: started_at.to_owned(),
        workloads: names(cell).iter().map(Into::into).collect(),
    }
}

/// The names that belong to the numbers in the rows of workloads and collected sources.
fn names(cell: &Cell) -> Vec<WorkloadNames> {
    let of_workload = |workload: &Workload| WorkloadNames {
        workload: workload.name.clone(),
        steps: workload.rows(),
        single: workload.is_single(),
        outcomes: workload.protocol().outcomes(),
        metrics: workload.protocol().metrics().into_iter().map(|metric| metric.name).collect(),
    };
    let of_collected = cell.collect.iter().map(|collected| WorkloadNames {
        workload: collected.name.clone(),
        steps: Vec::new(),
        single: false,
        outcomes: Vec::new(),
        metrics: collected.metrics.iter().map(|m| m.name.clone()).collect(),
    });
    cell.workloads.iter().map(of_workload).chain(of_collected).collect()
}
