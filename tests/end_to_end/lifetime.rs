//! Targets that outlive the repetition that started them: started once, watched in each, and gone at the end, however that comes.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{CLEARED, Place, files, json, listing};

/// A shell that says so when it starts and when it is told to stop.
fn talker(name: &str, keys: &str) -> String {
    let script = format!(
        "trap \"echo {name} >> DIR/stops; exit 0\" TERM; echo $$ >> DIR/starts-{name}; echo up; \
         while :; do echo $((i += 1)); sleep 0.02; done"
    );
    format!("  {name}: {{shell: '{script}', ready: {{log: up}}, {keys}}}\n")
}

/// Three repetitions of two cells, with these targets beside a server that lives for the run.
fn scenario(targets: &str, rest: &str) -> String {
    format!(
        "
experiment: test
factors: {{n: [1, 2]}}
repetitions: 3
layout: ${{n}}
targets:
  web: {{fixture: null-server, port: PORT1, lifetime: run}}
{targets}
workloads:
  clients: {{url: 'http://127.0.0.1:PORT1', load: {{closed: {{connections: \"${{n}}\"}}, duration: 300ms}}, steps: [{{get: /}}]}}
{rest}"
    )
}

/// Of each repetition what its status says of a target.
fn statuses(place: &Place, target: &str) -> Vec<Json> {
    let repetitions = ["1", "2"].iter().flat_map(|cell| (1..=3).map(move |number| format!("{cell}/run{number}")));
    let of_target = |status: Json| status["targets"].as_array().unwrap().iter().find(|t| t["target"] == target).cloned();
    repetitions.filter_map(|repetition| of_target(place.status(&repetition))).collect()
}

#[test]
fn a_target_of_the_run_is_started_once_and_watched_in_every_repetition() {
    let targets = talker("net", "lifetime: run") + &talker("each", "after: net");
    let place = Place::with(&scenario(&targets, ""));
    let outcome = place.run_test().expect(0);
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
    assert_eq!((place.lines("starts-net").len(), place.lines("starts-each").len()), (1, 6));
    for target in ["net", "web"] {
        let statuses = statuses(&place, target);
        let pids: BTreeSet<u64> = statuses.iter().map(|s| s["pid"].as_u64().unwrap()).collect();
        assert_eq!((statuses.len(), pids.len()), (6, 1), "{statuses:?}");
        assert_eq!(statuses.iter().filter(|s| !s["start_up_ns"].is_null()).count(), 1, "{statuses:?}");
    }
    assert_eq!(statuses(&place, "each").iter().filter(|s| !s["start_up_ns"].is_null()).count(), 6);
    // What it used before does not count: a server that is asked all the time uses the same in each repetition.
    for cell in place.summary()["cells"].as_array().unwrap() {
        assert_eq!(cell["repetitions"]["valid"], 3, "{cell}");
        for target in cell["targets"].as_array().unwrap().iter().filter(|t| t["target"] != "each") {
            let values = |figure: &str| -> Vec<f64> {
                target[figure]["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
            };
            let (pss, cpu) = (values("pss_bytes"), values("cpu_cores"));
            assert_eq!((pss.len(), cpu.len()), (3, 3), "{target}");
            assert!(pss.iter().all(|bytes| *bytes > 10_000.0), "{target}");
            let least = if target["target"] == "net" { 0.0 } else { 0.001 };
            assert!(cpu.iter().all(|cores| (least..=2.5).contains(cores)), "{target}");
        }
    }
    // In reverse order: what ends with its repetition, and at last what waited for nobody.
    let stops = place.lines("stops");
    assert_eq!(stops, [["each"; 6].as_slice(), &["net"]].concat());
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn each_repetition_has_what_was_said_in_it_and_the_run_has_all_of_it() {
    let place = Place::with(&scenario(
        &talker("net", "lifetime: run"),
        "taps: {net: {log: net, regex: '^(?<n>\\d+)$', types: {n: number}, metrics: {last: {max: n}}}}\n",
    ));
    place.run_test().expect(0);
    let run = place.run_directory("test");
    let mut slices: Vec<String> = Vec::new();
    for repetition in ["1/run1", "1/run2", "1/run3", "2/run1", "2/run2", "2/run3"] {
        slices.push(std::fs::read_to_string(run.join("cells").join(repetition).join("logs/net-1.out")).unwrap());
        assert!(place.status(repetition)["taps"][0]["rows"].as_u64().unwrap() < 100, "only its own lines are followed");
    }
    let first = slices.iter().filter(|slice| slice.starts_with("up\n")).count();
    assert_eq!(first, 1, "it started in one of them");
    let number = |slice: &String| slice.lines().find_map(|line| line.parse::<u64>().ok()).unwrap();
    slices.sort_by_key(number);
    let whole = std::fs::read_to_string(run.join("logs/kept-1/net-1.out")).unwrap();
    assert!(whole.starts_with(&slices.concat()), "nothing is missing between them: {whole}");
    assert_eq!(listing(&run.join("logs")), ["kept-1"]);
}

#[test]
fn a_death_fails_its_repetition_and_the_next_one_has_a_new_process() {
    let waits = talker("waits", "lifetime: run, after: web") + &talker("alone", "lifetime: run");
    let scenario = scenario(&waits, "order: sequential\n").replace("[1, 2]", "[1]").replace("duration: 300ms", "amount: 100");
    // 100 requests and the checked one: it ends in the middle of the second repetition, and its successor with the third.
    let place = Place::with(&scenario.replace("fixture: null-server", "fixture: faulty, args: [--mode, ok, --exit-after, 150]"));
    place.run_test().expect(4).complains(&["web ended with exit code 3 while it was needed"]);
    let verdicts = [1, 2, 3].map(|n| place.status(&format!("1/run{n}"))["verdict"]["is"].as_str().unwrap().to_owned());
    assert_eq!(verdicts, ["valid", "failed", "valid"]);
    assert_eq!((place.lines("starts-waits").len(), place.lines("starts-alone").len()), (2, 1));
    let run = place.run_directory("test");
    assert_eq!(listing(&run.join("logs")), ["kept-1", "kept-2"]);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn a_death_between_repetitions_is_noticed_before_the_next() {
    // Until it is known: one that ends a moment later has ended in the next repetition.
    let step = "test ${repetition} = 3 && exit; p=$(tail -n 1 DIR/starts-net); kill -9 $p; sleep 0.3";
    let kill = format!("clean-up: {{repetition: [{{shell: '{step}'}}]}}\norder: rounds\n");
    let place = Place::with(&scenario(&talker("net", "lifetime: run"), &kill).replace("[1, 2]", "[1]"));
    place.run_test().expect(0).complains(&["warning: net was killed by SIGKILL between two repetitions; it is started again"]);
    assert_eq!(place.lines("starts-net").len(), 3);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn a_target_of_the_cell_is_kept_while_its_repetitions_follow_each_other() {
    let targets = talker("net", "lifetime: cell, env: {N: \"${n}\"}");
    let clean_up = "clean-up: {cell: [{shell: 'echo cleaned >> DIR/stops'}]}\n";
    let place = Place::with(&scenario(&targets, &format!("order: sequential\n{clean_up}")));
    let outcome = place.run(&["check", "test.yaml"]).expect(0);
    assert!(!outcome.stdout.contains("note:"), "{}", outcome.stdout);
    place.run_test().expect(0);
    assert_eq!(place.lines("starts-net").len(), 2);
    assert_eq!(place.lines("stops"), ["net", "cleaned", "net", "cleaned"]);
    let place = Place::with(&scenario(&targets, "order: rounds\n"));
    let outcome = place.run(&["check", "test.yaml"]).expect(0);
    assert!(outcome.stdout.contains("note: `net` is kept while"), "{}", outcome.stdout);
    place.run_test().expect(0);
    assert_eq!(place.lines("starts-net").len(), 6);
    place.assert_cleared(Duration::ZERO);
}

/// A server that shares its port would let two runs serve each other's load, at any time of the run.
#[test]
fn its_port_is_claimed_as_long_as_it_lives() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let mut place = Place::with(&scenario(&talker("each", "after: web"), ""));
    let name = format!("runner-port-{}", place.port(1));
    let is_claimed = || UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).is_err();
    let mut running = place.start(&["run", "test.yaml"]);
    for repetition in 2..=5 {
        running.until("a further repetition", || (place.lines("starts-each").len() >= repetition).then_some(()));
        assert!(is_claimed(), "in repetition {repetition}");
    }
    running.wait().expect(0);
    assert!(!is_claimed());
}

#[test]
fn a_cell_without_it_leaves_it_alone() {
    let targets = talker("net", "lifetime: run, when: \"${n == 1}\"");
    let place = Place::with(&scenario(&targets, "order: rounds\n"));
    place.run_test().expect(0);
    assert_eq!((place.lines("starts-net").len(), statuses(&place, "net").len()), (1, 3));
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn what_it_needs_is_made_in_the_directory_of_the_run() {
    let mut place = Place::new();
    place.write("port.conf.j2", "keys in {{ kept }}\n");
    let targets = "  net: {shell: 'cat ${kept}/keys ${kept}/port.conf > ${kept}/seen; echo up; exec sleep 600', lifetime: run, render: {port.conf: port.conf.j2}, ready: {log: up}}\n";
    let rest = "
set-up:
  run: [{cache: keys, shell: 'echo the keys > $CACHE/keys'}, {shell: 'cp ${cache.keys}/keys ${kept}/keys'}]
  load: [{shell: 'cat ${kept}/seen >> DIR/seen; echo ${kept} >> DIR/kept; test ${kept} != ${scratch}'}]
collect: {seen: {file: '${kept}/seen', metrics: {length: {lines: 'keys'}}}}
";
    place.write("test.yaml", &scenario(targets, rest));
    let mut command = place.runner();
    command.env("RUNNER_CACHE", place.path("cache"));
    crate::support::Started::spawn(command.args(["run", "test.yaml"])).wait().expect(0);
    let kept = place.lines("kept");
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(place.lines("seen")[..2], ["the keys".to_owned(), format!("keys in {}", kept[0])]);
    let plan = place.run(&["plan", "test.yaml"]).expect(0).stdout;
    assert!(plan.contains("kept until the end of the run") && plan.contains("file ${kept}/port.conf"), "{plan}");
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn ctrl_c_stops_it_and_resume_starts_it_anew() {
    let place = Place::with(&scenario(&(talker("net", "lifetime: run") + &talker("each", "after: net")), ""));
    let mut running = place.start(&["run", "test.yaml"]);
    running.until("the second repetition", || (place.lines("starts-each").len() >= 2).then_some(()));
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert_eq!(place.lines("stops").last().map(String::as_str), Some("net"));
    place.assert_cleared(Duration::ZERO);
    let directory = place.run_directory("test");
    place.run(&["resume", directory.to_str().unwrap()]).expect(0);
    assert_eq!((place.lines("starts-net").len(), statuses(&place, "net").len()), (2, 6));
    let summary = json(&directory.join("summary.json"));
    assert_eq!(summary["cells"][1]["repetitions"]["valid"], 3);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn ctrl_c_in_a_step_ends_the_step_and_then_it() {
    let steps = "order: rounds\nset-up: {cell: [{shell: 'test ${n} = 1 || { echo now > DIR/step; sleep 616; }'}]}\n";
    let place = Place::with(&scenario(&talker("net", "lifetime: run"), steps));
    let mut running = place.start(&["run", "test.yaml"]);
    running.until("the step of the second cell", || place.lines("step").pop());
    running.signal(Signal::INT);
    running.wait().expect(130);
    assert_eq!(place.lines("stops"), ["net"], "it was told to stop, and did");
    place.assert_cleared(Duration::ZERO);
}

/// A server that is started again in the folder of its predecessor still says how many requests it has had.
#[test]
fn the_count_of_a_target_that_lives_for_a_cell_is_read() {
    let text = scenario("", "").replace("lifetime: run", "lifetime: cell");
    let place = Place::with(&text);
    let outcome = place.run_test().expect(0);
    assert!(!outcome.stdout.contains("COUNTS"), "{}", outcome.stdout);
    for (cell, number) in [("1", 1), ("1", 3), ("2", 3)] {
        let counted = &place.status(&format!("{cell}/run{number}"))["reconciled"][0];
        assert!(counted["seen"].as_u64().is_some_and(|seen| seen > 0), "{counted}");
    }
}

#[test]
fn ctrl_c_twice_does_not_wait_for_it() {
    let deaf = "  deaf: {shell: \"trap '' TERM; echo up; while :; do sleep 0.02; done\", lifetime: run, ready: {log: up}, stop: {grace: 60s}}\n";
    let place = Place::with(&scenario(&(deaf.to_owned() + &talker("each", "after: deaf")), ""));
    let mut running = place.start(&["run", "test.yaml"]);
    running.until("the second repetition", || (place.lines("starts-each").len() >= 2).then_some(()));
    running.signal(Signal::INT);
    running.until("the end of the repetition", || (place.lines("stops").len() >= 2).then_some(()));
    running.signal(Signal::INT);
    assert!(running.wait().expect(130).took < Duration::from_secs(20));
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn nothing_is_left_of_it_when_the_runner_is_killed() {
    // One that leaves its parent and its group, as daemons do, belongs to it all the same.
    let daemon = "  daemon: {shell: 'setsid sleep 619 & echo up; exec sleep 618', lifetime: run, ready: {log: up}}\n";
    let place = Place::with(&scenario(&(daemon.to_owned() + &talker("each", "after: daemon")), ""));
    let mut running = place.start(&["run", "test.yaml"]);
    running.until("the third repetition", || (place.lines("starts-each").len() >= 3).then_some(()));
    place.process("sleep 619");
    running.signal(Signal::KILL);
    running.wait();
    place.assert_cleared(CLEARED);
}

#[test]
fn what_else_a_repetition_leaves_behind_is_ended_beside_it() {
    let daemon = "  daemon: {shell: 'setsid sleep 619 & echo up; exec sleep 618', lifetime: run, ready: {log: up}}\n";
    let stray = "set-up: {load: [{shell: 'pgrep -f [s]leep.619 >> DIR/alive'}]}\n";
    let place = Place::with(&scenario(daemon, stray));
    place.run_test().expect(0);
    let pids: BTreeSet<String> = place.lines("alive").into_iter().collect();
    assert!(place.lines("alive").len() >= 6 && !pids.is_empty());
    for number in 1..=3 {
        assert_eq!(place.status(&format!("1/run{number}"))["left_behind"], serde_json::json!([]));
    }
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn of_a_log_that_is_too_long_start_and_end_are_kept() {
    for lifetime in ["repetition", "run"] {
        let place = Place::with(
            &r#"
experiment: test
layout: all
repetitions: 2
targets:
  talker:
    lifetime: LIFETIME
    log-limit: 64KiB
    shell: 'seq -f "line %010.0f" 1 100000; exec sleep 1000'
    ready: {log: "line 0000100000"}
workloads:
  once: {command: ["true"], load: {closed: {connections: 1}, amount: 1}}
"#
            .replace("LIFETIME", lifetime),
        );
        let outcome = place.run_test();
        let status = place.status("all/run1");
        let cut = status["targets"][0]["log_cut_bytes"].as_u64().unwrap_or_else(|| panic!("{status:#}\n{}", outcome.stderr));
        let folder = place.run_directory("test").join("cells/all/run1");
        let log = files(&folder).into_iter().find(|name| name.ends_with("talker-1.out")).unwrap();
        let log = std::fs::read_to_string(folder.join(log)).unwrap();
        assert!(log.starts_with("line 0000000001\n") && log.ends_with("line 0000100000\n"), "{lifetime}");
        let marker = format!("[runner: {cut} bytes are cut here, as log-limit is 65536]");
        let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("line 0")).collect();
        assert_eq!(lines, [marker.as_str()], "{lifetime}");
        // Every line has 16 bytes.
        assert_eq!(cut + log.len() as u64, 1_600_000 + marker.len() as u64 + 1, "{lifetime}");
        assert!(log.len() < (64 << 10) + 100, "{lifetime}: {}", log.len());
        let said = outcome.flat().contains("of the logs of talker were cut off because of log-limit");
        assert!(said, "{lifetime}: {}{}", outcome.stdout, outcome.stderr);
    }
}
