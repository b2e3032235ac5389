//! File systems in memory: recorded there, moved to the results whole, nothing lost when they are full, none left behind.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::Place;

const SCENARIO: &str = "
experiment: test
layout: \"${size}/run${repetition}\"
factors: {size: [small]}
scratch: {tmpfs: 8MiB}
record: {tmpfs: SIZE, requests: true}
targets:
  web: {fixture: null-server, port: PORT1}
set-up:
  repetition: [{shell: 'df --output=fstype ${scratch} | tail -1 > DIR/type'}]
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, LIMIT}
    steps: [{get: /}]
";

fn scenario(size: &str, limit: &str) -> Place {
    Place::with(&SCENARIO.replace("SIZE", size).replace("LIMIT", limit))
}

/// Mounts and directories of a runner whose scratch directories are in this place.
fn leftovers(place: &Place) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let scratch = place.path("scratch").display().to_string();
    mounts.lines().filter(|l| l.contains(&scratch)).map(str::to_owned).collect()
}

#[test]
fn a_repetition_is_recorded_in_memory_and_moved_to_the_results() {
    let place = scenario("16MiB", "amount: 2000");
    place.run_test().expect(0);
    assert_eq!(place.lines("type"), ["tmpfs"]);
    // The layout is the old one, with the repetition's folder written out.
    let run = place.run_directory("test").join("cells/small/run1");
    for file in ["windows.parquet", "requests.parquet", "status.json", "events.jsonl"] {
        assert!(run.join(file).exists(), "{file}");
    }
    assert_eq!(place.status("small/run1")["verdict"]["is"], "valid");
    assert_eq!(leftovers(&place), [""; 0]);
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn what_finds_no_room_goes_on_on_disk_and_does_not_count() {
    let place = scenario("64KiB", "amount: 60000");
    place.run_test().expect(4).complains(&["the tmpfs of 64.0 KiB", "was full: recording continued on disk"]);
    let status = place.status("small/run1");
    assert_eq!(status["verdict"]["is"], "invalid");
    assert_eq!(status["phases"][0]["passes"], 60000);
    // Everything is there and can be read.
    let run = place.run_directory("test");
    let again = place.run(&["summarize", run.to_str().unwrap()]).expect(0);
    assert!(!again.stdout.contains("damaged"), "{}", again.stdout);
    let rows = runner::record::tables::read(&run.join("cells/small/run1/requests.parquet")).unwrap();
    assert!(rows.height() >= 60_000, "{} rows", rows.height());
    assert_eq!(leftovers(&place), [""; 0]);
}

#[test]
fn a_runner_that_is_killed_leaves_no_mount() {
    let place = scenario("16MiB", "duration: 30s");
    let mut started = place.start(&["run", "test.yaml"]);
    started.until("the load goes on", || place.processes().iter().find(|p| p.command.contains("null-server")).map(|_| ()));
    started.signal(Signal::KILL);
    let _ = started.wait();
    place.assert_cleared(Duration::from_secs(15));
    assert_eq!(leftovers(&place), [""; 0]);
}
