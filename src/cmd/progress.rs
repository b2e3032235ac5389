//! What is seen of a run while it goes on: some lines that change on a terminal, lines on a pipe, JSON for scripts, or nothing.
//!
//! [`Reporter::live`] is the whole of it at one instant; `lines` makes lines of that, `failures` counts why repetitions do not
//! count.

pub(super) mod failures;
pub(super) mod lines;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use self::failures::Heard;
use super::estimate::{Estimate, Eta};
use super::known::Known;
use super::{columns_of, print_data};
use crate::executor::Progress;
use crate::plan::order::Turn;
use crate::plan::{Cell, Plan};
use crate::record::status::Status;
use crate::record::{Verdict, live};
use crate::vocabulary::columns::wrap;
use crate::vocabulary::errors::tell;
use crate::vocabulary::live::{Live, LiveFigures, LiveRepetition};
use crate::vocabulary::units::{human_duration, significant};
use crate::vocabulary::words::{first_line, harmless};

/// So many cells are shown with their medians while a run is repeated: a terminal has 24 lines.
const MOST_LINES: usize = 12;
/// How often it is looked what is being done.
const TICK: Duration = Duration::from_millis(200);
/// How often those who follow a run are told how it stands.
const FOLLOWED: Duration = Duration::from_secs(1);
/// How often it is looked what load and targets do.
const LOOK: Duration = Duration::from_millis(500);
/// So long nothing is said where there is no terminal: a line at least every ten seconds.
const SILENCE: Duration = Duration::from_millis(9500);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Lines that change if standard error is a terminal, lines one after the other otherwise.
    People,
    /// Nothing is shown.
    Quiet,
    /// One JSON object per event on standard output.
    Json,
}

/// The progress of a run.
pub(super) struct Reporter {
    style: Style,
    /// Each repetition that ended has a line, with all that is known of it.
    verbose: bool,
    /// How many there will be is not known.
    open_ended: bool,
    /// The time after which no round begins.
    budget: Option<Duration>,
    begun: Instant,
    total: u64,
    screen: Option<Screen>,
    state: RefCell<State>,
}

/// The lines that change.
struct Screen {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    /// Below them, a line for each of the cells with the widest intervals.
    cells: RefCell<Vec<ProgressBar>>,
}

/// What changes.
struct State {
    done: u64,
    failed: u64,
    invalid: u64,
    eta: Option<Eta>,
    /// What is being done, and since when.
    stage: (String, Instant),
    under_way: Option<UnderWay>,
    /// The names of the cells, as far as they differ.
    names: Vec<String>,
    /// When something was last said.
    said: Instant,
    /// Cell and number of repetitions that ended, for whoever takes them; none if nobody does.
    ended: Option<Vec<(String, u32)>>,
    /// The directory of the run, and when those who follow it were last told how it stands.
    followed: Option<(PathBuf, Option<Instant>)>,
}

/// The repetition that is executed.
struct UnderWay {
    turn: Turn,
    cell: String,
    begun: Instant,
    progress: Rc<Progress>,
    /// What was found at the last look, and when that was.
    figures: (LiveFigures, Option<Instant>),
}

impl Screen {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let screen = Self { all, lines: Vec::new(), cells: RefCell::default() };
        let lines = (0..3).map(|_| screen.line()).collect();
        Self { lines, ..screen }
    }

    fn line(&self) -> ProgressBar {
        let line = self.all.add(ProgressBar::new_spinner());
        line.set_style(ProgressStyle::with_template("{wide_msg}").expect("the template is a constant"));
        line
    }

    /// How wide the terminal is, without its last column, behind which some break the line.
    fn columns() -> usize {
        columns_of(std::io::stderr()).saturating_sub(1)
    }

    fn show(&self, live: &Live) {
        let mut lines = lines::lines(live, Self::columns()).into_iter();
        self.lines.iter().for_each(|line| line.set_message(lines.next().unwrap_or_default()));
    }

    fn suspend(&self, say: impl FnOnce()) {
        self.all.suspend(say);
    }

    fn clear(&self) {
        self.lines.iter().chain(self.cells.borrow().iter()).for_each(ProgressBar::finish_and_clear);
    }
}

impl Reporter {
    /// `open_ended`: `total` is only the most, and `budget` the time after which no round begins.
    pub(super) fn new(style: Style, verbose: bool, total: usize, open_ended: bool, budget: Option<Duration>) -> Self {
        let now = Instant::now();
        Self {
            style,
            verbose,
            open_ended,
            budget,
            begun: now,
            total: total as u64,
            screen: (style == Style::People && std::io::stderr().is_terminal()).then(Screen::new),
            state: RefCell::new(State {
                done: 0,
                failed: 0,
                invalid: 0,
                eta: None,
                stage: ("preparing".to_owned(), now),
                under_way: None,
                names: Vec::new(),
                said: now,
                ended: None,
                followed: None,
            }),
        }
    }

