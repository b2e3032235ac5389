//! A run with phases, as it is written, read and judged: which values belong to which phase.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::{Data, Figure};
use analysis::cells::Part;
use analysis::compare::Rounds;
use analysis::expectations::{Outcome as Judged, judge};
use analysis::summary::Summary;
use analysis::values::{self, Selection};
use analysis::{summarize, windows};
use load::windows::Windows;
use plan_read::{Document, Options, build};
use record::RunRecord;
use record::manifest::{Choice, Manifest};
use record::tables::{Tables, WHOLE, WorkloadNames};
use vocabulary::Metric;
use vocabulary::rows::ProcessSample;
use vocabulary::rows::RequestRow;
use vocabulary::{Outcome, Phase};

/// 1 s before, 2 s during, 1 s after; one workload all the time and one in the middle.
const SCENARIO: &str = "experiment: x
repetitions: REPETITIONS
factors: {work: [inline, threads]}
window: 250ms
phases: {before: 1s, during: 2s, after: 1s}
targets: {server: {command: [sleep, \"9\"]}, helper: {command: [sleep, \"9\"]}}
workloads:
  easy: {url: \"http://127.0.0.1:1/${work}\", load: {open: {rate: 100/s}}, steps: [{get: /}]}
  heavy: {url: \"http://127.0.0.1:1\", load: {closed: {connections: 1}}, phases: during, steps: [{get: /}]}
";

const PHASES: [(Phase, u64, u64); 3] = [(Phase::Before, 0, 1000), (Phase::During, 1000, 3000), (Phase::After, 3000, 4000)];

/// Milliseconds between two requests of `easy`: with threads the other workload does not matter.
fn gap_ms(work: &str, phase: Phase, repetition: u32) -> u64 {
    match (work, phase) {
        ("inline", Phase::During) => 40 + u64::from(repetition % 3) * 10,
        _ => 10,
    }
}

fn write(path: &Path, cell: &str, work: &str, repetition: u32) {
    std::fs::create_dir_all(path).unwrap();
    let names = |workload: &str| WorkloadNames {
        workload: workload.to_owned(),
        steps: vec!["get".to_owned()],
        single: true,
        outcomes: Vec::new(),
        metrics: Vec::new(),
    };
    let mut tables = Tables::create(path, vec![names("easy"), names("heavy")]).unwrap();
    // Samples from before the load have times before the epoch.
    let epoch = Instant::now() + Duration::from_secs(1);
    tables.set_epoch(epoch);
    let mut statuses = Vec::new();
    for (index, name) in ["easy", "heavy"].into_iter().enumerate() {
        let mut windows = Windows::new(index as u16, 1, true, 250_000_000);
        let mut rows = Vec::new();
        for (phase, start, end) in PHASES.into_iter().filter(|(phase, ..)| name == "easy" || *phase == Phase::During) {
            let gap = if name == "easy" { gap_ms(work, phase, repetition) } else { 100 };
            let times: Vec<u64> = (start..end).step_by(gap as usize).collect();
            for at in &times {
                let (sent_ns, completed_ns) = (at * 1_000_000, at * 1_000_000 + 2_000_000);
                let ended = RequestRow {
                    step: Some(0),
                    phase,
                    completed_in: phase,
                    outcome: Outcome::Ok,
                    intended_ns: sent_ns,
                    sent_ns,
                    completed_ns,
                    connect_ns: None,
                    first_byte_ns: None,
                    sent_bytes: 0,
                    received_bytes: 0,
                    key: None,
                };
                rows.extend(windows.record(&ended).unwrap_or_default());
            }
            statuses
                .push(json!({"workload": name, "phase": phase.name(), "start_ns": start * 1_000_000, "end_ns": end * 1_000_000,
                "offered": times.len(), "unsent": 0, "passes": times.len(), "errors": 0}));
        }
        rows.extend(windows.flush());
        tables.windows(rows).unwrap();
    }
    // A sample every 250 ms, of memory, processor time and threads. In the middle, inline work takes ten times the memory.
    for tick in 0..=16_u64 {
        let during = (4..12).contains(&tick);
        for (target, base) in [("server", 100_u64), ("helper", 1)] {
            let memory = if during && work == "inline" { 10 * base } else { base } * 1024 * 1024;
            let sample = ProcessSample {
                at: epoch + Duration::from_millis(250 * tick) + Duration::from_micros(base),
                target: target.into(),
                replica: 0,
                processes: 1,
                threads: if during { 5 } else { 2 },
                pss_bytes: Some(memory),
                rss_bytes: memory,
                peak_rss_bytes: memory,
                cpu_user_ns: tick * 25_000_000,
                cpu_system_ns: tick.saturating_sub(4).min(8) * 100_000_000,
                open_files: 3,
                voluntary_switches: 0,
                involuntary_switches: 0,
                read_bytes: 0,
                written_bytes: 0,
                complete: true,
            };
            tables.process(sample).unwrap();
        }
    }
    tables.finish().unwrap();
    let target = |name: &str| json!({"target": name, "replica": 0, "pid": 1, "start_up_ns": 1, "ended": null, "killed": false});
    let status = json!({
        "format": 4, "cell": cell, "repetition": repetition, "seed": 1, "started_at": "", "verdict": {"is": "valid"},
        "phases": statuses, "targets": [target("server"), target("helper")],
        "generator": {"cpu_ns": 1, "wall_ns": 2, "connects": 1},
        "observer": {"samples": 0, "cpu_ns": 0, "wall_ns": 0, "skipped_ticks": 0},
        "timings": {"total_ns": 0, "steps_ns": 0, "target_start_ns": 0, "ready_to_first_request_ns": 0, "load_ns": 0,
            "target_stop_ns": 0, "record_ns": 0, "overhead_ns": 0},
        "errors": [], "left_behind": [],
    });
    std::fs::write(path.join("status.json"), status.to_string()).unwrap();
}

/// A run of the scenario with more lines at its end.
fn run(repetitions: u32, more: &str) -> (tempfile::TempDir, RunRecord, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let text = SCENARIO.replace("REPETITIONS", &repetitions.to_string()) + more;
    let plan = build(&Document::inline("x.yaml", &text).unwrap(), &Options::default(), 1).unwrap();
    let mut json = serde_json::to_value(&plan).unwrap();
    json["format"] = 4.into();
    for cell in json["cells"].as_array().unwrap() {
        let (id, work) = (cell["id"].as_str().unwrap(), cell["levels"][0][1].as_str().unwrap());
        for repetition in 1..=repetitions {
            let path = folder.path().join("cells").join(cell["path"].as_str().unwrap()).join(format!("run{repetition}"));
            write(&path, id, work, repetition);
        }
    }
    let manifest = Manifest::collect("x.yaml", std::collections::BTreeMap::new(), folder.path(), Choice::default());
    std::fs::write(folder.path().join("plan.json"), json.to_string()).unwrap();
    std::fs::write(folder.path().join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let record = RunRecord::open(folder.path()).unwrap();
    let summary = summarize(&record).unwrap();
    assert_eq!(summary.damaged, Vec::<String>::new());
    (folder, record, summary)
}

fn figure(record: &RunRecord, summary: &Summary) -> Figure {
    let mut figures = crate::compose::figures(record, summary).unwrap().figures;
    assert_eq!(figures.len(), 1);
    figures.remove(0).1
}

const MIB: f64 = 1024.0 * 1024.0;

#[test]
fn resources_have_a_value_in_each_phase_and_one_in_all() {
    let (_folder, _, summary) = run(6, "");
    let inline = &summary.cells[0];
    let median = |name: &str, phase, target| {
        let part = Selection { phase, target, ..Selection::default() };
        let values = values::of_cell(inline, &Metric::by_name(name), &part);
        assert_eq!(values.len(), 6, "{name} {phase:?}");
        analysis::stats::median(&values)
    };
    let phases = [Some("before"), Some("during"), Some("after"), None];
    assert_eq!(phases.map(|phase| median("pss", phase, Some("server")) / MIB), [100.0, 1000.0, 100.0, 1000.0]);
    assert_eq!(phases.map(|phase| median("rss", phase, None) / MIB), [101.0, 1010.0, 101.0, 1010.0]);
    assert_eq!(phases.map(|phase| median("threads", phase, Some("helper"))), [2.0, 5.0, 2.0, 5.0]);
    assert_eq!(phases.map(|phase| median("open_files", phase, None)), [6.0; 4]);
    let cpu = phases.map(|phase| median("cpu", phase, Some("server")));
    for (found, expected) in cpu.into_iter().zip([0.1, 0.5, 0.1, 0.3]) {
        assert!((found - expected).abs() < 0.01, "{cpu:?}");
    }
    assert!(
        values::of_cell(inline, &Metric::by_name("pss"), &Selection { phase: Some("warm-up"), ..Selection::default() })
            .is_empty()
    );
    // The same in the file, with the phases in order of time.
    let json = serde_json::to_value(&summary).unwrap();
    let server = &json["cells"][0]["targets"][0];
    let of = |key: &str| server["phases"].as_array().unwrap().iter().map(|p| p[key].clone()).collect::<Vec<Json>>();
    assert_eq!(of("phase"), ["before", "during", "after"]);
    assert_eq!(of("pss_bytes").iter().map(|e| e["median"].as_f64().unwrap() / MIB).collect::<Vec<_>>(), [100.0, 1000.0, 100.0]);
    assert_eq!(server["pss_bytes"]["median"], 1000.0 * MIB);
}

#[test]
fn phases_reach_from_the_earliest_begin_to_the_latest_end_of_any_workload() {
    let phase = |workload: &str, phase: &str, start_ns, end_ns| {
        serde_json::from_value(json!({"workload": workload, "phase": phase, "start_ns": start_ns, "end_ns": end_ns, "passes": 1,
            "errors": 0}))
        .unwrap()
    };
    let phases =
        [phase("a", "during", 12, 18), phase("a", "before", 0, 11), phase("b", "during", 10, 25), phase("b", "after", 30, 30)];
    assert_eq!(windows::phase_bounds(&phases), [("before", (0, 11)), ("during", (10, 25))]);
}

#[test]
fn a_ratio_of_phases_is_paired() {
    let expect = "expect:
  - {ratio: throughput, phase: during over before, of: easy, above: 0.1, below: 0.3, work: inline}
  - {ratio: throughput, phase: during over before, of: easy, above: 0.9, work: inline}
  - {ratio: throughput, phase: during over before, of: easy, below: 0.2, work: inline}
  - {ratio: throughput, phase: after over before, of: easy, above: 0.99, below: 1.01}
  - {ratio: pss, phase: during over before, above: 9, work: inline}
  - {ratio: pss, phase: during over before, target: helper, below: 1.5, work: threads}
  - {ratio: throughput, phase: during over before, of: heavy, above: 1, work: inline}
";
    let (_folder, record, summary) = run(6, expect);
    use Judged::{Fail, Inconclusive, Pass};
    let outcomes: Vec<_> = summary.expectations.iter().map(|f| f.outcome).collect();
    assert_eq!(outcomes, [Pass, Fail, Inconclusive, Pass, Pass, Pass, Pass, Inconclusive], "{:#?}", summary.expectations);
    let found = &summary.expectations[0];
    // In two repetitions 20, 25 and 17 per second, after 100.
    assert_eq!(found.value, Some(0.2));
    let interval = found.interval.unwrap();
    assert!(interval.0 >= 0.17 && interval.1 <= 0.25, "{interval:?}");
    assert!(found.words.starts_with("ratio 0.2") && found.words.ends_with("expected above 0.1, expected below 0.3"));
    assert_eq!(summary.expectations[7].words, "before: this cell has no such figure");
    assert_eq!(found.expectation, "ratio of throughput during over before of easy work inline above 0.1 below 0.3");
    // It survives being written and read.
    assert_eq!(judge(&record.plan.expect, &summary.cells, &Rounds { together: true, ..Rounds::default() }), summary.expectations);

    let (_folder, _, summary) = run(4, &expect[..expect.find("\n  - {ratio: throughput, phase: after").unwrap() + 1]);
    for found in &summary.expectations {
        assert_eq!(found.outcome, Inconclusive);
        assert!(found.words.contains("4 repetitions are too few for an interval: expected at least 5"), "{}", found.words);
    }
}

#[test]
fn what_is_missing_on_one_side_is_in_no_ratio() {
    let (_folder, _, mut summary) = run(6, "");
    let cell = &mut summary.cells[0];
    let part = |phase| Selection { workload: Some("easy"), phase: Some(phase), ..Selection::default() };
    let throughput = Metric::by_name("throughput");
    let all = values::ratios(cell, &throughput, &part("during"), &part("before")).unwrap();
    assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let (workload, phase, step) = ("easy".to_owned(), "before".to_owned(), "(pass)".to_owned());
    let before = Part { workload, phase, step, ..Part::default() };
    cell.figures.set(&before, "throughput", 2, None);
    let found = values::ratios(cell, &throughput, &part("during"), &part("before")).unwrap();
    assert_eq!(found, [&all[..1], &all[2..]].concat());
    cell.figures.set(&before, "throughput", 4, Some(0.0));
    assert_eq!(values::ratios(cell, &throughput, &part("during"), &part("before")), Err(4));
}

#[test]
fn an_expectation_of_a_resource_means_the_phase_that_it_says() {
    let expect = "expect:
  - {metric: pss, phase: before, below: 102MiB, work: inline}
  - {metric: pss, phase: during, below: 102MiB, work: inline}
  - {metric: pss, below: 102MiB, work: inline}
  - {ratio: pss, phase: before, work: inline over threads, below: 2}
  - {ratio: pss, work: inline over threads, below: 2}
";
    let (_folder, mut record, summary) = run(6, expect);
    use Judged::{Fail, Pass};
    let outcomes: Vec<_> = summary.expectations.iter().map(|f| f.outcome).collect();
    assert_eq!(outcomes, [Pass, Fail, Fail, Pass, Fail], "{:#?}", summary.expectations);
    // Plans from before there were phases of resources say `during` and mean the whole load.
    record.plan.expect[0].phase_is_said = false;
    assert_eq!(judge(&record.plan.expect[..1], &summary.cells, &Rounds { together: true, ..Rounds::default() })[0].outcome, Fail);
}

#[test]
fn bars_of_a_resource_by_phase() {
    let (_folder, record, summary) = run(3, "graphs: [{bars: pss, x: phase, series: work}]\n");
    let Data::Bars { groups, series, .. } = figure(&record, &summary).data else { panic!("no bars") };
    assert_eq!(groups, ["before", "during", "after"]);
    let heights: Vec<Vec<f64>> =
        series.iter().map(|s| s.bars.iter().map(|b| b.as_ref().map_or(f64::NAN, |b| b.value)).collect()).collect();
    assert_eq!(heights, [vec![101.0, 1010.0, 101.0], vec![101.0; 3]]);
    let (_folder, record, summary) = run(3, "graphs: [{bars: pss, x: work, series: phase}]\n");
    let Data::Bars { series, .. } = figure(&record, &summary).data else { panic!("no bars") };
    assert_eq!(series.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["before", "during", "after"]);
}

#[test]
fn a_ratio_graph_to_a_phase_is_paired_too() {
    let graph = "graphs: [{ratio: throughput, x: work, series: phase, baseline: before, workload: easy}]\n";
    let (_folder, record, summary) = run(6, graph);
    let figure = figure(&record, &summary);
    assert_eq!(figure.subtitle, "throughput of easy, ratio to before");
    let Data::Bars { groups, series, reference, .. } = figure.data else { panic!("no bars") };
    assert_eq!((groups, reference), (vec!["inline".to_owned(), "threads".to_owned()], Some(1.0)));
    let bars = |name: &str| series.iter().find(|s| s.name == name).unwrap().bars.clone();
    let during = bars("during")[0].clone().unwrap();
    assert_eq!((during.value, during.points.len()), (0.2, 6));
    assert!(during.low < 0.2 && during.high > 0.2, "{during:?}");
    let before = bars("before")[0].clone().unwrap();
    assert_eq!((before.value, before.low, before.high, before.points.len()), (1.0, 1.0, 1.0, 0));
    // What exists only in the middle has nothing to be divided by.
    let (_folder, record, summary) = run(6, &graph.replace("easy", "heavy"));
    let pictures = crate::compose::figures(&record, &summary).unwrap();
    assert_eq!(pictures.figures, []);
    let expected = "1 graph not drawn (throughput-ratio-heavy): nothing was measured for it [work=inline, work=threads]";
    assert_eq!(pictures.left_out_words(), [expected]);
}

#[test]
fn lines_of_a_factor_have_the_phases_behind_them() {
    let graph = "graphs: [{lines: throughput, series: work, workload: easy}]\n";
    let (_folder, record, summary) = run(3, graph);
    let Data::Lines { series, phases, .. } = figure(&record, &summary).data else { panic!("no lines") };
    let names: Vec<_> = series.iter().map(|s| (s.name.as_str(), s.lines.len())).collect();
    assert_eq!(names, [("inline", 3), ("threads", 3)]);
    let phases: Vec<_> = phases.iter().map(|p| (p.name.as_str(), p.start, p.end, p.marked)).collect();
    assert_eq!(phases, [("before", 0.0, 1.0, false), ("during", 1.0, 3.0, true), ("after", 3.0, 4.0, false)]);
}

#[test]
fn a_load_of_a_few_windows_has_no_lines_over_time_but_all_other_graphs() {
    let graphs = "graphs: [{lines: throughput, series: work, workload: easy}, {bars: throughput, x: work, workload: easy}]\n";
    let (_folder, mut record, summary) = run(3, graphs);
    let names = |record: &RunRecord| {
        let pictures = crate::compose::figures(record, &summary).unwrap();
        let names: Vec<String> = pictures.figures.iter().map(|(name, _)| name.clone()).collect();
        (names, pictures.left_out_words())
    };
    // The load takes 4 s.
    record.plan.window = Duration::from_millis(400);
    let (drawn, left_out) = names(&record);
    assert_eq!((drawn.len(), left_out.len()), (2, 0));
    record.plan.window = Duration::from_millis(401);
    let (drawn, left_out) = names(&record);
    assert_eq!(drawn, ["throughput-bars-easy"]);
    let expected = "1 graph not drawn (throughput-lines-easy): the load is shorter than ten windows of 401ms \
                    [work=inline, work=threads]";
    assert_eq!(left_out, [expected]);
}

#[test]
fn cells_that_were_skipped_are_told_once_and_in_the_pictures_of_the_others() {
    let graphs =
        "graphs: [{bars: throughput, x: work, workload: easy}, {bars: pss, x: phase}, {quantiles: response, facet: work}]\n";
    let (_folder, record, mut summary) = run(3, graphs);
    let skipped = &mut summary.cells[1];
    skipped.skipped = Some("haproxy is not installed".to_owned());
    skipped.repetitions.valid = 0;
    skipped.steps.clear();
    skipped.targets.clear();
    skipped.figures = analysis::cells::Figures::default();
    let pictures = crate::compose::figures(&record, &summary).unwrap();
    let told = "; 1 cell skipped, because haproxy is not installed";
    let notes: Vec<(&str, bool)> = pictures
        .figures
        .iter()
        .map(|(name, figure)| (name.as_str(), figure.note.as_ref().is_some_and(|note| note.ends_with(told))))
        .collect();
    let expected = [("throughput-bars-easy", true), ("pss-bars-work=inline", false), ("response-quantiles-work=inline", false)];
    assert_eq!(notes, expected);
    let expected = "2 graphs not drawn (pss-bars-work=threads, response-quantiles-work=threads): their cells were skipped, because \
                    haproxy is not installed [work=threads]";
    assert_eq!(pictures.left_out_words(), [expected]);
}

#[test]
fn values_that_span_two_decades_have_a_logarithmic_axis_unless_the_graph_says_otherwise() {
    let is_log = |y: &str, fewer: f64| {
        let (_folder, record, mut summary) = run(3, &format!("graphs: [{{bars: throughput, x: work, workload: easy{y}}}]\n"));
        let part = Part { workload: "easy".to_owned(), phase: "during".to_owned(), step: WHOLE.to_owned(), ..Part::default() };
        for repetition in 1..=3 {
            summary.cells[0].figures.set(&part, "throughput", repetition, Some(100.0 / fewer));
        }
        let figure = figure(&record, &summary);
        let Data::Bars { log, .. } = figure.data else { panic!("no bars") };
        assert_eq!(figure.note.unwrap().contains("the y axis is logarithmic"), log);
        log
    };
    assert_eq!(
        [("", 99.0), ("", 101.0), (", y: linear", 101.0), (", y: log", 2.0)].map(|(y, fewer)| is_log(y, fewer)),
        [false, true, false, true]
    );
}

#[test]
fn lines_of_a_resource_by_a_factor_are_of_all_targets() {
    let (_folder, record, summary) = run(2, "graphs: [{lines: pss, series: work}]\n");
    let Data::Lines { series, .. } = figure(&record, &summary).data else { panic!("no lines") };
    assert_eq!(series.iter().map(|s| (s.name.as_str(), s.lines.len())).collect::<Vec<_>>(), [("inline", 2), ("threads", 2)]);
    let first: Vec<f64> = series[0].lines[0].iter().map(|(_, value)| *value).collect();
    let expected: Vec<f64> = (0..=16).map(|tick| if (4..12).contains(&tick) { 1010.0 } else { 101.0 }).collect();
    assert_eq!(first, expected);
    // By target: each target by itself, as always.
    let (_folder, record, summary) = run(2, "graphs: [{lines: pss, where: {work: inline}}]\n");
    let Data::Lines { series, .. } = figure(&record, &summary).data else { panic!("no lines") };
    let peaks: Vec<_> = series.iter().map(|s| (s.name.as_str(), s.lines[0][5].1)).collect();
    assert_eq!(peaks, [("server", 1000.0), ("helper", 10.0)]);
}

#[test]
fn spreads_are_figures_like_others() {
    let expect = "expect:
  - {metric: throughput_stdev, of: easy, phase: before, below: 5/s}
  - {metric: response_stdev, of: easy, below: 1ms}
graphs: [{bars: throughput_stdev, x: work, workload: easy}, {lines: response_stdev, series: work, workload: easy}]
";
    let (_folder, record, summary) = run(6, expect);
    assert!(summary.expectations.iter().all(|f| f.outcome == Judged::Pass), "{:#?}", summary.expectations);
    let figures = crate::compose::figures(&record, &summary).unwrap().figures;
    assert_eq!(
        figures.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["throughput_stdev-bars-easy", "response_stdev-lines-easy"]
    );
    assert_eq!(figures[0].1.y_label, "standard deviation of throughput over windows of easy (passes/s)");
    assert_eq!(figures[1].1.y_label, "response time standard deviation of easy (ms)");
    let table = analysis::text::table(&summary);
    let row = |words: [&str; 2]| table.lines().find(|l| words.iter().all(|w| l.contains(w))).unwrap_or_default().to_owned();
    assert!(row(["easy", "before"]).contains("101 MiB") && row(["easy", "during"]).contains("1010 MiB"), "{table}");
}
