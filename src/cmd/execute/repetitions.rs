//! All repetitions of a run in their order, and when no further one is started.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::cells::{Cells, FailedSetUp, NeverReadySoFar};
use super::steps::Steps;
use crate::cmd::known::Known;
use crate::cmd::measuring;
use crate::cmd::progress::Reporter;
use crate::cmd::progress::failures::{Failures, MOST_IN_A_ROW};
use crate::executor::{Error, Executor, Lifetimes, Progress, checkout};
use crate::plan::order::{Turn, rounds};
use crate::plan::{Checkout, Plan};
use crate::record::gaps::Why;
use crate::record::status::{Status, Verdict};
use crate::vocabulary::words::first_line;

/// After this many rounds without a valid repetition of a cell, `--until` no longer waits for that cell.
const FRUITLESS_ROUNDS: u32 = 5;

/// How long to wait before a full disk is tried again.
const FULL_AGAIN: Duration = Duration::from_secs(1);

/// All repetitions of a run in their order.
pub(super) struct Repetitions<'a> {
    pub(super) executor: &'a Executor<'a>,
    /// Set when rounds are repeated until something is known.
    pub(super) known: Option<Known>,
    /// The time used by an earlier part of the run.
    pub(super) used: Duration,
    /// The longest round so far.
    pub(super) longest: Duration,
    pub(super) ended_by: Option<String>,
    /// There is no last round.
    pub(super) measuring: Option<&'a measuring::Session<'a>>,
    /// Set by a repetition that does not count and after which nothing else is started; `None` if all are executed.
    pub(super) failed_fast: Option<&'a Cell<bool>>,
    pub(super) failures: Failures,
    /// Set when too many repetitions in a row have failed for one reason; none where the run keeps going.
    pub(super) given_up: Option<&'a Cell<bool>>,
}

impl Repetitions<'_> {
    /// Executes `turns`, with set-up and clean-up of the run and the cells around them. Returns why it ended early, if
    /// it did.
    pub(super) async fn execute(mut self, turns: &[Turn], reporter: &Reporter) -> Result<Option<String>, Error> {
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
        cleaned = cleaned.and(self.executor.end_lifetimes(Lifetimes::Run).await);
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
        self.executor.end_lifetimes(Lifetimes::OtherCells(turn.cell)).await?;
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
            self.executor.end_lifetimes(Lifetimes::Cell(turn.cell)).await?;
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
                    "ended before round {round}: every mean is known to ±{} % with 95 % confidence, corrected for having looked \
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
                first_line(reason).0.trim_end_matches("; the end of its log:").trim_end_matches(':')
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
pub(super) fn turn_of(plan: &Plan, path: &Path) -> Option<Turn> {
    let repetition = path.file_name()?.to_str()?.strip_prefix("run")?.parse().ok()?;
    let cell = plan
        .cells
        .iter()
        .position(|cell| path.parent().is_some_and(|folder| folder.ends_with(Path::new("cells").join(&cell.path))))?;
    Some(Turn { cell, repetition })
}
