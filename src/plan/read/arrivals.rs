//! How passes arrive: from `load:` as it was typed to a [`Load`].

use std::time::Duration;

use super::diagnostics::{Diagnostics, counted, refuse};
use super::names::expected_metrics;
use super::replay;
use plan::{Arrivals, Condition, Find, Length, Load, Pattern, Replay, Segment, Spacing, Stage, Think};
use schema::source::one_of;
use schema::{Node, types};
use vocabulary::metric::catalogue;
use vocabulary::{Exists, Metric, NamedMetric, Phase, Unit, units};

/// More connections than this in one workload are a typing error on any machine.
const MAX_CONNECTIONS: u32 = 1_000_000;
/// One arrival per day; a lower rate is a typing error.
const MIN_RATE: f64 = 1.0 / 86_400.0;
/// More arrivals per second than any machine can make.
const MAX_RATE: f64 = 100_000_000.0;
/// More passes than any load has.
const MAX_AMOUNT: u64 = 1_000_000_000_000;
const OPEN_CONNECTIONS: u32 = 64;
const DRAIN: Duration = Duration::from_secs(1);
const TRIAL: Duration = Duration::from_secs(5);
const PRECISION: f64 = 0.05;

/// The phases of a repetition with their lengths, where the scenario gives them.
pub(super) struct Timeline {
    lengths: Vec<(Phase, Duration)>,
    /// The warm-up is found in the measurement.
    auto_warm_up: bool,
}

/// Reads `phases:` of an experiment.
pub(super) fn timeline(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Phases) -> Timeline {
    let lengths = [
        (Phase::WarmUp, typed.warm_up.and_then(|w| w.0)),
        (Phase::Before, typed.before.map(|d| d.0)),
        (Phase::During, typed.during.map(|d| d.0)),
        (Phase::After, typed.after.map(|d| d.0)),
    ];
    if typed.during.is_none() {
        notes.say(node, "", "the phase `during` is missing", "expected how long it is, such as `during: 10s`");
    }
    let mut timeline = Timeline { lengths: Vec::new(), auto_warm_up: typed.warm_up.is_some_and(|w| w.0.is_none()) };
    for (phase, length) in lengths {
        let Some(length) = length else { continue };
        if length.is_zero() {
            notes.say(node, phase.name(), "a phase of 0", "expected a time, such as `10s`");
        }
        timeline.lengths.push((phase, length));
    }
    if timeline.auto_warm_up && typed.before.is_some() {
        notes.say(
            node,
            "warm-up",
            "`warm-up: auto` cannot be used with a phase `before`",
            "expected a time, such as `10s`: `auto` takes the warm-up from the start of `during`",
        );
    }
    timeline
}

