//! Whatever was skipped, failed, invalid or answered wrongly: nothing is hidden, and everything is said once.
//!
//! What several cells have in common is one note with a count; `summary.json` has all of it, cell by cell.

use std::collections::{BTreeMap, BTreeSet};

use super::summary::{CellSummary, StepSummary, Summary, TargetSummary};
use record::tables::WHOLE;
use vocabulary::Outcome;
use vocabulary::columns::wrap;
use vocabulary::metric::{NOT_RECOVERED, RECOVERY};
use vocabulary::units::{human_bytes, human_duration, significant};
use vocabulary::words::{alike, first_line};

/// At most this many notes of one kind, cells of one note, or messages of failed requests are shown; the others are counted.
const SHOWN: usize = 3;

/// At most this many kinds of failed requests are shown; there are not many kinds.
const KINDS: usize = 8;

/// Passes that took longer than this at the end of a load are reported even if all of them were answered.
const LONG_AT_END_NS: u64 = 250_000_000;
/// A tail that is a larger share of a load than this is reported.
const LONG_TAIL: f64 = 0.1;

/// The notes, after an empty line; nothing if nothing is unusual. No line is wider than `width` columns, except for
/// the output of programs.
pub fn notes(summary: &Summary, width: usize) -> String {
    let line = |words: &str| line(words, width);
    let mut text = skipped(summary, width);
    text += &summary.gaps.iter().map(|gaps| line(&gaps.words())).collect::<String>();
    text += &uncounted(summary, width);
    text += &errors(summary, width);
    text += &of_cells(summary, width);
    text += &summary.node_differences.iter().map(|words| line(&format!("NODES DIFFER: {words}"))).collect::<String>();
    text += &short(summary).map(|words| line(&words)).unwrap_or_default();
    let elsewhere = |t: &&TargetSummary| t.replicas > 0 && !t.watched;
    let unwatched: BTreeSet<&str> =
        summary.cells.iter().flat_map(|c| &c.targets).filter(elsewhere).map(|t| t.target.as_str()).collect();
    for target in unwatched {
        text += &line(&format!("NOT WATCHED: {target} is only an address; its memory and processors are not known"));
    }
    text += &summary.damaged.iter().map(|what| line(&format!("DAMAGED: {what}"))).collect::<String>();
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A note, in as many lines as it needs. Only its first line is wrapped: others, such as the end of a log, stay as they are.
fn line(words: &str, width: usize) -> String {
    match words.split_once('\n') {
        None => wrap(words, width, 2),
        Some((first, rest)) => format!("{}{}\n", wrap(first, width, 2), rest.trim_end()),
    }
}

fn skipped(summary: &Summary, width: usize) -> String {
    let line = |words: &str| line(words, width);
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in summary.cells.iter().filter_map(|c| c.skipped.as_deref()) {
        *skipped.entry(reason).or_default() += 1;
    }
    let words = |(reason, count)| line(&format!("SKIPPED: {count} of {} cells, because {reason}", summary.cells.len()));
    skipped.into_iter().map(words).collect()
}

/// Repetitions that do not count for the same reason.
struct Uncounted<'s> {
    word: &'static str,
    /// The first of the reasons.
    reason: &'s str,
    /// Whether the others say exactly the same.
    is_same: bool,
    /// How many repetitions there are.
    count: u32,
    /// Cells with the numbers of their repetitions; no numbers where they do not matter.
    cells: Vec<(&'s CellSummary, Vec<u32>)>,
}

/// What failed, is invalid or missing: each reason once.
fn uncounted(summary: &Summary, width: usize) -> String {
    let mut all: Vec<Uncounted<'_>> = Vec::new();
    for cell in &summary.cells {
        let r = &cell.repetitions;
        let mut add = |word, reason, count, number: Option<u32>| {
            let at = all.iter().position(|u| u.word == word && alike(u.reason, reason)).unwrap_or_else(|| {
                all.push(Uncounted { word, reason, is_same: true, count: 0, cells: Vec::new() });
                all.len() - 1
            });
            let mine = &mut all[at];
            mine.is_same &= mine.reason == reason;
            mine.count += count;
            if mine.cells.last().is_none_or(|(last, _)| !std::ptr::eq(*last, cell)) {
                mine.cells.push((cell, Vec::new()));
            }
            mine.cells.last_mut().expect("one was just added").1.extend(number);
        };
        for (number, reason) in &r.reasons {
            let word = if r.failures.contains(number) { "FAILED" } else { "INVALID" };
            add(word, reason, 1, Some(*number));
        }
        let explained: BTreeSet<u32> = r.reasons.iter().map(|(number, _)| *number).collect();
        let unexplained = (r.invalid + r.failed).saturating_sub(explained.len() as u32);
        let missing = r.missing();
        for (word, reason, count) in
            [("INVALID", "no reason is recorded", unexplained), ("MISSING", "they were not executed", missing)]
        {
            if count > 0 {
                add(word, reason, count, None);
            }
        }
    }
    let planned: u32 = summary.cells.iter().map(|c| c.repetitions.planned).sum();
    let executed = summary.cells.iter().filter(|c| c.skipped.is_none()).count();
    let mut text: String = all.iter().map(|one| one.words(planned, executed, width)).collect();
    // For repetitions that do not count, nothing else says what was wrong, unless the reason does.
    let is_said = |words: &String| all.iter().any(|one| one.reason.contains(words.as_str()));
    let of_none = summary.cells.iter().filter(|c| c.repetitions.valid == 0).flat_map(|c| &c.repetitions.errors);
    let of_none = of_none.filter(|words| !is_said(words));
    text += &examples(of_none, width);
    text
}

impl Uncounted<'_> {
    /// `planned`: how many repetitions there should be; `executed`: how many cells.
    fn words(&self, planned: u32, executed: usize, width: usize) -> String {
        let Self { word, reason, is_same, count, cells } = self;
        let differ = if *is_same { "" } else { " (elsewhere with other numbers)" };
        let (first, rest) = first_line(reason);
        let mut text = line(&format!("{word} {count} of {planned}: {first}{differ}{rest}"), width);
        let numbers = |numbers: &[u32]| {
            let shown: String = numbers.iter().take(SHOWN).map(|n| format!(" #{n}")).collect();
            let others = numbers.len().saturating_sub(SHOWN);
            if others > 0 { format!("{shown} and {others} more") } else { shown }
        };
        match cells.as_slice() {
            [(_, all)] if executed == 1 => {
                if !all.is_empty() {
                    text += &wrap(&format!("  repetitions{}", numbers(all)), width, 2);
                }
            }
            // Neither cells nor numbers say more than that.
            some if some.len() == executed && some.len() > SHOWN => text += &format!("  in all {executed} cells\n"),
            some => {
                let words = some.iter().take(SHOWN).map(|(cell, all)| format!("{}{}", cell.cell, numbers(all)));
                let mut words: Vec<String> = words.collect();
                if some.len() > SHOWN {
                    words.push(match some.len() - SHOWN {
                        1 => "and 1 more cell".to_owned(),
                        others => format!("and {others} more cells"),
                    });
                }
                text += &words.iter().map(|words| wrap(&format!("  {words}"), width, 2)).collect::<String>();
            }
        }
        text
    }
}

