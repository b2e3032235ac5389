//! What a pass does next: the flow of the plan, laid out as a list that is walked through, with the values of the pass.
//!
//! Pure: pauses, kinds and rounds follow from the seed, the number of the pass and its values.

use std::sync::Arc;

use super::Failure;
use super::values::{Text, Values};
use crate::Error;
use crate::schedule::{Random, mix};
use plan::flow::{Comparison, DEEPEST, Flow, Kind, Move, Pause, When};
use plan::replay::LogRequests;
use vocabulary::Outcome;
use vocabulary::units::nanos;

/// The longest pause: 365 days, as for every time of a scenario.
const LONGEST_NS: f64 = 365.0 * 86_400e9;

/// The flow of a workload, ready to be walked through.
pub struct Script {
    kinds: Vec<Laid>,
    /// For each kind, the sum of its weight and of those before it.
    until: Vec<f64>,
    /// The number of the row of the first kind; none without a mix.
    first_row: Option<u16>,
    /// Whether a pass may have pauses.
    pauses: bool,
    /// Whether every pass is one step, and always the same.
    is_one_step: bool,
    /// The log whose requests the passes are.
    replay: Option<Arc<LogRequests>>,
    seed: u64,
}

/// A kind of pass.
struct Laid {
    ops: Vec<Op>,
    /// Where the pauses start that follow its last step or group.
    last_pauses: usize,
}

/// A part of a pass that is looked at in one go.
enum Op {
    Step(u16),
    Pause(Pause),
    /// Goes on at `to` unless all conditions hold. `step`: the first step that is left out, for messages.
    Unless {
        conditions: Vec<Test>,
        step: u16,
        to: usize,
    },
    /// The start of rounds.
    Rounds {
        depth: usize,
        times: u32,
    },
    /// The end of a round: another one starts at `to` if there is one left.
    Again {
        depth: usize,
        to: usize,
    },
}

/// A condition whose values are slots.
struct Test {
    name: String,
    value: Known,
    comparison: Comparison,
    with: Text,
}

/// A value that is compared.
enum Known {
    /// That of the pass in this slot.
    Slot(usize),
    /// The same in all passes.
    Always(String),
}

/// Where a pass is.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    kind: usize,
    at: usize,
    /// The rounds that are left, by depth.
    left: [u32; DEEPEST],
    pass: u64,
    /// Pauses drawn so far.
    drawn: u64,
}

impl Walk {
    /// The number of the pass.
    pub fn pass(&self) -> u64 {
        self.pass
    }
}

/// What a pass does next.
pub struct Turn {
    /// The pauses before it, in nanoseconds.
    pub pause_ns: u64,
    /// What follows them.
    pub then: Then,
}

/// What follows pauses.
pub enum Then {
    /// A step.
    Step(usize),
    /// It cannot be known whether this step is part of the pass.
    Unknown(usize, Failure),
    /// The end of the pass.
    End,
}

impl Script {
    /// The script of a flow. `names`: those of the values of passes; `steps`: how many there are; `seed`: that of the workload.
    ///
    /// # Errors
    /// When a condition needs a value that passes do not have.
    pub fn new(flow: &Flow, names: &[String], steps: usize, seed: u64) -> Result<Self, Error> {
        let lay = |kind: &Kind| {
            let mut ops = Vec::new();
            lay(&kind.moves, 0, names, &mut ops)?;
            let pauses = kind.moves.iter().rev().take_while(|last| matches!(last, Move::Pause(_))).count();
            Ok(Laid { last_pauses: ops.len() - pauses, ops })
        };
        let sum = |sum: &mut f64, kind: &Kind| {
            *sum += kind.weight;
            Some(*sum)
        };
        let kinds: Vec<Laid> = flow.kinds.iter().map(lay).collect::<Result<_, Error>>()?;
        Ok(Self {
            pauses: kinds.iter().any(|kind| kind.ops.iter().any(|op| matches!(op, Op::Pause(_)))),
            until: flow.kinds.iter().scan(0.0, sum).collect(),
            first_row: (!flow.rows().is_empty()).then_some(steps as u16),
            kinds,
            is_one_step: flow.replay.is_none()
                && matches!(flow.kinds.as_slice(), [Kind { moves, .. }] if matches!(moves.as_slice(), [Move::Step(0)])),
            replay: flow.replay.as_ref().map(|replay| Arc::clone(&replay.log_requests)),
            seed,
        })
    }

