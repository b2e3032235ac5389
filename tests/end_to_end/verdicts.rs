//! What becomes of a repetition: valid, invalid or failed; and that only what is valid counts.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::{Place, listing};

/// A server of which the first HEALTHY answers are right and all others wrong; one of them is the checked pass.
const FAULTY: &str = "
experiment: test
repetitions: 2
layout: all
LIMITS
targets:
  web: {fixture: faulty, args: [--mode, status-500, --healthy, HEALTHY], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, LOAD}
    steps: [{get: /}]
";

fn faulty(limits: &str, healthy: u32, load: &str) -> Place {
    Place::with(&FAULTY.replace("LIMITS", limits).replace("HEALTHY", &healthy.to_string()).replace("LOAD", load))
}

#[track_caller]
fn reasons(place: &Place, repetition: &str) -> String {
    let verdict = place.status(repetition)["verdict"].clone();
    assert_eq!(verdict["is"], "invalid", "{verdict}");
    verdict["reasons"].to_string()
}

fn repetitions(place: &Place) -> Json {
    place.summary()["cells"][0]["repetitions"].clone()
}

#[test]
fn too_many_errors_make_a_repetition_invalid() {
    // 2 of 100 are wrong: more than the 1 % of the default.
    let place = faulty("", 1 + 98, "amount: 100");
    let outcome = place.run_test().expect(4);
    let outcome = outcome.complains(&["all", "INVALID: 2 of 100 passes of `clients` in `during`", "the limit is 1"]);
    for repetition in ["all/run1", "all/run2"] {
        assert!(reasons(&place, repetition).contains("2 of 100 passes"), "{repetition}");
    }
    let found = repetitions(&place);
    assert_eq!((&found["valid"], &found["invalid"], &found["failed"]), (&json!(0), &json!(2), &json!(0)));
    assert!(
        outcome.flat().contains("INVALID 2 of 2: 2 of 100 passes of `clients` in `during`"),
        "the end of the run says it, too:\n{}",
        outcome.stdout
    );
}

#[test]
fn few_errors_are_told_and_counted() {
    // 1 of 100 is as much as the default allows.
    let place = faulty("", 1 + 99, "amount: 100");
    place.run_test().expect(0).complains(&["1 ERRORS"]);
    let summary = place.summary();
    let whole = &summary["cells"][0]["steps"][0];
    assert_eq!((&whole["requests"], &whole["ok"], &whole["errors"]), (&json!(200), &json!(198), &json!({"wrong-status": 2})));
    assert_eq!(repetitions(&place)["valid"], 2);
}

