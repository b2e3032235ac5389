//! Reads `taps:`.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, refuse};
use super::programs::{missing_need, missing_program};
use super::{commands, control, requests};
use plan::taps::{COLUMNS, FieldKind, Moment, Tap, TapField, TapFigure, TapJoin, TapMetric, TapSource, UNJOINED};
use plan::{Target, Template};
use schema::source::one_of;
use schema::{Entry, Mistake, Node, types};
use vocabulary::{Metric, Quantile};

/// Units of times, and how many nanoseconds each has.
const TIME_UNITS: [(&str, f64); 4] = [("ms", 1e6), ("s", 1e9), ("us", 1e3), ("ns", 1.0)];

/// The names that a tap may refer to.
pub(super) struct TapContext<'a> {
    /// All targets of the scenario.
    pub names: &'a [String],
    /// Those of the cell.
    pub targets: &'a [Target],
    /// All workloads of the scenario.
    pub workloads: &'a [&'a str],
    /// All taps of the scenario.
    pub taps: &'a [Entry],
}

/// The role of the machine on which the target of a log is.
pub(super) fn place_of_log<'t>(typed: &types::Tap, targets: &'t [Target]) -> Option<&'t str> {
    targets.iter().find(|target| typed.log.as_ref() == Some(&target.name))?.on.as_deref()
}

/// Makes a tap from what was typed; `node` is its evaluated YAML. Also returns why its cell is skipped, if so.
///
/// `None` if there is a mistake, or if its target does not exist in this cell: then there is nothing to read.
pub(super) fn tap(
    notes: &mut Diagnostics<'_>,
    entry: &Entry,
    node: &Node,
    typed: &types::Tap,
    context: &TapContext<'_>,
) -> Option<(Tap, Option<String>)> {
    let before = notes.mistakes.len();
    let kind = notes.exactly_one(node, "what is followed", &["log", "file", "tcp", "control", "command", "shell"])?;
    match kind {
        "shell" => refuse(notes, node, &["args"], "expected the arguments in the command line of `shell` itself"),
        "command" => {}
        _ => refuse(notes, node, &["args", "env", "dir"], "it belongs to a command"),
    }
    if kind != "tcp" {
        refuse(notes, node, &["send"], "it belongs to a connection, which has `tcp`");
    }
    if kind == "control" {
        refuse(notes, node, &["regex", "types"], "events of a control port have their own fields");
    } else {
        refuse(notes, node, &["cookie", "events"], "it belongs to `control`");
    }
    let source = source(notes, node, kind, typed, context);
    let fields = if kind == "control" { Some(event_fields()) } else { fields(notes, node, typed) };
    let join = join(notes, node, typed, fields.as_deref(), context);
    let metrics = metrics(notes, node, &entry.key, typed, fields.as_deref(), context);
    let skipped = missing_need(&typed.needs.0);
    let (source, fields) = (source?, fields?);
    (notes.mistakes.len() == before).then(|| {
        let (name, regex) = (entry.key.clone(), typed.regex.clone().unwrap_or_default());
        let on = typed.on.clone().or_else(|| place_of_log(typed, context.targets).map(str::to_owned));
        (Tap { name, on, source, regex, fields, join, metrics, required: typed.required }, skipped)
    })
}

