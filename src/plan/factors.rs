//! Factors and their levels.

use serde_json::Value as Json;

use super::revisions::{Checkout, Revisions};

/// A varied dimension.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Factor {
    /// What expressions, the names of cells and graphs call it.
    pub name: String,
    /// Its levels, in the order of the file.
    pub levels: Vec<Level>,
    /// Of what its levels are revisions, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revisions: Option<Revisions>,
}

/// One value of a factor.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Level {
    /// How it is called in results, graphs and `--set`.
    pub label: String,
    /// What expressions see; in `${factor.key}` also a map.
    pub value: Json,
    /// Whether it is executed without `--set`.
    #[serde(skip)]
    pub by_default: bool,
    /// What is checked out and built for it, where it is a revision.
    #[serde(skip)]
    pub checkout: Option<Box<Checkout>>,
}

/// The label of a level: a scalar as it is, a map by its values joined with `x`.
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
