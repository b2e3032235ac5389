//! The steps of a pass, for every protocol: each is read on its own, has a name of its own, and inserts only values
//! known by then.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::diagnostics::{Diagnostics, find_name};
use super::flow::{self, Known};
use schema::source::one_of;
use schema::{Mistake, Node, decode};
use vocabulary::rows::WHOLE;

/// What the step of any protocol provides.
pub(super) trait Step {
    /// Its name in results.
    fn name(&mut self) -> &mut String;

    /// The late names that it inserts, some of them several times.
    fn inserted(&self) -> Vec<&str>;
}

/// Makes a step from each item of `steps` that is one, which are read as a `T`; groups and pauses among them are checked.
/// `drawn`: values that exist from the start of a pass.
pub(super) fn read<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    workload: &Node,
    drawn: impl IntoIterator<Item = String>,
    make: impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) -> Vec<S> {
    read_after(notes, workload.get("steps"), Before { known: drawn.into_iter().collect(), ..Before::default() }, make)
}

/// What exists before the first step of a list.
#[derive(Default)]
pub(super) struct Before {
    /// Names of values.
    pub known: BTreeSet<String>,
    /// Names of other steps.
    pub names: Vec<String>,
    /// Names of values that only passes have, and these steps belong to none.
    pub of_passes: BTreeSet<String>,
}

/// The same for any list of steps, or lists for several kinds of passes.
pub(super) fn read_after<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    list: Option<&Node>,
    before: Before,
    make: impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) -> Vec<S> {
    let mut steps: Vec<S> = Vec::new();
    for (kind, items) in flow::kinds(list) {
        let mut known = Known::new(before.known.clone());
        let mut course =
            Course { kind, depth: 0, known: &mut known, names: &before.names, of_passes: &before.of_passes, steps: &mut steps };
        read_items(notes, items, &mut course, &make);
    }
    steps
}

/// Where in the passes a list of items is.
struct Course<'a, S> {
    /// The kind of the passes, if there is a mix.
    kind: Option<&'a str>,
    /// In how many groups it is.
    depth: usize,
    /// The values of a pass there.
    known: &'a mut Known,
    /// Names of steps of other lists.
    names: &'a [String],
    /// Names of values that only passes have.
    of_passes: &'a BTreeSet<String>,
    /// The steps so far.
    steps: &'a mut Vec<S>,
}

fn read_items<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    items: &[Node],
    course: &mut Course<'_, S>,
    make: &impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) {
    for item in items.iter().filter(|item| !flow::is_left_out(item)) {
        let has_conditions = item.get("when").is_some_and(|when| !when.entries().is_empty());
        if matches!(flow::item(item), flow::Item::Step) {
            read_step(notes, item, course, make);
        } else {
            flow::check(notes, item, course.depth);
            if matches!(flow::item(item), flow::Item::Group(_)) {
                flow::conditions(notes, item, Some(course.known));
            }
        }
        if let flow::Item::Group(inner) = flow::item(item)
            && course.depth < plan::flow::DEEPEST
        {
            let mut known = course.known.clone();
            let Course { kind, depth, names, of_passes, ref mut steps, .. } = *course;
            read_items(notes, inner, &mut Course { kind, depth: depth + 1, known: &mut known, names, of_passes, steps }, make);
            if has_conditions { course.known.add_possible(known) } else { *course.known = known }
        }
        // Includes values that a step with a mistake would carry, so that they are not reported as missing as well.
        let carried = item.get("carry").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.clone()).collect();
        let carried = Known::new(carried);
        if has_conditions { course.known.add_possible(carried) } else { course.known.certain.extend(carried.certain) }
    }
}

fn read_step<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    item: &Node,
    course: &mut Course<'_, S>,
    make: &impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) {
    let file = notes.file;
    let step = decode::decode_and(file, item, notes.mistakes, |typed: T, mistakes| {
        make(&mut Diagnostics::new(file, mistakes), item, &typed)
    });
    let Some(mut step) = step else { return };
    flow::conditions(notes, item, Some(course.known));
    check_carried(notes, item, step.inserted(), course.known, course.of_passes);
    // In a mix, steps without a name of their own have that of their kind in theirs.
    if let Some(kind) = course.kind.filter(|_| item.get("name").is_none()) {
        *step.name() = format!("{kind}/{}", step.name());
    }
    let (names, steps) = (course.names, &mut *course.steps);
    let name = unique_name(notes, item, step.name(), |name| {
        names.iter().any(|other| other == name) || steps.iter_mut().any(|s| s.name() == name)
    });
    *step.name() = name;
    steps.push(step);
}

