//! From runs that were read and summarized to the content of a page.

use std::collections::BTreeMap;

use analysis::compare::{Comparison, Options, ReadRun, THRESHOLD, levels};
use analysis::overview::{self, overview};
use analysis::question;
use analysis::summary::Summary;
use plot::compose::Pictures;
use rayon::prelude::*;
use vocabulary::Metric;

use crate::view::{CellColumn, CellEntry, CellRow, CellTable, CellView, Expectation, Page, Run};
use crate::{Error, against, answer, cells, charts, circumstances, compared, logs};

/// What a page is made from.
pub struct Asked<'a> {
    /// The runs, the baseline first; at least one.
    pub runs: Vec<&'a ReadRun>,
    /// What is compared: levels of the only run, or the other runs with the first.
    pub comparison: Option<&'a Comparison>,
    /// The graphs of the first run, where they have been composed already: that is not done twice.
    pub pictures: Option<&'a Pictures>,
}

/// The page about runs.
///
/// # Errors
/// When a table that a graph of the scenario needs cannot be read.
pub fn page(asked: &Asked<'_>) -> Result<Page, Error> {
    let several = asked.runs.len() > 1;
    let letter = |index: usize| if several { letter(index) } else { String::new() };
    let id = |run: usize, cell: usize| if run == 0 { format!("c{cell}") } else { format!("r{run}c{cell}") };
    let (first, summary) = asked.runs[0];
    let summaries: Vec<&Summary> = asked.runs.iter().map(|(_, summary)| summary).collect();
    let mut page = Page {
        experiment: summary.experiment.clone(),
        question: summary.question.clone(),
        runs: Vec::new(),
        answer: answer::answer(asked.comparison, &others(asked), &first.plan, &summaries),
        expectations: Vec::new(),
        against: Vec::new(),
        charts: Vec::new(),
        not_drawn: Vec::new(),
        compared: None,
        table: CellTable::default(),
        cells: Vec::new(),
        circumstances: Vec::new(),
    };
    let view_of = |side: &str, levels: &BTreeMap<String, String>| {
        // A side of several sessions is named after its first one.
        let is_side = |run: &str| side == run || side.strip_prefix(run).is_some_and(|rest| rest.starts_with(" and "));
        let run = asked.runs.iter().position(|(_, summary)| is_side(&summary.run)).unwrap_or(0);
        let cell = asked.runs[run].1.cells.iter().position(|cell| cell.levels == *levels)?;
        Some(id(run, cell))
    };
    page.compared = asked.comparison.map(|comparison| compared::compared(comparison, view_of));
    for (run, (record, summary)) in asked.runs.iter().enumerate() {
        let letter = letter(run);
        page.runs.push(of_run(summary, &record.manifest.started_at, &letter));
        page.expectations.extend(expectations(summary, &letter, |cell| id(run, cell)));
        page.against.extend(against::against(summary, &letter, |cell| id(run, cell)));
        let (charts, left_out) = charts::charts(record, summary, &letter, asked.pictures.filter(|_| run == 0))?;
        page.charts.extend(charts);
        page.not_drawn.extend(left_out);
        add_rows(&mut page.table, summary, &letter, |cell| id(run, cell));
        let logs = logs::ends(&record.repetitions);
        let varied = overview::varied(summary);
        let views = (0..summary.cells.len()).into_par_iter().map(|index| {
            let mine = record.repetitions.iter().zip(&logs).filter(|(r, _)| r.cell == index).map(|(_, logs)| logs);
            cells::cell_view(record, summary, index, (id(run, index), &letter), &mine.collect::<Vec<_>>(), &varied)
        });
        page.cells.extend(views.collect::<Vec<CellView>>());
        page.circumstances.push(circumstances::circumstances(record, &letter));
    }
    page.against.extend(asked.comparison.and_then(against::of_comparison));
    for index in (0..page.table.columns.len()).filter(|at| page.table.columns[*at].is_name).collect::<Vec<_>>() {
        let mut levels: Vec<String> = Vec::new();
        for row in &page.table.rows {
            if !levels.contains(&row.entries[index].text) {
                levels.push(row.entries[index].text.clone());
            }
        }
        page.table.columns[index].levels = levels;
    }
    Ok(page)
}

