//! What goes wrong: each fault is named, costs only what it touches, and is never counted as success.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value as Json, json};

use crate::server::Server;
use crate::support::{Place, connections, files, listing};

/// A cell whose target has `ARGS` as arguments, and then one whose target is well.
const SICK: &str = "
experiment: test
factors: {case: [sick, sound]}
order: rounds
layout: ${case}
let:
  args: {sound: [--mode, ok], sick: [ARGS]}
  amounts: {sound: 10, sick: AMOUNT}
  patience: {sound: 30s, sick: PATIENCE}
targets:
  web: {fixture: faulty, args: \"${args[case]}\", port: PORT1, ready: {PROBE, timeout: \"${patience[case]}\"}, stop: {grace: 300ms}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: \"${amounts[case]}\"}
    steps: [{get: /, expect: {length: 12}}]
";

/// [`SICK`] with these arguments, other words put in, and something behind it.
fn sick_but(args: &str, words: &[(&str, &str)], behind: &str) -> Place {
    let mut scenario = format!("{}{behind}", SICK.replace("ARGS", args));
    for (word, with) in words.iter().chain(&[("AMOUNT", "1"), ("PATIENCE", "30s"), ("PROBE", "tcp: PORT1")]) {
        scenario = scenario.replace(word, with);
    }
    Place::with(&scenario)
}

fn sick(args: &str) -> Place {
    sick_but(args, &[], "")
}

/// Runs [`SICK`]: the first cell fails for these reasons, the other one is as it should be, and nothing is left.
#[track_caller]
fn fails_because(place: &Place, reasons: &[&str]) {
    let outcome = place.run_test().expect(4).complains(&["[1/2] case=sick #1  FAILED", "[2/2] case=sound #1"]);
    let verdict = place.status("sick/run1")["verdict"].clone();
    assert_eq!(verdict["is"], "failed");
    let reason = verdict["reason"].as_str().unwrap();
    for part in reasons {
        assert!(reason.contains(part), "`{part}` is not in: {reason}");
        assert!(outcome.stderr.contains(part), "`{part}` is not said: {}", outcome.stderr);
    }
    assert_eq!(place.status("sound/run1")["verdict"]["is"], "valid");
    let summary = place.summary();
    let [sick, sound] = [0, 1].map(|cell| &summary["cells"][cell]["repetitions"]);
    assert_eq!((&sick["failed"], &sick["valid"], &sick["reasons"][0][1]), (&json!(1), &json!(0), &json!(reason)));
    assert_eq!((&sound["failed"], &sound["valid"]), (&json!(0), &json!(1)));
    assert!(outcome.stdout.contains(reasons[0]), "`{}` is not in the table: {}", reasons[0], outcome.stdout);
    place.assert_cleared(Duration::ZERO);
}

// ---- scenario files: that every mistake is named is shown in `mistakes`

#[test]
fn a_wrong_scenario_starts_nothing() {
    let place = Place::with("experiment: test\nworkload: {}\n");
    place.run_test().expect(2).complains(&["unknown key `workload`", "test.yaml:2:1", "did you mean `workloads`?"]);
    place.run(&["run", "no-such-file.yaml"]).expect(2).complains(&["cannot read no-such-file.yaml"]);
    assert_eq!(files(&place.path("")), ["test.yaml"]);
}

#[test]
fn a_program_that_is_not_installed_is_a_mistake() {
    let place = sick("--mode, ok");
    let text = std::fs::read_to_string(place.path("test.yaml")).unwrap();
    let text = text.replace("fixture: faulty", "command: [no-such-program]");
    std::fs::write(place.path("test.yaml"), text).unwrap();
    place.run_test().expect(2).complains(&["no-such-program", "is not installed", "needs: no-such-program"]);
    assert!(!place.path("results").exists());
}

/// The largest peak memory of any child so far that has ended, in KiB.
fn peak_of_children_kib() -> i64 {
    // SAFETY: all zeroes is a valid `rusage`, and the pointer to it is valid for the call.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage.ru_maxrss
    }
}

/// A file that nobody wrote by hand is refused, at once and without taking the machine's memory.
#[track_caller]
fn refused(name: &str, bytes: &[u8], part: &str) {
    let place = Place::new();
    std::fs::write(place.path(name), bytes).unwrap();
    let outcome = place.run(&["run", name]).expect(2).complains(&[part, name]);
    let (peak_kib, took) = (peak_of_children_kib(), outcome.took);
    assert!(peak_kib < 100 * 1024, "{peak_kib} KiB");
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(!place.path("results").exists());
}

