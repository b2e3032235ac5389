//! Reads `graphs:`.

use std::sync::Arc;

use super::levels::{Factor, unknown_factor};
use super::names::{ResultQuery, ScenarioNames, expected_metrics};
use plan::factors::label_of;
use plan::{Graph, Model, Shape};
use schema::source::{all_of, one_of};
use schema::{Mistake, Node, SourceFile, Span, types};
use vocabulary::metric::Row;
use vocabulary::rows::WHOLE;
use vocabulary::{Exists, Metric, Phase, Time};

/// Reads `graphs:`. Also returns the position of each model, whose values are computed when the cells are known.
pub(super) fn read(
    file: &Arc<SourceFile>,
    node: Option<&Node>,
    names: &ScenarioNames<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(Graph, Span)> {
    let mut graphs = Vec::new();
    for item in node.map(Node::items).unwrap_or_default() {
        let before = mistakes.len();
        let Some(typed) = schema::decode::decode::<types::Graph>(file, item, mistakes) else { continue };
        let graph = ResultQuery { file, node: item, names, mistakes }.graph(&typed);
        if mistakes.len() == before
            && let Some(graph) = graph
        {
            graphs.push((graph, item.get("model").map_or(item.span, |n| n.span)));
        }
    }
    graphs
}

/// Whether metrics can share an axis. The units of metrics that a scenario adds are only known in the summary.
fn of_one_unit(metrics: &[Metric]) -> bool {
    metrics.windows(2).all(|pair| pair[0].axis() == pair[1].axis())
}

impl ResultQuery<'_> {
    fn metric_of(&mut self, key: &str, name: &str, over_time: bool) -> Option<Metric> {
        let fits = |row: &Row| !over_time || row.exists.contains(&Exists::OverTime);
        let brought = if over_time { self.names.over_time } else { self.names.metrics };
        let known = match self.find(name, fits, brought) {
            Ok(metric) => return Some(metric),
            Err(known) => known,
        };
        let span = self.node.get(key).map_or(self.node.span, |n| n.span);
        let mistake = Mistake::new(self.file, span, format!("there is no metric `{name}` for `{key}`"))
            .expected(format!("expected {}", expected_metrics(&known)));
        let not_over_time = self.names.metrics.contains(&name) || Metric::find(name).is_some();
        self.mistakes.push(if not_over_time {
            mistake.help(format!("over time `{name}` has no values; with a factor as `x` it can be drawn"))
        } else {
            mistake.did_you_mean(name, known)
        });
        None
    }

    /// All of them, or `None` if one is a mistake.
    fn metrics_of(&mut self, key: &str, names: &[String]) -> Option<Vec<Metric>> {
        let metrics: Vec<Metric> = names.iter().filter_map(|name| self.metric_of(key, name, false)).collect();
        (metrics.len() == names.len()).then_some(metrics)
    }

    fn factor(&mut self, key: &str, name: &str, also: &[&str]) {
        if also.contains(&name) || self.names.factors.iter().any(|f| f.name == name) {
            return;
        }
        let span =
            self.node.get(key).map_or(self.node.head, |n| n.items().iter().find(|i| i.as_text() == Some(name)).unwrap_or(n).span);
        let known: Vec<&str> = self.names.factors.iter().map(|f| f.name.as_str()).chain(also.iter().copied()).collect();
        self.mistakes.push(
            Mistake::new(self.file, span, format!("`{name}` is not a factor"))
                .expected(format!(
                    "expected {}",
                    if known.is_empty() { "no such key: there are no factors".to_owned() } else { one_of(known.iter().copied()) }
                ))
                .did_you_mean(name, known),
        );
    }

    fn graph(&mut self, typed: &types::Graph) -> Option<Graph> {
        let shapes = ["bars", "stack", "ratio", "lines", "rounds", "quantiles"];
        let chosen: Vec<&str> = shapes.into_iter().filter(|s| self.node.get(s).is_some()).collect();
        if chosen.len() != 1 {
            let found = match chosen.as_slice() {
                [] => "this graph does not say what it draws".to_owned(),
                several => format!("this graph draws {} at once", all_of(several.iter().copied())),
            };
            let span = chosen.get(1).and_then(|s| self.node.entry(s)).map_or(self.node.head, |e| e.key_span);
            self.mistakes
                .push(Mistake::new(self.file, span, found).expected(format!("expected exactly one of {}", one_of(shapes))));
            return None;
        }
        let mut x = typed.x.clone();
        let mut series = typed.series.clone();
        let shape = if let Some(name) = &typed.bars {
            Shape::Bars(self.metric_of("bars", name, false)?)
        } else if !typed.stack.0.is_empty() {
            let metrics = self.metrics_of("stack", &typed.stack.0)?;
            if !of_one_unit(&metrics) {
                self.say("stack", "stacked metrics with different units", "expected metrics whose sum means something");
            }
            if typed.series.is_some() {
                self.say("series", "in a stack the colours show the metrics", "expected no `series`");
            }
            Shape::Stack(metrics)
        } else if let Some(name) = &typed.ratio {
            let metric = self.metric_of("ratio", name, false)?;
            Shape::Ratio(metric, self.baseline(typed)?)
        } else if let (Some(name), Some(factor)) = (&typed.lines, typed.x.as_deref().filter(|x| *x != "time")) {
            // Which metrics are possible depends on x.
            let before = self.mistakes.len();
            self.factor("x", factor, &["time"]);
            if self.mistakes.len() > before {
                return None;
            }
            let metric = self.metric_of("lines", name, false)?;
            Shape::Trend { metric, model: self.model(typed) }
        } else if let Some(name) = &typed.lines {
            x.get_or_insert_with(|| "time".to_owned());
            let metric = self.metric_of("lines", name, true)?;
            let parts = match &metric {
                Metric::Named(_) => "workload",
                _ if metric.is_resource() => "target",
                _ => "step",
            };
            series.get_or_insert_with(|| parts.to_owned());
            Shape::Lines(metric)
        } else if let [name] = typed.rounds.0.as_slice() {
            Shape::Rounds(self.metric_of("rounds", name, false)?)
        } else if !typed.rounds.0.is_empty() {
            let metrics = self.metrics_of("rounds", &typed.rounds.0)?;
            if !of_one_unit(&metrics) {
                self.say("rounds", "metrics with different units in one picture", "expected metrics that share an axis");
            }
            if typed.series.is_some() {
                self.say("series", "the colours already show the metrics", "expected no `series`");
            }
            Shape::RoundsOf(metrics)
        } else {
            let name = typed.quantiles.as_deref().unwrap_or_default();
            match Time::ALL.iter().find(|(known, _)| *known == name) {
                Some((_, time)) => Shape::Quantiles(*time),
                None => {
                    let known = Time::ALL.map(|(name, _)| name);
                    self.say("quantiles", format!("there is no distribution of `{name}`"), format!("expected {}", one_of(known)));
                    self.suggest(name, known);
                    return None;
                }
            }
        };
        match (&shape, &x) {
            (Shape::Bars(_) | Shape::Stack(_) | Shape::Ratio(..), Some(name)) => {
                self.factor("x", name, &["step", "workload", "phase"])
            }
            (Shape::Bars(_) | Shape::Stack(_) | Shape::Ratio(..), None) => {
                self.say("", "this graph has no `x`", "expected `x: <factor>`")
            }
            (Shape::Rounds(_) | Shape::RoundsOf(_), Some(_)) => {
                self.say("x", "`rounds` have no `x`", "leave it out: x is the round");
            }
            (Shape::Quantiles(_), Some(_)) => self.say("x", "`quantiles` have no `x`", "leave it out: x is the quantile"),
            _ => {}
        }
        let has_model = matches!(shape, Shape::Trend { .. });
        let has_scale = !matches!(shape, Shape::Stack(_) | Shape::Quantiles(_));
        for (key, has_meaning, expected) in [
            ("model", has_model, "expected it only in `lines` with a factor as `x`"),
            ("y", has_scale, "expected none: a `stack` is always linear, and `quantiles` are always logarithmic"),
        ] {
            if let Some(entry) = self.node.entry(key).filter(|_| !has_meaning) {
                let found = format!("`{key}` has no meaning here");
                self.mistakes.push(Mistake::new(self.file, entry.key_span, found).expected(expected));
            }
        }
        if let Some(name) = &series {
            let also: &[&str] = match &shape {
                Shape::Lines(m) if m.is_resource() => &["target"],
                Shape::Bars(m) | Shape::Rounds(m) | Shape::Trend { metric: m, .. } if m.is_resource() => &["target", "phase"],
                Shape::Ratio(m, _) if m.is_resource() => &["phase"],
                // A tap has no steps.
                Shape::Lines(m) if m.is_named() => &["workload"],
                Shape::Lines(_) => &["step", "workload"],
                _ => &["step", "workload", "phase"],
            };
            self.factor("series", name, also);
        }
        if let Some(metric) = shape.metric().filter(|m| !m.exists(Exists::InPhases)) {
            for key in [("x", &x), ("series", &series)].into_iter().filter(|(_, name)| name.as_deref() == Some("phase")) {
                self.say(key.0, format!("`{}` belongs to no phase", metric.name()), "expected a factor");
            }
        }
        for name in &typed.facet.0 {
            self.factor("facet", name, &[]);
        }
        if let Some(name) = &typed.workload {
            self.name_of("workload", name, "workload", self.names.workloads);
        }
        let only = self.only();
        Some(Graph {
            shape,
            x,
            series,
            facet: typed.facet.0.clone(),
            only,
            // The pass as a whole is what a graph shows anyway.
            step: typed.step.clone().filter(|step| step != WHOLE),
            workload: typed.workload.clone(),
            y: typed.y,
            title: typed.title.clone(),
        })
    }

    /// The model as typed; its values are computed when the cells are known.
    fn model(&mut self, typed: &types::Graph) -> Option<Model> {
        let expression = typed.model.as_ref()?.0.trim().to_owned();
        if expression.contains("${") {
            let expected = "expected it without `${` and `}`, such as `connections / 2`";
            self.say("model", "a model is an expression without `${…}`", expected);
            return None;
        }
        Some(Model { expression, values: Vec::new() })
    }

    fn baseline(&mut self, typed: &types::Graph) -> Option<String> {
        let Some(series) = &typed.series else {
            self.say("", "this ratio has no `series`", "expected `series: <factor>` whose baseline is 1");
            return None;
        };
        let factors = self.names.factors;
        let factor = factors.iter().find(|f| f.name == *series);
        if factor.is_none() && series != "phase" {
            self.factor("series", series, &["phase"]);
            return None;
        }
        // A factor may not be called `phase`.
        let known: Vec<&str> = match factor {
            Some(factor) => factor.labels().collect(),
            None => Phase::WITH_PASSES.map(Phase::name).to_vec(),
        };
        let label = typed.baseline.as_ref().map(label_of);
        match label {
            Some(_) if factor.is_some_and(Factor::is_faulty) => None,
            Some(label) if known.contains(&label.as_str()) => Some(label),
            found => {
                let expected = one_of(known.iter().copied());
                match found {
                    Some(label) => {
                        let what = if factor.is_some() { format!("a level of `{series}`") } else { "a phase".to_owned() };
                        self.say("baseline", format!("`{label}` is not {what}"), format!("expected {expected}"));
                        self.suggest(&label, known.iter().copied());
                    }
                    None => self.say("", "this ratio has no `baseline`", format!("expected `baseline:` with {expected}")),
                }
                None
            }
        }
    }

    fn only(&mut self) -> Vec<(String, Vec<String>)> {
        let mut only = Vec::new();
        let item = self.node;
        let factors = self.names.factors;
        for entry in item.get("where").map(Node::entries).unwrap_or_default() {
            let Some(factor) = factors.iter().find(|f| f.name == entry.key) else {
                self.mistakes.push(unknown_factor(self.file, entry.key_span, &entry.key, factors));
                continue;
            };
            let labels = self.levels(factor, entry);
            only.push((entry.key.clone(), labels));
        }
        only
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::choices::Axis;

    use crate::{Document, Options, Rejection, build};

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
        // A model is checked only in the cells that the graph draws.
        let graph = "lines: throughput, x: connections, where: {rtt: 0}, model: 3 * rtt + trips";
        assert_eq!(values(graph, &[]).iter().map(|(_, v)| *v).collect::<Vec<_>>(), [2.0, 2.0]);
    }

    #[test]
    fn a_shape_is_read_as_it_was_written() {
        let graph = "lines: pss, x: rtt, series: target, y: log, model: trips";
        let graphs = graphs(graph, &[]).unwrap();
        let json = serde_json::to_value(&graphs).unwrap();
        let read: Vec<Graph> = serde_json::from_value(json).unwrap();
        assert_eq!(read, graphs);
        assert_eq!(read[0].y, Some(Axis::Log));
        let first = serde_json::json!({"trend": {"metric": "throughput"}});
        let shape = Shape::Trend { metric: Metric::Throughput, model: None };
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
