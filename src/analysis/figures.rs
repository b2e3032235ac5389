//! From rows to figures: the value of each metric in each repetition.
//!
//! A figure is a row of one table: `repetition` (u32), `workload`, `target`, `phase`, `step` (text, null if it does not
//! apply to a metric: start-up has no phase, resources have no workload), `metric` (text, its name in the catalogue, or the
//! name that a command gave it) and `value` (f64, in base units). Everything that is reported about a run is made of these
//! rows only.
//!
//! A metric is an expression over the columns of one of the frames below, with its name as alias.

use polars::prelude::*;

use super::detail::Detail;
use super::measured::Measured;
use super::replicas::{Replica, Samples};
use super::stats;
use super::times::at;
use super::windows::{StepKey, load_bounds, phase_bounds, time_index};
use record::Repetition;
use record::read::WorkloadRecord;
use record::status::PhaseStatus;
use record::tables::{WHOLE, column};
use vocabulary::{Metric, Outcome, Phase, Quantile, Time};

/// The columns of a figure.
pub(super) const COLUMNS: [&str; 7] = ["repetition", "workload", "target", "phase", "step", "metric", "value"];
/// What identifies a step in one repetition.
const STEP: [&str; 4] = ["repetition", "workload", "phase", "step"];
const STEP_AND_OUTCOME: [&str; 5] = ["repetition", "workload", "phase", "step", "outcome"];

/// Requests that ended, requests that were offered and never sent, and so on: shares and rates are made of them.
pub(super) const REQUESTS: &str = "requests";
pub(super) const OFFERED_PASSES: &str = "offered_passes";
pub(super) const UNSENT_PASSES: &str = "unsent_passes";
pub(super) const SENT_BYTES: &str = "sent_bytes";
pub(super) const RECEIVED_BYTES: &str = "received_bytes";
/// Prefix of an outcome's name: how many requests had this outcome.
pub(super) const OF_OUTCOME: &str = "requests:";
/// What the generator used.
pub(super) const GENERATOR_CPU: &str = "generator_cpu_share";
pub(super) const GENERATOR_RATE: &str = "requests_per_generator_cpu_s";

/// The figures of some repetitions of a cell.
///
/// # Errors
/// When polars cannot compute them, which is a bug in this program: damaged tables are not among the `measured`.
pub(super) fn figures(measured: &Measured<'_>, detail: &Detail) -> PolarsResult<DataFrame> {
    let by_outcome = by_outcome(measured).collect()?;
    let passes = passes(measured, &by_outcome, detail)?;
    let mut parts = vec![
        tidy(passes.clone().lazy(), &STEP, pass_metrics().into_iter().chain(time_metrics(detail)))?,
        outcomes(&by_outcome, &passes),
        named_outcomes(measured, by_outcome, passes)?,
        brought(measured)?,
        as_figures(measured.taps.clone().lazy(), &["repetition", "workload", "phase"]),
        limits(measured)?,
        generator(measured)?,
        start_ups(measured)?,
    ];
    if !detail.resources.is_empty() {
        parts.push(tidy(resources(measured)?, &["repetition", "target", "phase"], resource_metrics())?);
    }
    concat(parts, UnionArgs::default())?.collect()
}

/// One row per figure: `metrics` of a frame whose rows are identified by `keys`. A figure without a value has no row.
fn tidy(frame: LazyFrame, keys: &[&str], metrics: impl IntoIterator<Item = Expr>) -> PolarsResult<LazyFrame> {
    let columns: Vec<Expr> =
        keys.iter().map(|key| col(*key)).chain(metrics.into_iter().map(|m| m.cast(DataType::Float64))).collect();
    let wide = frame.select(columns).collect()?;
    let known_by = wide.select(keys.iter().copied())?;
    let mut rows = DataFrame::empty();
    // polars itself has `unpivot` for this, but only with features that nothing else needs.
    for values in &wide.columns()[keys.len()..] {
        let mut some = known_by.clone();
        some.with_column(Column::new_scalar("metric".into(), Scalar::from(values.name().clone()), wide.height()))?;
        some.with_column(values.clone().with_name("value".into()))?;
        if rows.width() == 0 { rows = some } else { rows.vstack_mut(&some).map(|_| ())? }
    }
    Ok(as_figures(rows.lazy().filter(col("value").is_not_null()), keys))
}

