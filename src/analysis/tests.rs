//! Runs that are written, damaged and summarized.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use polars::prelude::*;
use proptest::prelude::*;
use serde_json::json;

use super::summary::Summary;
use super::windows::{Passes, StepKey, Windows};
use super::{figures, frames, samples, summarize};
use load::windows::Windows as Recorder;
use record::manifest::Manifest;
use record::status::{PhaseStatus, Status};
use record::tables::{Tables, WHOLE, WorkloadNames};
use record::{Repetition, RunRecord};
use vocabulary::metric::catalogue;
use vocabulary::rows::RequestRow;
use vocabulary::{Metric, Time};
use vocabulary::{Outcome, Phase};

const WINDOW_NS: u64 = 500_000_000;
/// Windows in each repetition.
const WINDOWS: u64 = 6;

/// A repetition of 3 s: one request per 10 ms, of which every 50th fails; `took_ns` by its number. Those that `keep` selects
/// have a raw row, too.
fn write(path: &Path, number: u32, took_ns: impl Fn(u64) -> u64, keep: impl Fn(u64) -> bool) -> Status {
    std::fs::create_dir_all(path).unwrap();
    let (outcomes, metrics) = (Vec::new(), Vec::new());
    let names = WorkloadNames { workload: "clients".to_owned(), steps: vec!["a".to_owned()], single: true, outcomes, metrics };
    let mut tables = Tables::create(path, vec![names]).unwrap();
    tables.set_epoch(Instant::now());
    let mut windows = Recorder::new(0, 1, true, WINDOW_NS);
    let (mut rows, mut raw) = (Vec::new(), Vec::new());
    for i in 0..WINDOWS * 50 {
        let at = i * 10_000_000;
        let completed_ns = at + took_ns(i);
        let ended = RequestRow {
            step: Some(0),
            phase: Phase::During,
            completed_in: Phase::During,
            outcome: if i % 50 == 7 { Outcome::Timeout } else { Outcome::Ok },
            intended_ns: at,
            sent_ns: at + i % 2 * 1000,
            completed_ns,
            connect_ns: (i == 0).then_some(40_000),
            first_byte_ns: Some(completed_ns - 500),
            sent_bytes: 10,
            received_bytes: 20,
            key: None,
        };
        rows.extend(windows.record(&ended).unwrap_or_default());
        raw.extend(keep(i).then_some(ended));
    }
    rows.extend(windows.flush());
    tables.windows(rows).unwrap();
    tables.requests(0, raw).unwrap();
    tables.finish().unwrap();
    let phase = |phase: &str, start_ns, end_ns, passes, errors| {
        json!({"workload": "clients", "phase": phase, "start_ns": start_ns, "end_ns": end_ns, "offered": passes, "unsent": 0,
            "passes": passes, "errors": errors})
    };
    let status = json!({
        "format": 2, "cell": "c", "repetition": number, "seed": 1, "started_at": "", "verdict": {"is": "valid"},
        "phases": [phase("during", 0, WINDOWS * WINDOW_NS, WINDOWS * 50, WINDOWS)], "targets": [],
        "generator": {"cpu_ns": 1, "wall_ns": 2, "connects": 1},
        "observer": {"samples": 0, "cpu_ns": 0, "wall_ns": 0, "skipped_ticks": 0},
        "timings": {"total_ns": 0, "steps_ns": 0, "target_start_ns": 0, "ready_to_first_request_ns": 0, "load_ns": 0,
            "target_stop_ns": 0, "record_ns": 0, "overhead_ns": 0},
        "errors": [], "left_behind": [],
    });
    std::fs::write(path.join("status.json"), status.to_string()).unwrap();
    serde_json::from_value(status).unwrap()
}

/// How long a request takes.
fn took_ns(number: u32, i: u64) -> u64 {
    1_000_000 + i * 1001 * u64::from(number)
}

/// A run of one cell with this many repetitions; `keep` is called with repetition and request.
fn run(folder: &Path, repetitions: u32, keep: fn(u32, u64) -> bool) {
    for number in 1..=repetitions {
        write(&folder.join(format!("cells/c/run{number}")), number, |i| took_ns(number, i), |i| keep(number, i));
    }
    let plan = json!({
        "format": 2, "experiment": "e", "question": "", "seed": 1, "repetitions": repetitions, "window": "500ms", "factors": [],
        "cells": [{"id": "c", "levels": [], "path": "c", "skipped": null, "targets": [],
            "workloads": [{"name": "clients", "driver": {"http": {"steps": [{"name": "a"}]}}}]}],
        "graphs": [],
    });
    std::fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
    let manifest = Manifest::collect("e.yaml", BTreeMap::new(), folder, record::manifest::Choice::default());
    std::fs::write(folder.join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

fn summary(folder: &Path) -> Summary {
    summarize(&RunRecord::open(folder).unwrap()).unwrap()
}

/// Summarizes with one file changed, and puts it back.
fn with_file(folder: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Summary {
    let path = folder.join(file);
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    let summary = summary(folder);
    std::fs::write(&path, whole).unwrap();
    summary
}

#[test]
fn the_kinds_of_a_mix_have_a_table_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, |_, _| false);
    let mut summary = summary(folder.path());
    assert!(!super::text::table(&summary).contains("kinds of passes"));
    let whole = summary.cells[0].steps.iter().find(|step| step.has_row()).unwrap().clone();
    for (name, requests) in [("(browse)", 75), ("(buy)", 25)] {
        let step = super::summary::StepSummary { step: name.to_owned(), requests, ..whole.clone() };
        summary.cells[0].steps.extend([super::summary::StepSummary { phase: "warm-up".to_owned(), ..step.clone() }, step]);
    }
    let text = super::text::table(&summary);
    let table = text.split("kinds of passes\n").nth(1).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[0]), "kind per second 95 % passes share errors p50 p99", "{table}");
    assert!(words(lines[2]).starts_with("browse ") && words(lines[2]).contains(" 75 75.0 % "), "{table}");
    assert!(words(lines[3]).starts_with("buy ") && words(lines[3]).contains(" 25 25.0 % "), "{table}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
    let markdown = super::report::markdown(&summary);
    assert!(markdown.contains("| kind | per second | 95 % | passes | share | errors | p50 | p99 |\n|---|---:|"), "{markdown}");
    assert!(markdown.contains("| buy | ") && !markdown.contains("warm-up"), "{markdown}");
}

