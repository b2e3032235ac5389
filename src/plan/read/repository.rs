//! Which commit a name means in the repository of a factor.

use std::sync::Arc;

use serde_json::json;

use plan::git::{self, Error};
use plan::revisions::{Checkout, Revisions, short};
use plan::{Level, cache};
use schema::source::nearest;
use schema::{Mistake, Node, SourceFile};

/// The name of the working tree with its uncommitted changes.
pub const DIRTY: &str = "+dirty";

/// The repository of a factor, and what its revisions are made of.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    /// What the plan records.
    pub revisions: Revisions,
    /// As git sees it.
    pub git: git::Repository,
    /// Whether snapshots of the working tree are written to it.
    pub keeps_snapshots: bool,
}

impl Repository {
    /// The checkout of a commit.
    fn checkout(&self, commit: &str) -> Checkout {
        let cache = cache::of_commit(&self.git.common, commit, &self.revisions.build);
        Checkout {
            repository: self.revisions.repository.clone(),
            commit: commit.to_owned(),
            directory: cache.directory.join(short(commit)),
            build: self.revisions.build.clone(),
            timeout: self.revisions.timeout,
            cache,
        }
    }

    /// A level: what expressions read of it, at a position in the file.
    pub fn level(&self, label: &str, commit: &str, node: &Node, by_default: bool) -> (Level, Node) {
        let checkout = self.checkout(commit);
        let value = json!({"name": label, "commit": commit, "dir": checkout.directory.display().to_string()});
        let node = Node::from_json(&value, node.span);
        (Level { label: label.to_owned(), value, by_default, checkout: Some(Box::new(checkout)) }, node)
    }

    /// The commit that a revision means.
    pub fn resolve(&self, name: &str) -> Result<String, Unknown> {
        let place = self.revisions.repository.display();
        if name != DIRTY {
            return self.git.commit(name).map_err(|error| match error {
                Error::NotInstalled => Unknown::new(error.to_string(), "expected a git that can be started"),
                Error::Said(_) => {
                    let unknown = Unknown::new(
                        format!("`{name}` is not a revision of {place}"),
                        format!("expected a branch, a tag, a commit, or `{DIRTY}` for the uncommitted changes"),
                    );
                    unknown.help(self.meant(name))
                }
            });
        }
        if self.git.is_bare {
            let found = format!("{place} is a bare repository, which has no uncommitted changes");
            return Err(Unknown::new(found, "expected branches, tags and commits only"));
        }
        match self.git.snapshot(self.keeps_snapshots) {
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

    /// What may have been meant by an unknown name.
    fn meant(&self, name: &str) -> Option<String> {
        let shallow = "this is a shallow clone; `git fetch --unshallow` fetches older commits";
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
    pub fn further(&self, label: &str, node: &Node) -> Result<(Level, Node), String> {
        let commit = self.resolve(label).map_err(|unknown| {
            let help = unknown.help.map_or_else(String::new, |h| format!("; {h}"));
            format!("{}, {}{help}", unknown.found, unknown.expected)
        })?;
        Ok(self.level(label, &commit, node, false))
    }
}

/// Why a name is not a revision.
pub(super) struct Unknown {
    found: String,
    expected: String,
    help: Option<String>,
}

impl Unknown {
    pub fn new(found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), help: None }
    }

    pub fn help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    pub fn at(self, file: &Arc<SourceFile>, node: &Node) -> Mistake {
        let mistake = Mistake::new(file, node.span, self.found).expected(self.expected);
        Mistake { help: self.help, ..mistake }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_a_revision_is_a_map_for_expressions() {
        let git = git::Repository { path: "/r".into(), common: "/r/.git".into(), is_bare: false };
        let revisions = Revisions { repository: "/r".into(), build: Vec::new(), timeout: std::time::Duration::ZERO };
        let repository = Repository { revisions, git, keeps_snapshots: false };
        let (level, node) = repository.level("main", "ab", &Node::text(schema::Span::default(), "x"), true);
        assert_eq!(node.get("commit").and_then(Node::as_text), Some("ab"));
        assert_eq!((level.label.as_str(), level.checkout.unwrap().commit.as_str()), ("main", "ab"));
    }
}
