//! One run: all repetitions of a plan, or those that are missing, then summary and graphs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::check::{notes, size, skips};
use super::live::Live;
use super::measuring::{self, Measuring};
use super::progress::{Reporter, Style};
use super::{Stop, graph, open_files, print, report, reports, summarize};
use crate::analysis::{self, Summary};
use crate::cli;
use crate::executor::memory::{Memory, make_passable};
use crate::executor::versions::versions;
use crate::executor::{Error, Executor, Interrupt, Over, Progress, actions, checkout, hints};
use crate::exit::Exit;
use crate::load::passes;
use crate::plan::order::{Turn, rounds, sequence};
use crate::plan::{Action, Cache, Checkout, Plan, Scratch, factors};
use crate::record::RunDirectory;
use crate::record::gaps::Why;
use crate::record::manifest::{Choice, Manifest};
use crate::record::status::{NeverReady, Status, Verdict};
use crate::supervise::{Guard, journal};
use crate::vocabulary::Task;
use crate::vocabulary::errors::tell;

/// After so many rounds without a valid repetition of a cell, what `--until` asks is not waited for any longer.
const FRUITLESS_ROUNDS: u32 = 5;

/// So many repetitions of a cell wait for a target that is never ready for the same reason; those behind them fail at once.
const HOPELESS: u32 = 3;

/// How soon a disk that was full is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);

/// What all runs of an invocation share.
pub(super) struct Invocation<'a> {
    pub(super) output: &'a cli::Output,
    pub(super) style: Style,
    /// The fixtures' executable.
    pub(super) fixtures: PathBuf,
    pub(super) interrupt: Interrupt,
    pub(super) runtime: tokio::runtime::Runtime,
    /// What the runs of this invocation came to, so far.
    pub(super) summaries: RefCell<Vec<Summary>>,
    /// Rounds have no last one.
    pub(super) measuring: Option<Measuring>,
    /// Whether the first repetition that does not count is the last one.
    pub(super) fail_fast: bool,
    /// Whether there was one.
    pub(super) failed_fast: Cell<bool>,
}

/// Where a run starts.
pub(super) enum RunStart<'a> {
    /// Anew, in a directory of its own below `out`.
    New { out: &'a Path, choice: Choice },
    /// Where an earlier invocation ended: with these repetitions already there, this time used, and the longest round so long.
    Resume { directory: RunDirectory, manifest: Box<Manifest>, done: BTreeSet<Turn>, used: Duration, longest: Duration },
}

/// An empty directory of our own; it is removed at the end, however that comes.
///
/// Its name is random and it must not be there yet, so nobody can have laid anything in our way. Others may pass through it,
/// as programs do that change their user, but not list it.
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