#[test]
fn a_damaged_file_is_named_and_the_rest_is_summarized() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| false);
    let whole = summary(folder.path());
    assert_eq!((whole.damaged.len(), whole.cells[0].steps[0].by_repetition.len()), (0, 3));
    for file in ["windows.parquet", "resources.parquet", "status.json"] {
        let file = format!("cells/c/run2/{file}");
        let length = std::fs::metadata(folder.path().join(&file)).unwrap().len() as usize;
        for keep in [0, 1, 8, length / 3, length / 2, length - 9, length - 1] {
            let found = with_file(folder.path(), &file, |bytes| bytes.truncate(keep));
            assert_eq!(found.damaged.len(), 1, "{file} cut to {keep} of {length}");
            assert!(found.damaged[0].contains(&file), "{:?}", found.damaged);
            let left = found.cells[0].steps[0].by_repetition.iter().map(|r| r.repetition).collect::<Vec<_>>();
            let expected: &[u32] = if file.contains("resources") { &[1, 2, 3] } else { &[1, 3] };
            assert_eq!(left, expected, "{file} cut to {keep} of {length}");
        }
    }
    std::fs::remove_file(folder.path().join("cells/c/run1/windows.parquet")).unwrap();
    assert!(summary(folder.path()).damaged[0].contains("run1/windows.parquet"));
}

/// Every seventh byte of a table is changed: no panic, the other repetitions remain, and the counts and times of requests
/// that are read are those that were written.
#[test]
fn bit_rot_is_named_or_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| false);
    let whole = summary(folder.path());
    let file = "cells/c/run2/windows.parquet";
    let length = std::fs::metadata(folder.path().join(file)).unwrap().len() as usize;
    let (mut named, mut same, mut other) = (0, 0, Vec::new());
    for at in (0..length).step_by(7) {
        let found = with_file(folder.path(), file, |bytes| bytes[at] ^= 1 << (at / 7 % 8));
        assert_eq!(found.cells[0].steps[0].by_repetition[0], whole.cells[0].steps[0].by_repetition[0]);
        if !found.damaged.is_empty() {
            assert!(found.damaged[0].contains(file), "{:?}", found.damaged);
            named += 1;
        } else if found == whole {
            same += 1;
        } else {
            other.push(at);
        }
    }
    // Parquet as polars writes it has no checksums: a changed number of bytes, or a count moved to another bucket, looks
    // like any other. Most of a table are counts that must add up, and changes of these are found.
    let all = named + same + other.len();
    assert!(other.len() * 8 < all, "{all} bytes: {named} named, {same} without influence, unnoticed {other:?}");
}

#[test]
fn the_same_bytes_with_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 20, |_, _| false);
    let record = RunRecord::open(folder.path()).unwrap();
    let bytes = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| record::files::json_bytes(&summarize(&record).unwrap()))
    };
    let one = bytes(1);
    assert!(one == bytes(2) && one == bytes(7));
}

/// What `compare` reads of a run: for each metric by itself the same values as in the whole summary, of the same
/// repetitions.
#[test]
fn samples_are_the_figures_of_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |number, _| number != 2);
    // Looked up when the test runs, since two clones may share one build folder.
    let package = std::path::PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let root = package.join("../..");
    let runs = [
        folder.path().to_owned(),
        root.join("tests/data/results/format-1/blobs-parallel/20261122T000858Z-823c"),
        root.join("tests/data/results/format-2/20261122T053326Z-e9ba"),
    ];
    let mut there = std::collections::BTreeSet::new();
    for path in runs {
        let record = RunRecord::open(&path).unwrap();
        let whole = summarize(&record).unwrap();
        let brought = whole.cells.iter().flat_map(|c| &c.metrics).map(|m| Metric::by_name(&m.metric));
        for metric in catalogue().iter().map(|row| row.metric.clone()).chain(brought.collect::<Vec<_>>()) {
            let samples = samples(&record, std::slice::from_ref(&metric)).unwrap();
            for (one, other) in whole.cells.iter().zip(&samples.cells) {
                assert_eq!(one.repetitions, other.repetitions);
                for workload in super::values::workloads(one).into_iter().map(Some).chain([None]) {
                    let part = super::values::Selection { workload, ..Default::default() };
                    let values = |cell| super::values::by_repetition(cell, &metric, &part);
                    assert_eq!(values(one), values(other), "{} of {} in {}", metric.name(), one.cell, path.display());
                    there.extend((!values(one).is_empty()).then(|| metric.name().to_owned()));
                }
            }
        }
    }
    let needed = ["throughput", "errors", "response_p99", "service_p50", "lag_max", "pss", "cpu", "cpu_per_request", "start_up"];
    assert!(needed.iter().all(|name| there.contains(*name)), "{there:?}");
}

