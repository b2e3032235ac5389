//! Where the time of a request is spent: from when it was sent, past the taps that saw its key, to its answer.
//!
//! Only requests that every tap saw have stages; the taps' own metric `unjoined` shows how many were missed.

use polars::prelude::*;
use serde::Serialize;

use super::Error;
use super::frames::Tapped;
use super::stats;
use super::windows::phase_bounds;
use record::read::{CellRecord, TapRecord};
use record::status::PhaseStatus;

/// A stretch of the way of a workload's requests, for requests in `during`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// Name of the workload.
    pub workload: String,
    /// Where it starts: `sent`, or the name of a tap.
    pub from: String,
    /// Where it ends: the name of a tap, or `completed`.
    pub to: String,
    /// How long it took, in nanoseconds; over repetitions, the median. Negative if a tap was read after the answer.
    pub p50_ns: f64,
    /// Its 99th percentile, in the same way.
    pub p99_ns: f64,
}

/// The stages of one repetition, in the order in which requests pass through them.
///
/// # Errors
/// When a table is damaged.
pub(super) fn of_repetition(cell: &CellRecord, tapped: &Tapped<'_>, phases: &[PhaseStatus]) -> Result<Vec<Stage>, Error> {
    let mut stages = Vec::new();
    for workload in &cell.workloads {
        let mine = |tap: &&TapRecord| tap.join.as_ref().is_some_and(|join| join.workload == workload.name);
        let taps: Vec<&TapRecord> = cell.taps.iter().filter(mine).filter(|tap| tapped.has(tap)).collect();
        let phases: Vec<PhaseStatus> = phases.iter().filter(|p| p.workload == workload.name).cloned().collect();
        let during = phase_bounds(&phases).into_iter().find(|(phase, _)| *phase == "during").map(|(_, bounds)| bounds);
        if let (Some(bounds), false) = (during, taps.is_empty()) {
            stages.extend(of_workload(&workload.name, &taps, tapped, bounds)?);
        }
    }
    Ok(stages)
}

fn of_workload(workload: &str, taps: &[&TapRecord], tapped: &Tapped<'_>, (begin, end): (i64, i64)) -> Result<Vec<Stage>, Error> {
    let failed = |source| Error::Table { path: tapped.repetition.path.join("requests.parquet"), source };
    let sent_in_phase = col("sent_ns").gt_eq(lit(begin)).and(col("sent_ns").lt_eq(lit(end)));
    let requests = tapped.requests(workload)?.lazy().filter(sent_in_phase);
    let mut rows = requests.select([col("join_key"), col("sent_ns").alias("instant 0"), col("completed_ns").alias("instant 1")]);
    for (at, tap) in taps.iter().enumerate() {
        let seen = tapped.rows(tap)?.lazy().filter(col("join_key").is_not_null());
        let seen = seen.group_by_stable([col("join_key")]).agg([col("at_ns").first().alias(format!("instant {}", at + 2))]);
        rows = rows.join(seen, [col("join_key")], [col("join_key")], JoinArgs::new(JoinType::Inner));
    }
    let rows = rows.collect().map_err(failed)?;
    let instants =
        |at: usize| -> PolarsResult<Vec<i64>> { Ok(rows.column(&format!("instant {at}"))?.i64()?.into_no_null_iter().collect()) };
    let instants = (0..taps.len() + 2).map(instants).collect::<PolarsResult<Vec<Vec<i64>>>>().map_err(failed)?;
    if rows.height() == 0 {
        return Ok(Vec::new());
    }
    let between = |from: usize, to: usize| {
        let mut times: Vec<f64> = instants[from].iter().zip(&instants[to]).map(|(from, to)| (to - from) as f64).collect();
        times.sort_unstable_by(f64::total_cmp);
        [0.5, 0.99].map(|share| stats::observed_quantile(&times, share))
    };
    // The order of the taps is that in which they saw most of the requests.
    let mut way: Vec<usize> = (2..taps.len() + 2).collect();
    way.sort_by(|one, other| between(0, *one)[0].total_cmp(&between(0, *other)[0]));
    let way: Vec<usize> = std::iter::once(0).chain(way).chain([1]).collect();
    let name = |at: usize| match at {
        0 => "sent".to_owned(),
        1 => "completed".to_owned(),
        _ => taps[at - 2].name.clone(),
    };
    let stage = |stretch: &[usize]| {
        let [p50_ns, p99_ns] = between(stretch[0], stretch[1]);
        Stage { workload: workload.to_owned(), from: name(stretch[0]), to: name(stretch[1]), p50_ns, p99_ns }
    };
    Ok(way.windows(2).map(stage).collect())
}

/// The stages of a cell: for each, the median over the repetitions that have it, in the order of the first of them.
pub(super) fn of_cell(repetitions: &[Vec<Stage>]) -> Vec<Stage> {
    let mut all: Vec<Stage> = Vec::new();
    let is_same = |one: &Stage, other: &Stage| (&one.workload, &one.from, &one.to) == (&other.workload, &other.from, &other.to);
    for stage in repetitions.iter().flatten() {
        if !all.iter().any(|known| is_same(known, stage)) {
            all.push(stage.clone());
        }
    }
    for stage in &mut all {
        let values = |of: fn(&Stage) -> f64| {
            stats::median(&repetitions.iter().flatten().filter(|s| is_same(s, stage)).map(of).collect::<Vec<f64>>())
        };
        (stage.p50_ns, stage.p99_ns) = (values(|s| s.p50_ns), values(|s| s.p99_ns));
    }
    all
}

/// The stages of each workload on one line, with the stage that takes longest at its 99th percentile.
pub(super) fn words(stages: &[Stage]) -> Vec<String> {
    let mut workloads: Vec<&str> = stages.iter().map(|s| s.workload.as_str()).collect();
    workloads.dedup();
    let time = |ns: f64| match ns < 0.0 {
        true => format!("-{}", vocabulary::units::human_duration(-ns)),
        false => vocabulary::units::human_duration(ns),
    };
    let line = |workload: &&str| {
        let mine: Vec<&Stage> = stages.iter().filter(|s| s.workload == *workload).collect();
        let parts: Vec<String> =
            mine.iter().map(|s| format!("{} to {} {} (p99 {})", s.from, s.to, time(s.p50_ns), time(s.p99_ns))).collect();
        let longest = mine.iter().max_by(|a, b| a.p99_ns.total_cmp(&b.p99_ns)).filter(|_| mine.len() > 1);
        let longest = longest.map_or_else(String::new, |s| format!("; longest: {} to {}", s.from, s.to));
        format!("of {workload}: {}{longest}", parts.join(", "))
    };
    workloads.iter().map(line).collect()
}
