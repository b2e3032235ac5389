//! What comes from somebody else, or is not what it seems: results with names that lead elsewhere, a cache that another user
//! filled, files that may only be read, texts that are not UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};

use crate::support::{Outcome, Place, Started, copy, files, json as read_json, listing, root};

const KEPT: &str = "tests/data/results/format-2/20261122T053326Z-e9ba";
const NAME: &str = "20261122T053326Z-e9ba";
/// No user has this number here but `nobody`.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A run that an older version made, in `theirs/<experiment>/<run>` of a place.
fn theirs() -> (Place, PathBuf) {
    let place = Place::new();
    let run = place.path("theirs/format-2").join(NAME);
    copy(&root().join(KEPT), &run);
    std::fs::remove_file(run.join("summary.json")).unwrap();
    (place, run)
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

// ---- names that lead elsewhere

#[test]
fn a_name_in_a_record_does_not_lead_elsewhere() {
    let (place, run) = theirs();
    let plan = read_json(&run.join("plan.json"));
    let outside = place.path("outside").display().to_string();
    let hostile = [
        ("/experiment", json!("../../outside"), "the experiment"),
        ("/experiment", json!(outside), "the experiment"),
        ("/experiment", json!(".."), "the experiment"),
        ("/experiment", json!("a\u{0}b"), "the experiment"),
        ("/experiment", json!("\u{1b}]0;hush\u{7}"), "the experiment"),
        ("/cells/0/path", json!("../../../outside"), "the folder of a cell"),
        ("/cells/1/path", json!("/etc"), "the folder of a cell"),
        ("/cells/0/path", json!(""), "the folder of a cell"),
        ("/cells/0/targets/0/name", json!("../web"), "the target"),
        ("/cells/0/workloads/0/name", json!("clients\r"), "the workload"),
        ("/factors/0/name", json!("\u{1b}[2J"), "the factor"),
        ("/cells/0/workloads/0/name", json!("../clients"), "the workload"),
    ];
    let before = files(&place.path(""));
    for (at, name, what) in hostile {
        let mut plan = plan.clone();
        *plan.pointer_mut(at).expect("the plan has it") = name.clone();
        std::fs::write(run.join("plan.json"), plan.to_string()).unwrap();
        let path = run.to_str().unwrap();
        for words in [
            &["summarize", path, "--junit", "out.xml", "--markdown", "out.md"][..],
            &["summarize", path, "--json"],
            &["graph", path, "--out", "drawn/deep"],
            &["compare", path, path],
            &["compare", path, "--by", "kind"],
            &["resume", path],
        ] {
            let outcome = place.run(words).expect(2).complains(&["plan.json has ", what]);
            assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
            assert!(!outcome.stderr.contains(['\u{0}', '\u{1b}', '\u{7}', '\r']), "{:?}", outcome.stderr);
            assert_eq!(files(&place.path("")), before, "{words:?} wrote something for {at} = {name}");
        }
    }
    // As it was, it is drawn where it is asked for.
    std::fs::write(run.join("plan.json"), plan.to_string()).unwrap();
    place.run(&["graph", run.to_str().unwrap(), "--out", "drawn/deep"]).expect(0);
    assert!(files(&place.path("drawn/deep/format-2")).len() > 1);
}

/// Numbers out of a record become lists of windows: one that no run can have must not take all memory.
#[test]
fn times_that_no_run_can_have_are_damage() {
    let (place, run) = theirs();
    let (plan, path) = (read_json(&run.join("plan.json")), run.to_str().unwrap());
    for window in ["1ns", "0s", "a/b", "365d"] {
        let mut changed = plan.clone();
        changed["window"] = json!(window);
        std::fs::write(run.join("plan.json"), changed.to_string()).unwrap();
        place.run(&["summarize", path]).expect(2).complains(&["plan.json is damaged", "is not a time from 1ms to 1h"]);
    }
    std::fs::write(run.join("plan.json"), plan.to_string()).unwrap();
    let found = files(&run).into_iter().find(|name| name.ends_with("status.json")).expect("a repetition");
    let status = run.join(found);
    let before = read_json(&status);
    for end_ns in [9_000_000_000_000_000_000_u64, u64::MAX, 30_000_000_000_000_000] {
        let mut changed = before.clone();
        changed["phases"][0]["end_ns"] = json!(end_ns);
        std::fs::write(&status, changed.to_string()).unwrap();
        let outcome = place.run(&["summarize", path]);
        assert!(outcome.stdout.contains("a phase ends later than is possible"), "{}{}", outcome.stdout, outcome.stderr);
    }
}

#[test]
fn a_name_in_a_floor_does_not_lead_elsewhere() {
    let (place, run) = theirs();
    let other = run.with_file_name("20261122T053327Z-0000");
    copy(&run, &other);
    let (path, other) = (run.to_str().unwrap(), other.to_str().unwrap());
    place.run(&["compare", path, other]).expect(0);
    for name in ["../../outside", "/etc", "..", ""] {
        let floor = json!({"format": 5, "sessions": [NAME, name]});
        std::fs::write(run.with_file_name("floor.json"), floor.to_string()).unwrap();
        place.run(&["compare", path, other]).expect(2).complains(&["floor.json has the session"]);
    }
}

#[test]
fn nothing_is_written_through_a_link_in_a_record() {
    let (place, run) = theirs();
    std::fs::write(place.path("precious"), "precious").unwrap();
    for name in ["summary.json", "summary.json.partial"] {
        symlink(place.path("precious"), run.join(name)).unwrap();
    }
    place.run(&["summarize", run.to_str().unwrap()]).expect(0);
    assert_eq!(place.lines("precious"), ["precious"]);
    assert!(!run.join("summary.json").is_symlink());
}

#[test]
fn a_run_goes_on_in_its_own_directory_only() {
    let mut place = Place::with(
        "
experiment: test
layout: ${kind}
repetitions: 2
factors: {kind: [a, b]}
workloads: {tool: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}}
",
    );
    place.write("began", "");
    place.run(&["run", "test.yaml", "--no-graphs", "--quiet"]).expect(0);
    let run = place.run_directory("test");
    std::fs::rename(run.join("cells/b"), place.path("elsewhere")).unwrap();
    symlink(place.path("elsewhere"), run.join("cells/b")).unwrap();
    std::fs::remove_dir_all(place.path("elsewhere/run2")).unwrap();
    place.run(&["resume", run.to_str().unwrap()]).expect(1).complains(&["cells/b is a link"]);
    assert_eq!(listing(&place.path("elsewhere")), ["run1"]);
    // Read it is all the same.
    let summary = place.run(&["summarize", run.to_str().unwrap(), "--json"]).expect(0).stdout;
    assert_eq!(serde_json::from_str::<Json>(&summary).unwrap()["cells"][1]["repetitions"]["valid"], 1);
}