    /// Whether passes may have pauses.
    pub fn has_pauses(&self) -> bool {
        self.pauses
    }

    /// The kinds that occur, by number.
    pub fn occurring(&self) -> impl Iterator<Item = usize> {
        let before = |kind: usize| if kind == 0 { 0.0 } else { self.until[kind - 1] };
        (0..self.kinds.len()).filter(move |kind| self.until[*kind] > before(*kind))
    }

    /// The start of a pass. Its kind follows from its number alone: which connection carries it depends on the answers of
    /// others.
    pub fn begin(&self, pass: u64) -> Walk {
        let kind = match self.until.as_slice() {
            [] | [_] => 0,
            until => {
                let all = until[until.len() - 1];
                let share = (mix(mix(pass ^ mix(self.seed)) ^ KIND) >> 11) as f64 / (1_u64 << 53) as f64;
                until.iter().position(|end| share * all < *end).unwrap_or(0)
            }
        };
        self.begin_as(kind, pass)
    }

    /// The same for a pass of this kind.
    pub fn begin_as(&self, kind: usize, pass: u64) -> Walk {
        Walk { kind, at: 0, left: [0; DEEPEST], pass, drawn: 0 }
    }

    /// The number of the row in which passes of this kind are measured, if there is a mix.
    pub fn row(&self, walk: &Walk) -> Option<u16> {
        self.first_row.map(|first| first + walk.kind as u16)
    }

    /// What a pass does next. `values`: those of the pass, if it has any.
    #[inline(always)]
    pub fn next(&self, walk: &mut Walk, values: Option<&Values>) -> Turn {
        if self.is_one_step {
            let begins = std::mem::replace(&mut walk.at, 1) == 0;
            return Turn { pause_ns: 0, then: if begins { Then::Step(0) } else { Then::End } };
        }
        self.next_of_several(walk, values)
    }

    fn next_of_several(&self, walk: &mut Walk, values: Option<&Values>) -> Turn {
        if let Some(log) = &self.replay {
            let begins = std::mem::replace(&mut walk.at, 1) == 0;
            let request = log.requests.get(walk.pass as usize).filter(|_| begins);
            let then = request.map_or(Then::End, |request| Then::Step(usize::from(request.step)));
            return Turn { pause_ns: 0, then };
        }
        let ops = self.kinds.get(walk.kind).map(|kind| kind.ops.as_slice()).unwrap_or_default();
        let mut pause_ns = 0_u64;
        loop {
            let Some(op) = ops.get(walk.at) else { return Turn { pause_ns, then: Then::End } };
            walk.at += 1;
            match op {
                Op::Step(step) => return Turn { pause_ns, then: Then::Step(usize::from(*step)) },
                Op::Pause(pause) => pause_ns = pause_ns.saturating_add(self.draw(walk, pause)),
                Op::Rounds { depth, times } => walk.left[*depth] = *times,
                Op::Again { depth, to } => {
                    walk.left[*depth] = walk.left[*depth].saturating_sub(1);
                    if walk.left[*depth] > 0 {
                        walk.at = *to;
                    }
                }
                Op::Unless { conditions, step, to } => {
                    let hold = conditions.iter().try_fold(true, |hold, test| Ok(hold && test.holds(values)?));
                    match hold {
                        Ok(true) => {}
                        Ok(false) => walk.at = *to,
                        Err(failure) => return Turn { pause_ns, then: Then::Unknown(usize::from(*step), failure) },
                    }
                }
            }
        }
    }

    /// The pauses at the end of a pass, which are made whatever happened before, in nanoseconds: an error does not make its user
    /// hurry.
    pub fn last_pauses(&self, walk: &mut Walk) -> u64 {
        let Some(kind) = self.kinds.get(walk.kind) else { return 0 };
        kind.ops[kind.last_pauses..].iter().fold(0, |sum: u64, op| match op {
            Op::Pause(pause) => sum.saturating_add(self.draw(walk, pause)),
            _ => sum,
        })
    }

