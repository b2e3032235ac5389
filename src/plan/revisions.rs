//! Factors whose levels are revisions of a repository: `{git: ., of: [main, HEAD], build: [make]}`.
//!
//! A name becomes a commit when the plan is made, so that all repetitions measure the same one. Checking it out and building
//! it is the executor's business, by an action that stands in front of the set-up of each cell.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::factors::{self, Factor, Level};
use super::git::{Error, Repository};
use super::{Cache, Options, Plan, actions, cache, programs};
use crate::schema::source::{all_of, nearest};
use crate::schema::{Data, Mistake, Node, SourceFile, decode, types};

/// The name of the working tree with what is not committed in it.
pub const DIRTY: &str = "+dirty";
const KEYS: [&str; 5] = ["git", "of", "build", "timeout", "default"];
/// More revisions than this are history, not levels; each is asked of `git`.
const MAX_REVISIONS: usize = 100;
/// Building may take long, but not for ever.
const BUILD_TIMEOUT: Duration = Duration::from_secs(3600);
/// So many digits of a commit are shown, and name its checkout.
const SHORT: usize = 10;

/// The repository of a factor, and how its revisions are built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Revisions {
    /// Its working tree, or its own folder where it has none.
    pub repository: PathBuf,
    /// Program and arguments that are executed in each checkout; nothing when empty.
    pub build: Vec<String>,
    /// How long that may take.
    #[serde(serialize_with = "super::as_text")]
    pub timeout: Duration,
    #[serde(skip)]
    git: Repository,
    /// Whether snapshots of the working tree are written to the repository.
    #[serde(skip)]
    keeps: bool,
}

/// A commit in a folder of its own, built.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checkout {
    /// The repository.
    pub repository: PathBuf,
    /// The commit.
    pub commit: String,
    /// Where it is checked out.
    pub directory: PathBuf,
    /// Program and arguments that are executed there; nothing when empty.
    pub build: Vec<String>,
    /// How long that may take.
    #[serde(serialize_with = "super::as_text")]
    pub timeout: Duration,
    /// What is kept of it for later runs: all.
    #[serde(skip)]
    pub cache: Cache,
}

impl Checkout {
    /// As in the plan, and in what is told of it.
    pub fn words(&self) -> String {
        let build = if self.build.is_empty() { String::new() } else { format!(", then {}", self.build.join(" ")) };
        format!("check out {} of {}{build}", short(&self.commit), self.repository.display())
    }
}

/// A commit as people read it.
pub fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

impl Revisions {
    /// The checkout of a commit.
    fn checkout(&self, commit: &str) -> Checkout {
        let cache = cache::of_commit(&self.git.common, commit, &self.build);
        Checkout {
            repository: self.repository.clone(),
            commit: commit.to_owned(),
            directory: cache.directory.join(short(commit)),
            build: self.build.clone(),
            timeout: self.timeout,
            cache,
        }
    }

    /// A level: what expressions read of it, at a place in the file.
    fn level(&self, label: &str, commit: &str, node: &Node, by_default: bool) -> Level {
        let checkout = self.checkout(commit);
        let value = json!({"name": label, "commit": commit, "dir": checkout.directory.display().to_string()});
        let node = Node::from_json(&value, node.span);
        Level { label: label.to_owned(), value, by_default, checkout: Some(Box::new(checkout)), node }
    }

    /// The commit that a revision means.
    fn resolve(&self, name: &str) -> Result<String, Unknown> {
        let place = self.repository.display();
        if name != DIRTY {
            return self.git.commit(name).map_err(|error| match error {
                Error::NotInstalled => Unknown::new(error.to_string(), "expected a git that can be started"),
                Error::Said(_) => {
                    let unknown = Unknown::new(
                        format!("`{name}` is not a revision of {place}"),
                        format!("expected a branch, a tag, a commit, or `{DIRTY}` for what is not committed"),
                    );
                    unknown.help(self.meant(name))
                }
            });
        }
        if self.git.is_bare {
            let found = format!("{place} is a bare repository, which has nothing that is not committed");
            return Err(Unknown::new(found, "expected branches, tags and commits only"));
        }
        match self.git.snapshot(self.keeps) {
            Ok(Some(commit)) => Ok(commit),
            Ok(None) => Err(Unknown::new(
                format!("nothing is uncommitted in {place}"),
                format!("expected changes: without them `{DIRTY}` is the same as `HEAD`"),
            )),
            Err(error) => Err(Unknown::new(
                format!("the uncommitted changes of {place} cannot be read"),
                format!("expected a working tree that git can add: {error}"),
            )),
        }
    }

