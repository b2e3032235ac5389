//! Factors whose levels are revisions of a repository: `{git: ., of: [main, HEAD], build: [make]}`.
//!
//! A name is resolved to a commit when the plan is made, so that all repetitions measure the same one. Checking it out
//! and building it is the executor's job, by an action that comes before the set-up of each cell.

use std::sync::Arc;
use std::time::Duration;

use super::commands::find_file;
use super::levels::{self, Level};
use super::options::Options;
use super::repository::{Repository, Unknown};
use plan::factors::label_of;
use plan::git::{self, Error};
use plan::programs::find_program;
use plan::revisions::{Revisions, short};
use schema::{Data, Mistake, Node, SourceFile, decode, types};

const KEYS: [&str; 5] = ["git", "of", "build", "timeout", "default"];
/// More revisions than this are history, not levels; `git` is called for each.
const MAX_REVISIONS: usize = 100;
/// Building may take long, but not forever.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);

/// The levels of a factor that `--set` names, if it does.
pub fn named<'s>(settings: &'s [String], factor: &str) -> Option<Vec<&'s str>> {
    settings.iter().filter_map(|s| s.split_once('=')).find(|(name, _)| name.trim() == factor).map(|(_, values)| names(values))
}

/// Revisions in one text: not YAML, in which some commits would be numbers.
pub fn names(values: &str) -> Vec<&str> {
    values.split(',').map(|name| name.trim().trim_matches(['"', '\''])).filter(|name| !name.is_empty()).collect()
}

/// Whether levels are written in this way.
pub fn is_meant(node: &Node) -> bool {
    node.get("git").is_some() || node.get("of").is_some()
}

/// Reads a factor of revisions.
pub fn read(
    file: &Arc<SourceFile>,
    factor: &str,
    node: &Node,
    options: &Options,
    mistakes: &mut Vec<Mistake>,
) -> Option<(Vec<Level>, Repository)> {
    levels::only_keys(file, node, &KEYS, mistakes)?;
    let (repository, items) = (repository(file, node, mistakes), items(file, factor, node, mistakes));
    let (build, timeout) = (build(file, node, mistakes), timeout(file, node, mistakes));
    let default = node.get("default").map(|n| if n.items().is_empty() { vec![n.clone()] } else { n.items().to_vec() });
    let (git, items) = (repository?, items?);
    let revisions = Revisions { repository: git.path.clone(), build: build?, timeout: timeout? };
    let repository = Repository { revisions, git, keeps_snapshots: options.keeps_snapshots };
    let chosen = named(&options.settings, factor);
    let is_default = |label: &str| default.as_ref().is_none_or(|items| items.iter().any(|i| i.as_text() == Some(label)));
    let is_needed = |label: &str| match chosen.as_deref() {
        None => is_default(label),
        Some(["all"]) => true,
        Some(names) => names.contains(&label),
    };
    let mut levels: Vec<Level> = Vec::new();
    for item in &items {
        let Some(label) = item.as_text() else { continue };
        if levels.iter().any(|l| l.label == label) {
            mistakes.push(levels::twice(file, item.span, factor, label));
            continue;
        }
        let recorded = options.commits.get(&(factor.to_owned(), label.to_owned()));
        let commit = match recorded {
            Some(commit) => repository.git.commit(commit).map_err(|_| {
                let found = format!("the commit {}, which `{label}` meant, is no longer in {}", short(commit), {
                    repository.revisions.repository.display()
                });
                Unknown::new(found, "expected it, because the run measures that commit; start a new run")
            }),
            None => repository.resolve(label),
        };
        let commit = match commit {
            Ok(commit) => commit,
            Err(unknown) if is_needed(label) => {
                mistakes.push(unknown.at(file, item));
                levels.push(Level::faulty(label.to_owned(), item.span));
                continue;
            }
            // Nothing uses it now; the rest can still be checked.
            Err(_) => "0".repeat(40),
        };
        levels.push(repository.level(label, &commit, item, is_default(label)).into());
    }
    for item in default.iter().flatten() {
        let label = label_of(&item.to_json());
        if !levels.iter().any(|l| l.label == label) {
            mistakes.push(levels::unknown_level(file, item.span, factor, &label, &levels));
        }
    }
    Some((levels, repository))
}

