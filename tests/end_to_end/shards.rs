//! `--shard` and `runner merge`: a run that was executed in parts is the run that it would have been as a whole, and what does not
//! belong together is refused.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::support::{Place, files, json as read_json};

/// A command that reports how slow its node is: `NODE` is the factor of the machine, which both levels share.
const SCENARIO: &str = "
experiment: parts
factors: {kind: [plain, slowed]}
repetitions: 12
workloads:
  tool:
    command: [sh, -c, 'echo \"took=$(DIR/took ${kind} ${repetition})\"']
    load: {closed: {connections: 1}, amount: 1}
    metrics: {took: {regex: 'took=([0-9.]+)', unit: ms}}
";

/// Prints a time in milliseconds: 5 % more where it is slowed, times what the node does to all of them, with some noise that is the
/// same each time.
const TOOK: &str = r#"#!/usr/bin/env python3
import os, sys
kind, repetition = sys.argv[1], int(sys.argv[2])
node = float(os.environ.get("NODE_FACTOR", "1"))
noise = 1 + ((repetition * 37 + len(kind) * 11) % 41 - 20) / 4000
print(100 * node * (1.05 if kind == "slowed" else 1) * noise)
"#;

fn place() -> Place {
    use std::os::unix::fs::PermissionsExt as _;
    let mut place = Place::with(SCENARIO);
    let took = place.write("took", TOOK);
    std::fs::set_permissions(took, std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// Executes a shard on a node of this name, which is so many times slower than another one; returns its run.
fn shard(place: &Place, number: &str, node: &str, factor: &str) -> PathBuf {
    let out = format!("node-{}", number.replace('/', "-of-"));
    let mut command = place.runner();
    command.args(["run", "test.yaml", "--shard", number, "--out", &out, "--no-graphs", "--quiet"]);
    command.env("RUNNER_NODE", node).env("NODE_FACTOR", factor);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    only_run(&place.path(&out).join("parts"))
}

fn only_run(folder: &Path) -> PathBuf {
    let runs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    run.clone()
}

fn merged(place: &Place, shards: &[PathBuf]) -> PathBuf {
    let words: Vec<&str> = shards.iter().map(|shard| shard.to_str().unwrap()).collect();
    place.run(&[&["merge"], &words[..], &["--no-graphs"]].concat()).expect(0);
    only_run(&place.path("results/parts"))
}

/// The repetitions of a run: cell, number and seed, in the order of their names.
fn repetitions(run: &Path) -> Vec<(String, u64, u64)> {
    let all = files(run).into_iter().filter(|name| name.ends_with("/status.json"));
    let mut found: Vec<_> = all
        .map(|name| {
            let status = read_json(&run.join(name));
            (
                status["cell"].as_str().unwrap().to_owned(),
                status["repetition"].as_u64().unwrap(),
                status["seed"].as_u64().unwrap(),
            )
        })
        .collect();
    found.sort();
    found
}

#[test]
fn shards_merge_into_the_run_that_they_are_part_of() {
    let place = place();
    let shards = ["1/3", "2/3", "3/3"].map(|number| shard(&place, number, "here", "1"));
    let rounds: Vec<Vec<u64>> = shards
        .iter()
        .map(|shard| repetitions(shard).into_iter().filter(|r| r.0 == "kind=plain").map(|r| r.1).collect())
        .collect();
    assert_eq!(rounds, [[1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12]]);
    let merged = merged(&place, &shards);
    // As a whole it has the same plan, seeds and figures.
    let seed = read_json(&merged.join("plan.json"))["seed"].to_string();
    place.run(&["run", "test.yaml", "--seed", &seed, "--out", "whole", "--no-graphs", "--quiet"]).expect(0);
    let whole = only_run(&place.path("whole/parts"));
    assert_eq!(read_json(&merged.join("plan.json")), read_json(&whole.join("plan.json")));
    assert_eq!(repetitions(&merged), repetitions(&whole));
    assert_eq!(repetitions(&merged).len(), 24);
    let figures = |run: &Path| {
        let cells = read_json(&run.join("summary.json"))["cells"].clone();
        let took =
            |cell: &Json| cell["metrics"].as_array().unwrap().iter().find(|m| m["metric"] == "took").unwrap()["value"].clone();
        cells.as_array().unwrap().iter().map(took).collect::<Vec<Json>>()
    };
    assert_eq!(figures(&merged), figures(&whole));
    // The parts stay as they are, and nothing half-made is left.
    assert!(shards.iter().all(|shard| repetitions(shard).len() == 8));
    assert_eq!(std::fs::read_dir(place.path("results/parts")).unwrap().count(), 1);
    let manifest = read_json(&merged.join("manifest.json"));
    assert_eq!(manifest["merged"].as_array().unwrap().len(), 3);
    assert_eq!((&manifest["merged"][1]["rounds"], &manifest["merged"][1]["shard"]), (&json!([2, 5, 8, 11]), &json!("2/3")));
}

#[test]
fn what_a_node_does_to_both_sides_cancels_out() {
    let place = place();
    // The second node is a third slower, the third one twice as slow: far more than the 5 % that are asked for.
    let shards = [("1/3", "n1", "1"), ("2/3", "n2", "1.33"), ("3/3", "n3", "2")];
    let shards = shards.map(|(number, node, factor)| shard(&place, number, node, factor));
    let merged = merged(&place, &shards);
    place.run(&["graph", merged.to_str().unwrap()]).expect(0);
    let name = merged.file_name().unwrap().to_str().unwrap();
    assert!(place.path("graphs/parts").join(name).join("ratio-by-node.png").is_file());
    let summary = read_json(&merged.join("summary.json"));
    let nodes: Vec<(&str, u64)> = summary["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| (n["name"].as_str().unwrap(), n["rounds"].as_u64().unwrap()))
        .collect();
    assert_eq!(nodes, [("n1", 4), ("n2", 4), ("n3", 4)]);
    let run = merged.to_str().unwrap();
    let compared = place.run(&["compare", run, "--by", "kind", "--metric", "took", "--format", "json"]).expect(0);
    let compared: Json = serde_json::from_str(&compared.stdout).unwrap();
    let row = &compared["rows"][0];
    let (ratio, interval) = (row["ratio"].as_f64().unwrap(), &row["ratio_interval"]);
    assert!((ratio - 1.05).abs() < 0.005, "{row}");
    assert!(interval[0].as_f64().unwrap() > 1.03 && interval[1].as_f64().unwrap() < 1.07, "{row}");
    assert!(row["p_corrected"].as_f64().unwrap() < 0.001, "{row}");
    let said = place.run(&["compare", run, "--by", "kind", "--metric", "took"]).expect(0);
    assert!(said.flat().contains("within each of 3 nodes"), "{}", said.stdout);
    assert!(said.stdout.contains("BY NODE: slowed took: n1 1.05"), "{}", said.stdout);
    let said = place.run(&["summarize", run]).expect(0);
    assert!(said.stdout.contains("executed by n1 (4 rounds), n2 (4 rounds), n3 (4 rounds)"), "{}", said.stdout);
}

#[test]
fn what_is_missing_is_told_and_resume_does_it() {
    let place = place();
    let shards = ["1/3", "3/3"].map(|number| shard(&place, number, number, "1"));
    let words: Vec<&str> = shards.iter().map(|shard| shard.to_str().unwrap()).collect();
    let outcome = place.run(&[&["merge"], &words[..], &["--no-graphs"]].concat()).expect(4);
    assert!(outcome.stdout.contains("MISSING 8 of 24"), "{}", outcome.stdout);
    let merged = only_run(&place.path("results/parts"));
    place.run(&["resume", merged.to_str().unwrap(), "--no-graphs", "--quiet"]).expect(0);
    assert_eq!(repetitions(&merged).len(), 24);
    // A shard itself lacks nothing.
    let outcome = place.run(&["resume", words[0], "--no-graphs"]).expect(0);
    assert!(outcome.stdout.contains("nothing is missing"), "{}", outcome.stdout);
    assert_eq!(repetitions(&shards[0]).len(), 8);
}

#[test]
fn what_does_not_belong_together_is_refused_with_the_difference() {
    let mut place = place();
    let one = shard(&place, "1/3", "n1", "1");
    let merge = |place: &Place, paths: &[&Path]| {
        let words: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        place.run(&[&["merge"], &words[..], &["--no-graphs"]].concat()).expect(2)
    };
    // Rounds that overlap.
    place.run(&["run", "test.yaml", "--shard", "1/2", "--out", "overlaps", "--no-graphs", "--quiet"]).expect(0);
    let overlaps = only_run(&place.path("overlaps/parts"));
    let outcome = merge(&place, &[&one, &overlaps]);
    assert!(outcome.stderr.contains("round 1 of kind=plain is in"), "{}", outcome.stderr);
    // Another version of the scenario.
    place.write("test.yaml", &SCENARIO.replace("amount: 1}", "amount: 2}"));
    place.run(&["run", "test.yaml", "--shard", "2/3", "--out", "changed", "--no-graphs", "--quiet"]).expect(0);
    let outcome = merge(&place, &[&one, &only_run(&place.path("changed/parts"))]);
    assert!(outcome.stderr.contains("differ") && outcome.stderr.contains("amount: 1 → 2"), "{}", outcome.stderr);
    // Another experiment.
    place.write("other.yaml", &SCENARIO.replace("experiment: parts", "experiment: other"));
    place.run(&["run", "other.yaml", "--shard", "2/3", "--out", "other", "--no-graphs", "--quiet"]).expect(0);
    let outcome = merge(&place, &[&one, &only_run(&place.path("other/other"))]);
    assert!(outcome.stderr.contains("only parts of one run can be merged"), "{}", outcome.stderr);
    assert!(!place.path("results").join("parts").exists(), "nothing was made");
    let outcome = merge(&place, &[&place.path("nowhere")]);
    assert!(outcome.stderr.contains("there is no run in"), "{}", outcome.stderr);
}

#[test]
fn a_shard_that_cannot_be_is_refused_before_anything_starts() {
    let place = place();
    for (shard, words) in [
        ("6/5", "there is no shard 6 of 5; expected one from 1/5 to 5/5"),
        ("0/5", "there is no shard 0 of 5"),
        ("2", "such as `2/5`"),
        ("13/13", "has 12 rounds, so nothing is left for this shard"),
    ] {
        let outcome = place.run(&["run", "test.yaml", "--shard", shard]).expect(2);
        assert!(outcome.stderr.contains(words), "{shard}: {}", outcome.stderr);
    }
    let outcome = place.run(&["repeat", "test.yaml", "--until", "2%", "--shard", "1/2"]).expect(2);
    assert!(outcome.stderr.contains("cannot be used with"), "{}", outcome.stderr);
    assert!(!place.path("results").exists());
}

#[test]
fn a_shard_that_is_continued_elsewhere_is_booked_there_from_then_on() {
    let place = place();
    let run = shard(&place, "1/3", "n1", "1");
    // Of rounds 1, 4, 7 and 10 the last two are missing, and one repetition of the second.
    let plain = |number: u32| run.join(format!("cells/kind=plain/run{number}"));
    let slowed = |number: u32| run.join(format!("cells/kind=slowed/run{number}"));
    for missing in [slowed(4), plain(7), slowed(7), plain(10), slowed(10)] {
        std::fs::remove_dir_all(&missing).unwrap_or_else(|e| panic!("{missing:?}: {e}, {:?}", files(&run)));
    }
    let mut command = place.runner();
    command.args(["resume", run.to_str().unwrap(), "--no-graphs", "--quiet"]).env("RUNNER_NODE", "n2");
    assert!(command.output().unwrap().status.success());
    let outcome = place.run(&["merge", run.to_str().unwrap(), "--no-graphs"]).expect(4);
    assert!(outcome.stdout.contains("executed by n1 (1 round), n1+n2 (1 round), n2 (2 rounds)"), "{}", outcome.stdout);
}

#[test]
fn nodes_that_differ_are_named_above_every_table() {
    let place = place();
    let shards = [shard(&place, "1/2", "n1", "1"), shard(&place, "2/2", "n2", "1")];
    // Each was asked at its start how fast it is.
    let mut second = read_json(&shards[1].join("manifest.json"));
    let speed = second["host"]["ceiling_per_s"].as_f64().unwrap();
    assert!(speed > 1_000.0, "{speed}");
    let mut first = read_json(&shards[0].join("manifest.json"));
    first["host"]["ceiling_per_s"] = json!(speed);
    std::fs::write(shards[0].join("manifest.json"), first.to_string()).unwrap();
    let words: Vec<&str> = shards.iter().map(|shard| shard.to_str().unwrap()).collect();
    let merge = |out: &str| place.run(&[&["merge"], &words[..], &["--no-graphs", "--out", out]].concat()).expect(0).flat();
    assert!(!merge("alike").contains("NODES DIFFER"));
    second["host"]["ceiling_per_s"] = json!(speed * 1.5);
    second["host"]["processor"] = json!("another one");
    std::fs::write(shards[1].join("manifest.json"), second.to_string()).unwrap();
    let said = merge("apart");
    let (notes, _) = said.split_once("medians over repetitions").unwrap();
    assert!(notes.contains("NODES DIFFER: processor:") && notes.contains("another one on n2"), "{said}");
    assert!(notes.contains("NODES DIFFER: what the generator can send:"), "{said}");
}
