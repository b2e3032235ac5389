//! What a scenario expects of its results: `expect:`.
//!
//! Whether it holds is `analysis::expectations`'s to say. Bounds are in base units here: nanoseconds, bytes, events
//! per second, shares of 1.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::factors::{Factor, label_of};
use super::graphs::{Metric, Name, expected_metrics};
use super::load::Phase;
use crate::schema::source::one_of;
use crate::schema::{Data, Mistake, Node, SourceFile};
use crate::units::{self, Bytes};

/// One thing that must hold in every cell that it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// What to call it.
    pub name: String,
    /// What is looked at.
    pub subject: Subject,
    /// Of which workload; the only one, or the first that has such a figure.
    pub workload: Option<String>,
    /// In which phase; of a ratio between phases the one above the line.
    pub phase: String,
    /// Whether that was said. Where it was not, what belongs to targets is looked at during the whole load.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub phase_is_said: bool,
    /// Of which step; of the pass as a whole when there is none.
    pub step: Option<String>,
    /// Of which target; of all together when there is none.
    pub target: Option<String>,
    /// Only cells with one of these labels per factor.
    pub only: Vec<(String, Vec<String>)>,
    /// It must be more than this.
    pub above: Option<Bound>,
    /// It must be less than this.
    pub below: Option<Bound>,
}

/// A bound of an expectation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// In base units.
    pub value: f64,
    /// As it was typed.
    pub typed: String,
}

/// What an expectation looks at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A metric in a cell.
    Metric(Metric),
    /// A metric in a cell, divided by the same in another, which differs in one factor only.
    Ratio {
        /// Of what.
        metric: Metric,
        /// The factor in which both differ.
        factor: String,
        /// Its level above the line.
        level: String,
        /// Its level below the line.
        over: String,
    },
    /// A metric in the expectation's phase, divided by the same in another phase of the same repetition.
    Phases {
        /// Of what.
        metric: Metric,
        /// The phase below the line.
        over: String,
    },
}

impl Subject {
    /// Whether it belongs to targets rather than to requests.
    pub fn is_resource(&self) -> bool {
        match self {
            Self::Metric(metric) | Self::Ratio { metric, .. } | Self::Phases { metric, .. } => metric.is_resource(),
        }
    }
}

/// The names that an expectation may use.
pub(super) struct Known<'a> {
    pub factors: &'a [Factor],
    pub workloads: &'a [&'a str],
    pub targets: &'a [&'a str],
    /// What commands bring.
    pub figures: &'a [&'a str],
}

const KEYS: [&str; 9] = ["metric", "ratio", "of", "phase", "step", "target", "above", "below", "name"];

