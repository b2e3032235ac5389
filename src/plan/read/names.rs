//! Names that a scenario may use where it refers to results: factors, levels, workloads, targets and metrics.

use std::sync::Arc;

use super::levels::Factor;
use plan::factors::label_of;
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, SourceFile};
use vocabulary::metric::{Row, catalogue};
use vocabulary::{Metric, Time};

/// Names that factors and `let` may not take, with their existing meaning.
pub(super) const RESERVED: [(&str, &str); 16] = [
    ("id", "the fresh id of each pass"),
    ("pass", "the number of each pass"),
    ("connection", "the number of a connection"),
    ("ivorn", "the identifier of an event"),
    ("env", "environment variables"),
    ("replica", "the number of a replica"),
    ("scratch", "the scratch directory of a repetition"),
    ("kept", "the directory of a run"),
    ("repetition", "the number of a repetition"),
    ("targets", "the targets' ports and addresses"),
    ("container", "the name of a container"),
    ("links", "the far sides of links"),
    ("hosts", "the addresses of machines"),
    ("cache", "the directories that set-up steps keep"),
    ("load_begin", "the start of the load"),
    ("load_end", "the end of the load"),
];

/// The names that a scenario gives to its parts.
pub(super) struct ScenarioNames<'a> {
    /// Its factors, with their levels.
    pub factors: &'a [Factor],
    /// Its workloads, what is collected, its taps and its scrapes.
    pub workloads: &'a [&'a str],
    /// All targets, including those that are only in some cells.
    pub targets: &'a [&'a str],
    /// Metrics that it adds to those of the catalogue.
    pub metrics: &'a [&'a str],
    /// Those of them that have values over time.
    pub over_time: &'a [&'a str],
}

/// An item of a list that refers to results: a graph, an expectation.
pub(super) struct ResultQuery<'a> {
    /// The file that it is in.
    pub file: &'a Arc<SourceFile>,
    /// Its YAML.
    pub node: &'a Node,
    /// What it may name.
    pub names: &'a ScenarioNames<'a>,
    /// What is wrong with it, and with items read before.
    pub mistakes: &'a mut Vec<Mistake>,
}

impl<'a> ResultQuery<'a> {
    /// Notes a mistake at a key's value, or at the start of the item if it has no such key.
    pub fn say(&mut self, key: &str, found: impl Into<String>, expected: impl Into<String>) {
        let span = self.node.get(key).map_or(self.node.head, |n| n.span);
        self.mistakes.push(Mistake::new(self.file, span, found).expected(expected));
    }

    /// Adds `did you mean …` to the mistake just noted.
    pub fn suggest<'k>(&mut self, typed: &str, known: impl IntoIterator<Item = &'k str>) {
        if let Some(mistake) = self.mistakes.pop() {
            self.mistakes.push(mistake.did_you_mean(typed, known));
        }
    }

    /// The metric with this name, among the fitting ones of the catalogue and those in `brought`.
    ///
    /// # Errors
    /// The names of all of them.
    pub fn find(&self, name: &str, fits: impl Fn(&Row) -> bool, brought: &[&'a str]) -> Result<Metric, Vec<&'a str>> {
        let brought = brought.iter().copied();
        if brought.clone().any(|known| known == name) {
            return Ok(Metric::named(name));
        }
        let fitting = || catalogue().iter().filter(|row| fits(row));
        let found = fitting().find(|row| row.name == name).map(|row| row.metric.clone());
        found.ok_or_else(|| fitting().map(|row| row.name.as_str()).chain(brought).collect())
    }

    /// One of the existing names of a kind, such as `workload`.
    pub fn name_of(&mut self, key: &str, name: &str, kind: &str, known: &[&str]) -> bool {
        if known.contains(&name) {
            return true;
        }
        let expected = if known.is_empty() {
            format!("expected none: there is no {kind}")
        } else {
            format!("expected {}", one_of(known.iter().copied()))
        };
        let span = self.node.get(key).map_or(self.node.span, |n| n.span);
        let mistake = Mistake::new(self.file, span, format!("there is no {kind} `{name}`")).expected(expected);
        self.mistakes.push(mistake.did_you_mean(name, known.iter().copied()));
        false
    }

    /// Notes when a factor has no such level.
    pub fn level(&mut self, factor: &Factor, label: &str, node: &Node) {
        if factor.level(label).is_some() || factor.is_faulty() {
            return;
        }
        let mistake = Mistake::new(self.file, node.span, format!("the factor `{}` has no level `{label}`", factor.name));
        let mistake = mistake.expected(format!("expected {}", one_of(factor.labels())));
        self.mistakes.push(mistake.did_you_mean(label, factor.labels()));
    }

    /// The labels of one level or of a list of them; those that the factor does not have are noted.
    pub fn levels(&mut self, factor: &Factor, entry: &Entry) -> Vec<String> {
        let one = [entry.value.clone()];
        let wanted = if let Data::List(items) = &entry.value.data { items.as_slice() } else { &one };
        let mut labels = Vec::new();
        for node in wanted {
            let label = label_of(&node.to_json());
            self.level(factor, &label, node);
            labels.push(label);
        }
        labels
    }
}

/// Names of metrics for people: not every combination of a time and a percentile is spelt out.
pub(super) fn expected_metrics(known: &[&str]) -> String {
    let is_time = |name: &str| matches!(Metric::find(name), Some(Metric::Time(..)));
    let others: Vec<&str> = known.iter().copied().filter(|n| !is_time(n)).collect();
    let times: Vec<String> = Time::ALL.iter().map(|(t, _)| format!("{t}_p99")).filter(|t| known.contains(&t.as_str())).collect();
    let all: Vec<&str> = others.into_iter().chain(times.iter().map(String::as_str)).collect();
    // Not everything that can be drawn can be searched for.
    let points = ["mean", "stdev", "p25", "p50", "p75", "p90", "p95", "p999", "max"].into_iter();
    let there =
        |point: &&str| known.iter().any(|name| name.strip_suffix(point).is_some_and(|time| time.ends_with('_') && is_time(name)));
    let points: Vec<String> = points.filter(there).map(|point| format!("`{point}`")).collect();
    format!("{}; for `p99` also {}", one_of(all.iter().copied()), points.join(", "))
}
