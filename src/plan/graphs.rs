//! The pictures that a scenario asks for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::factors::{Factor, label_of, unknown_factor};
use super::load::Phase;
use crate::schema::source::{all_of, one_of};
use crate::schema::{Data, Mistake, Node, SourceFile, Span, types};

/// A picture, or one per level of its facets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// What is drawn.
    pub shape: Shape,
    /// Factor (or `time`, or `step`) along the x axis.
    pub x: Option<String>,
    /// Factor (or `target`, or `step`) that gives the colours.
    pub series: Option<String>,
    /// Factors of which each level gets a picture of its own.
    pub facet: Vec<String>,
    /// Only cells with one of these labels per factor.
    pub only: Vec<(String, Vec<String>)>,
    /// Only this step; the pass as a whole when there is none.
    pub step: Option<String>,
    /// Only this workload.
    pub workload: Option<String>,
    /// A title of its own.
    pub title: Option<String>,
}

/// What a picture shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Grouped bars with intervals.
    Bars(Metric),
    /// Bars as a ratio to a level of the series.
    Ratio(Metric, String),
    /// Over the time of a repetition.
    Lines(Metric),
    /// Means over the levels of a factor, joined by lines.
    Trend {
        /// What.
        metric: Metric,
        /// What it should be.
        #[serde(default)]
        model: Option<Model>,
        /// Whether the y axis is logarithmic.
        #[serde(default)]
        log: bool,
    },
    /// Each repetition by its round.
    Rounds(Metric),
    /// The distribution of a time.
    Quantiles(Time),
}

/// What a metric should be, computed from the levels of each cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The expression, as typed.
    pub expression: String,
    /// Its value by the name of the cell, in the unit of the picture. Cells in which it has none are missing.
    pub values: Vec<(String, f64)>,
    #[serde(skip)]
    pub(crate) span: Span,
}

impl Shape {
    /// The metric that is drawn; a distribution is none.
    fn metric(&self) -> Option<Metric> {
        match self {
            Self::Bars(m) | Self::Ratio(m, _) | Self::Lines(m) | Self::Rounds(m) | Self::Trend { metric: m, .. } => Some(*m),
            Self::Quantiles(_) => None,
        }
    }
}

impl Graph {
    /// The model that is drawn, if there is one.
    pub(super) fn model_mut(&mut self) -> Option<&mut Model> {
        if let Shape::Trend { model, .. } = &mut self.shape { model.as_mut() } else { None }
    }

    /// The picture of a metric by round, one for each cell.
    pub fn rounds(metric: Metric) -> Self {
        let (x, series, facet, only) = (None, None, Vec::new(), Vec::new());
        Self { shape: Shape::Rounds(metric), x, series, facet, only, step: None, workload: None, title: None }
    }
}

/// Which time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Time {
    Response,
    Service,
    Lag,
    Connect,
    FirstByte,
}

/// A point of a distribution, its mean or its spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Quantile {
    Mean,
    Stdev,
    P50,
    P90,
    P95,
    P99,
    P999,
    Max,
}

/// A measured figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Correct passes (or requests of a step) per second.
    Throughput,
    /// How far that varies from window to window within a phase: its standard deviation.
    ThroughputStdev,
    /// Share of what was asked for that was not answered as expected: wrong, unsent and open.
    Errors,
    /// The part of it that was answered wrongly, or failed.
    Wrong,
    /// The part of it that had not ended when the load was over.
    Open,
    /// Passes that the schedule asked for, per second.
    Offered,
    /// The part of it that was never sent.
    Unsent,
    /// Bytes of request bodies per second.
    Upload,
    /// Bytes of response bodies per second.
    Download,
    /// How long the phase was, from its first request to its last answer.
    Duration,
    /// The highest rate that held, found by a search.
    Limit,
    /// A figure that a command brings, by its name.
    Command(Name),
    /// A time of a request.
    Time(Time, Quantile),
    /// Proportional set size.
    Pss,
    /// Resident set size.
    Rss,
    /// Processor time per second.
    Cpu,
    /// Processor time per right answer.
    CpuPerRequest,
    /// Context switches per right answer.
    SwitchesPerRequest,
    /// Bytes read from and written to storage per right answer.
    IoPerRequest,
    /// Threads.
    Threads,
    /// Open files.
    OpenFiles,
    /// From start to readiness.
    StartUp,
}

