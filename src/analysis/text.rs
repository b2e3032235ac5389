//! The summary as a table for people.

use super::grid::{Grid, Kind};
use super::kinds;
use super::notes::notes;
use super::overview::{Column, Overview, ResultColumn, Shows, overview, result_columns, spread, varied};
use super::summary::{CellSummary, MetricSummary, Stability, Summary};
use vocabulary::Metric;
use vocabulary::columns::{WIDTH, wrap};
use vocabulary::units::significant;

/// What was skipped, failed or wrong, and below it, where it stays visible, the table. No line is wider than [`WIDTH`], except
/// for the output of programs.
pub fn table(summary: &Summary) -> String {
    let Overview { columns, rows } = overview(summary);
    let varied = varied(summary);
    // What commands report has a table of its own, and what was wrong stands above both.
    let is_shown = |column: &Column| !matches!(column.shows, Shows::Result | Shows::Errors | Shows::Valid);
    let shown: Vec<usize> = (0..columns.len()).filter(|at| is_shown(&columns[*at])).collect();
    let kind = |column: &Column| if column.shows.is_name() { Kind::Words } else { Kind::Number };
    let mut table = Grid::new(shown.iter().map(|at| (columns[*at].name.clone(), kind(&columns[*at]))));
    for row in rows.iter().filter(|row| !row.is_result) {
        table.add(shown.iter().map(|at| row.entries[*at].text.clone()).collect());
    }
    let shows = |what: Shows| columns.iter().any(|column| column.shows == what && table.shows(&column.name));
    let mut text = format!("{}  {}\n", summary.experiment, summary.run);
    if !summary.question.is_empty() {
        text += &wrap(&summary.question, WIDTH, 0);
    }
    if !summary.nodes.is_empty() {
        let rounds = |n: usize| if n == 1 { "1 round".to_owned() } else { format!("{n} rounds") };
        let nodes = summary.nodes.iter().map(|node| format!("{} ({})", node.name, rounds(node.rounds)));
        text += &wrap(&format!("executed by {}", nodes.collect::<Vec<_>>().join(", ")), WIDTH, 2);
    }
    text += &notes(summary, WIDTH);
    if !table.is_empty() {
        text += &format!("\n{}\n{}", table.text(), legend(shows));
    }
    text += &kinds::text(summary, &varied);
    text += &results(summary, &varied);
    if summary.repeated {
        text += &stability(summary, &varied);
    }
    if let Some(decide) = &summary.decide {
        if !summary.decisions.is_empty() {
            let title = format!("{} by {}, corrected for looking after several rounds", summary.stability_of, decide.by);
            text += &format!("\n{}", wrap(&title, WIDTH, 0));
        }
        text += &summary.decisions.iter().map(|d| wrap(&format!("  {}", d.words(decide)), WIDTH, 2)).collect::<String>();
    }
    text + &expectations(summary)
}

/// What the shown columns mean.
fn legend(shows: impl Fn(Shows) -> bool) -> String {
    let mut text = String::from("medians over repetitions; 95 %: the farther end of the bootstrap interval\n");
    text += "p50, p99: response times of passes";
    text += match (shows(Shows::Pss), shows(Shows::Cpu)) {
        (true, true) => "; PSS, CPU: of all targets, peak and mean\n",
        (true, false) => "; PSS: of all targets, peak\n",
        (false, true) => "; CPU: of all targets, mean\n",
        (false, false) => "\n",
    };
    if shows(Shows::Lag) {
        text += "lag: p99 of how late passes were sent; it is part of their response times\n";
    }
    if shows(Shows::Unsent) {
        text += "unsent: share of arrivals that were never sent; response times do not include them\n";
    }
    wrap(&text, WIDTH, 2)
}

