//! How long a run takes: estimated before it starts, and corrected by what it has taken so far.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::plan::links::Link;
use crate::plan::order::Turn;
use crate::plan::{Cell, Length, Plan};
use crate::record::{RunRecord, Verdict, read};
use crate::vocabulary::units::human_duration;

/// What repetitions are expected to take, before any of them.
#[derive(Debug)]
pub(super) struct Estimate {
    /// By cell: one repetition of it.
    by_cell: Vec<Duration>,
    /// Where that comes from.
    basis: String,
}

impl Estimate {
    /// From the newest run below `out`, else a guess.
    pub(super) fn of(plan: &Plan, out: &Path) -> Self {
        let known = earlier(plan, out);
        let cells: Vec<&Cell> = plan.cells.iter().filter(|c| c.skipped.is_none()).collect();
        let measured = cells.iter().filter(|c| known.contains_key(&c.id.0)).count();
        let segments = || cells.iter().flat_map(|c| &c.workloads).flat_map(|w| &w.load.segments);
        let amounts = segments().any(|s| matches!(s.length, Length::Amount(_)));
        let basis = match measured {
            0 if amounts => "a guess, with 300 µs per request: no earlier run is known".to_owned(),
            0 => "a guess: no earlier run is known".to_owned(),
            n if n == cells.len() => format!("from the newest run in {}", out.display()),
            n => format!("{n} of {} cells from the newest run in {}, the others guessed", cells.len(), out.display()),
        };
        let by_cell = plan.cells.iter().map(|cell| known.get(&cell.id.0).copied().unwrap_or_else(|| guess(cell))).collect();
        Self { by_cell, basis }
    }

    /// The time of so many rounds of a plan, and where that comes from.
    pub(super) fn words(&self, plan: &Plan, rounds: u32) -> String {
        if plan.cells.iter().all(|cell| cell.skipped.is_some()) {
            return "nothing to execute: every cell is skipped".to_owned();
        }
        format!("estimated time: {} ({})", human_duration(self.round(plan).as_nanos() as f64 * f64::from(rounds)), self.basis)
    }

    /// The time of each round, where nobody knows how many there will be.
    pub(super) fn words_of_a_round(&self, plan: &Plan) -> String {
        format!("estimated time of a round: {} ({})", human_duration(self.round(plan).as_nanos() as f64), self.basis)
    }

    fn round(&self, plan: &Plan) -> Duration {
        let executed = plan.cells.iter().zip(&self.by_cell).filter(|(cell, _)| cell.skipped.is_none());
        executed.map(|(_, time)| *time).sum()
    }
}

/// When a run will be over.
#[derive(Debug)]
pub(super) struct Eta {
    expected: Vec<Duration>,
    /// By cell: how many repetitions have ended, and how long they took in all.
    seen: Vec<(u32, Duration)>,
    /// By cell: how many repetitions are left, the one under way included.
    left: Vec<u32>,
}

impl Eta {
    /// Before the first of `turns`.
    pub(super) fn new(estimate: &Estimate, turns: &[Turn]) -> Self {
        let cells = estimate.by_cell.len();
        let mut left = vec![0; cells];
        turns.iter().for_each(|turn| left[turn.cell] += 1);
        Self { expected: estimate.by_cell.clone(), seen: vec![(0, Duration::ZERO); cells], left }
    }

    /// A repetition of a cell has taken so long.
    pub(super) fn ended(&mut self, cell: usize, took: Duration) {
        let (count, sum) = &mut self.seen[cell];
        (*count, *sum) = (*count + 1, *sum + took);
        self.left[cell] = self.left[cell].saturating_sub(1);
    }

    /// How long it still takes; `under_way`: the cell of the repetition that is executed, and since when.
    pub(super) fn left(&self, under_way: Option<(usize, Duration)>) -> Duration {
        let sums = self.seen.iter().zip(&self.expected).fold((0.0, 0.0), |(took, expected), ((count, sum), each)| {
            (took + sum.as_secs_f64(), expected + f64::from(*count) * each.as_secs_f64())
        });
        // What is known of some cells corrects what is expected of the others.
        let correction = if sums.1 > 0.0 { sums.0 / sums.1 } else { 1.0 };
        let each = |cell: usize| match self.seen[cell] {
            (0, _) => self.expected[cell].as_secs_f64() * correction,
            (count, sum) => sum.as_secs_f64() / f64::from(count),
        };
        let all: f64 = self.left.iter().enumerate().map(|(cell, left)| f64::from(*left) * each(cell)).sum();
        let over = under_way.map_or(0.0, |(cell, elapsed)| elapsed.as_secs_f64().min(each(cell)));
        Duration::try_from_secs_f64((all - over).max(0.0)).unwrap_or(Duration::MAX)
    }
}

