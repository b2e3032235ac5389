//! `runner resume`: it does what is missing, nothing twice, and refuses what would not belong together.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::server::Server;
use crate::support::{CLEARED, Outcome, Place, files, json, listing};

/// Three cells, three times. A repetition whose name stands in the file `stop` waits there; all write down that they began.
const SCENARIO: &str = "
experiment: test
question: What is missing?
factors: {kind: [a, b, c]}
repetitions: 3
layout: ${kind}
set-up:
  run: [{shell: echo run >> DIR/steps}]
  cell: [{shell: \"echo cell ${kind} >> DIR/steps\"}]
clean-up: {run: [{shell: echo run over >> DIR/steps}]}
workloads:
  tool:
    command: [sh, -c, 'echo ${kind}${repetition} >> DIR/began; until test \"$(cat DIR/stop)\" != ${kind}${repetition}; do sleep 0.01; done']
    load: {closed: {connections: 1}, amount: 1}
";

const ALL: [&str; 9] = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"];

/// A run that was ended while one of its repetitions waited.
fn ended_at(repetition: &str, signal: Signal, scenario: &str) -> Place {
    let mut place = Place::with(scenario);
    place.write("stop", repetition);
    let mut started = place.start(&["run", "test.yaml", "--seed", "7", "--no-graphs"]);
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == repetition).then_some(()));
    started.signal(signal);
    started.wait();
    place.assert_cleared(CLEARED);
    place.write("stop", "none");
    place
}

#[track_caller]
fn resume(place: &Place, words: &[&str]) -> Outcome {
    place.run(&[&["resume", place.run_directory("test").to_str().unwrap()], words].concat())
}

/// The repetitions that are there, with what tells whether they were written again.
fn there(place: &Place) -> BTreeMap<String, (u64, i64, i64)> {
    let cells = place.run_directory("test").join("cells");
    let mut found = BTreeMap::new();
    for kind in listing(&cells) {
        for name in listing(&cells.join(&kind)) {
            let Some(number) = name.strip_prefix("run").filter(|n| n.parse::<u32>().is_ok()) else { continue };
            let status = cells.join(&kind).join(&name).join("status.json").metadata().expect("a repetition is whole");
            found.insert(format!("{kind}{number}"), (status.ino(), status.mtime(), status.mtime_nsec()));
        }
    }
    found
}

fn names(place: &Place) -> Vec<String> {
    there(place).into_keys().collect()
}

/// Every file of the run with its content: what a refusal must not change.
fn content(place: &Place) -> Vec<(String, Vec<u8>)> {
    let run = place.run_directory("test");
    files(&run).into_iter().map(|name| (name.clone(), std::fs::read(run.join(name)).unwrap())).collect()
}

fn edit(path: &Path, change: impl FnOnce(&mut Json)) {
    let mut value = json(path);
    change(&mut value);
    std::fs::write(path, value.to_string()).unwrap();
}

/// The repetitions in the order of a run that nobody ended.
fn planned() -> Vec<String> {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "none");
    place.run(&["run", "test.yaml", "--seed", "7", "--no-graphs", "--quiet"]).expect(0);
    place.lines("began")
}

// ---- what is missing is done

