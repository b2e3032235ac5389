//! Percentiles from raw rows, where a repetition has them: exact, whereas histograms have three digits.
//!
//! The histograms of the windows serve as the index of the rows. They tell which bucket contains the value of each rank and
//! how many values are below it, so one pass over the rows that keeps only what falls into these few buckets finds the
//! values themselves. Rows and windows check each other: differences are named, and the histograms' percentiles are kept
//! then.

use std::collections::BTreeMap;
use std::path::PathBuf;

use polars::prelude::*;

use super::Error;
use super::cells::{Figures, Part, value_of};
use super::counts::Counts;
use super::detail::Detail;
use super::figures::REQUESTS;
use super::measured::Measured;
use super::summary::{AllTimes, Times};
use super::times::at;
use super::windows::{Distributions, StepKey, texts};
use record::Repetition;
use record::read::CellRecord;
use record::tables::read_pieces;
use vocabulary::rows::histogram::{BUCKETS, bounds, bucket_of};
use vocabulary::{Metric, Outcome, Quantile, Time};

/// Times that a row contains; no row contains how long connecting took.
const TIMES: [Time; 4] = [Time::Service, Time::Response, Time::Lag, Time::FirstByte];
/// Percentiles of [`Times`], with the longest time last.
const SHARES: [f64; 8] = [0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];

/// The columns of `requests.parquet` that are read.
const COLUMNS: [&str; 8] = ["workload", "step", "phase", "outcome", "intended_ns", "sent_ns", "first_byte_ns", "completed_ns"];

/// Rank of a quantile among `total` values, from 1 (Hyndman & Fan 1996, type 1; see `stats::observed_quantile`).
fn rank(share: f64, total: u64) -> u64 {
    let position = share * total as f64;
    ((position - 4.0 * f64::EPSILON * position).ceil() as u64).clamp(1, total.max(1))
}

/// A step over all repetitions of a cell.
pub(super) struct StepTimes {
    /// Which step it is.
    pub key: StepKey,
    /// The distributions of all requests of repetitions that count.
    pub distributions: Distributions,
    /// The times of these.
    pub all: AllTimes,
}

impl StepTimes {
    pub(super) fn part(&self) -> Part {
        let (workload, phase, step) = self.key.clone();
        Part { workload, phase, step, ..Part::default() }
    }
}

/// Replaces times in the figures of a cell by exact ones, for the repetitions that have `requests.parquet`, and for all
/// repetitions together where all have it. `window_ns`: length of a window. Returns what is damaged, in words.
pub(super) fn refine(
    figures: &mut Figures,
    steps: &mut [StepTimes],
    repetitions: &[&Repetition],
    cell: &CellRecord,
    window_ns: u64,
) -> Vec<String> {
    let mut damaged = Vec::new();
    if !repetitions.iter().any(|r| path(r).exists()) {
        return damaged;
    }
    // By step: the repetitions whose rows exist and are correct, and what they contain together.
    let mut sums: Vec<(usize, RefinedTimes)> = steps.iter().map(|_| (0, RefinedTimes::default())).collect();
    for repetition in repetitions.iter().filter(|r| path(r).exists()) {
        let rows = match read(steps, repetition, cell, window_ns) {
            Ok(rows) => rows,
            Err(words) => {
                damaged.extend(words);
                continue;
            }
        };
        let number = repetition.status.repetition;
        for ((step, sum), (own, kept)) in steps.iter().zip(&mut sums).zip(rows) {
            let part = step.part();
            if value_of(figures.values(&part, REQUESTS), number).is_none() {
                continue;
            }
            for (time, exact) in TIMES.into_iter().zip(own) {
                for (_, _, quantile) in Quantile::ALL {
                    let value = exact.map(|times| at(&times, quantile));
                    figures.set(&part, Metric::Time(time, quantile).name(), number, value);
                }
            }
            sum.0 += 1;
            sum.1.add(kept);
        }
    }
    for (step, (count, mut kept)) in steps.iter_mut().zip(sums) {
        // A step without requests has no rows and no times.
        if figures.values(&step.part(), REQUESTS).iter().filter(|(_, requests)| *requests > 0.0).count() > count {
            continue;
        }
        let exact: Option<Vec<_>> = TIMES.iter().zip(&mut kept.0).map(|(t, k)| k.times(step.distributions.of(*t))).collect();
        let Some(exact) = exact else { continue };
        let all = &mut step.all;
        let fields = [&mut all.service_ns, &mut all.response_ns, &mut all.lag_ns, &mut all.first_byte_ns];
        for (field, exact) in fields.into_iter().zip(exact) {
            *field = exact;
        }
    }
    damaged
}

