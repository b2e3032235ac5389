//! The way to a first run and back to the last one: `init`, `latest`, `repeat` without a file, `--fail-fast`, completions, manual.

use crate::support::{Outcome, Place, files, json, listing};

/// A command that fails in its second repetition, of three cells in order.
const FAILS: &str = "
experiment: test
factors: {kind: [a, b, c]}
order: rounds
repetitions: 3
layout: ${kind}
workloads:
  tool:
    command: [sh, -c, 'echo ${kind}${repetition} >> DIR/began; test ${kind}${repetition} != b1']
    load: {closed: {connections: 1}, amount: 1}
";

/// A command that always ends well.
const WORKS: &str = "
experiment: NAME
factors: {kind: [a, b]}
workloads:
  tool:
    command: ['true', '${kind}']
    load: {closed: {connections: 1}, amount: 1}
";

#[track_caller]
fn says(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(outcome.stdout.contains(part), "`{part}` is not in:\n{}", outcome.stdout);
    }
}

// ---- init

#[test]
fn a_first_experiment_takes_a_url_as_it_is() {
    let mut place = Place::new();
    let port = place.port(1);
    for (name, url, path) in [
        ("query", format!("http://127.0.0.1:{port}?x=1"), "/?x=1"),
        ("both", format!("http://127.0.0.1:{port}/a/b?x=1"), "/a/b?x=1"),
        ("none", format!("http://127.0.0.1:{port}"), "/"),
    ] {
        place.run(&["init", name, "--url", &url]).expect(0);
        let text = std::fs::read_to_string(place.path(format!("experiments/{name}.yaml"))).unwrap();
        let [plain, quoted] = [format!("- get: {path}\n"), format!("- get: \"{path}\"\n")];
        assert!(text.contains(&plain) || text.contains(&quoted), "{text}");
    }
    place.run(&["init", "wrong", "--url", "http://user@127.0.0.1:1/"]).expect(2).complains(&["is not a URL", "`auth`"]);
    place
        .run(&["init", "wrong", "--url", "http://127.0.0.1/", "--", "./x"])
        .expect(2)
        .complains(&["with the port of the server"]);
}

#[test]
fn a_first_experiment_for_a_server_passes_and_runs() {
    let mut place = Place::new();
    let port = place.port(1).to_string();
    let words = ["init", "--", "python3", "-m", "http.server", "--bind", "127.0.0.1", &port];
    let outcome = place.run(&words).expect(0);
    says(
        &outcome,
        &[
            "wrote experiments/python3.yaml",
            "as a server on port",
            "2 cells x 8 repetitions",
            "runner run experiments/python3.yaml",
        ],
    );
    place.run(&["check"]).expect(0);
    place.run(&["run", "experiments/python3.yaml", "-n", "1", "--set", "connections=1"]).expect(0);
    let graphs = files(&place.path("graphs"));
    assert!(graphs.iter().any(|name| name.contains("throughput")), "{graphs:?}");
    // What somebody has changed is not written over.
    place.write_as_is("experiments/python3.yaml", "mine");
    place.run(&words).expect(2).complains(&["experiments/python3.yaml is there already", "runner init NAME"]);
    assert_eq!(place.lines("experiments/python3.yaml"), ["mine"]);
}

#[test]
fn a_first_experiment_for_a_url_and_for_a_tool_pass() {
    let place = Place::new();
    let outcome = place.run(&["init", "page", "--url", "http://127.0.0.1:8000/a?b=c"]).expect(0);
    says(&outcome, &["wrote experiments/page.yaml", "which has to be running"]);
    assert!(place.lines("experiments/page.yaml").iter().any(|l| l.trim() == "- get: \"/a?b=c\""));
    let outcome = place.run(&["init", "--", "sh", "-c", "exit 0"]).expect(0);
    says(&outcome, &["wrote experiments/sh.yaml", "how long `sh -c exit 0` takes"]);
    place.run(&["check"]).expect(0);
    place.run(&["run", "experiments/sh.yaml", "-n", "1"]).expect(0);
}

#[test]
fn what_cannot_be_measured_is_not_written() {
    let place = Place::new();
    place.run(&["init"]).expect(2).complains(&["--url", "-- ./server --port 8000"]);
    place.run(&["init", "--", "no-such-program", "x"]).expect(2).complains(&["no-such-program", "nothing was written"]);
    place.run(&["init", "../x", "--url", "http://127.0.0.1:8000/"]).expect(2).complains(&["cannot be the name"]);
    place.run(&["init", "--url", "127.0.0.1"]).expect(2).complains(&["nothing was written"]);
    assert!(listing(&place.path("experiments")).is_empty());
}

