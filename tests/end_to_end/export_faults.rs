//! `runner export` where something is in its way: nothing half is written, nothing that is somebody else's is touched, and what is
//! wrong is told.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;

use crate::export::{export, one, open, recorded, rows};
use crate::faults::SmallDisk;
use crate::support::{Place, Started, copy, files, listing, root};

const KEPT: &str = "tests/data/results/format-2/20261122T053326Z-e9ba";
const NAME: &str = "format-2/20261122T053326Z-e9ba";

/// A copy of a run that may be damaged, in `run` of a place.
fn copied() -> (Place, PathBuf) {
    let place = Place::new();
    let run = place.path("run/20261122T053326Z-e9ba");
    copy(&root().join(KEPT), &run);
    (place, run)
}

fn sqlite<'a>(run: &'a Path, out: &'a str) -> [&'a str; 5] {
    ["export", "sqlite", run.to_str().unwrap(), "-o", out]
}

// ---- what is not ours

#[test]
fn what_is_not_ours_is_not_touched() {
    let (mut place, run) = copied();
    place.write("notes.txt", "these are notes, and no database, however long they may be");
    let theirs = Connection::open(place.path("theirs.db")).unwrap();
    theirs.execute_batch("CREATE TABLE runs (a); INSERT INTO runs VALUES (1)").unwrap();
    let newer = Connection::open(place.path("newer.db")).unwrap();
    newer.execute_batch("PRAGMA application_id = 0x72756e72; PRAGMA user_version = 5; CREATE TABLE runs (a)").unwrap();
    drop((theirs, newer));
    std::fs::create_dir(place.path("folder")).unwrap();
    place.write("folder/mine.csv", "mine");
    let kept = || -> Vec<(String, Vec<u8>)> {
        files(&place.path("")).into_iter().map(|name| (name.clone(), std::fs::read(place.path(name)).unwrap())).collect()
    };
    let before = kept();
    let refused = |words: &[&str], expected: &[&str]| {
        place.run(words).expect(2).complains(expected);
        assert!(kept() == before, "{words:?} has changed something");
    };
    let ours = "a database that `runner export sqlite` made";
    refused(
        &sqlite(&run, "notes.txt"),
        &["notes.txt is not a database, and runner overwrites only its own exports", ours, "--out"],
    );
    refused(&sqlite(&run, "theirs.db"), &["theirs.db is a database of another program", ours]);
    refused(&sqlite(&run, "folder"), &["folder is a directory", ours]);
    let words = "newer.db has schema version 5; this runner writes version 4: use a runner that writes that version, or export into another file";
    refused(&sqlite(&run, "newer.db"), &[words]);
    let run = run.to_str().unwrap();
    refused(&["export", "csv", run, "-o", "folder"], &["folder contains `mine.csv`", "a new or empty directory"]);
    refused(&["export", "csv", run, "-o", "notes.txt"], &["notes.txt is not a directory"]);
    // Where there is nothing to export nothing is made.
    refused(&["export", "sqlite", "folder", "-o", "new.db"], &["there is no run in folder"]);
    refused(&["export", "csv", "folder", "-o", "new"], &["there is no run in folder"]);
    refused(&["export", "sqlite", run], &["--out"]);
    place.run(&["export", "sqlite", run, "-o", "nowhere/new.db"]).expect(1).complains(&["cannot open nowhere/new.db"]);
    assert!(kept() == before);
    // What only looks like something else to SQLite is the name of a file; an empty file is as none.
    place.write(":memory:", "");
    for name in [":memory:", "file:x?mode=memory"] {
        place.run(&["export", "sqlite", run, "-o", name]).expect(0);
        assert!(std::fs::metadata(place.path(name)).unwrap().len() > 10_000, "{name}");
    }
}

// ---- runs that are not whole