/// The comparisons by other factors that vary, where the scenario does not say which of them is meant.
fn others(asked: &Asked<'_>) -> Vec<Comparison> {
    let ([run], Some(Some(by))) = (&asked.runs[..], asked.comparison.map(|comparison| &comparison.by)) else { return Vec::new() };
    let (record, summary) = run;
    if question::is_said(&record.plan, summary) {
        return Vec::new();
    }
    // Only what each workload is mainly about.
    let primary = record.plan.primary.clone().unwrap_or(Metric::Throughput);
    let options = Options { metrics: vec![primary], ..Options::usual(THRESHOLD) };
    let factors = overview::varied(summary).into_iter().filter(|factor| factor != by);
    factors.filter_map(|factor| levels(run, factor, None, &options).ok()).collect()
}

/// `A`, `B`, … and numbers after `Z`.
fn letter(index: usize) -> String {
    ('A'..='Z').nth(index).map_or_else(|| (index + 1).to_string(), String::from)
}

fn of_run(summary: &Summary, started_at: &str, letter: &str) -> Run {
    let executed = summary.cells.iter().filter(|c| c.skipped.is_none()).count();
    let valid: u32 = summary.cells.iter().map(|c| c.repetitions.valid).sum();
    let planned: u32 = summary.cells.iter().filter(|c| c.skipped.is_none()).map(|c| c.repetitions.planned).sum();
    let cells = if executed == 1 { "cell" } else { "cells" };
    Run {
        letter: letter.to_owned(),
        name: summary.run.clone(),
        started_at: started_at.to_owned(),
        machine: summary.machine.clone(),
        size: format!("{executed} {cells}, {valid} of {planned} repetitions count"),
    }
}

fn expectations(summary: &Summary, letter: &str, id: impl Fn(usize) -> String) -> Vec<Expectation> {
    let of = |finding: &analysis::summary::Finding| Expectation {
        expected: finding.expectation.clone(),
        run: letter.to_owned(),
        cell: finding.cell.clone(),
        to: summary.cells.iter().position(|c| c.cell == finding.cell).map_or_else(String::new, &id),
        outcome: finding.outcome.word().to_owned(),
        words: finding.words.clone(),
    };
    summary.expectations.iter().map(of).collect()
}

/// Adds the rows of a run. The columns of the first run stay: runs of one experiment have the same columns, unless something
/// went wrong in only one of them, and then a column is added.
fn add_rows(table: &mut CellTable, summary: &Summary, letter: &str, id: impl Fn(usize) -> String) {
    let found = overview(summary);
    let empty = || CellEntry { text: "–".to_owned(), value: None };
    let mut places = Vec::new();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    if !letter.is_empty() && table.columns.is_empty() {
        let (name, words) = ("run".to_owned(), "the letter of the run".to_owned());
        table.columns.push(CellColumn { name, words, is_name: true, unit: String::new(), levels: Vec::new() });
    }
    for column in &found.columns {
        // `95 %` may occur several times, each belonging to the column before it.
        let before = *names.entry(&column.name).and_modify(|n| *n += 1).or_insert(0);
        let same = table.columns.iter().enumerate().filter(|(_, c)| c.name == column.name).nth(before).map(|(at, _)| at);
        places.push(same.unwrap_or_else(|| {
            let (name, words, unit) = (column.name.clone(), column.words.clone(), column.unit.clone());
            table.columns.push(CellColumn { name, words, is_name: column.shows.is_name(), unit, levels: Vec::new() });
            table.rows.iter_mut().for_each(|row| row.entries.push(empty()));
            table.columns.len() - 1
        }));
    }
    for row in found.rows {
        let mut entries = vec![empty(); table.columns.len()];
        if !letter.is_empty() {
            entries[0] = CellEntry { text: letter.to_owned(), value: None };
        }
        for (place, entry) in places.iter().zip(row.entries) {
            entries[*place] = CellEntry { text: entry.text, value: entry.value };
        }
        table.rows.push(CellRow { to: id(row.cell), entries });
    }
}
