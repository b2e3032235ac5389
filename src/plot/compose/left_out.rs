//! What is not drawn, and why: a picture without values shows nothing, and a load of a few windows has no visible course.

use std::collections::BTreeMap;

use super::{Composer, Pictures, phases};
use analysis::summary::CellSummary;
use record::Shape;
use vocabulary::units::{exact_duration, nanos};

/// A load with fewer windows than this has no visible course; its steadiness cannot be tested, either.
const LEAST_WINDOWS: u64 = 10;
/// Names beyond these are counted.
const MOST_NAMES: usize = 3;

/// A graph that is not drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The name that its file would have, without `.png`.
    pub name: String,
    /// Why there is nothing to see, in the same words for all graphs that share the reason.
    pub why: String,
    /// The cells that have no values for that reason.
    pub cells: Vec<String>,
}

impl Pictures {
    /// A line for each reason: which graphs are not drawn, why, and which cells are concerned.
    pub fn left_out_words(&self) -> Vec<String> {
        let mut reasons: Vec<&str> = Vec::new();
        for one in &self.left_out {
            if !reasons.contains(&one.why.as_str()) {
                reasons.push(&one.why);
            }
        }
        let words = |why: &str| {
            let mine = || self.left_out.iter().filter(|one| one.why == why);
            let names: Vec<&str> = mine().map(|one| one.name.as_str()).collect();
            let mut cells: Vec<&str> = Vec::new();
            for cell in mine().flat_map(|one| &one.cells) {
                if !cells.contains(&cell.as_str()) {
                    cells.push(cell);
                }
            }
            let (graphs, why) = match names.len() {
                1 => ("graph", why.to_owned()),
                _ => ("graphs", why.replace("its cells", "their cells")),
            };
            let of = if cells.is_empty() { String::new() } else { format!(" [{}]", some(&cells)) };
            format!("{} {graphs} not drawn ({}): {why}{of}", names.len(), some(&names))
        };
        reasons.into_iter().map(words).collect()
    }
}

/// The first few names, and how many more there are.
fn some(names: &[&str]) -> String {
    match names.len().checked_sub(MOST_NAMES) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..MOST_NAMES].join(", ")),
    }
}

/// Why a cell has no values at all.
fn reason(cell: &CellSummary) -> Option<String> {
    match (&cell.skipped, cell.repetitions.valid) {
        (Some(why), _) => Some(format!("its cells were skipped, because {why}")),
        (None, 0) => Some("its cells have no valid repetition".to_owned()),
        (None, _) => None,
    }
}

impl Composer<'_> {
    /// The words for a picture that would show nothing.
    pub(super) fn without_values(&self) -> LeftOut {
        let cells: Vec<(&CellSummary, Option<String>)> = self.cells().map(|(_, cell)| (cell, reason(cell))).collect();
        let mut reasons: Vec<&str> = cells.iter().filter_map(|(_, why)| why.as_deref()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        // A cell that was measured has values of something, but none of this.
        let measured = cells.iter().any(|(_, why)| why.is_none());
        let why = if measured { "nothing was measured for it".to_owned() } else { reasons.join("; ") };
        let cells = cells.iter().filter(|(_, why)| measured == why.is_none()).map(|(cell, _)| cell.cell.clone()).collect();
        LeftOut { name: String::new(), why, cells }
    }

    /// The words for lines over the time of a load that is too short for them; none for other graphs.
    pub(super) fn too_short(&self) -> Option<LeftOut> {
        if !matches!(self.graph.shape, Shape::Lines(_)) {
            return None;
        }
        let window = self.run.plan.window;
        let (mut longest, mut cells) = (0, Vec::new());
        for (index, cell) in self.cells() {
            let repetitions = analysis::curves::counted(self.run, index, &cell.repetitions.counted);
            let lengths = repetitions.into_iter().filter_map(|one| {
                let found = phases(cell, one);
                let start = found.iter().map(|(_, start, _)| *start).min()?;
                Some(found.iter().map(|(_, _, end)| *end).max()?.saturating_sub(start))
            });
            if let Some(length) = lengths.max() {
                longest = longest.max(length);
                cells.push(cell.cell.clone());
            }
        }
        if cells.is_empty() || longest >= LEAST_WINDOWS * nanos(window) {
            return None;
        }
        let why = format!("the load is shorter than ten windows of {}", exact_duration(window));
        Some(LeftOut { name: String::new(), why, cells })
    }

    /// The cells of this picture that were not executed, by their reason.
    pub(super) fn skipped(&self) -> Option<String> {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for why in self.cells().filter_map(|(_, cell)| cell.skipped.as_deref()) {
            *reasons.entry(why).or_default() += 1;
        }
        let cells = |count: usize| if count == 1 { "cell" } else { "cells" };
        let words = reasons.iter().map(|(why, count)| format!("{count} {} skipped, because {why}", cells(*count)));
        (!reasons.is_empty()).then(|| words.collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(name: &str, why: &str, cells: &[&str]) -> LeftOut {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        LeftOut { name: name.to_owned(), why: why.to_owned(), cells }
    }

    #[test]
    fn a_reason_is_told_once_however_many_graphs_it_concerns() {
        let cells = ["x=1", "x=2", "x=3", "x=4"];
        let left_out = vec![
            left_out("a", "its cells were skipped, because haproxy is missing", &cells[..2]),
            left_out("b", "nothing was measured for it", &[]),
            left_out("c", "its cells were skipped, because haproxy is missing", &cells),
        ];
        let words = Pictures { figures: Vec::new(), left_out }.left_out_words();
        let expected = [
            "2 graphs not drawn (a, c): their cells were skipped, because haproxy is missing [x=1, x=2, x=3 and 1 more]",
            "1 graph not drawn (b): nothing was measured for it",
        ];
        assert_eq!(words, expected);
    }
}