/// Messages of the first failed requests, each kind once.
fn examples<'s>(all: impl Iterator<Item = &'s String>, width: usize) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for words in all {
        if !kinds.iter().any(|known| alike(known, words)) {
            kinds.push(words);
        }
    }
    let mut text: String = kinds.iter().take(KINDS).map(|words| line(&format!("  {words}"), width)).collect();
    if kinds.len() > KINDS {
        text += &format!("  and {} more kinds\n", kinds.len() - KINDS);
    }
    text
}

/// Passes of a cell that were not answered as expected, by kind.
struct Wrong<'s> {
    cell: &'s CellSummary,
    parts: [u64; 4],
    all: u64,
}

const PARTS: [&str; 4] = ["answered wrongly", "failed without an answer", "never sent", "open at the end"];

impl<'s> Wrong<'s> {
    fn of(cell: &'s CellSummary) -> Self {
        let sum = |of: fn(&StepSummary) -> u64| cell.steps.iter().filter(|s| s.step == WHOLE).map(of).sum::<u64>();
        let parts = [
            sum(|s| s.errors.iter().filter(|(outcome, _)| Outcome::word_is_answer(outcome)).map(|(_, n)| n).sum()),
            sum(|s| s.errors.iter().filter(|(outcome, _)| !Outcome::word_is_answer(outcome)).map(|(_, n)| n).sum()),
            sum(|s| s.unsent),
            sum(|s| s.open),
        ];
        Self { cell, parts, all: sum(|s| s.requests + s.unsent) }
    }

    fn count(&self) -> u64 {
        self.parts.iter().sum()
    }

    fn share(&self) -> f64 {
        self.count() as f64 / self.all.max(1) as f64
    }
}