/// The columns of a figure, where some of `repetition` to `step` exist already.
fn as_figures(frame: LazyFrame, keys: &[&str]) -> LazyFrame {
    let column = |name: &str| match ["workload", "target", "phase", "step"].contains(&name) && !keys.contains(&name) {
        true => lit(NULL).cast(DataType::String).alias(name),
        false => col(name),
    };
    frame.select(COLUMNS.map(column))
}

fn text_column(name: &str, values: Vec<&str>) -> Column {
    column(name, values)
}

/// Adds the columns of another frame to the rows of one, matched by columns that both have.
fn joined(rows: LazyFrame, other: LazyFrame, by: &[&str], how: JoinType) -> LazyFrame {
    let by: Vec<Expr> = by.iter().map(|name| col(*name)).collect();
    rows.join(other, &by, &by, JoinArgs::new(how))
}

/// A number divided by another, row by row.
///
/// polars' own division multiplies by the reciprocal where a column holds one number, or one row: then the last bit of a
/// figure would depend on the other rows.
fn over(above: Expr, below: Expr) -> Expr {
    let divide = |columns: &mut [Column]| -> PolarsResult<Column> {
        let (above, below) = (columns[0].f64()?, columns[1].f64()?);
        // A column with the same value in all rows may be stored as one value.
        let of = |column: &Float64Chunked, at: usize| column.get(if column.len() == 1 { 0 } else { at });
        let values: Float64Chunked = (0..above.len().max(below.len())).map(|at| Some(of(above, at)? / of(below, at)?)).collect();
        Ok(values.with_name(columns[0].name().clone()).into_column())
    };
    let field = |_: &Schema, fields: &[Field]| Ok(Field::new(fields[0].name().clone(), DataType::Float64));
    above.cast(DataType::Float64).map_many(divide, &[below.cast(DataType::Float64)], field)
}

/// The pass as a whole, and the steps of a workload, each once.
pub(super) fn step_names(workload: &WorkloadRecord) -> Vec<&str> {
    let mut names = vec![WHOLE];
    for step in &workload.steps {
        if !names.contains(&step.as_str()) {
            names.push(step);
        }
    }
    names
}

/// Each step of each phase that a workload had: its length, and what was offered in it.
fn steps(measured: &Measured<'_>) -> PolarsResult<DataFrame> {
    let mut rows: Vec<(u32, &PhaseStatus, &str, bool)> = Vec::new();
    for (number, phases) in &measured.phases {
        for workload in measured.cell.workloads.iter().filter(|_| !measured.without_windows.contains(number)) {
            // What the schedule asked for are passes, and not what users execute besides.
            let of_users = &workload.steps[workload.steps.len().saturating_sub(workload.user_steps)..];
            let of_users = |name: &str| of_users.iter().any(|step| step == name);
            let names: Vec<(&str, bool)> = step_names(workload).into_iter().map(|name| (name, !of_users(name))).collect();
            for phase in Phase::ALL.iter().filter(|phase| **phase != Phase::Drain) {
                let found = phases.iter().find(|p| p.workload == workload.name && p.phase == phase.name());
                if let Some(phase) = found {
                    rows.extend(names.iter().map(|(name, asked)| (*number, phase, *name, *asked)));
                }
            }
        }
    }
    let number =
        |name: &str, of: fn(&PhaseStatus) -> u64| column(name, rows.iter().map(|(_, phase, ..)| of(phase)).collect::<Vec<u64>>());
    let asked = |name: &str, of: fn(&PhaseStatus) -> u64| {
        column(name, rows.iter().map(|(_, phase, _, asked)| if *asked { of(phase) } else { 0 }).collect::<Vec<u64>>())
    };
    DataFrame::new(
        rows.len(),
        vec![
            column("repetition", rows.iter().map(|(number, ..)| *number).collect::<Vec<u32>>()),
            text_column("workload", rows.iter().map(|(_, phase, ..)| phase.workload.as_str()).collect()),
            text_column("phase", rows.iter().map(|(_, phase, ..)| phase.phase.as_str()).collect()),
            text_column("step", rows.iter().map(|(_, _, step, _)| *step).collect()),
            number("start_ns", |phase| phase.start_ns),
            number("end_ns", |phase| phase.end_ns),
            number("duration_ns", PhaseStatus::duration_ns),
            column("seconds", rows.iter().map(|(_, phase, ..)| phase.seconds()).collect::<Vec<f64>>()),
            asked(OFFERED_PASSES, |phase| phase.offered),
            asked(UNSENT_PASSES, |phase| phase.unsent),
        ],
    )
}