/// Times of sorted values: each of them is one of the values.
fn exact(mut ns: Vec<u64>) -> super::summary::Times {
    ns.sort_unstable();
    let values: Vec<f64> = ns.iter().map(|v| *v as f64).collect();
    let q = |q| super::stats::observed_quantile(&values, q) as u64;
    let mean = ns.iter().sum::<u64>() as f64 / ns.len() as f64;
    let squares: u128 = ns.iter().map(|v| u128::from(*v) * u128::from(*v)).sum();
    let (n, sum) = (ns.len() as u128, ns.iter().map(|v| u128::from(*v)).sum::<u128>());
    let standard_deviation = ((n * squares - sum * sum) as f64).sqrt() / n as f64;
    let sample = super::stats::standard_deviation(&values) * ((n as f64 - 1.0) / n as f64).sqrt();
    assert!((standard_deviation - sample).abs() <= 1e-9 * sample, "{standard_deviation} {sample}");
    super::summary::Times {
        mean,
        standard_deviation,
        p25: q(0.25),
        p50: q(0.5),
        p75: q(0.75),
        p90: q(0.9),
        p95: q(0.95),
        p99: q(0.99),
        p99_9: q(0.999),
        max: q(1.0),
    }
}

#[test]
fn raw_rows_make_times_exact() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| true);
    let found = summary(folder.path());
    assert_eq!(found.damaged, Vec::<String>::new());
    // Those never answered in time count with the time that they had waited.
    let right = |number: u32| (0..WINDOWS * 50).map(move |i| (i, took_ns(number, i)));
    for step in &found.cells[0].steps {
        let service = |number| right(number).map(|(i, ns)| ns - i % 2 * 1000);
        assert_eq!(step.all_requests.service_ns, Some(exact((1..=3).flat_map(service).collect())));
        // The middle repetition is the second one: each takes longer than the one before.
        assert_eq!(step.service_ns, step.by_repetition[1].service_ns);
        for one in &step.by_repetition {
            assert_eq!(one.response_ns, Some(exact(right(one.repetition).map(|(_, ns)| ns).collect())));
            assert_eq!(one.service_ns.map(|t| t.max), right(one.repetition).map(|(i, ns)| ns - i % 2 * 1000).max());
            assert_eq!(one.lag_ns, Some(exact(right(one.repetition).map(|(i, _)| i % 2 * 1000).collect())));
            assert!(one.connect_ns.is_some());
        }
    }
}

#[test]
fn raw_rows_that_differ_from_the_windows_are_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| false);
    let expected = summary(folder.path());
    // One row of the second repetition is missing.
    run(folder.path(), 3, |number, i| (number, i) != (2, 100));
    let found = summary(folder.path());
    assert_eq!(found.damaged.len(), 2, "{:?}", found.damaged);
    for words in &found.damaged {
        assert!(words.contains("run2/requests.parquet: 293 rows of clients, during,"), "{words}");
        assert!(words.contains("where windows.parquet counts 294"), "{words}");
    }
    for (found, expected) in found.cells[0].steps.iter().zip(&expected.cells[0].steps) {
        assert_eq!(found.service_ns, expected.service_ns);
        assert_eq!(found.by_repetition[1], expected.by_repetition[1]);
        assert_ne!(found.by_repetition[2], expected.by_repetition[2]);
    }
    // A damaged file is named like any other.
    let found = with_file(folder.path(), "cells/c/run1/requests.parquet", |bytes| bytes.truncate(1000));
    assert!(found.damaged[0].contains("run1/requests.parquet"), "{:?}", found.damaged);
    assert_eq!(found.cells[0].steps[0].by_repetition.len(), 3);
}

fn repetition(folder: &Path, took_ns: impl Fn(u64) -> u64) -> Repetition {
    let path = folder.join("run1");
    let status = write(&path, 1, took_ns, |_| false);
    Repetition { path, cell: 0, status }
}

#[test]
fn a_series_has_a_point_per_window() {
    let folder = tempfile::tempdir().unwrap();
    // The first second is slow.
    let repetition = repetition(folder.path(), |i| if i < 100 { 3_000_000 } else { 1_000_000 });
    let windows = windows(&repetition);
    let mut series = windows.series(&["clients", "others"]).unwrap();
    let series = series.remove(&(1, "clients".to_owned())).unwrap().unwrap();
    assert_eq!(series.iter().map(|p| p.start_ns).collect::<Vec<_>>(), (0..WINDOWS).map(|w| w * WINDOW_NS).collect::<Vec<_>>());
    assert!(series.iter().all(|p| (p.requests, p.ok) == (50, 49)), "{series:?}");
    let medians: Vec<u64> = series.iter().filter_map(|p| p.median_ns).collect();
    assert!(medians[..2].iter().all(|m| (2_999_000..3_003_000).contains(m)), "{medians:?}");
    assert!(medians[2..].iter().all(|m| (999_000..1_002_000).contains(m)), "{medians:?}");
    assert!(windows.series(&["others"]).unwrap().is_empty());
}

