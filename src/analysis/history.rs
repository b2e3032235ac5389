//! One metric over the runs of an experiment: its value in each run, and when its level changed.
//!
//! A run is one value, the median of its repetitions: repetitions of one run share its session, so many of them are not
//! evidence of a change between runs. Changes are found by E-divisive ([`stats::e_divisive`]: Matteson & James 2014), which
//! assumes nothing about the distribution. Two runs prove nothing: with fewer than [`FEWEST`] runs there is no significant
//! change, whatever they measured.
//!
//! Values come from `figures.parquet`: the tables of repetitions are not opened, so that hundreds of runs take seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polars::prelude::*;
use serde::Serialize;

use super::Error;
use super::compare::{SIGNIFICANT, Verdict};
use super::estimate::median_interval;
use super::stats;
use record::tables::{WHOLE, read_columns};
use vocabulary::{Metric, Phase};

/// With fewer runs, shuffling reaches no p below [`SIGNIFICANT`]: of 9 runs, 126 divisions into 4 and 5 are possible.
pub const FEWEST: usize = 9;
/// How many of the newest runs are searched for changes: the time per shuffle grows with the square of their number.
pub const MOST: usize = 200;
/// Runs of a level between two changes: a change is known once two runs show it.
const SHORTEST: usize = 2;
const SHUFFLES: usize = 399;
/// The same runs have the same changes everywhere.
const SEED: u64 = 1;

/// A part of an experiment that has values of the metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Name of the cell.
    pub cell: String,
    /// Name of the workload; empty for what belongs to targets.
    pub workload: String,
    /// Name of the target; empty for what belongs to workloads.
    pub target: String,
    /// Name of the phase; empty for the whole load.
    pub phase: String,
}

/// The values of a metric in one run: one for each repetition that counts, by place, in base units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The values of each place.
    pub places: BTreeMap<Place, Vec<f64>>,
    /// Their unit, if they have one.
    pub unit: String,
}

/// A metric of one place over several runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    /// Where it was measured.
    #[serde(flatten)]
    pub place: Place,
    /// One for each run that has a value, in the order of the runs.
    pub points: Vec<Point>,
    /// Where its level changes, in the order of time.
    pub changes: Vec<Change>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The index of the run.
    pub run: usize,
    /// How many repetitions count.
    pub n: usize,
    /// Their median, in the base unit.
    pub median: f64,
    /// Its 95 % interval (BCa bootstrap); none for a single repetition.
    pub interval: Option<(f64, f64)>,
}

/// A change of the level, significant at [`SIGNIFICANT`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The last run before it.
    pub before: usize,
    /// The first run after it.
    pub since: usize,
    /// The median of the runs from the previous change on.
    pub from: f64,
    /// The median of the runs up to the next change.
    pub to: f64,
    /// `to` over `from`; none if that is not above 0.
    pub ratio: Option<f64>,
    /// The verdict on the later runs.
    pub verdict: Verdict,
}

/// The figures of a run.
pub struct Figures {
    path: PathBuf,
    frame: DataFrame,
}

impl Figures {
    /// Reads the figures of the run in a directory.
    ///
    /// # Errors
    /// [`Error::Record`] when the run has no `figures.parquet`, or it cannot be read.
    pub fn read(run: &Path) -> Result<Self, Error> {
        let path = run.join("figures.parquet");
        let columns = ["cell", "workload", "target", "phase", "step", "metric", "value", "unit", "valid"];
        let frame = read_columns(&path, &columns)?;
        Ok(Self { path, frame })
    }

