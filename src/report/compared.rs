//! A comparison for a page: the words of `analysis`, with links to the cells.

use std::collections::BTreeMap;

use analysis::compare::{Comparison, Row, Verdict, text};
use vocabulary::Metric;

use crate::view::{Compared, ComparedRow};

/// A comparison for a page. `id`: the id of the view of a cell with these levels, in the run with this name.
pub fn compared(comparison: &Comparison, id: impl Fn(&str, &BTreeMap<String, String>) -> Option<String>) -> Compared {
    let words = text::rows(comparison);
    let to = |row: &Row, side: &str| match &comparison.by {
        // Within a run the side is a level.
        Some(by) => {
            let mut levels = row.levels.clone();
            levels.insert(by.clone(), side.to_owned());
            id("", &levels)
        }
        None => id(side, &row.levels),
    };
    let rows = comparison.rows.iter().zip(words.rows).map(|(row, entries)| ComparedRow {
        entries,
        class: class(row),
        to: [to(row, &comparison.baseline), to(row, &row.side)],
    });
    Compared {
        title: text::title(comparison),
        header: words.header,
        names: words.names,
        rows: rows.collect(),
        letters: text::letters(comparison).into_iter().map(|(letter, side)| (letter.to_string(), side)).collect(),
        differences: comparison.differences.clone(),
        method: text::by_node(comparison).iter().fold(text::method(comparison), |words, line| words + line + "\n"),
        counts: text::counts(comparison).trim().to_owned(),
        notes: comparison.notes.clone(),
    }
}

/// The class of a verdict, which determines its colour; the words say the same.
fn class(row: &Row) -> &'static str {
    match row.verdict {
        Verdict::Faster => "better",
        Verdict::Slower => "worse",
        // Less memory is not a better answer to a question about speed, but fewer errors are.
        Verdict::More if Metric::by_name(&row.metric) == Metric::Errors => "worse",
        Verdict::Less | Verdict::More | Verdict::Higher | Verdict::Lower => "differs",
        Verdict::NoDifferenceShown => "same",
        Verdict::TooFewRepetitions | Verdict::CannotTell | Verdict::BehindPrimary => "open",
    }
}
