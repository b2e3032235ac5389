//! A run as `experiments/blobs-parallel.yaml` would leave it: 48 cells, 10 s of load in 20 windows, about 5 000 requests
//! per second in a closed loop of 10 connections, 2 to 9 watched processes sampled every 100 ms.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use runner::load::windows::Windows;
use runner::plan::{Cell, Plan};
use runner::plan_read::{Document, Options, build};
use runner::record::RunDirectory;
use runner::record::manifest::{Choice, Manifest};
use runner::record::status::{GeneratorStatus, PhaseStatus, Status, TargetStatus, Verdict};
use runner::record::tables::{Tables, WorkloadNames};
use runner::vocabulary::rows::{CoreClock, CoreTimes, HostPressure, HostSample, Pressure, ProcessSample, RequestRow, WindowRow};
use runner::vocabulary::{Outcome, Phase};

/// Cells of the experiment.
pub const CELLS: usize = 48;
/// Length of the load.
const LOAD_NS: u64 = 10_000_000_000;
const WINDOW_NS: u64 = 500_000_000;
const CONNECTIONS: usize = 10;
/// Different sets of windows per cell; repetitions take turns, and differ in the length of the load and in resources.
const VARIANTS: usize = 6;

/// Writes a run of the first `cells` below `out` and prints its directory.
pub fn run(out: &Path, cells: usize, repetitions: u32) {
    let mut plan = plan(repetitions);
    plan.cells.truncate(cells);
    let manifest = Manifest::collect(&plan.source.to_string_lossy(), std::collections::BTreeMap::new(), out, Choice::default());
    let directory = RunDirectory::create(out, &plan, &manifest).expect("the directory can be made");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(cell) = plan.cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    write_cell(&directory, cell, repetitions);
                }
            });
        }
    });
    println!("{}", directory.path.display());
}

fn plan(repetitions: u32) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/blobs-parallel.yaml");
    let document = Document::read(&path).expect("the example can be read").expect("the example is YAML");
    let options = Options { repetitions: Some(repetitions), ..Options::default() };
    let mut plan = build(&document, &options, 1).expect("the example has no mistakes");
    assert_eq!(plan.cells.len(), CELLS);
    // What is installed here has no influence.
    plan.cells.iter_mut().for_each(|cell| cell.skipped = None);
    plan
}

/// Evenly distributed in [0, 1).
fn uniform(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// About log-normal, with the given median: the sum of twelve numbers in [0, 1) is almost normal.
fn log_normal(rng: &mut Xoshiro256PlusPlus, median: f64, sigma: f64) -> f64 {
    let z = (0..12).map(|_| uniform(rng)).sum::<f64>() - 6.0;
    median * (sigma * z).exp()
}

/// The rows that the engine makes of one repetition: it is the engine's own code that makes them.
fn windows(cell: &Cell, seed: u64) -> Vec<WindowRow> {
    let mut windows = Windows::new(0, cell.workloads[0].rows().len(), cell.workloads[0].is_single(), WINDOW_NS);
    let mut rows = Vec::new();
    requests(cell, seed, LOAD_NS, |ended| rows.extend(windows.record(ended).unwrap_or_default()));
    rows.extend(windows.flush());
    rows
}

/// All requests, and the passes of several steps, of a load of this length.
fn requests(cell: &Cell, seed: u64, load_ns: u64, mut each: impl FnMut(&RequestRow)) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let steps = cell.workloads[0].protocol().steps().len();
    let mut free_at = [0_u64; CONNECTIONS];
    let mut connected = [false; CONNECTIONS];
    let mut error = 0_u32;
    loop {
        let (at, &begin) = free_at.iter().enumerate().min_by_key(|(_, t)| **t).expect("there are connections");
        if begin >= load_ns {
            break;
        }
        let mut now = begin;
        let mut pass = None;
        for step in 0..steps {
            error += 1;
            let took = log_normal(&mut rng, 1.8e6, 0.45) as u64;
            let connect_ns = (!std::mem::replace(&mut connected[at], true)).then_some(80_000);
            // A body of some KiB comes after its head; small answers come at once.
            let first = if step == 1 { now + took * 3 / 4 } else { now + took };
            let ended = RequestRow {
                step: Some(step as u16),
                phase: Phase::During,
                completed_in: Phase::During,
                outcome: if error.is_multiple_of(20_000) { Outcome::Timeout } else { Outcome::Ok },
                intended_ns: now,
                sent_ns: now,
                completed_ns: (now + took).min(load_ns - 1),
                connect_ns,
                first_byte_ns: Some(first.min(load_ns - 1)),
                sent_bytes: 10_240,
                received_bytes: 10_240,
                key: None,
            };
            each(&ended);
            now += took;
            pass = Some(ended);
        }
        if let Some(last) = pass.filter(|_| steps > 1) {
            let whole = RequestRow { step: None, intended_ns: begin, sent_ns: begin, connect_ns: None, ..last };
            each(&whole);
        }
        free_at[at] = now;
    }
}

