//! Runs for a merge request: the sentences, the table, verdicts and pictures in the Markdown of GitHub and GitLab.

use analysis::report::escaped_name as literal;
use vocabulary::words::harmless;

use crate::view::{CellTable, Page, Sentence};

/// What is done with the graphs of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pictures<'a> {
    /// They are left out.
    None,
    /// They are linked below this folder or address, with the names that `runner graph` gives them.
    Links(&'a str),
}

/// Writes a page as Markdown. `comparison`: the comparison in the same form, from `analysis`.
pub fn markdown(page: &Page, comparison: Option<&str>, pictures: Pictures<'_>) -> String {
    let mut text = format!("## {}\n\n", literal(if page.question.is_empty() { &page.experiment } else { &page.question }));
    for spans in &page.answer {
        text += &format!("{}\n\n", sentence(spans));
    }
    for run in &page.runs {
        let letter = if run.letter.is_empty() { String::new() } else { format!("{}: ", run.letter) };
        text += &format!("- {letter}`{}` of {}, {}; {}\n", run.name, literal(&page.experiment), run.size, literal(&run.machine));
    }
    text.push('\n');
    if !page.expectations.is_empty() {
        text += "| outcome | expected | cell | found |\n|---|---|---|---|\n";
        for e in &page.expectations {
            let outcome = match e.outcome.as_str() {
                "fail" => "❌ **fail**",
                "pass" => "✅ pass",
                "skipped" => "➖ skipped",
                _ => "❔ inconclusive",
            };
            let run = if e.run.is_empty() { String::new() } else { format!("{}: ", e.run) };
            text += &row([outcome.to_owned(), run + &literal(&e.expected), literal(&e.cell), literal(&e.words)]);
        }
        text.push('\n');
    }
    if let Some(comparison) = comparison {
        text += &format!("{}\n", comparison.trim_end());
        text.push('\n');
    }
    if !page.table.rows.is_empty() {
        text += &table(&page.table);
        text.push('\n');
    }
    if let Pictures::Links(base) = pictures {
        for chart in &page.charts {
            let run = page.runs.iter().find(|run| run.letter == chart.run).map_or("", |run| run.name.as_str());
            let words = literal(if chart.subtitle.is_empty() { &chart.title } else { &chart.subtitle });
            let file = [&page.experiment, run, &chart.file].map(vocabulary::units::in_url).join("/");
            text += &format!("![{words}]({}/{file}.png)\n\n", base.trim_end_matches('/'));
        }
    }
    if !page.against.is_empty() {
        let count: usize = page.against.iter().map(|objection| objection.count).sum();
        text += &format!("<details><summary>Caveats ({count})</summary>\n\n");
        for objection in &page.against {
            for line in &objection.lines {
                let run = if objection.run.is_empty() { String::new() } else { format!(" ({})", objection.run) };
                text += &format!("- **{}**{run}: {}\n", literal(&objection.kind.to_lowercase()), literal(&line.words));
                text += &line.details.iter().map(|detail| format!("  - {}\n", literal(detail))).collect::<String>();
            }
        }
        text += "\n</details>\n";
    }
    text
}

fn sentence(sentence: &Sentence) -> String {
    let span = |span: &crate::view::Span| if span.code { code(&span.text) } else { literal(&span.text) };
    sentence.0.iter().map(span).collect()
}

/// A name as code: a fence that is longer than any run of backticks in it.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let (fence, space) = ("`".repeat(longest + 1), if longest > 0 { " " } else { "" });
    format!("{fence}{space}{}{space}{fence}", harmless(text).replace(['\n', '\t'], " "))
}

fn table(table: &CellTable) -> String {
    let mut text = row(table.columns.iter().map(|column| literal(&column.name)));
    text += &row(table.columns.iter().map(|column| if column.is_name { "---".to_owned() } else { "---:".to_owned() }));
    for cells in &table.rows {
        text += &row(cells.entries.iter().map(|entry| literal(&entry.text)));
    }
    text
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |\n", cells.into_iter().collect::<Vec<_>>().join(" | "))
}
