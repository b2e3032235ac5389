//! Runner, watcher and guard: whichever of them is killed, the others clear up; and what targets get and give away.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{CLEARED, PATIENCE, Place, Started, files, limit_open_files, listing};

/// Three repetitions with a target whose child has left its parent and its group, and one that changes its user, so that the
/// kernel forgets to end it with its parent; the second waits for the file `go`.
const SCENARIO: &str = "
experiment: test
repetitions: 3
targets:
  web: {fixture: faulty, args: [--mode, ok, --children, 1, --escape], port: PORT1}
  other: {shell: \"test $(id -u) = 0 && exec setpriv --reuid 65534 --regid 65534 --clear-groups sleep 612; exec sleep 612\"}
set-up:
  load: [{shell: \"echo ${repetition} >> DIR/began; test ${repetition} != 2 || until test -e DIR/go; do sleep 0.01; done\"}]
clean-up: {run: [{shell: echo cleaned >> DIR/cleaned}]}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /}]
";

fn in_the_second(place: &Place) -> Started {
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("the second repetition begins", || place.lines("began").iter().any(|l| l == "2").then_some(()));
    place.process("sleeper");
    started
}

fn kill(place: &Place, part: &str) {
    place.process(part).signal(Signal::KILL);
}

fn numbers(place: &Place) -> Vec<String> {
    let cells = place.run_directory("test").join("cells/all");
    listing(&cells).into_iter().filter(|name| !name.starts_with('.')).collect()
}

/// `resume` does what is missing, and nothing twice.
#[track_caller]
fn resumed(mut place: Place) {
    assert_eq!(numbers(&place), ["run1"], "what our own death broke is missing, not failed");
    place.write("go", "");
    let directory = place.run_directory("test");
    place.run(&["resume", directory.to_str().unwrap(), "--no-graphs"]).expect(0);
    assert_eq!(numbers(&place), ["run1", "run2", "run3"]);
    assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], json!(3));
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn the_guard_is_killed() {
    let place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    kill(&place, "__guard");
    let outcome = started.wait_within(PATIENCE).expect(1);
    place.assert_cleared(Duration::ZERO);
    outcome.complains(&["the guard process ended unexpectedly", "continue with: runner resume"]);
    resumed(place);
}

#[test]
fn the_watcher_is_killed_and_nobody_minds() {
    let mut place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    kill(&place, "__watcher");
    place.write("go", "");
    started.wait_within(PATIENCE).expect(0);
    place.assert_cleared(Duration::ZERO);
    assert_eq!(numbers(&place), ["run1", "run2", "run3"]);
}

#[test]
fn watcher_and_guard_are_killed() {
    let place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    kill(&place, "__watcher");
    kill(&place, "__guard");
    started.wait_within(PATIENCE).expect(1);
    place.assert_cleared(Duration::ZERO);
    resumed(place);
}

#[test]
fn runner_and_guard_are_killed() {
    let place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    let guard = place.process("__guard");
    started.signal(Signal::KILL);
    guard.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    resumed(place);
}

#[test]
fn runner_and_watcher_are_killed() {
    let place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    let watcher = place.process("__watcher");
    watcher.signal(Signal::KILL);
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    resumed(place);
}

#[test]
fn what_all_three_leave_is_removed_at_the_next_start() {
    let place = Place::with(SCENARIO);
    let started = in_the_second(&place);
    let all = [place.process("__watcher"), place.process("__guard")];
    // Stopped first, so that none sees another die.
    all.iter().for_each(|process| process.signal(Signal::STOP));
    started.signal(Signal::STOP);
    all.iter().for_each(|process| process.signal(Signal::KILL));
    started.signal(Signal::KILL);
    started.wait();
    let left: Vec<String> = place.processes().into_iter().map(|p| p.command).collect();
    assert!(left.iter().any(|command| command.contains("sleeper")), "what has escaped lives on: {left:?}");
    assert_eq!(listing(&place.path("scratch")).len(), 1);
    std::fs::write(place.path("go"), "").unwrap();
    let directory = place.run_directory("test");
    let outcome = place.run(&["resume", directory.to_str().unwrap(), "--no-graphs"]).expect(0);
    assert!(outcome.stderr.contains("ended without cleaning up") && outcome.stderr.contains("scratch"), "{}", outcome.stderr);
    place.assert_cleared(Duration::ZERO);
    assert_eq!(numbers(&place), ["run1", "run2", "run3"]);
}

