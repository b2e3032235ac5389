//! Containers as targets, with a real engine of the test's own: started, watched, stopped, removed, whatever happens.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::engine::Engine;
use crate::load::{cell, part};
use crate::support::{Place, Started, eventually, root};

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

/// What makes the image of the study of typing, as its user calls it, with this name for the image.
///
/// The static executable is built in a folder of its own that is kept: the folder of the executables under test stays as it is, and only the
/// first time takes long. Nothing here is about speed, so it is built without optimisation: SQLite alone would take most of the time.
fn typing_image(place: &Place, words: &[&str]) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder));
    let mut command = Command::new("/bin/sh");
    command.arg(root().join("experiments/typing/image.sh")).args(words).stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target.join("static")).env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    // Marked, so that no compiler outlives a test that fails.
    command.envs(place.runner().get_envs().filter_map(|(name, value)| Some((name, value?))));
    // All libraries are here, as these tests could not have been built without them.
    command.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CONTAINER_ENGINE");
    command
}

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
fn keys_are_typed_into_a_shell_in_a_container() {
    let Some(engine) = Engine::start() else { return };
    let mut place = Place::new();
    // The first build takes a minute or two.
    let mut command = typing_image(&place, &["runner-typing"]);
    Started::spawn(command.env("DOCKER_HOST", engine.host())).wait_within(Duration::from_secs(600)).expect(0);

    // The shipped scenario, with less typing, and on a port that no other test has. What a machine that is busy does to the times is no
    // matter here; a key that is not answered as it was typed is.
    let mut text = std::fs::read_to_string(root().join("experiments/typing-container.yaml")).unwrap();
    for (what, by) in
        [("experiment: typing-container", "experiment: test"), ("8195", "PORT1"), (" duration: 5s", " duration: 2s")]
    {
        assert!(text.contains(what), "`{what}` is not in the scenario any more");
        text = text.replace(what, by);
    }
    place.write("test.yaml", &(text + "limits: {silence: 100%, open: 100%, generator-cpu: 100%}\n"));
    let started = engine.run_with(&place, &["--set", "rate=20", "--repetitions", "1", "--no-graphs"]);
    let outcome = started.wait_within(Duration::from_secs(60)).expect(0);
    assert!(!outcome.stdout.contains("SKIPPED"), "{}", outcome.stdout);
    let summary = place.summary();
    assert_eq!(summary["cells"].as_array().map(Vec::len), Some(2), "{summary:#}");
    for kind in ["process", "container"] {
        let name = format!("where={kind},rate=20");
        let keys = part(&summary, &name, "typists", "during", "(pass)");
        // Five typists at 20 keys per second for 2 s; the pauses between keys are drawn.
        let right = keys["ok"].as_u64().unwrap();
        assert!((100..400).contains(&right), "{keys}");
        assert_eq!((&keys["offered"], &keys["errors"], &keys["open"]), (&json!(right), &json!({}), &json!(0)), "{keys}");
        let target = &cell(&summary, &name)["targets"][0];
        assert_eq!(target["target"], kind);
        assert!(target["pss_bytes"]["mean"].as_f64() > Some(1e5), "five shells and who answers for them: {target}");
    }
    assert_eq!(engine.containers(), "");
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn what_is_missing_for_the_image_of_typing_is_said() {
    let place = Place::new();
    let output = typing_image(&place, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: image.sh NAME"), "{output:?}");

    // Of all programs there is only the one that it needs to find itself.
    let found = ["/bin/dirname", "/usr/bin/dirname"].map(PathBuf::from).into_iter().find(|p| p.exists()).expect("coreutils");
    std::os::unix::fs::symlink(found, place.path("dirname")).unwrap();
    let output = typing_image(&place, &["runner-typing"]).env("PATH", place.path("")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("busybox is not installed"), "{output:?}");
}

#[test]
fn without_an_engine_its_cells_are_skipped_loudly() {
    let place = scenario("runner-test-web:1", "amount: 1");
    let mut command = place.runner();
    command.env("DOCKER_HOST", "unix:///nonexistent/sock").env("PATH", "/nonexistent").args(["check", "test.yaml"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("SKIPPED") && said.contains("no container engine is available"), "{said}");
}