fn source(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    kind: &str,
    typed: &types::Tap,
    context: &TapContext<'_>,
) -> Option<TapSource> {
    match kind {
        "log" => {
            let name = typed.log.clone()?;
            if !context.names.contains(&name) {
                unknown(notes, node, "log", "target", &name, context.names.iter().map(String::as_str));
                return None;
            }
            let target = context.targets.iter().find(|t| t.name == name)?;
            if !target.is_started() {
                notes.say(
                    node,
                    "log",
                    format!("runner does not start `{name}`, and has no log of it"),
                    "expected `file` or `tcp`",
                );
            }
            Some(TapSource::Log(name))
        }
        "file" => Some(TapSource::File(commands::path(&notes.file.path, &typed.file.as_ref()?.0))),
        "tcp" => {
            let address = Template::parse(&typed.tcp.as_ref()?.0);
            if address.names().next().is_none() {
                requests::address(notes, node, "tcp", &address.to_text())?;
            }
            let send = typed.send.iter().map(|line| Template::parse(&line.0)).collect();
            if let Some(line) = node
                .get("send")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .find(|line| line.as_text().is_some_and(|text| text.trim_end_matches(['\r', '\n']).contains(['\r', '\n'])))
            {
                notes
                    .mistakes
                    .push(Mistake::new(notes.file, line.span, "a line with a line break").expected("expected a list of lines"));
            }
            Some(TapSource::Tcp { address, send })
        }
        "control" => {
            let events: Vec<String> = match typed.events.is_empty() {
                true => control::USUAL_EVENTS.map(str::to_owned).to_vec(),
                false => typed.events.clone(),
            };
            for (at, event) in typed.events.iter().enumerate().filter(|(_, event)| !control::EVENTS.contains(&event.as_str())) {
                let span = node.get("events").map_or(node.head, |n| n.items().get(at).unwrap_or(n).span);
                let mistake = Mistake::new(notes.file, span, format!("Tor has no event `{event}`"));
                notes.mistakes.push(mistake.expected("expected one such as `CIRC`").did_you_mean(event, control::EVENTS));
            }
            let port = control::port(notes, node, "control", typed.control.as_ref()?, typed.cookie.as_ref())?;
            Some(TapSource::Control { port, events })
        }
        _ => {
            let argv = commands::argv(notes, node, typed.command.as_deref(), typed.shell.as_deref(), &typed.args)?;
            let missing = missing_program(&argv[0].to_text(), typed.dir.as_deref());
            if let Some(missing) = missing.filter(|m| !typed.needs.0.contains(m)) {
                notes.say_missing(node, "command", &missing);
            }
            let env = commands::environment(notes, node, &typed.env);
            Some(TapSource::Command { argv, env, dir: commands::folder(notes, node, typed.dir.as_deref()) })
        }
    }
}

/// Notes that nothing of this kind has this name.
fn unknown<'k>(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    key: &str,
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) {
    let span = node.get(key).map_or(node.head, |n| n.span);
    let expected = if known.clone().next().is_none() {
        format!("expected none: there is no {kind}")
    } else {
        format!("expected {}", one_of(known.clone()))
    };
    let mistake = Mistake::new(notes.file, span, format!("there is no {kind} `{name}`")).expected(expected);
    notes.mistakes.push(mistake.did_you_mean(name, known));
}

/// The named groups, each with its type; `None` if `regex` is not a regular expression, so that nothing more can be
/// checked.
fn fields(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Tap) -> Option<Vec<TapField>> {
    let Some(pattern) = &typed.regex else {
        notes.say(node, "regex", "this tap does not say which lines are rows", "expected `regex: …` with named groups");
        return None;
    };
    requests::regex(notes, node, "regex", pattern);
    let regex = regex::Regex::new(pattern).ok()?;
    let names: Vec<&str> = regex.capture_names().flatten().collect();
    for name in &names {
        if COLUMNS.contains(name) {
            let expected = format!("expected a name other than {}: every tap has these", one_of(COLUMNS));
            notes.say(node, "regex", format!("a group cannot be named `{name}`"), expected);
        }
    }
    for entry in node.get("types").map(Node::entries).unwrap_or_default() {
        if !names.contains(&entry.key.as_str()) {
            let mistake = Mistake::new(notes.file, entry.key_span, format!("`regex` has no group `{}`", entry.key));
            notes.mistakes.push(mistake.expected(expected_groups(&names)).did_you_mean(&entry.key, names.iter().copied()));
        }
        if let Some(types::FieldType::Time(format)) = typed.types.get(&entry.key)
            && let Err(reason) = is_format(format)
        {
            let found = format!("`{format}` is not a format of time stamps: {reason}");
            notes.say(
                &entry.value,
                "time",
                found,
                "expected a strftime format that can be parsed, such as `%Y-%m-%dT%H:%M:%S.%f`",
            );
        }
    }
    let kind = |name: &str| match typed.types.get(name) {
        None | Some(types::FieldType::Text) => FieldKind::Text,
        Some(types::FieldType::Number) => FieldKind::Number,
        Some(types::FieldType::Unix) => FieldKind::Unix,
        Some(types::FieldType::UnixMs) => FieldKind::UnixMs,
        Some(types::FieldType::Time(format)) => FieldKind::Time(format.clone()),
    };
    Some(names.iter().map(|name| TapField { name: (*name).to_owned(), kind: kind(name) }).collect())
}

