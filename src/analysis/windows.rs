//! Windows: sums of their histograms, how they change over time, and where a warm-up ends by itself.
//!
//! polars groups and counts, but does not know histograms. So each group's rows are passed here by their numbers, and the
//! distribution of each time is returned. Histograms stay encoded until they are added up. Where nothing waits, response
//! times are the service times, and the pass as a whole is its only step: identical data is added up once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polars::prelude::*;

use super::cores::on_all_cores;
use super::counts::{Counts, Sum};
use super::frames::histogram;
use super::times::Times;
use record::status::PhaseStatus;
use record::tables::WHOLE;
use vocabulary::rows::histogram::{decode_while, longest};
use vocabulary::{Outcome, Phase, Time};

/// Workload, phase, step.
pub type StepKey = (String, String, String);

/// How many kinds of times a window has.
const TIMES: usize = Time::ALL.len();

/// Index of a time in arrays of [`TIMES`].
pub(super) const fn time_index(time: Time) -> usize {
    match time {
        Time::Service => 0,
        Time::Response => 1,
        Time::Lag => 2,
        Time::Connect => 3,
        Time::FirstByte => 4,
    }
}

/// The distribution of each time of a step: of correct answers, and of requests that were never answered, with the time that
/// they had waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distributions([Arc<Counts>; TIMES]);

impl Distributions {
    /// The distribution of one of the times.
    pub fn of(&self, time: Time) -> &Counts {
        &self.0[time_index(time)]
    }

    /// Mean and percentiles of `Service`, `Response`, `Lag`, `Connect` and `FirstByte`, in this order; none if there is
    /// no such time.
    pub fn times(&self) -> [Option<Times>; TIMES] {
        let mut found = [None; TIMES];
        for (at, counts) in self.0.iter().enumerate() {
            let same = self.0[..at].iter().position(|c| Arc::ptr_eq(c, counts));
            found[at] = same.map_or_else(|| counts.times(), |same| found[same]);
        }
        found
    }
}

/// The sums of the distributions of a step.
#[derive(Default)]
pub struct DistributionSums([Option<Sum>; TIMES]);

impl DistributionSums {
    /// Adds the sums of another repetition.
    pub fn add(&mut self, distributions: &Distributions) {
        for (sum, counts) in self.0.iter_mut().zip(&distributions.0) {
            if !counts.is_empty() {
                sum.get_or_insert_default().add(counts);
            }
        }
    }

    /// Returns the sums. Equal ones are kept once.
    pub fn finish(self) -> Distributions {
        let mut found: [Arc<Counts>; TIMES] = Default::default();
        for (at, sum) in self.0.into_iter().enumerate() {
            let counts = sum.map_or_else(Counts::default, |mut s| s.take());
            found[at] = match found[..at].iter().find(|f| ***f == counts) {
                Some(same) => Arc::clone(same),
                None => Arc::new(counts),
            };
        }
        Distributions(found)
    }
}

/// The passes of a workload that ended in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassPoint {
    /// Start of the window, in nanoseconds since the start of the load.
    pub start_ns: u64,
    /// All of them.
    pub passes: u64,
    /// Those that were answered as expected.
    pub right: u64,
    /// The 99th percentile of their response times.
    pub p99_ns: Option<u64>,
}

impl PassPoint {
    /// The share of wrong answers.
    pub fn wrong(&self) -> f64 {
        self.passes.saturating_sub(self.right) as f64 / self.passes.max(1) as f64
    }
}

/// The passes that ended in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPoint {
    /// Start of the window, nanoseconds since the start of the load.
    pub start_ns: u64,
    /// Passes that ended in it.
    pub requests: u64,
    /// Those of them that were answered as expected.
    pub ok: u64,
    /// Median response time of the latter, in nanoseconds; none if there are none.
    pub median_ns: Option<u64>,
}

/// The windows of some repetitions, as `frames::windows` scans them, and for each row: its number `row`, and whether its
/// requests were answered as expected (`ok`), count in percentiles (`timed`), or failed with an unnamed outcome (`error`).
pub struct Windows {
    pub(super) frame: DataFrame,
}

/// By repetition and workload.
pub(super) type ByWorkload<T> = BTreeMap<(u32, String), T>;