#[test]
fn of_a_damaged_run_what_is_whole_is_exported() {
    let (place, run) = recorded();
    let whole = place.path("whole");
    copy(&run, &whole);
    // Pieces in the middle of a table, the end of another, an event, and the status of a repetition.
    let at = |name: &str| run.join("cells/all").join(name);
    let requests = at("run1/requests.parquet");
    let mut bytes = std::fs::read(&requests).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle - 2000..middle].fill(0xff);
    std::fs::write(&requests, bytes).unwrap();
    let bytes = std::fs::read(at("run1/resources.parquet")).unwrap();
    std::fs::write(at("run1/resources.parquet"), &bytes[..bytes.len() - 9]).unwrap();
    let events = std::fs::read_to_string(at("run1/events.jsonl")).unwrap();
    std::fs::write(at("run1/events.jsonl"), format!("{events}{{\"at_ns\": 1}}\n")).unwrap();
    std::fs::write(at("run2/status.json"), "{").unwrap();
    let outcome = place.run(&sqlite(&run, "r.db")).expect(0);
    let said =
        outcome.complains(&["exported, 1 repetition", "is incomplete", "requests.parquet", "resources.parquet", "status.json"]);
    let said = said.complains(&["events.jsonl: line 3: expected an `event`", "unreadable parts are not exported"]).stderr;
    let database = open(&place);
    for (table, is_there) in
        [("requests", false), ("resources", false), ("events", false), ("windows", true), ("host", true), ("metrics", true)]
    {
        assert_eq!(one::<u32>(&database, &format!("SELECT COUNT(*) FROM {table}")) > 0, is_there, "{table}");
    }
    assert_eq!(one::<u32>(&database, "SELECT COUNT(*) FROM repetitions"), 1);
    let damaged = rows(&database, "SELECT words FROM damaged", |row| row.get::<_, String>(0));
    assert!(damaged.len() >= 4 && damaged.iter().all(|words| said.contains(words)), "{damaged:?}");
    // Asked again it says so again; repaired, it is whole.
    let before = std::fs::read(place.path("r.db")).unwrap();
    place.run(&sqlite(&run, "r.db")).expect(0).complains(&["unchanged, 1 repetition", "requests.parquet"]);
    assert!(std::fs::read(place.path("r.db")).unwrap() == before);
    std::fs::remove_dir_all(&run).unwrap();
    std::fs::rename(&whole, &run).unwrap();
    let said = export(&place, &[&run]);
    assert!(said.contains("brought up to date, 2 repetitions") && !said.contains("warning"), "{said}");
    let database = open(&place);
    assert_eq!(one::<u32>(&database, "SELECT COUNT(*) FROM damaged"), 0);
    assert!(one::<u32>(&database, "SELECT COUNT(*) FROM requests WHERE repetition_id = 1") > 0);

    // The same in files.
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0);
    std::fs::write(at("run1/requests.parquet"), "PAR1").unwrap();
    place.run(&["export", "csv", run.to_str().unwrap(), "-o", "csv"]).expect(0).complains(&["requests.parquet"]);
    let lines = |name: &str| std::fs::read_to_string(place.path("csv").join(name)).unwrap().lines().count();
    assert!(lines("damaged.csv") == 2 && lines("windows.csv") > 20, "{} {}", lines("damaged.csv"), lines("windows.csv"));
}

#[test]
fn a_run_that_goes_on_is_exported_as_far_as_it_is() {
    let (place, run) = copied();
    let moved = place.path("aside");
    std::fs::rename(run.join("cells/open/run2"), &moved).unwrap();
    // Whoever writes to a run has locked its directory.
    let lock = std::fs::File::open(&run).unwrap();
    lock.lock().unwrap();
    let said = export(&place, &[&run]);
    assert!(
        said.contains("exported, 3 repetitions") && said.contains("is still running: the repetitions that had ended"),
        "{said}"
    );
    assert_eq!(one::<String>(&open(&place), "SELECT state FROM runs"), "running");
    std::fs::rename(&moved, run.join("cells/open/run2")).unwrap();
    drop(lock);
    let said = export(&place, &[&run]);
    assert!(said.contains("brought up to date, 4 repetitions") && !said.contains("running"), "{said}");
    assert_eq!(one::<String>(&open(&place), "SELECT state FROM runs"), "whole");
}

#[test]
fn a_run_that_contradicts_itself_is_refused() {
    let (place, run) = copied();
    let mut plan = crate::support::json(&run.join("plan.json"));
    plan["cells"][0]["levels"] = json!([["kind", "open"], ["kind", "closed"]]);
    std::fs::write(run.join("plan.json"), plan.to_string()).unwrap();
    place.run(&sqlite(&run, "r.db")).expect(2).complains(&["format-2/20261122T053326Z-e9ba contradicts itself", "cell_levels"]);
    assert_eq!(listing(&place.path("")), ["run"]);
}

