//! Reads `faults:` and `abort:`.
//!
//! The name of a fault is the same in all cells, since graphs and expectations refer to it; everything else is evaluated cell by
//! cell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostics::{Diagnostics, refuse};
use plan::faults::{self, Abort, Fault, FaultAction, Victim};
use plan::links::{Changes, Mechanism, Shape};
use plan::{Length, Link, Target, Workload};
use schema::source::one_of;
use schema::{Data, Mistake, Node, SourceFile, Span, types};
use vocabulary::Phase;
use vocabulary::choices::Signal;
use vocabulary::units::{self, exact_duration};

const KINDS: [&str; 5] = ["kill", "stop", "signal", "link", "fill"];
const CHANGES: [&str; 6] = ["delay", "jitter", "loss", "rate", "back", "cut"];
/// How far rate and times may be from those before a fault.
const BAND: f64 = 0.2;
/// How long they must be there.
const HOLD: Duration = Duration::from_secs(1);
/// How long a load must be hopeless before it is given up.
const HOPELESS: Duration = Duration::from_secs(5);

/// What faults may refer to.
pub(super) struct FaultContext<'a> {
    /// The targets of the cell.
    pub targets: &'a [Target],
    /// The names of those of all cells.
    pub names: &'a [String],
    /// The links of the cell.
    pub links: &'a [Link],
    /// The names of those of all cells.
    pub link_names: &'a [&'a str],
    /// The workloads of the cell.
    pub workloads: &'a [Workload],
    /// The names of those of all cells.
    pub workload_names: &'a [&'a str],
    /// Whether scratch directories are in a file system of their own.
    pub has_tmpfs: bool,
    /// Whether the cell needs several machines.
    pub several_machines: bool,
    /// The length of a window.
    pub window: Duration,
}

/// The name of each fault, by its place in the list; `None` where it cannot be told before the cell is known.
pub(super) fn names(section: Option<&Node>) -> Vec<Option<String>> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut name = |item: &Node| {
        if let Some(typed) = item.get("name") {
            return typed.as_text().filter(|text| !text.contains("${")).map(str::to_owned);
        }
        let text = |key: &str| item.get(key).and_then(Node::as_text);
        let kind = KINDS.into_iter().find(|kind| item.get(kind).is_some())?;
        let of = match kind {
            "signal" => format!("{}-{}", text("signal")?, text("target")?),
            kind => text(kind)?.to_owned(),
        };
        let made = format!("{kind}-{}", of.to_lowercase().replace('.', "-"));
        if made.contains("${") {
            return None;
        }
        let count = taken.entry(made.clone()).or_default();
        *count += 1;
        Some(if *count > 1 { format!("{made}-{count}") } else { made })
    };
    section.map(Node::items).unwrap_or_default().iter().map(&mut name).collect()
}

/// Checks the names of faults among each other and against those of everything else that has metrics.
pub(super) fn check_names(file: &Arc<SourceFile>, section: Option<&Node>, others: &[&str], mistakes: &mut Vec<Mistake>) {
    let Some(section) = section else { return };
    if !matches!(section.data, Data::List(_)) {
        let found = format!("{} does not fit here", section.describe());
        let expected = "expected a list, such as `faults: [{at: 10s, kill: blobs.2}]`";
        mistakes.push(Mistake::new(file, section.span, found).expected(expected));
        return;
    }
    let names = names(Some(section));
    for (at, (item, name)) in section.items().iter().zip(&names).enumerate() {
        if !matches!(item.data, Data::Map(_)) {
            let found = format!("{} is not a fault", item.describe());
            let expected = "expected one such as `{at: 10s, kill: blobs.2}`";
            mistakes.push(Mistake::new(file, item.span, found).expected(expected));
            continue;
        }
        let span = item.get("name").map_or(item.head, |node| node.span);
        let Some(name) = name else {
            let is_half = item.get("signal").is_some() && item.get("target").is_none();
            if KINDS.iter().any(|kind| item.get(kind).is_some()) && !is_half {
                let found = "the name of this fault would differ from cell to cell";
                let expected = "expected `name: …` without an expression: graphs and expectations refer to it";
                mistakes.push(Mistake::new(file, span, found).expected(expected));
            }
            continue;
        };
        let fits = (1..=100).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !fits {
            let expected = "expected up to 100 letters, digits, `-` and `_`";
            mistakes.push(Mistake::new(file, span, format!("`{name}` cannot be the name of a fault")).expected(expected));
        } else if others.contains(&name.as_str()) || names[..at].contains(&Some(name.clone())) {
            let expected = "expected another `name`: metrics are distinguished by it";
            mistakes
                .push(Mistake::new(file, span, format!("there is already something with the name `{name}`")).expected(expected));
        }
    }
}