/// Histograms to add up, and how many times each must contain.
type Parts<'f> = Vec<(&'f [u8], u64)>;

thread_local! {
    /// Buffers for sums: 270 KB that need not be cleared for each sum.
    static SCRATCH: RefCell<Sum> = RefCell::default();
}

impl Windows {
    pub(super) fn new(frame: DataFrame) -> PolarsResult<Self> {
        let outcomes = frame.column("outcome")?.str()?.clone();
        let told = |name: &str, of: fn(&str) -> bool| -> Column {
            let values: BooleanChunked = outcomes.iter().map(|word| word.is_some_and(of)).collect();
            values.with_name(name.into()).into_column()
        };
        let mut frame = frame.with_row_index("row".into(), None)?;
        frame.with_column(told("ok", |word| word == "ok"))?;
        frame.with_column(told("timed", Outcome::word_counts_in_times))?;
        frame.with_column(told("error", Outcome::word_is_error))?;
        Ok(Self { frame })
    }

    pub(super) fn lazy(&self) -> LazyFrame {
        self.frame.clone().lazy()
    }

    /// Without the rows of some repetitions.
    pub(super) fn without(&self, repetitions: &BTreeSet<u32>) -> PolarsResult<Self> {
        let numbers = self.frame.column("repetition")?.u32()?;
        let others: BooleanChunked = numbers.iter().map(|number| number.is_some_and(|n| !repetitions.contains(&n))).collect();
        Ok(Self { frame: self.frame.filter(&others)? })
    }

