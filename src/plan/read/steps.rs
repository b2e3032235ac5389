//! The steps of a pass, for every protocol: each is read on its own, has a name of its own, and inserts only values
//! known by then.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::diagnostics::{Diagnostics, find_name};
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

/// Makes a step from each item of `steps`, which are read as a `T`. `drawn`: values that exist from the start of a
/// pass.
pub(super) fn read<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    workload: &Node,
    drawn: impl IntoIterator<Item = String>,
    make: impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) -> Vec<S> {
    read_after(notes, workload.get("steps"), Before { known: drawn.into_iter().collect(), names: Vec::new() }, make)
}

/// What exists before the first step of a list.
#[derive(Default)]
pub(super) struct Before {
    /// Names of values.
    pub known: BTreeSet<String>,
    /// Names of other steps.
    pub names: Vec<String>,
}

/// The same for any list of steps.
pub(super) fn read_after<T: DeserializeOwned, S: Step>(
    notes: &mut Diagnostics<'_>,
    list: Option<&Node>,
    before: Before,
    make: impl Fn(&mut Diagnostics<'_>, &Node, &T) -> Option<S>,
) -> Vec<S> {
    let mut steps: Vec<S> = Vec::new();
    let Before { known: mut carried, names } = before;
    for item in list.map(Node::items).unwrap_or_default() {
        let file = notes.file;
        let step = decode::decode_and(file, item, notes.mistakes, |typed: T, mistakes| {
            make(&mut Diagnostics::new(file, mistakes), item, &typed)
        });
        if let Some(mut step) = step {
            check_carried(notes, item, step.inserted(), &carried);
            let name = unique_name(notes, item, step.name(), |name| {
                names.iter().any(|other| other == name) || steps.iter_mut().any(|s| s.name() == name)
            });
            *step.name() = name;
            steps.push(step);
        }
        // Includes values that a step with a mistake would carry, so that they are not reported as missing as well.
        carried.extend(item.get("carry").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.clone()));
    }
    steps
}

/// Reads each item of `steps` and `user` as a `T`, only to find its mistakes.
pub(super) fn check<T: DeserializeOwned>(notes: &mut Diagnostics<'_>, workload: &Node) {
    let lists = ["user", "steps"].into_iter().filter_map(|key| workload.get(key));
    for item in lists.flat_map(Node::items) {
        let _: Option<T> = decode::decode(notes.file, item, notes.mistakes);
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
    }
    if node.get("name").is_some() && is_used(name) {
        notes.say(node, "name", format!("two steps are named `{name}`"), "expected a different name for each step");
    }
    (1..).map(|i| if i == 1 { name.to_owned() } else { format!("{name}-{i}") }).find(|n| !is_used(n)).unwrap_or_default()
}

/// Every carried value that a step uses must come from a step before it.
fn check_carried(notes: &mut Diagnostics<'_>, node: &Node, names: Vec<&str>, carried: &BTreeSet<String>) {
    let known = ["id", "pass", "connection", "scratch", "repetition"];
    for name in names.into_iter().collect::<BTreeSet<&str>>() {
        let span = || find_name(notes.file, node, name).unwrap_or(node.head);
        // A column of a row; other names with a point are known elsewhere.
        let columns: Vec<&str> = match name.split_once('.') {
            Some((row, _)) => {
                carried.iter().filter_map(|known| known.split_once('.')).filter(|c| c.0 == row).map(|c| c.1).collect()
            }
            None => Vec::new(),
        };
        if !columns.is_empty() && !carried.contains(name) {
            let column = name.split_once('.').map_or(name, |(_, column)| column);
            let mistake = Mistake::new(notes.file, span(), format!("the rows have no column `{column}`"));
            let mistake = mistake.expected(format!("expected {}", one_of(columns.iter().copied())));
            notes.mistakes.push(mistake.did_you_mean(column, columns));
        } else if !known.contains(&name) && !name.contains('.') && !carried.contains(name) && !notes.found.contains(name) {
            let span = span();
            notes.mistakes.push(
                Mistake::new(notes.file, span, format!("`{name}` is used before it is carried"))
                    .expected("expected `carry` in a step before this one"),
            );
        }
    }
}