/// Reads `load:` of a workload, `node` being the workload. `brought`: the metrics of its protocol besides times and
/// counts.
pub(super) fn load(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Workload,
    timeline: Option<&Timeline>,
    brought: &[NamedMetric],
) -> Option<Load> {
    notes.key_of_workload(node, &["load"])?;
    let (workload, node, load) = (node, node.get("load")?, typed.load.as_ref()?);
    let kind = notes.exactly_one(node, "how passes arrive", &["closed", "open", "replay", "find"])?;
    let part = node.get(kind).unwrap_or(node);
    let mut own_length = None;
    // Where a part could not be read, the others are still checked.
    let (arrivals, find) = match kind {
        "closed" => (load.closed.as_ref().map(|typed| closed(notes, part, typed, &mut own_length)), None),
        "replay" => (replayed(notes, workload, node, typed, timeline), None),
        "open" => (load.open.as_ref().map(|typed| open(notes, part, typed, &mut own_length)), None),
        _ => load.find.as_ref().and_then(|typed| find(notes, part, typed, brought)).unzip(),
    };
    if let Some(arrivals) = &arrivals {
        connections(notes, part, arrivals.connections());
    }
    let auto_warm_up = matches!(load.warm_up, Some(types::WarmUp::Auto)) || timeline.is_some_and(|t| t.auto_warm_up);
    let segments = match (&find, timeline) {
        (Some(find), _) => {
            for key in ["amount", "duration"] {
                refuse(notes, node, &[key], "a search ends on its own; `trial` says how long each rate is tried");
            }
            refuse(notes, node, &["warm-up"], "each rate is tried separately, without a warm-up");
            if timeline.is_some() {
                notes.say(
                    workload,
                    "load",
                    "a search in a repetition with `phases`",
                    "expected a workload that has its own length",
                );
            }
            vec![Segment { phase: Phase::Search, length: Length::Duration(find.trial), active: true }]
        }
        (None, Some(timeline)) => {
            for key in ["amount", "duration", "warm-up"] {
                refuse(notes, node, &[key], "`phases` says how long everything is");
            }
            in_phases(notes, workload, typed.phases.as_ref(), timeline)
        }
        // If it could not be read, its end is not known.
        (None, None) if kind == "find" || (matches!(kind, "open" | "replay") && arrivals.is_none()) => return None,
        (None, None) => {
            refuse(notes, workload, &["phases"], "the experiment has no `phases`, which would say how long they are");
            let pattern = arrivals.as_ref().and_then(|arrivals| match arrivals {
                Arrivals::Open { pattern, .. } => Some(pattern),
                Arrivals::Closed { .. } => None,
            });
            segments(notes, node, load, own_length, pattern)?
        }
    };
    if let Some(Arrivals::Open { pattern, .. }) = &arrivals
        && pattern.first_rate() == Some(0.0)
        && segments.first().is_some_and(|segment| segment.phase == Phase::WarmUp)
    {
        let key = if timeline.is_some() { "" } else { "warm-up" };
        let expected = "expected no warm-up, or a first rate above 0";
        notes.say(node, key, "the warm-up has the rate with which the measurement starts, and that is 0", expected);
    }
    let auto_warm_up = auto_warm_up && segments.iter().any(|s| s.phase == Phase::During && s.active);
    let ends_by_time = find.is_some() || segments.iter().any(|s| matches!(s.length, Length::Duration(_)));
    if kind == "closed" && !ends_by_time {
        refuse(notes, node, &["drain"], "a closed loop with an amount ends when the last pass is answered");
    }
    Some(Load { arrivals: arrivals?, segments, drain: load.drain.map_or(DRAIN, |d| d.0), find, auto_warm_up })
}

fn in_phases(notes: &mut Diagnostics<'_>, workload: &Node, chosen: Option<&types::Names>, timeline: &Timeline) -> Vec<Segment> {
    let timeline = &timeline.lengths;
    let names: Vec<&str> = timeline.iter().map(|(phase, _)| phase.name()).collect();
    if let Some(chosen) = chosen {
        for name in chosen.0.iter().filter(|n| !names.contains(&n.as_str())) {
            notes.say(
                workload,
                "phases",
                format!("this experiment has no phase `{name}`"),
                format!("expected {}", one_of(names.iter().copied())),
            );
        }
        if chosen.0.is_empty() {
            notes.say(workload, "phases", "a workload without a phase", format!("expected {}", one_of(names.iter().copied())));
        }
    }
    let active = |phase: Phase| chosen.is_none_or(|c| c.0.iter().any(|n| n == phase.name()));
    let segment = |(phase, length): &(Phase, Duration)| Segment {
        phase: *phase,
        length: Length::Duration(*length),
        active: active(*phase),
    };
    timeline.iter().map(segment).collect()
}

fn segments(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Load,
    own_length: Option<Duration>,
    pattern: Option<&Pattern>,
) -> Option<Vec<Segment>> {
    let during = match (own_length, pattern) {
        (Some(length), _) => {
            for key in ["amount", "duration"] {
                refuse(notes, node, &[key], "the steps or stages of the load say how long it is");
            }
            Length::Duration(length)
        }
        // Without an end of its own, a replay ends with its log.
        (None, Some(Pattern::Replay(replay))) if typed.amount.is_none() && typed.duration.is_none() => {
            let warm_up = warm_up_of(typed, replay);
            if warm_up >= replay.requests {
                let found = format!("a warm-up of {warm_up} requests, of {} in the log", replay.requests);
                notes.say(node, "warm-up", found, "expected a warm-up that leaves requests for the measurement");
            }
            Length::Amount(replay.requests.saturating_sub(warm_up).max(1))
        }
        (None, _) => {
            let length = length(notes, node, "the end of the load", typed.amount, typed.duration, pattern)?;
            // Nothing is left to send after the last request of a log.
            match (length, pattern) {
                (Length::Duration(duration), Some(Pattern::Replay(replay))) => {
                    let warm_up = warm_up_of(typed, replay);
                    let start = match &typed.warm_up {
                        Some(types::WarmUp::Until(end)) => end.duration.map_or_else(|| replay.at(warm_up), |d| d.0),
                        _ => Duration::ZERO,
                    };
                    let ends_with_log = warm_up < replay.requests && start.saturating_add(duration) > replay.end();
                    if ends_with_log { Length::Amount(replay.requests - warm_up) } else { length }
                }
                _ => length,
            }
        }
    };
    let warm_up = match (&typed.warm_up, node.get("warm-up")) {
        (Some(types::WarmUp::Until(warm_up)), Some(node)) => {
            length(notes, node, "the end of the warm-up", warm_up.amount, warm_up.duration, pattern)
        }
        _ => None,
    };
    let segment = |phase, length| Segment { phase, length, active: true };
    Some(warm_up.map(|l| segment(Phase::WarmUp, l)).into_iter().chain([segment(Phase::During, during)]).collect())
}