    /// Which of these rows to add up for a time. Times of wrong answers are on disk, but not in any percentile.
    fn parts(&self, rows: &[IdxSize], time: Time) -> PolarsResult<Parts<'_>> {
        // Times that were not requested are empty.
        let Ok(bytes) = self.frame.column(histogram(time)) else { return Ok(Vec::new()) };
        let (bytes, timed, requests) =
            (bytes.binary()?, self.frame.column("timed")?.bool()?, self.frame.column("requests")?.u64()?);
        let part = |row: &IdxSize| {
            let row = *row as usize;
            let bytes = bytes.get(row).filter(|b| !b.is_empty() && timed.get(row) == Some(true))?;
            Some((bytes, requests.get(row).unwrap_or_default()))
        };
        Ok(rows.iter().filter_map(part).collect())
    }

    /// The distribution of a time over rows.
    ///
    /// # Errors
    /// When a histogram is damaged.
    pub(super) fn distribution(&self, rows: &[IdxSize], time: Time) -> PolarsResult<Counts> {
        sum(&self.parts(rows, time)?, time)
    }

    /// The distributions of each step, by repetition; steps without a time are left out.
    ///
    /// # Errors
    /// When a column is missing; of a repetition, when a histogram is damaged.
    pub(super) fn distributions(&self) -> PolarsResult<BTreeMap<u32, PolarsResult<BTreeMap<StepKey, Distributions>>>> {
        let groups = Groups::new(self.lazy().filter(col("timed")), &["repetition", "workload", "phase", "step"])?;
        let numbers = groups.keys.column("repetition")?.u32()?;
        let [workloads, phases, steps] = texts(&groups.keys, ["workload", "phase", "step"])?;
        let mut by_repetition: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (group, number) in numbers.iter().enumerate() {
            by_repetition.entry(number.unwrap_or_default()).or_default().push(group);
        }
        let of_repetition = |mine: &Vec<usize>| -> PolarsResult<BTreeMap<StepKey, Distributions>> {
            let mut known: Vec<(Parts<'_>, Arc<Counts>)> = Vec::new();
            let mut found = BTreeMap::new();
            for group in mine {
                let mut distributions = Distributions::default();
                for (_, time) in Time::ALL {
                    let parts = self.parts(&groups.rows[*group], time)?;
                    let same = known.iter().find(|(other, _)| is_same(other, &parts)).map(|(_, counts)| Arc::clone(counts));
                    let counts = match same {
                        Some(same) => same,
                        None => {
                            let new = Arc::new(sum(&parts, time)?);
                            known.push((parts, Arc::clone(&new)));
                            new
                        }
                    };
                    distributions.0[time_index(time)] = counts;
                }
                let part = |column: &StringChunked| column.get(*group).unwrap_or_default().to_owned();
                found.insert((part(workloads), part(phases), part(steps)), distributions);
            }
            Ok(found)
        };
        let by_repetition: Vec<(u32, Vec<usize>)> = by_repetition.into_iter().collect();
        Ok(on_all_cores(&by_repetition, |(number, mine)| (*number, of_repetition(mine))).into_iter().collect())
    }

    /// For each repetition and workload the passes that ended in `during`, window by window, ascending; windows without any
    /// are left out. `workloads`: those that are wanted.
    ///
    /// # Errors
    /// When a column is missing; of a repetition, when a histogram is damaged.
    pub(super) fn series(&self, workloads: &[&str]) -> PolarsResult<ByWorkload<PolarsResult<Vec<WindowPoint>>>> {
        let in_during = col("completed_in").eq(lit(Phase::During.name()));
        self.of_passes(workloads, in_during, |start_ns, [requests, ok], rows| {
            Ok(WindowPoint { start_ns, requests, ok, median_ns: self.median_response(rows)? })
        })
    }

    /// For each repetition and workload the passes that ended in each window, whatever the phase, ascending; windows without any are
    /// left out. With the 99th percentile of the right ones.
    ///
    /// # Errors
    /// When a column is missing; of a repetition, when a histogram is damaged.
    pub(super) fn points(&self, workloads: &[&str]) -> PolarsResult<ByWorkload<PolarsResult<Vec<PassPoint>>>> {
        self.of_passes(workloads, lit(true), |start_ns, [passes, right], rows| {
            let times = sum(&self.parts(rows, Time::Response)?, Time::Response)?;
            let [p99] = times.quantiles([0.99]);
            Ok(PassPoint { start_ns, passes, right, p99_ns: (!times.is_empty()).then_some(p99) })
        })
    }

    /// A point for each window in which passes of these workloads ended, ascending, by repetition and workload. `point`: made of the start
    /// of the window, the number of its passes and of the right ones, and the rows of the latter.
    fn of_passes<P>(
        &self,
        workloads: &[&str],
        wanted: Expr,
        point: impl Fn(u64, [u64; 2], &[IdxSize]) -> PolarsResult<P>,
    ) -> PolarsResult<ByWorkload<PolarsResult<Vec<P>>>> {
        let mine = workloads.iter().fold(lit(false), |any, name| any.or(col("workload").eq(lit(*name))));
        let passes = self
            .lazy()
            .filter(mine.and(col("step").eq(lit(WHOLE))).and(wanted))
            .group_by_stable([col("repetition"), col("workload"), col("window_start_ns")])
            .agg([col("requests").sum(), col("requests").filter(col("ok")).sum().alias("right"), col("row").filter(col("ok"))])
            .sort(["window_start_ns"], SortMultipleOptions::default().with_maintain_order(true))
            .collect()?;
        let (numbers, names) = (passes.column("repetition")?.u32()?, passes.column("workload")?.str()?);
        let number = |name: &str| passes.column(name)?.u64();
        let (starts, requests, right) = (number("window_start_ns")?, number("requests")?, number("right")?);
        let mut found: ByWorkload<PolarsResult<Vec<P>>> = BTreeMap::new();
        for (at, rows) in lists(&passes)?.iter().enumerate() {
            let key = (numbers.get(at).unwrap_or_default(), names.get(at).unwrap_or_default().to_owned());
            let Ok(points) = found.entry(key.clone()).or_insert_with(|| Ok(Vec::new())) else { continue };
            let part = |column: &UInt64Chunked| column.get(at).unwrap_or_default();
            match point(part(starts), [part(requests), part(right)], rows) {
                Ok(point) => points.push(point),
                Err(error) => {
                    found.insert(key, Err(error));
                }
            }
        }
        Ok(found)
    }

    /// Median response time over rows; none without one.
    fn median_response(&self, rows: &[IdxSize]) -> PolarsResult<Option<u64>> {
        let parts = self.parts(rows, Time::Response)?;
        // Usually a window has one histogram, which need not be added to anything.
        if let [(bytes, requests)] = parts.as_slice() {
            let (wanted, mut below, mut found) = (requests.div_ceil(2), 0, None);
            // Completeness is checked where the whole histogram is merged.
            let decoded = decode_while(bytes, |bucket, count| {
                below += count;
                found = (count > 0 && below >= wanted).then_some(bucket);
                found.is_none()
            });
            if let (Ok(_), Some(bucket)) = (decoded, found) {
                return Ok(Some(longest(bucket as u32)));
            }
        }
        let response = sum(&parts, Time::Response)?;
        let [median] = response.quantiles([0.5]);
        Ok((!response.is_empty()).then_some(median))
    }

    /// Windows whose warm-up extends to the steady state, and the passes that move into the warm-up.
    ///
    /// `cuts`: the start of the steady state by repetition and workload, in nanoseconds since the start of the load, at the
    /// start of a window. Windows of the phase `during` that start before it count as `warm-up`.
    ///
    /// # Errors
    /// When a column is missing.
    pub(super) fn with_warm_up(&self, cuts: &ByWorkload<u64>) -> PolarsResult<(Self, ByWorkload<Passes>)> {
        let column = |name: &str, of: Series| of.with_name(name.into()).into_column();
        let numbers: Vec<u32> = cuts.keys().map(|(number, _)| *number).collect();
        let names: Vec<&str> = cuts.keys().map(|(_, name)| name.as_str()).collect();
        let instants: Vec<u64> = cuts.values().copied().collect();
        let of = [
            column("repetition", Series::new("".into(), numbers)),
            column("workload", Series::new("".into(), names)),
            column("cut_ns", Series::new("".into(), instants)),
        ];
        let cut = DataFrame::new(cuts.len(), of.to_vec())?.lazy();
        let on = [col("repetition"), col("workload")];
        let before = |phase: &str| {
            col(phase).eq(lit(Phase::During.name())).and(col("window_start_ns").lt(col("cut_ns")).fill_null(lit(false)))
        };
        let warm = |phase: &str| when(before(phase)).then(lit(Phase::WarmUp.name())).otherwise(col(phase)).alias(phase);
        let joined = self.lazy().join(cut, &on, &on, JoinArgs::new(JoinType::Left)).sort(["row"], SortMultipleOptions::default());
        let moved = joined
            .clone()
            .filter(before("phase").and(col("step").eq(lit(WHOLE))))
            .group_by_stable(&on)
            .agg([col("requests").sum(), col("requests").filter(col("ok").not()).sum().alias("errors")])
            .collect()?;
        let (numbers, [names]) = (moved.column("repetition")?.u32()?, texts(&moved, ["workload"])?);
        let (passes, errors) = (moved.column("requests")?.u64()?, moved.column("errors")?.u64()?);
        let passes = (0..moved.height()).map(|at| {
            let key = (numbers.get(at).unwrap_or_default(), names.get(at).unwrap_or_default().to_owned());
            (key, Passes { all: passes.get(at).unwrap_or_default(), errors: errors.get(at).unwrap_or_default() })
        });
        let passes = passes.collect();
        let frame = joined.with_columns([warm("phase"), warm("completed_in")]).select([all().exclude_cols(["cut_ns"]).as_expr()]);
        Ok((Self { frame: frame.collect()? }, passes))
    }
}

