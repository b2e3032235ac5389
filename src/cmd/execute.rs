//! One run: all repetitions of a plan, or those that are missing, then summary and graphs.

mod cells;
mod conclude;
mod repetitions;
mod steps;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use self::conclude::{conclude, conclude_unfinished};
use self::repetitions::{Repetitions, turn_of};
use super::check::{notes, size, skips};
use super::estimate::Estimate;
use super::known::Known;
use super::measuring::{self, Measuring};
use super::progress::failures::Failures;
use super::progress::{Reporter, Style};
use super::{Stop, next, open_files};
use crate::analysis::Summary;
use crate::cli;
use crate::executor::memory::{Memory, make_passable};
use crate::executor::versions::versions;
use crate::executor::{Conductor, Error, Executor, Interrupt};
use crate::exit::Exit;
use crate::plan::order::{Turn, of_shard, sequence};
use crate::plan::{Plan, Scratch, factors};
use crate::record::manifest::{Choice, MachineRecord, Manifest};
use crate::record::{RunDirectory, live};
use crate::supervise::{Guard, journal};
use crate::vocabulary::errors::tell;
use crate::vocabulary::{Shard, Task};

/// What all runs of an invocation share.
pub(super) struct Invocation<'a> {
    pub(super) output: &'a cli::Output,
    pub(super) style: Style,
    /// The fixtures' executable.
    pub(super) fixtures: PathBuf,
    pub(super) interrupt: Interrupt,
    pub(super) runtime: tokio::runtime::Runtime,
    /// What the runs of this invocation have come to so far.
    pub(super) summaries: RefCell<Vec<Summary>>,
    /// There is no last round.
    pub(super) measuring: Option<Measuring>,
    /// Whether to stop at the first repetition that does not count.
    pub(super) fail_fast: bool,
    /// Whether a run continues whatever fails.
    pub(super) keep_going: bool,
    /// Whether there was such a repetition.
    pub(super) failed_fast: Cell<bool>,
    /// The part of each run that is executed; none for all of it.
    pub(super) shard: Option<Shard>,
    /// What the generator can send on this machine, if nodes are told apart by it.
    pub(super) ceiling_per_s: Option<f64>,
    /// Directs the machines of the run, if there are several.
    pub(super) conductor: Option<Conductor>,
    /// These machines, for the record.
    pub(super) machines: Vec<MachineRecord>,
}

/// Where a run starts.
pub(super) enum RunStart<'a> {
    /// From the start, in a new directory below `out`.
    New { out: &'a Path, choice: Choice },
    /// Where an earlier invocation ended: the repetitions that exist, the time used, and the length of the longest
    /// round.
    Resume { directory: RunDirectory, manifest: Box<Manifest>, done: BTreeSet<Turn>, used: Duration, longest: Duration },
}

impl RunStart<'_> {
    /// The part of the run that is executed; none for all of it.
    fn shard(&self) -> Option<Shard> {
        match self {
            Self::New { choice, .. } => choice.shard,
            Self::Resume { manifest, .. } => manifest.choice.as_ref().and_then(|choice| choice.shard),
        }
    }
}

