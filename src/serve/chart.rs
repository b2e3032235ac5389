//! The picture of a series: each run with its interval, the level between two changes, and where it changes. Places only: the
//! template writes them down, and `style.css` has the colours.

use analysis::history::{Point, Series};
use serde::Serialize;
use vocabulary::Metric;

use super::results::Head;

/// The size of the picture, in its own units; a browser stretches it.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 200.0;
/// Room around the points: above and below, on the left for the words of the axis, and on the right.
const MARGIN: f64 = 14.0;
const LEFT: f64 = 110.0;

/// The picture of a series.
#[derive(Debug, Serialize)]
pub(super) struct Chart {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    /// What the picture shows, for those who do not see it.
    words: String,
    /// Heights on the axis, with their words.
    ticks: Vec<(f64, String)>,
    points: Vec<Mark>,
    /// Left end, right end and height of each level.
    levels: Vec<(f64, f64, f64)>,
    /// Where it changes, with the word for it.
    changes: Vec<(f64, &'static str)>,
}

/// A run in the picture.
#[derive(Debug, Serialize)]
struct Mark {
    x: f64,
    y: f64,
    /// The upper and the lower end of its interval.
    interval: Option<(f64, f64)>,
    run: String,
    words: String,
}

impl Chart {
    /// `runs`: all runs of the history, to which the points of the series refer; `human`: a value in words.
    pub fn of(series: &Series, runs: &[Head], metric: &Metric, human: impl Fn(f64) -> String) -> Option<Self> {
        let ends = |point: &Point| point.interval.unwrap_or((point.median, point.median));
        let (mut low, mut high) = series.points.iter().map(ends).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        // What never varies is a line in the middle.
        if high <= low {
            let room = if low == 0.0 { 1.0 } else { low.abs() * 0.01 };
            (low, high) = (low - room, high + room);
        }
        let last = runs.len().saturating_sub(1).max(1) as f64;
        let x = |run: usize| rounded(LEFT + run as f64 / last * (WIDTH - LEFT - MARGIN));
        let y = |value: f64| rounded(HEIGHT - MARGIN - (value - low) / (high - low) * (HEIGHT - 2.0 * MARGIN));
        let mark = |point: &Point| {
            let between = point.interval.map_or_else(String::new, |(low, high)| format!(" ({} to {})", human(low), human(high)));
            let n = if point.n == 1 { "1 repetition".to_owned() } else { format!("{} repetitions", point.n) };
            let head = &runs[point.run];
            let commit = head
                .commit
                .as_ref()
                .map_or_else(String::new, |(commit, _)| format!(", commit {}", commit.chars().take(12).collect::<String>()));
            Mark {
                x: x(point.run),
                y: y(point.median),
                interval: point.interval.map(|(low, high)| (y(high), y(low))),
                run: head.run.clone(),
                words: format!("{}: {}{between}, {n}{commit}", head.run, human(point.median)),
            }
        };
        Some(Self {
            width: WIDTH,
            height: HEIGHT,
            left: LEFT,
            right: WIDTH - MARGIN,
            words: words(series, runs, metric, &human),
            ticks: [low, (low + high) / 2.0, high].map(|value| (y(value), human(value))).to_vec(),
            points: series.points.iter().map(mark).collect(),
            levels: levels(series).into_iter().map(|(from, to, level)| (x(from), x(to), y(level))).collect(),
            changes: series
                .changes
                .iter()
                .map(|change| (rounded(f64::midpoint(x(change.before), x(change.since))), change.verdict.words()))
                .collect(),
        })
    }
}

/// First run, last run and value of each level; none where nothing has changed.
fn levels(series: &Series) -> Vec<(usize, usize, f64)> {
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return Vec::new() };
    let mut from = first.run;
    let mut levels = Vec::new();
    for change in &series.changes {
        levels.push((from, change.before, change.from));
        from = change.since;
    }
    levels.extend(series.changes.last().map(|change| (from, last.run, change.to)));
    levels
}

/// The finding in a sentence.
fn words(series: &Series, runs: &[Head], metric: &Metric, human: &impl Fn(f64) -> String) -> String {
    let place = &series.place;
    let names = [&place.cell, &place.workload, &place.target, &place.phase].map(String::as_str);
    let of = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
    let found = match series.changes.last() {
        None => "no change is shown".to_owned(),
        Some(change) => format!(
            "{} since {}: {} before, {} since",
            change.verdict.words(),
            runs[change.since].run,
            human(change.from),
            human(change.to)
        ),
    };
    let count = series.points.len();
    format!("{} of {of} over {count} {}: {found}", metric.words(), if count == 1 { "run" } else { "runs" })
}

/// Half a pixel more or less is not seen, and a page of 200 runs is smaller.
fn rounded(place: f64) -> f64 {
    (place * 2.0).round() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::history::{Values, history};
    use std::collections::BTreeMap;

    fn head(number: usize) -> Head {
        let run = format!("run-{number:03}");
        Head {
            path: run.clone().into(),
            run,
            started_at: String::new(),
            commit: Some(("0123456789abcdef".to_owned(), false)),
            branch: None,
        }
    }

    fn chart(medians: &[f64]) -> Chart {
        let runs: Vec<Head> = (0..medians.len()).map(head).collect();
        let values = |median: &f64| Values {
            places: BTreeMap::from([(analysis::history::Place::default(), vec![*median])]),
            unit: String::new(),
        };
        let all: Vec<Values> = medians.iter().map(values).collect();
        let series = history(&all, &Metric::Throughput);
        Chart::of(&series[0], &runs, &Metric::Throughput, |value| format!("{value:.0}/s")).unwrap()
    }

    #[test]
    fn a_step_has_two_levels_and_the_lower_one_is_lower() {
        let noise = |n: usize| (n * 7 % 5) as f64 / 10.0;
        let found = chart(&(0..20).map(|n| if n < 12 { 100.0 } else { 50.0 } + noise(n)).collect::<Vec<_>>());
        let [(_, at, before), (since, _, after)] = found.levels[..] else { panic!("{:?}", found.levels) };
        assert!(at < since && before < after, "{:?}", found.levels);
        let [(x, "slower")] = found.changes[..] else { panic!("{:?}", found.changes) };
        assert!(at < x && x < since);
        assert!(found.words.contains("slower since run-012: 100/s before, 50/s since"), "{}", found.words);
        assert!(found.points.iter().all(|p| (0.0..=HEIGHT).contains(&p.y) && (LEFT..=WIDTH).contains(&p.x)), "{found:?}");
        assert_eq!(found.points[0].words, "run-000: 100/s, 1 repetition, commit 0123456789ab");
    }

    #[test]
    fn one_run_and_a_value_that_never_varies_have_a_picture() {
        assert_eq!(chart(&[3.0]).points[0].y, HEIGHT / 2.0);
        assert_eq!(chart(&[0.0; 4]).points[3].y, HEIGHT / 2.0);
        assert!(chart(&[0.0; 4]).words.ends_with("over 4 runs: no change is shown"));
    }
}
