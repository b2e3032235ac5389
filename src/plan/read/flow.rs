//! What a pass does between its steps: pauses, groups, conditions, and the kinds of passes of a mix.
//!
//! `steps` reads the steps themselves, in the order in which they are met here; so a step has the same number in both.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::commands::find_file;
use super::diagnostics::{Diagnostics, find_name};
use plan::flow::{Comparison, DEEPEST, Flow, Kind, MOST_STEPS, Move, Pause, When};
use plan::{Length, Load, Template};
use schema::source::one_of;
use schema::{Data, Entry, Mistake, Node, decode, types};
use vocabulary::digest::Digest;
use vocabulary::units;

/// More repetitions of a group than any user makes.
const MOST_REPEATED: u32 = 10_000;
/// More measured pauses than this tell nothing new.
const MOST_RECORDED: usize = 1_000_000;
/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_7;
/// The widest log-normal distribution that is not a typing error: its mean is 270 000 times the median.
const MAX_SIGMA: f64 = 5.0;

/// An item of `steps`.
pub(super) enum Item<'n> {
    /// A request, message or command.
    Step,
    /// A pause.
    Pause,
    /// A group, with its own items.
    Group(&'n [Node]),
}

/// What an item is, as far as its keys tell.
pub(super) fn item(node: &Node) -> Item<'_> {
    if node.get("pause").is_some() {
        Item::Pause
    } else if node.get("steps").is_some() || node.get("repeat").is_some() {
        Item::Group(node.get("steps").map(Node::items).unwrap_or_default())
    } else {
        Item::Step
    }
}

/// The steps of each kind of pass, as they were typed in `steps`: the name of the kind, if there is a mix, and its items.
pub(super) fn kinds(steps: Option<&Node>) -> Vec<(Option<&str>, &[Node])> {
    match steps.map(|node| (node, &node.data)) {
        Some((node, Data::Map(_))) => {
            node.entries().iter().map(|entry| (Some(entry.key.as_str()), entry.value.items())).collect()
        }
        Some((node, _)) => vec![(None, node.items())],
        None => Vec::new(),
    }
}

/// Whether the item exists in no pass of this cell.
pub(super) fn is_left_out(node: &Node) -> bool {
    matches!(node.get("when").map(|when| &when.data), Some(Data::Bool(false)))
}

/// The values that passes have at some place of `steps`.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// Those of every pass.
    pub certain: BTreeSet<String>,
    /// Those of which the step that carries them may have been left out.
    pub possible: BTreeSet<String>,
}

impl Known {
    /// The values that exist from the start of a pass.
    pub fn new(drawn: BTreeSet<String>) -> Self {
        Self { certain: drawn, possible: BTreeSet::new() }
    }

    /// Adds what was found inside something that may be left out.
    pub fn add_possible(&mut self, inside: Self) {
        let new = inside.certain.into_iter().chain(inside.possible).filter(|name| !self.certain.contains(name));
        self.possible.extend(new.collect::<Vec<_>>());
    }
}