    /// Names of the metrics that the run has, in the order of the alphabet.
    ///
    /// # Errors
    /// See [`Self::values`].
    pub fn metrics(&self) -> Result<Vec<String>, Error> {
        let names = self.frame.column("metric").and_then(|column| column.str().cloned());
        let names = names.map_err(|source| Error::Table { path: self.path.clone(), source })?;
        let names: BTreeSet<&str> = names.iter().flatten().collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    /// The values of a metric: of passes as a whole, of targets, or of what commands reported; without warm-up.
    ///
    /// # Errors
    /// [`Error::Table`] when the table has other columns.
    pub fn values(&self, metric: &Metric) -> Result<Values, Error> {
        of_frame(&self.frame, metric).map_err(|source| Error::Table { path: self.path.clone(), source })
    }
}

fn of_frame(frame: &DataFrame, metric: &Metric) -> PolarsResult<Values> {
    let text = |name: &str| frame.column(name)?.str().cloned();
    let (metrics, cells, steps) = (text("metric")?, text("cell")?, text("step")?);
    let (workloads, targets, phases, units) = (text("workload")?, text("target")?, text("phase")?, text("unit")?);
    let (values, valid) = (frame.column("value")?.f64()?.clone(), frame.column("valid")?.bool()?.clone());
    let owned = |column: &StringChunked, row: usize| column.get(row).unwrap_or_default().to_owned();
    let mut found = Values::default();
    for row in (0..frame.height()).filter(|row| metrics.get(*row) == Some(metric.name()) && valid.get(*row) == Some(true)) {
        let phase = owned(&phases, row);
        let (is_whole, is_measured) = (steps.get(row).is_none_or(|step| step == WHOLE), phase != Phase::WarmUp.name());
        let Some(value) = values.get(row).filter(|value| value.is_finite() && is_whole && is_measured) else { continue };
        let place = Place { cell: owned(&cells, row), workload: owned(&workloads, row), target: owned(&targets, row), phase };
        found.places.entry(place).or_default().push(value);
        if found.unit.is_empty() {
            found.unit = owned(&units, row);
        }
    }
    Ok(found)
}

/// A metric of each place over runs. `runs`: the values of each, in the order of time.
pub fn history(runs: &[Values], metric: &Metric) -> Vec<Series> {
    let unit = runs.iter().map(|run| run.unit.as_str()).find(|unit| !unit.is_empty()).unwrap_or_default();
    let mut places: BTreeMap<&Place, Vec<Point>> = BTreeMap::new();
    for (run, found) in runs.iter().enumerate() {
        for (place, values) in &found.places {
            let point = Point { run, n: values.len(), median: stats::median(values), interval: median_interval(values) };
            places.entry(place).or_default().push(point);
        }
    }
    let series = places.into_iter().map(|(place, points)| {
        let changes = changes(&points, metric, unit);
        Series { place: place.clone(), points, changes }
    });
    series.collect()
}

/// The changes of a series.
fn changes(points: &[Point], metric: &Metric, unit: &str) -> Vec<Change> {
    let points = &points[points.len().saturating_sub(MOST)..];
    let medians: Vec<f64> = points.iter().map(|point| point.median).collect();
    let found = stats::e_divisive(&medians, SHORTEST, SIGNIFICANT, SHUFFLES, SEED).unwrap_or_default();
    let borders: Vec<usize> = [0].into_iter().chain(found).chain([medians.len()]).collect();
    let change = |at: &[usize]| {
        let [start, middle, end] = *at else { return None };
        let (from, to) = (stats::median(&medians[start..middle]), stats::median(&medians[middle..end]));
        let verdict = Verdict::of_difference(metric, unit, to > from);
        let ratio = (from > 0.0).then(|| to / from);
        Some(Change { before: points[middle - 1].run, since: points[middle].run, from, to, ratio, verdict })
    };
    borders.windows(3).filter_map(change).collect()
}

impl Series {
    /// Since when it has been slower, or has needed more: the last change, if it was for the worse.
    pub fn worse_since(&self) -> Option<&Change> {
        self.changes.last().filter(|change| matches!(change.verdict, Verdict::Slower | Verdict::More))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(values: &[f64]) -> Values {
        let place = Place { cell: "a".to_owned(), workload: "w".to_owned(), ..Place::default() };
        Values { places: BTreeMap::from([(place, values.to_vec())]), unit: "1/s".to_owned() }
    }

    /// Some noise of at most 2 %, the same each time.
    fn around(level: f64, number: u32) -> Values {
        let noise = |by: u32| 1.0 + f64::from((number * 37 + by * 11) % 41) / 1000.0 - 0.02;
        run(&[level * noise(0), level * noise(1), level * noise(2)])
    }

    #[test]
    fn a_step_is_found_where_it_is_and_noise_has_none() {
        let runs: Vec<Values> = (0..20).map(|n| around(if n < 14 { 100.0 } else { 85.0 }, n)).collect();
        let [series] = &history(&runs, &Metric::Throughput)[..] else { panic!() };
        let [change] = &series.changes[..] else { panic!("{:?}", series.changes) };
        assert_eq!((change.before, change.since, change.verdict), (13, 14, Verdict::Slower));
        assert!((change.ratio.unwrap() - 0.85).abs() < 0.02, "{change:?}");
        assert_eq!(series.worse_since(), Some(change));
        let even: Vec<Values> = (0..20).map(|n| around(100.0, n)).collect();
        assert_eq!(history(&even, &Metric::Throughput)[0].changes, []);
    }

    #[test]
    fn what_got_better_again_is_not_slower() {
        let level = |n| if (8..16).contains(&n) { 80.0 } else { 100.0 };
        let runs: Vec<Values> = (0..24).map(|n| around(level(n), n)).collect();
        let series = &history(&runs, &Metric::Throughput)[0];
        assert_eq!(
            series.changes.iter().map(|c| (c.since, c.verdict)).collect::<Vec<_>>(),
            [(8, Verdict::Slower), (16, Verdict::Faster)]
        );
        assert_eq!(series.worse_since(), None);
    }

    #[test]
    fn fewer_runs_than_the_fewest_show_nothing_and_that_many_can() {
        let runs = |count: u32| (0..count).map(|n| around(if n < count / 2 { 100.0 } else { 50.0 }, n)).collect::<Vec<_>>();
        for count in 1..FEWEST as u32 {
            assert_eq!(history(&runs(count), &Metric::Throughput)[0].changes, [], "{count}");
        }
        assert_eq!(history(&runs(FEWEST as u32 + 1), &Metric::Throughput)[0].changes.len(), 1);
    }

    #[test]
    fn only_measured_passes_as_a_whole_count() {
        let frame = df![
            "cell" => ["a"; 5],
            "workload" => ["w"; 5],
            "target" => [None::<&str>; 5],
            "phase" => ["during", "warm-up", "during", "during", "during"],
            "step" => ["(pass)", "(pass)", "get", "(pass)", "(pass)"],
            "metric" => ["throughput", "throughput", "throughput", "throughput", "requests"],
            "value" => [1.0, 2.0, 3.0, 4.0, 5.0],
            "unit" => ["1/s"; 5],
            "valid" => [true, true, true, false, true],
        ]
        .unwrap();
        let found = of_frame(&frame, &Metric::Throughput).unwrap();
        assert_eq!(found.places.into_values().collect::<Vec<_>>(), [vec![1.0]]);
        assert_eq!(found.unit, "1/s");
    }
}
