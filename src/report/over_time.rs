//! A cell over the time of its repetitions, and the distribution of its response times: reduced to what a small picture shows,
//! and with few digits.

use analysis::curves::{self, Line, LinePart};
use analysis::summary::{CellSummary, StepSummary};
use record::tables::WHOLE;
use record::{Repetition, RunRecord};
use vocabulary::{Metric, Quantile, Time};

use crate::view::{Number, OverTime};

/// A line has at most so many points; of longer ones each is one of several.
const POINTS: usize = 240;
/// All lines of a part together have about so many: where there are many repetitions, no picture shows more of each.
const POINTS_OF_ALL: usize = 4800;
/// But not fewer than this.
const FEWEST_POINTS: usize = 24;
/// A curve of quantiles has this many points for each further nine.
const PER_NINE: f64 = 24.0;

/// Metrics over time, for each workload and each target that is watched. `repetitions`: of this cell, in the order of the view.
pub fn over_time(run: &RunRecord, index: usize, cell: &CellSummary, repetitions: &[&Repetition]) -> Vec<OverTime> {
    let window_s = run.plan.window.as_secs_f64();
    let most = (POINTS_OF_ALL / repetitions.len().max(1)).clamp(FEWEST_POINTS, POINTS);
    let of = |parts: &[(String, LinePart)], metrics: &[Metric], of_targets: bool| -> Vec<OverTime> {
        let asked: Vec<LinePart> = parts.iter().map(|(_, part)| part.clone()).collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let found = curves::lines_of_each(&run.plan.cells[index], repetitions, &asked, metrics, window_s);
        let of_metric = |(metric, lines): (&Metric, Vec<Vec<Line>>)| {
            let (unit, scale) = metric.axis();
            let steps = *metric == Metric::Cpu;
            let line =
                |part: usize, lines: &Vec<Line>| lines.get(part).map_or_else(Vec::new, |line| packed(line, scale, steps, most));
            let part = |(at, (name, _)): (usize, &(String, LinePart))| {
                (name.clone(), lines.iter().map(|lines| line(at, lines)).collect::<Vec<_>>())
            };
            let parts: Vec<_> = parts.iter().enumerate().map(part).collect();
            OverTime { name: metric.words(), unit: unit.to_owned(), of_targets, steps, parts }
        };
        let there = |over: &OverTime| over.parts.iter().any(|(_, lines)| lines.iter().any(|line| line.len() > 2));
        metrics.iter().zip(found).map(of_metric).filter(there).collect()
    };
    let mut workloads: Vec<(String, LinePart)> = Vec::new();
    for step in cell.steps.iter().filter(|s| s.step == WHOLE) {
        if !workloads.iter().any(|(name, _)| *name == step.workload) {
            workloads.push((step.workload.clone(), LinePart::Step(Some(step.workload.clone()), WHOLE.to_owned())));
        }
    }
    let watched = cell.targets.iter().filter(|t| t.watched).map(|t| t.target.clone());
    let targets: Vec<(String, LinePart)> = watched.map(|name| (name.clone(), LinePart::Targets(vec![name]))).collect();
    let mut found = of(&workloads, &[Metric::Throughput, Metric::Time(Time::Response, Quantile::P99), Metric::Errors], false);
    // A line of zeros shows nothing that the table does not.
    found.retain(|over| over.unit != "%" || over.parts.iter().any(|(_, lines)| lines.iter().any(|l| values(l).any(|v| v > 0.0))));
    found.extend(of(&targets, &[Metric::Pss, Metric::Cpu], true));
    found
}

fn values(line: &[Number]) -> impl Iterator<Item = f64> + '_ {
    line.iter().skip(1).step_by(2).map(|number| number.0)
}

/// Milliseconds and values in turn. Lines with `steps` have two points for each value: the first is kept, and the end of the
/// last.
fn packed(line: &Line, scale: f64, steps: bool, most: usize) -> Vec<Number> {
    let last = line.len().saturating_sub(1);
    let kept: Vec<&(f64, f64)> = line
        .iter()
        .enumerate()
        .filter(|(at, (_, value))| value.is_finite() && (!steps || at % 2 == 0 || *at == last))
        .map(|(_, point)| point)
        .collect();
    let every = kept.len().div_ceil(most).max(1);
    kept.into_iter().step_by(every).flat_map(|(at, value)| [Number((at * 1e3).round()), short(value * scale)]).collect()
}

/// A number with four significant digits, which is more than a picture shows.
pub fn short(value: f64) -> Number {
    if value == 0.0 || !value.is_finite() {
        return Number(0.0);
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(digits.clamp(-12, 12));
    Number((value * factor).round() / factor)
}

/// The response times of each workload during the load, all repetitions merged: log10(1 / (1 − q)) and milliseconds.
pub fn quantiles(cell: &CellSummary) -> Vec<(String, Vec<(Number, Number)>)> {
    let during = |s: &&StepSummary| s.step == WHOLE && s.phase == "during";
    let curve = |step: &StepSummary| (step.workload.clone(), thinned(&curves::distribution(&[step], Time::Response)));
    cell.steps.iter().filter(during).map(curve).filter(|(_, points)| points.len() > 1).collect()
}

/// The first point of each stretch of the axis, and the last of all.
fn thinned(points: &[(f64, f64)]) -> Vec<(Number, Number)> {
    let place = |q: f64| -(1.0 - q).log10();
    let mut kept: Vec<(Number, Number)> = Vec::new();
    let mut last = None;
    for (at, (q, ns)) in points.iter().filter(|(q, _)| (0.0..1.0).contains(q)).enumerate() {
        let stretch = (place(*q) * PER_NINE) as i64;
        let is_last = at + 1 == points.len();
        if last != Some(stretch) || is_last {
            kept.push((short(place(*q)), short(ns * 1e-6)));
            last = Some(stretch);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(
            [123_456.0, 1.234_56, 0.000_123_456, -0.5, 0.0, f64::NAN].map(|value| short(value).0),
            [123_500.0, 1.235, 0.000_123_5, -0.5, 0.0, 0.0]
        );
    }

    #[test]
    fn of_steps_each_value_is_kept_once_with_the_end_of_the_last() {
        let line = vec![(0.0, 1.0), (0.1, 1.0), (0.1, 2.0), (0.2, 2.0)];
        let numbers = |steps| packed(&line, 1.0, steps, POINTS).iter().map(|n| n.0).collect::<Vec<f64>>();
        assert_eq!(numbers(true), [0.0, 1.0, 100.0, 2.0, 200.0, 2.0]);
        assert_eq!(numbers(false).len(), 8);
    }

    #[test]
    fn a_curve_keeps_its_ends_and_few_points_between() {
        let points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i) / 10_000.0, 1e6 + f64::from(i))).collect();
        let kept = thinned(&points);
        assert!(kept.len() < 110, "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), ((Number(0.0), Number(1.0)), (Number(4.0), Number(1.01))));
    }
}
