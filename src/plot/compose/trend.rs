//! Means over the levels of a factor.

use std::collections::BTreeMap;

use super::{Composer, PARTS};
use crate::{Data, Figure, LevelPositions, TrendPoint, TrendSeries};
use analysis::estimate::median_interval;
use analysis::stats;
use record::Model;
use vocabulary::Metric;
use vocabulary::units::{self, Bytes};

/// If the largest number is at least this many times the smallest, the axis is logarithmic.
const WIDE: f64 = 16.0;

impl Composer<'_> {
    /// A metric by the levels of the factor along x, with one line for each level of the series.
    pub(super) fn trend(&self, metric: &Metric, model: Option<&Model>) -> Figure {
        let x = self.graph.x.as_deref().unwrap_or_default();
        let (levels, places) = placed(self.axis(Some(x)));
        let predicted: BTreeMap<&str, f64> =
            model.into_iter().flat_map(|m| &m.values).map(|(cell, value)| (cell.as_str(), *value)).collect();
        let mut series = Vec::new();
        for name in self.axis(self.graph.series.as_deref()) {
            let (mut points, mut should) = (Vec::new(), Vec::new());
            for (i, level) in levels.iter().enumerate() {
                // What the scenario excludes is not missing.
                let Some((cell, part)) = self.cell_at(level, &name) else { continue };
                points.push(point(i, &self.values(cell, metric, part)));
                should.extend(model.map(|_| (i, predicted.get(cell.cell.as_str()).copied().unwrap_or(f64::NAN))));
            }
            // A step, a workload or a target without this metric is not compared.
            let is_part = self.graph.series.as_deref().is_some_and(|s| PARTS.contains(&s));
            if !is_part || points.iter().any(|p| p.value.is_finite()) {
                series.push(TrendSeries { name: self.series_label(&name), points, model: should });
            }
        }
        let is_log_x = matches!(places, LevelPositions::Log(_));
        let values = || series.iter().flat_map(|s| &s.points).map(|p| p.value);
        let log = self.is_log(values());
        let axes = match (is_log_x, log) {
            (true, true) => "; both axes are logarithmic",
            (true, false) => "; the x axis is logarithmic",
            (false, true) => "; the y axis is logarithmic",
            (false, false) => "",
        };
        let edge = if log && values().any(|v| v <= 0.0) { ", with 0 on its lower edge" } else { "" };
        let n = self.repetitions();
        let note =
            format!("dots: median of {n}; error bars: bootstrap (BCa) 95 % interval of it{axes}{edge}; run {}", self.summary.run);
        let drawn = series.iter().any(|s| s.model.iter().any(|(_, v)| v.is_finite()));
        let model = model.filter(|_| drawn).map(|m| format!("model: {}", m.expression));
        let data = Data::Trend { levels, places, series, model, log };
        self.frame(&metric.words(), &self.unit(metric), x.to_owned(), data, note)
    }
}

/// The median over repetitions, in the unit of the picture.
fn point(level: usize, values: &[f64]) -> TrendPoint {
    if values.is_empty() {
        return TrendPoint { level, value: f64::NAN, low: f64::NAN, high: f64::NAN };
    }
    let value = stats::median(values);
    let (low, high) = median_interval(values).unwrap_or((value, value));
    TrendPoint { level, value, low, high }
}

/// Levels in their order along the axis, and their positions: numbers ascend, others keep their order.
fn placed(levels: Vec<String>) -> (Vec<String>, LevelPositions) {
    let Some(numbers) = numbers(&levels) else { return (levels, LevelPositions::Even) };
    let mut pairs: Vec<(f64, String)> = numbers.into_iter().zip(levels).collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (numbers, levels): (Vec<f64>, Vec<String>) = pairs.into_iter().unzip();
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    let is_wide = first > 0.0 && last >= WIDE * first;
    (levels, if is_wide { LevelPositions::Log(numbers) } else { LevelPositions::Linear(numbers) })
}

