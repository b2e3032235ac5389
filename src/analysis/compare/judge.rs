//! From two cells to rows with verdicts.

use std::collections::BTreeMap;

use super::case::Case;
use super::sessions;
use super::{Comparison, Error, FEWEST, LEVEL, METRICS, Options, POWER, Row, SIGNIFICANT, Verdict, name};
use crate::stats::{Decision, Family, decide, gate};
use crate::summary::CellSummary;
use crate::values::unit_of;
use crate::values::{self, Selection};
use crate::{stability, stats};
use record::RunRecord;
use vocabulary::Metric;

/// What is compared: a cell on both sides, in one session or several of each side.
pub(super) struct Pair<'a> {
    pub base: Vec<&'a CellSummary>,
    pub other: Vec<&'a CellSummary>,
    /// The same cell in sessions that were made to measure how much sessions differ.
    pub floor: Vec<&'a CellSummary>,
    /// The name of the other side.
    pub side: String,
    /// The levels that both sides have.
    pub levels: BTreeMap<String, String>,
    /// How their repetitions belong together, where both are part of one run.
    pub rounds: &'a Rounds,
}

impl Pair<'_> {
    /// Whether both are part of one run.
    fn is_within(&self, comparison: &Comparison) -> bool {
        comparison.by.is_some()
    }
}

