//! Values of passes: drawn values, carried values, and the names of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::diagnostics::{Diagnostics, refuse};
use super::flow;
use super::names::RESERVED;
use super::rows;
use plan::{Arrivals, Draw, DrawnFrom, DrawnRow, Length, Load};
use schema::source::one_of;
use schema::{Entry, Mistake, Node, SourceFile, types};
use vocabulary::choices::{DrawnPer, RowOrder};

/// Values that are drawn for each pass.
pub(super) fn draws(
    notes: &mut Diagnostics<'_>,
    node: &Node,
    typed: &BTreeMap<String, types::Draw>,
    in_use: &BTreeSet<String>,
) -> Vec<Draw> {
    let mut draws = Vec::new();
    for (name, typed) in typed {
        let Some(entry) = node.get("draw").and_then(|n| n.entry(name)) else { continue };
        nameable(notes, entry, in_use);
        let of = match notes.exactly_one(&entry.value, "what this value is drawn from", &["to", "of", "rows"]) {
            Some("rows") => match drawn_row(notes, &entry.value, typed) {
                Some(drawn) => DrawnFrom::Rows(DrawnRow { conditions: flow::compared(node.get("steps")), ..drawn }),
                None => continue,
            },
            Some("to") => {
                let (from, to) = (typed.from.unwrap_or(0), typed.to.unwrap_or(0));
                refuse(notes, &entry.value, &OF_ROWS, "it belongs to `rows`");
                if from > to {
                    notes.say(&entry.value, "to", format!("no number from {from} to {to}"), "expected the largest number here");
                }
                DrawnFrom::Range(from, to)
            }
            Some(_) => {
                refuse(notes, &entry.value, &OF_ROWS, "it belongs to `rows`");
                if typed.from.is_some() {
                    refuse(notes, &entry.value, &["from"], "it belongs to `to`");
                }
                let items = typed.of.iter().flatten().filter_map(|text| notes.fixed(&entry.value, "of", &text.0));
                let list: Vec<String> = items.collect();
                if typed.of.as_ref().is_none_or(Vec::is_empty) {
                    notes.say(&entry.value, "of", "an empty list", "expected at least one");
                }
                DrawnFrom::List(list)
            }
            None => continue,
        };
        draws.push(Draw { name: name.clone(), of });
    }
    draws
}

/// Keys that only rows have.
const OF_ROWS: [&str; 3] = ["order", "per", "seed"];

/// The rows of a file, and how one of them is drawn.
fn drawn_row(notes: &mut Diagnostics<'_>, node: &Node, typed: &types::Draw) -> Option<DrawnRow> {
    refuse(notes, node, &["from"], "it belongs to `to`");
    let order = typed.order.unwrap_or_default();
    if typed.seed.is_some() && order != RowOrder::Shuffled {
        notes.say(node, "seed", "a seed for rows that are not shuffled", "expected `order: shuffled` beside it");
    }
    let rows = rows::read(notes, node, typed.rows.as_deref()?)?;
    if order == RowOrder::Unique && rows.count() < 2 {
        let found = format!("`unique` rows need two at least, and {} has one", rows.name());
        notes.say(node, "rows", found, "expected more: the last row is for the checked pass");
        return None;
    }
    let per = typed.per.unwrap_or_default();
    Some(DrawnRow { rows, order, per, seed: typed.seed, conditions: Vec::new() })
}

/// Says which columns a row has, where only the name of the row was inserted. `workload`: as it was typed.
pub(super) fn help_with_rows(file: &Arc<SourceFile>, workload: &Node, mistakes: &mut [Mistake]) {
    for entry in workload.get("draw").map(Node::entries).unwrap_or_default() {
        let found = format!("there is no name `{}` here", entry.key);
        let Some(name) = entry.value.get("rows").and_then(Node::as_text) else { continue };
        for mistake in mistakes.iter_mut().filter(|mistake| mistake.found == found) {
            // What is wrong with the file is said once it is known that somebody wants its rows.
            let mut unread = Vec::new();
            let Some(rows) = rows::read(&mut Diagnostics::new(file, &mut unread), &entry.value, name) else { continue };
            mistake.found = format!("`{}` is a row, not a value", entry.key);
            let columns: Vec<String> = rows.columns.iter().map(|column| format!("{}.{column}", entry.key)).collect();
            mistake.expected = Some(format!("expected one of its columns: {}", one_of(columns.iter().map(String::as_str))));
            mistake.help = None;
        }
    }
}

