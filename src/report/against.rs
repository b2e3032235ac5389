//! The caveats of a result: the notes that `analysis` shows with its table, by kind, the most serious first.

use analysis::Summary;
use analysis::compare::Comparison;
use analysis::notes::notes;
use vocabulary::words::harmless;

use crate::view::{Objection, ObjectionLine};

/// Kinds in the order in which they are shown; others follow.
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

/// The caveats of a run. `letter`: of the run; `id`: of a cell's view, by the index of the cell.
pub fn against(summary: &Summary, letter: &str, id: impl Fn(usize) -> String) -> Vec<Objection> {
    let mut objections: Vec<Objection> = Vec::new();
    for Note { kind, words, details } in noted(&harmless(&notes(summary, usize::MAX))) {
        let mut named: Vec<(usize, &str)> = summary.cells.iter().map(|c| c.cell.as_str()).enumerate().collect();
        // The longest first: the name of one cell may be the start of another name.
        named.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
        let ends = |name: &str| words.ends_with(name) || words.ends_with(&format!("[{name}]"));
        let cell = named.into_iter().find(|(_, name)| !name.is_empty() && (ends(name) || words.contains(&format!("of {name} "))));
        let line = ObjectionLine { details, to: cell.map(|(index, _)| id(index)), words };
        match objections.iter_mut().find(|o| o.kind == kind) {
            Some(objection) => objection.lines.push(line),
            None => {
                objections.push(Objection { kind, run: letter.to_owned(), count: 0, lines: vec![line] });
            }
        }
    }
    objections.iter_mut().for_each(|o| o.count = o.lines.len());
    objections.sort_by_key(|o| ORDER.iter().position(|kind| *kind == o.kind).unwrap_or(ORDER.len()));
    objections
}

/// What speaks against the verdicts of a comparison: drift, missing levels, levels that were measured one after the other.
pub fn of_comparison(comparison: &Comparison) -> Option<Objection> {
    let line = |note: &String| ObjectionLine { words: harmless(note).into_owned(), details: Vec::new(), to: None };
    let lines: Vec<ObjectionLine> = comparison.notes.iter().map(line).collect();
    let objection = Objection { kind: "COMPARISON".to_owned(), run: String::new(), count: lines.len(), lines };
    Some(objection).filter(|objection| objection.count > 0)
}

/// A note: its kind, its words, and the lines below it.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    kind: String,
    words: String,
    details: Vec<String>,
}

/// The notes of a run. A line that does not start with a kind belongs to the note above it: indented lines, and reasons of
/// several lines.
fn noted(notes: &str) -> Vec<Note> {
    let mut noted: Vec<Note> = Vec::new();
    for line in notes.lines().filter(|line| !line.trim().is_empty()) {
        match (head(line), noted.last_mut()) {
            (None, Some(note)) => note.details.push(line.trim().to_owned()),
            (found, _) => {
                let (kind, words) = found.unwrap_or(("NOTE", line.trim()));
                noted.push(Note { kind: kind.to_owned(), words: words.to_owned(), details: Vec::new() });
            }
        }
    }
    noted
}

/// The kind of a note, which is in capitals, and its words: `NOT STEADY: …`, `FAILED 3 of 9: …`. None if the line is not a note.
fn head(line: &str) -> Option<(&str, &str)> {
    let (head, _) = line.split_once(": ").filter(|_| !line.starts_with(' '))?;
    let is_of_kind = |word: &&str| word.chars().all(|c| c.is_uppercase() || c == '-');
    let length = head.split(' ').take_while(is_of_kind).map(|word| word.len() + 1).sum::<usize>().checked_sub(1)?;
    Some((&line[..length], line[length..].trim_start_matches(':').trim_start())).filter(|(kind, _)| !kind.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_below_a_note_belong_to_it() {
        let text = "\nERRORS: 3 of 9 passes of a=1\n  answered 404:\nnot here\nFAILED 1 of 2: port 8001 is taken\n  a=1 #1\nNOT STEADY: a=1\n";
        let found = noted(text);
        let heads: Vec<(&str, &str)> = found.iter().map(|note| (note.kind.as_str(), note.words.as_str())).collect();
        assert_eq!(heads, [("ERRORS", "3 of 9 passes of a=1"), ("FAILED", "1 of 2: port 8001 is taken"), ("NOT STEADY", "a=1")]);
        assert_eq!(found[0].details, ["answered 404:", "not here"]);
        assert_eq!(found[1].details, ["a=1 #1"]);
    }

    #[test]
    fn what_has_no_kind_is_no_note() {
        for line in ["  FAILED 1 of 2: x", "answered 404: not here", "x", "", ": y", "Error: z"] {
            assert_eq!(head(line), None, "{line:?}");
        }
    }
}