/// What was not answered as expected: cell by cell if there are few, else all together with the worst of them.
fn errors(summary: &Summary, width: usize) -> String {
    let line = |words: &str| line(words, width);
    let wrong: Vec<Wrong<'_>> = summary.cells.iter().map(Wrong::of).filter(|wrong| wrong.count() > 0).collect();
    let words = |parts: [u64; 4]| {
        let parts = parts.iter().zip(PARTS).filter(|(n, _)| **n > 0).map(|(n, what)| format!("{n} {what}"));
        parts.collect::<Vec<_>>().join(", ")
    };
    if wrong.len() <= SHOWN {
        let one = |one: &Wrong<'_>| {
            let (cell, parts) = (&one.cell.cell, words(one.parts));
            let words =
                format!("ERRORS: {} of {} passes of {cell} were not answered as expected ({parts})", one.count(), one.all);
            // If nothing counts, they are listed above already.
            let said = one.cell.repetitions.errors.iter().filter(|_| one.cell.repetitions.valid > 0);
            format!("{}{}", line(&words), examples(said, width))
        };
        return wrong.iter().map(one).collect();
    }
    let mut parts = [0; 4];
    wrong.iter().for_each(|one| parts.iter_mut().zip(one.parts).for_each(|(sum, n)| *sum += n));
    let Some(worst) = wrong.iter().max_by(|a, b| a.share().total_cmp(&b.share())) else { return String::new() };
    let (count, all) = wrong.iter().fold((0, 0), |(count, all), one| (count + one.count(), all + one.all));
    let mut text = line(&format!(
        "ERRORS: {count} of {all} passes in {} of {} cells were not answered as expected ({}); the largest share is {} of {} in {}",
        wrong.len(),
        summary.cells.iter().filter(|c| c.skipped.is_none()).count(),
        words(parts),
        worst.count(),
        worst.all,
        worst.cell.cell
    ));
    let said = wrong.iter().filter(|one| one.cell.repetitions.valid > 0).flat_map(|one| &one.cell.repetitions.errors);
    text += &examples(said, width);
    text
}

/// What is unusual in some cells: the first notes of each kind, and how many more there are.
fn of_cells(summary: &Summary, width: usize) -> String {
    let line = |words: &str| line(words, width);
    let all: Vec<(String, String)> = summary.cells.iter().flat_map(of_cell).collect();
    let mut kinds: Vec<&str> = Vec::new();
    all.iter().for_each(|(word, _)| {
        if !kinds.contains(&word.as_str()) {
            kinds.push(word);
        }
    });
    let mut text = String::new();
    for kind in kinds {
        let mine: Vec<&str> = all.iter().filter(|(word, _)| word == kind).map(|(_, words)| words.as_str()).collect();
        // A line that says "1 more" is as long as the note itself.
        let shown = if mine.len() == SHOWN + 1 { mine.len() } else { SHOWN };
        text += &mine.iter().take(shown).map(|words| line(&format!("{kind}: {words}"))).collect::<String>();
        if mine.len() > shown {
            text += &line(&format!("  {kind}: {} more, named in summary.json", mine.len() - shown));
        }
    }
    text
}

