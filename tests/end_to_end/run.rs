//! What goes well: what a run does, says and leaves on disk.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::server::Server;
use crate::support::{Place, eventually, files, json, listing};

/// One target, one request, a hundred times.
const SMALLEST: &str = "
experiment: test
question: Does it run?
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 2}, amount: 100}
    steps: [{get: /}]
";

/// Four cells that do next to nothing.
const FOUR_CELLS: &str = "
experiment: test
question: Which number is best?
factors: {number: [1, 2, 3, 4]}
repetitions: 3
layout: ${number}
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: \"/${number}\"}]
";

/// The summary of a step of a cell, by the names of both.
#[track_caller]
fn step<'a>(summary: &'a Json, cell: &str, phase: &str, step: &str) -> &'a Json {
    let cell = summary["cells"].as_array().unwrap().iter().find(|c| c["cell"] == cell).expect("the cell is there");
    let found = cell["steps"].as_array().unwrap().iter().find(|s| s["phase"] == phase && s["step"] == step);
    found.unwrap_or_else(|| panic!("{phase} {step} is not in {}", cell["steps"]))
}

/// The events of a kind, as the text of their cell and repetition.
fn turns(events: &[Json], kind: &str) -> Vec<String> {
    let of_kind = events.iter().filter(|e| e["event"] == kind);
    of_kind.map(|e| format!("{} #{}", e["cell"].as_str().unwrap(), e["repetition"])).collect()
}

