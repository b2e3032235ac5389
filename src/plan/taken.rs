//! Figures and tables that are taken from what programs write.

use std::collections::BTreeMap;

use serde::Serialize;

use super::actions;
use super::pen::Pen;
use crate::schema::source::one_of;
pub use crate::schema::types::{Decimal, Pick};
use crate::schema::{Mistake, Node, types};

/// A figure that is taken from the output of a program, a file or a database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TakenMetric {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: MetricSource,
    /// The decimal mark of its text.
    #[serde(skip_serializing_if = "Decimal::is_point")]
    pub decimal: Decimal,
    /// By what it is multiplied.
    pub times: f64,
    /// Its unit.
    pub unit: String,
}

/// Where a figure comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricSource {
    /// The first group (or the whole match) of a regular expression in the output.
    Regex(String),
    /// A JSON pointer into the output.
    Json(String),
    /// How many lines of the output a regular expression matches.
    Lines(String),
    /// A column of CSV, and which of its values.
    Csv(String, Pick),
    /// The first value of the first row of a query.
    Sql(String),
    /// One metric divided by another.
    Ratio(String, String),
}

impl std::fmt::Display for MetricSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Regex(pattern) => write!(f, "regex `{pattern}`"),
            Self::Json(pointer) => write!(f, "JSON `{pointer}`"),
            Self::Lines(pattern) => write!(f, "lines with `{pattern}`"),
            Self::Csv(column, pick) => write!(f, "CSV, {} of `{column}`", pick.name()),
            Self::Sql(query) => write!(f, "query `{query}`"),
            Self::Ratio(above, below) => write!(f, "{above} / {below}"),
        }
    }
}

/// Where a table comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableSource {
    /// A JSON pointer to a list of objects.
    Json(String),
    /// The output is CSV.
    Csv,
    /// All rows of a query.
    Sql(String),
}

impl Decimal {
    /// Whether it is what is meant where nothing is said.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub fn is_point(&self) -> bool {
        *self == Self::Point
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Point => Self::Comma,
            Self::Comma => Self::Point,
        }
    }
}

impl Pick {
    /// The word in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Min => "min",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Count => "count",
        }
    }
}

/// Reads `metrics:` of `node`. `decimal`: the mark that `node` says for all of them; `brought`: figures that are there without
/// being looked for; `kinds`: where figures can be.
pub(super) fn metrics(
    pen: &mut Pen<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::MetricSource>,
    decimal: Option<Decimal>,
    brought: &[&str],
    kinds: &[&str],
) -> Vec<TakenMetric> {
    let mut metrics: Vec<TakenMetric> = Vec::new();
    if decimal.is_some() && typed.is_empty() {
        super::workloads::refuse(pen, node, &["decimal"], "it belongs to `metrics`, and there are none");
    }
    for (name, source) in typed {
        let Some(entry) = node.get("metrics").and_then(|m| m.entry(name)) else { continue };
        let nameable = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let known = super::Metric::all().any(|(n, _)| n == name) || super::workloads::COMMAND_METRICS.contains(&name.as_str());
        if !nameable || known {
            let why = if known { "it already is a metric" } else { "expected small letters, digits and `_`" };
            pen.mistakes
                .push(Mistake::new(pen.file, entry.key_span, format!("`{name}` cannot be the name of a metric")).expected(why));
        }
        let others = ["regex", "json", "lines", "csv", "sql", "ratio"].into_iter().filter(|k| !kinds.contains(k));
        if let Some(other) = others.into_iter().find(|k| entry.value.get(k).is_some()) {
            let expected = format!("expected {}", one_of(kinds.iter().copied()));
            pen.say(&entry.value, other, format!("`{other}` does not belong here"), expected);
            continue;
        }
        let made = match pen.exactly_one(&entry.value, "the place of the metric", kinds) {
            Some("regex") => source.regex.clone().map(|pattern| {
                actions::regex(pen, &entry.value, "regex", &pattern);
                MetricSource::Regex(pattern)
            }),
            Some("json") => source.json.clone().map(|pointer| {
                check_pointer(pen, &entry.value, &pointer);
                MetricSource::Json(pointer)
            }),
            Some("lines") => source.lines.clone().map(|pattern| {
                actions::regex(pen, &entry.value, "lines", &pattern);
                MetricSource::Lines(pattern)
            }),
            Some("csv") => source.csv.as_ref().map(|csv| MetricSource::Csv(csv.column.clone(), csv.pick.unwrap_or_default())),
            Some("sql") => source.sql.clone().map(MetricSource::Sql),
            Some(_) => ratio(pen, &entry.value, source.ratio.as_deref().unwrap_or_default(), typed, brought),
            None => None,
        };
        if let Some(made) = made {
            if matches!(made, MetricSource::Ratio(..)) {
                let why = "it belongs to a metric that is read, and a ratio is computed";
                super::workloads::refuse(pen, &entry.value, &["decimal"], why);
            }
            metrics.push(TakenMetric {
                name: name.clone(),
                source: made,
                decimal: source.decimal.or(decimal).unwrap_or_default(),
                times: source.times.unwrap_or(1.0),
                unit: source.unit.clone().unwrap_or_default(),
            });
        }
    }
    // Ratios of what was taken from the output come behind it.
    metrics.sort_by_key(|m| matches!(m.source, MetricSource::Ratio(..)));
    metrics
}

/// A JSON pointer begins with a slash.
pub(super) fn check_pointer(pen: &mut Pen<'_>, node: &Node, pointer: &str) {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let found = format!("`{pointer}` is not a JSON pointer");
        pen.say(node, "json", found, "expected a path as `/requests/average`");
    }
}

fn ratio(
    pen: &mut Pen<'_>,
    node: &Node,
    of: &[String],
    typed: &BTreeMap<String, types::MetricSource>,
    brought: &[&str],
) -> Option<MetricSource> {
    let [above, below] = of else {
        pen.say(node, "ratio", "a ratio of other than two metrics", "expected `[a, b]`, which gives a / b");
        return None;
    };
    let plain = typed.iter().filter(|(_, source)| source.ratio.is_none()).map(|(name, _)| name.as_str());
    let known: Vec<&str> = plain.chain(brought.iter().copied()).collect();
    for name in [above, below] {
        if !known.contains(&name.as_str()) {
            let mistake =
                Mistake::new(pen.file, node.get("ratio").map_or(node.span, |n| n.span), format!("there is no metric `{name}`"))
                    .expected(format!("expected {}", one_of(known.iter().copied())))
                    .did_you_mean(name, known.iter().copied());
            pen.mistakes.push(mistake);
        }
    }
    Some(MetricSource::Ratio(above.clone(), below.clone()))
}