/// The conditions of an item; empty if it has none. `known`: the values at this place, or `None` if names were checked before.
pub(super) fn conditions(notes: &mut Diagnostics<'_>, node: &Node, known: Option<&Known>) -> Vec<When> {
    let Some(part) = node.get("when") else { return Vec::new() };
    let Some(types::When::Values(typed)) = decode::decode::<types::When>(notes.file, part, notes.mistakes) else {
        return Vec::new();
    };
    if typed.is_empty() {
        notes.say(node, "when", "a condition without a value", "expected one such as `{stock: \"> 0\"}`");
    }
    let mut made = Vec::new();
    for (name, text) in typed {
        let Some(entry) = part.entry(&name) else { continue };
        if let Some(known) = known.filter(|known| !known.certain.contains(&name) && !notes.found.contains(&name)) {
            let found = match known.possible.contains(&name) {
                true => format!("`{name}` may not have been carried: its step can be left out"),
                false => format!("`{name}` is a value that no step before this one carries"),
            };
            let mut mistake = Mistake::new(notes.file, entry.key_span, found);
            mistake = match known.possible.contains(&name) {
                true => mistake.expected("expected this step in the same group, or `carry` in a step without `when`"),
                false if known.certain.is_empty() => mistake.expected("expected `carry` in a step before this one, or `draw`"),
                false => mistake
                    .expected(format!("expected {}", one_of(known.certain.iter().map(String::as_str))))
                    .did_you_mean(&name, known.certain.iter().map(String::as_str)),
            };
            notes.mistakes.push(mistake);
        }
        let text = text.0.trim();
        let (comparison, with) = match compared_with(text) {
            Ok(found) => found,
            Err(meant) => {
                let expected =
                    format!("expected {}, and what it is compared with", one_of(Comparison::ALL.map(|(sign, _)| sign)));
                let mistake = Mistake::new(notes.file, entry.value.span, format!("`{text}` is not a comparison"));
                let help = format!("did you mean `{meant}`? To compare with this very text, write `== {text}`");
                notes.mistakes.push(mistake.expected(expected).help(help));
                continue;
            }
        };
        let with = Template::parse(with);
        let late: Vec<&str> = with.names().collect();
        if comparison.is_of_numbers() && late.is_empty() && with.to_text().parse::<f64>().is_err() {
            let found = format!("`{text}` compares with `{}`, which is not a number", with.to_text());
            notes.say(part, &name, found, format!("expected a number after `{}`, such as `\"> 0\"`", comparison.sign()));
        }
        for other in late {
            if known.is_some_and(|known| !known.certain.contains(other)) && !notes.found.contains(other) {
                let span = find_name(notes.file, &entry.value, other).unwrap_or(entry.value.span);
                let mistake =
                    Mistake::new(notes.file, span, format!("`{other}` is a value that no step before this one carries"));
                notes.mistakes.push(mistake.expected("expected a number, a text, or a carried or drawn value"));
            }
        }
        made.push(When { name, known: None, comparison, with });
    }
    made
}

/// Characters of which comparisons consist, and what is easily taken for one.
const SIGNS: [char; 5] = ['=', '<', '>', '!', '~'];

/// A comparison, and what a value is compared with.
///
/// # Errors
/// What was probably meant, if the text looks like a comparison and is none.
fn compared_with(text: &str) -> Result<(Comparison, &str), String> {
    let rest = text.trim_start_matches(SIGNS);
    let signs = &text[..text.len() - rest.len()];
    if let Some((_, comparison)) = Comparison::ALL.iter().find(|(sign, _)| *sign == signs) {
        return Ok((*comparison, rest.trim()));
    }
    if !signs.is_empty() {
        let meant = match signs {
            "=" | "===" | "~" | "~~" | "=~" => "==",
            "!" | "=!" | "~=" | "!~" | "!==" | "<>" => "!=",
            "=>" | ">==" => ">=",
            "=<" | "<==" => "<=",
            ">>" => ">",
            "<<" => "<",
            // A text that starts with more signs.
            _ if signs.starts_with("!=") => return Err(format!("!= {}", &text[2..])),
            _ => return Err(format!("== {}", text.strip_prefix("==").unwrap_or(text))),
        };
        return Err(format!("{meant} {}", rest.trim()));
    }
    let front = text.trim_end_matches(SIGNS);
    let signs = &text[front.len()..];
    // Other texts may well end so, such as those in base64.
    if signs.contains(['<', '>']) || !signs.is_empty() && front.ends_with(char::is_whitespace) {
        let meant = match signs {
            "<" => ">",
            ">" => "<",
            "<=" | "=<" => ">=",
            ">=" | "=>" => "<=",
            "!=" | "!" => "!=",
            _ => "==",
        };
        return Err(format!("{meant} {}", front.trim()));
    }
    Ok((Comparison::Is, text))
}

/// The values that conditions compare, wherever they are in `steps`.
pub(super) fn compared(steps: Option<&Node>) -> Vec<String> {
    let Some(steps) = steps else { return Vec::new() };
    let mut names = Vec::new();
    for entry in steps.get("when").map(Node::entries).unwrap_or_default() {
        names.push(entry.key.clone());
        names.extend(entry.value.as_text().iter().flat_map(|text| {
            let template = Template::parse(text);
            template.names().map(str::to_owned).collect::<Vec<_>>()
        }));
    }
    let inner = steps.items().iter().chain(steps.entries().iter().map(|entry| &entry.value));
    inner.for_each(|node| names.extend(compared(Some(node))));
    names
}

