//! The tables of one repetition, read with polars: each once, and only the columns that are needed.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use polars::prelude::*;

use super::Error;
use super::windows::{Completed, Decoded};
use record::{Repetition, tables};
use vocabulary::rows::MAX_TIME_NS;
use vocabulary::{Metric, Time};

/// A histogram that takes in those of any number of windows.
pub fn wide_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order")
}

/// What one step did, added up while it runs. From tables it is made by [`Decoded::merge`].
#[derive(Clone, Debug)]
pub struct StepRows {
    /// Requests by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// What ended in the phase.
    pub completed: Completed,
    /// Service times of right answers, and of what was never answered.
    pub service: Histogram<u64>,
    /// Response times, likewise.
    pub response: Histogram<u64>,
    /// Their schedule lag.
    pub lag: Histogram<u64>,
    /// Connecting, of those that had to.
    pub connect: Histogram<u64>,
    /// From sending to the first byte, of those that had one.
    pub first_byte: Histogram<u64>,
}

impl StepRows {
    /// Rows of a step that had no requests.
    pub fn empty() -> Self {
        Self {
            outcomes: BTreeMap::new(),
            completed: Completed::default(),
            service: wide_histogram(),
            response: wide_histogram(),
            lag: wide_histogram(),
            connect: wide_histogram(),
            first_byte: wide_histogram(),
        }
    }
}

/// Reads `metrics.parquet` of a repetition: by workload, phase and metric the mean over executions. Without a command
/// there is no such table.
///
/// # Errors
/// When the table is damaged.
pub fn metrics(repetition: &Repetition) -> Result<BTreeMap<(String, String, String), f64>, Error> {
    let path = repetition.path.join("metrics.parquet");
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let frame = tables::read(&path)?;
    let mean = |frame: &DataFrame| -> PolarsResult<BTreeMap<(String, String, String), f64>> {
        let text = |name: &str| frame.column(name).and_then(|c| c.str());
        let (workloads, phases, names) = (text("workload")?, text("phase")?, text("metric")?);
        let values = frame.column("value")?.f64()?;
        let mut sums: BTreeMap<(String, String, String), (f64, u32)> = BTreeMap::new();
        for row in 0..frame.height() {
            let part = |column: &StringChunked| column.get(row).unwrap_or_default().to_owned();
            let sum = sums.entry((part(workloads), part(phases), part(names))).or_default();
            *sum = (sum.0 + values.get(row).unwrap_or(f64::NAN), sum.1 + 1);
        }
        Ok(sums.into_iter().map(|(key, (sum, n))| (key, sum / f64::from(n))).collect())
    };
    mean(&frame).map_err(|source| Error::Table { path, source })
}

/// Reads `windows.parquet` of a repetition, with all its times.
///
/// # Errors
/// When the table is missing or damaged.
pub fn read(repetition: &Repetition) -> Result<Decoded, Error> {
    read_times(repetition, &Time::ALL.map(|(_, time)| time))
}

/// As [`read`], with the given times only; the others are then taken for empty.
///
/// # Errors
/// When the table is missing or damaged.
pub fn read_times(repetition: &Repetition, times: &[Time]) -> Result<Decoded, Error> {
    let path = repetition.path.join("windows.parquet");
    let frame = tables::read_columns(&path, &Decoded::columns(times))?;
    Decoded::new(&path, repetition, &frame, times).map_err(|source| Error::Table { path, source })
}

/// No replica uses so much of anything, in bytes, nanoseconds or numbers.
const MOST: u64 = 1 << 53;

/// One replica's samples, ascending in time.
#[derive(Clone, Debug, Default)]
pub struct ReplicaRows {
    /// Nanoseconds since the start of the load.
    pub at_ns: Vec<i64>,
    /// Proportional set size; none where it was not read.
    pub pss_bytes: Vec<Option<u64>>,
    /// Resident set size.
    pub rss_bytes: Vec<u64>,
    /// Processor time so far, user and system.
    pub cpu_ns: Vec<u64>,
    /// Threads of the whole process tree.
    pub threads: Vec<u64>,
    /// Open files of the whole process tree.
    pub open_files: Vec<u64>,
    /// Context switches so far.
    pub switches: Vec<u64>,
    /// Bytes read from and written to storage so far.
    pub io_bytes: Vec<u64>,
}

