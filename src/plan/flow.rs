//! What a pass does from its start to its end: which steps in which order, what is left out or repeated, and the pauses
//! between them. A workload with a mix has several kinds of passes, of which each pass is one.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::text::as_text;
use super::{Late, Replay, Template};
use vocabulary::units::{exact_duration, significant};

/// Groups within groups within groups: deeper than this nobody can read.
pub const DEEPEST: usize = 4;
/// More steps in one pass than any user takes.
pub const MOST_STEPS: u64 = 100_000;

/// The course of the passes of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// The kinds of passes: one without a name, or those of a mix; none where each pass is a request of a log.
    pub kinds: Vec<Kind>,
    /// The log whose requests the passes are.
    #[serde(skip)]
    pub replay: Option<Arc<Replay>>,
}

/// A kind of pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kind {
    /// Its name in the mix; `None` without a mix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many of the passes are of this kind, in proportion to the weights of the others; 0: none.
    pub weight: f64,
    /// What such a pass does, in order.
    pub moves: Vec<Move>,
}

/// A part of a pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// The step with this number among all steps of the workload.
    Step(u16),
    /// Nothing is sent for a while.
    Pause(Pause),
    /// The same moves several times.
    Repeat {
        /// How often: at least once.
        times: u32,
        /// What is repeated.
        moves: Vec<Move>,
    },
    /// Moves that are left out of a pass in which a condition does not hold.
    When {
        /// All of them must hold.
        conditions: Vec<When>,
        /// What is left out otherwise.
        moves: Vec<Move>,
    },
}

/// A condition on a value of the pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct When {
    /// The name of the value: carried or drawn.
    pub name: String,
    /// The value itself, if a set-up step has found it; known when a repetition starts.
    #[serde(skip)]
    pub known: Option<String>,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what it is compared.
    pub with: Template,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// The same number, or the same text.
    Is,
    /// Another one.
    IsNot,
    /// A smaller number.
    Below,
    /// A smaller number, or the same.
    AtMost,
    /// A larger number.
    Above,
    /// A larger number, or the same.
    AtLeast,
}

impl Comparison {
    /// Its signs, longer ones before those that they start with.
    pub const ALL: [(&str, Self); 6] = [
        ("==", Self::Is),
        ("!=", Self::IsNot),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    /// Its sign.
    pub fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("==", |(sign, _)| sign)
    }

    /// Whether it compares only numbers.
    pub fn is_of_numbers(self) -> bool {
        !matches!(self, Self::Is | Self::IsNot)
    }
}

/// How long a pause is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pause {
    /// Always this long.
    #[serde(serialize_with = "as_text")]
    Constant(Duration),
    /// Exponentially distributed with this mean.
    #[serde(serialize_with = "as_text")]
    Exponential(Duration),
    /// Log-normally distributed.
    LogNormal {
        /// Half of the pauses are shorter.
        #[serde(serialize_with = "as_text")]
        median: Duration,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// One of those that were measured, each as likely as the others.
    Recorded {
        /// Where they are from.
        from: String,
        /// How many there are.
        count: usize,
        /// Their digest.
        content: String,
        /// The pauses themselves.
        #[serde(skip)]
        pauses: Arc<[Duration]>,
    },
}

impl Pause {
    /// The shortest that it can be.
    pub fn shortest(&self) -> Duration {
        match self {
            Self::Constant(pause) => *pause,
            Self::Exponential(_) | Self::LogNormal { .. } => Duration::ZERO,
            Self::Recorded { pauses, .. } => pauses.iter().min().copied().unwrap_or_default(),
        }
    }

    /// How long it is on average.
    pub fn mean(&self) -> Duration {
        match self {
            Self::Constant(mean) | Self::Exponential(mean) => *mean,
            Self::LogNormal { median, sigma } => {
                Duration::try_from_secs_f64(median.as_secs_f64() * (sigma * sigma / 2.0).exp()).unwrap_or(Duration::MAX)
            }
            Self::Recorded { pauses, .. } => {
                let all = pauses.iter().fold(Duration::ZERO, |sum, pause| sum.saturating_add(*pause));
                all / u32::try_from(pauses.len().max(1)).unwrap_or(u32::MAX)
            }
        }
    }