/// Event and target of each line of `events.jsonl`.
fn story(repetition: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(repetition.join("events.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let words = |e: Json| format!("{} {}", e["event"].as_str().unwrap(), e["target"].as_str().unwrap_or_default());
    events.map(|e| words(e).trim_end().to_owned()).collect()
}

#[test]
fn the_smallest_experiment_leaves_the_documented_directory() {
    let place = Place::with(SMALLEST);
    place.run_test().expect(0);
    let run = place.run_directory("test");
    let expected = [
        "cells/all/run1/events.jsonl",
        "cells/all/run1/host.parquet",
        "cells/all/run1/logs/web-1.out",
        "cells/all/run1/resources.parquet",
        "cells/all/run1/status.json",
        "cells/all/run1/windows.parquet",
        "experiment.yaml",
        "figures.parquet",
        "manifest.json",
        "plan.json",
        "summary.json",
    ];
    assert_eq!(files(&run), expected);
    for table in ["windows", "resources", "host"] {
        let bytes = std::fs::read(run.join(format!("cells/all/run1/{table}.parquet"))).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{table}");
    }
    let [typed, kept] = [place.path("test.yaml"), run.join("experiment.yaml")].map(|path| std::fs::read(path).unwrap());
    assert_eq!(kept, typed, "as typed, to the byte");
    for name in ["manifest.json", "summary.json", "cells/all/run1/status.json"] {
        assert_eq!(json(&run.join(name))["format"], runner::record::FORMAT, "{name}");
    }
    assert_eq!(json(&run.join("plan.json"))["format"], runner::record::PLAN_FORMAT);
    let [status, manifest] = ["cells/all/run1/status.json", "manifest.json"].map(|name| json(&run.join(name)));
    assert_eq!(status["verdict"], json!({"is": "valid"}));
    assert_eq!(status["left_behind"], json!([]));
    assert!(status["targets"][0]["start_up_ns"].as_u64().unwrap() > 0);
    assert!(status["observer"]["samples"].as_u64().unwrap() > 0);
    assert_eq!(manifest["command_line"][1], "run");
    let story = story(&run.join("cells/all/run1"));
    assert_eq!(story, ["started web", "ready web", "load-begins", "load-ends", "stopped web"]);
    place.assert_cleared(std::time::Duration::ZERO);
}

#[test]
fn every_request_is_counted() {
    let place = Place::with(
        "
experiment: test
repetitions: 2
targets:
  blobs: {fixture: blobs-server, args: [--dir, \"${scratch}/blobs\"], port: PORT1, ready: {http: /}}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 10}, amount: 500}
    steps:
      - {put: \"/blobs/somebody/${id}\", body: {random: 1KiB}, expect: {status: 200}}
      - {get: \"/blobs/somebody/${id}\", expect: {status: 200, length: 1KiB}}
",
    );
    place.run_test().expect(0);
    let summary = place.summary();
    for (name, sent, received) in [("(pass)", 1024, 1024), ("put", 1024, 0), ("get", 0, 1024)] {
        let step = step(&summary, "all", "during", name);
        assert_eq!((&step["requests"], &step["ok"], &step["errors"]), (&json!(1000), &json!(1000), &json!({})), "{name}");
        for repetition in 0..2 {
            assert_eq!(step["by_repetition"][repetition]["ok"], 500, "{name}");
        }
        assert_eq!(step["sent_bytes"], 1000 * sent, "{name}");
        // A server may say something in the body of its answer to a PUT.
        assert!(name == "put" || step["received_bytes"].as_u64().unwrap() >= 1000 * received, "{name}");
        assert!(step["throughput_per_s"]["median"].as_f64().unwrap() > 0.0, "{name}");
        let times = ["p50", "p90", "p95", "p99", "p999", "max"].map(|q| step["service_ns"][q].as_u64().unwrap());
        assert!(times[0] > 0 && times.is_sorted(), "{name}: {times:?}");
    }
    assert_eq!(summary["cells"][0]["repetitions"]["valid"], 2);
    let target = &summary["cells"][0]["targets"][0];
    assert!(target["pss_bytes"]["median"].as_f64().unwrap() > 100_000.0, "{target}");
    assert!(target["cpu_cores"]["median"].as_f64().unwrap() > 0.0, "{target}");
}

#[test]
fn warm_up_is_recorded_and_not_counted() {
    let server = Server::friendly();
    let place = Place::with(
        &"
experiment: test
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 3}, amount: 50, warm-up: {amount: 20}}
    steps: [{get: /}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let summary = place.summary();
    assert_eq!(step(&summary, "all", "during", "get")["ok"], 50);
    assert_eq!(step(&summary, "all", "warm-up", "get")["ok"], 20);
    let phases = place.status("all/run1")["phases"].clone();
    assert_eq!((&phases[0]["phase"], &phases[0]["passes"]), (&json!("warm-up"), &json!(20)));
    assert_eq!((&phases[1]["phase"], &phases[1]["passes"]), (&json!("during"), &json!(50)));
    assert_eq!(server.requests().len(), 1 + 20 + 50, "one checked pass, then the load");
}

#[test]
fn a_load_may_last_for_a_time() {
    let place = Place::with(&SMALLEST.replace("amount: 100", "duration: 300ms"));
    place.run_test().expect(0);
    let status = place.status("all/run1");
    let [start, end, passes] = ["start_ns", "end_ns", "passes"].map(|key| status["phases"][0][key].as_u64().unwrap());
    assert!((250_000_000..2_000_000_000).contains(&(end - start)), "{status:#}");
    assert!(passes > 1);
    assert_eq!(step(&place.summary(), "all", "during", "get")["ok"], passes);
}

#[test]
fn levels_and_repetitions_may_be_chosen() {
    let place = Place::with(FOUR_CELLS);
    // 7 is a level that only this run has.
    place.run(&["run", "test.yaml", "--set", "number=2,7", "--repetitions", "2"]).expect(0);
    let cells = place.run_directory("test").join("cells");
    assert_eq!(listing(&cells), ["2", "7"]);
    assert_eq!(listing(&cells.join("7")), ["run1", "run2"]);
    let summary = place.summary();
    let names: Vec<&Json> = summary["cells"].as_array().unwrap().iter().map(|c| &c["cell"]).collect();
    assert_eq!(names, ["number=2", "number=7"]);
    assert_eq!(summary["cells"][0]["levels"], json!({"number": "2"}));
    assert_eq!(summary["cells"][0]["repetitions"]["planned"], 2);
}

#[test]
fn what_is_no_factor_cannot_be_chosen() {
    let place = Place::with(FOUR_CELLS);
    place.run(&["run", "test.yaml", "--set", "nummber=1"]).expect(2).complains(&["nummber", "number"]);
    assert!(!place.path("results").exists());
}

#[test]
fn the_layout_names_the_folders() {
    let place = Place::with(&FOUR_CELLS.replace("layout: ${number}", "layout: n/${number}-of-4").replace("repetitions: 3", ""));
    place.run(&["run", "test.yaml", "--set", "number=3"]).expect(0);
    assert!(place.run_directory("test").join("cells/n/3-of-4/run1/status.json").is_file());
    assert_eq!(step(&place.summary(), "number=3", "during", "get")["ok"], 1);
}

#[test]
fn the_same_seed_gives_the_same_order() {
    let place = Place::with(FOUR_CELLS);
    let order = |seed| {
        let outcome = place.run(&["run", "test.yaml", "--seed", seed, "--json"]).expect(0);
        let events = outcome.events();
        assert_eq!(json(&place.path(events.last().unwrap()["summary"].as_str().unwrap()))["seed"].to_string(), seed);
        let begun = turns(&events, "repetition-begins");
        assert_eq!(begun, turns(&events, "repetition-ends"));
        begun
    };
    let [first, again, other] = ["7", "7", "8"].map(order);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let mut all = first.clone();
    all.sort();
    let expected: Vec<String> = (1..=4).flat_map(|n| (1..=3).map(move |r| format!("number={n} #{r}"))).collect();
    assert_eq!(all, expected);
    for (round, turns) in first.chunks(4).enumerate() {
        assert!(turns.iter().all(|t| t.ends_with(&format!("#{}", round + 1))), "interleaved: {first:?}");
    }
}

#[test]
fn quiet_says_nothing() {
    let place = Place::with(SMALLEST);
    let outcome = place.run(&["run", "--quiet", "test.yaml"]).expect(0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    assert!(place.run_directory("test").join("summary.json").is_file());
}

#[test]
fn scripts_get_one_object_per_line() {
    let place = Place::with(&SMALLEST.replace("workloads:", "repetitions: 2\nworkloads:"));
    let outcome = place.run(&["run", "--json", "test.yaml"]).expect(0);
    assert_eq!(outcome.stderr, "");
    let events = outcome.events();
    let kinds: Vec<&str> = events.iter().map(|e| e["event"].as_str().unwrap()).collect();
    let twice = ["repetition-begins", "repetition-ends", "repetition-begins", "repetition-ends"];
    assert_eq!(kinds, [["run-begins"].as_slice(), &twice, &["run-ends"]].concat());
    assert_eq!(events[0]["repetitions"], 2);
    assert_eq!((&events[2]["passes"], &events[2]["verdict"]["is"]), (&json!(100), &json!("valid")));
    assert_eq!((&events[4]["done"], &events[4]["of"]), (&json!(2), &json!(2)));
    let directory = events[0]["directory"].as_str().unwrap();
    assert!(place.path(directory).join("plan.json").is_file(), "{directory}");
    assert!(place.path(events[5]["summary"].as_str().unwrap()).is_file());
}

#[test]
fn people_get_lines_and_a_table() {
    let place = Place::with(FOUR_CELLS);
    let outcome = place.run(&["run", "test.yaml", "--set", "number=1,2", "-n", "1"]).expect(0);
    let outcome =
        outcome.complains(&["test: Which number is best?", "2 cells x 1 repetition = 2", "[1/2] number=", "[2/2] number="]);
    let results = place.run_directory("test");
    let name = results.file_name().unwrap().to_str().unwrap();
    assert!(outcome.stderr.contains(&format!("results in results/test/{name}")), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("per second") && outcome.stdout.contains("p99"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains('\u{1b}') && !outcome.stderr.contains('\u{1b}'), "no colours on a pipe");
}

#[test]
fn what_is_not_installed_is_skipped_loudly() {
    let place = Place::with(
        "
experiment: test
factors: {server: [ours, theirs]}
layout: ${server}
targets:
  ours: {when: \"${server == 'ours'}\", fixture: faulty, args: [--mode, ok], port: PORT1}
  theirs: {when: \"${server == 'theirs'}\", command: [no-such-program, --fast], port: PORT1, needs: no-such-program}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 3}
    steps: [{get: /}]
",
    );
    let outcome = place.run_test().expect(0);
    let reason = "no-such-program is not installed";
    let (start, _) = outcome.stderr.split_once("[1/1]").expect("one repetition is done");
    assert!(start.contains(&format!("SKIPPED: 1 of 2 cells, because {reason}")), "at the start: {start}");
    assert!(outcome.stdout.contains(reason), "at the end: {}", outcome.stdout);
    let summary = place.summary();
    assert_eq!(summary["cells"][0]["skipped"], Json::Null);
    assert_eq!((&summary["cells"][1]["cell"], &summary["cells"][1]["skipped"]), (&json!("server=theirs"), &json!(reason)));
    assert_eq!(listing(&place.run_directory("test").join("cells")), ["ours"]);

    let outcome = place.run(&["run", "test.yaml", "--set", "server=theirs"]).expect(1);
    outcome.complains(&["SKIPPED", "every cell is skipped, there is nothing to run"]);
}

/// Steps of all levels that write what they are, and a target that may fail.
const STEPS: &str = "
experiment: test
factors: {number: [1, 2]}
order: rounds
repetitions: 2
layout: ${number}
set-up:
  run: [{shell: echo run >> DIR/steps}]
  cell: [{shell: \"echo cell ${number} >> DIR/steps\"}]
  repetition: [{shell: \"echo repetition ${number} ${repetition} >> DIR/steps\"}]
  load: [{shell: echo load >> DIR/steps}]
clean-up:
  load: [{shell: echo load over >> DIR/steps}]
  repetition: [{shell: \"echo repetition ${number} ${repetition} over >> DIR/steps\"}]
  cell: [{shell: \"echo cell ${number} over >> DIR/steps\"}]
  run: [{shell: echo run over >> DIR/steps}]
targets:
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
";

#[test]
fn steps_are_taken_at_every_level() {
    let place = Place::with(STEPS);
    place.run_test().expect(0);
    let repetition = |cell: u32, number: u32| {
        [format!("repetition {cell} {number}"), "load".into(), "load over".into(), format!("repetition {cell} {number} over")]
    };
    let line = |text: &str| vec![text.to_owned()];
    let expected = [
        line("run"),
        line("cell 1"),
        repetition(1, 1).to_vec(),
        line("cell 2"),
        repetition(2, 1).to_vec(),
        repetition(1, 2).to_vec(),
        line("cell 1 over"),
        repetition(2, 2).to_vec(),
        line("cell 2 over"),
        line("run over"),
    ];
    assert_eq!(place.lines("steps"), expected.concat());
}

#[test]
fn clean_up_is_done_after_a_failure_too() {
    // The first cell's target dies under the load, the second one's never starts.
    let mut place = Place::new();
    let args = "args: \"${['--mode', 'ok', '--exit-after', '3'] if number == 1 else ['--mode', 'ok', '--exit-at-start']}\"";
    let scenario =
        STEPS.replace("args: [--mode, ok]", args).replace("amount: 1}", "duration: 60s}").replace("repetitions: 2", "");
    place.write("test.yaml", &scenario);
    place.run_test().expect(4);
    let expected = [
        "run",
        "cell 1",
        "repetition 1 1",
        "load",
        "load over",
        "repetition 1 1 over",
        "cell 1 over",
        "cell 2",
        "repetition 2 1",
        "repetition 2 1 over",
        "cell 2 over",
        "run over",
    ];
    assert_eq!(place.lines("steps"), expected);
    place.assert_cleared(std::time::Duration::ZERO);
}

#[test]
fn steps_may_be_requests() {
    let server = Server::start(|request| match request.line().as_str() {
        "GET /health" => (200, String::new(), "all is well".to_owned()),
        _ => (204, String::new(), String::new()),
    });
    let place = Place::with(
        &"
experiment: test
set-up:
  run: [{get: \"http://127.0.0.1:SERVER/health\", expect: {contains: well}}]
  repetition: [{put: \"http://127.0.0.1:SERVER/state/${repetition}\", body: {json: {fresh: true}}, headers: {x-from: set-up}}]
clean-up:
  repetition: [{delete: \"http://127.0.0.1:SERVER/state/${repetition}\"}]
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 1}, amount: 2}
    steps: [{get: /}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let requests = server.requests();
    let lines: Vec<String> = requests.iter().map(|r| r.line()).collect();
    assert_eq!(lines, ["GET /health", "PUT /state/1", "GET /", "GET /", "GET /", "DELETE /state/1"]);
    assert_eq!((requests[1].body.as_slice(), requests[1].header("x-from")), (&b"{\"fresh\":true}"[..], Some("set-up")));
}

#[test]
fn values_are_carried_from_step_to_step() {
    let server = Server::start(|request| match request.path.as_str() {
        "/login" => (201, "x-session: s7\r\n".to_owned(), r#"{"user": {"token": "t5"}, "note": "number <42>"}"#.to_owned()),
        "/items/t5/42" if request.header("x-session") == Some("s7") => (200, String::new(), "t5 may".to_owned()),
        _ => (403, String::new(), String::new()),
    });
    let place = Place::with(
        &"
experiment: test
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 2}, amount: 10}
    steps:
      - post: /login
        expect: {status: 201}
        carry: {token: {json: /user/token}, session: {header: X-Session}, number: {regex: \"<([0-9]+)>\"}}
      - get: /items/${token}/${number}
        headers: {x-session: \"${session}\"}
        expect: {text: \"${token} may\"}
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let summary = place.summary();
    for name in ["(pass)", "post", "get"] {
        assert_eq!(step(&summary, "all", "during", name)["ok"], 10, "{name}");
    }
}

#[test]
fn requests_carry_what_the_scenario_says() {
    let server = Server::friendly();
    let mut place = Place::new();
    place.write("body.txt", "from a file\n");
    place.write(
        "test.yaml",
        &"
experiment: test
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    headers: {x-all: everywhere}
    load: {closed: {connections: 1}, amount: 2}
    steps:
      - {name: text, put: \"/text?a=1&b=2\", body: {text: \"id ${id}\"}, headers: {x-one: here}}
      - {name: file, put: /file, body: {file: body.txt}}
      - {name: random, post: /random, body: {random: 100kB}}
      - {name: none, head: /none}
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    let requests = server.requests();
    let lines: Vec<String> = requests.iter().map(|r| r.line()).collect();
    assert_eq!(lines, ["PUT /text?a=1&b=2", "PUT /file", "POST /random", "HEAD /none"].repeat(3));
    assert!(requests.iter().all(|r| r.header("x-all") == Some("everywhere")));
    assert_eq!((requests[0].header("x-one"), requests[1].header("x-one")), (Some("here"), None));
    let ids: Vec<&[u8]> = requests.iter().step_by(4).map(|r| r.body.as_slice()).collect();
    assert!(ids.iter().all(|id| id.starts_with(b"id ") && id.len() > 8), "{ids:?}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "fresh for each pass");
    assert_eq!(requests[1].body, b"from a file\n");
    assert_eq!(requests[2].body.len(), 100_000);
    assert_ne!(requests[2].body, requests[6].body, "random bytes are others in every request");
}

#[test]
fn every_probe_waits_for_its_target() {
    let mut place = Place::new();
    let start = "sleep 0.3; echo begun > DIR/begun; exec RUNNER fixture faulty --mode ok --port PORT1";
    let scenario = "
experiment: test
factors: {probe: [tcp, http, log, command]}
layout: ${probe}
let:
  probes:
    tcp: {tcp: PORT1}
    http: {http: /}
    log: {log: \"listening on .*:PORT1\"}
    command: {command: [test, -e, DIR/begun]}
set-up: {repetition: [{command: [rm, -f, DIR/begun]}]}
targets:
  slow: {shell: \"START\", port: PORT1, ready: \"${probes[probe]}\"}
  web: {after: slow, fixture: faulty, args: [--mode, ok], port: PORT2}
workloads:
  clients:
    url: http://127.0.0.1:PORT2
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
";
    place.write("test.yaml", &scenario.replace("START", start));
    place.run_test().expect(0);
    for probe in ["tcp", "http", "log", "command"] {
        let status = place.status(&format!("{probe}/run1"));
        let start_up = status["targets"][0]["start_up_ns"].as_u64().unwrap();
        assert!(start_up >= 300_000_000, "{probe}: {start_up} ns");
    }
}

#[test]
fn targets_start_in_order_and_stop_in_reverse() {
    let mut place = Place::new();
    let target = "shell: \"trap 'echo NAME ends >> DIR/order; exit' TERM; echo NAME begins >> DIR/order; echo up; \
                  while :; do sleep 0.01; done\", ready: {log: up}";
    let mut scenario = "
experiment: test
targets:
  third: {after: [second, web], THIRD}
  second: {after: first, SECOND}
  web: {fixture: faulty, args: [--mode, ok], port: PORT1}
  first: {FIRST}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
"
    .to_owned();
    for name in ["first", "second", "third"] {
        scenario = scenario.replace(&name.to_uppercase(), &target.replace("NAME", name));
    }
    place.write("test.yaml", &scenario);
    place.run_test().expect(0);
    let expected = ["first begins", "second begins", "third begins", "third ends", "second ends", "first ends"];
    assert_eq!(place.lines("order"), expected);
    let story = story(&place.run_directory("test").join("cells/all/run1"));
    let at = |event: &str| story.iter().position(|e| e == event).unwrap_or_else(|| panic!("{event}: {story:?}"));
    for (before, after) in [("first", "second"), ("second", "third"), ("web", "third")] {
        assert!(at(&format!("ready {before}")) < at(&format!("started {after}")), "{story:?}");
    }
}

#[test]
fn targets_get_their_files_environment_and_folder() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("home")).unwrap();
    place.write(
        "server.conf.j2",
        "listen {{ port }}\nstate {{ scratch }}/state\n{% for n in range(count) %}\nworker {{ n }}\n{% endfor %}\n",
    );
    place.write(
        "test.yaml",
        "
experiment: test
factors: {count: [2]}
layout: files
targets:
  web:
    shell: \"cat ${scratch}/server.conf; echo $GREETING from $(pwd); exec RUNNER fixture faulty --mode ok --port PORT1\"
    port: PORT1
    render: {server.conf: server.conf.j2}
    env: {GREETING: \"hello ${count}\"}
    dir: DIR/home
    ready: {log: listening}
workloads:
  clients:
    url: http://127.0.0.1:PORT1
    load: {closed: {connections: 1}, amount: 1}
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    let log = std::fs::read_to_string(place.run_directory("test").join("cells/files/run1/logs/web-1.out")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[0], format!("listen {}", place.port(1)));
    let state = lines[1].strip_prefix("state ").unwrap();
    assert!(state.starts_with(place.path("scratch").to_str().unwrap()) && state.ends_with("/state"), "{state}");
    assert_eq!(&lines[2..4], ["worker 0", "worker 1"]);
    let home = place.path("home").canonicalize().unwrap();
    assert_eq!(lines[4], format!("hello 2 from {}", home.display()));
}

#[test]
fn scratch_files_may_be_kept_in_memory() {
    let place = Place::with(&format!(
        "{SMALLEST}scratch: memory\nset-up: {{repetition: [{{shell: \"echo ${{scratch}} > DIR/scratch-is\"}}]}}\n"
    ));
    place.run_test().expect(0);
    let scratch = place.lines("scratch-is").remove(0);
    assert!(scratch.starts_with("/dev/shm/runner-"), "{scratch}");
    let all = Path::new(&scratch).parent().unwrap();
    assert!(!all.exists(), "{} is left behind", all.display());
}

#[test]
fn replicas_share_the_load() {
    let mut place = Place::new();
    let first = place.port(1);
    // The ports of replicas stand in a list, as those of a test need not follow each other.
    place.write(
        "test.yaml",
        "
experiment: test
let: {ports: [PORT1, PORT2, PORT3]}
targets:
  web: {fixture: faulty, args: [--mode, ok], replicas: 3, port: \"${ports[replica - 1]}\"}
workloads:
  clients:
    url: ${targets.web.urls}
    load: {closed: {connections: 3}, duration: 300ms}
    steps: [{get: /}]
",
    );
    place.run_test().expect(0);
    let plan = json(&place.run_directory("test").join("plan.json"));
    assert_eq!(plan["cells"][0]["targets"][0]["replicas"][0]["ports"], json!([first]));
    let status = place.status("all/run1");
    let replicas: Vec<&Json> = status["targets"].as_array().unwrap().iter().map(|t| &t["replica"]).collect();
    assert_eq!(replicas, [1, 2, 3]);
    let logs = listing(&place.run_directory("test").join("cells/all/run1/logs"));
    assert_eq!(logs, ["web-1.out", "web-2.out", "web-3.out"]);
    let target = &place.summary()["cells"][0]["targets"][0];
    assert_eq!(target["replicas"], 3);
    assert!(target["pss_bytes"]["median"].as_f64().unwrap() > 3.0 * 100_000.0, "{target}");
}

#[test]
fn what_runs_already_is_neither_started_nor_stopped() {
    let server = Server::friendly();
    let place = Place::with(
        &"
experiment: test
targets:
  web: {address: \"http://127.0.0.1:SERVER\", ready: {http: /up}}
workloads:
  clients:
    url: http://127.0.0.1:SERVER
    load: {closed: {connections: 2}, amount: 10}
    steps: [{get: /, expect: {text: hello}}]
"
        .replace("SERVER", &server.port.to_string()),
    );
    place.run_test().expect(0);
    assert_eq!(server.requests()[0].line(), "GET /up");
    assert_eq!(server.requests().len(), 1 + 1 + 10);
    let target = place.status("all/run1")["targets"][0].clone();
    assert_eq!((&target["target"], &target["pid"]), (&json!("web"), &Json::Null));
    assert_eq!(place.summary()["cells"][0]["targets"][0]["watched"], false);
}

#[test]
fn several_files_are_run_in_turn() {
    let mut place = Place::with(SMALLEST);
    place.write("second.yaml", &SMALLEST.replace("experiment: test", "experiment: second"));
    let outcome = place.run(&["run", "--json", "test.yaml", "second.yaml"]).expect(0);
    let events = outcome.events();
    let begun: Vec<&Json> = events.iter().filter(|e| e["event"] == "run-begins").map(|e| &e["experiment"]).collect();
    assert_eq!(begun, ["test", "second"]);
    assert_eq!(listing(&place.path("results")), ["second", "test"]);
}

#[test]
fn nothing_is_started_when_one_of_several_files_is_wrong() {
    let mut place = Place::with(SMALLEST);
    place.write("wrong.yaml", "experiment: wrong\n");
    place.run(&["run", "test.yaml", "wrong.yaml"]).expect(2).complains(&["wrong.yaml", "workloads"]);
    assert!(!place.path("results").exists());
}

#[test]
fn no_run_is_overwritten() {
    let place = Place::with(SMALLEST);
    for _ in 0..2 {
        place.run(&["run", "--quiet", "test.yaml", "--seed", "1", "--out", "elsewhere"]).expect(0);
    }
    assert_eq!(listing(&place.path("elsewhere/test")).len(), 2);
    assert!(!place.path("results").exists());
}

#[test]
fn the_same_results_give_the_same_pictures_and_summary() {
    // The load of one request has no course.
    let graphs = "graphs:\n  - {bars: throughput, x: number, series: number}\n  - {quantiles: response, series: number}\n  \
                  - {lines: pss, x: time, series: target}\n";
    let place = Place::with(&format!("{FOUR_CELLS}{graphs}"));
    let outcome = place.run(&["run", "--json", "test.yaml", "--set", "number=1,2", "-n", "2", "--no-report"]).expect(0);
    let run = place.run_directory("test");
    let drawn = files(&place.path("graphs"));
    assert_eq!(drawn.len(), 2, "{drawn:?}");
    assert_eq!(outcome.events().last().unwrap()["graphs"].as_array().unwrap().len(), drawn.len());
    let name = run.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(drawn.iter().all(|path| path.starts_with(&format!("test/{name}/")) && path.ends_with(".png")), "{drawn:?}");

    let before = std::fs::read(run.join("summary.json")).unwrap();
    std::fs::remove_file(run.join("summary.json")).unwrap();
    place.run(&["summarize", run.to_str().unwrap()]).expect(0);
    assert!(std::fs::read(run.join("summary.json")).unwrap() == before, "summary.json differs");

    let outcome = place.run(&["graph", "results", "--out", "again"]).expect(0);
    assert_eq!(outcome.stdout.lines().count(), drawn.len());
    outcome.complains(&[
        "2 graphs not drawn (pss-lines-number=1, pss-lines-number=2): the load is shorter than ten windows of 500ms",
    ]);
    assert_eq!(files(&place.path("again")), drawn);
    for path in &drawn {
        let [first, again] = ["graphs", "again"].map(|folder| std::fs::read(place.path(folder).join(path)).unwrap());
        assert!(first.starts_with(b"\x89PNG\r\n") && first == again, "{path} differs");
    }

    let outcome = place.run(&["graph", "results", "--out", "both", "--svg"]).expect(0);
    assert_eq!(outcome.stdout.lines().count(), 2 * drawn.len());
    for path in &drawn {
        let svg = std::fs::read_to_string(place.path("both").join(path.replace(".png", ".svg"))).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>") && svg.contains("Which number is best?"), "{svg}");
    }
}

#[test]
fn a_summary_is_also_there_for_scripts() {
    let place = Place::with(SMALLEST);
    place.run(&["run", "--quiet", "test.yaml"]).expect(0);
    let outcome = place.run(&["summarize", "results", "--json"]).expect(0);
    assert_eq!(serde_json::from_str::<Json>(&outcome.stdout).unwrap(), place.summary());
    place.run(&["summarize", "nowhere"]).expect(2).complains(&["there is no run in nowhere"]);
}

#[test]
fn experiments_are_listed() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("experiments")).unwrap();
    place.write("experiments/one.yaml", SMALLEST);
    place.write("experiments/two.yaml", &FOUR_CELLS.replace("experiment: test", "experiment: numbers"));
    let outcome = place.run(&["list"]).expect(0);
    insta::assert_snapshot!(outcome.stdout, @r"
    test  experiments/one.yaml
      Does it run?
      1 cell x 1 repetition = 1

    numbers  experiments/two.yaml
      Which number is best?
      number: 1, 2, 3, 4
      4 cells x 3 repetitions = 12
    ");
}

#[test]
fn a_plan_says_what_would_be_done() {
    let mut place = Place::with(STEPS);
    let port = place.port(1).to_string();
    let outcome = place.run(&["plan", "test.yaml", "--seed", "42"]).expect(0);
    let text = outcome.stdout.replace(&port, "PORT1").replace(place.path("").to_str().unwrap(), "DIR/");
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
    let text = text.replace(&format!("open-files {limit} "), "open-files LIMIT ");
    insta::assert_snapshot!(text, @r"
    test
      number: 1, 2
    2 cells x 2 repetitions = 4, order rounds, seed 42
    estimated time: 1.20 s (a guess, with 300 µs per request: no earlier run is known)
    WARNING: 2 repetitions can give no verdict of a comparison; at least 6 are needed for 2 comparisons
    set-up, once: sh -c echo run >> DIR/steps
    clean-up, once: sh -c echo run over >> DIR/steps

    cell number=1
      set-up, cell: sh -c echo cell 1 >> DIR/steps
      set-up, repetition: sh -c echo repetition 1 ${repetition} >> DIR/steps
      target web: runner-fixtures faulty --port PORT1 --mode ok
        ready when 127.0.0.1:PORT1 accepts  port PORT1
        limits open-files LIMIT (the shell's)
      set-up, load: sh -c echo load >> DIR/steps
      workload clients: closed loop on 1 connection to http://127.0.0.1:PORT1
        during: 1 pass
        get: GET /  expects 2xx
      clean-up, load: sh -c echo load over >> DIR/steps
      clean-up, repetition: sh -c echo repetition 1 ${repetition} over >> DIR/steps
      clean-up, cell: sh -c echo cell 1 over >> DIR/steps

    cell number=2
      set-up, cell: sh -c echo cell 2 >> DIR/steps
      set-up, repetition: sh -c echo repetition 2 ${repetition} >> DIR/steps
      target web: runner-fixtures faulty --port PORT1 --mode ok
        ready when 127.0.0.1:PORT1 accepts  port PORT1
        limits open-files LIMIT (the shell's)
      set-up, load: sh -c echo load >> DIR/steps
      workload clients: closed loop on 1 connection to http://127.0.0.1:PORT1
        during: 1 pass
        get: GET /  expects 2xx
      clean-up, load: sh -c echo load over >> DIR/steps
      clean-up, repetition: sh -c echo repetition 2 ${repetition} over >> DIR/steps
      clean-up, cell: sh -c echo cell 2 over >> DIR/steps
    ");
    assert!(!place.path("results").exists() && place.lines("steps").is_empty(), "nothing is done");
    let json: Json = serde_json::from_str(&place.run(&["plan", "test.yaml", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(json["cells"].as_array().unwrap().len(), 2);
}

#[test]
fn a_fixture_becomes_its_process() {
    let place = Place::new();
    let mut started = place.start(&["fixture", "faulty", "--mode", "ok", "--port", "0"]);
    started.until_said("listening on 127.0.0.1:", 1);
    let program = std::fs::read_link(format!("/proc/{}/exe", started.pid())).unwrap();
    assert_eq!(program.file_name().unwrap(), "runner-fixtures");
    let address = started.said()[0].trim_end().rsplit(' ').next().unwrap().to_owned();
    eventually("it accepts", || std::net::TcpStream::connect(&address).ok());
    started.signal(rustix::process::Signal::TERM);
    started.wait().expect(0);
    let outcome = place.run(&["fixture", "faulty", "--help"]).expect(0);
    assert!(outcome.stdout.contains("--ignore-term"), "{}", outcome.stdout);
}

#[test]
fn the_help_names_every_exit_code() {
    let outcome = Place::new().run(&["--help"]).expect(0);
    for part in ["0 success", "1 failure", "2 invalid input", "4 repetitions failed", "130 interrupted"] {
        assert!(outcome.stdout.contains(part), "{part}");
    }
}

/// `runner run … 2>&1 | head`: whoever has seen enough does not change what is done, nor how it ends.
#[test]
fn a_reader_who_leaves_changes_nothing() {
    let place = Place::with(
        "
experiment: test
repetitions: 20
targets: {web: {fixture: null-server, port: PORT1}}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, amount: 5}, steps: [{get: /, expect: {text: another}}]}
",
    );
    for kept in ["neither", "out", "err"] {
        let mut command = place.runner();
        command.args(["run", "test.yaml", "--no-graphs"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let _kept = match kept {
            "out" => (out, None),
            "err" => (None, err),
            _ => (None, None),
        };
        let status = eventually("it ends", || child.try_wait().unwrap());
        assert_eq!(status.code(), Some(4), "{kept}");
    }
    assert_eq!(listing(&place.path("results/test")).len(), 3);
}