/// Each step that occurred: what was offered, the outcomes of its requests, what ended in its phase, and its times.
///
/// Requests and their outcomes belong to the phase in which they started. `completed`, the correct answers that came in a
/// phase, and bytes belong to the phase in which they ended.
fn passes(measured: &Measured<'_>, by_outcome: &DataFrame, detail: &Detail) -> PolarsResult<DataFrame> {
    let is = |outcome: Outcome| col("outcome").eq(lit(outcome.name(&[])));
    let named = measured.cell.workloads.iter().flat_map(|w| w.outcomes.iter().map(|outcome| (&w.name, outcome)));
    let named = named.fold(lit(false), |any, (workload, outcome)| {
        any.or(col("workload").eq(lit(workload.as_str())).and(col("outcome").eq(lit(outcome.as_str()))))
    });
    let requests = |of: Expr| col("requests").filter(of).sum();
    let began = by_outcome.clone().lazy().group_by_stable(STEP.map(col)).agg([
        col("requests").sum(),
        requests(is(Outcome::Ok)).alias("right"),
        requests(named).alias("named_requests"),
        requests(is(Outcome::Open)).alias("open_requests"),
    ]);
    let where_it_ended = [col("repetition"), col("workload"), col("completed_in").alias("phase"), col("step")];
    let ended = measured.windows.lazy().group_by_stable(where_it_ended).agg([
        requests(col("ok")).alias("completed"),
        col(SENT_BYTES).sum(),
        col(RECEIVED_BYTES).sum(),
        col("window_start_ns").filter(col("ok")).alias("right_at_ns"),
        col("requests").filter(col("ok")).alias("right_then"),
    ]);
    let counts = ["requests", "right", "named_requests", "open_requests", "completed", SENT_BYTES, RECEIVED_BYTES];
    // If nothing was sent there are no rows, but what was offered still counts.
    let occurred = col("requests").is_not_null().or(col("completed").is_not_null());
    let others = [began, ended, times(measured, detail)?.lazy()];
    let mut found = others
        .into_iter()
        .fold(steps(measured)?.lazy(), |rows, other| joined(rows, other, &STEP, JoinType::Left))
        .with_column(occurred.alias("occurred"))
        .filter(col("occurred").or(col(UNSENT_PASSES).gt(lit(0_u64))))
        .with_columns(counts.map(|name| col(name).fill_null(lit(0_u64))))
        .collect()?;
    let spread = match detail.throughput_stdev {
        true => throughput_stdev(&found, measured.window_ns)?,
        false => vec![None; found.height()],
    };
    found.with_column(column("spread", spread))?;
    found.drop_many(["right_at_ns", "right_then"]).sort(STEP, SortMultipleOptions::default())
}

/// The metrics of a step that are made of counts.
fn pass_metrics() -> Vec<Expr> {
    let rate = |of: &str| over(col(of), col("seconds"));
    let asked = || col("requests") + col(UNSENT_PASSES);
    let share = |of: Expr| over(of, when(asked().eq(lit(0_u64))).then(lit(1_u64)).otherwise(asked()));
    let wrong = || col("requests") - col("right") - col("named_requests");
    let named = |metric: Metric, of: Expr| of.alias(metric.name());
    vec![
        col(REQUESTS),
        col(OFFERED_PASSES),
        col(UNSENT_PASSES),
        col(SENT_BYTES),
        col(RECEIVED_BYTES),
        named(Metric::Throughput, rate("completed")),
        named(Metric::ThroughputStdev, col("spread")),
        named(Metric::Duration, col("duration_ns")),
        // What was offered and not answered as expected, and its parts.
        named(Metric::Errors, share(wrong() + col(UNSENT_PASSES))),
        named(Metric::Wrong, share(wrong() - col("open_requests"))),
        named(Metric::Unsent, share(col(UNSENT_PASSES))),
        named(Metric::Open, share(col("open_requests"))),
        named(Metric::Offered, rate(OFFERED_PASSES)),
        named(Metric::Upload, rate(SENT_BYTES)),
        named(Metric::Download, rate(RECEIVED_BYTES)),
    ]
}

