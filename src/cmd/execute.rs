//! One run: all repetitions of a plan, or those that are missing, then summary and graphs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::check::{notes, size, skips};
use super::estimate::Estimate;
use super::known::Known;
use super::measuring::{self, Measuring};
use super::progress::failures::{Failures, MOST_IN_A_ROW};
use super::progress::{Reporter, Style};
use super::{Stop, beside, graph, next, open_files, print, reports, summarize};
use crate::analysis::{self, Summary};
use crate::cli;
use crate::executor::memory::{Memory, make_passable};
use crate::executor::versions::versions;
use crate::executor::{Error, Executor, Interrupt, Over, Progress, actions, checkout, hints};
use crate::exit::Exit;
use crate::plan::order::{Turn, rounds, sequence};
use crate::plan::{Action, Cache, Checkout, Plan, Scratch, factors};
use crate::record::gaps::Why;
use crate::record::manifest::{Choice, Manifest};
use crate::record::status::{NeverReady, Status, Verdict};
use crate::record::{RunDirectory, live};
use crate::supervise::{Guard, journal};
use crate::vocabulary::Task;
use crate::vocabulary::errors::tell;
use crate::vocabulary::words::first_line;

/// After this many rounds without a valid repetition of a cell, `--until` no longer waits for that cell.
const FRUITLESS_ROUNDS: u32 = 5;

/// After this many repetitions of a cell whose target was never ready for the same reason, the rest of the cell fails
/// at once.
const HOPELESS: u32 = 3;

/// How long to wait before a full disk is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);

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
}

/// Where a run starts.
pub(super) enum RunStart<'a> {
    /// From the start, in a new directory below `out`.
    New { out: &'a Path, choice: Choice },
    /// Where an earlier invocation ended: the repetitions that exist, the time used, and the length of the longest
    /// round.
    Resume { directory: RunDirectory, manifest: Box<Manifest>, done: BTreeSet<Turn>, used: Duration, longest: Duration },
}