/// Reads `expect:`.
pub(super) fn read(
    file: &Arc<SourceFile>,
    node: Option<&Node>,
    known: &Known<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Expectation> {
    let mut found = Vec::new();
    for item in node.map(Node::items).unwrap_or_default() {
        let before = mistakes.len();
        let read = Reader { file, item, known, mistakes }.expectation();
        if mistakes.len() == before {
            found.extend(read);
        }
    }
    found
}

/// Reads `primary:` of the scenario, whose root is `root`.
pub(super) fn primary(file: &Arc<SourceFile>, root: &Node, known: &Known<'_>, mistakes: &mut Vec<Mistake>) -> Option<Metric> {
    root.get("primary")?;
    Reader { file, item: root, known, mistakes }.metric("primary")
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    item: &'a Node,
    known: &'a Known<'a>,
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    /// Notes a mistake at a key's value, or at the begin of the expectation.
    fn say(&mut self, key: &str, found: impl Into<String>, expected: impl Into<String>) {
        let span = self.item.get(key).map_or(self.item.head, |n| n.span);
        self.mistakes.push(Mistake::new(self.file, span, found).expected(expected));
    }

    fn expectation(&mut self) -> Option<Expectation> {
        if !matches!(self.item.data, Data::Map(_)) {
            let found = format!("{} is not an expectation", self.item.describe());
            self.say("", found, "expected one as `{metric: response_p99, below: 20ms}`");
            return None;
        }
        let factors = self.known.factors;
        for entry in self.item.entries() {
            if !KEYS.contains(&entry.key.as_str()) && !factors.iter().any(|f| f.name == entry.key) {
                let known: Vec<&str> = KEYS.into_iter().chain(factors.iter().map(|f| f.name.as_str())).collect();
                self.mistakes.push(
                    Mistake::new(self.file, entry.key_span, format!("unknown key `{}`", entry.key))
                        .expected(format!("expected a factor, or {}", one_of(KEYS)))
                        .did_you_mean(&entry.key, known),
                );
            }
        }
        let (key, metric) = match (self.item.get("metric").is_some(), self.item.get("ratio").is_some()) {
            (true, false) => ("metric", self.metric("metric")),
            (false, true) => ("ratio", self.metric("ratio")),
            (true, true) => {
                self.say(
                    "ratio",
                    "this expectation is of a metric and of a ratio at once",
                    "expected only one of `metric`, `ratio`",
                );
                return None;
            }
            (false, false) => {
                self.say("", "this expectation does not say of what it is", "expected `metric:` or `ratio:`");
                return None;
            }
        };
        let workload = self.name_of("of", "workload", self.known.workloads);
        let target = self.name_of("target", "target", self.known.targets);
        if let (Some(_), Some(metric)) = (&target, metric)
            && !metric.is_resource()
        {
            self.say(
                "target",
                format!("`{}` belongs to requests, not to a target", metric.name()),
                "expected `pss`, `cpu` or another resource",
            );
        }
        let (phase, over) = self.phase(key == "ratio", metric);
        let step = self.text("step");
        let (only, ratio) = self.selection(key == "ratio");
        if let (Some(_), Some((factor, ..))) = (&over, &ratio) {
            self.say(
                "phase",
                format!("this ratio is between phases and between levels of `{factor}` at once"),
                "expected only one pair: of phases, or of levels",
            );
        }
        let (above, below) = (self.bound("above", metric, key), self.bound("below", metric, key));
        if self.item.get("above").is_none() && self.item.get("below").is_none() {
            self.say("", "this expectation has no bound", "expected `above:` or `below:`, or both");
        }
        if let (Some(above), Some(below)) = (&above, &below)
            && above.value >= below.value
        {
            self.say("below", "nothing is above the one and below the other", "expected `below` to be more than `above`");
        }
        let subject = match (key, ratio, over) {
            ("ratio", _, Some(over)) => Subject::Phases { metric: metric?, over },
            ("ratio", Some((factor, level, over)), None) => Subject::Ratio { metric: metric?, factor, level, over },
            ("ratio", None, None) => {
                if !self.mistakes.iter().any(|m| m.span.start >= self.item.span.start && m.span.end <= self.item.span.end) {
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
        let phase_is_said = self.item.get("phase").is_some();
        Some(Expectation { name, subject, workload, phase, phase_is_said, step, target, only, above, below })
    }

    /// The expectation as it was typed, for reports.
    fn words(&self) -> String {
        let text = |n: &Node| match &n.data {
            Data::List(items) => items.iter().map(|i| label_of(&i.to_json())).collect::<Vec<_>>().join(" "),
            _ => label_of(&n.to_json()),
        };
        let words = |e: &crate::schema::Entry| match e.key.as_str() {
            "metric" => text(&e.value),
            "ratio" => format!("ratio of {}", text(&e.value)),
            "of" | "above" | "below" => format!("{} {}", e.key, text(&e.value)),
            "phase" => text(&e.value),
            _ => format!("{} {}", e.key, text(&e.value)),
        };
        let bound = |e: &&crate::schema::Entry| matches!(e.key.as_str(), "above" | "below");
        let entries = self.item.entries();
        let ordered = entries.iter().filter(|e| !bound(e)).chain(entries.iter().filter(bound));
        ordered.map(words).collect::<Vec<_>>().join(" ")
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let node = self.item.get(key)?;
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
        if self.known.figures.contains(&name.as_str()) {
            return Some(Metric::Command(Name::new(&name)));
        }
        if let Some((_, metric)) = Metric::all().find(|(n, _)| *n == name) {
            return Some(metric);
        }
        let known: Vec<&str> = Metric::all().map(|(n, _)| n).chain(self.known.figures.iter().copied()).collect();
        let span = self.item.get(key).map_or(self.item.span, |n| n.span);
        self.mistakes.push(
            Mistake::new(self.file, span, format!("there is no metric `{name}`"))
                .expected(format!("expected {}", expected_metrics(&known)))
                .did_you_mean(&name, known),
        );
        None
    }

    fn name_of(&mut self, key: &str, what: &str, known: &[&str]) -> Option<String> {
        let name = self.text(key)?;
        if known.contains(&name.as_str()) {
            return Some(name);
        }
        let span = self.item.get(key).map_or(self.item.span, |n| n.span);
        let expected = if known.is_empty() {
            format!("expected none: there is no {what}")
        } else {
            format!("expected {}", one_of(known.iter().copied()))
        };
        self.mistakes.push(
            Mistake::new(self.file, span, format!("there is no {what} `{name}`"))
                .expected(expected)
                .did_you_mean(&name, known.iter().copied()),
        );
        None
    }

    /// The phase that is meant, and for a ratio between two the one below the line.
    fn phase(&mut self, is_ratio: bool, metric: Option<Metric>) -> (String, Option<String>) {
        let Some(text) = self.text("phase") else { return (Phase::During.name().to_owned(), None) };
        if let Some(metric) = metric.filter(|m| !m.has_phases()) {
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
        let span = self.item.get("phase").map_or(self.item.span, |n| n.span);
        let mistake = Mistake::new(self.file, span, format!("there is no phase `{name}`"));
        let mistake = mistake.expected(format!("expected {}", one_of(names)));
        let pair = name.split_once(" over ").filter(|(a, b)| [a, b].iter().all(|n| names.contains(&n.trim())));
        self.mistakes.push(match pair {
            Some(_) => mistake.help("two phases can be compared with `ratio` instead of `metric`"),
            None => mistake.did_you_mean(name, names),
        });
    }

    /// The cells that are meant, and for a ratio the factor with the levels above and below the line.
    #[allow(clippy::type_complexity)]
    fn selection(&mut self, is_ratio: bool) -> (Vec<(String, Vec<String>)>, Option<(String, String, String)>) {
        let (mut only, mut ratio) = (Vec::new(), None);
        let item = self.item;
        for entry in item.entries() {
            let Some(factor) = self.known.factors.iter().find(|f| f.name == entry.key) else { continue };
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
            let one = [entry.value.clone()];
            let wanted = if let Data::List(items) = &entry.value.data { items.as_slice() } else { &one };
            let mut labels = Vec::new();
            for node in wanted {
                let label = label_of(&node.to_json());
                self.level(factor, &label, node);
                labels.push(label);
            }
            only.push((entry.key.clone(), labels));
        }
        (only, ratio)
    }

    fn level(&mut self, factor: &Factor, label: &str, node: &Node) {
        if factor.level(label).is_some() || factor.is_broken() {
            return;
        }
        let known: Vec<&str> = factor.levels.iter().map(|l| l.label.as_str()).collect();
        self.mistakes.push(
            Mistake::new(self.file, node.span, format!("the factor `{}` has no level `{label}`", factor.name))
                .expected(format!("expected {}", one_of(known.iter().copied())))
                .did_you_mean(label, known),
        );
    }

    /// A bound in base units.
    fn bound(&mut self, key: &str, metric: Option<Metric>, kind: &str) -> Option<Bound> {
        let node = self.item.get(key)?;
        let text = self.text(key)?;
        let number = || text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
        let (value, example) = match metric? {
            _ if kind == "ratio" => (number(), "a number, such as `1.5`"),
            Metric::Time(..) | Metric::StartUp | Metric::Duration | Metric::CpuPerRequest => {
                (units::parse_duration(&text).map(|d| d.as_nanos() as f64), "a time with its unit, such as `20ms`")
            }
            Metric::Pss | Metric::Rss | Metric::IoPerRequest => {
                (Bytes::parse(&text).map(|b| b.0 as f64), "a size, such as `64MiB`")
            }
            Metric::Errors | Metric::Wrong | Metric::Unsent | Metric::Open => {
                (units::parse_percent(&text), "a percentage, such as `1%`")
            }
            Metric::Throughput | Metric::ThroughputStdev | Metric::Offered | Metric::Limit => {
                (units::parse_rate(&text).or_else(number), "a rate, such as `1000/s`")
            }
            Metric::Upload | Metric::Download => {
                let rate = text.trim().strip_suffix("/s").unwrap_or(&text);
                (Bytes::parse(rate.trim()).map(|b| b.0 as f64), "a size per second, such as `10MiB/s`")
            }
            Metric::Command(_) => {
                // Shares of outcomes are in percent, and so may be what a program brings.
                let percent = units::parse_percent(&text).map(|share| share * 100.0);
                (number().or(percent), "a number in the metric's own unit, such as `1.5`")
            }
            Metric::Cpu | Metric::Threads | Metric::OpenFiles | Metric::SwitchesPerRequest => {
                (number(), "a number, such as `1.5`")
            }
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