#[test]
fn a_pipe_in_a_record_is_not_waited_for() {
    let (place, run) = theirs();
    let status = files(&run).into_iter().find(|f| f.ends_with("status.json")).unwrap();
    for (file, code) in [(status.as_str(), 0), ("manifest.json", 2)] {
        std::fs::remove_file(run.join(file)).unwrap();
        assert!(Command::new("mkfifo").arg(run.join(file)).status().unwrap().success());
        let outcome = place.run(&["summarize", run.to_str().unwrap()]).expect(code);
        assert!((outcome.stdout + &outcome.stderr).contains("it is not a file"), "{file}");
    }
}

// ---- a cache that somebody else may have filled

/// Something is made once, kept, and executed later.
fn cached() -> Place {
    let mut place = Place::with(
        "
experiment: test
layout: all
set-up:
  cell:
    - {cache: thing, shell: 'printf \"#!/bin/sh\\necho ours >> DIR/executed\\n\" > $CACHE/program; chmod +x $CACHE/program'}
workloads:
  tool:
    command: [\"${cache.thing}/program\"]
    load: {closed: {connections: 1}, amount: 1}
",
    );
    place.write("executed", "");
    place
}

fn run_with_cache(place: &Place, cache: &Path) -> Outcome {
    let mut command = place.runner();
    Started::spawn(command.args(["run", "test.yaml", "--no-graphs"]).env("RUNNER_CACHE", cache)).wait()
}

#[test]
fn a_program_that_another_user_planted_is_not_executed() {
    let place = cached();
    if !is_root() {
        println!("SKIPPED: only root can give a file to somebody else");
        return;
    }
    let cache = place.path("cache");
    run_with_cache(&place, &cache).expect(0);
    assert!(place.lines("executed").iter().all(|line| line == "ours"));
    std::fs::write(place.path("executed"), "").unwrap();
    let kept = listing(&cache).into_iter().find(|name| !name.ends_with(".lock")).unwrap();
    std::fs::write(
        cache.join(&kept).join("program"),
        format!("#!/bin/sh\necho planted >> {}\n", place.path("executed").display()),
    )
    .unwrap();
    for planted in [cache.join(&kept), cache.clone()] {
        std::os::unix::fs::chown(&planted, Some(NOBODY), Some(NOBODY)).unwrap();
        let parts = [&format!("{} belongs to user {NOBODY}", planted.display()), "RUNNER_CACHE"];
        run_with_cache(&place, &cache).expect(1).complains(&parts);
        std::os::unix::fs::chown(&planted, Some(0), Some(0)).unwrap();
    }
    // Behind a link it is theirs, too.
    let linked = place.path("linked");
    symlink(&cache, &linked).unwrap();
    std::os::unix::fs::lchown(&linked, Some(NOBODY), Some(NOBODY)).unwrap();
    run_with_cache(&place, &linked).expect(1).complains(&["linked belongs to user"]);
    assert_eq!(place.lines("executed"), [""; 0]);
    assert!(!place.path("results").join("test").exists() || listing(&place.path("results/test")).len() == 1);
}

#[test]
fn a_cache_that_others_may_write_to_is_refused() {
    let place = cached();
    let cache = place.path("open/cache");
    std::fs::create_dir_all(&cache).unwrap();
    set_mode(&place.path("open"), 0o777);
    run_with_cache(&place, &cache).expect(1).complains(&["others may write to", "open (mode 0777)", "chmod go-w"]);
    assert_eq!(listing(&cache), [""; 0]);
    set_mode(&place.path("open"), 0o755);
    run_with_cache(&place, &cache).expect(0);
}

#[test]
fn without_a_place_of_our_own_nothing_is_kept() {
    let place = cached();
    let mut command = place.runner();
    command.args(["run", "test.yaml"]).env("TMPDIR", place.path(""));
    for name in ["RUNNER_CACHE", "XDG_CACHE_HOME", "HOME"] {
        command.env_remove(name);
    }
    Started::spawn(&mut command).wait().expect(1).complains(&["there is no place for `thing`", "set HOME", "RUNNER_CACHE"]);
    assert!(!place.path("results").exists() && !place.path("runner-cache").exists());
}

// ---- results of another user

#[test]
fn what_may_only_be_read_is_read() {
    let (place, run) = theirs();
    if !is_root() {
        println!("SKIPPED: only root can become somebody else");
        return;
    }
    set_mode(&place.path(""), 0o755);
    let program = place.path("runner");
    std::fs::copy(place.runner().get_program(), &program).unwrap();
    set_mode(&program, 0o755);
    let as_nobody = |words: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).args(words);
        Started::spawn(command.current_dir(place.path("")).env("HOME", "/nonexistent")).wait()
    };
    let path = run.to_str().unwrap();
    let ours = place.run(&["summarize", path, "--json"]).expect(0).stdout;
    std::fs::remove_file(run.join("summary.json")).unwrap();

    let not_kept = ["warning: cannot write", "summary.json", "Permission denied"];
    let read = as_nobody(&["summarize", path, "--json"]).expect(0).complains(&not_kept);
    assert_eq!(read.stdout, ours, "it is told all the same");
    assert!(as_nobody(&["summarize", path]).expect(0).complains(&not_kept).stdout.contains("closed"));
    as_nobody(&["compare", path, "--by", "kind"]).expect(0);
    as_nobody(&["graph", path]).expect(1).complains(&["cannot write graphs"]);
    as_nobody(&["summarize", path, "--junit", "out.xml"]).expect(1).complains(&["cannot write out.xml"]);
    as_nobody(&["resume", path]).expect(2).complains(&["older runner"]);
    // What is there as it would be written need not be written.
    std::fs::write(run.join("summary.json"), &ours).unwrap();
    assert_eq!(as_nobody(&["summarize", path, "--json"]).expect(0).stderr, "");

    // What may not even be read is not taken for nothing.
    let cell = run.join("cells/closed");
    set_mode(&cell, 0o700);
    let read = as_nobody(&["summarize", path]).expect(0);
    let unbroken = read.stdout.split_whitespace().collect::<String>();
    assert!(unbroken.contains("cells/closed:Permissiondenied"), "{}", read.stdout);
    for closed in [run.join("plan.json"), run.clone(), place.path("theirs")] {
        let mode = std::fs::metadata(&closed).unwrap().permissions().mode();
        set_mode(&closed, 0o600);
        for words in [["summarize", path], ["graph", path], ["resume", path], ["summarize", "theirs"]] {
            if closed != place.path("theirs") && words[1] == "theirs" {
                continue;
            }
            let outcome = as_nobody(&words).expect(2).complains(&["cannot read", "Permission denied"]);
            assert!(!outcome.stderr.contains("there is no run"), "{}", outcome.stderr);
        }
        set_mode(&closed, mode & 0o7777);
    }
}

