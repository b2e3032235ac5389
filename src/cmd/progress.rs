//! What is seen of a run while it goes on: a bar on a terminal, lines on a pipe, JSON for scripts, or nothing.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::live::{Live, short};
use super::print_data;
use crate::executor::Progress;
use crate::load::passes;
use crate::record::Verdict;
use crate::record::status::Status;
use crate::vocabulary::errors::tell;
use crate::vocabulary::units::significant;
use crate::vocabulary::words::harmless;

/// So many cells are shown with their medians while a run is repeated: a terminal has 24 lines.
const MOST_LINES: usize = 12;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A bar if standard error is a terminal, lines otherwise.
    People,
    /// Nothing is shown.
    Quiet,
    /// One JSON object per event on standard output.
    Json,
}

/// The progress of a run.
pub(super) struct Reporter {
    style: Style,
    bar: Option<ProgressBar>,
    begun: Instant,
    total: u64,
    done: u64,
    /// How many there will be is not known.
    open_ended: bool,
    budget: Option<Duration>,
    /// Repetitions that were there at the start.
    before: u64,
    /// The bar and, below it, a line for each of the cells with the widest intervals.
    lines: MultiProgress,
    cells: Vec<ProgressBar>,
    /// Why repetitions failed, so far: what a build said is told once.
    told: BTreeSet<String>,
}

