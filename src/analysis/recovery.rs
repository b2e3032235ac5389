//! The recovery time of faults: how long after a fault the load was again as before it.
//!
//! Definition. *Before* are the whole windows of the last 10 s before the fault, without the warm-up and without the recovery of
//! earlier faults; at least four. A window is *within the band* if
//!
//! - its rate of right answers is at least (1 − band) of the median window before,
//! - its 99th percentile of the response time is at most (1 + band) of the median window before,
//! - its share of wrong answers is at most that of the median window before, or 1 % where that is more.
//!
//! Where the windows before varied more than the band, each limit is instead 3.5 robust standard deviations from their median
//! (1.4826 times the median absolute deviation; Iglewicz & Hoaglin 1993), times on a logarithmic scale. Medians do not move because of one
//! hiccup before the fault, as a mean or an extreme would. However much the rate varied, a window with less than 40 % of a median of 20
//! passes or more is outside, and so is one without any where the median is 5 or more.
//!
//! The load has *recovered* at the start of the first stretch of windows, from the one that contains the fault on, that are within the
//! band and together at least `hold` long. The recovery time is 0 if that stretch starts with the window of the fault and is all within
//! the band; otherwise it ends with a window outside of the band: it is too long by less than a window.
//!
//! Busy machines delay a few requests now and then, and of many short windows one is hit. In a stretch after a disturbance, a single
//! window that is outside only by its response times is therefore passed over if the three before it are within, and it is, on a
//! logarithmic scale, nearer to what was usual than to the slowest window of the disturbance, or no slower than the slowest one before.
//!
//! A load that had not recovered when it ended, or when the next fault began, has a lower bound instead, the time until then, and is
//! told apart. Where too few windows lie between two faults, the second is compared with what was before the first.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::measured::Measured;
use super::stats;
use super::windows::PassPoint;
use record::status::{FaultStatus, PhaseStatus};
use record::tables::column;
use vocabulary::Phase;
use vocabulary::metric::{NOT_RECOVERED, RECOVERY};
use vocabulary::rows::FEWEST_BEFORE_FAULT;

/// How long before a fault is looked at.
const BEFORE_NS: u64 = 10_000_000_000;
/// Fewer wrong answers are no disturbance.
const WRONG: f64 = 0.01;
/// A single slow window is passed over after this many that are within the band.
const PASSED_OVER_AFTER: u64 = 3;

/// How many robust standard deviations are usual.
const DEVIATIONS: f64 = 3.5;
/// A percentile that is exactly at its limit is within.
const ROUNDING: f64 = 1e-9;

/// What windows before a fault had in common.
struct Usual {
    median: f64,
    /// How far from it was usual.
    spread: f64,
}

impl Usual {
    /// Of at least one value.
    fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let median = stats::median(values);
        let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        // 1.4826: the deviation of normally distributed values.
        Some(Self { median, spread: DEVIATIONS * 1.4826 * stats::median(&distances) })
    }
}

/// What is an outage, however much the rate varied before: few passes in a window say little, and none at all says something where five
/// were usual.
fn least_of(median: f64) -> f64 {
    match median {
        20.0.. => 0.4 * median,
        5.0.. => 1.0,
        _ => 0.0,
    }
}

/// Where a window lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the band.
    Within,
    /// Outside of it only by its response times.
    Slow,
    /// Outside of it by its rate, or by wrong answers.
    Outside,
}

/// How a fault is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Criteria {
    /// When the fault began.
    pub at_ns: u64,
    /// What counts as before: from here until there.
    pub before_ns: (u64, u64),
    /// The end of the load, or the next fault.
    pub end_ns: u64,
    /// The length of a window.
    pub window_ns: u64,
    /// How far rate and times may be from those before, as a share.
    pub band: f64,
    /// How long they must be there.
    pub hold_ns: u64,
}

/// How long it took until the load was as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// This long.
    After(u64),
    /// It was not as before when it ended, this long after the fault.
    Not(u64),
}

impl Recovery {
    /// The time, or the lower bound of it.
    pub fn ns(self) -> u64 {
        match self {
            Self::After(ns) | Self::Not(ns) => ns,
        }
    }
}

