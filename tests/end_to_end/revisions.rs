//! Revisions as levels: commits of a repository that each test makes for itself, and what is not committed in it.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{Outcome, Place, Started, files, git, json, listing};

/// A server is made by its build: one that takes as long as the file `delay` says.
const BUILD: &str = "\
echo \"$(cat delay) from $(git rev-parse HEAD)\" >> DIR/builds
printf '#!/bin/sh\\nexec RUNNER fixture queue --mean %s --port \"$1\"\\n' \"$(cat delay.local 2>/dev/null || cat delay)\" > server
chmod +x server
";

/// A build that says a lot before it fails.
const BROKEN: &str = "\
echo broken >> DIR/builds
for i in $(seq 40); do echo \"line $i of the build\"; done
echo \"error: $TOKEN is not a type\"
exit 3
";

const SCENARIO: &str = "
experiment: test
env: {TOKEN: {secret: true}}
factors: {revision: {git: ., of: OF, build: [sh, build.sh]}}
repetitions: 7
targets: {server: {command: ['${revision.dir}/server', 'PORT1'], port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 40}
    steps: [{get: /, headers: {token: '${env.TOKEN}', commit: '${revision.commit}'}}]
";

/// A small experiment that starts nothing.
const TOOL: &str = "
experiment: test
factors: {revision: {git: ., of: OF}}
repetitions: 3
workloads:
  tool:
    command: [sh, '${revision.dir}/tool.sh', '${revision.name}', '${repetition}']
    load: {closed: {connections: 1}, amount: 1}
";

/// A place with a repository in `repo`.
struct Repository {
    place: Place,
}

impl Repository {
    fn new() -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("repo")).unwrap();
        let repository = Self { place };
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository
    }

    fn git(&self, words: &[&str]) -> String {
        git(&self.place.path("repo"), words)
    }

    /// Writes a file of the repository; see [`Place::write`].
    fn write(&mut self, name: &str, text: &str) {
        self.place.write(&format!("repo/{name}"), text);
    }

    /// Commits all that is there; returns the commit.
    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// `runner` in the place, with a cache of its own.
    fn runner(&self, words: &[&str]) -> Started {
        let mut command = self.place.runner();
        command.args(words).env("RUNNER_CACHE", self.place.path("cache")).env("TOKEN", "hush-hush");
        Started::spawn(&mut command)
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.runner(words).wait()
    }

    fn builds(&self) -> Vec<String> {
        self.place.lines("builds")
    }

    /// All that belongs to the user: files, index, and what git says of branches, stash and status.
    fn possessions(&self) -> BTreeMap<String, Vec<u8>> {
        let repo = self.place.path("repo");
        let mine = files(&repo).into_iter().filter(|f| !f.starts_with(".git/") || f == ".git/index");
        // First of all: git itself writes to the index when it is asked for the status.
        let mut found: BTreeMap<String, Vec<u8>> = mine.map(|f| (f.clone(), std::fs::read(repo.join(f)).unwrap())).collect();
        for words in [["branch", "--all", "--verbose"].as_slice(), &["stash", "list"], &["status", "--porcelain"]] {
            found.insert(words.join(" "), self.git(words).into_bytes());
        }
        found
    }

    /// The checkouts that are kept.
    fn checkouts(&self) -> usize {
        let cache = self.place.path("cache");
        listing(&cache).iter().filter(|name| cache.join(name).join(".step").exists()).count()
    }
}

/// `v1` answers after 1 ms, `main` after 5, `broken` cannot be built, and 12 ms are not committed.
fn servers() -> (Repository, [String; 3]) {
    let mut repository = Repository::new();
    repository.write("build.sh", BUILD);
    repository.write("delay", "1ms");
    repository.write(".gitignore", "*.o\nserver\n");
    let v1 = repository.commit();
    repository.git(&["tag", "v1"]);
    repository.write("delay", "5ms");
    let main = repository.commit();
    repository.git(&["switch", "--quiet", "--create", "broken"]);
    repository.write("build.sh", BROKEN);
    let broken = repository.commit();
    repository.git(&["switch", "--quiet", "main"]);
    (repository, [v1, main, broken])
}

/// The commit of each level in `plan.json`, by its label.
fn commits(plan: &Json) -> Vec<(String, String)> {
    let levels = plan["factors"][0]["levels"].as_array().unwrap().iter();
    let word = |value: &Json| value.as_str().unwrap().to_owned();
    levels.map(|l| (word(&l["label"]), word(&l["value"]["commit"]))).collect()
}

