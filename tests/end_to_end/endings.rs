//! How a run ends before its time: asked once, asked twice, or killed, at start-up, under load and while targets stop.
//! Whatever happens, nothing of ours runs afterwards, and what was completed is on disk.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{CLEARED, PATIENCE, Place, Started, connections, files, listing};

/// A cell that is completed, and one in which the end comes.
///
/// `deaf` is the last to be stopped, takes its whole grace, and has a grandchild that has escaped and is as deaf;
/// `side` has a child, `web` another grandchild that has escaped.
const SCENARIO: &str = "
experiment: test
factors: {case: [good, CASE]}
order: rounds
layout: ${case}
let:
  kind: {good: ok, start-up: ok, load: slow, stop: ok}
  never: {good: [], start-up: [--never-listen], load: [], stop: []}
  amounts: {good: 3, start-up: 3, load: 1000000, stop: 3}
targets:
  deaf:
    shell: |
      test ${case} = good || (trap '' TERM; setsid sleep 600 &)
      trap 'test ${case} != good || exit 0; echo >> DIR/stopping' TERM
      echo up
      while :; do sleep 0.01; done
    ready: {log: up}
    stop: {grace: GRACE}
  side:
    after: deaf
    fixture: faulty
    args: [--mode, ok, --children, 1]
    port: PORT2
  web:
    after: side
    fixture: faulty
    args: \"${['--mode', kind[case], '--children', 1, '--escape'] + never[case]}\"
    port: PORT1
    ready: {http: /, timeout: 60s}