/// Makes a fault from what was typed; `node` is its evaluated YAML.
pub(super) fn fault(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Fault,
    name: &str,
    context: &FaultContext<'_>,
) -> Option<Fault> {
    let before = notes.mistakes.len();
    let kind = notes.exactly_one(node, "what breaks", &KINDS)?;
    let with =
        |keys: &[&str], key: &str, notes: &mut Diagnostics<'_>| refuse(notes, node, keys, &format!("it belongs to `{key}`"));
    if kind != "kill" {
        with(&["restart"], "kill", notes);
    }
    if kind != "signal" {
        with(&["target"], "signal", notes);
    }
    if kind != "link" {
        with(&CHANGES, "link", notes);
    }
    match kind {
        "kill" => refuse(notes, node, &["for"], "expected `restart`, or nothing: what was killed stays dead"),
        "signal" => refuse(notes, node, &["for"], "a signal is over at once"),
        _ => {}
    }
    let action = match kind {
        "kill" => {
            let victim = victim(notes, node, "kill", &typed.kill.as_ref()?.0, context);
            victim.map(|victim| FaultAction::Kill { victim, restart: typed.restart.map(|restart| restart.0) })
        }
        "stop" => victim(notes, node, "stop", &typed.stop.as_ref()?.0, context).map(|victim| FaultAction::Stop { victim }),
        "signal" => {
            let Some(target) = &typed.target else {
                notes.say(node, "", "a signal to nobody", "expected `target:` with the target that gets it");
                return None;
            };
            let signal = typed.signal?;
            victim(notes, node, "target", &target.0, context).map(|victim| FaultAction::Signal { signal, victim })
        }
        "link" => link(notes, node, typed, context),
        _ => fill(notes, node, context),
    };
    let at = instant(notes, node, typed, context);
    if let Some(of) = &typed.of
        && !context.workload_names.contains(&of.as_str())
    {
        let known = || context.workload_names.iter().copied();
        let span = node.get("of").map_or(node.head, |n| n.span);
        let mistake = Mistake::new(notes.file, span, format!("there is no workload `{of}`"));
        notes.mistakes.push(mistake.expected(format!("expected {}", one_of(known()))).did_you_mean(of, known()));
    }
    let band = typed.band.map_or(BAND, |band| band.0);
    if band >= 1.0 {
        notes.say(node, "band", "a band that contains everything", "expected less than 100%");
    }
    let (action, at) = (action?, at?);
    (notes.mistakes.len() == before).then(|| {
        let lasts = typed.lasts.map(|lasts| lasts.0);
        Fault {
            name: name.to_owned(),
            at,
            words: action.words(lasts),
            action,
            lasts,
            of: typed.of.clone(),
            band,
            hold: typed.hold.map_or(HOLD, |hold| hold.0).max(2 * context.window),
            metrics: faults::metrics(),
        }
    })
}

/// A target, or one of its replicas: `blobs`, `blobs.2`.
fn victim(notes: &mut Diagnostics<'_>, node: &Node, key: &str, text: &str, context: &FaultContext<'_>) -> Option<Victim> {
    let text = notes.fixed(node, key, text)?;
    let (name, number) = match text.split_once('.') {
        Some((name, number)) => (name, Some(number)),
        None => (text.as_str(), None),
    };
    if !context.names.iter().any(|known| known == name) {
        let known = || context.names.iter().map(String::as_str);
        let span = node.get(key).map_or(node.head, |n| n.span);
        let expected =
            if context.names.is_empty() { "there is no target".to_owned() } else { format!("expected {}", one_of(known())) };
        let mistake = Mistake::new(notes.file, span, format!("there is no target `{name}`")).expected(expected);
        notes.mistakes.push(mistake.did_you_mean(name, known()));
        return None;
    }
    let Some(target) = context.targets.iter().find(|target| target.name == name) else {
        let expected = "expected a fault with the same `when` as the target";
        notes.say(node, key, format!("`{name}` does not exist in this cell"), expected);
        return None;
    };
    if !target.is_started() {
        notes.say(
            node,
            key,
            format!("`{name}` already runs, elsewhere"),
            "expected a target that runner starts: others cannot be broken",
        );
        return None;
    }
    let count = target.replicas.len() as u32;
    let replica = match number.map(str::parse::<u32>) {
        None => None,
        Some(Ok(number)) if (1..=count).contains(&number) => Some(number),
        Some(_) => {
            let expected = match count {
                1 => format!("expected `{name}`, or its only replica `{name}.1`"),
                count => format!("expected `{name}.1` to `{name}.{count}`, or `{name}` for all of them"),
            };
            notes.say(node, key, format!("`{name}` has no replica `{}`", number.unwrap_or_default()), expected);
            return None;
        }
    };
    Some(Victim { target: name.to_owned(), replica })
}