/// The recovery of one workload from one fault. `points`: ascending; windows without a pass may be missing. `None` if too few windows
/// before the fault say what was usual.
pub fn recovery(points: &[PassPoint], criteria: &Criteria) -> Option<Recovery> {
    let Criteria { at_ns, before_ns, end_ns, window_ns, band, hold_ns } = *criteria;
    let window_ns = window_ns.max(1);
    let at = |number: u64| {
        let start_ns = number * window_ns;
        let found = points.binary_search_by_key(&start_ns, |point| point.start_ns);
        found.map_or(PassPoint { start_ns, ..PassPoint::default() }, |at| points[at])
    };
    let (hit, end) = (at_ns / window_ns, end_ns / window_ns);
    let before: Vec<PassPoint> = whole_windows(before_ns, window_ns).map(at).collect();
    if before.len() < FEWEST_BEFORE_FAULT as usize {
        return None;
    }
    let rates: Vec<f64> = before.iter().map(|point| point.right as f64).collect();
    let wrong: Vec<f64> = before.iter().map(PassPoint::wrong).collect();
    // On a logarithmic scale.
    let times: Vec<f64> = before.iter().filter_map(|point| point.p99_ns).map(|ns| (ns.max(1) as f64).ln()).collect();
    let (Some(rate), Some(time), Some(wrong)) = (Usual::of(&rates), Usual::of(&times), Usual::of(&wrong)) else { return None };
    let least_rate = (rate.median * (1.0 - band)).min((rate.median - rate.spread).max(least_of(rate.median)));
    let most_time = time.median + (1.0 + band).ln().max(time.spread);
    let most_wrong = WRONG.max(wrong.median + wrong.spread);
    let slowest_before = times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_time = |number: u64| at(number).p99_ns.map(|ns| (ns.max(1) as f64).ln());
    let state = |number: u64| {
        let point = at(number);
        if (point.right as f64) < least_rate || point.wrong() > most_wrong {
            State::Outside
        } else if log_time(number).is_some_and(|time| time > most_time + ROUNDING) {
            State::Slow
        } else {
            State::Within
        }
    };
    let needed = hold_ns.div_ceil(window_ns).max(1);
    // `bearable`: up to which time a single window is passed over.
    let is_held = |since: u64, bearable: f64| {
        let mut within = 0;
        since + needed <= end
            && (since..since + needed).all(|number| {
                let state = state(number);
                let is_passed_over =
                    state == State::Slow && within >= PASSED_OVER_AFTER && log_time(number).is_some_and(|time| time <= bearable);
                within = if state == State::Within { within + 1 } else { 0 };
                state == State::Within || is_passed_over
            })
    };
    if is_held(hit, f64::NEG_INFINITY) {
        return Some(Recovery::After(0));
    }
    let mut slowest = f64::NEG_INFINITY;
    let held = (hit..end).find_map(|number| {
        slowest = slowest.max(log_time(number).unwrap_or(f64::NEG_INFINITY));
        let bearable = slowest_before.max(f64::midpoint(time.median, slowest));
        (state(number) != State::Within && is_held(number + 1, bearable)).then_some(number + 1)
    });
    Some(held.map_or(Recovery::Not(end_ns.saturating_sub(at_ns)), |since| Recovery::After(since * window_ns - at_ns)))
}

/// The numbers of the windows that are whole within a stretch.
fn whole_windows((from_ns, to_ns): (u64, u64), window_ns: u64) -> std::ops::Range<u64> {
    from_ns.div_ceil(window_ns)..to_ns / window_ns
}

/// The recovery of the workloads that a fault is judged by: that of the last. `usual`: what counted as before for the fault before
/// this one; `next_ns`: when the next fault began.
fn of_fault<'p>(
    points: impl Iterator<Item = (&'p str, &'p [PassPoint])>,
    fault: &FaultStatus,
    phases: &[PhaseStatus],
    (from_ns, window_ns): (u64, u64),
    (usual, next_ns): (&mut Option<(u64, u64)>, Option<u64>),
) -> Option<Recovery> {
    let at_ns = fault.begun_ns?;
    let earlier = *usual;
    let mut worst: Option<Recovery> = None;
    for (workload, points) in points.filter(|(name, _)| fault.of.as_deref().is_none_or(|of| of == *name)) {
        let mine = || phases.iter().filter(|p| p.workload == *workload && p.phase != Phase::Drain.name());
        let end_ns = mine().map(|p| p.planned_ns.map_or(p.end_ns, |planned| p.start_ns + planned)).max()?;
        let warm_ns = mine().filter(|p| p.phase != Phase::WarmUp.name()).map(|p| p.start_ns).min().unwrap_or_default();
        let from_ns = from_ns.max(if warm_ns < at_ns { warm_ns } else { 0 }).max(at_ns.saturating_sub(BEFORE_NS));
        let mut before_ns = (from_ns, at_ns);
        if whole_windows(before_ns, window_ns.max(1)).count() < FEWEST_BEFORE_FAULT as usize {
            // The load has hardly been as usual since the fault before.
            before_ns = earlier.unwrap_or(before_ns);
        }
        *usual = Some(before_ns);
        let end_ns = next_ns.map_or(end_ns, |next_ns| end_ns.min(next_ns));
        let criteria = Criteria { at_ns, before_ns, end_ns, window_ns, band: fault.band, hold_ns: fault.hold_ns };
        let Some(found) = recovery(points, &criteria) else { continue };
        worst = Some(match (worst, found) {
            (Some(Recovery::Not(a)), other) => Recovery::Not(a.max(other.ns())),
            (Some(Recovery::After(a)), Recovery::After(b)) => Recovery::After(a.max(b)),
            (Some(Recovery::After(a)), Recovery::Not(b)) => Recovery::Not(a.max(b)),
            (None, found) => found,
        });
    }
    worst
}