const METRICS: [(&str, Metric); 60] = [
    ("throughput", Metric::Throughput),
    ("throughput_stdev", Metric::ThroughputStdev),
    ("errors", Metric::Errors),
    ("wrong", Metric::Wrong),
    ("open", Metric::Open),
    ("offered", Metric::Offered),
    ("unsent", Metric::Unsent),
    ("upload", Metric::Upload),
    ("download", Metric::Download),
    ("limit", Metric::Limit),
    ("duration", Metric::Duration),
    ("response_mean", Metric::Time(Time::Response, Quantile::Mean)),
    ("response_stdev", Metric::Time(Time::Response, Quantile::Stdev)),
    ("response_p50", Metric::Time(Time::Response, Quantile::P50)),
    ("response_p90", Metric::Time(Time::Response, Quantile::P90)),
    ("response_p95", Metric::Time(Time::Response, Quantile::P95)),
    ("response_p99", Metric::Time(Time::Response, Quantile::P99)),
    ("response_p999", Metric::Time(Time::Response, Quantile::P999)),
    ("response_max", Metric::Time(Time::Response, Quantile::Max)),
    ("service_mean", Metric::Time(Time::Service, Quantile::Mean)),
    ("service_stdev", Metric::Time(Time::Service, Quantile::Stdev)),
    ("service_p50", Metric::Time(Time::Service, Quantile::P50)),
    ("service_p90", Metric::Time(Time::Service, Quantile::P90)),
    ("service_p95", Metric::Time(Time::Service, Quantile::P95)),
    ("service_p99", Metric::Time(Time::Service, Quantile::P99)),
    ("service_p999", Metric::Time(Time::Service, Quantile::P999)),
    ("service_max", Metric::Time(Time::Service, Quantile::Max)),
    ("lag_mean", Metric::Time(Time::Lag, Quantile::Mean)),
    ("lag_stdev", Metric::Time(Time::Lag, Quantile::Stdev)),
    ("lag_p50", Metric::Time(Time::Lag, Quantile::P50)),
    ("lag_p90", Metric::Time(Time::Lag, Quantile::P90)),
    ("lag_p95", Metric::Time(Time::Lag, Quantile::P95)),
    ("lag_p99", Metric::Time(Time::Lag, Quantile::P99)),
    ("lag_p999", Metric::Time(Time::Lag, Quantile::P999)),
    ("lag_max", Metric::Time(Time::Lag, Quantile::Max)),
    ("connect_mean", Metric::Time(Time::Connect, Quantile::Mean)),
    ("connect_stdev", Metric::Time(Time::Connect, Quantile::Stdev)),
    ("connect_p50", Metric::Time(Time::Connect, Quantile::P50)),
    ("connect_p90", Metric::Time(Time::Connect, Quantile::P90)),
    ("connect_p95", Metric::Time(Time::Connect, Quantile::P95)),
    ("connect_p99", Metric::Time(Time::Connect, Quantile::P99)),
    ("connect_p999", Metric::Time(Time::Connect, Quantile::P999)),
    ("connect_max", Metric::Time(Time::Connect, Quantile::Max)),
    ("first_byte_mean", Metric::Time(Time::FirstByte, Quantile::Mean)),
    ("first_byte_stdev", Metric::Time(Time::FirstByte, Quantile::Stdev)),
    ("first_byte_p50", Metric::Time(Time::FirstByte, Quantile::P50)),
    ("first_byte_p90", Metric::Time(Time::FirstByte, Quantile::P90)),
    ("first_byte_p95", Metric::Time(Time::FirstByte, Quantile::P95)),
    ("first_byte_p99", Metric::Time(Time::FirstByte, Quantile::P99)),
    ("first_byte_p999", Metric::Time(Time::FirstByte, Quantile::P999)),
    ("first_byte_max", Metric::Time(Time::FirstByte, Quantile::Max)),
    ("pss", Metric::Pss),
    ("rss", Metric::Rss),
    ("cpu", Metric::Cpu),
    ("cpu_per_request", Metric::CpuPerRequest),
    ("switches_per_request", Metric::SwitchesPerRequest),
    ("io_per_request", Metric::IoPerRequest),
    ("threads", Metric::Threads),
    ("open_files", Metric::OpenFiles),
    ("start_up", Metric::StartUp),
];