/// For each step the standard deviation (n − 1) of correct answers per second over the windows that are completely in its
/// phase; none with fewer than two such windows.
fn throughput_stdev(passes: &DataFrame, window_ns: u64) -> PolarsResult<Vec<Option<f64>>> {
    let number = |name: &str| passes.column(name)?.u64();
    let list = |name: &str| passes.column(name)?.list();
    let (starts, ends) = (number("start_ns")?, number("end_ns")?);
    let (instants, right) = (list("right_at_ns")?, list("right_then")?);
    let numbers = |list: Option<Series>| -> PolarsResult<Vec<u64>> {
        list.map_or_else(|| Ok(Vec::new()), |list| Ok(list.u64()?.into_no_null_iter().collect()))
    };
    let spread = |at: usize| {
        let [instants, right] = [instants, right].map(|list| numbers(list.get_as_series(at)));
        let bounds = (starts.get(at).unwrap_or_default(), ends.get(at).unwrap_or_default());
        Ok(spread_of_windows(&instants?, &right?, bounds, window_ns))
    };
    (0..passes.height()).map(spread).collect()
}

/// The same for one step: `right` answers in the windows that start at `instants`.
pub(super) fn spread_of_windows(instants: &[u64], right: &[u64], bounds: (u64, u64), window_ns: u64) -> Option<f64> {
    let first = bounds.0.div_ceil(window_ns);
    let count = usize::try_from((bounds.1 / window_ns).saturating_sub(first)).ok().filter(|count| *count > 1)?;
    // A window without a correct answer has no row, but counts.
    let mut whole = vec![0; count];
    for (instant, right) in instants.iter().zip(right) {
        let place = (instant / window_ns).checked_sub(first).and_then(|place| whole.get_mut(place as usize));
        *place.unwrap_or(&mut 0) += right;
    }
    let seconds = window_ns as f64 / 1e9;
    Some(stats::standard_deviation(&whole.into_iter().map(|n: u64| n as f64 / seconds).collect::<Vec<_>>()))
}

/// Each step that had times: one column per percentile and kind of time.
fn times(measured: &Measured<'_>, detail: &Detail) -> PolarsResult<DataFrame> {
    let steps = || measured.distributions.iter().flat_map(|(number, steps)| steps.iter().map(move |step| (*number, step)));
    let found: Vec<[Option<super::times::Times>; Time::ALL.len()]> = steps().map(|(_, (_, found))| found.times()).collect();
    let text = |name: &str, of: fn(&StepKey) -> &str| text_column(name, steps().map(|(_, (key, _))| of(key)).collect());
    let mut columns = vec![
        column("repetition", steps().map(|(number, _)| number).collect::<Vec<u32>>()),
        text("workload", |key| &key.0),
        text("phase", |key| &key.1),
        text("step", |key| &key.2),
    ];
    for time in detail.times.iter().copied() {
        for (_, _, quantile) in Quantile::ALL {
            let values: Vec<Option<f64>> = found.iter().map(|times| Some(at(&times[time_index(time)]?, quantile))).collect();
            columns.push(Series::new(Metric::Time(time, quantile).name().into(), values).into_column());
        }
    }
    DataFrame::new(found.len(), columns)
}

fn time_metrics(detail: &Detail) -> Vec<Expr> {
    let of = |time: &Time| Quantile::ALL.map(|(_, _, quantile)| col(Metric::Time(*time, quantile).name().to_owned()));
    detail.times.iter().flat_map(of).collect()
}

