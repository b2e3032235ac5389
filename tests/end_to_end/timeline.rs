//! Faults on the timeline, giving up early, and limits of resources, against real programs.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value as Json;

use crate::support::{Place, eventually, files};

/// Two servers behind a real haproxy that checks them, and an open load through it.
const BEHIND_HAPROXY: &str = "
experiment: test
window: 100ms
targets:
  web:
    command: [python3, server.py, '${[PORT1, PORT3][replica - 1]}']
    replicas: 2
    port: '${[PORT1, PORT3][replica - 1]}'
  proxy:
    after: web
    render: {haproxy.cfg: haproxy.cfg.j2}
    command: [haproxy, -db, -f, '${scratch}/haproxy.cfg']
    port: PORT2
    needs: haproxy
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    load: {open: {rate: 200, connections: 32}, duration: 4s}
    steps: [{get: /}]
";

/// A server that takes 30 ms for each request, so that the few milliseconds for which a busy machine delays some are no disturbance.
const SERVER: &str = r#"
import asyncio, sys

async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(0.03)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"#;

/// A server is out after two checks of 100 ms, and connections are retried on another one.
const HAPROXY: &str = "
defaults
  mode http
  timeout connect 200ms
  timeout client 2s
  timeout server 2s
  retries 3
  option redispatch
frontend in
  bind 127.0.0.1:PORT2
  default_backend all
backend all
  balance roundrobin
{% for address in targets.web.addresses %}  server s{{ loop.index }} {{ address }} check inter 100ms fall 2 rise 2
{% endfor %}";

fn behind_haproxy(rest: &str) -> Place {
    let mut place = Place::new();
    place.write("haproxy.cfg.j2", HAPROXY);
    place.write_as_is("server.py", SERVER);
    place.write("test.yaml", &format!("{BEHIND_HAPROXY}{rest}"));
    place
}

fn fault<'s>(status: &'s Json, name: &str) -> &'s Json {
    status["faults"].as_array().unwrap().iter().find(|fault| fault["fault"] == name).unwrap()
}

/// The median of a metric of a fault.
fn figure(place: &Place, fault: &str, metric: &str) -> f64 {
    let summary = place.summary();
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["workload"] == fault && m["metric"] == metric);
    found.unwrap_or_else(|| panic!("{metrics:?}"))["value"]["median"].as_f64().unwrap()
}

fn seconds(ns: &Json) -> f64 {
    ns.as_f64().unwrap() / 1e9
}

#[test]
fn haproxy_carries_on_when_a_server_dies_and_takes_it_back() {
    let place = behind_haproxy(
        "faults: [{at: 1s, kill: web.2, restart: 700ms}]
graphs: [{lines: throughput, x: time}]
repetitions: 5
expect: [{metric: recovery_time, of: kill-web-2, below: 1500ms}]
",
    );
    let outcome = place.run_test();
    let status = place.status("all/run1");
    assert_eq!(status["verdict"]["is"], "valid", "{status:#}");
    let killed = fault(&status, "kill-web-2");
    let (begun, ended) = (seconds(&killed["begun_ns"]), seconds(&killed["ended_ns"]));
    assert!((1.0..1.2).contains(&begun), "{killed}");
    assert!((0.7..1.7).contains(&(ended - begun)), "{killed}");
    let victim = status["targets"].as_array().unwrap().iter().find(|t| t["target"] == "web" && t["replica"] == 2).unwrap();
    assert_eq!((&victim["outcome"], &victim["killed"]), (&"killed-by-fault".into(), &false.into()), "{victim}");
    let recovery = figure(&place, "kill-web-2", "recovery_time");
    assert!((0.0..1.5).contains(&recovery), "{recovery}");
    assert!(figure(&place, "kill-web-2", "not_recovered").abs() < 1e-9);
    let events = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/events.jsonl")).unwrap();
    for event in ["fault", "killed", "started-again", "fault-over"] {
        assert!(events.contains(&format!("\"event\":\"{event}\"")), "{event}: {events}");
    }
    let outcome = outcome.expect(0);
    assert!(outcome.stdout.contains("recovery_time"), "{}", outcome.stdout);
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn a_server_that_stands_still_is_continued_and_what_it_delayed_is_measured() {
    let place = Place::with(
        "
experiment: test
window: 100ms
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 300, connections: 16}, duration: 4s}
    steps: [{get: /, timeout: 3s}]
faults: [{at: 1500ms, stop: web, for: 800ms}, {at: 3s, signal: USR1, target: web}]
repetitions: 1
",
    );
    let outcome = place.run_test();
    let status = place.status("all/run1");
    let paused = fault(&status, "stop-web");
    let lasted = seconds(&paused["ended_ns"]) - seconds(&paused["begun_ns"]);
    assert!((0.8..1.1).contains(&lasted), "{paused}");
    // The fixture has no handler for it, which ends a program: that is not what the scenario asked for.
    assert_eq!(status["verdict"]["is"], "failed", "{status:#}");
    assert!(status["verdict"]["reason"].as_str().unwrap().contains("was killed by signal 10"), "{status:#}");
    outcome.expect(4);
}