/// Where temporary files belong on disk.
pub(super) fn disk() -> PathBuf {
    std::env::var_os("RUNNER_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A directory below which scratch directories are made, in its own kind of file system.
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

/// Executes a plan, or what is missing of it.
pub(super) fn execute<'f>(plan: &'f Plan, start: RunStart<'f>, invocation: &'f Invocation<'_>) -> Task<'f, Result<Exit, Stop>> {
    Box::pin(async move {
        let failure = |e: &dyn std::error::Error| failure(plan, e);
        let all = sequence(plan);
        let repeat = plan.repeat.as_ref();
        let budget = repeat.and_then(|r| r.budget_s).map(Duration::from_secs_f64);
        let mut reporter =
            Reporter::new(invocation.style, all.len(), repeat.is_some_and(crate::plan::Repeat::is_open_ended), budget);
        announce(plan, &reporter);
        if all.is_empty() {
            return Err(Stop::new(Exit::Failure, format!("{}: every cell is skipped, there is nothing to run", plan.experiment)));
        }

        // What a run has left that died together with all that watched over it.
        journal::sweep().iter().chain(&crate::plan::git::sweep()).for_each(|words| reporter.say(words));
        // From here on the guard removes the scratch directory, however this ends.
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
                tell(format_args!("interrupted; nothing was begun"));
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
        // What a runner left that was killed is taken in before anything has its numbers.
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
        reporter.resume_from(done.len());
        reporter.event(
            &json!({"event": "run-begins", "experiment": plan.experiment, "directory": directory.path, "repetitions": turns.len(),
        "skipped": plan.cells.iter().filter_map(|c| Some((c.id.0.clone(), c.skipped.clone()?))).collect::<BTreeMap<_, _>>()}),
        );
        let live = match &plan.repeat {
            Some(repeat) if !repeat.endless => Some(Live::open(&directory.path, repeat).map_err(|e| failure(&e))?),
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
        let repetitions = Repetitions {
            executor: &executor,
            live,
            used,
            longest,
            ended_by: None,
            measuring: measuring.as_ref(),
            failed_fast: invocation.fail_fast.then_some(&invocation.failed_fast),
        };
        let repetitions = repetitions.execute(&turns, &mut reporter);
        let ended = match &measuring {
            None => repetitions.await,
            Some(session) => {
                tokio::select! { biased; ended = repetitions => ended, never = session.watch(&executor.marks) => match never {} }
            }
        };
        if let Some(session) = &measuring {
            session.note(&executor.marks);
            session.end(match &ended {
                Ok(_) => "the time was over",
                Err(Error::Interrupted) => "interrupted",
                Err(_) => "failed",
            });
        }
        // Whatever happened: nothing of ours is left behind this line.
        let swept = guard.sweep(&[]).await;
        journal::remove(&scratch);
        if let Some(memory) = &memory {
            memory.remove();
        }
        drop(guard);
        let took = reporter.finish();
        // Whatever failed because of it: this is what happened, and there is nothing to conclude from.
        directory.is_there().map_err(|e| failure(&e))?;
        // What a step that was broken off has printed until now.
        let masked = directory.mask_logs(&directory.path.join("logs"));
        // A disk that is full may be why it ended, and that is told first.
        let ended = ended.and_then(|reason| masked.map(|()| reason).map_err(Error::from));

        let reason = match ended {
            Ok(reason) => reason,
            Err(error) => return conclude_unfinished(&error, plan, invocation, &directory, &reporter),
        };
        let left = swept.map_err(|e| failure(&e))?;
        if !left.is_empty() {
            let left: Vec<String> = left.iter().map(|(pid, name)| format!("{pid} ({name})")).collect();
            tell(format_args!("warning: processes were left behind, and ended: {}", plan.secrets.mask(&left.join(", "))));
        }
        let mut exit = conclude(invocation, &directory, &reporter, true, reason.as_deref())?;
        if measuring.is_some() {
            // Repetitions that failed are data; what is expected is judged by whoever summarizes.
            exit = Exit::Success;
        }
        if let Some(reason) = reason {
            reporter.say(&reason);
        }
        if invocation.failed_fast.get() {
            // Too little was measured for what is expected to be judged by it.
            exit = Exit::Repetitions;
            reporter.say(&format!("go on with: runner resume {}", directory.path.display()));
        }
        reporter.say(&format!(
            "took {}; results in {}",
            crate::vocabulary::units::human_duration(took.as_nanos() as f64),
            directory.path.display()
        ));
        Ok(exit)
    })
}

/// What stops a run, without what the plan keeps secret.
fn failure(plan: &Plan, error: &dyn std::error::Error) -> Stop {
    let stop = Stop::from_error(Exit::Failure, error);
    Stop { message: plan.secrets.mask(&stop.message).into_owned(), ..stop }
}

/// Says what is about to be executed.
fn announce(plan: &Plan, reporter: &Reporter) {
    reporter.say(&plan.title());
    reporter.say(&size(plan));
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

/// Summary and graphs of a run that was interrupted or failed, and how to go on with it.
fn conclude_unfinished(
    error: &Error,
    plan: &Plan,
    invocation: &Invocation<'_>,
    directory: &RunDirectory,
    reporter: &Reporter,
) -> Result<Exit, Stop> {
    if matches!(error, Error::Interrupted) {
        // Twice means now: pictures can be drawn later.
        conclude(invocation, directory, reporter, invocation.interrupt.count() < 2, Some("interrupted"))?;
        if invocation.measuring.is_some() && invocation.interrupt.count() < 2 {
            reporter
                .say(&format!("ended; what was measured is in {}, and the same command goes on there", directory.path.display()));
            return Ok(Exit::Success);
        }
        if invocation.style != Style::Quiet {
            tell(format_args!("interrupted; what was completed is in {}", directory.path.display()));
            tell(format_args!("go on with: runner resume {}", directory.path.display()));
        }
        return Ok(Exit::Interrupted);
    }
    // What was completed is worth its summary, if there is still room for one. What happened first is told first.
    let Stop { mut message, exit } = failure(plan, error);
    if matches!(error, Error::Supervise(crate::supervise::Error::GuardGone)) {
        message += &format!("\nwhat was completed is kept; go on with: runner resume {}", directory.path.display());
    }
    if let Err(stop) = conclude(invocation, directory, reporter, true, Some(&message)) {
        message += &format!(
            "\nof what was completed, in {}, not everything could be told: {}; `runner graph {}` makes up for it",
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
    /// Where the run is repeated until something is known.
    live: Option<Live>,
    /// Time that an earlier part of the run has used.
    used: Duration,
    /// The longest round so far.
    longest: Duration,
    ended_by: Option<String>,
    /// Rounds have no last one.
    measuring: Option<&'a measuring::Session<'a>>,
    /// Set by a repetition that does not count, behind which nothing else is begun; none where all are executed.
    failed_fast: Option<&'a Cell<bool>>,
}

impl Repetitions<'_> {
    /// Executes `turns`, with set-up and clean-up of run and cells around them. Returns why it ended before all of them,
    /// if it did.
    async fn execute(mut self, turns: &[Turn], reporter: &mut Reporter) -> Result<Option<String>, Error> {
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
        let steps = Steps { executor: self.executor, late, logs };
        let mut cells = Cells::default();
        for turn in turns {
            let left = cells.turns_left.entry(turn.cell).or_default();
            *left = if self.measuring.is_some() { u32::MAX } else { *left + 1 };
        }
        let completed = self.set_up_and_execute(turns, &steps, &mut cells, reporter).await;
        // Clean-up also after a failure; the first error is the one that is told.
        let mut cleaned = cells.unclean.map_or(Ok(()), Err);
        cleaned = cleaned.and(self.executor.end_lifetimes(Over::Run).await);
        for cell in cells.begun {
            cleaned = cleaned.and(steps.execute("clean-up, cell", Some(cell), &plan.cells[cell].clean_up.cell, 2).await);
        }
        cleaned = cleaned.and(steps.execute("clean-up, run", None, &plan.clean_up, 2).await);
        completed?;
        cells.unwritten.map_or(Ok(()), Err).and(cleaned).map(|()| self.ended_by)
    }

    /// Everything but the last clean-up, which follows however this ends.
    async fn set_up_and_execute(
        &mut self,
        turns: &[Turn],
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &mut Reporter,
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
                if self.failed_fast.is_some_and(Cell::get) {
                    break 'rounds;
                }
            }
            if let Some(live) = &self.live {
                reporter.end_round(round[0].repetition, live);
            }
            self.longest = self.longest.max(round_started.elapsed());
        }
        self.explain_unreached_aim();
        if let Some(live) = self.live.as_ref().filter(|live| live.count_narrow().is_some()) {
            // The summary has medians.
            live.widest().iter().for_each(|(name, words)| reporter.say(&format!("  {words}  {name}")));
        }
        // Asked during the very last stop: its repetition is complete, and the user is told all the same.
        if self.executor.interrupt.count() > 0 { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Round after round, until the time is over or somebody ends it.
    async fn measure(
        &mut self,
        session: &measuring::Session<'_>,
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &mut Reporter,
    ) -> Result<(), Error> {
        let interrupt = self.executor.interrupt;
        while let Some(round) = session.next_round() {
            // What could not be installed is tried again: the network may be there by now.
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
                // Whoever waited has been asked to end, maybe.
                if interrupt.count() > 0 {
                    return Err(Error::Interrupted);
                }
            }
        }
        self.ended_by = Some("ended: the time of `--for` is over".to_owned());
        Ok(())
    }

    /// One repetition, for which room on the disk is waited for.
    async fn take_turn_somehow(
        &mut self,
        turn: Turn,
        session: &measuring::Session<'_>,
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &mut Reporter,
    ) -> Result<(), Error> {
        let mut told = false;
        loop {
            match self.take_turn(turn, steps, cells, reporter).await {
                Err(Error::Record(error)) if error.is_disk_full() && self.executor.interrupt.count() == 0 => {
                    session.tell_full(&error, &mut told);
                }
                taken => return taken,
            }
            // What was measured of it before the disk was full becomes a repetition, and its number is taken.
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

    /// Revisions are built before anything is measured: a machine that has just compiled is not the one it was.
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
    async fn take_turn(
        &mut self,
        turn: Turn,
        steps: &Steps<'_>,
        cells: &mut Cells,
        reporter: &mut Reporter,
    ) -> Result<(), Error> {
        let cell = &self.executor.plan.cells[turn.cell];
        self.executor.end_lifetimes(Over::OtherCells(turn.cell)).await?;
        if cells.begun.insert(turn.cell) && !cells.failed_set_ups.contains_key(&turn.cell) {
            // Installing is expensive, and is not tried again within a run.
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
            // The time of months is not given up: somebody may mend it meanwhile.
            Ok(status) if self.measuring.is_none() => cells.never_ready.entry(turn.cell).or_default().add(status.never_ready),
            Ok(_) => {}
            // Others have other names. What it was is told at the end.
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
                // It is told at the end; what was measured, and what is to be measured, is worth more.
                Err(error @ Error::Action { .. }) => {
                    cells.unclean.get_or_insert(error);
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Whether no further round is begun.
    fn is_over(&mut self, round: u32, elapsed: Duration) -> bool {
        let (Some(live), Some(repeat)) = (&self.live, &self.executor.plan.repeat) else { return false };
        if live.is_enough() {
            self.ended_by = Some(match repeat.until {
                Some(until) => format!(
                    "ended before round {round}: every mean is known to ±{} % with 95 %, looking paid for",
                    crate::vocabulary::units::plain(until * 100.0)
                ),
                None => format!("ended before round {round}: every comparison is decided"),
            });
        } else if round > FRUITLESS_ROUNDS
            && (repeat.until.is_some() || repeat.decide.is_some())
            && let Some(cell) = live.cell_without_value()
        {
            self.ended_by =
                Some(format!("ended before round {round}: no repetition of `{cell}` is valid, more would decide nothing"));
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

    /// Says so when all rounds were executed and the aim was not reached.
    fn explain_unreached_aim(&mut self) {
        let (Some(live), Some(repeat), None) = (&self.live, &self.executor.plan.repeat, &self.ended_by) else { return };
        if live.is_enough() {
            return;
        }
        let rounds = self.executor.plan.repetitions;
        if let (Some(until), Some((narrow, of, dependent))) = (repeat.until, live.count_narrow()) {
            let alike = match dependent {
                0 => String::new(),
                n => format!("; of {n} successive rounds are alike, so that no number of them says how well it is known"),
            };
            let until = crate::vocabulary::units::plain(until * 100.0);
            self.ended_by =
                Some(format!("±{until} % was not reached in {rounds} rounds: {narrow} of {of} means are known so well{alike}"));
        }
        if let Some((_, decided)) = live.decisions() {
            let open = decided.iter().filter(|d| d.verdict.is_none()).count();
            self.ended_by = Some(format!("{open} of {} comparisons were not decided in {rounds} rounds", decided.len()));
        }
    }

    /// A repetition that cannot be: the set-up of its cell failed, or a target of it never gets ready.
    fn record_unstarted(&mut self, turn: Turn, reason: &str, reporter: &mut Reporter) -> Result<Status, Error> {
        reporter.begin(&self.executor.plan.cells[turn.cell].id.0, turn.repetition);
        let status = self.executor.record_unstarted(turn, reason)?;
        self.report_end(turn, &status, reporter);
        Ok(status)
    }

    /// Tells how a repetition ended, and what is known of its cell by then.
    fn report_end(&mut self, turn: Turn, status: &Status, reporter: &mut Reporter) {
        if let Some(live) = &mut self.live {
            live.add(turn.cell, status);
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
        let so_far = self.live.as_ref().map(|live| live.of_cell(turn.cell)).unwrap_or_default();
        reporter.end(status, &so_far);
    }

    /// One repetition, watched.
    async fn execute_one(&mut self, turn: Turn, reporter: &mut Reporter) -> Result<Status, Error> {
        let cell = &self.executor.plan.cells[turn.cell];
        reporter.begin(&cell.id.0, turn.repetition);
        let progress = Progress::default();
        let status = {
            let watch = watch(reporter, &cell.id.0, turn.repetition, &progress);
            let repetition = self.executor.repetition(turn, &progress);
            tokio::select! { biased; status = repetition => status?, () = watch => unreachable!("it watches for ever") }
        };
        self.report_end(turn, &status, reporter);
        Ok(status)
    }
}

/// Which repetition lies in a directory.
fn turn_of(plan: &Plan, path: &Path) -> Option<Turn> {
    let repetition = path.file_name()?.to_str()?.strip_prefix("run")?.parse().ok()?;
    let cell = plan
        .cells
        .iter()
        .position(|cell| path.parent().is_some_and(|folder| folder.ends_with(Path::new("cells").join(&cell.path))))?;
    Some(Turn { cell, repetition })
}

/// How the cells of a run stand.
#[derive(Default)]
struct Cells {
    /// Repetitions that are still to be executed, by cell.
    turns_left: BTreeMap<usize, u32>,
    /// Those that were set up, or should have been, and are not cleaned up yet.
    begun: BTreeSet<usize>,
    /// Those whose set-up failed: without it their repetitions have no meaning. Others go on.
    failed_set_ups: BTreeMap<usize, FailedSetUp>,
    /// How often a target of a cell was never ready.
    never_ready: BTreeMap<usize, NeverReadySoFar>,
    /// Why the clean-up of a cell failed, the first of them.
    unclean: Option<Error>,
    /// Why a repetition could not be written, the first of them.
    unwritten: Option<Error>,
}

/// How often in succession a target of a cell was never ready for the same reason.
#[derive(Default)]
struct NeverReadySoFar {
    last: Option<NeverReady>,
    times: u32,
}

impl NeverReadySoFar {
    /// Takes in how a repetition ended.
    fn add(&mut self, never_ready: Option<NeverReady>) {
        // One that was not even tried says nothing new.
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

    /// Why no further repetition of the cell is tried, if so.
    fn hopeless(&self) -> Option<String> {
        let NeverReady { target, reason, .. } = self.last.as_ref().filter(|_| self.times >= HOPELESS)?;
        Some(format!("not tried any more: {target} was not ready in {HOPELESS} repetitions of this cell: {reason}"))
    }
}

/// The steps before and after repetitions: those of the run and of its cells.
struct Steps<'a> {
    executor: &'a Executor<'a>,
    /// Values that are not in the plan.
    late: BTreeMap<&'a str, String>,
    /// The directory for what they print.
    logs: PathBuf,
}

impl Steps<'_> {
    /// `cell`: whose steps these are, if they are not the run's; `patience`: how often it takes to be asked to stop.
    async fn execute(&self, level: &'static str, cell: Option<usize>, steps: &[Action], patience: u32) -> Result<(), Error> {
        let Self { executor, late, logs } = self;
        // What was removed meanwhile is not made again; what has to be cleaned up is, all the same.
        let logs = if executor.directory.is_there().is_ok() { logs.clone() } else { executor.scratch.join("logs") };
        let logs = cell.map_or_else(|| logs.clone(), |cell| logs.join(&executor.plan.cells[cell].path));
        if !steps.is_empty() {
            crate::record::files::make_directory(&logs)?;
        }
        let cells = cell.map_or(&executor.plan.cells[..], |cell| std::slice::from_ref(&executor.plan.cells[cell]));
        let known = hints::ports(cells.iter().flat_map(|cell| &cell.targets));
        let done = tokio::select! {
            biased;
            () = executor.interrupt.asked(patience) => {
                // A step that goes on would do so beside its own clean-up. Nothing else runs at this time but what outlives
                // repetitions, which is stopped in its turn.
                executor.sweep_around_kept().await?;
                Err(Error::Interrupted)
            },
            done = actions::execute(executor.guard, level, steps, late, &logs, &known) => done,
        };
        executor.directory.mask_logs(&logs)?;
        done
    }
}

/// The set-up of a cell that failed.
#[derive(Clone)]
struct FailedSetUp {
    reason: String,
    /// What the step that failed should have made for other cells, too.
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

async fn watch(reporter: &Reporter, cell: &str, repetition: u32, progress: &Progress) {
    let (mut before, mut at) = (0, Instant::now());
    let mut rate = 0.0;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (now, elapsed) = (passes(&progress.passes), at.elapsed());
        if now > before && elapsed >= Duration::from_millis(100) {
            rate = (now - before) as f64 / elapsed.as_secs_f64();
            (before, at) = (now, Instant::now());
        }
        reporter.tick(cell, repetition, progress, rate);
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
    // What is told does not depend on whether it can be kept.
    let kept = summarize::keep(&directory.path, summary);
    let graph::Drawn { files, left_out } = if output.no_graphs || !pictures || record.repetitions.is_empty() {
        graph::Drawn::default()
    } else {
        graph::draw(record, summary, &output.graphs, output.svg)?
    };
    // A run without end has a page when somebody asks for one.
    let is_wanted = !output.no_graphs && !output.no_report && pictures && invocation.measuring.is_none();
    let page = if is_wanted { report::beside_graphs(&read, &output.graphs)? } else { None };
    reporter.event(&json!({"event": "run-ends", "directory": directory.path, "summary": kept.is_ok().then(|| directory.path.join("summary.json")), "graphs": files, "report": page, "ended_by": ended_by}));
    if invocation.style == Style::People {
        print(&format!("\n{}\n", analysis::text::table(summary)));
        if let Some(folder) = files.first().and_then(|f| f.parent()) {
            let count = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "png")).count();
            let graphs = if count == 1 { "graph" } else { "graphs" };
            reporter.say(&format!("{count} {graphs} in {}", folder.display()));
        }
        left_out.iter().for_each(|line| reporter.say(line));
        if let Some(page) = &page {
            reporter.say(&format!("report in {}", page.display()));
        }
    }
    let exit = reports::verdict(summary);
    reports::append(&output.reports, summary)?;
    let (_, summary) = read;
    invocation.summaries.borrow_mut().push(summary);
    reports::write(&output.reports, &invocation.summaries.borrow())?;
    kept.map(|()| exit).map_err(|e| Stop::from_error(Exit::Failure, &e))
}
