//! The story of one repetition.

use std::cell::{Cell as StdCell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::watch;

use super::Error;
use super::actions;
use super::host::HostUse;
use super::interrupt::Interrupt;
use super::late::fill_workload;
use super::memory::Memory;
use super::network::Network;
use super::reconcile::{Before, Reconciled};
use super::recorder::Recorder;
use super::targets::{self, Place, Running, ns_since};
use super::{collect, launches, limits};
use crate::load::{self, Gate, Job, PhaseReport, Report};
use crate::observe::{Sampler, Settings, Watched, outbox};
use crate::plan::Late;
use crate::plan::order::{Turn, seed_of};
use crate::plan::{Cell, Limit, Plan, Workload};
use crate::record::manifest::now;
use crate::record::status::{GeneratorStatus, HostStatus, ObserverStatus, PhaseStatus, Status, Timings, TrialStatus, Verdict};
use crate::record::tables::Names;
use crate::record::{FORMAT, RepetitionWriter, RunDirectory};
use crate::supervise::{Guard, Kind};
use crate::vocabulary::errors::chain;

/// Files that we need besides connections and what watching takes.
const OTHER_FILES: u64 = 100;

/// What may be seen of a repetition while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    /// What is being done.
    pub stage: StdCell<&'static str>,
    /// Passes that ended, of all workloads.
    pub passes: Arc<AtomicU64>,
    /// Passes in all, where that is known.
    pub expected: StdCell<Option<u64>>,
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
    /// Below which scratch directories are made.
    pub scratch: &'a Path,
    /// A file system in memory in which repetitions are recorded, if that is asked for.
    pub memory: Option<&'a Memory>,
    /// The fixtures' executable.
    pub fixtures: &'a Path,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
}

/// What a repetition has so far; it outlives whatever breaks the repetition off.
#[derive(Default)]
struct Session {
    running: Vec<Running>,
    /// Ports that no other runner may use meanwhile.
    claims: Vec<std::os::unix::net::UnixDatagram>,
    network: Network,
    events: RefCell<Vec<(Instant, serde_json::Value)>>,
    abort: Option<watch::Sender<bool>>,
    loads: Vec<load::Running>,
    /// The set-up of the load was begun.
    clean_up_load: bool,
    reports: Vec<(usize, Report)>,
    epoch: Option<Instant>,
    ready_at: Option<Instant>,
    timings: Timings,
    reconciled: Vec<Reconciled>,
}

impl Session {
    fn event(&self, value: serde_json::Value) {
        self.events.borrow_mut().push((Instant::now(), value));
    }
}