#[test]
fn a_killed_run_is_completed() {
    let order = planned();
    let mut place = ended_at("b2", Signal::KILL, SCENARIO);
    // It is killed again and again, on the way and in the very last repetition.
    let last = order.last().unwrap().clone();
    let mut begins = vec!["b2".to_owned()];
    for next in ["a3", last.as_str()] {
        if begins.iter().any(|b| b == next) {
            continue;
        }
        let before = there(&place);
        place.write("stop", next);
        place.write("began", "");
        let run = place.run_directory("test");
        let mut started = place.start(&["resume", run.to_str().unwrap(), "--no-graphs"]);
        started.until("the repetition begins", || place.lines("began").iter().any(|l| l == next).then_some(()));
        started.signal(Signal::KILL);
        started.wait();
        place.assert_cleared(CLEARED);
        let (from, to) = (&begins[begins.len() - 1], order.iter().position(|r| r == next).unwrap());
        let from = order.iter().position(|r| r == from).unwrap();
        assert_eq!(place.lines("began"), order[from..=to], "what is missing, in the order that was planned");
        let after = there(&place);
        assert!(before.iter().all(|(name, stamp)| after.get(name) == Some(stamp)), "nothing is executed twice");
        begins.push(next.to_owned());
    }
    place.write("stop", "none");
    place.write("began", "");
    let outcome = resume(&place, &["--json", "--no-graphs"]).expect(0);
    let from = order.iter().position(|r| r == begins.last().unwrap()).unwrap();
    assert_eq!(place.lines("began"), order[from..]);
    assert_eq!(names(&place), ALL);
    let events = outcome.events();
    assert_eq!((&events[0]["event"], &events[0]["repetitions"]), (&json!("run-begins"), &json!(order.len() - from)));
    assert_eq!(events[2]["done"], from + 1, "what is there counts as done");
    let hidden: Vec<String> =
        files(&place.run_directory("test")).into_iter().filter(|f| f.contains("partial") || f.contains("/.")).collect();
    assert!(hidden.is_empty(), "what was being written when it ended is removed: {hidden:?}");
    for cell in 0..3 {
        let repetitions = place.summary()["cells"][cell]["repetitions"].clone();
        assert_eq!((&repetitions["valid"], &repetitions["counted"]), (&json!(3), &json!([1, 2, 3])));
    }
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn nothing_is_executed_twice() {
    let place = ended_at("c2", Signal::KILL, SCENARIO);
    let (before, order) = (there(&place), place.lines("began"));
    assert!((3..6).contains(&before.len()), "{before:?}");
    let outcome = resume(&place, &["--no-graphs"]).expect(0);
    let done = before.len();
    let outcome =
        outcome.complains(&[&format!("{done} of 9 repetitions are there already"), &format!("[{}/9] ", done + 1), "[9/9] "]);
    assert!(!outcome.stderr.contains(&format!("[{done}/9]")), "{}", outcome.stderr);
    let after = there(&place);
    assert!(before.iter().all(|(name, stamp)| after.get(name) == Some(stamp)), "{before:?}\n{after:?}");
    assert_eq!(place.lines("began").len(), 9 + 1, "only what was ended begins a second time");
    assert_eq!(place.lines("began")[..order.len()], order);
}

#[test]
fn steps_of_the_run_are_taken_again_and_those_of_cells_where_something_is_missing() {
    let order = planned();
    // The third repetition of a cell is missing, and perhaps of others.
    let last = order.last().unwrap();
    let mut place = ended_at(last, Signal::KILL, SCENARIO);
    place.write("steps", "");
    resume(&place, &["--no-graphs", "--quiet"]).expect(0);
    assert_eq!(place.lines("steps"), ["run".to_owned(), format!("cell {}", &last[..1]), "run over".to_owned()]);
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let place = Place::with(SCENARIO);
    std::fs::write(place.path("stop"), "a2").unwrap();
    let mut started = place.start(&["run", "test.yaml", "--seed", "7", "--no-graphs"]);
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == "a2").then_some(()));
    started.signal(Signal::INT);
    let outcome = started.wait().expect(130);
    std::fs::write(place.path("stop"), "none").unwrap();
    let line = outcome.stderr.lines().find_map(|l| l.strip_prefix("continue with: runner ")).expect("the way to go on");
    let before = there(&place);
    place.run(&line.split(' ').chain(["--no-graphs"]).collect::<Vec<_>>()).expect(0);
    let after = there(&place);
    assert!(before.iter().all(|(name, stamp)| after.get(name) == Some(stamp)));
    assert_eq!(names(&place), ALL);
    assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], 3);
}

/// A small file system in the folder `disk` of a place, unmounted when dropped, however the test ends.
struct Disk<'a>(&'a Place);

impl Disk<'_> {
    /// Whether a command of the shell, executed in the place, succeeds.
    fn shell(&self, words: &str) -> bool {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", words]).current_dir(self.0.path("")).stderr(std::process::Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        self.shell("umount --lazy disk");
    }
}

