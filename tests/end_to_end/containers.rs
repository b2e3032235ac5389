//! Containers as targets, with a real engine of the test's own: started, watched, stopped, removed, whatever happens.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::load::part;
use crate::support::{Place, Started, eventually};

const SCENARIO: &str = "
experiment: test
layout: all
targets:
  web:
    container: {image: \"IMAGE\", network: host, env: {COLOUR: blue}, args: [/bin/busybox, httpd, -f, -p, \"127.0.0.1:PORT1\", -h, /www]}
    port: PORT1
    ready: {http: /index.html}
    stop: {grace: 500ms}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, LIMIT}
    steps: [{get: /index.html, expect: {text: \"hello\\n\"}}]
";

fn scenario(image: &str, limit: &str) -> Place {
    Place::with(&SCENARIO.replace("IMAGE", image).replace("LIMIT", limit))
}

#[test]
fn a_container_is_a_target_like_any_other() {
    let Some(engine) = Engine::start() else { return };
    let place = scenario("runner-test-web:1", "duration: 500ms");
    engine.run(&place).wait().expect(0);
    let summary = place.summary();
    assert!(part(&summary, "all", "clients", "during", "(pass)")["ok"].as_u64() > Some(10));
    // What is watched is what runs inside, not the engine's client.
    let target = &summary["cells"][0]["targets"][0];
    assert!(
        target["pss_bytes"]["mean"].as_f64() > Some(1000.0) && target["cpu_cores"]["mean"].as_f64() > Some(0.001),
        "{target}"
    );
    assert!(target["pss_bytes"]["mean"].as_f64() < Some(8e6), "a client is larger: {target}");
    assert_eq!(engine.containers(), "");
    place.assert_cleared(Duration::from_secs(5));

    // An image that is not there is said, and not fetched.
    let place = scenario("runner-test-none:1", "duration: 500ms");
    engine.run(&place).wait().expect(4).complains(&["web", "runner-test-none:1"]);
    assert_eq!(engine.containers(), "");
}

#[test]
fn no_container_outlives_its_runner_and_an_engine_that_ends_is_told() {
    let Some(mut engine) = Engine::start() else { return };
    let running = |started: &mut Started| started.until("it runs", || engine.containers().starts_with("runner-").then_some(()));
    let place = scenario("runner-test-web:1", "duration: 60s");
    let mut started = engine.run(&place);
    running(&mut started);
    started.signal(Signal::KILL);
    let _ = started.wait();
    eventually("the container is removed", || engine.containers().is_empty().then_some(()));
    place.assert_cleared(Duration::from_secs(15));

    let place = scenario("runner-test-web:1", "duration: 20s");
    let mut started = engine.run(&place);
    started.until("the load goes on", || place.processes().iter().any(|p| p.command.contains("docker run")).then_some(()));
    running(&mut started);
    std::thread::sleep(Duration::from_millis(500));
    kill_process(Pid::from_raw(engine.daemon.id() as i32).unwrap(), Signal::KILL).unwrap();
    let _ = engine.daemon.wait();
    started.wait_within(Duration::from_secs(40)).expect(4).complains(&["web"]);
}

#[test]
fn without_an_engine_its_cells_are_skipped_loudly() {
    let place = scenario("runner-test-web:1", "amount: 1");
    let mut command = place.runner();
    command.env("DOCKER_HOST", "unix:///nonexistent/sock").env("PATH", "/nonexistent").args(["check", "test.yaml"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("SKIPPED") && said.contains("no container engine answers"), "{said}");
}
