//! A comparison for people, as text of at least 80 columns or as Markdown.

use super::{Comparison, Row, Verdict};
use crate::grid::{Grid, Kind};
use crate::report::{escaped, literal};
use crate::stability::p;
use vocabulary::Metric;
use vocabulary::columns::{WIDTH, wrap};
use vocabulary::units::ratio;
use vocabulary::words::harmless;

/// The comparison as a table, with the explanations that it needs above and below it. `room`: how wide the table may be; the
/// explanations have 80 columns.
pub fn text(comparison: &Comparison, room: usize) -> String {
    let mut text = wrap(&title(comparison), WIDTH, 2);
    for (letter, side) in letters(comparison) {
        text += &wrap(&format!("  {letter}: {side}"), WIDTH, 2);
    }
    for difference in &comparison.differences {
        text += &wrap(&format!("  DIFFERS: {difference}"), WIDTH, 2);
    }
    text.push('\n');
    let columns = Columns::of(comparison);
    let mut table = Grid::new(columns.header().into_iter().enumerate().map(|(at, name)| (name, columns.kind(at)))).within(room);
    comparison.rows.iter().for_each(|row| table.add(columns.row(row)));
    text += &format!("{}\n", table.text());
    let method = method(comparison);
    // Nothing is explained that is not there.
    let shown = |line: &&str| !table.lacks_room() || !line.starts_with("p: ");
    let method: String = method.lines().filter(shown).map(|line| format!("{line}\n")).collect();
    text += &wrap(&method, WIDTH, 2);
    if table.lacks_room() {
        text += "p is left out: a wider terminal has room for it, and `--format markdown` shows it anywhere\n";
    }
    text += &wrap(&counts(comparison), WIDTH, 2);
    text += &by_node(comparison).iter().map(|line| wrap(line, WIDTH, 4)).collect::<String>();
    for note in comparison.notes.iter().filter(|note| !comparison.missing.contains(note)) {
        text += &wrap(&format!("NOTE: {note}"), WIDTH, 2);
    }
    for missing in &comparison.missing {
        text += &wrap(&format!("MISSING: {missing}"), WIDTH, 2);
    }
    text
}

/// The comparison in the Markdown of GitHub.
pub fn markdown(comparison: &Comparison) -> String {
    let columns = Columns::of(comparison);
    let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| escaped(c)).collect::<Vec<_>>().join(" | "));
    let mut text = format!("### {}\n\n", plain(&title(comparison)));
    for (letter, side) in letters(comparison) {
        text += &format!("- {letter}: {}\n", plain(&side));
    }
    for difference in &comparison.differences {
        text += &format!("- **differs:** {}\n", plain(difference));
    }
    if !comparison.differences.is_empty() || !letters(comparison).is_empty() {
        text.push('\n');
    }
    let header: Vec<String> = columns.header().iter().map(|name| literal(name)).collect();
    text += &line(&header);
    let rule = |at: usize| if columns.kind(at) == Kind::Words { "---" } else { "---:" }.to_owned();
    text += &line(&(0..header.len()).map(rule).collect::<Vec<_>>());
    for row in &comparison.rows {
        let mut cells = columns.row(row);
        // Levels, runs, workloads and metrics have names that users chose.
        cells.iter_mut().take(columns.names()).for_each(|name| *name = literal(name));
        if let Some(last) = cells.last_mut()
            && row.verdict.is_difference()
        {
            *last = format!("**{last}**");
        }
        text += &line(&cells);
    }
    text += &format!("\n{}", literal(&method(comparison)));
    text += &literal(&counts(comparison));
    for line in by_node(comparison) {
        text += &format!("\n> {}\n", plain(&line));
    }
    for note in &comparison.notes {
        text += &format!("\n> {}\n", plain(note));
    }
    text
}

/// The rows of a comparison in words, as [`text`] and [`markdown`] show them.
pub struct Rows {
    /// Names of the columns.
    pub header: Vec<String>,
    /// How many columns on the left are names; the columns after them are numbers, and the last one is the verdict.
    pub names: usize,
    /// The words of each row, in the order of [`Comparison::rows`].
    pub rows: Vec<Vec<String>>,
}

/// The same words in columns, for other forms of the same table.
pub fn rows(comparison: &Comparison) -> Rows {
    let columns = Columns::of(comparison);
    let rows = comparison.rows.iter().map(|row| columns.row(row)).collect();
    Rows { header: columns.header(), names: columns.names(), rows }
}