/// The fields of events of a control port.
fn event_fields() -> Vec<TapField> {
    let kind = |is_number: bool| if is_number { FieldKind::Number } else { FieldKind::Text };
    control::FIELDS.map(|(name, is_number)| TapField { name: name.to_owned(), kind: kind(is_number) }).to_vec()
}

fn expected_groups(names: &[&str]) -> String {
    match names {
        [] => "expected none: no group of it has a name, such as `(?<id>.*)`".to_owned(),
        _ => format!("expected {}", one_of(names.iter().copied())),
    }
}

/// Whether a time of day can be read in this format: a printed time must be read back.
fn is_format(format: &str) -> Result<(), String> {
    let sample =
        jiff::civil::date(2001, 2, 3).at(4, 5, 6, 120_000_000).to_zoned(jiff::tz::TimeZone::UTC).map_err(|e| e.to_string())?;
    let written = jiff::fmt::strtime::format(format, &sample).map_err(|e| e.to_string())?;
    let read = jiff::fmt::strtime::parse(format, &written).map_err(|e| e.to_string())?;
    if read.hour().is_none() && read.timestamp().is_none() {
        return Err("it has no time of day".to_owned());
    }
    Ok(())
}

fn join(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &types::Tap,
    fields: Option<&[TapField]>,
    context: &TapContext<'_>,
) -> Option<TapJoin> {
    let (typed, part) = (typed.join.as_ref()?, node.get("join")?);
    if !context.workloads.contains(&typed.workload.as_str()) {
        unknown(notes, part, "workload", "workload", &typed.workload, context.workloads.iter().copied());
    }
    has_group(notes, part, "key", &typed.key, fields);
    Some(TapJoin { workload: typed.workload.clone(), key: typed.key.clone() })
}

/// The field with this name, or a mistake.
fn has_group<'f>(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    key: &str,
    name: &str,
    fields: Option<&'f [TapField]>,
) -> Option<&'f TapField> {
    let fields = fields?;
    let found = fields.iter().find(|f| f.name == name);
    if found.is_none() {
        let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
        let span = node.get(key).map_or(node.head, |n| n.span);
        let mistake = Mistake::new(notes.file, span, format!("`regex` has no group `{name}`"));
        notes.mistakes.push(mistake.expected(expected_groups(&names)).did_you_mean(name, names));
    }
    found
}

fn metrics(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    tap: &str,
    typed: &types::Tap,
    fields: Option<&[TapField]>,
    context: &TapContext<'_>,
) -> Vec<TapMetric> {
    let mut made = Vec::new();
    for (name, typed_metric) in &typed.metrics {
        let Some(entry) = node.get("metrics").and_then(|m| m.entry(name)) else { continue };
        let nameable = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let known = Metric::find(name).is_some() || name == UNJOINED;
        if !nameable || known {
            let why = if known { "it already is a metric" } else { "expected lower-case letters, digits and `_`" };
            let mistake = Mistake::new(notes.file, entry.key_span, format!("`{name}` cannot be the name of a metric"));
            notes.mistakes.push(mistake.expected(why));
        }
        let mut reader = MetricReader { notes, node: &entry.value, tap, joined: typed.join.as_ref(), fields, context };
        let Some(figure) = reader.figure(typed_metric) else { continue };
        let (per, unit) = reader.unit(&figure, typed_metric);
        made.push(TapMetric { name: name.clone(), figure, per, times: typed_metric.times.unwrap_or(1.0), unit });
    }
    made
}