/// The names of values that exist from the start of a pass: what is drawn, also where it has a mistake.
pub(super) fn drawn(typed: &BTreeMap<String, types::Draw>, draws: &[Draw]) -> BTreeSet<String> {
    let plain = typed.iter().filter(|(_, draw)| draw.rows.is_none()).map(|(name, _)| name.clone());
    plain.chain(draws.iter().flat_map(Draw::names)).collect()
}

/// Those of them that only passes have.
pub(super) fn drawn_by_passes(draws: &[Draw]) -> BTreeSet<String> {
    draws.iter().filter(|draw| !draw.is_of_user()).flat_map(Draw::names).collect()
}

/// Those of them that exist from the start of a user.
pub(super) fn drawn_by_users(draws: &[Draw]) -> BTreeSet<String> {
    draws.iter().filter(|draw| draw.is_of_user()).flat_map(Draw::names).collect()
}

/// Notes rows that would run out before a load has begun: each user, or each pass of an amount, needs one.
pub(super) fn check_enough(notes: &mut Diagnostics<'_>, node: &Node, draws: &[Draw], load: &Load, users: u64) {
    let amounts: Option<u64> = load.segments.iter().map(|s| if let Length::Amount(n) = s.length { Some(n) } else { None }).sum();
    for draw in draws {
        let DrawnFrom::Rows(drawn) = &draw.of else { continue };
        let Some(entry) = node.get("draw").and_then(|n| n.entry(&draw.name)) else { continue };
        if drawn.order == RowOrder::Unique && matches!(load.arrivals, Arrivals::Open { per_connection: Some(_), .. }) {
            let found = "`unique` rows for connections that have schedules of their own";
            notes.say(&entry.value, "order", found, "expected `in turn` or `shuffled`, or a load without `per: connection`");
            continue;
        }
        if drawn.order == RowOrder::Unique && drawn.per == DrawnPer::Pass && load.find.is_some() {
            let found = "`unique` rows for a search, which makes as many passes as it needs";
            notes.say(&entry.value, "order", found, "expected `in turn` or `shuffled`, or `per: user` beside it");
            continue;
        }
        let needed = if drawn.per == DrawnPer::User { Some(users) } else { amounts };
        let what = if drawn.per == DrawnPer::User { "users" } else { "passes" };
        if let Some(needed) = needed.filter(|needed| *needed > drawn.enough_for()) {
            let (count, path) = (drawn.rows.count(), drawn.rows.name());
            let found = format!("{needed} {what} need {} `unique` rows, and {path} has {count}", needed + 1);
            notes.say(&entry.value, "rows", found, "expected one row for each, and one for the checked pass");
        }
    }
}

/// A value of passes needs a name that expressions can use and nothing else has.
pub(super) fn nameable(notes: &mut Diagnostics<'_>, entry: &Entry, in_use: &BTreeSet<String>) {
    let name = &entry.key;
    let nameable =
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !nameable {
        notes.mistakes.push(
            Mistake::new(notes.file, entry.key_span, format!("`{name}` cannot be the name of a value"))
                .expected("expected letters, digits and `_`, so that expressions can use it"),
        );
    } else if in_use.contains(name) || RESERVED.iter().any(|(r, _)| r == name) {
        notes.mistakes.push(
            Mistake::new(notes.file, entry.key_span, format!("`{name}` is already something else"))
                .expected("expected a name that no factor and no `let` has"),
        );
    }
}