impl Executor<'_> {
    /// Executes a repetition and makes its result durable, whatever became of it.
    ///
    /// # Errors
    /// Only what ends the run: results that cannot be written, the guard's end, an interruption. A repetition that
    /// fails otherwise is a result: its status says why.
    pub async fn repetition(&self, turn: Turn, progress: &Progress) -> Result<Status, Error> {
        let begin = Instant::now();
        let started_at = now();
        let cell = &self.plan.cells[turn.cell];
        let scratch = self.scratch.join(format!("{}-{}", turn.cell, turn.repetition));
        let mut session = Session::default();
        progress.stage.set("set-up");

        let memory = self.memory.map(|memory| memory.path.join(turn.cell.to_string()));
        let writer = self.directory.repetition(cell, turn.repetition, memory.as_deref())?;
        let spill = writer.spill();
        let (to_recorder, observations) = outbox();
        let collected = cell.collect.iter().map(|c| Names {
            workload: c.name.clone(),
            steps: Vec::new(),
            outcomes: Vec::new(),
            metrics: c.metrics.iter().map(|m| m.name.clone()).collect(),
        });
        let workloads = cell.workloads.iter().map(names).chain(collected).collect();
        let recorder = Recorder::start(writer.directory(), spill.clone(), workloads, observations)?;
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let settings = Settings {
            adopter: Some(self.guard.pid()),
            most_files: usize::try_from(allowed.saturating_sub(cell.connections() + OTHER_FILES)).unwrap_or(usize::MAX),
            ..Settings::default()
        };
        let sampler = Sampler::start(Vec::new(), settings, to_recorder).map_err(Error::Observe)?;

        let repetition = turn.repetition.to_string();
        let mut late: Late<'_> = self.plan.secrets.late().collect();
        late.extend([("scratch", scratch.display().to_string()), ("repetition", repetition)]);
        let logs = writer.logs();
        let place = Place { guard: self.guard, late: &late, scratch: &scratch, logs: &logs, fixtures: self.fixtures };

        let outcome = tokio::select! {
            biased;
            () = self.interrupt.asked(1) => Err(Error::Interrupted),
            outcome = self.measure(cell, turn, &place, &recorder, &sampler, progress, &mut session) => outcome,
        };
        let stopped = tokio::select! {
            biased;
            () = self.interrupt.asked(2) => {
                // Now means now: the guard kills everything in one sweep.
                self.guard.sweep().await?;
                Err(Error::Interrupted)
            },
            stopped = self.tear_down(cell, &place, &mut session, progress) => stopped,
        };
        let observer = sampler.stop();
        if !crate::supervise::journal::remove(&scratch) {
            crate::vocabulary::errors::tell(format_args!(
                "warning: {} could not be removed: something is mounted or kept in it",
                scratch.display()
            ));
        }
        let (left_behind, stopped) = match stopped {
            Ok(left) => (left, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        // That nothing can be run any more matters more than what failed because of it.
        let outcome = match stopped {
            Err(error) if error.ends_the_run() => Err(error),
            stopped => outcome.and(stopped),
        };
        // What our own death broke was not measured: it is missing, and `resume` does it again.
        let outcome = if self.guard.is_gone() { Err(Error::Supervise(crate::supervise::Error::GuardGone)) } else { outcome };
        if let Err(error @ (Error::Interrupted | Error::Supervise(crate::supervise::Error::GuardGone))) = outcome {
            drop(recorder);
            return Err(error);
        }
        if let Err(Error::Record(error)) = outcome {
            return Err(error.into());
        }

        progress.stage.set("record");
        let recording = Instant::now();
        let written = recorder.finish().await;
        session.timings.record_ns = ns_since(recording);
        session.timings.total_ns = ns_since(begin);
        let t = &mut session.timings;
        t.overhead_ns = t.total_ns.saturating_sub(t.steps_ns + t.target_start_ns + t.load_ns + t.target_stop_ns);
        let observer = ObserverStatus {
            samples: observer.samples,
            cpu_ns: observer.cpu_ns,
            wall_ns: observer.elapsed_ns,
            skipped_ticks: observer.skipped_ticks,
            incomplete_samples: observer.incomplete_samples,
        };
        let host = written?.filter(|h| h.time_ns >= limits::SHORTEST_HOST_NS);
        let mut status = self.status(cell, turn, started_at, &outcome, observer, left_behind, &session, host);
        limits::unseen(&observer).into_iter().for_each(|reason| status.verdict.invalidate(reason));
        session.network.reasons().into_iter().for_each(|reason| status.verdict.invalidate(reason));
        session.reconciled.iter().filter_map(|r| r.reason.clone()).for_each(|reason| status.verdict.invalidate(reason));
        if let (Some(memory), Some(spill)) = (self.memory, &spill)
            && let Some(reason) = memory.was_full(spill)
        {
            status.verdict.invalidate(reason);
        }
        // A signal that ends everybody may reach a target first: what that broke is missing, too.
        if self.interrupt.count() > 0 && status.verdict != Verdict::Valid {
            return Err(Error::Interrupted);
        }
        let status = status.with_words(|words| self.plan.secrets.mask(words).into_owned());
        let events = events(&session);
        finish(writer, &events, &status)?;
        match outcome {
            Err(error) if error.ends_the_run() => Err(error),
            _ => Ok(status),
        }
    }

    /// Records a repetition that was not begun, because the set-up of its cell failed.
    ///
    /// # Errors
    /// Results that cannot be written.
    pub fn in_vain(&self, turn: Turn, reason: &str) -> Result<Status, Error> {
        let cell = &self.plan.cells[turn.cell];
        let writer = self.directory.repetition(cell, turn.repetition, None)?;
        let failed = Err(Error::CellSetUp { reason: reason.to_owned() });
        let status = self.status(cell, turn, now(), &failed, ObserverStatus::default(), Vec::new(), &Session::default(), None);
        let status = status.with_words(|words| self.plan.secrets.mask(words).into_owned());
        finish(writer, &[], &status)?;
        Ok(status)
    }

    /// From the scratch directory to the end of the load.
    #[allow(clippy::too_many_arguments)]
    async fn measure(
        &self,
        cell: &Cell,
        turn: Turn,
        place: &Place<'_>,
        recorder: &Recorder,
        sampler: &Sampler,
        progress: &Progress,
        session: &mut Session,
    ) -> Result<(), Error> {
        let seed = seed_of(self.plan.seed, turn);
        super::memory::make_passable(place.scratch)
            .map_err(|source| Error::Scratch { path: place.scratch.to_owned(), source })?;
        let steps = Instant::now();
        actions::execute(self.guard, "set-up, repetition", &cell.set_up.repetition, place.late, place.logs).await?;
        progress.stage.set("links");
        session.network.make(cell, place, seed).await?;
        session.timings.steps_ns += ns_since(steps);
        let brought = session.network.late();
        let mut late = place.late.clone();
        late.extend(brought.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let place = &Place { late: &late, ..*place };
        session.claims = targets::claim_ports(cell, &session.network)?;
        targets::check_ports(cell, &session.network)?;

        progress.stage.set("start");
        let starting = Instant::now();
        for target in &cell.targets {
            let Session { running, events, network, .. } = session;
            let namespace = network.namespace(&target.name);
            targets::start(target, place, namespace.as_deref(), running, |one| {
                if let Some(pid) = one.status.pid {
                    let (target, replica) = (one.status.target.clone(), one.status.replica);
                    let (_, marker) = self.guard.marker(Kind::Target, &target, replica);
                    sampler.add(Watched { target, replica, pid, marker });
                }
                events
                    .borrow_mut()
                    .push((Instant::now(), json!({"event": "started", "target": one.name, "pid": one.status.pid})));
            })
            .await?;
            session.event(json!({"event": "ready", "target": target.name}));
        }
        session.ready_at = Some(Instant::now());
        session.timings.target_start_ns = ns_since(starting);

        let steps = Instant::now();
        session.clean_up_load = true;
        actions::execute(self.guard, "set-up, load", &cell.set_up.load, place.late, place.logs).await?;
        session.timings.steps_ns += ns_since(steps);

        let workloads: Vec<_> = {
            let reach = |host: &str, port| session.network.reach(host, port);
            cell.workloads.iter().map(|w| fill_workload(w, place.late, reach)).collect()
        };
        progress.stage.set("verify");
        for workload in &workloads {
            tokio::select! {
                biased;
                died = targets::death(&session.running) => return Err(died),
                verified = load::verify(workload, seed) => if let Err(error) = verified {
                    return Err(self.cause(error, session).await);
                },
            }
        }
        let counts = Before::read(cell, place).await?;
        progress.stage.set("load");
        progress.expected.set(expected_passes(cell));
        let (abort, asked) = watch::channel(false);
        session.abort = Some(abort);
        sampler.sample_now();
        let epoch = Instant::now();
        let begun_at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        session.epoch = Some(epoch);
        recorder.set_epoch(epoch);
        session.event(json!({"event": "load-begins"}));
        let gate = Arc::new(Gate::new(workloads.iter().map(|w| load::threads(w)).sum()));
        let (launcher, mut asked_for) = tokio::sync::mpsc::unbounded_channel();
        let jobs = workloads.iter().enumerate().map(|(index, workload)| Job {
            workload: Arc::clone(workload),
            index: index as u16,
            epoch,
            window: self.plan.window,
            requests: self.plan.record.requests,
            seed: seed ^ (index as u64) << 48,
            rows: recorder.rows.clone(),
            launcher: launcher.clone(),
            gate: Arc::clone(&gate),
            progress: Arc::clone(&progress.passes),
            abort: asked.clone(),
            observers: Vec::new(),
            observes: None,
        });
        let mut jobs: Vec<Job> = jobs.collect();
        load::link_followers(&mut jobs);
        for job in &jobs {
            session.loads.push(load::start(job)?);
        }
        // The recorder ends when nobody can send to it any more.
        drop(jobs);
        let over = async {
            while !session.loads.iter().all(load::Running::is_finished) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = over => {},
            died = targets::death(&session.running) => return Err(died),
            broken = launches::serve(self.guard, sampler, place.logs, &mut asked_for) => match broken? {},
        }
        for (index, load) in std::mem::take(&mut session.loads).into_iter().enumerate() {
            session.reports.push((index, load.finish().await?));
        }
        session.timings.load_ns = ns_since(epoch);
        session.event(json!({"event": "load-ends"}));
        sampler.sample_now();
        recorder.load_ended();

        // A target that died in the very last moment was not noticed by the load.
        if session.running.iter().any(|r| r.process.as_ref().is_some_and(|p| p.exited().is_some())) {
            return Err(targets::death(&session.running).await);
        }
        session.reconciled = counts.judge(cell, self.plan.limits.reconcile, place, &session.reports).await?;
        let steps = Instant::now();
        let collected = self.collect(cell, place, recorder, session, (epoch, begun_at)).await;
        session.timings.steps_ns += ns_since(steps);
        collected
    }

    /// Takes the figures that the scenario asks for, while the targets still run. `epoch`: the same instant on both clocks.
    async fn collect(
        &self,
        cell: &Cell,
        place: &Place<'_>,
        recorder: &Recorder,
        session: &Session,
        (epoch, begun_at): (Instant, Duration),
    ) -> Result<(), Error> {
        if cell.collect.is_empty() {
            return Ok(());
        }
        let measured = || session.reports.iter().flat_map(|(_, r)| &r.phases).filter(|p| p.phase != load::Phase::WarmUp);
        let begin = measured().map(|p| p.start_ns).min().unwrap_or_default();
        let end = measured().map(|p| p.end_ns).max().unwrap_or_default();
        let seconds = |ns: u64| format!("{:.9}", (begun_at + Duration::from_nanos(ns)).as_secs_f64());
        let mut late = place.late.clone();
        late.insert("load_begin", seconds(begin));
        late.insert("load_end", seconds(end));
        let tables = place.logs.with_file_name("collected");
        for (index, wanted) in cell.collect.iter().enumerate() {
            let values = collect::collect(wanted, place, &late, &tables).await?;
            for (metric, value) in values.into_iter().enumerate() {
                let row = load::MetricRow {
                    at_ns: epoch.elapsed().as_nanos() as u64,
                    workload: (cell.workloads.len() + index) as u16,
                    metric: metric as u16,
                    phase: load::Phase::During,
                    pass: 0,
                    value,
                };
                // When the recorder has given up, its error is found at the end.
                let _ = recorder.rows.send(load::Rows::Metric(row));
            }
        }
        Ok(())
    }

    /// What a failed pass is due to: a target whose end is just about to be noticed, or the answer itself.
    async fn cause(&self, error: load::Error, session: &Session) -> Error {
        match tokio::time::timeout(Duration::from_millis(50), targets::death(&session.running)).await {
            Ok(died) => died,
            Err(_) => error.into(),
        }
    }

    /// Ends load and targets, proves that nothing is left, and cleans up. Returns what had been left behind.
    async fn tear_down(
        &self,
        cell: &Cell,
        place: &Place<'_>,
        session: &mut Session,
        progress: &Progress,
    ) -> Result<Vec<String>, Error> {
        progress.stage.set("stop");
        if let Some(abort) = &session.abort {
            abort.send_replace(true);
        }
        // Whatever goes wrong here, the rest is done nevertheless; the first error is the one that is told.
        let mut result = Ok(());
        for (index, load) in std::mem::take(&mut session.loads).into_iter().enumerate() {
            match load.finish().await {
                Ok(report) => session.reports.push((index, report)),
                Err(error) => result = result.and(Err(error.into())),
            }
        }
        if session.clean_up_load {
            let steps = Instant::now();
            let cleaned = actions::execute(self.guard, "clean-up, load", &cell.clean_up.load, place.late, place.logs).await;
            session.timings.steps_ns += ns_since(steps);
            result = result.and(cleaned);
        }
        let stopping = Instant::now();
        let stopped = targets::stop(self.guard, &mut session.running).await;
        session.timings.target_stop_ns = ns_since(stopping);
        result = result.and(session.network.undo(self.guard).await);
        let left: Vec<String> = self.guard.sweep().await?.into_iter().map(|(pid, name)| format!("{pid} ({name})")).collect();
        for one in &session.running {
            let at = one.stopped_at.unwrap_or_else(Instant::now);
            let event = json!({"event": "stopped", "target": one.name, "killed": one.status.killed, "ended": one.status.ended});
            session.events.borrow_mut().push((at, event));
        }
        let left: Vec<String> = left.iter().map(|name| self.plan.secrets.mask(name).into_owned()).collect();
        if !left.is_empty() {
            session.event(json!({"event": "left-behind", "processes": left}));
        }
        stopped?;
        // Only ports that were ours: one that was taken from the start has been said already.
        if session.running.len() == cell.targets.iter().map(|t| t.replicas.len()).sum::<usize>() {
            result = result.and(targets::check_ports_again(cell, &session.network));
        }
        let steps = Instant::now();
        let cleaned =
            actions::execute(self.guard, "clean-up, repetition", &cell.clean_up.repetition, place.late, place.logs).await;
        session.timings.steps_ns += ns_since(steps);
        result.and(cleaned).map(|()| left)
    }

    #[allow(clippy::too_many_arguments)]
    fn status(
        &self,
        cell: &Cell,
        turn: Turn,
        started_at: String,
        outcome: &Result<(), Error>,
        observer: ObserverStatus,
        left_behind: Vec<String>,
        session: &Session,
        host: Option<HostUse>,
    ) -> Status {
        let phases: Vec<PhaseStatus> = session
            .reports
            .iter()
            .flat_map(|(index, report)| {
                let there = report.phases.iter().filter(|p| p.passes > 0 || p.offered > 0 || p.planned_ns.is_some());
                there.map(|p| phase_status(&cell.workloads[*index], report, p))
            })
            .collect();
        let mut timings = session.timings;
        if let (Some(ready), Some(epoch), Some(first)) =
            (session.ready_at, session.epoch, phases.iter().map(|p| p.start_ns).min())
        {
            timings.ready_to_first_request_ns = epoch.duration_since(ready).as_nanos() as u64 + first;
        }
        let mut timer_late = load::windows::new_histogram();
        for (_, report) in &session.reports {
            timer_late.add(&report.timer_late).expect("both have the same bounds");
        }
        let late = |q| (!timer_late.is_empty()).then(|| timer_late.value_at_quantile(q));
        let trials = session.reports.iter().flat_map(|(index, report)| {
            report.trials.iter().map(|t| TrialStatus {
                workload: cell.workloads[*index].name.clone(),
                rate_per_s: t.rate,
                start_ns: t.start_ns,
                end_ns: t.end_ns,
                reasons: t.reasons.clone(),
            })
        });
        let sum = |f: fn(&Report) -> u64| session.reports.iter().map(|(_, r)| f(r)).sum();
        Status {
            format: FORMAT,
            cell: cell.id.0.clone(),
            repetition: turn.repetition,
            seed: seed_of(self.plan.seed, turn),
            started_at,
            verdict: match outcome {
                Ok(()) => {
                    let reports: Vec<_> = session.reports.iter().map(|(i, r)| (&cell.workloads[*i], r)).collect();
                    match limits::reasons(&self.plan.limits, &reports, host.as_ref()) {
                        reasons if reasons.is_empty() => Verdict::Valid,
                        reasons => Verdict::Invalid { reasons },
                    }
                }
                Err(error) => Verdict::Failed { reason: chain(error) },
            },
            phases,
            trials: trials.collect(),
            targets: session.running.iter().map(|r| r.status.clone()).collect(),
            generator: GeneratorStatus {
                cpu_ns: sum(|r| r.generator_cpu_ns),
                wall_ns: sum(|r| r.generator_wall_ns),
                connects: sum(|r| r.connects),
                timer_late_p50_ns: late(0.5),
                timer_late_p99_ns: late(0.99),
                timer_late_max_ns: late(1.0),
                dropped_windows: sum(|r| r.dropped_windows),
            },
            observer,
            links: session.network.status(),
            host: host.map(|h| HostStatus { steal_share: h.steal_share, others_share: h.others_share, watched: h.watched }),
            timings,
            errors: session.reports.iter().flat_map(|(_, r)| r.examples.clone()).collect(),
            left_behind,
            reconciled: session.reconciled.iter().map(|r| r.status.clone()).collect(),
        }
    }
}

/// What is recorded of a phase.
fn phase_status(workload: &Workload, report: &Report, phase: &PhaseReport) -> PhaseStatus {
    let late = report.late_of(phase.phase);
    let names = workload.protocol().outcomes();
    let outcomes = late.into_iter().flat_map(|l| &l.outcomes);
    PhaseStatus {
        workload: workload.name.clone(),
        phase: phase.phase.name().to_owned(),
        start_ns: phase.start_ns.min(phase.end_ns),
        end_ns: phase.end_ns,
        planned_ns: phase.planned_ns,
        offered: phase.offered,
        unsent: phase.unsent,
        passes: phase.passes,
        errors: phase.errors,
        named: phase.named,
        completed: phase.completed,
        open: phase.open,
        at_end: outcomes.map(|(outcome, count)| (outcome.name(&names).to_owned(), *count)).collect(),
        at_end_longest_ns: late.map_or(0, |l| l.longest_ns),
        silence_ns: report.silence_of(phase).total_ns,
        tail_ns: phase.tail_ns(),
    }
}

fn events(session: &Session) -> Vec<serde_json::Value> {
    let events = session.events.borrow();
    let epoch = session.epoch.or_else(|| events.first().map(|(at, _)| *at));
    events
        .iter()
        .map(|(at, value)| {
            let at_ns = epoch.map_or(0, |epoch| match at.checked_duration_since(epoch) {
                Some(after) => after.as_nanos() as i64,
                None => -(epoch.duration_since(*at).as_nanos() as i64),
            });
            let mut object = serde_json::Map::from_iter([("at_ns".to_owned(), at_ns.into())]);
            if let serde_json::Value::Object(rest) = value {
                object.extend(rest.clone());
            }
            object.into()
        })
        .collect()
}

fn finish(writer: RepetitionWriter, events: &[serde_json::Value], status: &Status) -> Result<PathBuf, Error> {
    Ok(writer.finish(events, status)?)
}

/// The names that belong to the numbers in a workload's rows.
fn names(workload: &Workload) -> Names {
    let protocol = workload.protocol();
    Names {
        workload: workload.name.clone(),
        steps: protocol.steps(),
        outcomes: protocol.outcomes(),
        metrics: protocol.metrics().into_iter().map(|metric| metric.name).collect(),
    }
}

fn expected_passes(cell: &Cell) -> Option<u64> {
    let of = |limit: Limit| match limit {
        Limit::Amount(n) => Some(n),
        Limit::Duration(_) => None,
    };
    cell.workloads.iter().filter(|w| w.protocol().follows().is_none()).flat_map(|w| &w.load.stretches).map(|s| of(s.limit)).sum()
}
