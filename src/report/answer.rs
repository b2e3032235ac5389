//! The answer in one or two sentences, made from verdicts. Only what `compare` calls a difference is called one.

use analysis::compare::{Comparison, MOST_ROUNDS, Row, Verdict};
use analysis::expectations::{Finding, Outcome};
use analysis::overview::{telling, telling_name, varied};
use analysis::summary::{CellSummary, Estimate, Summary};
use analysis::values;
use record::PlanRecord;
use record::tables::WHOLE;
use vocabulary::Metric;
use vocabulary::units::{percent, ratio};
use vocabulary::words::in_shell;

use crate::view::Sentence;

/// At most this many differences are listed one by one; if there are more, only the largest.
const TOLD: usize = 3;
/// More repetitions than this are not recommended as a number.
const MOST: usize = 1000;

/// The answer of a comparison and of expectations. `others`: comparisons of other factors that vary, which nobody asked for;
/// `plan`: of the first of the runs.
pub fn answer(comparison: Option<&Comparison>, others: &[Comparison], plan: &PlanRecord, runs: &[&Summary]) -> Vec<Sentence> {
    let mut sentences = match comparison {
        Some(comparison) => {
            let mut sentences = compared(comparison, plan);
            // Where several factors vary, the reader may mean another one.
            if let (Some(by), true) = (&comparison.by, !others.is_empty())
                && let Some(first) = sentences.first_mut()
            {
                first.0.splice(0..0, Sentence::default().say("By ").name(by).say(": ").0);
            }
            sentences.extend(others.iter().map(in_short));
            sentences
        }
        None => runs.first().map(|summary| figures(plan, summary)).unwrap_or_default(),
    };
    sentences.extend(expected(&runs.iter().flat_map(|summary| &summary.expectations).collect::<Vec<_>>()));
    if sentences.is_empty() {
        sentences.push(Sentence::default().say("No repetition counts."));
    }
    sentences
}

/// The verdicts of a comparison, counted: `By work: slower in 2 of 2 comparisons (runner report --by work).`
fn in_short(comparison: &Comparison) -> Sentence {
    let by = comparison.by.clone().unwrap_or_default();
    let rows: Vec<&Row> = comparison.rows.iter().filter(|row| row.primary && !row.workload.is_empty()).collect();
    let differs: Vec<&Row> = rows.iter().copied().filter(|row| row.verdict.is_difference()).collect();
    let words = match differs.is_empty() {
        true => format!("no difference is significant in {} comparisons", rows.len()),
        false => verdicts(&differs, rows.len()),
    };
    Sentence::default().say("By ").name(&by).say(format!(": {words}; ")).name(format!("--by {by}")).say(" shows it.")
}

/// The differences that were shown, and what can be said about the rest.
fn compared(comparison: &Comparison, plan: &PlanRecord) -> Vec<Sentence> {
    // The memory of targets is a separate question, and is answered only if there is no other.
    let primary = || comparison.rows.iter().filter(|row| row.primary);
    let of_workloads: Vec<&Row> = primary().filter(|row| !row.workload.is_empty()).collect();
    let asked = if of_workloads.is_empty() { primary().collect() } else { of_workloads };
    let mut differs: Vec<&Row> = asked.iter().copied().filter(|row| row.verdict.is_difference()).collect();
    let size = |row: &Row| row.ratio.map_or(f64::INFINITY, |ratio| ratio.ln().abs());
    differs.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let mut sentences = Vec::new();
    if differs.len() > TOLD {
        sentences.push(counted(&differs, asked.len()));
    } else {
        sentences.extend(differs.iter().map(|row| difference(comparison, row)));
    }
    let rest: Vec<&Row> = asked.into_iter().filter(|row| !row.verdict.is_difference()).collect();
    if differs.len() > TOLD {
        sentences.push(difference(comparison, differs[0]));
    }
    sentences.extend(undecided(comparison, plan, &rest, differs.is_empty()));
    sentences
}

/// `Faster in 3 of 20 comparisons, slower in 11.`
fn counted(differs: &[&Row], all: usize) -> Sentence {
    Sentence::default().link(capitalized(&verdicts(differs, all)), "compared").say("; the largest difference:")
}

