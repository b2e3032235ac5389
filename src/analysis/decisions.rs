//! What repeating has decided: each level of a factor against its baseline, examined after every few rounds.
//!
//! Each look has a cost: at the looks of [`stats::looks`] each comparison spends a share of the level, and all looks
//! together spend the level once. What was decided at a look remains decided. This is a pure function of what was measured:
//! a run that is resumed, and its summary, come to the same result.

use std::collections::BTreeMap;

use serde::Serialize;

use super::compare::{Rounds, decided};
use super::stats::{self, Decision};
use super::summary::CellSummary;
use super::values::{self, Selection};
use record::Decide;
use vocabulary::{Better, Metric};

/// A metric of a workload in a cell, round by round.
pub struct Sample {
    /// Levels of the cell.
    pub levels: BTreeMap<String, String>,
    /// Name of the workload; empty for what belongs to targets.
    pub workload: String,
    /// Number of the round and value, ascending.
    pub values: Vec<(u32, f64)>,
}

/// What is known about one comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decided {
    /// The level that is compared with the baseline.
    pub level: String,
    /// The other levels of its cell.
    pub levels: BTreeMap<String, String>,
    /// Name of the workload.
    pub workload: String,
    /// `faster`, `slower`, `higher`, `lower` or `same`; none while it is undecided.
    pub verdict: Option<&'static str>,
    /// After how many rounds it was decided.
    pub rounds: Option<u32>,
    /// The level over the baseline by then: the ratio of Hodges and Lehmann. It has no interval, because several looks were taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// What the repetitions of a summary decide.
pub fn of_cells(cells: &[CellSummary], metric: &Metric, decide: &Decide, most: u32) -> Vec<Decided> {
    let whole = [""];
    let mut samples = Vec::new();
    let mut unit = String::new();
    for cell in cells.iter().filter(|c| c.skipped.is_none()) {
        let names = values::workloads(cell);
        for workload in if metric.is_resource() { &whole[..] } else { &names } {
            let part = Selection { workload: Some(*workload).filter(|w| !w.is_empty()), ..Selection::default() };
            let values = values::by_repetition(cell, metric, &part);
            if !values.is_empty() {
                unit = super::values::unit_of(cell, metric);
                samples.push(Sample { levels: cell.levels.clone(), workload: (*workload).to_owned(), values });
            }
        }
    }
    of(&samples, metric, &unit, decide, most)
}

/// What the given samples decide. `most`: the maximum number of rounds, over which the level is spread.
pub fn of(samples: &[Sample], metric: &Metric, unit: &str, decide: &Decide, most: u32) -> Vec<Decided> {
    let rest = |s: &Sample| -> BTreeMap<String, String> {
        s.levels.iter().filter(|(f, _)| **f != decide.by).map(|(f, l)| (f.clone(), l.clone())).collect()
    };
    let level = |s: &Sample| s.levels.get(&decide.by).cloned().unwrap_or_default();
    let mut pairs: Vec<(&Sample, &Sample)> = Vec::new();
    for other in samples.iter().filter(|s| level(s) != decide.baseline) {
        let same = |s: &&Sample| level(s) == decide.baseline && s.workload == other.workload && rest(s) == rest(other);
        pairs.extend(samples.iter().find(same).map(|base| (base, other)));
    }
    let values_of = |side: &[(u32, f64)]| side.iter().map(|(_, v)| *v).collect::<Vec<f64>>();
    let count = pairs.len();
    let judge = |(base, other): (&Sample, &Sample)| {
        let (level, levels, workload) = (level(other), rest(other), other.workload.clone());
        let mut found = Decided { level, levels, workload, verdict: None, rounds: None, ratio: None };
        for look in stats::looks(most as usize) {
            let until = |s: &Sample| -> Vec<(u32, f64)> {
                s.values.iter().copied().filter(|(number, _)| *number as usize <= look.rounds).collect()
            };
            // A round is over when both sides have gone beyond it, or ended with it.
            let there = |s: &Sample| s.values.last().is_some_and(|(number, _)| *number as usize >= look.rounds);
            if !there(base) || !there(other) {
                break;
            }
            let (a, b) = (until(base), until(other));
            let (below, above) = (values_of(&a), values_of(&b));
            let rounds = Rounds { together: true, ..Rounds::default() };
            let ratio = super::compare::ratio(&a, &b, &rounds).map(|(ratio, _)| ratio);
            let verdict = match decided(&a, &b, decide.threshold, count, &look) {
                Some(Decision::Same) => "same",
                Some(Decision::Differs) => {
                    let rises = ratio.map_or(stats::median(&above) > stats::median(&below), |ratio| ratio > 1.0);
                    match (metric.better(unit), rises) {
                        (Better::Unknown, true) => "higher",
                        (Better::Unknown, false) => "lower",
                        (Better::More, true) | (Better::Less, false) => "faster",
                        _ => "slower",
                    }
                }
                _ => continue,
            };
            (found.verdict, found.rounds, found.ratio) = (Some(verdict), Some(look.rounds as u32), ratio);
            break;
        }
        found
    };
    pairs.into_iter().map(judge).collect()
}