/// Words on a line of their own, in which no character has a meaning in Markdown.
fn plain(text: &str) -> String {
    literal(&harmless(text).replace(['\n', '\t'], " "))
}

/// What is compared with what.
pub fn title(comparison: &Comparison) -> String {
    let step = comparison.step.as_ref().map_or_else(String::new, |step| format!(", `{step}`"));
    match &comparison.by {
        Some(by) => format!("{}{step}: levels of {by} against {}", comparison.experiment, comparison.baseline),
        None => {
            let mut sides: Vec<&str> = comparison.rows.iter().map(|r| r.side.as_str()).collect();
            sides.sort_unstable();
            sides.dedup();
            let others = if sides.len() == 1 { sides[0].to_owned() } else { format!("{} runs", sides.len()) };
            format!("{}{step}: {others} against {}", comparison.experiment, comparison.baseline)
        }
    }
}

/// What the columns mean, in lines that fit a terminal.
pub fn method(comparison: &Comparison) -> String {
    let threshold = (comparison.threshold * 10_000.0).round() / 100.0;
    let over = match comparison.corrected_over {
        1 => "one comparison".to_owned(),
        n => format!("{n} comparisons"),
    };
    let mut text = String::from("base, other: medians over repetitions; ");
    if comparison.by.is_some() {
        let paired = comparison.rows.iter().any(|r| r.pairs > 0);
        let rounds = if paired { ", pairs" } else { "" };
        text += "HL ratio: other over base by Hodges and\n";
        text += &format!("Lehmann; 95 %: interval of the test (Welch on logarithms, ranks{rounds})\n");
        if comparison.nodes.len() > 1 {
            text += &format!("within each of {} nodes: what a node does to both sides cancels out\n", comparison.nodes.len());
        }
    } else if comparison.rows.iter().any(|row| row.ratio_interval.is_some()) {
        text +=
            "ratio: other over base, geometric means\nof sessions, with the 95 % interval of Student's t on their logarithms\n";
    } else {
        text += "ratio: other over base\n";
    }
    if comparison.rows.iter().any(|row| row.p_corrected.is_some()) {
        text += &format!("p: corrected over {over}; metrics marked * first, then the others\n");
    }
    text += &format!("differences within {threshold} % do not matter\n");
    let any = |of: fn(&Row) -> bool| comparison.rows.iter().any(of);
    if any(|r| r.more_for_seen.is_some() || r.more_for_threshold.is_some()) {
        text += "too few, +n/+m: n more repetitions of each would show the difference seen,\n";
        text += &format!("m more a difference of {threshold} %; a single number covers both\n");
    }
    if any(|r| r.rests_on_shape) {
        text += "°: rests on the shape of the distribution; ranks alone need more repetitions\n";
    }
    if any(|r| r.verdict == Verdict::BehindPrimary) {
        text += "behind *: by itself it differs; `--primary METRIC` tests it first\n";
    }
    if any(|r| r.verdict == Verdict::CannotTell) {
        text += "cannot tell: sessions differ even when nothing changed, and it is unknown by how\n";
        text += "much; `runner doctor --same FILE` measures it, `runner repeat --sessions 4`\n";
        text += "makes several of each, and levels of one run (`--by`) need neither\n";
    } else if let Some(sessions) = comparison.floor_sessions.filter(|n| *n > 0) {
        text += &format!("the floor: {sessions} sessions of the same thing\n");
    }
    text
}

/// The ratio within each node, a line for each primary metric: whether nodes agree.
pub fn by_node(comparison: &Comparison) -> Vec<String> {
    let asked = comparison.rows.iter().filter(|row| row.primary && row.by_node.iter().flatten().count() > 1);
    let line = |row: &Row| {
        let levels = row.levels.iter().filter(|(factor, _)| comparison.factors.contains(factor)).map(|(_, level)| level.as_str());
        let workload = row.workload.as_str();
        let several = comparison.rows.iter().any(|other| !other.workload.is_empty() && other.workload != workload);
        let of = levels.chain([row.side.as_str()]).chain(several.then_some(workload)).chain([row.metric.as_str()]);
        let ratios = comparison.nodes.iter().zip(&row.by_node);
        let ratios = ratios.map(|(node, found)| format!("{node} {}", found.map_or_else(|| "–".to_owned(), ratio)));
        format!(
            "BY NODE: {}: {}",
            of.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
            ratios.collect::<Vec<_>>().join(", ")
        )
    };
    asked.map(line).collect()
}

