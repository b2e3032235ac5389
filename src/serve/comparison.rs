//! Two runs compared, as by `runner compare`.

use analysis::compare::{self, Comparison, Options, THRESHOLD, text};
use record::{RunRecord, floor};
use serde::Serialize;
use vocabulary::Metric;
use vocabulary::errors::chain;

use super::absent::Absent;
use super::page;
use super::query::Query;
use super::results::Runs;

/// What a client requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    /// The names of the baseline and of the other.
    pub runs: [String; 2],
    /// Only this metric.
    pub metric: Option<String>,
}

/// A comparison, for a page.
#[derive(Debug, Serialize)]
struct View<'a> {
    experiment: &'a str,
    baseline: &'a str,
    other: &'a str,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// How many columns on the left are names; the last is the verdict, and those between are numbers.
    names: usize,
    differences: &'a [String],
    notes: &'a [String],
    missing: &'a [String],
    method: String,
    counts: String,
}

impl Asked {
    /// Reads `run=A&run=B`: the older of the two is the baseline, unless `baseline` names the newer.
    ///
    /// # Errors
    /// What is wrong with the query, in words.
    pub fn parse(query: &Query) -> Result<Self, &'static str> {
        let mut runs: Vec<String> = query.all("run").map(str::to_owned).collect();
        runs.sort();
        runs.dedup();
        let mut runs: [String; 2] =
            runs.try_into().map_err(|_| "select two runs to compare: expected ?run=NAME&run=NAME with two different names\n")?;
        if query.first("baseline") == Some(&runs[1]) {
            runs.swap(0, 1);
        }
        Ok(Self { runs, metric: query.first("metric").map(str::to_owned) })
    }
}

/// Compares them.
///
/// # Errors
/// When a run does not exist, or the two have nothing in common.
pub(super) fn make(found: &Runs, asked: &Asked) -> Result<Comparison, Absent> {
    let metrics = asked.metric.iter().map(|name| Metric::by_name(name)).collect();
    let options = Options { metrics, ..Options::usual(THRESHOLD) };
    let failed = |error: &dyn std::error::Error| Absent::Failed(chain(error));
    let read = |run: &RunRecord| {
        let summary = analysis::samples(run, &options.needs(run)).map_err(|error| failed(&error))?;
        Ok::<_, Absent>((run.clone(), summary))
    };
    let side = |name: &String| {
        let run = found.runs.iter().find(|run| run.name == *name);
        Ok::<_, Absent>(vec![read(run.ok_or(super::absent::NO_SUCH_RUN)?)?])
    };
    let sides = asked.runs.iter().map(side).collect::<Result<Vec<_>, _>>()?;
    let mut same = Vec::new();
    for path in floor::sessions(&sides[0][0].0.path).map_err(|error| failed(&error))? {
        same.push(read(&RunRecord::open(&path).map_err(|error| failed(&error))?)?);
    }
    compare::runs(&sides, &same, &options).map_err(|error| Absent::Wrong(format!("{error}\n")))
}

/// The page of a comparison.
///
/// # Errors
/// A bug in the template.
pub(super) fn page(comparison: &Comparison, asked: &Asked) -> Result<String, Absent> {
    let text::Rows { header, names, rows } = text::rows(comparison);
    let view = View {
        experiment: &comparison.experiment,
        baseline: &asked.runs[0],
        other: &asked.runs[1],
        header,
        rows,
        names,
        differences: &comparison.differences,
        notes: &comparison.notes,
        missing: &comparison.missing,
        method: text::method(comparison),
        counts: text::counts(comparison),
    };
    page::render("comparison.html", &view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_of_two_runs_is_the_baseline_unless_the_newer_is_named() {
        let parse = |text: &str| Asked::parse(&Query::parse(Some(text))).map(|asked| asked.runs.join(" "));
        assert_eq!(parse("run=b&run=a"), Ok("a b".to_owned()));
        assert_eq!(parse("run=a&run=b&baseline=b"), Ok("b a".to_owned()));
        for wrong in ["", "run=a", "run=a&run=a", "run=a&run=b&run=c"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
