//! What speaks against a result: what `analysis` tells below its table, by kind, the most serious first.

use analysis::Summary;

use crate::view::{Objection, ObjectionLine};

/// Kinds in the order in which they are told; others come behind them.
const ORDER: [&str; 12] = [
    "FAILED",
    "INVALID",
    "MISSING",
    "DAMAGED",
    "NOTHING",
    "ERRORS",
    "SKIPPED",
    "SHORT",
    "NOT STEADY",
    "BUSY",
    "SILENCE",
    "AT THE END",
];

/// What speaks against a run. `letter`: of the run; `id`: of a cell's view, by the index of the cell.
pub fn against(summary: &Summary, letter: &str, id: impl Fn(usize) -> String) -> Vec<Objection> {
    let mut objections: Vec<Objection> = Vec::new();
    for (head, details) in noted(&analysis::notes::notes(summary, usize::MAX)) {
        let (kind, words) = head.split_once(": ").unwrap_or(("NOTE", &head));
        let mut named: Vec<(usize, &str)> = summary.cells.iter().map(|c| c.cell.as_str()).enumerate().collect();
        // The longest first: the name of one cell may be the start of another's.
        named.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
        let ends = |name: &str| words.ends_with(name) || words.ends_with(&format!("[{name}]"));
        let cell = named.into_iter().find(|(_, name)| !name.is_empty() && (ends(name) || words.contains(&format!("of {name} "))));
        let line = ObjectionLine { words: words.to_owned(), details, to: cell.map(|(index, _)| id(index)) };
        match objections.iter_mut().find(|o| o.kind == kind) {
            Some(objection) => objection.lines.push(line),
            None => {
                objections.push(Objection { kind: kind.to_owned(), run: letter.to_owned(), count: 0, lines: vec![line] });
            }
        }
    }
    objections.iter_mut().for_each(|o| o.count = o.lines.len());
    objections.sort_by_key(|o| ORDER.iter().position(|kind| *kind == o.kind).unwrap_or(ORDER.len()));
    objections
}

/// The lines of the notes, each with the lines below it that are set in.
fn noted(notes: &str) -> Vec<(String, Vec<String>)> {
    let mut noted: Vec<(String, Vec<String>)> = Vec::new();
    for line in notes.lines().filter(|line| !line.trim().is_empty()) {
        // A reason of several lines goes on at the margin: a line without a kind belongs to what is above it.
        let kind = line.split_once(": ").map_or("", |(kind, _)| kind);
        let is_head = !kind.is_empty() && kind.chars().all(|c| c.is_uppercase() || " -_0123456789".contains(c));
        if is_head || noted.is_empty() {
            noted.push((line.to_owned(), Vec::new()));
            continue;
        }
        // Why repetitions do not count is told behind everything else of their cell.
        let is_reason = line.starts_with("  repetition ");
        let does_not_count = |head: &str| ["FAILED", "INVALID"].iter().any(|kind| head.starts_with(kind));
        let place = noted.iter().rposition(|(head, _)| !is_reason || does_not_count(head)).unwrap_or(noted.len() - 1);
        noted[place].1.push(line.trim().to_owned());
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_below_a_note_belong_to_it() {
        let text = "\nERRORS: 3 of 9 passes of a=1\n  answered 404:\nnot here\nFAILED: 1 of 2 repetitions of a=1\nBUSY: much [a=1]\n  repetition 1: gone\n";
        let found = noted(text);
        let heads: Vec<&str> = found.iter().map(|(head, _)| head.as_str()).collect();
        assert_eq!(heads, ["ERRORS: 3 of 9 passes of a=1", "FAILED: 1 of 2 repetitions of a=1", "BUSY: much [a=1]"]);
        assert_eq!(found[0].1, ["answered 404:", "not here"]);
        assert_eq!(found[1].1, ["repetition 1: gone"], "a reason belongs to the repetitions that do not count");
    }
}