/// Writes a run of one repetition with a row for each of at least `rows` requests and passes.
pub fn run_with_rows(out: &Path, rows: u64) {
    let mut plan = plan(1);
    plan.cells.retain(|cell| cell.workloads[0].protocol().steps().len() == 2);
    plan.cells.truncate(1);
    plan.graphs.clear();
    let cell = &plan.cells[0];
    let manifest = Manifest::collect(&plan.source.to_string_lossy(), std::collections::BTreeMap::new(), out, Choice::default());
    let directory = RunDirectory::create(out, &plan, &manifest).expect("the directory can be made");
    let mut writer = directory.repetition(cell, 1, None).expect("the repetition can be made");
    let workload = &cell.workloads[0];
    let names = WorkloadNames {
        workload: workload.name.clone(),
        steps: workload.rows(),
        single: workload.is_single(),
        outcomes: Vec::new(),
        metrics: Vec::new(),
    };
    let mut tables = Tables::create(writer.directory(), vec![names]).expect("the tables can be made");
    tables.set_epoch(Instant::now());
    let mut windows = Windows::new(0, 2, false, WINDOW_NS);
    // A pass takes 4 ms with its two steps, and three rows.
    let load_ns = rows / 3 * 4_000_000 / CONNECTIONS as u64;
    let mut every = Vec::new();
    let mut batch = Vec::new();
    requests(cell, 1, load_ns, |ended| {
        if let Some(rows) = windows.record(ended) {
            every.extend(rows.iter().cloned().map(without_times));
            tables.windows(rows).expect("the windows can be written");
        }
        batch.push(*ended);
        if batch.len() == 4096 {
            tables.requests(0, std::mem::take(&mut batch)).expect("the requests can be written");
        }
    });
    let last = windows.flush();
    every.extend(last.iter().cloned().map(without_times));
    tables.windows(last).expect("the windows can be written");
    tables.requests(0, batch).expect("the requests can be written");
    tables.finish().expect("the tables can be written");
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut status = status(cell, 1, &every, &mut rng);
    status.phases[0].end_ns = load_ns;
    writer.finish(&[], &status).expect("the repetition can be written");
    eprintln!("{} rows", every.iter().map(|r| r.count).sum::<u64>());
    println!("{}", directory.path.display());
}

/// Its counts only.
fn without_times(row: WindowRow) -> WindowRow {
    let none = Vec::new;
    WindowRow { service: none(), response: none(), lag: none(), connect: none(), first_byte: none(), ..row }
}

fn write_cell(directory: &RunDirectory, cell: &Cell, repetitions: u32) {
    let variants: Vec<Vec<WindowRow>> = (0..VARIANTS.min(repetitions as usize)).map(|v| windows(cell, v as u64)).collect();
    for repetition in 1..=repetitions {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(u64::from(repetition));
        let mut writer = directory.repetition(cell, repetition, None).expect("the repetition can be made");
        let workload = &cell.workloads[0];
        let names = WorkloadNames {
            workload: workload.name.clone(),
            steps: workload.rows(),
            single: workload.is_single(),
            outcomes: Vec::new(),
            metrics: Vec::new(),
        };
        let mut tables = Tables::create(writer.directory(), vec![names]).expect("the tables can be made");
        let epoch = Instant::now();
        tables.set_epoch(epoch);
        let rows = &variants[repetition as usize % variants.len()];
        tables.windows(rows.clone()).expect("the windows can be written");
        samples(cell, epoch, &mut tables, &mut rng);
        tables.finish().expect("the tables can be written");
        writer.finish(&[], &status(cell, repetition, rows, &mut rng)).expect("the repetition can be written");
    }
}