fn windows(repetition: &Repetition) -> Windows {
    let frames::Scanned { frame, damaged } = frames::windows(&[repetition], &Time::ALL.map(|(_, time)| time));
    assert!(damaged.is_empty(), "{damaged:?}");
    Windows::new(frame).unwrap()
}

#[test]
fn the_spread_of_throughput_is_that_of_whole_windows() {
    // Windows of half a second; the one at 1.0 s had no correct answer, the one at 1.5 s two generator threads.
    let (instants, right) = ([0, 500, 1500, 1500, 2000], [90, 10, 5, 9, 80]);
    let spread = |from, to| figures::spread_of_windows(&instants, &right, (from, to), 500);
    let rates = |ok: &[f64]| Some(super::stats::standard_deviation(&ok.iter().map(|n| n / 500e-9).collect::<Vec<_>>()));
    assert_eq!(spread(0, 2500), rates(&[90.0, 10.0, 0.0, 14.0, 80.0]));
    // The phase cuts the first and the last one.
    assert_eq!(spread(1, 2499), rates(&[10.0, 0.0, 14.0]));
    assert_eq!(spread(500, 1500), rates(&[10.0, 0.0]));
    assert_eq!(spread(501, 1999), None);
    assert_eq!(spread(0, 500), None);
    assert_eq!(spread(2500, 2500), None);
    assert_eq!(figures::spread_of_windows(&[], &[], (0, 1500), 500), Some(0.0));
    // What is written is found again.
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| false);
    for step in &summary(folder.path()).cells[0].steps {
        for one in &step.by_repetition {
            // 49 correct answers in each of six windows.
            assert_eq!(one.throughput_stdev_per_s, Some(0.0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A cut moves what started before it, and loses nothing.
    #[test]
    fn a_cut_moves_windows_to_the_warm_up(cut in 0..=WINDOWS + 1, at in 1_u64..3_000_000) {
        let folder = tempfile::tempdir().unwrap();
        let repetition = repetition(folder.path(), |i| at + i * 1000);
        let windows = windows(&repetition);
        let cut_ns = cut * WINDOW_NS;
        let cuts = BTreeMap::from([((1, "clients".to_owned()), cut_ns), ((1, "other".to_owned()), 1)]);
        let (moved, passes) = windows.with_warm_up(&cuts).unwrap();
        prop_assert_eq!(moved.frame.height(), windows.frame.height());
        let sum = |windows: &Windows, column: &str, phase: &str, of: &str, only_ok: bool| -> u64 {
            let rows = windows.lazy().filter(col(column).eq(lit(phase)).and(col("step").eq(lit(WHOLE))).and(col("ok").or(lit(!only_ok))));
            rows.select([col(of).sum()]).collect().unwrap().column(of).unwrap().u64().unwrap().get(0).unwrap_or_default()
        };
        for (column, of, only_ok) in [("completed_in", "received_bytes", false), ("phase", "requests", false), ("completed_in", "requests", true)] {
            let [before, behind] = ["warm-up", "during"].map(|phase| sum(&moved, column, phase, of, only_ok));
            prop_assert_eq!(before + behind, sum(&windows, column, "during", of, only_ok));
        }
        let times = |windows: &Windows| windows.distributions().unwrap().remove(&1).unwrap().unwrap();
        let (all, parts) = (times(&windows), times(&moved));
        let key = |phase: &str| -> StepKey { ("clients".to_owned(), phase.to_owned(), WHOLE.to_owned()) };
        for (_, time) in Time::ALL {
            let of = |phase: &str| parts.get(&key(phase)).map_or(0, |d| d.of(time).len());
            prop_assert_eq!(of("warm-up") + of("during"), all[&key("during")].of(time).len());
        }
        let mut phases = repetition.status.phases.clone();
        let of_warm_up = passes.get(&(1, "clients".to_owned())).copied().unwrap_or_default();
        prop_assert_eq!(of_warm_up.all, sum(&moved, "phase", "warm-up", "requests", false));
        super::windows::cut(&mut phases, "clients", cut_ns, of_warm_up);
        super::windows::cut(&mut phases, "other", 1, Passes::default());
        let phase = |name: &str| phases.iter().find(|p| p.phase == name).cloned();
        let whole = &repetition.status.phases[0];
        if cut == 0 {
            prop_assert_eq!(phase("warm-up"), None);
        } else {
            let (warm_up, during): (PhaseStatus, PhaseStatus) = (phase("warm-up").unwrap(), phase("during").unwrap());
            let end = WINDOWS * WINDOW_NS;
            prop_assert_eq!((warm_up.start_ns, warm_up.end_ns), (0, cut_ns.min(end)));
            prop_assert_eq!((during.start_ns, during.end_ns), (cut_ns.min(end), end));
            prop_assert_eq!((warm_up.passes, warm_up.passes + during.passes), (of_warm_up.all, whole.passes));
            prop_assert_eq!(warm_up.offered + during.offered, whole.offered);
        }
    }
}

/// Replaces a table by another.
fn with_table(folder: &Path, file: &str, change: impl FnOnce(DataFrame) -> DataFrame) -> Summary {
    let path = folder.join(file);
    let frame = change(record::tables::read(&path).unwrap());
    let bytes = record::tables::parquet(&path, [Ok(frame)]).unwrap().unwrap();
    with_file(folder, file, |there| *there = bytes)
}

#[test]
fn tables_of_any_form_are_used_or_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| false);
    let file = "cells/c/run2/windows.parquet";
    let whole = summary(folder.path());
    let repetitions = |found: &Summary| -> Vec<u32> {
        found.cells[0].steps.first().map_or_else(Vec::new, |s| s.by_repetition.iter().map(|r| r.repetition).collect())
    };
    assert!(with_table(folder.path(), file, |frame| frame) == whole);
    // Without rows nothing was offered and nothing came: it is a repetition without steps.
    let none = with_table(folder.path(), file, |frame| frame.slice(0, 0));
    assert_eq!((none.damaged.len(), repetitions(&none)), (0, vec![1, 3]));
    let one = with_table(folder.path(), file, |frame| frame.slice(0, 1));
    assert_eq!((one.damaged.len(), repetitions(&one)), (0, vec![1, 2, 3]));
    for name in ["outcome", "requests", "window_start_ns", "service_ns_hdr"] {
        let found = with_table(folder.path(), file, |frame| frame.drop(name).unwrap());
        assert_eq!((found.damaged.len(), repetitions(&found)), (1, vec![1, 3]), "{name}: {:?}", found.damaged);
        assert!(found.damaged[0].contains(file) && found.damaged[0].contains(name), "{:?}", found.damaged);
    }
    // Formats from before this column existed are read.
    let older = with_table(folder.path(), file, |frame| frame.drop_many(["completed_in", "lag_ns_hdr", "first_byte_ns_hdr"]));
    assert_eq!((older.damaged.len(), repetitions(&older)), (0, vec![1, 2, 3]));
    assert_eq!(older.cells[0].steps[0].by_repetition[1].lag_ns, None);
    let other_type = |name: &str, of: &DataType| {
        with_table(folder.path(), file, |mut frame| {
            let cast = frame.column(name).unwrap().cast(of).unwrap();
            frame.with_column(cast).unwrap();
            frame
        })
    };
    for (name, of) in [("requests", DataType::UInt32), ("requests", DataType::Float64), ("workload", DataType::Binary)] {
        let found = other_type(name, &of);
        assert_eq!((found.damaged.len(), repetitions(&found)), (1, vec![1, 3]));
        assert!(found.damaged[0].contains(&format!("the column `{name}` has the type")), "{:?}", found.damaged);
    }
    let odd = |name: &'static str, value: Series| {
        with_table(folder.path(), file, move |mut frame| {
            let height = frame.height();
            frame.with_column(value.new_from_index(0, height).with_name(name.into()).into_column()).unwrap();
            frame
        })
    };
    let huge = odd("sent_bytes", Series::new("".into(), [u64::MAX]));
    assert!(huge.damaged[0].contains("the column `sent_bytes` holds 18446744073709551615"), "{:?}", huge.damaged);
    let null = odd("outcome", Series::full_null("".into(), 1, &DataType::String));
    assert!(null.damaged[0].contains("the column `outcome` has no value in"), "{:?}", null.damaged);
}