/// The levels as numbers of one kind, if all are numbers and no two are equal: plain numbers, durations, sizes, rates or
/// percentages.
fn numbers(levels: &[String]) -> Option<Vec<f64>> {
    let kinds: [fn(&str) -> Option<f64>; 5] = [
        |text| text.parse().ok(),
        |text| Some(units::parse_duration(text)?.as_secs_f64()),
        |text| Some(Bytes::parse(text)?.0 as f64),
        units::parse_rate,
        units::parse_percent,
    ];
    let read =
        |kind: fn(&str) -> Option<f64>| levels.iter().map(|l| kind(l).filter(|n| n.is_finite())).collect::<Option<Vec<_>>>();
    let found = kinds.into_iter().find_map(read).filter(|numbers| !numbers.is_empty())?;
    let mut sorted = found.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.is_sorted_by(|a, b| a < b).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::*;
    use analysis::cells::Part;
    use analysis::estimate::estimate;
    use analysis::summarize;
    use analysis::summary::{MetricSummary, StepRepetition, StepSummary, Summary};
    use plan_read::{Document, Options, build};
    use record::RunRecord;
    use record::manifest::{Choice, Manifest};
    use record::tables::WHOLE;

    fn place(levels: &[&str]) -> (Vec<String>, LevelPositions) {
        placed(levels.iter().map(|l| (*l).to_owned()).collect())
    }

    #[test]
    fn levels_that_are_numbers_stand_by_their_size() {
        assert_eq!(place(&["1", "16"]).1, LevelPositions::Log(vec![1.0, 16.0]));
        assert_eq!(place(&["1", "15"]).1, LevelPositions::Linear(vec![1.0, 15.0]));
        assert_eq!(place(&["0", "1000"]).1, LevelPositions::Linear(vec![0.0, 1000.0]));
        assert_eq!(
            place(&["10ms", "0", "1s"]),
            (["0", "10ms", "1s"].map(str::to_owned).to_vec(), LevelPositions::Linear(vec![0.0, 0.01, 1.0]))
        );
        assert_eq!(place(&["10KiB", "512", "1MiB"]).1, LevelPositions::Log(vec![512.0, 10240.0, 1048576.0]));
        assert_eq!(place(&["0%", "0.5%"]).1, LevelPositions::Linear(vec![0.0, 0.005]));
        assert_eq!(place(&["60/min", "20/s"]).1, LevelPositions::Log(vec![1.0, 20.0]));
    }

    #[test]
    fn other_levels_stay_in_their_order() {
        for levels in [&["haproxy", "builtin"][..], &["1", "many"], &["1s", "1000ms"], &["1s", "1KiB"], &["inf", "1"], &[]] {
            assert_eq!(place(levels), (levels.iter().map(|l| (*l).to_owned()).collect(), LevelPositions::Even));
        }
    }

    #[test]
    fn one_repetition_has_no_interval_and_none_no_value() {
        assert_eq!(point(3, &[5.0]), TrendPoint { level: 3, value: 5.0, low: 5.0, high: 5.0 });
        assert!(point(0, &[]).value.is_nan());
    }

    /// A run of a scenario without repetitions, and its summary.
    fn run(text: &str) -> (RunRecord, Summary) {
        let folder = tempfile::tempdir().unwrap();
        let plan = build(&Document::inline("x.yaml", text).unwrap(), &Options::default(), 1).unwrap();
        let mut plan = serde_json::to_value(&plan).unwrap();
        plan["format"] = 3.into();
        let manifest = Manifest::collect("x.yaml", BTreeMap::new(), folder.path(), Choice::default());
        std::fs::write(folder.path().join("plan.json"), plan.to_string()).unwrap();
        std::fs::write(folder.path().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
        let run = RunRecord::open(folder.path()).unwrap();
        let summary = summarize(&run).unwrap();
        (run, summary)
    }

    fn trend_of(run: &RunRecord, summary: &Summary) -> (String, Vec<String>, LevelPositions, Vec<TrendSeries>, Option<String>) {
        let mut figures = figures(run, summary).unwrap().figures;
        assert_eq!(figures.len(), 1);
        let (name, figure) = figures.remove(0);
        let Data::Trend { levels, places, series, model, .. } = figure.data else { panic!("{figure:?}") };
        (name, levels, places, series, model)
    }

    /// Level and value of each point; 0 means that nothing was measured, as NaN equals nothing.
    fn points(one: &TrendSeries) -> Vec<(usize, f64)> {
        one.points.iter().map(|p| (p.level, if p.value.is_nan() { 0.0 } else { p.value })).collect()
    }

    #[test]
    fn a_figure_of_a_command_by_a_factor_with_its_model() {
        let (run, mut summary) = run("experiment: x\nfactors: {connections: [16, 1, 4], rtt: [0, 10ms]}\n\
            exclude: [{connections: 4, rtt: 0}]\nworkloads: {tool: {command: [echo, \"${connections} ${rtt}\"], \
            load: {closed: {connections: 1}, amount: 1}, metrics: {rate: {regex: \"([0-9]+)\"}}}}\n\
            graphs: [{lines: rate, x: connections, series: rtt, model: connections / seconds(rtt)}]\n");
        for cell in summary.cells.iter_mut().filter(|c| c.cell != "connections=16,rtt=10ms") {
            let base: f64 = cell.levels["connections"].parse().unwrap();
            let part = Part { workload: "tool".to_owned(), phase: "during".to_owned(), ..Part::default() };
            cell.figures.set(&part, "rate", 1, Some(base));
            cell.figures.set(&part, "rate", 2, Some(base + 2.0));
            cell.metrics.push(MetricSummary {
                interest: vocabulary::Interest::Question,
                workload: "tool".to_owned(),
                phase: "during".to_owned(),
                metric: "rate".to_owned(),
                unit: "1/s".to_owned(),
                value: estimate(&[base, base + 2.0]).unwrap(),
            });
        }
        let (name, levels, places, series, model) = trend_of(&run, &summary);
        assert_eq!((name.as_str(), model.as_deref()), ("rate-lines-by-connections", Some("model: connections / seconds(rtt)")));
        assert_eq!((levels.join(" ").as_str(), places), ("1 4 16", LevelPositions::Log(vec![1.0, 4.0, 16.0])));
        let [none, some] = series.as_slice() else { panic!("{series:?}") };
        // An excluded cell is not absent; a model that divides by zero is.
        assert_eq!((none.name.as_str(), points(none)), ("rtt 0", vec![(0, 2.0), (2, 17.0)]));
        assert!(none.model.len() == 2 && none.model.iter().all(|(_, v)| v.is_nan()), "{none:?}");
        assert!(none.points.iter().all(|p| p.low < p.value && p.value < p.high), "{none:?}");
        assert_eq!((some.name.as_str(), points(some)), ("10ms", vec![(0, 2.0), (1, 5.0), (2, 0.0)]));
        assert_eq!(some.model, [(0, 100.0), (1, 400.0), (2, 1600.0)]);
    }

    #[test]
    fn workloads_of_a_cell_side_by_side() {
        let workload = "{url: \"http://127.0.0.1:1/${n}\", load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}";
        let (run, mut summary) = run(&format!(
            "experiment: x\nfactors: {{n: [1, 2]}}\nworkloads:\n  author: {workload}\n  subscriber: {workload}\n\
             graphs: [{{lines: throughput, x: n, series: workload}}]\n"
        ));
        for cell in &mut summary.cells {
            let n: f64 = cell.levels["n"].parse().unwrap();
            cell.steps = vec![step("author", n), step("subscriber", 10.0 * n)];
            for step in cell.steps.clone() {
                let part = Part { workload: step.workload, phase: step.phase, step: step.step, ..Part::default() };
                cell.figures.set(&part, "throughput", 1, Some(step.by_repetition[0].throughput_per_s));
            }
        }
        let (_, _, places, series, model) = trend_of(&run, &summary);
        assert_eq!((places, model), (LevelPositions::Linear(vec![1.0, 2.0]), None));
        let found: Vec<_> = series.iter().map(|s| (s.name.as_str(), points(s))).collect();
        assert_eq!(found, [("author", vec![(0, 1.0), (1, 2.0)]), ("subscriber", vec![(0, 10.0), (1, 20.0)])]);
    }

    /// The passes of a workload in one repetition.
    fn step(workload: &str, throughput_per_s: f64) -> StepSummary {
        let one = StepRepetition {
            repetition: 1,
            requests: 1,
            ok: 1,
            named: 0,
            offered: 1,
            unsent: 0,
            open: 0,
            seconds: 1.0,
            throughput_per_s,
            throughput_stdev_per_s: None,
            upload_bytes_per_s: 0.0,
            download_bytes_per_s: 0.0,
            service_ns: None,
            response_ns: None,
            lag_ns: None,
            connect_ns: None,
            first_byte_ns: None,
        };
        StepSummary {
            workload: workload.to_owned(),
            phase: "during".to_owned(),
            step: WHOLE.to_owned(),
            requests: 1,
            ok: 1,
            named: BTreeMap::new(),
            errors: BTreeMap::new(),
            sent_bytes: 0,
            received_bytes: 0,
            offered: 1,
            unsent: 0,
            open: 0,
            throughput_per_s: None,
            upload_bytes_per_s: None,
            download_bytes_per_s: None,
            service_ns: None,
            response_ns: None,
            lag_ns: None,
            connect_ns: None,
            first_byte_ns: None,
            all_requests: analysis::summary::AllTimes::default(),
            by_repetition: vec![one],
            distributions: analysis::windows::Distributions::default(),
        }
    }
}