/// How stable each cell is from round to round, with anything unusual below.
fn stability(summary: &Summary, varied: &[&str]) -> String {
    let rows: Vec<(&CellSummary, &Stability)> =
        summary.cells.iter().flat_map(|c| c.stability.iter().map(move |s| (c, s))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let several = rows.iter().map(|(_, s)| s.workload.as_str()).collect::<std::collections::BTreeSet<_>>().len() > 1;
    // Only what differs between cells is part of the name.
    let name = |cell: &CellSummary, s: &Stability| -> String {
        let levels = varied.iter().filter_map(|f| cell.levels.get(*f)).map(String::as_str);
        levels.chain(several.then_some(s.workload.as_str())).collect::<Vec<_>>().join(" ")
    };
    let numbers = ["n", "median", "±", "CV", "drift", "p", "lag-1 r", "n eff"].map(|name| (name.to_owned(), Kind::Number));
    let mut table = Grid::new(numbers.into_iter().chain([("cell".to_owned(), Kind::Words)]));
    let metric = Metric::by_name(&summary.stability_of);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    for (cell, s) in &rows {
        let unit = super::values::unit_of(cell, &metric);
        table.add(vec![
            s.n.to_string(),
            metric.human(&unit, s.median),
            s.half_width().map_or_else(|| "–".to_owned(), percent),
            percent(s.coefficient_of_variation),
            format!("{}{:.1} %", if s.drift_share < 0.0 { "−" } else { "+" }, s.drift_share.abs() * 100.0),
            super::stability::p(s.drift_p),
            // Nothing is called −0.
            format!("{:.2}", (s.lag1_autocorrelation * 100.0).round() / 100.0 + 0.0),
            format!("{:.0}", s.effective_repetitions),
            name(cell, s),
        ]);
    }
    let mut text = format!("\nstability of {} over rounds\n{}", summary.stability_of, table.text());
    let legend = "±: farther end of the 95 % interval of the median; drift: first to last round (slope of Theil and Sen), \
                  p: Kendall's test; lag-1 r: correlation of successive rounds; n eff: how many independent repetitions would \
                  say as much";
    text += &wrap(legend, WIDTH, 0);
    for (cell, s) in rows {
        for warning in s.warnings() {
            let name = name(cell, s);
            let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
            text += &wrap(&format!("  {name}{warning}"), WIDTH, 2);
        }
    }
    text
}

/// What the scenario expects, and whether it holds.
fn expectations(summary: &Summary) -> String {
    use super::expectations::Outcome;
    let mut text = String::new();
    for finding in &summary.expectations {
        let word = match finding.outcome {
            Outcome::Pass => "pass",
            Outcome::Skipped => "skipped",
            Outcome::Inconclusive => "INCONCLUSIVE",
            Outcome::Fail => "FAIL",
        };
        let cell = if finding.cell.is_empty() { String::new() } else { format!(" [{}]", finding.cell) };
        text += &wrap(&format!("{word}: {}{cell}", finding.expectation), WIDTH, 2);
        text += &wrap(&format!("  {}", finding.words), WIDTH, 2);
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// What commands reported and searches found, below the table.
fn results(summary: &Summary, varied: &[&str]) -> String {
    let mut text = String::new();
    for cell in &summary.cells {
        for limit in &cell.limits {
            let found = match &limit.rate_per_s {
                Some(rate) => {
                    let bound = if limit.above_range > 0 { "at least" } else { "at most" };
                    format!("{bound} {} per second {}", significant(rate.median), spread(rate))
                }
                None => "none of the rates".to_owned(),
            };
            if text.is_empty() {
                text += "\n";
            }
            text += &wrap(&format!("limit of {}, {}: {found} ({} trials)", limit.workload, cell.cell, limit.trials), WIDTH, 2);
            for (count, what) in [
                (limit.below_range, "not even the lowest rate held"),
                (limit.above_range, "even the highest rate held: the limit is above the range"),
            ] {
                if count > 0 {
                    text += &format!("  {what} in {count} of {} repetitions\n", cell.repetitions.valid);
                }
            }
            if let Some(reason) = limit.reasons.first() {
                text += &wrap(&format!("  did not hold: {reason}"), WIDTH, 2);
            }
        }
    }
    text + &metrics(summary, varied)
}

/// What commands and taps reported and what was collected: a row for each cell, a column for each metric.
fn metrics(summary: &Summary, varied: &[&str]) -> String {
    let columns = result_columns(summary);
    if columns.is_empty() {
        return String::new();
    }
    let table = results_table(summary, varied, &columns);
    format!("\n{table}\nmedians over repetitions, with the farther end of the 95 % interval\n")
}

/// One table of results.
fn results_table(summary: &Summary, varied: &[&str], columns: &[ResultColumn]) -> String {
    let during = |c: &CellSummary| c.metrics.iter().filter(|m| m.phase == "during").cloned().collect::<Vec<_>>();
    let header = columns.iter().map(|column| {
        let name = column.name();
        (if column.unit.is_empty() { name } else { format!("{name}\n{}", column.unit) }, Kind::Number)
    });
    let mut table = Grid::new(varied.iter().map(|v| ((*v).to_owned(), Kind::Words)).chain(header));
    for cell in summary.cells.iter().filter(|c| !c.metrics.is_empty()) {
        let found = during(cell);
        let mut row: Vec<String> = varied.iter().map(|f| cell.levels.get(*f).cloned().unwrap_or_default()).collect();
        for ResultColumn { of, metric, .. } in columns {
            let mine = |m: &&MetricSummary| m.metric == *metric && of.as_ref().is_none_or(|of| *of == m.workload);
            let value = found.iter().find(mine).map(|m| &m.value);
            row.push(value.map_or_else(|| "–".to_owned(), |v| format!("{} {}", significant(v.median), spread(v))));
        }
        table.add(row);
    }
    table.text()
}
