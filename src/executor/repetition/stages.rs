//! The parts of a repetition, in the order of the story.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::session::Session;
use super::{LoadMark, Repetition};
use crate::actions::Found;
use crate::collect::collect;
use crate::context::Context;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::kept::{falling, take_over_logs};
use crate::late::fill_workload;
use crate::part::Point;
use crate::reconcile::Baselines;
use crate::revive::{Reviver, last_deaths};
use crate::taps::TapFiles;
use crate::targets::Running;
use crate::{actions, hints, launches, memory, targets};
use load::{self, Gate, Job, Launcher, Setting};
use plan::{Action, Cell, Length, Target};
use supervise::Process;

/// A target whose end explains a wrong answer is noticed within this time.
const NOTICED: Duration = Duration::from_millis(50);

impl Repetition<'_> {
    /// Makes the scratch directory.
    pub(super) fn make_scratch(&self) -> Result<(), Error> {
        let path = &self.context.scratch;
        memory::make_passable(path).map_err(|source| Error::Scratch { path: path.clone(), source })
    }

    pub(super) async fn set_up(&mut self) -> Result<(), Error> {
        self.execute_and_find("set-up, repetition", &self.cell.set_up.repetition).await
    }

    /// Makes and measures the links; from now on, their names have values.
    pub(super) async fn lay_links(&mut self) -> Result<(), Error> {
        let network = &mut self.session.network;
        network.make(self.cell, &self.context, self.seed).await?;
        let names = self.link_names.iter().map(String::as_str);
        self.context.late.extend(names.zip(network.late_values()));
        Ok(())
    }

    /// Stops targets that have ended since the last repetition and should not have, and reports it: they are started
    /// again.
    pub(super) async fn stop_ended(&mut self) -> Result<(), Error> {
        for words in self.session.kept.stop_ended(self.context.guard).await? {
            vocabulary::errors::tell(format_args!("warning: {words}; it is started again"));
            self.session.events.now(json!({"event": "ended-between", "what": words}));
        }
        Ok(())
    }

    /// Makes sure that the ports of all targets that will be started are free, and that other runners leave them free.
    pub(super) fn claim_ports(&mut self) -> Result<(), Error> {
        let session = &mut self.session;
        let starting: Vec<&Target> = self.cell.targets.iter().filter(|t| !session.kept.has(&t.name)).collect();
        session.claims = targets::claim_ports(&starting, &session.network)?;
        targets::check_ports(&starting, &session.network)
    }

    /// Follows what will be written to files from now on, so that nothing is missed.
    pub(super) fn follow_taps(&mut self) -> Result<(), Error> {
        let Self { executor, cell, context, session, spill, writer, lasting_logs, .. } = self;
        let kept = &session.kept;
        let logs = |target: &Target| match target.lifetime.is_repetition() {
            true => (context.logs.clone(), false),
            false => match kept.replicas(&target.name).next().and_then(|one| one.logs()[0].parent()) {
                // Its earlier output belongs to other repetitions.
                Some(logs) => (logs.to_owned(), true),
                None => (lasting_logs.clone(), false),
            },
        };
        let ahead = |tap| writer.tap_ahead(tap);
        let ahead: Option<&dyn Fn(usize) -> PathBuf> = if executor.measuring { Some(&ahead) } else { None };
        let to = TapFiles { directory: writer.directory(), spill: Some(&*spill), ahead };
        session.taps.follow(cell, context, logs, to, &executor.plan.secrets)
    }

    /// Connects to servers that speak in lines, and starts commands whose output is followed.
    pub(super) async fn connect_taps(&mut self) -> Result<(), Error> {
        let Self { cell, context, sampler, session, .. } = self;
        session.taps.connect(cell, context, &session.network, sampler).await
    }

    /// Ends the commands of taps. Logs and files are followed until the targets are stopped, because targets may write
    /// until then.
    pub(super) async fn end_taps(&mut self) -> Result<(), Error> {
        self.session.taps.load_ended();
        self.session.taps.end_commands(self.context.guard).await
    }

    /// Starts the targets in order; each is ready before the next one is started. Targets that outlived an earlier
    /// repetition continue.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let Self { executor, cell, context, sampler, session, turn, lasting_logs, .. } = self;
        let Session { running, events, network, kept, .. } = &mut *session;
        let context: &Context<'_> = context;
        let lasting = Context { logs: lasting_logs.clone(), ..context.clone() };
        let watch = |one: &Running, event: &str| {
            if let Some(watched) = targets::watched(one, context.guard) {
                sampler.add(watched);
            }
            events.now(json!({"event": event, "target": one.name, "pid": one.status.pid}));
        };
        // Where several machines have targets, each group waits for the one before it.
        let groups = executor.part.map(|part| part.groups_here(turn.cell)).unwrap_or_else(|| vec![cell.targets.len()]);
        let mut targets = cell.targets.iter();
        for (group, here) in groups.iter().enumerate() {
            for target in targets.by_ref().take(*here) {
                if kept.has(&target.name) {
                    let first = running.len();
                    running.extend(kept.take(&target.name));
                    running[first..].iter().for_each(|one| watch(one, "goes-on"));
                    continue;
                }
                let namespace = network.namespace(&target.name);
                let context = if target.lifetime.is_repetition() { context } else { &lasting };
                if !target.lifetime.is_repetition() {
                    record::files::make_directory(&context.logs)?;
                }
                targets::start(target, context, namespace.as_deref(), turn.cell, running, |one| watch(one, "started")).await?;
                events.now(json!({"event": "ready", "target": target.name}));
            }
            if let Some(part) = executor.part.filter(|_| group + 1 < groups.len()) {
                part.reach(Point::Targets(group as u32), Found::new()).await?;
            }
        }
        session.ready_at = Some(Instant::now());
        Ok(())
    }

    pub(super) async fn set_up_load(&mut self) -> Result<(), Error> {
        self.session.clean_up_load = true;
        self.execute_and_find("set-up, load", &self.cell.set_up.load).await
    }

    /// One pass of each workload, every answer checked.
    ///
    /// A measurement of months has a checked pass in the first repetition only: later ones would be time without
    /// measuring, up to the sum of all workloads' time-outs if nothing answers.
    pub(super) async fn verify(&mut self) -> Result<(), Error> {
        let is_checked = !self.executor.measuring || self.turn.repetition == 1;
        let Self { executor, cell, context, session, seed, .. } = self;
        let reach = |host: &str, port| session.network.reach(host, port);
        session.workloads = cell.workloads.iter().map(|w| fill_workload(w, &context.late, reach)).collect();
        let here = |workload: &&Arc<plan::Workload>| executor.is_here(workload.on.as_deref());
        // The ids of several machines must differ.
        let seed_here = *seed ^ executor.part.map_or(0, |part| part.index << 32);
        for workload in session.workloads.iter().filter(|_| is_checked).filter(here) {
            tokio::select! {
                biased;
                died = targets::death(&session.running) => return Err(died),
                verified = load::verify(workload, seed_here) => if let Err(error) = verified {
                    return Err(cause(hints::of_refusal(error, workload, &cell.targets), session).await);
                },
            }
        }
        Ok(())
    }

    /// Reads what servers have counted so far.
    pub(super) async fn read_counts(&mut self) -> Result<(), Error> {
        self.session.baselines = Baselines::read(self.cell, &self.context).await?;
        Ok(())
    }

    /// `epoch`: the instant from which all times of the load are counted.
    pub(super) fn load_begins(&mut self, epoch: Epoch) {
        self.progress.expected.set(expected_passes(self.cell));
        self.progress.planned.set(planned_time(self.cell));
        self.sampler.sample_now();
        self.progress.load_began.set(Some(epoch.instant));
        self.progress.live.load_begins(epoch.instant);
        self.session.epoch = Some(epoch);
        self.recorder.set_epoch(epoch.instant);
        self.session.taps.set_start(epoch.instant, epoch.unix);
        // Machines have one instant and each its own wall clock, by which logs are found again.
        let unix_ns = epoch.unix.as_nanos() as u64;
        self.session.events.now(json!({"event": "load-begins", "unix_ns": unix_ns}));
        self.executor.marks.borrow_mut().push(LoadMark::Began(epoch));
    }

    /// Makes the load of all workloads, and waits for its end.
    pub(super) async fn load(&mut self) -> Result<(), Error> {
        let (launcher, mut asked_for) = tokio::sync::mpsc::unbounded_channel();
        // The recorder ends when nobody can send to it any more: no job outlives this loop.
        let jobs = self.jobs(&launcher);
        for job in &jobs {
            self.session.loads.push((usize::from(job.index), load::start(job)?));
        }
        let gate = jobs.first().map_or_else(|| Arc::new(Gate::new(0)), |job| Arc::clone(&job.setting.gate));
        drop(jobs);
        let Self { executor, cell, turn, context, sampler, session, lasting_logs, .. } = self;
        let Session { running, events, network, loads, late, .. } = &mut *session;
        let (context, lasting) = (&*context, Context { logs: lasting_logs.clone(), ..context.clone() });
        let contexts = [context, &lasting];
        let reviver = Reviver { cell, turn: *turn, contexts, network, sampler, events, all: executor.measuring };
        let over = async {
            if let Some(part) = executor.part {
                gate.full().await;
                let start = part.instant_of(Point::Start).await?;
                *late = crate::part::late(start);
                gate.open(start);
            }
            while !loads.iter().all(|(_, load)| load.is_finished()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<(), Error>(())
        };
        tokio::select! {
            biased;
            over = over => over?,
            broken = reviver.watch(running) => match broken? {},
            broken = launches::serve(context.guard, sampler, &context.logs, &mut asked_for) => match broken? {},
        }
        for (index, load) in std::mem::take(&mut session.loads) {
            session.reports.push((index, load.finish().await?));
        }
        session.sent = crate::part::sent(cell, &session.reports);
        session.span = span(&session.reports);
        // Targets are watched until the loads of all machines are over.
        if let Some(part) = executor.part {
            let reviver =
                Reviver { cell, turn: *turn, contexts, network: &session.network, sampler, events: &session.events, all: false };
            let passed = tokio::select! {
                biased;
                passed = part.load_over(session.sent.clone(), session.span) => passed?,
                broken = reviver.watch(&mut session.running) => match broken? {},
            };
            (session.sent, session.span) = (passed.sent, passed.span);
        }
        Ok(())
    }

    /// A job for each workload.
    fn jobs(&self, launcher: &Launcher) -> Vec<Job> {
        let Self { executor, session, .. } = self;
        let part = executor.part;
        let all = session.workloads.iter().enumerate();
        let workloads: Vec<_> = all.filter(|(_, workload)| executor.is_here(workload.on.as_deref())).collect();
        let threads = workloads.iter().map(|(_, workload)| load::threads(workload)).sum();
        let setting = Setting {
            seed: self.seed,
            epoch: session.epoch.expect("the start of the load was recorded").instant,
            window: executor.plan.window,
            requests: executor.plan.record.requests,
            rows: self.recorder.rows.clone(),
            launcher: launcher.clone(),
            part: part.map_or(load::Part::WHOLE, |part| part.share()),
            gate: Arc::new(if part.is_some() { Gate::held(threads) } else { Gate::new(threads) }),
            progress: Arc::clone(&self.progress.passes),
            abort: session.abort.subscribe(),
        };
        let jobs = workloads.into_iter().map(|(index, workload)| Job::new(Arc::clone(workload), index as u16, &setting));
        let mut jobs: Vec<Job> = jobs.collect();
        load::link_followers(&mut jobs);
        jobs
    }

    /// Reports since when nothing new was sent, once, however the load ended.
    pub(super) fn load_over(&mut self) {
        let session = &mut self.session;
        let Some(epoch) = session.epoch.filter(|_| !session.is_load_over) else { return };
        session.is_load_over = true;
        let now = Epoch::now();
        let phases = session.reports.iter().flat_map(|(_, report)| &report.phases);
        let planned = phases.map(|phase| epoch.instant + Duration::from_nanos(phase.end_ns)).max();
        let waited = planned.map_or(Duration::ZERO, |planned| now.instant.saturating_duration_since(planned));
        let at = Epoch { instant: now.instant - waited, unix: now.unix.saturating_sub(waited) };
        self.executor.marks.borrow_mut().push(LoadMark::Ended(at, waited));
    }

    /// Reports that the load is over, after all of it was received.
    pub(super) fn load_ends(&mut self) {
        self.load_over();
        self.session.taps.load_ended();
        self.session.events.now(json!({"event": "load-ends"}));
        self.sampler.sample_now();
        self.recorder.load_ended();
    }

    /// A target that died in the last moment was not noticed by the load.
    pub(super) fn all_alive(&mut self) -> Result<(), Error> {
        match last_deaths(&mut self.session.running, self.cell, self.executor.measuring) {
            Some(dead) => Err(targets::died(dead)),
            None => Ok(()),
        }
    }

    /// Compares what servers counted with what was sent to them.
    pub(super) async fn reconcile(&mut self) -> Result<(), Error> {
        let Self { executor, cell, context, session, .. } = self;
        let limit = executor.plan.limits.reconcile;
        session.reconciled = session.baselines.judge(cell, limit, context, &session.sent).await?;
        // A server that ended meanwhile has forgotten its count.
        let Session { running, reconciled, .. } = session;
        let died = |target: &str| running.iter().any(|one| one.status.target == target && one.status.deaths > 0);
        reconciled.retain(|one| !died(&one.status.target));
        Ok(())
    }

    /// Takes the metrics that the scenario asks for, while the targets still run.
    pub(super) async fn collect(&mut self) -> Result<(), Error> {
        let Self { executor, cell, context, recorder, session, .. } = self;
        let Some(epoch) = session.epoch.filter(|_| !cell.collect.is_empty()) else { return Ok(()) };
        let (begin, end) = session.span.unwrap_or_default();
        let seconds = |ns: u64| format!("{:.9}", (epoch.unix + Duration::from_nanos(ns)).as_secs_f64());
        let mut context = Context::clone(context);
        context.late.extend([("load_begin", seconds(begin)), ("load_end", seconds(end))]);
        let tables = context.logs.with_file_name("collected");
        let here = |(_, wanted): &(usize, &plan::Collect)| executor.is_here(wanted.on.as_deref());
        for (index, wanted) in cell.collect.iter().enumerate().filter(here) {
            let values = collect(wanted, &context, &tables).await?;
            for (metric, value) in values.into_iter().enumerate() {
                let row = vocabulary::rows::MetricRow {
                    at_ns: epoch.instant.elapsed().as_nanos() as u64,
                    workload: (cell.workloads.len() + index) as u16,
                    metric: metric as u16,
                    phase: vocabulary::Phase::During,
                    pass: 0,
                    value,
                };
                // If the recorder has given up, its error is found at the end.
                let _ = recorder.rows.send(load::Rows::Metric(row));
            }
        }
        Ok(())
    }

    /// Abandons the rest of the load, and waits for it to end.
    pub(super) async fn end_load(&mut self) -> Result<(), Error> {
        self.session.abort.send_replace(true);
        let mut result = Ok(());
        for (index, load) in std::mem::take(&mut self.session.loads) {
            match load.finish().await {
                Ok(report) => self.session.reports.push((index, report)),
                Err(error) => result = result.and(Err(error.into())),
            }
        }
        result
    }

    pub(super) async fn clean_up_load(&mut self) -> Result<(), Error> {
        self.execute("clean-up, load", &self.cell.clean_up.load).await.map(drop)
    }

    /// Stops the targets, except for those that outlive the repetition: they continue, unless they or a target that
    /// they wait for has ended.
    pub(super) async fn stop_targets(&mut self) -> Result<(), Error> {
        let Self { context, session: Session { running, kept, .. }, .. } = self;
        // An interruption may come between the start of a process and the news of it.
        let abandoned = context.guard.end_abandoned().await;
        let all: Vec<&Running> = running.iter().chain(kept.running()).collect();
        let ending = |one: &Running| !one.is_ready || one.exited().is_some();
        let falling = falling(&all, |one| !one.lifetime.is_repetition() && ending(one));
        for one in running.iter_mut().filter(|one| one.process.is_some() && !one.lifetime.is_repetition()) {
            one.stays = !falling.contains(&one.status.target);
        }
        let mut stopping: Vec<&mut Running> = running.iter_mut().filter(|one| !one.stays).collect();
        let stopped = targets::stop(context.guard, &mut stopping).await;
        let stopped = stopped.and(kept.stop(context.guard, |one| falling.contains(&one.status.target)).await);
        Ok(abandoned?).and(stopped)
    }

    /// Ends all remaining processes, and reports what happened to each. Returns what had been left behind.
    pub(super) async fn sweep(&mut self) -> Result<Vec<String>, Error> {
        let Session { running, events, kept, .. } = &self.session;
        let staying = running.iter().filter(|one| one.stays).filter_map(|one| one.process.as_ref());
        let spared: Vec<&Process> = staying.chain(kept.processes()).collect();
        let left = self.context.guard.sweep(&spared).await?;
        for one in running.iter().filter(|one| !one.stays) {
            let at = one.stopped_at.unwrap_or_else(Instant::now);
            let status = &one.status;
            let event = json!({"event": "stopped", "target": one.name, "killed": status.killed, "ended": status.ended});
            events.at(at, event);
        }
        let secrets = &self.executor.plan.secrets;
        let left: Vec<String> = left.iter().map(|(pid, name)| secrets.mask(&format!("{pid} ({name})")).into_owned()).collect();
        if !left.is_empty() {
            events.now(json!({"event": "left-behind", "processes": left}));
        }
        Ok(left)
    }

    /// Makes sure that targets have released their ports.
    pub(super) fn check_ports_again(&self) -> Result<(), Error> {
        // Only ports that were ours: one that was taken from the start has been reported already.
        let all = self.cell.targets.iter().map(|t| t.replicas.len()).sum::<usize>();
        let Session { running, network, .. } = &self.session;
        if running.len() != all {
            return Ok(());
        }
        targets::check_ports_again(running.iter().filter(|one| !one.stays), |target| network.is_here(target))
    }

    /// Copies what targets that outlive repetitions have written meanwhile, and cuts the logs of other targets to their
    /// limit.
    pub(super) fn take_over_logs(&mut self) -> Result<(), Error> {
        self.session.running.iter_mut().filter(|one| one.lifetime.is_repetition()).try_for_each(Running::shorten_logs)?;
        let mut lasting = self.session.running.iter_mut().filter(|one| !one.lifetime.is_repetition());
        lasting.try_for_each(|one| take_over_logs(one, &self.context.logs, self.executor.measuring))
    }

    pub(super) async fn clean_up(&mut self) -> Result<(), Error> {
        self.execute("clean-up, repetition", &self.cell.clean_up.repetition).await.map(drop)
    }

    /// Executes steps of the scenario.
    /// Executes set-up steps; what they find is known from now on.
    async fn execute_and_find(&mut self, level: &'static str, steps: &[Action]) -> Result<(), Error> {
        let found = self.execute(level, steps).await?;
        self.context.late.extend(super::named(&self.executor.plan.found, found.clone()));
        self.session.found.extend(found);
        Ok(())
    }

    async fn execute(&self, level: &'static str, steps: &[Action]) -> Result<Found, Error> {
        let Context { guard, late, logs, targets, .. } = &self.context;
        actions::execute(guard, level, steps, late, logs, &hints::ports(targets.iter())).await
    }
}