    /// As `runner plan` prints it.
    pub fn words(&self) -> String {
        match self {
            Self::Constant(pause) => exact_duration(*pause),
            Self::Exponential(mean) => format!("{} on average", exact_duration(*mean)),
            Self::LogNormal { median, sigma } => {
                format!("log-normal, median {}, sigma {}", exact_duration(*median), significant(*sigma))
            }
            Self::Recorded { from, count, .. } => format!("one of {count} from {from}"),
        }
    }
}

impl Flow {
    /// All steps in their order.
    pub fn plain(steps: usize) -> Self {
        let moves = (0..steps).map(|step| Move::Step(step as u16)).collect();
        Self::of(vec![Kind { name: None, weight: 1.0, moves }])
    }

    /// These kinds of passes.
    pub fn of(kinds: Vec<Kind>) -> Self {
        Self { kinds, replay: None }
    }

    /// Each pass is a request of a log.
    pub fn replay(replay: Arc<Replay>) -> Self {
        Self { kinds: Vec::new(), replay: Some(replay) }
    }

    /// Whether each pass is all steps in their order.
    pub fn is_plain(&self) -> bool {
        matches!(self.kinds.as_slice(), [Kind { name: None, moves, .. }] if moves.iter().all(|m| matches!(m, Move::Step(_))))
    }

    /// How long the pauses of a pass are on average, if nothing is left out.
    pub fn mean_pause(&self) -> Duration {
        let all: f64 = self.kinds.iter().map(|kind| kind.weight).sum();
        let of = |kind: &Kind| {
            let pauses = kind.moves.iter().map(Move::mean_pause).fold(Duration::ZERO, Duration::saturating_add);
            pauses.as_secs_f64() * kind.weight / all
        };
        Duration::try_from_secs_f64(self.kinds.iter().map(of).sum()).unwrap_or_default()
    }

    /// Fills in what set-up steps have found.
    pub fn fill(&mut self, late: &Late<'_>) {
        self.kinds.iter_mut().flat_map(|kind| &mut kind.moves).for_each(|one| one.fill(late));
    }

    /// The names under which passes of each kind are measured, besides all passes together; empty without a mix.
    pub fn rows(&self) -> Vec<String> {
        self.kinds.iter().filter_map(|kind| Some(row_of_kind(kind.name.as_ref()?))).collect()
    }

    /// Whether a pass is its only step, so that both have the same times.
    pub fn is_one_step(&self) -> bool {
        fn steps(moves: &[Move]) -> u64 {
            moves.iter().map(Move::steps).sum()
        }
        matches!(self.kinds.as_slice(), [Kind { name: None, moves, .. }] if steps(moves) == 1)
    }

    /// As `runner plan` prints it: a line for each kind of pass, and none where all steps follow each other.
    pub fn words(&self, steps: &[String]) -> Vec<String> {
        if self.is_plain() {
            return Vec::new();
        }
        let all: f64 = self.kinds.iter().map(|kind| kind.weight).sum();
        let one = |kind: &Kind| {
            let moves = words(&kind.moves, steps);
            match &kind.name {
                Some(name) => format!("{} % {name}: {moves}", significant(kind.weight * 100.0 / all)),
                None => format!("each pass: {moves}"),
            }
        };
        self.kinds.iter().map(one).collect()
    }
}

/// The name under which passes of one kind are measured.
pub fn row_of_kind(name: &str) -> String {
    format!("({name})")
}

/// Whether this is the name of a kind of pass rather than of a step.
pub fn is_row_of_kind(name: &str) -> bool {
    name.starts_with('(') && name.ends_with(')')
}

impl Move {
    fn fill(&mut self, late: &Late<'_>) {
        match self {
            Self::Step(_) | Self::Pause(_) => {}
            Self::Repeat { moves, .. } => moves.iter_mut().for_each(|one| one.fill(late)),
            Self::When { conditions, moves } => {
                for when in conditions {
                    when.known = late.get(when.name.as_str()).cloned();
                    when.with = when.with.fill(late);
                }
                moves.iter_mut().for_each(|one| one.fill(late));
            }
        }
    }