/// One metric that is being read.
struct MetricReader<'m, 'n> {
    notes: &'m mut Diagnostics<'n>,
    node: &'m Node,
    tap: &'m str,
    joined: Option<&'m types::TapJoin>,
    fields: Option<&'m [TapField]>,
    context: &'m TapContext<'m>,
}

impl MetricReader<'_, '_> {
    fn figure(&mut self, typed: &types::TapMetric) -> Option<TapFigure> {
        let kinds = ["count", "rate", "gap", "sum", "mean", "max", "since", "until", "from"];
        let kind = self.notes.exactly_one(self.node, "what the metric is made of", &kinds)?;
        if !matches!(kind, "gap" | "from") {
            refuse(self.notes, self.node, &["by"], "it belongs to `gap` and `from`");
        }
        if !matches!(kind, "since" | "until" | "from") {
            refuse(self.notes, self.node, &["at"], "it belongs to `since`, `until` and `from`");
        }
        if kind != "from" {
            refuse(self.notes, self.node, &["to"], "it belongs to `from`");
        }
        Some(match kind {
            "count" | "rate" => {
                if typed.count == Some(false) || typed.rate == Some(false) {
                    self.notes.say(self.node, kind, "this makes no metric", format!("expected `{kind}: true`"));
                }
                if kind == "count" { TapFigure::Count } else { TapFigure::Rate }
            }
            "gap" => {
                let at = self.point("gap", typed.gap.as_deref()?)?;
                if let Some(by) = &typed.by {
                    has_group(self.notes, self.node, "by", by, self.fields)?;
                }
                TapFigure::Gap { at, by: typed.by.clone() }
            }
            "sum" => TapFigure::Sum(self.number("sum", typed.sum.as_deref()?)?),
            "mean" => TapFigure::Mean(self.number("mean", typed.mean.as_deref()?)?),
            "max" => TapFigure::Max(self.number("max", typed.max.as_deref()?)?),
            "from" => {
                let at = typed.at.as_deref().map_or(Some(Quantile::P50), |at| self.point("at", at));
                let (from, to) = (self.row("from", &typed.from), self.row("to", &typed.to));
                if let Some(by) = &typed.by {
                    has_group(self.notes, self.node, "by", by, self.fields)?;
                }
                TapFigure::Between { from: from?, to: to?, by: typed.by.clone(), at: at? }
            }
            _ => {
                let name = typed.since.as_deref().or(typed.until.as_deref())?;
                let at = typed.at.as_deref().map_or(Some(Quantile::P50), |at| self.point("at", at));
                let (moment, at) = (self.moment(kind, name)?, at?);
                if kind == "since" { TapFigure::Since { moment, at } } else { TapFigure::Until { moment, at } }
            }
        })
    }

    /// A point of a distribution, by its name.
    fn point(&mut self, key: &str, name: &str) -> Option<Quantile> {
        let names = Quantile::ALL.map(|(name, ..)| name);
        let found = Quantile::ALL.iter().find(|(known, ..)| *known == name).map(|(.., quantile)| *quantile);
        if found.is_none() {
            let span = self.node.get(key).map_or(self.node.head, |n| n.span);
            let mistake = Mistake::new(self.notes.file, span, format!("`{name}` is not a point of a distribution"));
            self.notes.mistakes.push(mistake.expected(format!("expected {}", one_of(names))).did_you_mean(name, names));
        }
        found
    }