#[test]
fn a_huge_scenario_is_refused() {
    let line = "# a comment that nobody has written\n";
    let text = format!("experiment: test\n{}", line.repeat(10_000_000 / line.len()));
    refused("huge.yaml", text.as_bytes(), "bytes long");
    let text = format!("experiment: test\nfactors: {{number: [{}1]}}\n", "1, ".repeat(300_000));
    refused("long.yaml", text.as_bytes(), "mistake");
}

#[test]
fn a_scenario_that_is_no_text_is_refused() {
    refused("latin.yaml", b"experiment: test\nquestion: caf\xe9?\n", "UTF-8");
    refused("zeroes.yaml", &[0; 4096], "mistake");
}

#[test]
fn a_bomb_is_refused() {
    let mut text = "experiment: test\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let aliases = format!("*a{}, ", i - 1).repeat(10);
        text += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    refused("bomb.yaml", text.as_bytes(), "mistake");
    refused("deep.yaml", "[".repeat(100_000).as_bytes(), "mistake");
}

// ---- targets

#[test]
fn a_port_that_is_taken_is_named_with_its_holder() {
    let mut place = sick("--mode, ok");
    let port = place.port(1);
    let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let name = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let holder = format!("pid {}", std::process::id());
    let outcome = place.run_test().expect(4);
    let outcome = outcome.complains(&[&format!("port {port}, which `web` needs, is taken by {holder}"), &name]);
    assert!(outcome.stderr.contains("[2/2]"), "the run goes on: {}", outcome.stderr);
    let reason = place.status("sick/run1")["verdict"]["reason"].clone();
    assert!(reason.as_str().unwrap().contains(&holder), "{reason}");
}

/// A server that shares its port (`SO_REUSEPORT`) would let two runs serve each other's load.
#[test]
fn a_port_that_another_run_uses_is_not_shared() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let mut place = sick("--mode, ok");
    let port = place.port(1);
    let name = SocketAddr::from_abstract_name(format!("runner-port-{port}")).unwrap();
    let _other_run = UnixDatagram::bind_addr(&name).unwrap();
    let taken = format!("port {port}, which `web` needs, is taken by another run of runner (pid {})", std::process::id());
    place.run_test().expect(4).complains(&[&taken]);
}

#[test]
fn a_target_that_exits_at_once_fails_its_repetition() {
    let place = sick("--mode, ok, --exit-at-start, --exit-code, 7");
    fails_because(&place, &["web ended with exit code 7 before it was ready", "cannot go on"]);
}

#[test]
fn a_target_that_never_becomes_ready_fails_its_repetition() {
    let mut place = sick_but("--mode, ok, --never-listen", &[("PATIENCE", "300ms")], "");
    let port = place.port(1);
    let refused = format!("127.0.0.1:{port}: Connection refused");
    fails_because(&place, &["web was not ready within 300ms", &refused, "; `ready: {timeout: 1m}` waits longer"]);
    // Much less than the 10 s that a target has by default.
    let took = place.status("sick/run1")["timings"]["target_start_ns"].clone();
    assert!(took.as_u64().unwrap() < 5_000_000_000, "{took}");
}

#[test]
fn a_target_that_answers_wrongly_is_not_ready() {
    let place = sick_but("--mode, status-500", &[("PATIENCE", "300ms"), ("PROBE", "http: /health")], "");
    fails_because(&place, &["web was not ready within 300ms", "/health answered 500"]);
}