/// What is unusual in a cell: a word for each kind, with a sentence.
fn of_cell(cell: &CellSummary) -> Vec<(String, String)> {
    let mut notes: Vec<(String, String)> = Vec::new();
    let mut add = |word: &str, words: String| notes.push((word.to_owned(), words));
    let name = &cell.cell;
    for steadiness in &cell.steadiness {
        let (word, auto) = match steadiness.auto_warm_up {
            true => ("WARM-UP", ", everything before that is left out"),
            false => ("NOT STEADY", ""),
        };
        if let Some(warning) = steadiness.warning() {
            add(word, format!("{warning}{auto} [{name}]"));
        }
    }
    for load in &cell.loads {
        let of = format!("{} in {} [{name}]", load.workload, load.phase);
        let open: u64 = load.at_end.values().sum();
        // Some passes are under way at the end of every load; those that end soon and as expected are not worth a note.
        if open > load.at_end.get("ok").copied().unwrap_or_default() || load.at_end_longest_ns > LONG_AT_END_NS {
            let outcomes: Vec<String> = load.at_end.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
            let longest = human_duration(load.at_end_longest_ns as f64);
            let outcomes = outcomes.join(", ");
            add("AT THE END", format!("{open} passes under way or waiting ({outcomes}), for at most {longest}, of {of}"));
        }
        if load.silence_ns > 0 {
            let silence = human_duration(load.silence_ns as f64);
            add("SILENCE", format!("up to {silence} in a repetition without a correct answer although passes were due, of {of}"));
        }
        if let Some(tail_ns) = load.tail_ns.filter(|ns| *ns as f64 > LONG_TAIL * load.seconds * 1e9) {
            let (tail, all) = (human_duration(tail_ns as f64), human_duration(load.seconds * 1e9));
            add("TAIL", format!("for the last {tail} of {all} fewer connections were busy than requested, of {of}"));
        }
    }
    if let Some(words) = cell.repetitions.ended_early.first() {
        let times = cell.repetitions.ended_early.len();
        let more = if times > 1 { format!(", and in {} further repetitions", times - 1) } else { String::new() };
        add("ENDED EARLY", format!("{words}{more} [{name}]"));
    }
    for (target, bytes) in &cell.logs_cut {
        let cut = human_bytes(*bytes as f64);
        add("LOG", format!("{cut} of the logs of {target} were cut off because of log-limit [{name}]"));
    }
    if cell.sent_again > 0 {
        let requests = if cell.sent_again == 1 { "request" } else { "requests" };
        add("SENT AGAIN", format!("{} {requests} that the server said (GOAWAY) it had not processed [{name}]", cell.sent_again));
    }
    if let Some((count, first)) = &cell.executed_again {
        let were = if *count == 1 {
            "attempt of a repetition came to nothing, and it was"
        } else {
            "attempts of repetitions came to nothing, and these were"
        };
        add("LOST", format!("{count} {were} executed again: {first} [{name}]"));
    }
    if let Some(busy) = &cell.busy {
        add("BUSY", format!("{busy} [{name}]"));
    }
    for target in cell.targets.iter().filter(|target| target.deaths > 0) {
        let times = if target.deaths == 1 { "once".to_owned() } else { format!("{} times", target.deaths) };
        add("DEATHS", format!("{} ended {times} under load and was started again [{name}]", target.target));
    }
    for metric in cell.metrics.iter().filter(|m| m.metric == NOT_RECOVERED && m.value.mean > 0.0) {
        let valid = cell.repetitions.valid;
        let count = (metric.value.mean / 100.0 * valid as f64).round();
        let words =
            "the load was not as before when it ended, or when the next fault began; the recovery time there is a lower bound";
        add("NOT RECOVERED", format!("after {} in {count} of {valid} repetitions {words} [{name}]", metric.workload));
    }
    let has_time = |fault: &&String| cell.metrics.iter().any(|m| m.metric == RECOVERY && m.workload == **fault);
    for fault in cell.faults.iter().filter(|fault| cell.repetitions.valid > 0 && !has_time(fault)) {
        let why = "it did not happen, or too few windows before it tell what was usual";
        add("NO RECOVERY TIME", format!("of {fault}: {why} [{name}]"));
    }
    for kills in cell.figures.iter().filter(|series| series.metric == "oom_kills") {
        let count: f64 = kills.values.iter().map(|(_, value)| value).sum();
        if count > 0.0 {
            let processes = if count == 1.0 { "1 process".to_owned() } else { format!("{count} processes") };
            let why = "killed by the kernel because of the limit of its memory";
            add("OUT OF MEMORY", format!("{processes} of {}: {why} [{name}]", kills.part.target));
        }
    }
    let compacted = cell.repetitions.compacted;
    if compacted > 0 {
        let kept = "only their transfers were kept, and no figure includes them";
        add("COMPACTED", format!("{compacted} repetitions of {name} because of their age: {kept}"));
    }
    cell.counts.iter().for_each(|count| add("COUNTS", format!("{count} [{name}]")));
    super::stages::words(&cell.stages).iter().for_each(|stages| add("STAGES", format!("{stages} [{name}]")));
    cell.taps.iter().for_each(|tap| add("TAP", format!("{tap} [{name}]")));
    if cell.repetitions.valid > 0 && cell.steps.is_empty() {
        add("NOTHING", format!("no pass started in {name}"));
    }
    for step in cell.steps.iter().filter(|s| s.step == WHOLE && s.phase != "warm-up") {
        for (outcome, count) in step.named.iter().filter(|(_, count)| **count > 0) {
            let share = significant(*count as f64 / step.requests as f64 * 100.0);
            let of = format!("{count} of {} passes of {} ({share} %)", step.requests, step.workload);
            add(&outcome.to_uppercase(), format!("{of} in {} [{name}]", step.phase));
        }
    }
    notes
}

/// Loads that are too short to say much about.
fn short(summary: &Summary) -> Option<String> {
    let loads = || summary.cells.iter().flat_map(|c| &c.loads);
    let short: Vec<f64> = loads().filter(|l| l.is_short).map(|l| l.seconds).collect();
    let shortest = short.iter().copied().reduce(f64::min)?;
    let longest = short.iter().copied().fold(0.0, f64::max);
    let words = |seconds: f64| human_duration(seconds * 1e9);
    let range =
        if words(shortest) == words(longest) { words(shortest) } else { format!("{} to {}", words(shortest), words(longest)) };
    let of = if short.len() == loads().count() { "all".to_owned() } else { format!("{} of {}", short.len(), loads().count()) };
    let least = loads().map(|l| l.least_seconds).fold(0.0, f64::max);
    // Windows may be so short that ten of them are less than any load needs, which is a second.
    let windows = if least > 1.0 { format!(" (ten windows of {})", words(least / 10.0)) } else { String::new() };
    Some(format!("SHORT: {of} loads took {range}; steadiness needs at least {}{windows}", words(least)))
}