#[test]
fn a_pause_alone_is_a_valid_repetition_with_its_recovery() {
    let place = Place::with(
        "
experiment: test
window: 100ms
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 300, connections: 16}, duration: 4s}
    steps: [{get: /, timeout: 3s}]
faults: [{at: 1500ms, stop: web, for: 800ms, name: pause}]
repetitions: 4
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    let metrics = summary["cells"][0]["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|m| m["workload"] == "pause" && m["metric"] == "recovery_time").unwrap();
    let mut times: Vec<f64> = found["value"]["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    times.sort_by(f64::total_cmp);
    // A machine that is busy itself makes a recovery longer, and never shorter.
    assert!(times[0] >= 0.8 && times[0] < 1.1 && times.len() == 4, "{times:?}");
}

#[test]
fn what_never_recovers_is_said() {
    let place = Place::with(
        "
experiment: test
window: 100ms
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 100, connections: 4}, duration: 2500ms}
    steps: [{get: /}]
faults: [{at: 1s, kill: web}]
repetitions: 5
expect: [{metric: recovery_time, of: kill-web, below: 1h}]
",
    );
    let outcome = place.run_test().expect(3);
    assert!((figure(&place, "kill-web", "not_recovered") - 100.0).abs() < 1e-9);
    let bound = figure(&place, "kill-web", "recovery_time");
    assert!((1.4..1.51).contains(&bound), "{bound}");
    let said = outcome.flat();
    assert!(said.contains("the load had not recovered when it ended"), "{said}");
    assert!(said.contains("NOT RECOVERED: after kill-web in 5 of 5 repetitions"), "{said}");
}

#[test]
fn a_target_that_dies_unasked_still_fails_the_repetition() {
    let place = Place::with(
        "
experiment: test
targets:
  web: {fixture: null-server, port: PORT1}
  other: {shell: 'echo up; sleep 1.2; exit 3', ready: {log: up}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, duration: 3s}
    steps: [{get: /}]
faults: [{at: 500ms, stop: web, for: 200ms}]
repetitions: 1
",
    );
    place.run_test().expect(4);
    let status = place.status("all/run1");
    assert!(status["verdict"]["reason"].as_str().unwrap().contains("other ended with exit code 3"), "{status:#}");
}

#[test]
fn a_load_on_a_server_that_hangs_is_given_up() {
    let place = Place::with(
        "
experiment: test
window: 200ms
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 200, connections: 8}, duration: 12s}
    steps: [{get: /, timeout: 1s}]
faults: [{at: 1s, stop: web, for: 10s}]
abort: {errors: '> 20%', for: 2s}
repetitions: 1
",
    );
    let begun = std::time::Instant::now();
    place.run_test().expect(4);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let status = place.status("all/run1");
    assert!(status["verdict"]["reason"].as_str().unwrap().contains("were not answered as expected"), "{status:#}");
    place.assert_cleared(Duration::from_secs(5));
}