impl Decided {
    /// In words: `server=slowed: slower than as-is (0.942 times), after 14 rounds`.
    pub fn words(&self, decide: &Decide) -> String {
        let levels: Vec<String> = self.levels.iter().map(|(f, l)| format!("{f}={l}")).collect();
        let of = levels.into_iter().chain([format!("{}={}", decide.by, self.level)]).collect::<Vec<_>>().join(",");
        let workload = if self.workload.is_empty() { String::new() } else { format!(" ({})", self.workload) };
        let base = &decide.baseline;
        let times = self.ratio.map_or_else(String::new, |ratio| format!(" ({} times)", vocabulary::units::ratio(ratio)));
        let within = vocabulary::units::plain(decide.threshold * 100.0);
        match (self.verdict, self.rounds) {
            (Some("same"), Some(rounds)) => {
                format!("{of}{workload}: no difference from {base} beyond {within} %{times}, after {rounds} rounds")
            }
            (Some(verdict), Some(rounds)) => format!("{of}{workload}: {verdict} than {base}{times}, after {rounds} rounds"),
            _ => format!("{of}{workload}: not decided against {base}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(level: &str, values: impl Fn(u32) -> f64) -> Sample {
        let levels = BTreeMap::from([("kind".to_owned(), level.to_owned())]);
        Sample { levels, workload: "w".to_owned(), values: (1..=100).map(|n| (n, values(n))).collect() }
    }

    #[test]
    fn what_is_far_apart_is_decided_at_the_first_look_and_what_is_the_same_later() {
        let noise = |n: u32| 1.0 + f64::from(n * 37 % 11) / 200.0;
        let other = |n: u32| 1.0 + f64::from(n * 53 % 13) / 240.0;
        let samples = [sample("a", |n| 100.0 * noise(n)), sample("b", |n| 150.0 * other(n)), sample("c", |n| 100.0 * other(n))];
        let decide = Decide { by: "kind".to_owned(), baseline: "a".to_owned(), threshold: 0.05 };
        let found = of(&samples, &Metric::Throughput, "", &decide, 100);
        let told: Vec<_> = found.iter().map(|d| (d.level.as_str(), d.verdict)).collect();
        assert_eq!(told, [("b", Some("faster")), ("c", Some("same"))]);
        assert!(found[0].rounds <= found[1].rounds && found[0].rounds == Some(5), "{found:?}");
        assert_eq!(found[0].words(&decide), "kind=b (w): faster than a (1.477 times), after 5 rounds");
        // Later rounds change nothing, and a series that is too short is not decided.
        let short: Vec<Sample> = samples
            .iter()
            .map(|s| Sample { levels: s.levels.clone(), workload: s.workload.clone(), values: s.values[..4].to_vec() })
            .collect();
        assert!(of(&short, &Metric::Throughput, "", &decide, 100).iter().all(|d| d.verdict.is_none()));
    }
}
