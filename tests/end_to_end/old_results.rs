//! Results stay readable: runs that older versions made give the same summaries and pictures, byte for byte, on every machine.

use std::path::{Path, PathBuf};

use crate::support::{Place, copy, root, runner};

/// A run of this repository in a folder of its own, without what is made of it, and the original.
fn run_of(place: &Place, folder: &str) -> (PathBuf, PathBuf) {
    let original = root().join(folder);
    let copied = place.path(folder);
    copy(&original, &copied);
    for made in ["summary.json", "figures.parquet"] {
        let _ = std::fs::remove_file(copied.join(made));
    }
    (copied, original)
}

fn same_bytes(made: &Path, kept: &Path) {
    let [made_bytes, kept_bytes] = [made, kept].map(|path| std::fs::read(path).unwrap_or_else(|e| panic!("{path:?}: {e}")));
    assert!(made_bytes == kept_bytes, "{made:?} differs from {kept:?}; if that is meant, run `runner graph` on the original");
}

/// Summarizes and draws a copy, and compares with what is kept beside the original.
fn stays_the_same(folder: &str, graphs: &str) {
    let place = Place::new();
    let (copied, original) = run_of(&place, folder);
    let drawn = place.path("drawn");
    let output = runner().args(["graph", copied.to_str().unwrap(), "--out", drawn.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    same_bytes(&copied.join("summary.json"), &original.join("summary.json"));
    let kept = root().join(graphs);
    let mut pictures = 0;
    for picture in std::fs::read_dir(&kept).unwrap().flatten() {
        let made = drawn.join(kept.strip_prefix(kept.ancestors().nth(2).unwrap()).unwrap()).join(picture.file_name());
        same_bytes(&made, &picture.path());
        pictures += 1;
    }
    assert!(pictures > 0);
}

/// Three cells of a run of 48: of the others it has nothing but their plan.
const FORMAT_1: &str = "format-1/blobs-parallel/20261122T000858Z-823c";

#[test]
fn a_run_of_format_1() {
    stays_the_same(&format!("tests/data/results/{FORMAT_1}"), &format!("tests/data/graphs/{FORMAT_1}"));
}

#[test]
fn a_run_of_format_2() {
    let run = "format-2/20261122T053326Z-e9ba";
    stays_the_same(&format!("tests/data/results/{run}"), &format!("tests/data/graphs/{run}"));
}

/// What `results/README.md` says of the run beside it.
#[test]
fn the_run_that_is_kept_as_an_example() {
    let run = "blobs-parallel/20261129T013913Z-5025";
    stays_the_same(&format!("results/{run}"), &format!("graphs/{run}"));
}

#[test]
fn old_runs_can_be_compared() {
    let run = format!("tests/data/results/{FORMAT_1}");
    let compare = || {
        let words = ["compare", &run, "--by", "processes", "--baseline", "1", "--format", "json"];
        runner().current_dir(root()).args(words).output().unwrap()
    };
    let (one, two) = (compare(), compare());
    assert!(one.status.success(), "{one:?}");
    assert_eq!(one.stdout, two.stdout);
    assert!(String::from_utf8_lossy(&one.stdout).contains("too-few-repetitions"));
}