/// Whether the same rows are to be added up. Identical data is usually in the same place.
fn is_same(one: &Parts<'_>, other: &Parts<'_>) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|((a, n), (b, m))| n == m && (std::ptr::eq(*a, *b) || a == b))
}

/// The sum of histograms.
fn sum(parts: &Parts<'_>, time: Time) -> PolarsResult<Counts> {
    // Only some requests have to connect, and not every request has a first byte.
    let every = !matches!(time, Time::Connect | Time::FirstByte);
    SCRATCH.with_borrow_mut(|sum| {
        let added = parts.iter().try_for_each(|(bytes, requests)| {
            let found = sum.add_encoded(bytes).map_err(|e| e.to_string())?;
            // A different count is the sign of a damaged file.
            if found == *requests || !every && found < *requests {
                Ok(())
            } else {
                Err(format!("it contains {found} times for {requests} requests"))
            }
        });
        let counts = sum.take();
        let damaged = |words| PolarsError::ComputeError(format!("a histogram is damaged: {words}").into());
        added.map(|()| counts).map_err(damaged)
    })
}

/// The numbers of the rows of each group.
pub(super) struct Groups {
    /// One row per group, in the order of their first rows.
    pub keys: DataFrame,
    pub rows: Vec<Vec<IdxSize>>,
}