/// A status that is an error elsewhere may be what says that a server is there.
#[test]
fn any_status_may_mean_ready() {
    let of = |status: &str| {
        let probe = format!("http: /health, status: {status}");
        sick_but("--mode, status-500", &[("PATIENCE", "300ms"), ("PROBE", &probe)], "")
    };
    for status in ["[200, 500]", "[404, 500, 200]"] {
        let place = of(status);
        place.run_test().expect(4).complains(&["answered 500 instead of 2xx"]);
        let reason = place.status("sick/run1")["verdict"]["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("the checked pass before the load failed"), "it was ready: {reason}");
    }
    fails_because(&of("[200, 503]"), &["web was not ready within 300ms", "/health answered 500, expected 200 or 503"]);
}

#[test]
fn a_target_that_ends_under_load_fails_its_repetition() {
    let place = sick_but("--mode, ok, --exit-after, 50", &[("AMOUNT", "1000000000")], "");
    fails_because(&place, &["web ended with exit code 3 while it was needed", "giving up after 50 requests"]);
}

#[test]
fn the_end_of_a_target_is_noticed_at_once() {
    // The best of three tries: what else this machine does is no fault of the runner's.
    let mut place = Place::with(
        "
experiment: test
repetitions: 3
targets:
  web: {fixture: faulty, args: [--mode, slow, --delay-ms, 20], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, duration: 60s, warm-up: {amount: 1}}
    steps: [{get: /}]
set-up: {load: [{shell: \"echo ${repetition} >> DIR/loading\"}]}
",
    );
    let port = place.port(1);
    let mut started = place.start(&["run", "--json", "test.yaml"]);
    let mut took = Vec::new();
    for repetition in 1..=3 {
        started.until("the load begins", || (place.lines("loading").len() == repetition).then_some(()));
        started.until("the load goes on", || (connections(port) == 2).then_some(()));
        let target = place.process("faulty");
        let killed = Instant::now();
        target.signal(Signal::KILL);
        started.until_said("repetition-ends", repetition);
        took.push(killed.elapsed());
    }
    started.wait().expect(4);
    for repetition in 1..=3 {
        let status = place.status(&format!("all/run{repetition}"));
        let reason = status["verdict"]["reason"].as_str().unwrap();
        assert!(reason.contains("web was killed by SIGKILL while it was needed"), "{reason}");
        assert_eq!(status["targets"][0]["ended"], "was killed by SIGKILL");
    }
    assert!(took.iter().min().unwrap() < &Duration::from_millis(300), "{took:?}");
}

#[test]
fn a_target_that_does_not_listen_is_killed_after_its_grace() {
    let place = sick("--mode, ok, --ignore-term, --children, 1");
    place.run_test().expect(0);
    let [sick, sound] = ["sick", "sound"].map(|cell| place.status(&format!("{cell}/run1")));
    assert_eq!((&sick["targets"][0]["killed"], &sound["targets"][0]["killed"]), (&json!(true), &json!(false)));
    let stop = sick["timings"]["target_stop_ns"].as_u64().unwrap();
    assert!((300_000_000..4_000_000_000).contains(&stop), "{stop} ns for a grace of 300 ms");
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn children_end_with_their_target() {
    let place = sick("--mode, ok, --children, 3");
    place.run_test().expect(0);
    let status = place.status("sick/run1");
    assert_eq!((&status["targets"][0]["killed"], &status["left_behind"]), (&json!(false), &json!([])));
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn grandchildren_that_have_escaped_end_too() {
    // They have sessions of their own and a dead parent, and one kind of them does not listen either.
    for (ignore, killed) in [("", false), (", --ignore-term", true)] {
        let wait = "set-up: {load: [{shell: \"until test -e DIR/seen; do sleep 0.01; done\"}]}\n";
        let place = sick_but(&format!("--mode, ok, --children, 2, --escape{ignore}"), &[], wait);
        let mut started = place.start(&["run", "test.yaml"]);
        let escaped = || {
            place
                .processes()
                .iter()
                .filter(|p| p.command.ends_with(" sleeper") || p.command.contains(" sleeper --ignore"))
                .count()
        };
        started.until("two have escaped", || (escaped() == 2).then_some(()));
        std::fs::write(place.path("seen"), "").unwrap();
        started.wait().expect(0);
        assert_eq!(place.status("sick/run1")["targets"][0]["killed"], killed);
        place.assert_cleared(Duration::ZERO);
    }
}

#[test]
fn a_target_that_cannot_be_executed_fails_its_repetition() {
    let place = sick_but("x", &[("fixture: faulty", "command: [DIR/program]")], "");
    std::fs::write(place.path("program"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(place.path("program"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place.run_test().expect(4).complains(&["FAILED: cannot start `", "/program x`: "]);
}

// ---- set-up

#[test]
fn a_set_up_step_that_fails_is_named() {
    let place = sick_but("--mode, ok", &[], "set-up: {repetition: [{shell: \"echo no disk here >&2; test ${case} = sound\"}]}\n");
    fails_because(&place, &["the set-up, repetition step", "ended with exit code 1", "no disk here"]);
}

#[test]
fn a_set_up_step_that_takes_too_long_is_ended() {
    let place =
        sick_but("--mode, ok", &[], "set-up: {repetition: [{shell: \"test ${case} = sound || sleep 60\", timeout: 200ms}]}\n");
    fails_because(&place, &["the set-up, repetition step", "took longer than 200ms"]);
}

#[test]
fn what_a_step_leaves_in_the_background_ends() {
    let place = sick_but("--mode, ok", &[], "set-up: {run: [{shell: \"sleep 77 & setsid sleep 78 & sleep 0.05\"}]}\n");
    place.run_test().expect(0);
    place.assert_cleared(Duration::ZERO);
}

// ---- answers

#[test]
fn a_wrong_answer_before_the_load_fails_the_repetition() {
    let place = sick("--mode, status-500");
    fails_because(&place, &["the checked pass before the load failed", "GET / answered 500 instead of 2xx"]);
    let place = sick("--mode, wrong-length");
    fails_because(&place, &["the checked pass before the load failed", "GET / answered 5 bytes instead of 12"]);
}

/// Every answer behind the checked pass is wrong in this way: the outcome under which it must be counted, and words.
const WRONG: [(&str, &str, &str); 7] = [
    ("status-500", "wrong-status", "GET / answered 500 instead of 2xx"),
    ("wrong-length", "wrong-length", "GET / answered 5 bytes instead of 12"),
    ("short-body", "short-body", "GET /"),
    ("garbage", "garbage", "GET /"),
    ("reset", "reset", "GET /"),
    ("silent", "timeout", "no answer within 200"),
    ("slow", "timeout", "no answer within 200"),
];

#[test]
fn wrong_answers_are_counted_by_kind_and_never_as_success() {
    let place = Place::with(
        "
experiment: test
limits: {errors: 100%}
factors: {mode: [status-500, wrong-length, short-body, garbage, reset, silent, slow]}
order: rounds
layout: ${mode}
targets:
  web: {fixture: faulty, args: [--mode, \"${mode}\", --healthy, 2, --delay-ms, 10000], port: PORT1, stop: {grace: 100ms}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    timeout: \"${'200ms' if mode in ['silent', 'slow'] else '30s'}\"
    load: {closed: {connections: 3}, amount: 12}
    steps: [{get: /, expect: {length: 12}}, {name: behind, get: /}]
",
    );
    let outcome = place.run_test();
    let summary = place.summary();
    for (cell, (mode, kind, words)) in WRONG.iter().enumerate() {
        let cell = &summary["cells"][cell];
        assert_eq!(cell["levels"]["mode"], *mode);
        for step in ["(pass)", "get"] {
            let step = cell["steps"].as_array().unwrap().iter().find(|s| s["step"] == step).unwrap();
            let counts = (&step["requests"], &step["ok"], &step["errors"]);
            assert_eq!(counts, (&json!(12), &json!(0), &json!({*kind: 12})), "{mode}: {}", cell["repetitions"]["errors"]);
            assert_eq!(step["throughput_per_s"]["median"], 0.0, "{mode}");
            // What was answered wrongly has no time that says anything; what was never answered has one at least so long.
            let silent = *kind == "timeout";
            assert_eq!(step["service_ns"].is_null(), !silent, "{mode}: {}", step["service_ns"]);
            assert!(!silent || step["service_ns"]["p50"].as_u64().unwrap() >= 199_000_000, "{mode}: {}", step["service_ns"]);
        }
        // Nobody asks for what a failed step should have made.
        assert!(cell["steps"].as_array().unwrap().iter().all(|s| s["step"] != "behind"), "{mode}");
        let errors = cell["repetitions"]["errors"].to_string();
        assert!(errors.contains(kind) && errors.contains(words), "{mode}: {errors}");
        assert!(outcome.stdout.contains(kind), "{kind} is not in the table:\n{}", outcome.stdout);
    }
}

#[test]
fn connections_that_end_are_opened_again() {
    // `close` announces it and costs nothing; `early-close` may meet the next request, which is then an error.
    let place = Place::with(
        "
experiment: test
limits: {errors: 100%}
factors: {mode: [close, early-close]}
layout: ${mode}
targets:
  web: {fixture: faulty, args: [--mode, \"${mode}\"], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: 40}
    steps: [{get: /, expect: {text: \"hello, world\"}}]
",
    );
    place.run_test();
    let summary = place.summary();
    let [close, early] = [0, 1].map(|cell| &summary["cells"][cell]["steps"][1]);
    assert_eq!((&close["requests"], &close["ok"]), (&json!(40), &json!(40)));
    let errors = early["errors"].as_object().unwrap();
    assert!(errors.keys().all(|kind| kind == "closed" || kind == "reset"), "{errors:?}");
    let wrong: u64 = errors.values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!((&early["requests"], early["ok"].as_u64().unwrap() + wrong), (&json!(40), 40));
    assert!(early["ok"].as_u64().unwrap() > 0, "an answer that is whole is right, whatever becomes of its connection");
    assert!(place.status("close/run1")["generator"]["connects"].as_u64().unwrap() >= 40);
}

#[test]
fn wrong_content_is_counted() {
    // The first request of a cell, which is the checked pass, is answered rightly; all others are not.
    let seen: Mutex<BTreeSet<String>> = Mutex::default();
    let server = Server::start(move |request| {
        if seen.lock().unwrap().insert(request.path.clone()) {
            (200, "x-answer: right\r\n".to_owned(), r#"{"answer": "right"}"#.to_owned())
        } else {
            (202, String::new(), r#"{"else": "wrong"}"#.to_owned())
        }
    });
    let place = Place::with(
        &"
experiment: test
limits: {errors: 100%}
factors: {checks: [status, text, contains, json, header, regex]}
order: rounds
layout: ${checks}
let:
  steps:
    status: [{get: /status, expect: {status: [200, 404]}}]
    text: [{get: /text, expect: {text: '{\"answer\": \"right\"}'}}]
    contains: [{get: /contains, expect: {contains: right}}]
    json: [{get: /json, carry: {x: {json: /answer}}}, {get: \"/${x}\"}]
    header: [{get: /header, carry: {x: {header: X-Answer}}}, {get: \"/${x}\"}]
    regex: [{get: /regex, carry: {x: {regex: ri(gh)t}}}, {get: \"/${x}\"}]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 1}, amount: 3}
    steps: ${steps[checks]}
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test();
    let summary = place.summary();
    let kinds = ["wrong-status", "wrong-body", "wrong-body", "nothing-to-carry", "nothing-to-carry", "nothing-to-carry"];
    for (cell, kind) in kinds.iter().enumerate() {
        let cell = &summary["cells"][cell];
        let step = &cell["steps"][1];
        assert_eq!((&step["ok"], &step["errors"]), (&json!(0), &json!({*kind: 3})), "{}", cell["cell"]);
        let errors = cell["repetitions"]["errors"].to_string();
        assert!(errors.contains(kind) && errors.contains("GET /"), "{}: {errors}", cell["cell"]);
    }
    let asked = server.requests();
    assert!(asked.iter().all(|r| r.path != "/${x}"), "what was not carried is not asked for");
}

// ---- results

#[test]
fn a_results_directory_that_cannot_be_made_is_an_error() {
    let mut place = sick("--mode, ok");
    // Permissions do not stop root; a file in its place stops everybody.
    place.write("results", "no directory");
    place.run_test().expect(1).complains(&["cannot write results/test", "Not a directory"]);
    assert_eq!(std::fs::read_to_string(place.path("results")).unwrap(), "no directory");
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn graphs_that_cannot_be_written_cost_no_result() {
    let mut place = sick_but("--mode, ok", &[], "graphs: [{bars: throughput, x: case}]\n");
    place.write("graphs", "no directory");
    place.run_test().expect(1).complains(&["cannot write graphs/test", "Not a directory"]);
    assert_eq!(place.summary()["cells"][0]["repetitions"]["valid"], 1);
    place.assert_cleared(Duration::ZERO);
}

/// A file system of its own, unmounted when dropped; none where this may not be done.
pub struct SmallDisk<'a>(&'a Place);

impl<'a> SmallDisk<'a> {
    pub fn mount(place: &'a Place, size: &str) -> Option<Self> {
        std::fs::create_dir(place.path("disk")).unwrap();
        let mounted = Self::command(place, &["mount", "-t", "tmpfs", "-o", &format!("size={size}"), "none", "disk"]);
        mounted.then_some(Self(place))
    }

    pub fn grow(&self, size: &str) {
        assert!(Self::command(self.0, &["mount", "-o", &format!("remount,size={size}"), "disk"]));
    }

    fn command(place: &Place, words: &[&str]) -> bool {
        let output = std::process::Command::new(words[0]).args(&words[1..]).current_dir(place.path("")).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Self::command(self.0, &["umount", "--lazy", "disk"]);
    }
}

#[test]
fn a_full_disk_is_an_error_that_loses_no_repetition() {
    let place = Place::with(
        "
experiment: test
repetitions: 1000
layout: all
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
",
    );
    let Some(disk) = SmallDisk::mount(&place, "400k") else {
        println!("SKIPPED: this test may not mount a file system (it needs root)");
        return;
    };
    let outcome = place.run(&["run", "test.yaml", "--out", "disk/results"]).expect(1);
    let run = place.path("disk/results/test").join(&listing(&place.path("disk/results/test"))[0]);
    let outcome = outcome.complains(&["disk is full", "No space left on device", "disk/results/test"]);
    // One fault is told once, whatever fails because of it.
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 && errors[0].contains("disk is full"), "{}", outcome.stderr);
    place.assert_cleared(Duration::ZERO);

    // Whatever was said to be done is there and whole; nothing else is there.
    let done = outcome.stderr.lines().filter(|line| line.starts_with('[') && line.contains("passes/s")).count();
    let kept = listing(&run.join("cells/all"));
    assert!(done >= 2 && kept.len() == done, "{done} done, but there are {kept:?}");
    assert!(kept.iter().all(|name| name.starts_with("run")), "{kept:?}");
    disk.grow("4m");
    let outcome = place.run(&["summarize", run.to_str().unwrap(), "--json"]).expect(0);
    let summary: Json = serde_json::from_str(&outcome.stdout).unwrap();
    let repetitions = &summary["cells"][0]["repetitions"];
    assert_eq!((&repetitions["valid"], &repetitions["planned"]), (&json!(done), &json!(1000)));
    assert_eq!(summary["cells"][0]["steps"][0]["ok"], done);
    assert_eq!(summary["damaged"], json!([]));
}

#[test]
fn a_reader_that_has_gone_away_ends_the_program_quietly() {
    let place = sick("--mode, ok");
    let mut command = place.runner();
    let mut child = command.args(["plan", "test.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A server that takes connections and never answers.
fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().take(1000).collect::<Vec<_>>());
    port
}

/// What is told is what the last look found, also where it never came to an end.
#[test]
fn a_probe_that_hangs_is_told_as_one() {
    let scenario = "
experiment: test
targets:
  web: {command: [sleep, '100'], ready: {READY, timeout: 700ms}}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    let url = format!("http://127.0.0.1:{}/health", silent_server());
    let kinds = [
        (format!("http: '{url}'"), format!("{url} gave no answer within 700ms")),
        ("command: [sh, -c, sleep 300]".to_owned(), "the command `sh -c sleep 300` gave no answer within 700ms".to_owned()),
        (
            "command: [sh, -c, 'test -f DIR/once || { touch DIR/once; exit 3; }; sleep 300']".to_owned(),
            "no longer answered (before that: the command ended with exit code 3)".to_owned(),
        ),
        ("log: ready".to_owned(), "no line of its log matches `ready`".to_owned()),
    ];
    for (ready, words) in kinds {
        let place = Place::with(&scenario.replace("READY", &ready));
        place.run_test().expect(4).complains(&["web was not ready within 700ms: ", &words]);
        place.assert_cleared(Duration::ZERO);
    }
}

#[test]
fn a_target_that_goes_into_the_background_is_told_to_stay() {
    let scenario = "
experiment: test
targets:
  web: {shell: 'sleep 100 & exit 0', ready: {log: ready, timeout: 5s}}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    let place = Place::with(scenario);
    place.run_test().expect(4).complains(&["web ended with exit code 0 before it was ready", "must stay in the foreground"]);
    place.assert_cleared(Duration::from_secs(1));
}

/// What was not started here has no log, and nothing is said of one.
#[test]
fn an_address_that_refuses_has_no_log() {
    let scenario = "
experiment: test
targets:
  web: {address: 'http://127.0.0.1:PORT1', ready: {tcp: PORT1, timeout: 300ms}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}
";
    let outcome = Place::with(scenario).run(&["run", "test.yaml", "-n", "1", "--no-graphs"]).expect(4);
    assert!(!outcome.flat().contains("log"), "{}", outcome.stdout);
    outcome.complains(&["web was not ready within 300ms", "Connection refused"]);
}

#[test]
fn a_target_that_listens_on_another_port_than_expected_is_told_its_own() {
    let scenario = "
experiment: test
targets:
  web: {command: [python3, -m, http.server, --bind, 127.0.0.1, 'PORT2'], port: PORT1, ready: {tcp: PORT1, timeout: 2s}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 1}, steps: [{get: /}]}
";
    let mut place = Place::with(scenario);
    let instead = format!("it listens on port {} instead", place.port(2));
    place.run(&["run", "test.yaml", "-n", "1", "--no-graphs"]).expect(4).complains(&["web was not ready within 2s", &instead]);
}

/// After three repetitions of a cell in which it was never ready for one reason, nobody waits for it any more; other cells go on.
#[test]
fn a_target_that_is_never_ready_is_not_waited_for_in_every_repetition() {
    let scenario = SICK.replace("ARGS", "--mode, ok, --never-listen").replace("AMOUNT", "1").replace("PATIENCE", "400ms");
    let mut place = Place::with(&scenario.replace("PROBE", "tcp: PORT1"));
    let port = place.port(1);
    place.run(&["run", "test.yaml", "-n", "5", "--no-graphs"]).expect(4);
    let of = |case: &str, number: u32| place.status(&format!("{case}/run{number}"));
    for number in 1..=5 {
        let status = of("sick", number);
        let reason = status["verdict"]["reason"].as_str().unwrap();
        let refused = format!("127.0.0.1:{port}: Connection refused (os error 111)");
        let given_up = format!("not tried any more: web was not ready in 3 repetitions of this cell: {refused}");
        if number <= 3 {
            assert!(reason.starts_with("web was not ready within 400ms"), "{reason}");
            assert_eq!(status["never_ready"], json!({"target": "web", "kind": "ConnectionRefused", "reason": refused}));
        } else {
            assert_eq!((reason, status["timings"]["target_start_ns"].as_u64()), (given_up.as_str(), Some(0)));
        }
        assert_eq!(of("sound", number)["verdict"]["is"], "valid");
    }
}

/// What hangs, and what answers otherwise each time, is one reason all the same.
#[test]
fn a_reason_is_the_same_whatever_its_words_measure() {
    let scenario = "
experiment: test
targets:
  web: {command: [sleep, '100'], ready: {READY, timeout: 600ms}}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    let counting = counting_server();
    let probes = [
        ("command: [sh, -c, sleep 300]".to_owned(), "the command `sh -c sleep 300` gave no answer within 600ms", "no-answer"),
        (format!("tcp: {counting}, send: [how], expect: '^ready$'"), "the last answer was `answer ", "other-lines"),
    ];
    for (ready, words, kind) in probes {
        let place = Place::with(&scenario.replace("READY", &ready));
        place.run(&["run", "test.yaml", "-n", "5", "--no-graphs"]).expect(4);
        for number in 1..=5 {
            let status = place.status(&format!("all/run{number}"));
            let reason = status["verdict"]["reason"].as_str().unwrap();
            let given_up = "not tried any more: web was not ready in 3 repetitions of this cell: ";
            assert_eq!(reason.starts_with(given_up), number > 3, "{number}: {reason}");
            assert!(reason.contains(words), "{reason}");
            if number <= 3 {
                assert_eq!(status["never_ready"]["kind"], kind, "{status}");
            }
        }
    }
}

/// The port of a server whose answers are numbered.
fn counting_server() -> u16 {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let _ = stream.and_then(|mut stream| writeln!(stream, "answer {number}"));
        }
    });
    port
}

/// A level that is longer than a file may be called has a folder and a picture of its own all the same.
#[test]
fn levels_of_any_length_have_folders() {
    let scenario = "
experiment: test
factors: {path: [\"/LONGa\", \"/LONGb\", /short, _short]}
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 3}, steps: [{get: '/${path}'}]}
graphs: [{bars: throughput, x: workload, facet: path}]
";
    let place = Place::with(&scenario.replace("LONG", &"segment/".repeat(60)));
    place.run(&["run", "test.yaml", "-n", "1"]).expect(0);
    let cells = listing(&place.run_directory("test").join("cells"));
    assert_eq!(cells.len(), 4, "{cells:?}");
    assert!(
        cells.iter().filter(|name| name.starts_with("path=_segment_segment_") && name.len() == 200).count() == 2,
        "{cells:?}"
    );
    assert!(cells.contains(&"path=_short".to_owned()) && cells.iter().any(|name| name.starts_with("path=_short~")), "{cells:?}");
    let pictures = files(&place.path("graphs"));
    assert_eq!(pictures.iter().filter(|name| name.ends_with(".png")).count(), 4, "{pictures:?}");
    assert_eq!(place.summary()["cells"].as_array().unwrap().len(), 4);
    // What stands in `layout` is no better.
    let scenario = "
experiment: test
factors: {n: [\"a\\0b\", c]}
layout: DEEP${n}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    let mut place = Place::with(&scenario.replace("DEEP", ""));
    place.run(&["run", "test.yaml", "-n", "1", "--no-graphs"]).expect(0);
    assert_eq!(listing(&place.run_directory("test").join("cells")), ["a_b", "c"]);
    place.write("test.yaml", &scenario.replace("DEEP", &"deep/".repeat(500)));
    place.run(&["check", "test.yaml"]).expect(2).complains(&["a folder whose path has 250", "expected at most 2000"]);
}

/// Where something of one cell cannot be written, the others are executed and summarized, and it is said.
#[test]
fn a_cell_that_cannot_be_written_ends_no_other() {
    let scenario = "
experiment: test
factors: {case: [sick, sound]}
order: rounds
layout: ${case}
set-up:
  cell:
    - {when: '${case == \"sick\"}', shell: 'for run in DIR/results/test/2*; do mkdir -p $run/cells; touch $run/cells/sick; done'}
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 3}, steps: [{get: /}]}
";
    let place = Place::with(scenario);
    place.run(&["run", "test.yaml", "-n", "2", "--no-graphs"]).expect(1).complains(&["case=sick cannot be written: ", "sick"]);
    assert_eq!([1, 2].map(|number| place.status(&format!("sound/run{number}"))["verdict"]["is"] == "valid"), [true; 2]);
    assert_eq!(place.summary()["cells"][1]["repetitions"]["valid"], 2);
    place.assert_cleared(Duration::ZERO);
}

#[test]
fn a_port_at_which_nobody_of_the_experiment_listens_is_told() {
    let scenario = "
experiment: test
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:${targets.web.ports[0] + 1}
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /}]
";
    let mut place = Place::with(scenario);
    let port = place.port(1);
    let hint = format!("nothing of this experiment listens on {}; did you mean {port}?", port + 1);
    place.run_test().expect(4).complains(&["the checked pass before the load failed", "Connection refused", &hint]);
}

/// The same of a request before the load, and of one behind it.
#[test]
fn a_port_at_which_nobody_listens_is_told_of_set_up_and_collect_too() {
    let scenario = "
experiment: test
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 3}, steps: [{get: /}]}
";
    // A port of this test at which nobody listens.
    let set_up = "set-up: {load: [{get: 'http://127.0.0.1:PORT2/'}]}\n";
    let collect = "collect: {stats: {get: 'http://127.0.0.1:PORT2/', metrics: {hits: {json: /hits}}}}\n";
    for (more, words) in [(set_up, "the set-up, load step"), (collect, "`stats` could not be collected")] {
        let mut place = Place::with(&format!("{scenario}{more}"));
        let [known, asked] = [place.port(1), place.port(2)];
        let meant = if known.abs_diff(asked) < 10 { format!("; did you mean {known}?") } else { String::new() };
        let hint = format!("nothing of this experiment listens on {asked}{meant}");
        place.run_test().expect(4).complains(&[words, "Connection refused", &hint]);
    }
}

/// A header that goes on in the next line is one for a probe as for loads.
#[test]
fn a_probe_takes_a_header_of_several_lines() {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-long: one\r\n two\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let scenario = "
experiment: test
targets:
  web: {command: [sleep, '100'], ready: {http: 'http://127.0.0.1:PORT/', timeout: 5s}}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    Place::with(&scenario.replace("PORT", &port.to_string())).run_test().expect(0);
}

/// What a target is started with may name its own ports; names of the scenario's own come first.
#[test]
fn a_target_knows_its_own_ports() {
    let scenario = "
experiment: test
LETtargets:
  web:
    replicas: 2
    shell: echo ${port} ${ports.admin} >&2; exec sleep 100
    port: ${replica + 17400}
    ports: {admin: '${port + 100}'}
    ready: {log: '^${port} ${ports.admin}$'}
workloads:
  clients: {command: ['true'], load: {closed: {connections: 1}, amount: 1}}
";
    let mut place = Place::with(&scenario.replace("LET", ""));
    place.run_test().expect(0);
    let log = |number: u32| {
        std::fs::read_to_string(place.run_directory("test").join(format!("cells/all/run1/logs/web-{number}.err"))).unwrap()
    };
    assert_eq!([log(1), log(2)], ["17401 17501\n", "17402 17502\n"]);
    place.write(
        "test.yaml",
        &scenario
            .replace("LET", "let: {port: 7}\n")
            .replace("    ports: {admin: '${port + 100}'}\n", "")
            .replace(" ${ports.admin}", ""),
    );
    let plan = place.run(&["plan", "test.yaml"]).expect(0).stdout;
    assert!(plan.contains("echo 7 >&2"), "{plan}");
    place.write("test.yaml", &scenario.replace("LET", "").replace("['true']", "[echo, '${port}']"));
    place.run(&["check", "test.yaml"]).expect(2).complains(&["`port`", "inside a target that has it"]);
}

/// Twice as many connections at a time as a network of its own has ports to connect from.
#[test]
fn local_ports_that_are_used_up_are_this_machines_limit() {
    let scenario = "
experiment: test
limits: {errors: 100%, silence: 100%, open: 100%, generator-cpu: 100%}
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 40}, amount: 400}
    steps: [{get: /}]
";
    let place = Place::with(scenario);
    let narrow = "ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='60000 60020' && exec \"$0\" run test.yaml --no-graphs -n 1";
    let runner = place.runner();
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", "sh", "-c", narrow]).arg(runner.get_program()).current_dir(place.path(""));
    command.envs(runner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().expect("unshare is a part of the system");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare failed") {
        println!("SKIPPED: this test may not make a network of its own (it needs root)");
        return;
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("no local port is left") && said.contains("this machine's limit and not the server's"), "{said}");
    assert!(said.contains(" failed without an answer") && !said.contains("answered wrongly"), "{said}");
}
