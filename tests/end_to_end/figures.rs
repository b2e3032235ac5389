//! The table of figures: beside the summary, on the terminal, and in the hands of the programs that people open it with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, copy, python_of_tables, root, runner};

/// Three cells of a run, and how many figures they have.
const RUN: &str = "tests/data/results/format-2/20261122T053326Z-e9ba";

/// A copy of the run, without what is made of it.
fn copied(place: &Place) -> PathBuf {
    let run = place.path("run");
    copy(&root().join(RUN), &run);
    for made in ["summary.json", "figures.parquet", "figures.csv"] {
        let _ = std::fs::remove_file(run.join(made));
    }
    run
}

fn printed(run: &Path, args: &[&str]) -> String {
    let output = runner().arg("summarize").arg(run).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_is_printed_and_kept() {
    let place = Place::new();
    let run = copied(&place);
    let csv = printed(&run, &["--table", "figures", "--csv"]);
    assert!(!run.join("figures.csv").exists());
    printed(&run, &["--csv"]);
    assert_eq!(std::fs::read_to_string(run.join("figures.csv")).unwrap(), csv);
    let kept = runner::record::tables::read(&run.join("figures.parquet")).unwrap();
    assert_eq!(kept.height() + 1, csv.lines().count());
    let names: Vec<&str> = kept.get_column_names().iter().map(|name| name.as_str()).collect();
    assert_eq!(csv.lines().next().unwrap(), names.join(","));
    // For people: as many lines, and columns under each other.
    let text = printed(&run, &["--table", "figures"]);
    assert_eq!(text.lines().count(), csv.lines().count());
    let cells = printed(&run, &["--table", "cells"]);
    let header = cells.lines().next().unwrap();
    assert!(["cell", "metric", "median_low", "unit"].iter().all(|name| header.contains(name)), "{header}");
    let throughput = cells.lines().find(|line| line.contains(" throughput ")).unwrap();
    assert!(throughput.ends_with("1/s"), "{throughput}");
}

/// With any number of threads, of rayon's and of polars', the same bytes.
#[test]
fn it_is_the_same_on_any_number_of_cores() {
    let place = Place::new();
    let run = copied(&place);
    let made = |threads: &str, of_polars: &str| {
        let mut summarize = runner();
        summarize.env("RAYON_NUM_THREADS", threads).env("POLARS_MAX_THREADS", of_polars);
        assert!(summarize.arg("summarize").arg(&run).output().unwrap().status.success());
        ["summary.json", "figures.parquet"].map(|name| {
            let bytes = std::fs::read(run.join(name)).unwrap();
            std::fs::remove_file(run.join(name)).unwrap();
            bytes
        })
    };
    let one = made("1", "1");
    for (threads, of_polars) in [("2", "1"), ("1", "5"), ("7", "3")] {
        assert!(made(threads, of_polars) == one, "{threads} {of_polars}");
    }
}

#[test]
fn where_nothing_can_be_kept_it_is_printed_all_the_same() {
    let place = Place::new();
    let run = copied(&place);
    std::fs::create_dir(run.join("figures.csv")).unwrap();
    let output = runner().arg("summarize").arg(&run).arg("--csv").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cannot write") && said.contains("figures.csv"), "{said}");
    assert!(!output.stdout.is_empty() && run.join("summary.json").exists() && run.join("figures.parquet").exists());
    let output = runner().arg("summarize").arg(&run).args(["--json", "--table", "cells"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// The lines of docs/results.md, as they stand there.
#[test]
fn pandas_and_duckdb_open_it() {
    let docs = std::fs::read_to_string(root().join("docs/results.md")).unwrap();
    let place = Place::new();
    let run = copied(&place);
    printed(&run, &["--csv"]);
    let Some(python) = python_of_tables() else { return };
    for (begin, expected) in [("import pandas", "throughput"), ("import duckdb", "throughput")] {
        let block = docs.split("```").find(|block| block.contains(begin)).unwrap_or_else(|| panic!("{begin} is in the docs"));
        let script =
            block.split_once('\n').unwrap().1.replace("results/blobs-parallel/20261129T013913Z-5025", run.to_str().unwrap());
        let output = Command::new(&python).args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(expected), "{script}\n{output:?}");
    }
}