    /// How long the next pause is.
    fn draw(&self, walk: &mut Walk, pause: &Pause) -> u64 {
        let random = mix(mix(walk.pass ^ mix(self.seed)) ^ PAUSE ^ walk.drawn);
        walk.drawn += 1;
        length_ns(pause, &mut Random::new(random, PAUSE))
    }
}

/// What random numbers are for.
const KIND: u64 = 0x6b69_6e64;
const PAUSE: u64 = 0x70_6175_7365;

/// Lays out moves that are in `depth` groups.
fn lay(moves: &[Move], depth: usize, names: &[String], ops: &mut Vec<Op>) -> Result<(), Error> {
    for one in moves {
        match one {
            Move::Step(step) => ops.push(Op::Step(*step)),
            Move::Pause(pause) => ops.push(Op::Pause(pause.clone())),
            Move::Repeat { times, moves } => {
                // A plan has no deeper groups.
                let place = depth.min(DEEPEST - 1);
                ops.push(Op::Rounds { depth: place, times: *times });
                let to = ops.len();
                lay(moves, depth + 1, names, ops)?;
                ops.push(Op::Again { depth: place, to });
            }
            Move::When { conditions, moves } => {
                let conditions = conditions.iter().map(|when| Test::new(when, names)).collect::<Result<_, _>>()?;
                let at = ops.len();
                ops.push(Op::Unless { conditions, step: first_step(moves).unwrap_or_default(), to: 0 });
                lay(moves, depth, names, ops)?;
                let end = ops.len();
                if let Op::Unless { to, .. } = &mut ops[at] {
                    *to = end;
                }
            }
        }
    }
    Ok(())
}

fn first_step(moves: &[Move]) -> Option<u16> {
    moves.iter().find_map(|one| match one {
        Move::Step(step) => Some(*step),
        Move::Pause(_) => None,
        Move::Repeat { moves, .. } | Move::When { moves, .. } => first_step(moves),
    })
}

/// How long a pause is this time.
fn length_ns(pause: &Pause, random: &mut Random) -> u64 {
    match pause {
        Pause::Constant(pause) => nanos(*pause),
        Pause::Exponential(mean) => (random.exponential() * mean.as_nanos() as f64).min(LONGEST_NS) as u64,
        Pause::LogNormal { median, sigma } => {
            (libm::exp(sigma * random.normal()) * median.as_nanos() as f64).min(LONGEST_NS) as u64
        }
        Pause::Recorded { pauses, .. } => {
            let at = ((u128::from(random.bits()) * pauses.len() as u128) >> 64) as usize;
            pauses.get(at).map_or(0, |pause| nanos(*pause))
        }
    }
}

impl Test {
    fn new(when: &When, names: &[String]) -> Result<Self, Error> {
        let step = format!("when {}", when.name);
        let slot = || names.iter().position(|name| *name == when.name).map(Known::Slot);
        let value = when.known.clone().map(Known::Always).or_else(slot);
        let value = value.ok_or_else(|| Error::Request { step: step.clone(), reason: "there is no such value".to_owned() })?;
        Ok(Self { name: when.name.clone(), value, comparison: when.comparison, with: Text::new(&when.with, names, &step)? })
    }