#[test]
fn what_was_collected_may_be_no_number() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| false);
    for (number, value) in [(1, f64::NAN), (2, f64::INFINITY), (3, 1.5)] {
        let path = folder.path().join(format!("cells/c/run{number}/metrics.parquet"));
        let text = |name: &str, value: &str| Series::new(name.into(), [value]).into_column();
        let columns = vec![
            text("workload", "collected"),
            text("phase", "during"),
            text("metric", "odd \"one\",\nin two lines"),
            Series::new("value".into(), [value]).into_column(),
        ];
        let frame = DataFrame::new(1, columns).unwrap();
        std::fs::write(&path, record::tables::parquet(&path, [Ok(frame)]).unwrap().unwrap()).unwrap();
    }
    let found = summary(folder.path());
    assert_eq!(found.damaged, Vec::<String>::new());
    let estimate = &found.cells[0].metrics[0].value;
    assert_eq!((estimate.n, estimate.mean_interval, estimate.median_interval), (3, None, None));
    assert!(estimate.values[0].is_nan() && estimate.values[1..] == [f64::INFINITY, 1.5]);
    let csv = String::from_utf8(super::table::figures(&found).csv().unwrap()).unwrap();
    assert!(csv.contains("\"odd \"\"one\"\",\nin two lines\",NaN,,true,\n") && csv.contains("in two lines\",inf,"), "{csv}");
}

#[test]
fn a_million_outcomes_are_outcomes() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, |_, _| false);
    let file = "cells/c/run1/windows.parquet";
    let found = with_table(folder.path(), file, |frame| {
        let first = frame.slice(0, 1);
        let columns = first.columns().iter().map(|column| match column.name().as_str() {
            "outcome" => Series::new("outcome".into(), (0..1_000_000).map(|n| format!("o{n}")).collect::<Vec<_>>()).into_column(),
            _ => column.new_from_index(0, 1_000_000),
        });
        DataFrame::new(1_000_000, columns.collect()).unwrap()
    });
    let step = found.cells[0].steps.iter().find(|s| s.errors.len() == 1_000_000).unwrap();
    assert_eq!((step.ok, step.requests), (0, step.errors.values().sum()));
    assert!(step.errors.values().all(|count| *count == step.errors["o7"] && *count > 0));
}

