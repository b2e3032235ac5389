//! Did a run settle, and when? Its windows are grouped into segments of one level, and the levels are compared.
//!
//! After Barrett, Bolz-Tereick, Killick, Mount & Tratt 2017, "Virtual Machine Warmup Blows Hot and Cold" (OOPSLA). Their
//! runs have 2000 iterations and ours a few tens of windows, so some parts are replaced: e-divisive, which is tested by
//! shuffling, finds the changes instead of PELT with its normal likelihood; outliers are found from running medians of 7
//! windows instead of quantiles of 200; the last quarter must be steady, like their last 500 of 2000.

use super::changepoints::e_divisive;
use super::descriptive::{mean, median, standard_deviation};
use super::sample::{SampleError, finite};

#[cfg(test)]
mod tests;

/// A quarter of 10 is 3 windows, the shortest segment. With 6, not even a jump half-way would be significant: shuffling
/// divides them equally well with a probability of 2 / C(6, 3) = 0.1; for 10 it is 2 / C(10, 5) = 0.008.
const FEWEST_WINDOWS: usize = 10;
/// Windows in a segment.
const SHORTEST_SEGMENT: usize = 3;
/// For each change; strict, since every false change may cost a run its steady state.
const SIGNIFICANCE: f64 = 0.02;
/// For each change when there are fewer than [`MANY_WINDOWS`]: a stricter level would be out of reach.
const SIGNIFICANCE_OF_FEW: f64 = 0.05;
/// From this many windows on, three different ones can be distinguished from chance at [`SIGNIFICANCE`].
const MANY_WINDOWS: usize = 20;
/// Few, since the second shuffle that does as well as the series ends the search: steady runs, which are the majority, are
/// cheap.
const PERMUTATIONS: usize = 99;
/// Windows on either side in a running median.
const REACH: usize = 3;
/// Distance of an outlier, in standard deviations estimated from the median distance. One normal value in 1.7 million is
/// beyond 5.
const FAR: f64 = 5.0;

/// How the speed of a run developed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// One level throughout.
    Flat,
    /// It settled, and nothing before was faster.
    WarmUp,
    /// It settled, but was faster at some time before.
    SlowDown,
    /// The last change came in the last quarter.
    NoSteadyState,
}

/// Which values mean faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// As with a throughput.
    Higher,
    /// As with a response time.
    Lower,
}

/// Consecutive windows of one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Its first window, from 0.
    pub from: usize,
    /// Mean of its windows in their unit, outliers replaced by the running median.
    pub mean: f64,
}

/// A series of windows, classified.
#[derive(Clone, Debug, PartialEq)]
pub struct Steadiness {
    /// How the run developed.
    pub class: Class,
    /// The first window of the steady state, from 0; `None` for [`Class::NoSteadyState`].
    pub steady_from: Option<usize>,
    /// At least one, in order; neighbours may have equivalent levels.
    pub segments: Vec<Segment>,
}

/// Whether and from when on a run is steady.
///
/// `series`: one value per window of equal length, in the order of time, at least 10. `tolerance`: levels that differ by
/// no more than this share of the last level are equivalent, such as 0.02; at least 0. So are, as in the paper, levels
/// that differ by no more than the spread within the last segment (its standard deviation, where the paper has the
/// variance in seconds). `seed`: for the shuffles of [`e_divisive`].
///
/// One or two windows that stand out do not count as a change, except at the very start: there, up to 3 windows that stand
/// out are a warm-up or a slow-down.
///
/// # Errors
/// [`SampleError::TooShort`] below 10 windows, [`SampleError::NotFinite`], [`SampleError::Effect`] for the tolerance.
pub fn classify(series: &[f64], better: Better, tolerance: f64, seed: u64) -> Result<Steadiness, SampleError> {
    finite(series, 0)?;
    if series.len() < FEWEST_WINDOWS {
        return Err(SampleError::TooShort { found: series.len(), needed: FEWEST_WINDOWS });
    }
    if !(tolerance.is_finite() && tolerance >= 0.0) {
        return Err(SampleError::Effect { what: "tolerance", value: tolerance });
    }
    let significance = if series.len() < MANY_WINDOWS { SIGNIFICANCE_OF_FEW } else { SIGNIFICANCE };
    let levels = Levels::of(series, SHORTEST_SEGMENT, significance, PERMUTATIONS, tolerance, seed)?;
    let last = levels.segments[levels.segments.len() - 1].mean;
    let steady_from = levels.steady_from;
    let class = if series.len() - steady_from < series.len().div_ceil(4) {
        Class::NoSteadyState
    } else if levels.segments.iter().all(|segment| levels.equivalent(segment)) {
        Class::Flat
    } else {
        let faster = |segment: &Segment| match better {
            Better::Higher => segment.mean > last,
            Better::Lower => segment.mean < last,
        };
        let slowed = levels.segments.iter().any(|segment| faster(segment) && !levels.equivalent(segment));
        if slowed { Class::SlowDown } else { Class::WarmUp }
    };
    let steady_from = match class {
        Class::NoSteadyState => None,
        Class::Flat => Some(0),
        Class::WarmUp | Class::SlowDown => Some(steady_from),
    };
    Ok(Steadiness { class, steady_from, segments: levels.segments })
}

