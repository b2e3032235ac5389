//! The windows of one repetition, as they are read once and used for everything: for phases as a whole and window by window.
//!
//! Histograms stay encoded, each different one once – where nothing waits, response times are the service times, and the
//! pass as a whole is its only step – and are added up when they are asked for. That takes a byte or two per bucket that
//! occurs, where decoded ones would take eight.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::*;

use super::counts::{Counts, Sum, decode_while, longest};
use super::times::Times;
use super::{Error, stats};
use record::Repetition;
use record::status::PhaseStatus;
use record::tables::WHOLE;
use vocabulary::Time;
use vocabulary::{Outcome, Phase};

/// Workload, phase, step.
pub type StepKey = (String, String, String);

/// How many kinds of times a window has.
const TIMES: usize = Time::ALL.len();

/// A window begins before this: some hundred years.
const MOST_NS: u64 = 1 << 62;
/// No window moves so many bytes.
const MOST_BYTES: u64 = 1 << 43;

/// Columns of the times, in the order of [`time_index`].
const COLUMNS: [&str; TIMES] = ["service_ns_hdr", "response_ns_hdr", "lag_ns_hdr", "connect_ns_hdr", "first_byte_ns_hdr"];

/// Place of a time in arrays of [`TIMES`].
const fn time_index(time: Time) -> usize {
    match time {
        Time::Service => 0,
        Time::Response => 1,
        Time::Lag => 2,
        Time::Connect => 3,
        Time::FirstByte => 4,
    }
}

/// The distribution of each time of a step: right answers, and what was never answered with the time that it had waited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distributions([Arc<Counts>; TIMES]);

impl Distributions {
    /// One of them.
    pub fn of(&self, time: Time) -> &Counts {
        &self.0[time_index(time)]
    }

    /// Mean and percentiles of `Service`, `Response`, `Lag`, `Connect` and `FirstByte`, in this order; none where there is
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

/// Sums of the distributions of a step.
#[derive(Default)]
pub struct DistributionSums([Option<Sum>; TIMES]);

impl DistributionSums {
    /// Adds those of another repetition.
    pub fn add(&mut self, distributions: &Distributions) {
        for (sum, counts) in self.0.iter_mut().zip(&distributions.0) {
            if !counts.is_empty() {
                sum.get_or_insert_default().add(counts);
            }
        }
    }

    /// The sums. Equal ones are kept once.
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

/// What one step of one phase did in one repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Requests that began in the phase, by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// What ended in the phase, whenever it had begun.
    pub completed: Completed,
    /// Start of a window in nanoseconds since the start of the load, and how many were answered as expected in it; a
    /// window may stand there several times, or not at all when it had none.
    pub ok_by_window: Vec<(u64, u64)>,
    /// Times of right answers, and of what was never answered.
    pub times: Distributions,
}

/// What ended in a phase: what throughput counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Requests that were answered as expected.
    pub ok: u64,
    /// Bytes of request bodies.
    pub sent_bytes: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
}

impl StepCounts {
    /// The share of an outcome.
    pub fn share(&self, outcome: &str) -> f64 {
        let all: u64 = self.outcomes.values().sum();
        self.outcomes.get(outcome).copied().unwrap_or_default() as f64 / all.max(1) as f64
    }

    /// Standard deviation (n − 1) of right answers per second over the windows of `window_ns` that lie whole in a phase;
    /// none with fewer than two of them.
    pub fn throughput_stdev(&self, phase: &PhaseStatus, window_ns: u64) -> Option<f64> {
        let first = phase.start_ns.div_ceil(window_ns);
        let count = usize::try_from((phase.end_ns / window_ns).saturating_sub(first)).ok().filter(|count| *count > 1)?;
        // A window without a right answer has no row, and counts.
        let mut ok = vec![0; count];
        for (start_ns, requests) in &self.ok_by_window {
            let place = (start_ns / window_ns).checked_sub(first).and_then(|place| ok.get_mut(place as usize));
            *place.unwrap_or(&mut 0) += requests;
        }
        let seconds = window_ns as f64 / 1e9;
        Some(stats::standard_deviation(&ok.into_iter().map(|n: u64| n as f64 / seconds).collect::<Vec<_>>()))
    }
}

