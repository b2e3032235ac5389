//! What replicas used: the samples of each as series over time, and the part of them that belongs to a stretch of time.
//!
//! Samples are taken at their own instants, and phases start and end between them. The value at an edge is not a row of any
//! table, so it is computed here, from the samples of one replica at a time.

use polars::prelude::*;

use super::frames::resource_columns;
use super::windows::texts;
use vocabulary::Metric;

/// The samples of one replica in one repetition.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Number of the repetition.
    pub repetition: u32,
    /// Name of the target.
    pub target: String,
    /// What was sampled.
    pub samples: Samples,
}

/// Samples, ascending in time. Columns that are not needed are empty.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Nanoseconds since the start of the load.
    pub at_ns: Vec<i64>,
    /// Proportional set size; none if it was not read.
    pub pss_bytes: Vec<Option<u64>>,
    /// Resident set size.
    pub rss_bytes: Vec<Option<u64>>,
    /// Threads of the whole process tree.
    pub threads: Vec<Option<u64>>,
    /// Open files of the whole process tree.
    pub open_files: Vec<Option<u64>>,
    /// Processor time so far, user and system.
    pub cpu_ns: Vec<u64>,
    /// Context switches so far.
    pub switches: Vec<u64>,
    /// Bytes read from and written to storage so far.
    pub io_bytes: Vec<u64>,
}

/// The replicas in a frame of `frames::resources`, by repetition, target and number.
///
/// # Errors
/// When a column has another type.
pub fn replicas(samples: DataFrame) -> PolarsResult<Vec<Replica>> {
    let found = in_order(samples.clone())?;
    if found.iter().all(|replica| replica.samples.at_ns.is_sorted()) {
        return Ok(found);
    }
    in_order(samples.sort(["at_ns"], SortMultipleOptions::default().with_maintain_order(true))?)
}

/// The same, with samples in the order of the rows.
fn in_order(mut samples: DataFrame) -> PolarsResult<Vec<Replica>> {
    let known = numbered(&mut samples)?;
    let groups = samples.lazy().group_by_stable([col("number")]).agg([all().exclude_cols(["number"]).as_expr()]).collect()?;
    let numbers = groups.column("number")?.u32()?;
    let list = |name: &str, at: usize| -> PolarsResult<Option<Series>> {
        // Not every caller needs every column.
        let Ok(column) = groups.column(name) else { return Ok(None) };
        Ok(column.list()?.get_as_series(at))
    };
    let one = |at: usize| -> PolarsResult<(u32, Replica)> {
        let instants =
            list("at_ns", at)?.map(|s| Ok::<_, PolarsError>(s.i64()?.into_no_null_iter().collect::<Vec<i64>>())).transpose()?;
        let at_ns = instants.unwrap_or_default();
        let values = |name: &str| -> PolarsResult<Vec<Option<u64>>> {
            list(name, at)?.map_or_else(|| Ok(Vec::new()), |s| Ok(s.u64()?.iter().collect()))
        };
        let used = |metric: Metric| -> PolarsResult<Vec<u64>> {
            let [one, other] = resource_columns(&metric) else { return Ok(Vec::new()) };
            Ok(running(&values(one)?, &values(other)?))
        };
        let samples = Samples {
            pss_bytes: values("pss_bytes")?,
            rss_bytes: values("rss_bytes")?,
            threads: values("threads")?,
            open_files: values("open_files")?,
            cpu_ns: used(Metric::Cpu)?,
            switches: used(Metric::SwitchesPerRequest)?,
            io_bytes: used(Metric::IoPerRequest)?,
            at_ns,
        };
        let (repetition, target, replica) = &known[numbers.get(at).unwrap_or_default() as usize];
        Ok((*replica, Replica { repetition: *repetition, target: target.clone(), samples }))
    };
    let mut found = (0..groups.height()).map(one).collect::<PolarsResult<Vec<(u32, Replica)>>>()?;
    found.sort_by(|(n, a), (m, b)| (a.repetition, &a.target, n).cmp(&(b.repetition, &b.target, m)));
    Ok(found.into_iter().map(|(_, replica)| replica).collect())
}

