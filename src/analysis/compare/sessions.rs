//! Runs that were made at different times. Each run is a session: before two of them can be compared, it must be known how
//! much sessions of the same thing differ, and repetitions within a session do not show that.

use super::case::Case;
use super::{LEVEL, Row};
use crate::stats::{self, Session};
use crate::summary::Summary;
use vocabulary::Metric;

/// Values of repetitions, with their numbers.
type Values = Vec<(u32, f64)>;

/// The sessions of a floor that are comparable to a run: made on the same machine. Those that are not are noted.
pub(super) fn usable_floor<'s>(run: &Summary, floor: Vec<&'s Summary>, notes: &mut Vec<String>) -> Vec<&'s Summary> {
    let all = floor.len();
    let here: Vec<&Summary> = floor.into_iter().filter(|s| s.machine == run.machine).collect();
    if here.len() < all {
        let left = all - here.len();
        notes.push(format!("{left} of {all} sessions of the floor were made on another machine, and are left out"));
    }
    // A session of few repetitions varies more than one of many.
    let repetitions = |s: &Summary| s.cells.iter().map(|c| c.repetitions.valid).max().unwrap_or_default();
    let (all, mine) = (here.len(), repetitions(run));
    let usable: Vec<&Summary> = here.into_iter().filter(|s| (mine.div_ceil(2)..=2 * mine).contains(&repetitions(s))).collect();
    if usable.len() < all {
        let left = all - usable.len();
        notes.push(format!(
            "{left} of {all} sessions of the floor have far more or fewer repetitions than {mine}, and are left out"
        ));
    }
    usable
}

/// Compares sessions of two sides, with those of the floor. Only the spread of the floor is used: the program may have
/// become faster or slower since the floor was made, and the ratio is that of the two sides.
pub(super) fn between(row: Row, metric: &Metric, [a, b]: [&[Values]; 2], floor: &[Values]) -> Case {
    let all = |side: &[Values]| side.iter().flatten().map(|(_, v)| *v).collect::<Vec<f64>>();
    let (values_a, values_b) = (all(a), all(b));
    let mut row = Row { sessions: Some((a.len(), b.len())), ..row.with(&values_a, &values_b) };
    let sessions = |side: &[Values]| side.iter().map(session).collect::<Option<Vec<Session>>>();
    match (sessions(a), sessions(b)) {
        (Some(of_a), Some(of_b)) => {
            let floor: Vec<Session> = floor.iter().filter_map(session).collect();
            match stats::several_sessions(&floor, &of_a, &of_b, LEVEL) {
                Ok(found) => (row.ratio, row.ratio_interval, row.p) = (Some(found.ratio), found.interval, Some(found.p)),
                // It is unknown how much sessions differ. Their difference is reported nevertheless.
                Err(_) => row.ratio = stats::hodges_lehmann_ratio(&values_a, &values_b, LEVEL).ok().map(|r| r.estimate),
            }
        }
        // Values of 0 have no logarithms. If all values are 0, there is no difference.
        _ if values_a.iter().chain(&values_b).all(|v| *v == 0.0) => row.p = Some(1.0),
        _ => {}
    }
    Case::new(row, metric, values_a, values_b, 0.0)
}

/// A run as one value; none if a value is not above 0.
fn session(values: &Values) -> Option<Session> {
    match values.as_slice() {
        [(_, one)] => Session::of_mean(*one).ok(),
        _ => Session::of(&values.iter().map(|(_, v)| *v).collect::<Vec<f64>>()).ok(),
    }
}