/// How many requests of a log belong to the warm-up.
fn warm_up_of(typed: &types::Load, replay: &Replay) -> u64 {
    match &typed.warm_up {
        Some(types::WarmUp::Until(end)) => end.amount.unwrap_or_else(|| replay.before(end.duration.map(|d| d.0))),
        _ => 0,
    }
}

fn length(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    what: &str,
    amount: Option<u64>,
    duration: Option<types::Duration>,
    pattern: Option<&Pattern>,
) -> Option<Length> {
    match notes.exactly_one(node, what, &["amount", "duration"])? {
        "amount" => {
            if let Some(Err((found, expected))) = amount.map(|amount| amount_fits(amount, pattern)) {
                notes.say(node, "amount", found, expected);
            }
            amount.map(Length::Amount)
        }
        _ => {
            if duration.is_some_and(|d| d.0.is_zero()) {
                notes.say(node, "duration", "a duration of 0", "expected a time, such as `10s`");
            }
            duration.map(|d| Length::Duration(d.0))
        }
    }
}

fn connections(notes: &mut Diagnostics<'_>, node: &Node, connections: u32) {
    if connections == 0 || connections > MAX_CONNECTIONS {
        notes.say(
            node,
            "connections",
            format!("{} cannot carry a load", counted(connections, "connection")),
            format!("expected 1 to {MAX_CONNECTIONS} connections"),
        );
    }
}

fn closed(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Closed, own_length: &mut Option<Duration>) -> Arrivals {
    let mut think = Think::None;
    if let (Some(typed), Some(node)) = (&typed.think, node.get("think")) {
        think = match notes.exactly_one(node, "the think time", &["constant", "exponential"]) {
            Some("constant") => typed.constant.map_or(Think::None, |d| Think::Constant(d.0)),
            Some(_) => typed.exponential.map_or(Think::None, |d| Think::Exponential(d.0)),
            None => Think::None,
        };
    }
    notes.exactly_one(node, "the number of connections", &["connections", "stages"]);
    let mut made = Vec::new();
    if typed.stages.is_some() {
        refuse(notes, node, &["ramp"], "the stages say when connections start");
        let typed = typed.stages.as_deref().unwrap_or_default();
        let stages = typed.iter().map(|stage| (stage.to.map(f64::from), stage.connections.map(f64::from), stage.length.0));
        made = self::stages(notes, node, "connections", stages.collect(), own_length);
        if let Some(most) = most(&made).filter(|most| *most > f64::from(MAX_CONNECTIONS)) {
            let expected = format!("expected at most {MAX_CONNECTIONS} connections");
            notes.say(node, "stages", format!("a stage with {most} connections"), expected);
        }
    }
    // If there are none, that was reported.
    let connections = typed.connections.unwrap_or_else(|| most(&made).map_or(1, |most| (most as u32).clamp(1, MAX_CONNECTIONS)));
    Arrivals::Closed { connections, think, ramp: typed.ramp.map_or(Duration::ZERO, |d| d.0), stages: made }
}

/// The highest value of stages.
fn most(stages: &[Stage]) -> Option<f64> {
    stages.iter().map(|stage| stage.from.max(stage.to)).reduce(f64::max)
}

