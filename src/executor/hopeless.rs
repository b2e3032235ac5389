//! When a repetition is given up: decides from finished windows whether one of the conditions of `abort` has held for long enough.
//! Pure; the recorder's thread hands windows in, and the load's loop asks.

use std::collections::BTreeMap;
use std::time::Duration;

use plan::{Abort, Length, Workload};
use vocabulary::Phase;
use vocabulary::rows::WindowRow;
use vocabulary::rows::histogram::{BUCKETS, decode, longest};
use vocabulary::units::{human_duration, percent};

/// A generator thread hands a window over with its first pass of a later one.
const HANDED_OVER: Duration = Duration::from_millis(100);

/// What is looked at while a load runs.
#[derive(Debug)]
pub struct Watch {
    abort: Abort,
    window_ns: u64,
    workloads: Vec<One>,
}

/// A workload.
#[derive(Debug)]
struct One {
    name: String,
    /// The stretches in which it sends, in nanoseconds since the start of the load; the last may have no end.
    active: Vec<(u64, u64)>,
    /// By the start of the window.
    windows: BTreeMap<u64, Tally>,
    /// The end of the last window with a right answer.
    right_until_ns: Option<u64>,
    /// The phase with the last passes of a load that ends with a number of them, and how many are still to come.
    left: Option<(Phase, u64)>,
}

#[derive(Debug, Default)]
struct Tally {
    passes: u64,
    errors: u64,
    /// Encoded response times, until somebody asks.
    response: Vec<Vec<u8>>,
}

impl Watch {
    /// Looks at workloads, those of the cell in their order; `None` for one whose load is made elsewhere.
    /// `is_shared`: other machines make a part of each load.
    pub fn new<'w>(
        abort: &Abort,
        window: Duration,
        workloads: impl Iterator<Item = Option<&'w Workload>>,
        is_shared: bool,
    ) -> Self {
        let one = |workload: Option<&Workload>| One {
            name: workload.map_or_else(String::new, |w| w.name.clone()),
            active: workload.map(active).unwrap_or_default(),
            windows: BTreeMap::new(),
            right_until_ns: None,
            left: workload.and_then(|workload| left(workload, is_shared)),
        };
        let window_ns = (window.as_nanos() as u64).max(1);
        Self { abort: abort.clone(), window_ns, workloads: workloads.map(one).collect() }
    }

    /// Takes in a row of a window that is over.
    pub fn take(&mut self, row: &WindowRow) {
        let keeps_times = self.abort.response_p99.is_some();
        let horizon = 4 * self.abort.lasts.as_nanos() as u64 + 4 * self.window_ns;
        let Some(one) = self.workloads.get_mut(usize::from(row.workload)).filter(|_| row.step.is_none()) else { return };
        if let Some((phase, left)) = &mut one.left
            && *phase == row.phase
        {
            *left = left.saturating_sub(row.count);
        }
        let tally = one.windows.entry(row.start_ns).or_default();
        tally.passes += row.count;
        if row.outcome.is_error() {
            tally.errors += row.count;
        }
        if keeps_times && row.outcome.counts_in_times() && !row.response.is_empty() {
            tally.response.push(row.response.clone());
        }
        if row.outcome == vocabulary::Outcome::Ok {
            one.right_until_ns = one.right_until_ns.max(Some(row.start_ns + self.window_ns));
        }
        while let Some((oldest, _)) = one.windows.first_key_value()
            && *oldest + horizon < row.start_ns
        {
            one.windows.pop_first();
        }
    }

    /// Why the repetition is hopeless, if it is. `now_ns`: since the start of the load.
    pub fn hopeless(&self, now_ns: u64) -> Option<String> {
        self.workloads.iter().filter(|one| !one.active.is_empty()).find_map(|one| self.of_workload(one, now_ns))
    }

    fn of_workload(&self, one: &One, now_ns: u64) -> Option<String> {
        let name = &one.name;
        let lasts = human_duration(self.abort.lasts.as_nanos() as f64);
        if let Some(limit) = self.abort.errors
            && self.holds(one, now_ns, |tally| tally.errors as f64 > limit * tally.passes as f64)
        {
            let (passes, errors) = self.recent(one, now_ns).fold((0, 0), |sum, t| (sum.0 + t.passes, sum.1 + t.errors));
            return Some(format!(
                "{errors} of {passes} passes of `{name}` in the last {lasts} were not answered as expected, and in each window more than {}",
                percent(limit)
            ));
        }
        if let Some(limit) = self.abort.response_p99
            && self.holds(one, now_ns, |tally| tally.p99_ns().is_some_and(|ns| u128::from(ns) > limit.as_nanos()))
        {
            let limit = human_duration(limit.as_nanos() as f64);
            return Some(format!(
                "the 99th percentile of the response time of `{name}` was above {limit} in each window of the last {lasts}"
            ));
        }
        let limit = self.abort.silence.filter(|_| one.left.is_none_or(|(_, left)| left > 0))?;
        let (begun, _) = *one.active.iter().rev().find(|(start, end)| (*start..*end).contains(&now_ns))?;
        let silent_ns = now_ns.saturating_sub(one.right_until_ns.unwrap_or_default().max(begun));
        (u128::from(silent_ns) > limit.as_nanos()).then(|| {
            let (silent, limit) = (human_duration(silent_ns as f64), human_duration(limit.as_nanos() as f64));
            format!("no pass of `{name}` was answered as expected for {silent}, the bound is {limit}")
        })
    }

    /// The windows of the last stretch that is looked at, as far as passes ended in them.
    fn recent<'o>(&self, one: &'o One, now_ns: u64) -> impl Iterator<Item = &'o Tally> {
        self.stretch(one, now_ns).map(|(_, tally)| tally)
    }

    /// The same with their starts.
    fn stretch<'o>(&self, one: &'o One, now_ns: u64) -> impl Iterator<Item = (&'o u64, &'o Tally)> {
        let count = (self.abort.lasts.as_nanos() as u64).div_ceil(self.window_ns);
        let end = now_ns.saturating_sub(HANDED_OVER.as_nanos() as u64) / self.window_ns * self.window_ns;
        let begin = end.checked_sub(count * self.window_ns);
        let span = begin.map_or(0..0, |begin| begin..end);
        one.windows.range(span).filter(|(_, tally)| tally.passes > 0)
    }

    /// Whether something is so in each of these windows in which passes ended, and from the first to the last of them is at least half
    /// of the stretch: a server that hangs lets passes end in bursts, one time-out after the other.
    fn holds(&self, one: &One, now_ns: u64, is_so: impl Fn(&Tally) -> bool) -> bool {
        let starts = || self.stretch(one, now_ns).map(|(start, _)| *start);
        let (Some(first), Some(last)) = (starts().next(), starts().last()) else { return false };
        let covered = last + self.window_ns - first;
        first < last && u128::from(covered) * 2 >= self.abort.lasts.as_nanos() && self.recent(one, now_ns).all(is_so)
    }
}