/// The phases of one repetition.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// What each step did in each phase.
    pub steps: BTreeMap<StepKey, StepCounts>,
    /// The phases of each workload, with begin and end.
    pub phases: Vec<PhaseStatus>,
}

impl Merged {
    /// A phase of a workload.
    pub fn phase(&self, workload: &str, phase: &str) -> Option<&PhaseStatus> {
        self.phases.iter().find(|p| p.workload == workload && p.phase == phase)
    }

    /// From the first request of any workload behind its warm-up to the last answer, in nanoseconds since the start of
    /// the load; none when there was none.
    pub fn load_bounds(&self) -> Option<(i64, i64)> {
        load_bounds(&self.phases)
    }
}

/// From the first request of any workload behind its warm-up to the last answer.
pub fn load_bounds(phases: &[PhaseStatus]) -> Option<(i64, i64)> {
    let measured = phases.iter().filter(|p| p.phase != "warm-up");
    let (start, end) = measured.fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
    (start < end).then_some((start as i64, end as i64))
}

/// Each phase from its earliest begin to its latest end over workloads, in the order of time, the warm-up too; those that
/// took no time are left out.
pub fn phase_bounds(phases: &[PhaseStatus]) -> Vec<(&'static str, (i64, i64))> {
    let bounds = |name: &'static str| {
        let mine = phases.iter().filter(|p| p.phase == name);
        let (start, end) = mine.fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
        (start < end).then_some((name, (start as i64, end as i64)))
    };
    Phase::ALL.into_iter().filter_map(|phase| bounds(phase.name())).collect()
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
    /// Median response time of these, in nanoseconds; none without one.
    pub median_ns: Option<u64>,
}

/// A histogram: part of `payload`. Empty where no request of the window had such a time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Encoded {
    range: std::ops::Range<usize>,
    /// How many times must be in it, or may be where not every request has such a time.
    requests: u64,
    every: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) start_ns: u64,
    /// Index into `keys`: where its requests began.
    key: usize,
    /// The same for where they ended.
    ended: usize,
    /// Index into `outcomes`.
    outcome: usize,
    pub(super) requests: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    times: [Encoded; TIMES],
}

/// A row with its names.
pub(super) struct NamedRow<'d> {
    /// Where its requests began.
    pub key: &'d StepKey,
    /// Where they ended; the phase is `drain` behind the last one.
    pub ended: &'d StepKey,
    /// Whether they were answered as expected.
    pub ok: bool,
    /// Whether they were not, and the scenario has no name for what they were.
    pub error: bool,
    pub row: &'d Row,
}

/// The windows of one repetition.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Of the table, for errors.
    path: PathBuf,
    phases: Vec<PhaseStatus>,
    keys: Vec<StepKey>,
    outcomes: Vec<String>,
    rows: Vec<Row>,
    /// Encoded histograms, each different one of a row once.
    payload: Vec<u8>,
}

thread_local! {
    /// What sums are made in: 270 KB that need not be cleared for each of them.
    static SCRATCH: RefCell<Sum> = RefCell::default();
}

