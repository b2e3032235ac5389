//! Makes the answers to requests from the existing runs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analysis::Summary;
use export::{Source, recent};
use record::rows::Value;
use record::{RunRecord, files::json_bytes};
use serde_json::{Map, Value as Json, json};
use vocabulary::errors::chain;
use vocabulary::units::count;

use super::absent::{Absent, NO_RUN, NO_SUCH_RUN};
use super::archive::{Archive, Making};
use super::page::{self, Count, Overview, RunRow};
use super::results::{Head, Needs, Runs};
use super::temporary::Temporary;
use super::{comparison, files, history};

/// Nanoseconds per day.
const DAY_NS: i64 = 86_400_000_000_000;

/// What clients can request; each is made as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The page of the experiment.
    Page,
    /// All runs as pages, the newest first, with the number of the page.
    List(usize),
    /// The head of each run: name, start, commit, branch.
    Heads,
    /// Runs, cells and repetitions.
    Runs,
    /// The summary of the newest run.
    Summary,
    /// The report of a run.
    Report(String),
    /// The summary of a run.
    SummaryOf(String),
    /// Two runs compared, as a page and as JSON.
    Comparison(comparison::Asked),
    /// A metric over runs, as a page and as JSON.
    History(history::Asked),
    /// A run as a database.
    DatabaseOf(String),
    /// The files of a run: their names and lengths.
    Files(String),
    /// The transfers of a day.
    Transfers(Day),
    /// Torperf's files.
    Torperf,
    /// OnionPerf's analyses.
    Onionperf,
    /// A database.
    Database,
}

/// How many of the newest runs are opened for the page of an experiment.
const NEWEST: usize = 50;

impl Kind {
    /// The runs from which it is made.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Page => Needs::Newest(NEWEST),
            Self::Summary => Needs::Newest(1),
            Self::Report(run) | Self::SummaryOf(run) | Self::DatabaseOf(run) | Self::Files(run) => {
                Needs::Named(vec![run.clone()])
            }
            Self::Comparison(asked) => Needs::Named(asked.runs.to_vec()),
            Self::List(_) | Self::Heads | Self::History(_) => Needs::Heads,
            Self::Runs | Self::Transfers(_) | Self::Torperf | Self::Onionperf | Self::Database => Needs::All,
        }
    }

    /// Whether it needs the heads of all runs.
    pub fn needs_heads(&self) -> bool {
        self.needs() == Needs::Heads || *self == Self::Page
    }

    /// Whether it changes merely with time.
    pub fn depends_on_time(&self) -> bool {
        *self == Self::Page
    }

    /// Whether clients can request many of its kind.
    pub fn is_one_of_many(&self) -> bool {
        !matches!(self, Self::Page | Self::Heads | Self::Runs | Self::Summary | Self::Torperf | Self::Onionperf | Self::Database)
    }
}

/// What an answer is made from.
pub(super) struct Ingredients {
    /// The runs that it needs.
    pub runs: Arc<Runs>,
    /// The heads of all runs, newest last, if it needs them.
    pub heads: Vec<Head>,
    /// Whether there are other experiments.
    pub is_one_of_several: bool,
}

/// The name of the only file in an archive of one file.
pub(super) const ONLY: &str = "";
/// In what is made both for people and for programs: the name of the page.
pub(super) const PAGE: &str = "page";
/// The name of the JSON.
pub(super) const DATA: &str = "data";

/// A day in UTC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day {
    /// Such as `2026-11-29`.
    pub name: String,
    /// When it starts, in nanoseconds since 1970.
    start_ns: i64,
}

impl Day {
    /// Reads a day, which has to be written exactly as it is printed.
    pub fn parse(text: &str) -> Option<Self> {
        let date: jiff::civil::Date = text.parse().ok()?;
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_nanosecond();
        let start = i64::try_from(start).ok().filter(|start| *start >= 0)?;
        let name = date.to_string();
        (name == text).then_some(Self { name, start_ns: start })
    }

    fn time(&self) -> Range<i64> {
        self.start_ns..self.start_ns.saturating_add(DAY_NS)
    }
}