/// Reads `resources.parquet` of a repetition: samples by target and replica.
///
/// `metrics`: what is wanted; columns that none of them needs stay empty.
///
/// # Errors
/// When the table is missing or damaged.
pub fn resources(repetition: &Repetition, metrics: &[Metric]) -> Result<BTreeMap<(String, u32), ReplicaRows>, Error> {
    let path = repetition.path.join("resources.parquet");
    let mut columns = vec!["at_ns", "target", "replica"];
    for metric in metrics {
        columns.extend_from_slice(match metric {
            Metric::Pss => &["pss_bytes"],
            Metric::Rss => &["rss_bytes"],
            Metric::Cpu => &["cpu_user_ns", "cpu_system_ns"],
            Metric::Threads => &["threads"],
            Metric::OpenFiles => &["open_files"],
            Metric::CpuPerRequest => &["cpu_user_ns", "cpu_system_ns"],
            Metric::SwitchesPerRequest => &["voluntary_switches", "involuntary_switches"],
            Metric::IoPerRequest => &["read_bytes", "written_bytes"],
            _ => &[] as &[&str],
        });
    }
    let frame = tables::read_columns(&path, &columns)?;
    split(&frame).map_err(|source| Error::Table { path, source })
}

fn split(frame: &DataFrame) -> PolarsResult<BTreeMap<(String, u32), ReplicaRows>> {
    let (targets, replicas) = (frame.column("target")?.str()?, frame.column("replica")?.u32()?);
    let at_ns: Vec<i64> = frame.column("at_ns")?.i64()?.iter().map(Option::unwrap_or_default).collect();
    // Rows of each replica. There are few, and they take turns: the next row mostly belongs to the one behind the last.
    let mut groups: Vec<((&str, u32), Vec<usize>)> = Vec::new();
    let mut last = 0;
    for (row, key) in targets.iter().zip(replicas.iter()).enumerate() {
        let key = (key.0.unwrap_or_default(), key.1.unwrap_or_default());
        let next = (last + 1) % groups.len().max(1);
        let found = groups.get(next).filter(|g| g.0 == key).map(|_| next).or_else(|| groups.iter().position(|g| g.0 == key));
        last = found.unwrap_or_else(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[last].1.push(row);
    }
    for (_, rows) in &mut groups {
        if !rows.is_sorted_by_key(|row| at_ns[*row]) {
            rows.sort_by_key(|row| at_ns[*row]);
        }
    }
    let numbers = |name: &str| -> PolarsResult<Vec<Option<u64>>> {
        // Not every reader wants every column.
        let Ok(column) = frame.column(name) else { return Ok(Vec::new()) };
        let column = column.u64()?;
        // Beyond this the table is damaged, and below it no sum over replicas overflows.
        match column.max().filter(|found| *found > MOST) {
            Some(found) => {
                Err(PolarsError::ComputeError(format!("the column `{name}` holds {found}, which nothing can have used").into()))
            }
            None => Ok(column.iter().collect()),
        }
    };
    let columns = ["pss_bytes", "rss_bytes", "cpu_user_ns", "cpu_system_ns", "threads", "open_files"].map(numbers);
    let [pss, rss, user, system, threads, open_files] = columns;
    let (pss, rss, user, system, threads, open_files) = (pss?, rss?, user?, system?, threads?, open_files?);
    let of = |column: &[Option<u64>], rows: &[usize]| -> Vec<u64> {
        rows.iter().map_while(|row| column.get(*row)).map(|value| value.unwrap_or_default()).collect()
    };
    let columns = ["voluntary_switches", "involuntary_switches", "read_bytes", "written_bytes"].map(numbers);
    let [voluntary, involuntary, read, written] = columns;
    let (voluntary, involuntary, read, written) = (voluntary?, involuntary?, read?, written?);
    // A command begins anew with each execution: what the one before had used still counts.
    let counted = |one: &[Option<u64>], other: &[Option<u64>], rows: &[usize]| -> Vec<u64> {
        let mut sums: Vec<u64> = of(one, rows).iter().zip(of(other, rows)).map(|(a, b)| a.saturating_add(b)).collect();
        let (mut before, mut last) = (0, 0);
        for used in &mut sums {
            if *used < last {
                before += last;
            }
            last = *used;
            *used += before;
        }
        sums
    };
    let replica = |((target, replica), rows): ((&str, u32), Vec<usize>)| {
        let rows = ReplicaRows {
            at_ns: rows.iter().map(|row| at_ns[*row]).collect(),
            pss_bytes: rows.iter().map_while(|row| pss.get(*row).copied()).collect(),
            rss_bytes: of(&rss, &rows),
            cpu_ns: counted(&user, &system, &rows),
            threads: of(&threads, &rows),
            open_files: of(&open_files, &rows),
            switches: counted(&voluntary, &involuntary, &rows),
            io_bytes: counted(&read, &written, &rows),
        };
        ((target.to_owned(), replica), rows)
    };
    Ok(groups.into_iter().map(replica).collect())
}

impl ReplicaRows {
    /// Processor time at an instant.
    pub fn cpu_at(&self, at_ns: i64) -> f64 {
        self.used_at(&self.cpu_ns, at_ns)
    }

    /// What of a column that only grows was used at an instant, interpolated between the samples around it.
    pub fn used_at(&self, column: &[u64], at_ns: i64) -> f64 {
        let i = self.at_ns.partition_point(|t| *t < at_ns);
        match (i.checked_sub(1), self.at_ns.get(i)) {
            (_, None) => column.last().map_or(0.0, |c| *c as f64),
            (None, Some(_)) => column.first().map_or(0.0, |c| *c as f64),
            (Some(before), Some(after_ns)) => {
                let (t0, t1) = (self.at_ns[before] as f64, *after_ns as f64);
                let (c0, c1) = (column[before] as f64, column[i] as f64);
                if t1 > t0 { c0 + (c1 - c0) * (at_ns as f64 - t0) / (t1 - t0) } else { c1 }
            }
        }
    }

    /// The largest of a column between two instants, or the last one before them when none lies there.
    pub fn peak(&self, column: impl Fn(&Self, usize) -> Option<u64>, from_ns: i64, to_ns: i64) -> Option<u64> {
        let inside = (0..self.at_ns.len()).filter(|i| (from_ns..=to_ns).contains(&self.at_ns[*i]));
        let before = || (0..self.at_ns.len()).rev().filter(|i| self.at_ns[*i] < from_ns).find_map(|i| column(self, i));
        inside.filter_map(|i| column(self, i)).max().or_else(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_between_samples_is_interpolated() {
        let rows = ReplicaRows { at_ns: vec![-100, 0, 100], cpu_ns: vec![0, 50, 100], ..ReplicaRows::default() };
        assert_eq!(rows.cpu_at(-200), 0.0);
        assert_eq!(rows.cpu_at(-50), 25.0);
        assert_eq!(rows.cpu_at(100), 100.0);
        assert_eq!(rows.cpu_at(500), 100.0);
    }

    #[test]
    fn a_peak_falls_back_to_the_last_value_before() {
        let rows = ReplicaRows { at_ns: vec![0, 100], pss_bytes: vec![Some(7), None], ..ReplicaRows::default() };
        assert_eq!(rows.peak(|r, i| r.pss_bytes[i], 50, 150), Some(7));
        assert_eq!(rows.peak(|r, i| r.pss_bytes[i], 0, 50), Some(7));
    }
}
