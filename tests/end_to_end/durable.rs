//! What is said to be done is on disk; and where a disk or a directory fails, what happened is told, first and once.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::support::{CLEARED, Outcome, Place, Started, files, listing};

/// Every kind of file that a repetition has: tables, raw rows, logs of targets and steps, collected tables.
const SCENARIO: &str = "
experiment: test
layout: ${kind}
repetitions: 2
factors: {kind: [a, b]}
record: {requests: trueRECORD}
targets: {web: {fixture: null-server, port: PORT1}}
set-up: {repetition: [{shell: echo made}]}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /}]
  tool:
    command: [sh, -c, echo 17]
    load: {closed: {connections: 1}, amount: 1}
    metrics: {n: {regex: '([0-9]+)'}}
collect:
  rows: {command: [printf, 't,ms\\n1,10\\n'], metrics: {worst: {csv: {column: ms, pick: max}}}, table: {csv: true}}
";

/// The path behind the number of a file in a line of `strace -y`: `fsync(5</a/b>) = 0`.
fn synced(line: &str) -> Option<&str> {
    let (_, call) = line.split_once("sync(")?;
    Some(call.split_once('<')?.1.split_once('>')?.0)
}

/// Old and new name in a line of `strace`.
fn renamed(line: &str) -> Option<(&str, &str)> {
    let call = line.split_once("rename")?.1;
    let mut quoted = call.split('"').skip(1).step_by(2);
    Some((quoted.next()?, quoted.next()?))
}

/// Whether system calls can be recorded here.
fn can_be_traced() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    traced.is_ok_and(|output| output.status.success())
}

/// Every file of every repetition, and its folders, were synced before the repetition had its name, and the name then.
fn everything_is_durable_first(record: &str) {
    if !can_be_traced() {
        println!("SKIPPED: strace is not installed, or may not trace here");
        return;
    }
    let place = Place::with(&SCENARIO.replace("RECORD", record));
    let trace = place.path("trace");
    let plain = place.runner();
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "1000", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o"]).arg(&trace);
    command.arg(plain.get_program()).args(["run", "test.yaml", "--no-graphs"]).current_dir(place.path(""));
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Started::spawn(&mut command).wait().expect(0);

    let trace = std::fs::read_to_string(trace).unwrap();
    let run = place.run_directory("test");
    let place_itself = place.path("").canonicalize().unwrap();
    let absolute = |path: &str| place_itself.join(path).display().to_string();
    let (mut before, mut named, mut calls) = (BTreeSet::new(), Vec::new(), 0);
    let mut unsynced_names: BTreeSet<String> = BTreeSet::new();
    for line in trace.lines() {
        if let Some(path) = synced(line) {
            before.insert(path.to_owned());
            unsynced_names.remove(path);
            calls += 1;
        }
        let Some((from, to)) = renamed(line) else { continue };
        let (from, to) = (absolute(from), absolute(to));
        if !from.ends_with("-partial") {
            continue;
        }
        // What lies there now lay there under the other name.
        let mut expected: Vec<String> = files(Path::new(&to)).iter().map(|file| format!("{from}/{file}")).collect();
        let folders: BTreeSet<String> =
            expected.iter().filter_map(|file| Some(Path::new(file).parent()?.display().to_string())).collect();
        expected.extend(folders);
        let missing: Vec<&String> = expected.iter().filter(|path| !before.contains(*path)).collect();
        assert!(missing.is_empty(), "not durable when {to} had its name: {missing:#?}");
        assert!(expected.iter().any(|path| path.ends_with("collected/rows.csv")), "{expected:#?}");
        assert!(expected.iter().any(|path| path.ends_with("requests.parquet")), "{expected:#?}");
        assert!(expected.iter().any(|path| path.contains("/logs/")), "{expected:#?}");
        unsynced_names.insert(Path::new(&to).parent().unwrap().display().to_string());
        named.push(to);
    }
    assert_eq!(named.len(), 4, "{named:?}");
    assert!(unsynced_names.is_empty(), "names that may be lost: {unsynced_names:?}");
    // A folder without a name is lost with all that is in it.
    let run = run.canonicalize().unwrap();
    for folder in [&run, &run.join("cells"), run.parent().unwrap(), &place_itself.join("results"), &place_itself] {
        assert!(before.contains(&folder.display().to_string()), "{folder:?} was not synced");
    }
    println!("{} calls of fsync a repetition", calls / 4);
}

#[test]
fn a_repetition_has_its_name_when_all_of_it_is_durable() {
    everything_is_durable_first("");
}