/// As a service manager or a cancelled job does it.
#[test]
fn a_signal_for_all_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::with(SCENARIO);
        let started = in_the_second(&place);
        let all = [place.process("__watcher"), place.process("__guard"), place.process("--children")];
        all.iter().for_each(|process| process.signal(signal));
        started.signal(signal);
        started.wait_within(PATIENCE).expect(130).complains(&["interrupted; what was completed is in"]);
        place.assert_cleared(Duration::ZERO);
        assert_eq!(place.lines("cleaned"), ["cleaned"], "the clean-up steps are executed");
        resumed(place);
    }
}

/// Each ends a while after it was asked; with a clock that is read once per turn some would be killed before their grace is over.
#[test]
fn many_replicas_are_given_their_whole_grace() {
    let place = Place::with(
        "
experiment: test
targets:
  many:
    replicas: 300
    shell: \"trap 'sleep 0.7; exit 0' TERM; sleep 600 & echo up; wait\"
    ready: {log: up, timeout: 60s}
    stop: {grace: 2s}
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let status = place.status("all/run1");
    let targets = status["targets"].as_array().unwrap();
    let killed = targets.iter().filter(|t| t["killed"] == json!(true)).count();
    assert_eq!((targets.len(), killed), (300, 0));
    // 0.7 s are theirs, and the machine may be busy with other tests.
    let took = Duration::from_nanos(status["timings"]["target_stop_ns"].as_u64().unwrap());
    assert!(took < Duration::from_secs(10), "stopping took {took:?}");
    place.assert_cleared(Duration::ZERO);
}

/// A daemon that has left its parent, group and session, and whose first thread has ended: a zombie with a living thread.
#[test]
fn a_daemon_whose_first_thread_has_ended_is_ended() {
    let mut place = Place::with(
        "
experiment: test
targets:
  odd:
    command: [python3, DIR/odd.py]
    ready: {log: up}
    needs: python3
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    place.write(
        "odd.py",
        "
import ctypes, os, sys, threading, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        def go_on():
            time.sleep(0.3)
            print('up', flush=True)
            time.sleep(600)
        threading.Thread(target=go_on).start()
        ctypes.CDLL(None).pthread_exit(None)
    os._exit(0)
time.sleep(600)
",
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    // A zombie's environment cannot be read, so it is looked for by its threads.
    let living = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let ours = living.filter(|pid| {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        threads.into_iter().any(|t| {
            let words = std::fs::read(t.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(place.path("odd.py").to_str().unwrap())
        })
    });
    assert_eq!(ours.collect::<Vec<_>>(), [] as [i32; 0]);
    place.assert_cleared(Duration::ZERO);
}

/// What a target is given: the limits of the shell, or those that the scenario asks; and what others may see of it.
#[test]
fn a_target_has_the_limits_of_the_shell_and_its_files_are_not_for_others() {
    let mut place = Place::with(
        "
experiment: test
env: {TOKEN: {secret: true}}
targets:
  plain:
    shell: \"ulimit -Sn; ulimit -Hn; stat -c %a ${scratch} ${scratch}/open.txt ${scratch}/closed.txt; echo up; exec sleep 600\"
    render: {open.txt: open.j2, closed.txt: closed.j2}
    ready: {log: up}
  limited:
    rlimits: {open-files: 77, core: 0, stack: unlimited}
    shell: \"ulimit -Sn; ulimit -Sc; ulimit -Ss; echo up; exec sleep 600\"
    ready: {log: up}
workloads:
  tool:
    command: [sh, -c, 'stat -c %a DIR/results/test/*/cells/all/.*/logs/plain-1.out >> DIR/modes']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    place.write("open.j2", "nothing to hide");
    place.write("closed.j2", "token {{ env.TOKEN }}");
    let shell = |command: &mut Command| {
        command.env("TOKEN", "a-secret-that-nobody-reads");
        limit_open_files(command, 333, 4000);
    };
    let mut command = place.runner();
    command.args(["plan", "test.yaml"]);
    shell(&mut command);
    let planned = Started::spawn(&mut command).wait().expect(0).stdout;
    assert!(planned.contains("limits open-files 333 (the shell's)"), "{planned}");
    assert!(planned.contains("limits open-files 77, stack unlimited, core 0"), "{planned}");
    let mut command = place.runner();
    command.args(["run", "test.yaml", "--no-graphs"]);
    shell(&mut command);
    // Whatever the umask: a target that changes its user reads what the scenario renders for it.
    // SAFETY: one system call between fork and exec.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            libc::umask(0o077);
            Ok(())
        });
    }
    Started::spawn(&mut command).wait().expect(0);
    let log = |name: &str| {
        let path = place.run_directory("test").join("cells/all/run1/logs").join(name);
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(log("plain-1.out"), ["333", "4000", "711", "644", "600", "up"]);
    assert_eq!(log("limited-1.out"), ["77", "0", "unlimited", "up"]);
    assert_eq!(place.lines("modes"), ["600"], "while a log is written its secrets are not masked yet");
    assert!(files(&place.run_directory("test")).iter().any(|f| f.ends_with("plain-1.out")));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        mode(&place.run_directory("test").join("cells/all/run1/logs/plain-1.out")) & 0o777,
        0o600,
        "like any other result of this umask"
    );
}

/// Children for which there are not enough descriptors must not be taken for processes that are gone.
#[test]
fn too_few_descriptors_are_said_and_no_memory_is_made_up() {
    let scenario = "
experiment: test
targets:
  many:
    command: [python3, DIR/many.py]
    needs: python3
    ready: {log: up, timeout: 60s}
workloads:
  tool:
    command: [sleep, '2']
    load: {closed: {connections: 1}, amount: 1}
";
    let run = |children: u32, limit: u64| {
        let mut place = Place::with(scenario);
        place.write(
            "many.py",
            "
import os, time
data = b'x' * (64 << 20)
for _ in range(CHILDREN):
    if os.fork() == 0:
        time.sleep(600)
print('up', flush=True)
time.sleep(600)
"
            .replace("CHILDREN", &children.to_string())
            .as_str(),
        );
        let mut command = place.runner();
        command.args(["run", "test.yaml", "--no-graphs"]);
        limit_open_files(&mut command, limit, limit);
        let outcome = Started::spawn(&mut command).wait();
        (place, outcome)
    };
    // One descriptor for each process is enough.
    let (place, outcome) = run(150, 400);
    outcome.expect(0);
    let pss = place.summary()["cells"][0]["targets"][0]["pss_bytes"]["median"].as_f64().unwrap();
    assert!(pss > 64e6, "{pss}");
    let (place, outcome) = run(250, 230);
    outcome.expect(4);
    let verdict = place.status("all/run1")["verdict"].to_string();
    assert!(verdict.contains("invalid") && verdict.contains("are not complete"), "{verdict}");
}

/// What is asked for its version may start something, too.
#[test]
fn what_a_version_leaves_behind_is_ended() {
    let mut place = Place::with(
        "
experiment: test
targets:
  odd: {command: [DIR/odd], needs: DIR/odd}
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    let program = place
        .write("odd", "#!/bin/sh\nif [ \"$1\" = --version ]; then setsid sleep 611 & echo odd 7; exit 0; fi\nexec sleep 600\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let begun = Instant::now();
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    place.assert_cleared(Duration::ZERO);
    assert!(begun.elapsed() < PATIENCE);
    let manifest = crate::support::json(&place.run_directory("test").join("manifest.json"));
    assert_eq!(manifest["programs"][place.path("odd").to_str().unwrap()], json!("odd 7"));
}

/// A target may bind somebody's files into a root of its own: they are unmounted, and not emptied.
#[test]
fn what_a_target_has_mounted_in_the_scratch_directory_is_not_emptied() {
    if !rustix::process::getuid().is_root() {
        eprintln!("NOT TESTED: only root mounts");
        return;
    }
    let mut place = Place::with(
        "
experiment: test
targets:
  db:
    shell: \"mkdir -p ${scratch}/root; mount --bind DIR/precious ${scratch}/root; test -e ${scratch}/root/file && echo up; exec sleep 600\"
    ready: {log: up}
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    std::fs::create_dir(place.path("precious")).unwrap();
    place.write("precious/file", "kept");
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    assert_eq!(place.lines("precious/file"), ["kept"]);
    place.assert_cleared(Duration::ZERO);
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(place.path("").to_str().unwrap()));
}

/// A daemon that has cleared its environment belongs to nobody's stop: not to that of a probe, which has started nothing.
#[test]
fn a_probe_ends_nobody_elses_daemon() {
    let place = Place::with(
        "
experiment: test
targets:
  db:
    shell: \"env -i setsid sh -c 'echo $$ > DIR/pid; exec sleep 613' & sleep 0.2; exec sleep 600\"
    ready: {command: [sh, -c, 'sleep 0.5; setsid sleep 614 & test -s DIR/pid']}
workloads:
  tool:
    command: [sh, -c, 'sleep 0.3; kill -0 $(cat DIR/pid)']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    place.assert_cleared(Duration::ZERO);
    let pid = &place.lines("pid")[0];
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it is ended with the run");
}

/// A set-up step that is broken off has ended before what it began is cleaned up.
#[test]
fn a_step_does_not_go_on_beside_its_clean_up() {
    let place = Place::with(
        "
experiment: test
set-up: {run: [{shell: \"trap '' INT TERM; echo begun >> DIR/trace; sleep 2; echo made >> DIR/trace\"}]}
clean-up: {run: [{shell: \"echo clean >> DIR/trace; sleep 2.5; echo over >> DIR/trace\"}]}
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("the step has begun", || (!place.lines("trace").is_empty()).then_some(()));
    started.signal(Signal::INT);
    started.wait_within(PATIENCE).expect(130);
    assert_eq!(place.lines("trace"), ["begun", "clean", "over"]);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn a_program_that_never_says_its_version_does_not_keep_from_ending() {
    let mut place = Place::with(
        "
experiment: test
targets:
  odd: {command: [sleep, '600'], needs: [DIR/one, DIR/two, DIR/three, DIR/four]}
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    for name in ["one", "two", "three", "four"] {
        let program = place.write(name, "#!/bin/sh\necho >> DIR/asked\nsleep 600\n");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("one is asked", || (!place.lines("asked").is_empty()).then_some(()));
    let asked = Instant::now();
    started.signal(Signal::INT);
    started.wait_within(PATIENCE).expect(130);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    place.assert_cleared(Duration::ZERO);
}

/// Folders of git snapshots are made before there is a guard.
#[test]
fn a_snapshot_that_nobody_holds_is_removed_at_the_next_start() {
    let place = Place::with(
        "
experiment: test
workloads:
  tool:
    command: ['true']
    load: {closed: {connections: 1}, amount: 1}
",
    );
    let temporary = place.path("temporary");
    std::fs::create_dir_all(temporary.join("runner-snapshot-1-0/deep")).unwrap();
    let held = temporary.join("runner-snapshot-2-0");
    std::fs::create_dir(&held).unwrap();
    let holder = std::fs::File::open(&held).unwrap();
    rustix::fs::flock(&holder, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let mut command = place.runner();
    command.args(["run", "test.yaml", "--no-graphs"]).env("TMPDIR", &temporary);
    let outcome = Started::spawn(&mut command).wait().expect(0);
    assert!(outcome.stderr.contains("runner-snapshot-1-0"), "{}", outcome.stderr);
    assert_eq!(listing(&temporary), ["runner-snapshot-2-0"]);
}