impl Groups {
    pub(super) fn new(rows: LazyFrame, by: &[&str]) -> PolarsResult<Self> {
        let keys = rows.group_by_stable(by.iter().map(|name| col(*name)).collect::<Vec<_>>()).agg([col("row")]).collect()?;
        Ok(Self { rows: lists(&keys)?, keys })
    }
}

/// The lists in the column `row`.
pub(super) fn lists(frame: &DataFrame) -> PolarsResult<Vec<Vec<IdxSize>>> {
    let numbers = |list: Option<Series>| match list {
        Some(list) => Ok(list.idx()?.into_no_null_iter().collect()),
        None => Ok(Vec::new()),
    };
    let column = frame.column("row")?.list()?;
    (0..column.len()).map(|at| numbers(column.get_as_series(at))).collect()
}

/// Columns of text.
pub(super) fn texts<'f, const N: usize>(frame: &'f DataFrame, names: [&str; N]) -> PolarsResult<[&'f StringChunked; N]> {
    let found = names.into_iter().map(|name| frame.column(name)?.str()).collect::<PolarsResult<Vec<_>>>()?;
    Ok(found.try_into().expect("each name has a column"))
}

/// Passes of a workload in a repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passes {
    pub all: u64,
    /// Those of them that were not answered as expected.
    pub errors: u64,
}

/// Moves the start of the phase `during` of a workload to `cut_ns`, with the passes that move into the warm-up. What was
/// offered moves with the passes that ended; what was never sent stays with the phase.
pub(super) fn cut(phases: &mut Vec<PhaseStatus>, workload: &str, cut_ns: u64, moved: Passes) {
    let find = |phases: &[PhaseStatus], phase: &str| phases.iter().position(|p| p.workload == workload && p.phase == phase);
    let Some(during) = find(phases, "during").filter(|at| phases[*at].start_ns < cut_ns) else { return };
    let warm_up = find(phases, "warm-up").unwrap_or_else(|| {
        let new = PhaseStatus {
            workload: workload.to_owned(),
            phase: "warm-up".to_owned(),
            start_ns: phases[during].start_ns,
            end_ns: phases[during].start_ns,
            ..PhaseStatus::default()
        };
        phases.push(new);
        phases.len() - 1
    });
    let from = &mut phases[during];
    let offered = moved.all.min(from.offered);
    from.start_ns = cut_ns.min(from.end_ns);
    from.planned_ns = from.planned_ns.map(|_| from.end_ns - from.start_ns);
    from.offered -= offered;
    from.passes = from.passes.saturating_sub(moved.all);
    from.errors = from.errors.saturating_sub(moved.errors);
    let end_ns = from.start_ns;
    let to = &mut phases[warm_up];
    to.end_ns = to.end_ns.max(end_ns);
    to.offered += offered;
    to.passes += moved.all;
    to.errors += moved.errors;
}

/// From the first request of any workload after its warm-up to the last answer, in nanoseconds since the start of the load;
/// none when there was none.
pub fn load_bounds(phases: &[PhaseStatus]) -> Option<(i64, i64)> {
    let measured = phases.iter().filter(|p| p.phase != "warm-up");
    let (start, end) = measured.fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
    (start < end).then_some((start as i64, end as i64))
}

/// Each phase from its earliest start to its latest end over workloads, in order of time, including the warm-up; phases that
/// took no time are left out.
pub fn phase_bounds(phases: &[PhaseStatus]) -> Vec<(&'static str, (i64, i64))> {
    let bounds = |name: &'static str| {
        let mine = phases.iter().filter(|p| p.phase == name);
        let (start, end) = mine.fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
        (start < end).then_some((name, (start as i64, end as i64)))
    };
    Phase::ALL.into_iter().filter_map(|phase| bounds(phase.name())).collect()
}
