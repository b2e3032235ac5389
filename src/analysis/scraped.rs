//! Figures of scraped series: rates of counters, values of gauges, points of histograms.
//!
//! A counter that is lower than in the scrape before has started again from 0, so all of its new value is an increase, as Prometheus
//! has it. A series that appears after the first scrape has started from 0, too: Prometheus would miss its first value, since it
//! cannot know that. Between two scrapes a counter is taken to grow evenly, so that a phase has its share of an increase however the
//! scrapes lie.
//!
//! A point of a histogram is that of the observations in the phase, interpolated within a bucket as Prometheus's
//! `histogram_quantile` does.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::*;

use super::stats;
use record::{Combining, SeriesFigure, UP};
use vocabulary::Quantile;

/// The smallest share of a phase between the first and the last scrape for which a rate is that of the phase.
const COVERED: f64 = 0.5;

/// The value of a figure in stretches of time.
pub(super) enum Scraped {
    /// The increase, per second or per increase of the second.
    Rate(Counter, Option<Counter>),
    Increase(Counter),
    /// The value of each scrape, and what becomes of them.
    Gauge(Vec<(i64, f64)>, Reduce),
    Histogram(Buckets, Quantile),
}

/// What becomes of the values of a gauge.
#[derive(Clone, Copy)]
pub(super) enum Reduce {
    Mean,
    Max,
    Min,
    Last,
}

/// The growth of counters since the first scrape, at each scrape, ascending.
#[derive(Default)]
pub(super) struct Counter(Vec<(i64, f64)>);

/// A histogram: its buckets by their upper bounds, ascending, and the sum and the number of what was observed.
#[derive(Default)]
pub(super) struct Buckets {
    bounds: Vec<(f64, Counter)>,
    sum: Counter,
    count: Counter,
}

/// A row: when, which series, its bound, its value.
type Row<'f> = (i64, &'f str, Option<f64>, f64);

impl Scraped {
    /// Prepares a figure of the rows of a page, which ascend by time.
    ///
    /// # Errors
    /// When the table lacks a column.
    pub fn new(frame: &DataFrame, selector: &str, of: &SeriesFigure) -> PolarsResult<Self> {
        let (instants, selectors) = (frame.column("at_ns")?.i64()?, frame.column("selector")?.str()?);
        let (series, values) = (frame.column("series")?.str()?, frame.column("value")?.f64()?);
        let bounds = frame.column("le")?.f64()?;
        let rows = || {
            let whole = instants.iter().zip(selectors.iter()).zip(series.iter()).zip(bounds.iter()).zip(values.iter());
            whole.filter_map(|((((at, selector), series), le), value)| Some((selector?, (at?, series?, le, value?))))
        };
        let up = |(selector, (at, series, _, value)): (&str, Row<'_>)| {
            (selector.is_empty() && series == UP && value == 1.0).then_some(at)
        };
        let scrapes: Vec<i64> = rows().filter_map(up).collect();
        let of_selector = |wanted: &str| -> Vec<Row<'_>> {
            rows().filter(|(found, (.., value))| *found == wanted && value.is_finite()).map(|(_, row)| row).collect()
        };
        let counter = |wanted: &str| Counter::new(&scrapes, of_selector(wanted).into_iter());
        let gauge = |over: &Combining| combined(&of_selector(selector), *over);
        Ok(match of {
            SeriesFigure::Rate { per } => Self::Rate(counter(selector), per.as_deref().map(counter)),
            SeriesFigure::Increase => Self::Increase(counter(selector)),
            SeriesFigure::Mean(over) => Self::Gauge(gauge(over), Reduce::Mean),
            SeriesFigure::Max(over) => Self::Gauge(gauge(over), Reduce::Max),
            SeriesFigure::Min(over) => Self::Gauge(gauge(over), Reduce::Min),
            SeriesFigure::Last(over) => Self::Gauge(gauge(over), Reduce::Last),
            SeriesFigure::Histogram(at) => Self::Histogram(Buckets::new(&scrapes, &of_selector(selector)), *at),
        })
    }

    /// Its value from `begin` to `end`; none if there is none.
    pub fn value(&self, begin: i64, end: i64) -> Option<f64> {
        match self {
            Self::Rate(counter, None) => {
                let (increase, covered_ns) = counter.increase(begin, end)?;
                Some(increase / (covered_ns as f64 / 1e9))
            }
            Self::Rate(counter, Some(per)) => {
                let (divisor, _) = per.increase(begin, end)?;
                (divisor > 0.0).then_some(counter.increase(begin, end)?.0 / divisor)
            }
            Self::Increase(counter) => Some(counter.increase(begin, end)?.0),
            Self::Gauge(values, reduce) => {
                let inside = || values.iter().filter(|(at, _)| (begin..=end).contains(at)).map(|(_, value)| *value);
                let some: Vec<f64> = inside().collect();
                let last = *some.last()?;
                Some(match reduce {
                    Reduce::Mean => stats::mean(&some),
                    Reduce::Max => inside().fold(f64::NEG_INFINITY, f64::max),
                    Reduce::Min => inside().fold(f64::INFINITY, f64::min),
                    Reduce::Last => last,
                })
            }
            Self::Histogram(buckets, Quantile::Mean) => {
                let (count, _) = buckets.count.increase(begin, end)?;
                (count > 0.0).then_some(buckets.sum.increase(begin, end)?.0 / count)
            }
            Self::Histogram(buckets, at) => buckets.point(begin, end, at.share()?),
        }
    }
}