// ---- the newest run, and what is repeated without a file

/// Names of runs have seconds.
fn next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

#[test]
fn the_newest_run_is_found_and_repeated_as_it_was() {
    let mut place = Place::new();
    place.run(&["latest"]).expect(2);
    place.run(&["repeat", "-n", "2"]).expect(2).complains(&[
        "which experiment?",
        "there is no run",
        "expected `runner repeat FILE",
    ]);
    for name in ["one", "two"] {
        place.write(&format!("{name}.yaml"), &WORKS.replace("NAME", name));
    }
    place.run(&["run", "two.yaml", "--no-graphs", "-q"]).expect(0);
    next_second();
    place.run(&["run", "one.yaml", "--no-graphs", "-q", "--set", "kind=b"]).expect(0);
    let latest = place.run(&["latest"]).expect(0).stdout;
    assert!(latest.starts_with("results/one/"), "{latest}");
    let of_two = place.run(&["latest", "two"]).expect(0).stdout;
    assert!(place.path(of_two.trim()).join("plan.json").is_file(), "{of_two}");
    place.run(&["latest", "tow"]).expect(2).complains(&["did you mean `two`?"]);

    next_second();
    let outcome = place.run(&["repeat", "-n", "2", "--no-graphs"]).expect(0);
    outcome.complains(&["repeating one.yaml --set kind=b, which was run last (results/one/"]);
    let newest = place.run(&["latest", "one"]).expect(0).stdout;
    let plan = json(&place.path(newest.trim()).join("plan.json"));
    assert_eq!((plan["cells"].as_array().map(Vec::len), &plan["repetitions"]), (Some(1), &2.into()));
    // From somewhere else it is nobody's last run.
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let mut elsewhere = place.runner();
    elsewhere.current_dir(place.path("elsewhere")).args(["repeat", "-n", "2", "--out", "../results"]);
    let said = elsewhere.output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("was not made here"), "{said:?}");
}

#[test]
fn the_one_experiment_is_repeated_and_several_are_listed() {
    let mut place = Place::new();
    std::fs::create_dir(place.path("experiments")).unwrap();
    place.write("experiments/one.yaml", &WORKS.replace("NAME", "one"));
    place
        .run(&["repeat", "-n", "2", "--no-graphs"])
        .expect(0)
        .complains(&["repeating experiments/one.yaml, the only experiment"]);
    std::fs::remove_dir_all(place.path("results")).unwrap();
    place.write("experiments/two.yaml", &WORKS.replace("NAME", "two"));
    place.run(&["repeat", "-n", "2"]).expect(2).complains(&["has several", "experiments/one.yaml", "experiments/two.yaml"]);
    assert!(listing(&place.path("results")).is_empty());
}

// ---- the next step

#[test]
fn a_run_says_what_to_do_next() {
    let place = Place::with(&WORKS.replace("NAME", "test"));
    let outcome = place.run(&["run", "test.yaml", "-n", "3", "--no-graphs"]).expect(0);
    let next = outcome.stderr.lines().find_map(|line| line.strip_prefix("next: runner ")).expect("a next step");
    // It can be done as it stands.
    let words: Vec<&str> = next.split(' ').collect();
    assert_eq!(words[0], "compare", "{next}");
    says(&place.run(&words).expect(0), &["test: levels of kind against a"]);
    let alone = place.run(&["run", "test.yaml", "-n", "1", "--set", "kind=a", "--no-graphs"]).expect(0);
    alone.complains(&["next: to compare two variants, make what differs a factor", "runner doctor --same test.yaml"]);
    let quiet = place.run(&["run", "test.yaml", "-n", "1", "--quiet", "--no-graphs"]).expect(0);
    assert!(!quiet.stderr.contains("next"), "{}", quiet.stderr);
}

// ---- the first failure