#[test]
fn after_a_full_disk_it_goes_on() {
    let mut place = Place::with(&SCENARIO.replace("repetitions: 3", "repetitions: 100"));
    place.write("stop", "none");
    std::fs::create_dir(place.path("disk")).unwrap();
    let disk = Disk(&place);
    if !disk.shell("mount -t tmpfs -o size=400k none disk") {
        println!("SKIPPED: this test may not mount a file system (it needs root)");
        return;
    }
    place
        .run(&["run", "test.yaml", "--out", "disk/results", "--no-graphs", "--set", "kind=a"])
        .expect(1)
        .complains(&["No space left on device"]);
    let run = place.path("disk/results/test").join(&listing(&place.path("disk/results/test"))[0]);
    let kept = listing(&run.join("cells/a"));
    assert!((2..100).contains(&kept.len()) && kept.iter().all(|name| name.starts_with("run")), "{kept:?}");
    assert!(disk.shell("mount -o remount,size=20m disk"));
    let resume = ["resume", run.to_str().unwrap(), "--no-graphs"];
    place.run(&resume).expect(0).complains(&[&format!("{} of 100 repetitions are there already", kept.len())]);
    assert_eq!(listing(&run.join("cells/a")).len(), 100);
    assert!(place.run(&resume).expect(0).stdout.contains("nothing is missing"));
}

#[test]
fn a_complete_run_misses_nothing() {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "none");
    place.run(&["run", "test.yaml", "--no-graphs", "--quiet"]).expect(0);
    let (before, began) = (content(&place), place.lines("began").len());
    let outcome = resume(&place, &[]).expect(0);
    assert!(outcome.stdout.contains("nothing is missing") && outcome.stdout.contains("all 9 repetitions"), "{}", outcome.stdout);
    assert_eq!((content(&place), place.lines("began").len(), place.lines("steps").len()), (before, began, 5), "nothing is done");
    let quiet = resume(&place, &["--quiet"]).expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn what_is_expected_is_judged_of_the_whole_run() {
    let expect = "expect: [{metric: errors, above: 50%}]\n";
    let scenario = &format!("{SCENARIO}{expect}").replace("repetitions: 3", "repetitions: 5");
    let place = ended_at("b2", Signal::KILL, scenario);
    resume(&place, &["--no-graphs"]).expect(3);
    resume(&place, &["--no-graphs"]).expect(3);
    let junit = place.path("junit.xml");
    resume(&place, &["--no-graphs", "--junit", junit.to_str().unwrap()]).expect(3);
    assert!(std::fs::read_to_string(junit).unwrap().contains("failures=\"3\""));
}

#[test]
fn what_failed_is_not_missing() {
    let scenario = SCENARIO.replace("done']", "done; test ${kind} != a']");
    let place = ended_at("b2", Signal::KILL, &scenario);
    resume(&place, &["--no-graphs"]).expect(4);
    let before = there(&place);
    resume(&place, &["--no-graphs"]).expect(4);
    assert_eq!(there(&place), before);
    assert_eq!(place.lines("began").len(), 9 + 1);
}

#[test]
fn levels_and_repetitions_that_were_chosen_are_chosen_again() {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "c1");
    let mut started = place.start(&["run", "test.yaml", "--set", "kind=c,a", "-n", "2", "--no-graphs"]);
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == "c1").then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    place.write("stop", "none");
    resume(&place, &["--no-graphs"]).expect(0);
    assert_eq!(names(&place), ["a1", "a2", "c1", "c2"]);
}

#[test]
fn repeating_goes_on_until_it_is_enough() {
    let scenario = SCENARIO.replace("done']", "done; echo took 7']\n    metrics: {took: {regex: 'took ([0-9]+)'}}");
    let mut place = Place::with(&scenario);
    place.write("stop", "a3");
    let words = "repeat test.yaml --until 5% --least 10 -n 50 --metric took --no-graphs --set kind=a";
    let mut started = place.start(&words.split(' ').collect::<Vec<_>>());
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == "a3").then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    place.write("stop", "none");
    let outcome = resume(&place, &["--no-graphs"]).expect(0);
    outcome.complains(&["2 repetitions are there already", "ended before round 11"]);
    assert_eq!(names(&place).len(), 10);
    assert_eq!(place.summary()["cells"][0]["stability"][0]["n"], 10);
    // What was enough is enough.
    let again = resume(&place, &["--no-graphs"]).expect(0);
    assert_eq!(names(&place).len(), 10, "{}", again.stderr);
}