    /// What may have been meant by a name that means nothing.
    fn meant(&self, name: &str) -> Option<String> {
        let shallow = "this is a shallow clone; `git fetch --unshallow` brings older commits";
        let base = name.split(['~', '^']).next().unwrap_or_default();
        if base != name && self.git.commit(base).is_ok() {
            let fewer = format!("`{base}` has fewer commits before it");
            return Some(if self.git.is_shallow() { shallow.to_owned() } else { fewer });
        }
        let names = self.git.names();
        let elsewhere = names.iter().find(|known| known.rsplit_once('/').is_some_and(|(_, last)| last == name));
        let known = names.iter().map(String::as_str).chain(["HEAD", DIRTY]);
        let near = elsewhere.map(String::as_str).or_else(|| nearest(name, known));
        let near = near.map(|near| format!("did you mean `{near}`?"));
        near.or_else(|| self.git.is_shallow().then(|| shallow.to_owned()))
    }

    /// A further level, which only `--set` names.
    ///
    /// # Errors
    /// In words, why it is not a revision.
    pub fn further(&self, label: &str, node: &Node) -> Result<Level, String> {
        let commit = self.resolve(label).map_err(|unknown| {
            let help = unknown.help.map_or_else(String::new, |h| format!("; {h}"));
            format!("{}, {}{help}", unknown.found, unknown.expected)
        })?;
        Ok(self.level(label, &commit, node, false))
    }
}

/// Why a name is not a revision.
struct Unknown {
    found: String,
    expected: String,
    help: Option<String>,
}

impl Unknown {
    fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), help: None }
    }

    fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    fn at(self, file: &Arc<SourceFile>, node: &Node) -> Mistake {
        let mistake = Mistake::new(file, node.span, self.found).expected(self.expected);
        Mistake { help: self.help, ..mistake }
    }
}

/// What `--set` names of a factor, if it does.
pub fn named<'s>(settings: &'s [String], factor: &str) -> Option<Vec<&'s str>> {
    settings.iter().filter_map(|s| s.split_once('=')).find(|(name, _)| name.trim() == factor).map(|(_, values)| names(values))
}

/// Revisions in one text: not YAML, in which commits would be numbers.
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
) -> Option<(Vec<Level>, Revisions)> {
    factors::only_keys(file, node, &KEYS, mistakes)?;
    let (repository, items) = (repository(file, node, mistakes), items(file, factor, node, mistakes));
    let (build, timeout) = (build(file, node, mistakes), timeout(file, node, mistakes));
    let default = node.get("default").map(|n| if n.items().is_empty() { vec![n.clone()] } else { n.items().to_vec() });
    let (git, items) = (repository?, items?);
    let revisions =
        Revisions { repository: git.path.clone(), build: build?, timeout: timeout?, git, keeps: options.keeps_snapshots };
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
            mistakes.push(factors::twice(file, item.span, factor, label));
            continue;
        }
        let recorded = options.commits.get(&(factor.to_owned(), label.to_owned()));
        let commit = match recorded {
            Some(commit) => revisions.git.commit(commit).map_err(|_| {
                let found = format!("the commit {}, which `{label}` was, is not in {} any more", short(commit), {
                    revisions.repository.display()
                });
                Unknown::new(found, "expected it, as the run measures that commit; begin a new run")
            }),
            None => revisions.resolve(label),
        };
        let commit = match commit {
            Ok(commit) => commit,
            Err(unknown) if is_needed(label) => {
                mistakes.push(unknown.at(file, item));
                levels.push(Level::broken(label.to_owned(), item.span));
                continue;
            }
            // Nobody asks for it now; with what stands around it all the same can be checked.
            Err(_) => "0".repeat(40),
        };
        levels.push(revisions.level(label, &commit, item, is_default(label)));
    }
    for item in default.iter().flatten() {
        let label = factors::label_of(&item.to_json());
        if !levels.iter().any(|l| l.label == label) {
            mistakes.push(factors::unknown_level(file, item.span, factor, &label, &levels));
        }
    }
    Some((levels, revisions))
}