/// Makes one answer. `before`: the previous one of this kind; `now`: in nanoseconds since 1970.
///
/// # Errors
/// [`Absent`].
pub(super) fn make(
    kind: &Kind,
    of: &Ingredients,
    source: &Source,
    before: Option<&Archive>,
    now: i64,
) -> Result<Archive, Absent> {
    let temporary = Temporary::new()?;
    let mut making = Making::begin(temporary.path())?;
    let (found, heads) = (&*of.runs, &of.heads);
    let newest = found.runs.last();
    let one = || found.runs.first().ok_or(NO_SUCH_RUN);
    match kind {
        Kind::Page => making.add(
            ONLY,
            page::overview(&Overview { is_one_of_several: of.is_one_of_several, ..overview(found, heads, now) })?.as_bytes(),
        )?,
        Kind::List(number) => making.add(ONLY, page::list(heads, *number)?.as_bytes())?,
        Kind::Heads => making.add(ONLY, &json_bytes(&json!({"runs": heads}))[..])?,
        Kind::Report(_) => {
            let run = one()?;
            let page = report::alone(&(run.clone(), summary(run)?), None).map_err(|error| Absent::Failed(chain(&error)))?;
            making.add(ONLY, page.as_bytes())?;
        }
        Kind::SummaryOf(_) => making.add(ONLY, &json_bytes(&summary(one()?)?)[..])?,
        Kind::Comparison(asked) => {
            let comparison = comparison::make(found, asked)?;
            making.add(PAGE, comparison::page(&comparison, asked)?.as_bytes())?;
            making.add(DATA, &json_bytes(&comparison)[..])?;
        }
        Kind::History(asked) => {
            let history = history::make(heads, asked)?;
            making.add(PAGE, history.page()?.as_bytes())?;
            making.add(DATA, &json_bytes(&history)[..])?;
        }
        Kind::DatabaseOf(_) => database(&mut making, &temporary, std::slice::from_ref(one()?))?,
        Kind::Files(run) => {
            let files = files::list(&one()?.path)?;
            let page = page::files(run, files.iter().map(|(name, bytes)| (name.as_str(), *bytes)))?;
            making.add(ONLY, page.as_bytes())?;
        }
        Kind::Runs => making.add(ONLY, &json_bytes(&runs(found))[..])?,
        Kind::Summary => making.add(ONLY, &json_bytes(&summary(newest.ok_or(NO_RUN)?)?)[..])?,
        Kind::Transfers(day) => {
            newest.ok_or(NO_RUN)?;
            making.add_by(ONLY, |into| transfers(found, day, into))?;
        }
        Kind::Torperf => exported(&mut making, &temporary, &[".tpf"], |folder| {
            export::torperf::export(&with_transfers(found)?, folder, source).map(drop)
        })?,
        Kind::Onionperf => exported(&mut making, &temporary, &[".json.xz", ".torctl.log"], |folder| {
            export::onionperf::export(&with_transfers(found)?, folder, source).map(drop)
        })?,
        Kind::Database => {
            newest.ok_or(NO_RUN)?;
            database(&mut making, &temporary, &found.runs)?;
        }
    }
    Ok(making.finish(before, now / 1_000_000_000)?)
}

fn summary(run: &RunRecord) -> Result<Summary, Absent> {
    analysis::summarize(run).map_err(|error| Absent::Failed(chain(&error)))
}

/// Adds a database of these runs.
fn database(making: &mut Making, temporary: &Temporary, runs: &[RunRecord]) -> Result<(), Absent> {
    let path = temporary.path().join("results.db");
    let database = export::sqlite::Database::open(&path)?;
    for run in runs {
        database.add(run)?;
    }
    Ok(making.add(ONLY, File::open(&path)?)?)
}

/// The runs that have transfers.
fn with_transfers(found: &Runs) -> Result<Vec<RunRecord>, export::Error> {
    let runs: Vec<RunRecord> =
        found.runs.iter().filter(|run| run.repetitions.iter().any(recent::has_transfers)).cloned().collect();
    if runs.is_empty() { Err(export::Error::NoTransfers { path: PathBuf::new() }) } else { Ok(runs) }
}

/// Adds the files of an export that writes a folder: those with these endings.
fn exported(
    making: &mut Making,
    temporary: &Temporary,
    endings: &[&str],
    export: impl FnOnce(&Path) -> Result<(), export::Error>,
) -> Result<(), Absent> {
    let folder = temporary.path().join("export");
    export(&folder)?;
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().filter(|name| endings.iter().any(|ending| name.ends_with(ending))) {
            making.add(name, File::open(entry.path())?)?;
        }
    }
    Ok(())
}