#[test]
fn time_that_is_used_up_stays_used_up() {
    // 0.4 s each, so that a third one cannot end within 1 s, whoever asks for it and however often.
    let mut place = Place::with(&SCENARIO.replace("echo ${kind}", "sleep 0.4; echo ${kind}"));
    place.write("stop", "none");
    place.run(&"repeat test.yaml --for 1s --no-graphs --set kind=a".split(' ').collect::<Vec<_>>()).expect(0);
    for _ in 0..2 {
        let done = names(&place);
        assert!((1..=2).contains(&done.len()), "{done:?}");
        resume(&place, &["--no-graphs"]).expect(0);
    }
    assert!(names(&place).len() <= 2, "{:?}", names(&place));
}

#[test]
fn scripts_are_told_that_nothing_is_missing() {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "none");
    place.run(&["run", "test.yaml", "--no-graphs", "--quiet", "--set", "kind=a"]).expect(0);
    let events = resume(&place, &["--no-graphs", "--json"]).expect(0).events();
    assert_eq!(events.last().map(|e| &e["event"]), Some(&json!("run-ends")));
}

// ---- the scenario

#[test]
fn a_plan_that_has_changed_is_refused() {
    let mut place = ended_at("b2", Signal::KILL, SCENARIO);
    let before = content(&place);
    let began = place.lines("began");
    for (from, to, parts) in [
        ("amount: 1}", "amount: 2}", ["cells/kind=a/workloads/tool/load", "1 → 2"].as_slice()),
        ("repetitions: 3", "repetitions: 4", &["repetitions: 3 → 4"]),
        ("kind: [a, b, c]", "kind: [a, b, c, d]", &["factors/kind/levels/d is new", "cells/kind=d is new"]),
        ("kind: [a, b, c]", "kind: [a, b]", &["factors/kind/levels/c is gone", "cells/kind=c is gone"]),
        ("echo run >>", "echo again >>", &["set_up", "echo again"]),
    ] {
        place.write("test.yaml", &SCENARIO.replace(from, to));
        let outcome =
            resume(&place, &[]).expect(2).complains(&["the plan has changed since", "undo the change, or start a new run"]);
        outcome.complains(parts);
    }
    place.write("test.yaml", &SCENARIO.replace("amount: 1}", "amount: 1, wrmup: 2}"));
    resume(&place, &[]).expect(2).complains(&["`wrmup`", "test.yaml has 1 mistake"]);
    assert_eq!((content(&place), place.lines("began")), (before, began), "nothing is done");
    // The copy in the run has not changed.
    resume(&place, &["--as-recorded", "--no-graphs"]).expect(0);
    assert_eq!(names(&place), ALL);
}

#[test]
fn files_whose_content_has_changed_are_named() {
    let server = Server::friendly();
    let place = Place::with(&format!(
        "
experiment: test
workloads:
  users:
    url: http://127.0.0.1:{port}
    load: {{closed: {{connections: 1}}, amount: 2}}
    draw: {{u: {{rows: users.csv}}}}
    steps: [{{get: '/${{u.name}}'}}, {{pause: {{recorded: pauses.txt}}}}]
  log:
    url: http://127.0.0.1:{port}
    load: {{replay: {{log: access.log, format: combined}}}}
",
        port = server.port
    ));
    let data = [
        ("users.csv", "name\nann\nbob\n"),
        ("pauses.txt", "1ms\n2ms\n"),
        ("access.log", "h - - [30/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 1\n"),
    ];
    data.iter().for_each(|(name, content)| drop(place.write_as_is(name, content)));
    place.run_test();
    resume(&place, &["--no-graphs"]).expect(0);
    for ((name, content), (from, to)) in data.iter().zip([("ann", "eve"), ("2ms", "3ms"), ("/a", "/b")]) {
        place.write_as_is(name, &content.replace(from, to));
        resume(&place, &[]).expect(2).complains(&["the content of ", &format!("{name} has changed")]);
        place.write_as_is(name, content);
    }
}