    /// How many steps it takes at most.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Step(_) => 1,
            Self::Pause(_) => 0,
            Self::Repeat { times, moves } => {
                moves.iter().map(Self::steps).fold(0, u64::saturating_add).saturating_mul(u64::from(*times))
            }
            Self::When { moves, .. } => moves.iter().map(Self::steps).fold(0, u64::saturating_add),
        }
    }

    /// How many steps it takes at least.
    pub fn certain_steps(&self) -> u64 {
        match self {
            Self::Step(_) => 1,
            Self::Pause(_) | Self::When { .. } => 0,
            Self::Repeat { moves, .. } => moves.iter().map(Self::certain_steps).fold(0, u64::saturating_add),
        }
    }

    /// The pauses in it, on average.
    fn mean_pause(&self) -> Duration {
        let sum = |moves: &[Self]| moves.iter().map(Self::mean_pause).fold(Duration::ZERO, Duration::saturating_add);
        match self {
            Self::Pause(pause) => pause.mean(),
            Self::Step(_) => Duration::ZERO,
            Self::When { moves, .. } => sum(moves),
            Self::Repeat { times, moves } => sum(moves).saturating_mul(*times),
        }
    }

    /// The pauses in it that every pass has, at their shortest.
    pub fn least_pause(&self) -> Duration {
        match self {
            Self::Pause(pause) => pause.shortest(),
            Self::Step(_) | Self::When { .. } => Duration::ZERO,
            Self::Repeat { times, moves } => {
                let once = moves.iter().map(Self::least_pause).fold(Duration::ZERO, Duration::saturating_add);
                once.saturating_mul(*times)
            }
        }
    }
}

/// Moves in a sentence.
fn words(moves: &[Move], steps: &[String]) -> String {
    let one = |one: &Move| match one {
        Move::Step(step) => steps.get(usize::from(*step)).cloned().unwrap_or_default(),
        Move::Pause(pause) => format!("pause ({})", pause.words()),
        Move::Repeat { times, moves } => format!("{times} × [{}]", words(moves, steps)),
        Move::When { conditions, moves } => {
            let condition = |when: &When| format!("{} {} {}", when.name, when.comparison.sign(), when.with.to_text());
            let conditions: Vec<String> = conditions.iter().map(condition).collect();
            format!("[{}] when {}", words(moves, steps), conditions.join(" and "))
        }
    };
    moves.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pass_does_is_said_in_its_order() {
        let second = Duration::from_secs(1);
        let when = When { name: "stock".to_owned(), known: None, comparison: Comparison::Above, with: Template::parse("0") };
        let moves = vec![
            Move::Step(0),
            Move::Repeat { times: 3, moves: vec![Move::Pause(Pause::Constant(second)), Move::Step(1)] },
            Move::When { conditions: vec![when], moves: vec![Move::Step(2)] },
        ];
        let names = ["list", "item", "order"].map(str::to_owned);
        let kind = |name: &str, weight, moves| Kind { name: Some(name.to_owned()), weight, moves };
        let flow = Flow::of(vec![kind("browse", 3.0, moves.clone()), kind("look", 1.0, vec![Move::Step(0)])]);
        assert_eq!(
            flow.words(&names),
            ["75.0 % browse: list, 3 × [pause (1s), item], [order] when stock > 0", "25.0 % look: list"]
        );
        assert_eq!(flow.rows(), ["(browse)", "(look)"]);
        assert_eq!(moves.iter().map(Move::steps).sum::<u64>(), 5);
        assert_eq!(moves.iter().map(Move::certain_steps).sum::<u64>(), 2);
        assert_eq!(moves.iter().map(Move::least_pause).sum::<Duration>(), 3 * second);
        assert!(!flow.is_plain() && !flow.is_one_step());
        assert!(Flow::plain(2).is_plain() && Flow::plain(1).is_one_step() && !Flow::plain(2).is_one_step());
    }
}
