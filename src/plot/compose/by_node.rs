//! For a run that was merged of shards: the ratio between levels within each node, to see whether nodes agree.

use super::NamedFigure;
use crate::{Bar, BarSeries, Data, Figure};
use analysis::compare::{Rounds, ratio};
use analysis::question::{Question, question};
use analysis::summary::{CellSummary, Summary};
use analysis::values::{self, Selection};
use record::RunRecord;
use vocabulary::{Interest, Metric};

/// More ratios than this are not one picture.
const MOST: usize = 8;

/// The picture; none for a run of one node, and where too much or nothing is compared.
pub(super) fn by_node(run: &RunRecord, summary: &Summary) -> Option<NamedFigure> {
    let nodes = run.nodes();
    if nodes.len() < 2 {
        return None;
    }
    let measured: Vec<&CellSummary> = summary.cells.iter().filter(|cell| cell.repetitions.valid > 0).collect();
    let Question { by, baseline } = question(&run.plan, summary)?;
    let metric = metric(run, &measured);
    let node_of = run.node_of_rounds();
    let others =
        |cell: &CellSummary| cell.levels.iter().filter(|(factor, _)| **factor != by).map(|(_, l)| l.clone()).collect::<Vec<_>>();
    let varied = summary.varied_among(|cell| cell.repetitions.valid > 0);
    let mut series = Vec::new();
    for cell in measured.iter().filter(|cell| cell.levels.get(&by).is_some_and(|level| *level != baseline)) {
        let is_base = |other: &&&CellSummary| other.levels.get(&by) == Some(&baseline) && others(other) == others(cell);
        let Some(base) = measured.iter().find(is_base) else { continue };
        let of_node = |cell: &CellSummary, node: usize| -> Vec<(u32, f64)> {
            let all = values::by_repetition(cell, &metric, &Selection::default());
            all.into_iter().filter(|(round, _)| node_of.get(round) == Some(&node)).collect()
        };
        let rounds = Rounds { together: run.plan.is_in_rounds(), ..Rounds::default() };
        let bar = |node: usize| {
            let (value, interval) = ratio(&of_node(base, node), &of_node(cell, node), &rounds)?;
            let (low, high) = interval.unwrap_or((value, value));
            Some(Bar { value, low, high, points: Vec::new() })
        };
        let name: Vec<&str> = varied.iter().filter_map(|factor| cell.levels.get(*factor)).map(String::as_str).collect();
        series.push(BarSeries { name: name.join(" "), bars: (0..nodes.len()).map(bar).collect() });
    }
    if series.is_empty() || series.len() > MOST {
        return None;
    }
    let words = metric.words();
    let what = format!("{words}, ratio to {by} {baseline}, by node");
    let groups = nodes.into_iter().map(str::to_owned).collect();
    let figure = Figure {
        title: if summary.question.is_empty() { summary.experiment.clone() } else { summary.question.clone() },
        subtitle: what.clone(),
        x_label: "node".to_owned(),
        y_label: what,
        note: Some(format!("Hodges-Lehmann ratio within each node; error bars: its 95 % interval; run {}", summary.run)),
        data: Data::Bars { groups, series, reference: Some(1.0), log: false },
    };
    figure.data.has_values().then(|| ("ratio-by-node".to_owned(), figure))
}

/// What the experiment is mainly about: its primary metric, or what its program reports, or the rate.
fn metric(run: &RunRecord, measured: &[&CellSummary]) -> Metric {
    let own = measured.iter().flat_map(|cell| &cell.metrics).find(|m| m.phase == "during" && m.interest == Interest::Question);
    run.plan.primary.clone().unwrap_or_else(|| own.map_or(Metric::Throughput, |metric| Metric::named(&metric.metric)))
}
