//! Questions to `git`: where a repository is, which commit a name means, and a snapshot of uncommitted changes.
//!
//! Nothing here changes the branch, the index, the stash or a file of the repository. Checkouts are made by the executor.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Variables that would lead `git` to another repository or index, for example when runner is started by a hook.
pub const REPOSITORY_VARIABLES: [&str; 8] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
];

/// With these options `git` starts no hook and no daemon, and writes no part of an index to a separate file.
pub const QUIETLY: [&str; 6] = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.splitIndex=false"];

/// Excludes everything in the folders of runs and their graphs, wherever these are: results are not part of what is measured,
/// and if they were, every run would measure a different snapshot than the previous one. (`record::write` names the folders.)
const RESULTS: &str = ":(exclude,top,glob)**/\
    [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]/**";

/// Why `git` failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The program is not installed.
    #[error("git is not installed")]
    NotInstalled,
    /// The error message of `git`.
    #[error("git says: {0}")]
    Said(String),
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Its working tree, or the repository's own folder if it has none.
    pub path: PathBuf,
    /// The folder of its objects: the same for all its working trees.
    pub common: PathBuf,
    /// Whether it has no working tree.
    pub is_bare: bool,
}

impl Repository {
    /// The repository in which a folder is.
    ///
    /// # Errors
    /// When the folder is in no repository.
    pub fn around(folder: &Path) -> Result<Self, Error> {
        let said = git(folder, &["rev-parse", "--is-bare-repository", "--git-common-dir"], &[])?;
        let mut lines = said.lines();
        let is_bare = lines.next() == Some("true");
        let common = folder.join(lines.next().unwrap_or_default());
        let common = common.canonicalize().unwrap_or(common);
        let path = if is_bare { common.clone() } else { PathBuf::from(git(folder, &["rev-parse", "--show-toplevel"], &[])?) };
        Ok(Self { path, common, is_bare })
    }

    /// The full commit id that a name means.
    ///
    /// # Errors
    /// When the name means no commit.
    pub fn commit(&self, name: &str) -> Result<String, Error> {
        if name.starts_with('-') {
            return Err(Error::Said(format!("`{name}` is an option")));
        }
        self.ask(&["rev-parse", "--verify", &format!("{name}^{{commit}}")], &[])
    }

    /// Names of branches and tags; names from remote repositories come last.
    pub fn names(&self) -> Vec<String> {
        let format = "--format=%(refname:short)";
        let said = self.ask(&["for-each-ref", format, "refs/heads", "refs/tags", "refs/remotes"], &[]).unwrap_or_default();
        said.lines().map(str::to_owned).collect()
    }

    /// Whether the clone lacks the older part of the history.
    pub fn is_shallow(&self) -> bool {
        self.ask(&["rev-parse", "--is-shallow-repository"], &[]).is_ok_and(|said| said == "true")
    }

    /// A commit of the current working tree: changed files, and new ones that are not ignored. `None` if there are no such
    /// files. The same state makes the same commit, so that it is built once.
    ///
    /// The commit is made with a separate index. `is_kept`: the commit is written to the repository, where no branch leads to
    /// it; otherwise only its id is computed.
    ///
    /// # Errors
    /// When the commit cannot be made.
    pub fn snapshot(&self, is_kept: bool) -> Result<Option<String>, Error> {
        let place = Temporary::make().map_err(|e| Error::Said(format!("cannot make a temporary folder: {e}")))?;
        let inside = |name: &str| self.ask(&["rev-parse", "--git-path", name], &[]).map(|path| self.path.join(path));
        let index = place.path.join("index");
        // The copied index knows files that did not change since they were added, which makes this quick.
        let from = inside("index")?;
        let _ = std::fs::copy(&from, &index);
        // git compares times by the second, and looks into files that changed in the second in which the index was written: a copy
        // that seems younger would hide such a change.
        if let Ok(written) = from.metadata().and_then(|metadata| metadata.modified())
            && let Ok(copy) = std::fs::File::options().write(true).open(&index)
        {
            let _ = copy.set_modified(written);
        }
        let mut env: Vec<(&str, OsString)> = vec![("GIT_INDEX_FILE", index.into())];
        if !is_kept {
            let objects = inside("objects")?;
            let objects = objects.canonicalize().unwrap_or(objects);
            // The variable is a list, in which a name may be quoted.
            let quoted = objects.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
            env.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES", format!("\"{quoted}\"").into()));
            let own = place.path.join("objects");
            std::fs::create_dir(&own).map_err(|e| Error::Said(format!("cannot make a temporary folder: {e}")))?;
            env.push(("GIT_OBJECT_DIRECTORY", own.into()));
        }
        self.ask(&["add", "--all", "--", ":/", RESULTS], &env)?;
        let tree = self.ask(&["write-tree"], &env)?;
        let head = self.commit("HEAD").ok();
        let committed = head.as_ref().and_then(|head| self.ask(&["rev-parse", &format!("{head}^{{tree}}")], &[]).ok());
        if committed.as_ref() == Some(&tree) {
            return Ok(None);
        }
        let time = match &head {
            Some(head) => self.ask(&["show", "--no-patch", "--format=%ct", head], &[])?,
            None => "0".to_owned(),
        };
        let date = OsString::from(format!("@{time} +0000"));
        env.extend(["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"].map(|name| (name, "runner".into())));
        env.extend(["GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"].map(|name| (name, "runner@localhost".into())));
        env.extend(["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"].map(|name| (name, date.clone())));
        let mut words = vec!["commit-tree", "-m", "uncommitted changes", &tree];
        if let Some(head) = &head {
            words.extend(["-p", head]);
        }
        self.ask(&words, &env).map(Some)
    }

    fn ask(&self, words: &[&str], env: &[(&str, OsString)]) -> Result<String, Error> {
        git(&self.path, words, env)
    }
}

/// The output of `git` started in a folder.
fn git(folder: &Path, words: &[&str], env: &[(&str, OsString)]) -> Result<String, Error> {
    let mut command = Command::new("git");
    for name in REPOSITORY_VARIABLES {
        command.env_remove(name);
    }
    command.args(QUIETLY).args(words).current_dir(folder).envs(env.iter().map(|(k, v)| (k, v))).env("LC_ALL", "C");
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::NotInstalled,
        _ => Error::Said(e.to_string()),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|l| l.starts_with("fatal: ")).or(said.lines().next()).unwrap_or_default();
        return Err(Error::Said(first.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// A folder that only its owner can read, and that is removed at the end.
struct Temporary {
    path: PathBuf,
    /// Locked as long as this process lives, so that a later start can tell which folders are no longer needed.
    _held: std::fs::File,
}

impl Temporary {
    fn make() -> std::io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let name = format!("runner-snapshot-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::path::absolute(std::env::temp_dir())?.join(name);
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let held = std::fs::File::open(&path)?;
                    let _ = rustix::fs::flock(&held, rustix::fs::FlockOperation::NonBlockingLockExclusive);
                    return Ok(Self { path, _held: held });
                }
                // Left by a killed runner with the same pid.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes folders left by a runner that was killed while it examined a repository; returns a message for each.
pub fn sweep() -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("runner-snapshot-"));
    let stale = named.map(|entry| entry.path()).filter(|path| {
        let ours = path.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::getuid().as_raw());
        let held = || std::fs::File::open(path).ok();
        ours && held().is_some_and(|file| rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok())
    });
    let gone = stale.filter(|path| std::fs::remove_dir_all(path).is_ok());
    gone.map(|path| format!("removed {}, left by a killed runner", path.display())).collect()
}
