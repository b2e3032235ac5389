//! Revisions: a commit checked out in its own folder and built there, once for all runs.
//!
//! A checkout is a working tree of its repository (`git worktree`), detached from all branches, in the directory
//! that `cache` keeps for it. The repository lists the checkout until `git worktree prune` runs after its removal.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache;
use super::command::{Command, CommandError};
use plan::Checkout;
use plan::git::{QUIETLY, REPOSITORY_VARIABLES};
use supervise::Guard;

/// The end of a build's output has the reason why it failed; with compilers this is more than the last few lines.
const LINES_SHOWN: usize = 20;
/// How long removing a checkout may take.
const FORGETTING: Duration = Duration::from_secs(60);

/// Makes a checkout, unless it already exists. `name`: the name of its logs.
///
/// # Errors
/// When the commit cannot be checked out or built; then nothing is kept.
pub(super) async fn make(guard: &Guard, checkout: &Checkout, logs: &Path, name: &str) -> Result<(), CommandError> {
    let claim = cache::claim(&checkout.cache, || is_sound(checkout)).await.map_err(CommandError::Failed)?;
    let Some(claim) = claim else { return Ok(()) };
    let directory = checkout.directory.display().to_string();
    // Forced twice: the repository may still list a removed checkout in this place, or even one that was being made.
    let add = ["worktree", "add", "--force", "--force", "--detach", &directory, &checkout.commit];
    git(checkout, &add, checkout.timeout, format!("{name}-checkout")).execute(guard, logs).await?;
    if !checkout.build.is_empty() {
        let build = Command {
            argv: elsewhere(checkout.build.iter().cloned()),
            dir: Some(checkout.directory.clone()),
            ..git(checkout, &[], checkout.timeout, name.to_owned())
        };
        if let Err(error) = build.execute(guard, logs).await {
            let remove = ["worktree", "remove", "--force", "--force", &directory];
            // If this fails, the directory is still removed, and `git worktree prune` forgets the rest.
            let _ = git(checkout, &remove, FORGETTING, format!("{name}-removal")).execute(guard, logs).await;
            return Err(error);
        }
    }
    claim.complete().map_err(CommandError::Failed)
}

/// Whether a checkout exists, so that no build is needed.
pub fn is_there(checkout: &Checkout) -> bool {
    cache::is_there(&checkout.cache) && is_sound(checkout)
}

/// Whether a checkout still belongs to its repository, and has its commit.
fn is_sound(checkout: &Checkout) -> bool {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let link = read(checkout.directory.join(".git"));
    let Some(path) = link.trim_end().strip_prefix("gitdir: ") else { return false };
    read(checkout.directory.join(path).join("HEAD")).trim_end() == checkout.commit
}

/// A command of `git` in the repository.
fn git(checkout: &Checkout, words: &[&str], timeout: Duration, name: String) -> Command {
    let words = ["git"].iter().chain(&QUIETLY).chain(words).map(|w| (*w).to_owned());
    Command {
        argv: elsewhere(words),
        env: Vec::new(),
        dir: Some(checkout.repository.clone()),
        timeout,
        name,
        lines_shown: LINES_SHOWN,
    }
}

/// A command line without the variables that name another repository than that of the folder in which it runs.
fn elsewhere(words: impl Iterator<Item = String>) -> Vec<String> {
    let without = REPOSITORY_VARIABLES.iter().flat_map(|name| ["-u", name]);
    ["env"].into_iter().chain(without).map(str::to_owned).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_does_not_inherit_the_repository_of_a_hook() {
        let argv = elsewhere(["make".to_owned(), "-j".to_owned()].into_iter());
        assert_eq!(argv[..3], ["env", "-u", "GIT_DIR"]);
        assert_eq!(argv[argv.len() - 2..], ["make", "-j"]);
    }
}