fn link(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Fault, context: &FaultContext<'_>) -> Option<FaultAction> {
    let name = typed.link.as_ref()?;
    if !context.link_names.contains(&name.as_str()) {
        let known = || context.link_names.iter().copied();
        let span = node.get("link").map_or(node.head, |n| n.span);
        let expected = match context.link_names {
            [] => "there is no link: `links: {wan: {to: server}}` makes one".to_owned(),
            _ => format!("expected {}", one_of(known())),
        };
        let mistake = Mistake::new(notes.file, span, format!("there is no link `{name}`")).expected(expected);
        notes.mistakes.push(mistake.did_you_mean(name, known()));
        return None;
    }
    if CHANGES.iter().all(|key| node.get(key).is_none()) {
        notes.say(node, "link", "this fault does not say what changes", format!("expected {}", one_of(CHANGES)));
        return None;
    }
    let Some(link) = context.links.iter().find(|link| link.name == *name) else {
        notes.say(
            node,
            "link",
            format!("`{name}` does not exist in this cell"),
            "expected a fault with the same `when` as the link",
        );
        return None;
    };
    if context.several_machines {
        let expected = "expected faults of targets only: a link between machines cannot change while the load runs";
        notes.say(node, "link", format!("`{name}` lies between machines"), expected);
    }
    if typed.cut {
        let others: Vec<&str> = CHANGES.into_iter().filter(|key| *key != "cut").collect();
        refuse(notes, node, &others, "nothing passes a link that is cut");
    }
    let own = types::LinkShape { delay: typed.delay, jitter: typed.jitter, loss: typed.loss, rate: typed.rate };
    let forward = shape(notes, node, &own, link.forward, link.mechanism);
    let back = match node.get("back") {
        Some(node) => shape(notes, node, &typed.back, link.back, link.mechanism),
        None => link.back,
    };
    Some(FaultAction::Link { link: name.clone(), forward, back, cut: typed.cut })
}

/// One direction while the fault lasts: what is not typed stays as it is.
fn shape(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::LinkShape, usual: Shape, mechanism: Mechanism) -> Shape {
    let shape = Shape {
        delay: typed.delay.map_or(usual.delay, |delay| delay.0),
        jitter: typed.jitter.map_or(usual.jitter, |jitter| jitter.0),
        loss: typed.loss.map_or(usual.loss, |loss| loss.0),
        rate_bits_per_s: typed.rate.map(|rate| rate.0).or(usual.rate_bits_per_s),
    };
    if shape.jitter > shape.delay {
        let key = if typed.jitter.is_some() { "jitter" } else { "delay" };
        let expected = "expected at most the delay: packets do not arrive before they were sent";
        notes.say(node, key, "a jitter that is longer than the delay", expected);
    }
    if shape.loss >= 1.0 {
        notes.say(node, "loss", "a link that loses everything", "expected less than 100%, or `cut: true`");
    }
    if typed.loss.is_some_and(|loss| loss.0 > 0.0) && mechanism == Mechanism::Relay {
        let expected = "expected `mechanism: netem` or `nfqueue`, which handle packets";
        notes.say(node, "loss", "a relay forwards connections, which lose nothing", expected);
    }
    shape
}

fn fill(notes: &mut Diagnostics<'_>, node: &Node, context: &FaultContext<'_>) -> Option<FaultAction> {
    if !context.has_tmpfs {
        let expected = "expected `scratch: {tmpfs: 64MiB}` in the scenario, so that nothing else becomes full";
        notes.say(node, "fill", "the scratch directory is not a file system of its own", expected);
        return None;
    }
    if context.several_machines {
        notes.say(node, "fill", "each of the machines has its own scratch directory", "expected faults of targets only");
    }
    Some(FaultAction::Fill)
}