/// A row for each fault of each repetition and metric, if somebody wants them: `repetition`, `workload` (the fault), `phase`, `metric`, `value`.
///
/// # Errors
/// When polars cannot compute it.
pub(super) fn figures(measured: &Measured<'_>, is_wanted: bool) -> PolarsResult<DataFrame> {
    let mut rows: Vec<(u32, &str, &str, &str, f64)> = Vec::new();
    let any = is_wanted && measured.repetitions.iter().any(|r| !r.status.faults.is_empty());
    let workloads: Vec<&str> = measured.cell.workloads.iter().map(|w| w.name.as_str()).collect();
    let series = if any { measured.windows.points(&workloads)? } else { BTreeMap::new() };
    for repetition in measured.repetitions.iter().filter(|_| any) {
        let number = repetition.status.repetition;
        let phases = measured.phases.get(&number).map_or(&[] as &[_], Vec::as_slice);
        let (mut from_ns, mut usual) = (0, None);
        for (place, fault) in repetition.status.faults.iter().enumerate() {
            let points = workloads.iter().filter_map(|name| {
                let points = series.get(&(number, (*name).to_owned()))?.as_ref().ok()?;
                Some((*name, points.as_slice()))
            });
            let Some(at_ns) = fault.begun_ns else { continue };
            let next_ns = repetition.status.faults[place + 1..].iter().filter_map(|next| next.begun_ns).min();
            let found = of_fault(points, fault, phases, (from_ns, measured.window_ns), (&mut usual, next_ns));
            // The next fault is compared with what comes after this one.
            from_ns = from_ns.max(at_ns + found.map_or(0, Recovery::ns)).max(fault.ended_ns.unwrap_or_default());
            let Some(found) = found else { continue };
            let is_in = |p: &&PhaseStatus| p.phase != Phase::Drain.name() && p.start_ns <= at_ns;
            let phase = phases.iter().filter(is_in).max_by_key(|p| p.start_ns).map_or(Phase::During.name(), |p| p.phase.as_str());
            rows.push((number, &fault.fault, phase, RECOVERY, found.ns() as f64 / 1e9));
            let share = if matches!(found, Recovery::Not(_)) { 100.0 } else { 0.0 };
            rows.push((number, &fault.fault, phase, NOT_RECOVERED, share));
        }
    }
    DataFrame::new(
        rows.len(),
        vec![
            column("repetition", rows.iter().map(|row| row.0).collect::<Vec<u32>>()),
            column("workload", rows.iter().map(|row| row.1).collect::<Vec<&str>>()),
            column("phase", rows.iter().map(|row| row.2).collect::<Vec<&str>>()),
            column("metric", rows.iter().map(|row| row.3).collect::<Vec<&str>>()),
            column("value", rows.iter().map(|row| row.4).collect::<Vec<f64>>()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    /// Windows of 500 ms: right answers, wrong ones, and the 99th percentile in milliseconds.
    fn points(windows: &[(u64, u64, u64)]) -> Vec<PassPoint> {
        let of = |(at, (right, wrong, ms)): (usize, &(u64, u64, u64))| PassPoint {
            start_ns: at as u64 * 500 * MS,
            passes: right + wrong,
            right: *right,
            p99_ns: (*right > 0).then_some(ms * MS),
        };
        windows.iter().enumerate().map(of).filter(|point| point.passes > 0).collect()
    }

    fn criteria(at_ms: u64, windows: usize) -> Criteria {
        let end_ns = windows as u64 * 500 * MS;
        let at_ns = at_ms * MS;
        Criteria {
            at_ns,
            before_ns: (at_ns.saturating_sub(BEFORE_NS), at_ns),
            end_ns,
            window_ns: 500 * MS,
            band: 0.2,
            hold_ns: 1000 * MS,
        }
    }

    fn judged(at_ms: u64, windows: &[(u64, u64, u64)]) -> Option<Recovery> {
        recovery(&points(windows), &criteria(at_ms, windows.len()))
    }

    const GOOD: (u64, u64, u64) = (100, 0, 10);

    #[test]
    fn an_outage_lasts_until_the_end_of_its_last_bad_window() {
        let mut windows = [GOOD; 20];
        windows[8..11].fill((0, 0, 0));
        // The fault at 4.2 s; the last bad window ends at 5.5 s.
        assert_eq!(judged(4200, &windows), Some(Recovery::After(1300 * MS)));
        assert_eq!(judged(4000, &windows), Some(Recovery::After(1500 * MS)));
    }

    #[test]
    fn a_fault_that_nobody_notices_takes_no_time() {
        assert_eq!(judged(4200, &[GOOD; 20]), Some(Recovery::After(0)));
    }

    #[test]
    fn one_good_window_is_not_yet_a_recovery() {
        let mut windows = [GOOD; 20];
        windows[8] = (10, 0, 10);
        windows[10] = (10, 0, 10);
        assert_eq!(judged(4000, &windows), Some(Recovery::After(1500 * MS)));
    }

    #[test]
    fn a_single_slow_window_is_passed_over_when_the_load_was_as_before_already() {
        let slow = (100, 0, 30);
        let held = |slow_at: &[usize]| {
            let mut windows = [GOOD; 30];
            windows[8] = (50, 0, 500);
            slow_at.iter().for_each(|at| windows[*at] = slow);
            recovery(&points(&windows), &Criteria { hold_ns: 4000 * MS, ..criteria(4000, 30) })
        };
        assert_eq!(held(&[12]), Some(Recovery::After(500 * MS)));
        assert_eq!(held(&[12, 16]), Some(Recovery::After(500 * MS)));
        assert_eq!(held(&[11]), Some(Recovery::After(2000 * MS)), "two windows are not yet a recovery");
        assert_eq!(held(&[12, 13]), Some(Recovery::After(3000 * MS)), "two in a row are not single");
        let mut windows = [GOOD; 30];
        windows[10] = slow;
        assert_eq!(judged(4000, &windows), Some(Recovery::After(0)), "the stretch from the fault on is long enough");
        windows[10] = GOOD;
        windows[9] = slow;
        assert_eq!(judged(4000, &windows), Some(Recovery::After(1000 * MS)), "what follows the fault directly may be of it");
    }

    #[test]
    fn slow_and_wrong_answers_are_disturbances_too() {
        let mut slow = [GOOD; 20];
        slow[8..12].fill((100, 0, 13));
        assert_eq!(judged(4000, &slow), Some(Recovery::After(2000 * MS)));
        slow[8..12].fill((100, 0, 12));
        assert_eq!(judged(4000, &slow), Some(Recovery::After(0)), "within the band");
        let mut wrong = [GOOD; 20];
        // A closed loop may even have more right answers while others fail quickly.
        wrong[8..12].fill((110, 5, 10));
        assert_eq!(judged(4000, &wrong), Some(Recovery::After(2000 * MS)));
    }

    #[test]
    fn what_never_recovers_has_a_lower_bound() {
        let mut windows = [GOOD; 20];
        windows[8..].fill((50, 0, 10));
        assert_eq!(judged(4200, &windows), Some(Recovery::Not(5800 * MS)));
        windows[19] = GOOD;
        assert_eq!(judged(4200, &windows), Some(Recovery::Not(5800 * MS)), "the last window alone does not hold");
        windows[18] = GOOD;
        assert_eq!(judged(4200, &windows), Some(Recovery::After(4800 * MS)));
    }

    #[test]
    fn a_noisy_load_has_a_wider_band() {
        let mut windows = [GOOD; 20];
        [1, 3, 5, 7].into_iter().for_each(|at| windows[at] = (80, 0, 14));
        windows[8..12].fill((75, 0, 15));
        assert_eq!(judged(4000, &windows), Some(Recovery::After(0)), "it was so before, too");
    }

    #[test]
    fn however_noisy_a_load_is_an_outage_is_one() {
        let mut windows = [GOOD; 20];
        [0, 2, 4, 6].into_iter().for_each(|at| windows[at] = (20, 0, 90));
        windows[8..10].fill((0, 0, 0));
        assert_eq!(judged(4000, &windows), Some(Recovery::After(1000 * MS)));
        let few = windows.map(|(right, wrong, ms)| (right / 10, wrong, ms));
        assert_eq!(judged(4000, &few), Some(Recovery::After(1000 * MS)));
    }

    #[test]
    fn one_hiccup_before_does_not_hide_an_outage() {
        let mut windows = [GOOD; 20];
        (windows[2], windows[5]) = ((0, 0, 0), (0, 100, 900));
        windows[8..10].fill((0, 0, 0));
        assert_eq!(judged(4000, &windows), Some(Recovery::After(1000 * MS)));
    }

    #[test]
    fn what_is_as_slow_as_the_disturbance_belongs_to_it() {
        let mut windows = [GOOD; 30];
        windows[8] = (50, 0, 500);
        windows[13] = (100, 0, 400);
        let judged =
            |windows: &[(u64, u64, u64)]| recovery(&points(windows), &Criteria { hold_ns: 4000 * MS, ..criteria(4000, 30) });
        assert_eq!(judged(&windows), Some(Recovery::After(3000 * MS)));
        windows[13] = (100, 0, 40);
        assert_eq!(judged(&windows), Some(Recovery::After(500 * MS)));
    }

    #[test]
    fn without_enough_windows_before_there_is_no_answer() {
        assert_eq!(judged(1900, &[GOOD; 20]), None);
        assert_eq!(judged(2000, &[GOOD; 20]), Some(Recovery::After(0)));
        assert_eq!(recovery(&points(&[GOOD; 20]), &Criteria { before_ns: (2500 * MS, 4000 * MS), ..criteria(4000, 20) }), None);
        assert_eq!(judged(4000, &[(0, 0, 0); 20]), None);
    }

    #[test]
    fn only_the_last_ten_seconds_before_count() {
        let mut windows = vec![(200, 0, 10); 20];
        windows.extend([GOOD; 60]);
        // By 25 s, twenty windows of the slower load were before.
        assert_eq!(judged(25_000, &windows), Some(Recovery::After(0)));
    }

    #[test]
    fn of_several_workloads_the_last_one_counts() {
        let (good, mut bad) = ([GOOD; 20], [GOOD; 20]);
        bad[8..10].fill((0, 0, 0));
        let (one, other) = (points(&good), points(&bad));
        let fault = |of: Option<&str>| FaultStatus {
            fault: "kill-db".to_owned(),
            words: String::new(),
            at_ns: 4000 * MS,
            begun_ns: Some(4000 * MS),
            ended_ns: None,
            of: of.map(str::to_owned),
            band: 0.2,
            hold_ns: 1000 * MS,
        };
        let phase = |workload: &str| PhaseStatus {
            workload: workload.to_owned(),
            phase: "during".to_owned(),
            end_ns: 10_000 * MS,
            planned_ns: Some(10_000 * MS),
            ..PhaseStatus::default()
        };
        let phases = [phase("a"), phase("b")];
        let of =
            |name| of_fault([("a", &*one), ("b", &*other)].into_iter(), &fault(name), &phases, (0, 500 * MS), (&mut None, None));
        assert_eq!(of(None), Some(Recovery::After(1000 * MS)));
        assert_eq!(of(Some("a")), Some(Recovery::After(0)));
        // A next fault ends what can be known of this one, and is compared with what was usual before both.
        let judge = |from_ns: u64, usual: &mut Option<(u64, u64)>, next_ns: Option<u64>| {
            of_fault([("b", &*other)].into_iter(), &fault(None), &phases, (from_ns, 500 * MS), (usual, next_ns))
        };
        let mut usual = None;
        assert_eq!(judge(0, &mut usual, Some(5500 * MS)), Some(Recovery::Not(1500 * MS)));
        assert_eq!(usual, Some((0, 4000 * MS)));
        assert_eq!(judge(3900 * MS, &mut usual, None), Some(Recovery::After(1000 * MS)));
        assert_eq!(judge(3900 * MS, &mut None, None), None);
    }

    proptest! {
        #[test]
        fn a_recovery_is_within_the_load_and_a_longer_hold_never_shortens_it(
            windows in proptest::collection::vec((0..120_u64, 0..3_u64, 1..30_u64), 12..60), at_ms in 2000..5900_u64, hold in 1..5_u64,
        ) {
            let of = |hold: u64| {
                let criteria = Criteria { hold_ns: hold * 500 * MS, ..criteria(at_ms, windows.len()) };
                recovery(&points(&windows), &criteria)
            };
            if let (Some(short), Some(long)) = (of(hold), of(hold + 1)) {
                let end_ns = windows.len() as u64 * 500 * MS;
                prop_assert!(short.ns() <= end_ns - at_ms * MS);
                prop_assert!(short.ns() <= long.ns());
            }
        }
    }
}