#[test]
fn a_repetition_that_was_recorded_in_memory_too() {
    everything_is_durable_first(", tmpfs: 16MiB");
}

/// Three repetitions, the second of which waits.
const WAITING: &str = "
experiment: test
layout: all
repetitions: 3
clean-up: {cell: [{shell: echo cell >> DIR/cleaned}], run: [{shell: echo run >> DIR/cleaned}]}
workloads:
  tool:
    command: [sh, -c, 'echo ${repetition} >> DIR/began; until test ${repetition} = 1 -o -e DIR/go; do sleep 0.01; done']
    load: {closed: {connections: 1}, amount: 1}
";

/// Runs [`WAITING`]; while the second repetition waits, something is done to the results.
fn while_it_runs(words: &[&str], done: impl FnOnce(&Place, &Path)) -> (Place, Outcome) {
    let place = Place::with(WAITING);
    let outcome = wait_meanwhile(&place, place.runner().args(["run", "test.yaml"]).args(words), |run| done(&place, run));
    (place, outcome)
}

fn wait_meanwhile(place: &Place, command: &mut Command, done: impl FnOnce(&Path)) -> Outcome {
    let mut started = Started::spawn(command);
    started.until("the second repetition begins", || place.lines("began").iter().any(|l| l == "2").then_some(()));
    let run = place.run_directory("test");
    done(&run);
    place.write_as_is("go", "");
    let outcome = started.wait();
    assert_eq!(place.lines("cleaned"), ["cell", "run"], "{outcome:?}");
    place.assert_cleared(CLEARED);
    outcome
}

/// What is reported at the end: only what happened, and where.
#[track_caller]
fn tells_that_it_is_gone(outcome: Outcome) {
    let outcome = outcome.expect(1).complains(&["was removed or renamed during the run", "results/test/"]);
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("there is no run in"), "{}", outcome.stderr);
}

#[test]
fn a_results_directory_that_is_removed_meanwhile_is_told_as_that() {
    for words in [&["--no-graphs"][..], &["--quiet"], &["--json"]] {
        let (place, outcome) = while_it_runs(words, |_, run| std::fs::remove_dir_all(run).unwrap());
        tells_that_it_is_gone(outcome);
        // Half of a run is not made again out of nothing.
        assert_eq!(listing(&place.path("results/test")), [""; 0]);
    }
}

#[test]
fn all_results_that_are_removed_meanwhile_too() {
    let (place, outcome) = while_it_runs(&[], |place, _| std::fs::remove_dir_all(place.path("results")).unwrap());
    tells_that_it_is_gone(outcome);
    assert!(!place.path("results").exists());
}

#[test]
fn a_results_directory_that_is_renamed_meanwhile_keeps_what_is_whole() {
    let (place, outcome) = while_it_runs(&[], |place, run| std::fs::rename(run, place.path("elsewhere")).unwrap());
    tells_that_it_is_gone(outcome);
    assert_eq!(listing(&place.path("results/test")), [""; 0]);
    let summary = place.run(&["summarize", "elsewhere", "--json"]).expect(0).stdout;
    let summary: Json = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["cells"][0]["repetitions"]["valid"], 1);
}

#[test]
fn another_directory_in_its_place_is_not_written_to() {
    let (place, outcome) = while_it_runs(&[], |place, run| {
        std::fs::rename(run, place.path("elsewhere")).unwrap();
        std::fs::create_dir(run).unwrap();
    });
    tells_that_it_is_gone(outcome);
    assert_eq!(files(&place.path("results")), [""; 0]);
}

#[test]
fn results_that_become_read_only_are_told_once() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can become somebody whom permissions stop");
        return;
    }
    let place = Place::with(WAITING);
    let program = place.path("runner");
    std::fs::copy(place.runner().get_program(), &program).unwrap();
    std::os::unix::fs::chown(place.path(""), Some(65534), Some(65534)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&program).args(["run", "test.yaml"]);
    command.envs(place.runner().get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(place.path(""));
    let outcome = wait_meanwhile(&place, &mut command, |run| {
        for folder in [run.join("cells/all"), run.to_owned()] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
        }
    });
    let outcome = outcome.expect(1).complains(&["Permission denied", "the summary or graphs of", "summary.json"]);
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("cells/all/run2"), "{}", outcome.stderr);
    // What was completed is told.
    assert!(outcome.stdout.contains("medians over repetitions"), "{}", outcome.stdout);
}