/// Ten repetitions in a row fail; nobody waits for the others to fail too.
#[test]
fn ten_equal_failures_in_a_row_end_a_run_unless_it_keeps_going() {
    let fails = WORKS
        .replace("NAME", "test")
        .replace("workloads:", "set-up: {repetition: [{shell: 'exit 3 # ${repetition}'}]}\nworkloads:");
    let place = Place::with(&fails);
    let run = |place: &Place, more: &[&str]| {
        let words = [&["run", "test.yaml", "-n", "12", "--no-graphs"], more].concat();
        let outcome = place.run(&words).expect(4);
        let ended = |line: &&str| line.starts_with('[') && line.contains("FAILED");
        assert_eq!(outcome.stderr.matches("FAILED: ").count(), 1, "the reason is told once: {}", outcome.stderr);
        (outcome.stderr.lines().filter(ended).count(), outcome)
    };
    let (count, outcome) = run(&place, &[]);
    assert_eq!(count, 10);
    let said = outcome.flat();
    assert!(said.contains("FAILED 10 of 24: ") && said.contains("MISSING 14 of 24: "), "{said}");
    outcome.complains(&[
        "stopped after 10 equal failures in a row: ",
        "`--keep-going`",
        "continue with: runner resume results/test/",
    ]);
    let (count, outcome) = run(&Place::with(&fails), &["--keep-going"]);
    assert_eq!(count, 24);
    assert!(outcome.flat().contains("FAILED 24 of 24: ") && !outcome.stderr.contains("stopped after"), "{}", outcome.stderr);
}

/// A long repetition says where it stands, with what its load and its target do.
#[test]
fn without_a_terminal_there_is_a_line_every_ten_seconds() {
    let scenario = "
experiment: test
repetitions: 1
targets:
  web: {fixture: null-server, port: PORT1}
workloads:
  clients: {url: 'http://127.0.0.1:PORT1', load: {closed: {connections: 1}, duration: 11s}, steps: [{get: /}]}
";
    let place = Place::with(scenario);
    let outcome = place.run(&["run", "test.yaml", "--no-graphs"]).expect(0);
    let line = outcome.stderr.lines().find(|line| line.starts_with("[0/1] load ")).expect("a line while it runs");
    for part in [" 8", " %  #1", "/s  p50 ", "  p99 ", "  no errors  CPU web ", ", generator ", "  ETA "] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    let verbose = place.run(&["run", "test.yaml", "--no-graphs", "-n", "1", "-v"]).expect(0);
    verbose.complains(&["[1/1] all #1  ", "passes; start ", ", load 11.0 s, stop "]);
}

#[test]
fn fail_fast_ends_behind_the_first_repetition_that_does_not_count() {
    let place = Place::with(FAILS);
    place.run(&["run", "test.yaml", "--no-graphs"]).expect(4);
    assert_eq!(place.lines("began").len(), 9, "without it all are executed");

    for command in ["run test.yaml", "repeat test.yaml -n 3"] {
        let place = Place::with(FAILS);
        let words: Vec<&str> = command.split(' ').chain(["--no-graphs", "--fail-fast", "--seed", "1"]).collect();
        let outcome = place.run(&words).expect(4);
        let began = place.lines("began");
        assert_eq!(began.last().map(String::as_str), Some("b1"), "{began:?}");
        assert!(began.len() <= 3, "{began:?}");
        outcome.complains(&["ended by --fail-fast: repetition 1 of kind=b is invalid", "continue with: runner resume"]);
        // What is missing can be made up for, and ends at once where it fails again.
        let run = place.run_directory("test").display().to_string();
        place.run(&["resume", &run, "--fail-fast", "--no-graphs"]);
        assert_eq!(place.lines("began").len(), 9, "what failed is done, and the rest works");
    }
}

// ---- what shells and `man` know

#[test]
fn shells_and_man_know_every_subcommand() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("summarize") && script.contains("fail-fast"), "{shell}");
    }
    place.write_as_is("runner.bash", &place.run(&["completions", "bash"]).expect(0).stdout);
    let checked = std::process::Command::new("bash").arg("-n").arg(place.path("runner.bash")).status().unwrap();
    assert!(checked.success());
    let page = place.run(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH") && page.contains("runner\\-summarize(1)"), "{page}");
    place.run(&["man", "pages"]).expect(0);
    let pages = listing(&place.path("pages"));
    for name in ["runner.1", "runner-run.1", "runner-export-sqlite.1", "runner-init.1"] {
        assert!(pages.iter().any(|page| page == name), "{name} is not among {pages:?}");
    }
}

#[test]
fn an_unknown_subcommand_gets_its_neighbour() {
    let place = Place::new();
    place.run(&["rnu"]).expect(2).complains(&["a similar subcommand exists: 'run'"]);
    place.run(&["a.yaml"]).expect(2).complains(&["`runner run a.yaml`"]);
}