fn path(repetition: &Repetition) -> PathBuf {
    repetition.path.join("requests.parquet")
}

/// The values of one time that are in the same bucket as a percentile.
#[derive(Default)]
struct RefinedTime {
    total: u64,
    sum_ns: u128,
    /// Sum of squares.
    squares_ns: u128,
    /// By bucket, distances from its lower bound.
    inside: BTreeMap<u32, Vec<u32>>,
}

impl RefinedTime {
    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.sum_ns += other.sum_ns;
        self.squares_ns = self.squares_ns.saturating_add(other.squares_ns);
        for (bucket, values) in other.inside {
            self.inside.entry(bucket).or_default().extend(values);
        }
    }

    /// √(n Σx² − (Σx)²) / n, which is exact up to the root; none if a product does not fit.
    fn standard_deviation(&self) -> Option<f64> {
        let n = u128::from(self.total);
        let spread = n.checked_mul(self.squares_ns)?.checked_sub(self.sum_ns.checked_mul(self.sum_ns)?)?;
        Some((spread as f64).sqrt() / n as f64)
    }

    /// Exact times, whose ranks `counts` locates; `Some(None)` when there is no time, none when rows and windows differ.
    fn times(&mut self, counts: &Counts) -> Option<Option<Times>> {
        let total = counts.len();
        if total != self.total {
            return None;
        }
        if total == 0 {
            return Some(None);
        }
        let mut found = [0; SHARES.len()];
        for (found, share) in found.iter_mut().zip(SHARES) {
            let rank = rank(share, total);
            let (bucket, below, count) = counts.locate(rank)?;
            let (low, width) = bounds(bucket);
            *found = low;
            if width > 1 {
                let inside = self.inside.get_mut(&bucket).filter(|i| i.len() as u64 == count)?;
                let (_, value, _) = inside.select_nth_unstable((rank - below - 1) as usize);
                *found += u64::from(*value);
            }
        }
        let [p25, p50, p75, p90, p95, p99, p99_9, max] = found;
        let mean = self.sum_ns as f64 / total as f64;
        // Where numbers are too large for that, three digits are used.
        let standard_deviation = self.standard_deviation().or_else(|| Some(counts.times()?.standard_deviation))?;
        Some(Some(Times { mean, standard_deviation, p25, p50, p75, p90, p95, p99, p99_9, max }))
    }
}

/// The same for each of [`TIMES`].
#[derive(Default)]
struct RefinedTimes([RefinedTime; TIMES.len()]);

impl RefinedTimes {
    fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, part)| sum.add(part));
    }
}

/// What to look for in the rows of a step.
struct Wanted {
    key: StepKey,
    /// By time: whether a bucket is kept.
    buckets: [Vec<bool>; TIMES.len()],
}

/// One piece of the rows.
struct Piece {
    /// By [`Wanted`].
    kept: Vec<RefinedTimes>,
    /// Rows by step and outcome.
    rows: BTreeMap<(StepKey, String), u64>,
}

type Exact = [Option<Times>; TIMES.len()];