// ---- what is not UTF-8

const SCENARIO: &str = "
experiment: test
layout: all
env: {WORD: {default: x}}
workloads: {tool: {command: [echo, \"${env.WORD}\"], load: {closed: {connections: 1}, amount: 1}}}
graphs: [{bars: throughput, x: workload}]
";

fn odd(text: &str) -> OsString {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0xff);
    OsString::from_vec(bytes)
}

/// Whatever it says and however it ends: in words.
#[track_caller]
fn in_words(command: &mut Command) -> Outcome {
    let outcome = Started::spawn(command).wait();
    assert!(!outcome.stderr.contains("panicked"), "{command:?}: {}", outcome.stderr);
    assert!(matches!(outcome.code, Some(0..=5)), "{command:?}: {outcome:?}");
    if outcome.code != Some(0) {
        assert!(!outcome.stderr.trim().is_empty(), "{command:?} says nothing");
    }
    outcome
}

#[test]
fn arguments_that_are_not_text_are_answered_in_words() {
    let place = Place::with(SCENARIO);
    let odd = odd("x");
    let commands = [
        "run",
        "repeat",
        "resume",
        "compare",
        "check",
        "plan",
        "list",
        "schema",
        "summarize",
        "graph",
        "load",
        "doctor",
        "fixture",
    ];
    for command in commands {
        in_words(place.runner().arg(command).arg(&odd));
        in_words(place.runner().arg(command).arg(OsStr::from_bytes(b"--\xff")));
    }
    in_words(place.runner().arg(&odd));
    for option in ["--set", "--seed", "-n", "--out", "--graphs", "--junit", "--markdown"] {
        in_words(place.runner().args(["run", "test.yaml", "--no-graphs", option]).arg(&odd));
    }
    for option in ["--by", "--metric", "--threshold", "--format"] {
        in_words(place.runner().args(["compare", "results", option]).arg(&odd));
    }
}

#[test]
fn places_that_are_not_text_are_refused_before_anything_starts() {
    let place = Place::with(SCENARIO);
    let refused = |command: &mut Command, what: &str| {
        in_words(command).expect(2).complains(&[what, "is not valid UTF-8"]);
    };
    let run = |words: &[&str]| {
        let mut command = place.runner();
        command.args(["run", "test.yaml"]).args(words);
        command
    };
    refused(run(&["--out"]).arg(odd("out")), "the directory of results (--out)");
    refused(run(&["--json", "--out"]).arg(odd("out")), "the directory of results (--out)");
    refused(run(&["--graphs"]).arg(odd("graphs")), "the directory of graphs (--graphs)");
    refused(run(&[]).env("RUNNER_SCRATCH", place.path(odd("scratch"))), "the directory of scratch files");
    refused(run(&[]).env_remove("RUNNER_SCRATCH").env("TMPDIR", place.path(odd("tmp"))), "the directory of scratch files");
    let here = place.path(odd("here"));
    std::fs::create_dir(&here).unwrap();
    std::fs::copy(place.path("test.yaml"), here.join("test.yaml")).unwrap();
    refused(run(&[]).current_dir(&here), "the working directory");
    let scenario = place.path(odd("scenario"));
    std::fs::copy(place.path("test.yaml"), &scenario).unwrap();
    for command in ["run", "check", "plan"] {
        refused(place.runner().arg(command).arg(&scenario), "the scenario");
    }
    assert!(!place.path("results").exists(), "nothing was started");
    // What only looks at scenarios works in such a place.
    in_words(place.runner().args(["plan", "test.yaml"]).current_dir(&here)).expect(0);
    in_words(place.runner().args(["check", "test.yaml"]).current_dir(&here)).expect(0);
    in_words(place.runner().args(["list", "."]).current_dir(&here)).expect(0);
    let cached = cached();
    let mut command = cached.runner();
    command.env_remove("RUNNER_CACHE").env_remove("XDG_CACHE_HOME");
    command.args(["run", "test.yaml"]).env("HOME", cached.path(odd("home")));
    in_words(&mut command).expect(1).complains(&["there is no place for `thing`", "HOME is set to a path that is text"]);
}

#[test]
fn variables_that_are_not_text_are_no_reason_to_panic() {
    let place = Place::with(SCENARIO);
    let run = || {
        let mut command = place.runner();
        command.args(["run", "test.yaml"]);
        command
    };
    let path = [std::env::var_os("PATH").unwrap(), odd(":/nowhere")].concat_os();
    // What nobody reads may be anything.
    in_words(run().env("OTHER", odd("x")).env("HOME", odd("/nowhere")).env("PATH", path).env("LANG", odd("x"))).expect(0);
    in_words(run().env("WORD", odd("x"))).expect(2).complains(&["the value of the variable `WORD` is not text", "UTF-8"]);
}

/// Joins words.
trait ConcatOs {
    fn concat_os(&self) -> OsString;
}

impl ConcatOs for [OsString; 2] {
    fn concat_os(&self) -> OsString {
        let [mut one, other] = self.clone();
        one.push(other);
        one
    }
}

#[test]
fn results_in_places_that_are_not_text_can_be_read() {
    let (place, run) = theirs();
    let there = place.path(odd("runs")).join(odd("run"));
    std::fs::create_dir_all(there.parent().unwrap()).unwrap();
    std::fs::rename(&run, &there).unwrap();
    let command = |words: &[&str]| {
        let mut command = place.runner();
        command.args(words).arg(&there);
        command
    };
    in_words(&mut command(&["summarize"])).expect(0);
    in_words(&mut command(&["summarize", "--json"])).expect(0);
    in_words(&mut command(&["compare", "--by", "kind"])).expect(0);
    let other = place.path(odd("runs")).join(odd("other"));
    copy(&there, &other);
    in_words(command(&["compare"]).arg(&other)).expect(0);
    in_words(command(&["graph", "--out"]).args([place.path(odd("drawn"))])).expect(2);
    in_words(place.runner().arg("graph").arg(&there).arg("--out").arg(place.path(odd("drawn")))).expect(0);
    assert!(!listing(&place.path(odd("drawn"))).is_empty());
    in_words(&mut command(&["resume"])).expect(2);
}

#[test]
fn nobody_has_to_listen() {
    let place = Place::with(SCENARIO);
    // Standard streams that are closed, and a reader that is gone.
    for shell in ["\"$0\" \"$@\" <&- >&- 2>&-", "\"$0\" \"$@\" <&- | true", "\"$0\" \"$@\" 2>&1 | head -n 1 >/dev/null"] {
        for words in [&["run", "test.yaml"][..], &["run", "test.yaml", "--json"], &["list", "."], &["summarize"], &["--help"]] {
            let mut command = Command::new("bash");
            let plain = place.runner();
            command.args(["-o", "pipefail", "-c", shell]).arg(plain.get_program()).args(words);
            command.envs(plain.get_envs().filter_map(|(n, v)| Some((n, v?)))).current_dir(place.path(""));
            let outcome = Started::spawn(&mut command).wait();
            assert_eq!(outcome.code, Some(0), "{shell} {words:?}: {outcome:?}");
        }
    }
    let runs = listing(&place.path("results/test"));
    assert_eq!(runs.len(), 6);
    assert!(runs.iter().all(|run| place.path("results/test").join(run).join("summary.json").exists()));
}