set-up: {load: [{shell: \"test ${case} = good || echo >> DIR/loading\"}]}
clean-up:
  repetition: [{shell: \"echo ${case} >> DIR/cleaned\"}]
  run: [{shell: echo run >> DIR/cleaned}]
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: \"${amounts[case]}\"}
    steps: [{get: /}]
";

/// When the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    StartUp,
    Load,
    Stop,
}

use Moment::{Load, StartUp, Stop};

impl Moment {
    fn name(self) -> &'static str {
        match self {
            StartUp => "start-up",
            Load => "load",
            Stop => "stop",
        }
    }
}

/// A run that is at this moment.
fn at(moment: Moment, grace: &str) -> (Place, Started) {
    let scenario = SCENARIO.replace("CASE", moment.name()).replace("GRACE", grace);
    let mut place = Place::with(&scenario);
    let web = place.port(1);
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("the first cell is done", || (!place.lines("cleaned").is_empty()).then_some(()));
    let are_there = |parts: &[&str]| {
        let commands: Vec<String> = place.processes().into_iter().map(|p| p.command).collect();
        parts.iter().all(|part| commands.iter().any(|c| c.contains(part))).then_some(())
    };
    started.until("the grandchild has escaped", || are_there(&["sleep 600"]));
    match moment {
        StartUp => started.until("all targets are started", || are_there(&["--never-listen", &format!("--port {web}")])),
        Load => {
            started.until("the load begins", || (!place.lines("loading").is_empty()).then_some(()));
            started.until("the load goes on", || (connections(web) == 2).then_some(()));
            are_there(&["sleeper", "faulty"]).expect("children and targets are there");
        }
        Stop => started.until("the last target is asked to end", || is_stopping(&place)),
    }
    (place, started)
}

/// Whether the target that does not listen was asked to end.
fn is_stopping(place: &Place) -> Option<()> {
    (!place.lines("stopping").is_empty()).then_some(())
}

/// The first cell is there and whole, and can be read; in the second one are only these repetitions.
#[track_caller]
fn completed_is_kept(place: &Place, moment: Moment, second: &[&str]) {
    let run = place.run_directory("test");
    assert_eq!(place.status("good/run1")["verdict"], json!({"is": "valid"}));
    place.run(&["summarize", run.to_str().unwrap()]).expect(0);
    let summary = place.summary();
    assert_eq!(summary["cells"][0]["steps"][0]["ok"], 3);
    assert_eq!((&summary["cells"][1]["repetitions"]["valid"], &summary["damaged"]), (&json!(second.len()), &json!([])));
    let visible: Vec<String> =
        listing(&run.join("cells").join(moment.name())).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, second);
}

/// No trace of a repetition that was begun and not completed.
#[track_caller]
fn nothing_is_half_done(place: &Place) {
    let found = files(&place.run_directory("test"));
    assert!(found.iter().all(|path| !path.contains("partial")), "{found:#?}");
}

// ---- once: finish cleanly

#[track_caller]
fn ends_cleanly(moment: Moment, signal: Signal) {
    let (place, started) = at(moment, "300ms");
    started.signal(signal);
    let outcome = started.wait_within(Duration::from_secs(15)).expect(130);
    place.assert_cleared(Duration::ZERO);
    outcome.complains(&["interrupted; what was completed is in results/test/"]);
    // Targets that stop already are waited for, and then their repetition is complete.
    completed_is_kept(&place, moment, if moment == Stop { &["run1"] } else { &[] });
    nothing_is_half_done(&place);
    assert_eq!(place.lines("cleaned"), ["good", moment.name(), "run"], "clean-up is part of a clean end");
}

#[test]
fn asked_once_at_start_up_it_ends_cleanly() {
    ends_cleanly(StartUp, Signal::INT);
}

#[test]
fn asked_once_under_load_it_ends_cleanly() {
    ends_cleanly(Load, Signal::INT);
}

#[test]
fn asked_once_while_targets_stop_it_ends_cleanly() {
    ends_cleanly(Stop, Signal::INT);
}

#[test]
fn sigterm_ends_it_as_ctrl_c_does() {
    ends_cleanly(Load, Signal::TERM);
}

#[test]
fn a_terminal_that_closes_ends_it_as_ctrl_c_does() {
    ends_cleanly(StartUp, Signal::HUP);
}

#[test]
fn asked_in_a_set_up_step_it_ends_cleanly() {
    for level in ["run", "cell", "repetition", "load"] {
        let place = Place::with(
            &"
experiment: test
set-up: {LEVEL: [{command: [sleep, \"61\"]}]}
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
"
            .replace("LEVEL", level),
        );
        let started = place.start(&["run", "test.yaml"]);
        place.process("sleep 61");
        started.signal(Signal::INT);
        started.wait_within(Duration::from_secs(15)).expect(130);
        place.assert_cleared(Duration::ZERO);
        nothing_is_half_done(&place);
    }
}

#[test]
fn no_other_file_is_begun_after_ctrl_c() {
    let mut place = Place::new();
    let scenario = "
experiment: NAME
targets:
  web: {shell: \"trap 'echo >> DIR/stopping; sleep 0.2; exit 0' TERM; echo up; while :; do sleep 0.01; done\", ready: {log: up}}
  server: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
";
    place.write("first.yaml", &scenario.replace("NAME", "first"));
    place.write("second.yaml", &scenario.replace("NAME", "second"));
    let mut started = place.start(&["run", "first.yaml", "second.yaml"]);
    started.until("the only repetition ends", || (!place.lines("stopping").is_empty()).then_some(()));
    started.signal(Signal::INT);
    started.wait().expect(130);
    assert_eq!(listing(&place.path("results")), ["first"]);
    place.assert_cleared(Duration::ZERO);
}

// ---- twice: now

#[track_caller]
fn ends_at_once(moment: Moment) {
    let (place, mut started) = at(moment, "30s");
    started.signal(Signal::INT);
    started.until("the last target is asked to end", || is_stopping(&place));
    if moment == Stop {
        // Nothing shows that the first signal has arrived, and the kernel makes one of two that come together.
        std::thread::sleep(Duration::from_millis(100));
    }
    let asked = Instant::now();
    started.signal(Signal::INT);
    started.wait().expect(130);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    place.assert_cleared(Duration::ZERO);
    completed_is_kept(&place, moment, &[]);
    nothing_is_half_done(&place);
}

#[test]
fn asked_twice_at_start_up_it_ends_at_once() {
    ends_at_once(StartUp);
}

#[test]
fn asked_twice_under_load_it_ends_at_once() {
    ends_at_once(Load);
}

#[test]
fn asked_twice_while_targets_stop_it_ends_at_once() {
    ends_at_once(Stop);
}

// ---- killed: the guard clears up

#[track_caller]
fn is_cleared_after_kill(moment: Moment) {
    let (place, started) = at(moment, "30s");
    let killed = Instant::now();
    started.signal(Signal::KILL);
    place.assert_cleared(CLEARED);
    let outcome = started.wait_within(PATIENCE);
    assert_eq!(outcome.code, None);
    assert!(killed.elapsed() < CLEARED, "its output is closed too");
    completed_is_kept(&place, moment, &[]);
}

#[test]
fn killed_at_start_up_it_leaves_nothing() {
    is_cleared_after_kill(StartUp);
}

#[test]
fn killed_under_load_it_leaves_nothing() {
    is_cleared_after_kill(Load);
}

#[test]
fn killed_while_targets_stop_it_leaves_nothing() {
    is_cleared_after_kill(Stop);
}

#[test]
fn killed_in_a_set_up_step_it_leaves_nothing() {
    let place = Place::with(
        "
experiment: test
set-up: {run: [{shell: \"setsid sleep 62 & sleep 63\"}]}
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
",
    );
    let started = place.start(&["run", "test.yaml"]);
    place.process("sleep 62");
    place.process("sleep 63");
    started.signal(Signal::KILL);
    place.assert_cleared(CLEARED);
}

#[track_caller]
fn survives_its_guard(moment: Moment) {
    let (place, started) = at(moment, "30s");
    place.process("__guard").signal(Signal::KILL);
    let outcome = started.wait_within(Duration::from_secs(15)).expect(1);
    place.assert_cleared(Duration::ZERO);
    outcome.complains(&["error: the guard process ended unexpectedly"]);
    assert_eq!(place.status("good/run1")["verdict"], json!({"is": "valid"}));
    assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], 1);
}

#[test]
fn without_its_guard_at_start_up_it_ends_and_leaves_nothing() {
    survives_its_guard(StartUp);
}

#[test]
fn without_its_guard_under_load_it_ends_and_leaves_nothing() {
    survives_its_guard(Load);
}

#[test]
fn without_its_guard_while_targets_stop_it_ends_and_leaves_nothing() {
    survives_its_guard(Stop);
}