/// Reads each item of `steps` and `user` as a `T`, only to find its mistakes.
pub(super) fn check<T: DeserializeOwned>(notes: &mut Diagnostics<'_>, workload: &Node) {
    fn items<T: DeserializeOwned>(notes: &mut Diagnostics<'_>, nodes: &[Node], depth: usize) {
        for item in nodes {
            match flow::item(item) {
                flow::Item::Step => drop(decode::decode::<T>(notes.file, item, notes.mistakes)),
                flow::Item::Pause => flow::check(notes, item, depth),
                flow::Item::Group(inner) => {
                    flow::check(notes, item, depth);
                    if depth < plan::flow::DEEPEST {
                        items::<T>(notes, inner, depth + 1);
                    }
                }
            }
        }
    }
    for list in ["user", "steps"] {
        flow::kinds(workload.get(list)).into_iter().for_each(|(_, nodes)| items::<T>(notes, nodes, 0));
    }
}

/// A unique name for the step: `get`, `get-2`, …; a name that was typed must already be unique.
fn unique_name(notes: &mut Diagnostics<'_>, node: &Node, name: &str, mut is_used: impl FnMut(&str) -> bool) -> String {
    if name == WHOLE {
        notes.say(
            node,
            "name",
            format!("a step cannot be named `{WHOLE}`"),
            "expected another name: this one means the pass as a whole",
        );
    } else if plan::flow::is_row_of_kind(name) {
        let expected = "expected a name without parentheses: these mean passes of one kind";
        notes.say(node, "name", format!("a step cannot be named `{name}`"), expected);
    }
    if node.get("name").is_some() && is_used(name) {
        notes.say(node, "name", format!("two steps are named `{name}`"), "expected a different name for each step");
    }
    (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}-{i}") }).find(|n| !is_used(n)).unwrap_or_default()
}

/// Every carried value that a step uses must come from a step before it that is never left out without it.
fn check_carried(notes: &mut Diagnostics<'_>, node: &Node, names: Vec<&str>, values: &Known, of_passes: &BTreeSet<String>) {
    let known = ["id", "pass", "connection", "scratch", "repetition"];
    for name in names.into_iter().collect::<BTreeSet<&str>>() {
        let span = || find_name(notes.file, node, name).unwrap_or(node.head);
        if of_passes.contains(name) {
            let mistake =
                Mistake::new(notes.file, span(), format!("`{name}` is drawn for each pass, and a log-in belongs to none"));
            notes.mistakes.push(mistake.expected("expected a row of a file that is drawn with `per: user`, or `${connection}`"));
            continue;
        }
        // A column of a row; other names with a point are known elsewhere.
        let columns: Vec<&str> = match name.split_once('.') {
            Some((row, _)) => {
                values.certain.iter().filter_map(|known| known.split_once('.')).filter(|c| c.0 == row).map(|c| c.1).collect()
            }
            None => Vec::new(),
        };
        if !columns.is_empty() && !values.certain.contains(name) {
            let column = name.split_once('.').map_or(name, |(_, column)| column);
            let mistake = Mistake::new(notes.file, span(), format!("the rows have no column `{column}`"));
            let mistake = mistake.expected(format!("expected {}", one_of(columns.iter().copied())));
            notes.mistakes.push(mistake.did_you_mean(column, columns));
        } else if !known.contains(&name) && !name.contains('.') && !values.certain.contains(name) && !notes.found.contains(name) {
            let span = span();
            notes.mistakes.push(match values.possible.contains(name) {
                true => Mistake::new(notes.file, span, format!("`{name}` may not have been carried: its step can be left out"))
                    .expected("expected this step in the same group, or `carry` in a step without `when`"),
                false => Mistake::new(notes.file, span, format!("`{name}` is used before it is carried"))
                    .expected("expected `carry` in a step before this one"),
            });
        }
    }
}
