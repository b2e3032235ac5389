//! What a run compares: the factor whose levels its question is about.

use std::collections::BTreeSet;

use crate::Summary;
use crate::compare::{self, Comparison, Options, ReadRun};
use record::{PlanRecord, Shape, Subject};

/// A factor whose levels are compared, and the level that the others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name of the factor.
    pub by: String,
    /// The baseline.
    pub baseline: String,
}

/// What the scenario says that is compared: what repeating was meant to decide, then what graphs of ratios show, then the
/// factors of expected ratios.
fn said(plan: &PlanRecord, summary: &Summary) -> impl Iterator<Item = Question> {
    let decided = summary.decide.iter().map(|d| (d.by.clone(), d.baseline.clone()));
    let drawn = plan.graphs.iter().filter_map(|graph| match &graph.shape {
        Shape::Ratio(_, baseline) => Some((graph.series.clone()?, baseline.clone())),
        _ => None,
    });
    let expected = plan.expect.iter().filter_map(|expectation| match &expectation.subject {
        Subject::Ratio { factor, over, .. } => Some((factor.clone(), over.clone())),
        _ => None,
    });
    decided.chain(drawn).chain(expected).map(|(by, baseline)| Question { by, baseline })
}

/// Whether the scenario says which factor is compared; otherwise it is guessed.
pub fn is_said(plan: &PlanRecord, summary: &Summary) -> bool {
    said(plan, summary).next().is_some()
}

/// What a run compares: the first of what its scenario says that was executed; else the only factor with several executed levels,
/// or the first of them, over the first level that was executed.
///
/// None if no factor has two executed levels.
pub fn question(plan: &PlanRecord, summary: &Summary) -> Option<Question> {
    let executed = |factor: &str| {
        let cells = summary.cells.iter().filter(|c| c.repetitions.valid > 0);
        cells.filter_map(|c| c.levels.get(factor)).collect::<BTreeSet<_>>()
    };
    let is_possible = |question: &Question| {
        let levels = executed(&question.by);
        levels.len() > 1 && levels.contains(&question.baseline)
    };
    let guessed = summary.factors.iter().filter_map(|(by, levels)| {
        let first = levels.iter().find(|level| executed(by).contains(level))?;
        Some(Question { by: by.clone(), baseline: first.clone() })
    });
    said(plan, summary).chain(guessed).find(is_possible)
}

/// The comparison of levels within a run; none if no factor has two levels that can be compared.
///
/// `threshold`: a smaller difference does not matter, a share. What cannot be compared is reported among the caveats.
pub fn usual_comparison(run: &ReadRun, threshold: f64) -> Option<Comparison> {
    let Question { by, baseline } = question(&run.0.plan, &run.1)?;
    compare::levels(run, &by, Some(&baseline), &Options::usual(threshold)).ok()
}