fn contains(folder: &Path, word: &str) -> bool {
    files(folder).iter().any(|f| String::from_utf8_lossy(&std::fs::read(folder.join(f)).unwrap()).contains(word))
}

#[test]
fn revisions_are_built_measured_and_compared() {
    let (mut repository, [v1, main, broken]) = servers();
    // A file that was changed, a new one, one that is ignored, and something in index and stash.
    repository.write("delay", "7ms");
    repository.git(&["stash", "push", "--quiet"]);
    repository.write("delay", "6ms");
    repository.git(&["add", "delay"]);
    repository.write("delay", "8ms");
    repository.write("delay.local", "12ms");
    repository.write("left.o", "ignored");
    repository.write("test.yaml", &SCENARIO.replace("OF", "[v1, main, broken, '+dirty']"));
    repository.git(&["status"]);
    let before = repository.possessions();

    let outcome = repository.run(&["run", "repo/test.yaml", "--no-graphs"]).expect(4);
    assert_eq!(repository.possessions(), before);
    repository.place.assert_cleared(crate::support::CLEARED);
    let directory = repository.place.run_directory("test");
    let found = commits(&json(&directory.join("plan.json")));
    let known: Vec<(&str, &str)> = found.iter().map(|(label, commit)| (label.as_str(), commit.as_str())).collect();
    assert_eq!(known[..3], [("v1", v1.as_str()), ("main", &main), ("broken", &broken)]);
    let dirty = known[3].1;
    assert_eq!(repository.git(&["rev-parse", &format!("{dirty}^")]), main);
    let snapshot = repository.git(&["ls-tree", "--name-only", dirty]);
    assert_eq!(snapshot.lines().collect::<Vec<_>>(), [".gitignore", "build.sh", "delay", "delay.local", "test.yaml"]);
    assert_eq!(repository.git(&["show", &format!("{dirty}:delay")]), "8ms");

    // What cannot be built is failed, with the end of what the build said, and the others go on.
    for (level, verdict) in [("v1", "valid"), ("main", "valid"), ("broken", "failed"), ("+dirty", "valid")] {
        for repetition in [1, 7] {
            let status = repository.place.status(&format!("revision={level}/run{repetition}"));
            assert_eq!(status["verdict"]["is"], verdict, "{level} {repetition}: {status:#}");
        }
    }
    let reason = repository.place.status("revision=broken/run1")["verdict"]["reason"].as_str().unwrap().to_owned();
    for part in
        ["the build step `check out", "sh build.sh", "line 22 of the build", "line 40 of the build", "error: *** is not a type"]
    {
        assert!(reason.contains(part), "`{part}` is not in {reason}");
    }
    assert!(!reason.contains("line 21 of the build"), "{reason}");
    assert!(
        outcome.stdout.contains("FAILED 7 of ") && outcome.flat().contains(" revision=broken #1 #2 #3 and 4 more"),
        "{}",
        outcome.stdout
    );
    assert!(!contains(&directory, "hush-hush"));

    // Each was measured by itself, and is told apart.
    let comparison =
        ["compare", "results", "--by", "revision", "--baseline", "v1", "--metric", "response_p50", "--format", "json"];
    let said = repository.run(&comparison);
    let comparison: Json = serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {said:?}"));
    let rows = comparison["rows"].as_array().unwrap();
    let found: Vec<(&str, &str)> = rows.iter().map(|r| (r["side"].as_str().unwrap(), r["verdict"].as_str().unwrap())).collect();
    assert_eq!(found, [("main", "slower"), ("+dirty", "slower")], "{rows:#?}");
    let ratio = |row: &Json| row["ratio"].as_f64().unwrap();
    assert!(ratio(&rows[0]) > 2.0 && ratio(&rows[1]) > ratio(&rows[0]) * 1.5, "{rows:#?}");

    // What was built is there for the next run; what failed is tried again.
    let mut builds = repository.builds();
    builds.sort();
    let mut expected = [format!("1ms from {v1}"), format!("5ms from {main}"), format!("8ms from {dirty}"), "broken".to_owned()];
    expected.sort();
    assert_eq!(builds, expected);
    assert_eq!(repository.checkouts(), 3);
    assert!(!repository.git(&["worktree", "list"]).contains(&broken[..7]));
    repository.run(&["run", "repo/test.yaml", "--no-graphs", "--repetitions", "1"]).expect(4);
    assert_eq!(repository.builds()[4..], ["broken"]);
    assert_eq!(repository.possessions(), before);
    // When the checkouts are removed, git forgets them.
    std::fs::remove_dir_all(repository.place.path("cache")).unwrap();
    repository.git(&["worktree", "prune"]);
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 1);
    assert_eq!(repository.possessions(), before);
}

