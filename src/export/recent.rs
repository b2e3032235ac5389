//! Transfers that started within a stretch of time, to be shown: as recorded, or with the requested length.
//!
//! Repetitions outside of that time are not read: a request is about a day, and a run may last for months.

use std::ops::Range;

use record::rows::Value;
use record::{Repetition, RunRecord};
use vocabulary::Phase;
use vocabulary::errors::chain;

use super::Error;
use super::measured::Steps;
use super::rows::Fault;
use super::transfers::{self, FILE};

/// By how much the clock may have been set during a repetition.
const SLACK_NS: i64 = 3_600_000_000_000;

/// A transfer that was measured, with what is known from the other transfers of its step.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'t> {
    /// When it started, in nanoseconds since 1970.
    pub unix_ns: i64,
    /// The length that was to be received or sent; none if unknown.
    pub file_bytes: Option<i64>,
    /// Whether it is an upload.
    pub is_upload: bool,
    /// How it ended, in one word.
    pub outcome: &'t str,
}

/// Whether transfers were recorded stage by stage in a repetition.
pub fn has_transfers(repetition: &Repetition) -> bool {
    repetition.path.join(FILE).exists()
}

/// When a repetition started and ended, in nanoseconds since 1970; none if its record does not say.
fn time_of(repetition: &Repetition) -> Option<Range<i64>> {
    let start: jiff::Timestamp = repetition.status.started_at.parse().ok()?;
    let start = i64::try_from(start.as_nanosecond()).ok()?;
    let total = i64::try_from(repetition.status.timings.total_ns).unwrap_or(i64::MAX);
    Some(start..start.saturating_add(total))
}

/// The repetitions of a run that may have transfers in a stretch of time.
fn candidates<'r>(run: &'r RunRecord, time: &Range<i64>) -> impl Iterator<Item = &'r Repetition> {
    let time = time.start.saturating_sub(SLACK_NS)..time.end.saturating_add(SLACK_NS);
    let overlaps = move |own: Range<i64>| own.start < time.end && own.end >= time.start;
    run.repetitions.iter().filter(move |r| time_of(r).is_none_or(&overlaps) && has_transfers(r))
}

/// Receives rows: the repetition, and the values with the names of their columns.
pub type Rows<'r> = dyn FnMut(&Repetition, &[(&'static str, Value<'_>)]) -> Result<(), Error> + 'r;

/// The rows of all transfers that started within a stretch of time, including the warm-up, each with the names of its columns.
///
/// Returns what could not be read, in words: it is left out.
///
/// # Errors
/// Those of `each`.
pub fn rows(run: &RunRecord, time: &Range<i64>, each: &mut Rows<'_>) -> Result<Vec<String>, Error> {
    let mut damaged = Vec::new();
    for repetition in candidates(run, time) {
        let read = transfers::each_named(&repetition.path.join(FILE), &mut |unix_ns, values| {
            if time.contains(&unix_ns) { each(repetition, values) } else { Ok(()) }
        });
        match read {
            Ok(()) => {}
            Err(Fault::Stop(error)) => return Err(error),
            Err(Fault::Damaged(error)) => damaged.push(chain(&error)),
        }
    }
    Ok(damaged)
}

/// The transfers that started within a stretch of time, without those of the warm-up and what cannot be read.
pub fn seen(run: &RunRecord, time: &Range<i64>, each: &mut dyn FnMut(Seen<'_>)) {
    for repetition in candidates(run, time) {
        let Ok(all) = transfers::read(&repetition.path.join(FILE)) else { continue };
        let steps = Steps::of(&all);
        let inside = all.iter().filter(|t| time.contains(&t.unix_ns) && t.phase != Phase::WarmUp.name());
        for transfer in inside {
            let (file_bytes, is_upload) = steps.size(transfer);
            let file_bytes = Some(file_bytes).filter(|bytes| *bytes > 0);
            each(Seen { unix_ns: transfer.unix_ns, file_bytes, is_upload, outcome: &transfer.outcome });
        }
    }
}

/// When the newest transfer of a run started, in nanoseconds since 1970; none without transfers.
pub fn newest(run: &RunRecord) -> Option<i64> {
    let mut repetitions: Vec<&Repetition> = run.repetitions.iter().collect();
    repetitions.sort_by(|a, b| b.status.started_at.cmp(&a.status.started_at));
    let newest_of = |r: &Repetition| transfers::read(&r.path.join(FILE)).ok()?.iter().map(|t| t.unix_ns).max();
    repetitions.into_iter().filter(|r| has_transfers(r)).find_map(newest_of)
}