/// An empty directory of our own, removed at the end in every case.
///
/// Its name is random and must not exist yet, so nobody can have planted anything in it. Other users may pass through
/// it, because some programs change their user, but they may not list it.
fn make_directory(base: PathBuf, purpose: &str, guard: &Guard) -> Result<PathBuf, Stop> {
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
fn make_scratch(kind: Scratch, guard: &Guard) -> Result<PathBuf, Stop> {
    match kind {
        Scratch::Disk => make_directory(disk(), "scratch", guard),
        Scratch::Memory => make_directory(PathBuf::from("/dev/shm"), "scratch", guard),
        Scratch::Tmpfs(size) => make_memory(size, "scratch", guard).map(|memory| memory.path),
    }
}

/// A file system in memory.
fn make_memory(size: u64, purpose: &str, guard: &Guard) -> Result<Memory, Stop> {
    let path = make_directory(disk(), purpose, guard)?;
    guard.adopt(&Memory::instead_of(&path)).map_err(|e| Stop::from_error(Exit::Failure, &e))?;
    Memory::make(&path, size).map_err(|reason| Stop::new(Exit::Failure, reason))
}

/// Executes a plan, or what is missing from it.
pub(super) fn execute<'f>(plan: &'f Plan, start: RunStart<'f>, invocation: &'f Invocation<'_>) -> Task<'f, Result<Exit, Stop>> {
    Box::pin(async move {
        let failure = |e: &dyn std::error::Error| failure(plan, e);
        let all = sequence(plan);
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
        announce(plan, estimate.as_ref(), &reporter);
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
        let now = |choice| Manifest::collect(&plan.source.display().to_string(), programs.clone(), &scratch, choice);
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
            reporter.say_whole(&format!("next: {}", next::step(summary, &directory.path, &plan.source)));
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
fn announce(plan: &Plan, estimate: Option<&Estimate>, reporter: &Reporter) {
    reporter.say(&plan.title());
    reporter.say(&size(plan));
    if let Some(estimate) = estimate.filter(|_| !plan.repeat.as_ref().is_some_and(crate::plan::Repeat::is_open_ended)) {
        reporter.say(&estimate.words(plan));
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

/// Summary and graphs of a run that was interrupted or failed, and how to continue it.
fn conclude_unfinished(
    error: &Error,
    plan: &Plan,
    invocation: &Invocation<'_>,
    directory: &RunDirectory,
    reporter: &Reporter,
) -> Result<Exit, Stop> {
    if matches!(error, Error::Interrupted) {
        // A second interrupt means "now": graphs can be drawn later.
        conclude(invocation, directory, reporter, invocation.interrupt.count() < 2, Some("interrupted"))?;
        if invocation.measuring.is_some() && invocation.interrupt.count() < 2 {
            reporter
                .say(&format!("ended; what was measured is in {}, and the same command continues it", directory.path.display()));
            return Ok(Exit::Success);
        }
        if invocation.style != Style::Quiet {
            tell(format_args!("interrupted; what was completed is in {}", directory.path.display()));
            tell(format_args!("continue with: runner resume {}", directory.path.display()));
        }
        return Ok(Exit::Interrupted);
    }
    // Completed repetitions are worth a summary, if there is still room for one. What happened first is reported first.
    let Stop { mut message, exit } = failure(plan, error);
    if matches!(error, Error::Supervise(crate::supervise::Error::GuardGone)) {
        message += &format!("\nwhat was completed is kept; continue with: runner resume {}", directory.path.display());
    }
    if let Err(stop) = conclude(invocation, directory, reporter, true, Some(&message)) {
        message += &format!(
            "\nthe summary or graphs of {} could not be written: {}; `runner graph {}` writes them later",
            directory.path.display(),
            stop.message,
            directory.path.display()
        );
    }
    Err(Stop { message, exit })
}

/// All repetitions of a run in their order.
struct Repetitions<'a> {
    executor: &'a Executor<'a>,
    /// Set when rounds are repeated until something is known.
    known: Option<Known>,
    /// The time used by an earlier part of the run.
    used: Duration,
    /// The longest round so far.
    longest: Duration,
    ended_by: Option<String>,
    /// There is no last round.
    measuring: Option<&'a measuring::Session<'a>>,
    /// Set by a repetition that does not count and after which nothing else is started; `None` if all are executed.
    failed_fast: Option<&'a Cell<bool>>,
    failures: Failures,
    /// Set when too many repetitions in a row have failed for one reason; none where the run keeps going.
    given_up: Option<&'a Cell<bool>>,
}

impl Repetitions<'_> {
    /// Executes `turns`, with set-up and clean-up of the run and the cells around them. Returns why it ended early, if
    /// it did.
    async fn execute(mut self, turns: &[Turn], reporter: &Reporter) -> Result<Option<String>, Error> {
        let plan = self.executor.plan;
        let logs = self.executor.directory.path.join("logs");
        let has_steps = !plan.set_up.is_empty()
            || !plan.clean_up.is_empty()
            || plan.cells.iter().any(|c| !c.set_up.cell.is_empty() || !c.clean_up.cell.is_empty());
        if has_steps {
            crate::record::files::make_directory(&logs)?;
        }
        let mut late: BTreeMap<&str, String> = plan.secrets.late().collect();
        late.insert("kept", self.executor.kept_directory().display().to_string());
        let steps = Steps { executor: self.executor, reporter, late, logs };
        let mut cells = Cells::default();
        for turn in turns {
            let left = cells.turns_left.entry(turn.cell).or_default();
            *left = if self.measuring.is_some() { u32::MAX } else { *left + 1 };
        }
        let completed = self.set_up_and_execute(turns, &steps, &mut cells, reporter).await;
        // Clean up also after a failure; the first error is the one reported.
        let mut cleaned = cells.unclean.map_or(Ok(()), Err);
        cleaned = cleaned.and(self.executor.end_lifetimes(Over::Run).await);
        for cell in cells.begun {
            cleaned = cleaned.and(steps.execute("clean-up, cell", Some(cell), &plan.cells[cell].clean_up.cell, 2).await);
        }
        cleaned = cleaned.and(steps.execute("clean-up, run", None, &plan.clean_up, 2).await);
        completed?;
        cells.unwritten.map_or(Ok(()), Err).and(cleaned).map(|()| self.ended_by)
    }

    /// Everything except the last clean-up, which follows in every case.
    async fn set_up_and_execute(
        &mut self,
        turns: &[Turn],
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let plan = self.executor.plan;
        let started = Instant::now();
        steps.execute("set-up, run", None, &plan.set_up, 1).await?;
        self.build_revisions(turns, steps, cells, reporter).await?;
        if let Some(session) = self.measuring {
            return self.measure(session, steps, cells, reporter).await;
        }
        let rounds = rounds(plan.order, turns);
        'rounds: for round in &rounds {
            let round_started = Instant::now();
            if self.is_over(round[0].repetition, started.elapsed()) {
                break;
            }
            for turn in *round {
                if self.executor.interrupt.count() > 0 {
                    return Err(Error::Interrupted);
                }
                self.take_turn(*turn, steps, cells, reporter).await?;
                if self.failed_fast.is_some_and(Cell::get) || self.given_up.is_some_and(Cell::get) {
                    break 'rounds;
                }
            }
            if let Some(known) = &self.known {
                reporter.end_round(round[0].repetition, known);
            }
            self.longest = self.longest.max(round_started.elapsed());
        }
        self.explain_unreached_aim();
        if let Some(known) = self.known.as_ref().filter(|known| known.count_narrow().is_some()) {
            // The summary contains medians.
            known.widest().iter().for_each(|(name, words)| reporter.say(&format!("  {words}  {name}")));
        }
        // The interrupt arrived during the very last stop: the repetition is complete, and the user still gets an
        // answer.
        if self.executor.interrupt.count() > 0 { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Round after round, until the time is up or somebody ends it.
    async fn measure(
        &mut self,
        session: &measuring::Session<'_>,
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let interrupt = self.executor.interrupt;
        while let Some(round) = session.next_round() {
            // What could not be installed is tried again: the network may be back by now.
            let failed: Vec<usize> = std::mem::take(&mut cells.failed_set_ups).into_keys().collect();
            cells.begun.retain(|cell| !failed.contains(cell));
            for turn in round {
                if session.is_over() {
                    break;
                }
                self.take_turn_somehow(turn, session, steps, cells, reporter).await?;
                if interrupt.count() > 0 {
                    return Err(Error::Interrupted);
                }
                if let Some(pause) = session.pause() {
                    tokio::select! { () = interrupt.asked(1) => {}, () = tokio::time::sleep(pause) => {} }
                }
                // There may have been an interrupt during the wait.
                if interrupt.count() > 0 {
                    return Err(Error::Interrupted);
                }
            }
        }
        self.ended_by = Some("ended: the time of `--for` is up".to_owned());
        Ok(())
    }

    /// One repetition; waits for space on the disk if there is none.
    async fn take_turn_somehow(
        &mut self,
        turn: Turn,
        session: &measuring::Session<'_>,
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let mut told = false;
        loop {
            match self.take_turn(turn, steps, cells, reporter).await {
                Err(Error::Record(error)) if error.is_disk_full() && self.executor.interrupt.count() == 0 => {
                    session.tell_full(&error, &mut told);
                }
                taken => return taken,
            }
            // What was measured before the disk was full becomes a repetition, and takes its number.
            let salvaged = loop {
                tokio::select! { () = self.executor.interrupt.asked(1) => {}, () = tokio::time::sleep(FULL_AGAIN) => {} }
                match self.executor.directory.salvage(self.executor.plan) {
                    Err(error) if error.is_disk_full() && self.executor.interrupt.count() == 0 => {}
                    salvaged => break salvaged?,
                }
            };
            session.note(&self.executor.marks);
            session.is_idle_because(Why::Disk);
            if salvaged.iter().any(|one| turn_of(self.executor.plan, &one.path) == Some(turn)) {
                return Ok(());
            }
        }
    }

    /// Revisions are built before anything is measured: a machine that has just compiled something behaves differently.
    async fn build_revisions(
        &self,
        turns: &[Turn],
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let mut attempted: Vec<&Checkout> = Vec::new();
        for turn in turns {
            for action in &self.executor.plan.cells[turn.cell].set_up.cell {
                let Some(checkout) = action.checkout().filter(|c| !attempted.contains(c)) else { continue };
                attempted.push(checkout);
                if !checkout::is_there(checkout) {
                    reporter.say(&checkout.words());
                }
                let build = std::slice::from_ref(action);
                match steps.execute("build", Some(turn.cell), build, 1).await {
                    Err(error @ Error::Action { .. }) => {
                        cells.failed_set_ups.entry(turn.cell).or_insert_with(|| FailedSetUp::new(&error, build));
                    }
                    made => made?,
                }
            }
        }
        Ok(())
    }

    /// One repetition; before the first of its cell the set-up of the cell, behind the last one its clean-up.
    async fn take_turn(&mut self, turn: Turn, steps: &Steps<'_>, cells: &mut Cells, reporter: &Reporter) -> Result<(), Error> {
        let cell = &self.executor.plan.cells[turn.cell];
        self.executor.end_lifetimes(Over::OtherCells(turn.cell)).await?;
        if cells.begun.insert(turn.cell) && !cells.failed_set_ups.contains_key(&turn.cell) {
            // Installing is expensive, so it is not tried again within a run.
            let same_failure = cells.failed_set_ups.values().find(|f| f.would_fail_too(&cell.set_up.cell)).cloned();
            let made = match same_failure {
                Some(known) => Err(known),
                None => match steps.execute("set-up, cell", Some(turn.cell), &cell.set_up.cell, 1).await {
                    Err(error @ Error::Action { .. }) => Err(FailedSetUp::new(&error, &cell.set_up.cell)),
                    made => made.map(Ok)?,
                },
            };
            if let Err(why) = made {
                cells.failed_set_ups.insert(turn.cell, why);
            }
        }
        let hopeless = cells.failed_set_ups.get(&turn.cell).map(|why| why.reason.clone());
        let hopeless = hopeless.or_else(|| cells.never_ready.get(&turn.cell).and_then(NeverReadySoFar::hopeless));
        let taken = match hopeless {
            Some(reason) => self.record_unstarted(turn, &reason, reporter),
            None => self.execute_one(turn, reporter).await,
        };
        match taken {
            // A run of months is not given up: somebody may fix it meanwhile.
            Ok(status) if self.measuring.is_none() => cells.never_ready.entry(turn.cell).or_default().add(status.never_ready),
            Ok(_) => {}
            // Other repetitions have other names. The error is reported at the end.
            Err(Error::Record(error)) if error.is_of_its_name() && self.executor.directory.is_there().is_ok() => {
                reporter.say(&format!("{} cannot be written: {}", cell.id.0, crate::vocabulary::errors::chain(&error)));
                cells.unwritten.get_or_insert(error.into());
            }
            Err(error) => return Err(error),
        }
        let left = cells.turns_left.entry(turn.cell).or_default();
        *left -= 1;
        if *left == 0 {
            self.executor.end_lifetimes(Over::Cell(turn.cell)).await?;
            cells.begun.remove(&turn.cell);
            match steps.execute("clean-up, cell", Some(turn.cell), &cell.clean_up.cell, 2).await {
                // The error is reported at the end; what was measured, and what is still to be measured, is worth more.
                Err(error @ Error::Action { .. }) => {
                    cells.unclean.get_or_insert(error);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Whether no further round is started.
    fn is_over(&mut self, round: u32, elapsed: Duration) -> bool {
        let (Some(known), Some(repeat)) = (&self.known, &self.executor.plan.repeat) else { return false };
        if known.is_enough() {
            self.ended_by = Some(match repeat.until {
                Some(until) => format!(
                    "ended before round {round}: every mean is known to ±{} % with 95 % confidence, which allows for having looked \
                     after several rounds",
                    crate::vocabulary::units::plain(until * 100.0)
                ),
                None => format!("ended before round {round}: every comparison is decided"),
            });
        } else if round > FRUITLESS_ROUNDS
            && (repeat.until.is_some() || repeat.decide.is_some())
            && let Some(cell) = known.cell_without_value()
        {
            self.ended_by = Some(format!(
                "ended before round {round}: no repetition of `{cell}` is valid, so more rounds would not decide anything"
            ));
        } else if let Some(budget) = repeat.budget_s
            && (self.used + elapsed + self.longest).as_secs_f64() > budget
            && round > 1
        {
            self.ended_by = Some(format!(
                "ended before round {round}: it would not end within {}",
                crate::vocabulary::units::human_duration(budget * 1e9)
            ));
        }
        self.ended_by.is_some()
    }

    /// Reports when all rounds were executed and the goal was not reached.
    fn explain_unreached_aim(&mut self) {
        let (Some(known), Some(repeat), None) = (&self.known, &self.executor.plan.repeat, &self.ended_by) else { return };
        if known.is_enough() {
            return;
        }
        let rounds = self.executor.plan.repetitions;
        if let (Some(until), Some((narrow, of, dependent))) = (repeat.until, known.count_narrow()) {
            let alike = match dependent {
                0 => String::new(),
                n => format!(
                    "; {n} successive rounds depend on each other, so no number of rounds says how well the mean is known"
                ),
            };
            let until = crate::vocabulary::units::plain(until * 100.0);
            self.ended_by =
                Some(format!("±{until} % was not reached in {rounds} rounds: {narrow} of {of} means are known that well{alike}"));
        }
        if let Some((_, decided)) = known.decisions() {
            let open = decided.iter().filter(|d| d.verdict.is_none()).count();
            self.ended_by = Some(format!("{open} of {} comparisons were not decided in {rounds} rounds", decided.len()));
        }
    }

    /// A repetition that cannot be: the set-up of its cell failed, or a target of it never gets ready.
    fn record_unstarted(&mut self, turn: Turn, reason: &str, reporter: &Reporter) -> Result<Status, Error> {
        reporter.begin(turn, &self.executor.plan.cells[turn.cell].id.0, &Rc::default());
        let status = self.executor.record_unstarted(turn, reason)?;
        self.report_end(turn, &status, reporter);
        Ok(status)
    }

    /// Tells how a repetition ended, and what is known of its cell by then.
    fn report_end(&mut self, turn: Turn, status: &Status, reporter: &Reporter) {
        if let Some(known) = &mut self.known {
            known.add(turn.cell, status);
        }
        if let Some(session) = self.measuring {
            session.note(&self.executor.marks);
            session.ended(turn, status);
        }
        if let Some(failed) = self.failed_fast
            && !failed.get()
            && let Some(how) = match status.verdict {
                Verdict::Valid => None,
                Verdict::Invalid { .. } => Some("is invalid"),
                Verdict::Failed { .. } => Some("failed"),
            }
        {
            failed.set(true);
            self.ended_by = Some(format!("ended by --fail-fast: repetition {} of {} {how}", turn.repetition, status.cell));
        }
        let heard = self.failures.add(&status.verdict);
        if let (Some(given_up), Some(reason), None) = (self.given_up, self.failures.too_many(), &self.ended_by) {
            given_up.set(true);
            self.ended_by = Some(format!(
                "stopped after {MOST_IN_A_ROW} equal failures in a row: {}; with `--keep-going` the run continues after such failures",
                first_line(reason).0
            ));
        }
        let so_far = self.known.as_ref().map(|known| known.of_cell(turn.cell)).unwrap_or_default();
        reporter.end(status, heard, &so_far);
    }

    /// One repetition, watched.
    async fn execute_one(&mut self, turn: Turn, reporter: &Reporter) -> Result<Status, Error> {
        let progress = Rc::new(Progress::default());
        reporter.begin(turn, &self.executor.plan.cells[turn.cell].id.0, &progress);
        let status = self.executor.repetition(turn, &progress).await?;
        self.report_end(turn, &status, reporter);
        Ok(status)
    }
}

/// Which repetition a directory belongs to.
fn turn_of(plan: &Plan, path: &Path) -> Option<Turn> {
    let repetition = path.file_name()?.to_str()?.strip_prefix("run")?.parse().ok()?;
    let cell = plan
        .cells
        .iter()
        .position(|cell| path.parent().is_some_and(|folder| folder.ends_with(Path::new("cells").join(&cell.path))))?;
    Some(Turn { cell, repetition })
}

/// The state of the cells of a run.
#[derive(Default)]
struct Cells {
    /// Repetitions still to be executed, by cell.
    turns_left: BTreeMap<usize, u32>,
    /// Cells whose set-up was run or attempted, and whose clean-up is still due.
    begun: BTreeSet<usize>,
    /// Cells whose set-up failed: their repetitions would be meaningless. Other cells continue.
    failed_set_ups: BTreeMap<usize, FailedSetUp>,
    /// How often a target of a cell did not become ready.
    never_ready: BTreeMap<usize, NeverReadySoFar>,
    /// Why the clean-up of a cell failed: the first failure.
    unclean: Option<Error>,
    /// Why a repetition could not be written: the first failure.
    unwritten: Option<Error>,
}

/// How often in a row a target of a cell did not become ready for the same reason.
#[derive(Default)]
struct NeverReadySoFar {
    last: Option<NeverReady>,
    times: u32,
}

impl NeverReadySoFar {
    /// Records how a repetition ended.
    fn add(&mut self, never_ready: Option<NeverReady>) {
        // A repetition that was not even tried says nothing new.
        if never_ready.is_none() && self.hopeless().is_some() {
            return;
        }
        self.times = match &never_ready {
            None => 0,
            Some(now) if self.last.as_ref().is_some_and(|last| last.is_as(now)) => self.times + 1,
            Some(_) => 1,
        };
        self.last = never_ready;
    }

    /// Why no further repetition of the cell is tried, if that is so.
    fn hopeless(&self) -> Option<String> {
        let NeverReady { target, reason, .. } = self.last.as_ref().filter(|_| self.times >= HOPELESS)?;
        Some(format!("not tried any more: {target} was not ready in {HOPELESS} repetitions of this cell: {reason}"))
    }
}

/// The steps before and after the repetitions: those of the run and of its cells.
struct Steps<'a> {
    executor: &'a Executor<'a>,
    reporter: &'a Reporter,
    /// Values that are not in the plan.
    late: BTreeMap<&'a str, String>,
    /// The directory for their output.
    logs: PathBuf,
}

impl Steps<'_> {
    /// `cell`: the cell that these steps belong to, if they are not the run's; `patience`: how many interrupts it takes
    /// to stop them.
    async fn execute(&self, level: &'static str, cell: Option<usize>, steps: &[Action], patience: u32) -> Result<(), Error> {
        let Self { executor, late, logs, .. } = self;
        // What was removed meanwhile is not made again; what has to be cleaned up is, all the same.
        let logs = if executor.directory.is_there().is_ok() { logs.clone() } else { executor.scratch.join("logs") };
        let logs = cell.map_or_else(|| logs.clone(), |cell| logs.join(&executor.plan.cells[cell].path));
        if !steps.is_empty() {
            crate::record::files::make_directory(&logs)?;
            let of = cell.map_or_else(String::new, |cell| format!(" of {}", executor.plan.cells[cell].id.0));
            self.reporter.doing(&format!("{level}{of}"));
        }
        let cells = cell.map_or(&executor.plan.cells[..], |cell| std::slice::from_ref(&executor.plan.cells[cell]));
        let known = hints::ports(cells.iter().flat_map(|cell| &cell.targets));
        let done = tokio::select! {
            biased;
            () = executor.interrupt.asked(patience) => {
                // A step that continues would run beside its own clean-up. Nothing else runs at this time except
                // targets that outlive repetitions, which are stopped in their turn.
                executor.sweep_around_kept().await?;
                Err(Error::Interrupted)
            },
            done = actions::execute(executor.guard, level, steps, late, &logs, &known) => done,
        };
        executor.directory.mask_logs(&logs)?;
        done
    }
}

/// The failed set-up of a cell.
#[derive(Clone)]
struct FailedSetUp {
    reason: String,
    /// What the failed step should have made for other cells, too.
    cache: Option<Cache>,
}

impl FailedSetUp {
    fn new(error: &Error, steps: &[Action]) -> Self {
        let failed = |action: &&Action| matches!(error, Error::Action { step, .. } if *step == action.to_string());
        let cache = steps.iter().find(failed).and_then(Action::cache).cloned();
        Self { reason: crate::vocabulary::errors::chain(error), cache }
    }

    /// Whether these steps would fail for the same reason.
    fn would_fail_too(&self, steps: &[Action]) -> bool {
        self.cache.is_some() && steps.iter().any(|s| s.cache() == self.cache.as_ref())
    }
}

/// Summary, table and graphs of what is there. Returns what the summary means for the exit code.
fn conclude(
    invocation: &Invocation<'_>,
    directory: &RunDirectory,
    reporter: &Reporter,
    pictures: bool,
    ended_by: Option<&str>,
) -> Result<Exit, Stop> {
    let output = invocation.output;
    let read = summarize::read(&directory.path)?;
    let (record, summary) = &read;
    // What is printed does not depend on whether it can be saved.
    let kept = summarize::keep(&directory.path, summary);
    let graph::Drawn { files, left_out } = if output.no_graphs || !pictures || record.repetitions.is_empty() {
        graph::Drawn::default()
    } else {
        graph::draw(record, summary, &output.graphs, output.svg)?
    };
    // A run without end has a page when somebody asks for one.
    let is_wanted = !output.no_graphs && !output.no_report && pictures && invocation.measuring.is_none();
    let page = if is_wanted { beside::report(&read, &output.graphs)? } else { None };
    reporter.event(&json!({"event": "run-ends", "directory": directory.path, "summary": kept.is_ok().then(|| directory.path.join("summary.json")), "graphs": files, "report": page, "ended_by": ended_by}));
    if invocation.style == Style::People {
        print(&format!("\n{}\n", analysis::text::table(summary)));
        if let Some(folder) = files.first().and_then(|f| f.parent()) {
            let count = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "png")).count();
            let graphs = if count == 1 { "graph" } else { "graphs" };
            reporter.say_whole(&format!("{count} {graphs} in {}", folder.display()));
        }
        left_out.iter().for_each(|line| reporter.say(line));
        if let Some(page) = &page {
            reporter.say_whole(&format!("report in {}", page.display()));
        }
    }
    let exit = reports::verdict(summary);
    reports::append(&output.reports, summary)?;
    let (_, summary) = read;
    invocation.summaries.borrow_mut().push(summary);
    reports::write(&output.reports, &invocation.summaries.borrow())?;
    kept.map(|()| exit).map_err(|e| Stop::from_error(Exit::Failure, &e))
}