/// Gives each replica a number, in place of the columns that identify it: repetition, target and replica. They are few, and
/// take turns: the next row usually belongs to the replica after that of the last row.
fn numbered(samples: &mut DataFrame) -> PolarsResult<Vec<(u32, String, u32)>> {
    let mut known: Vec<(u32, String, u32)> = Vec::new();
    let mut numbers: Vec<u32> = Vec::with_capacity(samples.height());
    let (repetitions, replicas, [targets]) =
        (samples.column("repetition")?.u32()?, samples.column("replica")?.u32()?, texts(samples, ["target"])?);
    // The first replica of the repetition of the last row.
    let (mut first, mut last) = (0, 0);
    for ((repetition, replica), target) in repetitions.iter().zip(replicas.iter()).zip(targets.iter()) {
        let (repetition, replica) = (repetition.unwrap_or_default(), replica.unwrap_or_default());
        let target = target.unwrap_or_default();
        if known.last().is_some_and(|(number, ..)| *number != repetition) {
            (first, last) = (known.len(), known.len());
        }
        let is = |at: usize| known.get(at).is_some_and(|k| k.0 == repetition && k.2 == replica && k.1 == target);
        let next = [last + 1, first].into_iter().find(|at| is(*at));
        last = next.or_else(|| (0..known.len()).find(|at| is(*at))).unwrap_or_else(|| {
            known.push((repetition, target.to_owned(), replica));
            known.len() - 1
        });
        numbers.push(last as u32);
    }
    *samples = samples.drop_many(["repetition", "target", "replica"]);
    samples.with_column(Series::new("number".into(), numbers).into_column())?;
    Ok(known)
}

/// The sum of two counters. A command restarts its counters with each execution: what earlier executions used still counts.
fn running(one: &[Option<u64>], other: &[Option<u64>]) -> Vec<u64> {
    let both = one.iter().zip(other).map(|(a, b)| a.unwrap_or_default().saturating_add(b.unwrap_or_default()));
    let (mut before, mut last) = (0, 0);
    let run = |used: u64| {
        if used < last {
            before += last;
        }
        last = used;
        used + before
    };
    both.map(run).collect()
}

impl Samples {
    /// How much of a counter was used up to an instant, interpolated between the samples around it.
    pub fn used_at(&self, counter: &[u64], at_ns: i64) -> f64 {
        let i = self.at_ns.partition_point(|t| *t < at_ns);
        match (i.checked_sub(1), self.at_ns.get(i)) {
            (_, None) => counter.last().map_or(0.0, |c| *c as f64),
            (None, Some(_)) => counter.first().map_or(0.0, |c| *c as f64),
            (Some(before), Some(after_ns)) => {
                let (t0, t1) = (self.at_ns[before] as f64, *after_ns as f64);
                let (c0, c1) = (counter[before] as f64, counter[i] as f64);
                if t1 > t0 { c0 + (c1 - c0) * (at_ns as f64 - t0) / (t1 - t0) } else { c1 }
            }
        }
    }

    /// How much of a counter was used between two instants; none if it was not watched.
    pub fn used(&self, counter: &[u64], (from_ns, to_ns): (i64, i64)) -> Option<f64> {
        (!counter.is_empty()).then(|| self.used_at(counter, to_ns) - self.used_at(counter, from_ns))
    }

    /// The largest value of a column between two instants, or the last one before them when there is none in between.
    pub fn peak(&self, column: &[Option<u64>], (from_ns, to_ns): (i64, i64)) -> Option<u64> {
        let first = self.at_ns.partition_point(|t| *t < from_ns).min(column.len());
        let end = self.at_ns.partition_point(|t| *t <= to_ns).min(column.len());
        let inside = column[first..end.max(first)].iter().flatten().max();
        inside.or_else(|| column[..first].iter().rev().flatten().next()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_between_samples_is_interpolated() {
        let rows = Samples { at_ns: vec![-100, 0, 100], cpu_ns: vec![0, 50, 100], ..Samples::default() };
        assert_eq!([-200, -50, 100, 500].map(|at| rows.used_at(&rows.cpu_ns, at)), [0.0, 25.0, 100.0, 100.0]);
    }

    #[test]
    fn a_peak_falls_back_to_the_last_value_before() {
        let rows = Samples { at_ns: vec![0, 100], pss_bytes: vec![Some(7), None], ..Samples::default() };
        assert_eq!([(50, 150), (0, 50)].map(|bounds| rows.peak(&rows.pss_bytes, bounds)), [Some(7); 2]);
    }

    #[test]
    fn a_counter_that_begins_anew_goes_on() {
        assert_eq!(running(&[Some(1), Some(5), Some(2)], &[Some(1), Some(1), None]), [2, 6, 8]);
    }
}