fn repository(file: &Arc<SourceFile>, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Repository> {
    let Some(value) = node.get("git") else {
        mistakes.push(
            Mistake::new(file, node.head, "the key `git` is missing").expected("expected `git: .`, a folder in a repository"),
        );
        return None;
    };
    let path = text(file, value, "expected a folder, such as `.` for the repository in which this file is", mistakes)?;
    let Some(folder) = actions::find_file(&file.path, path).filter(|p| p.is_dir()) else {
        mistakes.push(
            Mistake::new(file, value.span, format!("there is no folder `{path}`"))
                .expected("expected a folder, seen from the scenario's folder or one above it"),
        );
        return None;
    };
    Repository::around(&folder)
        .map_err(|error| {
            let mistake = match &error {
                Error::NotInstalled => Mistake::new(file, value.span, "git is not installed")
                    .expected("expected it on PATH: revisions are checked out by it"),
                Error::Said(said) => {
                    let mistake = Mistake::new(file, value.span, format!("`{path}` is not in a git repository"))
                        .expected("expected a folder in one");
                    // Otherwise it says the same.
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

/// The words of `build`; none are there where it is not.
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
    // What is named by a path is in the checkout.
    if mistakes.len() == before && !first.contains('/') && programs::find_program(first).is_none() {
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
        Some(value) => decode::decode::<types::Duration>(file, value, mistakes).map(|d| d.0),
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

/// The commits of all levels of a recorded plan, by factor and label: what goes on with a run measures the same ones.
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

/// The label of a level, and the commit that it means.
pub fn describe(level: &Level) -> String {
    match &level.checkout {
        Some(checkout) => format!("{} ({})", level.label, short(&checkout.commit)),
        None => level.label.clone(),
    }
}

/// What a reader of a plan should know of its revisions, a line each.
pub fn notes(plan: &Plan) -> Vec<String> {
    plan.factors.iter().flat_map(same).collect()
}

/// Levels of a factor that are the same commit.
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
    use super::*;

    #[test]
    fn set_names_revisions_as_texts() {
        assert_eq!(names("main, 1234567,\"+dirty\", HEAD@{1}"), ["main", "1234567", "+dirty", "HEAD@{1}"]);
        let settings = ["size=1".to_owned(), "revision=main,1e10".to_owned(), "other=all".to_owned()];
        assert_eq!(named(&settings, "revision"), Some(vec!["main", "1e10"]));
        assert_eq!((named(&settings, "other"), named(&settings, "third")), (Some(vec!["all"]), None));
    }

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

    #[test]
    fn a_checkout_is_named_by_repository_commit_and_build() {
        let of = |repository: &str, commit: &str, build: &[&str]| {
            let build: Vec<String> = build.iter().map(|w| (*w).to_owned()).collect();
            cache::of_commit(repository.as_ref(), commit, &build)
        };
        let first = of("/r/.git", "ab", &["make", "all"]);
        assert_eq!(first, of("/r/.git", "ab", &["make", "all"]));
        for other in
            [of("/s/.git", "ab", &["make", "all"]), of("/r/.git", "cd", &["make", "all"]), of("/r/.git", "ab", &["make all"])]
        {
            assert_ne!(first.directory, other.directory);
        }
    }

    #[test]
    fn levels_that_are_one_commit_are_noted() {
        let git = Repository { path: "/r".into(), common: "/r/.git".into(), is_bare: false };
        let revisions = Revisions { repository: "/r".into(), build: Vec::new(), timeout: BUILD_TIMEOUT, git, keeps: false };
        let node = Node::text(crate::schema::Span::default(), "x");
        let levels =
            [("main", "ab"), ("HEAD", "ab"), ("old", "cd")].map(|(label, commit)| revisions.level(label, commit, &node, true));
        assert_eq!(levels[0].node.get("commit").and_then(Node::as_text), Some("ab"));
        assert_eq!(describe(&levels[2]), "old (cd)");
        let factor = Factor { name: "f".into(), levels: levels.into(), revisions: Some(revisions), span: node.span };
        let notes = same(&factor);
        assert_eq!(notes, ["note: `main` and `HEAD` of `f` are the same commit ab: what differs between them is noise"]);
    }
}