    /// A sentence for people, above the lines that change.
    pub(super) fn say(&self, line: &str) {
        match &self.screen {
            Some(_) => self.say_whole(wrap(line, Screen::columns(), 2).trim_end()),
            None => self.say_whole(line),
        }
    }

    /// The same of what is not broken into lines, because it is a command, or has its own.
    pub(super) fn say_whole(&self, line: &str) {
        match (&self.screen, self.style) {
            (Some(screen), _) => screen.suspend(|| tell(line)),
            (None, Style::People) => tell(line),
            _ => return,
        }
        self.state.borrow_mut().said = Instant::now();
    }

    /// An event for scripts.
    pub(super) fn event(&self, event: &Value) {
        if self.style == Style::Json {
            print_data(&format!("{event}\n"));
        }
    }

    /// `turns` of the plan are executed, which take as long as estimated; `done` repetitions were completed by an earlier invocation.
    pub(super) fn start(&self, plan: &Plan, estimate: Option<&Estimate>, turns: &[Turn], done: usize) {
        {
            let mut state = self.state.borrow_mut();
            state.done = done as u64;
            state.names = names(plan);
            state.eta = estimate.map(|estimate| Eta::new(estimate, turns));
        }
        if done > 0 {
            let of = if self.open_ended { String::new() } else { format!(" of {}", self.total) };
            self.say(&format!("{done}{of} repetitions are there already"));
        }
        self.tick();
    }

    /// Something is done that is no repetition.
    pub(super) fn doing(&self, words: &str) {
        self.state.borrow_mut().stage = (words.to_owned(), Instant::now());
        self.tick();
    }

    /// A round ended.
    pub(super) fn end_round(&self, round: u32, known: &Known) {
        self.event(&known.json(round));
        let narrow = known.count_narrow();
        let widest = known.widest();
        if let Some(screen) = &self.screen {
            let mut cells = screen.cells.borrow_mut();
            while cells.len() < widest.len().min(MOST_LINES) {
                cells.push(screen.line());
            }
            for (line, (name, words)) in cells.iter().zip(&widest) {
                line.set_message(harmless(&format!("  {words}  {name}")).into_owned());
            }
        } else if let Some((name, words)) = widest.first() {
            let enough = narrow.map_or_else(String::new, |(narrow, of, _)| format!("; known well enough: {narrow} of {of}"));
            let enough = match known.decisions() {
                Some((_, all)) => {
                    format!("; decided: {} of {}", all.iter().filter(|d| d.verdict.is_some()).count(), all.len())
                }
                None => enough,
            };
            let least = if widest.len() > 1 { format!(", the least certain: {name}") } else { String::new() };
            self.say(&format!("round {round}: {words}{least}{enough}"));
        }
    }

    /// A repetition begins; `progress`: where it stands.
    pub(super) fn begin(&self, turn: Turn, cell: &str, progress: &Rc<Progress>) {
        self.event(&json!({"event": "repetition-begins", "cell": cell, "repetition": turn.repetition}));
        let (begun, progress) = (Instant::now(), Rc::clone(progress));
        let mut state = self.state.borrow_mut();
        let cell = state.names.get(turn.cell).cloned().unwrap_or_default();
        state.under_way = Some(UnderWay { turn, cell, begun, progress, figures: (LiveFigures::default(), None) });
    }

