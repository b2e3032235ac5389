//! The VOEvent Transport Protocol: authors, brokers and subscribers, what goes well and what brokers do wrong.

use serde_json::{Value as Json, json};

use crate::load::part;
use crate::support::Place;

const STUDY: &str = "
experiment: test
layout: all
limits: {errors: 100%}
targets:
  broker:
    fixture: vtp-broker
    port: PORT1
    ports: {broadcast: PORT2}
    args: [--broadcast-port, PORT2, --eventdb, \"${scratch}/broker\"FAULT]
workloads:
  author:
    vtp: {to: \"127.0.0.1:PORT1\", ivo: \"ivo://runner.test/bench\"MORE}
    timeout: 500ms
    load: LOAD
  receiver:
    vtp: {from: \"127.0.0.1:PORT2\", wait: 300ms}
";

fn study(fault: &str, load: &str, more: &str) -> Place {
    let fault = if fault.is_empty() { String::new() } else { format!(", --fault, \"{fault}\"") };
    Place::with(&STUDY.replace("FAULT", &fault).replace("LOAD", load).replace("MORE", more))
}

fn metric(summary: &Json, workload: &str, name: &str) -> f64 {
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["workload"] == workload && m["metric"] == name);
    found.unwrap_or_else(|| panic!("{workload} has no {name}: {metrics:?}"))["value"]["mean"].as_f64().unwrap()
}

#[test]
fn events_are_followed_from_author_to_subscriber() {
    for load in ["{closed: {connections: 4}, amount: 400}", "{open: {rate: 1000/s, connections: 16}, duration: 400ms}"] {
        let place = study("", load, ", size: 2KiB");
        let outcome = place.run_test().expect(0);
        let summary = place.summary();
        for (workload, step) in
            [("author", "connect"), ("author", "send"), ("author", "answer"), ("author", "(pass)"), ("receiver", "event")]
        {
            let found = part(&summary, "all", workload, "during", step);
            assert_eq!((&found["requests"], &found["ok"]), (&json!(400), &json!(400)), "{workload} {step}");
        }
        let [connect, send, answer, pass] =
            ["connect", "send", "answer", "(pass)"].map(|s| part(&summary, "all", "author", "during", s).clone());
        // Bytes count where they were sent to the end: in an open loop the last may be sent behind the planned one.
        let (bytes, whole) = (send["sent_bytes"].as_u64().unwrap(), 400 * 2048);
        assert!(bytes == whole || load.contains("open") && bytes % 2048 == 0 && (1..whole).contains(&bytes), "{bytes}");
        let mean = |of: &Json| of["service_ns"]["mean"].as_f64().unwrap();
        assert!((mean(&connect) + mean(&send) + mean(&answer)) <= mean(&pass) * 1.01, "{summary}");
        // An event arrives after it was sent, and response times count from when it was meant to be.
        let arrival = part(&summary, "all", "receiver", "during", "event");
        assert!(arrival["response_ns"]["p50"].as_u64() >= arrival["service_ns"]["p50"].as_u64(), "{arrival}");
        for name in ["lost", "duplicates", "unexpected"] {
            assert_eq!(metric(&summary, "receiver", name), 0.0, "{name}\n{}", outcome.stdout);
        }
        place.assert_cleared(std::time::Duration::from_secs(5));
    }
}

#[test]
fn what_brokers_do_wrong_is_told_apart() {
    for (fault, outcome, words) in [
        ("nak", "nak", "the broker refused an event"),
        ("close", "closed", "closed instead"),
        ("silent", "timeout", "nothing arrived within the time-out"),
        ("huge-length", "garbage", "4294967295 bytes"),
        ("garbage-xml", "garbage", "neither ack nor nak"),
    ] {
        let place = study(fault, "{closed: {connections: 2}, amount: 6}", "");
        place.run_test().expect(0);
        let (summary, status) = (place.summary(), place.status("all/run1"));
        let answer = part(&summary, "all", "author", "during", "answer");
        assert_eq!(answer["errors"], json!({outcome: 6}), "{fault}: {answer}");
        let errors = status["errors"].to_string();
        assert!(errors.contains(words), "{fault}: {errors}");
        // Nobody misses what the broker did not take.
        assert_eq!(metric(&summary, "receiver", "lost"), 0.0, "{fault}");
    }
}

#[test]
fn a_subscriber_that_is_dropped_misses_the_rest() {
    let place = study("drop-subscriber:10", "{closed: {connections: 1}, amount: 30}", "");
    let outcome = place.run_test().expect(0);
    let summary = place.summary();
    let arrivals = part(&summary, "all", "receiver", "during", "event");
    assert_eq!((&arrivals["ok"], &arrivals["errors"]), (&json!(10), &json!({"lost": 20})), "{}", outcome.stdout);
    assert_eq!(metric(&summary, "receiver", "lost"), 20.0);
    let errors = place.status("all/run1")["errors"].to_string();
    assert!(errors.contains("closed") && errors.contains("20 events that the broker accepted did not arrive"), "{errors}");
    // With the limit that holds by default, such a repetition does not count.
    let text = std::fs::read_to_string(place.path("test.yaml")).unwrap().replace("limits: {errors: 100%}\n", "");
    std::fs::write(place.path("strict.yaml"), text.replace("experiment: test", "experiment: strict")).unwrap();
    place.run(&["run", "strict.yaml"]).expect(4).complains(&["20 of 30 passes of `receiver`"]);
}

#[test]
fn a_broker_that_is_not_there_fails_the_repetition() {
    let mut place = Place::new();
    place.write(
        "test.yaml",
        "
experiment: test
workloads:
  author:
    vtp: {to: \"127.0.0.1:PORT1\"}
    load: {closed: {connections: 1}, amount: 5}
",
    );
    place.run_test().expect(4).complains(&["connecting to 127.0.0.1", "refused"]);
}

#[test]
fn a_broker_that_does_not_greet_cannot_be_subscribed_to() {
    // Its author port, which says nothing.
    let mut place = Place::new();
    let text = STUDY.replace("FAULT", "").replace("LOAD", "{closed: {connections: 1}, amount: 5}").replace("MORE", "");
    let text = text.replace("from: \"127.0.0.1:PORT2\", wait", "from: \"127.0.0.1:PORT1\", wait");
    place.write("test.yaml", &(text + "    timeout: 300ms\n"));
    place.run_test().expect(4).complains(&["subscribing at 127.0.0.1", "nothing arrived within the time-out"]);
}

#[test]
fn receipts_are_collected_and_joined() {
    let mut place = Place::new();
    let text = STUDY.replace("FAULT", "").replace("LOAD", "{closed: {connections: 8}, amount: 200}").replace("MORE", "");
    let text = text.replace(
        "workloads:",
        "  subscriber:
    after: broker
    fixture: vtp-subscriber
    args: [--remote, \"127.0.0.1:PORT2\", --eventdb, \"${scratch}/subscriber\"]
    ready: {log: subscribed to}
collect:
  receipts:
    fixture: vtp-receipts
    args: [--broker, \"${scratch}/broker\", --subscriber, \"${scratch}/subscriber\", --begin, \"${load_begin}\", --expected, \"200\"]
    metrics:
      broker_s: {json: /broker/duration_s, unit: s}
      missing_broker: {json: /missing_at_broker}
      missing_subscriber: {json: /missing_at_subscriber}
workloads:",
    );
    place.write("test.yaml", &text);
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(metric(&summary, "receipts", "missing_broker"), 0.0);
    assert_eq!(metric(&summary, "receipts", "missing_subscriber"), 0.0);
    // The last receipt is after the load's begin, and before its end.
    let seconds = part(&summary, "all", "author", "during", "(pass)")["by_repetition"][0]["seconds"].as_f64().unwrap();
    let broker_s = metric(&summary, "receipts", "broker_s");
    assert!(broker_s > 0.0 && broker_s <= seconds + 0.01, "{broker_s} of {seconds} s");
}
