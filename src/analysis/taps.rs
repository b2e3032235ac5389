//! The figures of taps: computed from the rows of each phase, and of each window where they are drawn over time.
//!
//! The rows of one repetition are in memory at a time, on each core. A row's value for a metric – the time since the
//! previous row, or since the request with its key was sent – is an expression over the frame of its tap; the values of a
//! phase are then reduced on plain slices.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::Error;
use super::cores::on_all_cores;
use super::frames::Tapped;
use super::scraped::Scraped;
use super::stages::{self, Stage};
use super::stats;
use super::windows::phase_bounds;
use record::read::{CellRecord, TapRecord};
use record::status::PhaseStatus;
use record::tables::column;
use record::{Moment, Repetition, TapFigure, TapMetric};
use vocabulary::Quantile;

/// The metric of each tap that is joined: rows for which no request has their key.
pub const UNJOINED: &str = "unjoined";

/// The column with the position of a row. No field can have this name: names of groups contain no blank.
const ORDER: &str = "place of row";
/// The column that says whether a request with the key of a row exists.
const PARTNER: &str = "has partner";

/// A value of a metric of a tap in a phase.
pub(super) struct PhaseValue {
    tap: String,
    phase: &'static str,
    metric: String,
    value: f64,
}

/// The figures of all taps of some repetitions, and which of these repetitions are damaged.
pub(super) struct TapFigures {
    /// `repetition`, `workload` (the tap), `phase`, `metric`, `value`.
    pub frame: DataFrame,
    /// For each repetition that has them.
    pub stages: BTreeMap<u32, Vec<Stage>>,
    /// By the number of the repetition.
    pub damaged: Vec<(u32, Error)>,
}

impl TapFigures {
    /// Reads the taps of repetitions. `phases`: those of each repetition, by its number, with the warm-up extended to where
    /// it was found to end.
    ///
    /// # Errors
    /// When polars cannot combine what was found, which is a bug in this program.
    pub(super) fn read(
        cell: &CellRecord,
        repetitions: &[&Repetition],
        phases: &BTreeMap<u32, Vec<PhaseStatus>>,
    ) -> PolarsResult<Self> {
        let none = Vec::new();
        let one = |repetition: &&Repetition| {
            let phases = phases.get(&repetition.status.repetition).unwrap_or(&none);
            let tapped = Tapped::new(repetition);
            let taps = cell.taps.iter().filter(|tap| tapped.has(tap));
            let values: Vec<Result<Vec<PhaseValue>, Error>> = taps.map(|tap| of_tap(cell, tap, &tapped, phases)).collect();
            // Damaged tables have just been named.
            (values, stages::of_repetition(cell, &tapped, phases).unwrap_or_default())
        };
        let found = if cell.taps.is_empty() { Vec::new() } else { on_all_cores(repetitions, one) };
        let mut stages = BTreeMap::new();
        let (mut rows, mut damaged) = (Vec::new(), Vec::new());
        for (repetition, (taps, found)) in repetitions.iter().zip(found) {
            let number = repetition.status.repetition;
            stages.insert(number, found);
            for tap in taps {
                match tap {
                    Ok(values) => rows.extend(values.into_iter().map(|value| (number, value))),
                    Err(error) => damaged.push((number, error)),
                }
            }
        }
        let text = |name: &str, of: fn(&PhaseValue) -> &str| column(name, rows.iter().map(|(_, v)| of(v)).collect::<Vec<&str>>());
        let columns = vec![
            column("repetition", rows.iter().map(|(number, _)| *number).collect::<Vec<u32>>()),
            text("workload", |v| &v.tap),
            text("phase", |v| v.phase),
            text("metric", |v| &v.metric),
            column("value", rows.iter().map(|(_, v)| v.value).collect::<Vec<f64>>()),
        ];
        Ok(Self { frame: DataFrame::new(rows.len(), columns)?, stages, damaged })
    }
}