/// Exact times of one repetition for each of `steps`, and what it contributes to all repetitions.
///
/// # Errors
/// What is damaged, in words: the file, or where its rows differ from the windows.
fn read(
    steps: &[StepTimes],
    repetition: &Repetition,
    cell: &CellRecord,
    window_ns: u64,
) -> Result<Vec<(Exact, RefinedTimes)>, Vec<String>> {
    let words = |error: Error| vec![vocabulary::errors::chain(&error)];
    let one = [repetition];
    let detail = Detail::times();
    let windows = repetition.path.join("windows.parquet");
    let of_windows = |source| words(Error::Table { path: windows.clone(), source });
    let mut measured = Measured::read(cell, &one, window_ns, &detail).map_err(of_windows)?;
    if let Some((_, error)) = std::mem::take(&mut measured.damaged[0]).into_iter().next() {
        return Err(words(error));
    }
    let number = repetition.status.repetition;
    let merged = Merged {
        times: measured.distributions.remove(&number).unwrap_or_default(),
        outcomes: outcomes(&measured).map_err(of_windows)?,
    };
    let cuts: BTreeMap<String, u64> = measured.cuts.iter().map(|((_, workload), at_ns)| (workload.clone(), *at_ns)).collect();
    let wanted: Vec<Wanted> = steps.iter().map(|step| wanted(step, &merged)).collect();
    let path = path(repetition);
    let pieces = read_pieces(&path, &COLUMNS, |frame| piece(frame, &wanted, &cuts, window_ns)).map_err(|e| words(e.into()))?;
    let mut kept: Vec<RefinedTimes> = wanted.iter().map(|_| RefinedTimes::default()).collect();
    let mut rows: BTreeMap<(StepKey, String), u64> = BTreeMap::new();
    for piece in pieces {
        let piece = piece.map_err(|source| words(Error::Table { path: path.clone(), source }))?;
        kept.iter_mut().zip(piece.kept).for_each(|(sum, part)| sum.add(part));
        piece.rows.into_iter().for_each(|(key, count)| *rows.entry(key).or_default() += count);
    }
    let differences = differences(&merged, rows);
    // A window counts what was under way at its start by the order in which it was recorded: at a cut, rows may differ by a
    // few, which is not damage.
    let is_cut = |key: &StepKey| cuts.contains_key(&key.0);
    let named: Vec<String> =
        differences.iter().filter(|(key, _)| !is_cut(key)).map(|(_, words)| format!("{}: {words}", path.display())).collect();
    if !named.is_empty() {
        return Err(named);
    }
    let none = Distributions::default();
    let mut found = Vec::new();
    for (wanted, mut kept) in wanted.iter().zip(kept) {
        let counts = merged.times.get(&wanted.key).unwrap_or(&none);
        let times: Option<Vec<_>> = TIMES.iter().zip(&mut kept.0).map(|(time, kept)| kept.times(counts.of(*time))).collect();
        match times.and_then(|times| times.try_into().ok()) {
            Some(exact) => found.push((exact, kept)),
            None if is_cut(&wanted.key) => return Err(Vec::new()),
            None => {
                return Err(vec![format!("{}: the times of {} differ from windows.parquet", path.display(), name(&wanted.key))]);
            }
        }
    }
    Ok(found)
}

/// The content of the windows of one repetition.
struct Merged {
    times: BTreeMap<StepKey, Distributions>,
    /// Requests by step and outcome.
    outcomes: BTreeMap<(StepKey, String), u64>,
}

fn outcomes(measured: &Measured<'_>) -> PolarsResult<BTreeMap<(StepKey, String), u64>> {
    let counted = super::figures::by_outcome(measured).collect()?;
    let [workloads, phases, steps, outcomes] = texts(&counted, ["workload", "phase", "step", "outcome"])?;
    let requests = counted.column("requests")?.u64()?;
    let one = |at: usize| {
        let text = |column: &StringChunked| column.get(at).unwrap_or_default().to_owned();
        (((text(workloads), text(phases), text(steps)), text(outcomes)), requests.get(at).unwrap_or_default())
    };
    Ok((0..counted.height()).map(one).collect())
}

fn name((workload, phase, step): &StepKey) -> String {
    format!("{workload}, {phase}, {step}")
}

/// Where rows and windows have different counts, in words.
fn differences(merged: &Merged, mut rows: BTreeMap<(StepKey, String), u64>) -> Vec<(StepKey, String)> {
    let mut found = Vec::new();
    let words = |key: &StepKey, outcome: &str, rows: u64, windows: u64| {
        format!("{rows} rows of {}, {outcome}, where windows.parquet counts {windows}", name(key))
    };
    for ((key, outcome), count) in &merged.outcomes {
        let there = rows.remove(&(key.clone(), outcome.clone())).unwrap_or_default();
        if there != *count {
            found.push((key.clone(), words(key, outcome, there, *count)));
        }
    }
    found.extend(rows.into_iter().map(|((key, outcome), there)| (key.clone(), words(&key, &outcome, there, 0))));
    found
}

