//! Reads `metrics:` of commands and of collected sources.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, refuse};
use super::requests;
use plan::drivers::command;
use plan::{ExtractedMetric, MetricSource};
use schema::source::one_of;
use schema::{Mistake, Node, types};
use vocabulary::Metric;
use vocabulary::choices::Decimal;

/// Reads `metrics:` of `node`. `decimal`: the mark that `node` sets for all of them; `brought`: metrics that exist
/// without being extracted; `kinds`: where metrics can be found.
pub(super) fn metrics(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::MetricSource>,
    decimal: Option<Decimal>,
    brought: &[&str],
    kinds: &[&str],
) -> Vec<ExtractedMetric> {
    let mut metrics: Vec<ExtractedMetric> = Vec::new();
    if decimal.is_some() && typed.is_empty() {
        refuse(notes, node, &["decimal"], "it belongs to `metrics`, and there are none");
    }
    for (name, source) in typed {
        let Some(entry) = node.get("metrics").and_then(|m| m.entry(name)) else { continue };
        let nameable = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let known = Metric::find(name).is_some() || command::METRICS.contains(&name.as_str());
        if !nameable || known {
            let why = if known { "it already is a metric" } else { "expected lower-case letters, digits and `_`" };
            notes
                .mistakes
                .push(Mistake::new(notes.file, entry.key_span, format!("`{name}` cannot be the name of a metric")).expected(why));
        }
        let others = ["regex", "json", "lines", "csv", "sql", "ratio"].into_iter().filter(|k| !kinds.contains(k));
        if let Some(other) = others.into_iter().find(|k| entry.value.get(k).is_some()) {
            let expected = format!("expected {}", one_of(kinds.iter().copied()));
            notes.say(&entry.value, other, format!("`{other}` does not belong here"), expected);
            continue;
        }
        let made = match notes.exactly_one(&entry.value, "the place of the metric", kinds) {
            Some("regex") => source.regex.clone().map(|pattern| {
                requests::regex(notes, &entry.value, "regex", &pattern);
                MetricSource::Regex(pattern)
            }),
            Some("json") => source.json.clone().map(|pointer| {
                check_pointer(notes, &entry.value, &pointer);
                MetricSource::Json(pointer)
            }),
            Some("lines") => source.lines.clone().map(|pattern| {
                requests::regex(notes, &entry.value, "lines", &pattern);
                MetricSource::Lines(pattern)
            }),
            Some("csv") => source.csv.as_ref().map(|csv| MetricSource::Csv(csv.column.clone(), csv.pick.unwrap_or_default())),
            Some("sql") => source.sql.clone().map(MetricSource::Sql),
            Some(_) => ratio(notes, &entry.value, source.ratio.as_deref().unwrap_or_default(), typed, brought),
            None => None,
        };
        if let Some(made) = made {
            if matches!(made, MetricSource::Ratio(..)) {
                let why = "it belongs to a metric that is read, but a ratio is computed";
                refuse(notes, &entry.value, &["decimal"], why);
            }
            metrics.push(ExtractedMetric {
                name: name.clone(),
                source: made,
                decimal: source.decimal.or(decimal).unwrap_or_default(),
                times: source.times.unwrap_or(1.0),
                unit: source.unit.clone().unwrap_or_default(),
            });
        }
    }
    // Ratios come after the metrics taken from the output.
    metrics.sort_by_key(|m| matches!(m.source, MetricSource::Ratio(..)));
    metrics
}

/// A JSON pointer starts with a slash.
pub(super) fn check_pointer(notes: &mut Diagnostics<'_>, node: &Node, pointer: &str) {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        let found = format!("`{pointer}` is not a JSON pointer");
        notes.say(node, "json", found, "expected a path such as `/requests/average`");
    }
}

fn ratio(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    of: &[String],
    typed: &BTreeMap<String, types::MetricSource>,
    brought: &[&str],
) -> Option<MetricSource> {
    let [above, below] = of else {
        notes.say(node, "ratio", "a ratio needs exactly two metrics", "expected `[a, b]`, which gives a / b");
        return None;
    };
    let plain = typed.iter().filter(|(_, source)| source.ratio.is_none()).map(|(name, _)| name.as_str());
    let known: Vec<&str> = plain.chain(brought.iter().copied()).collect();
    for name in [above, below] {
        if !known.contains(&name.as_str()) {
            let mistake =
                Mistake::new(notes.file, node.get("ratio").map_or(node.span, |n| n.span), format!("there is no metric `{name}`"))
                    .expected(format!("expected {}", one_of(known.iter().copied())))
                    .did_you_mean(name, known.iter().copied());
            notes.mistakes.push(mistake);
        }
    }
    Some(MetricSource::Ratio(above.clone(), below.clone()))
}