/// The name of a figure that a scenario defines.
///
/// Such names are few, and each is kept until the end of the program, so that a metric can be copied like a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Name(&'static str);

impl Name {
    /// The one with this text.
    pub fn new(text: &str) -> Self {
        static KNOWN: std::sync::Mutex<Vec<&'static str>> = std::sync::Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Self(known.iter().find(|k| **k == text).copied().unwrap_or_else(|| {
            known.push(String::from(text).leak());
            known[known.len() - 1]
        }))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

impl Time {
    /// All times with their words.
    pub const ALL: [(&'static str, Self); 5] = [
        ("response", Self::Response),
        ("service", Self::Service),
        ("lag", Self::Lag),
        ("connect", Self::Connect),
        ("first_byte", Self::FirstByte),
    ];

    /// The word for it in YAML and file names.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, t)| *t == self).map_or("", |(name, _)| name)
    }
}

impl Metric {
    /// All metrics that need no scenario, with their words.
    pub fn all() -> impl Iterator<Item = (&'static str, Self)> {
        METRICS.into_iter()
    }

    /// The word for it in YAML, columns and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command(Name(name)) => name,
            _ => METRICS.iter().find(|(_, m)| *m == self).map_or("", |(name, _)| name),
        }
    }

    /// Whether it can be told of one phase: what is found before the load, or in place of it, cannot.
    pub fn has_phases(self) -> bool {
        !matches!(self, Self::StartUp | Self::Limit)
    }

    /// Whether it belongs to targets rather than to requests.
    pub fn is_resource(self) -> bool {
        let levels = matches!(self, Self::Pss | Self::Rss | Self::Cpu | Self::Threads | Self::OpenFiles | Self::StartUp);
        levels || self.is_cost()
    }

    /// Whether it is what targets used for each right answer.
    pub fn is_cost(self) -> bool {
        matches!(self, Self::CpuPerRequest | Self::SwitchesPerRequest | Self::IoPerRequest)
    }
}

/// Reads `graphs:`.
pub fn read(
    file: &Arc<SourceFile>,
    node: Option<&Node>,
    factors: &[Factor],
    workloads: &[&str],
    figures: &[&str],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Graph> {
    let mut graphs = Vec::new();
    for item in node.map(Node::items).unwrap_or_default() {
        let before = mistakes.len();
        let Some(typed) = crate::schema::decode::decode::<types::Graph>(file, item, mistakes) else { continue };
        let graph = Reader { file, item, factors, figures, mistakes }.graph(&typed, workloads);
        if mistakes.len() == before
            && let Some(graph) = graph
        {
            graphs.push(graph);
        }
    }
    graphs
}

/// Names of metrics for people: times and their quantiles are not all spelt out.
pub(super) fn expected_metrics(known: &[&str]) -> String {
    let is_time = |name: &&str| METRICS.iter().any(|(n, m)| n == name && matches!(m, Metric::Time(..)));
    let others: Vec<&str> = known.iter().copied().filter(|n| !is_time(n)).collect();
    let times: Vec<String> = Time::ALL.iter().map(|(t, _)| format!("{t}_p99")).filter(|t| known.contains(&t.as_str())).collect();
    let all: Vec<&str> = others.into_iter().chain(times.iter().map(String::as_str)).collect();
    // Not everything that can be drawn can be searched for.
    let points = ["mean", "stdev", "p50", "p90", "p95", "p999", "max"].into_iter();
    let there =
        |point: &&str| known.iter().any(|name| name.strip_suffix(point).is_some_and(|time| time.ends_with('_') && is_time(name)));
    let points: Vec<String> = points.filter(there).map(|point| format!("`{point}`")).collect();
    format!("{}; for `p99` also {}", one_of(all.iter().copied()), points.join(", "))
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    item: &'a Node,
    factors: &'a [Factor],
    /// Names of what commands bring.
    figures: &'a [&'a str],
    mistakes: &'a mut Vec<Mistake>,
}