/// Says how conditions on values of passes are written, where a computation uses values that are known only then.
pub(super) fn help_with_conditions(steps: Option<&Node>, mistakes: &mut [Mistake]) {
    let Some(steps) = steps.filter(|_| !mistakes.is_empty()) else { return };
    if let Some(when) = steps.get("when") {
        let inside = |mistake: &&mut Mistake| when.span.start <= mistake.span.start && mistake.span.end <= when.span.end;
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.help.is_none()).filter(inside) {
            mistake.help = Some("a condition on values of a pass is a map, such as `when: {stock: \"> 0\"}`".to_owned());
        }
    }
    let inner = steps.items().iter().chain(steps.entries().iter().map(|entry| &entry.value));
    inner.for_each(|node| help_with_conditions(Some(node), mistakes));
}

/// Notes what is wrong with a pause, or with a group besides its steps.
pub(super) fn check(notes: &mut Diagnostics<'_>, node: &Node, depth: usize) {
    match item(node) {
        Item::Step => {}
        Item::Pause => drop(pause(notes, node)),
        Item::Group(_) => {
            let Some(typed) = decode::decode::<types::GroupItem>(notes.file, node, notes.mistakes) else { return };
            if typed.repeat.is_none() && typed.when.is_none() {
                notes.say(
                    node,
                    "steps",
                    "a group that is neither repeated nor left out",
                    "expected `repeat` or `when` beside it",
                );
            }
            if let Some(times) = typed.repeat.filter(|times| *times == 0 || *times > MOST_REPEATED) {
                let found =
                    if times == 0 { "a group that is never executed".to_owned() } else { format!("{times} rounds in one pass") };
                notes.say(node, "repeat", found, format!("expected 1 to {MOST_REPEATED}"));
            }
            if typed.steps.is_empty() {
                notes.say(node, "steps", "a group without steps", "expected at least one step or pause");
            }
            if depth >= DEEPEST {
                let expected = format!("expected at most {DEEPEST} groups within each other");
                notes.say(node, "steps", "a group within too many others", expected);
            }
        }
    }
}

/// The pause of an item.
fn pause(notes: &mut Diagnostics<'_>, node: &Node) -> Option<Pause> {
    let typed = decode::decode::<types::PauseItem>(notes.file, node, notes.mistakes)?;
    let part = node.get("pause")?;
    let drawn = match typed.pause {
        types::Pause::Constant(time) => return Some(Pause::Constant(time.0)),
        types::Pause::Drawn(drawn) => drawn,
    };
    Some(match notes.exactly_one(part, "the length of the pause", &["constant", "exponential", "log-normal", "recorded"])? {
        "constant" => Pause::Constant(drawn.constant?.0),
        "exponential" => Pause::Exponential(drawn.exponential?.0),
        "log-normal" => log_normal(notes, part.get("log-normal")?, &drawn.log_normal?)?,
        _ => recorded(notes, part, drawn.recorded?)?,
    })
}

fn log_normal(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::LogNormal) -> Option<Pause> {
    let median = typed.median.0;
    if median.is_zero() {
        notes.say(node, "median", "a median of 0", "expected a time, such as `1s`");
        return None;
    }
    let sigma = match notes.exactly_one(node, "the spread of the pauses", &["sigma", "p95"])? {
        "sigma" => {
            let sigma = typed.sigma?;
            if !(sigma > 0.0 && sigma <= MAX_SIGMA) {
                notes.say(node, "sigma", format!("a sigma of {sigma}"), format!("expected more than 0 and at most {MAX_SIGMA}"));
            }
            sigma
        }
        _ => {
            let p95 = typed.p95?.0;
            let sigma = (p95.as_secs_f64() / median.as_secs_f64()).ln() / Z95;
            if !(sigma > 0.0 && sigma <= MAX_SIGMA) {
                let found = format!("a p95 of {} with a median of {}", units::exact_duration(p95), units::exact_duration(median));
                notes.say(node, "p95", found, "expected a time that is longer than the median, and less than 3000 times as long");
            }
            sigma
        }
    };
    Some(Pause::LogNormal { median, sigma })
}