impl Reporter {
    /// `open_ended`: `total` is only the most, and `budget` the time after which no round begins.
    pub(super) fn new(style: Style, total: usize, open_ended: bool, budget: Option<Duration>) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let bar = (style == Style::People && std::io::stderr().is_terminal()).then(|| {
            let bar = lines.add(ProgressBar::new(total as u64));
            let template = match open_ended {
                true => "{spinner} {pos}  {prefix}  {wide_msg}",
                false => "{bar:20.cyan/blue} {pos}/{len}  {prefix}  {wide_msg}",
            };
            bar.set_style(ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("━╸─"));
            bar.set_prefix("ETA –");
            bar
        });
        Self {
            style,
            bar,
            begun: Instant::now(),
            total: total as u64,
            done: 0,
            before: 0,
            open_ended,
            budget,
            lines,
            cells: Vec::new(),
            told: BTreeSet::new(),
        }
    }

    /// A line for people, above the bar.
    pub(super) fn say(&self, line: &str) {
        match (&self.bar, self.style) {
            (Some(bar), _) => bar.suspend(|| tell(line)),
            (None, Style::People) => tell(line),
            _ => {}
        }
    }

    /// An event for scripts.
    pub(super) fn event(&self, event: &Value) {
        if self.style == Style::Json {
            print_data(&format!("{event}\n"));
        }
    }

    fn eta(&self) -> String {
        if self.done == self.before || (self.open_ended && self.budget.is_none()) {
            return "–".to_owned();
        }
        let left = self.budget.map_or(f64::INFINITY, |b| b.saturating_sub(self.begun.elapsed()).as_secs_f64());
        let left =
            left.min(self.begun.elapsed().as_secs_f64() / (self.done - self.before) as f64 * (self.total - self.done) as f64);
        match left.ceil() as u64 {
            s @ ..120 => format!("{s} s"),
            s @ ..7200 => format!("{} min", s / 60),
            s => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        }
    }

    /// So many repetitions were completed by an earlier invocation.
    pub(super) fn resume_from(&mut self, done: usize) {
        self.done = done as u64;
        self.before = done as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
        if done > 0 {
            let of = if self.open_ended { String::new() } else { format!(" of {}", self.total) };
            self.say(&format!("{done}{of} repetitions are there already"));
        }
    }

    /// A round ended.
    pub(super) fn end_round(&mut self, round: u32, live: &Live) {
        self.event(&live.json(round));
        let narrow = live.count_narrow();
        let widest = live.widest();
        if self.bar.is_some() {
            while self.cells.len() < widest.len().min(MOST_LINES) {
                let line = self.lines.add(ProgressBar::new_spinner());
                line.set_style(ProgressStyle::with_template("  {wide_msg}").expect("the template is a constant"));
                self.cells.push(line);
            }
            for (line, (name, words)) in self.cells.iter().zip(&widest) {
                line.set_message(harmless(&format!("{words}  {name}")).into_owned());
            }
        } else if let Some((name, words)) = widest.first() {
            let enough = narrow.map_or_else(String::new, |(narrow, of, _)| format!("; narrow enough: {narrow} of {of}"));
            let enough = match live.decisions() {
                Some((_, all)) => {
                    format!("; decided: {} of {}", all.iter().filter(|d| d.verdict.is_some()).count(), all.len())
                }
                None => enough,
            };
            self.say(&format!("round {round}: widest interval {words}  {name}{enough}"));
        }
    }

    /// A repetition begins.
    pub(super) fn begin(&self, cell: &str, repetition: u32) {
        self.event(&json!({"event": "repetition-begins", "cell": cell, "repetition": repetition}));
    }

    /// Called several times a second while a repetition runs.
    pub(super) fn tick(&self, cell: &str, repetition: u32, progress: &Progress, rate: f64) {
        let Some(bar) = &self.bar else { return };
        bar.set_prefix(format!("ETA {}", self.eta()));
        let stage = progress.stage.get();
        let rate = if stage == "load" && rate > 0.0 { format!(" {}/s", significant(rate)) } else { String::new() };
        let share = progress
            .expected
            .get()
            .filter(|_| stage == "load")
            .map_or_else(String::new, |n| format!(" {:.0} %", passes(&progress.passes) as f64 / n.max(1) as f64 * 100.0));
        let words = format!("#{repetition} {stage}{share}{rate}  {}", short(cell));
        bar.set_message(harmless(&words).into_owned());
    }

    /// A repetition ended.
    pub(super) fn end(&mut self, status: &Status, so_far: &str) {
        self.done += 1;
        let during = || status.phases.iter().filter(|p| p.phase != "warm-up");
        let errors: u64 = during().map(|p| p.errors).sum();
        // What has no schedule, as a subscriber, makes no passes of its own.
        let sent = || during().filter(|p| p.offered > 0);
        let passes: u64 = sent().map(|p| p.passes - p.errors - p.named).sum();
        let workloads: BTreeSet<&String> = sent().map(|p| &p.workload).collect();
        // As the summary has it: right answers that came in the phases, by their length.
        let of = |w: &String| {
            let (count, seconds) =
                sent().filter(|p| p.workload == *w).fold((0, 0.0), |(n, s), p| (n + p.completed, s + p.seconds()));
            count as f64 / seconds
        };
        let rate: f64 = workloads.into_iter().map(of).sum();
        self.event(&json!({
            "event": "repetition-ends",
            "cell": status.cell,
            "repetition": status.repetition,
            "verdict": status.verdict,
            "passes": passes,
            "passes_per_s": rate,
            "errors": errors,
            "done": self.done,
            "of": if self.open_ended { Value::Null } else { self.total.into() },
        }));
        let what = match &status.verdict {
            Verdict::Valid if !status.trials.is_empty() => {
                match status.trials.iter().filter(|t| t.reasons.is_empty()).map(|t| t.rate_per_s).reduce(f64::max) {
                    Some(rate) => format!("at most {} passes/s hold", significant(rate)),
                    None => "none of the rates holds".to_owned(),
                }
            }
            Verdict::Valid if errors > 0 => format!("{} passes/s, {errors} ERRORS", significant(rate)),
            Verdict::Valid => format!("{} passes/s", significant(rate)),
            Verdict::Invalid { reasons } => format!("INVALID: {}", reasons.join("; ")),
            Verdict::Failed { reason } => match reason.split_once('\n') {
                Some((first, _)) if !self.told.insert(reason.clone()) => format!("FAILED, as before: {first}"),
                _ => format!("FAILED: {reason}"),
            },
        };
        let so_far = if so_far.is_empty() { String::new() } else { format!(", {so_far}") };
        let of = if self.open_ended { String::new() } else { format!("/{}", self.total) };
        let line = format!("[{}{of}] {} #{}  {what}{so_far}", self.done, status.cell, status.repetition);
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done);
                if status.verdict != Verdict::Valid || errors > 0 {
                    bar.suspend(|| tell(&line));
                }
            }
            None if self.style == Style::People && self.done < self.total && status.verdict == Verdict::Valid => {
                let eta = self.eta();
                tell(format_args!("{line}{}", if eta == "–" { String::new() } else { format!("  ETA {eta}") }));
            }
            None if self.style == Style::People => tell(&line),
            None => {}
        }
        if !status.left_behind.is_empty() {
            self.say(&format!("  left behind and killed: {}", status.left_behind.join(", ")));
        }
    }

    /// The end of the run.
    pub(super) fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            self.cells.iter().for_each(ProgressBar::finish_and_clear);
            bar.finish_and_clear();
        }
        self.begun.elapsed()
    }
}
