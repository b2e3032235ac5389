//! The steps of a pass, for every protocol: each is read on its own, has a name of its own, and inserts only values
//! known by then.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;

use super::diagnostics::{Diagnostics, find_name};
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
    let mut steps: Vec<S> = Vec::new();
    let mut carried: BTreeSet<String> = drawn.into_iter().collect();
    for item in workload.get("steps").map(Node::items).unwrap_or_default() {
        let file = notes.file;
        let step = decode::decode_and(file, item, notes.mistakes, |typed: T, mistakes| {
            make(&mut Diagnostics::new(file, mistakes), item, &typed)
        });
        if let Some(mut step) = step {
            check_carried(notes, item, step.inserted(), &carried);
            let name = unique_name(notes, item, step.name(), |name| steps.iter_mut().any(|s| s.name() == name));
            *step.name() = name;
            steps.push(step);
        }
        // Includes values that a step with a mistake would carry, so that they are not reported as missing as well.
        carried.extend(item.get("carry").map(Node::entries).unwrap_or_default().iter().map(|e| e.key.clone()));
    }
    steps
}

/// Reads each item of `steps` as a `T`, only to find its mistakes.
pub(super) fn check<T: DeserializeOwned>(notes: &mut Diagnostics<'_>, workload: &Node) {
    for item in workload.get("steps").map(Node::items).unwrap_or_default() {
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
        if !known.contains(&name) && !name.contains('.') && !carried.contains(name) {
            let span = find_name(notes.file, node, name).unwrap_or(node.head);
            notes.mistakes.push(
                Mistake::new(notes.file, span, format!("`{name}` is used before it is carried"))
                    .expected("expected `carry` in a step before this one"),
            );
        }
    }
}