/// `faster in 3 of 20 comparisons, slower in 11`
fn verdicts(differs: &[&Row], all: usize) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in differs {
        match counts.iter_mut().find(|(word, _)| *word == row.verdict.words()) {
            Some((_, count)) => *count += 1,
            None => counts.push((row.verdict.words(), 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{word} in {count}")).collect();
    format!("{} of {all} comparisons", words.join(", "))
}

/// `get with processes=2: throughput 1.18 times that of processes=1 (95 %: 1.05 to 1.32), faster.`
fn difference(comparison: &Comparison, row: &Row) -> Sentence {
    let metric = Metric::by_name(&row.metric);
    let (base, other) = match &comparison.by {
        Some(by) => (format!("{by}={}", comparison.baseline), format!("{by}={}", row.side)),
        None => (comparison.baseline.clone(), row.side.clone()),
    };
    let of = cell_words(comparison, row);
    let sentence = if of.is_empty() { Sentence::default() } else { Sentence::default().name(of).say(" with ") };
    let sentence = sentence.name(other).say(": ");
    let words = metric.words();
    let sentence = match (row.ratio, row.ratio_interval) {
        (Some(found), Some((low, high))) => {
            let interval = format!(" (95 %: {} to {})", ratio(low), ratio(high));
            sentence.link(format!("{words} {} times", ratio(found)), "compared").say(" that of ").name(base).say(interval)
        }
        _ => {
            let (median, baseline) = (metric.human(&row.unit, row.median), metric.human(&row.unit, row.baseline_median));
            sentence.link(format!("{words} {median}"), "compared").say(format!(", against {baseline} with ")).name(base)
        }
    };
    sentence.say(format!(": {}.", row.verdict.words()))
}

/// Which cell and workload a row is about, as far as they differ between rows: `clients, connections=16, get`.
fn cell_words(comparison: &Comparison, row: &Row) -> String {
    let levels = comparison.factors.iter().filter_map(|factor| Some(telling(factor, row.levels.get(factor)?)));
    let several = comparison.rows.iter().any(|other| !other.workload.is_empty() && other.workload != row.workload);
    let workload = (several && !row.workload.is_empty()).then(|| row.workload.clone());
    workload.into_iter().chain(levels).collect::<Vec<_>>().join(", ")
}

/// What can be said if no difference was shown.
fn undecided(comparison: &Comparison, plan: &PlanRecord, rest: &[&Row], is_everything: bool) -> Option<Sentence> {
    let within = percent(comparison.threshold);
    let of = |verdict: Verdict| rest.iter().filter(|row| row.verdict == verdict).copied().collect::<Vec<&Row>>();
    let (same, few, open) = (of(Verdict::NoDifferenceShown), of(Verdict::TooFewRepetitions), of(Verdict::CannotTell));
    if rest.is_empty() {
        return None;
    }
    if !open.is_empty() {
        let words =
            "One session each is not enough for a verdict: runs made at different times differ even when nothing changed.";
        return Some(Sentence::default().link(words, "compared"));
    }
    // Other metrics may well differ: only this one was asked about.
    let metric = |rows: &[&Row]| Metric::by_name(&rows[0].metric).words();
    let mut parts = Vec::new();
    if !same.is_empty() {
        let of = match (few.is_empty(), is_everything) {
            (true, true) => String::new(),
            (true, false) => " in the other comparisons".to_owned(),
            (false, true) => format!(" in {} of {} comparisons", same.len(), rest.len()),
            (false, false) => format!(" in {} of {} others", same.len(), rest.len()),
        };
        parts.push(format!("no difference in {} beyond {within}{of}", metric(&same)));
    }
    if !few.is_empty() {
        let what = match (same.is_empty(), is_everything) {
            (true, true) => format!("no difference in {} is significant", metric(&few)),
            (true, false) => format!("no other difference in {} is significant", metric(&few)),
            (false, _) => format!("{} undecided", few.len()),
        };
        let n = few.iter().map(|row| row.n.min(row.baseline_n)).min().unwrap_or_default();
        parts.push(format!("{what} at {n} repetitions{}", enough(&few, &within)));
    }
    let words = parts.join("; ");
    let mut sentence = Sentence::default().link(capitalized(&words), "compared").say(".");
    // `repeat` decides what the experiment is mainly about; where it would not get there, it is not proposed.
    let needed = few.iter().filter(|row| row.primary).map(|row| row.needed());
    if let (Some(by), Some(needed)) = (&comparison.by, needed.max().flatten()) {
        if needed <= MOST_ROUNDS as usize {
            let source = if plan.source.is_empty() { "SCENARIO" } else { plan.source.as_str() };
            let until = format!("runner repeat {} --until decided --by {by}", in_shell(source));
            sentence = sentence.say(" ").name(until).say(" repeats it until that is decided.");
        } else {
            sentence = sentence
                .say(" A longer load varies less from one repetition to the next; more repetitions are hardly worth their time.");
        }
    }
    Some(behind(comparison).into_iter().fold(sentence, |sentence, metric| {
        let first = format!("runner compare RUN --primary {}", metric.name());
        sentence.say(format!(" By itself, {} differs: ", metric.words())).name(first).say(" tests it first.")
    }))
}

/// The first metric that differs if tested alone, although the primary one, which is tested first, does not.
fn behind(comparison: &Comparison) -> Option<Metric> {
    let row = comparison.rows.iter().find(|row| row.verdict == Verdict::BehindPrimary)?;
    Some(Metric::by_name(&row.metric))
}

/// How many repetitions would be enough: the most that any of the comparisons needs, for the difference that is seen and for the
/// smallest that matters.
fn enough(few: &[&Row], within: &str) -> String {
    let most = |more: fn(&Row) -> Option<usize>| few.iter().filter_map(|row| Some(row.n.min(row.baseline_n) + more(row)?)).max();
    let words = |n: usize| if n > MOST { format!("more than {MOST}") } else { n.to_string() };
    let about = |n: usize| if n > MOST { words(n) } else { format!("about {n}") };
    match (most(|row| row.more_for_seen), most(|row| row.more_for_threshold)) {
        (Some(seen), Some(threshold)) if seen < threshold => {
            format!(
                "; it takes {} of each to show the difference that is seen, and {} to show one of {within}",
                about(seen),
                about(threshold)
            )
        }
        (seen, threshold) => match threshold.or(seen) {
            Some(n) => format!("; {} of each would show a difference of {within}", words(n)),
            None => String::new(),
        },
    }
}

/// Without anything to compare: the figure that the experiment is mainly about, of each cell.
fn figures(plan: &PlanRecord, summary: &Summary) -> Vec<Sentence> {
    let varied = varied(summary);
    let cells = summary.cells.iter().enumerate().filter(|(_, c)| c.repetitions.valid > 0);
    let told = cells.filter_map(|(index, cell)| {
        let (metric, unit, estimate) = main_figure(plan, cell)?;
        let say = |value: f64| metric.human(&unit, value);
        let interval = match estimate.median_interval {
            Some((low, high)) if estimate.n > 2 => format!(" (95 %: {} to {})", say(low), say(high)),
            _ => format!(" (n = {})", estimate.n),
        };
        let name = telling_name(cell, &varied);
        let figure = format!("{} {}", metric.words(), say(estimate.median));
        Some(Sentence::default().name(name).say(": ").link(figure, format!("c{index}")).say(format!("{interval}.")))
    });
    told.take(TOLD).collect()
}

/// The figure that a cell is mainly about: the primary metric of the scenario, else what its program reports, else its rate.
fn main_figure(plan: &PlanRecord, cell: &CellSummary) -> Option<(Metric, String, Estimate)> {
    if let Some(limit) = cell.limits.iter().find_map(|l| l.rate_per_s.clone()) {
        return Some((Metric::Limit, String::new(), limit));
    }
    let own = |name: Option<&str>| {
        let mut metrics = cell.metrics.iter().filter(|m| m.phase == "during");
        let found = metrics.find(|m| name.map_or_else(|| values::is_own(cell, m), |name| m.metric == name))?;
        Some((Metric::named(&found.metric), found.unit.clone(), found.value.clone()))
    };
    match &plan.primary {
        Some(metric) if metric.is_named() => own(Some(metric.name())),
        Some(metric) if *metric != Metric::Throughput => {
            let values = values::of_cell(cell, metric, &values::Selection::default());
            Some((metric.clone(), String::new(), analysis::estimate::estimate(&values)?))
        }
        _ => own(None).or_else(|| {
            let step = cell.steps.iter().find(|s| s.step == WHOLE && s.phase == "during")?;
            Some((Metric::Throughput, String::new(), step.throughput_per_s.clone()?))
        }),
    }
}

/// How many expectations hold.
fn expected(findings: &[&Finding]) -> Option<Sentence> {
    let count = |outcome: Outcome| findings.iter().filter(|f| f.outcome == outcome).count();
    let judged = findings.len() - count(Outcome::Skipped);
    if judged == 0 {
        return None;
    }
    let (fail, open) = (count(Outcome::Fail), count(Outcome::Inconclusive));
    let mut words = match judged - fail - open {
        all if all == judged && judged == 1 => "The expectation holds".to_owned(),
        all if all == judged => format!("All {judged} expectations hold"),
        holds => format!("{holds} of {judged} expectations hold"),
    };
    for (count, verb, verbs) in [(fail, "fails", "fail"), (open, "is inconclusive", "are inconclusive")] {
        if count > 0 {
            words += &format!(", {count} {}", if count == 1 { verb } else { verbs });
        }
    }
    Some(Sentence::default().link(words, "expectations").say("."))
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}