    /// The run at this instant.
    pub(super) fn live(&self) -> Live {
        let now = Instant::now();
        let mut state = self.state.borrow_mut();
        let State { done, failed, invalid, eta, stage, under_way, .. } = &mut *state;
        let repetition = under_way.as_mut().map(|under_way| {
            let (figures, looked) = &mut under_way.figures;
            if looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK) {
                (*figures, *looked) = (under_way.progress.live.look(), Some(now));
            }
            let word = under_way.progress.stage.get();
            if stage.0 != word {
                *stage = (word.to_owned(), now);
            }
            let (cell, number) = (under_way.cell.clone(), under_way.turn.repetition);
            LiveRepetition { cell, number, share: under_way.progress.share(now), figures: figures.clone() }
        });
        let elapsed = now.saturating_duration_since(self.begun);
        let current = under_way.as_ref().map(|one| (one.turn.cell, now.saturating_duration_since(one.begun)));
        let in_budget = self.budget.map(|budget| budget.saturating_sub(elapsed));
        let all = eta.as_ref().map(|eta| eta.left(current));
        Live {
            done: *done,
            of: (!self.open_ended).then_some(self.total),
            failed: *failed,
            invalid: *invalid,
            elapsed,
            left: if self.open_ended { in_budget } else { all.into_iter().chain(in_budget).min() },
            stage: stage.0.clone(),
            stage_elapsed: now.saturating_duration_since(stage.1),
            repetition,
        }
    }

    /// Shows how the run stands, several times a second, for ever; where there is no terminal, whenever nothing was said for a while.
    pub(super) async fn watch(&self) -> Infallible {
        loop {
            tokio::time::sleep(TICK).await;
            self.tick();
        }
    }

    /// From now on, repetitions that end are kept for [`Self::take_ended`].
    pub(super) fn keep_ended(&self) {
        self.state.borrow_mut().ended = Some(Vec::new());
    }

    /// Cell and number of the repetitions that ended since this was last asked.
    pub(super) fn take_ended(&self) -> Vec<(String, u32)> {
        self.state.borrow_mut().ended.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// From now on, who follows the run in this directory is told how it stands.
    pub(super) fn follow(&self, run: PathBuf) {
        self.state.borrow_mut().followed = Some((run, None));
    }

    /// Tells those who follow the run how it stands, where it is time to.
    fn tell_followers(&self) {
        let mut state = self.state.borrow_mut();
        let Some((run, told)) = &mut state.followed else { return };
        if told.is_some_and(|at| at.elapsed() < FOLLOWED) {
            return;
        }
        *told = Some(Instant::now());
        let run = run.clone();
        drop(state);
        // A disk that is full is told by what has to be kept.
        let _ = live::write(&run, &self.live());
    }

    fn tick(&self) {
        self.tell_followers();
        if let Some(screen) = &self.screen {
            screen.show(&self.live());
        } else if self.style == Style::People {
            let silent = self.state.borrow().said.elapsed();
            // What is shown of load and targets is that of the time between two looks.
            if silent >= SILENCE.saturating_sub(2 * LOOK) {
                let live = self.live();
                if silent >= SILENCE {
                    self.say(&lines::line(&live));
                }
            }
        }
    }

    /// A repetition ended. `heard`: what is new about that; `so_far`: what is known of its cell.
    pub(super) fn end(&self, status: &Status, heard: Heard, so_far: &str) {
        let done = {
            let mut state = self.state.borrow_mut();
            state.done += 1;
            match status.verdict {
                Verdict::Valid => {}
                Verdict::Invalid { .. } => state.invalid += 1,
                Verdict::Failed { .. } => state.failed += 1,
            }
            if let Some(UnderWay { turn, begun, .. }) = state.under_way.take()
                && let Some(eta) = &mut state.eta
            {
                eta.ended(turn.cell, begun.elapsed());
            }
            state.stage = ("between repetitions".to_owned(), Instant::now());
            state.ended.iter_mut().for_each(|ended| ended.push((status.cell.clone(), status.repetition)));
            state.done
        };
        let ended = Ended::of(status);
        self.event(&json!({
            "event": "repetition-ends",
            "cell": status.cell,
            "repetition": status.repetition,
            "verdict": status.verdict,
            "passes": ended.passes,
            "passes_per_s": ended.rate,
            "errors": ended.errors,
            "done": done,
            "of": if self.open_ended { Value::Null } else { self.total.into() },
        }));
        if self.style == Style::People {
            self.say_ended(status, &ended, heard, so_far, done);
        }
        if !status.left_behind.is_empty() {
            self.say(&format!("  left behind and killed: {}", status.left_behind.join(", ")));
        }
        self.tick();
    }

    fn say_ended(&self, status: &Status, ended: &Ended, heard: Heard, so_far: &str, done: u64) {
        // On a screen, what is usual is only counted.
        let is_usual = matches!(heard, Heard::Again(_))
            || status.verdict == Verdict::Valid && ended.errors == 0 && status.ran_out.is_empty();
        if self.screen.is_some() && is_usual && !self.verbose {
            return;
        }
        let so_far = if so_far.is_empty() { String::new() } else { format!(", {so_far}") };
        let of = if self.open_ended { String::new() } else { format!("/{}", self.total) };
        let mut line = format!("[{done}{of}] {} #{}  {}{so_far}", status.cell, status.repetition, ended.words(status, heard));
        if self.verbose {
            line += &ended.detail(status);
        }
        let live = self.live();
        if let Some(left) = live.left.filter(|_| self.screen.is_none() && done < self.total && status.verdict == Verdict::Valid) {
            line += &format!("  ETA {}", lines::rough(left));
        }
        // A reason may have the end of a log in it.
        match line.split_once('\n') {
            None => self.say(&line),
            Some((first, rest)) => {
                self.say(first);
                self.say_whole(rest);
            }
        }
    }

    /// The end of the run.
    pub(super) fn finish(&self) -> Duration {
        if let Some(screen) = &self.screen {
            screen.clear();
        }
        self.begun.elapsed()
    }
}