impl Reader<'_> {
    fn say(&mut self, key: &str, found: String, expected: String) {
        let span = self.item.get(key).map_or(self.item.head, |n| n.span);
        self.mistakes.push(Mistake::new(self.file, span, found).expected(expected));
    }

    /// Adds `did you mean …` to the mistake just noted.
    fn suggest(&mut self, typed: &str, known: &[&str]) {
        if let Some(mistake) = self.mistakes.pop() {
            self.mistakes.push(mistake.did_you_mean(typed, known.iter().copied()));
        }
    }

    fn metric(&mut self, key: &str, name: &str, over_time: bool) -> Option<Metric> {
        let fits = |m: &Metric| {
            !over_time
                || !matches!(
                    m,
                    Metric::StartUp
                        | Metric::Limit
                        | Metric::CpuPerRequest
                        | Metric::SwitchesPerRequest
                        | Metric::IoPerRequest
                        | Metric::Duration
                        | Metric::Offered
                        | Metric::Unsent
                        | Metric::Wrong
                        | Metric::Open
                        | Metric::ThroughputStdev
                )
        };
        if !over_time && self.figures.contains(&name) {
            return Some(Metric::Command(Name::new(name)));
        }
        let own = self.figures.iter().copied().filter(|_| !over_time);
        let known: Vec<&str> = METRICS.iter().filter(|(_, m)| fits(m)).map(|(n, _)| *n).chain(own).collect();
        if let Some((_, metric)) = METRICS.iter().find(|(n, m)| *n == name && fits(m)) {
            return Some(*metric);
        }
        let span = self.item.get(key).map_or(self.item.span, |n| n.span);
        let mistake = Mistake::new(self.file, span, format!("there is no metric `{name}` for `{key}`"))
            .expected(format!("expected {}", expected_metrics(&known)));
        let not_over_time = self.figures.contains(&name) || METRICS.iter().any(|(n, _)| *n == name);
        self.mistakes.push(if not_over_time {
            mistake.help(format!("over time `{name}` has no values; with a factor as `x` it can be drawn"))
        } else {
            mistake.did_you_mean(name, known)
        });
        None
    }

    fn factor(&mut self, key: &str, name: &str, also: &[&str]) {
        if also.contains(&name) || self.factors.iter().any(|f| f.name == name) {
            return;
        }
        let span =
            self.item.get(key).map_or(self.item.head, |n| n.items().iter().find(|i| i.as_text() == Some(name)).unwrap_or(n).span);
        let known: Vec<&str> = self.factors.iter().map(|f| f.name.as_str()).chain(also.iter().copied()).collect();
        self.mistakes.push(
            Mistake::new(self.file, span, format!("`{name}` is not a factor"))
                .expected(format!(
                    "expected {}",
                    if known.is_empty() { "no such key: there are no factors".to_owned() } else { one_of(known.iter().copied()) }
                ))
                .did_you_mean(name, known),
        );
    }

    fn graph(&mut self, typed: &types::Graph, workloads: &[&str]) -> Option<Graph> {
        let shapes = ["bars", "ratio", "lines", "rounds", "quantiles"];
        let chosen: Vec<&str> = shapes.into_iter().filter(|s| self.item.get(s).is_some()).collect();
        if chosen.len() != 1 {
            let found = match chosen.as_slice() {
                [] => "this graph does not say what it draws".to_owned(),
                several => format!("this graph draws {} at once", all_of(several.iter().copied())),
            };
            let span = chosen.get(1).and_then(|s| self.item.entry(s)).map_or(self.item.head, |e| e.key_span);
            self.mistakes
                .push(Mistake::new(self.file, span, found).expected(format!("expected exactly one of {}", one_of(shapes))));
            return None;
        }
        let mut x = typed.x.clone();
        let mut series = typed.series.clone();
        let shape = if let Some(name) = &typed.bars {
            Shape::Bars(self.metric("bars", name, false)?)
        } else if let Some(name) = &typed.ratio {
            let metric = self.metric("ratio", name, false)?;
            Shape::Ratio(metric, self.baseline(typed)?)
        } else if let (Some(name), Some(factor)) = (&typed.lines, typed.x.as_deref().filter(|x| *x != "time")) {
            // Which metrics there are depends on x.
            let before = self.mistakes.len();
            self.factor("x", factor, &["time"]);
            if self.mistakes.len() > before {
                return None;
            }
            let metric = self.metric("lines", name, false)?;
            Shape::Trend { metric, model: self.model(typed), log: typed.y == Some(types::Axis::Log) }
        } else if let Some(name) = &typed.lines {
            x.get_or_insert_with(|| "time".to_owned());
            let metric = self.metric("lines", name, true)?;
            series.get_or_insert_with(|| if metric.is_resource() { "target" } else { "step" }.to_owned());
            Shape::Lines(metric)
        } else if let Some(name) = &typed.rounds {
            Shape::Rounds(self.metric("rounds", name, false)?)
        } else {
            let name = typed.quantiles.as_deref().unwrap_or_default();
            match Time::ALL.iter().find(|(known, _)| *known == name) {
                Some((_, time)) => Shape::Quantiles(*time),
                None => {
                    let known = Time::ALL.map(|(name, _)| name);
                    self.say("quantiles", format!("there is no distribution of `{name}`"), format!("expected {}", one_of(known)));
                    self.suggest(name, &known);
                    return None;
                }
            }
        };
        match (&shape, &x) {
            (Shape::Bars(_) | Shape::Ratio(..), Some(name)) => self.factor("x", name, &["step", "workload", "phase"]),
            (Shape::Bars(_) | Shape::Ratio(..), None) => {
                self.say("", "this graph has no `x`".into(), "expected `x: <factor>`".into())
            }
            (Shape::Rounds(_), Some(_)) => {
                self.say("x", "`rounds` have no `x`".into(), "expected none: x is the round".into());
            }
            (Shape::Quantiles(_), Some(_)) => {
                self.say("x", "`quantiles` have no `x`".into(), "expected none: x is the quantile".into())
            }
            _ => {}
        }
        if !matches!(shape, Shape::Trend { .. }) {
            for entry in ["model", "y"].into_iter().filter_map(|key| self.item.entry(key)) {
                let found = format!("`{}` has no meaning here", entry.key);
                let expected = "expected it only in `lines` with a factor as `x`";
                self.mistakes.push(Mistake::new(self.file, entry.key_span, found).expected(expected));
            }
        }
        if let Some(name) = &series {
            let also: &[&str] = match &shape {
                Shape::Lines(m) if m.is_resource() => &["target"],
                Shape::Bars(m) | Shape::Rounds(m) | Shape::Trend { metric: m, .. } if m.is_resource() => &["target", "phase"],
                Shape::Ratio(m, _) if m.is_resource() => &["phase"],
                Shape::Lines(_) => &["step", "workload"],
                _ => &["step", "workload", "phase"],
            };
            self.factor("series", name, also);
        }
        if let Some(metric) = shape.metric().filter(|m| !m.has_phases()) {
            for key in [("x", &x), ("series", &series)].into_iter().filter(|(_, name)| name.as_deref() == Some("phase")) {
                self.say(key.0, format!("`{}` belongs to no phase", metric.name()), "expected a factor".into());
            }
        }
        for name in &typed.facet.0 {
            self.factor("facet", name, &[]);
        }
        if let Some(name) = &typed.workload
            && !workloads.contains(&name.as_str())
        {
            self.say(
                "workload",
                format!("there is no workload `{name}`"),
                format!("expected {}", one_of(workloads.iter().copied())),
            );
            self.suggest(name, workloads);
        }
        let only = self.only();
        Some(Graph {
            shape,
            x,
            series,
            facet: typed.facet.0.clone(),
            only,
            step: typed.step.clone(),
            workload: typed.workload.clone(),
            title: typed.title.clone(),
        })
    }

    /// The model as typed; its values come when the cells are known.
    fn model(&mut self, typed: &types::Graph) -> Option<Model> {
        let expression = typed.model.as_ref()?.0.trim().to_owned();
        if expression.contains("${") {
            let expected = "expected it without `${` and `}`, such as `connections / 2`";
            self.say("model", "a model is an expression by itself".into(), expected.into());
            return None;
        }
        let span = self.item.get("model").map_or(self.item.span, |n| n.span);
        Some(Model { expression, values: Vec::new(), span })
    }

    fn baseline(&mut self, typed: &types::Graph) -> Option<String> {
        let Some(series) = &typed.series else {
            self.say("", "this ratio has no `series`".into(), "expected `series: <factor>` whose baseline is 1".into());
            return None;
        };
        let factors = self.factors;
        let factor = factors.iter().find(|f| f.name == *series);
        if factor.is_none() && series != "phase" {
            self.factor("series", series, &["phase"]);
            return None;
        }
        // A factor may not be called `phase`.
        let known: Vec<&str> = match factor {
            Some(factor) => factor.levels.iter().map(|l| l.label.as_str()).collect(),
            None => Phase::WITH_PASSES.map(Phase::name).to_vec(),
        };
        let label = typed.baseline.as_ref().map(label_of);
        match label {
            Some(_) if factor.is_some_and(Factor::is_broken) => None,
            Some(label) if known.contains(&label.as_str()) => Some(label),
            found => {
                let expected = one_of(known.iter().copied());
                match found {
                    Some(label) => {
                        let what = if factor.is_some() { format!("no level of `{series}`") } else { "no phase".to_owned() };
                        self.say("baseline", format!("`{label}` is {what}"), format!("expected {expected}"));
                        self.suggest(&label, &known);
                    }
                    None => self.say("", "this ratio has no `baseline`".into(), format!("expected `baseline:` with {expected}")),
                }
                None
            }
        }
    }

    fn only(&mut self) -> Vec<(String, Vec<String>)> {
        let mut only = Vec::new();
        let item = self.item;
        for entry in item.get("where").map(Node::entries).unwrap_or_default() {
            let Some(factor) = self.factors.iter().find(|f| f.name == entry.key) else {
                self.mistakes.push(unknown_factor(self.file, entry.key_span, &entry.key, self.factors));
                continue;
            };
            let one = [entry.value.clone()];
            let wanted = if let Data::List(items) = &entry.value.data { items.as_slice() } else { &one };
            let mut labels = Vec::new();
            for node in wanted {
                let label = label_of(&node.to_json());
                if factor.level(&label).is_none() && !factor.is_broken() {
                    let known: Vec<&str> = factor.levels.iter().map(|l| l.label.as_str()).collect();
                    self.mistakes.push(
                        Mistake::new(self.file, node.span, format!("the factor `{}` has no level `{label}`", entry.key))
                            .expected(format!("expected {}", one_of(known.iter().copied())))
                            .did_you_mean(&label, known),
                    );
                }
                labels.push(label);
            }
            only.push((entry.key.clone(), labels));
        }
        only
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::build::Rejection;
    use crate::plan::{Document, Options, build};

    /// The graphs of a scenario with two factors; the settings are those of `--set`.
    fn graphs(graph: &str, settings: &[&str]) -> Result<Vec<Graph>, Vec<Mistake>> {
        let text = format!(
            "experiment: x\nfactors: {{connections: [1, 8], rtt: [0, 10ms]}}\nlet: {{trips: 2}}\n\
             workloads: {{w: {{url: \"http://127.0.0.1:1/${{connections}}/${{rtt}}\", \
             load: {{closed: {{connections: 1}}, amount: 1}}, steps: [{{get: /}}]}}}}\ngraphs: [{{{graph}}}]\n"
        );
        let document = Document::inline("x.yaml", &text).unwrap();
        let settings = settings.iter().map(|s| (*s).to_owned()).collect();
        match build(&document, &Options { settings, ..Options::default() }, 1) {
            Ok(plan) => Ok(plan.graphs),
            Err(Rejection::Mistakes(mistakes)) => Err(mistakes),
            Err(Rejection::Option(option)) => panic!("{option}"),
        }
    }

    fn values(graph: &str, settings: &[&str]) -> Vec<(String, f64)> {
        graphs(graph, settings).unwrap()[0].model_mut().unwrap().values.clone()
    }

    #[test]
    fn a_model_has_a_value_in_each_cell_in_which_it_is_a_number() {
        let graph = "lines: throughput, x: connections, series: rtt, model: connections / (trips * seconds(rtt))";
        let all = [("connections=1,rtt=10ms".to_owned(), 50.0), ("connections=8,rtt=10ms".to_owned(), 400.0)];
        assert_eq!(values(graph, &[]), all);
        assert_eq!(values(graph, &["connections=8"]), all[1..]);
        assert_eq!(values(&format!("{graph}, where: {{connections: 1}}"), &[]), all[..1]);
        // The scenario checks what it does not draw only where it is drawn.
        let graph = "lines: throughput, x: connections, where: {rtt: 0}, model: 3 * rtt + trips";
        assert_eq!(values(graph, &[]).iter().map(|(_, v)| *v).collect::<Vec<_>>(), [2.0, 2.0]);
    }

    #[test]
    fn a_shape_is_read_as_it_was_written() {
        let graph = "lines: pss, x: rtt, series: target, y: log, model: trips";
        let graphs = graphs(graph, &[]).unwrap();
        let json = serde_json::to_value(&graphs).unwrap();
        let mut read: Vec<Graph> = serde_json::from_value(json).unwrap();
        // Where it stood in the file is not kept.
        read[0].model_mut().unwrap().span = graphs[0].clone().model_mut().unwrap().span;
        assert_eq!(read, graphs);
        let first = serde_json::json!({"trend": {"metric": "throughput"}});
        let shape = Shape::Trend { metric: Metric::Throughput, model: None, log: false };
        assert_eq!(serde_json::from_value::<Shape>(first).unwrap(), shape);
    }

    #[test]
    fn a_text_in_a_model_is_named_with_its_number() {
        for model in ["connections / rtt", "2 * rtt"] {
            let found = graphs(&format!("lines: throughput, x: connections, model: {model}"), &[]).unwrap_err();
            assert_eq!(found.len(), 1, "{found:?}");
            let help = found[0].help.as_deref().unwrap_or_default();
            assert_eq!(help, "`rtt` is a text such as `10ms`; its number is `seconds(rtt)`", "{found:?}");
        }
    }
}