/// How many of the first rounds of a series of repetitions differ from the rest; 0 when none do.
///
/// `series`: one value per round in the order of time, at most about 100. A first stretch of at most half the rounds counts
/// when it stands out as in [`classify`], or is a separate segment of two rounds or more, whose level differs from the last
/// by more than the spread there. `seed`: for the shuffles of [`e_divisive`].
///
/// 0 for fewer than 5 rounds, which leave no rest to differ from, and when a value is not finite.
pub fn warm_up_rounds(series: &[f64], seed: u64) -> usize {
    if finite(series, 5).is_err() {
        return 0;
    }
    match Levels::of(series, 2, 0.05, 199, 0.0, seed) {
        Ok(levels) if levels.steady_from <= series.len() / 2 => levels.steady_from,
        _ => 0,
    }
}

/// A series in segments, and which of them are equivalent to the last.
struct Levels {
    segments: Vec<Segment>,
    /// Start of the earliest segment from which on all are equivalent to the last.
    steady_from: usize,
    /// The largest difference between equivalent levels.
    allowed: f64,
}

impl Levels {
    fn of(
        series: &[f64],
        shortest: usize,
        significance: f64,
        permutations: usize,
        tolerance: f64,
        seed: u64,
    ) -> Result<Self, SampleError> {
        let start = first_apart(series, tolerance);
        let smooth = without_outliers(&series[start..], tolerance);
        let mut changes = e_divisive(&smooth, shortest, significance, permutations, seed)?;
        changes.insert(0, 0);
        let mut segments = Vec::with_capacity(changes.len() + 1);
        if start > 0 {
            segments.push(Segment { from: 0, mean: mean(&series[..start]) });
        }
        let ends = changes[1..].iter().copied().chain([smooth.len()]);
        segments
            .extend(changes.iter().zip(ends).map(|(&from, to)| Segment { from: start + from, mean: mean(&smooth[from..to]) }));
        let spread = standard_deviation(&smooth[changes[changes.len() - 1]..]);
        let last = segments[segments.len() - 1].mean;
        let allowed = (tolerance * last.abs()).max(spread);
        let steady_from = segments.iter().rev().take_while(|segment| (segment.mean - last).abs() <= allowed).last();
        let steady_from = steady_from.map_or(0, |segment| segment.from);
        Ok(Self { segments, steady_from, allowed })
    }

    fn equivalent(&self, segment: &Segment) -> bool {
        (segment.mean - self.segments[self.segments.len() - 1].mean).abs() <= self.allowed
    }
}

/// How many windows at the very start stand out from all others, on the same side: at most 3, or a third.
///
/// Shuffling cannot distinguish three windows from chance, and one or two would otherwise pass for outliers. When more than
/// that stand out, they are a separate level, and 0 leaves them to [`e_divisive`].
fn first_apart(series: &[f64], tolerance: f64) -> usize {
    let most = REACH.min(series.len() / 3);
    let rest = &series[most..];
    let centre = median(rest);
    let distances: Vec<f64> = rest.iter().map(|value| (value - centre).abs()).collect();
    // The fewer the others, the more often their spread is small by chance: of five normal windows, the first would stand
    // out in one series of nine.
    let caution = 1.0 + 4.0 / rest.len() as f64;
    let limit = (caution * FAR * spread_of(&distances)).max(tolerance * centre.abs());
    let side = if series[0] > centre { 1.0 } else { -1.0 };
    let count = series.iter().take_while(|&value| side * (value - centre) > limit).count();
    let least = series[..count].iter().map(|value| (value - centre).abs()).fold(f64::INFINITY, f64::min);
    // If the others are half-way there, except for one or two extreme ones, the level at the start lasted longer.
    let alike = series[count..].iter().filter(|&value| side * (value - centre) > least / 2.0).count();
    if count <= most && alike <= 2 { count } else { 0 }
}

/// Standard deviation of normal values with these distances from their centre.
fn spread_of(distances: &[f64]) -> f64 {
    median(distances) / 0.674_489_750_196_081_7
}

/// The series with outliers replaced by the median of the windows around them.
///
/// A level that lasts for at least [`REACH`] + 1 windows is the median around each of its own windows, and is kept.
fn without_outliers(series: &[f64], tolerance: f64) -> Vec<f64> {
    let mut space = Vec::with_capacity(2 * REACH + 1);
    let around: Vec<f64> = (0..series.len())
        .map(|at| {
            space.clear();
            space.extend_from_slice(&series[at.saturating_sub(REACH)..(at + REACH + 1).min(series.len())]);
            space.sort_unstable_by(f64::total_cmp);
            super::descriptive::quantile(&space, 0.5)
        })
        .collect();
    let distances: Vec<f64> = series.iter().zip(&around).map(|(value, around)| (value - around).abs()).collect();
    let far = FAR * spread_of(&distances);
    let replaced = |((&value, &around), &distance): ((&f64, &f64), &f64)| {
        if distance > far.max(tolerance * around.abs()) { around } else { value }
    };
    series.iter().zip(&around).zip(&distances).map(replaced).collect()
}