fn samples(cell: &Cell, epoch: Instant, tables: &mut Tables, rng: &mut Xoshiro256PlusPlus) {
    let replicas: Vec<(Arc<str>, u32, u64)> = cell
        .targets
        .iter()
        .flat_map(|t| t.replicas.iter().map(move |r| (t, r)))
        .map(|(t, r)| (t.name.as_str().into(), r.number, (uniform(rng) * 1e6) as u64))
        .collect();
    for tick in 0..104_u64 {
        let at = epoch + Duration::from_millis(tick * 100) - Duration::from_millis(200);
        for (target, replica, base) in &replicas {
            tables
                .process(ProcessSample {
                    at: at + Duration::from_micros(50 * u64::from(*replica)),
                    target: Arc::clone(target),
                    replica: *replica,
                    processes: 1,
                    threads: 3,
                    pss_bytes: (tick % 2 == 0).then_some(3_000_000 + base + tick * 4096),
                    rss_bytes: 5_000_000 + base + tick * 4096,
                    peak_rss_bytes: 5_000_000 + base + tick * 4096,
                    cpu_user_ns: tick * 40_000_000 + base,
                    cpu_system_ns: tick * 20_000_000 + base,
                    open_files: 19,
                    voluntary_switches: tick * 311 + base % 100,
                    involuntary_switches: tick * 13 + base % 100,
                    read_bytes: 0,
                    written_bytes: tick * 4096,
                    complete: true,
                })
                .expect("the samples can be written");
        }
        let cores = (0..2)
            .map(|core| CoreTimes {
                core,
                user_ns: tick * 60_000_000,
                system_ns: tick * 30_000_000,
                interrupt_ns: 0,
                idle_ns: tick * 10_000_000,
                iowait_ns: 0,
                steal_ns: 0,
                clock: CoreClock::default(),
            })
            .collect();
        tables.host(HostSample {
            at,
            cores,
            mem_total_bytes: 25_000_000_000,
            mem_available_bytes: 20_000_000_000 + tick * 4096,
            load_1min: 1.0 + tick as f64 / 100.0,
            pressure: HostPressure { cpu: Some(Pressure { some_us: tick * 1000, full_us: Some(0) }), ..HostPressure::default() },
            package_throttles: None,
        });
    }
}

fn status(cell: &Cell, repetition: u32, rows: &[WindowRow], rng: &mut Xoshiro256PlusPlus) -> Status {
    let passes = |ok: bool| rows.iter().filter(|r| r.step.is_none() && (r.outcome == Outcome::Ok) == ok).map(|r| r.count).sum();
    let (ok, errors): (u64, u64) = (passes(true), passes(false));
    let seed = rng.next_u64();
    Status {
        phases: vec![PhaseStatus {
            workload: cell.workloads[0].name.clone(),
            phase: "during".to_owned(),
            start_ns: 0,
            end_ns: LOAD_NS - (uniform(rng) * 4e8) as u64,
            offered: ok + errors,
            passes: ok + errors,
            errors,
            ..PhaseStatus::default()
        }],
        targets: cell
            .targets
            .iter()
            .flat_map(|t| t.replicas.iter().map(move |r| (t, r)))
            .map(|(target, replica)| TargetStatus {
                target: target.name.clone(),
                replica: replica.number,
                pid: Some(1000 + replica.number),
                start_up_ns: Some(4_000_000 + (uniform(rng) * 1e6) as u64),
                ended: None,
                killed: false,
                deaths: 0,
                log_cut_bytes: 0,
                outcome: None,
                resources: None,
            })
            .collect(),
        generator: GeneratorStatus {
            cpu_ns: 3_000_000_000 + (uniform(rng) * 1e8) as u64,
            wall_ns: LOAD_NS,
            connects: CONNECTIONS as u64,
            ..GeneratorStatus::default()
        },
        ..Status::of(cell.id.to_string(), repetition, seed, "2026-01-01T00:00:00Z".to_owned(), Verdict::Valid)
    }
}