/// Stages: for each the value to which it changes, or the one that it has, and its length. `key`: the one for the latter.
fn stages(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    key: &'static str,
    typed: Vec<(Option<f64>, Option<f64>, Duration)>,
    own_length: &mut Option<Duration>,
) -> Vec<Stage> {
    let Some(part) = node.get("stages") else { return Vec::new() };
    let (mut made, mut last, mut all) = (Vec::new(), 0.0, Duration::ZERO);
    for (item, (to, held, length)) in part.items().iter().zip(typed) {
        let which = notes.exactly_one(item, "the value of this stage", &["to", key]);
        if length.is_zero() {
            notes.say(item, "for", "a stage of no length", "expected a time, such as `10s`");
        }
        all = all.saturating_add(length);
        let (from, to) = if which == Some("to") { (last, to) } else { (held.unwrap_or_default(), held) };
        let to = to.unwrap_or_default();
        made.push(Stage { from, to, length });
        last = to;
    }
    if made.is_empty() {
        notes.say(
            node,
            "stages",
            "no stages",
            format!("expected a list, such as `[{{to: 100, for: 30s}}, {{{key}: 100, for: 1m}}]`"),
        );
    } else if most(&made) == Some(0.0) {
        notes.say(node, "stages", "stages in which nothing happens: all of them are at 0", "expected at least one above 0");
    }
    if all > units::LONGEST {
        notes.say(
            node,
            "stages",
            format!("stages of {} in all", units::exact_duration(all)),
            "expected a load of at most 365 days",
        );
    }
    *own_length = Some(all.min(units::LONGEST));
    made
}

/// A log as a load. `workload`, `node`: the whole workload, and its `load`.
fn replayed(
    notes: &mut Diagnostics<'_>,
    workload: &Node,
    node: &Node,
    typed: &types::Workload,
    timeline: Option<&Timeline>,
) -> Option<Arrivals> {
    if timeline.is_some() {
        refuse(notes, workload, &["phases"], "a replay runs in all phases");
    }
    if workload.get("url").is_none() {
        notes.say(node, "replay", "only requests over HTTP can be replayed", "expected `url` in the workload");
        return None;
    }
    // What is wrong with it was noted when its requests were read.
    let mut known = Vec::new();
    let replay = replay::read(&mut Diagnostics::new(notes.file, &mut known), workload, typed)?;
    let connections = typed.load.as_ref()?.replay.as_ref()?.connections.unwrap_or(OPEN_CONNECTIONS);
    Some(Arrivals::open(connections, Pattern::Replay(replay), Spacing::Constant))
}

/// Checks a rate.
///
/// # Errors
/// What is wrong, and what was expected, when it is out of range.
pub fn fits(rate: f64) -> Result<(), (String, String)> {
    if (MIN_RATE..=MAX_RATE).contains(&rate) {
        return Ok(());
    }
    let expected = format!("expected a rate from 1 per day (0.042/h) to {} per second", units::count(MAX_RATE as u64));
    Err((format!("a rate of {rate} per second"), expected))
}

/// Checks an amount of passes that follow a pattern, or without a pattern follow each other.
///
/// # Errors
/// What is wrong, and what was expected, when there are too many passes, or they take too long.
pub fn amount_fits(amount: u64, pattern: Option<&Pattern>) -> Result<(), (String, String)> {
    if amount == 0 || amount > MAX_AMOUNT {
        let expected = if amount == 0 { "expected at least 1".to_owned() } else { format!("expected at most {MAX_AMOUNT}") };
        return Err((format!("an amount of {amount}"), expected));
    }
    if let Some(Pattern::Replay(replay)) = pattern.filter(|_| amount > 0) {
        let expected = format!("expected at most {}, which are in the log", replay.requests);
        return if amount > replay.requests { Err((format!("an amount of {amount}"), expected)) } else { Ok(()) };
    }
    let length_s = match pattern {
        Some(Pattern::Rate(rate)) => amount as f64 / rate,
        Some(Pattern::Ramp { from, to }) => amount as f64 * 2.0 / (from + to),
        Some(Pattern::Periodic { every, .. }) => amount as f64 * every.as_secs_f64(),
        // Steps and stages have a length of their own, and so has a log.
        Some(Pattern::Steps { .. } | Pattern::Stages(_) | Pattern::Replay(_)) | None => 0.0,
    };
    if length_s <= units::LONGEST.as_secs_f64() {
        return Ok(());
    }
    let days = units::significant(length_s / 86_400.0);
    let expected = format!("expected a load of at most 365 days, but this one takes {days}");
    Err((format!("an amount of {amount} at this rate"), expected))
}

fn fitting_rate(notes: &mut Diagnostics<'_>, node: &Node, key: &str, rate: f64) {
    if let Err((found, expected)) = fits(rate) {
        notes.say(node, key, found, expected);
    }
}

