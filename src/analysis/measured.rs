//! Some repetitions of a cell, as read from disk: their tables as frames, their phases, and when they became steady.
//!
//! Where the end of the warm-up is found automatically, the warm-up extends to the steady state: windows and phases are
//! adjusted before anything is computed from them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use polars::prelude::*;

use super::Error;
use super::detail::Detail;
use super::frames::{self, Scanned};
use super::replicas::{Replica, replicas};
use super::stages::Stage;
use super::steadiness::{self, Steady};
use super::taps::TapFigures;
use super::windows::{Distributions, StepKey, Windows, cut};
use record::Repetition;
use record::read::CellRecord;
use record::status::PhaseStatus;

/// The data from which figures are computed. Nothing in it is damaged.
pub(super) struct Measured<'r> {
    pub cell: &'r CellRecord,
    pub repetitions: &'r [&'r Repetition],
    pub window_ns: u64,
    /// The phases of each repetition, with the warm-up extended to where it was found to end.
    pub phases: BTreeMap<u32, Vec<PhaseStatus>>,
    /// The start of the steady state by repetition and workload, for workloads whose warm-up ends by itself.
    pub cuts: BTreeMap<(u32, String), u64>,
    /// Of all repetitions but those in `without_windows`.
    pub windows: Windows,
    /// By repetition and step.
    pub distributions: BTreeMap<u32, BTreeMap<StepKey, Distributions>>,
    /// Repetitions whose windows are damaged: the outcomes of their requests are unknown.
    pub without_windows: BTreeSet<u32>,
    /// Repetitions whose samples are damaged.
    pub without_samples: BTreeSet<u32>,
    pub replicas: Vec<Replica>,
    /// As [`frames::metrics`] scans it.
    pub brought: DataFrame,
    /// As [`TapFigures`] has it.
    pub taps: DataFrame,
    /// Where the time of requests is spent between the taps, by repetition.
    pub stages: BTreeMap<u32, Vec<Stage>>,
    /// The workloads of each repetition that should be steady.
    pub steadiness: BTreeMap<u32, Vec<(String, Steady)>>,
    /// What is damaged, by repetition: windows, samples, metrics of commands, taps.
    pub damaged: [Vec<(u32, Error)>; 4],
}

impl<'r> Measured<'r> {
    /// Reads the tables of repetitions of a cell. `window_ns`: length of a window.
    ///
    /// # Errors
    /// When polars cannot compute something from undamaged data, which is a bug in this program.
    pub(super) fn read(
        cell: &'r CellRecord,
        repetitions: &'r [&'r Repetition],
        window_ns: u64,
        detail: &Detail,
    ) -> PolarsResult<Self> {
        let Scanned { frame, damaged } = frames::windows(repetitions, &detail.times);
        let mut damaged_windows = damaged;
        let mut windows = Windows::new(frame)?;
        let mut phases: BTreeMap<u32, Vec<PhaseStatus>> =
            repetitions.iter().map(|r| (r.status.repetition, r.status.phases.clone())).collect();
        let mut damage = |number: u32, source: PolarsError| {
            let path = repetitions.iter().find(|r| r.status.repetition == number).map_or(Path::new(""), |r| &r.path);
            damaged_windows.push((number, Error::Table { path: path.join("windows.parquet"), source }));
        };

        let looked_at = steadiness::looked_at(cell, detail.steadiness);
        let mut series = if looked_at.is_empty() { BTreeMap::new() } else { windows.series(&looked_at)? };
        let mut steadiness: BTreeMap<u32, Vec<(String, Steady)>> = BTreeMap::new();
        for repetition in repetitions {
            let number = repetition.status.repetition;
            let mut found = Vec::new();
            for workload in &looked_at {
                match series.remove(&(number, (*workload).to_owned())).unwrap_or_else(|| Ok(Vec::new())) {
                    Ok(points) => {
                        let steady = steadiness::of_repetition(repetition, workload, &points, window_ns);
                        found.extend(steady.map(|steady| ((*workload).to_owned(), steady)));
                    }
                    // The same histogram is summed below, and named there.
                    Err(_) => break,
                }
            }
            steadiness.insert(number, found);
        }

        let mut cuts = BTreeMap::new();
        for (number, found) in &steadiness {
            for (workload, steady) in found.iter().filter(|(workload, _)| cell.is_warmed_up_by_itself(workload)) {
                cuts.extend(steady.steady_from_ns.map(|at_ns| ((*number, workload.clone()), at_ns)));
            }
        }
        if !cuts.is_empty() {
            let (moved, passes) = windows.with_warm_up(&cuts)?;
            windows = moved;
            for ((number, workload), at_ns) in &cuts {
                let passes = passes.get(&(*number, workload.clone())).copied().unwrap_or_default();
                cut(phases.entry(*number).or_default(), workload, *at_ns, passes);
            }
        }

        let mut distributions = BTreeMap::new();
        for (number, found) in windows.distributions()? {
            match found {
                Ok(found) => {
                    distributions.insert(number, found);
                }
                Err(error) => damage(number, error),
            }
        }
        let without_windows: BTreeSet<u32> = damaged_windows.iter().map(|(number, _)| *number).collect();
        if !without_windows.is_empty() {
            windows = windows.without(&without_windows)?;
            // Where the course is unknown, no warm-up ends anywhere.
            for repetition in repetitions.iter().filter(|r| without_windows.contains(&r.status.repetition)) {
                phases.insert(repetition.status.repetition, repetition.status.phases.clone());
                steadiness.insert(repetition.status.repetition, Vec::new());
            }
            let place = |number: u32| repetitions.iter().position(|r| r.status.repetition == number);
            damaged_windows.sort_by_key(|(number, _)| place(*number));
        }

        let (samples, damaged_samples) = match detail.resources.as_slice() {
            [] => (Vec::new(), Vec::new()),
            metrics => {
                let Scanned { frame, damaged } = frames::resources(repetitions, metrics);
                (replicas(frame)?, damaged)
            }
        };
        let Scanned { frame: brought, damaged: damaged_brought } = frames::metrics(repetitions);
        let some_taps = if detail.taps { repetitions } else { &[] };
        let TapFigures { frame: taps, stages, damaged: damaged_taps } = TapFigures::read(cell, some_taps, &phases)?;
        Ok(Self {
            cell,
            repetitions,
            window_ns,
            phases,
            cuts,
            windows,
            distributions,
            without_windows,
            without_samples: damaged_samples.iter().map(|(number, _)| *number).collect(),
            replicas: samples,
            brought,
            taps,
            stages,
            steadiness,
            damaged: [damaged_windows, damaged_samples, damaged_brought, damaged_taps],
        })
    }
}
