//! The search for the highest rate that holds: trials of an open loop, one after the other.
//!
//! The interval between the highest rate that held and the lowest that failed is halved on a logarithmic scale. A rate
//! fails when two trials in a row do, so that a single hiccup does not decide.

use std::time::Duration;

use super::{Error, Job, Report, start};
use plan::{Arrivals, Condition, Find, Length, Pattern, Segment};
use vocabulary::{Metric, Phase, Quantile, Time};

/// One trial of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Passes per second that were offered.
    pub rate: f64,
    /// When it started, nanoseconds since the epoch.
    pub start_ns: u64,
    /// When the last of its passes had ended, in nanoseconds since the epoch of the repetition.
    pub end_ns: u64,
    /// Which conditions did not hold, with the measured values; empty if the rate held.
    pub reasons: Vec<String>,
}

/// What a search has found so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    low: f64,
    high: f64,
    precision: f64,
    held: Option<f64>,
    failed: Option<f64>,
    failures: u32,
    /// The rate of the trial in progress.
    rate: f64,
}

impl Search {
    /// A search that starts at the lowest rate.
    pub fn new(find: &Find) -> Self {
        Self { low: find.low, high: find.high, precision: find.precision, held: None, failed: None, failures: 0, rate: find.low }
    }

    /// The rate to try next; `None` when the limit is known precisely enough.
    pub fn next(&self) -> Option<f64> {
        if self.failures == 1 {
            return Some(self.rate);
        }
        match (self.held, self.failed) {
            (None, None) => Some(self.low),
            // Not even the lowest rate holds.
            (None, Some(_)) => None,
            (Some(held), None) => (held < self.high).then_some(self.high),
            (Some(held), Some(failed)) => (failed / held > 1.0 + self.precision).then(|| (held * failed).sqrt()),
        }
    }

    /// Records the outcome of a trial at the rate that [`Search::next`] gave.
    pub fn record(&mut self, rate: f64, holds: bool) {
        self.rate = rate;
        if holds {
            (self.held, self.failures) = (Some(rate), 0);
        } else if self.failures == 1 {
            (self.failed, self.failures) = (Some(rate), 0);
        } else {
            self.failures = 1;
        }
    }

    /// The highest rate that held; `None` if not even the lowest did.
    pub fn highest_rate(&self) -> Option<f64> {
        self.held
    }
}

/// Which conditions a load did not meet.
pub fn judge(conditions: &[Condition], report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    let phase = report.phases.iter().find(|p| p.phase == Phase::Search);
    let Some(phase) = phase.filter(|p| p.passes > 0) else { return vec!["nothing was answered".to_owned()] };
    for condition in conditions {
        let found = match &condition.metric {
            Metric::Errors => phase.unanswered_share(),
            Metric::Time(time, quantile) => {
                let Some(totals) = report.totals_of(Phase::Search) else { continue };
                let histogram = match time {
                    Time::Service => &totals.service,
                    Time::Lag => &totals.lag,
                    _ => &totals.response,
                };
                if histogram.is_empty() {
                    f64::INFINITY
                } else {
                    match (quantile, quantile.share()) {
                        (Quantile::Mean, _) => histogram.mean(),
                        (Quantile::Max, _) => histogram.max() as f64,
                        (_, Some(share)) => histogram.value_at_quantile(share) as f64,
                        (_, None) => histogram.stdev(),
                    }
                }
            }
            Metric::Named(name) => {
                let share = report.shares.iter().find(|((phase, of), _)| *phase == Phase::Search && **of == **name);
                let Some((_, (part, all))) = share else { continue };
                *part as f64 / (*all).max(1) as f64 * 100.0
            }
            _ => continue,
        };
        if found >= condition.below {
            let found = match condition.metric {
                Metric::Errors => format!("{:.3} %", found * 100.0),
                Metric::Named(_) => format!("{found:.3} %"),
                _ => vocabulary::units::human_duration(found),
            };
            reasons.push(format!("{}: {found}", condition.words));
        }
    }
    // Unsent passes were not answered in time either, whatever the percentiles of the others are; the same holds if
    // nothing is answered for a while.
    if reasons.is_empty() && phase.unsent > 0 {
        reasons.push(format!("{} of {} arrivals were never sent", phase.unsent, phase.offered));
    }
    let silence = report.silence_of(phase);
    if reasons.is_empty() && silence.total_ns > 0 {
        let length = vocabulary::units::human_duration(silence.total_ns as f64);
        reasons.push(format!("nothing was answered for {length} although passes were due"));
    }
    reasons
}