/// Factors that have the names of columns have columns all the same, and each figure is the one of the summary.
#[test]
fn the_table_of_figures_is_what_the_summary_is_made_of() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |_, _| false);
    let path = folder.path().join("plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let names = ["value", "factor_value", "cell", "plain"];
    let label = "a \"b\", c = d/é\t;";
    plan["factors"] = names.iter().map(|name| json!({"name": name, "levels": [{"label": label}]})).collect();
    plan["cells"][0]["levels"] = names.iter().map(|name| json!([name, label])).collect();
    std::fs::write(&path, plan.to_string()).unwrap();
    let status = folder.path().join("cells/c/run2/status.json");
    let words = std::fs::read_to_string(&status).unwrap();
    std::fs::write(&status, words.replace(r#"{"is":"valid"}"#, r#"{"is":"invalid","reasons":["one","two"]}"#)).unwrap();
    let found = summary(folder.path());
    let frame = super::table::figures(&found).frames().next().unwrap().unwrap();
    let columns: Vec<&str> = frame.get_column_names().iter().map(|name| name.as_str()).collect();
    let expected = "cell factor_factor_value factor_value factor_cell plain repetition workload target phase step metric value unit valid why_not";
    assert_eq!(columns, expected.split(' ').collect::<Vec<_>>());
    let text = |name: &str| frame.column(name).unwrap().str().unwrap().clone();
    let (steps, metrics, units, why_not) = (text("step"), text("metric"), text("unit"), text("why_not"));
    let (numbers, values) = (frame.column("repetition").unwrap().u32().unwrap(), frame.column("value").unwrap().f64().unwrap());
    assert_eq!(text("plain").get(0), Some(label));
    let mut seen = 0;
    for row in 0..frame.height() {
        let number = numbers.get(row).unwrap();
        assert_eq!(why_not.get(row), (number == 2).then_some("one; two"));
        let Some(step) = found.cells[0].steps.iter().find(|s| Some(s.step.as_str()) == steps.get(row)) else { continue };
        let Some(one) = step.by_repetition.iter().find(|r| r.repetition == number) else { continue };
        let (expected, unit) = match metrics.get(row).unwrap() {
            "throughput" => (one.throughput_per_s, Some("1/s")),
            "response_p99" => (one.response_ns.unwrap().p99 as f64, Some("ns")),
            "requests" => (one.requests as f64, None),
            "requests:timeout" => (6.0, None),
            _ => continue,
        };
        seen += 1;
        assert_eq!((values.get(row), units.get(row)), (Some(expected), unit));
    }
    assert_eq!(seen, 2 * 2 * 4);
    // Over repetitions only those that count.
    let cells = super::table::cells(&found);
    let estimates = cells.frames().next().unwrap().unwrap();
    let n = estimates.column("n").unwrap().u32().unwrap();
    assert!(n.iter().all(|n| n == Some(2)));
    let lines = cells.text().unwrap();
    assert!(lines.lines().all(|line| line.chars().count() < 400) && lines.lines().count() == n.len() + 1, "{lines}");
}

/// A figure does not depend on other figures: a repetition by itself, and among others.
#[test]
fn a_repetition_by_itself_has_the_figures_that_it_has_among_others() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 5, |_, _| false);
    let record = RunRecord::open(folder.path()).unwrap();
    let together = summarize(&record).unwrap();
    for repetition in &record.repetitions {
        let (alone, _) = super::summarize::cell(&record, &record.plan.cells[0], &[repetition]).unwrap();
        for series in alone.figures.iter() {
            let all = together.cells[0].figures.values(&series.part, &series.metric);
            let mine = all.iter().find(|(number, _)| *number == repetition.status.repetition).unwrap();
            assert_eq!(mine.1.to_bits(), series.values[0].1.to_bits(), "{series:?}");
        }
    }
}

#[test]
fn two_repetitions_of_one_number_are_named() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| false);
    let copy = folder.path().join("cells/c/run7");
    std::fs::create_dir(&copy).unwrap();
    for file in ["status.json", "windows.parquet", "resources.parquet"] {
        std::fs::copy(folder.path().join("cells/c/run2").join(file), copy.join(file)).unwrap();
    }
    let found = summary(folder.path());
    assert_eq!(found.cells[0].repetitions.counted, [1, 2]);
    assert!(found.damaged[0].contains("run7") && found.damaged[0].contains("is repetition 2"), "{:?}", found.damaged);
}

