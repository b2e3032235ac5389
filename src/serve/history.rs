//! A metric over the runs of an experiment, and when it changed.

use analysis::history::{self, Change, Figures, MOST, Series};
use record::RunRecord;
use serde::Serialize;
use serde_json::json;
use vocabulary::errors::chain;
use vocabulary::{Metric, units::significant};

use super::absent::Absent;
use super::chart::Chart;
use super::page;
use super::query::Query;
use super::results::Head;

/// What a client requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// The metric.
    pub metric: String,
    /// Only runs of this branch.
    pub branch: Option<String>,
}

/// A metric over runs.
#[derive(Debug, Serialize)]
pub(super) struct History {
    metric: String,
    /// The metric in words.
    words: String,
    /// The base unit of all values; empty for plain numbers.
    unit: String,
    branch: Option<String>,
    /// The branches of all runs.
    branches: Vec<String>,
    /// The metrics of the newest run.
    metrics: Vec<String>,
    /// The runs from which it is made, oldest first.
    runs: Vec<Head>,
    /// Why runs are left out.
    left_out: Vec<String>,
    /// Each place where it was measured.
    series: Vec<Series>,
    /// The last change of each place, if it was for the worse.
    worse: Vec<Worse>,
    /// The minimum number of runs for a change.
    fewest_runs: usize,
    /// The p of each change is below this.
    significance: f64,
}

/// When something became slower.
#[derive(Debug, Serialize)]
pub(super) struct Worse {
    /// The index of the series.
    series: usize,
    #[serde(flatten)]
    change: Change,
    /// How the circumstances of the last run before the change and of the first run after it differ.
    differences: Vec<String>,
}

/// A series, for a page.
#[derive(Debug, Serialize)]
struct Row<'a> {
    series: &'a Series,
    /// The newest run's value for people.
    newest: String,
    interval: String,
    changes: Vec<ChangeRow<'a>>,
    chart: Chart,
}

/// A change, for a page.
#[derive(Debug, Serialize)]
struct ChangeRow<'a> {
    before: &'a Head,
    since: &'a Head,
    from: String,
    to: String,
    ratio: String,
    verdict: &'static str,
    differences: Option<&'a [String]>,
}

impl Asked {
    /// Reads `metric=NAME&branch=NAME`; the default is throughput.
    pub fn parse(query: &Query) -> Self {
        let metric = query.first("metric").unwrap_or("throughput").to_owned();
        Self { metric, branch: query.first("branch").map(str::to_owned) }
    }
}

/// Reads the metric in the newest runs.
///
/// # Errors
/// [`Absent::Nothing`] when no run has it.
pub(super) fn make(heads: &[Head], asked: &Asked) -> Result<History, Absent> {
    let metric = Metric::by_name(&asked.metric);
    let mut branches: Vec<String> = heads.iter().filter_map(|head| head.branch.clone()).collect();
    branches.sort();
    branches.dedup();
    let of_branch = |head: &&Head| asked.branch.is_none() || head.branch == asked.branch;
    let chosen: Vec<&Head> = heads.iter().filter(of_branch).collect();
    let (mut runs, mut values, mut left_out, mut metrics) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for head in &chosen[chosen.len().saturating_sub(MOST)..] {
        let found = Figures::read(&head.path).and_then(|figures| Ok((figures.values(&metric)?, figures.metrics()?)));
        match found {
            Ok((found, names)) => {
                metrics = names;
                runs.push((*head).clone());
                values.push(found);
            }
            Err(error) => left_out.push(format!("{}: {}", head.run, chain(&error))),
        }
    }
    let series = history::history(&values, &metric);
    if series.is_empty() {
        return Err(Absent::Wrong(format!("no run has the metric `{}`\n", metric.name())));
    }
    let unit = values.iter().map(|found| found.unit.as_str()).find(|unit| !unit.is_empty()).unwrap_or_default().to_owned();
    let worse = |(number, series): (usize, &Series)| {
        let change = series.worse_since()?.clone();
        let open = |run: usize| RunRecord::open(&runs[run].path).ok();
        let differences =
            open(change.before).zip(open(change.since)).map(|(before, since)| analysis::compare::differences(&before, &since));
        Some(Worse { series: number, change, differences: differences.unwrap_or_default() })
    };
    let worse = series.iter().enumerate().filter_map(worse).collect();
    Ok(History {
        metric: metric.name().to_owned(),
        words: metric.words(),
        unit,
        branch: asked.branch.clone(),
        branches,
        metrics,
        runs,
        left_out,
        series,
        worse,
        fewest_runs: history::FEWEST,
        significance: analysis::compare::SIGNIFICANT,
    })
}

impl History {
    /// The page of a history.
    ///
    /// # Errors
    /// A bug in the template.
    pub fn page(&self) -> Result<String, Absent> {
        let rows: Vec<Row<'_>> = self.series.iter().enumerate().filter_map(|(number, series)| self.row(number, series)).collect();
        let by_chance = self.series.len() as f64 * self.significance;
        page::render("history.html", &json!({"history": self, "rows": rows, "by_chance": significant(by_chance)}))
    }

    /// A series for people; none if it has no value.
    fn row<'h>(&'h self, number: usize, series: &'h Series) -> Option<Row<'h>> {
        let metric = Metric::by_name(&self.metric);
        let human = |value: f64| metric.human(&self.unit, value);
        let newest = series.points.last()?;
        let interval = newest.interval.map_or_else(String::new, |(low, high)| format!("{} to {}", human(low), human(high)));
        let change = |change: &'h Change| {
            let worse = self.worse.iter().find(|worse| worse.series == number && worse.change == *change);
            ChangeRow {
                before: &self.runs[change.before],
                since: &self.runs[change.since],
                from: human(change.from),
                to: human(change.to),
                ratio: change.ratio.map_or_else(|| "–".to_owned(), significant),
                verdict: change.verdict.words(),
                differences: worse.map(|worse| worse.differences.as_slice()),
            }
        };
        let changes = series.changes.iter().map(change).collect();
        let chart = Chart::of(series, &self.runs, &metric, human)?;
        Some(Row { series, newest: human(newest.median), interval, changes, chart })
    }
}
