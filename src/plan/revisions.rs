//! Revisions of a repository as levels of a factor: what to check out and build for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::cache::Cache;
use super::text::as_text;

/// How many digits of a commit are shown and used in the name of its checkout.
const SHORT: usize = 10;

/// The repository of a factor, and how its revisions are built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Revisions {
    /// Its working tree, or the repository's own folder if it has none.
    pub repository: PathBuf,
    /// Program and arguments that are executed in each checkout; nothing if empty.
    pub build: Vec<String>,
    /// How long this may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
}

/// A commit in its own folder, built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkout {
    /// The repository.
    pub repository: PathBuf,
    /// The commit.
    pub commit: String,
    /// The folder of the checkout.
    pub directory: PathBuf,
    /// Program and arguments that are executed there; nothing if empty.
    pub build: Vec<String>,
    /// How long this may take.
    #[serde(serialize_with = "as_text")]
    pub timeout: Duration,
    /// What is kept for later runs: the whole checkout.
    #[serde(skip)]
    pub cache: Cache,
}

impl Checkout {
    /// As shown in the plan and in messages.
    pub fn words(&self) -> String {
        let build = if self.build.is_empty() { String::new() } else { format!(", then {}", self.build.join(" ")) };
        format!("check out {} of {}{build}", short(&self.commit), self.repository.display())
    }
}

/// A commit as shown to users.
pub fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// The commits of all levels of a recorded plan, by factor and label: a continued run measures the same commits.
pub fn recorded(plan: &Json) -> BTreeMap<(String, String), String> {
    let list = |value: &Json, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut commits = BTreeMap::new();
    for factor in list(plan, "factors").iter().filter(|f| f.get("revisions").is_some()) {
        for level in list(factor, "levels") {
            if let (Some(factor), Some(label), Some(commit)) =
                (factor["name"].as_str(), level["label"].as_str(), level["value"]["commit"].as_str())
            {
                commits.insert((factor.to_owned(), label.to_owned()), commit.to_owned());
            }
        }
    }
    commits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recorded_plan_says_what_its_revisions_were() {
        let plan = json!({"factors": [
            {"name": "revision", "revisions": {"repository": "/r"}, "levels": [
                {"label": "main", "value": {"name": "main", "commit": "ab", "dir": "/c"}}, {"label": "broken", "value": null},
            ]},
            {"name": "map", "levels": [{"label": "x", "value": {"name": "x", "commit": "of another kind"}}]},
        ]});
        let expected = [(("revision".to_owned(), "main".to_owned()), "ab".to_owned())];
        assert_eq!(recorded(&plan).into_iter().collect::<Vec<_>>(), expected);
        assert!(recorded(&json!({})).is_empty());
    }
}
