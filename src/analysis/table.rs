//! The figures of a run as one table, for programs that read tables: a row for each figure, or for each metric over the
//! repetitions.
//!
//! Each row has the levels of its cell in columns named after the factors. Nothing is computed here except intervals.

use polars::prelude::*;

use super::cells::Series as Figure;
use super::cores::on_all_cores;
use super::estimate::{Estimate, estimate};
use super::figures::{
    GENERATOR_CPU, GENERATOR_RATE, OF_OUTCOME, OFFERED_PASSES, RECEIVED_BYTES, REQUESTS, SENT_BYTES, UNSENT_PASSES,
};
use super::summary::{CellSummary, Summary};
use record::tables::column;
use vocabulary::{Metric, Unit};

/// Columns that do not belong to a factor.
const OWN: [&str; 23] = [
    "cell",
    "repetition",
    "workload",
    "target",
    "phase",
    "step",
    "metric",
    "value",
    "unit",
    "valid",
    "why_not",
    "n",
    "mean",
    "mean_low",
    "mean_high",
    "median",
    "median_low",
    "median_high",
    "standard_deviation",
    "min",
    "max",
    "run",
    "experiment",
];

/// A table of figures. It is made a few cells at a time, whenever it is needed: for a large run it would take more memory
/// than the whole summary.
pub struct Table<'s> {
    summary: &'s Summary,
    of_cell: fn(&Summary, &CellSummary) -> PolarsResult<DataFrame>,
}

/// How many cells' rows are in memory at a time.
const AT_A_TIME: usize = 8;

/// All figures, including those of repetitions that do not count.
///
/// Columns: `cell`, the level of each factor, `repetition` (u32), `workload`, `target`, `phase`, `step` (text, null if the
/// metric belongs to none), `metric`, `value` (f64, in `unit`), `unit`, `valid` (whether the repetition counts) and `why_not`.
pub fn figures(summary: &Summary) -> Table<'_> {
    Table { summary, of_cell: figures_of }
}

/// Each metric over the repetitions that count: `n`, `mean` and `median` with their 95 % intervals (BCa bootstrap),
/// `standard_deviation`, `min` and `max`; the other columns are those of [`figures`].
pub fn cells(summary: &Summary) -> Table<'_> {
    Table { summary, of_cell: estimates_of }
}

fn figures_of(summary: &Summary, cell: &CellSummary) -> PolarsResult<DataFrame> {
    // By number of the repetition, with those that do not count in their places.
    let rows: Vec<(&Figure, u32, f64)> = cell
        .figures
        .iter()
        .flat_map(|series| {
            let mut all: Vec<(u32, f64)> = series.values.iter().chain(&series.uncounted).copied().collect();
            all.sort_by_key(|(number, _)| *number);
            all.into_iter().map(move |(number, value)| (series, number, value))
        })
        .collect();
    let why_not = |number: u32| cell.figures.excluded.get(&number).map(String::as_str);
    let mut columns = of_levels(summary, cell, rows.len());
    columns.push(column("repetition", rows.iter().map(|(_, number, _)| *number).collect::<Vec<u32>>()));
    columns.extend(of_parts(&rows.iter().map(|(series, ..)| *series).collect::<Vec<_>>()));
    columns.push(column("value", rows.iter().map(|(.., value)| *value).collect::<Vec<f64>>()));
    columns.push(of_units(cell, &rows.iter().map(|(series, ..)| *series).collect::<Vec<_>>()));
    columns.push(column("valid", rows.iter().map(|(_, number, _)| why_not(*number).is_none()).collect::<Vec<bool>>()));
    columns.push(column("why_not", rows.iter().map(|(_, number, _)| why_not(*number)).collect::<Vec<Option<&str>>>()));
    DataFrame::new(rows.len(), columns)
}