#[test]
fn a_link_changes_while_it_is_used() {
    for (mechanism, fault, least) in [("relay", "delay: 60ms", 0.05), ("nfqueue", "cut: true", 0.9), ("relay", "cut: true", 0.9)]
    {
        let place = Place::with(&format!(
            "
experiment: test
window: 100ms
targets: {{web: {{fixture: null-server, port: PORT1, args: [--host, 0.0.0.0]}}}}
links: {{wan: {{to: web, delay: 2ms, mechanism: {mechanism}, tolerance: {{delay: 50ms}}}}}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {{open: {{rate: 100, connections: 64}}, duration: 7s}}
    steps: [{{get: /, timeout: 3s}}]
faults: [{{at: 1s, link: wan, {fault}, for: 1s, name: slow}}]
record: {{requests: true}}
repetitions: 1
"
        ));
        place.run_test().expect(0);
        let summary = place.summary();
        let max = &crate::load::part(&summary, "all", "clients", "during", "(pass)")["response_ns"]["max"];
        let slowest = max.as_f64().map_or_else(|| panic!("{summary:#}"), |ns| ns / 1e9);
        // TCP tries again after a second, and then after two.
        assert!((least..3.5).contains(&slowest), "{mechanism} {fault}: {slowest}");
        // What was sent last through a cut link is answered with the next attempt of TCP, up to 1.4 s after the link is back.
        let recovery = figure(&place, "slow", "recovery_time");
        assert!((0.9..3.0).contains(&recovery), "{mechanism} {fault}: {recovery}");
        place.assert_cleared(Duration::from_secs(5));
    }
}

#[test]
fn a_full_scratch_file_system_is_full_for_as_long_as_was_asked() {
    let place = Place::with(
        "
experiment: test
window: 100ms
scratch: {tmpfs: 4MiB}
targets:
  web: {fixture: null-server, port: PORT1}
  writer:
    shell: 'echo up; while :; do if head -c 4096 /dev/zero >> ${scratch}/part; then echo wrote; else echo full; fi; sleep 0.05; done 2>/dev/null'
    ready: {log: up}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, duration: 3s}
    steps: [{get: /}]
faults: [{at: 1s, fill: scratch, for: 1s}]
repetitions: 1
",
    );
    place.run_test().expect(0);
    let log = place.run_directory("test").join("cells/all/run1/logs");
    let log = files(&log).into_iter().find(|name| name.starts_with("writer") && name.ends_with("out")).unwrap();
    let text = std::fs::read_to_string(place.run_directory("test").join("cells/all/run1/logs").join(log)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines.iter().position(|l| *l == "full"), lines.iter().rposition(|l| *l == "full"));
    let (first, last) = first.zip(last).unwrap_or_else(|| panic!("{text}"));
    assert!(lines[..first].contains(&"wrote") && lines[last..].contains(&"wrote"), "{text}");
    assert!(last - first > 5, "{text}");
}

#[test]
fn a_hopeless_repetition_is_given_up_and_the_run_goes_on() {
    let place = Place::with(
        "
experiment: test
factors: {case: [sick, sound]}
order: rounds
layout: ${case}
window: 100ms
repetitions: 1
targets: {web: {fixture: null-server, port: PORT1}}
faults: [{when: \"${case == 'sick'}\", at: 500ms, kill: web}]
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 200, connections: 4}, duration: \"${{'sick': '60s', 'sound': '1s'}[case]}\"}
    steps: [{get: /}]
abort: {errors: '> 20%', for: 1s}
",
    );
    let begun = std::time::Instant::now();
    place.run_test();
    assert!(begun.elapsed() < Duration::from_secs(30), "it was not given up: {:?}", begun.elapsed());
    let sick = place.status("sick/run1");
    let reason = sick["verdict"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("given up because of `abort`"), "{sick:#}");
    assert!(reason.contains("passes of `clients` in the last 1.00 s were not answered as expected"), "{reason}");
    assert_eq!(place.status("sound/run1")["verdict"]["is"], "valid");
    let kept = files(&place.run_directory("test").join("cells/sick/run1"));
    assert!(kept.iter().any(|name| name == "windows.parquet"), "{kept:?}");
    assert!(sick["phases"][0]["errors"].as_u64().unwrap() > 100, "{sick:#}");
}

#[test]
fn redis_that_exceeds_its_memory_is_killed_by_the_kernel_and_the_status_says_so() {
    let place = Place::with(
        "
experiment: test
targets:
  redis:
    command: [redis-server, --port, 'PORT1', --bind, 127.0.0.1, --save, '', --dir, '${scratch}']
    port: PORT1
    needs: redis-server
    resources: {memory: 24MiB, cpu: 0.5}
workloads:
  clients:
    redis: {to: '127.0.0.1:PORT1'}
    load: {closed: {connections: 2}, duration: 20s}
    steps: [{set: 'key:${id}', value: {random: 64KiB}}]
repetitions: 1
",
    );
    let outcome = place.run_test();
    if outcome.flat().contains("cannot be limited here") {
        return;
    }
    outcome.expect(4);
    let status = place.status("all/run1");
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("redis was killed by the kernel: it exceeded its memory limit of 24.0 MiB"), "{reason}");
    let redis = &status["targets"][0];
    assert_eq!(redis["outcome"], "out-of-memory", "{redis}");
    assert!(redis["ended"].as_str().unwrap().contains("exceeded its memory limit"), "{redis}");
    assert!(redis["resources"]["oom_kills"].as_u64().unwrap() >= 1, "{redis}");
    // Some kernels do not count them in version 1.
    assert!(redis["resources"]["memory_limit_hits"].as_u64().is_none_or(|hits| hits >= 1), "{redis}");
    assert!(groups().is_empty(), "{:?}", groups());
}