/// The values of one tap in one repetition, in each of its phases.
fn of_tap(cell: &CellRecord, tap: &TapRecord, tapped: &Tapped<'_>, phases: &[PhaseStatus]) -> Result<Vec<PhaseValue>, Error> {
    let bounds = bounds(tap, phases);
    let rows = TapRows::read(cell, tap, tapped, &tap.metrics)?;
    let failed = |source| Error::Table { path: tapped.path(tap), source };
    // Where two phases meet, and where those of workloads overlap, the row belongs to the later one.
    let phase_of = |at_ns: i64| bounds.iter().rposition(|(_, (start, end))| (*start..=*end).contains(&at_ns)).map(|at| at as i64);
    let mut found = Vec::new();
    for metric in &tap.metrics {
        if let TapFigure::Series { selector, of } = &metric.figure {
            let series = Scraped::new(&rows.frame, selector, of).map_err(failed)?;
            let values = bounds.iter().filter_map(|(phase, (start, end))| Some((*phase, series.value(*start, *end)?)));
            let value = |(phase, value)| {
                let value = value / metric.per * metric.times;
                PhaseValue { tap: tap.name.clone(), phase, metric: metric.name.clone(), value }
            };
            found.extend(values.map(value));
            continue;
        }
        let mut by_phase = by_part(rows.values(&metric.figure).map_err(failed)?, phase_of);
        for (at, (phase, (start, end))) in bounds.iter().enumerate() {
            let values = by_phase.remove(&(at as i64)).unwrap_or_default();
            if let Some(value) = figure(metric, values, (end - start) as f64 / 1e9) {
                found.push(PhaseValue { tap: tap.name.clone(), phase, metric: metric.name.clone(), value });
            }
        }
    }
    if tap.join.is_some() {
        let unjoined = by_part(rows.unjoined().map_err(failed)?, phase_of);
        for (at, (phase, _)) in bounds.iter().enumerate() {
            let value = unjoined.get(&(at as i64)).map_or(0, Vec::len) as f64;
            found.push(PhaseValue { tap: tap.name.clone(), phase, metric: UNJOINED.to_owned(), value });
        }
    }
    Ok(found)
}

/// The phases to which the rows of a tap belong: those of the workload that it is joined with, else all of them.
fn bounds(tap: &TapRecord, phases: &[PhaseStatus]) -> Vec<(&'static str, (i64, i64))> {
    let mine = |p: &&PhaseStatus| p.phase != "drain" && tap.join.as_ref().is_none_or(|join| join.workload == p.workload);
    phase_bounds(&phases.iter().filter(mine).cloned().collect::<Vec<_>>())
}

/// The rows of a tap with everything that metrics need.
struct TapRows {
    /// Ascending by `at_ns`. Where they are joined, with a column for each instant that metrics compare with, and
    /// [`PARTNER`].
    frame: DataFrame,
    is_joined: bool,
}

impl TapRows {
    fn read(cell: &CellRecord, tap: &TapRecord, tapped: &Tapped<'_>, metrics: &[TapMetric]) -> Result<Self, Error> {
        let frame = tapped.rows(tap)?;
        let Some(join) = &tap.join else { return Ok(Self { frame, is_joined: false }) };
        let failed = |source| Error::Table { path: tapped.path(tap), source };
        let requests = tapped.requests(&join.workload)?;
        let times = Moment::OF_REQUESTS.iter().map(|(_, moment)| {
            let column = match moment {
                Moment::Intended => "intended_ns",
                Moment::FirstByte => "first_byte_ns",
                Moment::Completed => "completed_ns",
                Moment::Sent | Moment::Tap(_) => "sent_ns",
            };
            col(column).alias(of_moment(moment))
        });
        let columns: Vec<Expr> = [col("join_key"), lit(true).alias(PARTNER)].into_iter().chain(times).collect();
        let requests = requests.lazy().select(columns);
        let mut rows = joined(frame.lazy().with_row_index(ORDER, None), requests);
        let moments = metrics.iter().filter_map(|metric| metric.figure.moment());
        let mut others: Vec<&str> =
            moments.filter_map(|m| if let Moment::Tap(name) = m { Some(name.as_str()) } else { None }).collect();
        others.sort_unstable();
        others.dedup();
        for name in others {
            let Some(other) = cell.taps.iter().find(|t| t.name == *name).filter(|t| tapped.has(t)) else {
                rows = rows.with_column(lit(NULL).cast(DataType::Int64).alias(of_moment(&Moment::Tap(name.to_owned()))));
                continue;
            };
            let first = tapped.rows(other)?.lazy().filter(col("join_key").is_not_null());
            let first = first
                .group_by_stable([col("join_key")])
                .agg([col("at_ns").first().alias(of_moment(&Moment::Tap(name.to_owned())))]);
            rows = joined(rows, first);
        }
        // The order of the rows after a join is not specified.
        let rows = rows.sort([ORDER], SortMultipleOptions::default());
        Ok(Self { frame: rows.collect().map_err(failed)?, is_joined: true })
    }