fn repository(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<git::Repository> {
    let Some(value) = node.get("git") else {
        mistakes.push(
            Mistake::new(file, node.head, "the key `git` is missing").expected("expected `git: .`, a folder in a repository"),
        );
        return None;
    };
    let path = text(file, value, "expected a folder, such as `.` for the repository that contains this file", mistakes)?;
    let Some(folder) = find_file(&file.path, path).filter(|p| p.is_dir()) else {
        mistakes.push(
            Mistake::new(file, value.span, format!("there is no folder `{path}`"))
                .expected("expected a folder, relative to the scenario's folder or one above it"),
        );
        return None;
    };
    git::Repository::around(&folder)
        .map_err(|error| {
            let mistake = match &error {
                Error::NotInstalled => Mistake::new(file, value.span, "git is not installed")
                    .expected("expected it on PATH: it checks out the revisions"),
                Error::Said(said) => {
                    let mistake = Mistake::new(file, value.span, format!("`{path}` is not in a git repository"))
                        .expected("expected a folder in one");
                    // Otherwise the two messages say the same.
                    if said.starts_with("not a git repository") { mistake } else { mistake.help(format!("git says: {said}")) }
                }
            };
            mistakes.push(mistake);
        })
        .ok()
}

/// The revisions, all of them texts.
fn items(file: &Arc<SourceFile>, factor: &str, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<Node>> {
    let Some(of) = node.get("of") else {
        mistakes.push(
            Mistake::new(file, node.head, "the key `of` is missing")
                .expected("expected revisions, such as `of: [main, HEAD, \"+dirty\"]`"),
        );
        return None;
    };
    let Data::List(items) = &of.data else {
        mistakes.push(
            Mistake::new(file, of.span, format!("{} is not a list of revisions", of.describe()))
                .expected("expected `[main, HEAD, \"+dirty\"]`"),
        );
        return None;
    };
    if items.is_empty() {
        mistakes.push(
            Mistake::new(file, of.span, format!("the factor `{factor}` has no levels"))
                .expected("expected at least one revision"),
        );
        return None;
    }
    if items.len() > MAX_REVISIONS {
        mistakes.push(
            Mistake::new(file, of.span, format!("the factor `{factor}` has {} revisions", items.len()))
                .expected(format!("expected at most {MAX_REVISIONS}")),
        );
        return None;
    }
    let before = mistakes.len();
    for item in items {
        text(file, item, "expected a branch, a tag or a commit, as a text", mistakes);
    }
    (mistakes.len() == before).then(|| items.clone())
}

/// The words of `build`; empty without it.
fn build(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Vec<String>> {
    let Some(value) = node.get("build") else { return Some(Vec::new()) };
    let expected = "expected `[program, argument, …]`";
    let Data::List(words) = &value.data else {
        mistakes.push(Mistake::new(file, value.span, format!("{} is not a command", value.describe())).expected(expected));
        return None;
    };
    if words.is_empty() {
        mistakes
            .push(Mistake::new(file, value.span, "this command is empty").expected(format!("{expected}, or no `build` at all")));
        return None;
    }
    let before = mistakes.len();
    let words: Vec<String> = words
        .iter()
        .filter_map(|word| match &word.data {
            Data::Int(_) | Data::Float(_) | Data::Bool(_) => Some(word.to_json().to_string()),
            _ => text(file, word, "expected a text", mistakes).map(str::to_owned),
        })
        .collect();
    let first = words.first()?;
    // A program named by a path is in the checkout.
    if mistakes.len() == before && !first.contains('/') && find_program(first).is_none() {
        mistakes.push(
            Mistake::new(file, value.items()[0].span, format!("the program `{first}` is not installed"))
                .expected("expected a program on PATH, or a path to one in the checkout"),
        );
    }
    (mistakes.len() == before).then_some(words)
}

fn timeout(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Duration> {
    match node.get("timeout") {
        None => Some(BUILD_TIMEOUT),
        Some(value) => decode::decode::<types::Timeout>(file, value, mistakes).map(|d| d.0),
    }
}

/// A text without expressions.
fn text<'n>(file: &Arc<SourceFile>, node: &'n Node, expected: &str, mistakes: &mut Vec<Mistake>) -> Option<&'n str> {
    match node.as_text() {
        Some(text) if text.contains("${") => {
            mistakes.push(
                Mistake::new(file, node.span, "an expression cannot stand here")
                    .expected("expected a fixed text: levels are known before any expression"),
            );
            None
        }
        Some(text) if !text.is_empty() => Some(text),
        _ => {
            let mistake = Mistake::new(file, node.span, format!("{} does not fit here", node.describe())).expected(expected);
            mistakes.push(match &node.data {
                Data::Int(_) | Data::Float(_) => mistake.help(format!("in quotes it is a text: \"{}\"", node.to_json())),
                _ => mistake,
            });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_names_revisions_as_texts() {
        assert_eq!(names("main, 1234567,\"+dirty\", HEAD@{1}"), ["main", "1234567", "+dirty", "HEAD@{1}"]);
        let settings = ["size=1".to_owned(), "revision=main,1e10".to_owned(), "other=all".to_owned()];
        assert_eq!(named(&settings, "revision"), Some(vec!["main", "1e10"]));
        assert_eq!((named(&settings, "other"), named(&settings, "third")), (Some(vec!["all"]), None));
    }
}
