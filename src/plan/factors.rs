//! Factors and their levels, and how they are shown to users.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::revisions::{Checkout, Revisions, short};
use vocabulary::words::all_of;

/// A varied dimension.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Factor {
    /// Its name in expressions, names of cells and graphs.
    pub name: String,
    /// Its levels, in the order of the file.
    pub levels: Vec<Level>,
    /// The repository, if its levels are revisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revisions: Option<Revisions>,
}

/// One value of a factor.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Level {
    /// Its name in results, graphs and `--set`.
    pub label: String,
    /// Its value in expressions; a map in `${factor.key}`.
    pub value: Json,
    /// Whether it is executed without `--set`.
    #[serde(skip)]
    pub by_default: bool,
    /// The checkout to build for it, if it is a revision.
    #[serde(skip)]
    pub checkout: Option<Box<Checkout>>,
}

/// The label of a level: a scalar as it is, the values of a map joined with `x`.
pub fn label_of(value: &Json) -> String {
    match value {
        Json::String(s) => s.clone(),
        Json::Array(items) => items.iter().map(label_of).collect::<Vec<_>>().join("+"),
        Json::Object(map) => match map.get("name") {
            Some(name) => label_of(name),
            None => map.values().map(label_of).collect::<Vec<_>>().join("x"),
        },
        other => other.to_string(),
    }
}

/// The label of a level, and the commit that it means.
pub fn describe(level: &Level) -> String {
    match &level.checkout {
        Some(checkout) => format!("{} ({})", level.label, short(&checkout.commit)),
        None => level.label.clone(),
    }
}

/// Notes on the revisions of a plan, one line each.
pub fn notes(factors: &[Factor]) -> Vec<String> {
    factors.iter().flat_map(same).collect()
}

/// A note on levels of a factor that are the same commit.
fn same(factor: &Factor) -> Vec<String> {
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for level in &factor.levels {
        if let Some(checkout) = &level.checkout {
            labels.entry(&checkout.commit).or_default().push(&level.label);
        }
    }
    let shared = labels.into_iter().filter(|(_, labels)| labels.len() > 1);
    shared
        .map(|(commit, labels)| {
            let (labels, commit) = (all_of(labels), short(commit));
            format!("note: {labels} of `{}` are the same commit {commit}: what differs between them is noise", factor.name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn levels_that_are_one_commit_are_noted() {
        let level = |label: &str, commit: &str| {
            let checkout = Checkout {
                repository: "/r".into(),
                commit: commit.to_owned(),
                directory: "/c".into(),
                build: Vec::new(),
                timeout: Duration::ZERO,
                cache: crate::cache::of_commit("/r/.git".as_ref(), commit, &[]),
            };
            let value = json!({"name": label, "commit": commit});
            Level { label: label.to_owned(), value, by_default: true, checkout: Some(Box::new(checkout)) }
        };
        let levels = [level("main", "ab"), level("HEAD", "ab"), level("old", "cd")];
        assert_eq!(describe(&levels[2]), "old (cd)");
        let revisions = Revisions { repository: "/r".into(), build: Vec::new(), timeout: Duration::ZERO };
        let notes = same(&Factor { name: "f".into(), levels: levels.into(), revisions: Some(revisions) });
        assert_eq!(notes, ["note: `main` and `HEAD` of `f` are the same commit ab: what differs between them is noise"]);
    }
}
