//! Runs that are written, damaged and summarized.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;

use super::summary::Summary;
use super::windows::StepCounts;
use super::{samples, summarize, tables};
use load::windows::Windows;
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

/// A repetition of 3 s: one request per 10 ms, of which each 50th fails; `took_ns` by its number. Those that `keep` says
/// have a raw row too.
fn write(path: &Path, number: u32, took_ns: impl Fn(u64) -> u64, keep: impl Fn(u64) -> bool) -> Status {
    std::fs::create_dir_all(path).unwrap();
    let names =
        WorkloadNames { workload: "clients".to_owned(), steps: vec!["a".to_owned()], outcomes: Vec::new(), metrics: Vec::new() };
    let mut tables = Tables::create(path, vec![names]).unwrap();
    tables.set_epoch(Instant::now());
    let mut windows = Windows::new(0, 1, WINDOW_NS);
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

/// A run of one cell with so many repetitions; `keep` is asked for repetition and request.
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

/// Each seventh byte of a table changed: no panic, the other repetitions stay, and what is read of counts and times of requests is
/// what was written.
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
    // Parquet as polars writes it has no checksums: another number of bytes, or a count moved to another bucket, looks like
    // any other. Most of a table are counts that must add up, and it is these that are found.
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

/// What `compare` reads of a run: for each metric by itself the same values as the whole summary has, of the same repetitions.
#[test]
fn samples_are_the_figures_of_the_summary() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 3, |number, _| number != 2);
    // Asked when the test runs, since two clones may share one build folder.
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

/// Times of sorted values: each of them was there.
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
        p50: q(0.5),
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
    // Of the second repetition one row is missing.
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
    // A file that is damaged is named as any other.
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
    let series = tables::read(&repetition).unwrap().series("clients", "during").unwrap();
    assert_eq!(series.iter().map(|p| p.start_ns).collect::<Vec<_>>(), (0..WINDOWS).map(|w| w * WINDOW_NS).collect::<Vec<_>>());
    assert!(series.iter().all(|p| (p.requests, p.ok) == (50, 49)), "{series:?}");
    let medians: Vec<u64> = series.iter().filter_map(|p| p.median_ns).collect();
    assert!(medians[..2].iter().all(|m| (2_999_000..3_003_000).contains(m)), "{medians:?}");
    assert!(medians[2..].iter().all(|m| (999_000..1_002_000).contains(m)), "{medians:?}");
    assert!(tables::read(&repetition).unwrap().series("clients", "before").unwrap().is_empty());
}

fn phase(start_ns: u64, end_ns: u64) -> PhaseStatus {
    let (workload, phase) = ("clients".to_owned(), "during".to_owned());
    PhaseStatus { workload, phase, start_ns, end_ns, ..PhaseStatus::default() }
}

#[test]
fn the_spread_of_throughput_is_that_of_whole_windows() {
    let step = |ok_by_window: &[(u64, u64)]| StepCounts { ok_by_window: ok_by_window.to_vec(), ..StepCounts::default() };
    // Windows of half a second; the one at 1.0 s had no right answer, that at 1.5 s two generator threads.
    let some = step(&[(0, 90), (500, 10), (1500, 5), (1500, 9), (2000, 80)]);
    let spread = |from, to| some.throughput_stdev(&phase(from, to), 500);
    let rates = |ok: &[f64]| Some(super::stats::standard_deviation(&ok.iter().map(|n| n / 500e-9).collect::<Vec<_>>()));
    assert_eq!(spread(0, 2500), rates(&[90.0, 10.0, 0.0, 14.0, 80.0]));
    // The phase cuts the first and the last one.
    assert_eq!(spread(1, 2499), rates(&[10.0, 0.0, 14.0]));
    assert_eq!(spread(500, 1500), rates(&[10.0, 0.0]));
    assert_eq!(spread(501, 1999), None);
    assert_eq!(spread(0, 500), None);
    assert_eq!(spread(2500, 2500), None);
    assert_eq!(step(&[]).throughput_stdev(&phase(0, 1500), 500), Some(0.0));
    // What is written is found again.
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 2, |_, _| false);
    for step in &summary(folder.path()).cells[0].steps {
        for one in &step.by_repetition {
            // 49 right answers in each of six windows.
            assert_eq!(one.throughput_stdev_per_s, Some(0.0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A cut moves what began before it, and loses nothing.
    #[test]
    fn a_cut_moves_windows_to_the_warm_up(cut in 0..=WINDOWS + 1, at in 1_u64..3_000_000) {
        let folder = tempfile::tempdir().unwrap();
        let decoded = tables::read(&repetition(folder.path(), |i| at + i * 1000)).unwrap();
        let all = decoded.merge(&BTreeMap::new()).unwrap();
        prop_assert_eq!(all.phases.len(), 1);
        let cut_ns = cut * WINDOW_NS;
        let parts = decoded.merge(&BTreeMap::from([("clients".to_owned(), cut_ns), ("other".to_owned(), 1)])).unwrap();
        let whole = &all.steps[&("clients".to_owned(), "during".to_owned(), WHOLE.to_owned())];
        let of = |phase: &str| parts.steps.get(&("clients".to_owned(), phase.to_owned(), WHOLE.to_owned())).cloned().unwrap_or_default();
        let (before, behind) = (of("warm-up"), of("during"));
        prop_assert_eq!(before.completed.received_bytes + behind.completed.received_bytes, whole.completed.received_bytes);
        let passes = |s: &super::windows::StepCounts| s.outcomes.values().sum::<u64>();
        prop_assert_eq!(passes(&before) + passes(&behind), passes(whole));
        let counted = |s: &StepCounts| s.ok_by_window.iter().map(|(_, ok)| ok).sum::<u64>();
        prop_assert_eq!(counted(whole), whole.outcomes["ok"]);
        prop_assert_eq!(counted(&before) + counted(&behind), counted(whole));
        for (_, time) in Time::ALL {
            prop_assert_eq!(before.times.of(time).len() + behind.times.of(time).len(), whole.times.of(time).len());
        }
        let phase = |name: &str| parts.phase("clients", name).cloned();
        if cut == 0 {
            prop_assert_eq!(phase("warm-up"), None);
        } else {
            let (warm_up, during): (PhaseStatus, PhaseStatus) = (phase("warm-up").unwrap(), phase("during").unwrap());
            let end = WINDOWS * WINDOW_NS;
            prop_assert_eq!((warm_up.start_ns, warm_up.end_ns), (0, cut_ns.min(end)));
            prop_assert_eq!((during.start_ns, during.end_ns), (cut_ns.min(end), end));
            prop_assert_eq!((warm_up.passes, warm_up.passes + during.passes), (passes(&before), passes(whole)));
            prop_assert_eq!(warm_up.offered + during.offered, passes(whole));
        }
    }
}
