//! Whether the load of a repetition was steady, and from when on.
//!
//! Both throughput and median response time are examined, window by window: a workload is steady when both are, from the
//! later of both on. Classes and method are those of Barrett et al. 2017 (see [`stats::classify`]).
//!
//! Only the phase `during` is examined, of workloads that should be steady at all: closed loops, and open loops at one rate.
//! Searches, ramps and steps change by design, and a command's passes are runs of a program.

use serde::{Deserialize, Serialize};

use super::stats::{self, Better, Class};
use super::windows::WindowPoint;
use record::Repetition;
use record::read::{CellRecord, WorkloadRecord};
use vocabulary::rows::FEWEST_WINDOWS;

/// Levels within this share of each other are one level: smaller differences seldom matter.
const TOLERANCE: f64 = 0.05;
/// Seed of the permutations.
const SEED: u64 = 1;

/// The repetitions of a workload in a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steadiness {
    /// Name of the workload.
    pub workload: String,
    /// Whether the windows before the steady state count as warm-up.
    pub auto_warm_up: bool,
    /// Each repetition that was completed, including those that do not count because of this.
    pub by_repetition: Vec<Steady>,
}

/// What the windows of a workload in a repetition show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steady {
    /// Number of the repetition.
    pub repetition: u32,
    /// Whether the windows show a steady state.
    pub state: State,
    /// Start of the steady state, since the start of the load.
    pub steady_from_ns: Option<u64>,
    /// Start of the first phase, warm-up included, since the start of the load: connections have to be made first.
    #[serde(skip)]
    pub begun_ns: u64,
    /// Whole windows of the measurement.
    pub windows: usize,
    /// Whether something was broken on purpose by then: a change is no surprise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disturbed: bool,
}

/// The state of a series of windows; the worse state is the greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// One level from start to end.
    Steady,
    /// It became faster, then steady.
    WarmingUp,
    /// It became slower, then steady.
    SlowingDown,
    /// It kept changing until the end.
    NoSteadyState,
    /// Too few windows to decide.
    TooShort,
}

impl State {
    /// The state as shown in reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::WarmingUp => "warming up",
            Self::SlowingDown => "slowing down",
            Self::NoSteadyState => "no steady state",
            Self::TooShort => "not testable",
        }
    }
}

impl Steadiness {
    /// What is not steady, in words; none if everything is steady, or cannot be tested.
    pub fn warning(&self) -> Option<String> {
        let count = |state| self.by_repetition.iter().filter(|s| s.state == state && !s.disturbed).count();
        let told = self.by_repetition.iter().filter(|s| s.state != State::TooShort && !s.disturbed).count();
        let odd = [State::WarmingUp, State::SlowingDown, State::NoSteadyState].map(|state| (state, count(state)));
        // By chance, one repetition in twenty is called unsteady.
        let steady_enough = odd.iter().map(|(_, n)| n).sum::<usize>() * 5 <= told;
        if steady_enough {
            return None;
        }
        let repetitions = if told == 1 { "repetition" } else { "repetitions" };
        let shown = odd.iter().filter(|(_, n)| *n > 0).enumerate();
        let words: Vec<String> = shown
            .map(|(at, (state, n))| match at {
                0 => format!("{} in {n} of {told} {repetitions}", state.words()),
                _ => format!("{} in {n}", state.words()),
            })
            .collect();
        let begins: Vec<f64> = self
            .by_repetition
            .iter()
            .filter(|s| matches!(s.state, State::WarmingUp | State::SlowingDown) && !s.disturbed)
            .filter_map(|s| s.steady_from_ns.map(|ns| ns.saturating_sub(s.begun_ns) as f64))
            .collect();
        let from = if begins.is_empty() {
            String::new()
        } else {
            // A warm-up is part of the time that is counted: it should last this long.
            let from = vocabulary::units::human_duration(stats::median(&begins));
            let which = if count(State::NoSteadyState) > 0 { "the others are " } else { "" };
            format!("; {which}steady from {from} on (counted from the first request, warm-up included)")
        };
        Some(format!("{}: {}{from}", self.workload, words.join(", ")))
    }
}

/// The workloads that should be steady: `all` of them, or only those whose warm-up ends by itself.
pub(super) fn looked_at(cell: &CellRecord, all: bool) -> Vec<&str> {
    let mine = cell.workloads.iter().filter(|w| should_be_steady(w) && (all || w.is_warmed_up_by_itself()));
    mine.map(|w| w.name.as_str()).collect()
}

/// Examines a workload in a repetition, whose passes that ended in `during` are `points`; none if it had no such phase.
pub(super) fn of_repetition(repetition: &Repetition, workload: &str, points: &[WindowPoint], window_ns: u64) -> Option<Steady> {
    let during = repetition.status.phases.iter().find(|p| p.workload == workload && p.phase == "during")?;
    // The windows that are completely in the phase.
    let first = during.start_ns.div_ceil(window_ns);
    let count = (during.end_ns / window_ns).saturating_sub(first) as usize;
    let mine = repetition.status.phases.iter().filter(|p| p.workload == workload);
    let mut steady = Steady {
        repetition: repetition.status.repetition,
        state: State::TooShort,
        steady_from_ns: None,
        begun_ns: mine.map(|p| p.start_ns).min().unwrap_or_default(),
        windows: count,
        disturbed: repetition.status.faults.iter().any(|fault| fault.begun_ns.is_some_and(|at| at < during.end_ns)),
    };
    if count >= FEWEST_WINDOWS as usize {
        let (state, from) = classify(points, first * window_ns, count, window_ns);
        steady.state = state;
        steady.steady_from_ns = from.map(|window| match window {
            // What is before the first whole window is as steady as that window.
            0 => during.start_ns,
            window => (first + window as u64) * window_ns,
        });
    }
    Some(steady)
}