#[test]
fn the_limit_on_errors_may_be_set() {
    for (limit, healthy, code) in [("10%", 1 + 90, 0), ("10%", 1 + 89, 4), ("0%", 1 + 100, 0), ("0%", 1 + 99, 4), ("100%", 1, 0)]
    {
        let place = faulty(&format!("limits: {{errors: {limit}}}"), healthy, "amount: 100");
        let outcome = place.run_test().expect(code);
        assert_eq!(
            outcome.stderr.contains(&format!("the limit is {}", limit.trim_end_matches('%'))),
            code == 4,
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn errors_of_the_warm_up_do_not_count() {
    // The server fails in the first requests of each of its lives: the file says how often it was asked.
    let place = Place::with(
        "
experiment: test
layout: all
workloads:
  tool:
    command: [sh, -c, 'echo >> DIR/asked; test $(wc -l < DIR/asked) -gt 10']
    load: {closed: {connections: 1}, amount: 20, warm-up: {amount: 10}}
",
    );
    place.run_test().expect(0);
    let phases = place.status("all/run1")["phases"].clone();
    assert_eq!((&phases[0]["phase"], &phases[0]["errors"]), (&json!("warm-up"), &json!(10)));
    assert_eq!((&phases[1]["phase"], &phases[1]["errors"]), (&json!("during"), &json!(0)));
    assert_eq!(repetitions(&place)["valid"], 1);
}

#[test]
fn only_valid_repetitions_count() {
    // The value is 10, but in the third repetition, which has an error, 1000; the fifth one has no load at all.
    let place = Place::with(
        "
experiment: test
repetitions: 6
layout: all
set-up: {repetition: [{shell: 'test ${repetition} != 5'}]}
workloads:
  tool:
    command: [sh, -c, 'echo $((${repetition} == 3 ? 1000 : 10)); test ${repetition}/${pass} != 3/0']
    load: {closed: {connections: 1}, amount: 5}
    metrics: {n: {regex: '([0-9]+)'}}
expect: [{metric: n, below: 1000}]
",
    );
    let outcome = place.run_test().expect(4).complains(&["all #3  INVALID: ", "all #5  FAILED: "]);
    let found = repetitions(&place);
    let counts = ["planned", "valid", "invalid", "failed"].map(|key| found[key].as_u64().unwrap());
    assert_eq!((counts, &found["counted"]), ([6, 4, 1, 1], &json!([1, 2, 4, 6])));
    let reasons = found["reasons"].to_string();
    assert!(reasons.contains("1 of 5 passes of `tool`") && reasons.contains("set-up"), "{reasons}");
    let summary = place.summary();
    let n = summary["cells"][0]["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "n").unwrap();
    assert_eq!(n["value"]["values"], json!([10.0, 10.0, 10.0, 10.0]));
    let numbers: Vec<&Json> =
        summary["cells"][0]["steps"][0]["by_repetition"].as_array().unwrap().iter().map(|r| &r["repetition"]).collect();
    assert_eq!(numbers, [1, 2, 4, 6]);
    assert_eq!(summary["cells"][0]["steps"][0]["requests"], 20);
    // Nothing is thrown away.
    let folder = place.run_directory("test").join("cells/all");
    assert_eq!(listing(&folder), ["run1", "run2", "run3", "run4", "run5", "run6"]);
    assert!(folder.join("run3/windows.parquet").is_file());
    assert_eq!(summary["expectations"][0]["outcome"], "inconclusive", "four are too few");
    for part in ["INVALID 1 of 6: ", "FAILED 1 of 6: ", "repetitions #3\n", "repetitions #5\n"] {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn a_dead_target_fails_its_repetition() {
    let place = Place::with(
        "
experiment: test
repetitions: 2
layout: all
targets:
  web: {fixture: faulty, args: \"${['--mode', 'ok', '--exit-after', '20']}\", port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1000}
    steps: [{get: /}]
expect: [{metric: throughput, above: 1/s}]
",
    );
    place.run_test().expect(4).complains(&["FAILED: ", "web ended with exit code 3 while it was needed"]);
    let found = repetitions(&place);
    assert_eq!((&found["valid"], &found["failed"]), (&json!(0), &json!(2)));
    let finding = place.summary()["expectations"][0].clone();
    assert_eq!((&finding["outcome"], &finding["words"]), (&json!("inconclusive"), &json!("no valid repetition")));
    place.assert_cleared(Duration::ZERO);
}

/// A shell that does nothing, and that as fast as it can; ended when dropped, and by itself after some seconds.
struct Busy(std::process::Child);

impl Busy {
    fn start() -> Self {
        let mut command = Command::new("timeout");
        command.args(["5", "sh", "-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().expect("coreutils are installed"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // `timeout` hands the signal on to its child, which SIGKILL would leave running.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn host(limits: &str, load: &str) -> Place {
    Place::with(
        &"
experiment: test
layout: all
limits: LIMITS
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 200/s}, LOAD}
    steps: [{get: /}]
"
        .replace("LIMITS", limits)
        .replace("LOAD", load),
    )
}

#[test]
fn a_busy_host_makes_a_repetition_invalid() {
    // One busy shell is at least a share of 1 in all processors; others may be busy, too, but take it from the experiment.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = 20.0 / cores as f64;
    let place = host(&format!("{{host-load: {limit:.3}%}}"), "duration: 1s");
    let busy = Busy::start();
    let outcome = place.run_test();
    drop(busy);
    let outcome = outcome.expect(4);
    outcome
        .complains(&["INVALID: programs outside the experiment used", "of the processors' time during the load, the limit is"]);
    let found = repetitions(&place);
    assert_eq!((&found["valid"], &found["invalid"]), (&json!(0), &json!(1)));
}

#[test]
fn what_the_experiment_uses_itself_is_no_load_of_others() {
    // The target is as busy as can be, and nobody else may use much more than that.
    let place = Place::with(
        "
experiment: test
layout: all
limits: {host-load: 99%, host-steal: 99%}
targets:
  busy: {shell: 'echo up; while :; do :; done', ready: {log: up}, stop: {grace: 10ms}}
workloads:
  tool: {command: [sleep, '0.7'], load: {closed: {connections: 1}, amount: 1}}
",
    );
    place.run_test().expect(0);
    let target = place.summary()["cells"][0]["targets"][0].clone();
    assert!(target["cpu_cores"]["median"].as_f64().unwrap() > 0.2, "{target:#}");
}

#[test]
fn short_loads_say_nothing_of_the_host() {
    // The kernel counts in steps of 10 ms, so the share of a few of them is no number.
    let place = host("{host-load: 0%, host-steal: 0%}", "duration: 100ms");
    place.run_test().expect(0);
    assert_eq!(repetitions(&place)["valid"], 1);
}

/// Without the files, as in many virtual machines, the limits could not be watched, and that is said.
#[test]
fn what_held_the_host_up_is_judged_where_the_kernel_tells_it() {
    let cpu0 = std::path::Path::new("/sys/devices/system/cpu/cpu0/cpufreq");
    let place = host("{host-pressure-cpu: 0%, host-frequency: 100000%, host-throttled: any}", "duration: 1s");
    let pressure = match std::fs::read("/proc/pressure/cpu").is_ok() {
        true => "some task was ready and had no processor in",
        false => "what `host-pressure-cpu` limits could not be watched",
    };
    let frequency = match cpu0.exists() {
        true => "of their highest frequency, the limit is 100000 %",
        false => "what `host-frequency` limits could not be watched",
    };
    place.run_test().expect(4).complains(&[pressure, frequency]);
    let watched = place.status("all/run1")["host"]["watched"].clone();
    for share in watched.as_object().unwrap().iter().filter(|(key, _)| key.ends_with("pressure_some_share")) {
        assert!((0.0..=1.0).contains(&share.1.as_f64().unwrap()), "{watched:#}");
    }
    // The limits that are there by default are none that cannot be watched.
    let place = host("{}", "duration: 1s");
    place.run_test();
    let complaints = repetitions(&place);
    assert!(!complaints.to_string().contains("could not be watched"), "{complaints:#}");
}

#[test]
fn a_saturated_generator_is_said() {
    let place = host("{generator-cpu: 0.001%}", "duration: 300ms");
    place.run_test().expect(4).complains(&["INVALID: the generator of `clients` used ", "the limit is 0"]);
}

#[test]
fn an_open_loop_that_lags_is_invalid() {
    // The server takes 20 ms, so one connection cannot send 200 per second.
    let place = Place::with(
        "
experiment: test
layout: all
limits: {lag-p99: 10ms}
targets:
  web: {fixture: faulty, args: [--mode, slow, --delay-ms, 20], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {open: {rate: 200/s, connections: 1}, duration: 300ms}
    steps: [{get: /}]
",
    );
    place.run_test().expect(4).complains(&["INVALID: ", "the schedule lag of `clients`", "at p99, the limit is 10"]);
}

// ---- steady state

#[test]
fn a_steady_state_may_be_asked_for() {
    for (load, rest) in [
        ("closed: {connections: 1}, duration: 5s, warm-up: auto", ""),
        ("closed: {connections: 1}, duration: 1s, warm-up: auto", "window: 100ms"),
        ("open: {rate: 100/s}, duration: 30s, warm-up: auto", "limits: {steady-state: true}"),
        ("closed: {connections: 1}, duration: 30s", "limits: {steady-state: false}"),
        ("closed: {connections: 1}", "phases: {warm-up: auto, during: 30s, after: 5s}"),
    ] {
        let place = Place::with(&format!(
            "
experiment: test
{rest}
workloads:
  clients:
    url: http://127.0.0.1:8000
    load: {{{load}}}
    steps: [{{get: /}}]
"
        ));
        place.run(&["check", "test.yaml"]).expect(0);
    }
}