/// Each cell's levels of those factors that have several in this run.
fn names(plan: &Plan) -> Vec<String> {
    let mut levels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (factor, level) in plan.cells.iter().filter(|cell| cell.skipped.is_none()).flat_map(|cell| &cell.levels) {
        levels.entry(factor).or_default().insert(level);
    }
    let varies = |factor: &str| levels.get(factor).is_some_and(|levels| levels.len() > 1);
    let of = |cell: &Cell| {
        let varied = cell.levels.iter().filter(|(factor, _)| varies(factor));
        varied.map(|(factor, level)| format!("{factor}={level}")).collect::<Vec<_>>().join(",")
    };
    plan.cells.iter().map(of).collect()
}

/// What a repetition came to.
struct Ended {
    /// Right answers, and how many of them per second.
    passes: u64,
    rate: f64,
    errors: u64,
}

impl Ended {
    fn of(status: &Status) -> Self {
        let during = || status.phases.iter().filter(|p| p.phase != "warm-up");
        // What has no schedule, as a subscriber, makes no passes of its own.
        let sent = || during().filter(|p| p.offered > 0);
        let workloads: BTreeSet<&String> = sent().map(|p| &p.workload).collect();
        // As the summary has it: right answers that came in the phases, by their length.
        let of = |w: &String| {
            let (count, seconds) =
                sent().filter(|p| p.workload == *w).fold((0, 0.0), |(n, s), p| (n + p.completed, s + p.seconds()));
            count as f64 / seconds
        };
        Self {
            passes: sent().map(|p| p.passes - p.errors - p.named).sum(),
            rate: workloads.into_iter().map(of).sum(),
            errors: during().map(|p| p.errors).sum(),
        }
    }

    /// In words; a reason that was told already is not told again.
    fn words(&self, status: &Status, heard: Heard) -> String {
        match (&status.verdict, heard) {
            (Verdict::Valid, _) if !status.trials.is_empty() => {
                match status.trials.iter().filter(|t| t.reasons.is_empty()).map(|t| t.rate_per_s).reduce(f64::max) {
                    Some(rate) => {
                        // Where no higher one failed, nothing is known of the limit but this.
                        let is_limit = status.trials.iter().any(|trial| trial.rate_per_s > rate);
                        format!("at {} {} passes/s hold", if is_limit { "most" } else { "least" }, significant(rate))
                    }
                    None => "none of the rates holds".to_owned(),
                }
            }
            (Verdict::Valid, _) if !status.ran_out.is_empty() => {
                let words: Vec<&str> = status.ran_out.iter().map(|one| one.words.as_str()).collect();
                format!("{} passes/s; {}", significant(self.rate), words.join("; "))
            }
            (Verdict::Valid, _) if self.errors > 0 => format!("{} passes/s, {} ERRORS", significant(self.rate), self.errors),
            (Verdict::Valid, _) => format!("{} passes/s", significant(self.rate)),
            (Verdict::Invalid { .. }, Heard::Again(times)) => format!("INVALID, as before ({times} by now)"),
            (Verdict::Invalid { reasons }, _) => format!("INVALID: {}", reasons.join("; ")),
            (Verdict::Failed { .. }, Heard::Again(times)) => format!("FAILED, as before ({times} by now)"),
            (Verdict::Failed { reason }, _) => format!("FAILED: {reason}"),
        }
    }

    /// Where the time went, for those who want to know everything.
    fn detail(&self, status: &Status) -> String {
        let timings = &status.timings;
        let parts = [
            ("start", timings.target_start_ns),
            ("load", timings.load_ns),
            ("stop", timings.target_stop_ns),
            ("record", timings.record_ns),
            ("in all", timings.total_ns),
        ];
        let parts = parts.iter().filter(|(_, ns)| *ns > 0);
        let times: Vec<String> = parts.map(|(name, ns)| format!("{name} {}", human_duration(*ns as f64))).collect();
        let mut text = format!("\n    {} passes; {}", self.passes, times.join(", "));
        text += &status.errors.iter().map(|words| format!("\n    {}", first_line(words).0)).collect::<String>();
        text
    }
}