// ---- others at the same time

#[test]
fn whoever_writes_meanwhile_is_waited_for_but_not_for_ever() {
    let (place, run) = copied();
    let other = root().join("results/blobs-parallel/20261129T013913Z-5025");
    // Two at once, into one that is not there yet.
    let both = [&run, &other].map(|run| Started::spawn(place.runner().args(sqlite(run, "r.db"))));
    both.into_iter().for_each(|started| drop(started.wait().expect(0)));
    let database = open(&place);
    assert_eq!(one::<u32>(&database, "SELECT COUNT(*) FROM runs"), 2);
    assert_eq!(one::<u32>(&database, "SELECT COUNT(*) FROM repetitions"), 16);
    assert_eq!(one::<String>(&database, "PRAGMA integrity_check"), "ok");
    drop(database);

    // Somebody who does not come to an end.
    std::fs::remove_dir_all(run.join("cells/open/run2")).unwrap();
    let before = std::fs::read(place.path("r.db")).unwrap();
    let holder = Connection::open(place.path("r.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    place.run(&sqlite(&run, "r.db")).expect(1).complains(&[
        "another program is writing to r.db: nothing of format-2/20261122T053326Z-e9ba was written",
        "export it again when that program is done",
    ]);
    drop(holder);
    assert!(std::fs::read(place.path("r.db")).unwrap() == before);
    assert!(export(&place, &[&run]).contains("brought up to date, 3 repetitions"));
}

#[test]
fn one_that_is_killed_leaves_what_was_there() {
    let (place, run) = recorded();
    export(&place, &[&root().join(KEPT)]);
    let journal = place.path("r.db-journal");
    let mut started = Started::spawn(place.runner().args(sqlite(&run, "r.db")));
    // It has begun to write, and may be done before it is killed.
    started.until("the journal is there, or the run", || {
        let is_done = || one::<u32>(&open(&place), "SELECT COUNT(*) FROM runs") == 2;
        (journal.exists() || is_done()).then_some(())
    });
    started.signal(rustix::process::Signal::KILL);
    started.wait();
    // Whoever opens it next takes back what was half.
    let database = Connection::open(place.path("r.db")).unwrap();
    let runs: u32 = one(&database, "SELECT COUNT(*) FROM runs");
    let requests: u32 = one(&database, "SELECT COUNT(*) FROM requests");
    assert!(runs == 1 && requests == 0 || runs == 2 && requests > 0, "{runs} runs, {requests} requests");
    assert_eq!(one::<String>(&database, "PRAGMA integrity_check"), "ok");
    drop(database);
    export(&place, &[&run]);
    assert_eq!(one::<u32>(&open(&place), "SELECT COUNT(*) FROM runs"), 2);
}

// ---- a full disk

#[test]
fn a_full_disk_is_told_and_nothing_half_is_left() {
    let (place, run) = recorded();
    let Some(disk) = SmallDisk::mount(&place, "600k") else {
        println!("SKIPPED: this test may not mount a file system (it needs root)");
        return;
    };
    let full = |words: &[&str], expected: &[&str]| {
        place.run(words).expect(1).complains(&["the disk is full"]).complains(expected);
    };
    full(&sqlite(&run, "disk/r.db"), &["cannot write to disk/r.db: the disk is full; nothing of test/"]);
    assert_eq!(listing(&place.path("disk")), [""; 0]);
    let csv = ["export", "csv", run.to_str().unwrap(), "-o", "disk/csv"];
    full(&csv, &["nothing was exported"]);
    assert_eq!(listing(&place.path("disk")), [""; 0]);
    // What was there stays.
    let kept = root().join(KEPT);
    place.run(&sqlite(&kept, "disk/r.db")).expect(0);
    let before = std::fs::read(place.path("disk/r.db")).unwrap();
    full(&sqlite(&run, "disk/r.db"), &["nothing of test/"]);
    assert!(std::fs::read(place.path("disk/r.db")).unwrap() == before);
    assert_eq!(listing(&place.path("disk")), ["r.db"]);
    disk.grow("64m");
    place.run(&sqlite(&run, "disk/r.db")).expect(0);
    place.run(&csv).expect(0);
    assert_eq!(listing(&place.path("disk")), ["csv", "r.db"]);
    assert!(kept.ends_with(NAME.split('/').next_back().unwrap()));
}