/// When a fault happens, from the start of the load, and whether the load lasts that long.
fn instant(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Fault, context: &FaultContext<'_>) -> Option<Duration> {
    let leading = || context.workloads.iter().filter(|w| w.protocol().follows().is_none());
    if leading().any(|workload| workload.load.find.is_some()) {
        notes.say(
            node,
            "at",
            "a search tries one rate after the other, and has no timeline",
            "expected a load with a rate, or connections",
        );
        return None;
    }
    let at = match &typed.phase {
        None => typed.at.0,
        Some(name) => typed.at.0 + phase_start(notes, node, name, context)?,
    };
    let lengths = || leading().map(|workload| span(workload.load.segments.iter().map(|segment| segment.length)));
    let Some(Some(end)) = lengths().reduce(|one, other| Some(one?.max(other?))) else { return Some(at) };
    if at >= end {
        let found = format!("the load is over after {}", exact_duration(end));
        let expected = match typed.phase {
            None => format!("expected a time before {}", exact_duration(end)),
            Some(_) => format!("expected an earlier time: this is {} after the start of the load", exact_duration(at)),
        };
        notes.say(node, "at", found, expected);
        return None;
    }
    let lasts = typed.lasts.map(|lasts| ("for", lasts.0)).or(typed.restart.map(|restart| ("restart", restart.0)));
    if let Some((key, lasts)) = lasts.filter(|(_, lasts)| at + *lasts > end) {
        let found =
            format!("this would be over {} after the start of a load of {}", exact_duration(at + lasts), exact_duration(end));
        notes.say(node, key, found, format!("expected at most {}", exact_duration(end.saturating_sub(at))));
        return None;
    }
    if let Some(hold) = typed.hold.map(|hold| hold.0).filter(|hold| at + *hold > end) {
        let left = exact_duration(end.saturating_sub(at));
        let found = format!("the load ends {left} after this fault, so nothing can hold for {}", exact_duration(hold));
        notes.say(node, "hold", found, format!("expected less than {left}"));
        return None;
    }
    Some(at)
}

/// When a phase starts, where all phases before it have a duration.
fn phase_start(notes: &mut Diagnostics<'_>, node: &Node, name: &str, context: &FaultContext<'_>) -> Option<Duration> {
    let names = Phase::WITH_PASSES.map(Phase::name);
    if !names.contains(&name) {
        let span = node.get("phase").map_or(node.head, |n| n.span);
        let mistake = Mistake::new(notes.file, span, format!("there is no phase `{name}`"));
        notes.mistakes.push(mistake.expected(format!("expected {}", one_of(names))).did_you_mean(name, names));
        return None;
    }
    let mut starts = Vec::new();
    for workload in context.workloads.iter().filter(|w| w.protocol().follows().is_none()) {
        let segments = &workload.load.segments;
        let Some(at) = segments.iter().position(|segment| segment.phase.name() == name) else { continue };
        let Some(start) = span(segments[..at].iter().map(|segment| segment.length)) else {
            let expected = "expected a `duration` for the phases before it, or no `phase`";
            notes.say(node, "phase", format!("nobody knows beforehand when `{name}` starts"), expected);
            return None;
        };
        if !starts.contains(&start) {
            starts.push(start);
        }
    }
    match starts[..] {
        [start] => Some(start),
        [] => {
            notes.say(node, "phase", format!("this experiment has no phase `{name}`"), "expected one that its workloads have");
            None
        }
        _ => {
            let expected = "expected `at` from the start of the load, without `phase`";
            notes.say(node, "phase", format!("`{name}` starts at different times in different workloads"), expected);
            None
        }
    }
}

/// The sum of lengths; none if one of them is not a time.
fn span(lengths: impl Iterator<Item = Length>) -> Option<Duration> {
    let time = |length| match length {
        Length::Duration(duration) => Some(duration),
        Length::Amount(_) => None,
    };
    lengths.map(time).sum()
}

/// What a fault needs for itself, and until when: replicas, links, the scratch file system.
fn held(fault: &Fault, targets: &[Target]) -> Vec<(String, Option<Duration>)> {
    let until = match &fault.action {
        FaultAction::Signal { signal: Signal::Kill, .. } => None,
        FaultAction::Signal { .. } => Some(fault.at),
        FaultAction::Kill { restart, .. } => restart.map(|restart| fault.at + restart),
        _ => fault.lasts.map(|lasts| fault.at + lasts),
    };
    let names = match &fault.action {
        FaultAction::Link { link, .. } => vec![format!("link {link}")],
        FaultAction::Fill => vec!["scratch".to_owned()],
        action => {
            let victim = action.victim().into_iter();
            let replicas = victim.flat_map(|victim| {
                let target = targets.iter().filter(|target| target.name == victim.target);
                target.flat_map(|target| target.replicas.iter().filter(|r| victim.is(&target.name, r.number)))
            });
            let of = |name: &str, number: u32| format!("{name}.{number}");
            replicas.map(|r| of(&action.victim().expect("it has replicas").target, r.number)).collect()
        }
    };
    names.into_iter().map(|name| (name, until)).collect()
}