/// The values of each scrape as one.
fn combined(rows: &[Row<'_>], over: Combining) -> Vec<(i64, f64)> {
    let mut by_scrape: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    for (at, _, _, value) in rows {
        by_scrape.entry(*at).or_default().push(*value);
    }
    let one = |(at, values): (i64, Vec<f64>)| {
        let all = || values.iter().copied();
        let value = match over {
            Combining::Sum => all().sum(),
            Combining::Mean => stats::mean(&values),
            Combining::Max => all().fold(f64::NEG_INFINITY, f64::max),
            Combining::Min => all().fold(f64::INFINITY, f64::min),
        };
        (at, value)
    };
    by_scrape.into_iter().map(one).collect()
}

impl Counter {
    /// `scrapes`: when a page came, whether it had these series or not.
    fn new<'f>(scrapes: &[i64], rows: impl Iterator<Item = Row<'f>>) -> Self {
        let mut rows = rows.peekable();
        let mut last: HashMap<&str, f64> = HashMap::new();
        // Without any series there is nothing that could have grown.
        if rows.peek().is_none() {
            return Self::default();
        }
        let (mut grown, mut total) = (Vec::with_capacity(scrapes.len()), 0.0);
        for (nth, at) in scrapes.iter().enumerate() {
            while let Some((_, series, _, value)) = rows.next_if(|(when, ..)| when <= at) {
                total += match last.insert(series, value) {
                    Some(before) if value >= before => value - before,
                    // It started again, or appeared after the first scrape.
                    Some(_) => value,
                    None if nth > 0 => value,
                    None => 0.0,
                };
            }
            grown.push((*at, total));
        }
        Self(grown)
    }

    /// The growth until an instant between the first and the last scrape.
    fn at(&self, at: i64) -> f64 {
        let after = self.0.partition_point(|(when, _)| *when < at);
        match (after.checked_sub(1).map(|before| self.0[before]), self.0.get(after)) {
            (Some((t0, v0)), Some((t1, v1))) => v0 + (v1 - v0) * ((at - t0) as f64 / (t1 - t0) as f64),
            (None, Some((_, value))) => *value,
            (before, None) => before.map_or(0.0, |(_, value)| value),
        }
    }

    /// The increase from `begin` to `end`, and how long it was observed in between, in nanoseconds; none if the scrapes cover
    /// too little.
    fn increase(&self, begin: i64, end: i64) -> Option<(f64, i64)> {
        let (from, to) = (begin.max(self.0.first()?.0), end.min(self.0.last()?.0));
        let is_covered = to > from && (to - from) as f64 >= COVERED * (end - begin) as f64;
        is_covered.then(|| (self.at(to) - self.at(from), to - from))
    }
}