    /// The value of each row for a figure, with the time when it was read; rows without a value are left out.
    fn values(&self, figure: &TapFigure) -> PolarsResult<Vec<(i64, f64)>> {
        let at = || col("at_ns");
        let value = match figure {
            TapFigure::Between { from, to, by, .. } => return self.between(from, to, by.as_deref()),
            // They belong to stretches of time and not to rows.
            TapFigure::Series { .. } => return Ok(Vec::new()),
            TapFigure::Count | TapFigure::Rate => lit(1.0),
            TapFigure::Sum(field) | TapFigure::Mean(field) | TapFigure::Max(field) => col(field.as_str()),
            TapFigure::Gap { by: None, .. } => at() - at().shift(lit(1)),
            // Rows without this value have no neighbours.
            TapFigure::Gap { by: Some(by), .. } => {
                let gap = (at() - at().shift(lit(1))).over([col(by.as_str())])?;
                when(col(by.as_str()).is_null()).then(lit(NULL)).otherwise(gap)
            }
            TapFigure::Since { moment, .. } => at() - col(of_moment(moment)),
            TapFigure::Until { moment, .. } => col(of_moment(moment)) - at(),
        };
        let frame = self.frame.clone().lazy().select([at(), value.cast(DataType::Float64).alias("value")]).collect()?;
        let (instants, values) = (frame.column("at_ns")?.i64()?, frame.column("value")?.f64()?);
        Ok(instants.iter().zip(values.iter()).filter_map(|(at, value)| Some((at?, value?))).collect())
    }

    /// The times from rows of one kind to the next row of another kind, each with the instant when the later row was read. With `by`,
    /// only rows with the same value are paired, and rows without a value are left out.
    fn between(
        &self,
        from: &BTreeMap<String, String>,
        to: &BTreeMap<String, String>,
        by: Option<&str>,
    ) -> PolarsResult<Vec<(i64, f64)>> {
        let fits = |row: &BTreeMap<String, String>| {
            let one = |(field, value): (&String, &String)| col(field.as_str()).eq(lit(value.as_str())).fill_null(lit(false));
            row.iter().map(one).fold(lit(true), Expr::and)
        };
        let by = by.map_or_else(|| lit(""), |by| col(by).cast(DataType::String));
        let columns = [col("at_ns"), fits(from).alias("begins"), fits(to).alias("ends"), by.alias("of whom")];
        let frame = self.frame.clone().lazy().select(columns).collect()?;
        let (begins, ends) = (frame.column("begins")?.bool()?, frame.column("ends")?.bool()?);
        let (instants, whose) = (frame.column("at_ns")?.i64()?, frame.column("of whom")?.str()?);
        let mut begun: BTreeMap<&str, i64> = BTreeMap::new();
        let mut found = Vec::new();
        for (((at, whose), begins), ends) in instants.iter().zip(whose.iter()).zip(begins.iter()).zip(ends.iter()) {
            let (Some(at), Some(whose)) = (at, whose) else { continue };
            if ends == Some(true)
                && let Some(start) = begun.remove(whose)
            {
                found.push((at, (at - start) as f64));
            }
            if begins == Some(true) {
                begun.insert(whose, at);
            }
        }
        Ok(found)
    }

    /// Rows without a partner, each with the time when it was read.
    fn unjoined(&self) -> PolarsResult<Vec<(i64, f64)>> {
        if !self.is_joined {
            return Ok(Vec::new());
        }
        let alone = self.frame.clone().lazy().filter(col(PARTNER).is_null()).select([col("at_ns")]).collect()?;
        Ok(alone.column("at_ns")?.i64()?.iter().flatten().map(|at| (at, 1.0)).collect())
    }
}

