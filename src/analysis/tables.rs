//! Rows of all repetitions, gathered with polars.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use polars::prelude::*;

use super::Error;
use crate::load::windows::MAX_TIME_NS;
use crate::record::{Repetition, tables};

/// A histogram that takes in those of any number of windows.
pub fn wide_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TIME_NS, 3).expect("the bounds are constants and in order")
}

/// What one step of one phase did in one repetition.
#[derive(Clone, Debug)]
pub struct StepRows {
    /// Requests by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub sent_bytes: u64,
    /// Bytes of response bodies.
    pub received_bytes: u64,
    /// Service times of right answers.
    pub service: Histogram<u64>,
    /// Response times of right answers.
    pub response: Histogram<u64>,
    /// Their schedule lag.
    pub lag: Histogram<u64>,
    /// Connecting, of those that had to.
    pub connect: Histogram<u64>,
    /// From sending to the first byte, of those that had one.
    pub first_byte: Histogram<u64>,
}

impl StepRows {
    /// Nothing.
    pub fn empty() -> Self {
        Self {
            outcomes: BTreeMap::new(),
            sent_bytes: 0,
            received_bytes: 0,
            service: wide_histogram(),
            response: wide_histogram(),
            lag: wide_histogram(),
            connect: wide_histogram(),
            first_byte: wide_histogram(),
        }
    }