/// An empty directory of our own, removed at the end in every case.
///
/// Its name is random and must not exist yet, so nobody can have planted anything in it. Other users may pass through
/// it, because some programs change their user, but they may not list it.
pub(super) fn make_directory(base: PathBuf, purpose: &str, guard: &Guard) -> Result<PathBuf, Stop> {
    let name = format!("runner-{}-{purpose}", guard.run());
    let path =
        std::path::absolute(base.join(name)).map_err(|e| Stop::new(Exit::Failure, format!("no scratch directory: {e}")))?;
    let failed = |e| Stop::new(Exit::Failure, format!("cannot make the scratch directory {}: {e}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    guard.adopt(&path).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    make_passable(&path).map_err(failed)?;
    Ok(path)
}

/// Where temporary files on disk belong.
pub(super) fn disk() -> PathBuf {
    std::env::var_os("RUNNER_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A directory below which scratch directories are made, and its kind of file system.
pub(super) fn make_scratch(kind: Scratch, guard: &Guard) -> Result<PathBuf, Stop> {
    match kind {
        Scratch::Disk => make_directory(disk(), "scratch", guard),
        Scratch::Memory => make_directory(PathBuf::from("/dev/shm"), "scratch", guard),
        Scratch::Tmpfs(size) => make_memory(size, "scratch", guard).map(|memory| memory.path),
    }
}

/// A file system in memory.
pub(super) fn make_memory(size: u64, purpose: &str, guard: &Guard) -> Result<Memory, Stop> {
    let path = make_directory(disk(), purpose, guard)?;
    guard.adopt(&Memory::instead_of(&path)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Memory::make(&path, size).map_err(|reason| Stop::new(Exit::Failure, reason))
}

/// Executes a plan, or what is missing from it.
pub(super) fn execute<'f>(plan: &'f Plan, start: RunStart<'f>, invocation: &'f Invocation<'_>) -> Task<'f, Result<Exit, Stop>> {
    Box::pin(async move {
        let failure = |e: &dyn std::error::Error| failure(plan, e);
        let all = of_shard(sequence(plan), start.shard());
        let repeat = plan.repeat.as_ref();
        let budget = repeat.and_then(|r| r.budget_s).map(Duration::from_secs_f64);
        let reporter = Reporter::new(
            invocation.style,
            invocation.output.verbose,
            all.len(),
            repeat.is_some_and(crate::plan::Repeat::is_open_ended),
            budget,
        );
        let estimate = match &start {
            // The time of months is whatever somebody gives it.
            _ if invocation.measuring.is_some() => None,
            RunStart::New { out, .. } => Some(Estimate::of(plan, out)),
            RunStart::Resume { directory, .. } => {
                Some(Estimate::of(plan, directory.path.parent().and_then(Path::parent).unwrap_or(&directory.path)))
            }
        };
        announce(plan, start.shard(), estimate.as_ref(), &reporter);
        if all.is_empty() {
            return Err(Stop::new(Exit::Failure, format!("{}: every cell is skipped, there is nothing to run", plan.experiment)));
        }

        // Removes what a run left behind that died together with everything that watched over it.
        journal::sweep().iter().chain(&crate::plan::git::sweep()).for_each(|words| reporter.say(words));
        // From here on the guard removes the scratch directory, however this function ends.
        let guard = Guard::start(open_files::of_the_shell()).await.map_err(|e| failure(&e))?;
        let scratch = make_scratch(plan.scratch, &guard)?;
        let memory = match plan.record.tmpfs {
            Some(size) => Some(make_memory(size, "record", &guard)?),
            None => None,
        };
        let needs = plan.cells.iter().filter(|c| c.skipped.is_none()).flat_map(|c| &c.targets).flat_map(|t| t.needs.clone());
        let programs = tokio::select! {
            biased;
            () = invocation.interrupt.asked(1) => {
                tell(format_args!("interrupted; nothing was started"));
                return Ok(Exit::Interrupted);
            },
            programs = versions(&guard, needs.collect::<BTreeSet<_>>()) => programs.map_err(|e| failure(&e))?,
        };
        let now = |choice| {
            let mut manifest = Manifest::collect(&plan.source.display().to_string(), programs.clone(), &scratch, choice);
            manifest.machines.clone_from(&invocation.machines);
            manifest.host.ceiling_per_s = invocation.ceiling_per_s;
            manifest
        };
        let (directory, mut done, used, longest, started_at) = match start {
            RunStart::New { out, choice } => {
                let manifest = now(choice);
                let directory = RunDirectory::create(out, plan, &manifest).map_err(|e| failure(&e))?;
                (directory, BTreeSet::new(), Duration::ZERO, Duration::ZERO, manifest.started_at)
            }
            RunStart::Resume { directory, mut manifest, done, used, longest } => {
                manifest.add_resumed(now(Choice::default()));
                directory.write_manifest(&manifest).map_err(|e| failure(&e))?;
                (directory, done, used, longest, manifest.started_at)
            }
        };
        // What a killed runner left behind is taken in before its numbers are given to new repetitions.
        if invocation.measuring.is_some() {
            for one in directory.salvage(plan).map_err(|e| failure(&e))? {
                reporter.say(&one.words());
                done.extend(turn_of(plan, &one.path));
            }
        }
        let begin = |asked| measuring::Session::begin(asked, plan, &directory, &done, &started_at, &reporter, invocation.style);
        let measuring = invocation.measuring.map(begin);
        let turns: Vec<Turn> = match measuring {
            Some(_) => all,
            None => all.into_iter().filter(|turn| !done.contains(turn)).collect(),
        };
        reporter.start(plan, estimate.as_ref(), &turns, done.len());
        reporter.event(
            &json!({"event": "run-begins", "experiment": plan.experiment, "directory": directory.path, "repetitions": turns.len(),
        "skipped": plan.cells.iter().filter_map(|c| Some((c.id.0.clone(), c.skipped.clone()?))).collect::<BTreeMap<_, _>>()}),
        );
        let known = match &plan.repeat {
            Some(repeat) if !repeat.endless => Some(Known::open(&directory.path, repeat).map_err(|e| failure(&e))?),
            _ => None,
        };

        crate::load::begin_run();
        let executor = Executor {
            plan,
            guard: &guard,
            directory: &directory,
            scratch: &scratch,
            memory: memory.as_ref(),
            fixtures: &invocation.fixtures,
            interrupt: &invocation.interrupt,
            kept: RefCell::default(),
            measuring: measuring.is_some(),
            marks: RefCell::default(),
            found: RefCell::default(),
            part: None,
            conductor: invocation.conductor.as_ref(),
        };
        let kept = executor.kept_directory();
        make_passable(&kept)
            .map_err(|e| Stop::new(Exit::Failure, format!("cannot make the directory {}: {e}", kept.display())))?;
        let given_up = Cell::new(false);
        let repetitions = Repetitions {
            executor: &executor,
            known,
            used,
            longest,
            ended_by: None,
            measuring: measuring.as_ref(),
            failed_fast: invocation.fail_fast.then_some(&invocation.failed_fast),
            failures: Failures::default(),
            given_up: (!invocation.keep_going && measuring.is_none()).then_some(&given_up),
        };
        let repetitions = repetitions.execute(&turns, &reporter);
        let repetitions = async {
            tokio::select! { biased; ended = repetitions => ended, never = reporter.watch() => match never {} }
        };
        reporter.follow(directory.path.clone());
        let ended = match &measuring {
            None => repetitions.await,
            Some(session) => {
                tokio::select! { biased; ended = repetitions => ended, never = session.watch(&executor.marks) => match never {} }
            }
        };
        live::remove(&directory.path);
        if let Some(session) = &measuring {
            session.note(&executor.marks);
            session.end(match &ended {
                Ok(_) => "the time was up",
                Err(Error::Interrupted) => "interrupted",
                Err(_) => "failed",
            });
        }
        // Whatever happened, nothing of ours is left running after this line.
        let swept = guard.sweep(&[]).await;
        journal::remove(&scratch);
        if let Some(memory) = &memory {
            memory.remove();
        }
        drop(guard);
        let took = reporter.finish();
        // This is what happened; failures that follow from it say nothing about the targets.
        directory.is_there().map_err(|e| failure(&e))?;
        // Includes what an interrupted step has printed so far.
        let masked = directory.mask_logs(&directory.path.join("logs"));
        // A full disk may be the reason why it ended, so that is reported first.
        let ended = ended.and_then(|reason| masked.map(|()| reason).map_err(Error::from));

        let reason = match ended {
            Ok(reason) => reason,
            Err(error) => return conclude_unfinished(&error, plan, invocation, &directory, &reporter),
        };
        let left = swept.map_err(|e| failure(&e))?;
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(|(pid, name)| format!("{pid} ({name})")).collect();
            tell(format_args!(
                "warning: processes were left behind, and have been ended: {}",
                plan.secrets.mask(&left.join(", "))
            ));
        }
        let mut exit = conclude(invocation, &directory, &reporter, true, reason.as_deref())?;
        if measuring.is_some() {
            // Failed repetitions are data; expectations are judged by whoever summarizes.
            exit = Exit::Success;
        }
        if let Some(reason) = reason {
            reporter.say(&reason);
        }
        let is_stopped = invocation.failed_fast.get() || given_up.get();
        if is_stopped {
            // Too little was measured to judge the expectations by it.
            exit = Exit::Repetitions;
            reporter.say_whole(&format!("continue with: runner resume {}", directory.path.display()));
        }
        reporter.say_whole(&format!(
            "took {}; results in {}",
            crate::vocabulary::units::human_duration(took.as_nanos() as f64),
            directory.path.display()
        ));
        if let Some(summary) = invocation.summaries.borrow().last().filter(|_| invocation.measuring.is_none() && !is_stopped) {
            let next = match invocation.shard {
                Some(_) => "the other shards, then runner merge with the directories of all of them".to_owned(),
                None => next::step(summary, &directory.path, &plan.source),
            };
            reporter.say_whole(&format!("next: {next}"));
        }
        Ok(exit)
    })
}

/// The reason why a run stops, without what the plan keeps secret.
fn failure(plan: &Plan, error: &dyn std::error::Error) -> Stop {
    let stop = Stop::from_error(Exit::Failure, error);
    Stop { message: plan.secrets.mask(&stop.message).into_owned(), ..stop }
}

/// Reports what is about to be executed.
fn announce(plan: &Plan, shard: Option<Shard>, estimate: Option<&Estimate>, reporter: &Reporter) {
    reporter.say(&plan.title());
    reporter.say(&size(plan));
    if let Some(shard) = shard {
        let rounds: Vec<u32> = (1..=plan.repetitions).filter(|round| shard.holds(*round)).collect();
        let first: Vec<String> = rounds.iter().take(4).map(u32::to_string).collect();
        let more = if rounds.len() > first.len() { ", …" } else { "" };
        reporter.say(&format!("shard {shard}: {} of {} rounds: {}{more}", rounds.len(), plan.repetitions, first.join(", ")));
    }
    if let Some(estimate) = estimate {
        reporter.say(&match plan.repeat.as_ref().is_some_and(crate::plan::Repeat::is_open_ended) {
            true => estimate.words_of_a_round(plan),
            false => estimate.words(plan, shard.map_or(plan.repetitions, |shard| shard.count(plan.repetitions))),
        });
    }
    let skipped = skips(plan);
    if !skipped.is_empty() {
        reporter.say(skipped.trim_end());
    }
    for factor in plan.factors.iter().filter(|f| f.revisions.is_some()) {
        let levels: Vec<String> = factor.levels.iter().map(factors::describe).collect();
        reporter.say(&format!("{}: {}", factor.name, levels.join(", ")));
    }
    let notes = notes(plan);
    if !notes.is_empty() {
        reporter.say(notes.trim_end());
    }
}