    fn holds(&self, values: Option<&Values>) -> Result<bool, Failure> {
        let value = match (&self.value, values) {
            (Known::Always(value), _) => value.as_str(),
            (Known::Slot(place), Some(values)) => values.get(*place),
            // Passes without values compare none.
            (Known::Slot(_), None) => return Ok(true),
        };
        let with: std::borrow::Cow<'_, str> = match (self.with.fixed(), values) {
            (Some(fixed), _) => fixed.into(),
            (None, Some(values)) => self.with.fill(values).into(),
            (None, None) => return Ok(true),
        };
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| !number.is_nan());
        let numbers = number(value).zip(number(&with));
        let order = numbers.map(|(value, with)| value.total_cmp(&with));
        let Some(order) = order else {
            return match self.comparison {
                Comparison::Is => Ok(value == with),
                Comparison::IsNot => Ok(value != with),
                // The value may be a secret, and is not shown.
                _ => Err(Failure::new(
                    Outcome::Carry,
                    format!(
                        "`when: {{{}: \"{} {}\"}}` compares numbers, and the value is not one",
                        self.name,
                        self.comparison.sign(),
                        self.with.source()
                    ),
                )),
            };
        };
        Ok(match self.comparison {
            Comparison::Is => order.is_eq(),
            Comparison::IsNot => order.is_ne(),
            Comparison::Below => order.is_lt(),
            Comparison::AtMost => order.is_le(),
            Comparison::Above => order.is_gt(),
            Comparison::AtLeast => order.is_ge(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use plan::{Draw, DrawnFrom, Template};
    use proptest::prelude::*;

    use super::*;
    use crate::drivers::values::ValueNames;

    fn kind(name: &str, weight: f64, moves: Vec<Move>) -> Kind {
        Kind { name: Some(name.to_owned()), weight, moves }
    }

    /// The steps of a pass, and the sum of its pauses.
    fn walked(script: &Script, mut walk: Walk, values: Option<&Values>) -> (Vec<usize>, u64) {
        let (mut steps, mut paused) = (Vec::new(), 0);
        loop {
            let turn = script.next(&mut walk, values);
            paused += turn.pause_ns;
            match turn.then {
                Then::Step(step) => steps.push(step),
                Then::Unknown(..) => panic!("all values are numbers"),
                Then::End => return (steps, paused),
            }
        }
    }

    #[test]
    fn groups_are_repeated_within_groups() {
        let second = Move::Pause(Pause::Constant(Duration::from_secs(1)));
        let inner = Move::Repeat { times: 2, moves: vec![Move::Step(1), second.clone()] };
        let moves = vec![second, Move::Step(0), Move::Repeat { times: 3, moves: vec![inner, Move::Step(2)] }];
        let flow = Flow::of(vec![Kind { name: None, weight: 1.0, moves }]);
        let script = Script::new(&flow, &[], 3, 7).unwrap();
        let (steps, paused) = walked(&script, script.begin(5), None);
        assert_eq!(steps, [0, 1, 1, 2, 1, 1, 2, 1, 1, 2]);
        assert_eq!(paused, 7_000_000_000);
        assert!(script.has_pauses() && script.row(&script.begin(0)).is_none());
    }

    #[test]
    fn the_pauses_at_the_end_follow_any_failure() {
        let pause = |seconds| Move::Pause(Pause::Constant(Duration::from_secs(seconds)));
        let inner = Move::Repeat { times: 2, moves: vec![Move::Step(1), pause(100)] };
        let script = |moves| Script::new(&Flow::of(vec![Kind { name: None, weight: 1.0, moves }]), &[], 2, 7).unwrap();
        let paced = script(vec![pause(50), Move::Step(0), pause(20), inner.clone(), pause(1), pause(2)]);
        let mut walk = paced.begin(0);
        assert!(matches!(paced.next(&mut walk, None).then, Then::Step(0)));
        assert_eq!(paced.last_pauses(&mut walk), 3_000_000_000);
        let unpaced = script(vec![pause(50), Move::Step(0), inner]);
        assert_eq!(unpaced.last_pauses(&mut unpaced.begin(0)), 0);
    }

    #[test]
    fn the_shares_of_kinds_are_their_weights_and_follow_from_the_seed() {
        let kinds = vec![
            kind("browse", 70.0, vec![Move::Step(0)]),
            kind("never", 0.0, vec![Move::Step(1)]),
            kind("buy", 30.0, vec![Move::Step(2)]),
        ];
        let script = |seed| Script::new(&Flow::of(kinds.clone()), &[], 3, seed).unwrap();
        let drawn = |script: &Script| (0..100_000).map(|pass| script.row(&script.begin(pass)).unwrap()).collect::<Vec<u16>>();
        let (one, other) = (drawn(&script(1)), drawn(&script(2)));
        let share = |row: u16| one.iter().filter(|r| **r == row).count() as f64 / one.len() as f64;
        // Five standard deviations.
        assert!((share(3) - 0.7).abs() < 0.0073, "{}", share(3));
        assert_eq!(share(4), 0.0);
        assert_eq!(one, drawn(&script(1)));
        assert_ne!(one, other);
        assert_eq!(script(1).occurring().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn conditions_compare_numbers_and_texts() {
        let draws = [Draw { name: "stock".to_owned(), of: DrawnFrom::List(vec!["10".to_owned()]) }];
        let names = ValueNames::new([].into_iter(), [].into_iter(), &draws);
        let mut values = Values::new(&names, 1, 0);
        values.begin_pass(0);
        let holds = |comparison, with: &str| {
            let when = When { name: "stock".to_owned(), known: None, comparison, with: Template::parse(with) };
            Test::new(&when, names.as_slice()).unwrap().holds(Some(&values))
        };
        // 9 is less than 10 as a number, and more as a text.
        assert!(holds(Comparison::Above, "9").unwrap() && !holds(Comparison::Below, "9").unwrap());
        assert!(holds(Comparison::Is, "10.0").unwrap() && holds(Comparison::IsNot, "ten").unwrap());
        assert!(holds(Comparison::AtLeast, "10").unwrap() && holds(Comparison::AtMost, "${stock}").unwrap());
        assert_eq!(holds(Comparison::Above, "ten").unwrap_err().outcome, Outcome::Carry);
        let left_out = |with: &str| {
            let when = When { name: "stock".to_owned(), known: None, comparison: Comparison::Above, with: Template::parse(with) };
            let moves = vec![
                Move::Step(0),
                Move::When { conditions: vec![when], moves: vec![Move::Step(1), Move::Step(2)] },
                Move::Step(3),
            ];
            let flow = Flow::of(vec![Kind { name: None, weight: 1.0, moves }]);
            let script = Script::new(&flow, names.as_slice(), 4, 1).unwrap();
            walked(&script, script.begin(0), Some(&values)).0
        };
        assert_eq!(left_out("9"), [0, 1, 2, 3]);
        assert_eq!(left_out("10"), [0, 3]);
        // What a set-up step has found is the same in all passes, and needs no slot.
        let found = |text: &str| When {
            known: Some(text.to_owned()),
            ..When { name: "token".to_owned(), known: None, comparison: Comparison::Is, with: Template::parse("${stock}") }
        };
        assert!(Test::new(&found("10"), names.as_slice()).unwrap().holds(Some(&values)).unwrap());
        assert!(!Test::new(&found("11"), names.as_slice()).unwrap().holds(Some(&values)).unwrap());
        let unknown = When { name: "price".to_owned(), known: None, comparison: Comparison::Is, with: Template::parse("1") };
        assert!(Test::new(&unknown, names.as_slice()).is_err());
    }

    #[test]
    fn pauses_have_the_distribution_that_is_asked_for() {
        let pauses = |pause: &Pause| {
            let mut random = Random::new(1, 2);
            let mut all: Vec<f64> = (0..100_001).map(|_| length_ns(pause, &mut random) as f64 / 1e9).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let second = Duration::from_secs(1);
        let exponential = pauses(&Pause::Exponential(second));
        let mean = exponential.iter().sum::<f64>() / exponential.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        let log_normal = pauses(&Pause::LogNormal { median: second, sigma: 0.8 });
        assert!((log_normal[50_000] - 1.0).abs() < 0.02, "{}", log_normal[50_000]);
        // exp(0.8 * 1.645)
        assert!((log_normal[95_000] - 3.728).abs() < 0.1, "{}", log_normal[95_000]);
        let measured: Arc<[Duration]> = [1, 2, 5].map(Duration::from_secs).into();
        let recorded = pauses(&Pause::Recorded { from: String::new(), count: 3, content: String::new(), pauses: measured });
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        recorded.iter().for_each(|s| *counts.entry(*s as u64).or_default() += 1);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 5]);
        assert!(counts.values().all(|n| n.abs_diff(33_333) < 800), "{counts:?}");
    }

    proptest! {
        /// Whatever a flow is, a walk ends, after no more steps than the plan says.
        #[test]
        fn a_walk_ends(times in proptest::collection::vec(1_u32..5, 1..4), pass in any::<u64>(), seed in any::<u64>()) {
            let moves = times.iter().fold(vec![Move::Step(0)], |moves, times| vec![Move::Step(1), Move::Repeat { times: *times, moves }]);
            let most = moves.iter().map(Move::steps).sum::<u64>();
            let script = Script::new(&Flow::of(vec![Kind { name: None, weight: 1.0, moves }]), &[], 2, seed).unwrap();
            prop_assert_eq!(walked(&script, script.begin(pass), None).0.len() as u64, most);
        }
    }
}