fn should_be_steady(workload: &WorkloadRecord) -> bool {
    !workload.is_program && workload.load.as_ref().is_none_or(|load| load.is_stationary())
}

/// State and first steady window of `count` windows from `start_ns` on.
fn classify(points: &[WindowPoint], start_ns: u64, count: usize, window_ns: u64) -> (State, Option<usize>) {
    // A window without a pass has no row.
    let mut whole: Vec<Option<&WindowPoint>> = vec![None; count];
    for point in points.iter().filter(|p| p.start_ns >= start_ns) {
        if let Some(place) = whole.get_mut(((point.start_ns - start_ns) / window_ns) as usize) {
            *place = Some(point);
        }
    }
    let throughput: Vec<f64> = whole.iter().map(|p| p.map_or(0.0, |p| p.ok as f64)).collect();
    let response: Option<Vec<f64>> = whole.iter().map(|p| p.and_then(|p| p.median_ns).map(|ns| ns as f64)).collect();
    let mut worst = (State::Steady, Some(0));
    for (series, better) in [(Some(throughput), Better::Higher), (response, Better::Lower)] {
        let Some(series) = series else { continue };
        let Ok(found) = stats::classify(&series, better, TOLERANCE, SEED) else { continue };
        let steady_from = found.steady_from.filter(|from| !moves_on(&series[*from..]));
        let state = match found.class {
            _ if steady_from.is_none() => State::NoSteadyState,
            Class::Flat => State::Steady,
            Class::WarmUp => State::WarmingUp,
            Class::SlowDown => State::SlowingDown,
            Class::NoSteadyState => State::NoSteadyState,
        };
        let from = worst.1.zip(steady_from).map(|(a, b)| a.max(b));
        worst = (worst.0.max(state), from);
    }
    worst
}

/// Whether a series without steps nevertheless rises or falls by more than the tolerance: a ramp has no changepoint.
fn moves_on(series: &[f64]) -> bool {
    let moved = stats::theil_sen(series) * (series.len() - 1) as f64;
    let far = moved.abs() > TOLERANCE * stats::median(series).abs();
    far && stats::kendall(series).is_ok_and(|trend| trend.p < 0.01)
}

/// Why a repetition does not count: `required` by the limits, or needed for the warm-up.
pub(super) fn reasons(found: &[(String, Steady)], cell: &CellRecord, required: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    for (workload, steady) in found {
        if !cell.is_warmed_up_by_itself(workload) && !required {
            continue;
        }
        match steady.state {
            State::NoSteadyState => reasons.push(format!("`{workload}` had no steady state: it kept changing until the end")),
            State::TooShort => reasons.push(format!(
                "whether `{workload}` was steady is not testable: it had {} whole windows, expected at least {FEWEST_WINDOWS}",
                steady.windows
            )),
            _ => {}
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(ok: impl Iterator<Item = u64>) -> Vec<WindowPoint> {
        ok.enumerate()
            .filter(|(_, ok)| *ok > 0)
            .map(|(i, ok)| WindowPoint { start_ns: 500 * i as u64, requests: ok, ok, median_ns: Some(1_000_000_000 / ok) })
            .collect()
    }

    #[test]
    fn a_cold_begin_is_found_in_both_series() {
        let noise = |i: u64| (i * 7919) % 13;
        let cold = points((0..30).map(|i| if i < 5 { 400 + 20 * noise(i) / 13 } else { 1000 + noise(i) }));
        assert_eq!(classify(&cold, 0, 30, 500), (State::WarmingUp, Some(5)));
        let flat = points((0..30).map(|i| 1000 + noise(i)));
        assert_eq!(classify(&flat, 0, 30, 500), (State::Steady, Some(0)));
        let slowing = points((0..30).map(|i| if i < 8 { 1500 + noise(i) } else { 1000 + noise(i) }));
        assert_eq!(classify(&slowing, 0, 30, 500), (State::SlowingDown, Some(8)));
        let never = points((0..30).map(|i| 1000 + 100 * i + noise(i)));
        assert_eq!(classify(&never, 0, 30, 500), (State::NoSteadyState, None));
    }

    #[test]
    fn windows_without_a_pass_are_windows() {
        let dead = points((0..30).map(|i| if i < 20 { 1000 + i % 3 } else { 0 }));
        assert_eq!(classify(&dead, 0, 30, 500), (State::SlowingDown, Some(20)));
    }

    #[test]
    fn since_when_it_was_steady_counts_from_the_first_request() {
        let steady = |repetition, seconds: u64| Steady {
            repetition,
            state: State::WarmingUp,
            steady_from_ns: Some(seconds * 1_000_000_000),
            begun_ns: 0,
            windows: 20,
            disturbed: false,
        };
        let steadiness =
            Steadiness { workload: "easy".to_owned(), auto_warm_up: false, by_repetition: vec![steady(1, 2), steady(2, 4)] };
        assert_eq!(
            steadiness.warning().as_deref(),
            Some(
                "easy: warming up in 2 of 2 repetitions; steady from 3.00 s on (counted from the first request, warm-up included)"
            )
        );
        let disturbed = |steady: &Steady| Steady { disturbed: true, ..*steady };
        let by_repetition = steadiness.by_repetition.iter().map(disturbed).collect();
        assert_eq!(Steadiness { by_repetition, ..steadiness }.warning(), None);
    }
}