impl Buckets {
    fn new(scrapes: &[i64], rows: &[Row<'_>]) -> Self {
        let mut bounds: Vec<f64> = rows.iter().filter_map(|(_, _, le, _)| *le).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds.dedup();
        let bucket = |bound: f64| {
            let mine = rows.iter().filter(move |(_, _, le, _)| *le == Some(bound)).copied();
            (bound, Counter::new(scrapes, mine))
        };
        let part = |end: &'static str| {
            let name = |series: &str| series.split('{').next().is_some_and(|name| name.ends_with(end));
            Counter::new(scrapes, rows.iter().filter(move |(_, series, le, _)| le.is_none() && name(series)).copied())
        };
        Self { bounds: bounds.into_iter().map(bucket).collect(), sum: part("_sum"), count: part("_count") }
    }

    /// A quantile of what was observed; none if nothing was, or if no bucket is without an upper bound.
    fn point(&self, begin: i64, end: i64, share: f64) -> Option<f64> {
        let mut counts = Vec::with_capacity(self.bounds.len());
        let mut most = 0.0_f64;
        for (bound, counter) in &self.bounds {
            // Counts of a page that was made while they changed may fall from one bucket to the next.
            most = most.max(counter.increase(begin, end)?.0);
            counts.push((*bound, most));
        }
        let (last, total) = counts.last().copied()?;
        if last != f64::INFINITY || total <= 0.0 || counts.len() < 2 {
            return None;
        }
        let rank = share * total;
        let at = counts.iter().position(|(_, count)| *count >= rank)?;
        let (bound, count) = counts[at];
        if bound == f64::INFINITY {
            // Nothing is known beyond the last bound.
            return Some(counts[counts.len() - 2].0);
        }
        let (low, before) = match at.checked_sub(1) {
            Some(before) => counts[before],
            None if bound <= 0.0 => return Some(bound),
            None => (0.0, 0.0),
        };
        let share = if count > before { (rank - before) / (count - before) } else { 1.0 };
        Some(low + (bound - low) * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn frame(rows: &[(i64, &str, &str, Option<f64>, f64)]) -> DataFrame {
        df!(
            "at_ns" => rows.iter().map(|r| r.0 * S).collect::<Vec<i64>>(),
            "selector" => rows.iter().map(|r| r.1).collect::<Vec<&str>>(),
            "series" => rows.iter().map(|r| r.2).collect::<Vec<&str>>(),
            "le" => rows.iter().map(|r| r.3).collect::<Vec<Option<f64>>>(),
            "value" => rows.iter().map(|r| r.4).collect::<Vec<f64>>(),
        )
        .unwrap()
    }

    fn up(at: i64) -> (i64, &'static str, &'static str, Option<f64>, f64) {
        (at, "", UP, None, 1.0)
    }

    const RATE: SeriesFigure = SeriesFigure::Rate { per: None };

    #[test]
    fn counters_start_again_appear_late_and_vanish() {
        let row = |at, series, value| (at, "n", series, None, value);
        let frame = frame(&[
            up(0),
            row(0, "n{a}", 1000.0),
            up(1),
            row(1, "n{a}", 1010.0),
            // The server was started again: 4 since then. The other series is new: 6.
            up(2),
            row(2, "n{a}", 4.0),
            row(2, "n{b}", 6.0),
            // A page without series, and one that did not come.
            up(3),
            (4, "", UP, None, 0.0),
            up(5),
            row(5, "n{b}", 16.0),
        ]);
        let of = |figure: &SeriesFigure| Scraped::new(&frame, "n", figure).unwrap();
        let increase = of(&SeriesFigure::Increase);
        assert_eq!(increase.value(0, S), Some(10.0));
        assert_eq!(increase.value(S, 2 * S), Some(10.0));
        assert_eq!(increase.value(0, 5 * S), Some(30.0));
        assert_eq!(increase.value(3 * S, 4 * S), Some(5.0), "evenly between two scrapes");
        assert_eq!(of(&RATE).value(0, 5 * S), Some(6.0));
        assert_eq!(of(&RATE).value(S / 2, S), Some(10.0), "a rate of a part of the time between two scrapes");
        assert_eq!(of(&RATE).value(0, 8 * S), Some(6.0), "a rate is that of the time that was observed");
        assert_eq!(of(&RATE).value(0, 20 * S), None, "a quarter is too little");
        assert_eq!(of(&RATE).value(9 * S, 10 * S), None);
        assert_eq!(Scraped::new(&frame, "none", &RATE).unwrap().value(0, 5 * S), None);
    }

    #[test]
    fn a_rate_may_be_per_something() {
        let frame = frame(&[
            up(0),
            (0, "hits", "hits", None, 0.0),
            (0, "all", "all", None, 0.0),
            up(1),
            (1, "hits", "hits", None, 30.0),
            (1, "all", "all", None, 40.0),
        ]);
        let per = SeriesFigure::Rate { per: Some("all".to_owned()) };
        assert_eq!(Scraped::new(&frame, "hits", &per).unwrap().value(0, S), Some(0.75));
        assert_eq!(Scraped::new(&frame, "hits", &SeriesFigure::Rate { per: Some("no".to_owned()) }).unwrap().value(0, S), None);
    }

    #[test]
    fn gauges_are_combined_and_leave_out_what_is_no_number() {
        let row = |at, series, value| (at, "q", series, None, value);
        let frame = frame(&[
            up(0),
            row(0, "q{a}", 1.0),
            row(0, "q{b}", 3.0),
            up(1),
            row(1, "q{a}", f64::NAN),
            row(1, "q{b}", 5.0),
            up(2),
            row(2, "q{a}", f64::INFINITY),
        ]);
        let value = |figure: SeriesFigure| Scraped::new(&frame, "q", &figure).unwrap().value(0, 3 * S);
        assert_eq!(value(SeriesFigure::Mean(Combining::Sum)), Some(4.5));
        assert_eq!(value(SeriesFigure::Max(Combining::Mean)), Some(5.0));
        assert_eq!(value(SeriesFigure::Min(Combining::Max)), Some(3.0));
        assert_eq!(value(SeriesFigure::Last(Combining::Min)), Some(5.0));
        assert_eq!(Scraped::new(&frame, "q", &SeriesFigure::Last(Combining::Sum)).unwrap().value(2 * S, 3 * S), None);
    }

    #[test]
    fn points_of_histograms_are_those_of_the_phase() {
        let bucket = |at, le: f64, value| (at, "h", "h_bucket", Some(le), value);
        let frame = frame(&[
            up(0),
            bucket(0, 0.1, 100.0),
            bucket(0, 0.5, 100.0),
            bucket(0, f64::INFINITY, 100.0),
            (0, "h", "h_sum{p=\"_count\"}", None, 1.0),
            (0, "h", "h_count", None, 100.0),
            up(1),
            bucket(1, 0.1, 110.0),
            bucket(1, 0.5, 118.0),
            bucket(1, f64::INFINITY, 120.0),
            (1, "h", "h_sum{p=\"_count\"}", None, 7.0),
            (1, "h", "h_count", None, 120.0),
        ]);
        let point = |at| Scraped::new(&frame, "h", &SeriesFigure::Histogram(at)).unwrap().value(0, S).unwrap();
        assert_eq!(point(Quantile::P50), 0.1);
        assert_eq!(point(Quantile::P25), 0.05, "from 0 to the first bound");
        assert!((point(Quantile::P75) - 0.35).abs() < 1e-12);
        assert_eq!(point(Quantile::P99), 0.5, "nothing is known beyond the last bound");
        assert!((point(Quantile::Mean) - 0.3).abs() < 1e-12);
        let nothing = Scraped::new(&frame, "g", &SeriesFigure::Histogram(Quantile::P50)).unwrap();
        assert_eq!(nothing.value(0, S), None);
    }
}
