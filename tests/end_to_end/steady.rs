//! Whether a load was steady, and since when: a fixture that is known to be slow at first.

use serde_json::{Value as Json, json};

use crate::support::Place;

/// A queue whose first 600 ms are eight times as slow, which no busy machine hides; 64 connections keep it busy.
const COLD: &str = "
experiment: test
window: 100ms
LIMITS
targets:
  queue: {fixture: queue, port: PORT1, args: [--mean, 250us, SERVER, --seed, \"${repetition}\"]}
workloads:
  easy:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 64}, duration: DURATION, WARM}
    steps: [{get: /}]
graphs: [{lines: throughput}]
";

fn cold(limits: &str, server: &str, duration: &str, warm: &str) -> Place {
    let text = COLD.replace("LIMITS", limits).replace("SERVER", server).replace("DURATION", duration).replace(", WARM", warm);
    Place::with(&text)
}

fn steady(summary: &Json) -> &Json {
    &summary["cells"][0]["steadiness"][0]["by_repetition"][0]
}

fn throughput(summary: &Json, phase: &str) -> Option<f64> {
    let steps = summary["cells"][0]["steps"].as_array()?;
    steps.iter().find(|s| s["step"] == "(pass)" && s["phase"] == phase)?["throughput_per_s"]["mean"].as_f64()
}

const WARMS_UP: &str = "--cold-mean, 2ms, --cold, 600ms";

#[test]
fn what_was_before_the_steady_state_is_the_warm_up_if_that_is_asked_for() {
    let asked = cold("", WARMS_UP, "3s", ", warm-up: auto");
    let outcome = asked.run_test().expect(0);
    let summary = asked.summary();
    assert_eq!(steady(&summary)["state"], "warming-up", "{}", summary["cells"][0]["steadiness"]);
    let from = steady(&summary)["steady_from_ns"].as_f64().unwrap() / 1e9;
    assert!((0.55..1.0).contains(&from), "steady from {from} s");
    let [warm_up, during] = ["warm-up", "during"].map(|phase| throughput(&summary, phase).unwrap());
    assert!(during > 3.0 * warm_up, "{warm_up} and {during} per second");
    assert!(outcome.stdout.contains("WARM-UP: easy: warming up in 1 of 1 repetition"), "{}", outcome.stdout);

    // Cold data are kept: without being asked for they are part of the measurement, and that is said.
    let not_asked = cold("", WARMS_UP, "3s", "");
    let outcome = not_asked.run_test().expect(0);
    let summary = not_asked.summary();
    assert_eq!(steady(&summary)["state"], "warming-up");
    assert_eq!(throughput(&summary, "warm-up"), None);
    assert!(throughput(&summary, "during").unwrap() < during * 0.95);
    assert!(outcome.flat().contains("NOT STEADY: easy: warming up in 1 of 1 repetition"), "{}", outcome.stdout);
}

#[test]
fn a_load_that_never_becomes_steady_does_not_count_where_it_must() {
    // It becomes fast only in the last quarter, for some of the 40 windows.
    let server = "--cold-mean, 2ms, --cold, 3500ms";
    let must = cold("limits: {steady-state: true}", server, "4s", "");
    let outcome = must.run_test().expect(4);
    let summary = must.summary();
    let repetitions = &summary["cells"][0]["repetitions"];
    assert_eq!((&repetitions["valid"], &repetitions["invalid"]), (&json!(0), &json!(1)), "{repetitions}");
    assert!(outcome.stdout.contains("`easy` had no steady state"), "{}", outcome.stdout);
    // It stays on disk, with what was measured.
    assert!(must.path("test.yaml").exists());
    assert_eq!(must.status("all/run1")["verdict"]["is"], "valid", "the windows are judged when they are summarized");

    let too_short = cold("limits: {steady-state: true}", WARMS_UP, "300ms", "");
    let outcome = too_short.run_test().expect(4);
    assert!(outcome.stdout.contains("whether `easy` was steady is not testable"), "{}", outcome.stdout);
}