impl Decoded {
    /// Columns that [`Self::new`] needs for so many times.
    pub(super) fn columns(wanted: &[Time]) -> Vec<&'static str> {
        let always = [
            "window_start_ns",
            "workload",
            "step",
            "phase",
            "completed_in",
            "outcome",
            "requests",
            "sent_bytes",
            "received_bytes",
        ];
        always.into_iter().chain(wanted.iter().map(|t| COLUMNS[time_index(*t)])).collect()
    }

    /// Takes the rows of `windows.parquet`. `wanted`: the times that will be asked for; others are taken for empty.
    ///
    /// # Errors
    /// When a column is missing.
    pub(super) fn new(path: &Path, repetition: &Repetition, frame: &DataFrame, wanted: &[Time]) -> PolarsResult<Self> {
        let mut decoded = Self {
            path: path.to_owned(),
            phases: repetition.status.phases.clone(),
            keys: Vec::new(),
            outcomes: Vec::new(),
            rows: Vec::with_capacity(frame.height()),
            payload: Vec::new(),
        };
        let text = |name: &str| frame.column(name)?.str();
        let number = |name: &str| frame.column(name)?.u64();
        let (workloads, phases, steps, outcomes) = (text("workload")?, text("phase")?, text("step")?, text("outcome")?);
        // Before format 5 a request counted where it began.
        let completed_in = text("completed_in").unwrap_or(phases);
        let (starts, requests) = (number("window_start_ns")?, number("requests")?);
        let (sent, received) = (number("sent_bytes")?, number("received_bytes")?);
        // Beyond these a table is damaged, and below them no sum over all rows of a run overflows.
        for (column, most) in [(starts, MOST_NS), (requests, u64::from(u32::MAX)), (sent, MOST_BYTES), (received, MOST_BYTES)] {
            if let Some(found) = column.max().filter(|found| *found > most) {
                let words = format!("the column `{}` holds {found}, which no window can have", column.name());
                return Err(PolarsError::ComputeError(words.into()));
            }
        }
        let mut columns = [const { None }; TIMES];
        for time in wanted.iter().map(|t| time_index(*t)) {
            // Format 1 had only the first two.
            columns[time] = match frame.column(COLUMNS[time]) {
                Err(_) if time > 1 => None,
                column => Some(column?.binary()?),
            };
        }
        for row in 0..frame.height() {
            let part = |column: &UInt64Chunked| column.get(row).unwrap_or_default();
            let mut key_of = |phases: &StringChunked| {
                let key = [workloads, phases, steps].map(|c| c.get(row).unwrap_or_default());
                place(
                    &mut decoded.keys,
                    |k| [&k.0, &k.1, &k.2].iter().zip(&key).all(|(a, b)| a == b),
                    || (key[0].to_owned(), key[1].to_owned(), key[2].to_owned()),
                )
            };
            let (key, ended) = (key_of(phases), key_of(completed_in));
            let outcome = outcomes.get(row).unwrap_or_default();
            let timed = Outcome::word_counts_in_times(outcome);
            let outcome = place(&mut decoded.outcomes, |o| o == outcome, || outcome.to_owned());
            let mut new = Row {
                start_ns: part(starts),
                key,
                ended,
                outcome,
                requests: part(requests),
                sent_bytes: part(sent),
                received_bytes: part(received),
                times: Default::default(),
            };
            for (time, column) in columns.iter().enumerate() {
                // Times of wrong answers are on disk, and in no percentile.
                let Some(bytes) = column.filter(|_| timed).and_then(|c| c.get(row)).filter(|b| !b.is_empty()) else { continue };
                let before = decoded.rows.last().into_iter().flat_map(|r: &Row| &r.times);
                let same = |e: &&Encoded| e.requests == new.requests && decoded.payload[e.range.clone()] == *bytes;
                let known = new.times[..time].iter().chain(before).find(same).cloned();
                new.times[time] = known.unwrap_or_else(|| {
                    let start = decoded.payload.len();
                    decoded.payload.extend_from_slice(bytes);
                    // Only some requests have to connect, and not each has a first byte.
                    Encoded { range: start..decoded.payload.len(), requests: new.requests, every: time < 3 }
                });
            }
            decoded.rows.push(new);
        }
        Ok(decoded)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = NamedRow<'_>> {
        self.rows.iter().map(|row| NamedRow {
            key: &self.keys[row.key],
            ended: &self.keys[row.ended],
            ok: self.outcomes[row.outcome] == "ok",
            error: Outcome::word_is_error(&self.outcomes[row.outcome]),
            row,
        })
    }

    /// The sum of histograms.
    fn sum<'e>(&self, parts: impl IntoIterator<Item = &'e Encoded>) -> Result<Counts, Error> {
        SCRATCH.with_borrow_mut(|sum| {
            let added = parts.into_iter().try_for_each(|part| {
                let found = sum.add_encoded(&self.payload[part.range.clone()]).map_err(|e| e.to_string())?;
                // A count that differs is the mark of a damaged file.
                if found == part.requests || !part.every && found < part.requests {
                    Ok(())
                } else {
                    Err(format!("it holds {found} times of {} requests", part.requests))
                }
            });
            let counts = sum.take();
            let damaged = |words| PolarsError::ComputeError(format!("a histogram is damaged: {words}").into());
            added.map(|()| counts).map_err(|words| Error::Table { path: self.path.clone(), source: damaged(words) })
        })
    }

    /// The distribution of a time over rows.
    ///
    /// # Errors
    /// When a histogram is damaged.
    pub(super) fn distribution<'r>(&self, rows: impl IntoIterator<Item = &'r Row>, time: Time) -> Result<Counts, Error> {
        let parts = rows.into_iter().map(|r| &r.times[time_index(time)]);
        self.sum(parts.filter(|p| !p.range.is_empty()))
    }

    /// The passes of a workload that ended in a phase, window by window, ascending; windows without any are left out.
    ///
    /// # Errors
    /// When a histogram is damaged.
    pub fn series(&self, workload: &str, phase: &str) -> Result<Vec<WindowPoint>, Error> {
        let mut windows: BTreeMap<u64, (u64, u64, Vec<&Row>)> = BTreeMap::new();
        for NamedRow { ended, ok, row, .. } in self.rows() {
            if ended.0 == workload && ended.1 == phase && ended.2 == WHOLE {
                let window = windows.entry(row.start_ns).or_default();
                window.0 += row.requests;
                if ok {
                    window.1 += row.requests;
                    window.2.push(row);
                }
            }
        }
        let point = |(start_ns, (requests, ok, rows)): (u64, (u64, u64, Vec<&Row>))| {
            Ok(WindowPoint { start_ns, requests, ok, median_ns: self.median_response(&rows)? })
        };
        windows.into_iter().map(point).collect()
    }

    /// Median response time over rows.
    ///
    /// # Errors
    /// When a histogram is damaged.
    fn median_response(&self, rows: &[&Row]) -> Result<Option<u64>, Error> {
        // Mostly a window has one histogram, which need not be added to anything.
        if let [row] = rows {
            let encoded = &row.times[time_index(Time::Response)];
            let (wanted, mut below, mut found) = (encoded.requests.div_ceil(2), 0, None);
            // That it is whole is checked where all of it is merged.
            let decoded = decode_while(&self.payload[encoded.range.clone()], |bucket, count| {
                below += count;
                found = (count > 0 && below >= wanted).then_some(bucket);
                found.is_none()
            });
            if let (Ok(_), Some(bucket)) = (decoded, found) {
                return Ok(Some(longest(bucket as u32)));
            }
        }
        let response = self.distribution(rows.iter().copied(), Time::Response)?;
        let [median] = response.quantiles([0.5]);
        Ok((!response.is_empty()).then_some(median))
    }

    /// Merges windows into phases.
    ///
    /// `cuts`: by workload where its steady state begins, in nanoseconds since the start of the load, at the start of a
    /// window. Windows of its phase `during` that start before count as `warm-up`, the phase begins at the cut, and a
    /// warm-up reaches to it. What was offered goes with the passes that ended; what was never sent stays with the phase.
    ///
    /// # Errors
    /// When a histogram is damaged.
    pub fn merge(&self, cuts: &BTreeMap<String, u64>) -> Result<Merged, Error> {
        let mut phases = self.phases.clone();
        for (workload, cut) in cuts {
            self.cut(&mut phases, workload, *cut);
        }
        let mut found: BTreeMap<StepKey, Parts<'_>> = BTreeMap::new();
        for NamedRow { key, ended, ok, row, .. } in self.rows() {
            let [key, ended] = [key, ended].map(|key| match is_cut(key, row, cuts) {
                true => Cow::Owned((key.0.clone(), "warm-up".to_owned(), key.2.clone())),
                false => Cow::Borrowed(key),
            });
            let (step, parts) = entry(&mut found, &key);
            add_to(&mut step.outcomes, &self.outcomes[row.outcome], row.requests);
            for (parts, part) in parts.iter_mut().zip(&row.times) {
                if !part.range.is_empty() {
                    parts.push(part);
                }
            }
            let (step, _) = entry(&mut found, &ended);
            step.completed.sent_bytes += row.sent_bytes;
            step.completed.received_bytes += row.received_bytes;
            if ok {
                step.completed.ok += row.requests;
                step.ok_by_window.push((row.start_ns, row.requests));
            }
        }
        // Where the same histograms are added, the sum is the same.
        let mut known: Vec<(Vec<&Encoded>, Arc<Counts>)> = Vec::new();
        let mut steps = BTreeMap::new();
        for (key, (mut step, parts)) in found {
            for (parts, counts) in parts.into_iter().zip(&mut step.times.0) {
                *counts = match known.iter().find(|(p, _)| *p == parts) {
                    Some((_, same)) => Arc::clone(same),
                    None => {
                        let new = Arc::new(self.sum(parts.iter().copied())?);
                        known.push((parts, Arc::clone(&new)));
                        new
                    }
                };
            }
            steps.insert(key, step);
        }
        Ok(Merged { steps, phases })
    }

    /// Moves the start of the phase `during` of a workload to `cut`.
    fn cut(&self, phases: &mut Vec<PhaseStatus>, workload: &str, cut: u64) {
        let find = |phases: &[PhaseStatus], phase: &str| phases.iter().position(|p| p.workload == workload && p.phase == phase);
        let Some(during) = find(phases, "during").filter(|at| phases[*at].start_ns < cut) else { return };
        let (mut passes, mut errors) = (0, 0);
        for NamedRow { key, ok, row, .. } in self.rows() {
            if key.0 == workload && key.1 == "during" && key.2 == WHOLE && row.start_ns < cut {
                passes += row.requests;
                errors += if ok { 0 } else { row.requests };
            }
        }
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
        let offered = passes.min(from.offered);
        from.start_ns = cut.min(from.end_ns);
        from.planned_ns = from.planned_ns.map(|_| from.end_ns - from.start_ns);
        from.offered -= offered;
        from.passes = from.passes.saturating_sub(passes);
        from.errors = from.errors.saturating_sub(errors);
        let end_ns = from.start_ns;
        let to = &mut phases[warm_up];
        to.end_ns = to.end_ns.max(end_ns);
        to.offered += offered;
        to.passes += passes;
        to.errors += errors;
    }
}

/// What is added up of a step: its counts, and the histograms of its times.
type Parts<'e> = (StepCounts, [Vec<&'e Encoded>; TIMES]);

fn entry<'f, 'e>(found: &'f mut BTreeMap<StepKey, Parts<'e>>, key: &StepKey) -> &'f mut Parts<'e> {
    if !found.contains_key(key) {
        found.insert(key.clone(), Default::default());
    }
    found.get_mut(key).expect("it was there or has just been added")
}

fn is_cut(key: &StepKey, row: &Row, cuts: &BTreeMap<String, u64>) -> bool {
    key.1 == "during" && cuts.get(&key.0).is_some_and(|cut| row.start_ns < *cut)
}

/// Index of what `is` finds in `known`, which is short; `new` is added where there is none.
fn place<T>(known: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    known.iter().position(is).unwrap_or_else(|| {
        known.push(new());
        known.len() - 1
    })
}

fn add_to(sums: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match sums.get_mut(name) {
        Some(sum) => *sum += count,
        None => {
            sums.insert(name.to_owned(), count);
        }
    }
}