fn open(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Open, own_length: &mut Option<Duration>) -> Arrivals {
    let kind = notes.exactly_one(node, "the rate of arrivals", &["rate", "ramp", "steps", "stages", "every"]);
    if kind == Some("every") {
        refuse(notes, node, &["arrivals"], "`every` and `jitter` say how passes are spaced");
    } else {
        refuse(notes, node, &["jitter"], "`jitter` belongs to `every`; `arrivals: poisson` spaces a rate at random");
    }
    let nothing = Pattern::Rate(1.0);
    let pattern = match kind {
        Some("rate") => typed.rate.map_or(nothing, |r| Pattern::Rate(r.0)),
        Some("stages") => {
            let typed = typed.stages.as_deref().unwrap_or_default();
            let typed = typed.iter().map(|stage| (stage.to.map(|r| r.0), stage.rate.map(|r| r.0), stage.length.0));
            Pattern::Stages(stages(notes, node, "rate", typed.collect(), own_length))
        }
        Some("ramp") => typed.ramp.as_ref().map_or(nothing, |r| Pattern::Ramp { from: r.from.0, to: r.to.0 }),
        Some("steps") => match (&typed.steps, node.get("steps")) {
            (Some(steps), Some(node)) => {
                if steps.rates.is_empty() {
                    notes.say(node, "rates", "no rates", "expected a list, such as `[100, 200, 500]`");
                }
                if steps.each.0.is_zero() {
                    notes.say(node, "each", "steps of no length", "expected a time, such as `10s`");
                }
                let steps_in_all = u32::try_from(steps.rates.len()).unwrap_or(u32::MAX);
                let length = steps.each.0.checked_mul(steps_in_all).filter(|length| *length <= units::LONGEST);
                if length.is_none() {
                    let found = format!("{steps_in_all} steps of {}", units::exact_duration(steps.each.0));
                    notes.say(node, "each", found, "expected a load of at most 365 days");
                }
                *own_length = Some(length.unwrap_or(units::LONGEST));
                Pattern::Steps { rates: steps.rates.iter().map(|r| r.0).collect(), each: steps.each.0, shuffled: steps.shuffled }
            }
            _ => nothing,
        },
        Some(_) => {
            let every = typed.every.map_or(Duration::from_secs(1), |d| d.0);
            let jitter = typed.jitter.map_or(Duration::ZERO, |d| d.0);
            if every.is_zero() {
                notes.say(node, "every", "an arrival every 0 s", "expected a time, such as `100ms`");
            }
            if jitter > every {
                notes.say(
                    node,
                    "jitter",
                    format!("a jitter of {} in every {}", units::exact_duration(jitter), units::exact_duration(every)),
                    "expected at most the time of `every`: arrivals do not overtake each other",
                );
            }
            Pattern::Periodic { every, jitter }
        }
        None => nothing,
    };
    match &pattern {
        Pattern::Rate(rate) => fitting_rate(notes, node, "rate", *rate),
        Pattern::Ramp { from: 0.0, to: 0.0 } => {
            notes.say(node, "ramp", "a ramp from 0 to 0", "expected a rate above 0 at one end")
        }
        Pattern::Ramp { from, to } => {
            [*from, *to].into_iter().filter(|rate| *rate > 0.0).for_each(|rate| fitting_rate(notes, node, "ramp", rate));
        }
        Pattern::Stages(stages) => {
            // The rate may be 0, but not nearly.
            let rates = || stages.iter().flat_map(|stage| [stage.from, stage.to]).filter(|rate| *rate > 0.0);
            let lowest = rates().reduce(f64::min);
            let highest = rates().reduce(f64::max).filter(|highest| Some(*highest) != lowest);
            lowest.into_iter().chain(highest).for_each(|rate| fitting_rate(notes, node, "stages", rate));
        }
        Pattern::Replay(_) => {}
        Pattern::Steps { rates, .. } => {
            // If many do not fit, the worst is enough.
            let lowest = rates.iter().copied().reduce(f64::min);
            let highest = rates.iter().copied().reduce(f64::max).filter(|highest| Some(*highest) != lowest);
            lowest.into_iter().chain(highest).for_each(|rate| fitting_rate(notes, node, "steps", rate));
        }
        Pattern::Periodic { .. } => {}
    }
    if typed.per.is_none() {
        refuse(notes, node, &["stagger"], "it belongs to `per: connection`");
    }
    let per_connection = typed.per.map(|types::Per::Connection| typed.stagger.map_or_else(|| interval(&pattern), |d| d.0));
    let connections = typed.connections.unwrap_or(OPEN_CONNECTIONS);
    Arrivals::Open { connections, pattern, spacing: typed.arrivals.unwrap_or_default(), per_connection }
}