/// Repetitions that do not count are in the table with their units, and what is damaged in them is named.
#[test]
fn where_nothing_counts_figures_have_units_and_damage_a_name() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| false);
    let path = folder.path().join("plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    plan["cells"][0]["collect"] = json!([{"name": "collected", "metrics": [{"name": "took", "unit": "s"}]}]);
    std::fs::write(&path, plan.to_string()).unwrap();
    for number in [1, 2] {
        let repetition = folder.path().join(format!("cells/c/run{number}"));
        let text = |name: &str, value: &str| Series::new(name.into(), [value]).into_column();
        let value = Series::new("value".into(), [1.5]).into_column();
        let columns = vec![text("workload", "collected"), text("phase", "during"), text("metric", "took"), value];
        let bytes = record::tables::parquet(&path, [DataFrame::new(1, columns)]).unwrap().unwrap();
        std::fs::write(repetition.join("metrics.parquet"), bytes).unwrap();
        let words = std::fs::read_to_string(repetition.join("status.json")).unwrap();
        let invalid = words.replace(r#"{"is":"valid"}"#, r#"{"is":"invalid","reasons":[]}"#);
        std::fs::write(repetition.join("status.json"), invalid).unwrap();
    }
    std::fs::write(folder.path().join("cells/c/run2/resources.parquet"), "").unwrap();
    let found = summary(folder.path());
    assert!(found.damaged.len() == 1 && found.damaged[0].contains("run2/resources.parquet"), "{:?}", found.damaged);
    let csv = String::from_utf8(super::table::figures(&found).csv().unwrap()).unwrap();
    assert!(csv.contains("c,2,collected,,during,,took,1.5,s,false,invalid\n"), "{csv}");
    assert_eq!((found.cells[0].repetitions.invalid, found.cells[0].steps.len()), (2, 0));
}

/// Adds two joined taps to a run made by [`run`], with keys in its requests: each request is received 0.2 ms after it was
/// sent, and handled 0.5 ms later.
fn add_taps(folder: &Path, repetitions: u32) {
    use record::taps::{LoadStart, TapTable};
    use record::{FieldKind, TapField};
    use std::time::Duration;
    use vocabulary::rows::{TapRow, TapValue};

    let fields = [
        TapField { name: "worker".to_owned(), kind: FieldKind::Text },
        TapField { name: "cost".to_owned(), kind: FieldKind::Number },
    ];
    for number in 1..=repetitions {
        let path = folder.join(format!("cells/c/run{number}"));
        let requests = path.join("requests.parquet");
        let mut frame = record::tables::read(&requests).unwrap();
        // The pass of a request, which is its only step, has a row beside it; every third request has no key.
        let key = |row: usize| (row as u64 / 2 % 3 != 1).then_some(row as u64 / 2);
        frame.with_column(record::tables::column("key", (0..frame.height()).map(key).collect::<Vec<Option<u64>>>())).unwrap();
        std::fs::write(&requests, record::tables::parquet(&requests, [Ok(frame)]).unwrap().unwrap()).unwrap();
        let start = Instant::now() + Duration::from_secs(1);
        let row = |at_ns: i64, join_key, worker: &str| TapRow {
            at: if at_ns < 0 {
                start - Duration::from_nanos(at_ns.unsigned_abs())
            } else {
                start + Duration::from_nanos(at_ns as u64)
            },
            replica: None,
            join_key,
            values: vec![TapValue::Text(worker.to_owned()), TapValue::Number(2.0)],
        };
        for (name, after_ns) in [("received", 200_000), ("handled", 700_000)] {
            let mut table = TapTable::new(&path, None, name, &fields);
            table.set_start(LoadStart { instant: start, unix: Duration::ZERO });
            table.add(row(-5_000_000, Some(0), "a")).unwrap();
            for i in 0..WINDOWS * 50 {
                let sent = i * 10_000_000 + i % 2 * 1000;
                table.add(row((sent + after_ns) as i64, Some(i), if i % 2 == 0 { "a" } else { "b" })).unwrap();
            }
            table.add(row(1_500_000_000, Some(99_999), "c")).unwrap();
            table.add(row(1_500_000_001, None, "c")).unwrap();
            table.finish().unwrap();
        }
        let status = path.join("status.json");
        let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&status).unwrap()).unwrap();
        json["taps"] = json!(["received", "handled"].map(|tap| json!({"tap": tap, "rows": 303, "unmatched": 0})));
        std::fs::write(status, json.to_string()).unwrap();
    }
    add_plan(folder);
}

/// Adds both taps to the plan.
fn add_plan(folder: &Path) {
    let fields = json!([{"name": "worker", "kind": "text"}, {"name": "cost", "kind": "number"}]);
    let metric = |name: &str, unit: &str, per: f64, figure| json!({"name": name, "unit": unit, "per": per, "times": 1.0, "figure": figure});
    let tap = |name: &str, metrics| {
        json!({"name": name, "source": {"log": "web"}, "regex": "", "required": false, "fields": fields, "metrics": metrics,
            "join": {"workload": "clients", "key": "id"}})
    };
    let received = json!([
        metric("n", "", 1.0, json!("count")),
        metric("per_s", "1/s", 1.0, json!("rate")),
        metric("way", "ms", 1e6, json!({"since": {"moment": "sent", "at": "p50"}})),
        metric("late", "ms", 1e6, json!({"since": {"moment": "intended", "at": "max"}})),
    ]);
    let handled = json!([
        metric("work", "ms", 1e6, json!({"since": {"moment": {"tap": "received"}, "at": "max"}})),
        metric("answer", "ms", 1e6, json!({"until": {"moment": "completed", "at": "max"}})),
        metric("stall", "ms", 1e6, json!({"gap": {"at": "p50", "by": "worker"}})),
        metric("longest", "ms", 1e6, json!({"gap": {"at": "max", "by": null}})),
        metric("cost", "", 0.1, json!({"sum": "cost"})),
        metric("mean_cost", "", 1.0, json!({"mean": "cost"})),
    ]);
    let path = folder.join("plan.json");
    let mut plan: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    plan["cells"][0]["taps"] = json!([tap("received", received), tap("handled", handled)]);
    std::fs::write(path, plan.to_string()).unwrap();
}