fn estimates_of(summary: &Summary, cell: &CellSummary) -> PolarsResult<DataFrame> {
    let estimated = cell.figures.iter().filter_map(|series| {
        let values: Vec<f64> = series.values.iter().map(|(_, value)| *value).collect();
        Some((series, estimate(&values)?))
    });
    let rows: Vec<(&Figure, Estimate)> = estimated.collect();
    let series: Vec<&Figure> = rows.iter().map(|(series, _)| *series).collect();
    let number = |name: &str, of: fn(&Estimate) -> Option<f64>| {
        column(name, rows.iter().map(|(_, estimate)| of(estimate)).collect::<Vec<Option<f64>>>())
    };
    let mut columns = of_levels(summary, cell, rows.len());
    columns.extend(of_parts(&series));
    columns.push(column("n", rows.iter().map(|(_, estimate)| estimate.n as u32).collect::<Vec<u32>>()));
    columns.push(number("mean", |e| Some(e.mean)));
    columns.push(number("mean_low", |e| Some(e.mean_interval?.0)));
    columns.push(number("mean_high", |e| Some(e.mean_interval?.1)));
    columns.push(number("median", |e| Some(e.median)));
    columns.push(number("median_low", |e| Some(e.median_interval?.0)));
    columns.push(number("median_high", |e| Some(e.median_interval?.1)));
    columns.push(number("standard_deviation", |e| e.standard_deviation));
    columns.push(number("min", |e| Some(e.min)));
    columns.push(number("max", |e| Some(e.max)));
    columns.push(of_units(cell, &series));
    DataFrame::new(rows.len(), columns)
}

/// The cell and its levels, which are the same in all rows.
fn of_levels(summary: &Summary, cell: &CellSummary, height: usize) -> Vec<Column> {
    let constant = |name: &str, value: Option<&String>| {
        let scalar = value.map_or_else(|| Scalar::null(DataType::String), |text| Scalar::from(PlSmallStr::from_str(text)));
        Column::new_scalar(name.into(), scalar, height)
    };
    let levels = factor_columns(summary).into_iter().map(|(factor, name)| constant(&name, cell.levels.get(factor)));
    std::iter::once(constant("cell", Some(&cell.cell))).chain(levels).collect()
}

/// The name of each factor's column: that of the factor, unless another column has this name.
fn factor_columns(summary: &Summary) -> Vec<(&str, String)> {
    let factors: Vec<&str> = summary.factors.iter().map(|(name, _)| name.as_str()).collect();
    let mut found: Vec<(&str, String)> = Vec::new();
    for factor in &factors {
        let mut name = (*factor).to_owned();
        while OWN.contains(&name.as_str())
            || (name != *factor && factors.contains(&name.as_str()))
            || found.iter().any(|(_, n)| *n == name)
        {
            name.insert_str(0, "factor_");
        }
        found.push((factor, name));
    }
    found
}

/// What figures belong to, and their names.
fn of_parts(series: &[&Figure]) -> Vec<Column> {
    let text = |name: &str, of: fn(&Figure) -> &str| {
        let values: Vec<Option<&str>> = series.iter().map(|s| Some(of(s)).filter(|text| !text.is_empty())).collect();
        column(name, values)
    };
    vec![
        text("workload", |s| &s.part.workload),
        text("target", |s| &s.part.target),
        text("phase", |s| &s.part.phase),
        text("step", |s| &s.part.step),
        text("metric", |s| &s.metric),
    ]
}

/// The unit of each figure; null for plain numbers.
fn of_units(cell: &CellSummary, series: &[&Figure]) -> Column {
    column("unit", series.iter().map(|series| unit(cell, series)).collect::<Vec<Option<&str>>>())
}

/// The unit of figures of a cell; none for plain numbers.
pub fn unit<'c>(cell: &'c CellSummary, series: &Figure) -> Option<&'c str> {
    let (part, metric) = (&series.part, series.metric.as_str());
    let unit = match metric {
        _ if part.is_brought() => {
            let key = (part.workload.clone(), metric.to_owned());
            cell.figures.units.get(&key).map_or("", String::as_str)
        }
        REQUESTS | OFFERED_PASSES | UNSENT_PASSES => "",
        SENT_BYTES | RECEIVED_BYTES => Unit::Bytes.base(),
        GENERATOR_CPU => Unit::Share.base(),
        GENERATOR_RATE => Unit::Rate.base(),
        _ if metric.starts_with(OF_OUTCOME) => "",
        _ => Metric::by_name(metric).unit().base(),
    };
    Some(unit).filter(|unit| !unit.is_empty())
}