/// Notes faults of the same thing that overlap in time. `spans`: where each of them is in the file.
pub(super) fn check_overlaps(notes: &mut Diagnostics<'_>, faults: &[(Fault, Span)], targets: &[Target]) {
    let mut order: Vec<&(Fault, Span)> = faults.iter().collect();
    order.sort_by_key(|(fault, _)| fault.at);
    let mut busy: BTreeMap<String, (Option<Duration>, &Fault)> = BTreeMap::new();
    for (fault, span) in order {
        for (name, until) in held(fault, targets) {
            let Some((end, other)) = busy.insert(name, (until, fault)) else { continue };
            if end.is_some_and(|end| end <= fault.at) {
                continue;
            }
            let (found, expected) = match (&other.action, end) {
                (FaultAction::Kill { victim, .. } | FaultAction::Signal { victim, .. }, None) => (
                    format!("`{}` is dead by then: `{}` kills it at {}", victim.words(), other.name, exact_duration(other.at)),
                    match &other.action {
                        FaultAction::Kill { .. } => "expected a fault before that, or `restart` there".to_owned(),
                        _ => "expected a fault before that, or `kill` with `restart` there".to_owned(),
                    },
                ),
                (_, end) => (
                    format!("this fault overlaps with `{}`", other.name),
                    match end {
                        Some(end) => format!("expected it at {} or later, when that one is over", exact_duration(end)),
                        None => format!("expected `for` in `{}`: without it, it lasts until the load is over", other.name),
                    },
                ),
            };
            notes.mistakes.push(Mistake::new(notes.file, *span, found).expected(expected));
            break;
        }
    }
}

/// Says in each link whether a fault changes it.
pub(super) fn mark_links(links: &mut [Link], faults: &[Fault]) {
    for fault in faults {
        let FaultAction::Link { link, forward, back, .. } = &fault.action else { continue };
        for changed in links.iter_mut().filter(|changed| changed.name == *link) {
            let loses = [forward, back].iter().any(|shape| shape.loss > 0.0);
            changed.changes = changed.changes.max(if loses { Changes::Loss } else { Changes::Shape });
        }
    }
}

/// Makes `abort` from what was typed.
pub(super) fn abort(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Abort, window: Duration) -> Option<Abort> {
    let before = notes.mistakes.len();
    let conditions = [("errors", &typed.errors), ("response_p99", &typed.response_p99), ("silence", &typed.silence)];
    if conditions.iter().all(|(_, typed)| typed.is_none()) {
        let words = conditions.map(|(key, _)| key);
        notes.say(
            node,
            "",
            "this does not say when to give up",
            format!("expected {}, such as `errors: \"> 20%\"`", one_of(words)),
        );
        return None;
    }
    let mut bound = |key: &str, typed: &Option<types::Text>, example: &str, parse: &dyn Fn(&str) -> Option<f64>| {
        let text = &typed.as_ref()?.0;
        let value = text.trim().strip_prefix('>').and_then(|rest| parse(rest.trim()));
        if value.is_none() {
            notes.say(node, key, format!("`{text}` is not a bound here"), format!("expected `>` and {example}"));
        }
        value
    };
    let share = |text: &str| units::parse_percent(text).filter(|share| *share < 1.0);
    let time = |text: &str| units::parse_duration(text).filter(|time| !time.is_zero()).map(|time| time.as_secs_f64());
    let errors = bound("errors", &typed.errors, "a percentage below 100%, such as `> 20%`", &share);
    let p99 = bound("response_p99", &typed.response_p99, "a time with its unit, such as `> 2s`", &time);
    let silence = bound("silence", &typed.silence, "a time with its unit, such as `> 5s`", &time);
    if typed.lasts.is_some() && typed.errors.is_none() && typed.response_p99.is_none() {
        notes.say(node, "for", "`for` does not apply to `silence`, which is a time itself", "expected no `for`");
    }
    if silence.is_some_and(|silence| silence < 2.0 * window.as_secs_f64()) {
        let expected = format!("expected at least two windows, {}", exact_duration(2 * window));
        notes.say(node, "silence", "windows arrive one by one, and so does the news of right answers", expected);
    }
    let lasts = typed.lasts.map_or(HOPELESS, |lasts| lasts.0);
    if lasts < 2 * window {
        let expected = format!("expected at least two windows, {}", exact_duration(2 * window));
        notes.say(node, "for", format!("{} is less than two windows", exact_duration(lasts)), expected);
    }
    (notes.mistakes.len() == before).then(|| Abort {
        errors,
        response_p99: p99.map(Duration::from_secs_f64),
        silence: silence.map(Duration::from_secs_f64),
        lasts,
    })
}