    /// One of its times.
    pub fn time(&self, time: crate::record::Time) -> &Histogram<u64> {
        use crate::record::Time;
        match time {
            Time::Service => &self.service,
            Time::Response => &self.response,
            Time::Lag => &self.lag,
            Time::Connect => &self.connect,
            Time::FirstByte => &self.first_byte,
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

/// Workload, phase, step.
pub type StepKey = (String, String, String);

/// Reads `windows.parquet` of a repetition and merges its windows.
///
/// # Errors
/// When the table is missing or damaged.
pub fn steps(repetition: &Repetition) -> Result<BTreeMap<StepKey, StepRows>, Error> {
    let path = repetition.path.join("windows.parquet");
    let frame = tables::read(&path)?;
    merge(&frame).map_err(|source| Error::Table { path, source })
}

fn merge(frame: &DataFrame) -> PolarsResult<BTreeMap<StepKey, StepRows>> {
    let mut merged: BTreeMap<StepKey, StepRows> = BTreeMap::new();
    let (workloads, phases, steps) =
        (frame.column("workload")?.str()?, frame.column("phase")?.str()?, frame.column("step")?.str()?);
    let outcomes = frame.column("outcome")?.str()?;
    let counts = frame.column("requests")?.u64()?;
    let (sent, received) = (frame.column("sent_bytes")?.u64()?, frame.column("received_bytes")?.u64()?);
    let (service, response) = (frame.column("service_ns_hdr")?.binary()?, frame.column("response_ns_hdr")?.binary()?);
    // Format 1 had no such columns.
    let later = |name: &str| frame.column(name).and_then(|c| c.binary()).ok();
    let (lag, connect, first_byte) = (later("lag_ns_hdr"), later("connect_ns_hdr"), later("first_byte_ns_hdr"));
    let mut decoder = Deserializer::new();
    for row in 0..frame.height() {
        let text = |column: &StringChunked| column.get(row).unwrap_or_default().to_owned();
        let rows = merged.entry((text(workloads), text(phases), text(steps))).or_insert_with(StepRows::empty);
        let outcome = text(outcomes);
        if outcome == "ok" {
            let columns = [
                (Some(service), &mut rows.service),
                (Some(response), &mut rows.response),
                (lag, &mut rows.lag),
                (connect, &mut rows.connect),
                (first_byte, &mut rows.first_byte),
            ];
            for (column, sum) in columns {
                // Empty where no request of the window had such a time.
                let Some(mut bytes) = column.and_then(|c| c.get(row)).filter(|b| !b.is_empty()) else { continue };
                let histogram: Histogram<u64> = decoder
                    .deserialize(&mut bytes)
                    .map_err(|e| PolarsError::ComputeError(format!("a histogram is damaged: {e}").into()))?;
                sum.add(histogram).map_err(|e| PolarsError::ComputeError(format!("a histogram does not fit: {e}").into()))?;
            }
        }
        *rows.outcomes.entry(outcome).or_default() += counts.get(row).unwrap_or_default();
        rows.sent_bytes += sent.get(row).unwrap_or_default();
        rows.received_bytes += received.get(row).unwrap_or_default();
    }
    Ok(merged)
}

/// One replica's samples, ascending in time.
#[derive(Clone, Debug, Default)]
pub struct ReplicaRows {
    /// Nanoseconds since the begin of the load.
    pub at_ns: Vec<i64>,
    /// Proportional set size; none where it was not read.
    pub pss_bytes: Vec<Option<u64>>,
    /// Resident set size.
    pub rss_bytes: Vec<u64>,
    /// Processor time so far, user and system.
    pub cpu_ns: Vec<u64>,
    /// Threads.
    pub threads: Vec<u64>,
    /// Open files.
    pub open_files: Vec<u64>,
}

/// Reads `resources.parquet` of a repetition: samples by target and replica.
///
/// # Errors
/// When the table is missing or damaged.
pub fn resources(repetition: &Repetition) -> Result<BTreeMap<(String, u32), ReplicaRows>, Error> {
    let path = repetition.path.join("resources.parquet");
    let frame = tables::read(&path)?;
    split(&frame).map_err(|source| Error::Table { path, source })
}

fn split(frame: &DataFrame) -> PolarsResult<BTreeMap<(String, u32), ReplicaRows>> {
    let mut found = BTreeMap::new();
    if frame.height() == 0 {
        return Ok(found);
    }
    for part in frame.partition_by_stable(["target", "replica"], true)? {
        let part = part.sort(["at_ns"], SortMultipleOptions::default())?;
        let target = part.column("target")?.str()?.get(0).unwrap_or_default().to_owned();
        let replica = part.column("replica")?.u32()?.get(0).unwrap_or_default();
        let numbers = |name: &str| -> PolarsResult<Vec<u64>> { Ok(part.column(name)?.u64()?.into_no_null_iter().collect()) };
        let (user, system) = (numbers("cpu_user_ns")?, numbers("cpu_system_ns")?);
        // A command begins anew with each execution: what the one before had used still counts.
        let mut cpu_ns: Vec<u64> = user.iter().zip(&system).map(|(u, s)| u + s).collect();
        let (mut before, mut last) = (0, 0);
        for used in &mut cpu_ns {
            if *used < last {
                before += last;
            }
            last = *used;
            *used += before;
        }
        let rows = ReplicaRows {
            at_ns: part.column("at_ns")?.i64()?.into_no_null_iter().collect(),
            pss_bytes: part.column("pss_bytes")?.u64()?.iter().collect(),
            rss_bytes: numbers("rss_bytes")?,
            cpu_ns,
            threads: numbers("threads")?,
            open_files: numbers("open_files")?,
        };
        found.insert((target, replica), rows);
    }
    Ok(found)
}

impl ReplicaRows {
    /// Processor time at an instant, interpolated between the samples around it.
    pub fn cpu_at(&self, at_ns: i64) -> f64 {
        let i = self.at_ns.partition_point(|t| *t < at_ns);
        match (i.checked_sub(1), self.at_ns.get(i)) {
            (_, None) => self.cpu_ns.last().map_or(0.0, |c| *c as f64),
            (None, Some(_)) => self.cpu_ns[0] as f64,
            (Some(before), Some(after_ns)) => {
                let (t0, t1) = (self.at_ns[before] as f64, *after_ns as f64);
                let (c0, c1) = (self.cpu_ns[before] as f64, self.cpu_ns[i] as f64);
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