fn recorded(notes: &mut Diagnostics<'_>, node: &Node, typed: types::Recorded) -> Option<Pause> {
    let (from, pauses): (String, Vec<Duration>) = match typed {
        types::Recorded::List(list) => ("a list".to_owned(), list.iter().map(|d| d.0).collect()),
        types::Recorded::File(name) => {
            let name = notes.fixed(node, "recorded", &name)?;
            let Some(path) = find_file(&notes.file.path, &name).filter(|path| path.is_file()) else {
                let expected = "expected a file, relative to the scenario's folder or one above it";
                notes.say(node, "recorded", format!("there is no file `{name}`"), expected);
                return None;
            };
            let pauses = in_file(&path, &name).map_err(|(found, expected)| notes.say(node, "recorded", found, expected)).ok()?;
            (name, pauses)
        }
    };
    if pauses.is_empty() {
        notes.say(node, "recorded", "no pauses", "expected at least one duration");
        return None;
    }
    let mut digest = Digest::default();
    pauses.iter().for_each(|pause| digest.add(&pause.as_nanos().to_le_bytes()));
    Some(Pause::Recorded { from, count: pauses.len(), content: digest.text(), pauses: pauses.into() })
}

/// The pauses in a file: a duration, or a number of seconds, on each line that is not empty.
fn in_file(path: &Path, name: &str) -> Result<Vec<Duration>, (String, String)> {
    let unreadable = |e: std::io::Error| (format!("cannot read {name}: {e}"), "expected a text file".to_owned());
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let mut pauses = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line = line.trim();
        let seconds = || line.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let pause = units::parse_duration(line).or_else(seconds).filter(|pause| *pause <= units::LONGEST);
        let Some(pause) = pause else {
            let found = format!("line {} of {name} is `{}`, which is not a pause", number + 1, short(line));
            return Err((found, "expected a duration such as `1.5s`, or a number of seconds, on each line".to_owned()));
        };
        if pauses.len() == MOST_RECORDED {
            return Err((format!("more than {MOST_RECORDED} pauses in {name}"), "expected fewer".to_owned()));
        }
        pauses.push(pause);
    }
    Ok(pauses)
}

/// The start of a line.
fn short(line: &str) -> String {
    let start: String = line.chars().take(40).collect();
    if start.len() < line.len() { format!("{start}…") } else { start }
}

/// What passes do; `steps`: how many steps they have in all. The steps and the other items were checked before, by
/// [`super::steps::read`].
pub(super) fn flow(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload, steps: usize) -> Flow {
    let weights = mix(notes, node, typed);
    if node.get("steps").is_none() {
        return Flow::plain(steps);
    }
    let mut next = 0;
    let mut made = Vec::new();
    for (name, items) in kinds(node.get("steps")) {
        let moves = moves(notes, items, &mut next);
        let weight = name.map_or(1.0, |name| weights.iter().find(|(n, _)| n == name).map_or(0.0, |(_, weight)| *weight));
        let part = name.and_then(|name| node.get("steps")?.get(name)).or_else(|| node.get("steps")).unwrap_or(node);
        if !items.is_empty() && moves.iter().map(Move::certain_steps).sum::<u64>() == 0 {
            let (found, expected) = match moves.iter().map(Move::steps).max() {
                None | Some(0) => {
                    ("a pass without a request", "expected at least one step besides the pauses, such as `{get: /}`")
                }
                Some(_) => (
                    "a pass in which every step can be left out",
                    "expected at least one step without `when`: a pass without a request has no time",
                ),
            };
            notes.mistakes.push(Mistake::new(notes.file, part.span, found).expected(expected));
        }
        let most = moves.iter().map(Move::steps).fold(0, u64::saturating_add);
        if most > MOST_STEPS {
            let found = format!("up to {most} steps in one pass");
            let mistake = Mistake::new(notes.file, part.span, found);
            notes.mistakes.push(mistake.expected(format!("expected at most {MOST_STEPS}")));
        }
        made.push(Kind { name: name.map(str::to_owned), weight, moves });
    }
    Flow::of(made)
}

/// The moves of a list of items, whose first step has the number `next`.
fn moves(notes: &mut Diagnostics<'_>, items: &[Node], next: &mut u16) -> Vec<Move> {
    // Mistakes were noted when the steps were read.
    let mut known = Vec::new();
    let mut quiet = Diagnostics::new(notes.file, &mut known);
    let mut moves = Vec::new();
    for node in items.iter().filter(|node| !is_left_out(node)) {
        let conditions = conditions(&mut quiet, node, None);
        let inner = match item(node) {
            Item::Step => {
                *next += 1;
                vec![Move::Step(*next - 1)]
            }
            // A pause of 0 is none, as where a factor has a level without pauses.
            Item::Pause => pause(&mut quiet, node).filter(|pause| !pause.mean().is_zero()).map(Move::Pause).into_iter().collect(),
            Item::Group(items) => {
                let inner = self::moves(&mut quiet, items, next);
                let times = node.get("repeat").and_then(|n| n.to_json().as_u64()).unwrap_or(1) as u32;
                if times == 1 { inner } else { vec![Move::Repeat { times, moves: inner }] }
            }
        };
        match conditions.is_empty() {
            true => moves.extend(inner),
            false => moves.push(Move::When { conditions, moves: inner }),
        }
    }
    moves
}