/// Requests by outcome, of the steps that occurred.
fn outcomes(by_outcome: &DataFrame, passes: &DataFrame) -> LazyFrame {
    let counts = joined(by_outcome.clone().lazy(), passes.clone().lazy().select(STEP.map(col)), &STEP, JoinType::Inner);
    let metric = (lit(OF_OUTCOME) + col("outcome")).alias("metric");
    as_figures(counts.with_columns([metric, col("requests").cast(DataType::Float64).alias("value")]), &STEP)
}

/// Requests by step and outcome.
pub(super) fn by_outcome(measured: &Measured<'_>) -> LazyFrame {
    measured.windows.lazy().group_by_stable(STEP_AND_OUTCOME.map(col)).agg([col("requests").sum()])
}

/// The share of passes, in percent, of each outcome that the scenario names; 0 where it did not occur.
fn named_outcomes(measured: &Measured<'_>, by_outcome: DataFrame, passes: DataFrame) -> PolarsResult<LazyFrame> {
    let named: Vec<(&str, &str)> =
        measured.cell.workloads.iter().flat_map(|w| w.outcomes.iter().map(|o| (w.name.as_str(), o.as_str()))).collect();
    let names = DataFrame::new(
        named.len(),
        vec![
            text_column("workload", named.iter().map(|(workload, _)| *workload).collect()),
            text_column("outcome", named.iter().map(|(_, outcome)| *outcome).collect()),
        ],
    )?;
    let whole = passes.lazy().filter(col("step").eq(lit(WHOLE)).and(col("occurred")));
    let all = whole.select([col("repetition"), col("workload"), col("phase"), col("step"), col("requests").alias("all")]);
    let each = joined(all, names.lazy(), &["workload"], JoinType::Inner);
    let counted = joined(each, by_outcome.lazy(), &STEP_AND_OUTCOME, JoinType::Left);
    let all = when(col("all").eq(lit(0_u64))).then(lit(1_u64)).otherwise(col("all"));
    let share = over(col("requests").fill_null(lit(0_u64)), all) * lit(100.0);
    Ok(as_figures(
        counted.with_columns([col("outcome").alias("metric"), share.alias("value")]),
        &["repetition", "workload", "phase"],
    ))
}

/// What commands reported and what was collected: the mean over executions.
fn brought(measured: &Measured<'_>) -> PolarsResult<LazyFrame> {
    let keys = ["repetition", "workload", "phase", "metric"].map(col);
    let values = measured.brought.clone().lazy().group_by_stable(keys).agg([col("value").fill_null(lit(f64::NAN))]);
    let means = over_lists(values.collect()?, "value", |values| Some(values.iter().sum::<f64>() / values.len() as f64))?;
    Ok(as_figures(means.lazy(), &["repetition", "workload", "phase"]))
}

/// Replaces a column of lists by a column with one number per list. Floating-point numbers are added here, in order: polars
/// does not guarantee the order of a sum.
fn over_lists(mut frame: DataFrame, name: &str, of: fn(&[f64]) -> Option<f64>) -> PolarsResult<DataFrame> {
    let lists = frame.column(name)?.list()?;
    let one = |at: usize| -> PolarsResult<Option<f64>> {
        let Some(list) = lists.get_as_series(at) else { return Ok(None) };
        Ok(of(&list.f64()?.iter().flatten().collect::<Vec<f64>>()))
    };
    let values = (0..lists.len()).map(one).collect::<PolarsResult<Vec<Option<f64>>>>()?;
    frame.with_column(column(name, values))?;
    Ok(frame)
}

/// The highest rate that held in a search, where one did.
fn limits(measured: &Measured<'_>) -> PolarsResult<LazyFrame> {
    let trials = || measured.repetitions.iter().flat_map(|r| r.status.trials.iter().map(|t| (r.status.repetition, t)));
    let trials: Vec<_> = trials().filter(|(_, trial)| trial.reasons.is_empty()).collect();
    let frame = DataFrame::new(
        trials.len(),
        vec![
            column("repetition", trials.iter().map(|(number, _)| *number).collect::<Vec<u32>>()),
            text_column("workload", trials.iter().map(|(_, trial)| trial.workload.as_str()).collect()),
            column("value", trials.iter().map(|(_, trial)| trial.rate_per_s).collect::<Vec<f64>>()),
        ],
    )?;
    let keys = ["repetition", "workload"];
    let metric = lit(Metric::Limit.name()).alias("metric");
    Ok(as_figures(frame.lazy().group_by_stable(keys.map(col)).agg([col("value").max()]).with_column(metric), &keys))
}