/// From the first to the last request that was measured; none if there was none here.
fn span(reports: &[(usize, load::Report)]) -> Option<(u64, u64)> {
    let measured = || reports.iter().flat_map(|(_, r)| &r.phases).filter(|p| p.phase != vocabulary::Phase::WarmUp);
    Some((measured().map(|p| p.start_ns).min()?, measured().map(|p| p.end_ns).max()?))
}

/// Why a pass failed: a target whose end is about to be noticed, or the answer itself.
async fn cause(error: Error, session: &Session) -> Error {
    tokio::time::timeout(NOTICED, targets::death(&session.running)).await.unwrap_or(error)
}

/// How many passes there will be in all; `None` if a phase has a duration.
fn expected_passes(cell: &Cell) -> Option<u64> {
    let of = |length: Length| match length {
        Length::Amount(n) => Some(n),
        Length::Duration(_) => None,
    };
    cell.workloads.iter().filter(|w| w.protocol().follows().is_none()).flat_map(|w| &w.load.segments).map(|s| of(s.length)).sum()
}

/// How long the load takes; none where a phase is as long as its passes take.
fn planned_time(cell: &Cell) -> Option<Duration> {
    let of = |length: Length| match length {
        Length::Amount(_) => None,
        Length::Duration(duration) => Some(duration),
    };
    let mine = cell.workloads.iter().filter(|w| w.protocol().follows().is_none() && w.load.find.is_none());
    let times: Option<Vec<Duration>> = mine.map(|w| w.load.segments.iter().map(|s| of(s.length)).sum()).collect();
    times?.into_iter().max()
}