pub(super) fn judge(
    mut comparison: Comparison,
    pairs: &[Pair<'_>],
    options: &Options,
    primary: Option<Metric>,
) -> Result<Comparison, Error> {
    comparison.step = options.step.as_ref().map(|name| step(name, pairs)).transpose()?;
    let mut families: Vec<Vec<Case>> = Vec::new();
    for pair in pairs {
        if let Some(words) = incomparable(pair, &mut comparison) {
            comparison.notes.push(words);
            continue;
        }
        let (base, other) = (pair.base[0], pair.other[0]);
        let mut of_workloads: Vec<(Option<String>, Vec<Case>)> = Vec::new();
        for (metric, workload) in metrics_of(base, other, &options.metrics, primary.as_ref()) {
            let part = Selection { workload: workload.as_deref(), step: comparison.step.as_deref(), ..Selection::default() };
            let part = &part;
            let of = |cells: &[&CellSummary]| cells.iter().map(|c| values::by_repetition(c, &metric, part)).collect::<Vec<_>>();
            let (a, b) = (of(&pair.base), of(&pair.other));
            // What neither side has is not missing: a workload that only connects has no response times.
            let [no_a, no_b] = [&a, &b].map(|side| side.iter().any(Vec::is_empty));
            if no_a || no_b {
                if no_a != no_b {
                    let which = if no_a { name(base) } else { name(other) };
                    comparison.notes.push(format!("{which} has no {}", metric.name()));
                }
                continue;
            }
            let row = empty_row(pair, workload.clone().unwrap_or_default(), &metric, unit_of(base, &metric));
            let case = match pair.is_within(&comparison) {
                true => within_a_run(row, &metric, [&a[0], &b[0]], pair.rounds),
                false => sessions::between(row, &metric, [&a, &b], &of(&pair.floor)),
            };
            let case = Case { names: [name(base).to_owned(), name(other).to_owned()], ..case };
            // Targets are a separate question: memory may grow where nothing becomes slower.
            let at = of_workloads.iter().position(|(w, _)| *w == workload);
            match at {
                Some(at) => of_workloads[at].1.push(case),
                None => of_workloads.push((workload, vec![case])),
            }
        }
        families.extend(of_workloads.into_iter().map(|(_, cases)| cases));
    }
    let all = || families.iter().flatten();
    let missing = options.metrics.iter().find(|m| !all().any(|c| c.metric == **m));
    // Where nothing is left to compare, the error says so.
    if families.is_empty() && !comparison.missing.is_empty() {
        return Ok(comparison);
    }
    if families.is_empty() || missing.is_some() {
        return Err(Error::Metric(missing.map_or("throughput", |m| m.name()).to_owned()));
    }
    if let Some(named) = options.primary.as_ref().filter(|m| !all().any(|c| c.metric == **m)) {
        return Err(Error::Metric(named.name().to_owned()));
    }
    notes_on_independence(&mut comparison, &all().collect::<Vec<_>>(), pairs.len() > 1);
    comparison.corrected_over = families.len();
    comparison.rows = judged(families, options.threshold, primary);
    let differs = |factor: &&String| {
        let labels: std::collections::BTreeSet<_> = comparison.rows.iter().map(|r| r.levels.get(*factor)).collect();
        labels.len() > 1
    };
    let all: Vec<String> = comparison.rows.first().map(|r| r.levels.keys().cloned().collect()).unwrap_or_default();
    comparison.factors = all.iter().filter(differs).cloned().collect();
    Ok(comparison)
}

/// The step with this name, or the kind of passes.
fn step(name: &str, pairs: &[Pair<'_>]) -> Result<String, Error> {
    let cells = pairs.iter().flat_map(|pair| pair.base.iter().chain(&pair.other));
    let known: std::collections::BTreeSet<&str> = cells.flat_map(|cell| &cell.steps).map(|step| step.step.as_str()).collect();
    let kind = format!("({name})");
    let found = [name, kind.as_str()].into_iter().find(|name| known.contains(name));
    let unknown = || Error::Step { name: name.to_owned(), known: vocabulary::words::one_of(known.iter().copied()) };
    found.map(str::to_owned).ok_or_else(unknown)
}

/// Why two cells are not compared.
fn incomparable(pair: &Pair<'_>, comparison: &mut Comparison) -> Option<String> {
    let all = || pair.base.iter().chain(&pair.other);
    let skipped: Vec<_> = all().filter_map(|c| c.skipped.as_ref().map(|reason| (name(c), reason))).collect();
    if let Some((cell, reason)) = skipped.first() {
        let words = format!("{cell} was skipped, because {reason}");
        if skipped.len() < all().count() {
            comparison.missing.push(words.clone());
        }
        return Some(words);
    }
    let cell = all().find(|c| c.repetitions.valid == 0)?;
    let words = format!("{} has no repetition that counts", name(cell));
    comparison.missing.push(words.clone());
    Some(words)
}

fn empty_row(pair: &Pair<'_>, workload: String, metric: &Metric, unit: String) -> Row {
    Row { side: pair.side.clone(), levels: pair.levels.clone(), workload, metric: metric.name().to_owned(), unit, ..Row::empty() }
}

/// Two samples of a run, with the numbers of their repetitions.
fn within_a_run(row: Row, metric: &Metric, [a, b]: [&[(u32, f64)]; 2], rounds: &Rounds) -> Case {
    let pairs: Vec<(usize, usize)> = if rounds.together {
        let places: BTreeMap<u32, usize> = b.iter().enumerate().map(|(at, (number, _))| (*number, at)).collect();
        a.iter().enumerate().filter_map(|(at, (number, _))| Some((at, *places.get(number)?))).collect()
    } else {
        Vec::new()
    };
    let values = |side: &[(u32, f64)]| side.iter().map(|(_, v)| *v).collect::<Vec<f64>>();
    // A round whose node is not known belongs to none of those that are.
    let strata =
        |side: &[(u32, f64)]| side.iter().map(|(round, _)| rounds.nodes.get(round).copied().unwrap_or(usize::MAX)).collect();
    let strata: [Vec<usize>; 2] = [strata(a), strata(b)];
    let by_node = rounds.ratios([a, b]);
    let strata = (!rounds.nodes.is_empty()).then_some((strata[0].as_slice(), strata[1].as_slice()));
    compared(Row { by_node, ..row }, metric, (values(a), values(b)), pairs, strata)
}

/// How the repetitions of a run belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rounds {
    /// Whether repetitions with the same number were executed in one round.
    pub together: bool,
    /// Which node executed each round; empty for a run that was executed as a whole.
    pub nodes: BTreeMap<u32, usize>,
}

impl Rounds {
    /// Those of a run.
    pub fn of(run: &RunRecord) -> Self {
        Self { together: run.plan.is_in_rounds(), nodes: run.node_of_rounds() }
    }

    /// The ratio of both sides within each node: the median of all ratios (Hodges & Lehmann 1963).
    fn ratios(&self, sides: [&[(u32, f64)]; 2]) -> Vec<Option<f64>> {
        let nodes = self.nodes.values().max().map_or(0, |last| last + 1);
        let ratio = |node: usize| {
            let [a, b] = sides.map(|side| {
                side.iter().filter(|(round, _)| self.nodes.get(round) == Some(&node)).map(|(_, v)| *v).collect::<Vec<f64>>()
            });
            Some(stats::hodges_lehmann_ratio(&a, &b, LEVEL).ok()?.estimate)
        };
        (0..nodes).map(ratio).collect()
    }
}

fn compared(
    row: Row,
    metric: &Metric,
    (a, b): (Vec<f64>, Vec<f64>),
    pairs: Vec<(usize, usize)>,
    strata: Option<(&[usize], &[usize])>,
) -> Case {
    let mut row = Row { pairs: pairs.len(), ..row.with(&a, &b) };
    let of_pairs = (!pairs.is_empty()).then_some(pairs.as_slice());
    let mut smallest_p = 0.0;
    if let Ok(found) = stats::compare_two_in(&a, &b, of_pairs, strata, LEVEL) {
        (row.ratio, row.ratio_interval, row.p) = (Some(found.estimate), found.interval, Some(found.p));
        smallest_p = found.smallest_rank_p;
    } else if let Ok(found) = stats::compare_two_by_rank_in(&a, &b, of_pairs, strata, LEVEL) {
        // Values of 0 have no ratio.
        (row.p, smallest_p) = (Some(found.p), found.smallest_p);
    }
    Case { pairs, ..Case::new(row, metric, a, b, smallest_p) }
}

/// The other over the baseline, by number of the repetition: the ratio of Hodges and Lehmann with its 95 % interval, if there
/// are enough repetitions. `rounds`: which repetitions belong together. None if a value is not above 0.
pub fn ratio(baseline: &[(u32, f64)], other: &[(u32, f64)], rounds: &Rounds) -> Option<(f64, Option<(f64, f64)>)> {
    let case = within_a_run(Row::empty(), &Metric::Throughput, [baseline, other], rounds);
    match case.row.ratio {
        Some(ratio) => Some((ratio, case.row.ratio_interval)),
        // A single value has no interval.
        None => Some((stats::hodges_lehmann_ratio(&case.a, &case.b, LEVEL).ok()?.estimate, None)),
    }
}

/// Whether a comparison of rounds is decided at a look: see [`stats::decide`]. `corrected_over`: the number of comparisons.
pub fn decided(
    a: &[(u32, f64)],
    b: &[(u32, f64)],
    threshold: f64,
    corrected_over: usize,
    look: &stats::Look,
) -> Option<Decision> {
    let case = within_a_run(Row::empty(), &Metric::Throughput, [a, b], &Rounds { together: true, ..Rounds::default() });
    decide(&case.a, &case.b, Some(&case.pairs), threshold, *look, SIGNIFICANT / corrected_over.max(1) as f64).ok()
}

/// A drift over a run that is larger than this share is more than an imprecision.
const LARGE_DRIFT: f64 = 0.5;

/// Notes samples that drift or whose rounds depend on each other. The level is such that chance alone gives one note in
/// twenty comparisons, over all samples. Their p is too small, since their repetitions are not independent.
fn notes_on_independence(comparison: &mut Comparison, cases: &[&Case], several: bool) {
    let level = stability::SIGNIFICANT / (2 * cases.len()) as f64;
    let sides = comparison.by.is_none() && several;
    for case in cases {
        // Several sessions are not one series of rounds.
        if case.row.sessions.is_some_and(|sessions| sessions != (1, 1)) {
            continue;
        }
        for (sample, cell, run) in [(&case.a, &case.names[0], &comparison.baseline), (&case.b, &case.names[1], &case.row.side)] {
            let (mut words, mut is_large) = (Vec::new(), false);
            if let Ok(trend) = stats::kendall(sample)
                && trend.p < level
            {
                let share = stability::drift(stats::median(sample), stats::theil_sen(sample) * (sample.len() - 1) as f64);
                let sign = if share < 0.0 { "−" } else { "+" };
                words.push(format!("drifts, {sign}{:.1} % from first to last round", share.abs() * 100.0));
                is_large = share.abs() > LARGE_DRIFT;
            }
            if let Ok(memory) = stats::lag1(sample)
                && memory.p < level
            {
                words.push(match memory.r < 0.0 {
                    true => format!("alternates from round to round (r {:.2})", memory.r),
                    false => format!("is similar in successive rounds (r {:.2})", memory.r),
                });
            }
            if words.is_empty() {
                continue;
            }
            // A series that only alternates is worth no fewer repetitions.
            let worth = stats::serial_dependence(sample)
                .ok()
                .filter(|memory| memory.inflation > 1.0)
                .map_or_else(String::new, |memory| {
                    format!("; they say as much as about {:.0} of {} that are", memory.worth.max(1.0), sample.len())
                });
            let run = if sides { format!(" in {run}") } else { String::new() };
            let what = format!("{} of {cell}{run}", case.metric.name());
            let advice = match (is_large, worth.is_empty()) {
                (true, _) => ". Find out what changed during the run before you rely on a verdict about it",
                (false, false) => ". A verdict with a p close to 0.01 may not hold: repeat the run",
                (false, true) => "",
            };
            let note =
                format!("{what} {}: its repetitions are not independent of each other{worth}{advice}", words.join(" and "));
            if !comparison.notes.contains(&note) {
                comparison.notes.push(note);
            }
        }
    }
}

/// Corrects p over all families, starting with the primary metric of each, and gives each row its verdict.
fn judged(families: Vec<Vec<Case>>, threshold: f64, primary: Option<Metric>) -> Vec<Row> {
    // What a workload is mainly about, where the scenario does not say so.
    let usual = |c: &Case| matches!(c.metric, Metric::Throughput | Metric::Limit | Metric::Named(_));
    let named = |cases: &[Case]| cases.iter().position(|c| Some(&c.metric) == primary.as_ref());
    let question = |cases: &[Case]| named(cases).or_else(|| cases.iter().position(usual)).unwrap_or(0);
    let p = |case: &Case| case.row.p.unwrap_or(f64::NAN);
    let asked: Vec<Family> = families
        .iter()
        .map(|cases| {
            let first = question(cases);
            let others = cases.iter().enumerate().filter(|(at, _)| *at != first).map(|(_, case)| p(case)).collect();
            Family { primary: p(&cases[first]), others }
        })
        .collect();
    let count = asked.iter().filter(|f| !f.primary.is_nan()).count().max(1);
    let mut rows = Vec::new();
    for ((cases, corrected), family) in families.into_iter().zip(gate(&asked)).zip(&asked) {
        // What the other p of the family would be if its primary metric were significant.
        let alone = stats::holm(&family.others);
        let mut alone = alone.into_iter();
        let (first, mut others) = (question(&cases), corrected.others.into_iter());
        let behind = cases.len() - 1;
        for (at, mut case) in cases.into_iter().enumerate() {
            let p = if at == first { Some(corrected.primary) } else { others.next() };
            case.row.primary = at == first;
            case.row.p_corrected = p.filter(|p| !p.is_nan());
            case.row.verdict = case.verdict(threshold);
            let alpha = SIGNIFICANT / count as f64 / if at == first { 1.0 } else { behind as f64 };
            let by_itself = if at == first { None } else { alone.next() };
            case.row.asked = at == first || corrected.primary < SIGNIFICANT;
            // The level that the row's own p had to reach.
            let share = SIGNIFICANT / count as f64;
            let own = by_itself.zip(case.row.p).map_or(share, |(alone, p)| if alone > 0.0 { share * p / alone } else { alpha });
            case.row.rests_on_shape = case.row.verdict.is_difference() && own < case.smallest_p;
            if case.row.verdict == Verdict::TooFewRepetitions
                && by_itself.is_some_and(|p| p * (count as f64) < SIGNIFICANT)
                && case.row.n.min(case.row.baseline_n) >= FEWEST
            {
                case.row.verdict = Verdict::BehindPrimary;
            }
            if case.row.verdict == Verdict::TooFewRepetitions {
                (case.row.more_for_seen, case.row.more_for_threshold) = case.more(threshold, alpha);
            }
            rows.push(case.row);
        }
    }
    rows
}

/// What is compared between two cells: each metric, with its workload where it has one. The first metric of a workload is
/// the primary one where the scenario names none.
fn metrics_of(
    base: &CellSummary,
    other: &CellSummary,
    wanted: &[Metric],
    primary: Option<&Metric>,
) -> Vec<(Metric, Option<String>)> {
    let usual = || METRICS.iter();
    let mut found = Vec::new();
    for workload in values::workloads(base) {
        let brought = || base.metrics.iter().filter(|m| m.workload == workload && m.phase == "during");
        let own = || brought().filter(|m| values::is_own(base, m));
        let searched = [base, other].into_iter().all(|c| c.limits.iter().any(|l| l.workload == workload));
        let mut metrics: Vec<Metric> = match (wanted.is_empty(), searched, own().next()) {
            (false, ..) => wanted.iter().filter(|m| !m.is_resource()).cloned().collect(),
            (true, true, _) => vec![Metric::Limit],
            // What a program measures matters, not how long the program took.
            (true, false, Some(_)) => own().map(|m| Metric::named(&m.metric)).collect(),
            (true, false, None) => usual().filter(|m| !m.is_resource()).cloned().collect(),
        };
        // The scenario's primary metric is always compared, whatever else is.
        if let Some(metric) = primary.filter(|m| wanted.is_empty() && !m.is_resource() && !metrics.contains(m))
            && (!metric.is_named() || brought().any(|m| m.metric == metric.name()))
        {
            metrics.insert(0, metric.clone());
        }
        found.extend(metrics.into_iter().map(|m| (m, Some(workload.to_owned()))));
    }
    let mut resources: Vec<&Metric> = if wanted.is_empty() { usual().collect() } else { wanted.iter().collect() };
    resources.extend(primary.filter(|m| wanted.is_empty() && !METRICS.contains(m)));
    found.extend(resources.into_iter().filter(|m| m.is_resource()).map(|m| (m.clone(), None)));
    found
}

/// Whether a ratio's whole interval is within the range in which a difference does not matter.
fn within(interval: (f64, f64), threshold: f64) -> bool {
    interval.0 > 1.0 / (1.0 + threshold) && interval.1 < 1.0 + threshold
}

/// Compares two samples of a metric by themselves: a comparison of one row. `in_rounds`: values at the same position belong
/// to the same round.
pub fn samples(metric: &Metric, unit: &str, baseline: &[f64], other: &[f64], in_rounds: bool, threshold: f64) -> Row {
    let row = Row { metric: metric.name().to_owned(), unit: unit.to_owned(), ..Row::empty() };
    let pairs = if in_rounds { (0..baseline.len().min(other.len())).map(|i| (i, i)).collect() } else { Vec::new() };
    let case = compared(row, metric, (baseline.to_vec(), other.to_vec()), pairs, None);
    judged(vec![vec![case]], threshold, None).remove(0)
}

/// Compares sessions of one metric by themselves: for each side and the floor, the repetitions of each session.
#[cfg(test)]
pub(super) fn of_sessions(metric: &Metric, [a, b]: [&[Vec<f64>]; 2], floor: &[Vec<f64>], threshold: f64) -> Row {
    let numbered = |side: &[Vec<f64>]| side.iter().map(|s| (1..).zip(s.iter().copied()).collect()).collect::<Vec<_>>();
    let case = sessions::between(Row::empty(), metric, [&numbered(a), &numbered(b)], &numbered(floor));
    judged(vec![vec![case]], threshold, None).remove(0)
}

impl Verdict {
    /// Whether it says that there is a difference.
    pub fn is_difference(self) -> bool {
        !matches!(self, Self::NoDifferenceShown | Self::TooFewRepetitions | Self::CannotTell | Self::BehindPrimary)
    }
}

impl Case {
    fn verdict(&self, threshold: f64) -> Verdict {
        let (row, metric) = (&self.row, &self.metric);
        let Some(p) = row.p_corrected else { return Verdict::CannotTell };
        let inside = row.ratio_interval.is_some_and(|interval| within(interval, threshold));
        // Values of 0 on both sides have no ratio and no difference.
        let zeros = || row.n.min(row.baseline_n) > 1 && self.a.iter().chain(&self.b).all(|v| *v == 0.0);
        if inside || zeros() {
            return Verdict::NoDifferenceShown;
        }
        if p >= SIGNIFICANT || row.n.min(row.baseline_n) < FEWEST {
            return Verdict::TooFewRepetitions;
        }
        let rises = row.ratio.map_or(row.median > row.baseline_median, |r| r > 1.0);
        Verdict::of_difference(metric, &row.unit, rises)
    }

    /// How many more repetitions of each would show a difference of the size that is seen, and one of the threshold's size;
    /// none if that is unknown, as between sessions, where more repetitions do not help.
    fn more(&self, threshold: f64, alpha: f64) -> (Option<usize>, Option<usize>) {
        if self.row.sessions.is_some() {
            return (None, None);
        }
        let there = self.a.len().min(self.b.len());
        // With fewer than three values the spread is unknown: as many as any test needs.
        if there < FEWEST {
            return (None, (there + 1..1000).find(|n| stats::smallest_p(*n, *n) < alpha).map(|n| n - there));
        }
        let Ok(needed) = stats::repetitions_after_pilot(&self.a, &self.b, threshold.max(0.001), alpha, POWER) else {
            return (None, None);
        };
        let more = |needed: usize| needed.saturating_sub(there).max(1);
        (Some(more(needed.for_effect)), Some(more(needed.for_threshold)))
    }
}