/// What the generator used: the share of a processor that each of its threads used, and requests per second of its processor
/// time.
fn generator(measured: &Measured<'_>) -> PolarsResult<LazyFrame> {
    let known = |r: &&&Repetition| {
        let used = r.status.generator;
        used.cpu_ns > 0 && used.wall_ns > 0 && !measured.without_windows.contains(&r.status.repetition)
    };
    let known: Vec<&Repetition> = measured.repetitions.iter().filter(known).copied().collect();
    let number = |name: &str, of: fn(&Repetition) -> u64| column(name, known.iter().map(|r| of(r)).collect::<Vec<u64>>());
    let used = DataFrame::new(
        known.len(),
        vec![
            column("repetition", known.iter().map(|r| r.status.repetition).collect::<Vec<u32>>()),
            number("cpu_ns", |r| r.status.generator.cpu_ns),
            number("wall_ns", |r| r.status.generator.wall_ns),
            column("cpu_s", known.iter().map(|r| r.status.generator.cpu_ns as f64 / 1e9).collect::<Vec<f64>>()),
        ],
    )?;
    let single = measured.windows.lazy().filter(col("step").neq(lit(WHOLE)));
    let requests = single.group_by_stable([col("repetition")]).agg([col("requests").sum()]);
    let both = joined(used.lazy(), requests, &["repetition"], JoinType::Left);
    let metrics = vec![
        over(col("cpu_ns"), col("wall_ns")).alias(GENERATOR_CPU),
        over(col("requests").fill_null(lit(0_u64)), col("cpu_s")).alias(GENERATOR_RATE),
    ];
    tidy(both, &["repetition"], metrics)
}

/// The time from start to ready, for the slowest replica of each target.
fn start_ups(measured: &Measured<'_>) -> PolarsResult<LazyFrame> {
    let replicas = || measured.repetitions.iter().flat_map(|r| r.status.targets.iter().map(|t| (r.status.repetition, t)));
    let started: Vec<(u32, &str, u64)> =
        replicas().filter_map(|(number, t)| Some((number, t.target.as_str(), t.start_up_ns?))).collect();
    let frame = DataFrame::new(
        started.len(),
        vec![
            column("repetition", started.iter().map(|(number, ..)| *number).collect::<Vec<u32>>()),
            text_column("target", started.iter().map(|(_, target, _)| *target).collect()),
            column("ns", started.iter().map(|(.., ns)| *ns).collect::<Vec<u64>>()),
        ],
    )?;
    let keys = ["repetition", "target"];
    let slowest = frame.lazy().group_by_stable(keys.map(col)).agg([col("ns").max()]);
    tidy(slowest, &keys, vec![col("ns").alias(Metric::StartUp.name())])
}