    /// A field that is a number.
    fn number(&mut self, key: &str, name: &str) -> Option<String> {
        let field = has_group(self.notes, self.node, key, name, self.fields)?;
        if field.kind != FieldKind::Number {
            let what = if field.kind.is_time() { "an instant" } else { "a text" };
            let expected = format!("expected a number: write `types: {{{name}: number}}`");
            self.notes.say(self.node, key, format!("`{name}` is {what}"), expected);
            return None;
        }
        Some(name.to_owned())
    }

    /// The fields of a row and their required values, all of them texts.
    fn row(&mut self, key: &str, typed: &BTreeMap<String, types::Text>) -> Option<BTreeMap<String, String>> {
        if typed.is_empty() {
            let expected = format!("expected fields and their values, such as `{key}: {{event: STREAM, status: NEW}}`");
            self.notes.say(self.node, key, format!("`{key}` describes no row"), expected);
            return None;
        }
        let part = self.node.get(key)?;
        let mut row = BTreeMap::new();
        for (name, value) in typed {
            let field = has_group(self.notes, part, name, name, self.fields)?;
            if field.kind != FieldKind::Text {
                let found = format!("`{name}` is not a text");
                self.notes.say(part, name, found, "expected fields without a type");
                return None;
            }
            row.insert(name.clone(), value.0.clone());
        }
        Some(row)
    }

    fn moment(&mut self, key: &str, name: &str) -> Option<Moment> {
        let Some(joined) = self.joined else {
            let expected = "expected `join: {workload: …, key: …}` beside `metrics`: it says which rows belong together";
            self.notes.say(self.node, key, format!("`{key}` of a tap that is not joined"), expected);
            return None;
        };
        if let Some((_, moment)) = Moment::OF_REQUESTS.into_iter().find(|(known, _)| *known == name) {
            return Some(moment);
        }
        let others = || self.context.taps.iter().filter(|t| t.key != self.tap);
        let Some(other) = others().find(|t| t.key == name) else {
            let known: Vec<&str> =
                Moment::OF_REQUESTS.iter().map(|(name, _)| *name).chain(others().map(|t| t.key.as_str())).collect();
            let span = self.node.get(key).map_or(self.node.head, |n| n.span);
            let mistake =
                Mistake::new(self.notes.file, span, format!("`{name}` is neither an instant of a request nor another tap"));
            let expected = format!("expected {}", one_of(known.iter().copied()));
            self.notes.mistakes.push(mistake.expected(expected).did_you_mean(name, known));
            return None;
        };
        // A computed key may differ from cell to cell; then no rows have the same key.
        let elsewhere = |workload: &str| !workload.contains("${") && workload != joined.workload;
        let other_join = other.value.get("join");
        if other_join.is_none_or(|join| join.get("workload").and_then(Node::as_text).is_some_and(elsewhere)) {
            let expected = format!("expected `join: {{workload: {}, key: …}}` in `{name}`, too", joined.workload);
            self.notes.say(self.node, key, format!("`{name}` is not joined with `{}`", joined.workload), expected);
            return None;
        }
        Some(Moment::Tap(name.to_owned()))
    }

    /// The divisor of a value, and its unit.
    fn unit(&mut self, figure: &TapFigure, typed: &types::TapMetric) -> (f64, String) {
        let unit = typed.unit.as_deref();
        match figure {
            TapFigure::Gap { .. } | TapFigure::Since { .. } | TapFigure::Until { .. } | TapFigure::Between { .. } => {
                let unit = if unit == Some("µs") { "us" } else { unit.unwrap_or("ms") };
                if let Some((_, ns)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) {
                    return (*ns, unit.to_owned());
                }
                let expected = format!("expected {}: it is a time", one_of(TIME_UNITS.map(|(name, _)| name)));
                self.notes.say(self.node, "unit", format!("`{unit}` is not a unit of time"), expected);
                (1.0, unit.to_owned())
            }
            TapFigure::Rate => (1.0, unit.unwrap_or("1/s").to_owned()),
            _ => (1.0, unit.unwrap_or_default().to_owned()),
        }
    }
}