#[test]
fn what_revisions_mean_is_said_before_anything_is_built() {
    let (mut repository, [v1, main, _]) = servers();
    repository.git(&["branch", "feature/quick", "v1"]);
    repository.write("test.yaml", &SCENARIO.replace("OF", "[main, HEAD, 'HEAD~1']"));
    let before = files(&repository.place.path("repo"));
    let said = repository.run(&["plan", "repo/test.yaml"]).expect(0).stdout;
    for part in [
        &format!("revision: main ({0}), HEAD ({0}), HEAD~1 ({1})", &main[..10], &v1[..10]),
        &format!("note: `main` and `HEAD` of `revision` are the same commit {}: what differs", &main[..10]),
        "before that 2 revisions are built",
        &format!("set-up, cell: check out {} of", &v1[..10]),
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert!(repository.run(&["check", "repo/test.yaml"]).expect(0).stdout.contains("note: `main` and `HEAD` of"));
    // A branch that is not in the list, and a snapshot.
    repository.write("delay", "9ms");
    let set = ["plan", "repo/test.yaml", "--json", "--set", "revision=feature/quick,+dirty"];
    let plan: Json = serde_json::from_str(&repository.run(&set).expect(0).stdout).unwrap();
    let found = commits(&plan);
    assert_eq!(found[0], ("feature/quick".to_owned(), v1));
    assert_eq!(found[1].0, "+dirty");
    assert_eq!((files(&repository.place.path("repo")), repository.builds()), (before, Vec::new()));
    assert!(!repository.place.path("cache").exists());
    // The same state is the same commit, also when results have come into the repository.
    let run = repository.place.path("repo/results/test/20260101T120000Z-0a1b");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("plan.json"), "{}").unwrap();
    let plan: Json = serde_json::from_str(&repository.run(&set).expect(0).stdout).unwrap();
    assert_eq!(commits(&plan), found);
}

#[test]
fn what_is_not_a_revision_is_a_mistake() {
    let (mut repository, _) = servers();
    repository.git(&["update-ref", "refs/remotes/origin/feature", "HEAD"]);
    let mut check = |of: &str, words: &[&str]| {
        repository.write("test.yaml", &SCENARIO.replace("OF", of));
        repository.git(&["add", "test.yaml"]);
        repository.git(&["commit", "--quiet", "--message", "the experiment"]);
        repository.run(&[&["check", "repo/test.yaml"], words].concat())
    };
    check("[mian]", &[]).expect(2).complains(&["`mian` is not a revision of", "repo/test.yaml:4:35", "did you mean `main`?"]);
    check("[feature, v1]", &[]).expect(2).complains(&["did you mean `origin/feature`?"]);
    check("['--all', main..v1, +drity]", &[]).expect(2).complains(&[
        "`--all` is not a revision",
        "`main..v1` is not a revision",
        "`+drity` is not a revision",
        "did you mean `+dirty`?",
    ]);
    check("['HEAD~99']", &[]).expect(2).complains(&["`HEAD~99` is not a revision", "`HEAD` has fewer commits before it"]);
    check("[main, main]", &[]).expect(2).complains(&["the level `main` appears twice"]);
    check("[main, '+dirty']", &[]).expect(2).complains(&["nothing is uncommitted in", "`+dirty` is the same as `HEAD`"]);
    // What is not asked for may be missing.
    let plan = |set: &str| repository.run(&["plan", "repo/test.yaml", "--set", set]);
    plan("revision=main").expect(0);
    plan("revision=main,brokn").expect(2).complains(&["`--set revision=main,brokn`: `brokn` is not", "did you mean `broken`?"]);
    plan("revision=all").expect(2).complains(&["nothing is uncommitted in"]);

    let mut place = Place::new();
    place.write("test.yaml", &SCENARIO.replace("OF", "[main]"));
    let check = |path: &str| {
        let mut command = place.runner();
        command.args(["check", "test.yaml"]).env("GIT_CEILING_DIRECTORIES", place.path("..")).env("PATH", path);
        Started::spawn(&mut command).wait().expect(2)
    };
    check(&std::env::var("PATH").unwrap()).complains(&["`.` is not in a git repository", "test.yaml:4:27"]);
    check("/nowhere").complains(&["git is not installed", "test.yaml:4:27"]);
}