#[test]
fn a_comment_that_has_changed_is_no_difference() {
    let mut place = ended_at("b2", Signal::KILL, SCENARIO);
    let typed = std::fs::read(place.run_directory("test").join("experiment.yaml")).unwrap();
    place.write(
        "test.yaml",
        &format!("# about this experiment\n{}", SCENARIO.replace("repetitions: 3", "repetitions:   3  # enough?")),
    );
    resume(&place, &["--no-graphs"]).expect(0);
    assert_eq!(names(&place), ALL);
    assert_eq!(
        std::fs::read(place.run_directory("test").join("experiment.yaml")).unwrap(),
        typed,
        "as it was when the run began"
    );
}

#[test]
fn a_scenario_that_is_gone_is_taken_from_the_run() {
    let place = ended_at("b2", Signal::KILL, SCENARIO);
    std::fs::rename(place.path("test.yaml"), place.path("moved.yaml")).unwrap();
    let outcome = resume(&place, &[]).expect(2);
    outcome.complains(&["test.yaml no longer exists", "`--as-recorded`"]);
    resume(&place, &["--as-recorded", "--no-graphs"]).expect(0);
    assert_eq!(names(&place), ALL);
}

#[test]
fn files_beside_a_scenario_that_is_gone_are_found() {
    let server = Server::friendly();
    let mut place = Place::new();
    std::fs::create_dir(place.path("experiments")).unwrap();
    place.write("experiments/body.txt", "a body");
    let scenario = "
experiment: test
repetitions: 2
set-up: {load: [{shell: 'echo ${repetition} >> DIR/began; until test \"$(cat DIR/stop)\" != ${repetition}; do sleep 0.01; done'}]}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 1}, amount: 1}
    steps: [{post: /, body: {file: body.txt}}]
";
    place.write("experiments/test.yaml", &scenario.replace("SERVER", &server.port.to_string()));
    place.write("stop", "2");
    let mut started = place.start(&["run", "experiments/test.yaml", "--no-graphs"]);
    started.until("the repetition begins", || (place.lines("began").len() == 2).then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    place.write("stop", "none");
    std::fs::remove_file(place.path("experiments/test.yaml")).unwrap();
    resume(&place, &["--as-recorded", "--no-graphs"]).expect(0);
    assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], 2);
    assert!(server.requests().iter().all(|r| r.method == "POST"));
}

// ---- from where, and by whom

#[test]
fn it_may_be_asked_for_from_anywhere() {
    let mut place = Place::with(&format!("{SCENARIO}graphs: [{{bars: throughput, x: kind}}]\n"));
    place.write("stop", "b2");
    let mut started = place.start(&["run", "test.yaml"]);
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == "b2").then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    place.write("stop", "none");
    std::fs::create_dir_all(place.path("elsewhere/reports")).unwrap();
    let before = listing(&place.path(""));
    let mut command = place.runner();
    command.current_dir(place.path("elsewhere")).args([
        "resume",
        "../results/test",
        "--graphs",
        "pictures",
        "--junit",
        "reports/j.xml",
    ]);
    crate::support::Started::spawn(&mut command).wait().expect(0);
    assert_eq!(names(&place), ALL);
    assert_eq!(listing(&place.path("")), before, "nothing is written to where the run began, but to the run");
    let pictures = files(&place.path("elsewhere/pictures"));
    assert!(pictures.len() == 2 && pictures[0].ends_with("/report.html") && pictures[1].ends_with(".png"), "{pictures:?}");
    assert_eq!(files(&place.path("elsewhere/reports")), ["j.xml"]);
}

#[test]
fn the_directory_in_which_the_run_began_may_be_gone() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("work")).unwrap();
    place.write("work/test.yaml", &SCENARIO.replace("echo ${kind}${repetition} >> DIR/began; ", "echo >> DIR/began; "));
    place.write("stop", "a1");
    let mut command = place.runner();
    command.current_dir(place.path("work")).args(["run", "test.yaml", "--out", "../results", "--set", "kind=a", "--no-graphs"]);
    let mut started = crate::support::Started::spawn(&mut command);
    started.until("the repetition begins", || (!place.lines("began").is_empty()).then_some(()));
    started.signal(Signal::KILL);
    started.wait();
    place.assert_cleared(CLEARED);
    std::fs::remove_dir_all(place.path("work")).unwrap();
    resume(&place, &["--as-recorded"]).expect(2).complains(&["the run was started in", "work", "no longer exists"]);
}