impl Table<'_> {
    /// A frame for each cell, all with the same columns; none if there is no cell.
    pub fn frames(&self) -> impl Iterator<Item = PolarsResult<DataFrame>> {
        let some = |some| on_all_cores(some, |cell| (self.of_cell)(self.summary, cell));
        self.summary.cells.chunks(AT_A_TIME).flat_map(some)
    }

    /// As CSV (RFC 4180), with one line of names; missing values are empty.
    ///
    /// # Errors
    /// None at present: all columns of a cell are made from the same rows, and writing to memory does not fail.
    pub fn csv(&self) -> PolarsResult<Vec<u8>> {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
        let failed = |error: csv::Error| PolarsError::ComputeError(error.to_string().into());
        for (number, frame) in self.frames().enumerate() {
            let frame = frame?;
            if number == 0 {
                writer.write_record(frame.get_column_names().iter().map(|name| name.as_str())).map_err(failed)?;
            }
            let columns = frame.columns().iter().map(texts).collect::<PolarsResult<Vec<_>>>()?;
            for row in 0..frame.height() {
                writer.write_record(columns.iter().map(|column| column[row].as_str())).map_err(failed)?;
            }
        }
        writer.into_inner().map_err(|error| PolarsError::ComputeError(error.to_string().into()))
    }

    /// For people: aligned, with one line of names. Columns without any value are left out.
    ///
    /// # Errors
    /// See [`Table::csv`].
    pub fn text(&self) -> PolarsResult<String> {
        let mut columns: Vec<(String, bool, Vec<String>)> = Vec::new();
        for frame in self.frames() {
            let frame = frame?;
            if columns.is_empty() {
                let empty = |column: &Column| (column.name().to_string(), *column.dtype() != DataType::String, Vec::new());
                columns = frame.columns().iter().map(empty).collect();
            }
            for ((.., values), column) in columns.iter_mut().zip(frame.columns()) {
                values.extend(texts(column)?);
            }
        }
        columns.retain(|(.., values)| values.iter().any(|value| !value.is_empty()));
        // Characters that would break the lines are shown escaped.
        for (_, _, values) in &mut columns {
            values.iter_mut().filter(|v| v.chars().any(char::is_control)).for_each(|v| *v = v.escape_debug().to_string());
        }
        let width = |(name, _, values): &(String, bool, Vec<String>)| {
            values.iter().map(|v| v.chars().count()).chain([name.chars().count()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = columns.iter().map(width).collect();
        let mut lines = String::new();
        let height = columns.first().map_or(0, |(.., values)| values.len());
        for row in std::iter::once(None).chain((0..height).map(Some)) {
            let mut line = String::new();
            for ((name, is_number, values), width) in columns.iter().zip(&widths) {
                let value = row.map_or(name.as_str(), |row| &values[row]);
                let padded = if *is_number { format!("{value:>width$}") } else { format!("{value:<width$}") };
                line += &format!("{}{padded}", if line.is_empty() { "" } else { "  " });
            }
            lines += line.trim_end();
            lines.push('\n');
        }
        Ok(lines)
    }
}

/// The values of a column as text; numbers are written so that they are read back unchanged.
fn texts(column: &Column) -> PolarsResult<Vec<String>> {
    fn all<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Vec<String> {
        values.map(|value| value.map_or_else(String::new, |value| value.to_string())).collect()
    }
    Ok(match column.dtype() {
        DataType::String => all(column.str()?.iter()),
        DataType::UInt32 => all(column.u32()?.iter()),
        DataType::Boolean => all(column.bool()?.iter()),
        _ => all(column.f64()?.iter()),
    })
}