/// The assumed time of a repetition besides its load, when no earlier run is known.
const OVERHEAD: Duration = Duration::from_millis(300);
/// About how many trials a search takes.
const SEARCH_TRIALS: u32 = 12;
/// The assumed time per request of an amount, when no earlier run is known.
const PER_PASS: Duration = Duration::from_micros(300);

/// How long a repetition of each cell took in the newest run below `out`.
fn earlier(plan: &Plan, out: &Path) -> BTreeMap<String, Duration> {
    let Ok(runs) = read::find(&out.join(&plan.experiment)) else { return BTreeMap::new() };
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for run in runs.iter().filter_map(|path| RunRecord::open(path).ok()) {
        for repetition in run.repetitions.iter().filter(|r| r.status.verdict == Verdict::Valid) {
            times.entry(repetition.status.cell.clone()).or_default().push(repetition.status.timings.total_ns);
        }
    }
    times.into_iter().map(|(cell, t)| (cell, Duration::from_nanos(t.iter().sum::<u64>() / t.len() as u64))).collect()
}

/// The time that a repetition of a cell takes, when nothing is known of it.
fn guess(cell: &Cell) -> Duration {
    let load = cell.workloads.iter().filter(|w| w.protocol().follows().is_none()).map(|w| {
        // Over a link, a pass takes at least its round trips.
        let far =
            cell.links.iter().filter(|l| l.from.is_none() && w.protocol().addresses().iter().any(|(_, p)| l.ports.contains(p)));
        let trips = far.map(Link::round_trip).max().unwrap_or_default() * w.protocol().round_trips();
        let slowest = trips.as_secs_f64() / f64::from(w.load.arrivals.connections().max(1));
        let pauses = w.flow.mean_pause().as_secs_f64() / f64::from(w.load.arrivals.connections().max(1));
        let per_pass = (PER_PASS.as_secs_f64() * w.protocol().steps().len() as f64).max(slowest).max(pauses);
        let of = |l: Length| match l {
            Length::Duration(d) => d,
            Length::Amount(n) => {
                // A year of nanoseconds is far below the limit of a duration; longer estimates are no more informative.
                Duration::from_secs_f64((per_pass * n as f64).min(3e9))
            }
        };
        match &w.load.find {
            Some(find) => find.trial * SEARCH_TRIALS,
            None => match &w.flow.replay {
                Some(replay) if w.load.segments.iter().any(|s| matches!(s.length, Length::Amount(_))) => replay.length,
                _ => w.load.segments.iter().map(|s| of(s.length)).sum(),
            },
        }
    });
    OVERHEAD + load.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(cells: &[usize]) -> Vec<Turn> {
        cells.iter().enumerate().map(|(at, cell)| Turn { cell: *cell, repetition: at as u32 + 1 }).collect()
    }

    #[test]
    fn what_was_seen_corrects_what_was_expected() {
        let s = Duration::from_secs;
        let estimate = Estimate { by_cell: vec![s(10), s(20)], basis: String::new() };
        let mut eta = Eta::new(&estimate, &turns(&[0, 1, 0, 1]));
        assert_eq!(eta.left(None), s(60));
        assert_eq!(eta.left(Some((0, s(4)))), s(56));
        assert_eq!(eta.left(Some((0, s(400)))), s(50), "no repetition takes less than nothing");
        // Twice as long as expected: the other cell will take that, too.
        eta.ended(0, s(20));
        assert_eq!(eta.left(None), s(20 + 2 * 40));
        eta.ended(1, s(30));
        assert_eq!(eta.left(Some((0, s(5)))), s(15 + 30));
        eta.ended(0, s(20));
        eta.ended(1, s(30));
        assert_eq!(eta.left(None), s(0));
    }
}