/// The buckets that contain a percentile of the repetition or of all repetitions.
fn wanted(step: &StepTimes, merged: &Merged) -> Wanted {
    let key = step.key.clone();
    let own = merged.times.get(&key);
    let buckets = TIMES.map(|time| {
        let mut kept = vec![false; BUCKETS];
        for counts in own.map(|d| d.of(time)).into_iter().chain([step.distributions.of(time)]) {
            let located = SHARES.iter().filter_map(|share| counts.locate(rank(*share, counts.len())));
            // A bucket one nanosecond wide is itself the exact value.
            located.map(|(bucket, ..)| bucket).filter(|b| bounds(*b).1 > 1).for_each(|b| kept[b as usize] = true);
        }
        kept
    });
    Wanted { key, buckets }
}

fn piece(frame: &DataFrame, wanted: &[Wanted], cuts: &BTreeMap<String, u64>, window_ns: u64) -> PolarsResult<Piece> {
    let text = |name: &str| frame.column(name)?.str();
    let number = |name: &str| frame.column(name)?.u64();
    let names = (text("workload")?.iter().zip(text("phase")?.iter())).zip(text("step")?.iter().zip(text("outcome")?.iter()));
    let times = (number("intended_ns")?.iter().zip(number("sent_ns")?.iter()))
        .zip(number("first_byte_ns")?.iter().zip(number("completed_ns")?.iter()));
    let mut piece = Piece { kept: wanted.iter().map(|_| RefinedTimes::default()).collect(), rows: BTreeMap::new() };
    // Kinds of rows, of which there are few: names, index in `wanted` (for correct answers only), and how many there were.
    type RowNames<'n> = [&'n str; 4];
    let mut kinds: Vec<(RowNames, Option<usize>, u64)> = Vec::new();
    let mut last = 0;
    for (((workload, phase), (step, outcome)), ((intended, sent), (first_byte, completed))) in names.zip(times) {
        let [workload, mut phase, step, outcome] = [workload, phase, step, outcome].map(Option::unwrap_or_default);
        let [intended, sent, completed] = [intended, sent, completed].map(Option::unwrap_or_default);
        if phase == "during"
            && let Some(cut) = cuts.get(workload)
            && completed / window_ns * window_ns < *cut
        {
            phase = "warm-up";
        }
        let row = [workload, phase, step, outcome];
        // A row is usually of the same kind as the one before, or of the kind after that: steps take turns.
        let next = (last + 1) % kinds.len().max(1);
        let at = [last, next].into_iter().find(|at| kinds.get(*at).is_some_and(|k| k.0 == row));
        last = at.or_else(|| kinds.iter().position(|k| k.0 == row)).unwrap_or_else(|| {
            let key = |w: &Wanted| w.key.0 == workload && w.key.1 == phase && w.key.2 == step;
            let place = wanted.iter().position(key).filter(|_| Outcome::word_counts_in_times(outcome));
            kinds.push((row, place, 0));
            kinds.len() - 1
        });
        let kind = &mut kinds[last];
        kind.2 += 1;
        let Some(place) = kind.1 else { continue };
        let values = [
            Some(completed.saturating_sub(sent)),
            Some(completed.saturating_sub(intended)),
            Some(sent.saturating_sub(intended)),
            first_byte.map(|first| first.saturating_sub(sent)),
        ];
        for ((value, kept), buckets) in values.into_iter().zip(&mut piece.kept[place].0).zip(&wanted[place].buckets) {
            let Some(ns) = value else { continue };
            kept.total += 1;
            kept.sum_ns += u128::from(ns);
            kept.squares_ns = kept.squares_ns.saturating_add(u128::from(ns) * u128::from(ns));
            let bucket = bucket_of(ns);
            if buckets[bucket as usize] {
                // A time beyond the last bucket is counted there; its distance is too large only for times of hours.
                let inside = u32::try_from(ns - bounds(bucket).0).unwrap_or(u32::MAX);
                kept.inside.entry(bucket).or_default().push(inside);
            }
        }
    }
    for ([workload, phase, step, outcome], _, count) in kinds {
        let key = (workload.to_owned(), phase.to_owned(), step.to_owned());
        *piece.rows.entry((key, outcome.to_owned())).or_default() += count;
    }
    Ok(piece)
}