/// The weights of `mix`, and what is wrong with them or with the lists of steps that they name.
fn mix(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Workload) -> Vec<(String, f64)> {
    let listed: Vec<&str> = match &node.get("steps").map(|steps| &steps.data) {
        Some(Data::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
        _ => Vec::new(),
    };
    let Some(part) = node.get("mix") else {
        let is_step = |entry: &Entry| !matches!(entry.value.data, Data::List(_));
        if let Some((steps, first)) =
            node.get("steps").and_then(|steps| Some((steps, steps.entries().iter().find(|e| is_step(e))?)))
        {
            // A kind of pass has a list; this is one step that is not in one.
            let mistake = Mistake::new(notes.file, steps.head, "one step instead of a list of steps");
            let mistake = mistake.expected("expected a list, such as `steps: [{get: /}]`");
            notes.mistakes.push(mistake.help(format!("`- ` is missing before `{}`", first.key)));
        } else if let [name] = listed.as_slice() {
            let found = format!("a list of steps for one kind of pass, `{name}`");
            let expected =
                "expected the steps themselves: `steps: [{get: /}]`; several kinds of passes have their weights in `mix`";
            notes.say(node, "steps", found, expected);
        } else if !listed.is_empty() {
            let weights: Vec<String> = listed.iter().map(|name| format!("{name}: 1")).collect();
            let found = "lists of steps for several kinds of passes, and no `mix`";
            notes.say(node, "steps", found, format!("expected their weights, such as `mix: {{{}}}`", weights.join(", ")));
        }
        return Vec::new();
    };
    if let Some(steps) = node.get("steps").filter(|_| listed.is_empty() && !typed.mix.is_empty()) {
        let names: Vec<String> = typed.mix.keys().map(|name| format!("{name}: […]")).collect();
        let found = "one list of steps, and a `mix` of several kinds of passes";
        let expected = format!("expected a list of steps for each kind: `steps: {{{}}}`", names.join(", "));
        notes.mistakes.push(Mistake::new(notes.file, steps.head, found).expected(expected));
        return Vec::new();
    }
    let weights: Vec<(String, f64)> =
        part.entries().iter().filter_map(|entry| Some((entry.key.clone(), typed.mix.get(&entry.key)?.0))).collect();
    for entry in part.entries() {
        if !listed.is_empty() && !listed.contains(&entry.key.as_str()) {
            let mistake = Mistake::new(notes.file, entry.key_span, format!("`steps` has no list for the kind `{}`", entry.key));
            let mistake = mistake.expected(format!("expected {}", one_of(listed.iter().copied())));
            notes.mistakes.push(mistake.did_you_mean(&entry.key, listed.iter().copied()));
        }
    }
    for entry in node.get("steps").map(Node::entries).unwrap_or_default() {
        kind_named(notes, entry, part);
    }
    // What is wrong with a weight was noted.
    match if weights.len() == part.entries().len() { weights.as_slice() } else { return weights } {
        [] => notes.say(node, "mix", "a mix of nothing", "expected at least two kinds, such as `{browse: 70, buy: 30}`"),
        [(name, _)] => {
            let expected = "expected at least two kinds; for one kind of pass, `steps` is a list and there is no `mix`";
            notes.say(node, "mix", format!("a mix of one kind, `{name}`"), expected);
        }
        many if many.iter().all(|(_, weight)| *weight == 0.0) => {
            notes.say(node, "mix", "a mix in which every weight is 0", "expected at least one weight above 0");
        }
        many if !many.iter().map(|(_, weight)| weight).sum::<f64>().is_finite() => {
            let expected = "expected smaller ones, such as `{browse: 70, buy: 30}`: only their proportions matter";
            notes.say(node, "mix", "weights whose sum is larger than any number", expected);
        }
        _ => {}
    }
    weights
}

/// Notes what is wrong with a list of steps below a name.
fn kind_named(notes: &mut Diagnostics<'_>, entry: &schema::Entry, mix: &Node) {
    let name = &entry.key;
    let named_well = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    let mut say = |found: String, expected: &str| {
        notes.mistakes.push(Mistake::new(notes.file, entry.key_span, found).expected(expected));
    };
    if !named_well {
        say(format!("`{name}` cannot be the name of a kind of pass"), "expected lower-case letters, digits, `-` and `_`");
    } else if name == "pass" {
        say("a kind of pass cannot be named `pass`".to_owned(), "expected another name: `(pass)` means all passes together");
    } else if !mix.entries().is_empty() && mix.get(name).is_none() {
        say(format!("the kind `{name}` has no weight in `mix`"), "expected its weight, such as `30`, or `0` for none");
    }
    if !matches!(entry.value.data, Data::List(_) | Data::Poison) {
        let mistake = Mistake::new(notes.file, entry.value.span, format!("{} does not fit here", entry.value.describe()));
        notes.mistakes.push(mistake.expected("expected the steps of this kind of pass in a list"));
    } else if entry.value.items().is_empty() && !matches!(entry.value.data, Data::Poison) {
        let mistake = Mistake::new(notes.file, entry.value.span, format!("the kind `{name}` has no steps"));
        notes.mistakes.push(mistake.expected("expected at least one step"));
    }
}

/// Notes pauses that are so long that no pass would end within the load.
pub(super) fn check_length(notes: &mut Diagnostics<'_>, node: &Node, flow: &Flow, load: &Load) {
    let lengths = load.segments.iter().filter(|segment| segment.active).map(|segment| match segment.length {
        Length::Duration(length) => Some(length),
        Length::Amount(_) => None,
    });
    let Some(length) = lengths.collect::<Option<Vec<_>>>().filter(|lengths| !lengths.is_empty()) else { return };
    let length = length.into_iter().fold(load.drain, Duration::saturating_add);
    for kind in flow.kinds.iter().filter(|kind| kind.weight > 0.0) {
        let least = kind.moves.iter().map(Move::least_pause).fold(Duration::ZERO, Duration::saturating_add);
        if least > length {
            let steps = node.get("steps").unwrap_or(node);
            let part = kind.name.as_deref().and_then(|name| steps.get(name)).unwrap_or(steps);
            let span = first_pause(part).map_or(part.head, |node| node.span);
            let pauses = units::exact_duration(least);
            let found =
                format!("the pauses of a pass take {pauses}, and the load with its drain only {}", units::exact_duration(length));
            notes.mistakes.push(
                Mistake::new(notes.file, span, found).expected("expected shorter pauses, or a longer load: no pass would end"),
            );
        }
    }
}

/// The first pause in a part of the file.
fn first_pause(node: &Node) -> Option<&Node> {
    node.get("pause")
        .or_else(|| node.items().iter().chain(node.get("steps").map(Node::items).unwrap_or_default()).find_map(first_pause))
}

/// Notes what only a workload with plain steps can have, where its protocol has no such passes.
pub(super) fn refuse_flow(notes: &mut Diagnostics<'_>, node: &Node, why: &str) {
    super::diagnostics::refuse(notes, node, &["mix"], why);
    for (_, items) in kinds(node.get("steps")) {
        for item in items {
            super::diagnostics::refuse(notes, item, &["pause", "repeat", "when"], why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_told_from_texts() {
        for (text, comparison, with) in [
            ("> 0", Comparison::Above, "0"),
            (">=${x}", Comparison::AtLeast, "${x}"),
            ("==  a b ", Comparison::Is, "a b"),
            ("== => 3", Comparison::Is, "=> 3"),
            ("!= !", Comparison::IsNot, "!"),
            ("open", Comparison::Is, "open"),
            ("c2VjcmV0MQ==", Comparison::Is, "c2VjcmV0MQ=="),
            ("", Comparison::Is, ""),
        ] {
            assert_eq!(compared_with(text), Ok((comparison, with)), "{text}");
        }
        for (text, meant) in [
            ("=> 3", ">= 3"),
            ("=3", "== 3"),
            ("=== 3", "== 3"),
            ("~ 3", "== 3"),
            ("!closed", "!= closed"),
            ("<> 3", "!= 3"),
            ("==!x", "== !x"),
            ("3 <", "> 3"),
            ("3>=", "<= 3"),
            ("3 =", "== 3"),
        ] {
            assert_eq!(compared_with(text), Err(meant.to_owned()), "{text}");
        }
    }
}