/// The time from one arrival to the next, at the initial rate of a pattern.
fn interval(pattern: &Pattern) -> Duration {
    let rate = match pattern {
        Pattern::Periodic { every, .. } => return *every,
        Pattern::Rate(rate) | Pattern::Ramp { from: rate, .. } => Some(*rate),
        Pattern::Steps { rates, .. } => rates.first().copied(),
        Pattern::Stages(stages) => stages.iter().map(|stage| stage.from.max(stage.to)).find(|rate| *rate > 0.0),
        Pattern::Replay(_) => None,
    };
    // If it is not a valid rate, that was reported already.
    rate.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok()).unwrap_or_default()
}

fn find(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Find, brought: &[NamedMetric]) -> Option<(Arrivals, Find)> {
    let before = notes.mistakes.len();
    let (low, high) = typed.rate.0;
    [low, high].into_iter().for_each(|rate| fitting_rate(notes, node, "rate", rate));
    let trial = typed.trial.map_or(TRIAL, |d| d.0);
    if trial < Duration::from_millis(100) {
        notes.say(node, "trial", "a trial that is too short to be meaningful", "expected at least 100ms");
    }
    let precision = typed.precision.map_or(PRECISION, |p| p.0);
    if !(0.001..=1.0).contains(&precision) {
        notes.say(node, "precision", format!("a precision of {}%", precision * 100.0), "expected 0.1% to 100%");
    }
    let conditions_node = node.get("while").unwrap_or(node);
    if typed.conditions.is_empty() {
        notes.say(node, "while", "nothing must hold", "expected at least one condition, such as `{response_p99: \"< 50ms\"}`");
    }
    let conditions =
        typed.conditions.iter().filter_map(|(name, bound)| condition(notes, conditions_node, name, &bound.0, brought)).collect();
    let pattern = Pattern::Rate(low);
    let arrivals = Arrivals::Open {
        connections: typed.connections.unwrap_or(OPEN_CONNECTIONS),
        // Trials at higher rates start within the same time, at most one interval of the lowest rate.
        per_connection: typed.per.map(|types::Per::Connection| interval(&pattern)),
        pattern,
        spacing: typed.arrivals.unwrap_or_default(),
    };
    (notes.mistakes.len() == before).then_some((arrivals, Find { low, high, trial, precision, conditions }))
}

/// `response_p99: "< 50ms"`, `errors: "< 0.1%"`.
fn condition(notes: &mut Diagnostics<'_>, node: &Node, name: &str, bound: &str, brought: &[NamedMetric]) -> Option<Condition> {
    let words = format!("{name} {}", bound.trim());
    // What a protocol reports for a trial are shares, in percent.
    let shares = || brought.iter().filter(|metric| metric.unit == "%");
    if shares().any(|metric| metric.name == name) {
        let below = below(bound).and_then(|number| number.trim_end_matches('%').trim().parse::<f64>().ok());
        // Nothing is below 0: what is meant is that it does not happen.
        let below = if bound.trim() == "0" { Some(f64::MIN_POSITIVE) } else { below.filter(|below| *below > 0.0) };
        if below.is_none() {
            notes.say(node, name, format!("`{bound}` is not a bound"), "expected one such as `\"< 0.1%\"`, or `0`");
        }
        return Some(Condition { metric: Metric::by_name(name), below: below?, words });
    }
    let fitting = || catalogue().iter().filter(|row| row.exists.contains(&Exists::InSearch));
    let Some(row) = fitting().find(|row| row.name == name) else {
        let span = node.entry(name).map_or(node.span, |e| e.key_span);
        let shares = shares().map(|metric| metric.name.as_str());
        let known: Vec<&str> = fitting().map(|row| row.name.as_str()).chain(shares).collect();
        notes.mistakes.push(
            schema::Mistake::new(notes.file, span, format!("a rate cannot be judged by `{name}`"))
                .expected(format!("expected {}", expected_metrics(&known)))
                .did_you_mean(name, known),
        );
        return None;
    };
    let below = below(bound).and_then(|number| row.metric.parse(number));
    if below.is_none() {
        let example = if row.unit == Unit::Share { "`\"< 0.1%\"`" } else { "`\"< 50ms\"`" };
        notes.say(node, name, format!("`{bound}` is not a bound"), format!("expected one such as {example}"));
    }
    Some(Condition { metric: row.metric.clone(), below: below?, words })
}

/// The number in `< number`.
fn below(bound: &str) -> Option<&str> {
    bound.trim().strip_prefix('<').map(|b| b.trim_start_matches('=').trim())
}
