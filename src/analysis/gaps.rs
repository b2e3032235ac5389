//! When nothing was measured: how often and how long, reason by reason. For runs that continue for months.

use serde::Serialize;

use record::gaps::{Gap, Why};
use vocabulary::units::human_duration;

/// All gaps with one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapSummary {
    /// Why.
    pub why: Why,
    /// How many there were.
    pub count: u64,
    /// How long they were in total, in seconds; for steps of the clock, regardless of direction.
    pub seconds: f64,
    /// The longest of them, in seconds.
    pub longest_seconds: f64,
    /// When the longest one started, UTC.
    pub longest_from: String,
}

/// One entry for each reason, in the order in which they first occurred.
pub fn summarize(gaps: &[Gap]) -> Vec<GapSummary> {
    let mut found: Vec<GapSummary> = Vec::new();
    for gap in gaps {
        let seconds = gap.seconds.abs();
        match found.iter_mut().find(|summary| summary.why == gap.why) {
            Some(summary) => {
                summary.count += 1;
                summary.seconds += seconds;
                if seconds > summary.longest_seconds {
                    (summary.longest_seconds, summary.longest_from) = (seconds, gap.from.clone());
                }
            }
            None => found.push(GapSummary {
                why: gap.why,
                count: 1,
                seconds,
                longest_seconds: seconds,
                longest_from: gap.from.clone(),
            }),
        }
    }
    found
}

impl GapSummary {
    /// The same in words.
    pub fn words(&self) -> String {
        let time = |seconds: f64| human_duration(seconds * 1e9);
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        let longest = match self.count {
            1 => format!("at {}", self.longest_from),
            _ => format!("the longest of {} at {}", time(self.longest_seconds), self.longest_from),
        };
        let all = time(self.seconds);
        match self.why {
            Why::ClockStep => format!("CLOCK: it was set {times}, by {all} in all, {longest}"),
            why => format!("NOT MEASURED: {times}, {all} in all, {longest}: {}", why.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn gaps_are_added_up_reason_by_reason() {
        let at = |from: u64, to: u64, why| Gap::between(Duration::from_secs(from), Duration::from_secs(to), why);
        let gaps = [
            at(100, 110, Why::Killed),
            at(200, 205, Why::Stopped),
            at(300, 360, Why::Killed),
            at(500, 400, Why::ClockStep),
            at(700, 720, Why::Killed),
        ];
        let found = summarize(&gaps);
        let words: Vec<String> = found.iter().map(GapSummary::words).collect();
        assert_eq!(
            words,
            [
                "NOT MEASURED: 3 times, 90.0 s in all, the longest of 60.0 s at 1970-01-01T00:05:00Z: the runner had been killed",
                "NOT MEASURED: once, 5.00 s in all, at 1970-01-01T00:03:20Z: the runner had been asked to end",
                "CLOCK: it was set once, by 100 s in all, at 1970-01-01T00:08:20Z",
            ]
        );
        assert_eq!(summarize(&[]), []);
    }
}
