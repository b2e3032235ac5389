//! Reads `expect:` and `primary:`.

use std::sync::Arc;

use super::names::{ResultQuery, ScenarioNames, expected_metrics};
use plan::expectations::Bound;
use plan::factors::label_of;
use plan::{Expectation, Subject};
use schema::source::one_of;
use schema::{Data, Mistake, Node, SourceFile};
use vocabulary::rows::WHOLE;
use vocabulary::{Exists, Metric, Phase};

const KEYS: [&str; 9] = ["metric", "ratio", "of", "phase", "step", "target", "above", "below", "name"];

/// Reads `expect:`.
pub(super) fn read(
    file: &Arc<SourceFile>,
    node: Option<&Node>,
    names: &ScenarioNames<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Expectation> {
    let mut found = Vec::new();
    for item in node.map(Node::items).unwrap_or_default() {
        let before = mistakes.len();
        let read = ResultQuery { file, node: item, names, mistakes }.expectation();
        if mistakes.len() == before {
            found.extend(read);
        }
    }
    found
}

/// Reads `primary:` of the scenario, whose root is `root`.
pub(super) fn primary(
    file: &Arc<SourceFile>,
    root: &Node,
    names: &ScenarioNames<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Metric> {
    root.get("primary")?;
    ResultQuery { file, node: root, names, mistakes }.metric("primary")
}

impl ResultQuery<'_> {
    fn expectation(&mut self) -> Option<Expectation> {
        if !matches!(self.node.data, Data::Map(_)) {
            let found = format!("{} is not an expectation", self.node.describe());
            self.say("", found, "expected one such as `{metric: response_p99, below: 20ms}`");
            return None;
        }
        let factors = self.names.factors;
        for entry in self.node.entries() {
            if !KEYS.contains(&entry.key.as_str()) && !factors.iter().any(|f| f.name == entry.key) {
                let known: Vec<&str> = KEYS.into_iter().chain(factors.iter().map(|f| f.name.as_str())).collect();
                self.mistakes.push(
                    Mistake::new(self.file, entry.key_span, format!("unknown key `{}`", entry.key))
                        .expected(format!("expected a factor, or {}", one_of(KEYS)))
                        .did_you_mean(&entry.key, known),
                );
            }
        }
        let (key, metric) = match (self.node.get("metric").is_some(), self.node.get("ratio").is_some()) {
            (true, false) => ("metric", self.metric("metric")),
            (false, true) => ("ratio", self.metric("ratio")),
            (true, true) => {
                self.say("ratio", "this expectation has both a metric and a ratio", "expected only one of `metric`, `ratio`");
                return None;
            }
            (false, false) => {
                self.say("", "this expectation has neither a metric nor a ratio", "expected `metric:` or `ratio:`");
                return None;
            }
        };
        let workload = self.named("of", "workload", self.names.workloads);
        let target = self.named("target", "target", self.names.targets);
        if let (Some(_), Some(metric)) = (&target, &metric)
            && !metric.is_resource()
        {
            self.say(
                "target",
                format!("`{}` belongs to requests, not to a target", metric.name()),
                "expected `pss`, `cpu` or another resource",
            );
        }
        let (phase, over) = self.phase(key == "ratio", metric.as_ref());
        let step = self.text("step").filter(|step| step != WHOLE);
        let (only, ratio) = self.selection(key == "ratio");
        if let (Some(_), Some((factor, ..))) = (&over, &ratio) {
            self.say(
                "phase",
                format!("this ratio is both between phases and between levels of `{factor}`"),
                "expected only one pair: of phases, or of levels",
            );
        }
        let (above, below) = (self.bound("above", metric.as_ref(), key), self.bound("below", metric.as_ref(), key));
        if self.node.get("above").is_none() && self.node.get("below").is_none() {
            self.say("", "this expectation has no bound", "expected `above:` or `below:`, or both");
        }
        if let (Some(above), Some(below)) = (&above, &below)
            && above.value >= below.value
        {
            self.say("below", "no value is above `above` and below `below`", "expected `below` to be more than `above`");
        }
        let subject = match (key, ratio, over) {
            ("ratio", _, Some(over)) => Subject::Phases { metric: metric?, over },
            ("ratio", Some((factor, level, over)), None) => Subject::Ratio { metric: metric?, factor, level, over },
            ("ratio", None, None) => {
                if !self.mistakes.iter().any(|m| m.span.start >= self.node.span.start && m.span.end <= self.node.span.end) {
                    self.say(
                        "",
                        "this ratio does not say between which levels or phases",
                        "expected a factor with two of its levels, such as `processes: 4 over 1`, or `phase: during over before`",
                    );
                }
                return None;
            }
            _ => Subject::Metric(metric?),
        };
        let name = self.text("name").unwrap_or_else(|| self.words());
        let phase_is_said = self.node.get("phase").is_some();
        Some(Expectation { name, subject, workload, phase, phase_is_said, step, target, only, above, below })
    }

    /// The expectation as it was typed, for reports.
    fn words(&self) -> String {
        let text = |n: &Node| match &n.data {
            Data::List(items) => items.iter().map(|i| label_of(&i.to_json())).collect::<Vec<_>>().join(" "),
            _ => label_of(&n.to_json()),
        };
        let words = |e: &schema::Entry| match e.key.as_str() {
            "metric" => text(&e.value),
            "ratio" => format!("ratio of {}", text(&e.value)),
            "of" | "above" | "below" => format!("{} {}", e.key, text(&e.value)),
            "phase" => text(&e.value),
            _ => format!("{} {}", e.key, text(&e.value)),
        };
        let bound = |e: &&schema::Entry| matches!(e.key.as_str(), "above" | "below");
        let entries = self.node.entries();
        let ordered = entries.iter().filter(|e| !bound(e)).chain(entries.iter().filter(bound));
        ordered.map(words).collect::<Vec<_>>().join(" ")
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let node = self.node.get(key)?;
        match &node.data {
            Data::Map(_) | Data::List(_) | Data::Null => {
                self.say(key, format!("{} does not fit here", node.describe()), "expected a name");
                None
            }
            _ => Some(label_of(&node.to_json())),
        }
    }

    fn metric(&mut self, key: &str) -> Option<Metric> {
        let name = self.text(key)?;
        let is_ratio = key == "ratio";
        match self.find(&name, |row| !is_ratio || row.exists.contains(&Exists::InRatio), self.names.metrics) {
            Ok(metric) => Some(metric),
            Err(known) => {
                let span = self.node.get(key).map_or(self.node.span, |n| n.span);
                let mistake = Mistake::new(self.file, span, format!("there is no metric `{name}`"))
                    .expected(format!("expected {}", expected_metrics(&known)));
                self.mistakes.push(mistake.did_you_mean(&name, known));
                None
            }
        }
    }

    /// The text of a key, if it names something of a kind.
    fn named(&mut self, key: &str, kind: &str, known: &[&str]) -> Option<String> {
        let name = self.text(key)?;
        self.name_of(key, &name, kind, known).then_some(name)
    }

    /// The phase that is meant; for a ratio between two, the one in the denominator.
    fn phase(&mut self, is_ratio: bool, metric: Option<&Metric>) -> (String, Option<String>) {
        let Some(text) = self.text("phase") else { return (Phase::During.name().to_owned(), None) };
        if let Some(metric) = metric.filter(|m| !m.exists(Exists::InPhases)) {
            self.say("phase", format!("`{}` belongs to no phase", metric.name()), "expected no `phase`");
            return (text, None);
        }
        let pair = text.split_once(" over ").map(|(phase, over)| (phase.trim().to_owned(), over.trim().to_owned()));
        let Some((phase, over)) = pair.filter(|_| is_ratio) else {
            self.check_phase(&text);
            return (text, None);
        };
        for name in [&phase, &over] {
            self.check_phase(name);
        }
        if phase == over {
            self.say("phase", "a ratio of a phase to itself", "expected two phases, such as `during over before`");
        }
        (phase, Some(over))
    }

    fn check_phase(&mut self, name: &str) {
        let names = Phase::WITH_PASSES.map(Phase::name);
        if names.contains(&name) {
            return;
        }
        let span = self.node.get("phase").map_or(self.node.span, |n| n.span);
        let mistake = Mistake::new(self.file, span, format!("there is not a phase `{name}`"));
        let mistake = mistake.expected(format!("expected {}", one_of(names)));
        let pair = name.split_once(" over ").filter(|(a, b)| [a, b].iter().all(|n| names.contains(&n.trim())));
        self.mistakes.push(match pair {
            Some(_) => mistake.help("two phases can be compared with `ratio` instead of `metric`"),
            None => mistake.did_you_mean(name, names),
        });
    }

    /// The cells that are meant; for a ratio, the factor with the levels in the numerator and the denominator.
    #[allow(clippy::type_complexity)]
    fn selection(&mut self, is_ratio: bool) -> (Vec<(String, Vec<String>)>, Option<(String, String, String)>) {
        let (mut only, mut ratio) = (Vec::new(), None);
        let item = self.node;
        for entry in item.entries() {
            let Some(factor) = self.names.factors.iter().find(|f| f.name == entry.key) else { continue };
            if KEYS.contains(&entry.key.as_str()) {
                continue;
            }
            let pair = entry.value.as_text().and_then(|t| t.split_once(" over "));
            if let Some((level, over)) = pair.filter(|_| is_ratio) {
                let (level, over) = (level.trim(), over.trim());
                for label in [level, over] {
                    self.level(factor, label, &entry.value);
                }
                if level == over {
                    self.mistakes.push(
                        Mistake::new(self.file, entry.value.span, "a ratio of a level to itself")
                            .expected("expected two levels, such as `4 over 1`"),
                    );
                }
                if ratio.is_some() {
                    self.mistakes.push(
                        Mistake::new(self.file, entry.value.span, "a second pair of levels")
                            .expected("expected one factor with two levels; of the others one or several levels"),
                    );
                }
                ratio = Some((entry.key.clone(), level.to_owned(), over.to_owned()));
                continue;
            }
            let labels = self.levels(factor, entry);
            only.push((entry.key.clone(), labels));
        }
        (only, ratio)
    }

    /// A bound in base units.
    fn bound(&mut self, key: &str, metric: Option<&Metric>, kind: &str) -> Option<Bound> {
        let node = self.node.get(key)?;
        let text = self.text(key)?;
        let metric = metric?;
        let (value, example) = match kind {
            "ratio" => (text.trim().parse::<f64>().ok().filter(|n| n.is_finite()), "a number, such as `1.5`"),
            _ => (metric.parse(&text), metric.example()),
        };
        if value.is_none() {
            self.mistakes.push(
                Mistake::new(self.file, node.span, format!("`{text}` is not a bound here"))
                    .expected(format!("expected {example}")),
            );
        }
        value.map(|value| Bound { value, typed: text.trim().to_owned() })
    }
}
