//! What a run compares: the factor whose levels its question is about.

use std::collections::BTreeSet;

use analysis::Summary;
use analysis::compare::{self, Comparison, Options, ReadRun};
use record::{PlanRecord, Shape, Subject};

/// A factor whose levels are compared, and the level that the others are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Name of the factor.
    pub by: String,
    /// The baseline; none: the first level that was executed.
    pub baseline: Option<String>,
}

/// Whether the scenario says which factor is compared; otherwise it is guessed.
pub fn is_said(plan: &PlanRecord, summary: &Summary) -> bool {
    let drawn = plan.graphs.iter().any(|graph| matches!(graph.shape, Shape::Ratio(..)) && graph.series.is_some());
    let expected = plan.expect.iter().any(|expectation| matches!(expectation.subject, Subject::Ratio { .. }));
    summary.decide.is_some() || drawn || expected
}

/// What a run compares, as far as its scenario says: what repeating was meant to decide; else what a graph of ratios shows;
/// else the factor of an expected ratio; else the only factor with several executed levels, or the first of them.
///
/// None if no factor has two executed levels.
pub fn question(plan: &PlanRecord, summary: &Summary) -> Option<Question> {
    let executed = |factor: &str| {
        let cells = summary.cells.iter().filter(|c| c.repetitions.valid > 0);
        cells.filter_map(|c| c.levels.get(factor)).collect::<BTreeSet<_>>()
    };
    let is_possible = |question: &Question| {
        let levels = executed(&question.by);
        levels.len() > 1 && question.baseline.as_ref().is_none_or(|baseline| levels.contains(baseline))
    };
    let decided = summary.decide.iter().map(|d| (d.by.clone(), Some(d.baseline.clone())));
    let drawn = plan.graphs.iter().filter_map(|graph| match &graph.shape {
        Shape::Ratio(_, baseline) => Some((graph.series.clone()?, Some(baseline.clone()))),
        _ => None,
    });
    let expected = plan.expect.iter().filter_map(|expectation| match &expectation.subject {
        Subject::Ratio { factor, over, .. } => Some((factor.clone(), Some(over.clone()))),
        _ => None,
    });
    let first = |factor: &str, levels: &[String]| levels.iter().find(|l| executed(factor).contains(l)).cloned();
    let varied = summary.factors.iter().map(|(name, levels)| (name.clone(), first(name, levels)));
    let mut wanted = decided.chain(drawn).chain(expected).chain(varied).map(|(by, baseline)| Question { by, baseline });
    wanted.find(is_possible)
}

/// The comparison of levels within a run; none if no factor has two levels that can be compared.
///
/// `threshold`: a smaller difference does not matter, a share. What cannot be compared is reported among the caveats.
pub fn usual_comparison(run: &ReadRun, threshold: f64) -> Option<Comparison> {
    let Question { by, baseline } = question(&run.0.plan, &run.1)?;
    compare::levels(run, &by, baseline.as_deref(), &Options::usual(threshold)).ok()
}
