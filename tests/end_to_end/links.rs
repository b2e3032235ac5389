//! Links: made, measured before each repetition, undone, whatever happens; with namespaces where that is allowed, and by a
//! relay, which is always.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::load::part;
use crate::support::{Place, Started};

const SCENARIO: &str = "
experiment: test
layout: all
repetitions: 2
links:
  wan: {to: web, SHAPE}
targets:
  web: {fixture: null-server, args: [--host, 0.0.0.0], port: PORT1, ready: {http: /}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, LIMIT}
    steps: [{get: /}]
";

fn scenario(shape: &str, limit: &str) -> Place {
    Place::with(&SCENARIO.replace("SHAPE", shape).replace("LIMIT", limit))
}

/// Namespaces are root's; where they cannot be made these tests say so, and only the relay is tested.
fn has_namespaces() -> bool {
    let works = Command::new("unshare").args(["--net", "true"]).output().is_ok_and(|o| o.status.success())
        && Command::new("tc").arg("-V").output().is_ok_and(|o| o.status.success());
    if !works {
        eprintln!("NOT TESTED: network namespaces cannot be made here");
    }
    works
}

/// Namespaces and interfaces of runners: these tests have the machine for themselves.
fn leftovers() -> Vec<String> {
    let names = |folder: &str| crate::support::listing(std::path::Path::new(folder));
    let spaces = names("/run/netns").into_iter().filter(|n| n.starts_with("runner-"));
    let devices = names("/sys/class/net").into_iter().filter(|n| n.starts_with("rl"));
    spaces.chain(devices).collect()
}

#[track_caller]
fn assert_nothing_left() {
    // The kernel takes interfaces down a moment after their namespace.
    crate::support::eventually("links are undone", || leftovers().is_empty().then_some(()));
}

fn link(place: &Place) -> Json {
    place.status("all/run2")["links"][0].clone()
}

#[test]
fn a_link_delays_every_round_trip_and_is_measured_before() {
    if !has_namespaces() {
        return;
    }
    let place = scenario("delay: 50ms, tolerance: {delay: 5ms}", "amount: 8");
    place.start(&["run", "test.yaml"]).wait().expect(0);
    let link = link(&place);
    assert!(["netem", "nfqueue"].contains(&link["mechanism"].as_str().unwrap()), "{link}");
    let median = link["measured"]["rtt_median_ns"].as_f64().unwrap() / 1e6;
    assert!((49.0..56.0).contains(&median), "{link}");
    let passes = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
    let fastest = passes["response_ns"]["p50"].as_f64().unwrap() / 1e6;
    assert!((49.5..70.0).contains(&fastest), "{passes}");
    assert_nothing_left();
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn a_relay_needs_no_privilege() {
    let place = scenario("delay: 30ms, back: {delay: 10ms}, mechanism: relay, tolerance: {delay: 5ms}", "amount: 8");
    place.run_test().expect(0);
    let link = link(&place);
    assert_eq!(link["mechanism"], "relay");
    let passes = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
    let median = passes["response_ns"]["p50"].as_f64().unwrap() / 1e6;
    assert!((39.5..60.0).contains(&median), "{passes}");
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn a_link_that_is_not_as_asked_makes_the_repetition_invalid() {
    let place = scenario("delay: 5ms, mechanism: relay, tolerance: {delay: 1us}", "amount: 2");
    place.run_test().expect(4).complains(&["INVALID", "link `wan` (relay): the median round trip is", "expected 5ms"]);
}

#[test]
fn between_targets_a_link_is_called_by_its_address() {
    if !has_namespaces() {
        return;
    }
    let place = Place::with(
        "
experiment: test
layout: all
links:
  back-end: {from: proxy, to: web, delay: 20ms, tolerance: {delay: 5ms}}
targets:
  web: {fixture: null-server, args: [--host, 0.0.0.0], port: PORT1}
  proxy: {after: web, fixture: proxy, port: PORT2, args: [--to, \"${links['back-end'].address}\"]}
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    load: {closed: {connections: 1}, amount: 5}
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    let passes = part(&place.summary(), "all", "clients", "during", "(pass)").clone();
    assert!(passes["response_ns"]["p50"].as_f64().unwrap() > 19e6, "{passes}");
}

#[test]
fn a_runner_that_is_killed_or_interrupted_leaves_no_link() {
    if !has_namespaces() {
        return;
    }
    for signal in [Signal::KILL, Signal::INT] {
        let place = scenario("delay: 2ms", "duration: 30s");
        let mut started = place.start(&["run", "test.yaml"]);
        started.until("the load goes on", || {
            let server = place.processes().into_iter().find(|p| p.command.contains("null-server"));
            server.filter(|_| !leftovers().is_empty()).map(|_| ())
        });
        started.signal(signal);
        let _ = started.wait();
        place.assert_cleared(Duration::from_secs(15));
        assert_nothing_left();
    }
}

#[test]
fn two_runs_at_once_have_links_of_their_own() {
    if !has_namespaces() {
        return;
    }
    let places = [
        scenario("delay: 10ms, tolerance: {delay: 5ms}", "amount: 20"),
        scenario("delay: 20ms, tolerance: {delay: 5ms}", "amount: 20"),
    ];
    let started: Vec<Started> = places.iter().map(|p| p.start(&["run", "test.yaml"])).collect();
    for one in started {
        one.wait().expect(0);
    }
    let hosts: Vec<Json> = places.iter().map(|p| link(p)["host"].clone()).collect();
    assert_ne!(hosts[0], hosts[1]);
}

#[test]
fn without_tc_a_link_by_netem_says_what_is_missing() {
    let place = scenario("delay: 5ms, mechanism: netem", "amount: 2");
    let mut command = place.runner();
    command.env("PATH", "/nonexistent").args(["run", "test.yaml"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("link `wan` cannot be emulated here") && said.contains("netem:"), "{said}");
}