#[test]
fn a_run_goes_on_with_the_commits_with_which_it_began() {
    let mut repository = Repository::new();
    let waits =
        "until test \"$(cat DIR/stop)\" != $1$2; do sleep 0.01; done\ngit -C $(dirname $0) rev-parse HEAD >> DIR/measured\n";
    repository.write("tool.sh", waits);
    repository.write("test.yaml", &TOOL.replace("OF", "[HEAD, '+dirty']"));
    let head = repository.commit();
    repository.write("tool.sh", &format!("{waits}# changed\n"));
    repository.place.write("stop", "HEAD2");
    let mut started = repository.runner(&["run", "repo/test.yaml", "--no-graphs", "--seed", "3"]);
    started.until("it waits", || (repository.place.processes().iter().any(|p| p.command.contains("HEAD 2"))).then_some(()));
    started.signal(Signal::INT);
    started.wait();
    let directory = repository.place.run_directory("test").display().to_string();
    repository.place.write("stop", "none");
    // Meanwhile the branch goes on, and nothing is uncommitted any more.
    repository.commit();
    let dirty = commits(&json(&repository.place.run_directory("test").join("plan.json")))[1].1.clone();
    repository.run(&["resume", &directory, "--no-graphs"]).expect(0);
    let measured = repository.place.lines("measured");
    let count = |commit: &str| measured.iter().filter(|m| m == &commit).count();
    assert_eq!((count(&head), count(&dirty), measured.len()), (3, 3, 6), "{measured:?}");

    // Without the commits there is nothing to go on with.
    std::fs::remove_dir_all(repository.place.run_directory("test").join("cells/revision=HEAD/run3")).unwrap();
    std::fs::remove_dir_all(repository.place.path("repo/.git")).unwrap();
    repository.git(&["init", "--quiet", "--initial-branch", "main"]);
    repository.commit();
    repository
        .run(&["resume", &directory, "--no-graphs"])
        .expect(2)
        .complains(&[&format!("the commit {}, which `HEAD` meant, is no longer in", &head[..10]), "start a new run"]);
}

#[test]
fn a_checkout_that_was_broken_off_is_made_anew_and_by_one_runner_only() {
    let mut repository = Repository::new();
    repository
        .write("build.sh", "echo begun >> DIR/builds\nuntil test -e DIR/go; do sleep 0.01; done\necho built >> DIR/builds\n");
    repository.write("tool.sh", "true\n");
    repository.write("test.yaml", &TOOL.replace("OF}", "[HEAD], build: [sh, build.sh]}"));
    repository.commit();
    let run = ["run", "repo/test.yaml", "--no-graphs"];
    let mut started = repository.runner(&run);
    started.until("it builds", || (repository.builds().len() == 1).then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    repository.place.assert_cleared(crate::support::CLEARED);
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 2, "half a checkout is left");

    let mut both = [repository.runner(&run), repository.runner(&run)];
    both[0].until("one of them builds", || (repository.builds().len() == 2).then_some(()));
    repository.place.write("go", "");
    for started in both {
        started.wait().expect(0);
    }
    assert_eq!(repository.builds(), ["begun", "begun", "built"]);
    assert_eq!(repository.git(&["worktree", "list"]).lines().count(), 2);
    // A repository that has forgotten its checkouts gets them again.
    std::fs::remove_dir_all(repository.place.path("repo/.git/worktrees")).unwrap();
    repository.run(&run).expect(0);
    assert_eq!((repository.builds().len(), repository.checkouts()), (5, 1));
    repository.run(&run).expect(0);
    assert_eq!(repository.builds().len(), 5);
}

#[test]
fn a_change_in_the_second_of_the_commit_is_part_of_the_snapshot() {
    let (mut repository, _) = servers();
    let second = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    // git looks at seconds: the file is as long as before, and of the same second as the index.
    while second().subsec_millis() > 100 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let began = second().as_secs();
    repository.write("delay", "3ms");
    repository.commit();
    repository.write("delay", "9ms");
    assert_eq!(second().as_secs(), began, "this took too long");
    while second().as_secs() == began {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    repository.place.write("test.yaml", &TOOL.replace("OF", "['+dirty']").replace("git: .", "git: repo"));
    let said = repository.run(&["plan", "test.yaml", "--json"]).expect(0);
    let plan: Json = serde_json::from_str(&said.stdout).unwrap();
    assert_ne!(commits(&plan)[0].1, repository.git(&["rev-parse", "HEAD"]));
}