/// A pause between trials, so that one does not suffer from the queues of the previous one.
const PAUSE: Duration = Duration::from_millis(100);

/// Tries rates until the limit is known.
///
/// # Errors
/// When a trial cannot be made.
pub(super) fn run(job: &Job, find: &Find) -> Result<Report, Error> {
    let mut search = Search::new(find);
    let mut sum = Report::empty();
    let mut number = 0;
    while let Some(rate) = search.next().filter(|_| !*job.setting.abort.borrow()) {
        number += 1;
        let mut workload = (*job.workload).clone();
        workload.load.find = None;
        workload.load.segments = vec![Segment { phase: Phase::Search, length: Length::Duration(find.trial), active: true }];
        if let Arrivals::Open { pattern, .. } = &mut workload.load.arrivals {
            *pattern = Pattern::Rate(rate);
        }
        let report = start(&job.trial(workload, number))?.join()?;
        let reasons = judge(&find.conditions, &report);
        search.record(rate, reasons.is_empty());
        let (start_ns, end_ns) = report.phases.iter().fold((u64::MAX, 0), |(s, e), p| (s.min(p.start_ns), e.max(p.end_ns)));
        sum.merge(report);
        sum.trials.push(Trial { rate, start_ns, end_ns, reasons });
        std::thread::sleep(PAUSE);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(low: f64, high: f64, precision: f64) -> Find {
        Find { low, high, trial: Duration::from_secs(1), precision, conditions: Vec::new() }
    }

    proptest! {
        /// Whatever the true limit is, the search ends close below it, after a number of trials that grows with the
        /// logarithm of the range.
        #[test]
        fn the_limit_is_found(low in 1.0_f64..1000.0, range in 1.1_f64..1000.0, at in 0.0_f64..1.2, precision in 0.01_f64..0.5) {
            let high = low * range;
            let truth = low * range.powf(at);
            let mut search = Search::new(&find(low, high, precision));
            let mut trials = 0;
            while let Some(rate) = search.next() {
                trials += 1;
                prop_assert!((low..=high).contains(&rate));
                search.record(rate, rate <= truth);
            }
            let found = search.highest_rate().unwrap();
            prop_assert!(found <= truth || found == low);
            prop_assert!(found == high || truth / found <= 1.0 + precision + 1e-9);
            let most = 3.0 + 2.0 * (range.ln() / (1.0 + precision).ln()).log2().max(0.0).ceil() + 2.0;
            prop_assert!(f64::from(trials) <= most, "{trials} trials");
        }
    }

    #[test]
    fn one_hiccup_decides_nothing_and_two_do() {
        let mut search = Search::new(&find(100.0, 1000.0, 0.05));
        assert_eq!(search.next(), Some(100.0));
        search.record(100.0, true);
        assert_eq!(search.next(), Some(1000.0));
        search.record(1000.0, false);
        assert_eq!(search.next(), Some(1000.0));
        search.record(1000.0, true);
        assert_eq!((search.next(), search.highest_rate()), (None, Some(1000.0)));
        let mut hopeless = Search::new(&find(100.0, 1000.0, 0.05));
        for _ in 0..2 {
            hopeless.record(hopeless.next().unwrap(), false);
        }
        assert_eq!((hopeless.next(), hopeless.highest_rate()), (None, None));
    }
}