/// Each target in each phase, and in the whole load, where the phase is null: peaks and use, summed over its replicas, and
/// the number of correct answers.
fn resources(measured: &Measured<'_>) -> PolarsResult<LazyFrame> {
    // The name of the whole load among the phases, until there is a frame without names to join on.
    const LOAD: &str = "";
    let mut rows: Vec<(&Replica, &str, (i64, i64))> = Vec::new();
    for replica in &measured.replicas {
        let phases = measured.phases.get(&replica.repetition).map_or(&[] as &[_], Vec::as_slice);
        let Some(load) = load_bounds(phases) else { continue };
        rows.push((replica, LOAD, load));
        rows.extend(phase_bounds(phases).into_iter().map(|(phase, bounds)| (replica, phase, bounds)));
    }
    type Peak = fn(&Samples) -> &[Option<u64>];
    let peak = |name: &str, of: Peak| {
        let peak = |(replica, phase, bounds): &(&Replica, &str, (i64, i64))| {
            // A command that ended before has no values any more; a short phase without a sample takes the values of the phase
            // before it.
            let there = *phase == LOAD || replica.samples.at_ns.last().is_some_and(|last| *last >= bounds.0);
            replica.samples.peak(of(&replica.samples), *bounds).filter(|_| there)
        };
        column(name, rows.iter().map(peak).collect::<Vec<Option<u64>>>())
    };
    type Counter = fn(&Samples) -> &[u64];
    let used = |name: &str, of: Counter| {
        // What it used is known from its counters, whether it was still running or not.
        let used = |(replica, _, bounds): &(&Replica, &str, (i64, i64))| replica.samples.used(of(&replica.samples), *bounds);
        column(name, rows.iter().map(used).collect::<Vec<Option<f64>>>())
    };
    let replicas = DataFrame::new(
        rows.len(),
        vec![
            column("repetition", rows.iter().map(|(replica, ..)| replica.repetition).collect::<Vec<u32>>()),
            text_column("target", rows.iter().map(|(replica, ..)| replica.target.as_str()).collect()),
            text_column("phase", rows.iter().map(|(_, phase, _)| *phase).collect()),
            column("took_ns", rows.iter().map(|(.., (from, to))| to - from).collect::<Vec<i64>>()),
            peak("pss_bytes", |s| &s.pss_bytes),
            peak("rss_bytes", |s| &s.rss_bytes),
            peak("threads", |s| &s.threads),
            peak("open_files", |s| &s.open_files),
            used("cpu_ns", |s| &s.cpu_ns),
            used("switches", |s| &s.switches),
            used("io_bytes", |s| &s.io_bytes),
        ],
    )?;
    let sum = |name: &&str| when(col(*name).count().gt(lit(0))).then(col(*name).sum()).otherwise(lit(NULL)).alias(*name);
    let (peaks, counters) = (["pss_bytes", "rss_bytes", "threads", "open_files"], ["cpu_ns", "switches", "io_bytes"]);
    let each = peaks.iter().map(sum).chain(counters.map(col)).chain([col("took_ns").first()]).collect::<Vec<Expr>>();
    let mut targets = replicas.lazy().group_by_stable(["repetition", "target", "phase"].map(col)).agg(each).collect()?;
    for counter in counters {
        targets = over_lists(targets, counter, |used| (!used.is_empty()).then(|| used.iter().sum()))?;
    }
    let targets = targets.lazy();
    // Correct answers to passes that go to targets, each counted once: those of a follower are its leader's.
    let follows = |w: &&WorkloadRecord| w.follows.is_some();
    let followers = measured.cell.workloads.iter().filter(follows);
    let follows = followers.fold(lit(false), |any, w| any.or(col("workload").eq(lit(w.name.as_str()))));
    let right = measured.windows.lazy().filter(col("step").eq(lit(WHOLE)).and(col("ok")).and(follows.not()));
    let in_load = [Phase::WarmUp, Phase::Drain].map(|phase| col("completed_in").neq(lit(phase.name())));
    let [behind_warm_up, before_drain] = in_load;
    let answers = |rows: LazyFrame, phase: Expr| {
        rows.group_by_stable([col("repetition"), phase.alias("phase")]).agg([col("requests").sum().alias("answers")])
    };
    let whole = answers(right.clone().filter(behind_warm_up.and(before_drain)), lit(LOAD));
    let answers = concat([answers(right, col("completed_in")), whole], UnionArgs::default())?;
    let phase = when(col("phase").eq(lit(LOAD))).then(lit(NULL)).otherwise(col("phase")).alias("phase");
    Ok(joined(targets, answers, &["repetition", "phase"], JoinType::Left).with_column(phase))
}

/// The metrics of a target.
fn resource_metrics() -> Vec<Expr> {
    let for_each = |of: &str| over(col(of), when(col("answers").gt(lit(0_u64))).then(col("answers")).otherwise(lit(NULL)));
    let named = |metric: Metric, of: Expr| of.alias(metric.name());
    vec![
        named(Metric::Pss, col("pss_bytes")),
        named(Metric::Rss, col("rss_bytes")),
        named(Metric::Threads, col("threads")),
        named(Metric::OpenFiles, col("open_files")),
        named(Metric::Cpu, over(col("cpu_ns"), col("took_ns"))),
        named(Metric::CpuPerRequest, for_each("cpu_ns")),
        named(Metric::SwitchesPerRequest, for_each("switches")),
        named(Metric::IoPerRequest, for_each("io_bytes")),
    ]
}