#[test]
fn taps_are_joined_with_requests_and_with_each_other() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| true);
    add_taps(folder.path(), 2);
    let found = summary(folder.path());
    assert_eq!(found.damaged, Vec::<String>::new());
    let cell = &found.cells[0];
    let values = |tap: &str, metric: &str| {
        let part = super::cells::Part { workload: tap.to_owned(), phase: "during".to_owned(), ..Default::default() };
        cell.figures.plain(&part, metric)
    };
    // What was read before the load belongs to no phase.
    assert_eq!(values("received", "n"), [302.0, 302.0]);
    assert_eq!(values("received", "per_s"), [302.0 / 3.0, 302.0 / 3.0]);
    assert_eq!(values("received", "way"), [0.2, 0.2]);
    assert_eq!(values("received", "late"), [0.201, 0.201]);
    // A third of the requests have no key, and two rows belong to no request.
    assert_eq!(values("received", "unjoined"), [102.0, 102.0]);
    // The first row of the other tap with the key counts: that of the key 0 was read before the load.
    assert!(values("handled", "work").iter().all(|ms| (ms - 5.7).abs() < 1e-9), "{:?}", values("handled", "work"));
    // The last request takes longest.
    let answer = |number: u32| (took_ns(number, 299) - 1000 - 700_000) as f64 / 1e6;
    let expected = [1, 2].map(answer);
    assert!(values("handled", "answer").iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9));
    assert_eq!(values("handled", "stall"), [20.0, 20.0]);
    assert!(values("handled", "longest").iter().all(|ms| (*ms - 10.001).abs() < 1e-9), "{:?}", values("handled", "longest"));
    assert_eq!((values("handled", "cost"), values("handled", "mean_cost")), (vec![6040.0, 6040.0], vec![2.0, 2.0]));
    assert_eq!(cell.figures.units[&("handled".to_owned(), "work".to_owned())], "ms");
    let stages: Vec<(&str, &str, f64)> = cell.stages.iter().map(|s| (s.from.as_str(), s.to.as_str(), s.p50_ns)).collect();
    assert_eq!(stages[..2], [("sent", "received", 200_000.0), ("received", "handled", 500_000.0)]);
    assert_eq!((stages[2].0, stages[2].1, stages.len()), ("handled", "completed", 3));
    let text = super::text::table(&found);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("STAGES: of clients: sent to received 200 µs (p99 200 µs), received to handled 500 µs"), "{text}");
    assert!(text.matches("unjoined").count() == 2 && text.contains("received."), "{text}");
    // Over time: a point for each window; rows without a key there do not count.
    let record = RunRecord::open(folder.path()).unwrap();
    let repetition = &record.repetitions[0];
    let line = |tap: &str, metric: &str| {
        let part = [super::curves::LinePart::Tap(tap.to_owned())];
        super::curves::lines(&record.plan.cells[0], &[repetition], &part, &Metric::named(metric), 0.5).remove(0).remove(0)
    };
    assert_eq!(line("received", "per_s").iter().map(|(_, v)| *v).collect::<Vec<_>>(), [100.0, 100.0, 100.0, 104.0, 100.0, 100.0]);
    assert!(line("received", "way").iter().all(|(_, ms)| *ms == 0.2), "{:?}", line("received", "way"));
    assert_eq!(line("handled", "per_s"), []);
}

#[test]
fn what_is_damaged_of_a_tap_is_named_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| true);
    add_taps(folder.path(), 2);
    let found = with_file(folder.path(), "cells/c/run2/taps/handled.parquet", |bytes| bytes.truncate(100));
    assert!(found.damaged.len() == 1 && found.damaged[0].contains("run2/taps/handled.parquet"), "{:?}", found.damaged);
    let metrics: Vec<(&str, usize)> = found.cells[0].metrics.iter().map(|m| (m.metric.as_str(), m.value.n)).collect();
    assert!(metrics.contains(&("way", 2)) && metrics.contains(&("answer", 1)), "{metrics:?}");
    std::fs::remove_file(folder.path().join("cells/c/run1/taps/received.parquet")).unwrap();
    assert!(summary(folder.path()).damaged[0].contains("run1/taps/received.parquet"));
    // Requests of an older runner have no keys, and no row has a partner.
    run(folder.path(), 2, |_, _| true);
    add_taps(folder.path(), 2);
    run(folder.path(), 2, |_, _| true);
    let mut status = std::fs::read_to_string(folder.path().join("cells/c/run1/status.json")).unwrap();
    status.insert_str(1, r#""taps": [{"tap": "received", "rows": 303, "unmatched": 0}], "#);
    std::fs::write(folder.path().join("cells/c/run1/status.json"), status).unwrap();
    add_plan(folder.path());
    let found = summary(folder.path());
    assert_eq!(found.damaged, Vec::<String>::new());
    let unjoined = found.cells[0].metrics.iter().find(|m| m.metric == "unjoined").unwrap();
    assert_eq!((unjoined.value.values.as_slice(), found.cells[0].stages.len()), (&[302.0][..], 0));
}