impl Tally {
    fn p99_ns(&self) -> Option<u64> {
        let (mut sum, mut times) = (vec![0_u64; BUCKETS], 0);
        for bytes in &self.response {
            // The recorder tells of what is damaged.
            times += decode(bytes, |bucket, count| sum[bucket] += count).map_or(0, |extent| extent.total);
        }
        let (wanted, mut below) = ((times as f64 * 0.99).ceil() as u64, 0);
        let bucket = sum.iter().position(|count| {
            below += count;
            below >= wanted
        });
        bucket.filter(|_| times > 0).map(|bucket| longest(bucket as u32))
    }
}

/// The passes after which a load is over, where it ends with a number of them. Of a load that is shared, nobody here knows.
fn left(workload: &Workload, is_shared: bool) -> Option<(Phase, u64)> {
    let last = workload.load.segments.last()?;
    match last.length {
        Length::Amount(_) if is_shared => Some((last.phase, 0)),
        Length::Amount(amount) => Some((last.phase, amount)),
        Length::Duration(_) => None,
    }
}

/// When a workload sends. One that follows another has no time of its own.
fn active(workload: &Workload) -> Vec<(u64, u64)> {
    let (mut found, mut start) = (Vec::new(), 0);
    if workload.load.find.is_some() {
        // A search looks for what is hopeless.
        return found;
    }
    if workload.protocol().follows().is_some() {
        return vec![(u64::MAX, u64::MAX)];
    }
    for segment in &workload.load.segments {
        match segment.length {
            Length::Duration(length) => {
                let end = start + length.as_nanos() as u64;
                if segment.active {
                    found.push((start, end));
                }
                start = end;
            }
            // From here on, nobody knows when it ends.
            Length::Amount(_) => {
                found.push((start, u64::MAX));
                break;
            }
        }
    }
    // Where one stretch follows another, the silence goes on.
    found.dedup_by(|next, before| {
        next.0 == before.1 && {
            before.1 = next.1;
            true
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use load::windows::Windows;
    use vocabulary::Outcome;
    use vocabulary::rows::RequestRow;

    use super::*;

    const MS: u64 = 1_000_000;

    fn watch(abort: Abort) -> Watch {
        let active = vec![(0, 60_000 * MS)];
        let one = One { name: "clients".to_owned(), active, windows: BTreeMap::new(), right_until_ns: None, left: None };
        Watch { abort, window_ns: 500 * MS, workloads: vec![one] }
    }

    fn abort() -> Abort {
        Abort { errors: None, response_p99: None, silence: None, lasts: Duration::from_secs(2) }
    }

    /// A pass each 10 ms of some milliseconds' length, of which some fail.
    fn load(watch: &mut Watch, from_ms: u64, to_ms: u64, took_ms: u64, outcome: impl Fn(u64) -> Outcome) {
        let mut windows = Windows::new(0, 1, true, 500 * MS);
        let mut rows = Vec::new();
        for at_ms in (from_ms..to_ms).step_by(10) {
            let ended = RequestRow {
                step: Some(0),
                phase: Phase::During,
                completed_in: Phase::During,
                outcome: outcome(at_ms),
                intended_ns: (at_ms + 10_000 - took_ms) * MS,
                sent_ns: (at_ms + 10_000 - took_ms) * MS,
                completed_ns: (at_ms + 10_000) * MS,
                connect_ns: None,
                first_byte_ns: None,
                sent_bytes: 0,
                received_bytes: 0,
                key: None,
            };
            rows.extend(windows.record(&ended).unwrap_or_default());
        }
        rows.extend(windows.flush());
        for mut row in rows {
            row.start_ns -= 10_000 * MS;
            watch.take(&row);
        }
    }

    #[test]
    fn errors_must_last_in_every_window() {
        let mut watch = watch(Abort { errors: Some(0.2), ..abort() });
        let one_in = |n: u64| move |at: u64| if (at / 10).is_multiple_of(n) { Outcome::Status } else { Outcome::Ok };
        load(&mut watch, 0, 1000, 1, one_in(10));
        load(&mut watch, 1000, 2500, 1, one_in(2));
        assert_eq!(watch.hopeless(2600 * MS), None, "it has not lasted for two seconds");
        load(&mut watch, 2500, 3000, 1, one_in(2));
        assert_eq!(watch.hopeless(3099 * MS), None, "the last window may still be with the generator");
        let words = watch.hopeless(3100 * MS).unwrap();
        assert_eq!(
            words,
            "100 of 200 passes of `clients` in the last 2.00 s were not answered as expected, and in each window more than 20 %"
        );
        load(&mut watch, 3000, 3500, 1, one_in(10));
        assert_eq!(watch.hopeless(3600 * MS), None, "one good window is hope");
    }

    #[test]
    fn what_was_never_answered_in_half_of_the_windows_says_nothing_of_errors() {
        let mut watch = watch(Abort { errors: Some(0.2), ..abort() });
        load(&mut watch, 0, 500, 1, |_| Outcome::Status);
        assert_eq!(watch.hopeless(2100 * MS), None);
    }

    #[test]
    fn time_outs_in_bursts_are_hopeless_too() {
        let mut watch = watch(Abort { errors: Some(0.2), lasts: Duration::from_secs(4), ..abort() });
        load(&mut watch, 0, 500, 1, |_| Outcome::Ok);
        load(&mut watch, 3000, 3100, 1, |_| Outcome::Timeout);
        assert_eq!(watch.hopeless(3600 * MS), None);
        assert_eq!(watch.hopeless(4700 * MS), None, "one window says nothing");
        load(&mut watch, 6000, 6100, 1, |_| Outcome::Timeout);
        assert!(watch.hopeless(6600 * MS).is_some());
    }

    #[test]
    fn slow_answers_are_hopeless_by_their_99th_percentile() {
        let mut watch = watch(Abort { response_p99: Some(Duration::from_millis(100)), ..abort() });
        load(&mut watch, 0, 2000, 99, |_| Outcome::Ok);
        assert_eq!(watch.hopeless(2100 * MS), None);
        load(&mut watch, 2000, 4000, 120, |_| Outcome::Ok);
        assert!(watch.hopeless(4100 * MS).unwrap().contains("above 100 ms in each window of the last 2.00 s"));
    }

    #[test]
    fn silence_counts_from_the_last_right_answer_and_only_while_passes_are_due() {
        let mut watch = watch(Abort { silence: Some(Duration::from_secs(3)), ..abort() });
        assert_eq!(watch.hopeless(2900 * MS), None);
        assert!(watch.hopeless(3100 * MS).unwrap().starts_with("no pass of `clients` was answered as expected for 3.10 s"));
        load(&mut watch, 0, 3000, 1, |_| Outcome::Ok);
        load(&mut watch, 3000, 6200, 1, |_| Outcome::Status);
        assert_eq!(watch.hopeless(5900 * MS), None);
        assert!(watch.hopeless(6100 * MS).is_some());
        watch.workloads[0].active = vec![(0, 5000 * MS), (6000 * MS, 60_000 * MS)];
        assert_eq!(watch.hopeless(5500 * MS), None, "it pauses");
        assert_eq!(watch.hopeless(8900 * MS), None, "it has just begun again");
        assert!(watch.hopeless(9100 * MS).is_some());
        assert_eq!(watch.hopeless(70_000 * MS), None, "it is over");
        watch.workloads[0].left = Some((Phase::During, 100));
        assert!(watch.hopeless(9100 * MS).is_some());
        load(&mut watch, 0, 1000, 1, |_| Outcome::Ok);
        assert_eq!(watch.hopeless(9100 * MS), None, "all its passes are there");
    }
}