#[test]
fn two_runners_do_not_work_on_one_run() {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "b2");
    let mut started = place.start(&["run", "test.yaml", "--no-graphs"]);
    started.until("the repetition begins", || place.lines("began").iter().any(|l| l == "b2").then_some(()));
    let run = place.run_directory("test");
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    let before = content(&place);
    resume(&place, &["--no-graphs"]).expect(1).complains(&[&name, "another runner"]);
    assert_eq!(content(&place), before, "the second one changes nothing");
    place.write("stop", "none");
    started.wait().expect(0);
    assert_eq!(names(&place), ALL);
    assert_eq!(place.lines("began").len(), 9);
    // The lock ends with its holder.
    assert!(resume(&place, &[]).expect(0).stdout.contains("nothing is missing"));
}

// ---- what is damaged, old, or no run

#[test]
fn a_repetition_that_cannot_be_read_is_executed_again() {
    let mut place = Place::with(SCENARIO);
    place.write("stop", "none");
    place.run(&["run", "test.yaml", "--no-graphs", "--quiet"]).expect(0);
    let cells = place.run_directory("test").join("cells");
    for (garbage, aside) in [("{\"format\": 3, \"cell\"", "run2.damaged"), ("", "run2.damaged2")] {
        let mut before = there(&place);
        before.remove("b2");
        std::fs::write(cells.join("b/run2/status.json"), garbage).unwrap();
        place.write("began", "");
        let outcome = resume(&place, &["--no-graphs"]).expect(0);
        outcome.complains(&[aside, "moved aside", "executed again", "8 of 9 repetitions are there already"]);
        assert_eq!(place.lines("began"), ["b2"]);
        assert_eq!(std::fs::read_to_string(cells.join("b").join(aside).join("status.json")).unwrap(), garbage, "it is kept");
        let after = there(&place);
        assert!(before.iter().all(|(name, stamp)| after.get(name) == Some(stamp)));
        assert_eq!((names(&place), &place.summary()["damaged"]), (ALL.map(str::to_owned).to_vec(), &json!([])));
    }
}

#[test]
fn runs_of_other_formats_are_refused() {
    let place = ended_at("b2", Signal::KILL, SCENARIO);
    let run = place.run_directory("test");
    let files = ["manifest.json", "plan.json"].map(|name| (run.join(name), json(&run.join(name))));
    for (format, parts) in [(2, ["older runner", "format 2"]), (99, ["99", "format"])] {
        for (path, value) in &files {
            let mut value = value.clone();
            value["format"] = json!(format);
            std::fs::write(path, value.to_string()).unwrap();
        }
        resume(&place, &[]).expect(2).complains(&parts);
    }
    for (path, value) in &files {
        std::fs::write(path, value.to_string()).unwrap();
    }
    // What an older runner did not write at all.
    edit(&run.join("manifest.json"), |manifest| {
        manifest.as_object_mut().unwrap().remove("choice");
    });
    resume(&place, &[]).expect(2).complains(&["older runner"]);
}

#[test]
fn what_is_no_run_is_refused() {
    let mut place = ended_at("b2", Signal::KILL, SCENARIO);
    place.run(&["resume", "nowhere"]).expect(2).complains(&["no run in nowhere"]);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.run(&["resume", "empty"]).expect(2).complains(&["no run in empty", "expected a directory"]);
    place.run(&["resume", "test.yaml"]).expect(2).complains(&["test.yaml"]);
    // The newest run of a folder is meant, but only where it has runs of one experiment.
    let other: PathBuf = place.path("results/other/20200101T000000Z-0000");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::copy(place.run_directory("test").join("plan.json"), other.join("plan.json")).unwrap();
    place.run(&["resume", "results"]).expect(2).complains(&["several experiments", "results/other/2020", "results/test/"]);
    place.run(&["resume", "results/other"]).expect(2).complains(&["manifest.json"]);
    std::fs::write(other.join("plan.json"), "{").unwrap();
    place.run(&["resume", "results/other"]).expect(2).complains(&["plan.json"]);
    place.write("stop", "none");
    place.run(&["resume", "results/test", "--no-graphs"]).expect(0);
    assert_eq!(names(&place), ALL);
}