/// All runs, cells and repetitions as JSON.
fn runs(found: &Runs) -> Json {
    let of_cell = |run: &RunRecord, (at, cell): (usize, &record::read::CellRecord)| {
        let of_cell = run.repetitions.iter().filter(|repetition| repetition.cell == at);
        let repetitions: Vec<Json> = of_cell
            .map(|repetition| {
                let status = &repetition.status;
                json!({
                    "repetition": status.repetition,
                    "started_at": status.started_at,
                    "verdict": status.verdict.word(),
                    "has_transfers": recent::has_transfers(repetition),
                })
            })
            .collect();
        let levels: Map<String, Json> = cell.levels.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        json!({"cell": cell.id, "levels": levels, "skipped": cell.skipped, "repetitions": repetitions})
    };
    let of_run = |run: &RunRecord| {
        let cells: Vec<Json> = run.plan.cells.iter().enumerate().map(|cell| of_cell(run, cell)).collect();
        json!({"run": run.name, "started_at": run.manifest.started_at, "seed": run.plan.seed, "cells": cells})
    };
    let newest = found.runs.last();
    json!({
        "experiment": newest.map(|run| run.plan.experiment.as_str()),
        "question": newest.map(|run| run.plan.question.as_str()),
        "runs": found.runs.iter().map(of_run).collect::<Vec<_>>(),
        "left_out": found.notes,
    })
}

fn json_of(value: &Value<'_>) -> Json {
    match value {
        Value::Null | Value::Bytes(_) => Json::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => (*text).into(),
    }
}

/// Writes the rows of a day, one after the other: a day may have more of them than fit into memory.
fn transfers(found: &Runs, day: &Day, into: &mut dyn io::Write) -> Result<(), Absent> {
    write!(into, "{{\"day\": {}, \"transfers\": [", Json::from(day.name.as_str()))?;
    let (mut is_first, mut failed, mut damaged) = (true, None, Vec::new());
    for run in &found.runs {
        let words = recent::rows(run, &day.time(), &mut |repetition, values| {
            let mut row = Map::new();
            row.insert("run".to_owned(), run.name.as_str().into());
            row.insert("cell".to_owned(), run.plan.cells[repetition.cell].id.as_str().into());
            row.insert("repetition".to_owned(), repetition.status.repetition.into());
            row.extend(values.iter().map(|(name, value)| ((*name).to_owned(), json_of(value))));
            let comma = if is_first { "" } else { "," };
            is_first = false;
            if let Err(error) = write!(into, "{comma}\n{}", Json::from(row)) {
                failed.get_or_insert(error);
            }
            Ok(())
        })?;
        damaged.extend(words);
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(writeln!(into, "\n], \"left_out\": {}}}", Json::from(damaged))?)
}

/// The content of the page.
fn overview(found: &Runs, heads: &[Head], now: i64) -> Overview {
    let newest = found.runs.last();
    let mut counts: BTreeMap<(bool, Option<i64>, String), u64> = BTreeMap::new();
    for run in &found.runs {
        recent::seen(run, &(now.saturating_sub(DAY_NS)..now.saturating_add(1)), &mut |seen| {
            *counts.entry((seen.is_upload, seen.file_bytes, seen.outcome.to_owned())).or_default() += 1;
        });
    }
    let at = |ns: i64| jiff::Timestamp::from_nanosecond(ns.into()).ok();
    let last = found.runs.iter().rev().find_map(recent::newest).and_then(at);
    Overview {
        experiment: newest.map(|run| run.plan.experiment.clone()),
        question: newest.map(|run| run.plan.question.clone()).unwrap_or_default(),
        since: found.runs.first().map(|run| run.manifest.started_at.clone()).unwrap_or_default(),
        newest_transfer: last.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
        newest_day: last.map(|at| at.strftime("%Y-%m-%d").to_string()),
        made: at(now / 60_000_000_000 * 60_000_000_000)
            .map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string())
            .unwrap_or_default(),
        counts: counts
            .into_iter()
            .map(|((is_upload, file_bytes, outcome), number)| Count {
                is_upload,
                size: page::size(file_bytes),
                outcome,
                count: count(number),
            })
            .collect(),
        runs: heads.iter().rev().take(NEWEST).map(RunRow::of).collect(),
        all: heads.len(),
        notes: found.notes.len(),
        ..Overview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_typed_as_it_is_printed() {
        assert_eq!(Day::parse("2026-11-29").unwrap().start_ns, 1_795_910_400_000_000_000);
        for text in ["", "2026-11-31", "2026-1-1", "20261129", "2026-11-29T00:00", "../2026-11-29", "1969-01-01", "2026-11-29 "] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