/// Where several runs are compared with the baseline: a letter for each, since names are long.
pub fn letters(comparison: &Comparison) -> Vec<(char, String)> {
    let mut sides: Vec<String> = Vec::new();
    for row in &comparison.rows {
        if !sides.contains(&row.side) {
            sides.push(row.side.clone());
        }
    }
    if comparison.by.is_some() || sides.len() < 2 {
        return Vec::new();
    }
    ('B'..='Z').zip(sides).collect()
}

/// How often each verdict was given.
pub fn counts(comparison: &Comparison) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in &comparison.rows {
        let word = row.verdict.words();
        match counts.iter_mut().find(|(w, _)| *w == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    format!("{}\n", words.join(", "))
}

/// Columns of numbers: baseline, other, ratio, interval, p.
const NUMBERS: usize = 5;

/// Only what differs between rows gets a column.
struct Columns<'a> {
    comparison: &'a Comparison,
    side: bool,
    workload: bool,
    /// Whether a comparison has more than its primary metric.
    several: bool,
}

impl<'a> Columns<'a> {
    fn of(comparison: &'a Comparison) -> Self {
        let several = |of: fn(&Row) -> &str| {
            let names: std::collections::BTreeSet<&str> = comparison.rows.iter().map(of).filter(|n| !n.is_empty()).collect();
            names.len() > 1
        };
        let side = several(|r| &r.side) || comparison.by.is_some();
        let behind = comparison.rows.iter().any(|r| !r.primary);
        Self { comparison, side, workload: several(|r| &r.workload), several: behind }
    }

    fn names(&self) -> usize {
        self.comparison.factors.len() + usize::from(self.side) + usize::from(self.workload) + 1
    }

    fn kind(&self, at: usize) -> Kind {
        match at.checked_sub(self.names()) {
            // The verdict says what p means.
            Some(4) => Kind::Spare,
            Some(number) if number < NUMBERS => Kind::Number,
            _ => Kind::Words,
        }
    }

    fn header(&self) -> Vec<String> {
        let mut header = self.comparison.factors.clone();
        if self.side {
            header.push(self.comparison.by.clone().unwrap_or_else(|| "run".to_owned()));
        }
        if self.workload {
            header.push("workload".to_owned());
        }
        let ratio = if self.comparison.by.is_some() { "HL ratio" } else { "ratio" };
        header.extend(["metric", "base", "other", ratio, "95 %", "p", "verdict"].map(str::to_owned));
        header
    }

    fn row(&self, row: &Row) -> Vec<String> {
        let metric = Metric::by_name(&row.metric);
        let value = |v: f64| metric.human(&row.unit, v);
        let mut cells: Vec<String> =
            self.comparison.factors.iter().map(|f| row.levels.get(f).cloned().unwrap_or_default()).collect();
        if self.side {
            let letter = letters(self.comparison).into_iter().find(|(_, side)| *side == row.side);
            cells.push(letter.map_or_else(|| row.side.clone(), |(letter, _)| letter.to_string()));
        }
        if self.workload {
            cells.push(row.workload.clone());
        }
        let none = || "–".to_owned();
        cells.extend([
            format!("{}{}", row.metric, if row.primary && self.several { "*" } else { "" }),
            value(row.baseline_median),
            value(row.median),
            row.ratio.map_or_else(none, ratio),
            row.ratio_interval.map_or_else(none, |(low, high)| format!("{}–{}", ratio(low), ratio(high))),
            row.p_corrected.filter(|_| row.asked).map_or_else(none, p),
        ]);
        cells.push(match row.verdict {
            Verdict::TooFewRepetitions if row.sessions.is_some() => "too few sessions".to_owned(),
            Verdict::TooFewRepetitions => match (row.more_for_seen, row.more_for_threshold) {
                (Some(seen), Some(threshold)) if seen != threshold => format!("too few, {}/{}", more(seen), more(threshold)),
                (seen, threshold) => seen.or(threshold).map_or_else(|| "too few".to_owned(), |n| format!("too few, {}", more(n))),
            },
            Verdict::NoDifferenceShown => "no difference".to_owned(),
            Verdict::CannotTell => "cannot tell".to_owned(),
            Verdict::BehindPrimary => "behind *".to_owned(),
            verdict => format!("{}{}", verdict.words(), if row.rests_on_shape { "°" } else { "" }),
        });
        cells
    }
}

fn more(repetitions: usize) -> String {
    if repetitions > 1000 { ">1000".to_owned() } else { format!("+{repetitions}") }
}