/// Adds to each row the columns of the row with the same key, if there is one.
fn joined(rows: LazyFrame, other: LazyFrame) -> LazyFrame {
    rows.join(other, [col("join_key")], [col("join_key")], JoinArgs::new(JoinType::Left))
}

/// The column with an instant of the row that has the same key.
fn of_moment(moment: &Moment) -> String {
    format!("instant: {moment}")
}

/// Values by the number of the part in which their rows were read, in the order of the rows.
fn by_part(values: Vec<(i64, f64)>, part_of: impl Fn(i64) -> Option<i64>) -> BTreeMap<i64, Vec<f64>> {
    let mut parts: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at_ns, value) in values {
        if let Some(part) = part_of(at_ns) {
            parts.entry(part).or_default().push(value);
        }
    }
    parts
}

/// A metric of the values of one part that took this many seconds; none if it has no value.
fn figure(metric: &TapMetric, mut values: Vec<f64>, seconds: f64) -> Option<f64> {
    let value = match &metric.figure {
        TapFigure::Count => values.len() as f64,
        TapFigure::Rate => (seconds > 0.0).then(|| values.len() as f64 / seconds)?,
        // The sum of no values is not a value.
        TapFigure::Sum(_) => values.iter().sum(),
        TapFigure::Series { .. } => return None,
        _ if values.is_empty() => return None,
        TapFigure::Mean(_) => stats::mean(&values),
        TapFigure::Max(_) => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        TapFigure::Gap { at, .. } | TapFigure::Since { at, .. } | TapFigure::Until { at, .. } | TapFigure::Between { at, .. } => {
            point(&mut values, *at)
        }
    };
    Some(value / metric.per * metric.times)
}

/// A quantile of a distribution; always one of the values, never in between.
fn point(values: &mut [f64], at: Quantile) -> f64 {
    match at.share() {
        Some(share) => {
            values.sort_unstable_by(f64::total_cmp);
            stats::observed_quantile(values, share)
        }
        None if at == Quantile::Mean => stats::mean(values),
        None => {
            let mean = stats::mean(values);
            (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
        }
    }
}

/// A metric of a tap over the windows of one repetition: seconds since the start of the load, and its value in the window.
///
/// # Errors
/// When a table is damaged.
pub(super) fn line(
    cell: &CellRecord,
    tap: &TapRecord,
    repetition: &Repetition,
    metric: &TapMetric,
    window_s: f64,
) -> Result<Vec<(f64, f64)>, Error> {
    let tapped = Tapped::new(repetition);
    if !tapped.has(tap) {
        return Ok(Vec::new());
    }
    let rows = TapRows::read(cell, tap, &tapped, std::slice::from_ref(metric))?;
    let failed = |source| Error::Table { path: tapped.path(tap), source };
    let bounds = bounds(tap, &repetition.status.phases);
    let (Some(begin), Some(end)) = (bounds.iter().map(|(_, (s, _))| *s).min(), bounds.iter().map(|(_, (_, e))| *e).max()) else {
        return Ok(Vec::new());
    };
    let window_ns = ((window_s * 1e9) as i64).max(1);
    let series = match &metric.figure {
        TapFigure::Series { selector, of } => Some(Scraped::new(&rows.frame, selector, of).map_err(failed)?),
        _ => None,
    };
    let in_load = |at_ns: i64| (begin..=end).contains(&at_ns).then(|| at_ns.div_euclid(window_ns));
    let mut by_window = by_part(rows.values(&metric.figure).map_err(failed)?, in_load);
    let mut line = Vec::new();
    for window in begin.div_euclid(window_ns)..=end.div_euclid(window_ns) {
        // The first and the last window are only as long as the load was in them; a very short piece of a window says
        // nothing about a rate.
        let start = (window * window_ns).max(begin);
        let covered_s = (((window + 1) * window_ns).min(end) - start) as f64 / 1e9;
        if covered_s < window_s / 5.0 {
            continue;
        }
        let value = match &series {
            Some(series) => {
                let until = ((window + 1) * window_ns).min(end);
                series.value(start, until).map(|value| value / metric.per * metric.times)
            }
            None => figure(metric, by_window.remove(&window).unwrap_or_default(), covered_s),
        };
        line.extend(value.map(|value| (start as f64 / 1e9 + covered_s / 2.0, value)));
    }
    Ok(line)
}