/// Control groups of any run.
fn groups() -> Vec<String> {
    fn below(path: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("runner-") {
                    found.push(entry.path().display().to_string());
                }
                below(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    below(Path::new("/sys/fs/cgroup"), &mut found);
    found
}

#[test]
fn a_processor_limit_throttles_and_its_group_is_gone_even_after_a_kill() {
    let scenario = "
experiment: test
targets: {web: {shell: 'echo up; while :; do :; done', ready: {log: up}, resources: {cpu: 0.2}}, far: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1, think: {constant: 10ms}}, duration: LENGTH}
    steps: [{get: /}]
limits: {silence: 100%, open: 100%}
repetitions: 1
";
    let place = Place::with(&scenario.replace("LENGTH", "2s"));
    let outcome = place.run_test();
    if outcome.flat().contains("cannot be limited here") {
        return;
    }
    outcome.expect(0);
    let summary = place.summary();
    let web = summary["cells"][0]["targets"].as_array().unwrap().iter().find(|t| t["target"] == "web").unwrap().clone();
    let cores = web["cpu_cores"]["median"].as_f64().unwrap();
    assert!((0.1..0.3).contains(&cores), "{web}");
    let status = place.status("all/run1");
    let limited = status["targets"].as_array().unwrap().iter().find(|t| t["target"] == "web").unwrap();
    assert!(seconds(&limited["resources"]["throttled_ns"]) > 0.5, "{limited}");
    assert!(limited["resources"]["by"].as_str().unwrap().starts_with("cgroup v"), "{limited}");

    let place = Place::with(&scenario.replace("LENGTH", "60s"));
    let started = place.start(&["run", "test.yaml"]);
    let mine = eventually("the group of the target", || {
        let run = std::fs::read_dir("/run/runner").ok()?.flatten().count();
        Some(groups()).filter(|groups| run > 0 && !groups.is_empty())
    });
    started.signal(Signal::KILL);
    eventually("the end of the group", || {
        let left = groups();
        mine.iter().all(|group| !left.contains(group)).then_some(())
    });
    place.assert_cleared(Duration::from_secs(10));
}

#[test]
fn a_target_that_dies_of_its_limit_before_it_is_ready_says_so() {
    let place = Place::with(
        "
experiment: test
targets: {redis: {command: [redis-server, --port, 'PORT1', --save, ''], port: PORT1, needs: redis-server, resources: {memory: 1MiB}}}
workloads:
  clients:
    redis: {to: '127.0.0.1:PORT1'}
    load: {closed: {connections: 1}, amount: 10}
    steps: [{set: a, value: {text: b}}]
repetitions: 1
",
    );
    let outcome = place.run_test();
    if outcome.flat().contains("cannot be limited here") {
        return;
    }
    let status = place.status("all/run1");
    let reason = status["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains("1.00 MiB"), "{reason}");
    assert!(
        reason.contains("before it was ready: it exceeded its memory limit") || reason.contains("too little to start"),
        "{reason}"
    );
}

#[test]
fn more_than_the_machine_has_skips_the_cell_with_the_reason() {
    let place = Place::with(
        "
experiment: test
factors: {cpus: [1, 5000]}
targets: {web: {fixture: null-server, port: PORT1, resources: {cpu: '${cpus}'}}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 10}
    steps: [{get: /}]
repetitions: 1
",
    );
    let outcome = place.run_test();
    let said = outcome.flat();
    assert!(said.contains("`web` may use 5000 processors, and this machine has"), "{said}");
}
